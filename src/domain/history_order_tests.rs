//! What the order of arrival does to weights: the figures of ARCHITECTURE.md, and that dates far back do no harm.

use rand::RngExt as _;

use super::*;
use crate::domain::draw::decision_rng;
use crate::domain::time::DAY_MS;

fn lesson(call: u64, at: i64, success: bool) -> Lesson {
    let reward_micro = if success { 1_000_000 } else { 0 };
    let (call, at) = (CallNo(call), UnixMillis(at));
    Lesson { call, at, number: 0, reward_micro, success, stratum: Stratum::NONE, source: NameId::NONE }
}

/// What is told of 2,000 calls in 60 days: at which moment, and what. They succeed nine times in ten, in the last 15 days six.
fn told(seed: u64, arrives: impl Fn(i64, f64) -> i64) -> Vec<(i64, Lesson)> {
    let mut rng = decision_rng(seed, 3);
    let one = |call: u64| {
        let at = call as i64 * 60 * DAY_MS / 2_000;
        let won = rng.random::<f64>() < if at < 45 * DAY_MS { 0.9 } else { 0.6 };
        (arrives(at, rng.random()), lesson(call, at, won))
    };
    (1..=2_000).map(one).collect()
}

/// Weight and share of successes at the end of the 60 days.
fn weighed_in(order: &mut [(i64, Lesson)], key: impl Fn(&(i64, Lesson)) -> i64, memory: &Memory) -> (f64, f64) {
    order.sort_by_key(key);
    let mut history = History::default();
    for (number, (_, lesson)) in (0..).zip(order.iter()) {
        history.change(&Lesson { number, ..*lesson }, true);
    }
    let (won, lost) = history.weighed(memory, UnixMillis(60 * DAY_MS), order.len() as u64);
    (won + lost, won / (won + lost))
}

/// How far weight (as a part of it) and share of successes are moved at most in 50 runs, by arrival against the order of calls.
fn moved(memory: &Memory, arrives: impl Fn(i64, f64) -> i64) -> (f64, f64) {
    let runs = (0..50).map(|seed| {
        let mut all = told(seed, &arrives);
        let late = weighed_in(&mut all, |(arrives, _)| *arrives, memory);
        let at_once = weighed_in(&mut all, |(_, lesson)| lesson.at.0, memory);
        ((late.0 / at_once.0 - 1.0).abs(), (late.1 - at_once.1).abs())
    });
    runs.fold((0.0, 0.0), |worst: (f64, f64), run| (worst.0.max(run.0), worst.1.max(run.1)))
}

#[test]
fn the_order_of_arrival_moves_weights_by_no_more_than_the_documentation_says() {
    let week = Memory { half_life_ms: 7 * DAY_MS, ..Memory::default() };
    let outcomes = Memory { half_life_outcomes: 250, ..Memory::default() };
    let after = |mean_ms: i64| move |at: i64, chance: f64| at + (-(1.0 - chance).ln() * mean_ms as f64) as i64;
    let shuffled = |_: i64, chance: f64| (chance * 1e9) as i64;
    let within = |what: &str, (weight, share): (f64, f64), most: (f64, f64)| {
        assert!(weight <= most.0 && share <= most.1, "{what}: {weight:.4} of the weight, {share:.4} of the share");
    };
    within("a day late", moved(&week, after(DAY_MS)), (0.000_1, 0.002));
    within("a week late", moved(&week, after(7 * DAY_MS)), (0.000_5, 0.005));
    within("shuffled", moved(&week, shuffled), (0.002, 0.2));
    within("a day late, by outcomes", moved(&outcomes, after(DAY_MS)), (0.09, 0.002_1));
    within("shuffled, by outcomes", moved(&outcomes, shuffled), (1.0, 0.2));
}

#[test]
fn an_outcome_dated_far_back_makes_nothing_before_it_older() {
    let memory = Memory { half_life_ms: 7 * DAY_MS, ..Memory::default() };
    let weight = |dated_back: bool| {
        let mut history = History::default();
        for (number, (_, mut lesson)) in (0..).zip(told(1, |at, _| at)) {
            if dated_back && number % 100 == 50 {
                lesson.at = UnixMillis(0);
            }
            history.change(&Lesson { number, ..lesson }, true);
        }
        let (won, lost) = history.weighed(&memory, UnixMillis(60 * DAY_MS), 2_000);
        won + lost
    };
    let (dated_back, in_time) = (weight(true), weight(false));
    assert!((dated_back / in_time - 1.0).abs() < 0.001, "{dated_back} instead of {in_time}");
}

/// The first block is no other than those behind it.
#[test]
fn an_outcome_dated_far_back_makes_nothing_before_it_older_among_the_first() {
    let now = UnixMillis(60 * DAY_MS);
    let mut history = History::default();
    for call in 1..=9 {
        history.change(&lesson(call, now.0, true), true);
    }
    history.change(&lesson(10, 0, true), true);
    let memory = Memory { half_life_ms: 7 * DAY_MS, ..Memory::default() };
    let (won, lost) = history.weighed(&memory, now, 10);
    assert!((9.0..=10.0).contains(&won) && lost == 0.0, "{won} of ten successes, nine of them told just now");
}

/// A cell is stored without what its history was before a reset, and a restart must not change what it learns next.
#[test]
fn an_emptied_history_is_as_one_that_never_was() {
    let mut history = History::default();
    (1..=9).for_each(|call| history.change(&lesson(call, 60 * DAY_MS, true), true));
    history.keep_from(CallNo(10));
    assert_eq!(history, History::default());
    history.change(&lesson(10, 50 * DAY_MS, true), true);
    assert_eq!(history.blocks()[0].since, UnixMillis(50 * DAY_MS));
}
