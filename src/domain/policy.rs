//! With what probability another policy would have chosen each of those who competed in a decision.
//!
//! It exists so that what-if questions and the router's own propensities rest on one rule. A policy is judged by what was
//! known when the decision was made: its posteriors and expected costs. It refuses to know where they are kept, what came
//! of the calls, and how models are called.

use std::fmt;

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

impl Contest {
    /// With what probability the router chose each; they sum to 1 (statistics: choice, 4).
    #[must_use]
    pub fn propensities(&self) -> Vec<f64> {
        self.fitted(with_floor(&propensities_by_rule(&self.arms, self.rule), self.floor))
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
        if let Some(heir) = (0..self.arms.len()).find(|i| !self.unfit.contains(i)) {
            for place in &self.unfit {
                chances[heir] += std::mem::take(&mut chances[*place]);
            }
        }
        chances
    }
}

impl Tuning {
    /// The rule with these settings instead of its own; `other` is what it would be under the other objective.
    fn applied(&self, rule: Rule, other: Rule) -> Rule {
        let is_net = matches!(rule, Rule::NetValue { .. });
        let wants_net = self.objective.map_or(is_net, |objective| objective == Objective::NetValue);
        match if wants_net == is_net { rule } else { other } {
            Rule::Tolerance { tolerance } => Rule::Tolerance { tolerance: self.tolerance.unwrap_or(tolerance) },
            Rule::NetValue { value_usd, failure_cost_usd } => Rule::NetValue {
                value_usd: self.value.map_or(value_usd, NanoUsd::usd),
                failure_cost_usd: self.failure_cost.map_or(failure_cost_usd, NanoUsd::usd),
            },
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let fraction = || {
            let read = value.parse::<f64>().ok().filter(|x| (0.0..=1.0).contains(x));
            read.ok_or_else(|| format!("`{key}` is {value:?}; it is a number from 0 to 1"))
        };
        let dollars = || {
            let read = value.parse::<f64>().ok().filter(|x| (0.0..=1e6).contains(x));
            let read = read.and_then(|usd| NanoUsd::from_usd(usd).ok());
            read.ok_or_else(|| format!("`{key}` is {value:?}; it is an amount of dollars from 0 to 1000000"))
        };
        match key {
            "tolerance" => self.tolerance = Some(fraction()?),
            "floor" | "exploration_floor" => self.floor = Some(fraction()?),
            "value_usd" => self.value = Some(dollars()?),
            "failure_cost_usd" => self.failure_cost = Some(dollars()?),
            "objective" => {
                self.objective = Some(match value {
                    "success" => Objective::Success,
                    "net_value" => Objective::NetValue,
                    _ => return Err(format!("`objective` is {value:?}; it is success or net_value")),
                });
            }
            _ => return Err(UNKNOWN.to_owned()),
        }
        Ok(())
    }
}

const UNKNOWN: &str = "is none of always:MODEL, allow:MODEL,MODEL, uniform, cheapest, best, or settings such as \
                       tolerance=0.02,floor=0.05 (tolerance, floor, objective, value_usd, failure_cost_usd)";

impl std::str::FromStr for Policy {
    type Err = String;

    /// Reads a policy as it is written.
    ///
    /// # Errors
    /// A sentence that says what would be one.
    fn from_str(text: &str) -> Result<Self, String> {
        let models = |names: &str| -> Result<Vec<String>, String> {
            let names: Vec<String> = names.split(',').map(|name| name.trim().to_owned()).collect();
            if names.iter().any(String::is_empty) { Err("names an empty model".to_owned()) } else { Ok(names) }
        };
        match text.split_once(':') {
            Some(("always", name)) if name.contains(',') => Err("`always` takes one model, `allow` several".to_owned()),
            Some(("always" | "allow", names)) => Ok(Self::Only(models(names)?)),
            _ => match text {
                "uniform" => Ok(Self::Uniform),
                "cheapest" => Ok(Self::Cheapest),
                "best" => Ok(Self::Best),
                _ => {
                    let mut tuning = Tuning::default();
                    for pair in text.split(',') {
                        let (key, value) = pair.split_once('=').ok_or(UNKNOWN)?;
                        tuning.set(key.trim(), value.trim())?;
                    }
                    Ok(Self::Tuned(tuning))
                }
            },
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only(models) => {
                let verb = if models.len() == 1 { "always" } else { "allow" };
                write!(f, "{verb}:{}", models.join(","))
            }
            Self::Uniform => f.write_str("uniform"),
            Self::Cheapest => f.write_str("cheapest"),
            Self::Best => f.write_str("best"),
            Self::Tuned(Tuning { tolerance, floor, objective, value, failure_cost }) => {
                let objective = objective.map(|o| if o == Objective::Success { "success" } else { "net_value" });
                let usd = |amount: &NanoUsd| amount.usd().to_string();
                let said = [
                    ("tolerance", tolerance.map(|x| x.to_string())),
                    ("floor", floor.map(|x| x.to_string())),
                    ("objective", objective.map(str::to_owned)),
                    ("value_usd", value.as_ref().map(usd)),
                    ("failure_cost_usd", failure_cost.as_ref().map(usd)),
                ];
                let said = said.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
                f.write_str(&said.collect::<Vec<_>>().join(","))
            }
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
    fn propensities_are_the_shares_of_what_is_drawn() {
        const DRAWS: u64 = 200_000;
        let contest = contest();
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
            taken[select(&drawn, contest.rule, contest.floor, coin, lot).unwrap().0] += 1;
        }
        for (taken, pi) in taken.into_iter().zip(pi) {
            let share = taken as f64 / DRAWS as f64;
            assert!((share - pi).abs() < 4.0 * (pi * (1.0 - pi) / DRAWS as f64).sqrt(), "seed 1933: {share} {pi}");
        }
    }

    #[test]
    fn policies_are_read_as_they_are_written() {
        for text in [
            "always:openai/gpt-4o",
            "allow:a/b,c/d",
            "uniform",
            "cheapest",
            "best",
            "tolerance=0.02,floor=0.05",
            "objective=net_value,value_usd=0.25,failure_cost_usd=1",
        ] {
            assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
        }
        assert_eq!("allow:a".parse::<Policy>().unwrap(), Policy::Only(vec!["a".to_owned()]));
        for wrong in [
            "",
            "worst",
            "always:",
            "always:a,b",
            "allow:a,,b",
            "tolerance=2",
            "tolerance=",
            "floor=x",
            "objective=cost",
            "value_usd=-1",
            "tolerance=NaN",
            "prior=1",
            "uniform=1",
        ] {
            assert!(wrong.parse::<Policy>().is_err(), "{wrong}");
        }
    }
}
