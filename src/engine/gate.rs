//! The check before a step that is no model call: bought already? allowed to run? covered by its budgets? worth another
//! try? The answer is a fact; a call that may be made is held from then on.

use super::Engine;
use super::admission::{Admission, Line, Need};
use super::error::EngineError;
use super::fail_fast::is_trial;
use super::hydrate::{self, ColdStore};
use super::naming::{Naming, step_key};
use crate::domain::budget::{OnExceed, Site};
use crate::domain::call::{Arm, CallTraits, Selection};
use crate::domain::event::{Body, Event, Gated, Place, PolicyVerdict};
use crate::domain::goal::ThreadVerdict;
use crate::domain::money::NanoUsd;
use crate::domain::names::{NameId, NameKind};
use crate::domain::request_goal::GateRequest;
use crate::domain::rollout::Assigned;
use crate::domain::strata::Stratum;
use crate::domain::time::{HOUR_MS, UnixMillis};
use crate::domain::tool::ToolState;

/// How long a gate's hold waits for its outcome, in milliseconds.
const GATE_TTL_MS: i64 = HOUR_MS;

/// What a gate's call may teach: nothing.
#[must_use]
pub fn gate_traits() -> CallTraits {
    CallTraits {
        arm: Arm::Elsewhere,
        selection: Selection::Constraint,
        may_teach: false,
        quality_reward: false,
        learns_from_goal: false,
        assigned: Assigned::No,
        stratum: Stratum::NONE,
    }
}

/// What a gate came to.
#[derive(Clone, Debug)]
pub struct GateAnswer {
    /// Facts to write and apply, in order; the last one is the gate.
    pub events: Vec<Event>,
    /// The gate.
    pub gated: Gated,
    /// The accounts it is (or would have been) booked on, as they stood before.
    pub lines: Vec<Line>,
}

impl Engine {
    /// Says whether a step that is no model call may be made. A key used before is the caller's to look up.
    ///
    /// # Errors
    /// A goal above it that cannot be.
    pub fn gate(
        &mut self,
        store: &dyn ColdStore,
        request: &GateRequest,
        now: UnixMillis,
    ) -> Result<GateAnswer, EngineError> {
        hydrate::chain(&mut self.state, store, &request.goal_id);
        hydrate::chain(&mut self.state, store, &request.parent_goal);
        self.check_parent(&request.goal_id, &request.parent_goal)?;
        let mut naming = Naming::default();
        let labels = self.labels_of(&request.goal_id, &request.parent_goal, &request.labels).into_owned();
        let workflow = self.workflow_of(&request.goal_id, &request.workflow).to_owned();
        let names = &self.state.names;
        let mut place = Place {
            workflow: naming.name(names, NameKind::Workflow, &workflow),
            step: naming.name(names, NameKind::Step, &request.step),
            tool: naming.name(names, NameKind::Tool, &request.tool),
            labels: naming.labels(names, &labels),
            goal: request.goal_id.clone(),
            step_key: step_key(&request.step, "", &request.tool),
            ..Place::default()
        };
        naming.complete(&mut place);
        let last = self.state.goals.get(request.goal_id.as_str()).and_then(|g| g.thread.last_of_step(place.step_key));
        last.and_then(|number| hydrate::call(&mut self.state, store, number));
        let site = Site {
            task: "",
            workflow: &workflow,
            step: &request.step,
            tool: &request.tool,
            labels: &labels,
            goal: &request.goal_id,
        };
        let admission = self.admission(&site, &request.parent_goal, now);
        let tool = self.state.tools.get(&place.tool);
        let estimate = request.estimated_cost.or_else(|| tool.and_then(ToolState::largest_cost));
        let need =
            Need { cost: estimate, tokens: Some(0), is_retry: self.will_retry(&request.goal_id, place.step_key) };
        let mut gated = self.blank_gate(request, place, estimate, now);
        self.judge(request, &workflow, &admission, &need, &mut gated);
        if gated.verdict.proceeds() {
            gated.charges = admission.charges(&need);
            naming.events.extend(admission.openings(&gated.charges));
        }
        self.next_call = self.next_call.next();
        let bodies = naming.events.into_iter().chain([Body::Gated(Box::new(gated.clone()))]);
        let events = bodies.map(|body| Event { at: now, body }).collect();
        Ok(GateAnswer { events, gated, lines: admission.lines })
    }

