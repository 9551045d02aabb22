//! Closed loops: each caller makes its next call when the one before is answered. So a slow answer delays what would
//! have come after it, and latencies are those at that number of calls at once, not at a given rate of arrival.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use oddsmaker::journal::{Journal, JournalError};
use oddsmaker::wire::pb;
use oddsmaker::wire::pb::router_service_client::RouterServiceClient;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::callers::Caller;
use crate::requests;

/// Longest latency told apart, in nanoseconds: one minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// When a loop ends: whichever comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) time: Duration,
    pub(crate) calls: u64,
}

/// What a loop came to.
pub(crate) struct Measured {
    pub(crate) calls: u64,
    pub(crate) seconds: f64,
    pub(crate) latency_ns: Histogram<u64>,
}

impl Measured {
    fn new(seconds: f64, latencies_ns: &[u64]) -> anyhow::Result<Self> {
        if latencies_ns.is_empty() {
            bail!("not one call within the time given");
        }
        let mut latency_ns = histogram()?;
        for latency in latencies_ns {
            latency_ns.record((*latency).clamp(1, LATENCY_NS_MAX))?;
        }
        Ok(Self { calls: latencies_ns.len() as u64, seconds, latency_ns })
    }

    /// Calls a second.
    pub(crate) fn rate(&self) -> f64 {
        self.calls as f64 / self.seconds
    }
}

/// An empty histogram of latencies, to three digits.
///
/// # Errors
/// Never with these bounds.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)?)
}

/// Lets every caller call until the bounds are reached; calls begun are waited for.
///
/// # Errors
/// One call failed: figures with failures among them would say nothing.
pub(crate) async fn closed_loops<C: Caller>(callers: Vec<C>, bounds: Bounds) -> anyhow::Result<Measured> {
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut running = JoinSet::new();
    for mut caller in callers {
        let next = next.clone();
        running.spawn(async move {
            let mut latencies_ns = Vec::new();
            let mut before = Instant::now();
            while before.duration_since(began) < bounds.time {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= bounds.calls {
                    break;
                }
                caller.call(number).await?;
                let after = Instant::now();
                latencies_ns.push(after.duration_since(before).as_nanos() as u64);
                before = after;
            }
            anyhow::Ok(latencies_ns)
        });
    }
    let mut all = Vec::new();
    while let Some(done) = running.join_next().await {
        all.extend(done??);
    }
    Measured::new(began.elapsed().as_secs_f64(), &all)
}

/// Lets threads append to a journal and block until the disk has it, each its next event after the one before.
///
/// # Errors
/// The journal failed.
pub(crate) fn blocking_writers(
    journal: &Journal,
    writers: usize,
    event: &[u8],
    bounds: Bounds,
) -> anyhow::Result<Measured> {
    let next = AtomicU64::new(0);
    let began = Instant::now();
    let write = || {
        let mut latencies_ns = Vec::new();
        let mut before = Instant::now();
        while before.duration_since(began) < bounds.time && next.fetch_add(1, Ordering::Relaxed) < bounds.calls {
            journal.append(event)?;
            journal.commit_waiter().wait()?;
            let after = Instant::now();
            latencies_ns.push(after.duration_since(before).as_nanos() as u64);
            before = after;
        }
        Ok(latencies_ns)
    };
    let all = thread::scope(|scope| {
        let running: Vec<_> = (0..writers).map(|_| scope.spawn(write)).collect();
        let ended = running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.collect::<Result<Vec<Vec<u64>>, JournalError>>()
    })?;
    Measured::new(began.elapsed().as_secs_f64(), &all.concat())
}

/// Reports on decisions over one stream, `outstanding` of them on the way at once.
///
/// # Errors
/// The stream ended early or an outcome was refused.
pub(crate) async fn one_stream(
    channel: Channel,
    ids: &[String],
    outstanding: usize,
    time: Duration,
) -> anyhow::Result<Measured> {
    let (send, receive) = mpsc::channel(outstanding);
    let began = Instant::now();
    let mut sent = Vec::with_capacity(ids.len());
    let mut latencies_ns = Vec::with_capacity(ids.len());
    for (id, number) in ids.iter().zip(0..).take(outstanding) {
        sent.push(Instant::now());
        send.send(message(id, number)).await?;
    }
    let mut client = RouterServiceClient::new(channel);
    let mut answers = client.record_outcomes(ReceiverStream::new(receive)).await?.into_inner();
    while latencies_ns.len() < sent.len() {
        let answer = answers.message().await?.context("the stream ended before all was answered")?;
        let number = correlated(&answer)?;
        let of = sent.get(number).context("an answer to nothing that was sent")?;
        latencies_ns.push(of.elapsed().as_nanos() as u64);
        if let Some(id) = ids.get(sent.len())
            && began.elapsed() < time
        {
            let number = sent.len() as u64;
            sent.push(Instant::now());
            send.send(message(id, number)).await?;
        }
    }
    Measured::new(began.elapsed().as_secs_f64(), &latencies_ns)
}

fn message(id: &str, number: u64) -> pb::RecordOutcomesRequest {
    let outcome = Some(requests::outcome(id.to_owned(), number));
    pb::RecordOutcomesRequest { correlation: number.to_string(), outcome }
}

/// The number an answer belongs to.
///
/// # Errors
/// It is a refusal, or belongs to nothing.
pub(crate) fn correlated(answer: &pb::RecordOutcomesResponse) -> anyhow::Result<usize> {
    use pb::record_outcomes_response::Answer;
    match &answer.answer {
        Some(Answer::Result(_)) => answer.correlation.parse().context("an answer with another correlation"),
        Some(Answer::Error(error)) => bail!("an outcome was refused with code {}: {}", error.code, error.message),
        None => bail!("an answer without content"),
    }
}
