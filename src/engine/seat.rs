//! One candidate in one decision: its draw, what it would hold, and whether it may play.

use super::admission::{Admission, Need};
use super::decide::SeatView;
use super::error::EngineError;
use super::fail_fast::Worth;
use super::table::{Row, chance_at_least};
use crate::domain::beta::Beta;
use crate::domain::budget::Measure;
use crate::domain::catalog::{Catalog, ServiceTier, TaskCandidate, TaskSettings};
use crate::domain::cell::EstimateSource;
use crate::domain::choose::Contender;
use crate::domain::event::ModelState;
use crate::domain::filter::{Exclusion, FLOOR_DOUBT};
use crate::domain::money::NanoUsd;
use crate::domain::pricing::Usage;
use crate::domain::request::PolicyRequest;
use crate::domain::time::UnixMillis;

/// What a request and its task type demand of every candidate.
pub(super) struct Limits<'a> {
    request: &'a PolicyRequest,
    ceiling: Option<NanoUsd>,
    /// A floor of the request above the task type's own.
    floor: Option<f64>,
    /// The task type's own floor, which rows are compared with already.
    own_floor: Option<f64>,
    allowed: Vec<Named>,
    denied: Vec<Named>,
    /// The caller's own choice.
    own: Option<Named>,
}

/// A model named in a constraint: a candidate id, or any id of its model.
struct Named {
    text: String,
    model: Option<String>,
}

impl Named {
    fn is(&self, candidate: &TaskCandidate) -> bool {
        *self.text == *candidate.id || self.model.as_deref() == Some(&candidate.model.id)
    }
}

impl<'a> Limits<'a> {
    /// Resolves what the request names.
    ///
    /// # Errors
    /// A name that the catalogue does not know, or an own choice that is not among the models allowed.
    pub(super) fn new(
        catalog: &'a Catalog,
        request: &'a PolicyRequest,
        settings: &TaskSettings,
    ) -> Result<Self, EngineError> {
        let asked = &request.asked;
        let mut allowed = names(catalog, "constraints.allowed_models", &asked.allowed_models)?;
        let denied = names(catalog, "constraints.denied_models", &asked.denied_models)?;
        let own = std::slice::from_ref(&asked.requested_model);
        let matters = !allowed.is_empty() || settings.rollout.share() < 1.0;
        let own = if own[0].is_empty() || !matters { Vec::new() } else { names(catalog, "requested_model", own)? };
        if !own.is_empty() && !allowed.is_empty() {
            allowed.retain(|a| own.iter().any(|o| o.text == a.text || (o.model.is_some() && o.model == a.model)));
            if allowed.is_empty() {
                let say = "is not among `constraints.allowed_models`; name it there too, or leave one of the two out";
                return Err(EngineError::field("requested_model", say));
            }
        }
        let ceiling = match (asked.max_cost, settings.max_cost) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let floor = asked.min_success_rate.filter(|f| *f > settings.min_success_rate);
        let own_floor = Some(settings.min_success_rate).filter(|floor| *floor > 0.0);
        Ok(Self { request, ceiling, floor, own_floor, allowed, denied, own: own.into_iter().next() })
    }

    /// What a call may cost without breaking a promise: its hold where that is the worst case, because the caller said
    /// `max_output_tokens`; else the ceiling; else nothing is promised.
    pub(super) fn reserved(&self, hold: Option<NanoUsd>) -> Option<NanoUsd> {
        if self.request.estimate.max_output_tokens.is_some() { hold } else { self.ceiling }
    }

    /// Whether a candidate is the caller's own choice.
    pub(super) fn requests(&self, candidate: &TaskCandidate) -> bool {
        self.own.as_ref().is_some_and(|own| own.is(candidate))
    }

    fn by_name(&self, candidate: &TaskCandidate) -> Option<Exclusion> {
        if !self.allowed.is_empty() && !self.allowed.iter().any(|n| n.is(candidate)) {
            return Some(Exclusion::NotAllowed);
        }
        self.denied.iter().any(|n| n.is(candidate)).then_some(Exclusion::Denied)
    }

