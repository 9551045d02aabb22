//! How values spread over goals: percentiles by nearest rank, and what the largest make up. It takes sketches and knows
//! neither goals nor windows.

use super::report_goals::{CostDistribution, Spread};
use crate::domain::money::NANO_PER_USD;
use crate::domain::series::Additive as _;
use crate::domain::sketch::{Pile, Sketch};

/// Below so many values piles of several sketches are not merged, so that nearly every value is exact.
const FEW: i64 = 1_000;

/// Values gathered from several sketches.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    few: Vec<Pile>,
    all: Sketch,
    count: i64,
}

impl Values {
    pub(super) fn add(&mut self, sketch: &Sketch) {
        self.count += sketch.piles.values().map(|pile| pile.count).sum::<i64>();
        self.all.add(sketch);
        if self.count < FEW {
            self.few.extend(sketch.piles.values());
        } else {
            self.few = Vec::new();
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.all.add(&other.all);
        if self.count < FEW {
            self.few.extend(&other.few);
        } else {
            self.few = Vec::new();
        }
    }

    /// The values in rising order; `None` without one.
    pub(super) fn sorted(&self) -> Option<Sorted> {
        let mut piles = if self.count < FEW { self.few.clone() } else { self.all.piles.values().copied().collect() };
        piles.retain(|pile| pile.count > 0);
        // Equal means in an order of their own, so that sums of fractions come out the same.
        piles.sort_by(|a, b| mean(a).total_cmp(&mean(b)).then_with(|| (a.count, a.sum).cmp(&(b.count, b.sum))));
        (!piles.is_empty()).then(|| Sorted {
            count: piles.iter().map(|pile| pile.count).sum(),
            sum: piles.iter().map(|pile| pile.sum).sum(),
            piles,
        })
    }
}

fn mean(pile: &Pile) -> f64 {
    pile.sum as f64 / pile.count.max(1) as f64
}

/// Values in rising order; at least one.
#[derive(Clone, Debug)]
pub(super) struct Sorted {
    piles: Vec<Pile>,
    count: i64,
    sum: i128,
}

impl Sorted {
    /// The smallest value that so many thousandths of the values do not exceed.
    pub(super) fn percentile(&self, per_mille: i64) -> f64 {
        let rank = ((i128::from(self.count) * i128::from(per_mille) + 999) / 1_000).max(1);
        let mut below = 0;
        let at = self.piles.iter().find(|pile| {
            below += i128::from(pile.count);
            below >= rank
        });
        at.or(self.piles.last()).map_or(0.0, mean)
    }

    pub(super) fn max(&self) -> f64 {
        self.piles.last().map_or(0.0, mean)
    }

    pub(super) fn mean(&self) -> f64 {
        self.sum as f64 / self.count.max(1) as f64
    }

    pub(super) fn count(&self) -> i64 {
        self.count
    }

    /// Σ (value − mean)².
    pub(super) fn squares(&self) -> f64 {
        let centre = self.mean();
        self.piles.iter().map(|pile| pile.count as f64 * (mean(pile) - centre).powi(2)).sum()
    }

    /// Share of the values that are above `limit`.
    pub(super) fn share_above(&self, limit: f64) -> f64 {
        let above: i64 = self.piles.iter().filter(|pile| mean(pile) > limit).map(|pile| pile.count).sum();
        above as f64 / self.count.max(1) as f64
    }

    /// Share of the values that are at least `limit`.
    pub(super) fn share_from(&self, limit: f64) -> f64 {
        let from: i64 = self.piles.iter().filter(|pile| mean(pile) >= limit).map(|pile| pile.count).sum();
        from as f64 / self.count.max(1) as f64
    }

    /// What the largest hundredths of the values (rounded up to whole values) make up of the sum; 0 where that is 0.
    fn largest(&self, hundredths: i64) -> f64 {
        let mut left = (self.count * hundredths + 99) / 100;
        let mut taken = 0.0;
        for pile in self.piles.iter().rev() {
            let count = left.min(pile.count);
            taken += mean(pile) * count as f64;
            left -= count;
        }
        if self.sum > 0 { taken / self.sum as f64 } else { 0.0 }
    }

