//! Budgets without a daemon: what is held, settled, refused, and what is used instead.

use super::*;
use crate::domain::catalog::{Catalog, Model, Prior, Sticky, Task, TaskCandidate};
use crate::domain::names::{NameId, NameKind};
use crate::domain::state::State;
use crate::engine::tests::model;

#[test]
fn a5_what_does_not_fit_is_refused_before_the_call_and_what_fits_uses_it_up() {
    let mut engine = with(vec![budget("ticket-run", Scope::Goal, Period::PerGoal, "2", OnExceed::Block)]);
    spend(&mut engine, "g", "1.80");
    let refused = decide(&mut engine, &ask("g", 50_000), NOW);
    assert_eq!(refused.decided.verdict, PolicyVerdict::Block);
    assert_eq!(refused.decided.exclusions.iter().filter(|e| e.1 == Exclusion::OverBudget).count(), 1);
    let said = said(&refused);
    assert_eq!(
        (said.budget.as_str(), said.limit, said.spent, said.held),
        ("ticket-run", 2_000_000_000, 1_800_000_000, 0)
    );
    assert_eq!(booked(&engine), (1_800_000_000, 0, 0), "a refusal books nothing");
    let admitted = decide(&mut engine, &ask("g", 40_000), NOW);
    assert_eq!(admitted.decided.verdict, PolicyVerdict::Allow);
    assert_eq!(booked(&engine), (1_800_000_000, 200_000_000, 0));
    let standing = engine.standing(&admitted.decided.charges, "g");
    assert_eq!((standing[0].remaining(), standing[0].booked.used()), (0, 2_000_000_000), "100 % used");
}

#[test]
fn a_hold_is_settled_expires_as_presumed_spent_or_is_given_back() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Block)]);
    let cheap = decide(&mut engine, &ask("g", 20_000), NOW);
    tell(&mut engine, &costing(of(&cheap), "0.03", Verdict::Success), NOW);
    assert_eq!(booked(&engine), (30_000_000, 0, 0), "settling gives the rest back");
    let lost = decide(&mut engine, &ask("g", 20_000), NOW);
    let late = NOW.plus_ms(2 * HOUR_MS);
    let expired = engine.expire(late, 10).unwrap();
    fold(&mut engine, &[expired]);
    assert_eq!(booked(&engine), (30_000_000, 0, 100_000_000), "nobody knows: presumed spent");
    tell(&mut engine, &costing(of(&lost), "0.05", Verdict::Success), late);
    assert_eq!(booked(&engine), (80_000_000, 0, 0), "a late outcome is the truth");
    let never = decide(&mut engine, &ask("g", 20_000), late);
    let void = engine.void(&NoStore, by_number(never.decided.number), "ops", "never sent", late).unwrap();
    fold(&mut engine, void.as_slice());
    assert_eq!(booked(&engine), (80_000_000, 0, 0));
    let unknown = decide(&mut engine, &ask("g", 20_000), late);
    let mut outcome = report(of(&unknown), Some(Verdict::Success));
    outcome.usage = None;
    tell(&mut engine, &outcome, late);
    assert_eq!(booked(&engine), (180_000_000, 0, 0), "a cost nobody knows is charged as the hold");
}

#[test]
fn more_than_was_held_is_recorded_flagged_and_counts_against_what_comes_next() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Block)]);
    let answer = decide(&mut engine, &ask("g", 20_000), NOW);
    let call = tell(&mut engine, &costing(of(&answer), "1.5", Verdict::Success), NOW);
    assert!(engine.state.calls[&call].settled().unwrap().overrun);
    assert_eq!(booked(&engine), (1_500_000_000, 0, 0));
    assert_eq!(decide(&mut engine, &ask("g", 1), NOW).decided.verdict, PolicyVerdict::Block);
}

