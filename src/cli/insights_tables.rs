//! What else an insights answer tells, as text: signals, tools and steps, budgets, contexts, two values or workflows side
//! by side, and how good the record is. It knows no figure that is not in the answer.

use super::human::{UNKNOWN, count, day, many, percent, percent_or_unknown, printable, usd, usd_or_unknown};
use super::listing::{Cell, Column, Listing};
use crate::domain::time::UnixMillis;
use crate::wire::pb;

const EFFICIENCY_COLUMNS: &[Column] = &[
    Column::text("name", "  NAME"),
    Column::number("calls", "CALLS"),
    Column::number("failure_rate", "FAILED"),
    Column::number("retries", "RETRIES"),
    Column::number("price_per_call_usd", "COST/CALL"),
    Column::number("attempts_per_completion", "CALLS/COMPLETION"),
    Column::number("effective_cost_usd", "COST/COMPLETION"),
    Column::number("cost_usd", "COST"),
    Column::number("cost_share", "SHARE OF COST"),
];

const ACCOUNT_COLUMNS: &[Column] = &[
    Column::text("budget_id", "  BUDGET"),
    Column::text("scope", "OF"),
    Column::number("utilisation", "USED"),
    Column::number("spent", "SPENT"),
    Column::number("held", "HELD"),
    Column::number("limit", "LIMIT"),
    Column::text("resets_at", "BEGINS ANEW"),
];

const GOAL_BUDGET_COLUMNS: &[Column] = &[
    Column::text("budget_id", "  BUDGET OF GOALS"),
    Column::number("goals", "GOALS"),
    Column::number("p50", "USED AT P50"),
    Column::number("p95", "AT P95"),
    Column::number("max", "AT MOST"),
    Column::number("share_exhausted", "USED UP"),
];

const VARIANT_COLUMNS: &[Column] = &[
    Column::text("value", "  VALUE"),
    Column::number("closed", "CLOSED"),
    Column::number("accepted", "ACCEPTED"),
    Column::text("resolution_rate", "ACCEPTED, 90 %"),
    Column::text("cost_per_accepted_goal", "COST/ACCEPTED, 90 %"),
    Column::text("calls_per_goal", "CALLS/GOAL, 90 %"),
    Column::text("call_success_rate", "CALLS SUCCESSFUL, 90 %"),
    Column::number("spend_usd", "SPEND"),
];

/// Accounts shown.
const ACCOUNTS_SHOWN: usize = 20;

/// Adds what is worth acting on; stands before everything else.
pub(super) fn signals(text: &mut String, signals: &[pb::Signal]) {
    for signal in signals {
        *text += &format!("! {}\n", printable(&signal.sentence));
    }
    if !signals.is_empty() {
        text.push('\n');
    }
}

/// Adds the tables that have rows.
pub(super) fn add(text: &mut String, answer: &pb::GetInsightsResponse) {
    add_efficiency(text, "Tools", &answer.tools);
    // Steps without names of their own are called by their task types or tools, which are told anyhow.
    let told = |step: &pb::Efficiency| {
        answer.by_task.iter().any(|task| task.name == step.name) || answer.tools.iter().any(|t| t.name == step.name)
    };
    if !answer.steps.iter().all(told) {
        add_efficiency(text, "Steps", &answer.steps);
    }
    if let Some(budgets) = &answer.budgets {
        add_budgets(text, budgets);
    }
    if let [first, .., last] = &answer.context_growth[..] {
        let tokens = |row: &pb::ContextRow| count(row.mean_input_tokens.round() as u64);
        *text += &format!(
            "\nContexts: {} input tokens on average in the first call of a goal, {} in call {}\n",
            tokens(first),
            tokens(last),
            u64::from(last.first) + 1,
        );
    }
    if let Some(comparison) = &answer.comparison {
        add_comparison(text, comparison);
    }
    if let Some(overhead) = &answer.overhead {
        add_overhead(text, overhead);
    }
    if let Some(quality) = &answer.quality {
        add_quality(text, quality);
    }
}

fn add_efficiency(text: &mut String, title: &str, rows: &[pb::Efficiency]) {
    let mut listing = Listing::new(EFFICIENCY_COLUMNS);
    for row in rows {
        let cells = [
            format!("  {}", row.name),
            count(row.calls),
            percent_or_unknown(row.failure_rate),
            count(row.retries),
            usd_or_unknown(row.price_per_call_usd),
            row.attempts_per_completion.map_or_else(|| UNKNOWN.to_owned(), |n| format!("{n:.2}")),
            usd_or_unknown(row.effective_cost_usd),
            usd(row.cost_usd),
            percent(row.cost_share),
        ];
        listing.push(cells.map(Cell::from).into());
    }
    if !rows.is_empty() {
        *text += &format!("\n{title}\n{}\n", listing.table());
    }
}

