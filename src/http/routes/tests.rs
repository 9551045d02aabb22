//! Requests through the router: bodies, queries, refusals and headers. The rpcs themselves are tested where they live.

use futures_util::future::BoxFuture;
use http::{HeaderMap, Method};
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::http::json;
use crate::http::operations::Rpc;
use crate::wire::{Refusal, pb};

/// Refuses the task type "busy", finds no decision, repeats the names of a posterior and of a goal, and answers all else with nothing.
struct Stub;

impl Asked for Stub {
    fn ask<'a>(
        &'a self,
        operation: &'static Operation,
        request: &'a DynamicMessage,
    ) -> BoxFuture<'a, Result<DynamicMessage, Refusal>> {
        let text =
            |field| request.get_field_by_name(field).and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        let answer = match operation.rpc {
            Rpc::GetPolicy if text("task_type") == "busy" => {
                Err(Refusal { retry_after_ms: Some(1_200), ..Refusal::new(Code::Unavailable, "busy") })
            }
            Rpc::CompleteGoal | Rpc::GetGoal => {
                let goal = pb::Goal { goal_id: text("goal_id"), workflow: Some(text("note")), ..Default::default() };
                let reply = pb::GetGoalResponse { goal: Some(goal) };
                Ok(json::dynamic(json::rpc("GoalService", "GetGoal").output(), &reply))
            }
            Rpc::VoidDecision => Err(Refusal::not_found("decision")),
            Rpc::GetPosterior => {
                let task_type = format!("{}|{}", text("task_type"), text("model"));
                let reply = pb::GetPosteriorResponse { task_type, ..Default::default() };
                Ok(json::dynamic(operation.method().output(), &reply))
            }
            _ => Ok(DynamicMessage::new(operation.method().output())),
        };
        Box::pin(async { answer })
    }

    fn ready(&self) -> Result<(), String> {
        Err("the journal is being read".to_owned())
    }
}

const LIMIT: usize = 65_536;

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Status, code and offending fields of a problem.
    fn problem(&self) -> (u16, String, Vec<String>) {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let json = self.json();
        let fields = json["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap().to_owned());
        (self.status, json["code"].as_str().unwrap().to_owned(), fields.collect())
    }
}

