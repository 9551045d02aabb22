//! Where the settings come from: the file that was named, else oddsmaker.toml of the working folder, with environment
//! and flags over it. Start, `config` and the reload of goals and budgets all read them here. It refuses to know any
//! single setting.

use std::io;
use std::path::{Path, PathBuf};

use crate::catalogue_source::AllOf;
use crate::config::{BudgetsAsWritten, ConfigError, Configured, KEYS, Origin, Report, Settings, Warning, resolve};
use crate::domain::goal::GoalRules;

/// The file looked for in the working folder.
const WORKING_FOLDER_FILE: &str = "oddsmaker.toml";

/// Where to read, and what flags say over it.
#[derive(Clone, Debug, Default)]
pub struct SettingsSource {
    /// The file, as it was named; `None`: oddsmaker.toml of the working folder, where there is one.
    pub file: Option<PathBuf>,
    /// Key paths and values of flags, the later winning.
    pub flags: Vec<(String, String)>,
}

/// Settings that were read and checked.
#[derive(Clone, Debug)]
pub struct LoadedSettings {
    /// What file, environment and flags say together.
    pub configured: Configured,
    /// Where they can be read again: a file that was read once must be there from then on.
    pub source: SettingsSource,
}

/// What may change while the daemon runs.
#[derive(Clone, Debug)]
pub struct RereadGoals {
    /// `[goals]` and `[[workflow]]`.
    pub goal_rules: GoalRules,
    /// `[[budget]]`.
    pub budgets: BudgetsAsWritten,
    /// What is probably not meant, and which changed settings wait for the next start.
    pub warnings: Vec<Warning>,
}

/// Why there are no settings. Displayed, it says everything a person needs to mend it.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the settings {}: {source}", path.display())]
    Unreadable {
        /// The file, as it was named.
        path: PathBuf,
        /// The refusal of the file system.
        source: io::Error,
    },
    /// Everything that is wrong in any layer, each with its place.
    #[error("{}", AllOf(.0))]
    Invalid(Vec<ConfigError>),
}

impl SettingsSource {
    /// Reads the file and the environment of this process.
    ///
    /// # Errors
    /// The file cannot be read, or something is wrong in a layer.
    pub fn read(&self) -> Result<LoadedSettings, SettingsError> {
        // A variable that is no text cannot be one of ours.
        let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        self.read_in(Path::new(""), environment)
    }

    /// As [`Self::read`], with that working folder and environment.
    fn read_in(
        &self,
        folder: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<LoadedSettings, SettingsError> {
        let path = self.file.clone().unwrap_or_else(|| folder.join(WORKING_FOLDER_FILE));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if self.file.is_none() && error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(SettingsError::Unreadable { path, source }),
        };
        let name = path.display().to_string();
        let file = text.as_ref().map(|text| (text.as_str(), name.as_str()));
        let configured = resolve(file, environment, &self.flags).map_err(SettingsError::Invalid)?;
        let source = Self { file: text.is_some().then_some(path), flags: self.flags.clone() };
        Ok(LoadedSettings { configured, source })
    }

    /// Goals, workflows and budgets as they are written now, all or none; `running` is what the daemon was started with.
    ///
    /// # Errors
    /// As [`Self::read`], also for mistakes in other settings: a file is taken whole or not at all.
    pub fn reread_goals(&self, running: &Settings) -> Result<RereadGoals, SettingsError> {
        self.read().map(|loaded| goals_of(loaded.configured, running))
    }
}

