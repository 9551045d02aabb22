//! The page's table: task types with their models beneath. It computes no figure.

use maud::{Markup, html};

use super::figures::{chance, count, percent, usd};
use super::page::{or_dash, rate};
use crate::wire::pb;
use crate::wire::pb::OverProvisioningFlag as Flag;

const CAPTION: &str = "Task types, dearest first, with their models. Ranges say where the true value lies with \
    probability 90 %: after nothing but successes a range still ends below 100 %.";

/// The columns. "Probably best" and "P95 latency" are the learner's, of all outcomes so far rather than of the window.
const COLUMNS: [&str; 8] = [
    "Task type and model",
    "Calls",
    "Success rate",
    "Probably best",
    "Average cost per call",
    "Cost per success",
    "P95 latency",
    "Total cost",
];

/// The table of task types. Its roles are spelt out because narrow screens show its rows as blocks, which would hide from
/// screen readers that it is one.
pub(super) fn tasks(report: &pb::GetInsightsResponse) -> Markup {
    html! {
        table role="table" {
            caption { (CAPTION) }
            thead role="rowgroup" {
                tr role="row" {
                    @for name in COLUMNS {
                        th role="columnheader" scope="col" { (name) }
                    }
                }
            }
            @for task in &report.by_task { (of_task(task)) }
        }
        @if report.by_task.iter().any(|task| task.uses_higher_tier_than_needed) {
            p.why { "Were no model over-provisioned, " (format!("{:.2}", report.expected_false_flags)) " flags would still be expected by chance." }
        }
    }
}

fn of_task(task: &pb::TaskInsights) -> Markup {
    html! {
        tbody role="rowgroup" {
            tr.task role="row" {
                th role="rowheader" scope="rowgroup" { (task.name) " " (badge(task)) }
                (cell("Calls", &html! { (count(task.calls)) }))
                (cell("Success rate", &rate(task.success_rate, task.success_rate_interval.as_ref())))
                (empty())
                (cell("Average cost per call", &or_dash(task.avg_cost_per_call.map(usd), "cost unknown")))
                (cell("Cost per success", &cost_per_success(task)))
                (empty())
                (cell("Total cost", &total(task.total_cost_usd, task.pricing_coverage)))
            }
            @if let Some(sentence) = sentence(task) {
                tr.sentence role="row" { td role="cell" colspan=(COLUMNS.len()) { (sentence) } }
            }
            @for model in &task.by_model { (of_model(model)) }
        }
    }
}

fn of_model(model: &pb::ModelInsights) -> Markup {
    let name = if model.candidate.is_empty() { "(model not told)" } else { &model.candidate };
    html! {
        tr.model role="row" {
            th role="rowheader" scope="row" { (name) @if let Some(gone) = model.absence() { " " span.badge { (gone) } } }
            (cell("Calls", &html! { (count(model.calls)) " " span.interval { (percent(model.traffic_share)) " of calls" } }))
            (cell("Success rate", &rate(model.success_rate, model.success_rate_interval.as_ref())))
            (cell("Probably best", &or_dash(model.probability_best.map(chance), "not offered")))
            (cell("Average cost per call", &or_dash(model.avg_cost_per_call.map(usd), "cost unknown")))
            (cell("Cost per success", &or_dash(model.cost_per_success.map(usd), why_no_cost(model.successes))))
            (cell("P95 latency", &or_dash(model.p95_latency_ms.map(|ms| format!("{ms:.0} ms")), "fewer than 20 latencies")))
            (cell("Total cost", &total(model.total_cost_usd, model.pricing_coverage)))
        }
    }
}

/// What only models have.
fn empty() -> Markup {
    html! { td role="cell" {} }
}

fn cell(name: &str, content: &Markup) -> Markup {
    html! { td role="cell" data-label=(name) { span { (content) } } }
}

fn cost_per_success(task: &pb::TaskInsights) -> Markup {
    html! {
        (or_dash(task.cost_per_success.map(usd), why_no_cost(task.successes)))
        @if let Some(interval) = &task.cost_per_success_interval {
            " " span.interval { (usd(interval.low)) "–" (usd(interval.high)) }
        }
    }
}

fn why_no_cost(successes: u64) -> &'static str {
    if successes == 0 { "no success" } else { "cost unknown" }
}

/// A sum of known costs; a dash where nothing is known.
fn total(total_usd: f64, pricing_coverage: Option<f64>) -> Markup {
    let known = pricing_coverage.is_none_or(|coverage| coverage > 0.0);
    or_dash(known.then(|| usd(total_usd)), "cost unknown")
}

fn badge(task: &pb::TaskInsights) -> Markup {
    let flag = task.over_provisioning.as_ref().map_or(Flag::Unspecified, pb::OverProvisioning::flag);
    match flag {
        Flag::Flagged => html! { span.badge.flagged { "More model than needed" } },
        Flag::InsufficientData => html! { span.badge { "Too early to tell" } },
        Flag::NotFlagged | Flag::Unspecified => html! {},
    }
}

fn sentence(task: &pb::TaskInsights) -> Option<&str> {
    task.over_provisioning.as_ref().map(|o| o.sentence.as_str()).filter(|sentence| !sentence.is_empty())
}
