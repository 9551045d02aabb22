//! One function for each rpc about goals, gates, budgets and alerts, as in [`super::calls`].

use super::refusal::Refusal;
use super::{pb, request_budget, request_goal, what_if};
use crate::service::Service;

/// GateStep.
///
/// # Errors
/// See [`Refusal`]; a verdict that is not "allow" is an answer.
pub async fn gate_step(service: &Service, request: pb::GateStepRequest) -> Result<pb::GateStepResponse, Refusal> {
    let request = request_goal::gate(request, service.token_key())?;
    Ok(service.gate(request).await?.into())
}

/// StartGoal.
///
/// # Errors
/// See [`Refusal`].
pub async fn start_goal(service: &Service, request: pb::StartGoalRequest) -> Result<pb::StartGoalResponse, Refusal> {
    let request = request_goal::start(request, service.token_key())?;
    Ok(service.start_goal(request).await?.into())
}

/// CompleteGoal.
///
/// # Errors
/// See [`Refusal`].
pub async fn complete_goal(
    service: &Service,
    request: pb::CompleteGoalRequest,
) -> Result<pb::CompleteGoalResponse, Refusal> {
    Ok(service.complete_goal(request_goal::complete(request)?).await?.into())
}

/// AmendGoal.
///
/// # Errors
/// See [`Refusal`].
pub async fn amend_goal(service: &Service, request: pb::AmendGoalRequest) -> Result<pb::AmendGoalResponse, Refusal> {
    Ok(service.amend_goal(request_goal::amend(request)?).await?.into())
}

/// GrantBudget.
///
/// # Errors
/// See [`Refusal`].
pub async fn grant_budget(
    service: &Service,
    request: pb::GrantBudgetRequest,
) -> Result<pb::GrantBudgetResponse, Refusal> {
    Ok(service.grant_budget(request_goal::grant(request)?).await?.into())
}

/// GetGoal.
///
/// # Errors
/// See [`Refusal`].
pub async fn get_goal(service: &Service, request: pb::GetGoalRequest) -> Result<pb::GetGoalResponse, Refusal> {
    let goal = request_goal::goal(request.goal_id)?;
    Ok(service.goal(&goal).await?.into())
}

/// GetReceipt.
///
/// # Errors
/// See [`Refusal`].
pub async fn get_receipt(service: &Service, request: pb::GetReceiptRequest) -> Result<pb::GetReceiptResponse, Refusal> {
    let goal = request_goal::goal(request.goal_id)?;
    Ok(service.receipt(&goal, request.without_calls).await?.into())
}

/// ListGoals.
///
/// # Errors
/// See [`Refusal`].
pub async fn list_goals(service: &Service, request: pb::ListGoalsRequest) -> Result<pb::ListGoalsResponse, Refusal> {
    let request = request_goal::list(request, service.token_key())?;
    Ok(service.goals(&request).await?.into())
}

/// SampleGoals.
///
/// # Errors
/// See [`Refusal`].
pub async fn sample_goals(
    service: &Service,
    request: pb::SampleGoalsRequest,
) -> Result<pb::SampleGoalsResponse, Refusal> {
    let request = request_goal::sample(request, service.token_key())?;
    Ok(service.sample_goals(&request).await?.into())
}

/// ExplainChange.
///
/// # Errors
/// See [`Refusal`].
pub async fn explain_change(
    service: &Service,
    request: pb::ExplainChangeRequest,
) -> Result<pb::ExplainChangeResponse, Refusal> {
    let (windows, filters) = request_budget::change(request, service.token_key())?;
    Ok(service.explain_change(windows, &filters).await?.into())
}

/// EvaluatePolicy.
///
/// # Errors
/// See [`Refusal`]; too little to go on is an answer.
pub async fn evaluate_policy(
    service: &Service,
    request: pb::EvaluatePolicyRequest,
) -> Result<pb::EvaluatePolicyResponse, Refusal> {
    Ok(service.evaluate_policy(what_if::question(request)?).await?.into())
}

/// ListBudgets.
///
/// # Errors
/// See [`Refusal`].
pub async fn list_budgets(
    service: &Service,
    request: pb::ListBudgetsRequest,
) -> Result<pb::ListBudgetsResponse, Refusal> {
    let request = request_budget::list(request, service.token_key())?;
    Ok(service.budgets(&request).await?.into())
}

/// ListAlerts.
///
/// # Errors
/// See [`Refusal`].
pub async fn list_alerts(service: &Service, request: pb::ListAlertsRequest) -> Result<pb::ListAlertsResponse, Refusal> {
    Ok(service.alerts(&request_budget::alerts(request)?).await?.into())
}

/// AcknowledgeAlert.
///
/// # Errors
/// See [`Refusal`].
pub async fn acknowledge_alert(
    service: &Service,
    request: pb::AcknowledgeAlertRequest,
) -> Result<pb::AcknowledgeAlertResponse, Refusal> {
    Ok(service.acknowledge_alert(request_budget::acknowledge(request)?).await?.into())
}
