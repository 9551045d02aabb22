//! A fact as one JSON object that can be read on its own: the stored fields under their own names, with the text of every
//! name beside its number and packed sequences taken apart. It writes no file and keeps nothing; whoever exports a journal
//! from its beginning [`learn`]s the names on the way.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::{Map, Value, json};

use super::codec::{self, CodecError};
use super::pb;
use crate::domain::budget::Charge;
use crate::domain::call::CallTraits;
use crate::domain::event::{Body, Decided, Event};
use crate::domain::names::{LabelsId, NameId, NameKind, Names};
use crate::domain::pricing::Usage;
use crate::domain::rollout::Assigned;
use crate::domain::strata::Stratum;

static EVENT: LazyLock<Result<MessageDescriptor, String>> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(pb::DESCRIPTORS).map_err(|e| e.to_string())?;
    let name = "oddsmaker.ledger.v1.Event";
    pool.get_message_by_name(name).ok_or_else(|| format!("{name} is not described"))
});

/// Takes the name or set of labels that the fact in `bytes` introduces, if it does, into `names`.
///
/// # Errors
/// The bytes are no fact this program can use.
pub fn learn(names: &mut Names, bytes: &[u8]) -> Result<(), CodecError> {
    match codec::decode(bytes)?.body {
        Body::Named { kind, id, text } => names.insert(kind, id, &text),
        Body::LabelsNamed { id, labels } => names.insert_labels(id, labels),
        _ => {}
    }
    Ok(())
}

/// The fact in `bytes` as a JSON object: `seq`, `at` (RFC 3339, UTC), and the fields of `ledger.proto` by their own names.
/// Whole numbers are JSON numbers, but for digests, which need all 64 bits and are strings; what is zero or absent is left out. `names` are those known at the fact.
///
/// # Errors
/// The bytes are no fact this program can use.
pub fn event_json(seq: u64, bytes: &[u8], names: &Names) -> Result<Value, CodecError> {
    let event = codec::decode(bytes)?;
    let malformed = |e: &dyn std::fmt::Display| CodecError::Malformed(e.to_string());
    let descriptor = EVENT.as_ref().map_err(|e| malformed(e))?.clone();
    let message = DynamicMessage::decode(descriptor, codec::message(bytes)?).map_err(|e| malformed(&e))?;
    let options = SerializeOptions::new().stringify_64_bit_integers(false).use_proto_field_name(true);
    let stored = message.serialize_with_options(serde_json::value::Serializer, &options).map_err(|e| malformed(&e))?;
    let mut line = Map::new();
    line.insert("seq".to_owned(), json!(seq));
    if let Ok(at) = jiff::Timestamp::from_millisecond(event.at.0) {
        line.insert("at".to_owned(), json!(at.to_string()));
    }
    if let Value::Object(mut fields) = with_texts(stored, names) {
        unpack(&mut fields, &event, names);
        line.append(&mut fields);
    }
    Ok(Value::Object(line))
}

/// What a field of that name numbers.
fn kind_of(field: &str) -> Option<NameKind> {
    Some(match field {
        "task" => NameKind::Task,
        "candidate" | "served" | "incumbent" | "cheaper" => NameKind::Candidate,
        "workflow" => NameKind::Workflow,
        "step" => NameKind::Step,
        "tool" => NameKind::Tool,
        "source" => NameKind::Source,
        _ => return None,
    })
}

/// Digests: many readers of JSON would round them, as they keep 53 bits of a number.
const DIGESTS: [&str; 3] = ["body", "step_key", "keep_key"];

/// Fields that are maps. They are told in the order of their keys, as a message read without its type has them in any order.
const MAPS: [&str; 2] = ["features", "pairs"];

