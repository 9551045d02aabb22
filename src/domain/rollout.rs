//! Who is served by the router, who by the caller's own choice, and who by the model the team used before. The assignment
//! is drawn by a keyed hash of what is assigned, so it is random to everybody else, the same whenever it is asked for, and
//! never moved by what is learned. It refuses to know what came of it.

use std::sync::Arc;

use super::call::Arm;

/// Whether the router serves what it decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It does, for [`Rollout::serve_share`] of the goals.
    #[default]
    Serve,
    /// It decides and records, and the caller's own model is served.
    Observe,
}

/// The randomised comparison: a share that is always served one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Holdout {
    /// The candidate served: what the team called before.
    pub model: Arc<str>,
    /// Share of the goals (else decisions) held out, in [0, 1].
    pub share: f64,
}

/// How far the router of a task type is rolled out.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// Whether it serves at all.
    pub mode: Mode,
    /// Share of the goals (else decisions) that are not held out which it serves, in [0, 1]; the others get the caller's
    /// own model.
    pub serve_share: f64,
    /// Whom it is compared with; `None`: nobody, so nothing is proven.
    pub holdout: Option<Holdout>,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { mode: Mode::Serve, serve_share: 1.0, holdout: None }
    }
}

/// By what a decision got its arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Assigned {
    /// By nothing: no rollout was in force, or the request left one model by name.
    #[default]
    No = 0,
    /// By its goal (the topmost, where goals stand above it).
    ByGoal = 1,
    /// By its own number: it has no goal.
    ByDecision = 2,
}

impl Assigned {
    /// The lower-case word used in exports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "none",
            Self::ByGoal => "goal",
            Self::ByDecision => "decision",
        }
    }

    /// The one of that number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::No, Self::ByGoal, Self::ByDecision].into_iter().find(|a| *a as u8 == number)
    }
}

/// What is assigned as a whole.
#[derive(Clone, Copy, Debug)]
pub enum Unit<'a> {
    /// A goal.
    Goal(&'a str),
    /// A decision without one, by its number.
    Decision(u64),
}

impl Rollout {
    /// Whether anything but the router may be served.
    #[must_use]
    pub fn is_in_force(&self) -> bool {
        self.holdout.is_some() || self.share() < 1.0
    }

    /// Share of those not held out that the router serves.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.mode == Mode::Observe { 0.0 } else { self.serve_share }
    }

    /// Of those the router serves or the holdout keeps, the share held out, in [0, 1); `None`: the router serves nobody, so
    /// that nothing of it could be seen beside the holdout, or there is none.
    #[must_use]
    pub fn held_out_share(&self) -> Option<f64> {
        let held_out = self.holdout.as_ref()?.share;
        let served = (1.0 - held_out) * self.share();
        (served > 0.0).then(|| held_out / (held_out + served))
    }

    /// The arm of `unit` at task type `task`: held out with the holdout's chance, and of the others served by the router with
    /// the chance `serve_share`. Both are drawn apart: raising `serve_share` moves nobody out of the holdout or into it, and
    /// whom the router served with a smaller share it serves with a larger one.
    #[must_use]
    pub fn arm(&self, seed: u64, task: &str, unit: Unit<'_>) -> Arm {
        let draw = |of| fraction(seed, task, unit, of);
        if self.holdout.as_ref().is_some_and(|holdout| draw("holdout") < holdout.share) {
            Arm::Holdout
        } else if draw("serve") < self.share() {
            Arm::Router
        } else {
            Arm::Observe
        }
    }

    /// Whether a unit that has `arm` may go on with it: while there is such an arm.
    #[must_use]
    pub fn keeps(&self, arm: Arm) -> bool {
        match arm {
            Arm::Holdout => self.holdout.is_some(),
            Arm::Router => self.share() > 0.0,
            _ => true,
        }
    }
}

