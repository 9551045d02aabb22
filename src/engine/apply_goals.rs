//! The fold of what happens to goals and budgets: goals begin with whatever names them first, end, come back; accounts
//! are opened, granted to and alerted on. What calls book on them is the state's own arithmetic.

use std::sync::Arc;

use super::apply::use_key;
use crate::domain::budget::{Account, AccountKey, Opened};
use crate::domain::call::{Call, CallNo, Stage};
use crate::domain::event::{AlertRaised, Body, Event, Gated, GoalClosed, OutcomeRecorded, Place, TimedOut};
use crate::domain::goal::{ANCESTORS_MAX, Closing, Goal, GoalState, Note, NoteKind, StepOutput};
use crate::domain::money::NanoUsd;
use crate::domain::names::{LabelsId, NameId, NameKind};
use crate::domain::state::{Alert, State};
use crate::domain::time::UnixMillis;

/// Alerts kept; the journal keeps all.
const ALERTS_MAX: usize = 10_000;

/// Applies a fact about goals or budgets.
pub(super) fn apply(state: &mut State, seq: u64, event: &Event) {
    let at = event.at;
    match &event.body {
        Body::AccountOpened(opened) => open_account(state, opened),
        Body::Gated(gated) => gate(state, seq, at, gated),
        Body::GoalStarted(started) => {
            use_key(state, started.key, CallNo(0), seq);
            let other = Some(&started.other_workflow).filter(|w| !w.is_empty());
            let place = Place {
                workflow: started.workflow,
                labels: started.labels,
                other_names: other.map(|w| (NameKind::Workflow, w.clone())).into_iter().collect(),
                other_labels: started.other_labels.clone(),
                goal: started.goal.clone(),
                ..Place::default()
            };
            asked(state, &place, &started.parent, at);
            let limit = started.limit;
            state.change_goal(&Arc::from(started.goal.as_str()), |goal| goal.limit = limit.or(goal.limit));
        }
        Body::GoalClosed(closed) => {
            use_key(state, closed.key, CallNo(0), seq);
            let ended_at = closed.ended_at.unwrap_or(at);
            let closing = Closing { at: ended_at, state: closed.state, score: closed.score };
            close(state, closed, closing, NoteKind::Closed(closed.state), ended_at);
        }
        Body::GoalAmended(closed) => {
            use_key(state, closed.key, CallNo(0), seq);
            let before = state.goals.get(closed.goal.as_str()).and_then(|g| g.closing);
            let (first, score) = (before.map_or(at, |c| c.at), before.and_then(|c| c.score));
            let closing =
                Closing { at: closed.ended_at.unwrap_or(first), state: closed.state, score: closed.score.or(score) };
            close(state, closed, closing, NoteKind::Amended(closed.state), at);
        }
        Body::GoalsTimedOut { goals } => {
            for TimedOut { goal, ended_at } in goals {
                let ended_at = ended_at.unwrap_or(at);
                let closing = Closing { at: ended_at, state: GoalState::TimedOut, score: None };
                let closed = GoalClosed {
                    goal: goal.clone(),
                    state: GoalState::TimedOut,
                    score: None,
                    ended_at: None,
                    note: String::new(),
                    by: String::new(),
                    key: None,
                };
                close(state, &closed, closing, NoteKind::Closed(GoalState::TimedOut), ended_at);
            }
        }
        Body::BudgetGranted(granted) => {
            use_key(state, granted.key, CallNo(0), seq);
            let note = Note {
                at,
                by: granted.approver.clone(),
                text: granted.reason.clone(),
                what: NoteKind::Granted(granted.extra),
            };
            state.change_goal(&Arc::from(granted.goal.as_str()), |goal| {
                goal.granted = NanoUsd(goal.granted.0.saturating_add(granted.extra.0));
                goal.note(note);
            });
        }
        Body::AlertRaised(raised) => alert(state, at, raised),
        Body::AlertAcknowledged { alert, by, note } => {
            if let Some(found) = state.alerts.get_mut(alert) {
                found.acknowledged = Some((at, by.clone(), note.clone()));
                touch_alert(state, *alert);
            }
        }
        _ => {}
    }
}

/// Somebody works on a goal: it begins, goes on, or comes back.
pub(super) fn asked(state: &mut State, place: &Place, parent: &str, at: UnixMillis) {
    if place.goal.is_empty() {
        return;
    }
    let id: Arc<str> = Arc::from(place.goal.as_str());
    let reopened = state.goals.get(&id).is_some_and(|g| g.closing.is_some());
    work_on(state, &id, place.workflow, place.labels, parent, at);
    keep_in_full(state, &id, place);
    if reopened {
        state.change_goal(&id, |goal| {
            goal.closing = None;
            goal.note(Note { at, by: String::new(), text: String::new(), what: NoteKind::Reopened });
        });
        reward(state, &id, None);
        state.count_open(&id, true);
    }
}

