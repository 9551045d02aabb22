//! What another policy would have brought, from decisions of this one whose chances are known: importance sampling, its
//! self-normalised form, and the doubly robust estimate whose weights follow the learner (the headline).
//!
//! It exists because a router that learns does not sample as a plan would: a model it has given up is seen ever more seldom,
//! and plain weights then rest on a handful of calls. It refuses to know what the policies are and where the calls stand;
//! money is in dollars here, exact money is elsewhere.

use std::collections::BTreeMap;

use crate::domain::interval::NORMAL_95;

/// Below so many draws' worth of evidence nothing is answered (statistics §8).
pub const LEAST_EFFECTIVE: f64 = 100.0;

/// The share of the draws, in task types where the policy was never followed, above which nothing is answered.
const UNSEEN_MAX: f64 = 0.05;

/// Draws over which the spread of the weights is averaged, see [`Sample::spread`].
const SMOOTHED_OVER: f64 = 20.0;

/// The 97.5 % point of the standard normal distribution.
const NORMAL_975: f64 = 1.959_963_984_540_054;

/// What is told of a draw's calls: calls, successes, dollars.
type Totals = [f64; 3];
const CALLS: usize = 0;
const SUCCESSES: usize = 1;
const DOLLARS: usize = 2;

/// One draw of the router with all calls that share it, in the order of the draws.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The task type: draws of different ones are estimated apart and put together by their number.
    pub stratum: u32,
    /// Who was chosen.
    pub taken: u32,
    /// Whom the policy would have chosen, each with its probability above 0; these sum to 1.
    pub wanted: Vec<(u32, f64)>,
    /// The policy's probability of the one chosen, divided by the router's.
    pub weight: f64,
    /// Σ q²/π over those who competed, with q the policy's and π the router's probability: how far the weights spread.
    pub spread: f64,
    /// Calls whose success is known; at least 1.
    pub calls: u32,
    /// Successes among them.
    pub successes: u32,
    /// What they cost in dollars; `None` where the cost of any is unknown.
    pub cost_usd: Option<f64>,
}

/// A figure with its intervals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its 90 % interval.
    pub interval_90: (f64, f64),
    /// Its 95 % interval.
    pub interval_95: (f64, f64),
}

/// Success rate and costs of a policy, without intervals. Absent where nothing is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PolicyFigures {
    /// Successes divided by calls.
    pub success_rate: Option<f64>,
    /// Dollars a call.
    pub cost_per_call_usd: Option<f64>,
    /// Dollars a success.
    pub cost_per_success_usd: Option<f64>,
}

/// What a policy would have brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Draws it rests on.
    pub draws: u64,
    /// Calls that share them.
    pub calls: u64,
    /// Share of the draws whose calls have a known cost: the figures of cost rest on these.
    pub pricing_coverage: f64,
    /// So many draws of the policy itself would weigh as much (Kish 1965): (Σg)² / Σg² of the headline's weights g.
    pub effective_sample_size: f64,
    /// Why nothing is estimated; `None`: it is.
    pub refused: Option<String>,
    /// What really happened in the same draws.
    pub observed: PolicyFigures,
    /// Importance sampling: Σ w·R / Σ calls. The cost per success is that of `snips`.
    pub ips: PolicyFigures,
    /// Self-normalised: Σ w·R / Σ w·calls.
    pub snips: PolicyFigures,
    /// Success rate, doubly robust.
    pub success_rate: Option<Estimate>,
    /// Dollars a call, doubly robust.
    pub cost_per_call_usd: Option<Estimate>,
    /// Dollars a success, doubly robust.
    pub cost_per_success_usd: Option<Estimate>,
}

