//! All kinds of calls in turn, each between two loops of the echo: a ratio is taken against the mean of the echo just
//! before and just after, and the median over the rounds is printed. Two shared cores are noisy; ratios of neighbours
//! are less so.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use oddsmaker::journal::{Journal, JournalOptions};
use oddsmaker::wire::pb::router_service_client::RouterServiceClient;
use prost::Message as _;
use tonic::transport::Channel;

use crate::args::{Args, Mode};
use crate::callers::{DecisionIds, Echo, Log, Outcome, Policy, connect};
use crate::drive::{Bounds, Measured, blocking_writers, closed_loops, histogram, one_stream};
use crate::process::{Process, temporary};
use crate::table::{Table, digits, digits_or_dash, median};
use crate::{catalogue, requests};

/// Bytes of an event in the journal measured alone: about what an outcome takes.
const LOG_EVENT_BYTES: usize = 64;

/// Most events written to it in one loop.
const LOG_EVENTS_MAX: u64 = 2_000_000;

/// Calls at once while decisions are made that only serve to have ids.
const PREPARING_AT_ONCE: usize = 64;

/// A process is at rest when it used less than 10 % of a core for this long.
const REST: Duration = Duration::from_millis(300);

/// Longest wait for rest.
const REST_PATIENCE: Duration = Duration::from_secs(10);

/// Measures and prints.
///
/// # Errors
/// A process could not be started, or a call failed.
pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let mut table = Table::new(&[
        "kind",
        "at once",
        "calls/s",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "× echo",
        "p99 × echo's",
        "× journal, tasks",
        "× journal, threads",
        "server processor µs a call",
    ]);
    for at_once in &args.concurrency {
        let rows = Bench::start(args, *at_once).await?.run().await?;
        print_rows(&mut table, *at_once, &rows)?;
    }
    table.print();
    Ok(())
}

/// Everything at one concurrency, on a fresh data directory.
struct Bench<'a> {
    args: &'a Args,
    at_once: usize,
    bounds: Bounds,
    daemon: Process,
    echo: Process,
    request_bytes: usize,
    /// Connections to the daemon and to the echo.
    channels: Vec<Channel>,
    echoes: Vec<Channel>,
    journal: Arc<Journal>,
    /// Decisions made with keys so far, so that each key is new.
    keyed: u64,
    /// Calls a second of the echo while warming up: how many decisions a loop of outcomes may need.
    echo_rate: f64,
    _folder: tempfile::TempDir,
}

/// What one kind came to over the rounds.
struct Row {
    mode: Option<Mode>,
    rates: Vec<f64>,
    latency_ns: Histogram<u64>,
    calls: u64,
    processor_seconds: f64,
    to_echo: Vec<f64>,
}

impl Row {
    fn new(mode: Option<Mode>) -> anyhow::Result<Self> {
        let (rates, to_echo, latency_ns) = (Vec::new(), Vec::new(), histogram()?);
        Ok(Self { mode, rates, latency_ns, calls: 0, processor_seconds: 0.0, to_echo })
    }

    fn add(&mut self, measured: &Measured, processor_seconds: f64) -> anyhow::Result<()> {
        self.rates.push(measured.rate());
        self.latency_ns.add(&measured.latency_ns)?;
        self.calls += measured.calls;
        self.processor_seconds += processor_seconds;
        Ok(())
    }
}

impl<'a> Bench<'a> {
    async fn start(args: &'a Args, at_once: usize) -> anyhow::Result<Self> {
        let folder = temporary(args.folder.as_deref())?;
        let models = folder.path().join("models.toml");
        std::fs::write(&models, catalogue::text(&[10, 50]))?;
        let daemon = Process::daemon(args.daemon.as_deref(), &folder.path().join("data"), &models)?;
        let channels = connect(&daemon.url, at_once.min(args.connections)).await?;
        let (request_bytes, response_bytes) = message_sizes(&channels).await?;
        let echo = Process::echo(response_bytes)?;
        let echoes = connect(&echo.url, at_once.min(args.connections)).await?;
        let journal = open_journal(&folder.path().join("log"))?;
        eprintln!(
            "{at_once} at once over {} connections; GetPolicy of 10: request {request_bytes} bytes, response \
             {response_bytes}; journal events {LOG_EVENT_BYTES}",
            channels.len()
        );
        let time = Duration::from_secs_f64(args.seconds / f64::from(args.rounds));
        let bounds = Bounds { time, calls: args.calls };
        let (journal, keyed) = (Arc::new(journal), 0);
        Ok(Self {
            args,
            at_once,
            bounds,
            daemon,
            echo,
            request_bytes,
            channels,
            echoes,
            journal,
            keyed,
            echo_rate: 0.0,
            _folder: folder,
        })
    }

