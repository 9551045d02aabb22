//! Events waiting for the disk, packed into frames as they come, and everyone who waits for them. Does no I/O.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::error::JournalError;
use super::segment::{FRAME_HEAD_BYTES, Location, MAX_FRAME_EVENTS, push_event};

/// Frames remembered for [`Queue::locate`].
const RECENT_FRAMES: usize = 4096;

/// Resolves when everything appended before it was asked for is durable, or never will be.
#[derive(Debug)]
pub struct CommitWaiter(oneshot::Receiver<Result<(), JournalError>>);

impl CommitWaiter {
    /// Blocks the thread. Not for async tasks.
    ///
    /// # Errors
    /// [`JournalError::Failed`] or [`JournalError::Closed`]: not durable, and never will be through this journal.
    pub fn wait(self) -> Result<(), JournalError> {
        self.0.blocking_recv().unwrap_or(Err(JournalError::Closed))
    }
}

impl Future for CommitWaiter {
    type Output = Result<(), JournalError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|told| told.unwrap_or(Err(JournalError::Closed)))
    }
}

/// Events that go to disk in one frame.
pub(super) struct Group {
    pub(super) first_seq: u64,
    pub(super) count: u32,
    /// Spare bytes for the head, then the events.
    pub(super) frame: Vec<u8>,
}

pub(super) struct Queue {
    inner: Mutex<Inner>,
    /// Told when there is work for the committer.
    work: Condvar,
    /// Told when something became durable or the end came.
    done: Condvar,
    synced_seq: AtomicU64,
    pending_bytes: AtomicU64,
    frame_bytes: usize,
    max_frame_bytes: usize,
    linger: Duration,
}

struct Inner {
    groups: VecDeque<Group>,
    spare: Vec<u8>,
    next_seq: u64,
    /// In order of the sequence number waited for.
    waiters: VecDeque<(u64, oneshot::Sender<Result<(), JournalError>>)>,
    /// First sequence number, count and place of frames just written, in order.
    recent: VecDeque<(u64, u32, Location)>,
    /// Threads in [`Queue::wait_synced`].
    waiting_threads: usize,
    /// The committer has a group that nobody waits for, and leaves it open a while.
    lingering: bool,
    closing: bool,
    end: Option<JournalError>,
}

impl Queue {
    pub(super) fn new(next_seq: u64, frame_bytes: usize, max_frame_bytes: usize, linger: Duration) -> Self {
        Self {
            inner: Mutex::new(Inner {
                groups: VecDeque::new(),
                spare: Vec::new(),
                next_seq,
                waiters: VecDeque::new(),
                recent: VecDeque::new(),
                waiting_threads: 0,
                lingering: false,
                closing: false,
                end: None,
            }),
            work: Condvar::new(),
            done: Condvar::new(),
            synced_seq: AtomicU64::new(next_seq - 1),
            pending_bytes: AtomicU64::new(0),
            frame_bytes: frame_bytes.min(max_frame_bytes),
            max_frame_bytes,
            linger,
        }
    }

    pub(super) fn synced_seq(&self) -> u64 {
        self.synced_seq.load(Ordering::Acquire)
    }

    pub(super) fn pending_bytes(&self) -> u64 {
        self.pending_bytes.load(Ordering::Acquire)
    }

    /// Takes events that stay together and need that many bytes. Returns the first one's sequence number.
    pub(super) fn append(&self, payloads: &[&[u8]], bytes: usize) -> Result<u64, JournalError> {
        if FRAME_HEAD_BYTES + bytes > self.max_frame_bytes || payloads.len() > MAX_FRAME_EVENTS as usize {
            let max_bytes = self.max_frame_bytes - FRAME_HEAD_BYTES;
            return Err(JournalError::TooLarge { bytes, max_bytes });
        }
        let mut inner = self.inner.lock();
        inner.refuse_when_over()?;
        let first_seq = inner.next_seq;
        if payloads.is_empty() {
            return Ok(first_seq);
        }
        let count = payloads.len() as u32;
        let group = inner.group_for(bytes, count, self.frame_bytes);
        group.count += count;
        payloads.iter().for_each(|payload| push_event(&mut group.frame, payload));
        inner.next_seq += u64::from(count);
        self.pending_bytes.fetch_add(bytes as u64, Ordering::AcqRel);
        let wake = !inner.lingering || inner.is_urgent();
        drop(inner);
        if wake {
            self.work.notify_one();
        }
        Ok(first_seq)
    }

    pub(super) fn waiter(&self) -> CommitWaiter {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.inner.lock();
        let last = inner.next_seq - 1;
        if self.synced_seq() >= last {
            // The receiver is alive, it is returned below.
            let _ = sender.send(Ok(()));
        } else if let Some(end) = &inner.end {
            let _ = sender.send(Err(end.clone()));
        } else {
            inner.waiters.push_back((last, sender));
            if inner.lingering {
                self.work.notify_one();
            }
        }
        CommitWaiter(receiver)
    }

    pub(super) fn wait_synced(&self, seq: u64, patience: Duration) -> Result<(), JournalError> {
        if self.synced_seq() >= seq {
            return Ok(());
        }
        let mut inner = self.inner.lock();
        let pending = |inner: &mut Inner| self.synced_seq() < seq && inner.end.is_none();
        inner.waiting_threads += 1;
        self.work.notify_one();
        self.done.wait_while_for(&mut inner, pending, patience);
        inner.waiting_threads -= 1;
        if self.synced_seq() >= seq {
            return Ok(());
        }
        Err(inner.end.clone().unwrap_or(JournalError::NotSyncedInTime { seq }))
    }

