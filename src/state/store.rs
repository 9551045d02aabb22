//! The handle of the stored state, and the port through which the engine asks for records that are not at hand. It knows
//! nothing of files (see `open.rs`) and writes nothing (see `checkpoint.rs`).

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use prost::Message;

use super::compact::Fresh;
use super::copying::{Copying, Total, inside};
use super::erase::Erasing;
use super::error::StoreError;
use super::keys::{self, Kind, SLOT_BITS};
use super::quiet::{self, Last};
use super::seal;
use super::{goal_records, load, records};
use crate::domain::budget::{Account, AccountKey};
use crate::domain::call::{Call, CallNo};
use crate::domain::goal::Goal;
use crate::domain::state::KeyUse;
use crate::domain::time::UnixMillis;
use crate::engine::hydrate::{ColdStore, Idle, IdleAsked};
use crate::journal::{SnapshotWriter, fields, pb};

/// What is already stored, so that a checkpoint writes only the rest.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    /// Names by kind.
    pub names: [usize; fields::KINDS.len()],
    /// Sets of labels.
    pub labels: usize,
    /// Records, the one that says so left out.
    pub total: Total,
    /// This process has left the mark that something was stored.
    pub marked: bool,
}

/// The stored state, open.
///
/// A record that cannot be read counts as absent *and* marks the store as broken: before an answer that rests on a look-up
/// is written down, ask [`SledStore::health`].
#[derive(Debug)]
pub struct SledStore {
    pub(super) db: sled::Db,
    pub(super) dir: PathBuf,
    pub(super) written: Mutex<Written>,
    /// Accounts at hand after those not wanted any more were last let go of.
    pub(super) accounts_kept: AtomicUsize,
    /// How far what was dropped is out of it.
    erasing: Mutex<Erasing>,
    /// The copy that is to take its place.
    pub(super) compacting: Mutex<Option<Copying<Fresh>>>,
    /// The copy that is to stand for the first segments of the journal.
    pub(super) snapshot: Mutex<Option<Copying<SnapshotWriter>>>,
    broken: OnceLock<StoreError>,
    /// Behind `db`, so that it goes last.
    pub(super) last: Last<sled::Db>,
}

impl SledStore {
    pub(super) fn new(db: sled::Db, dir: &Path, written: Written) -> Self {
        let last = Last::of(db.clone());
        Self {
            db,
            dir: dir.to_owned(),
            written: Mutex::new(written),
            accounts_kept: AtomicUsize::new(0),
            erasing: Mutex::default(),
            compacting: Mutex::default(),
            snapshot: Mutex::default(),
            broken: OnceLock::new(),
            last,
        }
    }

    /// Whether everything read and written so far was whole.
    ///
    /// # Errors
    /// The first thing that went wrong: drop this store and open it again, which sets it aside if need be.
    pub fn health(&self) -> Result<(), StoreError> {
        self.broken.get().map_or(Ok(()), |why| Err(why.clone()))
    }

    /// Checks every record and that none is missing; takes a second or so for a million calls.
    ///
    /// # Errors
    /// [`StoreError::Broken`] with the first thing found.
    pub fn check(&self) -> Result<(), StoreError> {
        self.careful(|| load::check(&self.db))
    }

