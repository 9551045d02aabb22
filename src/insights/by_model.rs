//! The models of one task type: what each did in the window, and how probable it is to be the best by what the
//! learner knows now.

use std::collections::BTreeMap;

use super::headline;
use super::report::ModelInsights;
use super::selector::{Selector, model_of};
use super::sums::{count, money, ratio};
use crate::domain::beta::Beta;
use crate::domain::call::Arm;
use crate::domain::catalog::{Task, TaskCandidate};
use crate::domain::names::{NameId, NameKind};
use crate::domain::propensity::propensities;
use crate::domain::rollup::Tally;
use crate::engine::Engine;

/// The rows of one task type, most calls first: every model with figures, and every candidate that may serve.
pub(super) fn by_model(
    engine: &Engine,
    selector: &Selector,
    task: NameId,
    sums: &BTreeMap<NameId, Tally>,
) -> Vec<ModelInsights> {
    let settings = engine.task(engine.state.names.text(NameKind::Task, task)).ok();
    let best = settings.map(|of| probabilities_best(engine, task, of)).unwrap_or_default();
    let calls = sums.values().map(|tally| tally.calls).sum();
    let mut shown: BTreeMap<NameId, Tally> =
        best.keys().filter(|id| selector.shows(**id)).map(|id| (*id, Tally::default())).collect();
    shown.extend(sums.iter().filter(|(_, tally)| !tally.is_empty()));
    let row = |(id, tally): (&NameId, &Tally)| {
        let offered = settings.and_then(|of| candidate(engine, of, *id));
        let p95_ms = engine.state.cell(task, *id).and_then(|cell| cell.latency.p95_ms());
        // Where features tell requests apart, which model is best depends on the request.
        let told_apart = settings.is_some_and(|of| !of.settings.strata.is_empty());
        let probability_best = best.get(id).copied().filter(|_| !told_apart);
        ModelInsights { p95_latency_ms: p95_ms, probability_best, ..figures(engine, offered, *id, tally, calls) }
    };
    let mut rows: Vec<ModelInsights> = shown.iter().map(row).collect();
    rows.sort_by(|a, b| b.calls.cmp(&a.calls).then_with(|| a.candidate.cmp(&b.candidate)));
    rows
}

fn figures(
    engine: &Engine,
    offered: Option<&TaskCandidate>,
    id: NameId,
    tally: &Tally,
    task_calls: i64,
) -> ModelInsights {
    let candidate = engine.state.names.text(NameKind::Candidate, id);
    let model = model_of(candidate);
    let known = engine.catalog().resolve(model).ok().flatten().map(|(found, _)| found.provider());
    let provider = offered.map(|of| of.model.provider()).or(known).unwrap_or("");
    ModelInsights {
        model: model.to_owned(),
        provider: provider.to_owned(),
        candidate: candidate.to_owned(),
        in_catalog: known.is_some(),
        traffic_share: ratio(tally.calls, task_calls).unwrap_or(0.0),
        calls: count(tally.calls),
        successes: count(tally.successes),
        failures: count(tally.failures),
        success_rate: headline::success_rate(tally),
        success_rate_interval: headline::success_rate_interval(tally),
        probability_best: None,
        avg_cost_per_call: headline::avg_cost_per_call(tally),
        cost_per_success: headline::cost_per_success(tally),
        total_cost: money(tally.cost),
        pricing_coverage: headline::pricing_coverage(tally),
        p95_latency_ms: None,
        router_calls: count(tally.by_arm(Arm::Router)),
        pinned_calls: count(tally.by_arm(Arm::Pinned)),
        elsewhere_calls: count(tally.by_arm(Arm::Elsewhere)),
        retries: count(tally.retries),
    }
}

fn candidate<'a>(engine: &Engine, of: &'a Task, id: NameId) -> Option<&'a TaskCandidate> {
    let text = engine.state.names.text(NameKind::Candidate, id);
    of.candidates.iter().find(|candidate| *candidate.id == *text)
}

/// P(this one has the highest success rate) for each candidate that may serve, by the learner's posteriors; sums to 1.
/// It is the propensity of the arg-max rule (statistics §2.4 with ε = 0).
fn probabilities_best(engine: &Engine, task: NameId, of: &Task) -> BTreeMap<NameId, f64> {
    let number = |candidate: &TaskCandidate| engine.state.names.id(NameKind::Candidate, &candidate.id);
    let numbered = of.candidates.iter().filter_map(|candidate| Some((number(candidate)?, candidate)));
    let may_serve = numbered.filter(|(id, _)| engine.may_serve(task, *id));
    let arms: Vec<(NameId, Beta)> =
        may_serve.map(|(id, candidate)| (id, engine.learned(task, of, candidate).1)).collect();
    let posteriors: Vec<Beta> = arms.iter().map(|(_, posterior)| *posterior).collect();
    arms.iter().map(|(id, _)| *id).zip(propensities(&posteriors, 0.0)).collect()
}
