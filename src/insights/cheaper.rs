//! Where a model that takes most of the spend has nothing cheaper beside it. It reads prices and learned costs; whether the
//! cheaper one is good enough is not asked here.

use super::report::TaskInsights;
use crate::domain::catalog::{ServiceTier, TaskCandidate};
use crate::domain::cell::expected_cost;
use crate::domain::money::NANO_PER_USD;
use crate::domain::names::NameKind;
use crate::domain::time::UnixMillis;
use crate::engine::Engine;

/// Task types that a signal names; of more it says how many.
const NAMED_MAX: usize = 3;

/// What is recommended of a model that takes most of the spend: a cheaper candidate where a task type that called it in the window
/// has none that may serve, by name, most calls first.
pub(super) fn advice(engine: &Engine, tasks: &[TaskInsights], model: &str, now: UnixMillis) -> String {
    let paid = |row: &TaskInsights| {
        let used = row.by_model.iter().filter(|of| of.model == model && of.calls > 0);
        used.filter_map(|of| of.avg_cost_per_call).max_by(f64::total_cmp)
    };
    let used: Vec<(&str, f64)> = tasks.iter().filter_map(|row| Some((row.name.as_str(), paid(row)?))).collect();
    let lacks = |(task, paid): &&(&str, f64)| !offers_cheaper(engine, task, model, *paid, now);
    let lacking: Vec<&str> = used.iter().filter(lacks).map(|(task, _)| *task).collect();
    match lacking.len() {
        0 if used.is_empty() => format!("see which steps need {model}"),
        0 => format!(
            "see which steps need {model}: each task type that uses it has a cheaper candidate, which a larger tolerance would \
             choose more often"
        ),
        n if n <= NAMED_MAX => {
            format!("see which steps need {model}, and offer {} a cheaper candidate", lacking.join(", "))
        }
        n => {
            let named = lacking[..NAMED_MAX].join(", ");
            format!("see which steps need {model}, and offer {named} and {} more a cheaper candidate", n - NAMED_MAX)
        }
    }
}

/// Whether a task type has a candidate of another model that may serve and is expected to cost less than `paid` (USD a call):
/// by what it came to here, else by its price for what the model used.
fn offers_cheaper(engine: &Engine, task: &str, model: &str, paid: f64, now: UnixMillis) -> bool {
    let (Ok(of), Some(id)) = (engine.task(task), engine.state.names.id(NameKind::Task, task)) else { return false };
    let number = |candidate: &TaskCandidate| engine.state.names.id(NameKind::Candidate, &candidate.id);
    let cell = |candidate: &TaskCandidate| number(candidate).and_then(|number| engine.state.cell(id, number));
    let is_own = |candidate: &&TaskCandidate| *candidate.model.id == *model;
    let used = of.candidates.iter().filter(is_own).find_map(|own| cell(own)?.mean_usage());
    let costs_less = |candidate: &TaskCandidate| {
        let (price, typical) = (candidate.model.price_at(ServiceTier::Standard, now), candidate.model.typical);
        let cost = expected_cost(cell(candidate), price, used.as_ref(), typical).0;
        cost.is_some_and(|cost| (cost.0 as f64) < paid * NANO_PER_USD as f64)
    };
    let may_serve = |candidate: &&TaskCandidate| number(candidate).is_some_and(|number| engine.may_serve(id, number));
    let mut others = of.candidates.iter().filter(|candidate| !is_own(candidate)).filter(may_serve);
    others.any(costs_less)
}
