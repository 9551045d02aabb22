//! The parts that stored facts and stored records have in common, between the domain and the bytes. Nothing here knows
//! of versions, checksums or files; every number read from disk is checked before it becomes a word of the domain.

use super::codec::CodecError;
use super::pb;
use crate::domain::call::{Arm, CallNo, CallTraits, Selection, Settled};
use crate::domain::catalog::ServiceTier;
use crate::domain::cell::EstimateSource;
use crate::domain::event::Key;
use crate::domain::flag::Raised;
use crate::domain::money::NanoUsd;
use crate::domain::names::{Labels, NameId, NameKind};
use crate::domain::outcome::{CostSource, FailureReason, QualityMicro, Verdict};
use crate::domain::pricing::Usage;
use crate::domain::rollout::Assigned;
use crate::domain::strata::Stratum;

const MAY_TEACH: u32 = 1 << 6;
const QUALITY_REWARD: u32 = 1 << 7;
const LEARNS_FROM_GOAL: u32 = 1 << 8;
const ASSIGNED_SHIFT: u32 = 9;

/// A word of the domain from its stored number.
pub(crate) fn word<T>(field: &'static str, number: i64, of: impl Fn(u8) -> Option<T>) -> Result<T, CodecError> {
    u8::try_from(number).ok().and_then(of).ok_or(CodecError::Value { field, number })
}

/// Kind of a name as stored.
pub(crate) fn kind_number(kind: NameKind) -> i32 {
    match kind {
        NameKind::Task => 1,
        NameKind::Candidate => 2,
        NameKind::Workflow => 3,
        NameKind::Step => 4,
        NameKind::Tool => 5,
        NameKind::Source => 6,
    }
}

/// Every kind of name, in the order of the stored numbers.
pub(crate) const KINDS: [NameKind; 6] =
    [NameKind::Task, NameKind::Candidate, NameKind::Workflow, NameKind::Step, NameKind::Tool, NameKind::Source];

/// Kind of a name as read.
pub(crate) fn kind(number: i32) -> Result<NameKind, CodecError> {
    word("kind", i64::from(number), |n| KINDS.get(usize::from(n).checked_sub(1)?).copied())
}

/// Service tier as stored.
pub(crate) fn tier_number(tier: ServiceTier) -> i32 {
    match tier {
        ServiceTier::Standard => 0,
        ServiceTier::Batch => 1,
        ServiceTier::Priority => 2,
        ServiceTier::Flex => 3,
    }
}

/// Service tier as read.
pub(crate) fn tier(number: i32) -> Result<ServiceTier, CodecError> {
    word("service_tier", i64::from(number), |n| ServiceTier::ALL.get(usize::from(n)).copied())
}

/// Source of an estimate as stored.
pub(crate) fn estimate_number(source: EstimateSource) -> i32 {
    match source {
        EstimateSource::Unknown => 0,
        EstimateSource::Learned => 1,
        EstimateSource::Request => 2,
        EstimateSource::Typical => 3,
    }
}

/// Source of an estimate as read.
pub(crate) fn estimate(number: i32) -> Result<EstimateSource, CodecError> {
    word("estimate_source", i64::from(number), |n| match n {
        0 => Some(EstimateSource::Unknown),
        1 => Some(EstimateSource::Learned),
        2 => Some(EstimateSource::Request),
        3 => Some(EstimateSource::Typical),
        _ => None,
    })
}

/// Traits as one number, without the stratum: arm, selection, three flags and by what the arm was assigned.
pub(crate) fn traits_number(traits: CallTraits) -> u32 {
    let flag = |set: bool, bit: u32| if set { bit } else { 0 };
    traits.arm as u32
        | (traits.selection as u32) << 3
        | flag(traits.may_teach, MAY_TEACH)
        | flag(traits.quality_reward, QUALITY_REWARD)
        | flag(traits.learns_from_goal, LEARNS_FROM_GOAL)
        | (traits.assigned as u32) << ASSIGNED_SHIFT
}

/// Traits as read, with their stratum.
pub(crate) fn traits(number: u32, stratum: u32) -> Result<CallTraits, CodecError> {
    Ok(CallTraits {
        arm: word("arm", i64::from(number & 7), Arm::from_number)?,
        selection: word("selection", i64::from(number >> 3 & 7), Selection::from_number)?,
        may_teach: number & MAY_TEACH != 0,
        quality_reward: number & QUALITY_REWARD != 0,
        learns_from_goal: number & LEARNS_FROM_GOAL != 0,
        assigned: word("assigned", i64::from(number >> ASSIGNED_SHIFT & 3), Assigned::from_number)?,
        stratum: Stratum(stratum),
    })
}

/// A number in a packed sequence that may be unknown: itself + 1, or 0.
pub(crate) fn plus_one(cost: Option<NanoUsd>) -> u64 {
    cost.map_or(0, |c| c.0.saturating_add(1))
}

