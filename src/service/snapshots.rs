//! When a snapshot of the record is written, and which segments go then: once a day at most, where `ledger.retention` is set
//! and a segment holds nothing but what is older. Done by the thread of `upkeep.rs`, a little in each of its turns. It knows
//! nothing of bytes.

use std::path::PathBuf;
use std::sync::Arc;

use super::upkeep::{free_bytes, reserve_bytes};
use super::{Service, ServiceError};
use crate::data_format;
use crate::domain::time::UnixMillis;
use crate::journal::{DiskStorage, SnapshotWriter, codec, prune};
use crate::state::{SledStore, StoreError};

/// Records written in one turn: some 20 ms of work.
const WRITE_AT_ONCE: usize = 5_000;

impl Service {
    /// Goes on with the snapshot that is being written, or begins one, where a segment could go. To be called while nobody
    /// commits to the store.
    ///
    /// # Errors
    /// The store failed: it is to be opened again. A snapshot that failed is logged; the next day has another.
    pub(super) fn snapshot_when_due(&self, store: &SledStore) -> Result<(), ServiceError> {
        if self.retention_ms == 0 {
            return Ok(());
        }
        let done = match store.is_in_snapshot() {
            true => self.go_on_with_snapshot(store),
            false => self.begin_snapshot(store),
        };
        if let Err(error) = done {
            store.abandon_snapshot();
            store.health()?;
            tracing::warn!(%error, "no snapshot of the record was written; all segments stay");
        }
        Ok(())
    }

    fn begin_snapshot(&self, store: &SledStore) -> Result<(), StoreError> {
        let before = self.engine.lock().state.detail_from;
        // Looked for once each time detail was dropped, that is once a day, and at a start.
        if self.snapshot_looked.lock().replace(before) == Some(before) {
            return Ok(());
        }
        let stored_seq = self.stored_seq.load(std::sync::atomic::Ordering::Acquire);
        if prune::removable(&self.journal_dir(), stored_seq, is_older(before))? == 0 {
            return Ok(());
        }
        let (records, _) = store.weight()?;
        let dir = &self.about.data_dir;
        if free_bytes(dir).is_some_and(|free| free < records + reserve_bytes(dir)) {
            return Err(StoreError::NoRoom(format!("a snapshot takes {records} bytes")));
        }
        store.begin_snapshot(SnapshotWriter::create(&self.journal_dir(), Arc::new(DiskStorage))?);
        Ok(())
    }

    fn go_on_with_snapshot(&self, store: &SledStore) -> Result<(), StoreError> {
        if store.snapshot_on(WRITE_AT_ONCE)? {
            return Ok(());
        }
        self.shut_out_earlier_programs()?;
        let snapshot = store.finish_snapshot()?;
        let before = self.engine.lock().state.detail_from;
        let segments = prune::remove(&self.journal_dir(), &DiskStorage, &snapshot, is_older(before))?;
        self.reader.refresh()?;
        let (name, bytes) = (snapshot.name(), snapshot.bytes);
        tracing::info!(name, bytes, segments, "a snapshot was written, and the segments it stands for removed");
        Ok(())
    }

    /// Says in the data directory that it takes this program: an earlier one knows nothing of snapshots and packed segments, and
    /// is not to find a record without its beginning.
    pub(super) fn shut_out_earlier_programs(&self) -> Result<(), StoreError> {
        let dir = &self.about.data_dir;
        data_format::raise(dir).map_err(|error| StoreError::Io { dir: dir.clone(), source: Arc::new(error) })
    }

    /// Where the record lies.
    pub(super) fn journal_dir(&self) -> PathBuf {
        self.about.data_dir.join("journal")
    }
}

/// Whether an event is of before a moment; one that does not read is not.
fn is_older(before: UnixMillis) -> impl Fn(&[u8]) -> bool {
    move |payload| codec::decode(payload).is_ok_and(|event| event.at < before)
}
