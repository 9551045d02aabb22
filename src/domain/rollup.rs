//! Figures by time: every call's contribution, summed per minute for a good day and per hour for ever, by task type,
//! candidate, workflow, step, tool and labels. All sums are integers, so what is added can be taken away exactly.

use super::call::{Arm, Call, Selection, Stage};
use super::names::{LabelsId, NameId};
use super::outcome::Verdict;
use super::packed::PackedTally;
use super::series::Additive;
pub use super::series::{Grain, HOUR_KEYS_MAX, MINUTES_KEPT_MS, Series};

/// What a sum is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RollupKey {
    /// Task type.
    pub task: NameId,
    /// Candidate or model that served.
    pub candidate: NameId,
    /// Workflow.
    pub workflow: NameId,
    /// Step.
    pub step: NameId,
    /// Tool.
    pub tool: NameId,
    /// Labels.
    pub labels: LabelsId,
}

impl RollupKey {
    /// The key of a call.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        let Call { task, candidate, workflow, step, tool, labels, .. } = *call;
        if call.coarse {
            let other = NameId::OTHER;
            return Self { task, candidate, workflow: other, step: other, tool: other, labels: LabelsId::OTHER };
        }
        Self { task, candidate, workflow, step, tool, labels }
    }
}

macro_rules! tally {
    ($($(#[$meta:meta])* $field:ident: $kind:ty,)*) => {
        /// Sums over calls. Every field is additive; `Tally::default()` is nothing.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Tally { $($(#[$meta])* pub $field: $kind,)* }

        impl Tally {
            /// Adds another tally.
            pub fn add(&mut self, other: &Self) {
                $(self.$field = self.$field.plus(&other.$field);)*
            }

            /// Takes another tally away.
            pub fn remove(&mut self, other: &Self) {
                $(self.$field = self.$field.minus(&other.$field);)*
            }

            /// All its numbers, in the order of the fields.
            pub(super) fn numbers(&self) -> [i128; NUMBERS] {
                let (mut numbers, mut next) = ([0; NUMBERS], 0);
                $(self.$field.tell(&mut |number| {
                    numbers[next] = number;
                    next += 1;
                });)*
                numbers
            }

            /// The inverse of [`Tally::numbers`].
            pub(super) fn of_numbers(numbers: &[i128; NUMBERS]) -> Self {
                let mut numbers = numbers.iter().copied();
                let mut next = || numbers.next().unwrap_or_default();
                Self { $($field: <$kind>::told(&mut next),)* }
            }
        }

        /// How many numbers a tally has.
        pub(super) const NUMBERS: usize = 0 $(+ <$kind>::NUMBERS)*;
    };
}

/// Wrapping group arithmetic on the kinds of sums a tally has.
trait Sum {
    /// How many numbers it has.
    const NUMBERS: usize;
    fn plus(&self, other: &Self) -> Self;
    fn minus(&self, other: &Self) -> Self;
    /// Tells its numbers in their order.
    fn tell(&self, tell: &mut impl FnMut(i128));
    /// The inverse of `tell`.
    fn told(next: &mut impl FnMut() -> i128) -> Self;
}

impl Sum for i64 {
    const NUMBERS: usize = 1;
    fn plus(&self, other: &Self) -> Self {
        self.wrapping_add(*other)
    }
    fn minus(&self, other: &Self) -> Self {
        self.wrapping_sub(*other)
    }
    fn tell(&self, tell: &mut impl FnMut(i128)) {
        tell(i128::from(*self));
    }
    fn told(next: &mut impl FnMut() -> i128) -> Self {
        next() as i64
    }
}

impl Sum for i128 {
    const NUMBERS: usize = 1;
    fn plus(&self, other: &Self) -> Self {
        self.wrapping_add(*other)
    }
    fn minus(&self, other: &Self) -> Self {
        self.wrapping_sub(*other)
    }
    fn tell(&self, tell: &mut impl FnMut(i128)) {
        tell(*self);
    }
    fn told(next: &mut impl FnMut() -> i128) -> Self {
        next()
    }
}

impl<const N: usize> Sum for [i64; N] {
    const NUMBERS: usize = N;
    fn plus(&self, other: &Self) -> Self {
        std::array::from_fn(|i| self[i].plus(&other[i]))
    }
    fn minus(&self, other: &Self) -> Self {
        std::array::from_fn(|i| self[i].minus(&other[i]))
    }
    fn tell(&self, tell: &mut impl FnMut(i128)) {
        self.iter().for_each(|number| tell(i128::from(*number)));
    }
    fn told(next: &mut impl FnMut() -> i128) -> Self {
        std::array::from_fn(|_| next() as i64)
    }
}

tally! {
    /// Decisions that named a model (by decision time).
    decisions: i64,
    /// Of them those whose outcome is known.
    decisions_settled: i64,
    /// Of them those whose time ran out.
    decisions_expired: i64,
    /// Of them those declared never made.
    decisions_voided: i64,
    /// Production calls (all that follows: by the time of the call).
    calls: i64,
    /// Of them successes.
    successes: i64,
    /// Of them failures; the rest waits for its verdict.
    failures: i64,
    /// Of them retries, fallbacks included.
    retries: i64,
    /// Of them served by a model nobody offered.
    off_policy: i64,
    /// Production calls of unknown cost.
    unpriced: i64,
    /// Cost of all calls, quality checks included, in nano-USD.
    cost: i128,
    /// Calls of known cost, quality checks included.
    costed: i64,
    /// Cost of failed production calls.
    failed_cost: i128,
    /// Cost of retries.
    retry_cost: i128,
    /// Successes of known cost.
    costed_successes: i64,
    /// Σ cost² in nano-USD², over calls of known cost.
    cost_squared: i128,
    /// Σ cost over successes.
    success_cost: i128,
    /// Quality checks.
    evaluations: i64,
    /// What they cost.
    evaluation_cost: i128,
    /// Input tokens.
    input_tokens: i64,
    /// Output tokens.
    output_tokens: i64,
    /// Input tokens read from a cache.
    cached_input_tokens: i64,
    /// Input tokens written to a cache.
    cache_write_tokens: i64,
    /// Latency of production calls, in milliseconds.
    latency_ms: i64,
    /// Production calls of known latency.
    timed: i64,
    /// Energy, quality checks included, in millijoules.
    energy_mj: i64,
    /// Calls of known energy, quality checks included.
    metered: i64,
    /// Production calls by [`Arm`] (index is its number).
    arms: [i64; 7],
    /// Calls the router chose, by [`Selection`] (index is its number).
    selections: [i64; 7],
}

impl Tally {
    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What a call contributes at the time it was decided.
    #[must_use]
    pub fn of_decision(call: &Call) -> Self {
        let mut tally = Self::default();
        if call.decided {
            tally.decisions = 1;
            match call.stage {
                Stage::Open(_) => {}
                Stage::Expired => tally.decisions_expired = 1,
                Stage::Voided => tally.decisions_voided = 1,
                Stage::Settled(_) | Stage::Answered => tally.decisions_settled = 1,
            }
        }
        tally
    }

    /// What a call contributes at the time it happened.
    #[must_use]
    pub fn of_outcome(call: &Call) -> Self {
        let mut tally = Self::default();
        let Some(settled) = call.settled() else { return tally };
        let success = i64::from(matches!(call.verdict(), Some(Verdict::Success)) && !call.evaluation);
        let failure = i64::from(matches!(call.verdict(), Some(Verdict::Failure(_))) && !call.evaluation);
        let retry = i64::from(call.is_retry());
        if let Some(cost) = settled.cost {
            let nano = i128::from(cost.0);
            tally.cost = nano;
            tally.costed = 1;
            tally.cost_squared = nano * nano;
            tally.costed_successes = success;
            tally.success_cost = nano * i128::from(success);
            tally.failed_cost = nano * i128::from(failure);
            tally.retry_cost = nano * i128::from(retry);
        }
        if let Some(usage) = settled.usage {
            tally.input_tokens = usage.input as i64;
            tally.output_tokens = usage.output as i64;
            tally.cached_input_tokens = usage.cached_input as i64;
            tally.cache_write_tokens = usage.cache_write as i64;
        }
        if let Some(energy_mj) = settled.energy_mj {
            (tally.energy_mj, tally.metered) = (i64::try_from(energy_mj).unwrap_or(i64::MAX), 1);
        }
        if call.evaluation {
            tally.evaluations = 1;
            tally.evaluation_cost = tally.cost;
            return tally;
        }
        if let Some(latency_ms) = settled.latency_ms {
            (tally.latency_ms, tally.timed) = (i64::from(latency_ms), 1);
        }
        tally.calls = 1;
        tally.successes = success;
        tally.failures = failure;
        tally.retries = retry;
        tally.off_policy = i64::from(call.off_policy);
        tally.unpriced = i64::from(settled.cost.is_none());
        tally.arms[call.traits.arm as usize] = 1;
        if call.traits.arm == Arm::Router {
            tally.selections[call.traits.selection as usize] = 1;
        }
        tally
    }

    /// Calls of one arm.
    #[must_use]
    pub fn by_arm(&self, arm: Arm) -> i64 {
        self.arms[arm as usize]
    }

    /// Router-chosen calls of one selection.
    #[must_use]
    pub fn by_selection(&self, selection: Selection) -> i64 {
        self.selections[selection as usize]
    }
}

/// All buckets.
pub type Rollups = Series<RollupKey, PackedTally>;

impl Additive for Tally {
    fn add(&mut self, other: &Self) {
        Self::add(self, other);
    }

    fn remove(&mut self, other: &Self) {
        Self::remove(self, other);
    }

    fn is_empty(&self) -> bool {
        Self::is_empty(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{HOUR_MS, MINUTE_MS, UnixMillis};

    fn one() -> Tally {
        Tally { calls: 1, ..Tally::default() }
    }

    fn calls(rollups: &Rollups, from: i64, until: i64) -> i64 {
        let mut sum = 0;
        rollups.window(UnixMillis(from), UnixMillis(until), |_, t| sum += t.calls);
        sum
    }

    #[test]
    fn windows_are_exact_to_the_minute_while_minutes_are_kept_and_to_the_hour_before() {
        let mut rollups = Rollups::default();
        let now = 100 * HOUR_MS + 30 * MINUTE_MS;
        rollups.advance(UnixMillis(now));
        for minute in 0..(now / MINUTE_MS) {
            rollups.change(UnixMillis(minute * MINUTE_MS), RollupKey::default(), &one(), true, |_, _| {});
        }
        for hours in [1, 2, 23, 24] {
            assert_eq!(calls(&rollups, now - hours * HOUR_MS, now), hours * 60, "{hours} h");
        }
        assert_eq!(calls(&rollups, now - 10 * MINUTE_MS, now), 10);
        assert_eq!(calls(&rollups, now - 72 * HOUR_MS, now), 72 * 60 + 30, "rounded down to the hour");
    }

    #[test]
    fn a_long_window_is_exact_to_the_hour_at_both_ends() {
        let mut rollups = Rollups::default();
        let hours = 10 * 24;
        for hour in 0..hours {
            // Weights tell which hours were counted: no two sets of neighbours have the same sum.
            let tally = Tally { calls: 1, input_tokens: hour * hour, ..Tally::default() };
            rollups.change(UnixMillis(hour * HOUR_MS), RollupKey::default(), &tally, true, |_, _| {});
        }
        rollups.advance(UnixMillis(hours * HOUR_MS));
        let mut folded = Rollups::default();
        for (at, bucket) in &rollups.hours {
            bucket.iter().for_each(|(key, tally)| folded.put(Grain::Hour, *at, *key, tally.clone()));
        }
        for (from, until) in [(0, 240), (1, 239), (23, 25), (24, 48), (5, 24), (24, 71), (7, 100), (100, 101)] {
            let expected: i64 = (from..until).map(|hour| hour * hour).sum();
            for rollups in [&rollups, &folded] {
                let (mut calls, mut weights) = (0, 0);
                rollups.window(UnixMillis(from * HOUR_MS), UnixMillis(until * HOUR_MS), |_, t| {
                    (calls, weights) = (calls + t.calls, weights + t.input_tokens);
                });
                assert_eq!((calls, weights), (until - from, expected), "{from} to {until}");
            }
        }
        let mut whole = 0;
        rollups.whole(|_, t| whole += t.calls);
        assert_eq!(whole, hours);
    }

    #[test]
    fn what_was_taken_away_again_leaves_its_place_in_a_crowded_hour() {
        let mut rollups = Rollups::default();
        let key = |n: u32| RollupKey { step: NameId(n), ..RollupKey::default() };
        for n in 0..HOUR_KEYS_MAX as u32 {
            rollups.change(UnixMillis(0), key(n), &one(), true, |_, _| {});
        }
        let another = key(HOUR_KEYS_MAX as u32);
        assert!(rollups.is_crowded(UnixMillis(0), &another));
        let mut touched = Vec::new();
        rollups.change(UnixMillis(0), key(7), &one(), false, |grain, at| touched.push((grain, at)));
        assert_eq!(touched, [(Grain::Hour, UnixMillis(0)), (Grain::Minute, UnixMillis(0))]);
        assert!(!rollups.is_crowded(UnixMillis(0), &another));
    }

    #[test]
    fn dropped_minutes_leave_the_hours_whole() {
        let mut rollups = Rollups::default();
        rollups.change(UnixMillis(5 * MINUTE_MS), RollupKey::default(), &one(), true, |_, _| {});
        assert_eq!(rollups.advance(UnixMillis(MINUTES_KEPT_MS + HOUR_MS)), vec![UnixMillis(5 * MINUTE_MS)]);
        rollups.change(UnixMillis(5 * MINUTE_MS), RollupKey::default(), &one(), false, |_, _| {});
        assert_eq!(calls(&rollups, 0, HOUR_MS), 0);
    }
}
