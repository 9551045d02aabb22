//! Decisions and outcomes read back from the journal: the same idempotency key is answered with the first answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::reply::PolicyReply;
use super::{Service, ServiceError, explain};
use crate::domain::call::{CallNo, Settled, Stage};
use crate::domain::catalog::{Model, TaskCandidate};
use crate::domain::event::{Body, Decided, Event, PolicyVerdict};
use crate::domain::filter::Exclusion;
use crate::domain::names::{NameId, NameKind};
use crate::engine::{Engine, hydrate};
use crate::journal::codec;

/// What is said instead of the first answer where its call was voided since: the hold was given back, so to say again that the
/// call may be made would let one through that nothing is held for and no outcome can follow from.
pub(super) const VOIDED: &str = "It was voided: the call was declared never made, and nothing is held for it any more. Ask again \
                                 with another idempotency_key.";

impl Service {
    /// The answer that event `seq` stands for; one whose call was voided since goes ahead no more.
    pub(super) fn decided_before(&self, seq: u64) -> Result<PolicyReply, ServiceError> {
        let event = self.event_at(seq)?;
        let Body::Decided(mut decided) = event.body else { return Err(gone(seq)) };
        let decision_id = self.decision_id(&decided, event.at);
        let mut engine = self.engine.lock();
        if self.is_voided(&mut engine, decided.number) {
            (decided.verdict, decided.reason) = (PolicyVerdict::Block, VOIDED.to_owned());
            (decided.place.candidate, decided.exhausted) = (NameId::NONE, None);
            (decided.estimate, decided.max_output_tokens) = (None, None);
            decided.fallbacks.clear();
        }
        let at = (decided.catalog as usize).checked_sub(1);
        let version = at.and_then(|i| engine.state.catalog_versions.get(i)).cloned().unwrap_or_default();
        let mut reply = replay(&engine, &decided, version);
        drop(engine);
        reply.decision_id = Some(decision_id);
        Ok(reply)
    }

    /// Whether the call of a decision or gate was declared never made.
    pub(super) fn is_voided(&self, engine: &mut Engine, number: CallNo) -> bool {
        hydrate::call(&mut engine.state, &self.shelf, number).is_some_and(|call| call.stage == Stage::Voided)
    }

    /// What event `seq`, an outcome or a correction, said of its call.
    pub(super) fn settled_before(&self, seq: u64) -> Result<Settled, ServiceError> {
        match self.event_at(seq)?.body {
            Body::OutcomeRecorded(recorded) => Ok(recorded.settled),
            Body::OutcomeAmended(amended) => Ok(amended.settled),
            _ => Err(gone(seq)),
        }
    }

    /// An event that is on disk.
    pub(super) fn event_at(&self, seq: u64) -> Result<Event, ServiceError> {
        let location = match self.journal.locate(seq) {
            Some(location) => Some(location),
            None => self.reader.locate(seq)?,
        };
        let entry = self.reader.read_at(location.ok_or_else(|| gone(seq))?)?;
        codec::decode(&entry.payload).map_err(|e| ServiceError::Internal(e.to_string()))
    }
}

fn gone(seq: u64) -> ServiceError {
    ServiceError::Internal(format!("event {seq} is not in the journal as it was answered"))
}

fn replay(engine: &Engine, decided: &Decided, version: String) -> PolicyReply {
    let name = |id: NameId| engine.state.names.text(NameKind::Candidate, id);
    let task = engine.state.names.text(NameKind::Task, decided.place.task);
    let served =
        (decided.place.candidate != NameId::NONE).then(|| candidate(engine, task, name(decided.place.candidate)));
    let fallbacks = decided.fallbacks.iter().map(|(id, cost)| (candidate(engine, task, name(*id)), *cost)).collect();
    let excluded: Vec<(&str, Exclusion)> = decided.exclusions.iter().map(|(id, why)| (name(*id), *why)).collect();
    let advised = decided.advised.map(|id| Arc::from(name(id)));
    explain::assemble(decided, served, fallbacks, version, &excluded, advised)
}

/// A candidate as the catalogue has it now; one that has left the catalogue keeps its name.
fn candidate(engine: &Engine, task: &str, id: &str) -> TaskCandidate {
    let known = engine.task(task).ok().and_then(|t| t.candidates.iter().find(|c| *c.id == *id));
    known.cloned().unwrap_or_else(|| TaskCandidate {
        id: Arc::from(id),
        model: Arc::new(Model {
            id: Arc::from(id.split('#').next().unwrap_or(id)),
            aliases: Vec::new(),
            rules: Vec::new(),
            capabilities: BTreeSet::new(),
            context_tokens: None,
            output_tokens: None,
            typical: None,
            source: String::new(),
            prices: Vec::new(),
        }),
        params: Default::default(),
        prior: None,
        tier: None,
        shadow: false,
    })
}
