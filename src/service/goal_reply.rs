//! What the service answers about goals, gates, budgets and alerts, in the domain's own types; `wire` turns it into
//! messages. It computes nothing but what follows from its own fields.

use crate::domain::budget::{Measure, OnExceed, Period, Scope};
use crate::domain::call::{Arm, Stage};
use crate::domain::event::PolicyVerdict;
use crate::domain::goal::{GoalState, GoalSums, Note};
use crate::domain::grading::Ends;
use crate::domain::money::NanoUsd;
use crate::domain::names::Labels;
use crate::domain::outcome::{QualityMicro, Verdict};
use crate::domain::time::UnixMillis;
use crate::insights::{Change, Window};

/// One account of a budget as it stands. Amounts are nano-USD or counts, as the measure says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetStanding {
    /// Id of the budget in the configuration.
    pub budget_id: String,
    /// Whose spending it limits.
    pub scope: Scope,
    /// Which of them; empty: a configured budget on which nothing was booked yet.
    pub instance: String,
    /// The goal the account belongs to; empty: no single one.
    pub goal_id: String,
    /// What is counted.
    pub measure: Measure,
    /// How often it begins anew.
    pub period: Period,
    /// The limit, grants included.
    pub limit: u64,
    /// Part of the limit that was granted to the goal.
    pub granted: u64,
    /// Booked by calls whose outcome is known.
    pub spent: i64,
    /// Booked by calls whose outcome is not known, those included whose outcome never came (presumed spent).
    pub held: i64,
    /// Part of `held` that is presumed spent.
    pub presumed: i64,
    /// When the next period begins; `None`: never.
    pub resets_at: Option<UnixMillis>,
    /// What happens to a call that does not fit.
    pub on_exceed: OnExceed,
}

impl BudgetStanding {
    /// limit - spent - held; below zero after an overrun.
    #[must_use]
    pub fn remaining(&self) -> i64 {
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        limit.saturating_sub(self.spent).saturating_sub(self.held)
    }

    /// (spent + held) ÷ limit; above 1 after an overrun. `None`: the limit is zero.
    #[must_use]
    pub fn utilisation(&self) -> Option<f64> {
        (self.limit > 0).then(|| self.spent.saturating_add(self.held) as f64 / self.limit as f64)
    }
}

/// The budget that stood in the way, and what to do now. Amounts as in [`BudgetStanding`], before this request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhaustion {
    /// Id of the budget in the configuration.
    pub budget_id: String,
    /// What it says shall happen.
    pub action: OnExceed,
    /// A sentence an end user could be shown.
    pub message: String,
    /// When the next period begins; `None`: never.
    pub resets_at: Option<UnixMillis>,
    /// What is counted.
    pub measure: Measure,
    /// The limit, grants included.
    pub limit: u64,
    /// Booked by calls whose outcome is known.
    pub spent: i64,
    /// Booked by calls whose outcome is not known.
    pub held: i64,
}

/// What came of the attempt before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastOutcome {
    /// Names the outcome.
    pub outcome_id: String,
    /// What came of it; `None`: no verdict yet.
    pub verdict: Option<Verdict>,
    /// What it cost; `None`: unknown.
    pub cost: Option<NanoUsd>,
    /// When it happened.
    pub at: UnixMillis,
}

/// The answer of GateStep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateReply {
    /// What to do.
    pub verdict: PolicyVerdict,
    /// The budget that stood in the way; `None`: none did.
    pub exhaustion: Option<Exhaustion>,
    /// Every budget that applies, the hold included.
    pub budgets: Vec<BudgetStanding>,
    /// Attempts at the step so far, without this one.
    pub attempts: u32,
    /// What came of the last of them; `None`: there is none with an outcome.
    pub last_outcome: Option<LastOutcome>,
    /// When the first of them was made; `None`: there was none.
    pub first_attempt_at: Option<UnixMillis>,
    /// When the last of them was made; `None`: there was none.
    pub last_attempt_at: Option<UnixMillis>,
    /// Where the verdict is reuse: the output the step left; empty otherwise.
    pub output_ref: String,
    /// Names the hold (`h_…`); `None` where the step shall not be made.
    pub hold_id: Option<String>,
    /// What was reserved; `None` where the step shall not be made.
    pub held: Option<NanoUsd>,
    /// When the hold becomes presumed spent; `None` where there is none.
    pub expires_at: Option<UnixMillis>,
    /// One sentence.
    pub reason: String,
}

/// A goal as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoalReply {
    /// Its name.
    pub goal_id: String,
    /// How it ended; `None`: it is open.
    pub state: Option<GoalState>,
    /// The caller's score, where one came.
    pub score: Option<QualityMicro>,
    /// Workflow; empty: none.
    pub workflow: String,
    /// Labels; `user` concealed.
    pub labels: Labels,
    /// The goal right above; empty: none.
    pub parent: String,
    /// The goals right below, in the order they were first heard of.
    pub children: Vec<String>,
    /// When it was first heard of.
    pub opened_at: UnixMillis,
    /// When somebody last worked on it.
    pub last_at: UnixMillis,
    /// When it ended; `None`: it is open.
    pub closed_at: Option<UnixMillis>,
    /// Sums over its own calls.
    pub own: GoalSums,
    /// Sums over its calls and those of all goals below it.
    pub whole: GoalSums,
    /// A limit of its own on what it may cost; `None`: none.
    pub limit: Option<NanoUsd>,
    /// Money granted beyond its budgets.
    pub granted: NanoUsd,
    /// Every budget that applies to it; left empty in lists.
    pub budgets: Vec<BudgetStanding>,
    /// What happened to it; left empty in lists.
    pub notes: Vec<Note>,
    /// How it ended by callers and by auditors; `None` while it is open.
    pub ends: Option<Ends>,
}

