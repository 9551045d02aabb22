//! The candidates of a task type: names resolved to models of the catalogue, variants kept apart, shadows marked.
//! It refuses to know how a candidate is chosen.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::catalog::{Catalog, Model, Prior, TaskCandidate};

use super::report::{nearest, quoted};
use super::section::{Section, Value};
use super::values::ID_CHARS_MAX;

/// The highest quality tier.
const TIER_MAX: u64 = 1_000;

/// The most pseudo-counts a prior may hold.
const PRIOR_MAX: f64 = 1e6;

/// Candidates of `section`, a task type, in file order: the list first, then the tables.
pub(super) fn read_candidates(section: &Section<'_>, models: &Catalog) -> Vec<TaskCandidate> {
    let list = section.get("candidates");
    let items = list.as_ref().map_or_else(Vec::new, Value::list);
    let tables = section.sections("candidate");
    let none_given = items.is_empty() && tables.is_empty();
    let named = items.into_iter().map(|item| (read_named(&item, models), Some(item)));
    let detailed = tables.into_iter().map(|table| read_detailed(table, models));
    let mut candidates: Vec<TaskCandidate> = Vec::new();
    let mut unread = false;
    for (candidate, place) in named.chain(detailed) {
        let (Some(candidate), Some(place)) = (candidate, place) else {
            unread = true;
            continue;
        };
        if candidates.iter().any(|c| c.id == candidate.id) {
            place.error(format!("{} is already a candidate", quoted(&candidate.id)), None);
        }
        candidates.push(candidate);
    }
    mark_shadows(section, models, &mut candidates, unread);
    if none_given {
        let message = "a task type needs `candidates` or `[[task.candidate]]`";
        list.map_or_else(|| section.error(message, None), |v| v.error(message, None));
    }
    candidates
}

/// `{ successes, failures }` in pseudo-counts, both above 0; kept in millionths.
pub(super) fn read_prior(value: &Value<'_>) -> Option<Prior> {
    let section = value.section()?;
    let [successes, failures] = ["successes", "failures"].map(|key| {
        let count = section.need(key)?.number(1e-6..=PRIOR_MAX)?;
        Some((count * 1e6).round() as u64)
    });
    section.finish();
    Some(Prior { successes_micro: successes?, failures_micro: failures? })
}

fn read_named(item: &Value<'_>, models: &Catalog) -> Option<TaskCandidate> {
    let (id, model) = resolve(item, item.id()?, models)?;
    Some(TaskCandidate { id, model, params: BTreeMap::new(), prior: None, tier: None, shadow: false })
}

fn read_detailed<'r>(table: Section<'r>, models: &Catalog) -> (Option<TaskCandidate>, Option<Value<'r>>) {
    let model_place = table.get("model");
    let place = table.get("id").or_else(|| model_place.clone());
    if place.is_none() {
        table.error("a candidate needs an `id`", Some("write `provider/name` or `provider/name#variant`".to_owned()));
    }
    let resolved = place.as_ref().and_then(|place| resolve(place, place.id()?, models));
    let named = model_place.as_ref().and_then(|v| Some((v, resolve(v, v.id()?, models)?.1)));
    if let (Some((value, model)), Some((id, of_id))) = (&named, &resolved)
        && model.id != of_id.id
    {
        let message = format!("the id {} names the model {}, not {}", quoted(id), quoted(&of_id.id), quoted(&model.id));
        value.error(message, Some("leave `model` out, or let the id begin with it".to_owned()));
    }
    let params = table.get("params").and_then(|v| v.section()).map(|s| s.json()).unwrap_or_default();
    let prior = table.get("prior").and_then(|v| read_prior(&v));
    let tier = table.get("tier").and_then(|v| v.integer(0..=TIER_MAX)).map(|tier| tier as u32);
    table.finish();
    let candidate = resolved.map(|(id, model)| TaskCandidate { id, model, params, prior, tier, shadow: false });
    (candidate, place)
}

/// The canonical id (`provider/name` or `provider/name#variant`) and the model `name` stands for.
pub(super) fn resolve(place: &Value<'_>, name: &str, models: &Catalog) -> Option<(Arc<str>, Arc<Model>)> {
    let (stem, variant) = name.split_once('#').map_or((name, None), |(stem, variant)| (stem, Some(variant)));
    if variant == Some("") {
        place.error(format!("{} has no variant after `#`", quoted(name)), None);
        return None;
    }
    let Some((model, _)) = place.check(models.resolve(stem))? else {
        let known = models.models().iter().flat_map(|m| std::iter::once(&*m.id).chain(m.aliases.iter().map(|a| &**a)));
        let help = nearest(stem, known).map(|near| format!("did you mean {}?", quoted(near)));
        place.error(format!("no model is called {}", quoted(stem)), help);
        return None;
    };
    let id: Arc<str> = variant.map_or_else(|| model.id.clone(), |variant| format!("{}#{variant}", model.id).into());
    if id.chars().count() > ID_CHARS_MAX {
        place.error(format!("{} is longer than {ID_CHARS_MAX} characters", quoted(&id)), None);
    }
    Some((id, model.clone()))
}

fn mark_shadows(section: &Section<'_>, models: &Catalog, candidates: &mut [TaskCandidate], unread: bool) {
    let Some(list) = section.get("shadow") else { return };
    for item in list.list() {
        let Some(name) = item.id() else { continue };
        let canonical = |stem: &str| models.resolve(stem).ok().flatten().map(|(model, _)| model.id.to_string());
        let id = match name.split_once('#') {
            Some((stem, variant)) => canonical(stem).map(|id| format!("{id}#{variant}")),
            None => canonical(name),
        };
        if let Some(candidate) = candidates.iter_mut().find(|c| Some(&*c.id) == id.as_deref()) {
            candidate.shadow = true;
        } else if !unread {
            let near = nearest(name, candidates.iter().map(|c| &*c.id));
            let help = near.map(|near| format!("did you mean {}?", quoted(near)));
            item.error(format!("{} is not a candidate of this task type", quoted(name)), help);
        }
    }
    if !candidates.is_empty() && !unread && candidates.iter().all(|c| c.shadow) {
        list.error("every candidate is a shadow, so none could be served", None);
    }
}
