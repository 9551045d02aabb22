//! A month of goals with ten calls each: played through the service in this process, as fast as it goes, under a clock of
//! its own; then weighed on disk and in memory, asked about, killed and started again. It knows the contract and where the
//! parts of a data directory lie.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use oddsmaker::clock;

use crate::args::{Args, Goals, Keys};
use crate::callers::connect;
use crate::fill::{kill_busy, status};
use crate::goal_plan::{self, CALLS, GoalPlan};
use crate::played::{Kept, Played, Span};
use crate::process::{Process, disk_bytes, memory_of_self, seconds_since, temporary};
use crate::questions::Questions;
use crate::table::{Table, digits};
use crate::{at_size, catalogue, weights};

/// The goal with very many calls, and how many.
const LARGE: (u64, u64) = (1 << 39, 10_000);

/// What plays and what is then started.
struct Folder {
    models: PathBuf,
    settings: PathBuf,
    data: PathBuf,
}

impl Folder {
    fn new(folder: &Path, data: &str) -> anyhow::Result<Self> {
        let of = |name: &str| folder.join(name);
        let made = Self { models: of("models.toml"), settings: of("oddsmaker.toml"), data: of(data) };
        std::fs::write(&made.models, catalogue::text(&[10]))?;
        std::fs::write(&made.settings, goal_plan::SETTINGS)?;
        Ok(made)
    }

    /// Starts the daemon on it; also the seconds until it answers.
    async fn start(&self, args: &Args) -> anyhow::Result<(Process, f64)> {
        let began = Instant::now();
        let daemon = Process::daemon_with(args.daemon.as_deref(), &self.data, &self.models, Some(&self.settings))?;
        status(&daemon.url).await?;
        Ok((daemon, seconds_since(began)))
    }
}

/// Plays, weighs, asks and prints.
///
/// # Errors
/// A process could not be started, a call failed, or something acknowledged is missing afterwards.
pub(crate) async fn run(args: &Args, plan: &Goals) -> anyhow::Result<()> {
    let mut temporary = temporary(args.folder.as_deref())?;
    temporary.disable_cleanup(plan.keep);
    let place = plan.again.as_deref().unwrap_or(temporary.path());
    let folder = Folder::new(place, "data")?;
    eprintln!("in {}", place.display());
    let calls = plan.goals * CALLS + LARGE.1;
    let mut table = Table::new(&["goals of ten calls", &plan.goals.to_string()]);
    table.pair("idempotency keys", if plan.keys == Keys::All { "on all requests" } else { "none" }.to_owned());
    table.pair("days, teams", format!("{}, {}", plan.days, plan.teams));
    if plan.retention_days > 0 {
        table.pair(
            "days for which detail is kept, MiB a segment",
            format!("{}, {}", plan.retention_days, plan.segment_mib),
        );
    }
    if plan.again.is_none() {
        play(&folder, plan, &mut table).await?;
    }
    let sizes = [disk_bytes(&folder.data.join("journal"))?, disk_bytes(&folder.data.join("state"))?];
    let per_call = |bytes: u64| digits(bytes as f64 / calls as f64);
    table.pair("journal, bytes a call", per_call(sizes[0]));
    table.pair("state, bytes a call", per_call(sizes[1]));
    table.pair("both, bytes a call", per_call(sizes[0] + sizes[1]));
    let (daemon, seconds) = folder.start(args).await?;
    table.pair("ready after a clean stop, s", digits(seconds));
    table.pair("resident memory after that, MB", megabytes(daemon.memory_bytes("VmRSS")?));
    let channel = connect(&daemon.url, 1).await?.pop().context("no connection")?;
    let (teams, keyed) = (plan.teams, plan.keys == Keys::All);
    let mut answers = None;
    // Where detail was dropped, some of the goals that would be asked for are gone.
    if plan.retention_days == 0 {
        let large = GoalPlan::new(LARGE.0, teams, keyed);
        let questions = Questions::new(&daemon, &channel);
        answers = Some(questions.ask(plan.goals, &large, |number| GoalPlan::new(number, teams, keyed)).await?);
        table.pair("resident memory after the questions below, MB", megabytes(daemon.memory_bytes("VmRSS")?));
    }
    let compared = compare(args, plan, place, &daemon).await?;
    table.pair("resident memory after the calls below, MB", megabytes(daemon.memory_bytes("VmRSS")?));
    table.pair("peak of it, MB", megabytes(daemon.memory_bytes("VmHWM")?));
    kill_busy(daemon).await?;
    let (daemon, seconds) = folder.start(args).await?;
    table.pair("ready again after kill -9, s", digits(seconds));
    table.pair("resident memory after that, MB", megabytes(daemon.memory_bytes("VmRSS")?));
    let outcomes = status(&daemon.url).await?.counts.map_or(0, |counts| counts.outcomes);
    // Advice to try no more leaves out a call now and then.
    ensure!(outcomes >= calls * 99 / 100, "about {calls} outcomes were acknowledged, {outcomes} are on record");
    drop(daemon);
    table.print();
    println!();
    if let Some(answers) = answers {
        answers.print();
        println!();
    }
    for table in compared {
        table.print();
        println!();
    }
    if plan.kinds {
        weights::print(&folder.data, calls)?;
    }
    Ok(())
}

/// Plays the goals, and the one with very many calls.
async fn play(folder: &Folder, plan: &Goals, table: &mut Table) -> anyhow::Result<()> {
    let span_ms = i64::try_from(plan.days)? * 24 * 3_600_000;
    let until_ms = clock::wall().0;
    let (from_ms, keyed) = (until_ms - span_ms, plan.keys == Keys::All);
    let retention_ms = i64::try_from(plan.retention_days)? * 24 * 3_600_000;
    let kept = Kept { retention_ms, segment_bytes: plan.segment_mib << 20 };
    let played = Played::open(&folder.data, &folder.models, &folder.settings, from_ms, kept)?;
    let span = Span { goals: plan.goals, teams: plan.teams, keyed, from_ms, until_ms };
    let marks = played.play(span, plan.at_once).await?;
    played.play_one(GoalPlan::new(LARGE.0, plan.teams, keyed), LARGE.1).await?;
    let seconds = |tenth: usize| marks.get(tenth).map_or(0.0, Duration::as_secs_f64);
    let tenth = plan.goals as f64 / 10.0 * CALLS as f64;
    table.pair("calls/s while playing, first tenth", digits(tenth / seconds(0)));
    table.pair("calls/s while playing, last tenth", digits(tenth / (seconds(9) - seconds(8))));
    table.pair("memory of the process that played, MB", megabytes(memory_of_self()?));
    played.close()
}

/// Compares with a small directory, where that is wanted.
async fn compare(args: &Args, plan: &Goals, place: &Path, large: &Process) -> anyhow::Result<Vec<Table>> {
    if plan.small == 0 {
        return Ok(Vec::new());
    }
    let folder = Folder::new(place, "small")?;
    if folder.data.exists() {
        std::fs::remove_dir_all(&folder.data)?;
    }
    let little = Goals { goals: plan.small, ..plan.clone() };
    play(&folder, &little, &mut Table::new(&["", ""])).await?;
    let (small, _) = folder.start(args).await?;
    let mut tables = Vec::new();
    for at_once in [1, 64] {
        tables.push(at_size::compare(&small, large, plan.teams, at_once).await?);
    }
    Ok(tables)
}

fn megabytes(bytes: u64) -> String {
    digits(bytes as f64 / 1e6)
}
