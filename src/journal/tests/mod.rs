//! The journal under everything that can happen to it. Helpers shared by the tests below.

mod damage;
mod disk;
mod kill;
mod order;
mod packed;
mod power;
mod refusal;
mod snapshot;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Journal, JournalError, JournalOptions, JournalReader, OpenReport};

/// Longer than any wait in these tests should take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything small, so that a few events fill chunks and segments.
fn small() -> JournalOptions {
    JournalOptions {
        segment_bytes: 2048,
        chunk_bytes: 512,
        headroom_bytes: 128,
        frame_bytes: 400,
        retry_every: Duration::from_millis(1),
        linger: Duration::from_millis(2),
    }
}

fn open_small(dir: &Path) -> (Journal, OpenReport) {
    Journal::open(dir, small()).unwrap()
}

/// An event that tells its number and has a length of its own.
fn payload(seq: u64) -> Vec<u8> {
    let mut bytes = format!("event {seq} ").into_bytes();
    bytes.resize(bytes.len() + (seq % 23) as usize, b'.');
    bytes
}

/// Appends that many events, each in a group of its own, and shuts down cleanly.
fn write_events(dir: &Path, count: u64) {
    let (journal, _) = open_small(dir);
    append_each(&journal, count);
    journal.shutdown(PATIENCE).unwrap();
}

/// As [`write_events`], but ends like a killed process: without the marker.
fn write_events_and_die(dir: &Path, count: u64) {
    let (journal, _) = open_small(dir);
    append_each(&journal, count);
}

fn append_each(journal: &Journal, count: u64) {
    for _ in 0..count {
        let seq = journal.append(&payload(journal.synced_seq() + 1)).unwrap();
        journal.wait_synced_blocking(seq, PATIENCE).unwrap();
    }
}

/// All payloads in order; panics when sequence numbers are not 1, 2, 3 … or anything is damaged.
fn read_all(dir: &Path) -> Vec<Vec<u8>> {
    try_read_all(dir).unwrap()
}

fn try_read_all(dir: &Path) -> Result<Vec<Vec<u8>>, JournalError> {
    let mut payloads = Vec::new();
    for (index, entry) in JournalReader::open(dir)?.entries().enumerate() {
        let entry = entry?;
        assert_eq!(entry.seq, index as u64 + 1);
        payloads.push(entry.payload);
    }
    Ok(payloads)
}

fn expected(count: u64) -> Vec<Vec<u8>> {
    (1..=count).map(payload).collect()
}

/// Segment files, oldest first.
fn segment_paths(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    paths.sort();
    paths
}

/// Copies the files of a journal into another directory, which is emptied first.
fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(to).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// Starts and lengths of the frames of a segment, found from the format's description alone.
fn frames(path: &Path) -> Vec<(usize, usize)> {
    let bytes = fs::read(path).unwrap();
    let (mut at, mut found) = (48, Vec::new());
    while let Some(raw) = bytes.get(at..at + 4) {
        let len = u32::from_le_bytes(raw.try_into().unwrap()) as usize;
        if len == 0 {
            break;
        }
        found.push((at, len));
        at += len;
    }
    found
}

/// Replaces a file. A new one, because writing over an emptied one makes some file systems wait for the disk.
fn put(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}
