//! What can be typed after the verbs about goals, budgets and alerts. It refuses to know what the daemon makes of it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::args::{ServerArgs, parse_lookback_ms, parse_pair};
use super::words;
use crate::wire::pb::GoalState;

/// Entries of a listing where nobody says how many.
const LIMIT: u64 = 50;

/// Most goals of a sample.
const SAMPLE_MAX: u64 = 1_000;

#[derive(Debug, Args)]
pub(super) struct ReceiptArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// The goal.
    #[arg(value_name = "GOAL")]
    pub(super) goal_id: String,
    /// Only the sums of the steps.
    #[arg(long)]
    pub(super) without_calls: bool,
}

#[derive(Debug, Args)]
pub(super) struct GoalsArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Only goals in this state: open, accepted, rejected, abandoned, timed_out, tool_error or escalated.
    #[arg(long, value_name = "STATE", value_parser = words::goal_state)]
    pub(super) state: Option<GoalState>,
    #[command(flatten)]
    pub(super) kind: KindArgs,
    /// How many goals at most.
    #[arg(long, value_name = "N", default_value_t = LIMIT, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: u64,
}

/// Which goals, whatever their state.
#[derive(Debug, Args)]
pub(super) struct KindArgs {
    /// Only goals of this workflow.
    #[arg(long, value_name = "NAME")]
    pub(super) workflow: Option<String>,
    /// Only goals with this label; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub(super) label: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(super) struct BudgetsArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Only this budget of the configuration.
    #[arg(long, value_name = "ID")]
    pub(super) budget: Option<String>,
    /// Only budgets of this scope: organization, team, agent, workflow, user, goal, step or tool.
    #[arg(long, value_name = "SCOPE")]
    pub(super) scope: Option<String>,
    /// Only those of this instance of the scope, such as the name of the team.
    #[arg(long, value_name = "NAME")]
    pub(super) instance: Option<String>,
    /// Every budget that applies to this goal, and only those [default: those of no single goal].
    #[arg(long, value_name = "ID")]
    pub(super) goal_id: Option<String>,
    /// How many budgets at most.
    #[arg(long, value_name = "N", default_value_t = LIMIT, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: u64,
}

#[derive(Debug, Args)]
pub(super) struct AlertsArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Only alerts of this budget of the configuration.
    #[arg(long, value_name = "ID", conflicts_with = "acknowledge")]
    pub(super) budget: Option<String>,
    /// Also alerts that were acknowledged.
    #[arg(long, conflicts_with = "acknowledge")]
    pub(super) all: bool,
    /// How many alerts at most.
    #[arg(long, value_name = "N", default_value_t = LIMIT, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: u64,
    /// Note that somebody has seen this alert, and list nothing.
    #[arg(long, value_name = "ID", requires = "by")]
    pub(super) acknowledge: Option<String>,
    /// Who has seen it.
    #[arg(long, value_name = "NAME", requires = "acknowledge")]
    pub(super) by: Option<String>,
    /// In their words.
    #[arg(long, value_name = "TEXT", requires = "acknowledge")]
    pub(super) note: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditVerb {
    /// Draw goals that ended, as a sheet (CSV) in which a person fills the column `graded`.
    Sample(SampleArgs),
    /// Take the grades of a filled sheet; doing it twice changes nothing.
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub(super) struct SampleArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// How many goals to draw.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=SAMPLE_MAX))]
    pub(super) n: u64,
    /// The same seed draws the same goals as long as no further ones have ended.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u32,
    /// Only goals that ended this long ago at most, such as 24h or 7d [default: all on the record].
    #[arg(long, value_name = "DURATION", value_parser = parse_lookback_ms)]
    pub(super) lookback: Option<i64>,
    /// Only goals that ended in this state.
    #[arg(long, value_name = "STATE", value_parser = words::end_state)]
    pub(super) state: Option<GoalState>,
    #[command(flatten)]
    pub(super) kind: KindArgs,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// The filled sheet.
    #[arg(value_name = "SHEET")]
    pub(super) sheet: PathBuf,
    /// Who graded; the record says `audit:GRADER`.
    #[arg(long, value_name = "GRADER")]
    pub(super) by: String,
    /// Only check the sheet and, where the daemon answers, whether its goals can be amended; changes nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::{Cli, Verb};
    use super::*;

    fn parse(line: &str) -> Result<Verb, clap::Error> {
        Ok(Cli::try_parse_from(std::iter::once("oddsmaker").chain(line.split_whitespace()))?.verb.unwrap())
    }

    #[test]
    fn goals_takes_filters_and_how_many() {
        let Ok(Verb::Goals(args)) = parse("goals --state timed_out --workflow w --label team=a --limit 3") else {
            panic!("another verb")
        };
        assert_eq!((args.state, args.kind.workflow.as_deref(), args.limit), (Some(GoalState::TimedOut), Some("w"), 3));
        assert_eq!(args.kind.label, [("team".to_owned(), "a".to_owned())]);
        for wrong in ["--state done", "--state unspecified", "--limit 0", "--label x"] {
            assert_eq!(parse(&format!("goals {wrong}")).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }

    #[test]
    fn whoever_acknowledges_has_a_name() {
        let Ok(Verb::Alerts(args)) = parse("alerts --acknowledge a-1 --by kim") else { panic!("another verb") };
        assert_eq!((args.acknowledge.as_deref(), args.by.as_deref()), (Some("a-1"), Some("kim")));
        for wrong in ["--acknowledge a-1", "--by kim", "--note x", "--acknowledge a-1 --by kim --all"] {
            assert!(parse(&format!("alerts {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_audit_is_sampled_and_imported() {
        let Ok(Verb::Audit(AuditVerb::Sample(args))) = parse("audit sample --n 200 --seed 7 --lookback 7d") else {
            panic!("another verb")
        };
        assert_eq!((args.n, args.seed, args.lookback), (200, 7, Some(7 * 24 * 3_600_000)));
        let Ok(Verb::Audit(AuditVerb::Import(args))) = parse("audit import sheet.csv --by kim --dry-run") else {
            panic!("another verb")
        };
        assert_eq!((args.by.as_str(), args.dry_run), ("kim", true));
        for wrong in ["sample --n 0", "sample --n 1001", "sample --state open", "sample --seed -1", "import sheet.csv"]
        {
            assert!(parse(&format!("audit {wrong}")).is_err(), "{wrong}");
        }
    }
}
