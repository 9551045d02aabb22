//! Oddsmaker: which model should do a call, what came of it, and what one successful outcome cost.
//!
//! Map: [`domain`] is pure arithmetic and records; [`engine`] turns requests into facts and folds them; [`insights`]
//! turns sums into figures. Everything with I/O is behind the feature `daemon` (on by default): `journal` is the
//! record, `state` its indexed fold, `service` one request whole, `wire` the messages, `grpc` and `http` the edges,
//! `server` the listener, `webhook` posts alerts, `daemon` the wiring, `cli` the verbs.

pub mod domain;
pub mod engine;
pub mod insights;
pub mod simulation;

#[cfg(feature = "daemon")]
pub mod catalogue_source;
#[cfg(feature = "daemon")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod clock;
#[cfg(feature = "daemon")]
pub mod config;
#[cfg(feature = "daemon")]
pub mod daemon;
#[cfg(feature = "daemon")]
pub mod data_format;
#[cfg(feature = "daemon")]
pub mod edges;
#[cfg(feature = "daemon")]
pub mod grpc;
#[cfg(feature = "daemon")]
pub mod http;
#[cfg(feature = "daemon")]
pub mod journal;
#[cfg(feature = "daemon")]
mod posting;
#[cfg(feature = "daemon")]
pub mod server;
#[cfg(feature = "daemon")]
pub mod service;
#[cfg(feature = "daemon")]
pub mod settings_source;
#[cfg(feature = "daemon")]
pub mod state;
#[cfg(feature = "daemon")]
pub mod webhook;
#[cfg(feature = "daemon")]
pub mod webhook_secret;
#[cfg(feature = "daemon")]
pub mod wire;
