//! One step forward of the stored state, in three parts, so that the engine's lock is held only while what was touched is
//! copied: prepare (under the lock) → commit (outside it: one atomic batch, made durable) → evict (under the lock).
//!
//! sled's own `flush` does not fsync on Linux, so the database file is synced here. Its other files (`conf`, `blobs/`, the
//! names in the folders) may be lost or empty after a power cut; the machine's next boot is another one, so every record
//! is then checked at opening, and what does not open whole is set aside and folded anew. If a commit fails, nothing was
//! evicted: the state in memory is whole, and the stored one is opened again from its last step.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::error::StoreError;
use super::goal_records::{self, Part};
use super::keys::{self, Kind, SLOT_BITS};
use super::store::{SledStore, Written, slot_of};
use super::{load, records, sums, trust};
use crate::domain::budget::{Account, AccountKey};
use crate::domain::call::{CallNo, Stage};
use crate::domain::goal::Goal;
use crate::domain::names::{LabelsId, NameId};
use crate::domain::state::{State, Touched};
use crate::domain::time::UnixMillis;
use crate::journal::{fields, pb};

/// Records by key; `None`: to be removed.
type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Open decisions kept at hand, the newest ones; the others are read when their outcome or their end comes.
pub(super) const OPEN_AT_HAND: usize = 50_000;

/// What one step forward writes.
#[derive(Debug)]
pub struct Checkpoint {
    meta: pb::Meta,
    writes: Writes,
    pages: BTreeMap<u64, Vec<pb::Call>>,
    parts: Vec<(Vec<u8>, Part)>,
    /// Goals by name, each with the keys of its marks.
    marks: Vec<(Arc<str>, Vec<Vec<u8>>)>,
    minutes_dropped: Vec<UnixMillis>,
    written: Written,
    cold: Committed,
}

impl Checkpoint {
    /// The last fact in it. The journal must have synced that fact before this is committed, or a power cut could leave
    /// the state ahead of the journal.
    #[must_use]
    pub fn applied_seq(&self) -> u64 {
        self.meta.applied_seq
    }
}

/// What a committed step makes superfluous in memory.
#[derive(Debug, Default)]
pub struct Committed {
    calls: Vec<CallNo>,
    goals: Vec<Arc<str>>,
    accounts: Vec<AccountKey>,
    keys: Vec<u128>,
}

impl SledStore {
    /// Copies what was touched since the last step; to be called under the engine's lock, and committed before the next.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when an earlier step or look-up failed.
    ///
    /// # Panics
    /// INV-STATE-1: a state that is stored tracks what it touches.
    pub fn prepare(&self, state: &mut State) -> Result<Checkpoint, StoreError> {
        self.health()?;
        assert!(state.touched.is_some(), "INV-STATE-1: a state that is stored tracks what it touches");
        let mut touched = state.touched.replace(Touched::default()).unwrap_or_default();
        let minutes_dropped = std::mem::take(&mut touched.minutes_dropped);
        let mut checkpoint = Checkpoint {
            meta: load::meta_of(state),
            writes: Writes::new(),
            pages: BTreeMap::new(),
            parts: Vec::new(),
            marks: Vec::new(),
            minutes_dropped,
            written: self.written().clone(),
            cold: Committed::default(),
        };
        checkpoint.add_calls(state, &touched);
        sums::put(state, &touched, |key, value| {
            checkpoint.writes.insert(key, value);
        });
        checkpoint.add_goals(state, touched.goals);
        checkpoint.add_open_goals(state, touched.open_goals);
        checkpoint.add_accounts(state, touched.accounts);
        checkpoint.add_keys(state, touched.keys);
        for tool in touched.tools {
            if let Some(of) = state.tools.get(&tool) {
                checkpoint.put(Kind::Tool.key(&[&tool.0.to_be_bytes()]), &goal_records::tool_of(of));
            }
        }
        for number in touched.alerts {
            let key = Kind::Alert.key(&[&number.to_be_bytes()]);
            match state.alerts.get(&number) {
                Some(alert) => checkpoint.put(key, &goal_records::alert_of(alert)),
                None => checkpoint.remove(key),
            }
        }
        for (task, candidate) in touched.cells {
            if let Some(cell) = state.cell(task, candidate) {
                checkpoint.put(keys::cell(task, candidate), &records::cell_of(cell));
            }
        }
        for task in touched.flags {
            if let Some(of) = state.tasks.get(&task) {
                checkpoint.put(Kind::Flag.key(&[&task.0.to_be_bytes()]), &records::flag_of(of));
            }
        }
        if touched.tables {
            checkpoint.add_tables(state);
        }
        Ok(checkpoint)
    }

    /// Writes a step, all or nothing, and makes it durable; to be called outside the engine's lock.
    ///
    /// # Errors
    /// [`StoreError::Broken`] or [`StoreError::NoRoom`]: sled or the disk failed; the store is to be opened again.
    pub fn commit(&self, checkpoint: Checkpoint) -> Result<Committed, StoreError> {
        self.careful(|| self.write(checkpoint))
    }

