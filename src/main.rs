//! The program: parses the arguments and hands over.

use std::process::ExitCode;

use oddsmaker::cli::{parse, run};

fn main() -> ExitCode {
    run(&parse())
}
