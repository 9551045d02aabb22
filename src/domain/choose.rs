//! Which of the eligible candidates wins, given one draw of the success rate of each, and in which order the others follow.
//!
//! It exists so that the rule is written once: for the decision, its fallbacks, the simulator and the tests of the propensities.
//! It refuses to know how draws are made, why a candidate is eligible, and what the exploration floor does.

use std::cmp::Ordering;

const USD_PER_NANO: f64 = 1e-9;

/// One eligible candidate in one decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contender {
    /// The caller's name for it, such as its place in the catalogue; handed back, never looked at.
    pub index: usize,
    /// The draw of its success rate, in [0, 1].
    pub theta: f64,
    /// Expected cost of the call in billionths of a dollar; `None` where it is unknown, which ranks dearest.
    pub expected_cost_nano: Option<u64>,
}

/// What the task type wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// See [`choose_with_tolerance`].
    Tolerance {
        /// How far below the best draw a cheaper candidate may be, in success probability (0 to 1).
        tolerance: f64,
    },
    /// See [`choose_net_value`].
    NetValue {
        /// What a success is worth, in dollars.
        value_usd: f64,
        /// What a failure costs beside the call, in dollars.
        failure_cost_usd: f64,
    },
}

/// The `index` of the winner under `rule`; `None` if nobody is eligible.
#[must_use]
pub fn choose(eligible: &[Contender], rule: Rule) -> Option<usize> {
    match rule {
        Rule::Tolerance { tolerance } => choose_with_tolerance(eligible, tolerance),
        Rule::NetValue { value_usd, failure_cost_usd } => choose_net_value(eligible, value_usd, failure_cost_usd),
    }
}

/// The `index` of the winner under `rule`, or with the chance `floor` (η) that of a contender taken at random, and whether it
/// was; `None` if nobody is eligible. `coin` and `lot` are uniform in [0, 1): whether, and which one.
#[must_use]
pub fn select(eligible: &[Contender], rule: Rule, floor: f64, coin: f64, lot: f64) -> Option<(usize, bool)> {
    if coin < floor && eligible.len() > 1 {
        let at = (lot * eligible.len() as f64) as usize;
        return Some((eligible[at.min(eligible.len() - 1)].index, true));
    }
    choose(eligible, rule).map(|index| (index, false))
}

/// The `index` of the contender whose `mean` is highest, of equals the cheapest: what a step that cannot be undone is given;
/// `None` if nobody is eligible.
#[must_use]
pub fn choose_by_mean(eligible: &[Contender], mean: impl Fn(usize) -> f64) -> Option<usize> {
    let best = eligible.iter().max_by(|a, b| {
        let higher = mean(a.index).total_cmp(&mean(b.index));
        higher.then(b.expected_cost_nano.cmp(&a.expected_cost_nano))
    });
    best.map(|contender| contender.index)
}

/// The `index` of the cheapest contender with θ ≥ θ_max − `tolerance`; `None` if nobody is eligible.
///
/// Unknown cost is dearer than any known one. Equal cost: the higher draw, then the one that stands earlier in the slice.
/// Tolerance 0 is Thompson sampling (Thompson 1933).
#[must_use]
pub fn choose_with_tolerance(eligible: &[Contender], tolerance: f64) -> Option<usize> {
    position_with_tolerance(eligible, tolerance).map(|position| eligible[position].index)
}

/// The `index` of the contender with the highest θ·V − (1 − θ)·L − c in dollars, where V is `value_usd`, L is
/// `failure_cost_usd` and c the expected cost; `None` if nobody is eligible.
///
/// A contender of unknown cost wins only where every cost is unknown; then the highest draw does. Equal value: the
/// higher draw, then the one that stands earlier in the slice.
#[must_use]
pub fn choose_net_value(eligible: &[Contender], value_usd: f64, failure_cost_usd: f64) -> Option<usize> {
    position_net_value(eligible, value_usd, failure_cost_usd).map(|position| eligible[position].index)
}

