//! What was paid for nothing, and what each tool and step yields for its price. Functions of sums; they gather nothing.

use std::collections::{BTreeMap, HashMap};

use super::headline;
use super::report_goals::{Efficiency, Waste};
use super::selector::model_of;
use super::sums::{count, money, ratio};
use crate::domain::interval::success_rate_interval;
use crate::domain::names::{NameId, NameKind, Names};
use crate::domain::rollup::{RollupKey, Tally};

/// What was paid for nothing.
pub(super) fn waste(tally: &Tally) -> Waste {
    let contributing = tally.cost - tally.failed_cost - tally.evaluation_cost;
    let over = |part: i128, whole: i128| (whole > 0).then(|| part as f64 / whole as f64);
    Waste {
        retry_waste_ratio: over(tally.failed_cost, tally.cost),
        retry_waste_ratio_by_count: ratio(tally.failures, tally.calls),
        loaded_multiplier: over(tally.cost, contributing),
    }
}

/// Calls by tool; those of no tool are left out.
pub(super) fn by_tool<'a>(names: &'a Names, by_key: &HashMap<RollupKey, Tally>) -> BTreeMap<&'a str, Tally> {
    named(by_key, |key| Some(names.text(NameKind::Tool, key.tool)).filter(|name| !name.is_empty()))
}

/// Calls by step; where no step was named, by task type, else by tool.
pub(super) fn by_step<'a>(names: &'a Names, by_key: &HashMap<RollupKey, Tally>) -> BTreeMap<&'a str, Tally> {
    named(by_key, |key| Some(step_of(names, key)))
}

/// Calls by model, variants together; those of no model are left out.
pub(super) fn by_model<'a>(names: &'a Names, by_key: &HashMap<RollupKey, Tally>) -> BTreeMap<&'a str, Tally> {
    let model = |key: &RollupKey| model_of(names.text(NameKind::Candidate, key.candidate));
    named(by_key, |key| Some(model(key)).filter(|name| !name.is_empty()))
}

/// Name of the step of these calls (definitions 2).
pub(super) fn step_of<'a>(names: &'a Names, key: &RollupKey) -> &'a str {
    match (key.step, key.task) {
        (NameId::NONE, NameId::NONE) => names.text(NameKind::Tool, key.tool),
        (NameId::NONE, task) => names.text(NameKind::Task, task),
        (step, _) => names.text(NameKind::Step, step),
    }
}

/// Calls by a name of their key; those without one are left out.
fn named<'a>(
    by_key: &HashMap<RollupKey, Tally>,
    name: impl Fn(&RollupKey) -> Option<&'a str>,
) -> BTreeMap<&'a str, Tally> {
    let mut sums: BTreeMap<&str, Tally> = BTreeMap::new();
    for (key, tally) in by_key {
        if let Some(name) = name(key) {
            sums.entry(name).or_default().add(tally);
        }
    }
    sums
}

/// One row for each name with calls, dearest first, then by name.
pub(super) fn rows(by_name: &BTreeMap<&str, Tally>, total: &Tally) -> Vec<Efficiency> {
    let with_calls = by_name.iter().filter(|(_, tally)| tally.calls > 0);
    let mut rows: Vec<Efficiency> = with_calls.map(|(name, tally)| row(name, tally, total)).collect();
    rows.sort_by(|a, b| b.cost.cmp(&a.cost).then_with(|| a.name.cmp(&b.name)));
    rows
}

fn row(name: &str, tally: &Tally, total: &Tally) -> Efficiency {
    let verdicts = tally.successes + tally.failures;
    Efficiency {
        name: name.to_owned(),
        calls: count(tally.calls),
        completions: count(tally.successes),
        retries: count(tally.retries),
        failure_rate: ratio(tally.failures, verdicts),
        failure_rate_interval: (verdicts > 0)
            .then(|| success_rate_interval(tally.failures.max(0) as f64, tally.successes.max(0) as f64)),
        price_per_call: headline::avg_cost_per_call(tally),
        attempts_per_completion: ratio(tally.calls, tally.successes),
        effective_cost: headline::cost_per_success(tally),
        cost: money(tally.cost),
        cost_share: if total.cost > 0 { tally.cost as f64 / total.cost as f64 } else { 0.0 },
    }
}
