//! Records of worlds whose truth is known, made by the engine itself and lived through again.

use rand::RngExt as _;

use super::*;
use crate::domain::call::CallRef;
use crate::domain::catalog::{Model, Sticky, TaskCandidate};
use crate::domain::event::Event;
use crate::domain::goal::GoalState;
use crate::domain::money::NanoUsd;
use crate::domain::outcome::{DecisionRef, FailureReason, OutcomeOf, OutcomeReport, Verdict};
use crate::domain::request::PolicyRequest;
use crate::domain::request_goal::CompleteGoal;
use crate::domain::rollout::{Holdout, Rollout};
use crate::domain::state::State;
use crate::engine::hydrate::NoStore;
use crate::engine::{AmendAddress, Amendment, Engine};
use crate::insights::Estimate;
use crate::simulation::logged::Reading;

const SEED: u64 = 1_911;
const BEGIN: UnixMillis = UnixMillis(1_795_348_800_000);
/// Success rate and cost in nano-USD of `x/good` and `x/cheap`.
const GOOD: (f64, u64) = (0.9, 2_000_000);
const CHEAP: (f64, u64) = (0.6, 100_000);

struct World {
    engine: Engine,
    reading: Reading,
    seq: u64,
    now: UnixMillis,
    seed: u64,
}

fn catalog(settings: TaskSettings) -> Arc<Catalog> {
    let model = |id: &str| {
        Arc::new(Model {
            id: Arc::from(id),
            aliases: vec![format!("{id}-latest")],
            rules: Vec::new(),
            capabilities: Default::default(),
            context_tokens: None,
            output_tokens: None,
            typical: None,
            source: String::new(),
            prices: Vec::new(),
        })
    };
    let models = vec![model("x/good"), model("x/cheap")];
    let offered = |model: &Arc<Model>| TaskCandidate {
        id: model.id.clone(),
        model: model.clone(),
        params: Default::default(),
        prior: None,
        tier: None,
        shadow: false,
    };
    let task = Task { id: Arc::from("t"), candidates: models.iter().map(offered).collect(), settings };
    Arc::new(Catalog::new("v".to_owned(), models, vec![task], None))
}

impl World {
    fn new(settings: TaskSettings, seed: u64) -> Self {
        let catalog = catalog(settings);
        let engine = Engine::new(State::default(), catalog.clone(), seed);
        let mut world = Self { engine, reading: Reading::default(), seq: 0, now: BEGIN, seed };
        let events = world.engine.start("test", "", BEGIN);
        world.apply(&events);
        world.reading.use_catalog(BEGIN, catalog);
        world
    }

    fn apply(&mut self, events: &[Event]) {
        for event in events {
            self.seq += 1;
            self.reading.take(self.seq, event);
            self.engine.apply(self.seq, event);
        }
    }

    fn decide(&mut self, request: &PolicyRequest) -> DecisionRef {
        self.now = self.now.plus_ms(1_000);
        let answer = self.engine.decide(request, self.now).unwrap();
        self.apply(&answer.events);
        let of = answer.decided;
        let (task, candidate, step) = (of.place.task, of.place.candidate, of.place.step);
        DecisionRef { number: of.number, at: self.now, task, candidate, step, traits: of.traits }
    }

    /// What the world makes of a call: the same for its number, whoever serves it.
    fn record(&mut self, of: DecisionRef) {
        let luck: f64 = decision_rng(!self.seed, of.number.0).random();
        let (rate, cost) = if self.name(of.candidate) == "x/good" { GOOD } else { CHEAP };
        self.record_as(of, luck < rate, cost);
    }

    fn record_as(&mut self, of: DecisionRef, success: bool, cost: u64) {
        let verdict = if success { Verdict::Success } else { Verdict::Failure(FailureReason::ValidationFailed) };
        let about = OutcomeReport::about(OutcomeOf::Decision(of));
        let report = OutcomeReport { verdict: Some(verdict), cost: Some(NanoUsd(cost)), ..about };
        let recorded = self.engine.record(&NoStore, &report, self.now).unwrap();
        self.apply(&recorded.events);
    }

    /// Corrects a verdict and makes the cost 7 nano-USD.
    fn amend(&mut self, of: DecisionRef, success: bool) {
        let amendment = Amendment {
            address: AmendAddress::Call(CallRef { number: of.number, at: of.at }),
            success: Some(success),
            quality: None,
            failure_reason: None,
            cost: Some(NanoUsd(7)),
            by: "qa".to_owned(),
            source: String::new(),
            reason: "looked at".to_owned(),
            key: None,
        };
        let amended = self.engine.amend(&NoStore, &amendment, self.now).unwrap();
        self.apply(&amended.events);
    }

