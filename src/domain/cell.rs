//! What is known of one candidate at one task type: the evidence its posterior stands on, what its calls use and
//! cost, and how long they take. Evidence is kept in integer millionths apart from the prior, so that any order of
//! outcomes and amendments gives the same bits.

use super::beta::Beta;
use super::call::{Call, CallNo};
use super::catalog::{Price, Prior, TypicalUsage};
use super::contextual::Known;
use super::drift::FIRST_LOOK;
use super::history::{BLOCK, Block, History, Lesson, Memory, step};
use super::money::NanoUsd;
use super::outcome::CostSource;
use super::pricing::Usage;
use super::retries::Retries;
use super::time::UnixMillis;
use super::trust::Trust;

/// Outcomes from which on a learned mean is used.
pub const LEARNED_FROM: u64 = 20;

/// Reported costs from which on their mean ranks a candidate of which nothing else is known.
pub const RANKED_FROM: u64 = 3;

/// Reward mass in millionths; the posterior is Beta(α₀ + successes, β₀ + failures) (Thompson 1933).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Σ reward.
    pub successes_micro: u64,
    /// Σ (1 − reward).
    pub failures_micro: u64,
}

/// Sums over the calls of a cell whose cost is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageSums {
    /// Outcomes with usage and a catalogue price.
    pub priced: u64,
    /// Their input tokens.
    pub input: u64,
    /// Of them read from a cache.
    pub cached_input: u64,
    /// Of them written to a cache.
    pub cache_write: u64,
    /// Their output tokens.
    pub output: u64,
}

/// Everything known of one (task type, candidate).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Reward mass since `evidence_from`.
    pub evidence: Evidence,
    /// Teaching calls that succeeded, 0/1, since `evidence_from`.
    pub successes: u64,
    /// Teaching calls that failed, 0/1, since `evidence_from`.
    pub failures: u64,
    /// Calls before this number teach no more (a reset; later a detected change).
    pub evidence_from: CallNo,
    /// When that was; 0: never.
    pub evidence_since: UnixMillis,
    /// The same evidence in the order its calls were decided.
    pub history: History,
    /// Outcomes of its evidence as of the last look for a change; 0: there was none.
    pub looked_at: u64,
    /// Outcomes it ever taught, forgotten ones too.
    pub lessons: u64,
    /// Production calls it served.
    pub served: u64,
    /// Calls of known cost among them.
    pub costed: u64,
    /// What those cost in all, in nano-USD.
    pub cost_nano: u128,
    /// Usage of the priced ones.
    pub usage: UsageSums,
    /// What came of the last retries it served since `evidence_from`.
    pub retries: Retries,
    /// Latencies of the production calls.
    pub latency: LatencyHistogram,
    /// Rises with every change; invalidates what was computed from this cell. Not part of the state's digest.
    pub version: u64,
}

impl Cell {
    /// The posterior under `prior`.
    #[must_use]
    pub fn posterior(&self, prior: Prior) -> Beta {
        let shape = |prior_micro: u64, evidence_micro: u64| (prior_micro + evidence_micro) as f64 / 1e6;
        let alpha = shape(prior.successes_micro, self.evidence.successes_micro);
        let beta = shape(prior.failures_micro, self.evidence.failures_micro);
        Beta::new(alpha, beta).unwrap_or(Beta::UNIFORM)
    }

    /// The posterior under `prior` of a task type that forgets by `memory`, as of `now` and of `lessons` outcomes of the
    /// task type: α₀ + Σ w·S, β₀ + Σ w·F over the blocks of the history. The prior does not decay. What each source told counts
    /// as far as `trust` believes it ([`Trust::factors`]); shares are of the mass that is left by then.
    #[must_use]
    pub fn remembered(&self, prior: Prior, memory: &Memory, trust: &Trust, now: UnixMillis, lessons: u64) -> Beta {
        if !trust.is_blind() {
            let [(alpha, beta), (won, lost)] = self.believed(prior, memory, trust, now, lessons).0;
            return Beta::new(alpha + won, beta + lost).unwrap_or(Beta::UNIFORM);
        }
        if memory.is_perfect() {
            return self.posterior(prior);
        }
        let (won, lost) = self.history.weighed(memory, now, lessons);
        let (alpha, beta) = (prior.successes_micro as f64 / 1e6 + won, prior.failures_micro as f64 / 1e6 + lost);
        Beta::new(alpha, beta).unwrap_or(Beta::UNIFORM)
    }

