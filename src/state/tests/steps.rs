//! Storing, evicting and reopening at any point changes nothing.

use super::script::{Script, fresh_seed};
use crate::domain::event::{Body, Event};
use crate::domain::state::{State, Touched};
use crate::domain::time::UnixMillis;
use crate::engine::hydrate::NoStore;
use crate::journal::codec;
use crate::state::{CatchUpError, Opened, SledStore, books, catch_up, digest, digest_of_fold, digest_of_state, refold};

const STEPS: usize = 3_000;

fn seeds() -> Vec<u64> {
    // With the third a goal below another one is dropped before it; with the fourth an outcome dated back follows a reset.
    vec![1, 2, 17_735_652_964_250_161_229, 12_527_086_069_893_911_587, fresh_seed()]
}

/// The facts of a script that never stores anything.
pub(super) fn facts(seed: u64, steps: usize) -> Vec<Event> {
    let mut script = Script::new(seed, State::default());
    let mut facts = script.start(&NoStore);
    for _ in 0..steps {
        facts.extend(script.step(&NoStore));
    }
    facts
}

pub(super) fn numbered(facts: &[Event]) -> impl Iterator<Item = (u64, &Event)> {
    (1..).zip(facts)
}

/// The facts as a journal gives them back.
pub(super) fn entries(facts: &[Event]) -> Vec<Result<(u64, Vec<u8>), String>> {
    let bytes = |event: &Event| {
        let mut bytes = Vec::new();
        codec::encode(event, &mut bytes);
        bytes
    };
    numbered(facts).map(|(seq, event)| Ok((seq, bytes(event)))).collect()
}

pub(super) fn step(store: &SledStore, state: &mut State) {
    let checkpoint = store.prepare(state).unwrap();
    let committed = store.commit(checkpoint).unwrap();
    // Far fewer than in earnest, so that the store is asked often.
    store.evict_to(state, committed, 20);
    store.erase_dropped(30).unwrap();
}

/// An engine whose cold records are on disk gives the same facts and the same digest as one that keeps everything.
#[test]
fn an_engine_over_the_store_answers_as_one_that_keeps_everything_in_memory() {
    for seed in seeds() {
        println!("seed {seed}");
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("state");
        let mut store = SledStore::open(&dir).unwrap().store;
        let mut plain = Script::new(seed, State::default());
        let mut stored = Script::new(seed, Opened::blank());
        let mut steps = Script::new(!seed, State::default());
        assert_eq!(plain.start(&NoStore), stored.start(&store));
        let (mut evicted, mut reopened) = (0, 0);
        for i in 0..STEPS {
            assert_eq!(plain.step(&NoStore), stored.step(&store), "seed {seed}, step {i}");
            match steps.below(60) {
                0..2 => {
                    step(&store, &mut stored.engine.state);
                    evicted += plain.engine.state.calls.len() - stored.engine.state.calls.len();
                }
                2 if i % 3 == 0 => {
                    // Between prepare and evict the engine goes on.
                    let checkpoint = store.prepare(&mut stored.engine.state).unwrap();
                    assert_eq!(plain.step(&NoStore), stored.step(&store), "seed {seed}, step {i}");
                    let committed = store.commit(checkpoint).unwrap();
                    assert_eq!(plain.step(&NoStore), stored.step(&store), "seed {seed}, step {i}");
                    store.evict(&mut stored.engine.state, committed);
                }
                3 if i % 4 == 0 => {
                    step(&store, &mut stored.engine.state);
                    if reopened % 2 == 0 {
                        drop(store);
                    } else {
                        store.close().unwrap();
                    }
                    let opened = SledStore::open(&dir).unwrap();
                    assert!(opened.set_aside.is_none(), "{:?}", opened.set_aside);
                    stored.restart(opened.state.unwrap());
                    store = opened.store;
                    assert_eq!(plain.start(&NoStore), stored.start(&store));
                    reopened += 1;
                }
                _ => {}
            }
            if i % 500 == 0 {
                let whole = digest_of_state(&plain.engine.state);
                assert_eq!(digest(&stored.engine.state, &store).unwrap(), whole, "seed {seed}, step {i}");
            }
        }
        assert_eq!(digest(&stored.engine.state, &store).unwrap(), digest_of_state(&plain.engine.state), "seed {seed}");
        assert!(evicted > 1_000 && reopened > 1, "the test must do what it says: {evicted} {reopened}");
        assert_eq!(books(&stored.engine.state, &store).unwrap().problems, Vec::<String>::new(), "seed {seed}");
        store.check().unwrap();
    }
}

