//! The records of goals, accounts, tools and alerts, between the domain and the stored messages. What identifies a record
//! stands in its key and is given back to it here. A goal with many calls or sub-goals is stored in parts, so that a change
//! to it does not write all of them again.

use std::collections::HashMap;
use std::sync::Arc;

use super::keys;
use crate::domain::budget::{Account, Booked};
use crate::domain::call::{Arm, CallNo, Order};
use crate::domain::event::AlertRaised;
use crate::domain::goal::{
    Closing, Goal, GoalSums, GoalThread, KeptDraw, Note, NoteKind, StepOutput, ThreadEntry, ThreadVerdict,
};
use crate::domain::money::NanoUsd;
use crate::domain::names::{LabelsId, NameId};
use crate::domain::outcome::QualityMicro;
use crate::domain::retries::Retries;
use crate::domain::state::Alert;
use crate::domain::time::UnixMillis;
use crate::domain::tool::ToolState;
use crate::journal::codec::CodecError;
use crate::journal::pb::goal_note::What;
use crate::journal::{fields, goal_facts, pb};

/// Calls, and sub-goals, in one part of a goal; few in tests, so that their goals have parts too.
pub(super) const PART: usize = if cfg!(test) { 8 } else { 256 };

/// How many whole parts a goal has; what is behind them stands in its own record.
pub(super) fn parts(goal: &Goal) -> usize {
    goal.thread.entries.len().max(goal.children.len()) / PART
}

/// Calls and sub-goals of one part.
#[derive(Debug)]
pub(super) struct Part {
    entries: Vec<ThreadEntry>,
    children: Vec<Arc<str>>,
}

impl Part {
    /// The part of that number (below [`parts`]) of a goal.
    pub(super) fn of(goal: &Goal, number: usize) -> Self {
        let entries = section(&goal.thread.entries, number).to_vec();
        Self { entries, children: section(&goal.children, number).to_vec() }
    }

    /// It as stored.
    pub(super) fn stored(&self) -> pb::GoalPart {
        let (step_keys, entries) = entries_of(&self.entries);
        pb::GoalPart { step_keys, entries, children: texts_of(&self.children) }
    }
}

fn section<T>(all: &[T], number: usize) -> &[T] {
    let from = (number * PART).min(all.len());
    &all[from..(from + PART).min(all.len())]
}

