//! The engine end to end without a daemon: requests in, facts folded, decisions out. The root seed is fixed and printed
//! by what fails; no test depends on one lucky draw.

mod features;
mod outcomes;
mod sources;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::hydrate::NoStore;
use super::{AmendAddress, Amendment, Engine, PolicyAnswer};
use crate::domain::call::{Arm, CallNo, CallRef, Selection};
use crate::domain::catalog::{
    Catalog, Model, Objective, Pins, Price, Rates, Rule, RuleVerdict, ServiceTier, Task, TaskCandidate, TaskSettings,
    TypicalUsage,
};
use crate::domain::cell::Evidence;
use crate::domain::event::{Asked, Key, PolicyVerdict};
use crate::domain::filter::Exclusion;
use crate::domain::money::{NanoUsd, PicoUsdPerToken, PriceMultiplier};
use crate::domain::names::{NameId, NameKind};
use crate::domain::outcome::{DecisionRef, FailureReason, OutcomeOf, OutcomeReport, Verdict};
use crate::domain::pricing::Usage;
use crate::domain::request::{PolicyRequest, UsageEstimate};
use crate::domain::state::State;
use crate::domain::time::UnixMillis;

pub(super) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

pub(crate) fn model(id: &str, input: &str, output: &str) -> Arc<Model> {
    let price = |text| PicoUsdPerToken::parse_usd_per_mtok(text).unwrap();
    Arc::new(Model {
        id: id.into(),
        aliases: vec![],
        rules: vec![],
        capabilities: ["json".to_owned()].into(),
        context_tokens: Some(128_000),
        output_tokens: Some(16_384),
        typical: Some(TypicalUsage { input_tokens: 300, output_tokens: 40 }),
        source: String::new(),
        prices: vec![Price {
            from: UnixMillis(0),
            service_tier: ServiceTier::Standard,
            rates: Rates { input: price(input), output: price(output), cached_input: None, cache_write: None },
            multiplier: PriceMultiplier::ONE,
            tiers: vec![],
        }],
    })
}

/// The seed's three models at one task type.
pub(crate) fn catalog(settings: TaskSettings) -> Catalog {
    let models = vec![
        model("openai/gpt-4o", "5", "15"),
        model("openai/gpt-4o-mini", "0.15", "0.60"),
        model("openai/gpt-4-turbo", "10", "30"),
    ];
    let candidate = |m: &Arc<Model>| TaskCandidate {
        id: m.id.clone(),
        model: m.clone(),
        params: BTreeMap::new(),
        prior: None,
        tier: None,
        shadow: false,
    };
    let candidates = models.iter().map(candidate).collect();
    let task = Task { id: "tickets".into(), candidates, settings };
    Catalog::new("test".to_owned(), models, vec![task], None)
}

pub(crate) fn engine(settings: TaskSettings) -> Engine {
    let mut engine = Engine::new(State::default(), Arc::new(catalog(settings)), 20_261_122);
    let start = engine.start("test", "", NOW);
    fold(&mut engine, &start);
    engine
}

pub(crate) fn fold(engine: &mut Engine, events: &[crate::domain::event::Event]) {
    for event in events {
        engine.apply(engine.state.applied_seq + 1, event);
    }
}

fn quiet() -> TaskSettings {
    TaskSettings { exploration_floor: 0.0, tolerance: 0.0, ..TaskSettings::default() }
}

fn request() -> PolicyRequest {
    PolicyRequest { task_type: "tickets".to_owned(), explain: true, ..PolicyRequest::default() }
}

fn decide(engine: &mut Engine, request: &PolicyRequest) -> PolicyAnswer {
    let answer = engine.decide(request, NOW).unwrap();
    fold(engine, &answer.events);
    answer
}

fn chosen(engine: &Engine, answer: &PolicyAnswer) -> String {
    engine.state.names.text(NameKind::Candidate, answer.decided.place.candidate).to_owned()
}

pub(super) fn report(of: OutcomeOf, verdict: Option<Verdict>) -> OutcomeReport {
    let usage = Some(Usage { input: 300, output: 40, ..Usage::default() });
    OutcomeReport { verdict, usage, body: 1, ..OutcomeReport::about(of) }
}

