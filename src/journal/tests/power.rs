//! Power cuts at every call the journal makes to the disk: what was acknowledged is there afterwards.

use std::sync::Arc;

use super::disk::{EIO, FaultyDisk};
use super::*;

/// A small generator (Steele et al., SplitMix64), so that a failing round can be run again from its number.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// Appends batches of two until the power fails or there are enough. Returns the events acknowledged and sent.
fn append_until_dark(dir: &Path, disk: &FaultyDisk, stored: u64, enough: u64) -> (u64, u64) {
    let opened = Journal::open_with(dir, small(), Arc::new(disk.clone()));
    let Ok((journal, _)) = opened else { return (stored, stored) };
    let (mut acknowledged, mut sent) = (stored, stored);
    while sent < enough {
        let (first, second) = (payload(sent + 1), payload(sent + 2));
        if journal.append_all(&[&first, &second]).is_err() {
            break;
        }
        sent += 2;
        if journal.wait_synced_blocking(sent, PATIENCE).is_ok() {
            acknowledged = sent;
        }
    }
    (acknowledged, sent)
}

/// One machine's life: power cuts at the given calls, one after another, on the same files.
fn live_through(seed: u64, cuts: &[u64]) {
    let dir = tempfile::tempdir().unwrap();
    let mut chance = SplitMix(seed);
    let mut stored = 0;
    for cut in cuts {
        let disk = FaultyDisk::default();
        disk.power_off_at(*cut);
        let (acknowledged, sent) = append_until_dark(dir.path(), &disk, stored, stored + 80);
        let bias = chance.next() % 4;
        disk.lose_unsynced(|| chance.next() % 4 <= bias);
        if segment_paths(dir.path()).is_empty() {
            assert_eq!(acknowledged, 0, "seed {seed} cut {cut}: the first segment is gone");
            continue;
        }
        let (journal, report) = Journal::open(dir.path(), small())
            .unwrap_or_else(|error| panic!("seed {seed} cut {cut} of {cuts:?}: {error}"));
        drop(journal);
        stored = report.last_seq;
        assert!((acknowledged..=sent).contains(&stored), "seed {seed} cut {cut}: {acknowledged} {stored} {sent}");
        assert_eq!(stored % 2, 0, "seed {seed} cut {cut}: half a batch");
        assert_eq!(read_all(dir.path()), expected(stored), "seed {seed} cut {cut}");
        assert!(super::super::verify(dir.path()).unwrap().problems.is_empty());
    }
}

#[test]
fn a_power_cut_at_every_call_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    append_until_dark(dir.path(), &disk, 0, 80);
    assert!(disk.calls() > 100 && segment_paths(dir.path()).len() > 1);
    for cut in 1..=disk.calls() {
        live_through(cut, &[cut]);
    }
}

#[test]
fn repeated_power_cuts_on_the_same_files_lose_nothing_acknowledged() {
    for seed in 0..60 {
        let mut chance = SplitMix(seed << 32);
        let cuts: Vec<u64> = (0..8).map(|_| 1 + chance.next() % 150).collect();
        live_through(seed, &cuts);
    }
}

#[test]
fn a_group_a_failed_sync_gave_up_is_written_again_before_it_is_built_upon() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let open = || Journal::open_with(dir.path(), small(), Arc::new(disk.clone())).unwrap();
    let (journal, _) = open();
    append_each(&journal, 3);
    disk.fail_syncs(Some(EIO));
    journal.append(&payload(4)).unwrap();
    assert!(journal.commit_waiter().wait().is_err());
    drop(journal);
    disk.fail_syncs(None);
    let (journal, report) = open();
    assert_eq!(report.last_seq, 4);
    append_each(&journal, 1);
    drop(journal);
    disk.lose_unsynced(|| true);
    assert_eq!(open().1.last_seq, 5);
    assert_eq!(read_all(dir.path()), expected(5));
}
