//! `[[model.price]]` of models.toml: what a token of a model costs from which day on, exactly as written. It refuses
//! to guess: no default price, no default unit, no default day.

use std::collections::BTreeSet;

use crate::domain::catalog::{ContextTier, Price, Rates, ServiceTier};
use crate::domain::money::PriceMultiplier;
use crate::domain::time::UnixMillis;

use super::report::quoted;
use super::section::{Section, Value};

/// The one unit prices are written in.
const UNIT: &str = "usd_per_mtok";

/// The most tokens a context window may be said to hold.
pub(super) const CONTEXT_TOKENS_MAX: u64 = 1_000_000_000;

/// The price rows of one model in rising `from`; `multiplier` is that of its provider and its own.
pub(super) fn read_prices(sections: Vec<Section<'_>>, multiplier: PriceMultiplier) -> Vec<Price> {
    let mut seen = BTreeSet::new();
    let mut prices: Vec<Price> = sections.into_iter().map(|s| read_price(s, multiplier, &mut seen)).collect();
    prices.sort_by_key(|p| p.from);
    prices
}

fn read_price(
    section: Section<'_>,
    multiplier: PriceMultiplier,
    seen: &mut BTreeSet<(ServiceTier, UnixMillis)>,
) -> Price {
    if let Some(unit) = section.need("unit") {
        unit.word(&[(UNIT, ())]);
    }
    let place = section.need("from");
    let from = place.as_ref().and_then(Value::day);
    let words = ServiceTier::ALL.map(|tier| (tier.as_str(), tier));
    let service_tier = section.get("service_tier").map_or(Some(ServiceTier::Standard), |v| v.word(&words));
    if let (Some(place), Some(tier), Some(from)) = (place, service_tier, from)
        && !seen.insert((tier, from))
    {
        let tier = quoted(tier.as_str());
        place.error(format!("there is already a price of the service tier {tier} from this day on"), None);
    }
    let rates = read_rates(&section);
    let row = section.get("multiplier").and_then(|v| v.multiplier()).unwrap_or_default();
    let price = Price {
        from: from.unwrap_or_default(),
        service_tier: service_tier.unwrap_or_default(),
        rates,
        multiplier: multiplier.times(row),
        tiers: read_tiers(section.list("tiers"), &rates),
    };
    section.finish();
    price
}

fn read_rates(section: &Section<'_>) -> Rates {
    let must = |key| section.need(key).and_then(|v| v.usd_per_mtok()).unwrap_or_default();
    let may = |key| section.get(key).and_then(|v| v.usd_per_mtok());
    Rates {
        input: must("input"),
        output: must("output"),
        cached_input: may("cached_input"),
        cache_write: may("cache_write"),
    }
}

fn read_tiers(items: Vec<Value<'_>>, base: &Rates) -> Vec<ContextTier> {
    let mut tiers: Vec<ContextTier> = Vec::new();
    for item in items {
        let Some(section) = item.section() else { continue };
        let above = section.need("above_input_tokens");
        let tokens = above.as_ref().and_then(|v| v.integer(1..=CONTEXT_TOKENS_MAX));
        let rates = read_rates(&section);
        if rates.cached_input.is_none() && base.cached_input.is_some() {
            let help = "write `cached_input` here too if the provider has a price for it".to_owned();
            item.warn("cached input of this tier is billed as its input", Some(help));
        }
        section.finish();
        let (Some(above), Some(above_input_tokens)) = (above, tokens) else { continue };
        if tiers.last().is_some_and(|t| t.above_input_tokens >= above_input_tokens) {
            above.error("tiers must rise: this one starts no higher than the one before", None);
        }
        tiers.push(ContextTier { above_input_tokens, rates });
    }
    tiers
}
