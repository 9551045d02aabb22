//! Late and amended truth about goals: closings, corrections, re-openings and goals below goals, between outcomes that
//! arrive in any order. The report is the same, and the sums are those of the goals as they stand.

use std::collections::HashMap;

use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use super::any_order::{DECISIONS, NOW_MINUTES, Story, decide_all, known_at_once, random_story, turns};
use crate::domain::call::CallRef;
use crate::domain::catalog::TaskSettings;
use crate::domain::draw::decision_rng;
use crate::domain::goal::GoalState;
use crate::domain::goal_tally::{GoalKey, GoalTally};
use crate::domain::outcome::QualityMicro;
use crate::domain::pricing::Usage;
use crate::domain::request_goal::{CompleteGoal, StartGoal};
use crate::domain::series::Additive as _;
use crate::domain::time::{HOUR_MS, MINUTE_MS, UnixMillis};
use crate::engine::AmendAddress;
use crate::insights::tests_support::{NOON, World, hours_back};
use crate::insights::{Query, Report};

/// What happens to a goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Close(GoalState, Option<u32>),
    Correct(GoalState, &'static str),
    ComeBack,
}

/// One thing that happens: something told of a decision, or the next act.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Told(usize, Option<usize>),
    Act,
}

/// What happens to the seven goals, in order: some stay open.
fn random_acts(rng: &mut impl rand::Rng) -> Vec<(u64, Act)> {
    let state = |rng: &mut _| {
        let rng: &mut dyn rand::Rng = rng;
        GoalState::ALL[rng.random_range(0..GoalState::ALL.len())]
    };
    let mut acts = Vec::new();
    for goal in 0..7 {
        let mut closed = false;
        for _ in 0..rng.random_range(0..6) {
            let act = match (closed, rng.random_range(0..3)) {
                (false, _) => Act::Close(state(rng), rng.random_bool(0.5).then(|| rng.random_range(0..=1_000_000))),
                (true, 0) => Act::ComeBack,
                (true, n) => Act::Correct(state(rng), ["", "audit:ada"][n as usize - 1]),
            };
            closed = act != Act::ComeBack;
            acts.push((goal, act));
        }
    }
    acts
}

fn do_act(world: &mut World, goal: u64, act: Act) {
    let goal_id = format!("goal {goal}");
    match act {
        Act::Close(state, score) => {
            let score = score.map(QualityMicro);
            let (note, by, key) = (String::new(), String::new(), None);
            world.complete_with(&CompleteGoal { goal_id, state, score, note, by, occurred_at: None, key });
        }
        Act::Correct(state, by) => world.correct_goal(&goal_id, state, by),
        Act::ComeBack => world.start(&StartGoal { goal_id, ..StartGoal::default() }),
    }
}

/// Goal 3 stands below goal 1, and goal 5 below goal 3; tickets learn from how goals end.
fn world() -> World {
    let mut world = World::with(TaskSettings { learns_from_goal: true, ..TaskSettings::default() });
    for (goal, parent) in [(1, None), (3, Some(1)), (5, Some(3))] {
        let parent = parent.map_or(String::new(), |n| format!("goal {n}"));
        world.start(&StartGoal { goal_id: format!("goal {goal}"), parent, ..StartGoal::default() });
    }
    world
}

fn stories(rng: &mut impl rand::Rng) -> Vec<Story> {
    let decisions = decide_all(&mut world(), DECISIONS);
    let story = |(n, decision)| {
        let mut story = random_story(&mut *rng, n, decision, NOW_MINUTES);
        let told = [&mut story.first].into_iter().chain(&mut story.others);
        told.for_each(|told| {
            told.occurred_at.get_or_insert(NOON.plus_ms(n as i64 * MINUTE_MS));
        });
        let input = rng.random_range(1..9_000);
        story.first.usage = rng.random_bool(0.7).then(|| Usage { input, output: 40, ..Usage::default() });
        story.first.energy_mj = rng.random_bool(0.7).then(|| rng.random_range(1..900_000));
        story
    };
    (0..).zip(&decisions).map(story).collect()
}

