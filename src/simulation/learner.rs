//! The router's own learner of one task type, without the ledger around it: cells, posteriors, draws, the rule of choice,
//! the floor and the search for changes, as the engine uses them. It refuses to know what an outcome is true of.

use rand::{Rng, RngExt as _};

use super::baselines::Policy;
use crate::domain::beta::Beta;
use crate::domain::call::CallNo;
use crate::domain::catalog::{Objective, TaskSettings};
use crate::domain::cell::Cell;
use crate::domain::choose::{Contender, Rule, select};
use crate::domain::draw::draw_beta;
use crate::domain::drift;
use crate::domain::history::Lesson;
use crate::domain::time::UnixMillis;

/// Milliseconds between two steps of a world that has no clock of its own.
const STEP_MS: i64 = 1_000;

/// The cells of one task type and how it chooses.
#[derive(Clone, Debug)]
pub struct Learner {
    settings: TaskSettings,
    rule: Rule,
    cells: Vec<Cell>,
    posteriors: Vec<Beta>,
    contenders: Vec<Contender>,
    lessons: u64,
    now: UnixMillis,
    /// Changes found so far: (step, candidate, whether the rate fell).
    pub changes: Vec<(u64, usize, bool)>,
}

impl Learner {
    /// A learner that knows nothing yet of candidates with these expected costs in nano-USD.
    #[must_use]
    pub fn new(settings: TaskSettings, expected_cost_nano: &[Option<u64>]) -> Self {
        let rule = match settings.objective {
            Objective::Success => Rule::Tolerance { tolerance: settings.tolerance },
            Objective::NetValue => {
                Rule::NetValue { value_usd: settings.value.usd(), failure_cost_usd: settings.failure_cost.usd() }
            }
        };
        let costs = expected_cost_nano.iter().enumerate();
        let contenders =
            costs.map(|(index, &expected_cost_nano)| Contender { index, theta: 0.0, expected_cost_nano }).collect();
        let cells = vec![Cell::default(); expected_cost_nano.len()];
        let posteriors = cells.iter().map(|c| c.posterior(settings.prior)).collect();
        let (lessons, now, changes) = (0, UnixMillis(0), Vec::new());
        Self { settings, rule, cells, posteriors, contenders, lessons, now, changes }
    }

    fn remember(&mut self, arm: usize) {
        let TaskSettings { prior, memory, .. } = self.settings;
        self.posteriors[arm] = self.cells[arm].remembered(prior, &memory, self.now, self.lessons);
    }
}

impl Policy for Learner {
    fn choose<R: Rng>(&mut self, step: u64, rng: &mut R) -> usize {
        self.now = UnixMillis(step as i64 * STEP_MS);
        if !self.settings.memory.is_perfect() {
            (0..self.cells.len()).for_each(|arm| self.remember(arm));
        }
        for (contender, posterior) in self.contenders.iter_mut().zip(&self.posteriors) {
            contender.theta = draw_beta(rng, *posterior);
        }
        let (coin, lot) = (rng.random(), rng.random());
        select(&self.contenders, self.rule, self.settings.exploration_floor, coin, lot).map_or(0, |(arm, _)| arm)
    }

    fn learn(&mut self, step: u64, arm: usize, success: bool) {
        let (call, at, number) = (CallNo(step + 1), self.now, self.lessons);
        let reward_micro = if success { 1_000_000 } else { 0 };
        self.cells[arm].learn(&Lesson { call, at, number, reward_micro, success }, true);
        self.lessons += 1;
        if self.settings.detects_changes
            && drift::is_due(&self.cells[arm])
            && let Some(found) = drift::find(&self.cells[arm].history)
        {
            self.cells[arm].forget(found.keep_from, at);
            let rate = |(s, n): (u64, u64)| s as f64 / n.max(1) as f64;
            self.changes.push((step, arm, rate(found.after) < rate(found.before)));
        }
        self.remember(arm);
    }
}
