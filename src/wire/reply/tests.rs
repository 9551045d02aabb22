//! Answers of the router service as messages: what is absent, what proceeds, what keeps its numbers.

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
        router_choice: None,
        estimate: Some(NanoUsd(2_100_000)),
        estimate_source: Some(EstimateSource::Typical),
        reason: "because".into(),
        expires_at: Some(UnixMillis(1_999)),
        catalog_version: "v1".into(),
        stratum: Some("difficulty >= 0.6".to_owned()),
        candidates: Vec::new(),
        blocked_by_cost: vec![("a".into(), 0.75, 0.5)],
        warnings: vec!["w".into()],
        budgets: Vec::new(),
        exhaustion: None,
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
    assert_eq!(response.stratum.as_deref(), Some("difficulty >= 0.6"));
    assert_eq!(response.expires_at, Some(Timestamp { seconds: 1, nanos: 999_000_000 }));
    assert_eq!(response.fallbacks[0].estimated_cost_usd, None, "an unknown cost is absent, never 0");
    assert_eq!(response.fallbacks[1].estimated_cost_usd, Some(5e-9));
    assert_eq!(response.blocked_by_cost[0], pb::BlockedByCost { model: "a".into(), draw: 0.75, mean: 0.5 });
}

#[test]
fn only_what_allows_proceeds() {
    for (of, expected, proceeds) in [
        (PolicyVerdict::AllowWithWarning, pb::Verdict::AllowWithWarning, true),
        (PolicyVerdict::Downgrade, pb::Verdict::Downgrade, true),
        (PolicyVerdict::Reuse, pb::Verdict::Reuse, false),
        (PolicyVerdict::NoModel, pb::Verdict::NoModel, false),
        (PolicyVerdict::RequireApproval, pb::Verdict::RequireApproval, false),
        (PolicyVerdict::Block, pb::Verdict::Block, false),
    ] {
        let response = pb::GetPolicyResponse::from(policy(of));
        assert_eq!((response.proceed, response.verdict()), (proceeds, expected));
        assert_eq!((response.model.as_ref(), response.arm()), (None, pb::Arm::Unspecified));
    }
}

#[test]
fn an_answer_carries_budgets_and_the_one_in_the_way() {
    use crate::domain::budget::{Measure, OnExceed, Period, Scope};
    use crate::service::goal_reply::{BudgetStanding, Exhaustion};
    let (resets_at, measure) = (None, Measure::Usd);
    let standing = BudgetStanding {
        budget_id: "run".into(),
        scope: Scope::Goal,
        instance: "t-1".into(),
        goal_id: "t-1".into(),
        measure,
        period: Period::PerGoal,
        limit: 2_000_000_000,
        granted: 0,
        spent: 1_800_000_000,
        held: 0,
        presumed: 0,
        resets_at,
        on_exceed: OnExceed::Block,
    };
    let (action, message) = (OnExceed::Block, "used up".to_owned());
    let exhaustion = Exhaustion {
        budget_id: "run".into(),
        action,
        message,
        resets_at,
        measure,
        limit: 2_000_000_000,
        spent: 1_800_000_000,
        held: 0,
    };
    let reply =
        PolicyReply { budgets: vec![standing.clone()], exhaustion: Some(exhaustion), ..policy(PolicyVerdict::Block) };
    let response = pb::GetPolicyResponse::from(reply);
    assert_eq!((response.budgets[0].id.as_str(), response.budgets[0].remaining), ("run", 0.2));
    let way = response.exhaustion.unwrap();
    assert_eq!((way.budget_id.as_str(), way.action.as_str(), way.message.as_str()), ("run", "block", "used up"));
    let void = pb::VoidDecisionResponse::from(VoidReply { duplicate: true, budgets: vec![standing] });
    assert_eq!((void.duplicate, void.budgets[0].spent), (true, 1.8));
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
        budgets: Vec::new(),
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
