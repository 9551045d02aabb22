//! What another policy would have brought: draws of a window from the record, what came of them from the state, chances
//! and estimates from the domain. The long parts run on a thread of their own, one question at a time; the engine is locked
//! for a few dozen calls at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::what_if_draws::Draws;
use super::{RETRY_AFTER_MS, Service, ServiceError};
use crate::config::parse_catalogue;
use crate::domain::call::CallNo;
use crate::domain::catalog::{Catalog, Objective, TaskSettings};
use crate::domain::event::Body;
use crate::domain::names::{NameId, NameKind};
use crate::domain::policy::{Contest, Policy, Question};
use crate::domain::time::UnixMillis;
use crate::engine::{EngineError, hydrate};
use crate::insights::{Draw, Evaluation, LeftOut, NoDraw, Sample, Told, evaluate};
use crate::journal::JournalReader;
use crate::journal::codec::{self, Glance};

/// Calls looked up while the engine is locked once.
const LOOKED_UP_AT_ONCE: usize = 32;

/// What a policy would have brought, and what that rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyEvaluation {
    /// The policy, as it is written.
    pub policy: String,
    /// Begin of the window, inclusive.
    pub start: UnixMillis,
    /// End of the window, exclusive.
    pub end: UnixMillis,
    /// The estimates.
    pub found: Evaluation,
    /// Share of the window's draws that were looked at, uniformly sampled where that is below 1.
    pub sampled: f64,
    /// Decisions of the window that it does not rest on. Where draws were sampled, what comes to light only when a draw is looked
    /// at (`retries` and below) is of those.
    pub left_out: LeftOut,
}

/// What is known of names and catalogues, for a thread that may not ask the engine.
struct Known {
    tasks: BTreeMap<NameId, String>,
    candidates: BTreeMap<NameId, String>,
    /// Candidates that the policy names.
    named: BTreeSet<NameId>,
    /// Catalogues by how many had come into force.
    catalogs: BTreeMap<u32, Arc<Catalog>>,
    /// The versions of those that are no longer in force.
    past: BTreeMap<u32, String>,
}

/// Ends what runs elsewhere once nobody waits for it any more.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Service {
    /// What another policy would have brought in the router's own draws of a window that ends now. Too little to go on is an answer.
    ///
    /// # Errors
    /// A name that nobody knows, or a setting that says nothing to a decision of the window; another question is being answered; the record cannot be read.
    pub async fn evaluate_policy(&self, question: Question) -> Result<PolicyEvaluation, ServiceError> {
        let busy = |_| ServiceError::unavailable("another what-if question is being answered; one is at a time");
        let turn = self.what_if.clone().try_acquire_owned().map_err(busy)?;
        let task = self.task_asked(&question)?;
        let end = self.clock.now();
        let start = UnixMillis(end.0.saturating_sub(question.lookback_ms));
        let stop = Stop(Arc::default());
        let (reader, stopped) = (self.reader.clone(), stop.0.clone());
        let (turn, draws) = apart(move || {
            let mut draws = Draws::new(start, end, task);
            let read = draws.read(&reader, &stopped).map(|()| draws);
            (turn, read)
        })
        .await?;
        let draws = draws?;
        let (seen, mut left_out) = (draws.seen, draws.left_out);
        let draws = draws.in_order();
        let sampled = if seen == 0 { 1.0 } else { draws.len() as f64 / seen as f64 };
        let known = self.known(&question.policy, &draws)?;
        let told = self.told(draws, &mut left_out).await?;
        let (reader, stopped) = (self.reader.clone(), stop.0.clone());
        let policy = question.policy.to_string();
        let (found, left_out) = apart(move || {
            let found = samples(told, &question.policy, known, &reader, &stopped, &mut left_out);
            drop(turn);
            found.map(|found| (evaluate(&found), left_out))
        })
        .await??;
        let refused = if found.draws == 0 { Some(left_out.sentence()) } else { found.refused };
        let found = Evaluation { refused, ..found };
        Ok(PolicyEvaluation { policy, start, end, found, sampled, left_out })
    }

    fn task_asked(&self, question: &Question) -> Result<Option<NameId>, ServiceError> {
        let Some(task) = &question.task_type else { return Ok(None) };
        let id = self.engine.lock().state.names.id(NameKind::Task, task);
        Ok(Some(id.ok_or_else(|| EngineError::not_found("task type", task))?))
    }

    /// Names and catalogues as the engine has them now.
    fn known(&self, policy: &Policy, draws: &[Draw]) -> Result<Known, ServiceError> {
        let engine = self.engine.lock();
        let names = &engine.state.names;
        let tasks = draws.iter().map(|d| (d.task, names.text(NameKind::Task, d.task).to_owned())).collect();
        let competed: BTreeSet<NameId> = draws.iter().flat_map(|d| &d.competitors).map(|c| c.candidate).collect();
        let text = |id: &NameId| (*id, names.text(NameKind::Candidate, *id).to_owned());
        let candidates = competed.iter().map(text).collect();
        let mut named = BTreeSet::new();
        if let Policy::Only(models) = policy {
            for model in models {
                let meant = engine.catalog().resolve(model).ok().flatten().map(|(model, _)| model.id.to_string());
                let is = |id: &&NameId| {
                    let text = names.text(NameKind::Candidate, **id);
                    let stem = text.split('#').next().unwrap_or(text);
                    text == model || stem == model || meant.as_deref() == Some(stem)
                };
                let known = meant.is_some() || names.id(NameKind::Candidate, model).is_some();
                if !known {
                    return Err(EngineError::not_found("model", model).into());
                }
                named.extend(competed.iter().filter(is));
            }
        }
        let (mut catalogs, mut past) = (BTreeMap::new(), BTreeMap::new());
        for number in draws.iter().map(|d| d.catalog).collect::<BTreeSet<u32>>() {
            let at = (number as usize).checked_sub(1);
            let Some(version) = at.and_then(|at| engine.state.catalog_versions.get(at)) else { continue };
            if version == engine.catalog().version() {
                catalogs.insert(number, engine.catalog().clone());
            } else {
                past.insert(number, version.clone());
            }
        }
        Ok(Known { tasks, candidates, named, catalogs, past })
    }

    /// What came of each draw's calls; draws of retries and those of which nothing is known are left out.
    async fn told(&self, draws: Vec<Draw>, left_out: &mut LeftOut) -> Result<Vec<(Draw, Told)>, ServiceError> {
        let mut sums = vec![Told::default(); draws.len()];
        let calls = |(at, draw): (usize, &Draw)| -> Vec<(usize, CallNo)> {
            std::iter::once(&draw.number).chain(&draw.followers).map(|number| (at, *number)).collect()
        };
        let mut all = draws.iter().enumerate().flat_map(calls).peekable();
        while all.peek().is_some() {
            {
                let engine = self.engine.lock();
                for (at, number) in all.by_ref().take(LOOKED_UP_AT_ONCE) {
                    if let Some(call) = hydrate::peek(&engine.state, &self.shelf, number) {
                        sums[at].add(&call, &draws[at]);
                    }
                }
            }
            tokio::task::yield_now().await;
        }
        self.shelf.readable()?;
        drop(all);
        let mut told = Vec::with_capacity(draws.len());
        for (draw, sums) in draws.into_iter().zip(sums) {
            match sums {
                Told { is_retry: true, .. } => left_out.retries += 1,
                Told { calls: 0, .. } => left_out.without_outcome += 1,
                _ => told.push((draw, sums)),
            }
        }
        Ok(told)
    }
}

