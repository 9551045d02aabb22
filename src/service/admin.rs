//! What administrators ask: models, posteriors, states, resets, the catalogue, status.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::admin_reply::{
    CellReply, ModelReply, ModelStateReply, ModelsReply, PosteriorsReply, RecordCounts, ReloadReply, ResetPosterior,
    ResetReply, SetModelState, StatusReply,
};
use super::{Reread, Service, ServiceError, Synced};
use crate::domain::beta::Beta;
use crate::domain::budget::Budgets;
use crate::domain::catalog::{Catalog, Task, TaskCandidate};
use crate::domain::event::ModelState;
use crate::domain::goal::GoalRules;
use crate::domain::names::{NameId, NameKind};
use crate::domain::propensity::propensities_by_cost;
use crate::domain::rollup::Tally;
use crate::domain::time::UnixMillis;
use crate::engine::{Engine, EngineError};

impl Service {
    /// Every model with its state and the prices in force.
    #[must_use]
    pub fn models(&self) -> ModelsReply {
        let now = self.clock.now();
        let engine = self.engine.lock();
        let catalog = engine.catalog().clone();
        let models = catalog.models().iter().map(|model| model_reply(&engine, &catalog, model, now)).collect();
        ModelsReply { models, catalog_version: catalog.version().to_owned() }
    }

    /// What was learned of a task type's candidates.
    ///
    /// # Errors
    /// No such task type, or no such candidate of it.
    pub fn posterior(&self, task_type: &str, model: Option<&str>) -> Result<PosteriorsReply, ServiceError> {
        let engine = self.engine.lock();
        let cells = cells(&engine, task_type, model)?;
        Ok(PosteriorsReply { task_type: task_type.to_owned(), cells })
    }

