//! Both edges on one port: gRPC by its content type, HTTP for the rest. They never see each other.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;

use crate::config::Server;
use crate::grpc::{self, Health};
use crate::http;
use crate::service::Service;

/// The router and the handle that says "not serving".
pub struct Edges {
    /// Everything that is served.
    pub router: Router,
    /// gRPC health.
    pub health: Health,
}

/// Wires both edges to the service.
#[must_use]
pub fn router(service: Arc<Service>, settings: &Server, address: SocketAddr) -> Edges {
    let (routes, health) = grpc::routes(service.clone(), settings.max_message_bytes as usize);
    let pages = http::router(service, settings, address);
    Edges { router: http::on_one_port(routes.into_axum_router(), pages), health }
}
