//! Checked requests about goals, gates, budgets and alerts: money as integers, sizes bounded, users concealed. It knows
//! neither how they were written on the wire nor what they lead to.

use super::event::Key;
use super::goal::GoalState;
use super::money::NanoUsd;
use super::names::Labels;
use super::outcome::QualityMicro;
use super::time::UnixMillis;

/// A step that is no model call and is about to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateRequest {
    /// Goal; not empty.
    pub goal_id: String,
    /// Workflow; empty: none.
    pub workflow: String,
    /// Step; not empty.
    pub step: String,
    /// Tool; empty: none.
    pub tool: String,
    /// Labels.
    pub labels: Labels,
    /// What the caller expects it to cost; `None`: what is known of the tool.
    pub estimated_cost: Option<NanoUsd>,
    /// Steps of the goal that must have succeeded with evidence before.
    pub requires_evidence_from: Vec<String>,
    /// The goal above; empty: none.
    pub parent_goal: String,
    /// Idempotency key.
    pub key: Option<Key>,
}

/// A goal that begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartGoal {
    /// Its name; not empty.
    pub goal_id: String,
    /// Workflow; empty: none.
    pub workflow: String,
    /// Labels.
    pub labels: Labels,
    /// The goal above; empty: none. Never the goal itself.
    pub parent: String,
    /// A limit of its own on what it may cost beside the budgets that apply; `None`: none.
    pub limit: Option<NanoUsd>,
    /// Idempotency key.
    pub key: Option<Key>,
}

/// A goal that ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompleteGoal {
    /// Which; not empty.
    pub goal_id: String,
    /// How it ended.
    pub state: GoalState,
    /// How satisfied somebody was.
    pub score: Option<QualityMicro>,
    /// In the caller's words; empty: none.
    pub note: String,
    /// By whom; empty: nobody said.
    pub by: String,
    /// When it ended; `None`: now.
    pub occurred_at: Option<UnixMillis>,
    /// Idempotency key.
    pub key: Option<Key>,
}

/// A correction of how a goal ended: at least one of state and score.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AmendGoal {
    /// Which; not empty.
    pub goal_id: String,
    /// How it ended, as is known now; `None`: as it stands.
    pub state: Option<GoalState>,
    /// The score, as is known now; `None`: as it stands.
    pub score: Option<QualityMicro>,
    /// By whom; empty: nobody said.
    pub by: String,
    /// Why; not empty.
    pub reason: String,
    /// Idempotency key.
    pub key: Option<Key>,
}

/// Money beyond the budgets of one goal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantBudget {
    /// Which; not empty.
    pub goal_id: String,
    /// How much more; above zero.
    pub extra: NanoUsd,
    /// Who allows it; not empty.
    pub approver: String,
    /// Why; not empty.
    pub reason: String,
    /// Idempotency key.
    pub key: Option<Key>,
}

/// A state by which goals are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoalStateFilter {
    /// Goals that have not ended.
    Open,
    /// Goals that ended in this way.
    Ended(GoalState),
}

/// Which goals. Everything given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoalFilters {
    /// In this state.
    pub state: Option<GoalStateFilter>,
    /// Of this workflow.
    pub workflow: Option<String>,
    /// With all these labels; `user` already concealed.
    pub labels: Labels,
}

/// Part of a long list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Most entries of the answer: 1 to [`PAGE_SIZE_MAX`].
    pub size: u32,
    /// What the page before gave as the next one, word for word; empty: the first page. Only its maker can read it, and
    /// must refuse what it cannot read.
    pub token: String,
}

/// Entries of a page where the request does not say.
pub const PAGE_SIZE_DEFAULT: u32 = 50;

/// Most entries of a page.
pub const PAGE_SIZE_MAX: u32 = 1_000;

/// Most goals of one sample.
pub const SAMPLE_MAX: u32 = 1_000;

impl Default for Page {
    fn default() -> Self {
        Self { size: PAGE_SIZE_DEFAULT, token: String::new() }
    }
}

/// A list of goals, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListGoals {
    /// Which.
    pub filters: GoalFilters,
    /// Which part of them.
    pub page: Page,
}

/// A uniform sample of ended goals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleGoals {
    /// How many at most: 1 to [`SAMPLE_MAX`].
    pub n: u32,
    /// The same seed draws the same goals from the same record.
    pub seed: u32,
    /// Only goals that ended within this time before now, in milliseconds, above 0; `None`: all on the record.
    pub lookback_ms: Option<i64>,
    /// Which. Never open ones.
    pub filters: GoalFilters,
}

/// A list of budgets as they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListBudgets {
    /// Only this budget.
    pub budget_id: Option<String>,
    /// Only budgets of this scope.
    pub scope: Option<super::budget::Scope>,
    /// Only accounts of this instance of the scope. Of the scope `user` as it was given to the wire, concealed.
    pub instance: Option<String>,
    /// The accounts of this goal; `None`: only those that belong to no single goal.
    pub goal_id: Option<String>,
    /// Which part of them.
    pub page: Page,
}

/// A list of alerts, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListAlerts {
    /// Only alerts of this budget.
    pub budget_id: Option<String>,
    /// Also those that were acknowledged.
    pub include_acknowledged: bool,
    /// Which part of them.
    pub page: Page,
}

/// Somebody has seen an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcknowledgeAlert {
    /// Which, as the list names it; not empty.
    pub alert_id: String,
    /// Who; not empty.
    pub by: String,
    /// In their words; empty: none.
    pub note: String,
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Begin, inclusive.
    pub from: UnixMillis,
    /// End, exclusive; after `from`.
    pub until: UnixMillis,
}

/// The two windows whose difference is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeWindows {
    /// The window of this length, in milliseconds and above 0, that ends now, against the one of the same length before.
    Lookback(i64),
    /// Two given windows; they do not overlap, and need not be of one length.
    Given {
        /// The earlier one.
        previous: Span,
        /// The later one.
        current: Span,
    },
}
