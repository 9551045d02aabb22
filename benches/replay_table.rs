//! Plays a table of true outcomes query by query through the running daemon, revealing only the chosen model's outcome:
//! `cargo bench --bench replay_table -- TABLE.csv[.gz]`. What the daemon achieved is printed beside what the table itself
//! says of the best fixed model, of uniform random choice, and of the best model of each task type.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a run that cannot go on must fail")]
#![allow(missing_docs, reason = "a program, not a library")]

#[path = "../tests/suite/harness.rs"]
#[expect(dead_code, reason = "the suite uses more of it")]
mod harness;
#[path = "../tests/suite/http_client.rs"]
#[expect(dead_code, reason = "the suite uses more of it")]
mod http_client;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read;

use oddsmaker::wire::pb;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;

const SEED: u64 = 1;

/// What a model truly does with a query.
#[derive(Clone, Copy, Debug)]
struct Cell {
    success: bool,
    cost_usd: f64,
}

/// One query and what each model makes of it.
struct Query {
    task: String,
    cells: BTreeMap<String, Cell>,
}

/// Calls, successes and dollars of one way to choose.
#[derive(Clone, Copy, Default)]
struct Tally {
    calls: f64,
    successes: f64,
    cost_usd: f64,
}

impl Tally {
    fn add(&mut self, cell: Cell, weight: f64) {
        self.calls += weight;
        self.successes += weight * f64::from(u8::from(cell.success));
        self.cost_usd += weight * cell.cost_usd;
    }

