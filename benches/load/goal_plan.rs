//! What happens in each goal of a made-up month: which calls it makes, what they use, which fail, how it ends. Everything
//! follows from the goal's number, so that a goal can be asked for later by name. It knows no service and no clock.

use std::collections::BTreeMap;

use oddsmaker::wire::pb;

use crate::requests::{random_text, stirred};

/// Calls of a goal.
pub(crate) const CALLS: u64 = 10;

/// Steps of a goal; a failed one is tried again, so that a goal with failures does not reach the last.
const STEPS: [Step; CALLS as usize] = [
    Step { name: "classify", by: By::Model(0) },
    Step { name: "search", by: By::Gated("search_api") },
    Step { name: "plan", by: By::Model(1) },
    Step { name: "look-up", by: By::Tool("crm") },
    Step { name: "draft", by: By::Model(2) },
    Step { name: "check", by: By::Model(3) },
    Step { name: "search-again", by: By::Gated("search_api") },
    Step { name: "answer", by: By::Model(4) },
    Step { name: "review", by: By::Model(5) },
    Step { name: "summarise", by: By::Model(6) },
];

const WORKFLOWS: [&str; 4] = ["support-ticket", "research", "onboarding", "invoice"];

/// Of 100 calls of models, and of tools, so many fail.
const FAILURES: (u64, u64) = (8, 5);

/// Budgets of the month: every goal has one of its own, and so has every organization in every month.
pub(crate) const SETTINGS: &str = r#"
[[budget]]
id = "goal"
scope = "goal"
default = true
limit = "50.00"

[[budget]]
id = "organization-month"
scope = "organization"
default = true
limit = "1000000.00"
"#;

/// One step.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    name: &'static str,
    pub(crate) by: By,
}

/// Who does it.
#[derive(Clone, Copy)]
pub(crate) enum By {
    /// A model, asked for with GetPolicy; its task type is the one of that number.
    Model(usize),
    /// A tool, asked for with GateStep.
    Gated(&'static str),
    /// A tool nobody asked for; only its outcome is reported.
    Tool(&'static str),
}

/// A goal.
#[derive(Clone, Copy)]
pub(crate) struct GoalPlan {
    pub(crate) number: u64,
    teams: u64,
    keyed: bool,
}

impl GoalPlan {
    pub(crate) fn new(number: u64, teams: u64, keyed: bool) -> Self {
        Self { number, teams, keyed }
    }

    /// Its name: as long and as scattered as those of real callers.
    pub(crate) fn id(&self) -> String {
        format!("goal-{}", random_text("goal", self.number))
    }

    fn team(&self) -> u64 {
        self.number % self.teams
    }

    pub(crate) fn workflow(&self) -> String {
        WORKFLOWS[(self.team() % 4) as usize].to_owned()
    }

    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let team = self.team();
        let pairs = [("organization", format!("organization-{}", team % 2)), ("team", format!("team-{team}"))];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// The step after `succeeded` others.
    pub(crate) fn step(succeeded: usize) -> Step {
        STEPS[succeeded % STEPS.len()]
    }

    fn key(&self, what: &str, call: u64) -> Option<String> {
        self.keyed.then(|| random_text(what, self.number << 16 | call))
    }

    /// Asks for a model, as call `call` of the goal.
    pub(crate) fn policy(&self, call: u64, step: Step, task: usize) -> pb::GetPolicyRequest {
        let (input, output) = self.tokens(call);
        pb::GetPolicyRequest {
            task_type: format!("mix-{task}"),
            goal_id: Some(self.id()),
            workflow: Some(self.workflow()),
            step: Some(step.name.to_owned()),
            labels: self.labels(),
            usage_estimate: Some(pb::UsageEstimate {
                input_tokens: Some(input),
                max_output_tokens: Some(output + 200),
                ..pb::UsageEstimate::default()
            }),
            idempotency_key: self.key("policy", call),
            ..pb::GetPolicyRequest::default()
        }
    }

    /// Asks whether a tool may be used.
    pub(crate) fn gate(&self, call: u64, step: Step, tool: &str) -> pb::GateStepRequest {
        pb::GateStepRequest {
            goal_id: self.id(),
            workflow: Some(self.workflow()),
            step: step.name.to_owned(),
            tool: Some(tool.to_owned()),
            labels: self.labels(),
            estimated_cost_usd: Some(0.004),
            idempotency_key: self.key("gate", call),
            ..pb::GateStepRequest::default()
        }
    }

    /// What came of a model's call; a dearer model succeeds more often.
    pub(crate) fn model_outcome(&self, call: u64, answer: &pb::GetPolicyResponse) -> pb::RecordOutcomeRequest {
        let model = answer.model.as_deref().and_then(|id| id.rsplit('-').next()?.parse::<u64>().ok()).unwrap_or(0);
        let (input, output) = self.tokens(call);
        pb::RecordOutcomeRequest {
            decision_id: answer.decision_id.clone(),
            usage: Some(pb::Usage { input_tokens: Some(input), output_tokens: Some(output), ..pb::Usage::default() }),
            latency_ms: Some(200 + self.drawn("latency", call) % 3_000),
            ..self.outcome(call, FAILURES.0.saturating_sub(model))
        }
    }

    /// What came of a tool that was asked for.
    pub(crate) fn gated_outcome(&self, call: u64, hold_id: Option<String>) -> pb::RecordOutcomeRequest {
        pb::RecordOutcomeRequest {
            hold_id,
            cost_usd: Some(0.004),
            latency_ms: Some(90),
            ..self.outcome(call, FAILURES.1)
        }
    }

    /// What came of a tool nobody asked for.
    pub(crate) fn tool_outcome(&self, call: u64, step: Step, tool: &str) -> pb::RecordOutcomeRequest {
        pb::RecordOutcomeRequest {
            goal_id: Some(self.id()),
            workflow: Some(self.workflow()),
            step: Some(step.name.to_owned()),
            tool: Some(tool.to_owned()),
            labels: self.labels(),
            cost_usd: Some(0.001),
            latency_ms: Some(40),
            ..self.outcome(call, FAILURES.1)
        }
    }

    fn outcome(&self, call: u64, failures: u64) -> pb::RecordOutcomeRequest {
        let success = self.drawn("verdict", call) % 100 >= failures;
        let reason = if success { pb::FailureReason::Unspecified } else { pb::FailureReason::ValidationFailed };
        pb::RecordOutcomeRequest {
            success: Some(success),
            failure_reason: reason.into(),
            idempotency_key: self.key("outcome", call),
            ..pb::RecordOutcomeRequest::default()
        }
    }

    /// How it ends; one of a hundred is left to its time-out.
    pub(crate) fn end(&self) -> Option<pb::CompleteGoalRequest> {
        let state = match self.drawn("end", 0) % 100 {
            0 => return None,
            1..=4 => pb::GoalState::Rejected,
            5..=7 => pb::GoalState::Escalated,
            8..=9 => pb::GoalState::Abandoned,
            _ => pb::GoalState::Accepted,
        };
        let idempotency_key = self.key("end", 0);
        let (goal_id, state) = (self.id(), state.into());
        Some(pb::CompleteGoalRequest { goal_id, state, idempotency_key, ..pb::CompleteGoalRequest::default() })
    }

    /// Input and output tokens.
    fn tokens(&self, call: u64) -> (u64, u64) {
        (300 + self.drawn("input", call) % 3_000, 20 + self.drawn("output", call) % 400)
    }

    fn drawn(&self, what: &str, call: u64) -> u64 {
        stirred(what, self.number << 16 | call)
    }
}
