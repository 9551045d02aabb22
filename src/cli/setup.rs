//! From what was typed to settings and catalogue: reads the configuration file and the environment and hands both on.
//! It refuses to know any single setting beside the few that have a flag.

use std::io;
use std::path::{Path, PathBuf};

use super::args::{ServerArgs, SettingFlags};
use super::failure::Failure;
use crate::catalogue_source::{self, CatalogueError, Loaded};
use crate::config::{ConfigError, Settings, Sources, resolve};

/// The file looked for in the working folder.
const WORKING_FOLDER_FILE: &str = "oddsmaker.toml";

/// Settings, where each comes from, and the file that was read.
pub(super) struct Resolved {
    pub(super) settings: Settings,
    pub(super) sources: Sources,
    /// The configuration file, when there was one.
    pub(super) file: Option<PathBuf>,
}

/// The settings of file, environment and flags.
///
/// # Errors
/// Bad configuration, naming every place.
pub(super) fn settings(flags: &SettingFlags) -> Result<Resolved, Failure> {
    resolve_all(flags, Vec::new())
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
    Ok(format!("http://{}", resolved.settings.server.listen))
}

fn resolve_all(flags: &SettingFlags, mut values: Vec<(String, String)>) -> Result<Resolved, Failure> {
    let file = read_file(flags.config.as_deref())?;
    let named =
        [("server.listen", &flags.listen), ("ledger.data_dir", &flags.data_dir), ("models.path", &flags.models)];
    values.extend(flags.set.iter().cloned());
    values.extend(named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))));
    // A variable that is no text cannot be one of ours.
    let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    let text = file.as_ref().map(|(path, text)| (text.as_str(), path.display().to_string()));
    let text = text.as_ref().map(|(text, name)| (*text, name.as_str()));
    let (settings, sources) = resolve(text, environment, &values).map_err(|errors| bad_settings(&errors))?;
    Ok(Resolved { settings, sources, file: file.map(|(path, _)| path) })
}

fn read_file(named: Option<&Path>) -> Result<Option<(PathBuf, String)>, Failure> {
    let path = named.unwrap_or(Path::new(WORKING_FOLDER_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Failure::BadConfiguration(format!("error: cannot read the settings {}: {error}", path.display())))
        }
    }
}

fn bad_settings(errors: &[ConfigError]) -> Failure {
    let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Failure::BadConfiguration(shown.join("\n\n"))
}
