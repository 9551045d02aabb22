//! Requests about budgets, alerts and changes of spend, checked and turned into the domain's own.

use super::fields::{CONCEALED_LABEL, Fields, LABEL_VALUE_BYTES_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX};
use super::refusal::Refusal;
use super::{pb, request_admin};
use crate::domain::budget::Scope;
use crate::domain::request_goal::{AcknowledgeAlert, ChangeWindows, ListAlerts, ListBudgets, Span};
use crate::domain::time::UnixMillis;
use crate::domain::token::TokenKey;
use crate::insights::Filters;

/// Checks a ListBudgets request. The user asked for is concealed as the label is.
pub(super) fn list(request: pb::ListBudgetsRequest, key: &TokenKey) -> Result<ListBudgets, Refusal> {
    let mut f = Fields::default();
    let scope = f.optional_name("scope", request.scope).and_then(|word| scope(&mut f, &word));
    let instance = f.text("instance", request.instance.unwrap_or_default(), LABEL_VALUE_BYTES_MAX);
    let is_user = scope.is_some_and(|s| s.as_str() == CONCEALED_LABEL);
    let instance = Some(instance).filter(|i| !i.is_empty()).map(|i| if is_user { key.conceal(&i) } else { i });
    let checked = ListBudgets {
        budget_id: f.optional_name("budget_id", request.budget_id),
        scope,
        instance,
        goal_id: f.optional_name("goal_id", request.goal_id),
        page: f.page(request.page_size, request.page_token),
    };
    f.finish()?;
    Ok(checked)
}

fn scope(f: &mut Fields, word: &str) -> Option<Scope> {
    let found = Scope::ALL.iter().copied().find(|s| s.as_str() == word);
    if found.is_none() {
        let known: Vec<&str> = Scope::ALL.iter().map(|s| s.as_str()).collect();
        f.refuse("scope", format!("is no scope; scopes are {}", known.join(", ")));
    }
    found
}

/// Checks a ListAlerts request.
pub(super) fn alerts(request: pb::ListAlertsRequest) -> Result<ListAlerts, Refusal> {
    let mut f = Fields::default();
    let checked = ListAlerts {
        budget_id: f.optional_name("budget_id", request.budget_id),
        include_acknowledged: request.include_acknowledged,
        page: f.page(request.page_size, request.page_token),
    };
    f.finish()?;
    Ok(checked)
}

/// Checks an AcknowledgeAlert request.
pub(super) fn acknowledge(request: pb::AcknowledgeAlertRequest) -> Result<AcknowledgeAlert, Refusal> {
    let mut f = Fields::default();
    let checked = AcknowledgeAlert {
        alert_id: f.required("alert_id", request.alert_id, NAME_BYTES_MAX),
        by: f.required("by", request.by, NAME_BYTES_MAX),
        note: f.text("note", request.note.unwrap_or_default(), TEXT_BYTES_MAX),
    };
    f.finish()?;
    Ok(checked)
}

/// Checks an ExplainChange request: the two windows, and which calls.
pub(super) fn change(request: pb::ExplainChangeRequest, key: &TokenKey) -> Result<(ChangeWindows, Filters), Refusal> {
    let mut f = Fields::default();
    let windows = windows(&mut f, &request);
    let filters = request_admin::filters(&mut f, request.filters, key);
    f.finish()?;
    Ok((windows.unwrap_or(ChangeWindows::Lookback(1)), filters))
}

/// `None` only where a field was refused.
fn windows(f: &mut Fields, request: &pb::ExplainChangeRequest) -> Option<ChangeWindows> {
    let given = [
        ("previous_start", request.previous_start),
        ("previous_end", request.previous_end),
        ("current_start", request.current_start),
        ("current_end", request.current_end),
    ];
    if request.lookback_hours.is_some() || given.iter().all(|(_, at)| at.is_none()) {
        for (field, _) in given.iter().filter(|(_, at)| at.is_some()) {
            f.refuse(*field, "does not go with lookback_hours; send either that or all four instants");
        }
        return Some(ChangeWindows::Lookback(request_admin::lookback_ms(f, request.lookback_hours)));
    }
    let read = given.map(|(field, at)| {
        if at.is_none() {
            f.refuse(field, "is required: the four instants go together");
        }
        f.time(field, at)
    });
    let [Some(previous_start), Some(previous_end), Some(current_start), Some(current_end)] = read else { return None };
    let mut rises = |field: &str, from: UnixMillis, until: UnixMillis| {
        if until <= from {
            f.refuse(field, "is not after the start of its window");
        }
        Span { from, until }
    };
    let previous = rises("previous_end", previous_start, previous_end);
    let current = rises("current_end", current_start, current_end);
    if current.from < previous.until {
        f.refuse("current_start", "lies before the end of the earlier window; the two may not overlap");
    }
    Some(ChangeWindows::Given { previous, current })
}
