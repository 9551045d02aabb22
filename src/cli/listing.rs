//! Rows in the three forms every listing has: a table for people, JSON and CSV for programs. The same columns drive
//! all three. It refuses to know what the rows are about.

use std::io::{IsTerminal, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use super::args::Format;
use super::failure::Failure;
use super::human::{UNKNOWN, printable};

/// One column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// Its name in JSON and CSV.
    key: &'static str,
    /// Its title in a table; empty: it is not in the table.
    title: &'static str,
    right: bool,
}

impl Column {
    /// What it is called in a table; empty: it is not in one.
    pub(super) const fn title(&self) -> &'static str {
        self.title
    }

    /// A column of texts.
    pub(super) const fn text(key: &'static str, title: &'static str) -> Self {
        Self { key, title, right: false }
    }

    /// A column of numbers.
    pub(super) const fn number(key: &'static str, title: &'static str) -> Self {
        Self { key, title, right: true }
    }

    /// Its name in JSON and CSV.
    pub(super) const fn key(&self) -> &'static str {
        self.key
    }

    /// A column for programs only.
    pub(super) const fn program(key: &'static str) -> Self {
        Self { key, title: "", right: false }
    }
}

/// One value, and how people read it where that differs.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    value: Value,
    text: Option<String>,
}

impl Cell {
    /// A value people read as `text`.
    pub(super) fn shown(value: impl Into<Value>, text: String) -> Self {
        Self { value: value.into(), text: Some(text) }
    }

    fn for_people(&self) -> String {
        printable(&self.text.clone().unwrap_or_else(|| plain(&self.value, ", ", UNKNOWN)))
    }
}

impl<T: Into<Value>> From<T> for Cell {
    fn from(value: T) -> Self {
        Self { value: value.into(), text: None }
    }
}

/// A value without JSON's quotes; items of a list are joined, null becomes `nothing`.
fn plain(value: &Value, between: &str, nothing: &str) -> String {
    match value {
        Value::Null => nothing.to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(|i| plain(i, between, nothing)).collect::<Vec<_>>().join(between),
        other => other.to_string(),
    }
}

/// Rows and what their columns are.
#[derive(Debug)]
pub(super) struct Listing {
    columns: &'static [Column],
    rows: Vec<Vec<Cell>>,
}

impl Listing {
    /// A listing without rows.
    pub(super) fn new(columns: &'static [Column]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row: one cell a column.
    pub(super) fn push(&mut self, row: Vec<Cell>) {
        assert_eq!(row.len(), self.columns.len(), "INV-LISTING-1: a row has one cell a column");
        self.rows.push(row);
    }

    /// Prints it in the form asked for.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn print(&self, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
        match format {
            Format::Table => writeln!(out, "{}", self.table())?,
            Format::Json => print_json(&Value::Array(self.objects().map(Value::Object).collect()), out)?,
            Format::Csv => self.print_csv(out)?,
        }
        Ok(())
    }

    /// One JSON object a row.
    pub(super) fn objects(&self) -> impl Iterator<Item = Map<String, Value>> {
        let object = |row: &Vec<Cell>| {
            self.columns.iter().zip(row).map(|(column, cell)| (column.key.to_owned(), cell.value.clone())).collect()
        };
        self.rows.iter().map(object)
    }

    /// The table, without a line break at its end.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        let narrow = std::io::stdout().is_terminal();
        let arrangement = if narrow { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
        table.load_preset(presets::NOTHING).set_content_arrangement(arrangement);
        let visible: Vec<usize> = (0..self.columns.len()).filter(|i| !self.columns[*i].title.is_empty()).collect();
        table.set_header(visible.iter().map(|i| self.columns[*i].title));
        for row in &self.rows {
            table.add_row(visible.iter().map(|i| row[*i].for_people()));
        }
        for (at, column) in visible.iter().map(|i| &self.columns[*i]).enumerate() {
            if let Some(shown) = table.column_mut(at) {
                shown.set_padding((0, 2));
                shown.set_cell_alignment(if column.right { CellAlignment::Right } else { CellAlignment::Left });
            }
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    fn print_csv(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(self.columns.iter().map(|c| c.key)).map_err(csv_failure)?;
        for row in &self.rows {
            csv.write_record(row.iter().map(|cell| plain(&cell.value, ";", ""))).map_err(csv_failure)?;
        }
        Ok(csv.flush()?)
    }
}

/// A computed number to ten significant digits: what stands behind them is noise of the computation.
pub(super) fn tidy(x: f64) -> f64 {
    if x.abs() < 1e-12 { 0.0 } else { format!("{x:.9e}").parse().unwrap_or(x) }
}

fn csv_failure(error: csv::Error) -> Failure {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        other => Failure::Failed(format!("cannot write CSV: {other:?}")),
    }
}

/// One JSON document over several lines.
///
/// # Errors
/// The output cannot be written.
pub(super) fn print_json(value: &Value, out: &mut dyn Write) -> Result<(), Failure> {
    Ok(writeln!(out, "{value:#}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[Column::text("name", "NAME"), Column::number("cost", "COST"), Column::program("tags")];

    fn printed(format: Format) -> String {
        let mut listing = Listing::new(COLUMNS);
        listing.push(vec!["a,\"b\"".into(), Cell::shown(0.5, "$0.50".into()), vec!["x", "y"].into()]);
        listing.push(vec!["\u{1b}[2J".into(), Value::Null.into(), Value::Null.into()]);
        let mut out = Vec::new();
        listing.print(format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_three_forms_show_the_same_rows() {
        assert_eq!(printed(Format::Table), "NAME        COST\na,\"b\"      $0.50\n\\u{1b}[2J      –\n");
        let json: Value = serde_json::from_str(&printed(Format::Json)).unwrap();
        let expected = serde_json::json!([
            { "name": "a,\"b\"", "cost": 0.5, "tags": ["x", "y"] },
            { "name": "\u{1b}[2J", "cost": null, "tags": null },
        ]);
        assert_eq!(json, expected);
        assert_eq!(printed(Format::Csv), "name,cost,tags\n\"a,\"\"b\"\"\",0.5,x;y\n\u{1b}[2J,,\n");
    }
}
