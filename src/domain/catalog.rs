//! The catalogue: which models exist, what they cost on which day, and which of them may do which type of task.
//! It is already checked when it gets here; reading files and naming lines is `config`'s work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::choose;
use super::history::Memory;
use super::money::{NanoUsd, PicoUsdPerToken, PriceMultiplier};
use super::param::ParamValue;
use super::rollout::Rollout;
use super::strata::Strata;
use super::time::UnixMillis;
use super::trust::Sources;

/// The service tier a call was bought at; each has its own price rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceTier {
    /// The list price.
    #[default]
    Standard,
    /// Asynchronous, cheaper.
    Batch,
    /// Faster, dearer.
    Priority,
    /// Slower, cheaper.
    Flex,
}

impl ServiceTier {
    /// All tiers, in the order of their names in files.
    pub const ALL: [Self; 4] = [Self::Standard, Self::Batch, Self::Priority, Self::Flex];

    /// The lower-case word used in files and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Batch => "batch",
            Self::Priority => "priority",
            Self::Flex => "flex",
        }
    }

    /// The tier of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == text)
    }
}

/// Prices per token of one row or one context tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Uncached input.
    pub input: PicoUsdPerToken,
    /// Output, reasoning included.
    pub output: PicoUsdPerToken,
    /// Input read from a prompt cache; `None`: billed as input.
    pub cached_input: Option<PicoUsdPerToken>,
    /// Input written to a prompt cache; `None`: billed as input.
    pub cache_write: Option<PicoUsdPerToken>,
}

/// Rates of calls whose input is longer than `above_input_tokens`; they apply to the whole call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextTier {
    /// The tier starts above this many input tokens.
    pub above_input_tokens: u64,
    /// Its rates.
    pub rates: Rates,
}

/// One price row of a model: in force from its day until a newer row of the same service tier begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// Start of its first day (UTC).
    pub from: UnixMillis,
    /// What it is the price of.
    pub service_tier: ServiceTier,
    /// Rates of the shortest context.
    pub rates: Rates,
    /// Negotiated factor: provider × model × row, combined.
    pub multiplier: PriceMultiplier,
    /// Longer contexts, rising.
    pub tiers: Vec<ContextTier>,
}

/// One declared match rule of a model; every part given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchRule {
    /// The id is exactly this.
    pub equals: Option<String>,
    /// The id begins with this.
    pub starts_with: Option<String>,
    /// The id ends with this.
    pub ends_with: Option<String>,
    /// The id contains this.
    pub contains: Option<String>,
}

/// Token counts assumed until a mean is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypicalUsage {
    /// Input tokens of a call.
    pub input_tokens: u64,
    /// Output tokens of a call.
    pub output_tokens: u64,
}

/// A model of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// `provider/name`, unique.
    pub id: Arc<str>,
    /// Other ids that mean this model; unique over the catalogue.
    pub aliases: Vec<String>,
    /// Rules tried last.
    pub rules: Vec<MatchRule>,
    /// What it can do ("json", "tools", "vision" …).
    pub capabilities: BTreeSet<String>,
    /// Context window in tokens; `None`: unknown.
    pub context_tokens: Option<u64>,
    /// Longest output in tokens; `None`: unknown.
    pub output_tokens: Option<u64>,
    /// Usage assumed until learned.
    pub typical: Option<TypicalUsage>,
    /// Where the prices were read, and when.
    pub source: String,
    /// Price rows in rising `from`.
    pub prices: Vec<Price>,
}

impl Model {
    /// The part of the id before the first `/`.
    #[must_use]
    pub fn provider(&self) -> &str {
        self.id.split_once('/').map_or("", |(provider, _)| provider)
    }

    /// The part of the id after the first `/`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.id.split_once('/').map_or(&self.id, |(_, name)| name)
    }
}

/// What "better" means for a task type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    /// The highest chance of success, cheapest within the tolerance.
    #[default]
    Success,
    /// The highest p·value − (1 − p)·failure cost − cost.
    NetValue,
}

