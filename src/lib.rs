//! Oddsmaker: which model should do a call, what came of it, and what one successful outcome cost.
//!
//! Map: `domain` is pure arithmetic and records; `engine` turns requests into facts and folds them; everything with
//! I/O is behind the feature `daemon` (on by default).

pub mod domain;
pub mod engine;
