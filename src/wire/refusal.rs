//! Why a request was not answered, in the one form that both edges turn into their own: gRPC status and HTTP problem.
//! The one table from errors to codes stands here.

use crate::engine::{EngineError, FieldViolation};
use crate::service::ServiceError;

crate::domain::outcome::words! {
    /// The gRPC status codes that are sent, by their numbers.
    Code {
        /// The caller sent something that cannot be.
        InvalidArgument = 3, "INVALID_ARGUMENT";
        /// The time the caller gave ran out.
        DeadlineExceeded = 4, "DEADLINE_EXCEEDED";
        /// Something named is not there.
        NotFound = 5, "NOT_FOUND";
        /// A key was used with another body.
        AlreadyExists = 6, "ALREADY_EXISTS";
        /// The caller may not do this.
        PermissionDenied = 7, "PERMISSION_DENIED";
        /// The disk is full, the message too large or a limit reached.
        ResourceExhausted = 8, "RESOURCE_EXHAUSTED";
        /// The state of things does not allow it.
        FailedPrecondition = 9, "FAILED_PRECONDITION";
        /// This version cannot do it.
        Unimplemented = 12, "UNIMPLEMENTED";
        /// A fault of the daemon.
        Internal = 13, "INTERNAL";
        /// Not now; repeat it later.
        Unavailable = 14, "UNAVAILABLE";
        /// The caller did not say who it is.
        Unauthenticated = 16, "UNAUTHENTICATED";
    }
}

/// A request that was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct Refusal {
    /// The kind.
    pub code: Code,
    /// One sentence for people; free of control characters.
    pub message: String,
    /// Each offending field; empty unless the code is `InvalidArgument`.
    pub violations: Vec<FieldViolation>,
    /// When to try again, in milliseconds; `None`: trying again will not help, or nobody knows.
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// A refusal of that kind.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), violations: Vec::new(), retry_after_ms: None }
    }

    /// These fields cannot be taken.
    #[must_use]
    pub fn invalid(violations: Vec<FieldViolation>) -> Self {
        let first = violations.first().map(|v| format!("{} {}", v.field, v.description)).unwrap_or_default();
        let message = if violations.len() > 1 { format!("{first}; and {} more", violations.len() - 1) } else { first };
        Self { violations, ..Self::new(Code::InvalidArgument, message) }
    }

    /// The time given, or the longest one request may take, ran out before an answer began.
    #[must_use]
    pub fn late() -> Self {
        let late = "the time given ran out; the request may or may not have been recorded, repeat it the same way";
        Self::new(Code::DeadlineExceeded, late)
    }

    /// Something named is not there; `what` repeats of the name what is safe to repeat.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("no such {what}"))
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        let message = plain(&error.to_string());
        match error {
            EngineError::Invalid { violations } => Self::invalid(violations),
            EngineError::NotFound { .. } => Self::new(Code::NotFound, message),
            EngineError::Conflict(_) => Self::new(Code::AlreadyExists, message),
            EngineError::Precondition(_) => Self::new(Code::FailedPrecondition, message),
        }
    }
}

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Engine(error) => error.into(),
            ServiceError::Full(why) => Self::new(Code::ResourceExhausted, plain(&why)),
            ServiceError::Unavailable { why, retry_after_ms } => {
                Self { retry_after_ms: Some(retry_after_ms), ..Self::new(Code::Unavailable, plain(&why)) }
            }
            ServiceError::Internal(why) => {
                tracing::error!(%why, "a request failed for a fault of the daemon");
                Self::new(Code::Internal, "a fault of the daemon; its log has the details")
            }
        }
    }
}

/// `text` without control characters.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_code() {
        let table: [(ServiceError, Code, Option<u64>); 7] = [
            (EngineError::field("task_type", "is required").into(), Code::InvalidArgument, None),
            (EngineError::not_found("decision", "d_x").into(), Code::NotFound, None),
            (EngineError::Conflict("c".into()).into(), Code::AlreadyExists, None),
            (EngineError::Precondition("p".into()).into(), Code::FailedPrecondition, None),
            (ServiceError::Full("the disk is full".into()), Code::ResourceExhausted, None),
            (ServiceError::Unavailable { why: "w".into(), retry_after_ms: 7 }, Code::Unavailable, Some(7)),
            (ServiceError::Internal("/secret/path".into()), Code::Internal, None),
        ];
        for (error, code, retry_after_ms) in table {
            let refusal = Refusal::from(error);
            assert_eq!((refusal.code, refusal.retry_after_ms), (code, retry_after_ms));
            assert!(!refusal.message.contains("/secret"), "internals are not told to callers");
        }
    }

    #[test]
    fn code_numbers_and_names_are_those_of_grpc() {
        for code in Code::ALL {
            let grpc = format!("{:?}", tonic::Code::from_i32(*code as i32));
            assert_eq!(grpc.to_lowercase(), code.as_str().replace('_', "").to_lowercase());
        }
    }

    #[test]
    fn the_message_names_the_first_field_and_counts_the_rest() {
        let violation = |field: &str| FieldViolation::new(field, "is required");
        assert_eq!(Refusal::invalid(vec![violation("by")]).message, "by is required");
        let three = Refusal::invalid(vec![violation("by"), violation("reason"), violation("model")]);
        assert_eq!((three.message.as_str(), three.violations.len()), ("by is required; and 2 more", 3));
        let odd = Refusal::from(EngineError::Conflict("a\nb\u{1b}".into()));
        assert_eq!(odd.message, "a b ");
    }
}
