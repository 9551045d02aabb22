//! The folder a replay leaves: the figures of every policy, every pass, and a plot of quality against cost for each table. The
//! same tables and seed give the same bytes. It computes no figure.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::listing::Listing;
use super::simulate_files::{MANIFEST, REPLAYED_BY, csv, digest, put, words};
use super::simulate_plots as plots;
use crate::simulation::replay::Pass;
use crate::simulation::table::Tally;

/// What a policy made of a table.
pub(super) struct Replayed {
    pub(super) dataset: String,
    pub(super) policy: String,
    pub(super) passes: Vec<Pass>,
}

/// Writes what was `replayed` to `folder`, which was claimed; `said` is how it was asked for.
///
/// # Errors
/// It cannot be written.
pub(super) fn write(folder: &Path, said: &Value, listing: &Listing, replayed: &[Replayed]) -> Result<(), Failure> {
    let mut files = vec![figures(listing), ("passes.csv".to_owned(), all(replayed)?)];
    let mut datasets: Vec<&str> = replayed.iter().map(|r| r.dataset.as_str()).collect();
    datasets.dedup();
    for dataset in datasets {
        let of = replayed.iter().filter(|r| r.dataset == dataset);
        let points: Vec<(String, (f64, f64))> =
            of.filter_map(|r| Some((r.policy.clone(), point(&r.passes)?))).collect();
        files.push((file_name(dataset), plots::pareto("USD a query", "success rate", &points)?));
    }
    leave(folder, said, &files)
}

/// Writes files to `folder`, which was claimed, with the manifest that knows them; `said` is how they were asked for.
///
/// # Errors
/// They cannot be written.
pub(super) fn leave(folder: &Path, said: &Value, files: &[(String, String)]) -> Result<(), Failure> {
    let manifest = |files: &[(String, String)]| {
        let digests: Map<String, Value> =
            files.iter().map(|(name, text)| (name.clone(), digest(text).into())).collect();
        let whole = json!({ "made_by": REPLAYED_BY, "version": env!("CARGO_PKG_VERSION"), "replay": said, "files_blake3": digests });
        format!("{whole:#}\n")
    };
    // Said first, so that a folder half written is known as ours.
    put(folder, MANIFEST, &manifest(&[]))?;
    files.iter().try_for_each(|(name, text)| put(folder, name, text))?;
    put(folder, MANIFEST, &manifest(files))
}

/// The file of a listing's rows.
pub(super) fn figures(listing: &Listing) -> (String, String) {
    let rows = Value::Array(listing.objects().map(Value::Object).collect());
    ("figures.json".to_owned(), format!("{rows:#}\n"))
}

/// Cost a query and success rate over all passes; `None`: no cost is known.
fn point(passes: &[Pass]) -> Option<(f64, f64)> {
    let mean = |of: fn(&Tally) -> Option<f64>| {
        let known: Vec<f64> = passes.iter().filter_map(|p| of(&p.all)).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    Some((mean(Tally::cost_usd_per_query)?, mean(Tally::success_rate)?))
}

/// A row a pass, of the whole of it and of its last fifth.
fn all(replayed: &[Replayed]) -> Result<String, Failure> {
    let counts =
        |t: &Tally| [t.queries.into(), t.successes.into(), t.costed.into(), t.cost_nano].map(|n: u128| n.to_string());
    let row = |r: &Replayed, n: usize, pass: &Pass| {
        let name = [r.dataset.clone(), r.policy.clone(), n.to_string()];
        name.into_iter().chain(counts(&pass.all)).chain(counts(&pass.last_fifth)).collect::<Vec<String>>()
    };
    let head = words(&[
        "dataset",
        "policy",
        "pass",
        "queries",
        "successes",
        "queries_of_known_cost",
        "cost_nano_usd",
        "queries_last_fifth",
        "successes_last_fifth",
        "queries_of_known_cost_last_fifth",
        "cost_nano_usd_last_fifth",
    ]);
    let rows = replayed.iter().flat_map(|r| r.passes.iter().enumerate().map(move |(n, pass)| row(r, n, pass)));
    csv(std::iter::once(head).chain(rows))
}

/// Of the plot of a table or ledger.
pub(super) fn file_name(dataset: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || "-_".contains(c) { c } else { '_' };
    format!("quality_cost_{}.svg", dataset.chars().map(safe).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tables_cannot_lead_out_of_the_folder() {
        assert_eq!(file_name("../a b.csv"), "quality_cost____a_b_csv.svg");
    }
}
