//! The journal as its owner sees it: append, wait, ask how it is, shut down. Two threads behind it do all the I/O.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use super::commit::Committer;
use super::error::JournalError;
use super::options::JournalOptions;
use super::queue::{CommitWaiter, Queue};
use super::recover::{OpenReport, Recovered, recover};
use super::room::Room;
use super::segment::{Location, event_bytes};
use super::storage::{DiskStorage, Storage};

/// Whether the journal takes events.
#[derive(Debug, Clone)]
pub enum JournalState {
    /// It does.
    Ready,
    /// The disk is full; passes when space returns.
    Full,
    /// It failed or was closed; does not pass.
    Ended(JournalError),
}

/// The one writer of a journal directory. All methods may be called from any thread.
///
/// Dropping it writes what is pending, without waiting for space on a full disk, and leaves no clean-stop marker.
pub struct Journal {
    queue: Arc<Queue>,
    room: Arc<Room>,
    mark_end: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Given back last, when both threads have ended.
    _lock: DirLock,
}

impl Journal {
    /// Opens the journal in a directory, which is created when missing; drops and reports a torn last group.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] and [`JournalError::NewerFormat`]: nothing was changed. [`JournalError::InUse`] when
    /// another `Journal` has the directory, [`JournalError::BadOption`], [`JournalError::Io`].
    pub fn open(dir: &Path, options: JournalOptions) -> Result<(Self, OpenReport), JournalError> {
        Self::open_with(dir, options, Arc::new(DiskStorage))
    }

