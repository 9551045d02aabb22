//! Tables of true outcomes as CSV, plain or gzipped → checked tables. It refuses to know policies.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::failure::Failure;
use super::input_file;
use crate::domain::money::PicoUsdPerToken;
use crate::domain::strata::{Feature, Strata, Stratum};
use crate::simulation::table::{CostBasis, Query, Table, Truth};

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

/// The tables of a file, one for each name in its column `dataset`, in their order; a row for each query and model, all of the
/// same columns in any order; others are ignored.
///
/// A row without cost is priced by its tokens. Without a number of output tokens its cost is unknown, unless the whole data
/// set tells none: then costs are those of the input alone, and the table says so. The features of `strata` are columns by name.
///
/// # Errors
/// It cannot be read, lacks a column, or a value is none of its kind; the message names the line.
pub(super) fn read(path: &Path, prices: &Prices, strata: &Arc<Strata>) -> Result<Vec<Table>, Failure> {
    let mut rows = Rows::open(path)?;
    let columns = Columns::of(&rows, strata)?;
    let mut sets: BTreeMap<String, Cells> = BTreeMap::new();
    rows.each(|row, text| {
        let (key, written) = columns.read(row, text, prices)?;
        let model = text(row, columns.model).to_owned();
        let of_data = columns.dataset.map(|at| text(row, at)).unwrap_or_default();
        match sets.entry(of_data.to_owned()).or_default().entry(key).or_default().insert(model, written) {
            None => Ok(()),
            Some(_) => Err("this model has an outcome for this query already".to_owned()),
        }
    })?;
    if sets.is_empty() {
        return Err(Failure::Failed(format!("{}: no rows", path.display())));
    }
    let named = |name: String| if name.is_empty() { stem(path) } else { name };
    Ok(sets.into_iter().map(|(name, cells)| table(named(name), &cells, strata)).collect())
}

/// Task type, query and trial.
type Key = (String, String, String);

/// What is written of each query, by model.
type Cells = BTreeMap<Key, BTreeMap<String, Written>>;

/// One row, as far as it can be told without the others.
#[derive(Clone, Copy)]
struct Written {
    success: bool,
    /// As the row says, nano-USD.
    cost: Option<u64>,
    /// Its input tokens at list price, nano-USD.
    input: Option<u64>,
    /// Its output tokens at list price, nano-USD.
    output: Option<u64>,
    /// The row says how many output tokens there were.
    output_told: bool,
    /// By the columns that are features.
    stratum: Stratum,
}

/// Where the columns stand.
struct Columns {
    task: usize,
    query: usize,
    model: usize,
    success: usize,
    dataset: Option<usize>,
    cost: Option<usize>,
    trial: Option<usize>,
    input: Option<usize>,
    output: Option<usize>,
    strata: Arc<Strata>,
    /// The columns of its features, in their order.
    features: Vec<usize>,
}

/// No call costs more; what does is a slip of the pen.
const USD_A_CALL_MAX: f64 = 1e6;

impl Columns {
    fn of(rows: &Rows, strata: &Arc<Strata>) -> Result<Self, Failure> {
        Ok(Self {
            task: rows.need("task_type")?,
            query: rows.need("query_id")?,
            model: rows.need("model")?,
            success: rows.need("success")?,
            dataset: rows.find("dataset"),
            cost: rows.find("cost_usd"),
            trial: rows.find("trial"),
            input: rows.find("prompt_tokens"),
            output: rows.find("completion_tokens"),
            strata: strata.clone(),
            features: strata.features().iter().map(|f| rows.need(f.name())).collect::<Result<_, _>>()?,
        })
    }

    fn read(&self, row: &csv::StringRecord, text: Text, prices: &Prices) -> Result<(Key, Written), String> {
        let optional = |at: Option<usize>| at.map(|at| text(row, at)).filter(|t| !t.is_empty());
        let number = |at: Option<usize>| match optional(at) {
            None => Ok(None),
            Some(t) => match t.parse::<f64>() {
                Ok(n) if n.is_finite() && (0.0..1e12).contains(&n) => Ok(Some(n)),
                _ => Err(format!("`{t}` is no amount")),
            },
        };
        let nano = |usd: f64| {
            let within = usd <= USD_A_CALL_MAX;
            within.then(|| (usd * 1e9).round() as u64).ok_or_else(|| format!("{usd} USD is too much for one call"))
        };
        let success = match text(row, self.success) {
            "1" | "1.0" | "true" | "True" => true,
            "0" | "0.0" | "false" | "False" => false,
            other => return Err(format!("success is `{other}`: it must be 1 or 0")),
        };
        let price = prices.of(optional(self.dataset).unwrap_or_default(), text(row, self.model));
        let (input, output) = (number(self.input)?, number(self.output)?);
        let listed = |tokens: Option<f64>, per_token: Option<PicoUsdPerToken>| {
            tokens.zip(per_token).map(|(n, price)| nano(n * price.0 as f64 / 1e12)).transpose()
        };
        let written = Written {
            success,
            cost: number(self.cost)?.map(nano).transpose()?,
            input: listed(input, price.map(|p| p.0))?,
            output: listed(output, price.map(|p| p.1))?,
            output_told: output.is_some(),
            stratum: self.stratum(row, text)?,
        };
        let trial = optional(self.trial).unwrap_or_default().to_owned();
        Ok(((text(row, self.task).to_owned(), text(row, self.query).to_owned(), trial), written))
    }
}

