//! The layout of the stored state: which key a record has, and how a value is sealed (see `seal.rs`).

use super::error::StoreError;
use crate::domain::budget::AccountKey;
use crate::domain::call::Arm;
use crate::domain::goal::GoalState;
use crate::domain::goal_tally::GoalKey;
use crate::domain::names::{LabelsId, NameId};
use crate::domain::proof::ProofKey;
use crate::domain::rollup::RollupKey;
use crate::domain::time::UnixMillis;
use crate::journal::goal_facts;

/// The only project so far; every key begins with its number.
const PROJECT: u32 = 0;

/// How many low bits of a call's number are its slot within its page: sled took 295 bytes a record at 10 million records,
/// so calls share records. With 32 on a page, 200,000 calls came to 236 bytes each, goals and sums included.
pub(super) const SLOT_BITS: u32 = 5;

/// The kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Meta = b'm',
    Name = b'n',
    Labels = b'l',
    Cell = b'c',
    Flag = b'f',
    ModelStates = b's',
    Hour = b'h',
    Minute = b'i',
    GoalHour = b'H',
    GoalMinute = b'I',
    ContextHour = b'x',
    ContextMinute = b'y',
    ProofHour = b'v',
    ProofMinute = b'V',
    OpenPage = b'o',
    Page = b'p',
    Goal = b'g',
    GoalPart = b'G',
    IdleGoal = b'w',
    OpenGoals = b'W',
    GoalAt = b'b',
    GoalBy = b'B',
    Account = b'a',
    RunningAccount = b'r',
    Tool = b't',
    Alert = b'A',
    Key = b'k',
}

impl Kind {
    /// What all keys of this kind begin with.
    pub(super) fn prefix(self) -> Vec<u8> {
        let mut key = PROJECT.to_be_bytes().to_vec();
        key.push(self as u8);
        key
    }

    /// What the keys of all kinds behind this one begin with or behind.
    pub(super) fn end(self) -> Vec<u8> {
        let mut key = PROJECT.to_be_bytes().to_vec();
        key.push(self as u8 + 1);
        key
    }

    /// The key of this kind that ends in `parts`.
    pub(super) fn key(self, parts: &[&[u8]]) -> Vec<u8> {
        let mut key = self.prefix();
        parts.iter().for_each(|part| key.extend_from_slice(part));
        key
    }
}

/// Bytes in front of what identifies a record within its kind.
pub(super) const PREFIX: usize = 5;

/// Key of the mark that tells when a goal began: later ones sort first.
pub(super) fn goal_at(opened_at: UnixMillis, id: &str) -> Vec<u8> {
    Kind::GoalAt.key(&[&(!((opened_at.0 as u64) ^ (1 << 63))).to_be_bytes(), id.as_bytes()])
}

/// What the marks of the goals of a workflow begin with that stand one way; `None`: they are open.
pub(super) fn goals_of(workflow: NameId, state: Option<GoalState>) -> Vec<u8> {
    Kind::GoalBy.key(&[&workflow.0.to_be_bytes(), &[state.map_or(0, |state| state as u8)]])
}

/// Key of the mark that tells a goal by workflow and by how it stands, then as [`goal_at`].
pub(super) fn goal_by(workflow: NameId, state: Option<GoalState>, opened_at: UnixMillis, id: &str) -> Vec<u8> {
    [&goals_of(workflow, state)[..], &goal_at(opened_at, id)[PREFIX..]].concat()
}

/// Keys of the marks by which a goal is found: how it began, how it ended, and, while it is open, when somebody last worked
/// on it.
pub(super) fn goal_marks(
    id: &str,
    workflow: NameId,
    state: Option<GoalState>,
    [opened_at, last_at]: [UnixMillis; 2],
) -> Vec<Vec<u8>> {
    let mut marks = vec![goal_at(opened_at, id), goal_by(workflow, state, opened_at, id)];
    if state.is_none() && opened_at != UnixMillis::default() {
        marks.push(idle_goal(workflow, last_at, id));
    }
    marks
}

/// The inverse of [`goal_at`].
pub(super) fn read_goal_at(key: &[u8]) -> Result<(UnixMillis, String), StoreError> {
    began(key.get(PREFIX..).unwrap_or_default())
}

/// The end of a key that tells when a goal began.
pub(super) fn began(rest: &[u8]) -> Result<(UnixMillis, String), StoreError> {
    let (at, id) = rest.split_first_chunk::<8>().ok_or_else(|| StoreError::broken("a key is too short"))?;
    let at = UnixMillis(((!u64::from_be_bytes(*at)) ^ (1 << 63)) as i64);
    let id = String::from_utf8(id.to_vec()).map_err(|_| StoreError::broken("a goal's name is no text"))?;
    Ok((at, id))
}

