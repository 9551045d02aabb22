//! Gives names their numbers on the way in: what is new becomes a `Named` fact in front of the one that uses it.

use crate::domain::event::{Body, Place};
use crate::domain::names::{Labels, LabelsId, NAMES_MAX, NameId, NameKind, Names};
use crate::domain::request::PolicyRequest;

/// Sources of outcomes from which on a new one that no catalogue declares is not told apart from others.
const SOURCES_MAX: usize = 64;

/// Names met for the first time in one request, as facts to be written before it.
#[derive(Debug, Default)]
pub(super) struct Naming {
    pub(super) events: Vec<Body>,
    others: Vec<(NameKind, String)>,
    other_labels: Option<Labels>,
}

impl Naming {
    /// The number of a name; a new one is numbered, one past the cap is kept aside in full.
    pub(super) fn name(&mut self, names: &Names, kind: NameKind, text: &str) -> NameId {
        if let Some(id) = names.id(kind, text).or_else(|| self.already(kind, text)) {
            return id;
        }
        let ahead = self.events.iter().filter(|e| matches!(e, Body::Named { kind: k, .. } if *k == kind)).count();
        let id = match names.next_id(kind) {
            NameId::OTHER => NameId::OTHER,
            NameId(next) => NameId(next + ahead as u32),
        };
        if id == NameId::OTHER {
            self.others.push((kind, text.to_owned()));
        } else {
            self.events.push(Body::Named { kind, id, text: text.to_owned() });
        }
        id
    }

    /// The number of a model that a caller named. Callers fill half of the table at most, so that models of later
    /// catalogues find room.
    pub(super) fn reported_model(&mut self, names: &Names, text: &str) -> NameId {
        let full = names.all(NameKind::Candidate).count() >= NAMES_MAX / 2;
        if full && names.id(NameKind::Candidate, text).is_none() {
            self.others.push((NameKind::Candidate, text.to_owned()));
            return NameId::OTHER;
        }
        self.name(names, NameKind::Candidate, text)
    }

    /// The number of a source of outcomes. Callers fill a table of [`SOURCES_MAX`]; a name past it counts as "other" and is not
    /// kept. Those of the catalogue are numbered with it.
    pub(super) fn source(&mut self, names: &Names, text: &str) -> NameId {
        let full = names.all(NameKind::Source).count() >= SOURCES_MAX;
        if full && names.id(NameKind::Source, text).is_none() {
            return NameId::OTHER;
        }
        self.name(names, NameKind::Source, text)
    }

    fn already(&self, kind: NameKind, text: &str) -> Option<NameId> {
        self.events.iter().find_map(|event| match event {
            Body::Named { kind: k, id, text: t } if *k == kind && t == text => Some(*id),
            _ => None,
        })
    }

    /// The number of a set of labels, under the same rules.
    pub(super) fn labels(&mut self, names: &Names, labels: &Labels) -> LabelsId {
        if let Some(id) = names.labels_id(labels) {
            return id;
        }
        let id = names.next_labels_id();
        if id == LabelsId::OTHER {
            self.other_labels = Some(labels.clone());
        } else {
            self.events.push(Body::LabelsNamed { id, labels: labels.clone() });
        }
        id
    }

    /// Where a decision belongs; the candidate is filled in later.
    pub(super) fn place(
        &mut self,
        names: &Names,
        task: NameId,
        request: &PolicyRequest,
        workflow: &str,
        labels: &Labels,
    ) -> Place {
        let mut place = Place {
            task,
            workflow: self.name(names, NameKind::Workflow, workflow),
            step: self.name(names, NameKind::Step, &request.step),
            labels: self.labels(names, labels),
            goal: request.goal_id.clone(),
            step_key: step_key(&request.step, &request.task_type, ""),
            ..Place::default()
        };
        self.complete(&mut place);
        place
    }

    /// Adds to `place` what was kept aside.
    pub(super) fn complete(&mut self, place: &mut Place) {
        place.other_names.append(&mut self.others);
        place.other_labels = self.other_labels.take().or(place.other_labels.take());
    }
}

/// Key of a step within its goal: the step's name, else the task type's, else the tool's.
#[must_use]
pub(super) fn step_key(step: &str, task: &str, tool: &str) -> u64 {
    let name = [step, task, tool].into_iter().find(|n| !n.is_empty()).unwrap_or("");
    let digest = blake3::hash(name.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    // 0 stands for "the whole goal" where draws are kept.
    u64::from_be_bytes(first).max(1)
}
