//! How sure a reported rate or cost is: 90 % intervals for a success rate and for the cost per success.
//!
//! It exists because both figures are shown next to each other on every page and must be honest at a few dozen calls.
//! It refuses to know where the sums come from and how they are shown; money is in dollars here, exact money is elsewhere.

use crate::domain::beta::{Beta, BetaGrid};

/// The share of intervals that should hold the true value.
pub const LEVEL: f64 = 0.9;

/// The 95 % point of the standard normal distribution: half of what [`LEVEL`] leaves lies above it.
pub const NORMAL_95: f64 = 1.644_853_626_951_472_2;

/// Below so many calls no interval of the cost per success is given.
pub const LEAST_CALLS: u64 = 30;

/// Below so many successes no interval of the cost per success is given.
pub const LEAST_SUCCESSES: u64 = 5;

/// What must be kept of calls with known cost and outcome; mergeable by adding field to field.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CostSuccessSums {
    /// Calls.
    pub n: u64,
    /// Successes among them; at most `n`.
    pub s: u64,
    /// Sum of the costs C, in dollars.
    pub sum_c: f64,
    /// Sum of C², in square dollars.
    pub sum_cc: f64,
    /// Sum of C over the successes, in dollars.
    pub sum_cy: f64,
}

/// Cost per success, in dollars.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CostPerSuccess {
    /// ΣC / S; `None` without a success.
    pub estimate: Option<f64>,
    /// 90 % interval; `None` below [`LEAST_CALLS`] or [`LEAST_SUCCESSES`].
    pub interval: Option<(f64, f64)>,
}

/// Cost per success with its 90 % interval, by the delta method on the logarithm of a ratio of means
/// (Cochran, Sampling Techniques, 3rd ed., §6.4; on the log scale as for Fieller's problem).
///
/// r = ΣC/S. With c̄ = ΣC/n, p̃ = (S + 1)/(n + 2), sample variance s_c² and covariance s_cy (both with n − 1):
/// se² = s_c²/(n·c̄²) + (1 − p̃)/(n·p̃) − 2·s_cy/(n·c̄·p̃), interval (c̄/p̃)·exp(∓1.645·se).
/// p̃ stands in the centre as well as in the error, so that a run without failures has width. Covers at least 87 % from n = 200 on
/// with failures costing up to three times as much as successes (simulated in the tests).
///
/// # Panics
/// With more successes than calls, a programmer's error (`INV-INTERVAL-1`).
#[must_use]
pub fn cost_per_success(sums: CostSuccessSums) -> CostPerSuccess {
    assert!(sums.s <= sums.n, "INV-INTERVAL-1: no more successes than calls");
    let estimate = (sums.s > 0).then(|| sums.sum_c / sums.s as f64);
    let enough = sums.n >= LEAST_CALLS && sums.s >= LEAST_SUCCESSES;
    CostPerSuccess { estimate, interval: enough.then(|| log_delta_interval(sums)) }
}

/// 90 % interval of the mean cost of a call, in dollars: c̄·exp(∓1.645·s_c/(c̄·√n)), the delta method on its logarithm; `None` below
/// [`LEAST_CALLS`].
#[must_use]
pub fn cost_per_call_interval(sums: CostSuccessSums) -> Option<(f64, f64)> {
    let n = sums.n as f64;
    let mean = (sums.n >= LEAST_CALLS).then(|| sums.sum_c / n)?;
    if mean <= 0.0 {
        return Some((0.0, 0.0));
    }
    let spread = (NORMAL_95 * (cost_variance(&sums) / n).sqrt() / mean).exp();
    Some((mean / spread, mean * spread))
}

/// s_c² with n − 1. Rounding can leave a variance of equal costs a hair below zero.
fn cost_variance(sums: &CostSuccessSums) -> f64 {
    let n = sums.n as f64;
    ((sums.sum_cc - sums.sum_c * (sums.sum_c / n)) / (n - 1.0)).max(0.0)
}

fn log_delta_interval(sums: CostSuccessSums) -> (f64, f64) {
    let (n, s) = (sums.n as f64, sums.s as f64);
    let mean_cost = sums.sum_c / n;
    if mean_cost <= 0.0 {
        return (0.0, 0.0);
    }
    let rate = (s + 1.0) / (n + 2.0);
    let cost_variance = cost_variance(&sums);
    let covariance = (sums.sum_cy - mean_cost * s) / (n - 1.0);
    let relative_variance =
        cost_variance / (mean_cost * mean_cost) + (1.0 - rate) / rate - 2.0 * covariance / (mean_cost * rate);
    let spread = (NORMAL_95 * (relative_variance.max(0.0) / n).sqrt()).exp();
    let centre = mean_cost / rate;
    (centre / spread, centre * spread)
}