    /// Whether the request left one model by name where there was a choice.
    pub(super) fn is_pin(&self, seats: &[Seat<'_>]) -> bool {
        if self.allowed.is_empty() && self.denied.is_empty() {
            return false;
        }
        let serving = || seats.iter().filter(|s| s.row.state == ModelState::Enabled);
        serving().filter(|s| self.by_name(&s.row.candidate).is_none()).count() == 1 && serving().count() > 1
    }

    fn exclusion(&self, row: &Row, posterior: Beta, seat: &Cost) -> Option<Exclusion> {
        let (model, asked, estimate) = (&row.candidate.model, &self.request.asked, &self.request.estimate);
        match row.state {
            ModelState::Disabled => return Some(Exclusion::Disabled),
            ModelState::Shadow => return Some(Exclusion::Shadow),
            ModelState::Enabled => {}
        }
        if let Some(why) = self.by_name(&row.candidate) {
            return Some(why);
        }
        if !asked.capabilities.iter().all(|c| model.capabilities.contains(c)) {
            return Some(Exclusion::CapabilityMissing);
        }
        let estimated = estimate.input_tokens.map_or(0, |t| t.saturating_add(estimate.output_tokens.unwrap_or(0)));
        let context_short = asked.min_context_tokens.is_some_and(|need| model.context_tokens.is_none_or(|c| c < need));
        let estimate_long = model.context_tokens.is_some_and(|c| c < estimated)
            || estimate.output_tokens.is_some_and(|need| model.output_tokens.is_some_and(|limit| limit < need));
        if context_short || estimate_long {
            return Some(Exclusion::ContextTooSmall);
        }
        let chance = match self.floor.or(self.own_floor.filter(|_| posterior != row.posterior)) {
            Some(floor) => chance_at_least(posterior, floor),
            None => row.floor_chance,
        };
        if chance < FLOOR_DOUBT {
            return Some(Exclusion::QualityFloor);
        }
        if let (Some(ceiling), Some(p95)) = (asked.max_latency_ms, row.p95_ms)
            && p95 > f64::from(ceiling)
        {
            return Some(Exclusion::LatencyCeiling);
        }
        let known = seat.expected.filter(|_| seat.source != EstimateSource::Unknown);
        match (self.ceiling, seat.hold, known) {
            (None, ..) => None,
            (Some(_), _, None) | (Some(_), None, _) => Some(Exclusion::PriceUnknown),
            (Some(ceiling), Some(hold), Some(expected)) => {
                let most = hold.max(if seat.priced { NanoUsd::ZERO } else { expected });
                (most > ceiling).then_some(Exclusion::OverMaxCost)
            }
        }
    }

    /// Money the call would reserve: input estimate at the uncached price + the most output it may make (definitions 11).
    fn cost(&self, row: &Row, now: UnixMillis) -> Cost {
        let estimate = &self.request.estimate;
        let model = &row.candidate.model;
        let price = model.price_at(estimate.service_tier, now);
        let request = match (estimate.input_tokens, estimate.output_tokens) {
            (Some(input), Some(output)) => Some(Usage { input, output, ..Usage::default() }),
            _ => None,
        };
        let (mut expected, mut source) = (row.expected, row.source);
        if estimate.service_tier != ServiceTier::Standard {
            (expected, source) = row.expected_at(price);
        }
        if let (Some(usage), true) = (request, source != EstimateSource::Learned)
            && let Some(cost) = price.and_then(|p| p.cost(&usage))
        {
            (expected, source) = (Some(cost), EstimateSource::Request);
        }
        let fallback = row.usage.or(model.typical.map(|t| (t.input_tokens, t.output_tokens)));
        let input = estimate.input_tokens.or(fallback.map(|f| f.0));
        let output = estimate.max_output_tokens.or(estimate.output_tokens).or(fallback.map(|f| f.1));
        let worst = input.zip(output).map(|(input, output)| Usage { input, output, ..Usage::default() });
        let priced = worst.zip(price).and_then(|(usage, price)| price.cost(&usage));
        let hold = priced.or(self.ceiling);
        let tokens = worst.map(|usage| usage.input.saturating_add(usage.output));
        Cost { expected, source, hold, priced: priced.is_some(), input, tokens }
    }

    /// The most output tokens that stay under the ceiling, the caller's own limit and the model's.
    ///
    /// Where a budget would refuse: what the hold pays for, once the caller said how much output it is for; else what is
    /// left in all of them, because a hold for the usual output would cut every other answer short.
    pub(super) fn max_output_tokens(&self, seat: &Seat<'_>, admission: &Admission, now: UnixMillis) -> Option<u64> {
        let estimate = &self.request.estimate;
        let model = &seat.row.candidate.model;
        let price = model.price_at(estimate.service_tier, now);
        let said = estimate.max_output_tokens.is_some() || estimate.output_tokens.is_some();
        let left = admission.least_left(Measure::Usd, &seat.need).map(NanoUsd);
        let held = left.and(seat.hold).filter(|_| said);
        let money = [self.ceiling, left, held].into_iter().flatten().min();
        let tokens = admission.least_left(Measure::Tokens, &seat.need);
        let tokens = tokens.zip(seat.input).map(|(left, input)| left.saturating_sub(input));
        let affordable = money
            .zip(price)
            .zip(seat.input)
            .and_then(|((money, price), input)| price.affordable_output_tokens(input, money));
        [estimate.max_output_tokens, affordable, tokens, model.output_tokens].into_iter().flatten().min()
    }
}

/// What one candidate would cost.
struct Cost {
    expected: Option<NanoUsd>,
    source: EstimateSource,
    hold: Option<NanoUsd>,
    priced: bool,
    input: Option<u64>,
    tokens: Option<u64>,
}

/// One candidate in one decision.
pub(super) struct Seat<'a> {
    pub(super) row: &'a Row,
    /// Of the request's stratum where there is one.
    pub(super) posterior: Beta,
    pub(super) theta: f64,
    pub(super) exclusion: Option<Exclusion>,
    pub(super) expected: Option<NanoUsd>,
    pub(super) source: EstimateSource,
    pub(super) hold: Option<NanoUsd>,
    /// Input tokens assumed for the hold.
    pub(super) input: Option<u64>,
    /// What it may use at most.
    pub(super) need: Need,
    /// The strictest budget it does not fit.
    pub(super) over: Option<usize>,
    /// The chance of a retry with it, and why that does not pay; looked for where it would be one, or may be a fallback.
    pub(super) stop: Option<(f64, String)>,
}

