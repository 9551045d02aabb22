//! Random stories for the properties: calls with their truths, the real engine over a journal in memory, and what must
//! come out, worked out from the story alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use oddsmaker::config::parse_catalogue;
use oddsmaker::domain::call::{Call, CallNo, CallRef};
use oddsmaker::domain::event::{Event, Key};
use oddsmaker::domain::money::NanoUsd;
use oddsmaker::domain::names::{NameId, NameKind};
use oddsmaker::domain::outcome::{DecisionRef, FailureReason, OutcomeOf, OutcomeReport, QualityMicro, Verdict};
use oddsmaker::domain::packed::PackedTally;
use oddsmaker::domain::pricing::Usage;
use oddsmaker::domain::request::PolicyRequest;
use oddsmaker::domain::rollup::{RollupKey, Tally};
use oddsmaker::domain::state::State;
use oddsmaker::domain::time::UnixMillis;
use oddsmaker::engine::hydrate::NoStore;
use oddsmaker::engine::{AmendAddress, Amendment, Engine};
use proptest::prelude::*;

use super::catalogues;

const START: UnixMillis = UnixMillis(1_790_000_000_000);
const TASKS: [&str; 3] = ["triage", "graded", "nobody declared this"];
const GOALS: [&str; 3] = ["", "ticket 1", "ticket 2"];
const STEPS: [&str; 3] = ["", "classify", "answer"];

/// One call of a story: where it belongs and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    task: usize,
    goal: usize,
    step: usize,
    pub(crate) truth: Truth,
    evaluation: bool,
    minutes_ago: i64,
}

/// What came of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truth {
    pub(crate) verdict: Option<Verdict>,
    pub(crate) quality: Option<QualityMicro>,
    pub(crate) cost: Option<NanoUsd>,
    pub(crate) usage: Option<(u64, u64)>,
    pub(crate) latency_ms: Option<u32>,
}

fn verdict() -> impl Strategy<Value = Option<Verdict>> {
    let reason = prop_oneof![
        Just(FailureReason::Timeout),
        Just(FailureReason::Cancelled),
        Just(FailureReason::AuthError),
        Just(FailureReason::Hallucination)
    ];
    let failure = reason.prop_map(|reason| Some(Verdict::Failure(reason)));
    prop_oneof![1 => Just(None), 4 => Just(Some(Verdict::Success)), 4 => failure]
}

fn quality() -> impl Strategy<Value = Option<QualityMicro>> {
    prop::option::of((0..=1_000_000_u32).prop_map(QualityMicro))
}

fn cost() -> impl Strategy<Value = Option<NanoUsd>> {
    prop::option::of((0..=5_000_000_u64).prop_map(NanoUsd))
}

pub(crate) fn truth() -> impl Strategy<Value = Truth> {
    let usage = prop::option::of((0..2_000_u64, 0..500_u64));
    let parts = (verdict(), quality(), cost(), usage, prop::option::of(0..20_000_u32));
    parts.prop_map(|(verdict, quality, cost, usage, latency_ms)| Truth { verdict, quality, cost, usage, latency_ms })
}

fn told() -> impl Strategy<Value = Told> {
    let place = (0..TASKS.len(), 0..GOALS.len(), 0..STEPS.len());
    let parts = (place, truth(), prop::bool::weighted(0.1), 0..180_i64);
    parts.prop_map(|((task, goal, step), truth, evaluation, minutes_ago)| Told {
        task,
        goal,
        step,
        truth,
        evaluation,
        minutes_ago,
    })
}

fn story() -> impl Strategy<Value = Vec<Told>> {
    prop::collection::vec(told(), 1..30)
}

/// A story and an order in which its outcomes arrive.
pub(crate) fn shuffled_story() -> impl Strategy<Value = (Vec<Told>, Vec<usize>)> {
    story().prop_flat_map(|story| {
        let order: Vec<usize> = (0..story.len()).collect();
        (Just(story), Just(order).prop_shuffle())
    })
}

/// The engine with a journal in memory.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) journal: Vec<(u64, Event)>,
    now: UnixMillis,
    /// The call that was recorded for each decision: its own, or that of a quality check.
    recorded: HashMap<CallNo, CallNo>,
}

