//! Input that cannot be taken: refused by field where a person can mend it, bounded where nobody can, and never the end
//! of the daemon.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use oddsmaker::wire::pb;
use tonic::Code;

use super::calls::{Router, ask, assert_invalid, costing, decide, elsewhere, insights, outcome, refused};
use super::catalogues;
use super::harness::{Daemon, Home};
use super::http_client::{get, post, request};

fn usual() -> (Home, Daemon) {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    (home, daemon)
}

async fn refuses_policy(router: &mut Router, request: pb::GetPolicyRequest, fields: &[&str]) {
    assert_invalid(router.get_policy(request).await, fields);
}

async fn refuses_outcome(router: &mut Router, request: pb::RecordOutcomeRequest, fields: &[&str]) {
    assert_invalid(router.record_outcome(request).await, fields);
}

#[tokio::test]
async fn every_offending_field_of_a_policy_request_is_named() {
    let (_home, daemon) = usual();
    let router = &mut daemon.router().await;
    refuses_policy(router, ask(""), &["task_type"]).await;
    refuses_policy(router, ask(&"x".repeat(50_000)), &["task_type"]).await;
    for cost in [f64::NAN, f64::INFINITY, -0.01, 1e308, 1_000_000.01] {
        let constraints = pb::Constraints { max_cost_usd: Some(cost), ..Default::default() };
        let request = pb::GetPolicyRequest { constraints: Some(constraints), ..ask("triage") };
        refuses_policy(router, request, &["constraints.max_cost_usd"]).await;
    }
    let constraints = pb::Constraints { max_cost_usd: Some(-1.0), min_success_rate: Some(1.5), ..Default::default() };
    let features = [("length".to_owned(), f64::NAN)].into();
    let request = pb::GetPolicyRequest { constraints: Some(constraints), features, ..ask("") };
    let (code, mut fields) = refused(router.get_policy(request).await);
    fields.sort();
    assert_eq!(code, Code::InvalidArgument);
    assert_eq!(fields.len(), 4, "{fields:?}");
    assert_eq!(fields[0], "constraints.max_cost_usd");
    assert_eq!(fields[1], "constraints.min_success_rate");
    assert!(fields[2].starts_with("features") && fields[3] == "task_type", "{fields:?}");
}

#[tokio::test]
async fn every_offending_field_of_an_outcome_is_named() {
    let (_home, daemon) = usual();
    let router = &mut daemon.router().await;
    let (_, id) = decide(router, ask("single")).await;
    for cost in [f64::NAN, f64::NEG_INFINITY, -1e-9, 1e308, 1_000_001.0] {
        refuses_outcome(router, costing(&id, true, cost), &["cost_usd"]).await;
    }
    for quality in [f64::NAN, -0.1, 1.1] {
        let request = pb::RecordOutcomeRequest { quality_score: Some(quality), ..outcome(&id, true) };
        refuses_outcome(router, request, &["quality_score"]).await;
    }
    for energy in [f64::NAN, f64::INFINITY, -1.0] {
        let request = pb::RecordOutcomeRequest { energy_joules: Some(energy), ..outcome(&id, true) };
        refuses_outcome(router, request, &["energy_joules"]).await;
    }
    let both = pb::RecordOutcomeRequest { failure_reason: pb::FailureReason::Timeout.into(), ..outcome(&id, true) };
    refuses_outcome(router, both, &["failure_reason"]).await;
    let unheard_of = pb::RecordOutcomeRequest { failure_reason: 99, ..outcome(&id, false) };
    refuses_outcome(router, unheard_of, &["failure_reason"]).await;
    let more_cached_than_sent = pb::Usage { cached_input_tokens: 11, ..super::calls::usage(10, 1).unwrap() };
    let request = pb::RecordOutcomeRequest { usage: Some(more_cached_than_sent), ..outcome(&id, true) };
    refuses_outcome(router, request, &["usage.cached_input_tokens"]).await;
    let endless = super::calls::usage(u64::MAX, u64::MAX);
    let (code, _) =
        refused(router.record_outcome(pb::RecordOutcomeRequest { usage: endless, ..outcome(&id, true) }).await);
    assert_eq!(code, Code::InvalidArgument);
    let future = Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 });
    refuses_outcome(router, pb::RecordOutcomeRequest { occurred_at: future, ..outcome(&id, true) }, &["occurred_at"])
        .await;
    let nowhere = pb::RecordOutcomeRequest { success: Some(true), ..Default::default() };
    assert_eq!(refused(router.record_outcome(nowhere).await).0, Code::InvalidArgument);
    let two = pb::RecordOutcomeRequest { decision_id: Some(id.clone()), ..elsewhere("single", "gpt-4o", true) };
    assert_eq!(refused(router.record_outcome(two).await).0, Code::InvalidArgument);
    let mut forged = id.clone();
    forged.replace_range(10..11, if &id[10..11] == "A" { "B" } else { "A" });
    assert_eq!(refused(router.record_outcome(outcome(&forged, true)).await).0, Code::NotFound);
    assert_eq!(insights(&mut daemon.insights().await).await.calls, 0, "none of it was counted");
}

