//! The records of calls, keys, cells and flags, between the domain and the stored messages. What identifies a record stands in its key and is
//! given back to it here.

use super::goal_records;
use crate::domain::call::{Call, CallNo, Stage};
use crate::domain::cell::{Cell, Evidence, LatencyHistogram, UsageSums};
use crate::domain::drift::Change;
use crate::domain::event::ModelState;
use crate::domain::flag::FlagState;
use crate::domain::history::{Block, History, Newest, Told};
use crate::domain::money::NanoUsd;
use crate::domain::names::{LabelsId, NameId};
use crate::domain::state::{KeyUse, TaskState};
use crate::domain::strata::Stratum;
use crate::domain::time::UnixMillis;
use crate::journal::codec::CodecError;
use crate::journal::{change_facts, fields, goal_facts, pb};

const DECIDED: u32 = 1;
const NAMED_RETRY: u32 = 1 << 1;
const FOLLOWS_FAILURE: u32 = 1 << 2;
const OFF_POLICY: u32 = 1 << 3;
const EVALUATION: u32 = 1 << 4;
const VOIDED: u32 = 1 << 5;
const FOLLOWS_ATTEMPT: u32 = 1 << 6;
const ANSWERED: u32 = 1 << 7;
const COARSE: u32 = 1 << 8;
const UNADMITTED: u32 = 1 << 9;
const GOAL_ENDED: u32 = 1 << 10;
const GOAL_ACCEPTED: u32 = 1 << 11;

/// A call as stored, without its slot.
pub(super) fn call_of(call: &Call) -> pb::Call {
    let flag = |set: bool, bit: u32| if set { bit } else { 0 };
    let open = if let Stage::Open(until) = call.stage { Some(until.0.wrapping_sub(call.at.0)) } else { None };
    pb::Call {
        slot: 0,
        seq: call.seq,
        at_ms: call.at.0,
        counted_after_ms: call.counted_at.0.wrapping_sub(call.at.0),
        flags: flag(call.decided, DECIDED)
            | flag(call.named_retry, NAMED_RETRY)
            | flag(call.follows_failure, FOLLOWS_FAILURE)
            | flag(call.off_policy, OFF_POLICY)
            | flag(call.evaluation, EVALUATION)
            | flag(call.stage == Stage::Voided, VOIDED)
            | flag(call.follows_attempt, FOLLOWS_ATTEMPT)
            | flag(call.stage == Stage::Answered, ANSWERED)
            | flag(call.coarse, COARSE)
            | flag(call.unadmitted, UNADMITTED)
            | flag(call.goal_verdict.is_some(), GOAL_ENDED)
            | flag(call.goal_verdict == Some(true), GOAL_ACCEPTED),
        traits: fields::traits_number(call.traits),
        stratum: call.traits.stratum.0,
        task: call.task.0,
        candidate: call.candidate.0,
        workflow: call.workflow.0,
        step: call.step.0,
        labels: call.labels.0,
        goal: call.goal.clone(),
        step_key: call.step_key,
        hold_nano: call.hold.map(|h| h.0),
        settled: call.settled().map(fields::settled_of),
        open_after_ms: open,
        decision: fields::unless(call.decision, call.number),
        tool: call.tool.0,
        service_tier: fields::tier_number(call.service_tier),
        fallbacks: call.fallbacks.iter().map(|f| f.0).collect(),
        amendments: call.amendments,
        recorded_after: call.recorded_seq.saturating_sub(call.seq),
        further: call.further.iter().map(|n| n.0).collect(),
        attempt: call.attempt,
        charges: goal_facts::charges_of(&call.charges),
        ordinal: call.ordinal,
    }
}

/// The call of that number as read.
pub(super) fn call(number: CallNo, stored: pb::Call) -> Result<Call, CodecError> {
    let at = UnixMillis(stored.at_ms);
    let flag = |bit: u32| stored.flags & bit != 0;
    let stage = match (&stored.settled, stored.open_after_ms) {
        (Some(settled), _) => Stage::Settled(fields::settled(settled)?),
        (None, Some(after)) => Stage::Open(UnixMillis(at.0.wrapping_add(after))),
        (None, None) if flag(VOIDED) => Stage::Voided,
        (None, None) if flag(ANSWERED) => Stage::Answered,
        (None, None) => Stage::Expired,
    };
    Ok(Call {
        number,
        decision: stored.decision.map_or(number, CallNo),
        seq: stored.seq,
        at,
        counted_at: UnixMillis(at.0.wrapping_add(stored.counted_after_ms)),
        decided: flag(DECIDED),
        task: NameId(stored.task),
        candidate: NameId(stored.candidate),
        workflow: NameId(stored.workflow),
        step: NameId(stored.step),
        tool: NameId(stored.tool),
        labels: LabelsId(stored.labels),
        goal: stored.goal,
        step_key: stored.step_key,
        traits: fields::traits(stored.traits, stored.stratum)?,
        service_tier: fields::tier(stored.service_tier)?,
        hold: stored.hold_nano.map(NanoUsd),
        charges: goal_facts::charges(&stored.charges)?,
        unadmitted: flag(UNADMITTED),
        ordinal: stored.ordinal,
        goal_verdict: flag(GOAL_ENDED).then(|| flag(GOAL_ACCEPTED)),
        fallbacks: stored.fallbacks.into_iter().map(NameId).collect(),
        further: stored.further.into_iter().map(CallNo).collect(),
        attempt: stored.attempt,
        named_retry: flag(NAMED_RETRY),
        follows_attempt: flag(FOLLOWS_ATTEMPT),
        follows_failure: flag(FOLLOWS_FAILURE),
        off_policy: flag(OFF_POLICY),
        evaluation: flag(EVALUATION),
        coarse: flag(COARSE),
        stage,
        amendments: stored.amendments,
        recorded_seq: if stored.settled.is_some() { stored.seq.wrapping_add(stored.recorded_after) } else { 0 },
    })
}

