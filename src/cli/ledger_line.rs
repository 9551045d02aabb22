//! A line of `oddsmaker export` → the fact it was made of, and the names it tells: the inverse of `journal::export`. It
//! refuses to know files, and what a fact means.

use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::{Map, Value, json};

use crate::domain::budget::{AccountKey, Charge};
use crate::domain::call::{Arm, CallTraits, Selection};
use crate::domain::event::{Body, Competitor, Decided, Event};
use crate::domain::filter::Exclusion;
use crate::domain::money::NanoUsd;
use crate::domain::names::{NameId, NameKind};
use crate::domain::rollout::Assigned;
use crate::domain::strata::Stratum;
use crate::journal::{codec, fields, pb};

static EVENT: LazyLock<Option<MessageDescriptor>> =
    LazyLock::new(|| DescriptorPool::decode(pb::DESCRIPTORS).ok()?.get_message_by_name("oddsmaker.ledger.v1.Event"));

/// What a line tells.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    /// The number of the fact.
    pub(super) seq: u64,
    /// The fact.
    pub(super) event: Event,
    /// Texts that stand beside numbers.
    pub(super) names: Vec<(NameKind, NameId, String)>,
}

/// Numbers beside which their texts stand, as `<field>_name`.
const NAMED: [(&str, NameKind); 10] = [
    ("task", NameKind::Task),
    ("candidate", NameKind::Candidate),
    ("served", NameKind::Candidate),
    ("advised", NameKind::Candidate),
    ("incumbent", NameKind::Candidate),
    ("cheaper", NameKind::Candidate),
    ("workflow", NameKind::Workflow),
    ("step", NameKind::Step),
    ("tool", NameKind::Tool),
    ("source", NameKind::Source),
];

/// Maps whose keys are the callers'. What is a list under such a name is ours.
const OF_CALLERS: [&str; 2] = ["pairs", "features"];

/// Reads a line.
///
/// # Errors
/// It is no line of an export that this program can use.
pub(super) fn read(text: &str) -> Result<Line, String> {
    let mut line: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    let Some(seq) = line["seq"].as_u64().filter(|seq| *seq > 0) else {
        return Err("no line of `oddsmaker export`: there is no `seq`".to_owned());
    };
    let mut names = Vec::new();
    take_names(&mut line, &mut names);
    let taken = take(&mut line)?;
    let message = message(line)?;
    let mut bytes = vec![codec::VERSION];
    message.encode(&mut bytes).map_err(|error| error.to_string())?;
    let mut event = codec::decode(&bytes).map_err(|error| error.to_string())?;
    taken.put_back(&mut event);
    Ok(Line { seq, event, names })
}

fn message(mut line: Value) -> Result<DynamicMessage, String> {
    if let Value::Object(fields) = &mut line {
        fields.retain(|field, _| field != "seq" && field != "at");
    }
    let descriptor = EVENT.clone().ok_or("the stored messages are not described")?;
    // Unknown fields and words are refused: a newer program may mean what this one would leave out.
    DynamicMessage::deserialize(descriptor, line).map_err(|error| error.to_string())
}

/// Takes the texts out of a line that stand beside numbers.
fn take_names(value: &mut Value, names: &mut Vec<(NameKind, NameId, String)>) {
    match value {
        Value::Object(fields) => {
            for (field, kind) in NAMED {
                let Some(number) = fields.get(field).and_then(Value::as_u64) else { continue };
                if let Some(Value::String(text)) = fields.shift_remove(&format!("{field}_name")) {
                    names.extend(u32::try_from(number).ok().map(|number| (kind, NameId(number), text)));
                }
            }
            if fields.get("labels").is_some_and(Value::is_u64) {
                fields.shift_remove("labels_set");
            }
            let is_ours = |field: &str, value: &Value| !value.is_object() || !OF_CALLERS.contains(&field);
            let ours = fields.iter_mut().filter(|(field, value)| is_ours(field, value));
            ours.for_each(|(_, value)| take_names(value, names));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| take_names(value, names)),
        _ => {}
    }
}

/// What a line has in another form than the stored message.
#[derive(Default)]
struct Taken {
    competitors: Vec<Competitor>,
    fallbacks: Vec<(NameId, Option<NanoUsd>)>,
    exclusions: Vec<(NameId, Exclusion)>,
    charges: Vec<Charge>,
}

