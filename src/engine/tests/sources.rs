//! Sources of outcomes: a reporter that lies or floods has its share and no more, whatever comes when, and reports show what was told.

use super::*;
use crate::domain::catalog::Pins;
use crate::domain::event::Body;
use crate::domain::history::Memory;
use crate::domain::trust::{Limits, Sources};

const MODEL: &str = "openai/gpt-4o";

fn limits(weight: f64, max_share: f64) -> Limits {
    Limits { weight_micro: (weight * 1e6) as u32, max_share_micro: (max_share * 1e6) as u32 }
}

/// Outcomes that callers tell of models they chose teach here, so that a test says which.
fn settings(declared: &[(&str, Limits)], others: Limits) -> TaskSettings {
    let declared = declared.iter().map(|(name, limits)| ((*name).to_owned(), *limits)).collect();
    TaskSettings { pins: Pins::Exchangeable, sources: Arc::new(Sources { declared, others }), ..quiet() }
}

fn hostile_tenth() -> TaskSettings {
    settings(&[("hostile", limits(1.0, 0.1))], Limits::default())
}

fn told(source: &str, success: bool) -> OutcomeReport {
    let of = OutcomeOf::Elsewhere { task: "tickets".to_owned(), model: MODEL.to_owned() };
    let verdict = if success { Verdict::Success } else { Verdict::Failure(FailureReason::Unused) };
    OutcomeReport { source: source.to_owned(), ..report(of, Some(verdict)) }
}

fn tell(engine: &mut Engine, source: &str, won: u32, lost: u32) {
    for n in 0..won + lost {
        record(engine, &told(source, n < won));
    }
}

/// The learner's α and β of the candidate, and what reports count: successes and failures.
fn known(engine: &Engine) -> ((f64, f64), (u64, u64)) {
    let task = engine.state.names.id(NameKind::Task, "tickets").unwrap();
    let of = engine.task("tickets").unwrap();
    let candidate = of.candidates.iter().find(|c| *c.id == *MODEL).unwrap();
    let posterior = engine.learned(task, of, candidate).1;
    let cell = engine.state.cell(task, engine.state.names.id(NameKind::Candidate, MODEL).unwrap()).unwrap();
    ((posterior.alpha(), posterior.beta()), (cell.successes, cell.failures))
}

fn near((alpha, beta): (f64, f64), expected: (f64, f64)) {
    assert!((alpha - expected.0).abs() < 1e-9 && (beta - expected.1).abs() < 1e-9, "{alpha}, {beta} not {expected:?}");
}

#[test]
fn a_flood_moves_the_posterior_by_its_share_and_reports_count_all_of_it() {
    let mut engine = engine(hostile_tenth());
    tell(&mut engine, "ci", 60, 8);
    tell(&mut engine, "", 20, 0);
    near(known(&engine).0, (81.0, 9.0));
    // T = (2 + 88)/(1 − 0.1) = 100, so 10 of the 40 count; and of 400.
    tell(&mut engine, "hostile", 0, 40);
    near(known(&engine).0, (81.0, 19.0));
    tell(&mut engine, "hostile", 0, 360);
    near(known(&engine).0, (81.0, 19.0));
    assert_eq!(known(&engine).1, (80, 408));
    let answer = decide(&mut engine, &request());
    let seat =
        answer.decided.competitors.iter().find(|c| engine.state.names.text(NameKind::Candidate, c.candidate) == MODEL);
    assert_eq!(seat.map(|c| (c.alpha_micro, c.beta_micro)), Some((81_000_000, 19_000_000)), "what is drawn from");
}

#[test]
fn sources_nobody_declared_count_as_one_so_that_names_can_be_made_up_in_vain() {
    let mut engine = engine(settings(&[("ci", limits(1.0, 1.0)), ("judge", limits(0.5, 1.0))], limits(1.0, 0.2)));
    tell(&mut engine, "ci", 50, 0);
    tell(&mut engine, "judge", 16, 40);
    // T = (2 + 50 + 28)/(1 − 0.2) = 100: 20 of 100 outcomes count, of 100 names or of one.
    (0..100).for_each(|n| tell(&mut engine, &format!("made-up-{n}"), 0, 1));
    near(known(&engine).0, (1.0 + 50.0 + 8.0, 1.0 + 20.0 + 20.0));
    let names = engine.state.names.all(NameKind::Source).count();
    assert_eq!(names, 64, "further ones are not told apart");
    tell(&mut engine, "", 0, 100);
    near(known(&engine).0, (59.0, 41.0));
}

#[test]
fn half_lives_weigh_what_is_told_before_shares_are_taken() {
    let memory = Memory { half_life_outcomes: 50, ..Memory::default() };
    let mut engine = engine(TaskSettings { memory, ..hostile_tenth() });
    tell(&mut engine, "ci", 300, 0);
    let (alpha, _) = known(&engine).0;
    tell(&mut engine, "hostile", 0, 300);
    let (after, beta) = known(&engine).0;
    assert!(after < alpha / 20.0, "{alpha} {after}: old evidence weighs less");
    assert!((beta - 1.0) / (after + beta) < 0.1 + 1e-9 && (beta - 1.0) / (after + beta) > 0.1 - 1e-9, "{after} {beta}");
}

#[test]
fn whatever_comes_late_or_is_corrected_counts_for_who_told_it_last() {
    let mut late = engine(hostile_tenth());
    let waiting = record(&mut late, &OutcomeReport { verdict: None, ..told("proxy", true) });
    tell(&mut late, "hostile", 0, 39);
    let wrong = record(&mut late, &told("hostile", true));
    tell(&mut late, "ci", 80, 7);
    let mut amend = |call, success, source: &str| {
        let address = AmendAddress::Call(CallRef { number: call, at: NOW });
        let amendment = Amendment { address, source: source.to_owned(), ..amendment(success) };
        let facts = late.amend(&NoStore, &amendment, NOW).unwrap();
        fold(&mut late, &facts.events);
    };
    amend(waiting, false, "auditor");
    amend(wrong, false, "hostile");
    near(known(&late).0, (81.0, 19.0));
    assert_eq!(known(&late).1, (80, 48));
}

#[test]
fn a_limited_source_raises_no_change_and_hides_none() {
    let changes = |settings, honest_then: bool| {
        let mut engine = engine(settings);
        let mut found = 0;
        for n in 0..400_u32 {
            let honest = n.is_multiple_of(2);
            let success = if n < 200 { !n.is_multiple_of(20) } else { honest == honest_then };
            record(&mut engine, &told(if honest { "ci" } else { "hostile" }, success));
            let facts = engine.looks(NOW);
            found += facts.iter().filter(|e| matches!(e.body, Body::ChangeFound(_))).count();
            fold(&mut engine, &facts);
        }
        found
    };
    assert_eq!(changes(settings(&[], Limits::default()), true), 1, "the liar is believed");
    assert_eq!(changes(hostile_tenth(), true), 0);
    assert_eq!(changes(hostile_tenth(), false), 1, "the model fails, and the liar says it does not");
}
