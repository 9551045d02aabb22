//! Facts. Everything the daemon knows is a fold of these, in the order they were written. An event carries what was
//! decided, never what would have to be decided again: no price is looked up and nothing is drawn when it is applied.

use std::collections::BTreeMap;

use super::budget::{AccountKey, Charge, Measure, OnExceed, Opened};
use super::call::{CallNo, CallTraits, Settled};
use super::cell::EstimateSource;
use super::drift::Change;
use super::filter::Exclusion;
use super::flag::FlagLook;
use super::goal::GoalState;
use super::money::NanoUsd;
use super::names::{Labels, LabelsId, NameId, NameKind};
use super::outcome::QualityMicro;
use super::time::UnixMillis;

/// One fact and when it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// By the daemon's own clock; never runs backwards.
    pub at: UnixMillis,
    /// The fact.
    pub body: Body,
}

/// An idempotency key as it is kept: a digest of (project, rpc, key), and a digest of the body it came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Digest of project, rpc and key.
    pub hash: u128,
    /// Digest of the body.
    pub body: u64,
}

/// The kinds of facts.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A daemon opened the journal; its call numbers begin at the epoch's first.
    Started {
        /// 1 for the first start, one more each time.
        epoch: u32,
        /// Version of the program.
        version: String,
    },
    /// A name got its number.
    Named {
        /// What it names.
        kind: NameKind,
        /// Its number.
        id: NameId,
        /// The name.
        text: String,
    },
    /// A set of labels got its number.
    LabelsNamed {
        /// Its number.
        id: LabelsId,
        /// The set.
        labels: Labels,
    },
    /// A catalogue came into force.
    CatalogChanged {
        /// Identifies the text.
        version: String,
        /// The whole text.
        text: String,
    },
    /// GetPolicy answered.
    Decided(Box<Decided>),
    /// An outcome was reported.
    OutcomeRecorded(Box<OutcomeRecorded>),
    /// An outcome was corrected.
    OutcomeAmended(Box<OutcomeAmended>),
    /// A decision was declared never acted upon.
    DecisionVoided {
        /// Which.
        call: CallNo,
        /// By whom.
        by: String,
        /// Why.
        reason: String,
    },
    /// The time of these decisions ran out.
    DecisionsExpired {
        /// Which.
        calls: Vec<CallNo>,
    },
    /// A candidate was enabled, disabled or put in shadow.
    ModelStateSet {
        /// For this task type; `NONE`: for all.
        task: NameId,
        /// The candidate or model.
        candidate: NameId,
        /// Its state from now on.
        state: ModelState,
        /// By whom.
        by: String,
        /// Why.
        reason: String,
    },
    /// The evidence of a task type (or one candidate of it) was set aside.
    PosteriorReset {
        /// The task type.
        task: NameId,
        /// One candidate; `NONE`: all.
        candidate: NameId,
        /// Calls before this number teach no more.
        from: CallNo,
        /// By whom.
        by: String,
        /// Why.
        reason: String,
        /// Idempotency key.
        key: Option<Key>,
    },
    /// The over-provisioning flag of a task type was looked at.
    FlagLooked(Box<FlagLook>),
    /// The success rate of a candidate was found to have changed.
    ChangeFound(Box<Change>),
    /// An account is booked on for the first time, or its limit changed.
    AccountOpened(Box<Opened>),
    /// GateStep answered.
    Gated(Box<Gated>),
    /// A goal was announced.
    GoalStarted(Box<GoalStarted>),
    /// A goal was closed.
    GoalClosed(Box<GoalClosed>),
    /// The end of a goal was corrected.
    GoalAmended(Box<GoalClosed>),
    /// Detail before a moment was dropped.
    DetailDropped {
        /// That moment.
        before: UnixMillis,
    },
    /// Nobody worked on these goals any more.
    GoalsTimedOut {
        /// Which.
        goals: Vec<TimedOut>,
    },
    /// Money was granted to a goal.
    BudgetGranted(Box<BudgetGranted>),
    /// An account reached a threshold.
    AlertRaised(Box<AlertRaised>),
    /// Somebody saw an alert.
    AlertAcknowledged {
        /// Which.
        alert: u64,
        /// By whom.
        by: String,
        /// A remark; empty: none.
        note: String,
    },
}

