//! Budgets, exhaustion and alerts as messages. Amounts leave their integers here: nano-USD become dollars, counts stay.

use super::pb;
use super::reply::timestamp;
use crate::domain::budget::Measure;
use crate::domain::money::NANO_PER_USD;
use crate::service::goal_reply::{
    AcknowledgedReply, AlertReply, AlertsReply, BudgetStanding, BudgetsReply, Exhaustion,
};

impl From<BudgetsReply> for pb::ListBudgetsResponse {
    fn from(reply: BudgetsReply) -> Self {
        Self { budgets: standings(&reply.budgets), next_page_token: text(reply.next_page_token) }
    }
}

impl From<AlertsReply> for pb::ListAlertsResponse {
    fn from(reply: AlertsReply) -> Self {
        Self { alerts: reply.alerts.into_iter().map(alert).collect(), next_page_token: text(reply.next_page_token) }
    }
}

impl From<AcknowledgedReply> for pb::AcknowledgeAlertResponse {
    fn from(reply: AcknowledgedReply) -> Self {
        Self { alert: Some(alert(reply.alert)), duplicate: reply.duplicate }
    }
}

/// Every budget of an answer.
pub(super) fn standings(all: &[BudgetStanding]) -> Vec<pb::BudgetState> {
    all.iter().map(standing).collect()
}

fn standing(of: &BudgetStanding) -> pb::BudgetState {
    pb::BudgetState {
        id: of.budget_id.clone(),
        limit: counted(of.measure, of.limit),
        spent: booked(of.measure, of.spent),
        held: booked(of.measure, of.held),
        remaining: booked(of.measure, of.remaining()),
        measure: of.measure.as_str().to_owned(),
        resets_at: of.resets_at.map(timestamp),
        scope: of.scope.as_str().to_owned(),
        instance: of.instance.clone(),
        goal_id: text(of.goal_id.clone()),
        period: of.period.as_str().to_owned(),
        on_exceed: of.on_exceed.as_str().to_owned(),
        utilisation: of.utilisation(),
        presumed: booked(of.measure, of.presumed),
        granted: counted(of.measure, of.granted),
    }
}

/// Which budget stood in the way.
pub(super) fn exhaustion(of: Exhaustion) -> pb::Exhaustion {
    pb::Exhaustion {
        budget_id: of.budget_id,
        action: of.action.as_str().to_owned(),
        message: of.message,
        resets_at: of.resets_at.map(timestamp),
        measure: of.measure.as_str().to_owned(),
        limit: counted(of.measure, of.limit),
        spent: booked(of.measure, of.spent),
        held: booked(of.measure, of.held),
    }
}

/// An alert as it is listed and posted.
pub(crate) fn alert(of: AlertReply) -> pb::Alert {
    pb::Alert {
        alert_id: of.alert_id,
        budget_id: of.budget_id,
        scope: of.scope.as_str().to_owned(),
        instance: of.instance,
        goal_id: text(of.goal_id),
        threshold_percent: of.threshold_percent.into(),
        measure: of.measure.as_str().to_owned(),
        limit: counted(of.measure, of.limit),
        used: booked(of.measure, of.used),
        raised_at: Some(timestamp(of.raised_at)),
        resets_at: of.resets_at.map(timestamp),
        acknowledged_at: of.acknowledged_at.map(timestamp),
        acknowledged_by: text(of.acknowledged_by),
        note: text(of.note),
    }
}

/// An amount in the unit its measure has on the wire: dollars or a count.
pub(super) fn counted(measure: Measure, amount: u64) -> f64 {
    in_unit(measure, amount as f64)
}

fn booked(measure: Measure, amount: i64) -> f64 {
    in_unit(measure, amount as f64)
}

fn in_unit(measure: Measure, amount: f64) -> f64 {
    match measure {
        Measure::Usd => amount / NANO_PER_USD as f64,
        Measure::Tokens | Measure::Calls | Measure::Retries => amount,
    }
}

