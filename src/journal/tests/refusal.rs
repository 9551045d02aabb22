//! A disk that is full or broken: nothing is acknowledged that is not safe, and what passes passes.

use std::sync::Arc;

use super::super::{CommitWaiter, JournalState};
use super::disk::{EIO, ENOSPC, FaultyDisk};
use super::*;

fn open_faulty(dir: &Path) -> (Journal, FaultyDisk) {
    let disk = FaultyDisk::default();
    let (journal, _) = Journal::open_with(dir, small(), Arc::new(disk.clone())).unwrap();
    (journal, disk)
}

/// Appends until the journal says it is full. Returns the last event that is durable and the last one taken: one more
/// when it was taken just before the disk was found full.
fn fill(journal: &Journal) -> (u64, u64) {
    loop {
        let seq = match journal.append(&payload(journal.synced_seq() + 1)) {
            Ok(seq) => seq,
            Err(JournalError::Full) => return (journal.synced_seq(), journal.synced_seq()),
            Err(other) => panic!("{other}"),
        };
        loop {
            match journal.wait_synced_blocking(seq, Duration::from_millis(1)) {
                Ok(()) => break,
                Err(JournalError::Full) => return (seq - 1, seq),
                Err(JournalError::NotSyncedInTime { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_new_events_keeps_old_ones_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, disk) = open_faulty(dir.path());
    disk.set_capacity(Some(5000));
    let (durable, taken) = fill(&journal);
    assert!(durable > 40, "{durable}");
    assert!(matches!(journal.state(), JournalState::Full));
    assert!(matches!(journal.accepting(), Err(JournalError::Full)));
    assert_eq!(journal.synced_seq(), durable);
    assert_eq!(read_all(dir.path()), expected(durable));
    disk.set_capacity(None);
    while journal.accepting().is_err() {
        std::thread::yield_now();
    }
    let seq = journal.append(&payload(taken + 1)).unwrap();
    journal.wait_synced_blocking(seq, PATIENCE).unwrap();
    assert_eq!(seq, taken + 1);
    journal.shutdown(PATIENCE).unwrap();
    assert_eq!(read_all(dir.path()), expected(seq));
}

#[test]
fn a_journal_opens_serves_and_closes_cleanly_on_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, disk) = open_faulty(dir.path());
    disk.set_capacity(Some(5000));
    let (durable, _) = fill(&journal);
    drop(journal);
    let (journal, report) = Journal::open_with(dir.path(), small(), Arc::new(disk.clone())).unwrap();
    assert_eq!((report.last_seq, report.dropped_tail_bytes), (durable, 0));
    assert!(matches!(journal.append(b"x"), Err(JournalError::Full)));
    assert_eq!(read_all(dir.path()), expected(durable));
    journal.shutdown(PATIENCE).unwrap();
    drop(journal);
    let (_journal, report) = Journal::open_with(dir.path(), small(), Arc::new(disk)).unwrap();
    assert!(report.clean);
}

#[test]
fn a_commit_that_meets_a_full_disk_is_kept_and_written_again() {
    for at_sync in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (journal, disk) = open_faulty(dir.path());
        append_each(&journal, 3);
        let refuse = |errno| if at_sync { disk.fail_syncs(errno) } else { disk.fail_writes(errno) };
        refuse(Some(ENOSPC));
        assert_eq!(journal.append(&payload(4)).unwrap(), 4);
        let waiter: CommitWaiter = journal.commit_waiter();
        while !matches!(journal.state(), JournalState::Full) {
            std::thread::yield_now();
        }
        let told = journal.wait_synced_blocking(4, Duration::from_millis(1));
        assert!(matches!(told, Err(JournalError::Full)), "{told:?}");
        assert!(matches!(journal.append(b"refused"), Err(JournalError::Full)));
        assert_eq!((journal.synced_seq(), journal.pending_bytes()), (3, 1 + payload(4).len() as u64));
        refuse(None);
        waiter.wait().unwrap();
        journal.accepting().unwrap();
        append_each(&journal, 1);
        journal.shutdown(PATIENCE).unwrap();
        assert_eq!(read_all(dir.path()), expected(5));
    }
}

#[test]
fn shutting_down_with_a_group_the_disk_has_no_room_for_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, disk) = open_faulty(dir.path());
    append_each(&journal, 3);
    disk.fail_writes(Some(ENOSPC));
    journal.append(&payload(4)).unwrap();
    let waiter = journal.commit_waiter();
    while !matches!(journal.state(), JournalState::Full) {
        std::thread::yield_now();
    }
    assert!(matches!(journal.shutdown(Duration::from_millis(1)), Err(JournalError::Full)));
    assert!(matches!(waiter.wait(), Err(JournalError::Full)));
    drop(journal);
    let (_journal, report) = open_small(dir.path());
    assert_eq!(report.last_seq, 3);
    assert!(report.dropped_tail_bytes > 0);
}

#[test]
fn a_broken_disk_ends_the_journal_and_is_never_tried_again() {
    for at_sync in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (journal, disk) = open_faulty(dir.path());
        append_each(&journal, 3);
        let refuse = |errno| if at_sync { disk.fail_syncs(errno) } else { disk.fail_writes(errno) };
        refuse(Some(EIO));
        journal.append(&payload(4)).unwrap();
        assert!(matches!(journal.commit_waiter().wait(), Err(JournalError::Failed { .. })));
        assert!(matches!(journal.wait_synced_blocking(4, PATIENCE), Err(JournalError::Failed { .. })));
        refuse(None);
        let calls = disk.syncs();
        assert!(matches!(journal.state(), JournalState::Ended(JournalError::Failed { .. })));
        assert!(matches!(journal.append(b"x"), Err(JournalError::Failed { .. })));
        assert!(matches!(journal.shutdown(PATIENCE), Err(JournalError::Failed { .. })));
        assert_eq!(journal.synced_seq(), 3);
        // The thread that prepares room may have been at a sync of its own.
        assert!((calls..=calls + 1).contains(&disk.syncs()), "{} after {calls}", disk.syncs());
        drop(journal);
        let (_journal, report) = open_small(dir.path());
        assert!((3..=4).contains(&report.last_seq) && !report.clean);
    }
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let tries = [
        (JournalOptions { segment_bytes: 1000, ..small() }, "segment_bytes"),
        (JournalOptions { chunk_bytes: 100, ..small() }, "chunk_bytes"),
        (JournalOptions { headroom_bytes: 512, ..small() }, "headroom_bytes"),
        (JournalOptions { frame_bytes: 17 << 20, ..small() }, "frame_bytes"),
    ];
    for (options, field) in tries {
        let told = Journal::open(dir.path(), options).unwrap_err();
        assert!(matches!(told, JournalError::BadOption { name, .. } if name == field), "{told}");
    }
}
