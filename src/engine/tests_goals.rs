//! Goals and budgets without a daemon: requests in, facts folded, money counted. Property tests print their seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt as _;

use super::hydrate::NoStore;
use super::tests::{engine, fold, report};
use super::{Engine, EngineError, PolicyAnswer};
use crate::domain::budget::{Budget, Budgets, Measure, OnExceed, Period, Scope};
use crate::domain::call::{CallNo, Stage};
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

fn close(engine: &mut Engine, goal: &str, state: GoalState, now: UnixMillis) {
    let request = CompleteGoal {
        goal_id: goal.to_owned(),
        state,
        score: None,
        note: String::new(),
        by: String::new(),
        key: None,
    };
    let act = engine.complete_goal(&NoStore, &request, now).unwrap();
    fold(engine, &act.events);
}

#[test]
fn a5_what_does_not_fit_is_refused_before_the_call_and_what_fits_uses_it_up() {
    let mut engine = with(vec![budget("ticket-run", Scope::Goal, Period::PerGoal, "2", OnExceed::Block)]);
    spend(&mut engine, "g", "1.80");
    let refused = decide(&mut engine, &ask("g", 50_000), NOW);
    assert_eq!(refused.decided.verdict, PolicyVerdict::Block);
    assert_eq!(refused.decided.exclusions.iter().filter(|e| e.1 == Exclusion::OverBudget).count(), 1);
    let said = said(&refused);
    assert_eq!(
        (said.budget.as_str(), said.limit, said.spent, said.held),
        ("ticket-run", 2_000_000_000, 1_800_000_000, 0)
    );
    assert_eq!(booked(&engine), (1_800_000_000, 0, 0), "a refusal books nothing");
    let admitted = decide(&mut engine, &ask("g", 40_000), NOW);
    assert_eq!(admitted.decided.verdict, PolicyVerdict::Allow);
    assert_eq!(booked(&engine), (1_800_000_000, 200_000_000, 0));
    let standing = engine.standing(&admitted.decided.charges, "g");
    assert_eq!((standing[0].remaining(), standing[0].booked.used()), (0, 2_000_000_000), "100 % used");
}

#[test]
fn a_hold_is_settled_expires_as_presumed_spent_or_is_given_back() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Block)]);
    let cheap = decide(&mut engine, &ask("g", 20_000), NOW);
    tell(&mut engine, &costing(of(&cheap), "0.03", Verdict::Success), NOW);
    assert_eq!(booked(&engine), (30_000_000, 0, 0), "settling gives the rest back");
    let lost = decide(&mut engine, &ask("g", 20_000), NOW);
    let late = NOW.plus_ms(2 * HOUR_MS);
    let expired = engine.expire(late, 10).unwrap();
    fold(&mut engine, &[expired]);
    assert_eq!(booked(&engine), (30_000_000, 0, 100_000_000), "nobody knows: presumed spent");
    tell(&mut engine, &costing(of(&lost), "0.05", Verdict::Success), late);
    assert_eq!(booked(&engine), (80_000_000, 0, 0), "a late outcome is the truth");
    let never = decide(&mut engine, &ask("g", 20_000), late);
    let void = engine.void(&NoStore, never.decided.number, "ops", "never sent", late).unwrap();
    fold(&mut engine, void.as_slice());
    assert_eq!(booked(&engine), (80_000_000, 0, 0));
    let unknown = decide(&mut engine, &ask("g", 20_000), late);
    let mut outcome = report(of(&unknown), Some(Verdict::Success));
    outcome.usage = None;
    tell(&mut engine, &outcome, late);
    assert_eq!(booked(&engine), (180_000_000, 0, 0), "a cost nobody knows is charged as the hold");
}

#[test]
fn more_than_was_held_is_recorded_flagged_and_counts_against_what_comes_next() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Block)]);
    let answer = decide(&mut engine, &ask("g", 20_000), NOW);
    let call = tell(&mut engine, &costing(of(&answer), "1.5", Verdict::Success), NOW);
    assert!(engine.state.calls[&call].settled().unwrap().overrun);
    assert_eq!(booked(&engine), (1_500_000_000, 0, 0));
    assert_eq!(decide(&mut engine, &ask("g", 1), NOW).decided.verdict, PolicyVerdict::Block);
}

