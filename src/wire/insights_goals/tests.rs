//! Every figure stands under its own name, money twice, amounts of budgets in the unit of their measure.

use super::*;
use crate::domain::budget::{Measure, Scope};
use crate::domain::goal::GoalState;
use crate::domain::money::NanoUsd;
use crate::domain::time::UnixMillis;
use crate::insights::SignalKind;

fn within((low, high): (f64, f64)) -> Option<pb::Interval> {
    Some(pb::Interval { low, high, level: 0.9 })
}

/// A workflow without a closed goal.
fn idle() -> GoalFigures {
    GoalFigures {
        workflow: "idle".into(),
        spend: NanoUsd(1),
        closed: 0,
        accepted: 0,
        sub_goals: 4,
        accepted_sub_goals: 3,
        cost_per_accepted_goal: None,
        cost_per_accepted_goal_interval: None,
        closed_cost: NanoUsd(0),
        failure_cost_share: None,
        by_state: Vec::new(),
        cost_per_goal: None,
        cost_per_accepted: None,
        cost_per_not_accepted: None,
        pricing_coverage: None,
        shape: None,
        margin: None,
        per_accepted: PerAccepted::default(),
        changes: None,
    }
}

fn costs(goals: u64) -> CostDistribution {
    CostDistribution {
        goals,
        p50_usd: 0.5,
        p95_usd: 0.95,
        p99_usd: 0.99,
        mean_usd: 0.6,
        max_usd: 1.5,
        dearest_1_percent_share: 0.01,
        dearest_5_percent_share: 0.05,
    }
}

fn sized(p50: f64) -> Spread {
    Spread { p50, p95: p50 + 1.0, mean: p50 + 2.0, spread: (p50 > 0.0).then_some(1.25) }
}

fn busy() -> GoalFigures {
    let row = |state, goals, nano| StateRow { state, goals, share: 0.25, cost: NanoUsd(nano), cost_share: 0.125 };
    GoalFigures {
        workflow: "support".into(),
        spend: NanoUsd(47_000_000_001),
        closed: 120,
        accepted: 100,
        sub_goals: 0,
        accepted_sub_goals: 0,
        cost_per_accepted_goal: Some(0.47),
        cost_per_accepted_goal_interval: Some((0.4, 0.5)),
        closed_cost: NanoUsd(46_000_000_003),
        failure_cost_share: Some(0.2),
        by_state: vec![row(GoalState::Accepted, 100, 5), row(GoalState::Escalated, 20, 7)],
        cost_per_goal: Some(costs(120)),
        cost_per_accepted: Some(costs(100)),
        cost_per_not_accepted: Some(costs(20)),
        pricing_coverage: Some(0.75),
        shape: Some(Shape {
            calls: sized(3.0),
            steps: sized(2.0),
            wall_ms: sized(0.0),
            resolution_rate: 0.8,
            resolution_rate_interval: (0.7, 0.9),
            escalation_rate: 0.16,
            rework_rate: 0.04,
            retry_rate: Some(0.3),
            mean_score: None,
            scored: 9,
        }),
        margin: Some(Margin {
            price: NanoUsd(990_000_000),
            p50_usd: 0.49,
            p99_usd: -0.01,
            after_failures_usd: 0.52,
            share_at_loss: 0.02,
        }),
        per_accepted: PerAccepted {
            energy_j: Some(11.0),
            latency_ms: Some(12.0),
            tokens: Some(13.0),
            ..idle().per_accepted
        },
        changes: Some(GoalChanges { p50_cost: Some(0.1), p95_cost: Some(0.2), ..GoalChanges::default() }),
    }
}

