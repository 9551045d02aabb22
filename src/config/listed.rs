//! The keys of the tables that may be written many times (`[[budget]]`, `[[workflow]]`): name, unit, default and meaning
//! in one place each, and where a file set them. `config show` and the documentation are driven by it. It refuses to
//! know how a value is read.

use std::collections::BTreeMap;

use crate::domain::budget::{Budget, Measure};
use crate::domain::goal::WorkflowRules;
use crate::domain::money::NanoUsd;

use super::report::Origin;
use super::section::Value;
use super::values::format_duration_ms;

/// One key of a table that may be written many times.
#[derive(Debug)]
pub struct ListedKey<T> {
    /// Its name within the table.
    pub name: &'static str,
    /// Unit or form of the value.
    pub unit: &'static str,
    /// Its default, in words; a dash: it must be given.
    pub default_text: &'static str,
    /// What it decides, in one line.
    pub meaning: &'static str,
    /// Its value; empty: none.
    pub show: fn(&T) -> String,
}

/// Where keys of such tables stand in a file, by path: `budget.ticket-run.limit`.
#[derive(Debug, Default)]
pub(super) struct Origins(pub(super) BTreeMap<String, Origin>);

impl Origins {
    /// Remembers where the value of a key is.
    pub(super) fn note(&mut self, table: &str, id: &str, name: &str, value: &Value<'_>) {
        self.0.insert(listed_path(table, id, name), value.origin());
    }
}

/// The path of a key of such a table.
pub(super) fn listed_path(table: &str, id: &str, name: &str) -> String {
    format!("{table}.{id}.{name}")
}

const fn key<T>(
    name: &'static str,
    unit: &'static str,
    default_text: &'static str,
    meaning: &'static str,
    show: fn(&T) -> String,
) -> ListedKey<T> {
    ListedKey { name, unit, default_text, meaning, show }
}

fn decimal(amount: NanoUsd) -> String {
    amount.to_string().trim_start_matches('$').to_owned()
}

fn limit(budget: &Budget) -> String {
    if budget.measure == Measure::Usd { decimal(NanoUsd(budget.limit)) } else { budget.limit.to_string() }
}

fn matches(budget: &Budget) -> String {
    budget.matches.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

fn thresholds(budget: &Budget) -> String {
    budget.alert_thresholds.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Keys of `[[budget]]` beside its `id`.
pub static BUDGET_KEYS: &[ListedKey<Budget>] = &[
    key(
        "scope",
        "organization, team, agent, workflow, user, goal, step or tool",
        "—",
        "Whose spending is limited; every instance has an account of its own.",
        |b| b.scope.as_str().to_owned(),
    ),
    key(
        "match",
        "workflow, task_type, step, tool or labels, each with its value",
        "every call",
        "What a call must be to count.",
        matches,
    ),
    key(
        "default",
        "true or false",
        "false",
        "Whether it holds only where no other budget of its scope and measure does.",
        |b| b.is_default.to_string(),
    ),
    key("measure", "usd, tokens, calls or retries", "usd", "What is counted.", |b| b.measure.as_str().to_owned()),
    key("limit", "USD as a string, else a whole number", "—", "The most that may be used in one period.", limit),
    key(
        "period",
        "per_goal, hour, day, week, month or total",
        "per_goal for the scope goal, else month",
        "How often it begins anew; weeks begin on Monday.",
        |b| b.period.as_str().to_owned(),
    ),
    key("time_zone", "name of the IANA database", "UTC", "Whose hours, days, weeks and months are meant.", |b| {
        b.zone.iana_name().unwrap_or_default().to_owned()
    }),
    key(
        "alert_thresholds",
        "per cent, rising, 1 to 1000",
        "50,80,100",
        "When an alert is raised, once a period each; empty: never.",
        thresholds,
    ),
    key(
        "on_exceed",
        "warn, block, downgrade, require_approval, return_partial, hand_off or queue",
        "block",
        "What happens to a call that does not fit.",
        |b| b.on_exceed.as_str().to_owned(),
    ),
    key("message", "text", "made from the figures", "What an end user may be shown when it is used up.", |b| {
        b.message.clone()
    }),
];

/// Keys of `[[workflow]]` beside its `id`.
pub static WORKFLOW_KEYS: &[ListedKey<WorkflowRules>] = &[
    key(
        "idle_timeout",
        "duration, such as 90s, 5m, 1h, 7d",
        "goals.idle_timeout",
        "How long its goals may lie idle before they are closed as timed out.",
        |w| w.idle_timeout_ms.map(format_duration_ms).unwrap_or_default(),
    ),
    key("price_usd", "USD as a string", "none: no margin is shown", "What one accepted goal is sold for.", |w| {
        w.price.map(decimal).unwrap_or_default()
    }),
];
