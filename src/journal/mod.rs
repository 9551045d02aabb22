//! The journal: the one durable record of everything that happened. It stores opaque byte payloads ("events"), gives each
//! the next sequence number (the first is 1) and says when they are on disk. It refuses to know what an event means.
//!
//! | file | holds |
//! |---|---|
//! | `writer.rs` | [`Journal`]: append, wait, state, shutdown |
//! | `queue.rs` | events waiting for the disk, grouped into frames, and who waits for them |
//! | `commit.rs` | the committer thread: one write and one sync a group, rotation, what happens when the disk refuses |
//! | `room.rs` | the zero-fill thread: written-out space ahead of the committer |
//! | `recover.rs` | opening: checks, torn tail, repair |
//! | `reader.rs` | [`JournalReader`]: iterate, random reads |
//! | `verify.rs` | [`verify`]: every byte of every segment |
//! | `walk.rs`, `catalog.rs` | frames of one segment; segments of one directory and how they connect |
//! | `segment.rs` | the bytes: header, frame, chain, [`Location`] |
//! | `codec.rs`, `goal_facts.rs`, `fields.rs`, `place.rs`, `pb.rs` | events and their stored form |
//! | `export.rs`, `audit.rs` | events as JSON; sums of money taken from the events alone |
//! | `packed.rs`, `pack.rs` | a segment's bytes, as written or in deflated blocks; packing those that are finished |
//! | `snapshot.rs`, `prune.rs` | what the first events come to, in one file; removing the segments it stands for |
//! | `storage.rs`, `options.rs`, `error.rs` | the writing half of the file system (tests replace it), settings, errors |
//!
//! # Promises
//! * What a waiter was told is synced survives a killed process and, on a disk that honours fsync, a power cut.
//! * Events keep their order; one [`Journal::append_all`] is kept or lost as a whole.
//! * Damage is refused with its place, never skipped. The one thing dropped is a torn last group, which nobody was told is safe.
//!
//! What it cannot see alone: whether whole segments at the *front* are gone (retention removes those too: compare
//! [`OpenReport::first_seq`] with what the snapshot needs), and a damaged last group after an unclean stop, which looks like
//! a torn write (compare [`OpenReport::last_seq`] with the sequence number the derived state stands at).

pub mod audit;
mod catalog;
pub(crate) mod change_facts;
pub mod codec;
mod commit;
mod error;
pub mod export;
pub(crate) mod fields;
pub(crate) mod goal_facts;
mod options;
mod pack;
mod packed;
pub(crate) mod pb;
mod place;
pub mod prune;
mod queue;
mod reader;
mod recover;
mod room;
mod segment;
mod snapshot;
mod storage;
mod verify;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub use error::JournalError;
pub use options::JournalOptions;
pub use pack::{PackedSegment, Packing};
pub(crate) use packed::inflated;
pub use queue::CommitWaiter;
pub use reader::{Entries, Entry, JournalReader};
pub use recover::OpenReport;
pub use segment::Location;
pub use snapshot::{Snapshot, SnapshotWriter, snapshots};
pub use storage::{DiskStorage, Storage, StorageFile};
pub use verify::{VerifyReport, verify};
pub use writer::{Journal, JournalState};
