//! The over-provisioning evidence: what stands beside the flag, and what a change would be worth.

use super::assert_close;
use crate::domain::catalog::TaskSettings;
use crate::domain::flag::FlagStanding;
use crate::domain::money::NanoUsd;
use crate::domain::outcome::OutcomeOf;
use crate::domain::request::PolicyRequest;
use crate::domain::strata::{Feature, Strata};
use crate::insights::tests_support::{GPT_4O, MINI, TURBO, World, asks, came_to, elsewhere, hours_back, used};
use crate::insights::{Filters, OverProvisioning, Query, SelectedBy, SignalKind};

/// Calls of `model` that teach: the router is left only this one, all others being switched off meanwhile. Then a look.
fn taught(world: &mut World, model: &str, calls: u64, failures: u64) {
    use crate::domain::event::ModelState::{Disabled, Enabled};
    let task = world.task("tickets");
    let others: Vec<String> =
        world.engine.catalog().models().iter().map(|m| m.id.to_string()).filter(|id| id != model).collect();
    for state in [Disabled, Enabled] {
        if state == Enabled {
            for i in 0..calls {
                let decision = world.decide(&asks("tickets"));
                world.record(&used(OutcomeOf::Decision(decision), i >= failures, 300, 40));
            }
        }
        for other in &others {
            let events = world.engine.set_model_state(task, other, state, "test", "", world.now);
            world.apply(&events);
        }
    }
    world.look("tickets");
}

fn row(world: &World, hours: i64) -> OverProvisioning {
    world.last_hours(hours).by_task.remove(0).over_provisioning
}

#[test]
fn too_little_data_says_how_much_is_missing() {
    let mut world = World::new();
    world.record(&came_to(elsewhere("tickets", "unheard/of"), true, 1));
    taught(&mut world, GPT_4O, 150, 3);
    taught(&mut world, MINI, 20, 1);
    let row = row(&world, 24);
    assert_eq!(row.standing, FlagStanding::InsufficientData(180));
    assert_eq!((row.incumbent_model.as_deref(), row.cheaper_model.as_deref()), (Some(GPT_4O), Some(MINI)));
    assert_eq!((row.probability, row.saving_usd_per_month), (None, None));
    assert!(row.sentence.contains("180 more outcomes") && row.sentence.contains("$0.000069"), "{}", row.sentence);
    let lacking = format!(" from {MINI} (has 20) and {GPT_4O} (has 150) ");
    assert!(row.sentence.contains(&lacking), "{}", row.sentence);
    let report = world.last_hours(24);
    assert_eq!((report.by_task[0].uses_higher_tier_than_needed, report.expected_false_flags), (false, 0.0));
}

#[test]
fn a_flag_carries_its_evidence_and_what_it_is_worth() {
    let mut world = World::with(TaskSettings { failure_cost: NanoUsd(1_000_000), ..TaskSettings::default() });
    taught(&mut world, MINI, 3_000, 60);
    taught(&mut world, GPT_4O, 4_000, 40);
    let report = world.last_hours(24);
    let task = &report.by_task[0];
    let row = &task.over_provisioning;
    assert_eq!((row.standing, task.uses_higher_tier_than_needed), (FlagStanding::Flagged, true));
    let cheaper = report.signals.iter().find(|signal| signal.kind == SignalKind::CheaperEquivalent).unwrap();
    assert_eq!((&cheaper.subject, &cheaper.sentence), (&task.name, &row.sentence));
    assert_eq!((row.incumbent_model.as_deref(), row.cheaper_model.as_deref()), (Some(GPT_4O), Some(MINI)));
    let (dear, cheap) = (row.incumbent.unwrap(), row.cheaper.unwrap());
    assert_eq!((dear.successes, dear.failures, cheap.successes, cheap.failures), (3_960, 40, 2_940, 60));
    assert_close(dear.success_rate, 0.99);
    assert!(dear.success_rate_interval.0 < 0.99 && 0.99 < dear.success_rate_interval.1);
    assert_close(dear.avg_cost_per_call, 0.0021);
    assert!(row.probability.unwrap() > 0.99, "{:?}", row.probability);
    let ln = crate::domain::e_value::ln_e_value((2_940, 60), (3_960, 40), row.margin);
    assert!((row.e_value.unwrap().ln() - ln).abs() < 1e-9, "{:?}", row.e_value);
    assert!(
        !row.certified && !row.sentence.contains("(certified)"),
        "flagged, and the stricter evidence is not there yet"
    );
    // 4,000 calls a day at 2,031,000 nano-USD less: $243.72 in 30 days; 120,000 calls, one point more of them failing.
    assert_close(row.saving_usd_per_month, 120_000.0 * 0.002_031);
    assert!((row.added_failures_per_month.unwrap() - 1_200.0).abs() < 1e-6);
    assert!((row.added_failure_cost_usd_per_month.unwrap() - 1.2).abs() < 1e-9);
    assert_eq!(report.expected_false_flags, 0.05);
    for part in
        ["$243.72", "1200 failures", "$1.20", "99.0 % of 4000", "98.0 % of 3000", "2 points", "Recommended: lift"]
    {
        assert!(row.sentence.contains(part), "{part} is not in: {}", row.sentence);
    }
    assert_eq!(row.selected_by, Some(SelectedBy::CallerConstraint), "the only one left");
}

