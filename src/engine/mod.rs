//! The engine: the one place where the order of things is written down. It takes a request and answers with facts
//! (`decide`, `record`, `amend` …); the caller writes them to its journal and folds them in (`apply`). Daemon,
//! simulation and replay drive this same code with their own clock, seed and journal.

mod admission;
mod amend;
mod apply;
mod apply_goals;
mod arms;
mod decide;
mod error;
mod fail_fast;
mod gate;
mod goals;
pub mod hydrate;
mod naming;
mod purse;
mod record;
mod seat;
mod table;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod tests_arms;
#[cfg(test)]
mod tests_goals;
#[cfg(test)]
mod tests_races;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

pub use admission::Line;
pub use amend::{AmendAddress, Amendment, day, instant};
pub use apply::apply;
pub use decide::{PolicyAnswer, SeatView};
pub use error::{EngineError, FieldViolation};
pub use gate::{GateAnswer, gate_traits};
pub use goals::GoalAct;
pub use record::{Recorded, posterior_of};

use crate::domain::beta::Beta;
use crate::domain::budget::Budgets;
use crate::domain::call::CallNo;
use crate::domain::catalog::{Catalog, Prior, Reward, Task, TaskCandidate};
use crate::domain::cell::Cell;
use crate::domain::contextual::{self, Fit};
use crate::domain::drift;
use crate::domain::event::{Body, Event, ModelState};
use crate::domain::flag::{self, FlagLook};
use crate::domain::goal::GoalRules;
use crate::domain::names::{NameId, NameKind};
use crate::domain::state::State;
use crate::domain::time::UnixMillis;
use crate::domain::trust::Trust;
use naming::Naming;
use table::TaskTable;

/// How many task types may exist that the catalogue does not declare.
pub const UNDECLARED_TASKS_MAX: usize = 1_000;

/// State, catalogue and seed: everything a decision is made of.
#[derive(Debug)]
pub struct Engine {
    /// The folded state.
    pub state: State,
    catalog: Arc<Catalog>,
    budgets: Arc<Budgets>,
    goal_rules: Arc<GoalRules>,
    tables: HashMap<String, Option<TaskTable>>,
    root_seed: u64,
    next_call: CallNo,
}

impl Engine {
    /// An engine over `state` (which may be the fold of an old journal), drawing from `root_seed`.
    #[must_use]
    pub fn new(mut state: State, catalog: Arc<Catalog>, root_seed: u64) -> Self {
        let next_call = CallNo::first_of_epoch(state.epoch);
        // What earlier facts taught was looked at when they were written.
        state.taught.clear();
        Self {
            state,
            catalog,
            budgets: Arc::default(),
            goal_rules: Arc::default(),
            tables: HashMap::new(),
            root_seed,
            next_call,
        }
    }

    /// The catalogue in force.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The number the next decision or call routed elsewhere gets.
    #[must_use]
    pub fn next_call(&self) -> CallNo {
        self.next_call
    }

    /// Folds one fact in.
    pub fn apply(&mut self, seq: u64, event: &Event) {
        apply(&mut self.state, seq, event);
        match &event.body {
            Body::Started { epoch, .. } => self.next_call = CallNo::first_of_epoch(*epoch),
            Body::ModelStateSet { .. } | Body::CatalogChanged { .. } => self.tables.clear(),
            _ => {}
        }
    }

    /// The facts of a start: a new epoch, and the catalogue where it is not the one last in force.
    #[must_use]
    pub fn start(&self, version: &str, catalog_text: &str, now: UnixMillis) -> Vec<Event> {
        let started = Body::Started { epoch: self.state.epoch + 1, version: version.to_owned() };
        let mut events = vec![Event { at: now, body: started }];
        events.extend(self.catalog_events(&self.catalog, catalog_text, now));
        events
    }

    /// The facts of a catalogue coming into force; none where nothing changes. Apply them, then `use_catalog`.
    #[must_use]
    pub fn catalog_events(&self, catalog: &Catalog, text: &str, now: UnixMillis) -> Vec<Event> {
        let mut naming = Naming::default();
        if self.state.catalog_version() != catalog.version() {
            let (version, text) = (catalog.version().to_owned(), text.to_owned());
            naming.events.push(Body::CatalogChanged { version, text });
        }
        for task in catalog.tasks() {
            naming.name(&self.state.names, NameKind::Task, &task.id);
            for candidate in &task.candidates {
                naming.name(&self.state.names, NameKind::Candidate, &candidate.id);
                naming.name(&self.state.names, NameKind::Candidate, &candidate.model.id);
            }
            for (source, _) in &task.settings.sources.declared {
                naming.name(&self.state.names, NameKind::Source, source);
            }
        }
        naming.events.into_iter().map(|body| Event { at: now, body }).collect()
    }