#[test]
fn all_budgets_hold_a_call_or_none_does_and_none_is_ever_overdrawn() {
    for seed in 0..40 {
        println!("seed {seed}");
        let mut rng = decision_rng(seed, 7);
        let mut calls = budget("calls", Scope::Team, Period::Day, "0", OnExceed::Block);
        (calls.measure, calls.limit) = (Measure::Calls, rng.random_range(3..30));
        let mut engine = with(vec![
            budget("goal", Scope::Goal, Period::PerGoal, "0.40", OnExceed::Block),
            budget("team", Scope::Team, Period::Day, "1.00", OnExceed::Block),
            budget("org", Scope::Organization, Period::Month, "2.50", OnExceed::Block),
            calls,
        ]);
        let mut open: Vec<PolicyAnswer> = Vec::new();
        let (mut now, mut refused) = (NOW, 0);
        for _ in 0..300 {
            now = now.plus_ms(rng.random_range(0..20 * 60_000));
            match rng.random_range(0..10) {
                0..6 => {
                    let mut request = ask(&format!("g{}", rng.random_range(0..6)), rng.random_range(1..20_000));
                    request.labels.insert("team".to_owned(), format!("t{}", rng.random_range(0..2)));
                    request.labels.insert("organization".to_owned(), "o".to_owned());
                    let before = used(&engine);
                    let answer = decide(&mut engine, &request, now);
                    if answer.decided.verdict == PolicyVerdict::Block {
                        refused += 1;
                        assert_eq!(used(&engine), before, "seed {seed}: a refusal books nothing anywhere");
                    } else {
                        assert_eq!(answer.decided.charges.len(), 4, "seed {seed}: booked on all of them");
                        open.push(answer);
                    }
                }
                6..8 if !open.is_empty() => {
                    let answer = open.swap_remove(rng.random_range(0..open.len()));
                    let hold = answer.decided.hold.unwrap().0;
                    let mut outcome = report(of(&answer), Some(Verdict::Success));
                    outcome.cost = Some(NanoUsd(rng.random_range(0..=hold)));
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
            for account in accounts(&engine) {
                let used = u64::try_from(account.booked.used()).unwrap();
                assert!(used <= account.opened.limit, "seed {seed}: INV-BUDGET-2 {account:?}");
                assert!(account.booked.held >= 0 && account.booked.spent >= 0 && account.booked.presumed >= 0);
            }
        }
        assert!(refused > 10, "seed {seed}: {refused} refusals");
        sums_are_those_of_the_calls(&engine);
    }
}

fn accounts(engine: &Engine) -> Vec<crate::domain::budget::Account> {
    let of_goals = engine.state.goals.values().flat_map(|g| g.accounts.clone());
    engine.state.accounts.values().cloned().chain(of_goals).collect()
}

fn used(engine: &Engine) -> BTreeMap<u64, i64> {
    accounts(engine).iter().map(|a| (a.opened.key.0, a.booked.used())).filter(|(_, used)| *used != 0).collect()
}

/// Every account holds just what the calls booked on it add up to.
pub(super) fn sums_are_those_of_the_calls(engine: &Engine) {
    for account in accounts(engine) {
        let mut sum = crate::domain::budget::Booked::default();
        for call in engine.state.calls.values() {
            for charge in call.charges.iter().filter(|c| c.account == account.opened.key) {
                sum.change(&charge.booked(call, account.opened.measure), true);
            }
        }
        assert_eq!(sum, account.booked, "{:?}", account.opened);
    }
}

#[test]
fn a_hundred_calls_of_a_cent_fit_a_dollar_and_not_one_more() {
    let mut engine = with(vec![budget("b", Scope::Workflow, Period::Total, "1", OnExceed::Block)]);
    let request = PolicyRequest { workflow: "w".to_owned(), ..ask("", 2_000) };
    let admitted = (0..1_000).filter(|_| decide(&mut engine, &request, NOW).decided.verdict.proceeds()).count();
    assert_eq!((admitted, booked(&engine)), (100, (0, 1_000_000_000, 0)));
}

#[test]
fn a_downgrade_serves_the_cheapest_that_fits_whenever_the_choice_does_not() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Downgrade)]);
    spend(&mut engine, "g", "0.96");
    let mut request = ask("g", 10_000);
    request.asked.allowed_models = vec!["openai/gpt-4o".to_owned(), "openai/gpt-4o-mini".to_owned()];
    let mut verdicts = BTreeMap::new();
    for _ in 0..40 {
        let answer = engine.decide(&request, NOW).unwrap();
        let model = engine.catalog().models()[answer.served.unwrap()].id.to_string();
        *verdicts.entry((answer.decided.verdict, model)).or_insert(0) += 1;
        fold(&mut engine, &answer.events);
        let void = engine.void(&NoStore, by_number(answer.decided.number), "x", "y", NOW).unwrap();
        fold(&mut engine, void.as_slice());
    }
    let kinds: Vec<_> = verdicts.keys().map(|(v, m)| (*v, m.as_str())).collect();
    assert_eq!(
        kinds,
        [(PolicyVerdict::Allow, "openai/gpt-4o-mini"), (PolicyVerdict::Downgrade, "openai/gpt-4o-mini")],
        "gpt-4o's $0.05 never fits the $0.04 left, mini's $0.0015 does"
    );
    spend(&mut engine, "g", "0.039");
    let none = decide(&mut engine, &request, NOW);
    assert_eq!((none.decided.verdict, said(&none).action), (PolicyVerdict::Block, OnExceed::Downgrade));
    assert_eq!(
        said(&none).message,
        "The budget of this goal does not hold this call ($0.001 of $1.00 left): nothing cheaper fits either (the cheapest \
         needs $0.0015), so the call was not made."
    );
}

