//! `verify`: whether the record is whole, whether the stored state is what the record folds to, whether the money in the
//! reports is the money in the record, and whether accounts and goals hold what their calls add up to. It works on a stopped daemon's data directory and changes nothing in it:
//! what has to be opened for writing is a copy.

use std::io::Write;

use super::args::{Format, SettingFlags};
use super::failure::Failure;
use super::human::{count, many};
use super::listing::{Column, Listing};
use super::offline::{self, DataDir, Scratch};
use super::setup;
use crate::domain::money::NanoUsd;
use crate::domain::state::State;
use crate::journal::audit::{RawCosts, Total};
use crate::journal::{self, Entry, JournalError, JournalReader, Snapshot, VerifyReport, codec};
use crate::state::{self, CatchUpError, Opened, SledStore, StoreError};

const COLUMNS: &[Column] =
    &[Column::text("check", "CHECK"), Column::text("result", "RESULT"), Column::text("detail", "DETAIL")];

/// Checks the data directory and prints what was found.
///
/// # Errors
/// Something is wrong; a daemon is using the directory; it is none, or a newer program's.
pub(super) fn run(flags: &SettingFlags, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    let data = offline::open(&setup::settings(flags)?.settings.ledger.data_dir)?;
    let _held = data.hold()?;
    let mut findings = Findings { listing: Listing::new(COLUMNS), wrong: 0 };
    let report = journal::verify(&data.journal).map_err(Failure::failed)?;
    check_record(&report, &mut findings);
    if report.problems.is_empty() {
        check_fold(&data, &report, &mut findings)?;
    } else {
        findings.note("state", "not compared: the record is not whole".to_owned());
        findings.note("money", "not summed: the record is not whole".to_owned());
        findings.note("books", "not added up: the record is not whole".to_owned());
    }
    findings.listing.print(format, out)?;
    match findings.wrong {
        0 => Ok(()),
        n => Err(Failure::Failed(format!("{} found", many(n, "problem")))),
    }
}

/// What was found, a row each.
struct Findings {
    listing: Listing,
    wrong: u64,
}

impl Findings {
    fn fine(&mut self, check: &str, detail: String) {
        self.listing.push(vec![check.into(), "fine".into(), detail.into()]);
    }

    fn note(&mut self, check: &str, detail: String) {
        self.listing.push(vec![check.into(), "note".into(), detail.into()]);
    }

    fn wrong(&mut self, check: &str, detail: String) {
        self.wrong += 1;
        self.listing.push(vec![check.into(), "WRONG".into(), detail.into()]);
    }
}

fn check_record(report: &VerifyReport, findings: &mut Findings) {
    for problem in &report.problems {
        findings.wrong("record", problem.to_string());
    }
    if report.problems.is_empty() {
        let chain = &report.head_chain_hex;
        let events = many(report.events, "event");
        let segments = many(report.segments as u64, "segment");
        findings.fine("record", format!("{events} in {segments}, {} bytes, chain {chain}", count(report.bytes)));
    }
    for snapshot in &report.snapshots {
        let (name, entries) = (snapshot.name(), many(snapshot.entries, "record"));
        let upto = count(snapshot.covers_seq);
        findings.fine("snapshot", format!("{name}: {entries} stand for the events up to {upto}, every byte holds"));
    }
    if report.torn_tail_bytes > 0 {
        let bytes = many(report.torn_tail_bytes, "byte");
        let what = "were torn off an unfinished, never acknowledged write; the next start drops them";
        findings.note("record", format!("{bytes} at the end {what}"));
    }
}

/// Folds the record anew: compares the stored state with it on the way, and the money at the end.
fn check_fold(data: &DataDir, report: &VerifyReport, findings: &mut Findings) -> Result<(), Failure> {
    let (scratch, last_seq) = (Scratch::new()?, report.last_seq);
    let stored = stored(data, last_seq, &scratch, findings)?;
    let from = report.snapshots.first().filter(|_| report.first_seq > 1);
    let mut refold = match Refold::new(data, &scratch, from) {
        Ok(refold) => refold,
        Err(StoreError::Broken(why)) => {
            findings.wrong("snapshot", why);
            return Ok(());
        }
        Err(error) => return Err(Failure::failed(error)),
    };
    if let Some(snapshot) = from {
        let (first, upto) = (count(report.first_seq), count(snapshot.covers_seq));
        let what = "the record is folded from its snapshot on, and sums of before are taken from there";
        findings.note("record", format!("events before {first} are not kept; {what} (up to event {upto})"));
    }
    let folded = stored.as_ref().map_or(Ok(()), |(state, store)| {
        let upto = state.applied_seq;
        if upto < refold.state.applied_seq {
            let what = "not compared: it stands before the snapshot, and the events between are not kept";
            findings.note("state", what.to_owned());
            return Ok(());
        }
        refold.up_to(upto)?;
        let digests = state::digest(state, store).and_then(|d| Ok((d, state::digest(&refold.state, &refold.store)?)));
        compare(&digests, upto, findings);
        Ok(())
    });
    match folded.and_then(|()| refold.up_to(last_seq)) {
        Ok(()) => {
            check_money(&refold, findings);
            check_books(&refold, findings);
        }
        Err(problem) => findings.wrong("record", problem.to_string()),
    }
    Ok(())
}

