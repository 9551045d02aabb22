//! Sums over closed goals, over the units of rollouts and over contexts, and counts of open goals, between the domain and the bytes. It exists beside `tally.rs` because these
//! have histograms and places in them. It refuses to know where a record lies.

use std::sync::Arc;

use super::tally::{wide, wide_of};
use crate::domain::call::Arm;
use crate::domain::context::ContextTally;
use crate::domain::goal_tally::GoalTally;
use crate::domain::names::{LabelsId, NameId};
use crate::domain::open_goals::OpenGoals;
use crate::domain::proof::ProofTally;
use crate::domain::sketch::{Pile, Sketch};
use crate::journal::codec::CodecError;
use crate::journal::{fields, pb};

/// The numbers of a sum over goals in the order in which they are stored: a new one comes last.
macro_rules! numbers {
    (counts: $($count:ident)*; sums: $($sum:ident)*; apart: $($apart:ident)*) => {
        const COUNTS: usize = [$(stringify!($count)),*].len();
        const SUMS: usize = [$(stringify!($sum)),*].len();

        // Taken apart by name, so that a field added to the domain does not compile until it is stored.
        fn numbers_of(tally: &GoalTally) -> ([i64; COUNTS], [i128; SUMS]) {
            let GoalTally { $($count,)* $($sum,)* $($apart: _,)* } = tally;
            ([$(*$count),*], [$(*$sum),*])
        }

        fn places_in(tally: &mut GoalTally) -> ([&mut i64; COUNTS], [&mut i128; SUMS]) {
            let GoalTally { $($count,)* $($sum,)* $($apart: _,)* } = tally;
            ([$($count),*], [$($sum),*])
        }
    };
}

numbers! {
    counts: goals sub_goals unpriced_goals calls steps retries failures tool_calls
        tokens latency_ms energy_mj wall_ms reopened scored score_micro claimed
        graded graded_accepted graded_claimed graded_both sub_goals_among_others;
    sums: cost cost_squared failed_cost;
    apart: cost_sketch calls_sketch steps_sketch wall_ms_sketch budgets
}

