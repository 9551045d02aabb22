//! A table of true outcomes: what every model makes of every query. It says what fixed choices and the ones that know all
//! outcomes achieve; it refuses to know files and how a router learns.

use std::sync::Arc;

use crate::domain::money::NANO_PER_USD;
use crate::domain::strata::{Strata, Stratum};

/// What a model truly makes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    /// It succeeds.
    pub success: bool,
    /// What it costs in nano-USD; `None`: not known.
    pub cost_nano: Option<u64>,
    /// What could be expected beforehand, by the query's own length at list price; `None`: nothing.
    pub estimate_nano: Option<u64>,
}

/// One query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Place of its task type among those of the table.
    pub task: usize,
    /// What its features make of it; `NONE`: it has none.
    pub stratum: Stratum,
    /// What each model makes of it, in the table's order; `None`: nobody tried.
    pub truths: Vec<Option<Truth>>,
}

/// What the costs of a table are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CostBasis {
    /// Whole calls, as recorded or priced by their tokens.
    #[default]
    Whole,
    /// Rows without cost are priced by their input tokens: the table tells of no output.
    InputAlone,
}

/// Queries, and the names in them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// What it is called.
    pub name: String,
    /// What its costs are made of.
    pub basis: CostBasis,
    /// Task types.
    pub tasks: Vec<String>,
    /// Models.
    pub models: Vec<String>,
    /// Queries.
    pub queries: Vec<Query>,
    /// What their strata are made of; empty: they have none.
    pub strata: Arc<Strata>,
}

/// What some choices came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Queries.
    pub queries: u64,
    /// Of them successes.
    pub successes: u64,
    /// Queries of known cost.
    pub costed: u64,
    /// Of them successes.
    pub costed_successes: u64,
    /// What those cost.
    pub cost_nano: u128,
}

impl Tally {
    /// Adds the outcome of one choice.
    pub fn add(&mut self, truth: Truth) {
        self.queries += 1;
        self.successes += u64::from(truth.success);
        if let Some(cost) = truth.cost_nano {
            self.costed += 1;
            self.costed_successes += u64::from(truth.success);
            self.cost_nano += u128::from(cost);
        }
    }

    /// Successes ÷ queries, in [0, 1]; `None` without queries.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        (self.queries > 0).then(|| self.successes as f64 / self.queries as f64)
    }

    /// Mean known cost of a query in USD; `None` where no cost is known.
    #[must_use]
    pub fn cost_usd_per_query(&self) -> Option<f64> {
        (self.costed > 0).then(|| self.cost_nano as f64 / NANO_PER_USD as f64 / self.costed as f64)
    }

    /// Known cost ÷ successes of known cost, in USD; `None` without such a success.
    #[must_use]
    pub fn cost_per_success_usd(&self) -> Option<f64> {
        (self.costed_successes > 0).then(|| self.cost_nano as f64 / NANO_PER_USD as f64 / self.costed_successes as f64)
    }
}

/// A model that tried at least this share of the queries can be compared with others.
const COVERED: f64 = 0.9;

impl Table {
    /// What always taking `model` comes to over the queries of `task` (`None`: all) that it tried.
    #[must_use]
    pub fn fixed(&self, model: usize, task: Option<usize>) -> Tally {
        let mut tally = Tally::default();
        self.of(task).filter_map(|q| q.truths[model]).for_each(|truth| tally.add(truth));
        tally
    }

    /// Models that some queries lack, each with how many.
    pub fn lacking(&self) -> impl Iterator<Item = (usize, u64)> {
        let lacking = |model: usize| self.queries.iter().filter(|q| q.truths[model].is_none()).count() as u64;
        (0..self.models.len()).map(move |model| (model, lacking(model))).filter(|(_, n)| *n > 0)
    }

    fn of(&self, task: Option<usize>) -> impl Iterator<Item = &Query> {
        self.queries.iter().filter(move |q| task.is_none_or(|task| q.task == task))
    }

    /// Models that tried nearly all queries of `task`, with what always taking each comes to; all models where none did.
    fn comparable(&self, task: Option<usize>) -> Vec<(usize, Tally)> {
        let queries = self.of(task).count();
        let all: Vec<(usize, Tally)> = (0..self.models.len()).map(|m| (m, self.fixed(m, task))).collect();
        let covers = |t: &Tally| t.queries as f64 >= COVERED * queries as f64;
        if all.iter().any(|(_, t)| covers(t)) { all.into_iter().filter(|(_, t)| covers(t)).collect() } else { all }
    }

