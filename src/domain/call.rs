//! A call: one paid attempt at a step, from the decision that allowed it to what came of it and what was said later.
//! Everything counted anywhere is a pure function of this record (`contribution`), so a late or amended truth is
//! applied by taking the old contribution away and adding the new one.

use super::budget::Charge;
use super::money::NanoUsd;
use super::names::{LabelsId, NameId};
use super::outcome::{CostSource, FailureReason, QualityMicro, Verdict};
use super::pricing::Usage;
use super::rollout::Assigned;
use super::strata::Stratum;
use super::time::UnixMillis;

/// Number of a call; decisions and calls routed elsewhere share one rising sequence. The epoch (one a start of the
/// daemon) stands in the upper 24 bits, so that a number lost in a crash is never given out again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallNo(pub u64);

/// A call as an id names it: what is needed to tell one that was dropped from one that never was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallRef {
    /// Its number.
    pub number: CallNo,
    /// When it was decided, or made.
    pub at: UnixMillis,
}

impl CallNo {
    const EPOCH_SHIFT: u32 = 40;

    /// The first number of an epoch.
    #[must_use]
    pub fn first_of_epoch(epoch: u32) -> Self {
        Self(u64::from(epoch) << Self::EPOCH_SHIFT)
    }

    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

super::outcome::words! {
    /// Who chose the model of a call.
    Arm {
        /// The router's own draw.
        Router = 1, "router";
        /// The randomised holdout.
        Holdout = 2, "holdout";
        /// The caller's own model: in observe mode, or where the router does not serve all.
        Observe = 3, "observe";
        /// A request that left one model by name.
        Pinned = 4, "pinned";
        /// No decision of this daemon.
        Elsewhere = 5, "elsewhere";
        /// A fallback of a decision.
        Fallback = 6, "fallback";
    }
}

super::outcome::words! {
    /// What made the router's choice the one it is.
    Selection {
        /// The draw (or the pin, see [`Arm`]).
        Draw = 1, "draw";
        /// The exploration floor.
        Floor = 2, "floor";
        /// An irreversible step: the best mean.
        Irreversible = 3, "irreversible";
        /// A caller's or the task type's constraint left one candidate.
        Constraint = 4, "constraint";
        /// The quality floor left one candidate.
        QualityFloor = 5, "quality_floor";
        /// An earlier draw of the goal, kept.
        Sticky = 6, "sticky";
    }
}

/// What a decision fixes about its first outcome; small enough to travel in the decision id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallTraits {
    /// Who chose.
    pub arm: Arm,
    /// Why that one.
    pub selection: Selection,
    /// A first attempt may move the posterior.
    pub may_teach: bool,
    /// The reward is the quality score where one comes.
    pub quality_reward: bool,
    /// Without a verdict of its own, it has that of its goal's end.
    pub learns_from_goal: bool,
    /// By what it got its arm, where a rollout drew it.
    pub assigned: Assigned,
    /// The stratum of its request; `NONE` where its task type has no features, or none of it is known.
    pub stratum: Stratum,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Decided, its outcome outstanding until this instant.
    Open(UnixMillis),
    /// Its time ran out without an outcome; its hold is presumed spent.
    Expired,
    /// Another model's call was reported for it; what came of its own model was not (yet).
    Answered,
    /// Declared never made.
    Voided,
    /// Its outcome is known.
    Settled(Settled),
}

/// A known outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What it cost; `None` is unknown, never zero.
    pub cost: Option<NanoUsd>,
    /// Where the cost comes from.
    pub cost_source: CostSource,
    /// What came of it, once known.
    pub verdict: Option<Verdict>,
    /// Its quality score.
    pub quality: Option<QualityMicro>,
    /// Tokens, when known.
    pub usage: Option<Usage>,
    /// Latency in milliseconds.
    pub latency_ms: Option<u32>,
    /// Energy in millijoules.
    pub energy_mj: Option<u64>,
    /// It cost more than its hold.
    pub overrun: bool,
    /// Digest of the report that settled it.
    pub body: u64,
    /// Who told what came of it; `NONE`: nobody said.
    pub source: NameId,
}

/// A call's place in decision order. It does not depend on the order in which outcomes were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order {
    /// When it was decided, or happened, or was reported.
    pub at: UnixMillis,
    /// The decision it belongs to.
    pub decision: CallNo,
    /// Its place among the attempts at that decision, see [`Call::attempt`].
    pub attempt: u64,
    /// Its number.
    pub number: CallNo,
}

