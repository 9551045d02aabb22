//! `oddsmaker replay` of an exported ledger: what really happened, and what other policies would have made of the same
//! decisions. It needs no daemon and computes no figure.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::args::{Format, SettingFlags};
use super::failure::Failure;
use super::human::{count, many, percent, printable};
use super::listing::{Cell, Column, Listing, tidy};
use super::replay::ReplayArgs;
use super::replay_files;
use super::simulate_files::claim;
use super::simulate_plots as plots;
use super::simulate_scenarios::progress;
use super::table_file::stem;
use super::what_if::{figures_of, left_out};
use super::{ledger_file, setup};
use crate::catalogue_source;
use crate::domain::catalog::Catalog;
use crate::domain::rollup::Tally;
use crate::insights::{CallFigures, Estimate, SelfNormalised};
use crate::simulation::logged::Log;
use crate::simulation::relive::{Decider, Relive, Relived};

const SHOWN: [&str; 3] = ["default", "cheapest", "uniform"];

/// Rows of what really happened: decided calls, and those of them that estimates rest on.
const RECORDED: &str = "recorded";
const RECORDED_DRAWS: &str = "recorded_draws";

const COLUMNS: &[Column] = &[
    Column::program("dataset"),
    Column::text("task_type", "Task type"),
    Column::text("policy", "Policy"),
    Column::program("repetitions"),
    Column::number("draws", "Draws"),
    Column::number("calls", "Calls"),
    Column::number("matched_share", "Matched"),
    Column::number("effective_sample_size", "Worth"),
    Column::number("success_rate", "Success"),
    Column::program("success_rate_low"),
    Column::program("success_rate_high"),
    Column::number("success_rate_last_fifth", "… last fifth"),
    Column::number("cost_per_call_usd", "A call"),
    Column::program("cost_per_call_usd_low"),
    Column::program("cost_per_call_usd_high"),
    Column::program("cost_per_call_usd_last_fifth"),
    Column::number("cost_per_success_usd", "A success"),
    Column::program("cost_per_success_usd_low"),
    Column::program("cost_per_success_usd_high"),
    Column::number("cost_per_success_usd_last_fifth", "… last fifth"),
    Column::program("doubly_robust_success_rate"),
    Column::program("doubly_robust_success_rate_low"),
    Column::program("doubly_robust_success_rate_high"),
    Column::program("doubly_robust_cost_per_call_usd"),
    Column::program("doubly_robust_cost_per_success_usd"),
    Column::program("successes"),
    Column::program("cost_nano_usd"),
    Column::program("pricing_coverage"),
    Column::program("not_on_offer"),
    Column::program("refused"),
];

