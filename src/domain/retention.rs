//! Which detail is dropped once it is older than a moment. Every answer rests on one record alone and never changes back: a
//! record that is dropped is not brought to hand again, so whoever folds the same facts drops the same. Sums, posteriors and
//! names are no detail.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::budget::{Account, AccountKey};
use super::call::{Call, CallNo, Stage};
use super::goal::Goal;
use super::state::{KeyUse, State};
use super::time::{DAY_MS, UnixMillis};

/// The moment before which detail is dropped at `now`, when it is kept for `kept_ms`: the beginning of a day (UTC), so that
/// it moves once a day. `None`: detail is kept for ever (`kept_ms` is 0).
#[must_use]
pub fn dropped_before(now: UnixMillis, kept_ms: i64) -> Option<UnixMillis> {
    let from = now.plus_ms(-kept_ms);
    (kept_ms > 0).then(|| UnixMillis(from.0 - from.0.rem_euclid(DAY_MS)))
}

/// Whether a call is dropped: it is not open, and was decided and made before.
#[must_use]
pub fn drops_call(call: &Call, before: UnixMillis) -> bool {
    !matches!(call.stage, Stage::Open(_)) && call.at.max(call.counted_at) < before
}

/// Whether a goal is dropped: it ended and nobody worked on it since, and none of its calls is open. Its calls are dropped too:
/// working on a goal is what a call is.
#[must_use]
pub fn drops_goal(goal: &Goal, before: UnixMillis) -> bool {
    let ended = goal.closing.is_some_and(|closing| closing.at < before);
    ended && goal.last_at < before && goal.own.open == 0
}

/// Whether an account that belongs to no goal is dropped: its period ended.
#[must_use]
pub fn drops_account(account: &Account, before: UnixMillis) -> bool {
    account.opened.resets_at.is_some_and(|end| end < before)
}

/// Whether the use of an idempotency key is dropped.
#[must_use]
pub fn drops_key(used: &KeyUse, before: UnixMillis) -> bool {
    used.at < before
}

/// Records that were dropped.
#[derive(Clone, Debug, Default)]
pub struct Dropped {
    /// Calls.
    pub calls: HashSet<CallNo>,
    /// Goals.
    pub goals: HashSet<Arc<str>>,
    /// Accounts that belong to no goal.
    pub accounts: HashSet<AccountKey>,
    /// Idempotency keys.
    pub keys: HashSet<u128>,
}

impl State {
    /// Drops the detail before a moment from what is at hand; what is stored counts as dropped from then on. No sum changes.
    pub fn drop_detail(&mut self, before: UnixMillis) {
        self.detail_from = self.detail_from.max(before);
        let before = self.detail_from;
        let calls: Vec<_> = gone(&self.calls, |call| drops_call(call, before));
        let goals: Vec<_> = gone(&self.goals, |goal| drops_goal(goal, before));
        let accounts: Vec<_> = gone(&self.accounts, |account| drops_account(account, before));
        let keys: Vec<_> = gone(&self.keys, |used| drops_key(used, before));
        self.erase(&Dropped {
            calls: calls.into_iter().collect(),
            goals: goals.into_iter().collect(),
            accounts: accounts.into_iter().collect(),
            keys: keys.into_iter().collect(),
        });
    }

    /// Drops a call that is open no more, where it is older than the detail that is kept, and its goal with it.
    pub fn drop_if_old(&mut self, number: CallNo) {
        let before = self.detail_from;
        let Some(call) = self.calls.get(&number).filter(|call| drops_call(call, before)) else { return };
        let goal: Arc<str> = Arc::from(call.goal.as_str());
        let mut dropped = Dropped { calls: [number].into(), ..Dropped::default() };
        if self.goals.get(&goal).is_some_and(|goal| drops_goal(goal, before)) {
            dropped.goals.insert(goal);
        }
        self.erase(&dropped);
    }

    /// Lets go of what is at hand and dropped; who stores it is told, and what is stored of it until then is not to be had.
    fn erase(&mut self, gone: &Dropped) {
        for number in &gone.calls {
            self.calls.remove(number);
        }
        for id in &gone.goals {
            self.goals.remove(id);
        }
        for key in &gone.accounts {
            self.accounts.remove(key);
        }
        for hash in &gone.keys {
            self.keys.remove(hash);
        }
        let Some(touched) = &mut self.touched else { return };
        touched.calls.extend(&gone.calls);
        touched.goals.extend(gone.goals.iter().cloned());
        touched.accounts.extend(&gone.accounts);
        touched.keys.extend(&gone.keys);
        self.dropped.calls.extend(&gone.calls);
        self.dropped.goals.extend(gone.goals.iter().cloned());
        self.dropped.accounts.extend(&gone.accounts);
        self.dropped.keys.extend(&gone.keys);
    }
}

fn gone<K: Clone, V>(all: &HashMap<K, V>, drops: impl Fn(&V) -> bool) -> Vec<K> {
    all.iter().filter(|(_, of)| drops(of)).map(|(key, _)| key.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detail_is_dropped_by_whole_days() {
        let now = UnixMillis(20_000 * DAY_MS + 5);
        assert_eq!(dropped_before(now, 0), None);
        assert_eq!(dropped_before(now, DAY_MS), Some(UnixMillis(19_999 * DAY_MS)));
        assert_eq!(dropped_before(now, DAY_MS + 6), Some(UnixMillis(19_998 * DAY_MS)));
    }
}
