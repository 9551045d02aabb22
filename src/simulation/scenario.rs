//! What a scenario says: who calls, what candidates truly are, what happens on the way, what of it is told, and who chooses.
//! It refuses to know how a scenario is written and how it is played.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chance::Spread;
use super::rollout::Plan;
use crate::domain::budget::Budgets;
use crate::domain::catalog::{Model, Objective, Rates, Reward, TaskSettings};
use crate::domain::money::NanoUsd;
use crate::domain::names::Labels;
use crate::domain::time::{HOUR_MS, UnixMillis};

/// A world and the policies that are tried in it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it is about, in a sentence.
    pub about: String,
    /// Seed of everything drawn.
    pub seed: u64,
    /// Calls that arrive; goals where there are workflows.
    pub arrivals: u64,
    /// Arrivals in an hour of the virtual clock; > 0.
    pub per_hour: f64,
    /// When the virtual clock begins.
    pub start: UnixMillis,
    /// Times it is played with each policy.
    pub replications: u32,
    /// Labels of every call.
    pub labels: Labels,
    /// Every model that is a candidate somewhere, with the price rows in force at the start.
    pub models: Vec<Arc<Model>>,
    /// Task types.
    pub tasks: Vec<TaskWorld>,
    /// Kinds of goals; empty: single calls arrive.
    pub workflows: Vec<Workflow>,
    /// What happens on the way, in the order of the arrivals.
    pub events: Vec<Happening>,
    /// What is told of outcomes, and when.
    pub feedback: Feedback,
    /// Budgets.
    pub budgets: Arc<Budgets>,
    /// How the router is rolled out; `None`: it serves everything.
    pub rollout: Option<Plan>,
    /// Who chooses.
    pub policies: Vec<Policy>,
}

/// A task type: its traffic, and what its candidates truly are.
#[derive(Clone, Debug)]
pub struct TaskWorld {
    /// Its name.
    pub id: Arc<str>,
    /// Its share of the calls; shares need not add up to 1.
    pub share: f64,
    /// How the router treats it.
    pub settings: TaskSettings,
    /// Its candidates.
    pub candidates: Vec<CandidateWorld>,
    /// Kinds of calls that are harder (or easier) than the others; their shares add up to at most 1.
    pub cases: Vec<Case>,
}

/// A kind of calls of a task type. A call that is tried again stays what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Its share of the calls, in [0, 1].
    pub share: f64,
    /// Chance of success there at the start, by candidate; `None`: as in any call. What happens to a candidate changes this
    /// in the same proportion.
    pub success: Vec<Option<f64>>,
    /// The candidate that callers ask for by name, and in which share of these calls; only of single calls. No policy chooses
    /// there, and no figure counts them.
    pub pinned: Option<(usize, f64)>,
    /// Numbers the caller sends with these calls.
    pub features: BTreeMap<String, f64>,
    /// Labels of these calls, beside those of all.
    pub labels: Labels,
}

/// The truth of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateWorld {
    /// Place of its model among those of the scenario.
    pub model: usize,
    /// Chance of success at the start, in [0, 1].
    pub success: f64,
    /// Input tokens of a call.
    pub input: Spread,
    /// Output tokens of a call.
    pub output: Spread,
    /// What a call costs whatever its tokens, reported by the caller; `None`: tokens × price.
    pub cost: Option<NanoUsd>,
    /// How long a call takes, in milliseconds.
    pub latency_ms: Spread,
    /// Whether it is offered from the start; else an event has to bring it.
    pub offered: bool,
}

/// A kind of goal: steps in order, each tried again when it fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// Its name.
    pub id: String,
    /// Its share of the goals; shares need not add up to 1.
    pub share: f64,
    /// Steps in order: name, and place of the task type.
    pub steps: Vec<(String, usize)>,
    /// Tries a step has; ≥ 1.
    pub attempts: u32,
    /// A failed step is tried again on the first fallback its decision offered, without asking anew; only of the router.
    pub falls_back: bool,
}

/// Something that happens just before an arrival.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// The arrival it comes before; 0 is the first.
    pub at: u64,
    /// The model it happens to.
    pub model: usize,
    /// The task type it is limited to; `None`: all.
    pub task: Option<usize>,
    /// What.
    pub what: What,
}

/// What may happen to a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// Its chance of success is this from now on; `None`: that of the start. An outage ends.
    Success(Option<f64>),
    /// Every call fails and costs nothing, until its success is set again.
    Outage,
    /// Its prices are multiplied.
    PriceFactor(f64),
    /// Its prices are these.
    Price(Rates),
    /// It is offered (or not) from now on.
    Offered(bool),
}

