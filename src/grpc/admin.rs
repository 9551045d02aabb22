//! AdminService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::service::Service;
use crate::wire::calls;
use crate::wire::pb::{self, admin_service_server::AdminService};

/// The service.
#[derive(Clone, Debug)]
pub(super) struct Admin {
    service: Arc<Service>,
}

impl Admin {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service }
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn list_models(
        &self,
        request: Request<pb::ListModelsRequest>,
    ) -> Result<Response<pb::ListModelsResponse>, Status> {
        Ok(Response::new(calls::list_models(&self.service, request.into_inner()).await?))
    }

    async fn get_posterior(
        &self,
        request: Request<pb::GetPosteriorRequest>,
    ) -> Result<Response<pb::GetPosteriorResponse>, Status> {
        Ok(Response::new(calls::get_posterior(&self.service, request.into_inner()).await?))
    }

    async fn set_model_state(
        &self,
        request: Request<pb::SetModelStateRequest>,
    ) -> Result<Response<pb::SetModelStateResponse>, Status> {
        Ok(Response::new(calls::set_model_state(&self.service, request.into_inner()).await?))
    }

    async fn reset_posterior(
        &self,
        request: Request<pb::ResetPosteriorRequest>,
    ) -> Result<Response<pb::ResetPosteriorResponse>, Status> {
        Ok(Response::new(calls::reset_posterior(&self.service, request.into_inner()).await?))
    }

    async fn reload_catalog(
        &self,
        request: Request<pb::ReloadCatalogRequest>,
    ) -> Result<Response<pb::ReloadCatalogResponse>, Status> {
        Ok(Response::new(calls::reload_catalog(&self.service, request.into_inner()).await?))
    }

    async fn get_status(
        &self,
        request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        Ok(Response::new(calls::get_status(&self.service, request.into_inner()).await?))
    }
}
