//! `models explain`: which model an id means and by which step, which price row is in force, and the exact cost of a
//! call; or why it is UNPRICED, with the nearest names. It prices nothing itself; that is the domain's work.

use std::io::Write;

use serde_json::{Value, json};

use super::args::{ExplainArgs, Format, SettingFlags};
use super::failure::Failure;
use super::human::{count, day, printable};
use super::listing::{Cell, Column, Listing, print_json};
use super::models::{now, per_mtok, warn};
use super::setup;
use crate::domain::catalog::{Catalog, Model, Price, Rates};
use crate::domain::money::{NanoUsd, PicoUsdPerToken, PriceMultiplier};
use crate::domain::pricing::{MatchStep, Usage};
use crate::domain::time::UnixMillis;

const COLUMNS: &[Column] = &[
    Column::program("id"),
    Column::program("status"),
    Column::program("model"),
    Column::program("step"),
    Column::program("matches"),
    Column::program("nearest"),
    Column::program("service_tier"),
    Column::program("price_from"),
    Column::program("input_usd_per_mtok"),
    Column::program("output_usd_per_mtok"),
    Column::program("cached_input_usd_per_mtok"),
    Column::program("cache_write_usd_per_mtok"),
    Column::program("multiplier"),
    Column::program("input_tokens"),
    Column::program("output_tokens"),
    Column::program("cost_usd"),
    Column::program("cost_nano_usd"),
];

/// Names offered for an unknown id.
const NEAREST_SHOWN: usize = 3;

/// Likeness from 0 to 1 (1 − Damerau-Levenshtein distance ÷ length) below which a name is not offered.
const LIKENESS_MIN: f64 = 0.55;

/// Prints the explanation.
///
/// # Errors
/// Bad configuration; more cached tokens than input. An id that nothing matches is an answer, not an error.
pub(super) fn run(
    flags: &SettingFlags,
    args: &ExplainArgs,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if let (Some(input), parts) = (args.input, args.cached + args.cache_write)
        && parts > input
    {
        let message = format!("{parts} cached and cache-written tokens are more than the {input} input tokens");
        return Err(Failure::Usage(message));
    }
    let loaded = setup::catalogue(&setup::settings(flags)?.settings)?;
    warn(&loaded.warnings);
    let explanation = explain(&loaded.catalog, args, args.at.unwrap_or_else(now));
    match format {
        Format::Table => Ok(out.write_all(explanation.text(args).as_bytes())?),
        Format::Json => {
            let object = explanation.listing(args).objects().next().map_or(Value::Null, Value::Object);
            print_json(&object, out)
        }
        Format::Csv => explanation.listing(args).print(format, out),
    }
}

/// What an id is.
enum Explanation<'c> {
    Known { model: &'c Model, step: MatchStep, at: UnixMillis, price: Option<&'c Price>, usage: Option<Usage> },
    Ambiguous { models: Vec<String> },
    Unpriced { nearest: Vec<&'c str> },
}

fn explain<'c>(catalog: &'c Catalog, args: &ExplainArgs, at: UnixMillis) -> Explanation<'c> {
    match catalog.resolve(&args.id) {
        Ok(Some((model, step))) => {
            let price = model.price_at(args.tier, at);
            Explanation::Known { model, step, at, price, usage: usage(args, model) }
        }
        Ok(None) => Explanation::Unpriced { nearest: nearest(catalog, &args.id) },
        Err(ambiguous) => Explanation::Ambiguous { models: ambiguous.models },
    }
}

/// The usage given, else the model's typical one, when it is declared.
fn usage(args: &ExplainArgs, model: &Model) -> Option<Usage> {
    let typical = model.typical.filter(|_| args.input.is_none() && args.output.is_none());
    let (input, output) = match (typical, args.input, args.output) {
        (Some(typical), ..) => (typical.input_tokens, typical.output_tokens),
        (None, None, None) if args.cached + args.cache_write == 0 => return None,
        (None, input, output) => (input.unwrap_or(args.cached + args.cache_write), output.unwrap_or(0)),
    };
    Some(Usage { input, cached_input: args.cached, cache_write: args.cache_write, output, reasoning: 0 })
}

/// Ids whose id, name or alias is like `id`, the most like first.
fn nearest<'c>(catalog: &'c Catalog, id: &str) -> Vec<&'c str> {
    let given = id.to_lowercase();
    let bare = given.rsplit_once('/').map_or(given.as_str(), |(_, name)| name);
    let likeness = |model: &Model| {
        let names = [&*model.id, model.name()].into_iter().chain(model.aliases.iter().map(String::as_str));
        let one = |name: &str| {
            let name = name.to_lowercase();
            strsim::normalized_damerau_levenshtein(&given, &name)
                .max(strsim::normalized_damerau_levenshtein(bare, &name))
        };
        names.map(one).fold(0.0, f64::max)
    };
    let mut rated: Vec<(f64, &str)> = catalog.models().iter().map(|m| (likeness(m), &*m.id)).collect();
    rated.retain(|(likeness, _)| *likeness >= LIKENESS_MIN);
    rated.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    rated.truncate(NEAREST_SHOWN);
    rated.into_iter().map(|(_, id)| id).collect()
}

fn step_word(step: MatchStep) -> &'static str {
    match step {
        MatchStep::ExactId => "exact_id",
        MatchStep::Alias => "alias",
        MatchStep::ProviderPrefixed => "name_without_provider",
        MatchStep::DateStripped => "date_suffix_cut_off",
        MatchStep::Rule => "match_rule",
    }
}