    fn name(&self, id: NameId) -> &str {
        self.engine.state.names.text(crate::domain::names::NameKind::Candidate, id)
    }

    fn finish(self) -> Log {
        self.reading.finish()
    }
}

fn asks() -> PolicyRequest {
    PolicyRequest { task_type: "t".to_owned(), ..PolicyRequest::default() }
}

fn uniformly() -> TaskSettings {
    TaskSettings { exploration_floor: 1.0, ..TaskSettings::default() }
}

/// A record of so many calls, each told at once.
fn played(settings: TaskSettings, calls: usize, seed: u64) -> Log {
    let mut world = World::new(settings, seed);
    for _ in 0..calls {
        let decision = world.decide(&asks());
        world.record(decision);
    }
    world.finish()
}

fn found(relive: &Relive<'_>, policy: &str, repetitions: usize) -> Relived {
    relive.decide(&Decider::named(policy).unwrap(), None, repetitions, SEED, || ())
}

#[test]
fn what_always_taking_a_model_would_have_brought_is_its_truth() {
    println!("seed {SEED}");
    let mut covered = [0; 2];
    for seed in 0..60 {
        let log = played(uniformly(), 400, SEED + seed);
        let relive = Relive::new(&log);
        for (place, (model, (rate, cost))) in [("x/good", GOOD), ("x/cheap-latest", CHEAP)].into_iter().enumerate() {
            let found = found(&relive, &format!("always={model}"), 1);
            assert_eq!((found.draws, found.calls, found.not_on_offer), (400, 400, 0));
            let matched = found.matched.unwrap();
            assert!((matched - 0.5).abs() < 0.12, "{matched}");
            assert!((found.weighted.effective_sample_size - 400.0 * matched).abs() < 1e-6, "all weights are alike");
            let success = found.weighted.success_rate.unwrap();
            covered[place] += usize::from((success.interval_90.0..=success.interval_90.1).contains(&rate));
            let call = found.weighted.cost_per_call_usd.unwrap().value;
            assert!((call - cost as f64 * 1e-9).abs() < 1e-15, "{call}");
            let per_success = found.weighted.cost_per_success_usd.unwrap().value;
            assert!((per_success - call / success.value).abs() < 1e-12);
        }
    }
    println!("of 60 intervals held their truth: {covered:?}");
    // Of 60 intervals at 90 %, 54 are expected, with a standard deviation of 2.3.
    assert!(covered.iter().all(|covered| *covered >= 47), "{covered:?}");
}

#[test]
fn the_policy_that_made_the_record_gives_what_happened() {
    println!("seed {SEED}");
    let settings = TaskSettings { exploration_floor: 0.3, ..TaskSettings::default() };
    let log = played(settings, 3_000, SEED);
    let relive = Relive::new(&log);
    let (was, own) = (relive.observed(), found(&relive, "default", 20));
    let within = |of: Option<Estimate>, truth: f64| {
        let (low, high) = of.unwrap().interval_95;
        assert!((low..=high).contains(&truth), "{low} {high} {truth}");
    };
    within(own.weighted.success_rate, was.weighted.success_rate.unwrap().value);
    // Once it has learned, 85 of 100 calls go to the good one.
    let (rate, cost) = (0.85 * GOOD.0 + 0.15 * CHEAP.0, (0.85 * GOOD.1 as f64 + 0.15 * CHEAP.1 as f64) * 1e-9);
    for of in [&own.last_fifth, &was.last_fifth] {
        within(of.success_rate, rate);
        within(of.cost_per_call_usd, cost);
        within(of.cost_per_success_usd, cost / rate);
    }
    // It learns from seven tenths of the calls, so it takes the cheap one a little longer.
    let [cost, truth] = [&own, &was].map(|of| of.weighted.cost_per_call_usd.unwrap().value);
    println!("success {:?}, was {:?}", own.weighted.success_rate, was.weighted.success_rate);
    println!("last fifth {:?}, was {:?}", own.last_fifth.success_rate, was.last_fifth.success_rate);
    println!("a call {cost}, was {truth}; last fifth {:?}", own.last_fifth.cost_per_call_usd);
    assert!((0.92..1.0).contains(&(cost / truth)), "{cost} {truth}");
    assert!((0.6..0.8).contains(&own.matched.unwrap()), "{own:?}");
    let tally = log.recorded["t"];
    assert_eq!((tally.calls, log.draws.len()), (3_000, 3_000));
    let rate = tally.successes as f64 / 3_000.0;
    assert!((was.weighted.success_rate.unwrap().value - rate).abs() < 1e-12);
    assert!((was.robust.observed.success_rate.unwrap() - rate).abs() < 1e-12);
    assert_eq!(own, found(&relive, "tolerance=0.01", 20), "which is what its settings say");
    assert_eq!(relive.models().into_iter().collect::<Vec<_>>(), ["x/cheap", "x/good"]);
}

