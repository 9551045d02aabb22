//! The daemon: opens the record, folds what is new, wires the edges to the service, and stops in order
//! (not serving → drain → sync → exit). It decides nothing itself.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::clock::{self, SteadyClock};
use crate::config::{BudgetsAsWritten, Settings};
pub use crate::data_format::FORMAT;
use crate::data_format::{FORMAT_AT_FIRST, FORMAT_FILE, write_durably};
use crate::domain::catalog::Catalog;
use crate::domain::goal::GoalRules;
use crate::domain::token::TokenKey;
use crate::engine::Engine;
use crate::journal::{Journal, JournalError, JournalOptions, JournalReader};
use crate::posting;
use crate::service::{About, Parts, Reread, Service, disk_is_low};
use crate::state::{CatchUpError, Standing, StoreError, bring_up};
use crate::webhook::Target;
use crate::webhook_secret::WebhookSecret;

/// "File size limit exceeded" on Linux.
const SIGXFSZ: i32 = 25;

/// The pause between two rounds of maintenance at most.
const MAINTENANCE_MS_MAX: u64 = 200;

/// A catalogue with its text and where it was read.
pub struct LoadedCatalog {
    /// The catalogue.
    pub catalog: Catalog,
    /// Its text.
    pub text: String,
    /// Where it was read: a path, or "built in".
    pub origin: String,
}

/// What a reload read, as written.
pub struct Reloaded {
    /// The catalogue.
    pub catalog: Catalog,
    /// Its text.
    pub text: String,
    /// The budgets.
    pub budgets: BudgetsAsWritten,
    /// The rules of goals.
    pub goal_rules: GoalRules,
    /// What to warn of.
    pub warnings: Vec<String>,
}

/// What the daemon tells when it is ready to answer.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Address it answers on.
    pub address: SocketAddr,
    /// Data directory.
    pub data_dir: PathBuf,
    /// One line about the catalogue.
    pub catalog_summary: String,
    /// Last fact of the record.
    pub last_seq: u64,
    /// Facts folded at this start because the state lacked them.
    pub folded: u64,
    /// Bytes of a torn, never acknowledged write that were dropped.
    pub dropped_tail_bytes: u64,
    /// Whether the state was built anew from the record.
    pub rebuilt: bool,
}

