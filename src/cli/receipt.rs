//! `receipt`: what a goal cost and why, as a running daemon has it. As a tree for people, as JSON the whole answer, as CSV
//! one row a call.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use super::args::{Format, SettingFlags};
use super::args_goals::ReceiptArgs;
use super::failure::Failure;
use super::listing::{Cell, Column, Listing, print_json};
use super::{client, goals, receipt_call, receipt_text, setup, words};
use crate::http::json;
use crate::wire::pb;

/// Longest wait, connection included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fields of a call as the contract names them, behind those of its place.
const COLUMNS: &[Column] = &[
    Column::program("goal_id"),
    Column::program("step"),
    Column::program("at"),
    Column::program("decision_id"),
    Column::program("hold_id"),
    Column::program("outcome_id"),
    Column::program("task_type"),
    Column::program("model"),
    Column::program("provider"),
    Column::program("tool"),
    Column::program("arm"),
    Column::program("retry"),
    Column::program("fallback"),
    Column::program("evaluation"),
    Column::program("off_policy"),
    Column::program("unadmitted"),
    Column::program("overrun"),
    Column::program("state"),
    Column::program("failure_reason"),
    Column::program("quality_score"),
    Column::program("cost_usd"),
    Column::program("cost_nano_usd"),
    Column::program("cost_source"),
    Column::program("held_usd"),
    Column::program("input_tokens"),
    Column::program("output_tokens"),
    Column::program("latency_ms"),
    Column::program("amendments"),
    Column::program("allowed_by"),
];

/// Asks the daemon and prints its answer.
///
/// # Errors
/// Nothing answers, or the daemon refused.
pub(super) fn run(
    flags: &SettingFlags,
    args: &ReceiptArgs,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let address = setup::address(&args.server, flags)?;
    let request = pb::GetReceiptRequest { goal_id: args.goal_id.clone(), without_calls: args.without_calls };
    let answer = client::run(PATIENCE, async {
        let answer = goals::connect(&address).await?.get_receipt(request).await;
        Ok(answer.map_err(|status| client::refused(&status))?.into_inner())
    })?;
    let Some(receipt) = &answer.receipt else {
        return Err(Failure::Failed("the daemon answered without a receipt".to_owned()));
    };
    match format {
        Format::Table => Ok(out.write_all(receipt_text::text(receipt).as_bytes())?),
        Format::Json => print_json(&json::write(&json::dynamic(json::message("GetReceiptResponse"), &answer)), out),
        Format::Csv => {
            let mut listing = Listing::new(COLUMNS);
            add_calls(receipt, &mut listing);
            listing.print(format, out)
        }
    }
}

/// A row for each call of the goal, then those of the goals below it.
fn add_calls(receipt: &pb::Receipt, listing: &mut Listing) {
    let goal_id = receipt.goal.as_ref().map_or("", |goal| &goal.goal_id);
    for step in &receipt.steps {
        for call in &step.calls {
            let told = json::write(&json::dynamic(json::message("CallReceipt"), call));
            let value = |column: &Column| match column.key() {
                "goal_id" => Value::from(goal_id),
                "step" => Value::from(step.step.as_str()),
                "arm" => words::word_of(&told["arm"], "ARM_"),
                "state" => words::word_of(&told["state"], "CALL_STATE_"),
                "failure_reason" => words::word_of(&told["failure_reason"], "FAILURE_REASON_"),
                "cost_source" => words::word_of(&told["cost_source"], "COST_SOURCE_"),
                "allowed_by" => call.allowed_by.iter().map(receipt_call::allowance).collect::<Vec<_>>().into(),
                field => told[field].clone(),
            };
            listing.push(COLUMNS.iter().map(|column| Cell::from(value(column))).collect());
        }
    }
    receipt.sub_goals.iter().for_each(|below| add_calls(below, listing));
}

#[cfg(test)]
#[path = "receipt_tests.rs"]
mod tests;
