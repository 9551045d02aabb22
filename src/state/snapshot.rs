//! The stored state as entries of a snapshot beside the record, and back: every record as `length of the key ‖ key ‖ value`, one
//! that was removed while the snapshot was written without a value, the one that says where the state stands last. It knows
//! neither the file nor when one is written.

use crate::domain::names::{LabelsId, NameId, Names};
use crate::domain::state::State;
use crate::journal::{JournalError, Snapshot, SnapshotWriter, fields, pb};

use super::copying::{self, Copying, Target, Total};
use super::error::StoreError;
use super::keys::{Kind, Rest};
use super::seal;
use super::store::{SledStore, Written};
use super::{load, trust};

/// Records put in place at a time when a snapshot is read back.
const BATCH: usize = 1_000;

impl Target for SnapshotWriter {
    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let len = u16::try_from(key.len()).map_err(|_| StoreError::broken("a key is too long"))?;
        Ok(self.push(&[&len.to_le_bytes()[..], key, value.unwrap_or_default()].concat())?)
    }
}

impl From<JournalError> for StoreError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Io { ref source, ref path, .. } => {
                Self::io(path, std::io::Error::new(source.kind(), error.to_string()))
            }
            other => Self::broken(other),
        }
    }
}

impl SledStore {
    /// Begins to write a snapshot; what is begun already is given up.
    pub fn begin_snapshot(&self, writer: SnapshotWriter) {
        *copying::inside(&self.snapshot) = Some(Copying::new(writer));
    }

    /// Whether a snapshot is being written.
    #[must_use]
    pub fn is_in_snapshot(&self) -> bool {
        copying::inside(&self.snapshot).is_some()
    }

    /// Gives up the snapshot being written. Its file is written over by the next one.
    pub fn abandon_snapshot(&self) {
        copying::inside(&self.snapshot).take();
    }

    /// Writes up to `most` records more. Returns whether there are more. Not to be called beside a commit.
    ///
    /// # Errors
    /// A record does not read, or the disk refuses; the snapshot is given up.
    pub fn snapshot_on(&self, most: usize) -> Result<bool, StoreError> {
        let mut snapshot = copying::inside(&self.snapshot);
        let done = snapshot.as_mut().map_or(Ok(false), |copying| copying::go_on(self, copying, most));
        if done.is_err() {
            *snapshot = None;
        }
        done
    }

    /// Ends the snapshot, which must have everything, and makes it durable under its name.
    ///
    /// # Errors
    /// As [`SledStore::snapshot_on`].
    pub fn finish_snapshot(&self) -> Result<Snapshot, StoreError> {
        let copying = copying::inside(&self.snapshot).take();
        let (mut writer, total) = copying.ok_or_else(|| StoreError::broken("no snapshot is written"))?.finished()?;
        let Total { records, sum, .. } = self.written().total;
        if (total.records, total.sum) != (records, sum) {
            return Err(StoreError::broken("the snapshot does not hold the records of the store"));
        }
        let key = Kind::Meta.prefix();
        let (value, meta) = self.careful(|| Ok((self.db.get(&key)?, load::meta(&self.db)?)))?;
        let (Some(value), Some(meta)) = (value, meta) else {
            return Err(StoreError::broken("nothing was ever stored"));
        };
        writer.put(&key, Some(&value))?;
        Ok(writer.finish(meta.applied_seq)?)
    }

    /// Fills this store, which must be empty, from a snapshot, and returns the state in it.
    ///
    /// # Errors
    /// [`StoreError::Broken`]: the snapshot does not read, or is of another version; this store is to be opened again, which
    /// sets it aside. [`StoreError::NoRoom`].
    pub fn restore(&self, snapshot: &Snapshot) -> Result<State, StoreError> {
        self.careful(|| {
            let (mut batch, mut many) = (sled::Batch::default(), 0);
            snapshot.read(|entry| {
                match split(entry)? {
                    (key, []) => batch.remove(key),
                    (key, value) => batch.insert(key, value),
                }
                many += 1;
                if many % BATCH == 0 {
                    self.db.apply_batch(std::mem::take(&mut batch))?;
                    self.db.flush()?;
                }
                Ok::<_, StoreError>(())
            })?;
            self.db.apply_batch(batch)?;
            load::check(&self.db)?;
            let loaded = load::load(&self.db)?;
            let (state, written) = loaded.ok_or_else(|| StoreError::broken("the snapshot says nothing"))?;
            if state.applied_seq != snapshot.covers_seq {
                return Err(StoreError::broken("the snapshot holds another event than it says"));
            }
            self.sync()?;
            trust::mark_filled(&self.dir).map_err(|source| StoreError::io(&self.dir, source))?;
            *self.written() = Written { marked: true, ..written };
            Ok(state)
        })
    }
}

/// The names in a snapshot: those that the events up to its last one gave.
///
/// # Errors
/// As [`Snapshot::read`]; a name does not read.
pub fn names_in(snapshot: &Snapshot) -> Result<Names, StoreError> {
    let mut names = Names::default();
    snapshot.read(|entry| {
        let (key, value) = split(entry)?;
        if value.is_empty() {
            return Ok(());
        }
        let mut rest = Rest::of(key);
        if key.starts_with(&Kind::Name.prefix()) {
            let place = usize::from(rest.u8()?);
            let kind = *fields::KINDS.get(place).ok_or_else(|| StoreError::broken("a name of no kind"))?;
            let name: pb::NameText = seal::unseal(key, value)?;
            names.insert(kind, NameId(rest.u32()?), &name.text);
        } else if key.starts_with(&Kind::Labels.prefix()) {
            let set: pb::LabelSet = seal::unseal(key, value)?;
            names.insert_labels(LabelsId(rest.u32()?), set.pairs);
        }
        Ok::<_, StoreError>(())
    })?;
    Ok(names)
}

/// Key and value of an entry; the value is empty where the record was removed.
fn split(entry: &[u8]) -> Result<(&[u8], &[u8]), StoreError> {
    let too_short = || StoreError::broken("an entry of the snapshot is too short");
    let (len, rest) = entry.split_first_chunk::<2>().ok_or_else(too_short)?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*len))).ok_or_else(too_short)
}
