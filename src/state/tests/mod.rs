//! The stored state against the plain fold: whatever is stored, evicted, reopened or broken, the digest is the same.

mod broken;
mod crowded;
mod script;
mod size;
mod steps;
