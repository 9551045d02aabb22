//! Goals of chosen workflows that stand in chosen ways, in the order of their beginning, by marks alone: none of the other
//! goals is read. It refuses to know what a filter is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Bound;

use super::error::StoreError;
use super::keys;
use super::store::{GOALS_AT_ONCE, SledStore};
use crate::domain::goal::GoalState;
use crate::domain::names::NameId;
use crate::domain::time::UnixMillis;

impl SledStore {
    /// The next goals of these kinds (a workflow, and how they ended; `None`: open) in the order of their beginning, newest
    /// first, behind the one given; none where those were all.
    ///
    /// # Errors
    /// [`StoreError::Broken`]: sled or the disk failed.
    pub fn goals_of_kinds(
        &self,
        kinds: impl IntoIterator<Item = (NameId, Option<GoalState>)>,
        after: Option<&(UnixMillis, String)>,
    ) -> Result<Vec<(UnixMillis, String)>, StoreError> {
        self.careful(|| {
            // One place in the index for each kind, and always the earliest of those places next.
            let mut marks = Vec::new();
            let mut next = BinaryHeap::new();
            for (workflow, state) in kinds {
                let prefix = keys::goals_of(workflow, state);
                let from = match after {
                    Some((at, id)) => Bound::Excluded(keys::goal_by(workflow, state, *at, id)),
                    None => Bound::Included(prefix.clone()),
                };
                let mut of_kind = self.db.range((from, Bound::Unbounded)).keys();
                if let Some(place) = place_within(&prefix, of_kind.next())? {
                    next.push(Reverse((place, marks.len())));
                    marks.push((prefix, of_kind));
                }
            }
            let mut goals = Vec::new();
            while goals.len() < GOALS_AT_ONCE
                && let Some(Reverse((place, kind))) = next.pop()
            {
                goals.push(keys::began(&place)?);
                let (prefix, of_kind) = &mut marks[kind];
                if let Some(place) = place_within(prefix, of_kind.next())? {
                    next.push(Reverse((place, kind)));
                }
            }
            Ok(goals)
        })
    }
}

/// What follows `prefix` in the next key; `None`: there is none, or it is of another kind.
fn place_within(prefix: &[u8], key: Option<sled::Result<sled::IVec>>) -> Result<Option<Vec<u8>>, StoreError> {
    let key = key.transpose()?;
    Ok(key.and_then(|key| key.strip_prefix(prefix).map(<[u8]>::to_vec)))
}