    /// The gate with all that is known of earlier attempts at the step.
    fn blank_gate(&self, request: &GateRequest, place: Place, estimate: Option<NanoUsd>, now: UnixMillis) -> Gated {
        let thread = self.state.goals.get(request.goal_id.as_str()).map(|g| &g.thread.entries[..]).unwrap_or_default();
        let before = || thread.iter().filter(|e| e.step_key == place.step_key && e.verdict != ThreadVerdict::Absent);
        let last = before().next_back();
        let success = |verdict| match verdict {
            ThreadVerdict::Succeeded => Some(true),
            ThreadVerdict::Failed => Some(false),
            ThreadVerdict::Waiting | ThreadVerdict::Absent => None,
        };
        Gated {
            number: self.next_call,
            verdict: PolicyVerdict::Allow,
            parent_goal: request.parent_goal.clone(),
            expires_at: now.plus_ms(GATE_TTL_MS),
            hold: estimate.unwrap_or_default(),
            charges: Vec::new(),
            exhausted: None,
            attempts: u32::try_from(before().count()).unwrap_or(u32::MAX),
            last_success: last.and_then(|e| success(e.verdict)),
            first_attempt_at: before().next().map(|e| e.order.at),
            last_attempt_at: last.map(|e| e.order.at),
            output_ref: String::new(),
            reason: String::new(),
            key: request.key,
            place,
        }
    }

    fn judge(&self, request: &GateRequest, workflow: &str, admission: &Admission, need: &Need, gated: &mut Gated) {
        let goal = self.state.goals.get(request.goal_id.as_str());
        let step = &request.step;
        let output = goal.and_then(|g| g.output(gated.place.step_key)).filter(|o| !o.output_ref.is_empty());
        if let Some(output) = output {
            gated.verdict = PolicyVerdict::Reuse;
            gated.output_ref.clone_from(&output.output_ref);
            gated.reason = format!("{step} succeeded in this goal already; take the output it left");
            return;
        }
        let lacks = |from: &&String| {
            let left = goal.and_then(|g| g.output(step_key(from, "", "")));
            !left.is_some_and(|o| o.has_evidence)
        };
        if let Some(lacking) = request.requires_evidence_from.iter().find(lacks) {
            gated.verdict = PolicyVerdict::Block;
            gated.reason = format!("{step} may run once {lacking} has succeeded in this goal with evidence");
            return;
        }
        gated.reason = admission.grace(need).unwrap_or_default();
        if let Some(over) = admission.over(need) {
            let line = &admission.lines[over];
            gated.exhausted = Some(admission.exhausted(over, line.on_exceed.holds().then_some(need)));
            gated.reason = format!("budget {} does not cover {step}", line.opened.budget);
            gated.verdict = match line.on_exceed {
                OnExceed::Warn => PolicyVerdict::AllowWithWarning,
                OnExceed::RequireApproval => PolicyVerdict::RequireApproval,
                _ => PolicyVerdict::Block,
            };
            if line.on_exceed.holds() {
                return;
            }
        }
        if !is_trial(gated.number)
            && let Some(why) = self.does_not_pay(&request.goal_id, workflow, admission, need, gated)
        {
            gated.verdict = PolicyVerdict::Block;
            gated.reason = why;
        }
    }

    /// Why another retry does not pay, by what is known of its tool; of a step without one, by what is known of the task type
    /// and model that served it last.
    fn does_not_pay(
        &self,
        goal: &str,
        workflow: &str,
        admission: &Admission,
        need: &Need,
        gated: &Gated,
    ) -> Option<String> {
        let (names, place) = (&self.state.names, &gated.place);
        let asked_at = gated.expires_at.plus_ms(-GATE_TTL_MS);
        let (retries, name, price) = if place.tool == NameId::NONE {
            let thread = &self.state.goals.get(goal).filter(|_| need.is_retry)?.thread;
            let last = self.state.calls.get(&thread.last_of_step(place.step_key)?)?;
            let cell = self.state.cell(last.task, last.candidate)?;
            let name = names.text(NameKind::Candidate, last.candidate);
            (&cell.retries, name, need.cost.or_else(|| cell.mean_cost())?)
        } else {
            let tool = self.state.tools.get(&place.tool).filter(|_| need.is_retry)?;
            (&tool.retries, names.text(NameKind::Tool, place.tool), need.cost?)
        };
        self.worth(goal, workflow, admission)?.stop(retries.counts(asked_at), name, price)
    }
}