    /// Where an event that was written a moment ago lies; `None` when it is not written yet or long ago.
    pub(super) fn locate(&self, seq: u64) -> Option<Location> {
        let inner = self.inner.lock();
        let behind = inner.recent.partition_point(|(first_seq, ..)| *first_seq <= seq);
        let (first_seq, count, location) = *inner.recent.get(behind.checked_sub(1)?)?;
        let index = u32::try_from(seq - first_seq).ok().filter(|index| *index < count)?;
        Some(Location::new(location.position(), index))
    }

    /// The next group to write; blocks until there is one, and, while nobody waits for it, lets it grow for a while.
    /// `None`: closing and nothing is left, or ended.
    pub(super) fn take(&self) -> Option<Group> {
        let mut inner = self.inner.lock();
        self.work.wait_while(&mut inner, |inner| inner.groups.is_empty() && !inner.closing);
        inner.lingering = true;
        self.work.wait_while_for(&mut inner, |inner| !inner.is_urgent(), self.linger);
        inner.lingering = false;
        if inner.end.is_some() { None } else { inner.groups.pop_front() }
    }

    /// The group lies on disk at `location`: tells everyone who waited for it.
    pub(super) fn committed(&self, mut group: Group, location: Location) {
        let last = group.first_seq + u64::from(group.count) - 1;
        let bytes = group.frame.len() - FRAME_HEAD_BYTES;
        let mut inner = self.inner.lock();
        self.synced_seq.store(last, Ordering::Release);
        self.pending_bytes.fetch_sub(bytes as u64, Ordering::AcqRel);
        if inner.recent.len() == RECENT_FRAMES {
            inner.recent.pop_front();
        }
        inner.recent.push_back((group.first_seq, group.count, location));
        group.frame.clear();
        if group.frame.capacity() <= self.frame_bytes {
            inner.spare = group.frame;
        }
        let served = inner.waiters.partition_point(|(seq, _)| *seq <= last);
        let told: Vec<_> = inner.waiters.drain(..served).collect();
        drop(inner);
        self.done.notify_all();
        for (_, waiter) in told {
            // A waiter that gave up is no concern of ours.
            let _ = waiter.send(Ok(()));
        }
    }

    /// Takes no more events; [`Queue::take`] ends when all are taken.
    pub(super) fn close(&self) {
        self.inner.lock().closing = true;
        self.work.notify_all();
    }

    /// Nothing becomes durable any more. The first reason stands.
    pub(super) fn end(&self, reason: &JournalError) {
        let mut inner = self.inner.lock();
        if inner.end.is_some() {
            return;
        }
        inner.end = Some(reason.clone());
        inner.closing = true;
        let told = std::mem::take(&mut inner.waiters);
        drop(inner);
        self.work.notify_all();
        self.done.notify_all();
        for (_, waiter) in told {
            let _ = waiter.send(Err(reason.clone()));
        }
    }

    /// Why nothing becomes durable any more, when that is so.
    pub(super) fn ended(&self) -> Option<JournalError> {
        self.inner.lock().end.clone()
    }

    /// Blocks until the end or for `patience`. Returns the reason, `None` when it did not come.
    pub(super) fn wait_end(&self, patience: Duration) -> Option<JournalError> {
        let mut inner = self.inner.lock();
        self.done.wait_while_for(&mut inner, |inner| inner.end.is_none(), patience);
        inner.end.clone()
    }
}

impl Inner {
    /// Whether the next group is to be written at once: somebody waits for the disk, or the group is full.
    fn is_urgent(&self) -> bool {
        self.closing || self.waiting_threads > 0 || !self.waiters.is_empty() || self.groups.len() > 1
    }

    fn refuse_when_over(&self) -> Result<(), JournalError> {
        match &self.end {
            Some(end) => Err(end.clone()),
            None if self.closing => Err(JournalError::Closed),
            None => Ok(()),
        }
    }

    /// The last group when that much still fits, else a new one.
    fn group_for(&mut self, bytes: usize, count: u32, frame_bytes: usize) -> &mut Group {
        let fits = self
            .groups
            .back()
            .is_some_and(|group| group.frame.len() + bytes <= frame_bytes && group.count + count <= MAX_FRAME_EVENTS);
        if !fits {
            let mut frame = std::mem::take(&mut self.spare);
            frame.resize(FRAME_HEAD_BYTES, 0);
            self.groups.push_back(Group { first_seq: self.next_seq, count: 0, frame });
        }
        let last = self.groups.len() - 1;
        &mut self.groups[last]
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A queue that would linger for an hour, with one event, and its committer lingering over it.
    fn lingering(body: impl FnOnce(&Queue)) -> u32 {
        let queue = Queue::new(1, 1 << 20, 1 << 20, Duration::from_secs(3_600));
        queue.append(&[b"first"], 13).unwrap();
        thread::scope(|scope| {
            let taken = scope.spawn(|| queue.take().map_or(0, |group| group.count));
            while !queue.inner.lock().lingering {
                thread::yield_now();
            }
            body(&queue);
            taken.join().unwrap()
        })
    }

    #[test]
    fn events_that_nobody_waits_for_share_a_write_with_the_next_one_waited_for() {
        let waiter = lingering(|queue| {
            queue.append(&[b"second"], 14).unwrap();
            let _waiter = queue.waiter();
        });
        assert_eq!(waiter, 2);
    }

    #[test]
    fn a_thread_that_waits_and_the_end_are_not_kept_waiting() {
        let seen = lingering(|queue| {
            assert!(queue.wait_synced(1, Duration::from_millis(1)).is_err(), "the group is never committed here");
        });
        assert_eq!(seen, 1);
        assert_eq!(lingering(Queue::close), 1);
    }
}
