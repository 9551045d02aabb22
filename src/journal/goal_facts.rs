//! The facts about goals, budgets and alerts, between the domain and the stored messages. It knows nothing of bytes and
//! versions (see `codec.rs`), nor of what a budget is for.

use super::codec::CodecError;
use super::pb::{self, event::Body as Stored};
use super::{fields, place};
use crate::domain::budget::{AccountKey, Charge, Measure, OnExceed, Opened, Scope};
use crate::domain::call::CallNo;
use crate::domain::event::{
    AlertRaised, Body, BudgetGranted, Event, Exhausted, Gated, GoalClosed, GoalStarted, PolicyVerdict, TimedOut,
};
use crate::domain::goal::GoalState;
use crate::domain::money::NanoUsd;
use crate::domain::names::{LabelsId, NameId};
use crate::domain::outcome::QualityMicro;
use crate::domain::time::UnixMillis;

/// No time is said.
const NOT_SAID: i64 = i64::MIN;

/// A fact about goals, budgets or alerts as stored; `None`: it is about something else.
pub(super) fn stored(event: &Event) -> Option<Stored> {
    Some(match &event.body {
        Body::Gated(gated) => Stored::Gated(gated_of(event.at, gated)),
        Body::AccountOpened(opened) => Stored::AccountOpened(opened_of(opened, "")),
        Body::GoalStarted(started) => Stored::GoalStarted(pb::GoalStarted {
            goal: started.goal.clone(),
            workflow: started.workflow.0,
            labels: started.labels.0,
            parent_goal: started.parent.clone(),
            limit_nano: started.limit.map(|l| l.0),
            other_workflow: started.other_workflow.clone(),
            other_labels: started.other_labels.as_ref().map(fields::labels_of),
            key: started.key.as_ref().map(fields::key_of),
        }),
        Body::GoalClosed(closed) => Stored::GoalClosed(closed_of(event.at, closed)),
        Body::GoalAmended(closed) => Stored::GoalAmended(closed_of(event.at, closed)),
        Body::GoalsTimedOut { goals } => Stored::GoalsTimedOut(pb::GoalsTimedOut {
            goals: goals.iter().map(|of| of.goal.clone()).collect(),
            ended_at_ms: goals.iter().map(|of| of.ended_at.map_or(NOT_SAID, |at| at.0)).collect(),
        }),
        Body::BudgetGranted(granted) => Stored::BudgetGranted(pb::BudgetGranted {
            goal: granted.goal.clone(),
            extra_nano: granted.extra.0,
            approver: granted.approver.clone(),
            reason: granted.reason.clone(),
            key: granted.key.as_ref().map(fields::key_of),
        }),
        Body::AlertRaised(raised) => Stored::AlertRaised(raised_of(raised)),
        Body::AlertAcknowledged { alert, by, note } => {
            Stored::AlertAcknowledged(pb::AlertAcknowledged { alert: *alert, by: by.clone(), note: note.clone() })
        }
        _ => return None,
    })
}

/// A fact about goals, budgets or alerts as read; `None`: it is about something else.
pub(super) fn read(at: UnixMillis, stored: Stored) -> Result<Option<Body>, CodecError> {
    Ok(Some(match stored {
        Stored::Gated(gated) => Body::Gated(Box::new(gated_from(at, gated)?)),
        Stored::AccountOpened(account) => Body::AccountOpened(Box::new(opened(account, "")?)),
        Stored::GoalStarted(started) => Body::GoalStarted(Box::new(GoalStarted {
            goal: started.goal,
            workflow: NameId(started.workflow),
            labels: LabelsId(started.labels),
            parent: started.parent_goal,
            limit: started.limit_nano.map(NanoUsd),
            other_workflow: started.other_workflow,
            other_labels: started.other_labels.map(|l| l.pairs),
            key: fields::key(started.key)?,
        })),
        Stored::GoalClosed(closed) => Body::GoalClosed(Box::new(closed_from(at, closed)?)),
        Stored::GoalAmended(closed) => Body::GoalAmended(Box::new(closed_from(at, closed)?)),
        Stored::GoalsTimedOut(pb::GoalsTimedOut { goals, ended_at_ms }) => {
            let said = ended_at_ms.into_iter().map(|at| Some(UnixMillis(at)).filter(|_| at != NOT_SAID));
            let ends = said.chain(std::iter::repeat(None));
            Body::GoalsTimedOut {
                goals: goals.into_iter().zip(ends).map(|(goal, ended_at)| TimedOut { goal, ended_at }).collect(),
            }
        }
        Stored::BudgetGranted(granted) => Body::BudgetGranted(Box::new(BudgetGranted {
            goal: granted.goal,
            extra: NanoUsd(granted.extra_nano),
            approver: granted.approver,
            reason: granted.reason,
            key: fields::key(granted.key)?,
        })),
        Stored::AlertRaised(alert) => Body::AlertRaised(Box::new(raised(alert))),
        Stored::AlertAcknowledged(pb::AlertAcknowledged { alert, by, note }) => {
            Body::AlertAcknowledged { alert, by, note }
        }
        _ => return Ok(None),
    }))
}

