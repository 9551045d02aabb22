//! Features over the wire: what a request says of itself decides by which evidence it is routed, and everything tells so.

use oddsmaker::wire::pb;

use super::calls::{ask, decide, outcome, record};
use super::catalogues;
use super::harness::Home;

const TASK: &str = r#"
[[task]]
id = "answer"
candidates = ["openai/gpt-4o", "openai/gpt-4o-mini"]
tolerance = 0.0
features = [{ name = "difficulty", edges = [0.5] }, { label = "language", values = ["en"] }]
"#;

fn of(difficulty: f64) -> pb::GetPolicyRequest {
    let labels = [("language".to_owned(), "en".to_owned())].into();
    pb::GetPolicyRequest { features: [("difficulty".to_owned(), difficulty)].into(), labels, ..ask("answer") }
}

#[tokio::test]
async fn a_request_is_decided_by_what_requests_like_it_taught_also_after_a_restart() {
    let home = Home::seeded(&format!("{}{TASK}", catalogues::usual()), 7);
    let daemon = home.start();
    let mut router = daemon.router().await;
    for round in 0..120 {
        let hard = round % 2 == 1;
        let (answer, id) = decide(&mut router, of(if hard { 0.9 } else { 0.1 })).await;
        let good = if hard { "openai/gpt-4o" } else { "openai/gpt-4o-mini" };
        record(&mut router, outcome(&id, answer.model.as_deref() == Some(good))).await;
    }
    daemon.kill();

    let daemon = home.start();
    let (mut router, mut admin) = (daemon.router().await, daemon.admin().await);
    let asked = pb::GetPolicyRequest { explain: true, dry_run: true, ..of(0.9) };
    let answer = router.get_policy(asked).await.unwrap().into_inner();
    assert_eq!(answer.stratum.as_deref(), Some("difficulty >= 0.5, language = en"));
    let sum: f64 = answer.candidates.iter().filter_map(|c| c.propensity).sum();
    assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    let request = pb::GetPosteriorRequest { task_type: "answer".into(), model: None };
    let cells = admin.get_posterior(request).await.unwrap().into_inner().cells;
    for (candidate, cell) in answer.candidates.iter().zip(&cells) {
        let texts: Vec<&str> = cell.strata.iter().map(|s| s.stratum.as_str()).collect();
        assert_eq!(texts, ["difficulty < 0.5, language = en", "difficulty >= 0.5, language = en"]);
        let told: f64 = cell.strata.iter().map(|s| s.successes + s.failures).sum();
        assert_eq!(told, (cell.success_count + cell.failure_count) as f64);
        assert_eq!(candidate.mean, cell.strata[1].mean, "decided by the stratum's own posterior");
        assert!(cell.features_matter.is_some_and(|p| p > 0.9), "{:?}", cell.features_matter);
    }
    assert!(cells[0].strata[1].mean > 0.8 && cells[0].strata[0].mean < 0.5, "{:?}", cells[0].strata);
    let single = router.get_policy(pb::GetPolicyRequest { explain: true, ..ask("single") }).await.unwrap().into_inner();
    assert_eq!(single.stratum, None);
}

#[tokio::test]
async fn a_misspelt_feature_is_named_once_with_the_nearest_one() {
    let home = Home::seeded(&format!("{}{TASK}", catalogues::usual()), 7);
    let daemon = home.start();
    let mut router = daemon.router().await;
    let mut asked = of(0.9);
    asked.features = [("dificulty", 0.9), ("length", 12.0)].map(|(name, value)| (name.to_owned(), value)).into();
    let answer = router.get_policy(asked.clone()).await.unwrap().into_inner();
    let said = "task type `answer` declares no feature `dificulty`, `length`: stored, but nothing is told apart by it; did you \
                mean `difficulty`?";
    assert_eq!(answer.warnings, [said]);
    assert!(router.get_policy(of(0.9)).await.unwrap().into_inner().warnings.is_empty());
    let nothing_declared = pb::GetPolicyRequest { task_type: "single".to_owned(), ..asked };
    assert!(router.get_policy(nothing_declared).await.unwrap().into_inner().warnings.is_empty(), "stored for later");
}
