//! Every rule by which a request of the router, insights or admin service is refused, and what is made of a good one.

use std::collections::BTreeMap;

use super::refusal::{Code, Refusal};
use super::{pb, request, request_admin};
use crate::domain::call::{Arm, CallNo, CallRef, CallTraits, Selection};
use crate::domain::catalog::ServiceTier;
use crate::domain::money::NanoUsd;
use crate::domain::names::NameId;
use crate::domain::outcome::{DecisionRef, FailureReason, OutcomeOf, QualityMicro, Verdict};
use crate::domain::pricing::{MAX_TOKENS, Usage};
use crate::domain::rollout::Assigned;
use crate::domain::strata::Stratum;
use crate::domain::time::UnixMillis;
use crate::domain::token::{TokenKey, TokenKind};
use crate::engine::AmendAddress;

fn key() -> TokenKey {
    TokenKey::new([9; 32])
}

fn reference() -> DecisionRef {
    DecisionRef {
        number: CallNo(41),
        at: UnixMillis(1_000),
        task: NameId(2),
        candidate: NameId(3),
        step: NameId(4),
        traits: CallTraits {
            arm: Arm::Router,
            selection: Selection::Draw,
            may_teach: true,
            quality_reward: false,
            learns_from_goal: false,
            assigned: Assigned::No,
            stratum: Stratum::NONE,
        },
    }
}

/// The call those ids name.
fn called() -> CallRef {
    CallRef { number: CallNo(41), at: UnixMillis(1_000) }
}

fn decision_id() -> String {
    key().seal(TokenKind::Decision, &reference())
}

fn outcome_id() -> String {
    key().seal(TokenKind::Outcome, &reference())
}

