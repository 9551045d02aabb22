//! The page at /: what one successful outcome cost, and why, from the same report as the API. Plain HTML without a
//! script; every text is escaped. It computes no figure.

use http::StatusCode;
use maud::{DOCTYPE, Markup, html};
use prost::Message;

use super::figures::{change, count, hours, instant, many, percent, percent_range, usd};
use super::json;
use super::operations::{Asked, Operation, Rpc};
use super::page_budgets::{alerts, budgets};
use super::page_change::why;
use super::page_goals::{closed, signals, tools, workflows};
use super::page_savings::savings;
use super::page_tasks::tasks;
use super::problem::status_of;
use crate::insights::LOOKBACK_HOURS_DEFAULT;
use crate::wire::{FieldViolation, Refusal, pb};

/// The style sheet of the page.
pub(super) const STYLE: &str = include_str!("../../web/page.css");
/// Its icon.
pub(super) const ICON: &str = include_str!("../../web/icon.svg");

/// Windows offered, in hours, by name.
const LOOKBACKS: [(&str, f64); 4] = [("1 h", 1.0), ("24 h", 24.0), ("7 d", 168.0), ("30 d", 720.0)];
/// The page and its status. `lookback` is what the query says, `host` the host that was asked.
pub(super) async fn answer(service: &dyn Asked, lookback: Option<&str>, host: &str) -> (StatusCode, String) {
    let Ok(lookback_hours) = lookback.map_or(Ok(LOOKBACK_HOURS_DEFAULT), str::parse) else {
        let violation = FieldViolation::new("lookback_hours", "must be a number of hours, such as 24");
        return (StatusCode::BAD_REQUEST, refused(&Refusal::invalid(vec![violation])).into_string());
    };
    let request =
        pb::GetInsightsRequest { lookback_hours: Some(lookback_hours), compare_previous: true, ..Default::default() };
    let asked: Result<_, Refusal> = async {
        let report = ask(service, Rpc::GetInsights, &request).await?;
        let windows = pb::ExplainChangeRequest { lookback_hours: Some(lookback_hours), ..Default::default() };
        let newest = pb::ListAlertsRequest { page_size: ALERTS_SHOWN, ..Default::default() };
        let change = ask(service, Rpc::ExplainChange, &windows).await?;
        Ok(Shown { report, change, alerts: ask(service, Rpc::ListAlerts, &newest).await? })
    }
    .await;
    match asked {
        Ok(shown) => (StatusCode::OK, page(&shown, lookback_hours, host).into_string()),
        Err(refusal) => (status_of(refusal.code), refused(&refusal).into_string()),
    }
}

/// Alerts shown.
const ALERTS_SHOWN: u64 = 10;

/// What the page is made from.
#[derive(Default)]
struct Shown {
    report: pb::GetInsightsResponse,
    change: pb::ExplainChangeResponse,
    alerts: pb::ListAlertsResponse,
}

async fn ask<Q: Message, A: Message + Default>(service: &dyn Asked, rpc: Rpc, request: &Q) -> Result<A, Refusal> {
    let operation = Operation::of(rpc);
    let request = json::dynamic(operation.method().input(), request);
    service.ask(operation, &request).await.map(|answer| json::typed(&answer))
}

fn frame(title: &str, lookback_hours: Option<f64>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Oddsmaker" }
                link rel="icon" type="image/svg+xml" href="/assets/icon.svg";
                link rel="stylesheet" href="/assets/page.css";
            }
            body {
                header {
                    p.brand { a href="/" { "Oddsmaker" } }
                    nav aria-label="Window" {
                        ul { @for (name, length) in LOOKBACKS {
                            li { a href=(format!("/?lookback_hours={length}")) aria-current=[(lookback_hours == Some(length)).then_some("page")] { (name) } }
                        } }
                    }
                }
                main { (body) }
                footer {
                    a href="/openapi.json" { "API" } " · "
                    a href="/v1/status" { "Status" } " · "
                    a href="/v1/models" { "Models" }
                }
            }
        }
    }
}

fn refused(refusal: &Refusal) -> Markup {
    let body = html! {
        h1 { "No report" }
        p.notice role="alert" { (refusal.message) }
        p { a href="/" { "Show the last " (hours(LOOKBACK_HOURS_DEFAULT)) "" } }
    };
    frame("No report", None, &body)
}

fn page(shown: &Shown, lookback_hours: f64, host: &str) -> Markup {
    let report = &shown.report;
    let body = html! {
        h1 { "What one successful outcome cost" }
        (window(report, lookback_hours))
        @if report.calls == 0 { (first_steps(report, lookback_hours, host)) }
        (key_figures(report, lookback_hours))
        @if let Some(note) = &report.note { p.notice { (note) } }
        (signals(report))
        (why(&shown.change))
        (alerts(&shown.alerts))
        (savings(report))
        (workflows(report))
        @if !report.by_task.is_empty() { (tasks(report)) }
        (tools(report))
        (budgets(report))
    };
    frame("What one successful outcome cost", Some(lookback_hours), &body)
}

fn window(report: &pb::GetInsightsResponse, lookback_hours: f64) -> Markup {
    let ends = report.window.as_ref().and_then(|w| Some((w.start?.seconds, w.end?.seconds, w.resolution.as_str())));
    html! {
        p.window {
            "The last " (hours(lookback_hours))
            @if let Some((start, end, resolution)) = ends {
                ": " (instant(start)) " – " (instant(end)) " UTC, to the " (resolution)
            }
        }
    }
}

