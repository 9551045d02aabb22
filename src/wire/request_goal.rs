//! Requests about goals and gates, checked and turned into the domain's own, by the same rules as those of the router.

use super::digest::{self, Rpc};
use super::fields::{Fields, NAME_BYTES_MAX, TEXT_BYTES_MAX};
use super::pb;
use super::refusal::Refusal;
use crate::domain::goal::GoalState;
use crate::domain::money::NanoUsd;
use crate::domain::request_goal::{
    AmendGoal, CompleteGoal, GateRequest, GoalFilters, GoalStateFilter, GrantBudget, ListGoals, SAMPLE_MAX,
    SampleGoals, StartGoal,
};
use crate::domain::token::TokenKey;

const NOT_ENDED: &str =
    "is GOAL_STATE_OPEN; a goal ends accepted, rejected, abandoned, timed out, escalated or by a tool's error";

/// Checks a GateStep request.
pub(super) fn gate(mut request: pb::GateStepRequest, key: &TokenKey) -> Result<GateRequest, Refusal> {
    let mut f = Fields::default();
    request.labels = f.labels("labels", request.labels, key);
    let idempotency_key = f.name("idempotency_key", request.idempotency_key.take());
    let body = digest::body(&request);
    let checked = GateRequest {
        goal_id: f.required("goal_id", request.goal_id, NAME_BYTES_MAX),
        workflow: f.name("workflow", request.workflow),
        step: f.required("step", request.step, NAME_BYTES_MAX),
        tool: f.name("tool", request.tool),
        labels: request.labels,
        estimated_cost: f.usd("estimated_cost_usd", request.estimated_cost_usd),
        requires_evidence_from: f.list("requires_evidence_from", request.requires_evidence_from),
        parent_goal: f.name("parent_goal_id", request.parent_goal_id),
        key: digest::key(Rpc::GateStep, &idempotency_key, body),
    };
    check_parent(&mut f, &checked.goal_id, &checked.parent_goal);
    f.finish()?;
    Ok(checked)
}

/// Checks a StartGoal request.
pub(super) fn start(mut request: pb::StartGoalRequest, key: &TokenKey) -> Result<StartGoal, Refusal> {
    let mut f = Fields::default();
    request.labels = f.labels("labels", request.labels, key);
    let idempotency_key = f.name("idempotency_key", request.idempotency_key.take());
    let body = digest::body(&request);
    let checked = StartGoal {
        goal_id: f.required("goal_id", request.goal_id, NAME_BYTES_MAX),
        workflow: f.name("workflow", request.workflow),
        labels: request.labels,
        parent: f.name("parent_goal_id", request.parent_goal_id),
        limit: f.usd("limit_usd", request.limit_usd),
        key: digest::key(Rpc::StartGoal, &idempotency_key, body),
    };
    check_parent(&mut f, &checked.goal_id, &checked.parent);
    f.finish()?;
    Ok(checked)
}

/// A goal is not its own parent; rings of several goals are the engine's to find.
pub(super) fn check_parent(f: &mut Fields, goal: &str, parent: &str) {
    if !parent.is_empty() && parent == goal {
        f.refuse("parent_goal_id", "is the goal itself; leave it out, or name the goal that started it");
    }
}

/// Checks a CompleteGoal request.
pub(super) fn complete(mut request: pb::CompleteGoalRequest) -> Result<CompleteGoal, Refusal> {
    let mut f = Fields::default();
    let idempotency_key = f.name("idempotency_key", request.idempotency_key.take());
    let body = digest::body(&request);
    let state = ended(&mut f, request.state);
    if request.state == 0 {
        f.refuse("state", "is required");
    }
    let checked = CompleteGoal {
        goal_id: f.required("goal_id", request.goal_id, NAME_BYTES_MAX),
        state: state.unwrap_or(GoalState::Accepted),
        score: f.quality("score", request.score),
        note: f.text("note", request.note.unwrap_or_default(), TEXT_BYTES_MAX),
        by: f.name("by", request.by),
        occurred_at: f.time("occurred_at", request.occurred_at),
        key: digest::key(Rpc::CompleteGoal, &idempotency_key, body),
    };
    f.finish()?;
    Ok(checked)
}

