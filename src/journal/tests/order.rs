//! Without faults: order, groups, segments, locations, reading beside a writer, format.

use std::sync::Arc;
use std::thread;

use proptest::prelude::*;

use super::super::segment::{self, event_bytes, push_event, split_event};
use super::super::{Journal, JournalReader, Location, verify};
use super::*;

#[test]
fn events_come_back_in_order_across_segments_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), 40);
    write_events(dir.path(), 30);
    write_events_and_die(dir.path(), 30);
    let (journal, report) = open_small(dir.path());
    assert_eq!((report.first_seq, report.last_seq, report.dropped_tail_bytes, report.clean), (1, 100, 0, false));
    assert_eq!(report.segments, 3);
    assert_eq!(journal.append(b"next").unwrap(), 101);
    journal.shutdown(PATIENCE).unwrap();
    drop(journal);
    let mut all = expected(100);
    all.push(b"next".to_vec());
    assert_eq!(read_all(dir.path()), all);
    let checked = verify(dir.path()).unwrap();
    assert_eq!((checked.events, checked.first_seq, checked.last_seq, checked.problems.len()), (101, 1, 101, 0));
    let (_journal, report) = open_small(dir.path());
    assert!(report.clean);
    assert_eq!(report.head_chain_hex, checked.head_chain_hex);
}

#[test]
fn a_new_journal_has_exactly_the_bytes_the_format_says() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open_small(dir.path());
    assert_eq!(journal.append_all(&[b"ab", b""]).unwrap(), 1);
    journal.shutdown(PATIENCE).unwrap();
    let bytes = fs::read(dir.path().join("00000000000000000001.seg")).unwrap();
    assert_eq!(&bytes[..12], b"ODDSJRNL\x01\0\0\0");
    assert_eq!(bytes[12..44], [&[1][..], &[0; 31]].concat());
    let body = b"\x02ab\x00";
    let chain = blake3::hash(&[&[0; 16][..], body].concat());
    assert_eq!(bytes[48..52], 36_u32.to_le_bytes());
    let crc = crc32c::crc32c(&[&bytes[48..52], &bytes[56..84]].concat());
    assert_eq!(bytes[52..56], crc.to_le_bytes());
    assert_eq!(bytes[56..64], 1_u64.to_le_bytes());
    assert_eq!(bytes[64..80], chain.as_bytes()[..16]);
    assert_eq!(&bytes[80..84], body);
    // The marker: a frame without events.
    assert_eq!(bytes[84..88], 32_u32.to_le_bytes());
    assert_eq!(bytes[92..100], 3_u64.to_le_bytes());
    assert!(bytes[116..].iter().all(|byte| *byte == 0));
}

#[test]
fn finished_segments_are_cut_to_size_and_the_active_one_is_zeroed_ahead() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), 200);
    let paths = segment_paths(dir.path());
    assert!(paths.len() > 4);
    for (index, path) in paths.iter().enumerate() {
        let (start, len) = *frames(path).last().unwrap();
        let file_bytes = fs::metadata(path).unwrap().len() as usize;
        assert!(file_bytes <= 2048);
        if index + 1 < paths.len() {
            assert_eq!((len, start + len), (32, file_bytes), "{path:?}");
        } else {
            assert!(file_bytes > start + len);
        }
    }
}

#[test]
fn restarts_without_events_add_one_marker_only() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        write_events(dir.path(), 0);
    }
    assert_eq!(frames(&segment_paths(dir.path())[0]), [(48, 32)]);
    // The largest event still fits behind it.
    let (journal, _) = open_small(dir.path());
    let largest = vec![7; 2048 - 48 - 32 - 32 - 1 - 32 - 2];
    journal.append(&largest).unwrap();
    assert!(matches!(
        journal.append(&[&largest[..], &[7]].concat()),
        Err(JournalError::TooLarge { bytes: 1904, max_bytes: 1903 })
    ));
    journal.append(&largest).unwrap();
    journal.shutdown(PATIENCE).unwrap();
    assert_eq!(read_all(dir.path()), [largest.clone(), largest]);
}

#[test]
fn every_location_reads_its_event_while_the_writer_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open_small(dir.path());
    let reader = JournalReader::open(dir.path()).unwrap();
    let mut last = None;
    for seq in 1..=120 {
        assert_eq!(journal.append(&payload(seq)).unwrap(), seq);
        if seq % 3 == 0 {
            journal.wait_synced_blocking(seq, PATIENCE).unwrap();
            let location = journal.locate(seq - 1).unwrap();
            let entry = reader.read_at(Location::from_u64(location.to_u64())).unwrap();
            assert_eq!((entry.seq, entry.payload), (seq - 1, payload(seq - 1)));
            assert!(last.replace(location) < Some(location));
        }
    }
    assert_eq!(journal.locate(121), None);
    journal.shutdown(PATIENCE).unwrap();
    for entry in JournalReader::open(dir.path()).unwrap().entries() {
        let entry = entry.unwrap();
        assert_eq!(reader.read_at(entry.location).unwrap(), entry);
        assert_eq!(reader.locate(entry.seq).unwrap(), Some(entry.location));
        assert_eq!(journal.locate(entry.seq), Some(entry.location));
    }
    assert_eq!(reader.locate(121).unwrap(), None);
    for bad in [0, 1 << 20, 49 << 20 | 5, u64::MAX] {
        let told = reader.read_at(Location::from_u64(bad));
        assert!(matches!(told, Err(JournalError::NoSuchEvent { .. } | JournalError::Damaged { .. })), "{told:?}");
    }
    let tail: Vec<_> = reader.read_from(117).unwrap().map(|entry| entry.unwrap().seq).collect();
    assert_eq!(tail, [117, 118, 119, 120]);
}

