//! Removes segments that nobody needs any more: a snapshot has what they came to, and whoever asks says that their events are
//! old enough. The oldest go first and each removal is made durable before the next, so that what is left never has a gap.

use std::path::Path;

use super::catalog::{self, Segment};
use super::error::JournalError;
use super::packed::EXTENSION;
use super::segment::split_event;
use super::snapshot::Snapshot;
use super::storage::Storage;
use super::walk::Walk;

/// Segments at the front of the journal in `dir` that could go once a snapshot covers the event `covers_seq`: all before the
/// one in which the next event lies, as long as `is_old` says so of the first event behind each.
///
/// # Errors
/// As [`super::JournalReader::open`].
pub fn removable(dir: &Path, covers_seq: u64, is_old: impl Fn(&[u8]) -> bool) -> Result<usize, JournalError> {
    count(&catalog::load(dir)?, covers_seq, is_old)
}

/// Removes them. Returns how many there were.
///
/// # Errors
/// As [`removable`]; some may be removed.
pub fn remove(
    dir: &Path,
    storage: &dyn Storage,
    snapshot: &Snapshot,
    is_old: impl Fn(&[u8]) -> bool,
) -> Result<usize, JournalError> {
    let segments = catalog::load(dir)?;
    let many = count(&segments, snapshot.covers_seq, is_old)?;
    for segment in &segments[..many] {
        let packed = segment.path.with_extension(EXTENSION);
        let removed = || {
            // Both are there where packing was cut short.
            if packed != segment.path && packed.exists() {
                storage.remove(&packed)?;
            }
            storage.remove(&segment.path)?;
            storage.sync_dir(dir)
        };
        let removed = removed();
        removed.map_err(|error| JournalError::io("remove", &segment.path, error))?;
    }
    Ok(many)
}

fn count(segments: &[Segment], covers_seq: u64, is_old: impl Fn(&[u8]) -> bool) -> Result<usize, JournalError> {
    let mut many = 0;
    for next in segments.iter().skip(1) {
        if next.header.first_seq > covers_seq + 1 || !begins(next, &is_old)? {
            break;
        }
        many += 1;
    }
    Ok(many)
}

/// Whether a segment begins with an event that is old; one without events does not.
fn begins(segment: &Segment, is_old: impl Fn(&[u8]) -> bool) -> Result<bool, JournalError> {
    let mut walk = Walk::open(segment.clone())?;
    let first = walk.next_frame()?.and_then(|frame| {
        let mut body = frame.body;
        split_event(&mut body)
    });
    Ok(first.is_some_and(is_old))
}