/// How long a draw is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sticky {
    /// For the task type within one goal.
    #[default]
    Goal,
    /// For one step of one goal.
    Step,
    /// Every call is drawn anew.
    None,
}

/// What a pin says about the model it names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pins {
    /// Somebody's judgement of the case: does not teach.
    #[default]
    Selected,
    /// Habit: pinned and elsewhere-routed first attempts teach like the router's own.
    Exchangeable,
}

/// What rewards a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reward {
    /// 1 for a success, 0 for a failure.
    #[default]
    Success,
    /// The quality score, or success where no score came.
    Quality,
}

/// Pseudo-counts a posterior starts from, in millionths: Beta(successes, failures).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prior {
    /// α₀ in millionths; > 0.
    pub successes_micro: u64,
    /// β₀ in millionths; > 0.
    pub failures_micro: u64,
}

impl Prior {
    /// Beta(1, 1).
    pub const UNIFORM: Self = Self { successes_micro: 1_000_000, failures_micro: 1_000_000 };
}

impl Default for Prior {
    fn default() -> Self {
        Self::UNIFORM
    }
}

/// What a deterministic rule answers before any draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleVerdict {
    /// No model call is needed.
    NoModel,
    /// A person has to agree first.
    RequireApproval,
}

/// A deterministic rule; it holds when every condition given holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Label that must have the value.
    pub label_equals: Option<(String, String)>,
    /// Step name that must be the request's.
    pub step: Option<String>,
    /// What the request must say of reversibility.
    pub reversible: Option<bool>,
    /// The answer.
    pub verdict: RuleVerdict,
    /// The sentence the caller is shown.
    pub reason: String,
}

/// A model offered for a task type, optionally with fixed parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskCandidate {
    /// Key of the posterior: the model's id, or `id#variant`.
    pub id: Arc<str>,
    /// The model behind it.
    pub model: Arc<Model>,
    /// Parameters the caller is told to use.
    pub params: BTreeMap<String, ParamValue>,
    /// Prior of its own; `None`: the task type's.
    pub prior: Option<Prior>,
    /// Quality tier for ceilings; `None`: untiered.
    pub tier: Option<u32>,
    /// Scored and reported, never served.
    pub shadow: bool,
}

/// A task type and its settings; `design` defaults are those of `TaskSettings::default`.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its name.
    pub id: Arc<str>,
    /// Candidates in catalogue order, shadows included.
    pub candidates: Vec<TaskCandidate>,
    /// Everything else.
    pub settings: TaskSettings,
}

/// Settings of a task type.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSettings {
    /// ε in [0, 1]: how much drawn success may be given up for a cheaper model.
    pub tolerance: f64,
    /// η in [0, 1]: share of decisions given to a uniformly random eligible candidate.
    pub exploration_floor: f64,
    /// δ in [0, 1] of the over-provisioning flag.
    pub flag_margin: f64,
    /// What is maximised.
    pub objective: Objective,
    /// How long a draw is kept.
    pub sticky: Sticky,
    /// Whether pins teach.
    pub pins: Pins,
    /// What rewards a call.
    pub reward: Reward,
    /// A call without a verdict of its own has that of its goal's end.
    pub learns_from_goal: bool,
    /// Quality floor in [0, 1]; 0 is none.
    pub min_success_rate: f64,
    /// Ceiling on what one call may cost.
    pub max_cost: Option<NanoUsd>,
    /// L of the net value: what a failure costs beside its call.
    pub failure_cost: NanoUsd,
    /// V of the net value: what a success is worth.
    pub value: NanoUsd,
    /// Prior of every candidate without its own.
    pub prior: Prior,
    /// Outcomes at most that a candidate's prior gets from what it did at other task types; 0: none.
    pub sibling_prior: u64,
    /// How its evidence ages.
    pub memory: Memory,
    /// Changes of a candidate's success rate are looked for, and end its evidence.
    pub detects_changes: bool,
    /// How long a decision waits for its outcome, in milliseconds.
    pub decision_ttl_ms: i64,
    /// Deterministic rules, tried in order.
    pub rules: Vec<Rule>,
    /// How far the router is rolled out.
    pub rollout: Rollout,
    /// What tells its requests apart, and the strata that makes.
    pub strata: Arc<Strata>,
    /// How far each source of outcomes is believed.
    pub sources: Arc<Sources>,
}

