//! A checked GetPolicy request: what a caller may ask of the router, with money as integers and sizes bounded.

use super::catalog::ServiceTier;
use super::event::{Asked, Key};
use super::names::Labels;

/// What the caller expects the call to use; `None` parts come from what was learned, else from `typical`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageEstimate {
    /// Input tokens.
    pub input_tokens: Option<u64>,
    /// Output tokens.
    pub output_tokens: Option<u64>,
    /// The limit the caller will set on the output.
    pub max_output_tokens: Option<u64>,
    /// The service tier that will be bought.
    pub service_tier: ServiceTier,
}

/// One call that is about to be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyRequest {
    /// Kind of work; not empty.
    pub task_type: String,
    /// Goal; empty: none.
    pub goal_id: String,
    /// Workflow; empty: none.
    pub workflow: String,
    /// Step; empty: the task type names it.
    pub step: String,
    /// Labels.
    pub labels: Labels,
    /// Limits, the caller's own choice, features.
    pub asked: Asked,
    /// Expected usage.
    pub estimate: UsageEstimate,
    /// The step cannot be undone.
    pub irreversible: bool,
    /// The caller can try further models.
    pub fallback_allowed: bool,
    /// Idempotency key.
    pub key: Option<Key>,
    /// Record nothing.
    pub dry_run: bool,
    /// Tell everything of every candidate.
    pub explain: bool,
}
