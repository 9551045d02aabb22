//! One policy in one world: who is asked for a candidate, who is told what came of it. Textbook policies that play through the
//! ledger ask the daemon for the candidate they want by name, so that budgets bind them too. It refuses to know time and order.

use super::baselines::{Baseline, Policy as _};
use super::chance::place;
use super::learner::Learner;
use super::ledger::{Ledger, Site};
use super::scenario::{Kind, Policy, Reporter, Scenario, TaskWorld};
use super::truth::{Outcome, Standing, Told, Truth};
use crate::domain::catalog::{ServiceTier, TaskSettings};
use crate::domain::draw::decision_rng;
use crate::domain::goal::GoalState;
use crate::domain::outcome::DecisionRef;
use crate::domain::pricing::Usage;
use crate::domain::strata::Stratum;
use crate::domain::time::{HOUR_MS, UnixMillis};
use crate::engine::EngineError;

/// A call that was given to a candidate.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Place of the task type.
    pub task: usize,
    /// Place of the candidate.
    pub arm: usize,
    /// Its number.
    pub call: u64,
    /// The stratum of its request, where a learner plays.
    stratum: Stratum,
    decision: Option<DecisionRef>,
    /// Fallbacks that may follow it, best first.
    fallbacks: Vec<usize>,
    /// It was made on a fallback.
    is_fallback: bool,
}

impl Ticket {
    /// The same with the number of another call.
    #[must_use]
    pub fn numbered(self, call: u64) -> Self {
        Self { call, ..self }
    }

    /// The call on the first of its fallbacks; `None`: it has none.
    #[must_use]
    pub fn next(&self) -> Option<Self> {
        let (first, rest) = self.fallbacks.split_first()?;
        Some(Self { arm: *first, fallbacks: rest.to_vec(), is_fallback: true, ..self.clone() })
    }
}

/// A policy at work.
#[derive(Debug)]
pub struct Player<'s> {
    picker: Picker<'s>,
    ledger: Option<Ledger<'s>>,
    /// Who else tells outcomes.
    reporters: &'s [Reporter],
    seed: u64,
    /// By task type, the strata of calls of each case and, last, of no case.
    strata: Vec<Vec<Stratum>>,
}

#[derive(Debug)]
enum Picker<'s> {
    Learners(Vec<Learner>),
    Textbook(Vec<Baseline>),
    Known(&'s Kind),
    Ledger,
}

/// Added to the seed for draws of policies.
const POLICY: u64 = 0x504F_4C49;

impl<'s> Player<'s> {
    /// A policy that has seen nothing yet. `None`: it names a textbook policy that does not exist.
    #[must_use]
    pub fn new(scenario: &'s Scenario, policy: &'s Policy, truth: &Truth<'_>, rep: u64) -> Option<Self> {
        let seed = place(scenario.seed ^ POLICY, rep, 0, 0);
        let ledger = |settings| Ledger::new(scenario, policy, settings, truth, seed);
        let needs_ledger = scenario.needs_ledger(policy);
        let strata = strata(scenario, &policy.kind);
        let reporters = &scenario.feedback.reporters[..];
        let picker = match &policy.kind {
            Kind::Router(settings) if needs_ledger => {
                let ledger = Some(ledger(settings.clone()));
                return Some(Self { picker: Picker::Ledger, ledger, reporters, seed, strata });
            }
            Kind::Router(settings) => {
                let tasks = scenario.tasks.iter().zip(settings);
                Picker::Learners(tasks.map(|(task, settings)| learner(scenario, task, settings, truth)).collect())
            }
            Kind::Textbook(name) => {
                let of = |task: &TaskWorld| Baseline::named(name, task.candidates.len());
                Picker::Textbook(scenario.tasks.iter().map(of).collect::<Option<_>>()?)
            }
            known => Picker::Known(known),
        };
        let ledger = needs_ledger.then(|| ledger(scenario.tasks.iter().map(|t| t.settings.clone()).collect()));
        Some(Self { picker, ledger, reporters, seed, strata })
    }

    fn stratum(&self, task: usize, case: Option<usize>) -> Stratum {
        let strata = &self.strata[task];
        strata[case.unwrap_or(strata.len() - 1)]
    }

    /// Whom the call is given to; `None`: nobody may have it.
    ///
    /// # Errors
    /// The engine refuses the request itself.
    pub fn decide(
        &mut self,
        truth: &Truth<'_>,
        site: Site<'_>,
        case: Option<usize>,
        call: u64,
        now: UnixMillis,
    ) -> Result<Option<Ticket>, EngineError> {
        let task = site.task;
        let standing = &truth.now[task];
        let offered = |arm: usize| standing[arm].offered;
        let mut rng = decision_rng(self.seed, call);
        let stratum = self.stratum(task, case);
        let wanted = match &mut self.picker {
            Picker::Learners(learners) => {
                learners[task].decide(call, stratum, &mut rng, |arm| standing[arm].offered.then_some(None))
            }
            Picker::Textbook(policies) => policies[task].choose_among(&mut rng, offered),
            Picker::Known(kind) => known(kind, truth, task, case),
            Picker::Ledger => None,
        };
        let Some(ledger) = self.ledger.as_mut() else {
            return Ok(wanted.map(|arm| Ticket { stratum, ..ticket(task, arm, call, None) }));
        };
        if wanted.is_none() && !matches!(self.picker, Picker::Ledger) {
            return Ok(None);
        }
        let found = ledger.decide(truth, site, case, wanted, now)?;
        Ok(found.map(|of| Ticket { fallbacks: of.fallbacks, ..ticket(task, of.arm, call, Some(of.decision)) }))
    }

