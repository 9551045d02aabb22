//! The record of a daemon as a router could live through it again: every choice that was made, at its time, among those who could
//! be chosen, and every lesson at the time it was learned.
//!
//! It exists so that the record is folded once, by the daemon's own fold, and lived through many times. Late and amended truth,
//! retries, expired decisions and ends of goals are what the fold makes of them. It refuses to know files, and how a router
//! that lives through it chooses.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::Arc;

use crate::domain::call::{Arm, Call, CallNo};
use crate::domain::catalog::{Catalog, Task};
use crate::domain::cell::lesson_of;
use crate::domain::event::{Body, Decided, Event};
use crate::domain::history::Lesson;
use crate::domain::names::{NameId, NameKind};
use crate::domain::rollup::Tally;
use crate::domain::state::{State, Touched};
use crate::domain::strata::Stratum;
use crate::domain::time::UnixMillis;
use crate::engine::apply;
use crate::insights::{Draw, LeftOut, NoDraw, Told};

/// A record, ready to be lived through.
#[derive(Debug, Default)]
pub struct Log {
    /// Task types, in the order they came up.
    pub tasks: Vec<LoggedTask>,
    /// Everything that happened to a router, in order.
    pub moments: Vec<(UnixMillis, Moment)>,
    /// Decisions that served a model, in order.
    pub choices: Vec<Choice>,
    /// Of them the router's draws.
    pub draws: Vec<LoggedDraw>,
    /// Catalogues in the order they came into force.
    pub catalogs: Vec<Arc<Catalog>>,
    /// Numbers of the sources of outcomes, by name.
    pub sources: BTreeMap<String, NameId>,
    /// What really happened, by name of the task type: decided calls whose outcome is known.
    pub recorded: BTreeMap<String, Tally>,
    /// Decisions that are no draw, by why.
    pub left_out: LeftOut,
    /// Decisions that kept an earlier draw of their goal that is in the record: they count with it.
    pub kept: u64,
}

/// A task type and the models that ever competed in it.
#[derive(Debug)]
pub struct LoggedTask {
    /// Its number.
    pub id: NameId,
    /// Its name.
    pub name: String,
    /// Candidates, numbered by their places here.
    pub models: Vec<(NameId, String)>,
}

/// What happened to a router.
#[derive(Debug)]
pub enum Moment {
    /// The catalogue of that place came into force.
    Catalog(usize),
    /// The choice of that place was made.
    Chosen(usize),
    /// An outcome taught something, or (`add` is false) what it had taught was taken back.
    Taught {
        /// Place of the choice it came of; `None`: nobody's.
        of: Option<usize>,
        /// Place of the task type.
        task: usize,
        /// Place of the candidate.
        arm: usize,
        /// What it teaches.
        lesson: Lesson,
        /// Whether it is added.
        add: bool,
    },
    /// A person set evidence of calls before this one aside.
    Forgot {
        /// Place of the task type.
        task: usize,
        /// Place of the candidate; `None`: all.
        arm: Option<usize>,
        /// The first call that still teaches.
        from: CallNo,
    },
}

/// A decision that served a model.
#[derive(Debug)]
pub struct Choice {
    /// Place of the task type.
    pub task: usize,
    /// The stratum of its request.
    pub stratum: Stratum,
    /// Those who competed, in rising expected cost: place of the candidate, expected nano-USD.
    pub offered: Vec<(usize, Option<u64>)>,
    /// Place among them of the one served; `None`: it did not compete.
    pub taken: Option<usize>,
    /// Who chose.
    pub by: ChosenBy,
}

impl Choice {
    /// The expected cost of a candidate that competed; `None`: it did not.
    #[must_use]
    pub fn offer(&self, arm: usize) -> Option<Option<u64>> {
        self.offered.iter().find(|(offered, _)| *offered == arm).map(|(_, cost)| *cost)
    }
}

/// Who chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChosenBy {
    /// The router drew: place of the draw.
    Draw(usize),
    /// The router took the best mean, since the step cannot be undone.
    Mean,
    /// The draw of an earlier choice was kept.
    Kept(usize),
    /// Not the router: a caller, the holdout, or there was no other. Any router would have been served it.
    Given,
    /// A draw was kept that is not in the record.
    Unknown,
}

