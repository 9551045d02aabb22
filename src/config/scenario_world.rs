//! `[[task]]` and `[[workflow]]` of a scenario: what candidates truly are, and what goals are made of. Models are those of a
//! catalogue, or get a price here. It refuses to know what happens on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::catalog::{Catalog, Model, Price, Rates, ServiceTier, TypicalUsage};
use crate::domain::money::PriceMultiplier;
use crate::domain::time::UnixMillis;
use crate::simulation::chance::Spread;
use crate::simulation::scenario::{CandidateWorld, Case, TaskWorld, Workflow};

use super::report::{nearest, quoted};
use super::scenario::read_labels;
use super::section::{Section, Value};
use super::tasks::read_settings;

/// The most tokens a mean may be.
const TOKENS_MAX: f64 = 1e8;

/// The widest spread: the logarithm's standard deviation.
const SIGMA_MAX: f64 = 3.0;

/// The longest mean latency, in milliseconds.
const LATENCY_MS_MAX: f64 = 8.64e7;

/// The most tries of a step.
const ATTEMPTS_MAX: u64 = 100;

/// The models a scenario uses.
pub(super) struct Models<'c> {
    catalogue: &'c Catalog,
    catalogue_from: &'c str,
    /// When the scenario starts: prices are those of then.
    pub(super) start: UnixMillis,
    used: Vec<Arc<Model>>,
}

impl<'c> Models<'c> {
    /// None yet, of a catalogue that was read from `catalogue_from`.
    pub(super) fn new(catalogue: &'c Catalog, catalogue_from: &'c str) -> Self {
        Self { catalogue, catalogue_from, start: UnixMillis(0), used: Vec::new() }
    }

    /// All of them, in the order they were named.
    pub(super) fn used(self) -> Vec<Arc<Model>> {
        self.used
    }

    /// Their ids.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.used.iter().map(|m| &*m.id)
    }

    /// The place of the one of that name: its id, or what the catalogue resolves to it.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        let place = |id: &str| self.used.iter().position(|m| *m.id == *id);
        place(name).or_else(|| place(&self.catalogue.resolve(name).ok().flatten()?.0.id))
    }

    /// The place of a model that is named where it must be a candidate already.
    pub(super) fn read(&self, value: &Value<'_>) -> Option<usize> {
        let name = value.id()?;
        let found = self.find(name);
        if found.is_none() {
            let help = nearest(name, self.ids()).map(|near| format!("did you mean {}?", quoted(near)));
            value.error(format!("no candidate is the model {}", quoted(name)), help);
        }
        found
    }

    /// The place of a candidate's model, with the price written beside it (`own`) or that of the catalogue; `means` are the
    /// tokens assumed of it until a mean is learned, where the catalogue does not say.
    fn add(&mut self, value: &Value<'_>, own: Option<Rates>, is_priced: bool, means: TypicalUsage) -> Option<usize> {
        let name = value.id()?;
        let known = value.check(self.catalogue.resolve(name))?.map(|(model, _)| model.clone());
        if known.is_none() && own.is_none() && !is_priced {
            let known = self.catalogue.models().iter().map(|m| &*m.id);
            let near = nearest(name, known).map(|near| format!("did you mean {}?", quoted(near)));
            let other = "give another catalogue with --models, or write `price = { input = \"2.50\", output = \"10\" }` beside it";
            let from = self.catalogue_from;
            let say =
                format!("no model of the catalogue ({from}) is called {}, and it has no price here", quoted(name));
            value.error(say, near.or_else(|| Some(other.to_owned())));
            return None;
        }
        let id: Arc<str> = known.as_ref().filter(|_| own.is_none()).map_or_else(|| name.into(), |m| m.id.clone());
        let prices = match (own, &known) {
            (Some(rates), _) => vec![price(rates)],
            (None, Some(model)) => model.price_at(ServiceTier::Standard, self.start).cloned().into_iter().collect(),
            (None, None) => Vec::new(),
        };
        if prices.is_empty() && !is_priced {
            value.error(format!("{} has no price on the day the scenario starts", quoted(&id)), None);
            return None;
        }
        if let Some(place) = self.used.iter().position(|m| m.id == id) {
            if self.used[place].prices != prices {
                value.error(format!("{} has another price than where it stands first", quoted(&id)), None);
            }
            return Some(place);
        }
        // Without it a daemon could not hold money for its first calls, so whoever prices a model says it.
        let typical = known.as_ref().and_then(|m| m.typical).or((!is_priced).then_some(means));
        self.used.push(Arc::new(model(id, prices, typical)));
        Some(self.used.len() - 1)
    }
}

