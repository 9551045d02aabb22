//! /openapi.json (OpenAPI 3.1), made from the table of operations, the descriptors and their comments: there is nothing
//! to keep in step by hand.

use std::sync::LazyLock;

use prost_reflect::FieldDescriptor;
use serde_json::{Map, Value, json};

use super::binding::{self, LABEL_PREFIX};
use super::operations::{OPERATIONS, Operation, Verb};
use super::schema::{Direction, Schemas, comment, is_required};
use super::{examples, json, problem};
use crate::wire::Code;

/// The document, as text.
pub(super) fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| build().to_string());
    &DOCUMENT
}

fn build() -> Value {
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let (verb, described) = (verb(operation.verb), describe(operation, &mut schemas));
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[verb] = described;
    }
    add_surroundings(&mut paths);
    let mut components = schemas.into_json();
    components["Problem"] = problem_schema();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Oddsmaker",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "description": "The rpcs of the package oddsmaker.v1 in JSON: names in snake_case, 64-bit integers as numbers, \
                absent values null. Money is in USD; an unknown cost is null, never 0. Unknown fields are refused.",
            "license": { "name": "Apache License 2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags(),
        "paths": paths,
        "components": { "schemas": components },
    })
}

fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "get",
        Verb::Post => "post",
    }
}

fn tags() -> Value {
    let services = json::pool().services().filter(|s| OPERATIONS.iter().any(|o| o.service == s.name()));
    services.map(|s| json!({ "name": s.name(), "description": comment(&s.parent_file(), s.path()) })).collect()
}

fn describe(operation: &Operation, schemas: &mut Schemas) -> Value {
    let method = operation.method();
    let description = comment(&method.parent_service().parent_file(), method.path());
    let summary = description.split_inclusive(". ").next().unwrap_or("").trim().replace('\n', " ");
    let mut reply = json!({ "schema": schemas.message(&method.output(), Direction::Reply) });
    if let Some(example) = examples::reply(operation.rpc, &method.output()) {
        reply["example"] = example;
    }
    let mut responses = Map::new();
    responses.insert("200".to_owned(), json!({ "description": "Done.", "content": { "application/json": reply } }));
    for (status, when) in refusals(operation, &description) {
        responses.insert(status.to_owned(), refusal(status, when));
    }
    let mut described = json!({
        "operationId": operation.name(),
        "tags": [operation.service],
        "summary": summary,
        "description": description,
        "responses": responses,
    });
    match operation.verb {
        Verb::Get => described["parameters"] = parameters(operation, schemas),
        Verb::Post => {
            described["parameters"] = Value::Array(in_path(operation, schemas));
            described["requestBody"] = body(operation, schemas);
        }
    }
    described
}

fn body(operation: &Operation, schemas: &mut Schemas) -> Value {
    let input = operation.method().input();
    let path_fields: Vec<&str> = operation.path_fields().collect();
    let mut content = json!({ "schema": schemas.request(&input, &path_fields) });
    if let Some(example) = examples::request(operation.rpc) {
        content["example"] = example;
    }
    json!({ "required": input.fields().len() > 0, "content": { "application/json": content } })
}

fn parameter(name: &str, place: &str, field: &FieldDescriptor, schemas: &mut Schemas) -> Value {
    let description = comment(&field.parent_message().parent_file(), field.path());
    let required = place == "path" || is_required(field);
    let schema = schemas.value(field, Direction::Request);
    json!({ "name": name, "in": place, "required": required, "description": description, "schema": schema })
}

/// The parameters that stand in the path.
fn in_path(operation: &Operation, schemas: &mut Schemas) -> Vec<Value> {
    let input = operation.method().input();
    let fields = operation.path_fields().filter_map(|name| Some((name, input.get_field_by_name(name)?)));
    fields.map(|(name, field)| parameter(name, "path", &field, schemas)).collect()
}