#[test]
fn all_budgets_hold_a_call_or_none_does_and_none_is_ever_overdrawn() {
    for seed in 0..40 {
        println!("seed {seed}");
        let mut rng = decision_rng(seed, 7);
        let mut calls = budget("calls", Scope::Team, Period::Day, "0", OnExceed::Block);
        (calls.measure, calls.limit) = (Measure::Calls, rng.random_range(3..30));
        let mut engine = with(vec![
            budget("goal", Scope::Goal, Period::PerGoal, "0.40", OnExceed::Block),
            budget("team", Scope::Team, Period::Day, "1.00", OnExceed::Block),
            budget("org", Scope::Organization, Period::Month, "2.50", OnExceed::Block),
            calls,
        ]);
        let mut open: Vec<PolicyAnswer> = Vec::new();
        let (mut now, mut refused) = (NOW, 0);
        for _ in 0..300 {
            now = now.plus_ms(rng.random_range(0..20 * 60_000));
            match rng.random_range(0..10) {
                0..6 => {
                    let mut request = ask(&format!("g{}", rng.random_range(0..6)), rng.random_range(1..20_000));
                    request.labels.insert("team".to_owned(), format!("t{}", rng.random_range(0..2)));
                    request.labels.insert("organization".to_owned(), "o".to_owned());
                    let before = used(&engine);
                    let answer = decide(&mut engine, &request, now);
                    if answer.decided.verdict == PolicyVerdict::Block {
                        refused += 1;
                        assert_eq!(used(&engine), before, "seed {seed}: a refusal books nothing anywhere");
                    } else {
                        assert_eq!(answer.decided.charges.len(), 4, "seed {seed}: booked on all of them");
                        open.push(answer);
                    }
                }
                6..8 if !open.is_empty() => {
                    let answer = open.swap_remove(rng.random_range(0..open.len()));
                    let hold = answer.decided.hold.unwrap().0;
                    let mut outcome = report(of(&answer), Some(Verdict::Success));
                    outcome.cost = Some(NanoUsd(rng.random_range(0..=hold)));
                    outcome.key = Some(crate::domain::event::Key { hash: rng.random(), body: 1 });
                    tell(&mut engine, &outcome, now);
                }
                8 if !open.is_empty() => {
                    let answer = open.swap_remove(rng.random_range(0..open.len()));
                    if let Ok(Some(event)) = engine.void(&NoStore, answer.decided.number, "x", "y", now) {
                        fold(&mut engine, &[event]);
                    }
                }
                _ => {
                    let expired: Vec<Event> = engine.expire(now, 100).into_iter().collect();
                    fold(&mut engine, &expired);
                }
            }
            for account in accounts(&engine) {
                let used = u64::try_from(account.booked.used()).unwrap();
                assert!(used <= account.opened.limit, "seed {seed}: INV-BUDGET-2 {account:?}");
                assert!(account.booked.held >= 0 && account.booked.spent >= 0 && account.booked.presumed >= 0);
            }
        }
        assert!(refused > 10, "seed {seed}: {refused} refusals");
        sums_are_those_of_the_calls(&engine);
    }
}

fn accounts(engine: &Engine) -> Vec<crate::domain::budget::Account> {
    let of_goals = engine.state.goals.values().flat_map(|g| g.accounts.clone());
    engine.state.accounts.values().cloned().chain(of_goals).collect()
}

fn used(engine: &Engine) -> BTreeMap<u64, i64> {
    accounts(engine).iter().map(|a| (a.opened.key.0, a.booked.used())).filter(|(_, used)| *used != 0).collect()
}

/// Every account holds just what the calls booked on it add up to.
fn sums_are_those_of_the_calls(engine: &Engine) {
    for account in accounts(engine) {
        let mut sum = crate::domain::budget::Booked::default();
        for call in engine.state.calls.values() {
            for charge in call.charges.iter().filter(|c| c.account == account.opened.key) {
                sum.change(&charge.booked(call, account.opened.measure), true);
            }
        }
        assert_eq!(sum, account.booked, "{:?}", account.opened);
    }
}

