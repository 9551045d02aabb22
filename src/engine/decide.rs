//! One decision, in order: rules → draws for every candidate → filters → choice among the eligible → fallbacks.
//! Cost decides who may play, never who is better. Nothing is changed here: the answer is an event to be applied.

use std::borrow::Cow;
use std::sync::Arc;

use rand::RngExt as _;

use super::Engine;
use super::admission::{Admission, Line, Need};
use super::arms::{self, Assignment};
use super::error::{EngineError, FieldViolation};
use super::fail_fast::is_trial;
use super::naming::Naming;
use super::seat::{Limits, Retry, Seat};
use crate::domain::budget::{OnExceed, Site};
use crate::domain::call::{Arm, CallTraits, Order, Selection};
use crate::domain::catalog::{Reward, Rule as TaskRule, RuleVerdict, Sticky, Task, TaskSettings};
use crate::domain::cell::EstimateSource;
use crate::domain::choose::{Contender, Rule, choose_by_mean, rank, select};
use crate::domain::draw::{decision_rng, draw_beta};
use crate::domain::event::{Body, Competitor, Decided, Event, PolicyVerdict};
use crate::domain::filter::Exclusion;
use crate::domain::goal::{ANCESTORS_MAX, KeptDraw};
use crate::domain::names::{Labels, NameId};
use crate::domain::request::PolicyRequest;
use crate::domain::rollout::Assigned;
use crate::domain::strata::Stratum;
use crate::domain::time::UnixMillis;

/// The most fallbacks an answer lists.
const FALLBACKS_MAX: usize = 8;

/// What a decision came to, before anything is written.
#[derive(Clone, Debug)]
pub struct PolicyAnswer {
    /// Facts to write and apply, in order; the last one is the decision. Empty for a dry run.
    pub events: Vec<Event>,
    /// The decision.
    pub decided: Decided,
    /// The task type it was decided by: its own, or the default one.
    pub task: Arc<Task>,
    /// Place of the candidate served among those of the task type.
    pub served: Option<usize>,
    /// Place of the candidate the router would have served, where an arm of a rollout serves another.
    pub advised: Option<usize>,
    /// Places of the fallbacks, best first.
    pub fallbacks: Vec<usize>,
    /// Every candidate as it stood, in catalogue order.
    pub seats: Vec<SeatView>,
    /// The tolerance or values it was chosen by.
    pub rule: Rule,
    /// η: the share of decisions given to a uniformly random eligible candidate.
    pub exploration_floor: f64,
    /// The task type is not declared in the catalogue.
    pub undeclared: bool,
    /// It must be on disk before it is answered: it has a key or a hold, or introduced a name.
    pub must_sync: bool,
    /// The accounts it is booked on, as they stood before.
    pub lines: Vec<Line>,
}

/// One candidate as it stood in a decision.
#[derive(Clone, Debug)]
pub struct SeatView {
    /// Its number.
    pub id: NameId,
    /// Why it could not be chosen.
    pub exclusion: Option<Exclusion>,
    /// Its posterior.
    pub posterior: crate::domain::beta::Beta,
    /// Its draw.
    pub theta: f64,
    /// Expected cost.
    pub expected: Option<crate::domain::money::NanoUsd>,
    /// Money it would have held.
    pub hold: Option<crate::domain::money::NanoUsd>,
}

/// Which of the seats was taken, and why that one.
pub(super) struct Choice {
    pub(super) seat: Option<usize>,
    pub(super) selection: Selection,
    pub(super) kept: Option<KeptDraw>,
    /// The budget that the router's own choice did not fit, where another took its place (or none could).
    pub(super) downgraded_by: Option<usize>,
}

