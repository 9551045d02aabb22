//! Names as small numbers. Task types, candidates, workflows, steps, tools and sets of labels recur in millions of
//! events; each is written once, as a `Named` or `LabelsNamed` event, and referred to by its number after that.
//! The tables are bounded: past the cap a name is kept on its call but counted under [`NameId::OTHER`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a name is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameKind {
    /// A task type.
    Task,
    /// A candidate (`provider/name` or `…#variant`), or a model somebody else chose.
    Candidate,
    /// A workflow.
    Workflow,
    /// A step.
    Step,
    /// A tool.
    Tool,
    /// A source of outcomes.
    Source,
}

/// Number of a name within its kind; 0 is "no name".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(pub u32);

impl NameId {
    /// No name was given.
    pub const NONE: Self = Self(0);
    /// A name past the cap.
    pub const OTHER: Self = Self(1);
    const FIRST: u32 = 2;
}

/// Number of a set of labels; 0 is the empty set, 1 stands for all sets past the cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelsId(pub u32);

impl LabelsId {
    /// No labels.
    pub const NONE: Self = Self(0);
    /// A set past the cap.
    pub const OTHER: Self = Self(1);
    const FIRST: u32 = 2;
}

/// A set of labels, keys in order.
pub type Labels = BTreeMap<String, String>;

/// How many names of one kind, and how many sets of labels, get a number of their own.
pub const NAMES_MAX: usize = 10_000;

/// The tables of names; part of the folded state.
#[derive(Clone, Debug, Default)]
pub struct Names {
    ids: HashMap<(NameKind, Arc<str>), NameId>,
    texts: BTreeMap<NameKind, Vec<Arc<str>>>,
    label_ids: HashMap<Arc<Labels>, LabelsId>,
    label_sets: Vec<Arc<Labels>>,
}

impl Names {
    /// The number of a known name; `NONE` for the empty text.
    #[must_use]
    pub fn id(&self, kind: NameKind, text: &str) -> Option<NameId> {
        if text.is_empty() {
            return Some(NameId::NONE);
        }
        self.ids.get(&(kind, Arc::from(text))).copied()
    }

    /// The number the next new name of that kind gets; `OTHER` when the table is full.
    #[must_use]
    pub fn next_id(&self, kind: NameKind) -> NameId {
        let count = self.texts.get(&kind).map_or(0, Vec::len);
        if count >= NAMES_MAX { NameId::OTHER } else { NameId(NameId::FIRST + count as u32) }
    }

    /// The text of a number; empty for `NONE`, "other" past the cap.
    #[must_use]
    pub fn text(&self, kind: NameKind, id: NameId) -> &str {
        match id {
            NameId::NONE => "",
            NameId::OTHER => "other",
            NameId(n) => {
                let text = self.texts.get(&kind).and_then(|t| t.get((n - NameId::FIRST) as usize));
                text.map_or("other", |t| t)
            }
        }
    }

    /// Every name of a kind with its number, in order of first use.
    pub fn all(&self, kind: NameKind) -> impl Iterator<Item = (NameId, &Arc<str>)> {
        let texts = self.texts.get(&kind).map_or(&[][..], Vec::as_slice);
        texts.iter().enumerate().map(|(i, text)| (NameId(NameId::FIRST + i as u32), text))
    }

    /// The number of a known set of labels.
    #[must_use]
    pub fn labels_id(&self, labels: &Labels) -> Option<LabelsId> {
        if labels.is_empty() { Some(LabelsId::NONE) } else { self.label_ids.get(labels).copied() }
    }

    /// The number the next new set gets; `OTHER` when the table is full.
    #[must_use]
    pub fn next_labels_id(&self) -> LabelsId {
        let count = self.label_sets.len();
        if count >= NAMES_MAX { LabelsId::OTHER } else { LabelsId(LabelsId::FIRST + count as u32) }
    }

    /// The set of a number; `None` for `NONE` and `OTHER`.
    #[must_use]
    pub fn labels(&self, id: LabelsId) -> Option<&Arc<Labels>> {
        self.label_sets.get(id.0.checked_sub(LabelsId::FIRST)? as usize)
    }

    /// Every numbered set of labels, in order of first use.
    pub fn all_labels(&self) -> impl Iterator<Item = (LabelsId, &Arc<Labels>)> {
        self.label_sets.iter().enumerate().map(|(i, set)| (LabelsId(LabelsId::FIRST + i as u32), set))
    }

    /// Gives a name its number. A number that is not the next one is ignored: the fold cannot fail.
    pub fn insert(&mut self, kind: NameKind, id: NameId, text: &str) {
        if id == self.next_id(kind) && id != NameId::OTHER {
            let text: Arc<str> = Arc::from(text);
            self.texts.entry(kind).or_default().push(text.clone());
            self.ids.insert((kind, text), id);
        }
    }

    /// Gives a set of labels its number, under the same rule as [`Names::insert`].
    pub fn insert_labels(&mut self, id: LabelsId, labels: Labels) {
        if id == self.next_labels_id() && id != LabelsId::OTHER {
            let labels = Arc::new(labels);
            self.label_sets.push(labels.clone());
            self.label_ids.insert(labels, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_numbers_in_order_and_stop_at_the_cap() {
        let mut names = Names::default();
        for i in 0..NAMES_MAX + 5 {
            names.insert(NameKind::Step, names.next_id(NameKind::Step), &format!("s{i}"));
        }
        assert_eq!(names.id(NameKind::Step, "s0"), Some(NameId(2)));
        assert_eq!(names.id(NameKind::Step, &format!("s{NAMES_MAX}")), None);
        assert_eq!(names.next_id(NameKind::Step), NameId::OTHER);
        assert_eq!(names.text(NameKind::Step, NameId(3)), "s1");
        assert_eq!(names.id(NameKind::Tool, "s0"), None, "kinds are apart");
        assert_eq!(names.id(NameKind::Tool, ""), Some(NameId::NONE));
    }

    #[test]
    fn the_fold_ignores_a_number_out_of_turn() {
        let mut names = Names::default();
        names.insert(NameKind::Task, NameId(7), "late");
        assert_eq!(names.id(NameKind::Task, "late"), None);
    }
}
