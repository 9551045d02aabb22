//! Brings records that were put away back into the state before a fact touches them. The store is a port: a daemon
//! keeps cold records on disk, a simulation keeps everything in memory and has none.

use std::sync::Arc;

use crate::domain::call::{Call, CallNo};
use crate::domain::event::{Body, Event};
use crate::domain::goal::GoalThread;
use crate::domain::state::{KeyUse, State};

/// Where records live that are not at hand. Answers are as of the last write of the adapter; a record at hand is
/// never asked for.
pub trait ColdStore {
    /// A call.
    fn call(&self, number: CallNo) -> Option<Call>;
    /// A goal.
    fn goal(&self, id: &str) -> Option<GoalThread>;
    /// What an idempotency key was used for.
    fn key(&self, hash: u128) -> Option<KeyUse>;
}

/// No cold records: everything is at hand.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;

impl ColdStore for NoStore {
    fn call(&self, _: CallNo) -> Option<Call> {
        None
    }
    fn goal(&self, _: &str) -> Option<GoalThread> {
        None
    }
    fn key(&self, _: u128) -> Option<KeyUse> {
        None
    }
}

/// The call of that number, brought to hand.
pub fn call<'a>(state: &'a mut State, store: &dyn ColdStore, number: CallNo) -> Option<&'a Call> {
    if !state.calls.contains_key(&number)
        && let Some(found) = store.call(number)
    {
        state.calls.insert(number, found);
    }
    state.calls.get(&number)
}

/// The goal of that id, brought to hand.
pub fn goal<'a>(state: &'a mut State, store: &dyn ColdStore, id: &str) -> Option<&'a GoalThread> {
    if !state.goals.contains_key(id)
        && let Some(found) = store.goal(id)
    {
        state.goals.insert(Arc::from(id), found);
    }
    state.goals.get(id)
}

/// What an idempotency key was used for, brought to hand.
pub fn key(state: &mut State, store: &dyn ColdStore, hash: u128) -> Option<KeyUse> {
    if let Some(used) = state.keys.get(&hash) {
        return Some(*used);
    }
    let found = store.key(hash)?;
    state.keys.insert(hash, found);
    Some(found)
}

/// Brings to hand every record that applying `event` reads or changes.
pub fn needs(state: &mut State, store: &dyn ColdStore, event: &Event) {
    match &event.body {
        Body::Decided(decided) if decided.keep.is_some() => {
            goal(state, store, &decided.place.goal);
        }
        Body::OutcomeRecorded(recorded) => {
            call(state, store, recorded.call);
            let new = recorded.place.as_ref().map(|p| p.place.goal.clone());
            step(state, store, recorded.call, new);
        }
        Body::OutcomeAmended(amended) => {
            call(state, store, amended.call);
            step(state, store, amended.call, None);
        }
        Body::DecisionVoided { call: number, .. } => {
            call(state, store, *number);
        }
        Body::DecisionsExpired { calls } => {
            for number in calls {
                call(state, store, *number);
            }
        }
        _ => {}
    }
}

/// The goal of a call, and the call after it in its step.
fn step(state: &mut State, store: &dyn ColdStore, number: CallNo, new_goal: Option<String>) {
    let known = state.calls.get(&number).map(|c| (c.goal.clone(), Some((c.order(), c.step_key))));
    let (id, place) = match (new_goal, known) {
        (Some(goal), known) if !goal.is_empty() => (goal, known.and_then(|k| k.1)),
        (_, Some((goal, place))) => (goal, place),
        _ => return,
    };
    if id.is_empty() {
        return;
    }
    let Some(thread) = goal(state, store, &id) else { return };
    // A call first heard of now may land before others of its step: bring the whole step's later calls to hand.
    let later: Vec<CallNo> = match place {
        Some((order, step_key)) => thread.successor(order, step_key).into_iter().collect(),
        None => thread.entries.iter().map(|e| e.order.2).collect(),
    };
    for number in later {
        call(state, store, number);
    }
}
