//! The truth of a world as it stands: what candidates can do, what they cost, whether they are there. It draws what comes of
//! a call and what is told of it. It refuses to know who chooses.

use std::sync::Arc;

use super::chance::{Spread, normals, place, uniform};
use super::scenario::{CandidateWorld, Delay, DelayShape, Happening, Scenario, Telling, What};
use crate::domain::catalog::{Model, Price, Rates, ServiceTier};
use crate::domain::money::{NanoUsd, PicoUsdPerToken};
use crate::domain::pricing::Usage;
use crate::domain::time::UnixMillis;

/// Added to a seed, one for each use, so that one draw says nothing of another.
const TOKENS: u64 = 0x5449_4D45;
const FEEDBACK: u64 = 0x464B;
const TRAFFIC: u64 = 0x7254;
const CASES: u64 = 0x4341_5345;

/// A candidate as it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Chance of success now; 0 while it is down.
    pub success: f64,
    /// It is offered.
    pub offered: bool,
    /// Every call fails and costs nothing.
    pub down: bool,
    /// What a call of average length costs while it is not down, in nano-USD.
    pub mean_cost_nano: f64,
    /// The same for every call, where tokens do not vary.
    flat: Option<(Option<Usage>, u64)>,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// It succeeded.
    pub success: bool,
    /// Its tokens; `None`: its cost is told instead.
    pub usage: Option<Usage>,
    /// What it cost, in nano-USD.
    pub cost_nano: u64,
    /// How long it took.
    pub latency_ms: u64,
    /// The model was down.
    pub down: bool,
}

/// What is told of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// As what.
    pub success: bool,
    /// How long after the call.
    pub delay_ms: i64,
    /// By which of the scenario's reporters; `None`: as usual, by nobody in particular.
    pub reporter: Option<usize>,
}

/// A world as it stands.
#[derive(Clone, Debug)]
pub struct Truth<'s> {
    scenario: &'s Scenario,
    rep: u64,
    at: UnixMillis,
    /// Models with the prices they have now.
    pub models: Vec<Arc<Model>>,
    costs: Vec<Vec<Option<NanoUsd>>>,
    /// By task type and candidate.
    pub now: Vec<Vec<Standing>>,
    /// Rises whenever prices or offers change.
    pub catalogue_version: u64,
    tells_all: bool,
}

impl<'s> Truth<'s> {
    /// The world at its start, of repetition `rep`.
    #[must_use]
    pub fn new(scenario: &'s Scenario, rep: u64) -> Self {
        let standing = |c: &CandidateWorld| Standing {
            success: c.success,
            offered: c.offered,
            down: false,
            mean_cost_nano: 0.0,
            flat: None,
        };
        let mut truth = Self {
            scenario,
            rep,
            at: scenario.start,
            models: scenario.models.clone(),
            costs: scenario.tasks.iter().map(|t| t.candidates.iter().map(|c| c.cost).collect()).collect(),
            now: scenario.tasks.iter().map(|t| t.candidates.iter().map(standing).collect()).collect(),
            catalogue_version: 0,
            tells_all: scenario.feedback.reporters.is_empty() && scenario.feedback.usual == Telling::default(),
        };
        truth.price();
        truth
    }

    /// Lets something happen at `at`.
    pub fn happen(&mut self, event: &Happening, at: UnixMillis) {
        self.at = at;
        for (t, task) in self.scenario.tasks.iter().enumerate() {
            if event.task.is_some_and(|only| only != t) {
                continue;
            }
            for (c, candidate) in task.candidates.iter().enumerate().filter(|(_, c)| c.model == event.model) {
                let standing = &mut self.now[t][c];
                match event.what {
                    What::Success(rate) => {
                        (standing.success, standing.down) = (rate.unwrap_or(candidate.success), false);
                    }
                    What::Outage => (standing.success, standing.down) = (0.0, true),
                    What::Offered(offered) => standing.offered = offered,
                    What::PriceFactor(factor) => {
                        let scaled = |cost: NanoUsd| NanoUsd((cost.0 as f64 * factor).round() as u64);
                        self.costs[t][c] = self.costs[t][c].map(scaled);
                    }
                    What::Price(_) => self.costs[t][c] = None,
                }
            }
        }
        match event.what {
            What::PriceFactor(factor) => self.reprice(event.model, at, |rates| scaled(rates, factor)),
            What::Price(rates) => self.reprice(event.model, at, |_| rates),
            What::Offered(_) => self.catalogue_version += 1,
            What::Success(_) | What::Outage => {}
        }
        self.price();
    }