    /// Enables, disables or shadows a model.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn set_model_state(&self, request: &SetModelState) -> Result<ModelStateReply, ServiceError> {
        self.accepting()?;
        let (reply, synced) = {
            let mut engine = self.engine.lock();
            let now = self.clock.now();
            let (task, candidate) = addressed(&engine, request)?;
            let id = engine.state.names.id(NameKind::Candidate, &candidate).unwrap_or(NameId::OTHER);
            let previous = state_of(&engine, task, &candidate, id);
            let changed = engine.state.model_states.get(&(task, id)) != Some(&request.state) && {
                previous != request.state || task == NameId::NONE
            };
            let (by, reason) = (&request.by, &request.reason);
            let events = if changed {
                engine.set_model_state(task, &candidate, request.state, by, reason, now)
            } else {
                Vec::new()
            };
            self.write(&mut engine, &events)?;
            let (task_type, state) = (request.task_type.clone(), request.state);
            let reply = ModelStateReply { model: candidate, task_type, state, previous, changed };
            (reply, Synced(Some(self.journal.commit_waiter())))
        };
        synced.wait().await?;
        Ok(reply)
    }

    /// Sets the evidence of a task type, or of one candidate, aside.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn reset_posterior(&self, request: &ResetPosterior) -> Result<ResetReply, ServiceError> {
        self.accepting()?;
        let (reply, synced) = {
            let mut engine = self.engine.lock();
            let now = self.clock.now();
            let known = cells(&engine, &request.task_type, request.model.as_deref())?;
            let task = engine.state.names.id(NameKind::Task, &request.task_type).unwrap_or(NameId::OTHER);
            let duplicate = match request.key {
                Some(key) => self.sure(engine.used(&self.shelf, key))?.is_some(),
                None => false,
            };
            if !duplicate {
                let candidate = match (&request.model, known.as_slice()) {
                    (Some(_), [only]) => engine.state.names.id(NameKind::Candidate, &only.candidate.id),
                    _ => None,
                };
                let candidate = candidate.unwrap_or(NameId::NONE);
                let event = engine.reset_posterior(task, candidate, &request.by, &request.reason, request.key, now);
                self.write(&mut engine, &[event])?;
            }
            let cells = cells(&engine, &request.task_type, request.model.as_deref())?;
            (ResetReply { cells, duplicate }, Synced(Some(self.journal.commit_waiter())))
        };
        synced.wait().await?;
        Ok(reply)
    }

    /// Reads the catalogue again; a faulty one changes nothing.
    ///
    /// # Errors
    /// The catalogue is faulty: file, line, column, key.
    pub async fn reload_catalog(&self) -> Result<ReloadReply, ServiceError> {
        self.accepting()?;
        let read = (self.catalog_source)().map_err(EngineError::Precondition)?;
        let Reread { catalog, text, budgets, goal_rules, warnings } = read;
        let catalog = Arc::new(catalog);
        let (reply, synced) = {
            let mut engine = self.engine.lock();
            let now = self.clock.now();
            let before = engine.catalog().clone();
            let (is_new, budgets) = (before.version() != catalog.version(), Arc::new(budgets));
            let mut changes = if is_new { changes(&before, &catalog) } else { Vec::new() };
            let settings = settings_changes(&engine, &budgets, &goal_rules);
            let changed = is_new || !settings.is_empty();
            changes.extend(settings);
            let events = engine.catalog_events(&catalog, &text, now);
            self.write(&mut engine, &events)?;
            engine.use_catalog(catalog.clone());
            engine.use_budgets(budgets, Arc::new(goal_rules));
            let due = engine.alerts_due_everywhere(now);
            self.write(&mut engine, &due)?;
            let catalog_version = catalog.version().to_owned();
            (ReloadReply { catalog_version, changed, changes, warnings }, Synced(Some(self.journal.commit_waiter())))
        };
        synced.wait().await?;
        Ok(reply)
    }

    /// How the daemon is.
    #[must_use]
    pub fn status(&self) -> StatusReply {
        let not_ready = self.ready().err();
        let data_dir = self.about.data_dir.clone();
        let (journal_bytes, state_bytes) = (size(&data_dir.join("journal")), size(&data_dir.join("state")));
        let engine = self.engine.lock();
        let state = &engine.state;
        let mut sum = Tally::default();
        state.rollups.whole(|_, tally| sum.add(tally));
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        StatusReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.started.elapsed().as_secs(),
            not_ready,
            journal_last_seq: state.applied_seq,
            journal_synced_seq: self.journal.synced_seq(),
            applied_seq: self.stored_seq.load(std::sync::atomic::Ordering::Acquire),
            open_decisions: state.open.len() as u64,
            counts: RecordCounts {
                decisions: count(sum.decisions),
                outcomes: count(sum.calls + sum.evaluations),
                amendments: state.amendments_total,
                voided: count(sum.decisions_voided),
                expired: count(sum.decisions_expired),
                task_types: state.tasks.len() as u64,
            },
            catalog_version: engine.catalog().version().to_owned(),
            catalog_summary: engine.catalog().summary(),
            addresses: self.about.addresses.clone(),
            data_dir,
            journal_bytes,
            state_bytes,
        }
    }
}

fn model_reply(
    engine: &Engine,
    catalog: &Catalog,
    model: &Arc<crate::domain::catalog::Model>,
    now: UnixMillis,
) -> ModelReply {
    let id = engine.state.names.id(NameKind::Candidate, &model.id).unwrap_or(NameId::OTHER);
    let everywhere = engine.state.model_states.get(&(NameId::NONE, id)).copied().unwrap_or(ModelState::Enabled);
    let mut task_types = Vec::new();
    let mut task_states = Vec::new();
    for task in catalog.tasks() {
        let Some(candidate) = task.candidates.iter().find(|c| c.model.id == model.id) else { continue };
        task_types.push(task.id.to_string());
        let at = engine.state.names.id(NameKind::Task, &task.id).unwrap_or(NameId::OTHER);
        let own = engine.state.names.id(NameKind::Candidate, &candidate.id).unwrap_or(NameId::OTHER);
        let declared = if candidate.shadow { ModelState::Shadow } else { everywhere };
        let state = engine.state.model_state(at, &[own, id]).unwrap_or(declared);
        if state != everywhere {
            task_states.push((task.id.to_string(), state));
        }
    }
    let prices = ModelReply::prices_at(model, now);
    ModelReply { model: model.clone(), state: everywhere, prices, task_types, task_states }
}

