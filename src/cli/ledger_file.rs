//! Exports of a ledger as files, plain or gzipped → one record, ready to be lived through. Mistakes are named by file and
//! line. It refuses to know what a line looks like, and policies.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::failure::Failure;
use super::input_file::{open, unreadable};
use super::ledger_line;
use crate::config::parse_catalogue;
use crate::domain::catalog::Catalog;
use crate::domain::event::Body;
use crate::domain::time::UnixMillis;
use crate::simulation::logged::{Log, Reading};

/// Whether a file is an export of a ledger: its text begins with `{`, which no table does.
///
/// # Errors
/// It cannot be read.
pub(super) fn is_ledger(path: &Path) -> Result<bool, Failure> {
    let mut first = [0];
    let read = open(path)?.read(&mut first).map_err(|error| unreadable(path, &error))?;
    Ok(read == 1 && first[0] == b'{')
}

/// Reads exports of one record, in their order. `before` is in force until the first catalogue that they tell.
///
/// # Errors
/// A file cannot be read, a line is none of an export, or something between two lines is missing.
pub(super) fn read(paths: &[PathBuf], before: Option<&Arc<Catalog>>) -> Result<Log, Failure> {
    let mut reading = Reading::default();
    if let Some(catalog) = before {
        reading.use_catalog(UnixMillis(i64::MIN), catalog.clone());
    }
    for path in paths {
        let (mut lines, mut text, mut number) = (BufReader::new(open(path)?), String::new(), 0);
        loop {
            text.clear();
            number += 1;
            let read = lines.read_line(&mut text);
            if read.map_err(|error| Failure::Failed(format!("{}:{number}: {error}", path.display())))? == 0 {
                break;
            }
            if !text.trim().is_empty() {
                take(&mut reading, &text)
                    .map_err(|what| Failure::Failed(format!("{}:{number}: {what}", path.display())))?;
            }
        }
    }
    Ok(reading.finish())
}

fn take(reading: &mut Reading, text: &str) -> Result<(), String> {
    let line = ledger_line::read(text)?;
    let last = reading.last_seq();
    if last > 0 && line.seq <= last {
        return Err(format!(
            "event {} comes after event {last}: give the exports of one ledger, the first first",
            line.seq
        ));
    }
    if last > 0 && line.seq > last + 1 {
        return Err(format!("event {} comes right after event {last}: those between are missing", line.seq));
    }
    for (kind, id, text) in &line.names {
        reading.name(*kind, *id, text);
    }
    reading.take(line.seq, &line.event);
    if let Body::CatalogChanged { version, text } = &line.event.body {
        match parse_catalogue(text, version) {
            Ok((catalog, _)) => reading.use_catalog(line.event.at, Arc::new(catalog)),
            // Written for another program: what it decided cannot be judged.
            Err(_) => reading.lose_catalog(),
        }
    }
    Ok(())
}
