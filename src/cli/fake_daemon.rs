//! A daemon for the tests of verbs: it answers from what a test laid down and keeps what it was asked. It refuses to know
//! what is right.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::args::ServerArgs;
use crate::wire::pb::goal_service_server::{GoalService, GoalServiceServer};
use crate::wire::pb::insights_service_server::{InsightsService, InsightsServiceServer};
use crate::wire::pb::{self, GoalState};

/// What it answers from, and what it was asked.
#[derive(Default)]
pub(super) struct World {
    pub(super) goals: Vec<pb::Goal>,
    pub(super) budgets: Vec<pb::BudgetState>,
    pub(super) alerts: Vec<pb::Alert>,
    pub(super) receipt: Option<pb::Receipt>,
    /// Answers by the policy asked about.
    pub(super) evaluations: BTreeMap<String, pb::EvaluatePolicyResponse>,
    /// Entries of a page at most.
    pub(super) page: usize,
    /// Requests in the order they came, as they print.
    pub(super) asked: Vec<String>,
    /// Amendments by their key.
    pub(super) amendments: BTreeMap<String, pb::AmendGoalRequest>,
}

/// A daemon that listens until it is dropped.
pub(super) struct Fake {
    pub(super) world: Arc<Mutex<World>>,
    address: String,
    _runtime: Runtime,
}

#[derive(Clone)]
struct Services(Arc<Mutex<World>>);

impl Fake {
    /// Starts it.
    pub(super) fn start(world: World) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let world = Arc::new(Mutex::new(world));
        let services = Services(Arc::clone(&world));
        let server = tonic::transport::Server::builder()
            .add_service(GoalServiceServer::new(services.clone()))
            .add_service(InsightsServiceServer::new(services));
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { world, address, _runtime: runtime }
    }

    /// How a verb finds it.
    pub(super) fn server(&self) -> ServerArgs {
        ServerArgs { address: Some(self.address.clone()) }
    }

    /// What it was asked.
    pub(super) fn asked(&self) -> Vec<String> {
        self.world.lock().unwrap().asked.clone()
    }
}

/// Part of a list from the place a token names.
fn page<T: Clone>(all: &[T], size: u64, most: usize, token: Option<String>) -> (Vec<T>, Option<String>) {
    let from: usize = token.map_or(0, |token| token.parse().unwrap());
    let to = all.len().min(from + most.min(size as usize));
    (all[from..to].to_vec(), (to < all.len()).then(|| to.to_string()))
}

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("no test needs this"))
}

#[tonic::async_trait]
impl GoalService for Services {
    async fn start_goal(&self, _: Request<pb::StartGoalRequest>) -> Result<Response<pb::StartGoalResponse>, Status> {
        not_here()
    }

    async fn complete_goal(
        &self,
        _: Request<pb::CompleteGoalRequest>,
    ) -> Result<Response<pb::CompleteGoalResponse>, Status> {
        not_here()
    }

    async fn amend_goal(
        &self,
        request: Request<pb::AmendGoalRequest>,
    ) -> Result<Response<pb::AmendGoalResponse>, Status> {
        let (request, mut world) = (request.into_inner(), self.0.lock().unwrap());
        if request.reason.len() > 200 {
            let details = ErrorDetails::with_bad_request_violation("reason", "has more than 200 bytes");
            return Err(Status::with_error_details(tonic::Code::InvalidArgument, "1 field", details));
        }
        let duplicate = world.amendments.contains_key(request.idempotency_key());
        let Some(goal) = world.goals.iter_mut().find(|goal| goal.goal_id == request.goal_id) else {
            return Err(Status::not_found(format!("the goal {} is not known", request.goal_id)));
        };
        if !duplicate {
            goal.state = request.state;
        }
        let answer = pb::AmendGoalResponse { goal: Some(goal.clone()), duplicate };
        world.amendments.insert(request.idempotency_key().to_owned(), request);
        Ok(Response::new(answer))
    }

    async fn grant_budget(
        &self,
        _: Request<pb::GrantBudgetRequest>,
    ) -> Result<Response<pb::GrantBudgetResponse>, Status> {
        not_here()
    }

    async fn get_goal(&self, request: Request<pb::GetGoalRequest>) -> Result<Response<pb::GetGoalResponse>, Status> {
        let (id, world) = (request.into_inner().goal_id, self.0.lock().unwrap());
        let goal = world.goals.iter().find(|goal| goal.goal_id == id).cloned();
        let goal = goal.ok_or_else(|| Status::not_found(format!("the goal {id} is not known")))?;
        Ok(Response::new(pb::GetGoalResponse { goal: Some(goal) }))
    }

