//! Detail older than `ledger.retention` goes; what it came to stays. The record of a day is made older for it. What is finished is
//! packed.

use std::fs;
use std::time::{Duration, Instant};

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
use super::harness::{Daemon, Home, files};

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
    made_older_in(home, days, JournalOptions::default())
}

fn made_older_in(home: &Home, days: i64, options: JournalOptions) -> Vec<Event> {
    let dir = home.data().join("journal");
    let entries = JournalReader::open(&dir).unwrap().entries();
    let events = earlier(entries.map(|entry| codec::decode(&entry.unwrap().payload).unwrap()).collect(), days);
    fs::remove_dir_all(&dir).unwrap();
    fs::remove_dir_all(home.data().join("state")).unwrap();
    let (journal, _) = Journal::open(&dir, options).unwrap();
    for event in &events {
        let mut bytes = Vec::new();
        codec::encode(event, &mut bytes);
        journal.append(&bytes).unwrap();
    }
    journal.shutdown(Duration::from_secs(30)).unwrap();
    events
}

/// A hundred calls with outcomes, so many days ago, in a record of several segments; returns the facts.
async fn hundred_calls_in_small_segments(home: &Home, days: i64) -> Vec<Event> {
    let daemon = home.start();
    let mut router = daemon.router().await;
    for number in 0..100_u32 {
        let (_, id) = decide(&mut router, in_goal("triage", &format!("t{}", number / 4), "classify")).await;
        record(&mut router, costing(&id, number % 3 != 0, f64::from(number) / 1e4)).await;
    }
    assert!(daemon.stop().await.0.success());
    let usual = JournalOptions::default();
    let small = JournalOptions { segment_bytes: 4 << 10, headroom_bytes: 1 << 10, frame_bytes: 1 << 10, ..usual };
    made_older_in(home, days, small)
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

/// Files of the record with this ending, by name.
fn of_kind(home: &Home, end: &str) -> Vec<String> {
    let names = files(&home.data().join("journal")).into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        name.ends_with(end).then_some(name)
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_record_of_dropped_detail_gives_way_to_a_snapshot() {
    let home = Home::seeded(&catalogues::usual(), SEED);
    let events = hundred_calls_in_small_segments(&home, 40).await.len();
    let before = of_kind(&home, ".seg").len();
    assert!(before > 3, "{before}");

    let settings = "[ledger]\nretention = \"30d\"\n";
    let months = || pb::GetInsightsRequest { lookback_hours: Some(2_000.0), ..Default::default() };
    let figures = async |daemon: &Daemon| {
        let report = report(&mut daemon.insights().await, months()).await;
        pb::GetInsightsResponse { window: None, savings: None, ..report }
    };
    let daemon = home.start_with(settings);
    let told = figures(&daemon).await;
    let patience = Instant::now() + Duration::from_secs(60);
    // Segments are packed meanwhile, too.
    while of_kind(&home, ".seg").len() + of_kind(&home, ".pack").len() == before {
        assert!(Instant::now() < patience, "no segment is removed: {:?}", files(&home.data()));
        tokio::task::yield_now().await;
    }
    let mut router = daemon.router().await;
    let (_, id) = decide(&mut router, in_goal("triage", "later", "classify")).await;
    record(&mut router, costing(&id, true, 0.01)).await;
    let told_later = figures(&daemon).await;
    assert_ne!(told, told_later);
    assert!(daemon.stop().await.0.success());
    assert_eq!(of_kind(&home, ".snap").len(), 1);
    assert_eq!(fs::read_to_string(home.data().join("FORMAT")).unwrap(), "3\n", "an earlier program refuses it");

    // What was removed is in the snapshot: the index is built anew, the sums are proved, the rest is exported.
    let verified = home.run("verify");
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success() && said.contains("are not kept") && said.contains("every byte holds"), "{said}");
    fs::remove_dir_all(home.data().join("state")).unwrap();
    assert!(home.run("verify").status.success());
    let exported = home.run("export");
    let lines = String::from_utf8_lossy(&exported.stdout).lines().count();
    assert!(exported.status.success() && lines < events, "{lines} of {events}");
    assert!(String::from_utf8_lossy(&exported.stdout).contains("\"task_name\":\"triage\""), "names are known");
    assert!(String::from_utf8_lossy(&exported.stderr).contains("are no longer kept"), "{exported:?}");
    let daemon = home.start_with(settings);
    assert_eq!(figures(&daemon).await, told_later);
    assert!(daemon.stop().await.0.success());

    // Nothing stands in for a snapshot that is damaged: it is named, and nothing is guessed.
    let path = home.data().join("journal").join(&of_kind(&home, ".snap")[0]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 1;
    fs::write(&path, bytes).unwrap();
    let verified = home.run("verify");
    assert!(!verified.status.success());
    assert!(String::from_utf8_lossy(&verified.stdout).contains(".snap"), "{verified:?}");
    fs::remove_dir_all(home.data().join("state")).unwrap();
    let said = home.refusal().said;
    assert!(said.contains("event 1 is no longer kept"), "{said}");
}

/// Packing takes space from what is finished, never a fact: beside requests, over a kill, and for whoever reads the record.
#[tokio::test]
async fn finished_segments_are_packed_beside_requests_and_say_the_same() {
    let home = Home::seeded(&catalogues::usual(), SEED);
    hundred_calls_in_small_segments(&home, 0).await;
    let before = of_kind(&home, ".seg").len();
    assert!(before > 3, "{before}");
    let exported = home.run("export").stdout;

    let daemon = home.start();
    let mut router = daemon.router().await;
    let mut later = 0;
    let patience = Instant::now() + Duration::from_secs(60);
    while of_kind(&home, ".seg").len() > 1 {
        assert!(Instant::now() < patience, "they are not packed: {:?}", files(&home.data()));
        let (_, id) = decide(&mut router, in_goal("triage", "later", "classify")).await;
        record(&mut router, costing(&id, true, 0.01)).await;
        later += 1;
    }
    assert_eq!(of_kind(&home, ".pack").len(), before - 1);
    let figures = async |daemon: &Daemon| {
        let report = report(&mut daemon.insights().await, pb::GetInsightsRequest::default()).await;
        (report.total_cost_nano_usd, report.successful_outcomes, report.failed_calls_count)
    };
    let told = figures(&daemon).await;
    daemon.kill();
    assert_eq!(fs::read_to_string(home.data().join("FORMAT")).unwrap(), "3\n", "an earlier program refuses it");

    let verified = home.run("verify");
    assert!(verified.status.success(), "{verified:?}");
    let again = home.run("export").stdout;
    assert!(again.starts_with(&exported) && !exported.is_empty(), "what was written before is told as before");
    let outcomes = String::from_utf8_lossy(&again).lines().filter(|line| line.contains("\"outcome_recorded\"")).count();
    assert_eq!(outcomes, 100 + later, "each of these was acknowledged");
    fs::remove_dir_all(home.data().join("state")).unwrap();
    let daemon = home.start();
    assert_eq!(figures(&daemon).await, told);
    assert!(daemon.stop().await.0.success());
}
