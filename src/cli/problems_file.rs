//! A file of fixed bandit problems as written → checked problems. It refuses to know policies.

use std::path::Path;

use serde::Deserialize;

use super::failure::Failure;
use crate::simulation::problems::{Problem, Segment};

#[derive(Deserialize)]
struct File {
    problems: Vec<Written>,
}

#[derive(Deserialize)]
struct Written {
    id: String,
    seed: u64,
    #[serde(rename = "T")]
    steps: u64,
    #[serde(default)]
    delay: u64,
    #[serde(default)]
    missing: f64,
    segments: Vec<WrittenSegment>,
    cost_usd: Vec<f64>,
}

#[derive(Deserialize)]
struct WrittenSegment {
    start: u64,
    p: Vec<f64>,
}

/// The problems of a file.
///
/// # Errors
/// It cannot be read, is no JSON of this form, or a problem contradicts itself.
pub(super) fn read(path: &Path) -> Result<Vec<Problem>, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| Failure::Failed(format!("cannot read {shown}: {e}")))?;
    let file: File = serde_json::from_str(&text).map_err(|e| Failure::Failed(format!("{shown}: {e}")))?;
    let checked = |written: Written| {
        let id = written.id.clone();
        check(written).map_err(|what| Failure::Failed(format!("{shown}: problem `{id}`: {what}")))
    };
    file.problems.into_iter().map(checked).collect()
}

fn check(written: Written) -> Result<Problem, String> {
    let Written { id, seed, steps, delay, missing, segments, cost_usd } = written;
    let arms = cost_usd.len();
    if arms == 0 || steps == 0 {
        return Err("`T` and `cost_usd` must not be empty".to_owned());
    }
    if !(0.0..1.0).contains(&missing) {
        return Err(format!("`missing` is {missing}: it must be at least 0 and below 1"));
    }
    if segments.first().is_none_or(|s| s.start != 0) || segments.windows(2).any(|w| w[0].start >= w[1].start) {
        return Err("`segments` must start at 0 and rise".to_owned());
    }
    if let Some(bad) = segments.iter().find(|s| s.p.len() != arms) {
        return Err(format!("the segment from {} has {} rates for {arms} costs", bad.start, bad.p.len()));
    }
    if let Some(bad) = segments.iter().flat_map(|s| &s.p).find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(format!("{bad} is no probability"));
    }
    if let Some(bad) = cost_usd.iter().find(|c| !(0.0..=1e6).contains(*c)) {
        return Err(format!("`cost_usd` holds {bad}: it must be between 0 and 1,000,000"));
    }
    let segments = segments.into_iter().map(|s| Segment { start: s.start, rates: s.p }).collect();
    let cost_nano = cost_usd.iter().map(|c| (c * 1e9).round() as u64).collect();
    Ok(Problem { id, seed, steps, delay, missing, segments, cost_nano })
}
