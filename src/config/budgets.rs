//! `[[budget]]` of oddsmaker.toml: whose spending is limited, by how much, for how long. What a person left out gets the
//! default that the table of keys next door documents. It refuses to know what is spent.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::domain::budget::{Budget, Budgets, GOAL_GRANTS, GOAL_LIMIT, Measure, OnExceed, Period, Scope};
use crate::domain::money::{NANO_PER_USD, NanoUsd};
use crate::domain::token::TokenKey;

use super::listed::Origins;
use super::report::{nearest, quoted};
use super::section::{Section, Value};
use super::values::NAME_BYTES_MAX;

/// The most budgets a file may hold: every call is compared with each.
const BUDGETS_MAX: usize = 1_000;

/// The highest limit in money: one billion dollars.
const LIMIT_USD_MAX: NanoUsd = NanoUsd(1_000_000_000 * NANO_PER_USD);

/// The highest limit in tokens, calls or retries.
const LIMIT_COUNT_MAX: u64 = 1_000_000_000_000_000;

/// The highest threshold of an alert, in per cent: a budget that only warns may go far beyond its limit.
const THRESHOLD_MAX: u64 = 1_000;

/// Longest sentence for an end user, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

/// Longest label and longest value of one that a request can carry, in bytes.
const LABEL_BYTES_MAX: (usize, usize) = (64, 256);

/// The label whose value is kept only as a keyed digest.
const CONCEALED: &str = "user";

/// What cannot be left out beside the id.
const NEEDED: [&str; 2] = ["scope", "limit"];

/// What a budget may match beside labels.
const FIELDS: [&str; 4] = ["workflow", "task_type", "step", "tool"];

/// Names of requests and answers that a budget cannot match; taken for labels, they match nothing.
const NO_FIELDS: [&str; 6] = ["task", "goal", "goal_id", "model", "provider", "measure"];

/// Budgets as they stand in the file: users are named in clear, while calls name them by keyed digest. Only
/// [`conceal`](Self::conceal) makes budgets of them that can be compared with calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetsAsWritten(Budgets);

impl BudgetsAsWritten {
    /// The budgets in force where `key` conceals users.
    #[must_use]
    pub fn conceal(&self, key: &TokenKey) -> Budgets {
        let mut budgets = self.0.clone();
        let users = budgets.all.iter_mut().filter_map(|b| b.matches.get_mut(CONCEALED));
        users.for_each(|user| *user = key.conceal(user));
        budgets
    }

    /// The budgets as they are written, in file order; for showing to whoever wrote the file, and nobody else.
    #[must_use]
    pub fn as_written(&self) -> &[Budget] {
        &self.0.all
    }
}

/// Every budget of the file in order, and where each of its keys stands.
pub(super) fn read_budgets(root: &Section<'_>, origins: &mut Origins) -> BudgetsAsWritten {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for section in root.sections("budget") {
        let place = section.need("id");
        let id = place.as_ref().and_then(budget_id);
        let budget = read_budget(&section, id.unwrap_or_default(), origins);
        section.finish();
        let (Some(place), Some(id), Some(budget)) = (place, id, budget) else { continue };
        if !seen.insert(id) {
            place.error(format!("the budget {} is declared twice", quoted(id)), None);
        }
        if all.len() == BUDGETS_MAX {
            let help = "a budget without `match` has an account for every instance of its scope".to_owned();
            place.error(format!("there are more than {BUDGETS_MAX} budgets"), Some(help));
        }
        all.push(budget);
    }
    BudgetsAsWritten(Budgets { all })
}

/// An id: it stands in answers, on the record and in addresses, so it is plain.
fn budget_id<'r>(value: &Value<'r>) -> Option<&'r str> {
    let id = value.id()?;
    let taken = [(GOAL_LIMIT, "the limit that StartGoal sets"), (GOAL_GRANTS, "the money that GrantBudget adds")];
    if let Some((_, what)) = taken.iter().find(|(name, _)| *name == id) {
        let help = "give it another id".to_owned();
        value.error(format!("{} is the name of {what}", quoted(id)), Some(help));
        return None;
    }
    if id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:/".contains(c)) {
        return Some(id);
    }
    let help = "use letters, digits and any of - _ . : /".to_owned();
    value.error(format!("{} is not the id of a budget", quoted(id)), Some(help));
    None
}