    /// Does `work` so that a panic of sled becomes damage, and damage is remembered.
    pub(super) fn careful<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let done = quiet::catch(work).unwrap_or_else(|panic| Err(StoreError::panicked(&self.dir, panic)));
        if let Err(error) = &done {
            // The first thing that went wrong is the one to report; the next opening checks every record.
            if self.broken.set(error.clone()).is_ok() {
                super::trust::forget(&self.dir);
            }
        }
        done
    }

    pub(super) fn written(&self) -> MutexGuard<'_, Written> {
        inside(&self.written)
    }

    pub(super) fn erasing(&self) -> MutexGuard<'_, Erasing> {
        inside(&self.erasing)
    }

    /// The stored message under `key`.
    pub(super) fn get<M: Message + Default>(&self, key: &[u8]) -> Result<Option<M>, StoreError> {
        self.db.get(key)?.map(|value| seal::unseal(key, &value)).transpose()
    }

    /// The goal of that name, from its record and its parts.
    pub(super) fn whole_goal(&self, id: &str, head: pb::Goal) -> Result<Goal, StoreError> {
        let part = |number| {
            let found = self.get(&keys::goal_part(id, number))?;
            found.ok_or_else(|| StoreError::broken("a part of a goal is missing"))
        };
        let parts = (0..head.parts).map(part).collect::<Result<_, StoreError>>()?;
        Ok(goal_records::goal(id, head, parts)?)
    }

    fn find<M: Message + Default, T>(
        &self,
        key: &[u8],
        read: impl FnOnce(M) -> Result<Option<T>, StoreError>,
    ) -> Option<T> {
        self.careful(|| self.get(key)?.map_or(Ok(None), read)).ok().flatten()
    }
}

/// Goals told at a time.
pub(super) const GOALS_AT_ONCE: usize = 500;

impl SledStore {
    /// The next goals in the order of their beginning, newest first, behind the one given; none where those were all.
    ///
    /// # Errors
    /// [`StoreError::Broken`]: sled or the disk failed.
    pub fn goals_after(&self, after: Option<&(UnixMillis, String)>) -> Result<Vec<(UnixMillis, String)>, StoreError> {
        self.careful(|| {
            let prefix = Kind::GoalAt.prefix();
            let from = match after {
                Some((at, id)) => Bound::Excluded(keys::goal_at(*at, id)),
                None => Bound::Included(prefix.clone()),
            };
            let range = self.db.range((from, Bound::Unbounded)).keys().take(GOALS_AT_ONCE);
            let mut goals = Vec::new();
            for key in range {
                let key = key?;
                if !key.starts_with(&prefix) {
                    break;
                }
                goals.push(keys::read_goal_at(&key)?);
            }
            Ok(goals)
        })
    }
}

impl ColdStore for SledStore {
    fn call(&self, number: CallNo) -> Option<Call> {
        self.find(&keys::page(number.0 >> SLOT_BITS), |page: pb::CallPage| {
            let slot = slot_of(number);
            let found = page.calls.into_iter().find(|c| c.slot == slot);
            Ok(found.map(|c| records::call(number, c)).transpose()?)
        })
    }

    fn goal(&self, id: &str) -> Option<Goal> {
        self.find(&keys::goal(id), |head| self.whole_goal(id, head).map(Some))
    }

    fn account(&self, key: AccountKey) -> Option<Account> {
        self.find(&keys::account(key), |account| Ok(Some(goal_records::account(account, "")?)))
    }

    fn key(&self, hash: u128) -> Option<KeyUse> {
        self.find(&Kind::Key.key(&[&hash.to_be_bytes()]), |used| Ok(Some(records::key_use(&used))))
    }

    fn idle_goals(&self, asked: &IdleAsked<'_>) -> Idle {
        self.careful(|| {
            let IdleAsked { workflow, until, most, wanted } = *asked;
            let mut idle = Idle { goals: Vec::new(), from: load::idle_from(&self.db, workflow)? };
            let from = keys::idle_since(workflow, UnixMillis(i64::MIN));
            for key in self.db.range(from..keys::idle_since(workflow, until.plus_ms(1))).keys() {
                let key = key?;
                let (_, last_at, id) = keys::read_idle_goal(&key)?;
                if idle.goals.len() == most {
                    break;
                }
                if wanted(last_at, id) {
                    idle.goals.push((last_at, Arc::from(id)));
                }
            }
            Ok(idle)
        })
        .unwrap_or_default()
    }
}

/// A call's place within its page.
pub(super) fn slot_of(number: CallNo) -> u32 {
    (number.0 & ((1 << SLOT_BITS) - 1)) as u32
}
