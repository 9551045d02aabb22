//! The router's draws of a window, read from the record: who competed, who was chosen, which later calls kept the draw.
//! Its memory is bounded: of more draws than are kept a uniform sample is. It refuses to know what came of the calls.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::domain::call::CallNo;
use crate::domain::draw::stir;
use crate::domain::event::{Body, Decided};
use crate::domain::names::NameId;
use crate::domain::time::UnixMillis;
use crate::insights::{Draw, LeftOut};
use crate::journal::codec::{self, Glance};
use crate::journal::{JournalError, JournalReader};

/// Draws that are kept.
pub(super) const DRAWS_MAX: usize = 40_000;

/// Their competitors that are kept, over all draws: the chances of a draw take some 30 µs for each, so that a question takes a second
/// or two.
const COMPETITORS_MAX: usize = 40_000;

/// Later calls of the draws that are kept, over all draws.
const FOLLOWERS_MAX: usize = 400_000;

/// The draws of a window.
#[derive(Debug)]
pub(super) struct Draws {
    from: UnixMillis,
    until: UnixMillis,
    task: Option<NameId>,
    most: usize,
    /// By a number that has nothing to do with the draw, so that the first of them are a sample.
    kept: BTreeMap<(u64, CallNo), Draw>,
    followers: usize,
    competitors: usize,
    /// The first decision of the window, whatever its task type.
    first: Option<CallNo>,
    /// Draws in the window, kept or not.
    pub(super) seen: u64,
    pub(super) left_out: LeftOut,
}

impl Draws {
    /// No draws yet of [`from`, `until`), of one task type or all.
    pub(super) fn new(from: UnixMillis, until: UnixMillis, task: Option<NameId>) -> Self {
        let (kept, left_out) = (BTreeMap::new(), LeftOut::default());
        Self { from, until, task, most: DRAWS_MAX, kept, followers: 0, competitors: 0, first: None, seen: 0, left_out }
    }

    /// Reads the record from the window on; `stop` ends it early.
    ///
    /// # Errors
    /// The record cannot be read.
    pub(super) fn read(&mut self, reader: &JournalReader, stop: &AtomicBool) -> Result<(), JournalError> {
        let is_before = |bytes: &[u8]| codec::glance(bytes).is_some_and(|(at, _)| at < self.from);
        for entry in reader.read_after(is_before)? {
            let entry = entry?;
            let Some((at, kind)) = codec::glance(&entry.payload) else { continue };
            if stop.load(Ordering::Relaxed) {
                break;
            }
            if at < self.from || kind != Glance::Decided {
                continue;
            }
            if let Ok(event) = codec::decode(&entry.payload)
                && let Body::Decided(decided) = event.body
            {
                self.take(at, *decided);
            }
        }
        Ok(())
    }

    /// The draws in the order they were made.
    pub(super) fn in_order(self) -> Vec<Draw> {
        let mut draws: Vec<Draw> = self.kept.into_values().collect();
        draws.sort_unstable_by_key(|draw| draw.number);
        draws
    }

    fn take(&mut self, at: UnixMillis, decided: Decided) {
        let window_begins = *self.first.get_or_insert(decided.number);
        let served = decided.place.candidate != NameId::NONE;
        if !served || self.task.is_some_and(|task| task != decided.place.task) {
            return;
        }
        if let Some(first) = decided.drawn_by {
            if let Some(draw) = self.kept.get_mut(&place(first)) {
                draw.followers.push(decided.number);
                self.followers += 1;
                self.trim();
            } else if first < window_begins && at < self.until {
                self.left_out.earlier_draw += 1;
            }
            return;
        }
        if at >= self.until {
            return;
        }
        match Draw::of(decided) {
            Err(why) => self.left_out.count(why),
            Ok(draw) => {
                self.seen += 1;
                self.competitors += draw.competitors.len();
                self.kept.insert(place(draw.number), draw);
                self.trim();
            }
        }
    }

    fn trim(&mut self) {
        let too_much = |of: &Self| of.followers > FOLLOWERS_MAX || of.competitors > COMPETITORS_MAX;
        while self.kept.len() > self.most || (too_much(self) && self.kept.len() > 1) {
            let Some((_, dropped)) = self.kept.pop_last() else { return };
            self.followers -= dropped.followers.len();
            self.competitors -= dropped.competitors.len();
        }
    }
}

