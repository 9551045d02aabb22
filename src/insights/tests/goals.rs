//! Goals in the report: the acceptance arithmetic that concerns them, and each figure against a few goals counted by hand.

use std::sync::Arc;

use rand::RngExt as _;

use super::assert_close;
use crate::domain::draw::decision_rng;
use crate::domain::goal::{GoalRules, GoalState, WorkflowRules};
use crate::domain::money::NanoUsd;
use crate::domain::names::Labels;
use crate::domain::outcome::{OutcomeReport, QualityMicro};
use crate::domain::pricing::Usage;
use crate::domain::request_goal::{CompleteGoal, StartGoal};
use crate::domain::time::{HOUR_MS, MINUTE_MS};
use crate::insights::tests_support::{NOON, World, hours_back, tool_call, workflow_call};
use crate::insights::{CompareLabels, Filters, GoalFigures, Query, Report};

const CENTS_3: u64 = 30_000_000;

/// A1: both runs of the workflow `support`, ended as said.
fn two_runs(good: GoalState, bad: GoalState) -> World {
    let mut world = World::new();
    let mut call = |goal: &str, step: &str, success| {
        world.record(&workflow_call("support", goal, step, success, CENTS_3));
    };
    for step in ["search_api", "extract", "crm_write"] {
        call("good", step, true);
    }
    [false, false, false, true].into_iter().for_each(|success| call("bad", "search_api", success));
    [false, true].into_iter().for_each(|success| call("bad", "extract", success));
    call("bad", "crm_write", true);
    world.complete("good", good);
    world.complete("bad", bad);
    world
}

fn row<'a>(report: &'a Report, workflow: &str) -> &'a GoalFigures {
    report.goals.as_ref().unwrap().by_workflow.iter().find(|row| row.workflow == workflow).unwrap()
}

#[test]
fn a1_and_a2_loaded_cost_and_waste() {
    let world = two_runs(GoalState::Accepted, GoalState::Accepted);
    let report = world.last_hours(1);
    let costs = row(&report, "support").cost_per_goal.unwrap();
    assert_eq!((costs.goals, costs.p50_usd, costs.max_usd), (2, 0.09, 0.21));
    assert_close(Some(report.waste.retry_waste_ratio.unwrap()), 0.4);
    assert_close(report.waste.retry_waste_ratio_by_count, 0.4);
    assert_close(report.waste.loaded_multiplier, 0.30 / 0.18);
    let bad = Query { filters: Filters { goal_id: Some("bad".to_owned()), ..Filters::default() }, ..hours_back(1) };
    let bad = world.report(&bad);
    assert_close(bad.waste.retry_waste_ratio, 4.0 / 7.0);
    assert_close(bad.waste.retry_waste_ratio_by_count, 4.0 / 7.0);
    assert_close(bad.waste.loaded_multiplier, 0.21 / 0.09);
    assert_eq!(bad.goals, None, "a receipt tells of one goal");
}

#[test]
fn a3_cost_per_accepted_goal_and_failure_share() {
    let both = two_runs(GoalState::Accepted, GoalState::Accepted).last_hours(1);
    let both = row(&both, "support");
    assert_close(both.cost_per_accepted_goal, 0.15);
    assert_eq!((both.failure_cost_share, both.cost_per_accepted_goal_interval), (Some(0.0), None));
    let one = two_runs(GoalState::Accepted, GoalState::Rejected).last_hours(1);
    let one = row(&one, "support");
    assert_close(one.cost_per_accepted_goal, 0.30);
    assert_close(one.failure_cost_share, 0.7);
    let states: Vec<_> = one.by_state.iter().map(|r| (r.state, r.goals, r.cost, r.cost_share)).collect();
    let expected =
        [(GoalState::Accepted, 1, NanoUsd(90_000_000), 0.3), (GoalState::Rejected, 1, NanoUsd(210_000_000), 0.7)];
    assert_eq!(states, expected);
    assert_eq!((one.cost_per_accepted.unwrap().mean_usd, one.cost_per_not_accepted.unwrap().mean_usd), (0.09, 0.21));
}

