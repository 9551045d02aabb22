//! Opening a journal: checks first, repairs only what an interrupted write can explain, refuses the rest untouched.

use std::fs::File;
use std::path::Path;

use super::catalog::{self, Segment, sealed_bytes};
use super::commit::Head;
use super::error::JournalError;
use super::options::JournalOptions;
use super::pack;
use super::packed::SegmentFile;
use super::room::PREPARED_NAME;
use super::segment::{Chain, HEADER_BYTES, Header, chain_hex, file_name};
use super::snapshot;
use super::storage::{Storage, write_zeros};
use super::walk::{Tail, Walk};

/// What was found and done when the journal was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// Number of segment files.
    pub segments: usize,
    /// Oldest event still kept; more than 1 after retention. In an empty journal the number the first event will get.
    pub first_seq: u64,
    /// Newest event; `first_seq - 1` when there is none.
    pub last_seq: u64,
    /// Size of the torn last group that was dropped, in bytes; 0 when there was none. Nobody was told it was safe, unless
    /// the disk damaged it afterwards.
    pub dropped_tail_bytes: u64,
    /// Whether the journal was shut down before, rather than killed. True for a new one.
    pub clean: bool,
    /// Hash chain over everything kept, 32 hexadecimal digits.
    pub head_chain_hex: String,
}

/// The end of the journal, ready to be written on.
pub(super) struct Recovered {
    pub(super) head: Head,
    /// Length of the last segment; all zeros behind `head.pos`.
    pub(super) zeroed: u64,
    pub(super) report: OpenReport,
}

pub(super) fn recover(dir: &Path, options: &JournalOptions, storage: &dyn Storage) -> Result<Recovered, JournalError> {
    let segments = catalog::load(dir)?;
    let Some(last) = segments.last() else { return create_first(dir, options, storage) };
    let untrimmed = untrimmed(&segments)?;
    let mut walk = Walk::open(last.clone())?;
    while walk.next_frame()?.is_some() {}
    let tail = walk.tail()?;
    if walk.at_marker && tail == (Tail::Unwritten { file_bytes: walk.offset }) {
        // A segment still written to is always longer than what is in it.
        return Err(last.damaged(walk.offset, walk.next_seq, "a finished segment, and the one behind it is missing"));
    }

    for (path, bytes) in untrimmed {
        let trimmed = storage.open(path).and_then(|file| file.set_len(bytes).and_then(|()| file.sync_data()));
        trimmed.map_err(|error| JournalError::io("trim", path, error))?;
    }
    for unfinished in [PREPARED_NAME, snapshot::NEW_NAME, pack::NEW_NAME].map(|name| dir.join(name)) {
        if unfinished.exists() {
            storage.remove(&unfinished).map_err(|error| JournalError::io("remove", &unfinished, error))?;
        }
    }
    let (zeroed, dropped_tail_bytes) = match tail {
        Tail::Unwritten { file_bytes } => (file_bytes, 0),
        Tail::Torn { bytes, file_bytes } => (file_bytes, bytes),
    };
    let file = settle(&walk, dropped_tail_bytes, storage)?;
    storage.sync_dir(dir).map_err(|error| JournalError::io("sync", dir, error))?;
    let report = OpenReport {
        segments: segments.len(),
        first_seq: segments[0].header.first_seq,
        last_seq: walk.next_seq - 1,
        dropped_tail_bytes,
        clean: walk.at_marker && dropped_tail_bytes == 0,
        head_chain_hex: chain_hex(&walk.chain),
    };
    let head = Head {
        file,
        path: last.path.clone(),
        first_seq: last.header.first_seq,
        base: last.header.base,
        pos: walk.offset,
        chain: walk.chain,
        next_seq: walk.next_seq,
        at_marker: walk.at_marker,
    };
    Ok(Recovered { head, zeroed, report })
}

/// Finished segments longer than they should be, with the right size: a crash came between naming the next one and this.
fn untrimmed(segments: &[Segment]) -> Result<Vec<(&Path, u64)>, JournalError> {
    let mut found = Vec::new();
    for pair in segments.windows(2) {
        let (segment, bytes) = (&pair[0], sealed_bytes(&pair[0], &pair[1]));
        let rest = SegmentFile::open(&segment.path)?.read_from(bytes);
        let rest = rest.map_err(|error| JournalError::io("read", &segment.path, error))?;
        if rest.iter().any(|byte| *byte != 0) {
            let seq = pair[1].header.first_seq;
            return Err(segment.damaged(bytes, seq, "bytes behind the end of a finished segment"));
        }
        if !rest.is_empty() {
            found.push((segment.path.as_path(), bytes));
        }
    }
    Ok(found)
}

/// Zeroes the torn tail and makes what was read durable. The last group is written again: if an earlier process met a
/// failing sync, the kernel may show that group from memory and believe it is on disk.
fn settle(
    walk: &Walk,
    torn_bytes: u64,
    storage: &dyn Storage,
) -> Result<Box<dyn super::storage::StorageFile>, JournalError> {
    let path = &walk.segment.path;
    let repaired = || {
        let file = storage.open(path)?;
        write_zeros(file.as_ref(), walk.offset, walk.offset + torn_bytes)?;
        if let Some(start) = walk.last_frame {
            let mut frame = SegmentFile::Plain(File::open(path)?).read_from(start)?;
            frame.truncate((walk.offset - start) as usize);
            file.write_all_at(&frame, start)?;
        }
        file.sync_data()?;
        Ok(file)
    };
    repaired().map_err(|error| JournalError::io("repair", path, error))
}

fn create_first(dir: &Path, options: &JournalOptions, storage: &dyn Storage) -> Result<Recovered, JournalError> {
    let header = Header { first_seq: 1, base: 0, previous: Chain::default() };
    let zeroed = options.chunk_bytes.min(options.segment_bytes);
    let (prepared, path) = (dir.join(PREPARED_NAME), dir.join(file_name(1)));
    let created = || {
        let file = storage.create(&prepared)?;
        file.write_all_at(&header.encode(), 0)?;
        write_zeros(file.as_ref(), HEADER_BYTES, zeroed)?;
        file.sync_data()?;
        storage.rename(&prepared, &path)?;
        storage.sync_dir(dir)?;
        Ok(file)
    };
    let file = created().map_err(|error| JournalError::io("create", &path, error))?;
    let chain = header.previous;
    let report = OpenReport {
        segments: 1,
        first_seq: 1,
        last_seq: 0,
        dropped_tail_bytes: 0,
        clean: true,
        head_chain_hex: chain_hex(&chain),
    };
    let head = Head { file, path, first_seq: 1, base: 0, pos: HEADER_BYTES, chain, next_seq: 1, at_marker: false };
    Ok(Recovered { head, zeroed, report })
}