impl TaskSettings {
    /// How the objective compares draws.
    #[must_use]
    pub fn rule(&self) -> choose::Rule {
        self.rule_of(self.objective)
    }

    /// The rule under the other objective.
    #[must_use]
    pub fn other_rule(&self) -> choose::Rule {
        self.rule_of(if self.objective == Objective::Success { Objective::NetValue } else { Objective::Success })
    }

    fn rule_of(&self, objective: Objective) -> choose::Rule {
        match objective {
            Objective::Success => choose::Rule::Tolerance { tolerance: self.tolerance },
            Objective::NetValue => {
                choose::Rule::NetValue { value_usd: self.value.usd(), failure_cost_usd: self.failure_cost.usd() }
            }
        }
    }
}

impl Default for TaskSettings {
    fn default() -> Self {
        Self {
            tolerance: 0.01,
            exploration_floor: 0.01,
            flag_margin: 0.02,
            objective: Objective::Success,
            sticky: Sticky::Goal,
            pins: Pins::Selected,
            reward: Reward::Success,
            learns_from_goal: false,
            min_success_rate: 0.0,
            max_cost: None,
            failure_cost: NanoUsd::ZERO,
            value: NanoUsd::ZERO,
            prior: Prior::UNIFORM,
            sibling_prior: 0,
            memory: Memory::default(),
            detects_changes: true,
            decision_ttl_ms: super::time::HOUR_MS,
            rules: Vec::new(),
            rollout: Rollout::default(),
            strata: Arc::default(),
            sources: Arc::default(),
        }
    }
}

/// A checked catalogue. Built by [`Catalog::new`], which also builds its look-up tables.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    version: String,
    models: Vec<Arc<Model>>,
    tasks: BTreeMap<Arc<str>, Arc<Task>>,
    default_task: Option<Arc<str>>,
    pub(super) by_id: BTreeMap<String, Vec<usize>>,
    pub(super) by_alias: BTreeMap<String, Vec<usize>>,
    pub(super) by_name: BTreeMap<String, Vec<usize>>,
}

impl Catalog {
    /// A catalogue of `models` and `tasks`; `version` identifies its source text.
    #[must_use]
    pub fn new(version: String, models: Vec<Arc<Model>>, tasks: Vec<Task>, default_task: Option<Arc<str>>) -> Self {
        let mut catalog = Self { version, default_task, ..Self::default() };
        for (i, model) in models.iter().enumerate() {
            catalog.by_id.entry(model.id.to_string()).or_default().push(i);
            catalog.by_name.entry(model.name().to_owned()).or_default().push(i);
            for alias in &model.aliases {
                catalog.by_alias.entry(alias.clone()).or_default().push(i);
            }
        }
        catalog.models = models;
        catalog.tasks = tasks.into_iter().map(|t| (t.id.clone(), Arc::new(t))).collect();
        catalog
    }

    /// Identifies the text it was read from.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Every model, in file order.
    #[must_use]
    pub fn models(&self) -> &[Arc<Model>] {
        &self.models
    }

    /// Every declared task type, by name.
    pub fn tasks(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.values()
    }

    /// The declared task type of that name.
    #[must_use]
    pub fn task(&self, id: &str) -> Option<&Arc<Task>> {
        self.tasks.get(id)
    }

    /// One line: how much is in it, and its version.
    #[must_use]
    pub fn summary(&self) -> String {
        let providers: BTreeSet<&str> = self.models.iter().map(|m| m.provider()).collect();
        let many = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
        let (models, tasks) = (many(self.models.len(), "model"), many(self.tasks.len(), "task type"));
        format!("{models} of {}, {tasks}, version {}", many(providers.len(), "provider"), self.version)
    }

    /// The task type whose settings undeclared names inherit.
    #[must_use]
    pub fn default_task(&self) -> Option<&Arc<Task>> {
        self.default_task.as_ref().and_then(|id| self.tasks.get(id))
    }
}
