//! Sums over time: per minute for a good day, per hour for ever, told apart by a key. It exists so that every kind of sum
//! is kept, bounded and asked in the same way. It refuses to know what is summed. Days are the sums of their hours, at hand
//! so that a window of weeks is not the sum of hundreds of hours; nothing is told by them that the hours would not tell.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use super::time::{DAY_MS, HOUR_MS, UnixMillis};

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

/// The form in which a sum is kept. Nothing is `default()`, and equal sums have equal forms.
pub trait Kept: Default {
    /// The sum.
    type Sum: Additive;
    /// Whether a day tells what its hours tell; where values of a bucket are merged, it tells less.
    const BY_DAY: bool;
    /// Shows the sum.
    fn look<R>(&self, look: impl FnOnce(&Self::Sum) -> R) -> R;
    /// Changes the sum.
    fn change<R>(&mut self, change: impl FnOnce(&mut Self::Sum) -> R) -> R;
}

/// Sums that are kept as they are.
macro_rules! kept_as_it_is {
    ($sum:ty, by_day: $by_day:literal) => {
        impl $crate::domain::series::Kept for $sum {
            type Sum = Self;
            const BY_DAY: bool = $by_day;

            fn look<R>(&self, look: impl FnOnce(&Self) -> R) -> R {
                look(self)
            }

            fn change<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
                change(self)
            }
        }
    };
}
pub(super) use kept_as_it_is;

/// A grain of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grain {
    /// Kept for [`MINUTES_KEPT_MS`].
    Minute,
    /// Kept for ever.
    Hour,
}

/// Buckets by their start.
pub type Buckets<K, T> = BTreeMap<UnixMillis, HashMap<K, T>>;

/// All buckets of one kind of sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series<K: Eq + Hash, T> {
    /// By start of the minute.
    pub minutes: Buckets<K, T>,
    /// By start of the hour.
    pub hours: Buckets<K, T>,
    /// By start of the day (UTC): what its hours add up to.
    days: Buckets<K, T>,
    /// Minutes before this are gone.
    pub minutes_from: UnixMillis,
}

impl<K: Eq + Hash, T> Default for Series<K, T> {
    fn default() -> Self {
        let minutes_from = UnixMillis::default();
        Self { minutes: BTreeMap::new(), hours: BTreeMap::new(), days: BTreeMap::new(), minutes_from }
    }
}

impl<K: Eq + Hash + Copy, T: Kept> Series<K, T> {
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
    pub fn change(
        &mut self,
        at: UnixMillis,
        key: K,
        sum: &T::Sum,
        add: bool,
        mut touched: impl FnMut(Grain, UnixMillis),
    ) {
        if sum.is_empty() {
            return;
        }
        if T::BY_DAY {
            change(&mut self.days, at.day(), key, sum, add);
        }
        change(&mut self.hours, at.hour(), key, sum, add);
        touched(Grain::Hour, at.hour());
        if at.minute() >= self.minutes_from {
            change(&mut self.minutes, at.minute(), key, sum, add);
            touched(Grain::Minute, at.minute());
        }
    }

    /// Puts a sum in its place, where nothing was before.
    pub fn put(&mut self, grain: Grain, start: UnixMillis, key: K, sum: T) {
        let buckets = match grain {
            Grain::Minute => &mut self.minutes,
            Grain::Hour => {
                if T::BY_DAY {
                    sum.look(|sum| change(&mut self.days, start.day(), key, sum, true));
                }
                &mut self.hours
            }
        };
        buckets.entry(start).or_default().insert(key, sum);
    }

    /// Whether the hour of `at` has no room to tell `key` apart.
    #[must_use]
    pub fn is_crowded(&self, at: UnixMillis, key: &K) -> bool {
        let hour = self.hours.get(&at.hour());
        hour.is_some_and(|bucket| bucket.len() >= HOUR_KEYS_MAX && !bucket.contains_key(key))
    }

    /// Sums of every key over [`from`, `until`): whole hours from the hours, the ragged ends from the minutes where
    /// they are still kept, else rounded down to the hour.
    pub fn window(&self, from: UnixMillis, until: UnixMillis, mut visit: impl FnMut(&K, &T::Sum)) {
        self.window_in_order(from, until, |_, k, t| visit(k, t));
    }

    /// As [`Series::window`], with the start of the bucket of each sum, which never falls.
    pub fn window_in_order(&self, from: UnixMillis, until: UnixMillis, mut visit: impl FnMut(UnixMillis, &K, &T::Sum)) {
        let mut each = |buckets: &Buckets<K, T>, from: UnixMillis, until: UnixMillis| {
            if from < until {
                let sums = buckets.range(from..until).flat_map(|(at, bucket)| bucket.iter().map(|sum| (*at, sum)));
                sums.for_each(|(at, (k, t))| t.look(|t| visit(at, k, t)));
            }
        };
        let (from, until) = (self.edge(from), self.edge(until));
        let (first, last) = (from.plus_ms(HOUR_MS - 1).hour(), until.hour());
        if first > last {
            each(&self.minutes, from, until);
            return;
        }
        each(&self.minutes, from, first);
        let (first_day, last_day) = (first.plus_ms(DAY_MS - 1).day(), last.day());
        if first_day > last_day || !T::BY_DAY {
            each(&self.hours, first, last);
        } else {
            each(&self.hours, first, first_day);
            each(&self.days, first_day, last_day);
            each(&self.hours, last_day, last);
        }
        each(&self.minutes, last, until);
    }

    /// Sums of every key over all time.
    pub fn whole(&self, mut visit: impl FnMut(&K, &T::Sum)) {
        let buckets = if T::BY_DAY { &self.days } else { &self.hours };
        buckets.values().flatten().for_each(|(k, t)| t.look(|t| visit(k, t)));
    }

    /// An edge as it can be kept: to the minute while minutes reach back to its hour, else to the hour.
    #[must_use]
    pub fn edge(&self, at: UnixMillis) -> UnixMillis {
        if at.hour() >= self.minutes_from { at.minute() } else { at.hour() }
    }
}

/// Adds `sum` to that of its bucket, or takes it away.
fn change<K: Eq + Hash + Copy, T: Kept>(
    buckets: &mut Buckets<K, T>,
    start: UnixMillis,
    key: K,
    sum: &T::Sum,
    add: bool,
) {
    let bucket = buckets.entry(start).or_default();
    let is_empty = bucket.entry(key).or_default().change(|whole| {
        let change = if add { T::Sum::add } else { T::Sum::remove };
        change(whole, sum);
        whole.is_empty()
    });
    // What is nothing is not stored: if it took room here, a fold with a restart in it would tell others apart.
    if is_empty {
        bucket.remove(&key);
    }
}
