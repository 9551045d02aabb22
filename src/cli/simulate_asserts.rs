//! Conditions on what policies come to: `router.cost_per_success < 0.02`. Pipelines ask them. It refuses to know how figures come
//! about.

use super::failure::Failure;
use crate::simulation::figures::{FIGURES, Figure, Summary};

/// What policies came to: the mean over the runs of a figure of a policy.
pub(super) trait Figures {
    /// Names of the policies, in order.
    fn policies(&self) -> Vec<&str>;
    /// A figure of the policy at a place.
    fn figure(&self, policy: usize, figure: &Figure) -> Summary;
}

/// A condition as typed.
#[derive(Clone, Debug)]
pub(super) struct Condition<'t> {
    text: &'t str,
    left: &'t str,
    comparison: Comparison,
    right: &'t str,
}

/// One side of a condition.
enum Side {
    Number(f64),
    /// The place of a policy, and which of its figures.
    Figure(usize, &'static Figure),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
}

/// Those of two signs first, because they begin like the others.
const COMPARISONS: [(&str, Comparison); 4] = [
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::MoreOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::More),
];

impl<'t> Condition<'t> {
    /// # Errors
    /// It is no condition.
    pub(super) fn parse(text: &'t str) -> Result<Self, Failure> {
        let found =
            COMPARISONS.iter().find_map(|(sign, c)| text.split_once(sign).map(|(l, r)| (l.trim(), *c, r.trim())));
        match found {
            Some((left, comparison, right)) if !left.is_empty() && !right.is_empty() => {
                Ok(Self { text, left, comparison, right })
            }
            _ => Err(Failure::Usage(format!(
                "`{text}` is no condition such as `router.cost_per_success < 0.02`: <, <=, > and >= are known"
            ))),
        }
    }

    /// `None` where it holds, else a sentence that says what is instead.
    ///
    /// # Errors
    /// It names a policy or figure that does not exist.
    pub(super) fn broken(&self, scenario: &str, figures: &dyn Figures) -> Result<Option<String>, Failure> {
        let (left, right) = (self.side(self.left, figures)?, self.side(self.right, figures)?);
        let holds = left.zip(right).is_some_and(|(left, right)| match self.comparison {
            Comparison::Less => left < right,
            Comparison::LessOrEqual => left <= right,
            Comparison::More => left > right,
            Comparison::MoreOrEqual => left >= right,
        });
        let shown = |side: &str, value: Option<f64>, other: Option<f64>| match value {
            Some(value) if side.parse::<f64>().is_ok() => value.to_string(),
            Some(value) => format!("{side} = {}", short(value, other)),
            None => format!("{side} has no value"),
        };
        let say = || {
            format!(
                "{scenario}: `{}` does not hold: {}, {}",
                self.text,
                shown(self.left, left, right),
                shown(self.right, right, left)
            )
        };
        Ok((!holds).then(say))
    }

    /// Whether all it names exists, for who would rather know before anything is played.
    ///
    /// # Errors
    /// It names a policy or figure that does not exist.
    pub(super) fn check(&self, policies: &[&str]) -> Result<(), Failure> {
        [self.left, self.right].into_iter().try_for_each(|side| self.meant(side, policies).map(drop))
    }

    /// A number, or the mean of a figure.
    fn side(&self, text: &str, figures: &dyn Figures) -> Result<Option<f64>, Failure> {
        Ok(match self.meant(text, &figures.policies())? {
            Side::Number(number) => Some(number),
            Side::Figure(place, figure) => figures.figure(place, figure).mean,
        })
    }

    /// What a side means, of these policies.
    fn meant(&self, text: &str, names: &[&str]) -> Result<Side, Failure> {
        if let Ok(number) = text.parse::<f64>() {
            return Ok(Side::Number(number));
        }
        let (policy, figure) = match text.rsplit_once('.') {
            Some((policy, figure)) => (Some(policy), figure),
            None => (None, text),
        };
        let Some(place) = policy.map_or(Some(0), |wanted| names.iter().position(|name| *name == wanted)) else {
            let (wanted, known) = (policy.unwrap_or_default(), names.join(", "));
            return Err(Failure::Usage(format!("`{}`: no policy `{wanted}`: there are {known}", self.text)));
        };
        let Some(figure) = Figure::named(figure) else {
            let known: Vec<&str> = FIGURES.iter().map(|f| f.name).collect();
            return Err(Failure::Usage(format!(
                "`{}`: no figure `{figure}`: there are {}",
                self.text,
                known.join(", ")
            )));
        };
        Ok(Side::Figure(place, figure))
    }
}

/// A figure as people read it: to four digits that count, unless more are needed to tell it from the `other`.
fn short(value: f64, other: Option<f64>) -> f64 {
    let to_four = |value: f64| format!("{value:.3e}").parse().unwrap_or(value);
    let alike = other.is_some_and(|other| other != value && to_four(other) == to_four(value));
    if alike { value } else { to_four(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two;

    impl Figures for Two {
        fn policies(&self) -> Vec<&str> {
            vec!["router", "always=openai/gpt-4.1"]
        }
        fn figure(&self, policy: usize, figure: &Figure) -> Summary {
            let mean = (figure.name != "accepted_rate").then_some([0.02, 0.05][policy]);
            Summary { mean, low: None, high: None }
        }
    }

    fn broken(text: &str) -> Option<String> {
        Condition::parse(text).unwrap().broken("s", &Two).unwrap()
    }

    #[test]
    fn conditions_hold_or_say_what_is() {
        for holds in [
            "cost_per_success <= 0.02",
            "router.cost_per_success<0.03",
            "router.regret < always=openai/gpt-4.1.regret",
            "0.05 >= always=openai/gpt-4.1.success_rate",
        ] {
            assert_eq!(broken(holds), None, "{holds}");
        }
        let said = "s: `router.regret > 0.5` does not hold: router.regret = 0.02, 0.5";
        assert_eq!(broken("router.regret > 0.5").as_deref(), Some(said));
        assert!(broken("accepted_rate > 0").unwrap().contains("accepted_rate has no value"));
    }

    #[test]
    fn figures_are_short_unless_that_would_hide_why() {
        assert_eq!([short(0.857_323_482, Some(0.9)), short(12_345.678, None)], [0.8573, 12_350.0]);
        assert_eq!(short(0.899_999_9, Some(0.9)), 0.899_999_9);
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for wrong in ["", "router.regret", "< 3", "router.regret <", "router.regret = 3"] {
            assert!(Condition::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["nobody.regret < 3", "router.nothing < 3"] {
            let condition = Condition::parse(wrong).unwrap();
            assert!(condition.broken("s", &Two).is_err() && condition.check(&Two.policies()).is_err(), "{wrong}");
        }
    }
}
