//! Gathers the sums of closed goals of one window: by workflow and by how they ended. One pass; everything the report says
//! of goals is computed from what this leaves behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::distribution::Values;
use super::report::Window;
use super::selector::{Fit, Selector};
use crate::domain::goal::GoalState;
use crate::domain::goal_tally::GoalTally;
use crate::domain::names::NameId;
use crate::domain::series::Additive as _;
use crate::domain::state::State;

/// Closed goals that ended in one way.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    /// Their sums, without the sketches.
    pub sums: GoalTally,
    /// Costs in nano-USD.
    pub cost: Values,
    /// Calls.
    pub calls: Values,
    /// Steps.
    pub steps: Values,
    /// Wall time in milliseconds.
    pub wall_ms: Values,
}

impl Ended {
    fn add(&mut self, tally: &GoalTally) {
        self.cost.add(&tally.cost_sketch);
        self.calls.add(&tally.calls_sketch);
        self.steps.add(&tally.steps_sketch);
        self.wall_ms.add(&tally.wall_ms_sketch);
        self.sums.add_sums(tally);
    }

    /// Adds goals that ended in another way, or of another workflow.
    pub(super) fn merge(&mut self, other: &Self) {
        self.cost.merge(&other.cost);
        self.calls.merge(&other.calls);
        self.steps.merge(&other.steps);
        self.wall_ms.merge(&other.wall_ms);
        self.sums.add(&other.sums);
    }
}

/// Closed goals by how they ended.
pub(super) type ByState = BTreeMap<GoalState, Ended>;

/// The closed goals of one window.
#[derive(Debug, Default)]
pub(super) struct ClosedGoals {
    /// By workflow.
    pub by_workflow: BTreeMap<NameId, ByState>,
    /// How far the budgets of goals were used, by budget.
    pub budgets: BTreeMap<Arc<str>, Values>,
    /// Some goals may match but are kept only under "other".
    pub partial: bool,
}

impl ClosedGoals {
    /// Those of `window`; none where the filters are such as goals cannot be told by.
    pub(super) fn gather(state: &State, selector: &Selector, window: Window) -> Self {
        let mut goals = Self::default();
        if !selector.is_of_goals() {
            return goals;
        }
        state.goal_sums.window(window.start, window.end, |key, tally| {
            if tally.is_empty() {
                return;
            }
            match selector.fit_goal(key.workflow, key.labels) {
                Fit::Out => return,
                Fit::Unknown => {
                    goals.partial = true;
                    return;
                }
                Fit::In => {}
            }
            goals.by_workflow.entry(key.workflow).or_default().entry(key.state).or_default().add(tally);
            for (budget, sketch) in &tally.budgets {
                goals.budgets.entry(budget.clone()).or_default().add(sketch);
            }
        });
        goals
    }

    /// All workflows together.
    pub(super) fn total(&self) -> ByState {
        let mut total = ByState::new();
        for (state, ended) in self.by_workflow.values().flatten() {
            total.entry(*state).or_default().merge(ended);
        }
        total
    }
}

/// What the spend of calls is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Goals that stand below no other: the spend of all workflows is theirs.
    Goal,
    /// Goals of one workflow: those below goals of others too, because the spend of the workflow is that of its calls.
    GoalOfWorkflow,
}

impl Unit {
    /// How many of these goals there are.
    pub(super) fn count(self, sums: &GoalTally) -> i64 {
        match self {
            Self::Goal => sums.goals,
            Self::GoalOfWorkflow => sums.goals + sums.sub_goals_among_others,
        }
    }
}

/// All of them, however they ended.
pub(super) fn together<'a>(parts: impl IntoIterator<Item = &'a Ended>) -> Ended {
    let mut all = Ended::default();
    parts.into_iter().for_each(|part| all.merge(part));
    all
}
