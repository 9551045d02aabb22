//! A found change of a success rate between the domain and the stored message.

use super::pb;
use crate::domain::call::CallNo;
use crate::domain::drift::Change;
use crate::domain::names::NameId;
use crate::domain::time::UnixMillis;

/// As stored.
pub(crate) fn of(change: &Change) -> pb::ChangeFound {
    pb::ChangeFound {
        task: change.task.0,
        candidate: change.candidate.0,
        keep_from: change.keep_from.0,
        around_ms: change.around.0,
        successes_before: change.before.0,
        outcomes_before: change.before.1,
        successes_after: change.after.0,
        outcomes_after: change.after.1,
        strength: change.strength,
        reward_before_micro: change.rewards_micro.map(|r| r.0),
        reward_after_micro: change.rewards_micro.map(|r| r.1),
    }
}

/// As read.
pub(crate) fn from(stored: &pb::ChangeFound) -> Change {
    Change {
        task: NameId(stored.task),
        candidate: NameId(stored.candidate),
        keep_from: CallNo(stored.keep_from),
        around: UnixMillis(stored.around_ms),
        before: (stored.successes_before, stored.outcomes_before),
        after: (stored.successes_after, stored.outcomes_after),
        strength: stored.strength,
        rewards_micro: stored.reward_before_micro.zip(stored.reward_after_micro),
    }
}
