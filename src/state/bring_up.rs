//! The state at the end of the journal, with a store behind it wherever one can be had: at a start, and again whenever the
//! store failed. Where there is no room, what the store lacks is held in memory, so that what is known can be read.

use std::path::{Path, PathBuf};

use super::catch_up::{CatchUpError, catch_up, fold_in_memory};
use super::error::StoreError;
use super::open::Opened;
use super::store::SledStore;
use crate::domain::state::State;
use crate::journal::snapshots;

/// A store that opens whole but holds a broken record shows it only when that record is asked for. The second opening then
/// checks every record. The third does without snapshots, should one read whole and still be of no use.
const OPENINGS: [bool; 3] = [true, true, false];

/// The state at the end of the journal, and how it came about.
#[derive(Debug)]
pub struct Standing {
    /// The state.
    pub state: State,
    /// The store behind it, or why there is none: everything is in `state` then.
    pub store: Result<SledStore, StoreError>,
    /// The last fact the store has.
    pub stored_seq: u64,
    /// Facts folded.
    pub folded: u64,
    /// Whether the state was built anew although there were facts before.
    pub rebuilt: bool,
    /// The last fact of the snapshot it was built from; 0: it was folded from the first fact on.
    pub restored_seq: u64,
    /// Why what was stored is not used, and where it lies now.
    pub set_aside: Option<(String, PathBuf)>,
}

/// Opens the store in `dir` and stores everything up to fact `last_seq`; `read` reads the journal from a fact on, and in the
/// folder `journal` lie its snapshots: where nothing is stored, the newest whole one is what is built on.
///
/// # Errors
/// See [`CatchUpError`]; on [`CatchUpError::Store`] with [`StoreError::Broken`] or [`StoreError::NoRoom`],
/// [`in_memory`] may still answer.
pub fn stored<E, I>(
    dir: &Path,
    journal: &Path,
    last_seq: u64,
    read: impl Fn(u64) -> Result<I, E>,
) -> Result<Standing, CatchUpError<E>>
where
    I: Iterator<Item = Result<(u64, Vec<u8>), E>>,
{
    let mut aside = None;
    let mut tries = OPENINGS.into_iter().peekable();
    loop {
        let snapshots = tries.next().unwrap_or_default().then_some(journal);
        match attempt(dir, last_seq, true, snapshots, &mut aside, &read) {
            Err(CatchUpError::Store(StoreError::Broken(_))) if tries.peek().is_some() => {}
            Ok(standing) => return Ok(Standing { set_aside: aside, ..standing }),
            told => return told,
        }
    }
}

/// The state up to fact `last_seq`, storing nothing: what the store lacks is held in memory. That is everything where no
/// store opens; sled writes a little when it does, so it needs some room even then. It does without snapshots: where the
/// first facts are gone and no store opens, it must wait for room.
///
/// # Errors
/// See [`CatchUpError`].
pub fn in_memory<E, I>(
    dir: &Path,
    last_seq: u64,
    read: impl Fn(u64) -> Result<I, E>,
) -> Result<Standing, CatchUpError<E>>
where
    I: Iterator<Item = Result<(u64, Vec<u8>), E>>,
{
    let mut aside = None;
    let why = match attempt(dir, last_seq, false, None, &mut aside, &read) {
        Ok(standing) => return Ok(Standing { set_aside: aside, ..standing }),
        Err(CatchUpError::Store(why @ (StoreError::Broken(_) | StoreError::NoRoom(_)))) => why,
        Err(other) => return Err(other),
    };
    let mut state = Opened::blank();
    let folded = fold_in_memory(&mut state, None, read(1).map_err(CatchUpError::Journal)?)?.folded;
    Ok(Standing { state, store: Err(why), stored_seq: 0, folded, rebuilt: true, restored_seq: 0, set_aside: aside })
}

fn attempt<E, I>(
    dir: &Path,
    last_seq: u64,
    store_it: bool,
    snapshots: Option<&Path>,
    aside: &mut Option<(String, PathBuf)>,
    read: &impl Fn(u64) -> Result<I, E>,
) -> Result<Standing, CatchUpError<E>>
where
    I: Iterator<Item = Result<(u64, Vec<u8>), E>>,
{
    let Opened { store, state, set_aside } = SledStore::open(dir).map_err(CatchUpError::Store)?;
    if set_aside.is_some() {
        *aside = set_aside;
    }
    let rebuilt = state.is_none() && last_seq > 0;
    let restored = match snapshots.filter(|_| rebuilt) {
        Some(journal) => restored(journal, &store, last_seq).map_err(CatchUpError::Store)?,
        None => None,
    };
    let restored_seq = restored.as_ref().map_or(0, |state| state.applied_seq);
    let mut state = state.or(restored).unwrap_or_else(Opened::blank);
    // A checkpoint is never written ahead of the record's sync: what the state has seen was on disk.
    if state.applied_seq > last_seq {
        let dir = dir.display().to_string();
        return Err(CatchUpError::Ahead { ends: last_seq, seen: state.applied_seq, dir });
    }
    let entries = read(state.applied_seq + 1).map_err(CatchUpError::Journal)?;
    let mut stored_seq = state.applied_seq;
    let folded = if store_it {
        let done = catch_up(&mut state, &store, entries)?;
        stored_seq = done.applied_seq;
        done.folded
    } else {
        fold_in_memory(&mut state, Some(&store), entries)?.folded
    };
    Ok(Standing { state, store: Ok(store), stored_seq, folded, rebuilt, restored_seq, set_aside: None })
}

/// The state in the newest whole snapshot, put into the empty `store`; `None`: there is none.
fn restored(journal: &Path, store: &SledStore, last_seq: u64) -> Result<Option<State>, StoreError> {
    for snapshot in snapshots(journal).unwrap_or_default() {
        let whole = snapshot.and_then(|snapshot| snapshot.check().map(|()| snapshot));
        match whole {
            Ok(snapshot) if snapshot.covers_seq <= last_seq => return store.restore(&snapshot).map(Some),
            Ok(snapshot) => tracing::warn!(snapshot = snapshot.name(), "the snapshot has more events than the record"),
            Err(why) => tracing::warn!(%why, "a snapshot cannot be used"),
        }
    }
    Ok(None)
}
