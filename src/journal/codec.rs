//! Facts as bytes and back: one version byte, then the stored message. What it cannot read whole it refuses; it never
//! guesses a fact. It knows nothing of segments, checksums or sequence numbers.

use prost::Message as _;
use prost::encoding::DecodeContext;

use super::pb::{self, event::Body as Stored};
use super::{change_facts, fields, goal_facts, place};
use crate::domain::call::CallNo;
use crate::domain::event::{
    Asked, Body, Competitor, Decided, Event, ModelState, OutcomeAmended, OutcomeRecorded, PolicyVerdict,
};
use crate::domain::filter::Exclusion;
use crate::domain::flag::{FlagLook, PairLook};
use crate::domain::money::NanoUsd;
use crate::domain::names::{LabelsId, NameId};
use crate::domain::time::UnixMillis;

/// The version byte this program writes, and the newest it reads.
pub const VERSION: u8 = 1;

/// Why stored bytes are not a fact (or a record) this program can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// There is not even a version.
    #[error("nothing is stored here")]
    Empty,
    /// Written by a newer program.
    #[error("written in format {found}, this program knows formats up to {VERSION}: use a newer program")]
    Newer {
        /// The version byte.
        found: u8,
    },
    /// A version that never was.
    #[error("format {found} never existed: the bytes are damaged")]
    NoSuchVersion {
        /// The version byte.
        found: u8,
    },
    /// Not the stored message.
    #[error("the stored message does not parse: {0}")]
    Malformed(String),
    /// A fact of a kind this program does not know.
    #[error("a kind of event this program does not know: use a newer program")]
    UnknownBody,
    /// A fact of another project.
    #[error("belongs to project {0}; this program knows only the default one")]
    UnknownProject(u32),
    /// A number that stands for nothing.
    #[error("{field} holds {number}, which stands for nothing this program knows")]
    Value {
        /// The field.
        field: &'static str,
        /// The number.
        number: i64,
    },
    /// A part is not there.
    #[error("{field} is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A sequence of the wrong length.
    #[error("{field} has the wrong length")]
    Ragged {
        /// The field.
        field: &'static str,
    },
}

/// Appends `event` as it is stored to `out`.
///
/// Amounts of money are at most [`crate::domain::money::MAX_CALL_NANO_USD`] and shapes below 2⁶³ millionths, as the
/// domain promises; larger ones would be cut down.
pub fn encode(event: &Event, out: &mut Vec<u8>) {
    let stored = pb::Event { project: 0, at_ms: event.at.0, body: body_of(event) };
    out.push(VERSION);
    out.extend_from_slice(&stored.encode_to_vec());
}

/// The fact in `bytes`.
///
/// # Errors
/// Written by a newer program, or not what this program writes.
pub fn decode(bytes: &[u8]) -> Result<Event, CodecError> {
    let stored = pb::Event::decode(message(bytes)?).map_err(|e| CodecError::Malformed(e.to_string()))?;
    if stored.project != 0 {
        return Err(CodecError::UnknownProject(stored.project));
    }
    let at = UnixMillis(stored.at_ms);
    Ok(Event { at, body: body(at, stored.body.ok_or(CodecError::UnknownBody)?)? })
}

/// Whether the fact in `bytes` is a decision, a catalogue or something else, and when it was written, without reading the rest
/// of it; `None`: it cannot be told.
#[must_use]
pub fn glance(bytes: &[u8]) -> Option<(UnixMillis, Glance)> {
    let mut rest = message(bytes).ok()?;
    let mut at_ms = 0;
    while !rest.is_empty() {
        let (field, wire) = prost::encoding::decode_key(&mut rest).ok()?;
        match field {
            AT_MS => prost::encoding::sint64::merge(wire, &mut at_ms, &mut rest, DecodeContext::default()).ok()?,
            PROJECT => prost::encoding::skip_field(wire, field, &mut rest, DecodeContext::default()).ok()?,
            DECIDED => return Some((UnixMillis(at_ms), Glance::Decided)),
            CATALOG_CHANGED => return Some((UnixMillis(at_ms), Glance::CatalogChanged)),
            _ => return Some((UnixMillis(at_ms), Glance::Other)),
        }
    }
    Some((UnixMillis(at_ms), Glance::Other))
}