/// The candidates of a task type that `model` names (all without one), with what was learned of them.
fn cells(engine: &Engine, task_type: &str, model: Option<&str>) -> Result<Vec<CellReply>, ServiceError> {
    let names = &engine.state.names;
    let known = engine.catalog().task(task_type).is_some() || names.id(NameKind::Task, task_type).is_some();
    if !known {
        return Err(EngineError::not_found("task type", task_type).into());
    }
    let task: &Arc<Task> = engine.task(task_type)?;
    let id = names.id(NameKind::Task, task_type).unwrap_or(NameId::OTHER);
    let best = chances_of_being_best(engine, id, task);
    let strata = &task.settings.strata;
    let fit = (!strata.is_empty()).then(|| engine.learned_by_stratum(id, task));
    let of = |place: usize, candidate: &TaskCandidate, best: f64| {
        let number = names.id(NameKind::Candidate, &candidate.id).unwrap_or(NameId::OTHER);
        let cell = engine.state.cell(id, number);
        let learned = engine.learned(id, task, candidate);
        let since = cell.map(|c| c.evidence_since).filter(|at| at.0 > 0);
        let state = state_of(engine, id, &candidate.id, number);
        let reply = CellReply::new(candidate.clone(), state, learned, cell, best, since);
        match &fit {
            Some(fit) => reply.with_strata(strata, fit, place, cell),
            None => reply,
        }
    };
    let wanted = |c: &TaskCandidate| model.is_none_or(|m| *c.id == *m || means(engine.catalog(), m, c));
    let all = task.candidates.iter().zip(best).enumerate().filter(|(_, (c, _))| wanted(c));
    let found: Vec<CellReply> = all.map(|(place, (c, best))| of(place, c, best)).collect();
    match (found.is_empty(), model) {
        (true, Some(model)) => Err(EngineError::not_found("candidate of that task type", model).into()),
        _ => Ok(found),
    }
}

/// P(this candidate's mean reward is the highest), among all of the task type; sums to 1.
fn chances_of_being_best(engine: &Engine, id: NameId, task: &Task) -> Vec<f64> {
    let posterior =
        |candidate: &TaskCandidate| -> (Beta, Option<u64>) { (engine.learned(id, task, candidate).1, None) };
    let arms: Vec<(Beta, Option<u64>)> = task.candidates.iter().map(posterior).collect();
    propensities_by_cost(&arms, 0.0)
}

fn means(catalog: &Catalog, text: &str, candidate: &TaskCandidate) -> bool {
    catalog.resolve(text).ok().flatten().is_some_and(|(model, _)| model.id == candidate.model.id)
}

/// What a request for a model state names: the task type, and the model's or candidate's id.
fn addressed(engine: &Engine, request: &SetModelState) -> Result<(NameId, String), ServiceError> {
    let catalog = engine.catalog();
    let model = catalog.resolve(&request.model).map_err(|e| EngineError::field("model", e.to_string()))?;
    let model = model.map(|(model, _)| model.id.to_string());
    let Some(task_type) = &request.task_type else {
        let model = model.ok_or_else(|| EngineError::not_found("model", &request.model))?;
        return Ok((NameId::NONE, model));
    };
    let found = cells(engine, task_type, Some(&request.model))?;
    let task = engine.state.names.id(NameKind::Task, task_type).unwrap_or(NameId::OTHER);
    let exact = found.iter().find(|c| *c.candidate.id == *request.model);
    let id = exact.map(|c| c.candidate.id.to_string()).or(model);
    Ok((task, id.unwrap_or_else(|| request.model.clone())))
}

