//! What a call costs: which model an id means, which price row was in force, and the exact sum. An id or a price
//! that is not in the catalogue stays unknown; nothing is guessed and nothing defaults to zero.

use std::sync::Arc;

use super::catalog::{Catalog, MatchRule, Model, Price, Rates, ServiceTier};
use super::money::{NanoUsd, PicoUsd};
use super::time::UnixMillis;

/// Tokens of one call. `input` includes cached reads and cache writes, `output` includes reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens.
    pub input: u64,
    /// Of them read from a cache.
    pub cached_input: u64,
    /// Of them written to a cache.
    pub cache_write: u64,
    /// All output tokens.
    pub output: u64,
    /// Of them reasoning.
    pub reasoning: u64,
}

/// The most tokens one count may hold.
pub const MAX_TOKENS: u64 = 10_000_000_000;

/// At which step of the matching order an id was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchStep {
    /// The catalogue id itself.
    ExactId,
    /// A declared alias.
    Alias,
    /// The name of a catalogue id, without its provider.
    ProviderPrefixed,
    /// One of the above after a date suffix was cut off.
    DateStripped,
    /// A declared match rule.
    Rule,
}

/// Two models match an id at the same step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{id}` is ambiguous: it matches {}", models.join(" and "))]
pub struct Ambiguous {
    /// The id as given.
    pub id: String,
    /// The models it matches.
    pub models: Vec<String>,
}

impl Catalog {
    /// The model an id means: exact id → alias → provider-prefixed id → the same without a date suffix → declared
    /// match rule. `None` is UNPRICED.
    ///
    /// # Errors
    /// Two models match at one step.
    pub fn resolve(&self, id: &str) -> Result<Option<(&Arc<Model>, MatchStep)>, Ambiguous> {
        if let Some(found) = self.resolve_plain(id)? {
            return Ok(Some(found));
        }
        if let Some(stripped) = strip_date_suffix(id)
            && let Some((model, _)) = self.resolve_plain(stripped)?
        {
            return Ok(Some((model, MatchStep::DateStripped)));
        }
        let hits: Vec<usize> =
            (0..self.models().len()).filter(|i| self.models()[*i].rules.iter().any(|rule| rule.matches(id))).collect();
        Ok(self.only(id, &hits)?.map(|model| (model, MatchStep::Rule)))
    }

    fn resolve_plain(&self, id: &str) -> Result<Option<(&Arc<Model>, MatchStep)>, Ambiguous> {
        let steps = [
            (&self.by_id, MatchStep::ExactId),
            (&self.by_alias, MatchStep::Alias),
            (&self.by_name, MatchStep::ProviderPrefixed),
        ];
        for (table, step) in steps {
            if let Some(hits) = table.get(id) {
                return Ok(self.only(id, hits)?.map(|model| (model, step)));
            }
        }
        Ok(None)
    }

    fn only(&self, id: &str, hits: &[usize]) -> Result<Option<&Arc<Model>>, Ambiguous> {
        if hits.len() > 1 {
            let models = hits.iter().map(|i| self.models()[*i].id.to_string()).collect();
            return Err(Ambiguous { id: id.to_owned(), models });
        }
        Ok(hits.first().map(|i| &self.models()[*i]))
    }
}

impl MatchRule {
    /// Whether every part given holds for `id`; a rule without parts matches nothing.
    #[must_use]
    pub fn matches(&self, id: &str) -> bool {
        let parts = [
            self.equals.as_deref().map(|part| id == part),
            self.starts_with.as_deref().map(|part| id.starts_with(part)),
            self.ends_with.as_deref().map(|part| id.ends_with(part)),
            self.contains.as_deref().map(|part| id.contains(part)),
        ];
        let mut given = parts.into_iter().flatten().peekable();
        given.peek().is_some() && given.all(|holds| holds)
    }
}

/// `id` without a trailing `-2024-08-06`, `-20240806` or `@…`; `None` when it has none.
#[must_use]
pub fn strip_date_suffix(id: &str) -> Option<&str> {
    if let Some((stem, _)) = id.rsplit_once('@') {
        return Some(stem).filter(|s| !s.is_empty());
    }
    [11, 9].into_iter().find_map(|length| {
        let (stem, suffix) = id.split_at_checked(id.len().checked_sub(length)?)?;
        (!stem.is_empty() && is_date_suffix(suffix)).then_some(stem)
    })
}

