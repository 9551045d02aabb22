//! Edges of windows, decisions without outcome, and filters, those past the cap of names included.

use super::assert_close;
use crate::domain::call::CallRef;
use crate::domain::money::NanoUsd;
use crate::domain::names::{Labels, NAMES_MAX};
use crate::domain::outcome::OutcomeOf;
use crate::domain::request::PolicyRequest;
use crate::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use crate::insights::tests_support::{GPT_4O, MINI, NOON, TURBO, World, asks, came_to, elsewhere, hours_back};
use crate::insights::{Filters, Query, Report, Resolution};

fn one_call(world: &mut World) {
    world.record(&came_to(elsewhere("tickets", GPT_4O), true, 1_000_000));
}

fn filtered(world: &World, filters: Filters) -> Report {
    world.report(&Query { filters, include_cost_breakdown: true, ..hours_back(1) })
}

#[test]
fn a_call_of_this_moment_and_one_of_the_first_moment_are_in_the_window() {
    let mut world = World::new();
    one_call(&mut world);
    assert_eq!(world.last_hours(1).headline.calls, 1, "the minute is not over yet");
    world.now = NOON.plus_ms(HOUR_MS);
    let report = world.last_hours(1);
    assert_eq!((report.headline.calls, report.headline.window.start), (1, NOON));
    assert_eq!(report.headline.window.end, NOON.plus_ms(HOUR_MS + MINUTE_MS));
    assert_eq!(report.headline.window.resolution, Resolution::Minute);
    world.now = NOON.plus_ms(HOUR_MS + MINUTE_MS);
    assert_eq!(world.last_hours(1).headline.calls, 0);
}

#[test]
fn a_task_type_that_nobody_knows_is_told_and_a_known_one_is_not() {
    let mut world = World::new();
    one_call(&mut world);
    let note = |name: &str| filtered(&world, Filters { task_type: Some(name.to_owned()), ..Filters::default() }).note;
    let told = note("tickts").unwrap();
    assert!(told.starts_with("No task type is called `tickts`; known are ") && told.contains("tickets"), "{told}");
    assert_eq!((note("tickets"), filtered(&world, Filters::default()).note), (None, None));
}

#[test]
fn the_window_before_touches_this_one_and_counts_no_call_twice() {
    let mut world = World::new();
    for _ in 0..180 {
        one_call(&mut world);
        world.now = world.now.plus_ms(MINUTE_MS);
    }
    world.now = world.now.plus_ms(-30_000);
    let report = world.report(&Query { compare_previous: true, ..hours_back(1) });
    let (now, before) = (report.headline, report.previous.unwrap());
    assert_eq!((now.calls, before.calls), (61, 61));
    assert_eq!(before.window.end, now.window.start);
    assert_eq!(now.window.end.0 - now.window.start.0, before.window.end.0 - before.window.start.0);
}

#[test]
fn a_comparison_with_too_few_calls_is_told_as_such() {
    let mut world = World::new();
    for (before, thin) in [(0, false), (20, true), (40, false)] {
        world.now = world.now.plus_ms(DAY_MS);
        (0..before).for_each(|_| one_call(&mut world));
        world.now = world.now.plus_ms(90 * MINUTE_MS);
        (0..40).for_each(|_| one_call(&mut world));
        let changes = world.report(&Query { compare_previous: true, ..hours_back(1) }).changes.unwrap();
        assert_eq!(
            (changes.cost_per_success.is_some(), changes.cost_per_success_is_thin),
            (before > 0, thin),
            "{before}"
        );
    }
}

#[test]
fn far_back_the_edge_is_the_hour() {
    let mut world = World::new();
    world.now = NOON.plus_ms(30 * MINUTE_MS);
    one_call(&mut world);
    world.now = NOON.plus_ms(3 * DAY_MS + 45 * MINUTE_MS);
    one_call(&mut world);
    let report = world.last_hours(72);
    assert_eq!((report.headline.calls, report.headline.window.start), (2, NOON));
    assert_eq!(report.headline.window.resolution, Resolution::Hour);
    assert_eq!(world.last_hours(71).headline.calls, 1);
}