    /// What is known of the candidate by stratum, beside `whole`, its posterior under `prior`; weighed as for
    /// [`Cell::remembered`]. Within a block sources count as spread evenly over strata.
    #[must_use]
    pub fn by_stratum(
        &self,
        (whole, prior): (Beta, Prior),
        memory: &Memory,
        trust: &Trust,
        now: UnixMillis,
        lessons: u64,
    ) -> Known {
        let believed = if trust.is_blind() { None } else { Some(self.believed(prior, memory, trust, now, lessons).1) };
        let of_block = |block: &Block| {
            let Some(factors) = &believed else { return (1.0, 1.0) };
            let told = block.by_group(trust);
            let part = |of: fn(&Evidence) -> u64| {
                let kept: f64 = told.iter().zip(factors).map(|(told, f)| f * of(&told.evidence) as f64).sum();
                kept / (of(&block.evidence).max(1) as f64)
            };
            (part(|e| e.successes_micro), part(|e| e.failures_micro))
        };
        Known { whole, strata: self.history.weighed_strata(memory, now, lessons, of_block) }
    }

    /// Its evidence by what `trust` believes of it beside `prior`, rounded to millionths: what other task types may go by.
    #[must_use]
    pub fn believed_evidence(&self, prior: Prior, trust: &Trust) -> Evidence {
        if trust.is_blind() {
            return self.evidence;
        }
        let [_, (won, lost)] = self.believed(prior, &Memory::default(), trust, UnixMillis(0), 0).0;
        let micro = |mass: f64| (mass * 1e6).round() as u64;
        Evidence { successes_micro: micro(won), failures_micro: micro(lost) }
    }

    /// Prior and believed evidence, each won and lost, and what an outcome of each group of `trust` counts.
    fn believed(
        &self,
        prior: Prior,
        memory: &Memory,
        trust: &Trust,
        now: UnixMillis,
        lessons: u64,
    ) -> ([(f64, f64); 2], Vec<f64>) {
        let told = self.history.weighed_groups(trust, memory, now, lessons);
        let base = (prior.successes_micro as f64 / 1e6, prior.failures_micro as f64 / 1e6);
        let masses: Vec<f64> = told.iter().map(|(won, lost)| won + lost).collect();
        let factors = trust.factors(&masses, base.0 + base.1);
        let sum = |of: fn(&(f64, f64)) -> f64| told.iter().zip(&factors).map(|(told, f)| f * of(told)).sum::<f64>();
        ([base, (sum(|t| t.0), sum(|t| t.1))], factors)
    }

    /// Adds what `call` contributes; `lessons` is the number of outcomes its task type has taught so far.
    pub fn add(&mut self, call: &Call, lessons: u64) {
        self.change(call, lessons, true);
    }

    /// Takes away what `call` contributed.
    pub fn remove(&mut self, call: &Call) {
        self.change(call, 0, false);
    }

    /// Adds or takes away what one outcome teaches; nothing where its call came before `evidence_from`.
    pub fn learn(&mut self, lesson: &Lesson, add: bool) {
        if lesson.call < self.evidence_from {
            return;
        }
        self.version += 1;
        let reward = u64::from(lesson.reward_micro);
        step(&mut self.evidence.successes_micro, reward, add);
        step(&mut self.evidence.failures_micro, 1_000_000 - reward, add);
        step(if lesson.success { &mut self.successes } else { &mut self.failures }, 1, add);
        step(&mut self.lessons, 1, add);
        self.history.change(lesson, add);
    }

    /// Adds or takes away one production call and what it cost, as far as that is known.
    pub fn serve(&mut self, cost: Option<NanoUsd>, add: bool) {
        step(&mut self.served, 1, add);
        if let Some(cost) = cost {
            step(&mut self.costed, 1, add);
            let nano = u128::from(cost.0);
            self.cost_nano = if add { self.cost_nano + nano } else { self.cost_nano.saturating_sub(nano) };
        }
    }

    fn change(&mut self, call: &Call, lessons: u64, add: bool) {
        let Some(settled) = call.settled().filter(|_| !call.evaluation) else { return };
        self.version += 1;
        self.serve(settled.cost, add);
        if let (Some(usage), CostSource::Priced) = (&settled.usage, settled.cost_source) {
            step(&mut self.usage.priced, 1, add);
            step(&mut self.usage.input, usage.input, add);
            step(&mut self.usage.cached_input, usage.cached_input, add);
            step(&mut self.usage.cache_write, usage.cache_write, add);
            step(&mut self.usage.output, usage.output, add);
        }
        if let Some(latency_ms) = settled.latency_ms {
            self.latency.change(latency_ms, add);
        }
        if call.number >= self.evidence_from {
            self.retries.change(call, add);
        }
        if let Some(lesson) = lesson_of(call, lessons) {
            self.learn(&lesson, add);
        }
    }

