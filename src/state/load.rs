//! Reads the hot part of the stored state back: everything but closed calls, goals, accounts of ended periods and
//! idempotency keys, which stay where they are until a fact needs them. Whatever does not read is damage.

use std::collections::{BTreeSet, HashSet};

use prost::Message;
use sled::Tree;

use super::copying::Total;
use super::error::StoreError;
use super::evict::OPEN_AT_HAND;
use super::keys::{self, Kind, Rest, SLOT_BITS};
use super::seal;
use super::store::Written;
use super::{goal_records, goal_sums, records, sums};
use crate::domain::budget::{Account, AccountKey};
use crate::domain::call::{CallNo, Stage};
use crate::domain::names::{LabelsId, NameId};
use crate::domain::state::{State, Touched};
use crate::domain::time::UnixMillis;
use crate::journal::{fields, pb};

/// Format of the records this program writes, and the newest it reads. A snapshot beside the journal may be all that is left
/// of its first facts: whoever raises this must still read records of format 9.
pub(super) const FORMAT: u32 = 10;

/// The oldest format it reads: the first that a snapshot had. In it no message was deflated.
pub(super) const OLDEST_FORMAT: u32 = 9;

/// The record that says where the state stands; its sums are filled in by the commit.
pub(super) fn meta_of(state: &State) -> pb::Meta {
    pb::Meta {
        format_version: FORMAT,
        applied_seq: state.applied_seq,
        last_at_ms: state.last_at.0,
        epoch: state.epoch,
        catalog_versions: state.catalog_versions.clone(),
        calls_total: state.calls_total,
        amendments_total: state.amendments_total,
        minutes_from_ms: state.rollups.minutes_from.0,
        records: 0,
        records_bytes: 0,
        records_sum: Vec::new(),
        last_alert: state.last_alert,
        detail_from_ms: state.detail_from.0,
    }
}

/// The record that says where the state stands; `None`: nothing was ever stored.
pub(super) fn meta(tree: &Tree) -> Result<Option<pb::Meta>, StoreError> {
    let key = Kind::Meta.prefix();
    match tree.get(&key)? {
        Some(value) => {
            let meta: pb::Meta = seal::unseal(&key, &value)?;
            match meta.format_version {
                OLDEST_FORMAT..=FORMAT => Ok(Some(meta)),
                other => Err(StoreError::broken(format!("its records have format {other}, this program's {FORMAT}"))),
            }
        }
        None if tree.first()?.is_none() => Ok(None),
        None => Err(StoreError::broken("the record that says where the state stands is missing")),
    }
}

/// Checks every record, and that none is missing or too many. What [`load`] does not read is decoded here, so that a
/// record in another form than this program's is found at the opening and not when it is asked for.
pub(super) fn check(tree: &Tree) -> Result<(), StoreError> {
    let Some(meta) = meta(tree)? else { return Ok(()) };
    let meta_key = Kind::Meta.prefix();
    let mut total = Total::default();
    for item in tree {
        let (key, value) = item?;
        readable(&key, &value)?;
        if key != meta_key {
            total.add(&key, &value);
        }
    }
    let Total { records, sum, .. } = total;
    if (records, &sum.to_be_bytes()[..]) == (meta.records, &meta.records_sum[..]) {
        return Ok(());
    }
    Err(StoreError::broken(format!("{records} records are there, and not the {} that were written", meta.records)))
}

/// Whether a record is whole and says something to this program.
fn readable(key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    let is = |kind: Kind| key.starts_with(&kind.prefix());
    if is(Kind::Page) {
        let page: pb::CallPage = seal::unseal(key, value)?;
        for call in page.calls {
            records::call(CallNo(0), call)?;
        }
    } else if is(Kind::Goal) {
        goal_records::goal("", seal::unseal(key, value)?, Vec::new())?;
    } else if is(Kind::Key) {
        records::key_use(&seal::unseal(key, value)?);
    } else {
        seal::check(key, value)?;
    }
    Ok(())
}