/// Runs what takes long on a thread of its own.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ServiceError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|error| ServiceError::Unavailable { why: error.to_string(), retry_after_ms: RETRY_AFTER_MS })
}

/// The draws with their chances, as the estimators take them.
///
/// # Errors
/// A setting of the policy says nothing to one of them.
fn samples(
    told: Vec<(Draw, Told)>,
    policy: &Policy,
    mut known: Known,
    reader: &JournalReader,
    stop: &AtomicBool,
    left_out: &mut LeftOut,
) -> Result<Vec<Sample>, EngineError> {
    read_catalogs(&mut known, reader, stop);
    let mut found = Vec::with_capacity(told.len());
    // While nothing is learned in between, the same contest is decided again and again.
    let mut last: Option<(Contest, Vec<f64>)> = None;
    for (draw, sums) in told {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let Some(settings) = settings(&known, &draw) else {
            left_out.unknown_settings += 1;
            continue;
        };
        check(policy, &settings, known.tasks.get(&draw.task).map_or("", String::as_str))?;
        if !draw.has_a_chance(&settings) {
            left_out.count(NoDraw::HeldOut);
            continue;
        }
        let contest = draw.contest(&settings, |id| known.candidates.get(&id).map(String::as_str));
        let named = |place: usize| known.named.contains(&draw.competitors[place].candidate);
        let Some(wanted) = contest.under(policy, named) else {
            left_out.not_on_offer += 1;
            continue;
        };
        let chances = match last.take() {
            Some((same, chances)) if same == contest => chances,
            _ => contest.propensities(),
        };
        match draw.sample(&chances, &wanted, &sums) {
            Some(sample) => found.push(sample),
            None => left_out.not_drawn += 1,
        }
        last = Some((contest, chances));
    }
    Ok(found)
}

/// That every setting of the policy has a say in decisions by these settings.
fn check(policy: &Policy, settings: &TaskSettings, task: &str) -> Result<(), EngineError> {
    let Some(key) = policy.stray(settings.rule()) else { return Ok(()) };
    let (decided_by, other) = match settings.objective {
        Objective::Success => ("success", "net_value"),
        Objective::NetValue => ("net_value", "success"),
    };
    let say = format!(
        "`{key}` has no effect on {task}, which was decided by objective {decided_by}; ask for one task type, or put \
         objective={other} before it"
    );
    Err(EngineError::field("policy", say))
}

/// The settings a draw was made by.
fn settings(known: &Known, draw: &Draw) -> Option<TaskSettings> {
    let catalog = known.catalogs.get(&draw.catalog)?;
    let declared = known.tasks.get(&draw.task).and_then(|name| catalog.task(name));
    declared.or_else(|| catalog.default_task()).map(|task| task.settings.clone())
}

/// Reads catalogues that are no longer in force from the record, by their versions: its beginning may be gone. Those that
/// cannot be read stay unknown.
fn read_catalogs(known: &mut Known, reader: &JournalReader, stop: &AtomicBool) {
    for entry in reader.entries().map_while(Result::ok) {
        if known.past.is_empty() || stop.load(Ordering::Relaxed) {
            return;
        }
        if !matches!(codec::glance(&entry.payload), Some((_, Glance::CatalogChanged))) {
            continue;
        }
        if let Ok(event) = codec::decode(&entry.payload)
            && let Body::CatalogChanged { text, version } = event.body
            && known.past.values().any(|wanted| *wanted == version)
            && let Ok((catalog, _)) = parse_catalogue(&text, &version)
        {
            let catalog = Arc::new(catalog);
            let numbers: Vec<u32> = known.past.iter().filter(|(_, v)| **v == version).map(|(n, _)| *n).collect();
            for number in numbers {
                known.past.remove(&number);
                known.catalogs.insert(number, catalog.clone());
            }
        }
    }
}
