//! Whether the money may be spent: every account a call would be booked on, as it stands before the call, and which
//! candidates fit what is left. All of them are asked before anything is booked, and everything is booked in one fact: a
//! call is held against all of its budgets or against none.

use std::sync::Arc;

use super::Engine;
use crate::domain::budget::{
    Account, Booked, Budget, Charge, GOAL_GRANTS, GOAL_LIMIT, Measure, OnExceed, Opened, Period, Scope, Site,
};
use crate::domain::event::{AlertRaised, Body, Event, Exhausted};
use crate::domain::money::NanoUsd;
use crate::domain::names::Labels;
use crate::domain::time::UnixMillis;

/// Thresholds of [`GOAL_LIMIT`], in per cent.
const GOAL_LIMIT_THRESHOLDS: [u32; 3] = [50, 80, 100];

/// What a call may use at most, by measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Need {
    /// Money; `None`: nobody knows.
    pub(super) cost: Option<NanoUsd>,
    /// Input and output tokens; `None`: nobody knows.
    pub(super) tokens: Option<u64>,
    /// It would be a retry.
    pub(super) is_retry: bool,
}

impl Need {
    /// The same for a call that follows a failed one.
    pub(super) fn of_a_retry(self) -> Self {
        Self { is_retry: true, ..self }
    }

    /// What covers a call of either.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            cost: self.cost.max(other.cost),
            tokens: self.tokens.max(other.tokens),
            is_retry: self.is_retry || other.is_retry,
        }
    }

    /// How much of a measure; `None`: nobody knows.
    fn of(&self, measure: Measure) -> Option<u64> {
        match measure {
            Measure::Usd => self.cost.map(|c| c.0),
            Measure::Tokens => self.tokens,
            Measure::Calls => Some(1),
            Measure::Retries => Some(u64::from(self.is_retry)),
        }
    }
}

/// One account a call would be booked on.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is of.
    pub opened: Opened,
    /// It is not on the record yet, or its limit changed.
    pub is_new: bool,
    /// The limit, with what was granted.
    pub limit: u64,
    /// What is booked.
    pub booked: Booked,
    /// Part of the limit that was granted.
    pub granted: u64,
    /// Who granted that, as a sentence names them; empty: nothing was granted.
    pub granted_by: String,
    /// How often it begins anew.
    pub period: Period,
    /// What happens to a call that does not fit.
    pub on_exceed: OnExceed,
    /// The configured sentence for an end user; empty: one is made.
    pub message: String,
    /// Percentages at which an alert is raised.
    pub alert_thresholds: Vec<u32>,
}

impl Line {
    /// What is left; 0 when it is overdrawn (or says less than nothing was used, which cannot be).
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.limit.saturating_sub(u64::try_from(self.booked.used()).unwrap_or(u64::MAX))
    }

    /// Whether a call that does not fit waits for somebody's approval. (Grants raise a goal's own money: it fits then.)
    pub(super) fn asks_approval(&self) -> bool {
        self.on_exceed == OnExceed::RequireApproval && !self.opened.is_raised_by_grants()
    }

    /// Whether `need` fits. What nobody can tell fits while anything is left.
    pub(super) fn fits(&self, need: &Need) -> bool {
        match need.of(self.opened.measure) {
            Some(amount) => amount <= self.remaining() || amount == 0,
            None => self.remaining() > 0,
        }
    }

    /// What is used up, where `purse` (the nearest, if any) holds no more either.
    fn exhausted(&self, goal: &str, purse: Option<&Self>, refused: Option<&Need>) -> Exhausted {
        let sentence = || self.sentence(goal, purse, refused);
        let message = if self.message.is_empty() { sentence() } else { self.message.clone() };
        Exhausted {
            budget: self.opened.budget.clone(),
            account: self.opened.key,
            action: self.on_exceed,
            message,
            measure: self.opened.measure,
            limit: self.limit,
            spent: self.booked.spent,
            held: self.booked.held.saturating_add(self.booked.presumed),
            resets_at: self.opened.resets_at,
        }
    }

    fn sentence(&self, goal: &str, purse: Option<&Self>, refused: Option<&Need>) -> String {
        let amount = |n: u64| match self.opened.measure {
            Measure::Usd => NanoUsd(n).to_string(),
            measure => format!("{n} {}", measure.as_str()),
        };
        let whose = match self.opened.scope {
            // One further up is named: it is another than the caller asked for.
            Scope::Goal if self.opened.goal == goal => "this goal".to_owned(),
            Scope::User => "this user".to_owned(),
            scope => format!("{} {}", scope.as_str(), self.opened.instance),
        };
        let nothing_cheaper = refused.map(|least| {
            // That a call is one call, or one retry, says nothing of its price.
            let is_price = matches!(self.opened.measure, Measure::Usd | Measure::Tokens);
            let price = least.of(self.opened.measure).filter(|_| is_price);
            let price = price.map(|n| format!(" (the cheapest needs {})", amount(n)));
            format!("nothing cheaper fits either{}, so the call was not made", price.unwrap_or_default())
        });
        let what_now = match self.on_exceed {
            OnExceed::Warn => "the call goes ahead",
            OnExceed::Block => "the call was not made",
            OnExceed::Downgrade => nothing_cheaper.as_deref().unwrap_or("something cheaper is used"),
            OnExceed::RequireApproval if self.opened.scope == Scope::Goal => "somebody has to grant more",
            OnExceed::RequireApproval if purse.is_some() => {
                "somebody has to grant the goal more, or to raise the limit"
            }
            OnExceed::RequireApproval if !goal.is_empty() => {
                "somebody has to grant the goal money, or to raise the limit"
            }
            OnExceed::RequireApproval => "somebody has to raise its limit",
            OnExceed::ReturnPartial => "the answer is given with what there is",
            OnExceed::HandOff => "a person takes over",
            OnExceed::Queue => "it waits until the budget begins anew",
        };
        let part = match self.granted {
            0 => String::new(),
            granted => format!(", of which {} granted {}", self.granted_by, amount(granted)),
        };
        let of_purse = purse.map_or_else(String::new, Self::as_purse);
        format!(
            "The budget of {whose} does not hold this call ({} of {} left{part}){of_purse}: {what_now}.",
            amount(self.remaining()),
            amount(self.limit)
        )
    }
}

