//! Which report is asked for. It knows the filters' meaning in words only; turning them into numbers of names is
//! `selector`'s work, reading them off the wire is the edge's.

use crate::domain::names::Labels;

/// Length of the window unless another is asked for, in hours: seven days.
pub const LOOKBACK_HOURS_DEFAULT: f64 = 168.0;

/// Which calls a report covers. Everything given must hold; an empty text means calls without such a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Task type.
    pub task_type: Option<String>,
    /// Workflow.
    pub workflow: Option<String>,
    /// Model that served: a candidate's id, or the id or an alias of a model (then all its variants).
    pub model: Option<String>,
    /// Tool.
    pub tool: Option<String>,
    /// Step.
    pub step: Option<String>,
    /// Goal; answered from the goal's calls, which the caller of `report` passes in.
    pub goal_id: Option<String>,
    /// Labels a call must carry, with their values; `user` already concealed.
    pub labels: Labels,
}

/// One report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Length of the window that ends now, in milliseconds; above 0.
    pub lookback_ms: i64,
    /// Which calls.
    pub filters: Filters,
    /// Also split the cost by model, workflow, step and tool.
    pub include_cost_breakdown: bool,
    /// Also report the window of equal length before this one, and the changes.
    pub compare_previous: bool,
}
