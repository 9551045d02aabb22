//! The store as the service holds it: open, or shut while there is none to be had. It is derived, so its failing ends
//! nothing: facts are refused and everything at hand is answered until it is open again.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::domain::budget::{Account, AccountKey};
use crate::domain::call::{Call, CallNo};
use crate::domain::goal::Goal;
use crate::domain::state::KeyUse;
use crate::engine::hydrate::{ColdStore, Idle, IdleAsked};
use crate::state::{SledStore, StoreError};

/// The store, or its absence. It changes under the engine's lock only.
#[derive(Debug)]
pub(super) struct Shelf(ArcSwap<Place>);

#[derive(Debug)]
enum Place {
    Open(Arc<SledStore>),
    /// There is none; `all_at_hand`: nobody misses it, everything is in memory.
    Shut {
        why: StoreError,
        all_at_hand: bool,
    },
}

impl Shelf {
    /// A store, or why there is none behind a state that holds everything.
    pub(super) fn new(store: Result<SledStore, StoreError>) -> Self {
        Self(ArcSwap::from_pointee(match store {
            Ok(store) => Place::Open(Arc::new(store)),
            Err(why) => Place::Shut { why, all_at_hand: true },
        }))
    }

    /// The store, where there is one.
    pub(super) fn store(&self) -> Option<Arc<SledStore>> {
        match &**self.0.load() {
            Place::Open(store) => Some(store.clone()),
            Place::Shut { .. } => None,
        }
    }

    /// Whether there is a store and everything asked of it so far was whole: before a fact is written.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn health(&self) -> Result<(), StoreError> {
        match &**self.0.load() {
            Place::Open(store) => store.health(),
            Place::Shut { why, .. } => Err(why.clone()),
        }
    }

    /// Whether what was looked up is all there is: before an answer that rests on it.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn readable(&self) -> Result<(), StoreError> {
        match &**self.0.load() {
            Place::Shut { all_at_hand: true, .. } => Ok(()),
            _ => self.health(),
        }
    }

    /// Closes the store; once nobody holds it any more, the folder can be opened again.
    pub(super) fn shut(&self, why: StoreError) {
        let all_at_hand = matches!(&**self.0.load(), Place::Shut { all_at_hand: true, .. });
        self.0.store(Arc::new(Place::Shut { why, all_at_hand }));
    }

    /// Goes on with this store.
    pub(super) fn open(&self, store: SledStore) {
        self.0.store(Arc::new(Place::Open(Arc::new(store))));
    }
}

impl ColdStore for Shelf {
    fn call(&self, number: CallNo) -> Option<Call> {
        self.0.load().store()?.call(number)
    }

    fn goal(&self, id: &str) -> Option<Goal> {
        self.0.load().store()?.goal(id)
    }

    fn account(&self, key: AccountKey) -> Option<Account> {
        self.0.load().store()?.account(key)
    }

    fn key(&self, hash: u128) -> Option<KeyUse> {
        self.0.load().store()?.key(hash)
    }

    fn idle_goals(&self, asked: &IdleAsked<'_>) -> Idle {
        self.0.load().store().map_or_else(Idle::default, |store| store.idle_goals(asked))
    }
}

impl Place {
    fn store(&self) -> Option<&SledStore> {
        match self {
            Self::Open(store) => Some(store),
            Self::Shut { .. } => None,
        }
    }
}
