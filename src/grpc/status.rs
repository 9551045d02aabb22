//! A refusal as a gRPC status with its standard details.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::wire::{self, Refusal};

/// The domain of every error's reason.
pub const ERROR_DOMAIN: &str = "oddsmaker";

/// What the transport says of a request it could not read, as the contract has it: a message over the limit is
/// RESOURCE_EXHAUSTED, one that is no message or ends half-way INVALID_ARGUMENT. Any other status stays as it is; those
/// of this crate are told by their details.
pub(super) fn of_transport(status: Status) -> Status {
    let code = match status.code() {
        Code::OutOfRange if status.details().is_empty() => wire::Code::ResourceExhausted,
        Code::Internal if status.details().is_empty() => wire::Code::InvalidArgument,
        _ => return status,
    };
    Refusal::new(code, status.message()).into()
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = Code::from_i32(i32::from(refusal.code as u8));
        let mut details = ErrorDetails::new();
        details.set_error_info(refusal.code.as_str(), ERROR_DOMAIN, HashMap::new());
        if !refusal.violations.is_empty() {
            let violations = refusal.violations.iter().map(|v| FieldViolation::new(&v.field, &v.description));
            details.set_bad_request(violations.collect::<Vec<_>>());
        }
        if let Some(ms) = refusal.retry_after_ms {
            details.set_retry_info(Some(Duration::from_millis(ms)));
        }
        Self::with_error_details(code, refusal.message, details)
    }
}
