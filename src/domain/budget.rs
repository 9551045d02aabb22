//! Budgets and the accounts they are kept in: which of them a call is booked on, for which period, and what is left.
//! It reads no clock and no zone files: an instant and the rules of a zone are arguments. It decides nothing; what a
//! budget used up leads to is the engine's to say.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Unit, Zoned, ZonedRound};

use super::call::{Call, Stage};
use super::money::NanoUsd;
use super::names::Labels;
use super::time::UnixMillis;

/// Name of the budget that StartGoal's own limit is; no other may have it.
pub const GOAL_LIMIT: &str = "goal_limit";

/// Name of the account on which a goal's calls draw what was granted to it; no budget may have it.
pub const GOAL_GRANTS: &str = "goal_grants";

super::outcome::words! {
    /// Whose spending a budget limits.
    Scope {
        /// The label `organization`.
        Organization = 1, "organization";
        /// The label `team`.
        Team = 2, "team";
        /// The label `agent`.
        Agent = 3, "agent";
        /// A workflow.
        Workflow = 4, "workflow";
        /// The label `user` (its keyed digest).
        User = 5, "user";
        /// One goal with its sub-goals.
        Goal = 6, "goal";
        /// A step.
        Step = 7, "step";
        /// A tool.
        Tool = 8, "tool";
    }
}

super::outcome::words! {
    /// What is counted.
    Measure {
        /// Money, in nano-USD.
        Usd = 1, "usd";
        /// Input and output tokens.
        Tokens = 2, "tokens";
        /// Calls.
        Calls = 3, "calls";
        /// Retries.
        Retries = 4, "retries";
    }
}

super::outcome::words! {
    /// How often a budget begins anew.
    Period {
        /// Once for each goal.
        PerGoal = 1, "per_goal";
        /// Every hour of the budget's zone.
        Hour = 2, "hour";
        /// Every day of the budget's zone.
        Day = 3, "day";
        /// Every week of the budget's zone, from Monday on.
        Week = 4, "week";
        /// Every month of the budget's zone.
        Month = 5, "month";
        /// Never.
        Total = 6, "total";
    }
}

super::outcome::words! {
    /// What happens to a call that does not fit.
    OnExceed {
        /// It is let through with a warning.
        Warn = 1, "warn";
        /// It is refused.
        Block = 2, "block";
        /// The cheapest candidate that fits is served instead.
        Downgrade = 3, "downgrade";
        /// A person has to agree first.
        RequireApproval = 4, "require_approval";
        /// It is refused; the caller should answer with what it has.
        ReturnPartial = 5, "return_partial";
        /// It is refused; a human should take over.
        HandOff = 6, "hand_off";
        /// It is refused; the caller should queue the goal until the budget begins anew.
        Queue = 7, "queue";
    }
}

impl OnExceed {
    /// Whether a call that does not fit is kept from being made.
    #[must_use]
    pub fn holds(self) -> bool {
        self != Self::Warn
    }

    /// Whether it takes part in the choice as a filter; a downgrade only steps in once the choice is made.
    #[must_use]
    pub fn excludes(self) -> bool {
        !matches!(self, Self::Warn | Self::Downgrade)
    }

    /// How strict it is: where several budgets do not fit, the strictest decides.
    #[must_use]
    pub fn strictness(self) -> u8 {
        match self {
            Self::Warn => 0,
            Self::Downgrade => 1,
            Self::RequireApproval => 2,
            Self::Block | Self::ReturnPartial | Self::HandOff | Self::Queue => 3,
        }
    }
}

/// A budget as configured. It has one account for every instance of its scope and period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Its name.
    pub id: Arc<str>,
    /// Whose spending it limits.
    pub scope: Scope,
    /// What a call must be to count: `workflow`, `task_type`, `step`, `tool` or a label, each with its value.
    pub matches: BTreeMap<String, String>,
    /// It applies only where no other budget of its scope and measure does.
    pub is_default: bool,
    /// What is counted.
    pub measure: Measure,
    /// The most that may be used: nano-USD, or a count.
    pub limit: u64,
    /// How often it begins anew.
    pub period: Period,
    /// The zone whose hours, days, weeks and months are meant.
    pub zone: TimeZone,
    /// Percentages of the limit at which an alert is raised, rising.
    pub alert_thresholds: Vec<u32>,
    /// What happens to a call that does not fit.
    pub on_exceed: OnExceed,
    /// The sentence an end user may be shown when it is used up; empty: one is made.
    pub message: String,
}