impl World {
    pub(crate) fn new() -> Self {
        let text = catalogues::usual();
        let (catalog, _) = parse_catalogue(&text, "models.toml").unwrap();
        let engine = Engine::new(State::default(), Arc::new(catalog), 7);
        let mut world = Self { engine, journal: Vec::new(), now: START, recorded: HashMap::new() };
        let events = world.engine.start("test", &text, world.now);
        world.write(events);
        world
    }

    fn write(&mut self, events: Vec<Event>) {
        for event in events {
            let seq = self.engine.state.applied_seq + 1;
            self.engine.apply(seq, &event);
            self.journal.push((seq, event));
        }
    }

    /// Makes the decisions of a story, one each 7 ms.
    pub(crate) fn decide(&mut self, story: &[Told]) -> Vec<DecisionRef> {
        story.iter().map(|told| self.decide_one(told)).collect()
    }

    fn decide_one(&mut self, told: &Told) -> DecisionRef {
        self.now = self.now.plus_ms(7);
        let request = PolicyRequest {
            task_type: TASKS[told.task].to_owned(),
            goal_id: GOALS[told.goal].to_owned(),
            step: STEPS[told.step].to_owned(),
            ..Default::default()
        };
        let answer = self.engine.decide(&request, self.now).unwrap();
        let (number, place, traits) = (answer.decided.number, &answer.decided.place, answer.decided.traits);
        let (task, candidate, step) = (place.task, place.candidate, place.step);
        let decision = DecisionRef { number, at: self.now, task, candidate, step, traits };
        self.write(answer.events);
        decision
    }

    /// Reports `truth` for a decision; whether it was a duplicate.
    pub(crate) fn record(&mut self, told: &Told, decision: &DecisionRef, truth: Truth, key: Option<Key>) -> bool {
        let report = report(told, decision, truth, key);
        let recorded = self.engine.record(&NoStore, &report, self.now).unwrap();
        assert_eq!(recorded.duplicate, recorded.events.is_empty());
        self.recorded.insert(decision.number, recorded.call);
        self.write(recorded.events);
        recorded.duplicate
    }

    pub(crate) fn amend(&mut self, decision: &DecisionRef, truth: &Truth) {
        let (success, failure_reason) = match truth.verdict {
            Some(Verdict::Success) => (Some(true), None),
            Some(Verdict::Failure(reason)) => (Some(false), Some(reason)),
            None => (None, None),
        };
        let amendment = Amendment {
            address: AmendAddress::Call(CallRef { number: self.recorded[&decision.number], ..CallRef::default() }),
            success,
            quality: truth.quality,
            failure_reason,
            cost: truth.cost,
            by: "a person".to_owned(),
            source: "ci".to_owned(),
            reason: "late truth".to_owned(),
            key: None,
        };
        let recorded = self.engine.amend(&NoStore, &amendment, self.now).unwrap();
        self.write(recorded.events);
    }

