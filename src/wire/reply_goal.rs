//! Goals and gates as messages.

use super::pb;
use super::reply::{failure_reason, timestamp, verdict};
use super::reply_budget::{exhaustion, standings, text};
use crate::domain::goal::{GoalState, GoalSums, Note, NoteKind};
use crate::domain::money::NanoUsd;
use crate::domain::outcome::{QualityMicro, Verdict};
use crate::service::goal_reply::{GateReply, GoalActReply, GoalReply, GoalsReply, LastOutcome, SampleReply};

impl From<GateReply> for pb::GateStepResponse {
    fn from(reply: GateReply) -> Self {
        Self {
            proceed: reply.verdict.proceeds(),
            verdict: verdict(reply.verdict).into(),
            exhaustion: reply.exhaustion.map(exhaustion),
            budgets: standings(&reply.budgets),
            attempts: reply.attempts.into(),
            last_outcome: reply.last_outcome.map(last_outcome),
            first_attempt_at: reply.first_attempt_at.map(timestamp),
            last_attempt_at: reply.last_attempt_at.map(timestamp),
            output_ref: text(reply.output_ref),
            hold_id: reply.hold_id,
            reason: reply.reason,
            held_usd: reply.held.map(NanoUsd::usd),
            expires_at: reply.expires_at.map(timestamp),
        }
    }
}

fn last_outcome(of: LastOutcome) -> pb::AttemptOutcome {
    pb::AttemptOutcome {
        outcome_id: of.outcome_id,
        success: of.verdict.map(Verdict::is_success),
        failure_reason: failure_reason(of.verdict).into(),
        cost_usd: of.cost.map(NanoUsd::usd),
        at: Some(timestamp(of.at)),
    }
}

impl From<GoalActReply> for pb::StartGoalResponse {
    fn from(reply: GoalActReply) -> Self {
        Self { goal: Some(goal(reply.goal)), duplicate: reply.duplicate }
    }
}

impl From<GoalActReply> for pb::CompleteGoalResponse {
    fn from(reply: GoalActReply) -> Self {
        Self { goal: Some(goal(reply.goal)), duplicate: reply.duplicate }
    }
}

impl From<GoalActReply> for pb::AmendGoalResponse {
    fn from(reply: GoalActReply) -> Self {
        Self { goal: Some(goal(reply.goal)), duplicate: reply.duplicate }
    }
}

impl From<GoalActReply> for pb::GrantBudgetResponse {
    fn from(reply: GoalActReply) -> Self {
        Self { goal: Some(goal(reply.goal)), duplicate: reply.duplicate }
    }
}

impl From<GoalReply> for pb::GetGoalResponse {
    fn from(reply: GoalReply) -> Self {
        Self { goal: Some(goal(reply)) }
    }
}

impl From<GoalsReply> for pb::ListGoalsResponse {
    fn from(reply: GoalsReply) -> Self {
        Self { goals: reply.goals.into_iter().map(goal).collect(), next_page_token: text(reply.next_page_token) }
    }
}

impl From<SampleReply> for pb::SampleGoalsResponse {
    fn from(reply: SampleReply) -> Self {
        Self { goals: reply.goals.into_iter().map(goal).collect(), population: reply.population }
    }
}

/// A goal as it stands.
pub(super) fn goal(of: GoalReply) -> pb::Goal {
    let total = nano(of.whole.cost);
    pb::Goal {
        goal_id: of.goal_id,
        state: of.state.map_or(pb::GoalState::Open, state).into(),
        score: of.score.map(fraction),
        workflow: text(of.workflow),
        labels: of.labels,
        parent_goal_id: text(of.parent),
        child_goal_ids: of.children,
        opened_at: Some(timestamp(of.opened_at)),
        last_activity_at: Some(timestamp(of.last_at)),
        closed_at: of.closed_at.map(timestamp),
        total_cost_usd: total.usd(),
        total_cost_nano_usd: total.0,
        whole: Some(sums(&of.whole)),
        own: Some(sums(&of.own)),
        limit_usd: of.limit.map(NanoUsd::usd),
        granted_usd: of.granted.usd(),
        budgets: standings(&of.budgets),
        events: of.notes.into_iter().map(event).collect(),
        reported_state: of.ends.map_or(pb::GoalState::Unspecified, |ends| state(ends.claimed)).into(),
        graded_state: of.ends.and_then(|ends| ends.found).map_or(pb::GoalState::Unspecified, state).into(),
    }
}

