//! The figures of goals, each as a function of the sums of closed goals and of the calls of the window (spec §5,
//! definitions 16). It gathers nothing.

use super::goal_sums::{ByState, ClosedGoals, Ended, Unit, together};
use super::headline;
use super::report::Interval;
use super::report_goals::{GoalChanges, GoalFigures, GoalInsights, Margin, PerAccepted, Shape, StateRow};
use super::selector::Selector;
use super::sums::{Sums, count, money, ratio};
use crate::domain::goal::GoalState;
use crate::domain::interval::{self, CostSuccessSums};
use crate::domain::money::{NANO_PER_USD, NanoUsd};
use crate::domain::names::{NameId, NameKind};
use crate::domain::rollup::Tally;
use crate::engine::Engine;

/// A score of 1, in millionths.
const SCORE_ONE: f64 = 1e6;

/// Figures of all goals and of each workflow.
pub(super) fn goals(engine: &Engine, selector: &Selector, sums: &Sums, closed: &ClosedGoals) -> GoalInsights {
    let spend = sums.by_workflow();
    let nothing = (ByState::new(), Tally::default());
    let mut workflows: Vec<NameId> = closed.by_workflow.keys().chain(spend.keys()).copied().collect();
    workflows.sort_unstable();
    workflows.dedup();
    let row = |workflow: NameId| {
        let name = engine.state.names.text(NameKind::Workflow, workflow);
        let price = engine.goal_rules().workflows.get(name).and_then(|rules| rules.price);
        let ended = closed.by_workflow.get(&workflow).unwrap_or(&nothing.0);
        figures(name, ended, spend.get(&workflow).unwrap_or(&nothing.1), price, Unit::GoalOfWorkflow)
    };
    let mut by_workflow: Vec<GoalFigures> = workflows.into_iter().map(row).collect();
    by_workflow.retain(|row| row.closed + row.sub_goals > 0 || row.spend.0 > 0);
    by_workflow.sort_by(|a, b| b.spend.cmp(&a.spend).then_with(|| a.workflow.cmp(&b.workflow)));
    let total = closed.total();
    let sub_goals = total.values().map(|ended| ended.sums.sub_goals).sum();
    let unit = if selector.is_of_workflow() { Unit::GoalOfWorkflow } else { Unit::Goal };
    GoalInsights { total: figures("", &total, &sums.total, None, unit), by_workflow, sub_goals: count(sub_goals) }
}

/// The figures of goals by how they ended, and of the calls of the window beside them.
pub(super) fn figures(
    workflow: &str,
    by_state: &ByState,
    calls: &Tally,
    price: Option<NanoUsd>,
    unit: Unit,
) -> GoalFigures {
    let not_accepted = by_state.iter().filter(|(state, _)| **state != GoalState::Accepted);
    let failed = together(not_accepted.map(|(_, ended)| ended));
    let none = Ended::default();
    let accepted = by_state.get(&GoalState::Accepted).unwrap_or(&none);
    let all = together([accepted, &failed]);
    let each = cost_per_accepted(calls, unit.count(&accepted.sums));
    let below = |ended: &Ended| count(unit.count(&ended.sums) - ended.sums.goals);
    GoalFigures {
        workflow: workflow.to_owned(),
        spend: money(calls.cost),
        closed: count(all.sums.goals),
        accepted: count(accepted.sums.goals),
        sub_goals: below(&all),
        accepted_sub_goals: below(accepted),
        cost_per_accepted_goal: each,
        cost_per_accepted_goal_interval: each.and_then(|each| cost_interval(each, &all, accepted)),
        closed_cost: money(all.sums.cost),
        failure_cost_share: share(failed.sums.cost, all.sums.cost),
        by_state: state_rows(by_state, &all),
        cost_per_goal: all.cost.sorted().map(|values| values.costs()),
        cost_per_accepted: accepted.cost.sorted().map(|values| values.costs()),
        cost_per_not_accepted: failed.cost.sorted().map(|values| values.costs()),
        pricing_coverage: ratio(all.sums.goals - all.sums.unpriced_goals, all.sums.goals),
        shape: shape(by_state, &all, accepted),
        margin: price.zip(each).and_then(|(price, each)| margin(price, each, accepted)),
        per_accepted: per_accepted(calls, unit.count(&accepted.sums)),
        changes: None,
    }
}

/// Adds to each row how it changed against the same workflow in the window before.
pub(super) fn compare(now: &mut GoalInsights, before: &GoalInsights) {
    now.total.changes = Some(changes(&now.total, Some(&before.total)));
    for row in &mut now.by_workflow {
        let same = before.by_workflow.iter().find(|old| old.workflow == row.workflow);
        row.changes = Some(changes(row, same));
    }
}

