//! Written-out space ahead of the committer, kept by a thread of its own: syncing a file that was written before costs a
//! fifth of syncing one that grows, and space that is written cannot run out at a commit. Knows no events.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::options::JournalOptions;
use super::storage::{Storage, is_full, write_zeros};

/// Name of the next segment while it has no header. One left over by a crash holds nothing.
pub(super) const PREPARED_NAME: &str = "prepared.tmp";

/// Why the committer gets no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// Nobody waits any more (closing while the disk is full).
    Abandoned,
    /// Zero-filling failed for another reason than a full disk.
    Failed(String),
}

pub(super) struct Room {
    dir: PathBuf,
    options: JournalOptions,
    state: Mutex<State>,
    changed: Condvar,
    /// Zeroed bytes not written yet, in the active segment and the prepared one.
    headroom: AtomicU64,
    /// The last attempt to get more space met a full disk.
    blocked: AtomicBool,
    /// The committer itself met a full disk and tries again.
    stuck: AtomicBool,
}

struct State {
    active: PathBuf,
    /// Where the next frame goes in the active segment.
    pos: u64,
    /// Length of the active segment; all zeros from `pos` on.
    zeroed: u64,
    /// Length the committer is waiting for.
    wanted: u64,
    /// Length of the prepared segment.
    prepared: Option<u64>,
    /// Finished segments to cut to their real size.
    to_trim: Vec<(PathBuf, u64)>,
    /// Whether space was asked for at least once, or none is needed.
    tried: bool,
    failed: Option<String>,
    abandoned: bool,
    stopped: bool,
}

enum Job {
    Trim { path: PathBuf, bytes: u64 },
    Extend { path: PathBuf, from: u64, to: u64 },
    Prepare { bytes: u64 },
}

impl Room {
    pub(super) fn new(dir: &Path, options: JournalOptions, active: PathBuf, pos: u64, zeroed: u64) -> Self {
        let headroom = zeroed - pos;
        let state = State {
            active,
            pos,
            zeroed,
            wanted: 0,
            prepared: None,
            to_trim: Vec::new(),
            tried: headroom >= options.headroom_bytes,
            failed: None,
            abandoned: false,
            stopped: false,
        };
        Self {
            dir: dir.to_owned(),
            blocked: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            options,
            state: Mutex::new(state),
            changed: Condvar::new(),
            headroom: AtomicU64::new(headroom),
        }
    }

    /// Whether the disk is full and what is left of the zeroed space is needed for `pending_bytes` and the reserve.
    pub(super) fn is_full(&self, pending_bytes: u64) -> bool {
        let short = self.headroom.load(Ordering::Acquire) < self.options.headroom_bytes + pending_bytes;
        self.stuck.load(Ordering::Acquire) || self.blocked.load(Ordering::Acquire) && short
    }