#[test]
fn a3_however_late_the_truth() {
    let mut world = two_runs(GoalState::Accepted, GoalState::Accepted);
    world.correct_goal("bad", GoalState::Rejected, "ada");
    assert_close(row(&world.last_hours(1), "support").failure_cost_share, 0.7);
    world.correct_goal("bad", GoalState::Accepted, "ada");
    let back = world.last_hours(1);
    assert_close(row(&back, "support").cost_per_accepted_goal, 0.15);
    assert_eq!(row(&back, "support").by_state.len(), 1, "nothing is left where it was");
}

#[test]
fn a4_effective_cost_of_tools() {
    let mut world = World::new();
    for (tool, nano, calls) in [("cheap", 30_000_000, 210), ("dear", 50_000_000, 102), ("steady", 10_000_000, 100)] {
        for n in 0..calls {
            world.record(&tool_call("w", &format!("{tool} {n}"), tool, n < 100, nano));
        }
    }
    let report = world.last_hours(1);
    let tool = |name: &str| report.tools.iter().find(|row| row.name == name).unwrap();
    for (name, price, effective) in [("cheap", 0.03, 0.063), ("dear", 0.05, 0.051), ("steady", 0.01, 0.010)] {
        assert_close(tool(name).price_per_call, price);
        assert_close(tool(name).effective_cost, effective);
    }
    assert_close(tool("cheap").attempts_per_completion, 2.1);
    assert_close(tool("cheap").failure_rate, 110.0 / 210.0);
    assert_eq!(report.tools[0].name, "cheap", "dearest first");
    assert_eq!(report.steps.len(), 3, "a tool without a step is its own");
}

#[test]
fn a12_no_accepted_goal_has_no_price() {
    let report = two_runs(GoalState::Rejected, GoalState::Escalated).last_hours(1);
    let row = row(&report, "support");
    assert_eq!((row.cost_per_accepted_goal, row.cost_per_accepted_goal_interval), (None, None));
    assert_eq!((row.failure_cost_share, row.cost_per_accepted), (Some(1.0), None));
    assert_eq!((row.margin, row.per_accepted.energy_j, row.per_accepted.tokens), (None, None, None));
    let nothing = World::new().last_hours(1).goals.unwrap();
    assert_eq!((nothing.total.failure_cost_share, nothing.total.shape, nothing.by_workflow.len()), (None, None, 0));
}

#[test]
fn a13_cost_per_resolved_ticket_against_the_window_before() {
    let mut world = World::new();
    world.record(&workflow_call("support", "before", "s", true, 340_579_710));
    world.complete("before", GoalState::Accepted);
    world.now = world.now.plus_ms(90 * MINUTE_MS);
    for (goal, state) in [("a", GoalState::Accepted), ("b", GoalState::Rejected)] {
        world.record(&workflow_call("support", goal, "s", true, 235_000_000));
        world.complete(goal, state);
    }
    let report = world.report(&Query { compare_previous: true, ..hours_back(1) });
    let previous = report.previous_goals.as_ref().unwrap().by_workflow[0].cost_per_accepted_goal;
    assert_eq!(format!("{:.4}", previous.unwrap()), "0.3406");
    let now = row(&report, "support");
    assert_close(now.cost_per_accepted_goal, 0.47);
    let changes = now.changes.unwrap();
    assert!((changes.cost_per_accepted_goal.unwrap() - 0.38).abs() < 1e-8, "{changes:?}");
    assert_eq!((changes.closed, changes.accepted, changes.failure_cost_share), (Some(1.0), Some(0.0), None));
    assert_eq!(report.previous_waste.unwrap().retry_waste_ratio, Some(0.0));
    let alone = world.last_hours(1);
    assert_eq!((alone.previous_goals.is_none(), row(&alone, "support").changes), (true, None));
}

