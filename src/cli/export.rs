//! `export`: the record as JSON Lines, one event a line, every line readable on its own. It only reads, also beside a
//! running daemon, whose last events may not be safely on disk yet.

use std::io::Write;
use std::path::Path;

use super::args::{ExportArgs, Format, SettingFlags};
use super::failure::{Failure, complain};
use super::{offline, setup};
use crate::domain::names::Names;
use crate::journal::{JournalReader, export, snapshots};
use crate::state::{StoreError, names_in};

/// Prints the events from `--from-seq` on.
///
/// # Errors
/// CSV is asked for, there is no record, it is damaged, or it no longer reaches back that far.
pub(super) fn run(flags: &SettingFlags, args: &ExportArgs, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    if format == Format::Csv {
        let say = "export has one form, JSON Lines: events are of many kinds and fit no table; leave --format out";
        return Err(Failure::Usage(say.to_owned()));
    }
    let data = offline::open(&setup::settings(flags)?.settings.ledger.data_dir)?;
    let reader = JournalReader::open(&data.journal).map_err(Failure::failed)?;
    // Names are given once and used ever after, so that all events are read, whichever are wanted.
    let mut names = Names::default();
    for (at, entry) in reader.entries().enumerate() {
        let entry = entry.map_err(Failure::failed)?;
        if at == 0 && entry.seq > 1 {
            names = names_before(&data.journal)?;
            let (last, first) = (entry.seq - 1, entry.seq);
            complain(&format_args!(
                "the events 1 to {last} are no longer kept; what they came to is in a snapshot. The first is {first}\n"
            ));
        }
        let unreadable = |error| Failure::Failed(format!("event {}: {error}", entry.seq));
        export::learn(&mut names, &entry.payload).map_err(unreadable)?;
        if entry.seq >= args.from_seq {
            writeln!(out, "{}", export::event_json(entry.seq, &entry.payload, &names).map_err(unreadable)?)?;
        }
    }
    Ok(())
}

/// The names that the newest whole snapshot knows.
fn names_before(journal: &Path) -> Result<Names, Failure> {
    for snapshot in snapshots(journal).map_err(Failure::failed)? {
        match snapshot.map_err(StoreError::from).and_then(|snapshot| names_in(&snapshot)) {
            Ok(names) => return Ok(names),
            Err(error) => complain(&format_args!("{error}\n")),
        }
    }
    Err(Failure::Failed("the first events are not kept, and no whole snapshot has the names they gave".to_owned()))
}