/// The accounts a call would be booked on.
#[derive(Clone, Debug, Default)]
pub(super) struct Admission {
    pub(super) lines: Vec<Line>,
    /// The goal the call is of; empty: none.
    pub(super) purses: Vec<Line>,
    /// The call is of a goal.
    goal: String,
}

impl Admission {
    /// The strictest budget that `need` does not fit; what a purse pays for fits a budget that waits for approval.
    pub(super) fn over(&self, need: &Need) -> Option<usize> {
        let is_paid = self.drawn(need).is_some();
        let fits = |line: &Line| line.fits(need) || (is_paid && line.asks_approval());
        let over = (0..self.lines.len()).filter(|line| !fits(&self.lines[*line]));
        let strictness = |line: usize| self.lines[line].on_exceed.strictness();
        // The first of the strictest.
        over.reduce(|a, b| if strictness(b) > strictness(a) { b } else { a })
    }

    /// Whether no budget keeps a call of `need` from being made.
    pub(super) fn covers(&self, need: &Need) -> bool {
        self.over(need).is_none_or(|line| !self.lines[line].on_exceed.holds())
    }

    /// What is used up, as it is answered and written; `refused` is the least that a call would need of those that were all
    /// refused, `None` where one is let through.
    pub(super) fn exhausted(&self, line: usize, refused: Option<&Need>) -> Exhausted {
        let line = &self.lines[line];
        line.exhausted(&self.goal, self.purses.first().filter(|_| line.asks_approval()), refused)
    }

    /// Whether a budget of money keeps calls from being made: then a call of unknown price cannot be let through.
    pub(super) fn needs_price(&self) -> bool {
        self.lines.iter().any(|line| line.opened.measure == Measure::Usd && line.on_exceed.holds())
    }

    /// The least that is left of a measure in the budgets that would refuse a call of `need`, or in the purse that pays for it
    /// instead; `None`: there is none of them.
    pub(super) fn least_left(&self, measure: Measure, need: &Need) -> Option<u64> {
        let purse = self.drawn(need).map(|(purse, _)| purse);
        let refuses = |line: &&Line| line.on_exceed.holds() && !(purse.is_some() && line.asks_approval());
        let all = self.lines.iter().filter(refuses).chain(purse);
        all.filter(|line| line.opened.measure == measure).map(Line::remaining).min()
    }

    /// What a call of `need` is booked on.
    pub(super) fn charges(&self, need: &Need) -> Vec<Charge> {
        let charge = |line: &Line| {
            let held = need.of(line.opened.measure).unwrap_or(0);
            Charge { account: line.opened.key, held }
        };
        self.lines.iter().chain(self.drawn(need).map(|(purse, _)| purse)).map(charge).collect()
    }

    /// The facts that open the accounts of `charges` which are not on the record yet.
    pub(super) fn openings(&self, charges: &[Charge]) -> impl Iterator<Item = Body> {
        let is_new = |line: &&Line| line.is_new && charges.iter().any(|c| c.account == line.opened.key);
        let new = self.lines.iter().chain(&self.purses).filter(is_new);
        new.map(|line| Body::AccountOpened(Box::new(line.opened.clone())))
    }
}

