//! The report in domain types: the same figures, in the same words, as `insights.proto` gives them. It holds results
//! only; nothing is computed here. Shares and rates are fractions, dollars are `f64` only where they are means or
//! ratios, sums of money are exact.

use super::report_goals::{
    BudgetInsights, Comparison, ContextRow, Efficiency, GoalInsights, Overhead, Quality, Signal, Waste,
};
use super::report_savings::Savings;
use crate::domain::flag::FlagStanding;
use crate::domain::money::NanoUsd;
use crate::domain::time::UnixMillis;

/// A 90 % interval: low and high, in the unit of the figure it belongs to.
pub type Interval = (f64, f64);

/// What the edges of a window are rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// To the minute.
    Minute,
    /// To the hour (UTC).
    Hour,
}

impl Resolution {
    /// The word used on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
        }
    }
}

/// The span of time a report covers, as rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Begin, inclusive: rounded down.
    pub start: UnixMillis,
    /// End, exclusive: the end of the minute that is not yet over, or the start of the window after this one.
    pub end: UnixMillis,
    /// What `start` is rounded to.
    pub resolution: Resolution,
}

/// The report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The key figures.
    pub headline: Headline,
    /// Decisions of the window that still wait for their outcome.
    pub decisions_open: u64,
    /// Production calls of unknown cost.
    pub unpriced_calls: u64,
    /// Known costs of evaluations; part of the total.
    pub evaluation_cost: NanoUsd,
    /// Calls whose decision did not offer the model that served them.
    pub off_policy_calls: u64,
    /// Task types, dearest first, then by name. Calls without a task type (tools) are in the headline only.
    pub by_task: Vec<TaskInsights>,
    /// How many flags among all task types are to be expected to be false, were no model over-provisioned.
    pub expected_false_flags: f64,
    /// The cost split four ways; `None` unless asked for.
    pub cost_breakdown: Option<CostBreakdown>,
    /// The window before; `None` unless asked for.
    pub previous: Option<Headline>,
    /// The changes against it; `None` unless asked for.
    pub changes: Option<HeadlineChanges>,
    /// Goals; `None` where a filter is on a task type, model, tool, step or goal, by which goals cannot be told.
    pub goals: Option<GoalInsights>,
    /// Goals of the window before; `None` unless asked for, or where `goals` is `None`.
    pub previous_goals: Option<GoalInsights>,
    /// What was paid for nothing.
    pub waste: Waste,
    /// The same in the window before; `None` unless asked for.
    pub previous_waste: Option<Waste>,
    /// Tools, dearest first, then by name; calls of no tool are left out.
    pub tools: Vec<Efficiency>,
    /// Steps, dearest first, then by name.
    pub steps: Vec<Efficiency>,
    /// How far budgets are used.
    pub budgets: BudgetInsights,
    /// How contexts grow within goals, by place.
    pub context_growth: Vec<ContextRow>,
    /// Two workflows; `None` unless asked for, or where `goals` is `None`.
    pub overhead: Option<Overhead>,
    /// Two values of a label; `None` unless asked for, or with a filter on a goal.
    pub comparison: Option<Comparison>,
    /// How good the record is; its goals are those of `goals`, none where that is `None`.
    pub quality: Quality,
    /// What is worth acting on; none with a filter on a goal.
    pub signals: Vec<Signal>,
    /// What rollouts save; `None` where a filter is on a model, tool, step or goal, by which arms cannot be told.
    pub savings: Option<Savings>,
    /// Some calls may match the filters but are kept only under "other": they are left out.
    pub partial_detail: bool,
    /// One sentence on what is left out; `None`: nothing.
    pub note: Option<String>,
}

/// The key figures of one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Headline {
    /// The span of time.
    pub window: Window,
    /// Sum of the known costs, evaluations included.
    pub total_cost: NanoUsd,
    /// Calls that succeeded.
    pub successful_outcomes: u64,
    /// Calls that failed.
    pub failed_calls_count: u64,
    /// Known costs of the failed calls.
    pub failed_call_cost: NanoUsd,
    /// Production calls.
    pub calls: u64,
    /// Retries among them, fallbacks included.
    pub retries: u64,
    /// calls ÷ (calls − retries); `None` without a call that is no retry.
    pub retry_multiplier: Option<f64>,
    /// Known spend ÷ successes of known cost, in USD; `None` without such a success.
    pub cost_per_success: Option<f64>,
    /// Its interval, in USD; `None` below 30 calls or 5 successes.
    pub cost_per_success_interval: Option<Interval>,
    /// Production calls without a verdict.
    pub unverdicted_calls: u64,
    /// Decisions made.
    pub decisions: u64,
    /// Of them expired without an outcome.
    pub decisions_without_outcome: u64,
    /// Share of the production calls whose cost is known; `None` without calls.
    pub pricing_coverage: Option<f64>,
}

