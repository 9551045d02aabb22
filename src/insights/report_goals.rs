//! The part of the report that is about goals, budgets and what is done about them, in domain types. It holds results only;
//! nothing is computed here. Shares and rates are fractions; dollars are `f64` only where they are means or ratios.

use super::report::Interval;
use crate::domain::budget::{Measure, Scope};
use crate::domain::goal::GoalState;
use crate::domain::money::NanoUsd;
use crate::domain::time::UnixMillis;

/// Goals of a window: all together, and by workflow. A goal that stands below another one is part of that and of no figure of
/// its own, but for those that count sub-goals, and what one accepted goal of its workflow took. Goals belong to the window in which they were closed, each with its whole cost.
#[derive(Clone, Debug, PartialEq)]
pub struct GoalInsights {
    /// All workflows together; its name is empty.
    pub total: GoalFigures,
    /// Workflows with spend or closed goals, dearest first, then by name; empty name: without a workflow.
    pub by_workflow: Vec<GoalFigures>,
    /// Goals closed in the window that stand below another one.
    pub sub_goals: u64,
}

/// Figures of the goals of one workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct GoalFigures {
    /// Its name.
    pub workflow: String,
    /// What its calls of the window cost, of open goals as well.
    pub spend: NanoUsd,
    /// Goals closed in the window.
    pub closed: u64,
    /// Of them accepted.
    pub accepted: u64,
    /// Goals of this workflow closed in the window below goals of other workflows, which carry what they cost; 0 where all
    /// workflows are together.
    pub sub_goals: u64,
    /// Of them accepted.
    pub accepted_sub_goals: u64,
    /// `spend` ÷ (`accepted` + `accepted_sub_goals`), in USD; `None` where none was accepted.
    pub cost_per_accepted_goal: Option<f64>,
    /// Its interval, in USD; `None` below 30 closed goals or 5 accepted ones.
    pub cost_per_accepted_goal_interval: Option<Interval>,
    /// What the closed goals cost from beginning to end.
    pub closed_cost: NanoUsd,
    /// Share of that spent on goals that were not accepted; `None` where nothing was spent on closed goals.
    pub failure_cost_share: Option<f64>,
    /// The closed goals by how they ended, in the order of the states; those that occur. Costs sum to `closed_cost`.
    pub by_state: Vec<StateRow>,
    /// What one goal costs; `None` without a closed goal.
    pub cost_per_goal: Option<CostDistribution>,
    /// The same of accepted goals.
    pub cost_per_accepted: Option<CostDistribution>,
    /// The same of goals that were not accepted.
    pub cost_per_not_accepted: Option<CostDistribution>,
    /// Share of the closed goals whose cost is known whole; `None` without one.
    pub pricing_coverage: Option<f64>,
    /// How large goals are and how they end; `None` without a closed goal.
    pub shape: Option<Shape>,
    /// What accepted goals leave; `None` where the workflow has no price, or no goal was accepted.
    pub margin: Option<Margin>,
    /// What one accepted goal took, failed and open goals included.
    pub per_accepted: PerAccepted,
    /// The changes against the window before; `None` unless asked for.
    pub changes: Option<GoalChanges>,
}

/// Relative changes, (now − before) ÷ before: 0.38 is 38 % up. `None` where a figure is missing or was 0 before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GoalChanges {
    /// Of the spend.
    pub spend: Option<f64>,
    /// Of the closed goals.
    pub closed: Option<f64>,
    /// Of the accepted goals.
    pub accepted: Option<f64>,
    /// Of the cost of one accepted goal.
    pub cost_per_accepted_goal: Option<f64>,
    /// Of the share spent on goals that were not accepted.
    pub failure_cost_share: Option<f64>,
    /// Of the cost of the goal in the middle.
    pub p50_cost: Option<f64>,
    /// Of the cost of the goal than which a twentieth is dearer.
    pub p95_cost: Option<f64>,
}

