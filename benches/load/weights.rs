//! What each kind of event and of record takes, so that it can be told where the bytes of a call go. It reads a directory
//! that no process has open.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use oddsmaker::journal::{JournalReader, codec};

use crate::table::{Table, digits};

/// As the daemon opens it; another size is refused.
const SEGMENT_BYTES: usize = 128 << 10;

/// Where the letter of its kind stands in the key of a record.
const KIND_AT: usize = 4;

/// How many there are, and their bytes.
#[derive(Default)]
struct Weight {
    count: u64,
    bytes: u64,
}

/// Prints both tables; a part is a share of so many calls.
///
/// # Errors
/// The directory cannot be read.
pub(crate) fn print(data: &Path, calls: u64) -> anyhow::Result<()> {
    rows("event", &events(&data.join("journal"))?, calls);
    println!();
    rows("record", &records(&data.join("state"))?, calls);
    println!();
    Ok(())
}

fn rows(what: &str, weights: &BTreeMap<String, Weight>, calls: u64) {
    let mut table = Table::new(&[what, "number", "bytes each", "bytes a call"]);
    let mut row = |name: &str, Weight { count, bytes }: &Weight| {
        let (each, a_call) = (*bytes as f64 / *count as f64, *bytes as f64 / calls as f64);
        table.row(vec![name.to_owned(), count.to_string(), digits(each), digits(a_call)]);
    };
    for (name, weight) in weights {
        row(name, weight);
    }
    let sum = |of: fn(&Weight) -> u64| weights.values().map(of).sum();
    row("all", &Weight { count: sum(|w| w.count), bytes: sum(|w| w.bytes) });
    table.print();
}

/// Events by their kind.
fn events(journal: &Path) -> anyhow::Result<BTreeMap<String, Weight>> {
    let mut weights: BTreeMap<String, Weight> = BTreeMap::new();
    for entry in JournalReader::open(journal)?.entries() {
        let payload = entry?.payload;
        let told = format!("{:?}", codec::decode(&payload)?.body);
        let name = told.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let weight = weights.entry(name.to_owned()).or_default();
        weight.count += 1;
        weight.bytes += payload.len() as u64;
    }
    Ok(weights)
}

/// Records by the letter of their kind, keys included.
fn records(state: &Path) -> anyhow::Result<BTreeMap<String, Weight>> {
    let db = sled::Config::new().path(state).segment_size(SEGMENT_BYTES).mode(sled::Mode::LowSpace).open()?;
    let mut weights: BTreeMap<String, Weight> = BTreeMap::new();
    for item in db.iter() {
        let (key, value) = item?;
        let letter = *key.get(KIND_AT).context("a key without a kind")?;
        let weight = weights.entry(char::from(letter).to_string()).or_default();
        weight.count += 1;
        weight.bytes += (key.len() + value.len()) as u64;
    }
    Ok(weights)
}