/// Prints a row for what really happened at each task type and in all, and one for each policy.
///
/// # Errors
/// A file cannot be used, a policy has no such name, or a flag is for tables only.
pub(super) fn run(flags: &SettingFlags, args: &ReplayArgs, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    if args.prices.is_some() || args.passes != 1 || !args.feature.is_empty() {
        let say = "--prices, --passes and --feature are for tables; a ledger has its own prices, order and features";
        return Err(Failure::Usage(say.to_owned()));
    }
    let given = flags.models.as_deref().map(given).transpose()?;
    let log = ledger_file::read(&args.tables, given.as_ref())?;
    let relive = relive(&log, args.task.as_deref())?;
    let deciders = deciders(&args.policy, &relive)?;
    args.out.as_deref().map_or(Ok(()), claim)?;
    let dataset = args.tables.first().map(|path| stem(path)).unwrap_or_default();
    let routers = deciders.iter().filter(|(_, decider)| matches!(decider, Decider::Router { .. })).count();
    let bar = progress(&dataset, routers as u64 * u64::from(args.shuffles));
    let decide = |(name, decider): &(String, Decider)| {
        let found = relive.decide(decider, given.as_ref(), args.shuffles as usize, args.seed, || bar.inc(1));
        (name.clone(), found)
    };
    let observed = relive.observed();
    let found: Vec<(String, Relived)> = deciders.iter().map(decide).collect();
    bar.finish_and_clear();
    let mut listing = Listing::new(COLUMNS);
    let task = args.task.as_deref();
    happened(&log, &dataset, task, &mut listing);
    listing.push(row(&dataset, task, RECORDED_DRAWS, &observed, None));
    for (name, relived) in &found {
        listing.push(row(&dataset, task, name, relived, Some(args.shuffles)));
    }
    if let Some(folder) = &args.out {
        let said = json!({ "repetitions": args.shuffles, "seed": args.seed, "exports": args.tables.len() });
        let point = |(name, of): (&str, &Relived)| {
            let (cost, rate) = (of.weighted.cost_per_call_usd?, of.weighted.success_rate?);
            Some((name.to_owned(), (cost.value, rate.value)))
        };
        let all = found.iter().map(|(name, of)| (name.as_str(), of)).chain([(RECORDED_DRAWS, &observed)]);
        let points: Vec<(String, (f64, f64))> = all.filter_map(point).collect();
        let plot = plots::pareto("USD a call", "success rate", &points)?;
        let files = [replay_files::figures(&listing), (replay_files::file_name(&dataset), plot)];
        replay_files::leave(folder, &said, &files)?;
    }
    listing.print(format, out)?;
    if format != Format::Table {
        return Ok(());
    }
    if let Some(said) = given.as_ref().and_then(|catalog| undeclared(catalog, &log, &relive.models())) {
        writeln!(out, "\n{}", printable(&said))?;
    }
    beneath(&log, &observed, &found, args, out)
}

/// The draws of that task type, or all.
fn relive<'l>(log: &'l Log, task: Option<&str>) -> Result<Relive<'l>, Failure> {
    let Some(task) = task else { return Ok(Relive::new(log)) };
    let known = || log.tasks.iter().map(|of| of.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = Relive::new(log).at(task);
    found.ok_or_else(|| Failure::Usage(format!("no task type `{task}` in this ledger; there are {}", known())))
}

/// What stands in the ledger and not in the catalogue that is to decide it; `None`: nothing.
fn undeclared(catalog: &Catalog, log: &Log, models: &BTreeSet<&str>) -> Option<String> {
    let tasks = log.tasks.iter().map(|of| of.name.as_str()).filter(|name| catalog.task(name).is_none());
    let is_model = |name: &str| !matches!(catalog.resolve(name.split('#').next().unwrap_or(name)), Ok(None));
    let models = models.iter().copied().filter(|name| !is_model(name));
    let (tasks, models) = (tasks.collect::<Vec<_>>().join(", "), models.collect::<Vec<_>>().join(", "));
    let settings = catalog.default_task().map_or_else(
        || "they are decided by the settings as shipped".to_owned(),
        |task| format!("they are decided by the settings of {}", task.id),
    );
    let tasks = (!tasks.is_empty()).then(|| format!("the task types {tasks} ({settings})"));
    let models = (!models.is_empty()).then(|| format!("the models {models} (they compete with the task type's prior)"));
    let said: Vec<String> = tasks.into_iter().chain(models).collect();
    (!said.is_empty()).then(|| format!("--models does not declare {}.", said.join(", nor ")))
}

/// The catalogue of that file.
fn given(file: &str) -> Result<Arc<Catalog>, Failure> {
    let loaded = catalogue_source::load(Some(Path::new(file))).map_err(|error| setup::bad_catalogue(&error))?;
    Ok(Arc::new(loaded.catalog))
}

fn deciders(names: &[String], relive: &Relive<'_>) -> Result<Vec<(String, Decider)>, Failure> {
    let models = relive.models();
    let shown = || SHOWN.map(str::to_owned).into_iter().chain(models.iter().map(|model| format!("always={model}")));
    let names: Vec<String> = if names.is_empty() { shown().collect() } else { names.to_vec() };
    let decider = |name: &String| match Decider::named(name) {
        Some(decider) if relive.knows(&decider) => Ok((name.clone(), decider)),
        Some(_) => {
            let known = models.iter().copied().collect::<Vec<_>>().join(", ");
            Err(Failure::Usage(format!("`{name}`: no such model competed in this ledger; there are {known}")))
        }
        None => Err(Failure::Usage(format!(
            "no policy `{name}` for a ledger: there are {}, tolerance=X, always=MODEL; others need a table of what every \
             model makes of every query",
            SHOWN.join(", ")
        ))),
    };
    names.iter().map(decider).collect()
}