/// Goals that ended in one way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateRow {
    /// How.
    pub state: GoalState,
    /// How many.
    pub goals: u64,
    /// Their part of the closed goals.
    pub share: f64,
    /// What they cost.
    pub cost: NanoUsd,
    /// Their part of the cost of closed goals; 0 where there is none.
    pub cost_share: f64,
}

/// How the cost of one goal spreads, in USD. Percentiles are by nearest rank. Goals that differ by less than 0.8 % may be
/// told at their mean: of 1,000 goals on always, below that only where they closed in the same minute or hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CostDistribution {
    /// Goals.
    pub goals: u64,
    /// Half of them cost at most this.
    pub p50_usd: f64,
    /// 95 % of them cost at most this.
    pub p95_usd: f64,
    /// 99 % of them cost at most this.
    pub p99_usd: f64,
    /// Mean, exact.
    pub mean_usd: f64,
    /// The dearest.
    pub max_usd: f64,
    /// Share of the spend in the dearest hundredth (rounded up to whole goals); 0 where nothing was spent.
    pub dearest_1_percent_share: f64,
    /// Share of the spend in the dearest twentieth (rounded up to whole goals); 0 where nothing was spent.
    pub dearest_5_percent_share: f64,
}

/// How a size spreads over goals; percentiles as in [`CostDistribution`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Half of the goals have at most this.
    pub p50: f64,
    /// 95 % of the goals have at most this.
    pub p95: f64,
    /// Mean, exact.
    pub mean: f64,
    /// `p95` ÷ `p50`: how far runs of the same workflow differ; `None` where `p50` is 0.
    pub spread: Option<f64>,
}

/// How large goals are and how they end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Calls of a goal with those below it.
    pub calls: Spread,
    /// Steps of its own in which a call was made.
    pub steps: Spread,
    /// From the first that is known of it to the last (at the latest its closing), in milliseconds.
    pub wall_ms: Spread,
    /// Accepted ÷ closed.
    pub resolution_rate: f64,
    /// Of Beta(1 + accepted, 1 + others).
    pub resolution_rate_interval: Interval,
    /// Taken over by a human ÷ closed.
    pub escalation_rate: f64,
    /// Came back after an earlier closing ÷ closed.
    pub rework_rate: f64,
    /// Retries ÷ calls; `None` without calls.
    pub retry_rate: Option<f64>,
    /// Mean of the callers' scores, 0 to 1; `None`: nobody gave one.
    pub mean_score: Option<f64>,
    /// Goals with a score.
    pub scored: u64,
}

/// What accepted goals of a workflow leave of its price.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margin {
    /// The price of one accepted goal.
    pub price: NanoUsd,
    /// Price − cost of the accepted goal in the middle, in USD.
    pub p50_usd: f64,
    /// Price − cost of the accepted goal than which only a hundredth is dearer, in USD.
    pub p99_usd: f64,
    /// Price − `cost_per_accepted_goal`, in USD: what is left when failed goals are paid for as well.
    pub after_failures_usd: f64,
    /// Share of the accepted goals that cost more than the price.
    pub share_at_loss: f64,
}

/// What one accepted goal took: sums over all calls of the window ÷ accepted goals. `None` where none was accepted or
/// nothing of the kind was told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerAccepted {
    /// Energy in joules.
    pub energy_j: Option<f64>,
    /// Latency of all calls, one after the other, in milliseconds.
    pub latency_ms: Option<f64>,
    /// Input and output tokens.
    pub tokens: Option<f64>,
    /// Share of the calls whose energy is known; `None` without calls.
    pub energy_coverage: Option<f64>,
    /// Share of the production calls whose latency is known; `None` without calls.
    pub latency_coverage: Option<f64>,
}

/// What was paid for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Waste {
    /// Cost of failed calls ÷ all cost; `None` where nothing was spent.
    pub retry_waste_ratio: Option<f64>,
    /// Failed calls ÷ calls; `None` without calls.
    pub retry_waste_ratio_by_count: Option<f64>,
    /// All cost ÷ cost of the production calls that did not fail; `None` where those cost nothing.
    pub loaded_multiplier: Option<f64>,
}

