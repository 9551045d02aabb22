//! One call of each kind, as a closed loop makes it again and again. They know how to ask, not how often.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use oddsmaker::journal::Journal;
use oddsmaker::wire::pb;
use oddsmaker::wire::pb::router_service_client::RouterServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::echo::{self, EchoClient};
use crate::requests;

/// Makes calls, one after the other.
pub(crate) trait Caller: Send + 'static {
    /// Makes the call of that number, counted over all callers of a loop from 0 on.
    fn call(&mut self, number: u64) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Opens connections to a server.
///
/// # Errors
/// It does not answer.
pub(crate) async fn connect(url: &str, connections: usize) -> anyhow::Result<Vec<Channel>> {
    let mut channels = Vec::with_capacity(connections);
    for _ in 0..connections {
        let endpoint = Endpoint::from_shared(url.to_owned())?.tcp_nodelay(true);
        channels.push(endpoint.connect().await.with_context(|| format!("cannot connect to {url}"))?);
    }
    Ok(channels)
}

/// The echo.
pub(crate) struct Echo {
    client: EchoClient,
    request: Vec<u8>,
}

impl Echo {
    pub(crate) fn new(channel: Channel, request_bytes: usize) -> Self {
        Self { client: EchoClient::new(channel), request: echo::message(request_bytes) }
    }
}

impl Caller for Echo {
    async fn call(&mut self, _: u64) -> anyhow::Result<()> {
        self.client.call(self.request.clone()).await?;
        Ok(())
    }
}

/// Ids of decisions that wait for their outcome.
pub(crate) type DecisionIds = Arc<Mutex<Vec<String>>>;

/// GetPolicy.
pub(crate) struct Policy {
    client: RouterServiceClient<Channel>,
    request: pb::GetPolicyRequest,
    /// What idempotency keys begin with; the number of the call follows.
    keys: Option<String>,
    /// Where the ids of the decisions go.
    ids: Option<DecisionIds>,
}

impl Policy {
    pub(crate) fn new(channel: Channel, candidates: usize) -> Self {
        let request = requests::policy(candidates, None);
        Self { client: RouterServiceClient::new(channel), request, keys: None, ids: None }
    }

    /// With an idempotency key on every request.
    pub(crate) fn keyed(self, prefix: String) -> Self {
        Self { keys: Some(prefix), ..self }
    }

    /// Keeps the ids of the decisions.
    pub(crate) fn kept_in(self, ids: DecisionIds) -> Self {
        Self { ids: Some(ids), ..self }
    }
}

impl Caller for Policy {
    async fn call(&mut self, number: u64) -> anyhow::Result<()> {
        let mut request = self.request.clone();
        if let Some(prefix) = &self.keys {
            request.idempotency_key = Some(format!("{prefix}-{number:08}"));
        }
        let answer = self.client.get_policy(request).await?.into_inner();
        let id = answer.decision_id.context("a decision without an id")?;
        if let Some(ids) = &self.ids {
            ids.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        }
        Ok(())
    }
}

/// RecordOutcome.
pub(crate) struct Outcome {
    client: RouterServiceClient<Channel>,
    ids: Arc<Vec<String>>,
}

impl Outcome {
    /// Reports on one decision a call; the loop must be bounded by their number.
    pub(crate) fn new(channel: Channel, ids: Arc<Vec<String>>) -> Self {
        Self { client: RouterServiceClient::new(channel), ids }
    }
}

impl Caller for Outcome {
    async fn call(&mut self, number: u64) -> anyhow::Result<()> {
        let id = self.ids.get(number as usize).context("more calls than decisions")?;
        self.client.record_outcome(requests::outcome(id.clone(), number)).await?;
        Ok(())
    }
}

/// The journal of this process: append, then wait for the disk.
pub(crate) struct Log {
    journal: Arc<Journal>,
    event: Vec<u8>,
}

impl Log {
    pub(crate) fn new(journal: Arc<Journal>, event_bytes: usize) -> Self {
        Self { journal, event: vec![7; event_bytes] }
    }
}

impl Caller for Log {
    async fn call(&mut self, _: u64) -> anyhow::Result<()> {
        self.journal.append(&self.event)?;
        self.journal.commit_waiter().await?;
        Ok(())
    }
}