/// What a call is booked on, as stored: 8 bytes and a varint each.
pub(crate) fn charges_of(charges: &[Charge]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(charges.len() * 13);
    for Charge { account, held } in charges {
        bytes.extend_from_slice(&account.0.to_le_bytes());
        prost::encoding::encode_varint(*held, &mut bytes);
    }
    bytes
}

/// What a call is booked on, as read.
pub(crate) fn charges(mut stored: &[u8]) -> Result<Vec<Charge>, CodecError> {
    const RAGGED: CodecError = CodecError::Ragged { field: "charges" };
    let mut charges = Vec::new();
    while !stored.is_empty() {
        let (account, rest) = stored.split_first_chunk().ok_or(RAGGED)?;
        stored = rest;
        let held = prost::encoding::decode_varint(&mut stored).map_err(|_| RAGGED)?;
        charges.push(Charge { account: AccountKey(u64::from_le_bytes(*account)), held });
    }
    Ok(charges)
}

/// What is used up, as stored.
pub(super) fn exhausted_of(at: UnixMillis, exhausted: &Exhausted) -> pb::Exhausted {
    pb::Exhausted {
        budget: exhausted.budget.clone(),
        account: exhausted.account.0,
        action: exhausted.action as i32,
        message: exhausted.message.clone(),
        measure: exhausted.measure as i32,
        limit: exhausted.limit,
        spent: exhausted.spent,
        held: exhausted.held,
        resets_after_ms: exhausted.resets_at.map(|t| t.0.wrapping_sub(at.0)),
    }
}

/// What is used up, as read.
pub(super) fn exhausted(at: UnixMillis, stored: pb::Exhausted) -> Result<Exhausted, CodecError> {
    Ok(Exhausted {
        budget: stored.budget,
        account: AccountKey(stored.account),
        action: fields::word("action", i64::from(stored.action), OnExceed::from_number)?,
        message: stored.message,
        measure: fields::word("measure", i64::from(stored.measure), Measure::from_number)?,
        limit: stored.limit,
        spent: stored.spent,
        held: stored.held,
        resets_at: stored.resets_after_ms.map(|after| UnixMillis(at.0.wrapping_add(after))),
    })
}

/// What an account is of, as stored; in the record of the goal `within` that goal need not be said (empty: in none).
pub(crate) fn opened_of(opened: &Opened, within: &str) -> pb::AccountOpened {
    let is_goal = !opened.goal.is_empty() && opened.instance == opened.goal;
    pb::AccountOpened {
        account: opened.key.0,
        budget: opened.budget.clone(),
        scope: opened.scope as i32,
        measure: opened.measure as i32,
        instance: (!is_goal).then(|| opened.instance.clone()),
        goal: if opened.goal == within { String::new() } else { opened.goal.clone() },
        start_ms: opened.start.0,
        ends_after_start_ms: opened.resets_at.map(|t| t.0.wrapping_sub(opened.start.0)),
        limit: opened.limit,
    }
}

/// What an account is of, as read from the record of the goal `within` (empty: from none).
pub(crate) fn opened(stored: pb::AccountOpened, within: &str) -> Result<Opened, CodecError> {
    let goal = if stored.goal.is_empty() { within.to_owned() } else { stored.goal };
    Ok(Opened {
        key: AccountKey(stored.account),
        budget: stored.budget,
        scope: fields::word("scope", i64::from(stored.scope), Scope::from_number)?,
        measure: fields::word("measure", i64::from(stored.measure), Measure::from_number)?,
        instance: stored.instance.unwrap_or_else(|| goal.clone()),
        goal,
        start: UnixMillis(stored.start_ms),
        resets_at: stored.ends_after_start_ms.map(|after| UnixMillis(stored.start_ms.wrapping_add(after))),
        limit: stored.limit,
    })
}

