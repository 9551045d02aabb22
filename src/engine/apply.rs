//! The fold: one fact changes the state. It cannot fail, reads no clock and draws nothing; the same facts in the same
//! order give the same state on every machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{apply_goals, arms};
use crate::domain::call::{Arm, Call, CallNo, Stage};
use crate::domain::event::{Body, Decided, Event, Key, NewCall, OutcomeAmended, OutcomeRecorded};
use crate::domain::flag::FlagLook;
use crate::domain::goal::{KeptDraw, ThreadEntry, ThreadVerdict};
use crate::domain::names::NameId;
use crate::domain::outcome::Verdict;
use crate::domain::state::{KeyUse, State};
use crate::domain::time::UnixMillis;

/// Applies one fact. Records it touches that live in the store must have been loaded first (see `needs`).
pub fn apply(state: &mut State, seq: u64, event: &Event) {
    state.applied_seq = seq;
    state.last_at = state.last_at.max(event.at);
    state.advance_sums();
    match &event.body {
        Body::Started { epoch, .. } => state.epoch = state.epoch.max(*epoch),
        Body::Named { kind, id, text } => state.names.insert(*kind, *id, text),
        Body::LabelsNamed { id, labels } => state.names.insert_labels(*id, labels.clone()),
        Body::CatalogChanged { version, .. } => state.catalog_versions.push(version.clone()),
        Body::Decided(decided) => decide(state, seq, event, decided),
        Body::OutcomeRecorded(recorded) => record(state, seq, recorded),
        Body::OutcomeAmended(amended) => amend(state, seq, amended),
        Body::DecisionVoided { call, .. } => close(state, *call, Stage::Voided),
        Body::DecisionsExpired { calls } => calls.iter().for_each(|call| close(state, *call, Stage::Expired)),
        Body::ModelStateSet { task, candidate, state: to, .. } => {
            state.model_states.insert((*task, *candidate), *to);
        }
        Body::PosteriorReset { task, candidate, from, key, .. } => {
            use_key(state, *key, *from, seq);
            reset(state, *task, *candidate, *from, event.at);
        }
        Body::FlagLooked(look) => looked(state, look),
        Body::ChangeFound(change) => {
            reset(state, change.task, change.candidate, change.keep_from, event.at);
            if let Some(of) = state.tasks.get_mut(&change.task) {
                of.note(event.at, change);
            }
        }
        Body::DetailDropped { before } => state.drop_detail(*before),
        Body::AccountOpened(_)
        | Body::Gated(_)
        | Body::GoalStarted(_)
        | Body::GoalClosed(_)
        | Body::GoalAmended(_)
        | Body::GoalsTimedOut { .. }
        | Body::BudgetGranted(_)
        | Body::AlertRaised(_)
        | Body::AlertAcknowledged { .. } => apply_goals::apply(state, seq, event),
    }
    let tables = matches!(
        event.body,
        Body::Started { .. }
            | Body::Named { .. }
            | Body::LabelsNamed { .. }
            | Body::CatalogChanged { .. }
            | Body::ModelStateSet { .. }
    );
    if let (true, Some(touched)) = (tables, &mut state.touched) {
        touched.tables = true;
    }
}

fn decide(state: &mut State, seq: u64, event: &Event, decided: &Decided) {
    use_key(state, decided.key, decided.number, seq);
    let place = &decided.place;
    let parent = decided.asked.as_ref().map_or("", |a| &a.parent_goal);
    apply_goals::asked(state, place, parent, event.at);
    arms::keep(state, decided);
    if place.candidate == NameId::NONE {
        return;
    }
    if let (Some(step_key), None) = (decided.keep, decided.drawn_by) {
        let goal: Arc<str> = Arc::from(place.goal.as_str());
        let (task, candidate, drawn_by) = (place.task, place.candidate, decided.number);
        state.change_goal(&goal, |goal| goal.thread.keep(KeptDraw { task, step_key, candidate, drawn_by }));
    }
    let ordinal = apply_goals::next_ordinal(state, &place.goal, decided.traits.learns_from_goal);
    let call = Call {
        number: decided.number,
        decision: decided.number,
        seq,
        at: event.at,
        counted_at: event.at,
        decided: true,
        task: place.task,
        candidate: place.candidate,
        workflow: place.workflow,
        step: place.step,
        tool: place.tool,
        labels: place.labels,
        goal: place.goal.clone(),
        step_key: place.step_key,
        traits: decided.traits,
        service_tier: decided.service_tier,
        hold: decided.hold,
        charges: decided.charges.clone(),
        unadmitted: false,
        ordinal,
        goal_verdict: None,
        fallbacks: decided.fallbacks.iter().map(|f| f.0).collect(),
        further: Vec::new(),
        attempt: 0,
        named_retry: false,
        follows_attempt: false,
        follows_failure: false,
        off_policy: false,
        evaluation: false,
        coarse: false,
        stage: Stage::Open(decided.expires_at),
        recorded_seq: 0,
        amendments: 0,
    };
    state.replace_call(None, call);
}

