//! Evidence that one success rate is not far below another, which holds whenever somebody looks and however the calls were given
//! out. It exists beside the over-provisioning flag, whose probability is only meant for the looks it takes. It refuses to know
//! models and costs.

use super::contextual::log_gamma;

/// Successes and failures.
pub type Counts = (u64, u64);

/// An e-value of at least this many times the comparisons made certifies: by Ville's inequality a false one ever comes up in 5 %
/// of the task types at most.
pub const CERTIFIES: f64 = 20.0;

/// Natural logarithm of the e-value against p < q − δ, where `p` are the counts of the one, `q` those of the other and δ the
/// `margin`, in [0, 1].
///
/// E = ∫∫ L(p, q) dJ(p) dJ(q) ÷ sup {L(p, q): p ≤ q − δ}, L the likelihood of all outcomes and J Jeffreys' prior Beta(½, ½).
/// Under the null E is at most a likelihood ratio with expectation 1, at any time and under any rule that gives calls out by what
/// came of earlier ones (Robbins 1970; Wasserman, Ramdas and Balakrishnan, Universal inference, 2020, section 8).
#[must_use]
pub fn ln_e_value(p: Counts, q: Counts, margin: f64) -> f64 {
    ln_mixture(p) + ln_mixture(q) - ln_largest(p, q, margin)
}

/// ln of the likelihood of the outcomes, in their order, under Beta(½, ½): B(S + ½, F + ½) ÷ B(½, ½).
fn ln_mixture((won, lost): Counts) -> f64 {
    let (won, lost) = (won as f64 + 0.5, lost as f64 + 0.5);
    log_gamma(won) + log_gamma(lost) - log_gamma(won + lost) - std::f64::consts::PI.ln()
}

/// ln of the largest likelihood where p ≤ q − δ. It is that of the rates found where these are in the null; else it lies on the
/// border, along which the likelihood is concave: the place where its slope is 0 is found by halving.
fn ln_largest(p: Counts, q: Counts, margin: f64) -> f64 {
    let rate = |(won, lost): Counts| if won + lost > 0 { won as f64 / (won + lost) as f64 } else { 0.5 };
    let of = |(won, lost): Counts, rate: f64| times(won, rate.ln()) + times(lost, (-rate).ln_1p());
    let inside = rate(p) <= rate(q) - margin;
    if inside {
        return of(p, rate(p)) + of(q, rate(q));
    }
    let (mut low, mut high) = (0.0, (1.0 - margin).max(0.0));
    let slope = |(won, lost): Counts, rate: f64| over(won, rate) - over(lost, 1.0 - rate);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        let rises = slope(p, middle) + slope(q, middle + margin) > 0.0;
        *(if rises { &mut low } else { &mut high }) = middle;
    }
    let border = f64::midpoint(low, high);
    of(p, border) + of(q, border + margin)
}

/// 0 · ln 0 is 0 here: what never happened says nothing.
fn times(count: u64, ln: f64) -> f64 {
    if count == 0 { 0.0 } else { count as f64 * ln }
}

fn over(count: u64, rate: f64) -> f64 {
    if count == 0 { 0.0 } else { count as f64 / rate }
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;
    use crate::domain::draw::decision_rng;

    #[test]
    fn worked_values() {
        // One success each, δ = 0: mixtures ½ · ½, largest likelihood 1 at p = q = 1.
        assert!((ln_e_value((1, 0), (1, 0), 0.0) - 0.25_f64.ln()).abs() < 1e-9);
        // p wins, q loses: under p ≤ q the best is p = q = ½, likelihood ¼.
        assert!(ln_e_value((1, 0), (0, 1), 0.0).abs() < 1e-9);
        // Nothing known: no evidence.
        assert!(ln_e_value((0, 0), (0, 0), 0.02).abs() < 1e-9);
        // p loses, q wins: the null's own best is sure of both.
        assert!((ln_e_value((0, 1), (1, 0), 0.5) - 0.25_f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn it_grows_with_evidence_and_falls_with_a_smaller_margin() {
        let at = |n: u64, margin| ln_e_value((n * 98 / 100, n * 2 / 100), (n * 98 / 100, n * 2 / 100), margin);
        assert!(at(10_000, 0.02) > at(2_000, 0.02) && at(10_000, 0.02) > 20.0, "{}", at(10_000, 0.02));
        assert!(at(10_000, 0.02) > at(10_000, 0.01) && at(10_000, 0.0) < 0.0);
    }

    #[test]
    fn at_the_null_it_seldom_ever_certifies_however_often_one_looks() {
        // .94 against .96 with δ = .02, looked at after each of 3,000 outcomes; the better one so far gets nine of ten calls.
        let ever = |rep: u64| {
            let mut rng = decision_rng(20, rep);
            let (mut p, mut q) = ((0, 0), (0, 0));
            (0..3_000).any(|_| {
                let better = |(won, lost): Counts| (won as f64 + 1.0) / ((won + lost) as f64 + 2.0);
                let to_p = (better(p) > better(q)) == (rng.random::<f64>() < 0.9);
                let (of, rate) = if to_p { (&mut p, 0.94) } else { (&mut q, 0.96) };
                *(if rng.random::<f64>() < rate { &mut of.0 } else { &mut of.1 }) += 1;
                ln_e_value(p, q, 0.02) >= CERTIFIES.ln()
            })
        };
        let certified = (0..100).filter(|rep| ever(*rep)).count();
        assert!(certified <= 5, "seed 20: {certified} of 100 runs");
    }
}