/// A figure that may be missing; then a dash and why.
pub(super) fn or_dash(figure: Option<String>, why: &str) -> Markup {
    match figure {
        Some(figure) => html! { (figure) },
        None => html! { span.none { "–" } " " span.why { (why) } },
    }
}

fn key_figures(report: &pb::GetInsightsResponse, lookback_hours: f64) -> Markup {
    let changes = report.changes.unwrap_or_default();
    let before = |relative: Option<f64>| {
        html! {
            @if let Some(relative) = relative { p.change { (change(relative)) " on the " (hours(lookback_hours)) " before" } }
        }
    };
    let why = if report.calls == 0 { "no calls" } else { "no success of known cost" };
    let interval = report.cost_per_success_interval.as_ref();
    html! {
        dl.figures {
            (figure("Cost per success", &or_dash(report.cost_per_success.map(usd), why), &html! {
                @match (interval, report.cost_per_success) {
                    (Some(interval), _) => p { "90 % interval " (usd(interval.low)) "–" (usd(interval.high)) },
                    (None, Some(_)) => p { "too few outcomes for an interval" },
                    (None, None) => {},
                }
                (before(changes.cost_per_success))
                @if changes.cost_per_success_is_thin {
                    p.change { "too few calls before to rely on that: fewer than 30, or fewer than 5 successes" }
                }
            }))
            @if let Some(goals) = closed(report) { (per_accepted_goal(goals, &before)) }
            (figure("Total cost", &html! { (usd(report.total_cost_usd)) }, &html! {
                p { (many(report.calls, "call")) }
                (before(changes.total_cost_usd))
            }))
            (figure("Successful outcomes", &html! { (count(report.successful_outcomes)) }, &html! {
                @if report.unverdicted_calls > 0 { p { (many(report.unverdicted_calls, "call")) " without a verdict yet" } }
                (before(changes.successful_outcomes))
            }))
            (figure("Failed calls", &html! { (count(report.failed_calls_count)) }, &html! {
                p { "cost " (usd(report.failed_call_cost_usd)) }
                (before(changes.failed_calls_count))
            }))
            (figure("Retry multiplier", &or_dash(report.retry_multiplier.map(|m| format!("× {m:.2}")), "no calls"), &html! {
                p { (count(report.retries)) " retries" }
            }))
            (figure("Pricing coverage", &or_dash(report.pricing_coverage.map(percent), "no calls"), &html! {
                p { (many(report.unpriced_calls, "call")) " of unknown cost" }
            }))
            (figure("Decisions without outcome", &html! { (count(report.decisions_without_outcome)) }, &html! {
                p { "of " (count(report.decisions)) "; " (count(report.decisions_open)) " still open" }
            }))
        }
    }
}

fn per_accepted_goal(goals: &pb::GoalFigures, before: &dyn Fn(Option<f64>) -> Markup) -> Markup {
    let each = or_dash(goals.cost_per_accepted_goal.map(usd), "none accepted");
    figure(
        "Cost per accepted goal",
        &each,
        &html! {
            @if let Some(interval) = &goals.cost_per_accepted_goal_interval {
                p { "90 % interval " (usd(interval.low)) "–" (usd(interval.high)) }
            }
            p { (count(goals.accepted)) " of " (count(goals.closed)) " closed goals accepted; calls of no goal count too" }
            @if let Some(share) = goals.failure_cost_share { p { (percent(share)) " spent on the others" } }
            (before(goals.changes.and_then(|changes| changes.cost_per_accepted_goal)))
        },
    )
}

fn figure(name: &str, value: &Markup, remarks: &Markup) -> Markup {
    html! { div { dt { (name) } dd { p.value { (value) } (remarks) } } }
}

/// What to do when there is nothing to show.
fn first_steps(report: &pb::GetInsightsResponse, lookback_hours: f64, host: &str) -> Markup {
    let ask = format!(
        "curl http://{host}/v1/policy \\\n  -H 'Content-Type: application/json' \\\n  -d '{{\"task_type\": \"ticket_classification\"}}'"
    );
    let tell = format!(
        "curl http://{host}/v1/outcomes \\\n  -H 'Content-Type: application/json' \\\n  -d '{{\"decision_id\": \"…\", \"success\": true, \"cost_usd\": 0.0031}}'"
    );
    let longer = LOOKBACKS.iter().filter(|(_, length)| *length > lookback_hours);
    html! {
        section.steps aria-labelledby="steps" {
            @if report.decisions > 0 {
                h2 #steps { "No outcomes yet" }
                p { (many(report.decisions, "decision")) " made; tell what came of the calls." }
            } @else {
                h2 #steps { "No calls in this window" }
                p {
                    "Look further back: "
                    @for (name, length) in longer { a href=(format!("/?lookback_hours={length}")) { (name) } " " }
                    "or record a first call."
                }
            }
            ol {
                li { "Ask which model should do the call:" pre tabindex="0" { code { (ask) } } }
                li { "Make the call with that model." }
                li { "Tell what came of it, with the " code { "decision_id" } " of the answer:" pre tabindex="0" { code { (tell) } } }
            }
        }
    }
}

/// A rate with its interval.
pub(super) fn rate(rate: Option<f64>, interval: Option<&pb::Interval>) -> Markup {
    html! {
        (or_dash(rate.map(percent), "no verdict"))
        @if let Some(interval) = interval { " " span.interval { (percent_range(interval.low, interval.high)) } }
    }
}

#[cfg(test)]
mod tests;
