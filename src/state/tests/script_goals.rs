//! What the callers of the script do with goals: announce, end, correct and reopen them, stand them below one another, ask
//! for steps of tools, run into budgets of every scope and period, grant money, and look at alerts.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use rand::RngExt as _;

use super::script::Script;
use crate::domain::budget::{Budget, Budgets, Measure, OnExceed, Period, Scope};
use crate::domain::call::{Arm, CallTraits, Selection};
use crate::domain::event::{Body, Event, Gated};
use crate::domain::goal::{GoalRules, GoalState, WorkflowRules};
use crate::domain::money::NanoUsd;
use crate::domain::outcome::{DecisionRef, QualityMicro};
use crate::domain::request_goal::{AmendGoal, CompleteGoal, GateRequest, GrantBudget, StartGoal};
use crate::domain::rollout::Assigned;
use crate::domain::strata::Stratum;
use crate::domain::time::{HOUR_MS, UnixMillis};
use crate::engine::hydrate::ColdStore;

const CENT: u64 = 10_000_000;

/// A budget of every kind, small enough to be used up now and then.
pub(super) fn budgets() -> Budgets {
    let zone = |name: &str| TimeZoneDatabase::bundled().get(name).unwrap();
    let budget = |id: &str, scope, measure, limit, period, on_exceed| Budget {
        id: Arc::from(id),
        scope,
        matches: BTreeMap::new(),
        is_default: false,
        measure,
        limit,
        period,
        zone: TimeZone::UTC,
        alert_thresholds: vec![50, 100],
        on_exceed,
        message: String::new(),
    };
    let red = BTreeMap::from([("team".to_owned(), "red".to_owned())]);
    Budgets {
        all: vec![
            Budget {
                matches: red,
                ..budget("red", Scope::Team, Measure::Usd, 60 * CENT, Period::Day, OnExceed::Block)
            },
            Budget {
                is_default: true,
                zone: zone("Asia/Kolkata"),
                ..budget("teams", Scope::Team, Measure::Usd, 50 * CENT, Period::Hour, OnExceed::Queue)
            },
            budget("goals", Scope::Goal, Measure::Usd, 60 * CENT, Period::PerGoal, OnExceed::Downgrade),
            budget("asks", Scope::Goal, Measure::Calls, 90, Period::PerGoal, OnExceed::RequireApproval),
            Budget {
                zone: zone("Europe/Berlin"),
                ..budget("flows", Scope::Workflow, Measure::Tokens, 900_000, Period::Week, OnExceed::Warn)
            },
            budget("again", Scope::Step, Measure::Retries, 3, Period::PerGoal, OnExceed::Warn),
            budget("tools", Scope::Tool, Measure::Calls, 60, Period::Hour, OnExceed::HandOff),
            budget("steps", Scope::Step, Measure::Usd, 900 * CENT, Period::Total, OnExceed::ReturnPartial),
            budget("users", Scope::User, Measure::Calls, 150, Period::Month, OnExceed::Block),
        ],
    }
}

/// Goals lie idle for six hours at most, those of one workflow for one.
pub(super) fn goal_rules() -> GoalRules {
    let billing = WorkflowRules { idle_timeout_ms: Some(HOUR_MS), price: Some(NanoUsd(5 * CENT)) };
    GoalRules { idle_timeout_ms: 6 * HOUR_MS, workflows: BTreeMap::from([(Arc::from("billing"), billing)]) }
}

/// A gate as its id tells it.
pub(super) fn gate_ref(gated: &Gated, at: UnixMillis) -> DecisionRef {
    DecisionRef {
        number: gated.number,
        at,
        task: gated.place.task,
        candidate: gated.place.candidate,
        step: gated.place.step,
        traits: CallTraits {
            arm: Arm::Elsewhere,
            selection: Selection::Constraint,
            may_teach: false,
            quality_reward: false,
            learns_from_goal: false,
            assigned: Assigned::No,
            stratum: Stratum::NONE,
        },
    }
}

impl Script {
    pub(super) fn some_goal(&mut self) -> String {
        // Low numbers begin early and stand above the others.
        let number = self.rng.random_range(0..60);
        format!("goal-{}", if self.rng.random_bool(0.5) { number } else { number / 4 })
    }

