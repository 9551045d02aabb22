//! RouterService, and its stream of outcomes.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _, future};
use tonic::{Request, Response, Status, Streaming};

use super::status;
use crate::service::Service;
use crate::wire::pb::record_outcomes_response::Answer;
use crate::wire::pb::{self, router_service_server::RouterService};
use crate::wire::{Refusal, calls, calls_goals};

/// Outcomes of one stream that may wait for the disk at once; past that the stream is not read.
const IN_FLIGHT_MAX: usize = 1_024;

/// The service.
#[derive(Clone, Debug)]
pub(super) struct Router {
    service: Arc<Service>,
}

impl Router {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service }
    }
}

#[tonic::async_trait]
impl RouterService for Router {
    async fn get_policy(
        &self,
        request: Request<pb::GetPolicyRequest>,
    ) -> Result<Response<pb::GetPolicyResponse>, Status> {
        Ok(Response::new(calls::get_policy(&self.service, request.into_inner()).await?))
    }

    async fn gate_step(&self, request: Request<pb::GateStepRequest>) -> Result<Response<pb::GateStepResponse>, Status> {
        Ok(Response::new(calls_goals::gate_step(&self.service, request.into_inner()).await?))
    }

    async fn record_outcome(
        &self,
        request: Request<pb::RecordOutcomeRequest>,
    ) -> Result<Response<pb::RecordOutcomeResponse>, Status> {
        Ok(Response::new(calls::record_outcome(&self.service, request.into_inner()).await?))
    }

    type RecordOutcomesStream = Answers;

    async fn record_outcomes(
        &self,
        request: Request<Streaming<pb::RecordOutcomesRequest>>,
    ) -> Result<Response<Answers>, Status> {
        Ok(Response::new(answers(self.service.clone(), request.into_inner())))
    }

    async fn amend_outcome(
        &self,
        request: Request<pb::AmendOutcomeRequest>,
    ) -> Result<Response<pb::AmendOutcomeResponse>, Status> {
        Ok(Response::new(calls::amend_outcome(&self.service, request.into_inner()).await?))
    }

    async fn void_decision(
        &self,
        request: Request<pb::VoidDecisionRequest>,
    ) -> Result<Response<pb::VoidDecisionResponse>, Status> {
        Ok(Response::new(calls::void_decision(&self.service, request.into_inner()).await?))
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<pb::RecordOutcomesResponse, Status>> + Send>>;

/// Each outcome is taken in the order sent, before the one before it is on disk; answers come in that order too.
fn answers(
    service: Arc<Service>,
    outcomes: impl Stream<Item = Result<pb::RecordOutcomesRequest, Status>> + Send + 'static,
) -> Answers {
    let submitted = outcomes.map(move |message| match message {
        Ok(message) => {
            let (correlation, taken) = calls::submit_streamed(&service, message);
            future::Either::Left(answer(service.clone(), correlation, taken))
        }
        Err(status) => future::Either::Right(future::ready(Err(status::of_transport(status)))),
    });
    // An error ends the stream: nothing after it is asked for.
    Box::pin(submitted.buffered(IN_FLIGHT_MAX))
}

async fn answer(
    service: Arc<Service>,
    correlation: String,
    taken: Result<calls::Submitted, Refusal>,
) -> Result<pb::RecordOutcomesResponse, Status> {
    let answered = match taken {
        Ok(submitted) => submitted.answer(&service).await,
        Err(refusal) => Err(refusal),
    };
    let answer = match answered {
        Ok(response) => Answer::Result(response),
        Err(refusal) => Answer::Error(refusal.into()),
    };
    Ok(pb::RecordOutcomesResponse { correlation, answer: Some(answer) })
}