#[test]
fn a_goal_further_up_whose_budget_is_used_up_is_named() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Block)]);
    spend(&mut engine, "p", "1");
    let mut below = ask("q", 2_000);
    below.asked.parent_goal = "p".to_owned();
    let message = "The budget of goal p does not hold this call ($0.00 of $1.00 left): the call was not made.";
    assert_eq!(said(&decide(&mut engine, &below, NOW)).message, message);
    let own = said(&decide(&mut engine, &ask("p", 2_000), NOW)).message.clone();
    assert_eq!(own, message.replace("goal p", "this goal"));
}

#[test]
fn a_warning_lets_the_call_through_and_says_so() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Warn)]);
    spend(&mut engine, "g", "1");
    let warned = decide(&mut engine, &ask("g", 2_000), NOW);
    assert_eq!((warned.decided.verdict, said(&warned).action), (PolicyVerdict::AllowWithWarning, OnExceed::Warn));
    assert_eq!(booked(&engine), (1_000_000_000, 10_000_000, 0), "booked all the same");
}

#[test]
fn the_strictest_of_several_budgets_decides() {
    let mut engine = with(vec![
        budget("warn", Scope::Goal, Period::PerGoal, "1", OnExceed::Warn),
        budget("approve", Scope::Goal, Period::PerGoal, "1", OnExceed::RequireApproval),
        budget("hand_off", Scope::Goal, Period::PerGoal, "1", OnExceed::HandOff),
    ]);
    spend(&mut engine, "g", "1");
    let answer = decide(&mut engine, &ask("g", 2_000), NOW);
    assert_eq!((answer.decided.verdict, said(&answer).action), (PolicyVerdict::Block, OnExceed::HandOff));
}

#[test]
fn a_call_of_unknown_price_is_not_let_through_a_budget_of_money() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Block)]);
    let request = PolicyRequest { estimate: UsageEstimate::default(), ..ask("g", 0) };
    assert_eq!(decide(&mut engine, &request, NOW).decided.verdict, PolicyVerdict::Allow, "`typical` is an estimate");
}

#[test]
fn a_period_begins_anew_and_what_was_in_flight_stays_in_the_old_one() {
    let mut engine = with(vec![budget("b", Scope::Workflow, Period::Day, "0.10", OnExceed::Block)]);
    let request = PolicyRequest { workflow: "w".to_owned(), ..ask("", 20_000) };
    let yesterday = decide(&mut engine, &request, NOW);
    let blocked = decide(&mut engine, &request, NOW);
    let resets_at = said(&blocked).resets_at.unwrap();
    assert!(resets_at > NOW && resets_at <= NOW.plus_ms(DAY_MS));
    assert!(!decide(&mut engine, &request, resets_at.plus_ms(-1)).decided.verdict.proceeds());
    let today = decide(&mut engine, &request, resets_at);
    assert!(today.decided.verdict.proceeds());
    tell(&mut engine, &costing(of(&yesterday), "0.07", Verdict::Success), resets_at);
    let mut all: Vec<_> = accounts(&engine).iter().map(|a| (a.opened.start, a.booked.spent, a.booked.held)).collect();
    all.sort();
    assert_eq!(all, [(resets_at.plus_ms(-DAY_MS), 70_000_000, 0), (resets_at, 0, 100_000_000)]);
}