/// Key of the mark of a page that holds open decisions.
pub(super) fn open_page(page: u64) -> Vec<u8> {
    Kind::OpenPage.key(&[&page.to_be_bytes()])
}

/// Key of a page of calls.
pub(super) fn page(page: u64) -> Vec<u8> {
    Kind::Page.key(&[&page.to_be_bytes()])
}

/// Key of a goal.
pub(super) fn goal(id: &str) -> Vec<u8> {
    Kind::Goal.key(&[id.as_bytes()])
}

/// Key of a part of a goal.
pub(super) fn goal_part(id: &str, part: u32) -> Vec<u8> {
    Kind::GoalPart.key(&[id.as_bytes(), &part.to_be_bytes()])
}

/// What the marks of the open goals of a workflow begin with on which somebody last worked then.
pub(super) fn idle_since(workflow: NameId, last_at: UnixMillis) -> Vec<u8> {
    Kind::IdleGoal.key(&[&workflow.0.to_be_bytes(), &sortable(last_at)])
}

/// Key of the mark of an open goal: within its workflow, the one that lies idle longest sorts first.
pub(super) fn idle_goal(workflow: NameId, last_at: UnixMillis, id: &str) -> Vec<u8> {
    [idle_since(workflow, last_at), id.as_bytes().to_vec()].concat()
}

/// The inverse of [`idle_goal`].
pub(super) fn read_idle_goal(key: &[u8]) -> Result<(NameId, UnixMillis, &str), StoreError> {
    let mut rest = Rest::of(key);
    Ok((NameId(rest.u32()?), rest.instant()?, rest.text()?))
}

/// Key of the number of open goals of one kind.
pub(super) fn open_goals(workflow: NameId, labels: LabelsId) -> Vec<u8> {
    Kind::OpenGoals.key(&[&workflow.0.to_be_bytes(), &labels.0.to_be_bytes()])
}

/// Key of an account that belongs to no goal.
pub(super) fn account(key: AccountKey) -> Vec<u8> {
    Kind::Account.key(&[&key.0.to_be_bytes()])
}

/// What the marks of accounts begin with whose period ends then; `None`: never.
pub(super) fn ending(resets_at: Option<UnixMillis>) -> Vec<u8> {
    Kind::RunningAccount.key(&[&sortable(resets_at.unwrap_or(UnixMillis(i64::MAX)))])
}

/// Key of the mark of an account whose period is running, by the end of that period.
pub(super) fn running(resets_at: Option<UnixMillis>, key: AccountKey) -> Vec<u8> {
    [ending(resets_at), key.0.to_be_bytes().to_vec()].concat()
}

/// Key of a name.
pub(super) fn name(kind: usize, id: NameId) -> Vec<u8> {
    Kind::Name.key(&[&[kind as u8], &id.0.to_be_bytes()])
}

/// Key of a set of labels.
pub(super) fn labels(id: LabelsId) -> Vec<u8> {
    Kind::Labels.key(&[&id.0.to_be_bytes()])
}

/// Key of a cell.
pub(super) fn cell(task: NameId, candidate: NameId) -> Vec<u8> {
    Kind::Cell.key(&[&task.0.to_be_bytes(), &candidate.0.to_be_bytes()])
}

/// The kinds of sums per minute, in no order that matters.
pub(super) const MINUTES: [Kind; 4] = [Kind::Minute, Kind::GoalMinute, Kind::ContextMinute, Kind::ProofMinute];

/// What all sums of one bucket begin with.
pub(super) fn bucket(kind: Kind, start: UnixMillis) -> Vec<u8> {
    kind.key(&[&sortable(start)])
}

/// Bytes that sort as instants do: the sign bit is flipped.
fn sortable(at: UnixMillis) -> [u8; 8] {
    ((at.0 as u64) ^ (1 << 63)).to_be_bytes()
}

/// Key of a sum over calls.
pub(super) fn sum(kind: Kind, start: UnixMillis, of: &RollupKey) -> Vec<u8> {
    let RollupKey { task, candidate, workflow, step, tool, labels } = *of;
    let mut key = bucket(kind, start);
    for part in [task.0, candidate.0, workflow.0, step.0, tool.0, labels.0] {
        key.extend_from_slice(&part.to_be_bytes());
    }
    key
}

/// The inverse of [`sum`].
pub(super) fn read_sum(key: &[u8]) -> Result<(UnixMillis, RollupKey), StoreError> {
    let mut rest = Rest::of(key);
    let start = rest.instant()?;
    let mut next = || rest.u32();
    let (task, candidate) = (NameId(next()?), NameId(next()?));
    let (workflow, step, tool) = (NameId(next()?), NameId(next()?), NameId(next()?));
    let of = RollupKey { task, candidate, workflow, step, tool, labels: LabelsId(next()?) };
    Ok((start, of))
}

