//! Insights: what one successful outcome cost, and why. A report is a pure function of the folded state, the query and
//! the time; it reads no clock, no store and no socket, and changes nothing.
//!
//! Map: `query` what is asked → `selector` filters as numbers → `sums` and `goal_sums` one pass over the window each →
//! `headline`, `by_task` (`by_model`, `over_provisioning` with its `sentence`), `breakdown`, `efficiency`, `goal_figures`
//! (`distribution`), `savings`, `budget_use`, `growth`, `variants`, `quality` figures → `signals` sentences → `report` and
//! `report_goals` what is answered. `change` stands apart: why spend changed between two windows, which `spend` lays out;
//! so do `draws`, `left_out` and `evaluation`: what another policy would have brought.

mod breakdown;
mod budget_use;
mod by_model;
mod by_task;
mod change;
mod cheaper;
mod distribution;
mod draws;
mod drift_signals;
mod efficiency;
mod evaluation;
mod goal_figures;
mod goal_sums;
mod growth;
mod headline;
mod left_out;
mod over_provisioning;
mod quality;
mod query;
mod report;
mod report_goals;
mod report_savings;
mod savings;
mod selector;
mod sentence;
mod signals;
mod source_signals;
mod spend;
mod sums;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_support;
mod variants;

pub use change::{CallKind, Change, Contribution, Driver, Factor, Part, SpendCell, SpendWindow, Split, explain_change};
pub use draws::{Draw, Told};
pub use evaluation::{
    Estimate, Evaluation, LEAST_EFFECTIVE, PolicyFigures, Sample, SelfNormalised, evaluate, evaluate_thin,
    self_normalised,
};
pub use headline::CallFigures;
pub use left_out::{LeftOut, NoDraw};
pub use query::{CompareLabels, Filters, LOOKBACK_HOURS_DEFAULT, Query};
pub use report::{
    CostBreakdown, CostRow, Headline, HeadlineChanges, Interval, ModelInsights, OverProvisioning, RateEvidence, Report,
    Resolution, SelectedBy, SelectionShare, TaskInsights, Window,
};
pub use report_goals::{
    BudgetInsights, BudgetUse, Comparison, ContextRow, CostDistribution, Efficiency, GoalBudgetUse, GoalChanges,
    GoalFigures, GoalInsights, Margin, Overhead, PerAccepted, Quality, Shape, Signal, SignalKind, SourceQuality,
    Spread, StateRow, Variant, Waste,
};
pub use report_savings::{AcceptanceStanding, ArmRow, Savings, SavingsRow, SavingsStanding, UnprovenEstimate};
pub use sentence::{grouped, measured, shown_percent};
pub use spend::{Explanation, explain_spend};

use std::collections::BTreeSet;

use crate::domain::call::Call;
use crate::domain::names::NameKind;
use crate::domain::time::{DAY_MS, UnixMillis};
use crate::engine::Engine;
use goal_sums::ClosedGoals;
use selector::Selector;
use signals::Grounds;
use sums::{Depth, Sums, count, money};

/// Chance that a task type whose models are all needed is ever flagged (statistics §5: "ever raised ≤ 5 %").
const FALSE_FLAG_CHANCE: f64 = 0.05;

