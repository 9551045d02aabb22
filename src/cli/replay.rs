//! `oddsmaker replay`: tables of true outcomes, query by query; what an exported ledger tells is replayed by `replay_ledger`. It
//! needs no daemon, no data directory and no catalogue.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::args::{Format, SettingFlags};
use super::failure::Failure;
use super::human::{count, percent, printable, short_usd};
use super::ledger_file::is_ledger;
use super::listing::{Cell, Column, Listing, tidy};
use super::replay_files::{self, Replayed};
use super::replay_ledger;
use super::simulate_files::claim;
use super::table_file::{self, Prices};
use crate::domain::strata::{Feature, STRATA_MAX, Strata};
use crate::simulation::figures::Summary;
use crate::simulation::replay::{Chooser, Pass, replay};
use crate::simulation::table::{CostBasis, Table, Tally};

/// What stands below its help.
pub(super) const EXAMPLES: &str = "\
Examples:
  oddsmaker replay table.csv.gz --shuffles 20
  oddsmaker replay table.csv --prices prices.csv --passes 10 --policy default tolerance=0.02 best_fixed
  oddsmaker replay table.csv --feature prompt_tokens:100,1000 --policy default features
  oddsmaker replay ledger.jsonl --models models.toml --policy default tolerance=0.03 always=openai/gpt-4o-mini
A table has every model's true outcome of every query. best_fixed, per_type and oracle know it beforehand, and say what is
possible; default and features learn from the answers they get, as the daemon does. A ledger is what `oddsmaker export` prints:
it has the outcomes of those that served, so where a policy takes another model nothing is known. Money is in USD.";

/// What `oddsmaker replay` can be told.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// Tables, as CSV, plain or gzipped: a row for each query and model with task_type, query_id, model and success, and where
    /// known dataset, cost_usd, prompt_tokens, completion_tokens and trial; other columns are ignored. Or what `oddsmaker export`
    /// printed of one ledger, in one file or several in order (a file that begins with `{`): every recorded decision is decided
    /// again at its time, and its outcome is known only where the policy takes the model that really served. A router that learns
    /// there is told of those calls alone, so it learns more slowly than a daemon would.
    #[arg(value_name = "TABLE|LEDGER", required = true)]
    pub(super) tables: Vec<PathBuf>,
    /// List prices for rows without cost: a CSV file with model, input_usd_per_mtok and output_usd_per_mtok.
    #[arg(long, value_name = "FILE")]
    pub(super) prices: Option<PathBuf>,
    /// Passes over each table, each in another order; lives of a router that goes through a ledger.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) shuffles: u32,
    /// Makes a pass so many times as long, drawing queries with replacement.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) passes: u32,
    /// A column that tells queries apart beforehand: a number with edges, such as prompt_tokens:100,1000, or a text with values,
    /// such as language=en,de. Used by the policy `features`.
    #[arg(long, value_name = "COLUMN:EDGES|COLUMN=VALUES", num_args = 1.., value_parser = parse_feature)]
    pub(super) feature: Vec<Feature>,
    /// Policies: default, features, tolerance=X, siblings=N, best_fixed, per_type, uniform, oracle, cheapest, dearest, always=MODEL
    /// [default: the first two, best_fixed, cheapest, uniform, per_type and oracle]. For a ledger: default (the task types' own
    /// settings, as recorded or as --models says), tolerance=X, cheapest, uniform, always=MODEL [default: the first, cheapest,
    /// uniform, and always= each model].
    #[arg(long, value_name = "NAME", num_args = 1.., value_parser = policy_name)]
    pub(super) policy: Vec<String>,
    /// For a ledger: policies decide only the decisions of this task type.
    #[arg(long, value_name = "NAME")]
    pub(super) task: Option<String>,
    /// Seed of orders and draws.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(super) seed: u64,
    /// Writes figures, passes of tables and a plot of quality against cost for each table or ledger to this folder.
    #[arg(long, value_name = "FOLDER")]
    pub(super) out: Option<PathBuf>,
}

const SHOWN: [&str; 7] = ["default", "features", "best_fixed", "cheapest", "uniform", "per_type", "oracle"];

