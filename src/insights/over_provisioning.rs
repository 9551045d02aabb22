//! Does a task type pay for more model than it needs? The verdict is a fact of the journal (`domain::flag`) and is not
//! decided here; this file lays out its evidence and says what a change would be worth at the window's traffic.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use super::report::{OverProvisioning, RateEvidence, SelectedBy, SelectionShare};
use super::sentence::{Story, sentence};
use super::sums::count;
use crate::domain::call::{Arm, Selection};
use crate::domain::catalog::TaskSettings;
use crate::domain::cell::Cell;
use crate::domain::e_value::{CERTIFIES, ln_e_value};
use crate::domain::flag::{self, Comparisons, FlagStanding, MIN_OUTCOMES};
use crate::domain::interval::success_rate_interval;
use crate::domain::money::NANO_PER_USD;
use crate::domain::names::{NameId, NameKind};
use crate::domain::rollup::Tally;
use crate::domain::state::TaskState;
use crate::engine::Engine;

/// The largest e-value that is told: more says no more.
const E_VALUE_MAX: f64 = 1e12;

/// Days in the month that savings are given for.
pub(super) const MONTH_DAYS: f64 = 30.0;

/// All traffic of the window, whatever the filters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic<'a> {
    /// By task type and candidate.
    pub by_candidate: &'a HashMap<(NameId, NameId), Tally>,
    /// Length of the window in days; above 0.
    pub days: f64,
}

/// The two models a row is about.
#[derive(Clone, Copy, Debug)]
struct Pair<'a> {
    incumbent: Option<(NameId, &'a Cell)>,
    cheaper: Option<(NameId, &'a Cell)>,
}

/// Whether a candidate that may serve has no cost on the record yet.
fn untried(engine: &Engine, task: NameId, name: &str, state: &TaskState) -> bool {
    let candidates = engine.task(name).map(|t| t.candidates.as_slice()).unwrap_or_default();
    candidates.iter().any(|candidate| {
        let id = engine.state.names.id(NameKind::Candidate, &candidate.id).unwrap_or(NameId::OTHER);
        engine.may_serve(task, id) && state.cells.get(&id).and_then(Cell::mean_cost).is_none()
    })
}

/// The flag of a task type and its evidence.
pub(super) fn over_provisioning(engine: &Engine, task: NameId, traffic: Traffic<'_>) -> OverProvisioning {
    let name = engine.state.names.text(NameKind::Task, task);
    let defaults = TaskSettings::default();
    let settings = engine.task(name).map_or(&defaults, |of| &of.settings);
    let nothing = TaskState::default();
    let state = engine.state.tasks.get(&task).unwrap_or(&nothing);
    let comparisons = flag::comparisons(state.cells.iter().map(|(id, c)| (*id, c)), |id| engine.may_serve(task, id));
    let standing = flag::standing(&state.flag, &comparisons, untried(engine, task, name, state));
    let margin = settings.flag_margin;
    let told_apart = !settings.strata.is_empty();
    let standing = if told_apart { FlagStanding::NotFlagged } else { standing };
    let pair = pair(engine, state, &comparisons, standing, margin);
    let probability = match (pair.incumbent, pair.cheaper, standing) {
        _ if told_apart => None,
        (Some(_), Some(_), FlagStanding::InsufficientData(_)) => None,
        (Some((_, incumbent)), Some((_, cheaper)), _) => Some(flag::probability(cheaper, incumbent, margin)),
        _ => None,
    };
    let counts = |cell: &Cell| (cell.successes, cell.failures);
    let ln_e_value = match (pair.incumbent, pair.cheaper, probability) {
        (Some((_, incumbent)), Some((_, cheaper)), Some(_)) => {
            Some(ln_e_value(counts(cheaper), counts(incumbent), margin))
        }
        _ => None,
    };
    let bar = (CERTIFIES * comparisons.cheaper.len().max(1) as f64).ln();
    let window = pair.incumbent.and_then(|(id, _)| traffic.by_candidate.get(&(task, id))).copied().unwrap_or_default();
    let shares = selection_shares(&window);
    let text =
        |side: Option<(NameId, &Cell)>| side.map(|(id, _)| engine.state.names.text(NameKind::Candidate, id).to_owned());
    let mut row = OverProvisioning {
        standing,
        incumbent_model: text(pair.incumbent),
        cheaper_model: text(pair.cheaper),
        probability,
        e_value: ln_e_value.map(|ln| ln.min(E_VALUE_MAX.ln()).exp()),
        certified: ln_e_value.is_some_and(|ln| ln >= bar),
        margin,
        incumbent: pair.incumbent.map(|(_, cell)| evidence(cell)),
        cheaper: pair.cheaper.map(|(_, cell)| evidence(cell)),
        saving_usd_per_month: None,
        added_failures_per_month: None,
        added_failure_cost_usd_per_month: None,
        selected_by: shares.first().map(|share| share.selected_by),
        selection_shares: shares,
        sentence: String::new(),
    };
    if standing == FlagStanding::Flagged {
        worth(&mut row, window.calls as f64 * MONTH_DAYS / traffic.days, settings);
    }
    row.sentence =
        sentence(&Story { task: name, settings, served_share: served_share(state, pair.incumbent), row: &row });
    row
}

/// The raised flag's models; else the incumbent and the cheaper model most worth showing.
fn pair<'a>(
    engine: &Engine,
    state: &'a TaskState,
    comparisons: &Comparisons<'a>,
    standing: FlagStanding,
    margin: f64,
) -> Pair<'a> {
    if let Some(raised) = state.flag.raised {
        let side = |id: NameId| state.cells.get(&id).map(|cell| (id, cell));
        return Pair { incumbent: side(raised.incumbent), cheaper: side(raised.cheaper) };
    }
    let Some((incumbent, cell)) = comparisons.incumbent else { return Pair { incumbent: None, cheaper: None } };
    let name = |id: NameId| engine.state.names.text(NameKind::Candidate, id);
    let looked_at = |id: NameId| state.flag.looked_at.contains_key(&(incumbent, id));
    let missing = |c: &Cell| MIN_OUTCOMES.saturating_sub(c.successes + c.failures);
    let candidates = comparisons.cheaper.iter().copied();
    let cheaper = if let FlagStanding::InsufficientData(_) = standing {
        candidates.min_by_key(|(id, c)| (missing(c), c.mean_cost(), name(*id)))
    } else {
        let likely = |c: &Cell| flag::probability(c, cell, margin);
        let rated = candidates.filter(|(id, _)| looked_at(*id)).map(|(id, c)| (likely(c), id, c));
        let best = rated.max_by(|a, b| {
            a.0.total_cmp(&b.0)
                .then_with(|| (Reverse(a.2.mean_cost()), name(b.1)).cmp(&(Reverse(b.2.mean_cost()), name(a.1))))
        });
        best.map(|(_, id, c)| (id, c))
    };
    Pair { incumbent: Some((incumbent, cell)), cheaper }
}