    /// Goes on with `state`, which was folded from the same facts; returns the one it had.
    ///
    /// # Panics
    /// INV-ENGINE-1: an engine never goes back.
    pub fn go_on_with(&mut self, mut state: State) -> State {
        assert!(state.applied_seq == self.state.applied_seq, "INV-ENGINE-1: an engine never goes back");
        self.tables.clear();
        state.taught = std::mem::take(&mut self.state.taught);
        std::mem::replace(&mut self.state, state)
    }

    /// Decides by `catalog` from now on.
    pub fn use_catalog(&mut self, catalog: Arc<Catalog>) {
        self.catalog = catalog;
        self.tables.clear();
    }

    /// Keeps these budgets and rules of goals from now on. Accounts stay: they are of a budget's name.
    pub fn use_budgets(&mut self, budgets: Arc<Budgets>, goal_rules: Arc<GoalRules>) {
        (self.budgets, self.goal_rules) = (budgets, goal_rules);
    }

    /// The budgets in force.
    #[must_use]
    pub fn budgets(&self) -> &Arc<Budgets> {
        &self.budgets
    }

    /// The rules of goals in force.
    #[must_use]
    pub fn goal_rules(&self) -> &Arc<GoalRules> {
        &self.goal_rules
    }

    /// The settings of a task type: its own, or those of the default one.
    ///
    /// # Errors
    /// Nobody declared it and there is no default, or too many were not declared.
    pub fn task(&self, name: &str) -> Result<&Arc<Task>, EngineError> {
        if let Some(task) = self.catalog.task(name) {
            return Ok(task);
        }
        let shown: String = name.chars().take(80).collect();
        let Some(default) = self.catalog.default_task() else {
            let known: Vec<&str> = self.catalog.tasks().map(|t| &*t.id).collect();
            let known = known.join(", ");
            return Err(EngineError::Precondition(format!(
                "no task type `{shown}` is declared and the catalogue has no default one; declared are {known}"
            )));
        };
        if self.state.names.id(NameKind::Task, name).is_none() {
            let names = self.state.names.all(NameKind::Task);
            let undeclared = names.filter(|(_, text)| self.catalog.task(text).is_none()).count();
            if undeclared >= UNDECLARED_TASKS_MAX {
                return Err(EngineError::Precondition(format!(
                    "task type `{shown}` is not declared, and {UNDECLARED_TASKS_MAX} undeclared ones exist already"
                )));
            }
        }
        Ok(default)
    }

    fn table(&mut self, name: &str, naming: &mut Naming) -> Result<TaskTable, EngineError> {
        if let Some(table) = self.tables.get_mut(name).and_then(Option::take) {
            return Ok(table);
        }
        let task = self.task(name)?.clone();
        let id = naming.name(&self.state.names, NameKind::Task, name);
        Ok(TaskTable::new(&self.catalog, &self.state, id, &task, name))
    }

    fn keep_table(&mut self, name: &str, table: TaskTable) {
        if self.state.names.id(NameKind::Task, name).is_none() {
            return; // Its name is not written yet.
        }
        match self.tables.get_mut(name) {
            Some(slot) => *slot = Some(table),
            None => {
                self.tables.insert(name.to_owned(), Some(table));
            }
        }
    }

    /// Decisions whose time has run out by `now`, at most `most` of them, as one fact.
    #[must_use]
    pub fn expire(&self, now: UnixMillis, most: usize) -> Option<Event> {
        let due = self.state.open.iter().take_while(|(until, _)| *until <= now).take(most);
        let calls: Vec<CallNo> = due.map(|(_, call)| *call).collect();
        (!calls.is_empty()).then_some(Event { at: now, body: Body::DecisionsExpired { calls } })
    }

    /// Looks at what was taught since the last look, by whatever facts: first for changes of success rates, and once those
    /// are folded in, at the flags. Write and fold in what it answers, and ask again until nothing comes.
    pub fn looks(&mut self, now: UnixMillis) -> Vec<Event> {
        let mut changes = Vec::new();
        for ((task, candidate), is_due) in &self.state.taught {
            changes.extend(self.look_for_change(*task, *candidate, now).filter(|_| *is_due));
        }
        self.state.taught.values_mut().for_each(|is_due| *is_due = false);
        if !changes.is_empty() {
            return changes;
        }
        let tasks: BTreeSet<NameId> =
            std::mem::take(&mut self.state.taught).into_keys().map(|(task, _)| task).collect();
        tasks.into_iter().filter_map(|task| self.look_at_flag(task, now)).collect()
    }

