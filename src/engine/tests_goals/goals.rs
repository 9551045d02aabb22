//! Goals without a daemon: they begin, end, come back and stand below each other.

use super::*;

#[test]
fn an_approval_adds_money_to_one_goal() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::RequireApproval)]);
    spend(&mut engine, "g", "1");
    let asked = decide(&mut engine, &ask("g", 2_000), NOW);
    assert_eq!(
        (asked.decided.verdict, said(&asked).action),
        (PolicyVerdict::RequireApproval, OnExceed::RequireApproval)
    );
    grant(&mut engine, "g", "0.02", NOW);
    let verdicts: Vec<bool> =
        (0..3).map(|_| decide(&mut engine, &ask("g", 2_000), NOW).decided.verdict.proceeds()).collect();
    assert_eq!(verdicts, [true, true, false], "two cents more, and no third");
    let note = &engine.state.goals["g"].notes[0];
    assert_eq!((note.by.as_str(), note.what), ("ada", NoteKind::Granted(usd("0.02"))));
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
fn a_workflow_that_is_told_late_is_that_of_the_calls_before_which_named_none() {
    let mut engine = with(vec![]);
    let settled = decide(&mut engine, &ask("g", 1), NOW);
    tell(&mut engine, &costing(of(&settled), "0.01", Verdict::Success), NOW);
    let other = decide(&mut engine, &PolicyRequest { workflow: "other".to_owned(), ..ask("h", 1) }, NOW);
    tell(&mut engine, &OutcomeReport { goal_id: "g".to_owned(), ..costing(of(&other), "0.04", Verdict::Success) }, NOW);
    let open = decide(&mut engine, &ask("g", 1), NOW);
    let (goal_id, workflow) = ("g".to_owned(), "w".to_owned());
    let act = engine.start_goal(&NoStore, &StartGoal { goal_id, workflow, ..StartGoal::default() }, NOW).unwrap();
    fold(&mut engine, &act.events);
    tell(&mut engine, &costing(of(&open), "0.02", Verdict::Success), NOW);
    let of_call = |answer: &PolicyAnswer| {
        let call = &engine.state.calls[&answer.decided.number];
        engine.state.names.text(crate::domain::names::NameKind::Workflow, call.workflow)
    };
    assert_eq!([&settled, &open, &other].map(of_call), ["w", "w", "other"]);
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
    assert_eq!(engine.time_out_goals(&NoStore, NOW.plus_ms(24 * HOUR_MS - 1), 10), None);
    let event = engine.time_out_goals(&NoStore, NOW.plus_ms(24 * HOUR_MS), 10).unwrap();
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
        occurred_at: None,
        key: None,
    };
    assert!(matches!(engine.complete_goal(&NoStore, &otherwise, NOW), Err(EngineError::Precondition(_))));
    let late = engine.time_out_goals(&NoStore, NOW.plus_ms(90 * HOUR_MS), 10).unwrap();
    fold(&mut engine, &[late]);
    let closing = engine.state.goals["slow"].closing.unwrap();
    let then = NOW.plus_ms(72 * HOUR_MS);
    assert_eq!(
        (closing.state, closing.at),
        (GoalState::TimedOut, then),
        "when its time was over, not when that was found"
    );
    assert_eq!(engine.state.open_goals, crate::domain::open_goals::OpenGoals::default());
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
fn a_call_that_nobody_told_of_leaves_the_cost_of_its_goal_unknown_until_somebody_does() {
    let mut engine = with(vec![]);
    let lost = decide(&mut engine, &ask("g", 1), NOW);
    let sums = |engine: &Engine| {
        let own = engine.state.goals["g"].own;
        (own.calls, own.unpriced, own.open, own.cost)
    };
    assert_eq!(sums(&engine), (0, 0, 1, 0), "under way");
    let late = NOW.plus_ms(2 * HOUR_MS);
    let expired = engine.expire(late, 10).unwrap();
    fold(&mut engine, &[expired]);
    assert_eq!(sums(&engine), (0, 1, 0, 0), "what it cost is not nothing");
    tell(&mut engine, &costing(of(&lost), "0.01", Verdict::Success), late);
    assert_eq!(sums(&engine), (1, 0, 0, 10_000_000));
}

#[test]
fn what_the_ends_of_goals_teach_is_looked_at_too() {
    let settings = TaskSettings { learns_from_goal: true, ..TaskSettings::default() };
    let mut engine = engine(settings);
    let mut found = 0;
    for n in 0..120 {
        let goal = format!("g{n}");
        let mut request =
            PolicyRequest { goal_id: goal.clone(), task_type: "tickets".to_owned(), ..PolicyRequest::default() };
        request.asked.allowed_models.push("openai/gpt-4o".to_owned());
        // Several outcomes of one goal are one fact, so that no count of outcomes is met exactly.
        for _ in 0..3 {
            let answer = decide(&mut engine, &request, NOW);
            let call = of(&answer);
            let mut outcome = report(call, None);
            outcome.verdict = None;
            let call = tell(&mut engine, &outcome, NOW);
            let mut taught = engine.state.calls[&call].clone();
            taught.traits.may_teach = true;
            let old = engine.state.calls[&call].clone();
            engine.state.replace_call(Some(&old), taught);
        }
        close(&mut engine, &goal, if n < 60 { GoalState::Accepted } else { GoalState::Rejected }, NOW);
        let events = engine.looks(NOW);
        found += events.iter().filter(|e| matches!(e.body, crate::domain::event::Body::ChangeFound(_))).count();
        fold(&mut engine, &events);
    }
    assert_eq!(found, 1);
    assert!(
        engine.looks(NOW).iter().all(|e| !matches!(e.body, crate::domain::event::Body::ChangeFound(_))),
        "nothing new was told"
    );
}
