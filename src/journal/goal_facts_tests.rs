//! Random facts about goals, budgets and alerts, and the bytes of what recurs with every call under a budget.

use super::*;
use crate::domain::budget::{AccountKey, Charge, Measure, OnExceed, Opened, Scope};
use crate::domain::event::{AlertRaised, BudgetGranted, Exhausted, Gated, GoalClosed, GoalStarted, TimedOut};
use crate::domain::goal::GoalState;
use crate::journal::goal_facts::{charges, charges_of, opened, opened_of};

fn account() -> impl Strategy<Value = AccountKey> {
    any::<u64>().prop_map(AccountKey)
}

/// What a call is booked on one account.
pub(super) fn charge() -> impl Strategy<Value = Charge> {
    (account(), prop_oneof![0_u64..3, any::<u64>()]).prop_map(|(account, held)| Charge { account, held })
}

prop_compose! {
    /// What is used up.
    pub(super) fn exhausted()(
        budget in text(), account in account(), action in one_of(OnExceed::ALL), message in text(),
        measure in one_of(Measure::ALL), limit in any::<u64>(), spent in any::<i64>(), held in any::<i64>(), resets_at in option::of(instant()),
    ) -> Exhausted {
        Exhausted { budget, account, action, message, measure, limit, spent, held, resets_at }
    }
}

prop_compose! {
    fn gated()(
        number in number(), verdict in one_of(PolicyVerdict::ALL), place in place(), parent_goal in text(),
        times in (instant(), option::of(instant()), option::of(instant())), hold in money(), charges in vec(charge(), 0..4),
        exhausted in option::of(exhausted()), attempts in any::<u32>(), last_success in any::<Option<bool>>(),
        output_ref in text(), key in (text(), key()),
    ) -> Gated {
        Gated {
            number, verdict, place, parent_goal, expires_at: times.0, hold, charges, exhausted, attempts, last_success,
            first_attempt_at: times.1, last_attempt_at: times.2, output_ref, reason: key.0, key: key.1,
        }
    }
}

prop_compose! {
    fn account_opened()(
        key in account(), budget in text(), scope in one_of(Scope::ALL), measure in one_of(Measure::ALL), goal in text(),
        instance in option::of(text()), start in instant(), resets_at in option::of(instant()), limit in any::<u64>(),
    ) -> Opened {
        let instance = instance.unwrap_or_else(|| goal.clone());
        Opened { key, budget, scope, measure, instance, goal, start, resets_at, limit }
    }
}

prop_compose! {
    fn closed()(
        goal in text(), state in one_of(GoalState::ALL), score in option::of((0_u32..=1_000_000).prop_map(QualityMicro)),
        ended_at in option::of(instant()), note in text(), by in text(), key in key(),
    ) -> GoalClosed {
        GoalClosed { goal, state, score, ended_at, note, by, key }
    }
}

prop_compose! {
    fn started()(
        goal in text(), workflow in name(), labels in any::<u32>(), parent in text(), limit in option::of(money()), key in key(),
        other_workflow in text(), other_labels in option::of(labels()),
    ) -> GoalStarted {
        GoalStarted { goal, workflow, labels: LabelsId(labels), parent, limit, other_workflow, other_labels, key }
    }
}

prop_compose! {
    fn alert()(
        alert in any::<u64>(), account in account(), goal in text(), budget in text(), instance in text(),
        threshold in any::<u32>(), used in any::<i64>(), limit in any::<u64>(),
    ) -> AlertRaised {
        AlertRaised { alert, account, goal, budget, instance, threshold, used, limit }
    }
}

/// Any fact about goals, budgets or alerts.
pub(super) fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        account_opened().prop_map(|o| Body::AccountOpened(Box::new(o))),
        gated().prop_map(|g| Body::Gated(Box::new(g))),
        started().prop_map(|s| Body::GoalStarted(Box::new(s))),
        closed().prop_map(|c| Body::GoalClosed(Box::new(c))),
        closed().prop_map(|c| Body::GoalAmended(Box::new(c))),
        vec((text(), option::of(instant())), 0..4).prop_map(|goals| Body::GoalsTimedOut {
            goals: goals.into_iter().map(|(goal, ended_at)| TimedOut { goal, ended_at }).collect(),
        }),
        any::<i64>().prop_map(|before| Body::DetailDropped { before: UnixMillis(before) }),
        (text(), money(), text(), text(), key()).prop_map(|(goal, extra, approver, reason, key)| {
            Body::BudgetGranted(Box::new(BudgetGranted { goal, extra, approver, reason, key }))
        }),
        alert().prop_map(|a| Body::AlertRaised(Box::new(a))),
        (any::<u64>(), text(), text()).prop_map(|(alert, by, note)| Body::AlertAcknowledged { alert, by, note }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// In a goal's record the goal is not said again, neither as the goal nor as the instance.
    #[test]
    fn an_account_comes_back_from_the_record_of_its_goal(of in account_opened()) {
        let stored = opened_of(&of, &of.goal);
        prop_assert!(stored.goal.is_empty());
        prop_assert_eq!(opened(stored, &of.goal), Ok(of));
    }
}

#[test]
fn a_charge_is_eight_bytes_and_a_varint() {
    let booked = [Charge { account: AccountKey(0x0102_0304_0506_0708), held: 300 }];
    let bytes = charges_of(&booked);
    assert_eq!(hex(&bytes), "0807060504030201ac02");
    assert_eq!(charges(&bytes), Ok(booked.to_vec()));
    let ragged = Err(CodecError::Ragged { field: "charges" });
    assert_eq!(charges(&bytes[..5]), ragged);
    assert_eq!(charges(&bytes[..9]), ragged, "a number that goes on behind the end");
}