fn hold_id() -> String {
    key().seal(TokenKind::Hold, &reference())
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn pair<V>(name: &str, value: V) -> BTreeMap<String, V> {
    BTreeMap::from([(name.to_owned(), value)])
}

fn fields<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Vec<String> {
    let refusal = result.expect_err("it should have been refused");
    assert_eq!(refusal.code, Code::InvalidArgument, "{refusal:?}");
    assert!(!refusal.message.contains(char::is_control) && !refusal.message.is_empty());
    refusal.violations.into_iter().map(|v| v.field).collect()
}

type Break<M> = fn(&mut M);

fn ask() -> pb::GetPolicyRequest {
    pb::GetPolicyRequest { task_type: "triage".into(), ..Default::default() }
}

#[test]
fn each_bad_field_of_a_policy_request_is_named() {
    fn limits(r: &mut pb::GetPolicyRequest) -> &mut pb::Constraints {
        r.constraints.get_or_insert_default()
    }
    fn estimate(r: &mut pb::GetPolicyRequest) -> &mut pb::UsageEstimate {
        r.usage_estimate.get_or_insert_default()
    }
    let table: &[(&str, Break<pb::GetPolicyRequest>)] = &[
        ("task_type", |r| r.task_type.clear()),
        ("task_type", |r| r.task_type = "t".repeat(201)),
        ("task_type", |r| r.task_type = "a\nb".into()),
        ("goal_id", |r| r.goal_id = Some("g".repeat(201))),
        ("workflow", |r| r.workflow = text("\u{1b}[2J")),
        ("step", |r| r.step = text("a\0")),
        ("labels", |r| r.labels = (0..33).map(|i| (format!("k{i}"), "v".into())).collect()),
        ("labels", |r| r.labels = pair(&"k".repeat(65), "v".into())),
        ("labels.team", |r| r.labels = pair("team", "v".repeat(257))),
        ("labels.user", |r| r.labels = pair("user", "a\tb".into())),
        ("constraints.max_cost_usd", |r| limits(r).max_cost_usd = Some(f64::NAN)),
        ("constraints.max_cost_usd", |r| limits(r).max_cost_usd = Some(f64::INFINITY)),
        ("constraints.max_cost_usd", |r| limits(r).max_cost_usd = Some(-0.01)),
        ("constraints.max_cost_usd", |r| limits(r).max_cost_usd = Some(1e308)),
        ("constraints.max_latency_ms", |r| limits(r).max_latency_ms = Some(u64::MAX)),
        ("constraints.min_success_rate", |r| limits(r).min_success_rate = Some(95.0)),
        ("constraints.min_success_rate", |r| limits(r).min_success_rate = Some(f64::NAN)),
        ("constraints.min_context_tokens", |r| limits(r).min_context_tokens = Some(u64::MAX)),
        ("constraints.capabilities[0]", |r| limits(r).capabilities = vec![String::new()]),
        ("constraints.allowed_models[1]", |r| limits(r).allowed_models = vec!["a".into(), "b\n".into()]),
        ("constraints.denied_models", |r| limits(r).denied_models = vec!["a".into(); 65]),
        ("usage_estimate.input_tokens", |r| estimate(r).input_tokens = Some(MAX_TOKENS + 1)),
        ("usage_estimate.output_tokens", |r| estimate(r).output_tokens = Some(u64::MAX)),
        ("usage_estimate.max_output_tokens", |r| estimate(r).max_output_tokens = Some(u64::MAX)),
        ("usage_estimate.service_tier", |r| estimate(r).service_tier = text("gold")),
        ("requested_model", |r| r.requested_model = Some("m".repeat(201))),
        ("features.length", |r| r.features = pair("length", f64::NAN)),
        ("features", |r| r.features = (0..33).map(|i| (format!("k{i}"), 0.0)).collect()),
        ("parent_goal_id", |r| r.parent_goal_id = text("\u{7f}")),
        ("idempotency_key", |r| r.idempotency_key = Some("k".repeat(201))),
    ];
    for (i, (field, spoil)) in table.iter().enumerate() {
        let mut request = ask();
        spoil(&mut request);
        assert_eq!(fields(request::policy(request, &key())), [*field], "case {i}");
    }
    assert!(request::policy(ask(), &key()).is_ok());
}

#[test]
fn all_bad_fields_are_named_at_once() {
    let constraints = pb::Constraints { max_cost_usd: Some(-1.0), min_success_rate: Some(2.0), ..Default::default() };
    let request = pb::GetPolicyRequest { constraints: Some(constraints), ..Default::default() };
    let expected = ["constraints.max_cost_usd", "constraints.min_success_rate", "task_type"];
    assert_eq!(fields(request::policy(request, &key())), expected);
}

#[test]
fn a_policy_request_comes_out_in_the_domains_terms() {
    let request = pb::GetPolicyRequest {
        labels: BTreeMap::from([("user".into(), "ada".into()), ("team".into(), "eu".into())]),
        reversible: Some(false),
        constraints: Some(pb::Constraints { max_cost_usd: Some(0.05), ..Default::default() }),
        usage_estimate: Some(pb::UsageEstimate { service_tier: text("batch"), ..Default::default() }),
        goal_id: text(""),
        explain: true,
        ..ask()
    };
    let checked = request::policy(request, &key()).unwrap();
    assert_eq!(checked.asked.max_cost, Some(NanoUsd(50_000_000)));
    assert_eq!(checked.estimate.service_tier, ServiceTier::Batch);
    assert_eq!(checked.labels["user"], key().conceal("ada"));
    assert_eq!(checked.labels["team"], "eu");
    assert!(checked.irreversible && checked.explain && checked.goal_id.is_empty() && checked.key.is_none());
    assert!(!request::policy(ask(), &key()).unwrap().irreversible, "absent means reversible");
}

#[test]
fn a_key_ignores_explain_and_tells_bodies_apart() {
    let keyed = |r: pb::GetPolicyRequest| {
        request::policy(pb::GetPolicyRequest { idempotency_key: text("k"), ..r }, &key()).unwrap().key
    };
    let first = keyed(ask()).unwrap();
    assert_eq!(keyed(pb::GetPolicyRequest { explain: true, ..ask() }), Some(first));
    let other = keyed(pb::GetPolicyRequest { step: text("s"), ..ask() }).unwrap();
    assert_eq!(other.hash, first.hash);
    assert_ne!(other.body, first.body);
    assert_eq!(keyed(pb::GetPolicyRequest { dry_run: true, ..ask() }), None, "a dry run is never a repeat");
}

fn told() -> pb::RecordOutcomeRequest {
    pb::RecordOutcomeRequest { decision_id: Some(decision_id()), success: Some(true), ..Default::default() }
}

fn elsewhere(task: &str, model: &str, tool: &str) -> pb::RecordOutcomeRequest {
    let (task_type, model, tool) = (text(task), text(model), text(tool));
    pb::RecordOutcomeRequest { task_type, model, tool, ..Default::default() }
}

#[test]
fn each_bad_field_of_an_outcome_is_named() {
    fn usage(r: &mut pb::RecordOutcomeRequest) -> &mut pb::Usage {
        r.usage.get_or_insert(pb::Usage { input_tokens: Some(10), output_tokens: Some(10), ..Default::default() })
    }
    let table: &[(&str, Break<pb::RecordOutcomeRequest>)] = &[
        ("decision_id", |r| r.decision_id = None),
        ("decision_id", |r| r.decision_id = Some("d".repeat(201))),
        ("hold_id", |r| r.hold_id = text("h_1")),
        ("task_type", |r| r.task_type = text("triage")),
        ("model", |r| r.model = text("gpt-4o")),
        ("quality_score", |r| r.quality_score = Some(1.01)),
        ("quality_score", |r| r.quality_score = Some(f64::NAN)),
        ("retry_of", |r| r.retry_of = text("a\n")),
        ("failure_reason", |r| r.failure_reason = pb::FailureReason::Timeout.into()),
        ("failure_reason", |r| r.failure_reason = 15),
        ("failure_reason", |r| r.failure_reason = -1),
        ("cost_usd", |r| r.cost_usd = Some(f64::NAN)),
        ("cost_usd", |r| r.cost_usd = Some(f64::NEG_INFINITY)),
        ("cost_usd", |r| r.cost_usd = Some(-1e-12)),
        ("cost_usd", |r| r.cost_usd = Some(1e308)),
        ("cost_usd", |r| r.cost_usd = Some(1_000_000.01)),
        ("usage.input_tokens", |r| usage(r).input_tokens = Some(MAX_TOKENS + 1)),
        ("usage.output_tokens", |r| usage(r).output_tokens = Some(u64::MAX)),
        ("usage.cached_input_tokens", |r| usage(r).cached_input_tokens = 11),
        ("usage.cached_input_tokens", |r| usage(r).cached_input_tokens = u64::MAX),
        ("usage.cache_write_tokens", |r| (usage(r).cached_input_tokens, usage(r).cache_write_tokens) = (6, 5)),
        ("usage.cache_write_tokens", |r| usage(r).cache_write_tokens = u64::MAX),
        ("usage.reasoning_tokens", |r| usage(r).reasoning_tokens = 11),
        ("usage.reasoning_tokens", |r| usage(r).reasoning_tokens = u64::MAX),
        ("usage.service_tier", |r| usage(r).service_tier = text("STANDARD")),
        ("latency_ms", |r| r.latency_ms = Some(1 << 32)),
        ("energy_joules", |r| r.energy_joules = Some(-1.0)),
        ("energy_joules", |r| r.energy_joules = Some(f64::INFINITY)),
        ("energy_joules", |r| r.energy_joules = Some(1e308)),
        ("goal_id", |r| r.goal_id = Some("g".repeat(201))),
        ("workflow", |r| r.workflow = text("\r")),
        ("step", |r| r.step = text("\u{85}")),
        ("tool", |r| r.tool = Some("t".repeat(201))),
        ("model_served", |r| r.model_served = Some("m".repeat(201))),
        ("evidence", |r| r.evidence = Some("e".repeat(2_001))),
        ("output_ref", |r| r.output_ref = text("s3://x\n")),
        ("purpose", |r| r.purpose = 3),
        ("occurred_at", |r| r.occurred_at = Some(prost_types::Timestamp { seconds: 0, nanos: -1 })),
        ("occurred_at", |r| r.occurred_at = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 })),
        ("idempotency_key", |r| r.idempotency_key = text("\u{0}")),
        ("labels.team", |r| r.labels = pair("team", "v".repeat(257))),
    ];
    for (i, (field, spoil)) in table.iter().enumerate() {
        let mut request = told();
        spoil(&mut request);
        assert_eq!(fields(request::outcome(request, &key())), [*field], "case {i}");
    }
    assert!(request::outcome(told(), &key()).is_ok());
}

