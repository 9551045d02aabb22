//! Every rule by which a request about goals, gates, budgets or alerts is refused, and what is made of a good one.

use std::collections::BTreeMap;

use super::refusal::{Code, Refusal};
use super::{pb, request_budget, request_goal};
use crate::domain::budget::Scope;
use crate::domain::goal::GoalState;
use crate::domain::money::NanoUsd;
use crate::domain::outcome::QualityMicro;
use crate::domain::request_goal::{ChangeWindows, GateRequest, GoalStateFilter, Page, Span, StartGoal};
use crate::domain::time::UnixMillis;
use crate::domain::token::TokenKey;

fn key() -> TokenKey {
    TokenKey::new([9; 32])
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn pair(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

#[track_caller]
fn fields<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Vec<String> {
    let refusal = result.expect_err("it should have been refused");
    assert_eq!(refusal.code, Code::InvalidArgument, "{refusal:?}");
    assert!(!refusal.message.contains(char::is_control) && !refusal.message.is_empty());
    refusal.violations.into_iter().map(|v| v.field).collect()
}

type Break<M> = fn(&mut M);

/// Spoils a good request in each way and expects just that field to be named.
#[track_caller]
fn each<M: Clone, T: std::fmt::Debug>(good: &M, check: impl Fn(M) -> Result<T, Refusal>, table: &[(&str, Break<M>)]) {
    assert!(check(good.clone()).is_ok());
    for (i, (field, spoil)) in table.iter().enumerate() {
        let mut request = good.clone();
        spoil(&mut request);
        assert_eq!(fields(check(request)), [*field], "case {i}");
    }
}

fn gate() -> pb::GateStepRequest {
    pb::GateStepRequest { goal_id: "t-1".into(), step: "search_kb".into(), ..Default::default() }
}

#[test]
fn each_bad_field_of_a_gate_is_named() {
    each(
        &gate(),
        |r| request_goal::gate(r, &key()),
        &[
            ("goal_id", |r| r.goal_id.clear()),
            ("goal_id", |r| r.goal_id = "g".repeat(201)),
            ("workflow", |r| r.workflow = text("a\n")),
            ("step", |r| r.step.clear()),
            ("tool", |r| r.tool = text("\u{1b}[2J")),
            ("labels", |r| r.labels = pair("", "v")),
            ("labels.user", |r| r.labels = pair("user", "a\tb")),
            ("estimated_cost_usd", |r| r.estimated_cost_usd = Some(f64::NAN)),
            ("estimated_cost_usd", |r| r.estimated_cost_usd = Some(-0.01)),
            ("estimated_cost_usd", |r| r.estimated_cost_usd = Some(1e308)),
            ("requires_evidence_from[1]", |r| r.requires_evidence_from = vec!["a".into(), String::new()]),
            ("requires_evidence_from", |r| r.requires_evidence_from = vec!["a".into(); 65]),
            ("idempotency_key", |r| r.idempotency_key = Some("k".repeat(201))),
            ("parent_goal_id", |r| r.parent_goal_id = text("a\0")),
            ("parent_goal_id", |r| r.parent_goal_id = text("t-1")),
        ],
    );
}

#[test]
fn a_gate_comes_out_in_the_domains_terms() {
    let request = pb::GateStepRequest {
        tool: text("search_api"),
        labels: BTreeMap::from([("user".into(), "ada".into()), ("team".into(), "eu".into())]),
        estimated_cost_usd: Some(0.25),
        requires_evidence_from: vec!["classify".into()],
        parent_goal_id: text("t-0"),
        ..gate()
    };
    let user = key().conceal("ada");
    let expected = GateRequest {
        goal_id: "t-1".into(),
        step: "search_kb".into(),
        tool: "search_api".into(),
        labels: BTreeMap::from([("user".into(), user), ("team".into(), "eu".into())]),
        estimated_cost: Some(NanoUsd(250_000_000)),
        requires_evidence_from: vec!["classify".into()],
        parent_goal: "t-0".into(),
        ..GateRequest::default()
    };
    assert_eq!(request_goal::gate(request, &key()), Ok(expected));
    let nothing = request_goal::gate(gate(), &key()).unwrap();
    assert_eq!((nothing.estimated_cost, nothing.key), (None, None), "an absent estimate is not zero");
}

#[test]
fn a_key_belongs_to_its_rpc_and_its_body() {
    let gated = |goal: &str| {
        let request = pb::GateStepRequest { goal_id: goal.into(), idempotency_key: text("k"), ..gate() };
        request_goal::gate(request, &key()).unwrap().key.unwrap()
    };
    let (one, same, other) = (gated("a"), gated("a"), gated("b"));
    assert_eq!(one, same);
    assert_eq!((one.hash, one.body == other.body), (other.hash, false));
    let start = pb::StartGoalRequest { goal_id: "a".into(), idempotency_key: text("k"), ..Default::default() };
    assert_ne!(request_goal::start(start, &key()).unwrap().key.unwrap().hash, one.hash);
}

#[test]
fn a_goal_starts_under_another_with_a_limit() {
    let good = pb::StartGoalRequest { goal_id: "t-1".into(), ..Default::default() };
    each(
        &good,
        |r| request_goal::start(r, &key()),
        &[
            ("goal_id", |r| r.goal_id.clear()),
            ("workflow", |r| r.workflow = Some("w".repeat(201))),
            ("labels.team", |r| r.labels = pair("team", &"v".repeat(257))),
            ("parent_goal_id", |r| r.parent_goal_id = text("t-1")),
            ("limit_usd", |r| r.limit_usd = Some(f64::INFINITY)),
            ("limit_usd", |r| r.limit_usd = Some(-1.0)),
        ],
    );
    let request = pb::StartGoalRequest { parent_goal_id: text("t-0"), limit_usd: Some(0.0), ..good };
    let expected =
        StartGoal { goal_id: "t-1".into(), parent: "t-0".into(), limit: Some(NanoUsd::ZERO), ..StartGoal::default() };
    assert_eq!(request_goal::start(request, &key()), Ok(expected), "a limit of nothing is a limit");
}

#[test]
fn a_goal_ends_in_a_state() {
    let good = pb::CompleteGoalRequest {
        goal_id: "t-1".into(),
        state: pb::GoalState::Escalated.into(),
        score: Some(0.8),
        ..Default::default()
    };
    each(
        &good,
        request_goal::complete,
        &[
            ("goal_id", |r| r.goal_id.clear()),
            ("state", |r| r.state = 0),
            ("state", |r| r.state = pb::GoalState::Open.into()),
            ("state", |r| r.state = 8),
            ("score", |r| r.score = Some(1.01)),
            ("score", |r| r.score = Some(f64::NAN)),
            ("note", |r| r.note = Some("n".repeat(2_001))),
            ("by", |r| r.by = text("a\n")),
            ("occurred_at", |r| r.occurred_at = Some(prost_types::Timestamp { seconds: 0, nanos: -1 })),
        ],
    );
    let checked = request_goal::complete(good.clone()).unwrap();
    assert_eq!((checked.state, checked.score), (GoalState::Escalated, Some(QualityMicro(800_000))));
    assert_eq!(checked.occurred_at, None);
    let late = pb::CompleteGoalRequest {
        occurred_at: Some(prost_types::Timestamp { seconds: 2, nanos: 5_000_000 }),
        ..good.clone()
    };
    assert_eq!(request_goal::complete(late).unwrap().occurred_at, Some(UnixMillis(2_005)));
    for state in GoalState::ALL {
        let request = pb::CompleteGoalRequest { state: i32::from(*state as u8), ..good.clone() };
        assert_eq!(request_goal::complete(request).unwrap().state, *state, "the numbers are those of the domain");
    }
}

#[test]
fn an_amendment_of_a_goal_changes_something_and_says_why() {
    let good = pb::AmendGoalRequest {
        goal_id: "t-1".into(),
        state: pb::GoalState::Rejected.into(),
        reason: "the customer came back".into(),
        ..Default::default()
    };
    each(
        &good,
        request_goal::amend,
        &[
            ("goal_id", |r| r.goal_id.clear()),
            ("state", |r| r.state = 0),
            ("state", |r| r.state = pb::GoalState::Open.into()),
            ("score", |r| r.score = Some(-0.1)),
            ("reason", |r| r.reason.clear()),
            ("by", |r| r.by = Some("b".repeat(201))),
        ],
    );
    let score = pb::AmendGoalRequest { state: 0, score: Some(0.0), ..good };
    let checked = request_goal::amend(score).unwrap();
    assert_eq!((checked.state, checked.score), (None, Some(QualityMicro(0))));
}

#[test]
fn a_grant_names_amount_approver_and_reason() {
    let good = pb::GrantBudgetRequest {
        goal_id: "t-1".into(),
        extra_usd: 0.5,
        approver: "ada".into(),
        reason: "vip".into(),
        ..Default::default()
    };
    each(
        &good,
        request_goal::grant,
        &[
            ("goal_id", |r| r.goal_id.clear()),
            ("extra_usd", |r| r.extra_usd = 0.0),
            ("extra_usd", |r| r.extra_usd = 1e-10),
            ("extra_usd", |r| r.extra_usd = -1.0),
            ("extra_usd", |r| r.extra_usd = f64::NAN),
            ("extra_usd", |r| r.extra_usd = 1_000_001.0),
            ("approver", |r| r.approver.clear()),
            ("reason", |r| r.reason.clear()),
        ],
    );
    assert_eq!(request_goal::grant(good).unwrap().extra, NanoUsd(500_000_000));
    assert_eq!(fields(request_goal::grant(Default::default())), ["extra_usd", "goal_id", "approver", "reason"]);
}

#[test]
fn lists_are_filtered_and_paged() {
    let of = |request| request_goal::list(request, &key());
    let all = of(pb::ListGoalsRequest::default()).unwrap();
    assert_eq!((all.filters.state, &all.page), (None, &Page { size: 50, token: String::new() }));
    let filters = |state: i32| pb::GoalFilters { state, workflow: text("w"), labels: pair("user", "ada") };
    let some = pb::ListGoalsRequest { filters: Some(filters(7)), page_size: 1_000, page_token: text("p") };
    let some = of(some).unwrap();
    assert_eq!(some.filters.state, Some(GoalStateFilter::Open));
    assert_eq!(some.filters.labels["user"], key().conceal("ada"));
    assert_eq!(some.page, Page { size: 1_000, token: "p".into() });
    let accepted = pb::ListGoalsRequest { filters: Some(filters(1)), ..Default::default() };
    assert_eq!(of(accepted).unwrap().filters.state, Some(GoalStateFilter::Ended(GoalState::Accepted)));
    let good = pb::ListGoalsRequest::default();
    each(
        &good,
        of,
        &[
            ("filters.state", |r| r.filters.get_or_insert_default().state = 8),
            ("filters.workflow", |r| r.filters.get_or_insert_default().workflow = text("\n")),
            ("page_size", |r| r.page_size = 1_001),
            ("page_size", |r| r.page_size = u64::MAX),
            ("page_token", |r| r.page_token = Some("p".repeat(2_001))),
        ],
    );
    assert_eq!(fields(request_goal::goal(String::new())), ["goal_id"]);
}

#[test]
fn a_sample_is_of_ended_goals() {
    let good = pb::SampleGoalsRequest { n: 200, ..Default::default() };
    each(
        &good,
        |r| request_goal::sample(r, &key()),
        &[
            ("n", |r| r.n = 0),
            ("n", |r| r.n = 1_001),
            ("seed", |r| r.seed = 1 << 32),
            ("lookback_hours", |r| r.lookback_hours = Some(0.0)),
            ("lookback_hours", |r| r.lookback_hours = Some(f64::NAN)),
            ("filters.state", |r| r.filters.get_or_insert_default().state = pb::GoalState::Open.into()),
        ],
    );
    let checked = request_goal::sample(good.clone(), &key()).unwrap();
    assert_eq!((checked.n, checked.seed, checked.lookback_ms), (200, 0, None));
    let far = pb::SampleGoalsRequest { seed: u64::from(u32::MAX), lookback_hours: Some(1.0), ..good };
    let checked = request_goal::sample(far, &key()).unwrap();
    assert_eq!((checked.seed, checked.lookback_ms), (u32::MAX, Some(3_600_000)));
}

#[test]
fn budgets_are_asked_for_by_scope_and_instance() {
    let of = |scope: &str, instance: &str| {
        let request = pb::ListBudgetsRequest { scope: text(scope), instance: text(instance), ..Default::default() };
        request_budget::list(request, &key()).map(|l| (l.scope, l.instance))
    };
    assert_eq!(of("", ""), Ok((None, None)));
    assert_eq!(of("team", "eu"), Ok((Some(Scope::Team), text("eu"))));
    assert_eq!(of("user", "ada"), Ok((Some(Scope::User), Some(key().conceal("ada")))), "users are never in clear");
    for scope in Scope::ALL {
        assert_eq!(of(scope.as_str(), ""), Ok((Some(*scope), None)));
    }
    each(
        &pb::ListBudgetsRequest::default(),
        |r| request_budget::list(r, &key()),
        &[
            ("scope", |r| r.scope = text("Team")),
            ("instance", |r| r.instance = Some("i".repeat(257))),
            ("budget_id", |r| r.budget_id = text("\n")),
            ("goal_id", |r| r.goal_id = text("\n")),
            ("page_size", |r| r.page_size = 1_001),
        ],
    );
}

#[test]
fn an_alert_is_acknowledged_by_somebody() {
    let good = pb::AcknowledgeAlertRequest { alert_id: "a_1".into(), by: "ops".into(), note: None };
    each(
        &good,
        request_budget::acknowledge,
        &[
            ("alert_id", |r| r.alert_id.clear()),
            ("by", |r| r.by.clear()),
            ("note", |r| r.note = Some("n".repeat(2_001))),
        ],
    );
    each(&pb::ListAlertsRequest::default(), request_budget::alerts, &[("budget_id", |r| r.budget_id = text("\n"))]);
}

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn two_windows() -> pb::ExplainChangeRequest {
    pb::ExplainChangeRequest {
        previous_start: at(0),
        previous_end: at(60),
        current_start: at(60),
        current_end: at(180),
        ..Default::default()
    }
}

#[test]
fn a_change_is_of_two_windows_that_do_not_overlap() {
    each(
        &two_windows(),
        |r| request_budget::change(r, &key()),
        &[
            ("previous_start", |r| r.previous_start = None),
            ("current_end", |r| r.current_end = None),
            ("previous_end", |r| r.previous_end = at(0)),
            ("current_end", |r| r.current_end = at(60)),
            ("current_start", |r| r.current_start = at(59)),
            ("current_start", |r| r.current_start = Some(prost_types::Timestamp { seconds: 60, nanos: -1 })),
            ("filters.tool", |r| r.filters.get_or_insert_default().tool = text("\n")),
        ],
    );
    let span = |from, until| Span { from: UnixMillis(from), until: UnixMillis(until) };
    let (windows, _) = request_budget::change(two_windows(), &key()).unwrap();
    assert_eq!(windows, ChangeWindows::Given { previous: span(0, 60_000), current: span(60_000, 180_000) });
}

#[test]
fn a_change_is_asked_for_in_one_of_two_ways() {
    let of = |request| request_budget::change(request, &key()).map(|(windows, _)| windows);
    let week = pb::ExplainChangeRequest { lookback_hours: Some(168.0), ..Default::default() };
    assert_eq!(of(week), Ok(ChangeWindows::Lookback(604_800_000)));
    assert_eq!(of(pb::ExplainChangeRequest::default()), Ok(ChangeWindows::Lookback(604_800_000)), "seven days");
    let both = pb::ExplainChangeRequest { lookback_hours: Some(1.0), ..two_windows() };
    assert_eq!(fields(of(both)), ["previous_start", "previous_end", "current_start", "current_end"]);
    let nan = pb::ExplainChangeRequest { lookback_hours: Some(f64::NAN), ..Default::default() };
    assert_eq!(fields(of(nan)), ["lookback_hours"]);
}