/// By sorting all values: the smallest that so many thousandths do not exceed.
fn by_sorting(costs: &[u64], per_mille: usize) -> f64 {
    let mut sorted = costs.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() * per_mille).div_ceil(1_000) - 1] as f64 / 1e9
}

#[test]
fn cost_of_random_goals_is_what_sorting_says() {
    for (seed, goals) in [(1, 40), (2, 999), (3, 1_500)] {
        println!("seed {seed}");
        let mut rng = decision_rng(seed, 5);
        let mut world = World::new();
        let costs: Vec<u64> =
            (0..goals).map(|_| 2_u64 << rng.random_range(10..34) | rng.random_range(0..1_000)).collect();
        for (n, cost) in costs.iter().enumerate() {
            world.now = NOON.plus_ms(n as i64 * 3 * MINUTE_MS);
            world.record(&workflow_call("w", &n.to_string(), "s", true, *cost));
            world.complete(&n.to_string(), GoalState::ALL[n % 2]);
        }
        let report = world.last_hours(100);
        let found = row(&report, "w").cost_per_goal.unwrap();
        let close = |found: f64, exact: f64| {
            assert!((found - exact).abs() <= 0.01 * exact, "seed {seed}, {goals} goals: {found} is not {exact}");
        };
        close(found.p50_usd, by_sorting(&costs, 500));
        close(found.p95_usd, by_sorting(&costs, 950));
        close(found.p99_usd, by_sorting(&costs, 990));
        close(found.max_usd, *costs.iter().max().unwrap() as f64 / 1e9);
        assert_close(Some(found.mean_usd), costs.iter().sum::<u64>() as f64 / goals as f64 / 1e9);
        assert_eq!(found.goals, goals);
    }
}

fn joules(workflow: &str, goal: &str, energy_mj: u64) -> OutcomeReport {
    OutcomeReport { energy_mj: Some(energy_mj), ..workflow_call(workflow, goal, "run", true, CENTS_3) }
}

#[test]
fn a14_overhead_index() {
    let mut world = World::new();
    for n in 0..4 {
        for (workflow, energy_mj) in [("agentic", 888_100), ("linear", 205_300)] {
            let goal = format!("{workflow} {n}");
            world.record(&joules(workflow, &goal, energy_mj));
            world.complete(&goal, GoalState::Accepted);
        }
    }
    let query = Query { overhead: Some(("agentic".to_owned(), "linear".to_owned())), ..hours_back(1) };
    let before = world.report(&query);
    let overhead = before.overhead.as_ref().unwrap();
    assert_eq!(format!("{:.3}", overhead.energy.unwrap()), "4.326");
    assert_eq!((overhead.cost, overhead.latency), (Some(1.0), None));
    world.record(&joules("agentic", "never solved", 1_000_000));
    let after = world.report(&query);
    let energy = |report: &Report| row(report, "agentic").per_accepted.energy_j.unwrap();
    assert_close(Some(energy(&after) - energy(&before)), 1_000.0 / 4.0);
    assert_eq!(row(&after, "linear").per_accepted, row(&before, "linear").per_accepted);
    let unknown = Query { overhead: Some(("agentic".to_owned(), "no such".to_owned())), ..hours_back(1) };
    assert_eq!(world.report(&unknown).overhead.unwrap().energy, None);
}

