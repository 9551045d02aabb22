//! The daemon's clock: wall time when it starts, steady from there on. A jump of the wall clock neither expires a
//! decision early nor makes time run backwards; a start with the clock set back continues from the last recorded fact.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::domain::time::UnixMillis;
use crate::service::Clock;

/// Wall time at the start plus the steady time passed since.
#[derive(Debug)]
pub struct SteadyClock {
    base: UnixMillis,
    since: Instant,
}

impl SteadyClock {
    /// A clock that shows wall time, but nothing before `not_before`, the time of the last recorded fact.
    #[must_use]
    pub fn start(not_before: UnixMillis) -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        let wall = UnixMillis(i64::try_from(wall).unwrap_or(i64::MAX));
        Self { base: wall.max(not_before), since: Instant::now() }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> UnixMillis {
        self.base.plus_ms(i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}
