//! InsightsService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::service::Service;

use crate::wire::pb::{self, insights_service_server::InsightsService};
use crate::wire::{calls, calls_goals};

/// The service.
#[derive(Clone, Debug)]
pub(super) struct Insights {
    service: Arc<Service>,
}

impl Insights {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service }
    }
}

#[tonic::async_trait]
impl InsightsService for Insights {
    async fn get_insights(
        &self,
        request: Request<pb::GetInsightsRequest>,
    ) -> Result<Response<pb::GetInsightsResponse>, Status> {
        Ok(Response::new(calls::get_insights(&self.service, request.into_inner()).await?))
    }
    async fn explain_change(
        &self,
        request: Request<pb::ExplainChangeRequest>,
    ) -> Result<Response<pb::ExplainChangeResponse>, Status> {
        Ok(Response::new(calls_goals::explain_change(&self.service, request.into_inner()).await?))
    }

    async fn evaluate_policy(
        &self,
        request: Request<pb::EvaluatePolicyRequest>,
    ) -> Result<Response<pb::EvaluatePolicyResponse>, Status> {
        Ok(Response::new(calls_goals::evaluate_policy(&self.service, request.into_inner()).await?))
    }

    async fn list_budgets(
        &self,
        request: Request<pb::ListBudgetsRequest>,
    ) -> Result<Response<pb::ListBudgetsResponse>, Status> {
        Ok(Response::new(calls_goals::list_budgets(&self.service, request.into_inner()).await?))
    }

    async fn list_alerts(
        &self,
        request: Request<pb::ListAlertsRequest>,
    ) -> Result<Response<pb::ListAlertsResponse>, Status> {
        Ok(Response::new(calls_goals::list_alerts(&self.service, request.into_inner()).await?))
    }

    async fn acknowledge_alert(
        &self,
        request: Request<pb::AcknowledgeAlertRequest>,
    ) -> Result<Response<pb::AcknowledgeAlertResponse>, Status> {
        Ok(Response::new(calls_goals::acknowledge_alert(&self.service, request.into_inner()).await?))
    }
}
