//! Requests of the insights and admin services, checked and turned into the domain's own.

use super::digest::{self, Rpc};
use super::fields::{CONCEALED_LABEL, Fields, KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX};
use super::pb;
use super::refusal::Refusal;
use crate::domain::event::ModelState;
use crate::domain::token::TokenKey;
use crate::insights::{CompareLabels, Filters, LOOKBACK_HOURS_DEFAULT, Query};
use crate::service::admin_reply::{ResetPosterior, SetModelState};

/// Checks a GetInsights request.
pub(super) fn insights(request: pb::GetInsightsRequest, key: &TokenKey) -> Result<Query, Refusal> {
    let mut f = Fields::default();
    let filters = filters(&mut f, request.filters, key);
    let compared = [request.compare_label, request.compare_a, request.compare_b];
    let query = Query {
        lookback_ms: lookback_ms(&mut f, request.lookback_hours),
        include_cost_breakdown: request.include_cost_breakdown,
        compare_previous: request.compare_previous,
        compare_labels: compare_labels(&mut f, compared, &filters, key),
        overhead: overhead(&mut f, request.overhead_workflow, request.overhead_baseline),
        filters,
    };
    f.finish()?;
    Ok(query)
}

/// Checks which two values of a label are compared: fields `compare_label`, `compare_a` and `compare_b`.
fn compare_labels(
    f: &mut Fields,
    [label, a, b]: [Option<String>; 3],
    filters: &Filters,
    key: &TokenKey,
) -> Option<CompareLabels> {
    let label = f.text("compare_label", label.unwrap_or_default(), KEY_BYTES_MAX);
    let a = f.text("compare_a", a.unwrap_or_default(), LABEL_VALUE_BYTES_MAX);
    let b = f.text("compare_b", b.unwrap_or_default(), LABEL_VALUE_BYTES_MAX);
    for (field, value) in [("compare_a", &a), ("compare_b", &b)] {
        match (label.is_empty(), value.is_empty()) {
            (true, false) => f.refuse(field, "needs compare_label"),
            (false, true) => f.refuse(field, "is required with compare_label"),
            _ => {}
        }
    }
    if label.is_empty() {
        return None;
    }
    if a == b && !a.is_empty() {
        f.refuse("compare_b", "is the same as compare_a; two values are compared");
    }
    if filters.labels.contains_key(&label) {
        f.refuse("compare_label", "is fixed by filters.labels; take it out there to compare two values of it");
    }
    let stored = |value: String| if label == CONCEALED_LABEL { key.conceal(&value) } else { value };
    let (a, b) = (stored(a), stored(b));
    Some(CompareLabels { label, a, b })
}

/// Checks which two workflows are measured by one another: fields `overhead_workflow` and `overhead_baseline`.
fn overhead(f: &mut Fields, workflow: Option<String>, baseline: Option<String>) -> Option<(String, String)> {
    let workflow = f.optional_name("overhead_workflow", workflow);
    let baseline = f.optional_name("overhead_baseline", baseline);
    match (&workflow, &baseline) {
        (Some(_), None) => f.refuse("overhead_baseline", "is required with overhead_workflow"),
        (None, Some(_)) => f.refuse("overhead_baseline", "needs overhead_workflow"),
        (Some(one), Some(other)) if one == other => {
            f.refuse("overhead_baseline", "is the same as overhead_workflow; two workflows are compared");
        }
        _ => {}
    }
    workflow.zip(baseline)
}

/// Checks the length of a window that ends now: field `lookback_hours`.
pub(super) fn lookback_ms(f: &mut Fields, hours: Option<f64>) -> i64 {
    let left_out = LOOKBACK_HOURS_DEFAULT.to_string();
    f.lookback_ms("lookback_hours", hours.unwrap_or(LOOKBACK_HOURS_DEFAULT), &left_out).unwrap_or(1)
}

/// Checks which calls a report covers: field `filters`.
pub(super) fn filters(f: &mut Fields, filters: Option<pb::Filters>, key: &TokenKey) -> Filters {
    let filters = filters.unwrap_or_default();
    Filters {
        task_type: f.optional_name("filters.task_type", filters.task_type),
        workflow: f.optional_name("filters.workflow", filters.workflow),
        model: f.optional_name("filters.model", filters.model),
        tool: f.optional_name("filters.tool", filters.tool),
        step: f.optional_name("filters.step", filters.step),
        goal_id: f.optional_name("filters.goal_id", filters.goal_id),
        labels: f.labels("filters.labels", filters.labels, key),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TokenKey {
        TokenKey::new([9; 32])
    }

    fn request() -> pb::GetInsightsRequest {
        pb::GetInsightsRequest {
            compare_label: Some("prompt".into()),
            compare_a: Some("a".into()),
            compare_b: Some("b".into()),
            overhead_workflow: Some("agent".into()),
            overhead_baseline: Some("single".into()),
            ..Default::default()
        }
    }

    fn fields(request: pb::GetInsightsRequest) -> Vec<String> {
        let refusal = insights(request, &key()).expect_err("refused");
        refusal.violations.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn two_values_and_two_workflows_are_compared() {
        let query = insights(request(), &key()).unwrap();
        let compared = CompareLabels { label: "prompt".into(), a: "a".into(), b: "b".into() };
        assert_eq!(query.compare_labels, Some(compared));
        assert_eq!(query.overhead, Some(("agent".into(), "single".into())));
        let plain = insights(pb::GetInsightsRequest::default(), &key()).unwrap();
        assert_eq!((plain.compare_labels, plain.overhead), (None, None));
        let users = pb::GetInsightsRequest { compare_label: Some("user".into()), ..request() };
        let users = insights(users, &key()).unwrap().compare_labels.unwrap();
        assert_eq!((users.a, users.b), (key().conceal("a"), key().conceal("b")), "users are concealed");
    }

    #[test]
    fn half_a_comparison_is_refused() {
        assert_eq!(fields(pb::GetInsightsRequest { compare_label: None, ..request() }), ["compare_a", "compare_b"]);
        assert_eq!(fields(pb::GetInsightsRequest { compare_a: None, ..request() }), ["compare_a"]);
        assert_eq!(fields(pb::GetInsightsRequest { compare_b: Some("a".into()), ..request() }), ["compare_b"]);
        assert_eq!(fields(pb::GetInsightsRequest { overhead_baseline: None, ..request() }), ["overhead_baseline"]);
        assert_eq!(fields(pb::GetInsightsRequest { overhead_workflow: None, ..request() }), ["overhead_baseline"]);
        let itself = pb::GetInsightsRequest { overhead_baseline: Some("agent".into()), ..request() };
        assert_eq!(fields(itself), ["overhead_baseline"]);
        let labels = [("prompt".to_owned(), "a".to_owned())].into();
        let fixed = pb::GetInsightsRequest { filters: Some(pb::Filters { labels, ..Default::default() }), ..request() };
        assert_eq!(fields(fixed), ["compare_label"]);
    }
}
