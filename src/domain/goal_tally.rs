//! What a closed goal contributes to the figures of its time: a pure function of its record, so that late truth, a
//! correction or a re-opening is applied by taking the old contribution away and adding the new one. It knows no prices
//! and no rules: whether a goal was sold at a loss is told from these sums when somebody asks.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;

use super::budget::Account;
use super::goal::{Goal, GoalState, NoteKind, ThreadVerdict};
use super::grading::{self, Ends};
use super::names::{LabelsId, NameId};
use super::series::{Additive, Series, kept_as_it_is};
use super::sketch::Sketch;
use super::time::UnixMillis;

/// Parts of a limit in which its use is counted: hundredths of a per cent.
pub const FULL_USE: u64 = 10_000;

/// What a sum of closed goals is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoalKey {
    /// Workflow.
    pub workflow: NameId,
    /// Labels.
    pub labels: LabelsId,
    /// How they ended, as is known now.
    pub state: GoalState,
}

/// Sums of closed goals, by the time of their closing.
pub type GoalSeries = Series<GoalKey, GoalTally>;

macro_rules! goal_tally {
    ($($(#[$meta:meta])* $field:ident: $kind:ty,)*) => {
        /// Sums over closed goals. Every field is additive; the default is nothing. All but the sub-goals is over goals that
        /// stand below no other, each with all that was spent below it: what a child cost is never counted twice.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct GoalTally {
            $($(#[$meta])* pub $field: $kind,)*
            /// Cost in nano-USD.
            pub cost_sketch: Sketch,
            /// Calls.
            pub calls_sketch: Sketch,
            /// Steps of their own.
            pub steps_sketch: Sketch,
            /// Wall time in milliseconds.
            pub wall_ms_sketch: Sketch,
            /// How far the budgets of each goal were used, by budget, in hundredths of a per cent of the limit.
            pub budgets: BTreeMap<Arc<str>, Sketch>,
        }

        impl GoalTally {
            /// Adds the sums of another one, without its sketches.
            pub fn add_sums(&mut self, other: &Self) {
                self.scalars(other, true);
            }

            fn scalars(&mut self, other: &Self, add: bool) {
                $(self.$field = if add {
                    self.$field.wrapping_add(other.$field)
                } else {
                    self.$field.wrapping_sub(other.$field)
                };)*
            }
        }
    };
}

goal_tally! {
    /// Goals.
    goals: i64,
    /// Goals that stand below another one; they are in no other sum.
    sub_goals: i64,
    /// Of them those that stand below no goal of their own workflow: what their workflow spent is spent for them too.
    sub_goals_among_others: i64,
    /// Known cost in nano-USD.
    cost: i128,
    /// Σ cost² in nano-USD².
    cost_squared: i128,
    /// Goals with a call of unknown cost.
    unpriced_goals: i64,
    /// Calls.
    calls: i64,
    /// Steps of their own with a call.
    steps: i64,
    /// Retries.
    retries: i64,
    /// Failed calls.
    failures: i64,
    /// What the failed calls cost, in nano-USD.
    failed_cost: i128,
    /// Calls of tools.
    tool_calls: i64,
    /// Input and output tokens.
    tokens: i64,
    /// Latency in milliseconds.
    latency_ms: i64,
    /// Energy in millijoules.
    energy_mj: i64,
    /// Wall time in milliseconds.
    wall_ms: i64,
    /// Goals that came back after they were closed.
    reopened: i64,
    /// Goals with a score.
    scored: i64,
    /// Σ of the scores, in millionths.
    score_micro: i64,
    /// Goals said to be accepted before any auditor looked.
    claimed: i64,
    /// Goals an auditor graded.
    graded: i64,
    /// Of them those the auditor found accepted.
    graded_accepted: i64,
    /// Of them those that were said to be accepted before.
    graded_claimed: i64,
    /// Of them those that were said to be accepted, and are.
    graded_both: i64,
}

kept_as_it_is!(GoalTally, by_day: false);

impl Additive for GoalTally {
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

impl GoalTally {
    /// What a goal contributes, and where; `None` while it is open.
    #[must_use]
    pub fn of(goal: &Goal) -> Option<(UnixMillis, GoalKey, Self)> {
        let closing = goal.closing?;
        let (workflow, labels) =
            if goal.coarse { (NameId::OTHER, LabelsId::OTHER) } else { (goal.workflow, goal.labels) };
        let key = GoalKey { workflow, labels, state: closing.state };
        if !goal.ancestors.is_empty() {
            let among_others = i64::from(!goal.within_kin);
            return Some((
                closing.at,
                key,
                Self { sub_goals: 1, sub_goals_among_others: among_others, ..Self::default() },
            ));
        }
        let (whole, cost) = (&goal.whole, goal.whole.cost.max(0));
        let (steps, wall_ms) = (steps(goal), wall_ms(goal, closing.at));
        let mut tally = Self {
            goals: 1,
            cost: cost.into(),
            cost_squared: i128::from(cost) * i128::from(cost),
            unpriced_goals: i64::from(whole.unpriced > 0),
            calls: whole.calls,
            steps: steps as i64,
            retries: whole.retries,
            failures: whole.failures,
            failed_cost: whole.failed_cost.into(),
            tool_calls: whole.tool_calls,
            tokens: whole.tokens,
            latency_ms: whole.latency_ms,
            energy_mj: whole.energy_mj,
            wall_ms,
            reopened: i64::from(goal.notes.iter().any(|n| n.what == NoteKind::Reopened)),
            scored: i64::from(closing.score.is_some()),
            score_micro: closing.score.map_or(0, |s| s.0.into()),
            cost_sketch: Sketch::of(cost.unsigned_abs()),
            calls_sketch: Sketch::of(whole.calls.max(0).unsigned_abs()),
            steps_sketch: Sketch::of(steps),
            wall_ms_sketch: Sketch::of(wall_ms.unsigned_abs()),
            ..Self::default()
        };
        if let Some(ends) = grading::ends(goal) {
            tally.graded_by(ends);
        }
        for account in goal.accounts.iter().filter(|a| a.opened.limit > 0) {
            let of_budget = tally.budgets.entry(Arc::from(account.opened.budget.as_str())).or_default();
            of_budget.add(&Sketch::of(use_of(account, goal)));
        }
        Some((closing.at, key, tally))
    }

    fn graded_by(&mut self, ends: Ends) {
        let claimed = ends.claimed == GoalState::Accepted;
        self.claimed = i64::from(claimed);
        if let Some(found) = ends.found {
            let accepted = found == GoalState::Accepted;
            self.graded = 1;
            self.graded_accepted = i64::from(accepted);
            self.graded_claimed = i64::from(claimed);
            self.graded_both = i64::from(accepted && claimed);
        }
    }

    fn change(&mut self, other: &Self, add: bool) {
        self.scalars(other, add);
        let change = |a: &mut Sketch, b: &Sketch| if add { a.add(b) } else { a.remove(b) };
        change(&mut self.cost_sketch, &other.cost_sketch);
        change(&mut self.calls_sketch, &other.calls_sketch);
        change(&mut self.steps_sketch, &other.steps_sketch);
        change(&mut self.wall_ms_sketch, &other.wall_ms_sketch);
        for (budget, sketch) in &other.budgets {
            change(self.budgets.entry(budget.clone()).or_default(), sketch);
        }
        self.budgets.retain(|_, sketch| !sketch.is_empty());
    }
}

/// Steps of its own in which a call has an outcome. Those of the goals below it have names of their own there.
fn steps(goal: &Goal) -> u64 {
    let told = goal.thread.entries.iter().filter(|e| e.verdict != ThreadVerdict::Absent);
    told.map(|e| e.step_key).collect::<HashSet<u64>>().len() as u64
}

/// From the first that is known of it to the last, which is at the latest its closing: in whatever order it was told.
fn wall_ms(goal: &Goal, closed_at: UnixMillis) -> i64 {
    let (from, until) = (goal.began_at(), goal.last_at.min(closed_at));
    until.0.saturating_sub(from.0).max(0)
}

/// How far an account of the goal was used, in hundredths of a per cent of its limit with what was granted.
fn use_of(account: &Account, goal: &Goal) -> u64 {
    let opened = &account.opened;
    let limit = u128::from(opened.limit) + u128::from(goal.granted_on(opened).0);
    let used = u128::from(account.booked.used().max(0).unsigned_abs());
    u64::try_from(used * u128::from(FULL_USE) / limit.max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::goal::{Closing, GoalSums};
    use crate::domain::series::{Grain, HOUR_KEYS_MAX};
    use crate::domain::state::{State, Touched};

    const AT: UnixMillis = UnixMillis(7_200_000);

    fn close(state: &mut State, id: &str, labels: u32, end: Option<GoalState>) {
        state.change_goal(&Arc::from(id), |goal| {
            goal.labels = LabelsId(labels);
            goal.whole = GoalSums { cost: 5, calls: 2, ..GoalSums::default() };
            goal.closing = end.map(|state| Closing { at: AT, state, score: None });
        });
    }

    fn hour(state: &State) -> HashSet<(GoalKey, i64)> {
        state.goal_sums.hours[&AT].iter().filter(|(_, t)| !t.is_empty()).map(|(k, t)| (*k, t.goals)).collect()
    }

    #[test]
    fn past_the_cap_goals_are_told_apart_by_their_end_alone_and_taken_back_from_there() {
        let mut state = State { touched: Some(Touched::default()), ..State::default() };
        for n in 0..HOUR_KEYS_MAX as u32 {
            close(&mut state, &n.to_string(), n + 2, Some(GoalState::Accepted));
        }
        let before = hour(&state);
        close(&mut state, "one more", 1_000_000, Some(GoalState::Rejected));
        let other = GoalKey { workflow: NameId::OTHER, labels: LabelsId::OTHER, state: GoalState::Rejected };
        assert_eq!(state.goal_sums.hours[&AT][&other].cost, 5);
        close(&mut state, "one more", 1_000_000, Some(GoalState::Accepted));
        let accepted = GoalKey { state: GoalState::Accepted, ..other };
        assert_eq!(state.goal_sums.hours[&AT][&accepted].goals, 1);
        let touched = state.touched.as_ref().map(|t| t.goal_sums.clone()).unwrap_or_default();
        assert!(touched.contains(&(Grain::Hour, AT, other)) && touched.contains(&(Grain::Minute, AT, accepted)));
        close(&mut state, "one more", 1_000_000, None);
        assert_eq!(hour(&state), before);
        close(&mut state, "7", 9, None);
        assert_eq!(hour(&state).len(), HOUR_KEYS_MAX - 1, "what was told apart is taken back from where it was");
        close(&mut state, "another", 2_000_000, Some(GoalState::Accepted));
        let another = GoalKey { workflow: NameId::NONE, labels: LabelsId(2_000_000), ..accepted };
        assert!(state.goal_sums.hours[&AT].contains_key(&another), "what is nothing takes no room");
    }
}
