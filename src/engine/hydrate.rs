//! Brings records that were put away back into the state before a fact touches them. The store is a port: a daemon
//! keeps cold records on disk, a simulation keeps everything in memory and has none.

use std::sync::Arc;

use crate::domain::call::{Call, CallNo, Order};
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
            let further = call(state, store, recorded.decision).map(|d| d.further.clone());
            for number in further.unwrap_or_default() {
                call(state, store, number);
            }
            match &recorded.place {
                Some(new) => {
                    // Where it will stand among the attempts at its decision is not known yet: the calls of that decision
                    // are at hand already, and what follows them follows its last.
                    let order =
                        Order { at: new.at, decision: recorded.decision, attempt: u64::MAX, number: recorded.call };
                    step(state, store, &new.place.goal, order, new.place.step_key);
                }
                None => step_of(state, store, recorded.call),
            }
        }
        Body::OutcomeAmended(amended) => {
            call(state, store, amended.call);
            step_of(state, store, amended.call);
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

/// The goal of a call at hand, and the call after it in its step.
fn step_of(state: &mut State, store: &dyn ColdStore, number: CallNo) {
    if let Some((id, order, step_key)) = state.calls.get(&number).map(|c| (c.goal.clone(), c.order(), c.step_key)) {
        step(state, store, &id, order, step_key);
    }
}

/// A goal, and the call after `order` in one of its steps.
fn step(state: &mut State, store: &dyn ColdStore, id: &str, order: Order, step_key: u64) {
    if id.is_empty() {
        return;
    }
    let next = goal(state, store, id).and_then(|thread| thread.successor(order, step_key));
    if let Some(next) = next {
        call(state, store, next);
    }
}
