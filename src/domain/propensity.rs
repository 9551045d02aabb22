//! With what probability each eligible candidate would have been chosen: the integral behind the draw.
//!
//! It exists for off-policy evaluation and for explaining a decision. It is computed when somebody asks, never while
//! a decision is made. It refuses to know the task, the ledger and the filters; [`crate::domain::choose`] holds the rule
//! whose probabilities these are.
//!
//! Every integral runs over the log-odds of the best draw, in cells bounded by the grid nodes of *all* candidates
//! (moved by the tolerance where the integrand looks there), with two Gauss–Legendre points in each. So a narrow posterior
//! beside a wide one, and a posterior heaped at 0 or 1, are met where they are; a fixed rule misses them.

use std::ops::Range;

use crate::domain::beta::{Beta, BetaGrid, gauss_legendre_2, log_odds, logistic, shifted};

/// Every second grid node bounds a cell: 48 cells for one candidate of 96 nodes.
const STRIDE: usize = 2;

/// From these log-odds on, ln 2⁵³, a draw is rounded to 1: two such draws tie.
const ROUNDS_TO_ONE: f64 = 53.0 * std::f64::consts::LN_2;

/// Stakes below this many dollars are computed as if they stood there: the cost decides, equal costs go to the higher draw.
const LEAST_STAKE_USD: f64 = 1e-12;

/// Probabilities that [`choose_with_tolerance`](crate::domain::choose::choose_with_tolerance) chooses each arm, for arms in rising order of cost.
/// Equal costs cannot be said here: of two arms within the tolerance the earlier wins. [`propensities_by_cost`] can.
///
/// With F and f the distribution function and density of an arm, ε the `tolerance`:
/// π_i = Σ_{m ≥ i} ∫ f_m(x) · Π_{j<i} F_j(x−ε) · \[i = m ? 1 : F_i(x) − F_i(x−ε)\] · Π_{j>i, j≠m} F_j(x) dx.
/// For ε = 0 it is the probability of the highest draw. The result sums to 1; before it is scaled to that the sum is within 10⁻⁵ of it
/// (3·10⁻⁵ at shapes of 0.03).
#[must_use]
pub fn propensities(arms_in_rising_cost: &[Beta], tolerance: f64) -> Vec<f64> {
    let groups: Vec<Range<usize>> = (0..arms_in_rising_cost.len()).map(|arm| arm..arm + 1).collect();
    normalised(TolerancePlan::new(arms_in_rising_cost, &groups, tolerance).integrate())
}

/// [`propensities`] for arms in any order with their expected costs (`None`: unknown, dearest), in the order given.
///
/// Among arms of equal cost the higher draw wins, then the one that stands earlier, as in
/// [`choose_with_tolerance`](crate::domain::choose::choose_with_tolerance). For a group g of equal cost the bracket of the formula becomes the probability that
/// i is the highest of its group within (x−ε, x]: H_i(x) − H_i(x−ε), H_i(x) = ∫₀ˣ f_i · Π_{j∈g, j≠i} F_j.
#[must_use]
pub fn propensities_by_cost(arms: &[(Beta, Option<u64>)], tolerance: f64) -> Vec<f64> {
    let cost = |arm: usize| (arms[arm].1.is_none(), arms[arm].1);
    let mut order: Vec<usize> = (0..arms.len()).collect();
    order.sort_by_key(|&arm| cost(arm));
    let sorted: Vec<Beta> = order.iter().map(|&arm| arms[arm].0).collect();
    let mut groups: Vec<Range<usize>> = Vec::new();
    for place in 0..order.len() {
        match groups.last_mut() {
            Some(group) if cost(order[group.start]) == cost(order[place]) => group.end = place + 1,
            _ => groups.push(place..place + 1),
        }
    }
    let mut result = vec![0.0; arms.len()];
    let found = normalised(TolerancePlan::new(&sorted, &groups, tolerance).integrate());
    for (place, probability) in found.into_iter().enumerate() {
        result[order[place]] = probability;
    }
    result
}