    async fn run(mut self) -> anyhow::Result<Vec<Row>> {
        let modes = self.args.modes();
        let mut echo = Row::new(None)?;
        let mut rows: Vec<Row> = modes.iter().map(|mode| Row::new(Some(*mode))).collect::<Result<_, _>>()?;
        self.warm_up().await?;
        for round in 1..=self.args.rounds {
            eprintln!("{} at once, round {round} of {}", self.at_once, self.args.rounds);
            let mut before = None;
            for (row, mode) in rows.iter_mut().zip(&modes) {
                let ids = self.prepare(*mode).await?;
                let lead = match before {
                    Some(rate) if ids.is_empty() => rate,
                    _ => self.echo(&mut echo).await?,
                };
                self.measure(*mode, ids, row).await?;
                let after = self.echo(&mut echo).await?;
                let rate = row.rates.last().copied().unwrap_or(0.0);
                row.to_echo.push(rate / ((lead + after) / 2.0));
                before = Some(after);
            }
            if modes.is_empty() {
                self.echo(&mut echo).await?;
            }
        }
        rows.insert(0, echo);
        Ok(rows)
    }

    /// Connections, caches and the first checkpoint are not what is measured.
    async fn warm_up(&mut self) -> anyhow::Result<()> {
        let bounds = Bounds { time: Duration::from_millis(300), ..self.bounds };
        self.echo_rate = closed_loops(self.echo_callers(), bounds).await?.rate();
        closed_loops(self.callers(|channel| Policy::new(channel, 10)), bounds).await?;
        closed_loops(self.callers(|channel| Policy::new(channel, 50)), bounds).await?;
        self.rest(&self.daemon).await
    }

    /// A loop of the echo; its rate.
    async fn echo(&self, row: &mut Row) -> anyhow::Result<f64> {
        let before = self.echo.processor_seconds()?;
        let measured = closed_loops(self.echo_callers(), self.bounds).await?;
        row.add(&measured, self.echo.processor_seconds()? - before)?;
        Ok(measured.rate())
    }

    /// Decisions for kinds that report on them; none for the others.
    async fn prepare(&self, mode: Mode) -> anyhow::Result<Arc<Vec<String>>> {
        let most_per_echo = match mode {
            Mode::Outcome => 1.5,
            Mode::OutcomeStream => 4.0,
            _ => return Ok(Arc::default()),
        };
        let needed = (self.echo_rate * self.bounds.time.as_secs_f64() * most_per_echo).ceil() as u64;
        let ids = DecisionIds::default();
        let callers = (0..PREPARING_AT_ONCE.max(self.at_once)).map(|index| {
            let channel = self.channels[index % self.channels.len()].clone();
            Policy::new(channel, 10).kept_in(ids.clone())
        });
        let bounds = Bounds { time: self.args.limit(), calls: needed.clamp(1, self.bounds.calls) };
        closed_loops(callers.collect(), bounds).await?;
        self.rest(&self.daemon).await?;
        let ids = std::mem::take(&mut *ids.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Arc::new(ids))
    }

    /// A loop of one kind. The daemon's processor time includes what it writes down afterwards.
    async fn measure(&mut self, mode: Mode, ids: Arc<Vec<String>>, row: &mut Row) -> anyhow::Result<()> {
        let before = self.daemon.processor_seconds()?;
        let measured = match mode {
            Mode::Policy10 => closed_loops(self.callers(|c| Policy::new(c, 10)), self.bounds).await?,
            Mode::Policy50 => closed_loops(self.callers(|c| Policy::new(c, 50)), self.bounds).await?,
            Mode::PolicyKeyed => {
                self.keyed += 1;
                let prefix = format!("round-{:04}", self.keyed);
                closed_loops(self.callers(|c| Policy::new(c, 10).keyed(prefix.clone())), self.bounds).await?
            }
            Mode::Outcome => {
                let bounds = Bounds { calls: ids.len() as u64, ..self.bounds };
                closed_loops(self.callers(|c| Outcome::new(c, ids.clone())), bounds).await?
            }
            Mode::OutcomeStream => one_stream(self.channels[0].clone(), &ids, self.at_once, self.bounds.time).await?,
            Mode::Log => {
                let callers = (0..self.at_once).map(|_| Log::new(self.journal.clone(), LOG_EVENT_BYTES));
                closed_loops(callers.collect(), self.log_bounds()).await?
            }
            Mode::LogThreads => {
                let (journal, writers, bounds) = (self.journal.clone(), self.at_once, self.log_bounds());
                let loops = move || blocking_writers(&journal, writers, &[7; LOG_EVENT_BYTES], bounds);
                tokio::task::spawn_blocking(loops).await??
            }
        };
        self.rest(&self.daemon).await?;
        row.add(&measured, self.daemon.processor_seconds()? - before)
    }

