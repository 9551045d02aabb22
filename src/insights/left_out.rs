//! Decisions that a what-if answer does not rest on, by why, and the sentence where nothing else is left. It refuses to know
//! how they are found.

/// Decisions of the window that an evaluation does not rest on, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Nobody drew for them: the five below, and models past the cap of names.
    pub not_drawn: u64,
    /// Of them pins.
    pub pinned: u64,
    /// Of them those held out with their goal, which drew its arm once for all of its decisions, or while the router served nobody.
    pub held_out: u64,
    /// Of them those where the router only observed.
    pub observed: u64,
    /// Of them those that could not be undone, so that nothing was left to chance.
    pub irreversible: u64,
    /// There was one candidate only.
    pub one_candidate: u64,
    /// They kept a draw from before the window.
    pub earlier_draw: u64,
    /// The draw was made for a retry: whether there is one depends on what was chosen before.
    pub retries: u64,
    /// No call of the draw has a known outcome (any more).
    pub without_outcome: u64,
    /// None of the models that the policy names was on offer.
    pub not_on_offer: u64,
    /// The catalogue it was decided by cannot be read any more.
    pub unknown_settings: u64,
}

/// Why a decision is no draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoDraw {
    /// There was one candidate only.
    OneCandidate,
    /// A pin.
    Pinned,
    /// Held out with its goal.
    HeldOut,
    /// The router only observed.
    Observed,
    /// It could not be undone.
    Irreversible,
    /// Nobody drew for another reason, such as a name past the cap.
    NotDrawn,
}

impl LeftOut {
    /// Counts a decision that is no draw.
    pub fn count(&mut self, why: NoDraw) {
        self.not_drawn += u64::from(why != NoDraw::OneCandidate);
        match why {
            NoDraw::OneCandidate => self.one_candidate += 1,
            NoDraw::Pinned => self.pinned += 1,
            NoDraw::HeldOut => self.held_out += 1,
            NoDraw::Observed => self.observed += 1,
            NoDraw::Irreversible => self.irreversible += 1,
            NoDraw::NotDrawn => {}
        }
    }

    /// Why there is no draw to rest on although these decisions were made, and what to do about what kept out most of them.
    #[must_use]
    pub fn sentence(&self) -> String {
        self.told("was made in the window", "look further back", "look less far back")
    }

    /// The same of a record in files, which has no window.
    #[must_use]
    pub fn sentence_of_a_record(&self) -> String {
        self.told("is in the files", "export from further back", "give the catalogue that decided them (`--models`)")
    }

    /// With where nothing was found, and what to do about decisions whose beginning or whose catalogue is not at hand.
    fn told(&self, nowhere: &str, further: &str, gone: &str) -> String {
        let Self { pinned, held_out, observed, irreversible, one_candidate, earlier_draw, .. } = *self;
        let Self { retries, without_outcome, not_on_offer, unknown_settings, .. } = *self;
        let other = self.not_drawn.saturating_sub(pinned + held_out + observed + irreversible);
        let reasons = [
            (without_outcome, "without a known outcome", "report the outcomes of decisions"),
            (pinned, "pinned", "ask without naming the model, so that the router may choose"),
            (observed, "only observed", "let the router serve a share of the goals (`mode`, `serve_share`)"),
            (held_out, "held out with their goal", "hold out a smaller share, so that the router serves the others"),
            (irreversible, "irreversible", "only steps that can be undone are left to chance"),
            (one_candidate, "with one candidate", "give the task type a second candidate"),
            (earlier_draw, "that kept a draw from before the window", further),
            (retries, "for retries", further),
            (not_on_offer, "where its models were not on offer", "ask about models that are candidates there"),
            (unknown_settings, "by a catalogue that is gone", gone),
            (other, "past the cap of names", "ask for another task type"),
        ];
        let all: u64 = reasons.iter().map(|(number, ..)| number).sum();
        let Some((_, _, advice)) = reasons.iter().rev().max_by_key(|(number, ..)| number).filter(|_| all > 0) else {
            return format!("no decision that names a model {nowhere}; {further}");
        };
        let found = reasons.iter().filter(|(number, ..)| *number > 0);
        let found: Vec<String> = found.map(|(number, why, _)| format!("{number} {why}")).collect();
        let (decisions, are) = if all == 1 { ("decision", "is") } else { ("decisions", "are") };
        format!(
            "nothing was left to the router's chance: {all} {decisions} {are} on record, {}; {advice}",
            found.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_told_with_what_to_do_about_most_of_it() {
        let of = LeftOut {
            not_drawn: 45,
            pinned: 40,
            held_out: 4,
            earlier_draw: 2,
            without_outcome: 1,
            ..LeftOut::default()
        };
        let said = "nothing was left to the router's chance: 48 decisions are on record, 1 without a known outcome, 40 pinned, \
                    4 held out with their goal, 2 that kept a draw from before the window, 1 past the cap of names; ask \
                    without naming the model, so that the router may choose";
        assert_eq!(of.sentence(), said);
        let gone = LeftOut { unknown_settings: 3, ..LeftOut::default() };
        assert!(gone.sentence().ends_with("3 by a catalogue that is gone; look less far back"));
        let record = gone.sentence_of_a_record();
        assert!(record.ends_with("gone; give the catalogue that decided them (`--models`)"), "{record}");
        let one = LeftOut { without_outcome: 1, ..LeftOut::default() };
        assert!(one.sentence().contains("1 decision is on record, 1 without a known outcome; report the outcomes"));
        let none = "no decision that names a model was made in the window; look further back";
        assert_eq!(LeftOut::default().sentence(), none);
    }
}
