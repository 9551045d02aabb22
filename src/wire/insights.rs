//! The insights report as a message. Sums of money go out twice: as dollars, and exact in nano-USD. What is about goals,
//! tools, steps and budgets is `insights_goals`'s.

use super::insights_goals::{budgets, comparison, context_row, efficiency, goals, overhead, quality, signal, waste};
use super::insights_savings::savings;
use super::pb;
use super::reply::{interval, timestamp};
use crate::domain::flag::FlagStanding;
use crate::domain::money::NanoUsd;
use crate::insights::{
    CostBreakdown, CostRow, Headline, HeadlineChanges, ModelInsights, OverProvisioning, RateEvidence, Report,
    SelectedBy, SelectionShare, TaskInsights, Window,
};

impl From<Report> for pb::GetInsightsResponse {
    fn from(report: Report) -> Self {
        let now = headline(&report.headline);
        Self {
            window: now.window,
            total_cost_usd: now.total_cost_usd,
            total_cost_nano_usd: now.total_cost_nano_usd,
            successful_outcomes: now.successful_outcomes,
            failed_calls_count: now.failed_calls_count,
            failed_call_cost_usd: now.failed_call_cost_usd,
            failed_call_cost_nano_usd: now.failed_call_cost_nano_usd,
            calls: now.calls,
            retries: now.retries,
            retry_multiplier: now.retry_multiplier,
            cost_per_success: now.cost_per_success,
            cost_per_success_interval: now.cost_per_success_interval,
            unverdicted_calls: now.unverdicted_calls,
            decisions: now.decisions,
            decisions_without_outcome: now.decisions_without_outcome,
            decisions_open: report.decisions_open,
            pricing_coverage: now.pricing_coverage,
            unpriced_calls: report.unpriced_calls,
            evaluation_cost_usd: report.evaluation_cost.usd(),
            off_policy_calls: report.off_policy_calls,
            by_task: report.by_task.into_iter().map(task).collect(),
            expected_false_flags: report.expected_false_flags,
            cost_breakdown: report.cost_breakdown.map(breakdown),
            previous: report.previous.as_ref().map(headline),
            changes: report.changes.map(changes),
            partial_detail: report.partial_detail,
            note: report.note,
            goals: report.goals.map(goals),
            previous_goals: report.previous_goals.map(goals),
            waste: Some(waste(report.waste)),
            previous_waste: report.previous_waste.map(waste),
            tools: report.tools.into_iter().map(efficiency).collect(),
            steps: report.steps.into_iter().map(efficiency).collect(),
            budgets: Some(budgets(report.budgets)),
            context_growth: report.context_growth.into_iter().map(context_row).collect(),
            overhead: report.overhead.map(overhead),
            comparison: report.comparison.map(comparison),
            quality: Some(quality(report.quality)),
            signals: report.signals.into_iter().map(signal).collect(),
            savings: report.savings.map(savings),
        }
    }
}

impl pb::ModelInsights {
    /// Why the catalogue in force does not have the model, in words; `None`: it does, or nobody told which model it was.
    #[must_use]
    pub fn absence(&self) -> Option<&'static str> {
        match (self.in_catalog, self.candidate.as_str()) {
            (true, _) | (false, "" | "other") => None,
            _ if self.router_calls + self.pinned_calls > 0 => Some("left the catalogue"),
            _ => Some("not in the catalogue"),
        }
    }
}

fn headline(of: &Headline) -> pb::Headline {
    pb::Headline {
        window: Some(window(of.window)),
        total_cost_usd: of.total_cost.usd(),
        total_cost_nano_usd: of.total_cost.0,
        successful_outcomes: of.successful_outcomes,
        failed_calls_count: of.failed_calls_count,
        failed_call_cost_usd: of.failed_call_cost.usd(),
        failed_call_cost_nano_usd: of.failed_call_cost.0,
        calls: of.calls,
        retries: of.retries,
        retry_multiplier: of.retry_multiplier,
        cost_per_success: of.cost_per_success,
        cost_per_success_interval: of.cost_per_success_interval.map(interval),
        unverdicted_calls: of.unverdicted_calls,
        decisions: of.decisions,
        decisions_without_outcome: of.decisions_without_outcome,
        pricing_coverage: of.pricing_coverage,
    }
}

/// The span of time of a report.
pub(super) fn window(of: Window) -> pb::Window {
    pb::Window {
        start: Some(timestamp(of.start)),
        end: Some(timestamp(of.end)),
        resolution: of.resolution.as_str().to_owned(),
    }
}

fn changes(of: HeadlineChanges) -> pb::HeadlineChanges {
    pb::HeadlineChanges {
        total_cost_usd: of.total_cost,
        successful_outcomes: of.successful_outcomes,
        failed_calls_count: of.failed_calls_count,
        failed_call_cost_usd: of.failed_call_cost,
        calls: of.calls,
        retries: of.retries,
        retry_multiplier: of.retry_multiplier,
        cost_per_success: of.cost_per_success,
        unverdicted_calls: of.unverdicted_calls,
        decisions: of.decisions,
        decisions_without_outcome: of.decisions_without_outcome,
        pricing_coverage: of.pricing_coverage,
        cost_per_success_is_thin: of.cost_per_success_is_thin,
    }
}

