//! Gathers the sums of one window: from the rollups or, for one goal, from its calls. One pass; everything the report
//! says of the window is computed from what this leaves behind.

use std::collections::{BTreeMap, HashMap};

use super::query::Query;
use super::report::{Resolution, Window};
use super::selector::{Fit, Selector};
use crate::domain::call::Call;
use crate::domain::money::NanoUsd;
use crate::domain::names::{LabelsId, NameId};
use crate::domain::rollup::{RollupKey, Rollups, Tally};
use crate::domain::time::{MINUTE_MS, UnixMillis};
use crate::engine::Engine;

/// The window of `lookback_ms` that ends at `now`: its begin rounded down, its end the end of the current minute, so that
/// a call recorded at this very moment lies within.
pub(super) fn current_window(rollups: &Rollups, lookback_ms: i64, now: UnixMillis) -> Window {
    assert!(lookback_ms > 0, "INV-INSIGHTS-1: a window has a length");
    window(rollups, now.plus_ms(-lookback_ms), now.minute().plus_ms(MINUTE_MS))
}

/// The window of equal length that ends where `after` begins.
pub(super) fn window_before(rollups: &Rollups, after: Window) -> Window {
    window(rollups, after.start.plus_ms(after.start.0 - after.end.0), after.start)
}

/// From `from` to `end`, its begin rounded down.
pub(super) fn window(rollups: &Rollups, from: UnixMillis, end: UnixMillis) -> Window {
    // Nothing can be dated before 1970.
    let start = rollups.edge(from.max(UnixMillis(0)));
    let resolution = if start.hour() >= rollups.minutes_from { Resolution::Minute } else { Resolution::Hour };
    Window { start, end, resolution }
}

/// The sums of one window.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// Of every call that belongs to the report.
    pub total: Tally,
    /// The same by task type and candidate.
    pub by_task: BTreeMap<NameId, BTreeMap<NameId, Tally>>,
    /// The same by all names; but for [`Depth::Total`].
    pub by_key: HashMap<RollupKey, Tally>,
    /// By task type and candidate whatever the filters: the traffic that the over-provisioning evidence refers to.
    pub traffic: HashMap<(NameId, NameId), Tally>,
    /// Some calls may match but are kept only under "other".
    pub partial: bool,
}

/// What is gathered beside the total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Nothing.
    Total,
    /// Sums by all names: for the window before.
    Keys,
    /// Everything a report shows.
    Full,
}

impl Sums {
    /// The sums of `window`. A query for one goal is answered from `goal_calls`; without them it covers nothing.
    pub(super) fn gather(
        engine: &Engine,
        goal_calls: Option<&[Call]>,
        query: &Query,
        selector: &Selector,
        window: Window,
        depth: Depth,
    ) -> Self {
        let mut sums = Self::default();
        let rollups = &engine.state.rollups;
        match &query.filters.goal_id {
            None => rollups.window(window.start, window.end, |key, tally| {
                if depth == Depth::Full {
                    sums.traffic.entry((key.task, key.candidate)).or_default().add(tally);
                }
                sums.add(selector, key, tally, depth);
            }),
            Some(goal) => {
                if depth == Depth::Full {
                    let traffic = &mut sums.traffic;
                    rollups.window(window.start, window.end, |key, tally| {
                        traffic.entry((key.task, key.candidate)).or_default().add(tally);
                    });
                }
                let calls = goal_calls.unwrap_or_default().iter().filter(|call| call.goal == *goal);
                calls.for_each(|call| sums.add_call(selector, call, window, depth));
            }
        }
        sums
    }

    fn add_call(&mut self, selector: &Selector, call: &Call, window: Window, depth: Depth) {
        let key = RollupKey::of(call);
        let within = |at: UnixMillis| (window.start..window.end).contains(&at);
        if within(call.at) {
            self.add(selector, &key, &Tally::of_decision(call), depth);
        }
        if within(call.counted_at) {
            self.add(selector, &key, &Tally::of_outcome(call), depth);
        }
    }

    fn add(&mut self, selector: &Selector, key: &RollupKey, tally: &Tally, depth: Depth) {
        // What was added and taken back again leaves nothing behind.
        if tally.is_empty() {
            return;
        }
        match selector.fit(key) {
            Fit::Out => return,
            Fit::Unknown => {
                self.partial = true;
                return;
            }
            Fit::In => self.total.add(tally),
        }
        if depth == Depth::Full {
            self.by_task.entry(key.task).or_default().entry(key.candidate).or_default().add(tally);
        }
        if depth != Depth::Total {
            self.by_key.entry(RollupKey { labels: LabelsId::NONE, ..*key }).or_default().add(tally);
        }
    }

    /// The sums by workflow.
    pub(super) fn by_workflow(&self) -> BTreeMap<NameId, Tally> {
        let mut sums: BTreeMap<NameId, Tally> = BTreeMap::new();
        self.by_key.iter().for_each(|(key, tally)| sums.entry(key.workflow).or_default().add(tally));
        sums
    }
}

/// A count as reported. Sums never go below 0 once all facts are folded.
pub(super) fn count(sum: i64) -> u64 {
    u64::try_from(sum).unwrap_or(0)
}

/// A sum of money as reported; above 2⁶⁴ nano-USD ($18 billion) it stays there.
pub(super) fn money(sum: i128) -> NanoUsd {
    NanoUsd(u64::try_from(sum.max(0)).unwrap_or(u64::MAX))
}

/// `part` ÷ `whole`; `None` where `whole` is not above 0.
pub(super) fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
