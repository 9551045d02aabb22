//! A goal: the one user-visible action its calls add up to. What happened to it and what it cost are sums of its calls and
//! facts about itself; the thread says which of the calls are retries, and which drawn model is being kept. It knows no
//! clock and no prices.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::budget::{Account, Opened};
use super::call::{Arm, Call, CallNo, Order};
use super::money::NanoUsd;
use super::names::{Labels, LabelsId, NameId, NameKind, Names};
use super::outcome::QualityMicro;
use super::time::{HOUR_MS, UnixMillis};

super::outcome::words! {
    /// How a goal ended.
    GoalState {
        /// Its result was accepted.
        Accepted = 1, "accepted";
        /// Its result was rejected.
        Rejected = 2, "rejected";
        /// The user gave it up.
        Abandoned = 3, "abandoned";
        /// Nobody worked on it any more.
        TimedOut = 4, "timed_out";
        /// A tool failed it.
        ToolError = 5, "tool_error";
        /// A human took over.
        Escalated = 6, "escalated";
    }
}

/// The longest chain of goals above a goal.
pub const ANCESTORS_MAX: usize = 8;

/// Notes kept of one goal; the oldest of the middle are let go beyond it (the journal keeps all).
pub const NOTES_MAX: usize = 200;

/// Settings of goals and workflows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoalRules {
    /// How long a goal may lie idle before it is closed as timed out, in milliseconds.
    pub idle_timeout_ms: i64,
    /// Workflows with settings of their own.
    pub workflows: BTreeMap<Arc<str>, WorkflowRules>,
}

/// Settings of one workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkflowRules {
    /// How long its goals may lie idle; `None`: as all.
    pub idle_timeout_ms: Option<i64>,
    /// What one accepted goal is sold for.
    pub price: Option<NanoUsd>,
}

impl Default for GoalRules {
    fn default() -> Self {
        Self { idle_timeout_ms: 24 * HOUR_MS, workflows: BTreeMap::new() }
    }
}

impl GoalRules {
    /// How long a goal of that workflow may lie idle, in milliseconds.
    #[must_use]
    pub fn idle_timeout_ms(&self, workflow: &str) -> i64 {
        self.workflows.get(workflow).and_then(|w| w.idle_timeout_ms).unwrap_or(self.idle_timeout_ms)
    }
}

/// How a goal stands closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// When it was closed; amendments keep it.
    pub at: UnixMillis,
    /// How it ended, as is known now.
    pub state: GoalState,
    /// The caller's score, where one came.
    pub score: Option<QualityMicro>,
}

/// Something that happened to a goal itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: UnixMillis,
    /// By whom; empty: nobody said.
    pub by: String,
    /// In the words of whoever did it; empty: none.
    pub text: String,
    /// What.
    pub what: NoteKind,
}

/// What happened to a goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// It was closed.
    Closed(GoalState),
    /// Its end was corrected.
    Amended(GoalState),
    /// A call was asked for after it was closed.
    Reopened,
    /// Money was granted.
    Granted(NanoUsd),
}

/// Sums over calls of a goal. Every field is additive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoalSums {
    /// Known cost in nano-USD, quality checks included.
    pub cost: i64,
    /// Calls.
    pub calls: i64,
    /// Of them those of unknown cost.
    pub unpriced: i64,
    /// Of them failures.
    pub failures: i64,
    /// Cost of the failures in nano-USD.
    pub failed_cost: i64,
    /// Of them retries.
    pub retries: i64,
    /// Of them calls of tools.
    pub tool_calls: i64,
    /// Input and output tokens.
    pub tokens: i64,
    /// Latency in milliseconds.
    pub latency_ms: i64,
    /// Energy in millijoules.
    pub energy_mj: i64,
    /// Decisions and gates that wait for their outcome.
    pub open: i64,
}

