//! Policies as people write them, and back. It exists so that a setting that would have no effect is refused with its name
//! instead of passed over. It refuses to know what a policy does.

use std::fmt;
use std::str::FromStr;

use super::catalog::Objective;
use super::money::NanoUsd;
use super::policy::{Policy, Tuning};

impl Tuning {
    /// Reads settings as they are written, `key=value,key=value`.
    fn read(text: &str) -> Result<Self, String> {
        let mut tuning = Self::default();
        for pair in text.split(',') {
            let (key, value) = pair.split_once('=').ok_or(UNKNOWN)?;
            tuning.set(key.trim(), value.trim())?;
        }
        let objective = tuning.objective.map(|objective| objective == Objective::NetValue);
        let stray = match objective {
            Some(is_net) => tuning.stray(is_net).zip(Some(is_net)),
            // Whichever objective decided, one of both would be passed over.
            None => tuning.stray(true).and(tuning.stray(false)).zip(Some(false)),
        };
        match stray {
            Some((key, true)) => Err(format!("`{key}` has no effect under objective net_value; leave it out")),
            Some((key, false)) if objective.is_none() => {
                Err(format!("`{key}` is of objective net_value and `tolerance` of success; leave one of them out"))
            }
            Some((key, false)) => Err(format!("`{key}` has no effect under objective success; leave it out")),
            None => Ok(tuning),
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let fraction = || {
            let read = value.parse::<f64>().ok().filter(|x| (0.0..=1.0).contains(x));
            read.ok_or_else(|| format!("`{key}` is {value:?}; it is a number from 0 to 1"))
        };
        let dollars = || {
            let read = value.parse::<f64>().ok().filter(|x| (0.0..=1e6).contains(x));
            let read = read.and_then(|usd| NanoUsd::from_usd(usd).ok());
            read.ok_or_else(|| format!("`{key}` is {value:?}; it is an amount of dollars from 0 to 1000000"))
        };
        let said = match key {
            "tolerance" => self.tolerance.is_some(),
            "floor" | "exploration_floor" => self.floor.is_some(),
            "value_usd" => self.value.is_some(),
            "failure_cost_usd" => self.failure_cost.is_some(),
            "objective" => self.objective.is_some(),
            _ => return Err(UNKNOWN.to_owned()),
        };
        if said {
            return Err(format!("`{key}` is given twice"));
        }
        match key {
            "tolerance" => self.tolerance = Some(fraction()?),
            "floor" | "exploration_floor" => self.floor = Some(fraction()?),
            "value_usd" => self.value = Some(dollars()?),
            "failure_cost_usd" => self.failure_cost = Some(dollars()?),
            _ => {
                self.objective = Some(match value {
                    "success" => Objective::Success,
                    "net_value" => Objective::NetValue,
                    _ => return Err(format!("`objective` is {value:?}; it is success or net_value")),
                });
            }
        }
        Ok(())
    }
}

const UNKNOWN: &str = "is none of always:MODEL, allow:MODEL,MODEL, uniform, cheapest, best, or settings such as \
                       tolerance=0.02,floor=0.05 (tolerance, floor, objective, value_usd, failure_cost_usd)";

impl FromStr for Policy {
    type Err = String;

    /// Reads a policy as it is written.
    ///
    /// # Errors
    /// A sentence that says what would be one.
    fn from_str(text: &str) -> Result<Self, String> {
        let models = |names: &str| -> Result<Vec<String>, String> {
            let names: Vec<String> = names.split(',').map(|name| name.trim().to_owned()).collect();
            if names.iter().any(String::is_empty) { Err("names an empty model".to_owned()) } else { Ok(names) }
        };
        match text.split_once(':') {
            Some(("always", name)) if name.contains(',') => Err("`always` takes one model, `allow` several".to_owned()),
            Some(("always" | "allow", names)) => Ok(Self::Only(models(names)?)),
            _ => match text {
                "uniform" => Ok(Self::Uniform),
                "cheapest" => Ok(Self::Cheapest),
                "best" => Ok(Self::Best),
                _ => Ok(Self::Tuned(Tuning::read(text)?)),
            },
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only(models) => {
                let verb = if models.len() == 1 { "always" } else { "allow" };
                write!(f, "{verb}:{}", models.join(","))
            }
            Self::Uniform => f.write_str("uniform"),
            Self::Cheapest => f.write_str("cheapest"),
            Self::Best => f.write_str("best"),
            Self::Tuned(Tuning { tolerance, floor, objective, value, failure_cost }) => {
                let objective = objective.map(|o| if o == Objective::Success { "success" } else { "net_value" });
                let usd = |amount: &NanoUsd| amount.usd().to_string();
                let said = [
                    ("tolerance", tolerance.map(|x| x.to_string())),
                    ("floor", floor.map(|x| x.to_string())),
                    ("objective", objective.map(str::to_owned)),
                    ("value_usd", value.as_ref().map(usd)),
                    ("failure_cost_usd", failure_cost.as_ref().map(usd)),
                ];
                let said = said.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
                f.write_str(&said.collect::<Vec<_>>().join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_as_they_are_written() {
        for text in [
            "always:openai/gpt-4o",
            "allow:a/b,c/d",
            "uniform",
            "cheapest",
            "best",
            "tolerance=0.02,floor=0.05",
            "objective=net_value,value_usd=0.25,failure_cost_usd=1",
        ] {
            assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
        }
        assert_eq!("allow:a".parse::<Policy>().unwrap(), Policy::Only(vec!["a".to_owned()]));
        for wrong in [
            "",
            "worst",
            "always:",
            "always:a,b",
            "allow:a,,b",
            "tolerance=2",
            "tolerance=",
            "floor=x",
            "objective=cost",
            "value_usd=-1",
            "tolerance=NaN",
            "prior=1",
            "uniform=1",
        ] {
            assert!(wrong.parse::<Policy>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_would_have_no_effect_is_refused_by_name() {
        for (wrong, said) in [
            ("objective=success,value_usd=1", "`value_usd` has no effect under objective success; leave it out"),
            (
                "failure_cost_usd=1,objective=success",
                "`failure_cost_usd` has no effect under objective success; leave it out",
            ),
            ("objective=net_value,tolerance=0.1", "`tolerance` has no effect under objective net_value; leave it out"),
            (
                "tolerance=0.1,value_usd=1",
                "`value_usd` is of objective net_value and `tolerance` of success; leave one of them out",
            ),
            ("tolerance=0.1,floor=0.1,tolerance=0.2", "`tolerance` is given twice"),
            ("floor=0.1,exploration_floor=0.1", "`exploration_floor` is given twice"),
            ("objective=success,objective=success", "`objective` is given twice"),
        ] {
            assert_eq!(wrong.parse::<Policy>(), Err(said.to_owned()), "{wrong}");
        }
    }
}
