//! Short ways to say what the stories say all the time.

use oddsmaker::wire::pb;
use pb::insights_service_client::InsightsServiceClient;
use pb::router_service_client::RouterServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A client of RouterService.
pub(crate) type Router = RouterServiceClient<Channel>;

/// A request for a decision.
pub(crate) fn ask(task: &str) -> pb::GetPolicyRequest {
    pb::GetPolicyRequest { task_type: task.to_owned(), ..Default::default() }
}

/// A request that leaves one model.
pub(crate) fn pinned(task: &str, model: &str) -> pb::GetPolicyRequest {
    let constraints = pb::Constraints { allowed_models: vec![model.to_owned()], ..Default::default() };
    pb::GetPolicyRequest { constraints: Some(constraints), ..ask(task) }
}

/// A step of a goal.
pub(crate) fn in_goal(task: &str, goal: &str, step: &str) -> pb::GetPolicyRequest {
    pb::GetPolicyRequest { goal_id: Some(goal.to_owned()), step: Some(step.to_owned()), ..ask(task) }
}

/// Usage of so many tokens in and out.
pub(crate) fn usage(input: u64, output: u64) -> Option<pb::Usage> {
    Some(pb::Usage { input_tokens: Some(input), output_tokens: Some(output), ..Default::default() })
}

/// The outcome of a decision, without a cost.
pub(crate) fn outcome(decision: &str, success: bool) -> pb::RecordOutcomeRequest {
    pb::RecordOutcomeRequest { decision_id: Some(decision.to_owned()), success: Some(success), ..Default::default() }
}

/// The outcome of a decision at the seed's usage: 300 tokens in, 40 out.
pub(crate) fn priced(decision: &str, success: bool) -> pb::RecordOutcomeRequest {
    pb::RecordOutcomeRequest { usage: usage(300, 40), ..outcome(decision, success) }
}

/// The outcome of a decision at a reported cost.
pub(crate) fn costing(decision: &str, success: bool, cost_usd: f64) -> pb::RecordOutcomeRequest {
    pb::RecordOutcomeRequest { cost_usd: Some(cost_usd), ..outcome(decision, success) }
}

/// The outcome of a call that was routed elsewhere.
pub(crate) fn elsewhere(task: &str, model: &str, success: bool) -> pb::RecordOutcomeRequest {
    pb::RecordOutcomeRequest {
        task_type: Some(task.to_owned()),
        model: Some(model.to_owned()),
        success: Some(success),
        ..Default::default()
    }
}

/// Decides; returns the answer and the id of the decision.
pub(crate) async fn decide(router: &mut Router, request: pb::GetPolicyRequest) -> (pb::GetPolicyResponse, String) {
    let answer = router.get_policy(request).await.unwrap().into_inner();
    let id = answer.decision_id.clone().expect("a decision id");
    (answer, id)
}

/// Records an outcome.
pub(crate) async fn record(router: &mut Router, request: pb::RecordOutcomeRequest) -> pb::RecordOutcomeResponse {
    router.record_outcome(request).await.unwrap().into_inner()
}

/// Records many over the stream, each under a key of its own, and waits for all answers.
pub(crate) async fn outcomes(router: &mut Router, calls: impl Iterator<Item = pb::RecordOutcomeRequest>) {
    let named = (0..).zip(calls).map(|(n, call): (u64, _)| {
        let idempotency_key = Some(call.idempotency_key.clone().unwrap_or_else(|| n.to_string()));
        let outcome = Some(pb::RecordOutcomeRequest { idempotency_key, ..call });
        pb::RecordOutcomesRequest { correlation: n.to_string(), outcome }
    });
    let named: Vec<_> = named.collect();
    let sent = named.len();
    let mut answers = router.record_outcomes(tokio_stream::iter(named)).await.unwrap().into_inner();
    let mut taken = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        assert!(matches!(answer.answer, Some(pb::record_outcomes_response::Answer::Result(_))), "{answer:?}");
        taken += 1;
    }
    assert_eq!(taken, sent);
}

/// The report over the last day.
pub(crate) async fn insights(client: &mut InsightsServiceClient<Channel>) -> pb::GetInsightsResponse {
    report(client, pb::GetInsightsRequest { lookback_hours: Some(24.0), ..Default::default() }).await
}

/// Any report.
pub(crate) async fn report(
    client: &mut InsightsServiceClient<Channel>,
    request: pb::GetInsightsRequest,
) -> pb::GetInsightsResponse {
    client.get_insights(request).await.unwrap().into_inner()
}

/// The row of a task type.
pub(crate) fn task<'a>(report: &'a pb::GetInsightsResponse, name: &str) -> &'a pb::TaskInsights {
    let names: Vec<_> = report.by_task.iter().map(|t| &t.name).collect();
    report.by_task.iter().find(|t| t.name == name).unwrap_or_else(|| panic!("no row for {name} among {names:?}"))
}

/// The code of a refusal and the fields it names.
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, Vec<String>) {
    let status = answer.expect_err("a refusal");
    let fields = status.get_details_bad_request().map(|d| d.field_violations).unwrap_or_default();
    (status.code(), fields.into_iter().map(|v| v.field).collect())
}

/// A refusal that names exactly these fields as invalid.
#[track_caller]
pub(crate) fn assert_invalid<T: std::fmt::Debug>(answer: Result<T, Status>, fields: &[&str]) {
    let (code, named) = refused(answer);
    assert_eq!((code, named.iter().map(String::as_str).collect::<Vec<_>>()), (Code::InvalidArgument, fields.to_vec()));
}