fn evidence(cell: &Cell) -> RateEvidence {
    let verdicts = cell.successes + cell.failures;
    RateEvidence {
        successes: cell.successes,
        failures: cell.failures,
        success_rate: (verdicts > 0).then(|| cell.successes as f64 / verdicts as f64),
        success_rate_interval: success_rate_interval(cell.successes as f64, cell.failures as f64),
        avg_cost_per_call: (cell.costed > 0)
            .then(|| cell.cost_nano as f64 / (cell.costed as f64 * NANO_PER_USD as f64)),
    }
}

/// Dollars and failures of 30 days, were all of the incumbent's calls given to the cheaper model.
fn worth(row: &mut OverProvisioning, calls_per_month: f64, settings: &TaskSettings) {
    let (Some(incumbent), Some(cheaper)) = (row.incumbent, row.cheaper) else { return };
    let difference = |of: fn(&RateEvidence) -> Option<f64>| Some(of(&incumbent)? - of(&cheaper)?);
    row.saving_usd_per_month = difference(|side| side.avg_cost_per_call).map(|usd| usd * calls_per_month);
    row.added_failures_per_month = difference(|side| side.success_rate).map(|rate| rate * calls_per_month);
    if settings.failure_cost.0 > 0 {
        row.added_failure_cost_usd_per_month =
            row.added_failures_per_month.map(|more| more * settings.failure_cost.usd());
    }
}

/// Who selected the model of these calls, largest share first. Fallbacks are left out: the first model's failure
/// selected them.
fn selection_shares(tally: &Tally) -> Vec<SelectionShare> {
    let by = |selections: &[Selection]| selections.iter().map(|s| tally.by_selection(*s)).sum::<i64>();
    let elsewhere = tally.by_arm(Arm::Pinned) + tally.by_arm(Arm::Elsewhere) + tally.by_arm(Arm::Observe);
    let parts = BTreeMap::from([
        (SelectedBy::Router, by(&[Selection::Draw, Selection::Floor, Selection::Sticky])),
        (SelectedBy::CallerConstraint, elsewhere + by(&[Selection::Constraint])),
        (SelectedBy::QualityFloor, by(&[Selection::QualityFloor])),
        (SelectedBy::IrreversibleStep, by(&[Selection::Irreversible])),
    ]);
    let all: i64 = parts.values().sum();
    let share = |(selected_by, calls): (SelectedBy, i64)| SelectionShare {
        selected_by,
        share: calls as f64 / all as f64,
        decisions: count(calls),
    };
    let mut shares: Vec<SelectionShare> = parts.into_iter().filter(|(_, calls)| *calls > 0).map(share).collect();
    shares.sort_by_key(|share| Reverse(share.decisions));
    shares
}

fn served_share(state: &TaskState, incumbent: Option<(NameId, &Cell)>) -> f64 {
    let all: u64 = state.cells.values().map(|cell| cell.served).sum();
    incumbent.map_or(0.0, |(_, cell)| cell.served as f64 / all.max(1) as f64)
}