/// The hot part; `None`: nothing was ever stored.
pub(super) fn load(tree: &Tree) -> Result<Option<(State, Written)>, StoreError> {
    let Some(meta) = meta(tree)? else { return Ok(None) };
    let mut state = State {
        applied_seq: meta.applied_seq,
        last_at: UnixMillis(meta.last_at_ms),
        epoch: meta.epoch,
        catalog_versions: meta.catalog_versions,
        calls_total: meta.calls_total,
        amendments_total: meta.amendments_total,
        last_alert: meta.last_alert,
        detail_from: UnixMillis(meta.detail_from_ms),
        touched: Some(Touched::default()),
        ..State::default()
    };
    let sum: [u8; 16] = meta.records_sum.try_into().map_err(|_| StoreError::broken("the sum of records is cut"))?;
    let total = Total { records: meta.records, sum: u128::from_be_bytes(sum), bytes: meta.records_bytes };
    let mut written = Written { total, ..Written::default() };
    names(tree, &mut state, &mut written)?;
    tasks(tree, &mut state)?;
    sums::load(tree, &mut state, UnixMillis(meta.minutes_from_ms))?;
    open_calls(tree, &mut state)?;
    open_goals(tree, &mut state)?;
    budgets(tree, &mut state)?;
    Ok(Some((state, written)))
}

fn names(tree: &Tree, state: &mut State, written: &mut Written) -> Result<(), StoreError> {
    each(tree, Kind::Name, |mut key, name: pb::NameText| {
        let place = usize::from(key.u8()?);
        let kind = *fields::KINDS.get(place).ok_or_else(|| StoreError::broken("a name of no kind"))?;
        let id = NameId(key.u32()?);
        if state.names.next_id(kind) != id {
            return Err(StoreError::broken(format!("name {} is not the next one", id.0)));
        }
        state.names.insert(kind, id, &name.text);
        written.names[place] += 1;
        Ok(())
    })?;
    each(tree, Kind::Labels, |mut key, set: pb::LabelSet| {
        let id = LabelsId(key.u32()?);
        if state.names.next_labels_id() != id {
            return Err(StoreError::broken(format!("label set {} is not the next one", id.0)));
        }
        state.names.insert_labels(id, set.pairs);
        written.labels += 1;
        Ok(())
    })
}

fn tasks(tree: &Tree, state: &mut State) -> Result<(), StoreError> {
    each(tree, Kind::Cell, |mut key, cell: pb::Cell| {
        let (task, candidate) = (NameId(key.u32()?), NameId(key.u32()?));
        let cell = records::cell(&cell)?;
        let of = state.tasks.entry(task).or_default();
        of.lessons += cell.lessons;
        of.cells.insert(candidate, cell);
        Ok(())
    })?;
    each(tree, Kind::Flag, |mut key, flag: pb::TaskFlag| {
        let task = NameId(key.u32()?);
        let of = state.tasks.entry(task).or_default();
        (of.flag, of.changes) = (records::flag(&flag)?, records::changes(task, &flag.changes)?);
        Ok(())
    })?;
    each(tree, Kind::ModelStates, |_, all: pb::ModelStates| {
        for set in fields::groups("states", &all.states)? {
            let (of, to) = records::model_state(set)?;
            state.model_states.insert(of, to);
        }
        Ok(())
    })
}

/// The open decisions, from the pages that are marked as holding some.
fn open_calls(tree: &Tree, state: &mut State) -> Result<(), StoreError> {
    each(tree, Kind::OpenPage, |mut mark, _: pb::CallPage| {
        let page = mark.u64()?;
        let key = keys::page(page);
        let value = tree.get(&key)?.ok_or_else(|| StoreError::broken("a page with open decisions is missing"))?;
        let stored: pb::CallPage = seal::unseal(&key, &value)?;
        for call in stored.calls {
            let number = CallNo(page << SLOT_BITS | u64::from(call.slot));
            let call = records::call(number, call)?;
            if let Stage::Open(until) = call.stage {
                state.open.insert((until, number));
                state.calls.insert(number, call);
                // Pages come in rising order: the newest stay at hand.
                if state.calls.len() > 2 * OPEN_AT_HAND {
                    let kept_from = number.0.saturating_sub(OPEN_AT_HAND as u64);
                    state.calls.retain(|n, _| n.0 >= kept_from);
                }
            }
        }
        Ok(())
    })
}

