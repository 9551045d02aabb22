//! The committer: one thread that puts each group of events on disk with one write and one sync, begins new segments, and
//! knows what to do when the disk refuses. A full disk is waited out with the group kept; any other failure is final,
//! because after a failed sync nobody can say what is on disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::JournalError;
use super::options::JournalOptions;
use super::queue::{Group, Queue};
use super::room::{NoRoom, PREPARED_NAME, Room};
use super::segment::{Chain, FRAME_HEAD_BYTES, HEADER_BYTES, Header, Location, MAX_POSITION, file_name, seal_frame};
use super::storage::{Storage, StorageFile, is_full};

const MARKER_BYTES: u64 = FRAME_HEAD_BYTES as u64;

/// Where the journal ends.
pub(super) struct Head {
    pub(super) file: Box<dyn StorageFile>,
    pub(super) path: PathBuf,
    /// First event of the active segment.
    pub(super) first_seq: u64,
    /// Position of the active segment's first byte in the journal as a whole.
    pub(super) base: u64,
    /// Where the next frame goes in the active segment.
    pub(super) pos: u64,
    pub(super) chain: Chain,
    pub(super) next_seq: u64,
    /// Whether the last frame is a marker.
    pub(super) at_marker: bool,
}

/// What the committer works with.
pub(super) struct Committer {
    pub(super) dir: PathBuf,
    pub(super) options: JournalOptions,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) queue: Arc<Queue>,
    pub(super) room: Arc<Room>,
    /// Whether to leave a marker at the end.
    pub(super) mark_end: Arc<AtomicBool>,
    pub(super) head: Head,
}

impl Committer {
    /// Body of the thread: commits until the queue closes or the disk fails.
    pub(super) fn run(mut self) {
        let _guard = PanicGuard { queue: Arc::clone(&self.queue), room: Arc::clone(&self.room) };
        let reason = match self.commit_all() {
            Ok(()) => JournalError::Closed,
            Err(NoRoom::Abandoned) => JournalError::Full,
            Err(NoRoom::Failed(why)) => JournalError::Failed { why: why.into() },
        };
        self.room.stop();
        self.queue.end(&reason);
    }

    fn commit_all(&mut self) -> Result<(), NoRoom> {
        while let Some(mut group) = self.queue.take() {
            let location = self.commit(&mut group)?;
            self.queue.committed(group, location);
        }
        if self.mark_end.load(Ordering::Acquire) && !self.head.at_marker && self.queue.ended().is_none() {
            self.room.wait_zeroed(self.head.pos + MARKER_BYTES)?;
            self.write_marker()?;
        }
        Ok(())
    }

    fn commit(&mut self, group: &mut Group) -> Result<Location, NoRoom> {
        assert!(group.first_seq == self.head.next_seq, "INV-JOURNAL-3: groups are written in order, without gaps");
        let bytes = group.frame.len() as u64;
        if self.head.pos + bytes + MARKER_BYTES >= self.options.segment_bytes {
            self.rotate()?;
        }
        let position = self.head.base + self.head.pos;
        if position >= MAX_POSITION {
            return Err(NoRoom::Failed("the journal has used up its positions (16 TiB)".into()));
        }
        self.room.wait_zeroed(self.head.pos + bytes + MARKER_BYTES)?;
        self.write_frame(&mut group.frame, u64::from(group.count))?;
        Ok(Location::new(position, 0))
    }

    fn write_frame(&mut self, frame: &mut [u8], count: u64) -> Result<(), NoRoom> {
        let chain = seal_frame(frame, self.head.next_seq, &self.head.chain);
        let Head { file, path, pos, .. } = &self.head;
        // A retry writes everything again: what a failed sync dropped would otherwise never reach the disk.
        self.until_space("write", path, || {
            file.write_all_at(frame, *pos)?;
            file.sync_data()
        })?;
        self.head.chain = chain;
        self.head.pos += frame.len() as u64;
        self.head.next_seq += count;
        self.head.at_marker = count == 0;
        self.room.advance(self.head.pos);
        Ok(())
    }

    /// Needs room for the marker and a zero byte behind it, which every frame leaves.
    fn write_marker(&mut self) -> Result<(), NoRoom> {
        self.write_frame(&mut [0; FRAME_HEAD_BYTES], 0)
    }

    /// Ends the active segment with a marker and begins the prepared one. The new name appears only once the marker and
    /// the new header are durable, so a named segment always has a header and an ended one before it.
    fn rotate(&mut self) -> Result<(), NoRoom> {
        // The largest frame fits a segment that has no more than a marker: see `JournalOptions::max_frame_bytes`.
        assert!(self.head.next_seq > self.head.first_seq, "INV-JOURNAL-4: no two segments start with the same event");
        self.room.wait_prepared()?;
        if !self.head.at_marker {
            self.write_marker()?;
        }
        let head = &self.head;
        let header = Header { first_seq: head.next_seq, base: head.base + head.pos, previous: head.chain };
        let prepared = self.dir.join(PREPARED_NAME);
        let path = self.dir.join(file_name(head.next_seq));
        let file = self.until_space("begin", &prepared, || {
            let file = self.storage.open(&prepared)?;
            file.write_all_at(&header.encode(), 0)?;
            file.sync_data()?;
            Ok(file)
        })?;
        self.until_space("name", &path, || self.storage.rename(&prepared, &path))?;
        self.until_space("sync", &self.dir, || self.storage.sync_dir(&self.dir))?;
        self.room.rotated(path.clone(), HEADER_BYTES);
        self.head.file = file;
        self.head.path = path;
        self.head.first_seq = header.first_seq;
        self.head.base = header.base;
        self.head.pos = HEADER_BYTES;
        Ok(())
    }

    /// Tries until the disk is not full. Anything else the disk says is final.
    fn until_space<T>(
        &self,
        action: &str,
        path: &Path,
        mut attempt: impl FnMut() -> io::Result<T>,
    ) -> Result<T, NoRoom> {
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(error) if is_full(&error) => self.room.pause()?,
                Err(error) => return Err(NoRoom::Failed(format!("cannot {action} {}: {error}", path.display()))),
            }
        }
    }
}

/// Tells the waiters, and ends the other thread, when the committer panics.
struct PanicGuard {
    queue: Arc<Queue>,
    room: Arc<Room>,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        self.room.stop();
        self.queue.end(&JournalError::Failed { why: "the committer ended unexpectedly".into() });
    }
}