impl Columns {
    /// The stratum of a row; an empty column was not sent.
    fn stratum(&self, row: &csv::StringRecord, text: Text) -> Result<Stratum, String> {
        let (mut numbers, mut labels) = (BTreeMap::new(), BTreeMap::new());
        for (feature, at) in self.strata.features().iter().zip(&self.features) {
            let (name, written) = (feature.name().to_owned(), text(row, *at));
            if written.is_empty() {
                continue;
            }
            if matches!(feature, Feature::Label { .. }) {
                labels.insert(name, written.to_owned());
            } else {
                let number = written.parse::<f64>().ok().filter(|n| n.is_finite());
                numbers.insert(name, number.ok_or_else(|| format!("`{written}` is no number"))?);
            }
        }
        Ok(self.strata.of(&numbers, &labels))
    }
}

fn table(name: String, cells: &Cells, strata: &Arc<Strata>) -> Table {
    let (mut tasks, mut models) = (BTreeMap::new(), BTreeMap::new());
    for ((task, ..), of) in cells {
        tasks.insert(task.clone(), 0);
        models.extend(of.keys().map(|model| (model.clone(), 0)));
    }
    tasks.values_mut().enumerate().for_each(|(i, place)| *place = i);
    models.values_mut().enumerate().for_each(|(i, place)| *place = i);
    let output_told = cells.values().flat_map(BTreeMap::values).any(|w| w.output_told);
    let truth = |written: &Written| {
        let output = if output_told { written.output } else { Some(0) };
        let listed = written.input.zip(output).map(|(input, output)| input + output);
        Truth { success: written.success, cost_nano: written.cost.or(listed), estimate_nano: written.input }
    };
    let queries = cells.iter().map(|((task, ..), of)| {
        let mut truths = vec![None; models.len()];
        of.iter().for_each(|(model, written)| truths[models[model]] = Some(truth(written)));
        // What a feature says is the query's, so every row says it; a model's own tokens are no feature.
        let stratum = of.values().next().map_or(Stratum::NONE, |w| w.stratum);
        Query { task: tasks[task], stratum, truths }
    });
    let queries = queries.collect();
    let priced = cells.values().flat_map(BTreeMap::values).any(|w| w.cost.is_none() && w.input.is_some());
    let basis = if priced && !output_told { CostBasis::InputAlone } else { CostBasis::Whole };
    let strata = strata.clone();
    Table { name, basis, queries, strata, tasks: tasks.into_keys().collect(), models: models.into_keys().collect() }
}

/// The file's name without what says its form.
pub(super) fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.trim_end_matches(".gz");
    let form = [".csv", ".jsonl", ".ndjson"].into_iter().find_map(|form| name.strip_suffix(form));
    form.unwrap_or(name).to_owned()
}

/// How the text of a row's column is read.
type Text = fn(&csv::StringRecord, usize) -> &str;

/// Rows of a CSV file and where its columns stand.
struct Rows {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read>>,
    header: csv::StringRecord,
}