    fn print(&self, policy: &str, note: &str) {
        let (success, cost) = (self.successes / self.calls, self.cost_usd / self.calls);
        println!("| {policy:<22} | {success:.4} | {cost:.7} | {:.7} | {note} |", self.cost_usd / self.successes);
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(path) = arguments.iter().find(|a| !a.starts_with('-')) else {
        println!("skipped: name a table, as in `cargo bench --bench replay_table -- TABLE.csv.gz`");
        return;
    };
    if !std::path::Path::new(path).exists() {
        println!("skipped: there is no {path}");
        return;
    }
    let seed = std::env::var("SEED").map_or(SEED, |text| text.parse().expect("a number"));
    let mut queries = read(path);
    queries.shuffle(&mut rand_pcg::Pcg64::seed_from_u64(seed));
    let models: BTreeSet<&String> = queries.iter().flat_map(|q| q.cells.keys()).collect();
    println!("{path}: {} queries, {} models, SEED={seed}, one pass, one query at a time", queries.len(), models.len());
    println!("| policy | success | USD per query | USD per success | |");
    let (all, last_fifth, served) = through_the_daemon(&queries, seed).await;
    all.print("the daemon", &served);
    last_fifth.print("the daemon, last fifth", "");
    references(&queries);
}

/// Every complete query of a table; a missing cost is no cost, and such a row is left out.
fn read(path: &str) -> Vec<Query> {
    let file = std::fs::File::open(path).unwrap();
    let reader: Box<dyn Read> =
        if path.ends_with(".gz") { Box::new(flate2::read::GzDecoder::new(file)) } else { Box::new(file) };
    let mut table = csv::Reader::from_reader(reader);
    let header = table.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap_or_else(|| panic!("no column {name}"));
    let (task, query, model) = (column("task_type"), column("query_id"), column("model"));
    let (success, cost) = (column("success"), column("cost_usd"));
    let mut queries: BTreeMap<(String, String), BTreeMap<String, Cell>> = BTreeMap::new();
    for row in table.records() {
        let row = row.unwrap();
        let Ok(cost_usd) = row[cost].parse() else { continue };
        let success = matches!(&row[success], "1" | "1.0" | "true");
        let key = (row[task].to_owned(), row[query].to_owned());
        queries.entry(key).or_default().insert(row[model].to_owned(), Cell { success, cost_usd });
    }
    let most = queries.values().map(BTreeMap::len).max().unwrap_or(0);
    let complete = queries.into_iter().filter(|(_, cells)| cells.len() == most);
    complete.map(|((task, _), cells)| Query { task, cells }).collect()
}

/// Catalogue id of a model of the table.
fn id(model: &str) -> String {
    if model.contains('/') { model.to_owned() } else { format!("table/{model}") }
}

/// A catalogue of the table's models without prices: what they cost is learned from what is reported.
fn catalogue(queries: &[Query]) -> String {
    let models: BTreeSet<&String> = queries.iter().flat_map(|q| q.cells.keys()).collect();
    let tasks: BTreeSet<&String> = queries.iter().map(|q| &q.task).collect();
    let mut text = format!("schema = 1\n[defaults]\ntask = {:?}\n", tasks.first().expect("a task type"));
    for model in &models {
        writeln!(text, "[[model]]\nid = {:?}", id(model)).unwrap();
    }
    let candidates: Vec<String> = models.iter().map(|m| format!("{:?}", id(m))).collect();
    for task in tasks {
        writeln!(text, "[[task]]\nid = {task:?}\ncandidates = [{}]", candidates.join(", ")).unwrap();
    }
    text
}

/// What the daemon achieves: over all queries, over the last fifth, and which models it served most.
async fn through_the_daemon(queries: &[Query], seed: u64) -> (Tally, Tally, String) {
    let home = harness::Home::seeded(&catalogue(queries), seed as u8);
    let daemon = home.start();
    let mut router = daemon.router().await;
    let (mut all, mut last_fifth) = (Tally::default(), Tally::default());
    let mut served: BTreeMap<String, usize> = BTreeMap::new();
    for (at, query) in queries.iter().enumerate() {
        let request = pb::GetPolicyRequest { task_type: query.task.clone(), ..Default::default() };
        let decided = router.get_policy(request).await.unwrap().into_inner();
        let model = decided.model.expect("a model");
        let (_, cell) = query.cells.iter().find(|(name, _)| id(name) == model).expect("a model of the table");
        let report = pb::RecordOutcomeRequest {
            decision_id: decided.decision_id,
            success: Some(cell.success),
            cost_usd: Some(cell.cost_usd),
            ..Default::default()
        };
        router.record_outcome(report).await.unwrap();
        all.add(*cell, 1.0);
        if at >= queries.len() * 4 / 5 {
            last_fifth.add(*cell, 1.0);
        }
        *served.entry(model).or_default() += 1;
    }
    let mut most: Vec<(usize, String)> = served.into_iter().map(|(model, calls)| (calls, model)).collect();
    most.sort_by(|a, b| b.cmp(a));
    let most: Vec<String> = most.iter().take(3).map(|(calls, model)| format!("{model} {calls}")).collect();
    (all, last_fifth, most.join(", "))
}

/// What the table itself says: every choice is made knowing all outcomes.
fn references(queries: &[Query]) {
    let mut fixed: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut by_task: BTreeMap<&str, BTreeMap<&str, Tally>> = BTreeMap::new();
    let mut uniform = Tally::default();
    for query in queries {
        for (model, cell) in &query.cells {
            fixed.entry(model).or_default().add(*cell, 1.0);
            by_task.entry(&query.task).or_default().entry(model).or_default().add(*cell, 1.0);
            uniform.add(*cell, 1.0 / query.cells.len() as f64);
        }
    }
    let (model, tally) = best(&fixed);
    tally.print("best fixed model", model);
    uniform.print("uniform random", "");
    let (mut per_type, mut note) = (Tally::default(), Vec::new());
    for (task, models) in &by_task {
        let (model, tally) = best(models);
        per_type.calls += tally.calls;
        per_type.successes += tally.successes;
        per_type.cost_usd += tally.cost_usd;
        note.push(format!("{task}: {model}"));
    }
    per_type.print("best of each task type", &note.join(", "));
}

/// The model with the most successes; the cheaper one where two have as many.
fn best<'a>(models: &BTreeMap<&'a str, Tally>) -> (&'a str, Tally) {
    let better = |a: &Tally, b: &Tally| a.successes.total_cmp(&b.successes).then(b.cost_usd.total_cmp(&a.cost_usd));
    let (model, tally) = models.iter().max_by(|a, b| better(a.1, b.1)).expect("a model");
    (*model, *tally)
}
