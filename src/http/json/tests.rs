//! What JSON means to the contract, by example.

use prost_reflect::Kind;
use serde_json::{Value, json};

use super::*;

fn taken<M: Message + Default>(name: &str, body: &str) -> Result<M, Vec<(String, String)>> {
    let descriptor = pool().get_message_by_name(&format!("{PACKAGE}.{name}")).unwrap();
    let value = parse(body.as_bytes()).unwrap();
    let read = read(&descriptor, &value).map(|message| typed(&message));
    read.map_err(|violations| violations.into_iter().map(|v| (v.field, v.description)).collect())
}

fn written<M: Message>(name: &str, message: &M) -> Value {
    write(&dynamic(pool().get_message_by_name(&format!("{PACKAGE}.{name}")).unwrap(), message))
}

#[test]
fn a_request_is_read_field_by_field() {
    let body = r#"{"task_type": "t", "goal_id": null, "labels": {"team": "a"}, "reversible": false,
        "constraints": {"max_cost_usd": 1, "max_latency_ms": "1500", "capabilities": ["json"]},
        "usage_estimate": {"input_tokens": 18446744073709551615, "output_tokens": 4e2}, "features": {"length": 2.5}}"#;
    let read: pb::GetPolicyRequest = taken("GetPolicyRequest", body).unwrap();
    let expected = pb::GetPolicyRequest {
        task_type: "t".into(),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        reversible: Some(false),
        constraints: Some(pb::Constraints {
            max_cost_usd: Some(1.0),
            max_latency_ms: Some(1_500),
            capabilities: vec!["json".into()],
            ..Default::default()
        }),
        usage_estimate: Some(pb::UsageEstimate {
            input_tokens: Some(u64::MAX),
            output_tokens: Some(400),
            ..Default::default()
        }),
        features: [("length".to_owned(), 2.5)].into(),
        ..Default::default()
    };
    assert_eq!(read, expected);
}

#[test]
fn enums_and_instants_are_read_by_name_and_rfc_3339() {
    let body = r#"{"failure_reason": "FAILURE_REASON_TIMEOUT", "occurred_at": "2026-11-22T05:20:08.25+02:00"}"#;
    let read: pb::RecordOutcomeRequest = taken("RecordOutcomeRequest", body).unwrap();
    assert_eq!(read.failure_reason(), pb::FailureReason::Timeout);
    assert_eq!(read.occurred_at, Some(prost_types::Timestamp { seconds: 1_795_317_608, nanos: 250_000_000 }));
    let early: pb::RecordOutcomeRequest =
        taken("RecordOutcomeRequest", r#"{"occurred_at": "1969-12-31T23:59:59.75Z"}"#).unwrap();
    assert_eq!(early.occurred_at, Some(prost_types::Timestamp { seconds: -1, nanos: 750_000_000 }));
}

#[test]
fn every_fault_is_named_with_its_path() {
    let body = r#"{"taskType": "t", "zzz": 1, "labels": {"team": 1}, "explain": "yes",
        "constraints": {"max_cost_usd": "1", "max_latency_ms": -1, "capabilities": ["json", null]},
        "usage_estimate": {"input_tokens": 1.5, "output_tokens": 18446744073709551616, "max_output_tokens": "12x"}}"#;
    let faults = taken::<pb::GetPolicyRequest>("GetPolicyRequest", body).unwrap_err();
    let whole = "must be a whole number from 0 to 18446744073709551615, not";
    let expected = [
        ("taskType", "is no field of this message; did you mean `task_type`?".to_owned()),
        ("zzz", faults[1].1.clone()),
        ("labels.team", "must be a string, not 1".to_owned()),
        ("explain", "must be true or false, not \"yes\"".to_owned()),
        ("constraints.max_cost_usd", "must be a number, not \"1\"".to_owned()),
        ("constraints.max_latency_ms", format!("{whole} -1")),
        ("constraints.capabilities[1]", "must be a string, not null".to_owned()),
        ("usage_estimate.input_tokens", format!("{whole} 1.5")),
        ("usage_estimate.output_tokens", format!("{whole} 1.8446744073709552e+19")),
        ("usage_estimate.max_output_tokens", format!("{whole} \"12x\"")),
    ];
    assert_eq!(faults, expected.map(|(field, description)| (field.to_owned(), description)));
    assert!(faults[1].1.starts_with("is no field of this message; known are task_type, goal_id, "), "{}", faults[1].1);
}

