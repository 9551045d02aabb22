//! What routing saves, and what it does to acceptance, against a random holdout. Nothing is called saved without one, nor
//! where either arm has fewer than a hundred units; everything else is an unproven estimate and says so.

use std::collections::BTreeMap;

use super::headline::avg_cost_per_call;
use super::over_provisioning::MONTH_DAYS;
use super::report::Window;
use super::report_savings::{AcceptanceStanding, ArmRow, Savings, SavingsRow, SavingsStanding, UnprovenEstimate};
use super::selector::{Fit, Selector};
use super::sums::{Sums, count, money};
use crate::domain::call::Arm;
use crate::domain::interval::{LEAST_CALLS, success_rate_interval};
use crate::domain::money::NANO_PER_USD;
use crate::domain::names::{NameId, NameKind};
use crate::domain::proof::ProofTally;
use crate::domain::rollup::Tally;
use crate::domain::series::Additive as _;
use crate::domain::time::UnixMillis;
use crate::domain::uplift::{Difference, LEAST_UNITS, Slice, Uplift, uplift};
use crate::engine::Engine;

/// The arms that are shown, in their order.
const ARMS: [Arm; 3] = [Arm::Router, Arm::Holdout, Arm::Observe];

/// What stands behind the sentence where routing costs acceptance, whatever it saves.
const LOWER: &str =
    " Acceptance is lower with routing, by its whole interval. Recommended: roll back (`serve_share = 0`).";

/// The units of one task type: of goals, or of calls without one.
#[derive(Debug, Default)]
struct Units {
    /// By arm, all together.
    arms: BTreeMap<u8, ProofTally>,
    /// By arm, goals that are open now.
    open: BTreeMap<u8, u64>,
    /// Served and held out, by start of their minute or hour.
    slices: BTreeMap<UnixMillis, Slice>,
}

/// The savings of a window of so many `days`; the flag says whether some units may belong to it that cannot be told.
pub(super) fn savings(engine: &Engine, selector: &Selector, sums: &Sums, window: Window, days: f64) -> (Savings, bool) {
    let (mut by, mut partial) = (BTreeMap::<(NameId, bool), Units>::new(), false);
    engine.state.proof_sums.window_in_order(window.start, window.end, |at, key, tally| {
        match selector.fit_goal(key.workflow, key.labels) {
            _ if !selector.has_task(key.task) => return,
            Fit::Out => return,
            Fit::Unknown => {
                partial = true;
                return;
            }
            Fit::In => {}
        }
        let units = by.entry((key.task, key.of_goals)).or_default();
        units.arms.entry(key.arm as u8).or_default().add(tally);
        let slice = units.slices.entry(at).or_default();
        match key.arm {
            Arm::Router => slice.served.add(tally),
            Arm::Holdout => slice.held_out.add(tally),
            _ => {}
        }
    });
    for (kind, task, arm, count) in engine.state.open_goals.in_arms().filter(|(_, task, ..)| selector.has_task(*task)) {
        match selector.fit_goal(kind.0, kind.1) {
            Fit::In => *by.entry((task, true)).or_default().open.entry(arm as u8).or_default() += count,
            Fit::Unknown => partial = true,
            Fit::Out => {}
        }
    }
    let mut rows: Vec<SavingsRow> =
        by.into_iter().map(|((task, of_goals), units)| row(engine, sums, task, of_goals, units, days)).collect();
    rows.sort_by(|a, b| a.task.cmp(&b.task).then(b.of_goals.cmp(&a.of_goals)));
    let is_compared = |task: &str| rows.iter().any(|row| row.task == task && row.saved_usd_per_month.is_some());
    let estimate = |(task, models): (&NameId, &BTreeMap<NameId, Tally>)| estimate(engine, *task, models, days);
    let tasks = sums.by_task.iter().filter(|(task, _)| **task != NameId::NONE);
    let mut unproven: Vec<UnprovenEstimate> =
        tasks.filter_map(estimate).filter(|estimate| !is_compared(&estimate.task)).collect();
    unproven.sort_by(|a, b| a.task.cmp(&b.task));
    let total = total(&rows);
    (Savings { rows, saved_usd_per_month: total, unproven_estimates: unproven }, partial)
}

/// The sum over all comparisons. Arms are drawn for each task type apart, so the differences are uncorrelated.
fn total(rows: &[SavingsRow]) -> Option<(f64, (f64, f64))> {
    let compared: Vec<(f64, (f64, f64))> = rows.iter().filter_map(|row| row.saved_usd_per_month).collect();
    let value: f64 = compared.iter().map(|(value, _)| value).sum();
    let half = compared.iter().map(|(_, (low, high))| ((high - low) / 2.0).powi(2)).sum::<f64>().sqrt();
    (!compared.is_empty()).then_some((value, (value - half, value + half)))
}

