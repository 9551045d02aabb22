//! The whole journal folded once more from its beginning, in a store of its own, beside a count of its money taken from the
//! facts alone. What `verify` compares the stored state with.

use std::path::Path;

use super::catch_up::{CatchUpError, catch_up};
use super::digest::digest;
use super::open::Opened;
use super::store::SledStore;
use crate::journal::audit::{RawCosts, Total};
use crate::journal::codec;

/// What the journal folds to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refold {
    /// Facts folded.
    pub events: u64,
    /// Calls of known cost and what they cost.
    pub total: Total,
    /// Digest of everything folded; [`digest`] of the stored state must be the same.
    pub digest: [u8; 32],
    /// What does not add up, one sentence each; empty: every sum holds to the nano-dollar.
    pub problems: Vec<String>,
}

/// Folds `entries` (sequence number and bytes, from the first fact on) in the empty folder `scratch`, which the caller
/// removes afterwards.
///
/// # Errors
/// As [`catch_up`]; facts before the first entry are a [`CatchUpError::Gap`].
pub fn refold<E>(
    entries: impl IntoIterator<Item = Result<(u64, Vec<u8>), E>>,
    scratch: &Path,
) -> Result<Refold, CatchUpError<E>> {
    let store = SledStore::open(scratch).map_err(CatchUpError::Store)?.store;
    let mut state = Opened::blank();
    let mut raw = RawCosts::default();
    let counted = entries.into_iter().inspect(|entry| {
        // What does not decode stops the fold itself.
        if let Ok((seq, bytes)) = entry
            && let Ok(event) = codec::decode(bytes)
        {
            raw.add(*seq, &event);
        }
    });
    let events = catch_up(&mut state, &store, counted)?.folded;
    let digest = digest(&state, &store).map_err(CatchUpError::Store)?;
    Ok(Refold { events, total: raw.total(), digest, problems: raw.problems(&state.rollups) })
}