fn read_budget(section: &Section<'_>, id: &str, origins: &mut Origins) -> Option<Budget> {
    let mut get = |name: &'static str| {
        let value = if NEEDED.contains(&name) { section.need(name) } else { section.get(name) }?;
        origins.note("budget", id, name, &value);
        Some(value)
    };
    let scope = get("scope").and_then(|v| v.word(&words(Scope::ALL, Scope::as_str)));
    let matches = get("match").map(|v| read_match(&v)).unwrap_or_default();
    let is_default = get("default").and_then(|v| v.boolean()).unwrap_or(false);
    let said = get("measure");
    let measure = said.as_ref().map_or(Some(Measure::Usd), |v| v.word(&words(Measure::ALL, Measure::as_str)));
    let limit = get("limit").zip(measure).and_then(|(v, measure)| read_limit(&v, measure));
    let period = get("period").map(|v| v.word(&words(Period::ALL, Period::as_str)));
    let zone = get("time_zone").map_or(Some(TimeZone::UTC), |v| read_zone(&v));
    let alert_thresholds = get("alert_thresholds").map_or_else(|| vec![50, 80, 100], |v| read_thresholds(&v));
    let on_exceed = get("on_exceed").map(|v| v.word(&words(OnExceed::ALL, OnExceed::as_str)));
    let message = get("message").and_then(|v| read_message(&v)).unwrap_or_default();
    let scope = scope?;
    Some(Budget {
        id: id.into(),
        scope,
        matches,
        is_default,
        measure: measure?,
        limit: limit?,
        period: period.unwrap_or_else(|| Some(usual_period(scope)))?,
        zone: zone?,
        alert_thresholds,
        on_exceed: on_exceed.unwrap_or(Some(OnExceed::Block))?,
        message,
    })
}

/// What most mean who say no period: a goal is one run, everything else goes on and is looked at by the month.
fn usual_period(scope: Scope) -> Period {
    if scope == Scope::Goal { Period::PerGoal } else { Period::Month }
}

fn words<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str) -> Vec<(&'static str, T)> {
    all.iter().map(|word| (name(*word), *word)).collect()
}

fn read_match(value: &Value<'_>) -> BTreeMap<String, String> {
    let Some(section) = value.section() else { return BTreeMap::new() };
    let mut matches = BTreeMap::new();
    for (key, value) in section.entries() {
        if FIELDS.contains(&key) {
            matches.extend(value.name(NAME_BYTES_MAX).map(|text| (key.to_owned(), text.to_owned())));
            continue;
        }
        let (key_bytes_max, value_bytes_max) = LABEL_BYTES_MAX;
        if key.is_empty() || key.len() > key_bytes_max || key.chars().any(char::is_control) {
            value.error(format!("{} is not a label: 1 to {key_bytes_max} bytes of text", quoted(key)), None);
            continue;
        }
        let near = nearest(key, FIELDS);
        if near.is_some() || NO_FIELDS.contains(&key) {
            let help =
                near.map_or_else(|| format!("beside labels: {}", FIELDS.join(", ")), |n| quoted(n) + " is a name");
            value.warn(format!("{} is taken for a label", quoted(key)), Some(help));
        }
        matches.extend(value.name(value_bytes_max).map(|text| (key.to_owned(), text.to_owned())));
    }
    matches
}

fn read_limit(value: &Value<'_>, measure: Measure) -> Option<u64> {
    if measure != Measure::Usd {
        return value.integer(0..=LIMIT_COUNT_MAX);
    }
    let parsed = NanoUsd::parse_usd_up_to(value.decimal_text()?, LIMIT_USD_MAX);
    value.check(parsed).map(|limit| limit.0)
}

/// A zone of the database the program carries, whatever the machine has: a period begins everywhere at the same time.
fn read_zone(value: &Value<'_>) -> Option<TimeZone> {
    let name = value.id()?;
    let database = TimeZoneDatabase::bundled();
    if let Ok(zone) = database.get(name)
        && !zone.is_unknown()
    {
        return Some(zone);
    }
    let known: Vec<String> = database.available().map(|zone| zone.to_string()).collect();
    let near = nearest(name, known.iter().map(String::as_str));
    let help = near.map_or_else(
        || "write a name of the IANA database, such as Europe/Berlin".to_owned(),
        |near| format!("did you mean {}?", quoted(near)),
    );
    value.error(format!("no time zone is called {}", quoted(name)), Some(help));
    None
}

fn read_thresholds(value: &Value<'_>) -> Vec<u32> {
    let mut thresholds: Vec<u32> = Vec::new();
    for item in value.list() {
        let Some(threshold) = item.integer(1..=THRESHOLD_MAX).and_then(|n| u32::try_from(n).ok()) else { continue };
        if let Some(before) = thresholds.last().filter(|before| **before >= threshold) {
            item.error(format!("{threshold} does not rise above the {before} before it"), None);
        }
        thresholds.push(threshold);
    }
    thresholds
}

fn read_message(value: &Value<'_>) -> Option<String> {
    let text = value.line()?;
    if text.chars().count() > MESSAGE_CHARS_MAX {
        value.error(format!("is longer than {MESSAGE_CHARS_MAX} characters"), None);
        return None;
    }
    Some(text.to_owned())
}
