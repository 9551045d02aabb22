//! Goals from the outside: announced, ended, corrected, granted money, timed out. Requests in, facts out.

use std::sync::Arc;

use super::Engine;
use super::amend::{day, instant};
use super::error::EngineError;
use super::hydrate::{self, ColdStore, IdleAsked};
use super::naming::Naming;
use super::record::{CLOCK_SKEW_MS, counted_at};
use crate::domain::call::Call;
use crate::domain::event::{Body, BudgetGranted, Event, GoalClosed, GoalStarted, Key, Place, TimedOut};
use crate::domain::goal::{Closing, Goal, GoalState};
use crate::domain::names::{NameId, NameKind};
use crate::domain::request_goal::{AmendGoal, CompleteGoal, GrantBudget, StartGoal};
use crate::domain::time::UnixMillis;

/// What an act on a goal came to.
#[derive(Clone, Debug)]
pub struct GoalAct {
    /// Nothing new: it was said before.
    pub duplicate: bool,
    /// Facts to write and apply, in order.
    pub events: Vec<Event>,
}

impl GoalAct {
    fn again() -> Self {
        Self { duplicate: true, events: Vec::new() }
    }

    fn new(naming: Naming, last: Body, now: UnixMillis) -> Self {
        let bodies = naming.events.into_iter().chain([last]);
        Self { duplicate: false, events: bodies.map(|body| Event { at: now, body }).collect() }
    }
}

impl Engine {
    /// Announces a goal before its first call; of one that began already, only the limit can still be lowered.
    ///
    /// # Errors
    /// A key used with another body, or a goal above it that cannot be.
    pub fn start_goal(
        &mut self,
        store: &dyn ColdStore,
        request: &StartGoal,
        now: UnixMillis,
    ) -> Result<GoalAct, EngineError> {
        if self.said(store, request.key)? {
            return Ok(GoalAct::again());
        }
        hydrate::chain(&mut self.state, store, &request.goal_id);
        hydrate::chain(&mut self.state, store, &request.parent);
        self.check_parent(&request.goal_id, &request.parent)?;
        if let Some(goal) = self.state.goals.get(request.goal_id.as_str())
            && let (Some(limit), Some(before)) = (request.limit, goal.limit)
            && limit > before
        {
            let say =
                format!("may only be lowered: the goal has a limit of {before} already; use GrantBudget for more");
            return Err(EngineError::field("budget_usd", say));
        }
        let (names, mut naming) = (&self.state.names, Naming::default());
        let labels = self.labels_of(&request.goal_id, &request.parent, &request.labels);
        let workflow = naming.name(names, NameKind::Workflow, &request.workflow);
        let mut place = Place { labels: naming.labels(names, &labels), ..Place::default() };
        naming.complete(&mut place);
        let started = GoalStarted {
            goal: request.goal_id.clone(),
            workflow,
            labels: place.labels,
            other_workflow: place.other_names.pop().map(|name| name.1).unwrap_or_default(),
            other_labels: place.other_labels,
            parent: request.parent.clone(),
            limit: request.limit,
            key: request.key,
        };
        Ok(GoalAct::new(naming, Body::GoalStarted(Box::new(started)), now))
    }

    /// Ends a goal. One that was closed only because nobody worked on it may still be told how it ended.
    ///
    /// # Errors
    /// No such goal, a key used with another body, it ended otherwise or at another time, or a time in the future or before it
    /// began.
    pub fn complete_goal(
        &mut self,
        store: &dyn ColdStore,
        request: &CompleteGoal,
        now: UnixMillis,
    ) -> Result<GoalAct, EngineError> {
        if self.said(store, request.key)? {
            return Ok(GoalAct::again());
        }
        let goal = self.known_goal(store, &request.goal_id)?;
        let (closing, began_at) = (goal.closing, goal.began_at());
        let asked = request.occurred_at.map(|_| counted_at(request.occurred_at, self.state.detail_from, now));
        let ended_at = asked.transpose()?;
        if ended_at.is_some_and(|at| at < began_at) && !self.was_only_told_of(store, &request.goal_id) {
            let say = format!("lies before the goal began, at {}", instant(began_at));
            return Err(EngineError::field("occurred_at", say));
        }
        let closed = GoalClosed {
            goal: request.goal_id.clone(),
            state: request.state,
            score: request.score,
            ended_at,
            note: request.note.clone(),
            by: request.by.clone(),
            key: request.key,
        };
        let body = match closing {
            None => Body::GoalClosed(Box::new(closed)),
            Some(c) if says_the_same(request, c) => return Ok(GoalAct::again()),
            Some(c) if c.state == GoalState::TimedOut => Body::GoalAmended(Box::new(closed)),
            Some(c) if c.state == request.state && is_another_time(request, c.at) => {
                let say =
                    format!("is not when this goal ended, {}; that time stays as it was told first", instant(c.at));
                return Err(EngineError::field("occurred_at", say));
            }
            Some(c) => {
                let state = c.state.as_str();
                let say = format!("this goal ended as {state} already; correct it with AmendGoal");
                return Err(EngineError::Precondition(say));
            }
        };
        Ok(GoalAct::new(Naming::default(), body, now))
    }

