//! Filters as numbers of names: which sums belong to a report. A name past the cap of its table is counted under
//! "other", so that for some sums the answer can only be "may be"; those are left out, and the report says so.

use std::collections::HashSet;
use std::hash::Hash;

use super::query::Filters;
use crate::domain::names::{LabelsId, NameId, NameKind, Names};
use crate::domain::rollup::RollupKey;
use crate::engine::Engine;

/// Whether a sum belongs to the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// It does.
    In,
    /// It is of names past the cap: nobody can tell.
    Unknown,
    /// It does not.
    Out,
}

/// All filters.
#[derive(Debug)]
pub(super) struct Selector {
    task: Allowed<NameId>,
    candidate: Allowed<NameId>,
    workflow: Allowed<NameId>,
    step: Allowed<NameId>,
    tool: Allowed<NameId>,
    labels: Allowed<LabelsId>,
    of_goals: bool,
    of_arms: bool,
}

/// One filter.
#[derive(Debug)]
struct Allowed<Id> {
    /// `None`: all.
    ids: Option<HashSet<Id>>,
    /// What is counted under this number may match as well.
    unknown: Option<Id>,
}

impl<Id: Copy + Eq + Hash> Allowed<Id> {
    const ALL: Self = Self { ids: None, unknown: None };

    fn fit(&self, id: Id) -> Fit {
        match &self.ids {
            None => Fit::In,
            Some(ids) if ids.contains(&id) => Fit::In,
            Some(_) if self.unknown == Some(id) => Fit::Unknown,
            Some(_) => Fit::Out,
        }
    }
}

impl Selector {
    /// The filters as the names stand now.
    pub(super) fn new(engine: &Engine, filters: &Filters) -> Self {
        let names = &engine.state.names;
        let one = |kind, text: &Option<String>| text.as_ref().map_or(Allowed::ALL, |text| named(names, kind, text));
        Self {
            task: one(NameKind::Task, &filters.task_type),
            candidate: filters.model.as_ref().map_or(Allowed::ALL, |text| served_by(engine, text)),
            workflow: one(NameKind::Workflow, &filters.workflow),
            step: one(NameKind::Step, &filters.step),
            tool: one(NameKind::Tool, &filters.tool),
            labels: labelled(names, filters),
            of_goals: [&filters.task_type, &filters.model, &filters.tool, &filters.step, &filters.goal_id]
                .into_iter()
                .all(Option::is_none),
            of_arms: [&filters.model, &filters.tool, &filters.step, &filters.goal_id].into_iter().all(Option::is_none),
        }
    }

    /// Whether goals can be told by these filters: goals have a workflow and labels, and no task type, model, tool or step.
    pub(super) fn is_of_goals(&self) -> bool {
        self.of_goals
    }

    /// Whether arms of rollouts can be told by these filters: they have a task type, a workflow and labels.
    pub(super) fn is_of_arms(&self) -> bool {
        self.of_arms
    }

    /// Whether the filter on the task type lets it through.
    pub(super) fn has_task(&self, task: NameId) -> bool {
        self.task.fit(task) == Fit::In
    }

    /// Whether the filters on task type and model let this pair through; the others are not looked at.
    pub(super) fn has(&self, task: NameId, candidate: NameId) -> bool {
        self.task.fit(task) == Fit::In && self.candidate.fit(candidate) == Fit::In
    }

    /// Whether there is a filter on the workflow.
    pub(super) fn is_of_workflow(&self) -> bool {
        self.workflow.ids.is_some()
    }

    /// Whether goals of that workflow with these labels belong to the report.
    pub(super) fn fit_goal(&self, workflow: NameId, labels: LabelsId) -> Fit {
        self.workflow.fit(workflow).max(self.labels.fit(labels))
    }

    /// Whether the sum of `key` belongs to the report.
    pub(super) fn fit(&self, key: &RollupKey) -> Fit {
        let names = [
            self.task.fit(key.task),
            self.candidate.fit(key.candidate),
            self.workflow.fit(key.workflow),
            self.step.fit(key.step),
            self.tool.fit(key.tool),
        ];
        names.into_iter().fold(self.labels.fit(key.labels), Fit::max)
    }

    /// Whether the filter on the model lets a candidate through.
    pub(super) fn shows(&self, candidate: NameId) -> bool {
        self.candidate.fit(candidate) == Fit::In
    }
}

/// A name with a number of its own is never under "other".
fn named(names: &Names, kind: NameKind, text: &str) -> Allowed<NameId> {
    let id = names.id(kind, text);
    Allowed { ids: Some(id.into_iter().collect()), unknown: id.is_none().then_some(NameId::OTHER) }
}

/// Candidates whose id, or whose model's id, is the given one or the one it is an alias of.
fn served_by(engine: &Engine, text: &str) -> Allowed<NameId> {
    let names = &engine.state.names;
    let resolved = engine.catalog().resolve(text).ok().flatten().map(|(model, _)| model.id.clone());
    let is = |name: &str| name == text || resolved.as_deref() == Some(name);
    let all = names.all(NameKind::Candidate).filter(|(_, id)| is(id) || is(model_of(id)));
    let mut ids: HashSet<NameId> = all.map(|(number, _)| number).collect();
    if text.is_empty() {
        ids.insert(NameId::NONE);
    }
    Allowed { ids: Some(ids), unknown: Some(NameId::OTHER) }
}

/// The model of a candidate: its id without the variant.
pub(super) fn model_of(candidate: &str) -> &str {
    candidate.split_once('#').map_or(candidate, |(model, _)| model)
}

/// Sets of labels that contain every pair asked for.
fn labelled(names: &Names, filters: &Filters) -> Allowed<LabelsId> {
    if filters.labels.is_empty() {
        return Allowed::ALL;
    }
    let holds =
        |set: &crate::domain::names::Labels| filters.labels.iter().all(|(key, value)| set.get(key) == Some(value));
    let ids = names.all_labels().filter(|(_, set)| holds(set)).map(|(id, _)| id).collect();
    Allowed { ids: Some(ids), unknown: Some(LabelsId::OTHER) }
}
