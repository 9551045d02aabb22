//! One function for each rpc: message in, message out. Both edges call these, so that gRPC and HTTP cannot differ.

use super::pb;
use super::refusal::Refusal;
use super::{request, request_admin};
use crate::service::{Service, Taken};

/// GetPolicy.
///
/// # Errors
/// See [`Refusal`]; a verdict that is not "allow" is an answer.
pub async fn get_policy(service: &Service, request: pb::GetPolicyRequest) -> Result<pb::GetPolicyResponse, Refusal> {
    let request = request::policy(request, service.token_key())?;
    Ok(service.get_policy(request).await?.into())
}

/// RecordOutcome.
///
/// # Errors
/// See [`Refusal`].
pub async fn record_outcome(
    service: &Service,
    request: pb::RecordOutcomeRequest,
) -> Result<pb::RecordOutcomeResponse, Refusal> {
    submit_outcome(service, request)?.answer(service).await
}

/// Takes one outcome in the order of the calls of this function; its answer comes once it is on disk.
///
/// # Errors
/// See [`Refusal`].
pub fn submit_outcome(service: &Service, request: pb::RecordOutcomeRequest) -> Result<Submitted, Refusal> {
    let report = request::outcome(request, service.token_key())?;
    Ok(Submitted(service.submit_outcome(&report)?))
}

/// Takes one outcome of a stream, with the correlation its answer carries.
pub fn submit_streamed(service: &Service, request: pb::RecordOutcomesRequest) -> (String, Result<Submitted, Refusal>) {
    match request::streamed(request) {
        Ok((correlation, outcome)) => (correlation, submit_outcome(service, outcome)),
        Err((correlation, refusal)) => (correlation, Err(refusal)),
    }
}

/// An outcome that was taken and may not be on disk yet.
#[derive(Debug)]
pub struct Submitted(Taken);

impl Submitted {
    /// The answer, once the outcome is safely on disk.
    ///
    /// # Errors
    /// It cannot be made durable.
    pub async fn answer(self, service: &Service) -> Result<pb::RecordOutcomeResponse, Refusal> {
        Ok(service.answer(self.0).await?.into())
    }
}

/// AmendOutcome.
///
/// # Errors
/// See [`Refusal`].
pub async fn amend_outcome(
    service: &Service,
    request: pb::AmendOutcomeRequest,
) -> Result<pb::AmendOutcomeResponse, Refusal> {
    let amendment = request::amendment(request, service.token_key())?;
    Ok(service.amend(amendment).await?.into())
}

/// VoidDecision.
///
/// # Errors
/// See [`Refusal`].
pub async fn void_decision(
    service: &Service,
    request: pb::VoidDecisionRequest,
) -> Result<pb::VoidDecisionResponse, Refusal> {
    let request::VoidDecision { call, by, reason } = request::void(request, service.token_key())?;
    Ok(service.void(call, &by, &reason).await?.into())
}

/// GetInsights.
///
/// # Errors
/// See [`Refusal`].
pub async fn get_insights(
    service: &Service,
    request: pb::GetInsightsRequest,
) -> Result<pb::GetInsightsResponse, Refusal> {
    let query = request_admin::insights(request, service.token_key())?;
    Ok(service.insights(&query)?.into())
}

/// ListModels.
///
/// # Errors
/// None in this version.
pub async fn list_models(
    service: &Service,
    _request: pb::ListModelsRequest,
) -> Result<pb::ListModelsResponse, Refusal> {
    Ok(service.models().into())
}

/// GetPosterior.
///
/// # Errors
/// See [`Refusal`].
pub async fn get_posterior(
    service: &Service,
    request: pb::GetPosteriorRequest,
) -> Result<pb::GetPosteriorResponse, Refusal> {
    let (task, model) = request_admin::posterior(request)?;
    Ok(service.posterior(&task, model.as_deref())?.into())
}

/// SetModelState.
///
/// # Errors
/// See [`Refusal`].
pub async fn set_model_state(
    service: &Service,
    request: pb::SetModelStateRequest,
) -> Result<pb::SetModelStateResponse, Refusal> {
    let request = request_admin::model_state(request)?;
    Ok(service.set_model_state(&request).await?.into())
}

/// ResetPosterior.
///
/// # Errors
/// See [`Refusal`].
pub async fn reset_posterior(
    service: &Service,
    request: pb::ResetPosteriorRequest,
) -> Result<pb::ResetPosteriorResponse, Refusal> {
    let request = request_admin::reset(request)?;
    Ok(service.reset_posterior(&request).await?.into())
}

/// ReloadCatalog.
///
/// # Errors
/// See [`Refusal`].
pub async fn reload_catalog(
    service: &Service,
    _request: pb::ReloadCatalogRequest,
) -> Result<pb::ReloadCatalogResponse, Refusal> {
    Ok(service.reload_catalog().await?.into())
}

/// GetStatus.
///
/// # Errors
/// None in this version; it also answers while the daemon is not ready.
pub async fn get_status(service: &Service, _request: pb::GetStatusRequest) -> Result<pb::GetStatusResponse, Refusal> {
    Ok(service.status().into())
}
