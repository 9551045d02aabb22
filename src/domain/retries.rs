//! How often a call that follows a failed one of its step succeeds. It exists so that tools and models learn this alike. It
//! refuses to know what a success is worth.

use super::call::Call;
use super::outcome::Verdict;

/// Retries that must have been seen before their chance of success is relied on.
pub const RETRIES_SEEN_MIN: u64 = 20;

/// Retries by what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryCounts {
    /// Retries that succeeded.
    pub successes: u64,
    /// Retries that failed.
    pub failures: u64,
}

impl RetryCounts {
    /// Adds or takes away what a call says of retries: nothing unless it is one and its verdict is known.
    pub fn change(&mut self, call: &Call, add: bool) {
        if !call.is_retry() {
            return;
        }
        let counter = match call.verdict() {
            Some(Verdict::Success) => &mut self.successes,
            Some(Verdict::Failure(_)) => &mut self.failures,
            None => return,
        };
        *counter = if add { counter.saturating_add(1) } else { counter.saturating_sub(1) };
    }

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
