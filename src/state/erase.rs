//! Takes what was dropped for its age out of the store, a little at a time, so that nobody waits for it. Which records those
//! are is told by what is stored alone: it never looks at the state in memory, and never runs beside a commit. That they are
//! still there, or gone already, changes no answer: whoever reads passes over them.

use std::collections::BTreeMap;

use super::error::StoreError;
use super::keys::{self, Kind};
use super::seal;
use super::store::SledStore;
use super::{goal_records, load, records};
use crate::domain::call::CallNo;
use crate::domain::retention;
use crate::domain::time::UnixMillis;
use crate::journal::pb;

/// Records by key; `None`: to be removed.
type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// How far the store was gone through for what was dropped before a moment.
#[derive(Debug, Default)]
pub(super) struct Erasing {
    before: UnixMillis,
    /// What is still to be gone through, the last one first.
    left: Vec<Kind>,
    /// The last key looked at, of the kind at work.
    at: Option<Vec<u8>>,
}

impl SledStore {
    /// Looks at up to `most` stored records, and removes those that were dropped. Returns whether more are left to look at;
    /// nothing to do until a checkpoint tells that detail was dropped. Not to be called beside a commit.
    ///
    /// # Errors
    /// As [`SledStore::commit`].
    pub fn erase_dropped(&self, most: usize) -> Result<bool, StoreError> {
        self.careful(|| {
            let mut erasing = self.erasing();
            let Some(meta) = load::meta(&self.db)? else { return Ok(false) };
            let before = UnixMillis(meta.detail_from_ms);
            if erasing.before < before {
                // Goals come before calls only so that a half-done pass leaves no goal whose calls are gone.
                let left = vec![Kind::Key, Kind::Account, Kind::Page, Kind::GoalAt];
                *erasing = Erasing { before, left, at: None };
            }
            let Some(kind) = erasing.left.last().copied() else { return Ok(false) };
            let mut writes = Writes::new();
            match self.look(kind, before, erasing.at.as_deref(), most, &mut writes)? {
                Some(at) => erasing.at = Some(at),
                None => {
                    erasing.left.pop();
                    erasing.at = None;
                }
            }
            if !writes.is_empty() {
                let written = self.written().clone();
                self.put(writes, meta, written)?;
            }
            Ok(!erasing.left.is_empty())
        })
    }

    /// Goes on through the records of a kind behind `at`, the oldest first where their keys tell; returns the last one looked
    /// at, or nothing where all that could be dropped were.
    fn look(
        &self,
        kind: Kind,
        before: UnixMillis,
        at: Option<&[u8]>,
        most: usize,
        writes: &mut Writes,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let (low, high) = (kind.prefix(), kind.end());
        let behind = |at: &[u8]| [at, &[0]].concat();
        // Marks of goals sort the newest first.
        let backwards = kind == Kind::GoalAt;
        let (from, until) = match at {
            Some(at) if backwards => (low, at.to_vec()),
            Some(at) => (behind(at), high),
            None => (low, high),
        };
        let mut range = self.db.range(from..until);
        let mut last = None;
        for _ in 0..most {
            let next = if backwards { range.next_back() } else { range.next() };
            let Some(item) = next else { return Ok(None) };
            let (key, value) = item?;
            let goes_on = match kind {
                Kind::GoalAt => self.goal_at(&key, before, writes)?,
                Kind::Page => page(&key, &value, before, writes)?,
                Kind::Account => {
                    let account = goal_records::account(seal::unseal(&key, &value)?, "")?;
                    drop_if(retention::drops_account(&account, before), &key, writes)
                }
                _ => {
                    let used = records::key_use(&seal::unseal(&key, &value)?);
                    drop_if(retention::drops_key(&used, before), &key, writes)
                }
            };
            if !goes_on {
                return Ok(None);
            }
            last = Some(key.to_vec());
        }
        Ok(last)
    }

    /// The goal of a mark; whether the next one may have been dropped too.
    fn goal_at(&self, key: &[u8], before: UnixMillis, writes: &mut Writes) -> Result<bool, StoreError> {
        let (opened_at, id) = keys::read_goal_at(key)?;
        let Some(head) = self.get::<pb::Goal>(&keys::goal(&id))? else { return Ok(true) };
        let gone: Vec<_> = goal_records::keys_of(&id, &head)?;
        let goal = goal_records::goal(&id, head, Vec::new())?;
        if retention::drops_goal(&goal, before) {
            writes.extend(gone.into_iter().map(|key| (key, None)));
        }
        Ok(opened_at < before)
    }
}

/// A page of calls; whether calls of the next one may have been dropped too.
fn page(key: &[u8], value: &[u8], before: UnixMillis, writes: &mut Writes) -> Result<bool, StoreError> {
    let stored: pb::CallPage = seal::unseal(key, value)?;
    let mut kept = pb::CallPage::default();
    let (mut all, mut older) = (0, false);
    for call in stored.calls {
        all += 1;
        let known = records::call(CallNo(0), call.clone())?;
        older |= known.at < before;
        if !retention::drops_call(&known, before) {
            kept.calls.push(call);
        }
    }
    if kept.calls.is_empty() {
        writes.insert(key.to_vec(), None);
    } else if kept.calls.len() < all {
        writes.insert(key.to_vec(), Some(seal::seal(key, &kept)));
    }
    Ok(older || all == 0)
}

fn drop_if(dropped: bool, key: &[u8], writes: &mut Writes) -> bool {
    if dropped {
        writes.insert(key.to_vec(), None);
    }
    true
}
