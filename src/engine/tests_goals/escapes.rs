//! Ways around a budget that were found and shut: money booked twice, or where nobody looks.

use super::*;
use crate::domain::budget::Account;
use crate::domain::names::{NAMES_MAX, NameKind};

/// Every account, with what is spent and held on it, by budget, goal and beginning of its period.
fn standing(engine: &Engine) -> Vec<(String, String, UnixMillis, i64, i64)> {
    let of_goals = engine.state.goals.values().flat_map(|g| &g.accounts);
    let row = |a: &Account| {
        let o = &a.opened;
        (o.budget.clone(), o.goal.clone(), o.start, a.booked.spent, a.booked.held)
    };
    let mut all: Vec<_> = engine.state.accounts.values().chain(of_goals).map(row).collect();
    all.sort();
    all
}

#[test]
fn an_outcome_in_the_next_period_is_booked_once_in_that_of_its_decision() {
    let mut engine = with(vec![budget("team", Scope::Team, Period::Hour, "1", OnExceed::Block)]);
    let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
    let request = PolicyRequest { labels: labels.clone(), fallback_allowed: true, ..ask("g", 1_000) };
    let request = PolicyRequest { asked: Default::default(), ..request };
    let answer = decide(&mut engine, &request, NOW);
    let begun = standing(&engine)[0].2;
    let later = begun.plus_ms(HOUR_MS);
    let own = costing(of(&answer), "0.03", Verdict::Failure(FailureReason::Timeout));
    tell(&mut engine, &OutcomeReport { labels: labels.clone(), ..own }, later);
    assert_eq!(standing(&engine), [("team".to_owned(), String::new(), begun, 30_000_000, 0)], "its labels said again");
    let mut fallback = costing(of(&answer), "0.04", Verdict::Success);
    let served = answer.decided.fallbacks[0].0;
    fallback.model_served = engine.state.names.text(NameKind::Candidate, served).to_owned();
    fallback.key = Some(crate::domain::event::Key { hash: 7, body: 7 });
    tell(&mut engine, &fallback, later);
    assert_eq!(standing(&engine), [("team".to_owned(), String::new(), begun, 70_000_000, 0)], "so its fallback");
}

fn below(parent: &str, goal: &str, input_tokens: u64) -> PolicyRequest {
    let mut request = ask(goal, input_tokens);
    request.asked.parent_goal = parent.to_owned();
    request
}

#[test]
fn a_budget_of_a_task_type_step_or_tool_counts_what_sub_goals_spend_there() {
    for (key, value) in [("task_type", "tickets"), ("step", "tickets")] {
        let mut of_goal = budget("run", Scope::Goal, Period::PerGoal, "1", OnExceed::Block);
        of_goal.matches = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let mut engine = with(vec![of_goal]);
        spend(&mut engine, "p", "0.10");
        for child in ["c1", "c2", "c3"] {
            let answer = decide(&mut engine, &below("p", child, 70_000), NOW);
            assert_eq!(answer.decided.verdict.proceeds(), child != "c3", "{key}: {child}");
            if answer.decided.verdict.proceeds() {
                tell(&mut engine, &costing(of(&answer), "0.30", Verdict::Success), NOW);
            }
        }
        let of_p: Vec<_> = standing(&engine).into_iter().filter(|row| row.1 == "p").map(|row| row.3).collect();
        assert_eq!(of_p, [700_000_000], "{key}");
    }
}

#[test]
fn a_budget_of_a_tool_in_a_goal_counts_the_tools_calls_of_its_sub_goals() {
    let mut crawls = budget("crawls", Scope::Tool, Period::PerGoal, "0", OnExceed::Block);
    (crawls.measure, crawls.limit) = (Measure::Calls, 2);
    let mut engine = with(vec![crawls]);
    gate(&mut engine, &tool("p", "other", None), NOW);
    let mut of_child = |child: &str| {
        let request = GateRequest { parent_goal: "p".to_owned(), ..tool(child, "crawl", None) };
        gate(&mut engine, &request, NOW).verdict.proceeds()
    };
    assert_eq!([of_child("c1"), of_child("c2"), of_child("c3")], [true, true, false], "two in the goal and below it");
}

#[test]
fn a_parent_that_begins_with_its_child_counts_what_the_child_spends() {
    let mut engine = with(vec![budget("run", Scope::Goal, Period::PerGoal, "1", OnExceed::Block)]);
    let first = decide(&mut engine, &below("p", "c", 1_000), NOW);
    tell(&mut engine, &costing(of(&first), "0.90", Verdict::Success), NOW);
    let spent: Vec<_> = standing(&engine).into_iter().map(|row| (row.1, row.3)).collect();
    assert_eq!(spent, [("c".to_owned(), 900_000_000), ("p".to_owned(), 900_000_000)]);
    assert_eq!(decide(&mut engine, &ask("p", 40_000), NOW).decided.verdict, PolicyVerdict::Block);
    assert_eq!(engine.state.goals["p"].opened_at, NOW);
}

