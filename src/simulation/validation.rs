//! Whether what the reports claim holds under the router's own sampling: how often the over-provisioning flag is raised
//! where it should not be (or should), and how often intervals hold the true value. It refuses to know how that is shown.

use rand::RngExt as _;

use super::baselines::Policy as _;
use super::learner::Learner;
use super::runner::replicate;
use crate::domain::catalog::TaskSettings;
use crate::domain::draw::{DecisionRng, decision_rng};
use crate::domain::flag::{self, FlagState};
use crate::domain::interval::{CostSuccessSums, cost_per_success, success_rate_interval};
use crate::domain::money::NANO_PER_USD;
use crate::domain::names::NameId;
use crate::domain::strata::Stratum;

/// Cost of a call of the dear candidate and of each cheap one, in nano-USD.
const DEAR_NANO: u64 = 2_100_000;
const CHEAP_NANO: u64 = 69_000;

/// A task type with one dear candidate and cheaper ones.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagWorld {
    /// Success probability of each cheap candidate, in [0, 1].
    pub cheap: Vec<f64>,
    /// Success probability of the dear one, in [0, 1].
    pub dear: f64,
    /// ε of the router.
    pub tolerance: f64,
}

/// What became of the flag in some runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlagShare {
    /// Runs in which it was ever raised, as a share of all.
    pub raised: f64,
    /// Runs in which the dear candidate had the most traffic at the end, as a share of all.
    pub dear_incumbent: f64,
    /// Runs among those in which it was ever raised; `None` without such runs.
    pub raised_of_dear: Option<f64>,
}

/// Plays `reps` runs of `steps` calls, looking at the flag after every outcome as the daemon does.
#[must_use]
pub fn flag_share(world: &FlagWorld, steps: u64, reps: usize, seed: u64) -> FlagShare {
    let runs = replicate(reps, |rep| flag_run(world, steps, seed ^ (rep as u64).wrapping_mul(0x9E37_79B9)), || ());
    let share = |n: usize, of: usize| (of > 0).then(|| n as f64 / of as f64);
    let dear = runs.iter().filter(|(_, dear)| *dear).count();
    FlagShare {
        raised: share(runs.iter().filter(|(raised, _)| *raised).count(), reps).unwrap_or(0.0),
        dear_incumbent: share(dear, reps).unwrap_or(0.0),
        raised_of_dear: share(runs.iter().filter(|(raised, dear)| *raised && *dear).count(), dear),
    }
}

fn flag_run(world: &FlagWorld, steps: u64, seed: u64) -> (bool, bool) {
    let rates: Vec<f64> = std::iter::once(world.dear).chain(world.cheap.iter().copied()).collect();
    let cost = |arm: usize| if arm == 0 { DEAR_NANO } else { CHEAP_NANO };
    let costs: Vec<Option<u64>> = (0..rates.len()).map(|arm| Some(cost(arm))).collect();
    let settings = TaskSettings { tolerance: world.tolerance, ..TaskSettings::default() };
    let margin = settings.flag_margin;
    let mut learner = Learner::new(settings, &costs);
    let mut state = FlagState::default();
    let mut ever = false;
    for step in 0..steps {
        let mut rng = decision_rng(seed, step);
        let arm = learner.choose(step, &mut rng);
        learner.pay(arm, Some(cost(arm)));
        let success = rng.random::<f64>() < rates[arm];
        learner.tell(step, Stratum::NONE, arm, success);
        let cells = (0..rates.len()).map(|arm| (NameId(arm as u32), learner.cell(arm)));
        let look = flag::look(NameId(0), &state, &flag::comparisons(cells, |_| true), margin);
        if let Some(look) = look {
            for pair in &look.pairs {
                state.looked_at.insert((pair.incumbent, pair.cheaper), pair.smaller_count);
            }
            state.raised = look.raised;
            ever |= state.raised.is_some();
        }
    }
    let most = (0..rates.len()).max_by_key(|arm| (learner.cell(*arm).served, std::cmp::Reverse(*arm)));
    (ever, most == Some(0))
}