fn model(id: Arc<str>, prices: Vec<Price>, typical: Option<TypicalUsage>) -> Model {
    Model {
        id,
        aliases: Vec::new(),
        rules: Vec::new(),
        capabilities: BTreeSet::new(),
        context_tokens: None,
        output_tokens: None,
        typical,
        source: String::new(),
        prices,
    }
}

fn price(rates: Rates) -> Price {
    let (from, service_tier, multiplier) = (UnixMillis(0), ServiceTier::Standard, PriceMultiplier::ONE);
    Price { from, service_tier, rates, multiplier, tiers: Vec::new() }
}

/// `{ input, output }` in USD per million tokens.
pub(super) fn read_rates(value: &Value<'_>) -> Option<Rates> {
    let section = value.section()?;
    let [input, output] = ["input", "output"].map(|key| section.need(key).and_then(|v| v.usd_per_mtok()));
    section.finish();
    Some(Rates { input: input?, output: output?, cached_input: None, cache_write: None })
}

/// Every task type in file order.
pub(super) fn read_tasks(root: &Section<'_>, models: &mut Models<'_>) -> Vec<TaskWorld> {
    let mut tasks: Vec<TaskWorld> = Vec::new();
    let sections = root.need("task").map_or_else(Vec::new, |v| v.sections());
    for section in sections {
        let place = section.need("id");
        let id = place.as_ref().and_then(Value::id);
        let share = section.get("share").and_then(|v| v.number(0.0..=1e6)).unwrap_or(1.0);
        let settings = read_settings(&section, &Default::default());
        let candidates = read_candidates(&section, models);
        let cases = read_cases(&section, &candidates, models);
        section.finish();
        let (Some(place), Some(id)) = (place, id) else { continue };
        if tasks.iter().any(|t| *t.id == *id) {
            place.error(format!("the task type {} is declared twice", quoted(id)), None);
        }
        tasks.push(TaskWorld { id: id.into(), share, settings, candidates, cases });
    }
    tasks
}

fn read_candidates(task: &Section<'_>, models: &mut Models<'_>) -> Vec<CandidateWorld> {
    let mut candidates: Vec<CandidateWorld> = Vec::new();
    for section in task.need("candidate").map_or_else(Vec::new, |v| v.sections()) {
        let place = section.need("model");
        let rates = section.get("price").and_then(|v| read_rates(&v));
        let fixed = section.get("cost_usd");
        let cost = fixed.as_ref().and_then(Value::usd);
        if let (Some(fixed), true) = (&fixed, rates.is_some()) {
            fixed.error("a candidate has `price` or `cost_usd`, not both", None);
        }
        let success = section.need("success").and_then(|v| v.fraction());
        let spread = section.get("token_spread").and_then(|v| v.number(0.0..=SIGMA_MAX)).unwrap_or(0.0);
        let tokens = |key| {
            let value = if fixed.is_some() { section.get(key) } else { section.need(key) };
            let mean = value.and_then(|v| v.number(0.0..=TOKENS_MAX)).unwrap_or(0.0);
            Spread { mean, sigma: spread }
        };
        let (input, output) = (tokens("input_tokens"), tokens("output_tokens"));
        let [input_tokens, output_tokens] = [input, output].map(|t| t.mean.round() as u64);
        let means = TypicalUsage { input_tokens, output_tokens };
        let model = place.as_ref().and_then(|v| models.add(v, rates, fixed.is_some(), means));
        let latency = section.get("latency_ms").and_then(|v| v.number(0.0..=LATENCY_MS_MAX)).unwrap_or(0.0);
        let sigma = section.get("latency_spread").and_then(|v| v.number(0.0..=SIGMA_MAX)).unwrap_or(0.0);
        let offered = section.get("offered").and_then(|v| v.boolean()).unwrap_or(true);
        section.finish();
        let (Some(place), Some(model), Some(success)) = (place, model, success) else { continue };
        if candidates.iter().any(|c| c.model == model) {
            place.error("this model is already a candidate of the task type", None);
        }
        let latency_ms = Spread { mean: latency, sigma };
        candidates.push(CandidateWorld { model, success, input, output, cost, latency_ms, offered });
    }
    candidates
}