impl Sample {
    /// A draw among `ids`, each with the router's and the policy's probability, of which the one at `place` was chosen.
    ///
    /// # Panics
    /// If `place` is not among them or the router could not have chosen it, a programmer's error (`INV-EVALUATION-1`).
    #[must_use]
    pub fn new(stratum: u32, ids: &[u32], propensities: &[f64], wanted: &[f64], place: usize) -> Self {
        let possible = propensities.get(place).is_some_and(|p| *p > 0.0);
        assert!(possible, "INV-EVALUATION-1: the router chose somebody it could choose");
        let terms = propensities.iter().zip(wanted).filter(|(_, q)| **q > 0.0);
        Self {
            stratum,
            taken: ids[place],
            wanted: ids.iter().copied().zip(wanted.iter().copied()).filter(|(_, q)| *q > 0.0).collect(),
            weight: wanted[place] / propensities[place],
            spread: terms.map(|(p, q)| q * q / p.max(f64::MIN_POSITIVE)).sum(),
            calls: 0,
            successes: 0,
            cost_usd: None,
        }
    }

    fn totals(&self) -> Totals {
        [f64::from(self.calls), f64::from(self.successes), self.cost_usd.unwrap_or(0.0)]
    }
}

/// What the policy would have brought whose probabilities `samples` carry. They stand in the order of the draws.
///
/// Every draw i gets the score Γ = Σ_a q(a)·μ̂(a) + w·(R − μ̂(A)), with w = q(A)/π(A) and μ̂ the means of the draws before it: its
/// expectation is the policy's value whatever μ̂ is (Robins, Rotnitzky and Zhao 1994; Dudík, Langford and Li 2011). The
/// scores are averaged with weights h = (Σ q²/π)^(−1/2), which is √π for one certain model: draws made when the learner
/// had nearly given it up count less, and the average is then close to normal (Hadad, Hirshberg, Zhan, Wager and Athey
/// 2021, eq. 5 and "`StableVar`"; for more than one model Zhan et al. 2021). Σ q²/π is the mean of the last draws, this one left out, so that
/// what a request is like does not move its weight. A rate is a ratio of two such averages; its error is that of the
/// ratio's residuals (delta method), on the logarithm for a cost.
///
/// The weights rest on the outcomes before, so a little of the bias of a plain mean remains: at always the worst of .80, .85 and .92 with
/// η = .01, 5,000 draws and 200 runs, −.008 where the deviation is .063.
#[must_use]
pub fn evaluate(samples: &[Sample]) -> Evaluation {
    let found = evaluate_thin(samples);
    if found.refused.is_none() {
        return found;
    }
    let Evaluation { draws, calls, pricing_coverage, effective_sample_size, refused, observed, .. } = found;
    Evaluation { draws, calls, pricing_coverage, effective_sample_size, refused, observed, ..Evaluation::default() }
}

/// [`evaluate`] that also estimates what it would refuse; for showing how far such estimates can be trusted.
#[must_use]
pub fn evaluate_thin(samples: &[Sample]) -> Evaluation {
    let priced: Vec<&Sample> = samples.iter().filter(|s| s.cost_usd.is_some()).collect();
    let all: Vec<&Sample> = samples.iter().collect();
    let mut evaluation = Evaluation {
        draws: samples.len() as u64,
        calls: samples.iter().map(|s| u64::from(s.calls)).sum(),
        pricing_coverage: priced.len() as f64 / samples.len().max(1) as f64,
        observed: figures(&all, &priced, |_| 1.0, false),
        ..Evaluation::default()
    };
    let scores = Scores::new(&all);
    evaluation.effective_sample_size = scores.effective;
    evaluation.refused = scores.too_thin();
    evaluation.ips = figures(&all, &priced, |s| s.weight, true);
    evaluation.snips = figures(&all, &priced, |s| s.weight, false);
    evaluation.success_rate = scores.rate();
    let scores = Scores::new(&priced);
    evaluation.cost_per_call_usd = scores.cost(CALLS);
    evaluation.cost_per_success_usd = scores.cost(SUCCESSES);
    evaluation
}

/// What a policy would have brought by its self-normalised weights alone. Absent where nothing is known of it, or it was refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SelfNormalised {
    /// (Σw)² / Σw² (Kish 1965).
    pub effective_sample_size: f64,
    /// Why nothing is estimated; `None`: it is.
    pub refused: Option<String>,
    /// Successes divided by calls.
    pub success_rate: Option<Estimate>,
    /// Dollars a call, where costs are known.
    pub cost_per_call_usd: Option<Estimate>,
    /// Dollars a success, where costs are known.
    pub cost_per_success_usd: Option<Estimate>,
}

