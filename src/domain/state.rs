//! The folded state: what all facts so far add up to. It is changed only by `engine::apply`, holds no clock, no
//! randomness and no I/O, and remembers which of its parts were touched so that an adapter can write just those.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::budget::{Account, AccountKey, Booked};
use super::call::{Call, CallNo, Stage};
use super::cell::Cell;
use super::context::{ContextKey, ContextSeries, ContextTally};
use super::drift::Change;
use super::event::{AlertRaised, ModelState};
use super::flag::FlagState;
use super::goal::{Goal, GoalSums};
use super::goal_tally::{GoalKey, GoalSeries, GoalTally};
use super::names::{LabelsId, NameId, Names};
use super::open_goals::OpenGoals;
use super::proof::{ProofKey, ProofSeries, ProofTally};
use super::retention::Dropped;
use super::rollup::{Grain, RollupKey, Rollups, Tally};
use super::time::UnixMillis;
use super::tool::ToolState;

/// What is learned of a task type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskState {
    /// Its candidates, by name number.
    pub cells: BTreeMap<NameId, Cell>,
    /// Its over-provisioning flag.
    pub flag: FlagState,
    /// Outcomes its cells ever taught; their sum.
    pub lessons: u64,
    /// The newest changes found, in the order they were.
    pub changes: Vec<(UnixMillis, Change)>,
}

impl TaskState {
    /// Changes that are kept.
    pub const CHANGES_KEPT: usize = 20;

    /// Puts a change on record.
    pub fn note(&mut self, at: UnixMillis, change: &Change) {
        if self.changes.len() == Self::CHANGES_KEPT {
            self.changes.remove(0);
        }
        self.changes.push((at, change.clone()));
    }
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
    /// Time of that event.
    pub at: UnixMillis,
}

/// An alert as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// When it was raised.
    pub at: UnixMillis,
    /// What it says.
    pub raised: AlertRaised,
    /// When, by whom and with which remark it was acknowledged.
    pub acknowledged: Option<(UnixMillis, String, String)>,
}

