//! Goals and budgets without a daemon: requests in, facts folded, money counted. Property tests print their seed. Here is
//! what the tests of budgets, gates and goals share.

mod budgets;
mod escapes;
mod gates;
mod goals;
mod grants;

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt as _;

use super::hydrate::NoStore;
use super::tests::{engine, fold, report};
use super::{Engine, EngineError, PolicyAnswer};
use crate::domain::budget::{Budget, Budgets, Measure, OnExceed, Period, Scope};
use crate::domain::call::{CallNo, CallRef, Stage};
use crate::domain::catalog::TaskSettings;
use crate::domain::draw::decision_rng;
use crate::domain::event::{Event, Exhausted, Gated, PolicyVerdict};
use crate::domain::filter::Exclusion;
use crate::domain::goal::{GoalRules, GoalState, NoteKind, WorkflowRules};
use crate::domain::money::NanoUsd;
use crate::domain::outcome::{DecisionRef, FailureReason, OutcomeOf, OutcomeReport, Verdict};
use crate::domain::request::{PolicyRequest, UsageEstimate};
use crate::domain::request_goal::{AmendGoal, CompleteGoal, GateRequest, GrantBudget, StartGoal};
use crate::domain::time::{DAY_MS, HOUR_MS, UnixMillis};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn usd(text: &str) -> NanoUsd {
    NanoUsd::from_usd(text.parse().unwrap()).unwrap()
}

pub(super) fn budget(id: &str, scope: Scope, period: Period, limit: &str, on_exceed: OnExceed) -> Budget {
    Budget {
        id: id.into(),
        scope,
        matches: BTreeMap::new(),
        is_default: false,
        measure: Measure::Usd,
        limit: usd(limit).0,
        period,
        zone: jiff::tz::TimeZone::UTC,
        alert_thresholds: vec![50, 80, 100],
        on_exceed,
        message: String::new(),
    }
}

pub(super) fn with(budgets: Vec<Budget>) -> Engine {
    let settings = TaskSettings { exploration_floor: 0.0, tolerance: 0.0, ..TaskSettings::default() };
    let mut engine = engine(settings);
    engine.use_budgets(Arc::new(Budgets { all: budgets }), Arc::default());
    engine
}

/// A call of gpt-4o that may cost at most `$0.005 × thousands of input tokens`.
pub(super) fn ask(goal: &str, input_tokens: u64) -> PolicyRequest {
    let mut request = PolicyRequest { task_type: "tickets".to_owned(), goal_id: goal.to_owned(), ..Default::default() };
    request.asked.allowed_models = vec!["openai/gpt-4o".to_owned()];
    request.estimate = UsageEstimate {
        input_tokens: Some(input_tokens),
        output_tokens: Some(0),
        max_output_tokens: Some(0),
        ..Default::default()
    };
    request
}

fn decide(engine: &mut Engine, request: &PolicyRequest, now: UnixMillis) -> PolicyAnswer {
    let answer = engine.decide(request, now).unwrap();
    fold(engine, &answer.events);
    let alerts = engine.alerts_due(&answer.decided.charges, &request.goal_id, now);
    fold(engine, &alerts);
    answer
}

pub(super) fn of(answer: &PolicyAnswer) -> OutcomeOf {
    let (decided, place) = (&answer.decided, &answer.decided.place);
    OutcomeOf::Decision(DecisionRef {
        number: decided.number,
        at: NOW,
        task: place.task,
        candidate: place.candidate,
        step: place.step,
        traits: decided.traits,
    })
}

/// A call as its id names it.
fn by_number(number: CallNo) -> CallRef {
    CallRef { number, at: NOW }
}

fn costing(of: OutcomeOf, cost: &str, verdict: Verdict) -> OutcomeReport {
    OutcomeReport { cost: Some(usd(cost)), usage: None, ..report(of, Some(verdict)) }
}

fn tell(engine: &mut Engine, report: &OutcomeReport, now: UnixMillis) -> CallNo {
    let recorded = engine.record(&NoStore, report, now).unwrap();
    fold(engine, &recorded.events);
    recorded.call
}

fn gate(engine: &mut Engine, request: &GateRequest, now: UnixMillis) -> Gated {
    let answer = engine.gate(&NoStore, request, now).unwrap();
    fold(engine, &answer.events);
    answer.gated
}

fn of_gate(gated: &Gated) -> OutcomeOf {
    OutcomeOf::Hold(DecisionRef {
        number: gated.number,
        at: NOW,
        task: gated.place.task,
        candidate: gated.place.candidate,
        step: gated.place.step,
        traits: super::gate_traits(),
    })
}

fn tool(goal: &str, step: &str, cost: Option<&str>) -> GateRequest {
    GateRequest {
        goal_id: goal.to_owned(),
        step: step.to_owned(),
        tool: format!("{step}_api"),
        estimated_cost: cost.map(usd),
        ..GateRequest::default()
    }
}

/// Spent, held and presumed of the one account there is.
fn booked(engine: &Engine) -> (i64, i64, i64) {
    let of_goals = engine.state.goals.values().flat_map(|g| &g.accounts);
    let accounts: Vec<_> = engine.state.accounts.values().chain(of_goals).collect();
    assert_eq!(accounts.len(), 1, "{accounts:?}");
    let b = accounts[0].booked;
    (b.spent, b.held, b.presumed)
}

fn spend(engine: &mut Engine, goal: &str, cost: &str) {
    let answer = decide(engine, &ask(goal, 1), NOW);
    tell(engine, &costing(of(&answer), cost, Verdict::Success), NOW);
}

fn said(answer: &PolicyAnswer) -> &Exhausted {
    answer.decided.exhausted.as_deref().expect("a budget is used up")
}

fn granting(goal: &str, extra: &str) -> GrantBudget {
    GrantBudget {
        goal_id: goal.to_owned(),
        extra: usd(extra),
        approver: "ada".to_owned(),
        reason: "an important customer".to_owned(),
        key: None,
    }
}

pub(super) fn grant(engine: &mut Engine, goal: &str, extra: &str, now: UnixMillis) {
    let act = engine.grant_budget(&NoStore, &granting(goal, extra), now).unwrap();
    fold(engine, &act.events);
}

fn close(engine: &mut Engine, goal: &str, state: GoalState, now: UnixMillis) {
    let request = CompleteGoal {
        goal_id: goal.to_owned(),
        state,
        score: None,
        note: String::new(),
        by: String::new(),
        occurred_at: None,
        key: None,
    };
    let act = engine.complete_goal(&NoStore, &request, now).unwrap();
    fold(engine, &act.events);
}
