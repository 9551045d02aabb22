//! The daemon's clock: wall time when it starts, steady from there on. A jump of the wall clock neither expires a
//! decision early nor makes time run backwards; a start with the clock set back continues from the last recorded fact.
//! A wall clock far behind the record is refused: either it is wrong now, or it was when the record was written, and
//! everything that follows would be dated by the mistake.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::config::format_duration_ms;
use crate::domain::time::UnixMillis;
use crate::service::Clock;

/// The wall clock lies too far before the last recorded fact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock of this machine says {}, but the record ends at {}: one of the two is wrong. Set the clock right; if it was \
     wrong when that was recorded, put back a copy of the data directory from before, or go on from the record's time with \
     `--set ledger.max_clock_behind={}`. No fact was written",
    shown(.wall), shown(.last), needed(.wall, .last)
)]
pub struct ClockBehind {
    /// The wall clock.
    pub wall: UnixMillis,
    /// The last recorded fact.
    pub last: UnixMillis,
}

fn shown(at: &UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| format!("{} ms", at.0), |at| format!("{at:.0}"))
}

/// The least whole days that would do.
fn needed(wall: &UnixMillis, last: &UnixMillis) -> String {
    const DAY_MS: i64 = 24 * 3_600_000;
    format_duration_ms(last.0.saturating_sub(wall.0).div_euclid(DAY_MS).saturating_add(1).saturating_mul(DAY_MS))
}

/// Wall time, in milliseconds since 1970; 0 before that.
#[must_use]
pub fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    UnixMillis(i64::try_from(since).unwrap_or(i64::MAX))
}

/// Wall time at the start plus the steady time passed since.
#[derive(Debug)]
pub struct SteadyClock {
    base: UnixMillis,
    since: Instant,
}

impl SteadyClock {
    /// A clock that shows `wall` now, but nothing before `last`, the time of the last recorded fact.
    ///
    /// # Errors
    /// `wall` lies more than `behind_ms_max` milliseconds before `last`.
    pub fn start(wall: UnixMillis, last: UnixMillis, behind_ms_max: i64) -> Result<Self, ClockBehind> {
        if last.0.saturating_sub(wall.0) > behind_ms_max {
            return Err(ClockBehind { wall, last });
        }
        Ok(Self { base: wall.max(last), since: Instant::now() })
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> UnixMillis {
        self.base.plus_ms(i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const NOON: UnixMillis = UnixMillis(1_795_348_800_000);

    #[test]
    fn a_clock_set_back_goes_on_from_the_last_fact() {
        let back = SteadyClock::start(NOON.plus_ms(-2 * HOUR), NOON, 24 * HOUR).unwrap();
        assert_eq!(back.base, NOON);
        let forward = SteadyClock::start(NOON.plus_ms(3 * HOUR), NOON, 24 * HOUR).unwrap();
        assert_eq!(forward.base, NOON.plus_ms(3 * HOUR));
        assert_eq!(SteadyClock::start(NOON, UnixMillis(0), 0).unwrap().base, NOON, "a new record");
    }

    #[test]
    fn a_clock_far_behind_the_record_is_refused_with_what_would_let_it_pass() {
        let wall = NOON.plus_ms(-49 * HOUR);
        assert!(SteadyClock::start(wall, NOON, 49 * HOUR).is_ok());
        let refused = SteadyClock::start(wall, NOON, 49 * HOUR - 1).unwrap_err();
        let said = refused.to_string();
        assert!(said.contains("says 2026-11-20T11:00:00Z, but the record ends at 2026-11-22T12:00:00Z"), "{said}");
        assert!(said.contains("ledger.max_clock_behind=3d"), "{said}");
        assert!(SteadyClock::start(wall, NOON, 3 * 24 * HOUR).is_ok());
        assert!(SteadyClock::start(UnixMillis(0), UnixMillis(i64::MAX), i64::MAX - 1).is_err());
    }
}
