//! Goes through all records of a kind wherever they lie: those at hand in place of those stored. It reads, and knows nothing
//! of what the records are wanted for.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;

use super::error::StoreError;
use super::keys::{self, Kind, SLOT_BITS};
use super::seal;
use super::store::SledStore;
use super::{goal_records, load, records};
use crate::domain::call::CallNo;
use crate::domain::retention;
use crate::domain::state::State;
use crate::domain::time::UnixMillis;
use crate::journal::pb;

/// Visits every call by number, whether open, at hand, or on a stored page; the slot is 0.
pub(super) fn calls(
    state: &State,
    store: Option<&SledStore>,
    mut visit: impl FnMut(CallNo, pb::Call) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut at_hand: BTreeSet<CallNo> = state.calls.keys().copied().collect();
    let mut add = |number: CallNo, stored: pb::Call| match state.calls.get(&number) {
        Some(call) => visit(number, records::call_of(call)),
        None => visit(number, stored),
    };
    if let Some(store) = store {
        load::each(&store.db, Kind::Page, |mut key, page: pb::CallPage| {
            let first = key.u64()? << SLOT_BITS;
            for mut call in page.calls {
                let number = CallNo(first | u64::from(std::mem::take(&mut call.slot)));
                let later = at_hand.split_off(&number);
                for earlier in std::mem::replace(&mut at_hand, later) {
                    add(earlier, pb::Call::default())?;
                }
                let is_at_hand = at_hand.remove(&number);
                let dropped = || {
                    let call = records::call(number, call.clone())?;
                    Ok::<_, StoreError>(retention::drops_call(&call, state.detail_from))
                };
                if is_at_hand || !(state.dropped.calls.contains(&number) || dropped()?) {
                    add(number, call)?;
                }
            }
            Ok(())
        })?;
    }
    at_hand.into_iter().try_for_each(|number| add(number, pb::Call::default()))
}

/// Visits every goal by name, in one piece.
pub(super) fn goals(
    state: &State,
    store: Option<&SledStore>,
    mut visit: impl FnMut(&str, pb::Goal) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let goals = state.goals.iter().map(|(id, goal)| (id.as_bytes().to_vec(), goal_records::goal_of(id, goal, 0)));
    merged(Kind::Goal, goals.collect(), store, |id, head: pb::Goal| {
        let id = std::str::from_utf8(id).map_err(|_| StoreError::broken("the name of a goal is no text"))?;
        if state.detail_from > UnixMillis::default() {
            let goal = goal_records::goal(id, head.clone(), Vec::new())?;
            let erased = state.dropped.goals.contains(id) && !state.goals.contains_key(id);
            if erased || retention::drops_goal(&goal, state.detail_from) {
                return Ok(());
            }
        }
        match store {
            Some(store) if head.parts > 0 => {
                let whole = store.whole_goal(id, head)?;
                visit(id, goal_records::goal_of(id, &whole, 0))
            }
            _ => visit(id, head),
        }
    })
}

/// Visits the mark of every open goal, by workflow and by when somebody last worked on it.
pub(super) fn open_goals(
    state: &State,
    store: Option<&SledStore>,
    mut visit: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let at_hand = state.open_goals.at_hand();
    let mut at_hand = at_hand.map(|(workflow, last_at, id)| keys::idle_goal(workflow, *last_at, id)).peekable();
    if let Some(store) = store {
        for key in store.db.scan_prefix(Kind::IdleGoal.prefix()).keys() {
            let key = key?;
            while let Some(mark) = at_hand.next_if(|mark| mark[..] < key[..]) {
                visit(&mark)?;
            }
            let (workflow, last_at, id) = keys::read_idle_goal(&key)?;
            if state.is_open_away(workflow, last_at, id) {
                visit(&key)?;
            }
        }
    }
    at_hand.try_for_each(|mark| visit(&mark))
}

/// Visits every account that belongs to no goal, by its name.
pub(super) fn accounts(
    state: &State,
    store: Option<&SledStore>,
    mut visit: impl FnMut(&[u8], pb::Account) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let accounts = state.accounts.iter();
    let accounts = accounts.map(|(key, of)| (key.0.to_be_bytes().to_vec(), goal_records::account_of(of, "")));
    merged(Kind::Account, accounts.collect(), store, |key, account: pb::Account| {
        let known = goal_records::account(account.clone(), "")?;
        let of = known.opened.key;
        let erased = state.dropped.accounts.contains(&of) && !state.accounts.contains_key(&of);
        match erased || retention::drops_account(&known, state.detail_from) {
            true => Ok(()),
            false => visit(key, account),
        }
    })
}

/// Visits every use of an idempotency key, by its hash.
pub(super) fn key_uses(
    state: &State,
    store: Option<&SledStore>,
    mut visit: impl FnMut(&[u8], pb::KeyUse) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let used = state.keys.iter().map(|(hash, used)| (hash.to_be_bytes().to_vec(), records::key_use_of(used)));
    merged(Kind::Key, used.collect(), store, |hash, used: pb::KeyUse| {
        let mut number = [0; 16];
        number.iter_mut().rev().zip(hash.iter().rev()).for_each(|(to, from)| *to = *from);
        let of = u128::from_be_bytes(number);
        let erased = state.dropped.keys.contains(&of) && !state.keys.contains_key(&of);
        match erased || retention::drops_key(&records::key_use(&used), state.detail_from) {
            true => Ok(()),
            false => visit(hash, used),
        }
    })
}

/// Visits the records of a kind by id.
fn merged<M: Message + Default>(
    kind: Kind,
    at_hand: BTreeMap<Vec<u8>, M>,
    store: Option<&SledStore>,
    mut visit: impl FnMut(&[u8], M) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut at_hand = at_hand.into_iter().peekable();
    if let Some(store) = store {
        for item in store.db.scan_prefix(kind.prefix()) {
            let (key, value) = item?;
            let id = &key[keys::PREFIX..];
            while let Some((id, message)) = at_hand.next_if(|(earlier, _)| earlier.as_slice() < id) {
                visit(&id, message)?;
            }
            match at_hand.next_if(|(same, _)| same == id) {
                Some((id, message)) => visit(&id, message)?,
                None => visit(id, seal::unseal(&key, &value)?)?,
            }
        }
    }
    at_hand.try_for_each(|(id, message)| visit(&id, message))
}
