//! The routes: one handler for everything in the table of operations, and a few that answer without an rpc. Each turns a
//! request into a message, asks the service and writes the answer; none decides anything.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, on};
use http::{StatusCode, header};

use super::host::{self, AllowedHosts};
use super::operations::{Asked, OPERATIONS, Operation, Verb};
use super::problem::Problem;
use super::{binding, json, openapi, page};
use crate::config::Server;
use crate::service::Service;
use crate::wire::{Code, FieldViolation};

type Pairs = Vec<(String, String)>;

/// All HTTP routes. Requests are taken that are addressed to `address`, which is listened on, or to a host of the
/// settings.
pub fn router(service: Arc<Service>, settings: &Server, address: SocketAddr) -> Router {
    let own = address.ip().to_string();
    let hosts = AllowedHosts::new(settings.allowed_hosts.iter().map(String::as_str).chain([own.as_str()]));
    routes(service, hosts, settings.max_message_bytes as usize)
}

/// Whether a path says how the daemon is and is answered however busy it is: nothing is read or waited for.
#[must_use]
pub fn is_probe(path: &str) -> bool {
    matches!(path, LIVE | READY)
}

const LIVE: &str = "/livez";
const READY: &str = "/readyz";

type Answerer = Arc<dyn Asked>;

fn routes(service: Answerer, hosts: AllowedHosts, max_body_bytes: usize) -> Router {
    let mut router = Router::new()
        .route("/", get(insights_page))
        .route("/assets/page.css", get(async || asset("text/css; charset=utf-8", page::STYLE)))
        .route("/assets/icon.svg", get(async || asset("image/svg+xml", page::ICON)))
        .route("/openapi.json", get(async || text("application/json", openapi::document())))
        .route(LIVE, get(async || text("text/plain; charset=utf-8", "ok\n")))
        .route(READY, get(ready));
    for operation in OPERATIONS {
        let method = match operation.verb {
            Verb::Get => axum::routing::MethodFilter::GET,
            Verb::Post => axum::routing::MethodFilter::POST,
        };
        let handler = async move |State(service): State<Answerer>, path: Parameters, query: Keys, request: Request| {
            answer(operation, &*service, path, query, request).await
        };
        router = router.route(operation.path, on(method, handler));
    }
    router
        .fallback(async || {
            Problem::new(StatusCode::NOT_FOUND, Code::NotFound, "no such path; /openapi.json lists them")
        })
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                Code::Unimplemented,
                "this path is asked in another way; see the header Allow",
            )
        })
        .layer(DefaultBodyLimit::max(max_body_bytes))
        .layer(middleware::from_fn_with_state(hosts, host::check))
        .layer(middleware::from_fn(host::security_headers))
        .with_state(service)
}

type Parameters = Result<Path<Pairs>, axum::extract::rejection::PathRejection>;
type Keys = Result<Query<Pairs>, axum::extract::rejection::QueryRejection>;

async fn answer(
    operation: &'static Operation,
    service: &dyn Asked,
    path: Parameters,
    query: Keys,
    request: Request,
) -> Response {
    let read = match operation.verb {
        Verb::Get => of_query(operation, path, query),
        Verb::Post => of_body(operation, path, query, request).await,
    };
    let answered = match read {
        Ok(message) => service.ask(operation, &message).await.map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    match answered {
        Ok(reply) => text("application/json", json::write(&reply).to_string()),
        Err(problem) => problem.into_response(),
    }
}

fn of_query(operation: &Operation, path: Parameters, query: Keys) -> Result<prost_reflect::DynamicMessage, Problem> {
    let Path(path) = path.map_err(|_| unreadable("path"))?;
    let Query(query) = query.map_err(|_| unreadable("query"))?;
    binding::from_query(&operation.method().input(), &path, &query)
}

async fn of_body(
    operation: &Operation,
    path: Parameters,
    query: Keys,
    request: Request,
) -> Result<prost_reflect::DynamicMessage, Problem> {
    let Path(path) = path.map_err(|_| unreadable("path"))?;
    if query.is_ok_and(|Query(pairs)| !pairs.is_empty()) {
        return Err(Problem::invalid(vec![FieldViolation::new(
            "query",
            "must be empty: this path takes its fields in the body",
        )]));
    }
    binding::from_body(&operation.method().input(), &path, request).await
}

fn unreadable(part: &str) -> Problem {
    Problem::invalid(vec![FieldViolation::new(part, "is not valid percent-encoded UTF-8")])
}

async fn ready(State(service): State<Answerer>) -> Response {
    match service.ready() {
        Ok(()) => text("text/plain; charset=utf-8", "ok\n"),
        Err(why) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, why).into_response(),
    }
}

async fn insights_page(State(service): State<Answerer>, query: Keys, request: Request) -> Response {
    let query = query.map(|Query(pairs)| pairs).unwrap_or_default();
    let lookback = query.iter().find(|(key, _)| key == "lookback_hours").map(|(_, hours)| hours.as_str());
    let (status, html) = page::answer(&*service, lookback, host::named(&request)).await;
    (status, text("text/html; charset=utf-8", html)).into_response()
}

fn text(media_type: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, media_type)], body.into()).into_response()
}

/// A file built into the program; asked for again after an hour, because a new version may bring another one.
fn asset(media_type: &'static str, body: &'static str) -> Response {
    ([(header::CACHE_CONTROL, "public, max-age=3600")], text(media_type, body)).into_response()
}

#[cfg(test)]
mod tests;
