//! The gRPC edge as a client sees it: generated clients over the routes, without a socket between them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody as _;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

use super::tests_support::{HeldDisk, service, service_on};
use super::{Edge, Health, deadline};
use crate::wire::{calls, pb};
use pb::goal_service_client::GoalServiceClient;
use pb::insights_service_client::InsightsServiceClient;
use pb::record_outcomes_response::Answer;
use pb::router_service_client::RouterServiceClient;

/// The largest message taken here, in bytes.
const MESSAGE_BYTES_MAX: usize = 1_500;

fn edge(service: Arc<crate::service::Service>) -> (Edge, Health) {
    super::edge(service, MESSAGE_BYTES_MAX)
}

const SERVICES: [&str; 4] = [
    "oddsmaker.v1.RouterService",
    "oddsmaker.v1.GoalService",
    "oddsmaker.v1.InsightsService",
    "oddsmaker.v1.AdminService",
];

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

#[tokio::test]
async fn goals_gates_and_budgets_are_asked_for_by_name() {
    let routes = edge(service()).0;
    let fields = |status: Status| -> Vec<String> {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let details = status.get_error_details();
        details.bad_request().unwrap().field_violations.iter().map(|v| v.field.clone()).collect()
    };
    let mut goals = GoalServiceClient::new(routes.clone());
    assert_eq!(fields(goals.start_goal(pb::StartGoalRequest::default()).await.unwrap_err()), ["goal_id"]);
    assert_eq!(
        fields(goals.complete_goal(pb::CompleteGoalRequest::default()).await.unwrap_err()),
        ["state", "goal_id"]
    );
    let nothing = goals.amend_goal(pb::AmendGoalRequest::default()).await.unwrap_err();
    assert_eq!(fields(nothing), ["state", "goal_id", "reason"]);
    let nothing = goals.grant_budget(pb::GrantBudgetRequest::default()).await.unwrap_err();
    assert_eq!(fields(nothing), ["extra_usd", "goal_id", "approver", "reason"]);
    assert_eq!(fields(goals.get_goal(pb::GetGoalRequest::default()).await.unwrap_err()), ["goal_id"]);
    assert_eq!(fields(goals.get_receipt(pb::GetReceiptRequest::default()).await.unwrap_err()), ["goal_id"]);
    let long = pb::ListGoalsRequest { page_size: 1_001, ..Default::default() };
    assert_eq!(fields(goals.list_goals(long).await.unwrap_err()), ["page_size"]);
    assert_eq!(fields(goals.sample_goals(pb::SampleGoalsRequest::default()).await.unwrap_err()), ["n"]);
    let mut router = RouterServiceClient::new(routes.clone());
    assert_eq!(fields(router.gate_step(pb::GateStepRequest::default()).await.unwrap_err()), ["goal_id", "step"]);
    let mut insights = InsightsServiceClient::new(routes);
    let never = pb::ExplainChangeRequest { lookback_hours: Some(0.0), ..Default::default() };
    assert_eq!(fields(insights.explain_change(never).await.unwrap_err()), ["lookback_hours"]);
    let odd = pb::ListBudgetsRequest { scope: Some("planet".into()), ..Default::default() };
    assert_eq!(fields(insights.list_budgets(odd).await.unwrap_err()), ["scope"]);
    let long = pb::ListAlertsRequest { page_size: 1_001, ..Default::default() };
    assert_eq!(fields(insights.list_alerts(long).await.unwrap_err()), ["page_size"]);
    let nobody = insights.acknowledge_alert(pb::AcknowledgeAlertRequest::default()).await.unwrap_err();
    assert_eq!(fields(nobody), ["alert_id", "by"]);
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

/// A crash must not make an id that was handed out stand for another name.
#[tokio::test]
async fn no_id_is_handed_out_before_the_names_in_it_are_on_disk() {
    let disk = HeldDisk::default();
    let service = service_on(Arc::new(disk.clone()));
    let ask = |step: &str| pb::GetPolicyRequest { step: Some(step.into()), ..ask() };
    let at_once = |step| calls::get_policy(&service, ask(step)).now_or_never().is_some();
    calls::get_policy(&service, ask("known")).await.unwrap();
    {
        let _hold = disk.hold();
        assert!(at_once("known"), "a decision whose names are on disk waits for nothing");
        assert!(!at_once("new"), "a new name waits for the disk");
        assert!(!at_once("new"), "and so does who uses it meanwhile");
    }
    calls::get_policy(&service, ask("new")).await.unwrap();
    let _hold = disk.hold();
    assert!(at_once("new"));
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

/// The status, and whether it says why as every refusal does, of a body that no generated client would send.
async fn told(path: &str, body: &'static [u8]) -> (Code, bool) {
    let body = tonic::body::Body::new(axum::body::Body::from(body));
    let request = http::Request::post(path).header("content-type", "application/grpc").body(body).unwrap();
    let response = edge(service()).0.oneshot(request).await.unwrap();
    let status = match Status::from_header_map(response.headers()) {
        Some(status) => status,
        None => {
            let mut body = Box::pin(response.into_body());
            let frame = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await.unwrap().unwrap();
            Status::from_header_map(frame.trailers_ref().unwrap()).unwrap()
        }
    };
    (status.code(), status.get_error_details().error_info().is_some_and(|info| info.reason == "INVALID_ARGUMENT"))
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_an_invalid_argument() {
    let bodies: [&'static [u8]; 5] = [
        b"",                                 // nothing at all
        b"\x00\x00\x00",                     // half a prefix
        b"\x00\x00\x00\x00\x09\x0a",         // nine bytes announced, one sent
        b"\x00\x00\x00\x00\x03\x0a\x01\xff", // a string that is no UTF-8
        b"\x07\x00\x00\x00\x00",             // no such compression
    ];
    for body in bodies {
        assert_eq!(
            told("/oddsmaker.v1.RouterService/GetPolicy", body).await,
            (Code::InvalidArgument, true),
            "{body:?}"
        );
    }
    for body in &bodies[1..] {
        let told = told("/oddsmaker.v1.RouterService/RecordOutcomes", body).await;
        assert_eq!(told, (Code::InvalidArgument, true), "streamed {body:?}");
    }
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
