//! Features: what a request says of itself tells which evidence it is decided by, and a task type without them pays nothing.

use super::*;
use crate::domain::contextual::{Known, fit};
use crate::domain::strata::{Feature, Strata, Stratum};

fn settings() -> TaskSettings {
    let difficulty = Feature::Number { name: "difficulty".to_owned(), edges: vec![0.5] };
    let values = ["en", "de"].map(str::to_owned).to_vec();
    let language = Feature::Label { key: "language".to_owned(), values };
    TaskSettings { strata: Arc::new(Strata::new(vec![difficulty, language]).unwrap()), ..quiet() }
}

fn ask(difficulty: f64) -> PolicyRequest {
    let mut ask = request();
    ask.asked.features.insert("difficulty".to_owned(), difficulty);
    ask.labels.insert("language".to_owned(), "en".to_owned());
    ask
}

/// `rounds` of easy and hard requests: the first candidate does all easy ones, the second all hard ones, the third none.
fn taught(settings: TaskSettings, rounds: u32) -> Engine {
    let mut engine = engine(settings);
    for round in 0..rounds {
        let hard = round % 2 == 1;
        let answer = decide(&mut engine, &ask(if hard { 0.9 } else { 0.1 }));
        let good = if hard { "openai/gpt-4o-mini" } else { "openai/gpt-4o" };
        let verdict =
            if chosen(&engine, &answer) == good { Verdict::Success } else { Verdict::Failure(FailureReason::Unused) };
        record(&mut engine, &report(reference(&answer), Some(verdict)));
    }
    engine
}

#[test]
fn each_kind_of_request_is_given_to_the_model_that_does_it() {
    let mut engine = taught(settings(), 400);
    let mut right = |difficulty, model| {
        (0..50)
            .filter(|_| {
                let answer = decide(&mut engine, &ask(difficulty));
                chosen(&engine, &answer) == model
            })
            .count()
    };
    let (easy, hard) = (right(0.2, "openai/gpt-4o"), right(0.7, "openai/gpt-4o-mini"));
    assert!(easy >= 48 && hard >= 48, "{easy} and {hard} of 50");
}

#[test]
fn the_decision_tells_its_stratum_and_the_posteriors_it_was_drawn_from() {
    let settings = settings();
    let mut engine = taught(settings.clone(), 100);
    let asked = ask(0.9);
    let stratum = settings.strata.of(&asked.asked.features, &asked.labels);
    let answer = decide(&mut engine, &asked);
    assert_eq!(answer.decided.traits.stratum, stratum);
    assert_eq!(settings.strata.text(stratum), Some("difficulty >= 0.5, language = en"));
    let of = &engine.state.tasks[&answer.decided.place.task];
    let known = |seat: &crate::engine::SeatView| Known {
        whole: of.cells[&seat.id].posterior(settings.prior),
        strata: of.cells[&seat.id].history.weighed_strata(&settings.memory, NOW, of.lessons, |_| (1.0, 1.0)),
    };
    let fit = fit(&answer.seats.iter().map(known).collect::<Vec<_>>());
    for (place, seat) in answer.seats.iter().enumerate() {
        let expected = fit.posterior(place, stratum);
        assert!((seat.posterior.mean() - expected.mean()).abs() < 0.02, "{seat:?} {expected:?}");
        let told = answer.decided.competitors.iter().find(|c| c.candidate == seat.id).unwrap();
        assert_eq!(told.alpha_micro, (seat.posterior.alpha() * 1e6).round() as u64);
    }
}

#[test]
fn an_outcome_told_late_or_corrected_counts_in_the_stratum_of_its_decision() {
    let strata = |engine: &Engine| {
        let cells = engine.state.tasks.values().flat_map(|t| t.cells.values());
        cells.map(|c| c.history.weighed_strata(&Default::default(), NOW, 0, |_| (1.0, 1.0))).collect::<Vec<_>>()
    };
    let mut late = engine(settings());
    let hard = decide(&mut late, &ask(0.9));
    let easy = decide(&mut late, &ask(0.1));
    let outcome = |answer: &PolicyAnswer| report(reference(answer), Some(Verdict::Failure(FailureReason::Unused)));
    record(&mut late, &outcome(&easy));
    let call = record(&mut late, &outcome(&hard));
    let amended = Amendment { address: AmendAddress::Call(CallRef { number: call, at: NOW }), ..amendment(true) };
    let facts = late.amend(&NoStore, &amended, NOW).unwrap();
    fold(&mut late, &facts.events);
    // The record of both decisions is lost: their ids tell the stratum.
    let mut straight = engine(settings());
    record(&mut straight, &report(reference(&hard), Some(Verdict::Success)));
    record(&mut straight, &outcome(&easy));
    let sorted = |mut all: Vec<Vec<(Stratum, (f64, f64))>>| {
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        all
    };
    assert_eq!(sorted(strata(&late)), sorted(strata(&straight)));
    let sum: f64 = strata(&late).iter().flatten().map(|s| s.1.0 + s.1.1).sum();
    assert_eq!(sum, 2.0);
}

#[test]
fn a_task_type_without_features_takes_no_notice_of_them() {
    let mut plain = engine(quiet());
    let mut same = engine(quiet());
    for round in 0..40 {
        let (with, without) = (decide(&mut plain, &ask(f64::from(round) / 40.0)), decide(&mut same, &request()));
        assert_eq!(with.decided.traits.stratum, Stratum::NONE);
        assert_eq!((with.served, &with.decided.competitors), (without.served, &without.decided.competitors));
    }
}

#[test]
fn the_floor_is_compared_with_what_is_known_of_such_requests() {
    let mut engine = taught(settings(), 300);
    engine.use_catalog(Arc::new(catalog(TaskSettings { min_success_rate: 0.6, ..settings() })));
    let answer = decide(&mut engine, &ask(0.9));
    let excluded: Vec<_> = answer.seats.iter().map(|s| s.exclusion).collect();
    assert_eq!(excluded[0], Some(Exclusion::QualityFloor), "good at easy ones alone");
    assert_eq!(excluded[1], None);
}
