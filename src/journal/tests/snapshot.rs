//! Snapshots that are whole or not there, and segments that go only behind one: over power cuts at every call, full disks and
//! flipped bytes.

use std::sync::Arc;

use super::super::{Snapshot, SnapshotWriter, prune, snapshots, verify};
use super::disk::{ENOSPC, FaultyDisk};
use super::*;

/// Entries of 10 kB, enough for several frames.
fn entry(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(1_250)
}

const ENTRIES: u64 = 60;
const EVENTS: u64 = 120;

fn write(dir: &Path, disk: &FaultyDisk, covers: u64) -> Result<Snapshot, JournalError> {
    let mut writer = SnapshotWriter::create(dir, Arc::new(disk.clone()))?;
    (0..ENTRIES).try_for_each(|number| writer.push(&entry(number)))?;
    writer.finish(covers)
}

/// The snapshots that hold in every byte.
fn whole(dir: &Path) -> Vec<Snapshot> {
    let found = snapshots(dir).unwrap().into_iter().map(|snapshot| snapshot.and_then(|s| s.check().map(|()| s)));
    found.filter_map(Result::ok).collect()
}

/// Everything is old but the last third.
fn is_old(payload: &[u8]) -> bool {
    (1..=EVENTS * 2 / 3).any(|seq| super::payload(seq) == payload)
}

#[test]
fn a_snapshot_gives_back_what_was_put_in_and_older_ones_go() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), EVENTS);
    let disk = FaultyDisk::default();
    write(dir.path(), &disk, 50).unwrap();
    let newest = write(dir.path(), &disk, 100).unwrap();
    assert_eq!(whole(dir.path()), std::slice::from_ref(&newest));
    let mut entries = Vec::new();
    let taken = newest.read(|entry| {
        entries.push(entry.to_vec());
        Ok::<_, JournalError>(())
    });
    taken.unwrap();
    assert_eq!(entries, (0..ENTRIES).map(entry).collect::<Vec<_>>());
    assert_eq!(verify(dir.path()).unwrap().snapshots, [newest]);
}

/// Every call of writing a snapshot and of removing segments behind it may be the last one.
#[test]
fn a_power_cut_at_every_call_leaves_the_beginning_in_segments_or_in_a_whole_snapshot() {
    let original = tempfile::tempdir().unwrap();
    write_events(original.path(), EVENTS);
    let segments = segment_paths(original.path()).len();
    let run = |dir: &Path, disk: &FaultyDisk| {
        let snapshot = write(dir, disk, EVENTS)?;
        prune::remove(dir, disk, &snapshot, is_old)
    };
    let dir = tempfile::tempdir().unwrap();
    copy_dir(original.path(), dir.path());
    let disk = FaultyDisk::default();
    let removed = run(dir.path(), &disk).unwrap();
    assert!(removed > 1 && removed < segments - 1, "{removed} of {segments}");
    let mut left_over = Vec::new();
    for cut in 1..=disk.calls() {
        for lost in [false, true] {
            copy_dir(original.path(), dir.path());
            let disk = FaultyDisk::default();
            disk.power_off_at(cut);
            run(dir.path(), &disk).unwrap_err();
            disk.lose_unsynced(|| lost);
            let (journal, report) = Journal::open(dir.path(), small()).unwrap();
            drop(journal);
            assert_eq!(report.last_seq, EVENTS, "cut {cut}");
            let whole = whole(dir.path());
            assert_eq!(whole.len(), snapshots(dir.path()).unwrap().len(), "cut {cut}: one that has its name is whole");
            assert!(report.first_seq == 1 || whole[0].covers_seq >= report.first_seq - 1, "cut {cut}");
            assert!(verify(dir.path()).unwrap().problems.is_empty(), "cut {cut}");
            left_over.push(segment_paths(dir.path()).len());
        }
    }
    left_over.sort_unstable();
    left_over.dedup();
    assert_eq!(left_over, (segments - removed..=segments).collect::<Vec<_>>(), "one segment goes at a time");
}

#[test]
fn a_full_disk_leaves_everything_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), EVENTS);
    let disk = FaultyDisk::default();
    disk.set_capacity(Some(200_000));
    let Err(JournalError::Io { source, .. }) = write(dir.path(), &disk, EVENTS) else { panic!("there is no room") };
    assert_eq!(source.raw_os_error(), Some(ENOSPC));
    assert!(snapshots(dir.path()).unwrap().is_empty());
    drop(open_small(dir.path()));
    assert!(!dir.path().join("snap.new").exists(), "the next start removes what is unfinished");
    assert_eq!(read_all(dir.path()), expected(EVENTS));
}

#[test]
fn a_changed_byte_anywhere_in_a_snapshot_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), EVENTS);
    let path = write(dir.path(), &FaultyDisk::default(), EVENTS).unwrap().path;
    let bytes = fs::read(&path).unwrap();
    let header_and_first_frame_and_some = (0..130).chain((130..bytes.len()).step_by(7_919)).chain([bytes.len() - 1]);
    for at in header_and_first_frame_and_some {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x04;
        put(&path, &flipped);
        assert!(whole(dir.path()).is_empty(), "byte {at}");
    }
    for cut in [0, 40, 88, 5_000, bytes.len() - 1] {
        put(&path, &bytes[..cut]);
        assert!(whole(dir.path()).is_empty(), "cut to {cut}");
        let problems = verify(dir.path()).unwrap().problems;
        assert!(problems[0].to_string().contains("00000000000000000120.snap"), "{problems:?}");
    }
    put(&path.with_file_name("00000000000000000007.snap"), &bytes);
    put(&path, &bytes);
    assert_eq!(whole(dir.path()).len(), 1, "under another name it is not taken");
}

#[test]
fn a_record_without_its_beginning_and_a_snapshot_of_another_record_are_told() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), EVENTS);
    let other = tempfile::tempdir().unwrap();
    let (journal, _) = open_small(other.path());
    for seq in 1..=EVENTS {
        journal.append(&payload(seq + 1)).unwrap();
    }
    journal.shutdown(PATIENCE).unwrap();
    let foreign = write(other.path(), &FaultyDisk::default(), EVENTS).unwrap().path;
    let here = dir.path().join(foreign.file_name().unwrap());
    fs::copy(&foreign, &here).unwrap();
    let told = |what: &str| {
        let problems = verify(dir.path()).unwrap().problems;
        assert!(problems.iter().any(|problem| problem.to_string().contains(what)), "{problems:?}");
    };
    told("no segment goes on where the snapshot ends");
    fs::remove_file(here).unwrap();
    fs::remove_file(&segment_paths(dir.path())[0]).unwrap();
    told("event 1 is no longer kept");
}

#[test]
fn what_is_not_old_or_not_covered_stays() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), EVENTS);
    let all = segment_paths(dir.path()).len();
    let could_go = |covers| prune::removable(dir.path(), covers, |_| true).unwrap();
    assert_eq!(could_go(EVENTS), all - 1, "the last one is written to");
    assert_eq!(could_go(0), 0);
    assert!((1..all - 1).contains(&could_go(EVENTS / 2)));
    assert_eq!(prune::removable(dir.path(), EVENTS, |_| false).unwrap(), 0);
}
