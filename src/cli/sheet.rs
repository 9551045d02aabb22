//! The sheet of an audit: CSV that goes through a spreadsheet and comes back with a column filled by a person. It refuses
//! to know goals; it knows rows, and names the line and column of everything it cannot take.

use std::collections::HashMap;

use super::human::printable;
use super::input_file::LineCounter;
use super::words;
use crate::wire::pb::GoalState;

/// Column of the goal's id.
pub(super) const GOAL_ID: &str = "goal_id";

/// Column a person fills: a state in which a goal can end, or nothing.
pub(super) const GRADED: &str = "graded";

/// Column a person may fill: why.
pub(super) const NOTE: &str = "note";

/// A row that somebody graded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Graded {
    /// Line of the sheet, the header being line 1.
    pub(super) line: u64,
    /// The goal.
    pub(super) goal_id: String,
    /// What it came to, as somebody found.
    pub(super) state: GoalState,
    /// In their words; empty: none.
    pub(super) note: String,
}

/// A filled sheet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filled {
    /// The graded rows, in the order of the sheet.
    pub(super) graded: Vec<Graded>,
    /// Rows nobody graded.
    pub(super) ungraded: u64,
}

/// Something in the sheet that cannot be taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Line of the sheet, the header being line 1.
    pub(super) line: u64,
    /// Name of the column; empty: the line as a whole.
    pub(super) column: &'static str,
    /// What is wrong, in one line.
    pub(super) what: String,
}

impl Fault {
    /// A fault in this place.
    pub(super) fn new(line: u64, column: &'static str, what: impl Into<String>) -> Self {
        Self { line, column, what: what.into() }
    }
}

/// Foreign text as a cell that no spreadsheet takes for a formula.
pub(super) fn guarded(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) { format!("'{text}") } else { text.to_owned() }
}

/// The reverse of [`guarded`].
fn unguarded(cell: &str) -> &str {
    cell.strip_prefix('\'').unwrap_or(cell)
}

/// Reads a sheet: commas, semicolons or tabs between the cells, columns in any order, further ones ignored.
///
/// # Errors
/// Every fault of the sheet.
pub(super) fn read(bytes: &[u8]) -> Result<Filled, Vec<Fault>> {
    // Spreadsheets put a mark in front of UTF-8.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let header = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let delimiter = [b',', b';', b'\t'].into_iter().find(|d| header.contains(d)).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(bytes);
    let header = reader.byte_headers().map_err(|error| vec![Fault::new(1, "", error.to_string())])?.clone();
    let places = Places::of(&header)?;
    let (mut filled, mut faults) = (Filled { graded: Vec::new(), ungraded: 0 }, Vec::new());
    let (mut counter, mut lines) = (LineCounter::new(bytes), HashMap::new());
    for record in reader.byte_records() {
        let record = record.map_err(|error| vec![Fault::new(1, "", error.to_string())])?;
        let line = counter.line(record.position().map_or(0, csv::Position::byte));
        match places.row(&record, line) {
            Err(fault) => faults.push(fault),
            Ok(None) => filled.ungraded += 1,
            Ok(Some(graded)) => match lines.insert(graded.goal_id.clone(), line) {
                None => filled.graded.push(graded),
                Some(before) => {
                    let what = format!("line {before} grades this goal already");
                    faults.push(Fault::new(line, GOAL_ID, what));
                }
            },
        }
    }
    if faults.is_empty() { Ok(filled) } else { Err(faults) }
}

/// Where the columns stand.
struct Places {
    goal_id: usize,
    graded: usize,
    note: Option<usize>,
}

