//! The service in this process under a clock that is played: a month of goals passes in minutes. Requests go the way they
//! go in the daemon, without the transport. The daemon can be started on the directory afterwards.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use oddsmaker::catalogue_source;
use oddsmaker::daemon::FORMAT;
use oddsmaker::domain::time::UnixMillis;
use oddsmaker::domain::token::TokenKey;
use oddsmaker::engine::Engine;
use oddsmaker::journal::{Journal, JournalError, JournalOptions, JournalReader};
use oddsmaker::service::{About, Clock, Parts, Service};
use oddsmaker::settings_source::SettingsSource;
use oddsmaker::state::bring_up;
use oddsmaker::wire::{Refusal, calls, calls_goals};
use tokio::task::JoinSet;

use crate::goal_plan::{By, CALLS, GoalPlan};

/// The pause between two rounds of maintenance: many, because time passes fast.
const MAINTENANCE: Duration = Duration::from_millis(5);

/// Any key will do; the daemon reads it from the directory.
const KEY: [u8; 32] = [7; 32];

/// Shows what it is set to.
#[derive(Default)]
struct PlayedClock(AtomicI64);

impl Clock for PlayedClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

/// Goals to be played.
pub(crate) struct Span {
    pub(crate) goals: u64,
    pub(crate) teams: u64,
    pub(crate) keyed: bool,
    /// When the first begins and the last ends, in milliseconds since 1970.
    pub(crate) from_ms: i64,
    pub(crate) until_ms: i64,
}

/// How the record is kept.
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    /// How long detail is kept, in milliseconds; 0: for ever.
    pub(crate) retention_ms: i64,
    /// Size of a segment.
    pub(crate) segment_bytes: u64,
}

/// A service on a new data directory.
pub(crate) struct Played {
    service: Arc<Service>,
    clock: Arc<PlayedClock>,
    stop: Arc<AtomicBool>,
    maintenance: JoinHandle<anyhow::Result<()>>,
}

impl Played {
    /// Makes the directory and opens a service on it; its clock stands at `from_ms`.
    pub(crate) fn open(data: &Path, models: &Path, settings: &Path, from_ms: i64, kept: Kept) -> anyhow::Result<Self> {
        std::fs::create_dir_all(data)?;
        std::fs::write(data.join("FORMAT"), format!("{FORMAT}\n"))?;
        std::fs::write(data.join("key"), KEY)?;
        let (journal, report) = Journal::open(
            &data.join("journal"),
            JournalOptions { segment_bytes: kept.segment_bytes, ..JournalOptions::default() },
        )?;
        let reader = JournalReader::open(&data.join("journal"))?;
        let read = |from| {
            let entries = reader.read_from(from)?;
            Ok::<_, JournalError>(entries.map(|entry| entry.map(|entry| (entry.seq, entry.payload))))
        };
        let standing = bring_up::stored(&data.join("state"), &data.join("journal"), report.last_seq, read)?;
        let (loaded, token_key) = (catalogue_source::load(Some(models))?, TokenKey::new(KEY));
        let source = SettingsSource { file: Some(settings.to_owned()), flags: Vec::new() };
        let settings = source.read()?.configured.settings;
        let mut engine = Engine::new(standing.state, Arc::new(loaded.catalog), 7);
        engine.use_budgets(Arc::new(settings.budgets.conceal(&token_key)), Arc::new(settings.goal_rules));
        let clock = Arc::new(PlayedClock(AtomicI64::new(from_ms)));
        let service = Arc::new(Service::new(Parts {
            engine,
            journal,
            reader,
            store: standing.store,
            stored_seq: standing.stored_seq,
            beginning: Some(loaded.text),
            clock: clock.clone(),
            token_key,
            max_pending_bytes: settings.ledger.max_pending_bytes,
            retention_ms: kept.retention_ms,
            checkpoint_interval_ms: settings.ledger.checkpoint_interval_ms,
            catalog_source: Box::new(|| Err("it is not read again".to_owned())),
            about: About { data_dir: data.to_owned(), addresses: Vec::new() },
        }));
        service.maintain()?;
        let stop = Arc::new(AtomicBool::new(false));
        let maintenance = thread::spawn({
            let (service, stop) = (service.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    service.maintain()?;
                    thread::sleep(MAINTENANCE);
                }
                anyhow::Ok(())
            }
        });
        Ok(Self { service, clock, stop, maintenance })
    }

    /// Plays the goals, `at_once` of them at a time; tells how far it is meanwhile. Returns when each tenth was begun.
    pub(crate) async fn play(&self, span: Span, at_once: usize) -> anyhow::Result<Vec<Duration>> {
        let (span, next) = (Arc::new(span), Arc::new(AtomicU64::new(0)));
        let watch = tokio::spawn(tenths(next.clone(), span.goals));
        let mut running = JoinSet::new();
        for _ in 0..at_once {
            let (service, clock, span, next) = (self.service.clone(), self.clock.clone(), span.clone(), next.clone());
            running.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= span.goals {
                        return anyhow::Ok(());
                    }
                    let passed = i128::from(span.until_ms - span.from_ms) * i128::from(number) / i128::from(span.goals);
                    clock.0.fetch_max(span.from_ms + passed as i64, Ordering::Relaxed);
                    goal(&service, GoalPlan::new(number, span.teams, span.keyed), CALLS).await?;
                }
            });
        }
        while let Some(done) = running.join_next().await {
            done??;
        }
        Ok(watch.await?)
    }

    /// Plays one goal with that many calls.
    pub(crate) async fn play_one(&self, plan: GoalPlan, calls: u64) -> anyhow::Result<()> {
        goal(&self.service, plan, calls).await
    }

    /// Makes everything durable and closes the directory.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.maintenance.join().map_err(|_| anyhow!("maintenance panicked"))??;
        let service = Arc::into_inner(self.service).context("the service is still in use")?;
        Ok(service.shutdown(Duration::from_secs(60))?)
    }
}

