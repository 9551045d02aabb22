//! Sources of outcomes on a real engine: who says otherwise than the others and who sends too much is named, with both rates and counts.

use std::sync::Arc;

use crate::domain::catalog::{Pins, TaskSettings};
use crate::domain::outcome::OutcomeReport;
use crate::domain::trust::{Limits, Sources};
use crate::insights::tests_support::{GPT_4O, MINI, World, came_to, elsewhere};
use crate::insights::{Query, SignalKind};

/// A world in which outcomes of models that callers chose teach, and `hostile` is held at a tenth.
fn world() -> World {
    let declared = vec![("hostile".to_owned(), Limits { max_share_micro: 100_000, ..Limits::default() })];
    let sources = Arc::new(Sources { declared, others: Limits::default() });
    World::with(TaskSettings { pins: Pins::Exchangeable, sources, ..TaskSettings::default() })
}

fn tell(world: &mut World, model: &str, source: &str, won: u32, lost: u32) {
    for n in 0..won + lost {
        let outcome = came_to(elsewhere("tickets", model), n < won, 1_000_000);
        world.record(&OutcomeReport { source: source.to_owned(), ..outcome });
    }
}

fn said(world: &World, kind: SignalKind) -> Vec<String> {
    let signals = world.last_hours(1).signals.into_iter().filter(|s| s.kind == kind);
    signals.map(|s| format!("[{}] {}", s.subject, s.sentence)).collect()
}

#[test]
fn a_source_that_says_otherwise_is_named_with_both_rates_and_counts() {
    let mut world = world();
    tell(&mut world, GPT_4O, "ci", 72, 8);
    tell(&mut world, GPT_4O, "judge", 37, 3);
    tell(&mut world, GPT_4O, "hostile", 4, 76);
    let expected = format!(
        "[hostile] hostile tells 5.0 % success in 80 outcomes of {GPT_4O} on tickets, all others 90.8 % in 120. Recommended: \
         see whether hostile judges the same work; until then limit it with `max_share` (sources of the task type)."
    );
    assert_eq!(said(&world, SignalKind::SourceDiffers), [expected]);
    let expected = format!(
        "[hostile] hostile: 40.0 % of the outcomes of {GPT_4O} on tickets (80, 5.0 % success; the others tell 90.8 % in 120), of \
         which it counts for 10.0 % at most. Recommended: see why it sends so many, or raise its `max_share` (sources of the \
         task type)."
    );
    assert_eq!(said(&world, SignalKind::SourceHeldBack), [expected]);
}

#[test]
fn of_two_that_differ_the_one_believed_less_is_named_and_chance_and_few_are_no_signal() {
    let mut two = world();
    tell(&mut two, GPT_4O, "", 40, 0);
    tell(&mut two, GPT_4O, "hostile", 0, 90);
    assert!(
        said(&two, SignalKind::SourceDiffers)[0].starts_with("[hostile] hostile tells 0.0 % success in 90 outcomes")
    );
    let mut few = world();
    tell(&mut few, GPT_4O, "ci", 100, 0);
    tell(&mut few, GPT_4O, "judge", 0, 29);
    assert!(said(&few, SignalKind::SourceDiffers).is_empty(), "29 are too few");
    let mut alike = world();
    tell(&mut alike, GPT_4O, "ci", 90, 10);
    tell(&mut alike, GPT_4O, "judge", 50, 10);
    assert!(said(&alike, SignalKind::SourceDiffers).is_empty(), "90 % of 100 and 83 % of 60");
    tell(&mut alike, MINI, "hostile", 29, 0);
    assert!(said(&alike, SignalKind::SourceHeldBack).is_empty());
    tell(&mut alike, MINI, "hostile", 1, 0);
    assert!(said(&alike, SignalKind::SourceHeldBack)[0].contains("nobody else tells any"));
}

#[test]
fn the_quality_of_the_record_tells_what_each_source_told() {
    let mut world = world();
    tell(&mut world, GPT_4O, "", 9, 1);
    assert!(world.last_hours(1).quality.sources.is_empty(), "nobody named a source");
    tell(&mut world, GPT_4O, "hostile", 0, 20);
    tell(&mut world, MINI, "hostile", 5, 0);
    let rows = |query: &Query| {
        let sources = world.report(query).quality.sources;
        sources.into_iter().map(|s| (s.source, s.outcomes, s.success_rate)).collect::<Vec<_>>()
    };
    let mut query = crate::insights::tests_support::hours_back(1);
    assert_eq!(rows(&query), [(String::new(), 10, 0.9), ("hostile".to_owned(), 25, 0.2)]);
    query.filters.model = Some(MINI.to_owned());
    assert_eq!(rows(&query), [("hostile".to_owned(), 5, 1.0)]);
}
