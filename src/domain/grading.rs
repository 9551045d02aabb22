//! What callers said of the end of a goal, and what auditors found. It exists so that the two are told apart in one way
//! wherever they are shown or counted. It knows no sums.

use super::goal::{Goal, GoalState, NoteKind};

/// What the remarks of a grader begin with who was given goals at random.
pub const AUDITOR: &str = "audit:";

/// How a closed goal ended, by whom one asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// As callers said, before any auditor looked.
    pub claimed: GoalState,
    /// As the last auditor found; `None`: none looked.
    pub found: Option<GoalState>,
}

/// How a goal ended; `None` while it is open. Of a goal that came back only what was said since counts.
#[must_use]
pub fn ends(goal: &Goal) -> Option<Ends> {
    let state = goal.closing?.state;
    let said = |note: &super::goal::Note| match note.what {
        NoteKind::Closed(state) => Some((state, false)),
        NoteKind::Amended(state) => Some((state, note.by.starts_with(AUDITOR))),
        NoteKind::Reopened | NoteKind::Granted(_) => None,
    };
    let since = goal.notes.iter().rposition(|n| n.what == NoteKind::Reopened).map_or(0, |at| at + 1);
    let said = || goal.notes[since..].iter().filter_map(said);
    let claimed = said().take_while(|(_, audited)| !audited).last().map_or(state, |(state, _)| state);
    let found = said().rfind(|(_, audited)| *audited).map(|(state, _)| state);
    Some(Ends { claimed, found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::goal::{Closing, Note};
    use crate::domain::time::UnixMillis;

    #[track_caller]
    fn check(said: &[(NoteKind, &str)], state: GoalState, claimed: GoalState, found: Option<GoalState>) {
        let at = UnixMillis(0);
        let note = |(what, by): &(NoteKind, &str)| Note { at, by: (*by).to_owned(), text: String::new(), what: *what };
        let notes = said.iter().map(note).collect();
        let goal = Goal { notes, closing: Some(Closing { at, state, score: None }), ..Goal::default() };
        assert_eq!(ends(&goal), Some(Ends { claimed, found }), "{said:?}");
    }

    #[test]
    fn the_last_word_before_the_audit_is_the_callers_and_the_last_grade_the_auditors() {
        use GoalState::{Abandoned, Accepted, Escalated, Rejected};
        use NoteKind::{Amended, Closed, Reopened};
        check(&[(Closed(Accepted), "bot")], Accepted, Accepted, None);
        check(&[(Closed(Accepted), ""), (Amended(Abandoned), "the customer")], Abandoned, Abandoned, None);
        let graded = [(Closed(Accepted), ""), (Amended(Rejected), "audit:kim"), (Amended(Escalated), "audit:lee")];
        check(&graded, Escalated, Accepted, Some(Escalated));
        let later = [(Closed(Accepted), ""), (Amended(Rejected), "audit:kim"), (Amended(Accepted), "the customer")];
        check(&later, Accepted, Accepted, Some(Rejected));
        let back = [(Closed(Accepted), ""), (Amended(Rejected), "audit:kim"), (Reopened, ""), (Closed(Abandoned), "")];
        check(&back, Abandoned, Abandoned, None);
        assert_eq!(ends(&Goal::default()), None, "it is open");
    }
}