/// Probabilities with the exploration floor: (1 − `eta`)·π + `eta`/K, for `eta` in [0, 1].
#[must_use]
pub fn with_floor(pi: &[f64], eta: f64) -> Vec<f64> {
    let share = eta / pi.len() as f64;
    pi.iter().map(|probability| (1.0 - eta) * probability + share).collect()
}

/// Probabilities that each arm has the highest θ·(V + L) + offset, for (posterior, V + L, offset = −L − c), in dollars.
///
/// π_i = ∫ f_i(x) · Π_{j≠i} F_j((u_i(x) − offset_j) / (V + L)_j) dx with u_i(x) = x·(V + L)_i + offset_i. Equal values go to the higher draw,
/// then to the arm that stands earlier, as in [`choose_net_value`](crate::domain::choose::choose_net_value).
/// Arms of unknown cost never win beside a known one: leave them out (π = 0), or, if all are unknown, give every arm the offset 0.
///
/// # Panics
/// If V + L is negative or a number is not finite, a programmer's error (`INV-PROPENSITY-1`).
#[must_use]
pub fn net_value_propensities(arms: &[(Beta, f64, f64)]) -> Vec<f64> {
    let stakes: Vec<Stake> =
        arms.iter().map(|&(posterior, stake, offset)| Stake::new(posterior, stake, offset)).collect();
    normalised((0..stakes.len()).map(|arm| net_value_mass(&stakes, arm)).collect())
}

/// Scales to a sum of 1. A sum of 0 (no arms) is left alone.
fn normalised(mut masses: Vec<f64>) -> Vec<f64> {
    let total: f64 = masses.iter().sum();
    if total > 0.0 {
        masses.iter_mut().for_each(|mass| *mass /= total);
    }
    masses
}

/// Everything the tolerance rule is integrated over.
struct TolerancePlan<'a> {
    grids: Vec<BetaGrid>,
    groups: &'a [Range<usize>],
    tolerance: f64,
    /// Cell bounds in log-odds, rising.
    edges: Vec<f64>,
}

impl<'a> TolerancePlan<'a> {
    fn new(arms: &[Beta], groups: &'a [Range<usize>], tolerance: f64) -> Self {
        Self::with_grids(arms.iter().map(|&arm| BetaGrid::new(arm)).collect(), groups, tolerance)
    }

    fn with_grids(grids: Vec<BetaGrid>, groups: &'a [Range<usize>], tolerance: f64) -> Self {
        // Below the highest of the lower ends somebody is certainly above: nothing is won there. The sub-distributions H of
        // equal-cost groups do need that part.
        let grouped = tolerance > 0.0 && groups.iter().any(|group| group.len() > 1);
        let lowest =
            if grouped { f64::NEG_INFINITY } else { highest_lower_end(grids.iter().map(|grid| grid.node_log_odds(0))) };
        let nodes =
            grids.iter().flat_map(|grid| (0..grid.node_count()).step_by(STRIDE).map(|index| grid.node_log_odds(index)));
        let mut edges: Vec<f64> = nodes.clone().collect();
        if tolerance > 0.0 {
            edges.extend(nodes.map(|z| shifted(z, tolerance)));
        }
        bound(&mut edges, lowest);
        Self { grids, groups, tolerance, edges }
    }

    /// The log-odds of x − ε. At ε = 0 it is "strictly below x": draws that round to 1 tie.
    fn below(&self, z: f64) -> f64 {
        if self.tolerance > 0.0 { shifted(z, -self.tolerance) } else { z.min(ROUNDS_TO_ONE) }
    }

    /// π_i before scaling.
    fn integrate(&self) -> Vec<f64> {
        let arms = self.grids.len();
        let tables: Vec<Option<GroupTable>> = self.groups.iter().map(|group| self.group_table(group)).collect();
        let mut result = vec![0.0; arms];
        let (mut at, mut under) = (vec![(0.0, 0.0); arms], vec![0.0; arms]);
        for cell in self.edges.windows(2) {
            for (z, weight) in gauss_legendre_2(cell[0], cell[1]) {
                let below = self.below(z);
                for arm in 0..arms {
                    at[arm] = self.grids[arm].at_log_odds(z);
                    under[arm] = if below == z { at[arm].0 } else { self.grids[arm].cdf_at_log_odds(below) };
                }
                self.add_point(z, weight, &at, &under, &tables, &mut result);
            }
        }
        result
    }

