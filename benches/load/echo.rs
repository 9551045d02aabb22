//! The bare gRPC echo: the least a daemon on the same stack could cost. One unary method takes bytes of any size and
//! answers with as many as it was started for; nothing is decided, stored or looked at.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::io::{Read as _, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

const PATH: &str = "/load.Echo/Echo";

/// The smallest message: a tag and a length of up to 127.
const WRAPPING_BYTES: usize = 2;

/// A message whose encoding has about `encoded_bytes` bytes.
pub(crate) fn message(encoded_bytes: usize) -> Vec<u8> {
    vec![7; encoded_bytes.saturating_sub(WRAPPING_BYTES)]
}

/// Serves on a free port of the loopback, which it prints, until its input is closed.
///
/// # Errors
/// The system gives no port, or the connection machinery fails.
pub(crate) async fn serve(response_bytes: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let orphaned = tokio::task::spawn_blocking(|| {
        // The one who started us holds the other end; whatever ends it ends us.
        let _ = std::io::stdin().read(&mut [0]);
    });
    let echo = Echo { response: Arc::new(message(response_bytes)) };
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let ended = async {
        // The task cannot panic and is never aborted.
        let _ = orphaned.await;
    };
    Ok(Server::builder().add_service(echo).serve_with_incoming_shutdown(incoming, ended).await?)
}

#[derive(Clone)]
struct Echo {
    response: Arc<Vec<u8>>,
}

impl NamedService for Echo {
    const NAME: &'static str = "load.Echo";
}

impl UnaryService<Vec<u8>> for Echo {
    type Response = Vec<u8>;
    type Future = Ready<Result<Response<Vec<u8>>, Status>>;

    fn call(&mut self, _: Request<Vec<u8>>) -> Self::Future {
        ready(Ok(Response::new(self.response.to_vec())))
    }
}

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<Vec<u8>, Vec<u8>>::default();
            Ok(tonic::server::Grpc::new(codec).unary(echo, request).await)
        })
    }
}

/// The calling end.
#[derive(Clone)]
pub(crate) struct EchoClient(Grpc<Channel>);

impl EchoClient {
    pub(crate) fn new(channel: Channel) -> Self {
        Self(Grpc::new(channel))
    }

    /// One call.
    ///
    /// # Errors
    /// What gRPC says.
    pub(crate) async fn call(&mut self, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        self.0.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<Vec<u8>, Vec<u8>>::default();
        let answer = self.0.unary(Request::new(message), PathAndQuery::from_static(PATH), codec).await?;
        Ok(answer.into_inner())
    }
}