fn texts_of(texts: &[Arc<str>]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn texts(stored: Vec<String>) -> impl Iterator<Item = Arc<str>> {
    stored.into_iter().map(Arc::from)
}

/// A goal of that name as stored, without its first `parts` parts.
pub(super) fn goal_of(id: &str, goal: &Goal, parts: usize) -> pb::Goal {
    let behind = parts * PART;
    let (step_keys, entries) = entries_of(goal.thread.entries.get(behind..).unwrap_or_default());
    let since = |at: UnixMillis| at.0.wrapping_sub(goal.opened_at.0);
    let mut below = goal.whole;
    below.change(&goal.own, false);
    pb::Goal {
        step_keys,
        entries,
        kept: goal.thread.kept.iter().map(kept_of).collect(),
        workflow: goal.workflow.0,
        labels: goal.labels.0,
        other_workflow: goal.other_workflow.clone(),
        other_labels: goal.other_labels.as_deref().map(fields::labels_of),
        ancestors: texts_of(&goal.ancestors),
        children: texts_of(goal.children.get(behind..).unwrap_or_default()),
        opened_at_ms: goal.opened_at.0,
        last_after_ms: since(goal.last_at),
        closed_after_ms: goal.closing.map(|c| since(c.at)),
        closed_as: goal.closing.map_or(0, |c| c.state as i32),
        score_micro: goal.closing.and_then(|c| c.score).map(|s| s.0),
        notes: goal.notes.iter().map(|n| note_of(n, since(n.at))).collect(),
        granted_nano: goal.granted.0,
        limit_nano: goal.limit.map(|l| l.0),
        own: sums_of(&goal.own),
        below: sums_of(&below),
        accounts: goal.accounts.iter().map(|a| account_of(a, id)).collect(),
        outputs: goal.outputs.iter().map(output_of).collect(),
        calls: goal.calls,
        teaches: goal.teaches,
        coarse: goal.coarse,
        within_kin: goal.within_kin,
        parts: u32::try_from(parts).unwrap_or(u32::MAX),
        arms: goal.arms.iter().flat_map(|(task, arm)| [task.0, *arm as u32]).collect(),
    }
}

/// The keys of all records of a goal of that name as stored.
pub(super) fn keys_of(id: &str, stored: &pb::Goal) -> Result<Vec<Vec<u8>>, CodecError> {
    let mut all = marks_of(id, stored)?;
    all.push(keys::goal(id));
    all.extend((0..stored.parts).map(|part| keys::goal_part(id, part)));
    Ok(all)
}

/// A goal of that name as read, with its parts in order.
pub(super) fn goal(id: &str, stored: pb::Goal, parts: Vec<pb::GoalPart>) -> Result<Goal, CodecError> {
    let opened_at = UnixMillis(stored.opened_at_ms);
    let after = |ms: i64| UnixMillis(opened_at.0.wrapping_add(ms));
    let (mut entries, mut children) = (Vec::new(), Vec::new());
    for part in parts {
        read_entries(&part.step_keys, &part.entries, &mut entries)?;
        children.extend(texts(part.children));
    }
    read_entries(&stored.step_keys, &stored.entries, &mut entries)?;
    children.extend(texts(stored.children));
    let closing = match stored.closed_after_ms {
        None => None,
        Some(ms) => Some(Closing {
            at: after(ms),
            state: goal_facts::goal_state(stored.closed_as)?,
            score: stored.score_micro.map(QualityMicro),
        }),
    };
    let own = sums(&stored.own)?;
    let mut whole = sums(&stored.below)?;
    whole.change(&own, true);
    let note = |n: pb::GoalNote| Ok(Note { at: after(n.after_ms), by: n.by, text: n.text, what: note_kind(n.what)? });
    Ok(Goal {
        thread: GoalThread { entries, kept: stored.kept.iter().map(kept).collect() },
        workflow: NameId(stored.workflow),
        labels: LabelsId(stored.labels),
        other_workflow: stored.other_workflow,
        other_labels: stored.other_labels.map(|l| Arc::new(l.pairs)),
        ancestors: texts(stored.ancestors).collect(),
        children,
        opened_at,
        last_at: after(stored.last_after_ms),
        closing,
        notes: stored.notes.into_iter().map(note).collect::<Result<_, CodecError>>()?,
        granted: NanoUsd(stored.granted_nano),
        limit: stored.limit_nano.map(NanoUsd),
        own,
        whole,
        accounts: stored.accounts.into_iter().map(|a| account(a, id)).collect::<Result<_, _>>()?,
        outputs: stored.outputs.into_iter().map(output).collect(),
        calls: stored.calls,
        teaches: stored.teaches,
        coarse: stored.coarse,
        within_kin: stored.within_kin,
        arms: fields::groups("arms", &stored.arms)?.into_iter().map(arm).collect::<Result<_, CodecError>>()?,
    })
}

fn arm([task, arm]: [u32; 2]) -> Result<(NameId, Arm), CodecError> {
    Ok((NameId(task), fields::word("arm", i64::from(arm), Arm::from_number)?))
}

/// Keys of the marks of a goal of that name as stored.
pub(super) fn marks_of(id: &str, stored: &pb::Goal) -> Result<Vec<Vec<u8>>, CodecError> {
    let ended = stored.closed_after_ms.map(|_| goal_facts::goal_state(stored.closed_as)).transpose()?;
    let last_at_ms = stored.opened_at_ms.wrapping_add(stored.last_after_ms);
    let times = [stored.opened_at_ms, last_at_ms].map(UnixMillis);
    Ok(keys::goal_marks(id, NameId(stored.workflow), ended, times))
}

const VERDICTS: [ThreadVerdict; 4] =
    [ThreadVerdict::Absent, ThreadVerdict::Waiting, ThreadVerdict::Succeeded, ThreadVerdict::Failed];

/// The step keys that occur, and five numbers a call.
fn entries_of(calls: &[ThreadEntry]) -> (Vec<u64>, Vec<u64>) {
    let mut step_keys = Vec::new();
    let mut places = HashMap::new();
    let mut entries = Vec::with_capacity(calls.len() * 5);
    let (mut last_at, mut last_call) = (0_i64, 0_u64);
    for ThreadEntry { order: Order { at, decision, attempt, number }, step_key, verdict } in calls {
        let step = *places.entry(*step_key).or_insert_with(|| {
            step_keys.push(*step_key);
            step_keys.len() - 1
        });
        let verdict = VERDICTS.iter().position(|v| v == verdict).unwrap_or_default();
        entries.push(fields::zigzag(at.0.wrapping_sub(last_at)));
        entries.push(fields::zigzag(number.0.wrapping_sub(last_call) as i64));
        entries.push(fields::zigzag(number.0.wrapping_sub(decision.0) as i64));
        entries.push(*attempt);
        entries.push((step as u64) << 2 | verdict as u64);
        (last_at, last_call) = (at.0, number.0);
    }
    (step_keys, entries)
}

fn read_entries(step_keys: &[u64], stored: &[u64], entries: &mut Vec<ThreadEntry>) -> Result<(), CodecError> {
    let (mut last_at, mut last_call) = (0_i64, 0_u64);
    entries.reserve(stored.len() / 5);
    for [at, number, decision, attempt, step] in fields::groups("entries", stored)? {
        let at = last_at.wrapping_add(fields::unzigzag(at));
        let number = last_call.wrapping_add(fields::unzigzag(number) as u64);
        let decision = number.wrapping_sub(fields::unzigzag(decision) as u64);
        let key = usize::try_from(step >> 2).ok().and_then(|i| step_keys.get(i));
        let step_key = *fields::required("step_key", key)?;
        let (decision, number) = (CallNo(decision), CallNo(number));
        let order = Order { at: UnixMillis(at), decision, attempt, number };
        entries.push(ThreadEntry { order, step_key, verdict: VERDICTS[(step & 3) as usize] });
        (last_at, last_call) = (at, number.0);
    }
    Ok(())
}

fn kept_of(kept: &KeptDraw) -> pb::KeptDraw {
    let KeptDraw { task, step_key, candidate, drawn_by } = *kept;
    pb::KeptDraw { task: task.0, step_key, candidate: candidate.0, drawn_by: drawn_by.0 }
}

fn kept(stored: &pb::KeptDraw) -> KeptDraw {
    let pb::KeptDraw { task, step_key, candidate, drawn_by } = *stored;
    KeptDraw { task: NameId(task), step_key, candidate: NameId(candidate), drawn_by: CallNo(drawn_by) }
}

fn note_of(note: &Note, after_ms: i64) -> pb::GoalNote {
    let what = match note.what {
        NoteKind::Closed(state) => Some(What::Closed(state as i32)),
        NoteKind::Amended(state) => Some(What::Amended(state as i32)),
        NoteKind::Granted(extra) => Some(What::GrantedNano(extra.0)),
        NoteKind::Reopened => None,
    };
    pb::GoalNote { after_ms, by: note.by.clone(), text: note.text.clone(), what }
}

fn note_kind(stored: Option<What>) -> Result<NoteKind, CodecError> {
    Ok(match stored {
        Some(What::Closed(state)) => NoteKind::Closed(goal_facts::goal_state(state)?),
        Some(What::Amended(state)) => NoteKind::Amended(goal_facts::goal_state(state)?),
        Some(What::GrantedNano(extra)) => NoteKind::Granted(NanoUsd(extra)),
        None => NoteKind::Reopened,
    })
}

const SUMS: usize = 11;

fn sums_of(sums: &GoalSums) -> Vec<i64> {
    // Taken apart by name, so that a field added to the domain does not compile until it is stored.
    let GoalSums {
        cost,
        calls,
        unpriced,
        failures,
        failed_cost,
        retries,
        tool_calls,
        tokens,
        latency_ms,
        energy_mj,
        open,
    } = *sums;
    let all: [i64; SUMS] =
        [cost, calls, tokens, latency_ms, failures, failed_cost, retries, tool_calls, open, unpriced, energy_mj];
    let used = all.iter().rposition(|n| *n != 0).map_or(0, |last| last + 1);
    all[..used].to_vec()
}

fn sums(stored: &[i64]) -> Result<GoalSums, CodecError> {
    if stored.len() > SUMS {
        return Err(CodecError::Ragged { field: "sums" });
    }
    let at = |i: usize| stored.get(i).copied().unwrap_or(0);
    Ok(GoalSums {
        cost: at(0),
        calls: at(1),
        tokens: at(2),
        latency_ms: at(3),
        failures: at(4),
        failed_cost: at(5),
        retries: at(6),
        tool_calls: at(7),
        open: at(8),
        unpriced: at(9),
        energy_mj: at(10),
    })
}

fn output_of(output: &StepOutput) -> pb::StepOutput {
    pb::StepOutput {
        step_key: output.step_key,
        call: output.call.0,
        output_ref: output.output_ref.clone(),
        has_evidence: output.has_evidence,
    }
}

fn output(stored: pb::StepOutput) -> StepOutput {
    let pb::StepOutput { step_key, call, output_ref, has_evidence } = stored;
    StepOutput { step_key, call: CallNo(call), output_ref, has_evidence }
}

/// An account as stored in the record of the goal `within`, or in one of its own (empty).
pub(super) fn account_of(account: &Account, within: &str) -> pb::Account {
    let Booked { spent, held, presumed } = account.booked;
    let opened = Some(goal_facts::opened_of(&account.opened, within));
    pb::Account { opened, spent, held, presumed, alerted: account.alerted.clone() }
}

/// An account as read from the record of the goal `within`, or from one of its own (empty).
pub(super) fn account(stored: pb::Account, within: &str) -> Result<Account, CodecError> {
    let pb::Account { opened, spent, held, presumed, alerted } = stored;
    let opened = goal_facts::opened(fields::required("opened", opened)?, within)?;
    Ok(Account { opened, booked: Booked { spent, held, presumed }, alerted })
}

/// A tool as stored.
pub(super) fn tool_of(tool: &ToolState) -> pb::Tool {
    let ToolState { calls, retries } = tool;
    let calls = calls.iter().map(|(order, cost)| (*order, fields::plus_one(*cost)));
    pb::Tool { calls: in_order_of(calls), retries: retries_of(retries) }
}

/// Retries as stored.
pub(super) fn retries_of(retries: &Retries) -> Vec<u64> {
    in_order_of(retries.last.iter().map(|(order, succeeded)| (*order, u64::from(*succeeded))))
}

/// Calls in decision order, each with a number.
fn in_order_of(calls: impl Iterator<Item = (Order, u64)>) -> Vec<u64> {
    let (mut last_at, mut last_call) = (0_i64, 0_u64);
    let each = |(Order { at, decision, attempt, number }, of): (Order, u64)| {
        let stored = [
            fields::zigzag(at.0.wrapping_sub(last_at)),
            fields::zigzag(number.0.wrapping_sub(last_call) as i64),
            fields::zigzag(number.0.wrapping_sub(decision.0) as i64),
            attempt,
            of,
        ];
        (last_at, last_call) = (at.0, number.0);
        stored
    };
    calls.flat_map(each).collect()
}

/// A tool as read.
pub(super) fn tool(stored: &pb::Tool) -> Result<ToolState, CodecError> {
    let calls = in_order("calls", &stored.calls)?.into_iter().map(|(order, cost)| (order, fields::less_one(cost)));
    Ok(ToolState { calls: calls.collect(), retries: retries(&stored.retries)? })
}

/// Retries as read.
pub(super) fn retries(stored: &[u64]) -> Result<Retries, CodecError> {
    let last = in_order("retries", stored)?.into_iter().map(|(order, succeeded)| (order, succeeded > 0));
    Ok(Retries { last: last.collect() })
}

fn in_order(field: &'static str, stored: &[u64]) -> Result<Vec<(Order, u64)>, CodecError> {
    let (mut last_at, mut last_call) = (0_i64, 0_u64);
    let each = |[at, number, decision, attempt, of]: [u64; 5]| {
        last_at = last_at.wrapping_add(fields::unzigzag(at));
        last_call = last_call.wrapping_add(fields::unzigzag(number) as u64);
        let decision = CallNo(last_call.wrapping_sub(fields::unzigzag(decision) as u64));
        let order = Order { at: UnixMillis(last_at), decision, attempt, number: CallNo(last_call) };
        (order, of)
    };
    Ok(fields::groups(field, stored)?.into_iter().map(each).collect())
}

/// An alert as stored.
pub(super) fn alert_of(alert: &Alert) -> pb::Alert {
    let seen = alert.acknowledged.as_ref();
    // Its number is the record's key; it is not said again.
    let raised = AlertRaised { alert: 0, ..alert.raised.clone() };
    pb::Alert {
        at_ms: alert.at.0,
        raised: Some(goal_facts::raised_of(&raised)),
        acknowledged: seen.map(|(_, by, note)| pb::AlertAcknowledged { alert: 0, by: by.clone(), note: note.clone() }),
        acknowledged_after_ms: seen.map_or(0, |(at, ..)| at.0.wrapping_sub(alert.at.0)),
    }
}

/// The alert of that number as read.
pub(super) fn alert(number: u64, stored: pb::Alert) -> Result<Alert, CodecError> {
    let at = UnixMillis(stored.at_ms);
    let seen_at = UnixMillis(at.0.wrapping_add(stored.acknowledged_after_ms));
    let raised = goal_facts::raised(fields::required("raised", stored.raised)?);
    Ok(Alert {
        at,
        raised: AlertRaised { alert: number, ..raised },
        acknowledged: stored.acknowledged.map(|seen| (seen_at, seen.by, seen.note)),
    })
}
