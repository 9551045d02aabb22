//! The gRPC edge as a client sees it: generated clients over the routes, without a socket between them.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

use super::tests_support::service;
use super::{Edge, MESSAGE_BYTES_MAX, deadline, edge};
use crate::wire::pb;
use pb::record_outcomes_response::Answer;
use pb::router_service_client::RouterServiceClient;

const SERVICES: [&str; 3] = ["oddsmaker.v1.RouterService", "oddsmaker.v1.InsightsService", "oddsmaker.v1.AdminService"];

fn client() -> RouterServiceClient<Edge> {
    RouterServiceClient::new(edge(service()).0)
}

fn ask() -> pb::GetPolicyRequest {
    pb::GetPolicyRequest { task_type: "tickets".into(), ..Default::default() }
}

fn outcome(decision_id: Option<String>) -> pb::RecordOutcomeRequest {
    pb::RecordOutcomeRequest { decision_id, success: Some(true), cost_usd: Some(0.01), ..Default::default() }
}

fn elsewhere(cost_usd: f64) -> pb::RecordOutcomeRequest {
    let (task_type, model) = (Some("tickets".into()), Some("unknown/model".into()));
    pb::RecordOutcomeRequest { task_type, model, cost_usd: Some(cost_usd), ..Default::default() }
}

#[tokio::test]
async fn a_call_runs_its_course() {
    let mut client = client();
    let policy = client.get_policy(ask()).await.unwrap().into_inner();
    assert!(policy.proceed && policy.model.is_some());
    let told = client.record_outcome(outcome(policy.decision_id.clone())).await.unwrap().into_inner();
    assert_eq!((told.cost_usd, told.duplicate), (Some(0.01), false));
    assert!(told.posterior.is_some());
    let again = client.record_outcome(outcome(policy.decision_id.clone())).await.unwrap().into_inner();
    assert_eq!((again.outcome_id.as_str(), again.duplicate), (told.outcome_id.as_str(), true));
    let other = pb::RecordOutcomeRequest { success: Some(false), ..outcome(policy.decision_id.clone()) };
    assert_eq!(client.record_outcome(other).await.unwrap_err().code(), Code::AlreadyExists);
    let amend = pb::AmendOutcomeRequest {
        outcome_id: Some(told.outcome_id.clone()),
        cost_usd: Some(0.02),
        reason: "the bill came".into(),
        ..Default::default()
    };
    let amended = client.amend_outcome(amend).await.unwrap().into_inner();
    assert_eq!((amended.outcome_id, amended.cost_usd), (told.outcome_id, Some(0.02)));
    let void = |decision_id| pb::VoidDecisionRequest { decision_id, ..Default::default() };
    assert_eq!(client.void_decision(void(policy.decision_id)).await.unwrap_err().code(), Code::FailedPrecondition);
    let unused = client.get_policy(ask()).await.unwrap().into_inner().decision_id;
    assert!(!client.void_decision(void(unused.clone())).await.unwrap().into_inner().duplicate);
    assert!(client.void_decision(void(unused)).await.unwrap().into_inner().duplicate);
}

#[tokio::test]
async fn a_refusal_carries_its_details() {
    let mut client = client();
    let bad = pb::RecordOutcomeRequest { latency_ms: Some(u64::MAX), ..elsewhere(f64::NAN) };
    let status = client.record_outcome(bad).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_error_details();
    let fields: Vec<&str> = details.bad_request().unwrap().field_violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["cost_usd", "latency_ms"]);
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INVALID_ARGUMENT", "oddsmaker"));
    let unknown = client.record_outcome(outcome(Some("d_x".into()))).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(unknown.get_error_details().error_info().unwrap().reason, "NOT_FOUND");
}