/// An outcome concerns a goal: a goal never heard of begins with it, an open one goes on, a closed one stays closed.
pub(super) fn told(state: &mut State, call: &Call, recorded: &OutcomeRecorded) {
    if call.goal.is_empty() {
        return;
    }
    let id: Arc<str> = Arc::from(call.goal.as_str());
    work_on(state, &id, call.workflow, call.labels, "", call.at.max(recorded.counted_at));
    if let Some(new) = &recorded.place {
        keep_in_full(state, &id, &new.place);
    }
    if recorded.output_ref.is_empty() && recorded.evidence.is_empty() {
        return;
    }
    let output = StepOutput {
        step_key: call.step_key,
        call: call.number,
        output_ref: recorded.output_ref.clone(),
        has_evidence: !recorded.evidence.is_empty(),
    };
    state.change_goal(&id, |goal| {
        goal.outputs.retain(|o| o.step_key != output.step_key || o.call > output.call);
        if !goal.outputs.iter().any(|o| o.step_key == output.step_key) {
            goal.outputs.push(output);
        }
    });
}

/// Keeps what a goal is told of itself past the caps of names: budgets and receipts go by it.
fn keep_in_full(state: &mut State, id: &Arc<str>, place: &Place) {
    let Some(goal) = state.goals.get(id) else { return };
    let workflow = place.other_names.iter().find(|(kind, _)| *kind == NameKind::Workflow);
    let workflow = workflow.filter(|_| goal.workflow == NameId::OTHER && goal.other_workflow.is_empty());
    let labels = place.other_labels.as_ref();
    let labels = labels.filter(|_| goal.labels == LabelsId::OTHER && goal.other_labels.is_none());
    if workflow.is_none() && labels.is_none() {
        return;
    }
    state.change_goal(id, |goal| {
        if let Some((_, text)) = workflow {
            goal.other_workflow.clone_from(text);
        }
        if let Some(labels) = labels {
            goal.other_labels = Some(Arc::new(labels.clone()));
        }
    });
}

fn work_on(state: &mut State, id: &Arc<str>, workflow: NameId, labels: LabelsId, parent: &str, at: UnixMillis) {
    // An account may have been opened on it a moment before.
    let is_new = state.goals.get(id).is_none_or(|g| g.opened_at == UnixMillis::default());
    if state.goals.get(id).is_some_and(Goal::is_open) {
        state.count_open(id, false);
    }
    let was_known = state.goals.get(id).is_some_and(|g| g.workflow != NameId::NONE);
    let ancestors = if is_new && !parent.is_empty() { descend(state, id, parent, at) } else { Vec::new() };
    state.change_goal(id, |goal| {
        if is_new {
            goal.opened_at = at;
            goal.ancestors = ancestors;
        }
        goal.last_at = goal.last_at.max(at);
        if goal.workflow == NameId::NONE {
            goal.workflow = workflow;
        }
        if goal.labels == LabelsId::NONE {
            goal.labels = labels;
        }
    });
    tell_kin(state, id);
    if !was_known && workflow != NameId::NONE {
        adopt_calls(state, id, workflow);
        tell_kin_below(state, id);
    }
    if state.goals.get(id).is_some_and(Goal::is_open) {
        state.count_open(id, true);
    }
}

/// Says anew whether a goal above is of the same workflow: workflows may be told late.
fn tell_kin(state: &mut State, id: &Arc<str>) {
    let Some(goal) = state.goals.get(id).filter(|goal| !goal.ancestors.is_empty()) else { return };
    let same = |above: &Arc<str>| state.goals.get(above).is_some_and(|above| above.workflow == goal.workflow);
    let within_kin = goal.workflow != NameId::NONE && goal.ancestors.iter().any(same);
    if within_kin != goal.within_kin {
        state.change_goal(id, |goal| goal.within_kin = within_kin);
    }
}

/// Gives the calls of a goal that named no workflow the one that was just told: they would have had it, had it been known.
fn adopt_calls(state: &mut State, id: &Arc<str>, workflow: NameId) {
    let entries = state.goals.get(id).map(|goal| &goal.thread.entries[..]).unwrap_or_default();
    let numbers: Vec<CallNo> = entries.iter().map(|e| e.order.number).collect();
    for number in numbers {
        let Some(call) = state.calls.get(&number).filter(|c| c.workflow == NameId::NONE).cloned() else { continue };
        state.replace_call(Some(&call), Call { workflow, ..call.clone() });
    }
}

/// The same for all goals below one whose workflow was just told.
fn tell_kin_below(state: &mut State, id: &Arc<str>) {
    for child in state.goals.get(id).map(|goal| goal.children.clone()).unwrap_or_default() {
        tell_kin(state, &child);
        tell_kin_below(state, &child);
    }
}

/// Puts a new goal below its parent, which begins with it where nobody has heard of it; returns the goals above.
fn descend(state: &mut State, id: &Arc<str>, parent: &str, at: UnixMillis) -> Vec<Arc<str>> {
    let above: Arc<str> = Arc::from(parent);
    work_on(state, &above, NameId::NONE, LabelsId::NONE, "", at);
    let mut chain = vec![above.clone()];
    chain.extend(state.goals.get(&above).map(|g| g.ancestors.clone()).unwrap_or_default());
    chain.truncate(ANCESTORS_MAX);
    state.change_goal(&above, |goal| goal.children.push(id.clone()));
    chain
}