async fn ask(method: Method, uri: &str, headers: &[(&'static str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = http::Request::builder().method(method).uri(uri);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost:7070");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let router = routes(Arc::new(Stub), AllowedHosts::new(["localhost"]), LIMIT);
    let response = router.oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body: String::from_utf8(bytes.to_vec()).unwrap() }
}

const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

async fn post(path: &str, body: impl Into<Body>) -> Answer {
    ask(Method::POST, path, &[JSON], body).await
}

async fn fetch(path: &str) -> Answer {
    ask(Method::GET, path, &[], "").await
}

fn refusal(status: u16, code: &str, fields: &[&str]) -> (u16, String, Vec<String>) {
    (status, code.to_owned(), fields.iter().map(|&field| field.to_owned()).collect())
}

#[tokio::test]
async fn a_body_becomes_a_request_and_the_answer_has_every_field() {
    let answer = post("/v1/outcomes", r#"{"decision_id": "d_1", "success": true}"#).await;
    assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (200, "application/json"));
    let expected = json!({
        "outcome_id": "", "cost_usd": null, "cost_source": "COST_SOURCE_UNSPECIFIED", "duplicate": false,
        "overrun": false, "posterior": null, "budgets": []
    });
    assert_eq!(answer.json(), expected);
    // Without fields there is nothing to say, so no body is needed.
    let reload = ask(Method::POST, "/v1/catalog/reload", &[], "").await;
    assert_eq!((reload.status, &reload.json()["changed"]), (200, &json!(false)));
}

#[tokio::test]
async fn refusals_of_the_service_are_problems() {
    let busy = post("/v1/policy", r#"{"task_type": "busy"}"#).await;
    assert_eq!(busy.problem(), refusal(503, "UNAVAILABLE", &[]));
    assert_eq!(busy.headers["retry-after"], "2");
    let void = post("/v1/decisions/void", r#"{"decision_id": "d_1"}"#).await;
    assert_eq!(void.problem(), refusal(404, "NOT_FOUND", &[]));
}

#[tokio::test]
async fn bodies_that_cannot_be_taken_are_named() {
    let invalid = "INVALID_ARGUMENT";
    let answer = post("/v1/policy", r#"{"task_typ": "a", "explain": 1}"#).await;
    assert_eq!(answer.problem(), refusal(400, invalid, &["task_typ", "explain"]));
    let answer = post("/v1/policy", "{\n\"task_type\": }").await;
    assert_eq!(answer.problem(), refusal(400, invalid, &["body"]));
    assert_eq!(answer.json()["detail"], "body is not valid JSON: expected value at line 2 column 14");
    let answer = post("/v1/policy?explain=true", r#"{"task_type": "a"}"#).await;
    assert_eq!(answer.problem(), refusal(400, invalid, &["query"]));
    assert_eq!(ask(Method::POST, "/v1/policy", &[], "").await.problem(), refusal(400, invalid, &["body"]));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = ask(Method::POST, "/v1/policy", &form, r#"{"task_type": "a"}"#).await;
    assert_eq!(answer.problem(), refusal(415, invalid, &[]));
    let fitting = format!("{{\"task_type\": \"{}\"}}", "x".repeat(LIMIT - 17));
    assert_eq!(fitting.len(), LIMIT);
    assert_eq!(post("/v1/policy", fitting.clone()).await.status, 200);
    let answer = post("/v1/policy", format!("{fitting} ")).await;
    assert_eq!(answer.problem(), refusal(413, "RESOURCE_EXHAUSTED", &[]));
}

#[tokio::test]
async fn queries_and_paths_become_requests() {
    let good = "/v1/insights?lookback_hours=168&task_type=a%20b&label.team=x&label.team.sub=y&compare_previous=true";
    assert_eq!(fetch(good).await.status, 200);
    let answer =
        fetch("/v1/insights?lookback_hours=x&lookback=1&task_type=a&task_type=b&include_cost_breakdown=1&filters=1")
            .await;
    let fields = ["lookback_hours", "lookback", "task_type", "include_cost_breakdown", "filters"];
    assert_eq!(answer.problem(), refusal(400, "INVALID_ARGUMENT", &fields));
    let told = &answer.json()["errors"][1]["description"];
    assert_eq!(told, "is no key of this query; did you mean `lookback_hours`?");
    let told = fetch("/v1/insights?zzz=1").await.json()["errors"][0]["description"].clone();
    assert!(told.as_str().unwrap().ends_with("overhead_workflow, overhead_baseline, label.KEY"), "{told}");
    assert_eq!(
        fetch("/v1/models?zzz=1").await.json()["errors"][0]["description"],
        "is no key of this query; there is none"
    );
    let answer = fetch("/v1/posteriors/a%2Fb%20c?model=openai%2Fgpt-4o").await;
    assert_eq!(answer.json()["task_type"], "a/b c|openai/gpt-4o");
    let answer = fetch("/v1/posteriors/a?task_type=b").await;
    assert_eq!(answer.problem(), refusal(400, "INVALID_ARGUMENT", &["task_type"]));
    let answer = fetch("/v1/models?verbose=1").await;
    assert_eq!(answer.problem(), refusal(400, "INVALID_ARGUMENT", &["verbose"]));
    assert_eq!(fetch("/v1/posteriors/%ff").await.problem(), refusal(400, "INVALID_ARGUMENT", &["path"]));
}

#[tokio::test]
async fn a_path_and_a_body_make_one_request() {
    let invalid = "INVALID_ARGUMENT";
    let path = "/v1/goals/ticket%2F47%2011/complete";
    let answer = post(path, r#"{"state": "GOAL_STATE_ACCEPTED", "note": "n"}"#).await;
    assert_eq!((answer.status, &answer.json()["goal"]["goal_id"]), (200, &json!("ticket/47 11")));
    assert_eq!(answer.json()["goal"]["workflow"], "n");
    let same = post(path, r#"{"goal_id": "ticket/47 11", "state": "GOAL_STATE_ACCEPTED"}"#).await;
    assert_eq!(same.status, 200);
    assert_eq!(post(path, r#"{"goal_id": null, "state": "GOAL_STATE_ACCEPTED"}"#).await.status, 200);
    for other in [r#"{"goal_id": "t"}"#, r#"{"goal_id": 1}"#] {
        assert_eq!(post(path, other).await.problem(), refusal(400, invalid, &["goal_id"]));
    }
    assert_eq!(post(path, "[]").await.problem(), refusal(400, invalid, &["body"]));
    assert_eq!(post(path, r#"{"state": "ACCEPTED"}"#).await.problem(), refusal(400, invalid, &["state"]));
    assert_eq!(ask(Method::POST, path, &[], "").await.problem(), refusal(400, invalid, &["body"]));
    assert_eq!(post("/v1/goals/%ff/complete", "{}").await.problem(), refusal(400, invalid, &["path"]));
}

#[tokio::test]
async fn one_path_takes_two_verbs() {
    let list = "/v1/goals?state=GOAL_STATE_OPEN&workflow=w&label.team=eu&page_size=10&page_token=p";
    assert_eq!(fetch(list).await.json(), json!({ "goals": [], "next_page_token": null }));
    let started = post("/v1/goals", r#"{"goal_id": "t-1", "limit_usd": 1.5}"#).await;
    assert_eq!((started.status, &started.json()["duplicate"]), (200, &json!(false)));
    let answer = ask(Method::DELETE, "/v1/goals", &[], "").await;
    assert_eq!(answer.problem(), refusal(405, "UNIMPLEMENTED", &[]));
    let named = fetch("/v1/goals/t-1").await;
    assert_eq!(named.json()["goal"]["goal_id"], "t-1");
    assert_eq!(fetch("/v1/goals/t-1/receipt?without_calls=true").await.json(), json!({ "receipt": null }));
}

#[tokio::test]
async fn instants_stand_in_a_query() {
    let windows = "previous_start=2026-10-01T00:00:00Z&previous_end=2026-11-01T00:00:00Z\
                   &current_start=2026-11-01T00:00:00Z&current_end=2026-12-01T00:00:00Z";
    assert_eq!(fetch(&format!("/v1/explain-change?{windows}&workflow=w")).await.status, 200);
    let answer = fetch("/v1/explain-change?previous_start=yesterday").await;
    assert_eq!(answer.problem(), refusal(400, "INVALID_ARGUMENT", &["previous_start"]));
    let answer = fetch("/v1/explain-change?seconds=1").await;
    assert_eq!(answer.problem(), refusal(400, "INVALID_ARGUMENT", &["seconds"]));
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    assert_eq!(fetch("/v2/policy").await.problem(), refusal(404, "NOT_FOUND", &[]));
    let answer = fetch("/v1/policy").await;
    assert_eq!(answer.problem(), refusal(405, "UNIMPLEMENTED", &[]));
    assert_eq!(answer.headers["allow"], "POST");
    let answer = ask(Method::DELETE, "/", &[], "").await;
    assert_eq!((answer.status, answer.headers["allow"].to_str().unwrap()), (405, "GET,HEAD"));
}

#[tokio::test]
async fn other_hosts_and_other_sites_are_refused() {
    let foreign = ask(Method::GET, "/", &[("host", "evil.example")], "").await;
    assert_eq!(foreign.problem(), refusal(403, "PERMISSION_DENIED", &[]));
    let body = r#"{"task_type": "a"}"#;
    let site = ask(Method::POST, "/v1/policy", &[JSON, ("origin", "http://evil.example")], body).await;
    assert_eq!(site.problem(), refusal(403, "PERMISSION_DENIED", &[]));
    let own = ask(Method::POST, "/v1/policy", &[JSON, ("origin", "http://localhost:7070")], body).await;
    assert_eq!(own.status, 200);
}

#[tokio::test]
async fn every_answer_is_hardened() {
    for path in ["/", "/v1/status", "/livez", "/nowhere", "/assets/page.css", "/openapi.json"] {
        let headers = fetch(path).await.headers;
        assert!(
            headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'; style-src 'self'")
        );
        assert_eq!(
            (&headers["x-content-type-options"], &headers["referrer-policy"]),
            (&"nosniff".parse().unwrap(), &"no-referrer".parse().unwrap())
        );
        let cached = path.starts_with("/assets");
        assert_eq!(headers["cache-control"], if cached { "public, max-age=3600" } else { "no-store" });
    }
}

#[tokio::test]
async fn live_is_not_ready() {
    let live = fetch("/livez").await;
    assert_eq!((live.status, live.body.as_str()), (200, "ok\n"));
    let ready = fetch("/readyz").await;
    assert_eq!(ready.problem(), refusal(503, "UNAVAILABLE", &[]));
    assert_eq!(ready.json()["detail"], "the journal is being read");
}

#[tokio::test]
async fn the_page_and_the_document_are_served() {
    let page = fetch("/?lookback_hours=168&utm=1").await;
    assert_eq!((page.status, page.headers["content-type"].to_str().unwrap()), (200, "text/html; charset=utf-8"));
    assert!(page.body.contains("curl http://localhost:7070/v1/policy"));
    let usual = r#"<a href="/?lookback_hours=168" aria-current="page">7 d</a>"#;
    assert!(fetch("/").await.body.contains(usual), "seven days unless another window is asked for");
    let refused = fetch("/?lookback_hours=week").await;
    assert_eq!((refused.status, refused.body.contains("must be a number of hours")), (400, true), "{}", refused.body);
    assert_eq!(fetch("/openapi.json").await.json()["openapi"], "3.1.0");
}
