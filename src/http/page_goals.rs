//! What the page shows of goals: what is worth acting on, what an accepted goal cost by workflow, and what tools yield. It
//! computes no figure.

use maud::{Markup, html};

use super::figures::{change, count, percent, usd};
use super::page::{or_dash, rate};
use crate::insights::measured;
use crate::wire::pb;

const WORKFLOWS_CAPTION: &str =
    "Workflows, dearest first. An accepted goal carries the cost of failed and of open goals.";
const WORKFLOW_COLUMNS: [&str; 7] = [
    "Workflow",
    "Goals closed",
    "Accepted",
    "Cost per accepted goal",
    "Spent on failed goals",
    "Cost of one goal, P50 and P95",
    "Total cost",
];

/// Where a workflow has a price: what accepted goals leave of it, before what failed ones cost.
const MARGIN_COLUMNS: [&str; 2] = ["Left of the price, P50 and P99", "Sold at a loss"];

const TOOLS_CAPTION: &str = "Tools, dearest first. A completion carries the cost of the calls that failed before it.";
const TOOL_COLUMNS: [&str; 7] = [
    "Tool",
    "Calls",
    "Failure rate",
    "Average cost per call",
    "Calls per completion",
    "Cost per completion",
    "Total cost",
];

/// What is worth acting on; nothing where there is nothing.
pub(super) fn signals(report: &pb::GetInsightsResponse) -> Markup {
    html! {
        @if !report.signals.is_empty() {
            section.signals aria-labelledby="signals" {
                h2 #signals { "Worth acting on" }
                ul { @for signal in &report.signals { li { (signal.sentence) } } }
            }
        }
    }
}

/// The goals of all workflows, where at least one was closed.
pub(super) fn closed(report: &pb::GetInsightsResponse) -> Option<&pb::GoalFigures> {
    report.goals.as_ref()?.total.as_ref().filter(|total| total.closed + total.sub_goals > 0)
}

/// The table of workflows; nothing where no goal was closed.
pub(super) fn workflows(report: &pb::GetInsightsResponse) -> Markup {
    let goals = report.goals.as_ref().filter(|_| closed(report).is_some());
    let rows = goals.map(|goals| &goals.by_workflow[..]).unwrap_or_default();
    html! {
        @if !rows.is_empty() {
            @let sold = rows.iter().any(|row| row.margin.is_some());
            @let columns: Vec<&str> = WORKFLOW_COLUMNS.into_iter().chain(MARGIN_COLUMNS.into_iter().filter(|_| sold)).collect();
            (table(WORKFLOWS_CAPTION, &columns, &html! { @for row in rows { (workflow(row, &columns)) } }))
        }
    }
}

/// The table of tools; nothing where none was called.
pub(super) fn tools(report: &pb::GetInsightsResponse) -> Markup {
    html! {
        @if !report.tools.is_empty() {
            (table(TOOLS_CAPTION, &TOOL_COLUMNS, &html! { @for row in &report.tools { (tool(row)) } }))
        }
    }
}

/// The name and the value of a cell of a workflow that is sold.
fn margin(of: &pb::GoalFigures) -> [Markup; 2] {
    let spread = of.margin.map(|margin| format!("{} · {}", usd(margin.p50_usd), usd(margin.p99_usd)));
    let why = "no price, or none accepted";
    [or_dash(spread, why), or_dash(of.margin.map(|margin| percent(margin.share_at_loss)), why)]
}

/// A table whose roles are spelt out, as those of the table of task types are.
pub(super) fn table(caption: &str, columns: &[&str], rows: &Markup) -> Markup {
    html! {
        table role="table" {
            caption { (caption) }
            thead role="rowgroup" {
                tr role="row" { @for name in columns { th role="columnheader" scope="col" { (name) } } }
            }
            tbody role="rowgroup" { (rows) }
        }
    }
}

pub(super) fn row(name: &str, columns: &[&str], cells: &[Markup]) -> Markup {
    html! {
        tr.line role="row" {
            th role="rowheader" scope="row" { (name) }
            @for (column, cell) in columns.iter().skip(1).zip(cells) {
                td role="cell" data-label=(column) { span { (cell) } }
            }
        }
    }
}

