//! Random days of the real engine: a small catalogue, and callers who decide, report, retry, amend and void in any order.

use std::collections::HashSet;
use std::sync::Arc;

use rand::RngExt as _;
use rand_pcg::Pcg64;

use super::script_goals::{budgets, gate_ref, goal_rules};
use crate::domain::call::{CallNo, CallRef, CallTraits};
use crate::domain::catalog::{
    Catalog, Model, Pins, Price, Rates, ServiceTier, Sticky, Task, TaskCandidate, TaskSettings,
};
use crate::domain::cell::Cell;
use crate::domain::drift::Change;
use crate::domain::event::{Body, Event, Key, ModelState};
use crate::domain::money::{NanoUsd, PicoUsdPerToken, PriceMultiplier};
use crate::domain::names::{NameId, NameKind};
use crate::domain::outcome::{DecisionRef, FailureReason, OutcomeOf, OutcomeReport, QualityMicro, Verdict};
use crate::domain::pricing::Usage;
use crate::domain::request::PolicyRequest;
use crate::domain::rollout::{Holdout, Mode, Rollout};
use crate::domain::state::State;
use crate::domain::strata::{Feature, Strata};
use crate::domain::time::UnixMillis;
use crate::engine::hydrate::{self, ColdStore};
use crate::engine::{AmendAddress, Amendment, Engine, EngineError};

fn model(id: &str, input: u64, output: u64) -> Arc<Model> {
    let rates =
        Rates { input: PicoUsdPerToken(input), output: PicoUsdPerToken(output), cached_input: None, cache_write: None };
    Arc::new(Model {
        id: Arc::from(id),
        aliases: Vec::new(),
        rules: Vec::new(),
        capabilities: Default::default(),
        context_tokens: Some(200_000),
        output_tokens: Some(8_000),
        typical: None,
        source: String::new(),
        prices: vec![Price {
            from: UnixMillis(0),
            service_tier: ServiceTier::Standard,
            rates,
            multiplier: PriceMultiplier::ONE,
            tiers: Vec::new(),
        }],
    })
}

/// Short, middle and long requests, of each team.
fn strata() -> Strata {
    let values = ["red", "blue"].map(str::to_owned).to_vec();
    let length = Feature::Number { name: "length".to_owned(), edges: vec![1.0, 2.0] };
    Strata::new(vec![length, Feature::Label { key: "team".to_owned(), values }]).unwrap()
}

/// Three models and three task types, one for each way of keeping a draw.
pub(super) fn catalog() -> Arc<Catalog> {
    let models = vec![
        model("a/small", 150_000, 600_000),
        model("b/middle", 1_000_000, 4_000_000),
        model("c/large", 5_000_000, 25_000_000),
    ];
    let task = |id: &str, sticky, pins| Task {
        id: Arc::from(id),
        candidates: models
            .iter()
            .map(|m| TaskCandidate {
                id: m.id.clone(),
                model: m.clone(),
                params: Default::default(),
                prior: None,
                tier: None,
                shadow: false,
            })
            .collect(),
        settings: TaskSettings {
            sticky,
            pins,
            decision_ttl_ms: 40_000,
            learns_from_goal: id != "triage",
            rollout: Rollout {
                mode: Mode::Serve,
                serve_share: 0.6,
                holdout: Some(Holdout { model: "a/small".into(), share: 0.3 }),
            },
            strata: if id == "extract" { Default::default() } else { Arc::new(strata()) },
            ..TaskSettings::default()
        },
    };
    let tasks = vec![
        task("triage", Sticky::Goal, Pins::Selected),
        task("extract", Sticky::Step, Pins::Exchangeable),
        task("write", Sticky::None, Pins::Selected),
    ];
    Arc::new(Catalog::new("v1".to_owned(), models, tasks, Some(Arc::from("write"))))
}