impl Places {
    fn of(header: &csv::ByteRecord) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut place = |name: &'static str, required: bool| {
            let mut found = (0..header.len()).filter(|i| header[*i].trim_ascii() == name.as_bytes());
            match (found.next(), found.next()) {
                (None, _) if required => faults.push(Fault::new(1, name, "there is no such column")),
                (_, Some(_)) => faults.push(Fault::new(1, name, "there are two such columns")),
                (place, None) => return place,
            }
            None
        };
        let (goal_id, graded, note) = (place(GOAL_ID, true), place(GRADED, true), place(NOTE, false));
        match (goal_id, graded) {
            (Some(goal_id), Some(graded)) if faults.is_empty() => Ok(Self { goal_id, graded, note }),
            _ => Err(faults),
        }
    }

    /// The row, if it is graded.
    fn row(&self, record: &csv::ByteRecord, line: u64) -> Result<Option<Graded>, Fault> {
        let cell = |place: usize, column: &'static str| {
            let text = std::str::from_utf8(record.get(place).unwrap_or_default());
            text.map_err(|_| Fault::new(line, column, "this is not UTF-8"))
        };
        let word = cell(self.graded, GRADED)?.trim();
        if word.is_empty() {
            return Ok(None);
        }
        let state = words::end_state(&word.to_lowercase())
            .map_err(|known| Fault::new(line, GRADED, format!("`{}` is no state; {known}", printable(word))))?;
        let goal_id = unguarded(cell(self.goal_id, GOAL_ID)?).to_owned();
        if goal_id.is_empty() {
            return Err(Fault::new(line, GOAL_ID, "this is empty"));
        }
        let note = self.note.map_or(Ok(""), |place| cell(place, NOTE))?.trim().to_owned();
        Ok(Some(Graded { line, goal_id, state, note }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graded(line: u64, goal_id: &str, state: GoalState, note: &str) -> Graded {
        Graded { line, goal_id: goal_id.to_owned(), state, note: note.to_owned() }
    }

    #[test]
    fn a_sheet_comes_back_from_a_spreadsheet() {
        let expected = vec![
            graded(2, "t-1", GoalState::Accepted, ""),
            graded(4, "t,3", GoalState::Rejected, "two\nlines"),
            graded(6, "=t", GoalState::TimedOut, ""),
        ];
        for (text, between) in [
            (
                "goal_id,workflow,graded,note\nt-1,w,accepted,\nt-2,w,,\n\"t,3\",w, Rejected ,\"two\nlines\"\n'=t,w,timed_out\n",
                ",",
            ),
            (
                "\u{feff}note;graded;goal_id\r\n;accepted;t-1\r\n;;t-2\r\n\"two\nlines\";rejected;t,3\r\n;timed_out;=t\r\n",
                ";",
            ),
        ] {
            let filled = Filled { graded: expected.clone(), ungraded: 1 };
            assert_eq!(read(text.as_bytes()), Ok(filled), "between cells: {between}");
        }
        assert_eq!(read(b"graded,goal_id\n"), Ok(Filled { graded: vec![], ungraded: 0 }), "a note is not needed");
    }

    #[test]
    fn every_fault_is_told_with_line_and_column() {
        let text = b"goal_id,graded,note\nt-1,acepted,\nt-2,open,\n,accepted,\nt-3,accepted,\n\nt-3,rejected,\n\xff,accepted,\nt-4,accepted,\xfe\n";
        let known = "known: accepted, rejected, abandoned, timed_out, tool_error, escalated";
        let expected = [
            Fault::new(2, GRADED, format!("`acepted` is no state; {known}")),
            Fault::new(3, GRADED, format!("`open` is no state; {known}")),
            Fault::new(4, GOAL_ID, "this is empty"),
            Fault::new(7, GOAL_ID, "line 5 grades this goal already"),
            Fault::new(8, GOAL_ID, "this is not UTF-8"),
            Fault::new(9, NOTE, "this is not UTF-8"),
        ];
        assert_eq!(read(text).unwrap_err(), expected);
        assert_eq!(read(b"").unwrap_err().len(), 2, "neither column");
        let twice = read(b"goal_id,graded,graded\n").unwrap_err();
        assert_eq!(twice, [Fault::new(1, GRADED, "there are two such columns")]);
    }

    #[test]
    fn no_cell_is_a_formula_and_every_id_comes_back() {
        for id in ["=1+1", "+1", "-1", "@x", "\tx", "'", "''=x", "x=1", "x'"] {
            let cell = guarded(id);
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t']), "{cell}");
            assert_eq!(unguarded(&cell), id);
        }
    }
}
