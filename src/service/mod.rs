//! One request, whole: decide or validate → journal → apply → answer. What both edges call, and the only thing that
//! reaches the engine. It knows no protocol.

mod admin;
pub mod admin_reply;
mod budgets;
mod compaction;
mod decided;
mod explain;
pub mod goal_reply;
mod goals;
mod listing;
mod packing;
mod receipts;
mod reply;
mod shelf;
mod snapshots;
mod upkeep;
mod what_if;
mod what_if_draws;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use goal_reply::BudgetStanding;
pub use reply::{CandidateReply, INTERVAL_LEVEL, OutcomeReply, PolicyReply, PosteriorReply, VoidReply};

use crate::domain::beta::BetaGrid;
use crate::domain::call::{Call, CallNo, CallRef, CallTraits};
use crate::domain::event::{Body, Event};
use crate::domain::outcome::{DecisionRef, OutcomeReport};
use crate::domain::request::PolicyRequest;
use crate::domain::time::UnixMillis;
use crate::domain::token::{TokenKey, TokenKind};
use crate::engine::{Amendment, Engine, EngineError, Recorded, hydrate, posterior_of};
use crate::insights;
use crate::journal::{CommitWaiter, Journal, JournalError, JournalReader, codec};
use crate::state::{SledStore, StoreError};
use compaction::Compacting;
use packing::Packed;
use shelf::Shelf;
use upkeep::Reopening;
pub(crate) use upkeep::disk_is_low;
pub use what_if::PolicyEvaluation;

/// Time, as an argument of everything.
pub trait Clock: Send + Sync {
    /// Now; never runs backwards, and does not follow jumps of the wall clock while the process runs.
    fn now(&self) -> UnixMillis;
}

/// How soon a caller may try again when the daemon is loaded.
const RETRY_AFTER_MS: u64 = 200;

/// Why a request was not answered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ServiceError {
    /// What was asked cannot be done.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The disk is full.
    #[error("{0}")]
    Full(String),
    /// It cannot be persisted or answered now.
    #[error("{why}")]
    Unavailable {
        /// What stands in the way.
        why: String,
        /// When to try again.
        retry_after_ms: u64,
    },
    /// Something that should not be.
    #[error("{0}")]
    Internal(String),
}

impl From<JournalError> for ServiceError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Full => Self::Full(error.to_string()),
            JournalError::Closed => Self::unavailable("the daemon is stopping"),
            other => Self::Unavailable { why: other.to_string(), retry_after_ms: 1_000 },
        }
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoRoom(_) => Self::Full(error.to_string()),
            other => Self::Unavailable { why: other.to_string(), retry_after_ms: 1_000 },
        }
    }
}

impl ServiceError {
    fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable { why: why.into(), retry_after_ms: RETRY_AFTER_MS }
    }
}

/// Everything a service is made of.
pub struct Parts {
    /// The engine over the state as of the end of the journal.
    pub engine: Engine,
    /// The record.
    pub journal: Journal,
    /// Read access to it.
    pub reader: JournalReader,
    /// The indexed state, or why there is none while `engine` holds everything.
    pub store: Result<SledStore, StoreError>,
    /// The last fact the store has.
    pub stored_seq: u64,
    /// Text of the catalogue, when the facts of the start are still to be written (by [`Service::maintain`]).
    pub beginning: Option<String>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Authenticates ids.
    pub token_key: TokenKey,
    /// Bytes not yet synced above which requests are refused.
    pub max_pending_bytes: u64,
    /// How long detail is kept, in milliseconds; 0: for ever.
    pub retention_ms: i64,
    /// Longest time between two checkpoints of the state while facts come.
    pub checkpoint_interval_ms: i64,
    /// Reads the catalogue again.
    pub catalog_source: CatalogSource,
    /// What status tells of the surroundings.
    pub about: About,
}

/// What status tells of the surroundings.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Data directory.
    pub data_dir: std::path::PathBuf,
    /// Addresses served.
    pub addresses: Vec<String>,
}

