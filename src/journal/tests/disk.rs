//! A disk that can lose its power, fill up or break, on top of real files. What was not synced is remembered with what it
//! replaced, so that a power cut can take it back sector by sector.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::{DiskStorage, Storage, StorageFile};

const SECTOR: usize = 64;

#[derive(Clone, Default)]
pub(super) struct FaultyDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Per file: offset, replaced bytes (shorter when the file grew), length before.
    unsynced: BTreeMap<PathBuf, Vec<(u64, Vec<u8>, u64)>>,
    /// Writes that a failed sync gave up: readers still see them, no later sync brings them to the disk.
    given_up: BTreeMap<PathBuf, Vec<(u64, Vec<u8>, u64)>>,
    /// Renames whose directory was not synced.
    renamed: Vec<(PathBuf, PathBuf)>,
    /// Where the files opened are now.
    open_files: Vec<Arc<Mutex<PathBuf>>>,
    calls: u64,
    /// Number of the call from which on everything fails as if the machine were off.
    power_off_at: Option<u64>,
    /// Bytes of all files together beyond which writes fail.
    capacity: Option<u64>,
    fail_writes: Option<i32>,
    fail_syncs: Option<i32>,
    pub(super) syncs: u64,
}

/// EIO of `errno(3)`.
pub(super) const EIO: i32 = 5;
/// ENOSPC of `errno(3)`.
pub(super) const ENOSPC: i32 = 28;

impl FaultyDisk {
    pub(super) fn power_off_at(&self, call: u64) {
        self.0.lock().power_off_at = Some(call);
    }

    pub(super) fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    pub(super) fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    pub(super) fn fail_writes(&self, errno: Option<i32>) {
        self.0.lock().fail_writes = errno;
    }

    pub(super) fn fail_syncs(&self, errno: Option<i32>) {
        self.0.lock().fail_syncs = errno;
    }

    pub(super) fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// Takes back what was not synced, as `chance` decides for each sector and each rename.
    pub(super) fn lose_unsynced(&self, mut chance: impl FnMut() -> bool) {
        let mut state = self.0.lock();
        for (path, writes) in std::mem::take(&mut state.given_up) {
            let Ok(file) = OpenOptions::new().write(true).open(&path) else { continue };
            for (offset, replaced, _) in writes.into_iter().rev() {
                FileExt::write_all_at(&file, &replaced, offset).unwrap();
            }
        }
        for (path, writes) in std::mem::take(&mut state.unsynced) {
            let Ok(file) = OpenOptions::new().write(true).open(&path) else { continue };
            for (offset, replaced, len_before) in writes.into_iter().rev() {
                for (index, sector) in replaced.chunks(SECTOR).enumerate() {
                    if chance() {
                        FileExt::write_all_at(&file, sector, offset + (index * SECTOR) as u64).unwrap();
                    }
                }
                if file.metadata().unwrap().len() > len_before && chance() {
                    file.set_len(len_before).unwrap();
                }
            }
        }
        for (from, to) in std::mem::take(&mut state.renamed).into_iter().rev() {
            if chance() {
                fs::rename(to, from).unwrap();
            }
        }
    }
}

impl State {
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        match self.power_off_at {
            Some(at) if self.calls >= at => Err(io::Error::other("the power is off")),
            _ => Ok(()),
        }
    }
}

impl Storage for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.0.lock();
        state.call()?;
        state.unsynced.remove(path);
        drop(state);
        File::create(path)?;
        self.open(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.0.lock();
        state.call()?;
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let path = Arc::new(Mutex::new(path.to_owned()));
        state.open_files.push(Arc::clone(&path));
        Ok(Box::new(FaultyFile { disk: self.clone(), path, file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call()?;
        assert!(!to.exists(), "a segment would be overwritten");
        fs::rename(from, to)?;
        if let Some(writes) = state.unsynced.remove(from) {
            state.unsynced.insert(to.to_owned(), writes);
        }
        for open_file in &state.open_files {
            let mut path = open_file.lock();
            if *path == from {
                to.clone_into(&mut path);
            }
        }
        state.renamed.push((from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().call()?;
        DiskStorage.remove(path)
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call()?;
        state.renamed.clear();
        Ok(())
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    /// Changes when the file is renamed.
    path: Arc<Mutex<PathBuf>>,
    file: File,
}

impl StorageFile for FaultyFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let off = state.call().err();
        let path = self.path.lock().clone();
        let len_before = self.file.metadata()?.len();
        let grown = (offset + bytes.len() as u64).saturating_sub(len_before);
        let total = |path: &Path| -> u64 {
            fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
        };
        let full = state.capacity.is_some_and(|capacity| grown > 0 && total(&path) + grown > capacity);
        let refusal = if full { Some(ENOSPC) } else { state.fail_writes };
        // A refused write may have got half way.
        let failed = off.is_some() || refusal.is_some();
        let bytes = if failed { &bytes[..bytes.len() / 2] } else { bytes };
        let bytes = if full { &bytes[..0] } else { bytes };
        let mut replaced = vec![0; bytes.len()];
        let kept = self.file.read_at(&mut replaced, offset)?;
        replaced.truncate(kept);
        FileExt::write_all_at(&self.file, bytes, offset)?;
        let end = offset + bytes.len() as u64;
        if let Some(given_up) = state.given_up.get_mut(&path) {
            given_up.retain(|(at, old, _)| *at < offset || at + old.len() as u64 > end);
        }
        if !bytes.is_empty() {
            state.unsynced.entry(path).or_default().push((offset, replaced, len_before));
        }
        match (off, refusal) {
            (Some(off), _) => Err(off),
            (None, Some(errno)) => Err(io::Error::from_raw_os_error(errno)),
            (None, None) => Ok(()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.call()?;
        state.syncs += 1;
        let path = self.path.lock().clone();
        if let Some(errno) = state.fail_syncs {
            let writes = state.unsynced.remove(&path).unwrap_or_default();
            state.given_up.entry(path).or_default().extend(writes);
            return Err(io::Error::from_raw_os_error(errno));
        }
        state.unsynced.remove(&path);
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        // Only ever cuts zeros off, and losing that again does no harm.
        self.disk.0.lock().call()?;
        self.file.set_len(bytes)
    }
}
