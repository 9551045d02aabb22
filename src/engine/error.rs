//! What the engine refuses, by who must act. A budget used up or no model eligible is an answer, not an error.

/// One field of a request that cannot be taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field, as on the wire.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub description: String,
}

impl FieldViolation {
    /// A violation of one field.
    #[must_use]
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// Why a request changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The caller sent something that cannot be; every offending field is named.
    #[error("{}", violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect::<Vec<_>>().join("; "))]
    Invalid {
        /// The fields.
        violations: Vec<FieldViolation>,
    },
    /// The caller named something that is not there.
    #[error("{what} not found: {id}")]
    NotFound {
        /// What was named.
        what: &'static str,
        /// As it was named, with what is to be known of it.
        id: String,
    },
    /// The idempotency key was used with another body.
    #[error("{0}")]
    Conflict(String),
    /// The state of things does not allow it.
    #[error("{0}")]
    Precondition(String),
}

impl EngineError {
    /// One offending field.
    #[must_use]
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid { violations: vec![FieldViolation::new(field, description)] }
    }

    /// Something named is not there; `id` is cut to a size that is safe to repeat.
    #[must_use]
    pub fn not_found(what: &'static str, id: &str) -> Self {
        Self::NotFound { what, id: id.chars().take(80).collect() }
    }

    /// As [`EngineError::not_found`], where it may also have been dropped for its age: such things are kept since a day.
    #[must_use]
    pub fn not_found_since(what: &'static str, id: &str, day: &str) -> Self {
        let id: String = id.chars().take(80).collect();
        Self::NotFound {
            what,
            id: format!("{id} (there is none, or it ended before {day}: detail is kept since then)"),
        }
    }
}
