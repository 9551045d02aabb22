//! Where a gRPC request enters: the calls that are made all day go straight to their service, everything else through a
//! router, both with the caller's deadline. It knows paths and nothing of what is asked.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tower::{Service, ServiceExt as _};

use super::{deadline, router};
use crate::wire::pb::router_service_server::RouterServiceServer;

type RouterServer = RouterServiceServer<router::Router>;

/// Every gRPC service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Edge {
    router: RouterServer,
    rest: axum::Router,
}

impl Edge {
    /// The calls of a model call's life, and a router over all other services.
    pub(super) fn new(router: RouterServer, rest: axum::Router) -> Self {
        Self { router, rest }
    }

    /// Answers a request; refusals are answers too.
    pub async fn answer<B>(self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError> + Send + 'static,
    {
        let time = deadline::timeout(request.headers());
        let Self { mut router, rest } = self;
        if is_of(RouterServer::NAME, request.uri().path()) {
            deadline::within(time, async { never(router.call(request).await) }).await
        } else {
            let answered = rest.oneshot(request.map(axum::body::Body::new));
            deadline::within(time, async { never(answered.await).map(Body::new) }).await
        }
    }
}

/// Whether `path` is `/service/…`.
fn is_of(service: &str, path: &str) -> bool {
    path.strip_prefix('/').and_then(|p| p.strip_prefix(service)).is_some_and(|rest| rest.starts_with('/'))
}

fn never<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

impl<B> Service<Request<B>> for Edge
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let edge = self.clone();
        Box::pin(async move { Ok(edge.answer(request).await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_service_whole() {
        assert!(is_of("oddsmaker.v1.RouterService", "/oddsmaker.v1.RouterService/GetPolicy"));
        for other in [
            "/oddsmaker.v1.RouterServices/GetPolicy",
            "/oddsmaker.v1.RouterService",
            "oddsmaker.v1.RouterService/",
            "/",
        ] {
            assert!(!is_of("oddsmaker.v1.RouterService", other), "{other}");
        }
    }
}
