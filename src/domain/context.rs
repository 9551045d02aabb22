//! How the context of calls grows within a goal: input tokens by the call's place in it. It exists beside the other sums
//! because few combinations of names and places occur. It knows no windows.

use super::call::Call;
use super::rollup::RollupKey;
use super::series::{Additive, Series, kept_as_it_is};

/// Places told apart one by one; above, every doubling is one.
pub const SINGLE_PLACES: u32 = 32;

/// What a sum of contexts is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextKey {
    /// Names and labels.
    pub of: RollupKey,
    /// The call's place in its goal: 0 to 31, then one number for 32 to 63, one for 64 to 127, and so on.
    pub place: u8,
}

/// Sums of contexts, by the time of the call.
pub type ContextSeries = Series<ContextKey, ContextTally>;

/// Sums over calls of goals whose usage is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextTally {
    /// Calls.
    pub calls: i64,
    /// Their input tokens.
    pub input_tokens: i64,
}

kept_as_it_is!(ContextTally, by_day: true);

impl Additive for ContextTally {
    fn add(&mut self, other: &Self) {
        self.calls = self.calls.wrapping_add(other.calls);
        self.input_tokens = self.input_tokens.wrapping_add(other.input_tokens);
    }

    fn remove(&mut self, other: &Self) {
        self.calls = self.calls.wrapping_sub(other.calls);
        self.input_tokens = self.input_tokens.wrapping_sub(other.input_tokens);
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl ContextTally {
    /// What a call contributes; `None`: it is of no goal, a quality check, or its usage is not known.
    #[must_use]
    pub fn of(call: &Call) -> Option<(ContextKey, Self)> {
        let usage = call.settled().filter(|_| !call.evaluation && !call.goal.is_empty())?.usage?;
        let key = ContextKey { of: RollupKey::of(call), place: place(call.ordinal) };
        Some((key, Self { calls: 1, input_tokens: i64::try_from(usage.input).unwrap_or(i64::MAX) }))
    }
}

/// Number of the place of a call that has so many before it in its goal.
#[must_use]
pub fn place(ordinal: u32) -> u8 {
    if ordinal < SINGLE_PLACES {
        ordinal as u8
    } else {
        (SINGLE_PLACES + ordinal.ilog2() - SINGLE_PLACES.ilog2()) as u8
    }
}

/// First and last ordinal at that place.
#[must_use]
pub fn ordinals(place: u8) -> (u32, u32) {
    let place = u32::from(place);
    if place < SINGLE_PLACES {
        return (place, place);
    }
    let first = u64::from(SINGLE_PLACES) << (place - SINGLE_PLACES).min(SINGLE_PLACES - 5);
    (u32::try_from(first).unwrap_or(u32::MAX), u32::try_from(2 * first - 1).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ordinal_lies_within_its_place() {
        assert_eq!([0, 31, 32, 63, 64, 127, 128].map(place), [0, 31, 32, 32, 33, 33, 34]);
        for ordinal in (0..5_000).chain([u32::MAX / 2, u32::MAX]) {
            let (first, last) = ordinals(place(ordinal));
            assert!((first..=last).contains(&ordinal), "{ordinal}: {first} to {last}");
        }
        assert_eq!(ordinals(place(u32::MAX)).1, u32::MAX);
    }
}
