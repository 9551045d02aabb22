//! Money counted a second time, from the facts alone: the last word on every call, added up by the hour. It shares no code
//! with the fold, so that a mistake in one of them shows as a difference of at least a nano-dollar.

use std::collections::{BTreeMap, HashMap};

use crate::domain::call::{CallNo, Settled};
use crate::domain::event::{Body, Event};
use crate::domain::packed::PackedTally;
use crate::domain::rollup::Rollups;
use crate::domain::time::UnixMillis;

/// The last word on one call.
#[derive(Clone, Copy, Debug)]
struct Word {
    hour: UnixMillis,
    cost_nano: Option<u64>,
}

/// What calls cost, as their facts say.
#[derive(Clone, Debug, Default)]
pub struct RawCosts {
    /// What facts came to that are not read any more, by the hour, less the words on calls below.
    before: BTreeMap<UnixMillis, Total>,
    words: HashMap<CallNo, Word>,
    problems: Vec<String>,
}

/// Calls of known cost, and their cost in nano-USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Calls of known cost, quality checks included.
    pub costed: u64,
    /// What they cost in all, in nano-USD.
    pub cost_nano: u128,
}

impl RawCosts {
    /// As if facts had been taken in that came to `rollups` and left these words on calls: the number, when it counts, what it
    /// cost. Of what a snapshot stands for, no more than that is known.
    #[must_use]
    pub fn resumed(rollups: &Rollups, calls: impl IntoIterator<Item = (CallNo, UnixMillis, Option<u64>)>) -> Self {
        let words = calls.into_iter().map(|(call, at, cost_nano)| (call, Word { hour: at.hour(), cost_nano }));
        let mut resumed = Self { words: words.collect(), ..Self::default() };
        let mut words = resumed.by_hour();
        for (hour, bucket) in &rollups.hours {
            let (costed, cost) = sums_of(bucket.values());
            let told = words.remove(hour).unwrap_or_default();
            let (calls, rest) = (u64::try_from(costed).unwrap_or(0), u128::try_from(cost).unwrap_or(0));
            match (calls.checked_sub(told.costed), rest.checked_sub(told.cost_nano)) {
                (Some(costed), Some(cost_nano)) => {
                    resumed.before.insert(*hour, Total { costed, cost_nano });
                }
                _ => resumed.problems.push(differs(*hour, told.costed, told.cost_nano, costed, cost)),
            }
        }
        resumed
    }

    /// Takes one fact in; facts come in order.
    pub fn add(&mut self, seq: u64, event: &Event) {
        match &event.body {
            Body::OutcomeRecorded(recorded) => {
                let word = Word { hour: recorded.counted_at.hour(), cost_nano: cost(&recorded.settled) };
                if self.words.insert(recorded.call, word).is_some() {
                    let call = recorded.call.0;
                    self.problems.push(format!("event {seq} records a second outcome of call {call}"));
                }
            }
            Body::OutcomeAmended(amended) => match self.words.get_mut(&amended.call) {
                Some(word) => word.cost_nano = cost(&amended.settled),
                None => {
                    let call = amended.call.0;
                    self.problems.push(format!("event {seq} amends call {call}, which has no outcome before it"));
                }
            },
            _ => {}
        }
    }

    /// Everything in all.
    #[must_use]
    pub fn total(&self) -> Total {
        self.by_hour().into_values().fold(Total::default(), |sum, hour| Total {
            costed: sum.costed + hour.costed,
            cost_nano: sum.cost_nano + hour.cost_nano,
        })
    }

    /// What is wrong with the facts themselves, and every hour whose sums differ from `rollups`.
    #[must_use]
    pub fn problems(&self, rollups: &Rollups) -> Vec<String> {
        let mut problems = self.problems.clone();
        let mut expected = self.by_hour();
        for (hour, bucket) in &rollups.hours {
            let (costed, cost) = sums_of(bucket.values());
            let Total { costed: calls, cost_nano } = expected.remove(hour).unwrap_or_default();
            if (i128::from(calls), cost_nano as i128) != (i128::from(costed), cost) {
                problems.push(differs(*hour, calls, cost_nano, costed, cost));
            }
        }
        let missing = expected.into_iter().filter(|(_, total)| total.costed > 0);
        problems.extend(missing.map(|(hour, total)| differs(hour, total.costed, total.cost_nano, 0, 0)));
        problems
    }

    fn by_hour(&self) -> BTreeMap<UnixMillis, Total> {
        let mut hours = self.before.clone();
        for word in self.words.values() {
            if let Some(cost_nano) = word.cost_nano {
                let total = hours.entry(word.hour).or_default();
                total.costed += 1;
                total.cost_nano += u128::from(cost_nano);
            }
        }
        hours
    }
}

