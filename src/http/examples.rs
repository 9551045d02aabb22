//! One worked example: a ticket is classified, the outcome recorded, and later corrected. The requests can be sent as they
//! stand, with the decision's id put in.

use prost_reflect::MessageDescriptor;
use serde_json::{Value, json};

use super::json;
use super::operations::Rpc;

/// An example of the request; `None` where there is nothing to show.
pub(super) fn request(rpc: Rpc) -> Option<Value> {
    Some(match rpc {
        Rpc::GetPolicy => json!({
            "task_type": "ticket_classification",
            "goal_id": "ticket-4711",
            "workflow": "support-ticket",
            "step": "classify",
            "labels": { "team": "support" },
            "constraints": { "max_cost_usd": 0.05, "capabilities": ["json"] },
            "usage_estimate": { "input_tokens": 800, "max_output_tokens": 200 },
        }),
        Rpc::GateStep => json!({
            "goal_id": "ticket-4711",
            "workflow": "support-ticket",
            "step": "search_kb",
            "tool": "search_api",
            "labels": { "team": "support" },
            "estimated_cost_usd": 0.03,
        }),
        Rpc::StartGoal => json!({
            "goal_id": "ticket-4711",
            "workflow": "support-ticket",
            "labels": { "team": "support" },
            "limit_usd": 1.5,
        }),
        Rpc::CompleteGoal => json!({
            "state": "GOAL_STATE_ACCEPTED",
            "score": 0.8,
            "by": "support desk",
        }),
        Rpc::AmendGoal => json!({
            "state": "GOAL_STATE_REJECTED",
            "by": "support desk",
            "reason": "the customer came back",
        }),
        Rpc::GrantBudget => json!({
            "extra_usd": 0.5,
            "approver": "ada",
            "reason": "an important customer",
            "idempotency_key": "ticket-4711-grant-1",
        }),
        Rpc::AcknowledgeAlert => json!({
            "by": "ops",
            "note": "expected, the campaign runs until Friday",
        }),
        Rpc::RecordOutcome => json!({
            "decision_id": "the decision_id of the answer",
            "success": true,
            "usage": { "input_tokens": 812, "output_tokens": 44 },
            "latency_ms": 640,
        }),
        Rpc::AmendOutcome => json!({
            "decision_id": "the decision_id of the answer",
            "success": false,
            "failure_reason": "FAILURE_REASON_USER_REJECTED",
            "by": "support desk",
            "reason": "the ticket was moved to another queue by hand",
        }),
        Rpc::VoidDecision => json!({
            "decision_id": "the decision_id of the answer",
            "by": "worker-3",
            "reason": "the ticket was closed before the call",
        }),
        Rpc::SetModelState => json!({
            "model": "openai/gpt-4o",
            "task_type": "ticket_classification",
            "state": "MODEL_STATE_DISABLED",
            "by": "ops",
            "reason": "the provider is down",
        }),
        Rpc::ResetPosterior => json!({
            "task_type": "ticket_classification",
            "by": "ops",
            "reason": "the prompt was rewritten",
        }),
        Rpc::ReloadCatalog => json!({}),
        Rpc::GetInsights
        | Rpc::ExplainChange
        | Rpc::EvaluatePolicy
        | Rpc::ListGoals
        | Rpc::GetGoal
        | Rpc::GetReceipt
        | Rpc::ListBudgets
        | Rpc::ListAlerts
        | Rpc::ListModels
        | Rpc::GetPosterior
        | Rpc::GetStatus => return None,
    })
}

/// An example of the answer, with every field of the message; `None` where there is nothing to show.
pub(super) fn reply(rpc: Rpc, message: &MessageDescriptor) -> Option<Value> {
    let telling = match rpc {
        Rpc::GetPolicy => json!({
            "decision_id": "d_4Zq0",
            "proceed": true,
            "verdict": "VERDICT_ALLOW",
            "model": "openai/gpt-4o-mini",
            "candidate": "openai/gpt-4o-mini",
            "provider": "openai",
            "arm": "ARM_ROUTER",
            "estimated_cost_usd": 0.000_144,
            "estimate_source": "ESTIMATE_SOURCE_LEARNED",
            "reason": "The best draw among 2 eligible candidates.",
            "expires_at": "2026-11-22T04:20:08Z",
            "catalog_version": "9c1f",
        }),
        Rpc::RecordOutcome => json!({
            "outcome_id": "o_4Zq0",
            "cost_usd": 0.000_148_2,
            "cost_source": "COST_SOURCE_PRICED",
            "posterior": {
                "alpha": 412.0,
                "beta": 19.0,
                "mean": 0.955_916,
                "interval": { "low": 0.938_3, "high": 0.970_8, "level": 0.9 },
            },
        }),
        _ => return None,
    };
    json::read(message, &telling).ok().map(|message| json::write(&message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::operations::OPERATIONS;

    #[test]
    fn examples_fit_their_messages() {
        for operation in OPERATIONS {
            let method = operation.method();
            if let Some(request) = request(operation.rpc) {
                assert!(json::read(&method.input(), &request).is_ok(), "{}", operation.name());
            }
            let told = [Rpc::GetPolicy, Rpc::RecordOutcome].contains(&operation.rpc);
            assert_eq!(reply(operation.rpc, &method.output()).is_some(), told, "{}", operation.name());
        }
    }
}
