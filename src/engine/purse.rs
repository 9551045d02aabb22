//! Money granted to a goal as a purse: what a budget of a team or the like refuses until somebody approves is let through on
//! it, for the calls of that goal and as long as it lasts. A purse is an account like any other, so it is held, settled, presumed
//! spent and given back as they are, and never held beyond what was granted. It refuses to lift what blocks.

use std::sync::Arc;

use super::Engine;
use super::admission::{Admission, Line, Need};
use crate::domain::budget::{AccountKey, Budget, GOAL_GRANTS, OnExceed, Opened};
use crate::domain::money::NanoUsd;
use crate::domain::time::UnixMillis;

/// Approvers that a sentence names; of more it says how many.
const NAMED_MAX: usize = 3;

impl Engine {
    /// The purses of a goal and of those above it, nearest first; one to which nothing was granted has none.
    pub(super) fn purses(&self, chain: &[Arc<str>], now: UnixMillis) -> Vec<Line> {
        let purse = Budget::of_goals_money(GOAL_GRANTS, NanoUsd::ZERO, OnExceed::RequireApproval);
        let granted = |id: &&Arc<str>| self.state.goals.get(*id).is_some_and(|goal| goal.granted > NanoUsd::ZERO);
        chain.iter().filter(granted).map(|id| self.line(&purse, id, id, chain, now)).collect()
    }

    /// Who granted what lies beyond the limit of an account, as a sentence names them; empty: nothing does.
    pub(super) fn granted_by(&self, opened: &Opened) -> String {
        let goal = self.state.goals.get(opened.goal.as_str());
        let Some(goal) = goal.filter(|goal| goal.granted_on(opened) > NanoUsd::ZERO) else { return String::new() };
        let mut names: Vec<&str> = Vec::new();
        for (_, by) in goal.grants_on(opened) {
            if !names.contains(&by) {
                names.push(by);
            }
        }
        match names.as_slice() {
            [] => "somebody".to_owned(),
            [one] => (*one).to_owned(),
            [most @ .., last] if most.len() < NAMED_MAX => format!("{} and {last}", most.join(", ")),
            all => format!("{} and {} others", all[..NAMED_MAX].join(", "), all.len() - NAMED_MAX),
        }
    }
}

impl Line {
    /// What a refusal says of a purse that does not hold a call.
    pub(super) fn as_purse(&self) -> String {
        let used = self.limit.saturating_sub(self.remaining());
        format!(", and of the {} that {} granted {} are used", NanoUsd(self.limit), self.granted_by, NanoUsd(used))
    }
}

impl Admission {
    /// The purse that a call of `need` draws on, the nearest that holds it, and the budget that does not: one that waits for
    /// approval. `None`: no budget does, or nobody granted enough.
    pub(super) fn drawn(&self, need: &Need) -> Option<(&Line, &Line)> {
        let purse = self.purses.iter().find(|purse| purse.remaining() > 0 && purse.fits(need))?;
        let over = self.lines.iter().find(|line| line.asks_approval() && !line.fits(need))?;
        Some((purse, over))
    }

    /// The purse that a call of `need` draws on, by its account; `None`: it needs none.
    pub(super) fn payer(&self, need: &Need) -> Option<AccountKey> {
        self.drawn(need).map(|(purse, _)| purse.opened.key)
    }

    /// Why a call of `need` is let through although a budget is used up; `None`: none is, or it only warns.
    pub(super) fn grace(&self, need: &Need) -> Option<String> {
        let (_, over) = self.drawn(need)?;
        Some(format!("Budget {} is used up; money granted to the goal pays.", over.opened.budget))
    }
}
