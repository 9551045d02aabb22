//! Gates without a daemon: steps that are no model call.

use super::*;
use crate::domain::names::{NameId, NameKind};
use crate::engine::{AmendAddress, Amendment};

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
fn the_largest_cost_of_a_tool_is_that_of_the_truth_as_it_is_known_now() {
    let mut engine = with(vec![]);
    let held = |engine: &mut Engine| gate(engine, &tool("next", "search", None), NOW).hold;
    let first = gate(&mut engine, &tool("g", "search", None), NOW);
    let call = tell(&mut engine, &costing(of_gate(&first), "0.06", Verdict::Success), NOW);
    assert_eq!(held(&mut engine), usd("0.06"));
    let correct = |engine: &mut Engine, cost: &str| {
        let address = AmendAddress::Call(by_number(call));
        let amendment = Amendment { address, success: None, cost: Some(usd(cost)), ..blank() };
        let amended = engine.amend(&NoStore, &amendment, NOW).unwrap();
        fold(engine, &amended.events);
    };
    correct(&mut engine, "0.01");
    assert_eq!(held(&mut engine), usd("0.01"), "the invoice said less");
    correct(&mut engine, "0.20");
    assert_eq!(held(&mut engine), usd("0.20"));
}

fn blank() -> Amendment {
    Amendment {
        address: AmendAddress::Call(CallRef::default()),
        success: None,
        quality: None,
        failure_reason: None,
        cost: None,
        by: "ops".to_owned(),
        source: String::new(),
        reason: "the invoice".to_owned(),
        key: None,
    }
}

#[test]
fn the_last_calls_of_a_tool_are_the_last_in_decision_order_whatever_is_told_first() {
    let cent = |n: u64| NanoUsd(n * 10_000_000);
    for reversed in [false, true] {
        let mut engine = with(vec![]);
        // Call n happened in second n and cost 300 − n cents, so that the largest of the last 200 is the first of them.
        let mut calls: Vec<u64> = (0..250).collect();
        if reversed {
            calls.reverse();
        }
        let late = NOW.plus_ms(DAY_MS);
        for n in calls {
            let elsewhere = OutcomeOf::Elsewhere { task: String::new(), model: String::new() };
            let mut outcome = report(elsewhere, Some(Verdict::Success));
            (outcome.tool, outcome.usage) = ("search_api".to_owned(), None);
            // Of one call nobody knows the cost: it is one of the last 200 all the same.
            outcome.cost = Some(cent(300 - n)).filter(|_| n != 200);
            outcome.occurred_at = Some(NOW.plus_ms(n as i64 * 1_000));
            tell(&mut engine, &outcome, late);
        }
        let held = gate(&mut engine, &tool("g", "search", None), late).hold;
        assert_eq!(held, cent(250), "told last first: {reversed}");
    }
}

/// Thirty goals in which gpt-4o is asked twice, and fails twice.
fn where_gpt_4o_never_mends_its_failures() -> Engine {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "10", OnExceed::Block)]);
    let sold = WorkflowRules { idle_timeout_ms: None, price: Some(usd("0.50")) };
    let rules = GoalRules { workflows: [("w".into(), sold)].into(), ..GoalRules::default() };
    engine.use_budgets(engine.budgets().clone(), Arc::new(rules));
    for n in 0..30 {
        for _ in 0..2 {
            let answer = decide(&mut engine, &ask(&format!("g{n}"), 6_000), NOW);
            assert!(answer.decided.verdict.proceeds(), "{}", answer.decided.reason);
            tell(&mut engine, &costing(of(&answer), "0.03", Verdict::Failure(FailureReason::ValidationFailed)), NOW);
        }
    }
    engine
}

const STOP: &str = "stop: retries of openai/gpt-4o succeed 3 % of the time (0 of 30); at $0.03 each another does not pay for \
                    the $0.47 a success is still worth";

#[test]
fn a_retry_with_a_model_that_no_longer_pays_is_stopped_and_another_model_is_not() {
    let mut engine = where_gpt_4o_never_mends_its_failures();
    let request = PolicyRequest { workflow: "w".to_owned(), ..ask("last", 6_000) };
    let first = decide(&mut engine, &request, NOW);
    assert!(first.decided.verdict.proceeds(), "a first attempt is no retry");
    tell(&mut engine, &costing(of(&first), "0.03", Verdict::Failure(FailureReason::ValidationFailed)), NOW);
    let stopped = decide(&mut engine, &request, NOW);
    let decided = &stopped.decided;
    assert_eq!((decided.verdict, &decided.exhausted, decided.reason.as_str()), (PolicyVerdict::Block, &None, STOP));
    assert_eq!(decided.exclusions.iter().filter(|e| e.1 == Exclusion::RetryDoesNotPay).count(), 1);
    let mut any = request;
    any.asked.allowed_models.push("openai/gpt-4o-mini".to_owned());
    let other = decide(&mut engine, &any, NOW);
    let served = engine.state.names.text(NameKind::Candidate, other.decided.place.candidate);
    assert_eq!((other.decided.verdict, served), (PolicyVerdict::Allow, "openai/gpt-4o-mini"));
    let with_room = decide(&mut engine, &ask("g0", 6_000), NOW);
    assert!(with_room.decided.verdict.proceeds(), "3 % of the $9.94 its budget leaves is worth $0.03");
}