#[test]
fn enum_values_are_known_by_their_proto_name_only() {
    for (value, expected) in [
        (r#""FAILURE_REASON_TIMEOUTS""#, "is none of the known values; did you mean `FAILURE_REASON_TIMEOUT`?"),
        ("1", "must be the name of a value, not 1"),
    ] {
        let faults =
            taken::<pb::RecordOutcomeRequest>("RecordOutcomeRequest", &format!("{{\"failure_reason\": {value}}}"));
        assert_eq!(faults.unwrap_err(), [("failure_reason".to_owned(), expected.to_owned())]);
    }
}

#[test]
fn the_number_of_faults_in_one_answer_is_bounded() {
    let body: Vec<String> = (0..1_000).map(|at| format!("\"field{at}\": 1")).collect();
    let faults = taken::<pb::VoidDecisionRequest>("VoidDecisionRequest", &format!("{{{}}}", body.join(",")));
    assert_eq!(faults.unwrap_err().len(), 50);
    let faults = taken::<pb::VoidDecisionRequest>("VoidDecisionRequest", "[1]").unwrap_err();
    assert_eq!(faults, [("body".to_owned(), "must be an object, not a list".to_owned())]);
}

#[test]
fn zeros_are_written_and_what_is_absent_is_null() {
    assert_eq!(
        written("RecordOutcomeResponse", &pb::RecordOutcomeResponse::default()),
        json!({
            "outcome_id": "", "cost_usd": null, "cost_source": "COST_SOURCE_UNSPECIFIED", "duplicate": false,
            "overrun": false, "posterior": null, "budgets": []
        })
    );
    let usage = pb::Usage { input_tokens: Some(0), output_tokens: Some(u64::MAX), ..Default::default() };
    assert_eq!(
        written("Usage", &usage).to_string(),
        r#"{"input_tokens":0,"cached_input_tokens":0,"cache_write_tokens":0,"output_tokens":18446744073709551615,"reasoning_tokens":0,"service_tier":null}"#
    );
}

#[test]
fn instants_structs_and_maps_have_their_own_form() {
    use prost_types::{Struct, Value as Any, value::Kind as Of};
    let any = |kind| Any { kind: Some(kind) };
    let params = Struct {
        fields: [
            ("b".to_owned(), any(Of::NumberValue(100.0))),
            ("a".to_owned(), any(Of::NumberValue(0.2))),
            (
                "l".to_owned(),
                any(Of::ListValue(prost_types::ListValue {
                    values: vec![any(Of::NullValue(0)), any(Of::BoolValue(true))],
                })),
            ),
            (
                "s".to_owned(),
                any(Of::StructValue(Struct { fields: [("k".to_owned(), any(Of::StringValue("v".into())))].into() })),
            ),
        ]
        .into(),
    };
    let reply = pb::GetPolicyResponse {
        params: Some(params),
        expires_at: Some(prost_types::Timestamp { seconds: 1_795_317_608, nanos: 250_000_000 }),
        verdict: pb::Verdict::Allow.into(),
        ..Default::default()
    };
    let json = written("GetPolicyResponse", &reply);
    assert_eq!(json["params"].to_string(), r#"{"a":0.2,"b":100,"l":[null,true],"s":{"k":"v"}}"#);
    assert_eq!(json["expires_at"], "2026-11-22T03:20:08.25Z");
    assert_eq!(json["verdict"], "VERDICT_ALLOW");
    let filters = pb::Filters {
        labels: [("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())].into(),
        ..Default::default()
    };
    assert_eq!(written("Filters", &filters)["labels"].to_string(), r#"{"a":"1","b":"2"}"#);
    let unknown = pb::RecordOutcomeResponse { cost_source: 77, ..Default::default() };
    assert_eq!(written("RecordOutcomeResponse", &unknown)["cost_source"], 77);
}

/// INV-HTTP-4.
#[test]
fn requests_use_only_types_that_can_be_read() {
    for service in pool().services() {
        for method in service.methods() {
            let mut open = vec![method.input()];
            while let Some(message) = open.pop().filter(|message| WellKnown::of(message).is_none()) {
                for field in message.fields() {
                    assert!(
                        !field.is_map()
                            || field.kind().as_message().unwrap().map_entry_key_field().kind() == Kind::String
                    );
                    match field.kind() {
                        Kind::Message(nested) => open.push(nested),
                        Kind::Bool | Kind::String | Kind::Double | Kind::Uint64 | Kind::Enum(_) => {}
                        other => panic!("{}: {other:?}", field.full_name()),
                    }
                }
            }
        }
    }
}

#[test]
fn a_field_of_an_inner_message_is_named_with_its_place() {
    let body = r#"{"task_type": "t", "allowed_models": ["m"], "input_tokens": 5, "max_cost_usd": 1}"#;
    let faults = taken::<pb::GetPolicyRequest>("GetPolicyRequest", body).unwrap_err();
    let hint = |field: &str, place: &str| {
        (field.to_owned(), format!("is no field of this message; did you mean `{place}.{field}`?"))
    };
    let expected = [
        hint("allowed_models", "constraints"),
        hint("input_tokens", "usage_estimate"),
        hint("max_cost_usd", "constraints"),
    ];
    assert_eq!(faults, expected);
}
