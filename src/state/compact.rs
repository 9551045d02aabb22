//! Writes the store anew beside itself and puts the new one in its place: sled never gives back what its file once took.
//! The old folder stays until the new one is whole and on the disk, and whatever is interrupted is swept away
//! at the next opening. It refuses to know when that pays for a daemon at work (see `service::upkeep`).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::copying::{self, Copying, Target};
use super::error::StoreError;
use super::keys::Kind;
use super::open::{config, released, running};
use super::quiet::{self, Last};
use super::store::SledStore;
use super::{load, trust};

/// A store is wasteful when its files are larger than so many halves of its records (a new one takes twice them: sled empties
/// a segment of its file only once half of it is waste) …
const WASTE_HALVES: u64 = 5;

/// … and than this many bytes.
const WASTE_FROM_BYTES: u64 = 64 << 20;

/// Records copied at a time where nobody waits.
const ALL_AT_ONCE: usize = 10_000;

/// Records put in place at a time: of 270,000 records of 56 MB, files of 121 MB came in batches of 1,000 to 5,000, of 150 MB one
/// by one, and of 147 MB in batches of 30,000.
const BATCH: usize = 1_000;

/// Bytes the new store keeps in memory while it is written; each key is written once, in order.
const CACHE_BYTES: u64 = 8 << 20;

/// The folder beside `state` in which it is written anew.
fn beside(state: &Path, end: &str) -> PathBuf {
    let name = state.file_name().unwrap_or_default().to_string_lossy();
    state.with_file_name(format!("{name}.{end}"))
}

/// The new store, not yet whole.
#[derive(Debug)]
pub(super) struct Fresh {
    db: sled::Db,
    /// What is to be put in place next, and how much that is.
    batch: (sled::Batch, usize),
    dir: PathBuf,
    /// Behind `db`, so that it goes last.
    last: Last<sled::Db>,
}

impl Fresh {
    fn open(dir: &Path) -> Result<Self, StoreError> {
        let config = config(dir).cache_capacity(CACHE_BYTES);
        let db = caught(dir, || Ok(config.open()?))?;
        Ok(Self { last: Last::of(db.clone()), db, batch: Default::default(), dir: dir.to_owned() })
    }

    /// Puts what was taken in place. Written out at once: only then are emptied parts of the file used again.
    fn put_in_place(&mut self) -> Result<(), StoreError> {
        let (batch, _) = std::mem::take(&mut self.batch);
        caught(&self.dir, || {
            self.db.apply_batch(batch)?;
            Ok(self.db.flush().map(drop)?)
        })
    }

    fn close(mut self) -> Result<(), StoreError> {
        self.put_in_place()?;
        let Self { db, dir, last, .. } = self;
        drop(db);
        last.let_go().map_err(|panic| StoreError::panicked(&dir, panic))?;
        released(&dir)
    }
}

impl Target for Fresh {
    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let (batch, records) = &mut self.batch;
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
        *records += 1;
        if *records < BATCH { Ok(()) } else { self.put_in_place() }
    }
}

impl SledStore {
    /// Bytes of all records with their keys, and of the files that hold them.
    ///
    /// # Errors
    /// [`StoreError::Broken`]: the files cannot be seen.
    pub fn weight(&self) -> Result<(u64, u64), StoreError> {
        let files = self.careful(|| Ok(self.db.size_on_disk()?))?;
        Ok((self.written().total.bytes, files))
    }

    /// Begins to write the store anew, in a folder beside it. What is begun already goes on.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] or [`StoreError::Io`]: the folder cannot be made. Nothing happened to the store.
    pub fn begin_compaction(&self) -> Result<(), StoreError> {
        let mut compacting = copying::inside(&self.compacting);
        if compacting.is_none() {
            let dir = beside(&self.dir, "new");
            remove(&dir).and_then(|()| fs::create_dir(&dir)).map_err(|source| StoreError::io(&dir, source))?;
            *compacting = Some(Copying::new(Fresh::open(&dir)?));
        }
        Ok(())
    }

    /// Whether the store is being written anew.
    #[must_use]
    pub fn is_compacting(&self) -> bool {
        copying::inside(&self.compacting).is_some()
    }

    /// Gives up writing the store anew, and the room it took.
    pub fn abandon_compaction(&self) {
        if let Some(copying) = copying::inside(&self.compacting).take() {
            drop(copying);
            // What stays is removed at the next attempt, or the next opening.
            let _ = remove(&beside(&self.dir, "new"));
        }
    }

