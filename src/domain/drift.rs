//! Whether the success rate of a candidate changed: a likelihood-ratio test over the places where it may have.
//!
//! It exists so that a provider's regression (or recovery) is found from outcomes alone. Findings are facts of the
//! journal, so that none is taken back. It refuses to know what follows from a change.

use super::call::CallNo;
use super::cell::Evidence;
use super::history::{BLOCK, Block, History};
use super::names::NameId;
use super::strata::Stratum;
use super::time::UnixMillis;

/// δ: the chance of ever finding a change where there is none, by the theorem's union bound.
pub const FALSE_ALARM: f64 = 1e-3;

/// A change that was found, as journalled.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The task type.
    pub task: NameId,
    /// The candidate.
    pub candidate: NameId,
    /// Evidence of calls before this one is forgotten.
    pub keep_from: CallNo,
    /// When the rate changed, as well as the blocks tell: the first outcome after the change.
    pub around: UnixMillis,
    /// Successes and outcomes before the change, since the last one.
    pub before: (u64, u64),
    /// Successes and outcomes after it.
    pub after: (u64, u64),
    /// The statistic (nats) over its threshold: at least 1.
    pub strength: f64,
    /// Mean rewards before and after, in millionths, where rewards are graded; `None`: they are the success rates.
    pub rewards_micro: Option<(u32, u32)>,
}

impl Change {
    /// Success rates before and after, in [0, 1].
    #[must_use]
    pub fn rates(&self) -> (f64, f64) {
        let rate = |(successes, outcomes): (u64, u64)| successes as f64 / outcomes.max(1) as f64;
        (rate(self.before), rate(self.after))
    }

    /// Mean rewards before and after, in [0, 1]: what the change was found in.
    #[must_use]
    pub fn rewards(&self) -> (f64, f64) {
        let means = |(before, after): (u32, u32)| (f64::from(before) / 1e6, f64::from(after) / 1e6);
        self.rewards_micro.map_or_else(|| self.rates(), means)
    }

    /// Whether the reward fell.
    #[must_use]
    pub fn fell(&self) -> bool {
        let (before, after) = self.rewards();
        after < before
    }
}

/// Outcomes from which on a cell is looked at for the first time.
pub const FIRST_LOOK: u64 = 2 * BLOCK;

/// The most likely place of a change in `history`, where the likelihood ratio speaks for one.
///
/// sup over splits s of s·kl(μ̂₁, μ̂) + (n − s)·kl(μ̂₂, μ̂) ≥ ln(3·n·√n / δ), kl that of two Bernoulli distributions, n the
/// outcomes since the last change (Besson and Kaufmann, The generalized likelihood ratio test meets klUCB, 2019,
/// equations 4 and 5); splits stand between blocks, so they thin out geometrically with age. Rewards between 0 and 1 count
/// by their mass, each stratum by itself. Rate and outcomes of both sides come with it.
#[must_use]
pub fn find(history: &History) -> Option<Found> {
    let blocks = history.blocks();
    let mass = |b: &Block| {
        let won = b.evidence.successes_micro as f64 / 1e6;
        (won, won + b.evidence.failures_micro as f64 / 1e6)
    };
    let sum = |blocks: &[Block]| blocks.iter().map(mass).fold((0.0, 0.0), |sum, b| (sum.0 + b.0, sum.1 + b.1));
    let (won, n) = sum(blocks);
    if n < 2.0 {
        return None;
    }
    let threshold = (3.0 * n * n.sqrt() / FALSE_ALARM).ln();
    let mut sums = Sums::of(blocks);
    let mut best: Option<(f64, usize)> = None;
    for (i, block) in blocks.iter().enumerate().take(blocks.len() - 1) {
        let ratio = sums.ratio_after(block);
        if best.is_none_or(|b| ratio > b.0) {
            best = Some((ratio, i + 1));
        }
    }
    let (ratio, split) = best.filter(|b| b.0 >= threshold)?;
    let side = |blocks: &[Block]| {
        let count = |of: fn(&Block) -> u64| blocks.iter().map(of).sum();
        (count(|b| b.successes), count(Block::outcomes))
    };
    let mean = |won: f64, n: f64| if n > 0.0 { (won / n * 1e6).round() as u32 } else { 0 };
    let left = sum(&blocks[..split]);
    Some(Found {
        keep_from: blocks[last_outcomes(blocks).unwrap_or(split)].from,
        around: blocks[split].since,
        before: side(&blocks[..split]),
        after: side(&blocks[split..]),
        strength: ratio / threshold,
        rewards_micro: (mean(left.0, left.1), mean(won - left.0, n - left.1)),
    })
}

