//! What one randomised arm costs and achieves against another, with how sure that is. It exists so that reports and their
//! validation use one formula. It refuses to know what the units are, and what a difference is worth.
//!
//! The unit of everything is what was drawn (a goal, else a decision), so that calls of one goal, which resemble each other,
//! count as one. The served arm learns, so its units depend on what came before; given that, each still differs from what
//! was to be expected of it at random, which is what the variances measure (a martingale; Hall & Heyde, Martingale Limit
//! Theory, 1980, §3.2).

use super::interval::NORMAL_95;
use super::proof::ProofTally;
use super::series::Additive as _;

/// Units that both arms must have before they are compared.
pub const LEAST_UNITS: u64 = 100;

/// Units of each arm in one stratum.
const STRATUM_UNITS: i64 = 20;

/// The 80 % point of the standard normal distribution: with which chance a needed sample shows what it is for.
const NORMAL_80: f64 = 0.841_621_233_572_914_2;

/// The least difference of cost a sample is planned for, as a share of what the holdout costs.
const LEAST_SHARE: f64 = 0.05;

/// What both arms came to in one span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Served by the router.
    pub served: ProofTally,
    /// Held out.
    pub held_out: ProofTally,
}

impl Slice {
    /// Adds another span of time.
    pub fn add(&mut self, other: &Self) {
        self.served.add(&other.served);
        self.held_out.add(&other.held_out);
    }

    fn least(&self, units: fn(&ProofTally) -> i64) -> i64 {
        units(&self.served).min(units(&self.held_out))
    }
}

/// A difference with its 90 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The difference.
    pub value: f64,
    /// Its 90 % interval.
    pub interval: (f64, f64),
    /// So many more held-out units, with as many served ones to each as now, until it can be told from none in four of five
    /// cases; 0 where it can be told now.
    pub held_out_units_needed: u64,
}

/// The served arm against the holdout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uplift {
    /// Nano-USD a unit that the served arm costs less, negative: more; else how many units of known cost an arm lacks.
    pub saved_nano: Result<Difference, u64>,
    /// Share of units accepted, served less held out, in [-1, 1]; else how many units an arm lacks.
    pub acceptance: Result<Difference, u64>,
    /// Strata of time in which the acceptance of like was compared with like.
    pub strata: usize,
}

/// Compares the arms over `slices`, which follow each other in time. Below [`LEAST_UNITS`] in either arm nothing is said;
/// a difference of acceptance of `margin` is worth telling.
///
/// Shares of a rollout change, and so does the traffic: the arms are compared within strata of time (of at least 20 units of
/// each, whatever came of them) and the differences weighted by the served units w_k, Σ w_k = 1
/// (Cochran, Sampling Techniques, 3rd ed., §5.3; post-stratification §5A.9). Cost: Σ w_k·(h̄_k − r̄_k), variance
/// Σ w_k²·(s_rk²/n_rk + s_hk²/n_hk). Acceptance: the same with p̃(1 − p̃) over all strata in place of the variances, of
/// p̃ = (S + 1)/(n + 2), which also moves the centre (Agresti & Caffo 2000), so that an arm without failures has width.
#[must_use]
pub fn uplift(slices: &[Slice], margin: f64) -> Uplift {
    let mut total = Slice::default();
    slices.iter().for_each(|slice| total.add(slice));
    let enough = |units: fn(&ProofTally) -> i64| match total.least(units).max(0).unsigned_abs() {
        least @ 0..LEAST_UNITS => Err(LEAST_UNITS - least),
        _ => Ok(strata(slices, units)),
    };
    let (costed, all) = (enough(|of| of.costed), enough(|of| of.units));
    Uplift {
        saved_nano: costed.map(|strata| cost(&strata, &total)),
        strata: all.as_ref().map_or(0, Vec::len),
        acceptance: all.map(|strata| acceptance(&strata, &total, margin)),
    }
}

