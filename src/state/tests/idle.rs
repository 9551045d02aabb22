//! Many open goals on which nobody works: memory does not grow with their number, and they are found when their time is up.

use std::sync::Arc;

use super::script::catalog;
use crate::domain::call::{Arm, CallNo};
use crate::domain::event::{Body, Event, GoalStarted};
use crate::domain::goal::GoalRules;
use crate::domain::names::{LabelsId, NameId};
use crate::domain::open_goals::OpenGoals;
use crate::domain::rollout::Assigned;
use crate::domain::state::State;
use crate::domain::time::{HOUR_MS, UnixMillis};
use crate::engine::hydrate::{self, NoStore};
use crate::engine::{Engine, apply};
use crate::journal::codec::tests::ordinary;
use crate::journal::pb;
use crate::state::{Opened, SledStore, digest, digest_of_state};
use crate::state::{keys, load, seal};

pub(super) const AT: UnixMillis = UnixMillis(1_795_000_000_000);
const GOALS: u32 = 5_000;
const FLOW: NameId = NameId(2);

pub(super) fn started(n: u32) -> Event {
    let started = GoalStarted {
        goal: format!("ticket-{n:08}"),
        workflow: FLOW,
        labels: LabelsId(2 + n % 2),
        parent: String::new(),
        limit: None,
        other_workflow: String::new(),
        other_labels: None,
        key: None,
    };
    Event { at: AT.plus_ms(i64::from(n)), body: Body::GoalStarted(Box::new(started)) }
}

/// An engine over the state, whose goals may lie idle for an hour.
pub(super) fn engine(state: State) -> Engine {
    let mut engine = Engine::new(state, catalog(), 1);
    let rules = GoalRules { idle_timeout_ms: HOUR_MS, ..GoalRules::default() };
    engine.use_budgets(Arc::default(), Arc::new(rules));
    engine
}

pub(super) fn fold(store: &SledStore, engine: &mut Engine, event: &Event) {
    hydrate::needs(&mut engine.state, store, event);
    engine.apply(engine.state.applied_seq + 1, event);
}

fn step(store: &SledStore, state: &mut State) {
    let checkpoint = store.prepare(state).unwrap();
    let committed = store.commit(checkpoint).unwrap();
    store.evict(state, committed);
}

fn closed_by(event: Option<Event>) -> Vec<String> {
    match event.map(|event| event.body) {
        Some(Body::GoalsTimedOut { goals }) => goals.into_iter().map(|of| of.goal).collect(),
        None => Vec::new(),
        Some(other) => panic!("{other:?}"),
    }
}

#[test]
fn open_goals_take_no_memory_while_they_lie_idle_and_are_closed_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let (mut state, store) = (Opened::blank(), SledStore::open(dir.path()).unwrap().store);
    (0..GOALS).for_each(|n| apply(&mut state, u64::from(n) + 1, &started(n)));
    let in_memory = digest_of_state(&state);
    let mut engine = engine(state);
    step(&store, &mut engine.state);
    let at_hand = |engine: &Engine| (engine.state.goals.len(), engine.state.open_goals.at_hand().count());
    assert_eq!(at_hand(&engine), (0, 0));
    assert_eq!(engine.state.open_goals.counts().count(), 2, "they are counted by kind");
    assert_eq!(engine.state.open_goals.count(FLOW, LabelsId(3)), u64::from(GOALS / 2));
    assert_eq!(digest(&engine.state, &store).unwrap(), in_memory);

    // One is worked on again, and is at hand for that; another is closed.
    let again = Event { at: AT.plus_ms(HOUR_MS - 1), ..started(0) };
    fold(&store, &mut engine, &again);
    assert_eq!(at_hand(&engine), (1, 1));
    let due = AT.plus_ms(HOUR_MS + 3);
    let event = engine.time_out_goals(&store, due, 2);
    assert_eq!(closed_by(event.clone()), ["ticket-00000001", "ticket-00000002"]);
    fold(&store, &mut engine, &event.unwrap());
    let event = engine.time_out_goals(&store, due, 10);
    assert_eq!(closed_by(event.clone()), ["ticket-00000003"], "what was closed and is not stored yet is passed over");
    fold(&store, &mut engine, &event.unwrap());
    assert_eq!(engine.time_out_goals(&store, due, 10), None);
    step(&store, &mut engine.state);
    assert_eq!(at_hand(&engine), (0, 0));

    // After a restart too, and to the last one.
    drop(store);
    let opened = SledStore::open(dir.path()).unwrap();
    let (mut engine, store) = (self::engine(opened.state.unwrap()), opened.store);
    assert_eq!(at_hand(&engine), (0, 0));
    assert_eq!(closed_by(engine.time_out_goals(&store, due.plus_ms(1), 10)), ["ticket-00000004"]);
    let later = AT.plus_ms(2 * HOUR_MS - 2);
    let event = engine.time_out_goals(&store, later, GOALS as usize).unwrap();
    assert_eq!(closed_by(Some(event.clone())).len(), GOALS as usize - 4, "all but the one somebody worked on");
    fold(&store, &mut engine, &event);
    let last = engine.time_out_goals(&store, later.plus_ms(1), 10);
    assert_eq!(closed_by(last.clone()), ["ticket-00000000"]);
    fold(&store, &mut engine, &last.unwrap());
    step(&store, &mut engine.state);
    assert_eq!(engine.time_out_goals(&store, later.plus_ms(HOUR_MS), 10), None);
    assert_eq!(engine.state.open_goals, OpenGoals::default());
    store.check().unwrap();
}

