//! What is acknowledged stays: over a stop, a start, and between versions of the truth. Nothing that must not be kept is.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oddsmaker::domain::event::{Body, Event};
use oddsmaker::journal::{Journal, JournalOptions, codec};
use oddsmaker::wire::pb;
use tonic::Code;

use super::calls::{ask, costing, decide, elsewhere, in_goal, insights, outcome, priced, record, refused};
use super::catalogues;
use super::harness::{Daemon, Home, files, stop_with_a_log_nobody_reads};

/// The report without the window it was asked for.
fn figures(report: pb::GetInsightsResponse) -> pb::GetInsightsResponse {
    pb::GetInsightsResponse { window: None, savings: None, ..report }
}

#[tokio::test]
async fn a_stop_and_a_start_change_no_figure_and_forget_no_key() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    let keyed =
        || pb::GetPolicyRequest { idempotency_key: Some("decision".into()), ..in_goal("triage", "t1", "classify") };
    let (first, first_id) = decide(&mut router, keyed()).await;
    let (_, second_id) = decide(&mut router, in_goal("triage", "t1", "classify")).await;
    record(&mut router, costing(&first_id, false, 0.01)).await;
    let foreign =
        || pb::RecordOutcomeRequest { idempotency_key: Some("call".into()), ..elsewhere("haiku", "gpt-4o", true) };
    record(&mut router, foreign()).await;
    let before = figures(insights(&mut daemon.insights().await).await);
    let (status, said) = daemon.stop().await;
    assert!(status.success(), "a stop that was asked for is no failure: {said}");

    let daemon = home.start();
    let mut router = daemon.router().await;
    assert_eq!(figures(insights(&mut daemon.insights().await).await), before);
    assert_eq!(decide(&mut router, keyed()).await.0, first, "the first answer again");
    assert!(record(&mut router, costing(&first_id, false, 0.01)).await.duplicate);
    assert!(record(&mut router, foreign()).await.duplicate);
    assert_eq!(refused(router.record_outcome(costing(&first_id, true, 0.01)).await).0, Code::AlreadyExists);
    record(&mut router, costing(&second_id, true, 0.01)).await;
    let report = insights(&mut daemon.insights().await).await;
    assert_eq!((report.retries, report.decisions_open), (1, 0), "it follows a failure of before the stop");
    let late = pb::AmendOutcomeRequest {
        decision_id: Some(first_id),
        success: Some(true),
        reason: "the customer says it was right".into(),
        ..Default::default()
    };
    router.amend_outcome(late).await.unwrap();
    let report = insights(&mut daemon.insights().await).await;
    assert_eq!((report.retries, report.failed_calls_count, report.successful_outcomes), (0, 0, 3));
    daemon.stop().await;
    let verified = home.run("verify");
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test]
async fn a_user_is_never_kept_in_clear() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    let canary = "canary-4711@example.org";
    let labels = || [("user".to_owned(), canary.to_owned()), ("team".to_owned(), "visible-team".to_owned())].into();
    let (_, id) = decide(&mut router, pb::GetPolicyRequest { labels: labels(), ..ask("single") }).await;
    record(&mut router, pb::RecordOutcomeRequest { labels: labels(), ..priced(&id, true) }).await;
    record(&mut router, pb::RecordOutcomeRequest { labels: labels(), ..elsewhere("single", "gpt-4o", true) }).await;
    let filters = pb::Filters { labels: [("user".to_owned(), canary.to_owned())].into(), ..Default::default() };
    let request = pb::GetInsightsRequest { lookback_hours: Some(1.0), filters: Some(filters), ..Default::default() };
    let report = super::calls::report(&mut daemon.insights().await, request).await;
    assert_eq!(report.calls, 2, "it can still be asked for");
    let (_, said) = daemon.stop().await;
    assert!(!said.contains(canary));
    let holds = |text: &str| {
        let found = |bytes: Vec<u8>| bytes.windows(text.len()).any(|w| w == text.as_bytes());
        files(&home.data()).into_iter().any(|path| found(fs::read(path).unwrap()))
    };
    assert!(holds("visible-team"), "the search finds what is there");
    assert!(!holds(canary) && !holds("canary-4711"));
    let exported = home.run("export");
    assert!(exported.status.success() && !String::from_utf8_lossy(&exported.stdout).contains("canary-4711"));
}

#[tokio::test]
async fn the_record_exports_as_one_json_object_a_line() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    for number in 0..20 {
        let (_, id) = decide(&mut router, in_goal("triage", &format!("t{number}"), "classify")).await;
        record(&mut router, priced(&id, number % 3 != 0)).await;
    }
    let beside = home.run("export");
    assert!(beside.status.success(), "it reads beside a running daemon: {beside:?}");
    daemon.stop().await;
    let exported = home.run("export");
    let text = String::from_utf8(exported.stdout).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seqs: Vec<u64> = lines.iter().map(|line| line["seq"].as_u64().expect("a number")).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "contiguous from the first");
    assert_eq!(text.matches("\"outcome_recorded\"").count(), 20);
    assert!(text.contains("classify") && text.contains("triage"), "a line is readable on its own");
}