#[test]
fn a_childs_cost_is_its_parents_and_counted_once() {
    let mut world = World::new();
    world.record(&workflow_call("support", "parent", "plan", true, CENTS_3));
    let child = StartGoal { goal_id: "child".to_owned(), parent: "parent".to_owned(), ..StartGoal::default() };
    world.start(&child);
    world.record(&workflow_call("lookup", "child", "search", false, 70_000_000));
    world.complete("child", GoalState::Rejected);
    world.complete("parent", GoalState::Accepted);
    let report = world.last_hours(1);
    let goals = report.goals.as_ref().unwrap();
    assert_eq!((goals.total.closed, goals.sub_goals, goals.total.closed_cost), (1, 1, NanoUsd(100_000_000)));
    assert_eq!(goals.total.failure_cost_share, Some(0.0), "the parent was accepted with all that was spent below it");
    assert_eq!(row(&report, "support").cost_per_goal.unwrap().p50_usd, 0.1);
    assert_eq!(row(&report, "lookup").closed, 0);
    assert_eq!(report.quality.goals_closed, 1);
}

/// A goal of a workflow below another goal, with one call, accepted.
fn accepted_below(world: &mut World, parent: &str, workflow: &str, goal: &str, nano: u64) {
    world.start(&StartGoal { goal_id: goal.to_owned(), parent: parent.to_owned(), ..StartGoal::default() });
    world.record(&workflow_call(workflow, goal, "s", true, nano));
    world.complete(goal, GoalState::Accepted);
}

#[test]
fn a_workflow_below_others_has_a_cost_per_accepted_goal_and_nothing_is_counted_twice() {
    let mut world = World::new();
    world.record(&workflow_call("support", "parent", "plan", true, CENTS_3));
    for (goal, nano) in [("l1", 40_000_000), ("l2", 60_000_000)] {
        accepted_below(&mut world, "parent", "lookup", goal, nano);
    }
    // The same workflow below itself is part of the goal above.
    accepted_below(&mut world, "parent", "support", "again", 20_000_000);
    world.record(&workflow_call("lookup", "alone", "s", true, 20_000_000));
    world.complete("alone", GoalState::Accepted);
    world.complete("parent", GoalState::Accepted);
    let report = world.last_hours(1);
    let lookup = row(&report, "lookup");
    assert_eq!((lookup.closed, lookup.accepted, lookup.sub_goals, lookup.accepted_sub_goals), (1, 1, 2, 2));
    assert_close(lookup.cost_per_accepted_goal, 0.12 / 3.0);
    let support = row(&report, "support");
    assert_eq!((support.closed, support.sub_goals), (1, 0));
    assert_close(support.cost_per_accepted_goal, 0.05);
    assert_eq!(support.cost_per_goal.unwrap().p50_usd, 0.15, "the goal carries all below it");
    let total = &report.goals.as_ref().unwrap().total;
    assert_eq!((total.closed, total.sub_goals, total.closed_cost), (2, 0, NanoUsd(170_000_000)));
    assert_close(total.cost_per_accepted_goal, 0.17 / 2.0);
    let only =
        Query { filters: Filters { workflow: Some("lookup".to_owned()), ..Filters::default() }, ..hours_back(1) };
    let only = world.report(&only).goals.unwrap();
    assert_close(only.total.cost_per_accepted_goal, 0.04);
    world.correct_goal("l2", GoalState::Rejected, "ada");
    assert_close(row(&world.last_hours(1), "lookup").cost_per_accepted_goal, 0.06);
}

