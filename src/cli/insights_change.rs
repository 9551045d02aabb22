//! Why spend changed, as text: what changed and the one thing to do, then the parts and what drove them; and as rows of
//! drivers. It knows no figure that is not in the answer.

use super::human::{UNKNOWN, count, percent, percent_or_unknown, printable, usd};
use super::insights_text::ends;
use super::listing::{Cell, Column, Listing};
use crate::wire::pb;

const PART_COLUMNS: &[Column] = &[
    Column::text("factor", "  FACTOR"),
    Column::number("amount_usd", "OF THE CHANGE"),
    Column::number("share", "SHARE"),
];

const DRIVER_COLUMNS: &[Column] = &[
    Column::program("of"),
    Column::text("factor", "  WHAT DROVE IT"),
    Column::program("kind"),
    Column::text("step", "STEP OR TOOL"),
    Column::text("model", "MODEL"),
    Column::number("amount_usd", "AMOUNT"),
    Column::program("amount_nano_usd"),
    Column::number("previous", "BEFORE"),
    Column::number("current", "NOW"),
    Column::program("unit"),
];

/// Drivers shown of each split.
const DRIVERS_SHOWN: usize = 10;

/// The whole answer for people.
pub(super) fn text(answer: &pb::ExplainChangeResponse) -> String {
    let mut text = String::new();
    if let Some((now, before)) = ends(answer.current_window.as_ref()).zip(ends(answer.previous_window.as_ref())) {
        text += &format!("{} to {} UTC, against {} to {} UTC\n\n", now.0, now.1, before.0, before.1);
    }
    text += &on_top(answer);
    for (title, split) in [("Cost per accepted goal", &answer.per_accepted_goal), ("Spend", &answer.spend)] {
        if let Some(split) = split {
            add_split(&mut text, title, split);
        }
    }
    text
}

/// What changed and the one thing to do, a sentence a line: of the cost of an accepted goal where goals were accepted.
pub(super) fn on_top(answer: &pb::ExplainChangeResponse) -> String {
    let splits = [&answer.per_accepted_goal, &answer.spend].into_iter().flatten();
    let mut text: String = splits.map(|split| printable(&split.answer) + "\n").collect();
    text += &printable(&answer.recommendation);
    text.trim_end().to_owned() + "\n\n"
}

/// One row a driver, of the spend and of the cost of an accepted goal.
pub(super) fn drivers(answer: &pb::ExplainChangeResponse) -> Listing {
    let mut listing = Listing::new(DRIVER_COLUMNS);
    for (of, split) in [("spend", &answer.spend), ("per_accepted_goal", &answer.per_accepted_goal)] {
        let all = split.iter().flat_map(|split| &split.drivers);
        all.for_each(|driver| listing.push(row(of, driver, word(driver.factor()))));
    }
    listing
}

fn add_split(text: &mut String, title: &str, split: &pb::ChangeSplit) {
    if split.change_nano_usd == 0 && split.drivers.is_empty() {
        return;
    }
    *text += &format!("{title}\n");
    let mut parts = Listing::new(PART_COLUMNS);
    for part in &split.parts {
        let cells = [format!("  {}", word(part.factor())), signed(part.amount_usd), percent_or_unknown(part.share)];
        parts.push(cells.map(Cell::from).into());
    }
    if split.change_nano_usd != 0 {
        *text += &format!("{}\n  sum {}\n", parts.table(), signed(split.change_usd));
    }
    let mut drivers = Listing::new(DRIVER_COLUMNS);
    for driver in split.drivers.iter().take(DRIVERS_SHOWN) {
        drivers.push(row("", driver, format!("  {}", word(driver.factor()))));
    }
    if !split.drivers.is_empty() {
        *text += &format!("{}\n", drivers.table());
    }
    if split.drivers.len() > DRIVERS_SHOWN {
        let more = u64::try_from(split.drivers.len() - DRIVERS_SHOWN).unwrap_or(0);
        *text += &format!("  and {} more\n", count(more));
    }
    text.push('\n');
}

fn row(of: &str, driver: &pb::ChangeDriver, factor: String) -> Vec<Cell> {
    let kind = driver.kind().as_str_name().trim_start_matches("CALL_KIND_").to_lowercase();
    let figure = |figure: Option<f64>| match figure {
        Some(figure) => Cell::shown(figure, measured(driver, figure)),
        None => Cell::shown(serde_json::Value::Null, UNKNOWN.to_owned()),
    };
    vec![
        of.into(),
        factor.into(),
        Some(kind).filter(|kind| kind != "unspecified").into(),
        driver.step.clone().into(),
        driver.model.clone().into(),
        Cell::shown(driver.amount_usd, signed(driver.amount_usd)),
        driver.amount_nano_usd.into(),
        figure(driver.previous),
        figure(driver.current),
        driver.unit.clone().into(),
    ]
}

