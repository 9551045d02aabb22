//! Two of a kind side by side: two values of one label, and two workflows. It computes with the figures of goals, and adds
//! none of its own.

use super::distribution::Sorted;
use super::goal_figures::{figures, rate_interval};
use super::goal_sums::{ClosedGoals, Unit, together};
use super::headline;
use super::query::{CompareLabels, Filters, Query};
use super::report::{Interval, Window};
use super::report_goals::{Comparison, GoalInsights, Overhead, PerAccepted, Variant};
use super::selector::Selector;
use super::sums::{Depth, Sums, count, ratio};
use crate::domain::interval::LEAST_CALLS;
use crate::engine::Engine;

/// The 95 % point of the standard normal distribution.
const NORMAL_95: f64 = 1.644_853_626_951_472_2;

/// Two values of a label; whether some calls could not be told apart.
pub(super) fn comparison(engine: &Engine, query: &Query, of: &CompareLabels, window: Window) -> (Comparison, bool) {
    let (a, unsure_a) = variant(engine, query, &of.label, &of.a, window);
    let (b, unsure_b) = variant(engine, query, &of.label, &of.b, window);
    (Comparison { label: of.label.clone(), a, b }, unsure_a || unsure_b)
}

fn variant(engine: &Engine, query: &Query, label: &str, value: &str, window: Window) -> (Variant, bool) {
    let mut filters: Filters = query.filters.clone();
    filters.labels.insert(label.to_owned(), value.to_owned());
    let selector = Selector::new(engine, &filters);
    let query = Query { filters, ..Query::default() };
    let sums = Sums::gather(engine, None, &query, &selector, window, Depth::Total);
    let closed = ClosedGoals::gather(&engine.state, &selector, window);
    let by_state = closed.total();
    let unit = if selector.is_of_workflow() { Unit::GoalOfWorkflow } else { Unit::Goal };
    let goals = figures("", &by_state, &sums.total, None, unit);
    let calls = together(by_state.values()).calls.sorted();
    let (accepted, of) = (goals.accepted as i64, goals.closed as i64);
    let variant = Variant {
        value: value.to_owned(),
        spend: goals.spend,
        calls: count(sums.total.calls),
        call_success_rate: headline::success_rate(&sums.total),
        call_success_rate_interval: headline::success_rate_interval(&sums.total),
        closed: goals.closed,
        accepted: goals.accepted,
        resolution_rate: ratio(accepted, of),
        resolution_rate_interval: (of > 0).then(|| rate_interval(accepted, of - accepted)),
        cost_per_accepted_goal: goals.cost_per_accepted_goal,
        cost_per_accepted_goal_interval: goals.cost_per_accepted_goal_interval,
        calls_per_goal: calls.as_ref().map(Sorted::mean),
        calls_per_goal_interval: calls.and_then(|calls| mean_interval(calls.mean(), calls.squares(), calls.count())),
    };
    (variant, sums.partial || closed.partial)
}

/// Mean ± 1.645 · √(Σ (x − mean)² ÷ (n − 1) ÷ n); `None` below 30.
fn mean_interval(mean: f64, squares: f64, n: i64) -> Option<Interval> {
    let enough = u64::try_from(n).is_ok_and(|n| n >= LEAST_CALLS);
    let width = NORMAL_95 * (squares / ((n - 1).max(1) as f64 * n.max(1) as f64)).sqrt();
    enough.then_some((mean - width, mean + width))
}

/// What an accepted goal of one workflow takes, measured by another one.
pub(super) fn overhead(goals: &GoalInsights, (workflow, baseline): &(String, String)) -> Overhead {
    let of = |name: &str| goals.by_workflow.iter().find(|row| row.workflow == name);
    let (one, other) = (of(workflow), of(baseline));
    let over = |a: Option<f64>, b: Option<f64>| Some(a? / b.filter(|b| *b > 0.0)?);
    let each = |figure: fn(&PerAccepted) -> Option<f64>| {
        over(one.and_then(|row| figure(&row.per_accepted)), other.and_then(|row| figure(&row.per_accepted)))
    };
    Overhead {
        workflow: workflow.clone(),
        baseline: baseline.clone(),
        energy: each(|per| per.energy_j),
        cost: over(one.and_then(|row| row.cost_per_accepted_goal), other.and_then(|row| row.cost_per_accepted_goal)),
        latency: each(|per| per.latency_ms),
        tokens: each(|per| per.tokens),
    }
}
