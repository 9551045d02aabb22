//! The insights report as a message. Sums of money go out twice: as dollars, and exact in nano-USD.

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

fn window(of: Window) -> pb::Window {
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
mod tests {
    use super::*;
    use crate::domain::time::UnixMillis;
    use crate::insights::Resolution;

    fn headline_of(total_cost: NanoUsd, successes: u64) -> Headline {
        Headline {
            window: Window { start: UnixMillis(0), end: UnixMillis(60_000), resolution: Resolution::Minute },
            total_cost,
            successful_outcomes: successes,
            failed_calls_count: 2,
            failed_call_cost: NanoUsd(3),
            calls: 12,
            retries: 4,
            retry_multiplier: Some(1.5),
            cost_per_success: (successes > 0).then(|| total_cost.usd() / successes as f64),
            cost_per_success_interval: None,
            unverdicted_calls: 5,
            decisions: 6,
            decisions_without_outcome: 7,
            pricing_coverage: None,
        }
    }

    fn task_of(standing: FlagStanding) -> TaskInsights {
        let evidence = RateEvidence {
            successes: 1,
            failures: 0,
            success_rate: Some(1.0),
            success_rate_interval: (0.25, 1.0),
            avg_cost_per_call: None,
        };
        let over_provisioning = OverProvisioning {
            standing,
            incumbent_model: Some("a".into()),
            cheaper_model: None,
            probability: None,
            margin: 0.02,
            incumbent: Some(evidence),
            cheaper: None,
            saving_usd_per_month: None,
            added_failures_per_month: Some(-1.0),
            added_failure_cost_usd_per_month: None,
            selected_by: Some(SelectedBy::QualityFloor),
            selection_shares: vec![SelectionShare { selected_by: SelectedBy::Router, share: 1.0, decisions: 3 }],
            sentence: "s".into(),
        };
        TaskInsights {
            name: "tickets".into(),
            calls: 1,
            successes: 2,
            failures: 3,
            success_rate: Some(0.4),
            success_rate_interval: Some((0.25, 0.75)),
            avg_cost_per_call: None,
            cost_per_success: None,
            cost_per_success_interval: None,
            total_cost: NanoUsd(1_500_000_000),
            failed_call_cost: NanoUsd(1),
            uses_higher_tier_than_needed: standing == FlagStanding::Flagged,
            over_provisioning,
            by_model: Vec::new(),
            unverdicted_calls: 4,
            retries: 5,
            pricing_coverage: Some(0.5),
        }
    }

    fn report_of(standing: FlagStanding) -> Report {
        Report {
            headline: headline_of(NanoUsd(5_000_000_000), 10),
            decisions_open: 8,
            unpriced_calls: 9,
            evaluation_cost: NanoUsd(10),
            off_policy_calls: 11,
            by_task: vec![task_of(standing)],
            expected_false_flags: 0.05,
            cost_breakdown: None,
            previous: Some(headline_of(NanoUsd(0), 0)),
            changes: Some(HeadlineChanges { cost_per_success: Some(0.38), ..HeadlineChanges::default() }),
            partial_detail: true,
            note: Some("n".into()),
        }
    }

    #[test]
    fn figures_keep_their_names_and_what_is_missing_stays_absent() {
        let response = pb::GetInsightsResponse::from(report_of(FlagStanding::Flagged));
        assert_eq!((response.total_cost_usd, response.total_cost_nano_usd), (5.0, 5_000_000_000));
        assert_eq!(response.cost_per_success, Some(0.5));
        assert_eq!((response.pricing_coverage, response.cost_per_success_interval), (None, None));
        assert_eq!((response.successful_outcomes, response.failed_calls_count), (10, 2));
        assert_eq!((response.failed_call_cost_nano_usd, response.calls, response.retries), (3, 12, 4));
        assert_eq!((response.unverdicted_calls, response.decisions, response.decisions_without_outcome), (5, 6, 7));
        assert_eq!((response.decisions_open, response.unpriced_calls, response.off_policy_calls), (8, 9, 11));
        assert_eq!(response.window.as_ref().unwrap().resolution, "minute");
        assert_eq!(response.window.as_ref().unwrap().end.unwrap().seconds, 60);
        assert_eq!(response.previous.as_ref().unwrap().cost_per_success, None);
        assert_eq!(response.changes.unwrap().cost_per_success, Some(0.38));
        let task = &response.by_task[0];
        assert_eq!(task.success_rate_interval, Some(pb::Interval { low: 0.25, high: 0.75, level: 0.9 }));
        assert_eq!((task.total_cost_usd, task.total_cost_nano_usd), (1.5, 1_500_000_000));
        assert!(task.uses_higher_tier_than_needed && response.partial_detail);
    }

    #[test]
    fn the_flag_says_how_much_is_missing_only_where_something_is() {
        let of = |standing| {
            let response = pb::GetInsightsResponse::from(report_of(standing));
            let shown = response.by_task[0].over_provisioning.clone().unwrap();
            (shown.flag(), shown.needs_more, shown.selected_by())
        };
        let by = pb::SelectedBy::Floor;
        assert_eq!(of(FlagStanding::Flagged), (pb::OverProvisioningFlag::Flagged, 0, by));
        assert_eq!(of(FlagStanding::NotFlagged), (pb::OverProvisioningFlag::NotFlagged, 0, by));
        assert_eq!(of(FlagStanding::InsufficientData(17)), (pb::OverProvisioningFlag::InsufficientData, 17, by));
    }
}
