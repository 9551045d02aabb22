//! Every fact comes back from its bytes as it was; the bytes themselves are pinned.

#[path = "goal_facts_tests.rs"]
mod goal_facts;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::domain::call::{Arm, CallTraits, Selection, Settled};
use crate::domain::catalog::ServiceTier;
use crate::domain::cell::EstimateSource;
use crate::domain::drift::Change;
use crate::domain::event::{Key, NewCall, Place};
use crate::domain::flag::Raised;
use crate::domain::money::MAX_CALL_NANO_USD;
use crate::domain::names::{Labels, NameKind};
use crate::domain::outcome::{CostSource, FailureReason, QualityMicro, Verdict};
use crate::domain::pricing::Usage;
use crate::domain::rollout::Assigned;
use crate::domain::strata::Stratum;

fn one_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    (0..all.len()).prop_map(|i| all[i])
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z/#.-]{1,12}", "\\PC{0,6}"]
}

fn name() -> impl Strategy<Value = NameId> {
    prop_oneof![0_u32..40, any::<u32>()].prop_map(NameId)
}

fn number() -> impl Strategy<Value = CallNo> {
    prop_oneof![0_u64..400, any::<u64>(), (1_u64 << 40)..(1 << 40) + 900].prop_map(CallNo)
}

pub(crate) fn instant() -> impl Strategy<Value = UnixMillis> {
    prop_oneof![1_790_000_000_000_i64..1_800_000_000_000, any::<i64>()].prop_map(UnixMillis)
}

fn money() -> impl Strategy<Value = NanoUsd> {
    prop_oneof![0_u64..3, 0..=MAX_CALL_NANO_USD].prop_map(NanoUsd)
}

fn labels() -> impl Strategy<Value = Labels> {
    btree_map(text(), text(), 0..4)
}

fn kind() -> impl Strategy<Value = NameKind> {
    one_of(&fields::KINDS)
}

fn traits() -> impl Strategy<Value = CallTraits> {
    let assigned = (0..3_u8).prop_map(|n| Assigned::from_number(n).unwrap());
    (one_of(Arm::ALL), one_of(Selection::ALL), any::<[bool; 3]>(), assigned, any::<u32>()).prop_map(
        |(arm, selection, [may_teach, quality_reward, learns_from_goal], assigned, stratum)| CallTraits {
            arm,
            selection,
            may_teach,
            quality_reward,
            learns_from_goal,
            assigned,
            stratum: Stratum(stratum),
        },
    )
}

fn key() -> impl Strategy<Value = Option<Key>> {
    option::of((any::<u128>(), any::<u64>()).prop_map(|(hash, body)| Key { hash, body }))
}

prop_compose! {
    fn place()(
        task in name(), candidate in name(), workflow in name(), step in name(), tool in name(), labels in any::<u32>(),
        goal in text(), step_key in any::<u64>(), other_names in vec((kind(), text()), 0..3),
        other_labels in option::of(labels()),
    ) -> Place {
        Place { task, candidate, workflow, step, tool, labels: LabelsId(labels), goal, step_key, other_names, other_labels }
    }
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![Just(Verdict::Success), one_of(FailureReason::ALL).prop_map(Verdict::Failure)]
}

fn tokens() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), any::<u64>()]
}

prop_compose! {
    fn usage()(input in tokens(), cached_input in tokens(), cache_write in tokens(), output in tokens(), reasoning in tokens())
        -> Usage { Usage { input, cached_input, cache_write, output, reasoning } }
}

prop_compose! {
    fn settled()(
        cost in option::of(money()), cost_source in one_of(CostSource::ALL), verdict in option::of(verdict()),
        quality in option::of((0_u32..=1_000_000).prop_map(QualityMicro)), usage in option::of(usage()),
        latency_ms in any::<Option<u32>>(), energy_mj in any::<Option<u64>>(), overrun in any::<bool>(), body in any::<u64>(),
        source in name(),
    ) -> Settled {
        Settled { cost, cost_source, verdict, quality, usage, latency_ms, energy_mj, overrun, body, source }
    }
}

fn shape_micro() -> impl Strategy<Value = u64> {
    prop_oneof![(0_u64..1 << 40).prop_map(|n| n * MICRO), 0..u64::MAX >> 1]
}