/// Which parts were touched since they were last taken.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    /// Calls.
    pub calls: HashSet<CallNo>,
    /// Goals.
    pub goals: HashSet<Arc<str>>,
    /// Workflows and labels whose number of open goals changed.
    pub open_goals: HashSet<(NameId, LabelsId)>,
    /// Accounts that belong to no goal.
    pub accounts: HashSet<AccountKey>,
    /// Tools.
    pub tools: HashSet<NameId>,
    /// Alerts.
    pub alerts: HashSet<u64>,
    /// Idempotency keys.
    pub keys: Vec<u128>,
    /// Cells.
    pub cells: HashSet<(NameId, NameId)>,
    /// Flags, by task type.
    pub flags: HashSet<NameId>,
    /// Sums.
    pub sums: HashSet<(Grain, UnixMillis, RollupKey)>,
    /// Sums of closed goals.
    pub goal_sums: HashSet<(Grain, UnixMillis, GoalKey)>,
    /// Sums of contexts.
    pub context_sums: HashSet<(Grain, UnixMillis, ContextKey)>,
    /// Sums of the units of rollouts.
    pub proof_sums: HashSet<(Grain, UnixMillis, ProofKey)>,
    /// Minutes dropped for age, of any kind of sum.
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
    /// Detail before this was dropped; 0: none was.
    pub detail_from: UnixMillis,
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
    /// Sums of closed goals over time.
    pub goal_sums: GoalSeries,
    /// Sums of contexts over time.
    pub context_sums: ContextSeries,
    /// Sums of the units of rollouts over time.
    pub proof_sums: ProofSeries,
    /// Calls at hand; the others are in the store.
    pub calls: HashMap<CallNo, Call>,
    /// Goals at hand; the others are in the store.
    pub goals: HashMap<Arc<str>, Goal>,
    /// Open goals: all counted, those at hand by when somebody last worked on them.
    pub open_goals: OpenGoals,
    /// Accounts at hand that belong to no goal.
    pub accounts: HashMap<AccountKey, Account>,
    /// Tools.
    pub tools: HashMap<NameId, ToolState>,
    /// Alerts by number.
    pub alerts: BTreeMap<u64, Alert>,
    /// Number of the last alert.
    pub last_alert: u64,
    /// Idempotency keys at hand; the others are in the store.
    pub keys: HashMap<u128, KeyUse>,
    /// Open decisions in the order they expire.
    pub open: BTreeSet<(UnixMillis, CallNo)>,
    /// Calls ever made or decided, for status.
    pub calls_total: u64,
    /// Amendments ever made, for status.
    pub amendments_total: u64,
    /// Cells that were taught since somebody asked, and whether a look for a change of theirs is due.
    pub taught: BTreeMap<(NameId, NameId), bool>,
    /// Rises whenever evidence changes, of whatever task type. Not part of the state's digest.
    pub evidence_version: u64,
    /// What was touched; `None`: nobody asks.
    pub touched: Option<Touched>,
    /// What was dropped for its age while it was at hand, and may still be stored as it stood before.
    pub dropped: Dropped,
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
        // Asked before anything is taken back: a call that is told apart stays so.
        if !call.coarse {
            let key = RollupKey::of(&call);
            let times = [call.at, call.counted_at];
            call.coarse = times.iter().any(|at| self.rollups.is_crowded(*at, &key));
        }
        if let Some(old) = old {
            self.contribute(old, false);
        } else {
            self.calls_total += 1;
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
        self.book(call, add);
        if call.settled().is_none() {
            return;
        }
        self.sum(call.counted_at, key, &Tally::of_outcome(call), add);
        self.prove(ProofTally::of_call(call), add);
        if let Some((key, tally)) = ContextTally::of(call) {
            let touched = &mut self.touched;
            self.context_sums.change(call.counted_at, key, &tally, add, |grain, start| {
                if let Some(touched) = touched {
                    touched.context_sums.insert((grain, start, key));
                }
            });
        }
        if call.tool != NameId::NONE {
            self.tools.entry(call.tool).or_default().change(call, add);
            if let Some(touched) = &mut self.touched {
                touched.tools.insert(call.tool);
            }
        }
        if call.task != NameId::NONE && call.candidate != NameId::NONE {
            let of = self.tasks.entry(call.task).or_default();
            let cell = of.cells.entry(call.candidate).or_default();
            let before = cell.lessons;
            if add {
                cell.add(call, of.lessons);
            } else {
                cell.remove(call);
            }
            of.lessons = of.lessons + cell.lessons - before;
            if call.reward_micro().is_some() {
                self.evidence_version += 1;
                let is_due = add && cell.take_look();
                *self.taught.entry((call.task, call.candidate)).or_default() |= is_due;
            }
            if let Some(touched) = &mut self.touched {
                touched.cells.insert((call.task, call.candidate));
            }
        }
    }

    /// What the call adds to its goal, to the goals above it, and to the accounts it is booked on.
    fn book(&mut self, call: &Call, add: bool) {
        let mut chain: Vec<Arc<str>> = Vec::new();
        if !call.goal.is_empty() {
            let id: Arc<str> = Arc::from(call.goal.as_str());
            chain.extend(self.goals.get(&id).map(|g| g.ancestors.clone()).unwrap_or_default());
            let sums = GoalSums::of(call);
            self.change_goal(&id, |goal| {
                goal.own.change(&sums, add);
                goal.whole.change(&sums, add);
            });
            // One above it may have been dropped, and begun anew since: that is another goal.
            let began = self.goals.get(&id).map_or_else(UnixMillis::default, |goal| goal.opened_at);
            chain.retain(|above| self.goals.get(above).is_some_and(|goal| goal.opened_at <= began));
            for above in &chain {
                self.change_goal(above, |goal| goal.whole.change(&sums, add));
            }
            chain.insert(0, id);
        }
        for charge in &call.charges {
            let change = |account: &mut Account| {
                let booked: Booked = charge.booked(call, account.opened.measure);
                account.booked.change(&booked, add);
            };
            if let Some(account) = self.accounts.get_mut(&charge.account) {
                change(account);
                if let Some(touched) = &mut self.touched {
                    touched.accounts.insert(charge.account);
                }
                continue;
            }
            let has = |goal: &Goal| goal.accounts.iter().any(|a| a.opened.key == charge.account);
            if let Some(id) = chain.iter().find(|id| self.goals.get(*id).is_some_and(has)) {
                self.change_goal(id, |goal| {
                    goal.accounts.iter_mut().filter(|a| a.opened.key == charge.account).for_each(change);
                });
            }
        }
    }

    /// Changes a goal; what it contributes to the sums of closed goals is taken back before and added after.
    pub fn change_goal(&mut self, id: &Arc<str>, change: impl FnOnce(&mut Goal)) {
        self.touch_goal(id);
        let goal = self.goals.entry(id.clone()).or_default();
        let (before, proven) = (GoalTally::of(goal), ProofTally::of_goal(goal));
        change(goal);
        let mut after = GoalTally::of(goal);
        if let (Some((at, key, tally)), false) = (&after, goal.coarse)
            && self.goal_sums.is_crowded(*at, key)
        {
            goal.coarse = true;
            let key = GoalKey { workflow: NameId::OTHER, labels: LabelsId::OTHER, ..*key };
            after = Some((*at, key, tally.clone()));
        }
        let proves = ProofTally::of_goal(goal);
        if proven != proves {
            self.prove(proven, false);
            self.prove(proves, true);
        }
        if before == after {
            return;
        }
        for (contribution, add) in [(before, false), (after, true)] {
            let Some((at, key, tally)) = contribution else { continue };
            let touched = &mut self.touched;
            self.goal_sums.change(at, key, &tally, add, |grain, start| {
                if let Some(touched) = touched {
                    touched.goal_sums.insert((grain, start, key));
                }
            });
        }
    }

    /// Counts a goal as open as it stands (`true`), or no more as open as it stands (`false`).
    pub fn count_open(&mut self, id: &Arc<str>, open: bool) {
        let Some(goal) = self.goals.get(id) else { return };
        self.open_goals.change(id, goal, open);
        if let Some(touched) = &mut self.touched {
            touched.open_goals.insert((goal.workflow, goal.labels));
        }
    }

    /// Whether a goal that is stored as open stands so and only there: at hand it is not known to be otherwise, nor listed.
    #[must_use]
    pub fn is_open_away(&self, workflow: NameId, last_at: UnixMillis, id: &str) -> bool {
        let stands = |goal: &Goal| goal.is_open() && (goal.workflow, goal.last_at) == (workflow, last_at);
        let is_open = self.goals.get(id).map_or_else(|| !self.dropped.goals.contains(id), stands);
        is_open && !self.open_goals.is_at_hand(workflow, last_at, id)
    }

    /// Drops the minutes that are too old by the time of the last fact.
    pub fn advance_sums(&mut self) {
        let now = self.last_at;
        let mut dropped = self.rollups.advance(now);
        dropped.extend(self.goal_sums.advance(now));
        dropped.extend(self.context_sums.advance(now));
        dropped.extend(self.proof_sums.advance(now));
        if let Some(touched) = &mut self.touched {
            dropped.sort_unstable();
            dropped.dedup();
            touched.minutes_dropped.extend(dropped);
        }
    }

    /// An account, of a goal in `chain` or of none.
    #[must_use]
    pub fn account(&self, key: AccountKey, chain: &[Arc<str>]) -> Option<&Account> {
        let of_goal = |id: &Arc<str>| self.goals.get(id)?.accounts.iter().find(|a| a.opened.key == key);
        self.accounts.get(&key).or_else(|| chain.iter().find_map(of_goal))
    }

    fn sum(&mut self, at: UnixMillis, key: RollupKey, tally: &Tally, add: bool) {
        let touched = &mut self.touched;
        self.rollups.change(at, key, tally, add, |grain, start| {
            if let Some(touched) = touched {
                touched.sums.insert((grain, start, key));
            }
        });
    }

    fn prove(&mut self, contributions: impl IntoIterator<Item = (UnixMillis, ProofKey, ProofTally)>, add: bool) {
        for (at, key, tally) in contributions {
            let touched = &mut self.touched;
            self.proof_sums.change(at, key, &tally, add, |grain, start| {
                if let Some(touched) = touched {
                    touched.proof_sums.insert((grain, start, key));
                }
            });
        }
    }

    /// Marks a goal as touched.
    pub fn touch_goal(&mut self, goal: &Arc<str>) {
        if let Some(touched) = &mut self.touched {
            touched.goals.insert(goal.clone());
        }
    }
}
