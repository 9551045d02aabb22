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

/// A call of team `a` routed elsewhere, made at `occurred_at`.
fn elsewhere(cost: &str, occurred_at: UnixMillis) -> OutcomeReport {
    let of = OutcomeOf::Elsewhere { task: "tickets".to_owned(), model: "openai/gpt-4o".to_owned() };
    let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
    OutcomeReport { labels, occurred_at: Some(occurred_at), ..costing(of, cost, Verdict::Success) }
}

#[test]
fn spend_told_late_without_a_decision_belongs_to_the_period_in_which_it_was_made() {
    for period in [Period::Hour, Period::Day, Period::Week, Period::Month] {
        let mut engine = with(vec![budget("team", Scope::Team, period, "1", OnExceed::Block)]);
        let (now, before) = (NOW, NOW.plus_ms(-40 * DAY_MS));
        for (cost, at) in [("0.90", before), ("0.20", now), ("0.30", before)] {
            let call = tell(&mut engine, &elsewhere(cost, at), now);
            let charges = engine.state.calls[&call].charges.clone();
            let due = engine.alerts_due(&charges, "", now);
            assert_eq!(due, [], "{period:?}: nobody can do anything about a period that ended");
        }
        let spent: Vec<i64> = standing(&engine).into_iter().map(|row| row.3).collect();
        assert_eq!(spent, [1_200_000_000, 200_000_000], "{period:?}");
        assert!(standing(&engine)[0].2 <= before, "{period:?}");
    }
}

/// A store with one account.
struct Stored(Account);

impl crate::engine::hydrate::ColdStore for Stored {
    fn call(&self, number: CallNo) -> Option<crate::domain::call::Call> {
        NoStore.call(number)
    }
    fn goal(&self, id: &str) -> Option<crate::domain::goal::Goal> {
        NoStore.goal(id)
    }
    fn account(&self, key: crate::domain::budget::AccountKey) -> Option<Account> {
        (self.0.opened.key == key).then(|| self.0.clone())
    }
    fn key(&self, hash: u128) -> Option<crate::domain::state::KeyUse> {
        NoStore.key(hash)
    }
    fn idle_goals(&self, asked: &crate::engine::hydrate::IdleAsked<'_>) -> crate::engine::hydrate::Idle {
        NoStore.idle_goals(asked)
    }
}

#[test]
fn an_account_of_an_ended_period_is_brought_back_before_late_spend_is_booked_on_it() {
    let mut engine = with(vec![budget("team", Scope::Team, Period::Day, "1", OnExceed::Block)]);
    let before = NOW.plus_ms(-3 * DAY_MS);
    tell(&mut engine, &elsewhere("0.40", before), NOW);
    let (_, account) = engine.state.accounts.drain().next().unwrap();
    let recorded = engine.record(&Stored(account), &elsewhere("0.05", before), NOW).unwrap();
    let opens = |e: &&Event| matches!(e.body, crate::domain::event::Body::AccountOpened(_));
    assert_eq!(recorded.events.iter().filter(opens).count(), 0, "it was opened long ago");
    fold(&mut engine, &recorded.events);
    assert_eq!(standing(&engine).into_iter().map(|row| row.3).collect::<Vec<_>>(), [450_000_000]);
}

#[test]
fn a_place_that_is_told_late_is_booked_in_the_period_of_the_decision() {
    let mut engine = with(vec![budget("team", Scope::Team, Period::Hour, "1", OnExceed::Block)]);
    let answer = decide(&mut engine, &ask("g", 1_000), NOW);
    let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
    let later = NOW.plus_ms(5 * HOUR_MS);
    tell(&mut engine, &OutcomeReport { labels, ..costing(of(&answer), "0.03", Verdict::Success) }, later);
    let [(_, _, start, spent, _)] = &standing(&engine)[..] else { panic!("{:?}", standing(&engine)) };
    assert_eq!((*start, *spent), (NOW, 30_000_000), "NOW is a full hour");
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