/// Where a call is booked, by name.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Task type; empty: none.
    pub task: &'a str,
    /// Workflow; empty: none.
    pub workflow: &'a str,
    /// Step, else what stands for it; empty: none.
    pub step: &'a str,
    /// Tool; empty: none.
    pub tool: &'a str,
    /// Labels.
    pub labels: &'a Labels,
    /// Goal; empty: none.
    pub goal: &'a str,
}

impl Site<'_> {
    fn label(&self, key: &str) -> &str {
        self.labels.get(key).map_or("", String::as_str)
    }

    fn named(&self, key: &str) -> &str {
        match key {
            "workflow" => self.workflow,
            "task_type" => self.task,
            "step" => self.step,
            "tool" => self.tool,
            label => self.label(label),
        }
    }
}

impl Budget {
    /// The instance of the scope a call belongs to; `None`: the budget does not concern it.
    #[must_use]
    pub fn instance<'a>(&self, site: &Site<'a>) -> Option<&'a str>
    where
        Self: 'a,
    {
        if !self.matches.iter().all(|(key, value)| site.named(key) == value) {
            return None;
        }
        let labels: &'a Labels = site.labels;
        let label = |key: &str| labels.get(key).map_or("", String::as_str);
        let instance = match self.scope {
            Scope::Organization => label("organization"),
            Scope::Team => label("team"),
            Scope::Agent => label("agent"),
            Scope::User => label("user"),
            Scope::Workflow => site.workflow,
            Scope::Goal => site.goal,
            Scope::Step => site.step,
            Scope::Tool => site.tool,
        };
        let lacks_goal = self.is_of_goal() && site.goal.is_empty();
        (!instance.is_empty() && !lacks_goal).then_some(instance)
    }

    /// A budget of the money of single goals, for the life of each, that stands in no settings and raises no alerts.
    #[must_use]
    pub fn of_goals_money(id: &str, limit: NanoUsd, on_exceed: OnExceed) -> Self {
        Self {
            id: id.into(),
            scope: Scope::Goal,
            matches: BTreeMap::new(),
            is_default: false,
            measure: Measure::Usd,
            limit: limit.0,
            period: Period::PerGoal,
            zone: TimeZone::UTC,
            alert_thresholds: Vec::new(),
            on_exceed,
            message: String::new(),
        }
    }

    /// Whether its accounts belong to a goal each.
    #[must_use]
    pub fn is_of_goal(&self) -> bool {
        self.scope == Scope::Goal || self.period == Period::PerGoal
    }

    /// The period `at` lies in: its beginning, and when the next one begins (`None`: never).
    #[must_use]
    pub fn window(&self, at: UnixMillis) -> (UnixMillis, Option<UnixMillis>) {
        let never = (UnixMillis(0), None);
        let Ok(now) = Timestamp::from_millisecond(at.0) else { return never };
        let now = now.to_zoned(self.zone.clone());
        let found = match self.period {
            Period::PerGoal | Period::Total => return never,
            Period::Hour => hour(&now),
            Period::Day => days(&now, 0, |start| start.checked_add(1.day())),
            Period::Week => {
                let since_monday = now.weekday().to_monday_zero_offset();
                days(&now, since_monday.into(), |start| start.checked_add(1.week()))
            }
            Period::Month => days(&now, i64::from(now.day()) - 1, |start| start.checked_add(1.month())),
        };
        let millis = |z: &Zoned| UnixMillis(z.timestamp().as_millisecond());
        found.map_or(never, |(from, until)| (millis(&from), Some(millis(&until))))
    }

    /// The account of an instance in the period from `start` to `end`.
    #[must_use]
    pub fn account(&self, goal: &str, instance: &str, (start, end): (UnixMillis, Option<UnixMillis>)) -> AccountKey {
        let goal = if self.is_of_goal() { goal } else { "" };
        let mut hasher = blake3::Hasher::new_derive_key("oddsmaker 2026 account of a budget");
        for part in [&*self.id, goal, instance] {
            hasher.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
        }
        // Its end too, and what is counted and of whom: a budget of which one of them was changed begins anew.
        hasher.update(&start.0.to_be_bytes()).update(&end.map_or(0, |end| end.0).to_be_bytes());
        hasher.update(&[self.scope as u8, self.measure as u8]);
        let digest = hasher.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest.as_bytes()[..8]);
        AccountKey(u64::from_be_bytes(first))
    }
}

