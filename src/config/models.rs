//! `[[provider]]` and `[[model]]` of models.toml: what a model is called, what it can do, and where that is known
//! from. Reads on after a mistake; what it returns then is only good for finding the next one. It knows no task types.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::catalog::{MatchRule, Model, TypicalUsage};
use crate::domain::money::PriceMultiplier;
use crate::domain::pricing::MAX_TOKENS;

use super::model_names::{Named, check_names};
use super::prices::{CONTEXT_TOKENS_MAX, read_prices};
use super::report::{nearest, quoted};
use super::section::{Section, Value};

/// Every model in file order, names checked against each other.
pub(super) fn read_models(root: &Section<'_>) -> Vec<Arc<Model>> {
    let providers = read_providers(root);
    let sections = root.sections("model").into_iter();
    let models: Vec<Named<'_>> = sections.filter_map(|section| read_model(section, &providers)).collect();
    check_names(&models);
    for (name, (place, _)) in &providers {
        if !models.iter().any(|m| m.model.provider() == *name) {
            let near = nearest(name, models.iter().map(|m| m.model.provider()));
            let help = near.map(|near| format!("did you mean {}?", quoted(near)));
            place.error(format!("no model is of the provider {}", quoted(name)), help);
        }
    }
    models.into_iter().map(|m| Arc::new(m.model)).collect()
}

type Providers<'r> = BTreeMap<&'r str, (Value<'r>, PriceMultiplier)>;

fn read_providers<'r>(root: &Section<'r>) -> Providers<'r> {
    let mut providers = Providers::new();
    for section in root.sections("provider") {
        let place = section.need("id");
        let id = place.as_ref().and_then(Value::id);
        let multiplier = section.need("price_multiplier").and_then(|v| v.multiplier()).unwrap_or_default();
        section.finish();
        let (Some(place), Some(id)) = (place, id) else { continue };
        if providers.contains_key(id) {
            place.error(format!("the provider {} is declared twice", quoted(id)), None);
        }
        providers.insert(id, (place, multiplier));
    }
    providers
}

fn read_model<'r>(section: Section<'r>, providers: &Providers<'r>) -> Option<Named<'r>> {
    let place = section.need("id");
    let id = place.as_ref().and_then(model_id);
    let aliases: Vec<_> = section.list("aliases").into_iter().filter_map(|v| Some((name(&v)?, v))).collect();
    let rules: Vec<_> = section.list("match").into_iter().filter_map(|v| Some((read_rule(&v)?, v))).collect();
    let limit = section.get("limit").and_then(|v| v.section());
    let [context_tokens, output_tokens] = limit.map_or([None; 2], read_limit);
    let own = section.get("price_multiplier").and_then(|v| v.multiplier()).unwrap_or_default();
    let provider = id.and_then(|id| id.split_once('/')).and_then(|(name, _)| providers.get(name));
    let multiplier = provider.map_or(own, |(_, factor)| factor.times(own));
    let model = Model {
        id: id.unwrap_or_default().into(),
        aliases: aliases.iter().map(|(alias, _)| (*alias).to_owned()).collect(),
        rules: rules.iter().map(|(rule, _)| rule.clone()).collect(),
        capabilities: section.list("capabilities").iter().filter_map(Value::id).map(str::to_owned).collect(),
        context_tokens,
        output_tokens,
        typical: section.get("typical").and_then(|v| v.section()).and_then(read_typical),
        source: section.get("source").and_then(|v| v.line()).unwrap_or_default().to_owned(),
        prices: read_prices(section.sections("price"), multiplier),
    };
    section.finish();
    let id = place.filter(|_| id.is_some())?;
    Some(Named {
        model,
        id,
        aliases: aliases.into_iter().map(|(_, v)| v).collect(),
        rules: rules.into_iter().map(|(_, v)| v).collect(),
    })
}

/// A name a candidate can be given by; `#` is kept for variants.
fn name<'r>(value: &Value<'r>) -> Option<&'r str> {
    let name = value.id()?;
    if name.contains('#') {
        value.error(format!("{} contains `#`, which begins the variant of a candidate", quoted(name)), None);
        return None;
    }
    Some(name)
}

fn model_id<'r>(value: &Value<'r>) -> Option<&'r str> {
    let id = name(value)?;
    if id.split_once('/').is_some_and(|(provider, name)| !provider.is_empty() && !name.is_empty()) {
        return Some(id);
    }
    value.error(format!("{} is not of the form `provider/name`", quoted(id)), None);
    None
}

fn read_limit(section: Section<'_>) -> [Option<u64>; 2] {
    let limits = ["context", "output"].map(|key| section.get(key).and_then(|v| v.integer(1..=CONTEXT_TOKENS_MAX)));
    section.finish();
    limits
}

fn read_typical(section: Section<'_>) -> Option<TypicalUsage> {
    let [input, output] =
        ["input_tokens", "output_tokens"].map(|key| section.need(key).and_then(|v| v.integer(0..=MAX_TOKENS)));
    section.finish();
    Some(TypicalUsage { input_tokens: input?, output_tokens: output? })
}

fn read_rule(value: &Value<'_>) -> Option<MatchRule> {
    let section = value.section()?;
    let [equals, starts_with, ends_with, contains] = ["equals", "starts_with", "ends_with", "contains"]
        .map(|key| section.get(key).and_then(|v| v.id()).map(str::to_owned));
    let rule = MatchRule { equals, starts_with, ends_with, contains };
    let empty = rule == MatchRule::default() && section.is_empty();
    section.finish();
    if empty {
        value.error("a match rule needs `equals`, `starts_with`, `ends_with` or `contains`", None);
    }
    Some(rule)
}
