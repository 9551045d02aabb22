//! Money granted to one goal: what it raises, what it lets through, and how often it counts.

use super::*;
use crate::domain::names::{Labels, NameKind};

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

/// A call of a cent of a goal of team `a`.
fn of_team(goal: &str) -> PolicyRequest {
    let labels = BTreeMap::from([("team".to_owned(), "a".to_owned()), ("organization".to_owned(), "o".to_owned())]);
    PolicyRequest { labels, ..ask(goal, 2_000) }
}

/// How many calls of a cent a goal of team `a` is let make.
fn team_cents(engine: &mut Engine, goal: &str) -> usize {
    (0..20).take_while(|_| decide(engine, &of_team(goal), NOW).decided.verdict.proceeds()).count()
}

/// Spent, held and presumed of what was granted to a goal.
fn drawn(engine: &Engine, goal: &str) -> (i64, i64, i64) {
    let purse = engine.state.goals[goal].accounts.iter().find(|a| a.opened.budget == "goal_grants");
    let b = purse.expect("something was drawn").booked;
    (b.spent, b.held, b.presumed)
}

#[test]
fn a_grant_lets_its_goals_calls_through_a_teams_budget_and_no_other_and_no_more() {
    let mut engine = with(vec![budget("team", Scope::Team, Period::Day, "0.03", OnExceed::RequireApproval)]);
    assert_eq!((team_cents(&mut engine, "g"), team_cents(&mut engine, "h")), (3, 0));
    let refused = decide(&mut engine, &of_team("g"), NOW);
    assert_eq!(refused.decided.verdict, PolicyVerdict::RequireApproval);
    assert!(said(&refused).message.contains("grant the goal money"), "{}", said(&refused).message);
    grant(&mut engine, "g", "0.025", NOW);
    let let_through = decide(&mut engine, &of_team("g"), NOW);
    assert_eq!(let_through.decided.verdict, PolicyVerdict::Allow);
    assert_eq!(let_through.decided.reason, "Budget team is used up; money granted to the goal pays.");
    assert_eq!(let_through.decided.charges.len(), 2, "the team's budget counts it as always");
    assert_eq!(team_cents(&mut engine, "h"), 0);
    assert_eq!((team_cents(&mut engine, "g"), drawn(&engine, "g")), (1, (0, 20_000_000, 0)), "half a cent holds none");
    assert_eq!(engine.state.accounts.values().next().unwrap().booked.held, 50_000_000);
    let tomorrow = NOW.plus_ms(DAY_MS);
    let granted = decide(&mut engine, &of_team("g"), tomorrow);
    assert_eq!(granted.decided.charges.len(), 1, "the budget began anew: nothing is drawn");
}

#[test]
fn a_refusal_tells_of_what_was_granted_by_whom_and_how_much_of_it_is_used() {
    let of_team_a = budget("team", Scope::Team, Period::Day, "0.03", OnExceed::RequireApproval);
    let mut engine = with(vec![of_team_a]);
    assert_eq!(team_cents(&mut engine, "g"), 3);
    let message =
        |engine: &mut Engine, request: &PolicyRequest, now| said(&decide(engine, request, now)).message.clone();
    let without = "The budget of team a does not hold this call ($0.00 of $0.03 left): somebody has to grant the goal money, or to \
                   raise the limit.";
    assert_eq!(message(&mut engine, &of_team("g"), NOW), without);
    let two_grants = |engine: &mut Engine| {
        grant(engine, "g", "0.015", NOW);
        let by = GrantBudget { approver: "bo".to_owned(), ..granting("g", "0.01") };
        let act = engine.grant_budget(&NoStore, &by, NOW).unwrap();
        fold(engine, &act.events);
    };
    two_grants(&mut engine);
    assert_eq!(team_cents(&mut engine, "g"), 2, "two and a half cents");
    let team = "The budget of team a does not hold this call ($0.00 of $0.03 left), and of the $0.025 that ada and bo granted \
                $0.02 are used: somebody has to grant the goal more, or to raise the limit.";
    assert_eq!(message(&mut engine, &of_team("g"), NOW), team);
    assert_eq!(message(&mut engine, &of_team("h"), NOW), without, "of another goal nothing is told");

    let mut engine = with(vec![budget("run", Scope::Goal, Period::Day, "0.05", OnExceed::RequireApproval)]);
    decide(&mut engine, &ask("g", 2_000), NOW);
    two_grants(&mut engine);
    let own = "The budget of this goal does not hold this call ($0.065 of $0.075 left, of which ada and bo granted $0.025): \
               somebody has to grant more.";
    assert_eq!(message(&mut engine, &ask("g", 14_000), NOW), own);
    let tomorrow = "The budget of this goal does not hold this call ($0.05 of $0.05 left): somebody has to grant more.";
    assert_eq!(message(&mut engine, &ask("g", 14_000), NOW.plus_ms(DAY_MS)), tomorrow, "granted for yesterday");
}

