//! `oddsmaker simulate --validate`: whether flags and intervals hold what the reports claim, under the router's own sampling.

use std::io::Write;

use super::args::Format;
use super::failure::Failure;
use super::listing::{Cell, Column, Listing};
use crate::domain::policy::Policy;
use crate::simulation::validation::{FlagWorld, IntervalWorld, coverage, flag_share};
use crate::simulation::validation_policy::{PolicyWorld, policy_check};
use crate::simulation::validation_savings::{SavingsWorld, savings_share};

/// Calls of a run that looks at flags.
const STEPS: u64 = 10_000;

const COLUMNS: [Column; 6] = [
    Column::text("check", "Check"),
    Column::text("world", "World"),
    Column::number("tolerance", "ε"),
    Column::number("reps", "Runs"),
    Column::number("share", "Share"),
    Column::text("must", "Must"),
];

/// What the columns are.
const LEGEND: &str = "\
Share: part of the runs in which it was so; of `minus truth` the mean difference of two success rates. ε: the router's tolerance.
Must: what is demanded; where nothing is, the figure is only shown.";

/// Plays every world `reps` times and prints a row for each claim.
///
/// # Errors
/// The output cannot be written.
pub(super) fn run(reps: usize, seed: u64, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    let mut listing = Listing::new(&COLUMNS);
    let mut row = |check: &str, world: String, tolerance: f64, share: Option<f64>, must: &str| {
        let shown = share.map_or_else(|| "–".to_owned(), |s| format!("{s:.3}"));
        let cells: Vec<Cell> =
            vec![check.into(), world.into(), tolerance.into(), reps.into(), Cell::shown(share, shown), must.into()];
        listing.push(cells);
    };
    for tolerance in [0.0, 0.01] {
        for (cheap, dear, must) in flag_worlds() {
            let must = if tolerance == 0.0 { must } else { "" };
            let world = FlagWorld { cheap, dear, tolerance };
            let shown = format!("{:?} cheap, {dear} dear", world.cheap);
            let share = flag_share(&world, STEPS, reps, seed);
            if must.starts_with("at least") {
                row(
                    "flag ever raised, of runs whose dear model stayed in front",
                    shown,
                    tolerance,
                    share.raised_of_dear,
                    must,
                );
            } else {
                row("flag ever raised", shown, tolerance, Some(share.raised), must);
            }
        }
    }
    for failure_cost in [1.0, 2.0, 3.0] {
        for steps in [200, 1_000, 10_000] {
            let rates = [0.8, 0.9];
            let held = coverage(&IntervalWorld { rates, failure_cost, steps }, reps, seed);
            let shown = format!("{rates:?}, {steps} calls, a failure costs {failure_cost} times as much");
            row(
                "cost per success in its 90 % interval",
                shown.clone(),
                0.01,
                Some(held.cost_per_success),
                "at least 0.87",
            );
            row("success rate in its 90 % interval", shown, 0.01, Some(held.success_rate), "");
        }
    }
    for (shown, world) in policy_worlds() {
        let found = policy_check(&world, reps, seed);
        let shown = format!("{:?}, η {}, {} draws: {shown}", world.rates, world.floor, world.steps);
        row("what-if: estimate minus truth", shown.clone(), 0.01, Some(found.bias), "within 0.01");
        row("what-if: truth in its 95 % interval", shown.clone(), 0.01, Some(found.coverage_95), "at least 0.92");
        row("what-if: truth in its 90 % interval", shown.clone(), 0.01, Some(found.coverage_90), "");
        row("what-if: self-normalised estimate minus truth", shown.clone(), 0.01, Some(found.snips_bias), "");
        row("what-if: refused by the daemon as too thin", shown, 0.01, Some(found.refused), "");
    }
    for (world, shown) in savings_worlds() {
        let held = savings_share(&world, reps, seed);
        let of = |what: &str| format!("savings: {what}");
        row(&of("dollars in their 90 % interval"), shown.clone(), 0.01, Some(held.cost), "at least 0.87");
        row(
            &of("points of acceptance in their 90 % interval"),
            shown.clone(),
            0.01,
            Some(held.acceptance),
            "at least 0.87",
        );
        row(&of("dollars, were all time one stratum"), shown.clone(), 0.01, Some(held.cost_in_one), "");
        row(&of("dollars, were calls of a goal independent"), shown.clone(), 0.01, Some(held.cost_by_call), "");
        let must = if world.costs[0] == world.costs[1] { "at most 0.07" } else { "" };
        row(&of("called saved"), shown, 0.01, Some(held.saved), must);
    }
    listing.print(format, out)?;
    if format == Format::Table { Ok(writeln!(out, "\n{LEGEND}")?) } else { Ok(()) }
}

/// What is asked of a router that knows three models of .80, .85 and .92 in rising cost.
fn policy_worlds() -> [(&'static str, PolicyWorld); 5] {
    let world = |policy: Policy, truth: f64, floor: f64, steps: u64| PolicyWorld {
        rates: vec![0.80, 0.85, 0.92],
        floor,
        policy,
        truth,
        steps,
        held_out: None,
    };
    let always = |place: usize| Policy::Only(vec![place.to_string()]);
    [
        ("always the worst", world(always(0), 0.80, 0.01, 5_000)),
        (
            "always the worst, a twentieth held out on it by lot",
            PolicyWorld { held_out: Some((0, 0.05)), ..world(always(0), 0.80, 0.01, 5_000) },
        ),
        ("always the middle", world(always(1), 0.85, 0.1, 5_000)),
        ("always the best", world(always(2), 0.92, 0.01, 5_000)),
        ("a random one", world(Policy::Uniform, (0.80 + 0.85 + 0.92) / 3.0, 0.01, 5_000)),
    ]
}

/// Rollouts whose first candidate is held out on: a cheaper one nearly as good, one that is equal in all, and shares that
/// grow while the work gets dearer.
fn savings_worlds() -> [(SavingsWorld, String); 6] {
    let cheaper = |goals, held_out| {
        let (rates, costs) = (vec![0.95, 0.94], vec![2_100_000, 700_000]);
        SavingsWorld { rates, costs, goals, held_out, grows: false }
    };
    let equal =
        |goals, held_out| SavingsWorld { rates: vec![0.9; 2], costs: vec![1_000_000; 2], ..cheaper(goals, held_out) };
    let grows = SavingsWorld { grows: true, ..cheaper(4_000, 0.2) };
    let worlds = [
        ("a third of the cost", cheaper(2_500, 0.05)),
        ("a third of the cost", cheaper(10_000, 0.05)),
        ("a third of the cost", cheaper(2_000, 0.2)),
        ("equal", equal(2_500, 0.05)),
        ("equal", equal(2_000, 0.2)),
        ("a third of the cost, a tenth served, then all at three times the price", grows),
    ];
    worlds.map(|(name, world)| {
        let shown = format!("{name}; {} goals, {} % held out", world.goals, world.held_out * 100.0);
        (world, shown)
    })
}

/// Success rates of cheap candidates and of the dear one, and what is demanded without a tolerance.
fn flag_worlds() -> [(Vec<f64>, f64, &'static str); 6] {
    [
        (vec![0.94], 0.96, "at most 0.05"),
        (vec![0.94; 4], 0.96, "at most 0.05"),
        (vec![0.96], 0.96, "at least 0.65"),
        (vec![0.82], 0.96, "0"),
        (vec![0.93], 0.96, ""),
        (vec![0.95], 0.96, ""),
    ]
}
