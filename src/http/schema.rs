//! JSON schemas of the contract's messages, made from their descriptors and comments. A request may leave out whatever is
//! not required; an answer always has every field, with null for what is absent. It knows no path.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
use prost_types::source_code_info::Location;
use serde_json::{Map, Value, json};

use super::json::WellKnown;
use crate::domain::money::{MAX_CALL_NANO_USD, NANO_PER_USD};
use crate::domain::pricing::MAX_TOKENS;
use crate::domain::request_goal::PAGE_SIZE_MAX;
use crate::wire::{LABEL_VALUE_BYTES_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX};

/// Which way a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// To the daemon.
    Request,
    /// From it.
    Reply,
}

/// The comment before something in a proto file, without the comment marks; empty where there is none. `path` is the one
/// its descriptor tells.
pub(super) fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let location = info.and_then(|info| info.location.iter().find(|location| location.path == path));
    let text = location.map(Location::leading_comments).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    lines.join("\n").trim().to_owned()
}

fn comment_of(field: &FieldDescriptor) -> String {
    comment(&field.parent_message().parent_file(), field.path())
}

/// Whether the comment of a field says that it must be given.
pub(super) fn is_required(field: &FieldDescriptor) -> bool {
    comment_of(field).starts_with("Required.")
}

/// Schemas by name, for all messages and enums that were asked for and those within them.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    known: BTreeMap<String, Value>,
}

impl Schemas {
    /// All of them, by name.
    pub(super) fn into_json(self) -> Value {
        Value::Object(self.known.into_iter().collect())
    }

    /// Adds a message and returns a reference to its schema.
    pub(super) fn message(&mut self, message: &MessageDescriptor, direction: Direction) -> Value {
        self.add(message, direction, &[])
    }

    /// Adds a request, without what stands in the path, and returns a reference to its schema.
    pub(super) fn request(&mut self, message: &MessageDescriptor, in_path: &[&str]) -> Value {
        self.add(message, Direction::Request, in_path)
    }

    fn add(&mut self, message: &MessageDescriptor, direction: Direction, without: &[&str]) -> Value {
        let name = message.name().to_owned();
        if !self.known.contains_key(&name) {
            // Entered first, so that a message within itself ends.
            self.known.insert(name.clone(), Value::Null);
            let schema = self.object(message, direction, without);
            self.known.insert(name.clone(), schema);
        }
        reference(&name)
    }

    fn object(&mut self, message: &MessageDescriptor, direction: Direction, without: &[&str]) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message.fields().filter(|field| !without.contains(&field.name())) {
            if direction == Direction::Reply || is_required(&field) {
                required.push(Value::from(field.name()));
            }
            properties.insert(field.name().to_owned(), self.property(&field, direction));
        }
        let mut schema = json!({
            "type": "object",
            "description": comment(&message.parent_file(), message.path()),
            "properties": properties,
        });
        if !required.is_empty() {
            schema["required"] = Value::Array(required);
        }
        if direction == Direction::Request {
            schema["additionalProperties"] = Value::Bool(false);
        }
        schema
    }

    /// One field with its description and, where it may be, null.
    fn property(&mut self, field: &FieldDescriptor, direction: Direction) -> Value {
        let mut schema = self.value(field, direction);
        let nullable = match direction {
            Direction::Request => !is_required(field),
            Direction::Reply => field.supports_presence(),
        };
        if nullable {
            schema = or_null(schema);
        }
        schema["description"] = Value::from(comment_of(field));
        schema
    }

    /// One field as it is when it is there.
    pub(super) fn value(&mut self, field: &FieldDescriptor, direction: Direction) -> Value {
        if field.is_map() {
            let kind = field.kind();
            let value = kind.as_message().map(MessageDescriptor::map_entry_value_field);
            let items = value.map_or(json!(true), |value| self.single(&value, direction));
            json!({ "type": "object", "additionalProperties": items })
        } else if field.is_list() {
            json!({ "type": "array", "items": self.single(field, direction) })
        } else {
            self.single(field, direction)
        }
    }

    fn single(&mut self, field: &FieldDescriptor, direction: Direction) -> Value {
        let mut schema = match field.kind() {
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Double | Kind::Float => json!({ "type": "number", "format": "double" }),
            Kind::Uint64 | Kind::Uint32 => json!({ "type": "integer", "format": "int64", "minimum": 0 }),
            Kind::Enum(values) => return self.enumeration(&values),
            Kind::Message(message) => {
                return match WellKnown::of(&message) {
                    Some(WellKnown::Timestamp) => json!({ "type": "string", "format": "date-time" }),
                    Some(WellKnown::Struct) => json!({ "type": "object" }),
                    None => self.message(&message, direction),
                };
            }
            _ => json!({ "type": "integer" }),
        };
        if direction == Direction::Request {
            limit(&mut schema, field);
        }
        schema
    }

    fn enumeration(&mut self, values: &EnumDescriptor) -> Value {
        let described = |value: &prost_reflect::EnumValueDescriptor| {
            let meaning = comment(&values.parent_file(), value.path());
            format!("* `{}`: {}", value.name(), meaning.replace('\n', " "))
        };
        let meanings: Vec<String> = values.values().map(|value| described(&value)).collect();
        let names: Vec<String> = values.values().map(|value| value.name().to_owned()).collect();
        let description = format!("{}\n\n{}", comment(&values.parent_file(), values.path()), meanings.join("\n"));
        let schema = json!({ "type": "string", "enum": names, "description": description });
        self.known.insert(values.name().to_owned(), schema);
        reference(values.name())
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The schema with null as a further value.
fn or_null(mut schema: Value) -> Value {
    match schema.get_mut("type") {
        Some(Value::String(one)) => schema["type"] = json!([one.as_str(), "null"]),
        Some(Value::Array(several)) => several.push(Value::from("null")),
        _ => return json!({ "anyOf": [schema, { "type": "null" }] }),
    }
    schema
}

/// What the daemon will not take, as far as the name of a field tells.
fn limit(schema: &mut Value, field: &FieldDescriptor) {
    let name = field.name();
    match field.kind() {
        Kind::String => {
            let long = ["reason", "evidence", "output_ref", "note", "page_token"].contains(&name);
            schema["maxLength"] = Value::from(match name {
                _ if long => TEXT_BYTES_MAX,
                "instance" => LABEL_VALUE_BYTES_MAX,
                _ => NAME_BYTES_MAX,
            });
            if is_required(field) {
                schema["minLength"] = Value::from(1);
            }
        }
        Kind::Double if name.ends_with("_usd") => {
            schema["minimum"] = Value::from(0);
            schema["maximum"] = Value::from(MAX_CALL_NANO_USD / NANO_PER_USD);
        }
        Kind::Double if name.ends_with("_rate") || name.ends_with("score") => {
            schema["minimum"] = Value::from(0);
            schema["maximum"] = Value::from(1);
        }
        Kind::Double if name.ends_with("_joules") => schema["minimum"] = Value::from(0),
        Kind::Double if name.ends_with("_hours") => schema["exclusiveMinimum"] = Value::from(0),
        Kind::Uint64 => {
            // Programs whose numbers are doubles may send digits in a string.
            schema["type"] = json!(["integer", "string"]);
            schema["pattern"] = Value::from("^[0-9]+$");
            schema["maxLength"] = Value::from(19);
            schema["maximum"] = match name {
                "page_size" => Value::from(PAGE_SIZE_MAX),
                _ if name.ends_with("_tokens") => Value::from(MAX_TOKENS),
                _ => Value::from(u32::MAX),
            };
        }
        _ => {}
    }
}
