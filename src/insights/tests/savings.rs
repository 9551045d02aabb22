//! Savings as a report tells them: exact against sums done by hand, refused without a holdout, and never without a label.

use super::super::tests_support::*;
use super::super::{AcceptanceStanding, Filters, Query, Savings, SavingsStanding};
use crate::domain::call::Arm;
use crate::domain::catalog::TaskSettings;
use crate::domain::event::Asked;
use crate::domain::goal::GoalState;
use crate::domain::names::NameKind;
use crate::domain::outcome::{OutcomeOf, OutcomeReport};
use crate::domain::request::PolicyRequest;
use crate::domain::rollout::{Holdout, Mode, Rollout};

fn held_out(share: f64) -> World {
    let holdout = Some(Holdout { model: TURBO.into(), share });
    World::with(TaskSettings {
        rollout: Rollout { mode: Mode::Serve, serve_share: 1.0, holdout },
        ..Default::default()
    })
}

/// Plays `goals` goals of one call each; a held-out one costs 3 and fails every fifth time, a served one costs 1 and fails
/// every tenth time (in thousandths of a dollar, as they come). Returns how many of each were (served, held out).
fn play(world: &mut World, goals: usize) -> [u64; 2] {
    play_failing(world, goals, [10, 5])
}

/// As [`play`], with a failure of every so many goals (served, held out).
fn play_failing(world: &mut World, goals: usize, every: [u64; 2]) -> [u64; 2] {
    let mut counts = [0, 0];
    for n in 0..goals {
        let goal_id = format!("g{n}");
        let request = PolicyRequest { goal_id: goal_id.clone(), workflow: "w".to_owned(), ..asks("tickets") };
        let decision = world.decide(&request);
        let arm = usize::from(decision.traits.arm == Arm::Holdout);
        let model = world.engine.state.names.text(NameKind::Candidate, decision.candidate);
        assert_eq!(arm == 1, decision.traits.arm != Arm::Router);
        assert!(arm == 0 || model == TURBO, "{model}");
        counts[arm] += 1;
        let nano = [1_000_000, 3_000_000][arm];
        let fails = counts[arm] % every[arm] == 0;
        world.record(&came_to(OutcomeOf::Decision(decision), !fails, nano));
        world.complete(&goal_id, if fails { GoalState::Rejected } else { GoalState::Accepted });
    }
    counts
}

fn savings(world: &World, filters: Filters) -> Option<Savings> {
    world.report(&Query { filters, ..hours_back(24) }).savings
}

#[test]
fn savings_are_those_of_the_arms_at_the_windows_traffic() {
    let mut world = held_out(0.3);
    let [served, out] = play(&mut world, 1_000);
    let told = savings(&world, Filters::default()).unwrap();
    let [row] = &told.rows[..] else { panic!("one row: {:?}", told.rows) };
    assert_eq!((row.task.as_str(), row.of_goals, row.holdout_model.as_deref()), ("tickets", true, Some(TURBO)));
    let arms: Vec<(Arm, u64, u64, u64)> = row.arms.iter().map(|a| (a.arm, a.units, a.accepted, a.cost.0)).collect();
    let expected = [
        (Arm::Router, served, served - served / 10, served * 1_000_000),
        (Arm::Holdout, out, out - out / 5, out * 3_000_000),
    ];
    assert_eq!(arms, expected, "exact");
    let (saved, (low, high)) = row.saved_usd_per_month.unwrap();
    let by_hand = 0.002 * served as f64 * 30.0;
    assert!((saved - by_hand).abs() < 1e-6 && low <= saved && saved <= high, "{saved} {by_hand} {low} {high}");
    assert_eq!((row.standing, row.holdout_units_needed), (SavingsStanding::Saved, Some(0)));
    let (difference, (worst, best)) = row.acceptance_difference.unwrap();
    assert!((0.07..0.13).contains(&difference) && worst > 0.0 && best < 0.2, "{difference} {worst} {best}");
    assert_eq!(row.acceptance, AcceptanceStanding::Higher);
    assert_eq!(told.saved_usd_per_month, row.saved_usd_per_month);
    assert!(told.unproven_estimates.is_empty(), "it is proven");
    assert!(row.sentence.starts_with("Routing tickets saves $") && row.sentence.contains("held out at random"));
}

