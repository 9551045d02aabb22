//! Opens the stored state, or sets it aside. It is derived from the journal, so nothing that is wrong with it is a reason
//! not to start; only a newer format, another process, and a file system that refuses are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{StoreError, is_io};
use super::quiet::{self, Last};
use super::store::{SledStore, Written};
use super::trust::{self, Stop};
use super::{compact, load};
use crate::domain::state::State;

/// Bytes sled may keep in memory; its default of 1 GB is more than the whole daemon is to use.
const CACHE_BYTES: u64 = 48 << 20;

/// Bytes in one segment of the file, a quarter of the usual: space is freed a segment at a time, and smaller ones empty
/// sooner (60,000 calls: 354 bytes a call in place of 385 with 16 calls a page, 301 in place of 385 with 64).
const SEGMENT_BYTES: usize = 128 << 10;

/// How often, and how far apart, a locked database is tried before it counts as in use: two seconds.
const RELEASE_TRIES: u32 = 200;
const RELEASE_WAIT: Duration = Duration::from_millis(10);

/// How many broken states are kept for a look.
const BROKEN_KEPT: usize = 2;

/// A store that is open, and what was in it.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: SledStore,
    /// What it held; `None`: nothing, fold the journal from its beginning into [`Opened::blank`].
    pub state: Option<State>,
    /// Why what was there is not used, and where it lies now.
    pub set_aside: Option<(String, PathBuf)>,
}

impl Opened {
    /// A state to fold the journal into from its beginning.
    #[must_use]
    pub fn blank() -> State {
        State { touched: Some(crate::domain::state::Touched::default()), ..State::default() }
    }
}

impl SledStore {
    /// Opens the state in `dir` (made where it is missing). A state that is damaged, or that sled cannot open, is renamed to
    /// `….broken-<n>`, and an empty one is made.
    ///
    /// # Errors
    /// [`StoreError::Newer`], [`StoreError::InUse`], [`StoreError::NoRoom`] and [`StoreError::Io`]; what is there is left as
    /// it is.
    pub fn open(dir: &Path) -> Result<Opened, StoreError> {
        let fails = |source| StoreError::io(dir, source);
        released(dir)?;
        compact::sweep(dir).and_then(|()| fs::create_dir_all(dir)).map_err(fails)?;
        let untouched = trust::untouched(dir)?;
        let why = match attempt(dir, untouched) {
            Ok(opened) => return Ok(opened),
            Err(StoreError::Broken(why)) => why,
            Err(error) => return Err(error),
        };
        let aside = set_aside(dir).map_err(fails)?;
        fs::create_dir_all(dir).map_err(fails)?;
        Ok(Opened { set_aside: Some((why, aside)), ..attempt(dir, true)? })
    }

    /// Closes the state and notes that it was closed, so that the next start need not check it.
    ///
    /// # Errors
    /// [`StoreError::Broken`], [`StoreError::Io`], or what failed before; the journal has everything all the same.
    pub fn close(self) -> Result<(), StoreError> {
        // One that failed is not whole, and must not be taken for it.
        self.health()?;
        self.careful(|| self.sync())?;
        let Self { db, dir, last, .. } = self;
        drop(db);
        last.let_go().map_err(|panic| StoreError::panicked(&dir, panic))?;
        released(&dir)?;
        noted(&dir, Stop::Closed)
    }
}

/// Renames the state in `dir` to `….broken-<n>`, keeping the last two; also for a caller that finds the state ahead of its
/// journal. Returns where it lies now.
///
/// # Errors
/// The file system refused.
pub fn set_aside(dir: &Path) -> io::Result<PathBuf> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let parent = dir.parent().map(Path::to_owned).unwrap_or_default();
    let parent = if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent };
    let prefix = format!("{name}.broken-");
    let mut broken = Vec::new();
    for entry in fs::read_dir(&parent)? {
        let found = entry?.file_name();
        let number = found.to_str().and_then(|f| f.strip_prefix(&prefix)?.parse::<u64>().ok());
        broken.extend(number);
    }
    broken.sort_unstable();
    let surplus = (broken.len() + 1).saturating_sub(BROKEN_KEPT);
    for number in &broken[..surplus] {
        fs::remove_dir_all(parent.join(format!("{prefix}{number}")))?;
    }
    let aside = parent.join(format!("{prefix}{}", broken.last().map_or(1, |last| last + 1)));
    fs::rename(dir, &aside)?;
    Ok(aside)
}