/// Why a call may not be made although a model could be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// The budget's name.
    pub budget: String,
    /// The account.
    pub account: AccountKey,
    /// What the configuration says is to happen.
    pub action: OnExceed,
    /// A sentence an end user may be shown.
    pub message: String,
    /// What is counted.
    pub measure: Measure,
    /// The limit, with what was granted: nano-USD or a count.
    pub limit: u64,
    /// Booked as spent.
    pub spent: i64,
    /// Held, or presumed spent.
    pub held: i64,
    /// When the budget begins anew.
    pub resets_at: Option<UnixMillis>,
}

/// An answer of GateStep with everything it told.
#[derive(Clone, Debug, PartialEq)]
pub struct Gated {
    /// The number of the call it allows.
    pub number: CallNo,
    /// The answer.
    pub verdict: PolicyVerdict,
    /// Where the call belongs; it has no candidate.
    pub place: Place,
    /// The goal above; empty: none.
    pub parent_goal: String,
    /// When the hold is presumed spent.
    pub expires_at: UnixMillis,
    /// Money reserved.
    pub hold: NanoUsd,
    /// What it is booked on.
    pub charges: Vec<Charge>,
    /// What is used up.
    pub exhausted: Option<Exhausted>,
    /// Attempts at the step before this one.
    pub attempts: u32,
    /// Whether the last of them succeeded, where its outcome is known.
    pub last_success: Option<bool>,
    /// When the first of them was made.
    pub first_attempt_at: Option<UnixMillis>,
    /// When the last of them was made.
    pub last_attempt_at: Option<UnixMillis>,
    /// The output that need not be bought again; empty: none.
    pub output_ref: String,
    /// One sentence.
    pub reason: String,
    /// Idempotency key.
    pub key: Option<Key>,
}

/// A goal announced before its first call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoalStarted {
    /// Which.
    pub goal: String,
    /// Its workflow.
    pub workflow: NameId,
    /// Its labels.
    pub labels: LabelsId,
    /// The goal above; empty: none.
    pub parent: String,
    /// A limit of its own; `None`: none.
    pub limit: Option<NanoUsd>,
    /// Its workflow past the cap, kept here in full; empty: it has a number, or there is none.
    pub other_workflow: String,
    /// Its labels past the cap, kept here in full.
    pub other_labels: Option<Labels>,
    /// Idempotency key.
    pub key: Option<Key>,
}

/// The end of a goal, or a correction of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoalClosed {
    /// Which.
    pub goal: String,
    /// How it ended.
    pub state: GoalState,
    /// The caller's score; `None`: none (in a correction: as it was).
    pub score: Option<QualityMicro>,
    /// When it ended; `None`: when that was said (in a correction: as it was).
    pub ended_at: Option<UnixMillis>,
    /// A remark, or the reason of a correction.
    pub note: String,
    /// By whom.
    pub by: String,
    /// Idempotency key.
    pub key: Option<Key>,
}

/// A goal on which nobody worked any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedOut {
    /// Which.
    pub goal: String,
    /// When its time was over; `None`: when that was found.
    pub ended_at: Option<UnixMillis>,
}

/// Money granted to a goal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetGranted {
    /// Which goal.
    pub goal: String,
    /// How much more it may spend.
    pub extra: NanoUsd,
    /// Who granted it.
    pub approver: String,
    /// Why.
    pub reason: String,
    /// Idempotency key.
    pub key: Option<Key>,
}

