//! A rollout as a caller meets it: arms that stay with their goal over kill -9, and savings that are only told against what
//! was held out, in JSON, on the page and on the command line.

use oddsmaker::wire::pb;
use pb::Arm;

use super::calls::{costing, decide, in_goal, insights, record};
use super::catalogues;
use super::harness::Home;

const TASK: &str = r#"
[[task]]
id = "rolled"
candidates = ["openai/gpt-4o", "openai/gpt-4o-mini"]
serve_share = 0.8
holdout = { model = "openai/gpt-4o", share = 0.4 }
"#;

/// Plays goals from `first` to `last`: a held-out one costs three times as much as a served one.
async fn play(daemon: &super::harness::Daemon, first: u32, last: u32) -> Vec<Arm> {
    let (mut router, mut goals) = (daemon.router().await, daemon.goals().await);
    let mut arms = Vec::new();
    for n in first..last {
        let goal_id = format!("g{n}");
        let request = pb::GetPolicyRequest {
            requested_model: Some("openai/gpt-4o-mini".into()),
            ..in_goal("rolled", &goal_id, "answer")
        };
        let (decided, id) = decide(&mut router, request).await;
        let expected = match decided.arm() {
            Arm::Holdout => Some("openai/gpt-4o"),
            Arm::Observe => Some("openai/gpt-4o-mini"),
            _ => decided.model.as_deref(),
        };
        assert_eq!(decided.model.as_deref(), expected, "{:?}", decided.arm());
        assert_eq!(decided.router_choice.is_some(), decided.arm() != Arm::Router);
        let cost_usd = if decided.arm() == Arm::Holdout { 0.003 } else { 0.001 };
        record(&mut router, costing(&id, true, cost_usd)).await;
        let state = pb::GoalState::Accepted.into();
        goals.complete_goal(pb::CompleteGoalRequest { goal_id, state, ..Default::default() }).await.unwrap();
        arms.push(decided.arm());
    }
    arms
}

#[tokio::test]
async fn savings_are_told_against_the_holdout_and_survive_kill_9() {
    let home = Home::new(&(catalogues::usual() + TASK));
    let daemon = home.start();
    let mut arms = play(&daemon, 0, 150).await;
    let before = insights(&mut daemon.insights().await).await.savings.unwrap();
    assert_eq!((before.rows[0].standing(), before.saved_usd_per_month), (pb::SavingsStanding::TooFew, None));
    daemon.kill();
    let daemon = home.start();
    let same = insights(&mut daemon.insights().await).await.savings.unwrap();
    assert_eq!(same.rows[0].arms, before.rows[0].arms, "exactly as before");
    let mut router = daemon.router().await;
    for (n, arm) in arms.iter().enumerate().take(20) {
        let again = router.get_policy(in_goal("rolled", &format!("g{n}"), "more")).await.unwrap().into_inner();
        assert_eq!(again.arm(), *arm, "goal {n} stays where it was");
    }
    arms.extend(play(&daemon, 150, 500).await);
    let report = insights(&mut daemon.insights().await).await;
    let savings = report.savings.unwrap();
    let [row] = &savings.rows[..] else { panic!("one row: {:?}", savings.rows) };
    assert_eq!(row.standing(), pb::SavingsStanding::Saved, "{}", row.sentence);
    let units = |arm| row.arms.iter().find(|a| a.arm() == arm).map(|a| (a.units, a.cost_nano_usd)).unwrap();
    // The twenty goals that were asked for again are open again.
    let closed = |arm| arms.iter().skip(20).filter(|a| **a == arm).count() as u64;
    assert_eq!(units(Arm::Router), (closed(Arm::Router), closed(Arm::Router) * 1_000_000));
    assert_eq!(units(Arm::Holdout), (closed(Arm::Holdout), closed(Arm::Holdout) * 3_000_000));
    assert_eq!(units(Arm::Observe).0, closed(Arm::Observe));
    let address = format!("http://{}", daemon.address);
    let told = |format: &str| {
        let arguments = ["insights", "--proof", "--format", format, "--address", &address];
        let out = home.command(&arguments).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let text = told("table");
    for part in ["Routing rolled saves $", "held out", "the caller's own choice", "All together $"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let rows: serde_json::Value = serde_json::from_str(&told("json")).unwrap();
    assert_eq!(rows[0]["standing"], "SAVINGS_STANDING_SAVED");
    let page = super::http_client::get(daemon.address, "/").unwrap();
    assert!(page.text().contains("What routing saves") && page.text().contains("Routing rolled saves $"));
    daemon.stop().await;
    let verified = home.run("verify");
    assert!(verified.status.success(), "stored as refolded: {}", String::from_utf8_lossy(&verified.stderr));
    let daemon = home.start();
    let stored = insights(&mut daemon.insights().await).await.savings.unwrap();
    assert_eq!(stored.rows[0].arms, row.arms, "read from the store");
}
