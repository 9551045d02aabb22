//! A scenario of `oddsmaker simulate`, from its text to a checked world: all mistakes are reported at once, each with its place.
//! It reads no file; models and their prices come from a catalogue. Task types and what happens to them are read next door.

use std::sync::Arc;

use toml::de::DeTable;

use crate::domain::budget::{Budgets, Measure};
use crate::domain::catalog::{Catalog, TaskSettings};
use crate::domain::names::Labels;
use crate::domain::time::UnixMillis;
use crate::domain::token::TokenKey;
use crate::simulation::baselines::Baseline;
use crate::simulation::scenario::{Kind, Policy, Scenario, TaskWorld};

use super::budgets::read_budgets;
use super::listed::Origins;
use super::report::{ConfigError, Warning, nearest, quoted, suggestion};
use super::scenario_events::{read_events, read_feedback};
use super::scenario_rollout::read_rollout;
use super::scenario_world::{Models, read_tasks, read_workflows};
use super::section::{Reader, Section, Value};
use super::tasks::read_settings;

/// The most arrivals and replications.
const ARRIVALS_MAX: u64 = 100_000_000;
const REPLICATIONS_MAX: u64 = 1_000_000;

/// The most arrivals in an hour.
const PER_HOUR_MAX: f64 = 3.6e9;

/// 2026-11-23T00:00:00Z, a Monday.
const START: UnixMillis = UnixMillis(1_795_392_000_000);

/// What a scenario has where it does not say.
const DEFAULT_ARRIVALS: u64 = 10_000;
const DEFAULT_PER_HOUR: f64 = 100.0;
const DEFAULT_REPLICATIONS: u64 = 100;
const DEFAULT_POLICIES: [&str; 5] = ["router", "cheapest", "dearest", "uniform", "oracle"];

/// Policies that need no setting.
const PLAIN: [&str; 9] =
    ["router", "cheapest", "dearest", "uniform", "epsilon_greedy", "ucb1", "klucb", "thompson", "oracle"];

/// The scenario written in `text`; `file` is what its errors call it, `name` what it is called where it does not say, and
/// `catalogue`, read from `catalogue_from`, has the prices of models that have none of their own.
///
/// # Errors
/// Everything that is wrong with it, in file order.
pub fn parse_scenario(
    text: &str,
    file: &str,
    name: &str,
    catalogue: &Catalog,
    catalogue_from: &str,
) -> Result<(Scenario, Vec<Warning>), Vec<ConfigError>> {
    let (document, syntax) = DeTable::parse_recoverable(text);
    let reader = Reader::new(file, text);
    let scenario =
        reader.root(document.get_ref(), &syntax).map(|root| read(root, name, Models::new(catalogue, catalogue_from)));
    reader.finish(scenario)
}

fn read(root: Section<'_>, name: &str, mut models: Models<'_>) -> Scenario {
    let start = root.get("start").and_then(|v| v.day()).unwrap_or(START);
    models.start = start;
    let tasks = read_tasks(&root, &mut models);
    let workflows = read_workflows(&root, &tasks);
    if let Some(place) =
        root.get("workflow").filter(|_| tasks.iter().flat_map(|t| &t.cases).any(|c| c.pinned.is_some()))
    {
        place.error("cases are only pinned where single calls arrive", None);
    }
    let (arrivals, per_hour) = read_traffic(&root, !workflows.is_empty());
    let line = |key| root.get(key).and_then(|v| v.line()).map(str::to_owned);
    let scenario = Scenario {
        name: root.get("name").and_then(|v| read_name(&v)).unwrap_or(name).to_owned(),
        about: line("about").unwrap_or_default(),
        seed: root.get("seed").and_then(|v| v.integer(0..=i64::MAX.unsigned_abs())).unwrap_or(1),
        arrivals,
        per_hour,
        start,
        replications: root
            .get("replications")
            .and_then(|v| v.integer(1..=REPLICATIONS_MAX))
            .unwrap_or(DEFAULT_REPLICATIONS) as u32,
        labels: root.get("labels").and_then(|v| v.section()).map(|s| read_labels(&s)).unwrap_or_default(),
        events: read_events(&root, per_hour, &tasks, &models),
        feedback: root.get("feedback").and_then(|v| v.section()).map(|s| read_feedback(s, &models)).unwrap_or_default(),
        budgets: Arc::new(budgets(&root)),
        rollout: root.get("rollout").and_then(|v| v.section()).and_then(|s| read_rollout(s, &models)),
        policies: read_policies(&root, &tasks, &models),
        models: models.used(),
        tasks,
        workflows,
    };
    let unpriced = || scenario.slots().any(|(_, candidate)| candidate.cost.is_some());
    if let Some(budgets) = root.get("budget").filter(|_| scenario.budgets.all.iter().any(|b| b.measure == Measure::Usd))
        && unpriced()
    {
        let help = "give every candidate a `price` instead of `cost_usd`".to_owned();
        budgets.error(
            "a budget in money only holds models with a price: the daemon never serves others under it",
            Some(help),
        );
    }
    root.finish();
    scenario
}

/// A name that can name a folder.
fn read_name<'r>(value: &Value<'r>) -> Option<&'r str> {
    let name = value.id()?;
    if name.starts_with('.') || !name.chars().all(|c| c.is_alphanumeric() || " -_.".contains(c)) {
        let help = "use letters, digits, spaces and any of - _ .".to_owned();
        value.error(format!("{} cannot name a folder", quoted(name)), Some(help));
        return None;
    }
    Some(name)
}

