//! Brings records that were put away back into the state before a fact touches them. The store is a port: a daemon
//! keeps cold records on disk, a simulation keeps everything in memory and has none.

use std::sync::Arc;

use crate::domain::budget::{Account, AccountKey, Charge};
use crate::domain::call::{Call, CallNo, Order};
use crate::domain::event::{Body, Event};
use crate::domain::goal::Goal;
use crate::domain::names::NameId;
use crate::domain::retention;
use crate::domain::state::{KeyUse, State};
use crate::domain::time::UnixMillis;

/// Where records live that are not at hand. Answers are as of the last write of the adapter; a record at hand is
/// never asked for, and one that was dropped may still be answered with.
pub trait ColdStore {
    /// A call.
    fn call(&self, number: CallNo) -> Option<Call>;
    /// A goal.
    fn goal(&self, id: &str) -> Option<Goal>;
    /// An account that belongs to no goal.
    fn account(&self, key: AccountKey) -> Option<Account>;
    /// What an idempotency key was used for.
    fn key(&self, hash: u128) -> Option<KeyUse>;
    /// The open goals of a workflow that `asked` lie idle since a moment or longer.
    fn idle_goals(&self, asked: &IdleAsked<'_>) -> Idle;
}

/// Which idle goals are wanted.
pub struct IdleAsked<'a> {
    /// Of this workflow.
    pub workflow: NameId,
    /// Those nobody worked on since then.
    pub until: UnixMillis,
    /// So many at most.
    pub most: usize,
    /// Only those it says yes to: what is stored may have changed in memory since.
    pub wanted: &'a dyn Fn(UnixMillis, &str) -> bool,
}

/// Goals that lie idle, as last written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Idle {
    /// Those wanted, with when somebody last worked on them, the one that lies idle longest first.
    pub goals: Vec<(UnixMillis, Arc<str>)>,
    /// When somebody last worked on the one that lies idle longest of all stored, wanted or not; `None`: there is none.
    pub from: Option<UnixMillis>,
}

/// No cold records: everything is at hand.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;

impl ColdStore for NoStore {
    fn call(&self, _: CallNo) -> Option<Call> {
        None
    }
    fn goal(&self, _: &str) -> Option<Goal> {
        None
    }
    fn account(&self, _: AccountKey) -> Option<Account> {
        None
    }
    fn key(&self, _: u128) -> Option<KeyUse> {
        None
    }
    fn idle_goals(&self, _: &IdleAsked<'_>) -> Idle {
        Idle::default()
    }
}

/// The call of that number, brought to hand.
pub fn call<'a>(state: &'a mut State, store: &dyn ColdStore, number: CallNo) -> Option<&'a Call> {
    if !state.calls.contains_key(&number)
        && !state.dropped.calls.contains(&number)
        && let Some(found) = store.call(number).filter(|found| !retention::drops_call(found, state.detail_from))
    {
        state.calls.insert(number, found);
    }
    state.calls.get(&number)
}

/// The call of that number as it stands, left where it is.
#[must_use]
pub fn peek(state: &State, store: &dyn ColdStore, number: CallNo) -> Option<Call> {
    if let Some(call) = state.calls.get(&number) {
        return Some(call.clone());
    }
    let stored = if state.dropped.calls.contains(&number) { None } else { store.call(number) };
    stored.filter(|found| !retention::drops_call(found, state.detail_from))
}

/// The goal of that id, brought to hand.
pub fn goal<'a>(state: &'a mut State, store: &dyn ColdStore, id: &str) -> Option<&'a Goal> {
    if !state.goals.contains_key(id)
        && !state.dropped.goals.contains(id)
        && let Some(found) = store.goal(id).filter(|found| !retention::drops_goal(found, state.detail_from))
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
    if state.dropped.keys.contains(&hash) {
        return None;
    }
    let found = store.key(hash).filter(|found| !retention::drops_key(found, state.detail_from))?;
    state.keys.insert(hash, found);
    Some(found)
}

/// An account that belongs to no goal, brought to hand.
pub fn account(state: &mut State, store: &dyn ColdStore, key: AccountKey) {
    if !state.accounts.contains_key(&key)
        && !state.dropped.accounts.contains(&key)
        && let Some(found) = store.account(key).filter(|found| !retention::drops_account(found, state.detail_from))
    {
        state.accounts.insert(key, found);
    }
}

/// A goal and the goals above it, brought to hand.
pub fn chain(state: &mut State, store: &dyn ColdStore, id: &str) {
    if id.is_empty() {
        return;
    }
    let above = goal(state, store, id).map(|g| g.ancestors.clone());
    for id in above.unwrap_or_default() {
        goal(state, store, &id);
    }
}

