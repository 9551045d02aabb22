//! The goals of an insights answer as text: what an accepted one cost by workflow, how goals ended, how their cost spreads.
//! It knows no figure that is not in the answer.

use super::human::{UNKNOWN, change, count, many, percent, percent_or_unknown, span, usd, usd_or_unknown};
use super::listing::{Cell, Column, Listing};
use crate::wire::pb;

const WORKFLOW_COLUMNS: &[Column] = &[
    Column::text("workflow", "  WORKFLOW"),
    Column::number("closed", "CLOSED"),
    Column::number("accepted", "ACCEPTED"),
    Column::number("cost_per_accepted_goal", "COST/ACCEPTED"),
    Column::text("interval", "TRUE COST, 90 %"),
    Column::number("change", "CHANGE"),
    Column::number("failure_cost_share", "SPENT ON FAILED"),
    Column::number("spend_usd", "SPEND"),
];

const STATE_COLUMNS: &[Column] = &[
    Column::text("state", "  GOALS THAT ENDED"),
    Column::number("goals", "GOALS"),
    Column::number("share", "SHARE"),
    Column::number("cost_usd", "COST"),
    Column::number("cost_share", "SHARE OF COST"),
];

const COST_COLUMNS: &[Column] = &[
    Column::text("goals", "  COST OF ONE GOAL"),
    Column::number("p50_usd", "P50"),
    Column::number("p95_usd", "P95"),
    Column::number("p99_usd", "P99"),
    Column::number("mean_usd", "MEAN"),
    Column::number("max_usd", "MAX"),
    Column::number("dearest_1_percent_share", "DEAREST 1 % TAKE"),
    Column::number("dearest_5_percent_share", "DEAREST 5 % TAKE"),
];

const MARGIN_COLUMNS: &[Column] = &[
    Column::text("workflow", "  MARGIN OF"),
    Column::number("price_usd", "PRICE"),
    Column::number("p50_usd", "LEFT AT P50"),
    Column::number("p99_usd", "LEFT AT P99"),
    Column::number("after_failures_usd", "LEFT AFTER FAILURES"),
    Column::number("share_at_loss", "SOLD AT A LOSS"),
];

/// Adds the section; nothing where no goal was closed.
pub(super) fn add(text: &mut String, goals: &pb::GoalInsights) {
    let Some(total) = goals.total.as_ref().filter(|total| total.closed + total.sub_goals > 0) else { return };
    *text += &format!("\nGoals: {} closed, {} of them accepted", count(total.closed), count(total.accepted));
    if goals.sub_goals > 0 {
        *text += &format!("; {} below them", many(goals.sub_goals, "goal"));
    }
    text.push('\n');
    let tables = [workflows(goals, total), states(total), costs(goals, total), margins(goals)];
    for table in tables.into_iter().flatten() {
        *text += &format!("{}\n\n", table.table());
    }
    let sentences = [total.shape.as_ref().map(shape), total.per_accepted.as_ref().and_then(taken)];
    for sentence in sentences.into_iter().flatten() {
        *text += &format!("  {sentence}\n");
    }
}

fn name(workflow: &str) -> String {
    format!("  {}", if workflow.is_empty() { "(none)" } else { workflow })
}

/// The rows with what they are called: the whole first, and alone where it says all there is.
fn rows<'a>(goals: &'a pb::GoalInsights, total: &'a pb::GoalFigures) -> Vec<(String, &'a pb::GoalFigures)> {
    let each = goals.by_workflow.iter().map(|row| (name(&row.workflow), row));
    if goals.by_workflow.len() == 1 {
        return each.collect();
    }
    std::iter::once(("  (all)".to_owned(), total)).chain(each).collect()
}

