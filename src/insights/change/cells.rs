//! Lays two windows side by side: cells of the same kind, step and model become pairs, gaps in what is known are
//! closed as the doc comments of the input say, and each pair is read as its factors. It splits nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lmdi::{FACTORS, contributions, log_mean};
use super::{CallKind, SpendCell, SpendWindow};

/// Step or tool.
pub(super) type StepKey = (CallKind, Arc<str>);

/// Position of the factors of a pair; the first is traffic, or goals served for each accepted one.
pub(super) const STEP_MIX: usize = 1;
const MODEL_MIX: usize = 3;
const PRICE: usize = 5;

/// Sums of the calls of a cell or a step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calls {
    pub calls: u64,
    pub retries: u64,
    pub failures: u64,
    pub units: u64,
    /// What usage and price are told by: `units`, or tokens weighed at the list.
    pub usage: u128,
    /// Known cost, in nano-USD.
    pub cost: u128,
}

impl Calls {
    fn of(cell: &SpendCell) -> Self {
        let calls = cell.calls.max(u64::from(cell.cost_nano_usd > 0));
        Self {
            calls,
            retries: cell.retries.min(calls),
            failures: cell.failures.min(calls),
            units: cell.units,
            usage: cell.listed_pico_usd,
            cost: cell.cost_nano_usd.into(),
        }
    }

    fn add(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.retries = self.retries.saturating_add(other.retries);
        self.failures = self.failures.saturating_add(other.failures);
        self.units = self.units.saturating_add(other.units);
        self.usage = self.usage.saturating_add(other.usage);
        self.cost += other.cost;
    }

    /// Calls that were no retries, at least 1.
    pub(super) fn first_attempts(&self) -> u64 {
        self.calls.saturating_sub(self.retries).max(1)
    }
}

/// One window as a whole.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub accepted_goals: u64,
    /// At least 1 where there are calls.
    pub traffic: u64,
    /// `traffic` is first attempts.
    pub of_first_attempts: bool,
    pub steps: BTreeMap<StepKey, Calls>,
    /// Known cost, in nano-USD.
    pub cost: u128,
}

/// A cell in both windows; all zero where it is not called.
#[derive(Debug)]
pub(super) struct Pair {
    pub step: StepKey,
    pub model: Arc<str>,
    pub before: Calls,
    pub after: Calls,
    /// Its usage is tokens weighed at the list.
    pub listed: bool,
    /// Its usage is its calls: it is a tool, or nothing is known of its tokens.
    pub by_calls: bool,
}

/// Two windows side by side, in the order of step and model.
#[derive(Debug)]
pub(super) struct Pairs {
    pub before: Totals,
    pub after: Totals,
    pub cells: Vec<Pair>,
    /// Cost before of what is gone and cost after of what is new, in nano-USD: models of a step, and (`None`) steps.
    turnover: BTreeMap<Option<StepKey>, (u128, u128)>,
}

impl Pairs {
    /// Joins them.
    pub(super) fn of(before: &SpendWindow, after: &SpendWindow) -> Self {
        let mut joined: BTreeMap<(StepKey, Arc<str>), (Calls, Calls)> = BTreeMap::new();
        for (window, earlier) in [(before, true), (after, false)] {
            for cell in &window.cells {
                let key = ((cell.kind, Arc::clone(&cell.step)), Arc::clone(&cell.model));
                let (old, new) = joined.entry(key).or_default();
                (if earlier { old } else { new }).add(Calls::of(cell));
            }
        }
        let pair = |((step, model), (before, after)): ((StepKey, Arc<str>), (Calls, Calls))| {
            let mut pair = Pair { step, model, before, after, listed: true, by_calls: false };
            pair.settle_usage();
            pair
        };
        let cells: Vec<Pair> =
            joined.into_iter().map(pair).filter(|p| p.before.calls > 0 || p.after.calls > 0).collect();
        let (before, after) = (totals(before, &cells, |p| p.before), totals(after, &cells, |p| p.after));
        let mut turnover: BTreeMap<Option<StepKey>, (u128, u128)> = BTreeMap::new();
        for pair in cells.iter().filter(|p| p.before.calls == 0 || p.after.calls == 0) {
            let stays = before.steps.contains_key(&pair.step) && after.steps.contains_key(&pair.step);
            let (gone, came) = turnover.entry(stays.then(|| pair.step.clone())).or_default();
            *gone += pair.before.cost;
            *came += pair.after.cost;
        }
        Self { before, after, cells, turnover }
    }
}

