//! The page's section on savings: each comparison with its sentence and its arms, and estimates that prove nothing. It
//! computes no figure.

use maud::{Markup, html};

use super::figures::{count, percent_range, usd};
use super::page::or_dash;
use crate::wire::pb;

/// What routing saves; nothing where there is neither a comparison nor an estimate.
pub(super) fn savings(report: &pb::GetInsightsResponse) -> Markup {
    let Some(of) = report.savings.as_ref().filter(|of| !of.rows.is_empty() || !of.unproven_estimates.is_empty()) else {
        return html! {};
    };
    html! {
        section aria-labelledby="savings" {
            h2 #savings { "What routing saves" }
            @for row in &of.rows {
                p { (row.sentence) }
                (arms(row))
            }
            @for estimate in &of.unproven_estimates {
                p.why { (estimate.sentence) }
            }
        }
    }
}

fn arms(row: &pb::SavingsRow) -> Markup {
    let units = if row.of_goals { "Goals" } else { "Calls" };
    html! {
        table {
            caption { (row.task_type) " by arm. An arm is drawn at random for each goal, else for each call." }
            thead { tr {
                th scope="col" { "Arm" } th scope="col" { (units) } th scope="col" { "Still open" } th scope="col" { "Accepted" }
                th scope="col" { "Cost of one" } th scope="col" { "Total cost" }
            } }
            tbody {
                @for arm in &row.arms {
                    tr {
                        th scope="row" { (name(arm.arm())) }
                        td data-label=(units) { (count(arm.units)) }
                        td data-label="Still open" { (or_dash(arm.open.map(count), "calls are not open")) }
                        td data-label="Accepted" {
                            (count(arm.accepted)) " "
                            @if let Some(i) = &arm.acceptance_rate_interval { span.interval { (percent_range(i.low, i.high)) } }
                        }
                        td data-label="Cost of one" { (or_dash(arm.cost_per_unit_usd.map(usd), "cost unknown")) }
                        td data-label="Total cost" { (usd(arm.cost_usd)) }
                    }
                }
            }
        }
    }
}

fn name(arm: pb::Arm) -> &'static str {
    match arm {
        pb::Arm::Router => "Served by the router",
        pb::Arm::Holdout => "Held out",
        _ => "The caller's own choice",
    }
}
