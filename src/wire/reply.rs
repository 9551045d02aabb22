//! Answers of the router service as messages. Money becomes dollars here and only here; what is unknown stays absent.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp, Value};

use super::pb;
use super::refusal::Refusal;
use super::reply_budget::{exhaustion, standings};
use crate::domain::call::Arm;
use crate::domain::catalog::TaskCandidate;
use crate::domain::cell::EstimateSource;
use crate::domain::event::PolicyVerdict;
use crate::domain::filter::Exclusion;
use crate::domain::money::NanoUsd;
use crate::domain::outcome::{CostSource, Verdict};
use crate::domain::param::ParamValue;
use crate::domain::time::UnixMillis;
use crate::engine::FieldViolation;
use crate::service::{CandidateReply, INTERVAL_LEVEL, OutcomeReply, PolicyReply, PosteriorReply, VoidReply};

impl From<PolicyReply> for pb::GetPolicyResponse {
    fn from(reply: PolicyReply) -> Self {
        let served = reply.served.as_ref();
        Self {
            decision_id: reply.decision_id,
            proceed: reply.verdict.proceeds(),
            verdict: verdict(reply.verdict).into(),
            model: served.map(|c| c.model.id.to_string()),
            provider: served.map(|c| c.model.provider().to_owned()),
            params: served.and_then(params),
            max_output_tokens: reply.max_output_tokens,
            fallbacks: reply.fallbacks.iter().map(|(candidate, cost)| fallback(candidate, *cost)).collect(),
            arm: reply.arm.map_or(pb::Arm::Unspecified, arm).into(),
            estimated_cost_usd: reply.estimate.map(NanoUsd::usd),
            estimate_source: reply.estimate_source.map_or(pb::EstimateSource::Unspecified, estimate_source).into(),
            budgets: standings(&reply.budgets),
            exhaustion: reply.exhaustion.map(exhaustion),
            reason: reply.reason,
            expires_at: reply.expires_at.map(timestamp),
            catalog_version: reply.catalog_version,
            candidates: reply.candidates.into_iter().map(candidate).collect(),
            blocked_by_cost: reply.blocked_by_cost.iter().map(blocked).collect(),
            candidate: served.map(|c| c.id.to_string()),
            warnings: reply.warnings,
            router_choice: reply.router_choice.map(|id| id.to_string()),
            stratum: reply.stratum,
        }
    }
}

impl From<OutcomeReply> for pb::RecordOutcomeResponse {
    fn from(reply: OutcomeReply) -> Self {
        Self {
            outcome_id: reply.outcome_id,
            cost_usd: reply.cost.map(NanoUsd::usd),
            cost_source: cost_source(reply.cost_source).into(),
            duplicate: reply.duplicate,
            overrun: reply.overrun,
            posterior: reply.posterior.map(posterior),
            budgets: standings(&reply.budgets),
        }
    }
}

impl From<OutcomeReply> for pb::AmendOutcomeResponse {
    fn from(reply: OutcomeReply) -> Self {
        let pb::RecordOutcomeResponse { outcome_id, cost_usd, cost_source, duplicate, overrun, posterior, budgets } =
            reply.into();
        Self { outcome_id, cost_usd, cost_source, duplicate, overrun, posterior, budgets }
    }
}

impl From<VoidReply> for pb::VoidDecisionResponse {
    fn from(reply: VoidReply) -> Self {
        Self { duplicate: reply.duplicate, budgets: standings(&reply.budgets) }
    }
}

impl From<Refusal> for pb::OutcomeError {
    fn from(refusal: Refusal) -> Self {
        let violation = |v: FieldViolation| pb::FieldViolation { field: v.field, description: v.description };
        Self {
            code: i32::from(refusal.code as u8),
            message: refusal.message,
            field_violations: refusal.violations.into_iter().map(violation).collect(),
        }
    }
}

fn fallback(candidate: &TaskCandidate, cost: Option<NanoUsd>) -> pb::Fallback {
    pb::Fallback {
        model: candidate.model.id.to_string(),
        provider: candidate.model.provider().to_owned(),
        params: params(candidate),
        estimated_cost_usd: cost.map(NanoUsd::usd),
        candidate: candidate.id.to_string(),
    }
}

fn candidate(reply: CandidateReply) -> pb::Candidate {
    pb::Candidate {
        model: reply.candidate.model.id.to_string(),
        eligible: reply.exclusion.is_none(),
        exclusion: reply.exclusion.map_or(pb::ExclusionReason::Unspecified, exclusion).into(),
        exclusion_detail: reply.exclusion_detail,
        mean: reply.posterior.mean(),
        interval: Some(interval(reply.interval)),
        draw: reply.draw,
        propensity: reply.propensity,
        expected_cost_usd: reply.expected.map(NanoUsd::usd),
        shadow: reply.shadow,
        candidate: reply.candidate.id.to_string(),
    }
}

fn blocked((model, draw, mean): &(std::sync::Arc<str>, f64, f64)) -> pb::BlockedByCost {
    pb::BlockedByCost { model: model.to_string(), draw: *draw, mean: *mean }
}

fn posterior(reply: PosteriorReply) -> pb::PosteriorSummary {
    pb::PosteriorSummary {
        alpha: reply.posterior.alpha(),
        beta: reply.posterior.beta(),
        mean: reply.posterior.mean(),
        interval: Some(interval(reply.interval)),
    }
}