    /// Whether a look for a change is due, which then counts as taken: its evidence has grown by ten outcomes since the last.
    pub fn take_look(&mut self) -> bool {
        let outcomes = self.successes + self.failures;
        let is_due = outcomes >= FIRST_LOOK.max(self.looked_at + BLOCK);
        if is_due {
            self.looked_at = outcomes;
        }
        is_due
    }

    /// Mean cost of a call in nano-USD, over calls of known cost.
    #[must_use]
    pub fn mean_cost(&self) -> Option<NanoUsd> {
        let mean = self.cost_nano.checked_div(u128::from(self.costed))?;
        u64::try_from(mean).ok().map(NanoUsd)
    }

    /// Mean usage of a call once at least [`LEARNED_FROM`] were priced.
    #[must_use]
    pub fn mean_usage(&self) -> Option<Usage> {
        let mean = |sum: u64| (sum + self.usage.priced / 2) / self.usage.priced;
        (self.usage.priced >= LEARNED_FROM).then(|| Usage {
            input: mean(self.usage.input),
            cached_input: mean(self.usage.cached_input),
            cache_write: mean(self.usage.cache_write),
            output: mean(self.usage.output),
            reasoning: 0,
        })
    }

    /// Forgets the evidence of calls before `from`: a block of the history begins there, or after it. It was forgotten
    /// at `since`.
    pub fn forget(&mut self, from: CallNo, since: UnixMillis) {
        self.history.keep_from(from);
        self.retries.keep_from(from);
        let kept = self.history.total();
        (self.evidence, self.successes, self.failures) = (kept.evidence, kept.successes, kept.failures);
        self.looked_at = self.successes + self.failures;
        (self.evidence_from, self.evidence_since) = (from.max(self.evidence_from), since);
        self.version += 1;
    }
}

/// What a call teaches, after `number` other outcomes of its task type; `None`: nothing (see [`Call::reward_micro`]).
#[must_use]
pub fn lesson_of(call: &Call, number: u64) -> Option<Lesson> {
    let reward_micro = call.reward_micro()?;
    let success = call.verdict().is_some_and(super::outcome::Verdict::is_success);
    let (at, stratum, source) = (call.counted_at, call.traits.stratum, call.source());
    Some(Lesson { call: call.number, at, number, reward_micro, success, stratum, source })
}

/// The prior of a model at one task type from what it did at others, added to `base`: their reward mass, of each at most
/// `strength` outcomes, and of all together at most `strength`.
///
/// An empirical-Bayes warm start (Morris, Parametric empirical Bayes inference, JASA 78, 1983) whose weight is bounded, so
/// that it is outgrown where task types are not alike.
#[must_use]
pub fn sibling_prior(base: Prior, strength: u64, others: impl Iterator<Item = Evidence>) -> Prior {
    let cap = u128::from(strength) * 1_000_000;
    let bounded = |(won, lost): (u128, u128)| {
        let all = won + lost;
        if all <= cap { (won, lost) } else { (won * cap / all, lost * cap / all) }
    };
    let each = others.map(|o| bounded((o.successes_micro.into(), o.failures_micro.into())));
    let (won, lost) = bounded(each.fold((0, 0), |sum, o| (sum.0 + o.0, sum.1 + o.1)));
    let add = |base: u64, more: u128| base.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
    Prior { successes_micro: add(base.successes_micro, won), failures_micro: add(base.failures_micro, lost) }
}

/// Where an expected cost comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EstimateSource {
    /// Learned mean usage at today's price, or learned mean cost.
    Learned,
    /// The request's own estimate at today's price.
    Request,
    /// The catalogue's typical usage at today's price.
    Typical,
    /// Nothing to go by but, where there is one, the mean of few reported costs, which only ranks.
    Unknown,
}

/// Expected cost of a call: learned mean usage at today's price (from [`LEARNED_FROM`] priced outcomes on), else the
/// mean of costs that only the caller reports, else the request's estimate or `typical` × price, else unknown, with
/// the mean of few reported costs (from [`RANKED_FROM`] on), by which a candidate may be ranked and never let through a filter.
#[must_use]
pub fn expected_cost(
    cell: Option<&Cell>,
    price: Option<&Price>,
    request: Option<&Usage>,
    typical: Option<TypicalUsage>,
) -> (Option<NanoUsd>, EstimateSource) {
    let at_price = |usage: Usage| price.and_then(|p| p.cost(&usage));
    let learned = cell.and_then(Cell::mean_usage).and_then(at_price);
    let reported = |from: u64| cell.filter(|c| c.costed >= from).and_then(Cell::mean_cost);
    if let Some(cost) = learned.or_else(|| reported(LEARNED_FROM)) {
        return (Some(cost), EstimateSource::Learned);
    }
    if let Some(cost) = request.copied().and_then(at_price) {
        return (Some(cost), EstimateSource::Request);
    }
    let typical = typical.map(|t| Usage { input: t.input_tokens, output: t.output_tokens, ..Usage::default() });
    if let Some(cost) = typical.and_then(at_price) {
        return (Some(cost), EstimateSource::Typical);
    }
    // Few reported costs say more than none: a candidate of unknown cost would be ranked dearest, and seldom get the calls
    // that tell its cost.
    (reported(RANKED_FROM).filter(|cost| cost.0 > 0), EstimateSource::Unknown)
}

