//! The gRPC edge: thin services over `wire::calls`, with health, reflection and deadlines. It knows statuses and
//! streams, and nothing of what a request means.

mod admin;
mod deadline;
mod edge;
mod goals;
mod health;
mod insights;
mod router;
mod status;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod tests_support;

use std::sync::Arc;

use tonic::service::Routes;

pub use edge::Edge;
pub use health::Health;
pub use status::ERROR_DOMAIN;

use crate::service::Service;
use crate::wire::pb;
use pb::admin_service_server::AdminServiceServer;
use pb::goal_service_server::GoalServiceServer;
use pb::insights_service_server::InsightsServiceServer;
use pb::router_service_server::RouterServiceServer;

/// All gRPC services over one daemon, serving from the start, and the handle to say otherwise. A request message may
/// have `message_bytes_max` bytes at most.
#[must_use]
pub fn edge(service: Arc<Service>, message_bytes_max: usize) -> (Edge, Health) {
    let (health, health_server) = Health::new(&[
        <RouterServiceServer<router::Router> as tonic::server::NamedService>::NAME,
        <GoalServiceServer<goals::Goals> as tonic::server::NamedService>::NAME,
        <InsightsServiceServer<insights::Insights> as tonic::server::NamedService>::NAME,
        <AdminServiceServer<admin::Admin> as tonic::server::NamedService>::NAME,
    ]);
    let router = RouterServiceServer::new(router::Router::new(service.clone()));
    let router = router.max_decoding_message_size(message_bytes_max);
    let goals = GoalServiceServer::new(goals::Goals::new(service.clone()));
    let insights = InsightsServiceServer::new(insights::Insights::new(service.clone()));
    let admin = AdminServiceServer::new(admin::Admin::new(service));
    let mut routes = Routes::default()
        .add_service(goals.max_decoding_message_size(message_bytes_max))
        .add_service(insights.max_decoding_message_size(message_bytes_max))
        .add_service(admin.max_decoding_message_size(message_bytes_max))
        .add_service(health_server);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Python's reflection package still asks for v1alpha only.
    match (reflection().build_v1(), reflection().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => routes = routes.add_service(v1).add_service(v1alpha),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "reflection is off: the descriptors cannot be read");
        }
    }
    (Edge::new(router, routes.into_axum_router()), health)
}
