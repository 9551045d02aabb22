//! What runs came to, and what many of them come to together: means, and the middle nine tenths. It refuses to know how
//! figures are shown.

use super::scenario::Scenario;
use crate::domain::money::NANO_PER_USD;

/// Parts of equal length a run is noted in.
pub const BINS: usize = 50;

/// What a part of a run came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bin {
    /// Calls made.
    pub calls: u64,
    /// Calls that were not made, because nobody might have them.
    pub refused: u64,
    /// Calls that truly succeeded.
    pub successes: u64,
    /// What all calls cost, in nano-USD.
    pub cost_nano: u64,
    /// Σ latency, in milliseconds.
    pub latency_ms: u64,
    /// Σ of the best chance of success offered less that of the candidate taken.
    pub regret: f64,
    /// Calls given to a candidate than which none had a better chance.
    pub to_best: u64,
    /// Goals that began.
    pub goals: u64,
    /// Goals all of whose steps succeeded.
    pub accepted: u64,
    /// Goals that ended because a call was refused.
    pub given_up: u64,
    /// Calls that tried a failed step again.
    pub retries: u64,
    /// Calls of each slot: all candidates of all task types in order.
    pub taken: Vec<u64>,
}

impl Bin {
    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.refused += other.refused;
        self.successes += other.successes;
        self.cost_nano += other.cost_nano;
        self.latency_ms += other.latency_ms;
        self.regret += other.regret;
        self.to_best += other.to_best;
        self.goals += other.goals;
        self.accepted += other.accepted;
        self.given_up += other.given_up;
        self.retries += other.retries;
        self.taken.resize(self.taken.len().max(other.taken.len()), 0);
        self.taken.iter_mut().zip(&other.taken).for_each(|(a, b)| *a += b);
    }

    /// The sum of several parts.
    #[must_use]
    pub fn sum<'b>(bins: impl IntoIterator<Item = &'b Self>) -> Self {
        let mut sum = Self::default();
        bins.into_iter().for_each(|bin| sum.add(bin));
        sum
    }

    /// What they cost, in USD.
    #[must_use]
    pub fn cost_usd(&self) -> f64 {
        self.cost_nano as f64 / NANO_PER_USD as f64
    }

    /// Cost ÷ successes, in USD; `None` without a success.
    #[must_use]
    pub fn cost_per_success(&self) -> Option<f64> {
        over(self.cost_usd(), self.successes)
    }

    /// Successes ÷ calls; `None` without a call.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        over(self.successes as f64, self.calls)
    }
}

fn over(a: f64, b: u64) -> Option<f64> {
    (b > 0).then(|| a / b as f64)
}

/// What one repetition came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its parts in order.
    pub bins: Vec<Bin>,
    /// Changes of a success rate that the policy found.
    pub changes: u64,
    /// What the engine's ledger holds in the end, in nano-USD; `None`: it was not needed.
    pub ledger_nano: Option<u128>,
    /// Hours at which the rollout was taken back; `None`: there is none.
    pub rolled_back: Option<Vec<f64>>,
    /// Outcomes and tries that had to wait for their time.
    pub waited: u64,
}

impl Run {
    /// A run of nothing, in a world of so many slots.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        let bin = Bin { taken: vec![0; slots], ..Bin::default() };
        Self { bins: vec![bin; BINS], changes: 0, ledger_nano: None, rolled_back: None, waited: 0 }
    }

    /// All of it.
    #[must_use]
    pub fn all(&self) -> Bin {
        Bin::sum(&self.bins)
    }

    /// Its last fifth, when most is learned.
    #[must_use]
    pub fn last_fifth(&self) -> Bin {
        Bin::sum(&self.bins[BINS * 4 / 5..])
    }
}

/// A figure of a run.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Its name in files and conditions.
    pub name: &'static str,
    /// What it is, with its unit.
    pub meaning: &'static str,
    /// It only makes sense where there are goals.
    pub of_goals: bool,
    of: fn(&Run) -> Option<f64>,
}

impl Figure {
    /// Its value for a run; `None`: it has none.
    #[must_use]
    pub fn of(&self, run: &Run) -> Option<f64> {
        (self.of)(run)
    }

    /// The figure of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        FIGURES.iter().find(|f| f.name == name)
    }
}

const fn figure(name: &'static str, meaning: &'static str, of: fn(&Run) -> Option<f64>) -> Figure {
    Figure { name, meaning, of_goals: false, of }
}

const fn goal_figure(name: &'static str, meaning: &'static str, of: fn(&Run) -> Option<f64>) -> Figure {
    Figure { name, meaning, of_goals: true, of }
}

fn on_best(bin: &Bin) -> Option<f64> {
    over(bin.to_best as f64, bin.calls)
}