/// What [`glance`] tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// A decision.
    Decided,
    /// A catalogue that came into force.
    CatalogChanged,
    /// Any other fact.
    Other,
}

/// Fields of the stored message.
const PROJECT: u32 = 1;
const AT_MS: u32 = 2;
const CATALOG_CHANGED: u32 = 6;
const DECIDED: u32 = 7;

/// The stored message behind the version byte.
pub(crate) fn message(bytes: &[u8]) -> Result<&[u8], CodecError> {
    match bytes.split_first().ok_or(CodecError::Empty)? {
        (&VERSION, message) => Ok(message),
        (&found, _) if found > VERSION => Err(CodecError::Newer { found }),
        (&found, _) => Err(CodecError::NoSuchVersion { found }),
    }
}

fn body_of(event: &Event) -> Option<Stored> {
    Some(match &event.body {
        Body::Started { epoch, version } => Stored::Started(pb::Started { epoch: *epoch, version: version.clone() }),
        Body::Named { kind, id, text } => {
            Stored::Named(pb::Named { kind: fields::kind_number(*kind), id: id.0, text: text.clone() })
        }
        Body::LabelsNamed { id, labels } => {
            Stored::LabelsNamed(pb::LabelsNamed { id: id.0, set: Some(fields::labels_of(labels)) })
        }
        Body::CatalogChanged { version, text } => {
            Stored::CatalogChanged(pb::CatalogChanged { version: version.clone(), text: text.clone() })
        }
        Body::Decided(decided) => Stored::Decided(decided_of(event.at, decided)),
        Body::OutcomeRecorded(recorded) => Stored::OutcomeRecorded(recorded_of(event.at, recorded)),
        Body::OutcomeAmended(amended) => Stored::OutcomeAmended(pb::OutcomeAmended {
            call: amended.call.0,
            settled: Some(fields::settled_of(&amended.settled)),
            by: amended.by.clone(),
            reason: amended.reason.clone(),
            key: amended.key.as_ref().map(fields::key_of),
        }),
        Body::DecisionVoided { call, by, reason } => {
            Stored::DecisionVoided(pb::DecisionVoided { call: call.0, by: by.clone(), reason: reason.clone() })
        }
        Body::DecisionsExpired { calls } => {
            Stored::DecisionsExpired(pb::DecisionsExpired { calls: calls.iter().map(|c| c.0).collect() })
        }
        Body::ModelStateSet { task, candidate, state, by, reason } => Stored::ModelStateSet(pb::ModelStateSet {
            task: task.0,
            candidate: candidate.0,
            state: *state as i32,
            by: by.clone(),
            reason: reason.clone(),
        }),
        Body::DetailDropped { before } => Stored::DetailDropped(pb::DetailDropped { before_ms: before.0 }),
        Body::PosteriorReset { task, candidate, from, by, reason, key } => Stored::PosteriorReset(pb::PosteriorReset {
            task: task.0,
            candidate: candidate.0,
            from_call: from.0,
            by: by.clone(),
            reason: reason.clone(),
            key: key.as_ref().map(fields::key_of),
        }),
        Body::FlagLooked(look) => Stored::FlagLooked(look_of(look)),
        Body::ChangeFound(change) => Stored::ChangeFound(change_facts::of(change)),
        Body::Gated(_)
        | Body::AccountOpened(_)
        | Body::GoalStarted(_)
        | Body::GoalClosed(_)
        | Body::GoalAmended(_)
        | Body::GoalsTimedOut { .. }
        | Body::BudgetGranted(_)
        | Body::AlertRaised(_)
        | Body::AlertAcknowledged { .. } => return goal_facts::stored(event),
    })
}