fn add_budgets(text: &mut String, budgets: &pb::BudgetInsights) {
    let mut accounts = Listing::new(ACCOUNT_COLUMNS);
    for row in budgets.accounts.iter().take(ACCOUNTS_SHOWN) {
        let amount =
            |n: f64| if row.measure == "usd" { usd(n) } else { format!("{} {}", count(n as u64), row.measure) };
        let cells = [
            format!("  {}", row.budget_id),
            format!("{} {}", row.scope, row.instance),
            percent_or_unknown(row.utilisation),
            amount(row.spent),
            amount(row.held),
            amount(row.limit),
            row.resets_at.map_or_else(|| "never".to_owned(), |at| day(UnixMillis(at.seconds.saturating_mul(1_000)))),
        ];
        accounts.push(cells.map(Cell::from).into());
    }
    if !budgets.accounts.is_empty() {
        *text += &format!("\nBudgets, the most used first\n{}\n", accounts.table());
    }
    let shown = u64::try_from(budgets.accounts.len().min(ACCOUNTS_SHOWN)).unwrap_or(0);
    if budgets.accounts_total > shown {
        *text += &format!("  and {} more\n", count(budgets.accounts_total - shown));
    }
    let mut of_goals = Listing::new(GOAL_BUDGET_COLUMNS);
    for row in &budgets.per_goal {
        let shares = [row.p50, row.p95, row.max, row.share_exhausted].map(percent);
        let cells = [format!("  {}", row.budget_id), count(row.goals)].into_iter().chain(shares);
        of_goals.push(cells.map(Cell::from).collect());
    }
    if !budgets.per_goal.is_empty() {
        *text += &format!("\nBudgets of each goal, over the goals closed in the window\n{}\n", of_goals.table());
    }
}

fn add_comparison(text: &mut String, comparison: &pb::Comparison) {
    let mut listing = Listing::new(VARIANT_COLUMNS);
    let figure = |figure: Option<f64>, interval: Option<pb::Interval>, shown: fn(f64) -> String| {
        let between = interval.map_or_else(String::new, |i| format!(" ({} to {})", shown(i.low), shown(i.high)));
        figure.map_or_else(|| UNKNOWN.to_owned(), |f| shown(f) + &between)
    };
    for of in [&comparison.a, &comparison.b].into_iter().flatten() {
        let cells = [
            format!("  {}", of.value),
            count(of.closed),
            count(of.accepted),
            figure(of.resolution_rate, of.resolution_rate_interval, percent),
            figure(of.cost_per_accepted_goal, of.cost_per_accepted_goal_interval, usd),
            figure(of.calls_per_goal, of.calls_per_goal_interval, |n| format!("{n:.2}")),
            figure(of.call_success_rate, of.call_success_rate_interval, percent),
            usd(of.spend_usd),
        ];
        listing.push(cells.map(Cell::from).into());
    }
    *text += &format!("\nLabel {}\n{}\n", printable(&comparison.label), listing.table());
}