#[test]
fn routing_that_saves_and_costs_acceptance_is_told_to_be_rolled_back() {
    let sentence = |every| {
        let mut world = held_out(0.3);
        play_failing(&mut world, 1_000, every);
        let row = savings(&world, Filters::default()).unwrap().rows.remove(0);
        assert_eq!(row.standing, SavingsStanding::Saved);
        (row.acceptance, row.sentence)
    };
    let (acceptance, text) = sentence([5, 10]);
    assert_eq!(acceptance, AcceptanceStanding::Lower);
    let advice =
        ". Acceptance is lower with routing, by its whole interval. Recommended: roll back (`serve_share = 0`).";
    assert!(text.starts_with("Routing tickets saves $") && text.ends_with(advice), "{text}");
    let (acceptance, text) = sentence([10, 5]);
    assert!(acceptance == AcceptanceStanding::Higher && !text.contains("Recommended"), "{text}");
}

#[test]
fn a_corrected_end_and_a_corrected_cost_are_as_if_known_at_once() {
    let (mut told_late, mut told_at_once) = (held_out(0.3), held_out(0.3));
    play(&mut told_late, 400);
    play(&mut told_at_once, 400);
    for n in 0..40 {
        told_late.correct_goal(&format!("g{n}"), GoalState::Abandoned, "auditor");
        told_late.correct_goal(&format!("g{n}"), GoalState::Rejected, "auditor");
        told_at_once.correct_goal(&format!("g{n}"), GoalState::Rejected, "auditor");
    }
    let of = |world: &World| savings(world, Filters::default());
    assert_eq!(of(&told_late), of(&told_at_once));
}

#[test]
fn few_units_prove_nothing_and_say_how_many_are_missing() {
    let mut world = held_out(0.3);
    let [_, out] = play(&mut world, 150);
    let told = savings(&world, Filters::default()).unwrap();
    let row = &told.rows[0];
    assert!(out < 100, "{out}");
    assert_eq!((row.standing, row.holdout_units_needed), (SavingsStanding::TooFew, Some(100 - out)));
    assert_eq!(
        (row.saved_usd_per_month, row.acceptance, told.saved_usd_per_month),
        (None, AcceptanceStanding::NotCompared, None)
    );
    assert!(row.sentence.starts_with("Nothing of tickets is called saved yet: 100 goals"), "{}", row.sentence);
    let [estimate] = &told.unproven_estimates[..] else { panic!("one estimate") };
    assert!(estimate.sentence.starts_with("Unproven estimate"), "{}", estimate.sentence);
    assert_eq!(estimate.model, TURBO, "against the model of the holdout");
}

#[test]
fn without_a_holdout_there_are_estimates_only() {
    let mut world = World::new();
    for (model, nano) in [(GPT_4O, 3_000_000), (MINI, 1_000_000)] {
        for n in 0..40 {
            let pinned = world.pin("tickets", model);
            world.record(&came_to(OutcomeOf::Decision(pinned), model == GPT_4O || n > 0, nano));
        }
    }
    let told = savings(&world, Filters::default()).unwrap();
    assert_eq!((told.rows.len(), told.saved_usd_per_month), (0, None));
    let [estimate] = &told.unproven_estimates[..] else { panic!("one estimate") };
    // 80 calls a day at $0.002 on average: at $0.003 each they would have cost 0.08 more a day.
    assert!((estimate.usd_per_month - 2.4).abs() < 1e-9, "{}", estimate.usd_per_month);
    assert_eq!(estimate.model, GPT_4O, "the one that succeeds most");
    let observed = Rollout { mode: Mode::Observe, ..Rollout::default() };
    let mut world = World::with(TaskSettings { rollout: observed, ..Default::default() });
    let decision = world.decide(&asks("tickets"));
    world.record(&came_to(OutcomeOf::Decision(decision), true, 1));
    let row = &savings(&world, Filters::default()).unwrap().rows[0];
    assert_eq!((row.standing, row.of_goals, row.arms[0].arm), (SavingsStanding::NoHoldout, false, Arm::Observe));
    assert!(row.sentence.contains("nothing is proven"), "{}", row.sentence);
}

#[test]
fn a_call_whose_outcome_names_a_goal_is_no_unit_of_its_own() {
    let units = |goal: &str| {
        let mut world = held_out(0.5);
        for _ in 0..20 {
            let of = OutcomeOf::Decision(world.decide(&asks("tickets")));
            world.record(&OutcomeReport { goal_id: goal.to_owned(), ..came_to(of, true, 1) });
        }
        if !goal.is_empty() {
            world.complete(goal, GoalState::Accepted);
        }
        let rows = savings(&world, Filters::default()).unwrap().rows;
        rows.iter().flat_map(|row| &row.arms).map(|arm| arm.units).sum::<u64>()
    };
    assert_eq!((units(""), units("g")), (20, 0), "its cost is that of the goal, which no rollout drew an arm for");
}

