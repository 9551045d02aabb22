//! Receipts: every call of a goal with what it cost, what let it through and what came of it; the goals below it
//! likewise. Sums are the goal's own, so that they add up by construction and `verify` can prove them.

use std::collections::HashMap;
use std::sync::Arc;

use super::goal_reply::{AllowedBy, CallReceipt, GoalReply, ReceiptReply, StepReceipt};
use super::goals::{chain_of, numbers};
use super::{Service, ServiceError};
use crate::domain::budget::{AccountKey, GOAL_GRANTS, Opened};
use crate::domain::call::{Call, Stage};
use crate::domain::goal::{GoalSums, Note, NoteKind};
use crate::domain::names::{NameId, NameKind};
use crate::domain::outcome::DecisionRef;
use crate::domain::time::UnixMillis;
use crate::domain::token::TokenKind;
use crate::engine::{Engine, EngineError, day, hydrate};

/// Goals on one receipt at most; those below beyond it are told by their sums in the goal above.
const GOALS_MAX: usize = 1_000;

impl Service {
    /// The receipt of a goal; without its calls where only the sums are wanted.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn receipt(&self, goal_id: &str, without_calls: bool) -> Result<ReceiptReply, ServiceError> {
        let mut left = GOALS_MAX;
        let mut engine = self.engine.lock();
        let now = self.clock.now();
        let parts = self.gather(&mut engine, goal_id, without_calls, now, &mut left)?;
        Ok(self.write_out(&engine, parts))
    }

    /// The goal, its calls and the goals below.
    fn gather(
        &self,
        engine: &mut Engine,
        id: &str,
        without_calls: bool,
        now: UnixMillis,
        left: &mut usize,
    ) -> Result<Gathered, ServiceError> {
        *left = left.saturating_sub(1);
        let reply = self.goal_now(engine, id, now)?;
        let goal = &engine.state.goals[id];
        let waiting = goal.own.open > 0;
        let (numbers, chain, children) = (numbers(goal), chain_of(id, goal), goal.children.clone());
        let mut calls = Vec::with_capacity(if without_calls { 0 } else { numbers.len() });
        if !without_calls {
            let number_of = |n| hydrate::call(&mut engine.state, &self.shelf, n).cloned();
            calls.extend(numbers.into_iter().filter_map(number_of));
            if waiting {
                // The newest of those that wait for their outcome; older ones are told by their number alone.
                let waits = |c: &&Call| c.goal == *id && matches!(c.stage, Stage::Open(_));
                calls.extend(engine.state.calls.values().filter(waits).cloned());
                calls.sort_by_key(Call::order);
            }
        }
        let mut accounts = HashMap::new();
        for charge in calls.iter().flat_map(|c: &Call| &c.charges) {
            hydrate::account(&mut engine.state, &self.shelf, charge.account);
            if let Some(account) = engine.state.account(charge.account, &chain) {
                accounts.entry(charge.account).or_insert_with(|| account.opened.clone());
            }
        }
        let mut below = Vec::new();
        for child in children {
            if *left == 0 {
                break;
            }
            match self.gather(engine, &child, without_calls, now, left) {
                // Dropped for its age: told by its sums in the goal above.
                Err(ServiceError::Engine(EngineError::NotFound { .. })) => {}
                told => below.push(told?),
            }
        }
        let notes = |id: &Arc<str>| Some((id.to_string(), engine.state.goals.get(id)?.notes.clone()));
        let notes = chain.iter().filter_map(notes).collect();
        let kept_from = Some(engine.state.detail_from).filter(|from| !without_calls && reply.opened_at < *from);
        Ok(Gathered { reply, calls, accounts, notes, below, kept_from })
    }

    fn write_out(&self, engine: &Engine, gathered: Gathered) -> ReceiptReply {
        let Gathered { reply, calls, accounts, notes, below, kept_from } = gathered;
        let mut steps: Vec<StepReceipt> = Vec::new();
        let mut places: HashMap<u64, usize> = HashMap::new();
        let mut approvals = Approvals { notes: &notes, used: HashMap::new() };
        for call in &calls {
            let place = *places.entry(call.step_key).or_insert_with(|| {
                steps.push(StepReceipt { step: step_name(engine, call), ..StepReceipt::default() });
                steps.len() - 1
            });
            let step = &mut steps[place];
            step.sums.change(&GoalSums::of(call), true);
            let allowed_by = allowed_by(call, &accounts, &mut approvals);
            step.calls.push(self.call_receipt(engine, call, allowed_by));
        }
        steps.extend(kept_from.and_then(|from| dropped(&reply.own, &steps, from)));
        let sub_goals = below.into_iter().map(|b| self.write_out(engine, b)).collect();
        ReceiptReply { goal: reply, steps, sub_goals }
    }

    fn call_receipt(&self, engine: &Engine, call: &Call, allowed_by: Vec<AllowedBy>) -> CallReceipt {
        let text = |kind, id| engine.state.names.text(kind, id).to_owned();
        let candidate = text(NameKind::Candidate, call.candidate);
        let of = DecisionRef {
            number: call.number,
            at: call.at,
            task: call.task,
            candidate: call.candidate,
            step: call.step,
            traits: call.traits,
        };
        let is_gate = call.candidate == NameId::NONE && call.hold.is_some();
        let decision_id = match (call.decided, is_gate) {
            (true, _) => self.token_key.seal(TokenKind::Decision, &of),
            (false, true) => self.token_key.seal(TokenKind::Hold, &of),
            (false, false) => String::new(),
        };
        CallReceipt {
            decision_id,
            outcome_id: if call.settled().is_some() { self.outcome_id(call) } else { String::new() },
            at: call.at,
            task_type: text(NameKind::Task, call.task),
            provider: candidate.split_once('/').map_or_else(String::new, |(provider, _)| provider.to_owned()),
            candidate,
            tool: text(NameKind::Tool, call.tool),
            arm: call.traits.arm,
            is_retry: call.is_retry(),
            evaluation: call.evaluation,
            off_policy: call.off_policy,
            unadmitted: call.is_unadmitted(),
            held: call.hold,
            allowed_by,
            stage: match call.stage {
                Stage::Settled(settled) => {
                    Stage::Settled(crate::domain::call::Settled { verdict: call.verdict(), ..settled })
                }
                stage => stage,
            },
            amendments: call.amendments,
        }
    }
}