    /// Adds one point: for every group g, Π over cheaper groups of F(x−ε), times (the best is in g) + (the best is dearer).
    ///
    /// Going from the dearest group down, `all_below` = Π F_j(x) and `best_among` = Σ_m f_m Π_{j≠m} F_j(x) over the dearer arms.
    fn add_point(
        &self,
        z: f64,
        weight: f64,
        at: &[(f64, f64)],
        under: &[f64],
        tables: &[Option<GroupTable>],
        result: &mut [f64],
    ) {
        let mut cheaper_under: f64 = under.iter().product();
        let (mut all_below, mut best_among) = (1.0, 0.0);
        for (group, table) in self.groups.iter().zip(tables).rev() {
            // A quotient would be 0/0 where an arm lies wholly above: multiply afresh then.
            let own: f64 = under[group.clone()].iter().product();
            cheaper_under = if own > 0.0 { cheaper_under / own } else { under[..group.start].iter().product() };
            let mut group_below = 1.0;
            let mut group_best = 0.0;
            for arm in group.clone() {
                let others = product_of_others(group, arm, |other| {
                    if self.tolerance == 0.0 && other < arm { under[other] } else { at[other].0 }
                });
                let own_best = at[arm].1 * others;
                let within = match table {
                    Some(table) => table.between(&self.edges, arm - group.start, self.below(z), z),
                    None if group.len() == 1 => at[arm].0 - under[arm],
                    None => 0.0,
                };
                result[arm] += weight * cheaper_under * (own_best * all_below + within * best_among);
                group_below *= at[arm].0;
                group_best += own_best;
            }
            best_among = best_among * group_below + group_best * all_below;
            all_below *= group_below;
        }
    }

    /// H of every member of a group of equal cost; `None` where it is not needed.
    fn group_table(&self, group: &Range<usize>) -> Option<GroupTable> {
        let needed = self.tolerance > 0.0 && group.len() > 1 && group.end < self.grids.len();
        needed.then(|| {
            let density = |arm: usize, z: f64| {
                self.grids[arm].at_log_odds(z).1
                    * product_of_others(group, arm, |other| self.grids[other].cdf_at_log_odds(z))
            };
            let members = group.clone().map(|arm| {
                let mut sum = 0.0;
                let mut rows = Vec::with_capacity(self.edges.len());
                for (place, &edge) in self.edges.iter().enumerate() {
                    if place > 0 {
                        let points = gauss_legendre_2(self.edges[place - 1], edge);
                        sum += points.iter().map(|&(z, weight)| weight * density(arm, z)).sum::<f64>();
                    }
                    rows.push((sum, density(arm, edge)));
                }
                rows
            });
            GroupTable { members: members.collect() }
        })
    }
}

/// (H, its slope) of every member of one group at every edge.
struct GroupTable {
    members: Vec<Vec<(f64, f64)>>,
}

impl GroupTable {
    /// H(high) − H(low) of `member`, at least 0.
    fn between(&self, edges: &[f64], member: usize, low: f64, high: f64) -> f64 {
        (self.value(edges, member, high) - self.value(edges, member, low)).max(0.0)
    }

    /// The cubic Hermite polynomial of the cell.
    fn value(&self, edges: &[f64], member: usize, z: f64) -> f64 {
        let rows = &self.members[member];
        let right = edges.partition_point(|&edge| edge < z);
        if right == 0 {
            return 0.0;
        }
        if right == edges.len() {
            return rows[right - 1].0;
        }
        let ((v0, d0), (v1, d1)) = (rows[right - 1], rows[right]);
        let width = edges[right] - edges[right - 1];
        let s = (z - edges[right - 1]) / width;
        let (c2, c3) = (3.0 * (v1 - v0) - width * (2.0 * d0 + d1), 2.0 * (v0 - v1) + width * (d0 + d1));
        v0 + s * (width * d0 + s * (c2 + s * c3))
    }
}

fn product_of_others(group: &Range<usize>, arm: usize, factor: impl Fn(usize) -> f64) -> f64 {
    group.clone().filter(|&other| other != arm).map(factor).product()
}