/// "step mix".
fn word(factor: pb::ChangeFactor) -> String {
    factor.as_str_name().trim_start_matches("CHANGE_FACTOR_").to_lowercase().replace('_', " ")
}

/// A figure before or now, with its unit.
fn measured(driver: &pb::ChangeDriver, figure: f64) -> String {
    match driver.unit.as_str() {
        "goals" => format!("{} goals", number(figure)),
        "first_attempts" => format!("{} first attempts", number(figure)),
        "goals_per_accepted_goal" => format!("{} goals/accepted", number(figure)),
        "times_per_goal" => format!("{} times/goal", number(figure)),
        "share_of_first_attempts" => format!("{} of first attempts", percent(figure)),
        "share_of_calls" => format!("{} of calls", percent(figure)),
        "tokens_per_call" => format!("{} tokens/call", number(figure)),
        "nano_usd_per_token" => format!("{}/M tokens", usd(figure / 1e3)),
        "nano_usd_per_call" => format!("{} a call", usd(figure / 1e9)),
        other => format!("{} {}", number(figure), other.replace('_', " ")),
    }
}

/// A figure of any size with three digits after the point where it is small.
fn number(n: f64) -> String {
    if n.abs() >= 1_000.0 { count(n.abs().round() as u64) } else { format!("{}", (n * 1_000.0).round() / 1_000.0) }
}

fn signed(amount: f64) -> String {
    if amount > 0.0 { format!("+{}", usd(amount)) } else { usd(amount) }
}

#[cfg(test)]
mod tests {
    use super::super::args::Format;
    use super::*;

    fn answer() -> pb::ExplainChangeResponse {
        let part = |factor: pb::ChangeFactor, nano: i64| pb::ChangePart {
            factor: factor.into(),
            amount_usd: nano as f64 / 1e9,
            amount_nano_usd: nano,
            share: Some(nano as f64 / 750_000_025.0),
        };
        let driver = pb::ChangeDriver {
            factor: pb::ChangeFactor::Retries.into(),
            kind: pb::CallKind::Tool.into(),
            step: Some("search_api\u{1b}".into()),
            model: None,
            amount_usd: 0.800_000_025,
            amount_nano_usd: 800_000_025,
            previous: Some(0.0),
            current: Some(0.2),
            unit: "share_of_calls".into(),
        };
        let spend = pb::ChangeSplit {
            answer: "Spend rose.".into(),
            change_usd: 0.750_000_025,
            change_nano_usd: 750_000_025,
            parts: vec![part(pb::ChangeFactor::StepMix, -50_000_000), part(pb::ChangeFactor::Retries, 800_000_025)],
            drivers: vec![driver; 12],
            ..Default::default()
        };
        pb::ExplainChangeResponse {
            spend: Some(spend),
            recommendation: "Recommended: cap its attempts.".into(),
            ..Default::default()
        }
    }

    #[test]
    fn the_sentence_the_parts_the_drivers_and_the_recommendation() {
        let text = text(&answer());
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = text.lines().map(squeezed).collect();
        assert_eq!(
            lines[..8],
            [
                "Spend rose.",
                "Recommended: cap its attempts.",
                "",
                "Spend",
                "FACTOR OF THE CHANGE SHARE",
                "step mix -$0.05 -6.7 %",
                "retries +$0.80 106.7 %",
                "sum +$0.75"
            ]
        );
        assert_eq!(lines[9], "retries search_api\\u{1b} – +$0.80 0.0 % of calls 20.0 % of calls");
        assert_eq!(lines[19], "and 2 more");
    }

    #[test]
    fn rows_for_programs_are_exact() {
        let mut out = Vec::new();
        drivers(&answer()).print(Format::Csv, &mut out).unwrap();
        let csv = String::from_utf8(out).unwrap();
        assert_eq!(csv.lines().count(), 13);
        let header = "of,factor,kind,step,model,amount_usd,amount_nano_usd,previous,current,unit";
        assert_eq!(csv.lines().next(), Some(header));
        assert_eq!(
            csv.lines().nth(1),
            Some("spend,retries,tool,search_api\u{1b},,0.800000025,800000025,0.0,0.2,share_of_calls")
        );
    }

    #[test]
    fn an_unchanged_spend_has_no_table() {
        let spend = pb::ChangeSplit { answer: "Spend was nothing in either window.".into(), ..Default::default() };
        let nothing = pb::ExplainChangeResponse { spend: Some(spend), ..Default::default() };
        assert_eq!(text(&nothing), "Spend was nothing in either window.\n\n");
    }
}