fn workflows(goals: &pb::GoalInsights, total: &pb::GoalFigures) -> Option<Listing> {
    let mut listing = Listing::new(WORKFLOW_COLUMNS);
    for (name, row) in rows(goals, total) {
        let between = row.cost_per_accepted_goal_interval;
        let between = between.map_or_else(|| UNKNOWN.to_owned(), |i| format!("{} to {}", usd(i.low), usd(i.high)));
        let changed = row.changes.and_then(|c| c.cost_per_accepted_goal);
        let cells = [
            name,
            and_below(row.closed, row.sub_goals),
            and_below(row.accepted, row.accepted_sub_goals),
            usd_or_unknown(row.cost_per_accepted_goal),
            between,
            changed.map_or_else(|| UNKNOWN.to_owned(), change),
            percent_or_unknown(row.failure_cost_share),
            usd(row.spend_usd),
        ];
        listing.push(cells.map(Cell::from).into());
    }
    Some(listing)
}

/// Goals, and those of the same workflow that stand below goals of others: "12 +3".
fn and_below(goals: u64, below: u64) -> String {
    if below == 0 { count(goals) } else { format!("{} +{}", count(goals), count(below)) }
}

fn states(total: &pb::GoalFigures) -> Option<Listing> {
    let mut listing = Listing::new(STATE_COLUMNS);
    for row in &total.by_state {
        let cells = [
            format!("  {}", state(row.state())),
            count(row.goals),
            percent(row.share),
            usd(row.cost_usd),
            percent(row.cost_share),
        ];
        listing.push(cells.map(Cell::from).into());
    }
    (!total.by_state.is_empty()).then_some(listing)
}

/// "timed out".
fn state(state: pb::GoalState) -> String {
    state.as_str_name().trim_start_matches("GOAL_STATE_").to_lowercase().replace('_', " ")
}

fn costs(goals: &pb::GoalInsights, total: &pb::GoalFigures) -> Option<Listing> {
    let mut listing = Listing::new(COST_COLUMNS);
    let parts = [("  accepted", &total.cost_per_accepted), ("  not accepted", &total.cost_per_not_accepted)];
    let parts = parts.into_iter().map(|(name, costs)| (name.to_owned(), costs));
    let each = rows(goals, total).into_iter().map(|(name, row)| (name, &row.cost_per_goal));
    let known = |(name, costs): (String, &Option<pb::CostDistribution>)| costs.map(|costs| (name, costs));
    for (name, costs) in each.chain(parts).filter_map(known) {
        let cells = [
            name,
            usd(costs.p50_usd),
            usd(costs.p95_usd),
            usd(costs.p99_usd),
            usd(costs.mean_usd),
            usd(costs.max_usd),
            percent(costs.dearest_1_percent_share),
            percent(costs.dearest_5_percent_share),
        ];
        listing.push(cells.map(Cell::from).into());
    }
    Some(listing)
}

fn margins(goals: &pb::GoalInsights) -> Option<Listing> {
    let mut listing = Listing::new(MARGIN_COLUMNS);
    for (workflow, margin) in goals.by_workflow.iter().filter_map(|row| Some((&row.workflow, row.margin?))) {
        let cells = [
            name(workflow),
            usd(margin.price_usd),
            usd(margin.p50_usd),
            usd(margin.p99_usd),
            usd(margin.after_failures_usd),
            percent(margin.share_at_loss),
        ];
        listing.push(cells.map(Cell::from).into());
    }
    goals.by_workflow.iter().any(|row| row.margin.is_some()).then_some(listing)
}

fn shape(shape: &pb::GoalShape) -> String {
    let sized = |of: &Option<pb::Spread>, shown: fn(f64) -> String| {
        of.map_or_else(|| UNKNOWN.to_owned(), |s| format!("{} at P50, {} at P95", shown(s.p50), shown(s.p95)))
    };
    let number = |n: f64| format!("{}", (n * 10.0).round() / 10.0);
    let between = shape
        .resolution_rate_interval
        .map_or_else(String::new, |i| format!(" (true rate, 90 %: {} to {})", percent(i.low), percent(i.high)));
    let score = shape
        .mean_score
        .map_or_else(String::new, |score| format!(", mean score {score:.2} of {}", many(shape.scored, "goal")));
    format!(
        "{} accepted{between}, {} taken over by a human, {} came back{score}.\n  Calls of a goal: {}; steps: {}; time: {}.",
        percent(shape.resolution_rate),
        percent(shape.escalation_rate),
        percent(shape.rework_rate),
        sized(&shape.calls, number),
        sized(&shape.steps, number),
        sized(&shape.wall_ms, |ms| span(ms.round() as i64)),
    )
}

