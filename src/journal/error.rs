//! Everything the journal can refuse, and who must act. Knows nothing of status codes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::packed::PackedDamage;
use super::segment::parse_file_name;

/// Why the journal did not do what was asked. Cheap to clone: one failure is told to every waiter.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// Stored bytes are not what was written. The operator must restore a copy; nothing is served meanwhile.
    #[error("the journal is damaged: segment {segment}, byte {offset}, event {seq}: {why}")]
    Damaged {
        /// File name of the segment.
        segment: String,
        /// Byte offset in that file.
        offset: u64,
        /// First sequence number that cannot be trusted.
        seq: u64,
        /// What does not hold.
        why: &'static str,
    },
    /// Written by a newer program; nothing was touched.
    #[error(
        "segment {segment} has journal format {found}, this program knows formats up to {known}: use a newer program"
    )]
    NewerFormat {
        /// File name of the segment.
        segment: String,
        /// Format version found in the file.
        found: u16,
        /// Newest format version this program reads.
        known: u16,
    },
    /// Another process has the directory open for writing.
    #[error("the journal in {dir} is in use by another process")]
    InUse {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// No disk space. Passes by itself when space returns; what was acknowledged is safe, what waits stays waiting.
    #[error("the journal's disk is full: nothing more is accepted until space is freed")]
    Full,
    /// A write or a sync failed. Never retried: the process must end and be started again.
    #[error("the journal failed and accepts nothing more: {why}")]
    Failed {
        /// The failure, as the operating system told it.
        why: Arc<str>,
    },
    /// The journal was shut down.
    #[error("the journal is closed")]
    Closed,
    /// The event, or the batch, does not fit one frame.
    #[error("{bytes} bytes are more than one commit of the journal can hold ({max_bytes})")]
    TooLarge {
        /// Size of what was to be appended, framing included.
        bytes: usize,
        /// Largest size taken.
        max_bytes: usize,
    },
    /// The caller's patience ended first. The event may still become durable.
    #[error("event {seq} was not synced in time")]
    NotSyncedInTime {
        /// The event waited for.
        seq: u64,
    },
    /// Nothing is stored at that location (any more).
    #[error("the journal holds no event at position {position}, index {index}")]
    NoSuchEvent {
        /// Byte position of the frame in the journal as a whole.
        position: u64,
        /// Index of the event in its frame.
        index: u32,
    },
    /// The event was removed with its segment.
    #[error("event {seq} is no longer kept: the oldest is {first_seq}")]
    Gone {
        /// The event asked for.
        seq: u64,
        /// The oldest event kept.
        first_seq: u64,
    },
    /// A setting is out of range.
    #[error("journal option {name}: {why}")]
    BadOption {
        /// Field of [`super::JournalOptions`].
        name: &'static str,
        /// What it must be.
        why: &'static str,
    },
    /// The file system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The refusal.
        source: Arc<io::Error>,
    },
}

impl JournalError {
    /// Wraps a refusal of the file system with what was tried. Bytes of a packed segment that do not hold arrive as one too.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        if let Some(PackedDamage(at)) = source.get_ref().and_then(|error| error.downcast_ref()) {
            let segment = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let seq = parse_file_name(&segment).unwrap_or_default();
            return Self::Damaged { segment, offset: *at, seq, why: "the packed segment does not hold" };
        }
        Self::Io { action, path: path.to_owned(), source: Arc::new(source) }
    }
}