#[test]
fn goals_are_told_with_exact_money_and_their_states() {
    let told = goals(GoalInsights { total: busy(), by_workflow: vec![busy(), idle()], sub_goals: 4 });
    assert_eq!((told.sub_goals, told.by_workflow.len(), told.by_workflow[1].workflow.as_str()), (4, 2, "idle"));
    let row = told.total.unwrap();
    assert_eq!(row, told.by_workflow[0]);
    assert_eq!((row.spend_usd, row.spend_nano_usd), (47.000_000_001, 47_000_000_001));
    assert_eq!((row.closed_cost_usd, row.closed_cost_nano_usd), (46.000_000_003, 46_000_000_003));
    assert_eq!((row.closed, row.accepted), (120, 100));
    assert_eq!(
        (row.cost_per_accepted_goal, row.failure_cost_share, row.pricing_coverage),
        (Some(0.47), Some(0.2), Some(0.75))
    );
    assert_eq!(row.cost_per_accepted_goal_interval, within((0.4, 0.5)));
    let states: Vec<_> =
        row.by_state.iter().map(|s| (s.state(), s.goals, s.cost_nano_usd, s.share, s.cost_share)).collect();
    let expected = [(pb::GoalState::Accepted, 100, 5, 0.25, 0.125), (pb::GoalState::Escalated, 20, 7, 0.25, 0.125)];
    assert_eq!(states, expected);
    let of = |costs: Option<pb::CostDistribution>| costs.unwrap().goals;
    assert_eq!((of(row.cost_per_goal), of(row.cost_per_accepted), of(row.cost_per_not_accepted)), (120, 100, 20));
    let spread = pb::CostDistribution {
        goals: 120,
        p50_usd: 0.5,
        p95_usd: 0.95,
        p99_usd: 0.99,
        mean_usd: 0.6,
        max_usd: 1.5,
        dearest_1_percent_share: 0.01,
        dearest_5_percent_share: 0.05,
    };
    assert_eq!(row.cost_per_goal, Some(spread));
    let margin = row.margin.unwrap();
    assert_eq!((margin.price_usd, margin.p50_usd, margin.p99_usd), (0.99, 0.49, -0.01));
    assert_eq!((margin.after_failures_usd, margin.share_at_loss), (0.52, 0.02));
    let changes = row.changes.unwrap();
    assert_eq!((changes.p50_cost_usd, changes.p95_cost_usd, changes.spend_usd), (Some(0.1), Some(0.2), None));
    let each = row.per_accepted.unwrap();
    assert_eq!((each.energy_j, each.latency_ms, each.tokens), (Some(11.0), Some(12.0), Some(13.0)));
}

#[test]
fn shapes_keep_their_sizes_apart() {
    let shape =
        goals(GoalInsights { total: busy(), by_workflow: Vec::new(), sub_goals: 0 }).total.unwrap().shape.unwrap();
    let of = |p50: f64, spread| Some(pb::Spread { p50, p95: p50 + 1.0, mean: p50 + 2.0, spread });
    assert_eq!((shape.calls, shape.steps, shape.wall_ms), (of(3.0, Some(1.25)), of(2.0, Some(1.25)), of(0.0, None)));
    assert_eq!((shape.resolution_rate, shape.escalation_rate, shape.rework_rate), (0.8, 0.16, 0.04));
    assert_eq!(shape.resolution_rate_interval, within((0.7, 0.9)));
    assert_eq!((shape.retry_rate, shape.mean_score, shape.scored), (Some(0.3), None, 9));
}

#[test]
fn a_workflow_without_closed_goals_has_no_figures_of_them() {
    let row = figures(idle());
    assert_eq!((row.spend_nano_usd, row.cost_per_accepted_goal, row.failure_cost_share), (1, None, None));
    assert!(row.by_state.is_empty() && row.cost_per_goal.is_none() && row.shape.is_none() && row.margin.is_none());
    assert_eq!((row.per_accepted, row.changes), (Some(pb::PerAcceptedGoal::default()), None));
}

#[test]
fn tools_tell_what_a_completion_cost() {
    let of = Efficiency {
        name: "search_api".into(),
        calls: 125,
        completions: 100,
        retries: 25,
        failure_rate: Some(0.2),
        failure_rate_interval: Some((0.15, 0.27)),
        price_per_call: Some(0.03),
        attempts_per_completion: Some(1.25),
        effective_cost: Some(0.0375),
        cost: NanoUsd(3_750_000_000),
        cost_share: 0.79,
    };
    let expected = pb::Efficiency {
        name: "search_api".into(),
        calls: 125,
        completions: 100,
        retries: 25,
        failure_rate: Some(0.2),
        failure_rate_interval: within((0.15, 0.27)),
        price_per_call_usd: Some(0.03),
        attempts_per_completion: Some(1.25),
        effective_cost_usd: Some(0.0375),
        cost_usd: 3.75,
        cost_nano_usd: 3_750_000_000,
        cost_share: 0.79,
    };
    assert_eq!(efficiency(of), expected);
}