/// The stored state, when it can be compared.
fn stored(
    data: &DataDir,
    last_seq: u64,
    scratch: &Scratch,
    findings: &mut Findings,
) -> Result<Option<(State, SledStore)>, Failure> {
    if !data.state.is_dir() {
        findings.note("state", "there is none; the next start builds it from the record".to_owned());
        return Ok(None);
    }
    let opened = SledStore::open(&scratch.copy(&data.state, "state")?).map_err(Failure::failed)?;
    if let Some((why, _)) = opened.set_aside {
        findings.wrong("state", format!("{why}; the next start sets it aside and builds it anew from the record"));
        return Ok(None);
    }
    let Some(state) = opened.state else {
        findings.note("state", "it holds nothing; the next start builds it from the record".to_owned());
        return Ok(None);
    };
    if state.applied_seq > last_seq {
        let seen = state.applied_seq;
        findings.wrong("state", format!("it has seen event {seen}, but the record ends at event {last_seq}"));
        return Ok(None);
    }
    Ok(Some((state, opened.store)))
}

/// The record folded from its beginning into a state of its own, its money added up beside.
struct Refold {
    reader: JournalReader,
    store: SledStore,
    state: State,
    costs: RawCosts,
}

impl Refold {
    /// Before its first event, or behind the last one of a snapshot.
    fn new(data: &DataDir, scratch: &Scratch, from: Option<&Snapshot>) -> Result<Self, StoreError> {
        let reader = JournalReader::open(&data.journal)?;
        let store = SledStore::open(&scratch.path().join("refolded"))?.store;
        let Some(snapshot) = from else {
            return Ok(Self { reader, store, state: Opened::blank(), costs: RawCosts::default() });
        };
        let state = store.restore(snapshot)?;
        let costs = RawCosts::resumed(&state.rollups, state::costs(&state, &store)?);
        Ok(Self { reader, store, state, costs })
    }

    /// Goes on to that event.
    fn up_to(&mut self, seq: u64) -> Result<(), CatchUpError<JournalError>> {
        let entries = self.reader.read_from(self.state.applied_seq + 1).map_err(CatchUpError::Journal)?;
        let wanted = entries.take_while(|entry| entry.as_ref().map_or(true, |e| e.seq <= seq));
        let costs = &mut self.costs;
        let counted = wanted.map(|entry| {
            let Entry { seq, payload, .. } = entry?;
            // A fact that does not read is the fold's to complain of.
            if let Ok(event) = codec::decode(&payload) {
                costs.add(seq, &event);
            }
            Ok((seq, payload))
        });
        state::catch_up(&mut self.state, &self.store, counted)?;
        Ok(())
    }
}

fn compare(digests: &Result<([u8; 32], [u8; 32]), StoreError>, upto: u64, findings: &mut Findings) {
    let short = |digest: &[u8; 32]| blake3::Hash::from_bytes(*digest).to_hex()[..16].to_owned();
    match digests {
        Ok((stored, refolded)) if stored == refolded => {
            let detail = format!("is what the record folds to, up to event {}, digest {}", count(upto), short(stored));
            findings.fine("state", detail);
        }
        Ok((stored, refolded)) => {
            let (stored, refolded) = (short(stored), short(refolded));
            let detail = format!("up to event {upto} its digest is {stored}, but the record folds to {refolded}");
            findings.wrong("state", detail + "; without the folder `state` the next start builds it anew");
        }
        Err(error) => findings.wrong("state", error.to_string()),
    }
}

fn check_money(refold: &Refold, findings: &mut Findings) {
    let problems = refold.costs.problems(&refold.state.rollups);
    if problems.is_empty() {
        let Total { costed, cost_nano } = refold.costs.total();
        let calls = many(costed, "call");
        findings
            .fine("money", format!("{} in {calls} of known cost; two independent sums agree", exact_usd(cost_nano)));
    }
    problems.into_iter().for_each(|problem| findings.wrong("money", problem));
}

/// Whether every account and every goal holds what its calls add up to.
fn check_books(refold: &Refold, findings: &mut Findings) {
    let books = match state::books(&refold.state, &refold.store) {
        Ok(books) => books,
        Err(error) => return findings.wrong("books", error.to_string()),
    };
    if books.problems.is_empty() {
        let (accounts, goals) = (many(books.accounts, "account"), many(books.goals, "goal"));
        findings.fine("books", format!("{accounts} and {goals} hold what their calls add up to"));
    }
    books.problems.into_iter().for_each(|problem| findings.wrong("books", problem));
}

/// A sum of any size as [`NanoUsd`] prints one, to the nano-dollar.
fn exact_usd(nano: u128) -> String {
    u64::try_from(nano).map_or_else(|_| format!("{nano} nano-USD"), |nano| NanoUsd(nano).to_string())
}
