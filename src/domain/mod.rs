//! The domain: money, candidates, posteriors, calls, figures. No I/O, no async, no clock, no ambient randomness, no
//! wire types. It compiles without the daemon (`--no-default-features`) and cannot fail for outside reasons.

pub mod beta;
pub mod budget;
pub mod call;
pub mod catalog;
pub mod cell;
pub mod choose;
pub mod context;
pub mod draw;
pub mod drift;
pub mod event;
pub mod filter;
pub mod flag;
pub mod goal;
pub mod goal_tally;
pub mod grading;
pub mod history;
pub mod interval;
pub mod money;
pub mod names;
pub mod open_goals;
pub mod outcome;
pub mod param;
pub mod pricing;
pub mod propensity;
pub mod request;
pub mod request_goal;
pub mod retention;
pub mod retries;
pub mod rollup;
pub mod series;
pub mod sketch;
pub mod state;
pub mod time;
pub mod token;
pub mod tool;