/// An interval at the level that every interval is reported at.
pub(super) fn interval((low, high): (f64, f64)) -> pb::Interval {
    pb::Interval { low, high, level: INTERVAL_LEVEL }
}

/// An instant as a message.
pub(super) fn timestamp(at: UnixMillis) -> Timestamp {
    let nanos = i32::try_from(at.0.rem_euclid(1_000) * 1_000_000).unwrap_or(0);
    Timestamp { seconds: at.0.div_euclid(1_000), nanos }
}

/// Fixed parameters as the catalogue has them; `None`: none.
fn params(candidate: &TaskCandidate) -> Option<Struct> {
    (!candidate.params.is_empty()).then(|| fields(&candidate.params))
}

fn fields(table: &BTreeMap<String, ParamValue>) -> Struct {
    Struct { fields: table.iter().map(|(name, value)| (name.clone(), json(value))).collect() }
}

fn json(value: &ParamValue) -> Value {
    let kind = match value {
        ParamValue::Text(text) => Kind::StringValue(text.clone()),
        ParamValue::Number(number) => Kind::NumberValue(*number),
        ParamValue::Flag(flag) => Kind::BoolValue(*flag),
        ParamValue::List(items) => Kind::ListValue(ListValue { values: items.iter().map(json).collect() }),
        ParamValue::Table(table) => Kind::StructValue(fields(table)),
    };
    Value { kind: Some(kind) }
}

/// What the caller is told to do.
pub(super) fn verdict(verdict: PolicyVerdict) -> pb::Verdict {
    match verdict {
        PolicyVerdict::Allow => pb::Verdict::Allow,
        PolicyVerdict::AllowWithWarning => pb::Verdict::AllowWithWarning,
        PolicyVerdict::Downgrade => pb::Verdict::Downgrade,
        PolicyVerdict::Reuse => pb::Verdict::Reuse,
        PolicyVerdict::NoModel => pb::Verdict::NoModel,
        PolicyVerdict::RequireApproval => pb::Verdict::RequireApproval,
        PolicyVerdict::Block => pb::Verdict::Block,
    }
}

/// INV-WIRE-1: a decision is never routed elsewhere and never a fallback.
fn arm(arm: Arm) -> pb::Arm {
    assert!(!matches!(arm, Arm::Elsewhere | Arm::Fallback), "INV-WIRE-1: a decision has the arm {}", arm.as_str());
    any_arm(arm)
}

/// How the model of any call came to be served.
pub(super) fn any_arm(arm: Arm) -> pb::Arm {
    match arm {
        Arm::Router => pb::Arm::Router,
        Arm::Holdout => pb::Arm::Holdout,
        Arm::Observe => pb::Arm::Observe,
        Arm::Pinned => pb::Arm::Pinned,
        Arm::Elsewhere => pb::Arm::Elsewhere,
        Arm::Fallback => pb::Arm::Fallback,
    }
}

/// Why a call failed; unspecified where it did not, or has no verdict. Both sides have the same numbers.
pub(super) fn failure_reason(verdict: Option<Verdict>) -> pb::FailureReason {
    let Some(Verdict::Failure(reason)) = verdict else { return pb::FailureReason::Unspecified };
    pb::FailureReason::try_from(i32::from(reason as u8)).unwrap_or(pb::FailureReason::Unknown)
}

fn estimate_source(source: EstimateSource) -> pb::EstimateSource {
    match source {
        EstimateSource::Learned => pb::EstimateSource::Learned,
        EstimateSource::Request => pb::EstimateSource::Request,
        EstimateSource::Typical => pb::EstimateSource::Typical,
        EstimateSource::Unknown => pb::EstimateSource::Unknown,
    }
}

/// Where a cost comes from.
pub(super) fn cost_source(source: CostSource) -> pb::CostSource {
    match source {
        CostSource::Reported => pb::CostSource::Reported,
        CostSource::Priced => pb::CostSource::Priced,
        CostSource::Unknown => pb::CostSource::Unknown,
    }
}

fn exclusion(exclusion: Exclusion) -> pb::ExclusionReason {
    match exclusion {
        Exclusion::OverMaxCost => pb::ExclusionReason::OverMaxCost,
        Exclusion::OverBudget => pb::ExclusionReason::OverBudget,
        Exclusion::PriceUnknown => pb::ExclusionReason::PriceUnknown,
        Exclusion::ContextTooSmall => pb::ExclusionReason::ContextTooSmall,
        Exclusion::CapabilityMissing => pb::ExclusionReason::CapabilityMissing,
        Exclusion::NotAllowed => pb::ExclusionReason::NotAllowed,
        Exclusion::Denied => pb::ExclusionReason::Denied,
        Exclusion::Disabled => pb::ExclusionReason::Disabled,
        Exclusion::Shadow => pb::ExclusionReason::Shadow,
        Exclusion::QualityFloor => pb::ExclusionReason::QualityFloor,
        Exclusion::LatencyCeiling => pb::ExclusionReason::LatencyCeiling,
        Exclusion::TierCeiling => pb::ExclusionReason::TierCeiling,
        Exclusion::RetryDoesNotPay => pb::ExclusionReason::RetryDoesNotPay,
    }
}

#[cfg(test)]
mod tests;