fn record(state: &mut State, seq: u64, recorded: &OutcomeRecorded) {
    let old = state.calls.get(&recorded.call).cloned();
    let Some(mut call) = call_of(old.as_ref(), seq, recorded) else { return };
    use_key(state, recorded.key, call.number, seq);
    if let Some(served) = recorded.served {
        call.candidate = served;
        if !matches!(call.traits.arm, Arm::Elsewhere) {
            call.traits.arm = Arm::Fallback;
            call.traits.may_teach = false;
        }
    }
    if recorded.decision != recorded.call {
        let offered = state.calls.get(&recorded.decision).map_or(&[][..], |d| &d.fallbacks);
        let place = offered.iter().position(|f| *f == call.candidate).unwrap_or(offered.len());
        let charges = state.calls.get(&recorded.decision).map(|d| d.charges.clone());
        call.charges = charges.unwrap_or_default();
        call.attempt = (place as u64 + 1) << 32 | recorded.settled.body >> 32;
    }
    call.named_retry = recorded.retry_of.is_some();
    call.off_policy = recorded.off_policy;
    call.evaluation = recorded.evaluation;
    apply_goals::told(state, &call, recorded);
    if call.workflow == NameId::NONE {
        // Asked for before the workflow of its goal was known.
        call.workflow = state.goals.get(call.goal.as_str()).map_or(NameId::NONE, |goal| goal.workflow);
    }
    if old.is_none() {
        // Another attempt at a decision stands where that stands, in whatever order they are told.
        let decision = state.calls.get(&recorded.decision).map(|d| d.ordinal);
        let next = || apply_goals::next_ordinal(state, &call.goal, call.traits.learns_from_goal);
        call.ordinal = decision.unwrap_or_else(next);
    }
    for charge in &recorded.charges {
        call.unadmitted = true;
        if !call.charges.iter().any(|c| c.account == charge.account) {
            call.charges.push(*charge);
        }
    }
    call.goal_verdict = apply_goals::verdict(state, &call.goal);
    call.counted_at = recorded.counted_at;
    call.stage = Stage::Settled(recorded.settled);
    call.recorded_seq = seq;
    settle(state, old.as_ref(), call);
    attempt(state, seq, recorded);
}

/// Adds a call to those of its decision, and says anew which of them are retries: every one but the first, which is
/// the decided model's own, else the one its fallbacks rank first. That is the same in whichever order they are told.
fn attempt(state: &mut State, seq: u64, recorded: &OutcomeRecorded) {
    let further = recorded.decision != recorded.call;
    let known = state.calls.get(&recorded.decision).cloned();
    let lost = || recorded.place.as_ref().filter(|_| further).and_then(|new| lost(seq, recorded, new));
    let Some(mut decision) = known.clone().or_else(lost) else { return };
    if further {
        decision.further.push(recorded.call);
        // A quality check says nothing of the call the decision was about.
        if !recorded.evaluation && matches!(decision.stage, Stage::Open(_) | Stage::Expired) {
            decision.stage = Stage::Answered;
        }
        state.replace_call(known.as_ref(), decision.clone());
    }
    let settled = decision.settled().is_some();
    let others: Vec<Call> = decision.further.iter().filter_map(|n| state.calls.get(n)).cloned().collect();
    let first = others.iter().filter(|c| !c.evaluation).map(Call::order).min();
    for call in others {
        let follows_attempt = settled || Some(call.order()) != first;
        if follows_attempt != call.follows_attempt {
            state.replace_call(Some(&call), Call { follows_attempt, ..call.clone() });
        }
    }
    state.drop_if_old(recorded.decision);
}

/// A decision whose record a crash lost, as the first call reported for it tells it.
fn lost(seq: u64, recorded: &OutcomeRecorded, new: &NewCall) -> Option<Call> {
    let candidate = new.lost?;
    let call = call_of(None, seq, recorded)?;
    let (number, decision) = (recorded.decision, recorded.decision);
    Some(Call { number, decision, candidate, decided: true, stage: Stage::Expired, recorded_seq: 0, ..call })
}

/// The call as it was, completed by what the outcome adds; a new one where it was not known.
fn call_of(old: Option<&Call>, seq: u64, recorded: &OutcomeRecorded) -> Option<Call> {
    let Some(new) = &recorded.place else { return old.cloned() };
    let place = &new.place;
    let base = old.cloned();
    Some(Call {
        number: recorded.call,
        decision: recorded.decision,
        seq: base.as_ref().map_or(seq, |b| b.seq),
        at: new.at,
        counted_at: recorded.counted_at,
        decided: new.decided,
        task: place.task,
        candidate: place.candidate,
        workflow: place.workflow,
        step: place.step,
        tool: place.tool,
        labels: place.labels,
        goal: place.goal.clone(),
        step_key: place.step_key,
        traits: new.traits,
        service_tier: base.as_ref().map(|b| b.service_tier).unwrap_or_default(),
        hold: base.as_ref().and_then(|b| b.hold),
        charges: base.as_ref().map(|b| b.charges.clone()).unwrap_or_default(),
        unadmitted: base.as_ref().is_some_and(|b| b.unadmitted),
        ordinal: base.as_ref().map_or(0, |b| b.ordinal),
        goal_verdict: base.as_ref().and_then(|b| b.goal_verdict),
        coarse: base.as_ref().is_some_and(|b| b.coarse),
        further: base.as_ref().map(|b| b.further.clone()).unwrap_or_default(),
        fallbacks: base.map(|b| b.fallbacks).unwrap_or_default(),
        attempt: 0,
        named_retry: false,
        follows_attempt: false,
        follows_failure: false,
        off_policy: false,
        evaluation: false,
        stage: Stage::Settled(recorded.settled),
        recorded_seq: seq,
        amendments: 0,
    })
}