/// Runs the daemon until it is told to stop; `reload` reads the catalogue again, `on_ready` is told when it answers.
///
/// # Errors
/// What kept it from starting or from stopping in order.
pub fn run(
    settings: &Settings,
    catalogue: &LoadedCatalog,
    webhook_secret: Option<&WebhookSecret>,
    reload: impl Fn() -> Result<Reloaded, String> + Send + Sync + 'static,
    on_ready: impl FnOnce(&Ready),
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // A file-size limit is told by SIGXFSZ, whose default ends the process; with a handler the write fails instead.
    let _file_size = {
        let _inside = runtime.enter();
        signal(SignalKind::from_raw(SIGXFSZ))
    };
    let listener = runtime
        .block_on(TcpListener::bind(settings.server.listen))
        .with_context(|| format!("cannot listen on {}", settings.server.listen))?;
    let address = listener.local_addr()?;
    let (service, clock, ready) = open(settings, catalogue, Box::new(reload), address)?;
    let posting = match &settings.alerts.webhook_url {
        Some(url) => {
            let alerts = &settings.alerts;
            let secret = webhook_secret.map(WebhookSecret::bytes);
            let target = Target::new(url, secret, alerts.webhook_timeout_ms, alerts.webhook_retry_for_ms);
            let target = target.map_err(|why| anyhow::anyhow!("alerts.webhook_url: {why}"))?;
            let (service, data_dir) = (service.clone(), settings.ledger.data_dir.clone());
            Some(runtime.spawn(async move { posting::run(service, target, clock, &data_dir).await }))
        }
        None => None,
    };
    let result = runtime.block_on(serve(settings, &service, listener, || on_ready(&ready)));
    if let Some(posting) = posting {
        posting.abort();
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    result?;
    match Arc::into_inner(service) {
        Some(service) => {
            service.shutdown(Duration::from_secs(30)).context("could not write everything down")?;
            tracing::info!("stopped: everything is on disk");
            Ok(())
        }
        None => bail!("a request did not end; the record is whole, the next start checks the state"),
    }
}

/// Opens the record and everything that hangs on it.
fn open(
    settings: &Settings,
    loaded: &LoadedCatalog,
    reload: Box<dyn Fn() -> Result<Reloaded, String> + Send + Sync>,
    address: SocketAddr,
) -> anyhow::Result<(Arc<Service>, Arc<SteadyClock>, Ready)> {
    let data_dir = &settings.ledger.data_dir;
    prepare(data_dir)?;
    let (usual, segment_bytes) = (JournalOptions::default(), settings.ledger.segment_bytes);
    let headroom_bytes = usual.headroom_bytes.min(segment_bytes / 4);
    let options = JournalOptions { segment_bytes, headroom_bytes, ..usual };
    let (journal, report) = Journal::open(&data_dir.join("journal"), options)?;
    let (token_key, root_seed) = keys(data_dir, report.last_seq == 0)?;
    let reader = JournalReader::open(&data_dir.join("journal"))?;
    let Standing { state, store, stored_seq, folded, rebuilt, restored_seq, set_aside } =
        standing(data_dir, report.last_seq, &reader)?;
    if let Some((why, aside)) = &set_aside {
        tracing::warn!(%why, aside = %aside.display(), "the state was set aside; it is built anew from the record");
    }
    if restored_seq > 0 {
        tracing::info!(restored_seq, "the state was built on the snapshot of the record up to that event");
    }
    if let Err(why) = &store {
        tracing::error!(%why, "there is no store: everything is held in memory");
    }
    if state.applied_seq != report.last_seq {
        bail!("the record ends at event {}, but could be folded only up to {}", report.last_seq, state.applied_seq);
    }
    let clock = Arc::new(SteadyClock::start(clock::wall(), state.last_at, settings.ledger.max_clock_behind_ms)?);
    let mut engine = Engine::new(state, Arc::new(loaded.catalog.clone()), root_seed);
    engine.use_budgets(Arc::new(settings.budgets.conceal(&token_key)), Arc::new(settings.goal_rules.clone()));
    let conceals = token_key.clone();
    let catalog_source = Box::new(move || {
        let Reloaded { catalog, text, budgets, goal_rules, warnings } = reload()?;
        Ok(Reread { catalog, text, budgets: budgets.conceal(&conceals), goal_rules, warnings })
    });
    let about = About { data_dir: data_dir.clone(), addresses: vec![address.to_string()] };
    let service = Service::new(Parts {
        engine,
        journal,
        reader,
        store,
        stored_seq,
        beginning: Some(loaded.text.clone()),
        clock: clock.clone(),
        token_key,
        max_pending_bytes: settings.ledger.max_pending_bytes,
        retention_ms: settings.ledger.retention_ms,
        checkpoint_interval_ms: settings.ledger.checkpoint_interval_ms,
        catalog_source,
        about,
    });
    service.maintain()?;
    if let Err(why) = service.ready() {
        tracing::warn!(%why, "nothing is taken yet; what is known is answered");
    }
    let ready = Ready {
        address,
        data_dir: data_dir.clone(),
        catalog_summary: format!("{} ({})", loaded.catalog.summary(), loaded.origin),
        last_seq: service.last_seq(),
        folded,
        dropped_tail_bytes: report.dropped_tail_bytes,
        rebuilt,
    };
    Ok((Arc::new(service), clock, ready))
}

/// The state up to the end of the record. Where there is no room to store it, it is held in memory, so that a daemon on a
/// full disk starts and answers what it knows.
fn standing(data_dir: &Path, last_seq: u64, reader: &JournalReader) -> anyhow::Result<Standing> {
    let dir = data_dir.join("state");
    let read = |from| {
        let entries = reader.read_from(from)?;
        Ok::<_, JournalError>(entries.map(|entry| entry.map(|entry| (entry.seq, entry.payload))))
    };
    if !disk_is_low(data_dir) {
        match bring_up::stored(&dir, &data_dir.join("journal"), last_seq, read) {
            Err(CatchUpError::Store(why @ (StoreError::NoRoom(_) | StoreError::Broken(_)))) => {
                tracing::error!(%why, "the state cannot be stored; what it lacks is held in memory");
            }
            told => return Ok(told?),
        }
    }
    Ok(bring_up::in_memory(&dir, last_seq, read)?)
}

/// Makes sure that the directory is one of ours and can be written.
fn prepare(data_dir: &Path) -> anyhow::Result<()> {
    let shown = data_dir.display();
    fs::create_dir_all(data_dir).with_context(|| format!("cannot create the data directory {shown}"))?;
    let format = data_dir.join(FORMAT_FILE);
    match fs::read_to_string(&format) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found <= FORMAT => {}
            Ok(found) => bail!(
                "the data directory {shown} has format {found}; this program knows {FORMAT}. Use a newer version of \
                 the program; nothing was touched"
            ),
            Err(_) => bail!("{} does not hold a format number; is {shown} a data directory?", format.display()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if data_dir.join("journal").exists() {
                bail!(
                    "{shown} holds a journal but no FORMAT file; restore it (its content is {FORMAT_AT_FIRST}, or {FORMAT} where there is a snapshot or a packed segment) or the copy"
                );
            }
            let bytes = format!("{FORMAT_AT_FIRST}\n");
            write_durably(data_dir, FORMAT_FILE, bytes.as_bytes())
                .with_context(|| format!("the data directory {shown} cannot be written"))?;
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", format.display())),
    }
    let probe = data_dir.join(".probe");
    let written = fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe));
    match written {
        // A full disk passes, and what is known can be read meanwhile.
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => Ok(()),
        told => told.with_context(|| format!("the data directory {shown} cannot be written")),
    }
}

