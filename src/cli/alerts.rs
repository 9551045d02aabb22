//! `alerts`: which budgets reached a threshold, and the note that somebody has seen it. Why one was raised, the daemon
//! knows.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;
use tonic::transport::Channel;

use super::args::{Format, SettingFlags};
use super::args_goals::AlertsArgs;
use super::failure::Failure;
use super::human::{amount, instant, printable, rfc3339};
use super::listing::{Cell, Column, Listing, print_json};
use super::{client, setup};
use crate::http::json;
use crate::wire::pb;
use crate::wire::pb::insights_service_client::InsightsServiceClient;

/// Longest wait, connection included.
const PATIENCE: Duration = Duration::from_secs(60);

const COLUMNS: &[Column] = &[
    Column::text("alert_id", "ALERT"),
    Column::text("raised_at", "RAISED"),
    Column::text("budget_id", "BUDGET"),
    Column::text("scope", "SCOPE"),
    Column::text("instance", "OF"),
    Column::program("goal_id"),
    Column::number("threshold_percent", "REACHED"),
    Column::number("used", "USED"),
    Column::number("limit", "LIMIT"),
    Column::program("measure"),
    Column::program("resets_at"),
    Column::program("acknowledged_at"),
    Column::text("acknowledged_by", "SEEN BY"),
    Column::text("note", "NOTE"),
];

/// Lists alerts, or acknowledges one.
///
/// # Errors
/// Nothing answers, or the daemon refused.
pub(super) fn run(flags: &SettingFlags, args: &AlertsArgs, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    let address = setup::address(&args.server, flags)?;
    if let (Some(alert_id), Some(by)) = (&args.acknowledge, &args.by) {
        let request =
            pb::AcknowledgeAlertRequest { alert_id: alert_id.clone(), by: by.clone(), note: args.note.clone() };
        return acknowledge(&address, request, format, out);
    }
    let (alerts, more) = client::run(PATIENCE, async {
        let client = connect(&address).await?;
        client::pages(args.limit, |page_size, page_token| {
            let mut client = client.clone();
            let (budget_id, include_acknowledged) = (args.budget.clone(), args.all);
            async move {
                let request = pb::ListAlertsRequest { budget_id, include_acknowledged, page_size, page_token };
                let page = client.list_alerts(request).await.map_err(|status| client::refused(&status))?.into_inner();
                Ok((page.alerts, page.next_page_token))
            }
        })
        .await
    })?;
    print(&alerts, format, out)?;
    client::tell_more(more, alerts.len(), "alert", format, out)
}

async fn connect(address: &str) -> Result<InsightsServiceClient<Channel>, Failure> {
    Ok(InsightsServiceClient::new(client::connect(address).await?))
}

fn acknowledge(
    address: &str,
    request: pb::AcknowledgeAlertRequest,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let answer = client::run(PATIENCE, async {
        let answer = connect(address).await?.acknowledge_alert(request).await;
        Ok(answer.map_err(|status| client::refused(&status))?.into_inner())
    })?;
    let alert = answer.alert.unwrap_or_default();
    if format != Format::Table {
        return print(&[alert], format, out);
    }
    let (id, by) = (printable(&alert.alert_id), printable(alert.acknowledged_by()));
    let before = if answer.duplicate { "was acknowledged before" } else { "is acknowledged" };
    Ok(writeln!(out, "{id} {before}, by {by} at {}", instant(alert.acknowledged_at.as_ref()))?)
}

fn print(alerts: &[pb::Alert], format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    if format == Format::Json {
        let told = |alert| json::write(&json::dynamic(json::message("Alert"), alert));
        return print_json(&Value::Array(alerts.iter().map(told).collect()), out);
    }
    let mut listing = Listing::new(COLUMNS);
    alerts.iter().for_each(|alert| listing.push(row(alert)));
    listing.print(format, out)
}

