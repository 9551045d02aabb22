//! The folder a simulation leaves: figures, curves, plots, a report, and a manifest that says what they were made of. No time of
//! the wall stands in any of them, so the same seed gives the same bytes. It refuses to touch a folder that is not its own.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::listing::tidy;
use super::simulate_asserts::Figures as _;
use super::simulate_plots::{self as plots, LINES_MAX, Series};
use super::simulate_report;
use super::simulate_scenarios::Played;
use crate::domain::time::HOUR_MS;
use crate::simulation::figures::{Bin, FIGURES, Figure, Point, Run, curve};

/// The file that says what a folder is.
pub(super) const MANIFEST: &str = "manifest.json";

/// How the manifest of a folder of ours begins.
pub(super) const MADE_BY: &str = "oddsmaker simulate";

/// How that of a folder of a replay begins.
pub(super) const REPLAYED_BY: &str = "oddsmaker replay";

/// The plots of a scenario, and the curves they show.
pub(super) struct Plots {
    /// Points of each policy.
    pub(super) curves: Vec<Vec<Point>>,
    /// File name, title, SVG.
    pub(super) all: Vec<(&'static str, String, String)>,
}

/// Writes everything about a scenario to `folder`, which was [claimed](claim).
///
/// # Errors
/// It cannot be written.
pub(super) fn write(folder: &Path, played: &Played) -> Result<(), Failure> {
    let plots = draw(played)?;
    let mut files: Vec<(&str, String)> = vec![
        ("scenario.toml", played.text.clone()),
        ("summary.json", format!("{:#}\n", summary(played))),
        ("runs.csv", runs(played)?),
        ("curves.csv", curves(played, &plots.curves)?),
        ("shares.csv", shares(played, &plots.curves)?),
    ];
    files.extend(plots.all.iter().map(|(name, _, svg)| (*name, svg.clone())));
    files.push(("report.html", simulate_report::page(played, &plots)));
    // Said first, so that a folder half written is known as ours.
    put(folder, MANIFEST, &format!("{:#}\n", manifest(played, &[])))?;
    files.iter().try_for_each(|(name, text)| put(folder, name, text))?;
    put(folder, MANIFEST, &format!("{:#}\n", manifest(played, &files)))
}

/// Makes sure that the folder is there and ours.
///
/// # Errors
/// It holds what nobody should overwrite, or cannot be made.
pub(super) fn claim(folder: &Path) -> Result<(), Failure> {
    let shown = folder.display();
    fs::create_dir_all(folder).map_err(|e| Failure::Failed(format!("cannot make the folder {shown}: {e}")))?;
    let mut inside = fs::read_dir(folder).map_err(|e| Failure::Failed(format!("cannot read {shown}: {e}")))?;
    let text = fs::read_to_string(folder.join(MANIFEST)).unwrap_or_default();
    let manifest: Value = serde_json::from_str(&text).unwrap_or_default();
    if inside.next().is_none() || [MADE_BY, REPLAYED_BY].iter().any(|by| manifest["made_by"] == *by) {
        return Ok(());
    }
    Err(Failure::Failed(format!("{shown} holds something else than a simulation: give a new folder, or empty it")))
}

/// Writes a file.
///
/// # Errors
/// It cannot be written.
pub(super) fn put(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|e| Failure::Failed(format!("cannot write {}: {e}", path.display())))
}

/// What a file is known by.
pub(super) fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

fn manifest(played: &Played, files: &[(&str, String)]) -> Value {
    let scenario = &played.scenario;
    json!({
        "made_by": MADE_BY,
        "version": env!("CARGO_PKG_VERSION"),
        "scenario": scenario.name,
        "scenario_file": played.file,
        "scenario_blake3": digest(&played.text),
        "catalogue_version": played.catalogue,
        "seed": scenario.seed,
        "replications": scenario.replications,
        "arrivals": scenario.arrivals,
        "arrivals_per_hour": scenario.per_hour,
        "policies": scenario.policies.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(),
        "files_blake3": files.iter().map(|(name, text)| ((*name).to_owned(), digest(text).into())).collect::<Map<_, _>>(),
    })
}

