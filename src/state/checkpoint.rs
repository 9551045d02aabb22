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

use super::copying::{Total, inside};
use super::error::StoreError;
use super::evict::Committed;
use super::goal_records::{self, Part};
use super::keys::{self, Kind, SLOT_BITS};
use super::seal;
use super::store::{SledStore, Written, slot_of};
use super::{goal_sums, load, records, sums, trust};
use crate::domain::budget::AccountKey;
use crate::domain::call::Stage;
use crate::domain::names::{LabelsId, NameId};
use crate::domain::state::{State, Touched};
use crate::domain::time::UnixMillis;
use crate::journal::{fields, pb};

/// Records by key; `None`: to be removed.
type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What a goal has beside its own record.
#[derive(Debug)]
struct Beside {
    began: UnixMillis,
    /// The keys of its marks.
    marks: Vec<Vec<u8>>,
}

/// What one step forward writes.
#[derive(Debug)]
pub struct Checkpoint {
    meta: pb::Meta,
    writes: Writes,
    /// Calls by page and slot; `None`: dropped.
    pages: BTreeMap<u64, Vec<(u32, Option<pb::Call>)>>,
    parts: Vec<(Vec<u8>, Part)>,
    /// Goals; `None`: dropped.
    goals: Vec<(Arc<str>, Option<Beside>)>,
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
            goals: Vec::new(),
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

