//! The over-provisioning evidence as one or two plain sentences: the numbers, then one recommended action. It
//! computes nothing; every number in the text stands in the row it is given.

use super::report::{OverProvisioning, RateEvidence, SelectedBy};
use crate::domain::catalog::TaskSettings;
use crate::domain::flag::{FlagStanding, MIN_OUTCOMES};

/// What is to be told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Story<'a> {
    /// Name of the task type.
    pub task: &'a str,
    /// Its settings.
    pub settings: &'a TaskSettings,
    /// The incumbent's share of all calls of the task type so far.
    pub served_share: f64,
    /// The figures.
    pub row: &'a OverProvisioning,
}

/// Tells it.
pub(super) fn sentence(story: &Story<'_>) -> String {
    let row = story.row;
    if !story.settings.strata.is_empty() {
        return format!(
            "{}: requests are told apart by features and models get different ones, so that their overall rates say nothing of each other; `oddsmaker whatif --policy always:MODEL --task {}` compares them.",
            story.task, story.task
        );
    }
    match (row.standing, &row.incumbent_model, &row.cheaper_model) {
        (FlagStanding::Flagged, Some(incumbent), Some(cheaper)) => flagged(story, incumbent, cheaper),
        (FlagStanding::Flagged, ..) => format!("{}: flagged, but the models compared are gone.", story.task),
        (FlagStanding::NotFlagged, Some(incumbent), Some(cheaper)) => not_flagged(story, incumbent, cheaper),
        (FlagStanding::NotFlagged, incumbent, _) => format!(
            "{}: {} has the most calls, and no other model that may serve costs at most 80 % of it: there is nothing cheaper to move them to.",
            story.task,
            incumbent.as_deref().unwrap_or("the one in use"),
        ),
        (FlagStanding::InsufficientData(more), Some(incumbent), Some(cheaper)) => {
            let (task, price) = (story.task, prices(row));
            if more == 0 {
                return format!(
                    "{task}: {cheaper} may do instead of {incumbent}{price}; the next outcome settles whether that can be told."
                );
            }
            let s = if more == 1 { "" } else { "s" };
            format!(
                "{task}: {more} more outcome{s} that teach are needed{} (each model needs {MIN_OUTCOMES}) to tell whether {cheaper} would do instead of {incumbent}{price}; leave routing on until then.",
                lacking(row, incumbent, cheaper)
            )
        }
        (FlagStanding::InsufficientData(_), Some(incumbent), None) => {
            format!(
                "{}: nothing is known yet of what could be served instead of {incumbent}; leave routing on.",
                story.task
            )
        }
        (FlagStanding::InsufficientData(_), ..) => {
            format!(
                "{}: no model has served a fifth of its calls at a known cost yet; report outcomes with cost or usage.",
                story.task
            )
        }
    }
}

/// " from a/one (has 3) and b/two (has 10)": those that have too few.
fn lacking(row: &OverProvisioning, incumbent: &str, cheaper: &str) -> String {
    let few = |name: &str, side: Option<&RateEvidence>| {
        let has = side.map_or(0, |side| side.successes + side.failures);
        (has < MIN_OUTCOMES).then(|| format!("{name} (has {has})"))
    };
    let both = [few(cheaper, row.cheaper.as_ref()), few(incumbent, row.incumbent.as_ref())];
    let few: Vec<String> = both.into_iter().flatten().collect();
    if few.is_empty() { String::new() } else { format!(" from {}", few.join(" and ")) }
}

fn flagged(story: &Story<'_>, incumbent: &str, cheaper: &str) -> String {
    let row = story.row;
    let (task, price) = (story.task, prices(row));
    let rates = rates(row).map(|(dear, cheap)| format!(" ({cheap} against {dear})")).unwrap_or_default();
    let doubt = row.probability.map(|p| format!("with probability {}", chance(p))).unwrap_or_default();
    let worth = row.saving_usd_per_month.map_or(String::new(), |saving| {
        let failures = row
            .added_failures_per_month
            .map_or(String::new(), |more| failures(more, row.added_failure_cost_usd_per_month));
        format!(" At this window's traffic it would save {} in 30 days{failures}.", usd(saving))
    });
    let certified = if row.certified { " (certified)" } else { "" };
    format!(
        "{task}: {incumbent} has served {} of the calls, and {cheaper}{price} succeeds at most {} less often {doubt}{certified}{rates}.{worth} Recommended: {}.",
        percent(story.served_share),
        points(row.margin),
        action(story, incumbent, cheaper),
    )
}

fn not_flagged(story: &Story<'_>, incumbent: &str, cheaper: &str) -> String {
    let row = story.row;
    let (task, price) = (story.task, prices(row));
    let rates = rates(row).map(|(dear, cheap)| format!(" ({cheap} against {dear})")).unwrap_or_default();
    let p = row.probability.map(chance).unwrap_or_default();
    format!(
        "{task}: that {cheaper}{price} succeeds at most {} less often than {incumbent} has probability {p}, too little to rely on{rates}; nothing to change.",
        points(row.margin),
    )
}