impl Engine {
    /// Decides which model, if any, a call should be given.
    ///
    /// # Errors
    /// An unknown task type without a default one, or a name among the constraints that the catalogue does not know.
    pub fn decide(&mut self, request: &PolicyRequest, now: UnixMillis) -> Result<PolicyAnswer, EngineError> {
        let mut naming = Naming::default();
        let mut table = self.table(&request.task_type, &mut naming)?;
        table.refresh(&self.state, now);
        let limits = Limits::new(self.catalog(), request, &table.task.settings)?;
        let number = self.next_call;
        let settings = &table.task.settings;
        arms::check_own(request, &limits, &table.task)?;
        self.check_parent(&request.goal_id, &request.asked.parent_goal)?;
        let labels = self.labels_of(&request.goal_id, &request.asked.parent_goal, &request.labels);
        let mut decided = self.blank(request, &labels, table.id, &mut naming, now, settings);
        let stratum = decided.traits.stratum;
        let site = Site {
            task: &request.task_type,
            workflow: self.workflow_of(&request.goal_id, &request.workflow),
            step: if request.step.is_empty() { &request.task_type } else { &request.step },
            tool: "",
            labels: &labels,
            goal: &request.goal_id,
        };
        let admission = self.admission(&site, &request.asked.parent_goal, now);
        let is = self.will_retry(&request.goal_id, decided.place.step_key);
        // A fallback is a retry too.
        let weighed = (is || request.fallback_allowed) && !is_trial(number);
        let worth = if weighed { self.worth(&request.goal_id, site.workflow, &admission) } else { None };
        let retry = Retry { is, worth };
        let rule = settings.rule();
        let (mut seats, mut served, mut advised, mut fallbacks) = (Vec::new(), None, None, Vec::new());
        if let Some(found) = matching_rule(request, settings) {
            decided.verdict = match found.verdict {
                RuleVerdict::NoModel => PolicyVerdict::NoModel,
                RuleVerdict::RequireApproval => PolicyVerdict::RequireApproval,
            };
            decided.reason.clone_from(&found.reason);
        } else {
            let mut rng = decision_rng(self.root_seed, number.0);
            let fit = Some(&table.by_stratum).filter(|_| stratum != Stratum::NONE);
            for (place, row) in table.rows.iter().enumerate() {
                let posterior = fit.map_or(row.posterior, |fit| fit.posterior(place, stratum));
                let theta = draw_beta(&mut rng, posterior);
                seats.push(Seat::new(row, &limits, &admission, retry, now, (posterior, theta)));
            }
            let rollout = &settings.rollout;
            let assigned = self.assignment(request, (table.id, &request.task_type), rollout, &limits, &seats);
            let choice = self.pick(request, &decided, &seats, &admission, settings, rule, rng.random(), rng.random());
            advised = choice.seat.filter(|_| assigned.own.is_some());
            decided.advised = advised.map(|seat| seats[seat].row.id);
            let choice = downgraded(&admission, &seats, assigned.served(&seats, choice));
            fallbacks = self.fill(request, &mut decided, &seats, &admission, settings, rule, &choice, &assigned);
            served = choice.seat;
            if served.is_none() {
                decided.reason = assigned.stop(&seats).unwrap_or_else(|| stop(&seats));
            }
            book(&mut decided, &admission, &seats, &choice, &fallbacks);
            if decided.charges.is_empty() {
                decided.hold = limits.reserved(decided.hold);
            }
            decided.max_output_tokens =
                served.map(|i| &seats[i]).and_then(|seat| limits.max_output_tokens(seat, &admission, now));
        }
        let answer = PolicyAnswer {
            events: Vec::new(),
            task: table.task.clone(),
            served,
            advised,
            fallbacks,
            seats: if request.explain { seats.iter().map(Seat::view).collect() } else { Vec::new() },
            rule,
            exploration_floor: settings.exploration_floor,
            undeclared: !table.declared,
            must_sync: !naming.events.is_empty() || request.key.is_some() || !decided.charges.is_empty(),
            lines: admission.lines.clone(),
            decided,
        };
        drop(seats);
        self.keep_table(&request.task_type, table);
        naming.events.extend(admission.openings(&answer.decided.charges));
        Ok(self.finish(answer, naming, request.dry_run, now))
    }

