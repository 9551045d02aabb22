//! The same calls as JSON over HTTP, on the same port: same figures, proto names, zeros shown, absences null.

use oddsmaker::wire::pb;
use serde_json::{Value, json};

use super::calls::{ask, decide, insights, priced, record};
use super::catalogues;
use super::harness::{Daemon, Home};
use super::http_client::{get, post, request};

fn ok(daemon: &Daemon, path: &str) -> Value {
    let answer = get(daemon.address, path).expect("an answer");
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_decision_its_outcome_and_the_report_over_http_agree_with_grpc() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let decided = post(daemon.address, "/v1/policy", r#"{"task_type": "single", "labels": {"team": "care"}}"#);
    assert_eq!(decided.status, 200, "{}", decided.text());
    let decided = decided.json();
    assert_eq!((&decided["verdict"], &decided["proceed"]), (&json!("VERDICT_ALLOW"), &json!(true)));
    assert_eq!((&decided["model"], &decided["arm"]), (&json!("openai/gpt-4o"), &json!("ARM_ROUTER")));
    assert_eq!(
        (&decided["budgets"], &decided["exhaustion"], &decided["params"]),
        (&json!([]), &Value::Null, &Value::Null)
    );
    let body = json!({
        "decision_id": decided["decision_id"], "success": true,
        "usage": {"input_tokens": 300, "output_tokens": "40"}, "latency_ms": 812,
    });
    let recorded = post(daemon.address, "/v1/outcomes", &body.to_string()).json();
    assert_eq!((&recorded["cost_usd"], &recorded["cost_source"]), (&json!(0.0021), &json!("COST_SOURCE_PRICED")));
    assert_eq!((&recorded["duplicate"], &recorded["overrun"]), (&json!(false), &json!(false)), "zeros are shown");
    assert_eq!(post(daemon.address, "/v1/outcomes", &body.to_string()).json()["duplicate"], json!(true));

    let mut router = daemon.router().await;
    let (_, id) = decide(&mut router, ask("single")).await;
    record(&mut router, priced(&id, false)).await;
    let of_grpc = insights(&mut daemon.insights().await).await;
    let of_http = ok(&daemon, "/v1/insights?lookback_hours=24");
    assert_eq!(of_http["total_cost_nano_usd"], json!(4_200_000));
    assert_eq!(of_http["total_cost_nano_usd"].as_u64(), Some(of_grpc.total_cost_nano_usd));
    assert_eq!(of_http["failed_call_cost_nano_usd"].as_u64(), Some(of_grpc.failed_call_cost_nano_usd));
    assert_eq!(of_http["successful_outcomes"].as_u64(), Some(of_grpc.successful_outcomes));
    assert_eq!(of_http["cost_per_success"].as_f64(), of_grpc.cost_per_success);
    assert_eq!(of_http["retries"], json!(0));
    assert_eq!(of_http["previous"], Value::Null);
    let (row, of_row) = (&of_http["by_task"][0], &of_grpc.by_task[0]);
    assert_eq!(row["name"], json!("single"));
    assert_eq!(row["success_rate"].as_f64(), of_row.success_rate);
    assert_eq!(row["by_model"][0]["p95_latency_ms"].as_f64(), of_row.by_model[0].p95_latency_ms);
    let flag = of_row.over_provisioning.as_ref().unwrap().flag().as_str_name();
    assert_eq!(row["over_provisioning"]["flag"], json!(flag), "an enum is its name");
    let care = ok(&daemon, "/v1/insights?lookback_hours=24&label.team=care");
    assert_eq!((&care["calls"], &care["total_cost_nano_usd"]), (&json!(1), &json!(2_100_000)));
    let previous = ok(&daemon, "/v1/insights?lookback_hours=1&compare_previous=true");
    assert_eq!(previous["previous"]["calls"], json!(0));
}

#[tokio::test]
async fn models_probes_the_page_and_the_description_answer() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let models = ok(&daemon, "/v1/models");
    assert_eq!(models["models"][0]["id"], json!("openai/gpt-4o"));
    assert_eq!(models["models"][0]["context_limit_tokens"], json!(128_000), "64-bit integers are numbers");
    let answer = |path| get(daemon.address, path).unwrap();
    assert_eq!((answer("/livez").status, answer("/readyz").status), (200, 200));
    let description = ok(&daemon, "/openapi.json");
    assert!(description["openapi"].as_str().unwrap().starts_with("3."));
    for path in ["/v1/policy", "/v1/outcomes", "/v1/insights", "/v1/models"] {
        assert!(description["paths"].get(path).is_some(), "{path} is not described");
    }
    let page = answer("/");
    assert!(page.status == 200 && page.header("content-type").starts_with("text/html"), "{page:?}");
    assert!(page.text().contains("<html") && !page.text().contains("<script"));
    assert!(!page.header("content-security-policy").is_empty());
}

