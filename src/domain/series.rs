//! Sums over time: per minute for a good day, per hour for ever, told apart by a key. It exists so that every kind of sum
//! is kept, bounded and asked in the same way. It refuses to know what is summed.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use super::time::{HOUR_MS, UnixMillis};

/// How long minutes are kept: a day's window, the day before it, and the hours its edges may lie in.
pub const MINUTES_KEPT_MS: i64 = 50 * HOUR_MS;

/// Combinations of names that are told apart within one hour.
pub const HOUR_KEYS_MAX: usize = 10_000;

/// A sum that what was added to can be taken from again, exactly.
pub trait Additive: Default {
    /// Adds another sum.
    fn add(&mut self, other: &Self);
    /// Takes another sum away.
    fn remove(&mut self, other: &Self);
    /// Whether nothing is in it.
    fn is_empty(&self) -> bool;
}

/// A grain of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grain {
    /// Kept for [`MINUTES_KEPT_MS`].
    Minute,
    /// Kept for ever.
    Hour,
}

/// All buckets of one kind of sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series<K: Eq + Hash, T> {
    /// By start of the minute.
    pub minutes: BTreeMap<UnixMillis, HashMap<K, T>>,
    /// By start of the hour.
    pub hours: BTreeMap<UnixMillis, HashMap<K, T>>,
    /// Minutes before this are gone.
    pub minutes_from: UnixMillis,
}

impl<K: Eq + Hash, T> Default for Series<K, T> {
    fn default() -> Self {
        Self { minutes: BTreeMap::new(), hours: BTreeMap::new(), minutes_from: UnixMillis::default() }
    }
}

impl<K: Eq + Hash + Copy, T: Additive> Series<K, T> {
    /// Moves the edge of the kept minutes up to `now`; returns the minutes dropped.
    pub fn advance(&mut self, now: UnixMillis) -> Vec<UnixMillis> {
        let from = now.plus_ms(-MINUTES_KEPT_MS).minute();
        if from <= self.minutes_from {
            return Vec::new();
        }
        self.minutes_from = from;
        let kept = self.minutes.split_off(&from);
        std::mem::replace(&mut self.minutes, kept).into_keys().collect()
    }

    /// Adds or takes away `sum` at `at`; reports the buckets touched to `touched`.
    pub fn change(&mut self, at: UnixMillis, key: K, sum: &T, add: bool, mut touched: impl FnMut(Grain, UnixMillis)) {
        if sum.is_empty() {
            return;
        }
        let apply = |map: &mut BTreeMap<UnixMillis, HashMap<K, T>>, start| {
            let bucket = map.entry(start).or_default();
            let whole = bucket.entry(key).or_default();
            let change = if add { T::add } else { T::remove };
            change(whole, sum);
            // What is nothing is not stored: if it took room here, a fold with a restart in it would tell others apart.
            if whole.is_empty() {
                bucket.remove(&key);
            }
        };
        apply(&mut self.hours, at.hour());
        touched(Grain::Hour, at.hour());
        if at.minute() >= self.minutes_from {
            apply(&mut self.minutes, at.minute());
            touched(Grain::Minute, at.minute());
        }
    }

    /// Whether the hour of `at` has no room to tell `key` apart.
    #[must_use]
    pub fn is_crowded(&self, at: UnixMillis, key: &K) -> bool {
        let hour = self.hours.get(&at.hour());
        hour.is_some_and(|bucket| bucket.len() >= HOUR_KEYS_MAX && !bucket.contains_key(key))
    }

    /// Sums of every key over [`from`, `until`): whole hours from the hours, the ragged ends from the minutes where
    /// they are still kept, else rounded down to the hour.
    pub fn window(&self, from: UnixMillis, until: UnixMillis, mut visit: impl FnMut(&K, &T)) {
        let mut each = |map: &BTreeMap<UnixMillis, HashMap<K, T>>, from: UnixMillis, until: UnixMillis| {
            if from < until {
                map.range(from..until).flat_map(|(_, bucket)| bucket).for_each(|(k, t)| visit(k, t));
            }
        };
        let (from, until) = (self.edge(from), self.edge(until));
        let next_hour = |t: UnixMillis| if t.hour() == t { t } else { t.hour().plus_ms(HOUR_MS) };
        let (first, last) = (next_hour(from), until.hour());
        if first > last {
            each(&self.minutes, from, until);
        } else {
            each(&self.minutes, from, first);
            each(&self.hours, first, last);
            each(&self.minutes, last, until);
        }
    }

    /// An edge as it can be kept: to the minute while minutes reach back to its hour, else to the hour.
    #[must_use]
    pub fn edge(&self, at: UnixMillis) -> UnixMillis {
        if at.hour() >= self.minutes_from { at.minute() } else { at.hour() }
    }
}
