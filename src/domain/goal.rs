//! The thread of calls that belong to one goal: which of them are retries, and which drawn model is being kept.
//! It knows no money and no figures; those are functions of the calls themselves.

use super::call::{CallNo, Order};
use super::names::NameId;

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
    fn order_of_arrival_does_not_matter() {
        let mut thread = GoalThread::default();
        thread.set(entry(2, ThreadVerdict::Succeeded));
        assert_eq!(thread.set(entry(1, ThreadVerdict::Failed)), Some(CallNo(2)));
        assert!(thread.follows_failure(entry(2, ThreadVerdict::Absent).order, 1));
    }
}