fn reference(answer: &PolicyAnswer) -> OutcomeOf {
    let (decided, place) = (&answer.decided, &answer.decided.place);
    OutcomeOf::Decision(DecisionRef {
        number: decided.number,
        at: NOW,
        task: place.task,
        candidate: place.candidate,
        step: place.step,
        traits: decided.traits,
    })
}

/// A correction of no call in particular.
fn amendment(success: bool) -> Amendment {
    Amendment {
        address: AmendAddress::Call(CallRef::default()),
        success: Some(success),
        quality: None,
        failure_reason: None,
        cost: None,
        by: "auditor".to_owned(),
        source: String::new(),
        reason: "it did arrive".to_owned(),
        key: None,
    }
}

fn record(engine: &mut Engine, report: &OutcomeReport) -> CallNo {
    let recorded = engine.record(&NoStore, report, NOW).unwrap();
    fold(engine, &recorded.events);
    recorded.call
}

/// Gives a candidate evidence of its own without playing thousands of calls.
fn teach(engine: &mut Engine, candidate: &str, successes: u64, failures: u64) {
    let task = engine.state.names.id(NameKind::Task, "tickets").unwrap();
    let id = engine.state.names.id(NameKind::Candidate, candidate).unwrap();
    let cell = engine.state.tasks.entry(task).or_default().cells.entry(id).or_default();
    cell.evidence = Evidence { successes_micro: successes * 1_000_000, failures_micro: failures * 1_000_000 };
    cell.version += 1;
}

fn excluded(engine: &Engine, answer: &PolicyAnswer) -> Vec<(String, Exclusion)> {
    let name = |id: NameId| engine.state.names.text(NameKind::Candidate, id).to_owned();
    answer.decided.exclusions.iter().map(|(id, why)| (name(*id), *why)).collect()
}

/// Acceptance A9: the hold of 300 in and 40 out against the ceiling.
#[test]
fn a9_a_ceiling_decides_who_may_play() {
    let mut engine = engine(quiet());
    let mut ask = request();
    ask.estimate = UsageEstimate { input_tokens: Some(300), output_tokens: Some(40), ..UsageEstimate::default() };
    ask.asked.max_cost = Some(NanoUsd(2_000_000));
    let answer = decide(&mut engine, &ask);
    assert_eq!(chosen(&engine, &answer), "openai/gpt-4o-mini");
    let over = |id: &str| (id.to_owned(), Exclusion::OverMaxCost);
    assert_eq!(excluded(&engine, &answer), vec![over("openai/gpt-4o"), over("openai/gpt-4-turbo")]);
    ask.asked.max_cost = Some(NanoUsd(50_000_000));
    let answer = decide(&mut engine, &ask);
    assert_eq!(excluded(&engine, &answer), vec![]);
    assert_eq!(answer.decided.competitors.len(), 3);
}

/// Acceptance A11: outcome first; under net value the dearer success has to be worth it.
#[test]
fn a11_the_better_model_wins_under_success_and_the_break_even_is_exact() {
    let models = [("a/strong", "18"), ("a/cheap", "15")];
    let play = |objective, value: u64| {
        let mut settings = quiet();
        settings.objective = objective;
        settings.value = NanoUsd(value);
        let built: Vec<Arc<Model>> = models.iter().map(|(id, price)| model(id, price, "0")).collect();
        let candidate = |m: &Arc<Model>| TaskCandidate {
            id: m.id.clone(),
            model: m.clone(),
            params: BTreeMap::new(),
            prior: None,
            tier: None,
            shadow: false,
        };
        let task = Task { id: "tickets".into(), candidates: built.iter().map(candidate).collect(), settings };
        let catalog = Catalog::new("a11".to_owned(), built, vec![task], None);
        let mut engine = Engine::new(State::default(), Arc::new(catalog), 11);
        let start = engine.start("test", "", NOW);
        fold(&mut engine, &start);
        teach(&mut engine, "a/strong", 910_000_000_000, 90_000_000_000);
        teach(&mut engine, "a/cheap", 800_000_000_000, 200_000_000_000);
        let mut ask = request();
        ask.estimate = UsageEstimate { input_tokens: Some(100), output_tokens: Some(0), ..UsageEstimate::default() };
        let answer = decide(&mut engine, &ask);
        assert_eq!(
            answer.decided.estimate,
            Some(NanoUsd(if chosen(&engine, &answer) == "a/strong" { 1_800_000 } else { 1_500_000 }))
        );
        chosen(&engine, &answer)
    };
    assert_eq!(play(Objective::Success, 0), "a/strong");
    // Break even at 0.0003 / 0.11 = $0.00272727…
    assert_eq!(play(Objective::NetValue, 2_720_000), "a/cheap");
    assert_eq!(play(Objective::NetValue, 2_735_000), "a/strong");
}