fn parameters(operation: &Operation, schemas: &mut Schemas) -> Value {
    let input = operation.method().input();
    let path_fields: Vec<&str> = operation.path_fields().collect();
    let mut all = in_path(operation, schemas);
    let keys = binding::query_keys(&input, &path_fields);
    all.extend(keys.iter().map(|key| parameter(&key.name, "query", &key.field, schemas)));
    if binding::labels_parent(&input).is_some() {
        let description = format!(
            "Only what carries the label `team` with this value. Any label can be asked for in this way, as \
             `{LABEL_PREFIX}KEY=VALUE`, and several at once."
        );
        let name = format!("{LABEL_PREFIX}team");
        all.push(json!({ "name": name, "in": "query", "required": false, "description": description, "schema": { "type": "string" } }));
    }
    Value::Array(all)
}

/// Every status an operation may be refused with, and when: what the edge itself refuses, and what the comment of the rpc
/// names.
fn refusals(operation: &Operation, description: &str) -> Vec<(&'static str, &'static str)> {
    let mut all = vec![("400", "A field, key or the JSON cannot be taken; `errors` names each.")];
    let named = [
        (Code::NotFound, "404", "What the request names is not there."),
        (Code::AlreadyExists, "409", "The idempotency key was used with another request."),
        (Code::FailedPrecondition, "412", "The state of things does not allow it."),
    ];
    all.push(("403", "The host is not served here, or a page of another site asks."));
    all.extend(
        named.iter().filter(|(code, ..)| description.contains(code.as_str())).map(|&(_, status, when)| (status, when)),
    );
    if operation.verb == Verb::Post {
        all.push(("408", "The body did not arrive in time."));
        all.push(("413", "The body is too large."));
        all.push(("415", "The body is not sent as application/json."));
    }
    all.push(("429", "The disk is full or a limit is reached."));
    all.push(("500", "A fault of the daemon."));
    all.push(("503", "Not now: starting, draining, overloaded or not able to write. Repeat it later."));
    all.push(("504", "The time ran out. Repeat it the same way."));
    all
}

