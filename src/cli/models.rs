//! `models list` and `models check`: the catalogue as the daemon would read it. No daemon is asked.

use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::args::{Format, SettingFlags};
use super::failure::{Failure, complain};
use super::human::{self, count};
use super::listing::{Cell, Column, Listing};
use super::setup;
use crate::catalogue_source::{self, CatalogueError, Loaded};
use crate::config::{Origin, Report, Warning};
use crate::domain::catalog::{Model, Rates, ServiceTier};
use crate::domain::money::PicoUsdPerToken;
use crate::domain::time::UnixMillis;

const MODEL_COLUMNS: &[Column] = &[
    Column::text("id", "MODEL"),
    Column::number("input_usd_per_mtok", "INPUT"),
    Column::number("output_usd_per_mtok", "OUTPUT"),
    Column::number("cached_input_usd_per_mtok", "CACHED"),
    Column::number("cache_write_usd_per_mtok", "CACHE WRITE"),
    Column::number("context_tokens", "CONTEXT"),
    Column::number("output_tokens", "LONGEST OUTPUT"),
    Column::text("price_from", "PRICE FROM"),
    Column::text("capabilities", "CAPABILITIES"),
    Column::program("aliases"),
    Column::program("price_multiplier"),
    Column::program("source"),
];

const REPORT_COLUMNS: &[Column] = &[
    Column::text("level", "LEVEL"),
    Column::text("file", "FILE"),
    Column::number("line", "LINE"),
    Column::number("column", "COLUMN"),
    Column::text("key", "KEY"),
    Column::text("message", "MESSAGE"),
    Column::text("help", "HELP"),
];

/// The wall clock, for "today's price".
pub(super) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    UnixMillis(i64::try_from(since).unwrap_or(i64::MAX))
}

/// A price in USD per million tokens with at least two decimals.
pub(super) fn per_mtok(price: PicoUsdPerToken) -> String {
    let text = price.usd_per_mtok().to_string();
    let decimals = text.split_once('.').map_or(0, |(_, d)| d.len());
    if decimals < 2 { format!("{:.2}", price.usd_per_mtok()) } else { text }
}

/// Warnings on standard error, one after the other.
pub(super) fn warn(warnings: &[Warning]) {
    for warning in warnings {
        complain(&format_args!("{warning}\n\n"));
    }
}

/// All models with the standard prices of today.
///
/// # Errors
/// Bad configuration.
pub(super) fn list(flags: &SettingFlags, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    let loaded = setup::catalogue(&setup::settings(flags)?.settings)?;
    warn(&loaded.warnings);
    let today = now();
    let mut listing = Listing::new(MODEL_COLUMNS);
    for model in loaded.catalog.models() {
        listing.push(model_row(model, today));
    }
    listing.print(format, out)?;
    if format == Format::Table {
        let note = "prices in USD per million tokens, standard tier, before negotiated discounts";
        writeln!(out, "\n{} ({}); {note}", loaded.catalog.summary(), loaded.from)?;
    }
    Ok(())
}

fn model_row(model: &Model, today: UnixMillis) -> Vec<Cell> {
    let price = model.price_at(ServiceTier::Standard, today);
    let rate = |of: fn(&Rates) -> Option<PicoUsdPerToken>| {
        let rate = price.and_then(|p| of(&p.rates));
        rate.map_or_else(|| Value::Null.into(), |r| Cell::shown(r.usd_per_mtok(), per_mtok(r)))
    };
    let tokens = |n: Option<u64>| n.map_or_else(|| Value::Null.into(), |n| Cell::shown(n, count(n)));
    vec![
        (&*model.id).into(),
        rate(|r| Some(r.input)),
        rate(|r| Some(r.output)),
        rate(|r| r.cached_input),
        rate(|r| r.cache_write),
        tokens(model.context_tokens),
        tokens(model.output_tokens),
        price.map(|p| human::day(p.from)).into(),
        model.capabilities.iter().cloned().collect::<Vec<_>>().into(),
        model.aliases.clone().into(),
        price.map(|p| p.multiplier.factor()).into(),
        model.source.as_str().into(),
    ]
}

/// Everything wrong or doubtful in the catalogue of `file`, else in the one the daemon would use.
///
/// # Errors
/// Bad configuration: something is wrong in it.
pub(super) fn check(
    flags: &SettingFlags,
    file: Option<&Path>,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let read = match file {
        Some(file) => catalogue_source::load(Some(file)),
        None => catalogue_source::load(setup::settings(flags)?.settings.models.path.as_deref()),
    };
    if format == Format::Table {
        return match read {
            Ok(loaded) => say_fine(&loaded, out),
            Err(error) => Err(setup::bad_catalogue(&error)),
        };
    }
    let mut listing = Listing::new(REPORT_COLUMNS);
    let ended = match read {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|w| listing.push(report_row("warning", &w.0)));
            Ok(())
        }
        Err(CatalogueError::Invalid(errors)) => {
            errors.iter().for_each(|e| listing.push(report_row("error", &e.0)));
            Err(Failure::BadConfigurationShown)
        }
        Err(unreadable) => return Err(setup::bad_catalogue(&unreadable)),
    };
    listing.print(format, out)?;
    ended
}

fn say_fine(loaded: &Loaded, out: &mut dyn Write) -> Result<(), Failure> {
    for warning in &loaded.warnings {
        writeln!(out, "{warning}\n")?;
    }
    let warnings = match loaded.warnings.len() {
        0 => String::new(),
        n => format!(" ({})", human::many(n as u64, "warning")),
    };
    Ok(writeln!(out, "{} is fine{warnings}: {}", loaded.from, loaded.catalog.summary())?)
}

fn report_row(level: &str, report: &Report) -> Vec<Cell> {
    let (file, line, column) = match &report.origin {
        Origin::File { file, line, column } => (Some(file.clone()), Some(*line), Some(*column)),
        _ => (None, None, None),
    };
    vec![
        level.into(),
        file.into(),
        line.into(),
        column.into(),
        report.key.as_str().into(),
        report.message.as_str().into(),
        report.help.clone().into(),
    ]
}