#[test]
fn the_cheapest_within_the_tolerance_is_chosen_and_outside_it_the_best() {
    let play = |tolerance| {
        let mut engine = engine(TaskSettings { tolerance, exploration_floor: 0.0, ..TaskSettings::default() });
        teach(&mut engine, "openai/gpt-4o", 9_700_000, 300_000);
        teach(&mut engine, "openai/gpt-4o-mini", 9_500_000, 500_000);
        teach(&mut engine, "openai/gpt-4-turbo", 9_000_000, 1_000_000);
        let answer = decide(&mut engine, &request());
        chosen(&engine, &answer)
    };
    assert_eq!(play(0.05), "openai/gpt-4o-mini");
    assert_eq!(play(0.01), "openai/gpt-4o");
}

#[test]
fn an_irreversible_step_takes_the_best_mean_and_never_explores() {
    let mut engine = engine(TaskSettings { exploration_floor: 1.0, ..TaskSettings::default() });
    teach(&mut engine, "openai/gpt-4-turbo", 3, 1);
    let mut ask = request();
    ask.irreversible = true;
    for _ in 0..50 {
        let answer = decide(&mut engine, &ask);
        assert_eq!(chosen(&engine, &answer), "openai/gpt-4-turbo");
        assert_eq!(answer.decided.traits.selection, Selection::Irreversible);
    }
}

#[test]
fn the_exploration_floor_gives_every_candidate_its_share() {
    let mut engine = engine(TaskSettings { exploration_floor: 0.3, ..TaskSettings::default() });
    teach(&mut engine, "openai/gpt-4o", 1_000_000, 1);
    teach(&mut engine, "openai/gpt-4o-mini", 1, 1_000_000);
    teach(&mut engine, "openai/gpt-4-turbo", 1, 1_000_000);
    let starved = (0..3_000).filter(|_| {
        let answer = decide(&mut engine, &request());
        chosen(&engine, &answer) == "openai/gpt-4o-mini"
    });
    // η/K = 0.1 of 3,000: 300 ± 4σ = 66.
    let starved = starved.count();
    assert!((234..=366).contains(&starved), "{starved} of 3000");
}

#[test]
fn a_draw_is_kept_within_its_goal_until_that_model_fails() {
    let mut engine = engine(quiet());
    let mut ask = request();
    ask.goal_id = "goal-1".to_owned();
    let first = decide(&mut engine, &ask);
    let kept = chosen(&engine, &first);
    for _ in 0..20 {
        let answer = decide(&mut engine, &ask);
        assert_eq!(chosen(&engine, &answer), kept);
        assert_eq!(answer.decided.drawn_by, Some(first.decided.number));
    }
    let failed = report(reference(&first), Some(Verdict::Failure(FailureReason::Timeout)));
    record(&mut engine, &failed);
    let answer = decide(&mut engine, &ask);
    assert_eq!(answer.decided.drawn_by, None, "drawn anew after the failure");
}

#[test]
fn a_rule_answers_before_any_draw() {
    let rule = Rule {
        label_equals: Some(("cached".to_owned(), "true".to_owned())),
        step: None,
        reversible: None,
        verdict: RuleVerdict::NoModel,
        reason: "answer is cached".to_owned(),
    };
    let mut engine = engine(TaskSettings { rules: vec![rule], ..quiet() });
    let mut ask = request();
    assert_eq!(decide(&mut engine, &ask).decided.verdict, PolicyVerdict::Allow);
    ask.labels = [("cached".to_owned(), "true".to_owned())].into();
    let answer = decide(&mut engine, &ask);
    assert_eq!((answer.decided.verdict, answer.decided.reason.as_str()), (PolicyVerdict::NoModel, "answer is cached"));
}

