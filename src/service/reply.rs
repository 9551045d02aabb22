//! What the service answers, in the domain's own types; `wire` turns it into messages.

use std::sync::Arc;

use super::goal_reply::{BudgetStanding, Exhaustion};
use crate::domain::beta::Beta;
use crate::domain::call::Arm;
use crate::domain::catalog::TaskCandidate;
use crate::domain::cell::EstimateSource;
use crate::domain::event::PolicyVerdict;
use crate::domain::filter::Exclusion;
use crate::domain::money::NanoUsd;
use crate::domain::outcome::CostSource;
use crate::domain::time::UnixMillis;

/// The level of every interval that is reported.
pub const INTERVAL_LEVEL: f64 = 0.9;

/// The answer of GetPolicy.
#[derive(Clone, Debug)]
pub struct PolicyReply {
    /// Names the decision; `None` for a dry run.
    pub decision_id: Option<String>,
    /// What to do.
    pub verdict: PolicyVerdict,
    /// The candidate to call.
    pub served: Option<TaskCandidate>,
    /// Output limit that keeps the call under its ceiling.
    pub max_output_tokens: Option<u64>,
    /// Fallbacks in order, each with its expected cost.
    pub fallbacks: Vec<(TaskCandidate, Option<NanoUsd>)>,
    /// How the model came to be served; `None` where none is.
    pub arm: Option<Arm>,
    /// What the router would have served, where another arm was served; `None`: it was, or had nothing to serve.
    pub router_choice: Option<Arc<str>>,
    /// Expected cost.
    pub estimate: Option<NanoUsd>,
    /// Where it comes from; `None` where no model is served.
    pub estimate_source: Option<EstimateSource>,
    /// One sentence.
    pub reason: String,
    /// When the decision expires; `None` where no call is to be made.
    pub expires_at: Option<UnixMillis>,
    /// Version of the catalogue.
    pub catalog_version: String,
    /// What its stratum says, where asked for; `None`: its task type has no features.
    pub stratum: Option<String>,
    /// Every candidate, where asked for.
    pub candidates: Vec<CandidateReply>,
    /// Candidates their draw would have chosen, had cost not excluded them: (candidate id, draw, mean).
    pub blocked_by_cost: Vec<(Arc<str>, f64, f64)>,
    /// What the caller should put right.
    pub warnings: Vec<String>,
    /// Every budget that applies to the call, its hold included.
    pub budgets: Vec<BudgetStanding>,
    /// The budget that stood in the way; `None`: none did.
    pub exhaustion: Option<Exhaustion>,
}

/// What is known of one candidate for one decision.
#[derive(Clone, Debug)]
pub struct CandidateReply {
    /// Which.
    pub candidate: TaskCandidate,
    /// Why it could not be chosen.
    pub exclusion: Option<Exclusion>,
    /// The same with its numbers; empty where eligible.
    pub exclusion_detail: String,
    /// Its posterior.
    pub posterior: Beta,
    /// 90 % interval of it.
    pub interval: (f64, f64),
    /// Its draw; `None` where the mean decided.
    pub draw: Option<f64>,
    /// Its propensity; `None` where not eligible or the router did not choose.
    pub propensity: Option<f64>,
    /// Expected cost.
    pub expected: Option<NanoUsd>,
    /// Scored, never served.
    pub shadow: bool,
}

/// A posterior as reported.
#[derive(Clone, Copy, Debug)]
pub struct PosteriorReply {
    /// The posterior.
    pub posterior: Beta,
    /// 90 % interval of it.
    pub interval: (f64, f64),
}

/// The answer of RecordOutcome and AmendOutcome.
#[derive(Clone, Debug)]
pub struct OutcomeReply {
    /// Names the outcome.
    pub outcome_id: String,
    /// What the call cost; `None`: unknown.
    pub cost: Option<NanoUsd>,
    /// Where the cost comes from.
    pub cost_source: CostSource,
    /// The first answer again.
    pub duplicate: bool,
    /// It cost more than was held.
    pub overrun: bool,
    /// The learner's belief; `None` where it taught nothing.
    pub posterior: Option<PosteriorReply>,
    /// Every budget that applies to the call, as it stands now.
    pub budgets: Vec<BudgetStanding>,
}

/// The answer of VoidDecision.
#[derive(Clone, Debug, Default)]
pub struct VoidReply {
    /// It had been voided before: nothing new was recorded.
    pub duplicate: bool,
    /// Every budget that held something for the call, after the release.
    pub budgets: Vec<BudgetStanding>,
}
