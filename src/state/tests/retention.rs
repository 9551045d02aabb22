//! Detail that is dropped for its age: gone at once for whoever asks, taken out of the store a little at a time, and all the
//! same in a state that keeps everything in memory.

use super::idle::{self, AT};
use super::script::{Script, fresh_seed};
use super::steps::{entries, facts, numbered, step};
use crate::domain::event::{Body, Event};
use crate::domain::state::State;
use crate::domain::time::DAY_MS;
use crate::engine::hydrate::{self, ColdStore as _, NoStore};
use crate::journal::pb;
use crate::state::goal_records;
use crate::state::keys::Kind;
use crate::state::seal;
use crate::state::{Opened, SledStore, books, catch_up, digest, digest_of_fold, refold};

/// Kinds of records that hold detail.
const DETAIL: [Kind; 10] = [
    Kind::Page,
    Kind::OpenPage,
    Kind::Goal,
    Kind::GoalPart,
    Kind::GoalAt,
    Kind::GoalBy,
    Kind::IdleGoal,
    Kind::OpenGoals,
    Kind::Account,
    Kind::Key,
];

fn erase_all(store: &SledStore) -> usize {
    let mut turns = 1;
    while store.erase_dropped(7).unwrap() {
        turns += 1;
    }
    turns
}

/// The facts of a script, with everything ended, and all of it dropped.
fn all_dropped(seed: u64) -> Vec<Event> {
    let mut script = Script::new(seed, State::default());
    let mut all = script.start(&NoStore);
    for _ in 0..1_500 {
        all.extend(script.step(&NoStore));
    }
    let far = script.now.plus_ms(40 * DAY_MS);
    let fold = |script: &mut Script, event: Event, all: &mut Vec<Event>| {
        script.engine.apply(all.len() as u64 + 1, &event);
        all.push(event);
    };
    while let Some(event) = script.engine.expire(far, 1_000) {
        fold(&mut script, event, &mut all);
    }
    while let Some(event) = script.engine.time_out_goals(&NoStore, far, 1_000) {
        fold(&mut script, event, &mut all);
    }
    let dropped = Event { at: far.plus_ms(1), body: Body::DetailDropped { before: far.plus_ms(1) } };
    fold(&mut script, dropped, &mut all);
    assert!(script.engine.state.calls.is_empty() && script.engine.state.goals.is_empty());
    all
}

#[test]
fn what_is_dropped_leaves_the_store_and_no_sum_changes() {
    for seed in [31, fresh_seed()] {
        println!("seed {seed}");
        let all = all_dropped(seed);
        let before_drop = all.len() - 1;
        let dir = tempfile::tempdir().unwrap();
        let store = SledStore::open(dir.path()).unwrap().store;
        let mut state = Opened::blank();
        catch_up(&mut state, &store, entries(&all).into_iter().take(before_drop)).unwrap();
        erase_all(&store);
        let count = |store: &SledStore, kind: Kind| store.db.scan_prefix(kind.prefix()).count();
        assert!(count(&store, Kind::Page) > 0 && count(&store, Kind::Goal) > 0 && count(&store, Kind::Key) > 0);
        let sums = (state.rollups.clone(), state.tasks.clone(), state.goal_sums.clone(), state.calls_total);

        catch_up(&mut state, &store, entries(&all)).unwrap();
        let whole = digest_of_fold(numbered(&all));
        assert_eq!(digest(&state, &store).unwrap(), whole, "seed {seed}: dropped, and still stored");
        let told = (state.rollups.clone(), state.tasks.clone(), state.goal_sums.clone(), state.calls_total);
        assert!(told.0 == sums.0 && told.1 == sums.1 && told.2 == sums.2 && told.3 == sums.3, "seed {seed}");
        assert!(erase_all(&store) > 4, "in slices");
        for kind in DETAIL {
            let ended = |key: &[u8]| {
                let account: pb::Account = seal::unseal(key, &store.db.get(key).unwrap().unwrap()).unwrap();
                goal_records::account(account, "").unwrap().opened.resets_at.is_some()
            };
            let keys = store.db.scan_prefix(kind.prefix()).keys().map(Result::unwrap);
            // An account without an end is never dropped.
            let left = keys.filter(|key| kind != Kind::Account || ended(key)).count();
            assert_eq!(left, 0, "seed {seed}: {kind:?}");
        }
        assert_eq!(digest(&state, &store).unwrap(), whole, "seed {seed}: erased");
        assert_eq!(books(&state, &store).unwrap().problems, Vec::<String>::new());
        store.check().unwrap();
        drop(store);
        let opened = SledStore::open(dir.path()).unwrap();
        assert_eq!(digest(&opened.state.unwrap(), &opened.store).unwrap(), whole, "seed {seed}: opened again");
    }
}

/// A script drops detail now and then; a refold agrees, and its money still adds up.
#[test]
fn a_record_with_dropped_detail_folds_anew_to_the_same() {
    let facts = facts(33, 3_000);
    let dropped = facts.iter().filter(|e| matches!(e.body, Body::DetailDropped { .. })).count();
    assert!(dropped > 2, "{dropped}");
    let dir = tempfile::tempdir().unwrap();
    let found = refold(entries(&facts), dir.path()).unwrap();
    assert_eq!((found.problems, found.digest), (Vec::new(), digest_of_fold(numbered(&facts))));
}

/// A goal of the name of one that was dropped is another one: nothing of the first comes back, in memory or in the store.
#[test]
fn a_name_may_be_used_again_after_its_goal_was_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path()).unwrap().store;
    let mut engine = idle::engine(Opened::blank());
    idle::fold(&store, &mut engine, &idle::started(0));
    let name = "ticket-00000000";
    engine
        .state
        .change_goal(&name.into(), |goal| goal.children = (0..20).map(|n| format!("below-{n}").into()).collect());
    let closed = engine.time_out_goals(&store, AT.plus_ms(DAY_MS), 9).unwrap();
    idle::fold(&store, &mut engine, &closed);
    step(&store, &mut engine.state);
    let parts = |store: &SledStore| store.db.scan_prefix(Kind::GoalPart.prefix()).count();
    assert_eq!((engine.state.goals.len(), parts(&store)), (0, 2), "it is stored, in parts");

    let now = AT.plus_ms(90 * DAY_MS);
    assert_eq!(engine.drop_detail(0, now), None, "kept for ever");
    let event = engine.drop_detail(30 * DAY_MS, now).unwrap();
    idle::fold(&store, &mut engine, &event);
    assert_eq!(engine.drop_detail(30 * DAY_MS, now.plus_ms(1)), None, "once a day");
    assert!(store.goal(name).is_some(), "its bytes are still there");
    assert_eq!(hydrate::goal(&mut engine.state, &store, name), None);

    let again = Event { at: now, ..idle::started(0) };
    idle::fold(&store, &mut engine, &again);
    step(&store, &mut engine.state);
    let goal = hydrate::goal(&mut engine.state, &store, name).unwrap();
    assert_eq!((goal.opened_at, goal.children.len(), goal.closing), (now, 0, None));
    assert_eq!((parts(&store), store.goals_after(None).unwrap()), (0, vec![(now, name.to_owned())]));
    let kept = digest(&engine.state, &store).unwrap();
    erase_all(&store);
    assert_eq!(digest(&engine.state, &store).unwrap(), kept);
    assert!(store.goal(name).is_some());
    store.check().unwrap();
}