/// A report of everything after what is told and done in this order; acts keep their own order and their own times.
fn told(stories: &[Story], acts: &[(u64, Act)], order: &[Turn]) -> Report {
    let mut world = world();
    decide_all(&mut world, DECISIONS);
    world.now = NOON.plus_ms(NOW_MINUTES * MINUTE_MS);
    let (mut next, mut firsts) = (vec![0; stories.len()], vec![None; stories.len()]);
    let mut acts = (0..).zip(acts);
    for turn in order {
        match *turn {
            Turn::Act => {
                let (n, (goal, act)) = acts.next().unwrap();
                world.now = NOON.plus_ms((NOW_MINUTES + n) * MINUTE_MS);
                do_act(&mut world, *goal, *act);
            }
            Turn::Told(story, Some(other)) => {
                world.record(&stories[story].others[other]);
            }
            Turn::Told(turn, None) => {
                match next[turn] {
                    0 => firsts[turn] = Some(world.record(&stories[turn].first)),
                    later => {
                        let address =
                            AmendAddress::Call(CallRef { number: firsts[turn].unwrap(), ..CallRef::default() });
                        let correction = stories[turn].corrections[later - 1].clone();
                        world.amend(&crate::engine::Amendment { address, ..correction });
                    }
                }
                next[turn] += 1;
            }
        }
    }
    world.now = NOON.plus_ms(6 * HOUR_MS);
    sums_are_those_of_the_goals(&world);
    world.report(&Query { compare_previous: true, ..hours_back(24) })
}

/// What was added and taken back, hour by hour, is what the goals contribute as they stand.
fn sums_are_those_of_the_goals(world: &World) {
    let state = &world.engine.state;
    let mut expected: HashMap<(UnixMillis, GoalKey), GoalTally> = HashMap::new();
    for (at, key, tally) in state.goals.values().filter_map(GoalTally::of) {
        expected.entry((at.hour(), key)).or_default().add(&tally);
    }
    let hours = state.goal_sums.hours.iter().flat_map(|(at, keys)| keys.iter().map(|(k, t)| ((*at, *k), t.clone())));
    let found: HashMap<(UnixMillis, GoalKey), GoalTally> = hours.filter(|(_, tally)| !tally.is_empty()).collect();
    assert_eq!(found, expected);
}

fn order_of(stories: &[Story], acts: &[(u64, Act)]) -> Vec<Turn> {
    let told = turns(stories).into_iter().map(|(story, other)| Turn::Told(story, other));
    told.chain(acts.iter().map(|_| Turn::Act)).collect()
}

#[test]
fn closings_between_outcomes_in_any_order_leave_no_trace() {
    for seed in 0..10 {
        println!("seed {seed}");
        let mut rng = decision_rng(seed, 3);
        let (stories, acts) = (stories(&mut rng), random_acts(&mut rng));
        let mut order = order_of(&stories, &acts);
        let straight = told(&stories, &acts, &order);
        assert!(!straight.context_growth.is_empty() && straight.headline.retries > 0, "worth telling: {straight:?}");
        for _ in 0..3 {
            order.shuffle(&mut rng);
            assert_eq!(told(&stories, &acts, &order), straight, "seed {seed}, order {order:?}");
        }
    }
}

#[test]
fn an_amended_end_is_that_end_known_at_once() {
    for seed in 100..110 {
        println!("seed {seed}");
        let mut rng = decision_rng(seed, 3);
        let stories = stories(&mut rng);
        let known: Vec<Story> = stories.iter().map(known_at_once).collect();
        // Each goal but the last is closed and corrected, by whoever grades or by nobody in particular; in the world where
        // all is known it is closed so at once, and no auditor looks.
        let end = |rng: &mut _| {
            let rng: &mut dyn rand::Rng = rng;
            GoalState::ALL[rng.random_range(0..GoalState::ALL.len())]
        };
        let (mut late_acts, mut known_acts) = (Vec::new(), Vec::new());
        for goal in 0..6 {
            let (first, last) = (end(&mut rng), end(&mut rng));
            known_acts.push((goal, Act::Close(last, None)));
            late_acts.push((goal, Act::Close(first, None)));
        }
        for (goal, act) in &known_acts {
            let Act::Close(last, _) = *act else { continue };
            late_acts.push((*goal, Act::Correct(last, "grader")));
        }
        let mut late = order_of(&stories, &late_acts);
        late.shuffle(&mut rng);
        let (late, known) =
            (told(&stories, &late_acts, &late), told(&known, &known_acts, &order_of(&known, &known_acts)));
        assert!(late.goals.as_ref().is_some_and(|goals| goals.total.closed == 4 && goals.sub_goals == 2), "{late:?}");
        assert_eq!(late, known, "seed {seed}");
    }
}