fn row(of: &pb::Alert) -> Vec<Cell> {
    let at = |time: &Option<prost_types::Timestamp>| Cell::shown(rfc3339(time.as_ref()), instant(time.as_ref()));
    vec![
        of.alert_id.as_str().into(),
        at(&of.raised_at),
        of.budget_id.as_str().into(),
        of.scope.as_str().into(),
        of.instance.as_str().into(),
        of.goal_id.as_deref().into(),
        Cell::shown(of.threshold_percent, format!("{} %", of.threshold_percent)),
        Cell::shown(of.used, amount(&of.measure, of.used)),
        Cell::shown(of.limit, amount(&of.measure, of.limit)),
        of.measure.as_str().into(),
        at(&of.resets_at),
        at(&of.acknowledged_at),
        of.acknowledged_by.as_deref().into(),
        of.note.as_deref().into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::fake_daemon::{Fake, World};
    use super::*;

    fn alert(id: &str) -> pb::Alert {
        pb::Alert {
            alert_id: id.to_owned(),
            budget_id: "team-month".to_owned(),
            scope: "team".to_owned(),
            instance: "billing".to_owned(),
            threshold_percent: 80,
            measure: "usd".to_owned(),
            limit: 500.0,
            used: 412.5,
            raised_at: Some(prost_types::Timestamp { seconds: 1_795_348_800, nanos: 0 }),
            ..pb::Alert::default()
        }
    }

    fn args(fake: &Fake) -> AlertsArgs {
        let server = fake.server();
        AlertsArgs { server, budget: None, all: false, limit: 50, acknowledge: None, by: None, note: None }
    }

    fn printed(args: &AlertsArgs, format: Format) -> Result<String, Failure> {
        let mut out = Vec::new();
        run(&SettingFlags::default(), args, format, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn alerts_are_listed() {
        let fake = Fake::start(World { alerts: vec![alert("a-1"), alert("a-2")], page: 1, ..World::default() });
        let wide = AlertsArgs { budget: Some("team-month".to_owned()), all: true, ..args(&fake) };
        let expected = "\
ALERT  RAISED               BUDGET      SCOPE  OF       REACHED     USED    LIMIT  SEEN BY  NOTE
a-1    2026-11-22 12:00:00  team-month  team   billing     80 %  $412.50  $500.00  –        –
a-2    2026-11-22 12:00:00  team-month  team   billing     80 %  $412.50  $500.00  –        –
";
        assert_eq!(printed(&wide, Format::Table).unwrap(), expected);
        assert_eq!(fake.asked(), ["team-month/true", "team-month/true"]);
        let json: Value = serde_json::from_str(&printed(&args(&fake), Format::Json).unwrap()).unwrap();
        assert_eq!((&json[1]["alert_id"], &json[1]["threshold_percent"]), (&"a-2".into(), &80.into()));
        assert_eq!(fake.asked()[2..], ["/false", "/false"]);
    }

    #[test]
    fn an_alert_is_acknowledged_once() {
        let fake = Fake::start(World { alerts: vec![alert("a-1")], page: 1, ..World::default() });
        let by = |id: &str, by: &str| AlertsArgs {
            acknowledge: Some(id.to_owned()),
            by: Some(by.to_owned()),
            note: Some("looking".to_owned()),
            ..args(&fake)
        };
        let said = printed(&by("a-1", "kim"), Format::Table).unwrap();
        assert_eq!(said, "a-1 is acknowledged, by kim at 2026-11-22 12:01:00\n");
        let said = printed(&by("a-1", "lee"), Format::Table).unwrap();
        assert_eq!(said, "a-1 was acknowledged before, by kim at 2026-11-22 12:01:00\n");
        let json: Value = serde_json::from_str(&printed(&by("a-1", "lee"), Format::Json).unwrap()).unwrap();
        assert_eq!((&json[0]["acknowledged_by"], &json[0]["note"]), (&"kim".into(), &"looking".into()));
        let refused = printed(&by("a-9", "kim"), Format::Table).unwrap_err().to_string();
        assert_eq!(refused, "the daemon refused (NotFound): no such alert");
    }
}