fn workflow(of: &pb::GoalFigures, columns: &[&str]) -> Markup {
    let name = if of.workflow.is_empty() { "(no workflow)" } else { &of.workflow };
    let changed = of.changes.and_then(|changes| changes.cost_per_accepted_goal);
    let each = html! {
        (or_dash(of.cost_per_accepted_goal.map(usd), "none accepted"))
        @if let Some(interval) = &of.cost_per_accepted_goal_interval {
            " " span.interval { (usd(interval.low)) "–" (usd(interval.high)) }
        }
        @if let Some(changed) = changed { " " span.interval { (change(changed)) " on before" } }
    };
    let spread = of.cost_per_goal.map(|costs| format!("{} · {}", usd(costs.p50_usd), usd(costs.p95_usd)));
    let mut cells = vec![
        and_below(of.closed, of.sub_goals),
        and_below(of.accepted, of.accepted_sub_goals),
        each,
        or_dash(of.failure_cost_share.map(percent), "no cost"),
        or_dash(spread, "none closed"),
        html! { (usd(of.spend_usd)) },
    ];
    cells.extend(margin(of));
    row(name, columns, &cells)
}

/// Goals, and those of the same workflow that stand below goals of others.
fn and_below(goals: u64, below: u64) -> Markup {
    html! { (count(goals)) @if below > 0 { " " span.interval { "+ " (count(below)) " below others" } } }
}

fn tool(of: &pb::Efficiency) -> Markup {
    let cells = [
        html! { (count(of.calls)) @if of.retries > 0 { " " span.interval { (measured(of.retries, "retries")) } } },
        rate(of.failure_rate, of.failure_rate_interval.as_ref()),
        or_dash(of.price_per_call_usd.map(usd), "cost unknown"),
        or_dash(of.attempts_per_completion.map(|n| format!("{n:.2}")), "none completed"),
        or_dash(of.effective_cost_usd.map(usd), "none completed at a known cost"),
        html! { (usd(of.cost_usd)) " " span.interval { (percent(of.cost_share)) " of all" } },
    ];
    row(&of.name, &TOOL_COLUMNS, &cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "<img src=x onerror=alert(1)>";

    fn report() -> pb::GetInsightsResponse {
        let figures = pb::GoalFigures {
            workflow: HOSTILE.into(),
            closed: 120,
            accepted: 100,
            cost_per_accepted_goal: Some(0.47),
            cost_per_accepted_goal_interval: Some(pb::Interval { low: 0.44, high: 0.5, level: 0.9 }),
            failure_cost_share: Some(0.25),
            cost_per_goal: Some(pb::CostDistribution { p50_usd: 0.3, p95_usd: 1.5, ..Default::default() }),
            changes: Some(pb::GoalChanges { cost_per_accepted_goal: Some(0.38), ..Default::default() }),
            margin: Some(pb::GoalMargin { p50_usd: 0.69, p99_usd: -1.2, share_at_loss: 0.125, ..Default::default() }),
            sub_goals: 7,
            spend_usd: 47.0,
            ..Default::default()
        };
        let goals = pb::GoalInsights { total: Some(figures.clone()), by_workflow: vec![figures], ..Default::default() };
        let tool = pb::Efficiency {
            name: HOSTILE.into(),
            calls: 1_250,
            retries: 250,
            failure_rate: Some(0.2),
            price_per_call_usd: Some(0.03),
            attempts_per_completion: Some(1.25),
            cost_usd: 37.5,
            cost_share: 0.79,
            ..Default::default()
        };
        let signal = pb::Signal { sentence: HOSTILE.into(), ..Default::default() };
        pb::GetInsightsResponse { goals: Some(goals), tools: vec![tool], signals: vec![signal], ..Default::default() }
    }

    #[test]
    fn goals_tools_and_signals_are_shown_and_inert() {
        let report = report();
        let html = [signals(&report), workflows(&report), tools(&report)].map(Markup::into_string).concat();
        for part in [
            "Worth acting on",
            "$0.47",
            "$0.44–$0.50",
            "+38\u{202f}% on before",
            "25\u{202f}%",
            "$0.30 · $1.50",
            "Left of the price, P50 and P99",
            "$0.69 · −$1.20",
            "12.5\u{202f}%",
            "+ 7 below others",
            "1,250",
            "250 retries",
            "1.25",
            "none completed at a known cost",
            "79\u{202f}% of all",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert_eq!(html.matches("&lt;img src=x onerror=alert(1)&gt;").count(), 3);
        assert!(!html.contains("<img"), "{html}");
        let mut unsold = report;
        unsold.goals.as_mut().unwrap().by_workflow[0].margin = None;
        assert!(!workflows(&unsold).into_string().contains("Left of the price"), "nothing is sold");
    }

    #[test]
    fn where_there_is_nothing_nothing_is_shown() {
        let open = pb::GoalInsights { by_workflow: vec![pb::GoalFigures::default()], ..Default::default() };
        let report = pb::GetInsightsResponse { goals: Some(open), ..Default::default() };
        let html = [signals(&report), workflows(&report), tools(&report)].map(Markup::into_string).concat();
        assert_eq!(html, "");
    }
}