/// What a receipt is made of.
struct Gathered {
    reply: GoalReply,
    calls: Vec<Call>,
    accounts: HashMap<AccountKey, Opened>,
    /// What happened to the goal and to those above it.
    notes: HashMap<String, Vec<Note>>,
    below: Vec<Gathered>,
    /// When the detail that is kept begins, where the goal is older.
    kept_from: Option<UnixMillis>,
}

/// What the goal's own calls come to that were dropped for their age, so that the receipt adds up; `None`: nothing.
fn dropped(own: &GoalSums, steps: &[StepReceipt], from: UnixMillis) -> Option<StepReceipt> {
    let mut sums = *own;
    steps.iter().for_each(|step| sums.change(&step.sums, false));
    // What is open is not dropped, and not listed either.
    sums.open = 0;
    let step = format!("calls before {}, dropped for their age", day(from));
    (sums != GoalSums::default()).then(|| StepReceipt { step, sums, ..StepReceipt::default() })
}

/// Which calls needed money that was granted: those that drew on it where another budget was used up, and those that go beyond
/// their goal's limit without it, in decision order.
struct Approvals<'a> {
    notes: &'a HashMap<String, Vec<Note>>,
    used: HashMap<AccountKey, i64>,
}

impl Approvals<'_> {
    /// The grant that `call` needed on an account, where it did: the newest before it that counts there.
    fn needed(&mut self, call: &Call, opened: &Opened, booked: i64) -> Option<AllowedBy> {
        let used = self.used.entry(opened.key).or_default();
        *used += booked;
        let beyond = i128::from(*used) > i128::from(opened.limit) || opened.budget == GOAL_GRANTS;
        if !beyond || !opened.is_raised_by_grants() {
            return None;
        }
        let within = opened.start..=call.at;
        let granted = |note: &&Note| matches!(note.what, NoteKind::Granted(_)) && within.contains(&note.at);
        let note = self.notes.get(&opened.goal)?.iter().rev().find(granted)?;
        let NoteKind::Granted(amount) = note.what else { return None };
        Some(AllowedBy::Approval { approver: note.by.clone(), reason: note.text.clone(), amount })
    }
}

fn allowed_by(call: &Call, accounts: &HashMap<AccountKey, Opened>, approvals: &mut Approvals<'_>) -> Vec<AllowedBy> {
    let mut allowed = Vec::new();
    for charge in &call.charges {
        let Some(opened) = accounts.get(&charge.account) else { continue };
        let booked = charge.booked(call, opened.measure).used();
        let approval = approvals.needed(call, opened, booked);
        if call.is_unadmitted() {
            continue;
        }
        if opened.budget != GOAL_GRANTS {
            allowed.push(AllowedBy::Budget {
                budget_id: opened.budget.clone(),
                instance: opened.instance.clone(),
                measure: opened.measure,
                held: charge.held,
            });
        }
        allowed.extend(approval);
    }
    allowed
}

/// The name of a call's step: the step, else the task type, else the tool.
fn step_name(engine: &Engine, call: &Call) -> String {
    let kinds = [(NameKind::Step, call.step), (NameKind::Task, call.task), (NameKind::Tool, call.tool)];
    let named = kinds.into_iter().find(|(_, id)| *id != NameId::NONE);
    named.map_or_else(String::new, |(kind, id)| Arc::<str>::from(engine.state.names.text(kind, id)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_is_a_line_of_its_own_and_the_receipt_adds_up() {
        let own = GoalSums { cost: 70, calls: 3, ..GoalSums::default() };
        let listed = StepReceipt { sums: GoalSums { cost: 20, calls: 1, ..own }, ..StepReceipt::default() };
        let line = dropped(&own, std::slice::from_ref(&listed), UnixMillis(20_000 * 86_400_000)).unwrap();
        assert_eq!((line.sums.cost, line.sums.calls, line.calls.len()), (50, 2, 0));
        assert_eq!(line.step, "calls before 2024-10-04, dropped for their age");
        assert!(dropped(&own, &[listed, line], UnixMillis(0)).is_none());
    }
}
