//! The end-to-end suite: it drives the built program over real gRPC and HTTP, kills it, damages its files, and folds
//! random stories through the engine. It knows the public contract and the layout of a data directory, nothing else.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

mod acceptance;
mod acceptance_models;
mod bad_input;
mod budgets;
mod calls;
mod catalogues;
mod cli;
mod corrupt;
mod crash;
mod disk;
mod disk_faults;
mod features;
mod goals;
mod harness;
mod health_reflection;
mod http;
mod http_client;
mod learning;
mod operations;
mod outcomes;
mod own_clock;
mod persistence;
mod properties;
mod readme;
mod replay;
mod replay_ledger;
mod retention;
mod rollout;
mod routing;
mod scenario;
#[expect(dead_code, reason = "the benches use more of it")]
mod seed_world;
mod simulations;
mod story;
mod what_if;
