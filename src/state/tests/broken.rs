//! Whatever happens to the stored files, the process goes on and ends with the digest of the journal.

use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt as _;

use super::script::{fresh_seed, rng};
use super::steps::{entries, facts, numbered};
use crate::domain::call::CallNo;
use crate::engine::hydrate::ColdStore as _;
use crate::journal::pb;
use crate::state::keys::{Kind, SLOT_BITS};
use crate::state::load::{FORMAT, OLDEST_FORMAT};
use crate::state::open::config;
use crate::state::seal;
use crate::state::{Opened, SledStore, StoreError, catch_up, digest, digest_of_fold};

/// Copies that are damaged; more were tried when this was written.
const ROUNDS: u32 = 40;

type Entries = Vec<Result<(u64, Vec<u8>), String>>;

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
    files.sort();
    files
}

/// Copies a folder, which may be at work: a file that its owner renames meanwhile is left out.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else if let Err(error) = fs::copy(&path, target) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{path:?}: {error}");
        }
    }
}

/// Names, lengths and times of change.
fn stamps(dir: &Path) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let stamp = |path: PathBuf| {
        let of = fs::metadata(&path).ok()?;
        Some((path, of.len(), of.modified().unwrap()))
    };
    files(dir).into_iter().filter_map(stamp).collect()
}

/// Copies the files of a store at work as they stand at one moment, as a kill leaves them: a copy during which sled wrote is of
/// no moment, and is made again.
fn copy_of_a_moment(from: &Path, to: &Path) {
    for _ in 0..1_000 {
        let before = stamps(from);
        copy(from, to);
        if stamps(from) == before && files(to).len() == before.len() {
            return;
        }
        fs::remove_dir_all(to).unwrap();
    }
    panic!("{from:?} never rests");
}

/// Opens, catches up, and checks the digest; returns whether the state was set aside on the way.
fn recover(dir: &Path, entries: &Entries, whole: [u8; 32], what: &str) -> bool {
    let mut aside = false;
    for _ in 0..3 {
        let opened = SledStore::open(dir).unwrap_or_else(|e| panic!("{what}: {e}"));
        aside |= opened.set_aside.is_some();
        let mut state = opened.state.unwrap_or_else(Opened::blank);
        let caught = catch_up(&mut state, &opened.store, entries.iter().cloned());
        match caught.map(|_| digest(&state, &opened.store)) {
            Ok(Ok(found)) => {
                assert_eq!(found, whole, "{what}: silently served");
                return aside;
            }
            Ok(Err(_)) | Err(_) => aside = true, // Found out late: the next opening sets it aside.
        }
    }
    panic!("{what}: does not come back");
}

struct Original {
    _keep: tempfile::TempDir,
    root: PathBuf,
    entries: Entries,
    whole: [u8; 32],
}

/// A state written in several steps and closed.
fn original(seed: u64) -> Original {
    let facts = facts(seed, 3_000);
    let entries = entries(&facts);
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path().to_owned();
    let mut state = Opened::blank();
    let store = SledStore::open(&root.join("whole")).unwrap().store;
    let pieces = entries.len() / 5 + 1;
    for until in (pieces..entries.len()).step_by(pieces).chain([entries.len()]) {
        catch_up(&mut state, &store, entries[..until].iter().cloned()).unwrap();
    }
    // A copy taken while the process is at work, and one taken after it closed.
    copy_of_a_moment(&root.join("whole"), &root.join("killed"));
    store.close().unwrap();
    Original { _keep: keep, root, entries, whole: digest_of_fold(numbered(&facts)) }
}

#[test]
fn flipped_and_cut_files_are_found_and_rebuilt() {
    let seed = fresh_seed();
    println!("seed {seed}");
    let of = original(11);
    let mut rng = rng(seed);
    let mut asides = 0;
    for round in 0..ROUNDS {
        let from = if round % 2 == 0 { "killed" } else { "whole" };
        let dir = of.root.join(format!("copy-{round}"));
        copy(&of.root.join(from), &dir);
        let files = files(&dir);
        let db = files.iter().find(|f| f.ends_with("db")).unwrap().clone();
        let file = if round % 4 < 3 { db } else { files[rng.random_range(0..files.len())].clone() };
        let mut bytes = fs::read(&file).unwrap();
        if bytes.is_empty() {
            continue;
        }
        let used = bytes.iter().rposition(|b| *b != 0).unwrap_or(0) + 1;
        let what = match round % 3 {
            0 => {
                bytes.truncate(rng.random_range(0..bytes.len()));
                format!("round {round} {from}: {file:?} cut to {}", bytes.len())
            }
            1 => {
                let at = rng.random_range(0..used);
                bytes[at] ^= 1 << rng.random_range(0..8);
                format!("round {round} {from}: {file:?} flipped at {at} of {used}")
            }
            _ => {
                let at = rng.random_range(0..used);
                let end = (at + 4096).min(bytes.len());
                bytes[at..end].fill(0);
                format!("round {round} {from}: {file:?} a page of zeros at {at} of {used}")
            }
        };
        fs::write(&file, bytes).unwrap();
        asides += u32::from(recover(&dir, &of.entries, of.whole, &what));
        fs::remove_dir_all(&dir).unwrap();
    }
    println!("{asides} of {ROUNDS} set aside");
    assert!(asides > 2, "the damage must have been noticed: {asides}");
}