impl GoalSums {
    /// What a call contributes.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        let mut sums = Self { open: i64::from(matches!(call.stage, super::call::Stage::Open(_))), ..Self::default() };
        // What a call cost that nobody told of is not known.
        sums.unpriced = i64::from(matches!(call.stage, super::call::Stage::Expired));
        let Some(settled) = call.settled() else { return sums };
        let wide = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let cost = settled.cost.map_or(0, |c| wide(c.0));
        sums.cost = cost;
        sums.tokens = settled.usage.map_or(0, |u| wide(u.input.saturating_add(u.output)));
        sums.energy_mj = settled.energy_mj.map_or(0, wide);
        if call.evaluation {
            return sums;
        }
        let failed = call.failure_reason().is_some();
        sums.calls = 1;
        sums.unpriced = i64::from(settled.cost.is_none());
        sums.failures = i64::from(failed);
        sums.failed_cost = if failed { cost } else { 0 };
        sums.retries = i64::from(call.is_retry());
        sums.tool_calls = i64::from(call.candidate == NameId::NONE);
        sums.latency_ms = settled.latency_ms.map_or(0, i64::from);
        sums
    }

    /// Adds or takes away.
    pub fn change(&mut self, by: &Self, add: bool) {
        let change = |a: &mut i64, b: i64| *a = if add { a.wrapping_add(b) } else { a.wrapping_sub(b) };
        change(&mut self.cost, by.cost);
        change(&mut self.calls, by.calls);
        change(&mut self.unpriced, by.unpriced);
        change(&mut self.failures, by.failures);
        change(&mut self.failed_cost, by.failed_cost);
        change(&mut self.retries, by.retries);
        change(&mut self.tool_calls, by.tool_calls);
        change(&mut self.tokens, by.tokens);
        change(&mut self.latency_ms, by.latency_ms);
        change(&mut self.energy_mj, by.energy_mj);
        change(&mut self.open, by.open);
    }
}

/// What a step left behind that need not be bought again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepOutput {
    /// Key of the step.
    pub step_key: u64,
    /// The call that left it; it counts while that call stands as a success.
    pub call: CallNo,
    /// Opaque reference to the output; empty: none.
    pub output_ref: String,
    /// Whether evidence came with it.
    pub has_evidence: bool,
}

/// One goal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Goal {
    /// Its calls in decision order.
    pub thread: GoalThread,
    /// Workflow, as first said.
    pub workflow: NameId,
    /// Labels, as first said.
    pub labels: LabelsId,
    /// Its workflow in full where it has no number of its own ([`NameId::OTHER`]): budgets go by it all the same.
    pub other_workflow: String,
    /// Its labels in full where they have no number of their own ([`LabelsId::OTHER`]).
    pub other_labels: Option<Arc<Labels>>,
    /// The goals above it, nearest first.
    pub ancestors: Vec<Arc<str>>,
    /// The goals right below it, in the order they were first heard of.
    pub children: Vec<Arc<str>>,
    /// When it was first heard of.
    pub opened_at: UnixMillis,
    /// When somebody last worked on it.
    pub last_at: UnixMillis,
    /// How it ended; `None`: it is open.
    pub closing: Option<Closing>,
    /// What happened to it.
    pub notes: Vec<Note>,
    /// Money granted beyond its budgets.
    pub granted: NanoUsd,
    /// A limit of its own on what it may cost; `None`: none.
    pub limit: Option<NanoUsd>,
    /// Sums over its own calls.
    pub own: GoalSums,
    /// Sums over its calls and those of all goals below it.
    pub whole: GoalSums,
    /// Its accounts.
    pub accounts: Vec<Account>,
    /// What its steps left behind, by step: the newest of each.
    pub outputs: Vec<StepOutput>,
    /// Calls that were asked for or told of so far: the next one's ordinal.
    pub calls: u32,
    /// Some of its calls are rewarded by its end.
    pub teaches: bool,
    /// The arms that rollouts drew for it (for it and all goals below it), each with its task type: as first drawn.
    pub arms: Vec<(NameId, Arm)>,
    /// A goal above it is of the same workflow.
    pub within_kin: bool,
    /// Summed without its workflow and labels, because the hour of its closing had too many combinations of them already.
    pub coarse: bool,
}

impl Goal {
    /// The name of its workflow; empty: none.
    #[must_use]
    pub fn workflow_text<'a>(&'a self, names: &'a Names) -> &'a str {
        match self.workflow {
            NameId::OTHER if !self.other_workflow.is_empty() => &self.other_workflow,
            id => names.text(NameKind::Workflow, id),
        }
    }

    /// Its labels; `None`: it has none, or a record of an earlier build did not keep them.
    #[must_use]
    pub fn labels_told<'a>(&'a self, names: &'a Names) -> Option<&'a Arc<Labels>> {
        names.labels(self.labels).or(self.other_labels.as_ref())
    }

