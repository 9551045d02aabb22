//! `[rollout]` of a scenario: the stages of a rollout and the rule by which it is taken back. It refuses to know what the
//! candidates are like.

use crate::domain::time::HOUR_MS;
use crate::simulation::rollout::Plan;

use super::scenario_world::Models;
use super::section::{Section, Value};

/// The longest time, in hours: ten years.
const HOURS_MAX: f64 = 87_600.0;

/// The plan in `section`; `None`: it has a mistake.
pub(super) fn read_rollout(section: Section<'_>, models: &Models<'_>) -> Option<Plan> {
    let held_out = section.need("held_out").and_then(|v| models.read(&v));
    let share = section.need("share").and_then(|v| v.fraction());
    let hours = |key, otherwise: f64| {
        let hours = section.get(key).map_or(Some(otherwise), |v| v.number(0.1..=HOURS_MAX));
        hours.map(|hours| (hours * HOUR_MS as f64).round() as i64)
    };
    let (look_every_ms, lookback_ms) = (hours("look_every_hours", 24.0), hours("lookback_hours", 24.0));
    let roll_back_points = section.get("roll_back_points").map_or(Some(0.0), |v| v.number(0.0..=100.0));
    let list = section.need("stages");
    let mut stages: Vec<(i64, f64)> =
        list.iter().flat_map(Value::list).filter_map(|stage| read_stage(&stage)).collect();
    stages.sort_by_key(|stage| stage.0);
    section.finish();
    Some(Plan {
        held_out: held_out?,
        share: share?,
        look_every_ms: look_every_ms?,
        lookback_ms: lookback_ms?,
        roll_back_points: roll_back_points?,
        stages,
    })
}

/// `{ at_hour, serve_share }`.
fn read_stage(value: &Value<'_>) -> Option<(i64, f64)> {
    let section = value.section()?;
    let at = section.need("at_hour").and_then(|v| v.number(0.0..=HOURS_MAX));
    let share = section.need("serve_share").and_then(|v| v.fraction());
    section.finish();
    Some(((at? * HOUR_MS as f64).round() as i64, share?))
}
