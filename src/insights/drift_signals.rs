//! Changes of success rates found in the window, each as a sentence: what fell or rose, when, and where the traffic is now.

use std::collections::BTreeMap;

use super::report::Window;
use super::report_goals::{Signal, SignalKind};
use super::selector::Selector;
use super::sentence::percent;
use crate::domain::call::Arm;
use crate::domain::drift::Change;
use crate::domain::names::{NameId, NameKind};
use crate::domain::time::UnixMillis;
use crate::engine::Engine;

/// Changes told.
const SAID_MAX: usize = 10;

/// A signal for each change found in `window`, the newest first.
pub(super) fn drifts(engine: &Engine, selector: &Selector, window: Window) -> Vec<Signal> {
    let tasks = engine.state.tasks.values().flat_map(|of| &of.changes);
    let mut found: Vec<&(UnixMillis, Change)> = tasks
        .filter(|(at, change)| *at >= window.start && *at < window.end && selector.has(change.task, change.candidate))
        .collect();
    found.sort_by_key(|(at, change)| (std::cmp::Reverse(*at), change.task, change.candidate));
    found.into_iter().take(SAID_MAX).map(|(at, change)| signal(engine, *at, change, window.end)).collect()
}

fn signal(engine: &Engine, at: UnixMillis, change: &Change, end: UnixMillis) -> Signal {
    let names = &engine.state.names;
    let task = names.text(NameKind::Task, change.task);
    let model = names.text(NameKind::Candidate, change.candidate);
    let (moved, todo) = if change.fell() {
        ("fell", "see what changed at that time, with the provider or in the prompt")
    } else {
        ("rose", "none needed: it is being tried again by its new evidence alone")
    };
    let (before, after) = change.rewards();
    let (what, share): (_, fn(f64) -> String) = match change.rewards_micro {
        Some(_) => (" in mean quality", |q| format!("{q:.3}")),
        None => ("", percent),
    };
    let sentence = format!(
        "{model} on {task} {moved}{what} from {} of {} calls to {} of {} around {}{}. Recommended: {todo}.",
        share(before),
        change.before.1,
        share(after),
        change.after.1,
        clock(change.around),
        traffic(engine, change, at, end),
    );
    Signal { kind: SignalKind::Drift, subject: model.to_string(), sentence }
}

/// Where the router's traffic of the task type went since the change was found.
fn traffic(engine: &Engine, change: &Change, at: UnixMillis, end: UnixMillis) -> String {
    let mut calls: BTreeMap<NameId, i64> = BTreeMap::new();
    engine.state.rollups.window(engine.state.rollups.edge(at), end, |key, tally| {
        if key.task == change.task && key.candidate != NameId::NONE {
            *calls.entry(key.candidate).or_default() += tally.by_arm(Arm::Router);
        }
    });
    let all: i64 = calls.values().sum();
    let Some((most, served)) = calls.into_iter().max_by_key(|(id, n)| (*n, std::cmp::Reverse(*id))) else {
        return String::new();
    };
    if all <= 0 {
        return String::new();
    }
    let share = percent(served as f64 / all as f64);
    let name = engine.state.names.text(NameKind::Candidate, most);
    match (most == change.candidate, change.fell()) {
        (false, true) => format!("; traffic has moved to {name} ({share} of the calls since)"),
        (false, false) => format!("; {name} still has {share} of the calls"),
        (true, true) => format!("; it still has {share} of the calls, for nothing better is known"),
        (true, false) => format!("; it has {share} of the calls since"),
    }
}

/// Such as `2026-11-22 14:20 UTC`.
fn clock(at: UnixMillis) -> String {
    let time = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
