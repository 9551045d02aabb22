//! Fixed bandit problems: rewards that are a pure function of (seed, repetition, step, candidate), so that every policy, here
//! or elsewhere, meets the same ones. It refuses to know files.

use super::baselines::{Baseline, Policy};
use super::chance::{place, uniform};
use super::learner::Learner;
use super::runner::replicate;
use crate::domain::catalog::TaskSettings;
use crate::domain::draw::decision_rng;
use crate::domain::history::Memory;
use crate::domain::strata::{STRATA_MAX, Stratum};

/// Success rates from a step on.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// The first step it is in force at.
    pub start: u64,
    /// Success probability of each candidate, in [0, 1].
    pub rates: Vec<f64>,
}

/// One problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Its name.
    pub id: String,
    /// Seed of its rewards.
    pub seed: u64,
    /// Steps.
    pub steps: u64,
    /// An outcome is told just before the decision this many steps later; 0: at once.
    pub delay: u64,
    /// The share of outcomes never told, in [0, 1].
    pub missing: f64,
    /// In force from their starts on, in rising order; the first starts at 0.
    pub segments: Vec<Segment>,
    /// Cost of a call of each candidate in nano-USD.
    pub cost_nano: Vec<u64>,
}

/// Added to the seed for the choice of what is never told.
const MISSING_SEED: u64 = 7_777;

/// Steps at which the regret is noted besides the end.
pub const NOTED_AT: [u64; 2] = [300, 1_000];

impl Problem {
    /// Success rates in force at `step`.
    #[must_use]
    pub fn rates(&self, step: u64) -> &[f64] {
        let at = self.segments.partition_point(|s| s.start <= step);
        self.segments.get(at.saturating_sub(1)).map_or(&[], |s| &s.rates)
    }

    /// Whether a call of `arm` succeeds at `step` of repetition `rep`.
    #[must_use]
    pub fn succeeds(&self, rep: u64, step: u64, arm: usize) -> bool {
        uniform(self.seed, rep, step, arm) < self.rates(step)[arm]
    }

    /// Whether that outcome is told.
    #[must_use]
    pub fn is_told(&self, rep: u64, step: u64, arm: usize) -> bool {
        self.missing <= 0.0 || uniform(self.seed + MISSING_SEED, rep, step, arm) >= self.missing
    }

    /// Runs one repetition of a policy; `policy` is asked and told in the order of the steps.
    pub fn run(&self, rep: u64, policy: &mut impl Policy, policy_seed: u64) -> Run {
        let mut run = Run::default();
        let mut pending: std::collections::VecDeque<(u64, usize)> = std::collections::VecDeque::new();
        for step in 0..self.steps {
            if let Some(at) = NOTED_AT.iter().position(|n| *n == step) {
                run.regret_at[at] = run.regret;
            }
            while let Some((told, arm)) = pending.front().copied().filter(|(told, _)| told + self.delay <= step) {
                pending.pop_front();
                policy.learn(told, arm, self.succeeds(rep, told, arm));
            }
            let arm = policy.choose(step, &mut decision_rng(policy_seed ^ rep, step));
            let rates = self.rates(step);
            run.regret += rates.iter().copied().fold(0.0, f64::max) - rates[arm];
            run.cost_nano += self.cost_nano[arm];
            let success = self.succeeds(rep, step, arm);
            run.successes += u64::from(success);
            if !self.is_told(rep, step, arm) {
                continue;
            }
            if self.delay == 0 { policy.learn(step, arm, success) } else { pending.push_back((step, arm)) }
        }
        run
    }
}

/// What one repetition came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Run {
    /// Σ over steps of the best rate in force less that of the candidate taken.
    pub regret: f64,
    /// The same after the steps of [`NOTED_AT`].
    pub regret_at: [f64; 2],
    /// Calls that succeeded.
    pub successes: u64,
    /// What all calls cost.
    pub cost_nano: u64,
}

/// Policies by name: the router's own and the baselines.
pub const POLICIES: [&str; 8] =
    ["default", "shipped", "plain", "thompson", "ucb1", "klucb", "epsilon_greedy", "uniform"];