#[test]
fn reading_after_a_moment_begins_in_the_segment_where_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), 200);
    let reader = JournalReader::open(dir.path()).unwrap();
    let number = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).unwrap();
        text.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
    };
    for wanted in [1, 2, 57, 117, 200, 300] {
        let read: Vec<u64> = reader.read_after(|b| number(b) < wanted).unwrap().map(|e| e.unwrap().seq).collect();
        assert_eq!(read.last(), Some(&200));
        assert!(read[0] <= wanted && (wanted == 1 || read[0] < wanted), "{wanted}: from {}", read[0]);
        assert!(wanted - read[0].min(wanted) < 140, "{wanted}: from {}, which is segments away", read[0]);
        assert!(wanted < 117 || read[0] > 1, "{wanted}: from the beginning");
    }
}

#[test]
fn a_reader_beside_a_busy_writer_sees_a_prefix_and_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open_small(dir.path());
    thread::scope(|scope| {
        scope.spawn(|| append_each(&journal, 1500));
        let mut seen = 0;
        while seen < 1500 {
            let entries = read_all(dir.path());
            assert_eq!(entries, expected(entries.len() as u64));
            assert!(entries.len() >= seen);
            let report = verify(dir.path()).unwrap();
            assert!(report.problems.is_empty(), "{report:?}");
            seen = entries.len();
        }
    });
}

#[test]
fn events_removed_by_retention_are_said_to_be_gone() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), 100);
    let paths = segment_paths(dir.path());
    fs::remove_file(&paths[0]).unwrap();
    let (_journal, report) = open_small(dir.path());
    assert!(report.first_seq > 1 && report.last_seq == 100);
    let reader = JournalReader::open(dir.path()).unwrap();
    assert!(
        matches!(reader.read_from(1), Err(JournalError::Gone { seq: 1, first_seq }) if first_seq == report.first_seq)
    );
    assert_eq!(reader.read_from(report.first_seq).unwrap().count() as u64, 101 - report.first_seq);
}

#[test]
fn many_threads_get_distinct_numbers_and_every_waiter_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), JournalOptions::default()).unwrap();
    let journal = Arc::new(journal);
    let mut seqs: Vec<u64> = thread::scope(|scope| {
        let work = || {
            let one = |round: u64| {
                let seq = journal.append_all(&[b"first", b"second"]).unwrap();
                if round.is_multiple_of(2) {
                    journal.commit_waiter().wait().unwrap();
                } else {
                    journal.wait_synced_blocking(seq + 1, PATIENCE).unwrap();
                }
                assert!(journal.synced_seq() > seq);
                seq
            };
            (0..100).map(one).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    seqs.sort_unstable();
    assert_eq!(seqs, (0..1600).map(|index| index * 2 + 1).collect::<Vec<_>>());
    assert_eq!(journal.pending_bytes(), 0);
    journal.shutdown(PATIENCE).unwrap();
    assert_eq!(
        read_all(dir.path()),
        [b"first".to_vec(), b"second".to_vec()].into_iter().cycle().take(3200).collect::<Vec<_>>()
    );
}

#[test]
#[should_panic(expected = "INV-JOURNAL-1")]
fn a_location_beyond_its_bits_is_a_programmer_error() {
    let _ = Location::new(1 << 44, 0);
}

#[test]
#[should_panic(expected = "INV-JOURNAL-2")]
fn a_frame_beyond_its_size_is_a_programmer_error() {
    let _ = segment::seal_frame(&mut vec![0; segment::MAX_FRAME_BYTES + 1], 1, &[0; 16]);
}

proptest! {
    #[test]
    fn any_batches_in_any_layout_come_back(
        batches in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..4), 1..40),
        segment_bytes in 1024_u64..5000,
        chunk_bytes in 512_u64..3000,
        frame_bytes in 33_usize..3000,
        restarts in prop::collection::vec(any::<bool>(), 40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let options = JournalOptions { segment_bytes, chunk_bytes, frame_bytes, headroom_bytes: 100, ..small() };
        let (mut journal, _) = Journal::open(dir.path(), options.clone()).unwrap();
        for (batch, restart) in batches.iter().zip(&restarts) {
            let payloads: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
            journal.append_all(&payloads).unwrap();
            if *restart {
                journal.shutdown(PATIENCE).unwrap();
                drop(journal);
                journal = Journal::open(dir.path(), options.clone()).unwrap().0;
            }
        }
        drop(journal);
        prop_assert_eq!(read_all(dir.path()), batches.concat());
        prop_assert!(verify(dir.path()).unwrap().problems.is_empty());
    }

    #[test]
    fn event_framing_round_trips(payload in prop::collection::vec(any::<u8>(), 0..300), behind in any::<u8>()) {
        let mut bytes = Vec::new();
        push_event(&mut bytes, &payload);
        prop_assert_eq!(bytes.len(), event_bytes(&payload));
        bytes.push(behind);
        let mut rest = &bytes[..];
        prop_assert_eq!(split_event(&mut rest), Some(&payload[..]));
        prop_assert_eq!(rest, &[behind][..]);
    }
}
