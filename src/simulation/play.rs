//! One repetition of a scenario under one policy, on a virtual clock: arrivals, events, calls, retries, and outcomes told when
//! their time has come. It refuses to know files and how results are shown.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::chance::place;
use super::figures::{BINS, Bin, Run};
use super::ledger::{Ledger, Site};
use super::player::{Player, Ticket};
use super::scenario::{Policy, Scenario, Workflow};
use super::truth::{Outcome, Told, Truth};
use crate::domain::goal::GoalState;
use crate::domain::time::UnixMillis;
use crate::engine::EngineError;

/// Why a scenario cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// No textbook policy has that name.
    #[error("no policy is called `{0}`")]
    UnknownPolicy(String),
    /// The engine refused a request: a fault of the simulation, not of the scenario.
    #[error("the engine refused a simulated request: {0}")]
    Refused(#[from] EngineError),
}

/// Plays repetition `rep` of `scenario` under `policy`. The same arguments give the same run.
///
/// # Errors
/// A textbook policy of an unknown name, or the engine refuses a request.
pub fn play(scenario: &Scenario, policy: &Policy, rep: u64) -> Result<Run, PlayError> {
    let truth = Truth::new(scenario, rep);
    let unknown = || PlayError::UnknownPolicy(policy.name.clone());
    let player = Player::new(scenario, policy, &truth, rep).ok_or_else(unknown)?;
    let offsets = offsets(scenario);
    let run = Run::new(scenario.slots().count());
    let mut play =
        Play { scenario, truth, player, offsets, run, due: BinaryHeap::new(), waiting: Vec::new(), free: Vec::new() };
    let mut events = scenario.events.iter().peekable();
    for arrival in 0..scenario.arrivals {
        let now = scenario.time_of(arrival);
        play.until(now)?;
        while let Some(event) = events.next_if(|e| e.at <= arrival) {
            play.truth.happen(event, now);
        }
        if scenario.workflows.is_empty() {
            play.single(arrival, now)?;
        } else {
            play.begin(arrival, now)?;
        }
    }
    play.until(UnixMillis(i64::MAX))?;
    play.run.changes = play.player.changes();
    play.run.ledger_nano = play.player.ledger().map(Ledger::spent_nano);
    play.run.rolled_back = play.player.ledger().and_then(Ledger::rolled_back).map(<[f64]>::to_vec);
    Ok(play.run)
}

/// Place of the first slot of each task type.
fn offsets(scenario: &Scenario) -> Vec<usize> {
    let lengths = scenario.tasks.iter().scan(0, |at, task| {
        *at += task.candidates.len();
        Some(*at - task.candidates.len())
    });
    lengths.collect()
}

/// A goal at work.
#[derive(Clone, Debug)]
struct Goal {
    arrival: u64,
    name: String,
    workflow: usize,
    step: usize,
    attempt: u32,
    /// What its failed step may fall back to.
    fallback: Option<Ticket>,
}

/// Something that waits for its time.
#[derive(Clone, Debug)]
enum Waiting {
    Tell(Ticket, Told, Outcome),
    Attempt(Goal),
    Nothing,
}

struct Play<'s> {
    scenario: &'s Scenario,
    truth: Truth<'s>,
    player: Player<'s>,
    offsets: Vec<usize>,
    run: Run,
    /// When, in which order, and where among `waiting`.
    due: BinaryHeap<Reverse<(i64, u64, usize)>>,
    waiting: Vec<Waiting>,
    free: Vec<usize>,
}

/// A call to be made.
struct Call<'a> {
    number: u64,
    /// What all tries of it share.
    subject: u64,
    arrival: u64,
    site: Site<'a>,
    takes_time: bool,
}

/// What became of a try.
enum Try {
    Refused,
    Done(Outcome, Ticket),
}

