//! What goes on behind the requests: decisions expire, what was touched goes to the store, a store that failed is opened
//! again, a full disk is noticed and got over. One thread does all of it. Only a failed journal ends the daemon.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Service, ServiceError};
use crate::journal::{JournalError, JournalState};
use crate::state::{CatchUpError, Standing, StoreError, bring_up};

/// Expired decisions, or idle goals, put into one fact at most.
const EXPIRE_AT_ONCE: usize = 1_000;

/// Stored records looked at in one turn for whether their detail was dropped.
const ERASE_AT_ONCE: usize = 2_000;

/// Facts not stored yet from which on a checkpoint is due: a start is to fold few, and a checkpoint to hold the engine's
/// lock shortly.
const CHECKPOINT_FACTS: u64 = 5_000;

/// Calls and goals not stored yet from which on a checkpoint is due: they are held in memory, and one fact may end a thousand.
const CHECKPOINT_RECORDS: usize = 10_000;

/// How long a checkpoint waits for the journal: a full disk may take its time.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// How long the facts of a start, and those before the store is opened again, wait for the journal.
const SYNC_PATIENCE: Duration = Duration::from_secs(60);

/// Space kept free on the disk for the index, at least and at most, in bytes; between them a twentieth of the disk.
const DISK_RESERVE_BYTES: (u64, u64) = (8 << 20, 64 << 20);

/// The pause before a store that does not open is tried again: at first, and at most (it doubles).
const REOPEN_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// When a store that failed is opened again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reopening {
    /// The last attempt, and the pause after it.
    failed: Option<(Instant, Duration)>,
}

impl Service {
    /// What time does. Called every moment by one thread.
    ///
    /// # Errors
    /// The journal failed: nothing will ever be taken again. Anything else is logged, and passes or is tried again.
    pub fn maintain(&self) -> Result<(), ServiceError> {
        let done = match self.look_at_the_disk() {
            true => Ok(()),
            false => self.tidy(),
        };
        if let JournalState::Ended(reason) = self.journal.state() {
            return Err(reason.into());
        }
        if let Err(error) = done {
            tracing::error!(%error, "maintenance failed");
        }
        Ok(())
    }

    fn tidy(&self) -> Result<(), ServiceError> {
        if let Err(why) = self.shelf.health() {
            return self.reopen(why);
        }
        if self.journal.accepting().is_ok() {
            self.begin()?;
            let mut engine = self.engine.lock();
            let now = self.clock.now();
            while let Some(event) = engine.expire(now, EXPIRE_AT_ONCE) {
                self.write(&mut engine, &[event])?;
            }
            // What is closed is at hand until the checkpoint, so the others wait for the next turn.
            if let Some(event) = engine.time_out_goals(&self.shelf, now, EXPIRE_AT_ONCE) {
                self.write(&mut engine, &[event])?;
            }
            if let Some(event) = engine.drop_detail(self.retention_ms, now) {
                self.write(&mut engine, &[event])?;
            }
        }
        self.checkpoint_when_due()?;
        let _storing = self.storing.lock();
        if let Some(store) = self.shelf.store() {
            store.erase_dropped(ERASE_AT_ONCE)?;
            self.compact_when_due(&store)?;
        }
        // The store may be another one by now.
        if let Some(store) = self.shelf.store() {
            self.snapshot_when_due(&store)?;
        }
        self.pack_when_due();
        Ok(())
    }

    /// Stores what was touched once enough came together: sled keeps what it replaces for long, and a goal or a page of
    /// calls that is stored with every change takes several times its size.
    fn checkpoint_when_due(&self) -> Result<(), ServiceError> {
        let (last, records) = {
            let state = &self.engine.lock().state;
            (state.applied_seq, state.touched.as_ref().map_or(0, |touched| touched.calls.len() + touched.goals.len()))
        };
        let (behind, now) = (last.saturating_sub(self.stored_seq.load(Ordering::Acquire)), self.clock.now());
        let waited_ms = now.0.saturating_sub(self.checkpoint_at_ms.load(Ordering::Acquire));
        if !is_much(behind, records) && waited_ms < self.checkpoint_interval_ms {
            return Ok(());
        }
        self.checkpoint_at_ms.store(now.0, Ordering::Release);
        self.checkpoint()
    }

    /// Writes the facts of the start, durably; until then nothing is taken.
    fn begin(&self) -> Result<(), ServiceError> {
        let mut waiting = self.beginning.lock();
        let Some(catalog_text) = waiting.as_ref() else { return Ok(()) };
        let last = {
            let mut engine = self.engine.lock();
            let now = self.clock.now();
            for event in engine.start(env!("CARGO_PKG_VERSION"), catalog_text, now) {
                self.write(&mut engine, &[event])?;
            }
            // Limits may have been changed since the daemon last ran.
            let due = engine.alerts_due_everywhere(now);
            self.write(&mut engine, &due)?;
            engine.state.applied_seq
        };
        self.journal.wait_synced_blocking(last, SYNC_PATIENCE)?;
        *waiting = None;
        self.begun.store(true, Ordering::Release);
        Ok(())
    }

    /// Notes whether the disk is nearly full. sled must not meet a full disk: it does not get over it.
    fn look_at_the_disk(&self) -> bool {
        let low = disk_is_low(&self.about.data_dir);
        if low != self.disk_low.swap(low, Ordering::AcqRel) {
            match low {
                true => {
                    tracing::error!("the disk is nearly full: nothing is taken until space is freed");
                    if let Some(store) = self.shelf.store() {
                        store.abandon_compaction();
                        store.abandon_snapshot();
                    }
                    self.abandon_packing();
                }
                false => tracing::info!("there is space on the disk again"),
            }
        }
        low
    }

