//! Requests of the insights and admin services, checked and turned into the domain's own.

use super::digest::{self, Rpc};
use super::fields::{Fields, NAME_BYTES_MAX, TEXT_BYTES_MAX};
use super::pb;
use super::refusal::Refusal;
use crate::domain::event::ModelState;
use crate::domain::time::HOUR_MS;
use crate::domain::token::TokenKey;
use crate::insights::{Filters, LOOKBACK_HOURS_DEFAULT, Query};
use crate::service::admin_reply::{ResetPosterior, SetModelState};

/// Longest window of a report, in hours (about 114 years).
const LOOKBACK_HOURS_MAX: f64 = 1_000_000.0;

/// Checks a GetInsights request.
pub(super) fn insights(request: pb::GetInsightsRequest, key: &TokenKey) -> Result<Query, Refusal> {
    let mut f = Fields::default();
    let hours = request.lookback_hours.unwrap_or(LOOKBACK_HOURS_DEFAULT);
    if !(hours > 0.0 && hours <= LOOKBACK_HOURS_MAX) {
        let allowed = format!("any number of hours above 0, at most {LOOKBACK_HOURS_MAX}");
        f.refuse(
            "lookback_hours",
            format!("is {hours:?}; allowed is {allowed}, and left out it is {LOOKBACK_HOURS_DEFAULT}"),
        );
    }
    let filters = request.filters.unwrap_or_default();
    let query = Query {
        lookback_ms: (hours * HOUR_MS as f64).ceil() as i64,
        filters: Filters {
            task_type: f.optional_name("filters.task_type", filters.task_type),
            workflow: f.optional_name("filters.workflow", filters.workflow),
            model: f.optional_name("filters.model", filters.model),
            tool: f.optional_name("filters.tool", filters.tool),
            step: f.optional_name("filters.step", filters.step),
            goal_id: f.optional_name("filters.goal_id", filters.goal_id),
            labels: f.labels("filters.labels", filters.labels, key),
        },
        include_cost_breakdown: request.include_cost_breakdown,
        compare_previous: request.compare_previous,
    };
    f.finish()?;
    Ok(query)
}

/// Checks a GetPosterior request: the task type, and one candidate or all of them.
pub(super) fn posterior(request: pb::GetPosteriorRequest) -> Result<(String, Option<String>), Refusal> {
    let mut f = Fields::default();
    let task = f.required("task_type", request.task_type, NAME_BYTES_MAX);
    let model = f.optional_name("model", request.model);
    f.finish()?;
    Ok((task, model))
}

/// Checks a SetModelState request.
pub(super) fn model_state(request: pb::SetModelStateRequest) -> Result<SetModelState, Refusal> {
    let mut f = Fields::default();
    if request.state == 0 {
        f.refuse("state", "is required");
    }
    let state = match f.word("state", request.state) {
        Some(pb::ModelState::Disabled) => ModelState::Disabled,
        Some(pb::ModelState::Shadow) => ModelState::Shadow,
        Some(pb::ModelState::Enabled | pb::ModelState::Unspecified) | None => ModelState::Enabled,
    };
    let checked = SetModelState {
        model: f.required("model", request.model, NAME_BYTES_MAX),
        task_type: f.optional_name("task_type", request.task_type),
        state,
        by: f.required("by", request.by, NAME_BYTES_MAX),
        reason: f.required("reason", request.reason, TEXT_BYTES_MAX),
    };
    f.finish()?;
    Ok(checked)
}

/// Checks a ResetPosterior request.
pub(super) fn reset(mut request: pb::ResetPosteriorRequest) -> Result<ResetPosterior, Refusal> {
    let mut f = Fields::default();
    let idempotency_key = f.name("idempotency_key", request.idempotency_key.take());
    let body = digest::body(&request);
    let checked = ResetPosterior {
        task_type: f.required("task_type", request.task_type, NAME_BYTES_MAX),
        model: f.optional_name("model", request.model),
        by: f.required("by", request.by, NAME_BYTES_MAX),
        reason: f.required("reason", request.reason, TEXT_BYTES_MAX),
        key: digest::key(Rpc::ResetPosterior, &idempotency_key, body),
    };
    f.finish()?;
    Ok(checked)
}
