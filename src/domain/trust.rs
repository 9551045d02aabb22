//! How far each source of outcomes is believed: a weight, and the most of the evidence that may come from it.
//!
//! It exists so that one reporter that lies or floods moves a posterior by no more than its share, whatever it sends. Nothing of
//! it changes what is stored or counted. It refuses to know who a source is and what a reward means.

use super::names::NameId;

/// One: a weight or share that limits nothing, in millionths.
const ALL_MICRO: u32 = 1_000_000;

/// How far a source is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What one outcome of it counts, in millionths; 0 to 1,000,000.
    pub weight_micro: u32,
    /// The most of the mass of a posterior, prior included, that may come from it, in millionths; 0 to 1,000,000.
    pub max_share_micro: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { weight_micro: ALL_MICRO, max_share_micro: ALL_MICRO }
    }
}

impl Limits {
    fn weight(self) -> f64 {
        f64::from(self.weight_micro) / 1e6
    }

    /// The most of the mass of a posterior that may come from it, in [0, 1].
    #[must_use]
    pub fn max_share(self) -> f64 {
        f64::from(self.max_share_micro) / 1e6
    }

    /// Whether it may be outvoted by its share alone.
    fn is_capped(self) -> bool {
        self.max_share_micro < ALL_MICRO
    }
}

/// What a task type says of sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Each declared one with its limits, in the order declared.
    pub declared: Vec<(String, Limits)>,
    /// All others together, those that give no name included: whoever makes up names gains nothing.
    pub others: Limits,
}

impl Sources {
    /// The place of a declared source, from 1 on, as a number for it where no table of names gives one.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<NameId> {
        let place = self.declared.iter().position(|(declared, _)| declared == name)?;
        u32::try_from(place + 1).ok().map(NameId)
    }
}

/// The same with numbers for names: what evidence is weighed by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    declared: Vec<(NameId, Limits)>,
    others: Limits,
}

impl Trust {
    /// What `sources` says, where `id` knows the numbers of their names; one without a number has told nothing yet.
    #[must_use]
    pub fn new(sources: &Sources, id: impl Fn(&str) -> Option<NameId>) -> Self {
        let numbered = sources.declared.iter().filter_map(|(name, limits)| Some((id(name)?, *limits)));
        Self { declared: numbered.collect(), others: sources.others }
    }