#[test]
fn budgets_are_told_in_the_unit_of_their_measure() {
    let account = |measure, limit| BudgetUse {
        budget: "team-month".into(),
        scope: Scope::Team,
        instance: "support".into(),
        measure,
        limit,
        spent: 500_000_000,
        held: 250_000_000,
        utilisation: (limit > 0).then_some(0.75),
        resets_at: Some(UnixMillis(60_000)),
    };
    let per_goal =
        GoalBudgetUse { budget: "goal".into(), goals: 7, p50: 0.5, p95: 0.95, max: 1.5, share_exhausted: 0.125 };
    let accounts = vec![account(Measure::Usd, 1_000_000_000), account(Measure::Tokens, 0)];
    let told = budgets(BudgetInsights { accounts, accounts_total: 102, per_goal: vec![per_goal] });
    let [dollars, tokens] = &told.accounts[..] else { panic!("two accounts") };
    assert_eq!((dollars.limit, dollars.spent, dollars.held, dollars.utilisation), (1.0, 0.5, 0.25, Some(0.75)));
    assert_eq!((dollars.budget_id.as_str(), dollars.instance.as_str()), ("team-month", "support"));
    assert_eq!((dollars.scope.as_str(), dollars.measure.as_str()), ("team", "usd"));
    assert_eq!(dollars.resets_at.unwrap().seconds, 60);
    assert_eq!((tokens.limit, tokens.spent, tokens.utilisation), (0.0, 5e8, None));
    assert_eq!(told.accounts_total, 102);
    let goal =
        pb::GoalBudgetUse { budget_id: "goal".into(), goals: 7, p50: 0.5, p95: 0.95, max: 1.5, share_exhausted: 0.125 };
    assert_eq!(told.per_goal, [goal]);
}

#[test]
fn variants_stand_side_by_side() {
    let of = |value: &str, accepted| Variant {
        value: value.into(),
        spend: NanoUsd(2_000_000_000),
        calls: 50,
        call_success_rate: Some(0.9),
        call_success_rate_interval: Some((0.8, 0.95)),
        closed: 40,
        accepted,
        resolution_rate: Some(0.5),
        resolution_rate_interval: Some((0.4, 0.6)),
        cost_per_accepted_goal: Some(0.1),
        cost_per_accepted_goal_interval: None,
        calls_per_goal: Some(1.25),
        calls_per_goal_interval: Some((1.0, 1.5)),
    };
    let told = comparison(Comparison { label: "prompt".into(), a: of("a", 20), b: of("b", 21) });
    let (a, b) = (told.a.unwrap(), told.b.unwrap());
    assert_eq!((told.label.as_str(), a.value.as_str(), b.value.as_str()), ("prompt", "a", "b"));
    assert_eq!((a.accepted, b.accepted, a.closed, a.calls), (20, 21, 40, 50));
    assert_eq!((a.spend_usd, a.spend_nano_usd), (2.0, 2_000_000_000));
    assert_eq!(a.call_success_rate_interval, within((0.8, 0.95)));
    assert_eq!((a.resolution_rate_interval, a.calls_per_goal_interval), (within((0.4, 0.6)), within((1.0, 1.5))));
    assert_eq!((a.cost_per_accepted_goal, a.cost_per_accepted_goal_interval), (Some(0.1), None));
}

#[test]
fn a_signal_is_named_by_its_word() {
    let told = signal(Signal { kind: SignalKind::RetryRateJump, subject: "s".into(), sentence: "Do it.".into() });
    let expected = pb::Signal { kind: "retry_rate_jump".into(), subject: "s".into(), sentence: "Do it.".into() };
    assert_eq!(told, expected);
}
