//! The table of what can be asked over HTTP: which path stands for which rpc. Router and OpenAPI document are both made
//! from it.

use futures_util::future::BoxFuture;
use prost::Message;
use prost_reflect::{DynamicMessage, MethodDescriptor};

use super::json;
use crate::service::Service;
use crate::wire::{Refusal, calls, calls_goals};

/// How a request says what it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// By path and query; changes nothing.
    Get,
    /// By path and a JSON body.
    Post,
}

/// The rpcs that HTTP offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rpc {
    GetPolicy,
    GateStep,
    RecordOutcome,
    AmendOutcome,
    VoidDecision,
    StartGoal,
    ListGoals,
    GetGoal,
    CompleteGoal,
    AmendGoal,
    GrantBudget,
    GetReceipt,
    GetInsights,
    ExplainChange,
    EvaluatePolicy,
    ListBudgets,
    ListAlerts,
    AcknowledgeAlert,
    ListModels,
    GetPosterior,
    SetModelState,
    ResetPosterior,
    ReloadCatalog,
    GetStatus,
}

/// One path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    /// How it is asked.
    pub(super) verb: Verb,
    /// Path; a name in braces is a field of the request.
    pub(super) path: &'static str,
    /// Name of the service.
    pub(super) service: &'static str,
    /// The rpc that answers.
    pub(super) rpc: Rpc,
}

const fn operation(verb: Verb, path: &'static str, service: &'static str, rpc: Rpc) -> Operation {
    Operation { verb, path, service, rpc }
}

/// Everything that can be asked.
pub(super) const OPERATIONS: &[Operation] = &[
    operation(Verb::Post, "/v1/policy", "RouterService", Rpc::GetPolicy),
    operation(Verb::Post, "/v1/gate", "RouterService", Rpc::GateStep),
    operation(Verb::Post, "/v1/outcomes", "RouterService", Rpc::RecordOutcome),
    operation(Verb::Post, "/v1/outcomes/amend", "RouterService", Rpc::AmendOutcome),
    operation(Verb::Post, "/v1/decisions/void", "RouterService", Rpc::VoidDecision),
    operation(Verb::Post, "/v1/goals", "GoalService", Rpc::StartGoal),
    operation(Verb::Get, "/v1/goals", "GoalService", Rpc::ListGoals),
    operation(Verb::Get, "/v1/goals/{goal_id}", "GoalService", Rpc::GetGoal),
    operation(Verb::Post, "/v1/goals/{goal_id}/complete", "GoalService", Rpc::CompleteGoal),
    operation(Verb::Post, "/v1/goals/{goal_id}/amend", "GoalService", Rpc::AmendGoal),
    operation(Verb::Post, "/v1/goals/{goal_id}/grant", "GoalService", Rpc::GrantBudget),
    operation(Verb::Get, "/v1/goals/{goal_id}/receipt", "GoalService", Rpc::GetReceipt),
    operation(Verb::Get, "/v1/insights", "InsightsService", Rpc::GetInsights),
    operation(Verb::Get, "/v1/explain-change", "InsightsService", Rpc::ExplainChange),
    operation(Verb::Get, "/v1/evaluate-policy", "InsightsService", Rpc::EvaluatePolicy),
    operation(Verb::Get, "/v1/budgets", "InsightsService", Rpc::ListBudgets),
    operation(Verb::Get, "/v1/alerts", "InsightsService", Rpc::ListAlerts),
    operation(Verb::Post, "/v1/alerts/{alert_id}/acknowledge", "InsightsService", Rpc::AcknowledgeAlert),
    operation(Verb::Get, "/v1/models", "AdminService", Rpc::ListModels),
    operation(Verb::Post, "/v1/models/state", "AdminService", Rpc::SetModelState),
    operation(Verb::Get, "/v1/posteriors/{task_type}", "AdminService", Rpc::GetPosterior),
    operation(Verb::Post, "/v1/posteriors/reset", "AdminService", Rpc::ResetPosterior),
    operation(Verb::Post, "/v1/catalog/reload", "AdminService", Rpc::ReloadCatalog),
    operation(Verb::Get, "/v1/status", "AdminService", Rpc::GetStatus),
];

impl Operation {
    /// The rpc's descriptor.
    pub(super) fn method(&self) -> MethodDescriptor {
        json::rpc(self.service, &self.name())
    }

    /// Name of the rpc.
    pub(super) fn name(&self) -> String {
        format!("{:?}", self.rpc)
    }

