//! What candidates can do in each stratum of a task type's requests: more than their Beta posteriors where the strata
//! differ, and exactly those where they do not.
//!
//! The model, of candidate i in stratum s: p_is ~ Beta(κ·m_is, κ·(1 − m_is)) with m_is = logistic(a_i + b_s). b_s is how hard
//! the stratum is for everybody, a_i how good the candidate is, and κ how far it strays from the sum of both; κ = ∞ says not at
//! all. What is told is one Beta per candidate and stratum, so that draws and propensities stay as exact as without strata.
//!
//! It refuses to know what strata mean, how their counts were weighed, and who chooses by them.

use super::beta::{Beta, logistic};
use super::strata::Stratum;

/// The chance, before any evidence, that a candidate strays from the sum of its level and the stratum's.
const STRAYS: f64 = 0.15;

/// How many candidates' evidence that chance weighs as.
const STRAYS_STRENGTH: f64 = 2.0;

/// How far a candidate that strays may do so: p_is has a standard deviation of √(m(1 − m) / (κ + 1)). The first says that it does
/// not; the others are a factor of four apart, from 22 points at m = ½ to 6.
const KAPPAS: [f64; 4] = [f64::INFINITY, 4.0, 16.0, 64.0];

/// The largest variance of b_s; its prior is normal.
const SHIFT_VARIANCE_MAX: f64 = 4.0;

/// Rounds in which levels and shifts are brought in line with each other.
const ROUNDS: usize = 3;

/// What is known of one candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Its posterior over all requests, prior included.
    pub whole: Beta,
    /// The part of its evidence whose stratum is known, as rewards won and lost, rising by stratum.
    pub strata: Vec<(Stratum, (f64, f64))>,
}

/// Posteriors of candidates by stratum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fit {
    strata: Vec<Stratum>,
    candidates: Vec<Fitted>,
}

#[derive(Clone, Debug, PartialEq)]
struct Fitted {
    strays: f64,
    /// One for each stratum, and the last for one never seen.
    posteriors: Vec<Beta>,
}

impl Fit {
    /// The posterior of the candidate at that place in the list given, in `stratum`.
    ///
    /// # Panics
    /// No candidate has that place.
    #[must_use]
    pub fn posterior(&self, candidate: usize, stratum: Stratum) -> Beta {
        let posteriors = &self.candidates[candidate].posteriors;
        posteriors[self.strata.binary_search(&stratum).unwrap_or(posteriors.len() - 1)]
    }

    /// The probability, in [0, 1], that the strata matter to this candidate otherwise than to all.
    ///
    /// # Panics
    /// No candidate has that place.
    #[must_use]
    pub fn strays(&self, candidate: usize) -> f64 {
        self.candidates[candidate].strays
    }
}

/// Won and lost in one stratum.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    won: f64,
    lost: f64,
}

impl Counts {
    fn all(self) -> f64 {
        self.won + self.lost
    }
}

/// One candidate on the way to its posteriors.
struct Work {
    whole: Beta,
    /// By stratum; the last, of a stratum never seen, stays empty.
    counts: Vec<Counts>,
    /// Evidence of no stratum, and the prior.
    rest: Counts,
    level: f64,
    /// Level, its information and log evidence for each κ.
    by_kappa: [(f64, f64, f64); KAPPAS.len()],
}

/// Fits the model to what is known of the candidates of one task type.
///
/// b_s by iterated scoring, shrunk by the method of moments (DerSimonian and Laird, Meta-analysis in clinical trials, 1986,
/// equation 8), to exactly 0 where the strata differ no more than by chance. For each κ a_i by weighted scoring (a stratum's counts
/// weigh (κ + 1)/(κ + n), their effective number under over-dispersion; Williams, Extra-binomial variation in logistic linear
/// models, 1982), and its evidence by the Beta-binomial likelihood with Laplace's approximation over a_i. The share of candidates that
/// stray is learned from all of them. Mean and variance of the mixture over κ are those of the Beta told.
/// It takes some 0.2 µs for each candidate, occupied stratum and κ.
#[must_use]
pub fn fit(known: &[Known]) -> Fit {
    let mut strata: Vec<Stratum> = known.iter().flat_map(|k| k.strata.iter().map(|s| s.0)).collect();
    strata.sort_unstable();
    strata.dedup();
    if strata.len() < 2 {
        let whole = |k: &Known| Fitted { strays: 0.0, posteriors: vec![k.whole; strata.len() + 1] };
        return Fit { candidates: known.iter().map(whole).collect(), strata };
    }
    let mut all: Vec<Work> = known.iter().map(|k| Work::new(k, &strata)).collect();
    let shifts = shifts(&mut all, strata.len());
    for work in &mut all {
        work.weigh_kappas(&shifts);
    }
    let share = share_that_strays(&all);
    let is_flat = shifts.iter().all(|b| *b == 0.0);
    let fitted = |work: &Work| {
        let weights = work.weights(share);
        let posteriors = (0..=strata.len()).map(|s| work.posterior(s, shifts[s], &weights, is_flat)).collect();
        Fitted { strays: 1.0 - weights[0], posteriors }
    };
    Fit { candidates: all.iter().map(fitted).collect(), strata }
}

