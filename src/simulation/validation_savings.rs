//! Whether the intervals of savings hold the truth while the served arm learns and the holdout does not: goals whose calls
//! resemble each other, shares that grow while the work changes, and worlds in which there is nothing to save. It refuses to
//! know how that is shown.

use rand::RngExt as _;

use super::baselines::Policy as _;
use super::learner::Learner;
use super::runner::replicate;
use crate::domain::catalog::TaskSettings;
use crate::domain::draw::{DecisionRng, decision_rng};
use crate::domain::proof::ProofTally;
use crate::domain::strata::Stratum;
use crate::domain::uplift::{Slice, uplift};

/// Goals in one span of time: an hour's.
const GOALS_AT_ONCE: u64 = 25;

/// Tries of a goal.
const TRIES: u32 = 3;

/// In hard goals every call succeeds so much less often.
const HARD_BY: f64 = 0.15;

/// A task type that is rolled out: its first candidate is the one held out on.
#[derive(Clone, Debug, PartialEq)]
pub struct SavingsWorld {
    /// Chance of success of each candidate in an easy goal, in [0.15, 1]; half of all goals are hard.
    pub rates: Vec<f64>,
    /// Mean cost of a call of each, in nano-USD.
    pub costs: Vec<u64>,
    /// Goals that begin.
    pub goals: u64,
    /// Share of them held out.
    pub held_out: f64,
    /// Half-way the served share rises from a tenth to all, and every call costs three times as much.
    pub grows: bool,
}

/// Shares of runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SavingsShare {
    /// In which the interval of the cost held the truth, of all that were compared.
    pub cost: f64,
    /// The same of the acceptance.
    pub acceptance: f64,
    /// The same of the cost, had all time been one stratum.
    pub cost_in_one: f64,
    /// The same of the cost of a call, had calls been counted as if each were drawn for itself.
    pub cost_by_call: f64,
    /// In which something was called saved.
    pub saved: f64,
    /// In which the arms were compared: both had enough units.
    pub compared: f64,
}

/// What one run came to.
#[derive(Clone, Copy, Debug)]
struct Run {
    cost: bool,
    acceptance: bool,
    cost_in_one: bool,
    cost_by_call: bool,
    saved: bool,
}

/// Plays `reps` runs.
#[must_use]
pub fn savings_share(world: &SavingsWorld, reps: usize, seed: u64) -> SavingsShare {
    let runs = replicate(reps, |rep| run(world, seed ^ (rep as u64).wrapping_mul(0x9E37_79B9)), || ());
    let compared: Vec<Run> = runs.into_iter().flatten().collect();
    let share = |of: fn(&Run) -> bool| compared.iter().filter(|r| of(r)).count() as f64 / compared.len().max(1) as f64;
    SavingsShare {
        cost: share(|r| r.cost),
        acceptance: share(|r| r.acceptance),
        cost_in_one: share(|r| r.cost_in_one),
        cost_by_call: share(|r| r.cost_by_call),
        saved: share(|r| r.saved),
        compared: compared.len() as f64 / reps.max(1) as f64,
    }
}

/// What is expected of a goal given to one candidate: its cost, its calls, and whether it is accepted.
#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    cost: f64,
    calls: f64,
    accepted: f64,
}

impl SavingsWorld {
    /// Half of the goals are hard; a goal is tried until it succeeds or is given up.
    fn expected(&self, arm: usize, dearer: f64) -> Expected {
        let mean = |of: fn(f64) -> f64| (of(1.0 - self.rates[arm]) + of(1.0 - self.rates[arm] + HARD_BY)) / 2.0;
        let calls = mean(|q| 1.0 + q + q * q);
        Expected { cost: self.costs[arm] as f64 * dearer * calls, calls, accepted: mean(|q| 1.0 - q * q * q) }
    }
}

/// Sums over the served goals of what was expected of them, and of what would have been, had they been held out.
#[derive(Clone, Copy, Debug, Default)]
struct Truth {
    goals: f64,
    served: Expected,
    held_out: Expected,
}

impl Truth {
    fn add(&mut self, served: Expected, held_out: Expected) {
        self.goals += 1.0;
        for (sum, one) in [(&mut self.served, served), (&mut self.held_out, held_out)] {
            *sum = Expected {
                cost: sum.cost + one.cost,
                calls: sum.calls + one.calls,
                accepted: sum.accepted + one.accepted,
            };
        }
    }
}