/// A sum over closed goals as stored.
pub(super) fn goals_of(tally: &GoalTally) -> pb::GoalTally {
    let (counts, sums) = numbers_of(tally);
    let used = counts.iter().rposition(|n| *n != 0).map_or(0, |last| last + 1);
    let filled = sums.iter().rposition(|n| *n != 0).map_or(0, |last| last + 1);
    let use_of = |(budget, of): (&Arc<str>, &Sketch)| pb::BudgetUse { budget: budget.to_string(), r#use: piles_of(of) };
    pb::GoalTally {
        counts: counts[..used].to_vec(),
        sums: sums[..filled].iter().map(|n| wide_of(*n)).collect(),
        cost: piles_of(&tally.cost_sketch),
        calls: piles_of(&tally.calls_sketch),
        steps: piles_of(&tally.steps_sketch),
        wall_ms: piles_of(&tally.wall_ms_sketch),
        budgets: tally.budgets.iter().map(use_of).collect(),
    }
}

/// A sum over closed goals as read.
pub(super) fn goals(stored: pb::GoalTally) -> Result<GoalTally, CodecError> {
    if stored.counts.len() > COUNTS || stored.sums.len() > SUMS {
        return Err(CodecError::Ragged { field: "goal_tally" });
    }
    let read = |of: pb::BudgetUse| Ok((Arc::from(of.budget), piles(&of.r#use)?));
    let mut tally = GoalTally {
        cost_sketch: piles(&stored.cost)?,
        calls_sketch: piles(&stored.calls)?,
        steps_sketch: piles(&stored.steps)?,
        wall_ms_sketch: piles(&stored.wall_ms)?,
        budgets: stored.budgets.into_iter().map(read).collect::<Result<_, CodecError>>()?,
        ..GoalTally::default()
    };
    let (counts, sums) = places_in(&mut tally);
    counts.into_iter().zip(stored.counts).for_each(|(place, count)| *place = count);
    for (place, bytes) in sums.into_iter().zip(stored.sums) {
        *place = wide(&bytes)?;
    }
    Ok(tally)
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

/// A sum over the units of a rollout as stored.
pub(super) fn proof_of(tally: &ProofTally) -> pb::ProofTally {
    let ProofTally { units, accepted, costed, cost, cost_squared } = *tally;
    pb::ProofTally { counts: vec![units, accepted, costed], sums: [cost, cost_squared].map(wide_of).to_vec() }
}

/// A sum over the units of a rollout as read.
pub(super) fn proof(stored: &pb::ProofTally) -> Result<ProofTally, CodecError> {
    let ([units, accepted, costed], [cost, cost_squared]) = (&stored.counts[..], &stored.sums[..]) else {
        return Err(CodecError::Ragged { field: "proof_tally" });
    };
    let (cost, cost_squared) = (wide(cost)?, wide(cost_squared)?);
    Ok(ProofTally { units: *units, accepted: *accepted, costed: *costed, cost, cost_squared })
}

/// How many goals of one kind are open, as stored.
pub(super) fn open_goals_of(open: &OpenGoals, workflow: NameId, labels: LabelsId) -> pb::OpenGoals {
    let each = |(task, arm, count): (NameId, Arm, u64)| [u64::from(task.0), u64::from(arm as u8), count];
    let arms = open.in_arms_of(workflow, labels).flat_map(each).collect();
    pb::OpenGoals { count: open.count(workflow, labels), arms, with_arms: true }
}

/// Puts back how many goals of one kind are open; `false`: those in arms were not counted then.
pub(super) fn open_goals(
    open: &mut OpenGoals,
    kind: (NameId, LabelsId),
    of: &pb::OpenGoals,
) -> Result<bool, CodecError> {
    open.restore_count(kind.0, kind.1, of.count);
    for [task, arm, count] in fields::groups("arms", &of.arms)? {
        let task = u32::try_from(task).map_err(|_| CodecError::Ragged { field: "arms" })?;
        let arm = fields::word("arm", i64::try_from(arm).unwrap_or(i64::MAX), Arm::from_number)?;
        open.restore_arm(kind, NameId(task), arm, count);
    }
    Ok(of.with_arms)
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
            n in proptest::array::uniform21(any::<i64>()), sums in any::<[i128; 3]>(),
            sketches in proptest::array::uniform4(sketch()),
            budgets in proptest::collection::btree_map("[a-z]{0,3}", sketch(), 0..3),
        ) {
            let [cost_sketch, calls_sketch, steps_sketch, wall_ms_sketch] = sketches;
            let mut tally = GoalTally {
                cost_sketch, calls_sketch, steps_sketch, wall_ms_sketch,
                budgets: budgets.into_iter().map(|(budget, of)| (Arc::from(budget), of)).collect(),
                ..GoalTally::default()
            };
            let (counts, places) = places_in(&mut tally);
            counts.into_iter().zip(n).for_each(|(place, n)| *place = n);
            places.into_iter().zip(sums).for_each(|(place, n)| *place = n);
            prop_assert_eq!(goals(goals_of(&tally)).unwrap(), tally);
            let only = GoalTally { sub_goals: n[1], cost: sums[0], ..GoalTally::default() };
            prop_assert_eq!(goals(goals_of(&only)).unwrap(), only);
        }

        #[test]
        fn a_sum_over_units_comes_back_as_it_was(counts in any::<[i64; 3]>(), sums in any::<[i128; 2]>()) {
            let ([units, accepted, costed], [cost, cost_squared]) = (counts, sums);
            let tally = ProofTally { units, accepted, costed, cost, cost_squared };
            prop_assert_eq!(proof(&proof_of(&tally)).unwrap(), tally);
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
    fn numbers_are_stored_in_their_place() {
        let tally = GoalTally { sub_goals: 7, cost_squared: 9, ..GoalTally::default() };
        let stored = goals_of(&tally);
        assert_eq!((stored.counts, stored.sums), (vec![0, 7], vec![wide_of(0), wide_of(9)]));
        let tally = GoalTally { sub_goals_among_others: 1, failed_cost: 2, ..GoalTally::default() };
        let stored = goals_of(&tally);
        assert_eq!((stored.counts.len(), stored.sums.len()), (COUNTS, SUMS), "the last of each");
    }

    #[test]
    fn what_is_cut_or_beyond_any_bucket_is_refused() {
        assert!(piles(&[1, 2, 3]).is_err());
        assert!(piles(&[u64::from(u16::MAX), 2, 3, 0, 1, 2, 3, 0]).is_err());
        assert!(contexts(&pb::ContextSums { places: vec![256, 1, 1] }).is_err());
        assert!(goals(pb::GoalTally { counts: vec![0; COUNTS + 1], ..pb::GoalTally::default() }).is_err());
    }
}