/// Relative changes, (now − before) ÷ before: 0.38 is 38 % up. `None` where a figure is missing or was 0 before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeadlineChanges {
    /// Of the total cost.
    pub total_cost: Option<f64>,
    /// Of the successes.
    pub successful_outcomes: Option<f64>,
    /// Of the failed calls.
    pub failed_calls_count: Option<f64>,
    /// Of their cost.
    pub failed_call_cost: Option<f64>,
    /// Of the calls.
    pub calls: Option<f64>,
    /// Of the retries.
    pub retries: Option<f64>,
    /// Of the retry multiplier.
    pub retry_multiplier: Option<f64>,
    /// Of the cost of one success.
    pub cost_per_success: Option<f64>,
    /// Of the calls without a verdict.
    pub unverdicted_calls: Option<f64>,
    /// Of the decisions.
    pub decisions: Option<f64>,
    /// Of the decisions without outcome.
    pub decisions_without_outcome: Option<f64>,
    /// Of the pricing coverage.
    pub pricing_coverage: Option<f64>,
    /// The window before has a cost per success, but too few calls or successes for its interval.
    pub cost_per_success_is_thin: bool,
}

/// One task type.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskInsights {
    /// Its name.
    pub name: String,
    /// Production calls.
    pub calls: u64,
    /// Of them successes.
    pub successes: u64,
    /// Of them failures.
    pub failures: u64,
    /// S ÷ (S + F); `None` without a verdict.
    pub success_rate: Option<f64>,
    /// Of Beta(1 + S, 1 + F), the window's own counts; `None` without a verdict.
    pub success_rate_interval: Option<Interval>,
    /// Known spend ÷ calls of known cost, evaluations in both, in USD; `None` without such a call.
    pub avg_cost_per_call: Option<f64>,
    /// Known spend ÷ successes of known cost, in USD; `None` without such a success.
    pub cost_per_success: Option<f64>,
    /// Its interval, in USD; `None` below 30 calls or 5 successes.
    pub cost_per_success_interval: Option<Interval>,
    /// Sum of the known costs.
    pub total_cost: NanoUsd,
    /// Known costs of the failed calls.
    pub failed_call_cost: NanoUsd,
    /// True only when flagged.
    pub uses_higher_tier_than_needed: bool,
    /// The flag and its evidence.
    pub over_provisioning: OverProvisioning,
    /// Models, most calls first, then by candidate id. Candidates that may serve stand here even without calls.
    pub by_model: Vec<ModelInsights>,
    /// Production calls without a verdict.
    pub unverdicted_calls: u64,
    /// Retries, fallbacks included.
    pub retries: u64,
    /// Share of the production calls whose cost is known; `None` without calls.
    pub pricing_coverage: Option<f64>,
}

/// Whether a cheaper model would do. The verdict and the two rates are of the learner's state, whatever window and
/// filters; dollars, failures and shares of selection are of all traffic of the task type in the window.
#[derive(Clone, Debug, PartialEq)]
pub struct OverProvisioning {
    /// The verdict; with too little data it carries how many more outcomes are needed.
    pub standing: FlagStanding,
    /// The candidate with the most traffic; `None`: none has a fifth of it at a known cost.
    pub incumbent_model: Option<String>,
    /// The cheaper one: of the raised flag, else the most probable to do, else (too little data) the one that lacks
    /// fewest outcomes. `None`: none costs at most 0.8 of the incumbent.
    pub cheaper_model: Option<String>,
    /// P(p_cheaper ≥ p_incumbent − margin) by the counts shown here; `None` without a cheaper one or enough data.
    pub probability: Option<f64>,
    /// Evidence against p_cheaper < p_incumbent − margin that holds whenever one looks (an e-value); `None` as `probability`.
    pub e_value: Option<f64>,
    /// It is at least 20 for each cheaper model compared.
    pub certified: bool,
    /// δ, the loss of success rate that is accepted.
    pub margin: f64,
    /// What is known of the incumbent.
    pub incumbent: Option<RateEvidence>,
    /// What is known of the cheaper model.
    pub cheaper: Option<RateEvidence>,
    /// Saved in 30 days at the window's traffic, in USD; `None` unless flagged.
    pub saving_usd_per_month: Option<f64>,
    /// Failures added in 30 days at the window's traffic; below 0 where it fails less. `None` unless flagged.
    pub added_failures_per_month: Option<f64>,
    /// Those at the task type's `failure_cost_usd`, in USD; `None` unless flagged, or without such a cost.
    pub added_failure_cost_usd_per_month: Option<f64>,
    /// Who mostly selected the incumbent in the window; `None`: it had no such calls.
    pub selected_by: Option<SelectedBy>,
    /// How the incumbent's calls in the window divide, largest first; sums to 1. Fallbacks are left out.
    pub selection_shares: Vec<SelectionShare>,
    /// All of this as one sentence, with one recommended action.
    pub sentence: String,
}