    /// The workflow of a call: its own, else its goal's.
    pub(super) fn workflow_of<'a>(&'a self, goal: &str, own: &'a str) -> &'a str {
        let of_goal = self.state.goals.get(goal).filter(|_| own.is_empty());
        of_goal.map_or(own, |g| g.workflow_text(&self.state.names))
    }

    /// The labels of a call: its own, completed by its goal's (or, before its first call, by those of the goal above).
    pub(super) fn labels_of<'a>(&self, goal: &str, parent: &str, own: &'a Labels) -> Cow<'a, Labels> {
        let known = self.state.goals.get(goal).or_else(|| self.state.goals.get(parent));
        let Some(inherited) = known.and_then(|g| g.labels_told(&self.state.names)) else { return Cow::Borrowed(own) };
        let mut all = inherited.as_ref().clone();
        all.extend(own.iter().map(|(k, v)| (k.clone(), v.clone())));
        Cow::Owned(all)
    }

    /// Whether the next call of a step follows a failed one.
    pub(super) fn will_retry(&self, goal: &str, step_key: u64) -> bool {
        let last = Order { at: UnixMillis(i64::MAX), ..Order::default() };
        self.state.goals.get(goal).is_some_and(|g| g.thread.follows_failure(last, step_key))
    }

    /// Whether a goal may stand below `parent`.
    ///
    /// # Errors
    /// No goal is named, it would stand below itself, too deep, or below another than before.
    pub(super) fn check_parent(&self, goal: &str, parent: &str) -> Result<(), EngineError> {
        if parent.is_empty() {
            return Ok(());
        }
        let refuse = |say: &str| Err(EngineError::field("parent_goal_id", say));
        if goal.is_empty() {
            return refuse("needs `goal_id`: only a goal has a goal above it");
        }
        let above = self.state.goals.get(parent).map_or(&[][..], |g| &g.ancestors);
        if goal == parent || above.iter().any(|a| **a == *goal) {
            return refuse("would put the goal below itself");
        }
        if above.len() >= ANCESTORS_MAX {
            return refuse("is too deep: at most 8 goals stand above a goal");
        }
        let known = self.state.goals.get(goal);
        match known.map(|g| g.ancestors.first()) {
            Some(Some(first)) if **first != *parent => refuse("is not the goal it began below"),
            Some(None) => refuse("comes too late: the goal began without a goal above it"),
            _ => Ok(()),
        }
    }

    fn finish(&mut self, mut answer: PolicyAnswer, naming: Naming, dry_run: bool, now: UnixMillis) -> PolicyAnswer {
        if dry_run {
            answer.must_sync = false;
            return answer;
        }
        self.next_call = self.next_call.next();
        answer.events = naming.events.into_iter().map(|body| Event { at: now, body }).collect();
        answer.events.push(Event { at: now, body: Body::Decided(Box::new(answer.decided.clone())) });
        answer
    }

    fn blank(
        &self,
        request: &PolicyRequest,
        labels: &Labels,
        task: NameId,
        naming: &mut Naming,
        now: UnixMillis,
        settings: &TaskSettings,
    ) -> Decided {
        Decided {
            number: self.next_call,
            verdict: PolicyVerdict::Block,
            place: naming.place(
                &self.state.names,
                task,
                request,
                self.workflow_of(&request.goal_id, &request.workflow),
                labels,
            ),
            traits: CallTraits {
                arm: Arm::Router,
                selection: Selection::Draw,
                may_teach: true,
                quality_reward: settings.reward == Reward::Quality,
                learns_from_goal: settings.learns_from_goal,
                assigned: Assigned::No,
                stratum: settings.strata.of(&request.asked.features, labels),
            },
            irreversible: request.irreversible,
            expires_at: now.plus_ms(settings.decision_ttl_ms),
            hold: None,
            estimate: None,
            estimate_source: EstimateSource::Unknown,
            max_output_tokens: None,
            advised: None,
            fallbacks: Vec::new(),
            competitors: Vec::new(),
            unfit: Vec::new(),
            exclusions: Vec::new(),
            drawn_by: None,
            keep: None,
            catalog: self.state.catalog_versions.len() as u32,
            service_tier: request.estimate.service_tier,
            reason: String::new(),
            charges: Vec::new(),
            exhausted: None,
            asked: (request.asked != Default::default()).then(|| Box::new(request.asked.clone())),
            key: request.key,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the two random numbers are drawn by the caller, in a fixed order")]
    fn pick(
        &self,
        request: &PolicyRequest,
        decided: &Decided,
        seats: &[Seat<'_>],
        admission: &Admission,
        settings: &TaskSettings,
        rule: Rule,
        coin: f64,
        lot: f64,
    ) -> Choice {
        let eligible: Vec<Contender> = contenders(seats);
        let choice = |seat, selection, kept| Choice { seat, selection, kept, downgraded_by: None };
        if eligible.len() <= 1 {
            let quality = seats.iter().any(|s| s.exclusion == Some(Exclusion::QualityFloor));
            let selection = match (seats.len() > 1, quality) {
                (false, _) => Selection::Draw,
                (true, true) => Selection::QualityFloor,
                (true, false) => Selection::Constraint,
            };
            return choice(eligible.first().map(|c| c.index), selection, None);
        }
        if request.irreversible {
            let best = choose_by_mean(&eligible, |seat| seats[seat].posterior.mean());
            return choice(best, Selection::Irreversible, None);
        }
        if let Some(kept) = self.kept(decided, settings)
            && let Some(seat) = seats.iter().position(|s| s.row.id == kept.candidate && s.exclusion.is_none())
            && seats[seat].fits(admission)
        {
            return choice(Some(seat), Selection::Sticky, Some(kept));
        }
        match select(&eligible, rule, settings.exploration_floor, coin, lot) {
            Some((seat, true)) => choice(Some(seat), Selection::Floor, None),
            chosen => choice(chosen.map(|c| c.0), Selection::Draw, None),
        }
    }

    /// The draw this goal keeps for the task type (or step), if any.
    fn kept(&self, decided: &Decided, settings: &TaskSettings) -> Option<KeptDraw> {
        let step_key = sticky_key(decided, settings)?;
        self.state.goals.get(decided.place.goal.as_str())?.thread.kept(decided.place.task, step_key).copied()
    }

    #[expect(clippy::too_many_arguments, reason = "writes down everything that led to the decision")]
    fn fill(
        &self,
        request: &PolicyRequest,
        decided: &mut Decided,
        seats: &[Seat<'_>],
        admission: &Admission,
        settings: &TaskSettings,
        rule: Rule,
        choice: &Choice,
        assigned: &Assignment,
    ) -> Vec<usize> {
        let kept_out = seats.iter().enumerate().filter(|(i, _)| Some(*i) != choice.seat);
        decided.exclusions = kept_out.filter_map(|(_, s)| s.exclusion.map(|why| (s.row.id, why))).collect();
        (decided.traits.arm, decided.traits.assigned) = (assigned.arm, assigned.by);
        let Some(chosen) = choice.seat.map(|i| &seats[i]) else { return Vec::new() };
        decided.verdict = PolicyVerdict::Allow;
        decided.place.candidate = chosen.row.id;
        decided.traits.selection = choice.selection;
        decided.traits.may_teach = assigned.may_teach(settings);
        decided.estimate = chosen.expected;
        decided.estimate_source = chosen.source;
        decided.hold = chosen.hold;
        (decided.competitors, decided.unfit) = competitors(seats, admission);
        // A fallback is a choice of the router's, which has no say in the other arms. Without a goal nothing would tie what it
        // costs to the arm of the first call, so that arms would not be compared by all they cost.
        let compared = assigned.by == Assigned::ByDecision;
        let allowed = request.fallback_allowed && matches!(assigned.arm, Arm::Router | Arm::Pinned) && !compared;
        let fallbacks = if allowed { add_fallbacks(decided, seats, admission, rule, choice) } else { Vec::new() };
        // A choice that a budget forced is asked for again next time: there may be more money then.
        let steers = assigned.steers() && !request.irreversible && choice.downgraded_by.is_none();
        decided.drawn_by = choice.kept.map(|k| k.drawn_by);
        decided.keep = if steers { sticky_key(decided, settings) } else { None };
        fallbacks
    }
}

/// Adds the fallbacks, which the hold has to cover too, whichever of them is made; returns their seats. They are ranked as the
/// choice is, or, where a budget had the choice replaced by the cheapest that fits, by their cost. One that needs money granted
/// to the goal where the choice needs none is not listed: the choice would pay with it too. It is asked for when its turn comes.
fn add_fallbacks(
    decided: &mut Decided,
    seats: &[Seat<'_>],
    admission: &Admission,
    rule: Rule,
    choice: &Choice,
) -> Vec<usize> {
    let may_follow = |c: &Contender| Some(c.index) != choice.seat && seats[c.index].stop.is_none();
    let mut rest: Vec<Contender> = contenders(seats).into_iter().filter(may_follow).collect();
    match choice.downgraded_by {
        Some(_) => rest.sort_by_key(by_cost),
        None => rank(&mut rest, rule),
    }
    let mut need = choice.seat.map_or_else(Need::default, |seat| seats[seat].need);
    let payer = admission.payer(&need);
    rest.retain(|c| {
        let wider = need.or(seats[c.index].need.of_a_retry());
        let fits = admission.covers(&wider) && admission.payer(&wider) == payer;
        if fits {
            need = wider;
        }
        fits
    });
    rest.truncate(FALLBACKS_MAX);
    for contender in &rest {
        let seat = &seats[contender.index];
        decided.fallbacks.push((seat.row.id, seat.expected));
        decided.hold = decided.hold.zip(seat.hold).map(|(a, b)| a.max(b));
    }
    rest.iter().map(|c| c.index).collect()
}

/// The choice, or the cheapest candidate that fits where a budget asks for that and the choice does not.
fn downgraded(admission: &Admission, seats: &[Seat<'_>], choice: Choice) -> Choice {
    let over = choice.seat.and_then(|seat| seats[seat].over);
    let Some(line) = over.filter(|line| admission.lines[*line].on_exceed == OnExceed::Downgrade) else { return choice };
    let fitting = contenders(seats).into_iter().filter(|c| seats[c.index].fits(admission));
    let cheapest = fitting.min_by_key(by_cost);
    let seat = cheapest.map(|c| c.index);
    Choice { seat, selection: Selection::Constraint, kept: None, downgraded_by: Some(line) }
}

/// Orders contenders by expected cost, an unknown one last, then as the catalogue has them.
fn by_cost(of: &Contender) -> (bool, Option<u64>, usize) {
    (of.expected_cost_nano.is_none(), of.expected_cost_nano, of.index)
}

/// Holds what the call may use against every account it concerns, or says which of them is used up.
fn book(decided: &mut Decided, admission: &Admission, seats: &[Seat<'_>], choice: &Choice, fallbacks: &[usize]) {
    let say = |line: usize, refused: Option<&Need>| Some(Box::new(admission.exhausted(line, refused)));
    let Some(seat) = choice.seat else {
        let over = seats.iter().filter(|s| s.exclusion.is_none_or(|why| why == Exclusion::OverBudget));
        let over = over.filter(|s| s.over.is_some());
        let cost = over.clone().filter_map(|s| s.need.cost).min();
        let tokens = over.clone().filter_map(|s| s.need.tokens).min();
        let least = Need { cost, tokens, is_retry: false };
        let nearest = over.min_by_key(|s| s.hold);
        if let Some(line) = choice.downgraded_by.or(nearest.and_then(|s| s.over)) {
            decided.exhausted = say(line, Some(&least));
            if admission.lines[line].on_exceed == OnExceed::RequireApproval {
                decided.verdict = PolicyVerdict::RequireApproval;
            }
        }
        return;
    };
    if admission.lines.is_empty() {
        return;
    }
    let need = fallbacks.iter().map(|f| seats[*f].need.of_a_retry()).fold(seats[seat].need, Need::or);
    decided.reason = admission.grace(&need).unwrap_or_default();
    decided.hold = need.cost;
    decided.charges = admission.charges(&need);
    let over = choice.downgraded_by.or(seats[seat].over);
    if let Some(line) = over {
        decided.exhausted = say(line, None);
        let is_downgrade = choice.downgraded_by.is_some();
        decided.verdict = if is_downgrade { PolicyVerdict::Downgrade } else { PolicyVerdict::AllowWithWarning };
    }
}

/// Why no retry pays, by the candidate of which a success is likeliest; empty where that is not what keeps all from playing.
fn stop(seats: &[Seat<'_>]) -> String {
    let stopped = seats.iter().filter(|s| s.exclusion.is_some()).filter_map(|s| s.stop.as_ref());
    stopped.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, why)| why.clone()).unwrap_or_default()
}

fn sticky_key(decided: &Decided, settings: &TaskSettings) -> Option<u64> {
    match settings.sticky {
        _ if decided.place.goal.is_empty() => None,
        Sticky::None => None,
        Sticky::Goal => Some(0),
        Sticky::Step => Some(decided.place.step_key),
    }
}

fn contenders(seats: &[Seat<'_>]) -> Vec<Contender> {
    let eligible = seats.iter().enumerate().filter(|(_, s)| s.exclusion.is_none());
    eligible.map(|(index, s)| s.contender(index)).collect()
}

/// Those who competed, in rising expected cost, and the places of those that a budget would have had replaced: all that a
/// propensity is computed from.
fn competitors(seats: &[Seat<'_>], admission: &Admission) -> (Vec<Competitor>, Vec<u32>) {
    let mut eligible: Vec<&Seat<'_>> = seats.iter().filter(|s| s.exclusion.is_none()).collect();
    eligible.sort_by_key(|s| (s.expected.is_none(), s.expected));
    let micro = |shape: f64| (shape * 1e6).round() as u64;
    let competitor = |s: &&Seat<'_>| Competitor {
        candidate: s.row.id,
        alpha_micro: micro(s.posterior.alpha()),
        beta_micro: micro(s.posterior.beta()),
        cost: s.expected,
    };
    let places = (0u32..).zip(&eligible).filter(|(_, s)| !s.fits(admission)).map(|(place, _)| place);
    (eligible.iter().map(competitor).collect(), places.collect())
}

fn matching_rule<'a>(request: &PolicyRequest, settings: &'a TaskSettings) -> Option<&'a TaskRule> {
    let holds = |rule: &&TaskRule| {
        let label = rule.label_equals.as_ref().is_none_or(|(k, v)| request.labels.get(k) == Some(v));
        let step = rule.step.as_ref().is_none_or(|s| *s == request.step);
        label && step && rule.reversible.is_none_or(|r| r != request.irreversible)
    };
    settings.rules.iter().find(holds)
}

impl EngineError {
    pub(super) fn unknown_model(field: &str, given: &str, known: &[String]) -> Self {
        let shown: String = given.chars().take(80).collect();
        let known = known.join(", ");
        let description = format!("`{shown}` is no model of the catalogue; the task type's candidates are {known}");
        Self::Invalid { violations: vec![FieldViolation::new(field, description)] }
    }
}
