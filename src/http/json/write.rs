//! Messages to JSON: names as in the proto, 64-bit integers as numbers, zeros written, absent fields null. It decides
//! nothing about any single message.

use std::collections::BTreeMap;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Value as Proto};
use serde_json::{Map, Number, Value};

use super::WellKnown;

/// A message as a JSON object with every field of it, in the order of the proto.
pub(crate) fn write(message: &DynamicMessage) -> Value {
    match WellKnown::of(&message.descriptor()) {
        Some(WellKnown::Timestamp) => timestamp(message),
        Some(WellKnown::Struct) => structure(message),
        None => {
            let fields = message.descriptor();
            Value::Object(fields.fields().map(|field| (field.name().to_owned(), member(message, &field))).collect())
        }
    }
}

fn member(message: &DynamicMessage, field: &FieldDescriptor) -> Value {
    if field.supports_presence() && !message.has_field(field) {
        return Value::Null;
    }
    value(&message.get_field(field), &field.kind())
}

fn value(value: &Proto, kind: &Kind) -> Value {
    match value {
        Proto::Bool(value) => Value::Bool(*value),
        Proto::I32(value) => Value::from(*value),
        Proto::I64(value) => Value::from(*value),
        Proto::U32(value) => Value::from(*value),
        Proto::U64(value) => Value::from(*value),
        Proto::F32(value) => number(f64::from(*value)),
        Proto::F64(value) => number(*value),
        Proto::String(value) => Value::from(value.as_str()),
        Proto::Bytes(value) => Value::from(base64::Engine::encode(&base64::prelude::BASE64_STANDARD, value)),
        Proto::EnumNumber(number) => enumeration(*number, kind),
        Proto::Message(message) => write(message),
        Proto::List(items) => Value::Array(items.iter().map(|item| self::value(item, kind)).collect()),
        Proto::Map(entries) => map(entries, kind),
    }
}

fn map(entries: &std::collections::HashMap<MapKey, Proto>, kind: &Kind) -> Value {
    let entry_kind = kind.as_message().map(|entry| entry.map_entry_value_field().kind());
    let entry_kind = entry_kind.unwrap_or_else(|| kind.clone());
    let sorted: BTreeMap<&MapKey, &Proto> = entries.iter().collect();
    Value::Object(sorted.into_iter().map(|(key, item)| (key_text(key), value(item, &entry_kind))).collect())
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

/// The name of an enum value; a number that this version does not know stays a number.
fn enumeration(number: i32, kind: &Kind) -> Value {
    let known = kind.as_enum().and_then(|values| values.get_value(number));
    known.map_or_else(|| Value::from(number), |known| Value::from(known.name()))
}

/// A number as JSON has it; null for what JSON has no number for.
fn number(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// RFC 3339 in UTC.
fn timestamp(message: &DynamicMessage) -> Value {
    let field = |name| message.get_field_by_name(name);
    let seconds = field("seconds").and_then(|v| v.as_i64()).unwrap_or(0);
    let nanos = field("nanos").and_then(|v| v.as_i32()).unwrap_or(0);
    jiff::Timestamp::new(seconds, nanos).map_or(Value::Null, |instant| Value::from(instant.to_string()))
}

/// A `google.protobuf.Struct` as the object it stands for.
fn structure(message: &DynamicMessage) -> Value {
    let fields = message.get_field_by_name("fields");
    let Some(entries) = fields.as_ref().and_then(|fields| fields.as_map()) else { return Value::Object(Map::new()) };
    let sorted: BTreeMap<&MapKey, &Proto> = entries.iter().collect();
    Value::Object(sorted.into_iter().map(|(key, item)| (key_text(key), any(item))).collect())
}

/// A `google.protobuf.Value`; whole numbers are written without a fraction.
fn any(value: &Proto) -> Value {
    let Some((field, inner)) = value.as_message().and_then(|message| message.fields().next()) else {
        return Value::Null;
    };
    match (field.name(), inner) {
        ("number_value", Proto::F64(number)) => plain_number(*number),
        ("string_value", Proto::String(text)) => Value::from(text.as_str()),
        ("bool_value", Proto::Bool(value)) => Value::Bool(*value),
        ("struct_value", Proto::Message(message)) => structure(message),
        ("list_value", Proto::Message(list)) => {
            let items = list.get_field_by_name("values");
            let items = items.as_ref().and_then(|items| items.as_list()).unwrap_or_default();
            Value::Array(items.iter().map(any).collect())
        }
        _ => Value::Null,
    }
}

/// Doubles hold whole numbers exactly up to here.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn plain_number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and at most 2^53, checked above")]
        let whole = value as i64;
        return Value::from(whole);
    }
    number(value)
}
