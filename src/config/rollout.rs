//! How far the router of a task type is rolled out, as written: `mode`, `serve_share` and `holdout`. It refuses to know who
//! is assigned to what.

use crate::domain::catalog::{Catalog, TaskCandidate};
use crate::domain::rollout::{Holdout, Mode, Rollout};

use super::candidates::resolve;
use super::report::quoted;
use super::section::{Section, Value};

const MODES: [(&str, Mode); 2] = [("serve", Mode::Serve), ("observe", Mode::Observe)];

/// What `section`, a task type, says of it; `candidates` are its own.
pub(super) fn read_rollout(section: &Section<'_>, models: &Catalog, candidates: &[TaskCandidate]) -> Rollout {
    let design = Rollout::default();
    let mode = section.get("mode").and_then(|v| v.word(&MODES)).unwrap_or(design.mode);
    let share = section.get("serve_share");
    let serve_share = share.as_ref().and_then(Value::fraction).unwrap_or(design.serve_share);
    if let Some(share) = share.filter(|_| mode == Mode::Observe && serve_share < 1.0) {
        share.warn("has no effect: in the mode `observe` the router serves nothing", None);
    }
    let holdout = section.get("holdout").and_then(|v| read_holdout(&v, models, candidates));
    Rollout { mode, serve_share, holdout }
}

fn read_holdout(value: &Value<'_>, models: &Catalog, candidates: &[TaskCandidate]) -> Option<Holdout> {
    let section = value.section()?;
    let place = section.need("model");
    let share = section.need("share");
    section.finish();
    let (place, share) = (place?, share?);
    let (id, _) = resolve(&place, place.id()?, models)?;
    let share = share.fraction()?;
    match candidates.iter().find(|c| c.id == id) {
        _ if candidates.is_empty() => None,
        None => {
            let help = "add it to `candidates`: the holdout is always served one of them".to_owned();
            place.error(format!("{} is not a candidate of this task type", quoted(&id)), Some(help));
            None
        }
        Some(candidate) if candidate.shadow => {
            place.error(format!("{} is a shadow, which is never served", quoted(&id)), None);
            None
        }
        Some(_) => Some(Holdout { model: id, share }),
    }
}
