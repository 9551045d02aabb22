//! `whatif`: what other policies would have brought in a running daemon's own decisions, beside what really happened. It
//! estimates nothing itself.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::args::{Format, ServerArgs, SettingFlags, parse_lookback_ms};
use super::failure::Failure;
use super::human::{UNKNOWN, count, percent, printable, usd};
use super::listing::{Cell, Column, Listing};
use super::{client, setup};
use crate::domain::policy::Policy;
use crate::domain::time::HOUR_MS;
use crate::wire::pb;
use crate::wire::pb::insights_service_client::InsightsServiceClient;

/// Longest wait for the answer to one question, connection included.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(super) struct WhatIfArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// always:MODEL, allow:MODEL,MODEL, uniform, cheapest, best, or settings such as tolerance=0.02,floor=0.05; may be given
    /// several times.
    #[arg(long, value_name = "POLICY", required = true, value_parser = parse_policy)]
    policy: Vec<String>,
    /// Only decisions of this task type.
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// How far back to look, such as 90m, 24h or 7d [default: 168h].
    #[arg(long, value_name = "DURATION", value_parser = parse_lookback_ms, conflicts_with = "lookback_hours")]
    lookback: Option<i64>,
    /// The same in hours.
    #[arg(long, value_name = "HOURS")]
    lookback_hours: Option<f64>,
}

fn parse_policy(text: &str) -> Result<String, String> {
    text.parse::<Policy>().map(|policy| policy.to_string())
}

const COLUMNS: &[Column] = &[
    Column::text("policy", "POLICY"),
    Column::number("success_rate", "SUCCESS"),
    Column::program("success_rate_low"),
    Column::program("success_rate_high"),
    Column::program("success_rate_low_95"),
    Column::program("success_rate_high_95"),
    Column::number("cost_per_call_usd", "A CALL"),
    Column::program("cost_per_call_low_usd"),
    Column::program("cost_per_call_high_usd"),
    Column::program("cost_per_call_low_95_usd"),
    Column::program("cost_per_call_high_95_usd"),
    Column::number("cost_per_success_usd", "A SUCCESS"),
    Column::program("cost_per_success_low_usd"),
    Column::program("cost_per_success_high_usd"),
    Column::program("cost_per_success_low_95_usd"),
    Column::program("cost_per_success_high_95_usd"),
    Column::number("draws", "DRAWS"),
    Column::number("effective_sample_size", "WORTH"),
    Column::program("calls"),
    Column::program("self_normalised_success_rate"),
    Column::program("importance_sampling_success_rate"),
    Column::program("pricing_coverage"),
    Column::program("sampled_share"),
    Column::program("refused"),
];

/// Asks the daemon about each policy and prints a row for it.
///
/// # Errors
/// Nothing answers, or the daemon refused.
pub(super) fn run(flags: &SettingFlags, args: &WhatIfArgs, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    let address = setup::address(&args.server, flags)?;
    let lookback_hours = args.lookback.map(|ms| ms as f64 / HOUR_MS as f64).or(args.lookback_hours);
    let patience = PATIENCE.saturating_mul(u32::try_from(args.policy.len()).unwrap_or(1));
    let answers = client::run(patience, async {
        let mut daemon = InsightsServiceClient::new(client::connect(&address).await?);
        let mut answers = Vec::new();
        for policy in &args.policy {
            let request =
                pb::EvaluatePolicyRequest { policy: policy.clone(), task_type: args.task.clone(), lookback_hours };
            let answer = daemon.evaluate_policy(request).await.map_err(|status| client::refused(&status))?;
            answers.push(answer.into_inner());
        }
        Ok(answers)
    })?;
    let mut listing = Listing::new(COLUMNS);
    answers.iter().for_each(|answer| listing.push(row(answer)));
    if format != Format::Table {
        return listing.print(format, out);
    }
    let mut shown = Listing::new(COLUMNS);
    answers.first().into_iter().for_each(|answer| shown.push(observed(answer)));
    answers.iter().for_each(|answer| shown.push(row(answer)));
    shown.print(format, out)?;
    answers.iter().try_for_each(|answer| Ok(write!(out, "{}", beneath(answer))?))
}