    /// Corrects how a goal ended.
    ///
    /// # Errors
    /// No such goal, it is open, or a key used with another body.
    pub fn amend_goal(
        &mut self,
        store: &dyn ColdStore,
        request: &AmendGoal,
        now: UnixMillis,
    ) -> Result<GoalAct, EngineError> {
        if self.said(store, request.key)? {
            return Ok(GoalAct::again());
        }
        let Some(closing) = self.known_goal(store, &request.goal_id)?.closing else {
            let say = "this goal is open; end it with CompleteGoal";
            return Err(EngineError::Precondition(say.to_owned()));
        };
        let amended = GoalClosed {
            goal: request.goal_id.clone(),
            state: request.state.unwrap_or(closing.state),
            score: request.score,
            ended_at: None,
            note: request.reason.clone(),
            by: request.by.clone(),
            key: request.key,
        };
        Ok(GoalAct::new(Naming::default(), Body::GoalAmended(Box::new(amended)), now))
    }

    /// Grants a goal money beyond its budgets.
    ///
    /// # Errors
    /// No such goal, or a key used with another body.
    pub fn grant_budget(
        &mut self,
        store: &dyn ColdStore,
        request: &GrantBudget,
        now: UnixMillis,
    ) -> Result<GoalAct, EngineError> {
        if self.said(store, request.key)? {
            return Ok(GoalAct::again());
        }
        self.known_goal(store, &request.goal_id)?;
        let granted = BudgetGranted {
            goal: request.goal_id.clone(),
            extra: request.extra,
            approver: request.approver.clone(),
            reason: request.reason.clone(),
            key: request.key,
        };
        Ok(GoalAct::new(Naming::default(), Body::BudgetGranted(Box::new(granted)), now))
    }

    /// Goals on which nobody worked for too long by `now`, at most `most` of them, as one fact; which ones does not depend
    /// on what is at hand.
    pub fn time_out_goals(&mut self, store: &dyn ColdStore, now: UnixMillis, most: usize) -> Option<Event> {
        let mut goals = Vec::new();
        for workflow in self.state.open_goals.workflows() {
            let name = self.state.names.text(NameKind::Workflow, workflow);
            let timeout_ms = self.goal_rules.idle_timeout_ms(name);
            let idle = self.idle_goals(store, workflow, now.plus_ms(-timeout_ms), most - goals.len());
            // Of a goal of the past, told now, the time was over then; so it belongs to the windows of that time. It does not end
            // before what detail is kept of: whether that was dropped is told by the record alone, and this one stands.
            let kept_from = self.state.detail_from;
            let timed_out = |(last_at, goal): (UnixMillis, Arc<str>)| TimedOut {
                goal: goal.to_string(),
                ended_at: Some(last_at.plus_ms(timeout_ms).max(kept_from).min(now)),
            };
            goals.extend(idle.into_iter().map(timed_out));
        }
        (!goals.is_empty()).then_some(Event { at: now, body: Body::GoalsTimedOut { goals } })
    }

    /// Open goals of a workflow on which nobody worked since `until`, those that lie idle longest first.
    fn idle_goals(
        &mut self,
        store: &dyn ColdStore,
        workflow: NameId,
        until: UnixMillis,
        most: usize,
    ) -> Vec<(UnixMillis, Arc<str>)> {
        let state = &self.state;
        let mut idle: Vec<_> = state.open_goals.idle_at_hand(workflow, until).take(most).cloned().collect();
        if most > 0 && state.open_goals.may_be_away(workflow, until) {
            let is_away = |last_at, id: &str| state.is_open_away(workflow, last_at, id);
            let found = store.idle_goals(&IdleAsked { workflow, until, most, wanted: &is_away });
            idle.extend(found.goals);
            idle.sort_unstable();
            idle.truncate(most);
            self.state.open_goals.away_from(workflow, found.from);
        }
        idle
    }

    /// Whether nobody asked about a goal before its first call was told: when that was made, and what came before it, may be
    /// told later, so nothing says yet when the goal began.
    fn was_only_told_of(&mut self, store: &dyn ColdStore, id: &str) -> bool {
        let Some(goal) = self.state.goals.get(id) else { return false };
        let first = goal.thread.entries.first().filter(|first| first.order.at <= goal.opened_at);
        let Some(number) = first.map(|first| first.order.number) else { return false };
        hydrate::call(&mut self.state, store, number).is_some_and(Call::was_only_told_of)
    }

    fn said(&mut self, store: &dyn ColdStore, key: Option<Key>) -> Result<bool, EngineError> {
        let Some(key) = key else { return Ok(false) };
        Ok(self.used(store, key)?.is_some())
    }

    /// A goal with those above it.
    pub(super) fn known_goal(&mut self, store: &dyn ColdStore, id: &str) -> Result<&Goal, EngineError> {
        hydrate::chain(&mut self.state, store, id);
        self.state.goals.get(id).ok_or_else(|| self.unknown_goal(id))
    }

    /// What is said of a goal that is not there: one that was dropped is not told from one that never was.
    #[must_use]
    pub fn unknown_goal(&self, id: &str) -> EngineError {
        match self.state.detail_from {
            UnixMillis(0) => EngineError::not_found("goal", id),
            from => EngineError::not_found_since("goal", id, &day(from)),
        }
    }
}

/// Whether a request says of a goal that ended nothing but what is known.
fn says_the_same(request: &CompleteGoal, closing: Closing) -> bool {
    let score = request.score.is_none() || request.score == closing.score;
    request.state == closing.state && score && !is_another_time(request, closing.at)
}

/// Whether a request names another time than that at which the goal ended. A clock that was ahead of this one named a later one.
fn is_another_time(request: &CompleteGoal, ended_at: UnixMillis) -> bool {
    request.occurred_at.is_some_and(|at| at < ended_at || at > ended_at.plus_ms(CLOCK_SKEW_MS))
}
