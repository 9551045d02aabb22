//! What the report says of savings, as messages. Sums of money go out twice: as dollars, and exact in nano-USD.

use super::pb;
use super::reply::{any_arm, interval};
use crate::insights::{AcceptanceStanding, ArmRow, Savings, SavingsRow, SavingsStanding, UnprovenEstimate};

/// All of it.
pub(super) fn savings(of: Savings) -> pb::Savings {
    pb::Savings {
        rows: of.rows.into_iter().map(row).collect(),
        saved_usd_per_month: of.saved_usd_per_month.map(|(usd, _)| usd),
        saved_usd_per_month_interval: of.saved_usd_per_month.map(|(_, of)| interval(of)),
        unproven_estimates: of.unproven_estimates.into_iter().map(estimate).collect(),
    }
}

fn row(of: SavingsRow) -> pb::SavingsRow {
    let points = |share: f64| share * 100.0;
    pb::SavingsRow {
        task_type: of.task,
        of_goals: of.of_goals,
        holdout_model: of.holdout_model,
        holdout_calls: of.held_out_calls.map(|(calls, _)| calls),
        holdout_calls_served_otherwise: of.held_out_calls.map(|(_, otherwise)| otherwise),
        arms: of.arms.into_iter().map(arm).collect(),
        standing: standing(of.standing).into(),
        acceptance: acceptance(of.acceptance).into(),
        saved_usd_per_month: of.saved_usd_per_month.map(|(usd, _)| usd),
        saved_usd_per_month_interval: of.saved_usd_per_month.map(|(_, of)| interval(of)),
        acceptance_points: of.acceptance_difference.map(|(share, _)| points(share)),
        acceptance_points_interval: of
            .acceptance_difference
            .map(|(_, (low, high))| interval((points(low), points(high)))),
        holdout_units_needed: of.holdout_units_needed,
        acceptance_units_needed: of.acceptance_units_needed,
        strata: of.strata,
        sentence: of.sentence,
    }
}

fn arm(of: ArmRow) -> pb::ArmResult {
    pb::ArmResult {
        arm: any_arm(of.arm).into(),
        units: of.units,
        accepted: of.accepted,
        acceptance_rate: of.acceptance_rate.0,
        acceptance_rate_interval: Some(interval(of.acceptance_rate.1)),
        open: of.open,
        costed: of.costed,
        cost_usd: of.cost.usd(),
        cost_nano_usd: of.cost.0,
        cost_per_unit_usd: of.cost_per_unit,
    }
}

fn estimate(of: UnprovenEstimate) -> pb::UnprovenEstimate {
    let UnprovenEstimate { task, model, usd_per_month, sentence } = of;
    pb::UnprovenEstimate { task_type: task, model, usd_per_month, sentence }
}

fn standing(of: SavingsStanding) -> pb::SavingsStanding {
    match of {
        SavingsStanding::NoHoldout => pb::SavingsStanding::NoHoldout,
        SavingsStanding::TooFew => pb::SavingsStanding::TooFew,
        SavingsStanding::Inconclusive => pb::SavingsStanding::Inconclusive,
        SavingsStanding::Saved => pb::SavingsStanding::Saved,
        SavingsStanding::CostsMore => pb::SavingsStanding::CostsMore,
    }
}

fn acceptance(of: AcceptanceStanding) -> pb::AcceptanceStanding {
    match of {
        AcceptanceStanding::NotCompared => pb::AcceptanceStanding::NotCompared,
        AcceptanceStanding::Inconclusive => pb::AcceptanceStanding::Inconclusive,
        AcceptanceStanding::Kept => pb::AcceptanceStanding::Kept,
        AcceptanceStanding::Higher => pb::AcceptanceStanding::Higher,
        AcceptanceStanding::Lower => pb::AcceptanceStanding::Lower,
    }
}