    fn look_for_change(&self, task: NameId, candidate: NameId, now: UnixMillis) -> Option<Event> {
        let cell = self.state.cell(task, candidate)?;
        let name = self.state.names.text(NameKind::Task, task);
        let settings = &self.catalog.task(name).or(self.catalog.default_task())?.settings;
        let trust = table::trust_of(&self.state, settings);
        let found = drift::find(&cell.history.for_changes(&trust)).filter(|_| settings.detects_changes)?;
        let drift::Found { keep_from, around, before, after, strength, rewards_micro } = found;
        let rewards_micro = (settings.reward == Reward::Quality).then_some(rewards_micro);
        let change = drift::Change { task, candidate, keep_from, around, before, after, strength, rewards_micro };
        Some(Event { at: now, body: Body::ChangeFound(Box::new(change)) })
    }

    /// A look at the over-provisioning flag of a task type, where one is due.
    #[must_use]
    pub fn look_at_flag(&self, task: NameId, now: UnixMillis) -> Option<Event> {
        let state = self.state.tasks.get(&task)?;
        let name = self.state.names.text(NameKind::Task, task);
        let settings = &self.catalog.task(name).or(self.catalog.default_task())?.settings;
        if !settings.strata.is_empty() {
            // The router gives each model other requests: their overall rates say nothing of each other.
            let cleared = FlagLook { task, pairs: Vec::new(), raised: None };
            return state.flag.raised.map(|_| Event { at: now, body: Body::FlagLooked(Box::new(cleared)) });
        }
        let comparisons = flag::comparisons(state.cells.iter().map(|(id, c)| (*id, c)), |id| self.may_serve(task, id));
        let look: FlagLook = flag::look(task, &state.flag, &comparisons, settings.flag_margin)?;
        Some(Event { at: now, body: Body::FlagLooked(Box::new(look)) })
    }

    /// Prior and posterior of a candidate of task type `task`, which is decided by `of`, as of the last fact.
    #[must_use]
    pub fn learned(&self, task: NameId, of: &Task, candidate: &TaskCandidate) -> (Prior, Beta) {
        let id = self.state.names.id(NameKind::Candidate, &candidate.id).unwrap_or(NameId::OTHER);
        let prior = table::prior_of(&self.state, task, of, candidate, id);
        let Some(cell) = self.state.cell(task, id) else { return (prior, Cell::default().posterior(prior)) };
        let lessons = self.state.tasks.get(&task).map_or(0, |of| of.lessons);
        let trust = table::trust_of(&self.state, &of.settings);
        (prior, cell.remembered(prior, &of.settings.memory, &trust, self.state.last_at, lessons))
    }

    /// Posteriors of the candidates of task type `task`, which is decided by `of`, by stratum and in catalogue order, as of the
    /// last fact.
    #[must_use]
    pub fn learned_by_stratum(&self, task: NameId, of: &Task) -> Fit {
        let lessons = self.state.tasks.get(&task).map_or(0, |of| of.lessons);
        let (blank, trust) = (Cell::default(), table::trust_of(&self.state, &of.settings));
        let known = |candidate: &TaskCandidate| {
            let id = self.state.names.id(NameKind::Candidate, &candidate.id).unwrap_or(NameId::OTHER);
            let (prior, whole) = self.learned(task, of, candidate);
            let cell = self.state.cell(task, id).unwrap_or(&blank);
            cell.by_stratum((whole, prior), &of.settings.memory, &trust, self.state.last_at, lessons)
        };
        contextual::fit(&of.candidates.iter().map(known).collect::<Vec<_>>())
    }

    /// How far a task type believes each source of outcomes; all of it where nobody declares the task type.
    #[must_use]
    pub fn trust(&self, task: NameId) -> Trust {
        let of = self.task(self.state.names.text(NameKind::Task, task));
        of.map_or_else(|_| Trust::default(), |of| table::trust_of(&self.state, &of.settings))
    }

    /// Whether a candidate may be served at a task type: offered there, and neither disabled nor in shadow.
    #[must_use]
    pub fn may_serve(&self, task: NameId, candidate: NameId) -> bool {
        let name = self.state.names.text(NameKind::Task, task);
        let Some(of) = self.catalog.task(name).or(self.catalog.default_task()) else { return false };
        let id = self.state.names.text(NameKind::Candidate, candidate);
        let Some(found) = of.candidates.iter().find(|c| *c.id == *id) else { return false };
        let model = self.state.names.id(NameKind::Candidate, &found.model.id).unwrap_or(candidate);
        match self.state.model_state(task, &[candidate, model]) {
            Some(state) => state == ModelState::Enabled,
            None => !found.shadow,
        }
    }
}