impl Engine {
    /// Every account a call is booked on: its own budgets, and those of the goals above it.
    pub(super) fn admission(&self, site: &Site<'_>, parent: &str, now: UnixMillis) -> Admission {
        let (names, none) = (&self.state.names, Labels::new());
        if self.budgets.all.is_empty() && site.goal.is_empty() {
            return Admission::default();
        }
        let chain = self.chain(site.goal, parent);
        let mut lines: Vec<Line> =
            self.budgets.applying(site).into_iter().map(|(b, i)| self.line(b, i, site.goal, &chain, now)).collect();
        let begins = !self.state.goals.contains_key(site.goal);
        for (depth, id) in chain.iter().enumerate() {
            let goal = self.state.goals.get(id);
            if let Some(limit) = goal.and_then(|g| g.limit) {
                lines.push(self.line(&own_limit(limit), id, id, &chain, now));
            }
            // A goal above that nobody has heard of begins with the first call below it; any other was dropped.
            if depth == 0 || (goal.is_none() && !(begins && depth == 1)) {
                continue;
            }
            // The call's own task type, step and tool, in the name of the goal above.
            let workflow = goal.map_or("", |g| g.workflow_text(names));
            let labels = goal.and_then(|g| g.labels_told(names)).map_or(&none, |l| l);
            let above = Site { workflow, labels, goal: id, ..*site };
            let of_goal = self.budgets.applying(&above).into_iter().filter(|(b, _)| b.is_of_goal());
            lines.extend(of_goal.map(|(b, i)| self.line(b, i, id, &chain, now)));
        }
        let asks = lines.iter().any(Line::asks_approval);
        let purses = if asks { self.purses(&chain, now) } else { Vec::new() };
        Admission { lines, purses, goal: site.goal.to_owned() }
    }

    /// A goal and those above it, nearest first; a goal never heard of will stand below `parent`.
    pub(super) fn chain(&self, goal: &str, parent: &str) -> Vec<Arc<str>> {
        if goal.is_empty() {
            return Vec::new();
        }
        let mut chain = vec![Arc::from(goal)];
        let above = |id: &str| self.state.goals.get(id).map(|g| g.ancestors.clone());
        match above(goal) {
            Some(ancestors) => chain.extend(ancestors),
            None if !parent.is_empty() => {
                chain.push(Arc::from(parent));
                chain.extend(above(parent).unwrap_or_default());
            }
            None => {}
        }
        chain
    }

    pub(super) fn line(
        &self,
        budget: &Budget,
        instance: &str,
        goal: &str,
        chain: &[Arc<str>],
        now: UnixMillis,
    ) -> Line {
        let (start, resets_at) = budget.window(now);
        let key = budget.account(goal, instance, (start, resets_at));
        let of_goal = budget.is_of_goal();
        let opened = Opened {
            key,
            budget: budget.id.to_string(),
            scope: budget.scope,
            measure: budget.measure,
            instance: instance.to_owned(),
            goal: if of_goal { goal.to_owned() } else { String::new() },
            start,
            resets_at,
            limit: budget.limit,
        };
        let account = self.state.account(key, chain);
        Line {
            is_new: account.is_none_or(|a| a.opened != opened),
            granted: self.granted(&opened),
            granted_by: self.granted_by(&opened),
            limit: budget.limit.saturating_add(self.granted(&opened)),
            period: budget.period,
            booked: account.map(|a| a.booked).unwrap_or_default(),
            on_exceed: budget.on_exceed,
            message: budget.message.clone(),
            alert_thresholds: budget.alert_thresholds.clone(),
            opened,
        }
    }

    /// What was granted beyond the limit of an account.
    fn granted(&self, opened: &Opened) -> u64 {
        self.state.goals.get(opened.goal.as_str()).map_or(0, |g| g.granted_on(opened).0)
    }

    /// The limit of an account as calls are held against it now: that of its budget in the settings, else (a goal's own,
    /// or a budget that is gone) the one it was opened with, and what was granted beyond it.
    #[must_use]
    pub fn limit_of(&self, opened: &Opened) -> u64 {
        let same = |b: &&Budget| *b.id == *opened.budget && b.scope == opened.scope && b.measure == opened.measure;
        let limit = self.budgets.all.iter().find(same).map_or(opened.limit, |b| b.limit);
        limit.saturating_add(self.granted(opened))
    }

