//! Goals and gates, one request each, whole: decide or validate → journal → apply → answer.

use std::sync::Arc;

use super::decided::VOIDED;
use super::goal_reply::{BudgetStanding, ChangeReply, Exhaustion, GateReply, GoalActReply, GoalReply, LastOutcome};
use super::{Service, ServiceError, Synced};
use crate::domain::budget::{Charge, Site};
use crate::domain::call::CallNo;
use crate::domain::event::{Body, Exhausted, Gated, PolicyVerdict};
use crate::domain::goal::Goal;
use crate::domain::grading;
use crate::domain::names::Labels;
use crate::domain::outcome::DecisionRef;
use crate::domain::request_goal::{AmendGoal, ChangeWindows, CompleteGoal, GateRequest, GrantBudget, StartGoal};
use crate::domain::time::UnixMillis;
use crate::domain::token::TokenKind;
use crate::engine::{Engine, EngineError, GoalAct, Line, hydrate};
use crate::insights;

impl From<&Line> for BudgetStanding {
    fn from(line: &Line) -> Self {
        let Line { opened, booked, .. } = line;
        Self {
            budget_id: opened.budget.clone(),
            scope: opened.scope,
            instance: opened.instance.clone(),
            goal_id: opened.goal.clone(),
            measure: opened.measure,
            period: line.period,
            limit: line.limit,
            granted: line.granted,
            spent: booked.spent,
            held: booked.held.saturating_add(booked.presumed),
            presumed: booked.presumed,
            resets_at: opened.resets_at,
            on_exceed: line.on_exceed,
        }
    }
}

impl From<&Exhausted> for Exhaustion {
    fn from(of: &Exhausted) -> Self {
        Self {
            budget_id: of.budget.clone(),
            action: of.action,
            message: of.message.clone(),
            resets_at: of.resets_at,
            measure: of.measure,
            limit: of.limit,
            spent: of.spent,
            held: of.held,
        }
    }
}

/// How a gate is answered.
enum Gate {
    /// Anew.
    Now(Box<GateReply>, Synced),
    /// With what this event recorded.
    Before(u64, Synced),
}

impl Service {
    /// Says whether a step that is no model call may be made, and holds its cost.
    ///
    /// # Errors
    /// See [`ServiceError`]; refusals that are part of the product are answers.
    pub async fn gate(&self, request: GateRequest) -> Result<GateReply, ServiceError> {
        match self.gate_now(&request)? {
            Gate::Before(seq, synced) => {
                synced.wait().await?;
                self.gated_before(seq)
            }
            Gate::Now(reply, synced) => {
                synced.wait().await?;
                Ok(*reply)
            }
        }
    }

    fn gate_now(&self, request: &GateRequest) -> Result<Gate, ServiceError> {
        self.accepting()?;
        let mut engine = self.engine.lock();
        let now = self.clock.now();
        if let Some(key) = request.key
            && let Some((_, seq)) = self.sure(engine.used(&self.shelf, key))?
        {
            return Ok(Gate::Before(seq, Synced(Some(self.journal.commit_waiter()))));
        }
        let answer = self.sure(engine.gate(&self.shelf, request, now))?;
        self.write(&mut engine, &answer.events)?;
        let gated = &answer.gated;
        self.raise_alerts(&mut engine, &gated.charges, &request.goal_id, now)?;
        let lines = match gated.charges.is_empty() {
            true => answer.lines,
            false => engine.standing(&gated.charges, &request.goal_id),
        };
        let last = self.last_outcome(&mut engine, gated);
        let synced = Synced(Some(self.journal.commit_waiter()));
        drop(engine);
        Ok(Gate::Now(Box::new(self.gate_reply(gated, &lines, last, now)), synced))
    }

