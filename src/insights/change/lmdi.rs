//! The arithmetic of the split: the logarithmic mean, and rounding that keeps sums. It knows numbers only.

use std::cmp::Ordering;

/// Factors of a product.
pub(super) const FACTORS: usize = 6;

/// The logarithmic mean of two numbers above 0: (a − b) ÷ ln(a ÷ b), and a where they are equal. Lies between them
/// (Ang 2005, equation 5). Precise where they are close, too.
pub(super) fn log_mean(a: f64, b: f64) -> f64 {
    let (small, large) = (a.min(b), a.max(b));
    let log = ((large - small) / small).ln_1p();
    if log == 0.0 { a } else { (large - small) / log }
}

/// What each factor contributed to the change of a product from `before` to `after`, both above 0 and the product of
/// their factors, all above 0 (Ang 2005, equation 3). Sums to the change but for the last digits.
pub(super) fn contributions(
    before: f64,
    after: f64,
    factors_before: &[f64; FACTORS],
    factors_after: &[f64; FACTORS],
) -> [f64; FACTORS] {
    let weight = log_mean(after, before);
    std::array::from_fn(|i| weight * (factors_after[i] / factors_before[i]).ln())
}

/// Rounds to integers that sum to `total` (largest remainder): everything is rounded down, and what is missing goes one
/// each to those that lost most, the earlier first. What is left beyond that, because the numbers are too large to be
/// exact or do not sum to `total`, goes to the largest in size. Exact zeros stay zero while any other number is there.
pub(super) fn apportion(total: i128, exact: &[f64]) -> Vec<i128> {
    let mut whole: Vec<i128> = exact.iter().map(|x| x.floor() as i128).collect();
    let mut left = total - whole.iter().sum::<i128>();
    let lost = |i: usize| exact[i] - exact[i].floor();
    let mut order: Vec<usize> = (0..exact.len()).filter(|i| lost(*i) > 0.0).collect();
    order.sort_by(|a, b| lost(*b).partial_cmp(&lost(*a)).unwrap_or(Ordering::Equal).then(a.cmp(b)));
    for i in order {
        if left > 0 {
            whole[i] += 1;
            left -= 1;
        }
    }
    let size = |i: &usize| exact[*i].abs();
    let larger = |a: &usize, b: &usize| size(a).partial_cmp(&size(b)).unwrap_or(Ordering::Equal).then(b.cmp(a));
    if let Some(largest) = (0..exact.len()).max_by(larger) {
        whole[largest] += left;
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithmic_mean_by_hand() {
        // (2 − 1) ÷ ln 2 = log₂ e, and (8 − 2) ÷ ln 4.
        assert!((log_mean(2.0, 1.0) - std::f64::consts::LOG2_E).abs() < 1e-15);
        assert!((log_mean(8.0, 2.0) - 4.328_085_122_666_891).abs() < 1e-14);
        assert_eq!(log_mean(3.0, 8.0), log_mean(8.0, 3.0));
        assert_eq!(log_mean(5.0, 5.0), 5.0);
        assert_eq!(log_mean(1.0, 1e18), log_mean(1e18, 1.0));
        assert!((log_mean(1.0, 1e18) / (1e18 / 1e18_f64.ln()) - 1.0).abs() < 1e-15);
        // Close numbers: nearly their middle.
        assert!((log_mean(1e15 + 2.0, 1e15) - (1e15 + 1.0)).abs() <= 0.25);
    }

    #[test]
    fn rounding_keeps_the_sum_and_zeros() {
        assert_eq!(apportion(10, &[3.4, 0.0, 6.6]), [3, 0, 7]);
        assert_eq!(apportion(1, &[0.5, 0.5]), [1, 0]);
        assert_eq!(apportion(-1, &[-0.5, -0.5]), [0, -1]);
        assert_eq!(apportion(0, &[-2.5, 2.5]), [-2, 2]);
        assert_eq!(apportion(7, &[0.0, 4.0]), [0, 7]);
        assert_eq!(apportion(-3, &[0.0, -1.0, 0.0]), [0, -3, 0]);
        assert_eq!(apportion(0, &[]), [0_i128; 0]);
    }
}