/// Counts of latencies in buckets that each reach 5 % further than the one before; mergeable in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatencyHistogram {
    /// (bucket, count), rising by bucket; bucket b holds (1.05^(b−1), 1.05^b] milliseconds, bucket 0 up to 1 ms.
    pub buckets: Vec<(u16, u64)>,
}

impl LatencyHistogram {
    const GROWTH: f64 = 1.05;

    fn change(&mut self, latency_ms: u32, add: bool) {
        let bucket = f64::from(latency_ms.max(1)).log(Self::GROWTH).ceil() as u16;
        match self.buckets.binary_search_by_key(&bucket, |b| b.0) {
            Ok(i) => {
                step(&mut self.buckets[i].1, 1, add);
                if self.buckets[i].1 == 0 {
                    self.buckets.remove(i);
                }
            }
            Err(i) if add => self.buckets.insert(i, (bucket, 1)),
            Err(_) => {}
        }
    }

    /// How many latencies are in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|b| b.1).sum()
    }

    /// The 95th percentile in milliseconds (the upper edge of its bucket: at most 5 % high), from
    /// [`LEARNED_FROM`] latencies on.
    #[must_use]
    pub fn p95_ms(&self) -> Option<f64> {
        let count = self.count();
        if count < LEARNED_FROM {
            return None;
        }
        let rank = (count * 95).div_ceil(100);
        let mut seen = 0;
        let bucket = self.buckets.iter().find(|b| {
            seen += b.1;
            seen >= rank
        })?;
        Some(Self::GROWTH.powi(i32::from(bucket.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p95_is_within_five_percent_from_twenty_latencies_on() {
        let mut histogram = LatencyHistogram::default();
        for latency_ms in 1..=1000 {
            histogram.change(latency_ms, true);
        }
        let p95 = histogram.p95_ms().unwrap();
        assert!((950.0..=950.0 * 1.05).contains(&p95), "{p95}");
        for latency_ms in 1..=981 {
            histogram.change(latency_ms, false);
        }
        assert_eq!(histogram.count(), 19);
        assert_eq!(histogram.p95_ms(), None);
    }

    #[test]
    fn what_a_model_did_elsewhere_counts_as_twenty_outcomes_at_most() {
        let evidence =
            |won: u64, lost: u64| Evidence { successes_micro: won * 1_000_000, failures_micro: lost * 1_000_000 };
        let prior = |others: &[Evidence]| {
            let Prior { successes_micro, failures_micro } = sibling_prior(Prior::UNIFORM, 20, others.iter().copied());
            (successes_micro, failures_micro)
        };
        assert_eq!(prior(&[]), (1_000_000, 1_000_000));
        assert_eq!(prior(&[evidence(3, 1), evidence(0, 2)]), (4_000_000, 4_000_000));
        assert_eq!(prior(&[evidence(900, 100)]), (19_000_000, 3_000_000));
        // Each counts at most twenty: 18 + 2 and 10 + 10, scaled to twenty in all.
        assert_eq!(prior(&[evidence(900, 100), evidence(50, 50)]), (15_000_000, 7_000_000));
    }

    #[test]
    fn few_reported_costs_rank_and_are_not_known_costs() {
        let mut cell = Cell::default();
        let expected = |cell: &Cell| expected_cost(Some(cell), None, None, None);
        cell.serve(Some(NanoUsd(5)), true);
        cell.serve(Some(NanoUsd(5)), true);
        assert_eq!(expected(&cell), (None, EstimateSource::Unknown));
        cell.serve(Some(NanoUsd(5)), true);
        assert_eq!(expected(&cell), (Some(NanoUsd(5)), EstimateSource::Unknown));
        (0..17).for_each(|_| cell.serve(Some(NanoUsd(5)), true));
        assert_eq!(expected(&cell), (Some(NanoUsd(5)), EstimateSource::Learned));
        let mut free = Cell::default();
        (0..19).for_each(|_| free.serve(Some(NanoUsd(0)), true));
        assert_eq!(expected(&free), (None, EstimateSource::Unknown));
    }

    #[test]
    fn a_cell_without_evidence_is_its_prior() {
        let prior = Prior { successes_micro: 1_500_000, failures_micro: 500_000 };
        assert_eq!(Cell::default().posterior(prior).mean(), 0.75);
    }
}
