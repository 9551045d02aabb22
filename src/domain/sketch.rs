//! A histogram that adds up: percentiles of any number of values, within one per cent. It exists because percentiles of
//! goals are asked over any window and filter, so that no order of values can be kept. It refuses to know what is counted.
//!
//! Buckets are log-linear (as in HdrHistogram): whole numbers below 256 each have a bucket of their own, and above that every
//! doubling is cut into 128, so that no value of a bucket is more than 1/128 = 0.79 % above another. A bucket keeps count
//! and sum, and speaks for its values by their mean: a bucket of one value, or of equal ones, is exact.

use std::collections::BTreeMap;

use super::series::Additive;

/// Buckets a doubling is cut into, as a power of two.
const CUTS_BITS: u32 = 7;

/// Values with a bucket of their own.
const EXACT_BELOW: u64 = 2 << CUTS_BITS;

/// Number of the bucket of `value`; rises with it.
#[must_use]
pub fn bucket(value: u64) -> u16 {
    if value < EXACT_BELOW {
        return value as u16;
    }
    let shift = value.ilog2() - CUTS_BITS;
    let cut = (value >> shift) as u16 - (1 << CUTS_BITS);
    ((shift + 1) as u16) << CUTS_BITS | cut
}

/// What is known of the values of one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pile {
    /// How many.
    pub count: i64,
    /// Their sum.
    pub sum: i128,
}

/// The histogram. Buckets without values are not kept, so that what was added and taken back leaves no trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// By number of the bucket.
    pub piles: BTreeMap<u16, Pile>,
}

impl Sketch {
    /// The sketch of one value.
    #[must_use]
    pub fn of(value: u64) -> Self {
        let pile = Pile { count: 1, sum: value.into() };
        Self { piles: BTreeMap::from([(bucket(value), pile)]) }
    }

    /// Puts a pile on that of its bucket; a negative one takes away.
    pub fn put(&mut self, bucket: u16, pile: Pile) {
        let here = self.piles.entry(bucket).or_default();
        here.count = here.count.wrapping_add(pile.count);
        here.sum = here.sum.wrapping_add(pile.sum);
        if *here == Pile::default() {
            self.piles.remove(&bucket);
        }
    }
}

impl Additive for Sketch {
    fn add(&mut self, other: &Self) {
        other.piles.iter().for_each(|(bucket, pile)| self.put(*bucket, *pile));
    }

    fn remove(&mut self, other: &Self) {
        let negative = |pile: &Pile| Pile { count: -pile.count, sum: -pile.sum };
        other.piles.iter().for_each(|(bucket, pile)| self.put(*bucket, negative(pile)));
    }

    fn is_empty(&self) -> bool {
        self.piles.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;
    use crate::domain::draw::decision_rng;

    #[test]
    fn buckets_rise_without_gaps_and_are_narrow() {
        let (mut low, mut last) = (0_u64, 0_u16);
        for value in 0..1_000_000_u64 {
            let number = bucket(value);
            assert!(number == last || number == last + 1, "{value}: {last} → {number}");
            if number != last {
                (low, last) = (value, number);
            }
            assert!((value - low) * 128 <= low, "{value} shares a bucket with {low}");
        }
        assert_eq!([0, 255, 256, 257, 258].map(bucket), [0, 255, 256, 256, 257]);
        assert!(bucket(u64::MAX) > bucket(u64::MAX >> 1));
    }

    #[test]
    fn what_is_added_and_taken_away_leaves_no_trace() {
        const SEED: u64 = 41;
        println!("seed {SEED}");
        let mut rng = decision_rng(SEED, 1);
        let values: Vec<u64> = (0..500).map(|_| rng.random::<u64>() >> rng.random_range(0..64)).collect();
        let mut sketch = Sketch::default();
        values.iter().for_each(|v| sketch.add(&Sketch::of(*v)));
        assert_eq!(sketch.piles.values().map(|p| p.count).sum::<i64>(), 500);
        assert_eq!(sketch.piles.values().map(|p| p.sum).sum::<i128>(), values.iter().map(|v| i128::from(*v)).sum());
        values.iter().rev().for_each(|v| sketch.remove(&Sketch::of(*v)));
        assert_eq!(sketch, Sketch::default());
    }
}