fn changes(now: &GoalFigures, before: Option<&GoalFigures>) -> GoalChanges {
    let of = |figure: fn(&GoalFigures) -> Option<f64>| headline::change(figure(now), before.and_then(figure));
    GoalChanges {
        spend: of(|row| Some(row.spend.usd())),
        closed: of(|row| Some(row.closed as f64)),
        accepted: of(|row| Some(row.accepted as f64)),
        cost_per_accepted_goal: of(|row| row.cost_per_accepted_goal),
        failure_cost_share: of(|row| row.failure_cost_share),
        p50_cost: of(|row| row.cost_per_goal.map(|costs| costs.p50_usd)),
        p95_cost: of(|row| row.cost_per_goal.map(|costs| costs.p95_usd)),
    }
}

/// All spend of the window ÷ goals accepted in it, in USD; `None` without one.
fn cost_per_accepted(calls: &Tally, goals: i64) -> Option<f64> {
    (goals > 0).then(|| calls.cost as f64 / (goals as f64 * NANO_PER_USD as f64))
}

/// 90 % interval of `each` (statistics §7, with goals for calls): how sure the ratio of cost to accepted goals is over
/// the closed goals, carried over to the spend of the window, which holds the calls of open goals as well.
fn cost_interval(each: f64, all: &Ended, accepted: &Ended) -> Option<Interval> {
    let nano = NANO_PER_USD as f64;
    let sums = CostSuccessSums {
        n: count(all.sums.goals),
        s: count(accepted.sums.goals),
        sum_c: all.sums.cost as f64 / nano,
        sum_cc: all.sums.cost_squared as f64 / (nano * nano),
        sum_cy: accepted.sums.cost as f64 / nano,
    };
    let found = interval::cost_per_success(sums);
    let (estimate, (low, high)) = found.estimate.zip(found.interval)?;
    (estimate > 0.0).then(|| (low * each / estimate, high * each / estimate))
}

/// `part` ÷ `whole`; `None` where `whole` is not above 0.
fn share(part: i128, whole: i128) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn state_rows(by_state: &ByState, all: &Ended) -> Vec<StateRow> {
    let rows = by_state.iter().filter(|(_, ended)| ended.sums.goals > 0).map(|(state, ended)| StateRow {
        state: *state,
        goals: count(ended.sums.goals),
        share: ratio(ended.sums.goals, all.sums.goals).unwrap_or(0.0),
        cost: money(ended.sums.cost),
        cost_share: share(ended.sums.cost, all.sums.cost).unwrap_or(0.0),
    });
    rows.collect()
}

fn shape(by_state: &ByState, all: &Ended, accepted: &Ended) -> Option<Shape> {
    let sums = &all.sums;
    let escalated = by_state.get(&GoalState::Escalated).map_or(0, |ended| ended.sums.goals);
    let (yes, no) = (accepted.sums.goals, sums.goals - accepted.sums.goals);
    Some(Shape {
        calls: all.calls.sorted()?.spread(),
        steps: all.steps.sorted()?.spread(),
        wall_ms: all.wall_ms.sorted()?.spread(),
        resolution_rate: ratio(yes, sums.goals)?,
        resolution_rate_interval: rate_interval(yes, no),
        escalation_rate: ratio(escalated, sums.goals)?,
        rework_rate: ratio(sums.reopened, sums.goals)?,
        retry_rate: ratio(sums.retries, sums.calls),
        mean_score: ratio(sums.score_micro, sums.scored).map(|micro| micro / SCORE_ONE),
        scored: count(sums.scored),
    })
}

/// 90 % interval of a rate: of Beta(1 + `yes`, 1 + `no`).
pub(super) fn rate_interval(yes: i64, no: i64) -> Interval {
    interval::success_rate_interval(yes.max(0) as f64, no.max(0) as f64)
}

fn margin(price: NanoUsd, each_usd: f64, accepted: &Ended) -> Option<Margin> {
    let costs = accepted.cost.sorted()?;
    let left = |nano: f64| (price.0 as f64 - nano) / NANO_PER_USD as f64;
    Some(Margin {
        price,
        p50_usd: left(costs.percentile(500)),
        p99_usd: left(costs.percentile(990)),
        after_failures_usd: price.usd() - each_usd,
        share_at_loss: costs.share_above(price.0 as f64),
    })
}

/// What one accepted goal took, by the same construction as its cost.
fn per_accepted(calls: &Tally, accepted: i64) -> PerAccepted {
    let each = |sum: i64, known: i64| ratio(sum, accepted).filter(|_| known > 0);
    let tokens = calls.input_tokens.saturating_add(calls.output_tokens);
    PerAccepted {
        energy_j: each(calls.energy_mj, calls.metered).map(|mj| mj / 1_000.0),
        latency_ms: each(calls.latency_ms, calls.timed),
        tokens: each(tokens, tokens),
        energy_coverage: ratio(calls.metered, calls.calls + calls.evaluations),
        latency_coverage: ratio(calls.timed, calls.calls),
    }
}
