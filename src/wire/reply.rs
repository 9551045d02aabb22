//! Answers of the router service as messages. Money becomes dollars here and only here; what is unknown stays absent.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp, Value};

use super::pb;
use super::refusal::Refusal;
use crate::domain::call::Arm;
use crate::domain::catalog::TaskCandidate;
use crate::domain::cell::EstimateSource;
use crate::domain::event::PolicyVerdict;
use crate::domain::filter::Exclusion;
use crate::domain::money::NanoUsd;
use crate::domain::outcome::CostSource;
use crate::domain::param::ParamValue;
use crate::domain::time::UnixMillis;
use crate::engine::FieldViolation;
use crate::service::{CandidateReply, INTERVAL_LEVEL, OutcomeReply, PolicyReply, PosteriorReply};

impl From<PolicyReply> for pb::GetPolicyResponse {
    fn from(reply: PolicyReply) -> Self {
        let served = reply.served.as_ref();
        Self {
            decision_id: reply.decision_id,
            proceed: reply.verdict == PolicyVerdict::Allow,
            verdict: verdict(reply.verdict).into(),
            model: served.map(|c| c.model.id.to_string()),
            provider: served.map(|c| c.model.provider().to_owned()),
            params: served.and_then(params),
            max_output_tokens: reply.max_output_tokens,
            fallbacks: reply.fallbacks.iter().map(|(candidate, cost)| fallback(candidate, *cost)).collect(),
            arm: reply.arm.map_or(pb::Arm::Unspecified, arm).into(),
            estimated_cost_usd: reply.estimate.map(NanoUsd::usd),
            estimate_source: reply.estimate_source.map_or(pb::EstimateSource::Unspecified, estimate_source).into(),
            budgets: Vec::new(),
            exhaustion: None,
            reason: reply.reason,
            expires_at: reply.expires_at.map(timestamp),
            catalog_version: reply.catalog_version,
            candidates: reply.candidates.into_iter().map(candidate).collect(),
            blocked_by_cost: reply.blocked_by_cost.iter().map(blocked).collect(),
            candidate: served.map(|c| c.id.to_string()),
            warnings: reply.warnings,
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
            budgets: Vec::new(),
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

fn verdict(verdict: PolicyVerdict) -> pb::Verdict {
    match verdict {
        PolicyVerdict::Allow => pb::Verdict::Allow,
        PolicyVerdict::NoModel => pb::Verdict::NoModel,
        PolicyVerdict::RequireApproval => pb::Verdict::RequireApproval,
        PolicyVerdict::Block => pb::Verdict::Block,
    }
}

/// INV-WIRE-1: a decision is never routed elsewhere and never a fallback.
fn arm(arm: Arm) -> pb::Arm {
    match arm {
        Arm::Router => pb::Arm::Router,
        Arm::Holdout => pb::Arm::Holdout,
        Arm::Observe => pb::Arm::Observe,
        Arm::Pinned => pb::Arm::Pinned,
        Arm::Elsewhere | Arm::Fallback => unreachable!("INV-WIRE-1: a decision has the arm {}", arm.as_str()),
    }
}

fn estimate_source(source: EstimateSource) -> pb::EstimateSource {
    match source {
        EstimateSource::Learned => pb::EstimateSource::Learned,
        EstimateSource::Request => pb::EstimateSource::Request,
        EstimateSource::Typical => pb::EstimateSource::Typical,
        EstimateSource::Unknown => pb::EstimateSource::Unknown,
    }
}

fn cost_source(source: CostSource) -> pb::CostSource {
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
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::beta::Beta;
    use crate::domain::catalog::Model;

    fn candidate(params: &[(&str, ParamValue)]) -> TaskCandidate {
        let model = Model {
            id: "openai/gpt-4o".into(),
            aliases: Vec::new(),
            rules: Vec::new(),
            capabilities: Default::default(),
            context_tokens: None,
            output_tokens: None,
            typical: None,
            source: String::new(),
            prices: Vec::new(),
        };
        TaskCandidate {
            id: "openai/gpt-4o#short".into(),
            model: Arc::new(model),
            params: params.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
            prior: None,
            tier: None,
            shadow: false,
        }
    }

    fn policy(verdict: PolicyVerdict) -> PolicyReply {
        let served = (verdict == PolicyVerdict::Allow).then(|| candidate(&[("temperature", ParamValue::Number(0.2))]));
        PolicyReply {
            decision_id: Some("d_1".into()),
            verdict,
            arm: served.as_ref().map(|_| Arm::Router),
            fallbacks: vec![(candidate(&[]), None), (candidate(&[]), Some(NanoUsd(5)))],
            served,
            max_output_tokens: Some(100),
            estimate: Some(NanoUsd(2_100_000)),
            estimate_source: Some(EstimateSource::Typical),
            reason: "because".into(),
            expires_at: Some(UnixMillis(1_999)),
            catalog_version: "v1".into(),
            candidates: Vec::new(),
            blocked_by_cost: vec![("a".into(), 0.75, 0.5)],
            warnings: vec!["w".into()],
        }
    }

    #[test]
    fn an_allowed_call_names_model_provider_and_parameters() {
        let response = pb::GetPolicyResponse::from(policy(PolicyVerdict::Allow));
        assert!(response.proceed);
        assert_eq!(response.verdict(), pb::Verdict::Allow);
        assert_eq!(response.model.as_deref(), Some("openai/gpt-4o"));
        assert_eq!(response.provider.as_deref(), Some("openai"));
        assert_eq!(response.candidate.as_deref(), Some("openai/gpt-4o#short"));
        assert_eq!(response.params.as_ref().unwrap().fields["temperature"].kind, Some(Kind::NumberValue(0.2)));
        assert_eq!(response.estimated_cost_usd, Some(0.0021));
        assert_eq!(response.expires_at, Some(Timestamp { seconds: 1, nanos: 999_000_000 }));
        assert_eq!(response.fallbacks[0].estimated_cost_usd, None, "an unknown cost is absent, never 0");
        assert_eq!(response.fallbacks[1].estimated_cost_usd, Some(5e-9));
        assert_eq!(response.blocked_by_cost[0], pb::BlockedByCost { model: "a".into(), draw: 0.75, mean: 0.5 });
    }

    #[test]
    fn nothing_but_allow_proceeds() {
        for (verdict, expected) in [
            (PolicyVerdict::NoModel, pb::Verdict::NoModel),
            (PolicyVerdict::RequireApproval, pb::Verdict::RequireApproval),
            (PolicyVerdict::Block, pb::Verdict::Block),
        ] {
            let response = pb::GetPolicyResponse::from(policy(verdict));
            assert_eq!((response.proceed, response.verdict()), (false, expected));
            assert_eq!((response.model.as_ref(), response.arm()), (None, pb::Arm::Unspecified));
        }
    }

    #[test]
    #[should_panic(expected = "INV-WIRE-1")]
    fn a_decision_is_never_routed_elsewhere() {
        arm(Arm::Elsewhere);
    }

    #[test]
    fn enums_keep_their_words() {
        for source in CostSource::ALL {
            assert_eq!(cost_source(*source).as_str_name(), format!("COST_SOURCE_{}", source.as_str().to_uppercase()));
        }
        for why in Exclusion::ALL {
            assert_eq!(exclusion(*why).as_str_name(), format!("EXCLUSION_REASON_{}", why.as_str().to_uppercase()));
        }
        for one in PolicyVerdict::ALL {
            assert_eq!(verdict(*one).as_str_name(), format!("VERDICT_{}", one.as_str().to_uppercase()));
        }
        for one in Arm::ALL.iter().filter(|a| !matches!(a, Arm::Elsewhere | Arm::Fallback)) {
            assert_eq!(arm(*one).as_str_name(), format!("ARM_{}", one.as_str().to_uppercase()));
        }
    }

    #[test]
    fn parameters_keep_their_type() {
        let text = |text: &str| ParamValue::Text(text.to_owned());
        let table = ParamValue::Table([("type".to_owned(), ParamValue::Flag(true))].into());
        let list = ParamValue::List(vec![ParamValue::Number(1.0), text("a"), table]);
        let served = candidate(&[("list", list), ("number", ParamValue::Number(0.2)), ("text", text("120"))]);
        let of = |kind| Value { kind: Some(kind) };
        let table = Kind::StructValue(Struct { fields: [("type".to_owned(), of(Kind::BoolValue(true)))].into() });
        let list = vec![of(Kind::NumberValue(1.0)), of(Kind::StringValue("a".into())), of(table)];
        let expected = [
            ("list".to_owned(), of(Kind::ListValue(ListValue { values: list }))),
            ("number".to_owned(), of(Kind::NumberValue(0.2))),
            ("text".to_owned(), of(Kind::StringValue("120".into()))),
        ];
        assert_eq!(params(&served), Some(Struct { fields: expected.into() }));
        assert_eq!(params(&candidate(&[])), None);
    }

    #[test]
    fn an_outcome_of_unknown_cost_has_none() {
        let posterior = PosteriorReply { posterior: Beta::new(3.0, 1.0).unwrap(), interval: (0.25, 0.75) };
        let reply = OutcomeReply {
            outcome_id: "o_1".into(),
            cost: None,
            cost_source: CostSource::Unknown,
            duplicate: true,
            overrun: false,
            posterior: Some(posterior),
        };
        let response = pb::AmendOutcomeResponse::from(reply);
        assert_eq!((response.cost_usd, response.cost_source()), (None, pb::CostSource::Unknown));
        let summary = response.posterior.unwrap();
        assert_eq!((summary.alpha, summary.beta, summary.mean), (3.0, 1.0, 0.75));
        assert_eq!(summary.interval, Some(pb::Interval { low: 0.25, high: 0.75, level: 0.9 }));
        assert!(response.duplicate);
    }

    #[test]
    fn instants_before_1970_keep_positive_nanos() {
        assert_eq!(timestamp(UnixMillis(-1)), Timestamp { seconds: -1, nanos: 999_000_000 });
    }

    #[test]
    fn a_refusal_in_a_stream_keeps_code_and_fields() {
        let refusal = Refusal::invalid(vec![FieldViolation::new("cost_usd", "is -1.0")]);
        let error = pb::OutcomeError::from(refusal);
        assert_eq!((error.code, error.message.as_str()), (3, "cost_usd is -1.0"));
        assert_eq!(error.field_violations[0].field, "cost_usd");
    }
}
