//! Goals by workflow and state: what the marks tell is what the goals themselves say, whatever happened to them.

use super::script::fresh_seed;
use super::steps::{facts, numbered, step};
use crate::domain::goal::{Goal, GoalState};
use crate::domain::names::{NameId, NameKind};
use crate::domain::time::UnixMillis;
use crate::engine::apply;
use crate::engine::hydrate::{self, ColdStore as _};
use crate::state::keys::Kind;
use crate::state::{Opened, SledStore};

type Kinds = Vec<(NameId, Option<GoalState>)>;

/// All of these kinds, a page after the other.
fn found(store: &SledStore, kinds: &Kinds) -> Vec<(UnixMillis, String)> {
    let mut all: Vec<(UnixMillis, String)> = Vec::new();
    loop {
        let page = store.goals_of_kinds(kinds.iter().copied(), all.last()).unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

#[test]
fn goals_are_found_by_workflow_and_state_in_the_order_of_their_beginning() {
    let seed = fresh_seed();
    println!("seed {seed}");
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path()).unwrap().store;
    let mut state = Opened::blank();
    for (seq, event) in numbered(&facts(seed, 1_500)) {
        hydrate::needs(&mut state, &store, event);
        apply(&mut state, seq, event);
        if seq % 50 == 0 {
            step(&store, &mut state);
        }
    }
    step(&store, &mut state);
    let all = store.goals_after(None).unwrap();
    assert!(all.len() > 20, "seed {seed}: {} goals", all.len());
    let goals: Vec<Goal> = all.iter().map(|(_, id)| store.goal(id).unwrap()).collect();
    let workflows: Vec<NameId> =
        [NameId::NONE].into_iter().chain(state.names.all(NameKind::Workflow).map(|(id, _)| id)).collect();
    let states: Vec<Option<GoalState>> =
        std::iter::once(None).chain(GoalState::ALL.iter().copied().map(Some)).collect();
    let kind = |goal: &Goal| (goal.workflow, goal.closing.map(|c| c.state));
    let every: Kinds = workflows.iter().flat_map(|w| states.iter().map(|s| (*w, *s))).collect();
    assert_eq!(found(&store, &every), all, "seed {seed}");
    let check = |kinds: Kinds| {
        let of_kinds = all.iter().zip(&goals).filter(|(_, goal)| kinds.contains(&kind(goal)));
        let wanted: Vec<_> = of_kinds.map(|(place, _)| place.clone()).collect();
        assert_eq!(found(&store, &kinds), wanted, "seed {seed}: {kinds:?}");
        for (n, place) in wanted.iter().enumerate() {
            let behind = store.goals_of_kinds(kinds.iter().copied(), Some(place)).unwrap();
            assert_eq!(behind, wanted[n + 1..], "seed {seed}: {kinds:?} behind {place:?}");
        }
    };
    every.iter().for_each(|one| check(vec![*one]));
    workflows.iter().for_each(|w| check(states.iter().map(|s| (*w, *s)).collect()));
    states.iter().for_each(|s| check(workflows.iter().map(|w| (*w, *s)).collect()));
    let marks = [Kind::Goal, Kind::GoalAt, Kind::GoalBy].map(|kind| store.db.scan_prefix(kind.prefix()).count());
    assert_eq!(marks, [all.len(); 3], "seed {seed}: one mark of each kind a goal");
}
