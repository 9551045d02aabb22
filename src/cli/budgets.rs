//! `budgets`: every budget of a running daemon as it stands in its present period. It adds nothing up.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use super::args::{Format, SettingFlags};
use super::args_goals::BudgetsArgs;
use super::failure::Failure;
use super::human::{UNKNOWN, amount, instant, percent_or_unknown, rfc3339};
use super::listing::{Cell, Column, Listing, print_json};
use super::{client, setup};
use crate::http::json;
use crate::wire::pb;
use crate::wire::pb::insights_service_client::InsightsServiceClient;

/// Longest wait, connection included.
const PATIENCE: Duration = Duration::from_secs(60);

const COLUMNS: &[Column] = &[
    Column::text("id", "BUDGET"),
    Column::text("scope", "SCOPE"),
    Column::text("instance", "OF"),
    Column::program("goal_id"),
    Column::text("measure", "MEASURE"),
    Column::text("period", "PERIOD"),
    Column::number("limit", "LIMIT"),
    Column::number("spent", "SPENT"),
    Column::number("held", "HELD"),
    Column::number("remaining", "LEFT"),
    Column::number("utilisation", "USED"),
    Column::text("resets_at", "RESETS"),
    Column::text("on_exceed", "WHEN USED UP"),
    Column::program("presumed"),
    Column::program("granted"),
];

/// Asks the daemon and prints its budgets.
///
/// # Errors
/// Nothing answers, or the daemon refused.
pub(super) fn run(
    flags: &SettingFlags,
    args: &BudgetsArgs,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let address = setup::address(&args.server, flags)?;
    let (budgets, more) = client::run(PATIENCE, async {
        let client = InsightsServiceClient::new(client::connect(&address).await?);
        client::pages(args.limit, |page_size, page_token| {
            let mut client = client.clone();
            let request = pb::ListBudgetsRequest {
                budget_id: args.budget.clone(),
                scope: args.scope.clone(),
                instance: args.instance.clone(),
                goal_id: args.goal_id.clone(),
                page_size,
                page_token,
            };
            async move {
                let page = client.list_budgets(request).await.map_err(|status| client::refused(&status))?.into_inner();
                Ok((page.budgets, page.next_page_token))
            }
        })
        .await
    })?;
    if format == Format::Json {
        let told = |budget| json::write(&json::dynamic(json::message("BudgetState"), budget));
        return print_json(&Value::Array(budgets.iter().map(told).collect()), out);
    }
    let mut listing = Listing::new(COLUMNS);
    budgets.iter().for_each(|budget| listing.push(row(budget)));
    listing.print(format, out)?;
    if format == Format::Table && budgets.iter().any(is_of_each_goal) {
        let say = "Budgets of each goal are shown by their limit alone: --goal-id tells how far one goal has used them, \
                   `oddsmaker insights` how far the goals that were closed did.";
        writeln!(out, "\n{say}")?;
    }
    client::tell_more(more, budgets.len(), "budget", format, out)
}

/// Whether it stands for the accounts of all goals, none of which is meant.
fn is_of_each_goal(of: &pb::BudgetState) -> bool {
    of.instance.is_empty() && (of.scope == "goal" || of.period == "per_goal")
}

