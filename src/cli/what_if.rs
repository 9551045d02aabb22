//! `whatif`: what other policies would have brought in a running daemon's own decisions, beside what really happened. It
//! estimates nothing itself.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tonic::{Code, Status};

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
    #[arg(long, value_name = "POLICY", required = true, value_parser = policy_name)]
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

/// `always=MODEL`, as replays spell it, means the same here.
#[expect(clippy::unnecessary_wraps, reason = "a parser of flags may fail")]
fn policy_name(text: &str) -> Result<String, String> {
    Ok(text.strip_prefix("always=").map_or_else(|| text.to_owned(), |model| format!("always:{model}")))
}

/// A policy as it was typed, with the answer about it or why there is none.
type Answered<'a> = (&'a str, Result<pb::EvaluatePolicyResponse, String>);

/// What stands below the table.
const LEGEND: &str = "\
As it was, drawn: what really happened in the decisions drawn by chance, on which all of this rests.
DRAWS: how many of them were looked at. WORTH: as many draws of the policy itself would say as much of it, by
the weights of the doubly robust figures; `replay` counts by the plain weights of its figures, usually fewer.";

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
    let malformed = args.policy.iter().map(|policy| policy.parse::<Policy>().err());
    if let Some(malformed) = malformed.collect::<Option<Vec<String>>>() {
        let said = args.policy.iter().zip(malformed).map(|(policy, why)| format!("--policy {policy}: {why}"));
        return Err(Failure::Usage(said.collect::<Vec<_>>().join("\nerror: ")));
    }
    let mut refusal = None;
    let patience = PATIENCE.saturating_mul(u32::try_from(args.policy.len()).unwrap_or(1));
    let answers = client::run(patience, async {
        let mut daemon = InsightsServiceClient::new(client::connect(&address).await?);
        let mut answers = Vec::new();
        for policy in &args.policy {
            let request =
                pb::EvaluatePolicyRequest { policy: policy.clone(), task_type: args.task.clone(), lookback_hours };
            if let Err(why) = policy.parse::<Policy>() {
                answers.push((policy.as_str(), Err(why)));
                continue;
            }
            let answer = match daemon.evaluate_policy(request).await {
                Ok(answer) => Ok(answer.into_inner()),
                Err(status) if is_about_the_policy(&status) => {
                    refusal.get_or_insert_with(|| client::refused(&status));
                    Err(client::why(&status))
                }
                Err(status) => return Err(client::refused(&status)),
            };
            answers.push((policy.as_str(), answer));
        }
        Ok(answers)
    })?;
    let bad = answers.iter().filter(|(_, answer)| answer.is_err()).count();
    let ended = match refusal {
        Some(refused) if bad == answers.len() => return Err(refused),
        _ if bad > 0 => Err(Failure::Failed(format!("{bad} of {} policies could not be asked about", answers.len()))),
        _ => Ok(()),
    };
    let mut listing = Listing::new(COLUMNS);
    if format == Format::Table {
        answers.iter().find_map(|(_, a)| a.as_ref().ok()).into_iter().for_each(|answer| listing.push(observed(answer)));
    }
    for (policy, answer) in &answers {
        listing.push(answer.as_ref().map_or_else(|why| unanswered(policy, why), |answer| row(policy, answer)));
    }
    listing.print(format, out)?;
    if format == Format::Table {
        write!(out, "{}\n{LEGEND}\n", beneath(&answers))?;
    }
    ended
}

/// Whether a refusal concerns one policy, so that others may be answered.
fn is_about_the_policy(status: &Status) -> bool {
    matches!(status.code(), Code::InvalidArgument | Code::NotFound)
}

/// The row of a policy that the daemon refuses to be asked about: nothing but why.
fn unanswered(policy: &str, why: &str) -> Vec<Cell> {
    let mut cells = vec![Cell::from(policy)];
    for column in &COLUMNS[1..] {
        cells.push(match column.key() {
            "refused" => Cell::from(why),
            _ => Cell::shown(Value::Null, UNKNOWN.to_owned()),
        });
    }
    cells
}

