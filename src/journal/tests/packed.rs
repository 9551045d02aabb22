//! Packed segments: the same events at the same places, over power cuts at every call, full disks and flipped bytes.

use std::sync::Arc;

use super::super::{Location, PackedSegment, Packing, SnapshotWriter, prune, verify};
use super::disk::{ENOSPC, FaultyDisk};
use super::*;

const EVENTS: u64 = 120;

/// Packs the next segment, a block at a time.
fn pack_next(dir: &Path, disk: &FaultyDisk) -> Result<Option<PackedSegment>, JournalError> {
    let Some(mut packing) = Packing::begin(dir, Arc::new(disk.clone()))? else { return Ok(None) };
    while packing.go_on(1)? {}
    packing.finish()
}

fn pack_all(dir: &Path, disk: &FaultyDisk) -> Result<Vec<PackedSegment>, JournalError> {
    let mut packed = Vec::new();
    while let Some(segment) = pack_next(dir, disk)? {
        packed.push(segment);
    }
    Ok(packed)
}

fn packed_paths(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "pack"));
    paths.sort();
    paths
}

fn bytes_of(paths: &[PathBuf]) -> u64 {
    paths.iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn all_but_the_last_segment_take_less_and_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), EVENTS);
    let before = segment_paths(dir.path());
    let entries: Vec<_> = JournalReader::open(dir.path()).unwrap().entries().map(Result::unwrap).collect();
    let told = verify(dir.path()).unwrap();
    let whole: Vec<_> = before.iter().map(|path| fs::read(path).unwrap()).collect();
    let packed = pack_all(dir.path(), &FaultyDisk::default()).unwrap();

    assert_eq!(packed.len(), before.len() - 1);
    assert_eq!(segment_paths(dir.path()), before[before.len() - 1..]);
    let sizes = |of: fn(&PackedSegment) -> u64| packed.iter().map(of).sum::<u64>();
    assert_eq!(sizes(|p| p.before), bytes_of_all(&whole[..packed.len()]));
    assert_eq!(sizes(|p| p.after), bytes_of(&packed_paths(dir.path())));
    let reader = JournalReader::open(dir.path()).unwrap();
    assert_eq!(reader.entries().map(Result::unwrap).collect::<Vec<_>>(), entries, "places included");
    for entry in &entries {
        let location = Location::from_u64(entry.location.to_u64());
        assert_eq!(&reader.read_at(location).unwrap(), entry);
        assert_eq!(reader.read_from(entry.seq).unwrap().next().unwrap().unwrap(), *entry);
    }
    let again = verify(dir.path()).unwrap();
    assert!(again.problems.is_empty() && again.bytes < told.bytes, "{again:?}");
    assert_eq!((again.segments, again.events, again.frames), (told.segments, told.events, told.frames));
    assert_eq!(again.head_chain_hex, told.head_chain_hex);
    let (journal, report) = open_small(dir.path());
    assert_eq!((report.first_seq, report.last_seq, report.segments), (1, EVENTS, before.len()));
    append_each(&journal, 80);
    journal.shutdown(PATIENCE).unwrap();
    assert!(!pack_all(dir.path(), &FaultyDisk::default()).unwrap().is_empty());
    assert_eq!(read_all(dir.path()), expected(EVENTS + 80));
}

fn bytes_of_all(whole: &[Vec<u8>]) -> u64 {
    whole.iter().map(|bytes| bytes.len() as u64).sum()
}

/// Segments of more than one block, whose events do not deflate.
#[test]
fn a_large_segment_is_packed_in_blocks_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions { segment_bytes: 1_500_000, ..JournalOptions::default() };
    let (journal, _) = Journal::open(dir.path(), options).unwrap();
    let noise = |seq: u64| {
        let mut bytes = vec![0; 5_000 + seq as usize];
        blake3::Hasher::new().update(&seq.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    };
    for seq in 1..=400 {
        journal.append(&noise(seq)).unwrap();
        journal.wait_synced_blocking(seq, PATIENCE).unwrap();
    }
    journal.shutdown(PATIENCE).unwrap();
    let mut packing = Packing::begin(dir.path(), Arc::new(FaultyDisk::default())).unwrap().unwrap();
    let mut turns = 1;
    while packing.go_on(2).unwrap() {
        turns += 1;
    }
    let packed = packing.finish().unwrap().unwrap();
    assert_eq!(turns, 4, "header, six blocks of 256 KiB at most, and the marker, two at a time");
    assert!(packed.after < packed.before + packed.before / 500, "noise takes hardly more: {packed:?}");
    assert_eq!(read_all(dir.path()), (1..=400).map(noise).collect::<Vec<_>>());
}

/// Every call of packing may be the last one.
#[test]
fn a_power_cut_at_every_call_leaves_each_segment_in_one_form_at_least() {
    let original = tempfile::tempdir().unwrap();
    write_events(original.path(), EVENTS);
    let segments = segment_paths(original.path()).len();
    let dir = tempfile::tempdir().unwrap();
    copy_dir(original.path(), dir.path());
    let disk = FaultyDisk::default();
    pack_all(dir.path(), &disk).unwrap();
    let (mut both, mut packed) = (0, Vec::new());
    for cut in 1..=disk.calls() {
        for lost in [false, true] {
            copy_dir(original.path(), dir.path());
            let disk = FaultyDisk::default();
            disk.power_off_at(cut);
            pack_all(dir.path(), &disk).unwrap_err();
            disk.lose_unsynced(|| lost);
            both += usize::from(packed_paths(dir.path()).len() + segment_paths(dir.path()).len() > segments);
            let (journal, report) = Journal::open(dir.path(), small()).unwrap();
            drop(journal);
            assert!(!dir.path().join("pack.new").exists(), "cut {cut}");
            assert_eq!((report.last_seq, report.segments), (EVENTS, segments), "cut {cut}");
            assert_eq!(read_all(dir.path()), expected(EVENTS), "cut {cut}");
            assert!(verify(dir.path()).unwrap().problems.is_empty(), "cut {cut}");
            packed.push(packed_paths(dir.path()).len());
            pack_all(dir.path(), &FaultyDisk::default()).unwrap();
            assert_eq!(
                (packed_paths(dir.path()).len(), segment_paths(dir.path()).len()),
                (segments - 1, 1),
                "cut {cut}"
            );
        }
    }
    assert!(both > 1, "some cuts leave a segment in both forms");
    packed.dedup();
    assert_eq!(*packed.last().unwrap(), segments - 1);
}