/// A script: what the callers do, drawn from a seed; the engine's answers do not change what is asked.
pub(super) struct Script {
    pub(super) rng: Pcg64,
    pub(super) now: UnixMillis,
    pub(super) engine: Engine,
    pub(super) seq: u64,
    decisions: Vec<DecisionRef>,
    calls: Vec<CallNo>,
    /// Goals that were asked about.
    pub(super) begun: HashSet<String>,
}

impl Script {
    /// A script from `seed`, on top of `state`.
    pub(super) fn new(seed: u64, state: State) -> Self {
        let engine = engine(state);
        let now = UnixMillis(1_795_000_000_000);
        Self { rng: rng(seed), now, engine, seq: 0, decisions: Vec::new(), calls: Vec::new(), begun: HashSet::new() }
    }

    /// Goes on with a new engine over `state`; a start has to follow.
    pub(super) fn restart(&mut self, state: State) {
        self.engine = engine(state);
    }

    /// The facts of a start.
    pub(super) fn start(&mut self, store: &dyn ColdStore) -> Vec<Event> {
        let events = self.engine.start("0.1.0", "text", self.now);
        self.apply(store, events)
    }

    /// One thing a caller does, and the facts it led to (already applied).
    pub(super) fn step(&mut self, store: &dyn ColdStore) -> Vec<Event> {
        // Mostly seconds, now and then hours, so that decisions expire and minutes are dropped.
        let wait = match self.rng.random_range(0..400) {
            0 => 9 * 3_600_000,
            1..10 => 50_000,
            _ => self.rng.random_range(0..800),
        };
        self.now = self.now.plus_ms(wait);
        let events = match self.rng.random_range(0..28) {
            0..8 => self.decide(store),
            8..15 => self.record(store),
            15..17 => self.amend(store),
            17 => self.void(store),
            18 => self.engine.expire(self.now, 50).into_iter().collect(),
            19..23 => self.gate(store),
            23..26 => self.act_on_goal(store),
            26 => self.engine.time_out_goals(store, self.now, 4).into_iter().collect(),
            _ => self.administer(),
        };
        self.apply(store, events)
    }

    fn apply(&mut self, store: &dyn ColdStore, mut events: Vec<Event>) -> Vec<Event> {
        self.fold(store, &events);
        let alerts = self.alerts(&events);
        self.fold(store, &alerts);
        events.extend(alerts);
        events
    }

    fn fold(&mut self, store: &dyn ColdStore, events: &[Event]) {
        for event in events {
            hydrate::needs(&mut self.engine.state, store, event);
            self.seq += 1;
            self.engine.apply(self.seq, event);
            match &event.body {
                Body::Decided(decided) => {
                    let place = &decided.place;
                    let traits: CallTraits = decided.traits;
                    self.decisions.push(DecisionRef {
                        number: decided.number,
                        at: event.at,
                        task: place.task,
                        candidate: place.candidate,
                        step: place.step,
                        traits,
                    });
                }
                Body::Gated(gated) => self.decisions.push(gate_ref(gated, event.at)),
                Body::OutcomeRecorded(recorded) => self.calls.push(recorded.call),
                _ => {}
            }
        }
    }

    pub(super) fn pick(&mut self, of: &[&str]) -> String {
        of[self.rng.random_range(0..of.len())].to_owned()
    }

    fn goal(&mut self) -> String {
        if self.rng.random_bool(0.2) { String::new() } else { self.some_goal() }
    }

    pub(super) fn key(&mut self) -> Option<Key> {
        self.rng
            .random_bool(0.3)
            .then(|| Key { hash: self.rng.random_range(0..400), body: self.rng.random_range(0..2) })
    }