/// Brings `eligible` into the order of repeated choice: the winner, the winner among the rest, and so on.
/// Nothing is allocated; ties are settled by the order on entry.
pub fn rank(eligible: &mut [Contender], rule: Rule) {
    for first in 0..eligible.len() {
        let rest = &eligible[first..];
        let winner = match rule {
            Rule::Tolerance { tolerance } => position_with_tolerance(rest, tolerance),
            Rule::NetValue { value_usd, failure_cost_usd } => position_net_value(rest, value_usd, failure_cost_usd),
        };
        if let Some(position) = winner {
            // A rotation, not an exchange: the others keep their order, which settles later ties.
            eligible[first..=first + position].rotate_right(1);
        }
    }
}

fn position_with_tolerance(eligible: &[Contender], tolerance: f64) -> Option<usize> {
    let highest = eligible.iter().map(|contender| contender.theta).fold(f64::NEG_INFINITY, f64::max);
    let near = eligible.iter().enumerate().filter(|(_, contender)| contender.theta >= highest - tolerance);
    first_best(near, |a, b| {
        let cheaper = price_rank(b).cmp(&price_rank(a));
        cheaper.then(a.theta.total_cmp(&b.theta))
    })
}

fn position_net_value(eligible: &[Contender], value_usd: f64, failure_cost_usd: f64) -> Option<usize> {
    let stake_usd = value_usd + failure_cost_usd;
    let net_usd = |contender: &Contender| match contender.expected_cost_nano {
        Some(nano) => contender.theta * stake_usd - failure_cost_usd - nano as f64 * USD_PER_NANO,
        None => f64::NEG_INFINITY,
    };
    first_best(eligible.iter().enumerate(), |a, b| net_usd(a).total_cmp(&net_usd(b)).then(a.theta.total_cmp(&b.theta)))
}

/// Orders known costs by amount and puts the unknown ones behind them.
fn price_rank(contender: &Contender) -> (bool, u64) {
    (contender.expected_cost_nano.is_none(), contender.expected_cost_nano.unwrap_or(0))
}