/// Sums over calls. None of them is below zero; a sum that were would be shown as zero, not wrapped.
pub(super) fn sums(of: &GoalSums) -> pb::GoalSums {
    let (cost, failed) = (nano(of.cost), nano(of.failed_cost));
    pb::GoalSums {
        cost_usd: cost.usd(),
        cost_nano_usd: cost.0,
        calls: count(of.calls),
        unpriced_calls: count(of.unpriced),
        failed_calls: count(of.failures),
        failed_cost_usd: failed.usd(),
        failed_cost_nano_usd: failed.0,
        retries: count(of.retries),
        tool_calls: count(of.tool_calls),
        tokens: count(of.tokens),
        latency_ms: count(of.latency_ms),
        energy_joules: of.energy_mj as f64 / 1e3,
        open_calls: count(of.open),
    }
}

fn event(of: Note) -> pb::GoalEvent {
    use pb::GoalEventKind as Kind;
    let (kind, given, granted) = match of.what {
        NoteKind::Closed(state) => (Kind::Closed, Some(state), None),
        NoteKind::Amended(state) => (Kind::Amended, Some(state), None),
        NoteKind::Reopened => (Kind::Reopened, None, None),
        NoteKind::Granted(extra) => (Kind::Granted, None, Some(extra)),
    };
    pb::GoalEvent {
        at: Some(timestamp(of.at)),
        kind: kind.into(),
        state: given.map_or(pb::GoalState::Unspecified, state).into(),
        granted_usd: granted.map(NanoUsd::usd),
        by: text(of.by),
        note: text(of.text),
    }
}

/// How a goal ended.
pub(super) fn state(state: GoalState) -> pb::GoalState {
    match state {
        GoalState::Accepted => pb::GoalState::Accepted,
        GoalState::Rejected => pb::GoalState::Rejected,
        GoalState::Abandoned => pb::GoalState::Abandoned,
        GoalState::TimedOut => pb::GoalState::TimedOut,
        GoalState::ToolError => pb::GoalState::ToolError,
        GoalState::Escalated => pb::GoalState::Escalated,
    }
}

/// A score in [0, 1].
pub(super) fn fraction(score: QualityMicro) -> f64 {
    f64::from(score.0) / 1e6
}

fn nano(sum: i64) -> NanoUsd {
    NanoUsd(count(sum))
}

