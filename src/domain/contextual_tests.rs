//! The model of strata: exactly the Beta where nothing is known of strata or nothing depends on them, and the truth where it does.

use super::*;

fn beta(alpha: f64, beta: f64) -> Beta {
    Beta::new(alpha, beta).unwrap()
}

/// A candidate with Beta(1, 1) before these counts.
fn known(strata: &[(f64, f64)]) -> Known {
    let (won, lost) = strata.iter().fold((1.0, 1.0), |sum, c| (sum.0 + c.0, sum.1 + c.1));
    let number = |(i, counts): (usize, &(f64, f64))| (Stratum(i as u32 + 1), *counts);
    Known { whole: beta(won, lost), strata: strata.iter().enumerate().map(number).collect() }
}

fn means(fit: &Fit, candidate: usize, strata: u32) -> Vec<f64> {
    (1..=strata).map(|s| (fit.posterior(candidate, Stratum(s)).mean() * 1e3).round() / 1e3).collect()
}

#[test]
fn log_gamma_is_that_of_the_tables() {
    // From another implementation: math.lgamma of Python.
    let pinned = [
        (0.02, 3.900_804_516_098_377),
        (0.5, 0.572_364_942_924_700_4),
        (1.0, 0.0),
        (3.7, 1.428_072_326_665_388_3),
        (100.0, 359.134_205_369_575_4),
        (1e6, 12_815_504.569_147_61),
    ];
    for (x, expected) in pinned {
        let far = (log_gamma(x) - expected).abs();
        assert!(far < 1e-12 * expected.abs().max(10.0), "{x}: {}", log_gamma(x));
    }
}

#[test]
fn without_strata_the_posterior_is_the_beta_itself() {
    let none = Known { whole: beta(7.0, 3.0), strata: Vec::new() };
    let fit_of_none = fit(std::slice::from_ref(&none));
    assert_eq!(fit_of_none.posterior(0, Stratum(9)), none.whole);
    let one = known(&[(80.0, 20.0)]);
    let fit_of_one = fit(&[one.clone(), none]);
    assert_eq!((fit_of_one.posterior(0, Stratum(1)), fit_of_one.strays(0)), (one.whole, 0.0));
}

#[test]
fn strata_that_say_nothing_change_next_to_nothing() {
    let alike = [(95.0, 5.0), (190.0, 10.0), (286.0, 14.0), (94.0, 6.0)];
    let all = [known(&alike), known(&[(80.0, 20.0), (161.0, 39.0), (240.0, 60.0), (79.0, 21.0)])];
    let fit = fit(&all);
    for (i, candidate) in all.iter().enumerate() {
        assert!(fit.strays(i) < 0.06, "{}", fit.strays(i));
        for s in 1..=5 {
            let got = fit.posterior(i, Stratum(s));
            assert!((got.mean() - candidate.whole.mean()).abs() < 0.004, "{got:?}");
            assert!(got.standard_deviation() < 1.6 * candidate.whole.standard_deviation(), "{got:?}");
        }
    }
}

#[test]
fn a_candidate_that_is_bad_in_one_stratum_is_told_apart_there_alone() {
    let odd = known(&[(95.0, 5.0), (96.0, 4.0), (94.0, 6.0), (40.0, 60.0)]);
    let steady = known(&[(90.0, 10.0), (91.0, 9.0), (89.0, 11.0), (90.0, 10.0)]);
    let fit = fit(&[odd, steady]);
    assert!(fit.strays(0) > 0.99, "{}", fit.strays(0));
    let (odd, steady) = (means(&fit, 0, 4), means(&fit, 1, 4));
    assert!(odd[0] > 0.92 && odd[2] > 0.91 && odd[3] < 0.45, "{odd:?}");
    assert!(steady.iter().all(|m| (m - 0.9).abs() < 0.05), "{steady:?}");
    assert!(odd[0] > steady[0] && odd[3] < steady[3], "{odd:?} {steady:?}");
}

#[test]
fn what_is_hard_for_all_is_learned_from_all() {
    // The third was never tried in the hard stratum.
    let rows =
        [known(&[(95.0, 5.0), (50.0, 50.0)]), known(&[(90.0, 10.0), (33.0, 67.0)]), known(&[(93.0, 7.0), (0.0, 0.0)])];
    let fit = fit(&rows);
    let third = fit.posterior(2, Stratum(2)).mean();
    assert!((0.3..0.6).contains(&third), "{third}");
    assert!(fit.posterior(2, Stratum(1)).mean() > 0.9);
}

#[test]
fn shapes_stay_sound_at_the_ends() {
    let rows = [known(&[(1e9, 0.0), (0.0, 1e9)]), known(&[(0.0, 3.0), (1e-6, 0.0)]), known(&[])];
    let fit = fit(&rows);
    for i in 0..rows.len() {
        for s in 1..=3 {
            let mean = fit.posterior(i, Stratum(s)).mean();
            assert!((0.0..=1.0).contains(&mean), "{i} {s}: {mean}");
        }
    }
    assert!(fit.posterior(0, Stratum(1)).mean() > 0.999 && fit.posterior(0, Stratum(2)).mean() < 0.001);
}