/// Puts `<field>_name` beside every number of a name, and `labels_set` beside that of a set of labels.
fn with_texts(value: Value, names: &Names) -> Value {
    match value {
        Value::Object(fields) => {
            let mut all = Map::new();
            for (field, value) in fields {
                let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
                let text = number.zip(kind_of(&field)).map(|(n, kind)| json!(names.text(kind, NameId(n))));
                let set = number.filter(|_| field == "labels").and_then(|n| names.labels(LabelsId(n)));
                let extra = text.map(|t| (format!("{field}_name"), t));
                let extra = extra.or_else(|| set.map(|s| ("labels_set".to_owned(), json!(**s))));
                let is_digest = DIGESTS.contains(&field.as_str()) && value.is_u64();
                let mut value = if is_digest { json!(value.to_string()) } else { with_texts(value, names) };
                if let (Value::Object(pairs), true) = (&mut value, MAPS.contains(&field.as_str())) {
                    pairs.sort_keys();
                }
                all.insert(field, value);
                all.extend(extra);
            }
            Value::Object(all)
        }
        Value::Array(values) => Value::Array(values.into_iter().map(|v| with_texts(v, names)).collect()),
        other => other,
    }
}

/// Takes packed sequences apart.
fn unpack(fields: &mut Map<String, Value>, event: &Event, names: &Names) {
    match &event.body {
        Body::Decided(decided) => {
            if let Some(Value::Object(of)) = fields.get_mut("decided") {
                unpack_decided(of, decided, names);
            }
        }
        Body::Gated(gated) => {
            if let Some(Value::Object(of)) = fields.get_mut("gated") {
                unpack_charges(of, &gated.charges);
            }
        }
        Body::OutcomeRecorded(recorded) => {
            let Some(Value::Object(of)) = fields.get_mut("outcome_recorded") else { return };
            if let (Some(Value::Object(place)), Some(new)) = (of.get_mut("place"), &recorded.place) {
                place.insert("traits".to_owned(), traits(new.traits));
            }
            unpack_usage(of, recorded.settled.usage);
            unpack_charges(of, &recorded.charges);
        }
        Body::OutcomeAmended(amended) => {
            if let Some(Value::Object(of)) = fields.get_mut("outcome_amended") {
                unpack_usage(of, amended.settled.usage);
            }
        }
        _ => {}
    }
}

fn unpack_decided(fields: &mut Map<String, Value>, decided: &Decided, names: &Names) {
    let name = |id: NameId| names.text(NameKind::Candidate, id);
    let competitors = decided.competitors.iter().map(|c| {
        json!({
            "candidate": c.candidate.0,
            "candidate_name": name(c.candidate),
            "alpha_micro": c.alpha_micro,
            "beta_micro": c.beta_micro,
            "cost_nano": c.cost.map(|cost| cost.0),
        })
    });
    let fallbacks = decided.fallbacks.iter().map(
        |(id, cost)| json!({ "candidate": id.0, "candidate_name": name(*id), "cost_nano": cost.map(|cost| cost.0) }),
    );
    let exclusions = decided
        .exclusions
        .iter()
        .map(|(id, why)| json!({ "candidate": id.0, "candidate_name": name(*id), "reason": why.as_str() }));
    let lists: [(&str, Vec<Value>); 3] = [
        ("competitors", competitors.collect()),
        ("fallbacks", fallbacks.collect()),
        ("exclusions", exclusions.collect()),
    ];
    for (field, list) in lists {
        if !list.is_empty() {
            fields.insert(field.to_owned(), Value::Array(list));
        }
    }
    if let Some(advised) = decided.advised {
        fields.insert("advised_name".to_owned(), name(advised).into());
    }
    fields.insert("traits".to_owned(), traits(decided.traits));
    unpack_charges(fields, &decided.charges);
}

fn traits(traits: CallTraits) -> Value {
    let CallTraits { arm, selection, may_teach, quality_reward, learns_from_goal, assigned, stratum } = traits;
    let mut told = json!({
        "arm": arm.as_str(),
        "selection": selection.as_str(),
        "may_teach": may_teach,
        "quality_reward": quality_reward,
        "learns_from_goal": learns_from_goal,
    });
    if assigned != Assigned::No {
        told["assigned_by"] = assigned.as_str().into();
    }
    if stratum != Stratum::NONE {
        told["stratum"] = stratum.0.into();
    }
    told
}

