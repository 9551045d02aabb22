//! Adds the parts of all cells up: by factor, by step, by model, and by factor and place. Each cell is rounded once, so
//! every one of these tables sums to the same change. It writes no text.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cells::{Calls, Pair, Pairs, STEP_MIX};
use super::lmdi::{FACTORS, apportion};
use super::{CallKind, Contribution, Driver, Factor, Part, Split, Unit};
use crate::domain::money::div_half_even;

/// Factors of the spend, in the order of a pair's.
const OF_SPEND: [Factor; FACTORS] =
    [Factor::Traffic, Factor::StepMix, Factor::Retries, Factor::ModelMix, Factor::Usage, Factor::Price];

/// Factors of the cost per accepted goal, in the same order.
const OF_GOAL: [Factor; FACTORS] =
    [Factor::Failures, Factor::StepMix, Factor::Retries, Factor::ModelMix, Factor::Usage, Factor::Price];

/// A pair and its parts in nano-USD.
type Row<'a> = (&'a Pair, Vec<i128>);

/// The split of the change of all known cost.
pub(super) fn of_spend(pairs: &Pairs) -> Split {
    let rows = pairs.cells.iter().map(|pair| {
        let change = signed(pair.after.cost) - signed(pair.before.cost);
        (pair, apportion(change, &pair.contributions(pairs, (1.0, 1.0), 0)))
    });
    let amounts = (signed(pairs.before.cost), signed(pairs.after.cost));
    split(pairs, amounts, &OF_SPEND, &rows.collect::<Vec<_>>())
}

/// The split of the change of the cost per accepted goal; `None` if a window accepted none.
///
/// The quotients of the windows are rounded first; what the cells are rounded to sums to their difference. A cell whose
/// window had no traffic at all counts as a new or vanished step: failures explain no cost where nothing was called.
pub(super) fn per_accepted_goal(pairs: &Pairs) -> Option<Split> {
    let (before, after) = (pairs.before.accepted_goals, pairs.after.accepted_goals);
    if before == 0 || after == 0 {
        return None;
    }
    let amounts = (
        signed(div_half_even(pairs.before.cost, before.into())),
        signed(div_half_even(pairs.after.cost, after.into())),
    );
    let per = (before as f64, after as f64);
    let change = |pair: &Pair| pair.after.cost as f64 / per.1 - pair.before.cost as f64 / per.0;
    let changes = apportion(amounts.1 - amounts.0, &pairs.cells.iter().map(change).collect::<Vec<_>>());
    let parts = |pair: &Pair, change| apportion(change, &pair.contributions(pairs, per, STEP_MIX));
    let rows = pairs.cells.iter().zip(changes).map(|(pair, change)| (pair, parts(pair, change)));
    Some(split(pairs, amounts, &OF_GOAL, &rows.collect::<Vec<_>>()))
}

fn signed(amount: u128) -> i128 {
    i128::try_from(amount).unwrap_or(i128::MAX)
}

