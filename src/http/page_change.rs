//! What the page shows of why spend changed: the sentence, what to do, and the parts the change is the sum of. It computes
//! no figure.

use maud::{Markup, html};

use super::figures::{percent, usd};
use super::page::or_dash;
use super::page_goals::{row, table};
use crate::wire::pb;

const PART_COLUMNS: [&str; 3] = ["Part of the change", "Amount", "Share of it"];
const DRIVER_COLUMNS: [&str; 3] = ["What drove it", "Step, tool or model", "Amount"];

/// Drivers shown.
const SHOWN: usize = 5;

/// Why the cost of an accepted goal changed, else why spend did; nothing where nothing changed.
pub(super) fn why(answer: &pb::ExplainChangeResponse) -> Markup {
    let splits = [&answer.per_accepted_goal, &answer.spend];
    let Some(split) = splits.into_iter().flatten().find(|split| split.change_nano_usd != 0) else { return html! {} };
    let parts = split.parts.iter().filter(|part| part.amount_nano_usd != 0);
    let drivers = &split.drivers[..split.drivers.len().min(SHOWN)];
    html! {
        section.reasons aria-labelledby="reasons" {
            h2 #reasons { "Why it changed" }
            p { (split.answer) }
            @if !answer.recommendation.is_empty() { p { (answer.recommendation) } }
            details {
                summary { "The parts of the change" }
                (table("They sum to the change, to the nano-dollar.", &PART_COLUMNS, &html! {
                    @for of in parts { (part(of)) }
                }))
                @if !drivers.is_empty() {
                    (table("The largest, by the place where they acted.", &DRIVER_COLUMNS, &html! {
                        @for of in drivers { (driver(of)) }
                    }))
                }
            }
        }
    }
}

fn part(of: &pb::ChangePart) -> Markup {
    let cells = [html! { (usd(of.amount_usd)) }, or_dash(of.share.map(percent), "nothing changed")];
    row(&word(of.factor()), &PART_COLUMNS, &cells)
}

fn driver(of: &pb::ChangeDriver) -> Markup {
    let place: Vec<&str> = [&of.step, &of.model].into_iter().flatten().map(String::as_str).collect();
    let place = if place.is_empty() { "all calls".to_owned() } else { place.join(" · ") };
    row(&word(of.factor()), &DRIVER_COLUMNS, &[html! { (place) }, html! { (usd(of.amount_usd)) }])
}

/// Such as "Step mix".
fn word(factor: pb::ChangeFactor) -> String {
    let name = factor.as_str_name().trim_start_matches("CHANGE_FACTOR_").replace('_', " ");
    let (first, rest) = name.split_at(name.len().min(1));
    first.to_owned() + &rest.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "<img src=x onerror=alert(1)>";

    fn split(change_nano_usd: i64) -> pb::ChangeSplit {
        let part = |factor: pb::ChangeFactor, amount_nano_usd: i64| pb::ChangePart {
            factor: factor.into(),
            amount_usd: amount_nano_usd as f64 / 1e9,
            amount_nano_usd,
            share: Some(0.75),
        };
        pb::ChangeSplit {
            answer: HOSTILE.into(),
            change_nano_usd,
            parts: vec![part(pb::ChangeFactor::Retries, -30_000_000), part(pb::ChangeFactor::StepMix, 0)],
            drivers: vec![pb::ChangeDriver {
                factor: pb::ChangeFactor::ModelMix.into(),
                step: Some(HOSTILE.into()),
                model: Some("a/b".into()),
                amount_usd: 0.5,
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn the_answer_stands_with_its_parts_and_is_inert() {
        let answer = pb::ExplainChangeResponse {
            per_accepted_goal: Some(split(1)),
            recommendation: HOSTILE.into(),
            ..Default::default()
        };
        let html = why(&answer).into_string();
        for part in ["Why it changed", "Retries", "−$0.03", "75\u{202f}%", "Model mix", " · a/b", "$0.50"] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("Step mix"), "a part that is nothing is not shown");
        assert_eq!(html.matches("&lt;img src=x onerror=alert(1)&gt;").count(), 3);
        assert!(!html.contains("<img"), "{html}");
    }

    #[test]
    fn where_nothing_changed_nothing_is_said() {
        let answer = pb::ExplainChangeResponse { spend: Some(split(0)), ..Default::default() };
        assert_eq!(why(&answer).into_string(), "");
    }
}