fn row(engine: &Engine, sums: &Sums, task: NameId, of_goals: bool, units: Units, days: f64) -> SavingsRow {
    let name = engine.state.names.text(NameKind::Task, task).to_owned();
    let settings = engine.task(&name).ok().map(|task| &task.settings);
    let holdout_model = settings.and_then(|s| s.rollout.holdout.as_ref()).map(|holdout| holdout.model.to_string());
    let margin = settings.map_or(0.02, |s| s.flag_margin);
    let of = |arm: Arm| units.arms.get(&(arm as u8)).copied().unwrap_or_default();
    let open = |arm: Arm| of_goals.then(|| units.open.get(&(arm as u8)).copied().unwrap_or(0));
    let arms = ARMS.into_iter().map(|arm| arm_row(arm, &of(arm), open(arm)));
    let arms = arms.filter(|row| row.units > 0 || row.open > Some(0)).collect();
    let held_out_calls = holdout_model.as_ref().map(|model| held_out_calls(engine, sums, task, model));
    let mut row = SavingsRow {
        task: name,
        of_goals,
        holdout_model,
        held_out_calls,
        arms,
        standing: SavingsStanding::NoHoldout,
        acceptance: AcceptanceStanding::NotCompared,
        saved_usd_per_month: None,
        acceptance_difference: None,
        holdout_units_needed: None,
        acceptance_units_needed: None,
        strata: 0,
        sentence: String::new(),
    };
    if of(Arm::Holdout).units > 0 || open(Arm::Holdout) > Some(0) {
        let slices: Vec<Slice> = units.slices.into_values().collect();
        compared(&mut row, &uplift(&slices, margin), of(Arm::Router).units as f64 * MONTH_DAYS / days, margin);
    }
    row.sentence = sentence(&row);
    if row.acceptance == AcceptanceStanding::Lower {
        row.sentence += LOWER;
    }
    row
}

fn compared(row: &mut SavingsRow, found: &Uplift, served_per_month: f64, margin: f64) {
    row.strata = found.strata as u64;
    row.holdout_units_needed = Some(found.saved_nano.map_or_else(|missing| missing, |of| of.held_out_units_needed));
    let usd = |nano: f64| nano * served_per_month / NANO_PER_USD as f64;
    let saved = found.saved_nano.map(|of| (usd(of.value), (usd(of.interval.0), usd(of.interval.1))));
    row.saved_usd_per_month = saved.ok();
    row.standing = match found.saved_nano.as_ref().map(sign) {
        Err(_) => SavingsStanding::TooFew,
        Ok(1) => SavingsStanding::Saved,
        Ok(-1) => SavingsStanding::CostsMore,
        Ok(_) => SavingsStanding::Inconclusive,
    };
    let Ok(acceptance) = found.acceptance else { return };
    row.acceptance_difference = Some((acceptance.value, acceptance.interval));
    row.acceptance = match sign(&acceptance) {
        1 => AcceptanceStanding::Higher,
        -1 => AcceptanceStanding::Lower,
        _ if acceptance.interval.0 > -margin => AcceptanceStanding::Kept,
        _ => AcceptanceStanding::Inconclusive,
    };
    let told = row.acceptance != AcceptanceStanding::Inconclusive;
    row.acceptance_units_needed = Some(if told { 0 } else { acceptance.held_out_units_needed });
}

/// On which side of zero an interval lies; 0: on both.
fn sign(of: &Difference) -> i8 {
    i8::from(of.interval.0 > 0.0) - i8::from(of.interval.1 < 0.0)
}

/// Calls of the holdout, and those of them that another model served.
fn held_out_calls(engine: &Engine, sums: &Sums, task: NameId, model: &str) -> (u64, u64) {
    let own = engine.state.names.id(NameKind::Candidate, model);
    let (mut all, mut otherwise) = (0, 0);
    for (candidate, tally) in sums.by_task.get(&task).into_iter().flatten() {
        let calls = count(tally.by_arm(Arm::Holdout));
        all += calls;
        otherwise += if Some(*candidate) == own { 0 } else { calls };
    }
    (all, otherwise)
}

fn arm_row(arm: Arm, of: &ProofTally, open: Option<u64>) -> ArmRow {
    let rate = if of.units > 0 { of.accepted as f64 / of.units as f64 } else { 0.0 };
    let interval = success_rate_interval(count(of.accepted) as f64, count(of.units - of.accepted) as f64);
    let mean = of.cost as f64 / (of.costed as f64 * NANO_PER_USD as f64);
    ArmRow {
        arm,
        units: count(of.units),
        accepted: count(of.accepted),
        acceptance_rate: (rate, interval),
        open,
        costed: count(of.costed),
        cost: money(of.cost),
        cost_per_unit: (of.costed > 0).then_some(mean),
    }
}

