//! A real engine to report on: a small catalogue, and one line for each thing a test wants to have happened. Time is
//! set by hand; every fact is applied as a daemon would.

use std::sync::Arc;

use super::{Query, Report, report};
use crate::domain::call::{Call, CallNo, CallRef};
use crate::domain::catalog::{Catalog, Model, Price, Rates, ServiceTier, Task, TaskCandidate, TaskSettings};
use crate::domain::event::{Event, Key};
use crate::domain::goal::GoalState;
use crate::domain::money::{NanoUsd, PicoUsdPerToken, PriceMultiplier};
use crate::domain::names::{NameId, NameKind};
use crate::domain::outcome::{DecisionRef, FailureReason, OutcomeOf, OutcomeReport, Verdict};
use crate::domain::pricing::Usage;
use crate::domain::request::PolicyRequest;
use crate::domain::request_goal::{AmendGoal, CompleteGoal, StartGoal};
use crate::domain::state::State;
use crate::domain::time::{HOUR_MS, UnixMillis};
use crate::engine::hydrate::NoStore;
use crate::engine::{AmendAddress, Amendment, Engine};

/// A Sunday in 2026, on the hour.
pub(super) const NOON: UnixMillis = UnixMillis(1_795_348_800_000);

pub(super) const GPT_4O: &str = "openai/gpt-4o";
pub(super) const MINI: &str = "openai/gpt-4o-mini";
pub(super) const TURBO: &str = "openai/gpt-4-turbo";

/// An engine at a time of its own.
pub(super) struct World {
    pub engine: Engine,
    pub now: UnixMillis,
    seq: u64,
}

impl World {
    /// The three models of A8 offered for `tickets` and `summaries`, the first of which has `settings`.
    pub(super) fn with(settings: TaskSettings) -> Self {
        let models = [(GPT_4O, "5", "15"), (MINI, "0.15", "0.60"), (TURBO, "10", "30")];
        let models: Vec<Arc<Model>> =
            models.into_iter().map(|(id, input, output)| Arc::new(model(id, input, output))).collect();
        let task =
            |id: &str, settings| Task { id: Arc::from(id), candidates: models.iter().map(offered).collect(), settings };
        let tasks = vec![task("tickets", settings), task("summaries", TaskSettings::default())];
        let catalog = Arc::new(Catalog::new("v1".to_owned(), models, tasks, Some(Arc::from("summaries"))));
        let mut world = Self { engine: Engine::new(State::default(), catalog, 7), now: NOON, seq: 0 };
        let events = world.engine.start("test", "", world.now);
        world.apply(&events);
        world
    }

    pub(super) fn new() -> Self {
        Self::with(TaskSettings::default())
    }

    pub(super) fn apply(&mut self, events: &[Event]) {
        for event in events {
            self.seq += 1;
            self.engine.apply(self.seq, event);
        }
    }

    /// Decides and returns what a caller gets to know of it.
    pub(super) fn decide(&mut self, request: &PolicyRequest) -> DecisionRef {
        let answer = self.engine.decide(request, self.now).unwrap();
        self.apply(&answer.events);
        let decided = answer.decided;
        let (task, candidate, step) = (decided.place.task, decided.place.candidate, decided.place.step);
        DecisionRef { number: decided.number, at: self.now, task, candidate, step, traits: decided.traits }
    }

    /// Decides for one model by name.
    pub(super) fn pin(&mut self, task: &str, model: &str) -> DecisionRef {
        let mut request = asks(task);
        request.asked.allowed_models = vec![model.to_owned()];
        self.decide(&request)
    }

    pub(super) fn record(&mut self, report: &OutcomeReport) -> CallNo {
        let recorded = self.engine.record(&NoStore, report, self.now).unwrap();
        self.apply(&recorded.events);
        recorded.call
    }

    pub(super) fn amend(&mut self, amendment: &Amendment) {
        let recorded = self.engine.amend(&NoStore, amendment, self.now).unwrap();
        self.apply(&recorded.events);
    }

    /// Ends a goal.
    pub(super) fn complete(&mut self, goal: &str, state: GoalState) {
        self.complete_with(&CompleteGoal {
            goal_id: goal.to_owned(),
            state,
            score: None,
            note: String::new(),
            by: String::new(),
            occurred_at: None,
            key: None,
        });
    }

    pub(super) fn complete_with(&mut self, request: &CompleteGoal) {
        let act = self.engine.complete_goal(&NoStore, request, self.now).unwrap();
        self.apply(&act.events);
    }

    /// Corrects how a goal ended.
    pub(super) fn correct_goal(&mut self, goal: &str, state: GoalState, by: &str) {
        let request = AmendGoal {
            goal_id: goal.to_owned(),
            state: Some(state),
            by: by.to_owned(),
            reason: "looked again".to_owned(),
            ..AmendGoal::default()
        };
        let act = self.engine.amend_goal(&NoStore, &request, self.now).unwrap();
        self.apply(&act.events);
    }

    pub(super) fn start(&mut self, request: &StartGoal) {
        let act = self.engine.start_goal(&NoStore, request, self.now).unwrap();
        self.apply(&act.events);
    }