#[test]
fn a_lookback_longer_than_time_covers_everything() {
    let mut world = World::new();
    one_call(&mut world);
    let report = world.report(&Query { lookback_ms: i64::MAX, compare_previous: true, ..Query::default() });
    assert_eq!((report.headline.calls, report.previous.unwrap().calls), (1, 0));
}

#[test]
#[should_panic(expected = "INV-INSIGHTS-1")]
fn a_window_without_length_is_a_bug() {
    let _ = World::new().report(&Query::default());
}

#[test]
fn decisions_are_open_settled_expired_or_voided() {
    let mut world = World::new();
    let open: Vec<_> = (0..5).map(|_| world.decide(&asks("tickets"))).collect();
    let report = world.last_hours(3);
    assert_eq!((report.headline.decisions, report.decisions_open, report.headline.calls), (5, 5, 0));
    assert_eq!(report.by_task[0].calls, 0, "an open decision is in no figure but these");
    world.record(&came_to(OutcomeOf::Decision(open[0]), true, 1_000_000));
    let void = world
        .engine
        .void(
            &crate::engine::hydrate::NoStore,
            CallRef { number: open[1].number, ..CallRef::default() },
            "me",
            "why",
            world.now,
        )
        .unwrap();
    world.apply(void.as_slice());
    world.now = world.now.plus_ms(2 * HOUR_MS);
    let expired = world.engine.expire(world.now, 2);
    world.apply(expired.as_slice());
    let report = world.last_hours(3);
    assert_eq!((report.headline.decisions, report.decisions_open), (4, 1), "a voided one counts nowhere");
    assert_eq!((report.headline.decisions_without_outcome, report.headline.calls), (2, 1));
    world.record(&came_to(OutcomeOf::Decision(open[2]), true, 1_000_000));
    let report = world.last_hours(3);
    assert_eq!((report.headline.decisions_without_outcome, report.headline.calls), (1, 2), "late is not never");
}

#[test]
fn filters_split_the_whole() {
    let mut world = World::new();
    let calls =
        [(GPT_4O, "support", "classify", "", 5), (MINI, "support", "answer", "", 3), (MINI, "sales", "answer", "", 2)];
    for (model, workflow, step, tool, cost) in calls {
        let mut report = came_to(elsewhere("tickets", model), true, cost);
        (report.workflow, report.step, report.tool) = (workflow.to_owned(), step.to_owned(), tool.to_owned());
        report.labels =
            Labels::from([("team".to_owned(), workflow.to_owned()), ("tier".to_owned(), "gold".to_owned())]);
        world.record(&report);
    }
    let mut search = came_to(elsewhere("", ""), false, 7);
    search.tool = "search".to_owned();
    world.record(&search);
    let cost = |filters| filtered(&world, filters).headline.total_cost.0;
    let text = |value: &str| Some(value.to_owned());
    assert_eq!(cost(Filters::default()), 17);
    assert_eq!(cost(Filters { task_type: text("tickets"), ..Filters::default() }), 10);
    assert_eq!(cost(Filters { task_type: text("nobody's"), ..Filters::default() }), 0);
    assert_eq!(cost(Filters { workflow: text("support"), ..Filters::default() }), 8);
    assert_eq!(cost(Filters { step: text("answer"), workflow: text("sales"), ..Filters::default() }), 2);
    assert_eq!(cost(Filters { tool: text("search"), ..Filters::default() }), 7);
    assert_eq!(cost(Filters { model: text(MINI), ..Filters::default() }), 5);
    assert_eq!(cost(Filters { model: text(&format!("{MINI}-latest")), ..Filters::default() }), 5, "an alias");
    let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    assert_eq!(cost(Filters { labels: labels(&[("tier", "gold")]), ..Filters::default() }), 10);
    assert_eq!(cost(Filters { labels: labels(&[("tier", "gold"), ("team", "sales")]), ..Filters::default() }), 2);
    assert_eq!(cost(Filters { labels: labels(&[("tier", "lead")]), ..Filters::default() }), 0);
    let whole = filtered(&world, Filters::default());
    let split = whole.cost_breakdown.unwrap();
    for rows in [&split.by_model, &split.by_workflow, &split.by_step, &split.by_tool] {
        assert_eq!(rows.iter().map(|row| row.cost.0).sum::<u64>(), 17);
        assert!(rows.is_sorted_by(|a, b| a.cost >= b.cost));
    }
    assert_eq!((split.by_tool[0].name.as_str(), split.by_tool[0].cost), ("", NanoUsd(10)));
    assert_eq!(whole.by_task.len(), 1, "a tool call has no task type");
}

