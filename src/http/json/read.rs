//! JSON to messages. Every field that cannot be taken is named with its path, not only the first; what a value means is
//! for others to judge.

use crate::wire::FieldViolation;
use std::collections::HashMap;

use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value as Proto};
use serde_json::{Map, Value};

use super::{WellKnown, shown};

/// Violations named in one answer at most.
const MAX_VIOLATIONS: usize = 50;

/// Reads a JSON object as a message. Null counts as left out.
///
/// # Errors
/// Every field that is unknown, of another type or out of range, with its path; at most 50 of them.
pub(crate) fn read(descriptor: &MessageDescriptor, value: &Value) -> Result<DynamicMessage, Vec<FieldViolation>> {
    let mut reader = Reader::default();
    let message = match value {
        Value::Object(object) => reader.message(descriptor, object, ""),
        other => {
            reader.refuse("body", format!("must be an object, not {}", described(other)));
            DynamicMessage::new(descriptor.clone())
        }
    };
    if reader.violations.is_empty() { Ok(message) } else { Err(reader.violations) }
}

#[derive(Default)]
struct Reader {
    violations: Vec<FieldViolation>,
}

impl Reader {
    fn refuse(&mut self, field: &str, description: String) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(FieldViolation::new(field, description));
        }
    }

    fn mismatch(&mut self, path: &str, expected: &str, got: &Value) -> Option<Proto> {
        self.refuse(path, format!("must be {expected}, not {}", described(got)));
        None
    }

    fn message(&mut self, descriptor: &MessageDescriptor, object: &Map<String, Value>, path: &str) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        for (name, value) in object {
            let Some(field) = descriptor.get_field_by_name(name) else {
                self.refuse(&join(path, &shown(name)), no_field(descriptor, name));
                continue;
            };
            if value.is_null() {
                continue;
            }
            if let Some(read) = self.field(&field, value, &join(path, name)) {
                message.set_field(&field, read);
            }
        }
        message
    }

    fn field(&mut self, field: &FieldDescriptor, value: &Value, path: &str) -> Option<Proto> {
        if field.is_map() {
            self.map(field, value, path)
        } else if field.is_list() {
            let Value::Array(items) = value else { return self.mismatch(path, "a list", value) };
            let kind = field.kind();
            let read =
                items.iter().enumerate().filter_map(|(at, item)| self.one(&kind, item, &format!("{path}[{at}]")));
            Some(Proto::List(read.collect()))
        } else {
            self.one(&field.kind(), value, path)
        }
    }

    fn map(&mut self, field: &FieldDescriptor, value: &Value, path: &str) -> Option<Proto> {
        let Value::Object(object) = value else { return self.mismatch(path, "an object", value) };
        let kind = field.kind();
        let item_kind = kind.as_message()?.map_entry_value_field().kind();
        let mut map = HashMap::with_capacity(object.len());
        for (key, item) in object {
            if let Some(read) = self.one(&item_kind, item, &join(path, &shown(key))) {
                map.insert(MapKey::String(key.clone()), read);
            }
        }
        Some(Proto::Map(map))
    }

    /// One value that is neither list nor map.
    fn one(&mut self, kind: &Kind, value: &Value, path: &str) -> Option<Proto> {
        match kind {
            Kind::Bool => value.as_bool().map(Proto::Bool).or_else(|| self.mismatch(path, "true or false", value)),
            Kind::String => match value {
                Value::String(text) => Some(Proto::String(text.clone())),
                other => self.mismatch(path, "a string", other),
            },
            Kind::Double => value.as_f64().map(Proto::F64).or_else(|| self.mismatch(path, "a number", value)),
            Kind::Uint64 => self.integer(value, path).map(Proto::U64),
            Kind::Enum(values) => self.enumeration(values, value, path),
            Kind::Message(descriptor) => self.nested(descriptor, value, path),
            other => panic!("INV-HTTP-4: no request has a field of type {other:?}"),
        }
    }

    /// A whole number of 64 bits, written as a number or as decimal digits in a string.
    fn integer(&mut self, value: &Value, path: &str) -> Option<u64> {
        let whole = match value {
            Value::Number(number) => number.as_u64().or_else(|| number.as_f64().and_then(whole)),
            Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        };
        if whole.is_none() {
            self.mismatch(path, &format!("a whole number from 0 to {}", u64::MAX), value);
        }
        whole
    }

    fn enumeration(&mut self, values: &EnumDescriptor, value: &Value, path: &str) -> Option<Proto> {
        let Value::String(name) = value else { return self.mismatch(path, "the name of a value", value) };
        let found = values.get_value_by_name(name);
        if found.is_none() {
            let known: Vec<_> = values.values().map(|value| value.name().to_owned()).collect();
            self.refuse(path, unknown_value(name, &known));
        }
        found.map(|found| Proto::EnumNumber(found.number()))
    }

    fn nested(&mut self, descriptor: &MessageDescriptor, value: &Value, path: &str) -> Option<Proto> {
        if WellKnown::of(descriptor) == Some(WellKnown::Timestamp) {
            let instant = value.as_str().and_then(|text| timestamp(descriptor, text));
            return instant.or_else(|| self.mismatch(path, "an instant as \"2026-11-22T03:20:08Z\"", value));
        }
        match value {
            Value::Object(object) => Some(Proto::Message(self.message(descriptor, object, path))),
            other => self.mismatch(path, "an object", other),
        }
    }
}

