//! The wire: generated types, and everything that turns them into the domain's and back. The only place that sees
//! both.

/// The public contract, generated from `proto/oddsmaker/v1`.
#[allow(clippy::all, clippy::must_use_candidate, missing_docs, unused_qualifications, reason = "generated")]
pub mod pb {
    tonic::include_proto!("oddsmaker.v1");

    /// Descriptors of the contract with all comments, for reflection, JSON and OpenAPI.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/oddsmaker_descriptor.bin"));
}