/// What one tool or step yields.
#[derive(Clone, Debug, PartialEq)]
pub struct Efficiency {
    /// Name of the tool; of the step, else its task type, else its tool.
    pub name: String,
    /// Production calls.
    pub calls: u64,
    /// Of them successes.
    pub completions: u64,
    /// Of them retries.
    pub retries: u64,
    /// Failures ÷ calls with a verdict; `None` without one.
    pub failure_rate: Option<f64>,
    /// Of Beta(1 + failures, 1 + successes); `None` without a verdict.
    pub failure_rate_interval: Option<Interval>,
    /// Cost ÷ calls of known cost, in USD.
    pub price_per_call: Option<f64>,
    /// Calls ÷ completions; `None` without one.
    pub attempts_per_completion: Option<f64>,
    /// Cost ÷ completions of known cost, in USD; `None` without one.
    pub effective_cost: Option<f64>,
    /// Sum of the known costs.
    pub cost: NanoUsd,
    /// Its part of all cost; 0 where there is none.
    pub cost_share: f64,
}

/// How far budgets are used. To accounts neither filters nor the window apply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BudgetInsights {
    /// Accounts of the periods that run now, the most used first, at most 100.
    pub accounts: Vec<BudgetUse>,
    /// How many such accounts there are.
    pub accounts_total: u64,
    /// Budgets of single goals, over the goals that closed in the window, by name.
    pub per_goal: Vec<GoalBudgetUse>,
}

/// One account.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetUse {
    /// The budget's name.
    pub budget: String,
    /// Whose spending.
    pub scope: Scope,
    /// Which of them.
    pub instance: String,
    /// What is counted.
    pub measure: Measure,
    /// The limit: nano-USD or a count.
    pub limit: u64,
    /// Spent.
    pub spent: u64,
    /// Held, or presumed spent.
    pub held: u64,
    /// (`spent` + `held`) ÷ `limit`; `None` where the limit is 0.
    pub utilisation: Option<f64>,
    /// When it begins anew; `None`: never.
    pub resets_at: Option<UnixMillis>,
}

/// How far one budget of single goals was used.
#[derive(Clone, Debug, PartialEq)]
pub struct GoalBudgetUse {
    /// The budget's name.
    pub budget: String,
    /// Goals with an account of it.
    pub goals: u64,
    /// (spent + held) ÷ limit with what was granted: half of the goals used at most this.
    pub p50: f64,
    /// 95 % of them used at most this.
    pub p95: f64,
    /// The most.
    pub max: f64,
    /// Share of the goals that used all of it, or more.
    pub share_exhausted: f64,
}

/// Input tokens of the calls at one place within their goals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContextRow {
    /// First place, from 0.
    pub first: u32,
    /// Last place; the same for the first 32.
    pub last: u32,
    /// Calls of known usage.
    pub calls: u64,
    /// Mean of their input tokens.
    pub mean_input_tokens: f64,
}

/// Two workflows: what one accepted goal takes in the first, divided by the second. `None` where either is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Overhead {
    /// The workflow measured.
    pub workflow: String,
    /// The one it is measured by.
    pub baseline: String,
    /// Energy.
    pub energy: Option<f64>,
    /// Cost.
    pub cost: Option<f64>,
    /// Latency.
    pub latency: Option<f64>,
    /// Tokens.
    pub tokens: Option<f64>,
}

/// Two values of one label side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The label.
    pub label: String,
    /// The first value.
    pub a: Variant,
    /// The second value.
    pub b: Variant,
}

