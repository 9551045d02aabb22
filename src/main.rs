//! The program: parses the arguments and hands over.

use std::process::ExitCode;

use clap::Parser as _;
use oddsmaker::cli::{Cli, run};

fn main() -> ExitCode {
    run(&Cli::parse())
}
