//! The over-provisioning flag of a task type: is a cheaper model as good as the one that gets the traffic? Looks are
//! facts of the journal, so that a flag is never re-decided backwards.

use std::collections::BTreeMap;

use super::beta::{Beta, prob_at_least};
use super::cell::Cell;
use super::names::NameId;

/// Outcomes both sides need.
pub const MIN_OUTCOMES: u64 = 200;
/// A cheaper model costs at most this share of the incumbent's mean.
const CHEAPER_SHARE: f64 = 0.8;
/// The incumbent has at least this share of the traffic.
const INCUMBENT_SHARE: f64 = 0.2;
/// Doubt allowed over all comparisons of a task type when raising.
const RAISE_DOUBT: f64 = 0.01;
/// Below this probability a raised flag is cleared.
const CLEAR_BELOW: f64 = 0.90;

/// A raised flag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Raised {
    /// The dear model with the traffic.
    pub incumbent: NameId,
    /// The cheaper one that is as good.
    pub cheaper: NameId,
    /// P(p_cheaper ≥ p_incumbent − δ) at the last look.
    pub probability: f64,
}

/// What is remembered of a task type's flag.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlagState {
    /// The flag, while raised.
    pub raised: Option<Raised>,
    /// The smaller count of each (incumbent, cheaper) pair when it was last looked at.
    pub looked_at: BTreeMap<(NameId, NameId), u64>,
}

/// One look, as journalled.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagLook {
    /// The task type.
    pub task: NameId,
    /// Pairs looked at, with the smaller count and P(p_cheaper ≥ p_incumbent − δ).
    pub pairs: Vec<PairLook>,
    /// The flag after the look.
    pub raised: Option<Raised>,
}

/// One comparison of a look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairLook {
    /// The model with the traffic.
    pub incumbent: NameId,
    /// The cheaper one.
    pub cheaper: NameId,
    /// The smaller of the two counts of outcomes.
    pub smaller_count: u64,
    /// P(p_cheaper ≥ p_incumbent − δ).
    pub probability: f64,
}

/// Where a task type stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagStanding {
    /// A cheaper model is as good.
    Flagged,
    /// Looked at, and not shown.
    NotFlagged,
    /// At least this many more outcomes are needed.
    InsufficientData(u64),
}

/// The model with most traffic (at least a fifth of it) among `cells`, and the cheaper ones it is compared with.
#[must_use]
pub fn comparisons<'a>(
    cells: impl Iterator<Item = (NameId, &'a Cell)> + Clone,
    may_serve: impl Fn(NameId) -> bool,
) -> Comparisons<'a> {
    let total: u64 = cells.clone().map(|(_, c)| c.served).sum();
    let busiest = cells.clone().max_by_key(|(id, c)| (c.served, std::cmp::Reverse(*id)));
    let enough = |c: &Cell| c.served > 0 && c.served as f64 >= INCUMBENT_SHARE * total as f64;
    let Some((incumbent, cell)) = busiest.filter(|(_, c)| enough(c)) else { return Comparisons::default() };
    let Some(cost) = cell.mean_cost() else { return Comparisons::default() };
    let cheap = |c: &Cell| c.mean_cost().is_some_and(|m| m.0 as f64 <= CHEAPER_SHARE * cost.0 as f64);
    let cheaper = cells.filter(|(id, c)| *id != incumbent && cheap(c) && may_serve(*id));
    Comparisons { incumbent: Some((incumbent, cell)), cheaper: cheaper.collect() }
}

