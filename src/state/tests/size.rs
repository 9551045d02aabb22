//! What a call costs on disk, all of it: its record, its goal of five calls, its sums; and what two budgets add to that.

use std::fs;
use std::path::Path;

use crate::domain::budget::{AccountKey, Charge, Measure, Opened, Scope};
use crate::domain::call::{Arm, CallNo, CallTraits, Selection, Settled};
use crate::domain::cell::EstimateSource;
use crate::domain::event::{Body, Competitor, Decided, Event, OutcomeRecorded, Place, PolicyVerdict};
use crate::domain::money::NanoUsd;
use crate::domain::names::NameId;
use crate::domain::outcome::{CostSource, Verdict};
use crate::domain::pricing::Usage;
use crate::domain::rollout::Assigned;
use crate::domain::strata::Stratum;
use crate::domain::time::UnixMillis;
use crate::journal::codec;
use crate::state::{SledStore, catch_up};

const CALLS: u64 = 30_000;
/// Calls decided before the first of them has its outcome.
const IN_FLIGHT: u64 = 300;

fn decided(n: u64, at: UnixMillis, budgets: bool) -> Event {
    let traits = CallTraits {
        arm: Arm::Router,
        selection: Selection::Draw,
        may_teach: true,
        quality_reward: false,
        learns_from_goal: false,
        assigned: Assigned::No,
        stratum: Stratum::NONE,
    };
    let candidate = NameId(2 + (n % 3) as u32);
    let place = Place {
        task: NameId(2 + (n % 4) as u32),
        candidate,
        workflow: NameId(2),
        step: NameId(2 + (n % 7) as u32),
        goal: format!("ticket-{:08}", n / 5),
        step_key: (n % 7 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        ..Place::default()
    };
    let competitor = |c| Competitor {
        candidate: NameId(c),
        alpha_micro: (n / 7 + 1) * 1_000_000,
        beta_micro: (n / 70 + 1) * 1_000_000,
        cost: Some(NanoUsd(690_000 * u64::from(c))),
    };
    let booked = [goal_account(n), TEAM].map(|account| Charge { account, held: 4_200_000 + n });
    let decided = Decided {
        number: CallNo((1 << 40) + n),
        verdict: PolicyVerdict::Allow,
        place,
        traits,
        irreversible: false,
        expires_at: at.plus_ms(3_600_000),
        hold: Some(NanoUsd(4_200_000 + n)),
        estimate: Some(NanoUsd(690_000 + n)),
        estimate_source: EstimateSource::Learned,
        max_output_tokens: Some(4096),
        advised: None,
        fallbacks: Vec::new(),
        competitors: vec![competitor(2), competitor(3), competitor(4)],
        unfit: Vec::new(),
        exclusions: Vec::new(),
        drawn_by: None,
        keep: Some(0),
        catalog: 1,
        service_tier: Default::default(),
        reason: String::new(),
        charges: if budgets { booked.to_vec() } else { Vec::new() },
        exhausted: None,
        asked: None,
        key: None,
    };
    Event { at, body: Body::Decided(Box::new(decided)) }
}

/// The account of a team's day.
const TEAM: AccountKey = AccountKey(7);

fn goal_account(n: u64) -> AccountKey {
    AccountKey((n / 5 + 8).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The account of a goal, and that of a team's day.
fn opened(n: u64, at: UnixMillis) -> Event {
    let goal = format!("ticket-{:08}", n / 5);
    let of_goal = Opened {
        key: goal_account(n),
        budget: "per_ticket".to_owned(),
        scope: Scope::Goal,
        measure: Measure::Usd,
        instance: goal.clone(),
        goal,
        start: UnixMillis(0),
        resets_at: None,
        limit: 1_000_000_000,
    };
    let of_team = Opened {
        key: TEAM,
        scope: Scope::Team,
        goal: String::new(),
        start: UnixMillis(1_795_000_000_000),
        resets_at: Some(UnixMillis(1_795_080_000_000)),
        ..of_goal.clone()
    };
    Event { at, body: Body::AccountOpened(Box::new(if n == 0 { of_team } else { of_goal })) }
}

fn recorded(n: u64, at: UnixMillis) -> Event {
    let call = CallNo((1 << 40) + n);
    let settled = Settled {
        cost: Some(NanoUsd(701_250 + n)),
        cost_source: CostSource::Priced,
        verdict: Some(Verdict::Success),
        quality: None,
        usage: Some(Usage { input: 3_120 + n % 900, output: 260 + n % 90, ..Usage::default() }),
        latency_ms: Some(1_800 + (n % 700) as u32),
        energy_mj: None,
        overrun: false,
        body: n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        source: NameId::NONE,
    };
    let recorded = OutcomeRecorded {
        call,
        decision: call,
        place: None,
        served: None,
        off_policy: false,
        retry_of: None,
        evaluation: false,
        counted_at: at,
        settled,
        evidence: String::new(),
        output_ref: String::new(),
        charges: Vec::new(),
        key: None,
    };
    Event { at, body: Body::OutcomeRecorded(Box::new(recorded)) }
}

/// Of all files below a folder; of one that the store at work renames meanwhile, nothing.
fn bytes_of(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap());
    entries.map(|e| if e.path().is_dir() { bytes_of(&e.path()) } else { e.metadata().map_or(0, |m| m.len()) }).sum()
}

/// The facts of calls `from` to `until`, ten milliseconds apart, with their place in the journal; under two budgets or none.
fn facts(from: u64, until: u64, budgets: bool) -> impl Iterator<Item = Result<(u64, Vec<u8>), String>> {
    let at = |n: u64| UnixMillis(1_795_000_000_000 + n as i64 * 10);
    let pairs = (from..until).flat_map(move |n| {
        let outcome = n.checked_sub(IN_FLIGHT).map(|earlier| recorded(earlier, at(n)));
        let account = (budgets && n.is_multiple_of(5)).then(|| opened(n, at(n)));
        [account, Some(decided(n, at(n), budgets)), outcome].into_iter().flatten()
    });
    let accounts = if budgets { from.div_ceil(5) } else { 0 };
    let first = 1 + from + accounts + from.saturating_sub(IN_FLIGHT);
    (first..).zip(pairs).map(|(seq, event)| {
        let mut bytes = Vec::new();
        codec::encode(&event, &mut bytes);
        Ok((seq, bytes))
    })
}

/// Bytes a call more costs in the stored state and in the journal.
fn bytes_a_call(budgets: bool) -> (u64, u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut state = crate::state::Opened::blank();
    let store = SledStore::open(dir.path()).unwrap().store;
    catch_up(&mut state, &store, facts(0, CALLS, budgets)).unwrap();
    let before = bytes_of(dir.path());
    catch_up(&mut state, &store, facts(CALLS, 2 * CALLS, budgets)).unwrap();
    store.close().unwrap();
    let stored = (bytes_of(dir.path()) - before) / CALLS;
    let journal: u64 = facts(CALLS, 2 * CALLS, budgets).map(|entry| entry.unwrap().1.len() as u64).sum();
    let journal = journal / CALLS;
    println!("{stored} bytes a call stored, {journal} in the journal; under budgets: {budgets}");
    (stored, journal)
}

#[test]
fn a_call_more_costs_less_than_it_may_on_disk() {
    // sled's own leavings move the stored bytes from run to run (329 to 417 were seen, 360 under two budgets); what has to be
    // told is a record that grew by half.
    let (stored, journal) = bytes_a_call(false);
    assert!(journal < 160, "{journal} bytes a call in the journal");
    assert!(stored < 540, "{stored} bytes a call in the stored state");
    let (stored, journal) = bytes_a_call(true);
    assert!(journal < 200, "{journal} bytes a call in the journal");
    assert!(stored < 600, "{stored} bytes a call in the stored state");
}
