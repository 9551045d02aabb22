//! With what probability another policy would have chosen each of those who competed in a decision.
//!
//! It exists so that what-if questions and the router's own propensities rest on one rule. A policy is judged by what was
//! known when the decision was made: its posteriors and expected costs. It refuses to know where they are kept, what came
//! of the calls, and how models are called.

use super::beta::Beta;
use super::catalog::Objective;
use super::choose::Rule;
use super::money::NanoUsd;
use super::propensity::{net_value_propensities, propensities_by_cost, with_floor};

/// Those who competed in one decision, and how the router chose among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Contest {
    /// Posterior and expected nano-USD (`None`: unknown) of each, in rising expected cost.
    pub arms: Vec<(Beta, Option<u64>)>,
    /// Places of those that some budget replaces by the cheapest of the others once they are chosen.
    pub unfit: Vec<usize>,
    /// The rule in force.
    pub rule: Rule,
    /// What the rule would be by the same settings under the other objective.
    pub other: Rule,
    /// η in force, in [0, 1].
    pub floor: f64,
    /// Place of the holdout's model and the chance it was served by lot, in [0, 1], whatever the rule says; `None`: no lot was
    /// drawn for this decision, or that model did not compete.
    pub held_out: Option<(usize, f64)>,
}

/// A policy that can be asked about, as it is written: `always:MODEL`, `allow:MODEL,MODEL`, `uniform`, `cheapest`, `best`, or the
/// router's own rule with other settings, such as `tolerance=0.02,floor=0.05` or `objective=net_value,value_usd=0.25`.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
    /// The router's own rule among these models only; with one of them: always that one.
    Only(Vec<String>),
    /// Each of those who competed alike.
    Uniform,
    /// The one of the lowest expected cost; an unknown one is dearest.
    Cheapest,
    /// The one of the highest posterior mean; of equals the cheaper one.
    Best,
    /// The router's own rule with other settings.
    Tuned(Tuning),
}

/// What somebody wants to know of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The policy.
    pub policy: Policy,
    /// The only task type asked about; `None`: all.
    pub task_type: Option<String>,
    /// Length of the window that ends now, in milliseconds; above 0.
    pub lookback_ms: i64,
}

/// Settings of the router's rule; `None`: as the decision was made.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tuning {
    /// ε in [0, 1].
    pub tolerance: Option<f64>,
    /// η in [0, 1].
    pub floor: Option<f64>,
    /// What is maximised.
    pub objective: Option<Objective>,
    /// What a success is worth.
    pub value: Option<NanoUsd>,
    /// What a failure costs beside its call.
    pub failure_cost: Option<NanoUsd>,
}

/// Propensities under `rule`, before the exploration floor, for (posterior, expected nano-USD) in any order; they sum to 1.
#[must_use]
pub fn propensities_by_rule(arms: &[(Beta, Option<u64>)], rule: Rule) -> Vec<f64> {
    match rule {
        Rule::Tolerance { tolerance } => propensities_by_cost(arms, tolerance),
        Rule::NetValue { value_usd, failure_cost_usd } => {
            let stake = value_usd + failure_cost_usd;
            let known: Vec<usize> = (0..arms.len()).filter(|i| arms[*i].1.is_some()).collect();
            let competing: Vec<usize> = if known.is_empty() { (0..arms.len()).collect() } else { known };
            let offset = |i: usize| -failure_cost_usd - arms[i].1.map_or(0.0, |nano| nano as f64 * 1e-9);
            let transformed: Vec<(Beta, f64, f64)> =
                competing.iter().map(|i| (arms[*i].0, stake, offset(*i))).collect();
            let mut pi = vec![0.0; arms.len()];
            competing.iter().zip(net_value_propensities(&transformed)).for_each(|(i, p)| pi[*i] = p);
            pi
        }
    }
}

/// The place, among so many in rising expected cost, of the cheapest that fits every budget: it is served in the place of one
/// that does not. `None`: none fits.
#[must_use]
pub fn heir(unfit: &[usize], arms: usize) -> Option<usize> {
    (0..arms).find(|place| !unfit.contains(place))
}

impl Contest {
    /// With what probability each was served; they sum to 1 (statistics: choice, 4). Where a lot was drawn between the router and
    /// the holdout, they are those of both together: s for its model and (1 − s)·π for each.
    #[must_use]
    pub fn propensities(&self) -> Vec<f64> {
        let mut chances = with_floor(&propensities_by_rule(&self.arms, self.rule), self.floor);
        if let Some((place, share)) = self.held_out {
            chances.iter_mut().for_each(|chance| *chance *= 1.0 - share);
            chances[place] += share;
        }
        self.fitted(chances)
    }

