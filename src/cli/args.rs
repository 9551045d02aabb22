//! What can be typed. One definition drives parsing, help and completions. It refuses to know what a setting means;
//! that is `config`'s work.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::args_goals::{AlertsArgs, AuditVerb, BudgetsArgs, GoalsArgs, ReceiptArgs};
use super::replay::ReplayArgs;
use super::simulate::SimulateArgs;
use super::what_if::WhatIfArgs;
use crate::config::parse_duration_ms;
use crate::domain::catalog::ServiceTier;
use crate::domain::pricing::MAX_TOKENS;
use crate::domain::time::{HOUR_MS, UnixMillis};

const AFTER_HELP: &str = "\
Settings: defaults < oddsmaker.toml < environment (ODDSMAKER_SECTION__KEY) < flags; `oddsmaker config show` lists them.
Exit codes: 0 fine, 1 failed, 2 wrong usage, 78 bad configuration.";

/// Says which model should do a call, keeps the ledger, and answers what one successful outcome cost.
#[derive(Debug, Parser)]
#[command(name = "oddsmaker", version, about, long_about = None, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    pub(super) settings: SettingFlags,
    /// Form of what a verb prints.
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t, help_heading = "Options")]
    pub(super) format: Format,
    #[command(subcommand)]
    pub(super) verb: Option<Verb>,
}

/// Settings given as flags; they win over every other layer.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct SettingFlags {
    /// Loopback address of gRPC and HTTP; port 0 takes a free one [default: 127.0.0.1:7070].
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    pub(super) listen: Option<String>,
    /// Folder of journal and state [default: $XDG_STATE_HOME/oddsmaker, else ~/.local/state/oddsmaker].
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(super) data_dir: Option<String>,
    /// Catalogue of models and task types [default: models.toml of the working folder, else the one built in].
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) models: Option<String>,
    /// Settings [default: oddsmaker.toml of the working folder, if there is one].
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Any other setting, such as log.level=debug; may be given several times.
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE", value_parser = parse_pair)]
    pub(super) set: Vec<(String, String)>,
}

/// Form of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// Comma-separated values with a header line.
    Csv,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run the daemon (the default).
    Serve,
    /// Ask a running daemon what one success cost, and why.
    Insights(InsightsArgs),
    /// Ask a running daemon for the receipt of a goal: every step and call, what allowed it, what it cost.
    Receipt(ReceiptArgs),
    /// Ask a running daemon for its goals, the newest first.
    Goals(GoalsArgs),
    /// Ask a running daemon for its budgets as they stand.
    Budgets(BudgetsArgs),
    /// Ask a running daemon for alerts of budgets, or acknowledge one.
    Alerts(AlertsArgs),
    /// Ask a running daemon what other policies would have brought in its own decisions.
    #[command(name = "whatif")]
    WhatIf(WhatIfArgs),
    /// Have people grade a sample of goals: what was said to be a success, and what was one.
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Look at the catalogue of models; needs no daemon.
    #[command(subcommand)]
    Models(ModelsVerb),
    /// Look at the settings; needs no daemon.
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Check the record of a stopped daemon: hash chain, refolded state, sums of money.
    Verify,
    /// Write the index of a stopped daemon anew, without the room its file holds on to; a daemon does so by itself.
    Compact,
    /// Print the record as JSON Lines, one event a line; may run beside the daemon.
    Export(ExportArgs),
    /// Run policies in worlds whose truth is known; needs no daemon.
    #[command(after_help = super::simulate::EXAMPLES)]
    Simulate(SimulateArgs),
    /// Play tables of true outcomes query by query, or decide an exported ledger again, and compare policies; needs no daemon.
    #[command(after_help = super::replay::EXAMPLES)]
    Replay(ReplayArgs),
    /// Ask a running daemon whether it serves; waits 3 seconds at most.
    Healthcheck(ServerArgs),
}