    /// Whether every outcome counts the same, so that nothing needs weighing.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        *self == Self::default() || self.groups().all(|(_, limits)| limits == Limits::default())
    }

    /// How far one source is believed.
    #[must_use]
    pub fn limits(&self, source: NameId) -> Limits {
        self.declared.iter().find(|(id, _)| *id == source).map_or(self.others, |(_, limits)| *limits)
    }

    /// The declared sources in their order, and last all others (`None`).
    pub fn groups(&self) -> impl Iterator<Item = (Option<NameId>, Limits)> + '_ {
        self.declared.iter().map(|(id, limits)| (Some(*id), *limits)).chain([(None, self.others)])
    }

    /// Millionths that an outcome of each group counts in the search for changes: its weight; 0 where its share is limited, so
    /// that a change is found from the outcomes of those alone who are believed without limit.
    pub fn for_changes(&self) -> impl Iterator<Item = u32> + '_ {
        self.groups().map(|(_, limits)| if limits.is_capped() { 0 } else { limits.weight_micro })
    }

    /// What one outcome of each group counts, in [0, 1], where the groups told `masses` outcomes and the prior weighs `prior`
    /// (> 0): w·k, with k the largest in [0, 1] for which w·k·mass ≤ max_share · T.
    ///
    /// T is the mass of the posterior: T = prior + Σ min(w·mass, max_share · T). The right side is concave in T and above 0 at
    /// T = 0, so there is exactly one such T, however many shares are limited and whatever they add up to. It is found from
    /// above by Newton's steps: those above their share at the last T are held at it. They only grow in number, so there are no
    /// more steps than groups. A mean is Σ won ÷ T, so a source moves it by no more than its `max_share`; where a source is alone, that
    /// is its share of prior and evidence together.
    #[must_use]
    pub fn factors(&self, masses: &[f64], prior: f64) -> Vec<f64> {
        let told: Vec<(f64, f64)> =
            self.groups().zip(masses).map(|((_, limits), mass)| (limits.weight() * mass, limits.max_share())).collect();
        let mut total = prior + told.iter().map(|t| t.0).sum::<f64>();
        for _ in 0..told.len() {
            let (mut free, mut held) = (prior, 0.0);
            for (mass, share) in &told {
                if *mass > share * total { held += share } else { free += mass }
            }
            let next = free / (1.0 - held);
            if next >= total {
                break;
            }
            total = next;
        }
        let kept = |(mass, share): &(f64, f64)| if *mass > share * total { share * total / mass } else { 1.0 };
        self.groups().zip(&told).map(|((_, limits), told)| limits.weight() * kept(told)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(weight: f64, max_share: f64) -> Limits {
        Limits { weight_micro: (weight * 1e6) as u32, max_share_micro: (max_share * 1e6) as u32 }
    }

    fn trust(declared: &[Limits], others: Limits) -> Trust {
        Trust { declared: (2..).map(NameId).zip(declared.iter().copied()).collect(), others }
    }

    fn near(found: &[f64], expected: &[f64]) {
        assert!(found.len() == expected.len(), "{found:?}");
        assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-9), "{found:?} is not {expected:?}");
    }

    #[test]
    fn a_flood_counts_its_share_and_no_more() {
        // T = (2 + 88)/(1 − 0.1) = 100: of 40 outcomes 10 count, of 4,000 too.
        let one = trust(&[limits(1.0, 0.1)], Limits::default());
        near(&one.factors(&[40.0, 88.0], 2.0), &[0.25, 1.0]);
        near(&one.factors(&[4_000.0, 88.0], 2.0), &[0.0025, 1.0]);
        near(&one.factors(&[10.0, 88.0], 2.0), &[1.0, 1.0]);
        near(&one.factors(&[0.0, 88.0], 2.0), &[1.0, 1.0]);
    }

    #[test]
    fn several_are_held_at_once_and_a_weight_counts_before_the_share() {
        // T = (2 + 68)/(1 − 0.1 − 0.2) = 100.
        let two = trust(&[limits(1.0, 0.1), limits(0.5, 0.2)], Limits::default());
        near(&two.factors(&[40.0, 80.0, 68.0], 2.0), &[0.25, 0.5 * 0.5, 1.0]);
        // The second is held only once the first is: 22 < 0.2 · (2 + 150 + 22 + 68), but 22 > 0.2 · 100.
        near(&two.factors(&[150.0, 44.0, 68.0], 2.0), &[10.0 / 150.0, 0.5 * 20.0 / 22.0, 1.0]);
        near(&two.factors(&[0.0, 10.0, 68.0], 2.0), &[1.0, 0.5, 1.0]);
    }

    #[test]
    fn where_a_limited_source_is_alone_its_share_is_of_prior_and_evidence() {
        // T = 2/(1 − 0.5) = 4, so 2 outcomes count; with no share none does.
        near(&trust(&[], limits(1.0, 0.5)).factors(&[1_000.0], 2.0), &[0.002]);
        near(&trust(&[], limits(1.0, 0.0)).factors(&[1_000.0], 2.0), &[0.0]);
        // Shares that add up to more than all hold nobody who does not flood the rest: T = 2 + 30 + 30 = 62.
        let halves = trust(&[limits(1.0, 0.6)], limits(1.0, 0.6));
        near(&halves.factors(&[30.0, 30.0], 2.0), &[1.0, 1.0]);
        // T = (2 + 30)/0.4 = 80: 48 of 1,000.
        near(&halves.factors(&[1_000.0, 30.0], 2.0), &[0.048, 1.0]);
    }

    #[test]
    fn nothing_is_weighed_where_nothing_is_limited() {
        assert!(Trust::default().is_blind() && trust(&[Limits::default()], Limits::default()).is_blind());
        assert!(!trust(&[], limits(1.0, 0.9)).is_blind() && !trust(&[limits(0.9, 1.0)], Limits::default()).is_blind());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Nobody is above its share, and nobody below both its share and what it told.
        #[test]
        fn each_has_what_it_told_or_its_share(
            groups in prop::collection::vec((0.0..1e6_f64, 0_u32..=1_000_000, 0_u32..=1_000_000), 1..8), prior in 0.01..100.0_f64,
        ) {
            let mut limits: Vec<Limits> = groups.iter().map(|g| Limits { weight_micro: g.1, max_share_micro: g.2 }).collect();
            let others = limits.pop().unwrap();
            let trust = trust(&limits, others);
            let masses: Vec<f64> = groups.iter().map(|g| g.0).collect();
            let kept: Vec<f64> = trust.factors(&masses, prior).iter().zip(&masses).map(|(f, m)| f * m).collect();
            let total = prior + kept.iter().sum::<f64>();
            for (kept, (mass, weight, share)) in kept.iter().zip(&groups) {
                let expected = (mass * f64::from(*weight) / 1e6).min(total * f64::from(*share) / 1e6);
                prop_assert!((kept - expected).abs() <= 1e-6 * total, "{} is not {}, of {}", kept, expected, total);
            }
        }
    }
}
