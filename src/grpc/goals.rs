//! GoalService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::service::Service;
use crate::wire::calls_goals;
use crate::wire::pb::{self, goal_service_server::GoalService};

/// The service.
#[derive(Clone, Debug)]
pub(super) struct Goals {
    service: Arc<Service>,
}

impl Goals {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service }
    }
}

#[tonic::async_trait]
impl GoalService for Goals {
    async fn start_goal(
        &self,
        request: Request<pb::StartGoalRequest>,
    ) -> Result<Response<pb::StartGoalResponse>, Status> {
        Ok(Response::new(calls_goals::start_goal(&self.service, request.into_inner()).await?))
    }

    async fn complete_goal(
        &self,
        request: Request<pb::CompleteGoalRequest>,
    ) -> Result<Response<pb::CompleteGoalResponse>, Status> {
        Ok(Response::new(calls_goals::complete_goal(&self.service, request.into_inner()).await?))
    }

    async fn amend_goal(
        &self,
        request: Request<pb::AmendGoalRequest>,
    ) -> Result<Response<pb::AmendGoalResponse>, Status> {
        Ok(Response::new(calls_goals::amend_goal(&self.service, request.into_inner()).await?))
    }

    async fn grant_budget(
        &self,
        request: Request<pb::GrantBudgetRequest>,
    ) -> Result<Response<pb::GrantBudgetResponse>, Status> {
        Ok(Response::new(calls_goals::grant_budget(&self.service, request.into_inner()).await?))
    }

    async fn get_goal(&self, request: Request<pb::GetGoalRequest>) -> Result<Response<pb::GetGoalResponse>, Status> {
        Ok(Response::new(calls_goals::get_goal(&self.service, request.into_inner()).await?))
    }

    async fn get_receipt(
        &self,
        request: Request<pb::GetReceiptRequest>,
    ) -> Result<Response<pb::GetReceiptResponse>, Status> {
        Ok(Response::new(calls_goals::get_receipt(&self.service, request.into_inner()).await?))
    }

    async fn list_goals(
        &self,
        request: Request<pb::ListGoalsRequest>,
    ) -> Result<Response<pb::ListGoalsResponse>, Status> {
        Ok(Response::new(calls_goals::list_goals(&self.service, request.into_inner()).await?))
    }

    async fn sample_goals(
        &self,
        request: Request<pb::SampleGoalsRequest>,
    ) -> Result<Response<pb::SampleGoalsResponse>, Status> {
        Ok(Response::new(calls_goals::sample_goals(&self.service, request.into_inner()).await?))
    }
}