/// The journal folded into a store, in pieces and over restarts, is the journal folded in memory.
#[test]
fn catching_up_over_restarts_gives_the_digest_of_the_fold() {
    for seed in seeds() {
        println!("seed {seed}");
        let facts = facts(seed, STEPS);
        let entries = entries(&facts);
        let whole = digest_of_fold(numbered(&facts));
        let dir = tempfile::tempdir().unwrap();
        for until in [0, 1, 700, 701, facts.len()] {
            let opened = SledStore::open(dir.path()).unwrap();
            let mut state = opened.state.unwrap_or_else(Opened::blank);
            let done = catch_up(&mut state, &opened.store, entries[..until].iter().cloned()).unwrap();
            assert_eq!(done.applied_seq, until as u64);
            assert_eq!(digest(&state, &opened.store).unwrap(), digest_of_fold(numbered(&facts[..until])));
        }
        let opened = SledStore::open(dir.path()).unwrap();
        let state = opened.state.unwrap();
        assert_eq!(digest(&state, &opened.store).unwrap(), whole, "seed {seed}");
        assert!(state.calls.len() < 300, "closed calls stay on disk: {}", state.calls.len());
        assert!(state.goals.is_empty() && state.keys.is_empty());
        let (now, accounts) = (state.last_at, state.accounts.values());
        assert!(accounts.clone().all(|a| a.opened.resets_at.is_none_or(|end| end > now)), "ended ones stay on disk");
        assert!(accounts.count() > 0 && state.open_goals.counts().count() > 0 && !state.tools.is_empty());
        let books = books(&state, &opened.store).unwrap();
        assert_eq!(books.problems, Vec::<String>::new(), "seed {seed}");
        assert!(books.accounts > state.accounts.len() as u64 && books.charges > 100, "{books:?}");
        opened.store.check().unwrap();
    }
}

/// Two counts of the money, taken apart, agree over random days; and a refold is the state.
#[test]
fn the_money_of_the_facts_is_the_money_of_the_sums() {
    for seed in seeds() {
        println!("seed {seed}");
        let facts = facts(seed, STEPS);
        let dir = tempfile::tempdir().unwrap();
        let found = refold(entries(&facts), dir.path()).unwrap();
        assert_eq!(found.problems, Vec::<String>::new(), "seed {seed}");
        assert_eq!(found.digest, digest_of_fold(numbered(&facts)), "seed {seed}");
        assert_eq!(found.events, facts.len() as u64);
        assert!(found.total.costed > 200 && found.total.cost_nano > 0);
    }
}

#[test]
fn a_gap_or_an_unreadable_fact_stops_the_fold() {
    let facts = facts(4, 30);
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path()).unwrap().store;
    let mut entries = entries(&facts);
    let mut state = Opened::blank();
    let error = catch_up(&mut state, &store, entries[3..].iter().cloned()).unwrap_err();
    assert!(matches!(error, CatchUpError::Gap { wanted: 1, found: 4 }), "{error}");
    entries[5] = Ok((6, vec![9, 9]));
    let error = catch_up(&mut state, &store, entries.iter().cloned()).unwrap_err();
    assert!(matches!(error, CatchUpError::Event { seq: 6, .. }), "{error}");
    entries[5] = Err("damaged".to_owned());
    let error = catch_up(&mut state, &store, entries).unwrap_err();
    assert!(matches!(error, CatchUpError::Journal(_)), "{error}");
}

#[test]
#[should_panic(expected = "INV-STATE-1")]
fn a_state_that_does_not_track_what_it_touches_is_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path()).unwrap().store;
    let _ = store.prepare(&mut State::default());
}

/// A nano-dollar too much on an account or a goal, and an account that is gone, are found.
#[test]
fn books_that_do_not_balance_are_told() {
    let facts = facts(6, 600);
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path()).unwrap().store;
    let mut state = State::default();
    numbered(&facts).for_each(|(seq, event)| crate::engine::apply(&mut state, seq, event));
    let problems = |state: &State| books(state, &store).unwrap().problems;
    assert_eq!(problems(&state), Vec::<String>::new());

    let mut wrong = state.clone();
    let booked_on = wrong.calls.values().flat_map(|c| &c.charges).map(|c| c.account);
    let account = booked_on.filter(|a| wrong.accounts.contains_key(a)).min().unwrap();
    let said = wrong.accounts[&account].booked;
    wrong.accounts.get_mut(&account).unwrap().booked.spent += 1;
    let found = problems(&wrong);
    let sums = format!("{} spent, {} held, {} presumed", said.spent, said.held, said.presumed);
    assert!(found.len() == 1 && found[0].ends_with(&format!("its calls add up to {sums}")), "{found:?}");

    wrong.accounts.remove(&account);
    assert!(problems(&wrong).iter().all(|p| p.ends_with("is booked on an account that is nowhere")));

    let mut wrong = state.clone();
    let below = wrong.goals.iter().find(|(_, g)| !g.ancestors.is_empty()).map(|(id, _)| id.clone()).unwrap();
    wrong.goals.get_mut(&below).unwrap().own.cost += 1;
    let found = problems(&wrong);
    // What its own calls are too much, those below it are too little.
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|p| p.starts_with(&format!("goal `{below}` does not add up to"))), "{found:?}");
}

