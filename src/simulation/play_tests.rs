//! Worlds in miniature: each thing a scenario can say does what it says, through the learner and through the engine.

use std::sync::Arc;

use super::chance::Spread;
use super::figures::{BINS, Bin, Run};
use super::play::play;
use super::rollout::Plan;
use super::scenario::{
    CandidateWorld, Case, Delay, DelayShape, Feedback, Happening, Kind, Policy, Reporter, Scenario, TaskWorld, Telling,
    What, Workflow,
};
use crate::domain::budget::{Budget, Budgets, Measure, OnExceed, Period, Scope};
use crate::domain::catalog::{Model, Pins, Price, Rates, ServiceTier, TaskSettings, TypicalUsage};
use crate::domain::money::{NanoUsd, PicoUsdPerToken, PriceMultiplier};
use crate::domain::strata::{Feature, Strata};
use crate::domain::time::{HOUR_MS, UnixMillis};
use crate::domain::trust::{Limits, Sources};

const START: UnixMillis = UnixMillis(1_795_392_000_000);

fn model(id: &str, usd_per_mtok: &str) -> Arc<Model> {
    let price = PicoUsdPerToken::parse_usd_per_mtok(usd_per_mtok).unwrap();
    let rates = Rates { input: price, output: price, cached_input: None, cache_write: None };
    let (from, service_tier, multiplier) = (UnixMillis(0), ServiceTier::Standard, PriceMultiplier::ONE);
    Arc::new(Model {
        id: Arc::from(id),
        aliases: Vec::new(),
        rules: Vec::new(),
        capabilities: Default::default(),
        context_tokens: None,
        output_tokens: None,
        typical: Some(TypicalUsage { input_tokens: 900, output_tokens: 100 }),
        source: String::new(),
        prices: vec![Price { from, service_tier, rates, multiplier, tiers: Vec::new() }],
    })
}

fn candidate(model: usize, success: f64) -> CandidateWorld {
    let tokens = |mean| Spread { mean, sigma: 0.0 };
    let (input, output, latency_ms) = (tokens(900.0), tokens(100.0), tokens(1_000.0));
    CandidateWorld { model, success, input, output, cost: None, latency_ms, offered: true }
}

fn policy(kind: Kind) -> Policy {
    Policy { name: "it".to_owned(), kind, keeps_budgets: true, keeps_rollout: true }
}

/// A call of `a/cheap` costs $0.001, one of `b/dear` $0.01.
fn world(cheap: f64, dear: f64) -> Scenario {
    Scenario {
        name: "world".to_owned(),
        about: String::new(),
        seed: 7,
        arrivals: 2_000,
        per_hour: 100.0,
        start: START,
        replications: 1,
        labels: [("organization".to_owned(), "acme".to_owned())].into(),
        models: vec![model("a/cheap", "1"), model("b/dear", "10")],
        tasks: vec![TaskWorld {
            id: Arc::from("task"),
            share: 1.0,
            settings: TaskSettings::default(),
            candidates: vec![candidate(0, cheap), candidate(1, dear)],
            cases: Vec::new(),
        }],
        workflows: Vec::new(),
        events: Vec::new(),
        feedback: Feedback::default(),
        budgets: Arc::default(),
        rollout: None,
        policies: Vec::new(),
    }
}

fn router(scenario: &Scenario) -> Policy {
    policy(Kind::Router(scenario.tasks.iter().map(|t| t.settings.clone()).collect()))
}

fn run(scenario: &Scenario, kind: Kind) -> Run {
    play(scenario, &policy(kind), 3).unwrap()
}

fn routed(scenario: &Scenario) -> Run {
    play(scenario, &router(scenario), 3).unwrap()
}

fn at(at: u64, model: usize, what: What) -> Happening {
    Happening { at, model, task: None, what }
}

fn half(run: &Run, second: bool) -> Bin {
    let (first, last) = run.bins.split_at(BINS / 2);
    Bin::sum(if second { last } else { first })
}