fn count(sum: i64) -> u64 {
    u64::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::PolicyVerdict;
    use crate::domain::outcome::FailureReason;
    use crate::domain::time::UnixMillis;

    fn gated(verdict: PolicyVerdict) -> GateReply {
        let goes = verdict.proceeds();
        GateReply {
            verdict,
            exhaustion: None,
            budgets: Vec::new(),
            attempts: 3,
            last_outcome: Some(LastOutcome {
                outcome_id: "o_1".into(),
                verdict: Some(Verdict::Failure(FailureReason::ToolError)),
                cost: None,
                at: UnixMillis(3_000),
            }),
            first_attempt_at: Some(UnixMillis(1_000)),
            last_attempt_at: Some(UnixMillis(3_000)),
            output_ref: if verdict == PolicyVerdict::Reuse { "s3://x".into() } else { String::new() },
            hold_id: goes.then(|| "h_1".into()),
            held: goes.then_some(NanoUsd(30_000_000)),
            expires_at: goes.then_some(UnixMillis(9_000)),
            reason: "because".into(),
        }
    }

    #[test]
    fn only_what_allows_proceeds() {
        let shown = |verdict| {
            let response = pb::GateStepResponse::from(gated(verdict));
            (response.proceed, response.verdict().as_str_name(), response.hold_id.is_some(), response.output_ref)
        };
        use PolicyVerdict as V;
        assert_eq!(shown(V::Allow), (true, "VERDICT_ALLOW", true, None));
        assert_eq!(shown(V::AllowWithWarning), (true, "VERDICT_ALLOW_WITH_WARNING", true, None));
        assert_eq!(shown(V::Downgrade), (true, "VERDICT_DOWNGRADE", true, None));
        assert_eq!(shown(V::Reuse), (false, "VERDICT_REUSE", false, Some("s3://x".into())));
        assert_eq!(shown(V::RequireApproval), (false, "VERDICT_REQUIRE_APPROVAL", false, None));
        assert_eq!(shown(V::NoModel), (false, "VERDICT_NO_MODEL", false, None));
        assert_eq!(shown(V::Block), (false, "VERDICT_BLOCK", false, None));
    }

    #[test]
    fn a_gate_tells_what_is_known_of_the_step() {
        let response = pb::GateStepResponse::from(gated(PolicyVerdict::Allow));
        let last = response.last_outcome.as_ref().unwrap();
        assert_eq!((last.success, last.failure_reason()), (Some(false), pb::FailureReason::ToolError));
        assert_eq!(last.cost_usd, None, "an unknown cost is absent, never 0");
        assert_eq!((response.attempts, response.held_usd), (3, Some(0.03)));
        let seconds = [response.first_attempt_at, response.last_attempt_at, response.expires_at];
        assert_eq!(seconds.map(|at| at.unwrap().seconds), [1, 3, 9]);
        let waiting = LastOutcome { outcome_id: String::new(), verdict: None, cost: None, at: UnixMillis(0) };
        let shown = last_outcome(waiting);
        assert_eq!((shown.success, shown.failure_reason()), (None, pb::FailureReason::Unspecified));
    }

    #[test]
    fn a_goal_shows_its_state_sums_and_what_happened() {
        let note = |what| Note { at: UnixMillis(1_000), by: "ada".into(), text: String::new(), what };
        let of = GoalReply {
            goal_id: "t-1".into(),
            state: Some(GoalState::TimedOut),
            score: Some(QualityMicro(750_000)),
            own: GoalSums { cost: 90_000_001, calls: 3, energy_mj: 1_500, ..GoalSums::default() },
            whole: GoalSums {
                cost: 210_000_000,
                calls: 7,
                failures: 4,
                failed_cost: 120_000_000,
                ..GoalSums::default()
            },
            limit: Some(NanoUsd(2_000_000_000)),
            granted: NanoUsd(500_000_000),
            notes: vec![
                note(NoteKind::Closed(GoalState::TimedOut)),
                note(NoteKind::Granted(NanoUsd(500_000_000))),
                note(NoteKind::Reopened),
            ],
            ..GoalReply::default()
        };
        let shown = goal(of);
        assert_eq!((shown.state(), shown.score), (pb::GoalState::TimedOut, Some(0.75)));
        assert_eq!((shown.total_cost_usd, shown.total_cost_nano_usd), (0.21, 210_000_000));
        let (own, whole) = (shown.own.unwrap(), shown.whole.unwrap());
        assert_eq!((own.cost_nano_usd, own.calls, own.energy_joules), (90_000_001, 3, 1.5));
        assert_eq!((whole.failed_calls, whole.failed_cost_usd, whole.failed_cost_nano_usd), (4, 0.12, 120_000_000));
        assert_eq!((shown.limit_usd, shown.granted_usd, shown.workflow), (Some(2.0), 0.5, None));
        let kinds: Vec<_> = shown.events.iter().map(|e| (e.kind(), e.state(), e.granted_usd)).collect();
        use pb::{GoalEventKind as Kind, GoalState as State};
        let expected = [
            (Kind::Closed, State::TimedOut, None),
            (Kind::Granted, State::Unspecified, Some(0.5)),
            (Kind::Reopened, State::Unspecified, None),
        ];
        assert_eq!(kinds, expected);
        assert_eq!((shown.events[0].by.as_deref(), shown.events[0].note.as_deref()), (Some("ada"), None));
    }

    #[test]
    fn a_goal_that_has_not_ended_is_open() {
        let shown = goal(GoalReply::default());
        assert_eq!((shown.state(), shown.closed_at, shown.limit_usd), (pb::GoalState::Open, None, None));
    }

    #[test]
    fn every_state_keeps_its_number_and_word() {
        for of in GoalState::ALL {
            let shown = state(*of);
            assert_eq!(shown as i32, i32::from(*of as u8));
            assert_eq!(shown.as_str_name(), format!("GOAL_STATE_{}", of.as_str().to_uppercase()));
        }
    }
}
