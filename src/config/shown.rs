//! Settings as `config show` prints them: each with its value, default and meaning, and where the value was written. It
//! refuses to know how a value got there.

use std::collections::BTreeMap;

use super::listed::{BUDGET_KEYS, ListedKey, WORKFLOW_KEYS, listed_path};
use super::report::Origin;
use super::settings::Settings;
use super::settings_keys::KEYS;

/// Where each value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(pub(super) BTreeMap<String, Origin>);

impl Sources {
    /// Where the value of a key such as `server.listen` or `budget.ticket-run.limit` came from.
    #[must_use]
    pub fn origin(&self, path: &str) -> &Origin {
        self.0.get(path).unwrap_or(&Origin::Default)
    }
}

/// A setting as `config show` prints it.
#[derive(Clone, Debug)]
pub struct Shown<'a> {
    /// Its path: `server.listen`, `budget.ticket-run.limit`.
    pub path: String,
    /// Its value; empty where there is none.
    pub value: String,
    /// Unit or form of the value.
    pub unit: &'static str,
    /// Its default, as it would be written, or in words.
    pub default_text: String,
    /// Where the value comes from.
    pub origin: &'a Origin,
    /// The environment variable that overrides it; `None`: only the file can say it.
    pub env_name: Option<String>,
    /// What it decides, in one line.
    pub meaning: &'static str,
}

/// Every setting with its value and where that comes from: table by table, then every workflow, then every budget.
pub fn shown<'a>(settings: &'a Settings, sources: &'a Sources) -> impl Iterator<Item = Shown<'a>> {
    let single = KEYS.iter().map(|key| Shown {
        path: key.path.to_owned(),
        value: key.value(settings),
        unit: key.unit,
        default_text: key.default_text(),
        origin: sources.origin(key.path),
        env_name: Some(key.env_name()),
        meaning: key.meaning,
    });
    let workflows = settings.goal_rules.workflows.iter();
    let workflows = workflows.flat_map(|(id, rules)| listed("workflow", id, rules, WORKFLOW_KEYS, sources));
    let budgets = settings.budgets.as_written().iter();
    let budgets = budgets.flat_map(|budget| listed("budget", &budget.id, budget, BUDGET_KEYS, sources));
    single.chain(workflows).chain(budgets)
}

fn listed<'a, T>(
    table: &'static str,
    id: &'a str,
    of: &'a T,
    keys: &'static [ListedKey<T>],
    sources: &'a Sources,
) -> impl Iterator<Item = Shown<'a>> {
    keys.iter().map(move |key| {
        let path = listed_path(table, id, key.name);
        Shown {
            value: (key.show)(of),
            unit: key.unit,
            default_text: key.default_text.to_owned(),
            origin: sources.origin(&path),
            env_name: None,
            meaning: key.meaning,
            path,
        }
    })
}