/// Runs `reps` repetitions of the policy of that name; `None`: there is none of that name.
///
/// `default`: change detection, η = 0.01, ε = 0; `shipped`: the same with ε = 0.01; `plain`: neither detection nor η nor ε;
/// `half_life=N`: `default` with evidence that halves every N outcomes; `noise=N`: `default` with a feature of N values, at most
/// 64, that says nothing.
#[must_use]
pub fn run_all(problem: &Problem, name: &str, reps: usize, seed: u64, done: impl Fn() + Sync) -> Option<Vec<Run>> {
    let arms = problem.cost_nano.len();
    if let Some(("noise", values)) = name.split_once('=') {
        let values = values.parse().ok().filter(|n| (1..=STRATA_MAX as u64).contains(n))?;
        let costs: Vec<Option<u64>> = problem.cost_nano.iter().copied().map(Some).collect();
        let run = |rep: usize| {
            let learner = Learner::new(settings_named("default").unwrap_or_default(), &costs);
            problem.run(rep as u64, &mut Noisy { learner, values, rep: rep as u64 }, seed)
        };
        return Some(replicate(reps, run, done));
    }
    if let Some(settings) = settings_named(name) {
        let costs: Vec<Option<u64>> = problem.cost_nano.iter().copied().map(Some).collect();
        let run = |rep: usize| problem.run(rep as u64, &mut Learner::new(settings.clone(), &costs), seed);
        return Some(replicate(reps, run, done));
    }
    let blank = Baseline::named(name, arms)?;
    Some(replicate(reps, |rep| problem.run(rep as u64, &mut blank.clone(), seed), done))
}

/// The router's own learner where requests have a feature that says nothing.
struct Noisy {
    learner: Learner,
    values: u64,
    rep: u64,
}

/// Seed of values that say nothing.
const NOISE_SEED: u64 = 0x4E4F_4953;

impl Noisy {
    fn stratum(&self, step: u64) -> Stratum {
        Stratum((place(NOISE_SEED, self.rep, step, 0) % self.values) as u32 + 1)
    }
}

impl Policy for Noisy {
    fn choose<R: rand::Rng>(&mut self, step: u64, rng: &mut R) -> usize {
        self.learner.decide(step, self.stratum(step), rng, |_| Some(None)).unwrap_or(0)
    }

    fn learn(&mut self, step: u64, arm: usize, success: bool) {
        self.learner.tell(step, self.stratum(step), arm, success);
    }
}

/// Settings of the router's own learner by name; see [`run_all`].
#[must_use]
pub fn settings_named(name: &str) -> Option<TaskSettings> {
    let base = TaskSettings { tolerance: 0.0, ..TaskSettings::default() };
    match name.split_once('=') {
        None => match name {
            "default" => Some(base),
            "shipped" => Some(TaskSettings::default()),
            "plain" => Some(TaskSettings { exploration_floor: 0.0, detects_changes: false, ..base }),
            _ => None,
        },
        Some(("half_life", outcomes)) => {
            let memory = Memory { half_life_outcomes: outcomes.parse().ok()?, ..Memory::default() };
            Some(TaskSettings { memory, ..base })
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Problem {
        Problem {
            id: "two".to_owned(),
            seed: 1001,
            steps: 10_000,
            delay: 0,
            missing: 0.0,
            segments: vec![Segment { start: 0, rates: vec![0.95, 0.97] }],
            cost_nano: vec![69_000, 2_100_000],
        }
    }

    #[test]
    fn rewards_are_those_of_everybody() {
        // Successes of repetitions 0 and 1 of the published problem with seed 1001.
        let problem = two();
        let won = |arm| {
            (0..2)
                .flat_map(|rep| (0..10_000).map(move |t| (rep, t)))
                .filter(|(rep, t)| problem.succeeds(*rep, *t, arm))
                .count()
        };
        assert_eq!([won(0), won(1)], [19_039, 19_396]);
    }

    #[test]
    fn the_same_seed_gives_the_same_run_and_every_name_is_known() {
        let problem = Problem { steps: 500, ..two() };
        for name in POLICIES.into_iter().chain(["half_life=100", "noise=4"]) {
            let runs = || run_all(&problem, name, 3, 7, || ()).unwrap();
            assert_eq!(runs(), runs(), "{name}");
        }
        assert!(run_all(&problem, "nobody", 1, 7, || ()).is_none());
        for name in ["half_life=x", "noise=0", "noise=65"] {
            assert!(run_all(&problem, name, 1, 7, || ()).is_none(), "{name}");
        }
    }

    #[test]
    fn a_delayed_outcome_is_told_just_before_its_decision() {
        struct Spy(Vec<(u64, u64)>, u64);
        impl Policy for Spy {
            fn choose<R: rand::Rng>(&mut self, step: u64, _: &mut R) -> usize {
                self.1 = step;
                0
            }
            fn learn(&mut self, step: u64, _: usize, _: bool) {
                self.0.push((step, self.1));
            }
        }
        let mut spy = Spy(Vec::new(), 0);
        Problem { steps: 103, delay: 100, ..two() }.run(0, &mut spy, 1);
        assert_eq!(spy.0, [(0, 99), (1, 100), (2, 101)]);
    }
}
