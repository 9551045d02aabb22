//! What the sources of outcomes told: by source, and as signals where one of them says otherwise than the rest, or sends more
//! than it may count for. All of it is of the evidence the router learns from now, whatever the window, and counts what was told,
//! not how far it is believed.

use std::collections::BTreeMap;

use super::goal_figures::rate_interval;
use super::report_goals::{Signal, SignalKind, SourceQuality};
use super::selector::Selector;
use super::sentence::{number, percent};
use super::signals::{JUMP_BY, JUMP_CALLS, JUMP_SIGMA, SAID_MAX, differ};
use crate::domain::cell::Cell;
use crate::domain::history::Told;
use crate::domain::names::{NameId, NameKind, Names};
use crate::domain::trust::{Limits, Trust};
use crate::engine::Engine;

/// What each source told of the cells that the filters on task type and model let through, by name; none where nobody ever named one.
pub(super) fn by_source(engine: &Engine, selector: &Selector) -> Vec<SourceQuality> {
    let mut sums: BTreeMap<NameId, Told> = BTreeMap::new();
    for (_, _, cell) in cells(engine, selector) {
        for (source, told) in shares(cell) {
            sums.entry(source).or_default().change(&told, true);
        }
    }
    if sums.keys().all(|source| *source == NameId::NONE) {
        return Vec::new();
    }
    let row = |(source, told): (NameId, Told)| SourceQuality {
        source: engine.state.names.text(NameKind::Source, source).to_owned(),
        outcomes: told.outcomes(),
        success_rate: rate(&told),
        success_rate_interval: rate_interval(told.successes as i64, told.failures as i64),
    };
    let mut rows: Vec<SourceQuality> = sums.into_iter().filter(|s| s.1.outcomes() > 0).map(row).collect();
    rows.sort_by(|a, b| a.source.cmp(&b.source));
    rows
}

/// For each cell the source that differs most from the others, where chance does not explain it, the surest first; then sources held at
/// their share, the most flooding first.
pub(super) fn signals(engine: &Engine, selector: &Selector) -> Vec<Signal> {
    let (mut differing, mut held) = (Vec::new(), Vec::new());
    for (task, candidate, cell) in cells(engine, selector) {
        let names = &engine.state.names;
        let place = format!("{} on {}", names.text(NameKind::Candidate, candidate), names.text(NameKind::Task, task));
        let trust = engine.trust(task);
        differing.extend(most_differing(names, &place, cell, &trust));
        held.extend(held_back(names, &place, cell, &trust));
    }
    let ordered = |mut all: Vec<(f64, Signal)>| {
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.sentence.cmp(&b.1.sentence)));
        all.into_iter().take(SAID_MAX).map(|(_, signal)| signal)
    };
    ordered(differing).chain(ordered(held)).collect()
}

fn cells<'e>(engine: &'e Engine, selector: &'e Selector) -> impl Iterator<Item = (NameId, NameId, &'e Cell)> {
    let all = engine.state.tasks.iter().flat_map(|(task, of)| of.cells.iter().map(|(id, cell)| (*task, *id, cell)));
    all.filter(|(task, candidate, _)| selector.has(*task, *candidate))
}

/// What each source told of a cell, rising by source; what none named is the first.
fn shares(cell: &Cell) -> Vec<(NameId, Told)> {
    let total = cell.history.total();
    let mut rest = total.told();
    total.sources.iter().for_each(|(_, told)| rest.change(told, false));
    [(NameId::NONE, rest)].into_iter().chain(total.sources).collect()
}

/// Of two sources that differ only from each other, the one that is believed less is named, else the one that told less.
fn most_differing(names: &Names, place: &str, cell: &Cell, trust: &Trust) -> Option<(f64, Signal)> {
    let all = cell.history.total().told();
    let found = shares(cell).into_iter().filter_map(|(source, told)| {
        let mut others = all;
        others.change(&told, false);
        let [own, rest] = [&told, &others].map(|t| (t.successes as i64, t.outcomes() as i64));
        let sigmas = differ(own, rest).filter(|_| own.1 >= JUMP_CALLS && rest.1 >= JUMP_CALLS)?;
        let by = (rate(&told) - rate(&others)).abs();
        (by >= JUMP_BY && sigmas >= JUMP_SIGMA).then_some((sigmas, source, told, others))
    });
    let believed = |source: NameId| {
        let limits = trust.limits(source);
        (limits.max_share_micro, limits.weight_micro)
    };
    let (sigmas, source, told, others) = found.min_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then_with(|| believed(a.1).cmp(&believed(b.1)))
            .then_with(|| a.2.outcomes().cmp(&b.2.outcomes()))
    })?;
    let subject = name_of(names, source);
    let sentence = format!(
        "{subject} tells {} success in {} outcomes of {place}, all others {} in {}. Recommended: see whether {subject} \
         judges the same work; until then limit it with `max_share` (sources of the task type).",
        percent(rate(&told)),
        number(told.outcomes() as f64),
        percent(rate(&others)),
        number(others.outcomes() as f64),
    );
    Some((sigmas, Signal { kind: SignalKind::SourceDiffers, subject, sentence }))
}

/// Limited sources that told a larger part of a cell than they may count for.
fn held_back(names: &Names, place: &str, cell: &Cell, trust: &Trust) -> Vec<(f64, Signal)> {
    let total = cell.history.total();
    let (all, told) = (total.told(), total.by_group(trust));
    if all.outcomes() < JUMP_CALLS as u64 {
        return Vec::new();
    }
    let said = |((source, limits), told): ((Option<NameId>, Limits), Told)| {
        let share = told.outcomes() as f64 / all.outcomes() as f64;
        let most = limits.max_share();
        if share <= most {
            return None;
        }
        let mut others = all;
        others.change(&told, false);
        let subject = source.map_or_else(|| "sources not listed".to_owned(), |source| name_of(names, source));
        let rest = if others.outcomes() == 0 {
            "nobody else tells any".to_owned()
        } else {
            format!("the others tell {} in {}", percent(rate(&others)), number(others.outcomes() as f64))
        };
        let sentence = format!(
            "{subject}: {} of the outcomes of {place} ({}, {} success; {rest}), of which it counts for {} at most. \
             Recommended: see why it sends so many, or raise its `max_share` (sources of the task type).",
            percent(share),
            number(told.outcomes() as f64),
            percent(rate(&told)),
            percent(most),
        );
        Some((share - most, Signal { kind: SignalKind::SourceHeldBack, subject, sentence }))
    };
    trust.groups().zip(told).filter_map(said).collect()
}

fn name_of(names: &Names, source: NameId) -> String {
    match names.text(NameKind::Source, source) {
        "" => "the unnamed source".to_owned(),
        name => name.to_owned(),
    }
}

/// Successes ÷ outcomes; 0 without one.
fn rate(told: &Told) -> f64 {
    told.successes as f64 / told.outcomes().max(1) as f64
}