impl Play<'_> {
    /// Lets everything happen that is due by `now`.
    fn until(&mut self, now: UnixMillis) -> Result<(), PlayError> {
        while let Some(Reverse((at, _, place))) = self.due.peek().copied().filter(|Reverse((at, ..))| *at <= now.0) {
            self.due.pop();
            self.free.push(place);
            match std::mem::replace(&mut self.waiting[place], Waiting::Nothing) {
                Waiting::Tell(ticket, told, outcome) => {
                    self.player.tell(&ticket, told, &outcome, UnixMillis(at))?;
                }
                Waiting::Attempt(goal) => self.attempt(goal, UnixMillis(at))?,
                Waiting::Nothing => {}
            }
        }
        Ok(())
    }

    fn wait(&mut self, at: UnixMillis, what: Waiting) {
        let place = self.free.pop().unwrap_or(self.waiting.len());
        match self.waiting.get_mut(place) {
            Some(slot) => *slot = what,
            None => self.waiting.push(what),
        }
        self.run.waited += 1;
        self.due.push(Reverse((at.0, self.run.waited, place)));
    }

    /// A call of its own.
    fn single(&mut self, arrival: u64, now: UnixMillis) -> Result<(), PlayError> {
        let task = self.truth.task_of(arrival);
        let call =
            Call { number: arrival, subject: arrival, arrival, site: Site { task, goal: None }, takes_time: false };
        let case = self.truth.case_of(task, arrival);
        if let Some(arm) = self.truth.pinned(task, case, arrival) {
            return self.asked_for(&call, arm, case, now);
        }
        self.call(&call, None, now).map(|_| ())
    }

    /// A call of a model its caller named: made and recorded, but chosen by no policy.
    fn asked_for(
        &mut self,
        call: &Call<'_>,
        arm: usize,
        case: Option<usize>,
        now: UnixMillis,
    ) -> Result<(), PlayError> {
        if let Some(ticket) = self.player.asked_for(&self.truth, call.site, case, arm, call.number, now)? {
            let outcome = self.truth.outcome(call.site.task, arm, case, call.number);
            self.tell(&ticket, &outcome, 0, now)?;
        }
        Ok(())
    }

    /// Tells what came of a call, or lets it wait until it is told.
    fn tell(&mut self, ticket: &Ticket, outcome: &Outcome, took_ms: u64, now: UnixMillis) -> Result<(), PlayError> {
        if let Some(told) = self.truth.told(ticket.task, ticket.arm, ticket.call, outcome.success) {
            let after = told.delay_ms + took_ms as i64;
            if after == 0 {
                self.player.tell(ticket, told, outcome, now)?;
            } else {
                self.wait(now.plus_ms(after), Waiting::Tell(ticket.clone(), told, *outcome));
            }
        }
        Ok(())
    }

    /// Makes a call, on `fallback` where there is one; what is told of it is told after its delay, and after the call itself
    /// where that takes time.
    fn call(&mut self, call: &Call<'_>, fallback: Option<Ticket>, now: UnixMillis) -> Result<Try, PlayError> {
        let (task, number) = (call.site.task, call.number);
        let case = self.truth.case_of(task, call.subject);
        let best = self.truth.best(task, case);
        let ticket = match fallback {
            Some(ticket) => Some(ticket),
            None => self.player.decide(&self.truth, call.site, case, number, now)?,
        };
        let Some(ticket) = ticket else {
            self.bin(call.arrival).refused += 1;
            return Ok(Try::Refused);
        };
        let outcome = self.truth.outcome(task, ticket.arm, case, number);
        let regret = best - self.truth.chance(task, ticket.arm, case);
        let slot = self.offsets[task] + ticket.arm;
        let bin = self.bin(call.arrival);
        bin.calls += 1;
        bin.successes += u64::from(outcome.success);
        bin.cost_nano += outcome.cost_nano;
        bin.latency_ms += outcome.latency_ms;
        bin.regret += regret;
        bin.to_best += u64::from(regret <= 0.0);
        bin.taken[slot] += 1;
        self.tell(&ticket, &outcome, if call.takes_time { outcome.latency_ms } else { 0 }, now)?;
        Ok(Try::Done(outcome, ticket))
    }

    fn begin(&mut self, arrival: u64, now: UnixMillis) -> Result<(), PlayError> {
        let (name, workflow) = (format!("goal-{arrival}"), self.truth.workflow_of(arrival));
        self.bin(arrival).goals += 1;
        self.attempt(Goal { arrival, name, workflow, step: 0, attempt: 0, fallback: None }, now)
    }

    fn bin(&mut self, arrival: u64) -> &mut Bin {
        &mut self.run.bins[(arrival * BINS as u64 / self.scenario.arrivals) as usize]
    }

    /// One try of the step a goal is at; the next one waits until its call has ended.
    fn attempt(&mut self, mut goal: Goal, now: UnixMillis) -> Result<(), PlayError> {
        let scenario = self.scenario;
        let workflow: &Workflow = &scenario.workflows[goal.workflow];
        let (step, task) = &workflow.steps[goal.step];
        let call = Call {
            number: place(goal.arrival, goal.step as u64, u64::from(goal.attempt), 0),
            subject: place(goal.arrival, goal.step as u64, 0, 0),
            arrival: goal.arrival,
            site: Site { task: *task, goal: Some((&goal.name, &workflow.id, step)) },
            takes_time: true,
        };
        let fallback = goal.fallback.take().map(|of| of.numbered(call.number));
        let outcome = match self.call(&call, fallback, now)? {
            Try::Done(outcome, ticket) => {
                self.bin(goal.arrival).retries += u64::from(goal.attempt > 0);
                goal.fallback = ticket.next().filter(|_| workflow.falls_back && !outcome.success);
                outcome
            }
            Try::Refused => {
                self.bin(goal.arrival).given_up += 1;
                return Ok(self.player.complete(&goal.name, GoalState::Abandoned, now)?);
            }
        };
        let after = now.plus_ms(outcome.latency_ms as i64);
        if outcome.success {
            (goal.step, goal.attempt) = (goal.step + 1, 0);
            if goal.step == workflow.steps.len() {
                self.bin(goal.arrival).accepted += 1;
                return Ok(self.player.complete(&goal.name, GoalState::Accepted, now)?);
            }
        } else {
            goal.attempt += 1;
            if goal.attempt >= workflow.attempts {
                return Ok(self.player.complete(&goal.name, GoalState::Rejected, now)?);
            }
        }
        self.wait(after, Waiting::Attempt(goal));
        Ok(())
    }
}