#[test]
fn alerts_are_raised_once_a_period_at_spent_and_held() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Block)]);
    let mut seen = Vec::new();
    for _ in 0..12 {
        decide(&mut engine, &ask("g", 20_000), NOW);
        seen.push(engine.state.alerts.values().map(|a| a.raised.threshold).collect::<Vec<_>>());
    }
    assert_eq!(seen[3], [0_u32; 0]);
    assert_eq!((&seen[4][..], &seen[7][..], &seen[11][..]), (&[50][..], &[50, 80][..], &[50, 80, 100][..]));
}

#[test]
fn a_call_that_passes_several_thresholds_raises_the_highest_and_a_lowered_limit_its_own_at_once() {
    let of_day = |limit| budget("day", Scope::Workflow, Period::Day, limit, OnExceed::Block);
    let of_run = |limit| budget("run", Scope::Goal, Period::PerGoal, limit, OnExceed::Block);
    let mut engine = with(vec![of_day("0.50"), of_run("0.50")]);
    let told = |engine: &Engine| -> Vec<(String, u32)> {
        engine.state.alerts.values().map(|a| (a.raised.budget.clone(), a.raised.threshold)).collect()
    };
    let request = PolicyRequest { workflow: "w".to_owned(), ..ask("g", 90_000) };
    decide(&mut engine, &request, NOW);
    let first = [("day".to_owned(), 80), ("run".to_owned(), 80)];
    assert_eq!(told(&engine), first, "$0.45 of $0.50 passes 50 % and 80 %");
    assert_eq!(engine.alerts_due_everywhere(NOW), [], "both were told of");
    engine.use_budgets(Arc::new(Budgets { all: vec![of_day("0.45"), of_run("0.55")] }), Arc::default());
    let due = engine.alerts_due_everywhere(NOW);
    fold(&mut engine, &due);
    assert_eq!(told(&engine)[2..], [("day".to_owned(), 100)]);
    assert_eq!(engine.alerts_due_everywhere(NOW), [], "once");
    engine.use_budgets(Arc::new(Budgets { all: vec![of_day("5.00"), of_run("0.10")] }), Arc::default());
    assert_eq!(engine.alerts_due_everywhere(NOW.plus_ms(DAY_MS)).len(), 1, "the day is over, the goal is not");
}

#[test]
fn spend_that_nobody_asked_for_counts_and_is_marked() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Block)]);
    let elsewhere = OutcomeOf::Elsewhere { task: "tickets".to_owned(), model: "openai/gpt-4o".to_owned() };
    let outcome = OutcomeReport { goal_id: "g".to_owned(), ..costing(elsewhere, "0.99", Verdict::Success) };
    let call = tell(&mut engine, &outcome, NOW);
    assert!(engine.state.calls[&call].unadmitted);
    assert_eq!(booked(&engine), (990_000_000, 0, 0));
    assert_eq!(decide(&mut engine, &ask("g", 4_000), NOW).decided.verdict, PolicyVerdict::Block);
}

#[test]
fn a_hold_that_allows_fallbacks_covers_the_dearest_of_them() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "10", OnExceed::Block)]);
    let mut request = PolicyRequest { fallback_allowed: true, ..ask("g", 10_000) };
    request.asked.allowed_models = vec![];
    let answer = decide(&mut engine, &request, NOW);
    assert_eq!(answer.decided.fallbacks.len(), 2);
    assert_eq!(answer.decided.hold, Some(usd("0.10")), "gpt-4-turbo at $10 per million");
    assert!(matches!(engine.state.calls[&answer.decided.number].stage, Stage::Open(_)));
}

/// A call that any of the task type's models may serve, with fallbacks.
fn any_model(goal: &str, input_tokens: u64) -> PolicyRequest {
    let mut request = PolicyRequest { fallback_allowed: true, ..ask(goal, input_tokens) };
    request.asked.allowed_models = vec![];
    request
}

fn names(engine: &Engine, ids: impl IntoIterator<Item = NameId>) -> Vec<String> {
    ids.into_iter().map(|id| engine.state.names.text(NameKind::Candidate, id).to_owned()).collect()
}

