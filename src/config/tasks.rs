//! `[[task]]` of models.toml: how a task type chooses among its candidates. Its candidates and
//! its rollout are read next door.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::catalog::{Catalog, Objective, Pins, Reward, Rule, RuleVerdict, Sticky, Task, TaskSettings};
use crate::domain::history::Memory;
use crate::domain::money::NanoUsd;
use crate::domain::time::DAY_MS;

use super::candidates::{read_candidates, read_prior};
use super::features::read_strata;
use super::report::quoted;
use super::rollout::read_rollout;
use super::section::{Section, Value};
use super::sources::read_sources;

/// Shortest and longest time a decision waits for its outcome.
const DECISION_TTL_MS: std::ops::RangeInclusive<i64> = 1_000..=30 * DAY_MS;

const OBJECTIVES: [(&str, Objective); 2] = [("success", Objective::Success), ("net_value", Objective::NetValue)];
const STICKY: [(&str, Sticky); 3] = [("goal", Sticky::Goal), ("step", Sticky::Step), ("none", Sticky::None)];
const PINS: [(&str, Pins); 2] = [("selected", Pins::Selected), ("exchangeable", Pins::Exchangeable)];
const REWARDS: [(&str, Reward); 2] = [("success", Reward::Success), ("quality", Reward::Quality)];
const LEARN_FROM: [(&str, bool); 2] = [("call", false), ("goal", true)];
const VERDICTS: [(&str, RuleVerdict); 2] =
    [("no_model", RuleVerdict::NoModel), ("require_approval", RuleVerdict::RequireApproval)];

/// Every task type in file order; `models` is a catalogue of the models alone.
pub(super) fn read_tasks(root: &Section<'_>, models: &Catalog) -> Vec<Task> {
    let mut seen = BTreeSet::new();
    let mut tasks = Vec::new();
    for section in root.sections("task") {
        let place = section.need("id");
        let id = place.as_ref().and_then(Value::id);
        let candidates = read_candidates(&section, models);
        let rollout = read_rollout(&section, models, &candidates);
        let settings = TaskSettings { rollout, ..read_settings(&section, &TaskSettings::default()) };
        section.finish();
        let (Some(place), Some(id)) = (place, id) else { continue };
        if !seen.insert(id) {
            place.error(format!("the task type {} is declared twice", quoted(id)), None);
        }
        tasks.push(Task { id: id.into(), candidates, settings });
    }
    tasks
}

/// The settings in `section`; what it does not say is as in `design`.
pub(super) fn read_settings(section: &Section<'_>, design: &TaskSettings) -> TaskSettings {
    let fraction = |key, otherwise| section.get(key).and_then(|v| v.fraction()).unwrap_or(otherwise);
    let whole = |key, most, otherwise| section.get(key).and_then(|v| v.integer(0..=most)).unwrap_or(otherwise);
    let usd = |key| section.get(key).and_then(|v| v.usd());
    let objective = section.get("objective");
    let value = section.get("value_usd");
    let settings = TaskSettings {
        tolerance: fraction("tolerance", design.tolerance),
        exploration_floor: fraction("exploration_floor", design.exploration_floor),
        flag_margin: fraction("flag_margin", design.flag_margin),
        objective: objective.as_ref().and_then(|v| v.word(&OBJECTIVES)).unwrap_or(design.objective),
        sticky: section.get("sticky").and_then(|v| v.word(&STICKY)).unwrap_or(design.sticky),
        pins: section.get("pins").and_then(|v| v.word(&PINS)).unwrap_or(design.pins),
        reward: section.get("reward").and_then(|v| v.word(&REWARDS)).unwrap_or(design.reward),
        learns_from_goal: section
            .get("learn_from")
            .and_then(|v| v.word(&LEARN_FROM))
            .unwrap_or(design.learns_from_goal),
        min_success_rate: fraction("min_success_rate", design.min_success_rate),
        max_cost: usd("max_cost_usd").or(design.max_cost),
        failure_cost: usd("failure_cost_usd").unwrap_or(design.failure_cost),
        value: value.as_ref().and_then(Value::usd).unwrap_or(design.value),
        prior: section.get("prior").and_then(|v| read_prior(&v)).unwrap_or(design.prior),
        sibling_prior: whole("sibling_prior", 20, design.sibling_prior),
        memory: Memory {
            half_life_ms: section
                .get("half_life_days")
                .and_then(|v| v.number(0.0..=36_500.0))
                .map_or(design.memory.half_life_ms, |days| (days * DAY_MS as f64).round() as i64),
            half_life_outcomes: whole("half_life_outcomes", 1_000_000_000_000, design.memory.half_life_outcomes),
            evidence_cap: whole("evidence_cap", 1_000_000_000_000, design.memory.evidence_cap),
        },
        detects_changes: section.get("change_detection").and_then(|v| v.boolean()).unwrap_or(design.detects_changes),
        decision_ttl_ms: section
            .get("decision_ttl")
            .and_then(|v| v.duration_ms(DECISION_TTL_MS))
            .unwrap_or(design.decision_ttl_ms),
        rules: match section.get("rules") {
            Some(rules) => rules.list().iter().filter_map(read_rule).collect(),
            None => design.rules.clone(),
        },
        rollout: design.rollout.clone(),
        strata: match section.get("features") {
            Some(features) => Arc::new(read_strata(&features)),
            None => design.strata.clone(),
        },
        sources: match section.get("sources") {
            Some(sources) => Arc::new(read_sources(&sources)),
            None => design.sources.clone(),
        },
    };
    if let Some(objective) = objective.filter(|_| settings.objective == Objective::NetValue)
        && settings.value == NanoUsd::ZERO
    {
        let help = "write what one success is worth, such as value_usd = \"0.10\"".to_owned();
        value.unwrap_or(objective).error("the objective `net_value` needs `value_usd` above 0", Some(help));
    }
    settings
}

fn read_rule(value: &Value<'_>) -> Option<Rule> {
    let section = value.section()?;
    let place = section.need("when");
    let when = place.as_ref().and_then(Value::section);
    let verdict = section.need("verdict").and_then(|v| v.word(&VERDICTS));
    let reason = section.need("reason").and_then(|v| v.id());
    section.finish();
    let when = when?;
    let unconditional = when.is_empty();
    let label = when.get("label").and_then(|v| v.id());
    let equals = when.get("equals").and_then(|v| v.text());
    let step = when.get("step").and_then(|v| v.id()).map(str::to_owned);
    let reversible = when.get("reversible").and_then(|v| v.boolean());
    when.finish();
    let place = place?;
    if unconditional {
        place.error("a rule needs a condition: `label` and `equals`, `step` or `reversible`", None);
    }
    if label.is_some() != equals.is_some() {
        place.error("`label` and `equals` belong together", None);
    }
    let label_equals = label.zip(equals).map(|(label, text)| (label.to_owned(), text.to_owned()));
    Some(Rule { label_equals, step, reversible, verdict: verdict?, reason: reason?.to_owned() })
}