    /// The answer that event `seq` stands for, with its accounts as they stand now; one that was voided since goes ahead no
    /// more.
    fn gated_before(&self, seq: u64) -> Result<GateReply, ServiceError> {
        let event = self.event_at(seq)?;
        let Body::Gated(mut gated) = event.body else {
            return Err(ServiceError::Internal(format!("event {seq} is no gate")));
        };
        let mut engine = self.engine.lock();
        hydrate::chain(&mut engine.state, &self.shelf, &gated.place.goal);
        let lines = engine.standing(&gated.charges, &gated.place.goal);
        let last = self.last_outcome(&mut engine, &gated);
        if self.is_voided(&mut engine, gated.number) {
            (gated.verdict, gated.reason, gated.exhausted) = (PolicyVerdict::Block, VOIDED.to_owned(), None);
        }
        drop(engine);
        Ok(self.gate_reply(&gated, &lines, last, event.at))
    }

    /// What came of the attempt before this gate.
    fn last_outcome(&self, engine: &mut Engine, gated: &Gated) -> Option<LastOutcome> {
        let goal = engine.state.goals.get(gated.place.goal.as_str())?;
        let before = goal.thread.entries.iter().rev().filter(|e| e.order.number < gated.number);
        let number = before.filter(|e| e.step_key == gated.place.step_key).map(|e| e.order.number).next()?;
        let call = hydrate::call(&mut engine.state, &self.shelf, number)?;
        let settled = call.settled()?;
        Some(LastOutcome {
            outcome_id: self.outcome_id(call),
            verdict: call.verdict(),
            cost: settled.cost,
            at: call.counted_at,
        })
    }

    fn gate_reply(&self, gated: &Gated, lines: &[Line], last: Option<LastOutcome>, at: UnixMillis) -> GateReply {
        let proceeds = gated.verdict.proceeds();
        GateReply {
            verdict: gated.verdict,
            exhaustion: gated.exhausted.as_ref().map(Exhaustion::from),
            budgets: lines.iter().map(BudgetStanding::from).collect(),
            attempts: gated.attempts,
            last_outcome: last,
            first_attempt_at: gated.first_attempt_at,
            last_attempt_at: gated.last_attempt_at,
            output_ref: gated.output_ref.clone(),
            hold_id: proceeds.then(|| self.hold_id(gated, at)),
            held: proceeds.then_some(gated.hold),
            expires_at: proceeds.then_some(gated.expires_at),
            reason: gated.reason.clone(),
        }
    }

    fn hold_id(&self, gated: &Gated, at: UnixMillis) -> String {
        let place = &gated.place;
        let traits = crate::engine::gate_traits();
        let of = DecisionRef {
            number: gated.number,
            at,
            task: place.task,
            candidate: place.candidate,
            step: place.step,
            traits,
        };
        self.token_key.seal(TokenKind::Hold, &of)
    }

