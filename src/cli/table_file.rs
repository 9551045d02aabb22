//! Tables of true outcomes as CSV, plain or gzipped → checked tables. It refuses to know policies.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::failure::Failure;
use crate::domain::money::PicoUsdPerToken;
use crate::simulation::table::{Query, Table, Truth};

/// Input and output price of a model, pico-USD a token.
type Price = (PicoUsdPerToken, PicoUsdPerToken);

/// List prices by model; those written for one data set go before those of all.
#[derive(Debug, Default)]
pub(super) struct Prices(HashMap<(Option<String>, String), Price>);

impl Prices {
    /// The prices of a file with the columns `model`, `input_usd_per_mtok`, `output_usd_per_mtok` and, where prices differ
    /// between data sets, `dataset`.
    ///
    /// # Errors
    /// It cannot be read, lacks a column, or a price is none.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let mut rows = Rows::open(path)?;
        let (model, input, output) =
            (rows.need("model")?, rows.need("input_usd_per_mtok")?, rows.need("output_usd_per_mtok")?);
        let dataset = rows.find("dataset");
        let mut prices = HashMap::new();
        rows.each(|row, text| {
            let price = |at: usize| {
                let bad = |_| format!("`{}` is no price", text(row, at));
                PicoUsdPerToken::parse_usd_per_mtok(text(row, at)).map_err(bad)
            };
            let of = dataset.map(|at| text(row, at)).filter(|name| !name.is_empty()).map(str::to_owned);
            prices.insert((of, text(row, model).to_owned()), (price(input)?, price(output)?));
            Ok(())
        })?;
        Ok(Self(prices))
    }

    fn of(&self, dataset: &str, model: &str) -> Option<Price> {
        let own = self.0.get(&(Some(dataset.to_owned()), model.to_owned()));
        own.or_else(|| self.0.get(&(None, model.to_owned()))).copied()
    }
}

/// The table of a file: a row for each query and model, all of the same columns in any order; others are ignored.
///
/// # Errors
/// It cannot be read, lacks a column, or a value is none of its kind; the message names the line.
pub(super) fn read(path: &Path, prices: &Prices) -> Result<Table, Failure> {
    let mut rows = Rows::open(path)?;
    let (task, query, model, success) =
        (rows.need("task_type")?, rows.need("query_id")?, rows.need("model")?, rows.need("success")?);
    let (dataset, cost, trial) = (rows.find("dataset"), rows.find("cost_usd"), rows.find("trial"));
    let (input, output) = (rows.find("prompt_tokens"), rows.find("completion_tokens"));
    let mut name = None;
    let mut cells: BTreeMap<(String, String, String), BTreeMap<String, Truth>> = BTreeMap::new();
    rows.each(|row, text| {
        let optional = |at: Option<usize>| at.map(|at| text(row, at)).filter(|t| !t.is_empty());
        let number = |at: Option<usize>| match optional(at) {
            None => Ok(None),
            Some(t) => match t.parse::<f64>() {
                Ok(n) if n.is_finite() && (0.0..1e12).contains(&n) => Ok(Some(n)),
                _ => Err(format!("`{t}` is no amount")),
            },
        };
        let success = match text(row, success) {
            "1" | "1.0" | "true" | "True" => true,
            "0" | "0.0" | "false" | "False" => false,
            other => return Err(format!("success is `{other}`: it must be 1 or 0")),
        };
        let of_data = optional(dataset).unwrap_or_default();
        let price = prices.of(of_data, text(row, model));
        let (input, output) = (number(input)?, number(output)?);
        let at_price =
            |tokens: Option<f64>, per_token: PicoUsdPerToken| tokens.map(|n| n * per_token.0 as f64 / 1_000.0);
        let listed = price.and_then(|(i, o)| Some(at_price(input, i)? + at_price(output, o).unwrap_or(0.0)));
        let estimate = price.and_then(|(i, _)| at_price(input, i));
        let nano = |x: f64| x.round() as u64;
        let truth = Truth {
            success,
            cost_nano: number(cost)?.map(|usd| nano(usd * 1e9)).or(listed.map(nano)),
            estimate_nano: estimate.map(nano),
        };
        name.get_or_insert_with(|| of_data.to_owned());
        let key =
            (text(row, task).to_owned(), text(row, query).to_owned(), optional(trial).unwrap_or_default().to_owned());
        let model = text(row, model).to_owned();
        match cells.entry(key).or_default().insert(model, truth) {
            None => Ok(()),
            Some(_) => Err("this model has an outcome for this query already".to_owned()),
        }
    })?;
    if cells.is_empty() {
        return Err(Failure::Failed(format!("{}: no rows", path.display())));
    }
    let named = name.filter(|n| !n.is_empty());
    Ok(table(named.unwrap_or_else(|| stem(path)), &cells))
}