    /// Copies up to `most` records more. Returns whether there is more to copy. Not to be called beside a commit.
    ///
    /// # Errors
    /// As [`SledStore::begin_compaction`]; the copy is given up. The store itself failed if [`SledStore::health`] says so.
    pub fn compact_on(&self, most: usize) -> Result<bool, StoreError> {
        let done = match copying::inside(&self.compacting).as_mut() {
            Some(copying) => copying::go_on(self, copying, most),
            None => Ok(false),
        };
        if done.is_err() {
            self.abandon_compaction();
        }
        done
    }

    /// Puts the copy, which must have everything, in the place of this store, which takes no more: what it still answers is
    /// right until something is committed to the one returned. Not to be called beside a commit.
    ///
    /// # Errors
    /// [`StoreError::Broken`], [`StoreError::NoRoom`], [`StoreError::Io`]. This store may have lost its place: it is to be
    /// opened again.
    pub fn change_over(&self) -> Result<Self, StoreError> {
        let copying = copying::inside(&self.compacting).take();
        let (mut fresh, total) = copying.ok_or_else(|| StoreError::broken("nothing was copied"))?.finished()?;
        let (new, mut written) = (fresh.dir.clone(), self.written().clone());
        if (total.records, total.sum) != (written.total.records, written.total.sum) {
            return Err(StoreError::broken("the copy does not hold the records of the store"));
        }
        written.total = total;
        let meta_key = Kind::Meta.prefix();
        let meta = self.careful(|| Ok(self.db.get(&meta_key)?))?;
        if let Some(meta) = meta {
            fresh.put(&meta_key, Some(&meta))?;
        }
        fresh.close()?;
        trust::mark_filled(&new).and_then(|()| sync_below(&new)).map_err(|source| StoreError::io(&new, source))?;
        swap(&self.dir, &new).map_err(|source| StoreError::io(&self.dir, source))?;
        let config = config(&self.dir);
        let db = caught(&self.dir, || Ok(config.open()?))?;
        let stands = caught(&self.dir, || Ok(load::meta(&db)?.map(|meta| meta.applied_seq)))?;
        let store = Self::new(db, &self.dir, written);
        if stands != self.careful(|| Ok(load::meta(&self.db)?.map(|meta| meta.applied_seq)))? {
            return Err(StoreError::broken("the copy does not open as it was written"));
        }
        *store.erasing() = std::mem::take(&mut *self.erasing());
        *copying::inside(&store.snapshot) = copying::inside(&self.snapshot).take();
        running(&self.dir)?;
        remove(&beside(&self.dir, "old")).map_err(|source| StoreError::io(&self.dir, source))?;
        Ok(store)
    }

    /// Writes the whole store anew and goes on with the new one.
    ///
    /// # Errors
    /// As [`SledStore::change_over`].
    pub fn compacted(self) -> Result<Self, StoreError> {
        self.begin_compaction()?;
        while self.compact_on(ALL_AT_ONCE)? {}
        self.change_over()
    }
}

/// Whether files of so many bytes are worth writing anew for the sake of records of so many.
#[must_use]
pub fn is_wasteful((records, files): (u64, u64)) -> bool {
    files > WASTE_FROM_BYTES.max(records.saturating_mul(WASTE_HALVES) / 2)
}

/// Sweeps away what an interrupted change-over left: the old store has its place back unless the new one has taken it.
pub(super) fn sweep(state: &Path) -> io::Result<()> {
    let (new, old) = (beside(state, "new"), beside(state, "old"));
    if old.exists() && !state.exists() {
        fs::rename(&old, state)?;
        sync_parent(state)?;
    }
    remove(&new)?;
    remove(&old)
}

/// The new folder takes the place of the old one. At every moment one of them is whole under a name that [`sweep`] knows.
fn swap(state: &Path, new: &Path) -> io::Result<()> {
    let old = beside(state, "old");
    remove(&old)?;
    fs::rename(state, &old)?;
    fs::rename(new, state)?;
    sync_parent(state)
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        told => told,
    }
}

/// Makes a folder with all that is in it durable.
fn sync_below(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_below(&entry.path())?,
            false => File::open(entry.path())?.sync_all()?,
        }
    }
    File::open(dir)?.sync_all()
}

fn sync_parent(dir: &Path) -> io::Result<()> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// A panic of sled over `dir` becomes an error.
fn caught<T>(dir: &Path, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    quiet::catch(work).unwrap_or_else(|panic| Err(StoreError::panicked(dir, panic)))
}