/// The state of a candidate at a task type (`NONE`: everywhere), as people or the catalogue set it.
fn state_of(engine: &Engine, task: NameId, candidate: &str, id: NameId) -> ModelState {
    let task_name = engine.state.names.text(NameKind::Task, task);
    let model = candidate.split('#').next().unwrap_or(candidate);
    let model = engine.state.names.id(NameKind::Candidate, model).unwrap_or(id);
    let declared = engine.task(task_name).ok().and_then(|t| t.candidates.iter().find(|c| *c.id == *candidate));
    let declared = declared.filter(|_| task != NameId::NONE).is_some_and(|c| c.shadow);
    let declared = if declared { ModelState::Shadow } else { ModelState::Enabled };
    engine.state.model_state(task, &[id, model]).unwrap_or(declared)
}

/// One sentence for each difference between two catalogues.
fn changes(before: &Catalog, after: &Catalog) -> Vec<String> {
    let ids = |c: &Catalog| -> BTreeSet<String> { c.models().iter().map(|m| m.id.to_string()).collect() };
    let tasks = |c: &Catalog| -> BTreeSet<String> { c.tasks().map(|t| t.id.to_string()).collect() };
    let mut out = Vec::new();
    let mut compare = |what: &str, a: &BTreeSet<String>, b: &BTreeSet<String>| {
        out.extend(b.difference(a).map(|id| format!("{what} {id} added")));
        out.extend(a.difference(b).map(|id| format!("{what} {id} removed")));
    };
    compare("model", &ids(before), &ids(after));
    compare("task type", &tasks(before), &tasks(after));
    for model in after.models() {
        let old = before.models().iter().find(|m| m.id == model.id);
        if let Some(old) = old.filter(|old| *old != model) {
            let what = if old.prices == model.prices { "settings" } else { "prices" };
            out.push(format!("{what} of model {} changed", model.id));
        }
    }
    for task in after.tasks() {
        if before.task(&task.id).is_some_and(|old| !same_task(old, task)) {
            out.push(format!("task type {} changed", task.id));
        }
    }
    out
}

/// One sentence for each difference between the settings in force and those read.
fn settings_changes(engine: &Engine, budgets: &Budgets, rules: &GoalRules) -> Vec<String> {
    let (before, mut out) = (engine.budgets(), Vec::new());
    let of = |all: &Budgets, id: &str| all.all.iter().find(|b| *b.id == *id).cloned();
    for budget in &budgets.all {
        match of(before, &budget.id) {
            None => out.push(format!("budget {} added", budget.id)),
            Some(old) if old != *budget => out.push(format!("budget {} changed", budget.id)),
            Some(_) => {}
        }
    }
    let gone = before.all.iter().filter(|old| of(budgets, &old.id).is_none());
    out.extend(gone.map(|old| format!("budget {} removed", old.id)));
    if **engine.goal_rules() != *rules {
        out.push("settings of goals and workflows changed".to_owned());
    }
    out
}

/// Whether a task type is written the same in both; what became of its models is told of them.
fn same_task(before: &Task, after: &Task) -> bool {
    let pairs = || before.candidates.iter().zip(&after.candidates);
    let same = |(a, b): (&TaskCandidate, &TaskCandidate)| {
        *b == TaskCandidate { model: b.model.clone(), ..a.clone() } && a.model.id == b.model.id
    };
    let settings = before.id == after.id && before.settings == after.settings;
    settings && before.candidates.len() == after.candidates.len() && pairs().all(same)
}

/// Bytes of the files directly in a directory.
fn size(dir: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    files.filter_map(|f| f.metadata().ok()).filter(std::fs::Metadata::is_file).map(|m| m.len()).sum()
}