#[test]
fn an_outcome_has_exactly_one_address() {
    let of = |r| request::outcome(r, &key()).map(|report| report.of);
    assert_eq!(of(told()).unwrap(), OutcomeOf::Decision(reference()));
    let model_call = OutcomeOf::Elsewhere { task: "triage".into(), model: "gpt-4o".into() };
    assert_eq!(of(elsewhere("triage", "gpt-4o", "")).unwrap(), model_call);
    assert_eq!(of(elsewhere("triage", "gpt-4o", "search")).unwrap(), model_call);
    let tool_call = OutcomeOf::Elsewhere { task: String::new(), model: String::new() };
    assert_eq!(of(elsewhere("", "", "search")).unwrap(), tool_call);
    assert_eq!(fields(of(elsewhere("triage", "", ""))), ["model"]);
    assert_eq!(fields(of(elsewhere("triage", "", "search"))), ["model"]);
    assert_eq!(fields(of(elsewhere("", "gpt-4o", ""))), ["task_type"]);
    let served = pb::RecordOutcomeRequest { model_served: text("m"), ..elsewhere("triage", "gpt-4o", "") };
    assert_eq!(fields(of(served)), ["model_served"]);
    let both = pb::RecordOutcomeRequest { task_type: text("t"), model: text("m"), ..told() };
    assert_eq!(fields(of(both)), ["task_type", "model"]);
}