/// Checks an AmendGoal request.
pub(super) fn amend(mut request: pb::AmendGoalRequest) -> Result<AmendGoal, Refusal> {
    let mut f = Fields::default();
    let idempotency_key = f.name("idempotency_key", request.idempotency_key.take());
    let body = digest::body(&request);
    if request.state == 0 && request.score.is_none() {
        f.refuse("state", "nothing to amend: send state or score");
    }
    let checked = AmendGoal {
        goal_id: f.required("goal_id", request.goal_id, NAME_BYTES_MAX),
        state: ended(&mut f, request.state),
        score: f.quality("score", request.score),
        by: f.name("by", request.by),
        reason: f.required("reason", request.reason, TEXT_BYTES_MAX),
        key: digest::key(Rpc::AmendGoal, &idempotency_key, body),
    };
    f.finish()?;
    Ok(checked)
}

/// Checks a GrantBudget request.
pub(super) fn grant(mut request: pb::GrantBudgetRequest) -> Result<GrantBudget, Refusal> {
    let mut f = Fields::default();
    let idempotency_key = f.name("idempotency_key", request.idempotency_key.take());
    let body = digest::body(&request);
    let extra = f.usd("extra_usd", Some(request.extra_usd));
    if extra == Some(NanoUsd::ZERO) {
        f.refuse("extra_usd", "is required, and at least a nano-dollar");
    }
    let checked = GrantBudget {
        goal_id: f.required("goal_id", request.goal_id, NAME_BYTES_MAX),
        extra: extra.unwrap_or_default(),
        approver: f.required("approver", request.approver, NAME_BYTES_MAX),
        reason: f.required("reason", request.reason, TEXT_BYTES_MAX),
        key: digest::key(Rpc::GrantBudget, &idempotency_key, body),
    };
    f.finish()?;
    Ok(checked)
}

/// Checks the name of a goal.
pub(super) fn goal(goal_id: String) -> Result<String, Refusal> {
    let mut f = Fields::default();
    let goal_id = f.required("goal_id", goal_id, NAME_BYTES_MAX);
    f.finish()?;
    Ok(goal_id)
}

/// Checks a ListGoals request.
pub(super) fn list(request: pb::ListGoalsRequest, key: &TokenKey) -> Result<ListGoals, Refusal> {
    let mut f = Fields::default();
    let checked = ListGoals {
        filters: filters(&mut f, request.filters, key),
        page: f.page(request.page_size, request.page_token),
    };
    f.finish()?;
    Ok(checked)
}

/// Checks a SampleGoals request.
pub(super) fn sample(request: pb::SampleGoalsRequest, key: &TokenKey) -> Result<SampleGoals, Refusal> {
    let mut f = Fields::default();
    let filters = filters(&mut f, request.filters, key);
    if filters.state == Some(GoalStateFilter::Open) {
        f.refuse("filters.state", NOT_ENDED);
    }
    let checked = SampleGoals {
        n: f.count("n", request.n, SAMPLE_MAX, None),
        seed: f.count("seed", request.seed, u32::MAX, Some(0)),
        lookback_ms: request
            .lookback_hours
            .and_then(|hours| f.lookback_ms("lookback_hours", hours, "the whole record")),
        filters,
    };
    f.finish()?;
    Ok(checked)
}

fn filters(f: &mut Fields, filters: Option<pb::GoalFilters>, key: &TokenKey) -> GoalFilters {
    let filters = filters.unwrap_or_default();
    GoalFilters {
        state: f.word("filters.state", filters.state).and_then(state),
        workflow: f.optional_name("filters.workflow", filters.workflow),
        labels: f.labels("filters.labels", filters.labels, key),
    }
}

/// The state a goal is given; `None` where it was left out or cannot be given.
fn ended(f: &mut Fields, number: i32) -> Option<GoalState> {
    match f.word("state", number).and_then(state)? {
        GoalStateFilter::Ended(state) => Some(state),
        GoalStateFilter::Open => {
            f.refuse("state", NOT_ENDED);
            None
        }
    }
}

fn state(state: pb::GoalState) -> Option<GoalStateFilter> {
    Some(GoalStateFilter::Ended(match state {
        pb::GoalState::Unspecified => return None,
        pb::GoalState::Open => return Some(GoalStateFilter::Open),
        pb::GoalState::Accepted => GoalState::Accepted,
        pb::GoalState::Rejected => GoalState::Rejected,
        pb::GoalState::Abandoned => GoalState::Abandoned,
        pb::GoalState::TimedOut => GoalState::TimedOut,
        pb::GoalState::ToolError => GoalState::ToolError,
        pb::GoalState::Escalated => GoalState::Escalated,
    }))
}
