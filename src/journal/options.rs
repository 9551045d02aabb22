//! Settings of the journal. Knows no files; defaults suit a daemon, tests make everything small.

use std::time::Duration;

use super::error::JournalError;
use super::segment::{FRAME_HEAD_BYTES, HEADER_BYTES, MAX_FRAME_BYTES};

/// How the journal lays out its files. Safe to change between two runs.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// Size at which a new segment file is begun, in bytes. Default 64 MiB, at least 1 KiB.
    pub segment_bytes: u64,
    /// Space written out with zeros at a time, ahead of need, in bytes. Default 4 MiB.
    pub chunk_bytes: u64,
    /// Zeroed space below which events are refused when the disk is full, in bytes. Default 1 MiB, less than `chunk_bytes`.
    pub headroom_bytes: u64,
    /// Size a group of events is cut at, in bytes: what one random read has to check. Default 1 MiB, at most 16 MiB.
    pub frame_bytes: usize,
    /// Pause between two tries while the disk is full. Default 200 ms.
    pub retry_every: Duration,
    /// How long events that nobody waits for may stay unwritten, to share one write and sync. Default 2 ms.
    pub linger: Duration,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            chunk_bytes: 4 << 20,
            headroom_bytes: 1 << 20,
            frame_bytes: 1 << 20,
            retry_every: Duration::from_millis(200),
            linger: Duration::from_millis(2),
        }
    }
}

impl JournalOptions {
    /// Refuses settings that cannot work together.
    ///
    /// # Errors
    /// [`JournalError::BadOption`] naming the field.
    pub(super) fn check(&self) -> Result<(), JournalError> {
        let bad = |name, why| Err(JournalError::BadOption { name, why });
        if self.segment_bytes < 1024 {
            return bad("segment_bytes", "at least 1024");
        }
        if self.chunk_bytes < 512 {
            return bad("chunk_bytes", "at least 512");
        }
        if self.headroom_bytes >= self.chunk_bytes.min(self.segment_bytes) {
            return bad("headroom_bytes", "less than chunk_bytes and segment_bytes");
        }
        if !(FRAME_HEAD_BYTES + 1..=MAX_FRAME_BYTES).contains(&self.frame_bytes) {
            return bad("frame_bytes", "between 33 bytes and 16 MiB");
        }
        Ok(())
    }

    /// Largest frame a segment can take: it leaves room for the header, a marker of an earlier clean stop, the closing
    /// marker and one zero byte.
    pub(super) fn max_frame_bytes(&self) -> usize {
        let room = self.segment_bytes - HEADER_BYTES - 2 * FRAME_HEAD_BYTES as u64 - 1;
        usize::try_from(room).unwrap_or(usize::MAX).min(MAX_FRAME_BYTES)
    }
}