#[test]
fn an_outcome_of_a_hold_is_no_model_call() {
    let of = |r| request::outcome(r, &key()).map(|report| report.of);
    let held = || pb::RecordOutcomeRequest { hold_id: Some(hold_id()), success: Some(true), ..Default::default() };
    assert_eq!(of(held()).unwrap(), OutcomeOf::Hold(reference()));
    let model = pb::RecordOutcomeRequest { task_type: text("t"), model: text("m"), ..held() };
    assert_eq!(fields(of(model)), ["task_type", "model"]);
    let served = pb::RecordOutcomeRequest { model_served: text("m"), ..held() };
    assert_eq!(fields(of(served)), ["model_served"]);
    assert_eq!(fields(of(pb::RecordOutcomeRequest { decision_id: Some(decision_id()), ..held() })), ["hold_id"]);
    for id in [decision_id(), outcome_id(), "h_x".to_owned()] {
        let other = pb::RecordOutcomeRequest { hold_id: Some(id), ..held() };
        assert_eq!(of(other).unwrap_err().code, Code::NotFound, "only a hold's id names a hold");
    }
}

#[test]
fn ids_that_are_not_ours_are_not_found() {
    let forged = [
        "d_x".to_owned(),
        outcome_id(),
        decision_id() + "A",
        TokenKey::new([8; 32]).seal(TokenKind::Decision, &reference()),
    ];
    for id in forged {
        let refusal = request::outcome(pb::RecordOutcomeRequest { decision_id: Some(id.clone()), ..told() }, &key());
        assert_eq!(refusal.unwrap_err().code, Code::NotFound, "{id}");
        let void = pb::VoidDecisionRequest { decision_id: Some(id), ..Default::default() };
        assert_eq!(request::void(void, &key()).unwrap_err().code, Code::NotFound);
    }
    let told_of = |id: &str| {
        let void = pb::VoidDecisionRequest { decision_id: text(id), ..Default::default() };
        request::void(void, &key()).unwrap_err().message
    };
    assert_eq!(told_of("d_x"), "no such decision: decision_id \"d_x\" is malformed");
    let foreign = TokenKey::new([8; 32]).seal(TokenKind::Decision, &reference());
    let start = &foreign[..16];
    let expected = format!("no such decision: decision_id \"{start}…\" was not given out by this daemon");
    assert_eq!(told_of(&foreign), expected);
    let retry = pb::RecordOutcomeRequest { retry_of: text("o_nothing"), ..told() };
    assert_eq!(request::outcome(retry, &key()).unwrap_err().code, Code::NotFound);
    for id in [decision_id(), outcome_id(), hold_id()] {
        let retry = pb::RecordOutcomeRequest { retry_of: Some(id), ..elsewhere("t", "m", "") };
        assert_eq!(request::outcome(retry, &key()).unwrap().retry_of, Some(CallNo(41)));
    }
}

