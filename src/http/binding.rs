//! One HTTP request to the message it stands for: body, path and query. It judges form only: media type, size, JSON,
//! names and types of fields.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use http::{HeaderMap, StatusCode, header};
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::json::{self, WellKnown, shown, unknown};
use super::problem::Problem;
use crate::wire::{Code, FieldViolation};

/// Before the key of every label in a query.
pub(super) const LABEL_PREFIX: &str = "label.";

/// How long the body of a request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// One key of a query.
#[derive(Clone, Debug)]
pub(super) struct QueryKey {
    /// The key.
    pub(super) name: String,
    /// The message within the request that has the field; `None`: the request itself.
    pub(super) parent: Option<String>,
    /// The field.
    pub(super) field: prost_reflect::FieldDescriptor,
}

/// The keys by which a request of this type can be asked for in a query: its own single fields and those of the messages
/// in it, by their bare names, without those that stand in the path. Maps are left out: see [`LABEL_PREFIX`].
pub(super) fn query_keys(request: &MessageDescriptor, in_path: &[&str]) -> Vec<QueryKey> {
    let mut keys = Vec::new();
    for field in request.fields().filter(|field| !in_path.contains(&field.name())) {
        match field.kind() {
            Kind::Message(nested) if WellKnown::of(&nested).is_none() => {
                let inner = nested.fields().filter(|inner| !inner.is_map());
                let parent = || Some(field.name().to_owned());
                keys.extend(inner.map(|inner| QueryKey {
                    name: inner.name().to_owned(),
                    parent: parent(),
                    field: inner,
                }));
            }
            _ => keys.push(QueryKey { name: field.name().to_owned(), parent: None, field }),
        }
    }
    keys
}

/// The message within a request that has a field `labels`, by the name of its field.
pub(super) fn labels_parent(request: &MessageDescriptor) -> Option<String> {
    let has_labels =
        |kind: Kind| kind.as_message().is_some_and(|m| m.get_field_by_name("labels").is_some_and(|f| f.is_map()));
    request.fields().find(|field| has_labels(field.kind())).map(|field| field.name().to_owned())
}

/// The message that path and query stand for.
///
/// # Errors
/// Every key that is unknown, given twice or of another type.
pub(super) fn from_query(
    request: &MessageDescriptor,
    path: &[(String, String)],
    query: &[(String, String)],
) -> Result<DynamicMessage, Problem> {
    let in_path: Vec<&str> = path.iter().map(|(name, _)| name.as_str()).collect();
    let keys = query_keys(request, &in_path);
    let mut object: Map<String, Value> =
        path.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let mut violations = Vec::new();
    for (name, value) in query {
        if let Err(why) = take(request, &keys, &mut object, name, value) {
            violations.push(FieldViolation::new(shown(name), why));
        }
    }
    if !violations.is_empty() {
        return Err(Problem::invalid(violations));
    }
    json::read(request, &Value::Object(object)).map_err(Problem::invalid)
}

fn take(
    request: &MessageDescriptor,
    keys: &[QueryKey],
    object: &mut Map<String, Value>,
    name: &str,
    value: &str,
) -> Result<(), String> {
    let labels = || labels_parent(request).map(|parent| vec![parent, "labels".to_owned()]);
    let (place, member, value) = if let Some((label, place)) = name.strip_prefix(LABEL_PREFIX).zip(labels()) {
        (place, label.to_owned(), Value::from(value))
    } else if let Some(key) = keys.iter().find(|key| key.name == name) {
        (key.parent.clone().into_iter().collect(), key.name.clone(), of_kind(&key.field.kind(), value)?)
    } else {
        let any_label = labels().map(|_| format!("{LABEL_PREFIX}KEY"));
        let known: Vec<String> = keys.iter().map(|key| key.name.clone()).chain(any_label).collect();
        return Err(unknown("is no key of this query", name, &known));
    };
    let mut target = object;
    for part in place {
        let inner = target.entry(part).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = inner else { return Err("is given in two ways".to_owned()) };
        target = inner;
    }
    match target.insert(member, value) {
        None => Ok(()),
        Some(_) => Err("is given twice".to_owned()),
    }
}

/// The text of a query as the JSON value a field of that type has.
fn of_kind(kind: &Kind, text: &str) -> Result<Value, String> {
    match kind {
        Kind::Bool => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(format!("must be true or false, not \"{}\"", shown(text))),
        },
        Kind::Double => {
            let number = text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
            number.map(Value::Number).ok_or_else(|| format!("must be a number, not \"{}\"", shown(text)))
        }
        _ => Ok(Value::from(text)),
    }
}

/// The message that path and JSON body of `request` stand for; only a message without fields may go without a body. What
/// stands in the path may stand in the body too, if it is the same. The size a body may have is set where the routes are.
///
/// # Errors
/// 415 for another media type, 413 for a body that is too large, 408 for one that does not arrive, 400 for JSON that is
/// none or does not fit the message.
pub(super) async fn from_body(
    descriptor: &MessageDescriptor,
    path: &[(String, String)],
    request: Request,
) -> Result<DynamicMessage, Problem> {
    let is_json = is_json(request.headers());
    let typed = request.headers().contains_key(header::CONTENT_TYPE);
    let Ok(read) = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await else {
        return Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            Code::DeadlineExceeded,
            "the body did not arrive in time",
        ));
    };
    let bytes = read.map_err(|rejection| unread(&rejection))?;
    if bytes.is_empty() && !typed {
        return match descriptor.fields().len() {
            0 => Ok(DynamicMessage::new(descriptor.clone())),
            _ => Err(Problem::invalid(vec![FieldViolation::new("body", "is required: a JSON object")])),
        };
    }
    if !is_json {
        let detail = "the body must be JSON, sent with the header \"Content-Type: application/json\"";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, detail));
    }
    let mut value = json::parse(&bytes)
        .map_err(|why| Problem::invalid(vec![FieldViolation::new("body", format!("is not valid JSON: {why}"))]))?;
    if let Value::Object(object) = &mut value {
        for (name, given) in path {
            put(object, name, given)?;
        }
    }
    json::read(descriptor, &value).map_err(Problem::invalid)
}

/// Puts what stands in the path among the fields of the body.
fn put(object: &mut Map<String, Value>, name: &str, given: &str) -> Result<(), Problem> {
    match object.insert(name.to_owned(), Value::from(given)) {
        Some(other) if other != Value::Null && other != *given => {
            Err(Problem::invalid(vec![FieldViolation::new(name, "is another one than in the path; leave it out")]))
        }
        _ => Ok(()),
    }
}

fn unread(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, "the body is too large");
    }
    Problem::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, "the body ended early")
}

fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    given.split(';').next().is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}
