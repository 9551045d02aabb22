//! Rows of a Markdown table, as `benches/README.md` wants them.

/// A table: its head and its rows, each with as many cells.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    columns: usize,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        let columns = head.len();
        let rule = std::iter::once("---").chain(std::iter::repeat_n("---:", columns.saturating_sub(1)));
        let rows = vec![head.iter().map(|cell| (*cell).to_owned()).collect(), rule.map(str::to_owned).collect()];
        Self { rows, columns }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.columns, "INV-TABLE-1: a row has a cell for every column");
        self.rows.push(cells);
    }

    /// A row of a name and its figure.
    pub(crate) fn pair(&mut self, name: &str, figure: String) {
        self.row(vec![name.to_owned(), figure]);
    }

    pub(crate) fn print(&self) {
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
    }
}

/// The middle of some figures; the mean of the middle two where their number is even. `None` if there are none.
pub(crate) fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { (sorted[middle - 1] + upper) / 2.0 })
}

/// Three digits that count, or all before the point.
pub(crate) fn digits(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 1.0 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

/// The same, or a dash where there is none.
pub(crate) fn digits_or_dash(figure: Option<f64>) -> String {
    figure.map_or_else(|| "–".to_owned(), digits)
}