/// A threshold reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRaised {
    /// Its number, rising.
    pub alert: u64,
    /// The account.
    pub account: AccountKey,
    /// The goal the account belongs to; empty: none.
    pub goal: String,
    /// The budget's name.
    pub budget: String,
    /// Instance of its scope.
    pub instance: String,
    /// The threshold in per cent.
    pub threshold: u32,
    /// Used then: nano-USD or a count.
    pub used: i64,
    /// The limit then.
    pub limit: u64,
}

super::outcome::words! {
    /// Whether a candidate may be served.
    ModelState {
        /// It competes.
        Enabled = 1, "enabled";
        /// It is excluded.
        Disabled = 2, "disabled";
        /// It is scored and reported, never served.
        Shadow = 3, "shadow";
    }
}

super::outcome::words! {
    /// The answer of a decision.
    PolicyVerdict {
        /// Go ahead.
        Allow = 1, "allow";
        /// A deterministic rule says no model is needed.
        NoModel = 2, "no_model";
        /// A person has to agree first.
        RequireApproval = 3, "require_approval";
        /// Nothing may be served.
        Block = 4, "block";
        /// Go ahead; a budget that only warns is used up.
        AllowWithWarning = 5, "allow_with_warning";
        /// Go ahead with the cheapest candidate that a budget still covers.
        Downgrade = 6, "downgrade";
        /// The step's output was bought already.
        Reuse = 7, "reuse";
    }
}

impl PolicyVerdict {
    /// Whether the caller may go ahead with a call.
    #[must_use]
    pub fn proceeds(self) -> bool {
        matches!(self, Self::Allow | Self::AllowWithWarning | Self::Downgrade)
    }
}

/// A candidate that competed in a draw: what its propensity is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Competitor {
    /// Which.
    pub candidate: NameId,
    /// α in millionths, prior included.
    pub alpha_micro: u64,
    /// β in millionths, prior included.
    pub beta_micro: u64,
    /// Expected cost; `None`: unknown.
    pub cost: Option<NanoUsd>,
}

/// What places a call: where it belongs in every figure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Task type.
    pub task: NameId,
    /// Candidate or model.
    pub candidate: NameId,
    /// Workflow.
    pub workflow: NameId,
    /// Step.
    pub step: NameId,
    /// Tool.
    pub tool: NameId,
    /// Labels.
    pub labels: LabelsId,
    /// Goal; empty: none.
    pub goal: String,
    /// Key of the step within the goal.
    pub step_key: u64,
    /// Names past the cap, kept here in full: (kind, text).
    pub other_names: Vec<(NameKind, String)>,
    /// A set of labels past the cap, kept here in full.
    pub other_labels: Option<Labels>,
}

/// What the request asked for beyond its place; kept so that a decision can be explained.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// Ceiling on the call's cost.
    pub max_cost: Option<NanoUsd>,
    /// Ceiling on latency in milliseconds.
    pub max_latency_ms: Option<u32>,
    /// Quality floor in [0, 1].
    pub min_success_rate: Option<f64>,
    /// Context the call needs, in tokens.
    pub min_context_tokens: Option<u64>,
    /// Capabilities it needs.
    pub capabilities: Vec<String>,
    /// The only models allowed; empty: all.
    pub allowed_models: Vec<String>,
    /// Models not allowed.
    pub denied_models: Vec<String>,
    /// The caller's own choice; empty: none.
    pub requested_model: String,
    /// The goal above; empty: none.
    pub parent_goal: String,
    /// Numbers the caller sent to help the router.
    pub features: BTreeMap<String, f64>,
}

