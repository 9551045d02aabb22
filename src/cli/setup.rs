//! From what was typed to settings and catalogue. It refuses to know any single setting beside the few that have a flag.

use super::args::{ServerArgs, SettingFlags};
use super::failure::Failure;
use crate::catalogue_source::{self, CatalogueError, Loaded};
use crate::config::{Alerts, Configured, Settings, Sources, Warning};
use crate::settings_source::{LoadedSettings, SettingsError, SettingsSource};
use crate::webhook_secret::{self, WebhookSecret};

/// Settings, where each comes from, and where they were read.
pub(super) struct Resolved {
    pub(super) settings: Settings,
    pub(super) sources: Sources,
    /// What is probably not meant.
    pub(super) warnings: Vec<Warning>,
    /// Where they can be read again; its file is the one that was read, when there was one.
    pub(super) source: SettingsSource,
}

/// The settings of file, environment and flags.
///
/// # Errors
/// Bad configuration, naming every place.
pub(super) fn settings(flags: &SettingFlags) -> Result<Resolved, Failure> {
    let LoadedSettings { configured, source } = resolve_all(flags, Vec::new())?;
    let Configured { settings, sources, warnings } = configured;
    Ok(Resolved { settings, sources, warnings, source })
}

/// The secret that alerts are signed with; `None`: there is none.
///
/// # Errors
/// Bad configuration: it cannot be read, or is too short.
pub(super) fn webhook_secret(alerts: &Alerts) -> Result<Option<WebhookSecret>, Failure> {
    let variable = std::env::var(webhook_secret::VARIABLE).ok();
    let loaded = webhook_secret::load(alerts.webhook_secret_file.as_deref(), variable.as_deref());
    loaded.map_err(|error| Failure::BadConfiguration(format!("error: {error}")))
}

/// The catalogue of these settings.
///
/// # Errors
/// Bad configuration: it cannot be read, or something is wrong in it.
pub(super) fn catalogue(settings: &Settings) -> Result<Loaded, Failure> {
    catalogue_source::load(settings.models.path.as_deref()).map_err(|error| bad_catalogue(&error))
}

/// A catalogue that cannot be used, as a failure.
pub(super) fn bad_catalogue(error: &CatalogueError) -> Failure {
    match error {
        CatalogueError::Unreadable { .. } => Failure::BadConfiguration(format!("error: {error}")),
        CatalogueError::Invalid(_) => Failure::BadConfiguration(error.to_string()),
    }
}

/// The URL of the daemon a verb asks: the one given, else that of `server.listen`.
///
/// # Errors
/// Bad configuration, when it has to be looked at.
pub(super) fn address(server: &ServerArgs, flags: &SettingFlags) -> Result<String, Failure> {
    if let Some(address) = server.address.as_deref().filter(|a| !a.is_empty()) {
        return Ok(if address.contains("://") { address.to_owned() } else { format!("http://{address}") });
    }
    // Asking needs no data folder, so that there is none must not stand in the way.
    let resolved = resolve_all(flags, vec![("ledger.data_dir".to_owned(), ".".to_owned())])?;
    Ok(format!("http://{}", resolved.configured.settings.server.listen))
}

fn resolve_all(flags: &SettingFlags, mut values: Vec<(String, String)>) -> Result<LoadedSettings, Failure> {
    let named =
        [("server.listen", &flags.listen), ("ledger.data_dir", &flags.data_dir), ("models.path", &flags.models)];
    values.extend(flags.set.iter().cloned());
    values.extend(named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))));
    let source = SettingsSource { file: flags.config.clone(), flags: values };
    source.read().map_err(|error| match error {
        SettingsError::Unreadable { .. } => Failure::BadConfiguration(format!("error: {error}")),
        SettingsError::Invalid(_) => Failure::BadConfiguration(error.to_string()),
    })
}
