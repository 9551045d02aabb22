//! A table of true outcomes, query by query in a shuffled order: a policy chooses, and only the chosen model's outcome is
//! told to it. It refuses to know files and how results are shown.

use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use super::learner::Learner;
use super::runner::replicate;
use super::table::{Query, Table, Tally};
use crate::domain::catalog::{Prior, TaskSettings};
use crate::domain::draw::{DecisionRng, decision_rng};
use crate::domain::strata::Stratum;

/// Who chooses.
#[derive(Clone, Debug)]
pub enum Chooser {
    /// The router: one learner a task type, with these settings.
    Router(Box<TaskSettings>),
    /// Always this model.
    Fixed(usize),
    /// This model for each task type.
    PerType(Vec<usize>),
    /// Any model that tried the query.
    Uniform,
    /// The cheapest model that succeeds.
    Oracle,
}

impl Chooser {
    /// The policy of that name for `table`; `None`: there is none of that name, or the table has no such model.
    ///
    /// `default` and `shipped`: the router as shipped; `features`: the same with the features of the table, if it has any; `tolerance=X`; `siblings=N`: as shipped, with a prior of at most N
    /// outcomes from the model's other task types; `best_fixed`, `cheapest`, `dearest`, `always=MODEL`; `per_type`: the best
    /// model of each task type; `uniform`; `oracle`.
    #[must_use]
    pub fn named(name: &str, table: &Table) -> Option<Self> {
        let router = |settings| Self::Router(Box::new(settings));
        let shipped = TaskSettings::default();
        match name.split_once('=') {
            Some(("tolerance", text)) => {
                let tolerance = text.parse().ok().filter(|t| (0.0..=1.0).contains(t))?;
                Some(router(TaskSettings { tolerance, ..shipped }))
            }
            Some(("siblings", text)) => {
                let sibling_prior = text.parse().ok()?;
                Some(router(TaskSettings { sibling_prior, ..shipped }))
            }
            Some(("always", model)) => table.models.iter().position(|m| m == model).map(Self::Fixed),
            Some(_) => None,
            None => match name {
                "default" | "shipped" => Some(router(shipped)),
                "features" => {
                    (!table.strata.is_empty()).then(|| router(TaskSettings { strata: table.strata.clone(), ..shipped }))
                }
                "best_fixed" => table.best(None).map(Self::Fixed),
                "cheapest" => table.by_cost(false).map(Self::Fixed),
                "dearest" => table.by_cost(true).map(Self::Fixed),
                "per_type" => {
                    (0..table.tasks.len()).map(|t| table.best(Some(t))).collect::<Option<_>>().map(Self::PerType)
                }
                "uniform" => Some(Self::Uniform),
                "oracle" => Some(Self::Oracle),
                _ => None,
            },
        }
    }
}

/// What one pass came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// The whole pass.
    pub all: Tally,
    /// Its last fifth, when most is learned.
    pub last_fifth: Tally,
}

/// `shuffles` passes over `table`. With `passes` above 1 a pass has that many times the table's queries, drawn with
/// replacement; else each query comes once.
#[must_use]
pub fn replay(
    table: &Table,
    chooser: &Chooser,
    shuffles: usize,
    passes: u32,
    seed: u64,
    done: impl Fn() + Sync,
) -> Vec<Pass> {
    replicate(shuffles, |shuffle| one(table, chooser, shuffle as u64, passes, seed), done)
}

fn one(table: &Table, chooser: &Chooser, shuffle: u64, passes: u32, seed: u64) -> Pass {
    let mut order = decision_rng(seed, shuffle);
    let queries = shuffled(&table.queries, passes, &mut order);
    let mut routers = match chooser {
        Chooser::Router(settings) => {
            vec![Learner::new((**settings).clone(), &vec![None; table.models.len()]); table.tasks.len()]
        }
        _ => Vec::new(),
    };
    let has_features = matches!(chooser, Chooser::Router(settings) if !settings.strata.is_empty());
    let siblings = if let Chooser::Router(settings) = chooser { settings.sibling_prior } else { 0 };
    let mut pass = Pass::default();
    let draws = seed ^ shuffle.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for (step, query) in queries.iter().enumerate() {
        let mut rng = decision_rng(draws, step as u64);
        let stratum = if has_features { query.stratum } else { Stratum::NONE };
        if siblings > 0 {
            learn_from_siblings(&mut routers, query);
        }
        let offer = |m: usize| query.truths[m].map(|t| t.estimate_nano);
        let model = match chooser {
            Chooser::Router(_) => routers[query.task].decide(step as u64, stratum, &mut rng, offer),
            Chooser::Fixed(model) => Some(*model),
            Chooser::PerType(models) => Some(models[query.task]),
            Chooser::Uniform => any(query, &mut rng),
            Chooser::Oracle => Table::oracle(query),
        };
        let Some((model, truth)) = model.and_then(|m| Some((m, query.truths[m]?))) else { continue };
        pass.all.add(truth);
        if step * 5 >= queries.len() * 4 {
            pass.last_fifth.add(truth);
        }
        if let Some(router) = routers.get_mut(query.task) {
            router.pay(model, truth.cost_nano);
            router.tell(step as u64, stratum, model, truth.success);
        }
    }
    pass
}

