//! What the arms of a rollout came to: sums over units (closed goals, else calls without a goal) by the arm they were drawn
//! for. A unit counts once with all it cost, so that what it is compared by is clustered as it was drawn. It refuses to
//! know what the difference of two arms means.

use super::call::{Arm, Call};
use super::goal::{Goal, GoalState};
use super::names::{LabelsId, NameId};
use super::outcome::Verdict;
use super::rollout::Assigned;
use super::series::{Additive, Series, kept_as_it_is};
use super::time::UnixMillis;

/// What a sum of units is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProofKey {
    /// Task type whose rollout drew the arm.
    pub task: NameId,
    /// The arm.
    pub arm: Arm,
    /// Whether the units are goals; else they are calls that have none.
    pub of_goals: bool,
    /// Workflow.
    pub workflow: NameId,
    /// Labels.
    pub labels: LabelsId,
}

/// Sums of units, by the time a goal was closed or a call was made.
pub type ProofSeries = Series<ProofKey, ProofTally>;

/// Sums over units. Every field is additive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProofTally {
    /// Units.
    pub units: i64,
    /// Of them those accepted: goals that ended so, calls that succeeded.
    pub accepted: i64,
    /// Units all of whose cost is known.
    pub costed: i64,
    /// Their cost in nano-USD: of a goal all of it, with every goal below it.
    pub cost: i128,
    /// Σ cost² in nano-USD².
    pub cost_squared: i128,
}

kept_as_it_is!(ProofTally, by_day: false);

impl Additive for ProofTally {
    fn add(&mut self, other: &Self) {
        self.change(other, true);
    }

    fn remove(&mut self, other: &Self) {
        self.change(other, false);
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl ProofTally {
    fn of(accepted: bool, cost: Option<i64>) -> Self {
        let wide = i128::from(cost.unwrap_or(0));
        Self {
            units: 1,
            accepted: i64::from(accepted),
            costed: i64::from(cost.is_some()),
            cost: wide,
            cost_squared: wide * wide,
        }
    }

    /// What a call contributes, at the time it was made; `None`: its goal does or will, no rollout drew its arm, it is a
    /// further attempt, or its verdict is not known.
    #[must_use]
    pub fn of_call(call: &Call) -> Option<(UnixMillis, ProofKey, Self)> {
        let (traits, settled) = (call.traits, call.settled()?);
        let first = traits.assigned == Assigned::ByDecision && call.number == call.decision;
        // One whose outcome named a goal is part of that goal.
        if !first || call.evaluation || call.is_retry() || !call.goal.is_empty() {
            return None;
        }
        let (workflow, labels) = if call.coarse { OTHERS } else { (call.workflow, call.labels) };
        let key = ProofKey { task: call.task, arm: traits.arm, of_goals: false, workflow, labels };
        let cost = settled.cost.map(|cost| i64::try_from(cost.0).unwrap_or(i64::MAX));
        Some((call.counted_at, key, Self::of(call.verdict()? == Verdict::Success, cost)))
    }

    /// What a goal contributes, at the time it was closed, once for each task type whose rollout drew it an arm; its cost is
    /// known once that of all its calls is, and none of them waits. Nothing while it is open, and nothing below another goal, whose part it is.
    #[must_use]
    pub fn of_goal(goal: &Goal) -> Vec<(UnixMillis, ProofKey, Self)> {
        let Some(closing) = goal.closing.filter(|_| !goal.arms.is_empty() && goal.ancestors.is_empty()) else {
            return Vec::new();
        };
        let (workflow, labels) = if goal.coarse { OTHERS } else { (goal.workflow, goal.labels) };
        let cost = Some(goal.whole.cost).filter(|_| goal.whole.unpriced == 0 && goal.whole.open == 0);
        let tally = Self::of(closing.state == GoalState::Accepted, cost);
        let key = |task, arm| ProofKey { task, arm, of_goals: true, workflow, labels };
        goal.arms.iter().map(|(task, arm)| (closing.at, key(*task, *arm), tally)).collect()
    }

    fn change(&mut self, other: &Self, add: bool) {
        let change = |a: &mut i64, b: i64| *a = if add { a.wrapping_add(b) } else { a.wrapping_sub(b) };
        change(&mut self.units, other.units);
        change(&mut self.accepted, other.accepted);
        change(&mut self.costed, other.costed);
        let wide = |a: &mut i128, b: i128| *a = if add { a.wrapping_add(b) } else { a.wrapping_sub(b) };
        wide(&mut self.cost, other.cost);
        wide(&mut self.cost_squared, other.cost_squared);
    }
}

const OTHERS: (NameId, LabelsId) = (NameId::OTHER, LabelsId::OTHER);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::goal::{Closing, GoalSums};
    use crate::domain::state::State;

    const AT: UnixMillis = UnixMillis(7_200_000);

    fn close(state: &mut State, id: &str, end: Option<GoalState>, cost: i64, unpriced: i64) {
        state.change_goal(&Arc::from(id), |goal| {
            goal.arms = vec![(NameId(5), Arm::Holdout), (NameId(6), Arm::Router)];
            goal.whole = GoalSums { cost, unpriced, ..GoalSums::default() };
            goal.closing = end.map(|state| Closing { at: AT, state, score: None });
        });
    }

    fn sum(state: &State, task: u32, arm: Arm) -> Option<ProofTally> {
        let key = ProofKey { task: NameId(task), arm, of_goals: true, workflow: NameId::NONE, labels: LabelsId::NONE };
        state.proof_sums.hours.get(&AT)?.get(&key).copied()
    }

    #[test]
    fn a_goal_counts_once_for_each_rollout_and_a_correction_takes_it_back_exactly() {
        let mut state = State::default();
        close(&mut state, "a", None, 3, 0);
        assert_eq!(sum(&state, 5, Arm::Holdout), None, "while it is open");
        close(&mut state, "a", Some(GoalState::Rejected), 3, 0);
        close(&mut state, "b", Some(GoalState::Accepted), 4, 0);
        close(&mut state, "c", Some(GoalState::Accepted), 9, 1);
        let known = ProofTally { units: 3, accepted: 2, costed: 2, cost: 7, cost_squared: 25 };
        for (task, arm) in [(5, Arm::Holdout), (6, Arm::Router)] {
            assert_eq!(sum(&state, task, arm), Some(known), "what is not wholly known is no cost");
        }
        close(&mut state, "a", Some(GoalState::Accepted), 5, 0);
        let expected = ProofTally { units: 3, accepted: 3, costed: 2, cost: 9, cost_squared: 41 };
        assert_eq!(sum(&state, 5, Arm::Holdout), Some(expected));
        for id in ["a", "b", "c"] {
            close(&mut state, id, None, 1, 0);
        }
        assert_eq!(sum(&state, 5, Arm::Holdout), None, "re-opened");
    }

    #[test]
    fn a_goal_below_another_is_part_of_that() {
        let mut state = State::default();
        state.change_goal(&Arc::from("child"), |goal| goal.ancestors = vec![Arc::from("parent")]);
        close(&mut state, "child", Some(GoalState::Accepted), 3, 0);
        assert_eq!(sum(&state, 5, Arm::Holdout), None);
    }
}
