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
        let shown = |side: &str, value: Option<f64>| match value {
            Some(value) if side.parse::<f64>().is_ok() => value.to_string(),
            Some(value) => format!("{side} = {value}"),
            None => format!("{side} has no value"),
        };
        let say = || {
            format!(
                "{scenario}: `{}` does not hold: {}, {}",
                self.text,
                shown(self.left, left),
                shown(self.right, right)
            )
        };
        Ok((!holds).then(say))
    }

    /// A number, or the mean of a figure.
    fn side(&self, text: &str, figures: &dyn Figures) -> Result<Option<f64>, Failure> {
        if let Ok(number) = text.parse::<f64>() {
            return Ok(Some(number));
        }
        let (policy, figure) = match text.rsplit_once('.') {
            Some((policy, figure)) => (Some(policy), figure),
            None => (None, text),
        };
        let names = figures.policies();
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
        Ok(figures.figure(place, figure).mean)
    }
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
    fn what_is_no_condition_is_refused() {
        for wrong in ["", "router.regret", "< 3", "router.regret <", "router.regret = 3"] {
            assert!(Condition::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["nobody.regret < 3", "router.nothing < 3"] {
            assert!(Condition::parse(wrong).unwrap().broken("s", &Two).is_err(), "{wrong}");
        }
    }
}