    /// Waits until the first attempt to get space is over, when there is less than the reserve.
    pub(super) fn wait_first_attempt(&self) {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| !state.tried && state.failed.is_none());
    }

    /// Waits until the active segment is zeroed beyond `end`.
    pub(super) fn wait_zeroed(&self, end: u64) -> Result<(), NoRoom> {
        let mut state = self.state.lock();
        state.wanted = end + 1;
        self.changed.notify_all();
        while state.zeroed <= end {
            self.wait(&mut state)?;
        }
        Ok(())
    }

    /// Waits until the next segment is prepared.
    pub(super) fn wait_prepared(&self) -> Result<(), NoRoom> {
        let mut state = self.state.lock();
        state.wanted = self.options.segment_bytes;
        self.changed.notify_all();
        while state.prepared.is_none() {
            self.wait(&mut state)?;
        }
        Ok(())
    }

    /// Pauses before the committer tries again on a full disk.
    pub(super) fn pause(&self) -> Result<(), NoRoom> {
        self.stuck.store(true, Ordering::Release);
        let mut state = self.state.lock();
        self.changed.wait_while_for(&mut state, |state| !state.abandoned, self.options.retry_every);
        if state.abandoned { Err(NoRoom::Abandoned) } else { Ok(()) }
    }

    /// The active segment is written up to `pos`.
    pub(super) fn advance(&self, pos: u64) {
        self.stuck.store(false, Ordering::Release);
        let mut state = self.state.lock();
        state.pos = pos;
        self.publish(&state);
        if self.next_job(&state).is_some() {
            self.changed.notify_all();
        }
    }

    /// The prepared segment has become the active one; the old one ends at its last position.
    pub(super) fn rotated(&self, path: PathBuf, pos: u64) {
        let mut state = self.state.lock();
        let old = std::mem::replace(&mut state.active, path);
        let trim = (old, state.pos);
        state.to_trim.push(trim);
        state.zeroed = state.prepared.take().unwrap_or(pos);
        state.pos = pos;
        state.wanted = 0;
        self.publish(&state);
        self.changed.notify_all();
    }

    /// From now on nobody waits for space.
    pub(super) fn abandon(&self) {
        self.state.lock().abandoned = true;
        self.changed.notify_all();
    }

    /// Ends the zero-fill thread.
    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Body of the zero-fill thread. Returns the failure that ended it, `None` when it was stopped.
    pub(super) fn run(&self, storage: &Arc<dyn Storage>) -> Option<String> {
        let mut state = self.state.lock();
        loop {
            let job = loop {
                if state.stopped {
                    return None;
                }
                match self.next_job(&state) {
                    Some(job) => break job,
                    None => self.changed.wait(&mut state),
                }
            };
            let outcome = MutexGuard::unlocked(&mut state, || self.perform(storage.as_ref(), &job));
            match outcome {
                Ok(()) => {
                    if !matches!(job, Job::Trim { .. }) {
                        state.tried = true;
                        self.blocked.store(false, Ordering::Release);
                    }
                    state.finish(job);
                    self.publish(&state);
                    self.changed.notify_all();
                }
                Err(error) if is_full(&error) => {
                    state.tried = true;
                    self.blocked.store(true, Ordering::Release);
                    self.changed.notify_all();
                    self.changed.wait_while_for(&mut state, |state| !state.stopped, self.options.retry_every);
                }
                Err(error) => {
                    let why = format!("cannot write out space ahead: {error}");
                    state.failed = Some(why.clone());
                    self.changed.notify_all();
                    return Some(why);
                }
            }
        }
    }

    fn wait(&self, state: &mut MutexGuard<'_, State>) -> Result<(), NoRoom> {
        if let Some(why) = &state.failed {
            return Err(NoRoom::Failed(why.clone()));
        }
        if state.abandoned && self.blocked.load(Ordering::Acquire) {
            return Err(NoRoom::Abandoned);
        }
        self.changed.wait(state);
        Ok(())
    }

    fn publish(&self, state: &State) {
        let active = state.zeroed.saturating_sub(state.pos);
        self.headroom.store(active + state.prepared.unwrap_or(0), Ordering::Release);
    }

    fn next_job(&self, state: &State) -> Option<Job> {
        if let Some((path, bytes)) = state.to_trim.last() {
            return Some(Job::Trim { path: path.clone(), bytes: *bytes });
        }
        let (chunk, segment) = (self.options.chunk_bytes, self.options.segment_bytes);
        let short = state.zeroed < state.wanted || state.zeroed - state.pos < chunk;
        if short && state.zeroed < segment {
            let to = (state.zeroed + chunk).min(segment);
            return Some(Job::Extend { path: state.active.clone(), from: state.zeroed, to });
        }
        let soon = state.zeroed >= segment && state.prepared.is_none();
        soon.then(|| Job::Prepare { bytes: chunk.min(segment) })
    }

    fn perform(&self, storage: &dyn Storage, job: &Job) -> io::Result<()> {
        match job {
            Job::Trim { path, bytes } => match storage.open(path) {
                // Cut, packed and removed before this could be said of it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                file => file.and_then(|file| file.set_len(*bytes).and_then(|()| file.sync_data())),
            },
            // A descriptor of its own: errors are reported once a descriptor, and the committer must see its own.
            Job::Extend { path, from, to } => {
                let file = storage.open(path)?;
                write_zeros(file.as_ref(), *from, *to)?;
                file.sync_data()
            }
            Job::Prepare { bytes } => {
                let file = storage.create(&self.dir.join(PREPARED_NAME))?;
                write_zeros(file.as_ref(), 0, *bytes)?;
                file.sync_data()
            }
        }
    }
}

impl State {
    fn finish(&mut self, job: Job) {
        match job {
            Job::Trim { path, .. } => self.to_trim.retain(|(other, _)| *other != path),
            Job::Extend { path, to, .. } if path == self.active => self.zeroed = to,
            Job::Extend { .. } => {}
            Job::Prepare { bytes } => self.prepared = Some(bytes),
        }
    }
}
