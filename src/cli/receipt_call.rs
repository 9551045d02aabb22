//! One call of a receipt in words: what was called, what came of it, what it cost, and what let it through. It knows
//! nothing that is not in the receipt.

use super::human::{amount, count, instant, printable, usd, usd_exact};
use super::tree::Branch;
use super::words::word;
use crate::wire::pb::{Allowance, Arm, CallReceipt, CallState};

/// The call as a branch of the tree.
pub(super) fn branch(call: &CallReceipt) -> Branch {
    let parts = [instant(call.at.as_ref()), subject(call), manner(call), result(call), money(call), work(call)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Branch { lines: vec![parts.join("  "), let_through(call)], below: Vec::new() }
}

/// One thing that let a call through: a budget with what was held there, or a grant with who gave it and why.
pub(super) fn allowance(of: &Allowance) -> String {
    let Some(budget) = &of.budget_id else {
        let extra = usd(of.granted_usd.unwrap_or_default());
        return printable(&format!("a grant of {extra} by {}: {}", of.approver(), of.reason()));
    };
    let instance = of.instance.as_deref().filter(|name| !name.is_empty()).map(|name| format!(" of {name}"));
    let unit = match of.measure() {
        "usd" | "" => String::new(),
        other => format!(" {other}"),
    };
    let held = of.held.map_or_else(String::new, |held| format!(" ({}{unit} held)", amount(of.measure(), held)));
    printable(&format!("{budget}{}{held}", instance.unwrap_or_default()))
}

fn subject(call: &CallReceipt) -> String {
    let tool = call.tool.as_deref().map(|tool| format!("tool {tool}"));
    let provider = call.provider.as_deref().map_or_else(String::new, |provider| format!(" ({provider})"));
    let model = call.model.as_deref().map(|model| format!("{model}{provider}"));
    printable(&match (model, tool) {
        (Some(model), Some(tool)) => format!("{model} for {tool}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "(model not told)".to_owned(),
    })
}

/// How it came to be made, where that is not the router's plain choice.
fn manner(call: &CallReceipt) -> String {
    let arm = match call.arm() {
        Arm::Holdout => "holdout",
        Arm::Observe => "the caller's own choice",
        Arm::Pinned => "pinned",
        Arm::Elsewhere if call.tool.is_none() => "routed elsewhere",
        Arm::Fallback if !call.fallback && !call.off_policy => "fallback",
        _ => "",
    };
    let said = [
        (!arm.is_empty(), arm),
        (call.retry, "retry"),
        (call.fallback, "fallback"),
        (call.evaluation, "evaluation"),
        (call.off_policy, "a model the decision did not offer"),
    ];
    said.iter().filter(|(holds, _)| *holds).map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
}

fn result(call: &CallReceipt) -> String {
    let state = match call.state() {
        CallState::Succeeded => "succeeded".to_owned(),
        CallState::Failed => match word(call.failure_reason().as_str_name(), "FAILURE_REASON_") {
            reason if reason.is_empty() => "failed".to_owned(),
            reason => format!("failed ({reason})"),
        },
        CallState::Unverdicted => "no verdict yet".to_owned(),
        CallState::Open => "awaiting its outcome".to_owned(),
        CallState::Expired => "no outcome came".to_owned(),
        CallState::Voided => "never made".to_owned(),
        CallState::Replaced => "another model answered".to_owned(),
        CallState::Unspecified => String::new(),
    };
    let quality = call.quality_score.map_or_else(String::new, |quality| format!(", quality {quality}"));
    let amended = match call.amendments {
        0 => String::new(),
        1 => ", amended once".to_owned(),
        n => format!(", amended {} times", count(n)),
    };
    state + &quality + &amended
}

fn money(call: &CallReceipt) -> String {
    let over = if call.overrun { ", more than was held for it" } else { "" };
    if let Some(nano) = call.cost_nano_usd {
        let source = word(call.cost_source().as_str_name(), "COST_SOURCE_");
        return format!("{} {source}{over}", usd_exact(nano));
    }
    match call.state() {
        CallState::Open => call.held_usd.map_or_else(String::new, |held| format!("{} held", usd(held))),
        CallState::Expired => call.held_usd.map_or_else(String::new, |held| format!("{} presumed spent", usd(held))),
        CallState::Voided => String::new(),
        _ => "cost unknown".to_owned(),
    }
}

fn work(call: &CallReceipt) -> String {
    let tokens = match (call.input_tokens, call.output_tokens) {
        (None, None) => None,
        (input, output) => {
            let known = |n: Option<u64>| n.map_or_else(|| "?".to_owned(), count);
            Some(format!("{} → {} tokens", known(input), known(output)))
        }
    };
    let latency = call.latency_ms.map(|ms| format!("{} ms", count(ms)));
    [tokens, latency].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn let_through(call: &CallReceipt) -> String {
    if !call.allowed_by.is_empty() {
        let allowances: Vec<String> = call.allowed_by.iter().map(allowance).collect();
        return format!("allowed by {}", allowances.join(" and "));
    }
    if call.unadmitted && call.fallback {
        return "! nobody asked again for this fallback, although a budget applies".to_owned();
    }
    if call.unadmitted {
        return "! nobody asked for it, although a budget applies".to_owned();
    }
    let asked = call.decision_id.is_some() || call.hold_id.is_some();
    if asked { "allowed: no budget applied" } else { "it was not asked for, and no budget applied" }.to_owned()
}