/// `calls` and `calls_per_hour`, or `goals` and `goals_per_hour` where goals arrive.
fn read_traffic(root: &Section<'_>, of_goals: bool) -> (u64, f64) {
    let keys = [("calls", "calls_per_hour"), ("goals", "goals_per_hour")];
    let (count, rate) = keys[usize::from(of_goals)];
    let (other_count, other_rate) = keys[usize::from(!of_goals)];
    for (key, instead) in [(other_count, count), (other_rate, rate)] {
        if let Some(value) = root.get(key) {
            let say = if of_goals { "goals arrive here, because there are workflows" } else { "there is no workflow" };
            value.error(format!("{} says nothing: {say}", quoted(key)), Some(format!("use `{instead}`")));
        }
    }
    let arrivals = root.get(count).and_then(|v| v.integer(1..=ARRIVALS_MAX)).unwrap_or(DEFAULT_ARRIVALS);
    (arrivals, root.get(rate).and_then(|v| v.number(1e-3..=PER_HOUR_MAX)).unwrap_or(DEFAULT_PER_HOUR))
}

pub(super) fn read_labels(section: &Section<'_>) -> Labels {
    let label = |(key, value): (&str, Value<'_>)| Some((key.to_owned(), value.id()?.to_owned()));
    section.entries().into_iter().filter_map(label).collect()
}

/// `[[budget]]` as in oddsmaker.toml. Nobody is concealed from anybody here, so the key is a known one.
fn budgets(root: &Section<'_>) -> Budgets {
    read_budgets(root, &mut Origins::default()).conceal(&TokenKey::new([0; 32]))
}

/// `policies`, a list of names, and then `[[policy]]`, each with settings of its own.
fn read_policies(root: &Section<'_>, tasks: &[TaskWorld], models: &Models<'_>) -> Vec<Policy> {
    let listed = root.get("policies");
    let tables = root.sections("policy");
    let mut policies: Vec<Policy> = Vec::new();
    let mut add = |policy: Option<Policy>, place: Option<&Value<'_>>| {
        let Some(policy) = policy else { return };
        if let Some(place) = place.filter(|_| policies.iter().any(|p| p.name == policy.name)) {
            place.error(format!("the policy {} is there twice", quoted(&policy.name)), None);
        }
        policies.push(policy);
    };
    match &listed {
        Some(list) => list.list().iter().for_each(|v| add(read_word(v, tasks, models), Some(v))),
        None if tables.is_empty() => {
            for word in DEFAULT_POLICIES {
                add(
                    Some(Policy {
                        name: word.to_owned(),
                        kind: plain(word, tasks),
                        keeps_budgets: true,
                        keeps_rollout: true,
                    }),
                    None,
                );
            }
        }
        None => {}
    }
    for section in tables {
        let place = section.need("name");
        add(read_policy(section, place.as_ref().and_then(Value::id), tasks, models), place.as_ref());
    }
    if policies.is_empty()
        && let Some(list) = listed
    {
        list.error("a scenario needs a policy", None);
    }
    policies
}

fn read_word(value: &Value<'_>, tasks: &[TaskWorld], models: &Models<'_>) -> Option<Policy> {
    let word = value.id()?;
    let kind = match word.split_once('=') {
        Some(("always", model)) => always(value, model, models)?,
        Some(("epsilon_greedy", _)) if Baseline::named(word, 1).is_some() => Kind::Textbook(word.to_owned()),
        None if PLAIN.contains(&word) => plain(word, tasks),
        _ => {
            let known: Vec<&str> = PLAIN.into_iter().chain(["always=MODEL", "epsilon_greedy=SHARE"]).collect();
            value.error(format!("no policy is called {}", quoted(word)), suggestion(word, &known));
            return None;
        }
    };
    Some(Policy { name: word.to_owned(), kind, keeps_budgets: true, keeps_rollout: true })
}

fn plain(word: &str, tasks: &[TaskWorld]) -> Kind {
    match word {
        "router" => Kind::Router(tasks.iter().map(|t| t.settings.clone()).collect()),
        "cheapest" => Kind::Cheapest,
        "dearest" => Kind::Dearest,
        "oracle" => Kind::Oracle,
        word => Kind::Textbook(word.to_owned()),
    }
}

fn always(value: &Value<'_>, model: &str, models: &Models<'_>) -> Option<Kind> {
    let found = models.find(model);
    if found.is_none() {
        let near = nearest(model, models.ids());
        let help = near.map(|near| format!("did you mean {}?", quoted(near)));
        value.error(format!("no candidate is the model {}", quoted(model)), help);
    }
    found.map(Kind::Always)
}

fn read_policy(section: Section<'_>, name: Option<&str>, tasks: &[TaskWorld], models: &Models<'_>) -> Option<Policy> {
    let place = section.get("kind");
    let words: Vec<(&str, &str)> = PLAIN.into_iter().chain(["always"]).map(|word| (word, word)).collect();
    let word = place.as_ref().map_or(Some("router"), |v| v.word(&words));
    let [keeps_budgets, keeps_rollout] =
        ["budgets", "rollout"].map(|key| section.get(key).and_then(|v| v.boolean()).unwrap_or(true));
    let kind = match word {
        Some("router") => {
            let of = |settings: &TaskSettings| read_settings(&section, settings);
            let read: Vec<TaskSettings> = tasks.iter().map(|t| of(&t.settings)).collect();
            Some(Kind::Router(read))
        }
        Some("always") => section.need("model").and_then(|v| always(&v, v.id()?, models)),
        Some("epsilon_greedy") => {
            let epsilon = section.get("epsilon").and_then(|v| v.fraction()).unwrap_or(0.05);
            Some(Kind::Textbook(format!("epsilon_greedy={epsilon}")))
        }
        Some(word) => Some(plain(word, tasks)),
        None => None,
    };
    section.finish();
    Some(Policy { name: name?.to_owned(), kind: kind?, keeps_budgets, keeps_rollout })
}
