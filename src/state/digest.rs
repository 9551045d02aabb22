//! One digest of everything folded, wherever it lies: in memory, in the store, or both. Two states have the same digest
//! exactly when they answer every question alike, so refolding the journal must give the digest of what is stored.
//!
//! Left out: what only saves work (a cell's version, which parts were touched) and what is nothing (empty sums and goals).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use prost::Message;

use super::error::StoreError;
use super::keys::{self, Kind, SLOT_BITS};
use super::store::SledStore;
use super::{load, records, tally};
use crate::domain::call::CallNo;
use crate::domain::cell::Cell;
use crate::domain::event::Event;
use crate::domain::flag::FlagState;
use crate::domain::rollup::Bucket;
use crate::domain::state::State;
use crate::domain::time::UnixMillis;
use crate::engine::apply;
use crate::journal::{fields, pb};

/// The digest of `state`, with what lies in `store` only.
///
/// # Errors
/// [`StoreError::Broken`]: a stored record does not read.
pub fn digest(state: &State, store: &SledStore) -> Result<[u8; 32], StoreError> {
    store.careful(|| of(state, Some(store)))
}

/// The digest of a state that has everything in memory.
#[must_use]
pub fn digest_of_state(state: &State) -> [u8; 32] {
    // Only reading the store can fail.
    of(state, None).unwrap_or_default()
}

/// The digest of what `events` (sequence number and fact, in order, from the first) fold to in memory alone.
#[must_use]
pub fn digest_of_fold<'a>(events: impl IntoIterator<Item = (u64, &'a Event)>) -> [u8; 32] {
    let mut state = State::default();
    for (seq, event) in events {
        apply(&mut state, seq, event);
    }
    digest_of_state(&state)
}

fn of(state: &State, store: Option<&SledStore>) -> Result<[u8; 32], StoreError> {
    let mut digest = Digest(blake3::Hasher::new());
    digest.record(b"meta", &load::meta_of(state));
    hot(state, &mut digest);
    calls(state, store, &mut digest)?;
    let goals = state.goals.iter().map(|(id, goal)| (id.as_bytes().to_vec(), records::goal_of(goal)));
    let nothing = pb::GoalThread::default();
    merged(Kind::Goal, goals.collect(), store, |id, goal| {
        if *goal != nothing {
            digest.record(id, goal);
        }
    })?;
    let used = state.keys.iter().map(|(hash, used)| (hash.to_be_bytes().to_vec(), records::key_use_of(used)));
    merged(Kind::Key, used.collect(), store, |hash, used: &pb::KeyUse| digest.record(hash, used))?;
    Ok(*digest.0.finalize().as_bytes())
}

/// A digest of records, each with its length in front.
struct Digest(blake3::Hasher);

impl Digest {
    fn record(&mut self, id: &[u8], message: &impl Message) {
        let bytes = message.encode_to_vec();
        self.0.update(&(id.len() as u64).to_be_bytes()).update(id);
        self.0.update(&(bytes.len() as u64).to_be_bytes()).update(&bytes);
    }
}

/// What is always in memory.
fn hot(state: &State, digest: &mut Digest) {
    for (i, kind) in fields::KINDS.into_iter().enumerate() {
        for (id, text) in state.names.all(kind) {
            digest.record(&keys::name(i, id), &pb::NameText { text: text.to_string() });
        }
    }
    for (id, set) in state.names.all_labels() {
        digest.record(&keys::labels(id), &fields::labels_of(set));
    }
    for (task, of) in sorted(&state.tasks) {
        for (candidate, cell) in &of.cells {
            let known = Cell { version: 0, ..cell.clone() };
            if known != Cell::default() {
                digest.record(&keys::cell(*task, *candidate), &records::cell_of(&known));
            }
        }
        if of.flag != FlagState::default() {
            digest.record(&Kind::Flag.key(&[&task.0.to_be_bytes()]), &records::flag_of(&of.flag));
        }
    }
    for ((task, candidate), to) in &state.model_states {
        digest.record(b"state", &pb::ModelStates { states: vec![task.0, candidate.0, *to as u32] });
    }
    sums(b"hours", &state.rollups.hours, digest);
    sums(b"minutes", &state.rollups.minutes, digest);
    for (until, number) in &state.open {
        digest.record(&until.0.to_be_bytes(), &pb::DecisionsExpired { calls: vec![number.0] });
    }
}

fn sums(of: &[u8], buckets: &BTreeMap<UnixMillis, Bucket>, digest: &mut Digest) {
    digest.0.update(of);
    for (start, bucket) in buckets {
        for (key, sum) in sorted(bucket) {
            if !sum.is_empty() {
                digest.record(&keys::sum(crate::domain::rollup::Grain::Hour, *start, key), &tally::stored(sum));
            }
        }
    }
}

fn sorted<K: Ord + Hash, V>(map: &HashMap<K, V>) -> BTreeMap<&K, &V> {
    map.iter().collect()
}

/// Calls by number, whether open, at hand, or on a stored page.
fn calls(state: &State, store: Option<&SledStore>, digest: &mut Digest) -> Result<(), StoreError> {
    let mut at_hand: BTreeSet<CallNo> = state.calls.keys().copied().collect();
    let mut add = |number: CallNo, stored: &pb::Call| match state.calls.get(&number) {
        Some(call) => digest.record(&number.0.to_be_bytes(), &records::call_of(call)),
        None => digest.record(&number.0.to_be_bytes(), stored),
    };
    if let Some(store) = store {
        load::each(&store.db, Kind::Page, |mut key, page: pb::CallPage| {
            let first = key.u64()? << SLOT_BITS;
            for mut call in page.calls {
                let number = CallNo(first | u64::from(std::mem::take(&mut call.slot)));
                let later = at_hand.split_off(&number);
                std::mem::replace(&mut at_hand, later).into_iter().for_each(|n| add(n, &pb::Call::default()));
                at_hand.remove(&number);
                add(number, &call);
            }
            Ok(())
        })?;
    }
    at_hand.into_iter().for_each(|number| add(number, &pb::Call::default()));
    Ok(())
}

/// Visits the records of a kind by id: those at hand in place of those stored.
fn merged<M: Message + Default>(
    kind: Kind,
    at_hand: BTreeMap<Vec<u8>, M>,
    store: Option<&SledStore>,
    mut visit: impl FnMut(&[u8], &M),
) -> Result<(), StoreError> {
    let mut at_hand = at_hand.into_iter().peekable();
    if let Some(store) = store {
        for item in store.db.scan_prefix(kind.prefix()) {
            let (key, value) = item?;
            let id = &key[keys::PREFIX..];
            while let Some((id, message)) = at_hand.next_if(|(earlier, _)| earlier.as_slice() < id) {
                visit(&id, &message);
            }
            match at_hand.next_if(|(same, _)| same == id) {
                Some((id, message)) => visit(&id, &message),
                None => visit(id, &keys::unseal(&key, &value)?),
            }
        }
    }
    at_hand.for_each(|(id, message)| visit(&id, &message));
    Ok(())
}
