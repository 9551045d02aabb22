//! The stored messages, generated from `proto/oddsmaker/ledger/v1`. Nothing but the codec of the journal and the
//! records of the state sees them.

#![allow(unreachable_pub, missing_docs, clippy::all, reason = "generated")]

tonic::include_proto!("oddsmaker.ledger.v1");

/// Descriptors of the stored messages, from which the export writes JSON.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ledger_descriptor.bin"));
