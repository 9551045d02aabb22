//! The key figures of a set of calls, each as a function of its sums (spec §5, definitions 3 and 17), and how they
//! changed. The figures of task types and models are these same functions on smaller sums.

use super::report::{Headline, HeadlineChanges, Interval, Window};
use super::sums::{count, money, ratio};
use crate::domain::interval::{self, CostSuccessSums};
use crate::domain::money::{NANO_PER_USD, NanoUsd};
use crate::domain::rollup::Tally;

/// The key figures of one window.
pub(super) fn headline(window: Window, tally: &Tally) -> Headline {
    Headline {
        window,
        total_cost: money(tally.cost),
        successful_outcomes: count(tally.successes),
        failed_calls_count: count(tally.failures),
        failed_call_cost: money(tally.failed_cost),
        calls: count(tally.calls),
        retries: count(tally.retries),
        retry_multiplier: ratio(tally.calls, tally.calls - tally.retries),
        cost_per_success: cost_per_success(tally),
        cost_per_success_interval: cost_per_success_interval(tally),
        unverdicted_calls: unverdicted(tally),
        decisions: count(tally.decisions - tally.decisions_voided),
        decisions_without_outcome: count(tally.decisions_expired),
        pricing_coverage: pricing_coverage(tally),
    }
}

/// What a set of calls came to, whoever asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallFigures {
    /// Production calls.
    pub calls: u64,
    /// Successes among them.
    pub successes: u64,
    /// Sum of the known costs, quality checks included.
    pub total_cost: NanoUsd,
    /// S ÷ (S + F); `None` without a verdict.
    pub success_rate: Option<f64>,
    /// Its 90 % interval.
    pub success_rate_interval: Option<Interval>,
    /// USD a call of known cost; `None` without one.
    pub cost_per_call: Option<f64>,
    /// Its 90 % interval; `None` where too few calls tell.
    pub cost_per_call_interval: Option<Interval>,
    /// USD a success of known cost; `None` without one.
    pub cost_per_success: Option<f64>,
    /// Its 90 % interval; `None` where too few calls tell.
    pub cost_per_success_interval: Option<Interval>,
    /// Share of the calls whose cost is known; `None` without calls.
    pub pricing_coverage: Option<f64>,
}

impl CallFigures {
    /// Of the calls in `tally`.
    #[must_use]
    pub fn of(tally: &Tally) -> Self {
        Self {
            calls: count(tally.calls),
            successes: count(tally.successes),
            total_cost: money(tally.cost),
            success_rate: success_rate(tally),
            success_rate_interval: success_rate_interval(tally),
            cost_per_call: avg_cost_per_call(tally),
            cost_per_call_interval: interval::cost_per_call_interval(cost_sums(tally)),
            cost_per_success: cost_per_success(tally),
            cost_per_success_interval: cost_per_success_interval(tally),
            pricing_coverage: pricing_coverage(tally),
        }
    }
}

/// Decisions that still wait for their outcome.
pub(super) fn decisions_open(tally: &Tally) -> u64 {
    count(tally.decisions - tally.decisions_settled - tally.decisions_expired - tally.decisions_voided)
}

/// Production calls that are neither success nor failure yet.
pub(super) fn unverdicted(tally: &Tally) -> u64 {
    count(tally.calls - tally.successes - tally.failures)
}

/// S ÷ (S + F), verdicts only; `None` without one.
pub(super) fn success_rate(tally: &Tally) -> Option<f64> {
    ratio(tally.successes, tally.successes + tally.failures)
}

/// 90 % interval of the success rate: of Beta(1 + S, 1 + F); `None` without a verdict.
pub(super) fn success_rate_interval(tally: &Tally) -> Option<Interval> {
    success_rate(tally)?;
    Some(interval::success_rate_interval(tally.successes as f64, tally.failures as f64))
}

/// Known spend ÷ calls of known cost, in USD, evaluations in both; `None` without such a call.
pub(super) fn avg_cost_per_call(tally: &Tally) -> Option<f64> {
    usd_each(tally.cost, tally.costed)
}

/// Known spend, evaluations and failures included, ÷ successes of known cost, in USD; `None` without such a success.
pub(super) fn cost_per_success(tally: &Tally) -> Option<f64> {
    usd_each(tally.cost, tally.costed_successes)
}

/// 90 % interval of the cost per success, in USD (statistics §7). Every paid call of known cost is one of its n, so that
/// the interval is of the very figure above.
pub(super) fn cost_per_success_interval(tally: &Tally) -> Option<Interval> {
    interval::cost_per_success(cost_sums(tally)).interval
}

fn cost_sums(tally: &Tally) -> CostSuccessSums {
    let nano = NANO_PER_USD as f64;
    CostSuccessSums {
        n: count(tally.costed),
        s: count(tally.costed_successes),
        sum_c: tally.cost as f64 / nano,
        sum_cc: tally.cost_squared as f64 / (nano * nano),
        sum_cy: tally.success_cost as f64 / nano,
    }
}

/// Share of the production calls whose cost is known; `None` without calls.
pub(super) fn pricing_coverage(tally: &Tally) -> Option<f64> {
    ratio(tally.calls - tally.unpriced, tally.calls)
}

fn usd_each(nano: i128, number: i64) -> Option<f64> {
    (number > 0).then(|| nano as f64 / (number as f64 * NANO_PER_USD as f64))
}

/// How the figures changed: (now − before) ÷ before.
pub(super) fn changes(now: &Headline, before: &Headline) -> HeadlineChanges {
    let counts = |figure: fn(&Headline) -> u64| change(Some(figure(now) as f64), Some(figure(before) as f64));
    let figures = |figure: fn(&Headline) -> Option<f64>| change(figure(now), figure(before));
    HeadlineChanges {
        total_cost: counts(|h| h.total_cost.0),
        successful_outcomes: counts(|h| h.successful_outcomes),
        failed_calls_count: counts(|h| h.failed_calls_count),
        failed_call_cost: counts(|h| h.failed_call_cost.0),
        calls: counts(|h| h.calls),
        retries: counts(|h| h.retries),
        retry_multiplier: figures(|h| h.retry_multiplier),
        cost_per_success: figures(|h| h.cost_per_success),
        unverdicted_calls: counts(|h| h.unverdicted_calls),
        decisions: counts(|h| h.decisions),
        decisions_without_outcome: counts(|h| h.decisions_without_outcome),
        pricing_coverage: figures(|h| h.pricing_coverage),
        cost_per_success_is_thin: before.cost_per_success.is_some() && before.cost_per_success_interval.is_none(),
    }
}

/// (now − before) ÷ before; `None` where either is missing or `before` is 0.
pub(super) fn change(now: Option<f64>, before: Option<f64>) -> Option<f64> {
    let (now, before) = (now?, before.filter(|b| *b != 0.0)?);
    Some((now - before) / before)
}
