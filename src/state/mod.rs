//! The stored state: what the journal's facts add up to, kept in sled so that a daemon is ready soon after it starts and
//! does not hold every call in memory. It is derived: whatever is wrong with it, it is set aside and folded anew.
//!
//! | file | holds |
//! |---|---|
//! | `open.rs` | [`SledStore::open`]: trust, load, or set aside |
//! | `store.rs` | [`SledStore`]: the handle, and what the engine asks of it |
//! | `checkpoint.rs`, `evict.rs` | prepare (under the engine's lock), commit (outside it), evict |
//! | `bring_up.rs` | the state at the end of the journal, with or without room for a store |
//! | `catch_up.rs` | folding the journal's facts behind the last checkpoint |
//! | `refold.rs` | the whole journal once more, and its money counted a second time |
//! | `snapshot.rs` | the records as a snapshot beside the journal, and back |
//! | `digest.rs` | one digest of everything folded, wherever it lies |
//! | `compact.rs`, `copying.rs` | the store written anew and put in its own place; a copy made beside commits |
//! | `erase.rs` | what was dropped for its age, out of the store |
//! | `sweep.rs` | every record of a kind, wherever it lies |
//! | `books.rs` | whether accounts and goals hold what the calls booked on them add up to |
//! | `sums.rs`, `tally.rs`, `goal_sums.rs` | the sums over time: where they lie, and their bytes |
//! | `load.rs`, `records.rs`, `goal_records.rs` | the other records and their bytes |
//! | `keys.rs`, `seal.rs` | which key a record has; how its value is sealed |
//! | `trust.rs`, `quiet.rs`, `error.rs` | whether the file is the one left behind; sled's panics; what can go wrong |

mod books;
pub mod bring_up;
mod catch_up;
mod checkpoint;
mod compact;
mod copying;
mod digest;
mod erase;
mod error;
mod evict;
mod goal_index;
mod goal_records;
mod goal_sums;
mod keys;
mod load;
mod open;
mod quiet;
mod records;
mod refold;
mod seal;
mod snapshot;
mod store;
mod sums;
mod sweep;
mod tally;
mod trust;

#[cfg(test)]
mod tests;

pub use books::{Books, books, costs};
pub use bring_up::Standing;
pub use catch_up::{CatchUpError, CaughtUp, catch_up, fold_in_memory};
pub use checkpoint::Checkpoint;
pub use compact::is_wasteful;
pub use digest::{digest, digest_of_fold, digest_of_state};
pub use error::StoreError;
pub use evict::Committed;
pub use open::{Opened, set_aside};
pub use refold::{Refold, refold};
pub use snapshot::names_in;
pub use store::SledStore;