/// Whether a decision is about a retry, and what a success is still worth then; `None`: nobody says, or it is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    pub(super) is: bool,
    pub(super) worth: Option<Worth>,
}

impl<'a> Seat<'a> {
    /// Seats a candidate with its posterior for the request, and its draw.
    pub(super) fn new(
        row: &'a Row,
        limits: &Limits<'_>,
        admission: &Admission,
        retry: Retry,
        now: UnixMillis,
        (posterior, theta): (Beta, f64),
    ) -> Self {
        let cost = limits.cost(row, now);
        let mut exclusion = limits.exclusion(row, posterior, &cost);
        let Cost { expected, source, hold, input, tokens, .. } = cost;
        let need = Need { cost: hold, tokens, is_retry: retry.is };
        let over = admission.over(&need);
        if exclusion.is_none() && hold.is_none() && (admission.needs_price() || admission.drawn(&need).is_some()) {
            exclusion = Some(Exclusion::PriceUnknown);
        }
        if exclusion.is_none() && over.is_some_and(|line| admission.lines[line].on_exceed.excludes()) {
            exclusion = Some(Exclusion::OverBudget);
        }
        let price = expected.or(hold).filter(|_| exclusion.is_none());
        let stop = retry.worth.zip(price).and_then(|(worth, price)| {
            let known = row.retries.counts(now);
            Some((known.chance()?, worth.stop(known, &row.candidate.id, price)?))
        });
        if retry.is && stop.is_some() {
            exclusion = Some(Exclusion::RetryDoesNotPay);
        }
        Self { row, posterior, theta, exclusion, expected, source, hold, input, need, over, stop }
    }

    /// Whether no budget keeps it from being served.
    pub(super) fn fits(&self, admission: &Admission) -> bool {
        self.over.is_none_or(|line| !admission.lines[line].on_exceed.holds())
    }

    /// As the choice sees it.
    pub(super) fn contender(&self, index: usize) -> Contender {
        Contender { index, theta: self.theta, expected_cost_nano: self.expected.map(|c| c.0) }
    }

    /// As a report shows it.
    pub(super) fn view(&self) -> SeatView {
        SeatView {
            id: self.row.id,
            exclusion: self.exclusion,
            posterior: self.posterior,
            theta: self.theta,
            expected: self.expected,
            hold: self.hold,
        }
    }
}

fn names(catalog: &Catalog, field: &str, given: &[String]) -> Result<Vec<Named>, EngineError> {
    let resolve = |text: &String| {
        let stem = text.split_once('#').map_or(text.as_str(), |(stem, _)| stem);
        let found = catalog.resolve(stem).map_err(|e| EngineError::field(field, e.to_string()))?;
        let known: Vec<String> = catalog.models().iter().map(|m| m.id.to_string()).collect();
        let (model, _) = found.ok_or_else(|| EngineError::unknown_model(field, text, &known))?;
        let whole = stem.len() == text.len();
        Ok(Named { text: text.clone(), model: whole.then(|| model.id.to_string()) })
    };
    given.iter().map(resolve).collect()
}
