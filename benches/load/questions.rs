//! How long answers about a month of goals take, as their caller sees them: one question after the other over one
//! connection, the transport included.

use std::future::Future;
use std::time::Instant;

use hdrhistogram::Histogram;
use oddsmaker::wire::pb;
use oddsmaker::wire::pb::goal_service_client::GoalServiceClient;
use oddsmaker::wire::pb::insights_service_client::InsightsServiceClient;
use tonic::transport::Channel;

use crate::drive::histogram;
use crate::goal_plan::GoalPlan;
use crate::process::Process;
use crate::requests::stirred;
use crate::table::{Table, digits};

/// The largest answer read; a receipt with ten thousand calls has some megabytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How often each question is asked: small ones, lists and reports, large receipts.
const ASKED: (u64, u64, u64) = (2_000, 50, 20);

/// Questions to one daemon.
pub(crate) struct Questions<'a> {
    daemon: &'a Process,
    goals: GoalServiceClient<Channel>,
    insights: InsightsServiceClient<Channel>,
    table: Table,
}

impl<'a> Questions<'a> {
    pub(crate) fn new(daemon: &'a Process, channel: &Channel) -> Self {
        let goals = GoalServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        let insights = InsightsServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        let table =
            Table::new(&["question", "asked", "p50 ms", "p99 ms", "longest ms", "server processor ms", "answer bytes"]);
        Self { daemon, goals, insights, table }
    }

    /// Asks everything; `plan` names a goal by its number, of which there are `goals`.
    ///
    /// # Errors
    /// A question was refused.
    pub(crate) async fn ask(
        mut self,
        goals: u64,
        large: &GoalPlan,
        plan: impl Fn(u64) -> GoalPlan,
    ) -> anyhow::Result<Table> {
        let any = |n: u64| plan(stirred("asked", n) % goals).id();
        for hours in [1.0, 24.0, 168.0, 720.0] {
            self.insights(&format!("GetInsights over {hours} h"), hours, false).await?;
        }
        self.insights("GetInsights over 168 h, with the week before", 168.0, true).await?;
        let client = self.goals.clone();
        let receipt = |id: String| {
            let mut client = client.clone();
            let request = pb::GetReceiptRequest { goal_id: id, without_calls: false };
            async move { anyhow::Ok(client.get_receipt(request).await?.into_inner()) }
        };
        self.time("receipt of 10 calls, any goal", ASKED.0, |n| receipt(any(n))).await?;
        self.time("receipt of 10 calls, one goal", ASKED.0, |_| receipt(any(0))).await?;
        self.time("receipt of 10,000 calls", ASKED.2, |_| receipt(large.id())).await?;
        self.time("GetGoal, any goal", ASKED.0, |n| {
            let (mut client, request) = (client.clone(), pb::GetGoalRequest { goal_id: any(n) });
            async move { anyhow::Ok(client.get_goal(request).await?.into_inner()) }
        })
        .await?;
        for (name, filters) in lists() {
            self.time(name, ASKED.1, |_| {
                let mut client = client.clone();
                let request = pb::ListGoalsRequest { filters: filters.clone(), ..pb::ListGoalsRequest::default() };
                async move { anyhow::Ok(client.list_goals(request).await?.into_inner()) }
            })
            .await?;
        }
        Ok(self.table)
    }

    async fn insights(&mut self, name: &str, hours: f64, compare_previous: bool) -> anyhow::Result<()> {
        let client = self.insights.clone();
        self.time(name, ASKED.1, |_| {
            let mut client = client.clone();
            let lookback_hours = Some(hours);
            let request =
                pb::GetInsightsRequest { lookback_hours, compare_previous, ..pb::GetInsightsRequest::default() };
            async move { anyhow::Ok(client.get_insights(request).await?.into_inner()) }
        })
        .await
    }

    /// Asks `times` times.
    async fn time<A, M>(&mut self, name: &str, times: u64, ask: impl Fn(u64) -> A) -> anyhow::Result<()>
    where
        A: Future<Output = anyhow::Result<M>>,
        M: prost::Message,
    {
        eprintln!("{name}");
        let mut latency_ns: Histogram<u64> = histogram()?;
        let (mut bytes, before) = (0, self.daemon.processor_seconds()?);
        for n in 0..times {
            let began = Instant::now();
            let answer = ask(n).await?;
            latency_ns.record(began.elapsed().as_nanos() as u64)?;
            bytes += answer.encoded_len();
        }
        let millis = |nanos: u64| digits(nanos as f64 / 1e6);
        self.table.row(vec![
            name.to_owned(),
            times.to_string(),
            millis(latency_ns.value_at_quantile(0.50)),
            millis(latency_ns.value_at_quantile(0.99)),
            millis(latency_ns.max()),
            digits((self.daemon.processor_seconds()? - before) * 1e3 / times as f64),
            (bytes as u64 / times).to_string(),
        ]);
        Ok(())
    }
}

/// Lists by their name: their first page.
fn lists() -> Vec<(&'static str, Option<pb::GoalFilters>)> {
    let filters = pb::GoalFilters::default;
    let team = |team: &str| [("team".to_owned(), team.to_owned())].into();
    vec![
        ("ListGoals", None),
        ("ListGoals, open", Some(pb::GoalFilters { state: pb::GoalState::Open.into(), ..filters() })),
        ("ListGoals, timed out", Some(pb::GoalFilters { state: pb::GoalState::TimedOut.into(), ..filters() })),
        ("ListGoals, one workflow", Some(pb::GoalFilters { workflow: Some("research".to_owned()), ..filters() })),
        ("ListGoals, one team", Some(pb::GoalFilters { labels: team("team-3"), ..filters() })),
        ("ListGoals, a team without goals", Some(pb::GoalFilters { labels: team("nobody"), ..filters() })),
    ]
}
