//! The candidates of one task type, ready to be drawn from: what the catalogue says of each beside what was learned.
//! Rows are refreshed when their cell or their price changed, so that a decision computes nothing twice.

use std::sync::Arc;

use crate::domain::beta::{Beta, BetaGrid};
use crate::domain::catalog::{Catalog, Price, Prior, ServiceTier, Task, TaskCandidate, TaskSettings};
use crate::domain::cell::{Cell, EstimateSource, expected_cost, sibling_prior};
use crate::domain::contextual::{Fit, fit};
use crate::domain::event::ModelState;
use crate::domain::money::NanoUsd;
use crate::domain::names::{NameId, NameKind};
use crate::domain::pricing::Usage;
use crate::domain::retries::Retries;
use crate::domain::state::State;
use crate::domain::time::UnixMillis;
use crate::domain::trust::Trust;

/// One task type as the engine uses it.
#[derive(Clone, Debug)]
pub(super) struct TaskTable {
    /// Its number.
    pub(super) id: NameId,
    /// Its settings and candidates: its own, or those of the default task type.
    pub(super) task: Arc<Task>,
    /// Whether the catalogue declares it.
    pub(super) declared: bool,
    /// Its candidates in catalogue order.
    pub(super) rows: Vec<Row>,
    /// What they can do by stratum, where the task type has features.
    pub(super) by_stratum: Fit,
    /// How far each source of outcomes is believed.
    trust: Trust,
}

/// One candidate.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: NameId,
    pub(super) candidate: TaskCandidate,
    pub(super) prior: Prior,
    pub(super) state: ModelState,
    pub(super) posterior: Beta,
    pub(super) expected: Option<NanoUsd>,
    pub(super) source: EstimateSource,
    /// Learned mean input and output tokens.
    pub(super) usage: Option<(u64, u64)>,
    pub(super) p95_ms: Option<f64>,
    /// What came of the last retries it served.
    pub(super) retries: Retries,
    /// P(p ≥ the task type's own floor).
    pub(super) floor_chance: f64,
    cell_version: u64,
    /// As of which evidence of other task types its prior is; 0 where that does not count.
    siblings_version: u64,
    /// When a posterior that ages has to be computed again: by time, and by outcomes of the task type.
    fresh_until: (UnixMillis, u64),
    price_until: UnixMillis,
}

impl TaskTable {
    /// The table of a task type as of `catalog` and `state`; candidates must have their numbers.
    pub(super) fn new(catalog: &Catalog, state: &State, id: NameId, task: &Arc<Task>, name: &str) -> Self {
        let rows = task.candidates.iter().map(|c| Row::new(state, id, task, c)).collect();
        let declared = catalog.task(name).is_some();
        let trust = trust_of(state, &task.settings);
        Self { id, task: task.clone(), declared, rows, by_stratum: Fit::default(), trust }
    }

    /// Brings every row up to date with its cell and with the prices of `now`.
    pub(super) fn refresh(&mut self, state: &State, now: UnixMillis) {
        let of = state.tasks.get(&self.id);
        let (cells, lessons) = (of.map(|t| &t.cells), of.map_or(0, |t| t.lessons));
        let memory = self.task.settings.memory;
        let siblings = if self.task.settings.sibling_prior > 0 { state.evidence_version } else { 0 };
        let blank = Cell::default();
        let mut changed = false;
        for row in &mut self.rows {
            let cell = cells.and_then(|c| c.get(&row.id));
            let version = cell.map_or(0, |c| c.version);
            let fresh = now < row.fresh_until.0 && lessons < row.fresh_until.1;
            if (version, siblings) == (row.cell_version, row.siblings_version) && now < row.price_until && fresh {
                continue;
            }
            changed = true;
            (row.cell_version, row.siblings_version) = (version, siblings);
            let model = &row.candidate.model;
            let price = model.price_at(ServiceTier::Standard, now);
            let next = model.prices.iter().map(|p| p.from).filter(|from| *from > now).min();
            row.price_until = next.unwrap_or(UnixMillis(i64::MAX));
            (row.expected, row.source) = expected_cost(cell, price, None, model.typical);
            row.prior = prior_of(state, self.id, &self.task, &row.candidate, row.id);
            row.posterior = cell.unwrap_or(&blank).remembered(row.prior, &memory, &self.trust, now, lessons);
            row.fresh_until = memory.fresh_until(now, lessons);
            row.usage = cell.and_then(Cell::mean_usage).map(|u| (u.input, u.output));
            row.p95_ms = cell.and_then(|c| c.latency.p95_ms());
            row.retries.clone_from(cell.map_or(&blank.retries, |c| &c.retries));
            row.floor_chance = chance_at_least(row.posterior, self.task.settings.min_success_rate);
        }
        if changed && !self.task.settings.strata.is_empty() {
            self.fit_strata(state, now);
        }
    }

