//! The mark in a data directory that says how it is laid out, so that an older program never touches what it cannot read.
//! Knows nothing of what lies there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Newest layout of a data directory; a newer one is never touched. Since 2 a snapshot may stand for the first segments of the
/// record, since 3 finished segments may be packed.
pub const FORMAT: u32 = 3;

/// The layout a new data directory has: the record is there from its first event on.
pub const FORMAT_AT_FIRST: u32 = 1;

/// The file that says it.
pub const FORMAT_FILE: &str = "FORMAT";

/// Says that a directory has the newest layout, durably.
///
/// # Errors
/// The file system refused.
pub fn raise(dir: &Path) -> io::Result<()> {
    let newest = format!("{FORMAT}\n");
    if fs::read_to_string(dir.join(FORMAT_FILE)).is_ok_and(|found| found == newest) {
        return Ok(());
    }
    write_durably(dir, FORMAT_FILE, newest.as_bytes())
}

/// Writes a small file so that it is there whole or not at all.
///
/// # Errors
/// The file system refused.
pub fn write_durably(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let (temporary, path) = (dir.join(format!("{name}.new")), dir.join(name));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    File::open(dir)?.sync_all()
}
