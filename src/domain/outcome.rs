//! What came of a call, as the caller told it: parsed and checked, with money and tokens as integers.

use super::call::CallNo;
use super::money::NanoUsd;
use super::names::Labels;
use super::pricing::Usage;
use super::time::UnixMillis;

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $number:literal, $word:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vmeta])* $variant = $number,)* }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The lower-case word used in files and on the command line.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The value of that number, as stored.
            #[must_use]
            pub fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Why a call failed.
    FailureReason {
        /// No answer in time.
        Timeout = 1, "timeout";
        /// The provider refused for load.
        RateLimited = 2, "rate_limited";
        /// The provider failed.
        ProviderError = 3, "provider_error";
        /// The caller's key was refused; says nothing of the model.
        AuthError = 4, "auth_error";
        /// The input did not fit.
        ContextExceeded = 5, "context_exceeded";
        /// The answer did not parse.
        MalformedOutput = 6, "malformed_output";
        /// There was no answer.
        EmptyResponse = 7, "empty_response";
        /// The answer broke a check.
        ValidationFailed = 8, "validation_failed";
        /// A tool failed.
        ToolError = 9, "tool_error";
        /// The answer was made up.
        Hallucination = 10, "hallucination";
        /// A good answer nobody used.
        Unused = 11, "unused";
        /// A person refused it.
        UserRejected = 12, "user_rejected";
        /// The caller gave up; says nothing of the model.
        Cancelled = 13, "cancelled";
        /// Not known.
        Unknown = 14, "unknown";
    }
}

impl FailureReason {
    /// Whether the failure says something about the model (definitions: cancelled and auth_error do not).
    #[must_use]
    pub fn teaches(self) -> bool {
        !matches!(self, Self::Cancelled | Self::AuthError)
    }
}

words! {
    /// Where a cost comes from.
    CostSource {
        /// The caller or provider said so.
        Reported = 1, "reported";
        /// Usage × catalogue price.
        Priced = 2, "priced";
        /// Not known; never zero.
        Unknown = 3, "unknown";
    }
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It did its job.
    Success,
    /// It did not, and why.
    Failure(FailureReason),
}

impl Verdict {
    /// Whether it is a success.
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(self, Self::Success)
    }
}

/// A quality score in millionths, 0 to 1,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QualityMicro(pub u32);

/// The one thing an outcome is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutcomeOf {
    /// A decision of this daemon.
    Decision(DecisionRef),
    /// A hold of a gate.
    Hold(DecisionRef),
    /// A call that was routed elsewhere.
    Elsewhere {
        /// Its task type.
        task: String,
        /// The model that served it; empty for a tool call.
        model: String,
    },
}

/// A decision as its authenticated id tells it, even when the record of it was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionRef {
    /// Its number.
    pub number: CallNo,
    /// When it was taken.
    pub at: UnixMillis,
    /// Its task type.
    pub task: super::names::NameId,
    /// The candidate it chose.
    pub candidate: super::names::NameId,
    /// Its step.
    pub step: super::names::NameId,
    /// Whether its first outcome may teach, and how it was chosen.
    pub traits: super::call::CallTraits,
}

/// A checked outcome report.
#[derive(Clone, Debug, PartialEq)]
pub struct OutcomeReport {
    /// What it is about.
    pub of: OutcomeOf,
    /// The verdict, when known already.
    pub verdict: Option<Verdict>,
    /// The quality score, when there is one.
    pub quality: Option<QualityMicro>,
    /// A call it retries.
    pub retry_of: Option<CallNo>,
    /// The cost as reported.
    pub cost: Option<NanoUsd>,
    /// Tokens, when known.
    pub usage: Option<Usage>,
    /// Service tier the call was bought at; `None`: the decision's.
    pub service_tier: Option<super::catalog::ServiceTier>,
    /// Latency in milliseconds.
    pub latency_ms: Option<u32>,
    /// Energy in millijoules.
    pub energy_mj: Option<u64>,
    /// The goal it belongs to; empty: none.
    pub goal_id: String,
    /// Its workflow; empty: none.
    pub workflow: String,
    /// Its step; empty: none.
    pub step: String,
    /// Its tool; empty: none.
    pub tool: String,
    /// The model that served it, when it was not the one decided; empty: the one decided.
    pub model_served: String,
    /// Who says so; empty: nobody in particular.
    pub source: String,
    /// Opaque evidence; empty: none.
    pub evidence: String,
    /// Opaque reference to the output; empty: none.
    pub output_ref: String,
    /// A quality check and not production.
    pub evaluation: bool,
    /// When the call happened; `None`: on receipt.
    pub occurred_at: Option<UnixMillis>,
    /// Labels of the call.
    pub labels: Labels,
    /// Idempotency key and the digest of the body it came with.
    pub key: Option<super::event::Key>,
    /// Digest of the body, also kept where the decision id is the key.
    pub body: u64,
}

impl OutcomeReport {
    /// A report that says nothing but what it is about.
    #[must_use]
    pub fn about(of: OutcomeOf) -> Self {
        Self {
            of,
            verdict: None,
            quality: None,
            retry_of: None,
            cost: None,
            usage: None,
            service_tier: None,
            latency_ms: None,
            energy_mj: None,
            goal_id: String::new(),
            workflow: String::new(),
            step: String::new(),
            tool: String::new(),
            model_served: String::new(),
            source: String::new(),
            evidence: String::new(),
            output_ref: String::new(),
            evaluation: false,
            occurred_at: None,
            labels: Default::default(),
            key: None,
            body: 0,
        }
    }
}