#[test]
fn what_was_drawn_is_settled_presumed_spent_and_given_back_as_on_any_account() {
    let mut engine = with(vec![budget("team", Scope::Team, Period::Total, "0", OnExceed::RequireApproval)]);
    decide(&mut engine, &of_team("g"), NOW);
    grant(&mut engine, "g", "0.04", NOW);
    let settled = decide(&mut engine, &of_team("g"), NOW);
    tell(&mut engine, &costing(of(&settled), "0.002", Verdict::Success), NOW);
    let lost = decide(&mut engine, &of_team("g"), NOW);
    let never = decide(&mut engine, &of_team("g"), NOW);
    assert_eq!(drawn(&engine, "g"), (2_000_000, 20_000_000, 0));
    let void = engine.void(&NoStore, by_number(never.decided.number), "ops", "never sent", NOW).unwrap();
    fold(&mut engine, void.as_slice());
    assert_eq!(drawn(&engine, "g"), (2_000_000, 10_000_000, 0));
    let late = NOW.plus_ms(2 * HOUR_MS);
    let expired = engine.expire(late, 10).unwrap();
    fold(&mut engine, &[expired]);
    assert_eq!(drawn(&engine, "g"), (2_000_000, 0, 10_000_000));
    tell(&mut engine, &costing(of(&lost), "0.03", Verdict::Success), late);
    assert_eq!(drawn(&engine, "g"), (32_000_000, 0, 0), "more than was held is the truth, and counts");
    assert_eq!(team_cents(&mut engine, "g"), 0, "eight tenths of a cent are left");
}

#[test]
fn what_blocks_is_not_lifted_and_what_is_granted_to_a_goal_is_also_for_the_goals_below_it() {
    let mut engine = with(vec![
        budget("team", Scope::Team, Period::Total, "0.01", OnExceed::RequireApproval),
        budget("org", Scope::Organization, Period::Total, "0.03", OnExceed::Block),
    ]);
    assert_eq!(team_cents(&mut engine, "p"), 1);
    grant(&mut engine, "p", "1", NOW);
    let mut below = of_team("c");
    below.asked.parent_goal = "p".to_owned();
    let child = decide(&mut engine, &below, NOW);
    assert_eq!((child.decided.verdict, drawn(&engine, "p")), (PolicyVerdict::Allow, (0, 10_000_000, 0)));
    assert_eq!(team_cents(&mut engine, "p"), 1, "the organization's three cents block");
    let blocked = decide(&mut engine, &of_team("p"), NOW);
    assert_eq!((blocked.decided.verdict, &*said(&blocked).budget), (PolicyVerdict::Block, "org"));
}

#[test]
fn a_gate_and_a_budget_of_calls_draw_on_what_was_granted_too() {
    let mut calls = budget("calls", Scope::Tool, Period::Total, "0", OnExceed::RequireApproval);
    (calls.measure, calls.limit) = (Measure::Calls, 1);
    let mut engine = with(vec![calls]);
    let request = tool("g", "search", Some("0.30"));
    let verdicts =
        |engine: &mut Engine| -> Vec<PolicyVerdict> { (0..3).map(|_| gate(engine, &request, NOW).verdict).collect() };
    let (yes, no) = (PolicyVerdict::Allow, PolicyVerdict::RequireApproval);
    assert_eq!(verdicts(&mut engine), [yes, no, no]);
    grant(&mut engine, "g", "0.60", NOW);
    assert_eq!(verdicts(&mut engine), [yes, yes, no]);
    assert_eq!(drawn(&engine, "g"), (0, 600_000_000, 0));
}

#[test]
fn a_fallback_that_would_draw_more_than_is_left_is_not_offered() {
    let mut engine = with(vec![budget("team", Scope::Team, Period::Total, "0", OnExceed::RequireApproval)]);
    let mut request = PolicyRequest { fallback_allowed: true, ..of_team("g") };
    decide(&mut engine, &request, NOW);
    grant(&mut engine, "g", "0.012", NOW);
    request.asked.allowed_models = Vec::new();
    let answer = decide(&mut engine, &request, NOW);
    assert_eq!((answer.decided.verdict, answer.decided.fallbacks.len()), (PolicyVerdict::Allow, 1), "not $0.02");
    assert_eq!(drawn(&engine, "g"), (0, 10_000_000, 0));
}

