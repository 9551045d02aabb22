//! What the report says of savings, in domain types. It holds results only; nothing is computed here. Shares and rates are
//! fractions, dollars a month are means, sums of money are exact.

use super::report::Interval;
use crate::domain::call::Arm;
use crate::domain::money::NanoUsd;

/// What rollouts came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Savings {
    /// A row for each task type and kind of unit, by name, goals first.
    pub rows: Vec<SavingsRow>,
    /// Dollars of 30 days over all rows that are compared, and their interval; `None`: none is.
    pub saved_usd_per_month: Option<(f64, Interval)>,
    /// What a task type without a comparison may save; nobody can say that it does.
    pub unproven_estimates: Vec<UnprovenEstimate>,
}

/// What is known of the cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavingsStanding {
    /// Nothing was held out in the window.
    NoHoldout,
    /// An arm has too few units to be compared.
    TooFew,
    /// The interval holds zero.
    Inconclusive,
    /// The served arm costs less: the interval lies above zero.
    Saved,
    /// The served arm costs more: the interval lies below zero.
    CostsMore,
}

/// What is known of the acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptanceStanding {
    /// The arms are not compared.
    NotCompared,
    /// The interval holds zero and more than the margin below it.
    Inconclusive,
    /// At most the task type's margin is lost: the interval lies above it, and holds zero.
    Kept,
    /// The served arm is accepted more often: the interval lies above zero.
    Higher,
    /// The served arm is accepted less often: the interval lies below zero.
    Lower,
}

/// The arms of one task type, compared by what was drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct SavingsRow {
    /// Task type.
    pub task: String,
    /// Whether goals are compared; else calls without a goal.
    pub of_goals: bool,
    /// The candidate that is held out on now; `None`: none is.
    pub holdout_model: Option<String>,
    /// Production calls of the task type in the window whose arm was the holdout, with a goal or without, and how many of them another
    /// model than `holdout_model` served, because that one could not be or the call was told of another. They stay in their arm.
    /// `None`: no model is held out on now.
    pub held_out_calls: Option<(u64, u64)>,
    /// The arms that have units, ended or open: router, holdout, observe.
    pub arms: Vec<ArmRow>,
    /// What is known of the cost.
    pub standing: SavingsStanding,
    /// What is known of the acceptance.
    pub acceptance: AcceptanceStanding,
    /// Dollars of 30 days that the served arm costs less, and the interval.
    pub saved_usd_per_month: Option<(f64, Interval)>,
    /// Share of units accepted, served less held out, and the interval.
    pub acceptance_difference: Option<(f64, Interval)>,
    /// More held-out units until the cost can be told; 0: it can.
    pub holdout_units_needed: Option<u64>,
    /// More held-out units until the acceptance can be told; 0: it can.
    pub acceptance_units_needed: Option<u64>,
    /// Spans of time in which like was compared with like.
    pub strata: u64,
    /// The same in one sentence.
    pub sentence: String,
}

/// What one arm came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArmRow {
    /// The arm.
    pub arm: Arm,
    /// Goals closed, else calls.
    pub units: u64,
    /// Of them those accepted.
    pub accepted: u64,
    /// Share of them accepted, and its interval.
    pub acceptance_rate: (f64, Interval),
    /// Goals of the arm that are open now, and count once they end; `None`: the units are calls.
    pub open: Option<u64>,
    /// Units whose cost is known.
    pub costed: u64,
    /// What those cost.
    pub cost: NanoUsd,
    /// What one of them cost, in USD; `None` without one.
    pub cost_per_unit: Option<f64>,
}

/// What a task type may save against one model for all, by the router's own calls. Nothing randomised stands behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct UnprovenEstimate {
    /// Task type.
    pub task: String,
    /// The model compared with.
    pub model: String,
    /// Dollars of 30 days.
    pub usd_per_month: f64,
    /// The same in one sentence.
    pub sentence: String,
}