    /// Fields of the request that stand in the path.
    pub(super) fn path_fields(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// The operation that stands for an rpc.
    pub(super) fn of(rpc: Rpc) -> &'static Self {
        let found = OPERATIONS.iter().find(|operation| operation.rpc == rpc);
        let Some(found) = found else { panic!("INV-HTTP-5: every rpc of the table has a path") };
        found
    }

    fn answer<M: Message>(&self, reply: Result<M, Refusal>) -> Result<DynamicMessage, Refusal> {
        reply.map(|reply| json::dynamic(self.method().output(), &reply))
    }
}

/// What the routes ask: the daemon's service, or something simpler in tests.
pub(super) trait Asked: Send + Sync + 'static {
    /// Answers one operation.
    fn ask<'a>(
        &'a self,
        operation: &'static Operation,
        request: &'a DynamicMessage,
    ) -> BoxFuture<'a, Result<DynamicMessage, Refusal>>;

    /// Whether requests are taken; else why not.
    fn ready(&self) -> Result<(), String>;
}

impl Asked for Service {
    fn ask<'a>(
        &'a self,
        operation: &'static Operation,
        request: &'a DynamicMessage,
    ) -> BoxFuture<'a, Result<DynamicMessage, Refusal>> {
        Box::pin(call(self, operation, request))
    }

    fn ready(&self) -> Result<(), String> {
        Self::ready(self)
    }
}

async fn call(service: &Service, operation: &Operation, request: &DynamicMessage) -> Result<DynamicMessage, Refusal> {
    use json::typed;
    match operation.rpc {
        Rpc::GetPolicy => operation.answer(calls::get_policy(service, typed(request)).await),
        Rpc::RecordOutcome => operation.answer(calls::record_outcome(service, typed(request)).await),
        Rpc::AmendOutcome => operation.answer(calls::amend_outcome(service, typed(request)).await),
        Rpc::VoidDecision => operation.answer(calls::void_decision(service, typed(request)).await),
        Rpc::GateStep => operation.answer(calls_goals::gate_step(service, typed(request)).await),
        Rpc::StartGoal => operation.answer(calls_goals::start_goal(service, typed(request)).await),
        Rpc::ListGoals => operation.answer(calls_goals::list_goals(service, typed(request)).await),
        Rpc::GetGoal => operation.answer(calls_goals::get_goal(service, typed(request)).await),
        Rpc::CompleteGoal => operation.answer(calls_goals::complete_goal(service, typed(request)).await),
        Rpc::AmendGoal => operation.answer(calls_goals::amend_goal(service, typed(request)).await),
        Rpc::GrantBudget => operation.answer(calls_goals::grant_budget(service, typed(request)).await),
        Rpc::GetReceipt => operation.answer(calls_goals::get_receipt(service, typed(request)).await),
        Rpc::ExplainChange => operation.answer(calls_goals::explain_change(service, typed(request)).await),
        Rpc::EvaluatePolicy => operation.answer(calls_goals::evaluate_policy(service, typed(request)).await),
        Rpc::ListBudgets => operation.answer(calls_goals::list_budgets(service, typed(request)).await),
        Rpc::ListAlerts => operation.answer(calls_goals::list_alerts(service, typed(request)).await),
        Rpc::AcknowledgeAlert => operation.answer(calls_goals::acknowledge_alert(service, typed(request)).await),
        Rpc::GetInsights => operation.answer(calls::get_insights(service, typed(request)).await),
        Rpc::ListModels => operation.answer(calls::list_models(service, typed(request)).await),
        Rpc::GetPosterior => operation.answer(calls::get_posterior(service, typed(request)).await),
        Rpc::SetModelState => operation.answer(calls::set_model_state(service, typed(request)).await),
        Rpc::ResetPosterior => operation.answer(calls::reset_posterior(service, typed(request)).await),
        Rpc::ReloadCatalog => operation.answer(calls::reload_catalog(service, typed(request)).await),
        Rpc::GetStatus => operation.answer(calls::get_status(service, typed(request)).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_belongs_to_an_rpc_and_names_its_fields() {
        for operation in OPERATIONS {
            let method = operation.method();
            assert_eq!(method.name(), operation.name());
            for field in operation.path_fields() {
                assert!(method.input().get_field_by_name(field).is_some(), "{}: {field}", operation.path);
            }
        }
    }
}
