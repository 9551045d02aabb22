//! Words of the contract as they stand on the command line and in files: the lower-case end of an enum's name. Which
//! words there are, the contract says.

use serde_json::Value;

use crate::wire::pb::GoalState;

const GOAL_STATE: &str = "GOAL_STATE_";

/// `GOAL_STATE_TIMED_OUT` without its prefix, in lower case: `timed_out`. "unspecified" becomes empty.
pub(super) fn word(name: &str, prefix: &str) -> String {
    let word = name.strip_prefix(prefix).unwrap_or(name).to_lowercase();
    if word == "unspecified" { String::new() } else { word }
}

/// The same for an enum in JSON; a number the contract of this program does not know stays one.
pub(super) fn word_of(value: &Value, prefix: &str) -> Value {
    value.as_str().map_or_else(|| value.clone(), |name| Value::from(word(name, prefix)))
}

/// A state of a goal as a word.
pub(super) fn of_state(state: GoalState) -> String {
    word(state.as_str_name(), GOAL_STATE)
}

/// The state a word means.
///
/// # Errors
/// There is none; the known words are named.
pub(super) fn goal_state(word: &str) -> Result<GoalState, String> {
    known(word, states())
}

/// The state in which a goal can end that a word means.
///
/// # Errors
/// There is none; the known words are named.
pub(super) fn end_state(word: &str) -> Result<GoalState, String> {
    known(word, states().filter(|state| *state != GoalState::Open))
}

fn states() -> impl Iterator<Item = GoalState> + Clone {
    (1..).map_while(|number| GoalState::try_from(number).ok())
}

fn known(word: &str, mut states: impl Iterator<Item = GoalState> + Clone) -> Result<GoalState, String> {
    let words = || states.clone().map(of_state).collect::<Vec<_>>().join(", ");
    let words = words();
    let is_meant = |state: &GoalState| of_state(*state) == word || state.as_str_name().eq_ignore_ascii_case(word);
    states.find(is_meant).ok_or_else(|| format!("known: {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_word_and_no_other_means_one() {
        for (word, state) in [
            ("accepted", GoalState::Accepted),
            ("rejected", GoalState::Rejected),
            ("abandoned", GoalState::Abandoned),
            ("timed_out", GoalState::TimedOut),
            ("tool_error", GoalState::ToolError),
            ("escalated", GoalState::Escalated),
        ] {
            assert_eq!((goal_state(word), end_state(word)), (Ok(state), Ok(state)));
            assert_eq!(of_state(state), word);
        }
        assert_eq!(goal_state("open"), Ok(GoalState::Open));
        let known = "known: accepted, rejected, abandoned, timed_out, tool_error, escalated";
        for wrong in ["open", "unspecified", "", "Accepted", "ACCEPTED"] {
            assert_eq!(end_state(wrong), Err(known.to_owned()), "{wrong}");
        }
    }
}