    /// The alerts that are due on accounts just booked on.
    #[must_use]
    pub fn alerts_due(&self, charges: &[Charge], goal: &str, now: UnixMillis) -> Vec<Event> {
        let chain = self.chain(goal, "");
        self.alerts_on(charges.iter().filter_map(|c| self.state.account(c.account, &chain)), now)
    }

    /// The alerts that are due whatever was booked, after limits were changed: on every account of a running period, and on those
    /// of open goals at hand (a goal that is not raises its own when it is worked on again).
    #[must_use]
    pub fn alerts_due_everywhere(&self, now: UnixMillis) -> Vec<Event> {
        let of_goals = self.state.goals.values().filter(|goal| goal.is_open()).flat_map(|goal| &goal.accounts);
        let mut all: Vec<&Account> = self.state.accounts.values().chain(of_goals).collect();
        all.sort_unstable_by_key(|account| account.opened.key);
        self.alerts_on(all.into_iter(), now)
    }

    /// One alert for each account that reached a threshold above those it was alerted at: the highest it reached. One whose
    /// period has ended raises none: nothing can be done about it.
    fn alerts_on<'a>(&'a self, accounts: impl Iterator<Item = &'a Account>, now: UnixMillis) -> Vec<Event> {
        let runs = |account: &&Account| account.opened.resets_at.is_none_or(|end| end > now);
        let due = accounts.filter(runs).filter_map(|account| self.alert_on(account));
        let numbered = due.zip(self.state.last_alert + 1..).map(|(raised, alert)| AlertRaised { alert, ..raised });
        numbered.map(|raised| Event { at: now, body: Body::AlertRaised(Box::new(raised)) }).collect()
    }

    /// The alert that is due on an account, without its number.
    fn alert_on(&self, account: &Account) -> Option<AlertRaised> {
        let opened = &account.opened;
        let budget = self.budgets.all.iter().find(|b| *b.id == *opened.budget);
        let thresholds = match budget {
            Some(budget) => &budget.alert_thresholds[..],
            None if opened.budget == GOAL_LIMIT => &GOAL_LIMIT_THRESHOLDS[..],
            None => return None,
        };
        let (limit, used) = (self.limit_of(opened), account.booked.used());
        let is_reached = |t: &&u32| i128::from(used) * 100 >= i128::from(**t) * i128::from(limit);
        let threshold = *thresholds.iter().filter(is_reached).max().filter(|_| limit > 0 || used != 0)?;
        // Whoever was told of a threshold need not be told of a lower one.
        account.alerted.iter().all(|told| *told < threshold).then(|| AlertRaised {
            alert: 0,
            account: opened.key,
            goal: opened.goal.clone(),
            budget: opened.budget.clone(),
            instance: opened.instance.clone(),
            threshold,
            used,
            limit,
        })
    }

    /// The accounts a call would be booked on at `site`, as they stand.
    #[must_use]
    pub fn lines(&self, site: &Site<'_>, now: UnixMillis) -> Vec<Line> {
        self.admission(site, "", now).lines
    }

    /// The accounts of a call as they stand, for an answer.
    #[must_use]
    pub fn standing(&self, charges: &[Charge], goal: &str) -> Vec<Line> {
        let chain = self.chain(goal, "");
        charges.iter().filter_map(|c| self.state.account(c.account, &chain)).map(|a| self.line_of(a)).collect()
    }

    /// An account as it stands.
    #[must_use]
    pub fn line_of(&self, account: &Account) -> Line {
        let budget = self.budgets.all.iter().find(|b| *b.id == *account.opened.budget);
        Line {
            opened: account.opened.clone(),
            is_new: false,
            granted: self.granted(&account.opened),
            granted_by: self.granted_by(&account.opened),
            limit: self.limit_of(&account.opened),
            period: budget.map_or(Period::PerGoal, |b| b.period),
            booked: account.booked,
            on_exceed: budget.map_or_else(|| without_budget(&account.opened), |b| b.on_exceed),
            message: budget.map(|b| b.message.clone()).unwrap_or_default(),
            alert_thresholds: budget.map(|b| b.alert_thresholds.clone()).unwrap_or_default(),
        }
    }
}

/// What happens to calls that do not fit an account of which the settings have no budget.
fn without_budget(opened: &Opened) -> OnExceed {
    if opened.budget == GOAL_GRANTS { OnExceed::RequireApproval } else { OnExceed::Block }
}

/// StartGoal's own limit as a budget.
fn own_limit(limit: NanoUsd) -> Budget {
    let alert_thresholds = GOAL_LIMIT_THRESHOLDS.to_vec();
    Budget { alert_thresholds, ..Budget::of_goals_money(GOAL_LIMIT, limit, OnExceed::Block) }
}