/// What really happened in the draws of an answer.
fn observed(answer: &pb::EvaluatePolicyResponse) -> Vec<Cell> {
    let of = answer.observed.unwrap_or_default();
    let mut cells = vec![Cell::from("as it was")];
    for (figure, shown) in figures([of.success_rate, of.cost_per_call_usd, of.cost_per_success_usd]) {
        cells.push(Cell::shown(figure, shown));
        cells.extend((0..4).map(|_| Cell::from(Value::Null)));
    }
    cells.extend([Cell::shown(answer.draws, count(answer.draws)), Cell::shown(Value::Null, String::new())]);
    cells.resize_with(COLUMNS.len(), || Cell::from(Value::Null));
    cells
}

fn row(answer: &pb::EvaluatePolicyResponse) -> Vec<Cell> {
    let estimates = [answer.success_rate, answer.cost_per_call_usd, answer.cost_per_success_usd];
    let shown = figures(estimates.map(|e| e.map(|e| e.value)));
    let ends = |interval: Option<pb::Interval>| [interval.map(|i| i.low), interval.map(|i| i.high)];
    let mut cells = vec![Cell::from(answer.policy.as_str())];
    for (place, ((figure, text), estimate)) in shown.into_iter().zip(estimates).enumerate() {
        let interval = estimate.and_then(|e| e.interval);
        let [low, high] = figures_of(place, ends(interval));
        let text = if interval.is_some() { format!("{text} ({low} to {high})") } else { text };
        cells.push(Cell::shown(figure, text));
        for interval in [interval, estimate.and_then(|e| e.wide_interval)] {
            cells.extend(ends(interval).map(Cell::from));
        }
    }
    let rate = |of: Option<pb::PolicyFigures>| Cell::from(of.and_then(|f| f.success_rate));
    cells.extend([
        Cell::shown(answer.draws, count(answer.draws)),
        Cell::shown(answer.effective_sample_size, count(answer.effective_sample_size as u64)),
        answer.calls.into(),
        rate(answer.self_normalised),
        rate(answer.importance_sampling),
        answer.pricing_coverage.into(),
        answer.sampled_share.into(),
        answer.refused.as_deref().into(),
    ]);
    cells
}

/// A rate and two costs with how people read them.
fn figures(of: [Option<f64>; 3]) -> [(Option<f64>, String); 3] {
    std::array::from_fn(|place| (of[place], figures_of(place, [of[place]])[0].clone()))
}

fn figures_of<const N: usize>(place: usize, of: [Option<f64>; N]) -> [String; N] {
    of.map(|figure| match figure {
        None => UNKNOWN.to_owned(),
        Some(rate) if place == 0 => percent(rate),
        Some(cost) => usd(cost),
    })
}

