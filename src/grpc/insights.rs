//! InsightsService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::service::Service;
use crate::wire::calls;
use crate::wire::pb::{self, insights_service_server::InsightsService};

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
}
