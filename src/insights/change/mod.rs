//! Why did spend change? Splits the change between two windows into what drove it: traffic, step mix, retries, model
//! mix, usage per call and unit price, and for the cost of an accepted goal also failures. Every split adds up to the
//! nano-dollar. It knows no engine, no clock and no message: two tables go in, figures and one sentence come out.
//!
//! The model. In each window the cost of a cell (a step, served by one model or one tool) is a product:
//!
//! cost = traffic × (first attempts of the step ÷ traffic) × (calls ÷ first attempts of the step)
//!        × (calls of the cell ÷ calls of the step) × (usage ÷ calls) × (cost ÷ usage)
//!
//! Usage is tokens weighed at one list of prices, the same for both windows, so that longer answers and fewer cached
//! tokens are usage, and only what a token of its class costs is price. Surcharges for long contexts and discounts of
//! service tiers are price. Where there is no list the tokens are counted alike, and a shift between classes is price.
//!
//! The change of each cell is split by the additive LMDI-I method, the logarithmic mean Divisia index (B. W. Ang, "The
//! LMDI approach to decomposition analysis: a practical guide", Energy Policy 33 (2005) 867-871,
//! doi 10.1016/j.enpol.2003.10.010): what a factor x contributes is L(cost after, cost before) · ln(x after ÷ x before)
//! with L(a, b) = (a − b) ÷ ln(a ÷ b). Where a cost is zero in one window the analytic limit holds: the whole change
//! goes to the factor that is zero there, the outermost one if there are several. So a window without any traffic
//! counts as traffic, a new or vanished step as step mix, a model new to or gone from its step as model mix, and
//! calls that were free in one window as unit price. Where models are new to a step and others gone from it, these cells
//! together are one, which has a cost in both windows: what they added by more traffic or more retries is told as that,
//! and only the rest is model mix; likewise new and vanished steps. What is only new, or only gone, is mix alone.
//!
//! Map: `cells` two windows → pairs of cells with their factors → `lmdi` one change into parts, rounded so that they
//! add up → `split` the parts added up by factor, step, model and driver → `answer` the sentences.

mod answer;
mod cells;
mod lmdi;
mod split;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_operations;

use std::sync::Arc;

/// What served a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallKind {
    /// A model; its step is a task type or a named stage.
    Model,
    /// A tool; its step is the tool's name.
    Tool,
}

/// The calls of one step that one model or tool served in a window. Cells of the same kind, step and model are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpendCell {
    /// Task type or name of the tool.
    pub step: Arc<str>,
    /// What served it.
    pub kind: CallKind,
    /// The model; empty for a tool.
    pub model: Arc<str>,
    /// Calls, retries included. Taken to be at least 1 where there is cost.
    pub calls: u64,
    /// Those of them that were retries. A step of which only retries fall into a window is taken to have had one
    /// first attempt.
    pub retries: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Input and output tokens; for a tool, the calls. Where it is 0 (unknown) in one of the windows, the cell is
    /// measured in calls in both.
    pub units: u64,
    /// What the tokens come to at a list of prices that is the same in both windows, in pico-USD: the weights of their
    /// classes. Where it is 0 (no such list) in one of the windows, the cell is measured in units in both.
    pub listed_pico_usd: u128,
    /// Known cost, in nano-USD.
    pub cost_nano_usd: u64,
}

/// What is known of one window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpendWindow {
    /// Goals that closed as accepted.
    pub accepted_goals: u64,
    /// Goals served, or first attempts where nothing names a goal; the same of the two in both windows. Taken to be at
    /// least 1 where there are calls.
    pub traffic: u64,
    /// `traffic` is first attempts.
    pub of_first_attempts: bool,
    /// What was called.
    pub cells: Vec<SpendCell>,
}

/// A factor of the cost, outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Factor {
    /// How much was served. Only of the spend.
    Traffic,
    /// Goals served for each accepted one. Only of the cost per accepted goal, where it stands for traffic.
    Failures,
    /// First attempts of a step for each goal.
    StepMix,
    /// Calls for each first attempt.
    Retries,
    /// A model's share of the calls of its step.
    ModelMix,
    /// Units for each call: tokens for models.
    Usage,
    /// Cost of a unit.
    Price,
}