/// The inverse of [`plus_one`].
pub(crate) fn less_one(number: u64) -> Option<NanoUsd> {
    number.checked_sub(1).map(NanoUsd)
}

/// A packed sequence in groups of `N`.
pub(crate) fn groups<T: Copy, const N: usize>(field: &'static str, all: &[T]) -> Result<Vec<[T; N]>, CodecError> {
    let (groups, rest) = all.as_chunks::<N>();
    if rest.is_empty() { Ok(groups.to_vec()) } else { Err(CodecError::Ragged { field }) }
}

/// A part that must be there.
pub(crate) fn required<T>(field: &'static str, part: Option<T>) -> Result<T, CodecError> {
    part.ok_or(CodecError::Missing { field })
}

/// An idempotency key as stored.
pub(crate) fn key_of(key: &Key) -> pb::Key {
    pb::Key { hash: key.hash.to_be_bytes().to_vec(), body: key.body }
}

/// An idempotency key as read.
pub(crate) fn key(stored: Option<pb::Key>) -> Result<Option<Key>, CodecError> {
    let Some(stored) = stored else { return Ok(None) };
    let hash = stored.hash.try_into().map_err(|_| CodecError::Ragged { field: "key.hash" })?;
    Ok(Some(Key { hash: u128::from_be_bytes(hash), body: stored.body }))
}

/// Labels as stored.
pub(crate) fn labels_of(labels: &Labels) -> pb::LabelSet {
    pb::LabelSet { pairs: labels.clone() }
}

/// A raised flag as stored.
pub(crate) fn raised_of(raised: &Raised) -> pb::Raised {
    let Raised { incumbent, cheaper, probability } = *raised;
    pb::Raised { incumbent: incumbent.0, cheaper: cheaper.0, probability }
}

/// A raised flag as read.
pub(crate) fn raised(stored: &pb::Raised) -> Raised {
    let pb::Raised { incumbent, cheaper, probability } = *stored;
    Raised { incumbent: NameId(incumbent), cheaper: NameId(cheaper), probability }
}

/// An outcome as stored.
pub(crate) fn settled_of(settled: &Settled) -> pb::Settled {
    let verdict = match settled.verdict {
        None => 0,
        Some(Verdict::Success) => 1,
        Some(Verdict::Failure(reason)) => reason as i32 + 1,
    };
    pb::Settled {
        cost_nano: settled.cost.map(|c| c.0),
        cost_source: settled.cost_source as i32,
        verdict,
        quality_micro: settled.quality.map(|q| q.0),
        usage: settled.usage.as_ref().map(usage_of).unwrap_or_default(),
        latency_ms: settled.latency_ms,
        energy_mj: settled.energy_mj,
        overrun: settled.overrun,
        body: settled.body,
        source: settled.source.0,
    }
}

/// An outcome as read.
pub(crate) fn settled(stored: &pb::Settled) -> Result<Settled, CodecError> {
    let verdict = match stored.verdict {
        0 => None,
        1 => Some(Verdict::Success),
        n => Some(Verdict::Failure(word("verdict", i64::from(n) - 1, FailureReason::from_number)?)),
    };
    Ok(Settled {
        cost: stored.cost_nano.map(NanoUsd),
        cost_source: word("cost_source", i64::from(stored.cost_source), CostSource::from_number)?,
        verdict,
        quality: stored.quality_micro.map(QualityMicro),
        usage: usage(&stored.usage)?,
        latency_ms: stored.latency_ms,
        energy_mj: stored.energy_mj,
        overrun: stored.overrun,
        body: stored.body,
        source: NameId(stored.source),
    })
}

fn usage_of(usage: &Usage) -> Vec<u64> {
    let Usage { input, cached_input, cache_write, output, reasoning } = *usage;
    let mut counts = vec![input, output, cached_input, cache_write, reasoning];
    while counts.len() > 1 && counts.last() == Some(&0) {
        counts.pop();
    }
    counts
}

fn usage(stored: &[u64]) -> Result<Option<Usage>, CodecError> {
    let at = |i: usize| stored.get(i).copied().unwrap_or(0);
    match stored.len() {
        0 => Ok(None),
        1..=5 => {
            Ok(Some(Usage { input: at(0), output: at(1), cached_input: at(2), cache_write: at(3), reasoning: at(4) }))
        }
        _ => Err(CodecError::Ragged { field: "usage" }),
    }
}

/// The call of a number that is left out where it is `same`.
pub(crate) fn unless(number: CallNo, same: CallNo) -> Option<u64> {
    (number != same).then_some(number.0)
}

/// Small numbers for small distances in either direction.
pub(crate) fn zigzag(distance: i64) -> u64 {
    ((distance << 1) ^ (distance >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub(crate) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}