    /// With what probability `policy` would have chosen each, where `named` says whether a place is one of the models the
    /// policy names; they sum to 1. `None`: none of those was on offer, so that the policy has nothing to say.
    #[must_use]
    pub fn under(&self, policy: &Policy, named: impl Fn(usize) -> bool) -> Option<Vec<f64>> {
        let certain = |at: usize| (0..self.arms.len()).map(|i| f64::from(u8::from(i == at))).collect();
        let chances = match policy {
            Policy::Only(_) => {
                let places: Vec<usize> = (0..self.arms.len()).filter(|i| named(*i)).collect();
                if let [only] = places[..] {
                    return Some(self.fitted(certain(only)));
                }
                let arms: Vec<(Beta, Option<u64>)> = places.iter().map(|i| self.arms[*i]).collect();
                let own = with_floor(&propensities_by_rule(&arms, self.rule), self.floor);
                let mut all = vec![0.0; self.arms.len()];
                places.iter().zip(own).for_each(|(place, chance)| all[*place] = chance);
                (!places.is_empty()).then_some(all)?
            }
            Policy::Uniform => vec![1.0 / self.arms.len() as f64; self.arms.len()],
            Policy::Cheapest => certain(0),
            Policy::Best => {
                let mean = |i: usize| self.arms[i].0.mean();
                certain((1..self.arms.len()).fold(0, |best, i| if mean(i) > mean(best) { i } else { best }))
            }
            Policy::Tuned(tuning) => {
                let floor = tuning.floor.unwrap_or(self.floor);
                with_floor(&propensities_by_rule(&self.arms, tuning.applied(self.rule, self.other)), floor)
            }
        };
        Some(self.fitted(chances))
    }

    /// Moves what would go to those who do not fit a budget to the cheapest who does.
    fn fitted(&self, mut chances: Vec<f64>) -> Vec<f64> {
        if let Some(heir) = heir(&self.unfit, self.arms.len()) {
            for place in &self.unfit {
                chances[heir] += std::mem::take(&mut chances[*place]);
            }
        }
        chances
    }
}

impl Policy {
    /// The setting of it that says nothing to decisions made by `rule`; `None`: all of them do.
    #[must_use]
    pub fn stray(&self, rule: Rule) -> Option<&'static str> {
        let Self::Tuned(tuning) = self else { return None };
        tuning.stray(tuning.wants_net(matches!(rule, Rule::NetValue { .. })))
    }
}

