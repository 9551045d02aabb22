//! How good the record is that everything else is computed from, and whether what callers say of their goals agrees with
//! what auditors found.

use super::goal_figures::rate_interval;
use super::goal_sums::{ByState, together};
use super::headline;
use super::report_goals::Quality;
use super::selector::{Fit, Selector};
use super::source_signals;
use super::sums::{count, ratio};
use crate::domain::rollup::Tally;
use crate::domain::state::State;
use crate::engine::Engine;

/// The quality of the record in a window.
pub(super) fn quality(engine: &Engine, selector: &Selector, calls: &Tally, by_state: &ByState) -> Quality {
    let sums = together(by_state.values()).sums;
    let graded = sums.graded > 0;
    Quality {
        goals_open: goals_open(&engine.state, selector),
        goals_closed: count(sums.goals),
        decisions_without_outcome: count(calls.decisions_expired),
        decisions_open: headline::decisions_open(calls),
        pricing_coverage: headline::pricing_coverage(calls),
        self_reported_rate: ratio(sums.claimed, sums.goals),
        graded: count(sums.graded),
        graded_rate: ratio(sums.graded_accepted, sums.graded),
        graded_rate_interval: graded.then(|| rate_interval(sums.graded_accepted, sums.graded - sums.graded_accepted)),
        graded_self_reported_rate: ratio(sums.graded_claimed, sums.graded),
        overclaimed: count(sums.graded_claimed - sums.graded_both),
        underclaimed: count(sums.graded_accepted - sums.graded_both),
        sources: source_signals::by_source(engine, selector),
    }
}

fn goals_open(state: &State, selector: &Selector) -> u64 {
    if !selector.is_of_goals() {
        return 0;
    }
    let of = state.open_goals.counts();
    of.filter(|((workflow, labels), _)| selector.fit_goal(*workflow, *labels) == Fit::In).map(|(_, count)| count).sum()
}