#[test]
fn the_evidence_depends_neither_on_filters_nor_on_the_window_but_for_its_dollars() {
    let mut world = World::new();
    taught(&mut world, MINI, 1_000, 20);
    taught(&mut world, GPT_4O, 1_000, 20);
    taught(&mut world, GPT_4O, 10, 0);
    let full = row(&world, 24);
    let query = Query { filters: Filters { model: Some(MINI.to_owned()), ..Filters::default() }, ..hours_back(24) };
    assert_eq!(world.report(&query).by_task[0].over_provisioning, full);
    let wide = row(&world, 48);
    assert_eq!((wide.standing, wide.incumbent, wide.probability), (full.standing, full.incumbent, full.probability));
    assert_close(wide.saving_usd_per_month, full.saving_usd_per_month.unwrap() / 2.0);
}

#[test]
fn without_a_cheaper_model_there_is_nothing_to_compare_once_all_were_tried() {
    let mut world = World::new();
    taught(&mut world, MINI, 300, 3);
    let untried = row(&world, 24);
    assert_eq!((untried.standing, untried.cheaper_model.as_deref()), (FlagStanding::InsufficientData(200), None));
    assert!(untried.sentence.contains("nothing is known yet"), "{}", untried.sentence);
    taught(&mut world, GPT_4O, 1, 0);
    taught(&mut world, TURBO, 1, 0);
    let tried = row(&world, 24);
    assert_eq!((tried.standing, tried.cheaper_model.as_deref()), (FlagStanding::NotFlagged, None));
    assert!(tried.sentence.ends_with("nothing cheaper to move them to."), "{}", tried.sentence);
}

#[test]
fn models_that_get_different_requests_are_not_compared_by_their_overall_rates() {
    let difficulty = Feature::Number { name: "difficulty".to_owned(), edges: vec![0.5] };
    let strata = std::sync::Arc::new(Strata::new(vec![difficulty]).unwrap());
    let mut world = World::with(TaskSettings { strata, ..TaskSettings::default() });
    taught(&mut world, MINI, 300, 3);
    taught(&mut world, GPT_4O, 400, 4);
    let report = world.last_hours(24);
    let row = &report.by_task[0].over_provisioning;
    assert_eq!((row.standing, row.probability, row.e_value), (FlagStanding::NotFlagged, None, None));
    assert!(row.sentence.starts_with("tickets: requests are told apart by features"), "{}", row.sentence);
    assert!(report.signals.iter().all(|s| s.kind != SignalKind::CheaperEquivalent), "{:?}", report.signals);
    assert!(report.by_task[0].by_model.iter().all(|m| m.probability_best.is_none()));
    assert!(report.savings.unwrap().unproven_estimates.is_empty());
}

#[test]
fn two_equal_models_are_certified() {
    let mut world = World::new();
    taught(&mut world, MINI, 2_000, 20);
    taught(&mut world, GPT_4O, 2_500, 25);
    let row = row(&world, 24);
    assert!(row.certified && row.e_value.unwrap() > 20.0, "{:?}", row.e_value);
    assert!(row.sentence.contains(" (certified) "), "{}", row.sentence);
}

#[test]
fn a_clearly_worse_cheap_model_is_not_flagged() {
    let mut world = World::new();
    taught(&mut world, MINI, 300, 60);
    taught(&mut world, GPT_4O, 400, 8);
    let report = world.last_hours(24);
    let row = &report.by_task[0].over_provisioning;
    assert_eq!((row.standing, row.saving_usd_per_month), (FlagStanding::NotFlagged, None));
    assert!(row.probability.unwrap() < 1e-6);
    assert_eq!(report.expected_false_flags, 0.05, "it was looked at");
}

#[test]
fn who_selected_the_dear_model() {
    let mut world = World::with(TaskSettings { tolerance: 0.0, ..TaskSettings::default() });
    taught(&mut world, MINI, 250, 5);
    for _ in 0..500 {
        let decision = world.pin("tickets", GPT_4O);
        world.record(&used(OutcomeOf::Decision(decision), true, 300, 40));
    }
    taught(&mut world, GPT_4O, 100, 0);
    for _ in 0..50 {
        let decision = world.decide(&PolicyRequest { irreversible: true, ..asks("tickets") });
        world.record(&used(OutcomeOf::Decision(decision), true, 300, 40));
    }
    let row = row(&world, 24);
    assert_eq!(row.incumbent_model.as_deref(), Some(GPT_4O));
    let shares: Vec<(SelectedBy, u64)> = row.selection_shares.iter().map(|s| (s.selected_by, s.decisions)).collect();
    assert_eq!(shares, [(SelectedBy::CallerConstraint, 600), (SelectedBy::IrreversibleStep, 50)]);
    assert_close(Some(row.selection_shares.iter().map(|s| s.share).sum()), 1.0);
}
