//! A rollout in a world: stages in which the router serves a larger share, and an operator who looks at the savings a daemon
//! would report, by a stated rule, and takes the share back where routed goals are accepted less often. It refuses to know
//! what is true: it sees what the daemon tells.

use std::sync::Arc;

use crate::domain::rollout::{Holdout, Mode, Rollout};
use crate::domain::time::{HOUR_MS, UnixMillis};
use crate::engine::Engine;
use crate::insights::{Query, report};

/// How a router is rolled out.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Place of the model that is held out on; callers call it themselves where the router does not serve.
    pub held_out: usize,
    /// Share of the goals (else calls) held out, in [0, 1].
    pub share: f64,
    /// Time between two looks, in milliseconds; > 0.
    pub look_every_ms: i64,
    /// Length of the window that is looked at, in milliseconds; > 0.
    pub lookback_ms: i64,
    /// The share is taken back when the whole 90 % interval of the acceptance lies below minus so many points, ≥ 0.
    pub roll_back_points: f64,
    /// Time from the start in milliseconds, and the share served from then on; in order.
    pub stages: Vec<(i64, f64)>,
}

/// Someone who carries out a plan.
#[derive(Clone, Debug)]
pub struct Operator<'s> {
    plan: &'s Plan,
    model: Arc<str>,
    start: UnixMillis,
    serve_share: f64,
    /// The next stage.
    stage: usize,
    next_look: UnixMillis,
    /// Hours from the start at which the share was taken back.
    pub rolled_back: Vec<f64>,
}

impl<'s> Operator<'s> {
    /// Someone who begins at `start`, when nothing is served yet; `model` is the one held out on.
    #[must_use]
    pub fn new(plan: &'s Plan, model: Arc<str>, start: UnixMillis) -> Self {
        let next_look = start.plus_ms(plan.look_every_ms);
        Self { plan, model, start, serve_share: 0.0, stage: 0, next_look, rolled_back: Vec::new() }
    }

    /// The caller's own choice.
    #[must_use]
    pub fn own_model(&self) -> &str {
        &self.model
    }

    /// The rollout in force now.
    #[must_use]
    pub fn rollout(&self) -> Rollout {
        let holdout = Some(Holdout { model: self.model.clone(), share: self.plan.share });
        let mode = if self.serve_share > 0.0 { Mode::Serve } else { Mode::Observe };
        Rollout { mode, serve_share: self.serve_share, holdout }
    }

    /// Begins the stages that are due by `now`, and looks when that is due; whether the rollout changed.
    pub fn moves(&mut self, engine: &Engine, now: UnixMillis) -> bool {
        let before = self.serve_share;
        while let Some((after_ms, share)) = self.plan.stages.get(self.stage).filter(|s| self.start.plus_ms(s.0) <= now)
        {
            (self.serve_share, self.stage) = (*share, self.stage + 1);
            // What was served before the stage says nothing of it.
            self.next_look = self.start.plus_ms(after_ms + self.plan.look_every_ms);
        }
        if now >= self.next_look {
            self.next_look = now.plus_ms(self.plan.look_every_ms);
            if self.serve_share > 0.0 && self.is_worse(engine, now) {
                self.serve_share = 0.0;
                self.rolled_back.push((now.0 - self.start.0) as f64 / HOUR_MS as f64);
            }
        }
        self.serve_share != before
    }

    /// The rule: some task type's acceptance interval lies wholly below minus the points of the plan.
    fn is_worse(&self, engine: &Engine, now: UnixMillis) -> bool {
        let query = Query { lookback_ms: self.plan.lookback_ms, ..Query::default() };
        let savings = report(engine, None, &query, now).savings.unwrap_or_default();
        let best = savings.rows.iter().filter_map(|row| row.acceptance_difference.map(|(_, (_, best))| best));
        best.into_iter().any(|best| best * 100.0 < -self.plan.roll_back_points)
    }
}
