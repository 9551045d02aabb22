//! Requests of the router service, checked and turned into the domain's own. The domain trusts what comes out of
//! here: money is integer, sizes are bounded, names are plain text, users are concealed, ids are authentic.

use super::digest::{self, Rpc};
use super::fields::{Fields, NAME_BYTES_MAX, TEXT_BYTES_MAX};
use super::pb;
use super::refusal::Refusal;
use crate::domain::call::CallRef;
use crate::domain::event::Asked;
use crate::domain::outcome::{DecisionRef, FailureReason, OutcomeOf, OutcomeReport, Verdict};
use crate::domain::pricing::Usage;
use crate::domain::request::{PolicyRequest, UsageEstimate};
use crate::domain::token::{TokenKey, TokenKind};
use crate::engine::{AmendAddress, Amendment};

const FAILED_SUCCESS: &str = "a call that succeeded has no failure reason; leave it out or send success = false";

/// A decision or hold whose call was never made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VoidDecision {
    pub call: CallRef,
    pub by: String,
    pub reason: String,
}

/// Checks a GetPolicy request.
pub(super) fn policy(mut request: pb::GetPolicyRequest, key: &TokenKey) -> Result<PolicyRequest, Refusal> {
    let mut f = Fields::default();
    request.labels = f.labels("labels", request.labels, key);
    let idempotency_key = f.name("idempotency_key", request.idempotency_key.take());
    let explain = std::mem::take(&mut request.explain);
    let body = digest::body(&request);
    let asked = asked(&mut f, &mut request);
    let checked = PolicyRequest {
        task_type: f.required("task_type", request.task_type, NAME_BYTES_MAX),
        goal_id: f.name("goal_id", request.goal_id),
        workflow: f.name("workflow", request.workflow),
        step: f.name("step", request.step),
        labels: request.labels,
        asked,
        estimate: estimate(&mut f, request.usage_estimate.unwrap_or_default()),
        irreversible: request.reversible == Some(false),
        fallback_allowed: request.fallback_allowed,
        // A dry run records nothing, so there is nothing to be repeated.
        key: digest::key(Rpc::GetPolicy, &idempotency_key, body).filter(|_| !request.dry_run),
        dry_run: request.dry_run,
        explain,
    };
    f.finish()?;
    Ok(checked)
}

fn asked(f: &mut Fields, request: &mut pb::GetPolicyRequest) -> Asked {
    let limits = request.constraints.take().unwrap_or_default();
    Asked {
        max_cost: f.usd("constraints.max_cost_usd", limits.max_cost_usd),
        max_latency_ms: f.millis("constraints.max_latency_ms", limits.max_latency_ms),
        min_success_rate: f.fraction("constraints.min_success_rate", limits.min_success_rate),
        min_context_tokens: f.tokens("constraints.min_context_tokens", limits.min_context_tokens),
        capabilities: f.list("constraints.capabilities", limits.capabilities),
        allowed_models: f.list("constraints.allowed_models", limits.allowed_models),
        denied_models: f.list("constraints.denied_models", limits.denied_models),
        requested_model: f.name("requested_model", request.requested_model.take()),
        parent_goal: f.name("parent_goal_id", request.parent_goal_id.take()),
        features: f.features("features", std::mem::take(&mut request.features)),
    }
}

fn estimate(f: &mut Fields, estimate: pb::UsageEstimate) -> UsageEstimate {
    UsageEstimate {
        input_tokens: f.tokens("usage_estimate.input_tokens", estimate.input_tokens),
        output_tokens: f.tokens("usage_estimate.output_tokens", estimate.output_tokens),
        max_output_tokens: f.tokens("usage_estimate.max_output_tokens", estimate.max_output_tokens),
        service_tier: f.service_tier("usage_estimate.service_tier", estimate.service_tier),
    }
}