/// A use of an idempotency key as stored.
pub(super) fn key_use_of(used: &KeyUse) -> pb::KeyUse {
    pb::KeyUse { body: used.body, call: used.call.0, seq: used.seq, at_ms: used.at.0 }
}

/// A use of an idempotency key as read.
pub(super) fn key_use(stored: &pb::KeyUse) -> KeyUse {
    KeyUse { body: stored.body, call: CallNo(stored.call), seq: stored.seq, at: UnixMillis(stored.at_ms) }
}

/// A cell as stored, without its version.
pub(super) fn cell_of(cell: &Cell) -> pb::Cell {
    let UsageSums { priced, input, cached_input, cache_write, output } = cell.usage;
    let used = cell.usage != UsageSums::default();
    let mut last = 0;
    let bucket = |&(bucket, count): &(u16, u64)| {
        let step = u64::from(bucket - last);
        last = bucket;
        [step, count]
    };
    let cost = cell.cost_nano.to_be_bytes();
    pb::Cell {
        successes_micro: cell.evidence.successes_micro,
        failures_micro: cell.evidence.failures_micro,
        successes: cell.successes,
        failures: cell.failures,
        evidence_from: cell.evidence_from.0,
        served: cell.served,
        costed: cell.costed,
        cost_nano: cost[cell.cost_nano.leading_zeros() as usize / 8..].to_vec(),
        usage: if used { vec![priced, input, cached_input, cache_write, output] } else { Vec::new() },
        latency: cell.latency.buckets.iter().flat_map(bucket).collect(),
        evidence_since_ms: cell.evidence_since.0,
        lessons: cell.lessons,
        newest: newest_of(&cell.history),
        blocks: blocks_of(&cell.history),
        strata: strata_of(&cell.history),
        sources: sources_of(&cell.history),
        looked_at: cell.looked_at,
        retries: goal_records::retries_of(&cell.retries),
    }
}

fn newest_of(history: &History) -> Vec<u64> {
    let Newest { call, at, lesson } = history.newest();
    if history.blocks().is_empty() { Vec::new() } else { vec![call.0, at.0.cast_unsigned(), lesson] }
}

fn blocks_of(history: &History) -> Vec<u64> {
    let numbers = |b: &Block| {
        let Block { from, since, lesson, evidence, successes, failures, strata: _, sources: _ } = b;
        [
            from.0,
            since.0.cast_unsigned(),
            *lesson,
            evidence.successes_micro,
            evidence.failures_micro,
            *successes,
            *failures,
        ]
    };
    history.blocks().iter().flat_map(numbers).collect()
}

fn strata_of(history: &History) -> Vec<u64> {
    let numbered = history.blocks().iter().enumerate();
    let of_block = |(place, block): (usize, &Block)| {
        let numbers = |&(Stratum(stratum), Evidence { successes_micro, failures_micro }): &(Stratum, Evidence)| {
            [place as u64, u64::from(stratum), successes_micro, failures_micro]
        };
        block.strata.iter().flat_map(numbers).collect::<Vec<u64>>()
    };
    numbered.flat_map(of_block).collect()
}

fn sources_of(history: &History) -> Vec<u64> {
    let numbered = history.blocks().iter().enumerate();
    let of_block = |(place, block): (usize, &Block)| {
        let numbers = |(source, told): &(NameId, Told)| {
            let Evidence { successes_micro, failures_micro } = told.evidence;
            [place as u64, u64::from(source.0), successes_micro, failures_micro, told.successes, told.failures]
        };
        block.sources.iter().flat_map(numbers).collect::<Vec<u64>>()
    };
    numbered.flat_map(of_block).collect()
}

