//! Both edges on one port: gRPC by its content type, HTTP for the rest. They never see each other.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Bytes, HttpBody};
use axum::{BoxError, Router};
use http::{HeaderMap, Request, Response, header};
use tonic::body::Body;
use tower::ServiceExt as _;

use crate::config::Server;
use crate::grpc::{self, Health};
use crate::http as pages;
use crate::service::Service;

/// Everything that is served.
#[derive(Debug)]
pub struct Edges {
    grpc: grpc::Edge,
    http: Router,
}

/// Wires both edges to the service; also the handle that says "not serving".
#[must_use]
pub fn edges(service: Arc<Service>, settings: &Server, address: SocketAddr) -> (Edges, Health) {
    let (grpc, health) = grpc::edge(service.clone(), settings.max_message_bytes as usize);
    (Edges { grpc, http: pages::router(service, settings, address) }, health)
}

impl Edges {
    /// Edges that answer whatever is no gRPC with `http`.
    #[cfg(test)]
    pub(crate) fn with_pages(http: Router) -> Self {
        let (grpc, _) = grpc::edge(grpc::tests_support::service(), 64 * 1024);
        Self { grpc, http }
    }

    /// Answers a request in its protocol; refusals are answers too.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError> + Send + 'static,
    {
        if is_grpc(request.headers()) {
            return self.grpc.clone().answer(request).await;
        }
        match self.http.clone().oneshot(request.map(axum::body::Body::new)).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }
}

/// Whether a request says that it is gRPC.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_content_type_says_which_protocol_it_is() {
        let of = |content_type: &'static str| {
            is_grpc(&[(header::CONTENT_TYPE, HeaderValue::from_static(content_type))].into_iter().collect())
        };
        assert!(of("application/grpc") && of("application/grpc+proto"));
        assert!(!of("application/json") && !is_grpc(&HeaderMap::new()));
    }
}