#[test]
fn calls_without_a_goal_are_units_of_their_own_and_filters_hold() {
    let mut world = held_out(0.5);
    for n in 0..600_u64 {
        let decision = world.decide(&asks("tickets"));
        let nano = if decision.traits.arm == Arm::Holdout { 2_000_000 } else { 1_500_000 };
        world.record(&came_to(OutcomeOf::Decision(decision), n % 7 > 0, nano + n % 3));
    }
    let told = savings(&world, Filters::default()).unwrap();
    assert_eq!((told.rows.len(), told.rows[0].of_goals, told.rows[0].standing), (1, false, SavingsStanding::Saved));
    let only = |task: &str| Filters { task_type: Some(task.to_owned()), ..Filters::default() };
    assert_eq!(savings(&world, only("tickets")).unwrap().rows, told.rows);
    assert_eq!(savings(&world, only("summaries")), Some(Savings::default()));
    let workflow = Filters { workflow: Some("w".to_owned()), ..Filters::default() };
    assert!(savings(&world, workflow).unwrap().rows.is_empty());
    assert_eq!(savings(&world, Filters { model: Some(MINI.to_owned()), ..Filters::default() }), None);
}

#[test]
fn goals_that_are_still_open_are_told_by_arm() {
    let mut world = held_out(0.3);
    let mut open = [0, 0];
    for n in 0..60 {
        let decision =
            world.decide(&PolicyRequest { goal_id: format!("open{n}"), workflow: "w".to_owned(), ..asks("tickets") });
        open[usize::from(decision.traits.arm == Arm::Holdout)] += 1;
    }
    let row = savings(&world, Filters::default()).unwrap().rows.remove(0);
    let arms: Vec<(Arm, u64, Option<u64>)> = row.arms.iter().map(|a| (a.arm, a.units, a.open)).collect();
    assert_eq!(arms, [(Arm::Router, 0, Some(open[0])), (Arm::Holdout, 0, Some(open[1]))]);
    assert_eq!((row.standing, row.holdout_units_needed), (SavingsStanding::TooFew, Some(100)));
    let said = format!("and 0 are held out, with {} more still open.", open[1]);
    assert!(row.sentence.ends_with(&said), "{}", row.sentence);

    let [served, out] = play(&mut world, 400);
    world.complete("open0", GoalState::Accepted);
    let row = savings(&world, Filters::default()).unwrap().rows.remove(0);
    let told: u64 = row.arms.iter().filter_map(|arm| arm.open).sum();
    assert_eq!((told, row.arms.iter().map(|arm| arm.units).sum()), (59, served + out + 1));
    let elsewhere = Filters { workflow: Some("v".to_owned()), ..Filters::default() };
    assert!(savings(&world, elsewhere).unwrap().rows.is_empty());
}

#[test]
fn held_out_calls_that_another_model_served_stay_in_their_arm_and_are_told() {
    let mut world = held_out(0.3);
    let [served, out] = play(&mut world, 400);
    let own = savings(&world, Filters::default()).unwrap().rows.remove(0);
    assert_eq!(own.held_out_calls, Some((out, 0)));
    assert!(own.sentence.contains("(where it may be served)"), "{}", own.sentence);
    let mut otherwise = 0;
    for n in 0..100 {
        let goal_id = format!("tight{n}");
        let asked = Asked { denied_models: vec![TURBO.to_owned()], ..Asked::default() };
        let decision = world.decide(&PolicyRequest { goal_id: goal_id.clone(), asked, ..asks("tickets") });
        let model = world.engine.state.names.text(NameKind::Candidate, decision.candidate);
        assert_ne!(model, TURBO, "the request rules it out");
        otherwise += u64::from(decision.traits.arm == Arm::Holdout);
        world.record(&came_to(OutcomeOf::Decision(decision), true, 400_000));
        world.complete(&goal_id, GoalState::Accepted);
    }
    let row = savings(&world, Filters::default()).unwrap().rows.remove(0);
    assert_eq!(row.held_out_calls, Some((out + otherwise, otherwise)));
    let units: Vec<u64> = row.arms.iter().map(|arm| arm.units).collect();
    assert_eq!(units, [served + 100 - otherwise, out + otherwise], "as they were drawn");
    let said = format!("on {TURBO} (other models served {otherwise} of {} calls of it)", out + otherwise);
    assert!(row.sentence.contains(&said), "{}", row.sentence);
}
