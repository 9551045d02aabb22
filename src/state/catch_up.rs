//! Brings the stored state up to the journal: from nothing (a rebuild) or from its last step (every start). There is one way
//! to fold, the engine's; this only feeds it and stores what came of it now and then.

use super::error::StoreError;
use super::store::SledStore;
use crate::domain::state::State;
use crate::engine::{apply, hydrate};
use crate::journal::codec::{self, CodecError};

/// Facts between two steps of the stored state.
const STEP: u64 = 20_000;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaughtUp {
    /// Facts folded.
    pub folded: u64,
    /// The last fact in the state now.
    pub applied_seq: u64,
}

/// Why the state could not be brought up to the journal.
#[derive(Debug, thiserror::Error)]
pub enum CatchUpError<E> {
    /// The journal does not read.
    #[error(transparent)]
    Journal(E),
    /// A fact does not read.
    #[error("event {seq}: {error}")]
    Event {
        /// Its sequence number.
        seq: u64,
        /// What is wrong with it.
        error: CodecError,
    },
    /// Facts are missing: the state stands before what the journal still has.
    #[error("event {wanted} is wanted next, the journal goes on with {found}")]
    Gap {
        /// The fact that would be next.
        wanted: u64,
        /// The one that came.
        found: u64,
    },
    /// The stored state has seen more than the journal has.
    #[error(
        "the record ends at event {ends}, but the state has seen event {seen}: the end of the record was damaged, or an \
         older copy of it was put back. Restore the whole data directory; to go on with what the record still has, \
         remove {dir}"
    )]
    Ahead {
        /// The last fact of the journal.
        ends: u64,
        /// The last fact in the stored state.
        seen: u64,
        /// Folder of the stored state.
        dir: String,
    },
    /// The stored state failed.
    #[error(transparent)]
    Store(StoreError),
}

/// Folds `entries` (sequence number and bytes, in order; those already in `state` are passed over) into `state`, storing every
/// 20,000 facts and at the end. The entries must be synced.
///
/// # Errors
/// See [`CatchUpError`]. On [`CatchUpError::Store`] the store is to be opened again.
pub fn catch_up<E>(
    state: &mut State,
    store: &SledStore,
    entries: impl IntoIterator<Item = Result<(u64, Vec<u8>), E>>,
) -> Result<CaughtUp, CatchUpError<E>> {
    let done = fold(state, Some(store), STEP, entries)?;
    if done.folded % STEP > 0 {
        step(state, store).map_err(CatchUpError::Store)?;
    }
    Ok(done)
}

/// As [`catch_up`], storing nothing: what is folded stays in memory until there is room for it.
///
/// # Errors
/// As [`catch_up`].
pub fn fold_in_memory<E>(
    state: &mut State,
    store: Option<&SledStore>,
    entries: impl IntoIterator<Item = Result<(u64, Vec<u8>), E>>,
) -> Result<CaughtUp, CatchUpError<E>> {
    fold(state, store, u64::MAX, entries)
}

fn fold<E>(
    state: &mut State,
    store: Option<&SledStore>,
    step_every: u64,
    entries: impl IntoIterator<Item = Result<(u64, Vec<u8>), E>>,
) -> Result<CaughtUp, CatchUpError<E>> {
    let mut folded = 0;
    for entry in entries {
        let (seq, bytes) = entry.map_err(CatchUpError::Journal)?;
        let wanted = state.applied_seq + 1;
        if seq < wanted {
            continue;
        }
        if seq > wanted {
            return Err(CatchUpError::Gap { wanted, found: seq });
        }
        let event = codec::decode(&bytes).map_err(|error| CatchUpError::Event { seq, error })?;
        if let Some(store) = store {
            hydrate::needs(state, store, &event);
            store.health().map_err(CatchUpError::Store)?;
        }
        apply(state, seq, &event);
        folded += 1;
        if let Some(store) = store.filter(|_| folded % step_every == 0) {
            step(state, store).map_err(CatchUpError::Store)?;
        }
    }
    Ok(CaughtUp { folded, applied_seq: state.applied_seq })
}

fn step(state: &mut State, store: &SledStore) -> Result<(), StoreError> {
    let checkpoint = store.prepare(state)?;
    let committed = store.commit(checkpoint)?;
    store.evict(state, committed);
    Ok(())
}