/// Makes cell bounds of nodes: from `lowest` on, rising, and with one where ties at 1 begin if any cell reaches that far.
fn bound(edges: &mut Vec<f64>, lowest: f64) {
    if edges.iter().any(|z| *z > ROUNDS_TO_ONE) {
        edges.push(ROUNDS_TO_ONE);
    }
    edges.retain(|z| z.is_finite() && *z >= lowest);
    edges.sort_unstable_by(f64::total_cmp);
}

fn highest_lower_end(ends: impl Iterator<Item = f64>) -> f64 {
    ends.fold(f64::NEG_INFINITY, f64::max)
}

/// One arm of the net-value rule.
struct Stake {
    grid: BetaGrid,
    stake_usd: f64,
    offset_usd: f64,
}

impl Stake {
    fn new(posterior: Beta, stake_usd: f64, offset_usd: f64) -> Self {
        let valid = stake_usd.is_finite() && stake_usd >= 0.0 && offset_usd.is_finite();
        assert!(valid, "INV-PROPENSITY-1: stakes are finite and not negative, offsets finite");
        Self { grid: BetaGrid::new(posterior), stake_usd: stake_usd.max(LEAST_STAKE_USD), offset_usd }
    }

    /// The log-odds of this arm that are worth as much as the log-odds `z` of `other`.
    fn log_odds_worth(&self, other: &Self, z: f64) -> f64 {
        if self.same_terms(other) {
            return z;
        }
        let ahead = other.offset_usd - self.offset_usd;
        let rate = (ahead + other.stake_usd * logistic(z)) / self.stake_usd;
        let complement = (self.stake_usd - other.stake_usd - ahead + other.stake_usd * logistic(-z)) / self.stake_usd;
        log_odds(rate, complement)
    }

    /// With the same stake and offset the draws themselves are compared, to the last digit.
    fn same_terms(&self, other: &Self) -> bool {
        self.stake_usd == other.stake_usd && self.offset_usd == other.offset_usd
    }
}

