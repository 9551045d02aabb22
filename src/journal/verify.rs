//! Checks every byte of a journal and reports all it finds, instead of stopping at the first. Changes nothing.

use std::path::Path;

use super::catalog::{Segment, check_link, first_seqs, load_one, sealed_bytes};
use super::error::JournalError;
use super::packed::{EXTENSION, SegmentFile};
use super::segment::{chain_hex, file_name};
use super::snapshot::{Snapshot, snapshots};
use super::walk::{Tail, Walk};

/// What a whole journal looks like. Intact when `problems` is empty.
#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    /// Segment files found.
    pub segments: usize,
    /// Group commits that hold, markers included.
    pub frames: u64,
    /// Events that hold.
    pub events: u64,
    /// Length of all segment files, zeroed space included, in bytes.
    pub bytes: u64,
    /// Oldest event, 0 when no segment holds.
    pub first_seq: u64,
    /// Newest event that holds; `first_seq - 1` when there is none.
    pub last_seq: u64,
    /// Hash chain at the end, 32 hexadecimal digits; empty when no segment holds.
    pub head_chain_hex: String,
    /// Size of an unfinished last group, in bytes: torn by a crash, or a writer is at it now. Not a problem.
    pub torn_tail_bytes: u64,
    /// Snapshots that hold and continue in a segment that is kept, newest first.
    pub snapshots: Vec<Snapshot>,
    /// Everything that does not hold.
    pub problems: Vec<JournalError>,
}

/// Reads the whole journal in `dir`. May run beside a writer.
///
/// # Errors
/// [`JournalError::Io`] when the directory cannot be listed; everything else is in the report.
pub fn verify(dir: &Path) -> Result<VerifyReport, JournalError> {
    let mut report = VerifyReport::default();
    let mut found = Vec::new();
    for first_seq in first_seqs(dir)? {
        report.segments += 1;
        found.push(load_one(dir, first_seq).map_err(|problem| report.problems.push(problem)).ok());
    }
    let segments: Vec<Segment> = found.iter().flatten().cloned().collect();
    report.first_seq = segments.first().map_or(0, |segment| segment.header.first_seq);
    for (at, segment) in found.iter().enumerate().filter_map(|(at, segment)| Some((at, segment.as_ref()?))) {
        // One that does not open is no fault of the one before it.
        let next = found.get(at + 1).and_then(Option::as_ref);
        if let Err(problem) = check_segment(segment, next, &mut report) {
            report.problems.push(problem);
        }
    }
    for snapshot in snapshots(dir)? {
        match snapshot.and_then(|snapshot| check_snapshot(snapshot, &segments)) {
            Ok(snapshot) => report.snapshots.push(snapshot),
            Err(problem) => report.problems.push(problem),
        }
    }
    if report.first_seq > 1 && report.snapshots.is_empty() {
        report.problems.push(JournalError::Gone { seq: 1, first_seq: report.first_seq });
    }
    Ok(report)
}

/// Reads a snapshot, and looks up the segment in which the record goes on behind it.
fn check_snapshot(snapshot: Snapshot, segments: &[Segment]) -> Result<Snapshot, JournalError> {
    snapshot.check()?;
    let next = segments.iter().find(|segment| segment.header.first_seq == snapshot.first_seq);
    let goes_on =
        next.is_some_and(|next| (next.header.base, next.header.previous) == (snapshot.base, snapshot.previous));
    if goes_on {
        return Ok(snapshot);
    }
    let why = "no segment goes on where the snapshot ends";
    Err(JournalError::Damaged { segment: snapshot.name(), offset: 0, seq: snapshot.covers_seq, why })
}

fn check_segment(segment: &Segment, next: Option<&Segment>, report: &mut VerifyReport) -> Result<(), JournalError> {
    let file_bytes = SegmentFile::open(&segment.path)?.file_bytes();
    report.bytes += file_bytes.map_err(|error| JournalError::io("read", &segment.path, error))?;
    let mut walk = Walk::open(segment.clone())?;
    while let Some(count) = walk.next_frame()?.map(|frame| frame.count) {
        report.frames += 1;
        report.events += u64::from(count);
        report.last_seq = walk.next_seq - 1;
    }
    report.last_seq = walk.next_seq - 1;
    report.head_chain_hex = chain_hex(&walk.chain);
    if let Some(next) = next {
        check_link(segment, next)?;
        return walk.finish_sealed(sealed_bytes(segment, next)).map(|_| ());
    }
    match walk.tail() {
        Ok(Tail::Unwritten { file_bytes }) if walk.at_marker && file_bytes == walk.offset => {
            // A writer may have begun the next one since the listing.
            let next = segment.path.with_file_name(file_name(walk.next_seq));
            if next.exists() || next.with_extension(EXTENSION).exists() {
                return Ok(());
            }
            Err(segment.damaged(walk.offset, walk.next_seq, "a finished segment, and the one behind it is missing"))
        }
        Ok(Tail::Unwritten { .. }) => Ok(()),
        Ok(Tail::Torn { bytes, .. }) => {
            report.torn_tail_bytes = bytes;
            Ok(())
        }
        Err(damage) => retry_beside_writer(&mut walk, damage),
    }
}

/// What looks like damage in the last segment may be a group finished, with others behind it, since it was read.
fn retry_beside_writer(walk: &mut Walk, damage: JournalError) -> Result<(), JournalError> {
    walk.refresh();
    if walk.next_frame()?.is_some() { Ok(()) } else { Err(damage) }
}