    /// Values in nano-USD as a distribution of costs.
    pub(super) fn costs(&self) -> CostDistribution {
        let usd = |nano: f64| nano / NANO_PER_USD as f64;
        CostDistribution {
            goals: self.count.max(0).unsigned_abs(),
            p50_usd: usd(self.percentile(500)),
            p95_usd: usd(self.percentile(950)),
            p99_usd: usd(self.percentile(990)),
            mean_usd: usd(self.mean()),
            max_usd: usd(self.max()),
            dearest_1_percent_share: self.largest(1),
            dearest_5_percent_share: self.largest(5),
        }
    }

    pub(super) fn spread(&self) -> Spread {
        let (p50, p95) = (self.percentile(500), self.percentile(950));
        Spread { p50, p95, mean: self.mean(), spread: (p50 > 0.0).then(|| p95 / p50) }
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;
    use crate::domain::draw::decision_rng;

    /// By sorting all values.
    fn exactly(values: &[u64], per_mille: usize) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        sorted[(sorted.len() * per_mille).div_ceil(1_000).max(1) - 1] as f64
    }

    fn dearest(values: &[u64], hundredths: usize) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        let taken: u64 = sorted[..(sorted.len() * hundredths).div_ceil(100)].iter().sum();
        taken as f64 / values.iter().sum::<u64>() as f64
    }

    fn gathered(values: &[u64], hours: usize) -> Sorted {
        let mut all = Values::default();
        for part in values.chunks(values.len().div_ceil(hours)) {
            let mut sketch = Sketch::default();
            part.iter().for_each(|v| sketch.add(&Sketch::of(*v)));
            all.add(&sketch);
        }
        all.sorted().unwrap()
    }

    #[test]
    fn percentiles_are_within_one_percent_of_sorting() {
        for seed in 0..30 {
            println!("seed {seed}");
            let mut rng = decision_rng(seed, 1);
            let many = rng.random_range(1..4_000);
            // Spread over many orders of magnitude, with a heavy tail.
            let values: Vec<u64> =
                (0..many).map(|_| (1_000_000.0 * (3.0 * rng.random::<f64>()).exp2().powi(5)) as u64 + 1).collect();
            let sorted = gathered(&values, 24);
            let close = |found: f64, exact: f64| {
                assert!((found - exact).abs() <= 0.01 * exact, "seed {seed}, {many} values: {found} is not {exact}");
            };
            for per_mille in [0, 10, 500, 950, 990, 1_000] {
                close(sorted.percentile(per_mille), exactly(&values, per_mille as usize));
            }
            close(sorted.max(), *values.iter().max().unwrap() as f64);
            assert!((sorted.mean() - values.iter().sum::<u64>() as f64 / many as f64).abs() < 1e-6);
            for hundredths in [1, 5] {
                close(sorted.largest(hundredths), dearest(&values, hundredths as usize));
            }
        }
    }

    #[test]
    fn few_values_far_enough_apart_are_exact() {
        let values: Vec<u64> = (1..=400).map(|n| 1_000_003 * n * n).collect();
        let sorted = gathered(&values, 400);
        for per_mille in [1, 500, 950, 990, 1_000] {
            assert_eq!(sorted.percentile(per_mille), exactly(&values, per_mille as usize));
        }
        let costs = gathered(&[1_000_000_000; 20], 3).costs();
        assert_eq!((costs.goals, costs.p50_usd, costs.max_usd, costs.mean_usd), (20, 1.0, 1.0, 1.0));
        assert_eq!((costs.dearest_1_percent_share, costs.dearest_5_percent_share), (0.05, 0.05), "one goal each");
        assert!(Values::default().sorted().is_none());
    }

    #[test]
    fn nothing_spent_has_shares_of_nothing() {
        let costs = gathered(&[0, 0, 0], 1).costs();
        assert_eq!((costs.p99_usd, costs.dearest_1_percent_share), (0.0, 0.0));
        assert_eq!(gathered(&[0, 0, 4], 1).spread().spread, None);
    }
}