const COLUMNS: [Column; 21] = [
    Column::text("dataset", "Table"),
    Column::text("policy", "Policy"),
    Column::number("shuffles", "Passes"),
    Column::number("queries", "Queries"),
    Column::number("success_rate", "Success"),
    Column::program("success_rate_low"),
    Column::program("success_rate_high"),
    Column::number("success_rate_last_fifth", "… last fifth"),
    Column::number("cost_usd_per_query", "USD a query"),
    Column::program("cost_usd_per_query_low"),
    Column::program("cost_usd_per_query_high"),
    Column::number("cost_per_success_usd", "USD a success"),
    Column::program("cost_per_success_usd_low"),
    Column::program("cost_per_success_usd_high"),
    Column::number("cost_per_success_usd_last_fifth", "… last fifth"),
    Column::number("cost_known_share", "Cost known"),
    Column::program("cost_basis"),
    Column::number("lost_to_best_fixed", "Successes lost to best fixed"),
    Column::program("lost_to_per_type"),
    Column::program("lost_to_oracle"),
    Column::text("model", "Model"),
];

/// Replays tables or a ledger with every policy and prints a row for each.
///
/// # Errors
/// A file cannot be used, a policy has no such name, or tables and ledgers are mixed.
pub(super) fn run(flags: &SettingFlags, args: &ReplayArgs, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    let ledgers = args.tables.iter().map(|path| is_ledger(path)).collect::<Result<Vec<bool>, _>>()?;
    match (ledgers.contains(&true), ledgers.contains(&false)) {
        (true, true) => {
            Err(Failure::Usage("tables and ledgers are replayed apart, since they tell other things".to_owned()))
        }
        (true, false) => replay_ledger::run(flags, args, format, out),
        (false, _) => run_tables(args, format, out),
    }
}

/// Replays every table. Intervals hold nine tenths of the passes.
fn run_tables(args: &ReplayArgs, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    if args.task.is_some() {
        return Err(Failure::Usage("--task is for ledgers; a table has rows of the task types wanted".to_owned()));
    }
    let prices = args.prices.as_deref().map(Prices::read).transpose()?.unwrap_or_default();
    let strata = Strata::new(args.feature.clone());
    let strata =
        Arc::new(strata.ok_or_else(|| Failure::Usage(format!("the features make more than {STRATA_MAX} strata")))?);
    let tables = args
        .tables
        .iter()
        .map(|path| table_file::read(path, &prices, &strata))
        .collect::<Result<Vec<_>, _>>()?
        .concat();
    let names: Vec<String> =
        if args.policy.is_empty() { SHOWN.map(str::to_owned).to_vec() } else { args.policy.clone() };
    args.out.as_deref().map_or(Ok(()), claim)?;
    let (mut listing, mut replayed, mut part_priced) = (Listing::new(&COLUMNS), Vec::new(), Vec::new());
    for table in &tables {
        let choosers = names.iter().filter_map(|name| match Chooser::named(name, table) {
            Some(chooser) => Some(Ok((name, chooser))),
            // Without costs nobody is the cheapest, without features nobody uses them; who did not ask for it need not know.
            None if args.policy.is_empty() => None,
            None => Some(Err(Failure::Usage(no_policy(name, table)))),
        });
        let choosers = choosers.collect::<Result<Vec<_>, _>>()?;
        let known = Known::of(table);
        for (name, chooser) in &choosers {
            let passes = replay(table, chooser, args.shuffles as usize, args.passes, args.seed, || ());
            listing.push(row(table, name, chooser, &passes, &known));
            if known_share(&passes).is_some_and(|share| share < 1.0) {
                part_priced.push(format!("{} ({})", printable(name), printable(&table.name)));
            }
            if args.out.is_some() {
                replayed.push(Replayed { dataset: table.name.clone(), policy: (*name).clone(), passes });
            }
        }
    }
    if let Some(folder) = &args.out {
        let said =
            json!({ "shuffles": args.shuffles, "passes": args.passes, "seed": args.seed, "tables": tables.len() });
        replay_files::write(folder, &said, &listing, &replayed)?;
    }
    listing.print(format, out)?;
    if format == Format::Table { legend(&tables, &part_priced, args, out) } else { Ok(()) }
}