#[test]
fn a_hundred_calls_of_a_cent_fit_a_dollar_and_not_one_more() {
    let mut engine = with(vec![budget("b", Scope::Workflow, Period::Total, "1", OnExceed::Block)]);
    let request = PolicyRequest { workflow: "w".to_owned(), ..ask("", 2_000) };
    let admitted = (0..1_000).filter(|_| decide(&mut engine, &request, NOW).decided.verdict.proceeds()).count();
    assert_eq!((admitted, booked(&engine)), (100, (0, 1_000_000_000, 0)));
}

#[test]
fn a_downgrade_serves_the_cheapest_that_fits_whenever_the_choice_does_not() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Downgrade)]);
    spend(&mut engine, "g", "0.96");
    let mut request = ask("g", 10_000);
    request.asked.allowed_models = vec!["openai/gpt-4o".to_owned(), "openai/gpt-4o-mini".to_owned()];
    let mut verdicts = BTreeMap::new();
    for _ in 0..40 {
        let answer = engine.decide(&request, NOW).unwrap();
        let model = engine.catalog().models()[answer.served.unwrap()].id.to_string();
        *verdicts.entry((answer.decided.verdict, model)).or_insert(0) += 1;
        fold(&mut engine, &answer.events);
        let void = engine.void(&NoStore, answer.decided.number, "x", "y", NOW).unwrap();
        fold(&mut engine, void.as_slice());
    }
    let kinds: Vec<_> = verdicts.keys().map(|(v, m)| (*v, m.as_str())).collect();
    assert_eq!(
        kinds,
        [(PolicyVerdict::Allow, "openai/gpt-4o-mini"), (PolicyVerdict::Downgrade, "openai/gpt-4o-mini")],
        "gpt-4o's $0.05 never fits the $0.04 left, mini's $0.0015 does"
    );
    spend(&mut engine, "g", "0.039");
    let none = decide(&mut engine, &request, NOW);
    assert_eq!((none.decided.verdict, said(&none).action), (PolicyVerdict::Block, OnExceed::Downgrade));
}

#[test]
fn an_approval_adds_money_to_one_goal() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::RequireApproval)]);
    spend(&mut engine, "g", "1");
    let asked = decide(&mut engine, &ask("g", 2_000), NOW);
    assert_eq!(
        (asked.decided.verdict, said(&asked).action),
        (PolicyVerdict::RequireApproval, OnExceed::RequireApproval)
    );
    let grant = GrantBudget {
        goal_id: "g".to_owned(),
        extra: usd("0.02"),
        approver: "ada".to_owned(),
        reason: "an important customer".to_owned(),
        key: None,
    };
    let act = engine.grant_budget(&NoStore, &grant, NOW).unwrap();
    fold(&mut engine, &act.events);
    let verdicts: Vec<bool> =
        (0..3).map(|_| decide(&mut engine, &ask("g", 2_000), NOW).decided.verdict.proceeds()).collect();
    assert_eq!(verdicts, [true, true, false], "two cents more, and no third");
    let note = &engine.state.goals["g"].notes[0];
    assert_eq!((note.by.as_str(), note.what), ("ada", NoteKind::Granted(usd("0.02"))));
}

#[test]
fn a_warning_lets_the_call_through_and_says_so() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Warn)]);
    spend(&mut engine, "g", "1");
    let warned = decide(&mut engine, &ask("g", 2_000), NOW);
    assert_eq!((warned.decided.verdict, said(&warned).action), (PolicyVerdict::AllowWithWarning, OnExceed::Warn));
    assert_eq!(booked(&engine), (1_000_000_000, 10_000_000, 0), "booked all the same");
}