fn competitor() -> impl Strategy<Value = Competitor> {
    (name(), shape_micro(), shape_micro(), option::of(money()))
        .prop_map(|(candidate, alpha_micro, beta_micro, cost)| Competitor { candidate, alpha_micro, beta_micro, cost })
}

prop_compose! {
    fn asked()(
        max_cost in option::of(money()), max_latency_ms in any::<Option<u32>>(), min_success_rate in option::of(0.0..=1.0),
        min_context_tokens in any::<Option<u64>>(), capabilities in vec(text(), 0..3), allowed_models in vec(text(), 0..3),
        denied_models in vec(text(), 0..3), requested_model in text(), parent_goal in text(),
        features in btree_map(text(), -1e9..1e9, 0..3),
    ) -> Asked {
        Asked {
            max_cost, max_latency_ms, min_success_rate, min_context_tokens, capabilities, allowed_models, denied_models,
            requested_model, parent_goal, features,
        }
    }
}

fn estimate_source() -> impl Strategy<Value = EstimateSource> {
    use EstimateSource::{Learned, Request, Typical, Unknown};
    one_of(&[Learned, Request, Typical, Unknown])
}

fn decided() -> impl Strategy<Value = Decided> {
    let first = (number(), one_of(PolicyVerdict::ALL), place(), traits(), any::<bool>(), instant());
    let amounts = (option::of(money()), option::of(money()), estimate_source(), any::<Option<u64>>());
    let lists = (
        vec((name(), option::of(money())), 0..4),
        vec(competitor(), 0..6),
        vec(0_u32..60, 0..3),
        vec((name(), one_of(Exclusion::ALL)), 0..4),
    );
    let rest = (
        option::of(number()),
        prop_oneof![Just(None), Just(Some(0)), any::<u64>().prop_map(Some)],
        any::<bool>(),
        one_of(&ServiceTier::ALL),
        text(),
        option::of(asked()),
        (
            key(),
            any::<u32>(),
            vec(goal_facts::charge(), 0..4),
            option::of(goal_facts::exhausted()),
            option::of(1..u32::MAX),
        ),
    );
    (first, amounts, lists, rest).prop_map(|(first, amounts, lists, rest)| {
        let (number, verdict, place, traits, irreversible, expires_at) = first;
        let (hold, estimate, estimate_source, max_output_tokens) = amounts;
        let (fallbacks, competitors, unfit, exclusions) = lists;
        let (drawn_by, keep, keep_step, service_tier, reason, asked, (key, catalog, charges, exhausted, advised)) =
            rest;
        let advised = advised.map(NameId);
        let keep = if keep_step { Some(place.step_key) } else { keep };
        Decided {
            number,
            verdict,
            place,
            traits,
            irreversible,
            expires_at,
            hold,
            estimate,
            estimate_source,
            max_output_tokens,
            advised,
            fallbacks,
            competitors,
            unfit,
            exclusions,
            drawn_by,
            keep,
            catalog,
            service_tier,
            reason,
            charges,
            exhausted: exhausted.map(Box::new),
            asked: asked.map(Box::new),
            key,
        }
    })
}

prop_compose! {
    fn new_call()(at in instant(), place in place(), traits in traits(), decided in any::<bool>(), lost in option::of(name())) -> NewCall {
        NewCall { at, place, traits, decided, lost }
    }
}

prop_compose! {
    fn recorded()(
        call in number(), decision in option::of(number()), place in option::of(new_call()), served in option::of(name()),
        flags in any::<(bool, bool)>(), retry_of in option::of(number()), counted_at in instant(), settled in settled(),
        evidence in text(), output_ref in text(), charges in vec(goal_facts::charge(), 0..3), key in key(),
    ) -> OutcomeRecorded {
        OutcomeRecorded {
            call, decision: decision.unwrap_or(call), place: place.map(Box::new), served, off_policy: flags.0, retry_of,
            evaluation: flags.1, counted_at, settled, evidence, output_ref, charges, key,
        }
    }
}

fn look() -> impl Strategy<Value = FlagLook> {
    let pair =
        (name(), name(), any::<u64>(), 0.0..=1.0).prop_map(|(incumbent, cheaper, smaller_count, probability)| {
            PairLook { incumbent, cheaper, smaller_count, probability }
        });
    let raised = (name(), name(), 0.0..=1.0).prop_map(|(incumbent, cheaper, probability)| Raised {
        incumbent,
        cheaper,
        probability,
    });
    (name(), vec(pair, 0..4), option::of(raised)).prop_map(|(task, pairs, raised)| FlagLook { task, pairs, raised })
}

