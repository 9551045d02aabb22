//! What the page shows of budgets: alerts nobody has acknowledged, how far the running ones are used, and those of single
//! goals. It computes no figure.

use maud::{Markup, html};

use super::figures::{count, instant, many, percent, usd};
use super::page::or_dash;
use super::page_goals::{row, table};
use crate::insights::measured;
use crate::wire::pb;

/// Accounts shown; the others are told of.
const SHOWN: usize = 20;

const CAPTION: &str = "Budgets of the periods that run now, the most used first, whatever the window.";
const COLUMNS: [&str; 6] = ["Budget", "Used", "Spent", "Held", "Limit", "Begins anew"];

const GOAL_CAPTION: &str = "Budgets of single goals, over the goals closed in this window.";
const GOAL_COLUMNS: [&str; 5] = ["Budget", "Goals", "Used, P50 and P95", "Used at most", "Goals that used it up"];

const ALERT_CAPTION: &str =
    "Alerts that nobody has acknowledged, newest first; `oddsmaker alerts --acknowledge ID --by NAME` does.";
const ALERT_COLUMNS: [&str; 5] = ["Alert", "Reached", "Used", "Limit", "Raised"];

/// The table of alerts; nothing where there is none.
pub(super) fn alerts(of: &pb::ListAlertsResponse) -> Markup {
    html! {
        @if !of.alerts.is_empty() {
            (table(ALERT_CAPTION, &ALERT_COLUMNS, &html! { @for one in &of.alerts { (alert(one)) } }))
            @if of.next_page_token.is_some() { p.why { "and older ones: " a href="/v1/alerts" { "all alerts" } } }
        }
    }
}

fn alert(of: &pb::Alert) -> Markup {
    let raised = of.raised_at.as_ref().map(|at| format!("{} UTC", instant(at.seconds)));
    let cells = [
        html! { (of.threshold_percent) "\u{202f}%" },
        html! { (amount(&of.measure, of.used)) },
        html! { (amount(&of.measure, of.limit)) },
        or_dash(raised, "unknown"),
    ];
    row(&format!("{} · {} {} · {}", of.budget_id, of.scope, of.instance, of.alert_id), &ALERT_COLUMNS, &cells)
}

/// So much of what a budget measures.
fn amount(measure: &str, n: f64) -> String {
    match measure {
        "usd" => usd(n),
        measure => measured(n.max(0.0).round() as u64, measure),
    }
}

/// The tables of budgets; nothing where there is none.
pub(super) fn budgets(report: &pb::GetInsightsResponse) -> Markup {
    let Some(of) = &report.budgets else { return html! {} };
    let shown = &of.accounts[..of.accounts.len().min(SHOWN)];
    let more = of.accounts_total.saturating_sub(shown.len() as u64);
    html! {
        @if !shown.is_empty() {
            (table(CAPTION, &COLUMNS, &html! { @for account in shown { (used(account)) } }))
            @if more > 0 { p.why { (many(more, "more account")) ": " a href="/v1/budgets" { "all budgets" } } }
        }
        @if !of.per_goal.is_empty() {
            (table(GOAL_CAPTION, &GOAL_COLUMNS, &html! { @for budget in &of.per_goal { (of_goals(budget)) } }))
        }
    }
}

fn used(of: &pb::BudgetUse) -> Markup {
    let amount = |n: f64| amount(&of.measure, n);
    let cells = [
        or_dash(of.utilisation.map(percent), "the limit is nothing"),
        html! { (amount(of.spent)) },
        html! { (amount(of.held)) },
        html! { (amount(of.limit)) },
        html! { (of.resets_at.as_ref().map_or_else(|| "never".to_owned(), |at| format!("{} UTC", instant(at.seconds)))) },
    ];
    row(&format!("{} · {} {}", of.budget_id, of.scope, of.instance), &COLUMNS, &cells)
}

fn of_goals(of: &pb::GoalBudgetUse) -> Markup {
    let cells = [
        html! { (count(of.goals)) },
        html! { (percent(of.p50)) " · " (percent(of.p95)) },
        html! { (percent(of.max)) },
        html! { (percent(of.share_exhausted)) },
    ];
    row(&of.budget_id, &GOAL_COLUMNS, &cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(instance: &str, measure: &str) -> pb::BudgetUse {
        pb::BudgetUse {
            budget_id: "team-month".into(),
            scope: "team".into(),
            instance: instance.into(),
            measure: measure.into(),
            limit: 500.0,
            spent: 412.5,
            held: 50.0,
            utilisation: Some(0.925),
            resets_at: Some(prost_types::Timestamp { seconds: 1_796_083_200, nanos: 0 }),
        }
    }

    fn shown(budgets_of: pb::BudgetInsights) -> String {
        budgets(&pb::GetInsightsResponse { budgets: Some(budgets_of), ..Default::default() }).into_string()
    }

    #[test]
    fn budgets_show_their_use_what_is_held_and_when_they_begin_anew() {
        let per_goal = pb::GoalBudgetUse {
            budget_id: "ticket-run".into(),
            goals: 1_200,
            p50: 0.25,
            p95: 0.8,
            max: 1.04,
            share_exhausted: 0.015,
        };
        let never = pb::BudgetUse { resets_at: None, held: 1.0, ..account("<b>", "calls") };
        let html = shown(pb::BudgetInsights {
            accounts: vec![account("billing", "usd"), never],
            accounts_total: 2,
            per_goal: vec![per_goal],
        });
        for part in [
            "team-month · team billing",
            "92.5\u{202f}%",
            "$412.50",
            "$50.00",
            "$500.00",
            "1 Dec 2026 00:00 UTC",
            "500 calls",
            "1 call<",
            "never",
            "&lt;b&gt;",
            "1,200",
            "25\u{202f}% · 80\u{202f}%",
            "104\u{202f}%",
            "1.5\u{202f}%",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("<b>") && !html.contains("more account"), "{html}");
    }

    #[test]
    fn alerts_are_shown_and_inert() {
        let one = pb::Alert {
            alert_id: "alert-7".into(),
            budget_id: "team-month".into(),
            scope: "team".into(),
            instance: "<b>".into(),
            threshold_percent: 80,
            measure: "usd".into(),
            limit: 500.0,
            used: 412.5,
            raised_at: Some(prost_types::Timestamp { seconds: 1_796_083_200, nanos: 0 }),
            ..Default::default()
        };
        let some = pb::ListAlertsResponse { alerts: vec![one], next_page_token: Some("more".into()) };
        let html = alerts(&some).into_string();
        for part in ["team-month · team &lt;b&gt; · alert-7", "80\u{202f}%", "$412.50", "1 Dec 2026 00:00 UTC", "older"]
        {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert_eq!(alerts(&pb::ListAlertsResponse::default()).into_string(), "");
    }

    #[test]
    fn of_very_many_accounts_the_most_used_are_shown() {
        let accounts = (0..30).map(|n| account(&format!("team-{n:02}"), "usd")).collect();
        let html = shown(pb::BudgetInsights { accounts, accounts_total: 130, per_goal: vec![] });
        assert!(html.contains("team-19") && !html.contains("team-20") && html.contains("110 more accounts"), "{html}");
        assert_eq!(shown(pb::BudgetInsights::default()), "");
    }
}