fn run(world: &SavingsWorld, seed: u64) -> Option<Run> {
    let costs: Vec<Option<u64>> = world.costs.iter().map(|cost| Some(*cost)).collect();
    let mut learner = Learner::new(TaskSettings::default(), &costs);
    let (mut slices, mut by_call) = (Vec::new(), Slice::default());
    let mut truth = Truth::default();
    for goal in 0..world.goals {
        if goal % GOALS_AT_ONCE == 0 {
            slices.push(Slice::default());
        }
        let mut rng = decision_rng(seed, goal);
        let later = world.grows && goal >= world.goals / 2;
        let dearer = if later { 3.0 } else { 1.0 };
        let holds = rng.random::<f64>() < world.held_out;
        if !holds && world.grows && !later && rng.random::<f64>() >= 0.1 {
            continue; // The caller's own choice, which is in neither arm.
        }
        let chosen = learner.choose(goal, &mut rng);
        let arm = if holds { 0 } else { chosen };
        let (calls, accepted) = play(world, arm, dearer, &mut rng);
        // Only the first try teaches.
        learner.pay(arm, Some(calls[0]));
        learner.tell(goal, Stratum::NONE, arm, accepted && calls.len() == 1);
        if !holds {
            truth.add(world.expected(arm, dearer), world.expected(0, dearer));
        }
        if let Some(slice) = slices.last_mut() {
            count(slice, holds, accepted, calls.iter().sum());
        }
        let last = calls.len() - 1;
        calls.iter().enumerate().for_each(|(i, cost)| count(&mut by_call, holds, accepted && i == last, *cost));
    }
    judge(&slices, by_call, &truth)
}

/// Costs of the tries of a goal, and whether the last one succeeded. Tries of one goal cost alike.
fn play(world: &SavingsWorld, arm: usize, dearer: f64, rng: &mut DecisionRng) -> (Vec<u64>, bool) {
    let hard = if rng.random::<f64>() < 0.5 { HARD_BY } else { 0.0 };
    // Exponential with the mean 1: some goals are many times as long as others.
    let length = -(1.0 - rng.random::<f64>()).ln();
    let cost = (world.costs[arm] as f64 * dearer * length).round() as u64;
    let mut calls = Vec::new();
    for _ in 0..TRIES {
        calls.push(cost);
        if rng.random::<f64>() < world.rates[arm] - hard {
            return (calls, true);
        }
    }
    (calls, false)
}

fn count(slice: &mut Slice, holds: bool, accepted: bool, cost: u64) {
    let of: &mut ProofTally = if holds { &mut slice.held_out } else { &mut slice.served };
    let wide = i128::from(cost);
    (of.units, of.accepted, of.costed) = (of.units + 1, of.accepted + i64::from(accepted), of.costed + 1);
    (of.cost, of.cost_squared) = (of.cost + wide, of.cost_squared + wide * wide);
}

fn judge(slices: &[Slice], by_call: Slice, truth: &Truth) -> Option<Run> {
    let margin = TaskSettings::default().flag_margin;
    let mut in_one = Slice::default();
    slices.iter().for_each(|slice| in_one.add(slice));
    let found = uplift(slices, margin);
    let [in_one, by_call] = [in_one, by_call].map(|of| uplift(&[of], margin).saved_nano);
    let (found, acceptance) = (found.saved_nano.ok()?, found.acceptance.ok()?);
    let holds = |interval: (f64, f64), truth: f64| (interval.0..=interval.1).contains(&truth);
    let (served, held_out) = (truth.served, truth.held_out);
    let saved = (held_out.cost - served.cost) / truth.goals;
    let of_a_call = held_out.cost / held_out.calls - served.cost / served.calls;
    Some(Run {
        cost: holds(found.interval, saved),
        acceptance: holds(acceptance.interval, (served.accepted - held_out.accepted) / truth.goals),
        cost_in_one: holds(in_one.ok()?.interval, saved),
        cost_by_call: holds(by_call.ok()?.interval, of_a_call),
        saved: found.interval.0 > 0.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(grows: bool) -> SavingsWorld {
        SavingsWorld { rates: vec![0.95, 0.94], costs: vec![2_100_000, 700_000], goals: 2_000, held_out: 0.2, grows }
    }

    #[test]
    fn intervals_hold_the_truth_about_as_often_as_they_say_and_strata_are_needed() {
        let steady = savings_share(&world(false), 200, 1);
        assert!((0.83..0.97).contains(&steady.cost) && (0.83..0.97).contains(&steady.acceptance), "{steady:?}");
        assert!(steady.saved > 0.7 && steady.compared == 1.0, "two thirds are to be saved: {steady:?}");
        let grows = savings_share(&world(true), 200, 1);
        assert!((0.83..0.98).contains(&grows.cost), "{grows:?}");
        assert!(grows.cost_in_one < 0.5, "without strata the growth deceives: {grows:?}");
    }

    #[test]
    fn where_nothing_is_to_be_saved_little_is_called_saved() {
        let equal = SavingsWorld { rates: vec![0.9; 2], costs: vec![1_000_000; 2], ..world(false) };
        let share = savings_share(&equal, 200, 2);
        assert!(share.saved <= 0.10, "{share:?}");
    }
}