/// A threshold reached, as stored.
pub(crate) fn raised_of(raised: &AlertRaised) -> pb::AlertRaised {
    pb::AlertRaised {
        alert: raised.alert,
        account: raised.account.0,
        goal: raised.goal.clone(),
        budget: raised.budget.clone(),
        instance: raised.instance.clone(),
        threshold: raised.threshold,
        used: raised.used,
        limit: raised.limit,
    }
}

/// A threshold reached, as read.
pub(crate) fn raised(stored: pb::AlertRaised) -> AlertRaised {
    AlertRaised {
        alert: stored.alert,
        account: AccountKey(stored.account),
        goal: stored.goal,
        budget: stored.budget,
        instance: stored.instance,
        threshold: stored.threshold,
        used: stored.used,
        limit: stored.limit,
    }
}

/// How a goal ended, as read.
pub(crate) fn goal_state(number: i32) -> Result<GoalState, CodecError> {
    fields::word("goal_state", i64::from(number), GoalState::from_number)
}

fn gated_of(at: UnixMillis, gated: &Gated) -> pb::Gated {
    pb::Gated {
        number: gated.number.0,
        verdict: gated.verdict as i32,
        place: Some(place::stored(&gated.place)),
        expires_after_ms: gated.expires_at.0.wrapping_sub(at.0),
        hold_nano: gated.hold.0,
        charges: charges_of(&gated.charges),
        attempts: gated.attempts,
        last_success: gated.last_success,
        first_attempt_after_ms: gated.first_attempt_at.map(|t| t.0.wrapping_sub(at.0)),
        last_attempt_after_ms: gated.last_attempt_at.map(|t| t.0.wrapping_sub(at.0)),
        exhausted: gated.exhausted.as_ref().map(|e| exhausted_of(at, e)),
        output_ref: gated.output_ref.clone(),
        reason: gated.reason.clone(),
        parent_goal: gated.parent_goal.clone(),
        key: gated.key.as_ref().map(fields::key_of),
    }
}

fn gated_from(at: UnixMillis, stored: pb::Gated) -> Result<Gated, CodecError> {
    let instant = |after: i64| UnixMillis(at.0.wrapping_add(after));
    Ok(Gated {
        number: CallNo(stored.number),
        verdict: fields::word("verdict", i64::from(stored.verdict), PolicyVerdict::from_number)?,
        place: place::read(fields::required("place", stored.place)?)?,
        parent_goal: stored.parent_goal,
        expires_at: instant(stored.expires_after_ms),
        hold: NanoUsd(stored.hold_nano),
        charges: charges(&stored.charges)?,
        exhausted: stored.exhausted.map(|e| exhausted(at, e)).transpose()?,
        attempts: stored.attempts,
        last_success: stored.last_success,
        first_attempt_at: stored.first_attempt_after_ms.map(instant),
        last_attempt_at: stored.last_attempt_after_ms.map(instant),
        output_ref: stored.output_ref,
        reason: stored.reason,
        key: fields::key(stored.key)?,
    })
}

fn closed_of(at: UnixMillis, closed: &GoalClosed) -> pb::GoalClosed {
    pb::GoalClosed {
        goal: closed.goal.clone(),
        state: closed.state as i32,
        score_micro: closed.score.map(|s| s.0),
        ended_after_ms: closed.ended_at.map(|t| t.0.wrapping_sub(at.0)),
        note: closed.note.clone(),
        by: closed.by.clone(),
        key: closed.key.as_ref().map(fields::key_of),
    }
}

fn closed_from(at: UnixMillis, stored: pb::GoalClosed) -> Result<GoalClosed, CodecError> {
    Ok(GoalClosed {
        goal: stored.goal,
        state: goal_state(stored.state)?,
        score: stored.score_micro.map(QualityMicro),
        ended_at: stored.ended_after_ms.map(|after| UnixMillis(at.0.wrapping_add(after))),
        note: stored.note,
        by: stored.by,
        key: fields::key(stored.key)?,
    })
}
