//! A provider's model gets worse and recovers, on a real engine: what is found, told and forgotten.

use crate::domain::catalog::{Reward, TaskSettings};
use crate::domain::drift::Change;
use crate::domain::event::Body;
use crate::domain::history::Memory;
use crate::domain::names::NameKind;
use crate::domain::outcome::{OutcomeOf, OutcomeReport, QualityMicro};
use crate::domain::time::{DAY_MS, MINUTE_MS};
use crate::insights::SignalKind;
use crate::insights::tests_support::{GPT_4O, MINI, NOON, TURBO, World, asks, came_to};

/// Decides and tells `calls` calls of `tickets`, half a minute apart; of every 100 calls of each model so many succeed,
/// evenly spread. Returns how many calls each model got, and the changes found.
fn traffic(world: &mut World, calls: u64, success_of_100: [(&str, u64); 3]) -> (Vec<u64>, Vec<Change>) {
    let mut served = vec![0; 3];
    let mut found = Vec::new();
    for _ in 0..calls {
        world.now = world.now.plus_ms(MINUTE_MS / 2);
        let decision = world.decide(&asks("tickets"));
        let name = world.engine.state.names.text(NameKind::Candidate, decision.candidate).to_string();
        let of = success_of_100.iter().position(|(model, _)| *model == name).unwrap();
        let rate = success_of_100[of].1;
        let nth: u64 = served[of];
        let success = (nth + 1) * rate / 100 > nth * rate / 100;
        served[of] += 1;
        world.record(&came_to(OutcomeOf::Decision(decision), success, 1_000_000));
        loop {
            let events = world.engine.looks(world.now);
            world.apply(&events);
            found.extend(events.iter().filter_map(|e| match &e.body {
                Body::ChangeFound(change) => Some((**change).clone()),
                _ => None,
            }));
            if events.is_empty() {
                break;
            }
        }
    }
    (served, found)
}

const BEST_4O: [(&str, u64); 3] = [(GPT_4O, 96), (MINI, 85), (TURBO, 80)];
const WORST_4O: [(&str, u64); 3] = [(GPT_4O, 60), (MINI, 85), (TURBO, 80)];

#[test]
fn a_model_that_gets_worse_is_found_told_and_left() {
    let mut world = World::new();
    let (served, found) = traffic(&mut world, 1_000, BEST_4O);
    assert!(served[0] > 800 && found.is_empty(), "{served:?} {found:?}");
    let changed_at = world.now;
    let (served, found) = traffic(&mut world, 400, WORST_4O);
    let [change] = &found[..] else { panic!("one change: {found:?}") };
    assert!(change.fell() && change.strength >= 1.0);
    assert!((change.around.0 - changed_at.0).abs() < 60 * MINUTE_MS, "{} {}", change.around.0, changed_at.0);
    assert!(served[1] > 250, "the traffic moves: {served:?}");
    let task = world.task("tickets");
    let cell = world.engine.state.cell(task, change.candidate).unwrap();
    let outcomes = cell.successes + cell.failures;
    assert!(outcomes < 100 && cell.evidence_from == change.keep_from, "its evidence began anew: {outcomes}");
    assert_eq!(cell.history.total().outcomes(), outcomes);
    let report = world.last_hours(6);
    let told = report.signals.iter().find(|s| s.kind == SignalKind::Drift).unwrap();
    assert_eq!(told.subject, GPT_4O);
    let (before, after) = change.rates();
    let start = format!(
        "{GPT_4O} on tickets fell from {:.1} % of {} calls to {:.1} % of {} around 2026-",
        before * 100.0,
        change.before.1,
        after * 100.0,
        change.after.1
    );
    assert!(told.sentence.starts_with(&start), "{}", told.sentence);
    assert!(told.sentence.contains(&format!("traffic has moved to {MINI} (")), "{}", told.sentence);
    world.now = NOON.plus_ms(3 * DAY_MS);
    assert!(world.last_hours(1).signals.iter().all(|s| s.kind != SignalKind::Drift), "it is not news any more");
}

/// Tells a success of that quality for `calls` decisions; the changes found.
fn graded(world: &mut World, calls: u64, quality_micro: u32) -> Vec<Change> {
    let mut found = Vec::new();
    for _ in 0..calls {
        world.now = world.now.plus_ms(MINUTE_MS / 2);
        let decision = world.decide(&asks("tickets"));
        let report = came_to(OutcomeOf::Decision(decision), true, 1_000_000);
        world.record(&OutcomeReport { quality: Some(QualityMicro(quality_micro)), ..report });
        let events = world.engine.looks(world.now);
        world.apply(&events);
        found.extend(events.into_iter().filter_map(|e| match e.body {
            Body::ChangeFound(change) => Some(*change),
            _ => None,
        }));
    }
    found
}

#[test]
fn a_fall_in_quality_alone_is_told_as_one() {
    let mut world = World::with(TaskSettings { reward: Reward::Quality, ..TaskSettings::default() });
    assert!(graded(&mut world, 400, 900_000).is_empty());
    let found = graded(&mut world, 300, 200_000);
    let change = found.first().unwrap();
    assert_eq!(change.rates(), (1.0, 1.0), "every call succeeded");
    assert!(change.fell() && change.rewards().0 > 0.85 && change.rewards().1 < 0.4, "{change:?}");
    let report = world.last_hours(6);
    let told: Vec<&str> =
        report.signals.iter().filter(|s| s.kind == SignalKind::Drift).map(|s| s.sentence.as_str()).collect();
    assert!(told.iter().any(|s| s.contains(" on tickets fell in mean quality from 0.")), "{told:?}");
}

#[test]
fn recovery_is_noticed_by_the_floor() {
    let mut world = World::with(TaskSettings { exploration_floor: 0.1, ..TaskSettings::default() });
    traffic(&mut world, 1_000, BEST_4O);
    traffic(&mut world, 600, WORST_4O);
    let (served, _) = traffic(&mut world, 3_000, BEST_4O);
    let (last, _) = traffic(&mut world, 300, BEST_4O);
    assert!(last[0] > 200, "{served:?} then {last:?}");
}

#[test]
fn without_change_detection_nothing_is_found() {
    let mut world = World::with(TaskSettings { detects_changes: false, ..TaskSettings::default() });
    traffic(&mut world, 1_000, BEST_4O);
    assert!(traffic(&mut world, 400, WORST_4O).1.is_empty());
}

#[test]
fn a_weekend_without_calls_widens_a_half_life_posterior_and_no_other() {
    for (half_life_ms, share) in [(0, 1.0), (DAY_MS, 0.25)] {
        let memory = Memory { half_life_ms, ..Memory::default() };
        let mut world = World::with(TaskSettings { memory, ..TaskSettings::default() });
        traffic(&mut world, 300, BEST_4O);
        let evidence = |world: &mut World| {
            world.now = world.now.plus_ms(1);
            let answer = world
                .engine
                .decide(&crate::domain::request::PolicyRequest { explain: true, ..asks("tickets") }, world.now);
            answer.unwrap().seats.iter().map(|s| s.posterior.alpha() + s.posterior.beta() - 2.0).sum::<f64>()
        };
        let friday = evidence(&mut world);
        world.now = world.now.plus_ms(2 * DAY_MS);
        let monday = evidence(&mut world);
        assert!((monday / friday - share).abs() < 0.01, "{friday} {monday}");
    }
}