#[tokio::test]
async fn markup_in_a_name_is_inert_on_the_page() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    let (_, id) = decide(&mut router, ask("<img src=x onerror=alert(1)>")).await;
    record(&mut router, priced(&id, true)).await;
    let page = get(daemon.address, "/").unwrap();
    assert!(page.text().contains("&lt;img src=x"), "the task type is shown");
    assert!(!page.text().contains("<img src=x"));
}

#[test]
fn refusals_are_problems_that_name_the_field() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let problem = |path: &str, body: &str, status: u16| {
        let answer = post(daemon.address, path, body);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, "application/problem+json"),
            "{}",
            answer.text()
        );
        let problem = answer.json();
        assert_eq!(problem["status"], json!(status));
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    };
    let field = |problem: &Value| problem["errors"][0]["field"].as_str().unwrap_or_default().to_owned();
    let unnamed = problem("/v1/policy", "{}", 400);
    assert_eq!((field(&unnamed).as_str(), &unnamed["code"]), ("task_type", &json!("INVALID_ARGUMENT")));
    assert_eq!(field(&problem("/v1/policy", r#"{"task_type": "a", "gaol_id": "g"}"#, 400)), "gaol_id");
    assert_eq!(field(&problem("/v1/policy", r#"{"task_type": 7}"#, 400)), "task_type");
    problem("/v1/policy", r#"{"task_type": "a""#, 400);
    problem("/v1/outcomes", r#"{"decision_id": "d_unknown", "success": true}"#, 404);
    let keyed = |task: &str| format!(r#"{{"task_type": "{task}", "idempotency_key": "k"}}"#);
    assert_eq!(post(daemon.address, "/v1/policy", &keyed("single")).status, 200);
    problem("/v1/policy", &keyed("triage"), 409);
    assert_eq!(get(daemon.address, "/v1/insights").unwrap().status, 200, "seven days unless told");
    assert_eq!(get(daemon.address, "/v1/insights?lookback_hours=1&taskt_type=a").unwrap().status, 400);
    assert_eq!(get(daemon.address, "/v1/nothing").unwrap().status, 404);
    assert_eq!(get(daemon.address, "/v1/policy").unwrap().status, 405);
    let host = [("host", "127.0.0.1"), ("content-type", "text/plain")];
    assert_eq!(request(daemon.address, "POST", "/v1/policy", &host, b"{}").unwrap().status, 415);
}

#[test]
fn a_foreign_host_is_refused() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let status = |host: &str| request(daemon.address, "GET", "/", &[("host", host)], b"").unwrap().status;
    assert_eq!((status("evil.example"), status("127.0.0.1.evil.example")), (403, 403));
    assert_eq!(status(&format!("localhost:{}", daemon.address.port())), 200);
}

#[tokio::test]
async fn both_protocols_share_one_port() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut admin = daemon.admin().await;
    let status = admin.get_status(pb::GetStatusRequest {}).await.unwrap().into_inner();
    assert!(status.ready && status.addresses.iter().any(|a| a.contains(&daemon.address.port().to_string())));
    assert_eq!(get(daemon.address, "/livez").unwrap().status, 200);
}
