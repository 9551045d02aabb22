//! Whether another retry is worth its price: chance × what a success is still worth ≥ price. The chance is learned per tool,
//! and per task type and model. It refuses to know what a call may cost and whether a budget covers it.

use super::Engine;
use super::admission::{Admission, Line};
use crate::domain::budget::{Measure, Scope};
use crate::domain::call::CallNo;
use crate::domain::draw::stir;
use crate::domain::money::NanoUsd;
use crate::domain::retries::RetryCounts;

/// One retry in so many is let through whatever is known of retries, so that a recovery is seen.
const TRIAL_EVERY: u64 = 20;

/// Whether the retry of decision or gate `number` is such a trial. By a digest of the number, because a caller's habit (a first
/// attempt, its retry, the next first attempt …) would otherwise pass by the same residues for ever.
pub(super) fn is_trial(number: CallNo) -> bool {
    stir(number.0).is_multiple_of(TRIAL_EVERY)
}

/// What a success of a goal is still worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Worth {
    amount: NanoUsd,
    /// Where that comes from, as the end of a sentence.
    what: &'static str,
}

impl Worth {
    /// Why a retry at `price` does not pay; `None`: it does, is free, or too little is known of such retries.
    pub(super) fn stop(self, retries: RetryCounts, name: &str, price: NanoUsd) -> Option<String> {
        let chance = retries.chance().filter(|_| price.0 > 0)?;
        let pays = chance * self.amount.0 as f64 >= price.0 as f64;
        (!pays).then(|| {
            format!(
                "stop: retries of {name} succeed {:.0} % of the time ({} of {}); at {price} each another does not pay for \
                 the {} {}",
                chance * 100.0,
                retries.successes,
                retries.seen(),
                self.amount,
                self.what
            )
        })
    }
}

impl Engine {
    /// What a success of a goal is still worth: what its workflow is sold for less what it has cost, else the money that the
    /// budgets of the goal still leave; `None`: nobody says.
    pub(super) fn worth(&self, goal: &str, workflow: &str, admission: &Admission) -> Option<Worth> {
        let sold = self.goal_rules.workflows.get(workflow).and_then(|w| w.price);
        let of_goal = |l: &&Line| l.opened.measure == Measure::Usd && l.opened.scope == Scope::Goal;
        match sold {
            Some(price) => {
                let spent = self.state.goals.get(goal).map_or(0, |g| g.whole.cost);
                let amount = NanoUsd(price.0.saturating_sub(u64::try_from(spent).unwrap_or(0)));
                Some(Worth { amount, what: "a success is still worth" })
            }
            None => {
                let left = admission.lines.iter().filter(of_goal).map(Line::remaining).min()?;
                Some(Worth { amount: NanoUsd(left), what: "its budget still leaves" })
            }
        }
    }
}