impl Pair {
    fn settle_usage(&mut self) {
        let lacks =
            |has: fn(&Calls) -> bool| [&self.before, &self.after].iter().any(|side| side.calls > 0 && !has(side));
        let (no_units, no_list) = (lacks(|side| side.units > 0), lacks(|side| side.usage > 0));
        self.listed = !no_units && !no_list;
        self.by_calls = no_units || self.step.0 == CallKind::Tool;
        for side in [&mut self.before, &mut self.after] {
            if no_units {
                side.units = side.calls;
            }
            if no_units || no_list {
                side.usage = side.units.into();
            }
        }
    }

    /// What each factor contributed to the change of the cell's cost; `per` is what a window is divided by (1 for the
    /// spend, accepted goals for the cost of one). `outermost` is the position of the factor that takes the change of
    /// a cell when its window had no traffic.
    pub(super) fn contributions(&self, of: &Pairs, per: (f64, f64), outermost: usize) -> [f64; FACTORS] {
        let (old, new) = (self.before.cost as f64 / per.0, self.after.cost as f64 / per.1);
        if old > 0.0 && new > 0.0 {
            let before = factors(&self.before, &self.step, &of.before, per.0);
            return contributions(old, new, &before, &factors(&self.after, &self.step, &of.after, per.1));
        }
        let (calls, window) = if old > 0.0 { (&self.after, &of.after) } else { (&self.before, &of.before) };
        let place = match window.steps.get(&self.step) {
            _ if window.traffic == 0 => outermost,
            None => STEP_MIX,
            Some(_) if calls.calls == 0 => MODEL_MIX,
            Some(_) => PRICE,
        };
        let mut parts = [0.0; FACTORS];
        parts[place] = new - old;
        if new > 0.0 && (place == STEP_MIX || place == MODEL_MIX) && window.traffic > 0 {
            self.took_a_place(&mut parts, of, per, place);
        }
        parts
    }

    /// Takes out of the mix what a new cell shares with those whose place it took: their cost was there before, and rose or
    /// fell with the factors outside the mix. What was gone is all mix, so that all of them sum to one cell's parts.
    fn took_a_place(&self, parts: &mut [f64; FACTORS], of: &Pairs, per: (f64, f64), mix: usize) {
        let within = Some(&self.step).filter(|_| mix == MODEL_MIX).cloned();
        let (gone, came) = of.turnover.get(&within).copied().unwrap_or_default();
        if gone == 0 || came == 0 {
            return;
        }
        let share = self.after.cost as f64 / came as f64;
        let weight = log_mean(came as f64 / per.1, gone as f64 / per.0) * share;
        let before = factors(&self.before, &self.step, &of.before, per.0);
        let after = factors(&self.after, &self.step, &of.after, per.1);
        for i in 0..mix {
            let outside = weight * (after[i] / before[i]).ln();
            parts[i] += outside;
            parts[mix] -= outside;
        }
    }
}

/// The factors whose product is the cost of a cell that has one.
fn factors(cell: &Calls, step: &StepKey, window: &Totals, per: f64) -> [f64; FACTORS] {
    let step = window.steps.get(step).copied().unwrap_or(*cell);
    let (traffic, first) = (window.traffic as f64, step.first_attempts() as f64);
    let (calls, all) = (cell.calls as f64, step.calls as f64);
    [
        traffic / per,
        first / traffic,
        all / first,
        calls / all,
        cell.usage as f64 / calls,
        cell.cost as f64 / cell.usage as f64,
    ]
}

fn totals(window: &SpendWindow, cells: &[Pair], side: impl Fn(&Pair) -> Calls) -> Totals {
    let mut totals = Totals {
        accepted_goals: window.accepted_goals,
        traffic: window.traffic,
        of_first_attempts: window.of_first_attempts,
        ..Totals::default()
    };
    for (pair, calls) in cells.iter().map(|pair| (pair, side(pair))).filter(|(_, calls)| calls.calls > 0) {
        totals.steps.entry(pair.step.clone()).or_default().add(calls);
        totals.cost += calls.cost;
        totals.traffic = totals.traffic.max(1);
    }
    totals
}
