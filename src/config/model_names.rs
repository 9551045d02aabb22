//! Whether every id a caller may send means one model: ids, aliases and match rules of all models held against each
//! other. It refuses to know anything of a model but its names.

use std::collections::BTreeMap;

use crate::domain::catalog::{MatchRule, Model};

use super::report::quoted;
use super::section::Value;

/// A model and the places its names are written at.
pub(super) struct Named<'r> {
    pub(super) model: Model,
    pub(super) id: Value<'r>,
    /// In the order of `model.aliases`.
    pub(super) aliases: Vec<Value<'r>>,
    /// In the order of `model.rules`.
    pub(super) rules: Vec<Value<'r>>,
}

/// Reports names that two models, or one model twice, lay claim to.
pub(super) fn check_names(models: &[Named<'_>]) {
    let mut ids: BTreeMap<&str, &str> = BTreeMap::new();
    for Named { model, id, .. } in models {
        if ids.insert(&model.id, &model.id).is_some() {
            id.error(format!("the model {} is declared twice", quoted(&model.id)), None);
        }
    }
    let mut aliases: BTreeMap<&str, &str> = BTreeMap::new();
    for Named { model, aliases: places, .. } in models {
        for (alias, place) in model.aliases.iter().zip(places) {
            if ids.contains_key(alias.as_str()) {
                place.error(format!("the alias {} is the id of a model", quoted(alias)), None);
            }
            if let Some(other) = aliases.insert(alias, &model.id) {
                place.error(format!("{} is already an alias of {}", quoted(alias), quoted(other)), None);
            }
        }
    }
    warn_of_ambiguous_bare_names(models, &aliases);
    check_rules(models);
}

/// A bare name of two models is no mistake: calls may always name the provider. Without it they are refused.
fn warn_of_ambiguous_bare_names(models: &[Named<'_>], aliases: &BTreeMap<&str, &str>) {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for Named { model, id, .. } in models {
        let name = model.name();
        if let Some(other) = first.insert(name, &model.id)
            && *other != *model.id
            && !aliases.contains_key(name)
        {
            let message = format!("{} alone is ambiguous: {} has the same name", quoted(name), quoted(other));
            id.warn(message, Some(format!("give one of them the alias {}", quoted(name))));
        }
    }
}

fn check_rules(models: &[Named<'_>]) {
    for (i, named) in models.iter().enumerate() {
        for (rule, place) in named.model.rules.iter().zip(&named.rules) {
            for other in &models[..i] {
                for earlier in &other.model.rules {
                    compare_rules(place, rule, earlier, &other.model.id);
                }
            }
        }
    }
}

fn compare_rules(place: &Value<'_>, rule: &MatchRule, earlier: &MatchRule, other: &str) {
    if rule == earlier {
        place.error(format!("{} has the same match rule", quoted(other)), None);
    } else if let (Some(one), Some(two)) = (only_start(rule), only_start(earlier))
        && (one.starts_with(two) || two.starts_with(one))
    {
        let longer = if one.len() > two.len() { one } else { two };
        let message = format!("ids that start with {} also match a rule of {}", quoted(longer), quoted(other));
        place.warn(message, Some("an id that two rules match is ambiguous and stays unpriced".to_owned()));
    }
}

/// The start a rule asks for, when it asks for nothing else.
fn only_start(rule: &MatchRule) -> Option<&str> {
    let MatchRule { equals: None, starts_with: Some(start), ends_with: None, contains: None } = rule else {
        return None;
    };
    Some(start)
}
