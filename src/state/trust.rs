//! Whether a stored state is the file this program left behind. A process that is killed leaves the kernel's pages whole; a
//! machine that stops, a copy, or anybody else's write does not count as that, and every record is then checked at opening.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::error::StoreError;
use super::load::FORMAT;

const FILE: &str = "oddsmaker-state";

/// Says that something was stored, so that a database that opens empty is known for damage.
const FILLED: &str = "oddsmaker-filled";

/// How the last process left the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is (or was, when it was killed) at work.
    Running,
    /// It closed everything.
    Closed,
}

/// Whether the file is as the last process left it; `false`: check every record.
///
/// # Errors
/// [`StoreError::Newer`]; nothing else of the directory was touched.
pub(super) fn untouched(dir: &Path) -> Result<bool, StoreError> {
    let Ok(text) = fs::read_to_string(dir.join(FILE)) else { return Ok(false) };
    let found = text.lines().next().and_then(|line| line.strip_prefix("format ")?.parse().ok());
    if let Some(found) = found.filter(|found| *found > FORMAT) {
        return Err(StoreError::Newer { dir: dir.to_owned(), found, known: FORMAT });
    }
    let same = |stop| line(dir, stop).is_ok_and(|known| known == text);
    Ok(same(Stop::Closed) || same(Stop::Running))
}

/// Writes down how the file is left.
pub(super) fn note(dir: &Path, stop: Stop) -> io::Result<()> {
    let temporary = dir.join("oddsmaker-state.new");
    let mut file = fs::File::create(&temporary)?;
    file.write_all(line(dir, stop)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(temporary, dir.join(FILE))?;
    fs::File::open(dir)?.sync_all()
}

/// Leaves the mark that something was stored. A power cut may take it away again: the state is then folded anew unsaid.
pub(super) fn mark_filled(dir: &Path) -> io::Result<()> {
    fs::File::create(dir.join(FILLED)).map(drop)
}

/// Whether something was stored here once.
pub(super) fn was_filled(dir: &Path) -> bool {
    dir.join(FILLED).exists()
}

/// Lets the next opening check every record.
pub(super) fn forget(dir: &Path) {
    // If even this fails, the disk is gone, and the next opening will say so.
    let _ = fs::remove_file(dir.join(FILE));
}

/// A running state is known by its file and the boot of the machine; a closed one by its file, length and time of change.
fn line(dir: &Path, stop: Stop) -> io::Result<String> {
    let file = fs::metadata(dir.join("db"))?;
    let (device, inode) = (file.dev(), file.ino());
    Ok(match stop {
        Stop::Running => {
            let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
            format!("format {FORMAT}\nrunning {device} {inode} {}\n", boot.trim())
        }
        Stop::Closed => {
            let (length, seconds, nanos) = (file.len(), file.mtime(), file.mtime_nsec());
            format!("format {FORMAT}\nclosed {device} {inode} {length} {seconds}.{nanos:09}\n")
        }
    })
}
