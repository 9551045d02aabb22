//! The listener: one port for gRPC (HTTP/2) and HTTP (1.1 and 2), with every limit set explicitly. It knows no routes.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use axum::response::IntoResponse as _;
use http::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tonic::body::Body;

use crate::config::Server as Limits;
use crate::edges::{Edges, is_grpc};
use crate::http::is_probe;
use crate::http::problem::Problem;
use crate::wire::{Code, Refusal};

fn ms(duration_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(duration_ms).unwrap_or(0))
}

/// Serves `edges` on `listener` until `shutdown` resolves, then lets open requests end, `drain_timeout_ms` at most.
pub async fn run(listener: TcpListener, edges: Edges, limits: &Limits, shutdown: impl Future<Output = ()>) {
    let in_flight = Arc::new(Semaphore::new(limits.max_in_flight as usize));
    let answering = Answering { edges: Arc::new(edges), in_flight, time: ms(limits.request_timeout_ms) };
    let server = Arc::new(Server { builder: builder(limits), answering, limits: limits.clone() });
    let slots = Arc::new(Semaphore::new(limits.max_connections as usize));
    let (close, closing) = watch::channel(false);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        // A slot first: connections beyond the limit wait in the listener's queue.
        let accept = async {
            let slot = slots.clone().acquire_owned().await;
            (listener.accept().await, slot)
        };
        let (accepted, slot) = tokio::select! {
            accepted = accept => accepted,
            () = &mut shutdown => break,
        };
        match (accepted, slot) {
            (Ok((stream, _)), Ok(slot)) => {
                let (server, closing) = (server.clone(), closing.clone());
                tokio::spawn(async move {
                    server.serve(stream, closing).await;
                    drop(slot);
                });
            }
            (Err(error), _) => {
                // Out of file descriptors, mostly: a pause lets connections end.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (_, Err(_)) => break,
        }
    }
    drop(listener);
    close.send_replace(true);
    let all_ended = slots.acquire_many(limits.max_connections);
    if tokio::time::timeout(ms(limits.drain_timeout_ms), all_ended).await.is_err() {
        tracing::warn!("some requests did not end within the drain timeout");
    }
}

/// What every connection is served with.
struct Server {
    builder: auto::Builder<TokioExecutor>,
    answering: Answering,
    limits: Limits,
}

impl Server {
    async fn serve(&self, stream: TcpStream, mut closing: watch::Receiver<bool>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "could not set TCP_NODELAY");
        }
        let spoke = tokio::time::timeout(ms(self.limits.header_timeout_ms), first_words(&stream)).await;
        if !matches!(spoke, Ok(Ok(()))) {
            return;
        }
        let answering = self.answering.clone();
        let service = TowerToHyperService::new(tower::service_fn(move |request| answering.clone().answer(request)));
        let mut connection = std::pin::pin!(self.builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            _ = closing.wait_for(|closing| *closing) => None,
            () = tokio::time::sleep(ms(self.limits.max_connection_age_ms)) => None,
        };
        let ended = match ended {
            Some(ended) => Ok(ended),
            None => {
                // Told to stop, or old: no new requests, those that run may end.
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(ms(self.limits.drain_timeout_ms), connection).await
            }
        };
        if let Ok(Err(error)) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }
}

/// What an HTTP/2 connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Waits until it is clear which protocol the client speaks: telling them apart has no time limit of its own.
async fn first_words(stream: &TcpStream) -> std::io::Result<()> {
    let mut head = [0; 24];
    loop {
        let heard = stream.peek(&mut head).await?;
        if heard == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if heard >= PREFACE.len() || !PREFACE.starts_with(&head[..heard]) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a client may send on one stream before it is read.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

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
        // A frame below 256 bytes counts, by what it lacks to that, against half the window of the connection: streams that
        // wait for a slow disk must not look like a flood. Seven of them may be full of messages of 80 bytes.
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(2 << 20)
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_local_error_reset_streams(limits.max_local_error_resets as usize)
        .max_pending_accept_reset_streams(limits.max_pending_accept_resets as usize)
        .max_header_list_size(limits.max_header_bytes)
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(ms(limits.keepalive_interval_ms))
        .keep_alive_timeout(ms(limits.keepalive_timeout_ms));
    builder
}

/// Answers requests within their time, and sheds at once what is beyond the limit in flight. A slot is held until an answer
/// begins: a stream of outcomes begins to be answered before its first message, and is then bounded by its windows alone.
#[derive(Clone)]
struct Answering {
    edges: Arc<Edges>,
    in_flight: Arc<Semaphore>,
    time: Duration,
}

impl Answering {
    async fn answer<B>(self, request: Request<B>) -> Result<Response<Body>, Infallible>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError> + Send + 'static,
    {
        if is_probe(request.uri().path()) {
            return Ok(self.edges.answer(request).await);
        }
        let grpc = is_grpc(&request);
        let Ok(_slot) = self.in_flight.try_acquire() else {
            let busy = Refusal::new(Code::Unavailable, "the daemon is busy; try again shortly");
            return Ok(refused(grpc, Refusal { retry_after_ms: Some(1_000), ..busy }));
        };
        match tokio::time::timeout(self.time, self.edges.answer(request)).await {
            Ok(answer) => Ok(answer),
            Err(_) => Ok(refused(grpc, Refusal::late())),
        }
    }
}

/// A refusal in either protocol.
fn refused(grpc: bool, refusal: Refusal) -> Response<Body> {
    match grpc {
        true => tonic::Status::from(refusal).into_http(),
        false => Problem::from(refusal).into_response().map(Body::new),
    }
}

#[cfg(test)]
mod tests;