fn place(number: CallNo) -> (u64, CallNo) {
    (stir(number.0), number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::call::{Arm, Selection};
    use crate::domain::event::PolicyVerdict;
    use crate::domain::rollout::Assigned;
    use crate::journal::codec::tests::ordinary;

    /// A decision of the router at millisecond `number` among three, of which the first was chosen.
    fn decided(number: u64) -> Decided {
        let [event, _] = ordinary();
        let Body::Decided(decided) = event.body else { panic!("INV-TEST: the first is a decision") };
        Decided { number: CallNo(number), ..*decided }
    }

    fn draws(most: usize) -> Draws {
        Draws { most, ..Draws::new(UnixMillis(100), UnixMillis(10_000), None) }
    }

    fn take(draws: &mut Draws, decided: Decided) {
        let at = UnixMillis(i64::try_from(decided.number.0).unwrap());
        draws.take(at, decided);
    }

    #[test]
    fn only_what_the_router_drew_is_a_draw() {
        let mut all = draws(10);
        take(&mut all, decided(100));
        let mut pinned = decided(101);
        pinned.traits.arm = Arm::Pinned;
        take(&mut all, pinned);
        let mut alone = decided(102);
        alone.competitors.truncate(1);
        take(&mut all, alone);
        let mut fixed = decided(103);
        (fixed.irreversible, fixed.traits.selection) = (true, Selection::Irreversible);
        take(&mut all, fixed);
        let mut nothing = decided(104);
        nothing.place.candidate = NameId::NONE;
        take(&mut all, nothing);
        take(&mut all, Decided { drawn_by: Some(CallNo(100)), ..decided(105) });
        take(&mut all, Decided { drawn_by: Some(CallNo(99)), ..decided(106) });
        take(&mut all, Decided { drawn_by: Some(CallNo(100)), ..decided(10_001) });
        take(&mut all, decided(10_002));
        let mut held_out = decided(107);
        (held_out.traits.arm, held_out.traits.assigned) = (Arm::Holdout, Assigned::ByGoal);
        take(&mut all, held_out);
        let mut observed = decided(108);
        observed.traits.arm = Arm::Observe;
        take(&mut all, observed);
        let expected = LeftOut {
            not_drawn: 4,
            pinned: 1,
            held_out: 1,
            observed: 1,
            irreversible: 1,
            one_candidate: 1,
            earlier_draw: 1,
            ..LeftOut::default()
        };
        assert_eq!((all.seen, all.left_out), (1, expected));
        let found = all.in_order();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].number, found[0].chosen), (CallNo(100), 0));
        assert_eq!(found[0].followers, [CallNo(105), CallNo(10_001)], "what kept the draw belongs to it");
    }

    #[test]
    fn a_downgraded_choice_is_a_draw_and_another_constrained_one_is_not() {
        let mut all = draws(10);
        let mut constrained = decided(100);
        constrained.traits.selection = Selection::Constraint;
        take(&mut all, Decided { verdict: PolicyVerdict::Downgrade, unfit: vec![2], ..constrained.clone() });
        take(&mut all, Decided { number: CallNo(101), ..constrained });
        assert_eq!((all.seen, all.left_out.not_drawn), (1, 1));
        assert_eq!(all.in_order()[0].unfit, [2]);
    }

    #[test]
    fn a_holdout_drawn_for_one_decision_is_a_draw() {
        let mut all = draws(10);
        let mut held_out = decided(100);
        (held_out.traits.arm, held_out.traits.assigned) = (Arm::Holdout, Assigned::ByDecision);
        held_out.traits.selection = Selection::Constraint;
        take(&mut all, held_out.clone());
        take(&mut all, Decided { number: CallNo(101), irreversible: true, ..held_out });
        take(&mut all, decided(102));
        assert_eq!((all.left_out.not_drawn, all.left_out.irreversible, all.left_out.held_out), (1, 1, 0));
        let found: Vec<(bool, bool)> = all.in_order().iter().map(|draw| (draw.by_lot, draw.held_out)).collect();
        assert_eq!(found, [(true, true), (false, false)]);
    }

    #[test]
    fn of_too_many_draws_a_uniform_sample_is_kept_with_its_followers() {
        let mut all = draws(500);
        for number in 1_000..6_000 {
            take(&mut all, decided(number));
            take(&mut all, Decided { drawn_by: Some(CallNo(number)), ..decided(20_000 + number) });
        }
        assert_eq!((all.seen, all.followers), (5_000, 500));
        let found = all.in_order();
        assert_eq!(found.len(), 500);
        assert!(found.is_sorted_by_key(|draw| draw.number) && found.iter().all(|draw| draw.followers.len() == 1));
        // Of the first half 250 are expected, with a standard deviation of 11.
        let early = found.iter().filter(|draw| draw.number.0 < 3_500).count();
        assert!((200..300).contains(&early), "{early}");
    }

    #[test]
    fn draws_among_many_are_as_few_as_their_competitors_allow() {
        let mut all = draws(DRAWS_MAX);
        let each = COMPETITORS_MAX / 40;
        for number in 1_000..1_050 {
            let one = decided(number);
            let many = std::iter::repeat_n(one.competitors[0], each);
            take(&mut all, Decided { competitors: many.collect(), ..one });
        }
        assert_eq!(
            (all.seen, all.competitors),
            (50, COMPETITORS_MAX),
            "ten of fifty are one too many for the time there is"
        );
        assert_eq!(all.in_order().len(), 40);
    }
}
