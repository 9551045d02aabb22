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
    /// Also compare two values of one label.
    pub compare_labels: Option<CompareLabels>,
    /// Also measure what an accepted goal takes in the first workflow by what it takes in the second.
    pub overhead: Option<(String, String)>,
}

/// Two values of one label; within the filters, which must not be on that label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompareLabels {
    /// The label.
    pub label: String,
    /// The first value; of `user` already concealed.
    pub a: String,
    /// The second value; of `user` already concealed.
    pub b: String,
}
