//! Sums over closed goals and over contexts, between the domain and the bytes. It exists beside `tally.rs` because these
//! have histograms and places in them. It refuses to know where a record lies.

use std::sync::Arc;

use super::tally::{wide, wide_of};
use crate::domain::context::ContextTally;
use crate::domain::goal_tally::GoalTally;
use crate::domain::sketch::{Pile, Sketch};
use crate::journal::codec::CodecError;
use crate::journal::{fields, pb};

const COUNTS: usize = 20;
const SUMS: usize = 3;

/// A sum over closed goals as stored.
pub(super) fn goals_of(tally: &GoalTally) -> pb::GoalTally {
    // Taken apart by name, so that a field added to the domain does not compile until it is stored.
    let GoalTally {
        goals,
        sub_goals,
        cost,
        cost_squared,
        unpriced_goals,
        calls,
        steps,
        retries,
        failures,
        failed_cost,
        tool_calls,
        tokens,
        latency_ms,
        energy_mj,
        wall_ms,
        reopened,
        scored,
        score_micro,
        claimed,
        graded,
        graded_accepted,
        graded_claimed,
        graded_both,
        cost_sketch,
        calls_sketch,
        steps_sketch,
        wall_ms_sketch,
        budgets,
    } = tally;
    let counts: [&i64; COUNTS] = [
        goals,
        sub_goals,
        unpriced_goals,
        calls,
        steps,
        retries,
        failures,
        tool_calls,
        tokens,
        latency_ms,
        energy_mj,
        wall_ms,
        reopened,
        scored,
        score_micro,
        claimed,
        graded,
        graded_accepted,
        graded_claimed,
        graded_both,
    ];
    let used = counts.iter().rposition(|n| **n != 0).map_or(0, |last| last + 1);
    let wides: [&i128; SUMS] = [cost, cost_squared, failed_cost];
    let filled = wides.iter().rposition(|n| **n != 0).map_or(0, |last| last + 1);
    let use_of = |(budget, of): (&Arc<str>, &Sketch)| pb::BudgetUse { budget: budget.to_string(), r#use: piles_of(of) };
    pb::GoalTally {
        counts: counts[..used].iter().map(|n| **n).collect(),
        sums: wides[..filled].iter().map(|n| wide_of(**n)).collect(),
        cost: piles_of(cost_sketch),
        calls: piles_of(calls_sketch),
        steps: piles_of(steps_sketch),
        wall_ms: piles_of(wall_ms_sketch),
        budgets: budgets.iter().map(use_of).collect(),
    }
}

/// A sum over closed goals as read.
pub(super) fn goals(stored: pb::GoalTally) -> Result<GoalTally, CodecError> {
    if stored.counts.len() > COUNTS || stored.sums.len() > SUMS {
        return Err(CodecError::Ragged { field: "goal_tally" });
    }
    let count = |i: usize| stored.counts.get(i).copied().unwrap_or(0);
    let sum = |i: usize| stored.sums.get(i).map_or(Ok(0), |bytes| wide(bytes));
    Ok(GoalTally {
        goals: count(0),
        sub_goals: count(1),
        cost: sum(0)?,
        cost_squared: sum(1)?,
        unpriced_goals: count(2),
        calls: count(3),
        steps: count(4),
        retries: count(5),
        failures: count(6),
        failed_cost: sum(2)?,
        tool_calls: count(7),
        tokens: count(8),
        latency_ms: count(9),
        energy_mj: count(10),
        wall_ms: count(11),
        reopened: count(12),
        scored: count(13),
        score_micro: count(14),
        claimed: count(15),
        graded: count(16),
        graded_accepted: count(17),
        graded_claimed: count(18),
        graded_both: count(19),
        cost_sketch: piles(&stored.cost)?,
        calls_sketch: piles(&stored.calls)?,
        steps_sketch: piles(&stored.steps)?,
        wall_ms_sketch: piles(&stored.wall_ms)?,
        budgets: stored
            .budgets
            .into_iter()
            .map(|of| Ok((Arc::from(of.budget), piles(&of.r#use)?)))
            .collect::<Result<_, CodecError>>()?,
    })
}

/// Four numbers a pile.
fn piles_of(sketch: &Sketch) -> Vec<u64> {
    let mut stored = Vec::with_capacity(sketch.piles.len() * 4);
    let mut last = 0;
    for (bucket, Pile { count, sum }) in &sketch.piles {
        stored.push(u64::from(bucket - last));
        stored.push(fields::zigzag(*count));
        stored.push(*sum as u64);
        stored.push(fields::zigzag((*sum >> 64) as i64));
        last = *bucket;
    }
    stored
}

fn piles(stored: &[u64]) -> Result<Sketch, CodecError> {
    let mut sketch = Sketch::default();
    let mut last = 0_u64;
    for [step, count, low, high] in fields::groups("piles", stored)? {
        last = last.saturating_add(step);
        let bucket = u16::try_from(last).map_err(|_| CodecError::Ragged { field: "piles" })?;
        let sum = i128::from(fields::unzigzag(high)) << 64 | i128::from(low);
        sketch.put(bucket, Pile { count: fields::unzigzag(count), sum });
    }
    Ok(sketch)
}

/// Sums over contexts by place as stored.
pub(super) fn contexts_of<'a>(places: impl IntoIterator<Item = (u8, &'a ContextTally)>) -> pb::ContextSums {
    let each = |(place, of): (u8, &ContextTally)| [i64::from(place), of.calls, of.input_tokens];
    pb::ContextSums { places: places.into_iter().flat_map(each).collect() }
}

/// Sums over contexts by place as read.
pub(super) fn contexts(stored: &pb::ContextSums) -> Result<Vec<(u8, ContextTally)>, CodecError> {
    let read = |[place, calls, input_tokens]: [i64; 3]| {
        let place = u8::try_from(place).map_err(|_| CodecError::Ragged { field: "places" })?;
        Ok((place, ContextTally { calls, input_tokens }))
    };
    fields::groups("places", &stored.places)?.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch() -> impl Strategy<Value = Sketch> {
        let pile = (any::<u16>(), any::<i64>(), any::<i128>());
        proptest::collection::vec(pile, 0..5).prop_map(|piles| {
            let mut sketch = Sketch::default();
            piles.into_iter().for_each(|(bucket, count, sum)| sketch.put(bucket, Pile { count, sum }));
            sketch
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_sum_over_goals_comes_back_as_it_was(
            n in proptest::array::uniform20(any::<i64>()), sums in any::<[i128; 3]>(),
            sketches in proptest::array::uniform4(sketch()),
            budgets in proptest::collection::btree_map("[a-z]{0,3}", sketch(), 0..3),
        ) {
            let [cost_sketch, calls_sketch, steps_sketch, wall_ms_sketch] = sketches;
            let tally = GoalTally {
                goals: n[0], sub_goals: n[1], cost: sums[0], cost_squared: sums[1], unpriced_goals: n[2], calls: n[3],
                steps: n[4], retries: n[5], failures: n[6], failed_cost: sums[2], tool_calls: n[7], tokens: n[8],
                latency_ms: n[9], energy_mj: n[10], wall_ms: n[11], reopened: n[12], scored: n[13], score_micro: n[14],
                claimed: n[15], graded: n[16], graded_accepted: n[17], graded_claimed: n[18], graded_both: n[19],
                cost_sketch, calls_sketch, steps_sketch, wall_ms_sketch,
                budgets: budgets.into_iter().map(|(budget, of)| (Arc::from(budget), of)).collect(),
            };
            prop_assert_eq!(goals(goals_of(&tally)).unwrap(), tally);
            let only = GoalTally { sub_goals: n[1], cost: sums[0], ..GoalTally::default() };
            prop_assert_eq!(goals(goals_of(&only)).unwrap(), only);
        }

        #[test]
        fn sums_over_contexts_come_back_as_they_were(
            all in proptest::collection::vec((any::<u8>(), any::<i64>(), any::<i64>()), 0..9)
        ) {
            let all: Vec<_> = all.into_iter().map(|(p, calls, input_tokens)| (p, ContextTally { calls, input_tokens })).collect();
            let stored = contexts_of(all.iter().map(|(place, of)| (*place, of)));
            prop_assert_eq!(contexts(&stored).unwrap(), all);
        }
    }

    #[test]
    fn what_is_cut_or_beyond_any_bucket_is_refused() {
        assert!(piles(&[1, 2, 3]).is_err());
        assert!(piles(&[u64::from(u16::MAX), 2, 3, 0, 1, 2, 3, 0]).is_err());
        assert!(contexts(&pb::ContextSums { places: vec![256, 1, 1] }).is_err());
        assert!(goals(pb::GoalTally { counts: vec![0; 21], ..pb::GoalTally::default() }).is_err());
    }
}