    fn decide(&mut self, store: &dyn ColdStore) -> Vec<Event> {
        let mut request = PolicyRequest {
            task_type: self.pick(&["triage", "extract", "write", "undeclared"]),
            goal_id: self.goal(),
            workflow: self.pick(&["", "support", "billing"]),
            step: self.pick(&["", "read", "answer"]),
            fallback_allowed: self.rng.random_bool(0.5),
            irreversible: self.rng.random_bool(0.05),
            key: None,
            ..PolicyRequest::default()
        };
        request.asked.parent_goal = self.parent_of(&request.goal_id);
        request.estimate.input_tokens = Some(self.rng.random_range(1..9_000));
        request.estimate.output_tokens = Some(self.rng.random_range(1..900));
        if self.rng.random_bool(0.2) {
            request.labels.insert("team".to_owned(), self.pick(&["red", "blue"]));
        }
        if self.rng.random_bool(0.8) {
            request.asked.features.insert("length".to_owned(), self.rng.random_range(0.0..3.0));
        }
        if self.rng.random_bool(0.1) {
            request.asked.allowed_models = vec!["b/middle".to_owned()];
        }
        hydrate::chain(&mut self.engine.state, store, &request.goal_id);
        hydrate::chain(&mut self.engine.state, store, &request.asked.parent_goal);
        self.engine.decide(&request, self.now).map(|answer| answer.events).unwrap_or_default()
    }

    fn report(&mut self, of: OutcomeOf) -> OutcomeReport {
        let verdict = match self.rng.random_range(0..10) {
            0 => None,
            1..4 => Some(Verdict::Failure(FailureReason::ALL[self.rng.random_range(0..14)])),
            _ => Some(Verdict::Success),
        };
        let usage =
            Usage { input: self.rng.random_range(1..9_000), output: self.rng.random_range(1..900), ..Usage::default() };
        let late = self.rng.random_bool(0.1).then(|| self.now.plus_ms(-self.rng.random_range(0..7_200_000)));
        OutcomeReport {
            of,
            verdict,
            quality: self.rng.random_bool(0.2).then(|| QualityMicro(self.rng.random_range(0..=1_000_000))),
            retry_of: None,
            cost: self.rng.random_bool(0.3).then(|| NanoUsd(self.rng.random_range(0..9_000_000))),
            usage: self.rng.random_bool(0.9).then_some(usage),
            service_tier: self.rng.random_bool(0.1).then_some(ServiceTier::Standard),
            latency_ms: self.rng.random_bool(0.8).then(|| self.rng.random_range(1..60_000)),
            energy_mj: self.rng.random_bool(0.1).then(|| self.rng.random_range(1..60_000)),
            goal_id: if self.rng.random_bool(0.2) { self.goal() } else { String::new() },
            workflow: self.pick(&["", "", "late"]),
            step: self.pick(&["", "", "read", "late"]),
            tool: self.pick(&["", "", "", "search"]),
            model_served: self.pick(&["", "", "", "", "c/large", "x/strange"]),
            source: self.pick(&["", "", "ci", "user-thumbs", "llm-judge"]),
            evidence: self.pick(&["", "", "a test that passed"]),
            output_ref: self.pick(&["", "", "s3://outputs/7"]),
            evaluation: self.rng.random_bool(0.05),
            occurred_at: late,
            labels: Default::default(),
            key: self.key(),
            body: self.rng.random(),
        }
    }

    fn record(&mut self, store: &dyn ColdStore) -> Vec<Event> {
        let elsewhere = self.decisions.is_empty() || self.rng.random_bool(0.2);
        let of = if elsewhere {
            OutcomeOf::Elsewhere {
                task: self.pick(&["triage", "extract"]),
                model: self.pick(&["a/small", "x/strange", ""]),
            }
        } else {
            // Usually a recent decision, sometimes any of all.
            let many = self.decisions.len();
            let from = if self.rng.random_bool(0.7) { many.saturating_sub(20) } else { 0 };
            OutcomeOf::Decision(self.decisions[self.rng.random_range(from..many)])
        };
        let mut report = self.report(of);
        if !self.calls.is_empty() && self.rng.random_bool(0.1) {
            report.retry_of = Some(self.calls[self.rng.random_range(0..self.calls.len())]);
        }
        let recorded = self.engine.record(store, &report, self.now);
        recorded.map(|r| r.events).unwrap_or_default()
    }

