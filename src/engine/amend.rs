//! Late truth and administration: corrections, voids, model states and resets become facts here.

use super::Engine;
use super::error::EngineError;
use super::hydrate::{self, ColdStore};
use super::naming::{Naming, step_key};
use super::record::{Recorded, standing};
use crate::domain::call::{CallNo, CallRef, Stage};
use crate::domain::event::{Body, Event, Key, ModelState, OutcomeAmended};
use crate::domain::money::NanoUsd;
use crate::domain::names::{NameId, NameKind};
use crate::domain::outcome::{CostSource, FailureReason, QualityMicro, Verdict};
use crate::domain::retention;
use crate::domain::time::UnixMillis;

/// Which outcome is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AmendAddress {
    /// A call, by an outcome or decision id.
    Call(CallRef),
    /// The latest outcome of a step of a goal.
    Step {
        /// The goal.
        goal: String,
        /// The step (or, for calls without one, their task type or tool).
        step: String,
    },
}

/// A checked correction; what is `None` stays as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Amendment {
    /// Which outcome.
    pub address: AmendAddress,
    /// Whether it succeeded.
    pub success: Option<bool>,
    /// Its quality score.
    pub quality: Option<QualityMicro>,
    /// Why it failed.
    pub failure_reason: Option<FailureReason>,
    /// What it cost.
    pub cost: Option<NanoUsd>,
    /// By whom.
    pub by: String,
    /// Which source of outcomes tells the verdict or score from now on; empty: none in particular.
    pub source: String,
    /// Why.
    pub reason: String,
    /// Idempotency key.
    pub key: Option<Key>,
}

impl Engine {
    /// Turns a correction into facts.
    ///
    /// # Errors
    /// No such outcome, or a key used with another body.
    pub fn amend(
        &mut self,
        store: &dyn ColdStore,
        amendment: &Amendment,
        now: UnixMillis,
    ) -> Result<Recorded, EngineError> {
        if let Some(key) = amendment.key
            && let Some((call, seq)) = self.used(store, key)?
        {
            return Ok(Recorded { call, duplicate: true, events: Vec::new(), first_seq: Some(seq) });
        }
        let call = match &amendment.address {
            AmendAddress::Call(of) => {
                self.still_there(store, *of)?;
                of.number
            }
            AmendAddress::Step { goal, step } => {
                let thread = hydrate::goal(&mut self.state, store, goal);
                let found = thread.and_then(|g| g.thread.last_of_step(step_key(step, "", "")));
                found.ok_or_else(|| EngineError::not_found("outcome of that goal and step", step))?
            }
        };
        let call = self.told_of(store, call);
        let (known, settled) =
            standing(&self.state, call).ok_or_else(|| EngineError::not_found("outcome", "the call has none yet"))?;
        let mut settled = *settled;
        settled.verdict = verdict(settled.verdict, amendment);
        settled.quality = amendment.quality.or(settled.quality);
        let mut naming = Naming::default();
        let tells = amendment.success.is_some() || amendment.quality.is_some() || amendment.failure_reason.is_some();
        if tells {
            settled.source = naming.source(&self.state.names, &amendment.source);
        }
        if let Some(cost) = amendment.cost {
            settled.cost = Some(cost);
            settled.cost_source = CostSource::Reported;
            settled.overrun = known.hold.is_some_and(|hold| cost > hold);
        }
        let (by, reason, key) = (amendment.by.clone(), amendment.reason.clone(), amendment.key);
        naming.events.push(Body::OutcomeAmended(Box::new(OutcomeAmended { call, settled, by, reason, key })));
        let events = naming.events.into_iter().map(|body| Event { at: now, body }).collect();
        Ok(Recorded { call, duplicate: false, events, first_seq: None })
    }

    /// Refuses a call whose detail was dropped: what it was is not known any more, so nothing about it can be changed.
    ///
    /// # Errors
    /// It was.
    pub(super) fn still_there(&mut self, store: &dyn ColdStore, of: CallRef) -> Result<(), EngineError> {
        let from = self.state.detail_from;
        if of.at >= from || hydrate::call(&mut self.state, store, of.number).is_some() {
            return Ok(());
        }
        Err(self.dropped())
    }