fn table(name: String, cells: &BTreeMap<(String, String, String), BTreeMap<String, Truth>>) -> Table {
    let (mut tasks, mut models) = (BTreeMap::new(), BTreeMap::new());
    for ((task, ..), truths) in cells {
        tasks.insert(task.clone(), 0);
        models.extend(truths.keys().map(|model| (model.clone(), 0)));
    }
    tasks.values_mut().enumerate().for_each(|(i, place)| *place = i);
    models.values_mut().enumerate().for_each(|(i, place)| *place = i);
    let queries = cells.iter().map(|((task, ..), of)| {
        let mut truths = vec![None; models.len()];
        of.iter().for_each(|(model, truth)| truths[models[model]] = Some(*truth));
        Query { task: tasks[task], truths }
    });
    Table { name, queries: queries.collect(), tasks: tasks.into_keys().collect(), models: models.into_keys().collect() }
}

/// The file's name without what says its form.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.trim_end_matches(".gz").trim_end_matches(".csv").to_owned()
}

/// Rows of a CSV file and where its columns stand.
struct Rows {
    shown: String,
    reader: csv::Reader<Box<dyn Read>>,
    header: csv::StringRecord,
}

impl Rows {
    fn open(path: &Path) -> Result<Self, Failure> {
        let shown = path.display().to_string();
        let failed = |e: &dyn std::fmt::Display| Failure::Failed(format!("cannot read {shown}: {e}"));
        let file = File::open(path).map_err(|e| failed(&e))?;
        let gzipped = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
        let read: Box<dyn Read> =
            if gzipped { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut reader = csv::Reader::from_reader(read);
        let header = reader.headers().map_err(|e| failed(&e))?.clone();
        Ok(Self { shown, reader, header })
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|h| h.trim() == name)
    }

    fn need(&self, name: &str) -> Result<usize, Failure> {
        self.find(name).ok_or_else(|| Failure::Failed(format!("{}: there is no column `{name}`", self.shown)))
    }

    /// Hands every row to `take`; a complaint gets its file and line.
    fn each(
        &mut self,
        mut take: impl FnMut(&csv::StringRecord, fn(&csv::StringRecord, usize) -> &str) -> Result<(), String>,
    ) -> Result<(), Failure> {
        let text: fn(&csv::StringRecord, usize) -> &str = |row, at| row.get(at).unwrap_or_default().trim();
        let mut row = csv::StringRecord::new();
        loop {
            let more = self.reader.read_record(&mut row);
            if !more.map_err(|e| Failure::Failed(format!("{}: {e}", self.shown)))? {
                return Ok(());
            }
            let line = row.position().map_or(0, csv::Position::line);
            take(&row, text).map_err(|what| Failure::Failed(format!("{}:{line}: {what}", self.shown)))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn columns_come_in_any_order_and_missing_costs_are_priced() {
        let dir = tempfile::tempdir().unwrap();
        let prices =
            file(dir.path(), "p.csv", "dataset,model,input_usd_per_mtok,output_usd_per_mtok\nd,b,10,30\n,a,1,2\n");
        let text = "model,success,task_type,query_id,cost_usd,prompt_tokens,completion_tokens,other,dataset\n\
                    a,1,t,q1,0.5,,,x,d\nb,0,t,q1,,100,10,,d\na,0,u,q1,,100,,,d\nc,1,u,q1,,100,1,,d\n";
        let prices = Prices::read(&prices).unwrap();
        let table = read(&file(dir.path(), "t.csv", text), &prices).unwrap();
        assert_eq!(
            (table.name.as_str(), &table.tasks[..], &table.models[..]),
            ("d", &["t".to_owned(), "u".to_owned()][..], &["a".to_owned(), "b".to_owned(), "c".to_owned()][..])
        );
        let truth = |success, cost_nano, estimate_nano| Some(Truth { success, cost_nano, estimate_nano });
        assert_eq!(
            table.queries[0].truths,
            [truth(true, Some(500_000_000), None), truth(false, Some(1_300_000), Some(1_000_000)), None]
        );
        assert_eq!(
            table.queries[1].truths,
            [truth(false, Some(100_000), Some(100_000)), None, truth(true, None, None)]
        );
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let dir = tempfile::tempdir().unwrap();
        let say = |text: &str| read(&file(dir.path(), "t.csv", text), &Prices::default()).unwrap_err().to_string();
        assert!(say("task_type,query_id,model\n").contains("there is no column `success`"));
        let head = "task_type,query_id,model,success,cost_usd\n";
        assert!(say(head).ends_with("t.csv: no rows"));
        assert!(say(&format!("{head}t,q,a,yes,\n")).ends_with("t.csv:2: success is `yes`: it must be 1 or 0"));
        assert!(say(&format!("{head}t,q,a,1,\nt,q,b,1,-1\n")).ends_with("t.csv:3: `-1` is no amount"));
        assert!(say(&format!("{head}t,q,a,1,\nt,q,a,1,\n")).contains("t.csv:3: this model has an outcome"));
    }
}
