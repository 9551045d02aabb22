//! A snapshot of what the events up to one of them fold to, beside the segments, so that those before it can go. It is one
//! file of opaque entries in frames like those of segments, chained and counted. It refuses to know what an entry means.
//!
//! Numbers are little-endian.
//! ```text
//! header, 88 bytes: magic 8 | version u16 | zero u16 | covers_seq u64 | of the segment in which the event behind it lies: first_seq u64,
//!                   base u64, previous chain 16 | entries u64 | bytes of the file u64 | chain 16 | crc32c of the 84 before it
//! frames: as in a segment, with the number of the first entry in place of the event's
//! ```
//! The header is written last, then the file is synced and gets its name: one that has its name is whole, and whatever is
//! changed in it afterwards shows.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::catalog::{self, read_up_to};
use super::error::JournalError;
use super::segment::{
    Chain, FORMAT_VERSION, FRAME_HEAD_BYTES, chain_of, frame_len, next_chain, parse_frame, push_event, seal_frame,
    split_event, u32_at, u64_at,
};
use super::storage::{Storage, StorageFile};

/// Name of a snapshot that is being written.
pub(super) const NEW_NAME: &str = "snap.new";

const MAGIC: [u8; 8] = *b"ODDSSNAP";
const HEADER_BYTES: usize = 88;
/// Size from which a frame is written out.
const FRAME_BYTES: usize = 256 << 10;

/// A snapshot being written.
pub struct SnapshotWriter {
    dir: PathBuf,
    storage: Arc<dyn Storage>,
    file: Box<dyn StorageFile>,
    pos: u64,
    chain: Chain,
    /// Spare bytes for the head, then entries not written yet, and the number of the first of them.
    frame: Vec<u8>,
    first: u64,
    entries: u64,
}

/// A snapshot whose header holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The file.
    pub path: PathBuf,
    /// The last event in it.
    pub covers_seq: u64,
    /// Its entries.
    pub entries: u64,
    /// Its length.
    pub bytes: u64,
    /// First event of the segment in which the event behind it lies.
    pub(super) first_seq: u64,
    pub(super) base: u64,
    pub(super) previous: Chain,
    chain: Chain,
}

impl SnapshotWriter {
    /// Begins one in the journal directory `dir`; one that was begun before is forgotten.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn create(dir: &Path, storage: Arc<dyn Storage>) -> Result<Self, JournalError> {
        let path = dir.join(NEW_NAME);
        let file = storage.create(&path).map_err(|error| JournalError::io("create", &path, error))?;
        let frame = vec![0; FRAME_HEAD_BYTES];
        let (pos, dir) = (HEADER_BYTES as u64, dir.to_owned());
        Ok(Self { dir, storage, file, pos, chain: Chain::default(), frame, first: 1, entries: 0 })
    }

    /// Takes one entry.
    ///
    /// # Errors
    /// [`JournalError::Io`]: the snapshot is to be dropped.
    pub fn push(&mut self, entry: &[u8]) -> Result<(), JournalError> {
        push_event(&mut self.frame, entry);
        self.entries += 1;
        if self.frame.len() < FRAME_BYTES { Ok(()) } else { self.write_frame() }
    }

    /// Ends it: these are the entries that the events up to `covers_seq` fold to, which must be durable. Removes every older
    /// snapshot.
    ///
    /// # Errors
    /// [`JournalError::Io`], and those of reading the segments: the snapshot is to be dropped.
    pub fn finish(mut self, covers_seq: u64) -> Result<Snapshot, JournalError> {
        self.write_frame()?;
        let segments = catalog::load(&self.dir)?;
        let next = segments.iter().rfind(|segment| segment.header.first_seq <= covers_seq + 1);
        let next = next.ok_or(JournalError::Gone { seq: covers_seq + 1, first_seq: 0 })?.header.clone();
        let path = self.dir.join(file_name(covers_seq));
        let snapshot = Snapshot {
            path,
            covers_seq,
            entries: self.entries,
            bytes: self.pos,
            first_seq: next.first_seq,
            base: next.base,
            previous: next.previous,
            chain: self.chain,
        };
        let new = self.dir.join(NEW_NAME);
        let done = || {
            self.file.write_all_at(&snapshot.header(), 0)?;
            self.file.sync_data()?;
            self.storage.rename(&new, &snapshot.path)?;
            self.storage.sync_dir(&self.dir)
        };
        done().map_err(|error| JournalError::io("write", &snapshot.path, error))?;
        for path in paths(&self.dir)?.into_iter().filter(|path| *path < snapshot.path) {
            self.storage.remove(&path).map_err(|error| JournalError::io("remove", &path, error))?;
        }
        Ok(snapshot)
    }

    fn write_frame(&mut self) -> Result<(), JournalError> {
        if self.frame.len() == FRAME_HEAD_BYTES {
            return Ok(());
        }
        self.chain = seal_frame(&mut self.frame, self.first, &self.chain);
        let written = self.file.write_all_at(&self.frame, self.pos);
        written.map_err(|error| JournalError::io("write", &self.dir.join(NEW_NAME), error))?;
        self.pos += self.frame.len() as u64;
        self.frame.truncate(FRAME_HEAD_BYTES);
        self.first = self.entries + 1;
        Ok(())
    }
}

