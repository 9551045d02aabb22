//! The daemon's own engine in a world: every decision, outcome, goal and catalogue becomes a fact and is applied, as the daemon
//! does; only journal and disk are left out. It refuses to know what an outcome is true of.

use std::sync::Arc;

use super::rollout::Operator;
use super::scenario::{Kind, Policy, Scenario};
use super::truth::{Outcome, Truth};
use crate::domain::catalog::{Catalog, Task, TaskCandidate, TaskSettings};
use crate::domain::event::{Body, Event, Key};
use crate::domain::goal::{GoalRules, GoalState};
use crate::domain::money::NanoUsd;
use crate::domain::outcome::{DecisionRef, FailureReason, OutcomeOf, OutcomeReport, Verdict};
use crate::domain::request::PolicyRequest;
use crate::domain::request_goal::CompleteGoal;
use crate::domain::state::State;
use crate::domain::time::UnixMillis;
use crate::engine::hydrate::NoStore;
use crate::engine::{Engine, EngineError};

/// Expired decisions folded at once.
const EXPIRED_AT_ONCE: usize = 10_000;

/// Where a call stands: its task type, and its goal where it has one.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Place of the task type.
    pub task: usize,
    /// Goal, workflow and step; `None`: a single call.
    pub goal: Option<(&'a str, &'a str, &'a str)>,
}

/// What the engine answered.
#[derive(Clone, Debug)]
pub struct Given {
    /// The candidate served.
    pub arm: usize,
    /// The decision that says so.
    pub decision: DecisionRef,
    /// The fallbacks it offered, best first.
    pub fallbacks: Vec<usize>,
}

/// An engine in memory.
#[derive(Debug)]
pub struct Ledger<'s> {
    scenario: &'s Scenario,
    settings: Vec<TaskSettings>,
    engine: Engine,
    seq: u64,
    catalogue_version: u64,
    /// Which candidate of the scenario each candidate of the catalogue is, by task type.
    offered: Vec<Vec<usize>>,
    /// Who carries out the scenario's rollout.
    operator: Option<Operator<'s>>,
    /// Changes of a success rate it found.
    pub changes: u64,
}

impl<'s> Ledger<'s> {
    /// An engine that knows nothing yet but the catalogue.
    #[must_use]
    pub fn new(
        scenario: &'s Scenario,
        policy: &Policy,
        mut settings: Vec<TaskSettings>,
        truth: &Truth<'_>,
        seed: u64,
    ) -> Self {
        let plan = scenario.rollout.as_ref().filter(|_| policy.keeps_rollout);
        let plan = plan.filter(|_| matches!(policy.kind, Kind::Router(_)));
        let operator = plan.map(|p| Operator::new(p, scenario.models[p.held_out].id.clone(), scenario.start));
        roll_out(&mut settings, operator.as_ref());
        let (catalog, offered) = catalogue(scenario, &settings, truth);
        let mut engine = Engine::new(State::default(), Arc::new(catalog), seed);
        if policy.keeps_budgets {
            engine.use_budgets(scenario.budgets.clone(), Arc::new(GoalRules::default()));
        }
        let events = engine.start("simulation", "", scenario.start);
        let catalogue_version = truth.catalogue_version;
        let mut ledger = Self { scenario, settings, engine, seq: 0, catalogue_version, offered, operator, changes: 0 };
        ledger.apply(&events);
        ledger
    }

    fn apply(&mut self, events: &[Event]) {
        for event in events {
            self.seq += 1;
            self.engine.apply(self.seq, event);
        }
    }

    /// Brings the catalogue into force that holds now, and lets decisions expire.
    fn refresh(&mut self, truth: &Truth<'_>, now: UnixMillis) {
        let moved = self.operator.as_mut().is_some_and(|operator| operator.moves(&self.engine, now));
        if moved {
            roll_out(&mut self.settings, self.operator.as_ref());
        }
        if moved || self.catalogue_version != truth.catalogue_version {
            self.catalogue_version = truth.catalogue_version;
            let (catalog, offered) = catalogue(self.scenario, &self.settings, truth);
            self.offered = offered;
            let events = self.engine.catalog_events(&catalog, "", now);
            self.apply(&events);
            self.engine.use_catalog(Arc::new(catalog));
        }
        let expired = self.engine.expire(now, EXPIRED_AT_ONCE);
        self.apply(expired.as_slice());
    }