#[test]
fn a_fallback_is_asked_for_again_once_the_first_attempt_has_settled_the_hold() {
    let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "1", OnExceed::Block)]);
    spend(&mut engine, "g", "0.80");
    let first = decide(&mut engine, &any_model("g", 10_000), NOW);
    assert_eq!(first.decided.fallbacks.len(), 2, "$0.05, $0.0015 and $0.10: each fits the $0.20 left");
    assert_eq!(booked(&engine), (800_000_000, 100_000_000, 0));
    tell(&mut engine, &costing(of(&first), "0.05", Verdict::Failure(FailureReason::MalformedOutput)), NOW);
    assert_eq!(booked(&engine), (850_000_000, 0, 0), "the first outcome settles the hold");
    let other = decide(&mut engine, &PolicyRequest { step: "other".to_owned(), ..ask("g", 24_000) }, NOW);
    assert_eq!(booked(&engine), (850_000_000, 120_000_000, 0), "somebody else takes what it gave back");
    let mut again = any_model("g", 10_000);
    again.asked.denied_models = vec![names(&engine, [first.decided.place.candidate]).remove(0)];
    let next = decide(&mut engine, &again, NOW);
    let served = names(&engine, [next.decided.place.candidate]);
    assert_eq!((next.decided.verdict, served), (PolicyVerdict::Allow, vec!["openai/gpt-4o-mini".to_owned()]));
    assert_eq!(next.decided.fallbacks, [], "$0.03 are left: no other model fits");
    assert_eq!(booked(&engine), (850_000_000, 121_500_000, 0));
    tell(&mut engine, &costing(of(&next), "0.001", Verdict::Success), NOW);
    tell(&mut engine, &costing(of(&other), "0.12", Verdict::Success), NOW);
    assert!(engine.state.calls.values().all(|call| !call.is_unadmitted()));
    assert!(engine.state.calls[&next.decided.number].is_retry());
}

#[test]
fn a_fallback_nobody_asked_for_again_counts_and_is_marked_in_whatever_order_it_is_told() {
    for first_told in [0, 1] {
        let mut engine = with(vec![budget("b", Scope::Goal, Period::PerGoal, "0.10", OnExceed::Block)]);
        let answer = decide(&mut engine, &any_model("g", 10_000), NOW);
        let failure = Verdict::Failure(FailureReason::Timeout);
        let own = costing(of(&answer), "0.04", failure);
        let mut fallback = costing(of(&answer), "0.09", Verdict::Success);
        fallback.model_served = names(&engine, [answer.decided.fallbacks[0].0]).remove(0);
        fallback.key = Some(crate::domain::event::Key { hash: 7, body: 7 });
        let own = OutcomeReport { key: Some(crate::domain::event::Key { hash: 8, body: 8 }), ..own };
        let mut calls = [CallNo(0); 2];
        let reports = [own, fallback];
        let (a, b) = (first_told, 1 - first_told);
        calls[a] = tell(&mut engine, &reports[a], NOW);
        let alone = &engine.state.calls[&calls[a]];
        assert!(!alone.is_unadmitted(), "the first attempt that is told of is what was held for");
        calls[b] = tell(&mut engine, &reports[b], NOW);
        let marked = calls.map(|call| engine.state.calls[&call].is_unadmitted());
        assert_eq!(marked, [false, true], "told first: {first_told}");
        assert_eq!(booked(&engine), (130_000_000, 0, 0));
        assert_eq!(decide(&mut engine, &ask("g", 1), NOW).decided.verdict, PolicyVerdict::Block);
    }
}