fn split(pairs: &Pairs, (before, after): (i128, i128), factors: &[Factor; FACTORS], rows: &[Row<'_>]) -> Split {
    let change = after - before;
    let share = |amount: i128| (change != 0).then(|| amount as f64 / change as f64);
    let part = |(i, factor): (usize, &Factor)| {
        let amount = rows.iter().map(|(_, parts)| parts[i]).sum();
        Part { factor: *factor, amount_nano_usd: amount, share: share(amount) }
    };
    let table = |key: fn(&Pair) -> (CallKind, Arc<str>)| {
        let mut sums: BTreeMap<_, i128> = BTreeMap::new();
        for (pair, parts) in rows {
            *sums.entry(key(pair)).or_default() += parts.iter().sum::<i128>();
        }
        let row = |((kind, name), amount)| Contribution { name, kind, amount_nano_usd: amount, share: share(amount) };
        let mut rows: Vec<Contribution> = sums.into_iter().map(row).collect();
        rows.sort_by_key(|row| Reverse(towards(change, row.amount_nano_usd)));
        rows
    };
    Split {
        before_nano_usd: before,
        after_nano_usd: after,
        change_nano_usd: change,
        parts: factors.iter().enumerate().map(part).collect(),
        by_step: table(|pair| pair.step.clone()),
        by_model: table(|pair| match pair.step.0 {
            CallKind::Model => (CallKind::Model, Arc::clone(&pair.model)),
            CallKind::Tool => (CallKind::Tool, Arc::from("")),
        }),
        drivers: drivers(pairs, change, factors, rows),
        answer: String::new(),
    }
}

/// How far an amount goes in the direction of the change; its size where there is none.
pub(super) fn towards(change: i128, amount: i128) -> i128 {
    if change == 0 { amount.abs() } else { amount * change.signum() }
}

/// Where a factor acts: kind, step and model, as far as they matter to it.
type Place = (Option<CallKind>, Arc<str>, Arc<str>);

fn place(factor: Factor, pair: &Pair) -> Place {
    let none: Arc<str> = Arc::from("");
    let (kind, step) = &pair.step;
    match (factor, kind) {
        (Factor::Traffic | Factor::Failures, _) => (None, Arc::clone(&none), none),
        (Factor::StepMix | Factor::Retries | Factor::ModelMix, _) => (Some(*kind), Arc::clone(step), none),
        (Factor::Price, CallKind::Model) => (Some(*kind), none, Arc::clone(&pair.model)),
        (Factor::Usage | Factor::Price, _) => (Some(*kind), Arc::clone(step), Arc::clone(&pair.model)),
    }
}

fn drivers(pairs: &Pairs, change: i128, factors: &[Factor; FACTORS], rows: &[Row<'_>]) -> Vec<Driver> {
    let mut places: BTreeMap<(Factor, Place), Vec<(&Pair, i128)>> = BTreeMap::new();
    for (pair, parts) in rows {
        for (factor, amount) in factors.iter().zip(parts) {
            places.entry((*factor, place(*factor, pair))).or_default().push((pair, *amount));
        }
    }
    let driver = |((factor, (kind, step, model)), cells): ((Factor, Place), Vec<(&Pair, i128)>)| {
        let amount: i128 = cells.iter().map(|(_, amount)| *amount).sum();
        let mover = cells.iter().max_by_key(|(pair, part)| (towards(amount, *part), Reverse(&pair.model)));
        let moved = mover.filter(|_| factor == Factor::ModelMix).map(|(pair, _)| Arc::clone(&pair.model));
        let model = moved.unwrap_or(model);
        let cells: Vec<&Pair> = cells.into_iter().map(|(pair, _)| pair).collect();
        let (before, after) = measures(pairs, factor, &cells, &model);
        let unit = unit(pairs, factor, &cells);
        Driver { factor, kind, step, model, amount_nano_usd: amount, unit, before, after }
    };
    let mut drivers: Vec<Driver> = places.into_iter().map(driver).filter(|d| d.amount_nano_usd != 0).collect();
    drivers.sort_by_key(|driver| Reverse(towards(change, driver.amount_nano_usd)));
    drivers
}

/// A factor at its place in both windows, as [`Driver::before`] says.
fn measures(pairs: &Pairs, factor: Factor, cells: &[&Pair], model: &Arc<str>) -> (Option<f64>, Option<f64>) {
    let both =
        |field: fn(&Calls) -> f64| cells.iter().map(|pair| field(&pair.before) + field(&pair.after)).sum::<f64>();
    let alike = cells.windows(2).all(|two| two[0].listed == two[1].listed && two[0].by_calls == two[1].by_calls);
    let usage_per_unit = ratio(both(|c| c.usage as f64), both(|c| c.units as f64)).filter(|_| alike);
    let side = |earlier: bool| {
        let window = if earlier { &pairs.before } else { &pairs.after };
        let calls = |pair: &&Pair| if earlier { pair.before } else { pair.after };
        let sum = |field: fn(&Calls) -> f64| cells.iter().map(|pair| field(&calls(pair))).sum::<f64>();
        let steps: BTreeSet<_> = cells.iter().map(|pair| &pair.step).collect();
        let first = steps.iter().filter_map(|step| window.steps.get(*step)).map(|c| c.first_attempts() as f64).sum();
        let served = cells.iter().filter(|pair| pair.model == *model).map(|pair| calls(pair).calls as f64).sum();
        match factor {
            Factor::Traffic => Some(window.traffic as f64),
            Factor::Failures => ratio(window.traffic as f64, window.accepted_goals as f64),
            Factor::StepMix => ratio(first, window.traffic as f64),
            Factor::Retries => ratio(sum(|c| c.retries as f64), sum(|c| c.calls as f64)),
            Factor::ModelMix => ratio(served, sum(|c| c.calls as f64)),
            Factor::Usage => ratio(sum(|c| c.units as f64), sum(|c| c.calls as f64)),
            Factor::Price => {
                ratio(sum(|c| c.cost as f64), sum(|c| c.usage as f64)).zip(usage_per_unit).map(|(p, u)| p * u)
            }
        }
    };
    (side(true), side(false))
}

/// What they are measured in.
fn unit(pairs: &Pairs, factor: Factor, cells: &[&Pair]) -> Unit {
    let of_first_attempts = pairs.before.of_first_attempts || pairs.after.of_first_attempts;
    let by_calls = cells.iter().all(|pair| pair.by_calls);
    match factor {
        Factor::Traffic if of_first_attempts => Unit::FirstAttempts,
        Factor::Traffic => Unit::Goals,
        Factor::Failures => Unit::GoalsPerAccepted,
        Factor::StepMix if of_first_attempts => Unit::ShareOfFirstAttempts,
        Factor::StepMix => Unit::TimesPerGoal,
        Factor::Retries | Factor::ModelMix => Unit::ShareOfCalls,
        Factor::Usage if by_calls => Unit::UnitsPerCall,
        Factor::Usage => Unit::TokensPerCall,
        Factor::Price if by_calls => Unit::NanoUsdPerCall,
        Factor::Price => Unit::NanoUsdPerToken,
    }
}

fn ratio(part: f64, of: f64) -> Option<f64> {
    (of > 0.0).then(|| part / of)
}