#[test]
fn the_strictest_of_several_budgets_decides() {
    let mut engine = with(vec![
        budget("warn", Scope::Goal, Period::PerGoal, "1", OnExceed::Warn),
        budget("approve", Scope::Goal, Period::PerGoal, "1", OnExceed::RequireApproval),
        budget("hand_off", Scope::Goal, Period::PerGoal, "1", OnExceed::HandOff),
    ]);
    spend(&mut engine, "g", "1");
    let answer = decide(&mut engine, &ask("g", 2_000), NOW);
    assert_eq!((answer.decided.verdict, said(&answer).action), (PolicyVerdict::Block, OnExceed::HandOff));
}

#[test]
fn a_call_of_unknown_price_is_not_let_through_a_budget_of_money() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Block)]);
    let request = PolicyRequest { estimate: UsageEstimate::default(), ..ask("g", 0) };
    assert_eq!(decide(&mut engine, &request, NOW).decided.verdict, PolicyVerdict::Allow, "`typical` is an estimate");
}

#[test]
fn a_childs_spend_counts_in_its_parent_and_it_inherits_what_remains() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Block)]);
    let below = |goal: &str, parent: &str, tokens| {
        let mut request = ask(goal, tokens);
        request.asked.parent_goal = parent.to_owned();
        request
    };
    spend(&mut engine, "parent", "0.70");
    let child = decide(&mut engine, &below("child", "parent", 20_000), NOW);
    tell(&mut engine, &costing(of(&child), "0.10", Verdict::Success), NOW);
    assert_eq!(engine.state.goals["parent"].whole.cost, 800_000_000);
    assert_eq!(engine.state.goals["parent"].own.cost, 700_000_000);
    let grandchild = decide(&mut engine, &below("grandchild", "child", 50_000), NOW);
    assert_eq!(grandchild.decided.verdict, PolicyVerdict::Block, "$0.20 remain of the grandparent's dollar");
    assert_eq!(said(&grandchild).spent, 800_000_000);
    let fits = decide(&mut engine, &below("grandchild", "child", 40_000), NOW);
    assert_eq!((fits.decided.verdict, fits.decided.charges.len()), (PolicyVerdict::Allow, 3));
    let above: Vec<&str> = engine.state.goals["grandchild"].ancestors.iter().map(|g| &**g).collect();
    assert_eq!(above, ["child", "parent"]);
    for (goal, parent) in [("parent", "grandchild"), ("x", "x"), ("child", "other"), ("parent", "other")] {
        let refused = engine.decide(&below(goal, parent, 1), NOW);
        assert!(matches!(refused, Err(EngineError::Invalid { .. })), "{goal} below {parent}: {refused:?}");
    }
}

#[test]
fn a_period_begins_anew_and_what_was_in_flight_stays_in_the_old_one() {
    let mut engine = with(vec![budget("b", Scope::Workflow, Period::Day, "0.10", OnExceed::Block)]);
    let request = PolicyRequest { workflow: "w".to_owned(), ..ask("", 20_000) };
    let yesterday = decide(&mut engine, &request, NOW);
    let blocked = decide(&mut engine, &request, NOW);
    let resets_at = said(&blocked).resets_at.unwrap();
    assert!(resets_at > NOW && resets_at <= NOW.plus_ms(DAY_MS));
    assert!(!decide(&mut engine, &request, resets_at.plus_ms(-1)).decided.verdict.proceeds());
    let today = decide(&mut engine, &request, resets_at);
    assert!(today.decided.verdict.proceeds());
    tell(&mut engine, &costing(of(&yesterday), "0.07", Verdict::Success), resets_at);
    let mut all: Vec<_> = accounts(&engine).iter().map(|a| (a.opened.start, a.booked.spent, a.booked.held)).collect();
    all.sort();
    assert_eq!(all, [(resets_at.plus_ms(-DAY_MS), 70_000_000, 0), (resets_at, 0, 100_000_000)]);
}

