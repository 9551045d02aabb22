//! Money granted to one goal: what it raises, what it lets through, and how often it counts.

use super::*;

/// How many calls of a cent a goal is let make.
fn cents(engine: &mut Engine, goal: &str, now: UnixMillis) -> usize {
    (0..20).take_while(|_| decide(engine, &ask(goal, 2_000), now).decided.verdict.proceeds()).count()
}

#[test]
fn a_grant_counts_once_in_the_period_in_which_it_was_given() {
    for (period, days) in [(Period::Hour, 1), (Period::Day, 1), (Period::Week, 7), (Period::Month, 31)] {
        let mut engine = with(vec![budget("b", Scope::Goal, period, "0.02", OnExceed::Block)]);
        assert_eq!(cents(&mut engine, "g", NOW), 2);
        grant(&mut engine, "g", "0.03", NOW);
        assert_eq!(cents(&mut engine, "g", NOW), 3, "{period:?}");
        for later in 1..3 {
            let later = NOW.plus_ms(later * days * DAY_MS);
            assert_eq!(cents(&mut engine, "g", later), 2, "{period:?}: the limit and no more");
        }
        grant(&mut engine, "g", "0.01", NOW.plus_ms(2 * days * DAY_MS));
        assert_eq!(cents(&mut engine, "g", NOW.plus_ms(2 * days * DAY_MS)), 1, "{period:?}: the new grant alone");
        let limits: Vec<u64> = engine.state.goals["g"].accounts.iter().map(|a| engine.line_of(a).limit).collect();
        assert_eq!(limits, [usd("0.05").0, usd("0.02").0, usd("0.03").0], "{period:?}: as ended periods are shown");
    }
}

#[test]
fn a_grant_raises_each_budget_of_its_goal_for_the_goals_life_where_that_has_no_period() {
    let mut engine = with(vec![
        budget("life", Scope::Goal, Period::PerGoal, "0.02", OnExceed::Block),
        budget("ever", Scope::Goal, Period::Total, "0.03", OnExceed::RequireApproval),
    ]);
    assert_eq!(cents(&mut engine, "g", NOW), 2);
    grant(&mut engine, "g", "0.02", NOW);
    let later = NOW.plus_ms(40 * DAY_MS);
    assert_eq!(cents(&mut engine, "g", later), 2, "$0.04 of the one, of the other $0.05");
    assert_eq!(cents(&mut engine, "other", later), 2, "no other goal has it");
}
