//! A snapshot written while facts come in stands for the facts before it: what is built on it is what the whole record folds to.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::script::{Script, fresh_seed};
use super::steps::{entries, facts, numbered, step};
use crate::domain::event::Event;
use crate::journal::{
    DiskStorage, Journal, JournalError, JournalOptions, JournalReader, Snapshot, SnapshotWriter, prune,
};
use crate::state::{CatchUpError, Opened, SledStore, Standing, bring_up, catch_up, digest, digest_of_fold};

/// A record of these facts, in small segments.
fn record(dir: &Path, facts: &[Event]) {
    let options = JournalOptions { segment_bytes: 16 << 10, headroom_bytes: 1 << 10, ..JournalOptions::default() };
    let (journal, _) = Journal::open(dir, options).unwrap();
    for entry in entries(facts) {
        journal.append(&entry.unwrap().1).unwrap();
    }
    journal.shutdown(Duration::from_secs(30)).unwrap();
}

fn writer(journal: &Path) -> SnapshotWriter {
    SnapshotWriter::create(journal, Arc::new(DiskStorage)).unwrap()
}

/// A snapshot of the first `upto` facts.
fn snapshot_of(facts: &[Event], upto: usize, journal: &Path) -> Snapshot {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path()).unwrap().store;
    catch_up(&mut Opened::blank(), &store, entries(&facts[..upto])).unwrap();
    store.begin_snapshot(writer(journal));
    while store.snapshot_on(100).unwrap() {}
    store.finish_snapshot().unwrap()
}

fn brought_up(dir: &Path, journal: &Path, last: usize) -> Result<Standing, CatchUpError<JournalError>> {
    let reader = JournalReader::open(journal).unwrap();
    bring_up::stored(dir, journal, last as u64, |from| {
        let entries = reader.read_from(from)?;
        Ok::<_, JournalError>(entries.map(|entry| entry.map(|entry| (entry.seq, entry.payload))))
    })
}

#[test]
fn a_snapshot_written_beside_commits_is_what_the_record_folds_to() {
    let seed = fresh_seed();
    println!("seed {seed}");
    let place = tempfile::tempdir().unwrap();
    let journal = place.path().join("journal");
    let mut store = SledStore::open(&place.path().join("state")).unwrap().store;
    let mut script = Script::new(seed, Opened::blank());
    let mut facts = script.start(&store);
    let mut written = 0;
    for i in 0..1_000 {
        facts.extend(script.step(&store));
        if i % 5 == 4 {
            step(&store, &mut script.engine.state);
        }
        if i == 250 {
            record(&journal, &facts);
        }
        if i < 250 || i % 4 > 0 {
            continue;
        }
        if !store.is_in_snapshot() {
            store.begin_snapshot(writer(&journal));
        }
        // The store is written anew meanwhile; the snapshot goes on over the new one.
        store.begin_compaction().unwrap();
        if !store.compact_on(40).unwrap() {
            store = store.change_over().unwrap();
        }
        if store.snapshot_on(25).unwrap() {
            continue;
        }
        let snapshot = store.finish_snapshot().unwrap();
        written += 1;
        let other = SledStore::open(&place.path().join(format!("restored-{written}"))).unwrap().store;
        let mut state = other.restore(&snapshot).unwrap();
        assert_eq!(state.applied_seq, snapshot.covers_seq);
        catch_up(&mut state, &other, entries(&facts)).unwrap();
        assert_eq!(digest(&state, &other).unwrap(), digest_of_fold(numbered(&facts)), "seed {seed}, step {i}");
    }
    assert!(written > 1, "the test must do what it says: {written}");
}

#[test]
fn a_start_without_a_store_builds_on_the_newest_whole_snapshot() {
    let facts = facts(11, 1_500);
    let (place, last) = (tempfile::tempdir().unwrap(), facts.len());
    let (journal, whole) = (place.path().join("journal"), digest_of_fold(numbered(&facts)));
    record(&journal, &facts);
    let snapshot = snapshot_of(&facts, last / 2, &journal);
    let up = |name: &str| brought_up(&place.path().join(name), &journal, last);
    let is_whole = |standing: &Standing| {
        let store = standing.store.as_ref().unwrap();
        digest(&standing.state, store).unwrap() == whole && store.check().is_ok()
    };
    // All of the record is there: built on the snapshot, or, where that is flipped, folded from the first fact.
    let standing = up("all").unwrap();
    let (half, all) = (snapshot.covers_seq, last as u64);
    assert_eq!((standing.restored_seq, standing.folded, standing.rebuilt), (half, all - half, true));
    assert!(is_whole(&standing));
    let bytes = fs::read(&snapshot.path).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    fs::write(&snapshot.path, &flipped).unwrap();
    let standing = up("flipped").unwrap();
    assert_eq!((standing.restored_seq, standing.folded), (0, all));
    assert!(is_whole(&standing));
    // Without its first segments the snapshot is needed.
    let removed = prune::remove(&journal, &DiskStorage, &snapshot, |_| true).unwrap();
    assert!(removed > 0);
    let error = up("gone").unwrap_err();
    assert!(matches!(error, CatchUpError::Journal(JournalError::Gone { seq: 1, .. })), "{error}");
    fs::write(&snapshot.path, &bytes).unwrap();
    let standing = up("restored").unwrap();
    assert!(is_whole(&standing) && standing.restored_seq == half);
    drop(standing);
    // What is stored is gone on with, and a store that broke is built on the snapshot again.
    let standing = up("restored").unwrap();
    assert!(is_whole(&standing) && !standing.rebuilt);
    drop(standing);
    fs::write(place.path().join("restored/db"), b"broken").unwrap();
    let standing = up("restored").unwrap();
    assert!(is_whole(&standing) && standing.restored_seq == half && standing.set_aside.is_some());
}

/// A copy put back without the snapshot's last facts: the snapshot knows more than the record.
#[test]
fn a_snapshot_ahead_of_the_record_is_not_used() {
    let facts = facts(12, 400);
    let place = tempfile::tempdir().unwrap();
    let (journal, less) = (place.path().join("journal"), facts.len() / 2);
    record(&journal, &facts[..less]);
    let other = place.path().join("other");
    record(&other, &facts);
    let ahead = snapshot_of(&facts, facts.len(), &other).path;
    fs::copy(&ahead, journal.join(ahead.file_name().unwrap())).unwrap();
    let standing = brought_up(&place.path().join("state"), &journal, less).unwrap();
    assert_eq!((standing.restored_seq, standing.folded), (0, less as u64));
}