/// A segment that was left in both forms goes in both, or the packed one would stand before a gap.
#[test]
fn a_segment_in_both_forms_is_removed_whole() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), EVENTS);
    let plain = segment_paths(dir.path());
    let first = fs::read(&plain[0]).unwrap();
    pack_all(dir.path(), &FaultyDisk::default()).unwrap();
    put(&plain[0], &first);
    let disk = FaultyDisk::default();
    let mut snapshot = SnapshotWriter::create(dir.path(), Arc::new(disk.clone())).unwrap();
    snapshot.push(b"all of it").unwrap();
    let snapshot = snapshot.finish(EVENTS).unwrap();
    let removed = prune::remove(dir.path(), &disk, &snapshot, |_| true).unwrap();
    assert_eq!(removed, plain.len() - 1);
    assert!(packed_paths(dir.path()).is_empty());
    assert!(verify(dir.path()).unwrap().problems.is_empty());
}

/// A snapshot may take the place of a segment while that is packed: it must not come back before a gap.
#[test]
fn a_segment_that_is_removed_while_it_is_packed_stays_away() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), EVENTS);
    let disk = FaultyDisk::default();
    let mut packing = Packing::begin(dir.path(), Arc::new(disk.clone())).unwrap().unwrap();
    while packing.go_on(1).unwrap() {}
    let mut snapshot = SnapshotWriter::create(dir.path(), Arc::new(disk.clone())).unwrap();
    snapshot.push(b"all of it").unwrap();
    prune::remove(dir.path(), &disk, &snapshot.finish(EVENTS).unwrap(), |_| true).unwrap();
    assert_eq!(packing.finish().unwrap(), None);
    assert!(packed_paths(dir.path()).is_empty() && !dir.path().join("pack.new").exists());
    assert!(verify(dir.path()).unwrap().problems.is_empty());
}

#[test]
fn a_full_disk_leaves_the_segment_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), EVENTS);
    let disk = FaultyDisk::default();
    disk.set_capacity(Some(100));
    let Err(JournalError::Io { source, .. }) = pack_next(dir.path(), &disk) else { panic!("there is no room") };
    assert_eq!(source.raw_os_error(), Some(ENOSPC));
    assert_eq!(read_all(dir.path()), expected(EVENTS));
    drop(open_small(dir.path()));
    assert!(!dir.path().join("pack.new").exists(), "the next start removes what is unfinished");
}

#[test]
fn a_changed_byte_anywhere_in_a_packed_segment_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), EVENTS);
    pack_all(dir.path(), &FaultyDisk::default()).unwrap();
    let path = packed_paths(dir.path()).remove(1);
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let bytes = fs::read(&path).unwrap();
    let told = |what: &str| {
        let problems = verify(dir.path()).unwrap().problems;
        let told = |p: &JournalError| matches!(p, JournalError::Damaged { segment, .. } if *segment == name);
        assert!(!problems.is_empty() && problems.iter().all(told), "{what}: {problems:?}");
        assert!(try_read_all(dir.path()).is_err(), "{what}");
    };
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        put(&path, &flipped);
        told(&format!("byte {at}"));
    }
    for cut in [0, 20, 40, bytes.len() - 1] {
        put(&path, &bytes[..cut]);
        told(&format!("cut to {cut}"));
    }
    let mut flipped = bytes.clone();
    let last = bytes.len() - 1;
    flipped[last] ^= 1;
    put(&path, &flipped);
    let problem = verify(dir.path()).unwrap().problems.remove(0);
    assert!(
        matches!(problem, JournalError::Damaged { offset, .. } if offset > 60),
        "where the block begins: {problem}"
    );
    put(&path, &[&bytes[..], b"x"].concat());
    told("one byte more");
    put(&path, &bytes);
    assert_eq!(read_all(dir.path()), expected(EVENTS));
    fs::remove_file(&path).unwrap();
    assert!(try_read_all(dir.path()).is_err() && !verify(dir.path()).unwrap().problems.is_empty(), "one is missing");
}

/// Whoever listed the segments before goes on with what took their place.
#[test]
fn a_reader_goes_on_beside_packing() {
    let dir = tempfile::tempdir().unwrap();
    write_events(dir.path(), EVENTS);
    let reader = JournalReader::open(dir.path()).unwrap();
    let mut entries = reader.entries();
    let first = entries.next().unwrap().unwrap();
    pack_all(dir.path(), &FaultyDisk::default()).unwrap();
    let rest: Vec<_> = entries.map(|entry| entry.unwrap().payload).collect();
    assert_eq!([vec![first.payload], rest].concat(), expected(EVENTS));
    assert_eq!(reader.read_at(first.location).unwrap().seq, 1);
}
