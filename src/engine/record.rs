//! What came of a call becomes a fact here: which call it settles, what it cost, whether it was seen before.

use super::Engine;
use super::amend::day;
use super::error::EngineError;
use super::hydrate::{self, ColdStore};
use super::naming::{Naming, step_key};
use crate::domain::beta::Beta;
use crate::domain::budget::{Charge, Opened, Site};
use crate::domain::call::{Arm, Call, CallNo, CallRef, CallTraits, Selection, Settled, Stage};
use crate::domain::catalog::{Pins, Reward, ServiceTier};
use crate::domain::event::{Body, Event, Key, NewCall, OutcomeRecorded, Place};
use crate::domain::money::NanoUsd;
use crate::domain::names::{NameId, NameKind};
use crate::domain::outcome::{CostSource, DecisionRef, OutcomeOf, OutcomeReport};
use crate::domain::rollout::Assigned;
use crate::domain::state::State;
use crate::domain::strata::Stratum;
use crate::domain::time::UnixMillis;

/// The calls of other models, and quality checks, that one decision may have.
const FURTHER_MAX: usize = 256;

/// How far ahead of the daemon's clock a caller's may be, in milliseconds.
pub(super) const CLOCK_SKEW_MS: i64 = 60_000;

/// What a report came to, before anything is written.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The call that is (or was already) settled.
    pub call: CallNo,
    /// It was seen before: nothing is to be written.
    pub duplicate: bool,
    /// Facts to write and apply, in order.
    pub events: Vec<Event>,
    /// The event that first recorded it, where it is a duplicate.
    pub first_seq: Option<u64>,
}

impl Recorded {
    fn again(call: CallNo, first_seq: u64) -> Self {
        Self { call, duplicate: true, events: Vec::new(), first_seq: Some(first_seq) }
    }
}

/// The posterior of a call's candidate, where the call teaches one.
#[must_use]
pub fn posterior_of(engine: &Engine, call: &Call) -> Option<Beta> {
    call.reward_micro()?;
    let name = engine.state.names.text(NameKind::Task, call.task);
    let task = engine.task(name).ok()?;
    let id = engine.state.names.text(NameKind::Candidate, call.candidate);
    match task.candidates.iter().find(|c| *c.id == *id) {
        Some(candidate) => Some(engine.learned(call.task, task, candidate).1),
        None => Some(engine.state.cell(call.task, call.candidate)?.posterior(task.settings.prior)),
    }
}

impl Engine {
    /// Turns an outcome report into facts.
    ///
    /// # Errors
    /// Nothing of that name, a key used with another body, a model id that means two models, or a time in the future.
    pub fn record(
        &mut self,
        store: &dyn ColdStore,
        report: &OutcomeReport,
        now: UnixMillis,
    ) -> Result<Recorded, EngineError> {
        if let Some(key) = report.key
            && let Some(found) = self.used(store, key)?
        {
            return Ok(Recorded::again(found.0, found.1));
        }
        let counted_at = counted_at(report.occurred_at, self.state.detail_from, now)?;
        if let Some(retried) = report.retry_of
            && hydrate::call(&mut self.state, store, retried).is_none()
        {
            return Err(EngineError::not_found("call", "retry_of"));
        }
        hydrate::chain(&mut self.state, store, &report.goal_id);
        match &report.of {
            OutcomeOf::Decision(decision) | OutcomeOf::Hold(decision) => {
                self.of_decision(store, report, decision, counted_at, now)
            }
            OutcomeOf::Elsewhere { task, model } => self.of_elsewhere(store, report, task, model, counted_at, now),
        }
    }

    /// The call and event an idempotency key was used for.
    ///
    /// # Errors
    /// It was used with another body.
    pub fn used(&mut self, store: &dyn ColdStore, key: Key) -> Result<Option<(CallNo, u64)>, EngineError> {
        match hydrate::key(&mut self.state, store, key.hash) {
            Some(used) if used.body == key.body => {
                hydrate::call(&mut self.state, store, used.call);
                Ok(Some((used.call, used.seq)))
            }
            Some(_) => Err(EngineError::Conflict("this idempotency_key was used with another request".to_owned())),
            None => Ok(None),
        }
    }

