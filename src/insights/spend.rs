//! Why spend changed between two windows of the record: lays the sums out as `change` wants them. It splits nothing.

use std::collections::HashMap;
use std::sync::Arc;

use super::change::{CallKind, Change, SpendCell, SpendWindow, explain_change};
use super::efficiency::step_of;
use super::goal_sums::{ClosedGoals, Unit};
use super::query::{Filters, Query};
use super::report::Window;
use super::selector::{Selector, model_of};
use super::sums::{self, Depth, Sums, count};
use crate::domain::call::Call;
use crate::domain::catalog::{Rates, ServiceTier};
use crate::domain::goal::GoalState;
use crate::domain::names::{NameId, NameKind};
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
/// attempts otherwise; the cost per accepted goal is split only in the first case. Quality checks count as calls. Tokens
/// are weighed at what the catalogue says a model costs at `now`, in both windows.
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
    let (mut before, unsure_before) = laid_out(engine, goal_calls, &query, &selector, previous, now);
    let (mut after, unsure_after) = laid_out(engine, goal_calls, &query, &selector, current, now);
    if before.traffic == 0 || after.traffic == 0 {
        for window in [&mut before, &mut after] {
            window.of_first_attempts = true;
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
    now: UnixMillis,
) -> (SpendWindow, bool) {
    let sums = Sums::gather(engine, goal_calls, query, selector, window, Depth::Keys);
    let mut laid = SpendWindow { cells: cells(engine, &sums.by_key, now), ..SpendWindow::default() };
    let closed = ClosedGoals::gather(&engine.state, selector, window);
    let total = closed.total();
    let unit = if selector.is_of_workflow() { Unit::GoalOfWorkflow } else { Unit::Goal };
    laid.traffic = count(total.values().map(|ended| unit.count(&ended.sums)).sum());
    laid.accepted_goals = total.get(&GoalState::Accepted).map_or(0, |ended| count(unit.count(&ended.sums)));
    (laid, sums.partial || closed.partial)
}

fn cells(engine: &Engine, by_key: &HashMap<RollupKey, Tally>, now: UnixMillis) -> Vec<SpendCell> {
    let called = by_key.iter().filter(|(_, tally)| tally.calls + tally.evaluations > 0);
    called.map(|(key, tally)| cell(engine, key, tally, now)).collect()
}

fn cell(engine: &Engine, key: &RollupKey, tally: &Tally, now: UnixMillis) -> SpendCell {
    let names = &engine.state.names;
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
        listed_pico_usd: rates(engine, model, now).map_or(0, |rates| listed(rates, tally)),
        cost_nano_usd: u64::try_from(tally.cost.max(0)).unwrap_or(u64::MAX),
    }
}

/// What tokens of a model cost now at the standard tier and in a short context; `None` where the catalogue does not say.
fn rates<'a>(engine: &'a Engine, model: &str, now: UnixMillis) -> Option<&'a Rates> {
    let (model, _) = engine.catalog().resolve(model).ok()??;
    Some(&model.price_at(ServiceTier::Standard, now)?.rates)
}

/// The tokens of `tally` at `rates`, in pico-USD.
fn listed(rates: &Rates, tally: &Tally) -> u128 {
    let cached = count(tally.cached_input_tokens);
    let written = count(tally.cache_write_tokens);
    let plain = count(tally.input_tokens).saturating_sub(cached).saturating_sub(written);
    let classes = [
        (plain, rates.input),
        (cached, rates.cached_input.unwrap_or(rates.input)),
        (written, rates.cache_write.unwrap_or(rates.input)),
        (count(tally.output_tokens), rates.output),
    ];
    classes.iter().map(|(tokens, rate)| u128::from(*tokens) * u128::from(rate.0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::PicoUsdPerToken;

    #[test]
    fn each_class_of_tokens_is_weighed_at_its_rate() {
        let rate = |text| PicoUsdPerToken::parse_usd_per_mtok(text).unwrap();
        let full = Rates {
            input: rate("5"),
            output: rate("15"),
            cached_input: Some(rate("0.5")),
            cache_write: Some(rate("6.25")),
        };
        let tally = Tally {
            input_tokens: 1_000,
            cached_input_tokens: 600,
            cache_write_tokens: 100,
            output_tokens: 10,
            ..Tally::default()
        };
        // 300 plain ones, 600 read and 100 written, and 10 out.
        assert_eq!(listed(&full, &tally), 1_500_000_000 + 300_000_000 + 625_000_000 + 150_000_000);
        let plain = Rates { cached_input: None, cache_write: None, ..full };
        assert_eq!(listed(&plain, &tally), 5_000_000_000 + 150_000_000, "billed as input");
    }
}
