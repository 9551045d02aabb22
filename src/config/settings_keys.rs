//! The one table of settings: name, unit, meaning, and how a value is read and shown. The file, the environment, the
//! flags, `config show` and the documentation are all driven by it. It refuses to know in which layer a value is
//! written.

use std::path::PathBuf;

use super::report::quoted;
use super::setting_values::{hosts, integer, loopback, name_of, path, webhook_url, within, word};
use super::settings::{LogFormat, LogLevel, Settings};
use super::values::{format_duration_ms, parse_duration_ms};

/// How a setting is written in the file; variables and flags are always text, lists with commas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A string.
    Text,
    /// An integer.
    Integer,
    /// An array of strings.
    List,
}

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// `section.name`, as in the file.
    pub path: &'static str,
    /// Its own flag, where it has one.
    pub flag: Option<&'static str>,
    /// How it is written in the file.
    pub shape: Shape,
    /// Unit or form of the value.
    pub unit: &'static str,
    /// What it decides, in one line.
    pub meaning: &'static str,
    /// Its default in words, where the default is no fixed value.
    pub default_in_words: Option<&'static str>,
    pub(super) set: fn(&mut Settings, &str) -> Result<(), String>,
    pub(super) show: fn(&Settings) -> String,
}

impl Key {
    /// The table it stands in.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.path.split_once('.').map_or("", |(section, _)| section)
    }

    /// Its name within the table.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, name)| name)
    }

    /// The environment variable that overrides it.
    #[must_use]
    pub fn env_name(&self) -> String {
        format!("{ENV_PREFIX}{}", self.path.replacen('.', "__", 1).to_uppercase())
    }

    /// Its value in `settings`, as it would be written in a variable.
    #[must_use]
    pub fn value(&self, settings: &Settings) -> String {
        (self.show)(settings)
    }

    /// Its default, as it would be written in a variable, or in words.
    #[must_use]
    pub fn default_text(&self) -> String {
        let show = || (self.show)(&Settings::with_data_dir(PathBuf::new()));
        self.default_in_words.map_or_else(show, str::to_owned)
    }
}

/// Prefix of every environment variable.
pub(super) const ENV_PREFIX: &str = "ODDSMAKER_";

/// Path of the one setting without which there is nothing to serve.
pub(super) const DATA_DIR: &str = "ledger.data_dir";

/// Tables and keys of the contract (table, key) this version refuses by name.
pub(super) const NOT_YET: &[(&str, &str)] = &[("server", "tls")];

/// A setting without a flag, with the default of [`Settings::with_data_dir`].
const fn key(
    path: &'static str,
    shape: Shape,
    unit: &'static str,
    meaning: &'static str,
    set: fn(&mut Settings, &str) -> Result<(), String>,
    show: fn(&Settings) -> String,
) -> Key {
    Key { path, flag: None, shape, unit, meaning, default_in_words: None, set, show }
}

/// A setting that is a whole number in a range.
macro_rules! number {
    ($path:literal, $unit:literal, $range:expr, $section:ident . $field:ident, $meaning:literal) => {
        key(
            $path,
            Shape::Integer,
            $unit,
            $meaning,
            |s, v| {
                s.$section.$field = integer(v, $range)?;
                Ok(())
            },
            |s| s.$section.$field.to_string(),
        )
    };
}

/// A setting that is a duration in a range of milliseconds.
macro_rules! duration {
    ($path:literal, $range:expr, $section:ident . $field:ident, $meaning:literal) => {
        key(
            $path,
            Shape::Text,
            "duration, such as 500ms, 90s, 5m, 1h, 7d",
            $meaning,
            |s, v| {
                s.$section.$field = within(parse_duration_ms(v)?, $range, format_duration_ms)?;
                Ok(())
            },
            |s| format_duration_ms(s.$section.$field),
        )
    };
}

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

/// How long goals may lie idle.
pub(super) const IDLE_TIMEOUT_MS: std::ops::RangeInclusive<i64> = SECOND..=3_650 * DAY;

