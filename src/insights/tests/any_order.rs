//! Late and amended truth: the report is what it would be had everything been known at once, in whatever order it came.

use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use crate::domain::call::CallRef;
use crate::domain::draw::decision_rng;
use crate::domain::money::NanoUsd;
use crate::domain::names::{Labels, NameKind};
use crate::domain::outcome::{DecisionRef, OutcomeOf, OutcomeReport};
use crate::domain::request::PolicyRequest;
use crate::domain::time::MINUTE_MS;
use crate::engine::{AmendAddress, Amendment};
use crate::insights::tests_support::{NOON, World, asks, correction, hours_back, key, outcome, verdict};
use crate::insights::{Query, Report};

/// What is told of one decision, first to last.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub first: OutcomeReport,
    /// Fallbacks and quality checks of the same decision.
    pub others: Vec<OutcomeReport>,
    pub corrections: Vec<Amendment>,
}

/// The same decisions in every world: goals of a few steps, some calls without a goal.
pub(super) fn decide_all(world: &mut World, many: u64) -> Vec<(DecisionRef, String)> {
    let decide = |n: u64| {
        let goal = if n % 5 == 4 { String::new() } else { format!("goal {}", n % 7) };
        let task = if n.is_multiple_of(3) { "tickets" } else { "summaries" };
        let request = PolicyRequest {
            goal_id: goal,
            step: ["classify", "search", ""][(n % 3) as usize].to_owned(),
            workflow: ["support", "sales"][(n % 2) as usize].to_owned(),
            fallback_allowed: n.is_multiple_of(4),
            ..asks(task)
        };
        world.now = NOON.plus_ms(n as i64 * MINUTE_MS);
        let decided = world.decide(&request);
        let model = world.engine.state.names.text(NameKind::Candidate, decided.candidate);
        (decided, model.to_owned())
    };
    (0..many).map(decide).collect()
}

pub(super) fn random_story(
    rng: &mut impl rand::Rng,
    n: u64,
    (decision, decided): &(DecisionRef, String),
    now_minutes: i64,
) -> Story {
    let mut first = outcome(OutcomeOf::Decision(*decision));
    first.key = Some(key(n));
    first.verdict = rng.random_bool(0.8).then(|| verdict(rng.random_bool(0.6)));
    first.cost = rng.random_bool(0.7).then(|| NanoUsd(rng.random_range(1..50_000_000)));
    first.latency_ms = rng.random_bool(0.8).then(|| rng.random_range(1..9_000));
    first.evaluation = rng.random_bool(0.05);
    first.occurred_at = rng.random_bool(0.5).then(|| NOON.plus_ms(rng.random_range(0..now_minutes) * MINUTE_MS));
    if rng.random_bool(0.15) {
        first.model_served = ["mystery/model", "another/one", "openai/gpt-4o-mini"][rng.random_range(0..3)].to_owned();
    }
    if rng.random_bool(0.3) {
        first.labels = Labels::from([("team".to_owned(), format!("t{}", rng.random_range(0..4)))]);
        first.tool = ["", "crm", "web"][rng.random_range(0..3)].to_owned();
    }
    let correct = |rng: &mut _| {
        let rng: &mut dyn rand::Rng = rng;
        let mut amendment = correction(decision.number);
        amendment.success = rng.random_bool(0.7).then(|| rng.random_bool(0.5));
        amendment.cost = rng.random_bool(0.5).then(|| NanoUsd(rng.random_range(1..50_000_000)));
        amendment
    };
    let corrections = (0..[0, 0, 1, 2][rng.random_range(0..4)]).map(|_| correct(&mut *rng)).collect();
    let other = |i: u64| {
        let mut other = OutcomeReport { key: Some(key(1_000 * (i + 1) + n)), body: rng.random(), ..first.clone() };
        other.model_served =
            ["openai/gpt-4o", "openai/gpt-4o-mini", "mystery/model"][rng.random_range(0..3)].to_owned();
        other.verdict = Some(verdict(rng.random_bool(0.6)));
        other.cost = Some(NanoUsd(rng.random_range(1..50_000_000)));
        other.evaluation = rng.random_bool(0.2);
        other
    };
    let others: Vec<OutcomeReport> = (0..[0, 0, 1, 2][(n % 4) as usize]).map(other).collect();
    // Told again without its key it would be another model's call; the decided model's own is told once.
    let others = others.into_iter().filter(|o| o.evaluation || o.model_served != *decided).collect();
    Story { first, others, corrections }
}

