//! `goals`: the goals a running daemon knows, the one first heard of last first. Pages are followed up to the limit.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;
use tonic::transport::Channel;

use super::args::{Format, SettingFlags};
use super::args_goals::{GoalsArgs, KindArgs};
use super::failure::Failure;
use super::human::{count, instant, rfc3339, usd_exact};
use super::listing::{Cell, Column, Listing, print_json};
use super::{client, setup, words};
use crate::http::json;
use crate::wire::pb::goal_service_client::GoalServiceClient;
use crate::wire::pb::{self, GoalState};

/// Longest wait, connection included.
const PATIENCE: Duration = Duration::from_secs(60);

/// The largest answer read: a page of a thousand goals with their labels, or the receipt of ten thousand calls.
const ANSWER_BYTES_MAX: usize = 256 << 20;

const COLUMNS: &[Column] = &[
    Column::text("goal_id", "GOAL"),
    Column::text("state", "STATE"),
    Column::text("workflow", "WORKFLOW"),
    Column::text("opened_at", "OPENED"),
    Column::text("last_activity_at", "LAST ACTIVE"),
    Column::program("closed_at"),
    Column::number("calls", "CALLS"),
    Column::number("failed_calls", "FAILED"),
    Column::number("retries", "RETRIES"),
    Column::number("unpriced_calls", "UNPRICED"),
    Column::number("cost_usd", "COST"),
    Column::program("cost_nano_usd"),
    Column::program("score"),
    Column::program("reported_state"),
    Column::program("graded_state"),
    Column::program("parent_goal_id"),
    Column::program("labels"),
];

/// A client of GoalService that reads large answers.
///
/// # Errors
/// Nothing answers at `address`.
pub(super) async fn connect(address: &str) -> Result<GoalServiceClient<Channel>, Failure> {
    Ok(GoalServiceClient::new(client::connect(address).await?).max_decoding_message_size(ANSWER_BYTES_MAX))
}

/// Asks the daemon and prints its goals.
///
/// # Errors
/// Nothing answers, or the daemon refused.
pub(super) fn run(flags: &SettingFlags, args: &GoalsArgs, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    let address = setup::address(&args.server, flags)?;
    let (goals, more) = client::run(PATIENCE, async {
        let client = connect(&address).await?;
        client::pages(args.limit, |page_size, page_token| {
            let mut client = client.clone();
            async move {
                let request = pb::ListGoalsRequest { filters: filters(args.state, &args.kind), page_size, page_token };
                let page = client.list_goals(request).await.map_err(|status| client::refused(&status))?.into_inner();
                Ok((page.goals, page.next_page_token))
            }
        })
        .await
    })?;
    if format == Format::Json {
        let goals = goals.iter().map(|goal| json::write(&json::dynamic(json::message("Goal"), goal))).collect();
        return print_json(&Value::Array(goals), out);
    }
    let mut listing = Listing::new(COLUMNS);
    goals.iter().for_each(|goal| listing.push(row(goal)));
    listing.print(format, out)?;
    client::tell_more(more, goals.len(), "goal", format, out)
}

/// The filters of a request.
pub(super) fn filters(state: Option<GoalState>, kind: &KindArgs) -> Option<pb::GoalFilters> {
    Some(pb::GoalFilters {
        state: state.unwrap_or_default().into(),
        workflow: kind.workflow.clone(),
        labels: kind.label.iter().cloned().collect(),
    })
}

fn state_or_none(state: GoalState) -> Cell {
    (state != GoalState::Unspecified).then(|| words::of_state(state)).into()
}

fn row(goal: &pb::Goal) -> Vec<Cell> {
    let sums = goal.whole.unwrap_or_default();
    let at = |time: &Option<prost_types::Timestamp>| Cell::shown(rfc3339(time.as_ref()), instant(time.as_ref()));
    let labels: Vec<String> = goal.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    vec![
        goal.goal_id.as_str().into(),
        words::of_state(goal.state()).into(),
        goal.workflow.as_deref().into(),
        at(&goal.opened_at),
        at(&goal.last_activity_at),
        at(&goal.closed_at),
        Cell::shown(sums.calls, count(sums.calls)),
        Cell::shown(sums.failed_calls, count(sums.failed_calls)),
        Cell::shown(sums.retries, count(sums.retries)),
        Cell::shown(sums.unpriced_calls, count(sums.unpriced_calls)),
        Cell::shown(goal.total_cost_usd, usd_exact(goal.total_cost_nano_usd)),
        goal.total_cost_nano_usd.into(),
        goal.score.into(),
        state_or_none(goal.reported_state()),
        state_or_none(goal.graded_state()),
        goal.parent_goal_id.as_deref().into(),
        labels.into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::fake_daemon::{Fake, World};
    use super::*;

    fn goal(number: u64) -> pb::Goal {
        let whole = pb::GoalSums { calls: 2_000, failed_calls: 1, retries: 1, ..pb::GoalSums::default() };
        pb::Goal {
            goal_id: format!("t-{number}"),
            state: GoalState::Accepted.into(),
            workflow: Some("support-ticket".to_owned()),
            labels: [("team".to_owned(), "a".to_owned()), ("x".to_owned(), "b".to_owned())].into(),
            opened_at: Some(prost_types::Timestamp { seconds: 1_795_348_800, nanos: 0 }),
            total_cost_usd: 0.47,
            total_cost_nano_usd: 470_000_000,
            whole: Some(whole),
            ..pb::Goal::default()
        }
    }

    fn printed(fake: &Fake, limit: u64, format: Format) -> String {
        let kind = KindArgs { workflow: Some("w".to_owned()), label: vec![("team".to_owned(), "a".to_owned())] };
        let args = GoalsArgs { server: fake.server(), state: Some(GoalState::Accepted), kind, limit };
        let mut out = Vec::new();
        run(&SettingFlags::default(), &args, format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn pages_are_followed_with_the_filters_up_to_the_limit() {
        let fake = Fake::start(World { goals: (0..5).map(goal).collect(), page: 2, ..World::default() });
        let table = printed(&fake, 3, Format::Table);
        let asked = |size| format!("GOAL_STATE_ACCEPTED w {{\"team\": \"a\"}} {size}");
        assert_eq!(fake.asked(), [asked(3), asked(1)]);
        let expected = "GOAL  STATE     WORKFLOW        OPENED               LAST ACTIVE  CALLS  FAILED  RETRIES  UNPRICED   COST\n";
        assert!(table.starts_with(expected), "{table}");
        let row = "t-2   accepted  support-ticket  2026-11-22 12:00:00  –            2,000       1        1         0  $0.47\n";
        assert!(table.contains(row), "{table}");
        assert!(table.ends_with("\n3 goals; there are more, see --limit\n"), "{table}");
        let all: Value = serde_json::from_str(&printed(&fake, 50, Format::Json)).unwrap();
        let all = all.as_array().unwrap();
        assert_eq!((all.len(), &all[4]["goal_id"], &all[0]["whole"]["calls"]), (5, &"t-4".into(), &2_000.into()));
        let csv = printed(&fake, 1, Format::Csv);
        let row = "t-0,accepted,support-ticket,2026-11-22T12:00:00Z,,,2000,1,1,0,0.47,470000000,,,,,team=a;x=b";
        assert_eq!(csv.lines().collect::<Vec<_>>()[1..], [row]);
    }

    #[test]
    fn no_goals_are_told() {
        let fake = Fake::start(World { page: 2, ..World::default() });
        assert!(printed(&fake, 3, Format::Table).ends_with("\nNo goals.\n"));
        assert_eq!(printed(&fake, 3, Format::Json), "[]\n");
    }
}
