//! Signals on a real engine, and why spend changed between two windows of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::budget::{Budget, Budgets, Measure, OnExceed, Period, Scope};
use crate::domain::event::ModelState;
use crate::domain::goal::GoalState;
use crate::domain::names::Labels;
use crate::domain::outcome::OutcomeReport;
use crate::domain::request_goal::{ChangeWindows, Span};
use crate::domain::time::{HOUR_MS, MINUTE_MS, UnixMillis};
use crate::insights::tests_support::{
    GPT_4O, MINI, NOON, TURBO, World, came_to, elsewhere, tool_call, used, workflow_call,
};
use crate::insights::{Factor, Filters, SignalKind, explain_spend};

/// `goals` goals that search once and retry as often as said, at a cent a search; then draft at five.
fn hour_of(world: &mut World, prefix: &str, goals: u64, retries: u64) {
    for n in 0..goals {
        let goal = format!("{prefix} {n}");
        for _ in 0..u64::from(n < retries) {
            world.record(&tool_call("support", &goal, "search_api", false, 10_000_000));
        }
        world.record(&tool_call("support", &goal, "search_api", true, 10_000_000));
        world.record(&workflow_call("support", &goal, "draft", true, 50_000_000));
        world.complete(&goal, GoalState::Accepted);
    }
}

/// A twentieth of the searches are retries in the first hour, a quarter in the second.
fn two_hours() -> World {
    let mut world = World::new();
    hour_of(&mut world, "before", 95, 5);
    world.now = NOON.plus_ms(90 * MINUTE_MS);
    hour_of(&mut world, "after", 90, 30);
    world
}

#[test]
fn a_jump_of_the_retry_rate_is_told_with_its_numbers() {
    let signals = two_hours().last_hours(1).signals;
    let jump = signals.iter().find(|signal| signal.kind == SignalKind::RetryRateJump).unwrap();
    assert_eq!(jump.subject, "search_api");
    assert_eq!(
        jump.sentence,
        "search_api: 25.0 % of its 120 calls were retries, before 5.0 % of 100; the retries cost $0.30. Recommended: look at \
         the failures of search_api and cap its attempts."
    );
    assert_eq!(signals.iter().filter(|signal| signal.kind == SignalKind::RetryRateJump).count(), 1);
    let model = signals.iter().find(|signal| signal.kind == SignalKind::ModelDominates).unwrap();
    assert_eq!(
        model.sentence,
        "openai/gpt-4o takes 78.9 % of the spend ($4.50, 90 calls at $0.05 each). Recommended: see which steps need \
         openai/gpt-4o, and offer tickets a cheaper candidate."
    );
}

#[test]
fn a_cheaper_candidate_is_recommended_where_there_is_none() {
    let advice = |of: &[(&str, &str)], without: &[&str]| {
        let mut world = World::new();
        for (task, model) in of {
            for _ in 0..40 {
                world.record(&used(elsewhere(task, model), true, 300, 40));
            }
        }
        for model in without {
            let summaries = world.task("summaries");
            let off = world.engine.set_model_state(summaries, model, ModelState::Disabled, "me", "why", world.now);
            world.apply(&off);
        }
        let signals = world.last_hours(1).signals;
        let model = signals.into_iter().find(|signal| signal.kind == SignalKind::ModelDominates).unwrap();
        model.sentence.split_once("Recommended: ").unwrap().1.to_owned()
    };
    let has = "each task type that uses it has a cheaper candidate, which a larger tolerance would choose more often.";
    let both = [("summaries", GPT_4O), ("tickets", GPT_4O), ("tickets", MINI)];
    assert_eq!(advice(&both, &[]), format!("see which steps need {GPT_4O}: {has}"));
    let lacks = format!("see which steps need {GPT_4O}, and offer summaries a cheaper candidate.");
    assert_eq!(advice(&both, &[MINI]), lacks, "what may not serve is none");
    assert_eq!(advice(&both, &[TURBO]), format!("see which steps need {GPT_4O}: {has}"), "that one is dearer");
}

#[test]
fn a_step_that_is_one_tool_is_not_told_beside_it() {
    let mut world = World::new();
    for (hour, retries) in [(0, 3), (1, 30)] {
        world.now = NOON.plus_ms(hour * 90 * MINUTE_MS);
        for n in 0..90 {
            let goal = format!("{hour} {n}");
            for attempt in 0..=u64::from(n < retries) {
                let call = tool_call("support", &goal, "search_api", attempt == 1 || n >= retries, 10_000_000);
                world.record(&OutcomeReport { step: "look it up".to_owned(), ..call });
            }
        }
    }
    let signals = world.last_hours(1).signals;
    let jumps: Vec<&str> =
        signals.iter().filter(|s| s.kind == SignalKind::RetryRateJump).map(|s| s.subject.as_str()).collect();
    assert_eq!(jumps, ["search_api"]);
}

