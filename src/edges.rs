//! Both edges on one port: gRPC by its content type, HTTP for the rest. They never see each other.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Bytes, HttpBody};
use axum::{BoxError, Router};
use http::{Request, Response, Version, header};
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
        if is_grpc(&request) {
            return self.grpc.clone().answer(request).await;
        }
        match self.http.clone().oneshot(request.map(axum::body::Body::new)).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }
}

/// Whether a request is gRPC: it says so, and comes over HTTP/2. What says so over HTTP/1.1 may come from a browser, whose
/// page of another site chose the words, and is asked for its host like every other page.
#[must_use]
pub fn is_grpc<B>(request: &Request<B>) -> bool {
    let says = request.headers().get(header::CONTENT_TYPE);
    request.version() == Version::HTTP_2 && says.is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_and_the_version_say_which_protocol_it_is() {
        let of = |version: Version, content_type: &str| {
            is_grpc(&Request::builder().version(version).header(header::CONTENT_TYPE, content_type).body(()).unwrap())
        };
        assert!(of(Version::HTTP_2, "application/grpc") && of(Version::HTTP_2, "application/grpc+proto"));
        assert!(!of(Version::HTTP_2, "application/json") && !of(Version::HTTP_11, "application/grpc"));
        assert!(!is_grpc(&Request::builder().version(Version::HTTP_2).body(()).unwrap()));
    }

    /// A page of another site whose name leads here may send any content type, over HTTP/1.1.
    #[tokio::test]
    async fn grpc_over_http_1_does_not_pass_by_the_check_of_the_host() {
        let address = "127.0.0.1:7070".parse().unwrap();
        let settings = crate::config::Settings::with_data_dir("unused".into()).server;
        let (edges, _) = edges(grpc::tests_support::service(), &settings, address);
        let status = async |version, host: &str| {
            let request = Request::post("/oddsmaker.v1.AdminService/GetStatus").version(version);
            let request = request.header(header::HOST, host).header(header::CONTENT_TYPE, "application/grpc");
            let body = axum::body::Body::from(&[0, 0, 0, 0, 0][..]);
            edges.answer(request.body(body).unwrap()).await.status().as_u16()
        };
        assert_eq!(status(Version::HTTP_11, "evil.example").await, 403);
        assert_eq!(status(Version::HTTP_11, "127.0.0.1:7070").await, 404, "there is no such page");
        assert_eq!(status(Version::HTTP_2, "127.0.0.1:7070").await, 200);
    }
}
