//! The folded state: what all facts so far add up to. It is changed only by `engine::apply`, holds no clock, no
//! randomness and no I/O, and remembers which of its parts were touched so that an adapter can write just those.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::call::{Call, CallNo, Stage};
use super::cell::Cell;
use super::event::ModelState;
use super::flag::FlagState;
use super::goal::GoalThread;
use super::names::{NameId, Names};
use super::rollup::{Grain, RollupKey, Rollups, Tally};
use super::time::UnixMillis;

/// What is learned of a task type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskState {
    /// Its candidates, by name number.
    pub cells: BTreeMap<NameId, Cell>,
    /// Its over-provisioning flag.
    pub flag: FlagState,
}

/// What an idempotency key was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// Digest of the body.
    pub body: u64,
    /// The call it made or settled.
    pub call: CallNo,
    /// The event it was first answered from.
    pub seq: u64,
}

/// Which parts were touched since they were last taken.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    /// Calls.
    pub calls: HashSet<CallNo>,
    /// Goals.
    pub goals: HashSet<Arc<str>>,
    /// Idempotency keys.
    pub keys: Vec<u128>,
    /// Cells.
    pub cells: HashSet<(NameId, NameId)>,
    /// Flags, by task type.
    pub flags: HashSet<NameId>,
    /// Sums.
    pub sums: HashSet<(Grain, UnixMillis, RollupKey)>,
    /// Minutes dropped for age.
    pub minutes_dropped: Vec<UnixMillis>,
    /// Names, label sets or model states.
    pub tables: bool,
}

/// Everything the facts so far add up to.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Sequence number of the last fact applied.
    pub applied_seq: u64,
    /// Time of the last fact.
    pub last_at: UnixMillis,
    /// How often a daemon opened this journal.
    pub epoch: u32,
    /// Versions of the catalogues that came into force, in order; the last one is in force.
    pub catalog_versions: Vec<String>,
    /// Names.
    pub names: Names,
    /// Task types.
    pub tasks: HashMap<NameId, TaskState>,
    /// States set by people: (task type or `NONE`, candidate).
    pub model_states: BTreeMap<(NameId, NameId), ModelState>,
    /// Sums over time.
    pub rollups: Rollups,
    /// Calls at hand; the others are in the store.
    pub calls: HashMap<CallNo, Call>,
    /// Goals at hand; the others are in the store.
    pub goals: HashMap<Arc<str>, GoalThread>,
    /// Idempotency keys at hand; the others are in the store.
    pub keys: HashMap<u128, KeyUse>,
    /// Open decisions in the order they expire.
    pub open: BTreeSet<(UnixMillis, CallNo)>,
    /// Calls ever made or decided, for status.
    pub calls_total: u64,
    /// Amendments ever made, for status.
    pub amendments_total: u64,
    /// What was touched; `None`: nobody asks.
    pub touched: Option<Touched>,
}

impl State {
    /// Version of the catalogue in force; empty before the first.
    #[must_use]
    pub fn catalog_version(&self) -> &str {
        self.catalog_versions.last().map_or("", String::as_str)
    }

    /// The cell of a candidate, when anything is known of it.
    #[must_use]
    pub fn cell(&self, task: NameId, candidate: NameId) -> Option<&Cell> {
        self.tasks.get(&task)?.cells.get(&candidate)
    }

    /// Whether people disabled or shadowed a candidate: its own state at the task type, else everywhere.
    #[must_use]
    pub fn model_state(&self, task: NameId, names: &[NameId]) -> Option<ModelState> {
        let at = |t: NameId| names.iter().find_map(|n| self.model_states.get(&(t, *n)));
        at(task).or_else(|| at(NameId::NONE)).copied()
    }

    /// Puts `call` in the place of `old`: every sum that `old` contributed to is taken back, every sum that `call`
    /// contributes to is added.
    pub fn replace_call(&mut self, old: Option<&Call>, mut call: Call) {
        if let Some(old) = old {
            self.contribute(old, false);
        } else {
            self.calls_total += 1;
        }
        if !call.coarse {
            let key = RollupKey::of(&call);
            let times = [call.at, call.counted_at];
            call.coarse = times.iter().any(|at| self.rollups.is_crowded(*at, &key));
        }
        self.contribute(&call, true);
        if let Some(Stage::Open(until)) = old.map(|o| o.stage) {
            self.open.remove(&(until, call.number));
        }
        if let Stage::Open(until) = call.stage {
            self.open.insert((until, call.number));
        }
        if let Some(touched) = &mut self.touched {
            touched.calls.insert(call.number);
        }
        self.calls.insert(call.number, call);
    }

    fn contribute(&mut self, call: &Call, add: bool) {
        let key = RollupKey::of(call);
        self.sum(call.at, key, &Tally::of_decision(call), add);
        if call.settled().is_none() {
            return;
        }
        self.sum(call.counted_at, key, &Tally::of_outcome(call), add);
        if call.task != NameId::NONE && call.candidate != NameId::NONE {
            let cell = self.tasks.entry(call.task).or_default().cells.entry(call.candidate).or_default();
            if add {
                cell.add(call);
            } else {
                cell.remove(call);
            }
            if let Some(touched) = &mut self.touched {
                touched.cells.insert((call.task, call.candidate));
            }
        }
    }

    fn sum(&mut self, at: UnixMillis, key: RollupKey, tally: &Tally, add: bool) {
        let touched = &mut self.touched;
        self.rollups.change(at, key, tally, add, |grain, start| {
            if let Some(touched) = touched {
                touched.sums.insert((grain, start, key));
            }
        });
    }

    /// Marks a goal as touched.
    pub fn touch_goal(&mut self, goal: &Arc<str>) {
        if let Some(touched) = &mut self.touched {
            touched.goals.insert(goal.clone());
        }
    }
}