/// Sentences beneath the table: why a policy was refused, and what the figures do not rest on.
fn beneath(answer: &pb::EvaluatePolicyResponse) -> String {
    let mut text = String::new();
    if let Some(why) = &answer.refused {
        text += &format!("\n{}: not estimated; {}.\n", printable(&answer.policy), printable(why));
    }
    let of = answer.left_out.unwrap_or_default();
    let all = [
        (of.not_drawn, "not drawn by the router"),
        (of.one_candidate, "with one candidate"),
        (of.retries, "for retries"),
        (of.without_outcome, "without an outcome"),
        (of.not_on_offer, "where its models were not on offer"),
        (of.unknown_settings, "by a catalogue that is gone"),
    ];
    let said: Vec<String> = all.iter().filter(|(n, _)| *n > 0).map(|(n, why)| format!("{} {why}", count(*n))).collect();
    if !said.is_empty() {
        text += &format!("\n{}: left out are decisions {}.\n", printable(&answer.policy), said.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake_daemon::{Fake, World};

    fn answer(policy: &str) -> pb::EvaluatePolicyResponse {
        let estimate = |value: f64, by: f64| {
            let interval = |by: f64, level| Some(pb::Interval { low: value - by, high: value + by, level });
            Some(pb::PolicyEstimate { value, interval: interval(by, 0.9), wide_interval: interval(1.2 * by, 0.95) })
        };
        pb::EvaluatePolicyResponse {
            policy: policy.to_owned(),
            draws: 5_000,
            calls: 5_400,
            sampled_share: 1.0,
            pricing_coverage: 1.0,
            effective_sample_size: 412.7,
            observed: Some(pb::PolicyFigures {
                success_rate: Some(0.91),
                cost_per_call_usd: Some(0.002),
                cost_per_success_usd: Some(0.0022),
            }),
            success_rate: estimate(0.8, 0.02),
            cost_per_call_usd: estimate(0.001, 0.0001),
            cost_per_success_usd: estimate(0.00125, 0.0001),
            self_normalised: Some(pb::PolicyFigures { success_rate: Some(0.79), ..Default::default() }),
            importance_sampling: Some(pb::PolicyFigures { success_rate: Some(0.81), ..Default::default() }),
            left_out: Some(pb::PolicyLeftOut { retries: 12, ..Default::default() }),
            ..Default::default()
        }
    }

    fn thin(policy: &str) -> pb::EvaluatePolicyResponse {
        pb::EvaluatePolicyResponse {
            refused: Some("they are worth 7 draws of it".to_owned()),
            success_rate: None,
            cost_per_call_usd: None,
            cost_per_success_usd: None,
            self_normalised: None,
            importance_sampling: None,
            left_out: None,
            ..answer(policy)
        }
    }

    fn printed(format: Format) -> (String, Vec<String>) {
        let evaluations = [answer("uniform"), thin("always:a/b")].map(|a| (a.policy.clone(), a));
        let fake = Fake::start(World { evaluations: evaluations.into(), ..World::default() });
        let args = WhatIfArgs {
            server: fake.server(),
            policy: vec!["uniform".to_owned(), "always:a/b".to_owned()],
            task: Some("triage".to_owned()),
            lookback: Some(90 * 60_000),
            lookback_hours: None,
        };
        let mut out = Vec::new();
        run(&SettingFlags::default(), &args, format, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), fake.asked())
    }

    #[test]
    fn people_see_what_was_beside_what_would_have_been() {
        let (text, asked) = printed(Format::Table);
        assert_eq!(asked, ["uniform triage Some(1.5)", "always:a/b triage Some(1.5)"]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("as it was") && lines[1].contains("91.0 %"), "{text}");
        assert!(lines[2].starts_with("uniform") && lines[2].contains("80.0 % (78.0 % to 82.0 %)"), "{text}");
        assert!(lines[2].contains("5,000") && lines[2].trim_end().ends_with("412"), "{text}");
        assert!(lines[3].starts_with("always:a/b") && lines[3].contains(UNKNOWN), "{text}");
        assert!(text.contains("\nuniform: left out are decisions 12 for retries.\n"), "{text}");
        assert!(text.contains("\nalways:a/b: not estimated; they are worth 7 draws of it.\n"), "{text}");
    }

    #[test]
    fn programs_get_a_row_a_policy() {
        let rows: Value = serde_json::from_str(&printed(Format::Json).0).unwrap();
        assert_eq!(rows.as_array().unwrap().len(), 2);
        assert_eq!(rows[0]["success_rate"], 0.8);
        assert_eq!(rows[0]["success_rate_low"], 0.78);
        assert_eq!(rows[0]["self_normalised_success_rate"], 0.79);
        assert_eq!(rows[0]["refused"], Value::Null);
        assert_eq!(rows[1]["success_rate"], Value::Null);
        assert_eq!(rows[1]["refused"], "they are worth 7 draws of it");
        let csv = printed(Format::Csv).0;
        assert!(csv.starts_with("policy,success_rate,success_rate_low,"), "{csv}");
    }
}
