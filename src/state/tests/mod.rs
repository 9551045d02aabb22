//! The stored state against the plain fold: whatever is stored, evicted, reopened or broken, the digest is the same.

mod broken;
mod compact;
mod crowded;
mod idle;
mod index;
mod many;
mod retention;
mod script;
mod script_goals;
mod size;
mod snapshot;
mod steps;