#[test]
fn what_the_teams_budget_holds_is_not_paid_by_the_grant_because_its_fallback_would_be() {
    let mut engine = with(vec![budget("team", Scope::Team, Period::Total, "0.01", OnExceed::RequireApproval)]);
    let mut found = BTreeMap::new();
    for n in 0..30 {
        let goal = format!("g{n}");
        let start = StartGoal { goal_id: goal.clone(), ..StartGoal::default() };
        let act = engine.start_goal(&NoStore, &start, NOW).unwrap();
        fold(&mut engine, &act.events);
        grant(&mut engine, &goal, "0.05", NOW);
        let mut request = PolicyRequest { fallback_allowed: true, ..of_team(&goal) };
        request.asked.allowed_models.push("openai/gpt-4-turbo".to_owned());
        let first = decide(&mut engine, &request, NOW);
        let served = engine.state.names.text(NameKind::Candidate, first.decided.place.candidate).to_owned();
        let (paid_by, listed) = (first.decided.charges.len(), first.decided.fallbacks.len());
        found.insert(served.clone(), (paid_by, listed, first.decided.reason.is_empty()));
        if served == "openai/gpt-4o" && found.len() == 2 {
            let failed = Verdict::Failure(FailureReason::Timeout);
            tell(&mut engine, &costing(of(&first), "0.01", failed), NOW);
            assert!(engine.state.goals[&*goal].accounts.is_empty(), "nothing of the grant was drawn");
            request.asked.denied_models.push(served);
            let next = decide(&mut engine, &request, NOW);
            assert_eq!((next.decided.verdict, drawn(&engine, &goal)), (PolicyVerdict::Allow, (0, 20_000_000, 0)));
            break;
        }
        let void = engine.void(&NoStore, by_number(first.decided.number), "ops", "never sent", NOW).unwrap();
        fold(&mut engine, void.as_slice());
    }
    let expected = [("openai/gpt-4-turbo", (2, 1, false)), ("openai/gpt-4o", (1, 0, true))];
    assert_eq!(found, expected.map(|(model, what)| (model.to_owned(), what)).into());
}

#[test]
fn no_purse_is_overdrawn_at_admission_and_a_team_is_over_its_limit_by_what_was_drawn_at_most() {
    for seed in 0..40 {
        println!("seed {seed}");
        let mut rng = decision_rng(seed, 11);
        let mut engine = with(vec![budget("team", Scope::Team, Period::Total, "0.10", OnExceed::RequireApproval)]);
        let (mut open, mut now, mut lifted) = (Vec::new(), NOW, 0);
        for goal in ["g0", "g1", "g2"] {
            decide(&mut engine, &PolicyRequest { labels: Labels::new(), ..of_team(goal) }, now);
        }
        for _ in 0..200 {
            now = now.plus_ms(rng.random_range(0..10 * 60_000));
            let goal = format!("g{}", rng.random_range(0..3));
            match rng.random_range(0..10) {
                0..5 => {
                    let mut request = of_team(&goal);
                    request.estimate.input_tokens = Some(rng.random_range(1..8_000));
                    let answer = decide(&mut engine, &request, now);
                    if answer.decided.verdict.proceeds() {
                        lifted += usize::from(answer.decided.charges.len() == 2);
                        open.push(answer);
                    }
                }
                5 => grant(&mut engine, &goal, &format!("0.0{}", rng.random_range(1..6)), now),
                6..8 if !open.is_empty() => {
                    let answer: PolicyAnswer = open.swap_remove(rng.random_range(0..open.len()));
                    let mut outcome = report(of(&answer), Some(Verdict::Success));
                    outcome.cost = Some(NanoUsd(rng.random_range(0..=answer.decided.hold.unwrap().0)));
                    outcome.key = Some(crate::domain::event::Key { hash: rng.random(), body: 1 });
                    tell(&mut engine, &outcome, now);
                }
                8 if !open.is_empty() => {
                    let answer = open.swap_remove(rng.random_range(0..open.len()));
                    if let Ok(Some(event)) = engine.void(&NoStore, by_number(answer.decided.number), "x", "y", now) {
                        fold(&mut engine, &[event]);
                    }
                }
                _ => {
                    let expired: Vec<Event> = engine.expire(now, 100).into_iter().collect();
                    fold(&mut engine, &expired);
                }
            }
            let mut paid = 0;
            for goal in engine.state.goals.values() {
                for purse in &goal.accounts {
                    let used = purse.booked.used();
                    assert!(used >= 0 && used as u64 <= goal.granted.0, "seed {seed}: INV-BUDGET-2 {purse:?}");
                    paid += used;
                }
            }
            let team = engine.state.accounts.values().map(|a| a.booked.used()).sum::<i64>();
            assert!(team <= 100_000_000 + paid, "seed {seed}: {team} with {paid} of purses");
        }
        assert!(lifted > 3, "seed {seed}: {lifted} were let through by a grant");
        budgets::sums_are_those_of_the_calls(&engine);
    }
}
