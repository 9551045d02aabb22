//! Which goals are open: how many of each kind, and which lie idle longest. Kept beside the goals so that neither question
//! goes through all of them. Goals that lie idle need not be here: an adapter may put them away and be asked for them; what
//! must not depend on that is how many there are.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::call::Arm;
use super::goal::Goal;
use super::names::{LabelsId, NameId};
use super::time::UnixMillis;

/// The open goals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenGoals {
    counts: BTreeMap<(NameId, LabelsId), u64>,
    arms: BTreeMap<(NameId, LabelsId, NameId, u8), u64>,
    at_hand: BTreeMap<NameId, BTreeSet<(UnixMillis, Arc<str>)>>,
    away_from: BTreeMap<NameId, UnixMillis>,
}

impl OpenGoals {
    /// A goal is open from now on, or as it stands from now on; `false`: it is not, as it stood until now.
    pub(super) fn change(&mut self, id: &Arc<str>, goal: &Goal, open: bool) {
        for (task, arm) in &goal.arms {
            change(&mut self.arms, (goal.workflow, goal.labels, *task, *arm as u8), open);
        }
        change(&mut self.counts, (goal.workflow, goal.labels), open);
        if open {
            self.at_hand.entry(goal.workflow).or_default().insert((goal.last_at, id.clone()));
            return;
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

    /// How many of each kind wait for their end in an arm of a rollout: task type whose rollout drew it, arm, goals. None of those is 0.
    pub fn in_arms(&self) -> impl Iterator<Item = ((NameId, LabelsId), NameId, Arm, u64)> {
        let known = |(kind, count): (&(NameId, LabelsId, NameId, u8), &u64)| {
            let (workflow, labels, task, arm) = *kind;
            Some(((workflow, labels), task, Arm::from_number(arm)?, *count))
        };
        self.arms.iter().filter_map(known)
    }

    /// The same of one kind.
    pub fn in_arms_of(&self, workflow: NameId, labels: LabelsId) -> impl Iterator<Item = (NameId, Arm, u64)> {
        let from = (workflow, labels, NameId(0), 0);
        let of = self.arms.range(from..).take_while(move |((w, l, ..), _)| (*w, *l) == (workflow, labels));
        of.filter_map(|((_, _, task, arm), count)| Some((*task, Arm::from_number(*arm)?, *count)))
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

    /// Sets a count of those in an arm, when it is read back.
    pub fn restore_arm(&mut self, (workflow, labels): (NameId, LabelsId), task: NameId, arm: Arm, count: u64) {
        self.arms.insert((workflow, labels, task, arm as u8), count);
    }

    /// Counts one that was open before anybody counted those in arms.
    pub fn recount_arms(&mut self, goal: &Goal) {
        for (task, arm) in &goal.arms {
            change(&mut self.arms, (goal.workflow, goal.labels, *task, *arm as u8), true);
        }
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

/// One more or one less of a kind; a kind of which there is none is not kept.
fn change<K: Ord>(counts: &mut BTreeMap<K, u64>, of: K, more: bool) {
    let count = counts.entry(of);
    match (more, count) {
        (true, count) => *count.or_default() += 1,
        (false, Entry::Occupied(mut count)) if *count.get() > 1 => *count.get_mut() -= 1,
        (false, Entry::Occupied(count)) => {
            count.remove();
        }
        (false, Entry::Vacant(_)) => {}
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
    fn those_in_arms_are_counted_while_they_are_open() {
        let mut open = OpenGoals::default();
        let id = Arc::<str>::from("a");
        let drawn = Goal { arms: vec![(NameId(7), Arm::Holdout), (NameId(8), Arm::Router)], ..goal(1) };
        open.change(&id, &goal(1), true);
        open.change(&id, &goal(1), false);
        open.change(&id, &drawn, true);
        open.put_away(&id, &drawn);
        open.change(&Arc::from("b"), &Goal { arms: vec![(NameId(7), Arm::Holdout)], ..goal(2) }, true);
        let expected = [(NameId(7), Arm::Holdout, 2), (NameId(8), Arm::Router, 1)];
        assert_eq!(open.in_arms_of(FLOW, LabelsId::NONE).collect::<Vec<_>>(), expected);
        assert_eq!(open.in_arms().count(), 2);
        assert_eq!(open.in_arms_of(NameId(3), LabelsId::NONE).count(), 0);
        open.change(&id, &drawn, false);
        assert_eq!(open.in_arms().collect::<Vec<_>>(), [((FLOW, LabelsId::NONE), NameId(7), Arm::Holdout, 1)]);
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
