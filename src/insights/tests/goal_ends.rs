//! When goals end: told late, told again, told in another order, and what is refused. Figures by window go by it.

use crate::domain::goal::GoalState;
use crate::domain::outcome::OutcomeReport;
use crate::domain::request_goal::{CompleteGoal, StartGoal};
use crate::domain::time::{HOUR_MS, MINUTE_MS, UnixMillis};
use crate::engine::hydrate::NoStore;
use crate::insights::tests_support::{World, workflow_call};

const CENTS_3: u64 = 30_000_000;

/// A goal that cost three cents at noon, ended two minutes later and came back as rejected; how it ended is told `late_ms` late.
fn told_late(late_ms: i64, timed_out: bool) -> World {
    let mut world = World::new();
    let (began, ended_at) = (world.now, world.now.plus_ms(2 * MINUTE_MS));
    let call = workflow_call("w", "a", "one", true, CENTS_3);
    world.record(&OutcomeReport { occurred_at: Some(began), ..call });
    world.now = ended_at.plus_ms(late_ms);
    if timed_out {
        let idle = world.engine.time_out_goals(&NoStore, world.now, 10).unwrap();
        world.apply(&[idle]);
    }
    let (note, by, key) = (String::new(), String::new(), None);
    let occurred_at = (late_ms > 0).then_some(ended_at);
    let (goal_id, state, score) = ("a".to_owned(), GoalState::Accepted, None);
    world.complete_with(&CompleteGoal { goal_id, state, score, note, by, occurred_at, key });
    world
}

#[test]
fn a_goal_told_late_belongs_to_the_time_at_which_it_ended() {
    let at_once = told_late(0, false);
    let ended_at = at_once.now;
    for (late_ms, timed_out) in [(5 * HOUR_MS, false), (60 * HOUR_MS, false), (60 * HOUR_MS, true)] {
        let mut late = told_late(late_ms, timed_out);
        assert_eq!(late.engine.state.goals["a"].closing.map(|c| c.at), Some(ended_at), "{late_ms} {timed_out}");
        let sums = |world: &World| {
            let mut hours = world.engine.state.goal_sums.hours.clone();
            hours.retain(|_, keys| !keys.is_empty());
            hours
        };
        assert_eq!(sums(&late), sums(&at_once), "{late_ms} {timed_out}");
        late.correct_goal("a", GoalState::Rejected, "ada");
        assert_eq!(late.engine.state.goals["a"].closing.map(|c| c.at), Some(ended_at), "a correction keeps the time");
        late.start(&StartGoal { goal_id: "a".to_owned(), ..StartGoal::default() });
        assert_eq!(late.engine.state.open_goals.workflows().len(), 1, "it came back now");
        assert!(late.engine.state.goals["a"].closing.is_none());
    }
}

/// Goal `a` with a call at `minutes` past noon that was routed elsewhere, told an hour past noon.
fn told_of(world: &mut World, noon: UnixMillis, minutes: Option<i64>) {
    world.now = noon.plus_ms(HOUR_MS);
    let occurred_at = minutes.map(|minutes| noon.plus_ms(minutes * MINUTE_MS));
    world.record(&OutcomeReport { occurred_at, ..workflow_call("w", "a", "one", true, CENTS_3) });
}

/// That goal `a` was accepted at `minutes` past noon.
fn ended(noon: UnixMillis, minutes: i64) -> CompleteGoal {
    CompleteGoal {
        goal_id: "a".to_owned(),
        state: GoalState::Accepted,
        score: None,
        note: String::new(),
        by: String::new(),
        occurred_at: Some(noon.plus_ms(minutes * MINUTE_MS)),
        key: None,
    }
}

