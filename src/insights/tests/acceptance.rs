//! The acceptance arithmetic of the specification, as far as calls alone go (goals come later).

use super::assert_close;
use crate::domain::money::NanoUsd;
use crate::domain::outcome::OutcomeOf;
use crate::insights::tests_support::{
    GPT_4O, MINI, TURBO, World, came_to, elsewhere, hours_back, outcome, step_call, used,
};
use crate::insights::{Filters, Query, TaskInsights};

fn of_goal(goal: &str) -> Query {
    Query { filters: Filters { goal_id: Some(goal.to_owned()), ..Filters::default() }, ..hours_back(1) }
}

fn two_runs() -> World {
    let mut world = World::new();
    for step in ["search_api", "extract", "crm_write"] {
        world.record(&step_call("good", step, true));
    }
    for success in [false, false, false, true] {
        world.record(&step_call("bad", "search_api", success));
    }
    for success in [false, true] {
        world.record(&step_call("bad", "extract", success));
    }
    world.record(&step_call("bad", "crm_write", true));
    world
}

#[test]
fn a1_good_run_and_bad_run() {
    let world = two_runs();
    let (good, bad) = (world.report(&of_goal("good")), world.report(&of_goal("bad")));
    assert_eq!((good.headline.total_cost, bad.headline.total_cost), (NanoUsd(90_000_000), NanoUsd(210_000_000)));
    assert_close(good.by_task[0].avg_cost_per_call, 0.03);
    assert_close(bad.by_task[0].avg_cost_per_call, 0.03);
    assert_close(Some(bad.headline.total_cost.usd() / good.headline.total_cost.usd()), 7.0 / 3.0);
    assert_eq!((good.headline.retries, bad.headline.retries), (0, 4));
    let both = world.last_hours(1);
    assert_eq!((both.headline.calls, both.headline.total_cost), (10, NanoUsd(300_000_000)), "goals sum to the whole");
}

#[test]
fn a2_waste_of_the_bad_run() {
    let bad = two_runs().report(&of_goal("bad")).headline;
    assert_eq!((bad.failed_calls_count, bad.calls, bad.failed_call_cost), (4, 7, NanoUsd(120_000_000)));
    assert_close(Some(bad.failed_call_cost.usd() / bad.total_cost.usd()), 4.0 / 7.0);
}

/// `calls` calls at `nano`, of which `successes` succeed, routed elsewhere.
fn calls(world: &mut World, task: &str, model: &str, nano: u64, calls: u64, successes: u64) {
    for i in 0..calls {
        world.record(&came_to(elsewhere(task, model), i < successes, nano));
    }
}

fn task<'a>(rows: &'a [TaskInsights], name: &str) -> &'a TaskInsights {
    rows.iter().find(|row| row.name == name).unwrap()
}

#[test]
fn a6_cheap_and_weak_costs_the_same_as_dear_and_good() {
    let mut world = World::new();
    calls(&mut world, "tickets", MINI, 8_000_000, 10, 6);
    calls(&mut world, "summaries", GPT_4O, 12_000_000, 10, 9);
    let rows = world.last_hours(1).by_task;
    for name in ["tickets", "summaries"] {
        assert_close(task(&rows, name).cost_per_success, 0.04 / 3.0);
        assert_eq!(task(&rows, name).cost_per_success_interval, None, "ten calls are too few");
    }
    assert_eq!(rows[0].name, "summaries", "dearest first");
    assert_close(task(&rows, "tickets").success_rate, 0.6);
}

#[test]
fn a7_fifteen_in_a_hundred_need_three_retries() {
    let mut world = World::new();
    for goal in 0..100 {
        for _ in 0..if goal < 15 { 3 } else { 0 } {
            world.record(&step_call(&goal.to_string(), "answer", false));
        }
        world.record(&step_call(&goal.to_string(), "answer", true));
    }
    let report = world.last_hours(1);
    assert_eq!((report.headline.calls, report.headline.retries), (145, 45));
    assert_close(report.headline.retry_multiplier, 1.45);
    assert_eq!(report.by_task[0].retries, 45);
    assert_eq!(report.by_task[0].by_model.iter().map(|m| m.retries).sum::<u64>(), 45);
}

#[test]
fn a8_ten_thousand_calls_a_day_through_decisions() {
    let mut world = World::new();
    for _ in 0..10_000 {
        for model in [GPT_4O, MINI] {
            let decision = world.pin("tickets", model);
            world.record(&used(OutcomeOf::Decision(decision), true, 300, 40));
        }
    }
    let decision = world.pin("tickets", TURBO);
    world.record(&used(OutcomeOf::Decision(decision), true, 300, 40));
    let report = world.report(&Query { include_cost_breakdown: true, ..hours_back(24) });
    let breakdown = report.cost_breakdown.unwrap();
    let totals: Vec<(&str, u64, u64)> = breakdown.by_model.iter().map(|r| (&*r.name, r.calls, r.cost.0)).collect();
    assert_eq!(totals, [(GPT_4O, 10_000, 21_000_000_000), (MINI, 10_000, 690_000_000), (TURBO, 1, 4_200_000)]);
    assert_eq!(report.headline.total_cost, NanoUsd(21_694_200_000));
    assert_eq!((report.headline.decisions, report.decisions_open), (20_001, 0));
    let row = |model: &str| report.by_task[0].by_model.iter().find(|row| row.model == model).unwrap();
    assert_close(row(MINI).avg_cost_per_call, 0.000_069);
    assert_close(row(GPT_4O).avg_cost_per_call, 0.0021);
    assert_eq!((row(MINI).pinned_calls, row(MINI).router_calls, row(MINI).provider.as_str()), (10_000, 0, "openai"));
    assert_close(Some(row(MINI).traffic_share), 10_000.0 / 20_001.0);
}

