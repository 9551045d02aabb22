//! An insights answer as text a person likes to read: what is worth acting on, the key figures, goals, tools and budgets,
//! then each task type with its models beneath. It knows no figure that is not in the answer, and says why one is missing.

use super::human::{
    UNKNOWN, chance, change, count, many, minute, percent, percent_or_unknown, printable, span, usd, usd_or_unknown,
};
use super::listing::{Cell, Column, Listing};
use super::{insights_goals, insights_tables};
use crate::domain::time::UnixMillis;
use crate::wire::pb::{self, OverProvisioningFlag};

const MODEL_COLUMNS: &[Column] = &[
    Column::text("model", "  MODEL"),
    Column::number("share", "CALLS OF TASK"),
    Column::number("success_rate", "SUCCESS"),
    Column::text("success_rate_interval", "TRUE RATE, 90 %"),
    Column::number("probability_best", "PROBABLY BEST"),
    Column::number("avg_cost_per_call", "COST/CALL"),
    Column::number("cost_per_success", "COST/SUCCESS"),
    Column::number("p95_latency_ms", "P95 MS"),
];

const COST_COLUMNS: &[Column] = &[
    Column::text("name", "  NAME"),
    Column::number("calls", "CALLS"),
    Column::number("cost_usd", "COST"),
    Column::number("unpriced_calls", "UNPRICED"),
];

/// What filters do not reach.
const UNFILTERED: &str = "\nProbably best, P95 and the advice are of all calls of a task type so far, whatever the window and the filters.\n";

/// The whole answer; `change` is why spend changed, where that was asked, `lookback_ms` what was asked for, `filtered`
/// whether a filter was set.
pub(super) fn text(answer: &pb::GetInsightsResponse, change: &str, lookback_ms: i64, filtered: bool) -> String {
    let mut text = heading(answer, lookback_ms) + change;
    insights_tables::signals(&mut text, &answer.signals);
    headline(&mut text, answer);
    if answer.calls == 0 && answer.decisions == 0 {
        text += "\nNo calls in this window yet.\n";
    }
    if let Some(goals) = &answer.goals {
        insights_goals::add(&mut text, goals);
    }
    insights_tables::add(&mut text, answer);
    answer.by_task.iter().for_each(|task| add_task(&mut text, task));
    if filtered && !answer.by_task.is_empty() {
        text += UNFILTERED;
    }
    if let Some(breakdown) = &answer.cost_breakdown {
        let parts = [
            ("model", &breakdown.by_model),
            ("workflow", &breakdown.by_workflow),
            ("step", &breakdown.by_step),
            ("tool", &breakdown.by_tool),
        ];
        parts.into_iter().for_each(|(name, rows)| add_breakdown(&mut text, name, rows));
    }
    if let Some(note) = &answer.note {
        text += &format!("\nNote: {}\n", printable(note));
    }
    text
}

/// The flag as a word of programs.
pub(super) fn flag_word(flag: OverProvisioningFlag) -> &'static str {
    flag.as_str_name().strip_prefix("OVER_PROVISIONING_FLAG_").unwrap_or("UNSPECIFIED")
}

/// The interval of an amount of dollars, in words.
pub(super) fn usd_between(interval: Option<pb::Interval>) -> String {
    interval.map_or_else(String::new, |i| format!("  (90 %: {} to {})", usd(i.low), usd(i.high)))
}

/// The first and last minute of a window.
pub(super) fn ends(of: Option<&pb::Window>) -> Option<(String, String)> {
    let at = |t: prost_types::Timestamp| minute(UnixMillis(t.seconds.saturating_mul(1_000)));
    let of = of?;
    Some((at(of.start?), at(of.end?)))
}

fn heading(answer: &pb::GetInsightsResponse, lookback_ms: i64) -> String {
    let mut text = format!("The last {}", span(lookback_ms));
    if let Some(((start, end), window)) = ends(answer.window.as_ref()).zip(answer.window.as_ref()) {
        text += &format!(": {start} to {end} UTC, to the {}", printable(&window.resolution));
    }
    text + "\n\n"
}