fn shuffled<'a>(queries: &'a [Query], passes: u32, rng: &mut DecisionRng) -> Vec<&'a Query> {
    if passes <= 1 || queries.is_empty() {
        let mut all: Vec<&Query> = queries.iter().collect();
        all.shuffle(rng);
        return all;
    }
    (0..queries.len() * passes as usize).map(|_| &queries[rng.random_range(0..queries.len())]).collect()
}

fn any(query: &Query, rng: &mut DecisionRng) -> Option<usize> {
    let tried: Vec<usize> = (0..query.truths.len()).filter(|m| query.truths[*m].is_some()).collect();
    (!tried.is_empty()).then(|| tried[rng.random_range(0..tried.len())])
}

/// Brings the priors of the query's task type up to date with what the models did at the others.
fn learn_from_siblings(routers: &mut [Learner], query: &Query) {
    for model in 0..query.truths.len() {
        let others = routers.iter().enumerate().filter(|(task, _)| *task != query.task);
        let prior = routers[query.task].prior_beside(Prior::default(), others.map(|(_, l)| l.cell(model)));
        routers[query.task].set_prior(model, prior);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::table::tests::{small, truth};
    use super::*;
    use crate::domain::strata::{Feature, Strata};

    fn passes(name: &str, shuffles: usize, passes: u32) -> Vec<Pass> {
        let table = small();
        replay(&table, &Chooser::named(name, &table).unwrap(), shuffles, passes, 5, || ())
    }

    #[test]
    fn fixed_policies_achieve_what_the_table_says_in_every_order() {
        let table = small();
        for pass in passes("best_fixed", 3, 1) {
            assert_eq!(pass.all, table.fixed(0, None));
            assert_eq!(pass.last_fifth.queries, 120);
        }
        let oracle = passes("oracle", 1, 1)[0].all;
        assert!(oracle.successes >= 570 && oracle.cost_nano < 600_000);
        let uniform: u64 = passes("uniform", 20, 1).iter().map(|p| p.all.successes).sum();
        let expected = (570 + 270 + 100) as f64 / 2.0;
        assert!((uniform as f64 / 20.0 - expected).abs() < 15.0, "{uniform}");
    }

    #[test]
    fn the_router_learns_and_the_same_seed_gives_the_same_passes() {
        let router = passes("tolerance=0.1", 10, 10);
        assert_eq!(router, passes("tolerance=0.1", 10, 10));
        for pass in &router {
            // Both do 0.90 at the easy half; 0.33 and 1 are not within the tolerance at the hard one.
            assert!(pass.last_fifth.success_rate().unwrap() > 0.90, "{pass:?}");
            assert!(pass.last_fifth.cost_usd_per_query().unwrap() < 0.65e-6, "{pass:?}");
            assert_eq!(pass.all.queries, 6_000);
        }
    }

    #[test]
    fn a_feature_that_tells_which_model_will_do_is_used_and_one_that_tells_nothing_does_no_harm() {
        let mut table = small();
        let feature = |edges: &[f64]| Feature::Number { name: "n".to_owned(), edges: edges.to_vec() };
        table.strata = Arc::new(Strata::new(vec![feature(&[0.5])]).unwrap());
        let strata: Vec<Stratum> = table.strata.all().iter().map(|s| s.0).collect();
        // The cheap model does every third query of the hard half, the dear one all others of it.
        let success = |table: &mut Table, of: &dyn Fn(usize) -> usize| {
            for (n, query) in table.queries.iter_mut().enumerate() {
                query.stratum = strata[of(n)];
                if query.task == 1 && n.is_multiple_of(3) {
                    query.truths[0] = truth(false, 1_000);
                }
            }
            let rate = |name: &str| {
                let passes = replay(table, &Chooser::named(name, table).unwrap(), 10, 5, 5, || ());
                passes.iter().map(|p| p.all.success_rate().unwrap()).sum::<f64>() / 10.0
            };
            (rate("features"), rate("tolerance=0.01"))
        };
        let (with, without) = success(&mut table, &|n| usize::from(n.is_multiple_of(3)));
        assert!(with > without + 0.1, "{with} against {without}");
        let (with, without) = success(&mut table, &|n| usize::from(n.is_multiple_of(7)));
        assert!((with - without).abs() < 0.01, "{with} against {without}");
    }

    #[test]
    fn names_are_checked() {
        let table = small();
        for name in ["tolerance=2", "tolerance=x", "always=nobody", "nobody", "features", "siblings=-1"] {
            assert!(Chooser::named(name, &table).is_none(), "{name}");
        }
        for name in ["default", "shipped", "siblings=20", "always=cheap", "cheapest", "dearest", "per_type"] {
            assert!(Chooser::named(name, &table).is_some(), "{name}");
        }
    }
}
