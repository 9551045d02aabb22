//! `oddsmaker simulate SCENARIO.toml…`: reads scenarios, plays them with every policy over all cores, prints what they come to,
//! writes the folder, asks the conditions. It refuses to know how a world works.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::{Format, SettingFlags};
use super::failure::Failure;
use super::human::short_usd;
use super::listing::{Cell, Column, Listing, tidy};
use super::setup;
use super::simulate::SimulateArgs;
use super::simulate_asserts::{Condition, Figures};
use super::simulate_files;
use crate::catalogue_source::{self, AllOf, Loaded};
use crate::config::parse_scenario;
use crate::simulation::figures::{Figure, Run, Summary};
use crate::simulation::play::{PlayError, play};
use crate::simulation::runner::replicate;
use crate::simulation::scenario::{Kind, Scenario};

/// A scenario that was played.
pub(super) struct Played {
    /// What was played.
    pub(super) scenario: Scenario,
    /// The text it was read from.
    pub(super) text: String,
    /// The name of its file, without folders.
    pub(super) file: String,
    /// The version of the catalogue it has its prices from.
    pub(super) catalogue: String,
    /// The runs of each policy, in the order of the scenario.
    pub(super) runs: Vec<Vec<Run>>,
}

impl Figures for Played {
    fn policies(&self) -> Vec<&str> {
        self.scenario.policies.iter().map(|p| p.name.as_str()).collect()
    }

    fn figure(&self, policy: usize, figure: &Figure) -> Summary {
        Summary::of(self.runs[policy].iter().map(|run| figure.of(run))).map(tidy)
    }
}

impl Played {
    /// Through what a policy was played: the whole engine, the router's learner, or a policy that needs neither.
    pub(super) fn through(&self, policy: usize) -> &'static str {
        let policy = &self.scenario.policies[policy];
        match policy.kind {
            _ if self.scenario.needs_ledger(policy) => "engine",
            Kind::Router(_) => "learner",
            _ => "itself",
        }
    }
}

const COLUMNS: [Column; 16] = [
    Column::text("scenario", "Scenario"),
    Column::text("policy", "Policy"),
    Column::number("replications", "Runs"),
    Column::number("calls", "Calls"),
    Column::number("refused", "Refused"),
    Column::number("success_rate", "Success"),
    Column::number("success_rate_last_fifth", "Last fifth"),
    Column::number("cost_usd", "USD"),
    Column::number("cost_per_success", "USD a success"),
    Column::program("cost_per_success_low"),
    Column::program("cost_per_success_high"),
    Column::number("regret", "Regret"),
    Column::program("regret_low"),
    Column::program("regret_high"),
    Column::number("accepted_rate", "Accepted"),
    Column::number("cost_per_accepted_goal", "USD an accepted goal"),
];

/// Plays every scenario.
///
/// # Errors
/// A scenario cannot be read or played, the folder not be written, or a condition does not hold.
pub(super) fn run(
    flags: &SettingFlags,
    args: &SimulateArgs,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let conditions = args.asserts.iter().map(|text| Condition::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let catalogue = catalogue_source::load(flags.models.as_deref().map(Path::new));
    let catalogue = catalogue.map_err(|error| setup::bad_catalogue(&error))?;
    let read = |path| read(path, &catalogue, args);
    let mut all = args.scenarios.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    for (played, condition) in all.iter().flat_map(|played| conditions.iter().map(move |c| (played, c))) {
        condition.check(&played.policies())?;
    }
    let folders = folders(args, &all)?;
    let mut listing = Listing::new(&COLUMNS);
    for played in &mut all {
        played.runs = play_all(&played.scenario)?;
        (0..played.runs.len()).for_each(|policy| listing.push(row(played, policy)));
    }
    listing.print(format, out)?;
    if format == Format::Table {
        legend(&all, out)?;
    }
    all.iter().zip(&folders).try_for_each(|(played, folder)| simulate_files::write(folder, played))?;
    let mut broken = Vec::new();
    for (played, condition) in all.iter().flat_map(|played| conditions.iter().map(move |c| (played, c))) {
        broken.extend(condition.broken(&played.scenario.name, played)?);
    }
    if broken.is_empty() { Ok(()) } else { Err(Failure::Failed(broken.join("\nerror: "))) }
}

/// What the columns are, below them; those that no policy has a figure in are left out.
fn legend(all: &[Played], out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "\nMeans of the runs:")?;
    for column in COLUMNS.iter().filter(|column| !column.title().is_empty()) {
        let Some(figure) = Figure::named(column.key()) else { continue };
        let has = |played: &Played| (0..played.runs.len()).any(|policy| played.figure(policy, figure).mean.is_some());
        if all.iter().any(has) {
            writeln!(out, "  {}: {}", column.title(), figure.meaning)?;
        }
    }
    Ok(())
}