/// What a factor is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Traffic: goals served.
    Goals,
    /// Traffic, where nothing names a goal.
    FirstAttempts,
    /// Failures: goals served for each accepted one.
    GoalsPerAccepted,
    /// Step mix: first attempts for each goal.
    TimesPerGoal,
    /// Step mix, where nothing names a goal: first attempts of the step for each first attempt at all.
    ShareOfFirstAttempts,
    /// Retries and model mix: a share, 0 to 1.
    ShareOfCalls,
    /// Usage of a model.
    TokensPerCall,
    /// Usage of a tool, or where nothing is known of tokens: always 1.
    UnitsPerCall,
    /// Price of a model.
    NanoUsdPerToken,
    /// Price of a tool, or where nothing is known of tokens.
    NanoUsdPerCall,
}

impl Unit {
    /// As told.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Goals => "goals",
            Self::FirstAttempts => "first_attempts",
            Self::GoalsPerAccepted => "goals_per_accepted_goal",
            Self::TimesPerGoal => "times_per_goal",
            Self::ShareOfFirstAttempts => "share_of_first_attempts",
            Self::ShareOfCalls => "share_of_calls",
            Self::TokensPerCall => "tokens_per_call",
            Self::UnitsPerCall => "units_per_call",
            Self::NanoUsdPerToken => "nano_usd_per_token",
            Self::NanoUsdPerCall => "nano_usd_per_call",
        }
    }
}

/// What one factor contributed.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The factor.
    pub factor: Factor,
    /// Its contribution, in nano-USD; negative where it lowered the cost.
    pub amount_nano_usd: i128,
    /// `amount_nano_usd` ÷ the whole change: above 1 or below 0 where parts offset each other. `None` without a change.
    pub share: Option<f64>,
}

/// What one step, tool or model contributed, all factors together.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// Name of the step, tool or model; empty in the row by model that holds all tool calls.
    pub name: Arc<str>,
    /// What served it.
    pub kind: CallKind,
    /// Its contribution, in nano-USD.
    pub amount_nano_usd: i128,
    /// As in [`Part`].
    pub share: Option<f64>,
}

/// A factor at the place where it acted: retries of one tool, the price of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Driver {
    /// The factor.
    pub factor: Factor,
    /// What served the calls; `None` for traffic and failures, which have no place.
    pub kind: Option<CallKind>,
    /// The step or tool; empty for the price of a model and where there is no place.
    pub step: Arc<str>,
    /// The model: the one whose usage or price it is; for model mix the one that moved the cost most. Else empty.
    pub model: Arc<str>,
    /// Its contribution, in nano-USD.
    pub amount_nano_usd: i128,
    /// What `before` and `after` are measured in.
    pub unit: Unit,
    /// The factor in the earlier window; a price is at the classes of tokens of both windows together. `None` where there
    /// is nothing to divide by, and for a price where only some of the calls tell their tokens.
    pub before: Option<f64>,
    /// The same in the later window.
    pub after: Option<f64>,
}

/// A change and its exact split. `parts`, `by_step`, `by_model` and `drivers` each sum to `change_nano_usd`; the last
/// three begin with what contributed most to the change (with the largest amounts, where there is none).
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// The amount in the earlier window, in nano-USD.
    pub before_nano_usd: i128,
    /// The amount in the later window, in nano-USD.
    pub after_nano_usd: i128,
    /// `after_nano_usd` − `before_nano_usd`.
    pub change_nano_usd: i128,
    /// One for each factor, outermost first.
    pub parts: Vec<Part>,
    /// By step and tool.
    pub by_step: Vec<Contribution>,
    /// By model; all tool calls in one row.
    pub by_model: Vec<Contribution>,
    /// By factor and place; without those of no amount.
    pub drivers: Vec<Driver>,
    /// What changed, by how much and why, as one sentence.
    pub answer: String,
}

/// Why spend changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// All known cost.
    pub spend: Split,
    /// All known cost ÷ accepted goals, rounded half to even to nano-USD. `None` if a window accepted no goal.
    pub per_accepted_goal: Option<Split>,
    /// The one thing to do, with the tool or model it concerns.
    pub recommendation: String,
}

/// Why spend changed from `before` to `after`. Deterministic; the order of the cells does not matter.
#[must_use]
pub fn explain_change(before: &SpendWindow, after: &SpendWindow) -> Change {
    let pairs = cells::Pairs::of(before, after);
    let mut spend = split::of_spend(&pairs);
    spend.answer = answer::answer("Spend", &spend);
    let per_accepted_goal = split::per_accepted_goal(&pairs).map(|mut split| {
        split.answer = answer::answer("Cost per accepted goal", &split);
        split
    });
    let recommendation = answer::recommendation(&pairs, per_accepted_goal.as_ref().unwrap_or(&spend));
    Change { spend, per_accepted_goal, recommendation }
}
