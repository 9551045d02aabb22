//! Goes through the frames of one segment and judges what lies behind the last whole one. Read-only; decides nothing
//! about what to do then.

use super::catalog::Segment;
use super::error::JournalError;
use super::packed::SegmentFile;
use super::segment::{
    Chain, FRAME_HEAD_BYTES, HEADER_BYTES, Location, MAX_FRAME_BYTES, count_events, frame_len, holds_later_frame,
    next_chain, parse_frame,
};

/// Bytes read at once: large enough for many frames.
const WINDOW_BYTES: usize = 1 << 20;

/// A position between two frames of a segment.
pub(super) struct Walk {
    pub(super) segment: Segment,
    file: SegmentFile,
    /// Bytes of the file from `window_start` on.
    window: Vec<u8>,
    window_start: u64,
    /// Where the next frame starts in the file.
    pub(super) offset: u64,
    /// Sequence number of the next event.
    pub(super) next_seq: u64,
    /// Chain over everything before `offset`.
    pub(super) chain: Chain,
    /// Start of the frame just passed.
    pub(super) last_frame: Option<u64>,
    /// Whether the frame just passed was a marker.
    pub(super) at_marker: bool,
}

/// A frame that was checked against everything before it.
pub(super) struct Passed<'a> {
    pub(super) first_seq: u64,
    pub(super) count: u32,
    pub(super) location: Location,
    pub(super) body: &'a [u8],
}

/// What lies behind the last whole frame of an unfinished segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Zeros, up to the file's length, which may be none.
    Unwritten { file_bytes: u64 },
    /// A write that did not finish: that many bytes up to the last one that is not zero, or to the end of a cut file.
    Torn { bytes: u64, file_bytes: u64 },
}

impl Walk {
    /// Stands before the first frame.
    pub(super) fn open(segment: Segment) -> Result<Self, JournalError> {
        let file = SegmentFile::open(&segment.path)?;
        let (next_seq, chain) = (segment.header.first_seq, segment.header.previous);
        Ok(Self {
            segment,
            file,
            window: Vec::new(),
            window_start: 0,
            offset: HEADER_BYTES,
            next_seq,
            chain,
            last_frame: None,
            at_marker: false,
        })
    }

    /// Passes the next frame. `None`: no whole frame starts here, see [`Walk::tail`] for what that means.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when a whole frame does not follow from the ones before it, `Io`.
    pub(super) fn next_frame(&mut self) -> Result<Option<Passed<'_>>, JournalError> {
        self.fill(FRAME_HEAD_BYTES)?;
        let Some(len) = frame_len(self.ahead()) else { return Ok(None) };
        self.fill(len)?;
        let start = (self.offset - self.window_start) as usize;
        let Some(frame) = parse_frame(&self.window[start..]) else { return Ok(None) };
        let damaged = |why| Err(self.segment.damaged(self.offset, self.next_seq, why));
        if frame.first_seq != self.next_seq {
            return damaged("events are missing before this frame");
        }
        if frame.chain != next_chain(&self.chain, frame.body) {
            return damaged("the hash chain does not hold: something before this frame was changed");
        }
        let Some(count) = count_events(frame.body) else {
            return damaged("the frame's events do not fill it");
        };
        let passed = Passed {
            first_seq: frame.first_seq,
            count,
            location: Location::new(self.segment.header.base + self.offset, 0),
            body: frame.body,
        };
        self.chain = frame.chain;
        self.last_frame = Some(self.offset);
        self.at_marker = count == 0;
        self.offset += len as u64;
        self.next_seq += u64::from(count);
        Ok(Some(passed))
    }

    /// Judges everything behind the last whole frame of an unfinished segment.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when a whole frame lies further on, `Io`.
    pub(super) fn tail(&mut self) -> Result<Tail, JournalError> {
        let rest = self.read_rest()?;
        let file_bytes = self.offset + rest.len() as u64;
        let Some(last) = rest.iter().rposition(|byte| *byte != 0) else {
            return Ok(Tail::Unwritten { file_bytes });
        };
        if holds_later_frame(&rest, self.next_seq) {
            return Err(self.segment.damaged(self.offset, self.next_seq, "a bad frame with whole ones behind it"));
        }
        if last >= MAX_FRAME_BYTES {
            return Err(self.segment.damaged(
                self.offset,
                self.next_seq,
                "more unreadable bytes than one commit can leave",
            ));
        }
        Ok(Tail::Torn { bytes: last as u64 + 1, file_bytes })
    }

    /// Checks that a finished segment ends here, at `sealed_bytes`, behind its marker, with nothing but zeros left over.
    /// Returns whether there are any: the file was not trimmed yet.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when it does not, `Io`.
    pub(super) fn finish_sealed(&mut self, sealed_bytes: u64) -> Result<bool, JournalError> {
        if self.offset != sealed_bytes || !self.at_marker {
            return Err(self.segment.damaged(self.offset, self.next_seq, "a bad frame in a finished segment"));
        }
        let rest = self.read_rest()?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(self.segment.damaged(self.offset, self.next_seq, "bytes behind the end of a finished segment"));
        }
        Ok(!rest.is_empty())
    }

    /// Forgets what was read ahead, so that the next step sees what a writer has written since.
    pub(super) fn refresh(&mut self) {
        self.window.clear();
        self.window_start = self.offset;
    }

    fn ahead(&self) -> &[u8] {
        &self.window[(self.offset - self.window_start) as usize..]
    }

    /// Makes the window hold `want` bytes from `offset` on, or all there are.
    fn fill(&mut self, want: usize) -> Result<(), JournalError> {
        let end = self.window_start + self.window.len() as u64;
        if self.offset + want as u64 <= end {
            return Ok(());
        }
        let refused = |error| JournalError::io("read", &self.segment.path, error);
        let left = self.file.len().map_err(refused)?.saturating_sub(self.offset);
        let len = left.min(want.max(WINDOW_BYTES) as u64) as usize;
        self.window.clear();
        self.window.resize(len, 0);
        self.window_start = self.offset;
        let len = self.file.read_up_to(&mut self.window, self.offset).map_err(refused)?;
        self.window.truncate(len);
        Ok(())
    }

    fn read_rest(&self) -> Result<Vec<u8>, JournalError> {
        let rest = self.file.read_from(self.offset);
        rest.map_err(|error| JournalError::io("read", &self.segment.path, error))
    }
}