fn amend(state: &mut State, seq: u64, amended: &OutcomeAmended) {
    let Some(old) = state.calls.get(&amended.call).cloned() else { return };
    use_key(state, amended.key, amended.call, seq);
    state.amendments_total += 1;
    let stage = Stage::Settled(amended.settled);
    let call = Call { stage, amendments: old.amendments.saturating_add(1), ..old.clone() };
    settle(state, Some(&old), call);
}

/// Puts a settled call in place, and re-stands the call after it in its step.
fn settle(state: &mut State, old: Option<&Call>, mut call: Call) {
    let failed = call.failure_reason().is_some();
    let mut successor = None;
    if !call.goal.is_empty() {
        let goal: Arc<str> = Arc::from(call.goal.as_str());
        let entry = ThreadEntry { order: call.order(), step_key: call.step_key, verdict: says(&call) };
        state.change_goal(&goal, |goal| {
            let thread = &mut goal.thread;
            successor = thread.set(entry);
            call.follows_failure = thread.follows_failure(call.order(), call.step_key);
            if failed {
                thread.release(call.task, call.candidate);
            }
        });
    }
    state.replace_call(old, call);
    if let Some(next) = successor.and_then(|n| state.calls.get(&n)).cloned() {
        restand(state, &next);
    }
}

/// Whether a later call of a step is a retry depends on the one before it, whenever the truth of that arrives.
fn restand(state: &mut State, call: &Call) {
    let Some(goal) = state.goals.get(call.goal.as_str()) else { return };
    let follows_failure = goal.thread.follows_failure(call.order(), call.step_key);
    if follows_failure != call.follows_failure {
        state.replace_call(Some(call), Call { follows_failure, ..call.clone() });
    }
}

fn says(call: &Call) -> ThreadVerdict {
    match call.settled().filter(|_| !call.evaluation) {
        None => ThreadVerdict::Absent,
        Some(settled) => match settled.verdict {
            None => ThreadVerdict::Waiting,
            Some(Verdict::Success) => ThreadVerdict::Succeeded,
            Some(Verdict::Failure(_)) => ThreadVerdict::Failed,
        },
    }
}

fn close(state: &mut State, number: CallNo, stage: Stage) {
    let Some(old) = state.calls.get(&number).cloned() else { return };
    let may_close = match old.stage {
        Stage::Open(_) => true,
        Stage::Expired => stage == Stage::Voided,
        Stage::Voided | Stage::Settled(_) | Stage::Answered => false,
    };
    if may_close {
        state.replace_call(Some(&old), Call { stage, ..old.clone() });
        state.drop_if_old(number);
    }
}

fn reset(state: &mut State, task: NameId, candidate: NameId, from: CallNo, at: UnixMillis) {
    let Some(of) = state.tasks.get_mut(&task) else { return };
    state.evidence_version += 1;
    for (id, cell) in &mut of.cells {
        if candidate == NameId::NONE || *id == candidate {
            cell.forget(from, at);
            if let Some(touched) = &mut state.touched {
                touched.cells.insert((task, *id));
            }
        }
    }
    of.flag.looked_at = std::mem::take(&mut of.flag.looked_at)
        .into_iter()
        .filter(|((a, b), _)| candidate != NameId::NONE && *a != candidate && *b != candidate)
        .collect::<BTreeMap<_, _>>();
    let concerns = |r: &crate::domain::flag::Raised| {
        candidate == NameId::NONE || r.incumbent == candidate || r.cheaper == candidate
    };
    if of.flag.raised.as_ref().is_some_and(concerns) {
        of.flag.raised = None;
    }
    if let Some(touched) = &mut state.touched {
        touched.flags.insert(task);
    }
}

fn looked(state: &mut State, look: &FlagLook) {
    let flag = &mut state.tasks.entry(look.task).or_default().flag;
    for pair in &look.pairs {
        flag.looked_at.insert((pair.incumbent, pair.cheaper), pair.smaller_count);
    }
    flag.raised = look.raised;
    if let Some(touched) = &mut state.touched {
        touched.flags.insert(look.task);
    }
}

pub(super) fn use_key(state: &mut State, key: Option<Key>, call: CallNo, seq: u64) {
    if let Some(key) = key {
        state.keys.insert(key.hash, KeyUse { body: key.body, call, seq, at: state.last_at });
        if let Some(touched) = &mut state.touched {
            touched.keys.push(key.hash);
        }
    }
}
