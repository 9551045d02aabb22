//! Log lines on standard error: human ones on a terminal, one JSON object a line elsewhere. It refuses to know what is
//! logged.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{Log, LogFormat, LogLevel};

/// Whether lines are for people.
pub(super) fn for_people(log: &Log) -> bool {
    match log.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    }
}

/// Sends everything logged from here on to standard error.
///
/// # Errors
/// There is a logger already.
pub(super) fn start(log: &Log) -> Result<(), TryInitError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter(log.level)))
        // A log that nobody reads must not hurt: reporting that would write to the same closed pipe, and panic.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    if for_people(log) {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        builder.with_ansi(colour).with_target(false).finish().try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).finish().try_init()
    }
}

/// What is let through: everything of ours from the level on; of the libraries, what somebody should look at.
fn filter(level: LogLevel) -> String {
    let (ours, theirs) = match level {
        LogLevel::Error => ("error", "error"),
        LogLevel::Warn => ("warn", "warn"),
        LogLevel::Info => ("info", "warn"),
        LogLevel::Debug => ("debug", "warn"),
        LogLevel::Trace => ("trace", "debug"),
    };
    format!("{theirs},oddsmaker={ours}")
}