pub(crate) fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        (any::<u32>(), text()).prop_map(|(epoch, version)| Body::Started { epoch, version }),
        (kind(), name(), text()).prop_map(|(kind, id, text)| Body::Named { kind, id, text }),
        (any::<u32>(), labels()).prop_map(|(id, labels)| Body::LabelsNamed { id: LabelsId(id), labels }),
        (text(), text()).prop_map(|(version, text)| Body::CatalogChanged { version, text }),
        decided().prop_map(|d| Body::Decided(Box::new(d))),
        recorded().prop_map(|r| Body::OutcomeRecorded(Box::new(r))),
        (number(), settled(), text(), text(), key()).prop_map(|(call, settled, by, reason, key)| {
            Body::OutcomeAmended(Box::new(OutcomeAmended { call, settled, by, reason, key }))
        }),
        (number(), text(), text()).prop_map(|(call, by, reason)| Body::DecisionVoided { call, by, reason }),
        vec(number(), 0..5).prop_map(|calls| Body::DecisionsExpired { calls }),
        (name(), name(), one_of(ModelState::ALL), text(), text()).prop_map(|(task, candidate, state, by, reason)| {
            Body::ModelStateSet { task, candidate, state, by, reason }
        }),
        (name(), name(), number(), text(), text(), key()).prop_map(|(task, candidate, from, by, reason, key)| {
            Body::PosteriorReset { task, candidate, from, by, reason, key }
        }),
        look().prop_map(|l| Body::FlagLooked(Box::new(l))),
        (name(), name(), number(), instant(), any::<[(u64, u64); 2]>(), 1.0..1e9, any::<Option<(u32, u32)>>())
            .prop_map(|(task, candidate, keep_from, around, [before, after], strength, rewards_micro)| {
                let change = Change { task, candidate, keep_from, around, before, after, strength, rewards_micro };
                Body::ChangeFound(Box::new(change))
            },),
        goal_facts::body(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_fact_comes_back_as_it_was(at in instant(), body in body()) {
        let event = Event { at, body };
        let mut bytes = Vec::new();
        encode(&event, &mut bytes);
        prop_assert_eq!(decode(&bytes), Ok(event));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..120), at in instant(), body in body(), flip in any::<prop::sample::Index>()) {
        let _ = decode(&bytes);
        let mut damaged = Vec::new();
        encode(&Event { at, body }, &mut damaged);
        let place = flip.index(damaged.len());
        damaged[place] ^= 1 << (place % 8);
        let _ = decode(&damaged);
    }
}