#[test]
fn lost_and_half_written_files_are_no_reason_not_to_start() {
    let of = original(12);
    let lost = |name: &str, change: &dyn Fn(&Path)| {
        let dir = of.root.join(name);
        copy(&of.root.join("killed"), &dir);
        change(&dir);
        recover(&dir, &of.entries, of.whole, name)
    };
    lost("conf lost", &|dir| fs::remove_file(dir.join("conf")).unwrap());
    lost("db lost", &|dir| fs::remove_file(dir.join("db")).unwrap());
    lost("note lost", &|dir| fs::remove_file(dir.join("oddsmaker-state")).unwrap());
    lost("note garbled", &|dir| fs::write(dir.join("oddsmaker-state"), [0xff, 0]).unwrap());
    let half = lost("half snapshot", &|dir| fs::write(dir.join("snap.0000000000000000.generating"), []).unwrap());
    assert!(!half, "a half-written snapshot alone costs nothing");
    lost("snapshots lost", &|dir| {
        for file in files(dir).iter().filter(|f| f.file_name().unwrap().to_string_lossy().starts_with("snap.")) {
            fs::remove_file(file).unwrap();
        }
    });
}

#[test]
fn a_record_missing_or_too_many_is_found_in_a_state_that_was_moved() {
    let of = original(13);
    for (name, remove) in [("missing", true), ("too many", false)] {
        let dir = of.root.join(name);
        copy(&of.root.join("whole"), &dir);
        let db = config(&dir).open().unwrap();
        let key = db.scan_prefix([0, 0, 0, 0, b'p']).keys().nth(7).unwrap().unwrap();
        let value = if remove { db.remove(&key).unwrap() } else { db.insert(b"\0\0\0\0x", &[1, 2][..]).unwrap() };
        assert_eq!(value.is_some(), remove);
        drop(db);
        assert!(recover(&dir, &of.entries, of.whole, name), "{name} must be noticed");
    }
}

#[test]
fn a_record_found_broken_at_work_is_no_crash_loop() {
    let of = original(16);
    let dir = of.root.join("whole");
    drop(SledStore::open(&dir).unwrap());
    let db = config(&dir).open().unwrap();
    let key = db.scan_prefix([0, 0, 0, 0, b'p']).keys().next().unwrap().unwrap();
    let mut value = db.get(&key).unwrap().unwrap().to_vec();
    value[9] ^= 4;
    db.insert(&key, value).unwrap();
    drop(db);
    // The file is the one that was left at work, so it is not read through.
    let opened = SledStore::open(&dir).unwrap();
    assert!(opened.set_aside.is_none());
    let number = u64::from_be_bytes(key[5..].try_into().unwrap()) << SLOT_BITS;
    assert!(opened.store.health().is_ok());
    assert_eq!(opened.store.call(CallNo(number)), None);
    assert!(matches!(opened.store.health(), Err(StoreError::Broken(_))), "nobody may take that for an answer");
    drop(opened);
    assert!(recover(&dir, &of.entries, of.whole, "broken at work"), "the next opening reads everything");
}

#[test]
fn a_state_that_opens_empty_although_it_was_filled_is_told() {
    let of = original(14);
    let dir = of.root.join("killed");
    for file in files(&dir).iter().filter(|file| !file.ends_with("oddsmaker-filled")) {
        fs::remove_file(file).unwrap();
    }
    let opened = SledStore::open(&dir).unwrap();
    let (why, _) = opened.set_aside.as_ref().expect("set aside");
    assert_eq!(why, "it opened empty, although something was stored in it");
    assert!(opened.state.is_none());
    drop(opened);
    assert!(
        SledStore::open(&dir).unwrap().set_aside.is_none(),
        "an empty one that was never filled is nothing to tell"
    );
}

