//! What the stored state can refuse, and who must act. Knows nothing of status codes.

use std::path::PathBuf;

use crate::journal::codec::CodecError;

/// Why the stored state did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is not what was written, or sled failed. It is to be opened again, which sets it aside if need be.
    #[error("the stored state is damaged: {0}")]
    Broken(String),
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
        source: std::io::Error,
    },
}

impl StoreError {
    /// Damage, as text.
    pub(super) fn broken(why: impl std::fmt::Display) -> Self {
        Self::Broken(why.to_string())
    }
}

impl From<CodecError> for StoreError {
    fn from(error: CodecError) -> Self {
        Self::broken(error)
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        Self::broken(error)
    }
}