pub(super) const DECISIONS: u64 = 80;
pub(super) const NOW_MINUTES: i64 = 100;

/// A report of everything after the `stories` were told in the order of `turns`: a decision's number for each thing told.
fn told(stories: &[Story], turns: &[(usize, Option<usize>)]) -> Report {
    let mut world = World::new();
    decide_all(&mut world, DECISIONS);
    world.now = NOON.plus_ms(NOW_MINUTES * MINUTE_MS);
    let (mut next, mut firsts) = (vec![0; stories.len()], vec![None; stories.len()]);
    for &(turn, other) in turns {
        let story = &stories[turn];
        if let Some(other) = other {
            world.record(&story.others[other]);
            continue;
        }
        match next[turn] {
            0 => firsts[turn] = Some(world.record(&story.first)),
            later => {
                let address = AmendAddress::Call(CallRef { number: firsts[turn].unwrap(), ..CallRef::default() });
                world.amend(&Amendment { address, ..story.corrections[later - 1].clone() });
            }
        }
        next[turn] += 1;
    }
    world.report(&Query { include_cost_breakdown: true, compare_previous: true, ..hours_back(1) })
}

/// A story's number for each thing told of it in turn, or for one of its other calls.
pub(super) fn turns(stories: &[Story]) -> Vec<(usize, Option<usize>)> {
    let things = |(i, story): (usize, &Story)| {
        let others = (0..story.others.len()).map(move |other| (i, Some(other)));
        vec![(i, None); 1 + story.corrections.len()].into_iter().chain(others).collect::<Vec<_>>()
    };
    stories.iter().enumerate().flat_map(things).collect()
}

#[test]
fn the_order_in_which_truth_arrives_leaves_no_trace() {
    for seed in 0..12 {
        println!("seed {seed}");
        let mut rng = decision_rng(seed, 1);
        let decisions = decide_all(&mut World::new(), DECISIONS);
        let stories: Vec<Story> =
            (0..).zip(&decisions).map(|(n, d)| random_story(&mut rng, n, d, NOW_MINUTES)).collect();
        let mut order = turns(&stories);
        let straight = told(&stories, &order);
        assert!(
            straight.headline.retries > 0 && straight.headline.calls > 20,
            "the case is worth telling: {straight:?}"
        );
        for _ in 0..3 {
            order.shuffle(&mut rng);
            assert_eq!(told(&stories, &order), straight, "seed {seed}, order {order:?}");
        }
    }
}

#[test]
fn amended_truth_is_truth_known_at_once() {
    for seed in 100..112 {
        println!("seed {seed}");
        let mut rng = decision_rng(seed, 1);
        let decisions = decide_all(&mut World::new(), DECISIONS);
        let stories: Vec<Story> =
            (0..).zip(&decisions).map(|(n, d)| random_story(&mut rng, n, d, NOW_MINUTES)).collect();
        let known: Vec<Story> = stories.iter().map(known_at_once).collect();
        let mut late = turns(&stories);
        late.shuffle(&mut rng);
        assert_eq!(told(&stories, &late), told(&known, &turns(&known)), "seed {seed}");
    }
}

/// The story with its corrections told with the first report.
pub(super) fn known_at_once(story: &Story) -> Story {
    let mut first = story.first.clone();
    for correction in &story.corrections {
        first.verdict = correction.success.map(verdict).or(first.verdict);
        first.cost = correction.cost.or(first.cost);
    }
    Story { first, corrections: Vec::new(), ..story.clone() }
}