/// The folder of each scenario, made and claimed before anything is played; none where none is wanted.
///
/// # Errors
/// One holds something else, cannot be made, or two scenarios have the same name.
fn folders(args: &SimulateArgs, all: &[Played]) -> Result<Vec<PathBuf>, Failure> {
    let Some(folder) = &args.out else { return Ok(Vec::new()) };
    let names: Vec<&str> = all.iter().map(|played| played.scenario.name.as_str()).collect();
    if let Some((n, name)) = names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)) {
        return Err(Failure::Usage(format!("scenario {} is called `{name}` like one before it", n + 1)));
    }
    let own = |name: &&str| if all.len() > 1 { folder.join(name) } else { folder.clone() };
    let folders: Vec<PathBuf> = names.iter().map(own).collect();
    folders.iter().try_for_each(|folder| simulate_files::claim(folder))?;
    Ok(folders)
}

fn read(path: &Path, catalogue: &Loaded, args: &SimulateArgs) -> Result<Played, Failure> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|e| Failure::BadConfiguration(format!("error: cannot read {shown}: {e}")))?;
    let name = path.file_stem().map_or_else(|| shown.clone(), |stem| stem.to_string_lossy().into_owned());
    let (mut scenario, warnings) = parse_scenario(&text, &shown, &name, &catalogue.catalog, &catalogue.from)
        .map_err(|errors| Failure::BadConfiguration(format!("{}{}", AllOf(&errors), not_a_table(path))))?;
    super::models::warn(&warnings);
    scenario.replications = args.reps.unwrap_or(scenario.replications);
    scenario.arrivals = args.calls.unwrap_or(scenario.arrivals);
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    if !args.policy.is_empty() {
        let known: Vec<String> = scenario.policies.iter().map(|p| p.name.clone()).collect();
        if let Some(unknown) = args.policy.iter().find(|name| !known.contains(name)) {
            return Err(Failure::Usage(format!("no policy `{unknown}` in {shown}: there are {}", known.join(", "))));
        }
        scenario.policies.retain(|p| args.policy.contains(&p.name));
    }
    let file = path.file_name().map_or_else(|| shown.clone(), |name| name.to_string_lossy().into_owned());
    Ok(Played { scenario, text, file, catalogue: catalogue.catalog.version().to_owned(), runs: Vec::new() })
}

/// What is said to who gives a table instead of a scenario; nothing where the file is not called one.
fn not_a_table(path: &Path) -> &'static str {
    let is = |form: &&str| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(form));
    let table = ["csv", "jsonl", "ndjson"].iter().any(is);
    if table { "\n\nA scenario is TOML; a table is for `oddsmaker replay`." } else { "" }
}

/// The runs of every policy. Repetitions of all policies are one row of work, so that no core waits for another.
fn play_all(scenario: &Scenario) -> Result<Vec<Vec<Run>>, Failure> {
    let reps = scenario.replications as usize;
    let bar = progress(&scenario.name, (reps * scenario.policies.len()) as u64);
    let one = |n: usize| play(scenario, &scenario.policies[n / reps], (n % reps) as u64);
    let all = replicate(reps * scenario.policies.len(), one, || bar.inc(1));
    bar.finish_and_clear();
    let all = all.into_iter().collect::<Result<Vec<Run>, PlayError>>().map_err(Failure::failed)?;
    Ok(all.chunks(reps).map(<[Run]>::to_vec).collect())
}

/// A bar on standard error; nothing where that is no terminal.
pub(super) fn progress(name: &str, length: u64) -> Arc<ProgressBar> {
    let bar = ProgressBar::new(length).with_message(name.to_owned());
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    Arc::new(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
}

fn row(played: &Played, policy: usize) -> Vec<Cell> {
    let of = |name: &str| Figure::named(name).map_or_else(Summary::default, |figure| played.figure(policy, figure));
    let mean = |name: &str, text: fn(f64) -> String| {
        let mean = of(name).mean;
        Cell::shown(mean, mean.map_or_else(|| "–".to_owned(), text))
    };
    let (per_success, regret) = (of("cost_per_success"), of("regret"));
    vec![
        played.scenario.name.clone().into(),
        played.scenario.policies[policy].name.clone().into(),
        played.scenario.replications.into(),
        mean("calls", |x| format!("{x:.0}")),
        mean("refused", |x| format!("{x:.0}")),
        mean("success_rate", |x| format!("{x:.4}")),
        mean("success_rate_last_fifth", |x| format!("{x:.4}")),
        mean("cost_usd", |x| format!("{x:.2}")),
        mean("cost_per_success", short_usd),
        per_success.low.into(),
        per_success.high.into(),
        mean("regret", |x| format!("{x:.1}")),
        regret.low.into(),
        regret.high.into(),
        mean("accepted_rate", |x| format!("{x:.4}")),
        mean("cost_per_accepted_goal", short_usd),
    ]
}