#[test]
fn a_state_of_another_format_is_set_aside_and_built_anew() {
    let of = original(17);
    let told_as = |format: u32| {
        let dir = of.root.join(format!("format-{format}"));
        copy(&of.root.join("whole"), &dir);
        let db = config(&dir).open().unwrap();
        let key = Kind::Meta.prefix();
        let mut meta: pb::Meta = seal::unseal(&key, &db.get(&key).unwrap().unwrap()).unwrap();
        meta.format_version = format;
        db.insert(key.as_slice(), seal::seal(&key, &meta)).unwrap();
        dir
    };
    for format in OLDEST_FORMAT..=FORMAT {
        assert!(SledStore::open(&told_as(format)).unwrap().set_aside.is_none(), "format {format}");
    }
    for format in [OLDEST_FORMAT - 1, FORMAT + 1] {
        let dir = told_as(format);
        let (why, _) = SledStore::open(&dir).unwrap().set_aside.expect("set aside");
        assert_eq!(why, format!("its records have format {format}, this program's {FORMAT}"));
        recover(&dir, &of.entries, of.whole, "another format");
    }
}

/// As a program of another version might leave them: sealed, and in a form this one cannot read.
#[test]
fn a_record_that_does_not_decode_is_found_when_the_state_is_opened() {
    let of = original(18);
    for kind in [Kind::Page, Kind::Goal, Kind::Key] {
        let dir = of.root.join(format!("{kind:?}"));
        copy(&of.root.join("whole"), &dir);
        let db = config(&dir).open().unwrap();
        let (key, old) = db.scan_prefix(kind.prefix()).next().unwrap().unwrap();
        let new = match kind {
            Kind::Page => {
                seal::seal(&key, &pb::CallPage { calls: vec![pb::Call { traits: u32::MAX, ..pb::Call::default() }] })
            }
            Kind::Goal => seal::seal(&key, &pb::Goal { entries: vec![1, 2, 3, 4], ..pb::Goal::default() }),
            _ => seal::seal(&key, &pb::NameText { text: "x".to_owned() }),
        };
        // Nothing is missing and nothing too many: only its form is wrong.
        let mut meta: pb::Meta =
            seal::unseal(&Kind::Meta.prefix(), &db.get(Kind::Meta.prefix()).unwrap().unwrap()).unwrap();
        let sum = u128::from_be_bytes(meta.records_sum[..].try_into().unwrap());
        let sum = sum.wrapping_sub(seal::share(&key, &old)).wrapping_add(seal::share(&key, &new));
        meta.records_sum = sum.to_be_bytes().to_vec();
        db.insert(&key, new).unwrap();
        db.insert(Kind::Meta.prefix(), seal::seal(&Kind::Meta.prefix(), &meta)).unwrap();
        drop(db);
        assert!(SledStore::open(&dir).unwrap().set_aside.is_some(), "{kind:?}");
        recover(&dir, &of.entries, of.whole, "not to be decoded");
    }
}

#[test]
fn a_store_that_failed_is_not_closed_as_if_it_were_whole() {
    let of = original(19);
    let dir = of.root.join("whole");
    let store = SledStore::open(&dir).unwrap().store;
    let failed: Result<(), _> = store.careful(|| Err(StoreError::Broken("a sync failed".to_owned())));
    assert!(failed.is_err() && !dir.join("oddsmaker-state").exists());
    assert!(matches!(store.close(), Err(StoreError::Broken(_))));
    assert!(!dir.join("oddsmaker-state").exists(), "the next opening checks every record");
}

#[test]
fn at_most_two_broken_states_are_kept() {
    let of = original(14);
    let dir = of.root.join("state");
    for _ in 0..4 {
        copy(&of.root.join("whole"), &dir);
        let db = config(&dir).open().unwrap();
        assert!(db.remove(b"\0\0\0\0m").unwrap().is_some(), "the record that says where the state stands");
        drop(db);
        let opened = SledStore::open(&dir).unwrap();
        assert!(opened.state.is_none() && opened.set_aside.is_some());
        drop(opened);
        fs::remove_dir_all(&dir).unwrap();
    }
    let names = fs::read_dir(&of.root).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut broken: Vec<String> = names.filter(|n| n.starts_with("state.broken-")).collect();
    broken.sort();
    assert_eq!(broken, ["state.broken-3", "state.broken-4"]);
}

#[test]
fn a_newer_format_and_a_second_process_are_refused_and_nothing_is_touched() {
    let of = original(15);
    let dir = of.root.join("whole");
    let held = SledStore::open(&dir).unwrap();
    assert!(matches!(SledStore::open(&dir), Err(StoreError::InUse(_))));
    drop(held);
    let note = dir.join("oddsmaker-state");
    let newer =
        fs::read_to_string(&note).unwrap().replace(&format!("format {FORMAT}"), &format!("format {}", FORMAT + 1));
    fs::write(&note, newer).unwrap();
    let before: Vec<_> = files(&dir).iter().map(|f| (f.clone(), fs::read(f).unwrap())).collect();
    assert!(
        matches!(SledStore::open(&dir), Err(StoreError::Newer { found, known: FORMAT, .. }) if found == FORMAT + 1)
    );
    let after: Vec<_> = files(&dir).iter().map(|f| (f.clone(), fs::read(f).unwrap())).collect();
    assert_eq!(before, after);
}
