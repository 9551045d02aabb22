//! The same calls to a daemon with much and to one with little on record, in turns: what they cost must not depend on what
//! was recorded before. It measures and prints; it fills nothing.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use oddsmaker::wire::pb;
use oddsmaker::wire::pb::router_service_client::RouterServiceClient;
use tonic::transport::Channel;

use crate::callers::{Caller, DecisionIds, Outcome, Policy, connect};
use crate::drive::{Bounds, Measured, closed_loops};
use crate::goal_plan::{By, CALLS, GoalPlan};
use crate::process::Process;
use crate::table::{Table, digits, digits_or_dash, median};

/// Turns; what is printed is a median over them.
const ROUNDS: usize = 7;

/// One loop.
const BOUNDS: Bounds = Bounds { time: Duration::from_millis(1_500), calls: 30_000 };

/// Goals that are played here begin behind all others.
const FIRST_GOAL: u64 = 1 << 40;

/// Names of the kinds of calls, in the order of [`one_round`].
const KINDS: [&str; 3] = ["GetPolicy, 10 candidates", "RecordOutcome", "a goal of ten calls (18 requests and its end)"];

/// Rates, latencies and processor time of one daemon, by kind.
#[derive(Default)]
struct Side {
    rates: [Vec<f64>; 3],
    p50_us: [Vec<f64>; 3],
    processor_us: [Vec<f64>; 3],
}

/// Measures both in turns.
///
/// # Errors
/// A call failed.
pub(crate) async fn compare(small: &Process, large: &Process, teams: u64, at_once: usize) -> anyhow::Result<Table> {
    let mut sides = [Side::default(), Side::default()];
    for round in 0..ROUNDS {
        eprintln!("{at_once} at once, round {} of {ROUNDS}", round + 1);
        // Who begins changes, so that what passes during a round passes for both.
        for side in [round % 2, 1 - round % 2] {
            one_round(if side == 0 { small } else { large }, &mut sides[side], round, teams, at_once).await?;
        }
    }
    let mut table = Table::new(&[
        "kind",
        "at once",
        "calls/s, little",
        "calls/s, much",
        "p50 µs, little",
        "p50 µs, much",
        "server processor µs, little",
        "server processor µs, much",
        "much ÷ little, p50",
        "much ÷ little, processor",
    ]);
    let [little, much] = &sides;
    for (kind, name) in KINDS.iter().enumerate() {
        let middle = |figures: &[Vec<f64>; 3]| digits_or_dash(median(&figures[kind]));
        let ratio = |of: fn(&Side) -> &[Vec<f64>; 3]| {
            let turns = of(much)[kind].iter().zip(&of(little)[kind]);
            digits_or_dash(median(&turns.map(|(much, little)| much / little).collect::<Vec<f64>>()))
        };
        table.row(vec![
            (*name).to_owned(),
            digits(at_once as f64),
            middle(&little.rates),
            middle(&much.rates),
            middle(&little.p50_us),
            middle(&much.p50_us),
            middle(&little.processor_us),
            middle(&much.processor_us),
            ratio(|side| &side.p50_us),
            ratio(|side| &side.processor_us),
        ]);
    }
    Ok(table)
}

async fn one_round(daemon: &Process, side: &mut Side, round: usize, teams: u64, at_once: usize) -> anyhow::Result<()> {
    let channels = connect(&daemon.url, at_once.min(8)).await?;
    let channel = |index: usize| channels[index % channels.len()].clone();
    let ids = DecisionIds::default();
    let callers = (0..at_once).map(|index| Policy::new(channel(index), 10).kept_in(ids.clone()));
    side.add(0, daemon, closed_loops(callers.collect(), BOUNDS)).await?;
    let ids = Arc::new(std::mem::take(&mut *ids.lock().unwrap_or_else(PoisonError::into_inner)));
    let bounds = Bounds { calls: BOUNDS.calls.min(ids.len() as u64), ..BOUNDS };
    let callers = (0..at_once).map(|index| Outcome::new(channel(index), ids.clone()));
    side.add(1, daemon, closed_loops(callers.collect(), bounds)).await?;
    let first = FIRST_GOAL + ((at_once as u64) << 30) + ((round as u64) << 20);
    let callers = (0..at_once).map(|index| WholeGoal::new(channel(index), first, teams));
    side.add(2, daemon, closed_loops(callers.collect(), BOUNDS)).await
}

impl Side {
    async fn add(
        &mut self,
        kind: usize,
        daemon: &Process,
        work: impl Future<Output = anyhow::Result<Measured>>,
    ) -> anyhow::Result<()> {
        let before = daemon.processor_seconds()?;
        let measured = work.await?;
        let used = daemon.processor_seconds()? - before;
        self.rates[kind].push(measured.rate());
        self.p50_us[kind].push(measured.latency_ns.value_at_quantile(0.50) as f64 / 1e3);
        self.processor_us[kind].push(used * 1e6 / measured.calls as f64);
        Ok(())
    }
}

/// One goal a call.
struct WholeGoal {
    router: RouterServiceClient<Channel>,
    goals: pb::goal_service_client::GoalServiceClient<Channel>,
    first: u64,
    teams: u64,
}

impl WholeGoal {
    fn new(channel: Channel, first: u64, teams: u64) -> Self {
        let goals = pb::goal_service_client::GoalServiceClient::new(channel.clone());
        Self { router: RouterServiceClient::new(channel), goals, first, teams }
    }
}

impl Caller for WholeGoal {
    async fn call(&mut self, number: u64) -> anyhow::Result<()> {
        let plan = GoalPlan::new(self.first + number, self.teams, false);
        for call in 0..CALLS {
            let step = GoalPlan::step(call as usize);
            let outcome = match step.by {
                By::Model(task) => {
                    let answer = self.router.get_policy(plan.policy(call, step, task)).await?.into_inner();
                    anyhow::ensure!(answer.proceed, "no model was chosen: {}", answer.reason);
                    plan.model_outcome(call, &answer)
                }
                By::Gated(tool) => {
                    let answer = self.router.gate_step(plan.gate(call, step, tool)).await?.into_inner();
                    if !answer.proceed {
                        continue;
                    }
                    plan.gated_outcome(call, answer.hold_id)
                }
                By::Tool(tool) => plan.tool_outcome(call, step, tool),
            };
            self.router.record_outcome(outcome).await?;
        }
        if let Some(end) = plan.end() {
            self.goals.complete_goal(end).await?;
        }
        Ok(())
    }
}