/// What a reload read: catalogue, budgets and rules of goals.
#[derive(Debug)]
pub struct Reread {
    /// The catalogue.
    pub catalog: crate::domain::catalog::Catalog,
    /// Its text.
    pub text: String,
    /// The budgets, their users concealed.
    pub budgets: crate::domain::budget::Budgets,
    /// The rules of goals.
    pub goal_rules: crate::domain::goal::GoalRules,
    /// What to warn of.
    pub warnings: Vec<String>,
}

/// Reads catalogue and configuration again, or says why not.
pub type CatalogSource = Box<dyn Fn() -> Result<Reread, String> + Send + Sync>;

/// The daemon's heart: one engine behind one lock, one journal behind it.
pub struct Service {
    engine: Mutex<Engine>,
    journal: Journal,
    reader: Arc<JournalReader>,
    /// One what-if question at a time: each takes a core for seconds.
    what_if: Arc<Semaphore>,
    shelf: Shelf,
    clock: Arc<dyn Clock>,
    token_key: TokenKey,
    max_pending_bytes: u64,
    retention_ms: i64,
    checkpoint_interval_ms: i64,
    /// When the last checkpoint was made.
    checkpoint_at_ms: AtomicI64,
    catalog_source: CatalogSource,
    about: About,
    started: Instant,
    stopping: ArcSwap<Option<String>>,
    reopening: Mutex<Reopening>,
    compacting: Mutex<Compacting>,
    packed: Mutex<Packed>,
    /// Since when detail was kept when it was last looked for segments that could go.
    snapshot_looked: Mutex<Option<UnixMillis>>,
    /// Held by whoever writes to the store.
    storing: Mutex<()>,
    /// Text of the catalogue while the facts of the start are not written.
    beginning: Mutex<Option<String>>,
    /// The facts of the start are written.
    begun: AtomicBool,
    /// The last fact the store has.
    stored_seq: AtomicU64,
    /// The last fact that gave a name its number: until it is synced, no id that uses the number may be handed out.
    named_seq: AtomicU64,
    /// The disk is nearly full: nothing is taken, and the store is left alone, until space returns.
    disk_low: AtomicBool,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("journal", &self.journal).finish_non_exhaustive()
    }
}

/// Resolves when what was written is safely on disk.
#[derive(Debug)]
pub struct Synced(Option<CommitWaiter>);

impl Synced {
    /// Waits for the disk.
    ///
    /// # Errors
    /// It cannot be made durable.
    pub async fn wait(self) -> Result<(), ServiceError> {
        match self.0 {
            Some(waiter) => Ok(waiter.await?),
            None => Ok(()),
        }
    }
}

/// An outcome or a correction that was taken and may not be on disk yet.
#[derive(Debug)]
pub struct Taken {
    reply: OutcomeReply,
    synced: Synced,
    /// The event that was answered first, where this repeats it and something was corrected since.
    first_seq: Option<u64>,
}

/// How a request for a decision is answered.
enum Decided {
    /// With a new decision.
    Now(Box<PolicyReply>, Synced),
    /// With the one that this event recorded.
    Before(u64, Synced),
}

