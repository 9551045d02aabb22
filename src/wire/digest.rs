//! Idempotency keys as they are kept: digests, so that neither a key nor a body stands in the record.

use prost::Message;

use crate::domain::event::Key;

/// The only project there is in this version.
const PROJECT: u32 = 0;

/// Which rpc a key belongs to: the same key under another rpc is another key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rpc {
    GetPolicy,
    /// Also the stream of outcomes.
    RecordOutcome,
    AmendOutcome,
    ResetPosterior,
    GateStep,
    StartGoal,
    CompleteGoal,
    AmendGoal,
    GrantBudget,
}

impl Rpc {
    fn name(self) -> &'static str {
        match self {
            Self::GetPolicy => "GetPolicy",
            Self::RecordOutcome => "RecordOutcome",
            Self::AmendOutcome => "AmendOutcome",
            Self::ResetPosterior => "ResetPosterior",
            Self::GateStep => "GateStep",
            Self::StartGoal => "StartGoal",
            Self::CompleteGoal => "CompleteGoal",
            Self::AmendGoal => "AmendGoal",
            Self::GrantBudget => "GrantBudget",
        }
    }
}

/// Digest of a request: the first 8 bytes of the BLAKE3 of its encoding. Maps encode in the order of their keys, so
/// equal requests have equal digests. Take the key and whatever does not change the effect out of it first.
pub(super) fn body<M: Message>(request: &M) -> u64 {
    let digest = blake3::hash(&request.encode_to_vec());
    u64::from_be_bytes(first(&digest))
}

/// The key as it is kept: the first 16 bytes of the BLAKE3 of project, rpc and key; `None` where none was given.
pub(super) fn key(rpc: Rpc, key: &str, body: u64) -> Option<Key> {
    if key.is_empty() {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&PROJECT.to_be_bytes()).update(rpc.name().as_bytes()).update(&[0]).update(key.as_bytes());
    Some(Key { hash: u128::from_be_bytes(first(&hasher.finalize())), body })
}

fn first<const N: usize>(digest: &blake3::Hash) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&digest.as_bytes()[..N]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::pb;

    #[test]
    fn a_key_is_the_digest_of_project_rpc_and_key() {
        let found = key(Rpc::GetPolicy, "k1", 7).unwrap();
        let bytes = [&[0, 0, 0, 0][..], b"GetPolicy\0k1"].concat();
        assert_eq!(found.hash.to_be_bytes(), blake3::hash(&bytes).as_bytes()[..16]);
        assert_eq!(found.body, 7);
        assert_ne!(key(Rpc::RecordOutcome, "k1", 7).unwrap().hash, found.hash);
        assert_eq!(key(Rpc::GetPolicy, "", 7), None);
    }

    #[test]
    fn a_body_digest_tells_absent_from_zero_and_ignores_the_order_of_maps() {
        let outcome = |cost_usd| pb::RecordOutcomeRequest { cost_usd, ..Default::default() };
        assert_ne!(body(&outcome(None)), body(&outcome(Some(0.0))));
        let labels = |keys: [&str; 3]| pb::RecordOutcomeRequest {
            labels: keys.iter().map(|k| ((*k).to_owned(), "v".to_owned())).collect(),
            ..Default::default()
        };
        assert_eq!(body(&labels(["a", "b", "c"])), body(&labels(["c", "a", "b"])));
    }
}
