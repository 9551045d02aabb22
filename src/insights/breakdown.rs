//! The cost of a window split by model, workflow, step and tool. Each split covers all of it: what has no such name
//! stands in a row without one.

use std::collections::{BTreeMap, HashMap};

use super::report::{CostBreakdown, CostRow};
use super::selector::model_of;
use super::sums::{count, money};
use crate::domain::names::{NameKind, Names};
use crate::domain::rollup::{RollupKey, Tally};

/// Splits the cost four ways.
pub(super) fn breakdown(names: &Names, by_key: &HashMap<RollupKey, Tally>) -> CostBreakdown {
    CostBreakdown {
        by_model: rows(by_key, |key| model_of(names.text(NameKind::Candidate, key.candidate))),
        by_workflow: rows(by_key, |key| names.text(NameKind::Workflow, key.workflow)),
        by_step: rows(by_key, |key| names.text(NameKind::Step, key.step)),
        by_tool: rows(by_key, |key| names.text(NameKind::Tool, key.tool)),
    }
}

fn rows<'a>(by_key: &HashMap<RollupKey, Tally>, name: impl Fn(&RollupKey) -> &'a str) -> Vec<CostRow> {
    let mut by_name: BTreeMap<&str, Tally> = BTreeMap::new();
    for (key, tally) in by_key {
        by_name.entry(name(key)).or_default().add(tally);
    }
    let mut rows: Vec<CostRow> = by_name.into_iter().map(|(name, tally)| row(name, &tally)).collect();
    rows.retain(|row| row.calls > 0);
    rows.sort_by(|a, b| b.cost.cmp(&a.cost).then_with(|| a.name.cmp(&b.name)));
    rows
}

fn row(name: &str, tally: &Tally) -> CostRow {
    let calls = tally.calls + tally.evaluations;
    CostRow {
        name: name.to_owned(),
        calls: count(calls),
        cost: money(tally.cost),
        unpriced_calls: count(calls - tally.costed),
    }
}