/// Why there is no such policy for a table.
fn no_policy(name: &str, table: &Table) -> String {
    if let Some(model) = name.strip_prefix("always=") {
        return format!("`{name}`: no model `{model}` in {}; there are {}", table.name, table.models.join(", "));
    }
    format!(
        "no policy `{name}` for {}: there are {}, dearest, tolerance=X, siblings=N, always=MODEL",
        table.name,
        SHOWN.join(", ")
    )
}

/// A policy's name as rows have it; `always:MODEL`, as what-if questions spell it, means the same here.
#[expect(clippy::unnecessary_wraps, reason = "a parser of flags may fail")]
fn policy_name(text: &str) -> Result<String, String> {
    Ok(text.strip_prefix("always:").map_or_else(|| text.to_owned(), |model| format!("always={model}")))
}

/// What the figures mean, below them.
fn legend(tables: &[Table], part_priced: &[String], args: &ReplayArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let means = match args.shuffles {
        1 => "One pass, in an order of its own.".to_owned(),
        n => format!("Means of {n} passes, each in an order of its own."),
    };
    writeln!(out, "\n{means} Last fifth: when most is learned.")?;
    writeln!(
        out,
        "Successes lost to best fixed: a pass's successes below those of the model that is best over the whole table."
    )?;
    writeln!(
        out,
        "Success: successes ÷ queries. USD a query: cost ÷ queries of known cost. USD a success: the same cost ÷ their successes."
    )?;
    writeln!(out, "best_fixed, per_type and oracle know the table beforehand; a router cannot.")?;
    if !part_priced.is_empty() {
        writeln!(
            out,
            "Not every cost is known of {}: what is not is in no figure in USD, so compare these with no others (--prices prices \
             them).",
            part_priced.join(", ")
        )?;
    }
    for table in tables {
        for (model, lacking) in table.lacking() {
            writeln!(
                out,
                "{}: no row of {} for {} of {} queries: there it is not on offer, and a policy that takes it all the same passes on.",
                printable(&table.name),
                printable(&table.models[model]),
                count(lacking),
                count(table.queries.len() as u64)
            )?;
        }
    }
    for table in tables.iter().filter(|t| t.basis == CostBasis::InputAlone) {
        writeln!(out, "{}: costs are those of the prompts alone, since no row tells completion tokens.", table.name)?;
    }
    Ok(())
}

/// Columns that say what came of a query: nobody can go by them beforehand.
const OUTCOMES: [&str; 6] = ["success", "quality", "cost_usd", "completion_tokens", "latency_ms", "steps"];

/// `COLUMN:EDGE,EDGE` or `COLUMN=VALUE,VALUE`.
fn parse_feature(text: &str) -> Result<Feature, String> {
    let parts = text.find([':', '=']).map(|at| (&text[..at], text.as_bytes()[at], &text[at + 1..]));
    let Some((name, sign, list)) = parts.filter(|(name, _, list)| !name.is_empty() && !list.is_empty()) else {
        return Err("write COLUMN:EDGE,EDGE or COLUMN=VALUE,VALUE".to_owned());
    };
    if OUTCOMES.contains(&name) {
        return Err(format!("`{name}` is known only after the call"));
    }
    let items = list.split(',').map(str::trim);
    if sign == b'=' {
        return Ok(Feature::Label { key: name.to_owned(), values: items.map(str::to_owned).collect() });
    }
    let edges: Vec<f64> = items
        .map(|item| {
            item.parse().ok().filter(|edge: &f64| edge.is_finite()).ok_or_else(|| format!("`{item}` is no number"))
        })
        .collect::<Result<_, _>>()?;
    let rising = edges.windows(2).all(|pair| pair[0] < pair[1]);
    if rising { Ok(Feature::Number { name: name.to_owned(), edges }) } else { Err("edges must rise".to_owned()) }
}

/// Success rates of choices that know the table.
struct Known {
    best_fixed: f64,
    per_type: f64,
    oracle: f64,
}

