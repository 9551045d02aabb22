//! The load generator: drives a daemon in a second process over loopback, beside a bare gRPC echo in a third, in one
//! run, and prints the rows of `benches/README.md`. It knows the contract and the journal, and of the daemon only how to
//! put its parts together under another clock (`played.rs`).
//!
//! `cargo bench --bench load` compares; `-- fill` fills a daemon and weighs it; `-- goals` does so with a month of goals,
//! and asks for their receipts, lists and insights. Everything is bounded in time and count; the processes started are ended by their own ids.
//!
//! | file | holds |
//! |---|---|
//! | `args.rs` | what can be asked for |
//! | `catalogue.rs` | the models and task types |
//! | `process.rs` | the daemon and the echo as child processes: start, end, memory, processor time |
//! | `echo.rs` | the echo itself, both ends |
//! | `requests.rs` | what is sent |
//! | `callers.rs` | one call of each kind |
//! | `drive.rs` | closed loops of calls, timed |
//! | `compare.rs` | all kinds in turn, the ratios between them |
//! | `fill.rs` | a daemon with many calls on record |
//! | `goals.rs` | a month of goals: played, weighed, asked for |
//! | `goal_plan.rs` | what happens in each of those goals |
//! | `played.rs` | the service in this process, under a clock that is played |
//! | `weights.rs` | what each kind of event and of record takes |
//! | `questions.rs` | how long answers about goals take |
//! | `at_size.rs` | the same calls to a daemon with much and to one with little on record |
//! | `table.rs` | rows of a Markdown table |

mod args;
mod at_size;
mod callers;
mod catalogue;
mod compare;
mod drive;
mod echo;
mod fill;
mod goal_plan;
mod goals;
mod played;
mod process;
mod questions;
mod requests;
mod table;
mod weights;

use clap::Parser as _;

use args::{Args, Verb};

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(Verb::Echo { response_bytes }) = args.verb {
        return runtime()?.block_on(echo::serve(response_bytes));
    }
    if cfg!(debug_assertions) {
        eprintln!("not optimised: these figures say nothing; run it with `cargo bench --bench load`");
    }
    let limit = args.limit();
    let work = async {
        match &args.verb {
            Some(Verb::Fill(plan)) => fill::run(&args, plan).await,
            Some(Verb::Goals(plan)) => goals::run(&args, plan).await,
            _ => compare::run(&args).await,
        }
    };
    runtime()?.block_on(async {
        match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => anyhow::bail!("not done within {} minutes, the limit of --minutes", limit.as_secs() / 60),
        }
    })
}

/// The same settings as the daemon's.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