/// The hour of the clock on the wall, which is not a UTC one where a zone is half an hour off.
fn hour(now: &Zoned) -> Result<(Zoned, Zoned), jiff::Error> {
    let start = now.round(ZonedRound::new().smallest(Unit::Hour).mode(jiff::RoundMode::Trunc))?;
    let end = start.checked_add(1.hour())?;
    Ok((start, end))
}

/// From the midnight `before` days before `now` to the midnight that `next` says.
fn days(
    now: &Zoned,
    before: i64,
    next: impl Fn(&Zoned) -> Result<Zoned, jiff::Error>,
) -> Result<(Zoned, Zoned), jiff::Error> {
    let start = now.checked_sub(before.days())?.start_of_day()?;
    let end = next(&start)?.start_of_day()?;
    Ok((start, end))
}

/// Every budget in force, in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// The budgets.
    pub all: Vec<Budget>,
}

impl Budgets {
    /// The budgets that concern a call, each with the instance of its scope.
    #[must_use]
    pub fn applying<'a>(&'a self, site: &Site<'a>) -> Vec<(&'a Budget, &'a str)> {
        let mut found: Vec<(&Budget, &str)> =
            self.all.iter().filter_map(|b| b.instance(site).map(|instance| (b, instance))).collect();
        let registered: Vec<(Scope, Measure)> =
            found.iter().filter(|(b, _)| !b.is_default).map(|(b, _)| (b.scope, b.measure)).collect();
        found.retain(|(b, _)| !b.is_default || !registered.contains(&(b.scope, b.measure)));
        found
    }
}

/// Names an account: a digest of budget, scope, measure, goal where it is of one, instance and period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey(pub u64);

/// What an account is of, as it stands on the record when it is opened (or its limit changes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Names it.
    pub key: AccountKey,
    /// The budget's name.
    pub budget: String,
    /// Whose spending.
    pub scope: Scope,
    /// What is counted.
    pub measure: Measure,
    /// Instance of the scope.
    pub instance: String,
    /// The goal it belongs to; empty: none.
    pub goal: String,
    /// Beginning of its period.
    pub start: UnixMillis,
    /// When the next period begins; `None`: never.
    pub resets_at: Option<UnixMillis>,
    /// The limit of the configuration, without what was granted.
    pub limit: u64,
}

impl Opened {
    /// Whether money granted to its goal is added to its limit: it counts the money of one goal.
    #[must_use]
    pub fn is_raised_by_grants(&self) -> bool {
        self.scope == Scope::Goal && self.measure == Measure::Usd
    }

    /// Whether both are accounts of one budget for one instance, in whichever periods.
    #[must_use]
    pub fn is_of_the_same(&self, other: &Self) -> bool {
        let of = |o: &Self| (o.scope, o.measure);
        self.budget == other.budget
            && of(self) == of(other)
            && self.instance == other.instance
            && self.goal == other.goal
    }
}

/// What is booked on an account: nano-USD or counts. Every field is additive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Booked {
    /// By calls whose outcome is known.
    pub spent: i64,
    /// By calls that may still be made or are under way.
    pub held: i64,
    /// By calls whose outcome never came: presumed spent.
    pub presumed: i64,
}

impl Booked {
    /// All of it.
    #[must_use]
    pub fn used(&self) -> i64 {
        self.spent.saturating_add(self.held).saturating_add(self.presumed)
    }

    /// Adds or takes away. A sum that reached `i64::MAX` stays there: what went beyond it is not known any more, and a
    /// budget that is too full refuses.
    pub fn change(&mut self, by: &Self, add: bool) {
        let change = |a: &mut i64, b: i64| match *a {
            i64::MAX => {}
            _ if add => *a = a.saturating_add(b),
            _ => *a = a.saturating_sub(b),
        };
        change(&mut self.spent, by.spent);
        change(&mut self.held, by.held);
        change(&mut self.presumed, by.presumed);
    }
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What it is of.
    pub opened: Opened,
    /// What is booked.
    pub booked: Booked,
    /// Thresholds, in per cent, whose alert was raised.
    pub alerted: Vec<u32>,
}