/// Equal-tailed 90 % interval of a success rate: of Beta(1 + `successes`, 1 + `failures`).
/// Counts may be fractions (graded rewards, half-lives).
///
/// # Panics
/// If a count is negative or not finite, a programmer's error (`INV-INTERVAL-2`).
#[must_use]
pub fn success_rate_interval(successes: f64, failures: f64) -> (f64, f64) {
    let valid = |count: f64| count.is_finite() && count >= 0.0;
    let posterior = (valid(successes) && valid(failures)).then(|| Beta::new(1.0 + successes, 1.0 + failures)).flatten();
    assert!(posterior.is_some(), "INV-INTERVAL-2: counts are finite and not negative");
    posterior.map_or((0.0, 1.0), |posterior| BetaGrid::new(posterior).interval(LEVEL))
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::domain::draw::decision_rng;

    fn sums_of(calls: impl IntoIterator<Item = (f64, bool)>) -> CostSuccessSums {
        let mut sums = CostSuccessSums::default();
        for (cost, success) in calls {
            sums.n += 1;
            sums.s += u64::from(success);
            sums.sum_c += cost;
            sums.sum_cc += cost * cost;
            sums.sum_cy += if success { cost } else { 0.0 };
        }
        sums
    }

    #[test]
    fn worked_example() {
        // 40 calls, every fourth fails at $0.03, the others succeed at $0.01:
        // c̄ = .015, s_c² = .003/39, s_cy = −.15/39, p̃ = 31/42; by hand
        // se² = (.341880 + .354839 + .694789)/40 = .0347877, r̃ = .0203226, exp(1.644854·.186515) = 1.359100.
        let result =
            cost_per_success(sums_of((0..40).map(|call| if call % 4 == 0 { (0.03, false) } else { (0.01, true) })));
        assert!((result.estimate.unwrap() - 0.02).abs() < 1e-12);
        let (low, high) = result.interval.unwrap();
        assert!((low - 0.014_953).abs() < 1e-6 && (high - 0.027_620).abs() < 1e-6, "{low} {high}");
    }

    #[test]
    fn the_cost_of_a_call_is_known_as_well_as_its_spread_allows() {
        // 40 calls, every fourth at $0.03, the others at $0.01: s_c² = .003/39, 1.644854·√(.003/39/40)/.015 = .152067.
        let sums = sums_of((0..40).map(|call| if call % 4 == 0 { (0.03, false) } else { (0.01, true) }));
        let (low, high) = cost_per_call_interval(sums).unwrap();
        assert!((low - 0.015 * (-0.152_067f64).exp()).abs() < 1e-8, "{low}");
        assert!((high - 0.015 * 0.152_067f64.exp()).abs() < 1e-8, "{high}");
        assert_eq!(cost_per_call_interval(sums_of((0..29).map(|_| (0.5, true)))), None);
        assert_eq!(cost_per_call_interval(sums_of((0..30).map(|_| (0.0, true)))), Some((0.0, 0.0)));
    }

    #[test]
    fn without_success_there_is_no_figure_and_below_the_limits_no_interval() {
        let none = cost_per_success(sums_of((0..100).map(|_| (0.01, false))));
        assert_eq!(none, CostPerSuccess { estimate: None, interval: None });
        let few_calls = cost_per_success(sums_of((0..29).map(|_| (0.5, true))));
        assert_eq!(few_calls, CostPerSuccess { estimate: Some(0.5), interval: None });
        let few_successes = cost_per_success(sums_of((0..100).map(|call| (0.5, call < 4))));
        assert_eq!(few_successes, CostPerSuccess { estimate: Some(12.5), interval: None });
        assert!(cost_per_success(sums_of((0..30).map(|call| (0.5, call < 5)))).interval.is_some());
        assert_eq!(cost_per_success(CostSuccessSums::default()), CostPerSuccess { estimate: None, interval: None });
    }

    #[test]
    fn a_run_without_failures_has_width_and_free_calls_have_none() {
        let (low, high) = cost_per_success(sums_of((0..50).map(|_| (0.01, true)))).interval.unwrap();
        assert!(low < 0.01 && 0.01 < high && high - low > 1e-4, "{low} {high}");
        let free = cost_per_success(sums_of((0..50).map(|_| (0.0, true))));
        assert_eq!(free, CostPerSuccess { estimate: Some(0.0), interval: Some((0.0, 0.0)) });
    }

    #[test]
    #[should_panic(expected = "INV-INTERVAL-1")]
    fn more_successes_than_calls_is_a_bug() {
        let _ = cost_per_success(CostSuccessSums { n: 1, s: 2, ..CostSuccessSums::default() });
    }

    #[test]
    #[should_panic(expected = "INV-INTERVAL-2")]
    fn negative_counts_are_a_bug() {
        let _ = success_rate_interval(-1.0, 3.0);
    }

    #[test]
    fn success_rate_interval_matches_closed_forms() {
        // Beta(1, 1): the uniform distribution. Beta(1 + s, 1): F(x) = x^(1+s).
        let (low, high) = success_rate_interval(0.0, 0.0);
        assert!((low - 0.05).abs() < 1e-5 && (high - 0.95).abs() < 1e-5, "{low} {high}");
        let (low, high) = success_rate_interval(19.0, 0.0);
        assert!((low - 0.05f64.powf(0.05)).abs() < 1e-5 && (high - 0.95f64.powf(0.05)).abs() < 1e-5, "{low} {high}");
    }

    #[test]
    fn intervals_cover_in_simulation() {
        const SEED: u64 = 20_261;
        const RUNS: u64 = 1500;
        println!("seed {SEED}");
        for (setting, (rate, factor)) in
            [0.5, 0.8, 0.95, 0.99].into_iter().flat_map(|rate| [1.0, 2.0, 3.0].map(|factor| (rate, factor))).enumerate()
        {
            let truth = (rate + (1.0 - rate) * factor) / rate;
            let mut covered = 0u64;
            for run in 0..RUNS {
                let mut rng = decision_rng(SEED, setting as u64 * RUNS + run);
                let result = cost_per_success(sums_of((0..200).map(|_| {
                    let success = rng.random::<f64>() < rate;
                    // Costs spread evenly from half to one and a half times their mean.
                    let spread = 0.5 + rng.random::<f64>();
                    (spread * if success { 1.0 } else { factor }, success)
                })));
                let (low, high) = result.interval.unwrap();
                covered += u64::from(low <= truth && truth <= high);
            }
            let share = covered as f64 / RUNS as f64;
            println!("p {rate} factor {factor}: coverage {share:.3}");
            assert!(share >= 0.87, "seed {SEED}, p {rate}, factor {factor}: {share}");
        }
    }
}