fn headline(text: &mut String, answer: &pb::GetInsightsResponse) {
    let changes = answer.changes.unwrap_or_default();
    let compared = answer.previous.is_some();
    let mut line = |name: &str, value: String, changed: Option<f64>| {
        let against =
            if compared { changed.map_or_else(String::new, |c| format!("   ({})", change(c))) } else { String::new() };
        *text += &format!("  {name:<24} {value}{against}\n");
    };
    if let Some(goals) =
        answer.goals.as_ref().and_then(|goals| goals.total.as_ref()).filter(|all| all.closed + all.sub_goals > 0)
    {
        let why = if goals.accepted + goals.accepted_sub_goals == 0 { "  (none accepted yet)" } else { "" };
        let between = usd_between(goals.cost_per_accepted_goal_interval);
        let one = format!("{}{between}{why}", usd_or_unknown(goals.cost_per_accepted_goal));
        line("cost of an accepted goal", one, goals.changes.and_then(|c| c.cost_per_accepted_goal));
    }
    let between = usd_between(answer.cost_per_success_interval);
    let why = if answer.cost_per_success.is_none() { "  (no success of known cost yet)" } else { "" };
    let one = format!("{}{between}{why}", usd_or_unknown(answer.cost_per_success));
    line("cost of one success", one, changes.cost_per_success);
    let evaluations = if answer.evaluation_cost_usd > 0.0 {
        format!("  (of it {} for evaluations)", usd(answer.evaluation_cost_usd))
    } else {
        String::new()
    };
    line("total cost", usd(answer.total_cost_usd) + &evaluations, changes.total_cost_usd);
    line("successful outcomes", count(answer.successful_outcomes), changes.successful_outcomes);
    let failed = format!("{}, costing {}", count(answer.failed_calls_count), usd(answer.failed_call_cost_usd));
    line("failed calls", failed, changes.failed_calls_count);
    if let Some(ratio) = answer.waste.and_then(|waste| waste.retry_waste_ratio).filter(|ratio| *ratio > 0.0) {
        line("spent on failed calls", format!("{} of the total cost", percent(ratio)), None);
    }
    let multiplier = answer.retry_multiplier.map_or_else(|| UNKNOWN.to_owned(), |m| format!("{m:.3}"));
    let retries = format!("{multiplier}  ({}, {} among them)", many(answer.calls, "call"), retries(answer.retries));
    line("retry multiplier", retries, changes.retry_multiplier);
    let coverage = percent_or_unknown(answer.pricing_coverage);
    let unpriced = match answer.unpriced_calls {
        0 => String::new(),
        n => format!("  ({} of unknown cost)", many(n, "call")),
    };
    line("cost known of", coverage + &unpriced, changes.pricing_coverage);
    let decisions = format!(
        "{}: {} without outcome, {} still open",
        count(answer.decisions),
        count(answer.decisions_without_outcome),
        count(answer.decisions_open)
    );
    line("decisions", decisions, changes.decisions);
    for (name, n) in
        [("calls without verdict", answer.unverdicted_calls), ("calls off policy", answer.off_policy_calls)]
    {
        if n > 0 {
            line(name, count(n), None);
        }
    }
    if let Some(before) = &answer.previous {
        let cost = usd_or_unknown(before.cost_per_success);
        let thin = if changes.cost_per_success_is_thin {
            "  (too few calls to compare a success with: under 30, or under 5 successes)"
        } else {
            ""
        };
        line("the window before", format!("{cost} a success, {} in all{thin}", usd(before.total_cost_usd)), None);
    }
}

fn retries(n: u64) -> String {
    if n == 1 { "1 retry".to_owned() } else { format!("{} retries", count(n)) }
}

fn add_task(text: &mut String, task: &pb::TaskInsights) {
    let name = printable(&task.name);
    let verdicts = match task.success_rate {
        Some(rate) => format!("{} successful{}", percent(rate), interval(task.success_rate_interval)),
        None => "no verdict yet".to_owned(),
    };
    let cost =
        task.cost_per_success.map_or_else(|| "cost of one success unknown".to_owned(), |c| usd(c) + " a success");
    *text +=
        &format!("\n{name}: {}, {verdicts}, {cost}, {} in all\n", many(task.calls, "call"), usd(task.total_cost_usd));
    let mut listing = Listing::new(MODEL_COLUMNS);
    task.by_model.iter().for_each(|model| listing.push(model_row(model)));
    if !task.by_model.is_empty() {
        *text += &listing.table();
        text.push('\n');
    }
    if let Some(over) = &task.over_provisioning {
        let mark = if over.flag() == OverProvisioningFlag::Flagged { "! " } else { "  " };
        if !over.sentence.is_empty() {
            *text += &format!("{mark}{}\n", printable(&over.sentence));
        }
    }
}

fn interval(interval: Option<pb::Interval>) -> String {
    interval.map_or_else(String::new, |i| format!(" (true rate, 90 %: {} to {})", percent(i.low), percent(i.high)))
}

fn name(model: &pb::ModelInsights) -> String {
    let name = if model.candidate.is_empty() { "(model not told)" } else { &model.candidate };
    model.absence().map_or_else(|| name.to_owned(), |why| format!("{name} ({why})"))
}

fn model_row(model: &pb::ModelInsights) -> Vec<Cell> {
    let between = model
        .success_rate_interval
        .map_or_else(|| UNKNOWN.to_owned(), |i| format!("{:.1} to {:.1} %", i.low * 100.0, i.high * 100.0));
    let latency = model.p95_latency_ms.map_or_else(|| UNKNOWN.to_owned(), |ms| format!("{ms:.0}"));
    let calls = format!("{} ({})", count(model.calls), percent(model.traffic_share));
    [
        format!("  {}", name(model)),
        calls,
        percent_or_unknown(model.success_rate),
        between,
        model.probability_best.map_or_else(|| UNKNOWN.to_owned(), chance),
        usd_or_unknown(model.avg_cost_per_call),
        usd_or_unknown(model.cost_per_success),
        latency,
    ]
    .map(Cell::from)
    .into()
}