#[tokio::test]
async fn told_to_stop_under_load_it_finishes_what_it_acknowledged() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut callers = Vec::new();
    for caller in 0..8 {
        let (mut router, acknowledged) = (daemon.router().await, acknowledged.clone());
        callers.push(tokio::spawn(async move {
            for number in 0.. {
                let key = Some(format!("{caller}-{number}"));
                let request = pb::RecordOutcomeRequest { idempotency_key: key, ..elsewhere("single", "gpt-4o", true) };
                match router.record_outcome(request).await {
                    Ok(_) => acknowledged.fetch_add(1, Ordering::SeqCst),
                    Err(status) => return status.code(),
                };
            }
            Code::Ok
        }));
    }
    while acknowledged.load(Ordering::SeqCst) < 100 {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (status, said) = daemon.stop().await;
    assert!(status.success(), "{said}");
    for caller in callers {
        let code = caller.await.unwrap();
        assert!(matches!(code, Code::Unavailable | Code::Cancelled | Code::Unknown | Code::Internal), "{code:?}");
    }
    let daemon = home.start();
    let report = insights(&mut daemon.insights().await).await;
    let acknowledged = acknowledged.load(Ordering::SeqCst);
    let stored = report.successful_outcomes;
    assert!((acknowledged..=acknowledged + 8).contains(&stored), "{acknowledged} acknowledged, {stored} stored");
    drop(daemon);
    assert!(home.run("verify").status.success());
}

#[test]
fn a_log_nobody_reads_holds_up_no_stop() {
    let home = Home::new(&catalogues::usual());
    let status = stop_with_a_log_nobody_reads(home.serve()).expect("it stops when told to");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_decision_survives_as_its_id_even_before_it_is_on_disk() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    let (_, warm) = decide(&mut router, ask("single")).await;
    record(&mut router, outcome(&warm, true)).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(decide(&mut router, ask("single")).await.1);
    }
    daemon.kill();
    let daemon = home.start();
    let mut router = daemon.router().await;
    for id in &ids {
        assert!(!record(&mut router, priced(id, true)).await.duplicate);
    }
    assert!(record(&mut router, priced(&ids[0], true)).await.duplicate);
    let report = insights(&mut daemon.insights().await).await;
    assert_eq!((report.successful_outcomes, report.decisions, report.decisions_open), (21, 21, 0));
    assert_eq!(report.total_cost_nano_usd, 20 * 2_100_000);
}

/// Writes a fact as a start with a clock that far ahead would have dated it.
fn date_ahead(home: &Home, ahead_ms: i64) {
    let (journal, _) = Journal::open(&home.data().join("journal"), JournalOptions::default()).unwrap();
    let at = oddsmaker::clock::wall().plus_ms(ahead_ms);
    let mut bytes = Vec::new();
    codec::encode(&Event { at, body: Body::DecisionsExpired { calls: Vec::new() } }, &mut bytes);
    let seq = journal.append(&bytes).unwrap();
    journal.wait_synced_blocking(seq, Duration::from_secs(60)).unwrap();
}

#[tokio::test]
async fn a_start_with_a_wrong_clock_is_found_out_by_the_next() {
    const HOUR_MS: i64 = 3_600_000;
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let (_, id) = decide(&mut daemon.router().await, ask("single")).await;
    daemon.stop().await;
    date_ahead(&home, HOUR_MS / 2);
    let daemon = home.start();
    assert!(!record(&mut daemon.router().await, priced(&id, true)).await.duplicate, "half an hour back is no matter");
    assert_eq!(insights(&mut daemon.insights().await).await.calls, 1);
    daemon.stop().await;
    date_ahead(&home, 400 * 24 * HOUR_MS);
    let refusal = home.refusal();
    assert_eq!(refusal.code, Some(1), "{refusal:?}");
    assert!(refusal.said.contains("ledger.max_clock_behind=400d"), "{refusal:?}");
    let mut command = home.serve();
    command.args(["--set", "ledger.max_clock_behind=400d"]);
    let daemon = Daemon::start(command).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    assert!(decide(&mut daemon.router().await, ask("single")).await.0.proceed, "it goes on from the record's time");
}

#[tokio::test]
async fn an_index_written_anew_holds_what_it_held() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    for number in 0..20_u32 {
        let (_, id) = decide(&mut router, in_goal("triage", &format!("t{}", number / 4), "classify")).await;
        record(&mut router, costing(&id, number % 3 != 0, 0.01)).await;
    }
    let refused = home.run("compact");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("a daemon is using "), "{refused:?}");
    let before = figures(insights(&mut daemon.insights().await).await);
    daemon.stop().await;
    let compacted = home.run("compact");
    assert!(compacted.status.success(), "{compacted:?}");
    let said = String::from_utf8_lossy(&compacted.stdout);
    assert!(said.contains("FILES AFTER") && said.contains("\nWritten anew: the index took "), "{said}");
    assert!(home.run("verify").status.success());
    let daemon = home.start();
    assert_eq!(figures(insights(&mut daemon.insights().await).await), before);
}