/// A decision with everything that led to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// Its number; the draw is seeded from it.
    pub number: CallNo,
    /// The answer.
    pub verdict: PolicyVerdict,
    /// Where it belongs; `candidate` is the one served, `NONE` where none is.
    pub place: Place,
    /// What its first outcome may teach.
    pub traits: CallTraits,
    /// Whether the caller said the step cannot be undone.
    pub irreversible: bool,
    /// When it expires.
    pub expires_at: UnixMillis,
    /// Money reserved; `None`: unknown.
    pub hold: Option<NanoUsd>,
    /// Expected cost of the call; `None`: unknown.
    pub estimate: Option<NanoUsd>,
    /// Where that comes from.
    pub estimate_source: EstimateSource,
    /// The most output tokens the caller should ask for.
    pub max_output_tokens: Option<u64>,
    /// What the router would have served, where another arm was served; `None`: it was served, or had nothing to serve.
    pub advised: Option<NameId>,
    /// Ranked fallbacks with their expected cost.
    pub fallbacks: Vec<(NameId, Option<NanoUsd>)>,
    /// Those who competed, in rising expected cost.
    pub competitors: Vec<Competitor>,
    /// Places among them of those that a budget would have had replaced by the cheapest of the others.
    pub unfit: Vec<u32>,
    /// Those who did not, and why.
    pub exclusions: Vec<(NameId, Exclusion)>,
    /// The earlier decision whose draw is kept; `None`: drawn here.
    pub drawn_by: Option<CallNo>,
    /// Whether the draw is kept for later calls of the goal: under this step key (0: for the whole goal).
    pub keep: Option<u64>,
    /// How many catalogues had come into force: the last of them decided.
    pub catalog: u32,
    /// Service tier the caller will buy.
    pub service_tier: super::catalog::ServiceTier,
    /// The sentence of the rule that answered, or what let the call through a budget that is used up; else empty.
    pub reason: String,
    /// What it is booked on.
    pub charges: Vec<Charge>,
    /// What is used up, where that is why nothing, or something cheaper, is served.
    pub exhausted: Option<Box<Exhausted>>,
    /// What was asked beyond the place; `None`: nothing.
    pub asked: Option<Box<Asked>>,
    /// Idempotency key.
    pub key: Option<Key>,
}

/// An outcome as it is folded.
#[derive(Clone, Debug, PartialEq)]
pub struct OutcomeRecorded {
    /// The call it settles.
    pub call: CallNo,
    /// The decision that call belongs to; `call` itself for first outcomes and calls routed elsewhere.
    pub decision: CallNo,
    /// Where the call belongs, when that is new: a call routed elsewhere, a fallback, a decision whose record was
    /// lost, or a place completed by the outcome. `None`: as decided.
    pub place: Option<Box<NewCall>>,
    /// The model that served it, where it is not the candidate decided.
    pub served: Option<NameId>,
    /// Nobody offered that model.
    pub off_policy: bool,
    /// The call it names as the one it retries.
    pub retry_of: Option<CallNo>,
    /// A quality check.
    pub evaluation: bool,
    /// The time its figures belong to.
    pub counted_at: UnixMillis,
    /// What came of it.
    pub settled: Settled,
    /// Opaque evidence; empty: none.
    pub evidence: String,
    /// Opaque reference to the output; empty: none.
    pub output_ref: String,
    /// What it is booked on that nobody had asked before.
    pub charges: Vec<Charge>,
    /// Idempotency key.
    pub key: Option<Key>,
}

/// A call first heard of through its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCall {
    /// Its place in time for all that depends on sequence.
    pub at: UnixMillis,
    /// Where it belongs.
    pub place: Place,
    /// Who chose.
    pub traits: CallTraits,
    /// Whether it counts as a decision of this daemon (its record was lost in a crash).
    pub decided: bool,
    /// The candidate decided, where this call is another one of a decision whose record was lost in a crash.
    pub lost: Option<NameId>,
}

/// A correction as it is folded.
#[derive(Clone, Debug, PartialEq)]
pub struct OutcomeAmended {
    /// The call.
    pub call: CallNo,
    /// What is now known of it, whole.
    pub settled: Settled,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Idempotency key.
    pub key: Option<Key>,
}
