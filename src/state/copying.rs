//! A copy of all records, made while the store is at work: in the order of their keys, a little at a time. What changes
//! before the point reached is written to the copy as well, so that with the last record the copy is what the store is. It
//! refuses to know why a copy is wanted and how it is read again.

use std::fmt::Debug;
use std::ops::Bound;
use std::sync::{MutexGuard, PoisonError};

use super::error::StoreError;
use super::keys::Kind;
use super::seal;
use super::store::SledStore;

/// Where a copy is written.
pub(super) trait Target: Debug + Send {
    /// Takes what is stored under `key` now; `None`: nothing any more.
    ///
    /// # Errors
    /// It cannot be written: the copy is given up.
    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError>;
}

/// A copy being made.
#[derive(Debug)]
pub(super) struct Copying<T> {
    to: T,
    /// Everything up to this key is in it.
    upto: Vec<u8>,
    total: Total,
    failed: Option<StoreError>,
}

/// What some records come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    /// How many they are.
    pub records: u64,
    /// The sum of their shares.
    pub sum: u128,
    /// Their bytes, keys included; those of records that an earlier version stored may not be counted.
    pub bytes: u64,
}

impl Total {
    /// With one more.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.records += 1;
        self.sum = self.sum.wrapping_add(seal::share(key, value));
        self.bytes += (key.len() + value.len()) as u64;
    }

    /// Without one of them.
    pub(super) fn take_away(&mut self, key: &[u8], value: &[u8]) {
        self.records = self.records.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(seal::share(key, value));
        self.bytes = self.bytes.saturating_sub((key.len() + value.len()) as u64);
    }
}

impl<T: Target> Copying<T> {
    /// Nothing is copied yet.
    pub(super) fn new(to: T) -> Self {
        Self { to, upto: Vec::new(), total: Total::default(), failed: None }
    }

    /// Takes in what a commit changes.
    pub(super) fn follow(&mut self, key: &[u8], old: Option<&[u8]>, value: Option<&[u8]>) {
        if self.failed.is_some() || key > &self.upto[..] {
            return;
        }
        old.into_iter().for_each(|old| self.total.take_away(key, old));
        value.into_iter().for_each(|value| self.total.add(key, value));
        self.failed = self.to.put(key, value).err();
    }

    /// What it was written to, and what was written there.
    ///
    /// # Errors
    /// A change could not be written.
    pub(super) fn finished(self) -> Result<(T, Total), StoreError> {
        self.failed.map_or(Ok((self.to, self.total)), Err)
    }

    fn take(&mut self, records: &[(sled::IVec, sled::IVec)]) -> Result<(), StoreError> {
        if let Some(why) = self.failed.take() {
            return Err(why);
        }
        for (key, value) in records {
            // The one that says where the state stands is written last, by whoever finishes the copy.
            if *key != Kind::Meta.prefix() {
                seal::check(key, value)?;
                self.total.add(key, value);
                self.to.put(key, Some(value))?;
            }
        }
        if let Some((key, _)) = records.last() {
            self.upto = key.to_vec();
        }
        Ok(())
    }
}

/// Copies up to `most` records of `store` more. Returns whether there is more to copy. Not to be called beside a commit.
///
/// # Errors
/// A record does not read, or the copy cannot be written: it is to be dropped.
pub(super) fn go_on<T: Target>(store: &SledStore, copying: &mut Copying<T>, most: usize) -> Result<bool, StoreError> {
    let behind = (Bound::Excluded(copying.upto.clone()), Bound::Unbounded);
    let records = store.careful(|| {
        let range = store.db.range::<Vec<u8>, _>(behind).take(most);
        Ok(range.collect::<Result<Vec<_>, _>>()?)
    })?;
    copying.take(&records)?;
    Ok(records.len() == most)
}

/// The inside of a mutex, whatever became of another holder.
pub(super) fn inside<T>(mutex: &std::sync::Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