impl Taken {
    fn put_back(self, event: &mut Event) {
        match &mut event.body {
            Body::Decided(of) => {
                let Decided { competitors, fallbacks, exclusions, charges, .. } = &mut **of;
                (*competitors, *fallbacks) = (self.competitors, self.fallbacks);
                (*exclusions, *charges) = (self.exclusions, self.charges);
            }
            Body::Gated(gated) => gated.charges = self.charges,
            Body::OutcomeRecorded(recorded) => recorded.charges = self.charges,
            _ => {}
        }
    }
}

/// Takes out of a line what has another form there, or gives it the form of the stored message.
fn take(line: &mut Value) -> Result<Taken, String> {
    let mut taken = Taken::default();
    let Value::Object(all) = line else { return Ok(taken) };
    for (kind, value) in all.iter_mut() {
        let Value::Object(of) = value else { continue };
        if matches!(kind.as_str(), "decided" | "gated" | "outcome_recorded") {
            taken.charges = each(of.remove("charges"), "charges", |item| {
                let (account, held) = (item["account"].as_u64()?, item["held"].as_u64()?);
                Some(Charge { account: AccountKey(account), held })
            })?;
        }
        if kind == "decided" {
            taken.competitors = each(of.remove("competitors"), "competitors", |item| {
                let (alpha_micro, beta_micro) = (item["alpha_micro"].as_u64()?, item["beta_micro"].as_u64()?);
                Some(Competitor { candidate: candidate(item)?, alpha_micro, beta_micro, cost: cost(item) })
            })?;
            taken.fallbacks = each(of.remove("fallbacks"), "fallbacks", |item| Some((candidate(item)?, cost(item))))?;
            taken.exclusions = each(of.remove("exclusions"), "exclusions", |item| {
                Some((candidate(item)?, word(Exclusion::ALL, Exclusion::as_str, &item["reason"])?))
            })?;
            pack_traits(of)?;
        }
        if let Some(Value::Object(place)) = of.get_mut("place").filter(|_| kind == "outcome_recorded") {
            pack_traits(place)?;
        }
        if let Some(Value::Object(settled)) = of.get_mut("settled") {
            pack_usage(settled)?;
        }
    }
    Ok(taken)
}