/// Brings to hand every record that applying `event` reads or changes.
pub fn needs(state: &mut State, store: &dyn ColdStore, event: &Event) {
    match &event.body {
        Body::Decided(decided) => {
            let parent = decided.asked.as_ref().map_or("", |a| &a.parent_goal);
            goals(state, store, &decided.place.goal, parent);
            of_untold(state, store, &decided.place.goal, decided.place.workflow);
            accounts(state, store, &decided.charges);
        }
        Body::Gated(gated) => {
            goals(state, store, &gated.place.goal, &gated.parent_goal);
            of_untold(state, store, &gated.place.goal, gated.place.workflow);
            accounts(state, store, &gated.charges);
        }
        Body::OutcomeRecorded(recorded) => {
            booked(state, store, recorded.call);
            accounts(state, store, &recorded.charges);
            let further = booked(state, store, recorded.decision).map(|d| d.further.clone());
            for number in further.unwrap_or_default() {
                booked(state, store, number);
            }
            match &recorded.place {
                Some(new) => {
                    // Where it will stand among the attempts at its decision is not known yet: the calls of that decision
                    // are at hand already, and what follows them follows its last.
                    let order =
                        Order { at: new.at, decision: recorded.decision, attempt: u64::MAX, number: recorded.call };
                    step(state, store, &new.place.goal, order, new.place.step_key);
                    of_untold(state, store, &new.place.goal, new.place.workflow);
                }
                None => step_of(state, store, recorded.call),
            }
        }
        Body::OutcomeAmended(amended) => {
            booked(state, store, amended.call);
            step_of(state, store, amended.call);
        }
        Body::DecisionVoided { call: number, .. } => {
            booked(state, store, *number);
        }
        Body::DecisionsExpired { calls } => {
            for number in calls {
                booked(state, store, *number);
            }
        }
        Body::GoalStarted(started) => {
            goals(state, store, &started.goal, &started.parent);
            of_untold(state, store, &started.goal, started.workflow);
        }
        Body::GoalClosed(closed) | Body::GoalAmended(closed) => goals(state, store, &closed.goal, ""),
        Body::GoalsTimedOut { goals: of } => of.iter().for_each(|of| goals(state, store, &of.goal, "")),
        Body::BudgetGranted(granted) => goals(state, store, &granted.goal, ""),
        Body::AccountOpened(opened) if opened.goal.is_empty() => account(state, store, opened.key),
        Body::AccountOpened(opened) => goals(state, store, &opened.goal, ""),
        Body::AlertRaised(raised) if raised.goal.is_empty() => account(state, store, raised.account),
        Body::AlertRaised(raised) => goals(state, store, &raised.goal, ""),
        _ => {}
    }
}

/// A goal, those above it, the one that is to be above it, and, where its end rewards them, its calls.
fn goals(state: &mut State, store: &dyn ColdStore, id: &str, parent: &str) {
    chain(state, store, id);
    chain(state, store, parent);
    let teaching = state.goals.get(id).filter(|g| g.teaches);
    let calls: Vec<CallNo> = teaching.map_or(vec![], |g| g.thread.entries.iter().map(|e| e.order.number).collect());
    for number in calls {
        booked(state, store, number);
    }
}

/// The calls of a goal whose workflow is told for the first time, which may be given it, and all goals below, of which is said
/// anew whether one above them is of their workflow.
fn of_untold(state: &mut State, store: &dyn ColdStore, id: &str, workflow: NameId) {
    let untold = state.goals.get(id).filter(|goal| goal.workflow == NameId::NONE && workflow != NameId::NONE);
    let Some(goal_told) = untold else { return };
    let calls: Vec<CallNo> = goal_told.thread.entries.iter().map(|e| e.order.number).collect();
    let mut left = goal_told.children.clone();
    for number in calls {
        booked(state, store, number);
    }
    while let Some(id) = left.pop() {
        left.extend(goal(state, store, &id).map(|goal| goal.children.clone()).unwrap_or_default());
    }
}

fn accounts(state: &mut State, store: &dyn ColdStore, charges: &[Charge]) {
    for charge in charges {
        account(state, store, charge.account);
    }
}

/// A call with everything it is booked on.
fn booked<'a>(state: &'a mut State, store: &dyn ColdStore, number: CallNo) -> Option<&'a Call> {
    let found = call(state, store, number)?;
    let (goal, charges) = (found.goal.clone(), found.charges.clone());
    chain(state, store, &goal);
    accounts(state, store, &charges);
    state.calls.get(&number)
}

/// The goal of a call at hand, and the call after it in its step.
fn step_of(state: &mut State, store: &dyn ColdStore, number: CallNo) {
    if let Some((id, order, step_key)) = state.calls.get(&number).map(|c| (c.goal.clone(), c.order(), c.step_key)) {
        step(state, store, &id, order, step_key);
    }
}

/// A goal, and the call after `order` in one of its steps.
fn step(state: &mut State, store: &dyn ColdStore, id: &str, order: Order, step_key: u64) {
    chain(state, store, id);
    let next = state.goals.get(id).and_then(|goal| goal.thread.successor(order, step_key));
    if let Some(next) = next {
        booked(state, store, next);
    }
}