/// A number in [0, 1) made of the seed and of what is assigned: 53 bits of a keyed digest (BLAKE3).
fn fraction(seed: u64, task: &str, unit: Unit<'_>, of: &str) -> f64 {
    let mut hasher = blake3::Hasher::new_derive_key("oddsmaker 2026 assignment of arms");
    hasher.update(&seed.to_be_bytes()).update(of.as_bytes());
    hasher.update(&(task.len() as u64).to_be_bytes()).update(task.as_bytes());
    match unit {
        Unit::Goal(goal) => hasher.update(b"g").update(goal.as_bytes()),
        Unit::Decision(number) => hasher.update(b"d").update(&number.to_be_bytes()),
    };
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    (u64::from_be_bytes(first) >> 11) as f64 * f64::powi(2.0, -53)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 20_261_122;

    fn rollout(serve_share: f64, share: f64) -> Rollout {
        Rollout { mode: Mode::Serve, serve_share, holdout: Some(Holdout { model: "m".into(), share }) }
    }

    fn arms(of: &Rollout, seed: u64, task: &str) -> Vec<Arm> {
        (0..20_000).map(|n| of.arm(seed, task, Unit::Goal(&format!("goal-{n}")))).collect()
    }

    fn share(of: &[Arm], arm: Arm) -> f64 {
        of.iter().filter(|a| **a == arm).count() as f64 / of.len() as f64
    }

    #[test]
    fn shares_are_as_asked_and_independent_of_task_and_seed() {
        let all = arms(&rollout(0.5, 0.2), SEED, "a");
        // Four standard errors of 20,000 draws.
        for (arm, expected) in [(Arm::Holdout, 0.2), (Arm::Router, 0.4), (Arm::Observe, 0.4)] {
            assert!((share(&all, arm) - expected).abs() < 0.014, "seed {SEED}: {arm:?} {}", share(&all, arm));
        }
        for (seed, task) in [(SEED, "b"), (SEED + 1, "a")] {
            let other = arms(&rollout(0.5, 0.2), seed, task);
            let both = all.iter().zip(&other).filter(|(a, b)| **a == Arm::Holdout && **b == Arm::Holdout).count();
            assert!((both as f64 / 20_000.0 - 0.04).abs() < 0.006, "seed {seed}, task {task}: {both}");
        }
    }

    #[test]
    fn a_larger_share_moves_nobody_but_from_the_callers_model_to_the_router() {
        let (few, many) = (arms(&rollout(0.1, 0.05), SEED, "a"), arms(&rollout(1.0, 0.05), SEED, "a"));
        for (before, after) in few.into_iter().zip(many) {
            let expected = if before == Arm::Holdout { Arm::Holdout } else { Arm::Router };
            assert_eq!(after, expected, "was {before:?}");
        }
    }

    #[test]
    fn observing_serves_nobody_and_the_ends_of_the_range_are_whole() {
        let observe = Rollout { mode: Mode::Observe, ..Rollout::default() };
        assert!(arms(&observe, SEED, "a").iter().all(|a| *a == Arm::Observe));
        assert!(arms(&Rollout::default(), SEED, "a").iter().all(|a| *a == Arm::Router));
        assert!(arms(&rollout(1.0, 1.0), SEED, "a").iter().all(|a| *a == Arm::Holdout));
        assert!(arms(&rollout(1.0, 0.0), SEED, "a").iter().all(|a| *a == Arm::Router));
        assert!(!Rollout::default().is_in_force() && observe.is_in_force() && rollout(1.0, 0.0).is_in_force());
    }

    #[test]
    fn the_share_of_the_holdout_beside_the_router_leaves_out_what_callers_choose() {
        let of = rollout(0.5, 0.2);
        assert!((of.held_out_share().unwrap() - 1.0 / 3.0).abs() < 1e-12);
        let all = arms(&of, SEED, "a");
        let (held_out, served) = (share(&all, Arm::Holdout), share(&all, Arm::Router));
        assert!((held_out / (held_out + served) - 1.0 / 3.0).abs() < 0.02, "seed {SEED}");
        assert_eq!((rollout(1.0, 1.0).held_out_share(), rollout(0.0, 0.2).held_out_share()), (None, None));
        assert_eq!(Rollout::default().held_out_share(), None);
    }

    #[test]
    fn decisions_and_goals_are_drawn_apart() {
        let of = rollout(0.5, 0.0);
        let number = u64::from_be_bytes(*b"12345678");
        let pairs = (0..64)
            .map(|i| (of.arm(SEED + i, "a", Unit::Goal("12345678")), of.arm(SEED + i, "a", Unit::Decision(number))));
        assert!(pairs.into_iter().any(|(a, b)| a != b));
    }
}