#[test]
fn a_goal_counted_from_its_calls_is_the_goal_counted_from_the_sums() {
    let mut world = World::new();
    for goal in ["one", "two"] {
        // The workflow is the goal's own, so that sums can be asked for it.
        let request = PolicyRequest { goal_id: goal.to_owned(), workflow: goal.to_owned(), ..asks("tickets") };
        for i in 0..6 {
            let decision = world.decide(&request);
            world.now = world.now.plus_ms(20 * MINUTE_MS);
            if i != 2 {
                world.record(&came_to(OutcomeOf::Decision(decision), i > 3, 1_000 + i));
            }
        }
    }
    let name = |goal: &str| Some(goal.to_owned());
    let mut query = Query { include_cost_breakdown: true, compare_previous: true, ..hours_back(3) };
    for goal in ["one", "two"] {
        query.filters = Filters { goal_id: name(goal), ..Filters::default() };
        let from_calls = world.report(&query);
        query.filters = Filters { workflow: name(goal), ..Filters::default() };
        let mut from_sums = world.report(&query);
        let goals = [from_sums.goals.take(), from_sums.previous_goals.take()];
        assert!(goals.iter().all(Option::is_some), "goals can be told by their workflow");
        assert!(from_sums.savings.take().is_some(), "arms too");
        from_sums.quality.goals_open = 0;
        assert_eq!(from_calls, from_sums);
    }
    let two = world.report(&query).headline;
    assert_eq!((two.decisions, two.calls, two.retries), (6, 5, 3));
    query.filters = Filters { goal_id: name("nobody's"), ..Filters::default() };
    assert_eq!(world.report(&query).headline.decisions, 0);
}

#[test]
fn labels_past_the_cap_are_left_out_and_it_is_said() {
    let mut world = World::new();
    for n in 0..=NAMES_MAX {
        let mut report = came_to(elsewhere("tickets", GPT_4O), true, 1);
        report.labels = Labels::from([("n".to_owned(), n.to_string())]);
        world.record(&report);
    }
    let by_label = |n: usize| {
        let labels = Labels::from([("n".to_owned(), n.to_string())]);
        filtered(&world, Filters { labels, ..Filters::default() })
    };
    let (known, past) = (by_label(7), by_label(NAMES_MAX));
    assert_eq!((known.headline.calls, past.headline.calls), (1, 0));
    assert!(past.partial_detail && past.note.is_some(), "the last one stands under other");
    let everything = world.last_hours(1);
    assert_eq!(
        (everything.headline.calls, everything.partial_detail, everything.note),
        (NAMES_MAX as u64 + 1, false, None)
    );
}

#[test]
fn probabilities_of_being_best_sum_to_one_over_those_that_may_serve() {
    let mut world = World::new();
    for i in 0..60 {
        let decision = world.decide(&asks("tickets"));
        world.record(&came_to(OutcomeOf::Decision(decision), i % 3 > 0, 1_000_000));
    }
    world.record(&came_to(elsewhere("tickets", "somebody/else"), true, 1_000_000));
    let task = world.task("tickets");
    let off =
        world.engine.set_model_state(task, TURBO, crate::domain::event::ModelState::Disabled, "me", "why", world.now);
    world.apply(&off);
    let rows = world.last_hours(1).by_task.remove(0).by_model;
    assert_close(Some(rows.iter().filter_map(|row| row.probability_best).sum()), 1.0);
    let without: Vec<&str> =
        rows.iter().filter(|row| row.probability_best.is_none()).map(|row| &*row.candidate).collect();
    assert!(without.contains(&"somebody/else") && !without.contains(&MINI), "{without:?}");
    assert!(rows.iter().all(|row| row.candidate != TURBO || row.probability_best.is_none()));
    assert_close(Some(rows.iter().map(|row| row.traffic_share).sum()), 1.0);
    assert!(rows.is_sorted_by(|a, b| a.calls >= b.calls));
}
