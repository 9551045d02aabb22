//! `insights --proof`: what routing saves against a random holdout, and what may be said where there is none. It computes no
//! figure itself.

use super::human::{UNKNOWN, count, percent, printable, usd, usd_or_unknown};
use super::listing::{Cell, Column, Listing};

use crate::wire::pb;

const ARM_COLUMNS: &[Column] = &[
    Column::text("arm", "  ARM"),
    Column::number("units", "UNITS"),
    Column::number("open", "STILL OPEN"),
    Column::number("accepted", "ACCEPTED"),
    Column::text("acceptance_rate", "ACCEPTED, 90 %"),
    Column::number("cost_usd", "COST"),
    Column::number("cost_per_unit_usd", "COST/UNIT"),
];

const ROW_COLUMNS: &[Column] = &[
    Column::program("task_type"),
    Column::program("of_goals"),
    Column::program("holdout_model"),
    Column::program("standing"),
    Column::program("saved_usd_per_month"),
    Column::program("saved_usd_per_month_low"),
    Column::program("saved_usd_per_month_high"),
    Column::program("acceptance"),
    Column::program("acceptance_points"),
    Column::program("acceptance_points_low"),
    Column::program("acceptance_points_high"),
    Column::program("holdout_units_needed"),
    Column::program("acceptance_units_needed"),
    Column::program("served_units"),
    Column::program("held_out_units"),
    Column::program("served_open"),
    Column::program("held_out_open"),
    Column::program("holdout_calls"),
    Column::program("holdout_calls_served_otherwise"),
];

/// As text for people.
pub(super) fn text(savings: Option<&pb::Savings>) -> String {
    let Some(savings) = savings else {
        return "Arms cannot be told by a model, tool, step or goal: leave these filters out.\n".to_owned();
    };
    let mut text = String::new();
    for row in &savings.rows {
        let units = if row.of_goals { "goals" } else { "calls without a goal" };
        text += &format!("{} ({units})\n  {}\n", printable(&row.task_type), printable(&row.sentence));
        for (what, needed) in [("cost", row.holdout_units_needed), ("acceptance", row.acceptance_units_needed)] {
            if let Some(needed) = needed.filter(|n| *n > 0) {
                text += &format!("  to tell the {what}: about {} more held-out units\n", count(needed));
            }
        }
        if let Some((otherwise @ 1.., calls)) = row.holdout_calls_served_otherwise.zip(row.holdout_calls) {
            let model = printable(row.holdout_model());
            text += &format!("  {} of {} held-out calls were not served by {model}\n", count(otherwise), count(calls));
        }
        let mut listing = Listing::new(ARM_COLUMNS);
        row.arms.iter().for_each(|arm| listing.push(arm_cells(arm)));
        text += &format!("{}\n", listing.table());
        text.push('\n');
    }
    if let Some((saved, interval)) = savings.saved_usd_per_month.zip(savings.saved_usd_per_month_interval) {
        let (low, high) = (usd(interval.low), usd(interval.high));
        text += &format!("All together {} a month (90 %: {low} to {high})\n", usd(saved));
    } else {
        text += "Nothing is proven saved: that takes a random holdout with 100 units in both arms.\n";
    }
    for estimate in &savings.unproven_estimates {
        text += &format!("  {}\n", printable(&estimate.sentence));
    }
    text
}

fn arm_cells(arm: &pb::ArmResult) -> Vec<Cell> {
    let interval = arm.acceptance_rate_interval;
    let between = interval.map_or_else(
        || UNKNOWN.to_owned(),
        |i| format!("{} ({} to {})", percent(arm.acceptance_rate), percent(i.low), percent(i.high)),
    );
    vec![
        format!("  {}", name(arm.arm())).into(),
        Cell::shown(arm.units, count(arm.units)),
        Cell::shown(arm.open, arm.open.map_or_else(|| UNKNOWN.to_owned(), count)),
        Cell::shown(arm.accepted, count(arm.accepted)),
        between.into(),
        Cell::shown(arm.cost_usd, usd(arm.cost_usd)),
        Cell::shown(arm.cost_per_unit_usd, usd_or_unknown(arm.cost_per_unit_usd)),
    ]
}

fn name(arm: pb::Arm) -> &'static str {
    match arm {
        pb::Arm::Router => "served by the router",
        pb::Arm::Holdout => "held out",
        _ => "the caller's own choice",
    }
}

/// One row a task type and kind of unit, for programs.
pub(super) fn rows(savings: Option<&pb::Savings>) -> Listing {
    let mut listing = Listing::new(ROW_COLUMNS);
    for row in savings.iter().flat_map(|savings| &savings.rows) {
        let ends = |interval: Option<pb::Interval>| (interval.map(|i| i.low), interval.map(|i| i.high));
        let (low, high) = ends(row.saved_usd_per_month_interval);
        let (worst, best) = ends(row.acceptance_points_interval);
        let units = |of| row.arms.iter().find(|arm| arm.arm() == of).map_or(0, |arm| arm.units);
        let open = |of| row.arms.iter().find(|arm| arm.arm() == of).map_or(row.of_goals.then_some(0), |arm| arm.open);
        listing.push(vec![
            row.task_type.as_str().into(),
            row.of_goals.into(),
            row.holdout_model.clone().into(),
            row.standing().as_str_name().into(),
            row.saved_usd_per_month.into(),
            low.into(),
            high.into(),
            row.acceptance().as_str_name().into(),
            row.acceptance_points.into(),
            worst.into(),
            best.into(),
            row.holdout_units_needed.into(),
            row.acceptance_units_needed.into(),
            units(pb::Arm::Router).into(),
            units(pb::Arm::Holdout).into(),
            open(pb::Arm::Router).into(),
            open(pb::Arm::Holdout).into(),
            row.holdout_calls.into(),
            row.holdout_calls_served_otherwise.into(),
        ]);
    }
    listing
}