    fn log_bounds(&self) -> Bounds {
        Bounds { calls: LOG_EVENTS_MAX, ..self.bounds }
    }

    fn callers<C>(&self, make: impl Fn(Channel) -> C) -> Vec<C> {
        (0..self.at_once).map(|index| make(self.channels[index % self.channels.len()].clone())).collect()
    }

    fn echo_callers(&self) -> Vec<Echo> {
        let channel = |index: usize| self.echoes[index % self.echoes.len()].clone();
        (0..self.at_once).map(|index| Echo::new(channel(index), self.request_bytes)).collect()
    }

    /// Waits until a process has nothing left to do, so that it takes nothing from what is measured next.
    async fn rest(&self, process: &Process) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < REST_PATIENCE {
            let before = process.processor_seconds()?;
            tokio::time::sleep(REST).await;
            if process.processor_seconds()? - before <= REST.as_secs_f64() / 10.0 {
                return Ok(());
            }
        }
        eprintln!(
            "the daemon did not come to rest within {REST_PATIENCE:?}; the figures that follow share the cores with it"
        );
        Ok(())
    }
}

/// Encoded sizes of a request for 10 candidates and of its answer.
async fn message_sizes(channels: &[Channel]) -> anyhow::Result<(usize, usize)> {
    let channel = channels.first().context("no connection")?;
    let request = requests::policy(10, None);
    let bytes = request.encoded_len();
    let answer = RouterServiceClient::new(channel.clone()).get_policy(request).await?.into_inner();
    Ok((bytes, answer.encoded_len()))
}

fn open_journal(folder: &Path) -> anyhow::Result<Journal> {
    let (journal, _) = Journal::open(folder, JournalOptions::default())?;
    Ok(journal)
}

fn print_rows(table: &mut Table, at_once: usize, rows: &[Row]) -> anyhow::Result<()> {
    let echo_p99 = rows.first().context("no rows")?.latency_ns.value_at_quantile(0.99) as f64;
    for row in rows {
        let micros = |quantile: f64| row.latency_ns.value_at_quantile(quantile) as f64 / 1e3;
        let durable = matches!(row.mode, Some(Mode::PolicyKeyed | Mode::Outcome | Mode::OutcomeStream));
        let to_log = |mode: Mode| {
            let log = rows.iter().find(|row| row.mode == Some(mode)).filter(|_| durable)?;
            median(&row.rates.iter().zip(&log.rates).map(|(rate, log)| rate / log).collect::<Vec<f64>>())
        };
        let served = !matches!(row.mode, Some(Mode::Log | Mode::LogThreads));
        let is_echo = row.mode.is_none();
        table.row(vec![
            name(row.mode).to_owned(),
            at_once.to_string(),
            digits_or_dash(median(&row.rates)),
            digits(micros(0.50)),
            digits(micros(0.99)),
            digits(micros(0.999)),
            digits_or_dash(if is_echo { Some(1.0) } else { median(&row.to_echo).filter(|_| served) }),
            digits_or_dash(served.then(|| micros(0.99) * 1e3 / echo_p99)),
            digits_or_dash(to_log(Mode::Log)),
            digits_or_dash(to_log(Mode::LogThreads)),
            digits_or_dash(served.then(|| row.processor_seconds * 1e6 / row.calls.max(1) as f64)),
        ]);
    }
    Ok(())
}

fn name(mode: Option<Mode>) -> &'static str {
    match mode {
        None => "echo",
        Some(Mode::Policy10) => "GetPolicy, 10 candidates",
        Some(Mode::Policy50) => "GetPolicy, 50 candidates",
        Some(Mode::PolicyKeyed) => "GetPolicy, 10 candidates, durable (key)",
        Some(Mode::Outcome) => "RecordOutcome, durable",
        Some(Mode::OutcomeStream) => "RecordOutcomes, one stream, durable",
        Some(Mode::Log) => "journal alone, tasks",
        Some(Mode::LogThreads) => "journal alone, threads",
    }
}
