//! Reading the journal: in order, or one event by its location. Never writes, and works beside a running writer. It may
//! show events that are not durable yet: who must not act on those compares with `Journal::synced_seq`.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

use super::catalog::{self, Segment, sealed_bytes};
use super::error::JournalError;
use super::packed::SegmentFile;
use super::segment::{FRAME_HEAD_BYTES, HEADER_BYTES, Location, frame_len, parse_frame, split_event};
use super::walk::Walk;

/// Bytes read for one event at first: most frames are smaller.
const READ_AT_BYTES: usize = 16 << 10;

/// One stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Sequence number; the first event of a journal has 1.
    pub seq: u64,
    /// Where it lies.
    pub location: Location,
    /// What was appended.
    pub payload: Vec<u8>,
}

/// Read access to a journal directory. Cheap to share between threads.
pub struct JournalReader {
    dir: PathBuf,
    shelves: RwLock<Arc<Vec<Shelf>>>,
}

struct Shelf {
    segment: Segment,
    file: SegmentFile,
}

impl JournalReader {
    /// Opens all segments and checks that they connect.
    ///
    /// # Errors
    /// [`JournalError::Damaged`], [`JournalError::NewerFormat`], [`JournalError::Io`].
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let shelves = RwLock::new(Arc::new(load_shelves(dir)?));
        Ok(Self { dir: dir.to_owned(), shelves })
    }

    /// All events kept, in order, up to the end of the segment that was last when this reader (last) listed them. Ends at
    /// the first group a writer has not finished; ends after the first error.
    #[must_use]
    pub fn entries(&self) -> Entries {
        Entries::new(self.segments(), 0)
    }

    /// As [`JournalReader::entries`], from this event on; empty when it does not exist yet.
    ///
    /// # Errors
    /// [`JournalError::Gone`] when retention removed it, and those of [`JournalReader::open`].
    pub fn read_from(&self, seq: u64) -> Result<Entries, JournalError> {
        self.refresh()?;
        let mut segments = self.segments();
        if let Some(first_seq) = segments.first().map(|segment| segment.header.first_seq).filter(|first| seq < *first) {
            return Err(JournalError::Gone { seq, first_seq });
        }
        let behind = segments.partition_point(|segment| segment.header.first_seq <= seq);
        segments.drain(..behind.saturating_sub(1));
        Ok(Entries::new(segments, seq))
    }

    /// As [`JournalReader::entries`], from the last segment on whose first event `is_before`; from the first one where none is.
    /// Of the events in order, those up to some place must be before.
    ///
    /// # Errors
    /// Those of [`JournalReader::open`].
    pub fn read_after(&self, is_before: impl Fn(&[u8]) -> bool) -> Result<Entries, JournalError> {
        self.refresh()?;
        let mut segments = self.segments();
        let first = |segment: &Segment| Entries::new(vec![segment.clone()], 0).next();
        let begins_before = |s: &Segment| matches!(first(s), Some(Ok(entry)) if is_before(&entry.payload));
        let behind = segments.partition_point(begins_before);
        segments.drain(..behind.saturating_sub(1));
        Ok(Entries::new(segments, 0))
    }

    /// Reads one event, checking the checksum of its group.
    ///
    /// # Errors
    /// [`JournalError::NoSuchEvent`] when nothing is stored there, [`JournalError::Damaged`], [`JournalError::Io`].
    pub fn read_at(&self, location: Location) -> Result<Entry, JournalError> {
        match self.try_read_at(location) {
            Err(JournalError::NoSuchEvent { .. }) => {
                // The writer may have begun a segment since.
                self.refresh()?;
                self.try_read_at(location)
            }
            told => told,
        }
    }

    /// Finds an event by walking its segment; `None` when it does not exist yet.
    ///
    /// # Errors
    /// As [`JournalReader::read_from`].
    pub fn locate(&self, seq: u64) -> Result<Option<Location>, JournalError> {
        let first = self.read_from(seq)?.next().transpose()?;
        Ok(first.map(|entry| entry.location))
    }

    /// Lists the segments again, and lets go of those that are gone.
    ///
    /// # Errors
    /// As [`JournalReader::open`].
    pub fn refresh(&self) -> Result<(), JournalError> {
        let shelves = Arc::new(load_shelves(&self.dir)?);
        *self.shelves.write() = shelves;
        Ok(())
    }

    fn segments(&self) -> Vec<Segment> {
        self.shelves.read().iter().map(|shelf| shelf.segment.clone()).collect()
    }

    fn try_read_at(&self, location: Location) -> Result<Entry, JournalError> {
        let shelves = Arc::clone(&self.shelves.read());
        let (position, index) = (location.position(), location.index());
        let nothing = JournalError::NoSuchEvent { position, index };
        let behind = shelves.partition_point(|shelf| shelf.segment.header.base <= position);
        let Some(shelf) = behind.checked_sub(1).and_then(|at| shelves.get(at)) else { return Err(nothing) };
        let offset = position - shelf.segment.header.base;
        if offset < HEADER_BYTES {
            return Err(nothing);
        }
        let mut bytes = shelf.read(offset, READ_AT_BYTES)?;
        if let Some(len) = frame_len(&bytes).filter(|len| *len > bytes.len()) {
            bytes = shelf.read(offset, len)?;
        }
        if bytes.len() < FRAME_HEAD_BYTES || bytes[..FRAME_HEAD_BYTES].iter().all(|byte| *byte == 0) {
            return Err(nothing);
        }
        let Some(frame) = parse_frame(&bytes) else {
            let seq = shelf.segment.header.first_seq;
            return Err(shelf.segment.damaged(offset, seq, "no whole group where an event should be"));
        };
        let mut body = frame.body;
        for _ in 0..index {
            split_event(&mut body);
        }
        let payload = split_event(&mut body).ok_or(nothing)?.to_vec();
        Ok(Entry { seq: frame.first_seq + u64::from(index), location, payload })
    }
}