    fn amend(&mut self, store: &dyn ColdStore) -> Vec<Event> {
        let address = if self.calls.is_empty() || self.rng.random_bool(0.3) {
            AmendAddress::Step { goal: self.goal(), step: self.pick(&["read", "answer", "triage"]) }
        } else {
            AmendAddress::Call(CallRef {
                number: self.calls[self.rng.random_range(0..self.calls.len())],
                ..CallRef::default()
            })
        };
        let amendment = Amendment {
            address,
            success: self.rng.random_bool(0.6).then(|| self.rng.random_bool(0.5)),
            quality: None,
            failure_reason: None,
            cost: self.rng.random_bool(0.4).then(|| NanoUsd(self.rng.random_range(0..9_000_000))),
            by: "somebody".to_owned(),
            source: self.pick(&["", "ci", "auditor"]),
            reason: "looked again".to_owned(),
            key: self.key(),
        };
        let amended: Result<_, EngineError> = self.engine.amend(store, &amendment, self.now);
        amended.map(|r| r.events).unwrap_or_default()
    }

    fn void(&mut self, store: &dyn ColdStore) -> Vec<Event> {
        if self.decisions.is_empty() {
            return Vec::new();
        }
        let call = self.decisions[self.rng.random_range(0..self.decisions.len())].number;
        self.engine
            .void(store, CallRef { number: call, ..CallRef::default() }, "somebody", "not made", self.now)
            .ok()
            .flatten()
            .into_iter()
            .collect()
    }

    fn administer(&mut self) -> Vec<Event> {
        let task = self.engine.state.names.id(NameKind::Task, "triage").unwrap_or_default();
        match self.rng.random_range(0..12) {
            0 => {
                let state = ModelState::ALL[self.rng.random_range(0..3)];
                self.engine.set_model_state(task, "b/middle", state, "somebody", "a try", self.now)
            }
            6 => {
                let before = self.now.plus_ms(-self.rng.random_range(2..30) * 3_600_000);
                vec![Event { at: self.now, body: Body::DetailDropped { before } }]
            }
            1 => vec![self.engine.reset_posterior(task, NameId::NONE, "somebody", "new prompt", None, self.now)],
            2..6 => {
                let of = self.engine.state.tasks.get(&task);
                let any = of.and_then(|of| of.cells.iter().find(|(_, cell)| cell.history.blocks().len() > 2));
                any.map(|(id, cell)| self.change(task, *id, cell)).into_iter().collect()
            }
            _ => self.engine.look_at_flag(task, self.now).into_iter().collect(),
        }
    }

    /// A change as if one had been found in the middle of what is known.
    fn change(&self, task: NameId, candidate: NameId, cell: &Cell) -> Event {
        let block = &cell.history.blocks()[1];
        let (keep_from, around) = (block.from, block.since);
        let (before, after, rewards_micro) = ((9, 10), (3, 10), Some((910_000, 350_000)));
        let change = Change { task, candidate, keep_from, around, before, after, strength: 1.25, rewards_micro };
        Event { at: self.now, body: Body::ChangeFound(Box::new(change)) }
    }

    /// A number below `n` from the script's own stream.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        self.rng.random_range(0..n)
    }
}

/// An engine with the budgets of the script.
fn engine(state: State) -> Engine {
    let mut engine = Engine::new(state, catalog(), 7);
    engine.use_budgets(Arc::new(budgets()), Arc::new(goal_rules()));
    engine
}

/// A generator from a seed.
pub(super) fn rng(seed: u64) -> Pcg64 {
    Pcg64::new(u128::from(seed), 1)
}

/// A seed for tests that look somewhere new each time; print it.
pub(super) fn fresh_seed() -> u64 {
    let mut bits = [0; 8];
    getrandom::fill(&mut bits).unwrap();
    u64::from_be_bytes(bits)
}