/// Every figure of a run.
pub static FIGURES: [Figure; 21] = [
    figure("calls", "calls made", |r| Some(r.all().calls as f64)),
    figure("refused", "calls not made, because nobody might have them", |r| Some(r.all().refused as f64)),
    figure("success_rate", "successes ÷ calls", |r| r.all().success_rate()),
    figure("success_rate_last_fifth", "the same in the last fifth", |r| r.last_fifth().success_rate()),
    figure("cost_usd", "what all calls cost, USD", |r| Some(r.all().cost_usd())),
    figure("cost_per_call", "cost ÷ calls, USD", |r| over(r.all().cost_usd(), r.all().calls)),
    figure("cost_per_success", "cost ÷ successes, USD", |r| r.all().cost_per_success()),
    figure("cost_per_success_last_fifth", "the same in the last fifth, USD", |r| r.last_fifth().cost_per_success()),
    figure("regret", "successes lost to always taking the best candidate on offer", |r| Some(r.all().regret)),
    figure("regret_last_fifth", "the same in the last fifth", |r| Some(r.last_fifth().regret)),
    figure("on_best_last_fifth", "share of the calls of the last fifth given to the best candidate on offer", |r| {
        on_best(&r.last_fifth())
    }),
    figure("ends_on_best", "share of runs that give it most calls of the last fifth", |r| {
        on_best(&r.last_fifth()).map(|share| f64::from(u8::from(share > 0.5)))
    }),
    figure("changes_found", "changes of a success rate that were found", |r| Some(r.changes as f64)),
    figure("roll_backs", "times the rollout was taken back", |r| Some(r.rolled_back.as_ref()?.len() as f64)),
    figure("first_roll_back_hour", "hour at which it first was", |r| r.rolled_back.as_ref()?.first().copied()),
    figure("latency_ms", "mean time a call takes, milliseconds", |r| over(r.all().latency_ms as f64, r.all().calls)),
    goal_figure("goals", "goals that began", |r| Some(r.all().goals as f64)),
    goal_figure("accepted_rate", "goals all of whose steps succeeded ÷ goals", |r| {
        over(r.all().accepted as f64, r.all().goals)
    }),
    goal_figure("cost_per_accepted_goal", "cost ÷ accepted goals, USD", |r| {
        over(r.all().cost_usd(), r.all().accepted)
    }),
    goal_figure("retries_per_goal", "calls that tried a failed step again ÷ goals", |r| {
        over(r.all().retries as f64, r.all().goals)
    }),
    goal_figure("given_up", "goals ended because a call was refused", |r| Some(r.all().given_up as f64)),
];

/// Mean, and 5th and 95th percentile, over runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Mean of the runs that have a value; `None`: none has.
    pub mean: Option<f64>,
    /// 5th percentile.
    pub low: Option<f64>,
    /// 95th percentile.
    pub high: Option<f64>,
}

impl Summary {
    /// The same with each of its values changed.
    #[must_use]
    pub fn map(self, change: fn(f64) -> f64) -> Self {
        Self { mean: self.mean.map(change), low: self.low.map(change), high: self.high.map(change) }
    }

    /// The summary of values; those that are none are left out.
    #[must_use]
    pub fn of(values: impl Iterator<Item = Option<f64>>) -> Self {
        let mut sorted: Vec<f64> = values.flatten().collect();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let at = |share: f64| sorted.get(((n as f64 * share).ceil() as usize).clamp(1, n.max(1)) - 1).copied();
        let mean = (n > 0).then(|| sorted.iter().sum::<f64>() / n as f64);
        Self { mean, low: at(0.05), high: at(0.95) }
    }
}

/// A point of the curves of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Arrivals so far.
    pub arrivals: f64,
    /// Regret so far.
    pub regret: Summary,
    /// Cost ÷ successes so far, in USD.
    pub cost_per_success: Summary,
    /// Successes ÷ calls of this part.
    pub success_rate: Option<f64>,
    /// Share of the calls of this part each slot got.
    pub shares: Vec<f64>,
}

/// The curves of a policy: a point at the end of each part.
#[must_use]
pub fn curve(scenario: &Scenario, runs: &[Run]) -> Vec<Point> {
    let mut so_far: Vec<Bin> = vec![Bin::default(); runs.len()];
    let point = |n: usize| {
        so_far.iter_mut().zip(runs).for_each(|(sum, run)| sum.add(&run.bins[n]));
        let part = Bin::sum(runs.iter().map(|run| &run.bins[n]));
        let total = part.calls.max(1) as f64;
        Point {
            arrivals: scenario.arrivals as f64 * (n + 1) as f64 / BINS as f64,
            regret: Summary::of(so_far.iter().map(|b| Some(b.regret))),
            cost_per_success: Summary::of(so_far.iter().map(Bin::cost_per_success)),
            success_rate: part.success_rate(),
            shares: part.taken.iter().map(|n| *n as f64 / total).collect(),
        }
    };
    (0..BINS).map(point).collect()
}