/// A text that may be absent.
pub(super) fn text(text: String) -> Option<String> {
    Some(text).filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::budget::{OnExceed, Period, Scope};
    use crate::domain::time::UnixMillis;

    fn of_usd() -> BudgetStanding {
        BudgetStanding {
            budget_id: "ticket-run".into(),
            scope: Scope::Goal,
            instance: "t-1".into(),
            goal_id: "t-1".into(),
            measure: Measure::Usd,
            period: Period::PerGoal,
            limit: 2_000_000_000,
            granted: 500_000_000,
            spent: 1_800_000_000,
            held: 250_000_000,
            presumed: 50_000_000,
            resets_at: None,
            on_exceed: OnExceed::HandOff,
        }
    }

    #[test]
    fn money_becomes_dollars_and_an_overrun_leaves_less_than_nothing() {
        let expected = pb::BudgetState {
            id: "ticket-run".into(),
            limit: 2.0,
            spent: 1.8,
            held: 0.25,
            remaining: -0.05,
            measure: "usd".into(),
            resets_at: None,
            scope: "goal".into(),
            instance: "t-1".into(),
            goal_id: Some("t-1".into()),
            period: "per_goal".into(),
            on_exceed: "hand_off".into(),
            utilisation: Some(1.025),
            presumed: 0.05,
            granted: 0.5,
        };
        assert_eq!(standing(&of_usd()), expected);
    }

    #[test]
    fn counts_stay_counts() {
        let of = BudgetStanding {
            measure: Measure::Retries,
            limit: 5,
            granted: 0,
            spent: 2,
            held: 1,
            presumed: 0,
            goal_id: String::new(),
            resets_at: Some(UnixMillis(2_000)),
            ..of_usd()
        };
        let shown = standing(&of);
        assert_eq!((shown.limit, shown.spent, shown.held, shown.remaining), (5.0, 2.0, 1.0, 2.0));
        assert_eq!((shown.utilisation, shown.measure.as_str(), shown.goal_id), (Some(0.6), "retries", None));
        assert_eq!(shown.resets_at.map(|at| at.seconds), Some(2));
    }

    #[test]
    fn of_no_limit_no_share_is_used() {
        let shown = standing(&BudgetStanding { limit: 0, granted: 0, spent: 0, held: 0, presumed: 0, ..of_usd() });
        assert_eq!((shown.limit, shown.remaining, shown.utilisation), (0.0, 0.0, None));
    }

    #[test]
    fn exhaustion_names_budget_action_and_figures() {
        let of = Exhaustion {
            budget_id: "team-day".into(),
            action: OnExceed::RequireApproval,
            message: "Used up for today.".into(),
            resets_at: Some(UnixMillis(86_400_000)),
            measure: Measure::Usd,
            limit: 1_000_000_000,
            spent: 990_000_000,
            held: 10_000_000,
        };
        let shown = exhaustion(of);
        assert_eq!((shown.budget_id.as_str(), shown.action.as_str()), ("team-day", "require_approval"));
        assert_eq!((shown.limit, shown.spent, shown.held), (1.0, 0.99, 0.01));
        assert_eq!((shown.measure.as_str(), shown.resets_at.map(|at| at.seconds)), ("usd", Some(86_400)));
        assert_eq!(shown.message, "Used up for today.");
    }

    #[test]
    fn an_alert_keeps_what_is_absent_absent() {
        let of = AlertReply {
            alert_id: "a_1".into(),
            budget_id: "team-day".into(),
            scope: Scope::Team,
            instance: "eu".into(),
            goal_id: String::new(),
            measure: Measure::Calls,
            threshold_percent: 80,
            limit: 10,
            used: 8,
            raised_at: UnixMillis(1_000),
            resets_at: None,
            acknowledged_at: None,
            acknowledged_by: String::new(),
            note: String::new(),
        };
        let shown = alert(of.clone());
        assert_eq!((shown.threshold_percent, shown.limit, shown.used), (80, 10.0, 8.0));
        assert_eq!((shown.goal_id, shown.acknowledged_by, shown.acknowledged_at, shown.note), (None, None, None, None));
        let seen = AlertReply { acknowledged_at: Some(UnixMillis(5_000)), acknowledged_by: "ops".into(), ..of };
        let shown = pb::AcknowledgeAlertResponse::from(AcknowledgedReply { alert: seen, duplicate: true });
        let alert = shown.alert.unwrap();
        assert_eq!((shown.duplicate, alert.acknowledged_by.as_deref()), (true, Some("ops")));
        assert_eq!(alert.acknowledged_at.map(|at| at.seconds), Some(5));
    }
}