/// A figure with its 90 % interval.
type Figure = (Option<f64>, Option<(f64, f64)>);

/// What a row says beside its name.
#[derive(Default)]
struct Said {
    draws: Option<u64>,
    calls: u64,
    matched: Option<f64>,
    worth: Option<f64>,
    /// Success rate, cost a call, cost a success.
    figures: [Figure; 3],
    last_fifth: [Option<f64>; 3],
    robust: [Option<Estimate>; 3],
    successes: Option<u64>,
    cost_nano: Option<u64>,
    coverage: Option<f64>,
    not_on_offer: Option<u64>,
    refused: Option<String>,
}

/// Rows of the decided calls whose outcome is known, by task type and in all.
fn happened(log: &Log, dataset: &str, only: Option<&str>, listing: &mut Listing) {
    let mut all = Tally::default();
    log.recorded.values().for_each(|tally| all.add(tally));
    let of = |tally: &Tally| {
        let of = CallFigures::of(tally);
        Said {
            calls: of.calls,
            figures: [
                (of.success_rate, of.success_rate_interval),
                (of.cost_per_call, of.cost_per_call_interval),
                (of.cost_per_success, of.cost_per_success_interval),
            ],
            successes: Some(of.successes),
            cost_nano: Some(of.total_cost.0),
            coverage: of.pricing_coverage,
            ..Said::default()
        }
    };
    for (task, tally) in log.recorded.iter().filter(|(task, _)| only.is_none_or(|only| only == *task)) {
        listing.push(cells(dataset, Some(task), (RECORDED, "as it was"), None, of(tally)));
    }
    if only.is_none() {
        listing.push(cells(dataset, None, (RECORDED, "as it was"), None, of(&all)));
    }
}

/// The row of a policy, or (without repetitions) of what really happened in the same draws.
fn row(dataset: &str, task: Option<&str>, name: &str, of: &Relived, repetitions: Option<u32>) -> Vec<Cell> {
    let (weighted, was) = (&of.weighted, &of.robust.observed);
    let estimates = |of: &SelfNormalised| [of.success_rate, of.cost_per_call_usd, of.cost_per_success_usd];
    let really = [was.success_rate, was.cost_per_call_usd, was.cost_per_success_usd];
    let estimated = estimates(weighted);
    let figures = std::array::from_fn(|place| match (estimated[place], repetitions) {
        (Some(estimate), _) => (Some(estimate.value), Some(estimate.interval_90)),
        // Of what was, little is told as well.
        (None, None) => (really[place], None),
        (None, Some(_)) => (None, None),
    });
    let is_policy = repetitions.is_some();
    let robust = [of.robust.success_rate, of.robust.cost_per_call_usd, of.robust.cost_per_success_usd];
    let said = Said {
        draws: Some(of.draws),
        calls: of.calls,
        matched: of.matched.filter(|_| is_policy),
        worth: is_policy.then_some(weighted.effective_sample_size),
        figures,
        last_fifth: estimates(&of.last_fifth).map(|estimate| estimate.map(|e| e.value)),
        robust: if is_policy { robust } else { [None; 3] },
        coverage: Some(of.robust.pricing_coverage),
        not_on_offer: is_policy.then_some(of.not_on_offer),
        refused: weighted.refused.clone().filter(|_| is_policy),
        ..Said::default()
    };
    let shown = if is_policy { name } else { "as it was, drawn" };
    cells(dataset, task, (name, shown), repetitions, said)
}

