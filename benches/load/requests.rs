//! What is sent: plain requests for the comparison, a mix of task types, goals and labels for filling.

use std::collections::BTreeMap;

use oddsmaker::wire::pb;

use crate::catalogue;

/// Calls of a goal when filling.
pub(crate) const CALLS_OF_A_GOAL: u64 = 10;

/// Steps of a goal; each is called twice.
const STEPS: u64 = 5;

/// Teams among the labels when filling.
const TEAMS: u64 = 8;

/// Tokens of every call.
const TOKENS: (u64, u64) = (300, 40);

/// Asks for a model among `candidates`.
pub(crate) fn policy(candidates: usize, idempotency_key: Option<String>) -> pb::GetPolicyRequest {
    pb::GetPolicyRequest {
        task_type: catalogue::task_of(candidates),
        workflow: Some("support-ticket".to_owned()),
        step: Some("classify".to_owned()),
        labels: label("support".to_owned()),
        usage_estimate: Some(usage_estimate()),
        idempotency_key,
        ..pb::GetPolicyRequest::default()
    }
}

/// What came of a decision: a success, or a failure every tenth time.
pub(crate) fn outcome(decision_id: String, number: u64) -> pb::RecordOutcomeRequest {
    outcome_of(decision_id, number % 10 != 9)
}

/// The request of call `number` among many: eight task types in turn, every second goal's worth of calls in a goal.
pub(crate) fn mixed_policy(number: u64, keyed: bool) -> pb::GetPolicyRequest {
    let group = number / CALLS_OF_A_GOAL;
    let in_goal = group.is_multiple_of(2);
    pb::GetPolicyRequest {
        task_type: format!("mix-{}", number % catalogue::MIXED_TASKS as u64),
        goal_id: in_goal.then(|| format!("goal-{}", random_text("goal", group))),
        workflow: in_goal.then(|| if group.is_multiple_of(4) { "support-ticket" } else { "research" }.to_owned()),
        step: in_goal.then(|| format!("step-{}", number % STEPS)),
        labels: label(format!("team-{}", group % TEAMS)),
        usage_estimate: Some(usage_estimate()),
        idempotency_key: keyed.then(|| random_text("policy", number)),
        ..pb::GetPolicyRequest::default()
    }
}

/// What came of it; a dearer model succeeds more often, from 80 % on.
pub(crate) fn mixed_outcome(number: u64, answer: &pb::GetPolicyResponse, keyed: bool) -> pb::RecordOutcomeRequest {
    let model = answer.model.as_deref().and_then(|id| id.rsplit('-').next()?.parse::<u64>().ok()).unwrap_or(0);
    let success = stirred("verdict", number) % 100 < 80 + 4 * model;
    let request = outcome_of(answer.decision_id.clone().unwrap_or_default(), success);
    pb::RecordOutcomeRequest { idempotency_key: keyed.then(|| random_text("outcome", number)), ..request }
}

fn outcome_of(decision_id: String, success: bool) -> pb::RecordOutcomeRequest {
    let reason = if success { pb::FailureReason::Unspecified } else { pb::FailureReason::ValidationFailed };
    pb::RecordOutcomeRequest {
        decision_id: Some(decision_id),
        success: Some(success),
        failure_reason: reason.into(),
        usage: Some(pb::Usage { input_tokens: Some(TOKENS.0), output_tokens: Some(TOKENS.1), ..pb::Usage::default() }),
        latency_ms: Some(800),
        ..pb::RecordOutcomeRequest::default()
    }
}

fn usage_estimate() -> pb::UsageEstimate {
    pb::UsageEstimate { input_tokens: Some(TOKENS.0), output_tokens: Some(TOKENS.1), ..pb::UsageEstimate::default() }
}

fn label(team: String) -> BTreeMap<String, String> {
    BTreeMap::from([("team".to_owned(), team)])
}

/// 32 hexadecimal digits that belong to a number: as long and as scattered as the ids of real callers.
pub(crate) fn random_text(what: &str, number: u64) -> String {
    digest(what, number).to_hex()[..32].to_owned()
}

/// A number that belongs to a number, scattered over 64 bits.
pub(crate) fn stirred(what: &str, number: u64) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest(what, number).as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}

fn digest(what: &str, number: u64) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(what.as_bytes()).update(&number.to_le_bytes());
    hasher.finalize()
}