    fn write(&self, checkpoint: Checkpoint) -> Result<Committed, StoreError> {
        let Checkpoint { meta, mut writes, pages, parts, goals, minutes_dropped, written, cold } = checkpoint;
        for (id, goal) in goals {
            self.add_goal(&id, goal, &mut writes)?;
        }
        for (key, part) in parts {
            let sealed = seal::seal(&key, &part.stored());
            if writes.contains_key(&key) || self.db.get(&key)?.as_deref() != Some(&sealed[..]) {
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
            let sealed = (!merged.calls.is_empty()).then(|| seal::seal(&key, &merged));
            writes.insert(key, sealed);
            // A start finds the open decisions by these marks, one for a page that holds any.
            let mark = keys::open_page(page);
            let sealed = open.then(|| seal::seal(&mark, &pb::CallPage::default()));
            writes.insert(mark, sealed);
        }
        for minute in minutes_dropped {
            for kind in keys::MINUTES {
                for key in self.db.scan_prefix(keys::bucket(kind, minute)).keys() {
                    writes.insert(key?.to_vec(), None);
                }
            }
        }
        self.put(writes, meta, written)?;
        Ok(cold)
    }

    /// What a goal changes beside its own record: its marks, and what is left of one of its name that was dropped.
    fn add_goal(&self, id: &str, goal: Option<Beside>, writes: &mut Writes) -> Result<(), StoreError> {
        if let Some(old) = self.get::<pb::Goal>(&keys::goal(id))? {
            // Marks of how it stood before: it may have ended since, come back, or only now have begun.
            writes.extend(goal_records::marks_of(id, &old)?.into_iter().map(|mark| (mark, None)));
            if goal.as_ref().is_none_or(|goal| goal.began.0 != old.opened_at_ms) {
                for key in goal_records::keys_of(id, &old)? {
                    writes.entry(key).or_insert(None);
                }
            }
        }
        writes.extend(goal.into_iter().flat_map(|goal| goal.marks).map(|mark| {
            let value = seal::seal(&mark, &pb::CallPage::default());
            (mark, Some(value))
        }));
        Ok(())
    }

    /// Puts records in place, all or none, with the count and sum of all in `meta`, and makes them durable.
    pub(super) fn put(&self, writes: Writes, mut meta: pb::Meta, mut written: Written) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        let (mut compacting, mut snapshot) = (inside(&self.compacting), inside(&self.snapshot));
        for (key, value) in writes {
            let old = self.db.get(&key)?;
            if let Some(copying) = compacting.as_mut() {
                copying.follow(&key, old.as_deref(), value.as_deref());
            }
            if let Some(copying) = snapshot.as_mut() {
                copying.follow(&key, old.as_deref(), value.as_deref());
            }
            if let Some(old) = old {
                written.total.take_away(&key, &old);
            }
            let Some(value) = value else {
                batch.remove(key);
                continue;
            };
            written.total.add(&key, &value);
            batch.insert(key, value);
        }
        drop((compacting, snapshot));
        let Total { records, sum, bytes } = written.total;
        (meta.records, meta.records_sum, meta.records_bytes) = (records, sum.to_be_bytes().to_vec(), bytes);
        let key = Kind::Meta.prefix();
        batch.insert(key.as_slice(), seal::seal(&key, &meta));
        self.db.apply_batch(batch)?;
        self.sync()?;
        if !written.marked {
            trust::mark_filled(&self.dir).map_err(|source| StoreError::io(&self.dir, source))?;
            written.marked = true;
        }
        *self.written() = written;
        Ok(())
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
        let value = seal::seal(&key, message);
        self.writes.insert(key, Some(value));
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    fn add_calls(&mut self, state: &State, touched: &Touched) {
        for &number in &touched.calls {
            let page = self.pages.entry(number.0 >> SLOT_BITS).or_default();
            let Some(call) = state.calls.get(&number) else {
                page.push((slot_of(number), None));
                continue;
            };
            let stored = pb::Call { slot: slot_of(number), ..records::call_of(call) };
            page.push((stored.slot, Some(stored)));
            if !matches!(call.stage, Stage::Open(_)) {
                self.cold.calls.push(number);
            }
        }
    }

    fn add_goals(&mut self, state: &State, goals: HashSet<Arc<str>>) {
        for id in goals {
            let Some(goal) = state.goals.get(&id) else {
                self.goals.push((id, None));
                continue;
            };
            let parts = goal_records::parts(goal);
            for number in 0..parts {
                // Made into bytes only at the commit, which writes those that changed.
                self.parts.push((keys::goal_part(&id, number as u32), Part::of(goal, number)));
            }
            self.put(keys::goal(&id), &goal_records::goal_of(&id, goal, parts));
            let ended = goal.closing.map(|closing| closing.state);
            let marks = keys::goal_marks(&id, goal.workflow, ended, [goal.opened_at, goal.last_at]);
            self.goals.push((id.clone(), Some(Beside { began: goal.opened_at, marks })));
            self.cold.goals.push(id);
        }
    }

    fn add_open_goals(&mut self, state: &State, kinds: HashSet<(NameId, LabelsId)>) {
        for (workflow, labels) in kinds {
            let key = keys::open_goals(workflow, labels);
            match state.open_goals.count(workflow, labels) {
                0 => self.remove(key),
                _ => self.put(key, &goal_sums::open_goals_of(&state.open_goals, workflow, labels)),
            }
        }
    }

    fn add_accounts(&mut self, state: &State, accounts: HashSet<AccountKey>) {
        for key in accounts {
            let Some(account) = state.accounts.get(&key) else {
                self.remove(keys::account(key));
                continue;
            };
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
            let key = Kind::Key.key(&[&hash.to_be_bytes()]);
            match state.keys.get(&hash) {
                Some(used) => {
                    self.put(key, &records::key_use_of(used));
                    self.cold.keys.push(hash);
                }
                None => self.remove(key),
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

fn merge(mut page: pb::CallPage, calls: Vec<(u32, Option<pb::Call>)>) -> pb::CallPage {
    for (slot, call) in calls {
        match (page.calls.binary_search_by_key(&slot, |c| c.slot), call) {
            (Ok(i), Some(call)) => page.calls[i] = call,
            (Err(i), Some(call)) => page.calls.insert(i, call),
            (Ok(i), None) => {
                page.calls.remove(i);
            }
            (Err(_), None) => {}
        }
    }
    page
}