/// Between a step and what it makes superfluous, and while a goal is only looked at, none is told twice or missed.
#[test]
fn a_goal_that_is_at_hand_and_stored_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path()).unwrap().store;
    let mut engine = engine(Opened::blank());
    (0..3).for_each(|n| fold(&store, &mut engine, &started(n)));
    let all = ["ticket-00000000", "ticket-00000001", "ticket-00000002"];
    let due = AT.plus_ms(2 * HOUR_MS);
    let told = |engine: &mut Engine| closed_by(engine.time_out_goals(&store, due, 10));
    let checkpoint = store.prepare(&mut engine.state).unwrap();
    assert_eq!(told(&mut engine), all);
    let committed = store.commit(checkpoint).unwrap();
    assert_eq!(told(&mut engine), all);
    // Touched since it was copied, as it stands otherwise.
    engine.state.change_goal(&all[1].into(), |goal| goal.calls += 1);
    let whole = digest_of_state(&engine.state);
    assert_eq!(digest(&engine.state, &store).unwrap(), whole);
    store.evict(&mut engine.state, committed);
    assert_eq!((told(&mut engine), engine.state.goals.len()), (all.map(str::to_owned).to_vec(), 1));
    hydrate::goal(&mut engine.state, &store, all[0]);
    assert_eq!(told(&mut engine), all);
    assert_eq!(digest(&engine.state, &store).unwrap(), whole);
    assert_eq!(closed_by(engine.time_out_goals(&NoStore, due, 10)), [all[1]]);
}

/// The first decision of goal `n`, for which an arm of task type 2 was drawn.
fn drawn(n: u32, arm: Arm) -> Event {
    let [event, _] = ordinary();
    let Body::Decided(mut decided) = event.body else { panic!("INV-TEST: the first is a decision") };
    decided.number = CallNo(u64::from(n) + 1);
    decided.place.goal = format!("ticket-{n:08}");
    (decided.place.workflow, decided.traits.arm, decided.traits.assigned) = (FLOW, arm, Assigned::ByGoal);
    Event { at: AT.plus_ms(i64::from(n)), body: Body::Decided(decided) }
}

fn in_arms(of: &OpenGoals) -> Vec<(LabelsId, Arm, u64)> {
    of.in_arms().map(|((_, labels), _, arm, count)| (labels, arm, count)).collect()
}

#[test]
fn open_goals_are_counted_by_arm_while_they_lie_idle_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (mut state, store) = (Opened::blank(), SledStore::open(dir.path()).unwrap().store);
    let events = (0..6).flat_map(|n| [started(n), drawn(n, if n < 4 { Arm::Router } else { Arm::Holdout })]);
    events.zip(1..).for_each(|(event, seq)| apply(&mut state, seq, &event));
    let whole = digest_of_state(&state);
    let expected = [2, 3].map(LabelsId).into_iter().flat_map(|of| [(of, Arm::Router, 2), (of, Arm::Holdout, 1)]);
    let expected: Vec<_> = expected.collect();
    assert_eq!(in_arms(&state.open_goals), expected);
    step(&store, &mut state);
    assert_eq!((state.goals.len(), in_arms(&state.open_goals)), (0, expected.clone()));
    assert_eq!(digest(&state, &store).unwrap(), whole);

    // As it was stored before anybody counted arms.
    let key = keys::open_goals(FLOW, LabelsId(2));
    let before = pb::OpenGoals { count: 3, ..pb::OpenGoals::default() };
    store.db.insert(&key, seal::seal(&key, &before)).unwrap();
    let (read, _) = load::load(&store.db).unwrap().unwrap();
    assert_eq!(in_arms(&read.open_goals), expected, "counted anew");
    assert_eq!(digest(&read, &store).unwrap(), whole);
    let stored_anew: Vec<_> = read.touched.unwrap().open_goals.into_iter().collect();
    assert_eq!(stored_anew, [(FLOW, LabelsId(2))]);
}