/// Checks a RecordOutcome request.
pub(super) fn outcome(mut request: pb::RecordOutcomeRequest, key: &TokenKey) -> Result<OutcomeReport, Refusal> {
    let mut f = Fields::default();
    request.labels = f.labels("labels", std::mem::take(&mut request.labels), key);
    let idempotency_key = f.name("idempotency_key", request.idempotency_key.take());
    let body = digest::body(&request);
    let address = address(&mut f, &mut request);
    let retry_of = f.name("retry_of", request.retry_of);
    let reason = failure_reason(&mut f, request.failure_reason);
    let tier = request.usage.as_mut().and_then(|u| u.service_tier.take());
    let mut report = OutcomeReport {
        of: OutcomeOf::Elsewhere { task: String::new(), model: String::new() },
        verdict: verdict(&mut f, request.success, reason),
        quality: f.quality("quality_score", request.quality_score),
        retry_of: None,
        cost: f.usd("cost_usd", request.cost_usd),
        service_tier: tier.filter(|t| !t.is_empty()).map(|t| f.service_tier("usage.service_tier", Some(t))),
        usage: request.usage.and_then(|u| usage(&mut f, &u)),
        latency_ms: f.millis("latency_ms", request.latency_ms),
        energy_mj: f.energy("energy_joules", request.energy_joules),
        goal_id: f.name("goal_id", request.goal_id),
        workflow: f.name("workflow", request.workflow),
        step: f.name("step", request.step),
        tool: f.name("tool", request.tool),
        model_served: f.name("model_served", request.model_served),
        source: f.name("source", request.source),
        evidence: f.text("evidence", request.evidence.unwrap_or_default(), TEXT_BYTES_MAX),
        output_ref: f.text("output_ref", request.output_ref.unwrap_or_default(), TEXT_BYTES_MAX),
        evaluation: f.word("purpose", request.purpose) == Some(pb::Purpose::Evaluation),
        occurred_at: f.time("occurred_at", request.occurred_at),
        labels: request.labels,
        key: digest::key(Rpc::RecordOutcome, &idempotency_key, body),
        body,
    };
    f.finish()?;
    report.of = match address {
        Address::Decision(id) => OutcomeOf::Decision(opened(key, TokenKind::Decision, &id, "decision_id")?),
        Address::Hold(id) => OutcomeOf::Hold(opened(key, TokenKind::Hold, &id, "hold_id")?),
        Address::Elsewhere { task, model } => OutcomeOf::Elsewhere { task, model },
    };
    if !retry_of.is_empty() {
        let kinds = [TokenKind::Outcome, TokenKind::Decision, TokenKind::Hold];
        let known = kinds.into_iter().find_map(|kind| key.open(kind, &retry_of));
        report.retry_of = Some(known.ok_or_else(|| Refusal::not_found("call: retry_of"))?.number);
    }
    Ok(report)
}

/// Splits one message of a stream into its correlation and its outcome.
pub(super) fn streamed(
    request: pb::RecordOutcomesRequest,
) -> Result<(String, pb::RecordOutcomeRequest), (String, Refusal)> {
    let mut f = Fields::default();
    let correlation = f.text("correlation", request.correlation, NAME_BYTES_MAX);
    if request.outcome.is_none() {
        f.refuse("outcome", "is required");
    }
    match f.finish() {
        Ok(()) => Ok((correlation, request.outcome.unwrap_or_default())),
        Err(refusal) => Err((correlation, refusal)),
    }
}

enum Address {
    Decision(String),
    Hold(String),
    Elsewhere { task: String, model: String },
}

