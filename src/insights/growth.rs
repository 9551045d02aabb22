//! How the context grows within a goal: mean input tokens by the call's place in it.

use std::collections::BTreeMap;

use super::report::Window;
use super::report_goals::ContextRow;
use super::selector::{Fit, Selector};
use super::sums::count;
use crate::domain::context::{ContextTally, ordinals};
use crate::domain::series::Additive as _;
use crate::domain::state::State;

/// One row for each place with calls, first to last.
pub(super) fn growth(state: &State, selector: &Selector, window: Window) -> Vec<ContextRow> {
    let mut by_place: BTreeMap<u8, ContextTally> = BTreeMap::new();
    state.context_sums.window(window.start, window.end, |key, tally| {
        if selector.fit(&key.of) == Fit::In {
            by_place.entry(key.place).or_default().add(tally);
        }
    });
    let rows = by_place.into_iter().filter(|(_, tally)| tally.calls > 0).map(|(place, tally)| {
        let (first, last) = ordinals(place);
        let mean_input_tokens = tally.input_tokens as f64 / tally.calls as f64;
        ContextRow { first, last, calls: count(tally.calls), mean_input_tokens }
    });
    rows.collect()
}