/// Which daemon is asked.
#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    /// The daemon's address [default: http:// and the setting server.listen].
    #[arg(long, value_name = "URL", env = "ODDSMAKER_ADDRESS")]
    pub(super) address: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct InsightsArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// How far back to look, such as 90m, 24h or 7d.
    #[arg(long, value_name = "DURATION", default_value = "168h", value_parser = parse_lookback_ms)]
    pub(super) lookback: i64,
    /// Only calls of this task type.
    #[arg(long, value_name = "NAME")]
    pub(super) task_type: Option<String>,
    /// Only calls of this workflow.
    #[arg(long, value_name = "NAME")]
    pub(super) workflow: Option<String>,
    /// Only calls this model served.
    #[arg(long, value_name = "ID")]
    pub(super) model: Option<String>,
    /// Only calls of this tool.
    #[arg(long, value_name = "NAME")]
    pub(super) tool: Option<String>,
    /// Only calls of this step.
    #[arg(long, value_name = "NAME")]
    pub(super) step: Option<String>,
    /// Only calls of this goal.
    #[arg(long, value_name = "ID")]
    pub(super) goal_id: Option<String>,
    /// Only calls with this label; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub(super) label: Vec<(String, String)>,
    /// Also split the cost by model, workflow, step and tool.
    #[arg(long)]
    pub(super) cost_breakdown: bool,
    /// Also compare with the window of equal length before, and say on top why spend changed.
    #[arg(long)]
    pub(super) compare_previous: bool,
    /// Also put two values of a label side by side, such as the prompts v1 and v2.
    #[arg(long, num_args = 3, value_names = ["LABEL", "A", "B"])]
    pub(super) compare: Vec<String>,
    /// Also measure what an accepted goal takes in one workflow by what it takes in another one.
    #[arg(long, num_args = 2, value_names = ["WORKFLOW", "BASELINE"])]
    pub(super) overhead: Vec<String>,
    /// Only what routing saves against a random holdout, and what may be said where there is none.
    #[arg(long, conflicts_with_all = ["cost_breakdown", "compare_previous", "compare", "overhead", "explain_change"])]
    pub(super) proof: bool,
    /// Instead say why spend changed against the window of equal length before, exactly split, and what to do.
    #[arg(long, conflicts_with_all = ["cost_breakdown", "compare_previous", "compare", "overhead"])]
    pub(super) explain_change: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ModelsVerb {
    /// All models with their prices of today.
    List,
    /// Everything wrong or doubtful in a catalogue; exit code 78 when something is wrong.
    Check {
        /// The catalogue [default: the one the daemon would use].
        file: Option<PathBuf>,
    },
    /// Which model an id means, which price applies, and what a call costs.
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The model id as a caller sends it.
    pub(super) id: String,
    /// Day or instant (UTC) of the call, such as 2026-11-22 or 2026-11-22T08:00:00Z [default: now].
    #[arg(long, value_name = "DATE", value_parser = parse_instant)]
    pub(super) at: Option<UnixMillis>,
    /// Service tier: standard, batch, priority or flex.
    #[arg(long, default_value = "standard", value_parser = parse_tier)]
    pub(super) tier: ServiceTier,
    /// Input tokens of the call, cached ones included.
    #[arg(long, value_name = "TOKENS", value_parser = tokens())]
    pub(super) input: Option<u64>,
    /// Output tokens of the call, reasoning included.
    #[arg(long, value_name = "TOKENS", value_parser = tokens())]
    pub(super) output: Option<u64>,
    /// Of the input, tokens read from a cache.
    #[arg(long, value_name = "TOKENS", default_value_t = 0, value_parser = tokens())]
    pub(super) cached: u64,
    /// Of the input, tokens written to a cache.
    #[arg(long, value_name = "TOKENS", default_value_t = 0, value_parser = tokens())]
    pub(super) cache_write: u64,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Check settings and catalogue as the daemon would read them; exit code 78 when something is wrong.
    Check,
    /// Every setting with its value, unit, default, source and meaning.
    Show,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Begin with this event.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) from_seq: u64,
}

fn tokens() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(0..=MAX_TOKENS)
}

