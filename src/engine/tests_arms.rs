//! Rollouts end to end: who gets which arm, what is served there, what it teaches, and what stays on record.

use std::collections::BTreeSet;

use super::hydrate::NoStore;
use super::tests::{NOW, engine, fold, report};
use super::{Engine, PolicyAnswer};
use crate::domain::call::{Arm, Selection};
use crate::domain::catalog::{Pins, TaskSettings};
use crate::domain::event::{Asked, PolicyVerdict};
use crate::domain::money::NanoUsd;
use crate::domain::names::NameKind;
use crate::domain::outcome::{DecisionRef, FailureReason, OutcomeOf, Verdict};
use crate::domain::request::PolicyRequest;
use crate::domain::rollout::{Assigned, Holdout, Mode, Rollout};

const DEAR: &str = "openai/gpt-4-turbo";
const MINI: &str = "openai/gpt-4o-mini";

fn settings(mode: Mode, serve_share: f64, held_out: Option<f64>) -> TaskSettings {
    let holdout = held_out.map(|share| Holdout { model: DEAR.into(), share });
    TaskSettings { exploration_floor: 0.0, rollout: Rollout { mode, serve_share, holdout }, ..TaskSettings::default() }
}

fn request(goal: &str, own: &str) -> PolicyRequest {
    let asked = Asked { requested_model: own.to_owned(), ..Asked::default() };
    let (task_type, goal_id) = ("tickets".to_owned(), goal.to_owned());
    PolicyRequest { task_type, goal_id, asked, fallback_allowed: true, ..PolicyRequest::default() }
}

fn decide(engine: &mut Engine, request: &PolicyRequest) -> PolicyAnswer {
    let answer = engine.decide(request, NOW).unwrap();
    fold(engine, &answer.events);
    answer
}

fn served(answer: &PolicyAnswer) -> Option<&str> {
    Some(&answer.task.candidates[answer.served?].id)
}

fn tell(engine: &mut Engine, answer: &PolicyAnswer, verdict: Verdict) {
    let (decided, place) = (&answer.decided, &answer.decided.place);
    let of = DecisionRef {
        number: decided.number,
        at: NOW,
        task: place.task,
        candidate: place.candidate,
        step: place.step,
        traits: decided.traits,
    };
    let recorded = engine.record(&NoStore, &report(OutcomeOf::Decision(of), Some(verdict)), NOW).unwrap();
    fold(engine, &recorded.events);
}

/// Outcomes that taught a candidate.
fn lessons(engine: &Engine, candidate: &str) -> u64 {
    let names = &engine.state.names;
    let id = |kind, text| names.id(kind, text).unwrap();
    let cell = engine.state.cell(id(NameKind::Task, "tickets"), id(NameKind::Candidate, candidate));
    cell.map_or(0, |cell| cell.lessons)
}

#[test]
fn observing_serves_the_callers_own_model_and_records_what_the_router_would_have_done() {
    let mut engine = engine(settings(Mode::Observe, 1.0, None));
    let mut advised = BTreeSet::new();
    for n in 0..50 {
        let answer = decide(&mut engine, &request(&format!("g{n}"), DEAR));
        assert_eq!((served(&answer), answer.decided.traits.arm), (Some(DEAR), Arm::Observe));
        assert_eq!(answer.decided.estimate, Some(NanoUsd(4_200_000)), "what it costs is of the model served");
        assert_eq!(
            (answer.fallbacks.len(), answer.decided.keep),
            (0, None),
            "nothing of the router's is offered or kept"
        );
        assert_eq!(answer.decided.competitors.len(), 3, "what its propensity is computed from");
        advised.insert(answer.decided.advised.unwrap());
        tell(&mut engine, &answer, Verdict::Success);
    }
    assert!(advised.len() > 1, "the router draws all the same");
    assert_eq!(lessons(&engine, DEAR), 0, "a model the caller named is its judgement");
    let answer = decide(&mut engine, &request("", ""));
    assert_eq!((served(&answer), answer.decided.traits.assigned), (Some("openai/gpt-4o"), Assigned::ByDecision));
    tell(&mut engine, &answer, Verdict::Success);
    assert_eq!(lessons(&engine, "openai/gpt-4o"), 1, "nobody chose it for this call");
}

#[test]
fn a_model_the_caller_names_teaches_where_pins_are_exchangeable() {
    let exchangeable = TaskSettings { pins: Pins::Exchangeable, ..settings(Mode::Observe, 1.0, None) };
    let mut engine = engine(exchangeable);
    let answer = decide(&mut engine, &request("g", DEAR));
    tell(&mut engine, &answer, Verdict::Success);
    assert_eq!(lessons(&engine, DEAR), 1);
}

#[test]
fn what_cannot_be_served_is_said_and_not_steered() {
    let mut engine = engine(settings(Mode::Observe, 1.0, None));
    let refused = engine.decide(&request("g", "anthropic/none"), NOW).unwrap_err();
    assert!(refused.to_string().contains("requested_model"), "{refused}");
    let asked = Asked { denied_models: vec![DEAR.to_owned()], ..request("g", DEAR).asked };
    let answer = decide(&mut engine, &PolicyRequest { asked, ..request("g", DEAR) });
    assert_eq!((served(&answer), answer.decided.verdict), (None, PolicyVerdict::Block));
    assert!(
        answer.decided.reason.contains(DEAR) && answer.decided.reason.contains("denied"),
        "{}",
        answer.decided.reason
    );
    assert_eq!(answer.decided.traits.arm, Arm::Observe, "recorded as such");
}