#[test]
fn no_fallback_is_offered_that_would_not_pay_as_the_retry_it_is() {
    let mut engine = where_gpt_4o_never_mends_its_failures();
    let (mut offered, mut kept_back) = (0, 0);
    for n in 0..60 {
        let mut request = PolicyRequest { workflow: "w".to_owned(), ..ask(&format!("f{n}"), 6_000) };
        request.fallback_allowed = true;
        request.asked.allowed_models.push("openai/gpt-4o-mini".to_owned());
        let answer = decide(&mut engine, &request, NOW);
        let name = |id| engine.state.names.text(NameKind::Candidate, id);
        if name(answer.decided.place.candidate) == "openai/gpt-4o" {
            assert_eq!(answer.decided.fallbacks.len(), 1, "nothing is known of retries with gpt-4o-mini");
            continue;
        }
        let is_trial = crate::engine::fail_fast::is_trial(answer.decided.number);
        assert_eq!(answer.decided.fallbacks.len(), usize::from(is_trial), "goal f{n}: {:?}", answer.decided.fallbacks);
        *if is_trial { &mut offered } else { &mut kept_back } += 1;
        assert_eq!(answer.decided.reason, "");
    }
    assert!(offered > 0 && kept_back > 20, "{offered} offered, {kept_back} not");
}

#[test]
fn a_gate_before_a_step_of_a_model_learns_from_the_model_that_served_it_last() {
    let mut engine = where_gpt_4o_never_mends_its_failures();
    let mut request = PolicyRequest { workflow: "w".to_owned(), ..ask("last", 6_000) };
    request.step = "classify".to_owned();
    let first = decide(&mut engine, &request, NOW);
    tell(&mut engine, &costing(of(&first), "0.03", Verdict::Failure(FailureReason::ValidationFailed)), NOW);
    let step = GateRequest { workflow: "w".to_owned(), tool: String::new(), ..tool("last", "classify", Some("0.03")) };
    let stopped = gate(&mut engine, &step, NOW);
    assert_eq!((stopped.verdict, stopped.reason.as_str()), (PolicyVerdict::Block, STOP));
    let unsaid = GateRequest { estimated_cost: None, ..step };
    assert_eq!(gate(&mut engine, &unsaid, NOW).reason, STOP, "what its calls cost on average");
}

/// Asks `tries` times for a retry with gpt-4o in a goal of its own, of which those let through end in `verdict`; returns how
/// many were let through.
fn retries_let_through(engine: &mut Engine, name: &str, tries: usize, verdict: Verdict, now: UnixMillis) -> usize {
    let mut let_through = 0;
    for n in 0..tries {
        let request = PolicyRequest { workflow: "w".to_owned(), ..ask(&format!("{name}{n}"), 6_000) };
        let first = decide(engine, &request, now);
        tell(engine, &costing(of(&first), "0.03", Verdict::Failure(FailureReason::ValidationFailed)), now);
        let retry = decide(engine, &request, now);
        if retry.decided.verdict.proceeds() {
            let_through += 1;
            tell(engine, &costing(of(&retry), "0.03", verdict), now);
        }
    }
    let_through
}

#[test]
fn one_stopped_retry_in_twenty_is_let_through_and_what_it_shows_opens_the_way_again() {
    let mut engine = where_gpt_4o_never_mends_its_failures();
    let failed = Verdict::Failure(FailureReason::ValidationFailed);
    let trials = retries_let_through(&mut engine, "still", 400, failed, NOW);
    assert!((8..=40).contains(&trials), "one in twenty of 400: {trials}");
    retries_let_through(&mut engine, "mended", 200, Verdict::Success, NOW);
    assert_eq!(retries_let_through(&mut engine, "after", 50, Verdict::Success, NOW), 50, "retries pay again");
}

#[test]
fn what_retries_came_to_is_forgotten_after_a_day_and_with_the_posterior() {
    let mut engine = where_gpt_4o_never_mends_its_failures();
    let failed = Verdict::Failure(FailureReason::ValidationFailed);
    let next_day = NOW.plus_ms(DAY_MS + 1);
    assert_eq!(retries_let_through(&mut engine, "next_day", 19, failed, next_day), 19);
    let mut engine = where_gpt_4o_never_mends_its_failures();
    let task = *engine.state.tasks.keys().next().unwrap();
    let reset = engine.reset_posterior(task, NameId::NONE, "ops", "new prompt", None, NOW);
    fold(&mut engine, &[reset]);
    assert_eq!(retries_let_through(&mut engine, "reset", 19, failed, NOW), 19);
}

#[test]
fn a_wrong_key_says_nothing_of_retries() {
    let mut engine = where_gpt_4o_never_mends_its_failures();
    let task = *engine.state.tasks.keys().next().unwrap();
    let reset = engine.reset_posterior(task, NameId::NONE, "ops", "new prompt", None, NOW);
    fold(&mut engine, &[reset]);
    let failed = Verdict::Failure(FailureReason::AuthError);
    assert_eq!(retries_let_through(&mut engine, "key", 40, failed, NOW), 40);
}