/// What one accepted goal took beside money; `None` where nothing of it is known.
fn taken(per: &pb::PerAcceptedGoal) -> Option<String> {
    let parts: Vec<String> = [
        per.tokens.map(|n| format!("{} tokens", count(n.round() as u64))),
        per.latency_ms.map(|ms| format!("{} of calls", span(ms.round() as i64))),
        per.energy_j.map(|j| format!("{} J", (j * 10.0).round() / 10.0)),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!parts.is_empty()).then(|| format!("An accepted goal took {}, failed goals included.", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workflow(name: &str) -> pb::GoalFigures {
        let costs = |p50_usd| {
            Some(pb::CostDistribution { goals: 3, p50_usd, p95_usd: 2.0, p99_usd: 3.0, ..Default::default() })
        };
        pb::GoalFigures {
            workflow: name.to_owned(),
            spend_usd: 47.0,
            closed: 120,
            accepted: 100,
            cost_per_accepted_goal: Some(0.47),
            cost_per_accepted_goal_interval: Some(pb::Interval { low: 0.44, high: 0.5, level: 0.9 }),
            failure_cost_share: Some(0.25),
            by_state: vec![pb::GoalStateRow {
                state: pb::GoalState::TimedOut.into(),
                goals: 20,
                share: 0.1667,
                cost_usd: 11.5,
                cost_share: 0.25,
                ..Default::default()
            }],
            cost_per_goal: costs(0.3),
            cost_per_accepted: costs(0.2),
            cost_per_not_accepted: None,
            margin: Some(pb::GoalMargin { price_usd: 0.99, p50_usd: 0.79, p99_usd: -0.5, ..Default::default() }),
            per_accepted: Some(pb::PerAcceptedGoal {
                tokens: Some(5_500.4),
                energy_j: Some(1.25),
                ..Default::default()
            }),
            changes: Some(pb::GoalChanges { cost_per_accepted_goal: Some(0.38), ..Default::default() }),
            ..Default::default()
        }
    }

    fn shown(by_workflow: Vec<pb::GoalFigures>) -> Vec<String> {
        let mut text = String::new();
        add(&mut text, &pb::GoalInsights { total: Some(workflow("")), by_workflow, sub_goals: 1 });
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn goals_show_cost_endings_spread_and_margin() {
        let lines = shown(vec![workflow("support"), workflow("")]);
        for expected in [
            "Goals: 120 closed, 100 of them accepted; 1 goal below them",
            "(all) 120 100 $0.47 $0.44 to $0.50 +38.0 % 25.0 % $47.00",
            "support 120 100 $0.47 $0.44 to $0.50 +38.0 % 25.0 % $47.00",
            "(none) 120 100 $0.47 $0.44 to $0.50 +38.0 % 25.0 % $47.00",
            "timed out 20 16.7 % $11.50 25.0 %",
            "(all) $0.30 $2.00 $3.00 $0.00 $0.00 0.0 % 0.0 %",
            "accepted $0.20 $2.00 $3.00 $0.00 $0.00 0.0 % 0.0 %",
            "support $0.99 $0.79 -$0.50 $0.00 0.0 %",
            "An accepted goal took 5,500 tokens, 1.3 J, failed goals included.",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected} in {lines:#?}");
        }
        assert!(!lines.iter().any(|line| line.starts_with("not accepted")), "there was none: {lines:#?}");
        let one = shown(vec![workflow("support")]);
        assert!(!one.iter().any(|line| line.starts_with("(all)")), "one workflow is all there is: {one:#?}");
    }

    #[test]
    fn without_a_closed_goal_there_is_no_section() {
        let mut text = String::new();
        add(&mut text, &pb::GoalInsights { total: Some(pb::GoalFigures::default()), ..Default::default() });
        assert_eq!(text, "");
    }
}