    fn of_decision(
        &mut self,
        store: &dyn ColdStore,
        report: &OutcomeReport,
        decision: &DecisionRef,
        counted_at: UnixMillis,
        now: UnixMillis,
    ) -> Result<Recorded, EngineError> {
        self.still_there(store, CallRef { number: decision.number, at: decision.at })?;
        let known = hydrate::call(&mut self.state, store, decision.number).cloned();
        if decision.candidate == NameId::NONE && known.is_none() {
            let say = "this decision served no model, so no outcome can follow from it; report a call made all the same \
                       with its task_type and model";
            return Err(EngineError::Precondition(say.to_owned()));
        }
        if let Some(call) = &known {
            hydrate::chain(&mut self.state, store, &call.goal);
            call.charges.iter().for_each(|c| hydrate::account(&mut self.state, store, c.account));
        }
        let is_lost = known.is_none();
        let base = known.unwrap_or_else(|| lost(decision));
        let mut naming = Naming::default();
        let served = self.served(report, &base, &mut naming)?;
        // Another model's call and a quality check never take the place of the decision's own call, whichever is
        // reported first.
        let apart = served.is_some() || report.evaluation;
        if let Some(again) = self.told_before(store, report, &base, apart)? {
            return Ok(again);
        }
        // The own call keeps the digest of its report itself; any other needs the decision's key written down.
        let key = report.key.or_else(|| apart.then(|| keyless(decision.number, report.body)));
        if apart && base.further.len() >= FURTHER_MAX {
            let say =
                format!("this decision has {FURTHER_MAX} other calls already; report more with task_type and model");
            return Err(EngineError::Precondition(say));
        }
        let number = if apart { self.next_call } else { decision.number };
        let mut place = self.place_of(report, &base, number, served, decision, &mut naming);
        if let (true, true, Some(new)) = (apart, is_lost, place.as_mut()) {
            new.lost = Some(base.candidate);
        }
        let charges = match &place {
            Some(_) => self.unadmitted(store, report, &base, &mut naming),
            None => Vec::new(),
        };
        let model = served.map_or(base.candidate, |s| s.0);
        let tier = report.service_tier.unwrap_or(base.service_tier);
        let source = naming.source(&self.state.names, &report.source);
        let settled = self.settled(report, &self.model_of(model, report), base.hold, tier, counted_at)?;
        let settled = Settled { source, ..settled };
        let recorded = OutcomeRecorded {
            call: number,
            decision: decision.number,
            place,
            served: served.map(|s| s.0),
            off_policy: served.is_some_and(|s| s.1),
            retry_of: report.retry_of,
            evaluation: report.evaluation,
            counted_at,
            settled,
            evidence: report.evidence.clone(),
            output_ref: report.output_ref.clone(),
            charges,
            key,
        };
        Ok(self.recorded(recorded, naming, now))
    }

    /// The answer to an outcome that was told before; `None`: it is a new one. Without a key of its own the decision is
    /// the key, whatever model the outcome is of, so a decision has one such outcome.
    ///
    /// # Errors
    /// The decision was voided, or has another outcome where this one must be the only one.
    fn told_before(
        &mut self,
        store: &dyn ColdStore,
        report: &OutcomeReport,
        base: &Call,
        apart: bool,
    ) -> Result<Option<Recorded>, EngineError> {
        // The key is written down with another model's call only, so there is nothing to look for before the first of them.
        if report.key.is_none()
            && !base.further.is_empty()
            && let Some(used) = hydrate::key(&mut self.state, store, keyless(base.number, report.body).hash)
        {
            if used.body != report.body {
                return Err(already_settled());
            }
            hydrate::call(&mut self.state, store, used.call);
            return Ok(Some(Recorded::again(used.call, used.seq)));
        }
        match base.stage {
            Stage::Voided => {
                let say = "this decision was voided: its call was declared never made";
                Err(EngineError::Precondition(say.to_owned()))
            }
            Stage::Settled(settled) if report.key.is_none() && settled.body == report.body => {
                Ok(Some(Recorded::again(base.number, base.recorded_seq)))
            }
            Stage::Settled(_) if report.key.is_none() || !apart => Err(already_settled()),
            Stage::Settled(_) | Stage::Open(_) | Stage::Expired | Stage::Answered => Ok(None),
        }
    }

    /// The model that served, where it is not the one decided, and whether nobody offered it.
    fn served(
        &self,
        report: &OutcomeReport,
        base: &Call,
        naming: &mut Naming,
    ) -> Result<Option<(NameId, bool)>, EngineError> {
        if report.model_served.is_empty() {
            return Ok(None);
        }
        let names = &self.state.names;
        let is = |id: NameId, model: &str| {
            let text = names.text(NameKind::Candidate, id);
            text == report.model_served || text.split('#').next() == Some(model)
        };
        let model = self.known_model("model_served", &report.model_served)?;
        if is(base.candidate, &model) {
            return Ok(None);
        }
        if let Some(offered) = base.fallbacks.iter().find(|f| is(**f, &model)) {
            return Ok(Some((*offered, false)));
        }
        Ok(Some((naming.reported_model(names, &model), true)))
    }

