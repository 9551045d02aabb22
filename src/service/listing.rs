//! Goals listed and sampled. What was touched goes to the store first, so that the store alone tells all of them in order.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::goal_reply::{GoalReply, GoalsReply, SampleReply};
use super::goals::goal_reply;
use super::{Service, ServiceError};
use crate::domain::goal::{Goal, GoalState};
use crate::domain::names::{Labels, NameId, NameKind};
use crate::domain::request_goal::{GoalFilters, GoalStateFilter, ListGoals, SampleGoals};
use crate::domain::time::UnixMillis;
use crate::engine::{Engine, EngineError, hydrate};

/// Goals looked at for one page; where few fit the filters, the page is shorter and names the next one.
const LOOKED_AT_MAX: usize = 20_000;

impl Service {
    /// Goals, newest first.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn goals(&self, request: &ListGoals) -> Result<GoalsReply, ServiceError> {
        let mut after = read_token(&request.page.token)?;
        let (mut goals, mut looked_at) = (Vec::new(), 0);
        let mut more = true;
        let kinds = self.kinds(&request.filters, true);
        while more && goals.len() < request.page.size as usize && looked_at < LOOKED_AT_MAX {
            let some = self.goals_after(kinds.as_deref(), after.as_ref())?;
            more = !some.is_empty();
            let mut engine = self.engine.lock();
            for place in some {
                looked_at += 1;
                goals.extend(self.goal_if(&mut engine, &place.1, &request.filters));
                after = Some(place);
                if goals.len() == request.page.size as usize {
                    break;
                }
            }
        }
        let next = after.filter(|_| more).map(|(at, id)| token(at, &id));
        Ok(GoalsReply { goals, next_page_token: next.unwrap_or_default() })
    }

    /// A uniform sample of ended goals: those whose digest with the seed is smallest, which does not depend on the order in
    /// which they are looked at.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn sample_goals(&self, request: &SampleGoals) -> Result<SampleReply, ServiceError> {
        let from = request.lookback_ms.map(|ms| self.clock.now().plus_ms(-ms));
        let mut drawn: Vec<([u8; 32], GoalReply)> = Vec::new();
        let mut population = 0;
        // A kind after the other: merged, a thousand workflows would be looked through for each page of goals.
        let mut kinds = self.kinds(&request.filters, false).unwrap_or_default().into_iter();
        self.checkpoint()?;
        let (mut kind, mut after) = (kinds.next(), None);
        while let Some(of) = kind {
            let some = self.stored_after(Some(&[of]), after.as_ref())?;
            let Some(last) = some.last() else {
                (kind, after) = (kinds.next(), None);
                continue;
            };
            after = Some(last.clone());
            let mut engine = self.engine.lock();
            for (_, id) in &some {
                let Some(goal) = self.goal_if(&mut engine, id, &request.filters) else { continue };
                if goal.closed_at.is_none_or(|at| from.is_some_and(|from| at < from)) {
                    continue;
                }
                population += 1;
                let lot = lot(request.seed, id);
                let place = drawn.partition_point(|(other, _)| *other < lot);
                if place < request.n as usize {
                    drawn.insert(place, (lot, goal));
                    drawn.truncate(request.n as usize);
                }
            }
        }
        Ok(SampleReply { goals: drawn.into_iter().map(|(_, goal)| goal).collect(), population })
    }

    /// The kinds of goals that may fit the filters; `None`: all kinds. Where open ones are not wanted, none of them is of it.
    fn kinds(&self, filters: &GoalFilters, open_too: bool) -> Option<Vec<(NameId, Option<GoalState>)>> {
        if filters.state.is_none() && filters.workflow.is_none() && open_too {
            return None;
        }
        let ended = GoalState::ALL.iter().copied().map(Some);
        let states: Vec<Option<GoalState>> = match filters.state {
            Some(GoalStateFilter::Open) => vec![None],
            Some(GoalStateFilter::Ended(state)) => vec![Some(state)],
            None => ended.chain(open_too.then_some(None)).collect(),
        };
        let engine = self.engine.lock();
        let names = &engine.state.names;
        let all = [NameId::NONE, NameId::OTHER].into_iter().chain(names.all(NameKind::Workflow).map(|(id, _)| id));
        let is = |id: &NameId, w: &String| *id == NameId::OTHER || w == names.text(NameKind::Workflow, *id);
        let wanted = |id: &NameId| filters.workflow.as_ref().is_none_or(|w| is(id, w));
        let kinds = all.filter(wanted).flat_map(|workflow| states.iter().map(move |state| (workflow, *state)));
        Some(kinds.collect())
    }

    /// The next goals of these kinds in the order of their beginning, newest first.
    fn goals_after(
        &self,
        kinds: Option<&[(NameId, Option<GoalState>)]>,
        after: Option<&(UnixMillis, String)>,
    ) -> Result<Vec<(UnixMillis, String)>, ServiceError> {
        if after.is_none() {
            self.checkpoint()?;
        }
        self.stored_after(kinds, after)
    }

    /// The same as the store has them.
    fn stored_after(
        &self,
        kinds: Option<&[(NameId, Option<GoalState>)]>,
        after: Option<&(UnixMillis, String)>,
    ) -> Result<Vec<(UnixMillis, String)>, ServiceError> {
        self.shelf.health()?;
        let store = self.shelf.store().ok_or_else(|| ServiceError::unavailable("goals cannot be listed now"))?;
        Ok(match kinds {
            None => store.goals_after(after)?,
            Some(kinds) => store.goals_of_kinds(kinds.iter().copied(), after)?,
        })
    }

    fn goal_if(&self, engine: &mut Engine, id: &str, filters: &GoalFilters) -> Option<GoalReply> {
        let goal = hydrate::goal(&mut engine.state, &self.shelf, id)?.clone();
        fits(engine, &goal, filters).then(|| goal_reply(engine, id, &goal))
    }
}

fn fits(engine: &Engine, goal: &Goal, filters: &GoalFilters) -> bool {
    let state = match filters.state {
        None => true,
        Some(GoalStateFilter::Open) => goal.closing.is_none(),
        Some(GoalStateFilter::Ended(state)) => goal.closing.is_some_and(|c| c.state == state),
    };
    let (names, none) = (&engine.state.names, Labels::new());
    let labels = goal.labels_told(names).map_or(&none, |l| l);
    let workflow = goal.workflow_text(names);
    state
        && filters.workflow.as_ref().is_none_or(|w| w == workflow)
        && filters.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// A goal's lot under a seed: uniform over goals, the same in every run.
fn lot(seed: u32, id: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("oddsmaker 2026 sample of goals");
    *hasher.update(&seed.to_be_bytes()).update(id.as_bytes()).finalize().as_bytes()
}

fn token(at: UnixMillis, id: &str) -> String {
    let mut bytes = at.0.to_be_bytes().to_vec();
    bytes.extend_from_slice(id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read_token(token: &str) -> Result<Option<(UnixMillis, String)>, EngineError> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (at, id) = bytes.split_first_chunk::<8>()?;
        Some((UnixMillis(i64::from_be_bytes(*at)), String::from_utf8(id.to_vec()).ok()?))
    };
    let say = "is none that was given out; leave it out to start anew";
    read().map(Some).ok_or_else(|| EngineError::field("page_token", say))
}
