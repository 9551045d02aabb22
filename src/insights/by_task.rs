//! One row for each task type: its figures in the window, its models, and whether it pays for more model than it needs.

use std::collections::BTreeMap;

use super::by_model::by_model;
use super::headline;
use super::over_provisioning::{Traffic, over_provisioning};
use super::report::TaskInsights;
use super::selector::Selector;
use super::sums::{Sums, count, money};
use crate::domain::flag::FlagStanding;
use crate::domain::names::{NameId, NameKind};
use crate::domain::rollup::Tally;
use crate::engine::Engine;

/// The rows, dearest first, then by name. Tool calls have no task type and stand in no row.
pub(super) fn by_task(engine: &Engine, selector: &Selector, sums: &Sums, days: f64) -> Vec<TaskInsights> {
    let traffic = Traffic { by_candidate: &sums.traffic, days };
    let row = |(task, models): (&NameId, &BTreeMap<NameId, Tally>)| row(engine, selector, *task, models, traffic);
    let tasks = sums.by_task.iter().filter(|(task, _)| **task != NameId::NONE);
    let mut rows: Vec<TaskInsights> = tasks.filter_map(row).collect();
    rows.sort_by(|a, b| b.total_cost.cmp(&a.total_cost).then_with(|| a.name.cmp(&b.name)));
    rows
}

fn row(
    engine: &Engine,
    selector: &Selector,
    task: NameId,
    models: &BTreeMap<NameId, Tally>,
    traffic: Traffic<'_>,
) -> Option<TaskInsights> {
    let mut tally = Tally::default();
    models.values().for_each(|model| tally.add(model));
    if tally.is_empty() {
        return None;
    }
    let over_provisioning = over_provisioning(engine, task, traffic);
    Some(TaskInsights {
        name: engine.state.names.text(NameKind::Task, task).to_owned(),
        calls: count(tally.calls),
        successes: count(tally.successes),
        failures: count(tally.failures),
        success_rate: headline::success_rate(&tally),
        success_rate_interval: headline::success_rate_interval(&tally),
        avg_cost_per_call: headline::avg_cost_per_call(&tally),
        cost_per_success: headline::cost_per_success(&tally),
        cost_per_success_interval: headline::cost_per_success_interval(&tally),
        total_cost: money(tally.cost),
        failed_call_cost: money(tally.failed_cost),
        uses_higher_tier_than_needed: over_provisioning.standing == FlagStanding::Flagged,
        over_provisioning,
        by_model: by_model(engine, selector, task, models),
        unverdicted_calls: headline::unverdicted(&tally),
        retries: count(tally.retries),
        pricing_coverage: headline::pricing_coverage(&tally),
    })
}