fn add_breakdown(text: &mut String, name: &str, rows: &[pb::CostRow]) {
    let mut listing = Listing::new(COST_COLUMNS);
    for row in rows {
        let name = if row.name.is_empty() { "(none)" } else { &row.name };
        let is_unknown = row.cost_usd == 0.0 && row.calls > 0 && row.unpriced_calls == row.calls;
        let cost = if is_unknown { UNKNOWN.to_owned() } else { usd(row.cost_usd) };
        let cells = [format!("  {name}"), count(row.calls), cost, count(row.unpriced_calls)];
        listing.push(cells.map(Cell::from).into());
    }
    // One row without a name says nothing the headline has not said.
    if rows.iter().any(|row| !row.name.is_empty()) {
        *text += &format!("\nCost by {name}\n{}\n", listing.table());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_window_says_so_and_why_figures_are_missing() {
        let expected = "The last 7 days\n\n  \
                        cost of one success      –  (no success of known cost yet)\n  \
                        total cost               $0.00\n  \
                        successful outcomes      0\n  \
                        failed calls             0, costing $0.00\n  \
                        retry multiplier         –  (0 calls, 0 retries among them)\n  \
                        cost known of            –\n  \
                        decisions                0: 0 without outcome, 0 still open\n\n\
                        No calls in this window yet.\n";
        assert_eq!(text(&pb::GetInsightsResponse::default(), "", 168 * 3_600_000, false), expected);
    }

    #[test]
    fn a_sum_of_which_nothing_is_known_is_a_dash() {
        let row = |name: &str, unpriced_calls, cost_usd| pb::CostRow {
            name: name.to_owned(),
            calls: 2,
            unpriced_calls,
            cost_usd,
            ..pb::CostRow::default()
        };
        let mut text = String::new();
        add_breakdown(&mut text, "model", &[row("a", 2, 0.0), row("b", 1, 0.0), row("c", 2, 0.5)]);
        let costs: Vec<&str> = text.lines().skip(3).filter_map(|line| line.split_whitespace().nth(2)).collect();
        assert_eq!(costs, ["–", "$0.00", "$0.50"]);
    }

    #[test]
    fn a_window_too_thin_to_compare_with_is_told() {
        let mut answer = pb::GetInsightsResponse { previous: Some(pb::Headline::default()), ..Default::default() };
        answer.changes = Some(pb::HeadlineChanges { cost_per_success_is_thin: true, ..Default::default() });
        assert!(text(&answer, "", 1, false).contains("(too few calls to compare a success with"));
        answer.changes = Some(pb::HeadlineChanges::default());
        assert!(!text(&answer, "", 1, false).contains("too few calls"));
        answer.by_task = vec![pb::TaskInsights::default()];
        assert!(text(&answer, "", 1, true).contains("whatever the window and the filters"));
        assert!(!text(&answer, "", 1, false).contains("whatever the window and the filters"));
    }

    #[test]
    fn a_model_that_left_the_catalogue_is_named_as_such() {
        let model = |candidate: &str, router_calls| pb::ModelInsights {
            candidate: candidate.to_owned(),
            router_calls,
            ..pb::ModelInsights::default()
        };
        let names = [model("a", 1), model("a", 0), model("", 0), model("other", 0)].map(|m| name(&m));
        assert_eq!(names, ["a (left the catalogue)", "a (not in the catalogue)", "(model not told)", "other"]);
    }

    #[test]
    fn a_task_shows_its_models_and_its_flag() {
        let rates = pb::Interval { low: 0.9, high: 0.97, level: 0.9 };
        let model = pb::ModelInsights {
            candidate: "a/one".to_owned(),
            in_catalog: true,
            calls: 2_000,
            traffic_share: 1.0,
            success_rate: Some(0.95),
            success_rate_interval: Some(rates),
            avg_cost_per_call: Some(0.000_069),
            ..pb::ModelInsights::default()
        };
        let over = pb::OverProvisioning {
            flag: OverProvisioningFlag::Flagged.into(),
            sentence: "Use a/two.".to_owned(),
            ..pb::OverProvisioning::default()
        };
        let task = pb::TaskInsights {
            name: "triage\u{1b}[2J".to_owned(),
            calls: 2_000,
            success_rate: Some(0.95),
            success_rate_interval: Some(rates),
            total_cost_usd: 0.138,
            by_model: vec![model],
            over_provisioning: Some(over),
            ..pb::TaskInsights::default()
        };
        let mut text = String::new();
        add_task(&mut text, &task);
        let lines: Vec<&str> = text.lines().collect();
        let first = "triage\\u{1b}[2J: 2,000 calls, 95.0 % successful (true rate, 90 %: 90.0 % to 97.0 %), cost of one success unknown, \
                     $0.138 in all";
        assert_eq!(lines[1], first);
        let words: Vec<&str> = lines[3].split_whitespace().collect();
        let expected =
            ["a/one", "2,000", "(100.0", "%)", "95.0", "%", "90.0", "to", "97.0", "%", "–", "$0.000069", "–", "–"];
        assert_eq!(words, expected);
        assert_eq!(lines[4], "! Use a/two.");
    }
}
