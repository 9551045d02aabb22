//! Which goals are open: how many of each kind, and which lie idle longest. Kept beside the goals so that neither question
//! goes through all of them. Goals that lie idle need not be here: an adapter may put them away and be asked for them; what
//! must not depend on that is how many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::goal::Goal;
use super::names::{LabelsId, NameId};
use super::time::UnixMillis;

/// The open goals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenGoals {
    counts: BTreeMap<(NameId, LabelsId), u64>,
    at_hand: BTreeMap<NameId, BTreeSet<(UnixMillis, Arc<str>)>>,
    away_from: BTreeMap<NameId, UnixMillis>,
}

impl OpenGoals {
    /// A goal is open from now on, or as it stands from now on; `false`: it is not, as it stood until now.
    pub(super) fn change(&mut self, id: &Arc<str>, goal: &Goal, open: bool) {
        let count = self.counts.entry((goal.workflow, goal.labels)).or_default();
        if open {
            *count += 1;
            self.at_hand.entry(goal.workflow).or_default().insert((goal.last_at, id.clone()));
            return;
        }
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.counts.remove(&(goal.workflow, goal.labels));
        }
        self.let_go(id, goal);
    }

    /// How many there are by workflow and labels; none of those is 0.
    pub fn counts(&self) -> impl Iterator<Item = ((NameId, LabelsId), u64)> {
        self.counts.iter().map(|(kind, count)| (*kind, *count))
    }

    /// How many there are of one kind.
    #[must_use]
    pub fn count(&self, workflow: NameId, labels: LabelsId) -> u64 {
        self.counts.get(&(workflow, labels)).copied().unwrap_or(0)
    }

    /// Those at hand by workflow, each with when somebody last worked on it, the one that lies idle longest first.
    pub fn at_hand(&self) -> impl Iterator<Item = (NameId, &UnixMillis, &Arc<str>)> {
        self.at_hand.iter().flat_map(|(workflow, goals)| goals.iter().map(|(last_at, id)| (*workflow, last_at, id)))
    }

    /// Those at hand of one workflow that lie idle since `until` or longer, in that order.
    pub fn idle_at_hand(&self, workflow: NameId, until: UnixMillis) -> impl Iterator<Item = &(UnixMillis, Arc<str>)> {
        self.at_hand.get(&workflow).into_iter().flatten().take_while(move |(last_at, _)| *last_at <= until)
    }

    /// Whether that one is at hand.
    #[must_use]
    pub fn is_at_hand(&self, workflow: NameId, last_at: UnixMillis, id: &str) -> bool {
        self.at_hand.get(&workflow).is_some_and(|goals| goals.contains(&(last_at, Arc::from(id))))
    }

    /// The workflows that have open goals, at hand or away.
    #[must_use]
    pub fn workflows(&self) -> BTreeSet<NameId> {
        self.at_hand.keys().chain(self.away_from.keys()).copied().collect()
    }

    /// Whether an open goal of that workflow that is away may lie idle since `until`.
    #[must_use]
    pub fn may_be_away(&self, workflow: NameId, until: UnixMillis) -> bool {
        self.away_from.get(&workflow).is_some_and(|from| *from <= until)
    }

    /// Nobody worked on an open goal of that workflow that is away before `from`; `None`: none is away.
    pub fn away_from(&mut self, workflow: NameId, from: Option<UnixMillis>) {
        match from {
            Some(from) => self.away_from.insert(workflow, from),
            None => self.away_from.remove(&workflow),
        };
    }

    /// An open goal is put away as it stands; it stays counted.
    pub fn put_away(&mut self, id: &Arc<str>, goal: &Goal) {
        self.let_go(id, goal);
        let from = self.away_from.entry(goal.workflow).or_insert(goal.last_at);
        *from = goal.last_at.min(*from);
    }

    /// Sets a count, when it is read back.
    pub fn restore_count(&mut self, workflow: NameId, labels: LabelsId, count: u64) {
        self.counts.insert((workflow, labels), count);
    }

    fn let_go(&mut self, id: &Arc<str>, goal: &Goal) {
        if let Some(goals) = self.at_hand.get_mut(&goal.workflow) {
            goals.remove(&(goal.last_at, id.clone()));
            if goals.is_empty() {
                self.at_hand.remove(&goal.workflow);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: NameId = NameId(2);

    fn goal(last_at: i64) -> Goal {
        Goal { workflow: FLOW, opened_at: UnixMillis(1), last_at: UnixMillis(last_at), ..Goal::default() }
    }

    #[test]
    fn a_goal_that_is_put_away_is_still_counted_and_its_time_is_known() {
        let mut open = OpenGoals::default();
        let id = |name: &str| Arc::<str>::from(name);
        for (name, last_at) in [("a", 30), ("b", 20), ("c", 40)] {
            open.change(&id(name), &goal(last_at), true);
        }
        let idle = |open: &OpenGoals| {
            open.idle_at_hand(FLOW, UnixMillis(30)).map(|(_, id)| id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(idle(&open), ["b", "a"]);
        assert!(!open.may_be_away(FLOW, UnixMillis(i64::MAX)));
        open.put_away(&id("a"), &goal(30));
        open.put_away(&id("b"), &goal(20));
        assert_eq!((idle(&open).len(), open.count(FLOW, LabelsId::NONE)), (0, 3));
        assert!(open.may_be_away(FLOW, UnixMillis(20)) && !open.may_be_away(FLOW, UnixMillis(19)));
        // Somebody works on one that is away.
        open.change(&id("a"), &goal(30), false);
        open.change(&id("a"), &goal(50), true);
        assert_eq!(open.at_hand().map(|(_, _, id)| &**id).collect::<Vec<_>>(), ["c", "a"]);
        assert_eq!(open.counts().collect::<Vec<_>>(), [((FLOW, LabelsId::NONE), 3)]);
        for (name, last_at) in [("a", 50), ("b", 20), ("c", 40)] {
            open.change(&id(name), &goal(last_at), false);
        }
        open.away_from(FLOW, None);
        assert_eq!(open, OpenGoals::default());
    }
}
