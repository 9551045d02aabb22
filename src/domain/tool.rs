//! What is known of a tool: what its last calls cost, and how often a retry of it succeeds.

use super::call::Call;
use super::outcome::Verdict;

/// Calls whose cost is remembered.
pub const COSTS_KEPT: usize = 200;

/// What is known of one tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolState {
    /// Costs of its last calls in nano-USD, in the order they were told.
    pub costs_nano: Vec<u64>,
    /// Retries that succeeded.
    pub retry_successes: u64,
    /// Retries that failed.
    pub retry_failures: u64,
}

impl ToolState {
    /// The largest cost of its last [`COSTS_KEPT`] calls.
    #[must_use]
    pub fn largest_cost(&self) -> Option<super::money::NanoUsd> {
        self.costs_nano.iter().max().map(|c| super::money::NanoUsd(*c))
    }

    /// Remembers what a call cost.
    pub fn cost(&mut self, nano_usd: u64) {
        if self.costs_nano.len() >= COSTS_KEPT {
            self.costs_nano.remove(0);
        }
        self.costs_nano.push(nano_usd);
    }

    /// Adds or takes away what a call says of retries.
    pub fn change(&mut self, call: &Call, add: bool) {
        if !call.is_retry() {
            return;
        }
        let counter = match call.verdict() {
            Some(Verdict::Success) => &mut self.retry_successes,
            Some(Verdict::Failure(_)) => &mut self.retry_failures,
            None => return,
        };
        *counter = if add { counter.saturating_add(1) } else { counter.saturating_sub(1) };
    }
}
