//! The hold path under a scheduler that tries interleavings: decide, write and fold are one step under the lock, so
//! whatever the order of callers, restarts of their work and outcomes, a budget is used up to the last hold that fits
//! and never beyond. A failure prints the schedule that led to it.

use shuttle::sync::{Arc, Mutex};
use shuttle::thread;

use super::Engine;
use super::hydrate::NoStore;
use super::tests::{fold, report};
use super::tests_goals::{ask, budget, grant, of, with};
use crate::domain::budget::{OnExceed, Period, Scope};
use crate::domain::outcome::Verdict;
use crate::domain::request::PolicyRequest;
use crate::domain::time::UnixMillis;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

/// Four callers with three calls of a cent each race for a nickel; every other call that was let through is settled at
/// half its hold, so that what is given back may be held again.
#[test]
fn however_callers_race_a_budget_is_never_overdrawn_and_used_up() {
    race("", || with(vec![budget("b", Scope::Workflow, Period::Total, "0.05", OnExceed::Block)]));
}

/// The same nickel, granted to the goal of all of them by somebody whose approval the workflow's budget waits for.
#[test]
fn however_callers_race_a_grant_is_never_overdrawn_and_used_up() {
    race("g", || {
        let mut engine = with(vec![budget("b", Scope::Workflow, Period::Total, "0", OnExceed::RequireApproval)]);
        let answer = engine.decide(&ask("g", 2_000), NOW).unwrap();
        fold(&mut engine, &answer.events);
        grant(&mut engine, "g", "0.05", NOW);
        engine
    });
}

fn race(goal: &'static str, engine: impl Fn() -> Engine + Send + Sync + 'static) {
    shuttle::check_random(
        move || {
            let engine = Arc::new(Mutex::new(engine()));
            let callers = (0..4).map(|caller| {
                let engine = engine.clone();
                thread::spawn(move || {
                    let mut admitted = 0_i64;
                    for n in 0..3 {
                        let request = PolicyRequest { workflow: "w".to_owned(), ..ask(goal, 2_000) };
                        let answer = {
                            let mut engine = engine.lock().unwrap();
                            let answer = engine.decide(&request, NOW).unwrap();
                            fold(&mut engine, &answer.events);
                            answer
                        };
                        thread::yield_now();
                        if !answer.decided.verdict.proceeds() {
                            continue;
                        }
                        admitted += 1;
                        if (caller + n) % 2 == 0 {
                            let mut outcome = report(of(&answer), Some(Verdict::Success));
                            outcome.cost = Some(crate::domain::money::NanoUsd(5_000_000));
                            let mut engine = engine.lock().unwrap();
                            let recorded = engine.record(&NoStore, &outcome, NOW).unwrap();
                            fold(&mut engine, &recorded.events);
                        }
                    }
                    admitted
                })
            });
            let admitted: i64 = callers.collect::<Vec<_>>().into_iter().map(|c| c.join().unwrap()).sum();
            let engine = engine.lock().unwrap();
            let purse = engine.state.goals.get(goal).and_then(|of| of.accounts.first());
            let account = purse.or(engine.state.accounts.values().next()).unwrap();
            let used = account.booked.used();
            assert!(used <= 50_000_000, "INV-BUDGET-2: {used}");
            assert!((5..=10).contains(&admitted), "{admitted} were let through");
            assert_eq!(account.booked.held % 10_000_000, 0);
        },
        300,
    );
}