    /// Writes what was touched to the store, never ahead of the journal; nothing to do while there is no store.
    ///
    /// # Errors
    /// The journal or the store failed. The store is then opened again by the next [`Service::maintain`].
    pub fn checkpoint(&self) -> Result<(), ServiceError> {
        let _storing = self.storing.lock();
        let Some(store) = self.shelf.store() else { return Ok(()) };
        let checkpoint = {
            let mut engine = self.engine.lock();
            if engine.state.applied_seq == self.stored_seq.load(Ordering::Acquire) {
                return Ok(());
            }
            store.prepare(&mut engine.state)?
        };
        let seq = checkpoint.applied_seq();
        if let Err(error) = self.journal.wait_synced_blocking(seq, CHECKPOINT_PATIENCE) {
            // What this step would have written is touched no more: the store can be brought up by the journal only.
            let _engine = self.engine.lock();
            self.shelf.shut(StoreError::Broken(error.to_string()));
            return Err(error.into());
        }
        let committed = store.commit(checkpoint)?;
        self.stored_seq.store(seq, Ordering::Release);
        store.evict(&mut self.engine.lock().state, committed);
        Ok(())
    }

    /// Opens the store again and brings it up to the journal, while reads go on over the state in memory. No fact is
    /// written meanwhile, so the end of the journal stands still.
    fn reopen(&self, why: StoreError) -> Result<(), ServiceError> {
        let mut reopening = self.reopening.lock();
        if reopening.failed.is_some_and(|(at, pause)| at.elapsed() < pause) {
            return Ok(());
        }
        let last = {
            let engine = self.engine.lock();
            if reopening.failed.is_none() {
                tracing::error!(%why, "the store of the indexed state failed; nothing is taken until it is open again");
            }
            self.shelf.shut(why);
            engine.state.applied_seq
        };
        self.journal.wait_synced_blocking(last, SYNC_PATIENCE)?;
        let read = |from| {
            let entries = self.reader.read_from(from)?;
            Ok::<_, JournalError>(entries.map(|entry| entry.map(|entry| (entry.seq, entry.payload))))
        };
        let opened = bring_up::stored(&self.about.data_dir.join("state"), &self.journal_dir(), last, read);
        if let Ok(Standing { set_aside: Some((why, aside)), .. }) = &opened {
            tracing::warn!(%why, aside = %aside.display(), "the state was set aside; it is built anew from the record");
        }
        let opened = opened.and_then(|standing| Ok((standing.store.map_err(CatchUpError::Store)?, standing.state)));
        match opened {
            Ok((store, state)) => {
                let before = {
                    let mut engine = self.engine.lock();
                    self.shelf.open(store);
                    self.stored_seq.store(state.applied_seq, Ordering::Release);
                    engine.go_on_with(state)
                };
                drop(before);
                reopening.failed = None;
                tracing::info!("the store is open again and has everything up to event {last}");
            }
            Err(error) => {
                let pause = reopening.failed.map_or(REOPEN_PAUSE.0, |(_, pause)| (pause * 2).min(REOPEN_PAUSE.1));
                reopening.failed = Some((Instant::now(), pause));
                tracing::error!(%error, again_in_s = pause.as_secs(), "the store does not open");
                if let CatchUpError::Store(why) = error {
                    let _engine = self.engine.lock();
                    self.shelf.shut(why);
                }
            }
        }
        Ok(())
    }

    /// Makes everything durable and leaves the marks of a clean stop. A store that fails, or for which there is no room,
    /// is brought up by the next start.
    ///
    /// # Errors
    /// The journal failed; what was acknowledged is safe in any case.
    pub fn shutdown(self, patience: Duration) -> Result<(), ServiceError> {
        let stored = if self.look_at_the_disk() { Ok(()) } else { self.checkpoint() };
        self.journal.shutdown(patience)?;
        let store = self.shelf.store();
        drop(self.shelf);
        let closed = store.and_then(std::sync::Arc::into_inner).map_or(Ok(()), crate::state::SledStore::close);
        if let Err(error) = stored.and_then(|()| Ok(closed?)) {
            tracing::warn!(%error, "the indexed state is behind; the next start brings it up to the record");
        }
        Ok(())
    }
}

/// Whether so much is not stored yet that a checkpoint is due whatever the time.
fn is_much(facts: u64, records: usize) -> bool {
    facts >= CHECKPOINT_FACTS || records >= CHECKPOINT_RECORDS
}

/// Whether a disk has so little room left that nothing more is to be taken.
pub(crate) fn disk_is_low(dir: &Path) -> bool {
    free_bytes(dir).is_some_and(|free| free < reserve_bytes(dir))
}

/// Bytes free on the disk of a folder, where it tells.
pub(super) fn free_bytes(dir: &Path) -> Option<u64> {
    rustix::fs::statvfs(dir).ok().map(|disk| disk.f_bavail * disk.f_frsize)
}

/// Bytes that are kept free on the disk of a folder.
pub(super) fn reserve_bytes(dir: &Path) -> u64 {
    let size = rustix::fs::statvfs(dir).map_or(0, |disk| disk.f_blocks * disk.f_frsize);
    (size / 20).clamp(DISK_RESERVE_BYTES.0, DISK_RESERVE_BYTES.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goals are timed out a thousand a turn: memory must not wait for as many facts as there are turns in five minutes.
    #[test]
    fn what_few_facts_touch_is_stored_before_it_takes_much_memory() {
        let turns = |touched: usize| (1..).find(|turn| is_much(*turn, *turn as usize * touched)).unwrap();
        assert_eq!((turns(EXPIRE_AT_ONCE), turns(1)), (10, 5_000));
    }
}