/// Joins spans of time until both arms have enough `units` in each; what is left at the end goes to the last one.
fn strata(slices: &[Slice], units: fn(&ProofTally) -> i64) -> Vec<Slice> {
    let mut strata = Vec::new();
    let mut open = Slice::default();
    for slice in slices {
        open.add(slice);
        if open.least(units) >= STRATUM_UNITS {
            strata.push(std::mem::take(&mut open));
        }
    }
    match strata.last_mut() {
        Some(last) => last.add(&open),
        None => strata.push(open),
    }
    strata
}

fn cost(strata: &[Slice], total: &Slice) -> Difference {
    let mean = |of: &ProofTally| of.cost as f64 / of.costed as f64;
    let value = weighted(strata, |of| of.costed, |of| mean(&of.held_out) - mean(&of.served));
    let variance = |of: &ProofTally| {
        // Rounding can leave the spread of equal costs a hair below zero.
        (of.cost_squared as f64 - of.cost as f64 * mean(of)).max(0.0) / (of.costed - 1) as f64
    };
    let of_mean = |arm: fn(&Slice) -> &ProofTally| of_mean(strata, arm, |of| of.costed, variance);
    let se = (of_mean(|of| &of.served) + of_mean(|of| &of.held_out)).sqrt();
    let least = LEAST_SHARE * mean(&total.held_out);
    difference(value, value, se, least, total.held_out.costed)
}

fn acceptance(strata: &[Slice], total: &Slice, margin: f64) -> Difference {
    let rate = |of: &ProofTally| of.accepted as f64 / of.units as f64;
    let value = weighted(strata, |of| of.units, |of| rate(&of.served) - rate(&of.held_out));
    let likely = |of: &ProofTally| (of.accepted as f64 + 1.0) / (of.units as f64 + 2.0);
    let of_mean = |arm: fn(&Slice) -> &ProofTally| {
        let p = likely(arm(total));
        of_mean(strata, arm, |of| of.units, |_| p * (1.0 - p))
    };
    let se = (of_mean(|of| &of.served) + of_mean(|of| &of.held_out)).sqrt();
    let moved = |of: &ProofTally| likely(of) - rate(of);
    let centre = value + moved(&total.served) - moved(&total.held_out);
    let found = difference(value, centre, se, margin, total.held_out.units);
    let within = |x: f64| x.clamp(-1.0, 1.0);
    Difference { interval: (within(found.interval.0), within(found.interval.1)), ..found }
}

/// Σ w_k · `of`(k), weighted by the `units` of the served arm.
fn weighted(strata: &[Slice], units: fn(&ProofTally) -> i64, of: impl Fn(&Slice) -> f64) -> f64 {
    let all: i64 = strata.iter().map(|s| units(&s.served)).sum();
    strata.iter().map(|s| units(&s.served) as f64 / all as f64 * of(s)).sum()
}

/// Σ w_k² · `variance`(k) / n_k of one arm: the variance of its weighted mean.
fn of_mean(
    strata: &[Slice],
    arm: fn(&Slice) -> &ProofTally,
    units: fn(&ProofTally) -> i64,
    variance: impl Fn(&ProofTally) -> f64,
) -> f64 {
    let all: i64 = strata.iter().map(|s| units(&s.served)).sum();
    let part = |s: &Slice| {
        let share = units(&s.served) as f64 / all as f64;
        share * share * variance(arm(s)) / units(arm(s)) as f64
    };
    strata.iter().map(part).sum()
}