/// Figures that make sense in a scenario.
pub(super) fn figures(played: &Played) -> impl Iterator<Item = &'static Figure> {
    let goals = !played.scenario.workflows.is_empty();
    FIGURES.iter().filter(move |figure| goals || !figure.of_goals)
}

/// Task type and model of each slot.
pub(super) fn slots(played: &Played) -> Vec<(String, String)> {
    let model = |place: usize| played.scenario.models[place].id.to_string();
    played.scenario.slots().map(|(task, candidate)| (task.id.to_string(), model(candidate.model))).collect()
}

fn summary(played: &Played) -> Value {
    let slots = slots(played);
    let policy = |n: usize| {
        let figure = |figure: &Figure| {
            let summary = played.figure(n, figure);
            (figure.name.to_owned(), json!({ "mean": summary.mean, "low": summary.low, "high": summary.high }))
        };
        let all = played.runs[n].iter().map(Run::all).collect::<Vec<Bin>>();
        let all = Bin::sum(&all);
        let share = |((task, model), taken): (&(String, String), &u64)| json!({ "task": task, "model": model, "share": tidy(*taken as f64 / all.calls.max(1) as f64) });
        json!({
            "policy": played.scenario.policies[n].name,
            "through": played.through(n),
            "figures": figures(played).map(figure).collect::<Map<_, _>>(),
            "traffic": slots.iter().zip(&all.taken).map(share).collect::<Vec<_>>(),
        })
    };
    json!({
        "scenario": played.scenario.name,
        "about": played.scenario.about,
        "meanings": figures(played).map(|f| (f.name.to_owned(), f.meaning.into())).collect::<Map<_, _>>(),
        "interval": "low and high are the 5th and 95th percentile of the replications",
        "policies": (0..played.runs.len()).map(policy).collect::<Vec<_>>(),
    })
}

fn number(x: Option<f64>) -> String {
    x.map_or_else(String::new, |x| tidy(x).to_string())
}

/// Rows as CSV.
///
/// # Errors
/// They cannot be written.
pub(super) fn csv(rows: impl Iterator<Item = Vec<String>>) -> Result<String, Failure> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    for row in rows {
        csv.write_record(&row).map_err(Failure::failed)?;
    }
    let bytes = csv.into_inner().map_err(|e| Failure::Failed(e.to_string()))?;
    String::from_utf8(bytes).map_err(Failure::failed)
}

/// The cells of a heading.
pub(super) fn words(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn runs(played: &Played) -> Result<String, Failure> {
    let header = words(&["policy", "replication"]).into_iter().chain(figures(played).map(|f| f.name.to_owned()));
    let row = |policy: usize, rep: usize| {
        let named = [played.scenario.policies[policy].name.clone(), rep.to_string()];
        let run = &played.runs[policy][rep];
        named.into_iter().chain(figures(played).map(|f| number(f.of(run)))).collect()
    };
    let rows = (0..played.runs.len()).flat_map(|policy| (0..played.runs[policy].len()).map(move |rep| (policy, rep)));
    csv(std::iter::once(header.collect()).chain(rows.map(|(policy, rep)| row(policy, rep))))
}

fn hour(played: &Played, arrivals: f64) -> f64 {
    let ms = played.scenario.time_of(arrivals as u64).0 - played.scenario.start.0;
    ms as f64 / HOUR_MS as f64
}

fn points<'p>(played: &'p Played, curves: &'p [Vec<Point>]) -> impl Iterator<Item = (Vec<String>, &'p Point)> {
    played.scenario.policies.iter().zip(curves).flat_map(move |(policy, points)| {
        points.iter().map(move |point| {
            let hour = hour(played, point.arrivals);
            (vec![policy.name.clone(), point.arrivals.to_string(), tidy(hour).to_string()], point)
        })
    })
}

