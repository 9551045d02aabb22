//! `oddsmaker simulate`: policies on problems whose truth is known. It needs no daemon, no data directory and no catalogue.

use std::io::Write;

use clap::Args;

use super::args::Format;
use super::failure::Failure;
use super::listing::{Cell, Column, Listing, tidy};
use super::{problems_file, validate};
use crate::simulation::problems::{POLICIES, Problem, Run, run_all};

/// What `oddsmaker simulate` can be told.
#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// Fixed bandit problems: a JSON file with `problems`, each with `id`, `seed`, `T`, `segments` and `cost_usd`.
    #[arg(long, value_name = "FILE", required_unless_present = "validate")]
    problems: Option<std::path::PathBuf>,
    /// Instead of problems: play worlds that say how often flags are raised and intervals hold the truth.
    #[arg(long, conflicts_with_all = ["problems", "problem", "policy"])]
    validate: bool,
    /// Only this problem; may be given several times.
    #[arg(long, value_name = "ID")]
    problem: Vec<String>,
    /// Repetitions of every problem and policy.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    reps: u32,
    /// Policies to run: default, shipped, plain, half_life=N, thompson, ucb1, klucb, epsilon_greedy, uniform [default: all
    /// but half_life].
    #[arg(long, value_name = "NAME", num_args = 1..)]
    policy: Vec<String>,
    /// Seed of the policies' draws; the problems have their own.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
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

/// Runs the policies and prints a row for each problem and policy.
///
/// # Errors
/// The file is none of this form, or a policy or problem has no such name.
pub(super) fn run(args: &SimulateArgs, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    let Some(file) = &args.problems else { return validate::run(args.reps as usize, args.seed, format, out) };
    let problems = problems_file::read(file)?;
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
            let Some(runs) = run_all(problem, name, args.reps as usize, args.seed, || ()) else {
                let known = POLICIES.join(", ");
                return Err(Failure::Usage(format!("no policy `{name}`: there are {known}, half_life=N")));
            };
            listing.push(row(problem, name, &runs));
        }
    }
    listing.print(format, out)
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
