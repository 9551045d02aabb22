//! When the store is written anew beside requests, and how it takes its place: sled never gives back what its file once took.
//! Everything here is done by the thread of `upkeep.rs`, a little in each of its turns. It knows nothing of files.

use std::time::{Duration, Instant};

use super::upkeep::{free_bytes, reserve_bytes};
use super::{Service, ServiceError};
use crate::state::{SledStore, StoreError, is_wasteful};

/// Records copied in one turn: some 20 ms of work.
const COPY_AT_ONCE: usize = 5_000;

/// The pause after a copy that failed.
const AGAIN_AFTER: Duration = Duration::from_secs(600);

/// When writing the store anew is tried again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Compacting {
    failed: Option<Instant>,
    /// Bytes of the files when they were last written anew.
    after: u64,
}

impl Service {
    /// Goes on writing the store anew, or begins to, where its files are mostly waste and there is room for a copy. To be
    /// called while nobody commits to it.
    ///
    /// # Errors
    /// The store failed: it is to be opened again. A copy that failed is logged and tried again later.
    pub(super) fn compact_when_due(&self, store: &SledStore) -> Result<(), ServiceError> {
        if !store.is_compacting() && !self.pays(store)? {
            return Ok(());
        }
        let copied = store.begin_compaction().and_then(|()| store.compact_on(COPY_AT_ONCE));
        match copied {
            Ok(true) => Ok(()),
            Ok(false) => self.change_over(store),
            Err(error) => {
                store.health()?;
                tracing::warn!(%error, "the indexed state could not be written anew; it goes on as it is");
                self.compacting.lock().failed = Some(Instant::now());
                Ok(())
            }
        }
    }

    /// Whether writing the store anew is worth it, and there is room for that.
    fn pays(&self, store: &SledStore) -> Result<bool, ServiceError> {
        if self.compacting.lock().failed.is_some_and(|at| at.elapsed() < AGAIN_AFTER) {
            return Ok(false);
        }
        let (records, files) = store.weight()?;
        // What a copy brings must be worth writing it, however little of the last one was waste.
        let after = self.compacting.lock().after;
        if !is_wasteful((records, files)) || files < after.saturating_add(after / 4) {
            return Ok(false);
        }
        // The copy takes some more than the records, never more than what is there.
        let dir = &self.about.data_dir;
        let needed = records.saturating_mul(2).min(files) + reserve_bytes(dir);
        Ok(free_bytes(dir).is_none_or(|free| free > needed))
    }

    fn change_over(&self, store: &SledStore) -> Result<(), ServiceError> {
        let (_, before) = store.weight()?;
        let changed = store.change_over().and_then(|new| Ok((new.weight()?, new)));
        let _engine = self.engine.lock();
        match changed {
            Ok(((records, files), new)) => {
                self.shelf.open(new);
                self.compacting.lock().after = files;
                tracing::info!(records, files, before, "the indexed state was written anew");
                Ok(())
            }
            Err(error) => {
                // The store may have lost its place to a copy that is not open: both are opened again as after any failure.
                self.compacting.lock().failed = Some(Instant::now());
                self.shelf.shut(StoreError::Broken(error.to_string()));
                Err(error.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use crate::domain::request::PolicyRequest;
    use crate::grpc::tests_support::service;
    use crate::service::Service;

    async fn decide(service: &Service, goal: &str) {
        let request = PolicyRequest { task_type: "tickets".to_owned(), goal_id: goal.to_owned(), ..Default::default() };
        service.get_policy(request).await.unwrap();
    }

    #[tokio::test]
    async fn the_store_changes_places_between_requests() {
        let service = service();
        for number in 0..40 {
            decide(&service, &format!("t{number}")).await;
        }
        service.checkpoint().unwrap();
        let before = service.shelf.store().unwrap();
        before.begin_compaction().unwrap();
        decide(&service, "beside").await;
        service.maintain().unwrap();
        let after = service.shelf.store().unwrap();
        assert!(!Arc::ptr_eq(&before, &after) && !after.is_compacting());
        // A request that still holds the old one is answered by it.
        assert!(!before.goals_after(None).unwrap().is_empty());
        decide(&service, "afterwards").await;
        service.checkpoint().unwrap();
        assert_eq!(after.goals_after(None).unwrap().len(), 42);
        after.check().unwrap();
    }

    /// Whoever lists goals stores first, beside the thread that does so from time to time.
    #[tokio::test(flavor = "multi_thread")]
    async fn those_who_store_at_the_same_moment_take_turns() {
        let service = service();
        let over = Arc::new(AtomicBool::new(false));
        let storing: Vec<_> = (0..4)
            .map(|_| {
                let (service, over) = (service.clone(), over.clone());
                thread::spawn(move || {
                    while !over.load(Ordering::SeqCst) {
                        service.checkpoint().unwrap();
                    }
                })
            })
            .collect();
        for number in 0..300 {
            decide(&service, &format!("t{number}")).await;
        }
        over.store(true, Ordering::SeqCst);
        storing.into_iter().for_each(|thread| thread.join().unwrap());
        service.checkpoint().unwrap();
        let store = service.shelf.store().unwrap();
        assert_eq!(store.goals_after(None).unwrap().len(), 300);
        store.check().unwrap();
    }
}