/// A decision and its outcome as they are on an ordinary day.
pub(crate) fn ordinary() -> [Event; 2] {
    let at = UnixMillis(1_795_000_000_123);
    let number = CallNo((3 << 40) + 1_234_567);
    let competitor = |candidate, alpha, beta, cost| Competitor {
        candidate: NameId(candidate),
        alpha_micro: alpha * MICRO,
        beta_micro: beta * MICRO,
        cost: Some(NanoUsd(cost)),
    };
    let place = Place {
        task: NameId(2),
        candidate: NameId(5),
        workflow: NameId(3),
        step: NameId(7),
        goal: "ticket-84921".to_owned(),
        step_key: 0x1122_3344_5566_7788,
        ..Place::default()
    };
    let traits = CallTraits {
        arm: Arm::Router,
        selection: Selection::Draw,
        may_teach: true,
        quality_reward: false,
        learns_from_goal: false,
        assigned: Assigned::No,
        stratum: Stratum::NONE,
    };
    let decided = Decided {
        number,
        verdict: PolicyVerdict::Allow,
        place,
        traits,
        irreversible: false,
        expires_at: at.plus_ms(3_600_000),
        hold: Some(NanoUsd(4_200_000)),
        estimate: Some(NanoUsd(690_000)),
        estimate_source: EstimateSource::Learned,
        max_output_tokens: Some(4096),
        advised: None,
        fallbacks: Vec::new(),
        competitors: vec![
            competitor(5, 930, 70, 690_000),
            competitor(4, 410, 90, 2_100_000),
            competitor(6, 55, 3, 9_800_000),
        ],
        unfit: Vec::new(),
        exclusions: Vec::new(),
        drawn_by: None,
        keep: Some(0),
        catalog: 1,
        service_tier: ServiceTier::Standard,
        reason: String::new(),
        charges: Vec::new(),
        exhausted: None,
        asked: None,
        key: None,
    };
    let settled = Settled {
        cost: Some(NanoUsd(701_250)),
        cost_source: CostSource::Priced,
        verdict: Some(Verdict::Success),
        quality: None,
        usage: Some(Usage { input: 3_120, output: 260, ..Usage::default() }),
        latency_ms: Some(1_834),
        energy_mj: None,
        overrun: false,
        body: 0x99aa_bbcc_ddee_ff00,
        source: NameId::NONE,
    };
    let later = at.plus_ms(2_000);
    let recorded = OutcomeRecorded {
        call: number,
        decision: number,
        place: None,
        served: None,
        off_policy: false,
        retry_of: None,
        evaluation: false,
        counted_at: later,
        settled,
        evidence: String::new(),
        output_ref: String::new(),
        charges: Vec::new(),
        key: None,
    };
    [
        Event { at, body: Body::Decided(Box::new(decided)) },
        Event { at: later, body: Body::OutcomeRecorded(Box::new(recorded)) },
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn the_bytes_on_disk_are_pinned() {
    // If this fails, journals written before can no longer be read: raise the version byte instead.
    let bytes = ordinary().map(|event| {
        let mut bytes = Vec::new();
        encode(&event, &mut bytes);
        bytes
    });
    assert_eq!(
        hex(&bytes[0]),
        "0110f6f9b2e5bd683a5e0887adcb80806010011a1f08021005180320073a0c7469636b65742d3834393231418877665544332211\
         20492880bab70330c0ac800238d08e2a4001488020521805c40e8c01d18e2a04b406b401a1968001066e06c192d6046801a80101"
    );
    assert_eq!(
        hex(&bytes[1]),
        "01109699b3e5bd6842230887adcb8080604a1a08c2e62a100218012a04b018840230aa0e4900ffeeddccbbaa99"
    );
    assert!(bytes[0].len() <= 110, "{} bytes a decision", bytes[0].len());
    assert!(bytes[1].len() <= 60, "{} bytes an outcome", bytes[1].len());
}

#[test]
fn what_a_newer_program_wrote_is_refused_in_so_many_words() {
    let mut bytes = Vec::new();
    encode(&ordinary()[0], &mut bytes);
    bytes[0] = VERSION + 1;
    assert_eq!(decode(&bytes), Err(CodecError::Newer { found: VERSION + 1 }));
    bytes[0] = 0;
    assert_eq!(decode(&bytes), Err(CodecError::NoSuchVersion { found: 0 }));
    assert_eq!(decode(&[]), Err(CodecError::Empty));
    // Field 31, length-delimited, one byte: a body this program has no name for.
    assert_eq!(decode(&[VERSION, 0xfa, 0x01, 0x01, 0x00]), Err(CodecError::UnknownBody));
    let other = pb::Event { project: 7, at_ms: 0, body: Some(Stored::Started(pb::Started::default())) };
    let bytes = [vec![VERSION], other.encode_to_vec()].concat();
    assert_eq!(decode(&bytes), Err(CodecError::UnknownProject(7)));
}

#[test]
fn a_glance_tells_what_a_reading_would() {
    for event in ordinary() {
        let mut bytes = Vec::new();
        encode(&event, &mut bytes);
        let expected = if matches!(event.body, Body::Decided(_)) { Glance::Decided } else { Glance::Other };
        assert_eq!(glance(&bytes), Some((event.at, expected)));
    }
    let catalog = Body::CatalogChanged { version: "v".to_owned(), text: "schema = 1".to_owned() };
    for at in [0, -7, 1_795_000_000_123] {
        let mut bytes = Vec::new();
        encode(&Event { at: UnixMillis(at), body: catalog.clone() }, &mut bytes);
        assert_eq!(glance(&bytes), Some((UnixMillis(at), Glance::CatalogChanged)));
    }
    assert_eq!((glance(&[]), glance(&[VERSION + 1, 0]), glance(&[VERSION, 0xff])), (None, None, None));
}
