//! Figures keep their names, and what is missing stays absent.

use super::*;
use crate::domain::time::UnixMillis;
use crate::insights::{BudgetInsights, Quality, Resolution, Waste};

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
        e_value: Some(431.0),
        certified: true,
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
        goals: None,
        previous_goals: None,
        waste: Waste::default(),
        previous_waste: None,
        tools: Vec::new(),
        steps: Vec::new(),
        budgets: BudgetInsights::default(),
        context_growth: Vec::new(),
        overhead: None,
        comparison: None,
        quality: Quality::default(),
        signals: Vec::new(),
        savings: None,
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