    /// Whether somebody worked on it and it has not ended since.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.closing.is_none() && self.opened_at != UnixMillis::default()
    }

    /// When it began: when it was first heard of, or its first call was made, if that was told later.
    #[must_use]
    pub fn began_at(&self) -> UnixMillis {
        self.thread.entries.first().map_or(self.opened_at, |first| first.order.at.min(self.opened_at))
    }

    /// The arm a rollout of `task` drew for it.
    #[must_use]
    pub fn arm(&self, task: NameId) -> Option<Arm> {
        self.arms.iter().find(|(of, _)| *of == task).map(|(_, arm)| *arm)
    }

    /// Adds a note; of too many, the first stays and the oldest of the others goes: of those that grant nothing, while there is one.
    pub fn note(&mut self, note: Note) {
        if self.notes.len() >= NOTES_MAX {
            let grants = |note: &Note| matches!(note.what, NoteKind::Granted(_));
            let oldest = self.notes.iter().skip(1).position(|note| !grants(note));
            self.notes.remove(oldest.unwrap_or(0) + 1);
        }
        self.notes.push(note);
    }

    /// What was granted beyond the limit of an account of this goal: money, once, in the period in which it was given (all
    /// of it where the account has none).
    #[must_use]
    pub fn granted_on(&self, opened: &Opened) -> NanoUsd {
        if !opened.is_raised_by_grants() {
            return NanoUsd::ZERO;
        }
        if opened.resets_at.is_none() {
            return self.granted;
        }
        NanoUsd(self.grants_on(opened).map(|(extra, _)| extra.0).fold(0, u64::saturating_add))
    }

    /// What was granted beyond the limit of an account of this goal, and by whom, as far as notes tell: in the order in which it
    /// was given, where the account has a period of that alone.
    pub fn grants_on(&self, opened: &Opened) -> impl Iterator<Item = (NanoUsd, &str)> {
        let (raised, start, end) = (opened.is_raised_by_grants(), opened.start, opened.resets_at);
        let within = move |note: &&Note| raised && end.is_none_or(|end| note.at >= start && note.at < end);
        self.notes.iter().filter(within).filter_map(|note| match note.what {
            NoteKind::Granted(extra) => Some((extra, note.by.as_str())),
            _ => None,
        })
    }

    /// What the step left behind, while the call that left it stands as a success.
    #[must_use]
    pub fn output(&self, step_key: u64) -> Option<&StepOutput> {
        let stands = |number: CallNo| {
            let entry = self.thread.entries.iter().rev().find(|e| e.order.number == number);
            entry.is_some_and(|e| e.verdict == ThreadVerdict::Succeeded)
        };
        self.outputs.iter().find(|o| o.step_key == step_key).filter(|o| stands(o.call))
    }
}

/// What a call's outcome says to the call after it in the same step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadVerdict {
    /// No outcome (yet), or a quality check: not part of the step.
    Absent,
    /// It cost, its verdict waits.
    Waiting,
    /// It succeeded: what follows is a new turn.
    Succeeded,
    /// It failed: what follows is a retry.
    Failed,
}

/// One call of the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadEntry {
    /// Its place in decision order.
    pub order: Order,
    /// Key of its step.
    pub step_key: u64,
    /// What it says to the next call.
    pub verdict: ThreadVerdict,
}

impl ThreadEntry {
    fn speaks_in(&self, step_key: u64) -> bool {
        self.step_key == step_key && self.verdict != ThreadVerdict::Absent
    }
}

/// A draw that is kept for a task type (or for one step of it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptDraw {
    /// Task type.
    pub task: NameId,
    /// Step key, or 0 where the draw holds for the whole goal.
    pub step_key: u64,
    /// The candidate drawn.
    pub candidate: NameId,
    /// The decision whose draw it was.
    pub drawn_by: CallNo,
}

/// All calls of a goal, in decision order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoalThread {
    /// Its calls, in decision order.
    pub entries: Vec<ThreadEntry>,
    /// Draws kept for it.
    pub kept: Vec<KeptDraw>,
}

impl GoalThread {
    /// Adds a call, or changes what it says; returns the later call of the same step whose standing may have changed.
    pub fn set(&mut self, entry: ThreadEntry) -> Option<CallNo> {
        match self.entries.binary_search_by_key(&entry.order, |e| e.order) {
            Ok(i) => self.entries[i] = entry,
            Err(i) => self.entries.insert(i, entry),
        }
        self.successor(entry.order, entry.step_key)
    }

    /// The next later call of the same step that has an outcome.
    #[must_use]
    pub fn successor(&self, order: Order, step_key: u64) -> Option<CallNo> {
        let from = self.entries.partition_point(|e| e.order <= order);
        self.entries[from..].iter().find(|e| e.speaks_in(step_key)).map(|e| e.order.number)
    }