fn curves(played: &Played, curves: &[Vec<Point>]) -> Result<String, Failure> {
    let header = words(&[
        "policy",
        "arrivals",
        "hour",
        "regret_mean",
        "regret_low",
        "regret_high",
        "cost_per_success_mean",
        "cost_per_success_low",
        "cost_per_success_high",
        "success_rate",
    ]);
    let row = |(mut row, point): (Vec<String>, &Point)| {
        for summary in [point.regret, point.cost_per_success] {
            row.extend([summary.mean, summary.low, summary.high].map(number));
        }
        row.push(number(point.success_rate));
        row
    };
    csv(std::iter::once(header).chain(points(played, curves).map(row)))
}

fn shares(played: &Played, curves: &[Vec<Point>]) -> Result<String, Failure> {
    let header = words(&["policy", "arrivals", "hour", "task", "model", "share"]);
    let slots = slots(played);
    let rows = points(played, curves).flat_map(|(row, point)| {
        let of = |((task, model), share): (&(String, String), &f64)| {
            [row.clone(), vec![task.clone(), model.clone(), tidy(*share).to_string()]].concat()
        };
        slots.iter().zip(&point.shares).map(of).collect::<Vec<_>>()
    });
    csv(std::iter::once(header).chain(rows))
}

fn draw(played: &Played) -> Result<Plots, Failure> {
    let curves: Vec<Vec<Point>> = played.runs.iter().map(|runs| curve(&played.scenario, runs)).collect();
    let of_goals = !played.scenario.workflows.is_empty();
    let x = if of_goals { "goals" } else { "calls" };
    let line = |of: fn(&Point) -> Option<f64>| -> Vec<Series> {
        let named = played.scenario.policies.iter().zip(&curves);
        named
            .map(|(policy, points)| {
                (policy.name.clone(), points.iter().filter_map(|p| Some((p.arrivals, of(p)?))).collect())
            })
            .collect()
    };
    let first = played.scenario.policies.first().map_or("", |p| p.name.as_str());
    let share_of = |name: &str| format!("Share of the calls each candidate gets from {name}");
    let all = vec![
        (
            "regret.svg",
            "Successes lost to always taking the best candidate, so far".to_owned(),
            plots::lines(x, "successes lost", &line(|p| p.regret.mean))?,
        ),
        (
            "cost_per_success.svg",
            "Cost of a success, so far".to_owned(),
            plots::lines(x, "USD a success", &line(|p| p.cost_per_success.mean))?,
        ),
        ("traffic_share.svg", share_of(first), plots::lines(x, "share of calls", &traffic(played, &curves[0]))?),
        (
            "quality_cost.svg",
            "Quality against cost, and what nobody beats in both".to_owned(),
            plots::pareto("USD a call", "success rate", &quality(played))?,
        ),
    ];
    Ok(Plots { curves, all })
}

/// The slots with the most traffic of a policy, as lines.
pub(super) fn traffic(played: &Played, points: &[Point]) -> Vec<Series> {
    let several = played.scenario.tasks.len() > 1;
    let name = |(task, model): (String, String)| if several { format!("{task}: {model}") } else { model };
    let line = |slot: usize| points.iter().map(|p| (p.arrivals, p.shares[slot])).collect::<Vec<_>>();
    let named = slots(played).into_iter().enumerate();
    let mut lines: Vec<Series> = named.map(|(slot, of)| (name(of), line(slot))).collect();
    let mean = |series: &Series| series.1.iter().map(|p| p.1).sum::<f64>();
    lines.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
    lines.truncate(LINES_MAX);
    lines
}

/// Cost of a call and success rate of each policy that made calls.
fn quality(played: &Played) -> Vec<(String, (f64, f64))> {
    let mean = |policy: usize, name: &str| played.figure(policy, Figure::named(name)?).mean;
    let policies = played.scenario.policies.iter().enumerate();
    policies
        .filter_map(|(n, policy)| Some((policy.name.clone(), (mean(n, "cost_per_call")?, mean(n, "success_rate")?))))
        .collect()
}