/// The key that authenticates ids, and the seed of all draws; made once.
fn keys(data_dir: &Path, new: bool) -> anyhow::Result<(TokenKey, u64)> {
    let path = data_dir.join("key");
    let bits: [u8; 32] = match fs::read(&path) {
        Ok(bytes) => match bytes.try_into() {
            Ok(bits) => bits,
            Err(_) => {
                bail!("{} must hold 32 bytes; restore it from a copy: ids handed out depend on it", path.display())
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound && !new => bail!(
            "{} is missing beside a record that was made with it; restore it from a copy: ids handed out depend on it",
            path.display()
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut bits = [0; 32];
            getrandom::fill(&mut bits).map_err(|e| anyhow::anyhow!("no random numbers to be had: {e}"))?;
            write_durably(data_dir, "key", &bits)?;
            bits
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let seed = blake3::derive_key("oddsmaker 2026 root seed of draws", &bits);
    let mut first = [0; 8];
    first.copy_from_slice(&seed[..8]);
    Ok((TokenKey::new(bits), u64::from_le_bytes(first)))
}

async fn serve(
    settings: &Settings,
    service: &Arc<Service>,
    listener: TcpListener,
    on_ready: impl FnOnce(),
) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(None::<Option<String>>);
    // Whatever ends this function ends maintenance too, or the process would hang.
    let _guard = StopOnDrop(stop.clone());
    let address = listener.local_addr()?;
    let (edges, health) = crate::edges::edges(service.clone(), &settings.server, address);
    let maintenance = maintain(service.clone(), settings.ledger.checkpoint_interval_ms, stop.clone());
    let mut signals = StopSignals::listen().context("cannot listen for SIGTERM")?;
    on_ready();
    let draining = {
        let (service, health) = (service.clone(), health.clone());
        let mut stopped = stopped.clone();
        async move {
            tokio::select! {
                () = signals.told() => tracing::info!("told to stop: draining"),
                _ = stopped.wait_for(Option::is_some) => {}
            }
            health.not_serving().await;
            service.stop_taking("the daemon is stopping");
        }
    };
    crate::server::run(listener, edges, &settings.server, draining).await;
    stop.send_if_modified(|s| s.is_none().then(|| *s = Some(None)).is_some());
    let maintained = maintenance.await;
    let failure = stopped.borrow().clone().flatten();
    match failure {
        Some(why) => bail!("stopped because {why}"),
        None => Ok(maintained?),
    }
}

/// Tells maintenance to end.
struct StopOnDrop(watch::Sender<Option<Option<String>>>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.send_if_modified(|s| s.is_none().then(|| *s = Some(None)).is_some());
    }
}

/// Stops the daemon when the thread it lives on panics: without maintenance nothing expires and nothing is stored.
struct StopOnPanic(watch::Sender<Option<Option<String>>>);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let why = "its maintenance ended by a fault of the program; the record is whole".to_owned();
            self.0.send_replace(Some(Some(why)));
        }
    }
}

/// Expires decisions and writes checkpoints until told to stop; a journal that failed stops the daemon.
fn maintain(
    service: Arc<Service>,
    interval_ms: i64,
    stop: watch::Sender<Option<Option<String>>>,
) -> tokio::task::JoinHandle<()> {
    // Half of it, or a checkpoint that is due a moment after a round would wait for as long again.
    let pause = Duration::from_millis(u64::try_from(interval_ms / 2).unwrap_or(0).clamp(1, MAINTENANCE_MS_MAX));
    repeat(pause, stop, move || {
        service.maintain().map_err(|error| format!("the record can no longer be written: {error}"))
    })
}

/// Does `work` until told to stop, a `pause` apart, on a thread of its own; where it fails or panics, the daemon stops.
fn repeat(
    pause: Duration,
    stop: watch::Sender<Option<Option<String>>>,
    work: impl Fn() -> Result<(), String> + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    tokio::task::spawn_blocking(move || {
        let _told = StopOnPanic(stop.clone());
        while stop.borrow().is_none() {
            let began = Instant::now();
            if let Err(why) = work() {
                stop.send_replace(Some(Some(why)));
                return;
            }
            std::thread::sleep(pause.saturating_sub(began.elapsed()).max(Duration::from_millis(1)));
        }
    })
}

/// The signals that stop the daemon; listened for from the moment they are made.
struct StopSignals(Signal, Signal);

impl StopSignals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self(signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    }

    /// Resolves on SIGTERM or SIGINT.
    async fn told(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why the daemon stops when maintenance does `work`.
    async fn stopped_by(work: impl Fn() -> Result<(), String> + Send + 'static) -> Option<String> {
        let (stop, mut stopped) = watch::channel(None);
        let ended = repeat(Duration::ZERO, stop, work).await;
        let why = stopped.wait_for(Option::is_some).await.unwrap().clone().flatten();
        assert_eq!(ended.is_err(), why.as_ref().is_some_and(|why| why.contains("fault of the program")));
        why
    }

    #[tokio::test]
    async fn maintenance_that_fails_or_panics_stops_the_daemon_and_says_why() {
        assert_eq!(stopped_by(|| Err("the disk is gone".to_owned())).await.as_deref(), Some("the disk is gone"));
        let panicked = stopped_by(|| panic!("no sync")).await.unwrap();
        assert!(panicked.starts_with("its maintenance ended by a fault of the program"), "{panicked}");
    }
}