    /// The one goal that may stand above that one: mostly where nobody asked about it yet, seldom (and in vain) after that.
    pub(super) fn parent_of(&mut self, goal: &str) -> String {
        let chance = if self.begun.insert(goal.to_owned()) { 0.95 } else { 0.05 };
        let above = goal.strip_prefix("goal-").and_then(|n| n.parse::<u32>().ok()).filter(|n| *n > 2);
        above.filter(|_| self.rng.random_bool(chance)).map_or_else(String::new, |n| format!("goal-{}", n / 3))
    }

    pub(super) fn gate(&mut self, store: &dyn ColdStore) -> Vec<Event> {
        let goal_id = self.some_goal();
        let request = GateRequest {
            workflow: self.pick(&["", "support", "billing"]),
            step: self.pick(&["fetch", "send", "read"]),
            tool: self.pick(&["search", "mail", ""]),
            labels: if self.rng.random_bool(0.2) {
                [("user".to_owned(), self.pick(&["a1", "b2"]))].into()
            } else {
                Default::default()
            },
            estimated_cost: self.rng.random_bool(0.5).then(|| NanoUsd(self.rng.random_range(0..CENT))),
            requires_evidence_from: if self.rng.random_bool(0.1) { vec!["read".to_owned()] } else { Vec::new() },
            parent_goal: self.parent_of(&goal_id),
            key: None,
            goal_id,
        };
        self.engine.gate(store, &request, self.now).map(|answer| answer.events).unwrap_or_default()
    }

    pub(super) fn act_on_goal(&mut self, store: &dyn ColdStore) -> Vec<Event> {
        let (now, goal_id, key) = (self.now, self.some_goal(), self.key());
        let state = GoalState::ALL[self.rng.random_range(0..GoalState::ALL.len())];
        let score = self.rng.random_bool(0.3).then(|| QualityMicro(self.rng.random_range(0..=1_000_000)));
        let by = self.pick(&["", "a grader"]);
        let act = match self.rng.random_range(0..10) {
            0..2 => {
                let labels = [("team".to_owned(), self.pick(&["red", "blue"]))].into();
                let limit = self.rng.random_bool(0.3).then(|| NanoUsd(self.rng.random_range(1..20 * CENT)));
                let (workflow, parent) = (self.pick(&["", "support", "billing"]), self.parent_of(&goal_id));
                self.engine.start_goal(store, &StartGoal { goal_id, workflow, labels, parent, limit, key }, now)
            }
            2..6 => {
                let note = self.pick(&["", "done"]);
                let occurred_at =
                    self.rng.random_bool(0.3).then(|| now.plus_ms(-self.rng.random_range(0..60 * 60_000)));
                let request = CompleteGoal { goal_id, state, score, note, by, occurred_at, key };
                self.engine.complete_goal(store, &request, now)
            }
            6..8 => {
                let (state, reason) = (Some(state), "looked again".to_owned());
                self.engine.amend_goal(store, &AmendGoal { goal_id, state, score, by, reason, key }, now)
            }
            8 => {
                let extra = NanoUsd(self.rng.random_range(1..5 * CENT));
                let (approver, reason) = ("somebody".to_owned(), "worth it".to_owned());
                self.engine.grant_budget(store, &GrantBudget { goal_id, extra, approver, reason, key }, now)
            }
            _ => return self.acknowledge(),
        };
        act.map(|act| act.events).unwrap_or_default()
    }

    /// Somebody saw the newest alert.
    fn acknowledge(&mut self) -> Vec<Event> {
        let newest = self.engine.state.alerts.keys().next_back().copied();
        let seen = |alert| Body::AlertAcknowledged { alert, by: "somebody".to_owned(), note: "seen".to_owned() };
        newest.map(|alert| Event { at: self.now, body: seen(alert) }).into_iter().collect()
    }

    /// The alerts due once `events` are folded.
    pub(super) fn alerts(&self, events: &[Event]) -> Vec<Event> {
        let Some(last) = events.last() else { return Vec::new() };
        let number = match &last.body {
            Body::Decided(decided) => decided.number,
            Body::Gated(gated) => gated.number,
            Body::OutcomeRecorded(recorded) => recorded.call,
            Body::OutcomeAmended(amended) => amended.call,
            _ => return Vec::new(),
        };
        let Some(call) = self.engine.state.calls.get(&number) else { return Vec::new() };
        self.engine.alerts_due(&call.charges, &call.goal, self.now)
    }
}
