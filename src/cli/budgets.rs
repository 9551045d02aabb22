//! `budgets`: every budget of a running daemon as it stands in its present period. It adds nothing up.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use super::args::{Format, SettingFlags};
use super::args_goals::BudgetsArgs;
use super::failure::Failure;
use super::human::{amount, instant, percent_or_unknown, rfc3339};
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
    client::tell_more(more, budgets.len(), "budget", format, out)
}

fn row(of: &pb::BudgetState) -> Vec<Cell> {
    let counted = |n: f64| Cell::shown(n, amount(&of.measure, n));
    let instance = match (of.instance.as_str(), of.goal_id.as_deref()) {
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
        counted(of.spent),
        counted(of.held),
        counted(of.remaining),
        Cell::shown(of.utilisation, percent_or_unknown(of.utilisation)),
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