/// An incumbent and the cheaper models beside it.
#[derive(Clone, Debug, Default)]
pub struct Comparisons<'a> {
    /// The model with the traffic.
    pub incumbent: Option<(NameId, &'a Cell)>,
    /// Models at no more than 0.8 of its mean cost.
    pub cheaper: Vec<(NameId, &'a Cell)>,
}

fn outcomes(cell: &Cell) -> u64 {
    cell.successes + cell.failures
}

/// P(p_cheaper ≥ p_incumbent − δ) under Beta(1 + S, 1 + F) of the 0/1 counts.
#[must_use]
pub fn probability(cheaper: &Cell, incumbent: &Cell, margin: f64) -> f64 {
    let rate = |c: &Cell| Beta::new(1.0 + c.successes as f64, 1.0 + c.failures as f64).unwrap_or(Beta::UNIFORM);
    prob_at_least(rate(cheaper), rate(incumbent), margin)
}

/// Takes a look where one is due: both sides of a pair have 200 outcomes and the smaller count has grown by a
/// quarter since the last look. Raises at P ≥ 1 − 0.01/m, m the number of cheaper models; clears below 0.90.
#[must_use]
pub fn look(task: NameId, state: &FlagState, of: &Comparisons<'_>, margin: f64) -> Option<FlagLook> {
    let compared = |r: &Raised| {
        of.incumbent.is_some_and(|(id, _)| id == r.incumbent) && of.cheaper.iter().any(|(id, _)| *id == r.cheaper)
    };
    if state.raised.as_ref().is_some_and(|raised| !compared(raised)) {
        // The traffic moved, or the cheaper model left or may not serve any more: what was raised says nothing now.
        return Some(FlagLook { task, pairs: Vec::new(), raised: None });
    }
    let (incumbent, cell) = of.incumbent?;
    let due = of.cheaper.iter().filter_map(|&(cheaper, c)| {
        let smaller_count = outcomes(c).min(outcomes(cell));
        let last = state.looked_at.get(&(incumbent, cheaper)).copied().unwrap_or(0);
        let due = smaller_count >= MIN_OUTCOMES && (last == 0 || smaller_count * 4 >= last * 5 || smaller_count < last);
        due.then(|| PairLook { incumbent, cheaper, smaller_count, probability: probability(c, cell, margin) })
    });
    let pairs: Vec<PairLook> = due.collect();
    let best = pairs.iter().max_by(|a, b| a.probability.total_cmp(&b.probability))?;
    let bar = 1.0 - RAISE_DOUBT / of.cheaper.len() as f64;
    let current = state.raised.filter(|r| r.incumbent == incumbent && of.cheaper.iter().any(|c| c.0 == r.cheaper));
    let current = current.and_then(|r| match pairs.iter().find(|p| p.cheaper == r.cheaper) {
        Some(p) if p.probability < CLEAR_BELOW => None,
        Some(p) => Some(Raised { probability: p.probability, ..r }),
        None => Some(r),
    });
    let fresh =
        (best.probability >= bar).then_some(Raised { incumbent, cheaper: best.cheaper, probability: best.probability });
    let raised = current.or(fresh);
    Some(FlagLook { task, pairs, raised })
}

/// Where the task type stands, for a report; `untried`: a candidate that may serve has no cost on the record yet.
#[must_use]
pub fn standing(state: &FlagState, of: &Comparisons<'_>, untried: bool) -> FlagStanding {
    if state.raised.is_some() {
        return FlagStanding::Flagged;
    }
    let Some((incumbent, cell)) = of.incumbent else { return FlagStanding::InsufficientData(MIN_OUTCOMES) };
    if of.cheaper.is_empty() {
        return if untried { FlagStanding::InsufficientData(MIN_OUTCOMES) } else { FlagStanding::NotFlagged };
    }
    let looked = |id: NameId| state.looked_at.contains_key(&(incumbent, id));
    if of.cheaper.iter().any(|(id, _)| looked(*id)) {
        return FlagStanding::NotFlagged;
    }
    let missing = |c: &Cell| MIN_OUTCOMES.saturating_sub(outcomes(c));
    let needs = of.cheaper.iter().map(|(_, c)| missing(c).max(missing(cell))).min().unwrap_or(MIN_OUTCOMES);
    FlagStanding::InsufficientData(needs)
}