    /// What is said of a call whose detail was dropped.
    #[must_use]
    pub fn dropped(&self) -> EngineError {
        let since = day(self.state.detail_from);
        EngineError::Precondition(format!("the detail of this call was dropped: detail is kept since {since}"))
    }

    /// Drops the detail that is older than `kept_ms` by now (0: it is kept for ever), once a day.
    #[must_use]
    pub fn drop_detail(&self, kept_ms: i64, now: UnixMillis) -> Option<Event> {
        let before = retention::dropped_before(now, kept_ms).filter(|before| *before > self.state.detail_from)?;
        Some(Event { at: now, body: Body::DetailDropped { before } })
    }

    /// The call that a decision's outcome was told of: its own, else the first of its other models' calls in decision
    /// order, whichever of them was reported first. A quality check is none of them.
    fn told_of(&mut self, store: &dyn ColdStore, number: CallNo) -> CallNo {
        let call = hydrate::call(&mut self.state, store, number);
        let others = call.filter(|c| c.settled().is_none()).map(|c| c.further.clone()).unwrap_or_default();
        let order = |n: CallNo| {
            let other = hydrate::call(&mut self.state, store, n)?;
            (!other.evaluation).then(|| other.order())
        };
        others.into_iter().filter_map(order).min().map_or(number, |first| first.number)
    }

    /// Turns "the call was never made" into a fact; `None`: it was voided before.
    ///
    /// # Errors
    /// No such decision, or its outcome is known.
    pub fn void(
        &mut self,
        store: &dyn ColdStore,
        of: CallRef,
        by: &str,
        reason: &str,
        now: UnixMillis,
    ) -> Result<Option<Event>, EngineError> {
        self.still_there(store, of)?;
        let call = of.number;
        let known = hydrate::call(&mut self.state, store, call);
        match known.ok_or_else(|| EngineError::not_found("decision", "its record is gone"))?.stage {
            Stage::Voided => Ok(None),
            Stage::Settled(_) | Stage::Answered => {
                let say = "an outcome was recorded for this decision, so its call was made; correct it with AmendOutcome (POST /v1/outcomes/amend)";
                Err(EngineError::Precondition(say.to_owned()))
            }
            Stage::Open(_) | Stage::Expired => {
                let body = Body::DecisionVoided { call, by: by.to_owned(), reason: reason.to_owned() };
                Ok(Some(Event { at: now, body }))
            }
        }
    }

    /// Turns a model state set by a person into facts.
    #[must_use]
    pub fn set_model_state(
        &self,
        task: NameId,
        candidate: &str,
        state: ModelState,
        by: &str,
        reason: &str,
        now: UnixMillis,
    ) -> Vec<Event> {
        let mut naming = Naming::default();
        let candidate = naming.name(&self.state.names, NameKind::Candidate, candidate);
        let (by, reason) = (by.to_owned(), reason.to_owned());
        naming.events.push(Body::ModelStateSet { task, candidate, state, by, reason });
        naming.events.into_iter().map(|body| Event { at: now, body }).collect()
    }

    /// Sets the evidence of a task type, or of one candidate of it, aside: what was decided before now teaches no more.
    #[must_use]
    pub fn reset_posterior(
        &self,
        task: NameId,
        candidate: NameId,
        by: &str,
        reason: &str,
        key: Option<Key>,
        now: UnixMillis,
    ) -> Event {
        let (from, by, reason) = (self.next_call, by.to_owned(), reason.to_owned());
        Event { at: now, body: Body::PosteriorReset { task, candidate, from, by, reason, key } }
    }
}

/// The day (UTC) of a moment, as people write it.
#[must_use]
pub fn day(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| at.strftime("%F").to_string())
}

/// A moment (UTC), as people write it, to the second.
#[must_use]
pub fn instant(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| format!("{at:.0}"))
}

fn verdict(before: Option<Verdict>, amendment: &Amendment) -> Option<Verdict> {
    match (amendment.success, amendment.failure_reason) {
        (Some(true), _) => Some(Verdict::Success),
        (_, Some(reason)) => Some(Verdict::Failure(reason)),
        (Some(false), None) => match before {
            Some(Verdict::Failure(reason)) => Some(Verdict::Failure(reason)),
            _ => Some(Verdict::Failure(FailureReason::Unknown)),
        },
        (None, None) => before,
    }
}
