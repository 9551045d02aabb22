//! Budgets and alerts as they stand, listed a page at a time.

use super::goal_reply::{AcknowledgedReply, AlertReply, AlertsReply, BudgetStanding, BudgetsReply};
use super::{Service, ServiceError, Synced};
use crate::domain::budget::{Measure, Scope};
use crate::domain::event::{Body, Event};
use crate::domain::request_goal::{AcknowledgeAlert, ListAlerts, ListBudgets, Page};
use crate::domain::state::{Alert, State};
use crate::domain::time::UnixMillis;
use crate::engine::{Engine, EngineError, hydrate};

/// A page of `all`, from the place its token names.
///
/// # Errors
/// The token is none of ours.
pub(super) fn page<T>(all: Vec<T>, page: &Page) -> Result<(Vec<T>, String), EngineError> {
    let from = match page.token.as_str() {
        "" => 0,
        token => token
            .parse::<usize>()
            .map_err(|_| EngineError::field("page_token", "is none that was given out; leave it out to start anew"))?,
    };
    let size = page.size as usize;
    let next = if all.len() > from.saturating_add(size) { (from + size).to_string() } else { String::new() };
    Ok((all.into_iter().skip(from).take(size).collect(), next))
}

impl Service {
    /// Budgets as they stand.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn budgets(&self, request: &ListBudgets) -> Result<BudgetsReply, ServiceError> {
        let mut engine = self.engine.lock();
        let now = self.clock.now();
        let mut lines: Vec<BudgetStanding> = match &request.goal_id {
            Some(goal) => self.goal_now(&mut engine, goal, now)?.budgets,
            None => {
                let running = engine.state.accounts.values().filter(|a| a.opened.resets_at.is_none_or(|end| end > now));
                running.map(|account| BudgetStanding::from(&engine.line_of(account))).collect()
            }
        };
        if request.goal_id.is_none() {
            lines.extend(untouched(&engine, &lines, now));
        }
        let place = |line: &BudgetStanding| engine.budgets().all.iter().position(|b| *b.id == *line.budget_id);
        lines.sort_by(|a, b| (place(a), &a.instance).cmp(&(place(b), &b.instance)));
        lines.retain(|line| {
            request.budget_id.as_ref().is_none_or(|id| *id == line.budget_id)
                && request.scope.is_none_or(|scope| scope == line.scope)
                && request.instance.as_ref().is_none_or(|instance| *instance == line.instance)
        });
        let (budgets, next_page_token) = page(lines, &request.page)?;
        Ok(BudgetsReply { budgets, next_page_token })
    }

    /// Alerts, newest first.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn alerts(&self, request: &ListAlerts) -> Result<AlertsReply, ServiceError> {
        let mut engine = self.engine.lock();
        let wanted = |alert: &&Alert| {
            request.budget_id.as_ref().is_none_or(|id| *id == alert.raised.budget)
                && (request.include_acknowledged || alert.acknowledged.is_none())
        };
        let found: Vec<Alert> = engine.state.alerts.values().rev().filter(wanted).cloned().collect();
        let (found, next_page_token) = page(found, &request.page)?;
        let alerts = found.iter().map(|alert| self.alert_reply(&mut engine, alert)).collect();
        Ok(AlertsReply { alerts, next_page_token })
    }

    /// The number of the last alert raised.
    #[must_use]
    pub fn last_alert(&self) -> u64 {
        self.engine.lock().state.last_alert
    }

    /// The alerts after a number, oldest first, once they are on disk.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn alerts_after(&self, number: u64) -> Result<Vec<(u64, AlertReply)>, ServiceError> {
        let (alerts, synced) = {
            let mut engine = self.engine.lock();
            let new: Vec<(u64, Alert)> =
                engine.state.alerts.range(number + 1..).map(|(n, alert)| (*n, alert.clone())).collect();
            let alerts: Vec<_> = new.iter().map(|(n, alert)| (*n, self.alert_reply(&mut engine, alert))).collect();
            (alerts, Synced(Some(self.journal.commit_waiter())))
        };
        if !alerts.is_empty() {
            synced.wait().await?;
        }
        Ok(alerts)
    }

    /// Notes that somebody has seen an alert.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn acknowledge_alert(&self, request: AcknowledgeAlert) -> Result<AcknowledgedReply, ServiceError> {
        self.accepting()?;
        let (alert, duplicate, synced) = {
            let mut engine = self.engine.lock();
            let now = self.clock.now();
            let number = request.alert_id.strip_prefix("a_").and_then(|n| n.parse::<u64>().ok());
            let known = number.and_then(|n| engine.state.alerts.get(&n).cloned().map(|alert| (n, alert)));
            let (number, alert) = known.ok_or_else(|| EngineError::not_found("alert", &request.alert_id))?;
            let duplicate = alert.acknowledged.is_some();
            if !duplicate {
                let body = Body::AlertAcknowledged { alert: number, by: request.by, note: request.note };
                self.write(&mut engine, &[Event { at: now, body }])?;
            }
            let now_stands = engine.state.alerts.get(&number).cloned().unwrap_or(alert);
            let reply = self.alert_reply(&mut engine, &now_stands);
            (reply, duplicate, Synced(Some(self.journal.commit_waiter())))
        };
        synced.wait().await?;
        Ok(AcknowledgedReply { alert, duplicate })
    }

    pub(super) fn alert_reply(&self, engine: &mut Engine, alert: &Alert) -> AlertReply {
        let raised = &alert.raised;
        hydrate::chain(&mut engine.state, &self.shelf, &raised.goal);
        hydrate::account(&mut engine.state, &self.shelf, raised.account);
        let opened = opened(&engine.state, alert);
        let (at, by, note) = match &alert.acknowledged {
            Some((at, by, note)) => (Some(*at), by.clone(), note.clone()),
            None => (None, String::new(), String::new()),
        };
        AlertReply {
            alert_id: format!("a_{}", raised.alert),
            budget_id: raised.budget.clone(),
            scope: opened.map_or(Scope::Goal, |o| o.scope),
            instance: raised.instance.clone(),
            goal_id: raised.goal.clone(),
            measure: opened.map_or(Measure::Usd, |o| o.measure),
            threshold_percent: raised.threshold,
            limit: raised.limit,
            used: raised.used,
            raised_at: alert.at,
            resets_at: opened.and_then(|o| o.resets_at),
            acknowledged_at: at,
            acknowledged_by: by,
            note,
        }
    }
}

fn opened<'a>(state: &'a State, alert: &Alert) -> Option<&'a crate::domain::budget::Opened> {
    let chain = [std::sync::Arc::from(alert.raised.goal.as_str())];
    state.account(alert.raised.account, &chain).map(|account| &account.opened)
}

/// Configured budgets on which nothing is booked in their running period.
fn untouched(engine: &Engine, booked: &[BudgetStanding], now: UnixMillis) -> Vec<BudgetStanding> {
    let unused = engine.budgets().all.iter().filter(|b| booked.iter().all(|line| *line.budget_id != *b.id));
    let standing = |b: &crate::domain::budget::Budget| BudgetStanding {
        budget_id: b.id.to_string(),
        scope: b.scope,
        instance: String::new(),
        goal_id: String::new(),
        measure: b.measure,
        period: b.period,
        limit: b.limit,
        granted: 0,
        spent: 0,
        held: 0,
        presumed: 0,
        resets_at: b.window(now).1,
        on_exceed: b.on_exceed,
    };
    unused.map(standing).collect()
}
