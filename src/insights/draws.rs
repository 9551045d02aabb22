//! The router's draws as estimators take them: who competed, who was chosen, and what came of the calls that kept a draw.
//!
//! It exists so that a question to the daemon and a replay of its record rest on the same draws. It refuses to know where
//! facts and calls are kept, and which policy is asked about.

use super::evaluation::Sample;
use super::left_out::NoDraw;
use crate::domain::beta::Beta;
use crate::domain::call::{Arm, Call, CallNo, Selection};
use crate::domain::catalog::TaskSettings;
use crate::domain::event::{Competitor, Decided, PolicyVerdict};
use crate::domain::names::NameId;
use crate::domain::outcome::Verdict;
use crate::domain::policy::Contest;
use crate::domain::rollout::Assigned;

/// One draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    /// The decision it was made for.
    pub number: CallNo,
    /// Its task type.
    pub task: NameId,
    /// Those who competed, in rising expected cost; at least two.
    pub competitors: Vec<Competitor>,
    /// Places among them of those that a budget would have had replaced by the cheapest of the others.
    pub unfit: Vec<usize>,
    /// Place of the one chosen among them.
    pub chosen: usize,
    /// How many catalogues had come into force.
    pub catalog: u32,
    /// The arm was drawn for this decision alone, so that what the holdout served counts by the chances of both.
    pub by_lot: bool,
    /// Held out.
    pub held_out: bool,
    /// Later decisions that kept it.
    pub followers: Vec<CallNo>,
}

impl Draw {
    /// The draw of a decision that served a model and keeps no earlier draw. The lot of the holdout is one where it was drawn for
    /// this decision alone: a goal draws its arm once, so that what came before tells which arm its later decisions have.
    ///
    /// # Errors
    /// None was made.
    pub fn of(decided: Decided) -> Result<Self, NoDraw> {
        let traits = decided.traits;
        let (by_lot, held_out) = (traits.assigned == Assigned::ByDecision, traits.arm == Arm::Holdout);
        let random = traits.arm == Arm::Router || (held_out && by_lot);
        if random && decided.competitors.len() < 2 {
            return Err(NoDraw::OneCandidate);
        }
        let downgraded = decided.verdict == PolicyVerdict::Downgrade;
        let drawn = match traits.selection {
            Selection::Draw | Selection::Floor => true,
            Selection::Constraint => downgraded || held_out,
            _ => false,
        };
        let named = decided.place.task != NameId::OTHER && decided.place.candidate != NameId::OTHER;
        let chosen = decided.competitors.iter().position(|c| c.candidate == decided.place.candidate);
        let Some(chosen) = chosen.filter(|_| random && named && drawn && !decided.irreversible) else {
            return Err(match traits.arm {
                Arm::Pinned => NoDraw::Pinned,
                Arm::Observe => NoDraw::Observed,
                Arm::Holdout if !by_lot => NoDraw::HeldOut,
                _ if decided.irreversible => NoDraw::Irreversible,
                _ => NoDraw::NotDrawn,
            });
        };
        Ok(Self {
            number: decided.number,
            task: decided.place.task,
            competitors: decided.competitors,
            unfit: decided.unfit.iter().map(|place| *place as usize).collect(),
            chosen,
            catalog: decided.catalog,
            by_lot,
            held_out,
            followers: Vec::new(),
        })
    }

    /// Whether the chance of what was served is known, by the settings it was made by: not of a holdout beside which the router
    /// serves nobody.
    #[must_use]
    pub fn has_a_chance(&self, settings: &TaskSettings) -> bool {
        !self.held_out || settings.rollout.held_out_share().is_some()
    }

    /// Who competed and how was chosen among them, by the settings it was made by; `name` knows candidates by number.
    #[must_use]
    pub fn contest<'n>(&self, settings: &TaskSettings, name: impl Fn(NameId) -> Option<&'n str>) -> Contest {
        let shape = |micro: u64| micro as f64 / 1e6;
        let arms = self.competitors.iter().map(|c| {
            let posterior = Beta::new(shape(c.alpha_micro), shape(c.beta_micro)).unwrap_or(Beta::UNIFORM);
            (posterior, c.cost.map(|cost| cost.0))
        });
        let (rule, other, floor) = (settings.rule(), settings.other_rule(), settings.exploration_floor);
        let lot = settings.rollout.holdout.as_ref().filter(|_| self.by_lot).zip(settings.rollout.held_out_share());
        let held_out = lot.and_then(|(holdout, share)| {
            let is = |c: &Competitor| name(c.candidate) == Some(&*holdout.model);
            Some((self.competitors.iter().position(is)?, share))
        });
        Contest { arms: arms.collect(), unfit: self.unfit.clone(), rule, other, floor, held_out }
    }

    /// The draw as an estimator takes it: the router's `chances` of those who competed, those of the policy asked about, and
    /// what came of its calls. `None`: by its settings the router could not have chosen whom it chose.
    #[must_use]
    pub fn sample(&self, chances: &[f64], wanted: &[f64], told: &Told) -> Option<Sample> {
        if chances[self.chosen] <= 0.0 {
            return None;
        }
        let ids: Vec<u32> = self.competitors.iter().map(|c| c.candidate.0).collect();
        let drawn = Sample::new(self.task.0, &ids, chances, wanted, self.chosen);
        let cost_usd = (!told.unpriced).then_some(told.cost_nano as f64 * 1e-9);
        Some(Sample { calls: told.calls, successes: told.successes, cost_usd, ..drawn })
    }
}

/// What came of the calls of one draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Its first call is a retry.
    pub is_retry: bool,
    /// Calls whose success is known.
    pub calls: u32,
    /// Successes among them.
    pub successes: u32,
    /// What they cost, as far as that is known.
    pub cost_nano: u64,
    /// The cost of one of them is not known.
    pub unpriced: bool,
}

impl Told {
    /// Adds a call of the model drawn. Fallbacks are other models' calls, quality checks nobody's choice.
    pub fn add(&mut self, call: &Call, draw: &Draw) {
        self.is_retry |= call.number == draw.number && call.is_retry();
        let own = call.candidate == draw.competitors[draw.chosen].candidate && !call.off_policy && !call.evaluation;
        let (Some(settled), Some(verdict)) = (call.settled().filter(|_| own), call.verdict()) else { return };
        self.calls += 1;
        self.successes += u32::from(verdict == Verdict::Success);
        match settled.cost {
            Some(cost) => self.cost_nano = self.cost_nano.saturating_add(cost.0),
            None => self.unpriced = true,
        }
    }
}