fn body(at: UnixMillis, stored: Stored) -> Result<Body, CodecError> {
    Ok(match stored {
        Stored::Started(pb::Started { epoch, version }) => Body::Started { epoch, version },
        Stored::Named(pb::Named { kind, id, text }) => Body::Named { kind: fields::kind(kind)?, id: NameId(id), text },
        Stored::LabelsNamed(pb::LabelsNamed { id, set }) => {
            Body::LabelsNamed { id: LabelsId(id), labels: fields::required("set", set)?.pairs }
        }
        Stored::CatalogChanged(pb::CatalogChanged { version, text }) => Body::CatalogChanged { version, text },
        Stored::Decided(decided) => Body::Decided(Box::new(decided_from(at, decided)?)),
        Stored::OutcomeRecorded(recorded) => Body::OutcomeRecorded(Box::new(recorded_from(at, recorded)?)),
        Stored::OutcomeAmended(amended) => Body::OutcomeAmended(Box::new(OutcomeAmended {
            call: CallNo(amended.call),
            settled: fields::settled(&fields::required("settled", amended.settled)?)?,
            by: amended.by,
            reason: amended.reason,
            key: fields::key(amended.key)?,
        })),
        Stored::DecisionVoided(pb::DecisionVoided { call, by, reason }) => {
            Body::DecisionVoided { call: CallNo(call), by, reason }
        }
        Stored::DecisionsExpired(expired) => {
            Body::DecisionsExpired { calls: expired.calls.into_iter().map(CallNo).collect() }
        }
        Stored::ModelStateSet(set) => Body::ModelStateSet {
            task: NameId(set.task),
            candidate: NameId(set.candidate),
            state: fields::word("state", i64::from(set.state), ModelState::from_number)?,
            by: set.by,
            reason: set.reason,
        },
        Stored::DetailDropped(dropped) => Body::DetailDropped { before: UnixMillis(dropped.before_ms) },
        Stored::PosteriorReset(reset) => Body::PosteriorReset {
            task: NameId(reset.task),
            candidate: NameId(reset.candidate),
            from: CallNo(reset.from_call),
            by: reset.by,
            reason: reset.reason,
            key: fields::key(reset.key)?,
        },
        Stored::FlagLooked(look) => Body::FlagLooked(Box::new(look_from(&look))),
        Stored::ChangeFound(change) => Body::ChangeFound(Box::new(change_facts::from(&change))),
        other => return goal_facts::read(at, other)?.ok_or(CodecError::UnknownBody),
    })
}

fn decided_of(at: UnixMillis, decided: &Decided) -> pb::Decided {
    let (keep, keep_key) = keep_of(decided);
    let competitor = |c: &Competitor| {
        [u64::from(c.candidate.0), shape_of(c.alpha_micro), shape_of(c.beta_micro), fields::plus_one(c.cost)]
    };
    pb::Decided {
        number: decided.number.0,
        verdict: decided.verdict as i32,
        place: Some(place::stored(&decided.place)),
        traits: fields::traits_number(decided.traits),
        stratum: decided.traits.stratum.0,
        expires_after_ms: decided.expires_at.0.wrapping_sub(at.0),
        hold_nano: decided.hold.map(|h| h.0),
        estimate_nano: decided.estimate.map(|e| e.0),
        estimate_source: fields::estimate_number(decided.estimate_source),
        max_output_tokens: decided.max_output_tokens,
        competitors: decided.competitors.iter().flat_map(competitor).collect(),
        fallbacks: decided.fallbacks.iter().flat_map(|f| [u64::from(f.0.0), fields::plus_one(f.1)]).collect(),
        exclusions: decided.exclusions.iter().flat_map(|e| [e.0.0, e.1 as u32]).collect(),
        keep: keep as i32,
        drawn_by: decided.drawn_by.map(|d| d.0),
        key: decided.key.as_ref().map(fields::key_of),
        keep_key,
        irreversible: decided.irreversible,
        service_tier: fields::tier_number(decided.service_tier),
        reason: decided.reason.clone(),
        asked: decided.asked.as_deref().map(asked_of),
        catalog: decided.catalog,
        charges: goal_facts::charges_of(&decided.charges),
        exhausted: decided.exhausted.as_ref().map(|e| goal_facts::exhausted_of(at, e)),
        advised: decided.advised.map_or(0, |id| id.0),
        unfit: decided.unfit.clone(),
    }
}