#[test]
fn pins_do_not_teach_unless_they_are_exchangeable() {
    for (pins, teaches) in [(Pins::Selected, false), (Pins::Exchangeable, true)] {
        let mut engine = engine(TaskSettings { pins, ..quiet() });
        let mut ask = request();
        ask.asked = Asked { allowed_models: vec!["gpt-4o".to_owned()], ..Asked::default() };
        let answer = decide(&mut engine, &ask);
        assert_eq!(answer.decided.traits.arm, Arm::Pinned);
        record(&mut engine, &report(reference(&answer), Some(Verdict::Success)));
        let cell = engine.state.cell(answer.decided.place.task, answer.decided.place.candidate).unwrap();
        assert_eq!((cell.successes == 1, cell.served), (teaches, 1));
    }
}

#[test]
fn a_retry_and_a_cancelled_call_cost_but_do_not_teach() {
    let mut engine = engine(quiet());
    let mut ask = request();
    ask.goal_id = "g".to_owned();
    let cost = NanoUsd(30_000_000);
    let mut play = |verdict| {
        let answer = decide(&mut engine, &ask);
        let mut outcome = report(reference(&answer), Some(verdict));
        outcome.cost = Some(cost);
        record(&mut engine, &outcome)
    };
    let first = play(Verdict::Failure(FailureReason::Timeout));
    let second = play(Verdict::Success);
    let third = play(Verdict::Failure(FailureReason::Cancelled));
    let taught: u64 =
        engine.state.tasks.values().flat_map(|t| t.cells.values()).map(|c| c.successes + c.failures).sum();
    assert_eq!(taught, 1, "only the first attempt");
    let retry = |n: CallNo| engine.state.calls[&n].is_retry();
    assert_eq!((retry(first), retry(second), retry(third)), (false, true, false));
    let amendment =
        Amendment { address: AmendAddress::Call(CallRef { number: first, ..CallRef::default() }), ..amendment(true) };
    let amended = engine.amend(&NoStore, &amendment, NOW).unwrap();
    fold(&mut engine, &amended.events);
    assert!(!engine.state.calls[&second].is_retry(), "what follows a success is a new turn");
    let taught: u64 =
        engine.state.tasks.values().flat_map(|t| t.cells.values()).map(|c| c.successes + c.failures).sum();
    assert_eq!(taught, 2);
}

#[test]
fn a_decision_lost_in_a_crash_is_folded_from_its_id() {
    let mut before = engine(quiet());
    let answer = before.decide(&request(), NOW).unwrap();
    // The facts of the decision never reached the disk; another engine starts from the same record.
    let mut after = engine(quiet());
    let call = record(&mut after, &report(reference(&answer), Some(Verdict::Success)));
    let folded = &after.state.calls[&call];
    assert!(folded.decided && folded.reward_micro() == Some(1_000_000));
    assert_eq!(after.state.cell(folded.task, folded.candidate).unwrap().successes, 1);
}