#[test]
fn success_and_reason_make_the_verdict() {
    use pb::FailureReason as Said;
    let of = |success, reason: Said| {
        let request = pb::RecordOutcomeRequest { success, failure_reason: reason.into(), ..told() };
        request::outcome(request, &key()).unwrap().verdict
    };
    let failed = |reason| Some(Verdict::Failure(reason));
    assert_eq!(of(None, Said::Unspecified), None);
    assert_eq!(of(Some(true), Said::Unspecified), Some(Verdict::Success));
    assert_eq!(of(Some(false), Said::Unspecified), failed(FailureReason::Unknown));
    assert_eq!(of(Some(false), Said::Timeout), failed(FailureReason::Timeout));
    assert_eq!(of(None, Said::Hallucination), failed(FailureReason::Hallucination), "a reason says it failed");
    for reason in FailureReason::ALL {
        let said = Said::try_from(i32::from(*reason as u8)).unwrap();
        assert_eq!(said.as_str_name(), format!("FAILURE_REASON_{}", reason.as_str().to_uppercase()));
        assert_eq!(of(None, said), failed(*reason));
    }
}

#[test]
fn usage_counts_only_whole() {
    let of = |input_tokens, output_tokens| {
        let usage = pb::Usage { input_tokens, output_tokens, cached_input_tokens: 5, ..Default::default() };
        request::outcome(pb::RecordOutcomeRequest { usage: Some(usage), ..told() }, &key()).unwrap().usage
    };
    assert_eq!(of(Some(9), Some(3)), Some(Usage { input: 9, cached_input: 5, output: 3, ..Usage::default() }));
    assert_eq!(of(Some(9), None), None);
    assert_eq!(of(None, Some(3)), None);
    let zero = pb::Usage { input_tokens: Some(0), output_tokens: Some(0), ..Default::default() };
    let zero = pb::RecordOutcomeRequest { usage: Some(zero), ..told() };
    assert_eq!(request::outcome(zero, &key()).unwrap().usage, Some(Usage::default()), "zero tokens are known tokens");
}

#[test]
fn an_outcome_comes_out_in_the_domains_terms() {
    let request = pb::RecordOutcomeRequest {
        quality_score: Some(0.25),
        cost_usd: Some(0.0),
        energy_joules: Some(1.5),
        latency_ms: Some(800),
        purpose: pb::Purpose::Evaluation.into(),
        occurred_at: Some(prost_types::Timestamp { seconds: 2, nanos: 999_999 }),
        ..told()
    };
    let report = request::outcome(request, &key()).unwrap();
    assert_eq!(report.quality, Some(QualityMicro(250_000)));
    assert_eq!((report.cost, report.energy_mj, report.latency_ms), (Some(NanoUsd(0)), Some(1_500), Some(800)));
    assert!(report.evaluation);
    assert_eq!(report.occurred_at, Some(UnixMillis(2_000)));
    assert_eq!(report.service_tier, None);
}