#[test]
fn alerts_are_raised_once_a_period_at_spent_and_held() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Block)]);
    let mut seen = Vec::new();
    for _ in 0..12 {
        decide(&mut engine, &ask("g", 20_000), NOW);
        seen.push(engine.state.alerts.values().map(|a| a.raised.threshold).collect::<Vec<_>>());
    }
    assert_eq!(seen[3], [0_u32; 0]);
    assert_eq!((&seen[4][..], &seen[7][..], &seen[11][..]), (&[50][..], &[50, 80][..], &[50, 80, 100][..]));
}

#[test]
fn spend_that_nobody_asked_for_counts_and_is_marked() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Block)]);
    let elsewhere = OutcomeOf::Elsewhere { task: "tickets".to_owned(), model: "openai/gpt-4o".to_owned() };
    let outcome = OutcomeReport { goal_id: "g".to_owned(), ..costing(elsewhere, "0.99", Verdict::Success) };
    let call = tell(&mut engine, &outcome, NOW);
    assert!(engine.state.calls[&call].unadmitted);
    assert_eq!(booked(&engine), (990_000_000, 0, 0));
    assert_eq!(decide(&mut engine, &ask("g", 4_000), NOW).decided.verdict, PolicyVerdict::Block);
}

#[test]
fn a_limit_of_its_own_holds_a_goal_down() {
    let mut engine = with(vec![]);
    let start = StartGoal { goal_id: "g".to_owned(), limit: Some(usd("0.02")), ..StartGoal::default() };
    let act = engine.start_goal(&NoStore, &start, NOW).unwrap();
    fold(&mut engine, &act.events);
    let verdicts: Vec<bool> =
        (0..3).map(|_| decide(&mut engine, &ask("g", 2_000), NOW).decided.verdict.proceeds()).collect();
    assert_eq!(verdicts, [true, true, false]);
    let more = StartGoal { limit: Some(usd("9")), ..start };
    assert!(matches!(engine.start_goal(&NoStore, &more, NOW), Err(EngineError::Invalid { .. })), "only downwards");
}

#[test]
fn a_closed_goal_takes_outcomes_and_comes_back_when_asked_for() {
    let mut engine = with(vec![]);
    let first = decide(&mut engine, &ask("g", 1), NOW);
    close(&mut engine, "g", GoalState::Accepted, NOW);
    tell(&mut engine, &costing(of(&first), "0.01", Verdict::Success), NOW);
    assert!(engine.state.goals["g"].closing.is_some(), "the money was spent; the goal stays closed");
    assert_eq!(engine.state.goals["g"].own.cost, 10_000_000);
    decide(&mut engine, &ask("g", 1), NOW);
    let goal = &engine.state.goals["g"];
    assert!(goal.closing.is_none());
    assert_eq!(
        goal.notes.iter().map(|n| n.what).collect::<Vec<_>>(),
        [NoteKind::Closed(GoalState::Accepted), NoteKind::Reopened]
    );
}

#[test]
fn an_idle_goal_times_out_by_its_workflow_and_may_still_be_told_how_it_ended() {
    let mut engine = with(vec![]);
    let slow = WorkflowRules { idle_timeout_ms: Some(72 * HOUR_MS), price: None };
    let rules = GoalRules { workflows: [("slow".into(), slow)].into(), ..GoalRules::default() };
    engine.use_budgets(Arc::default(), Arc::new(rules));
    decide(&mut engine, &ask("quick", 1), NOW);
    decide(&mut engine, &PolicyRequest { workflow: "slow".to_owned(), ..ask("slow", 1) }, NOW);
    assert_eq!(engine.time_out_goals(NOW.plus_ms(24 * HOUR_MS - 1), 10), None);
    let event = engine.time_out_goals(NOW.plus_ms(24 * HOUR_MS), 10).unwrap();
    fold(&mut engine, &[event]);
    let state = |engine: &Engine, goal: &str| engine.state.goals[goal].closing.map(|c| c.state);
    assert_eq!((state(&engine, "quick"), state(&engine, "slow")), (Some(GoalState::TimedOut), None));
    close(&mut engine, "quick", GoalState::Accepted, NOW.plus_ms(25 * HOUR_MS));
    assert_eq!(state(&engine, "quick"), Some(GoalState::Accepted));
    let otherwise = CompleteGoal {
        goal_id: "quick".to_owned(),
        state: GoalState::Rejected,
        score: None,
        note: String::new(),
        by: String::new(),
        key: None,
    };
    assert!(matches!(engine.complete_goal(&NoStore, &otherwise, NOW), Err(EngineError::Precondition(_))));
    let late = engine.time_out_goals(NOW.plus_ms(72 * HOUR_MS), 10).unwrap();
    fold(&mut engine, &[late]);
    assert_eq!(state(&engine, "slow"), Some(GoalState::TimedOut));
    assert!(engine.state.open_goals.is_empty());
}