impl Service {
    /// A service over its parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { engine, journal, reader, store, stored_seq, clock, beginning, .. } = parts;
        let Parts { token_key, max_pending_bytes, retention_ms, checkpoint_interval_ms, catalog_source, about, .. } =
            parts;
        Self {
            engine: Mutex::new(engine),
            journal,
            reader: Arc::new(reader),
            what_if: Arc::new(Semaphore::new(1)),
            shelf: Shelf::new(store),
            clock,
            token_key,
            max_pending_bytes,
            retention_ms,
            checkpoint_interval_ms,
            checkpoint_at_ms: AtomicI64::new(i64::MIN),
            catalog_source,
            about,
            started: Instant::now(),
            stopping: ArcSwap::from_pointee(None),
            reopening: Mutex::default(),
            compacting: Mutex::default(),
            packed: Mutex::default(),
            snapshot_looked: Mutex::default(),
            storing: Mutex::default(),
            begun: AtomicBool::new(beginning.is_none()),
            beginning: Mutex::new(beginning),
            stored_seq: AtomicU64::new(stored_seq),
            named_seq: AtomicU64::new(0),
            disk_low: AtomicBool::new(false),
        }
    }

    /// Authenticates ids and conceals users.
    #[must_use]
    pub fn token_key(&self) -> &TokenKey {
        &self.token_key
    }

    /// Decides which model a call should be given.
    ///
    /// # Errors
    /// See [`ServiceError`]; refusals that are part of the product are answers.
    pub async fn get_policy(&self, request: PolicyRequest) -> Result<PolicyReply, ServiceError> {
        match self.decide(&request)? {
            Decided::Now(reply, synced) => {
                synced.wait().await?;
                Ok(*reply)
            }
            Decided::Before(seq, synced) => {
                synced.wait().await?;
                self.decided_before(seq)
            }
        }
    }

    fn decide(&self, request: &PolicyRequest) -> Result<Decided, ServiceError> {
        self.accepting()?;
        let mut engine = self.engine.lock();
        // Read under the lock: facts then carry times that never run backwards.
        let now = self.clock.now();
        if let Some(key) = request.key
            && let Some((_, seq)) = self.sure(engine.used(&self.shelf, key))?
        {
            return Ok(Decided::Before(seq, Synced(Some(self.journal.commit_waiter()))));
        }
        hydrate::chain(&mut engine.state, &self.shelf, &request.goal_id);
        hydrate::chain(&mut engine.state, &self.shelf, &request.asked.parent_goal);
        let answer = self.sure(engine.decide(request, now))?;
        self.write(&mut engine, &answer.events)?;
        let charges = &answer.decided.charges;
        if !request.dry_run {
            self.raise_alerts(&mut engine, charges, &request.goal_id, now)?;
        }
        let lines = match charges.is_empty() || request.dry_run {
            true => answer.lines.clone(),
            false => engine.standing(charges, &request.goal_id),
        };
        let unsynced_names = self.named_seq.load(Ordering::Acquire) > self.journal.synced_seq();
        let must_sync = answer.must_sync || (unsynced_names && !request.dry_run);
        let synced = Synced(must_sync.then(|| self.journal.commit_waiter()));
        let catalog_version = engine.catalog().version().to_owned();
        drop(engine);
        let mut reply = explain::reply(&answer, catalog_version, request);
        reply.budgets = lines.iter().map(BudgetStanding::from).collect();
        if !request.dry_run {
            reply.decision_id = Some(self.decision_id(&answer.decided, now));
        }
        Ok(Decided::Now(Box::new(reply), synced))
    }

    /// Records an outcome; answers once it is on disk.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn record_outcome(&self, report: OutcomeReport) -> Result<OutcomeReply, ServiceError> {
        let taken = self.submit_outcome(&report)?;
        self.answer(taken).await
    }

    /// Takes an outcome, to be answered by [`Service::answer`].
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub fn submit_outcome(&self, report: &OutcomeReport) -> Result<Taken, ServiceError> {
        self.accepting()?;
        let mut engine = self.engine.lock();
        let now = self.clock.now();
        let recorded = self.sure(engine.record(&self.shelf, report, now))?;
        self.finish(engine, &recorded, now)
    }

    /// The answer to what was taken, once it is on disk; a repeat with its key gets the cost that was answered first.
    ///
    /// # Errors
    /// It cannot be made durable.
    pub async fn answer(&self, taken: Taken) -> Result<OutcomeReply, ServiceError> {
        let Taken { mut reply, synced, first_seq } = taken;
        synced.wait().await?;
        if let Some(settled) = first_seq.map(|seq| self.settled_before(seq)).transpose()? {
            (reply.cost, reply.cost_source, reply.overrun) = (settled.cost, settled.cost_source, settled.overrun);
        }
        Ok(reply)
    }

    /// Corrects an outcome; answers once it is on disk.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn amend(&self, amendment: Amendment) -> Result<OutcomeReply, ServiceError> {
        self.accepting()?;
        let taken = {
            let mut engine = self.engine.lock();
            let now = self.clock.now();
            let recorded = self.sure(engine.amend(&self.shelf, &amendment, now))?;
            self.finish(engine, &recorded, now)?
        };
        self.answer(taken).await
    }

    /// Declares the call of a decision or hold never made.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn void(&self, of: CallRef, by: &str, reason: &str) -> Result<VoidReply, ServiceError> {
        self.accepting()?;
        let (reply, synced) = {
            let mut engine = self.engine.lock();
            let now = self.clock.now();
            let event = self.sure(engine.void(&self.shelf, of, by, reason, now))?;
            self.write(&mut engine, event.as_slice())?;
            let told = engine.state.calls.get(&of.number).map(|c| (c.charges.clone(), c.goal.clone()));
            let (charges, goal) = told.unwrap_or_default();
            let budgets = engine.standing(&charges, &goal).iter().map(BudgetStanding::from).collect();
            let synced = Synced(Some(self.journal.commit_waiter()));
            (VoidReply { duplicate: event.is_none(), budgets }, synced)
        };
        synced.wait().await?;
        Ok(reply)
    }

    /// Figures over a window.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub fn insights(&self, query: &insights::Query) -> Result<insights::Report, ServiceError> {
        let mut engine = self.engine.lock();
        let calls = query.filters.goal_id.as_ref().map(|goal| self.calls_of(&mut engine, goal)).transpose()?;
        Ok(insights::report(&engine, calls.as_deref(), query, self.clock.now()))
    }

    fn calls_of(&self, engine: &mut Engine, goal: &str) -> Result<Vec<Call>, ServiceError> {
        let numbers: Vec<CallNo> = match hydrate::goal(&mut engine.state, &self.shelf, goal) {
            Some(goal) => goal.thread.entries.iter().map(|e| e.order.number).collect(),
            None => Vec::new(),
        };
        let call = |n: &CallNo| hydrate::call(&mut engine.state, &self.shelf, *n).cloned();
        let calls = numbers.iter().filter_map(call).collect();
        let shut = |why: StoreError| ServiceError::Unavailable { why: why.to_string(), retry_after_ms: 1_000 };
        self.shelf.readable().map_err(shut)?;
        Ok(calls)
    }

    /// A refusal that rests on what the store does not hold counts only while the store is whole.
    fn sure<T>(&self, told: Result<T, EngineError>) -> Result<T, ServiceError> {
        match told {
            Ok(told) => Ok(told),
            Err(refusal) => {
                self.shelf.health()?;
                Err(refusal.into())
            }
        }
    }

    /// Writes facts and folds them in, and what a look at what they taught finds after them.
    fn write(&self, engine: &mut Engine, events: &[Event]) -> Result<u64, ServiceError> {
        let last = self.write_down(engine, events)?;
        let Some(now) = events.last().map(|e| e.at).filter(|_| !engine.state.taught.is_empty()) else {
            return Ok(last);
        };
        loop {
            let found = engine.looks(now);
            if found.is_empty() {
                return Ok(last);
            }
            self.write_down(engine, &found)?;
        }
    }

    fn write_down(&self, engine: &mut Engine, events: &[Event]) -> Result<u64, ServiceError> {
        if events.is_empty() {
            return Ok(engine.state.applied_seq);
        }
        // What was looked up is not to be relied on when a record of the store could not be read.
        self.shelf.health()?;
        let mut bytes = Vec::with_capacity(160 * events.len());
        let mut ends = Vec::with_capacity(events.len());
        for event in events {
            codec::encode(event, &mut bytes);
            ends.push(bytes.len());
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let payloads: Vec<&[u8]> = starts.zip(&ends).map(|(from, to)| &bytes[from..*to]).collect();
        let first = self.journal.append_all(&payloads)?;
        let mut seq = first;
        for event in events {
            hydrate::needs(&mut engine.state, &self.shelf, event);
            engine.apply(seq, event);
            if matches!(event.body, Body::Named { .. } | Body::LabelsNamed { .. }) {
                self.named_seq.store(seq, Ordering::Release);
            }
            seq += 1;
        }
        Ok(seq - 1)
    }

    fn finish(
        &self,
        mut engine: parking_lot::MutexGuard<'_, Engine>,
        recorded: &Recorded,
        now: UnixMillis,
    ) -> Result<Taken, ServiceError> {
        self.write(&mut engine, &recorded.events)?;
        let call = hydrate::call(&mut engine.state, &self.shelf, recorded.call);
        let Some(call) = call.cloned() else {
            self.shelf.health()?;
            // A key is younger than the call it corrected.
            return Err(match recorded.duplicate {
                true => engine.dropped().into(),
                false => ServiceError::Internal("a settled call is not at hand".to_owned()),
            });
        };
        if !recorded.duplicate {
            self.raise_alerts(&mut engine, &call.charges, &call.goal, now)?;
        }
        let budgets = engine.standing(&call.charges, &call.goal).iter().map(BudgetStanding::from).collect();
        // A duplicate waits too: what it repeats may not be on disk yet.
        let synced = Synced(Some(self.journal.commit_waiter()));
        let posterior = posterior_of(&engine, &call);
        drop(engine);
        let settled = call.settled().ok_or_else(|| ServiceError::Internal("the call has no outcome".to_owned()))?;
        let posterior =
            posterior.map(|p| PosteriorReply { posterior: p, interval: BetaGrid::new(p).interval(INTERVAL_LEVEL) });
        let reply = OutcomeReply {
            outcome_id: self.outcome_id(&call),
            cost: settled.cost,
            cost_source: settled.cost_source,
            duplicate: recorded.duplicate,
            overrun: settled.overrun,
            posterior,
            budgets,
        };
        Ok(Taken { reply, synced, first_seq: recorded.first_seq.filter(|_| call.amendments > 0) })
    }

    fn decision_id(&self, decided: &crate::domain::event::Decided, at: UnixMillis) -> String {
        let place = &decided.place;
        let (number, task, candidate, step) = (decided.number, place.task, place.candidate, place.step);
        self.token_key
            .seal(TokenKind::Decision, &DecisionRef { number, at, task, candidate, step, traits: decided.traits })
    }

    fn outcome_id(&self, call: &Call) -> String {
        let Call { number, at, task, candidate, step, traits, .. } = *call;
        let traits = CallTraits { ..traits };
        self.token_key.seal(TokenKind::Outcome, &DecisionRef { number, at, task, candidate, step, traits })
    }

    /// Whether a fact would be taken now; asked before anything is decided.
    fn accepting(&self) -> Result<(), ServiceError> {
        if let Some(why) = self.stopping.load().as_ref() {
            return Err(ServiceError::unavailable(why.clone()));
        }
        self.journal.accepting()?;
        if self.disk_low.load(Ordering::Acquire) {
            return Err(ServiceError::Full(
                "the disk is nearly full: nothing is taken until space is freed".to_owned(),
            ));
        }
        self.shelf.health()?;
        if !self.begun.load(Ordering::Acquire) {
            return Err(ServiceError::Full("there was no room to write down that the daemon started".to_owned()));
        }
        if self.journal.pending_bytes() > self.max_pending_bytes {
            return Err(ServiceError::unavailable("the disk is slower than the callers; try again shortly"));
        }
        Ok(())
    }

    /// Whether requests are taken.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<(), String> {
        self.accepting().map_err(|e| e.to_string())
    }

    /// The last fact folded.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.engine.lock().state.applied_seq
    }

    /// Takes no more requests from now on.
    pub fn stop_taking(&self, why: &str) {
        self.stopping.store(Arc::new(Some(why.to_owned())));
    }
}
