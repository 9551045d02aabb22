//! Which stratum a request belongs to, by the few features that its task type declares.
//!
//! It exists so that what callers send is bounded before anything is learned of it: numbers are cut at declared edges, labels have
//! declared values, and whatever is missing or not declared has a place of its own. It refuses to know what follows from a stratum.

use std::collections::BTreeMap;

use super::names::Labels;

/// The most strata a task type may have: the product of the levels of its features.
pub const STRATA_MAX: usize = 64;

/// A stratum: a digest of what its declaration says, so that it means the same as long as that does, whatever becomes of the
/// others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stratum(pub u32);

impl Stratum {
    /// The task type has no features, or nobody knows.
    pub const NONE: Self = Self(0);

    fn of(text: &str) -> Self {
        let digest = blake3::derive_key("oddsmaker 2026 stratum", text.as_bytes());
        Self(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]).max(1))
    }
}

/// One thing that is known of a request before its call.
#[derive(Clone, Debug, PartialEq)]
pub enum Feature {
    /// A number the request sends under this name, cut at the edges.
    Number {
        /// Its name.
        name: String,
        /// Finite and rising; a value at an edge is above it.
        edges: Vec<f64>,
    },
    /// A label of the request (or its goal).
    Label {
        /// The label's key.
        key: String,
        /// The values told apart.
        values: Vec<String>,
    },
}

impl Feature {
    /// How many levels it has, the one for what is missing or not declared included.
    #[must_use]
    pub fn levels(&self) -> usize {
        match self {
            Self::Number { edges, .. } => edges.len() + 2,
            Self::Label { values, .. } => values.len() + 1,
        }
    }

    /// What the request calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Number { name, .. } => name,
            Self::Label { key, .. } => key,
        }
    }

    /// The level of a request; the last one where nothing (declared) is said.
    fn level(&self, numbers: &BTreeMap<String, f64>, labels: &Labels) -> usize {
        let found = match self {
            Self::Number { name, edges } => numbers.get(name).map(|x| edges.partition_point(|edge| edge <= x)),
            Self::Label { key, values } => labels.get(key).and_then(|value| values.iter().position(|v| v == value)),
        };
        found.unwrap_or(self.levels() - 1)
    }

    fn text(&self, level: usize) -> String {
        match self {
            Self::Number { name, edges } => {
                match (level.checked_sub(1).map(|below| edges.get(below)), edges.get(level)) {
                    (None, Some(above)) => format!("{name} < {above}"),
                    (Some(Some(below)), Some(above)) => format!("{below} <= {name} < {above}"),
                    (Some(Some(below)), None) => format!("{name} >= {below}"),
                    _ => format!("{name} not sent"),
                }
            }
            Self::Label { key, values } => match values.get(level) {
                Some(value) => format!("{key} = {value}"),
                None => format!("{key} other"),
            },
        }
    }
}

/// The features of a task type, and every stratum they make.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strata {
    features: Vec<Feature>,
    /// By level of the last feature, within it by that of the one before, and so on; empty without features.
    all: Vec<(Stratum, String)>,
}

impl Strata {
    /// The strata of `features`; `None` where there are more than [`STRATA_MAX`].
    #[must_use]
    pub fn new(features: Vec<Feature>) -> Option<Self> {
        let count = features.iter().try_fold(1_usize, |product, f| product.checked_mul(f.levels()))?;
        if count > STRATA_MAX {
            return None;
        }
        let text = |mut place: usize| {
            let level = |feature: &Feature| {
                let level = place % feature.levels();
                place /= feature.levels();
                feature.text(level)
            };
            features.iter().map(level).collect::<Vec<_>>().join(", ")
        };
        let texts = if features.is_empty() { Vec::new() } else { (0..count).map(text).collect() };
        Some(Self { features, all: texts.into_iter().map(|text| (Stratum::of(&text), text)).collect() })
    }

    /// The features, as declared.
    #[must_use]
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// Every stratum with what it says.
    #[must_use]
    pub fn all(&self) -> &[(Stratum, String)] {
        &self.all
    }

    /// The stratum of a request that sends these numbers and has these labels.
    #[must_use]
    pub fn of(&self, numbers: &BTreeMap<String, f64>, labels: &Labels) -> Stratum {
        let place = self.features.iter().rev().fold(0, |place, f| place * f.levels() + f.level(numbers, labels));
        self.all.get(place).map_or(Stratum::NONE, |s| s.0)
    }

    /// What a stratum says; `None`: the features declared have no such stratum.
    #[must_use]
    pub fn text(&self, stratum: Stratum) -> Option<&str> {
        self.all.iter().find(|s| s.0 == stratum).map(|s| s.1.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Vec<Feature> {
        let values = ["en", "de"].map(str::to_owned).to_vec();
        vec![
            Feature::Number { name: "difficulty".to_owned(), edges: vec![0.3, 0.6] },
            Feature::Label { key: "language".to_owned(), values },
        ]
    }

    fn said(strata: &Strata, difficulty: Option<f64>, language: Option<&str>) -> String {
        let numbers = difficulty.map(|d| ("difficulty".to_owned(), d)).into_iter().collect();
        let labels = language.map(|l| ("language".to_owned(), l.to_owned())).into_iter().collect();
        strata.text(strata.of(&numbers, &labels)).unwrap().to_owned()
    }

    #[test]
    fn every_request_has_its_stratum_whatever_it_leaves_out() {
        let strata = Strata::new(two()).unwrap();
        assert_eq!(strata.all().len(), 4 * 3);
        assert_eq!(said(&strata, Some(0.29), Some("en")), "difficulty < 0.3, language = en");
        assert_eq!(said(&strata, Some(0.3), Some("de")), "0.3 <= difficulty < 0.6, language = de");
        assert_eq!(said(&strata, Some(0.6), Some("fr")), "difficulty >= 0.6, language other");
        assert_eq!(said(&strata, Some(1e300), None), "difficulty >= 0.6, language other");
        assert_eq!(said(&strata, None, Some("en")), "difficulty not sent, language = en");
        assert_eq!(Strata::default().of(&BTreeMap::new(), &Labels::new()), Stratum::NONE);
    }

    #[test]
    fn strata_are_told_apart_and_keep_their_number_when_others_come() {
        let strata = Strata::new(two()).unwrap();
        let mut numbers: Vec<u32> = strata.all().iter().map(|s| s.0.0).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert!(numbers.len() == 12 && !numbers.contains(&0));
        let mut more = two();
        more[1] = Feature::Label { key: "language".to_owned(), values: ["fr", "en", "de"].map(str::to_owned).to_vec() };
        let more = Strata::new(more).unwrap();
        let kept = strata.all().iter().filter(|(_, text)| !text.contains("other"));
        assert!(kept.into_iter().all(|(stratum, text)| more.text(*stratum) == Some(text)));
    }

    #[test]
    fn there_are_sixty_four_at_most() {
        let number = |edges: u32| Feature::Number { name: "n".to_owned(), edges: (0..edges).map(f64::from).collect() };
        assert_eq!(Strata::new(vec![number(62)]).unwrap().all().len(), 64);
        assert!(Strata::new(vec![number(63)]).is_none());
        assert!(Strata::new(vec![number(6), number(6), number(0)]).is_none());
    }
}
