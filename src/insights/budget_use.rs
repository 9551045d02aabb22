//! How far budgets are used: accounts of the periods that run now, and the budgets of single goals as a distribution.

use std::sync::Arc;

use super::distribution::Values;
use super::report_goals::{BudgetInsights, BudgetUse, GoalBudgetUse};
use crate::domain::budget::Account;
use crate::domain::goal_tally::FULL_USE;
use crate::domain::time::UnixMillis;
use crate::engine::Engine;

/// Accounts shown.
const SHOWN: usize = 100;

/// All budgets.
pub(super) fn budgets<'a>(
    engine: &Engine,
    of_goals: impl IntoIterator<Item = (&'a Arc<str>, &'a Values)>,
    now: UnixMillis,
) -> BudgetInsights {
    let runs = |account: &&Account| account.opened.resets_at.is_none_or(|until| now < until);
    let mut accounts: Vec<BudgetUse> = engine.state.accounts.values().filter(runs).map(|a| used(engine, a)).collect();
    let total = accounts.len() as u64;
    accounts.sort_by(|a, b| {
        let by_use = b.utilisation.unwrap_or(0.0).total_cmp(&a.utilisation.unwrap_or(0.0));
        by_use.then_with(|| (&a.budget, &a.instance).cmp(&(&b.budget, &b.instance)))
    });
    accounts.truncate(SHOWN);
    let per_goal = of_goals.into_iter().filter_map(|(budget, values)| of_goal(budget, values)).collect();
    BudgetInsights { accounts, accounts_total: total, per_goal }
}

fn used(engine: &Engine, account: &Account) -> BudgetUse {
    let (opened, booked) = (&account.opened, account.booked);
    let limit = engine.limit_of(opened);
    let amount = |n: i64| u64::try_from(n).unwrap_or(0);
    BudgetUse {
        budget: opened.budget.clone(),
        scope: opened.scope,
        instance: opened.instance.clone(),
        measure: opened.measure,
        limit,
        spent: amount(booked.spent),
        held: amount(booked.held.saturating_add(booked.presumed)),
        utilisation: (limit > 0).then(|| amount(booked.used()) as f64 / limit as f64),
        resets_at: opened.resets_at,
    }
}

fn of_goal(budget: &str, values: &Values) -> Option<GoalBudgetUse> {
    let sorted = values.sorted()?;
    let of_limit = |hundredths: f64| hundredths / FULL_USE as f64;
    Some(GoalBudgetUse {
        budget: budget.to_owned(),
        goals: u64::try_from(sorted.count()).unwrap_or(0),
        p50: of_limit(sorted.percentile(500)),
        p95: of_limit(sorted.percentile(950)),
        max: of_limit(sorted.max()),
        share_exhausted: sorted.share_from(FULL_USE as f64),
    })
}
