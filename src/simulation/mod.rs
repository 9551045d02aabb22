//! Worlds in which the router's own rules are tried against known truths. It exists to show, with numbers, what the
//! router gains and where it fails. No rule of the router is written here: [`learner`] puts together those of the domain,
//! and only the [`baselines`] it is compared with are at home here. It knows no clock but its own, and no chance but that
//! of its seeds: the same seed gives the same bytes.

pub mod baselines;
pub mod chance;
pub mod figures;
pub mod learner;
pub mod ledger;
pub mod logged;
pub mod play;
#[cfg(test)]
mod play_tests;
pub mod player;
pub mod problems;
pub mod relive;
pub mod replay;
pub mod rollout;
pub mod runner;
pub mod scenario;
pub mod table;
pub mod truth;
pub mod validation;
pub mod validation_policy;
pub mod validation_savings;