#[test]
fn a_downgrade_lists_what_fits_cheapest_first_and_a_fallback_is_downgraded_anew() {
    let prices = [("p/huge", "90"), ("p/c", "3"), ("p/a", "1"), ("p/d", "4"), ("p/b", "2")];
    let models: Vec<_> = prices.iter().map(|(id, price)| model(id, price, price)).collect();
    let candidate = |m: &Arc<Model>| TaskCandidate {
        id: m.id.clone(),
        model: m.clone(),
        params: BTreeMap::new(),
        // The dear one is the best by far: it is the choice that does not fit.
        prior: (&*m.id == "p/huge").then_some(Prior { successes_micro: 900_000_000, failures_micro: 1_000_000 }),
        tier: None,
        shadow: false,
    };
    let settings =
        TaskSettings { exploration_floor: 0.0, tolerance: 0.0, sticky: Sticky::None, ..TaskSettings::default() };
    let task = Task { id: "tickets".into(), candidates: models.iter().map(candidate).collect(), settings };
    let catalog = Catalog::new("test".to_owned(), models, vec![task], None);
    let mut engine = Engine::new(State::default(), Arc::new(catalog), 20_261_122);
    let start = engine.start("test", "", NOW);
    fold(&mut engine, &start);
    let b = budget("b", Scope::Goal, Period::PerGoal, "0.05", OnExceed::Downgrade);
    engine.use_budgets(Arc::new(Budgets { all: vec![b] }), Arc::default());
    let listed = |engine: &Engine, answer: &PolicyAnswer| {
        let fallbacks = answer.decided.fallbacks.iter().map(|f| f.0);
        names(engine, std::iter::once(answer.decided.place.candidate).chain(fallbacks))
    };
    for _ in 0..20 {
        let drawn = decide(&mut engine, &any_model("g", 10_000), NOW);
        assert_eq!(drawn.decided.verdict, PolicyVerdict::Downgrade, "p/huge would cost $0.90");
        assert_eq!(listed(&engine, &drawn), ["p/a", "p/b", "p/c", "p/d"], "whatever was drawn");
        let unfit = drawn.decided.unfit.iter().map(|place| drawn.decided.competitors[*place as usize].candidate);
        assert_eq!(names(&engine, unfit), ["p/huge"], "what its propensity needs is on record");
        let void = engine.void(&NoStore, by_number(drawn.decided.number), "x", "y", NOW).unwrap();
        fold(&mut engine, void.as_slice());
    }
    let first = decide(&mut engine, &any_model("g", 10_000), NOW);
    tell(&mut engine, &costing(of(&first), "0.015", Verdict::Failure(FailureReason::EmptyResponse)), NOW);
    let mut again = any_model("g", 10_000);
    again.asked.denied_models = vec!["p/a".to_owned()];
    let second = decide(&mut engine, &again, NOW);
    assert_eq!(second.decided.verdict, PolicyVerdict::Downgrade);
    assert_eq!(listed(&engine, &second), ["p/b", "p/c"], "$0.035 are left: p/d at $0.04 fits no more");
}

#[test]
fn no_fallback_is_offered_where_no_retry_is_left() {
    let mut retries = budget("tries", Scope::Goal, Period::PerGoal, "0", OnExceed::Block);
    (retries.measure, retries.limit) = (Measure::Retries, 1);
    let mut engine = with(vec![retries]);
    let first = decide(&mut engine, &any_model("g", 1), NOW);
    assert_eq!((first.decided.fallbacks.len(), booked(&engine)), (2, (0, 1, 0)), "a fallback is a retry");
    let second = decide(&mut engine, &PolicyRequest { step: "other".to_owned(), ..any_model("g", 1) }, NOW);
    assert_eq!((second.decided.verdict, second.decided.fallbacks.len()), (PolicyVerdict::Allow, 0));
    tell(&mut engine, &costing(of(&first), "0.01", Verdict::Success), NOW);
    assert_eq!(booked(&engine), (0, 0, 0), "none was needed");
}

#[test]
fn a_budget_of_retries_holds_what_is_known_to_be_one_and_counts_what_turns_out_to_be() {
    let mut tries = budget("tries", Scope::Goal, Period::PerGoal, "0", OnExceed::Block);
    (tries.measure, tries.limit) = (Measure::Retries, 1);
    let at_once = |engine: &mut Engine| -> Vec<PolicyAnswer> {
        (0..3).map(|_| decide(engine, &ask("g", 1), NOW)).filter(|a| a.decided.verdict.proceeds()).collect()
    };
    let failed = Verdict::Failure(FailureReason::Timeout);

    let mut engine = with(vec![tries.clone()]);
    let first = at_once(&mut engine);
    assert_eq!((first.len(), booked(&engine)), (3, (0, 0, 0)), "nothing has failed: none of them is a retry");
    for answer in &first {
        tell(&mut engine, &costing(of(answer), "0.01", Verdict::Success), NOW);
    }
    assert_eq!((at_once(&mut engine).len(), booked(&engine)), (3, (0, 0, 0)), "nor were they");

    let mut engine = with(vec![tries.clone()]);
    let first = at_once(&mut engine);
    for answer in &first {
        tell(&mut engine, &costing(of(answer), "0.01", failed), NOW);
    }
    assert_eq!(booked(&engine), (2, 0, 0), "two of them followed one that failed, as is known now");
    assert_eq!(at_once(&mut engine).len(), 0);

    let mut engine = with(vec![tries]);
    let first = decide(&mut engine, &ask("g", 1), NOW);
    tell(&mut engine, &costing(of(&first), "0.01", failed), NOW);
    assert_eq!((at_once(&mut engine).len(), booked(&engine)), (1, (0, 1, 0)), "of retries at once one is held");
}