#[test]
fn who_says_so_is_a_name_of_bounded_length() {
    let outcome = |source| request::outcome(pb::RecordOutcomeRequest { source, ..told() }, &key());
    let amended = |source| request::amendment(pb::AmendOutcomeRequest { source, ..corrected() }, &key());
    assert_eq!((outcome(text("ci")).unwrap().source, amended(text("ci")).unwrap().source), ("ci".into(), "ci".into()));
    assert_eq!((outcome(None).unwrap().source, amended(None).unwrap().source), (String::new(), String::new()));
    let long = || Some("s".repeat(201));
    assert_eq!(
        (fields(outcome(long())), fields(amended(long()))),
        (vec!["source".to_owned()], vec!["source".to_owned()])
    );
}

#[test]
fn the_body_digest_is_that_of_the_outcome_without_its_key() {
    let of = |r| request::outcome(r, &key()).unwrap();
    let plain = of(told());
    let keyed = of(pb::RecordOutcomeRequest { idempotency_key: text("k"), ..told() });
    assert_eq!(plain.key, None);
    assert_eq!(keyed.body, plain.body);
    assert_eq!(keyed.key.unwrap().body, plain.body);
    assert_ne!(of(pb::RecordOutcomeRequest { cost_usd: Some(0.0), ..told() }).body, plain.body);
    let user = |name: &str| of(pb::RecordOutcomeRequest { labels: pair("user", name.to_owned()), ..told() });
    assert_ne!(user("ada").body, user("bob").body);
}

#[test]
fn a_streamed_outcome_needs_an_outcome_and_a_plain_correlation() {
    let message = |correlation: &str, outcome| pb::RecordOutcomesRequest { correlation: correlation.into(), outcome };
    assert_eq!(request::streamed(message("c", Some(told()))).unwrap().0, "c");
    let (correlation, refusal) = request::streamed(message("c", None)).unwrap_err();
    assert_eq!((correlation.as_str(), refusal.violations[0].field.as_str()), ("c", "outcome"));
    let (correlation, refusal) = request::streamed(message(&"c".repeat(201), Some(told()))).unwrap_err();
    assert_eq!((correlation.len(), refusal.violations[0].field.as_str()), (201, "correlation"));
}

fn corrected() -> pb::AmendOutcomeRequest {
    pb::AmendOutcomeRequest {
        outcome_id: Some(outcome_id()),
        success: Some(false),
        reason: "customer came back".into(),
        ..Default::default()
    }
}

#[test]
fn each_bad_field_of_an_amendment_is_named() {
    let table: &[(&str, Break<pb::AmendOutcomeRequest>)] = &[
        ("reason", |r| r.reason.clear()),
        ("reason", |r| r.reason = "r".repeat(2_001)),
        ("by", |r| r.by = text("a\n")),
        ("success", |r| r.success = None),
        ("outcome_id", |r| r.outcome_id = None),
        ("decision_id", |r| r.decision_id = Some(decision_id())),
        ("goal_id", |r| (r.goal_id, r.step) = (text("g"), text("s"))),
        ("step", |r| r.step = text("s")),
        ("step", |r| (r.outcome_id, r.goal_id) = (None, text("g"))),
        ("goal_id", |r| (r.outcome_id, r.step) = (None, text("s"))),
        ("failure_reason", |r| (r.success, r.failure_reason) = (Some(true), pb::FailureReason::Unused.into())),
        ("failure_reason", |r| r.failure_reason = 99),
        ("quality_score", |r| r.quality_score = Some(-0.1)),
        ("cost_usd", |r| r.cost_usd = Some(f64::INFINITY)),
        ("idempotency_key", |r| r.idempotency_key = Some("k".repeat(201))),
    ];
    for (i, (field, spoil)) in table.iter().enumerate() {
        let mut request = corrected();
        spoil(&mut request);
        assert_eq!(fields(request::amendment(request, &key())), [*field], "case {i}");
    }
}

