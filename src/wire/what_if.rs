//! EvaluatePolicy: the question checked, and the answer as a message.

use super::fields::{Fields, TEXT_BYTES_MAX};
use super::refusal::Refusal;
use super::reply::timestamp;
use super::{pb, request_admin};
use crate::domain::policy::{Policy, Question};
use crate::insights::{Estimate, Evaluation, LeftOut, PolicyFigures};
use crate::service::PolicyEvaluation;

/// Checks an EvaluatePolicy request.
pub(super) fn question(request: pb::EvaluatePolicyRequest) -> Result<Question, Refusal> {
    let mut f = Fields::default();
    let text = f.required("policy", request.policy, TEXT_BYTES_MAX);
    let policy = match text.parse::<Policy>() {
        Ok(policy) => policy,
        Err(_) if text.is_empty() => Policy::Uniform,
        Err(why) => {
            f.refuse("policy", why);
            Policy::Uniform
        }
    };
    let task_type = f.optional_name("task_type", request.task_type);
    let lookback_ms = request_admin::lookback_ms(&mut f, request.lookback_hours);
    f.finish()?;
    Ok(Question { policy, task_type, lookback_ms })
}

impl From<PolicyEvaluation> for pb::EvaluatePolicyResponse {
    fn from(reply: PolicyEvaluation) -> Self {
        let Evaluation { draws, calls, pricing_coverage, effective_sample_size, refused, observed, .. } = reply.found;
        let Evaluation { ips, snips, success_rate, cost_per_call_usd, cost_per_success_usd, .. } = reply.found;
        let answered = refused.is_none();
        Self {
            policy: reply.policy,
            start: Some(timestamp(reply.start)),
            end: Some(timestamp(reply.end)),
            draws,
            calls,
            sampled_share: reply.sampled,
            pricing_coverage,
            effective_sample_size,
            refused,
            observed: Some(figures(observed)),
            success_rate: success_rate.map(estimate),
            cost_per_call_usd: cost_per_call_usd.map(estimate),
            cost_per_success_usd: cost_per_success_usd.map(estimate),
            self_normalised: answered.then(|| figures(snips)),
            importance_sampling: answered.then(|| figures(ips)),
            left_out: Some(reply.left_out.into()),
        }
    }
}

fn figures(of: PolicyFigures) -> pb::PolicyFigures {
    pb::PolicyFigures {
        success_rate: of.success_rate,
        cost_per_call_usd: of.cost_per_call_usd,
        cost_per_success_usd: of.cost_per_success_usd,
    }
}

fn estimate(of: Estimate) -> pb::PolicyEstimate {
    let interval = |(low, high): (f64, f64), level: f64| Some(pb::Interval { low, high, level });
    pb::PolicyEstimate {
        value: of.value,
        interval: interval(of.interval_90, 0.9),
        wide_interval: interval(of.interval_95, 0.95),
    }
}

impl From<LeftOut> for pb::PolicyLeftOut {
    fn from(of: LeftOut) -> Self {
        Self {
            not_drawn: of.not_drawn,
            one_candidate: of.one_candidate,
            retries: of.retries,
            without_outcome: of.without_outcome,
            not_on_offer: of.not_on_offer,
            unknown_settings: of.unknown_settings,
            pinned: of.pinned,
            held_out: of.held_out,
            observed: of.observed,
            irreversible: of.irreversible,
            earlier_draw: of.earlier_draw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(policy: &str) -> pb::EvaluatePolicyRequest {
        pb::EvaluatePolicyRequest { policy: policy.to_owned(), ..Default::default() }
    }

    #[test]
    fn a_question_needs_a_policy_and_looks_back_a_week() {
        let asked = question(request("cheapest")).unwrap();
        let week_ms = 168 * crate::domain::time::HOUR_MS;
        assert_eq!(asked, Question { policy: Policy::Cheapest, task_type: None, lookback_ms: week_ms });
        for (policy, hours) in [("", 1.0), ("dearest", 1.0), ("tolerance=2", 1.0)] {
            let refused = question(pb::EvaluatePolicyRequest { lookback_hours: Some(hours), ..request(policy) });
            let fields: Vec<String> = refused.unwrap_err().violations.into_iter().map(|v| v.field).collect();
            assert_eq!(fields, ["policy"], "{policy:?}");
        }
        let refused = question(pb::EvaluatePolicyRequest { lookback_hours: Some(0.0), ..request("best") });
        assert_eq!(refused.unwrap_err().violations[0].field, "lookback_hours");
    }
}
