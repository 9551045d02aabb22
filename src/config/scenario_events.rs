//! `[[event]]` and `[feedback]` of a scenario: what happens on the way, and what is told of it. It refuses to know what
//! candidates are like at the start.

use crate::domain::time::HOUR_MS;
use crate::simulation::scenario::{Delay, DelayShape, Feedback, Happening, Reporter, TaskWorld, Telling, What};

use super::report::quoted;
use super::scenario_world::{Models, read_rates, task_named};
use super::section::{Section, Value};

/// The longest mean delay, in hours.
const DELAY_HOURS_MAX: f64 = 24.0 * 365.0;

/// The highest factor on a price.
const FACTOR_MAX: f64 = 1_000.0;

#[derive(Clone, Copy, PartialEq)]
enum Word {
    Regression,
    Recovery,
    Outage,
    PriceChange,
    NewModel,
    Removed,
}

const WORDS: [(&str, Word); 6] = [
    ("regression", Word::Regression),
    ("recovery", Word::Recovery),
    ("outage", Word::Outage),
    ("price_change", Word::PriceChange),
    ("new_model", Word::NewModel),
    ("removed", Word::Removed),
];

/// Every event, in the order they happen.
pub(super) fn read_events(
    root: &Section<'_>,
    per_hour: f64,
    tasks: &[TaskWorld],
    models: &Models<'_>,
) -> Vec<Happening> {
    let mut events = Vec::new();
    for section in root.sections("event") {
        events.extend(read_event(section, per_hour, tasks, models).unwrap_or_default());
    }
    events.sort_by_key(|event| event.at);
    events
}

/// One event as written may be two: an outage with its end.
fn read_event(section: Section<'_>, per_hour: f64, tasks: &[TaskWorld], models: &Models<'_>) -> Option<Vec<Happening>> {
    let kind = section.need("kind").and_then(|v| v.word(&WORDS));
    let at = read_at(&section, per_hour);
    let model = section.need("model").and_then(|v| models.read(&v));
    let task = section.get("task").and_then(|v| task_named(&v, v.id()?, tasks));
    let (what, end) = match kind {
        Some(Word::Regression) => {
            (section.need("success").and_then(|v| v.fraction()).map(|rate| What::Success(Some(rate))), None)
        }
        Some(Word::Recovery) => (Some(What::Success(section.get("success").and_then(|v| v.fraction()))), None),
        Some(Word::Outage) => read_outage(&section, per_hour),
        Some(Word::PriceChange) => (read_price(&section, model, tasks), None),
        Some(Word::NewModel) => (Some(What::Offered(true)), None),
        Some(Word::Removed) => (Some(What::Offered(false)), None),
        None => (None, None),
    };
    if kind == Some(Word::PriceChange)
        && let Some(task) = section.get("task")
    {
        task.error("a price is the same for every task type", None);
    }
    if kind.is_some() {
        section.finish();
    }
    let (at, model) = (at?, model?);
    let happening = |at, what| Happening { at, model, task, what };
    let mut events = vec![happening(at, what?)];
    events.extend(end.map(|(after, what)| happening(at + after, what)));
    Some(events)
}

/// `at_call` (or `at_goal`): the arrival it comes before; `at_hour`: that of the virtual clock.
fn read_at(section: &Section<'_>, per_hour: f64) -> Option<u64> {
    let number = ["at_call", "at_goal"].map(|key| section.get(key));
    let hour = section.get("at_hour");
    let mut given = number.into_iter().flatten();
    let at = match (given.next(), &hour) {
        (Some(value), None) => value.integer(0..=u64::MAX / 2)?,
        (None, Some(value)) => (value.number(0.0..=1e9)? * per_hour).ceil() as u64,
        (Some(value), Some(_)) => {
            value.error("an event is at a call or at an hour, not both", None);
            return None;
        }
        (None, None) => {
            section.error("an event needs `at_call` or `at_hour`", None);
            return None;
        }
    };
    Some(at)
}

/// An outage of `hours` (else to a `recovery`): every call fails, or with `offered = false` none is offered.
fn read_outage(section: &Section<'_>, per_hour: f64) -> (Option<What>, Option<(u64, What)>) {
    let hours = section.get("hours").and_then(|v| v.number(0.0..=1e9));
    let offered = section.get("offered").and_then(|v| v.boolean()).unwrap_or(true);
    let (begin, end) =
        if offered { (What::Outage, What::Success(None)) } else { (What::Offered(false), What::Offered(true)) };
    (Some(begin), hours.map(|hours| ((hours * per_hour).ceil() as u64, end)))
}

fn read_price(section: &Section<'_>, model: Option<usize>, tasks: &[TaskWorld]) -> Option<What> {
    let factor = section.get("factor");
    let price = section.get("price");
    match (factor, price) {
        (Some(factor), None) => factor.number(0.0..=FACTOR_MAX).map(What::PriceFactor),
        (None, Some(price)) => {
            let mut candidates = tasks.iter().flat_map(|t| &t.candidates);
            if candidates.any(|c| Some(c.model) == model && c.cost.is_some()) {
                price.error("this model has `cost_usd`, no price", Some("use `factor`".to_owned()));
            }
            read_rates(&price).map(What::Price)
        }
        _ => {
            section.error("a price change needs `factor` or `price`", None);
            None
        }
    }
}

/// `[feedback]` with its `[[feedback.reporter]]`s.
pub(super) fn read_feedback(section: Section<'_>, models: &Models<'_>) -> Feedback {
    let usual = read_telling(&section, &Telling::default());
    let mut reporters: Vec<Reporter> = Vec::new();
    for table in section.sections("reporter") {
        let place = table.need("name");
        let name = place.as_ref().and_then(Value::id);
        let model = table.get("model").map(|v| models.read(&v));
        let share = table.get("share").and_then(|v| v.fraction()).unwrap_or(1.0);
        let telling = read_telling(&table, &usual);
        table.finish();
        let (Some(place), Some(name)) = (place, name) else { continue };
        if reporters.iter().any(|r| r.name == name) {
            place.error(format!("the reporter {} is there twice", quoted(name)), None);
        }
        reporters.push(Reporter { name: name.to_owned(), model: model.flatten(), share, telling });
    }
    section.finish();
    Feedback { usual, reporters }
}

fn read_telling(section: &Section<'_>, otherwise: &Telling) -> Telling {
    let share = |key| section.get(key).and_then(|v| v.fraction());
    let missing = share("missing");
    let hours = section.get("delay_hours").and_then(|v| v.number(0.0..=DELAY_HOURS_MAX));
    let sigma = section.get("delay_spread").and_then(|v| v.number(0.0..=3.0)).unwrap_or(1.0);
    let shapes = [
        ("fixed", DelayShape::Fixed),
        ("exponential", DelayShape::Exponential),
        ("lognormal", DelayShape::LogNormal(sigma)),
    ];
    let shape = section.get("delay_shape").and_then(|v| v.word(&shapes));
    Telling {
        delay: Delay {
            mean_ms: hours.map_or(otherwise.delay.mean_ms, |hours| hours * HOUR_MS as f64),
            shape: shape.unwrap_or(otherwise.delay.shape),
        },
        missing_successes: share("missing_successes").or(missing).unwrap_or(otherwise.missing_successes),
        missing_failures: share("missing_failures").or(missing).unwrap_or(otherwise.missing_failures),
        wrong: share("wrong").unwrap_or(otherwise.wrong),
    }
}