#[test]
fn an_amendment_is_addressed_in_one_of_three_ways() {
    let of = |outcome_id, decision_id, goal_id, step| {
        let request = pb::AmendOutcomeRequest { outcome_id, decision_id, goal_id, step, ..corrected() };
        request::amendment(request, &key()).map(|a| a.address)
    };
    assert_eq!(of(Some(outcome_id()), None, None, None), Ok(AmendAddress::Call(called())));
    assert_eq!(of(None, Some(decision_id()), None, None), Ok(AmendAddress::Call(called())));
    let step = AmendAddress::Step { goal: "g".into(), step: "s".into() };
    assert_eq!(of(None, None, text("g"), text("s")), Ok(step));
    assert_eq!(of(Some(decision_id()), None, None, None).unwrap_err().code, Code::NotFound);
    assert_eq!(of(None, text("d_x"), None, None).unwrap_err().code, Code::NotFound);
}

#[test]
fn voiding_needs_a_decision_or_a_hold() {
    let void = |decision_id, hold_id| {
        let request = pb::VoidDecisionRequest { decision_id, hold_id, by: text("ops"), reason: None };
        request::void(request, &key())
    };
    let expected = request::VoidDecision { call: called(), by: "ops".into(), reason: String::new() };
    assert_eq!(void(Some(decision_id()), None), Ok(expected.clone()));
    assert_eq!(void(None, Some(hold_id())), Ok(expected));
    assert_eq!(fields(void(None, None)), ["decision_id"]);
    assert_eq!(fields(void(Some(decision_id()), Some(hold_id()))), ["hold_id"]);
    assert_eq!(void(None, Some(decision_id())).unwrap_err().code, Code::NotFound);
}

#[test]
fn insights_take_a_window_and_conceal_the_user() {
    let of = |lookback_hours, filters| {
        let request = pb::GetInsightsRequest { lookback_hours: Some(lookback_hours), filters, ..Default::default() };
        request_admin::insights(request, &key())
    };
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e308, 1_000_001.0] {
        assert_eq!(fields(of(bad, None)), ["lookback_hours"], "{bad}");
    }
    let refusal = of(0.0, None).unwrap_err();
    let allowed = "is 0.0; allowed is any number of hours above 0, at most 1000000, and left out it is 168";
    assert_eq!(refusal.violations[0].description, allowed);
    let left_out = request_admin::insights(pb::GetInsightsRequest::default(), &key()).unwrap();
    assert_eq!((of(168.0, None).unwrap().lookback_ms, left_out.lookback_ms), (604_800_000, 604_800_000));
    assert_eq!(of(1e-300, None).unwrap().lookback_ms, 1, "never an empty window");
    let filters = pb::Filters { labels: pair("user", "ada".into()), task_type: text(""), ..Default::default() };
    let query = of(1.0, Some(filters)).unwrap();
    assert_eq!(query.filters.labels["user"], key().conceal("ada"));
    assert_eq!(query.filters.task_type, None, "an empty text counts as left out");
    let filters = pb::Filters { model: text("\n"), labels: pair("", "x".into()), ..Default::default() };
    assert_eq!(fields(of(1.0, Some(filters))), ["filters.model", "filters.labels"]);
}

#[test]
fn administration_says_what_who_and_why() {
    let state = |state: i32| pb::SetModelStateRequest {
        model: "m".into(),
        state,
        by: "ops".into(),
        reason: "r".into(),
        ..Default::default()
    };
    assert!(request_admin::model_state(state(pb::ModelState::Shadow.into())).is_ok());
    assert_eq!(fields(request_admin::model_state(state(0))), ["state"]);
    assert_eq!(fields(request_admin::model_state(state(4))), ["state"]);
    let nothing = pb::SetModelStateRequest { state: 1, ..Default::default() };
    assert_eq!(fields(request_admin::model_state(nothing)), ["model", "by", "reason"]);
    assert_eq!(fields(request_admin::reset(Default::default())), ["task_type", "by", "reason"]);
    assert_eq!(fields(request_admin::posterior(Default::default())), ["task_type"]);
    let reset = pb::ResetPosteriorRequest {
        task_type: "t".into(),
        by: "ops".into(),
        reason: "new model".into(),
        idempotency_key: text("k"),
        ..Default::default()
    };
    assert!(request_admin::reset(reset).unwrap().key.is_some());
}
