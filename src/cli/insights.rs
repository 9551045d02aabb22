//! `insights`: what one success and one accepted goal cost, or why spend changed, as a running daemon has it. As text for
//! people, as JSON the whole answer, as CSV one row a task type or driver. It computes no figure itself.

use std::io::Write;
use std::time::Duration;

use tonic::transport::Channel;

use super::args::{Format, InsightsArgs, SettingFlags};
use super::failure::Failure;
use super::listing::{Column, Listing, print_json};
use super::{client, insights_change, insights_proof, insights_text, setup};
use crate::domain::time::HOUR_MS;
use crate::http::json;
use crate::wire::pb;
use crate::wire::pb::insights_service_client::InsightsServiceClient;

/// Longest wait, connection included.
const PATIENCE: Duration = Duration::from_secs(60);

/// The largest answer read: thousands of task types with their models.
const ANSWER_BYTES_MAX: usize = 256 << 20;

const TASK_COLUMNS: &[Column] = &[
    Column::program("name"),
    Column::program("calls"),
    Column::program("successes"),
    Column::program("failures"),
    Column::program("success_rate"),
    Column::program("success_rate_low"),
    Column::program("success_rate_high"),
    Column::program("avg_cost_per_call_usd"),
    Column::program("cost_per_success_usd"),
    Column::program("cost_per_success_low_usd"),
    Column::program("cost_per_success_high_usd"),
    Column::program("total_cost_usd"),
    Column::program("total_cost_nano_usd"),
    Column::program("failed_call_cost_usd"),
    Column::program("retries"),
    Column::program("unverdicted_calls"),
    Column::program("pricing_coverage"),
    Column::program("uses_higher_tier_than_needed"),
    Column::program("over_provisioning_flag"),
];

/// Asks the daemon and prints its answer.
///
/// # Errors
/// Nothing answers, or the daemon refused.
pub(super) fn run(
    flags: &SettingFlags,
    args: &InsightsArgs,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let address = setup::address(&args.server, flags)?;
    if args.explain_change {
        let answer = client::run(PATIENCE, async {
            let answer = connect(&address).await?.explain_change(change_request(args)).await;
            Ok(answer.map_err(|status| client::refused(&status))?.into_inner())
        })?;
        return match format {
            Format::Table => Ok(out.write_all(insights_change::text(&answer).as_bytes())?),
            Format::Json => print_whole("ExplainChange", &answer, out),
            Format::Csv => insights_change::drivers(&answer).print(format, out),
        };
    }
    let compared = args.compare_previous && format == Format::Table;
    let (answer, change) = client::run(PATIENCE, async {
        let mut daemon = connect(&address).await?;
        let answer = daemon.get_insights(request(args)).await.map_err(|status| client::refused(&status))?.into_inner();
        let change = match compared {
            true => Some(daemon.explain_change(change_request(args)).await.map_err(|status| client::refused(&status))?),
            false => None,
        };
        Ok((answer, change.map(tonic::Response::into_inner)))
    })?;
    if args.proof {
        let savings = answer.savings.as_ref();
        return match format {
            Format::Table => Ok(out.write_all(insights_proof::text(savings).as_bytes())?),
            Format::Json | Format::Csv => insights_proof::rows(savings).print(format, out),
        };
    }
    match format {
        Format::Table => {
            let filtered = request(args).filters != Some(pb::Filters::default());
            let change = change.as_ref().map(insights_change::on_top).unwrap_or_default();
            Ok(out.write_all(insights_text::text(&answer, &change, args.lookback, filtered).as_bytes())?)
        }
        Format::Json => print_whole("GetInsights", &answer, out),
        Format::Csv => by_task(&answer).print(format, out),
    }
}

async fn connect(address: &str) -> Result<InsightsServiceClient<Channel>, Failure> {
    let channel = client::connect(address).await?;
    Ok(InsightsServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX))
}

fn print_whole<M: prost::Message>(rpc: &str, answer: &M, out: &mut dyn Write) -> Result<(), Failure> {
    print_json(&json::write(&json::dynamic(json::rpc("InsightsService", rpc).output(), answer)), out)
}

fn lookback_hours(args: &InsightsArgs) -> f64 {
    args.lookback as f64 / HOUR_MS as f64
}

fn filters(args: &InsightsArgs) -> pb::Filters {
    pb::Filters {
        task_type: args.task_type.clone(),
        workflow: args.workflow.clone(),
        model: args.model.clone(),
        tool: args.tool.clone(),
        step: args.step.clone(),
        goal_id: args.goal_id.clone(),
        labels: args.label.iter().cloned().collect(),
    }
}

fn request(args: &InsightsArgs) -> pb::GetInsightsRequest {
    pb::GetInsightsRequest {
        lookback_hours: Some(lookback_hours(args)),
        include_cost_breakdown: args.cost_breakdown,
        filters: Some(filters(args)),
        compare_previous: args.compare_previous,
        compare_label: args.compare.first().cloned(),
        compare_a: args.compare.get(1).cloned(),
        compare_b: args.compare.get(2).cloned(),
        overhead_workflow: args.overhead.first().cloned(),
        overhead_baseline: args.overhead.get(1).cloned(),
    }
}

fn change_request(args: &InsightsArgs) -> pb::ExplainChangeRequest {
    let (lookback_hours, filters) = (Some(lookback_hours(args)), Some(filters(args)));
    pb::ExplainChangeRequest { lookback_hours, filters, ..Default::default() }
}

fn by_task(answer: &pb::GetInsightsResponse) -> Listing {
    let mut listing = Listing::new(TASK_COLUMNS);
    for task in &answer.by_task {
        let ends = |interval: Option<pb::Interval>| (interval.map(|i| i.low), interval.map(|i| i.high));
        let (rate_low, rate_high) = ends(task.success_rate_interval);
        let (cost_low, cost_high) = ends(task.cost_per_success_interval);
        listing.push(vec![
            task.name.as_str().into(),
            task.calls.into(),
            task.successes.into(),
            task.failures.into(),
            task.success_rate.into(),
            rate_low.into(),
            rate_high.into(),
            task.avg_cost_per_call.into(),
            task.cost_per_success.into(),
            cost_low.into(),
            cost_high.into(),
            task.total_cost_usd.into(),
            task.total_cost_nano_usd.into(),
            task.failed_call_cost_usd.into(),
            task.retries.into(),
            task.unverdicted_calls.into(),
            task.pricing_coverage.into(),
            task.uses_higher_tier_than_needed.into(),
            task.over_provisioning.as_ref().map(|o| insights_text::flag_word(o.flag())).into(),
        ]);
    }
    listing
}
