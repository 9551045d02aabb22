//! Receipts as messages. It adds nothing up: the sums come as they are.

use super::pb;
use super::reply::{any_arm, cost_source, failure_reason, timestamp};
use super::reply_budget::{counted, text};
use super::reply_goal::{fraction, goal, sums};
use crate::domain::call::{Arm, Stage};
use crate::domain::money::NanoUsd;
use crate::domain::outcome::Verdict;
use crate::domain::token::TokenKind;
use crate::service::goal_reply::{AllowedBy, CallReceipt, ReceiptReply, StepReceipt};

impl From<ReceiptReply> for pb::GetReceiptResponse {
    fn from(reply: ReceiptReply) -> Self {
        Self { receipt: Some(receipt(reply)) }
    }
}

/// Goals below goals are bounded in depth, and so is this.
fn receipt(of: ReceiptReply) -> pb::Receipt {
    pb::Receipt {
        goal: Some(goal(of.goal)),
        steps: of.steps.into_iter().map(step).collect(),
        sub_goals: of.sub_goals.into_iter().map(receipt).collect(),
    }
}

fn step(of: StepReceipt) -> pb::StepReceipt {
    pb::StepReceipt { step: of.step, sums: Some(sums(&of.sums)), calls: of.calls.into_iter().map(call).collect() }
}

fn call(of: CallReceipt) -> pb::CallReceipt {
    let settled = if let Stage::Settled(settled) = of.stage { Some(settled) } else { None };
    let verdict = settled.and_then(|s| s.verdict);
    let usage = settled.and_then(|s| s.usage);
    let is_hold = of.decision_id.starts_with(TokenKind::Hold.prefix());
    let (hold, decision) = if is_hold { (of.decision_id, String::new()) } else { (String::new(), of.decision_id) };
    pb::CallReceipt {
        decision_id: text(decision),
        hold_id: text(hold),
        outcome_id: text(of.outcome_id),
        at: Some(timestamp(of.at)),
        task_type: text(of.task_type),
        model: text(of.candidate),
        provider: text(of.provider),
        tool: text(of.tool),
        arm: any_arm(of.arm).into(),
        retry: of.is_retry,
        fallback: of.is_retry && of.arm == Arm::Fallback && !of.off_policy,
        evaluation: of.evaluation,
        off_policy: of.off_policy,
        unadmitted: of.unadmitted,
        overrun: settled.is_some_and(|s| s.overrun),
        state: state(&of.stage, verdict).into(),
        failure_reason: failure_reason(verdict).into(),
        quality_score: settled.and_then(|s| s.quality).map(fraction),
        cost_usd: settled.and_then(|s| s.cost).map(NanoUsd::usd),
        cost_nano_usd: settled.and_then(|s| s.cost).map(|c| c.0),
        cost_source: settled.map_or(pb::CostSource::Unspecified, |s| cost_source(s.cost_source)).into(),
        held_usd: of.held.map(NanoUsd::usd),
        allowed_by: of.allowed_by.into_iter().map(allowance).collect(),
        input_tokens: usage.map(|u| u.input),
        output_tokens: usage.map(|u| u.output),
        latency_ms: settled.and_then(|s| s.latency_ms).map(u64::from),
        amendments: of.amendments.into(),
    }
}

fn state(stage: &Stage, verdict: Option<Verdict>) -> pb::CallState {
    match (stage, verdict) {
        (Stage::Open(_), _) => pb::CallState::Open,
        (Stage::Expired, _) => pb::CallState::Expired,
        (Stage::Voided, _) => pb::CallState::Voided,
        (Stage::Answered, _) => pb::CallState::Replaced,
        (Stage::Settled(_), None) => pb::CallState::Unverdicted,
        (Stage::Settled(_), Some(Verdict::Success)) => pb::CallState::Succeeded,
        (Stage::Settled(_), Some(Verdict::Failure(_))) => pb::CallState::Failed,
    }
}

