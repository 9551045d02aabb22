//! `[[workflow]]` of oddsmaker.toml: what goals of one kind are sold for, and how long they may lie idle. It refuses to
//! know any goal.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::goal::WorkflowRules;

use super::listed::Origins;
use super::report::quoted;
use super::section::Section;
use super::settings_keys::IDLE_TIMEOUT_MS;
use super::values::NAME_BYTES_MAX;

/// Every workflow of the file by its name, and where each of its keys stands.
pub(super) fn read_workflows(root: &Section<'_>, origins: &mut Origins) -> BTreeMap<Arc<str>, WorkflowRules> {
    let mut workflows = BTreeMap::new();
    for section in root.sections("workflow") {
        let place = section.need("id");
        let id = place.as_ref().and_then(|v| v.name(NAME_BYTES_MAX));
        let mut get = |name: &'static str| {
            let value = section.get(name)?;
            origins.note("workflow", id.unwrap_or_default(), name, &value);
            Some(value)
        };
        let rules = WorkflowRules {
            idle_timeout_ms: get("idle_timeout").and_then(|v| v.duration_ms(IDLE_TIMEOUT_MS)),
            price: get("price_usd").and_then(|v| v.usd()),
        };
        section.finish();
        let (Some(place), Some(id)) = (place, id) else { continue };
        if workflows.insert(Arc::from(id), rules).is_some() {
            place.error(format!("the workflow {} is declared twice", quoted(id)), None);
        }
    }
    workflows
}