fn not_estimated(policy: &str, why: &str) -> String {
    format!("\n{}: not estimated; {}.\n", printable(policy), printable(why))
}

/// What really happened in the draws of an answer.
fn observed(answer: &pb::EvaluatePolicyResponse) -> Vec<Cell> {
    let of = answer.observed.unwrap_or_default();
    let mut cells = vec![Cell::from("as it was, drawn")];
    for (figure, shown) in figures([of.success_rate, of.cost_per_call_usd, of.cost_per_success_usd]) {
        cells.push(Cell::shown(figure, shown));
        cells.extend((0..4).map(|_| Cell::from(Value::Null)));
    }
    cells.extend([Cell::shown(answer.draws, count(answer.draws)), Cell::shown(Value::Null, String::new())]);
    cells.resize_with(COLUMNS.len(), || Cell::from(Value::Null));
    cells
}

fn row(policy: &str, answer: &pb::EvaluatePolicyResponse) -> Vec<Cell> {
    let estimates = [answer.success_rate, answer.cost_per_call_usd, answer.cost_per_success_usd];
    let shown = figures(estimates.map(|e| e.map(|e| e.value)));
    let ends = |interval: Option<pb::Interval>| [interval.map(|i| i.low), interval.map(|i| i.high)];
    let mut cells = vec![Cell::from(policy)];
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

/// A rate (place 0) or costs as people read them.
pub(super) fn figures_of<const N: usize>(place: usize, of: [Option<f64>; N]) -> [String; N] {
    of.map(|figure| match figure {
        None => UNKNOWN.to_owned(),
        Some(rate) if place == 0 => percent(rate),
        Some(cost) => usd(cost),
    })
}

/// Sentences beneath the table: why policies were refused, and what the figures do not rest on, once where that is the same for
/// all.
fn beneath(answers: &[Answered<'_>]) -> String {
    let (mut text, mut left) = (String::new(), Vec::<(String, Vec<String>)>::new());
    for (policy, answer) in answers {
        match answer {
            Err(why) => text += &not_estimated(policy, why),
            Ok(answer) => {
                text += &answer.refused.as_ref().map_or_else(String::new, |why| not_estimated(policy, why));
                let said = left_out(&answer.left_out.unwrap_or_default());
                match left.iter_mut().find(|(before, _)| *before == said) {
                    Some((_, of)) => of.push(printable(policy)),
                    None => left.push((said, vec![printable(policy)])),
                }
            }
        }
    }
    let alike = left.len() == 1;
    for (said, of) in left.iter().filter(|(said, _)| !said.is_empty()) {
        let whose = if alike {
            "Left out are decisions".to_owned()
        } else {
            format!("{}: left out are decisions", of.join(", "))
        };
        text += &format!("\n{whose} {said}.\n");
    }
    text
}

/// How many decisions an evaluation does not rest on, each with why; empty where it rests on all.
pub(super) fn left_out(of: &pb::PolicyLeftOut) -> String {
    let other = of.not_drawn.saturating_sub(of.pinned + of.held_out + of.observed + of.irreversible);
    let all = [
        (of.pinned, "pinned"),
        (of.held_out, "held out with their goal"),
        (of.observed, "only observed"),
        (of.irreversible, "irreversible"),
        (other, "not drawn by the router"),
        (of.one_candidate, "with one candidate"),
        (of.earlier_draw, "that kept a draw from before the window"),
        (of.retries, "for retries"),
        (of.without_outcome, "without an outcome"),
        (of.not_on_offer, "where its models were not on offer"),
        (of.unknown_settings, "by a catalogue that is gone"),
    ];
    let said = all.iter().filter(|(n, _)| *n > 0).map(|(n, why)| format!("{} {why}", count(*n)));
    said.collect::<Vec<_>>().join(", ")
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

    /// What is printed of these policies, of which `uniform` and `always:a/b` are known, what was asked, and how it ended.
    fn ended(format: Format, policies: &[&str]) -> (String, Vec<String>, Option<String>) {
        let evaluations = [answer("uniform"), thin("always:a/b")].map(|a| (a.policy.clone(), a));
        let fake = Fake::start(World { evaluations: evaluations.into(), ..World::default() });
        let args = WhatIfArgs {
            server: fake.server(),
            policy: policies.iter().map(|policy| (*policy).to_owned()).collect(),
            task: Some("triage".to_owned()),
            lookback: Some(90 * 60_000),
            lookback_hours: None,
        };
        let mut out = Vec::new();
        let failure = run(&SettingFlags::default(), &args, format, &mut out).err().map(|failure| failure.to_string());
        (String::from_utf8(out).unwrap(), fake.asked(), failure)
    }

    fn printed(format: Format) -> (String, Vec<String>) {
        let (text, asked, failure) = ended(format, &["uniform", "always:a/b"]);
        assert_eq!(failure, None);
        (text, asked)
    }

    #[test]
    fn a_policy_that_cannot_be_asked_about_leaves_the_others_their_answers() {
        let policies = ["always:no/such", "uniform"];
        let (text, asked, failure) = ended(Format::Table, &policies);
        assert_eq!(asked.len(), 2);
        assert_eq!(failure.as_deref(), Some("1 of 2 policies could not be asked about"));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("as it was, drawn") && lines[3].contains("80.0 %"), "{text}");
        assert!(lines[2].starts_with("always:no/such") && lines[2].contains(UNKNOWN), "{text}");
        assert!(text.contains("\nalways:no/such: not estimated; no such model.\n"), "{text}");
        let rows: Value = serde_json::from_str(&ended(Format::Json, &policies).0).unwrap();
        assert_eq!((&rows[0]["refused"], &rows[0]["draws"]), (&Value::from("no such model"), &Value::Null));
        assert_eq!((&rows[1]["refused"], &rows[1]["success_rate"]), (&Value::Null, &Value::from(0.8)));
        let (text, asked, failure) = ended(Format::Table, &["objective=success,value_usd=2", "uniform"]);
        assert_eq!((asked.len(), failure.as_deref()), (1, Some("1 of 2 policies could not be asked about")));
        let why = "`value_usd` has no effect under objective success; leave it out";
        assert!(text.contains(&format!("\nobjective=success,value_usd=2: not estimated; {why}.\n")), "{text}");
        assert!(text.contains("80.0 %") && text.contains("\nLeft out are decisions 12 for retries.\n"), "{text}");
        let (_, asked, failure) = ended(Format::Table, &["worst"]);
        assert!(asked.is_empty() && failure.unwrap().starts_with("--policy worst: is none of always:MODEL"));
        let (text, _, failure) = ended(Format::Table, &["always:no/such"]);
        assert!(text.is_empty() && failure.unwrap().contains("no such model"), "nothing to show: {text}");
    }

    #[test]
    fn people_see_what_was_beside_what_would_have_been() {
        let (text, asked) = printed(Format::Table);
        assert_eq!(asked, ["uniform triage Some(1.5)", "always:a/b triage Some(1.5)"]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("as it was, drawn") && lines[1].contains("91.0 %"), "{text}");
        assert!(lines[2].starts_with("uniform") && lines[2].contains("80.0 % (78.0 % to 82.0 %)"), "{text}");
        assert!(lines[2].contains("5,000") && lines[2].trim_end().ends_with("412"), "{text}");
        assert!(lines[3].starts_with("always:a/b") && lines[3].contains(UNKNOWN), "{text}");
        assert!(text.ends_with(&format!("\n{LEGEND}\n")), "{text}");
        assert!(text.contains("\nuniform: left out are decisions 12 for retries.\n"), "{text}");
        assert!(text.contains("\nalways:a/b: not estimated; they are worth 7 draws of it.\n"), "{text}");
    }

    #[test]
    fn a_policy_is_read_in_the_spelling_of_replays_too() {
        for text in ["always:ollama/a:8b", "always=ollama/a:8b"] {
            assert_eq!(policy_name(text).as_deref(), Ok("always:ollama/a:8b"));
        }
        assert_eq!(policy_name("tolerance=0.02").as_deref(), Ok("tolerance=0.02"));
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
