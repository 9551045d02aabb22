//! One digest of everything folded, wherever it lies: in memory, in the store, or both. Two states have the same digest
//! exactly when they answer every question alike, so refolding the journal must give the digest of what is stored.
//!
//! Left out: what only saves work (a cell's version, which parts were touched) and what is nothing (empty sums and goals).

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use prost::Message;

use super::error::StoreError;
use super::keys::{self, Kind};
use super::store::SledStore;
use super::{goal_records, goal_sums, load, records, sums, sweep};
use crate::domain::cell::Cell;
use crate::domain::event::Event;
use crate::domain::flag::FlagState;
use crate::domain::state::State;
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
    digest.record(b"meta", &load::meta_of(state))?;
    hot(state, &mut digest)?;
    sweep::calls(state, store, |number, call| digest.record(&number.0.to_be_bytes(), &call))?;
    sweep::open_goals(state, store, |mark| {
        digest.bytes(mark, &[]);
        Ok(())
    })?;
    let nothing = pb::Goal::default();
    sweep::goals(state, store, |id, goal| if goal == nothing { Ok(()) } else { digest.record(id.as_bytes(), &goal) })?;
    sweep::accounts(state, store, |key, account| digest.record(key, &account))?;
    sweep::key_uses(state, store, |hash, used| digest.record(hash, &used))?;
    Ok(*digest.0.finalize().as_bytes())
}

/// A digest of records, each with its length in front.
struct Digest(blake3::Hasher);

impl Digest {
    /// Cannot fail; says so in the words of those who visit records.
    fn record(&mut self, id: &[u8], message: &impl Message) -> Result<(), StoreError> {
        self.bytes(id, &message.encode_to_vec());
        Ok(())
    }

    fn bytes(&mut self, id: &[u8], message: &[u8]) {
        self.0.update(&(id.len() as u64).to_be_bytes()).update(id);
        self.0.update(&(message.len() as u64).to_be_bytes()).update(message);
    }
}

/// What is always in memory.
fn hot(state: &State, digest: &mut Digest) -> Result<(), StoreError> {
    for (i, kind) in fields::KINDS.into_iter().enumerate() {
        for (id, text) in state.names.all(kind) {
            digest.record(&keys::name(i, id), &pb::NameText { text: text.to_string() })?;
        }
    }
    for (id, set) in state.names.all_labels() {
        digest.record(&keys::labels(id), &fields::labels_of(set))?;
    }
    for (task, of) in sorted(&state.tasks) {
        for (candidate, cell) in &of.cells {
            let known = Cell { version: 0, ..cell.clone() };
            if known != Cell::default() {
                digest.record(&keys::cell(*task, *candidate), &records::cell_of(&known))?;
            }
        }
        if of.flag != FlagState::default() || !of.changes.is_empty() {
            digest.record(&Kind::Flag.key(&[&task.0.to_be_bytes()]), &records::flag_of(of))?;
        }
    }
    for ((task, candidate), to) in &state.model_states {
        digest.record(b"state", &pb::ModelStates { states: vec![task.0, candidate.0, *to as u32] })?;
    }
    sums::visit(state, |key, sum| digest.bytes(key, sum));
    for (until, number) in &state.open {
        digest.record(&until.0.to_be_bytes(), &pb::DecisionsExpired { calls: vec![number.0] })?;
    }
    for ((workflow, labels), _) in state.open_goals.counts() {
        let stored = goal_sums::open_goals_of(&state.open_goals, workflow, labels);
        digest.record(&keys::open_goals(workflow, labels), &stored)?;
    }
    for (tool, of) in sorted(&state.tools) {
        digest.record(&Kind::Tool.key(&[&tool.0.to_be_bytes()]), &goal_records::tool_of(of))?;
    }
    for (number, alert) in &state.alerts {
        digest.record(&Kind::Alert.key(&[&number.to_be_bytes()]), &goal_records::alert_of(alert))?;
    }
    Ok(())
}

fn sorted<K: Ord + Hash, V>(map: &HashMap<K, V>) -> BTreeMap<&K, &V> {
    map.iter().collect()
}