/// Kinds of calls of a task type.
fn read_cases(task: &Section<'_>, candidates: &[CandidateWorld], models: &Models<'_>) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let arm = |model: usize| candidates.iter().position(|c| c.model == model);
    for section in task.sections("case") {
        let place = section.need("share");
        let share = place.as_ref().and_then(Value::fraction).unwrap_or(0.0);
        let mut success = vec![None; candidates.len()];
        if let Some(rates) = section.need("success").and_then(|v| v.section()) {
            for (name, value) in rates.entries() {
                match models.find(name).and_then(arm) {
                    Some(arm) => success[arm] = value.fraction(),
                    None => value.error(format!("no candidate of the task type is the model {}", quoted(name)), None),
                }
            }
        }
        let pinned = section.get("pinned").and_then(|v| v.section()).and_then(|pin| {
            let model = pin.need("model").and_then(|v| models.read(&v));
            let share = pin.get("share").and_then(|v| v.fraction()).unwrap_or(1.0);
            pin.finish();
            Some((arm(model?)?, share))
        });
        let features = section.get("features").and_then(|v| v.section()).map(|s| read_numbers(&s)).unwrap_or_default();
        let labels = section.get("labels").and_then(|v| v.section()).map(|s| read_labels(&s)).unwrap_or_default();
        section.finish();
        cases.push(Case { share, success, pinned, features, labels });
        if let Some(place) = place.filter(|_| cases.iter().map(|c| c.share).sum::<f64>() > 1.0 + 1e-9) {
            place.error("the shares of the cases add up to more than 1", None);
        }
    }
    cases
}

/// Numbers by name, as a request sends them.
fn read_numbers(section: &Section<'_>) -> BTreeMap<String, f64> {
    let number = |(name, value): (&str, Value<'_>)| Some((name.to_owned(), value.number(-1e300..=1e300)?));
    section.entries().into_iter().filter_map(number).collect()
}

/// Every workflow in file order.
pub(super) fn read_workflows(root: &Section<'_>, tasks: &[TaskWorld]) -> Vec<Workflow> {
    let mut workflows: Vec<Workflow> = Vec::new();
    for section in root.sections("workflow") {
        let place = section.need("id");
        let id = place.as_ref().and_then(Value::id);
        let share = section.get("share").and_then(|v| v.number(0.0..=1e6)).unwrap_or(1.0);
        let attempts = section.get("attempts").and_then(|v| v.integer(1..=ATTEMPTS_MAX)).unwrap_or(3) as u32;
        let words = [("retry", false), ("fallback", true)];
        let falls_back = section.get("on_failure").and_then(|v| v.word(&words)).unwrap_or(false);
        let list = section.need("steps");
        let steps: Vec<(String, usize)> =
            list.iter().flat_map(Value::list).filter_map(|step| read_step(&step, tasks)).collect();
        section.finish();
        let (Some(place), Some(id), Some(list)) = (place, id, list) else { continue };
        if workflows.iter().any(|w| w.id == id) {
            place.error(format!("the workflow {} is declared twice", quoted(id)), None);
        }
        if list.list().is_empty() {
            list.error("a workflow needs a step", None);
        }
        workflows.push(Workflow { id: id.to_owned(), share, steps, attempts, falls_back });
    }
    workflows
}

/// A step: the name of a task type, or `{ step, task }`.
fn read_step(value: &Value<'_>, tasks: &[TaskWorld]) -> Option<(String, usize)> {
    if let Some(task) = value.as_text() {
        return Some((task.to_owned(), task_named(value, task, tasks)?));
    }
    let section = value.section()?;
    let name = section.need("step").and_then(|v| v.id());
    let task = section.need("task").and_then(|v| task_named(&v, v.id()?, tasks));
    section.finish();
    Some((name?.to_owned(), task?))
}

/// The place of a task type.
pub(super) fn task_named(value: &Value<'_>, name: &str, tasks: &[TaskWorld]) -> Option<usize> {
    let found = tasks.iter().position(|t| *t.id == *name);
    if found.is_none() {
        let help = nearest(name, tasks.iter().map(|t| &*t.id)).map(|near| format!("did you mean {}?", quoted(near)));
        value.error(format!("no task type is called {}", quoted(name)), help);
    }
    found
}
