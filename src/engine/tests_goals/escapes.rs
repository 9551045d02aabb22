//! Ways around a budget that were found and shut: money booked twice, or where nobody looks.

use super::*;
use crate::domain::budget::Account;

/// Every account, with what is spent and held on it, by budget, goal and beginning of its period.
fn standing(engine: &Engine) -> Vec<(String, String, UnixMillis, i64, i64)> {
    let of_goals = engine.state.goals.values().flat_map(|g| &g.accounts);
    let row = |a: &Account| {
        let o = &a.opened;
        (o.budget.clone(), o.goal.clone(), o.start, a.booked.spent, a.booked.held)
    };
    let mut all: Vec<_> = engine.state.accounts.values().chain(of_goals).map(row).collect();
    all.sort();
    all
}

#[test]
fn an_outcome_in_the_next_period_is_booked_once_in_that_of_its_decision() {
    let mut engine = with(vec![budget("team", Scope::Team, Period::Hour, "1", OnExceed::Block)]);
    let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
    let request = PolicyRequest { labels: labels.clone(), fallback_allowed: true, ..ask("g", 1_000) };
    let request = PolicyRequest { asked: Default::default(), ..request };
    let answer = decide(&mut engine, &request, NOW);
    let begun = standing(&engine)[0].2;
    let later = begun.plus_ms(HOUR_MS);
    let own = costing(of(&answer), "0.03", Verdict::Failure(FailureReason::Timeout));
    tell(&mut engine, &OutcomeReport { labels: labels.clone(), ..own }, later);
    assert_eq!(standing(&engine), [("team".to_owned(), String::new(), begun, 30_000_000, 0)], "its labels said again");
    let mut fallback = costing(of(&answer), "0.04", Verdict::Success);
    let served = answer.decided.fallbacks[0].0;
    fallback.model_served = engine.state.names.text(crate::domain::names::NameKind::Candidate, served).to_owned();
    fallback.key = Some(crate::domain::event::Key { hash: 7, body: 7 });
    tell(&mut engine, &fallback, later);
    assert_eq!(standing(&engine), [("team".to_owned(), String::new(), begun, 70_000_000, 0)], "so its fallback");
}