fn unpack_charges(fields: &mut Map<String, Value>, charges: &[Charge]) {
    if !charges.is_empty() {
        let charge = |c: &Charge| json!({ "account": c.account.0, "held": c.held });
        fields.insert("charges".to_owned(), charges.iter().map(charge).collect());
    }
}

fn unpack_usage(fields: &mut Map<String, Value>, usage: Option<Usage>) {
    if let (Some(Value::Object(settled)), Some(usage)) = (fields.get_mut("settled"), usage) {
        let Usage { input, cached_input, cache_write, output, reasoning } = usage;
        let tokens = json!({
            "input_tokens": input,
            "cached_input_tokens": cached_input,
            "cache_write_tokens": cache_write,
            "output_tokens": output,
            "reasoning_tokens": reasoning,
        });
        settled.insert("usage".to_owned(), tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::budget::AccountKey;
    use crate::domain::names::Labels;
    use crate::domain::time::UnixMillis;
    use crate::journal::codec::tests::ordinary;

    fn bytes(event: &Event) -> Vec<u8> {
        let mut bytes = Vec::new();
        codec::encode(event, &mut bytes);
        bytes
    }

    fn names() -> Names {
        let mut names = Names::default();
        let mut name = |kind, texts: &[&str]| {
            for (id, text) in (2..).zip(texts) {
                let event =
                    Event { at: UnixMillis(0), body: Body::Named { kind, id: NameId(id), text: (*text).to_owned() } };
                learn(&mut names, &bytes(&event)).unwrap();
            }
        };
        name(NameKind::Task, &["triage"]);
        name(NameKind::Source, &["ci"]);
        name(NameKind::Workflow, &["a", "support"]);
        name(NameKind::Step, &["a", "b", "c", "d", "e", "classify"]);
        name(NameKind::Candidate, &["a/0", "b/1", "c/middle", "d/small", "e/large"]);
        names
    }

    #[test]
    fn a_line_is_readable_on_its_own() {
        let [decided, recorded] = ordinary();
        let line = event_json(41, &bytes(&decided), &names()).unwrap();
        assert_eq!(
            line.to_string(),
            "{\"seq\":41,\"at\":\"2026-11-18T11:06:40.123Z\",\"at_ms\":1795000000123,\"decided\":{\"number\":3298536117895,\
             \"verdict\":\"POLICY_VERDICT_ALLOW\",\"place\":{\"task\":2,\"task_name\":\"triage\",\"candidate\":5,\
             \"candidate_name\":\"d/small\",\"workflow\":3,\"workflow_name\":\"support\",\"step\":7,\"step_name\":\"classify\",\
             \"goal\":\"ticket-84921\",\"step_key\":\"1234605616436508552\"},\"traits\":{\"arm\":\"router\",\"selection\":\"draw\",\
             \"may_teach\":true,\"quality_reward\":false,\"learns_from_goal\":false},\"expires_after_ms\":3600000,\"hold_nano\":4200000,\
             \"estimate_nano\":690000,\"estimate_source\":\"ESTIMATE_SOURCE_LEARNED\",\"max_output_tokens\":4096,\
             \"competitors\":[{\"candidate\":5,\"candidate_name\":\"d/small\",\"alpha_micro\":930000000,\
             \"beta_micro\":70000000,\"cost_nano\":690000},{\"candidate\":4,\"candidate_name\":\"c/middle\",\
             \"alpha_micro\":410000000,\"beta_micro\":90000000,\"cost_nano\":2100000},{\"candidate\":6,\
             \"candidate_name\":\"e/large\",\"alpha_micro\":55000000,\"beta_micro\":3000000,\"cost_nano\":9800000}],\
             \"keep\":\"KEEP_GOAL\",\"catalog\":1}}"
        );
        let mut recorded = recorded;
        if let Body::OutcomeRecorded(recorded) = &mut recorded.body {
            recorded.settled.source = NameId(2);
        }
        let line = event_json(42, &bytes(&recorded), &names()).unwrap();
        assert_eq!(line["outcome_recorded"]["settled"]["source_name"], "ci");
        assert_eq!(line["outcome_recorded"]["settled"]["usage"]["input_tokens"], 3_120);
        assert_eq!(line["outcome_recorded"]["settled"]["body"], 0x99aa_bbcc_ddee_ff00_u64.to_string());
        assert_eq!(line["outcome_recorded"]["settled"]["verdict"], "VERDICT_SUCCESS");
    }

    #[test]
    fn a_set_of_labels_stands_beside_its_number() {
        let mut names = names();
        let labels = Labels::from([("team".to_owned(), "red".to_owned())]);
        let named = Event { at: UnixMillis(0), body: Body::LabelsNamed { id: LabelsId(2), labels } };
        learn(&mut names, &bytes(&named)).unwrap();
        let [mut event, _] = ordinary();
        if let Body::Decided(decided) = &mut event.body {
            decided.place.labels = LabelsId(2);
        }
        let line = event_json(1, &bytes(&event), &names).unwrap();
        assert_eq!(line["decided"]["place"]["labels_set"]["team"], "red");
    }

    #[test]
    fn an_event_is_the_same_bytes_whenever_it_is_told() {
        let keys = || ('a'..='z').rev().map(|letter| letter.to_string());
        let labels = keys().map(|key| (key.clone(), key)).collect();
        let named = Event { at: UnixMillis(0), body: Body::LabelsNamed { id: LabelsId(2), labels } };
        let line = event_json(1, &bytes(&named), &names()).unwrap();
        let told: Vec<&String> = line["labels_named"]["set"]["pairs"].as_object().unwrap().keys().collect();
        assert_eq!(told, ('a'..='z').map(|letter| letter.to_string()).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    }

    #[test]
    fn every_map_of_the_record_is_known_as_one() {
        let event = EVENT.as_ref().unwrap();
        let maps = event
            .parent_pool()
            .all_messages()
            .flat_map(|m| m.fields().collect::<Vec<_>>())
            .filter(prost_reflect::FieldDescriptor::is_map);
        let maps: std::collections::BTreeSet<String> = maps.map(|field| field.name().to_owned()).collect();
        assert_eq!(maps, MAPS.map(str::to_owned).into());
    }

    #[test]
    fn what_a_call_is_booked_on_is_taken_apart() {
        let charges = [(0x0102_0304_0506_0708, 4_200_000), (u64::MAX, 0)];
        let booked = charges.map(|(account, held)| Charge { account: AccountKey(account), held }).to_vec();
        let [mut decided, mut recorded] = ordinary();
        if let (Body::Decided(decided), Body::OutcomeRecorded(recorded)) = (&mut decided.body, &mut recorded.body) {
            decided.charges.clone_from(&booked);
            recorded.charges = booked;
        }
        for (event, field) in [(decided, "decided"), (recorded, "outcome_recorded")] {
            let line = event_json(1, &bytes(&event), &names()).unwrap();
            assert_eq!(
                line[field]["charges"].to_string(),
                "[{\"account\":72623859790382856,\"held\":4200000},{\"account\":18446744073709551615,\"held\":0}]"
            );
        }
    }

    #[test]
    fn what_is_no_fact_is_no_line() {
        assert_eq!(
            event_json(1, &[codec::VERSION + 1], &Names::default()),
            Err(CodecError::Newer { found: codec::VERSION + 1 })
        );
        assert!(learn(&mut Names::default(), &[codec::VERSION, 0xff]).is_err());
    }
}