/// Σ w·R / Σ w·calls with intervals: the ratio of two weighted sums, its error that of the ratio's residuals (delta method, on the
/// logarithm for a cost; Hesterberg 1995, "Weighted average importance sampling and defensive mixture distributions"). The
/// unit is a draw. Refused by the bounds of [`evaluate`].
#[must_use]
pub fn self_normalised(samples: &[Sample]) -> SelfNormalised {
    let all: Vec<&Sample> = samples.iter().collect();
    let priced: Vec<&Sample> = samples.iter().filter(|s| s.cost_usd.is_some()).collect();
    let scores = Scores::weighted(&all);
    let found = SelfNormalised {
        effective_sample_size: scores.effective,
        refused: scores.too_thin(),
        ..SelfNormalised::default()
    };
    if found.refused.is_some() {
        return found;
    }
    let costs = Scores::weighted(&priced);
    SelfNormalised {
        success_rate: scores.rate(),
        cost_per_call_usd: costs.cost(CALLS),
        cost_per_success_usd: costs.cost(SUCCESSES),
        ..found
    }
}

/// Ratios of weighted sums; `plain`: calls count unweighted beneath.
fn figures(all: &[&Sample], priced: &[&Sample], weight: impl Fn(&Sample) -> f64, plain: bool) -> PolicyFigures {
    let sum = |of: &[&Sample], what: usize| -> f64 { of.iter().map(|s| weight(s) * s.totals()[what]).sum() };
    let beneath =
        |of: &[&Sample]| -> f64 { if plain { of.iter().map(|s| f64::from(s.calls)).sum() } else { sum(of, CALLS) } };
    let ratio = |over: f64, under: f64| (under > 0.0).then(|| over / under);
    PolicyFigures {
        success_rate: ratio(sum(all, SUCCESSES), beneath(all)),
        cost_per_call_usd: ratio(sum(priced, DOLLARS), beneath(priced)),
        cost_per_success_usd: ratio(sum(priced, DOLLARS), sum(priced, SUCCESSES)),
    }
}

/// The doubly robust scores with the share each has in the average; the shares sum to 1.
struct Scores {
    rows: Vec<(f64, Totals)>,
    effective: f64,
    /// Share of the draws in strata where the policy was never followed.
    unseen: f64,
}

/// What is known of one stratum so far.
struct Past {
    draws: f64,
    spread: f64,
    sum: Totals,
    by_candidate: BTreeMap<u32, (f64, Totals)>,
    /// Σh, and Σh·w.
    share: f64,
    followed: f64,
}

impl Past {
    /// Before the first draw it is expected that a draw has one call; of successes and cost nothing is known.
    fn new(spread: f64) -> Self {
        let sum = [1.0, 0.5, 0.0];
        Self { draws: 1.0, spread, sum, by_candidate: BTreeMap::new(), share: 0.0, followed: 0.0 }
    }

    /// The mean of a candidate, drawn towards that of all by one draw.
    fn mean(&self, candidate: u32) -> Totals {
        let (n, own) = self.by_candidate.get(&candidate).copied().unwrap_or_default();
        std::array::from_fn(|i| (own[i] + self.sum[i] / self.draws) / (n + 1.0))
    }

    fn learn(&mut self, sample: &Sample) {
        let totals = sample.totals();
        let (n, own) = self.by_candidate.entry(sample.taken).or_default();
        *n += 1.0;
        self.draws += 1.0;
        for i in 0..totals.len() {
            own[i] += totals[i];
            self.sum[i] += totals[i];
        }
        self.spread += (sample.spread - self.spread) / self.draws.min(SMOOTHED_OVER);
    }
}