const FORMATS: [(&str, LogFormat); 3] =
    [("auto", LogFormat::Auto), ("json", LogFormat::Json), ("human", LogFormat::Human)];

const LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// Every setting, table by table.
pub static KEYS: &[Key] = &[
    Key {
        flag: Some("--listen"),
        ..key(
            "server.listen",
            Shape::Text,
            "address:port, loopback only",
            "Where gRPC and HTTP are served; port 0 takes a free one.",
            |s, v| {
                s.server.listen = loopback(v)?;
                Ok(())
            },
            |s| s.server.listen.to_string(),
        )
    },
    key(
        "server.allowed_hosts",
        Shape::List,
        "host names without port",
        "Hosts a request may be addressed to; any other Host header is refused.",
        |s, v| {
            s.server.allowed_hosts = hosts(v)?;
            Ok(())
        },
        |s| s.server.allowed_hosts.join(","),
    ),
    number!(
        "server.max_connections",
        "connections",
        1..=65_536,
        server.max_connections,
        "Connections open at once; further ones wait."
    ),
    number!(
        "server.max_concurrent_streams",
        "requests",
        1..=65_536,
        server.max_concurrent_streams,
        "Requests at once on one connection."
    ),
    number!(
        "server.max_in_flight",
        "requests",
        1..=1_000_000,
        server.max_in_flight,
        "Requests at once over all connections; further ones are refused as UNAVAILABLE."
    ),
    number!(
        "server.max_message_bytes",
        "bytes",
        1_024..=16_777_216,
        server.max_message_bytes,
        "Largest request message or body."
    ),
    number!(
        "server.max_header_bytes",
        "bytes",
        1_024..=1_048_576,
        server.max_header_bytes,
        "Largest set of request headers."
    ),
    number!(
        "server.max_local_error_resets",
        "streams",
        1..=65_536,
        server.max_local_error_resets,
        "Streams reset for a peer's mistakes before its connection is closed."
    ),
    number!(
        "server.max_pending_accept_resets",
        "streams",
        1..=65_536,
        server.max_pending_accept_resets,
        "Streams a peer may reset before they are accepted; more close its connection."
    ),
    duration!(
        "server.request_timeout",
        10..=10 * MINUTE,
        server.request_timeout_ms,
        "Longest time one request may take."
    ),
    duration!(
        "server.header_timeout",
        100..=10 * MINUTE,
        server.header_timeout_ms,
        "Longest time the headers of an HTTP/1 request may take to arrive."
    ),
    duration!(
        "server.keepalive_interval",
        SECOND..=60 * MINUTE,
        server.keepalive_interval_ms,
        "Time between HTTP/2 pings on a connection."
    ),
    duration!(
        "server.keepalive_timeout",
        100..=10 * MINUTE,
        server.keepalive_timeout_ms,
        "Longest wait for the answer to a ping before the connection is closed."
    ),
    duration!(
        "server.max_connection_age",
        SECOND..=30 * DAY,
        server.max_connection_age_ms,
        "Age at which a connection is asked to reconnect."
    ),
    duration!(
        "server.drain_timeout",
        0..=10 * MINUTE,
        server.drain_timeout_ms,
        "Longest wait for open requests when the daemon stops."
    ),
    Key {
        flag: Some("--data-dir"),
        default_in_words: Some("$XDG_STATE_HOME/oddsmaker, else ~/.local/state/oddsmaker"),
        ..key(
            "ledger.data_dir",
            Shape::Text,
            "folder",
            "Where journal and state are kept; one daemon a folder.",
            |s, v| {
                s.ledger.data_dir = path(v)?;
                Ok(())
            },
            |s| s.ledger.data_dir.display().to_string(),
        )
    },
    number!(
        "ledger.segment_bytes",
        "bytes",
        1_048_576..=4_294_967_296,
        ledger.segment_bytes,
        "Size at which a journal segment is closed and the next begun."
    ),
    number!(
        "ledger.max_pending_bytes",
        "bytes",
        65_536..=1_073_741_824,
        ledger.max_pending_bytes,
        "Events waiting for their sync above which requests are refused as UNAVAILABLE."
    ),
    Key {
        default_in_words: Some("for ever"),
        ..key(
            "ledger.retention",
            Shape::Text,
            "whole days, such as 90d; 0d is for ever",
            "How long the detail of calls and goals, and idempotency keys, are kept; sums and posteriors are kept for ever. Segments of \
             the record that are older give way to a snapshot of what they came to.",
            |s, v| {
                let days = parse_duration_ms(v)?;
                if days % DAY != 0 {
                    return Err(format!("{} is not a whole number of days, such as 90d", quoted(v)));
                }
                s.ledger.retention_ms = within(days, 0..=36_500 * DAY, format_duration_ms)?;
                Ok(())
            },
            |s| format_duration_ms(s.ledger.retention_ms),
        )
    },
    duration!(
        "ledger.checkpoint_interval",
        10..=60 * MINUTE,
        ledger.checkpoint_interval_ms,
        "Longest time between two checkpoints of the state while facts come (5,000 facts are stored at once); what lies \
         between is replayed at start."
    ),
    duration!(
        "ledger.max_clock_behind",
        0..=36_500 * DAY,
        ledger.max_clock_behind_ms,
        "How far the wall clock may lie before the last event at a start; beyond that one of the two is wrong, and the \
         start is refused."
    ),
    Key {
        flag: Some("--models"),
        default_in_words: Some("models.toml of the working folder, else the one built in"),
        ..key(
            "models.path",
            Shape::Text,
            "file",
            "The catalogue of models and task types.",
            |s, v| {
                s.models.path = Some(path(v)?);
                Ok(())
            },
            |s| s.models.path.as_ref().map_or_else(String::new, |p| p.display().to_string()),
        )
    },
    key(
        "log.format",
        Shape::Text,
        "auto, json or human",
        "Form of a log line; auto is human on a terminal and JSON elsewhere.",
        |s, v| {
            s.log.format = word(v, &FORMATS)?;
            Ok(())
        },
        |s| name_of(s.log.format, &FORMATS),
    ),
    key(
        "log.level",
        Shape::Text,
        "error, warn, info, debug or trace",
        "Least important lines that are written.",
        |s, v| {
            s.log.level = word(v, &LEVELS)?;
            Ok(())
        },
        |s| name_of(s.log.level, &LEVELS),
    ),
    duration!(
        "goals.idle_timeout",
        IDLE_TIMEOUT_MS,
        goal_rules.idle_timeout_ms,
        "How long a goal may lie idle before it is closed as timed out; a workflow may have its own."
    ),
    Key {
        default_in_words: Some("none: alerts are only listed"),
        ..key(
            "alerts.webhook_url",
            Shape::Text,
            "http:// address",
            "Where every alert of a budget is posted.",
            |s, v| {
                s.alerts.webhook_url = Some(webhook_url(v)?);
                Ok(())
            },
            |s| s.alerts.webhook_url.clone().unwrap_or_default(),
        )
    },
    Key {
        default_in_words: Some("none: the variable ODDSMAKER_WEBHOOK_SECRET, else posts are not signed"),
        ..key(
            "alerts.webhook_secret_file",
            Shape::Text,
            "file",
            "The secret that posts are signed with, at least 16 bytes.",
            |s, v| {
                s.alerts.webhook_secret_file = Some(path(v)?);
                Ok(())
            },
            |s| s.alerts.webhook_secret_file.as_ref().map_or_else(String::new, |p| p.display().to_string()),
        )
    },
    duration!(
        "alerts.webhook_timeout",
        100..=5 * MINUTE,
        alerts.webhook_timeout_ms,
        "Longest time one post of an alert may take."
    ),
    duration!(
        "alerts.webhook_retry_for",
        0..=30 * DAY,
        alerts.webhook_retry_for_ms,
        "How long a post that was not taken is tried again."
    ),
];
