//! What is worth acting on, each as one sentence with its numbers and one recommended action. Every number in a sentence
//! stands in the figures it was made from.

use std::collections::BTreeMap;

use super::cheaper;
use super::report::TaskInsights;
use super::report_goals::{BudgetUse, Efficiency, Signal, SignalKind};
use super::sentence::{measured, number, percent, usd};
use crate::domain::budget::Measure;
use crate::domain::flag::FlagStanding;
use crate::domain::money::NANO_PER_USD;
use crate::domain::rollup::Tally;
use crate::domain::time::UnixMillis;
use crate::engine::Engine;

/// Calls that a rate must be of, in both windows, before it is said to have jumped.
pub(super) const JUMP_CALLS: i64 = 30;

/// A rate jumps by at least this …
pub(super) const JUMP_BY: f64 = 0.05;

/// … and by so many standard errors of the difference between two rates (pooled), so that chance says so once in 700 looks.
pub(super) const JUMP_SIGMA: f64 = 3.0;

/// Part of the spend that dominates it, where there is more than one tool or model.
const DOMINANT_SHARE: f64 = 0.5;

/// Calls below which nobody is said to dominate.
const DOMINANT_CALLS: u64 = 30;

/// Part of a limit that is nearly all of it.
const NEARLY_USED: f64 = 0.8;

/// Signals of one kind.
pub(super) const SAID_MAX: usize = 10;

/// What signals are made from.
#[derive(Clone, Copy)]
pub(super) struct Grounds<'a> {
    /// What is offered, learned and known of prices.
    pub engine: &'a Engine,
    /// The end of the window.
    pub now: UnixMillis,
    /// Tools of the window.
    pub tools: &'a [Efficiency],
    /// Models of the window, each with its calls and cost.
    pub models: &'a [Efficiency],
    /// Calls by step, now.
    pub steps_now: &'a BTreeMap<&'a str, Tally>,
    /// Calls by step, in the window before.
    pub steps_before: &'a BTreeMap<&'a str, Tally>,
    /// Calls by tool, now.
    pub tools_now: &'a BTreeMap<&'a str, Tally>,
    /// Calls by tool, in the window before.
    pub tools_before: &'a BTreeMap<&'a str, Tally>,
    /// Accounts, the most used first.
    pub accounts: &'a [BudgetUse],
    /// Task types.
    pub tasks: &'a [TaskInsights],
}

/// All signals, by kind.
pub(super) fn signals(grounds: &Grounds<'_>) -> Vec<Signal> {
    let mut jumps = jumps(SignalKind::RetryRateJump, grounds.tools_now, grounds.tools_before);
    let told: Vec<String> = jumps.iter().map(|signal| signal.subject.clone()).collect();
    jumps
        .extend(jumps_of_steps(grounds).into_iter().filter(|step| !told.iter().any(|tool| is_of(grounds, step, tool))));
    jumps.truncate(SAID_MAX);
    let nearly = grounds.accounts.iter().filter_map(nearly_used).take(SAID_MAX);
    let cheaper = grounds.tasks.iter().filter(|row| row.over_provisioning.standing == FlagStanding::Flagged);
    let cheaper = cheaper.map(|row| Signal {
        kind: SignalKind::CheaperEquivalent,
        subject: row.name.clone(),
        sentence: row.over_provisioning.sentence.clone(),
    });
    let mut all = jumps;
    all.extend(dominant(SignalKind::ToolDominates, grounds));
    all.extend(dominant(SignalKind::ModelDominates, grounds));
    all.extend(nearly);
    all.extend(cheaper.take(SAID_MAX));
    all
}

fn jumps_of_steps(grounds: &Grounds<'_>) -> Vec<Signal> {
    jumps(SignalKind::RetryRateJump, grounds.steps_now, grounds.steps_before)
}

/// Whether the jump of a step is that of `tool` over again: the same name, or the very same calls.
fn is_of(grounds: &Grounds<'_>, step: &Signal, tool: &str) -> bool {
    let calls = |of: &BTreeMap<&str, Tally>, name: &str| of.get(name).map(|t| (t.calls, t.retries, t.retry_cost));
    step.subject == tool || calls(grounds.steps_now, &step.subject) == calls(grounds.tools_now, tool)
}