#[test]
fn an_overload_says_when_to_come_back() {
    use crate::wire::Refusal;
    let busy = crate::service::ServiceError::Unavailable { why: "busy".into(), retry_after_ms: 250 };
    let status = Status::from(Refusal::from(busy));
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "busy"));
    let retry = status.get_error_details().retry_info().unwrap().retry_delay;
    assert_eq!(retry, Some(Duration::from_millis(250)));
}

/// More outcomes than may be in flight at once, every hundredth of them refused.
#[tokio::test]
async fn a_stream_answers_each_outcome_once_and_survives_refusals() {
    const SENT: usize = 3_000;
    let message = |i: usize| pb::RecordOutcomesRequest {
        correlation: i.to_string(),
        outcome: Some(elsewhere(if i % 100 == 99 { -1.0 } else { 0.001 })),
    };
    let answers = client().record_outcomes(stream::iter((0..SENT).map(message))).await.unwrap().into_inner();
    let answers: Vec<pb::RecordOutcomesResponse> = answers.map(Result::unwrap).collect().await;
    assert_eq!(answers.len(), SENT);
    for (i, answer) in answers.iter().enumerate() {
        assert_eq!(answer.correlation, i.to_string());
        match answer.answer.as_ref().unwrap() {
            Answer::Result(result) => assert!(i % 100 != 99 && result.cost_usd == Some(0.001)),
            Answer::Error(error) => {
                assert_eq!((i % 100, error.code), (99, 3));
                assert_eq!(error.field_violations[0].field, "cost_usd");
            }
        }
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_resource_exhausted() {
    let large = pb::RecordOutcomeRequest { evidence: Some("e".repeat(MESSAGE_BYTES_MAX)), ..elsewhere(0.0) };
    let status = client().record_outcome(large.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let small = pb::RecordOutcomesRequest { correlation: "1".into(), outcome: Some(elsewhere(0.0)) };
    let large = pb::RecordOutcomesRequest { correlation: "2".into(), outcome: Some(large) };
    let mut answers = client().record_outcomes(stream::iter([small.clone(), large, small])).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().correlation, "1");
    assert_eq!(answers.message().await.unwrap_err().code(), Code::ResourceExhausted);
    assert!(answers.message().await.unwrap().is_none(), "an error ends the stream");
}

#[tokio::test]
async fn a_deadline_that_passes_is_told_as_such() {
    let late = deadline::within(Some(Duration::from_millis(1)), std::future::pending()).await;
    assert_eq!(late.headers()["grpc-status"], "4");
}

#[tokio::test]
async fn health_is_told_for_all_and_each() {
    let (edge, health) = edge(service());
    let mut client = HealthClient::new(edge);
    let mut check = async |service: &str| {
        let request = HealthCheckRequest { service: service.into() };
        client.check(request).await.map(|r| r.into_inner().status()).map_err(|s| s.code())
    };
    for service in SERVICES.into_iter().chain([""]) {
        assert_eq!(check(service).await, Ok(ServingStatus::Serving), "{service}");
    }
    health.not_serving().await;
    for service in SERVICES.into_iter().chain([""]) {
        assert_eq!(check(service).await, Ok(ServingStatus::NotServing), "{service}");
    }
    assert_eq!(check("oddsmaker.v1.Nothing").await, Err(Code::NotFound));
}

#[tokio::test]
async fn reflection_lists_what_is_served() {
    let mut client = ServerReflectionClient::new(edge(service()).0);
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = client.server_reflection_info(stream::iter([ask])).await.unwrap().into_inner();
    let ServerReflectionResponse { message_response, .. } = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = message_response else { panic!("{message_response:?}") };
    let names: Vec<String> = list.service.into_iter().map(|s| s.name).collect();
    for expected in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
        assert!(names.iter().any(|n| n == expected), "{expected} in {names:?}");
    }
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented() {
    let request = http::Request::post("/oddsmaker.v1.RouterService/Nothing").body(tonic::body::Body::empty()).unwrap();
    let response = edge(service()).0.oneshot(request).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12");
}