/// Figures of the calls and goals that carry one value of a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// The value.
    pub value: String,
    /// What its calls cost.
    pub spend: NanoUsd,
    /// Calls.
    pub calls: u64,
    /// Successful calls ÷ calls with a verdict.
    pub call_success_rate: Option<f64>,
    /// Of Beta(1 + S, 1 + F).
    pub call_success_rate_interval: Option<Interval>,
    /// Goals closed.
    pub closed: u64,
    /// Goals accepted.
    pub accepted: u64,
    /// Accepted ÷ closed goals.
    pub resolution_rate: Option<f64>,
    /// Of Beta(1 + accepted, 1 + others).
    pub resolution_rate_interval: Option<Interval>,
    /// As in [`GoalFigures`].
    pub cost_per_accepted_goal: Option<f64>,
    /// As in [`GoalFigures`].
    pub cost_per_accepted_goal_interval: Option<Interval>,
    /// Mean calls of a closed goal.
    pub calls_per_goal: Option<f64>,
    /// Mean ± 1.645 standard errors; `None` below 30 goals.
    pub calls_per_goal_interval: Option<Interval>,
}

/// How good the record is that everything here is computed from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quality {
    /// Goals that are open now, of whatever age; filters on the workflow apply, and on labels as far as goals are at hand.
    pub goals_open: u64,
    /// Goals closed in the window.
    pub goals_closed: u64,
    /// Decisions of the window whose outcome never came.
    pub decisions_without_outcome: u64,
    /// Decisions of the window whose outcome may still come.
    pub decisions_open: u64,
    /// Share of the production calls whose cost is known; `None` without calls.
    pub pricing_coverage: Option<f64>,
    /// Goals that were said to be accepted, before any audit, ÷ closed goals; `None` without one.
    pub self_reported_rate: Option<f64>,
    /// Goals graded in an audit.
    pub graded: u64,
    /// Of them those found accepted ÷ graded; `None` without one.
    pub graded_rate: Option<f64>,
    /// Of Beta(1 + found accepted, 1 + others): where the sample was drawn uniformly, of all goals.
    pub graded_rate_interval: Option<Interval>,
    /// Graded goals that had been said to be accepted ÷ graded: the self-report on the same sample.
    pub graded_self_reported_rate: Option<f64>,
    /// Graded goals said to be accepted that were not.
    pub overclaimed: u64,
    /// Graded goals not said to be accepted that were.
    pub underclaimed: u64,
    /// What each source told of what the router learns from now, whatever the window, by name; empty where nobody named one. Filters
    /// on task type and model apply.
    pub sources: Vec<SourceQuality>,
}

/// What one source of outcomes told.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceQuality {
    /// Its name; empty: what none named.
    pub source: String,
    /// Outcomes that teach now.
    pub outcomes: u64,
    /// Successes ÷ outcomes, 0/1.
    pub success_rate: f64,
    /// Of Beta(1 + S, 1 + F).
    pub success_rate_interval: Interval,
}

/// What a signal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignalKind {
    /// The success rate of a model changed.
    Drift,
    /// The retries of a tool or step went up.
    RetryRateJump,
    /// One tool takes most of the spend.
    ToolDominates,
    /// One model takes most of the spend.
    ModelDominates,
    /// A budget is nearly used.
    BudgetNearlyUsed,
    /// A cheaper model would do.
    CheaperEquivalent,
    /// A source of outcomes says otherwise than all others.
    SourceDiffers,
    /// A source of outcomes sends more than it may count for.
    SourceHeldBack,
}

impl SignalKind {
    /// The word used on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::RetryRateJump => "retry_rate_jump",
            Self::ToolDominates => "tool_dominates",
            Self::ModelDominates => "model_dominates",
            Self::BudgetNearlyUsed => "budget_nearly_used",
            Self::CheaperEquivalent => "cheaper_equivalent",
            Self::SourceDiffers => "source_differs",
            Self::SourceHeldBack => "source_held_back",
        }
    }
}

/// Something worth acting on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// What it is about.
    pub kind: SignalKind,
    /// The tool, step, model, budget or task type.
    pub subject: String,
    /// Its numbers and one recommended action.
    pub sentence: String,
}