impl Work {
    fn new(known: &Known, strata: &[Stratum]) -> Self {
        let mut counts = vec![Counts::default(); strata.len() + 1];
        for (stratum, (won, lost)) in &known.strata {
            if let Ok(at) = strata.binary_search(stratum) {
                counts[at] = Counts { won: *won, lost: *lost };
            }
        }
        let (won, lost) = counts.iter().fold((0.0, 0.0), |sum, c| (sum.0 + c.won, sum.1 + c.lost));
        // The prior is in it, so nothing is left only where rounding has it so.
        let left = |whole: f64, part: f64| (whole - part).max(1e-6);
        let rest = Counts { won: left(known.whole.alpha(), won), lost: left(known.whole.beta(), lost) };
        let level = (known.whole.alpha() / known.whole.beta()).ln();
        Self { whole: known.whole, counts, rest, level, by_kappa: Default::default() }
    }

    /// The level that fits best where a stratum's counts weigh what κ says, and the information on it.
    fn level(&self, shifts: &[f64], kappa: f64) -> (f64, f64) {
        let (mut level, mut information) = (self.level, 0.0);
        for _ in 0..3 {
            let p = logistic(level);
            let mut score = self.rest.won - self.rest.all() * p;
            information = self.rest.all() * p * (1.0 - p);
            for (counts, shift) in self.counts.iter().zip(shifts).filter(|(c, _)| c.all() > 0.0) {
                let weight = if kappa.is_finite() { (kappa + 1.0) / (kappa + counts.all()) } else { 1.0 };
                let p = logistic(level + shift);
                score += weight * (counts.won - counts.all() * p);
                information += weight * counts.all() * p * (1.0 - p);
            }
            information = information.max(1e-9);
            let step = (score / information).clamp(-1.0, 1.0);
            level += step;
            if step.abs() < 1e-3 {
                break;
            }
        }
        (level, information)
    }

    fn weigh_kappas(&mut self, shifts: &[f64]) {
        self.by_kappa = KAPPAS.map(|kappa| {
            let (level, information) = self.level(shifts, kappa);
            let of_strata = self.counts.iter().zip(shifts).filter(|(c, _)| c.all() > 0.0);
            let told: f64 = of_strata.map(|(c, shift)| log_likelihood(*c, level + shift, kappa)).sum();
            (level, information, told + log_likelihood(self.rest, level, f64::INFINITY) - 0.5 * information.ln())
        });
    }

    /// ln of how much likelier the evidence is if the candidate strays, all ways to do so alike.
    fn log_factor(&self) -> f64 {
        let straying = self.by_kappa[1..].iter().map(|k| k.2);
        let most = straying.clone().fold(f64::NEG_INFINITY, f64::max);
        let mean = straying.map(|log| (log - most).exp()).sum::<f64>() / (KAPPAS.len() - 1) as f64;
        most + mean.ln() - self.by_kappa[0].2
    }

    /// The probability of each κ where that share of the candidates strays.
    fn weights(&self, share: f64) -> [f64; KAPPAS.len()] {
        let mut weights = self.by_kappa.map(|k| k.2);
        let most = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for (place, weight) in weights.iter_mut().enumerate() {
            let prior = if place == 0 { 1.0 - share } else { share / (KAPPAS.len() - 1) as f64 };
            *weight = prior * (*weight - most).exp();
        }
        let sum: f64 = weights.iter().sum();
        weights.map(|weight| weight / sum)
    }

    /// The Beta with mean and variance of the mixture over κ.
    fn posterior(&self, stratum: usize, shift: f64, weights: &[f64; KAPPAS.len()], is_flat: bool) -> Beta {
        let counts = self.counts[stratum];
        let (mut first, mut second) = (0.0, 0.0);
        for ((kappa, weight), (level, information, _)) in KAPPAS.into_iter().zip(weights).zip(self.by_kappa) {
            let expected = logistic(level + shift);
            let noise = expected * (1.0 - expected);
            // Of a level alone this is the variance of a Beta with α + β = information / noise.
            let variance_of_expected = noise * noise / (information + noise);
            let (mean, variance) = match kappa {
                f64::INFINITY if is_flat => (self.whole.mean(), self.whole.standard_deviation().powi(2)),
                f64::INFINITY => (expected, variance_of_expected),
                _ => {
                    let all = kappa + counts.all();
                    let (mean, pull) = ((kappa * expected + counts.won) / all, kappa / all);
                    (mean, mean * (1.0 - mean) / (all + 1.0) + pull * pull * variance_of_expected)
                }
            };
            first += weight * mean;
            second += weight * (variance + mean * mean);
        }
        let mass = (first * (1.0 - first) / (second - first * first) - 1.0).max(0.1);
        Beta::new(first * mass, (1.0 - first) * mass).unwrap_or(self.whole)
    }
}