fn blocks(stored: &[u64], strata: &[u64], sources: &[u64], newest: &[u64]) -> Result<History, CodecError> {
    let block = |[from, since, lesson, successes_micro, failures_micro, successes, failures]: [u64; 7]| {
        let evidence = Evidence { successes_micro, failures_micro };
        let (from, since) = (CallNo(from), UnixMillis(since.cast_signed()));
        Block { from, since, lesson, evidence, successes, failures, ..Block::default() }
    };
    let mut blocks: Vec<Block> = fields::groups("blocks", stored)?.into_iter().map(block).collect();
    for [place, stratum, successes_micro, failures_micro] in fields::groups("strata", strata)? {
        let (block, stratum) = part(&mut blocks, "strata", place, stratum)?;
        block.strata.push((Stratum(stratum), Evidence { successes_micro, failures_micro }));
    }
    for [place, source, successes_micro, failures_micro, successes, failures] in fields::groups("sources", sources)? {
        let (block, source) = part(&mut blocks, "sources", place, source)?;
        let evidence = Evidence { successes_micro, failures_micro };
        block.sources.push((NameId(source), Told { evidence, successes, failures }));
    }
    let newest = match *newest {
        [] => Newest::default(),
        [call, at, lesson] => Newest { call: CallNo(call), at: UnixMillis(at.cast_signed()), lesson },
        _ => return Err(CodecError::Ragged { field: "newest" }),
    };
    History::restored(blocks, newest).ok_or(CodecError::Ragged { field: "blocks" })
}

/// The block a part belongs to, and the number that tells the part from others.
fn part<'b>(
    blocks: &'b mut [Block],
    field: &'static str,
    place: u64,
    number: u64,
) -> Result<(&'b mut Block, u32), CodecError> {
    let wrong = |number: u64| CodecError::Value { field, number: number.cast_signed() };
    let block = usize::try_from(place).ok().and_then(|place| blocks.get_mut(place)).ok_or_else(|| wrong(place))?;
    Ok((block, u32::try_from(number).map_err(|_| wrong(number))?))
}

/// A cell as read.
pub(super) fn cell(stored: &pb::Cell) -> Result<Cell, CodecError> {
    let usage = match stored.usage[..] {
        [] => UsageSums::default(),
        [priced, input, cached_input, cache_write, output] => {
            UsageSums { priced, input, cached_input, cache_write, output }
        }
        _ => return Err(CodecError::Ragged { field: "usage" }),
    };
    if stored.cost_nano.len() > 16 {
        return Err(CodecError::Ragged { field: "cost_nano" });
    }
    let mut last = 0_u16;
    let mut buckets = Vec::with_capacity(stored.latency.len() / 2);
    for [step, count] in fields::groups("latency", &stored.latency)? {
        let next = u16::try_from(step).ok().and_then(|step| last.checked_add(step));
        last = next.ok_or(CodecError::Value { field: "latency", number: step as i64 })?;
        buckets.push((last, count));
    }
    Ok(Cell {
        evidence: Evidence { successes_micro: stored.successes_micro, failures_micro: stored.failures_micro },
        successes: stored.successes,
        failures: stored.failures,
        evidence_from: CallNo(stored.evidence_from),
        evidence_since: UnixMillis(stored.evidence_since_ms),
        history: blocks(&stored.blocks, &stored.strata, &stored.sources, &stored.newest)?,
        lessons: stored.lessons,
        served: stored.served,
        costed: stored.costed,
        cost_nano: stored.cost_nano.iter().fold(0, |n, b| n << 8 | u128::from(*b)),
        usage,
        looked_at: stored.looked_at,
        retries: goal_records::retries(&stored.retries)?,
        latency: LatencyHistogram { buckets },
        version: 1,
    })
}

/// The flag of a task type, and the changes found in it, as stored.
pub(super) fn flag_of(of: &TaskState) -> pb::TaskFlag {
    let flag = &of.flag;
    let looked = flag.looked_at.iter();
    let change =
        |(at, change): &(UnixMillis, Change)| pb::TaskChange { at_ms: at.0, change: Some(change_facts::of(change)) };
    pb::TaskFlag {
        raised: flag.raised.as_ref().map(fields::raised_of),
        looked_at: looked.flat_map(|((a, b), count)| [u64::from(a.0), u64::from(b.0), *count]).collect(),
        changes: of.changes.iter().map(change).collect(),
    }
}

/// A flag as read.
pub(super) fn flag(stored: &pb::TaskFlag) -> Result<FlagState, CodecError> {
    let name =
        |n: u64| u32::try_from(n).map(NameId).map_err(|_| CodecError::Value { field: "looked_at", number: n as i64 });
    let looked = fields::groups("looked_at", &stored.looked_at)?.into_iter();
    Ok(FlagState {
        raised: stored.raised.as_ref().map(fields::raised),
        looked_at: looked.map(|[a, b, count]| Ok(((name(a)?, name(b)?), count))).collect::<Result<_, _>>()?,
    })
}

/// The changes found in a task type as read.
pub(super) fn changes(task: NameId, stored: &[pb::TaskChange]) -> Result<Vec<(UnixMillis, Change)>, CodecError> {
    let change = |c: &pb::TaskChange| {
        let change = c.change.as_ref().ok_or(CodecError::Missing { field: "change" })?;
        Ok((UnixMillis(c.at_ms), Change { task, ..change_facts::from(change) }))
    };
    stored.iter().map(change).collect()
}

/// One state set by people as read.
pub(super) fn model_state([task, candidate, state]: [u32; 3]) -> Result<((NameId, NameId), ModelState), CodecError> {
    let state = fields::word("state", i64::from(state), ModelState::from_number)?;
    Ok(((NameId(task), NameId(candidate)), state))
}