fn row(of: &pb::BudgetState) -> Vec<Cell> {
    let counted = |n: f64| Cell::shown(n, amount(&of.measure, n));
    let each = is_of_each_goal(of);
    let booked = |n: f64| if each { Cell::shown(n, UNKNOWN.to_owned()) } else { counted(n) };
    let instance = match (of.instance.as_str(), of.goal_id.as_deref()) {
        ("", _) if each => "each goal".to_owned(),
        ("", _) => "nobody yet".to_owned(),
        // A tool's or a step's budget within one goal.
        (instance, Some(goal)) if instance != goal => format!("{instance} in {goal}"),
        (instance, _) => instance.to_owned(),
    };
    vec![
        of.id.as_str().into(),
        of.scope.as_str().into(),
        Cell::shown(of.instance.as_str(), instance),
        of.goal_id.as_deref().into(),
        of.measure.as_str().into(),
        of.period.as_str().into(),
        counted(of.limit),
        booked(of.spent),
        booked(of.held),
        booked(of.remaining),
        Cell::shown(of.utilisation, percent_or_unknown(of.utilisation.filter(|_| !each))),
        Cell::shown(rfc3339(of.resets_at.as_ref()), of.resets_at.as_ref().map_or("never".into(), |t| instant(Some(t)))),
        of.on_exceed.as_str().into(),
        of.presumed.into(),
        of.granted.into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::fake_daemon::{Fake, World};
    use super::*;

    fn budgets() -> Vec<pb::BudgetState> {
        let team = pb::BudgetState {
            id: "team-month".to_owned(),
            scope: "team".to_owned(),
            instance: "billing".to_owned(),
            measure: "usd".to_owned(),
            period: "month".to_owned(),
            limit: 500.0,
            spent: 412.5,
            held: 100.0,
            remaining: -12.5,
            utilisation: Some(1.025),
            resets_at: Some(prost_types::Timestamp { seconds: 1_796_083_200, nanos: 0 }),
            on_exceed: "block".to_owned(),
            ..pb::BudgetState::default()
        };
        let tool = pb::BudgetState {
            id: "searches".to_owned(),
            scope: "tool".to_owned(),
            instance: "search_api".to_owned(),
            goal_id: Some("t-1".to_owned()),
            measure: "calls".to_owned(),
            period: "per_goal".to_owned(),
            limit: 2_000.0,
            spent: 1_000.0,
            remaining: 1_000.0,
            on_exceed: "warn".to_owned(),
            ..pb::BudgetState::default()
        };
        vec![team, tool]
    }

    #[test]
    fn a_budget_of_each_goal_says_so_and_shows_no_zeros_as_if_they_were_its_use() {
        let budget = |id: &str, scope: &str, period: &str| pb::BudgetState {
            id: id.to_owned(),
            scope: scope.to_owned(),
            measure: "usd".to_owned(),
            period: period.to_owned(),
            limit: 2.0,
            remaining: 2.0,
            utilisation: Some(0.0),
            on_exceed: "block".to_owned(),
            ..pb::BudgetState::default()
        };
        let budgets = vec![
            budget("run", "goal", "per_goal"),
            budget("crawls", "tool", "per_goal"),
            budget("team", "team", "day"),
        ];
        let fake = Fake::start(World { budgets, page: 10, ..World::default() });
        let (server, limit) = (fake.server(), 50);
        let args = BudgetsArgs { server, budget: None, scope: None, instance: None, goal_id: None, limit };
        let mut out = Vec::new();
        run(&SettingFlags::default(), &args, Format::Table, &mut out).unwrap();
        let expected = "\
BUDGET  SCOPE  OF          MEASURE  PERIOD    LIMIT  SPENT   HELD   LEFT   USED  RESETS  WHEN USED UP
run     goal   each goal   usd      per_goal  $2.00      –      –      –      –  never   block
crawls  tool   each goal   usd      per_goal  $2.00      –      –      –      –  never   block
team    team   nobody yet  usd      day       $2.00  $0.00  $0.00  $2.00  0.0 %  never   block

Budgets of each goal are shown by their limit alone: --goal-id tells how far one goal has used them, `oddsmaker insights` how far \
the goals that were closed did.
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn budgets_are_listed_with_what_is_left_and_when_they_begin_anew() {
        let fake = Fake::start(World { budgets: budgets(), page: 1, ..World::default() });
        let text = |word: &str| Some(word.to_owned());
        let printed = |format, limit| {
            let args = BudgetsArgs {
                server: fake.server(),
                budget: text("b"),
                scope: text("tool"),
                instance: text("i"),
                goal_id: text("g"),
                limit,
            };
            let mut out = Vec::new();
            run(&SettingFlags::default(), &args, format, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let expected = "\
BUDGET      SCOPE  OF                 MEASURE  PERIOD      LIMIT    SPENT     HELD     LEFT     USED  RESETS               WHEN USED UP
team-month  team   billing            usd      month     $500.00  $412.50  $100.00  -$12.50  102.5 %  2026-12-01 00:00:00  block
searches    tool   search_api in t-1  calls    per_goal    2,000    1,000        0    1,000        –  never                warn
";
        assert_eq!(printed(Format::Table, 50), expected);
        assert_eq!(fake.asked(), ["b/tool/i/g", "b/tool/i/g"], "both pages with the same filters");
        let json: Value = serde_json::from_str(&printed(Format::Json, 50)).unwrap();
        assert_eq!((&json[0]["remaining"], &json[1]["resets_at"]), (&(-12.5).into(), &Value::Null));
        let csv = printed(Format::Csv, 1);
        let row = "team-month,team,billing,,usd,month,500.0,412.5,100.0,-12.5,1.025,2026-12-01T00:00:00Z,block,0.0,0.0";
        assert_eq!(csv.lines().collect::<Vec<_>>()[1..], [row]);
    }
}