#[test]
fn a_goal_ends_neither_in_the_future_nor_before_it_was_first_asked_about() {
    let noon = World::new().now;
    let ends = |world: &mut World, minutes| {
        world.engine.complete_goal(&NoStore, &ended(noon, minutes), world.now).map_err(|e| e.to_string())
    };
    let mut told = World::new();
    told_of(&mut told, noon, None);
    assert!(ends(&mut told, 62).unwrap_err().contains("future"));
    assert!(ends(&mut told, 61).is_ok(), "a minute is allowed for clocks");
    assert!(ends(&mut told, 5).is_ok(), "nobody said when its call was made, only that it was told at one o'clock");
    told_of(&mut told, noon, Some(10));
    assert!(ends(&mut told, 5).is_ok(), "one before that may still be told");
    let mut asked = World::new();
    asked.start(&StartGoal { goal_id: "a".to_owned(), ..StartGoal::default() });
    told_of(&mut asked, noon, None);
    assert!(ends(&mut asked, 0).is_ok());
    let refused = ends(&mut asked, -1).unwrap_err();
    assert!(refused.contains("occurred_at: lies before the goal began, at 20"), "{refused}");
    told_of(&mut asked, noon, Some(-10));
    assert!(ends(&mut asked, -1).is_ok(), "it began earlier than was known");
}

#[test]
fn when_a_goal_ended_and_what_it_cost_do_not_depend_on_what_is_told_first() {
    let noon = World::new().now;
    let sums = |first: Option<i64>, then: Option<i64>| {
        let mut world = World::new();
        told_of(&mut world, noon, Some(4));
        first.into_iter().for_each(|minutes| told_of(&mut world, noon, Some(minutes)));
        world.complete_with(&ended(noon, 5));
        then.into_iter().for_each(|minutes| told_of(&mut world, noon, Some(minutes)));
        let mut hours = world.engine.state.goal_sums.hours.clone();
        hours.retain(|_, keys| !keys.is_empty());
        (hours, world.engine.state.goals["a"].closing)
    };
    let mut late = World::new();
    told_of(&mut late, noon, Some(10));
    late.complete_with(&ended(noon, 5));
    told_of(&mut late, noon, Some(4));
    let mut hours = late.engine.state.goal_sums.hours.clone();
    hours.retain(|_, keys| !keys.is_empty());
    assert_eq!((hours, late.engine.state.goals["a"].closing), sums(Some(10), None));
    assert_eq!(sums(None, Some(10)), sums(Some(10), None));
}

#[test]
fn an_end_that_is_told_again_is_the_same_end_and_another_time_of_it_is_refused() {
    let noon = World::new().now;
    let mut world = World::new();
    told_of(&mut world, noon, Some(1));
    world.complete_with(&ended(noon, 30));
    let mut again = |request: CompleteGoal| {
        let act = world.engine.complete_goal(&NoStore, &request, world.now);
        act.map(|act| (act.duplicate, act.events.len())).map_err(|e| e.to_string())
    };
    let unchanged = Ok((true, 0));
    assert_eq!(again(ended(noon, 30)), unchanged);
    assert_eq!(again(CompleteGoal { occurred_at: None, ..ended(noon, 30) }), unchanged, "nothing is said of the time");
    for minutes in [29, 32] {
        let refused = again(ended(noon, minutes)).unwrap_err();
        let ended_at = crate::engine::instant(noon.plus_ms(30 * MINUTE_MS));
        let expected =
            format!("occurred_at: is not when this goal ended, {ended_at}; that time stays as it was told first");
        assert_eq!(refused, expected, "{minutes}");
    }
    let ahead = CompleteGoal { occurred_at: Some(world.now.plus_ms(40_000)), ..ended(noon, 30) };
    let mut world = World::new();
    told_of(&mut world, noon, Some(1));
    world.complete_with(&ahead);
    world.now = world.now.plus_ms(10_000);
    let act = world.engine.complete_goal(&NoStore, &ahead, world.now).unwrap();
    assert!(act.duplicate, "a clock that is ahead says the same again");
}

#[test]
fn a_goal_that_was_closed_as_timed_out_may_be_told_when_it_was() {
    let noon = World::new().now;
    let mut world = World::new();
    told_of(&mut world, noon, Some(1));
    world.now = noon.plus_ms(30 * HOUR_MS);
    let idle = world.engine.time_out_goals(&NoStore, world.now, 10).unwrap();
    world.apply(&[idle]);
    let told = CompleteGoal { state: GoalState::TimedOut, ..ended(noon, 20) };
    for duplicate in [false, true] {
        let act = world.engine.complete_goal(&NoStore, &told, world.now).unwrap();
        assert_eq!(act.duplicate, duplicate);
        world.apply(&act.events);
        let closing = world.engine.state.goals["a"].closing.unwrap();
        assert_eq!((closing.state, closing.at), (GoalState::TimedOut, noon.plus_ms(20 * MINUTE_MS)));
    }
}
