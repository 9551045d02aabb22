//! Kills the daemon while it writes and while it opens, again and again on one data directory, and proves each time that
//! what was acknowledged is stored, that what is stored was sent, and that both count exactly once.
//!
//! `ODDSMAKER_CRASH_ROUNDS` sets the number of rounds (50).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use oddsmaker::wire::pb;
use pb::record_outcomes_response::Answer;

use super::calls::{Router, ask, elsewhere, insights, outcome};
use super::catalogues;
use super::harness::{Daemon, Home, Starting};

const CONNECTIONS: usize = 8;
const ROUNDS: u32 = 50;
const PATIENCE: Duration = Duration::from_secs(170);

/// Everything that was sent, by idempotency key, and whether it was acknowledged.
#[derive(Default)]
struct Ledger {
    sent: HashMap<String, (pb::RecordOutcomeRequest, bool)>,
}

impl Ledger {
    fn acknowledged(&self) -> u64 {
        self.sent.values().filter(|(_, acknowledged)| *acknowledged).count() as u64
    }

    fn sent_nano_usd(&self) -> u64 {
        self.sent.values().map(|(request, _)| (request.cost_usd.unwrap_or(0.0) * 1e9).round() as u64).sum()
    }
}

/// A small generator, so that the moments of the kills can be repeated (SplitMix64; Steele, Lea & Flood 2014).
struct Dice(u64);