#[test]
fn a_fallback_of_a_decision_lost_in_a_crash_leaves_room_for_the_call_it_answers() {
    let mut before = engine(quiet());
    let answer = before.decide(&request(), NOW).unwrap();
    let own = report(reference(&answer), Some(Verdict::Failure(FailureReason::Timeout)));
    let other = if chosen(&before, &answer) == "openai/gpt-4o" { "openai/gpt-4-turbo" } else { "openai/gpt-4o" };
    let fallback =
        OutcomeReport { model_served: other.to_owned(), body: 2, ..report(reference(&answer), Some(Verdict::Success)) };
    let fallback = OutcomeReport { key: Some(Key { hash: 2, body: 2 }), ..fallback };
    let told = |reports: [&OutcomeReport; 2]| {
        let mut after = engine(quiet());
        let restart = after.start("test", "", NOW);
        fold(&mut after, &restart);
        let calls = reports.map(|report| record(&mut after, report));
        let call = |n: usize| after.state.calls[&calls[n]].clone();
        let counts: Vec<_> = after.state.tasks.values().flat_map(|t| t.cells.values()).cloned().collect();
        (call(0), call(1), counts, after.state.calls_total)
    };
    let (first, second, straight, calls) = told([&own, &fallback]);
    assert!(!first.is_retry() && second.is_retry() && first.decided && !second.decided);
    let (second, first, crossed, crossed_calls) = told([&fallback, &own]);
    assert!(!first.is_retry() && second.is_retry() && first.decided && !second.decided);
    assert_eq!((first.reward_micro(), second.reward_micro()), (Some(0), None));
    assert_eq!((straight.len(), calls), (crossed.len(), crossed_calls));
    let evidence = |cells: &[crate::domain::cell::Cell]| -> (u64, u64) {
        (cells.iter().map(|c| c.successes).sum(), cells.iter().map(|c| c.failures).sum())
    };
    assert_eq!(evidence(&straight), evidence(&crossed));
}

#[test]
fn the_same_outcome_counts_once_and_another_one_is_refused() {
    let mut engine = engine(quiet());
    let answer = decide(&mut engine, &request());
    let outcome = report(reference(&answer), Some(Verdict::Success));
    record(&mut engine, &outcome);
    assert!(engine.record(&NoStore, &outcome, NOW).unwrap().duplicate);
    let other = OutcomeReport { verdict: Some(Verdict::Failure(FailureReason::Unused)), body: 2, ..outcome };
    assert!(matches!(engine.record(&NoStore, &other, NOW), Err(super::EngineError::Conflict(_))));
}

#[test]
fn an_expired_decision_counts_nowhere_until_its_outcome_comes() {
    let mut engine = engine(quiet());
    let answer = decide(&mut engine, &request());
    let later = answer.decided.expires_at;
    assert!(engine.expire(later.plus_ms(-1), 10).is_none());
    let expired = engine.expire(later, 10).unwrap();
    fold(&mut engine, &[expired]);
    assert!(engine.state.open.is_empty());
    let cell = |e: &Engine| e.state.cell(answer.decided.place.task, answer.decided.place.candidate).map(|c| c.served);
    assert_eq!(cell(&engine), None);
    record(&mut engine, &report(reference(&answer), Some(Verdict::Success)));
    assert_eq!(cell(&engine), Some(1));
}

#[test]
fn a_decision_that_served_no_model_takes_no_outcome() {
    let rule = Rule {
        label_equals: None,
        step: None,
        reversible: None,
        verdict: RuleVerdict::NoModel,
        reason: "never needed".to_owned(),
    };
    let mut engine = engine(TaskSettings { rules: vec![rule], ..quiet() });
    let answer = decide(&mut engine, &request());
    let refused = engine.record(&NoStore, &report(reference(&answer), Some(Verdict::Success)), NOW);
    assert!(matches!(refused, Err(super::EngineError::Precondition(_))));
}

#[test]
fn an_alias_of_the_model_that_answered_is_not_another_call() {
    let mut engine = engine(quiet());
    let answer = decide(&mut engine, &request());
    let served = chosen(&engine, &answer);
    record(&mut engine, &report(reference(&answer), Some(Verdict::Success)));
    let again = OutcomeReport {
        model_served: served.split('/').nth(1).unwrap().to_owned(),
        key: Some(Key { hash: 7, body: 7 }),
        ..report(reference(&answer), Some(Verdict::Success))
    };
    assert!(matches!(engine.record(&NoStore, &again, NOW), Err(super::EngineError::Conflict(_))));
}

#[test]
fn a_flag_whose_pair_is_no_longer_compared_is_cleared() {
    use crate::domain::flag::{FlagState, Raised, comparisons, look};
    let raised = Raised { incumbent: NameId(2), cheaper: NameId(3), probability: 0.999 };
    let state = FlagState { raised: Some(raised), ..FlagState::default() };
    let look = look(NameId(2), &state, &comparisons(std::iter::empty(), |_| true), 0.02).unwrap();
    assert_eq!(look.raised, None);
}

