//! Whether what-if estimates hold what they claim: the router plays a task type whose truth is known, and its own decisions
//! say what another policy would have brought. It refuses to know how that is shown.

use rand::RngExt as _;

use super::baselines::Policy as _;
use super::learner::Learner;
use super::runner::replicate;
use crate::domain::catalog::TaskSettings;
use crate::domain::draw::decision_rng;
use crate::domain::policy::{Contest, Policy};
use crate::domain::strata::Stratum;
use crate::insights::{Sample, evaluate_thin};

/// Candidates in rising cost, and the policy asked about.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyWorld {
    /// Success probability of each, in [0, 1].
    pub rates: Vec<f64>,
    /// η of the router.
    pub floor: f64,
    /// The policy; a model it names is the place of the candidate, `0` first.
    pub policy: Policy,
    /// The success rate it would truly have.
    pub truth: f64,
    /// Draws of a run.
    pub steps: u64,
    /// Place of the holdout's model and the share of the decisions it serves by lot, in [0, 1]; `None`: nothing is held out.
    pub held_out: Option<(usize, f64)>,
}

/// What became of the estimates.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PolicyCheck {
    /// Mean of (estimate − truth).
    pub bias: f64,
    /// Standard deviation of the estimates.
    pub deviation: f64,
    /// Share of the 90 % intervals that held the truth.
    pub coverage_90: f64,
    /// Share of the 95 % intervals that held the truth.
    pub coverage_95: f64,
    /// Mean of (self-normalised estimate − truth).
    pub snips_bias: f64,
    /// Mean effective sample size.
    pub effective: f64,
    /// Share of the runs that would have been refused as too thin.
    pub refused: f64,
}

/// Cost of a call of the first candidate, in nano-USD; the next costs ten times as much, and so on.
const CHEAPEST_NANO: u64 = 10_000;

/// Plays `reps` runs and asks about the policy after each. Runs that the daemon would refuse as too thin are estimated too.
#[must_use]
pub fn policy_check(world: &PolicyWorld, reps: usize, seed: u64) -> PolicyCheck {
    let runs = replicate(reps, |rep| run(world, seed ^ (rep as u64).wrapping_mul(0x9E37_79B9)), || ());
    let share = |of: &dyn Fn(&Run) -> f64| runs.iter().map(of).sum::<f64>() / reps.max(1) as f64;
    let bias = share(&|run| run.value - world.truth);
    let holds = |interval: (f64, f64)| f64::from(u8::from((interval.0..=interval.1).contains(&world.truth)));
    PolicyCheck {
        bias,
        deviation: share(&|run| (run.value - world.truth - bias).powi(2)).sqrt(),
        coverage_90: share(&|run| holds(run.interval_90)),
        coverage_95: share(&|run| holds(run.interval_95)),
        snips_bias: share(&|run| run.snips - world.truth),
        effective: share(&|run| run.effective),
        refused: share(&|run| f64::from(u8::from(run.refused))),
    }
}

struct Run {
    value: f64,
    interval_90: (f64, f64),
    interval_95: (f64, f64),
    snips: f64,
    effective: f64,
    refused: bool,
}

fn run(world: &PolicyWorld, seed: u64) -> Run {
    let costs: Vec<u64> = (0..world.rates.len()).map(|arm| CHEAPEST_NANO * 10u64.pow(arm as u32)).collect();
    let expected: Vec<Option<u64>> = costs.iter().copied().map(Some).collect();
    let settings = TaskSettings { exploration_floor: world.floor, ..TaskSettings::default() };
    let (rule, other) = (settings.rule(), settings.other_rule());
    let (arms, unfit, floor) = (Vec::new(), Vec::new(), world.floor);
    let mut contest = Contest { arms, unfit, rule, other, floor, held_out: world.held_out };
    let mut learner = Learner::new(settings, &expected);
    let ids: Vec<u32> = (0..costs.len() as u32).collect();
    let named = |place: usize| matches!(&world.policy, Policy::Only(names) if names.contains(&place.to_string()));
    let mut samples = Vec::with_capacity(world.steps as usize);
    for step in 0..world.steps {
        let mut rng = decision_rng(seed, step);
        let chosen = learner.choose(step, &mut rng);
        let lot = world.held_out.filter(|(_, share)| rng.random::<f64>() < *share);
        let arm = lot.map_or(chosen, |(place, _)| place);
        contest.arms.clear();
        contest.arms.extend((0..costs.len()).map(|arm| (learner.posterior(arm), expected[arm])));
        let success = rng.random::<f64>() < world.rates[arm];
        learner.tell(step, Stratum::NONE, arm, success);
        if let Some(wanted) = contest.under(&world.policy, named) {
            let drawn = Sample::new(0, &ids, &contest.propensities(), &wanted, arm);
            let cost_usd = Some(costs[arm] as f64 * 1e-9);
            samples.push(Sample { calls: 1, successes: u32::from(success), cost_usd, ..drawn });
        }
    }
    let found = evaluate_thin(&samples);
    let rate =
        found.success_rate.map_or((f64::NAN, (0.0, 0.0), (0.0, 0.0)), |e| (e.value, e.interval_90, e.interval_95));
    Run {
        value: rate.0,
        interval_90: rate.1,
        interval_95: rate.2,
        snips: found.snips.success_rate.unwrap_or(f64::NAN),
        effective: found.effective_sample_size,
        refused: found.refused.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_out_by_lot_is_evidence_like_a_draw() {
        let policy: Policy = "always:0".parse().unwrap();
        let rates = vec![0.80, 0.92];
        let none = PolicyWorld { truth: 0.80, rates, floor: 0.01, policy, steps: 400, held_out: None };
        let held = PolicyWorld { held_out: Some((0, 0.2)), ..none.clone() };
        let (none, held) = (policy_check(&none, 24, 3), policy_check(&held, 24, 3));
        // Of the mean of 24 estimates of about 100 calls each the standard error is .008.
        assert!(held.bias.abs() < 0.033 && held.coverage_95 > 0.75, "seed 3: {held:?}");
        assert!(held.effective > 80.0 && held.effective > 2.0 * none.effective, "seed 3: {held:?} {none:?}");
    }

    #[test]
    fn the_worst_model_is_estimated_from_what_the_floor_shows_of_it() {
        // Few and short runs: the figures of many long ones stand in simulations/README.md. Of the mean of 12 estimates of about 60
        // calls each the standard error is .02.
        let policy = "always:0".parse().unwrap();
        let world =
            PolicyWorld { truth: 0.80, rates: vec![0.80, 0.92], floor: 0.2, policy, steps: 400, held_out: None };
        let check = policy_check(&world, 12, 3);
        assert!(check.bias.abs() < 0.08, "{check:?}");
        assert!(check.coverage_95 > 0.6 && check.coverage_95 >= check.coverage_90, "{check:?}");
        assert!((20.0..200.0).contains(&check.effective), "{check:?}");
        assert!(policy_check(&world, 12, 3) == check, "the same seed gives the same figures");
    }
}