impl Rows {
    fn open(path: &Path) -> Result<Self, Failure> {
        let mut reader = csv::Reader::from_reader(input_file::open(path)?);
        let header = reader.headers().map_err(|e| input_file::unreadable(path, &e))?.clone();
        Ok(Self { path: path.to_owned(), reader, header })
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|h| h.trim() == name)
    }

    fn need(&self, name: &str) -> Result<usize, Failure> {
        self.find(name).ok_or_else(|| Failure::Failed(format!("{}: there is no column `{name}`", self.path.display())))
    }

    /// Hands every row to `take`; a complaint gets its file and line.
    fn each(&mut self, mut take: impl FnMut(&csv::StringRecord, Text) -> Result<(), String>) -> Result<(), Failure> {
        let text: Text = |row, at| row.get(at).unwrap_or_default().trim();
        let mut row = csv::StringRecord::new();
        loop {
            if !self.reader.read_record(&mut row).map_err(|error| self.unread(&error))? {
                return Ok(());
            }
            take(&row, text).map_err(|what| self.fault(row.position(), &what))?;
        }
    }

    fn unread(&self, error: &csv::Error) -> Failure {
        let what = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("{len} cells where the header has {expected_len}")
            }
            csv::ErrorKind::Utf8 { .. } => "this is not UTF-8".to_owned(),
            _ => return input_file::unreadable(&self.path, error),
        };
        self.fault(error.position(), &what)
    }

    /// A complaint about the row there. The file is read once more to count its lines.
    fn fault(&self, at: Option<&csv::Position>, what: &str) -> Failure {
        let mut bytes = Vec::new();
        let start = at.map_or(0, csv::Position::byte);
        match input_file::open(&self.path).map(|mut file| file.read_to_end(&mut bytes)) {
            Ok(Ok(_)) => {
                let line = input_file::LineCounter::new(&bytes).line(start);
                Failure::Failed(format!("{}:{line}: {what}", self.path.display()))
            }
            _ => Failure::Failed(format!("{}: {what}", self.path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path, name: &str, text: &str) -> PathBuf {
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
        let tables = read(&file(dir.path(), "t.csv", text), &prices, &Arc::default()).unwrap();
        let [table] = &tables[..] else { panic!("{tables:?}") };
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
            [truth(false, None, Some(100_000)), None, truth(true, None, None)],
            "output tokens that one row does not tell are not none"
        );
        assert_eq!(table.basis, CostBasis::Whole);
    }

    #[test]
    fn a_file_of_two_data_sets_is_two_tables_and_costs_of_input_alone_are_called_so() {
        let dir = tempfile::tempdir().unwrap();
        let prices = file(dir.path(), "p.csv", "model,input_usd_per_mtok,output_usd_per_mtok\na,1,2\n");
        let text = "dataset,task_type,query_id,model,success,prompt_tokens,completion_tokens\n\
                    y,t,q,a,1,100,\nx,t,q,a,1,100,10\ny,t,q2,a,0,200,\n";
        let tables = read(&file(dir.path(), "t.csv", text), &Prices::read(&prices).unwrap(), &Arc::default()).unwrap();
        let told: Vec<_> =
            tables.iter().map(|t| (t.name.as_str(), t.basis, t.queries.len(), t.fixed(0, None).cost_nano)).collect();
        assert_eq!(told, [("x", CostBasis::Whole, 1, 120_000), ("y", CostBasis::InputAlone, 2, 300_000)]);
    }

    #[test]
    fn columns_named_as_features_make_strata() {
        let dir = tempfile::tempdir().unwrap();
        let number = Feature::Number { name: "length".to_owned(), edges: vec![10.0] };
        let label = Feature::Label { key: "subtype".to_owned(), values: vec!["x".to_owned()] };
        let strata = Arc::new(Strata::new(vec![number, label]).unwrap());
        let head = "task_type,query_id,model,success,length,subtype\n";
        let text = format!("{head}t,q1,a,1,9.5,x\nt,q2,a,1,10,y\nt,q3,a,0,,x\n");
        let table = read(&file(dir.path(), "t.csv", &text), &Prices::default(), &strata).unwrap().remove(0);
        let texts: Vec<&str> = table.queries.iter().map(|q| strata.text(q.stratum).unwrap()).collect();
        let expected = ["length < 10, subtype = x", "length >= 10, subtype other", "length not sent, subtype = x"];
        assert_eq!(texts, expected);
        let bad = file(dir.path(), "t.csv", &format!("{head}t,q1,a,1,long,x\n"));
        let said = read(&bad, &Prices::default(), &strata).unwrap_err().to_string();
        assert!(said.ends_with("t.csv:2: `long` is no number"), "{said}");
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let dir = tempfile::tempdir().unwrap();
        let say = |text: &str| {
            let path = file(dir.path(), "t.csv", text);
            read(&path, &Prices::default(), &Arc::default()).unwrap_err().to_string()
        };
        assert!(say("task_type,query_id,model\n").contains("there is no column `success`"));
        let head = "task_type,query_id,model,success,cost_usd\n";
        assert!(say(head).ends_with("t.csv: no rows"));
        assert!(say(&format!("{head}t,q,a,yes,\n")).ends_with("t.csv:2: success is `yes`: it must be 1 or 0"));
        assert!(say(&format!("{head}t,q,a,1,\nt,q,b,1,-1\n")).ends_with("t.csv:3: `-1` is no amount"));
        assert!(say(&format!("{head}t,q,a,1,1000001\n")).ends_with("t.csv:2: 1000001 USD is too much for one call"));
        assert!(say(&format!("{head}t,q,a,1,\nt,q,a,1,\n")).contains("t.csv:3: this model has an outcome"));
        assert!(say(&format!("{head}t,q,a,1,\nt,q,b\n")).ends_with("t.csv:3: 3 cells where the header has 5"));
    }

    #[test]
    fn lines_are_those_an_editor_shows_whatever_ends_them() {
        let dir = tempfile::tempdir().unwrap();
        let rows = ["task_type,query_id,model,success", "t,\"q\n1\",a,1", "", "t,q2,a,1"];
        for end in ["\n", "\r\n"] {
            for (last, what) in [
                ("t,q3,a,maybe", "success is `maybe`: it must be 1 or 0"),
                ("t,q3,a", "3 cells where the header has 4"),
            ] {
                let path = file(dir.path(), "t.csv", &([&rows[..], &[last, ""]].concat().join(end)));
                let said = read(&path, &Prices::default(), &Arc::default()).unwrap_err().to_string();
                assert!(said.ends_with(&format!("t.csv:6: {what}")), "{end:?}: {said}");
            }
        }
    }
}