fn task(of: TaskInsights) -> pb::TaskInsights {
    pb::TaskInsights {
        name: of.name,
        calls: of.calls,
        successes: of.successes,
        failures: of.failures,
        success_rate: of.success_rate,
        success_rate_interval: of.success_rate_interval.map(interval),
        avg_cost_per_call: of.avg_cost_per_call,
        cost_per_success: of.cost_per_success,
        cost_per_success_interval: of.cost_per_success_interval.map(interval),
        total_cost_usd: of.total_cost.usd(),
        total_cost_nano_usd: of.total_cost.0,
        failed_call_cost_usd: of.failed_call_cost.usd(),
        failed_call_cost_nano_usd: of.failed_call_cost.0,
        uses_higher_tier_than_needed: of.uses_higher_tier_than_needed,
        over_provisioning: Some(over_provisioning(of.over_provisioning)),
        by_model: of.by_model.into_iter().map(model).collect(),
        unverdicted_calls: of.unverdicted_calls,
        retries: of.retries,
        pricing_coverage: of.pricing_coverage,
    }
}

fn model(of: ModelInsights) -> pb::ModelInsights {
    pb::ModelInsights {
        model: of.model,
        provider: of.provider,
        traffic_share: of.traffic_share,
        calls: of.calls,
        successes: of.successes,
        failures: of.failures,
        success_rate: of.success_rate,
        success_rate_interval: of.success_rate_interval.map(interval),
        probability_best: of.probability_best,
        avg_cost_per_call: of.avg_cost_per_call,
        cost_per_success: of.cost_per_success,
        total_cost_usd: of.total_cost.usd(),
        pricing_coverage: of.pricing_coverage,
        p95_latency_ms: of.p95_latency_ms,
        router_calls: of.router_calls,
        pinned_calls: of.pinned_calls,
        elsewhere_calls: of.elsewhere_calls,
        retries: of.retries,
        candidate: of.candidate,
        total_cost_nano_usd: of.total_cost.0,
        in_catalog: of.in_catalog,
    }
}

fn over_provisioning(of: OverProvisioning) -> pb::OverProvisioning {
    let (flag, needs_more) = match of.standing {
        FlagStanding::Flagged => (pb::OverProvisioningFlag::Flagged, 0),
        FlagStanding::NotFlagged => (pb::OverProvisioningFlag::NotFlagged, 0),
        FlagStanding::InsufficientData(more) => (pb::OverProvisioningFlag::InsufficientData, more),
    };
    pb::OverProvisioning {
        flag: flag.into(),
        needs_more,
        incumbent_model: of.incumbent_model,
        cheaper_model: of.cheaper_model,
        probability: of.probability,
        margin: of.margin,
        incumbent: of.incumbent.map(evidence),
        cheaper: of.cheaper.map(evidence),
        saving_usd_per_month: of.saving_usd_per_month,
        added_failures_per_month: of.added_failures_per_month,
        added_failure_cost_usd_per_month: of.added_failure_cost_usd_per_month,
        selected_by: of.selected_by.map_or(pb::SelectedBy::Unspecified, selected_by).into(),
        selection_shares: of.selection_shares.into_iter().map(share).collect(),
        sentence: of.sentence,
        e_value: of.e_value,
        certified: of.certified,
    }
}

fn evidence(of: RateEvidence) -> pb::RateEvidence {
    pb::RateEvidence {
        successes: of.successes,
        failures: of.failures,
        success_rate: of.success_rate,
        success_rate_interval: Some(interval(of.success_rate_interval)),
        avg_cost_per_call: of.avg_cost_per_call,
    }
}

fn share(of: SelectionShare) -> pb::SelectionShare {
    pb::SelectionShare { selected_by: selected_by(of.selected_by).into(), share: of.share, decisions: of.decisions }
}

fn selected_by(who: SelectedBy) -> pb::SelectedBy {
    match who {
        SelectedBy::Router => pb::SelectedBy::Router,
        SelectedBy::CallerConstraint => pb::SelectedBy::CallerConstraint,
        SelectedBy::QualityFloor => pb::SelectedBy::Floor,
        SelectedBy::IrreversibleStep => pb::SelectedBy::IrreversibleStep,
    }
}

fn breakdown(of: CostBreakdown) -> pb::CostBreakdown {
    let rows = |rows: Vec<CostRow>| rows.into_iter().map(row).collect();
    pb::CostBreakdown {
        by_model: rows(of.by_model),
        by_workflow: rows(of.by_workflow),
        by_step: rows(of.by_step),
        by_tool: rows(of.by_tool),
    }
}

fn row(of: CostRow) -> pb::CostRow {
    let CostRow { name, calls, cost: NanoUsd(nano), unpriced_calls } = of;
    pb::CostRow { name, calls, cost_usd: NanoUsd(nano).usd(), cost_nano_usd: nano, unpriced_calls }
}

#[cfg(test)]
mod tests;