impl Dice {
    fn below_ms(&mut self, limit: u64) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_micros((z ^ (z >> 31)) % (limit * 1_000))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_outcome_survives_every_kill() {
    let rounds = std::env::var("ODDSMAKER_CRASH_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("a number"));
    let seed = std::env::var("ODDSMAKER_CRASH_SEED").map_or(4711, |text| text.parse().expect("a number"));
    println!("{rounds} rounds, ODDSMAKER_CRASH_SEED={seed}");
    let home = Home::new(&catalogues::usual());
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut dice = Dice(seed);
    let began = Instant::now();
    let mut stored = 0;
    for round in 0..rounds {
        assert!(rounds > ROUNDS || began.elapsed() < PATIENCE, "{round} rounds took {:?}", began.elapsed());
        let daemon = start(&home, round);
        let (count, _) = check(&daemon, &ledger).await;
        assert!(count >= stored, "round {round}: {stored} were stored before, {count} are now");
        stored = send_again(&daemon, &ledger, round).await;
        load_until_killed(daemon, &ledger, round, dice.below_ms(300)).await;
        // Sometimes before it has its files, sometimes within their opening, sometimes after it.
        let starting = Starting::spawn(home.serve());
        tokio::time::sleep(dice.below_ms(200)).await;
        starting.kill();
        if round % 10 == 9 {
            verify_a_copy(&home);
        }
    }
    let daemon = home.start();
    check(&daemon, &ledger).await;
    send_again(&daemon, &ledger, u32::MAX).await;
    let (count, nano) = check(&daemon, &ledger).await;
    let ledger = ledger.lock().unwrap();
    assert_eq!((count, nano), (ledger.sent.len() as u64, ledger.sent_nano_usd()), "all sent again, each counted once");
    assert!(ledger.acknowledged() > u64::from(rounds), "there was a load: {}", ledger.acknowledged());
    println!("{} outcomes over {rounds} kills under load in {:?}", ledger.sent.len(), began.elapsed());
    drop(daemon);
    verify_a_copy(&home);
}

/// Every other round the state is written all the time and the segments of the record are short, so that kills fall into
/// both.
fn start(home: &Home, round: u32) -> Daemon {
    let mut command = home.serve();
    if round % 2 == 1 {
        command.args(["--set", "ledger.checkpoint_interval=10ms", "--set", "ledger.segment_bytes=1048576"]);
    }
    Daemon::start(command).unwrap_or_else(|refusal| panic!("round {round}: {refusal:?}"))
}

/// acked ⊆ stored ⊆ sent, as counted; returns what is stored and what it cost.
async fn check(daemon: &Daemon, ledger: &Mutex<Ledger>) -> (u64, u64) {
    let report = insights(&mut daemon.insights().await).await;
    let ledger = ledger.lock().unwrap();
    let (acknowledged, sent) = (ledger.acknowledged(), ledger.sent.len() as u64);
    assert!(
        (acknowledged..=sent).contains(&report.calls),
        "{acknowledged} acknowledged, {} stored, {sent} sent",
        report.calls
    );
    assert_eq!(report.calls, report.successful_outcomes + report.failed_calls_count);
    assert!(report.total_cost_nano_usd <= ledger.sent_nano_usd());
    (report.calls, report.total_cost_nano_usd)
}

/// Sends what the last round sent (at the end: everything) once more: what was acknowledged must be known. Afterwards
/// all of it is acknowledged. Returns how many outcomes are stored then.
async fn send_again(daemon: &Daemon, ledger: &Mutex<Ledger>, round: u32) -> u64 {
    let last = format!("{}-", round.wrapping_sub(1));
    let requests: Vec<_> = {
        let ledger = ledger.lock().unwrap();
        let wanted = ledger.sent.iter().filter(|(key, _)| round == u32::MAX || key.starts_with(&last));
        let request = |(key, (request, _)): (&String, &(pb::RecordOutcomeRequest, bool))| pb::RecordOutcomesRequest {
            correlation: key.clone(),
            outcome: Some(request.clone()),
        };
        wanted.map(request).collect()
    };
    let expected = requests.len();
    let mut router = daemon.router().await;
    let mut answers = router.record_outcomes(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let mut answered = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        let key = answer.correlation;
        let Some(Answer::Result(result)) = answer.answer else { panic!("{key}: {:?}", answer.answer) };
        let mut ledger = ledger.lock().unwrap();
        let (_, acknowledged) = ledger.sent.get_mut(&key).expect("only what was sent is answered");
        assert!(result.duplicate || !*acknowledged, "{key} was acknowledged and is lost");
        *acknowledged = true;
        answered += 1;
    }
    assert_eq!(answered, expected);
    insights(&mut daemon.insights().await).await.calls
}

/// Eight callers decide and record as fast as they can until the daemon is gone.
async fn load_until_killed(daemon: Daemon, ledger: &Arc<Mutex<Ledger>>, round: u32, after: Duration) {
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for connection in 0..CONNECTIONS {
        let (mut router, ledger, over) = (daemon.router().await, ledger.clone(), over.clone());
        callers.push(tokio::spawn(async move {
            for number in 0_u32.. {
                let key = format!("{round}-{connection}-{number}");
                let Some(mut request) = next_outcome(&mut router, &key, number).await else { break };
                request.idempotency_key = Some(key.clone());
                request.cost_usd = Some(f64::from(number % 1_000) / 1e6);
                ledger.lock().unwrap().sent.insert(key.clone(), (request.clone(), false));
                match router.record_outcome(request).await {
                    Ok(_) => ledger.lock().unwrap().sent.get_mut(&key).unwrap().1 = true,
                    Err(status) => {
                        assert!(over.load(Ordering::SeqCst), "refused before the kill: {status:?}");
                        break;
                    }
                }
            }
        }));
    }
    tokio::time::sleep(after).await;
    over.store(true, Ordering::SeqCst);
    tokio::task::spawn_blocking(move || daemon.kill()).await.unwrap();
    for caller in callers {
        caller.await.unwrap();
    }
}

/// Decisions that need no sync, decisions that do, goals with retries, and calls routed elsewhere, in turn.
async fn next_outcome(router: &mut Router, key: &str, number: u32) -> Option<pb::RecordOutcomeRequest> {
    let success = !number.is_multiple_of(5);
    let request = match number % 3 {
        0 => return Some(elsewhere("single", "gpt-4o", success)),
        1 => ask("triage"),
        _ => pb::GetPolicyRequest {
            goal_id: Some(format!("goal {}", &key[..key.len() - 1])),
            idempotency_key: Some(format!("decision of {key}")),
            ..ask("triage")
        },
    };
    let decided = router.get_policy(request).await.ok()?.into_inner();
    Some(outcome(&decided.decision_id?, success))
}

/// The record and the state of a copy hold, and the record is contiguous.
fn verify_a_copy(home: &Home) {
    let copy = home.copy();
    let verified = copy.run("verify");
    assert!(verified.status.success(), "{verified:?}");
    let exported = copy.run("export");
    assert!(exported.status.success(), "{exported:?}");
    let text = String::from_utf8(exported.stdout).unwrap();
    let seq = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap();
    for (at, line) in text.lines().enumerate() {
        assert_eq!(seq(line), at as u64 + 1, "the record is contiguous");
    }
}