/// How sled is to hold the state in `dir`.
pub(super) fn config(dir: &Path) -> sled::Config {
    sled::Config::new()
        .path(dir)
        .cache_capacity(CACHE_BYTES)
        .segment_size(SEGMENT_BYTES)
        // Chosen by its documentation; at 60,000 calls both modes came to the same size and time.
        .mode(sled::Mode::LowSpace)
        // sled's own flusher only logs a failed fsync; every step is synced here instead.
        .flush_every_ms(None)
}

fn attempt(dir: &Path, untouched: bool) -> Result<Opened, StoreError> {
    remove_half_snapshots(dir).map_err(|source| StoreError::io(dir, source))?;
    let config = config(dir);
    let opened = quiet::catch(|| config.open()).map_err(|panic| StoreError::panicked(dir, panic))?;
    let db = opened.map_err(|error| refusal(dir, error))?;
    let read = quiet::catch(|| {
        if !untouched {
            load::check(&db)?;
        }
        match load::load(&db)? {
            None if trust::was_filled(dir) => {
                Err(StoreError::broken("it opened empty, although something was stored in it"))
            }
            loaded => Ok(loaded),
        }
    });
    match read.unwrap_or_else(|panic| Err(StoreError::panicked(dir, panic))) {
        Ok(loaded) => {
            running(dir)?;
            let (state, written) = loaded.map_or((None, Written::default()), |(state, written)| (Some(state), written));
            Ok(Opened { store: SledStore::new(db, dir, written), state, set_aside: None })
        }
        Err(error) => {
            drop(Last::of(db));
            Err(error)
        }
    }
}

/// Writes down that a process is at work on the state.
pub(super) fn running(dir: &Path) -> Result<(), StoreError> {
    noted(dir, Stop::Running)
}

/// Writes down how the state is left; where there is no room for that, every record is checked at the next opening.
fn noted(dir: &Path, stop: Stop) -> Result<(), StoreError> {
    match trust::note(dir, stop).map_err(|source| StoreError::io(dir, source)) {
        Err(StoreError::NoRoom(_)) => {
            trust::forget(dir);
            Ok(())
        }
        told => told,
    }
}

/// sled does not open over a snapshot it was killed while writing; without it, it opens whole.
fn remove_half_snapshots(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|n| n.starts_with("snap.") && n.ends_with(".generating")) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Waits until nobody has the database file locked: sled's threads let go of it a moment after its handle is gone.
pub(super) fn released(dir: &Path) -> Result<(), StoreError> {
    let file = match fs::File::open(dir.join("db")) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(StoreError::io(dir, source)),
    };
    for _ in 0..RELEASE_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()), // Let go of with the file.
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(RELEASE_WAIT),
            Err(fs::TryLockError::Error(source)) => return Err(StoreError::io(dir, source)),
        }
    }
    Err(StoreError::InUse(dir.to_owned()))
}

/// Tells what only the operator can change from damage.
fn refusal(dir: &Path, error: sled::Error) -> StoreError {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    match error {
        sled::Error::Io(e) if e.to_string().contains("could not acquire lock") => StoreError::InUse(dir.to_owned()),
        sled::Error::Io(e) if matches!(e.kind(), PermissionDenied | ReadOnlyFilesystem) || is_io(&e) => {
            StoreError::io(dir, e)
        }
        other => other.into(),
    }
}
