//! A refusal as a gRPC status with its standard details.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::wire::Refusal;

/// The domain of every error's reason.
pub const ERROR_DOMAIN: &str = "oddsmaker";

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
