//! Chance that belongs to a place instead of an order: what is drawn for a call does not depend on what was drawn before,
//! so that all policies meet the same world. It refuses to know what is drawn.

use rand_distr::{Distribution as _, StandardNormal};

use crate::domain::draw::decision_rng;

/// The generator of the published problems: a splitmix64 finaliser over seed, repetition, step and candidate, to 53 bits in
/// [0, 1).
#[must_use]
#[inline]
pub fn uniform(seed: u64, rep: u64, step: u64, arm: usize) -> f64 {
    (place(seed, rep, step, arm) >> 11) as f64 * 2f64.powi(-53)
}

/// The 64 bits it is made of.
#[must_use]
#[inline]
pub fn place(seed: u64, rep: u64, step: u64, arm: usize) -> u64 {
    const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
    let stir = |hash: u64, by: u64| mix(hash.wrapping_add(GAMMA.wrapping_mul(by.wrapping_add(1))));
    stir(stir(stir(seed, rep), step), arm as u64)
}

#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A positive quantity with a mean, spread log-normally.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// Its mean; ≥ 0.
    pub mean: f64,
    /// Standard deviation of its logarithm; 0: always the mean.
    pub sigma: f64,
}

impl Spread {
    /// The quantity where the standard normal draw is `z`: mean·exp(σz − σ²/2), whose mean is `mean`.
    #[must_use]
    #[inline]
    pub fn at(self, z: f64) -> f64 {
        if self.sigma == 0.0 { self.mean } else { self.mean * (self.sigma * z - self.sigma * self.sigma / 2.0).exp() }
    }
}

/// `N` standard normal draws of one place.
#[must_use]
pub fn normals<const N: usize>(seed: u64, at: u64) -> [f64; N] {
    let mut rng = decision_rng(seed, at);
    std::array::from_fn(|_| StandardNormal.sample(&mut rng))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_keeps_its_mean() {
        let spread = Spread { mean: 300.0, sigma: 0.6 };
        let mean = (0..200_000).map(|n| spread.at(normals::<1>(3, n)[0])).sum::<f64>() / 200_000.0;
        // The standard error is 300·√(e^0.36 − 1)/√200,000 = 0.44.
        assert!((mean - 300.0).abs() < 2.0, "{mean}");
        assert_eq!(Spread { mean: 7.0, sigma: 0.0 }.at(3.0), 7.0);
    }
}