fn decided_from(at: UnixMillis, stored: pb::Decided) -> Result<Decided, CodecError> {
    let place = place::read(fields::required("place", stored.place)?)?;
    let keep = match pb::Keep::try_from(stored.keep) {
        Ok(pb::Keep::None) => None,
        Ok(pb::Keep::Goal) => Some(0),
        Ok(pb::Keep::Step) => Some(place.step_key),
        Ok(pb::Keep::Other) => Some(stored.keep_key),
        Err(_) => return Err(CodecError::Value { field: "keep", number: i64::from(stored.keep) }),
    };
    let competitors = fields::groups("competitors", &stored.competitors)?.into_iter();
    let fallbacks = fields::groups("fallbacks", &stored.fallbacks)?.into_iter();
    let exclusions = fields::groups("exclusions", &stored.exclusions)?.into_iter();
    let competitor = |[candidate, alpha, beta, cost]: [u64; 4]| {
        let (alpha_micro, beta_micro) = (shape("alpha", alpha)?, shape("beta", beta)?);
        Ok(Competitor { candidate: name(candidate)?, alpha_micro, beta_micro, cost: fields::less_one(cost) })
    };
    let exclusion = |[candidate, reason]: [u32; 2]| {
        Ok((NameId(candidate), fields::word("exclusion", i64::from(reason), Exclusion::from_number)?))
    };
    Ok(Decided {
        number: CallNo(stored.number),
        verdict: fields::word("verdict", i64::from(stored.verdict), PolicyVerdict::from_number)?,
        place,
        traits: fields::traits(stored.traits, stored.stratum)?,
        irreversible: stored.irreversible,
        expires_at: UnixMillis(at.0.wrapping_add(stored.expires_after_ms)),
        hold: stored.hold_nano.map(NanoUsd),
        estimate: stored.estimate_nano.map(NanoUsd),
        estimate_source: fields::estimate(stored.estimate_source)?,
        max_output_tokens: stored.max_output_tokens,
        fallbacks: fallbacks
            .map(|[c, cost]: [u64; 2]| Ok((name(c)?, fields::less_one(cost))))
            .collect::<Result<_, _>>()?,
        competitors: competitors.map(competitor).collect::<Result<_, _>>()?,
        exclusions: exclusions.map(exclusion).collect::<Result<_, _>>()?,
        drawn_by: stored.drawn_by.map(CallNo),
        keep,
        catalog: stored.catalog,
        service_tier: fields::tier(stored.service_tier)?,
        reason: stored.reason,
        charges: goal_facts::charges(&stored.charges)?,
        exhausted: stored.exhausted.map(|e| goal_facts::exhausted(at, e).map(Box::new)).transpose()?,
        unfit: stored.unfit,
        asked: stored.asked.map(|a| Box::new(asked(a))),
        advised: Some(NameId(stored.advised)).filter(|id| *id != NameId::NONE),
        key: fields::key(stored.key)?,
    })
}

fn keep_of(decided: &Decided) -> (pb::Keep, u64) {
    match decided.keep {
        None => (pb::Keep::None, 0),
        Some(0) => (pb::Keep::Goal, 0),
        Some(key) if key == decided.place.step_key => (pb::Keep::Step, 0),
        Some(key) => (pb::Keep::Other, key),
    }
}

const MICRO: u64 = 1_000_000;

/// A shape in millionths as stored: whole units even, others odd.
fn shape_of(micro: u64) -> u64 {
    if micro.is_multiple_of(MICRO) { (micro / MICRO) << 1 } else { micro.min(u64::MAX >> 1) << 1 | 1 }
}

fn shape(field: &'static str, stored: u64) -> Result<u64, CodecError> {
    let number = stored >> 1;
    if stored & 1 == 1 {
        return Ok(number);
    }
    number.checked_mul(MICRO).ok_or(CodecError::Value { field, number: number as i64 })
}

