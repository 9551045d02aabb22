//! Gates without a daemon: steps that are no model call.

use super::*;

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
