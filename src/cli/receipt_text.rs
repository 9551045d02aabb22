//! A receipt as a tree a person can read: the goal, its steps, their calls, the goals below, and totals to the last digit.
//! It checks that the parts add up and says so where they do not.

use super::human::{amount, count, instant, many, printable, usd, usd_exact};
use super::receipt_call;
use super::tree::{Branch, drawn};
use super::words::{of_state, word};
use crate::wire::pb::{self, GoalEventKind};

/// The whole receipt.
pub(super) fn text(receipt: &pb::Receipt) -> String {
    let goal = receipt.goal.clone().unwrap_or_default();
    let mut text = format!("Goal {}\n", named(&goal));
    about(&goal).into_iter().for_each(|line| text += &format!("  {line}\n"));
    text.push('\n');
    let branches = parts(receipt);
    text += &if branches.is_empty() { "No calls.\n".to_owned() } else { drawn(&branches) };
    text + &totals(receipt, &goal)
}

fn named(goal: &pb::Goal) -> String {
    let workflow = goal.workflow.as_deref().map_or_else(String::new, |workflow| format!(" ({workflow})"));
    printable(&format!("{}{workflow}: {}", goal.goal_id, of_state(goal.state())))
}

fn about(goal: &pb::Goal) -> Vec<String> {
    let mut lines = Vec::new();
    if !goal.labels.is_empty() {
        let labels: Vec<String> = goal.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        lines.push(printable(&format!("labels   {}", labels.join(", "))));
    }
    if let Some(parent) = &goal.parent_goal_id {
        lines.push(printable(&format!("part of  {parent}")));
    }
    let closed = goal.closed_at.as_ref();
    let end = closed.map_or_else(|| "not ended".to_owned(), |at| format!("ended {}", instant(Some(at))));
    lines.push(format!("opened   {}, {end} (UTC)", instant(goal.opened_at.as_ref())));
    if let Some(score) = goal.score {
        lines.push(format!("score    {score}"));
    }
    if let Some(limit) = goal.limit_usd {
        lines.push(format!("limit    {}", usd(limit)));
    }
    lines.extend(goal.budgets.iter().map(budget));
    lines.extend(goal.events.iter().map(event));
    lines
}

fn budget(of: &pb::BudgetState) -> String {
    let [limit, spent, held, left] = [of.limit, of.spent, of.held, of.remaining].map(|n| amount(&of.measure, n));
    let instance = if of.instance.is_empty() { String::new() } else { format!(" of {}", of.instance) };
    let unit = if of.measure == "usd" { String::new() } else { format!(" {}", of.measure) };
    printable(&format!("budget   {}{instance}: {spent} of {limit}{unit} spent, {held} held, {left} left", of.id))
}

fn event(of: &pb::GoalEvent) -> String {
    let state = word(of.state().as_str_name(), "GOAL_STATE_");
    let state = if state.is_empty() { state } else { format!(" as {state}") };
    let what = match of.kind() {
        GoalEventKind::Closed => "ended",
        GoalEventKind::Amended => "amended",
        GoalEventKind::Reopened => "re-opened",
        GoalEventKind::Granted => "granted",
        GoalEventKind::Unspecified => "noted",
    };
    let granted = of.granted_usd.map_or_else(String::new, |extra| format!(" {}", usd(extra)));
    let by = of.by.as_deref().map_or_else(String::new, |by| format!(" by {by}"));
    let note = of.note.as_deref().map_or_else(String::new, |note| format!(": {note}"));
    printable(&format!("{what}{granted}{state} at {}{by}{note}", instant(of.at.as_ref())))
}

fn parts(receipt: &pb::Receipt) -> Vec<Branch> {
    let step = |step: &pb::StepReceipt| {
        let line = format!("{}: {}", printable(&step.step), summed(&step.sums.unwrap_or_default()));
        Branch { lines: vec![line], below: step.calls.iter().map(receipt_call::branch).collect() }
    };
    let goal = |receipt: &pb::Receipt| {
        let goal = receipt.goal.clone().unwrap_or_default();
        let line = format!("goal {}, {}", named(&goal), summed(&goal.whole.unwrap_or_default()));
        Branch { lines: vec![line], below: parts(receipt) }
    };
    receipt.steps.iter().map(step).chain(receipt.sub_goals.iter().map(goal)).collect()
}

fn summed(sums: &pb::GoalSums) -> String {
    let mut said = Vec::new();
    if sums.failed_calls > 0 {
        said.push(format!("{} failed, costing {}", count(sums.failed_calls), usd_exact(sums.failed_cost_nano_usd)));
    }
    match sums.retries {
        0 => {}
        1 => said.push("1 retry".to_owned()),
        n => said.push(format!("{} retries", count(n))),
    }
    for (n, what) in [(sums.unpriced_calls, "of unknown cost"), (sums.open_calls, "without outcome")] {
        if n > 0 {
            said.push(format!("{} {what}", count(n)));
        }
    }
    let more = if said.is_empty() { String::new() } else { format!(" ({})", said.join("; ")) };
    format!("{} in {}{more}", usd_exact(sums.cost_nano_usd), many(sums.calls, "call"))
}

fn totals(receipt: &pb::Receipt, goal: &pb::Goal) -> String {
    let [own, whole] = [goal.own, goal.whole].map(|sums| sums.unwrap_or_default().cost_nano_usd);
    let below = cost(receipt.sub_goals.iter().map(|below| below.goal.as_ref().and_then(|goal| goal.whole)));
    let mut text = format!("Total: {}\n", summed(&goal.whole.unwrap_or_default()));
    if !receipt.sub_goals.is_empty() {
        let goals = many(receipt.sub_goals.len() as u64, "goal");
        text += &format!("       {} its own, {} of {goals} below\n", usd_exact(own), usd_exact(below));
    }
    let steps = cost(receipt.steps.iter().map(|step| step.sums));
    for (what, parts, sum) in [("steps", steps, own), ("goal and those below it", own.saturating_add(below), whole)] {
        if parts != sum {
            text += &format!("! The {what} add up to {}, not to {}.\n", usd_exact(parts), usd_exact(sum));
        }
    }
    text
}

fn cost(sums: impl Iterator<Item = Option<pb::GoalSums>>) -> u64 {
    sums.flatten().map(|sums| sums.cost_nano_usd).fold(0, u64::saturating_add)
}