/// Which call an outcome is about: a decision, a hold, or a call routed elsewhere (task type and model, or a tool alone).
fn address(f: &mut Fields, request: &mut pb::RecordOutcomeRequest) -> Address {
    let decision = f.name("decision_id", request.decision_id.take());
    let hold = f.name("hold_id", request.hold_id.take());
    let task = f.name("task_type", request.task_type.take());
    let model = f.name("model", request.model.take());
    let serves_other = request.model_served.as_ref().is_some_and(|m| !m.is_empty());
    let known = [("task_type", !task.is_empty()), ("model", !model.is_empty())];
    if !decision.is_empty() {
        if !hold.is_empty() {
            f.refuse("hold_id", "is one address too many; send either decision_id or hold_id");
        }
        for (field, _) in known.into_iter().filter(|(_, given)| *given) {
            f.refuse(field, "is known from decision_id; leave it out (model_served names a fallback that ran)");
        }
        return Address::Decision(decision);
    }
    if !hold.is_empty() {
        let all = known.into_iter().chain([("model_served", serves_other)]);
        for (field, _) in all.filter(|(_, given)| *given) {
            f.refuse(field, "does not go with hold_id: a step behind a gate is no model call; leave it out");
        }
        return Address::Hold(hold);
    }
    if serves_other {
        f.refuse("model_served", "goes with decision_id; for a call routed elsewhere `model` is the one that answered");
    }
    let is_tool = request.tool.as_ref().is_some_and(|t| !t.is_empty());
    match (task.is_empty(), model.is_empty()) {
        (false, false) => {}
        (true, true) if is_tool => {}
        (true, true) => f.refuse(
            "decision_id",
            "is required; or hold_id, or task_type with model, or tool alone, for a call routed elsewhere",
        ),
        (false, true) => f.refuse("model", "is required with task_type; leave both out for the call of a tool"),
        (true, false) => f.refuse("task_type", "is required with model; leave both out for the call of a tool"),
    }
    Address::Elsewhere { task, model }
}

fn failure_reason(f: &mut Fields, number: i32) -> Option<FailureReason> {
    let reason = f.word::<pb::FailureReason>("failure_reason", number)?;
    FailureReason::from_number(u8::try_from(reason as i32).ok()?)
}

/// The verdict; a reason alone says that the call failed.
fn verdict(f: &mut Fields, success: Option<bool>, reason: Option<FailureReason>) -> Option<Verdict> {
    match (success, reason) {
        (Some(true), Some(_)) => {
            f.refuse("failure_reason", FAILED_SUCCESS);
            None
        }
        (Some(true), None) => Some(Verdict::Success),
        (Some(false), None) => Some(Verdict::Failure(FailureReason::Unknown)),
        (_, Some(reason)) => Some(Verdict::Failure(reason)),
        (None, None) => None,
    }
}

/// Usage that can be priced: parts that fit their whole, and both wholes known.
fn usage(f: &mut Fields, usage: &pb::Usage) -> Option<Usage> {
    let input = f.tokens("usage.input_tokens", usage.input_tokens);
    let output = f.tokens("usage.output_tokens", usage.output_tokens);
    let cached_input = f.tokens("usage.cached_input_tokens", Some(usage.cached_input_tokens))?;
    let cache_write = f.tokens("usage.cache_write_tokens", Some(usage.cache_write_tokens))?;
    let reasoning = f.tokens("usage.reasoning_tokens", Some(usage.reasoning_tokens))?;
    if input.is_some_and(|input| cached_input > input) {
        f.refuse("usage.cached_input_tokens", "are more than input_tokens, which include them");
    } else if input.is_some_and(|input| cached_input + cache_write > input) {
        f.refuse(
            "usage.cache_write_tokens",
            "are, with cached_input_tokens, more than input_tokens, which include both",
        );
    }
    if output.is_some_and(|output| reasoning > output) {
        f.refuse("usage.reasoning_tokens", "are more than output_tokens, which include them");
    }
    let (input, output) = input.zip(output)?;
    Some(Usage { input, cached_input, cache_write, output, reasoning })
}

fn opened(key: &TokenKey, kind: TokenKind, id: &str, field: &str) -> Result<DecisionRef, Refusal> {
    let what = match kind {
        TokenKind::Decision => "decision",
        TokenKind::Outcome => "outcome",
        TokenKind::Hold => "hold",
    };
    key.open(kind, id).ok_or_else(|| {
        let start: String = id.chars().take(16).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
        let more = if id.chars().nth(16).is_some() { "…" } else { "" };
        let why = if kind.has_form(id) { "was not given out by this daemon" } else { "is malformed" };
        Refusal::not_found(&format!("{what}: {field} \"{start}{more}\" {why}"))
    })
}