/// The answer of an act on a goal: StartGoal, CompleteGoal, AmendGoal, GrantBudget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoalActReply {
    /// The goal after it.
    pub goal: GoalReply,
    /// The first answer again: nothing new was recorded.
    pub duplicate: bool,
}

/// A page of goals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoalsReply {
    /// The goals, newest first.
    pub goals: Vec<GoalReply>,
    /// Token of the next page; empty: this was the last.
    pub next_page_token: String,
}

/// A sample of goals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleReply {
    /// The goals drawn, in the order drawn.
    pub goals: Vec<GoalReply>,
    /// How many there were to draw from.
    pub population: u64,
}

/// What let a call through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedBy {
    /// There was room in this budget.
    Budget {
        /// Id of the budget in the configuration.
        budget_id: String,
        /// Instance of its scope.
        instance: String,
        /// What is counted.
        measure: Measure,
        /// Reserved for the call: nano-USD or a count.
        held: u64,
    },
    /// Somebody granted the goal money that the call needed.
    Approval {
        /// Who.
        approver: String,
        /// Why.
        reason: String,
        /// How much was granted.
        amount: NanoUsd,
    },
}

/// One call on a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReceipt {
    /// Names its decision, or its hold (`d_…`, `h_…`); empty: it had none.
    pub decision_id: String,
    /// Names its outcome (`o_…`); empty: there is none yet.
    pub outcome_id: String,
    /// When it was decided, or happened.
    pub at: UnixMillis,
    /// Kind of work; empty: a tool's call.
    pub task_type: String,
    /// Candidate or model; empty: a tool's call.
    pub candidate: String,
    /// Provider; empty: not known, or a tool's call.
    pub provider: String,
    /// Tool; empty: none.
    pub tool: String,
    /// Who chose.
    pub arm: Arm,
    /// It followed a failed call of its step, or names the call it repeats.
    pub is_retry: bool,
    /// A quality check.
    pub evaluation: bool,
    /// A model nobody offered served it.
    pub off_policy: bool,
    /// It was told of without having been asked for, under a budget.
    pub unadmitted: bool,
    /// What was reserved; `None`: unknown, or nothing.
    pub held: Option<NanoUsd>,
    /// What let it through; empty: no budget applied, or it was not asked for.
    pub allowed_by: Vec<AllowedBy>,
    /// Where it stands: cost and its source, verdict, usage.
    pub stage: Stage,
    /// How often its outcome was amended.
    pub amendments: u32,
}

/// One step on a receipt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepReceipt {
    /// Its name: the step, else the task type, else the tool.
    pub step: String,
    /// Sums over its calls.
    pub sums: GoalSums,
    /// Its calls in decision order.
    pub calls: Vec<CallReceipt>,
}

/// A receipt: the goal, its steps, and the receipts of the goals below it. The sums of the steps add up to `goal.own`,
/// and these with the `goal.whole` of the goals below to `goal.whole`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiptReply {
    /// The goal.
    pub goal: GoalReply,
    /// Its steps in the order of their first calls.
    pub steps: Vec<StepReceipt>,
    /// The goals right below it.
    pub sub_goals: Vec<Self>,
}

/// A page of budgets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetsReply {
    /// The accounts, in the order of the configuration and then of their instances.
    pub budgets: Vec<BudgetStanding>,
    /// Token of the next page; empty: this was the last.
    pub next_page_token: String,
}

/// An alert: a budget reached one of its thresholds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertReply {
    /// Names it.
    pub alert_id: String,
    /// Id of the budget in the configuration.
    pub budget_id: String,
    /// Whose spending it limits.
    pub scope: Scope,
    /// Which of them.
    pub instance: String,
    /// The goal the account belongs to; empty: no single one.
    pub goal_id: String,
    /// What is counted.
    pub measure: Measure,
    /// The threshold, in per cent of the limit.
    pub threshold_percent: u32,
    /// The limit when it was raised: nano-USD or a count.
    pub limit: u64,
    /// spent + held when it was raised.
    pub used: i64,
    /// When it was raised.
    pub raised_at: UnixMillis,
    /// When the period of the account ends; `None`: never.
    pub resets_at: Option<UnixMillis>,
    /// When somebody acknowledged it; `None`: nobody did.
    pub acknowledged_at: Option<UnixMillis>,
    /// Who did; empty: nobody.
    pub acknowledged_by: String,
    /// In their words; empty: none.
    pub note: String,
}

/// A page of alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertsReply {
    /// The alerts, newest first.
    pub alerts: Vec<AlertReply>,
    /// Token of the next page; empty: this was the last.
    pub next_page_token: String,
}

/// The answer of AcknowledgeAlert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcknowledgedReply {
    /// The alert after it.
    pub alert: AlertReply,
    /// It had been acknowledged before: nothing new was recorded.
    pub duplicate: bool,
}

/// The answer of ExplainChange.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeReply {
    /// The earlier window, as rounded.
    pub previous_window: Window,
    /// The later window, as rounded.
    pub current_window: Window,
    /// The change and its exact split.
    pub change: Change,
}
