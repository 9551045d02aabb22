//! `config check` and `config show`: what the daemon would start with, and why. It starts nothing.

use std::io::Write;

use serde_json::json;

use super::args::{Format, SettingFlags};
use super::failure::Failure;
use super::listing::{Column, Listing, print_json};
use super::models::warn;
use super::setup;
use crate::config::{Origin, shown};

const COLUMNS: &[Column] = &[
    Column::text("key", "KEY"),
    Column::text("value", "VALUE"),
    Column::text("unit", "UNIT"),
    Column::text("default", "DEFAULT"),
    Column::text("source", "SOURCE"),
    Column::program("environment"),
    Column::text("meaning", "MEANING"),
];

/// Every setting with its value, unit, default, source and meaning.
///
/// # Errors
/// Bad configuration.
pub(super) fn show(flags: &SettingFlags, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    let resolved = setup::settings(flags)?;
    let mut listing = Listing::new(COLUMNS);
    for setting in shown(&resolved.settings, &resolved.sources) {
        listing.push(vec![
            setting.path.into(),
            setting.value.into(),
            setting.unit.into(),
            setting.default_text.into(),
            setting.origin.to_string().into(),
            setting.env_name.into(),
            setting.meaning.into(),
        ]);
    }
    listing.print(format, out)
}

/// Whether the daemon could start with these settings and this catalogue.
///
/// # Errors
/// Bad configuration.
pub(super) fn check(flags: &SettingFlags, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    let resolved = setup::settings(flags)?;
    let loaded = setup::catalogue(&resolved.settings)?;
    let signed = setup::webhook_secret(&resolved.settings.alerts)?.is_some();
    warn(&resolved.warnings);
    warn(&loaded.warnings);
    let file = resolved.source.file.map(|path| path.display().to_string());
    let set = shown(&resolved.settings, &resolved.sources).filter(|s| *s.origin != Origin::Default).count();
    let (budgets, workflows) =
        (resolved.settings.budgets.as_written().len(), resolved.settings.goal_rules.workflows.len());
    if format == Format::Json {
        let catalogue = json!({
            "from": loaded.from,
            "models": loaded.catalog.models().len(),
            "task_types": loaded.catalog.tasks().count(),
            "version": loaded.catalog.version(),
            "warnings": loaded.warnings.len(),
        });
        let checked = json!({
            "ok": true,
            "file": file,
            "settings_set": set,
            "budgets": budgets,
            "workflows": workflows,
            "alerts_signed": signed,
            "warnings": resolved.warnings.len(),
            "catalogue": catalogue,
        });
        return print_json(&checked, out);
    }
    let file = file.as_deref().unwrap_or("no file");
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    writeln!(out, "settings   fine ({file}; {set} set, the others have their defaults)")?;
    writeln!(out, "budgets    fine ({}, {})", count(budgets, "budget"), count(workflows, "workflow"))?;
    writeln!(out, "catalogue  fine ({}: {})", loaded.from, loaded.catalog.summary())?;
    Ok(())
}