/// The next call's place among those of its goal.
pub(super) fn next_ordinal(state: &mut State, goal: &str, teaches: bool) -> u32 {
    let Some((id, _)) = state.goals.get_key_value(goal) else { return 0 };
    let (id, mut ordinal) = (id.clone(), 0);
    state.change_goal(&id, |goal| {
        ordinal = goal.calls;
        goal.calls = goal.calls.saturating_add(1);
        goal.teaches |= teaches;
    });
    ordinal
}

/// What the end of a goal says of its calls.
pub(super) fn verdict(state: &State, goal: &str) -> Option<bool> {
    Some(state.goals.get(goal)?.closing?.state == GoalState::Accepted)
}

fn close(state: &mut State, closed: &GoalClosed, closing: Closing, what: NoteKind, at: UnixMillis) {
    let id: Arc<str> = Arc::from(closed.goal.as_str());
    if state.goals.get(&id).is_some_and(Goal::is_open) {
        state.count_open(&id, false);
    }
    let note = Note { at, by: closed.by.clone(), text: closed.note.clone(), what };
    state.change_goal(&id, |goal: &mut Goal| {
        goal.closing = Some(closing);
        goal.note(note);
    });
    reward(state, &id, Some(closing.state == GoalState::Accepted));
}

/// Gives the calls of a goal that learn from its end what it says.
fn reward(state: &mut State, id: &Arc<str>, verdict: Option<bool>) {
    let teaching = state.goals.get(id).filter(|g| g.teaches);
    let numbers: Vec<CallNo> = teaching.map_or(vec![], |g| g.thread.entries.iter().map(|e| e.order.number).collect());
    for number in numbers {
        let Some(call) = state.calls.get(&number).filter(|c| c.goal_verdict != verdict).cloned() else { continue };
        state.replace_call(Some(&call), Call { goal_verdict: verdict, ..call.clone() });
    }
}

fn gate(state: &mut State, seq: u64, at: UnixMillis, gated: &Gated) {
    use_key(state, gated.key, gated.number, seq);
    let place = &gated.place;
    asked(state, place, &gated.parent_goal, at);
    if !gated.verdict.proceeds() {
        return;
    }
    let ordinal = next_ordinal(state, &place.goal, false);
    let call = Call {
        number: gated.number,
        decision: gated.number,
        seq,
        at,
        recorded_seq: 0,
        counted_at: at,
        decided: false,
        task: place.task,
        candidate: NameId::NONE,
        workflow: place.workflow,
        step: place.step,
        tool: place.tool,
        labels: place.labels,
        goal: place.goal.clone(),
        step_key: place.step_key,
        traits: super::gate::gate_traits(),
        service_tier: Default::default(),
        hold: Some(gated.hold),
        charges: gated.charges.clone(),
        unadmitted: false,
        ordinal,
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
        stage: Stage::Open(gated.expires_at),
        amendments: 0,
    };
    state.replace_call(None, call);
}

fn open_account(state: &mut State, opened: &Opened) {
    // What is counted stays what it was: calls are taken off an account as they were put on it. (Keys tell measures apart
    // now; on records of earlier builds they do not.)
    let put = |account: &mut Account| {
        let measure = account.opened.measure;
        account.opened = Opened { measure, ..opened.clone() };
    };
    let new = || Account { opened: opened.clone(), booked: Default::default(), alerted: Vec::new() };
    if opened.goal.is_empty() {
        state.accounts.entry(opened.key).and_modify(put).or_insert_with(new);
        touch_account(state, opened.key);
        return;
    }
    state.change_goal(&Arc::from(opened.goal.as_str()), |goal| {
        match goal.accounts.iter_mut().find(|a| a.opened.key == opened.key) {
            Some(account) => put(account),
            None => goal.accounts.push(new()),
        }
    });
}

fn alert(state: &mut State, at: UnixMillis, raised: &AlertRaised) {
    let mark = |account: &mut Account| account.alerted.push(raised.threshold);
    if raised.goal.is_empty() {
        state.accounts.get_mut(&raised.account).into_iter().for_each(mark);
        touch_account(state, raised.account);
    } else {
        state.change_goal(&Arc::from(raised.goal.as_str()), |goal| {
            goal.accounts.iter_mut().find(|a| a.opened.key == raised.account).into_iter().for_each(mark);
        });
    }
    state.last_alert = state.last_alert.max(raised.alert);
    state.alerts.insert(raised.alert, Alert { at, raised: raised.clone(), acknowledged: None });
    touch_alert(state, raised.alert);
    while state.alerts.len() > ALERTS_MAX {
        if let Some((gone, _)) = state.alerts.pop_first() {
            touch_alert(state, gone);
        }
    }
}

fn touch_account(state: &mut State, key: AccountKey) {
    if let Some(touched) = &mut state.touched {
        touched.accounts.insert(key);
    }
}

fn touch_alert(state: &mut State, alert: u64) {
    if let Some(touched) = &mut state.touched {
        touched.alerts.insert(alert);
    }
}
