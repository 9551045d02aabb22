//! Packs finished segments: byte for byte the same, in half the space. The packed file is synced under its name before the plain
//! one goes, so a crash at any moment leaves the segment in one of them or in both; where both are there, the plain one counts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::catalog::{self, Segment, sealed_bytes};
use super::error::JournalError;
use super::packed::{EXTENSION, Index, SegmentFile, blocks};
use super::storage::{Storage, StorageFile};

/// Name of a packed segment that is being written.
pub(super) const NEW_NAME: &str = "pack.new";

/// A segment being packed.
pub struct Packing {
    dir: PathBuf,
    storage: Arc<dyn Storage>,
    segment: Segment,
    plain: SegmentFile,
    new: Box<dyn StorageFile>,
    index: Index,
    /// Blocks not packed yet, the next one last.
    left: Vec<(u64, usize)>,
    /// Where the next one goes.
    pos: u64,
}

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedSegment {
    /// File name of the segment.
    pub name: String,
    /// Its length before, in bytes.
    pub before: u64,
    /// Its length now, in bytes.
    pub after: u64,
}

impl Packing {
    /// Begins to pack the oldest finished segment in the journal directory `dir` that is not packed, where there is one; what was
    /// begun before is forgotten.
    ///
    /// # Errors
    /// As [`super::JournalReader::open`].
    pub fn begin(dir: &Path, storage: Arc<dyn Storage>) -> Result<Option<Self>, JournalError> {
        let segments = catalog::load(dir)?;
        for pair in segments.windows(2) {
            let (segment, bytes) = (pair[0].clone(), sealed_bytes(&pair[0], &pair[1]));
            if segment.path.extension().is_some_and(|end| end == EXTENSION) {
                continue;
            }
            let refused = |error| JournalError::io("read", &segment.path, error);
            let plain = SegmentFile::open(&segment.path)?;
            // The thread that prepares room is still to cut the space behind its end.
            if plain.len().map_err(refused)? != bytes {
                continue;
            }
            // Left behind by a crash before the plain one went.
            let twice = segment.path.with_extension(EXTENSION);
            if twice.exists() {
                storage.remove(&twice).map_err(|error| JournalError::io("remove", &twice, error))?;
            }
            let path = dir.join(NEW_NAME);
            let new = storage.create(&path).map_err(|error| JournalError::io("create", &path, error))?;
            let mut left = blocks(bytes);
            let pos = Index::blocks_at(left.len());
            left.reverse();
            let (dir, index) = (dir.to_owned(), Index::new(bytes));
            return Ok(Some(Self { dir, storage, segment, plain, new, index, left, pos }));
        }
        Ok(None)
    }

    /// Packs up to `most` blocks more, of 256 KiB each. Returns whether there are more.
    ///
    /// # Errors
    /// [`JournalError::Io`], [`JournalError::Damaged`]: it is to be dropped.
    pub fn go_on(&mut self, most: usize) -> Result<bool, JournalError> {
        for (offset, len) in self.left.split_off(self.left.len().saturating_sub(most)).into_iter().rev() {
            let mut block = vec![0; len];
            let read = self.plain.read_up_to(&mut block, offset);
            if read.map_err(|error| JournalError::io("read", &self.segment.path, error))? < len {
                let seq = self.segment.header.first_seq;
                return Err(self.segment.damaged(offset, seq, "it was cut while it was packed"));
            }
            let packed = self.index.deflate(&block);
            let packed =
                packed.ok_or_else(|| JournalError::Failed { why: "a block does not inflate as it was".into() })?;
            self.write(&packed, self.pos)?;
            self.pos += packed.len() as u64;
        }
        Ok(!self.left.is_empty())
    }

    /// Length of the segment, in bytes: more than packing it takes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.index.bytes()
    }

    /// Gives back the space of a packing in the journal directory `dir` that was given up.
    pub fn discard(dir: &Path, storage: &dyn Storage) {
        // Where that fails it goes with the next start, or is written over.
        let _ = storage.remove(&dir.join(NEW_NAME));
    }

    /// Puts the packed segment, which must have everything, in the place of the plain one. `None` where that was removed
    /// meanwhile: then both go.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the segment is whole in any case.
    pub fn finish(self) -> Result<Option<PackedSegment>, JournalError> {
        if !self.segment.path.exists() {
            Self::discard(&self.dir, self.storage.as_ref());
            return Ok(None);
        }
        self.write(&self.index.encode(), 0)?;
        let path = self.segment.path.with_extension(EXTENSION);
        let named = || {
            self.new.sync_data()?;
            self.storage.rename(&self.dir.join(NEW_NAME), &path)?;
            self.storage.sync_dir(&self.dir)
        };
        named().map_err(|error| JournalError::io("write", &path, error))?;
        let removed = self.storage.remove(&self.segment.path).and_then(|()| self.storage.sync_dir(&self.dir));
        removed.map_err(|error| JournalError::io("remove", &self.segment.path, error))?;
        Ok(Some(PackedSegment { name: self.segment.name, before: self.index.bytes(), after: self.pos }))
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<(), JournalError> {
        let written = self.new.write_all_at(bytes, at);
        written.map_err(|error| JournalError::io("write", &self.dir.join(NEW_NAME), error))
    }
}

impl std::fmt::Debug for Packing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Packing").field("segment", &self.segment.name).finish_non_exhaustive()
    }
}