fn difference(value: f64, centre: f64, se: f64, least: f64, held_out: i64) -> Difference {
    let interval = (centre - NORMAL_95 * se, centre + NORMAL_95 * se);
    let told = interval.0 > 0.0 || interval.1 < 0.0;
    // The standard error falls as the root of the units.
    let factor = ((NORMAL_95 + NORMAL_80) * se / value.abs().max(least)).powi(2);
    let needed = (held_out as f64 * (factor - 1.0)).max(0.0).ceil();
    Difference { value, interval, held_out_units_needed: if told { 0 } else { needed as u64 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(units: i64, accepted: i64, costs: &[i64]) -> ProofTally {
        let each = units / costs.len() as i64;
        let (cost, squares) = costs.iter().fold((0, 0), |(c, s), x| (c + x, s + x * x));
        let (cost, cost_squared) = (i128::from(cost * each), i128::from(squares * each));
        ProofTally { units, accepted, costed: units, cost, cost_squared }
    }

    #[test]
    fn worked_example_of_one_stratum() {
        // Served: 200 units at 1 or 3, 190 accepted; held out: 100 at 4 or 6, 90 accepted. By hand: 5 − 2 = 3,
        // variances 200/199/200 + 100/99/100 = .015126, se .122988; p̃ 191/202 and 91/102,
        // .945545·.054455/200 + .892157·.107843/100 = .00121957, se .0349224; centre .945545 − .892157.
        let slice = Slice { served: arm(200, 190, &[1, 3]), held_out: arm(100, 90, &[4, 6]) };
        let Uplift { saved_nano, acceptance, strata } = uplift(&[slice], 0.02);
        let (saved_nano, acceptance) = (saved_nano.unwrap(), acceptance.unwrap());
        assert_eq!((saved_nano.value, strata), (3.0, 1));
        let (low, high) = saved_nano.interval;
        assert!((low - 2.797_702).abs() < 1e-5 && (high - 3.202_298).abs() < 1e-5, "{low} {high}");
        assert!((acceptance.value - 0.05).abs() < 1e-12);
        let (low, high) = acceptance.interval;
        assert!((low + 0.004_054).abs() < 1e-5 && (high - 0.110_830).abs() < 1e-5, "{low} {high}");
        // (2.486475 · .0349224 / .05)² = 3.01606: so many times 100, less the 100 there are.
        assert_eq!((saved_nano.held_out_units_needed, acceptance.held_out_units_needed), (0, 202));
    }

    #[test]
    fn shares_that_change_with_the_price_of_the_work_deceive_nobody() {
        // The same work costs 10 before and 20 after, in both arms; most is held out before, little after.
        let phase = |served, held_out, cost| Slice {
            served: arm(served, served, &[cost]),
            held_out: arm(held_out, held_out, &[cost]),
        };
        let found = uplift(&[phase(100, 900, 10), phase(900, 100, 20)], 0.02);
        assert_eq!((found.saved_nano.unwrap().value, found.acceptance.unwrap().value, found.strata), (0.0, 0.0, 2));
    }

    #[test]
    fn no_interval_of_acceptance_leaves_the_differences_there_can_be() {
        // p̃ 101/102 and 1/102: centre .980392, se (2 · .990196 · .009804 / 100)^½ = .013934; + 1.645 se is 1.0033.
        let (all, none) = (arm(100, 100, &[1]), arm(100, 0, &[1]));
        for (served, held_out, sign) in [(all, none, 1.0), (none, all, -1.0)] {
            let found = uplift(&[Slice { served, held_out }], 0.02).acceptance.unwrap();
            let (low, high) = found.interval;
            let [outer, inner] = if sign > 0.0 { [high, low] } else { [low, high] };
            assert_eq!((found.value, outer), (sign, sign));
            assert!((inner - sign * 0.957_473).abs() < 1e-5, "{inner}");
        }
    }

    #[test]
    fn thin_spans_are_joined_and_too_few_units_refused() {
        let thin = Slice { served: arm(9, 9, &[1]), held_out: arm(1, 1, &[1]) };
        assert_eq!(uplift(&[thin; 150], 0.02).strata, 7, "150 held out: 7 times 20");
        let few = Uplift { saved_nano: Err(1), acceptance: Err(1), strata: 0 };
        assert_eq!(uplift(&[thin; 99], 0.02), few);
        assert_eq!(uplift(&[], 0.02).saved_nano, Err(100));
        let equal = uplift(&[thin; 100], 0.02);
        assert_eq!(equal.saved_nano.unwrap().interval, (0.0, 0.0), "nothing varies");
        let (worst, best) = equal.acceptance.unwrap().interval;
        assert!(best - worst > 0.01, "no failure is not no doubt");
        let unpriced = Slice { held_out: ProofTally { costed: 0, cost: 0, cost_squared: 0, ..thin.held_out }, ..thin };
        let found = uplift(&[unpriced; 100], 0.02);
        assert_eq!((found.saved_nano, found.acceptance.is_ok()), (Err(100), true), "costs may come later than ends");
    }
}
