//! The seed scenario at full size through the running daemon over gRPC: `cargo bench --bench seed_scenario`. Failures
//! fall at random. It prints what came out beside what must come out, and fails when it does not.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a run that cannot go on must fail")]
#![allow(missing_docs, reason = "a program, not a library")]

#[path = "../tests/suite/catalogues.rs"]
#[expect(dead_code, reason = "the suite uses more of it")]
mod catalogues;
#[path = "../tests/suite/harness.rs"]
#[expect(dead_code, reason = "the suite uses more of it")]
mod harness;
#[path = "../tests/suite/http_client.rs"]
#[expect(dead_code, reason = "the suite uses more of it")]
mod http_client;
#[path = "../tests/suite/seed_world.rs"]
#[expect(dead_code, reason = "the suite uses more of it")]
mod seed_world;

use std::time::Instant;

use oddsmaker::wire::pb;
use seed_world::{CHEAP, DEAR, Luck, TASKS, Traffic, World, cost_per_success, play, share, success_rate};
use tonic::transport::Channel;

const SEED: u64 = 20_261_122;
const AT_ONCE: usize = 32;
const DEAR_USD: f64 = 0.0021;

/// Prints figures and remembers whether all were as they must be.
struct Verdict {
    all_well: bool,
}

impl Verdict {
    fn must(&mut self, what: &str, found: &str, well: bool) {
        println!("  {} {what}: {found}", if well { "ok    " } else { "FAILED" });
        self.all_well &= well;
    }
}

#[tokio::main]
async fn main() {
    if !std::env::args().any(|a| a == "--bench") {
        println!("skipped: run it with `cargo bench --bench seed_scenario`");
        return;
    }
    let seed = std::env::var("SEED").map_or(SEED, |text| text.parse().expect("a number"));
    let home = harness::Home::seeded(&catalogues::with_tasks(TASKS), seed as u8);
    let daemon = home.start();
    let channel = daemon.channel().await;
    let mut verdict = Verdict { all_well: true };
    println!(
        "SEED={seed}, {AT_ONCE} calls in flight; 300 tokens in, 40 out; gpt-4o $5/$15, gpt-4o-mini $0.15/$0.60 per Mtok"
    );
    classification(&channel, seed, &mut verdict).await;
    pinned(&daemon, &channel, seed, &mut verdict).await;
    escalation(&channel, seed, &mut verdict).await;
    ceiling(&channel, seed, &mut verdict).await;
    // An exit runs no destructors: the daemon and its folder must go first.
    drop(daemon);
    drop(home);
    std::process::exit(i32::from(!verdict.all_well));
}

fn traffic(task: &'static str, calls: u64) -> Traffic {
    Traffic { task, calls, pinned_percent: 0, max_cost_usd: None, at_once: AT_ONCE }
}

async fn classification(channel: &Channel, seed: u64, verdict: &mut Verdict) {
    println!("ticket_classification: gpt-4o 97 %, mini 95 %, tolerance 0.05, 10,000 calls");
    let world = World::of_two(970, 950, Luck::Seeded(seed));
    let began = Instant::now();
    let played = play(channel, &world, &traffic("ticket_classification", 10_000)).await;
    println!("  played in {:.1} s", began.elapsed().as_secs_f64());
    let last = &played[8_000..];
    let always = DEAR_USD / 0.97;
    let ratio = always / cost_per_success(last);
    verdict.must(
        "mini's share of the last 2,000, at least 0.90",
        &format!("{:.4}", share(last, CHEAP)),
        share(last, CHEAP) >= 0.9,
    );
    let success = success_rate(last);
    verdict.must("success of the last 2,000, within 0.03 of 0.97", &format!("{success:.4}"), success >= 0.94);
    let found = format!("{:.8} against {always:.8}: {ratio:.1} times", cost_per_success(last));
    verdict.must("cost per success of the last 2,000, at least 10 times below always gpt-4o", &found, ratio >= 10.0);
    println!(
        "  all 10,000: mini {:.4}, success {:.4}, cost per success {:.8}",
        share(&played, CHEAP),
        success_rate(&played),
        cost_per_success(&played)
    );
}

async fn pinned(daemon: &harness::Daemon, channel: &Channel, seed: u64, verdict: &mut Verdict) {
    println!("the same with gpt-4o pinned on 80 % of 20,000 calls, pins = \"exchangeable\"");
    let world = World::of_two(970, 950, Luck::Seeded(seed + 1));
    let rows = [("ticket_classification_pinned", true), ("ticket_classification_pinned_strict", false)];
    for (task, flagged) in rows {
        play(channel, &world, &Traffic { pinned_percent: 80, ..traffic(task, 20_000) }).await;
        let request = pb::GetInsightsRequest { lookback_hours: Some(24.0), ..Default::default() };
        let report = daemon.insights().await.get_insights(request).await.unwrap().into_inner();
        let row = report.by_task.into_iter().find(|t| t.name == task).expect("a row");
        let flag = row.over_provisioning.unwrap();
        let well = row.uses_higher_tier_than_needed == flagged && flag.saving_usd_per_month.is_some() == flagged;
        let margin = flag.margin;
        verdict.must(&format!("flag at margin {margin}, to be {flagged}"), &flag.sentence, well);
    }
}

async fn escalation(channel: &Channel, seed: u64, verdict: &mut Verdict) {
    println!("escalation_summary: mini 82 %, gpt-4o 96 %, 10,000 calls");
    let world = World::of_two(960, 820, Luck::Seeded(seed + 2));
    let played = play(channel, &world, &traffic("escalation_summary", 10_000)).await;
    let dear = share(&played[8_000..], DEAR);
    verdict.must("gpt-4o's share of the last 2,000, at least 0.90", &format!("{dear:.4}"), dear >= 0.9);
}

async fn ceiling(channel: &Channel, seed: u64, verdict: &mut Verdict) {
    println!("max_cost_usd 0.002 on 2,000 calls; gpt-4o costs 0.0021");
    let world = World::of_two(970, 950, Luck::Seeded(seed + 3));
    let capped = Traffic { max_cost_usd: Some(0.002), ..traffic("ticket_classification", 2_000) };
    let played = play(channel, &world, &capped).await;
    verdict.must("calls that gpt-4o served, none", &format!("{}", share(&played, DEAR)), share(&played, DEAR) == 0.0);
}