impl Known {
    fn of(table: &Table) -> Self {
        let rate = |name: &str| {
            let chooser = Chooser::named(name, table);
            let passes = chooser.map(|c| replay(table, &c, 1, 1, 0, || ())).unwrap_or_default();
            passes.first().and_then(|p| p.all.success_rate()).unwrap_or(0.0)
        };
        Self { best_fixed: rate("best_fixed"), per_type: rate("per_type"), oracle: rate("oracle") }
    }
}

/// Mean share of the queries whose cost is known, in [0, 1]; `None` without passes.
fn known_share(passes: &[Pass]) -> Option<f64> {
    Summary::of(passes.iter().map(|p| (p.all.queries > 0).then(|| p.all.costed as f64 / p.all.queries as f64)))
        .mean
        .map(tidy)
}

/// To a tenth; what rounds to nothing has no sign.
fn tenths(x: f64) -> String {
    format!("{:.1}", (x * 10.0).round() / 10.0 + 0.0)
}

fn row(table: &Table, name: &str, chooser: &Chooser, passes: &[Pass], known: &Known) -> Vec<Cell> {
    let all = |of: &dyn Fn(&Tally) -> Option<f64>| Summary::of(passes.iter().map(|p| of(&p.all))).map(tidy);
    let last = |of: &dyn Fn(&Tally) -> Option<f64>| Summary::of(passes.iter().map(|p| of(&p.last_fifth))).map(tidy);
    let queries = passes.iter().map(|p| p.all.queries).sum::<u64>() / passes.len().max(1) as u64;
    let success = all(&Tally::success_rate);
    let (cost, per_success) = (all(&Tally::cost_usd_per_query), all(&Tally::cost_per_success_usd));
    let known_cost = known_share(passes);
    let lost = |best: f64| success.mean.map(|rate| tidy((best - rate) * queries as f64));
    let model = match chooser {
        Chooser::Fixed(model) => table.models[*model].clone(),
        _ => String::new(),
    };
    let rate = |x: Option<f64>| Cell::shown(x, x.map_or_else(|| "–".to_owned(), |x| format!("{x:.4}")));
    let usd = |x: Option<f64>| Cell::shown(x, x.map_or_else(|| "–".to_owned(), short_usd));
    let number = |x: Option<f64>| Cell::shown(x, x.map_or_else(|| "–".to_owned(), tenths));
    vec![
        table.name.clone().into(),
        name.into(),
        passes.len().into(),
        queries.into(),
        rate(success.mean),
        success.low.into(),
        success.high.into(),
        rate(last(&Tally::success_rate).mean),
        usd(cost.mean),
        cost.low.into(),
        cost.high.into(),
        usd(per_success.mean),
        per_success.low.into(),
        per_success.high.into(),
        usd(last(&Tally::cost_per_success_usd).mean),
        Cell::shown(known_cost, known_cost.map_or_else(String::new, percent)),
        match table.basis {
            CostBasis::Whole => "whole",
            CostBasis::InputAlone => "input_alone",
        }
        .into(),
        number(lost(known.best_fixed)),
        number(lost(known.per_type)),
        number(lost(known.oracle)),
        model.into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rounds_to_nothing_has_no_sign() {
        for (x, text) in [(-0.04, "0.0"), (-0.0, "0.0"), (-0.06, "-0.1"), (12.34, "12.3")] {
            assert_eq!(tenths(x), text);
        }
    }

    #[test]
    fn a_column_that_says_what_came_of_a_query_is_no_feature() {
        for column in OUTCOMES {
            for text in [format!("{column}:1,2"), format!("{column}=1,2")] {
                let expected = format!("`{column}` is known only after the call");
                assert_eq!(parse_feature(&text).unwrap_err(), expected, "{text}");
            }
        }
        let edges = Feature::Number { name: "prompt_tokens".to_owned(), edges: vec![100.0, 2_000.0] };
        assert_eq!(parse_feature("prompt_tokens:100, 2000"), Ok(edges));
        let values = vec!["de".to_owned(), "en".to_owned()];
        assert_eq!(parse_feature("language=de,en"), Ok(Feature::Label { key: "language".to_owned(), values }));
        for wrong in ["", "language", ":1", "n:", "n:2,1", "n:inf", "n:x"] {
            assert!(parse_feature(wrong).is_err(), "{wrong}");
        }
    }
}
