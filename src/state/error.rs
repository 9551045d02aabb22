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

    /// A panic of sled over `dir`, which unwraps some of what the file system tells it: the message then names the kind,
    /// or the number where it has none. A disk that fails says nothing of what was written before.
    pub(super) fn panicked(dir: &Path, message: String) -> Self {
        let full = ["StorageFull", "QuotaExceeded", "FileTooLarge"].iter().any(|kind| message.contains(kind));
        match message.contains(&format!("Os {{ code: {EIO},")) {
            _ if full => Self::NoRoom(message),
            true => Self::io(dir, io::Error::from_raw_os_error(EIO)),
            false => Self::Broken(message),
        }
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

/// Input/output error on Linux.
const EIO: i32 = 5;

/// Whether the disk itself failed.
pub(super) fn is_io(error: &io::Error) -> bool {
    error.raw_os_error() == Some(EIO)
}

fn is_full(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | FileTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_over_the_file_system_is_told_by_what_the_operator_can_do() {
        let of = |what: &str| {
            let message = format!("sled panicked: called `Result::unwrap()` on an `Err` value: {what}");
            StoreError::panicked(Path::new("d"), message)
        };
        let io = of(r#"Os { code: 5, kind: Uncategorized, message: "Input/output error" }"#);
        assert_eq!(io.to_string(), "the state in d: Input/output error (os error 5)");
        assert!(matches!(of(r#"Io(Os { code: 28, kind: StorageFull, message: "" })"#), StoreError::NoRoom(_)));
        assert!(matches!(of("Os { code: 52, kind: Uncategorized }"), StoreError::Broken(_)));
        assert!(matches!(of("torn page 5"), StoreError::Broken(_)));
    }
}