/// What each further stratum has to add to the likelihood ratio (nats): two degrees of freedom and more, as the tail of Wilks'
/// chi-square is then no heavier than that of one stratum, for any number of them.
const PRICE_OF_A_STRATUM: f64 = 1.5;

/// Rewards of each stratum, in all and before the split that is looked at. What has no stratum is one of them.
struct Sums(Vec<Sum>);

struct Sum {
    stratum: Stratum,
    /// Won, out of how many.
    all: (f64, f64),
    before: (f64, f64),
    /// The log likelihood of all without a change.
    base: f64,
}

impl Sums {
    fn of(blocks: &[Block]) -> Self {
        let mut sums = Self(Vec::new());
        for block in blocks {
            for (stratum, won, n) in parts(block) {
                let sum = sums.get(stratum);
                sum.all = (sum.all.0 + won, sum.all.1 + n);
            }
        }
        sums.0.iter_mut().for_each(|sum| sum.base = log_likelihood(sum.all.0, sum.all.1));
        sums
    }

    fn get(&mut self, stratum: Stratum) -> &mut Sum {
        let at = self.0.binary_search_by_key(&stratum, |sum| sum.stratum).unwrap_or_else(|at| {
            self.0.insert(at, Sum { stratum, all: (0.0, 0.0), before: (0.0, 0.0), base: 0.0 });
            at
        });
        &mut self.0[at]
    }

    /// The log likelihood ratio of a change after `block`, the one after the last block asked of.
    ///
    /// Every stratum has rates of its own before and after, so that traffic which moves between easy and hard requests, as it does
    /// when the router learns of them, is no change of the candidate.
    fn ratio_after(&mut self, block: &Block) -> f64 {
        for (stratum, won, n) in parts(block) {
            let sum = self.get(stratum);
            sum.before = (sum.before.0 + won, sum.before.1 + n);
        }
        let (mut ratio, mut strata) = (0.0, 0);
        for Sum { all, before, base, .. } in &self.0 {
            let after = (all.0 - before.0, all.1 - before.1);
            if before.1 > 0.0 && after.1 > 0.5e-6 {
                ratio += log_likelihood(before.0, before.1) + log_likelihood(after.0, after.1) - base;
                strata += 1;
            }
        }
        ratio - PRICE_OF_A_STRATUM * f64::from(i32::max(strata - 1, 0))
    }
}

/// The rewards of a block by stratum: won, out of how many.
fn parts(block: &Block) -> impl Iterator<Item = (Stratum, f64, f64)> {
    let mut rest = block.evidence;
    for (_, evidence) in &block.strata {
        rest.successes_micro = rest.successes_micro.saturating_sub(evidence.successes_micro);
        rest.failures_micro = rest.failures_micro.saturating_sub(evidence.failures_micro);
    }
    let counts = |stratum, of: Evidence| {
        let won = of.successes_micro as f64 / 1e6;
        (stratum, won, won + of.failures_micro as f64 / 1e6)
    };
    let of_strata = block.strata.iter().map(move |s| counts(s.0, s.1));
    std::iter::once(counts(Stratum::NONE, rest)).filter(|rest| rest.2 > 0.0).chain(of_strata)
}

/// What a look found; see [`Change`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Evidence of calls before this one is to be forgotten.
    pub keep_from: CallNo,
    /// When the rate changed.
    pub around: UnixMillis,
    /// Successes and outcomes before.
    pub before: (u64, u64),
    /// Successes and outcomes after.
    pub after: (u64, u64),
    /// The statistic over its threshold.
    pub strength: f64,
    /// Mean rewards before and after, in millionths.
    pub rewards_micro: (u32, u32),
}

/// The block with which the last ten outcomes begin; `None` where that is the first, so that nothing would be forgotten: what
/// is told late goes to the block of its call, so one block may hold nearly all.
fn last_outcomes(blocks: &[Block]) -> Option<usize> {
    let mut outcomes = 0;
    let begins = blocks.iter().rposition(|b| {
        outcomes += b.outcomes();
        outcomes >= BLOCK
    });
    begins.filter(|first| *first > 0)
}