fn add_overhead(text: &mut String, of: &pb::Overhead) {
    let times = |ratio: Option<f64>, what: &str| ratio.map(|r| format!("{r:.2} times the {what}"));
    let parts =
        [times(of.cost, "cost"), times(of.tokens, "tokens"), times(of.latency, "latency"), times(of.energy, "energy")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let (workflow, baseline) = (printable(&of.workflow), printable(&of.baseline));
    *text += &if parts.is_empty() {
        format!("\nOverhead: {workflow} cannot be measured by {baseline}; one of them accepted no goal\n")
    } else {
        format!("\nOverhead: an accepted goal of {workflow} takes {} of one of {baseline}\n", parts.join(", "))
    };
}

/// Only what goals add: the rest stands in the headline.
fn add_quality(text: &mut String, of: &pb::RecordQuality) {
    if of.goals_open > 0 {
        *text += &format!("\n{} still open\n", many(of.goals_open, "goal"));
    }
    let source = |of: &pb::SourceQuality| {
        let name = if of.source.is_empty() { "unnamed" } else { &of.source };
        format!("{name} {} ({} success)", many(of.outcomes, "outcome"), percent(of.success_rate))
    };
    if !of.sources.is_empty() {
        let told: Vec<String> = of.sources.iter().map(source).collect();
        *text += &format!("\nThe router learns from {}\n", told.join(", "));
    }
    if let Some(found) = of.graded_rate {
        let between = of
            .graded_rate_interval
            .map_or_else(String::new, |i| format!(" (of all, 90 %: {} to {})", percent(i.low), percent(i.high)));
        *text += &format!(
            "\nAudit of {}: {} found accepted{between}, {} had been said to be\n",
            many(of.graded, "goal"),
            percent(found),
            percent_or_unknown(of.graded_self_reported_rate),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_by(source: &str, outcomes: u64, success_rate: f64) -> pb::SourceQuality {
        pb::SourceQuality { source: source.into(), outcomes, success_rate, ..Default::default() }
    }

    fn shown(answer: &pb::GetInsightsResponse) -> Vec<String> {
        let mut text = String::new();
        signals(&mut text, &answer.signals);
        add(&mut text, answer);
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    fn tool(name: &str) -> pb::Efficiency {
        pb::Efficiency {
            name: name.to_owned(),
            calls: 1_250,
            completions: 1_000,
            retries: 250,
            failure_rate: Some(0.2),
            price_per_call_usd: Some(0.03),
            attempts_per_completion: Some(1.25),
            effective_cost_usd: Some(0.0375),
            cost_usd: 37.5,
            cost_share: 0.79,
            ..Default::default()
        }
    }

    #[test]
    fn signals_stand_first_and_tools_tell_the_cost_of_a_completion() {
        let sentence = "search_api\u{1b} takes most. Recommended: cache it.".to_owned();
        let answer = pb::GetInsightsResponse {
            signals: vec![pb::Signal { sentence, ..Default::default() }],
            tools: vec![tool("search_api")],
            steps: vec![tool("search_api")],
            ..Default::default()
        };
        let lines = shown(&answer);
        assert_eq!(lines[0], "! search_api\\u{1b} takes most. Recommended: cache it.");
        let row = "search_api 1,250 20.0 % 250 $0.03 1.25 $0.0375 $37.50 79.0 %";
        assert!(lines.iter().any(|line| line == row), "{lines:#?}");
        assert!(!lines.iter().any(|line| line == "Steps"), "the steps say nothing more: {lines:#?}");
        let steps = pb::GetInsightsResponse { steps: vec![tool("search")], ..answer };
        assert!(shown(&steps).iter().any(|line| line == "Steps"));
    }

    #[test]
    fn budgets_show_the_unit_and_how_many_are_left_out() {
        let account = pb::BudgetUse {
            budget_id: "team-month".into(),
            scope: "team".into(),
            instance: "support".into(),
            measure: "usd".into(),
            limit: 100.0,
            spent: 80.0,
            held: 5.0,
            utilisation: Some(0.85),
            resets_at: Some(prost_types::Timestamp { seconds: 86_400, nanos: 0 }),
        };
        let calls = pb::BudgetUse { measure: "calls".into(), resets_at: None, utilisation: None, ..account.clone() };
        let goal = pb::GoalBudgetUse {
            budget_id: "goal".into(),
            goals: 7,
            p50: 0.5,
            p95: 0.9,
            max: 1.5,
            share_exhausted: 0.125,
        };
        let budgets = pb::BudgetInsights { accounts: vec![account, calls], accounts_total: 5, per_goal: vec![goal] };
        let lines = shown(&pb::GetInsightsResponse { budgets: Some(budgets), ..Default::default() });
        for expected in [
            "team-month team support 85.0 % $80.00 $5.00 $100.00 1970-01-02",
            "team-month team support – 80 calls 5 calls 100 calls never",
            "and 3 more",
            "Budgets of each goal, over the goals closed in the window",
            "goal 7 50.0 % 90.0 % 150.0 % 12.5 %",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected} in {lines:#?}");
        }
    }

    #[test]
    fn what_is_compared_is_told_with_its_intervals() {
        let of = |value: &str, interval| pb::Variant {
            value: value.to_owned(),
            closed: 40,
            accepted: 20,
            spend_usd: 2.0,
            resolution_rate: Some(0.5),
            resolution_rate_interval: interval,
            calls_per_goal: Some(1.25),
            ..Default::default()
        };
        let within = Some(pb::Interval { low: 0.4, high: 0.6, level: 0.9 });
        let comparison = pb::Comparison { label: "prompt".into(), a: Some(of("v1", within)), b: Some(of("v2", None)) };
        let overhead = pb::Overhead {
            workflow: "agent".into(),
            baseline: "single".into(),
            cost: Some(4.0),
            energy: Some(3.5),
            ..Default::default()
        };
        let quality = pb::RecordQuality {
            goals_open: 3,
            sources: [("", 1_200, 0.9), ("ci", 1, 1.0)].map(|s| told_by(s.0, s.1, s.2)).into(),
            graded: 20,
            graded_rate: Some(0.75),
            graded_self_reported_rate: Some(0.9),
            ..Default::default()
        };
        let at = |first, mean_input_tokens| pb::ContextRow { first, last: first, calls: 9, mean_input_tokens };
        let lines = shown(&pb::GetInsightsResponse {
            comparison: Some(comparison),
            overhead: Some(overhead),
            quality: Some(quality),
            context_growth: vec![at(0, 812.4), at(16, 4_210.0)],
            ..Default::default()
        });
        for expected in [
            "v1 40 20 50.0 % (40.0 % to 60.0 %) – 1.25 – $2.00",
            "v2 40 20 50.0 % – 1.25 – $2.00",
            "Overhead: an accepted goal of agent takes 4.00 times the cost, 3.50 times the energy of one of single",
            "3 goals still open",
            "The router learns from unnamed 1,200 outcomes (90.0 % success), ci 1 outcome (100.0 % success)",
            "Audit of 20 goals: 75.0 % found accepted, 90.0 % had been said to be",
            "Contexts: 812 input tokens on average in the first call of a goal, 4,210 in call 17",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected} in {lines:#?}");
        }
    }
}