fn refusal(status: &str, when: &str) -> Value {
    let mut response = json!({
        "description": when,
        "content": { problem::MEDIA_TYPE: { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    if ["429", "503"].contains(&status) {
        response["headers"] = json!({
            "Retry-After": { "description": "Seconds to wait.", "schema": { "type": "integer", "minimum": 0 } },
        });
    }
    response
}

fn problem_schema() -> Value {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    json!({
        "type": "object",
        "description": "Why a request was refused (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code", "errors"],
        "properties": {
            "type": { "type": "string", "description": "Always about:blank: `code` tells refusals apart." },
            "title": { "type": "string", "description": "The HTTP status in words." },
            "status": { "type": "integer", "description": "The HTTP status." },
            "detail": { "type": "string", "description": "One sentence for people." },
            "code": { "type": "string", "enum": codes, "description": "The gRPC status code of the same refusal." },
            "errors": {
                "type": "array",
                "description": "Each offending field. Empty where no field is to blame.",
                "items": {
                    "type": "object",
                    "required": ["field", "description"],
                    "properties": {
                        "field": { "type": "string", "description": "Path of the field in the request." },
                        "description": { "type": "string", "description": "What is wrong with it." },
                    },
                },
            },
        },
    })
}

/// The paths that stand for no rpc.
fn add_surroundings(paths: &mut Map<String, Value>) {
    let simple = |id: &str, summary: &str, media_type: &str, schema: Value| {
        let ok = json!({ "description": "Done.", "content": { media_type: { "schema": schema } } });
        let forbidden = refusal("403", "The host is not served here.");
        json!({ "get": { "operationId": id, "summary": summary, "responses": { "200": ok, "403": forbidden } } })
    };
    let text = || json!({ "type": "string" });
    let mut ready = simple("Ready", "Whether the daemon takes requests.", "text/plain", text());
    ready["get"]["responses"]["503"] = refusal("503", "It does not; `detail` says why.");
    paths.insert("/livez".to_owned(), simple("Live", "Whether the process answers at all.", "text/plain", text()));
    paths.insert("/readyz".to_owned(), ready);
    paths.insert(
        "/openapi.json".to_owned(),
        simple("Describe", "This document.", "application/json", json!({ "type": "object" })),
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn built() -> Value {
        serde_json::from_str(document()).unwrap()
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_property_is_described() {
        let document = built();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let mut references = BTreeSet::new();
        collect(&document, &mut references);
        for reference in &references {
            assert!(schemas.contains_key(reference), "{reference}");
        }
        for (name, schema) in schemas {
            for (field, property) in schema["properties"].as_object().into_iter().flatten() {
                assert_ne!(property["description"].as_str().unwrap_or(""), "", "{name}.{field}");
            }
        }
    }

    fn collect(value: &Value, references: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                if let Some(name) = object.get("$ref").and_then(Value::as_str) {
                    references.insert(name.trim_start_matches("#/components/schemas/").to_owned());
                }
                object.values().for_each(|inner| collect(inner, references));
            }
            Value::Array(items) => items.iter().for_each(|inner| collect(inner, references)),
            _ => {}
        }
    }

    /// One schema a message is enough only as long as no message travels both ways.
    #[test]
    fn no_message_travels_both_ways() {
        let mut sent = Schemas::default();
        let mut returned = Schemas::default();
        for operation in OPERATIONS {
            let method = operation.method();
            sent.message(&method.input(), Direction::Request);
            returned.message(&method.output(), Direction::Reply);
        }
        let names = |schemas: Schemas| -> BTreeSet<String> {
            let all = schemas.into_json();
            all.as_object()
                .unwrap()
                .iter()
                .filter(|(_, s)| s["type"] == "object")
                .map(|(name, _)| name.clone())
                .collect()
        };
        let (sent, returned) = (names(sent), names(returned));
        assert!(sent.len() > 10 && returned.len() > 20, "{sent:?} {returned:?}");
        assert_eq!(sent.intersection(&returned).collect::<Vec<_>>(), Vec::<&String>::new());
    }

    #[test]
    fn requests_may_leave_out_what_answers_always_have() {
        let document = built();
        let schema = |name: &str| document["components"]["schemas"][name].clone();
        let policy = schema("GetPolicyRequest");
        assert_eq!(policy["required"], json!(["task_type"]));
        assert_eq!(policy["properties"]["task_type"]["type"], "string");
        assert_eq!(policy["properties"]["goal_id"]["type"], json!(["string", "null"]));
        let reply = schema("RecordOutcomeResponse");
        assert_eq!(reply["properties"]["cost_usd"]["type"], json!(["number", "null"]));
        assert_eq!(reply["properties"]["duplicate"]["type"], "boolean");
        assert_eq!(reply["required"].as_array().unwrap().len(), 7);
        assert_eq!(schema("Verdict")["enum"][1], "VERDICT_ALLOW");
    }

    #[test]
    fn what_stands_in_the_path_is_not_asked_for_in_the_body() {
        let document = built();
        let path = &document["paths"]["/v1/goals/{goal_id}/complete"]["post"];
        let parameter = &path["parameters"][0];
        assert_eq!((&parameter["name"], &parameter["in"]), (&json!("goal_id"), &json!("path")));
        assert_eq!((&parameter["required"], path["parameters"].as_array().unwrap().len()), (&json!(true), 1));
        let body = &document["components"]["schemas"]["CompleteGoalRequest"];
        assert_eq!((&body["required"], &body["properties"]["goal_id"]), (&json!(["state"]), &Value::Null));
        let both = document["paths"]["/v1/goals"].as_object().unwrap();
        assert_eq!(both.keys().collect::<Vec<_>>(), ["post", "get"]);
        let query = document["paths"]["/v1/explain-change"]["get"]["parameters"].as_array().unwrap();
        let start = query.iter().find(|p| p["name"] == "previous_start").unwrap();
        assert_eq!(start["schema"]["format"], "date-time");
    }

    #[test]
    fn the_statuses_of_an_operation_are_those_its_comment_names() {
        let document = built();
        let statuses = |path: &str, verb: &str| -> Vec<String> {
            document["paths"][path][verb]["responses"].as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(
            statuses("/v1/policy", "post"),
            ["200", "400", "403", "409", "412", "408", "413", "415", "429", "500", "503", "504"]
        );
        assert_eq!(statuses("/v1/models", "get"), ["200", "400", "403", "429", "500", "503", "504"]);
        assert!(document["paths"]["/v1/posteriors/{task_type}"]["get"]["responses"]["404"].is_object());
    }
}