/// Who or what selected a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SelectedBy {
    /// The router: a draw, an earlier draw that was kept, or the exploration floor.
    Router,
    /// The caller, who left only this model, or routed it elsewhere.
    CallerConstraint,
    /// A quality floor, which left only this model.
    QualityFloor,
    /// An irreversible step, at which the best mean is chosen.
    IrreversibleStep,
}

/// One part of a model's calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SelectionShare {
    /// Who or what selected.
    pub selected_by: SelectedBy,
    /// Share of the calls.
    pub share: f64,
    /// Number of them.
    pub decisions: u64,
}

/// What is known of one model's success rate and price, since its last change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateEvidence {
    /// Successes that taught.
    pub successes: u64,
    /// Failures that taught.
    pub failures: u64,
    /// S ÷ (S + F); `None` without an outcome.
    pub success_rate: Option<f64>,
    /// Of Beta(1 + S, 1 + F).
    pub success_rate_interval: Interval,
    /// Mean cost of a call, in USD, over all its calls of known cost; `None`: unknown.
    pub avg_cost_per_call: Option<f64>,
}

/// One candidate (or model chosen elsewhere) at one task type.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInsights {
    /// Model id, without the variant.
    pub model: String,
    /// Its provider; empty: not known.
    pub provider: String,
    /// Candidate id: the model's, or `id#variant`.
    pub candidate: String,
    /// The catalogue in force has the model.
    pub in_catalog: bool,
    /// Share of the task type's calls; 0 without calls.
    pub traffic_share: f64,
    /// Production calls.
    pub calls: u64,
    /// Of them successes, whoever routed them.
    pub successes: u64,
    /// Of them failures, whoever routed them.
    pub failures: u64,
    /// S ÷ (S + F); `None` without a verdict.
    pub success_rate: Option<f64>,
    /// Of Beta(1 + S, 1 + F), the window's own counts; `None` without a verdict.
    pub success_rate_interval: Option<Interval>,
    /// P(highest success rate) among the candidates that may serve, by the learner's posteriors; `None` for others.
    pub probability_best: Option<f64>,
    /// Known spend ÷ calls of known cost, in USD.
    pub avg_cost_per_call: Option<f64>,
    /// Known spend ÷ successes of known cost, in USD.
    pub cost_per_success: Option<f64>,
    /// Sum of the known costs.
    pub total_cost: NanoUsd,
    /// Share of the production calls whose cost is known.
    pub pricing_coverage: Option<f64>,
    /// The learner's 95th percentile of latency in ms, at most 5 % high; of all its calls, not of the window.
    /// `None` below 20 latencies.
    pub p95_latency_ms: Option<f64>,
    /// Calls the router chose.
    pub router_calls: u64,
    /// Calls for which the caller left one model.
    pub pinned_calls: u64,
    /// Calls routed elsewhere.
    pub elsewhere_calls: u64,
    /// Retries, fallbacks included.
    pub retries: u64,
}

/// The cost split four ways; each list is dearest first, then by name, and sums to the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CostBreakdown {
    /// By model, variants together.
    pub by_model: Vec<CostRow>,
    /// By workflow.
    pub by_workflow: Vec<CostRow>,
    /// By step.
    pub by_step: Vec<CostRow>,
    /// By tool.
    pub by_tool: Vec<CostRow>,
}

/// One part of the cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostRow {
    /// What it is the cost of; empty: calls without such a name; "other": names past the cap.
    pub name: String,
    /// Calls, evaluations included.
    pub calls: u64,
    /// Sum of the known costs.
    pub cost: NanoUsd,
    /// Calls of unknown cost, evaluations included.
    pub unpriced_calls: u64,
}