/// Names whose retry rate went up by more than chance explains, the largest number of added retries first.
fn jumps(kind: SignalKind, now: &BTreeMap<&str, Tally>, before: &BTreeMap<&str, Tally>) -> Vec<Signal> {
    let mut found: Vec<(f64, Signal)> = Vec::new();
    for (name, now) in now.iter().filter(|(name, _)| !name.is_empty()) {
        let Some(before) = before.get(name).filter(|b| b.calls >= JUMP_CALLS && now.calls >= JUMP_CALLS) else {
            continue;
        };
        let rate = |tally: &Tally| tally.retries as f64 / tally.calls as f64;
        let (was, is) = (rate(before), rate(now));
        let sigmas = differ((now.retries, now.calls), (before.retries, before.calls));
        if is - was < JUMP_BY || sigmas.is_none_or(|sigmas| sigmas < JUMP_SIGMA) {
            continue;
        }
        let sentence = format!(
            "{name}: {} of its {} calls were retries, before {} of {}; the retries cost {}. Recommended: look at the failures of {name} and cap its attempts.",
            percent(is),
            number(now.calls as f64),
            percent(was),
            number(before.calls as f64),
            usd(now.retry_cost as f64 / NANO_PER_USD as f64),
        );
        found.push(((is - was) * now.calls as f64, Signal { kind, subject: (*name).to_owned(), sentence }));
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.subject.cmp(&b.1.subject)));
    found.into_iter().map(|(_, signal)| signal).collect()
}

/// By how many standard errors of their difference (pooled) two rates differ, each so many out of so many; `None` where they are
/// the same for certain: both all or both nothing, or of nothing.
pub(super) fn differ((a, of_a): (i64, i64), (b, of_b): (i64, i64)) -> Option<f64> {
    let pooled = (a + b) as f64 / (of_a + of_b) as f64;
    let error = (pooled * (1.0 - pooled) * (1.0 / of_a as f64 + 1.0 / of_b as f64)).sqrt();
    (error > 0.0 && error.is_finite()).then(|| (a as f64 / of_a as f64 - b as f64 / of_b as f64).abs() / error)
}

fn dominant(kind: SignalKind, grounds: &Grounds<'_>) -> Option<Signal> {
    let rows = if kind == SignalKind::ToolDominates { grounds.tools } else { grounds.models };
    let of = grounds.tools.len() + grounds.models.len();
    let row = rows.first().filter(|row| of > 1 && row.calls >= DOMINANT_CALLS && row.cost_share >= DOMINANT_SHARE)?;
    let name = &row.name;
    let todo = match kind {
        SignalKind::ToolDominates => format!("cache or reuse what {name} returns, or cap its attempts"),
        _ => cheaper::advice(grounds.engine, grounds.tasks, name, grounds.now),
    };
    let each = row.price_per_call.map(|each| format!(" at {} each", usd(each))).unwrap_or_default();
    let sentence = format!(
        "{name} takes {} of the spend ({}, {} calls{each}). Recommended: {todo}.",
        percent(row.cost_share),
        usd(row.cost.usd()),
        number(row.calls as f64),
    );
    Some(Signal { kind, subject: name.clone(), sentence })
}

fn nearly_used(account: &BudgetUse) -> Option<Signal> {
    let used = account.utilisation.filter(|used| *used >= NEARLY_USED)?;
    let amount = |n: u64| match account.measure {
        Measure::Usd => usd(n as f64 / NANO_PER_USD as f64),
        measure => measured(n, measure.as_str()),
    };
    let BudgetUse { budget, instance, .. } = account;
    let sentence = format!(
        "Budget {budget} of {} {instance} is used to {} ({} spent and {} held of {}). Recommended: see what {instance} spends on, or raise its limit.",
        account.scope.as_str(),
        percent(used),
        amount(account.spent),
        amount(account.held),
        amount(account.limit),
    );
    Some(Signal { kind: SignalKind::BudgetNearlyUsed, subject: budget.clone(), sentence })
}
