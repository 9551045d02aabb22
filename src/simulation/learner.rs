//! The router's own learner of one task type, without the ledger around it: cells, posteriors, draws, the rule of choice,
//! the floor and the search for changes, as the engine uses them. It refuses to know what an outcome is true of.

use rand::{Rng, RngExt as _};

use super::baselines::Policy;
use crate::domain::beta::Beta;
use crate::domain::call::CallNo;
use crate::domain::catalog::{Prior, TaskSettings};
use crate::domain::cell::{Cell, expected_cost};
use crate::domain::choose::{Contender, Rule, select};
use crate::domain::contextual::{Fit, fit};
use crate::domain::draw::draw_beta;
use crate::domain::drift;
use crate::domain::history::Lesson;
use crate::domain::money::NanoUsd;
use crate::domain::names::NameId;
use crate::domain::strata::Stratum;
use crate::domain::time::UnixMillis;
use crate::domain::trust::Trust;

/// Milliseconds between two steps of a world that has no clock of its own.
const STEP_MS: f64 = 1_000.0;

/// The cells of one task type and how it chooses.
#[derive(Clone, Debug)]
pub struct Learner {
    settings: TaskSettings,
    trust: Trust,
    rule: Rule,
    cells: Vec<Cell>,
    priors: Vec<Prior>,
    posteriors: Vec<Beta>,
    /// `None`: to be made when it is asked for.
    fit: Option<Fit>,
    expected: Vec<Option<u64>>,
    contenders: Vec<Contender>,
    lessons: u64,
    now: UnixMillis,
    step_ms: f64,
    /// Changes found so far: (step, candidate, whether the rate fell).
    pub changes: Vec<(u64, usize, bool)>,
}

impl Learner {
    /// A learner that knows nothing yet of candidates with these expected costs in nano-USD (`None`: to be learned).
    #[must_use]
    pub fn new(settings: TaskSettings, expected_cost_nano: &[Option<u64>]) -> Self {
        let rule = settings.rule();
        let arms = expected_cost_nano.len();
        let cells = vec![Cell::default(); arms];
        let posteriors = cells.iter().map(|c| c.posterior(settings.prior)).collect();
        let trust = Trust::new(&settings.sources, |name| settings.sources.number(name));
        Self {
            trust,
            rule,
            cells,
            priors: vec![settings.prior; arms],
            posteriors,
            fit: None,
            expected: expected_cost_nano.to_vec(),
            contenders: Vec::with_capacity(arms),
            lessons: 0,
            now: UnixMillis(0),
            step_ms: STEP_MS,
            changes: Vec::new(),
            settings,
        }
    }

    /// Lets so many milliseconds pass between two steps; a second otherwise.
    #[must_use]
    pub fn paced(self, step_ms: f64) -> Self {
        Self { step_ms, ..self }
    }

    /// The cell of a candidate.
    #[must_use]
    pub fn cell(&self, arm: usize) -> &Cell {
        &self.cells[arm]
    }

    /// What the last decision drew from for a candidate, until an outcome is told.
    #[must_use]
    pub fn posterior(&self, arm: usize) -> Beta {
        self.posteriors[arm]
    }

    /// Gives a candidate another prior than the task type's.
    pub fn set_prior(&mut self, arm: usize, prior: Prior) {
        if self.priors[arm] != prior {
            self.priors[arm] = prior;
            self.remember(arm);
        }
    }

    /// The candidate to take at `step` for a request of `stratum`, of those that `offer` has: `None` is not offered,
    /// `Some(cost)` is, at a cost in nano-USD as far as it is known beforehand. A cost that was learned comes before it. `None`:
    /// none is offered.
    pub fn decide<R: Rng>(
        &mut self,
        step: u64,
        stratum: Stratum,
        rng: &mut R,
        offer: impl Fn(usize) -> Option<Option<u64>>,
    ) -> Option<usize> {
        self.now = UnixMillis((step as f64 * self.step_ms) as i64);
        if !self.settings.memory.is_perfect() {
            (0..self.cells.len()).for_each(|arm| self.remember(arm));
        }
        if stratum != Stratum::NONE && self.fit.is_none() {
            let (memory, now, lessons) = (&self.settings.memory, self.now, self.lessons);
            let trust = &self.trust;
            let known = |((cell, whole), prior): ((&Cell, &Beta), &Prior)| {
                cell.by_stratum((*whole, *prior), memory, trust, now, lessons)
            };
            self.fit =
                Some(fit(&self.cells.iter().zip(&self.posteriors).zip(&self.priors).map(known).collect::<Vec<_>>()));
        }
        let fit = self.fit.as_ref().filter(|_| stratum != Stratum::NONE);
        self.contenders.clear();
        for (index, whole) in self.posteriors.iter().enumerate() {
            let posterior = fit.map_or(*whole, |fit| fit.posterior(index, stratum));
            // Drawn for every candidate, as the engine does, so that an offer does not change what is drawn.
            let theta = draw_beta(rng, posterior);
            if let Some(estimate) = offer(index) {
                let expected_cost_nano = self.expected[index].or(estimate);
                self.contenders.push(Contender { index, theta, expected_cost_nano });
            }
        }
        let (coin, lot) = (rng.random(), rng.random());
        select(&self.contenders, self.rule, self.settings.exploration_floor, coin, lot).map(|(arm, _)| arm)
    }

    /// What came of the candidate taken at `step` for a request of `stratum`.
    pub fn tell(&mut self, step: u64, stratum: Stratum, arm: usize, success: bool) {
        self.tell_from(step, stratum, arm, success, "");
    }

    /// The same by a source of that name; one the settings do not declare is one of the others.
    pub fn tell_from(&mut self, step: u64, stratum: Stratum, arm: usize, success: bool, source: &str) {
        let source = self.settings.sources.number(source).unwrap_or(NameId::NONE);
        let (call, at, number) = (CallNo(step + 1), self.now, self.lessons);
        let reward_micro = if success { 1_000_000 } else { 0 };
        self.cells[arm].learn(&Lesson { call, at, number, reward_micro, success, stratum, source }, true);
        self.lessons += 1;
        if self.cells[arm].take_look()
            && self.settings.detects_changes
            && let Some(found) = drift::find(&self.cells[arm].history.for_changes(&self.trust))
        {
            self.cells[arm].forget(found.keep_from, at);
            let rate = |(s, n): (u64, u64)| s as f64 / n.max(1) as f64;
            self.changes.push((step, arm, rate(found.after) < rate(found.before)));
        }
        self.remember(arm);
    }

    /// What a call of a candidate cost in nano-USD; `None`: nobody knows.
    pub fn pay(&mut self, arm: usize, cost_nano: Option<u64>) {
        self.cells[arm].serve(cost_nano.map(NanoUsd), true);
        self.expected[arm] = expected_cost(Some(&self.cells[arm]), None, None, None).0.map(|cost| cost.0);
    }

    fn remember(&mut self, arm: usize) {
        let memory = &self.settings.memory;
        self.posteriors[arm] =
            self.cells[arm].remembered(self.priors[arm], memory, &self.trust, self.now, self.lessons);
        self.fit = None;
    }
}

impl Policy for Learner {
    fn choose<R: Rng>(&mut self, step: u64, rng: &mut R) -> usize {
        self.decide(step, Stratum::NONE, rng, |_| Some(None)).unwrap_or(0)
    }

    fn learn(&mut self, step: u64, arm: usize, success: bool) {
        self.tell(step, Stratum::NONE, arm, success);
    }
}