#[tokio::test]
async fn windows_that_cannot_be_are_refused() {
    let (_home, daemon) = usual();
    let mut client = daemon.insights().await;
    for lookback_hours in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
        let request = pb::GetInsightsRequest { lookback_hours: Some(lookback_hours), ..Default::default() };
        assert_invalid(client.get_insights(request).await, &["lookback_hours"]);
    }
}

#[tokio::test]
async fn what_is_too_large_or_too_many_is_refused_and_the_daemon_goes_on() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let huge = pb::GetPolicyRequest { goal_id: Some("g".repeat(10 << 20)), ..ask("single") };
    assert!(matches!(refused(router.get_policy(huge).await).0, Code::ResourceExhausted | Code::OutOfRange));
    let label = [("note".to_owned(), "n".repeat(1 << 20))].into();
    assert!(router.get_policy(pb::GetPolicyRequest { labels: label, ..ask("single") }).await.is_err());
    let labels = (0..500).map(|i| (format!("label {i}"), String::from("x"))).collect();
    let many = pb::GetPolicyRequest { labels, ..ask("single") };
    assert_eq!(refused(router.get_policy(many).await).0, Code::InvalidArgument);
    let control = pb::GetPolicyRequest { goal_id: Some("a\u{0}\u{1b}[31mb\n".into()), ..ask("single") };
    let _either_way = router.get_policy(control).await;
    let body = format!(r#"{{"task_type": "{}"}}"#, "x".repeat(200_000));
    assert_eq!(post(daemon.address, "/v1/policy", &body).status, 413);
    let deep = format!(r#"{{"task_type": {}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(post(daemon.address, "/v1/policy", &deep).status, 400);
    let header = [("host", "127.0.0.1"), ("x-large", &*"x".repeat(100_000))];
    let answer = request(daemon.address, "GET", "/livez", &header, b"");
    assert!(answer.is_none_or(|a| a.status == 431), "headers are bounded");
    assert!(decide(&mut daemon.router().await, ask("single")).await.0.proceed, "it goes on");
}

#[tokio::test]
async fn the_message_limit_is_the_one_that_is_set() {
    let home = Home::new(&catalogues::usual());
    for (bytes, length, expected) in [
        ("2048", 3_000, Code::ResourceExhausted),
        ("2048", 1_000, Code::InvalidArgument),
        ("262144", 200_000, Code::InvalidArgument),
    ] {
        let mut command = home.serve();
        command.args(["--set", &format!("server.max_message_bytes={bytes}")]);
        let daemon = Daemon::start(command).unwrap_or_else(|refusal| panic!("{refusal:?}"));
        let answer = daemon.router().await.get_policy(ask(&"x".repeat(length))).await;
        assert_eq!(refused(answer).0, expected, "a name of {length} bytes where messages have {bytes}");
        daemon.kill();
    }
}

#[tokio::test]
async fn clients_that_talk_nonsense_or_say_nothing_do_no_harm() {
    let home = Home::new(&catalogues::usual());
    let mut command = home.serve();
    command.args(["--set", "server.drain_timeout=1s"]);
    let daemon = Daemon::start(command).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let mut silent = Vec::new();
    for number in 0..50 {
        let mut stream = TcpStream::connect(daemon.address).unwrap();
        match number % 4 {
            0 => drop(stream.write_all(&[0xff; 4_096])),
            1 => drop(stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x09\x00garbage")),
            2 => drop(stream.write_all(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ")),
            _ => {}
        }
        silent.push(stream);
    }
    assert_eq!(get(daemon.address, "/livez").unwrap().status, 200);
    assert!(decide(&mut daemon.router().await, ask("single")).await.0.proceed);
    let asked = Instant::now();
    let (status, said) = daemon.stop().await;
    assert!(status.success() && !said.contains("panicked"), "{said}");
    assert!(asked.elapsed() < Duration::from_secs(10), "those who never answer hold up no stop: {:?}", asked.elapsed());
    drop(silent);
}
