//! The state at the end of the journal, with a store behind it wherever one can be had: at a start, and again whenever the
//! store failed. Where there is no room, what the store lacks is held in memory, so that what is known can be read.

use std::path::{Path, PathBuf};

use super::catch_up::{CatchUpError, catch_up, fold_in_memory};
use super::error::StoreError;
use super::open::Opened;
use super::store::SledStore;
use crate::domain::state::State;

/// A store that opens whole but holds a broken record shows it only when that record is asked for. The second opening then
/// checks every record.
const OPENINGS: u32 = 2;

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
    /// Whether the state was folded from the first fact on although there were facts before.
    pub rebuilt: bool,
    /// Why what was stored is not used, and where it lies now.
    pub set_aside: Option<(String, PathBuf)>,
}

/// Opens the store in `dir` and stores everything up to fact `last_seq`; `read` reads the journal from a fact on.
///
/// # Errors
/// See [`CatchUpError`]; on [`CatchUpError::Store`] with [`StoreError::Broken`] or [`StoreError::NoRoom`],
/// [`in_memory`] may still answer.
pub fn stored<E, I>(dir: &Path, last_seq: u64, read: impl Fn(u64) -> Result<I, E>) -> Result<Standing, CatchUpError<E>>
where
    I: Iterator<Item = Result<(u64, Vec<u8>), E>>,
{
    let mut tries = 1..OPENINGS;
    let mut aside = None;
    loop {
        match attempt(dir, last_seq, true, &mut aside, &read) {
            Err(CatchUpError::Store(StoreError::Broken(_))) if tries.next().is_some() => {}
            Ok(standing) => return Ok(Standing { set_aside: aside, ..standing }),
            told => return told,
        }
    }
}

/// The state up to fact `last_seq`, storing nothing: what the store lacks is held in memory. That is everything where no
/// store opens; sled writes a little when it does, so it needs some room even then.
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
    let why = match attempt(dir, last_seq, false, &mut aside, &read) {
        Ok(standing) => return Ok(Standing { set_aside: aside, ..standing }),
        Err(CatchUpError::Store(why @ (StoreError::Broken(_) | StoreError::NoRoom(_)))) => why,
        Err(other) => return Err(other),
    };
    let mut state = Opened::blank();
    let folded = fold_in_memory(&mut state, None, read(1).map_err(CatchUpError::Journal)?)?.folded;
    Ok(Standing { state, store: Err(why), stored_seq: 0, folded, rebuilt: true, set_aside: aside })
}

fn attempt<E, I>(
    dir: &Path,
    last_seq: u64,
    store_it: bool,
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
    let mut state = state.unwrap_or_else(Opened::blank);
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
    Ok(Standing { state, store: Ok(store), stored_seq, folded, rebuilt, set_aside: None })
}
