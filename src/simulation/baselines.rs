//! What the router is compared with: textbook policies, one short type each. To add one: a type, its `Policy`, and a name in
//! [`Baseline::named`].

use rand::{Rng, RngExt as _};
use rand_distr::{Beta, Distribution as _};

/// A policy in a world of successes and failures.
pub trait Policy {
    /// The candidate to take at `step` (0 is the first).
    fn choose<R: Rng>(&mut self, step: u64, rng: &mut R) -> usize;
    /// What came of the candidate taken at `step`.
    fn learn(&mut self, step: u64, arm: usize, success: bool);
}

/// Successes and tries of one candidate.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    won: f64,
    tries: f64,
}

impl Tally {
    fn rate(self) -> f64 {
        self.won / self.tries
    }
}

/// A policy of the literature.
#[derive(Clone, Debug)]
pub struct Baseline {
    rule: Index,
    arms: Vec<Tally>,
    tries: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Index {
    Uniform,
    Always(usize),
    Thompson,
    Ucb1,
    KlUcb,
    EpsilonGreedy(f64),
}

impl Baseline {
    /// The policy of that name for `arms` candidates; `None`: there is none.
    ///
    /// `uniform`; `thompson` (Beta(1, 1), Thompson 1933); `ucb1` (Auer, Cesa-Bianchi and Fischer 2002); `klucb` (Garivier and
    /// Cappé 2011, c = 0); `epsilon_greedy` (ε = 0.05), `epsilon_greedy=ε`.
    #[must_use]
    pub fn named(name: &str, arms: usize) -> Option<Self> {
        let rule = match name {
            "uniform" => Index::Uniform,
            "thompson" => Index::Thompson,
            "ucb1" => Index::Ucb1,
            "klucb" => Index::KlUcb,
            "epsilon_greedy" => Index::EpsilonGreedy(0.05),
            _ => {
                let epsilon = name.strip_prefix("epsilon_greedy=")?.parse().ok()?;
                (0.0..=1.0).contains(&epsilon).then_some(Index::EpsilonGreedy(epsilon))?
            }
        };
        Some(Self::of(rule, arms))
    }

    /// Always the same candidate.
    #[must_use]
    pub fn always(arm: usize, arms: usize) -> Self {
        Self::of(Index::Always(arm), arms)
    }

    fn of(rule: Index, arms: usize) -> Self {
        Self { rule, arms: vec![Tally::default(); arms], tries: 0.0 }
    }

    /// The candidate to take among those offered; `None`: none is.
    pub fn choose_among<R: Rng>(&mut self, rng: &mut R, offered: impl Fn(usize) -> bool) -> Option<usize> {
        let any = |rng: &mut R| {
            let count = (0..self.arms.len()).filter(|arm| offered(*arm)).count();
            (count > 0)
                .then(|| rng.random_range(0..count))
                .and_then(|at| (0..self.arms.len()).filter(|a| offered(*a)).nth(at))
        };
        let arms = || self.arms.iter().enumerate().filter(|(arm, _)| offered(*arm));
        let untried = || arms().find(|(_, a)| a.tries == 0.0).map(|(arm, _)| arm);
        match self.rule {
            Index::Uniform => any(rng),
            Index::Always(arm) => offered(arm).then_some(arm),
            Index::Thompson => {
                // Drawn for every candidate, so that an offer does not change what is drawn.
                let draws = self.arms.iter().enumerate().map(|(arm, a)| {
                    let posterior = Beta::new(1.0 + a.won, 1.0 + a.tries - a.won);
                    (arm, posterior.map_or(0.5, |posterior| posterior.sample(rng)))
                });
                highest(draws.filter(|(arm, _)| offered(*arm)))
            }
            Index::Ucb1 => {
                let bonus = 2.0 * self.tries.ln();
                untried().or_else(|| highest(arms().map(|(arm, a)| (arm, a.rate() + (bonus / a.tries).sqrt()))))
            }
            Index::KlUcb => {
                let level = self.tries.ln();
                untried().or_else(|| highest(arms().map(|(arm, a)| (arm, upper(a.rate(), level / a.tries)))))
            }
            Index::EpsilonGreedy(epsilon) => {
                if rng.random::<f64>() < epsilon {
                    return any(rng);
                }
                untried().or_else(|| highest(arms().map(|(arm, a)| (arm, a.rate()))))
            }
        }
    }
}

impl Policy for Baseline {
    fn choose<R: Rng>(&mut self, _step: u64, rng: &mut R) -> usize {
        self.choose_among(rng, |_| true).unwrap_or(0)
    }

    fn learn(&mut self, _step: u64, arm: usize, success: bool) {
        self.arms[arm].tries += 1.0;
        self.arms[arm].won += f64::from(u8::from(success));
        self.tries += 1.0;
    }
}

/// The first of the highest.
fn highest(values: impl Iterator<Item = (usize, f64)>) -> Option<usize> {
    values.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(arm, _)| arm)
}

/// The largest q ≥ p with kl(p, q) ≤ `level`, to 1e-6, by bisection.
fn upper(p: f64, level: f64) -> f64 {
    let (mut low, mut high) = (p, 1.0);
    while high - low > 1e-6 {
        let middle = f64::midpoint(low, high);
        if kl(p, middle) <= level { low = middle } else { high = middle }
    }
    low
}

/// Kullback–Leibler divergence of two Bernoulli distributions in nats.
fn kl(p: f64, q: f64) -> f64 {
    let part = |a: f64, b: f64| if a <= 0.0 { 0.0 } else { a * (a / b).ln() };
    part(p, q) + part(1.0 - p, 1.0 - q)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_bound_of_kl_ucb_solves_its_equation() {
        for (p, level) in [(0.0, 0.1), (0.3, 0.05), (0.95, 0.01)] {
            let q = upper(p, level);
            assert!((kl(p, q) - level).abs() < 1e-4, "{p} {level}: {q}");
        }
        assert_eq!(upper(1.0, 0.1), 1.0);
    }
}