    /// The model with the highest success rate at `task` (`None`: over all); the cheaper one where two have the same.
    #[must_use]
    pub fn best(&self, task: Option<usize>) -> Option<usize> {
        let cost = |t: &Tally| t.cost_usd_per_query().unwrap_or(f64::INFINITY);
        let rate = |t: &Tally| t.success_rate().unwrap_or(0.0);
        let better = |a: &Tally, b: &Tally| rate(a).total_cmp(&rate(b)).then(cost(b).total_cmp(&cost(a)));
        self.comparable(task)
            .into_iter()
            .reduce(|best, next| if better(&next.1, &best.1).is_gt() { next } else { best })
            .map(|b| b.0)
    }

    /// The model with the lowest (or highest) mean known cost.
    #[must_use]
    pub fn by_cost(&self, dearest: bool) -> Option<usize> {
        let costs = self.comparable(None).into_iter().filter_map(|(m, t)| Some((m, t.cost_usd_per_query()?)));
        let wins = |a: f64, b: f64| if dearest { a > b } else { a < b };
        costs.reduce(|best, next| if wins(next.1, best.1) { next } else { best }).map(|b| b.0)
    }

    /// The cheapest model that succeeds at `query`; the cheapest of all where none does. An unknown cost is dearest.
    #[must_use]
    pub fn oracle(query: &Query) -> Option<usize> {
        let tried = query.truths.iter().enumerate().filter_map(|(m, t)| Some((m, (*t)?)));
        tried.min_by_key(|(m, t)| (!t.success, t.cost_nano.unwrap_or(u64::MAX), *m)).map(|(m, _)| m)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::simulation) fn truth(success: bool, cost_nano: u64) -> Option<Truth> {
        Some(Truth { success, cost_nano: Some(cost_nano), estimate_nano: None })
    }

    /// Two task types, a dear model that is good at both and a cheap one that is good at the first.
    pub(in crate::simulation) fn small() -> Table {
        let query = |n: u64| {
            let task = (n % 2) as usize;
            let dear = !n.is_multiple_of(20);
            let cheap = if task == 0 { dear } else { n.is_multiple_of(3) };
            Query { task, stratum: Stratum::NONE, truths: vec![truth(dear, 1_000), truth(cheap, 10)] }
        };
        Table {
            name: "small".to_owned(),
            basis: CostBasis::Whole,
            tasks: vec!["easy".to_owned(), "hard".to_owned()],
            models: vec!["dear".to_owned(), "cheap".to_owned()],
            queries: (0..600).map(query).collect(),
            strata: Default::default(),
        }
    }

    #[test]
    fn fixed_choices_and_those_that_know_all_are_told() {
        let table = small();
        let dear = table.fixed(0, None);
        assert_eq!((dear.queries, dear.successes, dear.cost_nano), (600, 570, 600_000));
        assert_eq!(table.fixed(1, Some(1)).successes, 100);
        assert_eq!(
            (table.best(None), table.best(Some(0)), table.by_cost(true), table.by_cost(false)),
            (Some(0), Some(1), Some(0), Some(1))
        );
        assert!((dear.cost_per_success_usd().unwrap() - 600_000e-9 / 570.0).abs() < 1e-15);
        let chosen: Vec<usize> = table.queries[..4].iter().filter_map(Table::oracle).collect();
        assert_eq!(chosen, [1, 0, 1, 1], "0: nobody succeeds, 1: only the dear one");
    }

    #[test]
    fn an_unknown_cost_is_left_out_of_means_and_a_model_hardly_tried_is_not_best() {
        let mut table = small();
        table.queries[0].truths[0] = Some(Truth { success: true, cost_nano: None, estimate_nano: None });
        let dear = table.fixed(0, None);
        assert_eq!((dear.queries, dear.successes, dear.costed, dear.costed_successes), (600, 571, 599, 570));
        table.models.push("seldom".to_owned());
        for (n, query) in table.queries.iter_mut().enumerate() {
            query.truths.push(if n < 10 { truth(true, 1) } else { None });
        }
        assert_eq!(table.best(None), Some(0));
    }
}
