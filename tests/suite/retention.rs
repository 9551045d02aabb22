//! Detail older than `ledger.retention` goes; what it came to stays. The record of a day is made older for it.

use std::fs;
use std::time::Duration;

use oddsmaker::domain::call::CallTraits;
use oddsmaker::domain::event::{Body, Event};
use oddsmaker::domain::outcome::DecisionRef;
use oddsmaker::domain::time::DAY_MS;
use oddsmaker::domain::token::{TokenKey, TokenKind};
use oddsmaker::journal::{Journal, JournalOptions, JournalReader, codec};
use oddsmaker::wire::pb;
use tonic::Code;

use super::calls::{costing, decide, elsewhere, in_goal, record, refused, report};
use super::catalogues;
use super::harness::Home;

const SEED: u8 = 9;

/// The facts of a record, so many days earlier.
fn earlier(events: Vec<Event>, days: i64) -> Vec<Event> {
    let ms = -days * DAY_MS;
    let shift = |mut event: Event| {
        event.at = event.at.plus_ms(ms);
        match &mut event.body {
            Body::Decided(decided) => decided.expires_at = decided.expires_at.plus_ms(ms),
            Body::OutcomeRecorded(recorded) => {
                recorded.counted_at = recorded.counted_at.plus_ms(ms);
                if let Some(place) = &mut recorded.place {
                    place.at = place.at.plus_ms(ms);
                }
            }
            _ => {}
        }
        event
    };
    events.into_iter().map(shift).collect()
}

/// Makes what happened in `home` happen so many days earlier; returns the facts.
fn made_older(home: &Home, days: i64) -> Vec<Event> {
    let dir = home.data().join("journal");
    let entries = JournalReader::open(&dir).unwrap().entries();
    let events = earlier(entries.map(|entry| codec::decode(&entry.unwrap().payload).unwrap()).collect(), days);
    fs::remove_dir_all(&dir).unwrap();
    fs::remove_dir_all(home.data().join("state")).unwrap();
    let (journal, _) = Journal::open(&dir, JournalOptions::default()).unwrap();
    for event in &events {
        let mut bytes = Vec::new();
        codec::encode(event, &mut bytes);
        journal.append(&bytes).unwrap();
    }
    journal.shutdown(Duration::from_secs(30)).unwrap();
    events
}

/// The id of the first decision of these facts.
fn decision_id(events: &[Event]) -> String {
    let decided = events.iter().find_map(|event| match &event.body {
        Body::Decided(decided) => Some((event.at, decided)),
        _ => None,
    });
    let (at, decided) = decided.unwrap();
    let (place, traits) = (&decided.place, CallTraits { ..decided.traits });
    let (task, candidate, step) = (place.task, place.candidate, place.step);
    let of = DecisionRef { number: decided.number, at, task, candidate, step, traits };
    TokenKey::new([SEED; 32]).seal(TokenKind::Decision, &of)
}

#[tokio::test]
async fn old_detail_goes_and_what_it_came_to_stays() {
    let home = Home::seeded(&catalogues::usual(), SEED);
    let daemon = home.start();
    let mut router = daemon.router().await;
    let (_, id) = decide(&mut router, in_goal("triage", "ticket", "classify")).await;
    record(&mut router, costing(&id, true, 0.01)).await;
    let keyed =
        || pb::RecordOutcomeRequest { idempotency_key: Some("call".into()), ..elsewhere("haiku", "gpt-4o", true) };
    assert!(!record(&mut router, keyed()).await.duplicate);
    let state = pb::GoalState::Accepted.into();
    let closed = pb::CompleteGoalRequest { goal_id: "ticket".into(), state, ..Default::default() };
    daemon.goals().await.complete_goal(closed).await.unwrap();
    assert!(daemon.stop().await.0.success());
    let old_id = decision_id(&made_older(&home, 40));

    // Kept for ever, unless somebody says otherwise.
    let goal = || pb::GetGoalRequest { goal_id: "ticket".into() };
    let months = || pb::GetInsightsRequest { lookback_hours: Some(2_000.0), ..Default::default() };
    let daemon = home.start();
    assert!(daemon.goals().await.get_goal(goal()).await.is_ok());
    let before = report(&mut daemon.insights().await, months()).await;
    assert_eq!((before.successful_outcomes, before.by_task.len()), (2, 2));
    assert!(daemon.stop().await.0.success());

    let daemon = home.start_with("[ledger]\nretention = \"30d\"\n");
    let refusal = daemon.goals().await.get_goal(goal()).await.unwrap_err();
    assert_eq!(refusal.code(), Code::NotFound);
    assert!(refusal.message().contains("detail is kept since"), "{refusal}");
    let mut router = daemon.router().await;
    let late = pb::AmendOutcomeRequest {
        decision_id: Some(old_id.clone()),
        success: Some(false),
        reason: "the customer came back".into(),
        ..Default::default()
    };
    let refusal = router.amend_outcome(late).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert!(refusal.message().contains("detail is kept since "), "{refusal}");
    assert_eq!(refused(router.record_outcome(costing(&old_id, true, 0.01)).await).0, Code::FailedPrecondition);
    let after = report(&mut daemon.insights().await, months()).await;
    let window = None::<pb::Window>;
    assert_eq!(
        pb::GetInsightsResponse { window: window.clone(), ..after },
        pb::GetInsightsResponse { window, ..before },
        "the sums of what was dropped are as they were"
    );
    assert!(!record(&mut router, keyed()).await.duplicate, "keys live as long as the detail");
    assert!(daemon.stop().await.0.success());
    let verified = home.run("verify");
    assert!(verified.status.success(), "{verified:?}");
}