#[test]
fn an_hour_tells_only_so_many_combinations_apart_and_loses_no_call() {
    use crate::domain::packed::PackedTally;
    use crate::domain::rollup::HOUR_KEYS_MAX;
    let mut engine = engine(quiet());
    let (mut answers, steps) = (Vec::new(), 101);
    for n in 0..(HOUR_KEYS_MAX + 200) {
        let labels = BTreeMap::from([("team".to_owned(), format!("t{}", n / steps))]);
        let request = PolicyRequest { step: format!("s{}", n % steps), labels, explain: false, ..request() };
        answers.push(decide(&mut engine, &request));
    }
    let hour = |engine: &Engine| -> Vec<_> {
        engine.state.rollups.hours.values().next().unwrap().values().map(PackedTally::tally).collect()
    };
    assert!(hour(&engine).len() <= HOUR_KEYS_MAX + 3, "{} sums", hour(&engine).len());
    assert_eq!(hour(&engine).iter().map(|t| t.decisions).sum::<i64>(), (HOUR_KEYS_MAX + 200) as i64);
    let call = record(&mut engine, &report(reference(answers.last().unwrap()), Some(Verdict::Success)));
    assert!(engine.state.calls[&call].coarse && !engine.state.calls[&answers[0].decided.number].coarse);
    let sums: Vec<_> = hour(&engine).iter().map(|t| (t.calls, t.successes)).filter(|s| *s != (0, 0)).collect();
    assert_eq!(sums, [(1, 1)]);
}

#[test]
fn an_engine_goes_on_with_another_state_and_gives_no_number_twice() {
    let taught = |best: &str| {
        let mut engine = engine(quiet());
        for candidate in ["openai/gpt-4o", "openai/gpt-4o-mini", "openai/gpt-4-turbo"] {
            let (good, bad) = if candidate == best { (9_900, 100) } else { (100, 9_900) };
            teach(&mut engine, candidate, good, bad);
        }
        engine
    };
    let mut engine = taught("openai/gpt-4o");
    let answer = decide(&mut engine, &request());
    assert_eq!(chosen(&engine, &answer), "openai/gpt-4o");
    // The same versions of cells, with other evidence: nothing that was kept of the old ones may be used.
    let other = State { applied_seq: engine.state.applied_seq, ..taught("openai/gpt-4o-mini").state };
    let number = engine.next_call();
    engine.go_on_with(other);
    let answer = decide(&mut engine, &request());
    assert_eq!(chosen(&engine, &answer), "openai/gpt-4o-mini");
    assert_eq!(answer.decided.number, number);
}

#[test]
#[should_panic(expected = "INV-ENGINE-1")]
fn an_engine_never_goes_back() {
    let mut engine = engine(quiet());
    let behind = State { applied_seq: engine.state.applied_seq - 1, ..State::default() };
    engine.go_on_with(behind);
}

#[test]
fn a_new_task_type_begins_with_what_its_models_did_at_others() {
    for (strength, expected) in [(0, 0.5), (20, 19.0 / 22.0)] {
        let settings = TaskSettings { sibling_prior: strength, ..quiet() };
        let of = catalog(settings.clone());
        let task = |id: &str| Task { id: id.into(), ..(**of.task("tickets").unwrap()).clone() };
        let both = vec![task("tickets"), task("summaries")];
        let of = Catalog::new("test".to_owned(), of.models().to_vec(), both, None);
        let mut engine = Engine::new(State::default(), Arc::new(of), 1);
        let start = engine.start("test", "", NOW);
        fold(&mut engine, &start);
        teach(&mut engine, "openai/gpt-4o", 900, 100);
        let ask = PolicyRequest { task_type: "summaries".to_owned(), ..request() };
        let answer = decide(&mut engine, &ask);
        let means: Vec<f64> = answer.seats.iter().map(|s| s.posterior.mean()).collect();
        assert_eq!((means[0], means[1]), (expected, 0.5), "a prior of at most {strength} outcomes");
        let (number, task) = (answer.decided.place.task, engine.task("summaries").unwrap().clone());
        assert_eq!(engine.learned(number, &task, &task.candidates[0]).1.mean(), expected);
    }
}