#[test]
fn a10_price_of_one_success() {
    let mut world = World::new();
    for (model, successes) in [(GPT_4O, 97), (MINI, 95)] {
        for i in 0..100 {
            let decision = world.pin("tickets", model);
            world.record(&used(OutcomeOf::Decision(decision), i < successes, 300, 40));
        }
    }
    let report = world.last_hours(1);
    let figure =
        |model: &str| report.by_task[0].by_model.iter().find(|m| m.model == model).unwrap().cost_per_success.unwrap();
    assert_eq!(format!("{:.8} {:.8}", figure(GPT_4O), figure(MINI)), "0.00216495 0.00007263");
    assert_eq!(format!("{:.2}", figure(GPT_4O) / figure(MINI)), "29.81");
}

#[test]
fn a11_the_weaker_model_has_the_lower_cost_per_success() {
    let mut world = World::new();
    calls(&mut world, "tickets", GPT_4O, 1_800_000, 1_000, 910);
    calls(&mut world, "tickets", MINI, 1_500_000, 1_000, 800);
    let rows = &world.last_hours(1).by_task[0].by_model;
    let row = |model: &str| rows.iter().find(|row| row.model == model).unwrap();
    assert_close(row(MINI).cost_per_success, 0.001_875);
    assert_close(row(GPT_4O).cost_per_success, 0.001_8 / 0.91);
    assert_eq!(format!("{:.6}", row(GPT_4O).cost_per_success.unwrap()), "0.001978");
    assert_eq!(row(MINI).elsewhere_calls, 1_000);
}

#[test]
fn a12_no_success_has_no_price() {
    let mut world = World::new();
    let nothing = world.last_hours(1);
    assert_eq!((nothing.headline.cost_per_success, nothing.headline.retry_multiplier), (None, None));
    assert_eq!((nothing.headline.pricing_coverage, nothing.by_task.len()), (None, 0));
    calls(&mut world, "tickets", MINI, 8_000_000, 40, 0);
    let mut unpriced = outcome(elsewhere("tickets", "unheard/of"));
    unpriced.verdict = Some(crate::insights::tests_support::verdict(true));
    world.record(&unpriced);
    let report = world.last_hours(1);
    let row = &report.by_task[0];
    assert_eq!(
        (report.headline.cost_per_success, row.cost_per_success),
        (None, None),
        "the one success has no known cost"
    );
    assert_eq!((report.headline.cost_per_success_interval, row.cost_per_success_interval), (None, None));
    assert_eq!((report.headline.successful_outcomes, report.unpriced_calls), (1, 1));
    assert_close(report.headline.pricing_coverage, 40.0 / 41.0);
    assert_close(row.avg_cost_per_call, 0.008);
    assert_close(row.success_rate, 1.0 / 41.0);
}

#[test]
fn a13_thirty_eight_percent_up_to_forty_seven_cents() {
    let mut world = World::new();
    calls(&mut world, "tickets", GPT_4O, 340_579_710, 1, 1);
    world.now = world.now.plus_ms(90 * 60_000);
    calls(&mut world, "tickets", GPT_4O, 470_000_000, 2, 2);
    let report = world.report(&Query { compare_previous: true, ..hours_back(1) });
    let (previous, changes) = (report.previous.unwrap(), report.changes.unwrap());
    assert_close(report.headline.cost_per_success, 0.47);
    assert_eq!(format!("{:.4}", previous.cost_per_success.unwrap()), "0.3406");
    assert!((changes.cost_per_success.unwrap() - 0.38).abs() < 1e-8, "{changes:?}");
    assert_close(changes.calls, 1.0);
    assert_close(changes.retry_multiplier, 0.0);
    assert_eq!(changes.failed_calls_count, None, "nothing failed before");
    let first = world.report(&Query { compare_previous: true, ..hours_back(48) });
    assert_eq!(first.changes.unwrap().cost_per_success, None, "there was nothing before");
}

#[test]
fn evaluations_cost_and_count_nowhere_else() {
    let mut world = World::new();
    calls(&mut world, "tickets", GPT_4O, 10_000_000, 4, 3);
    let mut check = came_to(elsewhere("tickets", GPT_4O), true, 6_000_000);
    check.evaluation = true;
    world.record(&check);
    let report = world.report(&Query { include_cost_breakdown: true, ..hours_back(1) });
    let h = &report.headline;
    assert_eq!((h.calls, h.successful_outcomes, h.failed_calls_count), (4, 3, 1));
    assert_eq!((h.total_cost, report.evaluation_cost), (NanoUsd(46_000_000), NanoUsd(6_000_000)));
    assert_close(h.cost_per_success, 0.046 / 3.0);
    assert_close(report.by_task[0].avg_cost_per_call, 0.046 / 5.0);
    assert_eq!(report.cost_breakdown.unwrap().by_model[0].calls, 5);
}