#[test]
fn calls_without_a_verdict_are_rewarded_by_their_goals_end_and_its_correction() {
    let settings = TaskSettings { learns_from_goal: true, exploration_floor: 0.0, ..TaskSettings::default() };
    let mut engine = engine(settings);
    let answer = decide(
        &mut engine,
        &PolicyRequest { goal_id: "g".to_owned(), task_type: "tickets".to_owned(), ..Default::default() },
        NOW,
    );
    let mut outcome = report(of(&answer), None);
    outcome.verdict = None;
    let call = tell(&mut engine, &outcome, NOW);
    let counts = |engine: &Engine| {
        let call = &engine.state.calls[&call];
        let cell = engine.state.cell(call.task, call.candidate).unwrap();
        (cell.successes, cell.failures)
    };
    assert_eq!(counts(&engine), (0, 0));
    close(&mut engine, "g", GoalState::Accepted, NOW);
    assert_eq!(counts(&engine), (1, 0));
    let amend = AmendGoal {
        goal_id: "g".to_owned(),
        state: Some(GoalState::Rejected),
        reason: "graded".to_owned(),
        ..AmendGoal::default()
    };
    let act = engine.amend_goal(&NoStore, &amend, NOW).unwrap();
    fold(&mut engine, &act.events);
    assert_eq!(counts(&engine), (0, 1));
    decide(
        &mut engine,
        &PolicyRequest { goal_id: "g".to_owned(), task_type: "tickets".to_owned(), ..Default::default() },
        NOW,
    );
    assert_eq!(counts(&engine), (0, 0), "it came back: nobody knows yet");
}

#[test]
fn an_output_is_not_bought_twice_and_evidence_may_be_demanded() {
    let mut engine = with(vec![]);
    let search = tool("g", "search", Some("0.03"));
    let first = gate(&mut engine, &search, NOW);
    assert_eq!((first.verdict, first.attempts), (PolicyVerdict::Allow, 0));
    let write = GateRequest { requires_evidence_from: vec!["search".to_owned()], ..tool("g", "write", None) };
    assert_eq!(gate(&mut engine, &write, NOW).verdict, PolicyVerdict::Block);
    let failed = costing(of_gate(&first), "0.03", Verdict::Failure(FailureReason::ToolError));
    tell(&mut engine, &OutcomeReport { output_ref: "blob/0".to_owned(), ..failed }, NOW);
    let again = gate(&mut engine, &search, NOW.plus_ms(5));
    assert_eq!((again.verdict, again.attempts, again.last_success), (PolicyVerdict::Allow, 1, Some(false)));
    assert_eq!((again.first_attempt_at, again.last_attempt_at), (Some(NOW), Some(NOW)));
    let done = costing(of_gate(&again), "0.03", Verdict::Success);
    let done = OutcomeReport { output_ref: "blob/1".to_owned(), evidence: "hash".to_owned(), ..done };
    let call = tell(&mut engine, &done, NOW);
    assert!(engine.state.calls[&call].is_retry());
    let reuse = gate(&mut engine, &search, NOW);
    assert_eq!((reuse.verdict, reuse.output_ref.as_str(), reuse.attempts), (PolicyVerdict::Reuse, "blob/1", 2));
    assert_eq!(gate(&mut engine, &write, NOW).verdict, PolicyVerdict::Allow);
    assert_eq!(engine.state.goals["g"].own.cost, 60_000_000, "retries are added, never replaced");
}