    /// The call of a candidate that the caller names: the router is asked for it and hears of it, others never.
    ///
    /// # Errors
    /// The engine refuses the request itself.
    pub fn asked_for(
        &mut self,
        truth: &Truth<'_>,
        site: Site<'_>,
        case: Option<usize>,
        arm: usize,
        call: u64,
        now: UnixMillis,
    ) -> Result<Option<Ticket>, EngineError> {
        let (Picker::Ledger, Some(ledger)) = (&self.picker, self.ledger.as_mut()) else { return Ok(None) };
        let found = ledger.decide(truth, site, case, Some(arm), now)?;
        Ok(found.map(|of| ticket(site.task, of.arm, call, Some(of.decision))))
    }

    /// Tells what came of a call.
    ///
    /// # Errors
    /// The engine refuses the outcome.
    pub fn tell(&mut self, ticket: &Ticket, told: Told, outcome: &Outcome, now: UnixMillis) -> Result<(), EngineError> {
        let success = told.success;
        let source = told.reporter.map_or("", |place| &self.reporters[place].name);
        match &mut self.picker {
            Picker::Learners(learners) => {
                if !outcome.down {
                    learners[ticket.task].pay(ticket.arm, Some(outcome.cost_nano));
                }
                learners[ticket.task].tell_from(ticket.call, ticket.stratum, ticket.arm, success, source);
            }
            Picker::Textbook(policies) => policies[ticket.task].learn(ticket.call, ticket.arm, success),
            Picker::Known(_) | Picker::Ledger => {}
        }
        match (&mut self.ledger, &ticket.decision) {
            (Some(ledger), Some(decision)) => {
                let fallback = ticket.is_fallback.then_some((ticket.task, ticket.arm, ticket.call));
                ledger.record(decision, fallback, (success, source), outcome, now)
            }
            _ => Ok(()),
        }
    }

    /// Tells how a goal ended.
    ///
    /// # Errors
    /// The engine refuses it.
    pub fn complete(&mut self, goal: &str, state: GoalState, now: UnixMillis) -> Result<(), EngineError> {
        self.ledger.as_mut().map_or(Ok(()), |ledger| ledger.complete(goal, state, now))
    }

    /// Changes of a success rate that were found.
    #[must_use]
    pub fn changes(&self) -> u64 {
        match (&self.picker, &self.ledger) {
            (Picker::Learners(learners), _) => learners.iter().map(|l| l.changes.len() as u64).sum(),
            (Picker::Ledger, Some(ledger)) => ledger.changes,
            _ => 0,
        }
    }

    /// The ledger, where there is one.
    #[must_use]
    pub fn ledger(&self) -> Option<&Ledger<'s>> {
        self.ledger.as_ref()
    }
}

fn learner(scenario: &Scenario, task: &TaskWorld, settings: &TaskSettings, truth: &Truth<'_>) -> Learner {
    let expected = |model: usize| {
        let typical = truth.models[model].typical?;
        let usage = Usage { input: typical.input_tokens, output: typical.output_tokens, ..Usage::default() };
        truth.models[model].cost(&usage, ServiceTier::Standard, scenario.start).map(|cost| cost.0)
    };
    let costs: Vec<Option<u64>> =
        task.candidates.iter().map(|c| expected(c.model).filter(|_| c.cost.is_none())).collect();
    Learner::new(settings.clone(), &costs).paced(HOUR_MS as f64 / scenario.per_hour)
}

fn ticket(task: usize, arm: usize, call: u64, decision: Option<DecisionRef>) -> Ticket {
    Ticket { task, arm, call, stratum: Stratum::NONE, decision, fallbacks: Vec::new(), is_fallback: false }
}

/// By task type, the strata that a router of that kind makes of each case, and last of calls of no case; others make none.
fn strata(scenario: &Scenario, kind: &Kind) -> Vec<Vec<Stratum>> {
    let of_task = |(t, task): (usize, &TaskWorld)| {
        let stratum = |case: Option<usize>| match kind {
            Kind::Router(settings) => {
                let (numbers, labels) = scenario.said(t, case);
                settings[t].strata.of(&numbers, &labels)
            }
            _ => Stratum::NONE,
        };
        (0..task.cases.len()).map(Some).chain([None]).map(stratum).collect()
    };
    scenario.tasks.iter().enumerate().map(of_task).collect()
}

/// The choice of a policy that knows the truth; the first of equals.
fn known(kind: &Kind, truth: &Truth<'_>, task: usize, case: Option<usize>) -> Option<usize> {
    let chance = |(arm, standing): (usize, &Standing)| {
        let mut here = *standing;
        here.success = truth.chance(task, arm, case);
        (arm, here)
    };
    let offered = || truth.now[task].iter().enumerate().filter(|(_, s)| s.offered).map(chance);
    let better: fn(&Standing, &Standing) -> bool = match kind {
        Kind::Always(model) => return offered().map(|(arm, _)| arm).find(|arm| truth.model_of(task, *arm) == *model),
        Kind::Cheapest => |a, b| a.mean_cost_nano < b.mean_cost_nano,
        Kind::Dearest => |a, b| a.mean_cost_nano > b.mean_cost_nano,
        Kind::Oracle => |a, b| a.success > b.success || (a.success == b.success && a.mean_cost_nano < b.mean_cost_nano),
        Kind::Router(_) | Kind::Textbook(_) => return None,
    };
    offered().reduce(|best, next| if better(&next.1, &best.1) { next } else { best }).map(|(arm, _)| arm)
}