/// Calls of known cost, and that cost.
fn sums_of<'a>(sums: impl Iterator<Item = &'a PackedTally>) -> (i64, i128) {
    sums.map(PackedTally::tally).fold((0, 0), |(costed, cost), sum| (costed + sum.costed, cost + sum.cost))
}

fn cost(settled: &Settled) -> Option<u64> {
    settled.cost.map(|cost| cost.0)
}

fn differs(hour: UnixMillis, calls: u64, cost_nano: u128, costed: i64, cost: i128) -> String {
    let hour = jiff::Timestamp::from_millisecond(hour.0).map_or_else(|_| hour.0.to_string(), |at| at.to_string());
    format!(
        "hour {hour}: the facts add up to {cost_nano} nano-USD in {calls} calls of known cost, the sums say {cost} in {costed}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::OutcomeAmended;
    use crate::domain::money::NanoUsd;
    use crate::domain::rollup::{RollupKey, Tally};
    use crate::journal::codec::tests::ordinary;

    fn sums(cost: i128, costed: i64) -> Rollups {
        let mut rollups = Rollups::default();
        let tally = Tally { cost, costed, ..Tally::default() };
        rollups.change(UnixMillis(1_795_000_002_123), RollupKey::default(), &tally, true, |_, _| {});
        rollups
    }

    #[test]
    fn a_nano_dollar_of_difference_shows_and_the_last_word_counts() {
        let [decided, recorded] = ordinary();
        let Body::OutcomeRecorded(outcome) = &recorded.body else { panic!("an outcome") };
        let mut settled = outcome.settled;
        settled.cost = Some(NanoUsd(900_001));
        let (by, reason) = (String::new(), String::new());
        let amended = OutcomeAmended { call: outcome.call, settled, by, reason, key: None };
        let amended = Event { at: recorded.at, body: Body::OutcomeAmended(Box::new(amended)) };

        let mut raw = RawCosts::default();
        raw.add(1, &decided);
        raw.add(2, &recorded);
        assert_eq!(raw.total(), Total { costed: 1, cost_nano: 701_250 });
        assert_eq!(raw.problems(&sums(701_250, 1)), Vec::<String>::new());
        raw.add(3, &amended);
        assert_eq!(raw.problems(&sums(900_001, 1)), Vec::<String>::new());
        assert_eq!(
            raw.problems(&sums(900_000, 1)),
            [
                "hour 2026-11-18T11:00:00Z: the facts add up to 900001 nano-USD in 1 calls of known cost, the sums say 900000 in 1"
            ]
        );
        assert_eq!(raw.problems(&Rollups::default()).len(), 1, "an hour without sums is missing");
        raw.add(4, &recorded);
        assert_eq!(raw.problems(&sums(701_250, 1)), ["event 4 records a second outcome of call 3298536117895"]);
    }

    #[test]
    fn a_count_that_begins_with_sums_goes_on_to_the_nano_dollar() {
        let [decided, recorded] = ordinary();
        let Body::OutcomeRecorded(outcome) = &recorded.body else { panic!("an outcome") };
        let (at, call) = (outcome.counted_at, CallNo(7));
        // Two calls came to 1,000 nano-USD; one of them is still known, and is amended.
        let mut raw = RawCosts::resumed(&sums(1_000, 2), [(call, at, Some(400))]);
        assert_eq!(raw.total(), Total { costed: 2, cost_nano: 1_000 });
        assert_eq!(raw.problems(&sums(1_000, 2)), Vec::<String>::new());
        let (by, reason) = (String::new(), String::new());
        let settled = Settled { cost: Some(NanoUsd(401)), ..outcome.settled };
        let amended = OutcomeAmended { call, settled, by, reason, key: None };
        raw.add(8, &Event { at: recorded.at, body: Body::OutcomeAmended(Box::new(amended)) });
        raw.add(9, &decided);
        raw.add(10, &recorded);
        assert_eq!(raw.problems(&sums(1_001 + 701_250, 3)), Vec::<String>::new());
        assert_eq!(raw.problems(&sums(1_000 + 701_250, 3)).len(), 1);
        // Sums that are less than what the calls say cannot be right.
        assert_eq!(RawCosts::resumed(&sums(399, 1), [(call, at, Some(400))]).problems(&sums(399, 1)).len(), 2);
    }

    #[test]
    fn an_amendment_of_nothing_shows() {
        let [_, recorded] = ordinary();
        let Body::OutcomeRecorded(outcome) = &recorded.body else { panic!("an outcome") };
        let (by, reason) = (String::new(), String::new());
        let amended = OutcomeAmended { call: outcome.call, settled: outcome.settled, by, reason, key: None };
        let mut raw = RawCosts::default();
        raw.add(9, &Event { at: recorded.at, body: Body::OutcomeAmended(Box::new(amended)) });
        assert_eq!(
            raw.problems(&Rollups::default()),
            ["event 9 amends call 3298536117895, which has no outcome before it"]
        );
    }
}