fn allowance(of: AllowedBy) -> pb::Allowance {
    match of {
        AllowedBy::Budget { budget_id, instance, measure, held } => pb::Allowance {
            budget_id: Some(budget_id),
            instance: Some(instance),
            measure: Some(measure.as_str().to_owned()),
            held: Some(counted(measure, held)),
            ..pb::Allowance::default()
        },
        AllowedBy::Approval { approver, reason, amount } => pb::Allowance {
            approver: Some(approver),
            reason: Some(reason),
            granted_usd: Some(amount.usd()),
            ..pb::Allowance::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::budget::Measure;
    use crate::domain::call::Settled;
    use crate::domain::outcome::{CostSource, FailureReason, QualityMicro};
    use crate::domain::pricing::Usage;
    use crate::domain::time::UnixMillis;
    use crate::service::goal_reply::GoalReply;

    fn settled(verdict: Option<Verdict>, cost: Option<u64>) -> Stage {
        let cost_source = if cost.is_some() { CostSource::Reported } else { CostSource::Unknown };
        Stage::Settled(Settled {
            cost: cost.map(NanoUsd),
            cost_source,
            verdict,
            quality: Some(QualityMicro(500_000)),
            usage: Some(Usage { input: 300, output: 40, ..Usage::default() }),
            latency_ms: Some(640),
            energy_mj: None,
            overrun: true,
            body: 0,
            source: crate::domain::names::NameId::NONE,
        })
    }

    fn of(stage: Stage) -> CallReceipt {
        CallReceipt {
            decision_id: "d_1".into(),
            outcome_id: "o_1".into(),
            at: UnixMillis(1_000),
            task_type: "triage".into(),
            candidate: "openai/gpt-4o".into(),
            provider: "openai".into(),
            tool: String::new(),
            arm: Arm::Router,
            is_retry: false,
            evaluation: false,
            off_policy: false,
            unadmitted: false,
            held: Some(NanoUsd(40_000_000)),
            allowed_by: Vec::new(),
            stage,
            amendments: 2,
        }
    }

    #[test]
    fn a_settled_call_shows_cost_source_and_what_came_of_it() {
        let shown = call(of(settled(Some(Verdict::Failure(FailureReason::Timeout)), Some(30_000_001))));
        assert_eq!((shown.state(), shown.failure_reason()), (pb::CallState::Failed, pb::FailureReason::Timeout));
        assert_eq!((shown.cost_usd, shown.cost_nano_usd), (Some(0.030_000_001), Some(30_000_001)));
        assert_eq!((shown.cost_source(), shown.held_usd, shown.overrun), (pb::CostSource::Reported, Some(0.04), true));
        assert_eq!((shown.input_tokens, shown.output_tokens, shown.latency_ms), (Some(300), Some(40), Some(640)));
        assert_eq!((shown.quality_score, shown.amendments, shown.tool.as_ref()), (Some(0.5), 2, None));
        let unknown = call(of(settled(Some(Verdict::Success), None)));
        assert_eq!((unknown.cost_usd, unknown.cost_nano_usd), (None, None), "an unknown cost is absent, never 0");
        assert_eq!(unknown.cost_source(), pb::CostSource::Unknown);
    }

    #[test]
    fn every_stage_has_its_state() {
        let states = [
            (Stage::Open(UnixMillis(9)), "CALL_STATE_OPEN"),
            (Stage::Expired, "CALL_STATE_EXPIRED"),
            (Stage::Voided, "CALL_STATE_VOIDED"),
            (Stage::Answered, "CALL_STATE_REPLACED"),
            (settled(None, None), "CALL_STATE_UNVERDICTED"),
            (settled(Some(Verdict::Success), None), "CALL_STATE_SUCCEEDED"),
        ];
        for (stage, expected) in states {
            let shown = call(of(stage));
            assert_eq!(shown.state().as_str_name(), expected);
            assert_eq!(shown.failure_reason(), pb::FailureReason::Unspecified);
        }
        let open = call(of(Stage::Open(UnixMillis(9))));
        assert_eq!((open.cost_source(), open.cost_usd), (pb::CostSource::Unspecified, None));
    }

    #[test]
    fn holds_and_decisions_are_told_apart_and_fallbacks_named() {
        let hold = CallReceipt { decision_id: "h_1".into(), arm: Arm::Elsewhere, ..of(Stage::Expired) };
        let shown = call(hold);
        assert_eq!((shown.decision_id.as_ref(), shown.hold_id.as_deref()), (None, Some("h_1")));
        assert_eq!(shown.arm(), pb::Arm::Elsewhere);
        let fallback = CallReceipt { arm: Arm::Fallback, is_retry: true, ..of(Stage::Expired) };
        let shown = call(fallback.clone());
        assert_eq!((shown.arm(), shown.retry, shown.fallback), (pb::Arm::Fallback, true, true));
        let unoffered = call(CallReceipt { off_policy: true, ..fallback });
        assert_eq!((unoffered.retry, unoffered.fallback, unoffered.off_policy), (true, false, true));
    }

    #[test]
    fn what_allowed_a_call_is_a_budget_or_a_grant() {
        let budget = |measure, held| AllowedBy::Budget { budget_id: "b".into(), instance: "eu".into(), measure, held };
        let money = allowance(budget(Measure::Usd, 40_000_000));
        assert_eq!((money.budget_id.as_deref(), money.held, money.approver), (Some("b"), Some(0.04), None));
        assert_eq!(allowance(budget(Measure::Calls, 1)).held, Some(1.0));
        let amount = NanoUsd(500_000_000);
        let grant = allowance(AllowedBy::Approval { approver: "ada".into(), reason: "vip".into(), amount });
        assert_eq!((grant.budget_id, grant.held, grant.granted_usd), (None, None, Some(0.5)));
        assert_eq!((grant.approver.as_deref(), grant.reason.as_deref()), (Some("ada"), Some("vip")));
    }

    #[test]
    fn a_receipt_keeps_its_tree() {
        let leaf = |id: &str| ReceiptReply {
            goal: GoalReply { goal_id: id.into(), ..GoalReply::default() },
            ..ReceiptReply::default()
        };
        let step = StepReceipt { step: "classify".into(), calls: vec![of(Stage::Voided)], ..StepReceipt::default() };
        let whole = ReceiptReply { steps: vec![step], sub_goals: vec![leaf("b"), leaf("c")], ..leaf("a") };
        let shown = pb::GetReceiptResponse::from(whole).receipt.unwrap();
        assert_eq!((shown.steps[0].step.as_str(), shown.steps[0].calls.len()), ("classify", 1));
        let below: Vec<_> = shown.sub_goals.iter().map(|r| r.goal.as_ref().unwrap().goal_id.as_str()).collect();
        assert_eq!(below, ["b", "c"]);
    }
    /// What a gRPC client takes as one message unless told otherwise, in bytes.
    const CLIENT_TAKES: usize = 4 << 20;

    #[test]
    fn a_receipt_of_ten_thousand_calls_fits_one_message() {
        let budget = |id: &str, measure, held| AllowedBy::Budget {
            budget_id: id.into(),
            instance: "customer-support".into(),
            measure,
            held,
        };
        let one = CallReceipt {
            decision_id: "d_".to_owned() + &"A".repeat(52),
            outcome_id: "o_".to_owned() + &"A".repeat(52),
            task_type: "ticket_classification".into(),
            candidate: "anthropic/claude-sonnet-4".into(),
            allowed_by: vec![budget("ticket-run", Measure::Usd, 40_000_000), budget("team-day", Measure::Calls, 1)],
            ..of(settled(Some(Verdict::Success), Some(30_000_001)))
        };
        let step = StepReceipt { step: "classify".into(), calls: vec![one; 10_000], ..StepReceipt::default() };
        let response = pb::GetReceiptResponse::from(ReceiptReply { steps: vec![step], ..ReceiptReply::default() });
        let bytes = prost::Message::encoded_len(&response);
        assert!(bytes < CLIENT_TAKES, "{bytes}");
    }
}
