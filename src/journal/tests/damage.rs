//! Torn tails, flipped bytes, lost files: dropped and reported, or refused with the place; never served.

use std::sync::Arc;

use super::super::verify;
use super::disk::FaultyDisk;
use super::*;

/// Opens a damaged copy and checks that nothing but a prefix of at least `safe` events is ever served.
/// Returns the report, `None` when it was refused.
fn open_damaged(dir: &Path, total: u64, safe: u64) -> Option<OpenReport> {
    let checked = verify(dir).unwrap();
    // Without real syncs: thousands of copies are opened.
    match Journal::open_with(dir, small(), Arc::new(FaultyDisk::default())) {
        Ok((journal, report)) => {
            assert!((safe..=total).contains(&report.last_seq), "{report:?}");
            assert_eq!(checked.torn_tail_bytes, report.dropped_tail_bytes);
            assert!(checked.problems.is_empty(), "{checked:?}");
            append_each(&journal, 1);
            journal.shutdown(PATIENCE).unwrap();
            drop(journal);
            assert_eq!(read_all(dir), expected(report.last_seq + 1));
            assert!(verify(dir).unwrap().problems.is_empty());
            Some(report)
        }
        Err(JournalError::Damaged { .. }) => {
            assert!(matches!(checked.problems[0], JournalError::Damaged { .. }), "{checked:?}");
            None
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_tail_torn_at_any_length_is_dropped_and_reported() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_events_and_die(dir.path(), 10);
    let path = segment_paths(dir.path()).pop().unwrap();
    let bytes = fs::read(&path).unwrap();
    let (start, len) = *frames(&path).last().unwrap();
    let copied = copy.path().join(path.file_name().unwrap());
    for kept in 0..=len {
        for zero_filled in [true, false] {
            copy_dir(dir.path(), copy.path());
            let mut torn = bytes[..start + kept].to_vec();
            if zero_filled {
                torn.resize(bytes.len(), 0);
            }
            put(&copied, &torn);
            let report = open_damaged(copy.path(), 10, 9).unwrap();
            // The last byte of an event is never zero, those of a length can be.
            let whole = kept == len;
            assert_eq!(report.last_seq, if whole { 10 } else { 9 }, "kept {kept}");
            assert_eq!(report.dropped_tail_bytes > 0, kept > 0 && !whole, "kept {kept}");
            assert!(report.dropped_tail_bytes <= kept as u64);
        }
    }
}

#[test]
fn a_last_group_whose_first_sectors_never_arrived_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    write_events_and_die(dir.path(), 10);
    let path = segment_paths(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let (start, len) = *frames(&path).last().unwrap();
    bytes[start..start + 20].fill(0);
    fs::write(&path, bytes).unwrap();
    let report = open_damaged(dir.path(), 10, 9).unwrap();
    assert_eq!((report.last_seq, report.dropped_tail_bytes), (9, len as u64));
}

#[test]
fn what_is_dropped_is_zeroed_so_that_shorter_groups_can_follow() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open_small(dir.path());
    append_each(&journal, 2);
    journal.append(&[0xEE; 350]).unwrap();
    drop(journal);
    let path = segment_paths(dir.path())[0].clone();
    let mut bytes = fs::read(&path).unwrap();
    let (start, len) = frames(&path)[2];
    bytes[start + 33] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let report = open_damaged(dir.path(), 3, 2).unwrap();
    assert_eq!(report.dropped_tail_bytes, len as u64);
    let (_journal, report) = open_small(dir.path());
    assert_eq!((report.last_seq, report.dropped_tail_bytes, report.clean), (3, 0, true));
}

/// Flips every byte of every file in turn. Returns how often the journal opened, and checks that it then had lost nothing
/// but, when `may_lose_last`, the last event.
fn flip_everything(dir: &Path, total: u64, may_lose_last: bool) -> usize {
    let copy = tempfile::tempdir().unwrap();
    let last_path = segment_paths(dir).pop().unwrap();
    let data_end = frames(&last_path).last().map(|(start, len)| start + len).unwrap();
    let mut opened = 0;
    for path in segment_paths(dir) {
        let bytes = fs::read(&path).unwrap();
        let is_last = path == last_path;
        // Of the zeros behind the data a few stand for all.
        let end = if is_last { (data_end + 40).min(bytes.len()) } else { bytes.len() };
        for at in 0..end {
            copy_dir(dir, copy.path());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            put(&copy.path().join(path.file_name().unwrap()), &flipped);
            // A finished segment is checked whole when it is read, its ends when it is opened.
            if !is_last {
                assert!(matches!(try_read_all(copy.path()), Err(JournalError::Damaged { .. })), "{path:?} byte {at}");
                assert!(!verify(copy.path()).unwrap().problems.is_empty(), "{path:?} byte {at}");
                continue;
            }
            if let Some(report) = open_damaged(copy.path(), total, total - 1) {
                opened += 1;
                assert!(report.dropped_tail_bytes > 0, "byte {at}");
                assert!(report.last_seq == total || may_lose_last, "byte {at}");
            }
        }
    }
    opened
}

#[test]
fn after_a_clean_stop_every_flipped_byte_is_refused_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), 45);
    assert_eq!(segment_paths(dir.path()).len(), 2);
    // The marker's 32 bytes and the 40 zeros tried: nothing is lost.
    assert_eq!(flip_everything(dir.path(), 45, false), 32 + 40);
}

#[test]
fn after_a_kill_only_the_last_group_can_be_taken_for_a_torn_write() {
    let dir = tempfile::tempdir().unwrap();
    write_events_and_die(dir.path(), 45);
    let (_, len) = *frames(&segment_paths(dir.path())[1]).last().unwrap();
    assert_eq!(flip_everything(dir.path(), 45, true), len + 40);
}