impl std::fmt::Debug for JournalReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("JournalReader").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Shelf {
    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, JournalError> {
        let mut bytes = vec![0; len];
        let read = self
            .file
            .read_up_to(&mut bytes, offset)
            .map_err(|error| JournalError::io("read", &self.segment.path, error))?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

fn load_shelves(dir: &Path) -> Result<Vec<Shelf>, JournalError> {
    catalog::load(dir)?
        .into_iter()
        .map(|segment| Ok(Shelf { file: SegmentFile::open(&segment.path)?, segment }))
        .collect()
}

/// Events in order; see [`JournalReader::entries`].
pub struct Entries {
    /// Segments not finished, the current one first.
    segments: VecDeque<Segment>,
    walk: Option<Walk>,
    /// Events of the current frame not returned yet are those behind `body_at`.
    body: Vec<u8>,
    body_at: usize,
    /// Location and number of the next event in `body`.
    position: u64,
    index: u32,
    seq: u64,
    from_seq: u64,
    over: bool,
}

impl Entries {
    fn new(segments: Vec<Segment>, from_seq: u64) -> Self {
        Self {
            segments: segments.into(),
            walk: None,
            body: Vec::new(),
            body_at: 0,
            position: 0,
            index: 0,
            seq: 0,
            from_seq,
            over: false,
        }
    }

    fn next_entry(&mut self) -> Result<Option<Entry>, JournalError> {
        loop {
            let mut rest = &self.body[self.body_at..];
            let Some(payload) = split_event(&mut rest) else {
                if self.load_frame()? {
                    continue;
                }
                return Ok(None);
            };
            let wanted = self.seq >= self.from_seq;
            let entry = wanted.then(|| Entry {
                seq: self.seq,
                location: Location::new(self.position, self.index),
                payload: payload.to_vec(),
            });
            self.body_at = self.body.len() - rest.len();
            self.index += 1;
            self.seq += 1;
            if entry.is_some() {
                return Ok(entry);
            }
        }
    }

    /// Loads the next frame that has wanted events. False at the end.
    fn load_frame(&mut self) -> Result<bool, JournalError> {
        loop {
            let Some(segment) = self.segments.front().cloned() else { return Ok(false) };
            let mut walk = match self.walk.take() {
                Some(walk) => walk,
                None => Walk::open(segment.clone())?,
            };
            if self.pass_frame(&mut walk)? || self.pass_frame_being_written(&mut walk)? {
                self.walk = Some(walk);
                return Ok(true);
            }
            if let Some(next) = self.segments.get(1) {
                walk.finish_sealed(sealed_bytes(&segment, next))?;
            }
            self.segments.pop_front();
        }
    }

    fn pass_frame(&mut self, walk: &mut Walk) -> Result<bool, JournalError> {
        while let Some(frame) = walk.next_frame()? {
            if frame.first_seq + u64::from(frame.count) <= self.from_seq || frame.count == 0 {
                continue;
            }
            self.body.clear();
            self.body.extend_from_slice(frame.body);
            self.body_at = 0;
            self.position = frame.location.position();
            self.index = 0;
            self.seq = frame.first_seq;
            return Ok(true);
        }
        Ok(false)
    }

    /// At the end of the last segment: what looks like damage may be a group that was half written when it was read and
    /// has been finished, with others behind it, since.
    fn pass_frame_being_written(&mut self, walk: &mut Walk) -> Result<bool, JournalError> {
        if self.segments.len() > 1 {
            return Ok(false);
        }
        let Err(damage) = walk.tail() else { return Ok(false) };
        walk.refresh();
        if self.pass_frame(walk)? { Ok(true) } else { Err(damage) }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.next_entry().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}