#[test]
fn where_detail_was_dropped_what_is_missing_is_no_fault_and_what_differs_is() {
    let facts = facts(6, 600);
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path()).unwrap().store;
    let mut state = State::default();
    numbered(&facts).for_each(|(seq, event)| crate::engine::apply(&mut state, seq, event));
    let problems = |state: &State, detail_from| {
        let mut state = state.clone();
        state.detail_from = UnixMillis(detail_from);
        let found = books(&state, &store).unwrap().problems;
        found.into_iter().filter(|problem| problem.starts_with("goal ")).collect::<Vec<_>>()
    };
    assert!(problems(&state, 0).is_empty() && problems(&state, 1).is_empty());

    let settled = |c: &&crate::domain::call::Call| !c.goal.is_empty() && c.settled().is_some() && !c.evaluation;
    let call = state.calls.values().filter(settled).map(|c| c.number).min().unwrap();
    let mut without_a_call = state.clone();
    without_a_call.calls.remove(&call);
    assert_eq!(
        (problems(&without_a_call, 0).len(), problems(&without_a_call, 1).len()),
        (1, 0),
        "it may have been dropped"
    );

    let mut below = state.goals.iter().filter(|(_, g)| !g.ancestors.is_empty() && g.whole.calls > 0);
    let below = below.find(|(_, g)| g.children.is_empty()).map(|(id, _)| id.clone()).unwrap();
    let mut without_a_goal = state.clone();
    without_a_goal.goals.remove(&below);
    without_a_goal.calls.retain(|_, c| *c.goal != *below);
    assert_eq!((problems(&without_a_goal, 0).len(), problems(&without_a_goal, 1).len()), (1, 0), "so may a goal");

    let mut differs = state.clone();
    differs.goals.get_mut(&below).unwrap().own.cost += 1;
    assert_eq!(problems(&differs, 1).len(), 2, "the calls are all there: its own do not add up, nor does the rest");
}

/// The script would prove little if it never did what is stored.
#[test]
fn the_script_does_all_that_can_be_done() {
    let mut script = Script::new(3, State::default());
    let mut facts = script.start(&NoStore);
    let (mut reopened, mut rewarded) = (0, 0);
    for _ in 0..STEPS {
        let state = &script.engine.state;
        let closed = |state: &State| state.goals.iter().filter(|(_, g)| g.closing.is_some()).count();
        let before = closed(state);
        facts.extend(script.step(&NoStore));
        reopened += usize::from(closed(&script.engine.state) < before);
        rewarded += script.engine.state.calls.values().filter(|c| c.goal_verdict.is_some()).count();
    }
    let mut counts = std::collections::BTreeMap::new();
    for event in &facts {
        let text = format!("{:?}", event.body);
        let kind = text.split(['(', ' ']).next().unwrap_or_default().to_owned();
        *counts.entry(kind).or_insert(0) += 1;
    }
    let kinds = [
        "AccountOpened",
        "Gated",
        "GoalStarted",
        "GoalClosed",
        "GoalAmended",
        "GoalsTimedOut",
        "BudgetGranted",
        "AlertRaised",
        "AlertAcknowledged",
    ];
    assert!(kinds.iter().all(|kind| counts.get(*kind).is_some_and(|n| *n > 2)), "{counts:?}");
    let exhausted = facts.iter().filter(|e| matches!(&e.body, Body::Decided(d) if d.exhausted.is_some())).count();
    let below = script.engine.state.goals.values().filter(|g| g.ancestors.len() > 1).count();
    let parts = script.engine.state.goals.values().filter(|g| g.thread.entries.len() >= 8).count();
    let mut by = std::collections::BTreeMap::new();
    for e in &facts {
        if let Body::Decided(d) = &e.body {
            *by.entry(d.exhausted.as_ref().map(|e| format!("{} {:?}", e.budget, d.verdict))).or_insert(0) += 1;
        }
    }
    println!("{by:?}");
    println!(
        "{counts:?}; {reopened} reopened, {rewarded} rewarded, {exhausted} exhausted, {below} below, {parts} in parts"
    );
    assert!(reopened > 2 && rewarded > 2 && exhausted > 20 && below > 2 && parts > 2);
}

/// The digest sees every part: leaving the last fact out always shows.
#[test]
fn the_digest_tells_every_fact() {
    let facts = facts(5, 400);
    let mut state = State { touched: Some(Touched::default()), ..State::default() };
    let mut seen = std::collections::HashSet::new();
    for (seq, event) in numbered(&facts) {
        crate::engine::apply(&mut state, seq, event);
        assert!(seen.insert(digest_of_state(&state)), "event {seq} changes nothing: {event:?}");
    }
}