/// The report over the `lookback_ms` up to `now`. With a filter on a goal it covers `goal_calls`, every call of that goal
/// at hand and in the store; without that filter they are not looked at.
///
/// The window begins at `now − lookback_ms`, rounded down to the minute within the last day and to the hour before,
/// and ends with the current minute. The window before it has the same length and touches it.
///
/// # Panics
/// If the lookback is not above 0, a programmer's error (`INV-INSIGHTS-1`).
#[must_use]
pub fn report(engine: &Engine, goal_calls: Option<&[Call]>, query: &Query, now: UnixMillis) -> Report {
    let selector = Selector::new(engine, &query.filters);
    let window = sums::current_window(&engine.state.rollups, query.lookback_ms, now);
    let window_before = sums::window_before(&engine.state.rollups, window);
    let gather = |window, depth| Sums::gather(engine, goal_calls, query, &selector, window, depth);
    let (sums, before) = (gather(window, Depth::Full), gather(window_before, Depth::Keys));
    let headline = headline::headline(window, &sums.total);
    let previous = query.compare_previous.then(|| headline::headline(window_before, &before.total));
    // The calls counted are those from the rounded begin up to now, and not up to the end of the minute.
    let days = (now.0 - window.start.0).max(1) as f64 / DAY_MS as f64;
    let closed = ClosedGoals::gather(&engine.state, &selector, window);
    let of_goals = |sums: &Sums, closed: &ClosedGoals| {
        selector.is_of_goals().then(|| goal_figures::goals(engine, &selector, sums, closed))
    };
    let mut goals = of_goals(&sums, &closed);
    let closed_before = query.compare_previous.then(|| ClosedGoals::gather(&engine.state, &selector, window_before));
    let previous_goals = closed_before.as_ref().and_then(|closed| of_goals(&before, closed));
    if let Some((goals, previous)) = goals.as_mut().zip(previous_goals.as_ref()) {
        goal_figures::compare(goals, previous);
    }
    let savings = selector.is_of_arms().then(|| savings::savings(engine, &selector, &sums, window, days));
    let of_goal = query.filters.goal_id.is_some();
    let compared = query.compare_labels.as_ref().filter(|_| !of_goal);
    let compared = compared.map(|of| variants::comparison(engine, query, of, window));
    let unsure_before = before.partial || closed_before.as_ref().is_some_and(|closed| closed.partial);
    let unsure_units = savings.as_ref().is_some_and(|(_, partial)| *partial);
    let partial = [sums.partial, closed.partial, unsure_units, query.compare_previous && unsure_before];
    let partial_detail = partial.contains(&true) || compared.as_ref().is_some_and(|(_, partial)| *partial);
    let names = &engine.state.names;
    let by_task = by_task::by_task(engine, &selector, &sums, days);
    let (by_tool, by_step) = (efficiency::by_tool(names, &sums.by_key), efficiency::by_step(names, &sums.by_key));
    let tools = efficiency::rows(&by_tool, &sums.total);
    let budgets = budget_use::budgets(engine, &closed.budgets, now);
    let mut signals = drift_signals::drifts(engine, &selector, window);
    signals.extend(signals::signals(&Grounds {
        engine,
        now,
        tools: &tools,
        models: &efficiency::rows(&efficiency::by_model(names, &sums.by_key), &sums.total),
        steps_now: &by_step,
        steps_before: &efficiency::by_step(names, &before.by_key),
        tools_now: &by_tool,
        tools_before: &efficiency::by_tool(names, &before.by_key),
        accounts: &budgets.accounts,
        tasks: &by_task,
    }));
    signals.extend(source_signals::signals(engine, &selector));
    Report {
        decisions_open: headline::decisions_open(&sums.total),
        unpriced_calls: count(sums.total.unpriced),
        evaluation_cost: money(sums.total.evaluation_cost),
        off_policy_calls: count(sums.total.off_policy),
        expected_false_flags: expected_false_flags(engine),
        cost_breakdown: query.include_cost_breakdown.then(|| breakdown::breakdown(names, &sums.by_key)),
        changes: previous.as_ref().map(|previous| headline::changes(&headline, previous)),
        waste: efficiency::waste(&sums.total),
        previous_waste: query.compare_previous.then(|| efficiency::waste(&before.total)),
        previous_goals,
        steps: efficiency::rows(&by_step, &sums.total),
        context_growth: if of_goal { Vec::new() } else { growth::growth(&engine.state, &selector, window) },
        overhead: query.overhead.as_ref().zip(goals.as_ref()).map(|(of, goals)| variants::overhead(goals, of)),
        comparison: compared.map(|(comparison, _)| comparison),
        quality: quality::quality(engine, &selector, &sums.total, &closed.total()),
        signals: if of_goal { Vec::new() } else { signals },
        savings: savings.map(|(savings, _)| savings),
        by_task,
        tools,
        budgets,
        goals,
        previous,
        headline,
        partial_detail,
        note: note(engine, &query.filters, partial_detail),
    }
}

/// What the figures leave out, and a filter that cannot match; `None`: nothing to say.
fn note(engine: &Engine, filters: &Filters, partial_detail: bool) -> Option<String> {
    let partial = partial_detail.then(|| PARTIAL_NOTE.to_owned());
    let unknown = filters.task_type.as_deref().and_then(|name| unknown_task(engine, name));
    let parts: Vec<String> = unknown.into_iter().chain(partial).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Task types named where one is not known.
const TASKS_NAMED: usize = 12;

/// That nobody knows the task type a filter names, and which are known.
fn unknown_task(engine: &Engine, name: &str) -> Option<String> {
    let used = engine.state.names.all(NameKind::Task).map(|(_, text)| &**text);
    let known: BTreeSet<&str> = engine.catalog().tasks().map(|task| &*task.id).chain(used).collect();
    if known.contains(name) {
        return None;
    }
    let shown: String = name.chars().take(80).collect();
    let more = if known.len() > TASKS_NAMED { ", …" } else { "" };
    let known: Vec<&str> = known.into_iter().filter(|text| !text.is_empty()).take(TASKS_NAMED).collect();
    Some(format!("No task type is called `{shown}`; known are {}{more}.", known.join(", ")))
}

const PARTIAL_NOTE: &str = "Calls whose names or labels are past the number kept are counted under \"other\"; those that \
                            may match these filters are left out.";

/// 0.05 for each task type whose flag was ever looked at: so often is a flag raised, at any time, where the cheaper
/// model is worse by exactly the margin (statistics §5). Task types never looked at cannot be flagged.
fn expected_false_flags(engine: &Engine) -> f64 {
    let looked_at = engine.state.tasks.values().filter(|task| !task.flag.looked_at.is_empty()).count();
    FALSE_FLAG_CHANCE * looked_at as f64
}