fn is_date_suffix(suffix: &str) -> bool {
    let digits: String = suffix.chars().filter(char::is_ascii_digit).collect();
    let shaped = match suffix.as_bytes() {
        [b'-', _, _, _, _, b'-', _, _, b'-', _, _] | [b'-', _, _, _, _, _, _, _, _] => digits.len() == 8,
        _ => false,
    };
    let number = |range: std::ops::Range<usize>| digits.get(range).and_then(|d| d.parse::<u32>().ok()).unwrap_or(0);
    shaped
        && (1900..2200).contains(&number(0..4))
        && (1..=12).contains(&number(4..6))
        && (1..=31).contains(&number(6..8))
}

impl Model {
    /// The price row in force at `at` for a service tier; `None` when there is none (never another tier's).
    #[must_use]
    pub fn price_at(&self, tier: ServiceTier, at: UnixMillis) -> Option<&Price> {
        self.prices.iter().rev().find(|p| p.service_tier == tier && p.from <= at)
    }

    /// Exact cost of `usage` at the price of that day; `None` is unknown.
    #[must_use]
    pub fn cost(&self, usage: &Usage, tier: ServiceTier, at: UnixMillis) -> Option<NanoUsd> {
        self.price_at(tier, at)?.cost(usage)
    }
}

impl Price {
    /// The rates of a call with so much input.
    #[must_use]
    pub fn rates_for(&self, input_tokens: u64) -> &Rates {
        let tier = self.tiers.iter().rev().find(|t| input_tokens > t.above_input_tokens);
        tier.map_or(&self.rates, |t| &t.rates)
    }