#[test]
fn a_record_that_hardly_ever_did_what_a_policy_would_is_not_estimated_from() {
    println!("seed {SEED}");
    let log = played(TaskSettings { tolerance: 0.0, ..TaskSettings::default() }, 1_500, SEED);
    let relive = Relive::new(&log);
    let own = found(&relive, "default", 10);
    let (low, high) = own.weighted.success_rate.unwrap().interval_95;
    assert!((low..=high).contains(&relive.observed().weighted.success_rate.unwrap().value), "{own:?}");
    let other = found(&relive, "always=x/cheap", 1);
    assert!(other.weighted.refused.unwrap().contains("100 are needed"), "hardly ever taken");
    assert_eq!((other.weighted.success_rate, other.robust.success_rate), (None, None));
    assert!(other.matched.unwrap() < 0.1);
}

#[test]
fn a_router_learns_anew_from_what_it_would_have_been_told() {
    println!("seed {SEED}");
    let log = played(uniformly(), 2_000, SEED);
    let relive = Relive::new(&log);
    let exact = catalog(TaskSettings { tolerance: 0.0, ..TaskSettings::default() });
    let router = Decider::named("default").unwrap();
    let found = relive.decide(&router, Some(&exact), 10, SEED, || ());
    let success = found.weighted.success_rate.unwrap();
    assert!(success.value > 0.85 && success.interval_95.1 > 0.88, "{success:?}, of .9 and .6");
    assert_eq!(found, relive.decide(&router, Some(&exact), 10, SEED, || ()), "the same seed");
    let other = relive.decide(&router, Some(&exact), 10, SEED + 1, || ());
    assert_ne!(found.weighted, other.weighted, "another seed");
    let careless = relive.decide(&Decider::named("tolerance=1").unwrap(), Some(&exact), 10, SEED, || ());
    assert!(careless.weighted.success_rate.unwrap().value < 0.7, "{careless:?}: nearly always the cheap one");

    let life = relive.live(None, Some(&exact), SEED, 3);
    let matched = life.known.iter().filter(|known| **known).count() as u64;
    let learned = (0..2).map(|arm| life.learners[0].cell(arm).lessons).sum::<u64>();
    assert_eq!(learned, matched, "of nothing else");
    assert!((800..1_200).contains(&matched), "{matched}");
}

#[test]
fn what_a_holdout_served_by_lot_counts_by_the_chances_of_both() {
    println!("seed {SEED}");
    let holdout = Some(Holdout { model: Arc::from("x/good"), share: 0.4 });
    let rollout = Rollout { holdout, ..Rollout::default() };
    let log = played(TaskSettings { rollout, exploration_floor: 0.6, ..TaskSettings::default() }, 1_500, SEED);
    assert!(log.draws.iter().filter(|of| of.draw.held_out).count() > 500);
    let relive = Relive::new(&log);
    let uniform = found(&relive, "uniform", 1);
    assert_eq!((uniform.draws, log.left_out.not_drawn), (1_500, 0));
    let (low, high) = uniform.weighted.success_rate.unwrap().interval_95;
    assert!((low..=high).contains(&0.75), "{uniform:?}");
    let was = relive.observed().weighted.success_rate.unwrap();
    assert!(was.value > high, "{was:?}: the holdout is of the good one");
}

#[test]
fn what_is_known_comes_and_changes_when_it_did() {
    let mut world = World::new(uniformly(), 3);
    let (first, second) = (world.decide(&asks()), world.decide(&asks()));
    world.record_as(first, true, 5);
    world.amend(first, false);
    let late = second.at.plus_ms(7_200_000);
    let expired = world.engine.expire(late, 10).unwrap();
    world.apply(&[expired]);
    let log = world.finish();
    let told = said(&log);
    assert_eq!(
        told,
        ["catalogue 0", "chosen 0", "chosen 1", "Some(0) true true", "Some(0) true false", "Some(0) false true"]
    );
    let tally = log.recorded["t"];
    assert_eq!((tally.calls, tally.successes, tally.failures, tally.cost), (1, 0, 1, 7));
    assert_eq!(log.left_out.without_outcome, 1, "its time ran out");
    assert!(log.draws[0].counts() && !log.draws[1].counts());
}

/// What happens to a router, in words.
fn said(log: &Log) -> Vec<String> {
    let word = |moment: &Moment| match moment {
        Moment::Catalog(place) => format!("catalogue {place}"),
        Moment::Chosen(place) => format!("chosen {place}"),
        Moment::Taught { of, lesson, add, .. } => format!("{of:?} {} {add}", lesson.success),
        Moment::Forgot { arm, .. } => format!("forgot {arm:?}"),
    };
    log.moments.iter().map(|(_, moment)| word(moment)).collect()
}

