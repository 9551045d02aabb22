//! How a verb can end other than well, and the exit code that says so. It refuses to know what went wrong.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Exit code of wrong usage, as clap has it.
const WRONG_USAGE: u8 = 2;

/// Exit code of a bad configuration, as in sysexits.h (EX_CONFIG).
const BAD_CONFIGURATION: u8 = 78;

/// Why a verb did not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It did not work, or what was checked is not in order.
    #[error("{0}")]
    Failed(String),
    /// Files, variables or flags hold something that cannot be used; the text names every place.
    #[error("{0}")]
    BadConfiguration(String),
    /// As [`Failure::BadConfiguration`], already printed.
    #[error("bad configuration")]
    BadConfigurationShown,
    /// What was typed makes no sense together.
    #[error("{0}")]
    Usage(String),
    /// It did not work, and a log line has said why.
    #[error("failed")]
    Logged,
    /// Whoever read the output has gone, as `head` does: nothing to complain of.
    #[error("the output was closed")]
    OutputClosed,
}

/// Says something on standard error. Whoever does not read it any more, as `head` behind `2>&1`, has nothing to be told, so that
/// a failure to write is no failure of what was asked.
pub(super) fn complain(text: &dyn Display) {
    drop(write!(io::stderr(), "{text}"));
}

impl Failure {
    /// Something that did not work, with what led to it.
    pub(super) fn failed(error: impl Into<anyhow::Error>) -> Self {
        let error: anyhow::Error = error.into();
        Self::Failed(format!("{error:#}"))
    }

    /// Says on standard error what went wrong.
    pub(super) fn report(&self) {
        match self {
            Self::Failed(why) | Self::Usage(why) => complain(&format_args!("error: {why}\n")),
            Self::BadConfiguration(why) => complain(&format_args!("{why}\n")),
            Self::BadConfigurationShown | Self::Logged | Self::OutputClosed => {}
        }
    }

    /// What the shell is told.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) | Self::Logged => ExitCode::FAILURE,
            Self::Usage(_) => ExitCode::from(WRONG_USAGE),
            Self::BadConfiguration(_) | Self::BadConfigurationShown => ExitCode::from(BAD_CONFIGURATION),
            Self::OutputClosed => ExitCode::SUCCESS,
        }
    }
}

/// Writing to standard output failed.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::Failed(format!("cannot write the output: {error}"))
    }
}