/// P(arm `own` has the highest value), before scaling.
fn net_value_mass(stakes: &[Stake], own: usize) -> f64 {
    let arm = &stakes[own];
    let lowest = highest_lower_end(stakes.iter().map(|other| arm.log_odds_worth(other, other.grid.node_log_odds(0))));
    let mut edges: Vec<f64> = Vec::new();
    for other in stakes {
        let nodes = (0..other.grid.node_count()).step_by(STRIDE);
        edges.extend(nodes.map(|index| arm.log_odds_worth(other, other.grid.node_log_odds(index))));
    }
    bound(&mut edges, lowest);
    let mut sum = 0.0;
    for cell in edges.windows(2) {
        for (z, weight) in gauss_legendre_2(cell[0], cell[1]) {
            let mut term = weight * arm.grid.at_log_odds(z).1;
            for (place, other) in stakes.iter().enumerate() {
                if place == own || term == 0.0 {
                    continue;
                }
                let tie_at_one = z > ROUNDS_TO_ONE && other.same_terms(arm);
                let worth = match (tie_at_one, place < own) {
                    (true, true) => ROUNDS_TO_ONE,
                    (true, false) => f64::INFINITY,
                    (false, _) => other.log_odds_worth(arm, z),
                };
                term *= other.grid.cdf_at_log_odds(worth);
            }
            sum += term;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::choose::{Contender, Rule, choose};
    use crate::domain::draw::{decision_rng, draw_beta};

    fn beta(alpha: f64, beta: f64) -> Beta {
        Beta::new(alpha, beta).unwrap()
    }

    fn betas(shapes: &[(f64, f64)]) -> Vec<Beta> {
        shapes.iter().map(|&(a, b)| beta(a, b)).collect()
    }

    /// Posteriors in rising cost: alike, apart, wide beside narrow, huge, below one.
    fn settings() -> Vec<Vec<Beta>> {
        vec![
            betas(&[(1.0, 1.0)]),
            betas(&[(1.0, 1.0), (1.0, 1.0), (1.0, 1.0)]),
            betas(&[(97.0, 3.0), (98.0, 2.0)]),
            betas(&[(20.0, 6.0), (50.0, 10.0), (93.0, 7.0), (900.0, 70.0), (3.0, 1.0)]),
            betas(&[(9.5e6, 5e5), (2.0, 1.0), (950.0, 50.0)]),
            betas(&[(6e8, 4e8), (6.000_1e8, 3.999_9e8), (600.0, 400.0)]),
            betas(&[(0.5, 0.5), (0.3, 0.2), (5.0, 5.0)]),
            betas(&[(0.05, 0.2), (0.2, 0.1), (0.5, 1.0), (40.0, 60.0)]),
            betas(&[(0.05, 0.03), (0.05, 0.03)]),
            betas(&[(6e8, 4e8), (6.000_1e8, 3.999_9e8), (5.999_5e8, 4.000_5e8)]),
            (0..10).map(|arm| beta(50.0 + 10.0 * f64::from(arm), 5.0 + f64::from(arm))).collect(),
        ]
    }

    fn assert_close(found: &[f64], expected: &[f64], error: f64, what: &str) {
        for (place, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!((a - b).abs() <= error, "{what}, arm {place}: {a} for {b}");
        }
        assert_eq!(found.len(), expected.len());
    }

    /// The formula as it is written, over the nodes of the best arm's own grid of 2,048.
    fn as_written(arms: &[Beta], tolerance: f64) -> Vec<f64> {
        let grids: Vec<BetaGrid> = arms.iter().map(|&arm| BetaGrid::with_nodes(arm, 2048)).collect();
        let term = |i: usize, m: usize, z: f64| {
            let (at, below) = (z, shifted(z, -tolerance));
            let mut product = grids[m].at_log_odds(z).1;
            for (j, grid) in grids.iter().enumerate() {
                product *= match j {
                    _ if j < i => grid.cdf_at_log_odds(below),
                    _ if j == m => 1.0,
                    _ if j == i => grid.cdf_at_log_odds(at) - grid.cdf_at_log_odds(below),
                    _ => grid.cdf_at_log_odds(at),
                };
            }
            product
        };
        let one = |i: usize| {
            (i..arms.len())
                .map(|m| {
                    let z = |node: usize| grids[m].node_log_odds(node);
                    (1..2048)
                        .map(|node| (z(node) - z(node - 1)) * term(i, m, 0.5 * (z(node) + z(node - 1))))
                        .sum::<f64>()
                })
                .sum()
        };
        (0..arms.len()).map(one).collect()
    }

    fn by_drawing(arms: &[(Beta, Option<u64>)], rule: Rule, draws: u64, seed: u64) -> Vec<f64> {
        let mut counts = vec![0u64; arms.len()];
        let mut rng = decision_rng(seed, 0);
        let mut eligible: Vec<Contender> = Vec::new();
        for _ in 0..draws {
            eligible.clear();
            eligible.extend(arms.iter().enumerate().map(|(index, &(posterior, expected_cost_nano))| Contender {
                index,
                theta: draw_beta(&mut rng, posterior),
                expected_cost_nano,
            }));
            counts[choose(&eligible, rule).unwrap()] += 1;
        }
        counts.iter().map(|&count| count as f64 / draws as f64).collect()
    }

    /// Within four standard errors of the share that `draws` draws give.
    fn assert_drawn(found: &[f64], drawn: &[f64], draws: u64, what: &str) {
        for (place, (p, share)) in found.iter().zip(drawn).enumerate() {
            let error = 4.0 * (p * (1.0 - p) / draws as f64).sqrt() + 4.0 / draws as f64;
            assert!((p - share).abs() <= error, "{what}, arm {place}: {p}, drawn {share}");
        }
    }

    const SEED: u64 = 1933;

    /// Two million draws in an optimised build; fewer where they are slow.
    const DRAWS: u64 = if cfg!(debug_assertions) { 60_000 } else { 2_000_000 };

    #[test]
    fn no_arm_and_one_arm() {
        assert_eq!(propensities(&[], 0.01), Vec::<f64>::new());
        assert_eq!(propensities(&betas(&[(3.0, 2.0)]), 0.01), [1.0]);
        assert_eq!(net_value_propensities(&[(beta(3.0, 2.0), 1.0, -0.1)]), [1.0]);
    }

    #[test]
    fn closed_forms() {
        // Equal arms without tolerance share equally.
        assert_close(&propensities(&betas(&[(7.0, 3.0); 4]), 0.0), &[0.25; 4], 1e-6, "equal");
        // Two uniform draws: the dearer wins only if it is more than ε above: (1 − ε)² / 2.
        for tolerance in [0.0, 0.01, 0.2, 1.0] {
            let dearer = (1.0 - tolerance) * (1.0 - tolerance) / 2.0;
            let found = propensities(&betas(&[(1.0, 1.0), (1.0, 1.0)]), tolerance);
            assert_close(&found, &[1.0 - dearer, dearer], 1e-5, &format!("uniform, {tolerance}"));
        }
        // P(Beta(2,1) > uniform) = 2/3.
        assert_close(&propensities(&betas(&[(1.0, 1.0), (2.0, 1.0)]), 0.0), &[1.0 / 3.0, 2.0 / 3.0], 1e-6, "power");
    }

    #[test]
    fn sums_to_one_before_scaling() {
        let mut worst = 0.0f64;
        for arms in settings() {
            let groups: Vec<Range<usize>> = (0..arms.len()).map(|arm| arm..arm + 1).collect();
            for tolerance in [0.0, 0.01, 0.05] {
                let total: f64 = TolerancePlan::new(&arms, &groups, tolerance).integrate().iter().sum();
                worst = worst.max((total - 1.0).abs());
                println!("{arms:?} ε {tolerance}: {:.1e}", total - 1.0);
                assert!((propensities(&arms, tolerance).iter().sum::<f64>() - 1.0).abs() < 1e-12);
            }
        }
        println!("worst {worst:.1e}");
        assert!(worst < 5e-5, "{worst:e}");
    }

    #[test]
    fn meets_the_formula_on_2048_nodes() {
        // Without those where the plain rule is the one that errs: wide beside narrow (4, 5), heaps at ε (6 to 8 with a
        // tolerance) and ties at 1 (8). The draws and the finer cells cover them.
        for (setting, arms) in settings().into_iter().enumerate() {
            for tolerance in [0.0, 0.01] {
                if !(4..=8).contains(&setting) || (setting == 6 || setting == 7) && tolerance == 0.0 {
                    let what = format!("setting {setting}, ε {tolerance}");
                    assert_close(&propensities(&arms, tolerance), &as_written(&arms, tolerance), 1e-4, &what);
                }
            }
        }
    }

    #[test]
    fn finer_cells_change_nothing() {
        for (setting, arms) in settings().into_iter().enumerate() {
            let groups: Vec<Range<usize>> = (0..arms.len()).map(|arm| arm..arm + 1).collect();
            for tolerance in [0.0, 0.01] {
                let grids = arms.iter().map(|&arm| BetaGrid::with_nodes(arm, 2048)).collect();
                let fine = normalised(TolerancePlan::with_grids(grids, &groups, tolerance).integrate());
                assert_close(
                    &propensities(&arms, tolerance),
                    &fine,
                    2e-5,
                    &format!("setting {setting}, ε {tolerance}"),
                );
            }
        }
    }

    #[test]
    fn meets_the_draws() {
        println!("seed {SEED}");
        for (setting, arms) in settings().into_iter().enumerate() {
            for tolerance in [0.0, 0.01] {
                let priced: Vec<_> = arms.iter().enumerate().map(|(place, &arm)| (arm, Some(place as u64))).collect();
                let drawn = by_drawing(&priced, Rule::Tolerance { tolerance }, DRAWS, SEED + setting as u64);
                assert_drawn(
                    &propensities(&arms, tolerance),
                    &drawn,
                    DRAWS,
                    &format!("setting {setting}, ε {tolerance}"),
                );
            }
        }
    }

    #[test]
    fn equal_and_unknown_costs_meet_the_draws() {
        println!("seed {SEED}");
        let [a, b, c, d] = [beta(93.0, 7.0), beta(280.0, 20.0), beta(95.0, 6.0), beta(950.0, 52.0)];
        let small = [beta(0.3, 0.2), beta(0.5, 0.5), beta(2.0, 1.0)];
        let settings = [
            vec![(a, Some(5)), (b, Some(5)), (c, Some(5)), (d, Some(9))],
            vec![(d, Some(9)), (a, Some(5)), (b, Some(2)), (c, Some(5))],
            vec![(a, None), (b, None), (c, None), (d, None)],
            vec![(a, None), (b, Some(1)), (c, None), (d, Some(1))],
            vec![(small[0], Some(1)), (small[1], Some(1)), (small[2], Some(2))],
        ];
        for (setting, arms) in settings.iter().enumerate() {
            for tolerance in [0.0, 0.01, 0.05] {
                let drawn = by_drawing(arms, Rule::Tolerance { tolerance }, DRAWS, SEED + setting as u64);
                let found = propensities_by_cost(arms, tolerance);
                assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                assert_drawn(&found, &drawn, DRAWS, &format!("setting {setting}, ε {tolerance}"));
            }
        }
    }

    #[test]
    fn different_costs_by_either_door() {
        let arms = betas(&[(20.0, 6.0), (50.0, 10.0), (93.0, 7.0)]);
        let mixed = [(arms[2], None), (arms[0], Some(1)), (arms[1], Some(7))];
        let plain = propensities(&arms, 0.02);
        assert_close(&propensities_by_cost(&mixed, 0.02), &[plain[2], plain[0], plain[1]], 1e-12, "order");
    }

    #[test]
    fn net_value_meets_the_draws() {
        println!("seed {SEED}");
        for (setting, arms) in settings().into_iter().enumerate() {
            for (value_usd, failure_cost_usd) in [(1.0, 0.0), (0.01, 0.02), (0.0, 0.0)] {
                // Pairs of equal cost among them: 0, 0, 3, 3, 6, … tenths of a cent.
                let priced: Vec<_> =
                    arms.iter().enumerate().map(|(place, &arm)| (arm, Some(place as u64 / 2 * 3_000_000))).collect();
                let rule = Rule::NetValue { value_usd, failure_cost_usd };
                let drawn = by_drawing(&priced, rule, DRAWS, SEED + setting as u64);
                let offset = |nano: Option<u64>| -failure_cost_usd - nano.unwrap() as f64 * 1e-9;
                let terms: Vec<_> =
                    priced.iter().map(|&(arm, nano)| (arm, value_usd + failure_cost_usd, offset(nano))).collect();
                let found = net_value_propensities(&terms);
                assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                assert_drawn(&found, &drawn, DRAWS, &format!("setting {setting}, V {value_usd}, L {failure_cost_usd}"));
            }
        }
    }

    #[test]
    fn net_value_sums_to_one_before_scaling() {
        let mut worst = 0.0f64;
        for arms in settings() {
            let stakes: Vec<_> = arms
                .iter()
                .enumerate()
                .map(|(place, &arm)| Stake::new(arm, 0.1, -0.002 * (place / 2) as f64))
                .collect();
            let total: f64 = (0..stakes.len()).map(|arm| net_value_mass(&stakes, arm)).sum();
            worst = worst.max((total - 1.0).abs());
        }
        println!("worst {worst:.1e}");
        assert!(worst < 5e-5, "{worst:e}");
    }

    #[test]
    fn net_value_of_equal_terms_is_the_highest_draw() {
        for (setting, arms) in settings().into_iter().enumerate() {
            let terms: Vec<_> = arms.iter().map(|&arm| (arm, 0.5, -0.1)).collect();
            assert_close(
                &net_value_propensities(&terms),
                &propensities(&arms, 0.0),
                2e-5,
                &format!("setting {setting}"),
            );
        }
    }

    #[test]
    #[should_panic(expected = "INV-PROPENSITY-1")]
    fn a_negative_stake_is_a_bug() {
        let _ = net_value_propensities(&[(beta(1.0, 1.0), -1.0, 0.0)]);
    }

    #[test]
    fn the_floor_mixes_with_uniform() {
        assert_close(&with_floor(&[0.9, 0.1], 0.01), &[0.896, 0.104], 1e-15, "floor");
        assert_eq!(with_floor(&[0.9, 0.1], 0.0), [0.9, 0.1]);
        assert!(with_floor(&[], 0.01).is_empty());
    }
}
