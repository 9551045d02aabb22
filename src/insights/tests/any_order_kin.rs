//! Goals below goals, told of in any order: who is below whom is said first, everything else when it happens to come. What an
//! accepted goal of a workflow costs is the same, whether its workflow, or that of a goal above, was known before or after.

use rand::RngExt as _;

use crate::domain::draw::decision_rng;
use crate::domain::goal::GoalState;
use crate::domain::request_goal::StartGoal;
use crate::insights::Report;
use crate::insights::tests_support::{World, workflow_call};

/// The goals of a story: name, the goal above (empty: none) and workflow, each below one before it.
type Goals = Vec<(String, String, &'static str)>;

/// One thing that happens to the goal of that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Link,
    /// A call that names the workflow.
    Call(u64),
    /// One that does not, of the step of that name.
    Quiet(u64, &'static str),
    Close(GoalState),
}

fn random_goals(rng: &mut impl rand::Rng) -> Goals {
    let goal = |n: usize, rng: &mut _| {
        let rng: &mut dyn rand::Rng = rng;
        let above = if n == 0 || rng.random_bool(0.2) { String::new() } else { format!("g{}", rng.random_range(0..n)) };
        (format!("g{n}"), above, ["v", "w"][rng.random_range(0..2)])
    };
    (0..7).map(|n| goal(n, rng)).collect()
}

fn random_acts(goals: &Goals, rng: &mut impl rand::Rng) -> Vec<(usize, Act)> {
    let mut acts = Vec::new();
    for goal in 0..goals.len() {
        let state = if rng.random_bool(0.7) { GoalState::Accepted } else { GoalState::Rejected };
        let mut cost = || rng.random_range(1..1_000);
        let calls = [Act::Call(cost()), Act::Quiet(cost(), "two"), Act::Quiet(cost(), "three")];
        acts.extend(calls.into_iter().chain([Act::Close(state)]).map(|act| (goal, act)));
    }
    acts
}

/// All acts in a random order, in which a goal is linked before anything else is said of it, and after those above it.
fn random_order(goals: &Goals, acts: &[(usize, Act)], rng: &mut impl rand::Rng) -> Vec<(usize, Act)> {
    let (mut left, mut linked, mut order) = (acts.to_vec(), 0, Vec::new());
    while linked < goals.len() || !left.is_empty() {
        let may: Vec<usize> = (0..left.len()).filter(|i| left[*i].0 < linked).collect();
        if may.is_empty() || (linked < goals.len() && rng.random_bool(0.4)) {
            order.push((linked, Act::Link));
            linked += 1;
        } else {
            order.push(left.remove(may[rng.random_range(0..may.len())]));
        }
    }
    order
}

fn told(goals: &Goals, order: &[(usize, Act)], rng: &mut impl rand::Rng) -> Report {
    let mut world = World::new();
    for workflow in ["v", "w"] {
        world.record(&workflow_call(workflow, "", "one", true, 1));
    }
    for (goal, act) in order {
        let (goal_id, parent, workflow) = goals[*goal].clone();
        match *act {
            // Some say the workflow when they begin, some with their call.
            Act::Link if rng.random_bool(0.5) => {
                world.start(&StartGoal { goal_id, parent, workflow: workflow.to_owned(), ..StartGoal::default() });
            }
            Act::Link => world.start(&StartGoal { goal_id, parent, ..StartGoal::default() }),
            Act::Call(cents) => {
                world.record(&workflow_call(workflow, &goal_id, "one", true, cents * 10_000_000));
            }
            Act::Quiet(cents, step) => {
                world.record(&workflow_call("", &goal_id, step, true, cents * 10_000_000));
            }
            Act::Close(state) => world.complete(&goal_id, state),
        }
    }
    world.last_hours(1)
}

#[test]
fn what_an_accepted_goal_costs_does_not_depend_on_when_the_workflow_of_a_goal_above_is_told() {
    for seed in 0..40 {
        println!("seed {seed}");
        let mut rng = decision_rng(seed, 5);
        let goals = random_goals(&mut rng);
        let acts = random_acts(&goals, &mut rng);
        let mut in_some_order = || {
            let order = random_order(&goals, &acts, &mut rng);
            (told(&goals, &order, &mut rng), order)
        };
        let (first, _) = in_some_order();
        for _ in 0..5 {
            let (report, order) = in_some_order();
            assert_eq!(report, first, "seed {seed}: {goals:?} {order:?}");
        }
    }
}