    fn fit_strata(&mut self, state: &State, now: UnixMillis) {
        let of = state.tasks.get(&self.id);
        let (memory, lessons) = (self.task.settings.memory, of.map_or(0, |t| t.lessons));
        let blank = Cell::default();
        let known = |row: &Row| {
            let cell = of.and_then(|t| t.cells.get(&row.id)).unwrap_or(&blank);
            cell.by_stratum((row.posterior, row.prior), &memory, &self.trust, now, lessons)
        };
        self.by_stratum = fit(&self.rows.iter().map(known).collect::<Vec<_>>());
    }
}

impl Row {
    /// Expected cost at another tier's price: learned mean usage, else `typical`.
    pub(super) fn expected_at(&self, price: Option<&Price>) -> (Option<NanoUsd>, EstimateSource) {
        let at = |(input, output): (u64, u64)| price.and_then(|p| p.cost(&Usage { input, output, ..Usage::default() }));
        let typical = self.candidate.model.typical.map(|t| (t.input_tokens, t.output_tokens));
        match (self.usage.and_then(at), typical.and_then(at)) {
            (Some(cost), _) => (Some(cost), EstimateSource::Learned),
            (None, Some(cost)) => (Some(cost), EstimateSource::Typical),
            (None, None) => (None, EstimateSource::Unknown),
        }
    }

    fn new(state: &State, task: NameId, of: &Arc<Task>, candidate: &TaskCandidate) -> Self {
        let id = state.names.id(NameKind::Candidate, &candidate.id).unwrap_or(NameId::OTHER);
        let model = state.names.id(NameKind::Candidate, &candidate.model.id).unwrap_or(id);
        let said = state.model_state(task, &[id, model]);
        let declared = if candidate.shadow { ModelState::Shadow } else { ModelState::Enabled };
        Self {
            id,
            candidate: candidate.clone(),
            prior: candidate.prior.unwrap_or(of.settings.prior),
            state: said.unwrap_or(declared),
            posterior: Beta::UNIFORM,
            expected: None,
            source: EstimateSource::Unknown,
            usage: None,
            p95_ms: None,
            retries: Retries::default(),
            floor_chance: 1.0,
            cell_version: u64::MAX,
            siblings_version: 0,
            fresh_until: (UnixMillis(i64::MIN), 0),
            price_until: UnixMillis(i64::MIN),
        }
    }
}

/// What a candidate starts from: its own prior or the task type's, and what it did at other task types where that counts.
pub(super) fn prior_of(state: &State, task: NameId, of: &Task, candidate: &TaskCandidate, id: NameId) -> Prior {
    let base = candidate.prior.unwrap_or(of.settings.prior);
    let strength = of.settings.sibling_prior;
    if strength == 0 {
        return base;
    }
    let trust = trust_of(state, &of.settings);
    let others = state.tasks.iter().filter(|(other, _)| **other != task);
    let cells = others.filter_map(|(_, of)| of.cells.get(&id));
    sibling_prior(base, strength, cells.map(|cell| cell.believed_evidence(base, &trust)))
}

/// How far a task type believes each source of outcomes.
pub(super) fn trust_of(state: &State, settings: &TaskSettings) -> Trust {
    Trust::new(&settings.sources, |name| state.names.id(NameKind::Source, name))
}

/// P(p ≥ floor); exact only where it can matter (a mean at or above the floor is never excluded by it).
pub(super) fn chance_at_least(posterior: Beta, floor: f64) -> f64 {
    if floor <= 0.0 || posterior.mean() >= floor { 1.0 } else { BetaGrid::new(posterior).sf(floor) }
}