/// The one thing to do, by who selected the dear model.
fn action(story: &Story<'_>, incumbent: &str, cheaper: &str) -> String {
    let (row, task, margin) = (story.row, story.task, story.row.margin);
    let loses = |saving: f64| row.added_failure_cost_usd_per_month.is_some_and(|cost| cost >= saving);
    if row.saving_usd_per_month.is_some_and(loses) {
        return format!("keep {incumbent}, as the added failures would cost more than is saved");
    }
    match row.selected_by {
        Some(SelectedBy::Router) if story.settings.tolerance >= margin => {
            format!("let the router go on, as the tolerance of {task} lets it take {cheaper} already")
        }
        Some(SelectedBy::Router) => {
            format!("set the tolerance of {task} to {margin}, so that the router takes {cheaper}")
        }
        Some(SelectedBy::CallerConstraint) => {
            format!("lift the pins and limits that leave only {incumbent}, so that the router can take {cheaper}")
        }
        Some(SelectedBy::QualityFloor) => format!("lower the quality floor that leaves only {incumbent}"),
        Some(SelectedBy::IrreversibleStep) => "mark the steps that can be undone as reversible".to_owned(),
        None => format!("look at a longer window, as {incumbent} was not called in this one"),
    }
}

/// " ($0.000069 instead of $0.0021 a call)".
fn prices(row: &OverProvisioning) -> String {
    let cost = |side: &Option<RateEvidence>| side.as_ref().and_then(|evidence| evidence.avg_cost_per_call);
    let (dear, cheap) = (cost(&row.incumbent), cost(&row.cheaper));
    dear.zip(cheap)
        .map(|(dear, cheap)| format!(" ({} instead of {} a call)", usd(cheap), usd(dear)))
        .unwrap_or_default()
}

/// Rates of the incumbent and the cheaper model with their counts.
fn rates(row: &OverProvisioning) -> Option<(String, String)> {
    let rate = |side: &RateEvidence| {
        let of = side.successes + side.failures;
        side.success_rate.map(|rate| format!("{} of {of}", percent(rate)))
    };
    rate(row.incumbent.as_ref()?).zip(rate(row.cheaper.as_ref()?))
}

fn failures(more: f64, cost_usd: Option<f64>) -> String {
    if more <= 0.0 {
        return " without adding failures".to_owned();
    }
    let cost = cost_usd.map(|cost| format!(", which cost {}", usd(cost))).unwrap_or_default();
    format!(" and add about {more:.0} failures{cost}")
}

/// A share as a percentage with one digit. What is not all or nothing is not shown as such.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", shown_percent(share))
}

/// A share in percent as it is shown with one digit: nearly all is not all, nearly nothing is not nothing.
#[must_use]
pub fn shown_percent(share: f64) -> f64 {
    match share * 100.0 {
        p if p > 0.0 && p < 0.05 => 0.1,
        p if (99.95..100.0).contains(&p) => 99.9,
        p => p,
    }
}

/// A probability as a percentage with one digit, never rounded to certainty.
fn chance(probability: f64) -> String {
    match probability {
        p if p >= 0.9995 => "over 99.9 %".to_owned(),
        p if p < 0.0005 => "below 0.1 %".to_owned(),
        p => percent(p),
    }
}

/// A difference of rates in percentage points.
fn points(margin: f64) -> String {
    let points = (margin * 1e4).round() / 100.0;
    format!("{points} point{}", if points == 1.0 { "" } else { "s" })
}

/// Dollars with two digits, or three that count where it is less than ten cents.
pub(super) fn usd(amount: f64) -> String {
    let digits = match amount.abs() {
        a if !(1e-9..0.1).contains(&a) => 2,
        a => (2 - a.log10().floor() as i32).clamp(2, 9) as usize,
    };
    let sign = if amount < 0.0 { "−" } else { "" };
    let text = format!("{:.digits$}", amount.abs());
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    format!("{sign}${}.{:0<2}", grouped(whole), part.trim_end_matches('0'))
}

/// A count, rounded to a whole one: "12,345".
pub(super) fn number(n: f64) -> String {
    grouped(&format!("{n:.0}"))
}

/// So much of what a budget measures other than money: "1 call", "2,000 tokens".
#[must_use]
pub fn measured(n: u64, measure: &str) -> String {
    let unit = match (n, measure) {
        (1, "retries") => "retry",
        (1, of) => of.strip_suffix('s').unwrap_or(of),
        (_, of) => of,
    };
    format!("{} {unit}", grouped(&n.to_string()))
}

/// Digits in groups of three: `1234567` is `1,234,567`.
#[must_use]
pub fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        let amounts = [0.0, 0.000_069, 0.0021, 0.099_96, 0.47, 21.0, 1234.567, -3.2, 0.000_000_000_4];
        let texts = ["$0.00", "$0.000069", "$0.0021", "$0.10", "$0.47", "$21.00", "$1,234.57", "−$3.20", "$0.00"];
        assert_eq!(amounts.map(usd), texts);
        assert_eq!([0.02, 0.01, 0.005].map(points), ["2 points", "1 point", "0.5 points"]);
        assert_eq!([0.9, 1.0].map(percent), ["90.0 %", "100.0 %"]);
        let counts = [(1, "calls"), (1, "retries"), (0, "calls"), (2_000, "tokens")];
        assert_eq!(counts.map(|(n, of)| measured(n, of)), ["1 call", "1 retry", "0 calls", "2,000 tokens"]);
        let nearly = [0.499_767_65 / 0.5, 0.999_8, 0.999_5, 0.000_1, 0.0, 1.000_1];
        assert_eq!(nearly.map(percent), ["99.9 %", "99.9 %", "99.9 %", "0.1 %", "0.0 %", "100.0 %"]);
        assert_eq!([1.0, 0.999, 0.5, 0.0].map(chance), ["over 99.9 %", "99.9 %", "50.0 %", "below 0.1 %"]);
    }
}
