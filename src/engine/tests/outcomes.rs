//! Several outcomes of one decision: the decided model's own, its fallbacks' and quality checks, with and without keys, in
//! whichever order they are told.

use super::super::hydrate::NoStore;
use super::super::{AmendAddress, Amendment, Engine, EngineError, PolicyAnswer};
use super::{NOW, amendment, decide, engine, fold, quiet, record, reference, report, request};
use crate::domain::call::{CallNo, CallRef, Stage};
use crate::domain::event::Key;
use crate::domain::names::NameKind;
use crate::domain::outcome::{FailureReason, OutcomeOf, OutcomeReport, Verdict};
use crate::domain::request::PolicyRequest;
use crate::domain::time::DAY_MS;

/// A decision with fallbacks, and the best ranked of them.
fn decided_with_fallback(engine: &mut Engine) -> (PolicyAnswer, String) {
    let answer = decide(engine, &PolicyRequest { fallback_allowed: true, ..request() });
    let fallback = engine.state.names.text(NameKind::Candidate, answer.decided.fallbacks[0].0).to_owned();
    (answer, fallback)
}

fn key(of: u64) -> Option<Key> {
    Some(Key { hash: of.into(), body: of })
}

/// The failure of the decided model and the success of its fallback, without keys.
fn own_and_fallback(engine: &mut Engine) -> (OutcomeReport, OutcomeReport) {
    let (answer, model_served) = decided_with_fallback(engine);
    let failed = Some(Verdict::Failure(FailureReason::Timeout));
    let own = OutcomeReport { body: 8, ..report(reference(&answer), failed) };
    let fallback = OutcomeReport { model_served, body: 7, ..report(reference(&answer), Some(Verdict::Success)) };
    (own, fallback)
}

#[test]
fn without_keys_a_decision_has_one_outcome_whatever_model_it_is_of() {
    for own_first in [true, false] {
        let mut engine = engine(quiet());
        let (own, fallback) = own_and_fallback(&mut engine);
        let (first, second) = if own_first { (own, fallback) } else { (fallback, own) };
        let call = record(&mut engine, &first);
        let again = engine.record(&NoStore, &first, NOW).unwrap();
        assert_eq!((again.duplicate, again.call), (true, call), "own first: {own_first}");
        let refused = engine.record(&NoStore, &second, NOW);
        assert!(matches!(refused, Err(EngineError::Conflict(_))), "own first: {own_first}");
        let keyed = OutcomeReport { key: key(1), ..second.clone() };
        record(&mut engine, &keyed);
        assert!(engine.record(&NoStore, &keyed, NOW).unwrap().duplicate, "own first: {own_first}");
        let again = engine.record(&NoStore, &first, NOW).unwrap();
        assert_eq!((again.duplicate, again.call), (true, call), "own first: {own_first}, after the other");
        let refused = engine.record(&NoStore, &second, NOW);
        assert!(matches!(refused, Err(EngineError::Conflict(_))), "its key is not the decision");
    }
}

#[test]
fn outcomes_with_keys_are_taken_in_any_order() {
    for own_first in [true, false] {
        let mut engine = engine(quiet());
        let (own, fallback) = own_and_fallback(&mut engine);
        let (own, fallback) = (OutcomeReport { key: key(1), ..own }, OutcomeReport { key: key(2), ..fallback });
        let order = if own_first { [&own, &fallback] } else { [&fallback, &own] };
        assert_ne!(record(&mut engine, order[0]), record(&mut engine, order[1]));
    }
}

#[test]
fn a_repeat_names_the_event_that_first_recorded_it() {
    let mut engine = engine(quiet());
    let (own, fallback) = own_and_fallback(&mut engine);
    record(&mut engine, &own);
    let recorded_at = engine.state.applied_seq;
    record(&mut engine, &OutcomeReport { key: key(1), ..fallback });
    assert_eq!(engine.record(&NoStore, &own, NOW).unwrap().first_seq, Some(recorded_at));
}