/// What is said of a name that is no field: where within the message it is one, else the nearest field.
fn no_field(descriptor: &MessageDescriptor, name: &str) -> String {
    let is_within = |field: &FieldDescriptor| {
        let kind = field.kind();
        let inner = kind.as_message().filter(|inner| !field.is_map() && WellKnown::of(inner).is_none());
        inner.is_some_and(|inner| inner.get_field_by_name(name).is_some())
    };
    if let Some(field) = descriptor.fields().find(is_within) {
        return format!("is no field of this message; did you mean `{}.{name}`?", field.name());
    }
    let known: Vec<_> = descriptor.fields().map(|field| field.name().to_owned()).collect();
    unknown("is no field of this message", name, &known)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// 2^64, the first whole number that is too large.
const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;

fn whole(value: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and within range, checked here")]
    (value.fract() == 0.0 && (0.0..TOO_LARGE).contains(&value)).then_some(value as u64)
}

const NANOS_PER_SECOND: i128 = 1_000_000_000;

fn timestamp(descriptor: &MessageDescriptor, text: &str) -> Option<Proto> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    // Before 1970 the fraction still counts upwards, as the message wants it.
    let nanos = instant.as_nanosecond();
    let seconds = i64::try_from(nanos.div_euclid(NANOS_PER_SECOND)).ok()?;
    let fraction = i32::try_from(nanos.rem_euclid(NANOS_PER_SECOND)).ok()?;
    let mut message = DynamicMessage::new(descriptor.clone());
    message.set_field_by_name("seconds", Proto::I64(seconds));
    message.set_field_by_name("nanos", Proto::I32(fraction));
    Some(Proto::Message(message))
}

/// What a value is, for people.
fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("\"{}\"", shown(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// How alike two names must be, from 0 to 1, for one to be offered in place of the other. Values of an enum begin alike, so more is
/// asked of them.
const ALIKE: f64 = 0.75;
const VALUES_ALIKE: f64 = 0.96;

/// "is no field of this message; did you mean `task_type`?", or all known names where none is near and they are few.
pub(crate) fn unknown(what: &str, name: &str, known: &[String]) -> String {
    unlike(what, name, known, ALIKE)
}

/// The same of a value of an enum.
fn unknown_value(name: &str, known: &[String]) -> String {
    unlike("is none of the known values", name, known, VALUES_ALIKE)
}

fn unlike(what: &str, name: &str, known: &[String], alike: f64) -> String {
    let near = |candidate: &&String| strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase());
    let nearest = known.iter().max_by(|a, b| near(a).total_cmp(&near(b)));
    match nearest {
        Some(nearest) if near(&nearest) >= alike => format!("{what}; did you mean `{nearest}`?"),
        _ if known.is_empty() => format!("{what}; there is none"),
        _ => format!("{what}; known are {}", known.join(", ")),
    }
}