impl Scores {
    fn new(samples: &[&Sample]) -> Self {
        let mut strata: BTreeMap<u32, Past> = BTreeMap::new();
        let mut rows: Vec<(f64, Totals)> = Vec::with_capacity(samples.len());
        for sample in samples {
            let past = strata.entry(sample.stratum).or_insert_with(|| Past::new(sample.spread));
            let h = past.spread.powf(-0.5);
            let own = past.mean(sample.taken);
            let told = sample.totals();
            let mut score: Totals = std::array::from_fn(|i| sample.weight * (told[i] - own[i]));
            for (candidate, chance) in &sample.wanted {
                let mean = past.mean(*candidate);
                (0..score.len()).for_each(|i| score[i] += chance * mean[i]);
            }
            past.share += h;
            past.followed += h * sample.weight;
            past.learn(sample);
            rows.push((h, score));
        }
        let n = samples.len().max(1) as f64;
        let share = |past: &Past| (past.draws - 1.0) / n;
        let unseen = strata.values().filter(|p| p.followed == 0.0).map(share).sum();
        let (mut sum, mut squares) = (0.0, 0.0);
        for (row, sample) in rows.iter_mut().zip(samples) {
            let past = &strata[&sample.stratum];
            row.0 *= share(past) / past.share;
            let weight = row.0 * sample.weight;
            (sum, squares) = (sum + weight, squares + weight * weight);
        }
        let effective = if squares > 0.0 { sum * sum / squares } else { 0.0 };
        Self { rows, effective, unseen }
    }

    /// The plain scores w·R, each of the same share.
    fn weighted(samples: &[&Sample]) -> Self {
        let share = 1.0 / samples.len().max(1) as f64;
        let row = |sample: &&Sample| (share, sample.totals().map(|told| sample.weight * told));
        let mut followed: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
        let (mut sum, mut squares) = (0.0, 0.0);
        for sample in samples {
            let of = followed.entry(sample.stratum).or_default();
            *of = (of.0 + share, of.1 + sample.weight);
            (sum, squares) = (sum + sample.weight, squares + sample.weight * sample.weight);
        }
        Self {
            rows: samples.iter().map(row).collect(),
            effective: if squares > 0.0 { sum * sum / squares } else { 0.0 },
            unseen: followed.values().filter(|of| of.1 == 0.0).map(|of| of.0).sum(),
        }
    }

    fn too_thin(&self) -> Option<String> {
        if self.effective < LEAST_EFFECTIVE {
            return Some(format!(
                "the router's own choices resemble this policy too seldom: they are worth {:.0} draws of it, and \
                 {LEAST_EFFECTIVE} are needed; look further back, or give it a share of the traffic",
                (self.effective + 1e-9).floor()
            ));
        }
        (self.unseen > UNSEEN_MAX).then(|| {
            format!(
                "for {:.0} % of the draws, those of whole task types, the router never chose what this policy would \
                 have; ask for single task types",
                100.0 * self.unseen
            )
        })
    }

    /// The ratio of two averages with its standard error; `None` where the lower one is not above 0.
    fn ratio(&self, over: usize, under: usize) -> Option<(f64, f64)> {
        let mean = |what: usize| -> f64 { self.rows.iter().map(|(share, score)| share * score[what]).sum() };
        let (top, bottom) = (mean(over), mean(under));
        let value = (bottom > 0.0).then(|| top / bottom)?;
        let residual = |(share, score): &(f64, Totals)| (share * (score[over] - value * score[under])).powi(2);
        let error = self.rows.iter().map(residual).sum::<f64>().sqrt() / bottom;
        Some((value, error))
    }

    fn rate(&self) -> Option<Estimate> {
        let (value, error) = self.ratio(SUCCESSES, CALLS)?;
        let within = |z: f64| ((value - z * error).clamp(0.0, 1.0), (value + z * error).clamp(0.0, 1.0));
        Some(Estimate { value: value.clamp(0.0, 1.0), interval_90: within(NORMAL_95), interval_95: within(NORMAL_975) })
    }