pub(super) fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("needs the form key=value")?;
    if key.is_empty() {
        return Err("the part before `=` is empty".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// Years a look-back may reach at most, so that no date leaves the calendar.
const LOOKBACK_MAX_MS: i64 = 100 * 366 * 24 * HOUR_MS;

pub(super) fn parse_lookback_ms(text: &str) -> Result<i64, String> {
    let ms = parse_duration_ms(text)?;
    if (1..=LOOKBACK_MAX_MS).contains(&ms) { Ok(ms) } else { Err("must be above 0 and at most 100 years".to_owned()) }
}

fn parse_tier(text: &str) -> Result<ServiceTier, String> {
    let known = || ServiceTier::ALL.map(ServiceTier::as_str).join(", ");
    ServiceTier::parse(text).ok_or_else(|| format!("known: {}", known()))
}

fn parse_instant(text: &str) -> Result<UnixMillis, String> {
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|d| d.timestamp());
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(day);
    let instant = instant.ok_or("neither a day such as 2026-11-22 nor an instant such as 2026-11-22T08:00:00Z")?;
    Ok(UnixMillis(instant.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("oddsmaker").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serving_is_the_default_and_takes_its_flags_with_or_without_the_verb() {
        let bare =
            parse("--listen 127.0.0.1:0 --data-dir d --models m.toml --config c.toml --set log.level=debug").unwrap();
        assert!(bare.verb.is_none());
        let named =
            parse("serve --listen 127.0.0.1:0 --data-dir d --models m.toml --config c.toml --set log.level=debug");
        let named = named.unwrap();
        assert!(matches!(named.verb, Some(Verb::Serve)));
        for flags in [bare.settings, named.settings] {
            assert_eq!(flags.listen.as_deref(), Some("127.0.0.1:0"));
            assert_eq!((flags.data_dir.as_deref(), flags.models.as_deref()), (Some("d"), Some("m.toml")));
            assert_eq!(flags.config, Some("c.toml".into()));
            assert_eq!(flags.set, [("log.level".to_owned(), "debug".to_owned())]);
        }
        assert!(parse("").unwrap().verb.is_none());
    }

    #[test]
    fn insights_takes_filters_and_a_look_back() {
        let Some(Verb::Insights(args)) = parse("insights --lookback 7d --label team=a --label x=b=c").unwrap().verb
        else {
            panic!("another verb")
        };
        assert_eq!(args.lookback, 168 * HOUR_MS);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(args.label, [pair("team", "a"), pair("x", "b=c")]);
        let Some(Verb::Insights(args)) = parse("insights").unwrap().verb else { panic!("another verb") };
        assert_eq!(args.lookback, 168 * HOUR_MS);
        for wrong in ["0h", "-1h", "1w", "h", "99999999d"] {
            assert!(parse(&format!("insights --lookback={wrong}")).is_err(), "{wrong}");
        }
        assert!(parse("insights --label nothing").is_err());
    }

    #[test]
    fn insights_compare_and_explain_but_not_both() {
        let line = "insights --compare prompt v1 v2 --overhead agent single";
        let Some(Verb::Insights(args)) = parse(line).unwrap().verb else { panic!("another verb") };
        assert_eq!(args.compare, ["prompt", "v1", "v2"]);
        assert_eq!(args.overhead, ["agent", "single"]);
        let Some(Verb::Insights(args)) = parse("insights --explain-change --tool t").unwrap().verb else {
            panic!("another verb")
        };
        assert!(args.explain_change && args.compare.is_empty());
        for wrong in ["--compare prompt v1", "--overhead agent", "--explain-change --compare-previous"] {
            assert!(parse(&format!("insights {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_format_may_stand_before_or_behind_the_verb() {
        for line in ["--format json models list", "models --format json list", "models list --format json"] {
            assert_eq!(parse(line).unwrap().format, Format::Json, "{line}");
        }
        assert_eq!(parse("models list").unwrap().format, Format::Table);
        assert_eq!(parse("models list --format xml").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn an_instant_is_a_day_or_a_time_in_utc() {
        assert_eq!(parse_instant("1970-01-02"), Ok(UnixMillis(86_400_000)));
        assert_eq!(parse_instant("1970-01-01T01:00:00+01:00"), Ok(UnixMillis(0)));
        for wrong in ["", "yesterday", "2024-13-01", "2024-02-30", "1700000000"] {
            assert!(parse_instant(wrong).is_err(), "{wrong}");
        }
    }
}