#[test]
fn shape_scores_and_rework() {
    let mut world = World::new();
    for (goal, calls, state, score) in [
        ("a", 1, GoalState::Accepted, Some(1_000_000)),
        ("b", 2, GoalState::Accepted, Some(500_000)),
        ("c", 6, GoalState::Escalated, None),
        ("d", 3, GoalState::Accepted, None),
    ] {
        for n in 0..calls {
            world.now = world.now.plus_ms(MINUTE_MS);
            world.record(&workflow_call("w", goal, ["one", "two"][n % 2], true, CENTS_3));
        }
        let score = score.map(QualityMicro);
        let (note, by, key) = (String::new(), String::new(), None);
        world.complete_with(&CompleteGoal { goal_id: goal.to_owned(), state, score, note, by, occurred_at: None, key });
    }
    // It comes back, and is closed again.
    world.start(&StartGoal { goal_id: "d".to_owned(), ..StartGoal::default() });
    assert_eq!(row(&world.last_hours(1), "w").closed, 3);
    world.complete("d", GoalState::Accepted);
    let report = world.last_hours(1);
    let shape = row(&report, "w").shape.unwrap();
    assert_eq!((shape.calls.p50, shape.calls.p95, shape.calls.mean, shape.calls.spread), (2.0, 6.0, 3.0, Some(3.0)));
    assert_eq!((shape.steps.p50, shape.steps.mean), (2.0, 1.75));
    assert_eq!((shape.wall_ms.p50, shape.wall_ms.p95), (MINUTE_MS as f64, 5.0 * MINUTE_MS as f64));
    assert_eq!((shape.resolution_rate, shape.escalation_rate, shape.rework_rate), (0.75, 0.25, 0.25));
    assert_eq!((shape.mean_score, shape.scored), (Some(0.75), 2));
}

#[test]
fn margin_where_the_workflow_has_a_price() {
    let mut world = World::new();
    let sold = WorkflowRules { idle_timeout_ms: None, price: Some(NanoUsd(500_000_000)) };
    let rules = GoalRules { workflows: [("sold".into(), sold)].into(), ..GoalRules::default() };
    world.engine.use_budgets(Arc::default(), Arc::new(rules));
    for (goal, cents, state) in [
        ("a", 10, GoalState::Accepted),
        ("b", 20, GoalState::Accepted),
        ("c", 80, GoalState::Accepted),
        ("d", 40, GoalState::Abandoned),
    ] {
        world.record(&workflow_call("sold", goal, "s", true, cents * 10_000_000));
        world.complete(goal, state);
    }
    let report = world.last_hours(1);
    let margin = row(&report, "sold").margin.unwrap();
    assert_close(Some(margin.p50_usd), 0.3);
    assert_close(Some(margin.p99_usd), -0.3);
    assert_close(Some(margin.after_failures_usd), 0.0);
    assert_close(Some(margin.share_at_loss), 1.0 / 3.0);
    assert_eq!(report.goals.unwrap().total.margin, None);
}

#[test]
fn context_grows_by_place_in_the_goal() {
    let mut world = World::new();
    for goal in ["a", "b"] {
        for turn in 0..40_u64 {
            let usage = Usage { input: 1_000 + 100 * turn, output: 5, ..Usage::default() };
            let call = workflow_call("w", goal, "chat", true, 1);
            world.record(&OutcomeReport { usage: Some(usage), ..call });
        }
    }
    let rows = world.last_hours(1).context_growth;
    assert_eq!(rows.len(), 33);
    assert_eq!((rows[0].calls, rows[0].mean_input_tokens), (2, 1_000.0));
    assert_eq!((rows[31].first, rows[31].last, rows[31].mean_input_tokens), (31, 31, 4_100.0));
    assert_eq!((rows[32].first, rows[32].last, rows[32].calls), (32, 63, 16));
    assert_eq!(rows[32].mean_input_tokens, 4_550.0);
}