    /// Starts a goal.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn start_goal(&self, request: StartGoal) -> Result<GoalActReply, ServiceError> {
        let goal = request.goal_id.clone();
        self.act(&goal, |engine, now| engine.start_goal(&self.shelf, &request, now)).await
    }

    /// Ends a goal.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn complete_goal(&self, request: CompleteGoal) -> Result<GoalActReply, ServiceError> {
        let goal = request.goal_id.clone();
        self.act(&goal, |engine, now| engine.complete_goal(&self.shelf, &request, now)).await
    }

    /// Corrects how a goal ended.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn amend_goal(&self, request: AmendGoal) -> Result<GoalActReply, ServiceError> {
        let goal = request.goal_id.clone();
        self.act(&goal, |engine, now| engine.amend_goal(&self.shelf, &request, now)).await
    }

    /// Adds money to a goal.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn grant_budget(&self, request: GrantBudget) -> Result<GoalActReply, ServiceError> {
        let goal = request.goal_id.clone();
        self.act(&goal, |engine, now| engine.grant_budget(&self.shelf, &request, now)).await
    }

    async fn act(
        &self,
        goal: &str,
        act: impl FnOnce(&mut Engine, UnixMillis) -> Result<GoalAct, EngineError>,
    ) -> Result<GoalActReply, ServiceError> {
        self.accepting()?;
        let (duplicate, reply, synced) = {
            let mut engine = self.engine.lock();
            let now = self.clock.now();
            let done = self.sure(act(&mut engine, now))?;
            self.write(&mut engine, &done.events)?;
            let reply = self.goal_now(&mut engine, goal, now)?;
            (done.duplicate, reply, Synced(Some(self.journal.commit_waiter())))
        };
        synced.wait().await?;
        Ok(GoalActReply { goal: reply, duplicate })
    }

    /// A goal as it stands.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn goal(&self, goal_id: &str) -> Result<GoalReply, ServiceError> {
        let mut engine = self.engine.lock();
        let now = self.clock.now();
        self.goal_now(&mut engine, goal_id, now)
    }

    /// A goal with its budgets and notes.
    pub(super) fn goal_now(&self, engine: &mut Engine, id: &str, now: UnixMillis) -> Result<GoalReply, ServiceError> {
        hydrate::chain(&mut engine.state, &self.shelf, id);
        let Some(goal) = engine.state.goals.get(id) else {
            self.shelf.health()?;
            return Err(engine.unknown_goal(id).into());
        };
        let mut reply = goal_reply(engine, id, goal);
        reply.notes.clone_from(&goal.notes);
        let none = Labels::new();
        let names = &engine.state.names;
        let site = Site {
            task: "",
            workflow: goal.workflow_text(names),
            step: "",
            tool: "",
            labels: goal.labels_told(names).map_or(&none, |l| l),
            goal: id,
        };
        let mut lines = engine.lines(&site, now);
        // Accounts of steps and tools within the goal are not told by its place alone.
        for account in &goal.accounts {
            if lines.iter().all(|l| l.opened.key != account.opened.key) {
                lines.push(engine.line_of(account));
            }
        }
        reply.budgets = lines.iter().map(BudgetStanding::from).collect();
        Ok(reply)
    }

    /// Raises the alerts that are due on accounts just booked on.
    pub(super) fn raise_alerts(
        &self,
        engine: &mut Engine,
        charges: &[Charge],
        goal: &str,
        now: UnixMillis,
    ) -> Result<(), ServiceError> {
        if charges.is_empty() {
            return Ok(());
        }
        let due = engine.alerts_due(charges, goal, now);
        self.write(engine, &due)?;
        Ok(())
    }

    /// Why spend changed between two windows.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn explain_change(
        &self,
        windows: ChangeWindows,
        filters: &insights::Filters,
    ) -> Result<ChangeReply, ServiceError> {
        let mut engine = self.engine.lock();
        let calls = filters.goal_id.as_ref().map(|goal| self.calls_of(&mut engine, goal)).transpose()?;
        let found = insights::explain_spend(&engine, calls.as_deref(), filters, windows, self.clock.now());
        let (previous_window, current_window) = (found.previous, found.current);
        Ok(ChangeReply { previous_window, current_window, change: found.change })
    }
}

/// A goal without its budgets and notes.
pub(super) fn goal_reply(engine: &Engine, id: &str, goal: &Goal) -> GoalReply {
    let names = &engine.state.names;
    GoalReply {
        goal_id: id.to_owned(),
        state: goal.closing.map(|c| c.state),
        score: goal.closing.and_then(|c| c.score),
        workflow: goal.workflow_text(names).to_owned(),
        labels: goal.labels_told(names).map(|l| l.as_ref().clone()).unwrap_or_default(),
        parent: goal.ancestors.first().map_or_else(String::new, ToString::to_string),
        children: goal.children.iter().map(ToString::to_string).collect(),
        opened_at: goal.opened_at,
        last_at: goal.last_at,
        closed_at: goal.closing.map(|c| c.at),
        own: goal.own,
        whole: goal.whole,
        limit: goal.limit,
        granted: goal.granted,
        budgets: Vec::new(),
        notes: Vec::new(),
        ends: grading::ends(goal),
    }
}

/// The numbers of a goal's calls, in decision order.
pub(super) fn numbers(goal: &Goal) -> Vec<CallNo> {
    goal.thread.entries.iter().map(|e| e.order.number).collect()
}

/// A goal and the goals above it, as the state names them.
pub(super) fn chain_of(id: &str, goal: &Goal) -> Vec<Arc<str>> {
    std::iter::once(Arc::from(id)).chain(goal.ancestors.iter().cloned()).collect()
}