#[test]
fn a_gate_without_an_estimate_holds_what_the_tool_cost_at_most_lately() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "0.10", OnExceed::Block)]);
    let unknown = gate(&mut engine, &tool("g", "search", None), NOW);
    assert_eq!((unknown.verdict, unknown.hold), (PolicyVerdict::Allow, NanoUsd(0)), "while anything is left");
    tell(&mut engine, &costing(of_gate(&unknown), "0.06", Verdict::Failure(FailureReason::ToolError)), NOW);
    let next = gate(&mut engine, &tool("g", "search", None), NOW);
    assert_eq!((next.verdict, next.hold), (PolicyVerdict::Block, usd("0.06")), "$0.04 are left");
}

#[test]
fn ceilings_on_attempts_are_budgets_of_calls_or_retries() {
    let mut retries = budget("tries", Scope::Tool, Period::PerGoal, "0", OnExceed::HandOff);
    (retries.measure, retries.limit) = (Measure::Retries, 2);
    let mut engine = with(vec![retries]);
    let mut verdicts = Vec::new();
    for _ in 0..4 {
        let gated = gate(&mut engine, &tool("g", "search", Some("0.01")), NOW);
        verdicts.push(gated.verdict.proceeds());
        if gated.verdict.proceeds() {
            tell(&mut engine, &costing(of_gate(&gated), "0.01", Verdict::Failure(FailureReason::ToolError)), NOW);
        }
    }
    assert_eq!(verdicts, [true, true, true, false], "one attempt and two retries");
    assert!(gate(&mut engine, &tool("other", "search", Some("0.01")), NOW).verdict.proceeds(), "per goal");
}

#[test]
fn a_retry_that_no_longer_pays_is_stopped_and_told_why() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "10", OnExceed::Block)]);
    let sold = WorkflowRules { idle_timeout_ms: None, price: Some(usd("0.50")) };
    let rules = GoalRules { workflows: [("w".into(), sold)].into(), ..GoalRules::default() };
    engine.use_budgets(engine.budgets().clone(), Arc::new(rules));
    // Thirty goals in which the second attempt fails like the first.
    for n in 0..30 {
        for _ in 0..2 {
            let gated = gate(&mut engine, &tool(&format!("g{n}"), "search", Some("0.03")), NOW);
            assert!(gated.verdict.proceeds(), "{}", gated.reason);
            tell(&mut engine, &costing(of_gate(&gated), "0.03", Verdict::Failure(FailureReason::ToolError)), NOW);
        }
    }
    let request = GateRequest { workflow: "w".to_owned(), ..tool("last", "search", Some("0.03")) };
    let first = gate(&mut engine, &request, NOW);
    assert!(first.verdict.proceeds(), "a first attempt is no retry");
    tell(&mut engine, &costing(of_gate(&first), "0.03", Verdict::Failure(FailureReason::ToolError)), NOW);
    let stopped = gate(&mut engine, &request, NOW);
    assert_eq!((stopped.verdict, stopped.exhausted), (PolicyVerdict::Block, None));
    assert_eq!(
        stopped.reason,
        "stop: retries of search_api succeed 3 % of the time (0 of 30); at $0.03 each another does not pay for the $0.47 a \
         success is still worth"
    );
    let dear = GateRequest { workflow: String::new(), ..tool("g0", "search", Some("0.03")) };
    assert!(gate(&mut engine, &dear, NOW).verdict.proceeds(), "3 % of the $9.94 its budget leaves is worth $0.03");
}

#[test]
fn a_hold_that_allows_fallbacks_covers_the_dearest_of_them() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "10", OnExceed::Block)]);
    let mut request = PolicyRequest { fallback_allowed: true, ..ask("g", 10_000) };
    request.asked.allowed_models = vec![];
    let answer = decide(&mut engine, &request, NOW);
    assert_eq!(answer.decided.fallbacks.len(), 2);
    assert_eq!(answer.decided.hold, Some(usd("0.10")), "gpt-4-turbo at $10 per million");
    assert!(matches!(engine.state.calls[&answer.decided.number].stage, Stage::Open(_)));
}
