//! An hour with as many combinations of names as it may have: reading the state back changes nothing of what is told apart.

use super::steps::{numbered, step};
use crate::domain::call::{Arm, CallNo, CallTraits, Selection, Settled};
use crate::domain::cell::EstimateSource;
use crate::domain::event::{Body, Decided, Event, NewCall, OutcomeRecorded, Place, PolicyVerdict};
use crate::domain::names::NameId;
use crate::domain::outcome::{CostSource, Verdict};
use crate::domain::rollout::Assigned;
use crate::domain::rollup::HOUR_KEYS_MAX;
use crate::domain::strata::Stratum;
use crate::domain::time::UnixMillis;
use crate::engine::hydrate;
use crate::state::{Opened, SledStore, digest, digest_of_fold};

const AT: UnixMillis = UnixMillis(1_800_000_000_000);
const TRAITS: CallTraits = CallTraits {
    arm: Arm::Router,
    selection: Selection::Draw,
    may_teach: true,
    quality_reward: false,
    learns_from_goal: false,
    assigned: Assigned::No,
    stratum: Stratum::NONE,
};

/// One of many places; `step` 0: none.
fn place(n: u32, step: u32) -> Place {
    let (workflow, tool) = (NameId(2 + n % 100), NameId(2 + n / 100));
    Place { task: NameId(2), candidate: NameId(2), workflow, tool, step: NameId(step), ..Place::default() }
}

fn decision(n: u64, place: Place) -> Event {
    let decided = Decided {
        number: CallNo(n),
        verdict: PolicyVerdict::Allow,
        place,
        traits: TRAITS,
        irreversible: false,
        expires_at: AT.plus_ms(86_400_000),
        hold: None,
        estimate: None,
        estimate_source: EstimateSource::Unknown,
        max_output_tokens: None,
        advised: None,
        fallbacks: Vec::new(),
        competitors: Vec::new(),
        unfit: Vec::new(),
        exclusions: Vec::new(),
        drawn_by: None,
        keep: None,
        catalog: 1,
        service_tier: Default::default(),
        reason: String::new(),
        charges: Vec::new(),
        exhausted: None,
        asked: None,
        key: None,
    };
    Event { at: AT, body: Body::Decided(Box::new(decided)) }
}

/// An outcome that completes the place of its decision.
fn outcome(n: u64, place: Place) -> Event {
    let settled = Settled {
        cost: None,
        cost_source: CostSource::Unknown,
        verdict: Some(Verdict::Success),
        quality: None,
        usage: None,
        latency_ms: None,
        energy_mj: None,
        overrun: false,
        body: n,
        source: NameId::NONE,
    };
    let recorded = OutcomeRecorded {
        call: CallNo(n),
        decision: CallNo(n),
        place: Some(Box::new(NewCall { at: AT, place, traits: TRAITS, decided: true, lost: None })),
        served: None,
        off_policy: false,
        retry_of: None,
        evaluation: false,
        counted_at: AT,
        settled,
        evidence: String::new(),
        output_ref: String::new(),
        charges: Vec::new(),
        key: None,
    };
    Event { at: AT, body: Body::OutcomeRecorded(Box::new(recorded)) }
}

#[test]
fn a_restart_does_not_change_which_calls_are_told_apart() {
    let most = HOUR_KEYS_MAX as u64;
    // The outcome of the first decision names its step, which makes it one combination with the second.
    let mut facts = vec![decision(1, place(0, 0)), decision(2, place(0, 7))];
    facts.extend((3..=most).map(|n| decision(n, place(n as u32, 0))));
    facts.push(outcome(1, place(0, 7)));

    let dir = tempfile::tempdir().unwrap();
    let (mut state, store) = (Opened::blank(), SledStore::open(dir.path()).unwrap().store);
    for (seq, fact) in numbered(&facts) {
        hydrate::needs(&mut state, &store, fact);
        crate::engine::apply(&mut state, seq, fact);
    }
    step(&store, &mut state);
    store.close().unwrap();

    let opened = SledStore::open(dir.path()).unwrap();
    let mut state = opened.state.unwrap();
    facts.push(decision(most + 1, place(most as u32 + 5, 9)));
    crate::engine::apply(&mut state, most + 2, &facts[facts.len() - 1]);
    assert!(!state.calls[&CallNo(most + 1)].coarse, "there was room for one more");
    assert_eq!(digest(&state, &opened.store).unwrap(), digest_of_fold(numbered(&facts)));
}
