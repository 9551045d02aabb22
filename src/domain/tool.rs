//! What is known of a tool: what its last calls cost, and how often a retry of it succeeds.

use super::call::{Call, Order};
use super::money::NanoUsd;
use super::retries::Retries;

/// Calls whose cost is remembered.
pub const CALLS_KEPT: usize = 200;

/// What is known of one tool. It is a function of its calls as they stand: late truth and corrections change it to what it
/// would be had they been known at once, in whatever order the calls are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolState {
    /// Its last calls that have an outcome, in decision order, each with what it cost; `None`: unknown.
    pub calls: Vec<(Order, Option<NanoUsd>)>,
    /// What came of its last retries.
    pub retries: Retries,
}

impl ToolState {
    /// The largest known cost of its last [`CALLS_KEPT`] calls; `None`: none is known.
    #[must_use]
    pub fn largest_cost(&self) -> Option<NanoUsd> {
        self.calls.iter().filter_map(|(_, cost)| *cost).max()
    }

    /// Adds or takes away what a call with an outcome says. A call that is taken away is put back at its place before
    /// another one is told of, so the calls kept are always the last ones.
    pub fn change(&mut self, call: &Call, add: bool) {
        self.retries.change(call, add);
        let Some(settled) = call.settled() else { return };
        match (self.calls.binary_search_by_key(&call.order(), |c| c.0), add) {
            (Ok(at), true) => self.calls[at].1 = settled.cost,
            (Ok(at), false) => drop(self.calls.remove(at)),
            (Err(at), true) => self.calls.insert(at, (call.order(), settled.cost)),
            (Err(_), false) => {}
        }
        if self.calls.len() > CALLS_KEPT {
            self.calls.remove(0);
        }
    }
}
