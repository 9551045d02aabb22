//! Who may play: every candidate is either eligible or carries the reason it is not. Cost decides eligibility here
//! and nowhere else; it never makes a candidate better.

super::outcome::words! {
    /// Why a candidate may not be served.
    Exclusion {
        /// Its hold is above the ceiling on the call's cost.
        OverMaxCost = 1, "over_max_cost";
        /// A budget does not cover it.
        OverBudget = 2, "over_budget";
        /// Its cost is unknown and a ceiling applies.
        PriceUnknown = 3, "price_unknown";
        /// Its context window is too small, or not known to be large enough.
        ContextTooSmall = 4, "context_too_small";
        /// It lacks a capability asked for.
        CapabilityMissing = 5, "capability_missing";
        /// Others were named as the only ones allowed.
        NotAllowed = 6, "not_allowed";
        /// It was named as not allowed.
        Denied = 7, "denied";
        /// It is switched off.
        Disabled = 8, "disabled";
        /// It is scored and reported only.
        Shadow = 9, "shadow";
        /// Its success is very probably below the floor.
        QualityFloor = 10, "quality_floor";
        /// Its learned 95th percentile is above the ceiling.
        LatencyCeiling = 11, "latency_ceiling";
        /// Its tier is above the goal's ceiling.
        TierCeiling = 12, "tier_ceiling";
        /// The chance that it succeeds where another call failed does not pay for its price.
        RetryDoesNotPay = 13, "retry_does_not_pay";
    }
}

impl Exclusion {
    /// Whether it is for money: the candidate may have been the better one.
    #[must_use]
    pub fn is_cost(self) -> bool {
        matches!(self, Self::OverMaxCost | Self::OverBudget | Self::PriceUnknown)
    }
}

/// P(p ≥ floor) below which a quality floor excludes a candidate.
pub const FLOOR_DOUBT: f64 = 0.05;
