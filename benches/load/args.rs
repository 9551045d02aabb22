//! What can be asked of the load generator.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures a daemon over loopback, beside a bare gRPC echo in the same run.
#[derive(Debug, Parser)]
#[command(name = "load")]
pub(crate) struct Args {
    /// What to do; compares if left out.
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
    /// Calls at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64, 256], value_parser = at_once)]
    pub(crate) concurrency: Vec<usize>,
    /// Seconds a kind of call is measured at each concurrency, over all rounds.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Rounds; every ratio is the median over them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Most calls to the daemon of a kind in one round.
    #[arg(long, default_value_t = 40_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) calls: u64,
    /// Kinds to measure beside the echo; all if left out.
    #[arg(long, value_delimiter = ',')]
    pub(crate) mode: Vec<Mode>,
    /// Most connections.
    #[arg(long, global = true, default_value_t = 8, value_parser = at_once)]
    pub(crate) connections: usize,
    /// Most minutes for everything.
    #[arg(long, global = true, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) minutes: u64,
    /// The daemon to measure; the one built along with this if left out.
    #[arg(long, global = true)]
    pub(crate) daemon: Option<PathBuf>,
    /// Folder for the data directories, on a real disk; the target folder if left out.
    #[arg(long, global = true)]
    pub(crate) folder: Option<PathBuf>,
    /// Passed by cargo.
    #[arg(long, global = true, hide = true)]
    pub(crate) bench: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Fills a daemon with calls, then weighs its record, its memory, its start and its report.
    Fill(Fill),
    /// Plays a month of goals with ten calls each, then weighs the record and asks a daemon for it.
    Goals(Goals),
    /// The bare echo; started by the load generator itself.
    #[command(hide = true)]
    Echo {
        /// Size of the encoded response.
        #[arg(long)]
        response_bytes: usize,
    },
}

/// How to fill.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Fill {
    /// Calls, each decided and settled.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) calls: u64,
    /// Which requests carry an idempotency key.
    #[arg(long, value_enum, default_value_t = Keys::None)]
    pub(crate) keys: Keys,
    /// Calls at once.
    #[arg(long, default_value_t = 64, value_parser = at_once)]
    pub(crate) at_once: usize,
    /// Leave the data directory in place.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// Which goals to play, and what to ask afterwards.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Goals {
    /// Goals, each of ten calls.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) goals: u64,
    /// Days they are spread over, up to now.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_650))]
    pub(crate) days: u64,
    /// Teams they belong to; each is of one workflow and one organization.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) teams: u64,
    /// Which requests carry an idempotency key.
    #[arg(long, value_enum, default_value_t = Keys::None)]
    pub(crate) keys: Keys,
    /// Goals at once.
    #[arg(long, default_value_t = 256, value_parser = at_once)]
    pub(crate) at_once: usize,
    /// Days for which detail is kept; 0: for ever.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=3_650))]
    pub(crate) retention_days: u64,
    /// Size of a segment of the record, in MiB: only whole ones give way to a snapshot.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=4_096))]
    pub(crate) segment_mib: u64,
    /// Goals of the small directory that speed is compared with; 0: it is not compared.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    pub(crate) small: u64,
    /// Say what each kind of event and of record takes.
    #[arg(long)]
    pub(crate) kinds: bool,
    /// Leave the data directory in place.
    #[arg(long)]
    pub(crate) keep: bool,
    /// A data directory that was left in place: ask it, play nothing.
    #[arg(long)]
    pub(crate) again: Option<PathBuf>,
}

/// Which requests carry an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keys {
    /// None: decisions are answered at once, outcomes are known by their decision.
    None,
    /// All: decisions are answered once they are on disk.
    All,
}

/// Kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// GetPolicy of 10 candidates.
    Policy10,
    /// GetPolicy of 50 candidates.
    Policy50,
    /// GetPolicy of 10 candidates with an idempotency key: answered once on disk.
    PolicyKeyed,
    /// RecordOutcome: answered once on disk.
    Outcome,
    /// RecordOutcomes: one stream, each answered once on disk.
    OutcomeStream,
    /// The journal alone, in this process: append and wait for the disk, each writer a task.
    Log,
    /// The same, each writer a thread that blocks.
    LogThreads,
}

impl Args {
    /// The time for everything.
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(self.minutes * 60)
    }

    /// The kinds to measure beside the echo, each once.
    pub(crate) fn modes(&self) -> Vec<Mode> {
        let wanted = |mode: &Mode| self.mode.is_empty() || self.mode.contains(mode);
        Mode::value_variants().iter().copied().filter(wanted).collect()
    }
}

fn at_once(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| format!("`{text}` is not a whole number"))?;
    if (1..=1_024).contains(&number) { Ok(number) } else { Err("must lie between 1 and 1024".to_owned()) }
}

fn seconds(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.05..=3_600.0).contains(&number) { Ok(number) } else { Err("must lie between 0.05 and 3600".to_owned()) }
}