impl std::fmt::Debug for SnapshotWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SnapshotWriter").field("entries", &self.entries).finish_non_exhaustive()
    }
}

/// The snapshots in the journal directory `dir`, newest first; of one whose header does not hold, why.
///
/// # Errors
/// [`JournalError::Io`]: the directory cannot be listed.
pub fn snapshots(dir: &Path) -> Result<Vec<Result<Snapshot, JournalError>>, JournalError> {
    Ok(paths(dir)?.iter().rev().map(|path| Snapshot::open(path)).collect())
}

impl Snapshot {
    fn open(path: &Path) -> Result<Self, JournalError> {
        let refused = |error| JournalError::io("read", path, error);
        let file = File::open(path).map_err(refused)?;
        let length = file.metadata().map_err(refused)?.len();
        let mut bytes = [0; HEADER_BYTES];
        read_up_to(&file, &mut bytes, 0).map_err(refused)?;
        let damaged = |why| Err(damaged(path, 0, 0, why));
        if bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..84]) != u32_at(&bytes, 84) {
            return damaged("the header of the snapshot does not hold");
        }
        let found = u16::from_le_bytes([bytes[8], bytes[9]]);
        if found > FORMAT_VERSION {
            return Err(JournalError::NewerFormat { segment: shown(path), found, known: FORMAT_VERSION });
        }
        let snapshot = Self {
            covers_seq: u64_at(&bytes, 12),
            first_seq: u64_at(&bytes, 20),
            base: u64_at(&bytes, 28),
            previous: chain_of(&bytes[36..52]),
            entries: u64_at(&bytes, 52),
            bytes: u64_at(&bytes, 60),
            chain: chain_of(&bytes[68..84]),
            path: path.to_owned(),
        };
        if shown(path) != file_name(snapshot.covers_seq) {
            return damaged("the header and the file name disagree");
        }
        if length != snapshot.bytes {
            return damaged("the snapshot does not have its length");
        }
        Ok(snapshot)
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[36..52].copy_from_slice(&self.previous);
        bytes[68..84].copy_from_slice(&self.chain);
        let numbers = [self.covers_seq, self.first_seq, self.base, self.entries, self.bytes];
        for (at, number) in [12, 20, 28, 52, 60].into_iter().zip(numbers) {
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes[..84]);
        bytes[84..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Gives every entry to `visit`, in order, each frame checked before its entries are given.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] naming the snapshot, [`JournalError::Io`], and whatever `visit` says.
    pub fn read<E: From<JournalError>>(&self, mut visit: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let file = File::open(&self.path).map_err(|error| JournalError::io("open", &self.path, error))?;
        let (mut offset, mut entries, mut chain) = (HEADER_BYTES as u64, 0, Chain::default());
        while offset < self.bytes {
            let bytes = self.frame_at(&file, offset)?;
            let first = entries + 1;
            let damaged = |why| damaged(&self.path, offset, first, why);
            let frame = parse_frame(&bytes).ok_or_else(|| damaged("a frame of the snapshot does not hold"))?;
            if frame.first_seq != first || frame.chain != next_chain(&chain, frame.body) {
                return Err(damaged("the frames of the snapshot do not follow each other").into());
            }
            let mut body = frame.body;
            while !body.is_empty() {
                let entry = split_event(&mut body).ok_or_else(|| damaged("the entries do not fill the frame"))?;
                visit(entry)?;
                entries += 1;
            }
            chain = frame.chain;
            offset += bytes.len() as u64;
        }
        if (entries, chain) != (self.entries, self.chain) {
            return Err(damaged(&self.path, offset, entries, "the snapshot does not hold all its entries").into());
        }
        Ok(())
    }

    /// Reads every byte of it.
    ///
    /// # Errors
    /// As [`Snapshot::read`].
    pub fn check(&self) -> Result<(), JournalError> {
        self.read(|_| Ok(()))
    }

    /// What it says of the record, for a sentence.
    #[must_use]
    pub fn name(&self) -> String {
        shown(&self.path)
    }

    fn frame_at(&self, file: &File, offset: u64) -> Result<Vec<u8>, JournalError> {
        let refused = |error| JournalError::io("read", &self.path, error);
        let mut head = vec![0; FRAME_HEAD_BYTES];
        read_up_to(file, &mut head, offset).map_err(refused)?;
        let len = frame_len(&head).filter(|len| offset + *len as u64 <= self.bytes);
        let len = len.ok_or_else(|| damaged(&self.path, offset, 0, "a frame of the snapshot does not hold"))?;
        let mut bytes = vec![0; len];
        read_up_to(file, &mut bytes, offset).map_err(refused)?;
        Ok(bytes)
    }
}

fn damaged(path: &Path, offset: u64, seq: u64, why: &'static str) -> JournalError {
    JournalError::Damaged { segment: shown(path), offset, seq, why }
}

fn shown(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn file_name(covers_seq: u64) -> String {
    format!("{covers_seq:020}.snap")
}

/// All snapshot files, the oldest first.
fn paths(dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let refused = |error| JournalError::io("list", dir, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(refused)? {
        let path = entry.map_err(refused)?.path();
        found.extend(path.extension().is_some_and(|end| end == "snap").then_some(path));
    }
    found.sort();
    Ok(found)
}