fn budget(limit_nano: u64, period: Period, scope: Scope) -> Arc<Budgets> {
    let all = vec![Budget {
        id: Arc::from("b"),
        scope,
        matches: Default::default(),
        is_default: false,
        measure: Measure::Usd,
        limit: limit_nano,
        period,
        zone: jiff::tz::TimeZone::UTC,
        alert_thresholds: Vec::new(),
        on_exceed: OnExceed::Block,
        message: String::new(),
    }];
    Arc::new(Budgets { all })
}

#[test]
fn policies_that_know_the_truth_do_what_their_names_say() {
    let scenario = world(0.5, 0.9);
    let [cheap, dear] = [Kind::Cheapest, Kind::Dearest].map(|kind| run(&scenario, kind).all());
    assert_eq!((cheap.calls, cheap.cost_nano, cheap.taken), (2_000, 2_000 * 1_000_000, vec![2_000, 0]));
    assert_eq!((dear.calls, dear.cost_nano, dear.regret), (2_000, 2_000 * 10_000_000, 0.0));
    assert!((cheap.regret - 800.0).abs() < 1e-6, "{}", cheap.regret);
    // Five standard deviations.
    assert!((cheap.successes as f64 - 1_000.0).abs() < 112.0, "{}", cheap.successes);
    assert_eq!(run(&scenario, Kind::Oracle).all(), dear);
    assert_eq!(run(&scenario, Kind::Always(1)).all(), dear);
    assert_eq!(run(&world(0.9, 0.9), Kind::Oracle).all().taken, [2_000, 0], "the cheaper of equals");
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_repetition_another() {
    let mut scenario = world(0.8, 0.9);
    for budgets in [Arc::default(), budget(u64::MAX / 4, Period::Total, Scope::Organization)] {
        scenario.budgets = budgets;
        let of = |rep| play(&scenario, &router(&scenario), rep).unwrap();
        assert_eq!(of(0), of(0));
        assert_ne!(of(0).bins, of(1).bins);
    }
}

#[test]
fn the_router_learns_the_same_through_learner_and_engine() {
    let mut scenario = world(0.6, 0.9);
    let plain = routed(&scenario);
    assert_eq!(plain.ledger_nano, None);
    scenario.budgets = budget(u64::MAX / 4, Period::Total, Scope::Organization);
    let ledger = routed(&scenario);
    assert_eq!(ledger.ledger_nano, Some(u128::from(ledger.all().cost_nano)), "the ledger agrees with the world");
    for run in [&plain, &ledger] {
        let share = run.last_fifth().taken[1] as f64 / run.last_fifth().calls as f64;
        assert!(share > 0.95, "{share}");
    }
    let textbook = run(&scenario, Kind::Textbook("ucb1".to_owned()));
    assert_eq!(textbook.ledger_nano, Some(u128::from(textbook.all().cost_nano)), "a pin is on the ledger too");
}

#[test]
fn a_regression_and_an_outage_take_success_and_a_recovery_gives_it_back() {
    let mut scenario = world(0.2, 0.9);
    scenario.events = vec![at(1_000, 1, What::Success(Some(0.1)))];
    let dear = run(&scenario, Kind::Always(1));
    assert!(half(&dear, false).success_rate().unwrap() > 0.85 && half(&dear, true).success_rate().unwrap() < 0.15);
    assert!((half(&dear, true).regret - 100.0).abs() < 1e-6, "0.2 is the best that is left");
    let found = routed(&scenario);
    assert!(found.changes >= 1, "the router finds it");
    assert!(found.last_fifth().taken[0] > found.last_fifth().taken[1], "and leaves: {:?}", found.last_fifth().taken);
    scenario.events = vec![at(0, 1, What::Outage), at(1_000, 1, What::Success(None))];
    let dear = run(&scenario, Kind::Always(1));
    assert_eq!((half(&dear, false).successes, half(&dear, false).cost_nano), (0, 0), "a call that fails so is free");
    assert!(half(&dear, true).success_rate().unwrap() > 0.85 && half(&dear, true).cost_nano == 10_000_000_000);
}

#[test]
fn a_price_change_moves_money_and_traffic() {
    let mut scenario = world(0.9, 0.9);
    scenario.events = vec![at(1_000, 0, What::PriceFactor(100.0))];
    assert_eq!(half(&run(&scenario, Kind::Always(0)), true).cost_nano, 1_000 * 100_000_000);
    assert_eq!(run(&scenario, Kind::Cheapest).all().taken, [1_000, 1_000]);
    scenario.tasks[0].settings.tolerance = 0.2;
    let routed = routed(&scenario);
    assert!(half(&routed, false).taken[0] > 900 && half(&routed, true).taken[1] > 900, "{:?}", routed.all().taken);
    let price = PicoUsdPerToken::parse_usd_per_mtok("3").unwrap();
    let rates = Rates { input: price, output: price, cached_input: None, cache_write: None };
    scenario.events = vec![at(1_000, 0, What::Price(rates))];
    assert_eq!(half(&run(&scenario, Kind::Always(0)), true).cost_nano, 1_000 * 3_000_000);
}

#[test]
fn a_model_comes_and_another_goes() {
    let mut scenario = world(0.3, 0.9);
    scenario.tasks[0].candidates[1].offered = false;
    scenario.events = vec![at(1_000, 1, What::Offered(true))];
    for kind in [Kind::Oracle, Kind::Textbook("thompson".to_owned())] {
        let run = run(&scenario, kind);
        assert_eq!((half(&run, false).taken[1], half(&run, false).regret), (0, 0.0), "what is not there is not lost");
        assert!(half(&run, true).taken[1] > 900);
    }
    let found = routed(&scenario);
    assert!(half(&found, false).taken[1] == 0 && half(&found, true).taken[1] > 900, "{:?}", found.all().taken);
    scenario.events.push(at(1_500, 1, What::Offered(false)));
    scenario.events.push(at(1_500, 0, What::Offered(false)));
    let gone = run(&scenario, Kind::Always(1));
    assert_eq!((gone.all().refused, gone.all().calls), (1_500, 500));
    assert_eq!(routed(&scenario).all().refused, 500);
}

#[test]
fn outcomes_come_late_never_or_wrong() {
    let mut scenario = world(0.2, 0.9);
    let shape = DelayShape::Fixed;
    scenario.feedback.usual.delay = Delay { mean_ms: 15.0 * HOUR_MS as f64, shape };
    let late = routed(&scenario);
    let dear = late.bins[..37].iter().map(|b| b.taken[1]).sum::<u64>();
    assert!((dear as f64 - 740.0).abs() < 100.0, "for 15 of 20 hours it knows nothing: {dear} of 1,480");
    assert!(late.waited >= 1_000 && late.last_fifth().taken[1] > 350, "then it does: {:?}", late.last_fifth().taken);
    let telling = Telling { missing_successes: 1.0, missing_failures: 1.0, ..Telling::default() };
    scenario.feedback.usual = telling;
    let never = routed(&scenario).all().taken[1];
    assert!((never as f64 - 1_000.0).abs() < 112.0, "it learns nothing: {never}");
    scenario.feedback.usual = Telling { wrong: 1.0, ..Telling::default() };
    assert!(routed(&scenario).last_fifth().taken[0] > 350, "it believes the opposite");
}

#[test]
fn a_reporter_lies_about_one_model() {
    let mut scenario = world(0.4, 0.9);
    let lie = |share| Reporter {
        name: "liar".to_owned(),
        model: Some(1),
        share,
        telling: Telling { wrong: 1.0, ..Telling::default() },
    };
    scenario.feedback.reporters = vec![lie(1.0)];
    assert!(routed(&scenario).last_fifth().taken[0] > 350, "b/dear seems to fail nine times in ten");
    scenario.feedback.reporters = vec![lie(0.1)];
    assert!(routed(&scenario).last_fifth().taken[1] > 350, "a tenth of that does not outweigh the truth");
}

#[test]
fn a_reporter_held_at_a_small_share_moves_no_traffic_in_either_router() {
    let mut scenario = world(0.8, 0.9);
    let telling = Telling { wrong: 1.0, ..Telling::default() };
    scenario.feedback.reporters = vec![Reporter { name: "liar".to_owned(), model: Some(1), share: 0.3, telling }];
    let believed = |scenario: &Scenario| routed(scenario).last_fifth().taken[1];
    assert!(believed(&scenario) < 50, "three tenths of lies make 0.9 look like 0.66");
    let limits = Limits { max_share_micro: 50_000, ..Limits::default() };
    let declared = vec![("liar".to_owned(), limits)];
    scenario.tasks[0].settings.sources = Arc::new(Sources { declared, others: Limits::default() });
    assert!(believed(&scenario) > 350, "a twentieth of them makes it 0.86");
    scenario.tasks[0].settings.max_cost = Some(NanoUsd(1_000_000_000));
    assert!(scenario.needs_ledger(&router(&scenario)));
    assert!(believed(&scenario) > 350, "through the whole engine too");
}

#[test]
fn goals_take_steps_and_retries_and_end() {
    let mut scenario = world(0.5, 0.9);
    scenario.arrivals = 1_000;
    let steps = vec![("plan".to_owned(), 0), ("act".to_owned(), 0)];
    scenario.workflows = vec![Workflow { id: "fix".to_owned(), share: 1.0, steps, attempts: 2, falls_back: false }];
    let all = run(&scenario, Kind::Always(0)).all();
    // A step succeeds with 1 − 0.5² = 0.75, a goal with 0.5625; it takes 1.5 calls a step, and 1.75 steps.
    assert!((all.accepted as f64 - 562.5).abs() < 79.0, "{}", all.accepted);
    assert!((all.calls as f64 - 2_625.0).abs() < 160.0, "{}", all.calls);
    assert!((all.retries as f64 - 875.0).abs() < 100.0, "{}", all.retries);
    assert_eq!((all.goals, all.given_up, all.cost_nano), (1_000, 0, all.calls * 1_000_000));
    let routed = routed(&scenario);
    assert!(routed.all().accepted > all.accepted, "the router finds the better model");
    assert_eq!(routed.ledger_nano, Some(u128::from(routed.all().cost_nano)));
}

#[test]
fn budgets_refuse_what_they_do_not_hold_unless_a_policy_ignores_them() {
    let mut scenario = world(0.9, 0.9);
    // 240 cheap calls a day of 2,400 are a tenth.
    scenario.budgets = budget(240 * 1_000_000, Period::Day, Scope::Organization);
    let kept = run(&scenario, Kind::Always(0)).all();
    assert_eq!((kept.calls, kept.refused), (240, 1_760), "2,000 calls are less than a day");
    let free = Policy { keeps_budgets: false, ..policy(Kind::Always(0)) };
    assert_eq!(play(&scenario, &free, 3).unwrap().all().refused, 0);
    scenario.budgets = budget(2_500_000, Period::PerGoal, Scope::Goal);
    scenario.arrivals = 500;
    let steps = vec![("one".to_owned(), 0)];
    scenario.workflows = vec![Workflow { id: "fix".to_owned(), share: 1.0, steps, attempts: 100, falls_back: false }];
    scenario.tasks[0].candidates[0].success = 0.9;
    let stopped = run(&scenario, Kind::Always(0)).all();
    // Two calls fit a goal's budget, so a goal given up has failed twice and been tried again once.
    assert_eq!((stopped.refused, stopped.accepted + stopped.given_up), (stopped.given_up, 500));
    assert_eq!(stopped.calls - stopped.successes - stopped.retries, stopped.given_up);
    assert!((1..17).contains(&stopped.given_up), "5 are expected: {}", stopped.given_up);
    // What is left of the budget is worth less than a retry that succeeds half of the time: the daemon learns to stop.
    scenario.tasks[0].candidates[0].success = 0.5;
    let advised = run(&scenario, Kind::Always(0)).all();
    assert!(advised.retries < 50 && (advised.given_up as f64 - 250.0).abs() < 60.0, "{advised:?}");
}

#[test]
fn traffic_is_split_by_share() {
    let mut scenario = world(0.5, 0.9);
    let other = TaskWorld { id: Arc::from("other"), share: 3.0, ..scenario.tasks[0].clone() };
    scenario.tasks.push(other);
    let taken = run(&scenario, Kind::Cheapest).all().taken;
    assert_eq!((taken[0] + taken[2], taken[1] + taken[3]), (2_000, 0));
    assert!((taken[2] as f64 - 1_500.0).abs() < 97.0, "{taken:?}");
}

/// Three tenths of the calls are hard: there the cheap model is good for a fifth of its calls, the dear one for two thirds.
fn hard_cases() -> Scenario {
    let mut scenario = world(0.9, 0.95);
    scenario.tasks[0].cases = vec![Case {
        share: 0.3,
        success: vec![Some(0.2), Some(0.66)],
        pinned: None,
        features: [("difficulty".to_owned(), 0.8)].into(),
        labels: Default::default(),
    }];
    scenario
}

#[test]
fn cases_have_chances_of_their_own_and_what_happens_changes_them_too() {
    let mut scenario = hard_cases();
    let cheap = run(&scenario, Kind::Always(0)).all();
    // 0.7 · 0.9 + 0.3 · 0.2 = 0.69, three standard errors of 2,000 draws; what the dear one would add is 0.7 · 0.05 + 0.3 · 0.46.
    assert!((cheap.success_rate().unwrap() - 0.69).abs() < 0.031, "{:?}", cheap.success_rate());
    assert!((cheap.regret / 2_000.0 - 0.173).abs() < 0.014, "{}", cheap.regret);
    assert_eq!(cheap.to_best, 0);
    let oracle = run(&scenario, Kind::Oracle).all();
    assert_eq!((oracle.regret, oracle.to_best), (0.0, 2_000));
    scenario.events = vec![Happening { at: 0, model: 0, task: None, what: What::Success(Some(0.45)) }];
    let halved = run(&scenario, Kind::Always(0)).all();
    assert!((halved.success_rate().unwrap() - 0.345).abs() < 0.032, "{:?}", halved.success_rate());
}

#[test]
fn a_router_told_of_hard_cases_gives_each_kind_to_the_model_that_does_it() {
    let mut scenario = hard_cases();
    (scenario.tasks[0].candidates[0].success, scenario.tasks[0].candidates[1].success) = (0.95, 0.85);
    let mut settings = scenario.tasks[0].settings.clone();
    let blind = run(&scenario, Kind::Router(vec![settings.clone()])).all();
    let edges = vec![0.5];
    settings.strata = Arc::new(Strata::new(vec![Feature::Number { name: "difficulty".to_owned(), edges }]).unwrap());
    let told = run(&scenario, Kind::Router(vec![settings.clone()])).all();
    // 0.7 · 0.85 + 0.3 · 0.66 = 0.793 with the dear model alone, 0.863 with each where it is the better one.
    assert!(told.success_rate().unwrap() > blind.success_rate().unwrap() + 0.02, "{told:?} {blind:?}");
    assert!(told.regret < 0.5 * blind.regret, "{told:?} {blind:?}");
    // Through the whole engine it learns the same.
    settings.max_cost = Some(NanoUsd(1_000_000_000));
    let ledger = run(&scenario, Kind::Router(vec![settings])).all();
    assert!(ledger.regret < 0.5 * blind.regret, "{ledger:?} {blind:?}");
}

#[test]
fn hard_cases_pinned_to_the_better_model_mislead_only_who_calls_them_exchangeable() {
    let mut scenario = hard_cases();
    (scenario.arrivals, scenario.tasks[0].settings.tolerance) = (6_000, 0.0);
    scenario.tasks[0].cases[0].pinned = Some((1, 0.95));
    let apart = routed(&scenario);
    let on_best = |run: &Run| run.last_fifth().to_best as f64 / run.last_fifth().calls as f64;
    assert!((apart.all().calls as f64 - 0.715 * 6_000.0).abs() < 105.0, "pinned calls are not the policy's");
    assert!(on_best(&apart) > 0.9, "{}", on_best(&apart));
    assert!(apart.ledger_nano.unwrap() > u128::from(apart.all().cost_nano), "they are in the ledger");
    scenario.tasks[0].settings.pins = Pins::Exchangeable;
    let mixed = routed(&scenario);
    assert!(on_best(&mixed) < 0.2, "{}", on_best(&mixed));
}

#[test]
fn what_a_failed_step_falls_back_to_is_called_and_teaches_nothing() {
    let mut scenario = hard_cases();
    scenario.arrivals = 3_000;
    scenario.tasks[0].settings.tolerance = 0.0;
    let steps = vec![("one".to_owned(), 0)];
    scenario.workflows = vec![Workflow { id: "fix".to_owned(), share: 1.0, steps, attempts: 2, falls_back: true }];
    let run = routed(&scenario);
    let last = run.last_fifth();
    // The dear model is chosen; the seventh part that fails goes to the cheap one.
    assert!(last.taken[1] > 550 && last.taken[0] > 40, "{:?}", last.taken);
    assert!(last.taken[0] as f64 >= last.retries as f64 * 0.9, "{last:?}");
    assert_eq!(run.ledger_nano, Some(u128::from(run.all().cost_nano)), "fallbacks are calls of the ledger");
}

/// A tenth is held out on the dear model; a tenth is served after a day, everything after two; looked at twice a day.
fn rolled_out(cheap: f64) -> Scenario {
    let hours = |hours: i64| hours * HOUR_MS;
    let plan = Plan {
        held_out: 1,
        share: 0.2,
        look_every_ms: hours(12),
        lookback_ms: hours(24),
        roll_back_points: 1.0,
        stages: vec![(hours(24), 0.1), (hours(48), 1.0)],
    };
    let mut scenario = Scenario { rollout: Some(plan), arrivals: 12_000, ..world(cheap, 0.95) };
    scenario.tasks[0].settings.tolerance = 0.05;
    scenario
}

#[test]
fn a_rollout_serves_by_its_stages_and_is_taken_back_by_its_rule_only() {
    let steady = rolled_out(0.95);
    let run = play(&steady, &router(&steady), 0).unwrap();
    assert_eq!(run.rolled_back.as_deref(), Some(&[][..]), "nothing got worse");
    let cheap = |from: usize, until: usize| Bin::sum(&run.bins[from..until]).taken[0];
    // 240 calls a bin: the first ten are the first day, the next ten the second.
    assert_eq!(cheap(0, 10), 0, "it only observes");
    assert!((1..=240).contains(&cheap(10, 20)), "a tenth of what is not held out at most: {}", cheap(10, 20));
    assert!(cheap(30, 50) > 1_200, "much of what is served: {}", cheap(30, 50));
    // The cheap model gets worse at hour 60, and what comes of calls is told three days late.
    let falls = Happening { at: 6_000, model: 0, task: None, what: What::Success(Some(0.7)) };
    let late =
        Telling { delay: Delay { mean_ms: 72.0 * HOUR_MS as f64, shape: DelayShape::Fixed }, ..Telling::default() };
    let feedback = Feedback { usual: late, reporters: Vec::new() };
    let step = vec![("step".to_owned(), 0)];
    let flow = Workflow { id: "flow".to_owned(), share: 1.0, steps: step, attempts: 1, falls_back: false };
    let worse = Scenario { events: vec![falls], feedback, workflows: vec![flow], ..rolled_out(0.95) };
    let run = play(&worse, &router(&worse), 0).unwrap();
    let hours = run.rolled_back.unwrap();
    assert!(hours.len() == 1 && (60.0..=96.1).contains(&hours[0]), "{hours:?}");
    let after = Bin::sum(&run.bins[(hours[0] / 2.4) as usize + 1..]);
    assert_eq!(after.taken[0], 0, "nothing is served any more");
    let free = Policy { keeps_rollout: false, ..router(&worse) };
    assert_eq!(play(&worse, &free, 0).unwrap().rolled_back, None);
}