fn each<T>(list: Option<Value>, field: &str, of: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, String> {
    let Some(list) = list else { return Ok(Vec::new()) };
    let items = list.as_array().and_then(|list| list.iter().map(of).collect());
    items.ok_or_else(|| format!("`{field}` is not as an export has it"))
}

fn candidate(item: &Value) -> Option<NameId> {
    item["candidate"].as_u64().and_then(|id| u32::try_from(id).ok()).map(NameId)
}

fn cost(item: &Value) -> Option<NanoUsd> {
    item["cost_nano"].as_u64().map(NanoUsd)
}

fn word<T: Copy>(all: &[T], text: impl Fn(T) -> &'static str, value: &Value) -> Option<T> {
    all.iter().copied().find(|of| value.as_str() == Some(text(*of)))
}

/// Traits as the one number they are stored as.
fn pack_traits(of: &mut Map<String, Value>) -> Result<(), String> {
    let Some(traits) = of.get("traits") else { return Ok(()) };
    let read = || {
        let assigned = match &traits["assigned_by"] {
            Value::Null => Assigned::No,
            by => (0..=2).filter_map(Assigned::from_number).find(|of| by.as_str() == Some(of.as_str()))?,
        };
        Some(CallTraits {
            arm: word(Arm::ALL, Arm::as_str, &traits["arm"])?,
            selection: word(Selection::ALL, Selection::as_str, &traits["selection"])?,
            may_teach: traits["may_teach"].as_bool()?,
            quality_reward: traits["quality_reward"].as_bool()?,
            learns_from_goal: traits["learns_from_goal"].as_bool()?,
            assigned,
            // It stands beside the traits as well.
            stratum: Stratum::NONE,
        })
    };
    let traits = read().ok_or("`traits` are not as an export has them")?;
    of.insert("traits".to_owned(), fields::traits_number(traits).into());
    Ok(())
}

/// Usage as the sequence it is stored as.
fn pack_usage(settled: &mut Map<String, Value>) -> Result<(), String> {
    let Some(usage) = settled.get("usage") else { return Ok(()) };
    let tokens = ["input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens"]
        .map(|field| usage[field].as_u64());
    if tokens.contains(&None) {
        return Err("`usage` is not as an export has it".to_owned());
    }
    settled.insert("usage".to_owned(), json!(tokens));
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::event::Asked;
    use crate::domain::names::Names;
    use crate::journal::codec::tests::{body, instant, ordinary};
    use crate::journal::export;

    fn line(seq: u64, event: &Event) -> String {
        let mut bytes = Vec::new();
        codec::encode(event, &mut bytes);
        export::event_json(seq, &bytes, &Names::default()).unwrap().to_string()
    }

    /// A decision and an outcome with everything that a line has in another form.
    fn full() -> [Event; 2] {
        let [mut first, mut second] = ordinary();
        let charges =
            vec![Charge { account: AccountKey(u64::MAX), held: 4 }, Charge { account: AccountKey(7), held: 0 }];
        if let (Body::Decided(decided), Body::OutcomeRecorded(recorded)) = (&mut first.body, &mut second.body) {
            decided.charges.clone_from(&charges);
            decided.competitors[1].cost = None;
            decided.competitors[2].alpha_micro = 55_000_001;
            decided.fallbacks = vec![(NameId(4), Some(NanoUsd(5))), (NameId(6), None)];
            decided.exclusions = Exclusion::ALL.iter().map(|why| (NameId(9), *why)).collect();
            decided.unfit = vec![1, 2];
            decided.advised = Some(NameId(4));
            let features = [("step".to_owned(), 2.0), ("step_name".to_owned(), 3.5)];
            decided.asked = Some(Box::new(Asked { features: features.into(), ..Asked::default() }));
            decided.place.other_labels = Some([("labels_set".to_owned(), "x".to_owned())].into());
            decided.traits.assigned = Assigned::ByGoal;
            decided.traits.stratum = Stratum(0xdead_beef);
            recorded.charges = charges;
            recorded.settled.source = NameId(2);
            recorded.place = Some(Box::new(crate::domain::event::NewCall {
                at: first.at,
                place: decided.place.clone(),
                traits: decided.traits,
                decided: true,
                lost: Some(NameId(5)),
            }));
        }
        [first, second]
    }

    #[test]
    fn a_line_says_the_fact_it_was_made_of() {
        for (seq, event) in (41..).zip(ordinary().into_iter().chain(full())) {
            let found = read(&line(seq, &event)).unwrap();
            assert_eq!((found.seq, &found.event), (seq, &event));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Of every kind, as a daemon may come to write it.
        #[test]
        fn a_line_of_any_fact_says_it(at in instant(), body in body()) {
            let event = Event { at, body };
            prop_assert_eq!(read(&line(7, &event)).map(|line| line.event), Ok(event));
        }
    }

    #[test]
    fn texts_beside_numbers_are_told() {
        let mut names = Names::default();
        names.insert(NameKind::Candidate, NameId(2), "a/small");
        let [mut event, _] = ordinary();
        if let Body::Decided(decided) = &mut event.body {
            decided.place.candidate = NameId(2);
            decided.competitors[0].candidate = NameId(2);
        }
        let mut bytes = Vec::new();
        codec::encode(&event, &mut bytes);
        let text = export::event_json(1, &bytes, &names).unwrap().to_string();
        let told = read(&text).unwrap().names;
        let small = (NameKind::Candidate, NameId(2), "a/small".to_owned());
        assert_eq!(told.iter().filter(|name| **name == small).count(), 2, "{told:?}");
    }

    #[test]
    fn what_is_no_line_of_an_export_is_refused() {
        let [event, _] = full();
        let good = line(1, &event);
        for (bad, say) in [
            ("{".to_owned(), "no JSON"),
            ("{}".to_owned(), "there is no `seq`"),
            ("{\"seq\":1,\"at_ms\":5}".to_owned(), "a kind of event"),
            ("{\"seq\":1,\"at_ms\":5,\"sung\":{}}".to_owned(), "sung"),
            (good.replace("\"router\"", "\"nobody\""), "`traits`"),
            (good.replace("\"alpha_micro\":930000000", "\"alpha_micro\":-1"), "`competitors`"),
            (good.replace("\"over_budget\"", "\"out_of_mood\""), "`exclusions`"),
            (good.replace("POLICY_VERDICT_ALLOW", "POLICY_VERDICT_MAYBE"), "POLICY_VERDICT_MAYBE"),
        ] {
            assert_ne!(bad, good, "{say}");
            let said = read(&bad).unwrap_err();
            assert!(said.contains(say), "{said}");
        }
    }
}
