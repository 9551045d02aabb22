//! The listener: one port for gRPC (HTTP/2) and HTTP (1.1 and 2), with every limit set explicitly. It knows no routes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::config::Server as Limits;
use crate::http::problem::Problem;
use crate::wire::Code;

fn ms(duration_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(duration_ms).unwrap_or(0))
}

/// Serves `router` on `listener` until `shutdown` resolves, then lets open requests end, `drain_timeout_ms` at most.
pub async fn run(listener: TcpListener, router: Router, limits: &Limits, shutdown: impl Future<Output = ()>) {
    let router = with_in_flight_limit(router, limits.max_in_flight as usize);
    let builder = builder(limits);
    let connections = Arc::new(Semaphore::new(limits.max_connections as usize));
    let graceful = GracefulShutdown::new();
    let age = ms(limits.max_connection_age_ms);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, mostly: a pause lets connections end.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(permit) = connections.clone().try_acquire_owned() else {
            tracing::warn!("connection refused: max_connections are open");
            continue;
        };
        serve(stream, &builder, router.clone(), &graceful, age, permit);
    }
    drop(listener);
    if tokio::time::timeout(ms(limits.drain_timeout_ms), graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end within the drain timeout");
    }
}

fn serve(
    stream: TcpStream,
    builder: &auto::Builder<TokioExecutor>,
    router: Router,
    graceful: &GracefulShutdown,
    age: Duration,
    permit: tokio::sync::OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not set TCP_NODELAY");
    }
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        let _permit = permit;
        // An old connection is dropped once it is idle enough for its client to have let go; see `max_connection_age_ms`.
        match tokio::time::timeout(age, connection).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "connection ended"),
            Err(_) => tracing::debug!("connection reached its age"),
        }
    });
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(ms(limits.header_timeout_ms))
        .max_buf_size(limits.max_header_bytes.max(8_192) as usize)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_local_error_reset_streams(limits.max_local_error_resets as usize)
        .max_pending_accept_reset_streams(limits.max_pending_accept_resets as usize)
        .max_header_list_size(limits.max_header_bytes)
        .max_send_buf_size(256 * 1024)
        .keep_alive_interval(ms(limits.keepalive_interval_ms))
        .keep_alive_timeout(ms(limits.keepalive_timeout_ms));
    builder
}

/// Sheds at once what is beyond `most` requests in flight: UNAVAILABLE with a time to retry, in either protocol.
fn with_in_flight_limit(router: Router, most: usize) -> Router {
    let slots = Arc::new(Semaphore::new(most));
    router.layer(axum::middleware::from_fn(move |request: Request, next: Next| {
        let slots = slots.clone();
        async move {
            match slots.try_acquire() {
                Ok(_slot) => next.run(request).await,
                Err(_) => shed(&request),
            }
        }
    }))
}

fn shed(request: &Request) -> Response {
    let grpc =
        request.headers().get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"));
    if grpc {
        return tonic::Status::unavailable("the daemon is busy; try again shortly").into_http();
    }
    let busy =
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "the daemon is busy; try again shortly");
    Problem { retry_after_ms: Some(1_000), ..busy }.into_response()
}