    /// Lets go of what `committed` made superfluous and nobody touched since; to be called under the engine's lock.
    pub fn evict(&self, state: &mut State, committed: Committed) {
        self.evict_to(state, committed, OPEN_AT_HAND);
    }

    /// As [`SledStore::evict`], keeping `at_hand` open decisions, and a fifth as many of whatever else was looked up.
    pub(super) fn evict_to(&self, state: &mut State, committed: Committed, at_hand: usize) {
        let Some(touched) = &state.touched else { return };
        let keys: HashSet<u128> = touched.keys.iter().copied().collect();
        for call in committed.calls {
            if !touched.calls.contains(&call) {
                state.calls.remove(&call);
            }
        }
        for goal in committed.goals {
            if !touched.goals.contains(&goal)
                && let Some(gone) = state.goals.remove(&goal).filter(Goal::is_open)
            {
                state.open_goals.put_away(&goal, &gone);
            }
        }
        for account in committed.accounts {
            if !touched.accounts.contains(&account) {
                state.accounts.remove(&account);
            }
        }
        for key in committed.keys {
            if !keys.contains(&key) {
                state.keys.remove(&key);
            }
        }
        let spare = at_hand / 5;
        // What is left is open, touched, or was only looked up; the last must not pile up.
        if state.calls.len() > state.open.len() + touched.calls.len() + spare {
            state.calls.retain(|number, call| matches!(call.stage, Stage::Open(_)) || touched.calls.contains(number));
        }
        // Outcomes come soon or late; those that come late find their decision in the store.
        if state.calls.len() > touched.calls.len() + at_hand + spare {
            let mut numbers: Vec<CallNo> = state.calls.keys().copied().collect();
            let oldest = numbers.len() - at_hand;
            let kept_from = *numbers.select_nth_unstable(oldest).1;
            state.calls.retain(|number, _| *number >= kept_from || touched.calls.contains(number));
        }
        if state.goals.len() > touched.goals.len() + spare {
            state.goals.retain(|goal, _| touched.goals.contains(goal));
        }
        // Those of running periods stay, so it takes many new ones until another look pays.
        let kept = self.accounts_kept.load(Ordering::Relaxed);
        if state.accounts.len() > kept + touched.accounts.len() + spare {
            let (now, touched) = (state.last_at, &touched.accounts);
            let wanted = |key: &AccountKey, of: &Account| load::is_running(of, now) || touched.contains(key);
            state.accounts.retain(|key, of| wanted(key, of));
            self.accounts_kept.store(state.accounts.len(), Ordering::Relaxed);
        }
        if state.keys.len() > keys.len() + spare {
            state.keys.retain(|key, _| keys.contains(key));
        }
    }

    fn write(&self, checkpoint: Checkpoint) -> Result<Committed, StoreError> {
        let Checkpoint { mut meta, mut writes, pages, parts, marks, minutes_dropped, mut written, cold } = checkpoint;
        for (id, marks) in marks {
            // Those of how it stood before: it may have ended since, come back, or only now have begun.
            if let Some(old) = self.get(&keys::goal(&id))? {
                writes.extend(goal_records::marks_of(&id, &old)?.into_iter().map(|mark| (mark, None)));
            }
            writes.extend(marks.into_iter().map(|mark| {
                let value = keys::seal(&mark, &pb::CallPage::default());
                (mark, Some(value))
            }));
        }
        for (key, part) in parts {
            let sealed = keys::seal(&key, &part.stored());
            if self.db.get(&key)?.as_deref() != Some(&sealed[..]) {
                writes.insert(key, Some(sealed));
            }
        }
        // Marks of accounts whose period has ended since.
        let ended = keys::ending(Some(UnixMillis(meta.last_at_ms.saturating_add(1))));
        for mark in self.db.range(Kind::RunningAccount.prefix()..ended).keys() {
            writes.insert(mark?.to_vec(), None);
        }
        for (page, calls) in pages {
            let key = keys::page(page);
            let merged = merge(self.get(&key)?.unwrap_or_default(), calls);
            let open = merged.calls.iter().any(|call| call.open_after_ms.is_some());
            writes.insert(key.clone(), Some(keys::seal(&key, &merged)));
            // A start finds the open decisions by these marks, one for a page that holds any.
            let mark = keys::open_page(page);
            let sealed = open.then(|| keys::seal(&mark, &pb::CallPage::default()));
            writes.insert(mark, sealed);
        }
        for minute in minutes_dropped {
            for kind in keys::MINUTES {
                for key in self.db.scan_prefix(keys::bucket(kind, minute)).keys() {
                    writes.insert(key?.to_vec(), None);
                }
            }
        }
        let mut batch = sled::Batch::default();
        for (key, value) in writes {
            if let Some(old) = self.db.get(&key)? {
                written.sum = written.sum.wrapping_sub(keys::share(&key, &old));
                written.records = written.records.wrapping_sub(1);
            }
            let Some(value) = value else {
                batch.remove(key);
                continue;
            };
            written.sum = written.sum.wrapping_add(keys::share(&key, &value));
            written.records += 1;
            batch.insert(key, value);
        }
        meta.records = written.records;
        meta.records_sum = written.sum.to_be_bytes().to_vec();
        let key = Kind::Meta.prefix();
        batch.insert(key.as_slice(), keys::seal(&key, &meta));
        self.db.apply_batch(batch)?;
        self.sync()?;
        if !written.marked {
            trust::mark_filled(&self.dir).map_err(|source| StoreError::io(&self.dir, source))?;
            written.marked = true;
        }
        *self.written() = written;
        Ok(cold)
    }