#[test]
fn a_goal_stays_held_out_through_failures_and_whatever_is_learned_and_set() {
    let mut engine = engine(settings(Mode::Serve, 1.0, Some(0.5)));
    let mut arms = Vec::new();
    for n in 0..200 {
        let first = decide(&mut engine, &request(&format!("g{n}"), ""));
        let arm = first.decided.traits.arm;
        assert!(arm == Arm::Router || (arm == Arm::Holdout && served(&first) == Some(DEAR)), "{arm:?}");
        assert_eq!(first.fallbacks.is_empty(), arm == Arm::Holdout);
        tell(&mut engine, &first, Verdict::Failure(FailureReason::Timeout));
        let again = decide(&mut engine, &request(&format!("g{n}"), ""));
        assert_eq!(again.decided.traits.arm, arm, "a failure moves no goal");
        arms.push(arm);
    }
    let held_out = arms.iter().filter(|a| **a == Arm::Holdout).count();
    assert!((70..=130).contains(&held_out), "{held_out} of 200");
    assert!(lessons(&engine, DEAR) >= held_out as u64, "drawn at random, so it teaches");
    // With other shares, goals that began keep their arm; the router, when it may serve nothing, serves nothing.
    let stopped = settings(Mode::Serve, 0.0, Some(0.0));
    engine.use_catalog(super::tests::catalog(stopped).into());
    for (n, arm) in arms.iter().enumerate() {
        let answer = decide(&mut engine, &request(&format!("g{n}"), MINI));
        let expected = if *arm == Arm::Holdout { (Arm::Holdout, DEAR) } else { (Arm::Observe, MINI) };
        assert_eq!((answer.decided.traits.arm, served(&answer).unwrap()), expected);
        let task = answer.decided.place.task;
        assert_eq!(
            engine.state.goals[format!("g{n}").as_str()].arm(task),
            Some(*arm),
            "it counts in the arm it began in"
        );
    }
}

#[test]
fn without_a_goal_no_fallback_is_listed_while_arms_are_compared() {
    let listed = |engine: &mut Engine, goal: &str| -> BTreeSet<(u8, usize)> {
        let answers = (0..40).map(|n| decide(engine, &request(&goal.replace('#', &n.to_string()), "")));
        answers.map(|answer| (answer.decided.traits.arm as u8, answer.fallbacks.len())).collect()
    };
    let (router, holdout) = (Arm::Router as u8, Arm::Holdout as u8);
    let mut compared = engine(settings(Mode::Serve, 1.0, Some(0.5)));
    assert_eq!(
        listed(&mut compared, ""),
        [(router, 0), (holdout, 0)].into(),
        "nothing ties them to the arm of the call"
    );
    assert_eq!(listed(&mut compared, "g#"), [(router, 2), (holdout, 0)].into(), "the goal does");
    let mut alone = engine(settings(Mode::Serve, 1.0, None));
    assert_eq!(listed(&mut alone, ""), [(router, 2)].into(), "nothing is compared");
}

#[test]
fn sub_goals_are_in_the_arm_of_the_topmost_goal() {
    let mut engine = engine(settings(Mode::Serve, 0.5, Some(0.3)));
    for n in 0..60 {
        let top = format!("top{n}");
        let mut arms = BTreeSet::new();
        for (goal, parent) in [(format!("a{n}"), &*top), (format!("b{n}"), &format!("a{n}")), (top.clone(), "")] {
            let mut request = request(&goal, MINI);
            request.asked.parent_goal = parent.to_owned();
            arms.insert(decide(&mut engine, &request).decided.traits.arm as u8);
        }
        assert_eq!(arms.len(), 1, "goal {top}");
        assert_eq!(engine.state.goals[top.as_str()].arms.len(), 1, "once, on the topmost");
        assert!(engine.state.goals[format!("b{n}").as_str()].arms.is_empty());
    }
}

#[test]
fn where_the_holdouts_model_may_not_be_served_the_verdict_is_the_usual_one_and_the_arm_stays() {
    let mut engine = engine(settings(Mode::Serve, 1.0, Some(1.0)));
    let ceiling = Asked { max_cost: Some(NanoUsd(100_000)), ..Asked::default() };
    let answer = decide(&mut engine, &PolicyRequest { asked: ceiling, ..request("g", "") });
    assert_eq!((served(&answer), answer.decided.traits.arm), (Some(MINI), Arm::Holdout));
    assert_eq!((answer.decided.advised, answer.decided.traits.may_teach), (None, true));
    let pin = Asked { allowed_models: vec![MINI.to_owned()], ..Asked::default() };
    let pinned = decide(&mut engine, &PolicyRequest { asked: pin, ..request("h", "") });
    assert_eq!((pinned.decided.traits.arm, pinned.decided.traits.assigned), (Arm::Pinned, Assigned::No));
    assert!(engine.state.goals["h"].arms.is_empty(), "a pin assigns nobody");
}

#[test]
fn without_a_rollout_nothing_is_assigned_and_the_arm_of_the_router_is_its_own_choice() {
    let mut engine = engine(settings(Mode::Serve, 1.0, None));
    let answer = decide(&mut engine, &request("g", MINI));
    let traits = answer.decided.traits;
    assert_eq!((traits.arm, traits.selection, traits.assigned), (Arm::Router, Selection::Draw, Assigned::No));
    assert!(engine.state.goals["g"].arms.is_empty() && answer.decided.advised.is_none());
}
