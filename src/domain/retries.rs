//! How often a call that follows a failed one of its step succeeds. It exists so that tools and models learn this alike, and
//! so that what was learned can be outgrown: once no retry is made any more, nothing new is seen of them. It refuses to know
//! what a success is worth.

use super::call::{Call, CallNo, Order};
use super::outcome::Verdict;
use super::time::{DAY_MS, UnixMillis};

/// Retries that must have been seen before their chance of success is relied on.
pub const RETRIES_SEEN_MIN: u64 = 20;

/// Retries that are remembered: the last ones in decision order.
pub const RETRIES_KEPT: usize = 40;

/// For how long a retry says something of the next one, in milliseconds.
pub const RETRIES_AGE_MS: i64 = DAY_MS;

/// The last retries with a verdict, each with whether it succeeded. Failures that say nothing of the model or tool (a wrong
/// key, a cancelled call) are none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    /// In decision order, at most [`RETRIES_KEPT`].
    pub last: Vec<(Order, bool)>,
}

impl Retries {
    /// Adds or takes away what a call says of retries: nothing unless it is one, has a verdict and says something of what it
    /// called.
    pub fn change(&mut self, call: &Call, add: bool) {
        let succeeded = match call.verdict() {
            Some(Verdict::Success) => true,
            Some(Verdict::Failure(reason)) if reason.teaches() => false,
            _ => return,
        };
        if !call.is_retry() {
            return;
        }
        match (self.last.binary_search_by_key(&call.order(), |r| r.0), add) {
            (Ok(at), true) => self.last[at].1 = succeeded,
            (Ok(at), false) => drop(self.last.remove(at)),
            (Err(at), true) => self.last.insert(at, (call.order(), succeeded)),
            (Err(_), false) => {}
        }
        if self.last.len() > RETRIES_KEPT {
            self.last.remove(0);
        }
    }

    /// Forgets the retries before call `from`.
    pub fn keep_from(&mut self, from: CallNo) {
        self.last.retain(|(order, _)| order.number >= from);
    }

    /// Those of the last [`RETRIES_AGE_MS`] by what came of them.
    #[must_use]
    pub fn counts(&self, now: UnixMillis) -> RetryCounts {
        let since = now.plus_ms(-RETRIES_AGE_MS);
        let mut counts = RetryCounts::default();
        for (_, succeeded) in self.last.iter().filter(|(order, _)| order.at >= since) {
            *(if *succeeded { &mut counts.successes } else { &mut counts.failures }) += 1;
        }
        counts
    }
}

/// Retries by what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryCounts {
    /// Retries that succeeded.
    pub successes: u64,
    /// Retries that failed.
    pub failures: u64,
}

impl RetryCounts {
    /// How many are known.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.successes.saturating_add(self.failures)
    }

    /// Chance that another one succeeds, in (0, 1): the mean of Beta(1 + successes, 1 + failures) (Laplace's rule of
    /// succession); `None` below [`RETRIES_SEEN_MIN`].
    #[must_use]
    pub fn chance(&self) -> Option<f64> {
        (self.seen() >= RETRIES_SEEN_MIN).then(|| (self.successes as f64 + 1.0) / (self.seen() as f64 + 2.0))
    }
}