/// How much harder or easier each stratum is than the mean one, on the scale of log odds; a last 0 for one never seen. Brings the
/// levels of the candidates in line.
fn shifts(all: &mut [Work], strata: usize) -> Vec<f64> {
    let mut shifts = vec![0.0; strata + 1];
    for _ in 0..ROUNDS {
        let (mut raw, mut information) = (vec![0.0; strata], vec![0.0; strata]);
        for s in 0..strata {
            let mut score = 0.0;
            for work in all.iter().filter(|w| w.counts[s].all() > 0.0) {
                let (counts, p) = (work.counts[s], logistic(work.level + shifts[s]));
                score += counts.won - counts.all() * p;
                information[s] += counts.all() * p * (1.0 - p);
            }
            information[s] = information[s].max(1e-9);
            raw[s] = shifts[s] + score / information[s];
        }
        let (mean, variance) = spread(&raw, &information);
        for s in 0..strata {
            let kept = information[s] * variance / (1.0 + information[s] * variance);
            shifts[s] = kept * (raw[s] - mean);
        }
        if variance == 0.0 {
            break;
        }
        for work in all.iter_mut() {
            work.level = work.level(&shifts, f64::INFINITY).0;
        }
    }
    shifts
}

/// Mean and variance of what `raw` measures with that information each: more than chance makes of one value, else 0.
fn spread(raw: &[f64], information: &[f64]) -> (f64, f64) {
    let sum: f64 = information.iter().sum();
    let squares: f64 = information.iter().map(|i| i * i).sum();
    let mean = raw.iter().zip(information).map(|(x, i)| x * i).sum::<f64>() / sum;
    let far: f64 = raw.iter().zip(information).map(|(x, i)| i * (x - mean).powi(2)).sum();
    let beyond_chance = (far - (raw.len() as f64 - 1.0)) / (sum - squares / sum);
    let variance = if beyond_chance.is_finite() { beyond_chance.clamp(0.0, SHIFT_VARIANCE_MAX) } else { 0.0 };
    (mean, variance)
}

/// The share of candidates that stray, by ten rounds of expectation and maximisation from [`STRAYS`].
fn share_that_strays(all: &[Work]) -> f64 {
    let odds: Vec<f64> = all.iter().map(Work::log_factor).collect();
    (0..10).fold(STRAYS, |share: f64, _| {
        let straying: f64 = odds.iter().map(|odds| logistic((share / (1.0 - share)).ln() + odds)).sum();
        ((STRAYS * STRAYS_STRENGTH + straying) / (STRAYS_STRENGTH + odds.len() as f64)).clamp(1e-6, 1.0 - 1e-6)
    })
}

/// ln of the likelihood of `counts`, Beta-binomial around logistic(`at`); binomial where κ is infinite.
fn log_likelihood(counts: Counts, at: f64, kappa: f64) -> f64 {
    let p = logistic(at).clamp(1e-12, 1.0 - 1e-12);
    if kappa.is_infinite() {
        return counts.won * p.ln() + counts.lost * (1.0 - p).ln();
    }
    log_rise(kappa * p, counts.won) + log_rise(kappa * (1.0 - p), counts.lost) - log_rise(kappa, counts.all())
}

/// ln Γ(x + n) − ln Γ(x), of x > 0 and n ≥ 0.
fn log_rise(x: f64, n: f64) -> f64 {
    if n == 0.0 {
        return 0.0;
    }
    if n <= 16.0 && n.fract() == 0.0 {
        return (0..n as u32).map(|i| x + f64::from(i)).product::<f64>().ln();
    }
    log_gamma(x + n) - log_gamma(x)
}

/// ln Γ(x) of x > 0 by Stirling's series from 8 on (Abramowitz and Stegun, 6.1.41), and the recurrence below; to 1e-12 of
/// its size.
pub(super) fn log_gamma(x: f64) -> f64 {
    let (mut x, mut product) = (x, 1.0);
    while x < 8.0 {
        product *= x;
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1_260.0 - square / 1_680.0)));
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - product.ln()
}

#[cfg(test)]
#[path = "contextual_tests.rs"]
mod tests;