fn cells(
    dataset: &str,
    task: Option<&str>,
    (name, shown): (&str, &str),
    repetitions: Option<u32>,
    of: Said,
) -> Vec<Cell> {
    let known = |figure: Option<f64>| figure.map(tidy);
    let number = |n: Option<u64>| Cell::shown(n, n.map_or_else(String::new, count));
    let plain = |place: usize, value: Option<f64>| {
        let [text] = figures_of(place, [value]);
        Cell::shown(known(value), if value.is_some() { text } else { String::new() })
    };
    let mut row: Vec<Cell> = vec![
        dataset.into(),
        Cell::shown(task, task.unwrap_or("all").to_owned()),
        Cell::shown(name, shown.to_owned()),
        repetitions.into(),
        number(of.draws),
        number(Some(of.calls)),
        Cell::shown(known(of.matched), of.matched.map_or_else(String::new, percent)),
        Cell::shown(known(of.worth), of.worth.map_or_else(String::new, |worth| count((worth + 1e-9) as u64))),
    ];
    for (place, (value, interval)) in of.figures.into_iter().enumerate() {
        let ends = interval.map_or([None; 2], |(low, high)| [Some(low), Some(high)]);
        let [text, low, high] = figures_of(place, [value, ends[0], ends[1]]);
        let text = if interval.is_some() { format!("{text} ({low} to {high})") } else { text };
        row.push(Cell::shown(known(value), text));
        row.extend(ends.map(|end| Cell::from(known(end))));
        row.push(plain(place, of.last_fifth[place]));
    }
    let [rate, call, success] = of.robust;
    row.extend([
        Cell::from(known(rate.map(|e| e.value))),
        known(rate.map(|e| e.interval_90.0)).into(),
        known(rate.map(|e| e.interval_90.1)).into(),
        known(call.map(|e| e.value)).into(),
        known(success.map(|e| e.value)).into(),
        of.successes.into(),
        of.cost_nano.into(),
        known(of.coverage).into(),
        of.not_on_offer.into(),
        of.refused.map_or(Value::Null, Value::from).into(),
    ]);
    row
}

/// What the figures rest on and what they cannot say, below them.
fn beneath(
    log: &Log,
    observed: &Relived,
    found: &[(String, Relived)],
    args: &ReplayArgs,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    for (name, of) in found {
        if let Some(why) = &of.weighted.refused {
            writeln!(out, "\n{}: not estimated; {}.", printable(name), printable(why))?;
        }
        if of.not_on_offer > 0 {
            writeln!(out, "\n{}: its model was not on offer in {} draws.", printable(name), count(of.not_on_offer))?;
        }
    }
    let left_out = left_out(&log.left_out.into());
    let left_out = if left_out.is_empty() { "none".to_owned() } else { left_out };
    let lives = match args.shuffles {
        1 => "are those of one life".to_owned(),
        n => format!("are means of {n} lives"),
    };
    let of_all = if args.task.is_some() { ", of all task types" } else { "" };
    writeln!(
        out,
        "\nAs it was: decided calls whose outcome is known. Policies are estimated from {} with the calls that kept them ({}); the \
         router's figures {lives}. Decisions left out{of_all}: {left_out}.",
        many(observed.draws, "draw"),
        many(log.kept, "later decision"),
    )?;
    if log.left_out.unknown_settings > 0 {
        writeln!(out, "--models gives the catalogue that decided before the first one in the files.")?;
    }
    if args.task.is_none() && log.tasks.len() > 1 {
        writeln!(
            out,
            "Policies are estimated over all task types together, so a last fifth may have another mix of them than the whole: \
             --task NAME tells one apart."
        )?;
    }
    writeln!(out, "{LIMITS}")?;
    Ok(())
}

/// What a replay of a ledger can say and what not.
const LIMITS: &str = "Every decision is decided again at its time among those who could be chosen then, and what came of the \
    call is known only where the policy takes the model that really served: such calls stand for all, weighted by the inverse of \
    the router's own chance of that choice (Worth: how many draws of the policy itself they are worth by these weights; `whatif` weighs by what suits its doubly robust \
    figures, and its Worth is usually more).\nA router that learns \
    here is told of those calls alone, so it learns more slowly than a daemon would (Li, Chu, Langford and Wang 2011), most of \
    all from a ledger that seldom tried the others: look at the last fifth, and ask `whatif` for rules without learning.";