    pub(crate) fn expire_all(&mut self) {
        let later = self.now.plus_ms(10 * 86_400_000);
        if let Some(mut event) = self.engine.expire(later, usize::MAX) {
            event.at = self.now;
            self.write(vec![event]);
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures::of(&self.engine.state)
    }
}

fn report(told: &Told, decision: &DecisionRef, truth: Truth, key: Option<Key>) -> OutcomeReport {
    OutcomeReport {
        of: OutcomeOf::Decision(*decision),
        verdict: truth.verdict,
        quality: truth.quality,
        retry_of: None,
        cost: truth.cost,
        usage: truth.usage.map(|(input, output)| Usage { input, output, ..Default::default() }),
        service_tier: Default::default(),
        latency_ms: truth.latency_ms,
        energy_mj: None,
        goal_id: String::new(),
        workflow: String::new(),
        step: String::new(),
        tool: String::new(),
        model_served: String::new(),
        source: "ci".to_owned(),
        evidence: String::new(),
        output_ref: String::new(),
        evaluation: told.evaluation,
        occurred_at: Some(START.plus_ms(-60_000 * told.minutes_ago)),
        labels: BTreeMap::new(),
        key,
        body: 1,
    }
}

/// Everything a report is made of: sums by time, and what the learner knows.
#[derive(Debug, PartialEq)]
pub(crate) struct Figures {
    minutes: BTreeMap<(UnixMillis, RollupKey), Tally>,
    hours: BTreeMap<(UnixMillis, RollupKey), Tally>,
    cells: BTreeMap<(NameId, NameId), String>,
    retries: BTreeMap<CallNo, bool>,
}

impl Figures {
    fn of(state: &State) -> Self {
        let sums = |buckets: &BTreeMap<UnixMillis, HashMap<RollupKey, PackedTally>>| {
            let each =
                buckets.iter().flat_map(|(at, bucket)| bucket.iter().map(|(key, tally)| ((*at, *key), tally.tally())));
            each.filter(|(_, tally)| !tally.is_empty()).collect()
        };
        let mut cells = BTreeMap::new();
        for (task, of) in &state.tasks {
            for (candidate, cell) in &of.cells {
                let mut cell = cell.clone();
                cell.version = 0;
                let blocks = std::mem::take(&mut cell.history).total();
                // Where a block begins is a matter of arrival; what all of them hold is not.
                let held = (blocks.evidence, blocks.successes, blocks.failures);
                assert_eq!(held, (cell.evidence, cell.successes, cell.failures), "blocks add up to the evidence");
                cells.insert((*task, *candidate), format!("{cell:?}"));
            }
        }
        let retries = state.calls.iter().map(|(number, call)| (*number, call.is_retry())).collect();
        Self { minutes: sums(&state.rollups.minutes), hours: sums(&state.rollups.hours), cells, retries }
    }
}

/// The whole state, in an order of its own.
pub(crate) fn whole(state: &State) -> String {
    let calls: BTreeMap<_, _> = state.calls.iter().collect();
    let goals: BTreeMap<_, _> = state.goals.iter().collect();
    let keys: BTreeMap<_, _> = state.keys.iter().collect();
    let tasks: BTreeMap<_, _> = state.tasks.iter().collect();
    let head = (state.applied_seq, state.last_at, state.epoch, state.catalog_version(), state.calls_total);
    format!("{head:?} {calls:?} {goals:?} {keys:?} {tasks:?} {:?} {:?}", state.open, Figures::of(state))
}

/// Whether each call of a story is a retry, worked out without the engine: it is when the call before it in its step,
/// among those that are no evaluations, failed. A call without a goal is its own step.
pub(crate) fn retries_expected(story: &[Told]) -> Vec<bool> {
    let mut failed_last: HashMap<(usize, &str), bool> = HashMap::new();
    let mut retries = Vec::new();
    for told in story {
        let step = if told.step == 0 { TASKS[told.task] } else { STEPS[told.step] };
        let counts = told.goal != 0 && !told.evaluation;
        retries.push(counts && failed_last.get(&(told.goal, step)) == Some(&true));
        if counts {
            failed_last.insert((told.goal, step), matches!(told.truth.verdict, Some(Verdict::Failure(_))));
        }
    }
    retries
}

/// Calls, successes, failures, cost and cost of failures over all time.
pub(crate) fn sums(state: &State) -> (i64, i64, i64, i128, i128) {
    let mut total = Tally::default();
    state.rollups.window(UnixMillis(0), START.plus_ms(86_400_000), |_, tally| total.add(tally));
    (total.calls, total.successes, total.failures, total.cost, total.failed_cost)
}

/// The same from the story itself: reported cost, else usage at the price of the model that was served.
pub(crate) fn sums_expected(story: &[Told], state: &State) -> (i64, i64, i64, i128, i128) {
    let mut ordered: Vec<&Call> = state.calls.values().collect();
    ordered.sort_by_key(|call| call.number);
    let mut sums = (0, 0, 0, 0, 0);
    for (told, call) in story.iter().zip(ordered) {
        let priced =
            told.truth.usage.map(|usage| nano_usd(state.names.text(NameKind::Candidate, call.candidate), usage));
        let cost = i128::from(told.truth.cost.map(|c| c.0).or(priced).unwrap_or(0));
        sums.3 += cost;
        if told.evaluation {
            continue;
        }
        sums.0 += 1;
        match told.truth.verdict {
            Some(Verdict::Success) => sums.1 += 1,
            Some(Verdict::Failure(_)) => {
                sums.2 += 1;
                sums.4 += cost;
            }
            None => {}
        }
    }
    sums
}

/// Cost at the list prices of the suite.
fn nano_usd(candidate: &str, (input, output): (u64, u64)) -> u64 {
    let (in_nano, out_nano) = match candidate.split('#').next().unwrap() {
        "openai/gpt-4o" => (5_000, 15_000),
        "openai/gpt-4o-mini" => (150, 600),
        "openai/gpt-4-turbo" => (10_000, 30_000),
        other => panic!("no price for {other}"),
    };
    input * in_nano + output * out_nano
}