#[test]
fn steady_rates_and_few_calls_are_no_signal() {
    let mut world = World::new();
    hour_of(&mut world, "before", 95, 5);
    world.now = NOON.plus_ms(90 * MINUTE_MS);
    hour_of(&mut world, "after", 95, 8);
    let kinds: Vec<SignalKind> = world.last_hours(1).signals.iter().map(|signal| signal.kind).collect();
    assert_eq!(kinds, [SignalKind::ModelDominates]);
    let mut world = World::new();
    hour_of(&mut world, "before", 20, 0);
    world.now = NOON.plus_ms(90 * MINUTE_MS);
    hour_of(&mut world, "after", 20, 20);
    assert!(world.last_hours(1).signals.is_empty(), "twenty calls say nothing");
}

fn budget(id: &str, scope: Scope, period: Period, limit: u64) -> Budget {
    Budget {
        id: id.into(),
        scope,
        matches: BTreeMap::new(),
        is_default: false,
        measure: Measure::Usd,
        limit,
        period,
        zone: jiff::tz::TimeZone::UTC,
        alert_thresholds: vec![],
        on_exceed: OnExceed::Block,
        message: String::new(),
    }
}

#[test]
fn budgets_are_shown_as_far_as_they_are_used() {
    let mut world = World::new();
    let all = vec![
        budget("team_day", Scope::Team, Period::Day, 1_000_000_000),
        budget("per_run", Scope::Goal, Period::PerGoal, 400_000_000),
    ];
    world.engine.use_budgets(Arc::new(Budgets { all }), Arc::default());
    let labels = Labels::from([("team".to_owned(), "growth".to_owned())]);
    for (goal, cents) in [("a", 10), ("b", 20), ("c", 50)] {
        let call = workflow_call("w", goal, "s", true, cents * 10_000_000);
        world.record(&OutcomeReport { labels: labels.clone(), ..call });
        world.complete(goal, GoalState::Accepted);
    }
    let report = world.last_hours(1);
    let account = &report.budgets.accounts[0];
    assert_eq!((account.budget.as_str(), account.instance.as_str()), ("team_day", "growth"));
    assert_eq!((account.spent, account.held, account.utilisation), (800_000_000, 0, Some(0.8)));
    assert_eq!(report.budgets.accounts_total, 1);
    let runs = &report.budgets.per_goal[0];
    assert_eq!((runs.budget.as_str(), runs.goals, runs.p50, runs.max), ("per_run", 3, 0.5, 1.25));
    assert_eq!(runs.share_exhausted, 1.0 / 3.0);
    let signal = report.signals.iter().find(|signal| signal.kind == SignalKind::BudgetNearlyUsed).unwrap();
    assert_eq!(
        signal.sentence,
        "Budget team_day of team growth is used to 80.0 % ($0.80 spent and $0.00 held of $1.00). Recommended: see \
         what growth spends on, or raise its limit."
    );
    world.now = world.now.plus_ms(24 * HOUR_MS);
    assert!(world.last_hours(1).budgets.accounts.is_empty(), "its day is over");
}

#[test]
fn why_spend_changed_is_told_from_the_record() {
    let world = two_hours();
    let hour = |n: i64| Span { from: NOON.plus_ms(n * HOUR_MS), until: NOON.plus_ms((n + 1) * HOUR_MS) };
    let given = ChangeWindows::Given { previous: hour(0), current: hour(1) };
    let found = explain_spend(&world.engine, None, &Filters::default(), given, world.now);
    assert_eq!((found.previous.start, found.current.end), (NOON, NOON.plus_ms(2 * HOUR_MS)));
    let spend = &found.change.spend;
    assert_eq!((spend.before_nano_usd, spend.after_nano_usd), (5_750_000_000, 5_700_000_000));
    assert_eq!(spend.parts.iter().map(|part| part.amount_nano_usd).sum::<i128>(), -50_000_000);
    let each = found.change.per_accepted_goal.as_ref().unwrap();
    assert_eq!((each.before_nano_usd, each.after_nano_usd), (60_526_316, 63_333_333));
    assert_eq!((each.drivers[0].factor, &*each.drivers[0].step), (Factor::Retries, "search_api"));
    assert_eq!((each.drivers[0].before, each.drivers[0].after), (Some(0.05), Some(0.25)));
    assert!(found.change.recommendation.contains("search_api"), "{}", found.change.recommendation);
    let lookback = ChangeWindows::Lookback(HOUR_MS);
    let same = explain_spend(&world.engine, None, &Filters::default(), lookback, UnixMillis(hour(1).until.0 - 1));
    assert_eq!(same.change, found.change);
}

#[test]
fn a_filter_on_a_tool_explains_its_spend_alone() {
    let world = two_hours();
    let filters = Filters { tool: Some("search_api".to_owned()), ..Filters::default() };
    let found = explain_spend(&world.engine, None, &filters, ChangeWindows::Lookback(HOUR_MS), world.now);
    assert_eq!((found.change.spend.after_nano_usd, found.change.per_accepted_goal), (1_200_000_000, None));
    let mut world = World::new();
    world.record(&came_to(elsewhere("tickets", "some/model"), true, 7));
    let found = explain_spend(&world.engine, None, &Filters::default(), ChangeWindows::Lookback(HOUR_MS), world.now);
    assert_eq!((found.change.spend.before_nano_usd, found.change.spend.after_nano_usd), (0, 7));
}
