//! A daemon with many calls on record: what they take on disk and in memory, how soon it answers again after being
//! killed, and how long a report over a week takes. Decisions go as unary calls, outcomes as one stream a connection.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use hdrhistogram::Histogram;
use oddsmaker::wire::pb;
use oddsmaker::wire::pb::admin_service_client::AdminServiceClient;
use oddsmaker::wire::pb::insights_service_client::InsightsServiceClient;
use oddsmaker::wire::pb::router_service_client::RouterServiceClient;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::args::{Args, Fill, Keys};
use crate::callers::{Policy, connect};
use crate::drive::{Bounds, closed_loops, correlated, histogram};
use crate::process::{Process, disk_bytes, seconds_since, temporary};
use crate::table::{Table, digits};
use crate::{catalogue, requests};

/// Outcomes of one stream on the way at once.
const OUTSTANDING: usize = 256;

/// Reports asked for, one after the other.
const REPORTS: usize = 50;

/// Window of the report, in hours.
const LOOKBACK_HOURS: f64 = 168.0;

/// The share of the calls whose rate is told apart at the beginning and at the end.
const SHARE: u64 = 10;

/// Longest wait until the data directory has its final size.
const SETTLING: Duration = Duration::from_secs(60);

/// How long the daemon is busy before it is killed, so that it dies in the middle of work.
const BUSY: Duration = Duration::from_millis(500);

/// Fills, weighs and prints.
///
/// # Errors
/// A process could not be started, a call failed, or something acknowledged is missing afterwards.
pub(crate) async fn run(args: &Args, plan: &Fill) -> anyhow::Result<()> {
    let mut folder = temporary(args.folder.as_deref())?;
    folder.disable_cleanup(plan.keep);
    let (data, models) = (folder.path().join("data"), folder.path().join("models.toml"));
    std::fs::write(&models, catalogue::text(&[10]))?;
    let daemon = Process::daemon(args.daemon.as_deref(), &data, &models)?;
    eprintln!("filling {}", data.display());
    let filled = fill(&daemon.url, args.connections, plan).await?;
    let (journal, state) = settled(&data).await?;
    let reports = reports(&daemon.url).await?;
    let (memory, peak) = (daemon.memory_bytes("VmRSS")?, daemon.memory_bytes("VmHWM")?);
    kill_busy(daemon).await?;
    let began = Instant::now();
    let daemon = Process::daemon(args.daemon.as_deref(), &data, &models)?;
    let status = status(&daemon.url).await?;
    let start_seconds = seconds_since(began);
    let per_call = |bytes: u64| digits(bytes as f64 / plan.calls as f64);
    let megabytes = |bytes: u64| digits(bytes as f64 / 1e6);
    let millis = |quantile: f64| digits(reports.value_at_quantile(quantile) as f64 / 1e6);
    let mut table = Table::new(&["calls, each decided and settled", &plan.calls.to_string()]);
    let mut row = |name: &str, figure: String| table.row(vec![name.to_owned(), figure]);
    row("idempotency keys", if plan.keys == Keys::All { "on both requests" } else { "none" }.to_owned());
    row("calls/s while filling", digits(plan.calls as f64 / filled.seconds));
    row("calls/s, first tenth", digits(filled.first_rate));
    row("calls/s, last tenth", digits(filled.last_rate));
    row("journal, bytes a call", per_call(journal));
    row("state, bytes a call", per_call(state));
    row("both, bytes a call", per_call(journal + state));
    row("resident memory, MB", megabytes(memory));
    row("peak of it, MB", megabytes(peak));
    row("ready again after kill -9, s", digits(start_seconds));
    row("resident memory after that start, MB", megabytes(daemon.memory_bytes("VmRSS")?));
    row("GetInsights over 168 h, p50 ms", millis(0.50));
    row("GetInsights over 168 h, p99 ms", millis(0.99));
    table.print();
    let outcomes = status.counts.map_or(0, |counts| counts.outcomes);
    ensure!(outcomes >= plan.calls, "{} outcomes were acknowledged, {outcomes} are on record", plan.calls);
    Ok(())
}

/// How the filling went.
struct Filled {
    seconds: f64,
    first_rate: f64,
    last_rate: f64,
}

/// Numbers given out, and when the first and the last share of them was reached.
struct Progress {
    next: AtomicU64,
    acknowledged: AtomicU64,
    calls: u64,
}

async fn fill(url: &str, connections: usize, plan: &Fill) -> anyhow::Result<Filled> {
    let channels = connect(url, connections.min(plan.at_once)).await?;
    let progress = Arc::new(Progress { next: AtomicU64::new(0), acknowledged: AtomicU64::new(0), calls: plan.calls });
    let keyed = plan.keys == Keys::All;
    let mut running = JoinSet::new();
    for (index, channel) in channels.iter().enumerate() {
        let workers = plan.at_once / channels.len() + usize::from(index < plan.at_once % channels.len());
        running.spawn(connection(channel.clone(), workers, keyed, progress.clone()));
    }
    let began = Instant::now();
    let watch = tokio::spawn(rates(progress.clone(), began));
    while let Some(done) = running.join_next().await {
        done??;
    }
    let seconds = seconds_since(began);
    let acknowledged = progress.acknowledged.load(Ordering::Relaxed);
    ensure!(acknowledged == plan.calls, "{acknowledged} of {} outcomes were acknowledged", plan.calls);
    let (first_rate, last_rate) = watch.await?;
    Ok(Filled { seconds, first_rate, last_rate })
}