    fn reprice(&mut self, model: usize, at: UnixMillis, rates: impl Fn(Rates) -> Rates) {
        self.catalogue_version += 1;
        let mut changed = (*self.models[model]).clone();
        let last = changed.price_at(ServiceTier::Standard, at).cloned();
        if let Some(last) = last {
            changed.prices.push(Price { from: at, rates: rates(last.rates), tiers: Vec::new(), ..last });
        }
        self.models[model] = Arc::new(changed);
    }

    /// Works out what calls cost on average, and which cost the same every time.
    fn price(&mut self) {
        for (t, task) in self.scenario.tasks.iter().enumerate() {
            for (c, candidate) in task.candidates.iter().enumerate() {
                let usage = usage(candidate, [0.0; 2], true);
                let cost = self.cost(t, c, usage);
                let standing = &mut self.now[t][c];
                standing.mean_cost_nano = cost as f64;
                let fixed = candidate.input.sigma == 0.0 && candidate.output.sigma == 0.0;
                let usage = self.costs[t][c].is_none().then_some(usage);
                standing.flat = (fixed || usage.is_none()).then_some((usage, cost));
            }
        }
    }

    fn cost(&self, task: usize, candidate: usize, usage: Usage) -> u64 {
        let model = &self.models[self.scenario.tasks[task].candidates[candidate].model];
        let priced = || model.cost(&usage, ServiceTier::Standard, self.at);
        self.costs[task][candidate].or_else(priced).map_or(0, |cost| cost.0)
    }

    /// The task type of an arrival.
    #[must_use]
    pub fn task_of(&self, arrival: u64) -> usize {
        let shares = self.scenario.tasks.iter().map(|t| t.share);
        by_share(shares, self.scenario.tasks.len(), || uniform(self.scenario.seed ^ TRAFFIC, self.rep, arrival, 0))
    }

    /// The workflow of an arrival.
    #[must_use]
    pub fn workflow_of(&self, arrival: u64) -> usize {
        let shares = self.scenario.workflows.iter().map(|w| w.share);
        by_share(shares, self.scenario.workflows.len(), || uniform(self.scenario.seed ^ TRAFFIC, self.rep, arrival, 0))
    }

    /// The model of a candidate.
    #[must_use]
    pub fn model_of(&self, task: usize, candidate: usize) -> usize {
        self.scenario.tasks[task].candidates[candidate].model
    }

    /// What kind of call `subject` is; the tries of one call have the same subject. `None`: one of no case.
    #[must_use]
    pub fn case_of(&self, task: usize, subject: u64) -> Option<usize> {
        let cases = &self.scenario.tasks[task].cases;
        if cases.is_empty() {
            return None;
        }
        let mut lot = uniform(self.scenario.seed ^ CASES, self.rep, subject, 0);
        cases.iter().position(|case| {
            lot -= case.share;
            lot < 0.0
        })
    }

    /// The candidate the caller of `subject` asks for by name.
    #[must_use]
    pub fn pinned(&self, task: usize, case: Option<usize>, subject: u64) -> Option<usize> {
        let (arm, share) = self.scenario.tasks[task].cases[case?].pinned?;
        (uniform(self.scenario.seed ^ CASES, self.rep, subject, 1) < share).then_some(arm)
    }

    /// The candidate's chance of success now, at calls of that case.
    #[must_use]
    pub fn chance(&self, task: usize, candidate: usize, case: Option<usize>) -> f64 {
        let (now, world) = (self.now[task][candidate].success, &self.scenario.tasks[task]);
        let own = case.and_then(|case| world.cases[case].success[candidate]);
        own.map_or(now, |own| {
            let start = world.candidates[candidate].success;
            if start > 0.0 { (own * now / start).min(1.0) } else { own }
        })
    }