impl Tuning {
    /// The setting that has no say where the net value decides (`is_net`), or where success does.
    pub(super) fn stray(&self, is_net: bool) -> Option<&'static str> {
        match is_net {
            true => self.tolerance.map(|_| "tolerance"),
            false => self.value.map(|_| "value_usd").or(self.failure_cost.map(|_| "failure_cost_usd")),
        }
    }

    fn wants_net(&self, is_net: bool) -> bool {
        self.objective.map_or(is_net, |objective| objective == Objective::NetValue)
    }

    /// The rule with these settings instead of its own; `other` is what it would be under the other objective.
    fn applied(&self, rule: Rule, other: Rule) -> Rule {
        let is_net = matches!(rule, Rule::NetValue { .. });
        match if self.wants_net(is_net) == is_net { rule } else { other } {
            Rule::Tolerance { tolerance } => Rule::Tolerance { tolerance: self.tolerance.unwrap_or(tolerance) },
            Rule::NetValue { value_usd, failure_cost_usd } => Rule::NetValue {
                value_usd: self.value.map_or(value_usd, NanoUsd::usd),
                failure_cost_usd: self.failure_cost.map_or(failure_cost_usd, NanoUsd::usd),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::choose::{Contender, select};
    use crate::domain::draw::{decision_rng, draw_beta};
    use rand::RngExt as _;

    fn beta(alpha: f64, beta: f64) -> Beta {
        Beta::new(alpha, beta).unwrap()
    }

    fn contest() -> Contest {
        Contest {
            arms: vec![(beta(80.0, 20.0), Some(1)), (beta(95.0, 6.0), Some(30)), (beta(18.0, 2.0), None)],
            unfit: Vec::new(),
            rule: Rule::Tolerance { tolerance: 0.01 },
            other: Rule::NetValue { value_usd: 5.0, failure_cost_usd: 1.0 },
            floor: 0.03,
            held_out: None,
        }
    }

    fn under(contest: &Contest, policy: &str) -> Option<Vec<f64>> {
        contest.under(&policy.parse().unwrap(), |place| place == 1)
    }

    #[test]
    fn certain_policies_are_certain() {
        let contest = contest();
        assert_eq!(under(&contest, "always:b").unwrap(), [0.0, 1.0, 0.0]);
        assert_eq!(under(&contest, "cheapest").unwrap(), [1.0, 0.0, 0.0]);
        assert_eq!(under(&contest, "best").unwrap(), [0.0, 1.0, 0.0]);
        assert_eq!(under(&contest, "uniform").unwrap(), [1.0 / 3.0; 3]);
        assert_eq!(contest.under(&"always:x".parse().unwrap(), |_| false), None);
    }

    #[test]
    fn the_rule_with_its_own_settings_is_the_rule() {
        let contest = contest();
        assert_eq!(under(&contest, "tolerance=0.01,floor=0.03").unwrap(), contest.propensities());
        let all = contest.under(&"allow:a,b,c".parse().unwrap(), |_| true).unwrap();
        assert_eq!(all, contest.propensities());
        let two = contest.under(&"allow:a,c".parse().unwrap(), |place| place != 1).unwrap();
        assert!(two[1] == 0.0 && (two[0] + two[2] - 1.0).abs() < 1e-12, "{two:?}");
        let wide = under(&contest, "tolerance=1,floor=0").unwrap();
        assert!(wide[0] > 0.999_999, "{wide:?}");
        let worth = under(&contest, "objective=net_value,value_usd=0,failure_cost_usd=0,floor=0").unwrap();
        assert!(worth[0] > 0.999_999, "nothing to gain: the cheapest, {worth:?}");
        let other = Contest { rule: contest.other, other: contest.rule, ..contest.clone() };
        assert_eq!(
            under(&contest, "objective=net_value").unwrap(),
            other.propensities(),
            "at its own value and failure cost"
        );
        assert_eq!(under(&other, "objective=success").unwrap(), contest.propensities(), "at its own tolerance");
    }

    #[test]
    fn whoever_does_not_fit_leaves_his_chance_to_the_cheapest_who_does() {
        let free = contest().propensities();
        let tight = Contest { unfit: vec![1, 2], ..contest() };
        let sum: f64 = free.iter().sum();
        assert_eq!(tight.propensities(), [free[0] + free[1] + free[2], 0.0, 0.0]);
        assert!((sum - 1.0).abs() < 1e-12);
        let other = Contest { unfit: vec![0], ..contest() };
        assert_eq!(other.propensities(), [0.0, free[1] + free[0], free[2]]);
        assert_eq!(under(&other, "cheapest").unwrap(), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn the_lot_of_a_holdout_is_part_of_the_routers_chances_and_of_no_policys() {
        let (free, held) = (contest(), Contest { held_out: Some((1, 0.25)), ..contest() });
        let [a, b, c]: [f64; 3] = free.propensities().try_into().unwrap();
        assert_eq!(held.propensities(), [0.75 * a, 0.75 * b + 0.25, 0.75 * c]);
        assert_eq!(under(&held, "tolerance=0.01,floor=0.03").unwrap(), [a, b, c]);
        let tight = Contest { unfit: vec![1], ..held };
        assert_eq!(tight.propensities()[1], 0.0, "what does not fit a budget is replaced there too");
    }

    #[test]
    fn settings_that_say_nothing_to_a_rule_are_named() {
        let (success, net) = (contest().rule, contest().other);
        for (policy, stray_of_success, stray_of_net) in [
            ("tolerance=0.02", None, Some("tolerance")),
            ("value_usd=1", Some("value_usd"), None),
            ("failure_cost_usd=1", Some("failure_cost_usd"), None),
            ("floor=0.1", None, None),
            ("objective=success,tolerance=0.02", None, None),
            ("objective=net_value,value_usd=1", None, None),
            ("cheapest", None, None),
        ] {
            let policy: Policy = policy.parse().unwrap();
            assert_eq!((policy.stray(success), policy.stray(net)), (stray_of_success, stray_of_net), "{policy}");
        }
    }

    #[test]
    fn propensities_are_the_shares_of_what_is_drawn() {
        const DRAWS: u64 = 200_000;
        let contest = Contest { held_out: Some((1, 0.2)), ..contest() };
        let pi = contest.propensities();
        let mut taken = [0u64; 3];
        for number in 0..DRAWS {
            let mut rng = decision_rng(1933, number);
            let row = |(index, arm): (usize, &(Beta, Option<u64>))| (index, arm.0, arm.1);
            let drawn: Vec<Contender> = contest
                .arms
                .iter()
                .enumerate()
                .map(row)
                .map(|(index, posterior, cost)| Contender {
                    index,
                    theta: draw_beta(&mut rng, posterior),
                    expected_cost_nano: cost,
                })
                .collect();
            let (coin, lot) = (rng.random(), rng.random());
            let chosen = select(&drawn, contest.rule, contest.floor, coin, lot).unwrap().0;
            let held_out = contest.held_out.filter(|(_, share)| rng.random::<f64>() < *share);
            taken[held_out.map_or(chosen, |(place, _)| place)] += 1;
        }
        for (taken, pi) in taken.into_iter().zip(pi) {
            let share = taken as f64 / DRAWS as f64;
            assert!((share - pi).abs() < 4.0 * (pi * (1.0 - pi) / DRAWS as f64).sqrt(), "seed 1933: {share} {pi}");
        }
    }
}
