//! What the stored state can refuse, and who must act. Knows nothing of status codes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::journal::codec::CodecError;

/// Why the stored state did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It is not what was written, or sled failed. It is to be opened again, which sets it aside if need be.
    #[error("the stored state is damaged: {0}")]
    Broken(String),
    /// The disk, a quota or a limit on file sizes leaves no room for it. Passes when there is room again.
    #[error("there is no room for the stored state: {0}")]
    NoRoom(String),
    /// Written by a newer program; nothing was touched.
    #[error("the state in {dir} has format {found}, this program knows formats up to {known}: use a newer program")]
    Newer {
        /// Its directory.
        dir: PathBuf,
        /// Its format.
        found: u32,
        /// The newest this program reads.
        known: u32,
    },
    /// Another process has it open.
    #[error("the state in {0} is in use by another process")]
    InUse(PathBuf),
    /// The file system refused; the operator must act (space, permissions).
    #[error("the state in {dir}: {source}")]
    Io {
        /// Its directory.
        dir: PathBuf,
        /// What the file system said.
        source: Arc<io::Error>,
    },
}

impl StoreError {
    /// Damage, as text.
    pub(super) fn broken(why: impl std::fmt::Display) -> Self {
        Self::Broken(why.to_string())
    }

    /// What the file system said.
    pub(super) fn io(dir: &Path, source: io::Error) -> Self {
        match is_full(source.kind()) {
            true => Self::NoRoom(format!("{}: {source}", dir.display())),
            false => Self::Io { dir: dir.to_owned(), source: Arc::new(source) },
        }
    }

    /// A panic of sled, which unwraps some of what the file system tells it: the message then names the kind.
    pub(super) fn panicked(message: String) -> Self {
        let full = ["StorageFull", "QuotaExceeded", "FileTooLarge"].iter().any(|kind| message.contains(kind));
        if full { Self::NoRoom(message) } else { Self::Broken(message) }
    }
}

impl From<CodecError> for StoreError {
    fn from(error: CodecError) -> Self {
        Self::broken(error)
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(source) if is_full(source.kind()) => Self::NoRoom(source.to_string()),
            other => Self::broken(other),
        }
    }
}

fn is_full(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | FileTooLarge)
}
