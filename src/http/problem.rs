//! Refusals as HTTP has them: RFC 9457 problem details with the gRPC code beside the status. It decides nothing; the
//! one table from codes to statuses stands here.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::wire::{Code, FieldViolation, Refusal};

/// Media type of every answer that is an error.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// An HTTP error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// The gRPC code the same refusal has there.
    pub code: Code,
    /// One sentence for people.
    pub detail: String,
    /// Each offending field; empty where no field is to blame.
    pub errors: Vec<FieldViolation>,
    /// When to try again, in milliseconds; sent rounded up to whole seconds.
    pub retry_after_ms: Option<u64>,
}

impl Problem {
    /// A refusal that HTTP knows and gRPC does not.
    #[must_use]
    pub fn new(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), retry_after_ms: None }
    }

    /// The fields of a request that cannot be taken.
    #[must_use]
    pub fn invalid(violations: Vec<FieldViolation>) -> Self {
        Refusal::invalid(violations).into()
    }

    /// The body of the answer.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let errors: Vec<_> =
            self.errors.iter().map(|v| json!({ "field": v.field, "description": v.description })).collect();
        json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code.as_str(),
            "errors": errors,
        })
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self {
            status: status_of(refusal.code),
            code: refusal.code,
            detail: refusal.message,
            errors: refusal.violations,
            retry_after_ms: refusal.retry_after_ms,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.to_json().to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(retry_after_ms) = self.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_ms.div_ceil(1_000)));
        }
        response
    }
}

/// The HTTP status of a gRPC code.
#[must_use]
pub fn status_of(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::FailedPrecondition => StatusCode::PRECONDITION_FAILED,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_status() {
        let statuses: Vec<_> = Code::ALL.iter().map(|&code| (code.as_str(), status_of(code).as_u16())).collect();
        let expected = [
            ("INVALID_ARGUMENT", 400),
            ("DEADLINE_EXCEEDED", 504),
            ("NOT_FOUND", 404),
            ("ALREADY_EXISTS", 409),
            ("PERMISSION_DENIED", 403),
            ("RESOURCE_EXHAUSTED", 429),
            ("FAILED_PRECONDITION", 412),
            ("UNIMPLEMENTED", 501),
            ("INTERNAL", 500),
            ("UNAVAILABLE", 503),
            ("UNAUTHENTICATED", 401),
        ];
        assert_eq!(statuses, expected);
    }

    #[test]
    fn a_refusal_keeps_its_fields_and_its_time_to_retry() {
        let fields = vec![FieldViolation::new("cost_usd", "must be finite")];
        assert_eq!(
            Problem::from(Refusal::invalid(fields)).to_json().to_string(),
            r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"cost_usd must be finite","code":"INVALID_ARGUMENT","errors":[{"field":"cost_usd","description":"must be finite"}]}"#
        );
        let busy = Refusal { retry_after_ms: Some(1_001), ..Refusal::new(Code::Unavailable, "busy") };
        let response = Problem::from(busy).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}
