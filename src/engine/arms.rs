//! Which arm of a rollout a decision belongs to, and whose model is served there. It exists so that the rule stands in one
//! place: what is held out or observed is never steered, and what the router would have done is decided all the same. It
//! refuses to know what the arms came to.

use std::sync::Arc;

use super::Engine;
use super::decide::Choice;
use super::error::EngineError;
use super::seat::{Limits, Seat};
use crate::domain::call::{Arm, Selection};
use crate::domain::catalog::{Pins, Task, TaskSettings};
use crate::domain::event::Decided;
use crate::domain::filter::Exclusion;
use crate::domain::names::NameId;
use crate::domain::request::PolicyRequest;
use crate::domain::rollout::{Assigned, Rollout, Unit};
use crate::domain::state::State;

/// Whose model a decision serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assignment {
    /// The arm.
    pub(super) arm: Arm,
    /// By what it was drawn.
    pub(super) by: Assigned,
    /// The place of the model served there, where the router's choice is not.
    pub(super) own: Option<usize>,
    /// The caller named that model itself.
    pub(super) named: bool,
}

impl Assignment {
    /// The router's own choice, or a pin: no rollout has a say.
    pub(super) fn none(pinned: bool) -> Self {
        let arm = if pinned { Arm::Pinned } else { Arm::Router };
        Self { arm, by: Assigned::No, own: None, named: false }
    }

    /// Whether the first attempt may teach. The model of the holdout is served to randomly drawn goals, so it teaches like
    /// the router's own choice; and so does the model that is served where the caller named none. A model the caller named
    /// was chosen by its judgement of the case: like a pin, it teaches where pins are said to be exchangeable.
    pub(super) fn may_teach(&self, settings: &TaskSettings) -> bool {
        let judged = self.arm == Arm::Pinned || (self.arm == Arm::Observe && self.named);
        !judged || settings.pins == Pins::Exchangeable
    }

    /// What is served where the router would choose `choice`.
    pub(super) fn served(&self, seats: &[Seat<'_>], choice: Choice) -> Choice {
        let Some(own) = self.own else { return choice };
        let seat = Some(own).filter(|seat| may_be_served(&seats[*seat]));
        Choice { seat, selection: Selection::Constraint, kept: None, downgraded_by: None }
    }

    /// Why nothing is served although the router would serve something; `None`: its arm does not say.
    pub(super) fn stop(&self, seats: &[Seat<'_>]) -> Option<String> {
        let seat = &seats[self.own?];
        let why = seat.exclusion.map_or("over_budget", Exclusion::as_str);
        let id = &seat.row.candidate.id;
        Some(format!("The router does not serve this call, and {id}, which does, may not be served ({why})."))
    }

    /// Whether the router's own choice is served.
    pub(super) fn steers(&self) -> bool {
        self.arm == Arm::Router
    }
}

impl Engine {
    /// The arm of a decision, by the settings of its task type (`name`, number `task`), and the seat that is served there.
    /// A goal keeps the arm its first decision got, while there is such an arm.
    pub(super) fn assignment(
        &self,
        request: &PolicyRequest,
        (task, name): (NameId, &str),
        rollout: &Rollout,
        limits: &Limits<'_>,
        seats: &[Seat<'_>],
    ) -> Assignment {
        let pinned = limits.is_pin(seats);
        if pinned || !rollout.is_in_force() {
            return Assignment::none(pinned);
        }
        let (arm, by) = if request.goal_id.is_empty() {
            (rollout.arm(self.root_seed, name, Unit::Decision(self.next_call.0)), Assigned::ByDecision)
        } else {
            let top = self.topmost(&request.goal_id, &request.asked.parent_goal);
            let kept = self.state.goals.get(top).and_then(|goal| goal.arm(task)).filter(|arm| rollout.keeps(*arm));
            (kept.unwrap_or_else(|| rollout.arm(self.root_seed, name, Unit::Goal(top))), Assigned::ByGoal)
        };
        let held_out =
            || seats.iter().position(|s| rollout.holdout.as_ref().is_some_and(|h| h.model == s.row.candidate.id));
        let (own, named) = match arm {
            Arm::Holdout => (held_out().filter(|seat| may_be_served(&seats[*seat])), false),
            Arm::Observe => {
                let named = seats.iter().position(|s| limits.requests(&s.row.candidate));
                let first = || seats.iter().position(|s| s.exclusion.is_none()).or((!seats.is_empty()).then_some(0));
                (named.or_else(held_out).or_else(first), named.is_some())
            }
            _ => (None, false),
        };
        Assignment { arm, by, own, named }
    }

    /// The topmost goal above `goal`, which may be about to begin below `parent`.
    fn topmost<'a>(&'a self, goal: &'a str, parent: &'a str) -> &'a str {
        let below = if self.state.goals.contains_key(goal) || parent.is_empty() { goal } else { parent };
        topmost(&self.state, below).unwrap_or(below)
    }
}

/// The topmost goal above `goal`; `None`: it stands below none.
pub(super) fn topmost<'a>(state: &'a State, goal: &str) -> Option<&'a str> {
    state.goals.get(goal)?.ancestors.last().map(|above| &**above)
}

/// Whether a candidate that an arm names may be served. That a retry does not pay is the router's own judgement, which has
/// no say there.
fn may_be_served(seat: &Seat<'_>) -> bool {
    matches!(seat.exclusion, None | Some(Exclusion::RetryDoesNotPay))
}

/// Refuses a caller's own model that could not be served in observe mode.
///
/// # Errors
/// It is no candidate of the task type.
pub(super) fn check_own(request: &PolicyRequest, limits: &Limits<'_>, task: &Arc<Task>) -> Result<(), EngineError> {
    let asked = &request.asked.requested_model;
    if asked.is_empty() || task.settings.rollout.share() >= 1.0 || task.candidates.iter().any(|c| limits.requests(c)) {
        return Ok(());
    }
    let known: Vec<String> = task.candidates.iter().map(|c| c.id.to_string()).collect();
    let (shown, known): (String, _) = (asked.chars().take(80).collect(), known.join(", "));
    let say = format!(
        "`{shown}` is no candidate of this task type, whose router does not serve all calls, so that it may have to be \
         served; the candidates are {known}"
    );
    Err(EngineError::field("requested_model", say))
}

/// Puts the arm of a decision on the goal it was drawn for, where it has none yet.
pub(super) fn keep(state: &mut State, decided: &Decided) {
    let (traits, place) = (decided.traits, &decided.place);
    if traits.assigned != Assigned::ByGoal || place.goal.is_empty() {
        return;
    }
    let top: Arc<str> = Arc::from(topmost(state, &place.goal).unwrap_or(&place.goal));
    let Some(goal) = state.goals.get(&top).filter(|goal| goal.arm(place.task).is_none()) else { return };
    // Open goals are counted by their arms.
    let is_open = goal.is_open();
    if is_open {
        state.count_open(&top, false);
    }
    state.change_goal(&top, |goal| goal.arms.push((place.task, traits.arm)));
    if is_open {
        state.count_open(&top, true);
    }
}