fn step_sentence(step: MatchStep) -> &'static str {
    match step {
        MatchStep::ExactId => "step 1 of 5: it is the id itself",
        MatchStep::Alias => "step 2 of 5: it is a declared alias",
        MatchStep::ProviderPrefixed => "step 3 of 5: it is the name without its provider",
        MatchStep::DateStripped => "step 4 of 5: steps 1 to 3 again without its date suffix",
        MatchStep::Rule => "step 5 of 5: a match rule of the model holds for it",
    }
}

impl Explanation<'_> {
    fn text(&self, args: &ExplainArgs) -> String {
        let mut text = String::new();
        let id = printable(&args.id);
        let mut line = |name: &str, value: &str| text += &format!("  {name:<11} {value}\n");
        let first = match self {
            Self::Known { model, step, at, price, usage } => {
                line("recognised", step_sentence(*step));
                match price {
                    Some(price) => line("price", &price_sentence(price)),
                    None => line("price", &no_price_sentence(model, args, *at)),
                }
                if let Some(usage) = usage {
                    line("usage", &usage_sentence(usage, args));
                    let cost = price.and_then(|p| p.cost(usage));
                    line("cost", &cost.map_or_else(|| "unknown, never $0".to_owned(), |c| c.to_string()));
                }
                format!("{id} is {}", model.id)
            }
            Self::Ambiguous { models } => {
                line("matches", &models.join(" and "));
                line("so", "a call with this id is refused; name the provider, or give one of them an alias");
                format!("{id} is ambiguous")
            }
            Self::Unpriced { nearest } => {
                line(
                    "why",
                    "no model has this id, alias or name, also not without a date suffix, and no match rule holds",
                );
                let none = "no name is like it".to_owned();
                line("nearest", &if nearest.is_empty() { none } else { nearest.join(", ") });
                line(
                    "so",
                    "its calls cost \"unknown\", never $0, until a [[model]], an alias or a match rule covers it",
                );
                format!("{id} is UNPRICED")
            }
        };
        format!("{first}\n{text}")
    }

    fn listing(&self, args: &ExplainArgs) -> Listing {
        let mut fields = json!({ "id": args.id, "service_tier": args.tier.as_str() });
        match self {
            Self::Known { model, step, price, usage, .. } => {
                let cost = price.zip(*usage).and_then(|(p, u)| p.cost(&u));
                fields["status"] = if price.is_some() { "priced" } else { "unpriced" }.into();
                fields["model"] = (&*model.id).into();
                fields["step"] = step_word(*step).into();
                fields["input_tokens"] = usage.map(|u| u.input).into();
                fields["output_tokens"] = usage.map(|u| u.output).into();
                fields["cost_usd"] = cost.map(NanoUsd::usd).into();
                fields["cost_nano_usd"] = cost.map(|c| c.0).into();
                if let Some(price) = price {
                    add_price(&mut fields, price, usage.map_or(0, |u| u.input));
                }
            }
            Self::Ambiguous { models } => {
                fields["status"] = "ambiguous".into();
                fields["matches"] = models.clone().into();
            }
            Self::Unpriced { nearest } => {
                fields["status"] = "unpriced".into();
                fields["nearest"] = nearest.clone().into();
            }
        }
        let mut listing = Listing::new(COLUMNS);
        listing.push(COLUMNS.iter().map(|c| Cell::from(fields[c.key()].clone())).collect());
        listing
    }
}

fn add_price(fields: &mut Value, price: &Price, input_tokens: u64) {
    let rates = price.rates_for(input_tokens);
    fields["price_from"] = day(price.from).into();
    fields["input_usd_per_mtok"] = rates.input.usd_per_mtok().into();
    fields["output_usd_per_mtok"] = rates.output.usd_per_mtok().into();
    fields["cached_input_usd_per_mtok"] = rates.cached_input.map(PicoUsdPerToken::usd_per_mtok).into();
    fields["cache_write_usd_per_mtok"] = rates.cache_write.map(PicoUsdPerToken::usd_per_mtok).into();
    fields["multiplier"] = price.multiplier.factor().into();
}

fn price_sentence(price: &Price) -> String {
    let mut text = format!("{} tier, from {}: {}", price.service_tier.as_str(), day(price.from), rates(&price.rates));
    for tier in &price.tiers {
        text += &format!("; above {} input tokens {}", count(tier.above_input_tokens), rates(&tier.rates));
    }
    if price.multiplier != PriceMultiplier::ONE {
        text += &format!("; times {}", price.multiplier.factor());
    }
    text
}

fn rates(rates: &Rates) -> String {
    let mut text = format!("input ${}, output ${}", per_mtok(rates.input), per_mtok(rates.output));
    for (name, rate) in [("cached input", rates.cached_input), ("cache write", rates.cache_write)] {
        text += &rate.map_or_else(String::new, |r| format!(", {name} ${}", per_mtok(r)));
    }
    text + " per million tokens"
}

fn no_price_sentence(model: &Model, args: &ExplainArgs, at: UnixMillis) -> String {
    let tier = args.tier.as_str();
    let first = model.prices.iter().find(|p| p.service_tier == args.tier);
    let why = first.map_or_else(
        || format!("the catalogue has no {tier} price of it"),
        |p| format!("its first {tier} price begins on {}", day(p.from)),
    );
    format!("none in force on {}: {why}, and another tier's is never taken", day(at))
}

fn usage_sentence(usage: &Usage, args: &ExplainArgs) -> String {
    let mut text = format!("{} input", count(usage.input));
    for (name, n) in [("from a cache", usage.cached_input), ("to a cache", usage.cache_write)] {
        if n > 0 {
            text += &format!(" ({} {name})", count(n));
        }
    }
    text += &format!(" and {} output tokens", count(usage.output));
    if args.input.is_none() && args.output.is_none() && args.cached + args.cache_write == 0 {
        text += " (typical of the model; give --input and --output)";
    }
    text
}
