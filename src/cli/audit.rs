//! `audit`: goals drawn for people to grade, and the grades brought back as amendments in the name of who graded. It
//! draws nothing itself and changes nothing but through the daemon.

use std::io::Write;
use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::args::{Format, SettingFlags};
use super::args_goals::{ImportArgs, SampleArgs};
use super::failure::Failure;
use super::human::{many, printable};
use super::listing::{Cell, Column, Listing};
use super::sheet::{self, Fault, GOAL_ID, GRADED, Graded, NOTE};
use super::{client, goals, setup, words};
use crate::domain::time::HOUR_MS;
use crate::wire::pb;
use crate::wire::pb::goal_service_client::GoalServiceClient;

/// Longest wait for a whole sheet, connection included.
const PATIENCE: Duration = Duration::from_secs(600);

/// Who amends, before the name of the grader.
const AUDITOR: &str = "audit:";

const SHEET: &[Column] = &[
    Column::program(GOAL_ID),
    Column::program("workflow"),
    Column::program("self_reported"),
    Column::program("graded_before"),
    Column::program("cost_usd"),
    Column::program(GRADED),
    Column::program(NOTE),
];

const RESULTS: &[Column] = &[
    Column::number("line", "LINE"),
    Column::text("goal_id", "GOAL"),
    Column::text("graded", "GRADED"),
    Column::text("result", "RESULT"),
    Column::text("state", "STANDS AS"),
];

/// Prints a sample of goals that ended: the sheet as CSV, or its rows as JSON.
///
/// # Errors
/// Nothing answers, or the daemon refused.
pub(super) fn sample(
    flags: &SettingFlags,
    args: &SampleArgs,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let address = setup::address(&args.server, flags)?;
    let request = pb::SampleGoalsRequest {
        n: args.n,
        seed: args.seed.into(),
        lookback_hours: args.lookback.map(|ms| ms as f64 / HOUR_MS as f64),
        filters: goals::filters(args.state, &args.kind),
    };
    let answer = client::run(PATIENCE, async {
        let answer = goals::connect(&address).await?.sample_goals(request).await;
        Ok(answer.map_err(|status| client::refused(&status))?.into_inner())
    })?;
    let mut listing = Listing::new(SHEET);
    for goal in &answer.goals {
        listing.push(vec![
            sheet::guarded(&goal.goal_id).into(),
            sheet::guarded(goal.workflow()).into(),
            words::of_state(reported(goal)).into(),
            graded(goal).map_or_else(String::new, words::of_state).into(),
            goal.total_cost_usd.into(),
            "".into(),
            "".into(),
        ]);
    }
    // A sheet is for filling in, so the form for people is the one a spreadsheet opens.
    listing.print(if format == Format::Json { Format::Json } else { Format::Csv }, out)
}

/// How a goal ended as its callers said.
fn reported(goal: &pb::Goal) -> pb::GoalState {
    match goal.reported_state() {
        pb::GoalState::Unspecified => goal.state(),
        said => said,
    }
}

/// How an auditor found it ended before.
fn graded(goal: &pb::Goal) -> Option<pb::GoalState> {
    Some(goal.graded_state()).filter(|state| *state != pb::GoalState::Unspecified)
}

/// Amends every graded goal of a filled sheet and prints what became of each row. Nothing is sent when the sheet has a
/// fault. A grade that was taken before is not taken again.
///
/// # Errors
/// The sheet cannot be read or has faults, nothing answers, or the daemon refused; every place is named.
pub(super) fn import(
    flags: &SettingFlags,
    args: &ImportArgs,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let name = args.sheet.display().to_string();
    let grader = args.by.strip_prefix(AUDITOR).unwrap_or(&args.by).trim();
    if grader.is_empty() {
        return Err(Failure::Usage("--by needs the name of who graded".to_owned()));
    }
    let bytes =
        std::fs::read(&args.sheet).map_err(|e| Failure::Failed(format!("cannot read the sheet {name}: {e}")))?;
    let filled = sheet::read(&bytes).map_err(|faults| failed(&name, &faults))?;
    let requests: Vec<_> = filled.graded.iter().map(|graded| (graded, amendment(graded, grader))).collect();
    let mut done = Done { listing: Listing::new(RESULTS), amended: 0, unchanged: 0, faults: Vec::new() };
    let address = setup::address(&args.server, flags)?;
    let mut not_asked = None;
    let ended = if args.dry_run {
        let asked = client::run(PATIENCE, look_up(&address, &filled.graded));
        let stands = asked.map_err(|failure| not_asked = Some(failure)).ok();
        done.would_be(&filled.graded, stands);
        Ok(())
    } else {
        client::run(PATIENCE, async { done.all(&mut goals::connect(&address).await?, requests).await })
    };
    done.listing.print(format, out)?;
    if format == Format::Table {
        let told = if args.dry_run {
            let to_send = filled.graded.len().saturating_sub(done.faults.len());
            format!("{} to send", many(to_send as u64, "grade"))
        } else {
            format!("{} amended, {} unchanged", many(done.amended, "goal"), done.unchanged)
        };
        writeln!(out, "\n{told}, {} without a grade", many(filled.ungraded, "row"))?;
        if let Some(failure) = not_asked {
            writeln!(out, "Whether the goals can be amended is not known: {failure}")?;
        }
    }
    ended?;
    if done.faults.is_empty() { Ok(()) } else { Err(failed(&name, &done.faults)) }
}