#[test]
fn two_prompts_side_by_side() {
    let mut world = World::new();
    for n in 0..80 {
        let prompt = ["A", "B"][n % 2];
        let labels = Labels::from([("prompt".to_owned(), prompt.to_owned())]);
        let goal = n.to_string();
        for turn in 0..if prompt == "A" { 2 } else { 3 } {
            let call = workflow_call("w", &goal, "s", turn > 0 || n % 8 != 0, 10_000_000);
            world.record(&OutcomeReport { labels: labels.clone(), ..call });
        }
        world.complete(&goal, if n % 10 == 1 { GoalState::Rejected } else { GoalState::Accepted });
    }
    let compare = CompareLabels { label: "prompt".to_owned(), a: "A".to_owned(), b: "B".to_owned() };
    let found = world.report(&Query { compare_labels: Some(compare), ..hours_back(1) }).comparison.unwrap();
    let (a, b) = (&found.a, &found.b);
    assert_eq!((a.closed, a.accepted, a.calls), (40, 40, 80));
    assert_eq!((b.closed, b.accepted, b.calls), (40, 32, 120));
    assert_close(a.cost_per_accepted_goal, 0.02);
    assert_close(b.cost_per_accepted_goal, 1.2 / 32.0);
    assert_eq!((a.calls_per_goal, a.calls_per_goal_interval), (Some(2.0), Some((2.0, 2.0))));
    assert_close(a.call_success_rate, 70.0 / 80.0);
    let (low, high) = b.cost_per_accepted_goal_interval.unwrap();
    assert!(low < 0.0375 && 0.0375 < high && high < 0.05, "{low} to {high}");
    let (low, high) = b.resolution_rate_interval.unwrap();
    assert!(low < 0.8 && 0.8 < high, "{low} to {high}");
}

#[test]
fn what_callers_say_against_what_auditors_find() {
    let mut world = World::new();
    for n in 0..20 {
        let goal = n.to_string();
        world.record(&workflow_call("w", &goal, "s", true, 1));
        world.complete(&goal, if n < 16 { GoalState::Accepted } else { GoalState::Rejected });
    }
    world.correct_goal("0", GoalState::Accepted, "audit:ada");
    world.correct_goal("1", GoalState::Rejected, "audit:ada");
    world.correct_goal("2", GoalState::Rejected, "audit:ada");
    world.correct_goal("2", GoalState::Accepted, "audit:bob");
    world.correct_goal("16", GoalState::Accepted, "audit:ada");
    world.correct_goal("3", GoalState::Rejected, "the customer");
    let quality = world.last_hours(1).quality;
    assert_eq!((quality.graded, quality.overclaimed, quality.underclaimed), (4, 1, 1));
    assert_close(quality.self_reported_rate, 15.0 / 20.0);
    assert_close(quality.graded_rate, 3.0 / 4.0);
    assert_close(quality.graded_self_reported_rate, 3.0 / 4.0);
    let (low, high) = quality.graded_rate_interval.unwrap();
    assert!(low > 0.3 && high < 0.95, "{low} to {high}");
}

#[test]
fn goals_belong_to_the_time_of_their_closing() {
    let mut world = World::new();
    world.record(&workflow_call("w", "late", "s", true, CENTS_3));
    world.now = world.now.plus_ms(5 * HOUR_MS);
    world.complete("late", GoalState::Accepted);
    world.record(&workflow_call("w", "open", "s", true, CENTS_3));
    let report = world.last_hours(1);
    let last = row(&report, "w");
    assert_eq!((last.closed_cost, last.spend), (NanoUsd(CENTS_3), NanoUsd(CENTS_3)));
    assert_close(last.cost_per_accepted_goal, 0.03);
    assert_eq!(report.quality.goals_open, 1);
    world.now = world.now.plus_ms(HOUR_MS / 2);
    world.record(&workflow_call("w", "late", "s", true, CENTS_3));
    let late = world.last_hours(1);
    let late = row(&late, "w");
    assert_eq!(late.closed_cost, NanoUsd(2 * CENTS_3), "the money was spent");
    assert_eq!(late.shape.unwrap().wall_ms.p50, 5.0 * HOUR_MS as f64, "but the work was over");
    world.now = world.now.plus_ms(-HOUR_MS / 2);
    world.now = world.now.plus_ms(2 * HOUR_MS);
    assert_eq!(world.last_hours(1).quality.goals_closed, 0);
    world.correct_goal("late", GoalState::Rejected, "ada");
    assert_eq!(world.last_hours(1).quality.goals_closed, 0, "a correction keeps the time of the closing");
    assert_close(row(&world.last_hours(4), "w").failure_cost_share, 1.0);
}