    /// The catalogue id a name means, or the name itself where the catalogue has none.
    fn known_model(&self, field: &str, text: &str) -> Result<String, EngineError> {
        let found = self.catalog.resolve(text).map_err(|e| EngineError::field(field, e.to_string()))?;
        Ok(found.map_or_else(|| text.to_owned(), |(model, _)| model.id.to_string()))
    }

    /// Where a call belongs, when that is not yet on the record as it is.
    fn place_of(
        &self,
        report: &OutcomeReport,
        base: &Call,
        number: CallNo,
        served: Option<(NameId, bool)>,
        decision: &DecisionRef,
        naming: &mut Naming,
    ) -> Option<Box<NewCall>> {
        let adds = (base.goal.is_empty() && !report.goal_id.is_empty())
            || (base.workflow == NameId::NONE && !report.workflow.is_empty())
            || (base.step == NameId::NONE && !report.step.is_empty())
            || (base.tool == NameId::NONE && !report.tool.is_empty())
            || !report.labels.is_empty();
        let known = self.state.calls.contains_key(&number);
        if known && !adds {
            return None;
        }
        let names = &self.state.names;
        let mut or =
            |has: NameId, kind, text: &str| if has == NameId::NONE { naming.name(names, kind, text) } else { has };
        let workflow = or(base.workflow, NameKind::Workflow, &report.workflow);
        let step = or(base.step, NameKind::Step, &report.step);
        let tool = or(base.tool, NameKind::Tool, &report.tool);
        let mut labels = report.labels.clone();
        if let Some(own) = names.labels(base.labels) {
            labels.extend(own.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        let labels = if report.labels.is_empty() { base.labels } else { naming.labels(names, &labels) };
        let goal = if base.goal.is_empty() { report.goal_id.clone() } else { base.goal.clone() };
        let key = if base.step == NameId::NONE && !report.step.is_empty() || base.step_key == 0 {
            step_key(names.text(NameKind::Step, base.step), &report.step, names.text(NameKind::Task, base.task))
        } else {
            base.step_key
        };
        let candidate = served.map_or(base.candidate, |s| s.0);
        let (task, step_key) = (base.task, key);
        let mut place = Place { task, candidate, workflow, step, tool, labels, goal, step_key, ..Place::default() };
        naming.complete(&mut place);
        let first = number == decision.number;
        let decided = first && base.decided;
        Some(Box::new(NewCall { at: base.at, place, traits: base.traits, decided, lost: None }))
    }

    fn of_elsewhere(
        &mut self,
        store: &dyn ColdStore,
        report: &OutcomeReport,
        task: &str,
        model: &str,
        counted_at: UnixMillis,
        now: UnixMillis,
    ) -> Result<Recorded, EngineError> {
        let mut naming = Naming::default();
        let settings = if task.is_empty() { None } else { Some(self.task(task)?.clone()) };
        let known = if model.is_empty() { String::new() } else { self.known_model("model", model)? };
        let offered = settings.as_ref().and_then(|t| t.candidates.iter().find(|c| *c.id == *model || *c.id == *known));
        let candidate = offered.map_or(known.as_str(), |c| &c.id);
        let exchangeable = settings.as_ref().is_some_and(|t| t.settings.pins == Pins::Exchangeable);
        let traits = CallTraits {
            arm: Arm::Elsewhere,
            selection: Selection::Constraint,
            may_teach: exchangeable && offered.is_some(),
            quality_reward: settings.as_ref().is_some_and(|t| t.settings.reward == Reward::Quality),
            learns_from_goal: settings.as_ref().is_some_and(|t| t.settings.learns_from_goal),
            assigned: Assigned::No,
            stratum: Stratum::NONE,
        };
        let labels = self.labels_of(&report.goal_id, "", &report.labels);
        let workflow = self.workflow_of(&report.goal_id, &report.workflow).to_owned();
        let site = Site {
            task,
            workflow: &workflow,
            step: [&*report.step, task, &report.tool].into_iter().find(|n| !n.is_empty()).unwrap_or(""),
            tool: &report.tool,
            labels: &labels,
            goal: &report.goal_id,
        };
        let charges = self.book_late(store, &site, &[], counted_at, &mut naming);
        let names = &self.state.names;
        let mut place = Place {
            task: naming.name(names, NameKind::Task, task),
            candidate: naming.reported_model(names, candidate),
            workflow: naming.name(names, NameKind::Workflow, &workflow),
            step: naming.name(names, NameKind::Step, &report.step),
            tool: naming.name(names, NameKind::Tool, &report.tool),
            labels: naming.labels(names, &labels),
            goal: report.goal_id.clone(),
            step_key: step_key(&report.step, task, &report.tool),
            ..Place::default()
        };
        naming.complete(&mut place);
        let settled = self.settled(report, model, None, report.service_tier.unwrap_or_default(), counted_at)?;
        let settled = Settled { source: naming.source(&self.state.names, &report.source), ..settled };
        let number = self.next_call;
        let recorded = OutcomeRecorded {
            call: number,
            decision: number,
            place: Some(Box::new(NewCall { at: counted_at, place, traits, decided: false, lost: None })),
            served: None,
            off_policy: false,
            retry_of: report.retry_of,
            evaluation: report.evaluation,
            counted_at,
            settled,
            evidence: report.evidence.clone(),
            output_ref: report.output_ref.clone(),
            charges,
            key: report.key,
        };
        Ok(self.recorded(recorded, naming, now))
    }

    /// The accounts a call is booked on that nobody asked before it was made: those of the place it turns out to have, in the
    /// period of its decision.
    fn unadmitted(
        &mut self,
        store: &dyn ColdStore,
        report: &OutcomeReport,
        base: &Call,
        naming: &mut Naming,
    ) -> Vec<Charge> {
        let names = &self.state.names;
        let or = |kind, id, own: &'_ str| {
            if matches!(id, NameId::NONE | NameId::OTHER) { own.to_owned() } else { names.text(kind, id).to_owned() }
        };
        let task = or(NameKind::Task, base.task, "");
        let (step, tool) = (or(NameKind::Step, base.step, &report.step), or(NameKind::Tool, base.tool, &report.tool));
        let goal = if base.goal.is_empty() { &report.goal_id } else { &base.goal };
        let mut labels = report.labels.clone();
        if let Some(own) = names.labels(base.labels) {
            labels.extend(own.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        let workflow = or(NameKind::Workflow, base.workflow, &report.workflow);
        let workflow = self.workflow_of(goal, &workflow).to_owned();
        let site = Site {
            task: &task,
            workflow: &workflow,
            step: [&step, &task, &tool].into_iter().find(|n| !n.is_empty()).map_or("", |n| n),
            tool: &tool,
            labels: &self.labels_of(goal, "", &labels),
            goal,
        };
        self.book_late(store, &site, &base.charges, base.at, naming)
    }

    /// Books on the budgets of `site` that nobody asked, in the periods in which `at` lies; an account of one that ended is
    /// brought to hand. What a budget was asked for before (`booked`) belongs to the period it was admitted in.
    fn book_late(
        &mut self,
        store: &dyn ColdStore,
        site: &Site<'_>,
        booked: &[Charge],
        at: UnixMillis,
        naming: &mut Naming,
    ) -> Vec<Charge> {
        for line in self.admission(site, "", at).lines.iter().filter(|line| line.is_new) {
            hydrate::account(&mut self.state, store, line.opened.key);
        }
        let mut admission = self.admission(site, "", at);
        let chain = self.chain(site.goal, "");
        let asked: Vec<&Opened> =
            booked.iter().filter_map(|c| self.state.account(c.account, &chain)).map(|a| &a.opened).collect();
        let is_new = |of: &Opened| {
            booked.iter().all(|c| c.account != of.key) && !asked.iter().any(|before| before.is_of_the_same(of))
        };
        admission.lines.retain(|line| is_new(&line.opened));
        let charges: Vec<Charge> =
            admission.lines.iter().map(|line| Charge { account: line.opened.key, held: 0 }).collect();
        naming.events.extend(admission.openings(&charges));
        charges
    }

    fn recorded(&mut self, recorded: OutcomeRecorded, naming: Naming, now: UnixMillis) -> Recorded {
        if recorded.call == self.next_call {
            self.next_call = self.next_call.next();
        }
        let call = recorded.call;
        let mut events: Vec<Event> = naming.events.into_iter().map(|body| Event { at: now, body }).collect();
        events.push(Event { at: now, body: Body::OutcomeRecorded(Box::new(recorded)) });
        Recorded { call, duplicate: false, events, first_seq: None }
    }

    /// The model that is billed for a call.
    fn model_of(&self, candidate: NameId, report: &OutcomeReport) -> String {
        let text = self.state.names.text(NameKind::Candidate, candidate);
        let text = if candidate == NameId::OTHER || text == "other" { report.model_served.as_str() } else { text };
        text.split('#').next().unwrap_or("").to_owned()
    }

    /// Cost of the call: reported, else usage × the price of its day, else unknown.
    fn settled(
        &self,
        report: &OutcomeReport,
        model: &str,
        hold: Option<NanoUsd>,
        tier: ServiceTier,
        counted_at: UnixMillis,
    ) -> Result<Settled, EngineError> {
        let found = self.catalog.resolve(model).map_err(|e| EngineError::field("model", e.to_string()))?;
        let priced = report.usage.zip(found).and_then(|(usage, (model, _))| model.cost(&usage, tier, counted_at));
        let (cost, cost_source) = match (report.cost, priced) {
            (Some(cost), _) => (Some(cost), CostSource::Reported),
            (None, Some(cost)) => (Some(cost), CostSource::Priced),
            (None, None) => (None, CostSource::Unknown),
        };
        Ok(Settled {
            cost,
            cost_source,
            verdict: report.verdict,
            quality: report.quality,
            usage: report.usage,
            latency_ms: report.latency_ms,
            energy_mj: report.energy_mj,
            overrun: cost.zip(hold).is_some_and(|(cost, hold)| cost > hold),
            body: report.body,
            source: NameId::NONE,
        })
    }
}

/// A decision whose record a crash lost, as its id tells it.
fn lost(decision: &DecisionRef) -> Call {
    Call {
        number: decision.number,
        decision: decision.number,
        seq: 0,
        at: decision.at,
        counted_at: decision.at,
        decided: true,
        task: decision.task,
        candidate: decision.candidate,
        workflow: NameId::NONE,
        step: decision.step,
        tool: NameId::NONE,
        labels: crate::domain::names::LabelsId::NONE,
        goal: String::new(),
        step_key: 0,
        traits: decision.traits,
        service_tier: ServiceTier::Standard,
        hold: None,
        charges: Vec::new(),
        unadmitted: false,
        ordinal: 0,
        goal_verdict: None,
        fallbacks: Vec::new(),
        further: Vec::new(),
        attempt: 0,
        named_retry: false,
        follows_attempt: false,
        follows_failure: false,
        off_policy: false,
        evaluation: false,
        coarse: false,
        stage: Stage::Expired,
        recorded_seq: 0,
        amendments: 0,
    }
}

fn already_settled() -> EngineError {
    EngineError::Conflict(
        "this decision has another outcome already; correct it with AmendOutcome (POST /v1/outcomes/amend), or report a fallback with its own \
         idempotency_key and model_served"
            .to_owned(),
    )
}

/// The key of an outcome that has none of its own: its decision.
fn keyless(decision: CallNo, body: u64) -> Key {
    let mut hasher = blake3::Hasher::new_derive_key("oddsmaker 2026 other outcome of a decision");
    let digest = hasher.update(&decision.0.to_be_bytes()).finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&digest.as_bytes()[..16]);
    Key { hash: u128::from_be_bytes(first), body }
}

/// The time a caller says something happened at, else now.
///
/// # Errors
/// In the future, before 1970, or before the detail that is kept.
pub(super) fn counted_at(
    occurred_at: Option<UnixMillis>,
    detail_from: UnixMillis,
    now: UnixMillis,
) -> Result<UnixMillis, EngineError> {
    match occurred_at {
        Some(at) if at >= UnixMillis(0) && at < detail_from => {
            let say = format!("lies before {}: detail of that time was dropped, and is not taken", day(detail_from));
            Err(EngineError::field("occurred_at", say))
        }
        Some(at) if at > now.plus_ms(CLOCK_SKEW_MS) => {
            Err(EngineError::field("occurred_at", "lies in the future; send when it happened, or leave it out"))
        }
        Some(at) if at < UnixMillis(0) => Err(EngineError::field("occurred_at", "lies before 1970")),
        Some(at) => Ok(at.min(now)),
        None => Ok(now),
    }
}

/// The call of that number as it stands, after its facts were applied.
#[must_use]
pub(super) fn standing(state: &State, number: CallNo) -> Option<(&Call, &Settled)> {
    let call = state.calls.get(&number)?;
    Some((call, call.settled()?))
}