/// A draw of the router.
#[derive(Debug)]
pub struct LoggedDraw {
    /// Who competed, and who was chosen.
    pub draw: Draw,
    /// The task type it was decided by, as the catalogue then had it; `None`: not known.
    pub decided_by: Option<Arc<Task>>,
    /// What came of its calls.
    pub told: Told,
}

impl LoggedDraw {
    /// Whether an estimate may rest on it: it was made for a first attempt, an outcome is known, and so is its chance.
    #[must_use]
    pub fn counts(&self) -> bool {
        let has_a_chance = |task: &Arc<Task>| self.draw.has_a_chance(&task.settings);
        !self.told.is_retry && self.told.calls > 0 && self.decided_by.as_ref().is_some_and(has_a_chance)
    }
}

/// A record on the way of being read.
#[derive(Debug, Default)]
pub struct Reading {
    log: Log,
    state: State,
    in_force: Option<Arc<Catalog>>,
    texts: BTreeMap<(NameKind, NameId), String>,
    tasks: HashMap<NameId, usize>,
    arms: HashMap<(NameId, NameId), usize>,
    choices: HashMap<CallNo, usize>,
    lessons: HashMap<CallNo, (usize, usize, Lesson)>,
}

impl Reading {
    /// The number of the last fact taken; 0: none was.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.state.applied_seq
    }

    /// Says what a number stands for, where the fact that gave the name may be missing.
    pub fn name(&mut self, kind: NameKind, id: NameId, text: &str) {
        if id != NameId::NONE && id != NameId::OTHER {
            self.texts.entry((kind, id)).or_insert_with(|| text.to_owned());
        }
    }

    /// Decides by `catalog` from now on, as a fact of the record says, or before the first that does.
    pub fn use_catalog(&mut self, at: UnixMillis, catalog: Arc<Catalog>) {
        self.log.moments.push((at, Moment::Catalog(self.log.catalogs.len())));
        self.log.catalogs.push(catalog.clone());
        self.in_force = Some(catalog);
    }

    /// Says that another catalogue came into force which cannot be read: what it decided is not estimated from.
    pub fn lose_catalog(&mut self) {
        self.in_force = None;
    }

    /// Takes the next fact.
    pub fn take(&mut self, seq: u64, event: &Event) {
        match &event.body {
            Body::DetailDropped { .. } => {
                // What is known stays known.
                self.state.applied_seq = seq;
                return;
            }
            Body::Named { kind, id, text } => self.name(*kind, *id, text),
            Body::Decided(decided) => self.decided(event.at, decided),
            Body::PosteriorReset { task, candidate, from, .. } => {
                let (task, id) = (self.task(*task), *candidate);
                let arm = (id != NameId::NONE).then(|| self.arm(task, id));
                self.log.moments.push((event.at, Moment::Forgot { task, arm, from: *from }));
            }
            _ => {}
        }
        self.state.touched = Some(Touched::default());
        apply(&mut self.state, seq, event);
        // Nobody looks for changes here.
        self.state.taught.clear();
        let mut touched: Vec<CallNo> = self.state.touched.take().unwrap_or_default().calls.into_iter().collect();
        touched.sort_unstable();
        touched.into_iter().for_each(|call| self.told(event.at, call));
    }

    /// The whole record.
    #[must_use]
    pub fn finish(mut self) -> Log {
        let mut log = mem::take(&mut self.log);
        let sources = self.texts.iter().filter(|((kind, _), _)| *kind == NameKind::Source);
        log.sources = sources.map(|((_, id), text)| (text.clone(), *id)).collect();
        for of in &mut log.draws {
            for number in std::iter::once(&of.draw.number).chain(&of.draw.followers) {
                if let Some(call) = self.state.calls.get(number) {
                    of.told.add(call, &of.draw);
                }
            }
            match (&of.told, &of.decided_by) {
                (Told { is_retry: true, .. }, _) => log.left_out.retries += 1,
                (Told { calls: 0, .. }, _) => log.left_out.without_outcome += 1,
                (_, None) => log.left_out.unknown_settings += 1,
                (_, Some(task)) if !of.draw.has_a_chance(&task.settings) => log.left_out.count(NoDraw::HeldOut),
                _ => {}
            }
        }
        for call in self.state.calls.values().filter(|call| call.decided && call.settled().is_some()) {
            let name = self.text(NameKind::Task, call.task);
            log.recorded.entry(name).or_default().add(&Tally::of_outcome(call));
        }
        log
    }

    fn decided(&mut self, at: UnixMillis, decided: &Decided) {
        if decided.place.candidate == NameId::NONE {
            return;
        }
        let task = self.task(decided.place.task);
        let arm = |of: &mut Self, id| of.arm(task, id);
        let offered = decided.competitors.iter().map(|c| (arm(self, c.candidate), c.cost.map(|cost| cost.0)));
        let offered: Vec<(usize, Option<u64>)> = offered.collect();
        let taken = decided.competitors.iter().position(|c| c.candidate == decided.place.candidate);
        let place = self.log.choices.len();
        let by = self.chosen_by(decided);
        self.choices.insert(decided.number, place);
        let stratum = decided.traits.stratum;
        self.log.choices.push(Choice { task, stratum, offered, taken, by });
        self.log.moments.push((at, Moment::Chosen(place)));
    }

    fn chosen_by(&mut self, decided: &Decided) -> ChosenBy {
        if let Some(first) = decided.drawn_by {
            let Some(kept) = self.choices.get(&first).copied() else {
                self.log.left_out.earlier_draw += 1;
                return ChosenBy::Unknown;
            };
            if let ChosenBy::Draw(draw) = self.log.choices[kept].by {
                self.log.draws[draw].draw.followers.push(decided.number);
            }
            self.log.kept += 1;
            return ChosenBy::Kept(kept);
        }
        match Draw::of(decided.clone()) {
            Ok(draw) => {
                let name = self.text(NameKind::Task, decided.place.task);
                let catalog = self.in_force.as_ref();
                let decided_by = catalog.and_then(|of| of.task(&name).or_else(|| of.default_task())).cloned();
                self.log.draws.push(LoggedDraw { draw, decided_by, told: Told::default() });
                ChosenBy::Draw(self.log.draws.len() - 1)
            }
            Err(why) => {
                self.log.left_out.count(why);
                let chooses = decided.irreversible && decided.traits.arm == Arm::Router;
                if chooses && decided.competitors.len() > 1 { ChosenBy::Mean } else { ChosenBy::Given }
            }
        }
    }

    /// Notes what a call teaches now, where that is not what it taught before.
    fn told(&mut self, at: UnixMillis, number: CallNo) {
        let Some(call) = self.state.calls.get(&number).cloned() else { return };
        let of = self.choices.get(&call.decision).copied();
        // Whoever chose it, that is not in the record.
        let unknown = call.decided && of.is_none();
        let now = lesson_of(&call, 0).filter(|_| !unknown).map(|lesson| self.place(&call, lesson));
        let before = self.lessons.get(&number).copied();
        if now == before {
            return;
        }
        for ((task, arm, lesson), add) in before.map(|b| (b, false)).into_iter().chain(now.map(|n| (n, true))) {
            self.log.moments.push((at, Moment::Taught { of, task, arm, lesson, add }));
        }
        match now {
            Some(now) => self.lessons.insert(number, now),
            None => self.lessons.remove(&number),
        };
    }

    fn place(&mut self, call: &Call, lesson: Lesson) -> (usize, usize, Lesson) {
        let task = self.task(call.task);
        (task, self.arm(task, call.candidate), lesson)
    }

    fn task(&mut self, id: NameId) -> usize {
        if let Some(task) = self.tasks.get(&id) {
            return *task;
        }
        let name = self.text(NameKind::Task, id);
        self.log.tasks.push(LoggedTask { id, name, models: Vec::new() });
        self.tasks.insert(id, self.log.tasks.len() - 1);
        self.log.tasks.len() - 1
    }

    fn arm(&mut self, task: usize, id: NameId) -> usize {
        let key = (self.log.tasks[task].id, id);
        if let Some(arm) = self.arms.get(&key) {
            return *arm;
        }
        let text = self.text(NameKind::Candidate, id);
        let models = &mut self.log.tasks[task].models;
        models.push((id, text));
        self.arms.insert(key, models.len() - 1);
        models.len() - 1
    }

    fn text(&self, kind: NameKind, id: NameId) -> String {
        let none = || if id == NameId::NONE { String::new() } else { "other".to_owned() };
        self.texts.get(&(kind, id)).cloned().unwrap_or_else(none)
    }
}