#[test]
fn the_output_limit_keeps_a_call_within_its_hold_or_what_is_left() {
    let limit = |output_tokens, spent: Option<&str>| {
        let mut engine = with(vec![budget("run", Scope::Goal, Period::PerGoal, "2.00", OnExceed::Block)]);
        if let Some(spent) = spent {
            spend(&mut engine, "g", spent);
        }
        let mut request = ask("g", 100_000);
        request.estimate = UsageEstimate { input_tokens: Some(100_000), output_tokens, ..Default::default() };
        decide(&mut engine, &request, NOW).decided.max_output_tokens
    };
    assert_eq!(
        limit(Some(100), None),
        Some(100),
        "what was said is what is held: $0.50 and 100 tokens at $15 a million"
    );
    assert_eq!(limit(None, None), Some(16_384), "$1.50 would pay for 100,000 tokens; the model gives no more");
    assert_eq!(limit(None, Some("1.40")), Some(6_666), "$0.10 is left beside the input");
    let mut free = with(Vec::new());
    let mut request = ask("g", 100_000);
    request.estimate.max_output_tokens = None;
    assert_eq!(decide(&mut free, &request, NOW).decided.max_output_tokens, Some(16_384), "nothing would refuse");
}

#[test]
fn a_choice_that_a_budget_forced_is_not_kept_for_the_goal() {
    let mut engine = with(vec![budget("run", Scope::Goal, Period::PerGoal, "2.00", OnExceed::Downgrade)]);
    spend(&mut engine, "g", "1.90");
    let mut request = ask("g", 40_000);
    request.asked.allowed_models = Vec::new();
    request.asked.denied_models = vec!["openai/gpt-4-turbo".to_owned()];
    for attempt in 0..40 {
        let answer = decide(&mut engine, &request, NOW);
        if answer.decided.verdict == PolicyVerdict::Downgrade {
            assert_eq!(answer.decided.keep, None, "attempt {attempt}");
            return;
        }
        let mini = tell(&mut engine, &costing(of(&answer), "0.00", Verdict::Failure(FailureReason::Timeout)), NOW);
        assert!(mini.0 > 0);
    }
    panic!("gpt-4o was never drawn");
}

#[test]
fn an_account_is_shown_with_the_limit_calls_are_held_against() {
    let of_day = |limit| budget("day", Scope::Workflow, Period::Day, limit, OnExceed::Block);
    let mut engine = with(vec![of_day("50.00")]);
    let mut request = ask("g", 1);
    request.workflow = "w".to_owned();
    let answer = decide(&mut engine, &request, NOW);
    tell(&mut engine, &costing(of(&answer), "40.00", Verdict::Success), NOW);
    let shown = |engine: &Engine| {
        let account = engine.state.accounts.values().next().unwrap();
        let line = engine.line_of(account);
        (line.limit, line.remaining())
    };
    assert_eq!(shown(&engine), (usd("50.00").0, usd("10.00").0));
    engine.use_budgets(Arc::new(Budgets { all: vec![of_day("30.00")] }), Arc::default());
    assert_eq!(shown(&engine), (usd("30.00").0, 0), "nothing has been booked since");
    engine.use_budgets(Arc::new(Budgets { all: Vec::new() }), Arc::default());
    assert_eq!(shown(&engine).0, usd("50.00").0, "a budget that is gone keeps what it was opened with");
}