/// The position of the first of those to whom no other is `Greater`.
fn first_best<'a>(
    contenders: impl Iterator<Item = (usize, &'a Contender)>,
    compare: impl Fn(&Contender, &Contender) -> Ordering,
) -> Option<usize> {
    let best = contenders.reduce(|best, next| if compare(next.1, best.1) == Ordering::Greater { next } else { best });
    best.map(|(position, _)| position)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contenders(rows: &[(f64, Option<u64>)]) -> Vec<Contender> {
        let numbered = rows.iter().enumerate();
        numbered.map(|(index, &(theta, expected_cost_nano))| Contender { index, theta, expected_cost_nano }).collect()
    }

    fn order(rows: &[(f64, Option<u64>)], rule: Rule) -> Vec<usize> {
        let mut eligible = contenders(rows);
        rank(&mut eligible, rule);
        eligible.iter().map(|contender| contender.index).collect()
    }

    #[test]
    fn nobody_eligible_gives_nobody() {
        assert_eq!(choose_with_tolerance(&[], 0.01), None);
        assert_eq!(choose_net_value(&[], 1.0, 0.0), None);
        rank(&mut [], Rule::Tolerance { tolerance: 0.0 });
    }

    #[test]
    fn the_cheapest_within_the_tolerance_wins() {
        let eligible = contenders(&[(0.90, Some(1)), (0.945, Some(5)), (0.94, Some(3)), (0.95, Some(9))]);
        assert_eq!(choose_with_tolerance(&eligible, 0.0), Some(3));
        assert_eq!(choose_with_tolerance(&eligible, 0.006), Some(1));
        assert_eq!(choose_with_tolerance(&eligible, 0.011), Some(2));
        assert_eq!(choose_with_tolerance(&eligible, 0.06), Some(0));
    }

    #[test]
    fn the_tolerance_is_inclusive() {
        assert_eq!(choose_with_tolerance(&contenders(&[(0.5, Some(1)), (0.75, Some(2))]), 0.25), Some(0));
    }

    #[test]
    fn unknown_cost_is_dearest_and_equal_cost_goes_to_the_higher_draw() {
        assert_eq!(choose_with_tolerance(&contenders(&[(0.9, None), (0.9, Some(u64::MAX))]), 0.01), Some(1));
        assert_eq!(choose_with_tolerance(&contenders(&[(0.900, Some(4)), (0.905, Some(4))]), 0.01), Some(1));
        assert_eq!(choose_with_tolerance(&contenders(&[(0.900, None), (0.905, None)]), 0.01), Some(1));
    }

    #[test]
    fn a_full_tie_goes_to_the_earlier_one() {
        assert_eq!(choose_with_tolerance(&contenders(&[(0.9, Some(4)), (0.9, Some(4))]), 0.01), Some(0));
        assert_eq!(choose_net_value(&contenders(&[(0.9, Some(4)), (0.9, Some(4))]), 1.0, 0.0), Some(0));
    }

    #[test]
    fn net_value_breaks_even_at_the_documented_stake() {
        // .0018 at 91 % beats .0015 at 80 % once V + L > .0003 / .11 = 0.002727….
        let eligible = contenders(&[(0.80, Some(1_500_000)), (0.91, Some(1_800_000))]);
        assert_eq!(choose_net_value(&eligible, 0.002_72, 0.0), Some(0));
        assert_eq!(choose_net_value(&eligible, 0.002_74, 0.0), Some(1));
        assert_eq!(choose_net_value(&eligible, 0.001_36, 0.001_36), Some(0));
        assert_eq!(choose_net_value(&eligible, 0.001_37, 0.001_37), Some(1));
    }

    #[test]
    fn net_value_takes_an_unknown_cost_only_when_all_are_unknown() {
        assert_eq!(choose_net_value(&contenders(&[(0.99, None), (0.1, Some(9_000_000_000))]), 0.01, 0.0), Some(1));
        assert_eq!(choose_net_value(&contenders(&[(0.3, None), (0.4, None)]), 0.01, 0.0), Some(1));
    }

    #[test]
    fn fallbacks_are_repeated_choices() {
        let rows = [(0.90, Some(1)), (0.97, Some(5)), (0.965, Some(3)), (0.95, None)];
        // .965 is within .01 of .97 and cheaper; then .97; then .95 against .90 is out of reach of the cheap one.
        assert_eq!(order(&rows, Rule::Tolerance { tolerance: 0.01 }), [2, 1, 3, 0]);
        assert_eq!(order(&rows, Rule::Tolerance { tolerance: 1.0 }), [0, 2, 1, 3]);
        let rows = [(0.5, Some(0)), (0.9, Some(100_000_000)), (0.8, None)];
        assert_eq!(order(&rows, Rule::NetValue { value_usd: 1.0, failure_cost_usd: 0.0 }), [1, 0, 2]);
        assert_eq!(order(&rows, Rule::NetValue { value_usd: 0.1, failure_cost_usd: 0.1 }), [0, 1, 2]);
    }

    proptest! {
        #[test]
        fn ranking_is_choosing_again_among_the_rest(
            rows in prop::collection::vec((0u32..20, prop::option::of(0u64..5)), 0..8),
            tolerance in 0u32..10,
            net in any::<bool>(),
        ) {
            let rows: Vec<_> = rows.iter().map(|&(theta, cost)| (f64::from(theta) / 20.0, cost)).collect();
            let rule = if net {
                Rule::NetValue { value_usd: f64::from(tolerance) * 1e-9, failure_cost_usd: 1e-9 }
            } else {
                Rule::Tolerance { tolerance: f64::from(tolerance) / 20.0 }
            };
            let mut rest = contenders(&rows);
            let mut expected = Vec::new();
            while let Some(index) = choose(&rest, rule) {
                expected.push(index);
                rest.retain(|contender| contender.index != index);
            }
            prop_assert_eq!(order(&rows, rule), expected);
        }
    }
}