#[test]
fn a_budget_whose_measure_is_changed_begins_anew_and_old_calls_are_taken_off_as_they_were_put_on() {
    let mut engine = with(vec![budget("b", Scope::Workflow, Period::Total, "1", OnExceed::Block)]);
    let request = PolicyRequest { workflow: "w".to_owned(), ..ask("", 20_000) };
    let first = decide(&mut engine, &request, NOW);
    tell(&mut engine, &costing(of(&first), "0.60", Verdict::Success), NOW);
    let open = decide(&mut engine, &request, NOW);
    let mut calls = budget("b", Scope::Workflow, Period::Total, "0", OnExceed::Block);
    (calls.measure, calls.limit) = (Measure::Calls, 2);
    engine.use_budgets(Arc::new(Budgets { all: vec![calls] }), Arc::default());
    assert!(decide(&mut engine, &request, NOW).decided.verdict.proceeds(), "no call was counted yet");
    tell(&mut engine, &costing(of(&open), "0.07", Verdict::Success), NOW);
    let all: Vec<_> = standing(&engine).into_iter().map(|row| (row.3, row.4)).collect();
    assert_eq!(all, [(0, 1), (670_000_000, 0)], "calls and nano-USD");
}

#[test]
fn a_goal_past_the_caps_of_names_is_still_bound_by_the_budgets_of_its_team_and_workflow() {
    for announced in [true, false] {
        let mut engine = with(vec![
            budget("team", Scope::Team, Period::Total, "1", OnExceed::Block),
            budget("flow", Scope::Workflow, Period::Total, "1", OnExceed::Block),
        ]);
        let names = &mut engine.state.names;
        for i in 0..NAMES_MAX {
            names.insert(NameKind::Workflow, names.next_id(NameKind::Workflow), &format!("w{i}"));
            names.insert_labels(names.next_labels_id(), BTreeMap::from([("team".to_owned(), format!("t{i}"))]));
        }
        let (workflow, labels) = ("late".to_owned(), BTreeMap::from([("team".to_owned(), "late".to_owned())]));
        if announced {
            let (goal_id, parent) = ("g".to_owned(), String::new());
            let request = StartGoal { goal_id, workflow, labels, parent, limit: None, key: None };
            let act = engine.start_goal(&NoStore, &request, NOW).unwrap();
            fold(&mut engine, &act.events);
        } else {
            decide(&mut engine, &PolicyRequest { workflow, labels, ..ask("g", 1) }, NOW);
        }
        spend(&mut engine, "g", "0.90");
        let spent: Vec<_> = standing(&engine).into_iter().map(|row| (row.0, row.3)).collect();
        assert_eq!(spent, [("flow".to_owned(), 900_000_000), ("team".to_owned(), 900_000_000)], "{announced}");
        assert_eq!(decide(&mut engine, &ask("g", 40_000), NOW).decided.verdict, PolicyVerdict::Block);
        let goal = &engine.state.goals["g"];
        assert_eq!(goal.workflow_text(&engine.state.names), "late");
        assert_eq!(goal.labels_told(&engine.state.names).unwrap()["team"], "late");
    }
}

#[test]
fn a_sum_beyond_what_a_number_holds_keeps_its_budget_closed() {
    let mut tokens = budget("b", Scope::Goal, Period::PerGoal, "0", OnExceed::Block);
    (tokens.measure, tokens.limit) = (Measure::Tokens, 1_000);
    let mut engine = with(vec![tokens]);
    for _ in 0..2 {
        let elsewhere = OutcomeOf::Elsewhere { task: "tickets".to_owned(), model: "openai/gpt-4o".to_owned() };
        let usage = crate::domain::pricing::Usage { input: i64::MAX as u64 - 1, ..Default::default() };
        let outcome = costing(elsewhere, "0.01", Verdict::Success);
        let outcome = OutcomeReport { goal_id: "g".to_owned(), usage: Some(usage), ..outcome };
        tell(&mut engine, &outcome, NOW);
    }
    assert_eq!(booked(&engine), (i64::MAX, 0, 0));
    assert_eq!(decide(&mut engine, &ask("g", 1), NOW).decided.verdict, PolicyVerdict::Block);
}
