//! A store that is written anew while facts come in is the same store, and smaller; whatever interrupts that costs nothing.

use std::fs;
use std::path::Path;

use super::broken::copy;
use super::script::{Script, fresh_seed};
use super::steps::{entries, facts, numbered, step};
use crate::domain::state::State;
use crate::engine::hydrate::NoStore;
use crate::state::{Opened, SledStore, catch_up, digest, digest_of_fold, digest_of_state, is_wasteful};

/// Facts come between any two pieces of the copy, before the point reached and behind it, and so do erasures.
#[test]
fn a_store_written_anew_beside_commits_answers_as_before() {
    let seed = fresh_seed();
    println!("seed {seed}");
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("state");
    let mut store = SledStore::open(&dir).unwrap().store;
    let mut plain = Script::new(seed, State::default());
    let mut stored = Script::new(seed, Opened::blank());
    assert_eq!(plain.start(&NoStore), stored.start(&store));
    let (mut changed, mut saved) = (0, 0);
    for i in 0..1_500 {
        assert_eq!(plain.step(&NoStore), stored.step(&store), "seed {seed}, step {i}");
        if i % 5 == 4 {
            step(&store, &mut stored.engine.state);
        }
        // Some of the copies are given up.
        if i % 700 == 351 {
            store.abandon_compaction();
            assert!(!store.is_compacting());
        }
        if i < 200 || i % 4 > 0 {
            continue;
        }
        store.begin_compaction().unwrap();
        if store.compact_on(25).unwrap() {
            continue;
        }
        let (records, before) = store.weight().unwrap();
        store = store.change_over().unwrap();
        let (counted, after) = store.weight().unwrap();
        assert_eq!(counted, records, "seed {seed}, step {i}");
        saved += before as i64 - after as i64;
        changed += 1;
        store.check().unwrap();
        let whole = digest_of_state(&plain.engine.state);
        assert_eq!(digest(&stored.engine.state, &store).unwrap(), whole, "seed {seed}, step {i}");
    }
    assert!(changed > 2 && saved > 0, "the test must do what it says: {changed} {saved}");
    step(&store, &mut stored.engine.state);
    store.check().unwrap();
    drop(store);
    let opened = SledStore::open(&dir).unwrap();
    assert!(opened.set_aside.is_none(), "{:?}", opened.set_aside);
    let whole = digest_of_state(&plain.engine.state);
    assert_eq!(digest(&opened.state.unwrap(), &opened.store).unwrap(), whole, "seed {seed}");
    assert_eq!(folders(dir.parent().unwrap()), ["state"]);
}

fn folders(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// A store with all facts, and their digest.
fn filled(dir: &Path) -> (SledStore, [u8; 32]) {
    let facts = facts(11, 800);
    let mut state = Opened::blank();
    let store = SledStore::open(dir).unwrap().store;
    catch_up(&mut state, &store, entries(&facts)).unwrap();
    (store, digest_of_fold(numbered(&facts)))
}

/// Opens, expects the digest, and that nothing else is left.
fn whole_again(dir: &Path, whole: [u8; 32], what: &str) {
    let opened = SledStore::open(dir).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(opened.set_aside.is_none(), "{what}: {:?}", opened.set_aside);
    assert_eq!(digest(&opened.state.unwrap(), &opened.store).unwrap(), whole, "{what}");
    assert_eq!(folders(dir.parent().unwrap()), ["state"], "{what}");
}

/// What a process leaves that ends at any moment of a change-over.
#[test]
fn an_interrupted_change_over_leaves_one_whole_store() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let (store, whole) = filled(&at("before"));
    store.close().unwrap();
    copy(&at("before"), &at("after"));
    SledStore::open(&at("after")).unwrap().store.compacted().unwrap().close().unwrap();
    let lay = |name: &str, parts: [(&str, &str); 2]| {
        parts.iter().for_each(|(from, to)| copy(&at(from), &at(name).join(to)));
        at(name).join("state")
    };
    whole_again(&lay("copying", [("before", "state"), ("after", "state.new")]), whole, "while copying");
    whole_again(&lay("between", [("before", "state.old"), ("after", "state.new")]), whole, "between two renames");
    whole_again(&lay("swapped", [("before", "state.old"), ("after", "state")]), whole, "before the old one is gone");
    // A copy that was cut short is never taken for the store.
    let half = lay("half", [("before", "state"), ("after", "state.new")]);
    fs::write(half.with_file_name("state.new").join("db"), b"half").unwrap();
    whole_again(&half, whole, "half a copy");
    // Once the new one has the place, it is opened like any other.
    let broken = lay("broken", [("before", "state.old"), ("after", "state")]);
    fs::write(broken.join("db"), b"half").unwrap();
    let opened = SledStore::open(&broken).unwrap();
    assert!(opened.set_aside.is_some() && opened.state.is_none());
}

#[test]
fn a_store_that_cannot_be_written_anew_goes_on_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("state");
    let (store, whole) = filled(&dir);
    let new = place.path().join("state.new");
    fs::write(&new, b"in the way").unwrap();
    store.begin_compaction().unwrap_err();
    assert!(!store.is_compacting());
    store.health().unwrap();
    fs::remove_file(new).unwrap();
    // Nothing was begun, or not everything copied: no store is lost over that.
    assert!(store.change_over().is_err());
    store.begin_compaction().unwrap();
    store.compact_on(3).unwrap();
    let error = store.change_over().unwrap_err();
    assert!(error.to_string().ends_with("the copy does not hold the records of the store"), "{error}");
    store.health().unwrap();
    store.close().unwrap();
    whole_again(&dir, whole, "after all that");
}

/// A store of an earlier version does not say how much it holds; writing it anew tells.
#[test]
fn bytes_nobody_counted_are_counted_by_the_copy() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("state");
    let (store, _) = filled(&dir);
    let (records, _) = store.weight().unwrap();
    store.written().total.bytes = 0;
    let store = store.compacted().unwrap();
    assert_eq!(store.weight().unwrap().0, records);
}

#[test]
fn a_store_is_wasteful_when_most_of_a_large_file_is_nothing() {
    let mib = 1 << 20;
    assert!(!is_wasteful((0, 64 * mib)) && is_wasteful((0, 64 * mib + 1)));
    assert!(!is_wasteful((50 * mib, 125 * mib)) && is_wasteful((50 * mib, 125 * mib + 1)));
}