/// What of newly read settings takes effect at once; a warning for each of the others that changed.
fn goals_of(read: Configured, running: &Settings) -> RereadGoals {
    let Configured { settings, sources, mut warnings } = read;
    for key in KEYS.iter().filter(|key| key.section() != "goals" && key.value(&settings) != key.value(running)) {
        let message = format!("`{}` has changed; that takes effect at the next start", key.path);
        let origin: Origin = sources.origin(key.path).clone();
        warnings.push(Warning(Report::without_excerpt(origin, key.path, message, None)));
    }
    RereadGoals { goal_rules: settings.goal_rules, budgets: settings.budgets, warnings }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: &str = "[[budget]]\nid = \"b\"\nscope = \"team\"\nlimit = \"1.00\"\n";

    fn home() -> impl Iterator<Item = (String, String)> {
        std::iter::once(("HOME".to_owned(), "/home/kim".to_owned()))
    }

    fn read(source: &SettingsSource, folder: &Path) -> Result<LoadedSettings, String> {
        source.read_in(folder, home()).map_err(|e| e.to_string())
    }

    fn budgets(loaded: &LoadedSettings) -> Vec<&str> {
        loaded.configured.settings.budgets.as_written().iter().map(|b| &*b.id).collect()
    }

    #[test]
    fn the_named_file_wins_then_the_folder_then_none() {
        let folder = tempfile::tempdir().unwrap();
        let none = read(&SettingsSource::default(), folder.path()).unwrap();
        assert_eq!((budgets(&none).len(), &none.source.file), (0, &None));
        let working = folder.path().join("oddsmaker.toml");
        std::fs::write(&working, BUDGET).unwrap();
        let found = read(&SettingsSource::default(), folder.path()).unwrap();
        assert_eq!((budgets(&found), found.source.file.as_ref()), (vec!["b"], Some(&working)));
        let other = folder.path().join("other.toml");
        std::fs::write(&other, BUDGET.replace("\"b\"", "\"c\"")).unwrap();
        let named = SettingsSource { file: Some(other), flags: vec![] };
        assert_eq!(budgets(&read(&named, folder.path()).unwrap()), ["c"]);
        let missing = SettingsSource { file: Some("none.toml".into()), flags: vec![] };
        assert!(read(&missing, folder.path()).unwrap_err().starts_with("cannot read the settings none.toml: "));
    }

    /// Budgets must not vanish because somebody moved the file.
    #[test]
    fn a_file_that_was_read_once_must_be_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let working = folder.path().join("oddsmaker.toml");
        std::fs::write(&working, BUDGET).unwrap();
        let first = read(&SettingsSource::default(), folder.path()).unwrap();
        std::fs::remove_file(&working).unwrap();
        assert!(read(&first.source, folder.path()).unwrap_err().starts_with("cannot read the settings "));
        std::fs::write(&working, format!("{BUDGET}limt = 1\n")).unwrap();
        let refused = read(&first.source, folder.path()).unwrap_err();
        let place = format!("--> {}:5:1", working.display());
        assert!(refused.contains(&place) && refused.contains("did you mean `limit`?"), "{refused}");
    }

    #[test]
    fn what_changes_is_told_from_what_waits() {
        let folder = tempfile::tempdir().unwrap();
        let working = folder.path().join("oddsmaker.toml");
        std::fs::write(&working, "[server]\nmax_connections = 5\n[log]\nlevel = \"warn\"\n").unwrap();
        let flags = vec![("log.level".to_owned(), "debug".to_owned())];
        let first = read(&SettingsSource { file: None, flags }, folder.path()).unwrap();
        let changed =
            format!("[server]\nmax_connections = 6\n[log]\nlevel = \"info\"\n[goals]\nidle_timeout = \"2h\"\n{BUDGET}");
        std::fs::write(&working, changed).unwrap();
        let again = read(&first.source, folder.path()).unwrap();
        let goals = goals_of(again.configured, &first.configured.settings);
        assert_eq!((goals.goal_rules.idle_timeout_ms, goals.budgets.as_written().len()), (7_200_000, 1));
        let said: Vec<String> = goals.warnings.iter().map(|w| format!("{} {}", w.0.origin, w.0.message)).collect();
        let place = format!("{}:2:19", working.display());
        let expected = format!("{place} `server.max_connections` has changed; that takes effect at the next start");
        assert_eq!(said, [expected], "the flag stands over the file as before");
    }
}
