//! The command line: one verb a file. It refuses to know how anything is done, and never writes into a data
//! directory, except by starting the daemon.
//!
//! | file | verb or part |
//! |---|---|
//! | `args`, `args_goals`, `words`, `help` | what can be typed, and what the help of a verb shows of it |
//! | `setup` | what was typed → settings |
//! | `listing`, `human` | rows as table, JSON or CSV; numbers for people |
//! | `failure` | how a verb can end |
//! | `serve`, `banner`, `logging` | the daemon |
//! | `insights` with `insights_…`, `healthcheck`, `client` | what asks a running daemon |
//! | `receipt`, `receipt_text`, `receipt_call`, `tree` | a goal's receipt |
//! | `goals`, `budgets`, `alerts` | lists of a running daemon |
//! | `what_if` | what other policies would have brought |
//! | `audit`, `sheet` | samples that people grade |
//! | `models`, `explain`, `config` | what reads files only |
//! | `simulate` with `simulate_…`, `validate`, `problems_file` | policies in worlds and on problems whose truth is known |
//! | `replay`, `replay_files`, `table_file` | policies on tables of true outcomes |
//! | `replay_ledger`, `ledger_file`, `ledger_line`, `input_file` | policies on an exported ledger |
//! | `verify`, `export`, `compact`, `offline` | what reads a data directory, or puts it in order |

mod alerts;
mod args;
mod args_goals;
mod audit;
mod banner;
mod budgets;
mod client;
mod compact;
mod config;
mod explain;
mod export;
mod failure;
#[cfg(test)]
mod fake_daemon;
mod goals;
mod healthcheck;
mod help;
mod human;
mod input_file;
mod insights;
mod insights_change;
mod insights_goals;
mod insights_proof;
mod insights_tables;
mod insights_text;
mod ledger_file;
mod ledger_line;
mod listing;
mod logging;
mod models;
mod offline;
mod problems_file;
mod receipt;
mod receipt_call;
mod receipt_text;
mod replay;
mod replay_files;
mod replay_ledger;
mod serve;
mod setup;
mod sheet;
mod simulate;
mod simulate_asserts;
mod simulate_files;
mod simulate_plots;
mod simulate_report;
mod simulate_scenarios;
mod table_file;
mod tree;
mod validate;
mod verify;
mod what_if;
mod words;

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use clap::FromArgMatches as _;

pub use args::Cli;

use args::{ConfigVerb, ModelsVerb, Verb};
use args_goals::AuditVerb;
use failure::Failure;

/// What was typed; ends the process with help, version or a complaint where there is nothing to do.
#[must_use]
pub fn parse() -> Cli {
    let typed = help::command().get_matches();
    Cli::from_arg_matches(&typed).unwrap_or_else(|error| error.exit())
}

/// Does what was asked and says how it ended: 0 fine, 1 failed, 2 wrong usage (most of it is
/// found while parsing), 78 bad configuration.
#[must_use]
pub fn run(cli: &Cli) -> ExitCode {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let ended = dispatch(cli, &mut out).and_then(|()| Ok(out.flush()?));
    match ended {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(failure) => {
            // What was already found is shown before why it ended. A closed output is not worth a second complaint.
            drop(out.flush());
            failure.report();
            failure.exit_code()
        }
    }
}

fn dispatch(cli: &Cli, out: &mut dyn Write) -> Result<(), Failure> {
    let (settings, format) = (&cli.settings, cli.format);
    match cli.verb.as_ref().unwrap_or(&Verb::Serve) {
        Verb::Serve => serve::run(settings),
        Verb::Insights(args) => insights::run(settings, args, format, out),
        Verb::Receipt(args) => receipt::run(settings, args, format, out),
        Verb::Goals(args) => goals::run(settings, args, format, out),
        Verb::Budgets(args) => budgets::run(settings, args, format, out),
        Verb::Alerts(args) => alerts::run(settings, args, format, out),
        Verb::WhatIf(args) => what_if::run(settings, args, format, out),
        Verb::Audit(AuditVerb::Sample(args)) => audit::sample(settings, args, format, out),
        Verb::Audit(AuditVerb::Import(args)) => audit::import(settings, args, format, out),
        Verb::Models(ModelsVerb::List) => models::list(settings, format, out),
        Verb::Models(ModelsVerb::Check { file }) => models::check(settings, file.as_deref(), format, out),
        Verb::Models(ModelsVerb::Explain(args)) => explain::run(settings, args, format, out),
        Verb::Config(ConfigVerb::Check) => config::check(settings, format, out),
        Verb::Config(ConfigVerb::Show) => config::show(settings, format, out),
        Verb::Verify => verify::run(settings, format, out),
        Verb::Compact => compact::run(settings, format, out),
        Verb::Export(args) => export::run(settings, args, format, out),
        Verb::Replay(args) => replay::run(settings, args, format, out),
        Verb::Simulate(args) => simulate::run(settings, args, format, out),
        Verb::Healthcheck(server) => healthcheck::run(settings, server, out),
    }
}
