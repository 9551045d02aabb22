//! `serve`: hands settings and catalogue to the daemon and tells when it answers. It refuses to know how it serves.

use super::args::SettingFlags;
use super::failure::Failure;
use super::{banner, logging, setup};
use crate::catalogue_source::{self, Loaded};
use crate::config::Settings;
use crate::daemon::{self, LoadedCatalog, Reloaded};
use crate::settings_source::SettingsSource;

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// Bad configuration, or what kept it from starting or from stopping in order.
pub(super) fn run(flags: &SettingFlags) -> Result<(), Failure> {
    let setup::Resolved { settings, warnings: doubts, source, .. } = setup::settings(flags)?;
    // A secret that cannot be used is told before anything starts, not with the first alert.
    let secret = setup::webhook_secret(&settings.alerts)?;
    let Loaded { catalog, text, from, warnings } = setup::catalogue(&settings)?;
    logging::start(&settings.log).map_err(Failure::failed)?;
    for warning in doubts.iter().chain(&warnings) {
        tracing::warn!(place = %warning.0.origin, key = warning.0.key, "{}", warning.0.message);
    }
    let people = logging::for_people(&settings.log);
    let running = settings.clone();
    let reload = move || reread(&running, &source);
    let loaded = LoadedCatalog { catalog: catalog.clone(), text, origin: from };
    let ended = daemon::run(&settings, &loaded, secret.as_ref(), reload, |ready| banner::show(ready, &catalog, people));
    ended.map_err(|error| if people { Failure::failed(error) } else { logged(&error) })
}

/// A failure as a log line, so that whoever collects them need not read two forms.
fn logged(error: &anyhow::Error) -> Failure {
    tracing::error!("{error:#}");
    Failure::Logged
}

fn reread(running: &Settings, source: &SettingsSource) -> Result<Reloaded, String> {
    let loaded = catalogue_source::load(running.models.path.as_deref()).map_err(|error| error.one_line())?;
    let goals = source.reread_goals(running).map_err(|error| error.to_string())?;
    let warnings = loaded.warnings.iter().chain(&goals.warnings).map(ToString::to_string).collect();
    let (budgets, goal_rules) = (goals.budgets, goals.goal_rules);
    Ok(Reloaded { catalog: loaded.catalog, text: loaded.text, budgets, goal_rules, warnings })
}
