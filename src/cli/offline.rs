//! A data directory seen from outside, while no daemon has it or beside one. Nothing in it is ever created, changed or
//! removed from here; what has to be opened for writing is opened as a copy, but for what `compact` writes anew.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use crate::daemon::FORMAT;

/// A data directory with a record in it.
pub(super) struct DataDir {
    /// The record.
    pub(super) journal: PathBuf,
    /// Its indexed fold; need not exist.
    pub(super) state: PathBuf,
}

/// Looks at the data directory `dir`.
///
/// # Errors
/// There is none, it holds no record, or a newer program wrote it.
pub(super) fn open(dir: &Path) -> Result<DataDir, Failure> {
    let shown = dir.display();
    let journal = dir.join("journal");
    if !journal.is_dir() {
        return Err(Failure::Failed(format!("{shown} is no data directory: it holds no journal")));
    }
    let format = dir.join("FORMAT");
    let text = fs::read_to_string(&format)
        .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", format.display())))?;
    match text.trim().parse::<u32>() {
        Ok(found) if found <= FORMAT => Ok(DataDir { journal, state: dir.join("state") }),
        Ok(found) => Err(Failure::Failed(format!(
            "the data directory {shown} has format {found}; this program knows {FORMAT}: use a newer version of it"
        ))),
        Err(_) => Err(Failure::Failed(format!("{} does not hold a format number", format.display()))),
    }
}

impl DataDir {
    /// Keeps a daemon from starting on it while the result lives.
    ///
    /// # Errors
    /// A daemon has it.
    pub(super) fn hold(&self) -> Result<File, Failure> {
        let shown = self.journal.display();
        let held = File::open(&self.journal).map_err(TryLockError::Error).and_then(|dir| dir.try_lock().map(|()| dir));
        held.map_err(|error| match error {
            TryLockError::WouldBlock => Failure::Failed(format!(
                "a daemon is using {shown}: stop it first, or check a copy of the data directory"
            )),
            TryLockError::Error(error) => Failure::Failed(format!("cannot open {shown}: {error}")),
        })
    }
}

/// A folder of our own outside the data directory, removed at the end.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// An empty folder below the system's temporary one, readable by nobody else.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn new() -> Result<Self, Failure> {
        let mut bits = [0; 8];
        getrandom::fill(&mut bits).map_err(|error| Failure::Failed(format!("no random numbers to be had: {error}")))?;
        let path = std::env::temp_dir().join(format!("oddsmaker-{:016x}", u64::from_le_bytes(bits)));
        let made = create_private(&path);
        made.map_err(|error| Failure::Failed(format!("cannot create {}: {error}", path.display())))?;
        Ok(Self(path))
    }

    /// Copies `folder` with all that is in it to `name`, and returns where that is.
    ///
    /// # Errors
    /// It cannot be read, or the copy not be written.
    pub(super) fn copy(&self, folder: &Path, name: &str) -> Result<PathBuf, Failure> {
        let copy = self.0.join(name);
        create_private(&copy).and_then(|()| copy_below(folder, &copy)).map_err(|error| {
            Failure::Failed(format!("cannot copy {} to {}: {error}", folder.display(), copy.display()))
        })?;
        Ok(copy)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left behind at worst; the temporary folder is cleaned by the system.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Fails when it exists, so that nobody can have prepared it.
fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(folder)
}

fn copy_below(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            create_private(&target)?;
            copy_below(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(dir: &Path) -> String {
        open(dir).err().map_or_else(String::new, |failure| failure.to_string())
    }

    #[test]
    fn only_a_data_directory_of_this_format_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        assert!(refusal(dir.path()).ends_with("is no data directory: it holds no journal"));
        assert!(refusal(&dir.path().join("none")).ends_with("it holds no journal"));
        fs::create_dir(dir.path().join("journal")).unwrap();
        assert!(refusal(dir.path()).starts_with("cannot read "));
        fs::write(dir.path().join("FORMAT"), format!("{}\n", FORMAT + 1)).unwrap();
        assert!(refusal(dir.path()).contains("use a newer version"));
        fs::write(dir.path().join("FORMAT"), format!("{FORMAT}\n")).unwrap();
        assert_eq!(refusal(dir.path()), "");
    }

    #[test]
    fn a_directory_is_held_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("journal")).unwrap();
        fs::write(dir.path().join("FORMAT"), "1").unwrap();
        let data = open(dir.path()).unwrap();
        let held = data.hold().unwrap();
        assert!(data.hold().unwrap_err().to_string().starts_with("a daemon is using "));
        drop(held);
        data.hold().unwrap();
    }

    #[test]
    fn a_copy_is_whole_and_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("inner")).unwrap();
        fs::write(dir.path().join("inner/file"), "text").unwrap();
        let scratch = Scratch::new().unwrap();
        let path = scratch.copy(dir.path(), "state").unwrap();
        assert_eq!(path, scratch.path().join("state"));
        assert_eq!(fs::read_to_string(path.join("inner/file")).unwrap(), "text");
        drop(scratch);
        assert!(!path.exists());
    }
}
