//! The part of the insights report that is about goals, tools, steps and budgets, as messages. Sums of money go out
//! twice: as dollars, and exact in nano-USD; amounts of budgets in the unit of their measure.

use super::pb;
use super::reply::{interval, timestamp};
use super::reply_budget::counted;
use super::reply_goal::state;
use crate::insights::{
    BudgetInsights, BudgetUse, Comparison, ContextRow, CostDistribution, Efficiency, GoalBudgetUse, GoalChanges,
    GoalFigures, GoalInsights, Margin, Overhead, PerAccepted, Quality, Shape, Signal, SourceQuality, Spread, StateRow,
    Variant, Waste,
};

/// Goals of a window.
pub(super) fn goals(of: GoalInsights) -> pb::GoalInsights {
    pb::GoalInsights {
        total: Some(figures(of.total)),
        by_workflow: of.by_workflow.into_iter().map(figures).collect(),
        sub_goals: of.sub_goals,
    }
}

/// What was paid for nothing.
pub(super) fn waste(of: Waste) -> pb::Waste {
    pb::Waste {
        retry_waste_ratio: of.retry_waste_ratio,
        retry_waste_ratio_by_count: of.retry_waste_ratio_by_count,
        loaded_multiplier: of.loaded_multiplier,
    }
}

/// What one tool or step yields.
pub(super) fn efficiency(of: Efficiency) -> pb::Efficiency {
    pb::Efficiency {
        name: of.name,
        calls: of.calls,
        completions: of.completions,
        retries: of.retries,
        failure_rate: of.failure_rate,
        failure_rate_interval: of.failure_rate_interval.map(interval),
        price_per_call_usd: of.price_per_call,
        attempts_per_completion: of.attempts_per_completion,
        effective_cost_usd: of.effective_cost,
        cost_usd: of.cost.usd(),
        cost_nano_usd: of.cost.0,
        cost_share: of.cost_share,
    }
}

/// How far budgets are used.
pub(super) fn budgets(of: BudgetInsights) -> pb::BudgetInsights {
    pb::BudgetInsights {
        accounts: of.accounts.into_iter().map(budget_use).collect(),
        accounts_total: of.accounts_total,
        per_goal: of.per_goal.into_iter().map(goal_budget_use).collect(),
    }
}

/// Input tokens at one place within goals.
pub(super) fn context_row(of: ContextRow) -> pb::ContextRow {
    let ContextRow { first, last, calls, mean_input_tokens } = of;
    pb::ContextRow { first, last, calls, mean_input_tokens }
}

/// Two workflows.
pub(super) fn overhead(of: Overhead) -> pb::Overhead {
    let Overhead { workflow, baseline, energy, cost, latency, tokens } = of;
    pb::Overhead { workflow, baseline, energy, cost, latency, tokens }
}

/// Two values of a label.
pub(super) fn comparison(of: Comparison) -> pb::Comparison {
    pb::Comparison { label: of.label, a: Some(variant(of.a)), b: Some(variant(of.b)) }
}

/// How good the record is.
pub(super) fn quality(of: Quality) -> pb::RecordQuality {
    pb::RecordQuality {
        goals_open: of.goals_open,
        goals_closed: of.goals_closed,
        decisions_without_outcome: of.decisions_without_outcome,
        decisions_open: of.decisions_open,
        pricing_coverage: of.pricing_coverage,
        self_reported_rate: of.self_reported_rate,
        graded: of.graded,
        graded_rate: of.graded_rate,
        graded_rate_interval: of.graded_rate_interval.map(interval),
        graded_self_reported_rate: of.graded_self_reported_rate,
        overclaimed: of.overclaimed,
        underclaimed: of.underclaimed,
        sources: of.sources.into_iter().map(source).collect(),
    }
}

fn source(of: SourceQuality) -> pb::SourceQuality {
    pb::SourceQuality {
        source: of.source,
        outcomes: of.outcomes,
        success_rate: of.success_rate,
        success_rate_interval: Some(interval(of.success_rate_interval)),
    }
}

/// Something worth acting on.
pub(super) fn signal(of: Signal) -> pb::Signal {
    pb::Signal { kind: of.kind.as_str().to_owned(), subject: of.subject, sentence: of.sentence }
}

