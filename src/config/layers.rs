//! Settings of the daemon in layers: defaults, then oddsmaker.toml, then `ODDSMAKER_SECTION__KEY`, then flags. Every
//! value remembers where it came from. It reads no environment and no file: both are arguments.

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::de::DeTable;

use super::budgets::read_budgets;
use super::listed::Origins;
use super::report::{ConfigError, Origin, Report, Warning, nearest, quoted};
use super::section::{Reader, Section, Value};
use super::settings::Settings;
use super::settings_keys::{DATA_DIR, ENV_PREFIX, KEYS, Key, NOT_YET, Shape};
use super::shown::Sources;
use super::workflows::read_workflows;

/// What all layers say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured {
    /// The settings.
    pub settings: Settings,
    /// Where each comes from.
    pub sources: Sources,
    /// What is probably not meant, in file order.
    pub warnings: Vec<Warning>,
}

/// The settings of `file` (its text and its name), environment and flags (key path and value), the later winning.
/// Only variables that begin with `ODDSMAKER_` and hold `__` are settings; of the others `XDG_STATE_HOME` and `HOME`
/// say where the data folder is by default.
///
/// # Errors
/// Everything wrong in any layer, also in a value that a later layer replaces.
pub fn resolve(
    file: Option<(&str, &str)>,
    env: impl Iterator<Item = (String, String)>,
    flags: &[(String, String)],
) -> Result<Configured, Vec<ConfigError>> {
    let env: BTreeMap<String, String> = env.collect();
    let data_dir = default_data_dir(&env);
    let no_folder = data_dir.is_none();
    let settings = Settings::with_data_dir(data_dir.unwrap_or_default());
    let mut layers = Layers { settings, sources: Sources::default(), warnings: Vec::new(), errors: Vec::new() };
    if let Some((text, name)) = file {
        layers.read_file(text, name);
    }
    for (name, value) in env.iter().filter(|(name, _)| name.starts_with(ENV_PREFIX) && name.contains("__")) {
        let key = KEYS.iter().find(|key| key.env_name() == *name);
        layers.overlay(key, name, Key::env_name, value, Origin::Environment(name.clone()));
    }
    for (path, value) in flags {
        let key = KEYS.iter().find(|key| key.path == path);
        let flag = key.and_then(|key| key.flag).unwrap_or(path);
        layers.overlay(key, path, |key| key.path.to_owned(), value, Origin::Flag(flag.to_owned()));
    }
    if no_folder && *layers.sources.origin(DATA_DIR) == Origin::Default {
        let message = "there is no data folder: neither XDG_STATE_HOME nor HOME is an absolute path".to_owned();
        layers.refuse(Origin::Default, DATA_DIR, message, Some("give --data-dir".to_owned()));
    }
    let Layers { settings, sources, warnings, errors } = layers;
    if errors.is_empty() { Ok(Configured { settings, sources, warnings }) } else { Err(errors) }
}