    /// Makes everything written so far durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.db.flush()?;
        let synced = File::open(self.dir.join("db")).and_then(|file| file.sync_all());
        synced.map_err(|source| StoreError::io(&self.dir, source))
    }
}

impl Checkpoint {
    fn put(&mut self, key: Vec<u8>, message: &impl prost::Message) {
        let value = keys::seal(&key, message);
        self.writes.insert(key, Some(value));
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    fn add_calls(&mut self, state: &State, touched: &Touched) {
        for &number in &touched.calls {
            let Some(call) = state.calls.get(&number) else { continue };
            let mut stored = records::call_of(call);
            stored.slot = slot_of(number);
            self.pages.entry(number.0 >> SLOT_BITS).or_default().push(stored);
            if !matches!(call.stage, Stage::Open(_)) {
                self.cold.calls.push(number);
            }
        }
    }

    fn add_goals(&mut self, state: &State, goals: HashSet<Arc<str>>) {
        for id in goals {
            let Some(goal) = state.goals.get(&id) else { continue };
            let parts = goal_records::parts(goal);
            for number in 0..parts {
                // Made into bytes only at the commit, which writes those that changed.
                self.parts.push((keys::goal_part(&id, number as u32), Part::of(goal, number)));
            }
            self.put(keys::goal(&id), &goal_records::goal_of(&id, goal, parts));
            let ended = goal.closing.map(|closing| closing.state);
            let marks = keys::goal_marks(&id, goal.workflow, ended, [goal.opened_at, goal.last_at]);
            self.marks.push((id.clone(), marks));
            self.cold.goals.push(id);
        }
    }

    fn add_open_goals(&mut self, state: &State, kinds: HashSet<(NameId, LabelsId)>) {
        for (workflow, labels) in kinds {
            let key = keys::open_goals(workflow, labels);
            match state.open_goals.count(workflow, labels) {
                0 => self.remove(key),
                count => self.put(key, &pb::OpenGoals { count }),
            }
        }
    }

    fn add_accounts(&mut self, state: &State, accounts: HashSet<AccountKey>) {
        for key in accounts {
            let Some(account) = state.accounts.get(&key) else { continue };
            self.put(keys::account(key), &goal_records::account_of(account, ""));
            if load::is_running(account, state.last_at) {
                self.put(keys::running(account.opened.resets_at, key), &pb::Account::default());
            } else {
                self.cold.accounts.push(key);
            }
        }
    }

    fn add_keys(&mut self, state: &State, used: Vec<u128>) {
        for hash in used {
            if let Some(used) = state.keys.get(&hash) {
                self.put(Kind::Key.key(&[&hash.to_be_bytes()]), &records::key_use_of(used));
                self.cold.keys.push(hash);
            }
        }
    }

    /// Names and sets of labels only ever grow: what is not stored yet stands at the end.
    fn add_tables(&mut self, state: &State) {
        for (i, kind) in fields::KINDS.into_iter().enumerate() {
            for (id, text) in state.names.all(kind).skip(self.written.names[i]) {
                self.put(keys::name(i, id), &pb::NameText { text: text.to_string() });
            }
            self.written.names[i] = state.names.all(kind).count();
        }
        for (id, labels) in state.names.all_labels().skip(self.written.labels) {
            self.put(keys::labels(id), &fields::labels_of(labels));
        }
        self.written.labels = state.names.all_labels().count();
        let states = state.model_states.iter();
        let states = states.flat_map(|((task, candidate), state)| [task.0, candidate.0, *state as u32]).collect();
        self.put(Kind::ModelStates.prefix(), &pb::ModelStates { states });
    }
}

fn merge(mut page: pb::CallPage, calls: Vec<pb::Call>) -> pb::CallPage {
    for call in calls {
        match page.calls.binary_search_by_key(&call.slot, |c| c.slot) {
            Ok(i) => page.calls[i] = call,
            Err(i) => page.calls.insert(i, call),
        }
    }
    page
}