/// How the goals of a sheet stand, in its order; `None`: there is no such goal.
///
/// # Errors
/// Nothing answers, or the daemon does not say.
async fn look_up(address: &str, all: &[Graded]) -> Result<Vec<Option<pb::GoalState>>, Failure> {
    let (mut client, mut stands) = (goals::connect(address).await?, Vec::new());
    for graded in all {
        let answer = client.get_goal(pb::GetGoalRequest { goal_id: graded.goal_id.clone() }).await;
        stands.push(match answer {
            Ok(answer) => answer.into_inner().goal.map(|goal| goal.state()),
            // An id that the daemon does not take is of no goal either.
            Err(status) if fault(graded.line, &status).is_some() => None,
            Err(status) => return Err(client::refused(&status)),
        });
    }
    Ok(stands)
}

/// What an import has done so far.
struct Done {
    listing: Listing,
    amended: u64,
    unchanged: u64,
    faults: Vec<Fault>,
}

impl Done {
    /// A row each for what would be sent, by how the goals `stand`; `None`: nobody could be asked.
    fn would_be(&mut self, all: &[Graded], stand: Option<Vec<Option<pb::GoalState>>>) {
        let Some(stand) = stand else {
            return all.iter().for_each(|graded| self.row(graded, "well_formed", ""));
        };
        for (graded, state) in all.iter().zip(stand) {
            let wrong = match state {
                None => "no such goal is known",
                Some(pb::GoalState::Open) => "this goal is open",
                Some(state) => {
                    self.row(graded, "would_amend", &words::of_state(state));
                    continue;
                }
            };
            self.row(graded, "would_refuse", "");
            self.faults.push(Fault::new(graded.line, GOAL_ID, wrong));
        }
    }

    /// Sends one amendment after the other; what is wrong with one does not keep the others.
    async fn all(
        &mut self,
        client: &mut GoalServiceClient<Channel>,
        requests: Vec<(&Graded, pb::AmendGoalRequest)>,
    ) -> Result<(), Failure> {
        for (graded, request) in requests {
            match client.amend_goal(request).await {
                Ok(answer) => self.taken(graded, &answer.into_inner()),
                Err(status) => {
                    let Some(fault) = fault(graded.line, &status) else { return Err(client::refused(&status)) };
                    self.row(graded, "refused", "");
                    self.faults.push(fault);
                }
            }
        }
        Ok(())
    }

    fn taken(&mut self, graded: &Graded, answer: &pb::AmendGoalResponse) {
        let state = answer.goal.as_ref().map(pb::Goal::state).unwrap_or_default();
        let result = match (answer.duplicate, state == graded.state) {
            (false, _) => "amended",
            (true, true) => "unchanged",
            // Somebody has amended it since; what they found stays.
            (true, false) => "superseded",
        };
        let counted = if answer.duplicate { &mut self.unchanged } else { &mut self.amended };
        *counted += 1;
        self.row(graded, result, &words::of_state(state));
    }

    fn row(&mut self, graded: &Graded, result: &str, state: &str) {
        let cells = [graded.goal_id.as_str(), &words::of_state(graded.state), result, state];
        self.listing.push(std::iter::once(graded.line.into()).chain(cells.into_iter().map(Cell::from)).collect());
    }
}

/// The same grade in the same words by the same grader has the same key: it is taken once.
fn amendment(graded: &Graded, grader: &str) -> pb::AmendGoalRequest {
    let by = format!("{AUDITOR}{grader}");
    let note = if graded.note.is_empty() { String::new() } else { format!(": {}", graded.note) };
    let reason = format!("sampled audit{note}");
    let mut hash = blake3::Hasher::new();
    for part in [&by, &graded.goal_id, &words::of_state(graded.state), &reason] {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    pb::AmendGoalRequest {
        goal_id: graded.goal_id.clone(),
        state: graded.state.into(),
        score: None,
        by: Some(by),
        reason,
        // 192 bits of the hash: a key has 64 bytes at most.
        idempotency_key: Some(format!("audit-{}", &hash.finalize().to_hex()[..48])),
    }
}

/// What the daemon has against one row; `None`: it is not about the row.
fn fault(line: u64, status: &Status) -> Option<Fault> {
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    match status.code() {
        Code::NotFound | Code::FailedPrecondition | Code::AlreadyExists => {
            Some(Fault::new(line, GOAL_ID, printable(status.message())))
        }
        Code::InvalidArgument => {
            let first = violations.first()?;
            let column = match first.field.as_str() {
                "goal_id" => GOAL_ID,
                "state" => GRADED,
                "reason" => NOTE,
                _ => return None,
            };
            Some(Fault::new(line, column, printable(&first.description)))
        }
        _ => None,
    }
}

fn failed(sheet: &str, faults: &[Fault]) -> Failure {
    let shown = faults.iter().map(|fault| match fault.column {
        "" => format!("{sheet}:{}: {}", fault.line, fault.what),
        column => format!("{sheet}:{}: {column}: {}", fault.line, fault.what),
    });
    Failure::Failed(format!("{}\n{}", many(faults.len() as u64, "fault"), shown.collect::<Vec<_>>().join("\n")))
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