/// Two candidates whose calls cost different amounts by what comes of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntervalWorld {
    /// Success probability of each, in [0, 1].
    pub rates: [f64; 2],
    /// A failed call costs this many times as much.
    pub failure_cost: f64,
    /// Calls of a run.
    pub steps: u64,
}

/// Shares of runs whose 90 % interval held the true value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coverage {
    /// Success rate of the candidate with the most calls.
    pub success_rate: f64,
    /// Cost per success of the candidate with the most calls.
    pub cost_per_success: f64,
}

/// Plays `reps` runs with the router's own sampling and counts how often the intervals hold the truth. A call costs between
/// one and two cents, evenly spread; a failed one `failure_cost` times as much.
#[must_use]
pub fn coverage(world: &IntervalWorld, reps: usize, seed: u64) -> Coverage {
    let runs = replicate(reps, |rep| covered(world, seed ^ (rep as u64).wrapping_mul(0x9E37_79B9)), || ());
    let share = |of: fn(&(bool, bool)) -> bool| runs.iter().filter(|run| of(run)).count() as f64 / reps.max(1) as f64;
    Coverage { success_rate: share(|run| run.0), cost_per_success: share(|run| run.1) }
}

fn covered(world: &IntervalWorld, seed: u64) -> (bool, bool) {
    let mut learner = Learner::new(TaskSettings::default(), &[Some(15_000_000), Some(15_000_000)]);
    let mut sums = [CostSuccessSums::default(); 2];
    for step in 0..world.steps {
        let mut rng = decision_rng(seed, step);
        let arm = learner.choose(step, &mut rng);
        let success = rng.random::<f64>() < world.rates[arm];
        let nano = call_cost(&mut rng, if success { 1.0 } else { world.failure_cost });
        learner.pay(arm, Some(nano));
        learner.tell(step, Stratum::NONE, arm, success);
        let (of, cost) = (&mut sums[arm], nano as f64 / NANO_PER_USD as f64);
        of.n += 1;
        of.s += u64::from(success);
        of.sum_c += cost;
        of.sum_cc += cost * cost;
        of.sum_cy += if success { cost } else { 0.0 };
    }
    let arm = usize::from(sums[1].n > sums[0].n);
    let rate = world.rates[arm];
    let truth = 0.015 * (rate + (1.0 - rate) * world.failure_cost) / rate;
    let holds = |interval: (f64, f64), truth: f64| (interval.0..=interval.1).contains(&truth);
    let rates = success_rate_interval(sums[arm].s as f64, (sums[arm].n - sums[arm].s) as f64);
    let costs = cost_per_success(sums[arm]).interval;
    (holds(rates, rate), costs.is_some_and(|interval| holds(interval, truth)))
}

fn call_cost(rng: &mut DecisionRng, times: f64) -> u64 {
    ((0.01 + 0.01 * rng.random::<f64>()) * times * NANO_PER_USD as f64).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_much_worse_cheap_model_is_never_flagged_and_an_equal_one_often() {
        let share =
            |cheap: f64, dear: f64| flag_share(&FlagWorld { cheap: vec![cheap], dear, tolerance: 0.0 }, 3_000, 40, 3);
        assert_eq!(share(0.82, 0.96).raised, 0.0);
        let equal = share(0.96, 0.96);
        assert!(equal.dear_incumbent > 0.2 && equal.raised_of_dear.is_some_and(|r| r > 0.3), "{equal:?}");
    }

    #[test]
    fn intervals_hold_the_truth_about_as_often_as_they_say() {
        let world = IntervalWorld { rates: [0.8, 0.9], failure_cost: 3.0, steps: 500 };
        let Coverage { success_rate, cost_per_success } = coverage(&world, 300, 1);
        assert!((0.82..0.97).contains(&success_rate), "{success_rate}");
        assert!((0.82..0.97).contains(&cost_per_success), "{cost_per_success}");
    }
}