    /// The candidate that may serve the call, and the decision that says so; `None`: none may. With a `pin` that candidate or
    /// none.
    ///
    /// # Errors
    /// The engine refuses the request itself.
    pub fn decide(
        &mut self,
        truth: &Truth<'_>,
        site: Site<'_>,
        case: Option<usize>,
        pin: Option<usize>,
        now: UnixMillis,
    ) -> Result<Option<Given>, EngineError> {
        self.refresh(truth, now);
        let task = &self.scenario.tasks[site.task];
        let mut request = PolicyRequest { task_type: task.id.to_string(), ..PolicyRequest::default() };
        (request.asked.features, request.labels) = self.scenario.said(site.task, case);
        if let Some((goal, workflow, step)) = site.goal {
            (request.goal_id, request.workflow, request.step) = (goal.to_owned(), workflow.to_owned(), step.to_owned());
            request.fallback_allowed = self.scenario.workflows.iter().any(|w| w.id == workflow && w.falls_back);
        }
        if let Some(operator) = &self.operator {
            operator.own_model().clone_into(&mut request.asked.requested_model);
        }
        if let Some(arm) = pin {
            request.asked.allowed_models = vec![self.scenario.models[task.candidates[arm].model].id.to_string()];
        }
        let answer = self.engine.decide(&request, now)?;
        self.apply(&answer.events);
        let Some(served) = answer.served else { return Ok(None) };
        let decided = answer.decided;
        let (task, candidate, step) = (decided.place.task, decided.place.candidate, decided.place.step);
        let decision = DecisionRef { number: decided.number, at: now, task, candidate, step, traits: decided.traits };
        let offered = &self.offered[site.task];
        let fallbacks = answer.fallbacks.iter().map(|place| offered[*place]).collect();
        Ok(Some(Given { arm: offered[served], decision, fallbacks }))
    }

    /// Records what a source tells of a call: that of the decision, or one of a fallback, told by task type, candidate and a number of
    /// its own.
    ///
    /// # Errors
    /// The engine refuses the outcome.
    pub fn record(
        &mut self,
        decision: &DecisionRef,
        fallback: Option<(usize, usize, u64)>,
        (success, source): (bool, &str),
        outcome: &Outcome,
        now: UnixMillis,
    ) -> Result<(), EngineError> {
        let mut report = report(decision, success, outcome);
        report.source = source.to_owned();
        if let Some((task, arm, call)) = fallback {
            let model = self.scenario.tasks[task].candidates[arm].model;
            report.model_served = self.scenario.models[model].id.to_string();
            report.key = Some(Key { hash: u128::from(call), body: 0 });
        }
        let recorded = self.engine.record(&NoStore, &report, now)?;
        self.apply(&recorded.events);
        self.look(now);
        Ok(())
    }

    /// Ends a goal.
    ///
    /// # Errors
    /// The engine refuses it.
    pub fn complete(&mut self, goal: &str, state: GoalState, now: UnixMillis) -> Result<(), EngineError> {
        let (goal_id, note, by) = (goal.to_owned(), String::new(), String::new());
        let request = CompleteGoal { goal_id, state, score: None, note, by, occurred_at: None, key: None };
        let act = self.engine.complete_goal(&NoStore, &request, now)?;
        self.apply(&act.events);
        self.look(now);
        Ok(())
    }

    /// Looks for changes and at flags, as the daemon does after every fact that teaches.
    fn look(&mut self, now: UnixMillis) {
        loop {
            let found = self.engine.looks(now);
            if found.is_empty() {
                return;
            }
            self.changes += found.iter().filter(|e| matches!(e.body, Body::ChangeFound(_))).count() as u64;
            self.apply(&found);
        }
    }

    /// Hours at which the rollout was taken back; `None`: there is none.
    #[must_use]
    pub fn rolled_back(&self) -> Option<&[f64]> {
        self.operator.as_ref().map(|operator| operator.rolled_back.as_slice())
    }

    /// What the ledger says was spent: settled calls of the task type, in nano-USD.
    #[must_use]
    pub fn spent_nano(&self) -> u128 {
        self.engine.state.tasks.values().flat_map(|task| task.cells.values()).map(|cell| cell.cost_nano).sum()
    }
}

/// Brings the rollout into force that holds now.
fn roll_out(settings: &mut [TaskSettings], operator: Option<&Operator<'_>>) {
    if let Some(operator) = operator {
        settings.iter_mut().for_each(|of| of.rollout = operator.rollout());
    }
}

/// The catalogue of the world as it stands, and which candidates of the scenario are in it.
fn catalogue(scenario: &Scenario, settings: &[TaskSettings], truth: &Truth<'_>) -> (Catalog, Vec<Vec<usize>>) {
    let mut offered = Vec::new();
    let mut tasks = Vec::new();
    for (t, task) in scenario.tasks.iter().enumerate() {
        let there: Vec<usize> = (0..task.candidates.len()).filter(|c| truth.now[t][*c].offered).collect();
        let candidate = |c: &usize| {
            let model = truth.models[task.candidates[*c].model].clone();
            let (id, params) = (model.id.clone(), Default::default());
            TaskCandidate { id, model, params, prior: None, tier: None, shadow: false }
        };
        let candidates = there.iter().map(candidate).collect();
        tasks.push(Task { id: task.id.clone(), candidates, settings: settings[t].clone() });
        offered.push(there);
    }
    let version = format!("simulated-{}", truth.catalogue_version);
    (Catalog::new(version, truth.models.clone(), tasks, None), offered)
}

fn report(decision: &DecisionRef, success: bool, outcome: &Outcome) -> OutcomeReport {
    let reason = if outcome.down { FailureReason::ProviderError } else { FailureReason::ValidationFailed };
    OutcomeReport {
        verdict: Some(if success { Verdict::Success } else { Verdict::Failure(reason) }),
        cost: outcome.usage.is_none().then_some(NanoUsd(outcome.cost_nano)),
        usage: outcome.usage,
        latency_ms: u32::try_from(outcome.latency_ms).ok(),
        ..OutcomeReport::about(OutcomeOf::Decision(*decision))
    }
}
