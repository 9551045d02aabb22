//! The wire: generated types, and everything that turns them into the domain's and back. The only place that sees
//! both.

pub mod calls;
pub mod calls_goals;
mod digest;
mod fields;
mod insights;
mod insights_goals;
mod insights_savings;
mod refusal;
mod reply;
mod reply_admin;
pub(crate) mod reply_budget;
mod reply_change;
mod reply_goal;
mod reply_receipt;
mod request;
mod request_admin;
mod request_budget;
mod request_goal;
#[cfg(test)]
mod request_goal_tests;
#[cfg(test)]
mod request_tests;
mod what_if;

pub use fields::{
    FEATURES_MAX, KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, LIST_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX,
};
pub use refusal::{Code, Refusal};

pub use crate::engine::FieldViolation;

/// The public contract, generated from `proto/oddsmaker/v1`.
#[allow(clippy::all, clippy::must_use_candidate, missing_docs, unused_qualifications, reason = "generated")]
pub mod pb {
    tonic::include_proto!("oddsmaker.v1");

    /// Descriptors of the contract with all comments, for reflection, JSON and OpenAPI.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/oddsmaker_descriptor.bin"));
}