/// Rates of the first and of the last share of the calls; tells how far it is meanwhile.
async fn rates(progress: Arc<Progress>, began: Instant) -> (f64, f64) {
    let share = progress.calls.div_ceil(SHARE);
    let mut marks = vec![0.0];
    for mark in 1..=SHARE {
        let wanted = (share * mark).min(progress.calls);
        while progress.acknowledged.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        marks.push(seconds_since(began));
        eprintln!("{wanted} calls after {:.1} s", seconds_since(began));
    }
    let last = progress.calls - (share * (SHARE - 1)).min(progress.calls);
    let rate = |calls: u64, from: usize| calls as f64 / (marks[from + 1] - marks[from]).max(1e-3);
    (rate(share.min(progress.calls), 0), rate(last, marks.len() - 2))
}

/// Everything on one connection: workers that decide, and one stream for what came of it.
async fn connection(channel: Channel, workers: usize, keyed: bool, progress: Arc<Progress>) -> anyhow::Result<()> {
    let (send, receive) = mpsc::channel(OUTSTANDING);
    let slots = Arc::new(Semaphore::new(OUTSTANDING));
    let mut running = JoinSet::new();
    for _ in 0..workers {
        running.spawn(work(channel.clone(), keyed, progress.clone(), slots.clone(), send.clone()));
    }
    // The stream ends when the workers have let go of the sending half and all is answered.
    drop(send);
    running.spawn(acknowledge(channel, receive, progress, slots));
    while let Some(done) = running.join_next().await {
        done??; // The first failure ends the others.
    }
    Ok(())
}

/// Sends what the workers report, and counts the answers.
async fn acknowledge(
    channel: Channel,
    outcomes: mpsc::Receiver<pb::RecordOutcomesRequest>,
    progress: Arc<Progress>,
    slots: Arc<Semaphore>,
) -> anyhow::Result<()> {
    let mut client = RouterServiceClient::new(channel);
    let mut answers = client.record_outcomes(ReceiverStream::new(outcomes)).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        correlated(&answer)?;
        slots.add_permits(1);
        progress.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Decides and reports, ten calls of a goal in a row.
async fn work(
    channel: Channel,
    keyed: bool,
    progress: Arc<Progress>,
    slots: Arc<Semaphore>,
    send: mpsc::Sender<pb::RecordOutcomesRequest>,
) -> anyhow::Result<()> {
    let mut client = RouterServiceClient::new(channel);
    loop {
        let first = progress.next.fetch_add(requests::CALLS_OF_A_GOAL, Ordering::Relaxed);
        let numbers = first..(first + requests::CALLS_OF_A_GOAL).min(progress.calls);
        if numbers.is_empty() {
            return Ok(());
        }
        for number in numbers {
            let answer = client.get_policy(requests::mixed_policy(number, keyed)).await?.into_inner();
            ensure!(answer.decision_id.is_some(), "no model was chosen: {}", answer.reason);
            // Given back by whoever reads the answers.
            slots.acquire().await?.forget();
            let outcome = Some(requests::mixed_outcome(number, &answer, keyed));
            let message = pb::RecordOutcomesRequest { correlation: number.to_string(), outcome };
            if send.send(message).await.is_err() {
                bail!("the stream of outcomes ended");
            }
        }
    }
}

/// Bytes of journal and state once neither has changed for two seconds.
async fn settled(data: &Path) -> anyhow::Result<(u64, u64)> {
    let sizes = || anyhow::Ok((disk_bytes(&data.join("journal"))?, disk_bytes(&data.join("state"))?));
    let began = Instant::now();
    let mut before = sizes()?;
    while began.elapsed() < SETTLING {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = sizes()?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
    eprintln!("the data directory still changes after {SETTLING:?}");
    Ok(before)
}

/// How long reports over a week take, seen from outside.
async fn reports(url: &str) -> anyhow::Result<Histogram<u64>> {
    let channel = connect(url, 1).await?.pop().context("no connection")?;
    let mut client = InsightsServiceClient::new(channel);
    let mut latency_ns = histogram()?;
    for _ in 0..REPORTS {
        let request =
            pb::GetInsightsRequest { lookback_hours: Some(LOOKBACK_HOURS), ..pb::GetInsightsRequest::default() };
        let began = Instant::now();
        client.get_insights(request).await?;
        latency_ns.record(began.elapsed().as_nanos() as u64)?;
    }
    Ok(latency_ns)
}

/// Ends the daemon as `kill -9` does while it is answering.
pub(crate) async fn kill_busy(daemon: Process) -> anyhow::Result<()> {
    let channels = connect(&daemon.url, 1).await?;
    let callers = (0..8).map(|_| Policy::new(channels[0].clone(), 10)).collect();
    let bounds = Bounds { time: Duration::from_secs(60), calls: u64::MAX };
    let busy = tokio::spawn(closed_loops(callers, bounds));
    tokio::time::sleep(BUSY).await;
    ensure!(!busy.is_finished(), "the daemon refused calls before it was killed");
    daemon.kill()?;
    // It fails, as its server is gone.
    let _ = busy.await?;
    Ok(())
}

/// What the daemon tells of itself.
pub(crate) async fn status(url: &str) -> anyhow::Result<pb::GetStatusResponse> {
    let channel = connect(url, 1).await?.pop().context("no connection")?;
    let answer = AdminServiceClient::new(channel).get_status(pb::GetStatusRequest {}).await?;
    Ok(answer.into_inner())
}