fn name(stored: u64) -> Result<NameId, CodecError> {
    u32::try_from(stored).map(NameId).map_err(|_| CodecError::Value { field: "candidate", number: stored as i64 })
}

fn asked_of(asked: &Asked) -> pb::Asked {
    let asked = asked.clone();
    pb::Asked {
        max_cost_nano: asked.max_cost.map(|c| c.0),
        max_latency_ms: asked.max_latency_ms,
        min_success_rate: asked.min_success_rate,
        min_context_tokens: asked.min_context_tokens,
        capabilities: asked.capabilities,
        allowed_models: asked.allowed_models,
        denied_models: asked.denied_models,
        requested_model: asked.requested_model,
        parent_goal: asked.parent_goal,
        features: asked.features,
    }
}

fn asked(stored: pb::Asked) -> Asked {
    Asked {
        max_cost: stored.max_cost_nano.map(NanoUsd),
        max_latency_ms: stored.max_latency_ms,
        min_success_rate: stored.min_success_rate,
        min_context_tokens: stored.min_context_tokens,
        capabilities: stored.capabilities,
        allowed_models: stored.allowed_models,
        denied_models: stored.denied_models,
        requested_model: stored.requested_model,
        parent_goal: stored.parent_goal,
        features: stored.features,
    }
}

fn recorded_of(at: UnixMillis, recorded: &OutcomeRecorded) -> pb::OutcomeRecorded {
    pb::OutcomeRecorded {
        call: recorded.call.0,
        decision: fields::unless(recorded.decision, recorded.call),
        place: recorded.place.as_deref().map(|new| place::stored_new(at, new)),
        served: recorded.served.map(|s| s.0),
        off_policy: recorded.off_policy,
        retry_of: recorded.retry_of.map(|r| r.0),
        evaluation: recorded.evaluation,
        counted_after_ms: recorded.counted_at.0.wrapping_sub(at.0),
        settled: Some(fields::settled_of(&recorded.settled)),
        evidence: recorded.evidence.clone(),
        output_ref: recorded.output_ref.clone(),
        charges: goal_facts::charges_of(&recorded.charges),
        key: recorded.key.as_ref().map(fields::key_of),
    }
}

fn recorded_from(at: UnixMillis, stored: pb::OutcomeRecorded) -> Result<OutcomeRecorded, CodecError> {
    Ok(OutcomeRecorded {
        call: CallNo(stored.call),
        decision: CallNo(stored.decision.unwrap_or(stored.call)),
        place: stored.place.map(|new| place::read_new(at, new).map(Box::new)).transpose()?,
        served: stored.served.map(NameId),
        off_policy: stored.off_policy,
        retry_of: stored.retry_of.map(CallNo),
        evaluation: stored.evaluation,
        counted_at: UnixMillis(at.0.wrapping_add(stored.counted_after_ms)),
        settled: fields::settled(&fields::required("settled", stored.settled)?)?,
        evidence: stored.evidence,
        output_ref: stored.output_ref,
        charges: goal_facts::charges(&stored.charges)?,
        key: fields::key(stored.key)?,
    })
}

fn look_of(look: &FlagLook) -> pb::FlagLooked {
    let pair = |p: &PairLook| {
        let PairLook { incumbent, cheaper, smaller_count, probability } = *p;
        pb::PairLook { incumbent: incumbent.0, cheaper: cheaper.0, smaller_count, probability }
    };
    let (pairs, raised) = (look.pairs.iter().map(pair).collect(), look.raised.as_ref().map(fields::raised_of));
    pb::FlagLooked { task: look.task.0, pairs, raised }
}

fn look_from(stored: &pb::FlagLooked) -> FlagLook {
    let pair = |p: &pb::PairLook| {
        let pb::PairLook { incumbent, cheaper, smaller_count, probability } = *p;
        PairLook { incumbent: NameId(incumbent), cheaper: NameId(cheaper), smaller_count, probability }
    };
    let (pairs, raised) = (stored.pairs.iter().map(pair).collect(), stored.raised.as_ref().map(fields::raised));
    FlagLook { task: NameId(stored.task), pairs, raised }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
pub(crate) mod tests;
