//! Why spend changed between two windows of the record: lays the sums out as `change` wants them. It splits nothing.

use std::collections::HashMap;
use std::sync::Arc;

use super::change::{CallKind, Change, SpendCell, SpendWindow, explain_change};
use super::efficiency::step_of;
use super::goal_sums::ClosedGoals;
use super::query::{Filters, Query};
use super::report::Window;
use super::selector::{Selector, model_of};
use super::sums::{self, Depth, Sums, count};
use crate::domain::call::Call;
use crate::domain::goal::GoalState;
use crate::domain::names::{NameId, NameKind, Names};
use crate::domain::request_goal::ChangeWindows;
use crate::domain::rollup::{RollupKey, Tally};
use crate::domain::time::UnixMillis;
use crate::engine::Engine;

/// Why spend changed, and between which windows.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The earlier window, as rounded.
    pub previous: Window,
    /// The later window, as rounded.
    pub current: Window,
    /// The split.
    pub change: Change,
    /// Some calls or goals may match the filters but are kept only under "other": they are left out.
    pub partial_detail: bool,
}

/// Why the spend of what `filters` let through changed between two windows, whose edges are rounded as those of a report.
/// With a filter on a goal it covers `goal_calls`, as in [`super::report`].
///
/// Traffic is goals closed, where both windows closed some and the filters are such as goals can be told by, and first
/// attempts otherwise; the cost per accepted goal is split only in the first case. Quality checks count as calls.
///
/// # Panics
/// If a lookback is not above 0, a programmer's error (`INV-INSIGHTS-1`).
#[must_use]
pub fn explain_spend(
    engine: &Engine,
    goal_calls: Option<&[Call]>,
    filters: &Filters,
    windows: ChangeWindows,
    now: UnixMillis,
) -> Explanation {
    let rollups = &engine.state.rollups;
    let (previous, current) = match windows {
        ChangeWindows::Lookback(lookback_ms) => {
            let current = sums::current_window(rollups, lookback_ms, now);
            (sums::window_before(rollups, current), current)
        }
        ChangeWindows::Given { previous, current } => (
            sums::window(rollups, previous.from, rollups.edge(previous.until)),
            sums::window(rollups, current.from, rollups.edge(current.until)),
        ),
    };
    let selector = Selector::new(engine, filters);
    let query = Query { filters: filters.clone(), ..Query::default() };
    let (mut before, unsure_before) = laid_out(engine, goal_calls, &query, &selector, previous);
    let (mut after, unsure_after) = laid_out(engine, goal_calls, &query, &selector, current);
    if before.traffic == 0 || after.traffic == 0 {
        for window in [&mut before, &mut after] {
            window.traffic = window.cells.iter().map(|cell| cell.calls.saturating_sub(cell.retries)).sum();
        }
    }
    let partial_detail = unsure_before || unsure_after;
    Explanation { previous, current, change: explain_change(&before, &after), partial_detail }
}

fn laid_out(
    engine: &Engine,
    goal_calls: Option<&[Call]>,
    query: &Query,
    selector: &Selector,
    window: Window,
) -> (SpendWindow, bool) {
    let sums = Sums::gather(engine, goal_calls, query, selector, window, Depth::Keys);
    let mut laid = SpendWindow { cells: cells(&engine.state.names, &sums.by_key), ..SpendWindow::default() };
    let closed = ClosedGoals::gather(&engine.state, selector, window);
    let total = closed.total();
    laid.traffic = count(total.values().map(|ended| ended.sums.goals).sum());
    laid.accepted_goals = total.get(&GoalState::Accepted).map_or(0, |ended| count(ended.sums.goals));
    (laid, sums.partial || closed.partial)
}

fn cells(names: &Names, by_key: &HashMap<RollupKey, Tally>) -> Vec<SpendCell> {
    by_key.iter().filter(|(_, tally)| tally.calls + tally.evaluations > 0).map(|(key, t)| cell(names, key, t)).collect()
}

fn cell(names: &Names, key: &RollupKey, tally: &Tally) -> SpendCell {
    let is_tool = key.candidate == NameId::NONE;
    let tool = names.text(NameKind::Tool, key.tool);
    let step = if is_tool && !tool.is_empty() { tool } else { step_of(names, key) };
    let model = if is_tool { "" } else { model_of(names.text(NameKind::Candidate, key.candidate)) };
    let calls = count(tally.calls + tally.evaluations);
    SpendCell {
        step: Arc::from(step),
        kind: if is_tool { CallKind::Tool } else { CallKind::Model },
        model: Arc::from(model),
        calls,
        retries: count(tally.retries),
        failures: count(tally.failures),
        units: if is_tool { calls } else { count(tally.input_tokens.saturating_add(tally.output_tokens)) },
        cost_nano_usd: u64::try_from(tally.cost.max(0)).unwrap_or(u64::MAX),
    }
}