    /// Looks at the flag as the daemon does after an outcome.
    pub(super) fn look(&mut self, task: &str) {
        let look = self.engine.look_at_flag(self.task(task), self.now);
        self.apply(look.as_slice());
    }

    pub(super) fn task(&self, name: &str) -> NameId {
        self.engine.state.names.id(NameKind::Task, name).unwrap()
    }

    /// Every call of a goal, as the service loads them.
    pub(super) fn goal_calls(&self, goal: &str) -> Vec<Call> {
        self.engine.state.calls.values().filter(|call| call.goal == goal).cloned().collect()
    }

    pub(super) fn report(&self, query: &Query) -> Report {
        let calls = query.filters.goal_id.as_ref().map(|goal| self.goal_calls(goal));
        report(&self.engine, calls.as_deref(), query, self.now)
    }

    /// The report over the last `hours`, of everything.
    pub(super) fn last_hours(&self, hours: i64) -> Report {
        self.report(&hours_back(hours))
    }
}

pub(super) fn hours_back(hours: i64) -> Query {
    Query { lookback_ms: hours * HOUR_MS, ..Query::default() }
}

fn model(id: &str, input: &str, output: &str) -> Model {
    let price = |text| PicoUsdPerToken::parse_usd_per_mtok(text).unwrap();
    let rates = Rates { input: price(input), output: price(output), cached_input: None, cache_write: None };
    let from = UnixMillis(0);
    let service_tier = ServiceTier::Standard;
    Model {
        id: Arc::from(id),
        aliases: vec![format!("{id}-latest")],
        rules: Vec::new(),
        capabilities: Default::default(),
        context_tokens: None,
        output_tokens: None,
        typical: None,
        source: String::new(),
        prices: vec![Price { from, service_tier, rates, multiplier: PriceMultiplier::ONE, tiers: Vec::new() }],
    }
}

fn offered(model: &Arc<Model>) -> TaskCandidate {
    TaskCandidate {
        id: model.id.clone(),
        model: model.clone(),
        params: Default::default(),
        prior: None,
        tier: None,
        shadow: false,
    }
}

pub(super) fn asks(task: &str) -> PolicyRequest {
    PolicyRequest { task_type: task.to_owned(), ..PolicyRequest::default() }
}

/// An outcome that says nothing but what it is about.
pub(super) fn outcome(of: OutcomeOf) -> OutcomeReport {
    OutcomeReport::about(of)
}

/// Success or failure at a cost in nano-USD.
pub(super) fn came_to(of: OutcomeOf, success: bool, nano: u64) -> OutcomeReport {
    OutcomeReport { verdict: Some(verdict(success)), cost: Some(NanoUsd(nano)), ..outcome(of) }
}

/// Success or failure with usage for the catalogue to price.
pub(super) fn used(of: OutcomeOf, success: bool, input: u64, output: u64) -> OutcomeReport {
    let usage = Some(Usage { input, output, ..Usage::default() });
    OutcomeReport { verdict: Some(verdict(success)), usage, ..outcome(of) }
}

pub(super) fn verdict(success: bool) -> Verdict {
    if success { Verdict::Success } else { Verdict::Failure(FailureReason::ValidationFailed) }
}

pub(super) fn elsewhere(task: &str, model: &str) -> OutcomeOf {
    OutcomeOf::Elsewhere { task: task.to_owned(), model: model.to_owned() }
}

/// A call of a step of a goal at three cents.
pub(super) fn step_call(goal: &str, step: &str, success: bool) -> OutcomeReport {
    let report = came_to(elsewhere("tickets", GPT_4O), success, 30_000_000);
    OutcomeReport { goal_id: goal.to_owned(), step: step.to_owned(), ..report }
}

/// The same of a workflow, at a cost in nano-USD.
pub(super) fn workflow_call(workflow: &str, goal: &str, step: &str, success: bool, nano: u64) -> OutcomeReport {
    let cost = Some(NanoUsd(nano));
    OutcomeReport { workflow: workflow.to_owned(), cost, ..step_call(goal, step, success) }
}

/// A call of a tool.
pub(super) fn tool_call(workflow: &str, goal: &str, tool: &str, success: bool, nano: u64) -> OutcomeReport {
    let of = OutcomeOf::Elsewhere { task: String::new(), model: String::new() };
    let cost = Some(NanoUsd(nano));
    OutcomeReport { of, tool: tool.to_owned(), cost, ..workflow_call(workflow, goal, "", success, nano) }
}

pub(super) fn key(n: u64) -> Key {
    Key { hash: u128::from(n) + 1, body: n }
}

/// A correction of a call that changes nothing yet.
pub(super) fn correction(call: CallNo) -> Amendment {
    Amendment {
        address: AmendAddress::Call(CallRef { number: call, ..CallRef::default() }),
        success: None,
        quality: None,
        failure_reason: None,
        cost: None,
        by: "grader".to_owned(),
        source: String::new(),
        reason: "looked again".to_owned(),
        key: None,
    }
}