/// When each tenth of the goals was begun, the last when none was left.
async fn tenths(next: Arc<AtomicU64>, goals: u64) -> Vec<Duration> {
    let began = Instant::now();
    let mut marks = Vec::new();
    while marks.len() < 10 {
        let wanted = (goals * (marks.len() as u64 + 1)).div_ceil(10);
        while next.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        marks.push(began.elapsed());
        eprintln!("{wanted} goals after {:.1} s", began.elapsed().as_secs_f64());
    }
    marks
}

/// One goal from its first call to its end. A step that fails is tried again, then given up.
async fn goal(service: &Service, plan: GoalPlan, calls: u64) -> anyhow::Result<()> {
    let (mut succeeded, mut failed) = (0, 0);
    for call in 0..calls {
        let step = GoalPlan::step(succeeded);
        let outcome = match step.by {
            By::Model(task) => {
                let answer = calls::get_policy(service, plan.policy(call, step, task)).await.map_err(refused)?;
                ensure!(answer.proceed, "no model was chosen: {}", answer.reason);
                plan.model_outcome(call, &answer)
            }
            By::Gated(tool) => {
                let answer = calls_goals::gate_step(service, plan.gate(call, step, tool)).await.map_err(refused)?;
                if !answer.proceed {
                    // The advice is to try no more.
                    (succeeded, failed) = (succeeded + 1, 0);
                    continue;
                }
                plan.gated_outcome(call, answer.hold_id)
            }
            By::Tool(tool) => plan.tool_outcome(call, step, tool),
        };
        let success = outcome.success == Some(true);
        calls::record_outcome(service, outcome).await.map_err(refused)?;
        failed = if success { 0 } else { failed + 1 };
        if success || failed == 3 {
            (succeeded, failed) = (succeeded + 1, 0);
        }
    }
    if let Some(end) = plan.end() {
        calls_goals::complete_goal(service, end).await.map_err(refused)?;
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err wants it")]
fn refused(refusal: Refusal) -> anyhow::Error {
    anyhow!("{refusal:?}")
}