fn figures(of: GoalFigures) -> pb::GoalFigures {
    pb::GoalFigures {
        workflow: of.workflow,
        spend_usd: of.spend.usd(),
        spend_nano_usd: of.spend.0,
        closed: of.closed,
        accepted: of.accepted,
        sub_goals: of.sub_goals,
        accepted_sub_goals: of.accepted_sub_goals,
        cost_per_accepted_goal: of.cost_per_accepted_goal,
        cost_per_accepted_goal_interval: of.cost_per_accepted_goal_interval.map(interval),
        closed_cost_usd: of.closed_cost.usd(),
        closed_cost_nano_usd: of.closed_cost.0,
        failure_cost_share: of.failure_cost_share,
        by_state: of.by_state.into_iter().map(state_row).collect(),
        cost_per_goal: of.cost_per_goal.map(distribution),
        cost_per_accepted: of.cost_per_accepted.map(distribution),
        cost_per_not_accepted: of.cost_per_not_accepted.map(distribution),
        pricing_coverage: of.pricing_coverage,
        shape: of.shape.map(shape),
        margin: of.margin.map(margin),
        per_accepted: Some(per_accepted(of.per_accepted)),
        changes: of.changes.map(changes),
    }
}

fn changes(of: GoalChanges) -> pb::GoalChanges {
    pb::GoalChanges {
        spend_usd: of.spend,
        closed: of.closed,
        accepted: of.accepted,
        cost_per_accepted_goal: of.cost_per_accepted_goal,
        failure_cost_share: of.failure_cost_share,
        p50_cost_usd: of.p50_cost,
        p95_cost_usd: of.p95_cost,
    }
}

fn state_row(of: StateRow) -> pb::GoalStateRow {
    pb::GoalStateRow {
        state: state(of.state).into(),
        goals: of.goals,
        share: of.share,
        cost_usd: of.cost.usd(),
        cost_nano_usd: of.cost.0,
        cost_share: of.cost_share,
    }
}

fn distribution(of: CostDistribution) -> pb::CostDistribution {
    pb::CostDistribution {
        goals: of.goals,
        p50_usd: of.p50_usd,
        p95_usd: of.p95_usd,
        p99_usd: of.p99_usd,
        mean_usd: of.mean_usd,
        max_usd: of.max_usd,
        dearest_1_percent_share: of.dearest_1_percent_share,
        dearest_5_percent_share: of.dearest_5_percent_share,
    }
}

fn spread(of: Spread) -> pb::Spread {
    pb::Spread { p50: of.p50, p95: of.p95, mean: of.mean, spread: of.spread }
}

fn shape(of: Shape) -> pb::GoalShape {
    pb::GoalShape {
        calls: Some(spread(of.calls)),
        steps: Some(spread(of.steps)),
        wall_ms: Some(spread(of.wall_ms)),
        resolution_rate: of.resolution_rate,
        resolution_rate_interval: Some(interval(of.resolution_rate_interval)),
        escalation_rate: of.escalation_rate,
        rework_rate: of.rework_rate,
        retry_rate: of.retry_rate,
        mean_score: of.mean_score,
        scored: of.scored,
    }
}

fn margin(of: Margin) -> pb::GoalMargin {
    pb::GoalMargin {
        price_usd: of.price.usd(),
        p50_usd: of.p50_usd,
        p99_usd: of.p99_usd,
        after_failures_usd: of.after_failures_usd,
        share_at_loss: of.share_at_loss,
    }
}

fn per_accepted(of: PerAccepted) -> pb::PerAcceptedGoal {
    let PerAccepted { energy_j, latency_ms, tokens, energy_coverage, latency_coverage } = of;
    pb::PerAcceptedGoal { energy_j, latency_ms, tokens, energy_coverage, latency_coverage }
}

fn budget_use(of: BudgetUse) -> pb::BudgetUse {
    pb::BudgetUse {
        budget_id: of.budget,
        scope: of.scope.as_str().to_owned(),
        instance: of.instance,
        measure: of.measure.as_str().to_owned(),
        limit: counted(of.measure, of.limit),
        spent: counted(of.measure, of.spent),
        held: counted(of.measure, of.held),
        utilisation: of.utilisation,
        resets_at: of.resets_at.map(timestamp),
    }
}

fn goal_budget_use(of: GoalBudgetUse) -> pb::GoalBudgetUse {
    let GoalBudgetUse { budget, goals, p50, p95, max, share_exhausted } = of;
    pb::GoalBudgetUse { budget_id: budget, goals, p50, p95, max, share_exhausted }
}

fn variant(of: Variant) -> pb::Variant {
    pb::Variant {
        value: of.value,
        spend_usd: of.spend.usd(),
        spend_nano_usd: of.spend.0,
        calls: of.calls,
        call_success_rate: of.call_success_rate,
        call_success_rate_interval: of.call_success_rate_interval.map(interval),
        closed: of.closed,
        accepted: of.accepted,
        resolution_rate: of.resolution_rate,
        resolution_rate_interval: of.resolution_rate_interval.map(interval),
        cost_per_accepted_goal: of.cost_per_accepted_goal,
        cost_per_accepted_goal_interval: of.cost_per_accepted_goal_interval.map(interval),
        calls_per_goal: of.calls_per_goal,
        calls_per_goal_interval: of.calls_per_goal_interval.map(interval),
    }
}

#[cfg(test)]
mod tests;