/// Checks an AmendOutcome request.
pub(super) fn amendment(mut request: pb::AmendOutcomeRequest, key: &TokenKey) -> Result<Amendment, Refusal> {
    let mut f = Fields::default();
    let idempotency_key = f.name("idempotency_key", request.idempotency_key.take());
    let body = digest::body(&request);
    let outcome_id = f.name("outcome_id", request.outcome_id);
    let decision_id = f.name("decision_id", request.decision_id);
    let goal = f.name("goal_id", request.goal_id);
    let step = f.name("step", request.step);
    let failure_reason = failure_reason(&mut f, request.failure_reason);
    if request.success == Some(true) && failure_reason.is_some() {
        f.refuse("failure_reason", FAILED_SUCCESS);
    }
    let mut amendment = Amendment {
        address: AmendAddress::Call(CallRef::default()),
        success: request.success,
        quality: f.quality("quality_score", request.quality_score),
        failure_reason,
        cost: f.usd("cost_usd", request.cost_usd),
        by: f.name("by", request.by),
        source: f.name("source", request.source),
        reason: f.required("reason", request.reason, TEXT_BYTES_MAX),
        key: digest::key(Rpc::AmendOutcome, &idempotency_key, body),
    };
    let unchanged = request.success.is_none()
        && request.quality_score.is_none()
        && request.failure_reason == 0
        && request.cost_usd.is_none();
    if unchanged {
        f.refuse("success", "nothing to amend: send success, quality_score, failure_reason or cost_usd");
    }
    check_amend_address(&mut f, [&outcome_id, &decision_id, &goal, &step]);
    f.finish()?;
    amendment.address = if !outcome_id.is_empty() {
        AmendAddress::Call(call_of(&opened(key, TokenKind::Outcome, &outcome_id, "outcome_id")?))
    } else if !decision_id.is_empty() {
        AmendAddress::Call(call_of(&opened(key, TokenKind::Decision, &decision_id, "decision_id")?))
    } else {
        AmendAddress::Step { goal, step }
    };
    Ok(amendment)
}

fn check_amend_address(f: &mut Fields, [outcome, decision, goal, step]: [&str; 4]) {
    let by_step = !goal.is_empty() || !step.is_empty();
    let ways = [!outcome.is_empty(), !decision.is_empty(), by_step].iter().filter(|given| **given).count();
    let one_of = "outcome_id, decision_id, or goal_id with step";
    match ways {
        1 if by_step && goal.is_empty() => f.refuse("goal_id", "is required with step"),
        1 if by_step && step.is_empty() => f.refuse("step", "is required with goal_id"),
        1 => {}
        0 => f.refuse("outcome_id", format!("is required; send exactly one of {one_of}")),
        _ => {
            let steps = if goal.is_empty() { ("step", step) } else { ("goal_id", goal) };
            let given = [("outcome_id", outcome), ("decision_id", decision), steps];
            for (field, _) in given.iter().filter(|(_, text)| !text.is_empty()).skip(1) {
                f.refuse(*field, format!("is one address too many; send exactly one of {one_of}"));
            }
        }
    }
}

/// The call an id names.
fn call_of(of: &DecisionRef) -> CallRef {
    CallRef { number: of.number, at: of.at }
}

/// Checks a VoidDecision request.
pub(super) fn void(request: pb::VoidDecisionRequest, key: &TokenKey) -> Result<VoidDecision, Refusal> {
    let mut f = Fields::default();
    let decision = f.name("decision_id", request.decision_id);
    let hold = f.name("hold_id", request.hold_id);
    match (decision.is_empty(), hold.is_empty()) {
        (true, true) => f.refuse("decision_id", "is required; or hold_id"),
        (false, false) => f.refuse("hold_id", "is one address too many; send either decision_id or hold_id"),
        _ => {}
    }
    let by = f.name("by", request.by);
    let reason = f.text("reason", request.reason.unwrap_or_default(), TEXT_BYTES_MAX);
    f.finish()?;
    let of = match hold.is_empty() {
        true => opened(key, TokenKind::Decision, &decision, "decision_id")?,
        false => opened(key, TokenKind::Hold, &hold, "hold_id")?,
    };
    Ok(VoidDecision { call: call_of(&of), by, reason })
}