    fn cost(&self, beneath: usize) -> Option<Estimate> {
        let (value, error) = self.ratio(DOLLARS, beneath)?;
        if value <= 0.0 {
            return Some(Estimate { value: 0.0, interval_90: (0.0, 0.0), interval_95: (0.0, 0.0) });
        }
        let within = |z: f64| (value / (z * error / value).exp(), value * (z * error / value).exp());
        Some(Estimate { value, interval_90: within(NORMAL_95), interval_95: within(NORMAL_975) })
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;
    use crate::domain::draw::decision_rng;

    const SEED: u64 = 2021;

    /// A draw between candidates 0 and 1, taken with these probabilities, for a policy that always takes 1.
    fn drawn(chance_of_1: f64, taken: usize, success: bool) -> Sample {
        let sample = Sample::new(0, &[0, 1], &[1.0 - chance_of_1, chance_of_1], &[0.0, 1.0], taken);
        let cost_usd = Some(if taken == 1 { 0.04 } else { 0.01 });
        Sample { calls: 1, successes: u32::from(success), cost_usd, ..sample }
    }

    /// 400 draws at even chances: every other one takes 1, which succeeds three times of four; 0 never succeeds.
    fn even() -> Vec<Sample> {
        (0..400).map(|n| drawn(0.5, n % 2, n % 2 == 1 && n % 8 != 1)).collect()
    }

    #[test]
    fn worked_example() {
        let found = evaluate(&even());
        assert_eq!((found.draws, found.calls, found.pricing_coverage, found.refused), (400, 400, 1.0, None));
        let figures = |success_rate, call, success| PolicyFigures {
            success_rate: Some(success_rate),
            cost_per_call_usd: Some(call),
            cost_per_success_usd: Some(success),
        };
        let close = |a: PolicyFigures, b: PolicyFigures| {
            let all = |of: PolicyFigures| {
                [of.success_rate, of.cost_per_call_usd, of.cost_per_success_usd].map(Option::unwrap)
            };
            assert!(all(a).iter().zip(all(b)).all(|(a, b)| (a - b).abs() < 1e-12), "{a:?} {b:?}");
        };
        close(found.observed, figures(0.375, 0.025, 0.025 / 0.375));
        close(found.snips, figures(0.75, 0.04, 0.04 / 0.75));
        close(found.ips, figures(0.75, 0.04, 0.04 / 0.75));
        assert!((found.effective_sample_size - 200.0).abs() < 1e-9, "the draws that took it");
        let rate = found.success_rate.unwrap();
        assert!((rate.value - 0.75).abs() < 0.01, "{rate:?}");
        // Of 200 independent calls the standard error is √(.75·.25/200) = .0306.
        let half = (rate.interval_90.1 - rate.interval_90.0) / 2.0 / NORMAL_95;
        assert!((0.026..0.036).contains(&half), "{half}");
        let cost = found.cost_per_call_usd.unwrap();
        assert!((cost.value - 0.04).abs() < 0.000_4, "{cost:?}");
    }

    #[test]
    fn self_normalised_figures_are_means_of_what_was_followed() {
        let found = self_normalised(&even());
        let value = |of: Option<Estimate>| of.unwrap().value;
        assert!((value(found.success_rate) - 0.75).abs() < 1e-12);
        assert!((value(found.cost_per_call_usd) - 0.04).abs() < 1e-12);
        assert!((value(found.cost_per_success_usd) - 0.04 / 0.75).abs() < 1e-12);
        assert!((found.effective_sample_size - 200.0).abs() < 1e-9 && found.refused.is_none());
        // 200 calls weigh the same: √(.75·.25/200) = .030619, and 1.644854 of it to either side.
        let (low, high) = found.success_rate.unwrap().interval_90;
        assert!((low - 0.699_637).abs() < 1e-6 && (high - 0.800_363).abs() < 1e-6, "{low} {high}");
        let same = found.cost_per_call_usd.unwrap().interval_90;
        assert!((same.1 - same.0).abs() < 1e-9, "every call cost the same");
        let few = self_normalised(&even()[..190]);
        assert!(few.refused.unwrap().contains("worth 95 draws"));
        assert_eq!(few.success_rate, None);
    }

    #[test]
    fn calls_that_share_a_draw_say_no_more_than_one() {
        let alike = |sample: Sample| Sample { calls: 4, successes: 4 * sample.successes, ..sample };
        let (one, four) = (evaluate(&even()), evaluate(&even().into_iter().map(alike).collect::<Vec<_>>()));
        assert_eq!((four.draws, four.calls), (400, 1_600));
        let width = |of: &Evaluation| of.success_rate.map(|e| e.interval_90.1 - e.interval_90.0).unwrap();
        assert!((width(&four) / width(&one) - 1.0).abs() < 0.05, "{} {}", width(&four), width(&one));
        assert!((four.effective_sample_size - one.effective_sample_size).abs() < 1e-9);
    }

    #[test]
    fn chances_that_follow_the_outcomes_bend_the_estimate_far_less_than_the_mean() {
        // Candidate 1 loses its chance whenever it fails and gets it back when it succeeds: the plain mean of its calls is too low.
        println!("seed {SEED}");
        let (mut estimates, mut means) = (Vec::new(), Vec::new());
        for rep in 0..400 {
            let mut rng = decision_rng(SEED, rep);
            let (mut samples, mut chance) = (Vec::new(), 0.5);
            let mut seen = (0.0, 0.0);
            for _ in 0..1_500 {
                let taken = usize::from(rng.random::<f64>() < chance);
                let success = taken == 1 && rng.random::<f64>() < 0.5;
                samples.push(drawn(chance, taken, success));
                if taken == 1 {
                    seen = (seen.0 + f64::from(u8::from(success)), seen.1 + 1.0);
                    chance = if seen.0 < 0.5 * seen.1 { 0.02 } else { 0.5 };
                }
            }
            means.push(seen.0 / f64::max(seen.1, 1.0));
            estimates.push(evaluate_thin(&samples).success_rate.unwrap().value);
        }
        let bias = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64 - 0.5;
        assert!(bias(&means) < -0.03, "{}", bias(&means));
        assert!(bias(&estimates).abs() < 0.5 * bias(&means).abs(), "{} {}", bias(&estimates), bias(&means));
    }

    #[test]
    fn task_types_are_put_together_by_their_draws() {
        let other = |s: Sample| Sample { stratum: 1, successes: 0, ..s };
        let mut both: Vec<Sample> = even();
        both.extend(even().into_iter().map(other));
        let found = evaluate(&both);
        assert!((found.success_rate.unwrap().value - 0.375).abs() < 0.01, "{:?}", found.success_rate);
        assert!((found.effective_sample_size - 400.0).abs() < 1e-9);
    }

    #[test]
    fn too_little_is_refused() {
        assert_eq!(evaluate(&[]).refused.map(|why| why.contains("worth 0 draws")), Some(true));
        let few = evaluate(&even()[..190]);
        assert!(few.refused.unwrap().contains("worth 95 draws"), "95 of them took it");
        assert_eq!((few.success_rate, few.snips), (None, PolicyFigures::default()));
        assert!(few.observed.success_rate.is_some());
        let never = |_| Sample { stratum: 1, ..drawn(0.001, 0, true) };
        let mut unseen = even();
        unseen.extend((0..20).map(never));
        assert_eq!(evaluate(&unseen).refused, None, "20 of 420 are less than a twentieth");
        unseen.extend((0..20).map(never));
        assert!(evaluate(&unseen).refused.unwrap().contains("9 % of the draws"));
    }

    #[test]
    fn unknown_costs_are_left_out_of_costs_only() {
        let unpriced: Vec<Sample> = even().into_iter().map(|s| Sample { cost_usd: None, ..s }).collect();
        let found = evaluate(&unpriced);
        assert_eq!((found.pricing_coverage, found.cost_per_call_usd, found.cost_per_success_usd), (0.0, None, None));
        assert!(found.success_rate.is_some() && found.snips.cost_per_call_usd.is_none());
        let mut half = even();
        half.iter_mut().take(200).for_each(|s| s.cost_usd = None);
        let found = evaluate(&half);
        assert_eq!(found.pricing_coverage, 0.5);
        assert!((found.cost_per_call_usd.unwrap().value - 0.04).abs() < 0.001);
    }
}