    /// Whether the last call before `order` in that step, among those with an outcome, failed.
    #[must_use]
    pub fn follows_failure(&self, order: Order, step_key: u64) -> bool {
        let until = self.entries.partition_point(|e| e.order < order);
        let last = self.entries[..until].iter().rev().find(|e| e.speaks_in(step_key));
        last.is_some_and(|e| e.verdict == ThreadVerdict::Failed)
    }

    /// The last call of a step that has an outcome.
    #[must_use]
    pub fn last_of_step(&self, step_key: u64) -> Option<CallNo> {
        self.entries.iter().rev().find(|e| e.speaks_in(step_key)).map(|e| e.order.number)
    }

    /// The draw kept for a task type and step key (0: the whole goal).
    #[must_use]
    pub fn kept(&self, task: NameId, step_key: u64) -> Option<&KeptDraw> {
        self.kept.iter().find(|k| k.task == task && k.step_key == step_key)
    }

    /// Keeps a draw in place of an earlier one.
    pub fn keep(&mut self, draw: KeptDraw) {
        self.kept.retain(|k| (k.task, k.step_key) != (draw.task, draw.step_key));
        self.kept.push(draw);
    }

    /// Lets go of every draw of `task` that kept `candidate`, because it failed.
    pub fn release(&mut self, task: NameId, candidate: NameId) {
        self.kept.retain(|k| (k.task, k.candidate) != (task, candidate));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::UnixMillis;

    fn entry(n: u64, verdict: ThreadVerdict) -> ThreadEntry {
        let order = Order { at: UnixMillis(n as i64), decision: CallNo(n), attempt: 0, number: CallNo(n) };
        ThreadEntry { order, step_key: 1, verdict }
    }

    #[test]
    fn a_call_after_a_failure_is_a_retry_and_after_a_success_a_new_turn() {
        let mut thread = GoalThread::default();
        thread.set(entry(1, ThreadVerdict::Failed));
        thread.set(entry(2, ThreadVerdict::Absent));
        thread.set(entry(3, ThreadVerdict::Succeeded));
        let follows = |t: &GoalThread, n| t.follows_failure(entry(n, ThreadVerdict::Absent).order, 1);
        assert!(follows(&thread, 2) && follows(&thread, 3), "a decision without outcome stands between nothing");
        assert!(!follows(&thread, 4) && !follows(&thread, 1));
        assert_eq!(thread.set(entry(1, ThreadVerdict::Succeeded)), Some(CallNo(3)));
        assert!(!follows(&thread, 3));
    }

    #[test]
    fn of_too_many_notes_those_that_grant_stay_while_there_are_others() {
        let mut goal = Goal::default();
        let mut note = |n: usize, what| {
            let at = UnixMillis(n as i64);
            goal.note(Note { at, by: "ada".to_owned(), text: String::new(), what });
        };
        note(0, NoteKind::Closed(GoalState::Accepted));
        for n in 1..=3 {
            note(n, NoteKind::Granted(NanoUsd(n as u64)));
        }
        (4..3 * NOTES_MAX).for_each(|n| note(n, NoteKind::Reopened));
        let kept: Vec<i64> = goal.notes.iter().map(|note| note.at.0).collect();
        let last = (3 * NOTES_MAX) as i64;
        let newest: Vec<i64> = (last - (NOTES_MAX as i64 - 4)..last).collect();
        assert_eq!(kept, [&[0, 1, 2, 3][..], &newest].concat(), "the first, what was granted, and the newest");
        let day = Opened {
            key: crate::domain::budget::AccountKey(1),
            budget: "b".to_owned(),
            scope: crate::domain::budget::Scope::Goal,
            measure: crate::domain::budget::Measure::Usd,
            instance: "g".to_owned(),
            goal: "g".to_owned(),
            start: UnixMillis(2),
            resets_at: Some(UnixMillis(1_000)),
            limit: 0,
        };
        assert_eq!(goal.granted_on(&day), NanoUsd(5));
        (0..NOTES_MAX).for_each(|_| goal.note(Note { what: NoteKind::Granted(NanoUsd(1)), ..goal.notes[0].clone() }));
        assert_eq!((goal.notes.len(), goal.notes[0].what), (NOTES_MAX, NoteKind::Closed(GoalState::Accepted)));
    }

    #[test]
    fn order_of_arrival_does_not_matter() {
        let mut thread = GoalThread::default();
        thread.set(entry(2, ThreadVerdict::Succeeded));
        assert_eq!(thread.set(entry(1, ThreadVerdict::Failed)), Some(CallNo(2)));
        assert!(thread.follows_failure(entry(2, ThreadVerdict::Absent).order, 1));
    }
}