/// `$XDG_STATE_HOME/oddsmaker`, else `~/.local/state/oddsmaker`; a relative folder is ignored, as the XDG base
/// directory specification asks.
fn default_data_dir(env: &BTreeMap<String, String>) -> Option<PathBuf> {
    let folder = |name| env.get(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")))?;
    Some(state.join("oddsmaker"))
}

struct Layers {
    settings: Settings,
    sources: Sources,
    warnings: Vec<Warning>,
    errors: Vec<ConfigError>,
}

impl Layers {
    fn refuse(&mut self, origin: Origin, key: &str, message: String, help: Option<String>) {
        self.errors.push(ConfigError(Report::without_excerpt(origin, key, message, help)));
    }

    /// One variable or flag over what was there; `name_of` is how its layer calls a key.
    fn overlay(
        &mut self,
        key: Option<&Key>,
        name: &str,
        name_of: impl Fn(&Key) -> String,
        value: &str,
        origin: Origin,
    ) {
        let Some(key) = key else {
            let known: Vec<String> = KEYS.iter().map(name_of).collect();
            let near = nearest(name, known.iter().map(String::as_str)).map(|n| format!("did you mean {}?", quoted(n)));
            return self.refuse(origin, "", format!("unknown setting {}", quoted(name)), near);
        };
        match (key.set)(&mut self.settings, value) {
            Ok(()) => drop(self.sources.0.insert(key.path.to_owned(), origin)),
            Err(message) => self.refuse(origin, key.path, message, None),
        }
    }

    fn read_file(&mut self, text: &str, name: &str) {
        let (document, syntax) = DeTable::parse_recoverable(text);
        let reader = Reader::new(name, text);
        let read = reader.root(document.get_ref(), &syntax).map(|root| self.read_root(root));
        match reader.finish(read) {
            Ok(((), warnings)) => self.warnings = warnings,
            Err(errors) => self.errors.extend(errors),
        }
    }

    fn read_root(&mut self, root: Section<'_>) {
        refuse_what_is_not_there_yet(&root, "");
        let mut origins = Origins::default();
        self.settings.goal_rules.workflows = read_workflows(&root, &mut origins);
        self.settings.budgets = read_budgets(&root, &mut origins);
        self.sources.0.extend(origins.0);
        for keys in KEYS.chunk_by(|a, b| a.section() == b.section()) {
            let name = keys[0].section();
            let Some(section) = root.get(name).and_then(|v| v.section()) else { continue };
            refuse_what_is_not_there_yet(&section, name);
            for key in keys {
                if let Some(value) = section.get(key.name()) {
                    self.read_value(key, &value);
                }
            }
            section.finish();
        }
        root.finish();
    }

    fn read_value(&mut self, key: &Key, value: &Value<'_>) {
        let written = match key.shape {
            Shape::Text => value.text().map(str::to_owned),
            Shape::Integer => value.integer_text(),
            Shape::List => {
                let items = value.list();
                let texts: Vec<&str> = items.iter().filter_map(Value::text).collect();
                (texts.len() == items.len()).then(|| texts.join(","))
            }
        };
        let Some(written) = written else { return };
        if value.check((key.set)(&mut self.settings, &written)).is_some() {
            self.sources.0.insert(key.path.to_owned(), value.origin());
        }
    }
}

fn refuse_what_is_not_there_yet(section: &Section<'_>, name: &str) {
    for (_, key) in NOT_YET.iter().filter(|(of, _)| *of == name) {
        if let Some(value) = section.get(key) {
            value.error(format!("{} is not available in this version", quoted(key)), Some("leave it out".to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::LogLevel;
    use crate::config::shown;

    const HOME: [(&str, &str); 1] = [("HOME", "/home/kim")];

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    fn with(file: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<(Settings, Sources), String> {
        let file = Some((file, "oddsmaker.toml"));
        resolve(file, pairs(env).into_iter(), &pairs(flags))
            .map(|all| (all.settings, all.sources))
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_later_layer_wins_and_says_where_it_is_from() {
        let file = "[server]\nlisten = \"127.0.0.1:1\"\nmax_connections = 5\n[ledger]\ncheckpoint_interval = \"5s\"\n";
        let env = [HOME[0], ("ODDSMAKER_SERVER__LISTEN", "127.0.0.1:2"), ("ODDSMAKER_LOG__LEVEL", "debug")];
        let (settings, sources) = with(file, &env, &[("server.listen", "[::1]:3")]).unwrap();
        assert_eq!(settings.server.listen.to_string(), "[::1]:3");
        assert_eq!(sources.origin("server.listen").to_string(), "flag --listen");
        assert_eq!((settings.server.max_connections, settings.ledger.checkpoint_interval_ms), (5, 5_000));
        assert_eq!(sources.origin("server.max_connections").to_string(), "oddsmaker.toml:3:19");
        assert_eq!(settings.log.level, LogLevel::Debug);
        assert_eq!(sources.origin("log.level").to_string(), "environment variable ODDSMAKER_LOG__LEVEL");
        assert_eq!(sources.origin("log.format"), &Origin::Default);
    }

    #[test]
    fn the_data_folder_is_the_xdg_state_folder() {
        let folder = |env: &[(&str, &str)]| with("", env, &[]).map(|(s, _)| s.ledger.data_dir.display().to_string());
        assert_eq!(folder(&HOME).unwrap(), "/home/kim/.local/state/oddsmaker");
        assert_eq!(folder(&[HOME[0], ("XDG_STATE_HOME", "/var/state")]).unwrap(), "/var/state/oddsmaker");
        assert_eq!(folder(&[HOME[0], ("XDG_STATE_HOME", "state")]).unwrap(), "/home/kim/.local/state/oddsmaker");
        assert!(folder(&[]).unwrap_err().contains("give --data-dir"));
        let (settings, _) = with("", &[], &[("ledger.data_dir", "here")]).unwrap();
        assert_eq!(settings.ledger.data_dir, PathBuf::from("here"));
    }

    #[test]
    fn only_our_variables_are_looked_at_and_all_of_them() {
        let other = [HOME[0], ("PATH", "/bin"), ("OTHER_SERVER__LISTEN", "x"), ("ODDSMAKER_LABEL", "x")];
        assert_eq!(with("", &other, &[]).unwrap(), with("", &HOME, &[]).unwrap());
        let wrong = with("", &[HOME[0], ("ODDSMAKER_SERVER__LISTN", "127.0.0.1:1")], &[]).unwrap_err();
        assert_eq!(
            wrong,
            "error: unknown setting `ODDSMAKER_SERVER__LISTN`\n\
             --> environment variable ODDSMAKER_SERVER__LISTN\n \
             = help: did you mean `ODDSMAKER_SERVER__LISTEN`?"
        );
    }

    #[test]
    fn a_public_address_is_refused_wherever_it_is_from() {
        let sentence = "0.0.0.0:7070 can be reached from other machines, and this version has neither TLS nor \
                        authentication: it listens on a loopback address only, such as 127.0.0.1:7070";
        let file = with("[server]\nlisten = \"0.0.0.0:7070\"", &HOME, &[]).unwrap_err();
        assert_eq!(
            file,
            format!(
                "error: {sentence}\n --> oddsmaker.toml:2:10\n  |\n2 | listen = \"0.0.0.0:7070\"\n  |          \
                 ^^^^^^^^^^^^^^\n  = key: server.listen"
            )
        );
        let flag = with("", &HOME, &[("server.listen", "0.0.0.0:7070")]).unwrap_err();
        assert_eq!(flag, format!("error: {sentence}\n--> flag --listen\n = key: server.listen"));
        assert!(with("", &HOME, &[("server.listen", "[::]:7070")]).is_err());
        assert!(with("", &HOME, &[("server.listen", "localhost:7070")]).is_err(), "an address, not a name");
    }

    #[test]
    fn every_mistake_of_a_file_is_reported_with_its_line() {
        let file = "[server]\nlisten = 7070\nmax_conections = 1\nmax_connections = -1\nrequest_timeout = \"5 s\"\n\
                    allowed_hosts = [\"a\", 1]\ntls = \"on\"\n[log]\nlevel = \"loud\"\n[ledger]\nretention = \"90h\"\n[sever]\n";
        let Err(errors) = resolve(Some((file, "f")), pairs(&HOME).into_iter(), &[]) else { panic!("accepted") };
        let short: Vec<String> = errors.iter().map(|e| format!("{} {}", e.0.origin, e.0.message)).collect();
        let expected = [
            "f:2:10 expected a string, found an integer",
            "f:3:1 unknown key `max_conections`",
            "f:4:19 -1 is not from 1 to 65536",
            "f:5:19 `5 s` is not a duration such as \"90s\", \"5m\", \"1h\" or \"7d\"",
            "f:6:23 expected a string, found an integer",
            "f:7:7 `tls` is not available in this version",
            "f:9:9 `loud` is not one of error, warn, info, debug, trace",
            "f:11:13 `90h` is not a whole number of days, such as 90d",
            "f:12:2 unknown key `sever`",
        ];
        assert_eq!(short, expected);
    }

    #[test]
    fn every_setting_is_shown_with_its_source() {
        let (settings, sources) = with("[log]\nlevel = \"warn\"", &HOME, &[("models.path", "m.toml")]).unwrap();
        let all: Vec<String> =
            shown(&settings, &sources).map(|s| format!("{} = {} ({})", s.path, s.value, s.origin)).collect();
        assert_eq!(all.len(), KEYS.len());
        for line in [
            "server.listen = 127.0.0.1:7070 (default)",
            "ledger.data_dir = /home/kim/.local/state/oddsmaker (default)",
            "models.path = m.toml (flag --models)",
            "ledger.checkpoint_interval = 5m (default)",
            "log.level = warn (oddsmaker.toml:2:9)",
        ] {
            assert!(all.iter().any(|l| l == line), "{line} in {all:#?}");
        }
    }
}