/// What a task type may save against one model for all of its calls: the holdout's, else the one that succeeds most often of
/// those with 30 calls of known cost, the dearer of equals.
fn estimate(engine: &Engine, task: NameId, models: &BTreeMap<NameId, Tally>, days: f64) -> Option<UnprovenEstimate> {
    let names = &engine.state.names;
    let name = names.text(NameKind::Task, task);
    // Where features tell requests apart models get different ones: another model's mean cost and success are of other work.
    if engine.task(name).is_ok_and(|of| !of.settings.strata.is_empty()) {
        return None;
    }
    let mut all = Tally::default();
    models.values().for_each(|model| all.add(model));
    let known = models.iter().filter(|(_, of)| count(of.costed) >= LEAST_CALLS && of.successes + of.failures > 0);
    let known: Vec<(&str, f64, f64)> = known
        .filter_map(|(id, of)| {
            let rate = of.successes as f64 / (of.successes + of.failures) as f64;
            Some((names.text(NameKind::Candidate, *id), rate, avg_cost_per_call(of)?))
        })
        .collect();
    let held_out = engine.task(name).ok().and_then(|t| t.settings.rollout.holdout.as_ref()).map(|h| &*h.model);
    let best = || known.iter().max_by(|a, b| a.1.total_cmp(&b.1).then(a.2.total_cmp(&b.2)));
    let (model, _, each) = known.iter().find(|(model, ..)| Some(*model) == held_out).or_else(best)?;
    let calls = count(all.calls) as f64;
    let usd = (each - avg_cost_per_call(&all)?) * calls * MONTH_DAYS / days;
    let (less, amount) = if usd < 0.0 { ("less", -usd) } else { ("more", usd) };
    let sentence = format!(
        "Unproven estimate: had every call of {name} gone to {model} at its mean cost, they would have cost {} a month {less}. \
         No random holdout says so.",
        dollars(amount)
    );
    Some(UnprovenEstimate { task: name.to_owned(), model: (*model).to_owned(), usd_per_month: usd, sentence })
}

fn sentence(row: &SavingsRow) -> String {
    let (task, units) = (&row.task, if row.of_goals { "goals" } else { "calls" });
    let elsewhere = match row.held_out_calls {
        Some((calls, otherwise @ 1..)) => format!("other models served {otherwise} of {calls} calls of it"),
        _ => "where it may be served".to_owned(),
    };
    let model = row.holdout_model.as_ref().map_or_else(String::new, |model| format!(" on {model} ({elsewhere})"));
    let arm = row.arms.iter().find(|arm| arm.arm == Arm::Holdout);
    let held_out = arm.map_or(0, |arm| arm.units);
    if row.standing == SavingsStanding::NoHoldout {
        return format!("Nothing of {task} is held out, so nothing is proven: set `holdout` in models.toml.");
    }
    let points = |share: f64| format!("{:+.1}", share * 100.0);
    let at = row.acceptance_difference.map_or_else(String::new, |(difference, (worst, best))| {
        let [difference, worst, best] = [difference, worst, best].map(points);
        format!("; acceptance differs by {difference} points (90 %: {worst} to {best})")
    });
    let open = arm.and_then(|arm| arm.open).filter(|open| *open > 0);
    let open = open.map_or_else(String::new, |open| format!(", with {open} more still open"));
    let Some((saved, (low, high))) = row.saved_usd_per_month else {
        return format!(
            "Nothing of {task} is called saved yet: {LEAST_UNITS} {units} of known cost are needed in both arms, and \
             {held_out} are held out{open}{at}."
        );
    };
    let against = format!("against {held_out} {units} held out at random{model}");
    let more = row.holdout_units_needed.unwrap_or(0);
    let (amount, between) = (signed(saved), |a: f64, b: f64| format!("(90 %: {} to {})", signed(a), signed(b)));
    match row.standing {
        SavingsStanding::Saved => {
            format!("Routing {task} saves {amount} a month {} {against}{at}.", between(low, high))
        }
        SavingsStanding::CostsMore => {
            let (amount, between) = (signed(-saved), between(-high, -low));
            format!("Routing {task} costs {amount} a month more {between} {against}{at}.")
        }
        _ => format!(
            "No saving of {task} is shown: {amount} a month {} {against}{at}. About {more} more held out would tell.",
            between(low, high)
        ),
    }
}

/// Dollars with a sign where they are negative.
fn signed(usd: f64) -> String {
    if usd < 0.0 { format!("−{}", dollars(-usd)) } else { dollars(usd) }
}

/// Dollars to the cent; below ten cents to two digits that say something.
fn dollars(usd: f64) -> String {
    if usd >= 0.1 || usd == 0.0 { format!("${usd:.2}") } else { format!("${usd:.4}") }
}