/// One call with everything that is ever asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: CallNo,
    /// The decision it is a further outcome of; its own number otherwise.
    pub decision: CallNo,
    /// Sequence number of the event that made it.
    pub seq: u64,
    /// Its place in time for all that depends on sequence: when it was decided, or happened, or was reported.
    pub at: UnixMillis,
    /// The time its figures belong to: when it happened, else when its outcome was received.
    pub counted_at: UnixMillis,
    /// Whether it was decided here (as opposed to routed elsewhere or run as a fallback).
    pub decided: bool,
    /// Task type.
    pub task: NameId,
    /// Candidate or model that served it.
    pub candidate: NameId,
    /// Workflow.
    pub workflow: NameId,
    /// Step.
    pub step: NameId,
    /// Tool.
    pub tool: NameId,
    /// Labels.
    pub labels: LabelsId,
    /// Goal it belongs to; empty: none.
    pub goal: String,
    /// Key of its step within the goal.
    pub step_key: u64,
    /// Who chose, and whether it may teach.
    pub traits: CallTraits,
    /// Service tier the caller said it would buy.
    pub service_tier: super::catalog::ServiceTier,
    /// Money reserved for it; `None`: unknown.
    pub hold: Option<NanoUsd>,
    /// What it is booked on, each with what was reserved there.
    pub charges: Vec<Charge>,
    /// It was booked on a budget that nobody had asked before it was made, see [`Call::is_unadmitted`].
    pub unadmitted: bool,
    /// Its place among the calls of its goal, from 0, in the order in which they were asked for or told of; another
    /// attempt at a decision has that decision's place.
    pub ordinal: u32,
    /// What the end of its goal says of it; `None`: nothing (yet).
    pub goal_verdict: Option<bool>,
    /// Fallbacks its decision offered.
    pub fallbacks: Vec<NameId>,
    /// Calls of other models, and quality checks, reported for it as a decision.
    pub further: Vec<CallNo>,
    /// It named a call it retries: a retry whatever came before.
    pub named_retry: bool,
    /// Its place among the attempts at its decision: 0 for the decided model's own, then the fallbacks as ranked, then
    /// models nobody offered, and among those alike a digest of what was reported.
    pub attempt: u64,
    /// Another attempt at the same decision was reported, which stands before it. Derived from that decision's calls.
    pub follows_attempt: bool,
    /// It follows a failed call of its step, in decision order. Derived from the goal's thread.
    pub follows_failure: bool,
    /// A model nobody offered served it.
    pub off_policy: bool,
    /// A quality check and not production.
    pub evaluation: bool,
    /// Summed without its workflow, step, tool and labels, because its hour had too many combinations of them already.
    pub coarse: bool,
    /// Where it stands.
    pub stage: Stage,
    /// Sequence number of the event that recorded its outcome; 0: none did.
    pub recorded_seq: u64,
    /// How often it was amended.
    pub amendments: u32,
}

impl Call {
    /// What came of it: its own verdict, else that of its goal's end where it learns from that.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let told = |accepted| if accepted { Verdict::Success } else { Verdict::Failure(FailureReason::UserRejected) };
        let settled = self.settled()?;
        settled.verdict.or(self.goal_verdict.filter(|_| self.traits.learns_from_goal).map(told))
    }

    /// The outcome, when there is one.
    #[must_use]
    pub fn settled(&self) -> Option<&Settled> {
        if let Stage::Settled(settled) = &self.stage { Some(settled) } else { None }
    }

    /// A retry: it follows a failed call of its step or another attempt at its decision, or names a call it retries.
    #[must_use]
    pub fn is_retry(&self) -> bool {
        !self.evaluation && (self.named_retry || self.follows_attempt || self.follows_failure)
    }

    /// Booked on a budget that was not asked before it was made: nobody asked at all, or it is a further attempt at (or a
    /// quality check of) a decision whose hold covers only the attempt that stands first.
    #[must_use]
    pub fn is_unadmitted(&self) -> bool {
        let beyond_the_hold = self.decision != self.number && (self.evaluation || self.follows_attempt);
        self.unadmitted || (beyond_the_hold && !self.charges.is_empty())
    }

    /// Nobody asked for it before it was made, neither for a decision nor at a gate: it is known by its outcome alone.
    #[must_use]
    pub fn was_only_told_of(&self) -> bool {
        !self.decided && self.decision == self.number && self.recorded_seq == self.seq
    }

    /// Place in decision order within its step.
    #[must_use]
    pub fn order(&self) -> Order {
        Order { at: self.at, decision: self.decision, attempt: self.attempt, number: self.number }
    }

    /// The reward it gives its posterior in millionths; `None`: it teaches nothing. Only a first attempt on the
    /// router's own choice teaches (or an exchangeable pin), once its verdict is known.
    #[must_use]
    pub fn reward_micro(&self) -> Option<u32> {
        let settled = self.settled()?;
        let silent = self.evaluation || self.off_policy || self.is_retry() || !self.traits.may_teach;
        let verdict = self.verdict()?;
        if silent || matches!(verdict, Verdict::Failure(reason) if !reason.teaches()) {
            return None;
        }
        let graded = settled.quality.filter(|_| self.traits.quality_reward);
        Some(graded.map_or(if verdict.is_success() { 1_000_000 } else { 0 }, |q| q.0))
    }

    /// Who told its verdict; `NONE`: nobody said, or the end of its goal says it.
    #[must_use]
    pub fn source(&self) -> NameId {
        self.settled().filter(|settled| settled.verdict.is_some()).map_or(NameId::NONE, |settled| settled.source)
    }

    /// The failure reason, when it failed.
    #[must_use]
    pub fn failure_reason(&self) -> Option<FailureReason> {
        match self.verdict()? {
            Verdict::Failure(reason) => Some(reason),
            Verdict::Success => None,
        }
    }
}
