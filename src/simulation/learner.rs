//! The router's own learner of one task type, without the ledger around it: cells, posteriors, draws, the rule of choice,
//! the floor and the search for changes, as the engine uses them. It refuses to know what an outcome is true of.

use rand::{Rng, RngExt as _};

use super::baselines::Policy;
use crate::domain::beta::Beta;
use crate::domain::call::CallNo;
use crate::domain::catalog::{Prior, TaskSettings};
use crate::domain::cell::{Cell, expected_cost, sibling_prior};
use crate::domain::choose::{Contender, Rule, choose_by_mean, select};
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

    /// Goes by other settings from now on, with these priors; `trust` says how far sources are believed, by the numbers that
    /// lessons have for them.
    pub fn go_by(&mut self, settings: TaskSettings, priors: Vec<Prior>, trust: Trust) {
        (self.rule, self.settings, self.priors, self.trust) = (settings.rule(), settings, priors, trust);
        (0..self.cells.len()).for_each(|arm| self.remember(arm));
    }

    /// What a candidate starts from: `base`, and what it did at other task types where the settings say that this counts.
    #[must_use]
    pub fn prior_beside<'c>(&self, base: Prior, others: impl Iterator<Item = &'c Cell>) -> Prior {
        let believed = others.map(|cell| cell.believed_evidence(base, &self.trust));
        sibling_prior(base, self.settings.sibling_prior, believed)
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
        self.decide_at(UnixMillis((step as f64 * self.step_ms) as i64), stratum, rng, offer)
    }

    /// The same at an instant, where the world has a clock.
    pub fn decide_at<R: Rng>(
        &mut self,
        now: UnixMillis,
        stratum: Stratum,
        rng: &mut R,
        offer: impl Fn(usize) -> Option<Option<u64>>,
    ) -> Option<usize> {
        self.bring_up(now, stratum);
        self.contenders.clear();
        for index in 0..self.cells.len() {
            // Drawn for every candidate, as the engine does, so that an offer does not change what is drawn.
            let theta = draw_beta(rng, self.posterior_in(index, stratum));
            if let Some(estimate) = offer(index) {
                let expected_cost_nano = self.expected[index].or(estimate);
                self.contenders.push(Contender { index, theta, expected_cost_nano });
            }
        }
        let (coin, lot) = (rng.random(), rng.random());
        select(&self.contenders, self.rule, self.settings.exploration_floor, coin, lot).map(|(arm, _)| arm)
    }

    /// The candidate to take at an instant where the step cannot be undone: the best mean of those that `offer` has, as for
    /// [`Learner::decide`].
    pub fn decide_by_mean(
        &mut self,
        now: UnixMillis,
        stratum: Stratum,
        offer: impl Fn(usize) -> Option<Option<u64>>,
    ) -> Option<usize> {
        self.bring_up(now, stratum);
        let contender = |index: usize| {
            let expected_cost_nano = self.expected[index].or(offer(index)?);
            Some(Contender { index, theta: 0.0, expected_cost_nano })
        };
        let eligible: Vec<Contender> = (0..self.cells.len()).filter_map(contender).collect();
        choose_by_mean(&eligible, |arm| self.posterior_in(arm, stratum).mean())
    }

    /// Brings what ages, and what is known of `stratum`, up to date.
    fn bring_up(&mut self, now: UnixMillis, stratum: Stratum) {
        self.now = now;
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
    }

    fn posterior_in(&self, arm: usize, stratum: Stratum) -> Beta {
        let fit = self.fit.as_ref().filter(|_| stratum != Stratum::NONE);
        fit.map_or(self.posteriors[arm], |fit| fit.posterior(arm, stratum))
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
        let lesson = Lesson { call, at, number, reward_micro, success, stratum, source };
        if let Some(fell) = self.teach(arm, &lesson, true) {
            self.changes.push((step, arm, fell));
        }
    }

    /// Adds what an outcome teaches of a candidate, or takes it back where another truth takes its place, and looks for a change
    /// where a look is due. Answers with whether the rate fell, where one was found.
    pub fn teach(&mut self, arm: usize, lesson: &Lesson, add: bool) -> Option<bool> {
        let before = self.cells[arm].lessons;
        let cell = &mut self.cells[arm];
        cell.learn(&Lesson { number: self.lessons, ..*lesson }, add);
        self.lessons = self.lessons + cell.lessons - before;
        let is_due = add && cell.take_look() && self.settings.detects_changes;
        let found = if is_due { drift::find(&cell.history.for_changes(&self.trust)) } else { None };
        if let Some(found) = &found {
            cell.forget(found.keep_from, lesson.at);
        }
        self.remember(arm);
        let rate = |(s, n): (u64, u64)| s as f64 / n.max(1) as f64;
        found.map(|found| rate(found.after) < rate(found.before))
    }

    /// Sets the evidence of calls before `from` aside, as a person may.
    pub fn forget(&mut self, arm: usize, from: CallNo, at: UnixMillis) {
        self.cells[arm].forget(from, at);
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