/// The greatest log likelihood of `won` out of `n`: n·(μ̂ ln μ̂ + (1 − μ̂) ln(1 − μ̂)); 0 where all or nothing was won. The
/// ratio of the test is a difference of these.
fn log_likelihood(won: f64, n: f64) -> f64 {
    let lost = n - won;
    if won <= 0.0 || lost <= 0.0 {
        return 0.0;
    }
    won * (won / n).ln() + lost * (lost / n).ln()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;
    use crate::domain::history::Lesson;

    fn tell(history: &mut History, call: u64, success: bool) {
        tell_of(history, call, success, Stratum::NONE);
    }

    fn tell_of(history: &mut History, call: u64, success: bool, stratum: Stratum) {
        let reward_micro = if success { 1_000_000 } else { 0 };
        let (at, number, call) = (UnixMillis(call as i64), call, CallNo(call));
        let source = NameId::NONE;
        history.change(&Lesson { call, at, number, reward_micro, success, stratum, source }, true);
    }

    /// The first outcome, from `from` on, after which a look every ten outcomes finds a change.
    fn found_at(seed: u64, outcomes: u64, rate: impl Fn(u64) -> f64) -> Option<(u64, Found)> {
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut history = History::default();
        (1..=outcomes).find_map(|call| {
            tell(&mut history, call, rng.random_bool(rate(call)));
            let is_due = call >= FIRST_LOOK && call.is_multiple_of(BLOCK);
            find(&history).filter(|_| is_due).map(|found| (call, found))
        })
    }

    #[test]
    fn a_steady_rate_hardly_ever_looks_changed() {
        for rate in [0.05, 0.5, 0.9] {
            // δ is 0.001 a run: 400 runs have more than three with a chance below 1 in 1,000.
            let alarms = (0..400).filter(|seed| found_at(*seed, 500, |_| rate).is_some()).count();
            assert!(alarms <= 3, "seeds 0 to 399 at {rate}: {alarms} false alarms");
        }
    }

    #[test]
    fn a_fall_from_95_to_50_percent_is_found_within_60_outcomes() {
        for seed in 0..50 {
            let rate = |call| if call <= 300 { 0.95 } else { 0.5 };
            let (at, found) = found_at(seed, 500, rate).unwrap();
            assert!((301..=360).contains(&at), "seed {seed}: found at {at}");
            assert!(
                (found.around.0 - 300).abs() <= 60 && found.keep_from.0 > 300 - 2 * BLOCK,
                "seed {seed}: {found:?}"
            );
        }
    }

    /// What a look every ten outcomes finds in 1,000 calls, half of them of an easy stratum and half of a hard one; from call 500 on
    /// nine in ten are easy. `fall` is what both rates lose then.
    fn found_in_a_shift(seed: u64, fall: f64) -> Option<(u64, Found)> {
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut history = History::default();
        (1..=1_000).find_map(|call| {
            let easy = rng.random_bool(if call < 500 { 0.5 } else { 0.9 });
            let rate = if easy { 0.95 } else { 0.5 } - if call < 500 { 0.0 } else { fall };
            let (success, stratum) = (rng.random_bool(rate), Stratum(if easy { 1 } else { 2 }));
            tell_of(&mut history, call, success, stratum);
            let is_due = call >= FIRST_LOOK && call.is_multiple_of(BLOCK);
            find(&history).filter(|_| is_due).map(|found| (call, found))
        })
    }

    #[test]
    fn a_shift_between_strata_is_no_change_and_a_fall_in_all_of_them_is() {
        for seed in 0..40 {
            assert_eq!(found_in_a_shift(seed, 0.0), None, "seed {seed}");
            let (at, found) = found_in_a_shift(seed, 0.4).unwrap();
            assert!((500..=620).contains(&at) && found.strength >= 1.0, "seed {seed}: found at {at}");
        }
    }

    #[test]
    fn a_change_always_forgets_something_however_late_the_outcomes() {
        let mut history = History::default();
        // The last call is told first, so all before it are of the first block.
        (1..=10).for_each(|call| tell(&mut history, call, true));
        tell(&mut history, 1_000, false);
        (1_001..=1_005).for_each(|call| tell(&mut history, call, false));
        (11..=200).for_each(|call| tell(&mut history, call, true));
        let found = find(&history).unwrap();
        assert_eq!(found.keep_from, CallNo(1_000));
        history.keep_from(found.keep_from);
        assert_eq!(history.total().outcomes(), 6);
    }
}