    /// As [`Journal::open`], writing through another [`Storage`].
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_with(
        dir: &Path,
        options: JournalOptions,
        storage: Arc<dyn Storage>,
    ) -> Result<(Self, OpenReport), JournalError> {
        options.check()?;
        let lock = lock_dir(dir)?;
        let Recovered { head, zeroed, report } = recover(dir, &options, storage.as_ref())?;
        let queue = Arc::new(Queue::new(head.next_seq, options.frame_bytes, options.max_frame_bytes(), options.linger));
        let room = Arc::new(Room::new(dir, options.clone(), head.path.clone(), head.pos, zeroed));
        let mark_end = Arc::new(AtomicBool::new(false));
        let filler = {
            let (room, queue, storage) = (Arc::clone(&room), Arc::clone(&queue), Arc::clone(&storage));
            move || {
                if let Some(why) = room.run(&storage) {
                    queue.end(&JournalError::Failed { why: why.into() });
                }
            }
        };
        let committer = Committer {
            dir: dir.to_owned(),
            options,
            storage,
            queue: Arc::clone(&queue),
            room: Arc::clone(&room),
            mark_end: Arc::clone(&mark_end),
            head,
        };
        let journal = Self { queue, room, mark_end, threads: Mutex::new(Vec::new()), _lock: lock };
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            let spawned = thread::Builder::new().name(name.into()).spawn(body);
            spawned.map_err(|error| JournalError::io("start a thread for", dir, error))
        };
        let threads =
            vec![spawn("journal-room", Box::new(filler))?, spawn("journal-commit", Box::new(move || committer.run()))?];
        *journal.threads.lock() = threads;
        journal.room.wait_first_attempt();
        Ok((journal, report))
    }

    /// Takes one event and returns its sequence number. Only copies it: durable once a waiter says so.
    ///
    /// # Errors
    /// [`JournalError::Full`], [`JournalError::Failed`], [`JournalError::Closed`], [`JournalError::TooLarge`]: not taken.
    pub fn append(&self, payload: &[u8]) -> Result<u64, JournalError> {
        self.append_all(&[payload])
    }

    /// Takes events that survive a crash all together or not at all. Returns the first one's sequence number; the others
    /// follow it. Of no events: the number the next one gets.
    ///
    /// # Errors
    /// As [`Journal::append`]; [`JournalError::TooLarge`] when together they exceed one frame (16 MiB, or a segment).
    pub fn append_all(&self, payloads: &[&[u8]]) -> Result<u64, JournalError> {
        let bytes: usize = payloads.iter().map(|payload| event_bytes(payload)).sum();
        if self.room.is_full(self.queue.pending_bytes() + bytes as u64) {
            return Err(JournalError::Full);
        }
        self.queue.append(payloads, bytes)
    }

    /// Whether an event would be taken now: to be asked before anything is decided that must be recorded.
    ///
    /// # Errors
    /// [`JournalError::Full`], [`JournalError::Failed`] or [`JournalError::Closed`].
    pub fn accepting(&self) -> Result<(), JournalError> {
        match self.state() {
            JournalState::Ready => Ok(()),
            JournalState::Full => Err(JournalError::Full),
            JournalState::Ended(reason) => Err(reason),
        }
    }

    /// How the journal is.
    pub fn state(&self) -> JournalState {
        match self.queue.ended() {
            Some(reason) => JournalState::Ended(reason),
            None if self.is_full() => JournalState::Full,
            None => JournalState::Ready,
        }
    }

    /// Resolves once everything appended so far is durable. On a full disk that takes until space returns: callers time
    /// out on their own.
    pub fn commit_waiter(&self) -> CommitWaiter {
        self.queue.waiter()
    }

    /// Blocks until the event is durable, `patience` at most. Not for async tasks.
    ///
    /// # Errors
    /// [`JournalError::NotSyncedInTime`] (or [`JournalError::Full`] when that is why), [`JournalError::Failed`],
    /// [`JournalError::Closed`].
    pub fn wait_synced_blocking(&self, seq: u64, patience: Duration) -> Result<(), JournalError> {
        match self.queue.wait_synced(seq, patience) {
            Err(JournalError::NotSyncedInTime { .. }) if self.is_full() => Err(JournalError::Full),
            told => told,
        }
    }

    /// Sequence number up to which everything is durable; 0 when nothing is.
    pub fn synced_seq(&self) -> u64 {
        self.queue.synced_seq()
    }

    /// Bytes of events appended and not yet durable.
    pub fn pending_bytes(&self) -> u64 {
        self.queue.pending_bytes()
    }

    /// Where an event lies, when it became durable among the last 4,096 groups; otherwise [`super::JournalReader::locate`].
    pub fn locate(&self, seq: u64) -> Option<Location> {
        self.queue.locate(seq)
    }

    /// Takes no more events, makes the pending ones durable, leaves the clean-stop marker and ends the threads.
    /// A second call has nothing to do.
    ///
    /// # Errors
    /// [`JournalError::Full`] or [`JournalError::NotSyncedInTime`] when that took longer than `patience`;
    /// [`JournalError::Failed`]. What was acknowledged is safe in any case.
    pub fn shutdown(&self, patience: Duration) -> Result<(), JournalError> {
        self.mark_end.store(true, Ordering::Release);
        self.queue.close();
        let reason = match self.queue.wait_end(patience) {
            Some(reason) => reason,
            None if self.is_full() => {
                self.room.abandon();
                JournalError::Full
            }
            None => return Err(JournalError::NotSyncedInTime { seq: self.synced_seq() + 1 }),
        };
        self.join();
        match reason {
            JournalError::Closed => Ok(()),
            reason => Err(reason),
        }
    }

    fn is_full(&self) -> bool {
        self.room.is_full(self.queue.pending_bytes())
    }

    fn join(&self) {
        for thread in self.threads.lock().drain(..) {
            // A thread that panicked broke an invariant and has said so; there is nothing to add here.
            let _ = thread.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue.close();
        self.room.abandon();
        self.join();
        self.room.stop();
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Journal").field("synced_seq", &self.synced_seq()).finish_non_exhaustive()
    }
}

/// The advisory lock on a journal's directory.
struct DirLock(File);

impl Drop for DirLock {
    fn drop(&mut self) {
        // Closing alone is not enough: a child process being started holds a copy of the descriptor for a moment. When
        // this fails, closing does it a little later.
        let _ = self.0.unlock();
    }
}

/// Creates the directory when missing and takes the advisory lock on it, which ends with the process.
fn lock_dir(dir: &Path) -> Result<DirLock, JournalError> {
    if !dir.exists() {
        fs::create_dir_all(dir).map_err(|error| JournalError::io("create", dir, error))?;
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(|error| JournalError::io("sync", parent, error))?;
    }
    let lock = File::open(dir).map_err(|error| JournalError::io("open", dir, error))?;
    match lock.try_lock() {
        Ok(()) => Ok(DirLock(lock)),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(JournalError::io("lock", dir, error)),
    }
}