/// How many goals are open and since when they lie idle, by workflow.
fn open_goals(tree: &Tree, state: &mut State) -> Result<(), StoreError> {
    let mut uncounted = HashSet::new();
    each(tree, Kind::OpenGoals, |mut kind, open: pb::OpenGoals| {
        let kind = (NameId(kind.u32()?), LabelsId(kind.u32()?));
        if !goal_sums::open_goals(&mut state.open_goals, kind, &open)? {
            uncounted.insert(kind);
        }
        Ok(())
    })?;
    if !uncounted.is_empty() {
        count_arms(tree, state, &uncounted)?;
        if let Some(touched) = &mut state.touched {
            touched.open_goals.extend(uncounted);
        }
    }
    let workflows: BTreeSet<NameId> = state.open_goals.counts().map(|((workflow, _), _)| workflow).collect();
    for workflow in workflows {
        let from = idle_from(tree, workflow)?;
        state.open_goals.away_from(workflow, from);
    }
    Ok(())
}

/// Counts the open goals of these kinds by their arms, which nobody did when their number was stored.
fn count_arms(tree: &Tree, state: &mut State, kinds: &HashSet<(NameId, LabelsId)>) -> Result<(), StoreError> {
    for mark in tree.scan_prefix(Kind::IdleGoal.prefix()).keys() {
        let mark = mark?;
        let (_, _, id) = keys::read_idle_goal(&mark)?;
        let key = keys::goal(id);
        let value = tree.get(&key)?.ok_or_else(|| StoreError::broken("an open goal is missing"))?;
        let goal = goal_records::goal(id, seal::unseal(&key, &value)?, Vec::new())?;
        if kinds.contains(&(goal.workflow, goal.labels)) {
            state.open_goals.recount_arms(&goal);
        }
    }
    Ok(())
}

/// When somebody last worked on the open goal of a workflow that lies idle longest.
pub(super) fn idle_from(tree: &Tree, workflow: NameId) -> Result<Option<UnixMillis>, StoreError> {
    let marks = Kind::IdleGoal.key(&[&workflow.0.to_be_bytes()]);
    let first = tree.scan_prefix(marks).keys().next().transpose()?;
    first.map(|key| Ok(keys::read_idle_goal(&key)?.1)).transpose()
}

/// Accounts whose period is running, tools and alerts.
fn budgets(tree: &Tree, state: &mut State) -> Result<(), StoreError> {
    for mark in tree.range(keys::ending(Some(state.last_at))..).keys() {
        let mark = mark?;
        if !mark.starts_with(&Kind::RunningAccount.prefix()) {
            break;
        }
        let mut rest = Rest::of(&mark);
        rest.u64()?;
        let account = AccountKey(rest.u64()?);
        let key = keys::account(account);
        let value = tree.get(&key)?.ok_or_else(|| StoreError::broken("an account is missing"))?;
        let account = goal_records::account(seal::unseal(&key, &value)?, "")?;
        if is_running(&account, state.last_at) {
            state.accounts.insert(account.opened.key, account);
        }
    }
    each(tree, Kind::Tool, |mut key, tool: pb::Tool| {
        state.tools.insert(NameId(key.u32()?), goal_records::tool(&tool)?);
        Ok(())
    })?;
    each(tree, Kind::Alert, |mut key, alert: pb::Alert| {
        let number = key.u64()?;
        state.alerts.insert(number, goal_records::alert(number, alert)?);
        Ok(())
    })
}

/// Whether calls may still be booked on an account by a decision: its period has not ended.
pub(super) fn is_running(account: &Account, now: UnixMillis) -> bool {
    account.opened.resets_at.is_none_or(|end| end > now)
}

/// Visits every record of a kind in the order of the keys.
pub(super) fn each<M: Message + Default>(
    tree: &Tree,
    kind: Kind,
    mut visit: impl FnMut(Rest<'_>, M) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for item in tree.scan_prefix(kind.prefix()) {
        let (key, value) = item?;
        visit(Rest::of(&key), seal::unseal(&key, &value)?)?;
    }
    Ok(())
}