    /// Exact cost of `usage`: tokens × price summed in 128 bits and rounded once; `None` above $1,000,000.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Option<NanoUsd> {
        let rates = self.rates_for(usage.input);
        let cached = usage.cached_input.min(usage.input);
        let written = usage.cache_write.min(usage.input - cached);
        PicoUsd::default()
            .plus(usage.input - cached - written, rates.input)
            .plus(cached, rates.cached_input.unwrap_or(rates.input))
            .plus(written, rates.cache_write.unwrap_or(rates.input))
            .plus(usage.output, rates.output)
            .round(self.multiplier)
    }

    /// The most output tokens that, with `input_tokens` of uncached input, cost no more than `ceiling`.
    #[must_use]
    pub fn affordable_output_tokens(&self, input_tokens: u64, ceiling: NanoUsd) -> Option<u64> {
        let fits = |output| {
            let usage = Usage { input: input_tokens, output, ..Usage::default() };
            self.cost(&usage).is_some_and(|cost| cost <= ceiling)
        };
        if !fits(0) {
            return None;
        }
        let (mut low, mut high) = (0, MAX_TOKENS);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if fits(middle) { low = middle } else { high = middle - 1 }
        }
        Some(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalog::ContextTier;
    use crate::domain::money::{PicoUsdPerToken, PriceMultiplier};

    fn row(from: i64, input: &str, output: &str) -> Price {
        let parse = |text| PicoUsdPerToken::parse_usd_per_mtok(text).unwrap();
        let rates = Rates { input: parse(input), output: parse(output), cached_input: None, cache_write: None };
        let multiplier = PriceMultiplier::ONE;
        Price { from: UnixMillis(from), service_tier: ServiceTier::Standard, rates, multiplier, tiers: vec![] }
    }

    fn model(id: &str, aliases: &[&str], starts_with: Option<&str>) -> Arc<Model> {
        let rules = starts_with.map(|s| MatchRule { starts_with: Some(s.into()), ..MatchRule::default() });
        Arc::new(Model {
            id: id.into(),
            aliases: aliases.iter().map(ToString::to_string).collect(),
            rules: rules.into_iter().collect(),
            capabilities: [].into(),
            context_tokens: None,
            output_tokens: None,
            typical: None,
            source: String::new(),
            prices: vec![row(0, "5.00", "15.00"), row(1_000, "2.50", "10.00")],
        })
    }

    /// Acceptance A8: 300 in and 40 out.
    #[test]
    fn a8_costs_are_exact() {
        let usage = Usage { input: 300, output: 40, ..Usage::default() };
        let cost = |input, output| row(0, input, output).cost(&usage).unwrap();
        assert_eq!(cost("5", "15"), NanoUsd(2_100_000));
        assert_eq!(cost("0.15", "0.60"), NanoUsd(69_000));
        assert_eq!(cost("10", "30"), NanoUsd(4_200_000));
        assert_eq!(NanoUsd(cost("5", "15").0 * 10_000).to_string(), "$21.00");
        assert_eq!(NanoUsd(cost("0.15", "0.60").0 * 10_000).to_string(), "$0.69");
    }

    #[test]
    fn an_old_call_keeps_the_price_of_its_day() {
        let m = model("openai/gpt-4o", &[], None);
        let usage = Usage { input: 1_000_000, ..Usage::default() };
        assert_eq!(m.cost(&usage, ServiceTier::Standard, UnixMillis(-1)), None);
        assert_eq!(m.cost(&usage, ServiceTier::Standard, UnixMillis(999)), Some(NanoUsd(5_000_000_000)));
        assert_eq!(m.cost(&usage, ServiceTier::Standard, UnixMillis(1_000)), Some(NanoUsd(2_500_000_000)));
        assert_eq!(m.cost(&usage, ServiceTier::Batch, UnixMillis(1_000)), None, "no batch price is no price");
    }

    #[test]
    fn cached_parts_and_context_tiers_have_their_own_rates() {
        let mut price = row(0, "3", "15");
        price.rates.cached_input = Some(PicoUsdPerToken(300_000));
        price.rates.cache_write = Some(PicoUsdPerToken(3_750_000));
        let usage = Usage { input: 1_000, cached_input: 600, cache_write: 300, output: 10, reasoning: 5 };
        assert_eq!(price.cost(&usage), Some(NanoUsd(300_000 + 180_000 + 1_125_000 + 150_000)));
        let dear = Rates { input: PicoUsdPerToken(6_000_000), ..price.rates };
        price.tiers = vec![ContextTier { above_input_tokens: 200_000, rates: dear }];
        let at = |input| price.cost(&Usage { input, ..Usage::default() }).unwrap();
        assert_eq!(at(200_000), NanoUsd(600_000_000));
        assert_eq!(at(200_001), NanoUsd(1_200_006_000));
    }

    #[test]
    fn ids_match_in_order_and_never_by_guess() {
        let models = vec![
            model("openai/gpt-4o", &["gpt4o"], Some("gpt-4o-2024")),
            model("openai/gpt-4o-mini", &["4o-mini"], None),
            model("azure/gpt-4o", &[], None),
        ];
        let catalog = Catalog::new("v".into(), models, vec![], None);
        let resolve = |id: &str| catalog.resolve(id).map(|hit| hit.map(|(m, step)| (m.id.to_string(), step)));
        let hit = |id: &str, step| Ok(Some((id.to_owned(), step)));
        assert_eq!(resolve("azure/gpt-4o"), hit("azure/gpt-4o", MatchStep::ExactId));
        assert_eq!(resolve("gpt4o"), hit("openai/gpt-4o", MatchStep::Alias));
        assert_eq!(resolve("gpt-4o-mini"), hit("openai/gpt-4o-mini", MatchStep::ProviderPrefixed));
        assert_eq!(resolve("gpt-4o-mini-2024-07-18"), hit("openai/gpt-4o-mini", MatchStep::DateStripped));
        assert_eq!(resolve("gpt-4o-mini-20240718"), hit("openai/gpt-4o-mini", MatchStep::DateStripped));
        assert_eq!(resolve("gpt4o@001"), hit("openai/gpt-4o", MatchStep::DateStripped));
        assert_eq!(resolve("gpt-4o-2024x"), hit("openai/gpt-4o", MatchStep::Rule));
        assert_eq!(resolve("gpt-4o-mini-99999999"), Ok(None), "not a date");
        assert_eq!(resolve("gpt-4"), Ok(None));
        assert!(resolve("gpt-4o").unwrap_err().to_string().contains("openai/gpt-4o and azure/gpt-4o"));
    }

    #[test]
    fn affordable_output_is_the_last_token_that_fits() {
        let price = row(0, "5", "15");
        assert_eq!(price.affordable_output_tokens(300, NanoUsd(2_100_000)), Some(40));
        assert_eq!(price.affordable_output_tokens(300, NanoUsd(2_099_999)), Some(39));
        assert_eq!(price.affordable_output_tokens(300, NanoUsd(1_000)), None);
    }
}