#[test]
fn a_quality_check_alone_leaves_the_decision_open() {
    let mut engine = engine(quiet());
    let (answer, _) = decided_with_fallback(&mut engine);
    let number = answer.decided.number;
    let check = OutcomeReport { evaluation: true, key: key(1), ..report(reference(&answer), Some(Verdict::Success)) };
    record(&mut engine, &check);
    let asked = Amendment { address: AmendAddress::Call(CallRef { number, ..CallRef::default() }), ..amendment(true) };
    assert!(matches!(engine.amend(&NoStore, &asked, NOW), Err(EngineError::NotFound { .. })));
    let void = engine.void(&NoStore, CallRef { number, ..CallRef::default() }, "", "", NOW).unwrap();
    assert!(void.is_some(), "it may still be declared never made");
    let expired = engine.expire(answer.decided.expires_at, 10).unwrap();
    fold(&mut engine, &[expired]);
    assert_eq!(engine.state.calls[&number].stage, Stage::Expired);
    let own = OutcomeReport { body: 8, ..report(reference(&answer), Some(Verdict::Success)) };
    assert_eq!(record(&mut engine, &own), number);
    assert!(!engine.state.calls[&number].is_retry());
}

#[test]
fn a_correction_by_decision_is_of_its_first_production_call_in_whichever_order_they_were_told() {
    let ranked = |engine: &Engine, answer: &PolicyAnswer, n: usize| {
        engine.state.names.text(NameKind::Candidate, answer.decided.fallbacks[n].0).to_owned()
    };
    for told in [[0, 1], [1, 0]] {
        let mut engine = engine(quiet());
        let (answer, _) = decided_with_fallback(&mut engine);
        let check = OutcomeReport { evaluation: true, key: key(9), ..report(reference(&answer), None) };
        record(&mut engine, &check);
        let mut calls = [CallNo(0); 2];
        for n in told {
            let model_served = ranked(&engine, &answer, n);
            let other = OutcomeReport { model_served, key: key(n as u64), ..report(reference(&answer), None) };
            calls[n] = record(&mut engine, &other);
        }
        let asked = Amendment {
            address: AmendAddress::Call(CallRef { number: answer.decided.number, ..CallRef::default() }),
            ..amendment(true)
        };
        assert_eq!(engine.amend(&NoStore, &asked, NOW).unwrap().call, calls[0], "told {told:?}");
    }
}

#[test]
fn what_was_dropped_for_its_age_can_be_neither_told_nor_changed() {
    let mut engine = engine(quiet());
    let answer = decide(&mut engine, &request());
    let later = NOW.plus_ms(100 * DAY_MS);
    let expired = engine.expire(later, 9).unwrap();
    let dropped = engine.drop_detail(30 * DAY_MS, later).unwrap();
    fold(&mut engine, &[expired, dropped]);
    let of = CallRef { number: answer.decided.number, at: NOW };
    let said = |error: EngineError| match error {
        EngineError::Precondition(say) => say,
        other => panic!("{other}"),
    };
    let kept = "the detail of this call was dropped: detail is kept since";
    let told = said(engine.record(&NoStore, &report(reference(&answer), Some(Verdict::Success)), later).unwrap_err());
    assert!(told.starts_with(kept), "{told}");
    let asked = Amendment { address: AmendAddress::Call(of), ..amendment(true) };
    assert_eq!(said(engine.amend(&NoStore, &asked, later).unwrap_err()), told);
    assert_eq!(said(engine.void(&NoStore, of, "", "", later).unwrap_err()), told);
    let elsewhere = OutcomeOf::Elsewhere { task: String::new(), model: "x/strange".to_owned() };
    // An id that never was is not said to be old.
    let never = Amendment { address: AmendAddress::Call(CallRef { at: later, ..of }), ..amendment(true) };
    assert!(matches!(engine.amend(&NoStore, &never, later), Err(EngineError::NotFound { .. })));

    let far = OutcomeReport { occurred_at: Some(NOW), ..report(elsewhere, None) };
    let Err(EngineError::Invalid { violations }) = engine.record(&NoStore, &far, later) else { panic!("taken") };
    assert_eq!(violations[0].field, "occurred_at");
    let kept = OutcomeReport { occurred_at: Some(engine.state.detail_from), ..far };
    assert!(engine.record(&NoStore, &kept, later).is_ok());
}
