//! `oddsmaker simulate`: policies in worlds whose truth is known: scenarios, or fixed bandit problems. It needs no daemon and no
//! data directory.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::args::{Format, SettingFlags};
use super::failure::Failure;
use super::listing::{Cell, Column, Listing, tidy};
use super::{problems_file, simulate_scenarios, validate};
use crate::simulation::problems::{POLICIES, Problem, Run, run_all};

/// What stands below its help.
pub(super) const EXAMPLES: &str = "\
Examples:
  oddsmaker simulate simulations/regression.toml
  oddsmaker simulate simulations/regression.toml simulations/outage.toml --reps 20 --out report
  oddsmaker simulate simulations/tight_gaps.toml --assert 'router.success_rate > cheapest.success_rate'
  oddsmaker simulate --problems bandit-problems.json --policy default thompson --reps 50
Prices of a scenario's candidates come from the catalogue (--models). The same seed gives the same figures. What the columns
are, and in which unit, stands below the table.";

/// What `oddsmaker simulate` can be told.
#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// Scenarios: TOML files, such as those of the folder simulations.
    #[arg(value_name = "SCENARIO", required_unless_present_any = ["problems", "validate"], conflicts_with_all = ["problems", "validate"])]
    pub(super) scenarios: Vec<PathBuf>,
    /// Instead fixed bandit problems: a JSON file with `problems`, each with `id`, `seed`, `T`, `segments` and `cost_usd`.
    #[arg(long, value_name = "FILE")]
    problems: Option<PathBuf>,
    /// Instead of either: play worlds that say how often flags are raised and intervals hold the truth.
    #[arg(long, conflicts_with_all = ["problems", "problem", "policy"])]
    validate: bool,
    /// Only this problem; may be given several times.
    #[arg(long, value_name = "ID", requires = "problems")]
    problem: Vec<String>,
    /// Repetitions with every policy [default: what the scenario says; 200 of a problem].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) reps: Option<u32>,
    /// Policies to run: of a scenario those it names; of problems default, shipped, plain, half_life=N, noise=N, thompson, ucb1, klucb,
    /// epsilon_greedy, uniform [default: all but half_life].
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(super) policy: Vec<String>,
    /// Seed of all that is drawn [default: what the scenario says; 1 for the draws of policies on problems, which have seeds of
    /// their own].
    #[arg(long, value_name = "NUMBER")]
    pub(super) seed: Option<u64>,
    /// Calls (or goals) that arrive [default: what the scenario says].
    #[arg(long, value_name = "N", conflicts_with_all = ["problems", "validate"], value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(super) calls: Option<u64>,
    /// Also write report, figures, curves and plots to this folder; of several scenarios to a folder each in it.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["problems", "validate"])]
    pub(super) out: Option<PathBuf>,
    /// A condition such as 'router.cost_per_success < 0.02' or 'router.success_rate > cheapest.success_rate'; without a policy
    /// the first one is meant. Where it does not hold in a scenario, the exit code is 1. May be given several times.
    #[arg(long = "assert", value_name = "CONDITION", conflicts_with_all = ["problems", "validate"])]
    pub(super) asserts: Vec<String>,
}

const COLUMNS: [Column; 11] = [
    Column::text("problem", "Problem"),
    Column::text("policy", "Policy"),
    Column::number("reps", "Runs"),
    Column::number("regret_mean", "Regret"),
    Column::number("regret_se", "±"),
    Column::number("regret_mean_300", "After 300"),
    Column::number("regret_mean_1000", "After 1,000"),
    Column::number("regret_p95", "95th percentile"),
    Column::number("success_rate", "Success"),
    Column::number("cost_usd_mean", "Cost"),
    Column::number("cost_per_success_usd", "Per success"),
];

/// What the columns of problems are.
const LEGEND: &str = "\
Means of the runs. Regret: successes lost to always taking the best candidate; ±: its standard error; After …: by that call.
Success: successes ÷ calls. Cost: what all calls of a run cost, USD. Per success: cost ÷ successes, USD.";

/// Repetitions of a problem.
const PROBLEM_REPS: u32 = 200;

/// Plays scenarios or problems and prints a row for each and each policy.
///
/// # Errors
/// A file is none of its form, a policy or problem has no such name, the folder cannot be written, or a condition does not hold.
pub(super) fn run(
    flags: &SettingFlags,
    args: &SimulateArgs,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match &args.problems {
        Some(file) => run_problems(file, args, format, out),
        None if args.validate => {
            validate::run(args.reps.unwrap_or(PROBLEM_REPS) as usize, args.seed.unwrap_or(1), format, out)
        }
        None => simulate_scenarios::run(flags, args, format, out),
    }
}

fn run_problems(file: &Path, args: &SimulateArgs, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    let problems = problems_file::read(file)?;
    let (reps, seed) = (args.reps.unwrap_or(PROBLEM_REPS), args.seed.unwrap_or(1));
    let names: Vec<String> =
        if args.policy.is_empty() { POLICIES.map(str::to_owned).to_vec() } else { args.policy.clone() };
    for wanted in &args.problem {
        if !problems.iter().any(|p| p.id == *wanted) {
            let known: Vec<&str> = problems.iter().map(|p| p.id.as_str()).collect();
            return Err(Failure::Usage(format!("no problem `{wanted}`: there are {}", known.join(", "))));
        }
    }
    let mut listing = Listing::new(&COLUMNS);
    for problem in problems.iter().filter(|p| args.problem.is_empty() || args.problem.contains(&p.id)) {
        for name in &names {
            let Some(runs) = run_all(problem, name, reps as usize, seed, || ()) else {
                let known = POLICIES.join(", ");
                return Err(Failure::Usage(format!("no policy `{name}`: there are {known}, half_life=N, noise=N")));
            };
            listing.push(row(problem, name, &runs));
        }
    }
    listing.print(format, out)?;
    if format == Format::Table { Ok(writeln!(out, "\n{LEGEND}")?) } else { Ok(()) }
}

fn row(problem: &Problem, name: &str, runs: &[Run]) -> Vec<Cell> {
    let n = runs.len() as f64;
    let mean = |of: &dyn Fn(&Run) -> f64| runs.iter().map(of).sum::<f64>() / n;
    let regret = mean(&|r| r.regret);
    let variance = mean(&|r| (r.regret - regret).powi(2)) * n / (n - 1.0).max(1.0);
    let mut sorted: Vec<f64> = runs.iter().map(|r| r.regret).collect();
    sorted.sort_by(f64::total_cmp);
    let p95 = sorted[((n * 0.95).ceil() as usize).clamp(1, runs.len()) - 1];
    let (successes, cost) = (mean(&|r| r.successes as f64), mean(&|r| r.cost_nano as f64) / 1e9);
    let short = |x: f64, digits: usize| Cell::shown(tidy(x), format!("{x:.digits$}"));
    vec![
        problem.id.clone().into(),
        name.into(),
        runs.len().into(),
        short(regret, 1),
        short((variance / n).sqrt(), 1),
        short(mean(&|r| r.regret_at[0]), 1),
        short(mean(&|r| r.regret_at[1]), 1),
        short(p95, 1),
        short(successes / problem.steps as f64, 4),
        short(cost, 2),
        short(cost / successes.max(1.0), 6),
    ]
}
