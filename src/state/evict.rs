//! The last part of a step forward of the stored state: letting go of what it made superfluous in memory. It drops nothing
//! that was touched since, and writes nothing.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::load;
use super::store::SledStore;
use crate::domain::budget::{Account, AccountKey};
use crate::domain::call::{CallNo, Stage};
use crate::domain::goal::Goal;
use crate::domain::state::State;

/// Open decisions kept at hand, the newest ones; the others are read when their outcome or their end comes.
pub(super) const OPEN_AT_HAND: usize = 50_000;

/// What a committed step makes superfluous in memory.
#[derive(Debug, Default)]
pub struct Committed {
    pub(super) calls: Vec<CallNo>,
    pub(super) goals: Vec<Arc<str>>,
    pub(super) accounts: Vec<AccountKey>,
    pub(super) keys: Vec<u128>,
}

impl SledStore {
    /// Lets go of what `committed` made superfluous and nobody touched since; to be called under the engine's lock.
    pub fn evict(&self, state: &mut State, committed: Committed) {
        self.evict_to(state, committed, OPEN_AT_HAND);
    }

    /// As [`SledStore::evict`], keeping `at_hand` open decisions, and a fifth as many of whatever else was looked up.
    pub(super) fn evict_to(&self, state: &mut State, committed: Committed, at_hand: usize) {
        let Some(touched) = &state.touched else { return };
        let keys: HashSet<u128> = touched.keys.iter().copied().collect();
        for call in committed.calls {
            if !touched.calls.contains(&call) {
                state.calls.remove(&call);
            }
        }
        for goal in committed.goals {
            if !touched.goals.contains(&goal)
                && let Some(gone) = state.goals.remove(&goal).filter(Goal::is_open)
            {
                state.open_goals.put_away(&goal, &gone);
            }
        }
        for account in committed.accounts {
            if !touched.accounts.contains(&account) {
                state.accounts.remove(&account);
            }
        }
        for key in committed.keys {
            if !keys.contains(&key) {
                state.keys.remove(&key);
            }
        }
        // What was dropped and not touched since is out of the store now.
        state.dropped.calls.retain(|call| touched.calls.contains(call));
        state.dropped.goals.retain(|goal| touched.goals.contains(goal));
        state.dropped.accounts.retain(|account| touched.accounts.contains(account));
        state.dropped.keys.retain(|key| keys.contains(key));
        let spare = at_hand / 5;
        // What is left is open, touched, or was only looked up; the last must not pile up.
        if state.calls.len() > state.open.len() + touched.calls.len() + spare {
            state.calls.retain(|number, call| matches!(call.stage, Stage::Open(_)) || touched.calls.contains(number));
        }
        // Outcomes come soon or late; those that come late find their decision in the store.
        if state.calls.len() > touched.calls.len() + at_hand + spare {
            let mut numbers: Vec<CallNo> = state.calls.keys().copied().collect();
            let oldest = numbers.len() - at_hand;
            let kept_from = *numbers.select_nth_unstable(oldest).1;
            state.calls.retain(|number, _| *number >= kept_from || touched.calls.contains(number));
        }
        if state.goals.len() > touched.goals.len() + spare {
            state.goals.retain(|goal, _| touched.goals.contains(goal));
        }
        // Those of running periods stay, so it takes many new ones until another look pays.
        let kept = self.accounts_kept.load(Ordering::Relaxed);
        if state.accounts.len() > kept + touched.accounts.len() + spare {
            let (now, touched) = (state.last_at, &touched.accounts);
            let wanted = |key: &AccountKey, of: &Account| load::is_running(of, now) || touched.contains(key);
            state.accounts.retain(|key, of| wanted(key, of));
            self.accounts_kept.store(state.accounts.len(), Ordering::Relaxed);
        }
        if state.keys.len() > keys.len() + spare {
            state.keys.retain(|key, _| keys.contains(key));
        }
    }
}