/// Key of a sum over closed goals.
pub(super) fn goal_sum(kind: Kind, start: UnixMillis, of: &GoalKey) -> Vec<u8> {
    let GoalKey { workflow, labels, state } = *of;
    let mut key = bucket(kind, start);
    key.extend_from_slice(&workflow.0.to_be_bytes());
    key.extend_from_slice(&labels.0.to_be_bytes());
    key.push(state as u8);
    key
}

/// The inverse of [`goal_sum`].
pub(super) fn read_goal_sum(key: &[u8]) -> Result<(UnixMillis, GoalKey), StoreError> {
    let mut rest = Rest::of(key);
    let start = rest.instant()?;
    let (workflow, labels) = (NameId(rest.u32()?), LabelsId(rest.u32()?));
    let state = goal_facts::goal_state(rest.u8()?.into())?;
    Ok((start, GoalKey { workflow, labels, state }))
}

/// Key of a sum over the units of a rollout.
pub(super) fn proof_sum(kind: Kind, start: UnixMillis, of: &ProofKey) -> Vec<u8> {
    let ProofKey { task, arm, of_goals, workflow, labels } = *of;
    let mut key = bucket(kind, start);
    for part in [task.0, workflow.0, labels.0] {
        key.extend_from_slice(&part.to_be_bytes());
    }
    key.extend_from_slice(&[arm as u8, u8::from(of_goals)]);
    key
}

/// The inverse of [`proof_sum`].
pub(super) fn read_proof_sum(key: &[u8]) -> Result<(UnixMillis, ProofKey), StoreError> {
    let mut rest = Rest::of(key);
    let start = rest.instant()?;
    let (task, workflow, labels) = (NameId(rest.u32()?), NameId(rest.u32()?), LabelsId(rest.u32()?));
    let arm = Arm::from_number(rest.u8()?).ok_or_else(|| StoreError::broken("no arm has that number"))?;
    Ok((start, ProofKey { task, arm, of_goals: rest.u8()? != 0, workflow, labels }))
}

/// Reads the numbers a key is made of.
pub(super) struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// The part of `key` behind its kind.
    pub(super) fn of(key: &'a [u8]) -> Self {
        Self(key.get(PREFIX..).unwrap_or_default())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let (first, rest) = self.0.split_first_chunk().ok_or_else(|| StoreError::broken("a key is too short"))?;
        self.0 = rest;
        Ok(*first)
    }

    /// The next eight bytes as an instant.
    fn instant(&mut self) -> Result<UnixMillis, StoreError> {
        Ok(UnixMillis((self.u64()? ^ (1 << 63)) as i64))
    }

    /// All bytes as text.
    pub(super) fn text(&self) -> Result<&'a str, StoreError> {
        std::str::from_utf8(self.0).map_err(|_| StoreError::broken("a name is no text"))
    }

    /// The next byte.
    pub(super) fn u8(&mut self) -> Result<u8, StoreError> {
        self.take().map(|[byte]| byte)
    }

    /// The next four bytes.
    pub(super) fn u32(&mut self) -> Result<u32, StoreError> {
        self.take().map(u32::from_be_bytes)
    }

    /// The next eight bytes.
    pub(super) fn u64(&mut self) -> Result<u64, StoreError> {
        self.take().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_sort_by_time_and_come_back() {
        let of = RollupKey { task: NameId(3), labels: LabelsId(9), ..RollupKey::default() };
        let keys = [-60_000, 0, 60_000].map(|at| sum(Kind::Minute, UnixMillis(at), &of));
        assert!(keys.is_sorted());
        assert_eq!(read_sum(&keys[0]).unwrap(), (UnixMillis(-60_000), of));
        assert!(read_sum(&keys[0][..20]).is_err());
        let of = GoalKey { workflow: NameId(3), labels: LabelsId(9), state: GoalState::TimedOut };
        let keys = [-60_000, 0, 60_000].map(|at| goal_sum(Kind::GoalMinute, UnixMillis(at), &of));
        assert!(keys.is_sorted());
        assert_eq!(read_goal_sum(&keys[0]).unwrap(), (UnixMillis(-60_000), of));
        assert!(read_goal_sum(&keys[0][..20]).is_err());
        let (arm, workflow) = (Arm::Holdout, NameId(4));
        let of = ProofKey { task: NameId(3), arm, of_goals: true, workflow, labels: LabelsId(9) };
        let keys = [-60_000, 0, 60_000].map(|at| proof_sum(Kind::ProofMinute, UnixMillis(at), &of));
        assert!(keys.is_sorted());
        assert_eq!(read_proof_sum(&keys[0]).unwrap(), (UnixMillis(-60_000), of));
        assert!(read_proof_sum(&keys[0][..26]).is_err());
    }
}