    /// The highest chance of success among the candidates offered.
    #[must_use]
    pub fn best(&self, task: usize, case: Option<usize>) -> f64 {
        let offered = self.now[task].iter().enumerate().filter(|(_, s)| s.offered);
        offered.map(|(arm, _)| self.chance(task, arm, case)).fold(0.0, f64::max)
    }

    /// What comes of the call numbered `call` where it is given to that candidate.
    #[must_use]
    pub fn outcome(&self, task: usize, candidate: usize, case: Option<usize>, call: u64) -> Outcome {
        let (seed, rep) = (self.scenario.seed, self.rep);
        let (standing, truth) = (&self.now[task][candidate], &self.scenario.tasks[task].candidates[candidate]);
        let success = uniform(seed, rep, call, candidate) < self.chance(task, candidate, case);
        let mut drawn = [0.0; 3];
        if standing.flat.is_none() || truth.latency_ms.sigma > 0.0 {
            drawn = normals(seed ^ TOKENS, place(seed ^ TOKENS, rep, call, candidate));
        }
        let latency_ms = truth.latency_ms.at(drawn[2]).round() as u64;
        let (usage, cost_nano) = if standing.down {
            (None, 0)
        } else {
            standing.flat.unwrap_or_else(|| {
                let usage = usage(truth, [drawn[0], drawn[1]], false);
                (Some(usage), self.cost(task, candidate, usage))
            })
        };
        Outcome { success, usage, cost_nano, latency_ms, down: standing.down }
    }

    /// What is told of that; `None`: nothing, ever.
    #[must_use]
    pub fn told(&self, task: usize, candidate: usize, call: u64, success: bool) -> Option<Told> {
        if self.tells_all {
            return Some(Told { success, delay_ms: 0, reporter: None });
        }
        let (seed, rep) = (self.scenario.seed ^ FEEDBACK, self.rep);
        let draw = |what: usize| uniform(seed, rep, call, candidate * 16 + what);
        let model = self.scenario.tasks[task].candidates[candidate].model;
        let mut lot = draw(0);
        let (mut telling, mut by) = (self.scenario.feedback.usual, None);
        let reporters = self.scenario.feedback.reporters.iter().enumerate();
        for (place, reporter) in reporters.filter(|(_, r)| r.model.is_none_or(|m| m == model)) {
            if lot < reporter.share {
                (telling, by) = (reporter.telling, Some(place));
                break;
            }
            lot -= reporter.share;
        }
        let missing = if success { telling.missing_successes } else { telling.missing_failures };
        if draw(1) < missing {
            return None;
        }
        let delay_ms = delay_ms(telling.delay, || draw(3), || normals::<1>(seed, place(seed, rep, call, 15))[0]);
        Some(Told { success: success != (draw(2) < telling.wrong), delay_ms, reporter: by })
    }
}

fn delay_ms(delay: Delay, uniform: impl Fn() -> f64, normal: impl Fn() -> f64) -> i64 {
    let ms = match delay.shape {
        DelayShape::Fixed => delay.mean_ms,
        DelayShape::Exponential => -delay.mean_ms * (1.0 - uniform()).ln(),
        DelayShape::LogNormal(sigma) => Spread { mean: delay.mean_ms, sigma }.at(normal()),
    };
    ms.round() as i64
}

fn usage(candidate: &CandidateWorld, drawn: [f64; 2], mean: bool) -> Usage {
    let tokens = |spread: Spread, z: f64| (if mean { spread.mean } else { spread.at(z) }).round() as u64;
    Usage { input: tokens(candidate.input, drawn[0]), output: tokens(candidate.output, drawn[1]), ..Usage::default() }
}

fn scaled(rates: Rates, factor: f64) -> Rates {
    let scale = |price: PicoUsdPerToken| PicoUsdPerToken((price.0 as f64 * factor).round() as u64);
    Rates {
        input: scale(rates.input),
        output: scale(rates.output),
        cached_input: rates.cached_input.map(scale),
        cache_write: rates.cache_write.map(scale),
    }
}

fn by_share(shares: impl Iterator<Item = f64> + Clone, count: usize, lot: impl Fn() -> f64) -> usize {
    if count <= 1 {
        return 0;
    }
    let mut left = lot() * shares.clone().sum::<f64>();
    for (index, share) in shares.enumerate() {
        left -= share;
        if left < 0.0 {
            return index;
        }
    }
    count - 1
}
