//! Health by the standard protocol (grpc.health.v1), overall ("") and for each service.

use futures_util::FutureExt as _;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthRpc, HealthServer};
use tonic_health::server::HealthReporter;

/// Says whether requests are served; clones say the same.
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
    services: Vec<&'static str>,
}

impl Health {
    /// Health of these services, all of them serving, and the server that tells it.
    pub(super) fn new(services: &[&'static str]) -> (Self, HealthServer<impl HealthRpc>) {
        let (reporter, server) = tonic_health::server::health_reporter();
        let mut all = vec![""];
        all.extend(services);
        let health = Self { reporter, services: all };
        // Nobody else holds the table yet, so this is done at once.
        let done = health.serving().now_or_never();
        debug_assert!(done.is_some(), "a new health table is not locked");
        (health, server)
    }

    /// Requests are served.
    pub async fn serving(&self) {
        self.set(ServingStatus::Serving).await;
    }

    /// Requests are not served: the daemon is draining or cannot persist.
    pub async fn not_serving(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    async fn set(&self, status: ServingStatus) {
        for service in &self.services {
            self.reporter.set_service_status(service, status).await;
        }
    }
}