#[test]
fn ends_of_goals_resets_and_retries_that_turn_out_to_be_none_teach_when_they_come() {
    let mut world = World::new(TaskSettings { learns_from_goal: true, sticky: Sticky::None, ..uniformly() }, 5);
    let of = |goal: &str| PolicyRequest { goal_id: goal.to_owned(), step: "s".to_owned(), ..asks() };
    let waits = world.decide(&of("g"));
    let report = OutcomeReport { cost: Some(NanoUsd(1)), ..OutcomeReport::about(OutcomeOf::Decision(waits)) };
    let recorded = world.engine.record(&NoStore, &report, world.now).unwrap();
    world.apply(&recorded.events);
    let request = CompleteGoal {
        goal_id: "g".to_owned(),
        state: GoalState::Accepted,
        score: None,
        note: String::new(),
        by: String::new(),
        occurred_at: None,
        key: None,
    };
    let act = world.engine.complete_goal(&NoStore, &request, world.now).unwrap();
    world.apply(&act.events);
    let (first, second) = (world.decide(&of("h")), world.decide(&of("h")));
    world.record_as(first, false, 1);
    world.record_as(second, true, 1);
    world.amend(first, true);
    let reset = world.engine.reset_posterior(first.task, first.candidate, "ops", "new version", None, world.now);
    world.apply(&[reset]);
    let log = world.finish();
    let expected = [
        "catalogue 0",
        "chosen 0",
        "Some(0) true true",
        "chosen 1",
        "chosen 2",
        "Some(1) false true",
        "Some(1) false false",
        "Some(1) true true",
        "Some(2) true true",
    ];
    let told = said(&log);
    assert_eq!(told[..9], expected, "the second call is a retry until the first is known to have succeeded");
    assert!(told.len() == 10 && told[9].starts_with("forgot Some("), "{told:?}");
    assert!(log.draws.iter().all(LoggedDraw::counts), "none of them is a retry in the end");
}

#[test]
fn only_draws_for_first_attempts_are_estimated_from() {
    let mut world = World::new(TaskSettings { sticky: Sticky::Goal, ..uniformly() }, 4);
    let of = |goal: &str| PolicyRequest { goal_id: goal.to_owned(), step: "s".to_owned(), ..asks() };
    let drawn = world.decide(&of("g"));
    world.record_as(drawn, true, 10);
    let kept = world.decide(&of("g"));
    world.record_as(kept, false, 20);
    let retry = world.decide(&of("g"));
    world.record_as(retry, true, 40);
    let mut pin = asks();
    pin.asked.allowed_models = vec!["x/good".to_owned()];
    let pinned = world.decide(&pin);
    world.record_as(pinned, true, 80);
    let fixed = world.decide(&PolicyRequest { irreversible: true, ..asks() });
    world.record_as(fixed, true, 160);
    let _open = world.decide(&asks());
    let log = world.finish();
    let by: Vec<ChosenBy> = log.choices.iter().map(|choice| choice.by).collect();
    let expected =
        [ChosenBy::Draw(0), ChosenBy::Kept(0), ChosenBy::Draw(1), ChosenBy::Given, ChosenBy::Mean, ChosenBy::Draw(2)];
    assert_eq!(by, expected);
    let told = log.draws[0].told;
    assert_eq!((told.calls, told.successes, told.cost_nano), (2, 1, 30), "its calls count together");
    let left_out = log.left_out;
    assert_eq!((left_out.retries, left_out.not_drawn, left_out.one_candidate), (1, 2, 0));
    assert_eq!((left_out.pinned, left_out.irreversible), (1, 1));
    assert_eq!((left_out.without_outcome, log.kept, left_out.earlier_draw), (1, 1, 0));
    assert_eq!(log.recorded["t"].cost, 310, "whoever chose");
    let relive = Relive::new(&log);
    assert_eq!(found(&relive, "uniform", 1).draws, 1);
    assert_eq!(found(&relive, "always=x/none", 1).not_on_offer, 1);
    let knows = |policy: &str| relive.knows(&Decider::named(policy).unwrap());
    assert!(knows("always=good") && knows("default") && !knows("always=x/none"));
}

#[test]
fn names_are_checked() {
    for name in ["tolerance=2", "tolerance=x", "oracle", "best_fixed", "always=", "always", ""] {
        assert_eq!(Decider::named(name), None, "{name}");
    }
    assert_eq!(Decider::named("shipped"), Decider::named("default"));
}