/// What is told of outcomes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Feedback {
    /// What holds where no reporter is concerned.
    pub usual: Telling,
    /// Sources of outcomes that tell otherwise; the first that is drawn tells.
    pub reporters: Vec<Reporter>,
}

/// A source of outcomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Reporter {
    /// Its name.
    pub name: String,
    /// The model it tells of; `None`: all.
    pub model: Option<usize>,
    /// The share of those calls that it tells of, in [0, 1].
    pub share: f64,
    /// How it tells.
    pub telling: Telling,
}

/// How outcomes are told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Telling {
    /// Time from the call to its outcome.
    pub delay: Delay,
    /// Share of successes never told, in [0, 1].
    pub missing_successes: f64,
    /// Share of failures never told, in [0, 1].
    pub missing_failures: f64,
    /// Share of outcomes told as their opposite, in [0, 1].
    pub wrong: f64,
}

/// A time until an outcome is told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Delay {
    /// Its mean in milliseconds.
    pub mean_ms: f64,
    /// How it is spread.
    pub shape: DelayShape,
}

/// How delays are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum DelayShape {
    /// Always the mean.
    #[default]
    Fixed,
    /// Exponentially.
    Exponential,
    /// Log-normally, with this standard deviation of the logarithm.
    LogNormal(f64),
}

/// Someone who chooses.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// How it chooses.
    pub kind: Kind,
    /// Whether the scenario's budgets are in force.
    pub keeps_budgets: bool,
    /// Whether the scenario's rollout is, where it is the router.
    pub keeps_rollout: bool,
}

/// How a policy chooses.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// The router, with these settings of each task type.
    Router(Vec<TaskSettings>),
    /// Always this model.
    Always(usize),
    /// The candidate that truly costs least.
    Cheapest,
    /// The candidate that truly costs most.
    Dearest,
    /// The candidate that truly succeeds most often, the cheaper of equals: it knows everything but the single outcome.
    Oracle,
    /// A policy of the literature, by its name in [`Baseline::named`](super::baselines::Baseline::named), or `epsilon_greedy=ε`.
    Textbook(String),
}

impl Scenario {
    /// When an arrival comes; the clock never runs backwards.
    #[must_use]
    pub fn time_of(&self, arrival: u64) -> UnixMillis {
        self.start.plus_ms((arrival as f64 * HOUR_MS as f64 / self.per_hour) as i64)
    }

    /// Whether a policy is played through the whole engine, with its ledger: wherever money, goals or the catalogue decide.
    /// Otherwise the router's learner is enough: the same cells, draws, rule and search for changes, and ten times as fast.
    #[must_use]
    pub fn needs_ledger(&self, policy: &Policy) -> bool {
        let catalogue = self.events.iter().any(|e| !matches!(e.what, What::Success(_) | What::Outage));
        let pinned = self.tasks.iter().flat_map(|t| &t.cases).any(|case| case.pinned.is_some());
        let world = catalogue || pinned || !self.workflows.is_empty() || !self.budgets.all.is_empty();
        let plain = |s: &TaskSettings| {
            s.max_cost.is_none()
                && s.min_success_rate == 0.0
                && s.sibling_prior == 0
                && s.reward == Reward::Success
                && !s.learns_from_goal
                && s.rules.is_empty()
                && (s.objective == Objective::Success || s.value > NanoUsd::ZERO)
        };
        let router = matches!(&policy.kind, Kind::Router(settings) if !settings.iter().all(plain));
        let money = !self.workflows.is_empty() || !self.budgets.all.is_empty();
        match policy.kind {
            Kind::Router(_) => world || router || (self.rollout.is_some() && policy.keeps_rollout),
            // Others meet the ledger where it may refuse them; prices and offers they see by themselves.
            _ => money,
        }
    }

    /// What a caller says of a call of that case: the numbers it sends, and all labels.
    #[must_use]
    pub fn said(&self, task: usize, case: Option<usize>) -> (BTreeMap<String, f64>, Labels) {
        let mut labels = self.labels.clone();
        let Some(case) = case.map(|case| &self.tasks[task].cases[case]) else { return (BTreeMap::new(), labels) };
        labels.extend(case.labels.clone());
        (case.features.clone(), labels)
    }

    /// Task type and candidate of every slot: all candidates of all task types in order.
    pub fn slots(&self) -> impl Iterator<Item = (&TaskWorld, &CandidateWorld)> {
        self.tasks.iter().flat_map(|task| task.candidates.iter().map(move |c| (task, c)))
    }
}