/// What a call is booked on one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The account.
    pub account: AccountKey,
    /// Reserved before the call: nano-USD or a count. Counts as spent where the outcome does not tell.
    pub held: u64,
}

impl Charge {
    /// What `call` books on this account: a function of the call as it stands, so that late truth corrects it.
    #[must_use]
    pub fn booked(&self, call: &Call, measure: Measure) -> Booked {
        let held = i64::try_from(self.held).unwrap_or(i64::MAX);
        match call.stage {
            Stage::Open(_) => Booked { held, ..Booked::default() },
            Stage::Expired => Booked { presumed: held, ..Booked::default() },
            Stage::Voided | Stage::Answered => Booked::default(),
            Stage::Settled(settled) => {
                let told = match measure {
                    Measure::Usd => settled.cost.map(|c| c.0),
                    Measure::Tokens => settled.usage.map(|u| u.input.saturating_add(u.output)),
                    Measure::Calls => Some(u64::from(!call.evaluation)),
                    Measure::Retries => Some(u64::from(call.is_retry())),
                };
                let spent = told.map_or(held, |t| i64::try_from(t).unwrap_or(i64::MAX));
                Booked { spent, ..Booked::default() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(scope: Scope, period: Period, zone: &str) -> Budget {
        Budget {
            id: "b".into(),
            scope,
            matches: BTreeMap::new(),
            is_default: false,
            measure: Measure::Usd,
            limit: 1,
            period,
            zone: jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap(),
            alert_thresholds: vec![],
            on_exceed: OnExceed::Block,
            message: String::new(),
        }
    }

    fn at(text: &str) -> UnixMillis {
        UnixMillis(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    #[track_caller]
    fn check(period: Period, zone: &str, now: &str, from: &str, until: &str) {
        let (start, end) = budget(Scope::Team, period, zone).window(at(now));
        assert_eq!((start, end), (at(from), Some(at(until))), "{period:?} in {zone} at {now}");
    }

    #[test]
    fn periods_begin_by_the_clock_of_their_zone() {
        let now = "2026-11-22T23:30:00Z"; // a Sunday
        check(Period::Hour, "UTC", now, "2026-11-22T23:00:00Z", "2026-11-23T00:00:00Z");
        check(Period::Hour, "Asia/Kolkata", "2026-11-22T23:40:00Z", "2026-11-22T23:30:00Z", "2026-11-23T00:30:00Z");
        check(Period::Day, "UTC", now, "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z");
        check(Period::Day, "Europe/Berlin", now, "2026-11-22T23:00:00Z", "2026-11-23T23:00:00Z");
        check(Period::Week, "UTC", now, "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z");
        check(Period::Week, "Europe/Berlin", now, "2026-11-22T23:00:00Z", "2026-11-29T23:00:00Z");
        check(
            Period::Month,
            "America/New_York",
            "2026-12-01T04:59:59Z",
            "2026-11-01T04:00:00Z",
            "2026-12-01T05:00:00Z",
        );
    }

    #[test]
    fn a_day_is_as_long_as_its_zone_makes_it() {
        let spring = "2026-03-29T10:00:00Z";
        check(Period::Day, "Europe/Berlin", spring, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        check(Period::Day, "Europe/Berlin", "2026-10-25T10:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        check(Period::Hour, "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z");
    }

    #[test]
    fn a_default_budget_is_for_whom_no_other_was_registered() {
        let labels = |team: &str| Labels::from([("team".to_owned(), team.to_owned())]);
        let platform = Budget {
            id: "platform".into(),
            matches: BTreeMap::from([("team".to_owned(), "platform".to_owned())]),
            ..budget(Scope::Team, Period::Day, "UTC")
        };
        let others = Budget { id: "others".into(), is_default: true, ..budget(Scope::Team, Period::Day, "UTC") };
        let budgets = Budgets { all: vec![platform, others] };
        let names = |labels: &Labels| -> Vec<String> {
            let site = Site { task: "t", workflow: "", step: "", tool: "", labels, goal: "" };
            budgets.applying(&site).iter().map(|(b, instance)| format!("{} {instance}", b.id)).collect()
        };
        assert_eq!(names(&labels("platform")), ["platform platform"]);
        assert_eq!(names(&labels("growth")), ["others growth"]);
        assert!(names(&Labels::new()).is_empty());
    }
}