    async fn get_receipt(
        &self,
        request: Request<pb::GetReceiptRequest>,
    ) -> Result<Response<pb::GetReceiptResponse>, Status> {
        let (request, mut world) = (request.into_inner(), self.0.lock().unwrap());
        world.asked.push(format!("{} {}", request.goal_id, request.without_calls));
        Ok(Response::new(pb::GetReceiptResponse { receipt: world.receipt.clone() }))
    }

    async fn list_goals(
        &self,
        request: Request<pb::ListGoalsRequest>,
    ) -> Result<Response<pb::ListGoalsResponse>, Status> {
        let (request, mut world) = (request.into_inner(), self.0.lock().unwrap());
        let filters = request.filters.clone().unwrap_or_default();
        let (state, workflow) = (filters.state().as_str_name(), filters.workflow());
        world.asked.push(format!("{state} {workflow} {:?} {}", filters.labels, request.page_size));
        let (goals, next_page_token) = page(&world.goals, request.page_size, world.page, request.page_token);
        Ok(Response::new(pb::ListGoalsResponse { goals, next_page_token }))
    }

    async fn sample_goals(
        &self,
        request: Request<pb::SampleGoalsRequest>,
    ) -> Result<Response<pb::SampleGoalsResponse>, Status> {
        let (request, mut world) = (request.into_inner(), self.0.lock().unwrap());
        world.asked.push(format!("n {} seed {} hours {:?}", request.n, request.seed, request.lookback_hours));
        let ended = world.goals.iter().filter(|goal| goal.state() != GoalState::Open);
        let answer =
            pb::SampleGoalsResponse { goals: ended.take(request.n as usize).cloned().collect(), population: 0 };
        Ok(Response::new(answer))
    }
}

#[tonic::async_trait]
impl InsightsService for Services {
    async fn get_insights(
        &self,
        _: Request<pb::GetInsightsRequest>,
    ) -> Result<Response<pb::GetInsightsResponse>, Status> {
        not_here()
    }

    async fn explain_change(
        &self,
        _: Request<pb::ExplainChangeRequest>,
    ) -> Result<Response<pb::ExplainChangeResponse>, Status> {
        not_here()
    }

    async fn evaluate_policy(
        &self,
        request: Request<pb::EvaluatePolicyRequest>,
    ) -> Result<Response<pb::EvaluatePolicyResponse>, Status> {
        let (request, mut world) = (request.into_inner(), self.0.lock().unwrap());
        world.asked.push(format!("{} {} {:?}", request.policy, request.task_type(), request.lookback_hours));
        let known = world.evaluations.get(&request.policy).cloned();
        known.map(Response::new).ok_or_else(|| Status::not_found("no such model"))
    }

    async fn list_budgets(
        &self,
        request: Request<pb::ListBudgetsRequest>,
    ) -> Result<Response<pb::ListBudgetsResponse>, Status> {
        let (request, mut world) = (request.into_inner(), self.0.lock().unwrap());
        let of = [request.budget_id(), request.scope(), request.instance(), request.goal_id()].join("/");
        world.asked.push(of);
        let (budgets, next_page_token) = page(&world.budgets, request.page_size, world.page, request.page_token);
        Ok(Response::new(pb::ListBudgetsResponse { budgets, next_page_token }))
    }

    async fn list_alerts(
        &self,
        request: Request<pb::ListAlertsRequest>,
    ) -> Result<Response<pb::ListAlertsResponse>, Status> {
        let (request, mut world) = (request.into_inner(), self.0.lock().unwrap());
        world.asked.push(format!("{}/{}", request.budget_id(), request.include_acknowledged));
        let (alerts, next_page_token) = page(&world.alerts, request.page_size, world.page, request.page_token);
        Ok(Response::new(pb::ListAlertsResponse { alerts, next_page_token }))
    }

    async fn acknowledge_alert(
        &self,
        request: Request<pb::AcknowledgeAlertRequest>,
    ) -> Result<Response<pb::AcknowledgeAlertResponse>, Status> {
        let (request, mut world) = (request.into_inner(), self.0.lock().unwrap());
        let Some(alert) = world.alerts.iter_mut().find(|alert| alert.alert_id == request.alert_id) else {
            return Err(Status::not_found("no such alert"));
        };
        let duplicate = alert.acknowledged_by.is_some();
        if !duplicate {
            (alert.acknowledged_by, alert.note) = (Some(request.by), request.note);
            alert.acknowledged_at = Some(prost_types::Timestamp { seconds: 1_795_348_860, nanos: 0 });
        }
        Ok(Response::new(pb::AcknowledgeAlertResponse { alert: Some(alert.clone()), duplicate }))
    }
}
