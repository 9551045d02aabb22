//! `sources` of a task type: how far each source of outcomes is believed. Every mistake is named where it stands. It refuses to
//! know what is done with that.

use crate::domain::trust::{Limits, Sources};

use super::report::quoted;
use super::section::Value;
use super::values::NAME_BYTES_MAX;

/// What stands for all sources that are not declared.
const OTHERS: &str = "*";

/// Sources a task type may declare.
const SOURCES_MAX: usize = 32;

/// The sources of a list; nobody is limited where something is wrong with it.
pub(super) fn read_sources(list: &Value<'_>) -> Sources {
    let mut sources = Sources::default();
    let mut has_others = false;
    for item in list.list() {
        let Some((id, limits)) = read_source(&item) else { continue };
        let is_others = id == OTHERS;
        if sources.declared.iter().any(|s| s.0 == id) || (is_others && has_others) {
            item.error(format!("the source {} is declared twice", quoted(id)), None);
        }
        if is_others {
            (sources.others, has_others) = (limits, true);
        } else {
            sources.declared.push((id.to_owned(), limits));
        }
    }
    if sources.declared.len() > SOURCES_MAX {
        list.error(format!("{} sources are more than {SOURCES_MAX}", sources.declared.len()), None);
    }
    sources
}

/// `{ id, weight, max_share }`.
fn read_source<'r>(item: &Value<'r>) -> Option<(&'r str, Limits)> {
    let section = item.section()?;
    let id = section.need("id").and_then(|v| v.name(NAME_BYTES_MAX));
    let (weight, max_share) = (section.get("weight"), section.get("max_share"));
    section.finish();
    if weight.is_none() && max_share.is_none() {
        let help = "{ id = \"user-thumbs\", weight = 0.5, max_share = 0.2 }".to_owned();
        item.error("a source needs `weight` or `max_share`", Some(help));
    }
    let micro = |value: Option<Value<'_>>| value.and_then(|v| v.fraction()).map(|part| (part * 1e6).round() as u32);
    let (weight, max_share) = (micro(weight), micro(max_share));
    let all = Limits::default();
    let limits = Limits {
        weight_micro: weight.unwrap_or(all.weight_micro),
        max_share_micro: max_share.unwrap_or(all.max_share_micro),
    };
    Some((id?, limits))
}