#[test]
fn damage_names_its_place() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), 20);
    let path = segment_paths(dir.path())[0].clone();
    let mut bytes = fs::read(&path).unwrap();
    let (start, _) = frames(&path)[6];
    bytes[start + 40] ^= 1;
    fs::write(&path, bytes).unwrap();
    let told = Journal::open(dir.path(), small()).unwrap_err().to_string();
    let want = format!(
        "the journal is damaged: segment 00000000000000000001.seg, byte {start}, event 7: a bad frame with whole ones behind it"
    );
    assert_eq!(told, want);
    let report = verify(dir.path()).unwrap();
    assert_eq!(report.problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [want]);
    assert_eq!((report.events, report.last_seq), (6, 6));
}

#[test]
fn a_rewritten_event_with_a_right_checksum_breaks_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    write_events_and_die(dir.path(), 5);
    let path = segment_paths(dir.path())[0].clone();
    let mut bytes = fs::read(&path).unwrap();
    let (start, len) = frames(&path)[4];
    bytes[start + len - 1] ^= 1;
    let frame = &bytes[start..start + len];
    let crc = crc32c::crc32c(&[&frame[..4], &frame[8..]].concat());
    bytes[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    assert!(open_damaged(dir.path(), 5, 5).is_none());
}

#[test]
fn a_missing_or_swapped_segment_is_refused() {
    let (dir, copy, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_events(dir.path(), 120);
    let paths = segment_paths(dir.path());
    assert!(paths.len() >= 4);
    // The first may go by retention; every other one may not.
    for path in &paths[1..] {
        copy_dir(dir.path(), copy.path());
        fs::remove_file(copy.path().join(path.file_name().unwrap())).unwrap();
        assert!(open_damaged(copy.path(), 120, 120).is_none(), "{path:?}");
    }
    // A segment of another journal, of the same size and numbers.
    let (journal, _) = open_small(other.path());
    for seq in 1..=120 {
        journal.append(&payload(seq).to_ascii_uppercase()).unwrap();
        journal.wait_synced_blocking(seq, PATIENCE).unwrap();
    }
    drop(journal);
    copy_dir(dir.path(), copy.path());
    fs::copy(&segment_paths(other.path())[1], copy.path().join(paths[1].file_name().unwrap())).unwrap();
    assert!(open_damaged(copy.path(), 120, 120).is_none());
}

#[test]
fn a_finished_segment_cut_anywhere_is_refused() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_events(dir.path(), 45);
    let first = segment_paths(dir.path())[0].clone();
    let bytes = fs::read(&first).unwrap();
    // Zeros left over behind the end mark are trimmed in the background, maybe not yet; they hold nothing.
    let end = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
    for len in 0..end {
        copy_dir(dir.path(), copy.path());
        put(&copy.path().join(first.file_name().unwrap()), &bytes[..len]);
        assert!(open_damaged(copy.path(), 45, 45).is_none(), "cut to {len}");
    }
}

#[test]
fn an_emptied_segment_is_refused_since_a_crash_cannot_leave_one() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), 45);
    let last = segment_paths(dir.path()).pop().unwrap();
    for content in [vec![], vec![0; 20], vec![0; 512]] {
        fs::write(&last, content).unwrap();
        assert!(open_damaged(dir.path(), 45, 45).is_none());
    }
}

#[test]
fn a_prepared_segment_left_over_is_removed() {
    for content in [vec![], vec![0; 512], b"ODDSJRNL, half a header".to_vec()] {
        let dir = tempfile::tempdir().unwrap();
        write_events_and_die(dir.path(), 3);
        fs::write(dir.path().join("prepared.tmp"), content).unwrap();
        let (journal, report) = open_small(dir.path());
        assert_eq!((report.last_seq, report.dropped_tail_bytes), (3, 0));
        append_each(&journal, 100);
        drop(journal);
        assert_eq!(read_all(dir.path()), expected(103));
    }
}

#[test]
fn a_finished_segment_not_yet_cut_to_size_is_cut_at_open() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), 45);
    // The thread that cuts a finished segment may not have come to it; opening does it for certain.
    drop(open_small(dir.path()));
    let first = segment_paths(dir.path())[0].clone();
    let mut bytes = fs::read(&first).unwrap();
    let size = bytes.len();
    bytes.resize(2048, 0);
    fs::write(&first, &bytes).unwrap();
    assert!(verify(dir.path()).unwrap().problems.is_empty());
    assert_eq!(read_all(dir.path()), expected(45));
    drop(open_small(dir.path()));
    assert_eq!(fs::metadata(&first).unwrap().len() as usize, size);
    bytes[size + 5] = 1;
    fs::write(&first, &bytes).unwrap();
    assert!(open_damaged(dir.path(), 45, 45).is_none());
}

#[test]
fn a_newer_format_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    write_events_and_die(dir.path(), 3);
    let path = segment_paths(dir.path())[0].clone();
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..44]);
    bytes[44..48].copy_from_slice(&crc.to_le_bytes());
    // A torn tail, which this version must leave alone.
    let (start, len) = *frames(&path).last().unwrap();
    bytes[start + len - 1] ^= 1;
    fs::write(&path, &bytes).unwrap();
    fs::write(dir.path().join("prepared.tmp"), b"x").unwrap();
    let told = Journal::open(dir.path(), small()).unwrap_err();
    assert!(matches!(told, JournalError::NewerFormat { found: 2, known: 1, .. }), "{told}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert!(dir.path().join("prepared.tmp").exists());
}

#[test]
fn a_second_opener_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open_small(dir.path());
    assert!(matches!(Journal::open(dir.path(), small()), Err(JournalError::InUse { .. })));
    drop(journal);
    open_small(dir.path());
}
