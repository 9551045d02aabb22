//! Oddsmaker: which model should do a call, what came of it, and what one successful outcome cost.
//!
//! Map: `domain` is pure arithmetic and records; `engine` turns requests into facts and folds them; everything with
//! I/O is behind the feature `daemon` (on by default).

#[cfg(feature = "daemon")]
pub mod config;
pub mod domain;
pub mod engine;
#[cfg(feature = "daemon")]
pub mod wire;
