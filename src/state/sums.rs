//! The sums over time as records: over calls, closed goals, contexts, and the units of rollouts, each per minute and per hour.
//! It exists so that all of them are written, read and digested in one way. It refuses to know what is summed.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;

use prost::Message;
use sled::Tree;

use super::error::StoreError;
use super::keys::{self, Kind};
use super::seal;
use super::{goal_sums, tally};
use crate::domain::context::{ContextKey, place};
use crate::domain::packed::PackedTally;
use crate::domain::rollup::Grain;
use crate::domain::series::{Additive as _, Buckets, Kept, Series};
use crate::domain::state::{State, Touched};
use crate::domain::time::UnixMillis;

/// The records of the sums that were touched; `None`: to be removed.
pub(super) fn put(state: &State, touched: &Touched, mut put: impl FnMut(Vec<u8>, Option<Vec<u8>>)) {
    for (grain, start, of) in &touched.sums {
        let key = keys::sum(kind(CALLS, *grain), *start, of);
        let value = sealed(&key, get(&state.rollups, *grain, start, of, tally::stored));
        put(key, value);
    }
    for (grain, start, of) in &touched.goal_sums {
        let key = keys::goal_sum(kind(GOALS, *grain), *start, of);
        let value = sealed(&key, get(&state.goal_sums, *grain, start, of, goal_sums::goals_of));
        put(key, value);
    }
    for (grain, start, of) in &touched.proof_sums {
        let key = keys::proof_sum(kind(PROOF, *grain), *start, of);
        let value = sealed(&key, get(&state.proof_sums, *grain, start, of, goal_sums::proof_of));
        put(key, value);
    }
    // All places of one combination of names share a record.
    let combinations: HashSet<_> =
        touched.context_sums.iter().map(|(grain, start, key)| (*grain, *start, key.of)).collect();
    for (grain, start, of) in combinations {
        let key = keys::sum(kind(CONTEXTS, grain), start, &of);
        let sums = &state.context_sums;
        let at = |place| Some((place, get(sums, grain, &start, &ContextKey { of, place }, |sum| *sum)?));
        let at: Vec<_> = (0..=place(u32::MAX)).filter_map(at).collect();
        let stored = goal_sums::contexts_of(at.iter().map(|(place, sum)| (*place, sum)));
        let value = sealed(&key, Some(stored).filter(|stored| !stored.places.is_empty()));
        put(key, value);
    }
}

/// Reads all sums back into `state`, whose minutes are kept from `minutes_from` on.
pub(super) fn load(tree: &Tree, state: &mut State, minutes_from: UnixMillis) -> Result<(), StoreError> {
    state.rollups.minutes_from = minutes_from;
    state.goal_sums.minutes_from = minutes_from;
    state.context_sums.minutes_from = minutes_from;
    state.proof_sums.minutes_from = minutes_from;
    for grain in [Grain::Minute, Grain::Hour] {
        each(tree, kind(CALLS, grain), |key, stored| {
            let (start, of) = keys::read_sum(key)?;
            state.rollups.put(grain, start, of, PackedTally::of(&tally::read(&stored)?));
            Ok(())
        })?;
        each(tree, kind(GOALS, grain), |key, stored| {
            let (start, of) = keys::read_goal_sum(key)?;
            state.goal_sums.put(grain, start, of, goal_sums::goals(stored)?);
            Ok(())
        })?;
        each(tree, kind(CONTEXTS, grain), |key, stored| {
            let (start, of) = keys::read_sum(key)?;
            for (place, sum) in goal_sums::contexts(&stored)? {
                state.context_sums.put(grain, start, ContextKey { of, place }, sum);
            }
            Ok(())
        })?;
        each(tree, kind(PROOF, grain), |key, stored| {
            let (start, of) = keys::read_proof_sum(key)?;
            state.proof_sums.put(grain, start, of, goal_sums::proof(&stored)?);
            Ok(())
        })?;
    }
    Ok(())
}

/// Visits every sum that is not nothing, key and message, in an order of its own.
pub(super) fn visit(state: &State, mut visit: impl FnMut(&[u8], &[u8])) {
    for grain in [Grain::Hour, Grain::Minute] {
        sorted(&state.rollups, grain, |start, of, sum| {
            visit(&keys::sum(kind(CALLS, grain), start, of), &tally::stored(sum).encode_to_vec());
        });
        sorted(&state.goal_sums, grain, |start, of, sum| {
            visit(&keys::goal_sum(kind(GOALS, grain), start, of), &goal_sums::goals_of(sum).encode_to_vec());
        });
        sorted(&state.context_sums, grain, |start, of, sum| {
            let stored = goal_sums::contexts_of([(of.place, sum)]);
            visit(&keys::sum(kind(CONTEXTS, grain), start, &of.of), &stored.encode_to_vec());
        });
        sorted(&state.proof_sums, grain, |start, of, sum| {
            visit(&keys::proof_sum(kind(PROOF, grain), start, of), &goal_sums::proof_of(sum).encode_to_vec());
        });
    }
}

/// Kinds of the records of one kind of sum: per minute, per hour.
type Kinds = [Kind; 2];

const CALLS: Kinds = [Kind::Minute, Kind::Hour];
const GOALS: Kinds = [Kind::GoalMinute, Kind::GoalHour];
const CONTEXTS: Kinds = [Kind::ContextMinute, Kind::ContextHour];
const PROOF: Kinds = [Kind::ProofMinute, Kind::ProofHour];

fn kind([minute, hour]: Kinds, grain: Grain) -> Kind {
    match grain {
        Grain::Minute => minute,
        Grain::Hour => hour,
    }
}

fn buckets<K: Eq + Hash, T>(series: &Series<K, T>, grain: Grain) -> &Buckets<K, T> {
    match grain {
        Grain::Minute => &series.minutes,
        Grain::Hour => &series.hours,
    }
}

/// What is `told` of a sum that is not nothing.
fn get<K: Eq + Hash, T: Kept, R>(
    series: &Series<K, T>,
    grain: Grain,
    start: &UnixMillis,
    of: &K,
    told: impl FnOnce(&T::Sum) -> R,
) -> Option<R> {
    let sum = buckets(series, grain).get(start)?.get(of)?;
    sum.look(|sum| (!sum.is_empty()).then(|| told(sum)))
}

fn sorted<K: Ord + Hash, T: Kept>(series: &Series<K, T>, grain: Grain, mut visit: impl FnMut(UnixMillis, &K, &T::Sum)) {
    for (start, bucket) in buckets(series, grain) {
        let sums: BTreeMap<&K, &T> = bucket.iter().collect();
        sums.into_iter().for_each(|(of, sum)| {
            sum.look(|sum| {
                if !sum.is_empty() {
                    visit(*start, of, sum);
                }
            });
        });
    }
}

fn sealed(key: &[u8], record: Option<impl Message>) -> Option<Vec<u8>> {
    record.map(|record| seal::seal(key, &record))
}

fn each<M: Message + Default>(
    tree: &Tree,
    kind: Kind,
    mut visit: impl FnMut(&[u8], M) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for item in tree.scan_prefix(kind.prefix()) {
        let (key, value) = item?;
        visit(&key, seal::unseal(&key, &value)?)?;
    }
    Ok(())
}
