//! The evidence of one cell in the order its calls were decided: blocks of outcomes that get coarser with age.
//!
//! It exists so that a change can be found and old evidence can weigh less, without keeping every outcome. A late or
//! amended truth goes to the block its call was decided in, so counts are what they would have been had it been known at
//! once. It refuses to know what a reward means and when somebody looks.

use std::borrow::Cow;

use super::call::CallNo;
use super::cell::Evidence;
use super::names::NameId;
use super::strata::Stratum;
use super::time::UnixMillis;
use super::trust::Trust;

/// Outcomes in a new block.
pub const BLOCK: u64 = 10;

/// Two neighbours are joined once the outcomes after them number this many times theirs: where a change is placed is then
/// known to a quarter of its age.
const COARSENESS: u64 = 4;

/// Outcomes of calls whose numbers stand next to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The first call it may hold.
    pub from: CallNo,
    /// When its first outcome was told.
    pub since: UnixMillis,
    /// Outcomes the task type had taught by then, over all its candidates.
    pub lesson: u64,
    /// Reward mass.
    pub evidence: Evidence,
    /// Successes, 0/1.
    pub successes: u64,
    /// Failures, 0/1.
    pub failures: u64,
    /// Of the reward mass, what calls of each stratum had, rising by stratum; calls of no stratum are only in the whole.
    pub strata: Vec<(Stratum, Evidence)>,
    /// What each named source told of it, rising by source; what none named is only in the whole.
    pub sources: Vec<(NameId, Told)>,
}

/// What one source told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Reward mass.
    pub evidence: Evidence,
    /// Successes, 0/1.
    pub successes: u64,
    /// Failures, 0/1.
    pub failures: u64,
}

impl Told {
    /// Outcomes it told.
    #[must_use]
    pub fn outcomes(&self) -> u64 {
        self.successes + self.failures
    }

    /// Adds what another told, or takes it away.
    pub fn change(&mut self, by: &Self, add: bool) {
        step(&mut self.evidence.successes_micro, by.evidence.successes_micro, add);
        step(&mut self.evidence.failures_micro, by.evidence.failures_micro, add);
        step(&mut self.successes, by.successes, add);
        step(&mut self.failures, by.failures, add);
    }
}

impl Block {
    /// Outcomes in it.
    #[must_use]
    pub fn outcomes(&self) -> u64 {
        self.successes + self.failures
    }

    /// Adds the counts of another block.
    pub fn join(&mut self, other: &Self) {
        self.evidence.successes_micro += other.evidence.successes_micro;
        self.evidence.failures_micro += other.evidence.failures_micro;
        self.successes += other.successes;
        self.failures += other.failures;
        for (stratum, evidence) in &other.strata {
            self.change_stratum(*stratum, *evidence, true);
        }
        for (source, told) in &other.sources {
            self.change_source(*source, told, true);
        }
    }

    /// All of it, as if one source had told it.
    #[must_use]
    pub fn told(&self) -> Told {
        Told { evidence: self.evidence, successes: self.successes, failures: self.failures }
    }

    /// What each group of `trust` told of it; the last is all others together.
    #[must_use]
    pub fn by_group(&self, trust: &Trust) -> Vec<Told> {
        let mut rest = self.told();
        let mut of = |id: Option<NameId>| {
            let Some(id) = id else { return rest };
            let found =
                self.sources.binary_search_by_key(&id, |s| s.0).map(|at| self.sources[at].1).unwrap_or_default();
            rest.change(&found, false);
            found
        };
        trust.groups().map(|(id, _)| of(id)).collect()
    }

    fn change_stratum(&mut self, stratum: Stratum, by: Evidence, add: bool) {
        if stratum == Stratum::NONE {
            return;
        }
        let Some(at) = place(&mut self.strata, stratum, add) else { return };
        let evidence = &mut self.strata[at].1;
        step(&mut evidence.successes_micro, by.successes_micro, add);
        step(&mut evidence.failures_micro, by.failures_micro, add);
        if *evidence == Evidence::default() {
            self.strata.remove(at);
        }
    }

    fn change_source(&mut self, source: NameId, by: &Told, add: bool) {
        if source == NameId::NONE {
            return;
        }
        let Some(at) = place(&mut self.sources, source, add) else { return };
        self.sources[at].1.change(by, add);
        if self.sources[at].1 == Told::default() {
            self.sources.remove(at);
        }
    }
}

/// Where `key` stands in a list that rises by key; `None`: nowhere, and it is not to be added.
fn place<K: Ord + Copy, V: Default>(list: &mut Vec<(K, V)>, key: K, add: bool) -> Option<usize> {
    match list.binary_search_by_key(&key, |entry| entry.0) {
        Ok(at) => Some(at),
        Err(at) if add => {
            list.insert(at, (key, V::default()));
            Some(at)
        }
        Err(_) => None,
    }
}

/// What one outcome teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// The call.
    pub call: CallNo,
    /// When its outcome counts.
    pub at: UnixMillis,
    /// Outcomes the task type has taught before it, over all its candidates.
    pub number: u64,
    /// The reward in millionths, 0 to 1,000,000.
    pub reward_micro: u32,
    /// The 0/1 verdict.
    pub success: bool,
    /// The stratum of the call.
    pub stratum: Stratum,
    /// Who told its outcome.
    pub source: NameId,
}

/// How a task type forgets. Nothing of it changes what is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    /// Evidence of this age in milliseconds counts half; 0: it does not age.
    pub half_life_ms: i64,
    /// Evidence this many outcomes of the task type ago counts half; 0: it does not age.
    pub half_life_outcomes: u64,
    /// The newest outcomes of a candidate that count at all; 0: all.
    pub evidence_cap: u64,
}

impl Memory {
    /// Whether nothing is ever forgotten.
    #[must_use]
    pub fn is_perfect(&self) -> bool {
        *self == Self::default()
    }

    /// Until when, and until which number of outcomes, what was weighed at `now` and `lessons` holds: a 256th of a
    /// half-life, within which no weight changes by more than 0.3 %.
    #[must_use]
    pub fn fresh_until(&self, now: UnixMillis, lessons: u64) -> (UnixMillis, u64) {
        let time = if self.half_life_ms > 0 { now.0 + (self.half_life_ms / 256).max(1) } else { i64::MAX };
        let outcomes =
            if self.half_life_outcomes > 0 { lessons + (self.half_life_outcomes / 256).max(1) } else { u64::MAX };
        (UnixMillis(time), outcomes)
    }

    /// 2^(−age / half-life), for both ages; 1 where nothing ages.
    fn weight(&self, age_ms: i64, age_outcomes: u64) -> f64 {
        let halvings = |age: f64, half: f64| if half > 0.0 { age.max(0.0) / half } else { 0.0 };
        let by_time = halvings(age_ms as f64, self.half_life_ms as f64);
        (-by_time - halvings(age_outcomes as f64, self.half_life_outcomes as f64)).exp2()
    }
}

/// The call with the highest number so far, and when its outcome came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    /// The call.
    pub call: CallNo,
    /// When its outcome counts.
    pub at: UnixMillis,
    /// Outcomes the task type had taught before it.
    pub lesson: u64,
}

/// Blocks, oldest first; at most some fifty for a million outcomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    blocks: Vec<Block>,
    newest: Newest,
}

impl History {
    /// A history as stored; `None` where blocks, or strata or sources of a block, are not in order.
    #[must_use]
    pub fn restored(blocks: Vec<Block>, newest: Newest) -> Option<Self> {
        let in_order = blocks.windows(2).all(|pair| pair[0].from < pair[1].from)
            && blocks.iter().all(|b| b.strata.windows(2).all(|pair| pair[0].0 < pair[1].0))
            && blocks.iter().all(|b| b.sources.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let ends = blocks.last().is_none_or(|last| last.from <= newest.call);
        (in_order && ends).then_some(Self { blocks, newest })
    }

    /// The blocks, oldest first.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The call with the highest number.
    #[must_use]
    pub fn newest(&self) -> Newest {
        self.newest
    }

    /// All blocks as one.
    #[must_use]
    pub fn total(&self) -> Block {
        let mut total = Block::default();
        self.blocks.iter().for_each(|b| total.join(b));
        total
    }

    /// Σ w·S and Σ w·F of the rewards: the outcomes of a block count as if they had come evenly, and only the newest
    /// `evidence_cap` outcomes count. `lessons`: outcomes the task type has taught by `now`.
    #[must_use]
    pub fn weighed(&self, memory: &Memory, now: UnixMillis, lessons: u64) -> (f64, f64) {
        let (mut won, mut lost) = (0.0, 0.0);
        self.weigh(memory, now, lessons, |block, weight| {
            won += weight * mass(block.evidence.successes_micro);
            lost += weight * mass(block.evidence.failures_micro);
        });
        (won, lost)
    }

    /// The same for each group of `trust`, in its order.
    #[must_use]
    pub fn weighed_groups(&self, trust: &Trust, memory: &Memory, now: UnixMillis, lessons: u64) -> Vec<(f64, f64)> {
        if memory.is_perfect() {
            // Integers, so that it does not matter how outcomes fell into blocks.
            let of = |told: Told| (mass(told.evidence.successes_micro), mass(told.evidence.failures_micro));
            return self.total().by_group(trust).into_iter().map(of).collect();
        }
        let mut sums = vec![(0.0, 0.0); trust.groups().count()];
        self.weigh(memory, now, lessons, |block, weight| {
            for (sum, told) in sums.iter_mut().zip(block.by_group(trust)) {
                sum.0 += weight * mass(told.evidence.successes_micro);
                sum.1 += weight * mass(told.evidence.failures_micro);
            }
        });
        sums
    }

    /// The same for each stratum by itself, rising by stratum; of what was won and lost in a block counts as much as `believed`
    /// says.
    #[must_use]
    pub fn weighed_strata(
        &self,
        memory: &Memory,
        now: UnixMillis,
        lessons: u64,
        believed: impl Fn(&Block) -> (f64, f64),
    ) -> Vec<(Stratum, (f64, f64))> {
        let mut sums: Vec<(Stratum, (f64, f64))> = Vec::new();
        self.weigh(memory, now, lessons, |block, weight| {
            let (won, lost) = if block.strata.is_empty() { (1.0, 1.0) } else { believed(block) };
            for (stratum, evidence) in &block.strata {
                let at = sums.binary_search_by_key(stratum, |s| s.0).unwrap_or_else(|at| {
                    sums.insert(at, (*stratum, (0.0, 0.0)));
                    at
                });
                sums[at].1.0 += weight * won * mass(evidence.successes_micro);
                sums[at].1.1 += weight * lost * mass(evidence.failures_micro);
            }
        });
        sums
    }

    /// The history as changes are looked for in it: of every block what those told whose share is not limited, by their weights
    /// (see [`Trust::for_changes`]). Within a block sources count as spread evenly over strata.
    #[must_use]
    pub fn for_changes(&self, trust: &Trust) -> Cow<'_, Self> {
        if trust.is_blind() {
            return Cow::Borrowed(self);
        }
        let part =
            |micro: u64, kept: u64, all: u64| (u128::from(micro) * u128::from(kept) / u128::from(all.max(1))) as u64;
        let believed = |block: &Block| {
            let mut kept = Block { from: block.from, since: block.since, lesson: block.lesson, ..Block::default() };
            for (told, weight) in block.by_group(trust).into_iter().zip(trust.for_changes()).filter(|(_, w)| *w > 0) {
                let by = |micro| part(micro, weight.into(), 1_000_000);
                kept.evidence.successes_micro += by(told.evidence.successes_micro);
                kept.evidence.failures_micro += by(told.evidence.failures_micro);
                kept.successes += told.successes;
                kept.failures += told.failures;
            }
            let (now, all) = (kept.evidence, block.evidence);
            let of_stratum = |(stratum, of): &(Stratum, Evidence)| {
                let successes_micro = part(of.successes_micro, now.successes_micro, all.successes_micro);
                let failures_micro = part(of.failures_micro, now.failures_micro, all.failures_micro);
                (*stratum, Evidence { successes_micro, failures_micro })
            };
            kept.strata = block.strata.iter().map(of_stratum).collect();
            kept
        };
        Cow::Owned(Self { blocks: self.blocks.iter().map(believed).collect(), newest: self.newest })
    }

    /// Hands over every block with its weight, newest first.
    fn weigh(&self, memory: &Memory, now: UnixMillis, lessons: u64, mut take: impl FnMut(&Block, f64)) {
        if memory.is_perfect() {
            self.blocks.iter().rev().for_each(|block| take(block, 1.0));
            return;
        }
        let mut room = if memory.evidence_cap == 0 { f64::INFINITY } else { memory.evidence_cap as f64 };
        let weight = |at: UnixMillis, lesson| memory.weight(now.0.saturating_sub(at.0), lessons.saturating_sub(lesson));
        let mut later = weight(self.newest.at, self.newest.lesson);
        for block in self.blocks.iter().rev() {
            let earlier = weight(block.since, block.lesson).min(later);
            let outcomes = mass(block.evidence.successes_micro) + mass(block.evidence.failures_micro);
            let share = if outcomes > room { room / outcomes } else { 1.0 };
            room -= outcomes * share;
            take(block, share * mean_weight(earlier, later));
            later = earlier;
        }
    }

    /// Adds or takes away what `lesson` teaches.
    pub fn change(&mut self, lesson: &Lesson, add: bool) {
        let in_order = lesson.call > self.newest.call;
        if add && in_order {
            if self.blocks.last().is_none_or(|last| last.outcomes() >= BLOCK) {
                self.open(lesson);
            }
            // Calls age in their order: one that is dated back makes nothing before it older.
            let at = lesson.at.max(self.newest.at);
            self.newest = Newest { call: lesson.call, at, lesson: lesson.number };
        }
        let at = match self.blocks.last() {
            Some(last) if lesson.call >= last.from => self.blocks.len(),
            _ => self.blocks.partition_point(|b| b.from <= lesson.call),
        };
        let Some(block) = self.blocks.get_mut(at.saturating_sub(1)) else { return };
        if at <= 1 && add && !in_order {
            // It takes what comes from before its first outcome, too.
            block.since = block.since.min(lesson.at);
        }
        let reward = u64::from(lesson.reward_micro);
        let evidence = Evidence { successes_micro: reward, failures_micro: 1_000_000 - reward };
        step(&mut block.evidence.successes_micro, evidence.successes_micro, add);
        step(&mut block.evidence.failures_micro, evidence.failures_micro, add);
        block.change_stratum(lesson.stratum, evidence, add);
        step(if lesson.success { &mut block.successes } else { &mut block.failures }, 1, add);
        let [successes, failures] = [lesson.success, !lesson.success].map(u64::from);
        block.change_source(lesson.source, &Told { evidence, successes, failures }, add);
    }

    /// Forgets the blocks before the one that begins at `from`; all of them where none does.
    pub fn keep_from(&mut self, from: CallNo) {
        self.blocks.retain(|b| b.from >= from);
        if self.blocks.is_empty() {
            // As it is stored: what comes next is the first there is.
            self.newest = Newest::default();
        }
    }

    fn open(&mut self, lesson: &Lesson) {
        // The first block takes whatever comes late from before it.
        let from = if self.blocks.is_empty() { CallNo(0) } else { lesson.call };
        let since = lesson.at.max(self.newest.at);
        self.blocks.push(Block { from, since, lesson: lesson.number, ..Block::default() });
        let mut newer = BLOCK;
        let mut i = self.blocks.len() - 1;
        while i >= 2 {
            let pair = self.blocks[i - 1].outcomes() + self.blocks[i - 2].outcomes();
            if pair * COARSENESS <= newer {
                let joined = self.blocks.remove(i - 1);
                self.blocks[i - 2].join(&joined);
            } else {
                newer += self.blocks[i - 1].outcomes();
            }
            i -= 1;
        }
    }
}

/// The mean of a weight that falls exponentially from `later` to `earlier`, both in (0, 1]: their logarithmic mean.
fn mean_weight(earlier: f64, later: f64) -> f64 {
    let ratio = later / earlier;
    match earlier {
        0.0 => 0.0,
        _ if ratio < 1.0 + 1e-9 => later,
        _ => (later - earlier) / ratio.ln(),
    }
}

fn mass(micro: u64) -> f64 {
    micro as f64 / 1e6
}

/// Counts up or down, never below 0.
pub(super) fn step(counter: &mut u64, by: u64, add: bool) {
    *counter = if add { counter.saturating_add(by) } else { counter.saturating_sub(by) };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of no stratum, or of one of two.
    fn lesson(call: u64, success: bool) -> Lesson {
        let (reward_micro, stratum) = (if success { 1_000_000 } else { 0 }, Stratum((call % 3) as u32));
        let source = NameId((call % 4) as u32);
        Lesson { call: CallNo(call), at: UnixMillis(call as i64), number: call, reward_micro, success, stratum, source }
    }

    #[test]
    fn a_million_outcomes_need_few_blocks_and_the_newest_stay_fine() {
        let mut history = History::default();
        for call in 1..=1_000_000 {
            history.change(&lesson(call, call % 3 == 0), true);
        }
        let blocks = history.blocks();
        assert!(blocks.len() < 80, "{} blocks", blocks.len());
        assert!(blocks.iter().rev().take(4).all(|b| b.outcomes() == BLOCK), "{:?}", &blocks[blocks.len() - 4..]);
        let mut newer = 0;
        for block in blocks.iter().rev() {
            assert!(block.outcomes() * 2 <= newer.max(2 * BLOCK), "{block:?} with {newer} after it");
            newer += block.outcomes();
        }
        assert_eq!(history.total().outcomes(), 1_000_000);
        assert_eq!(history.total().successes, 333_333);
    }

    #[test]
    fn old_evidence_halves_by_outcomes_by_time_and_ends_at_the_cap() {
        let mut history = History::default();
        (0..1_000).for_each(|call| history.change(&lesson(call + 1, true), true));
        let weighed = |memory, now, lessons| history.weighed(&memory, UnixMillis(now), lessons).0;
        let by_outcomes = Memory { half_life_outcomes: 100, ..Memory::default() };
        // Σ 2^(−age/100) over ages 0 to 1,000: 100/ln 2 · (1 − 2^−10) = 144.1.
        assert!((weighed(by_outcomes, 1_000, 1_001) - 144.1).abs() < 2.0, "{}", weighed(by_outcomes, 1_000, 1_001));
        let ratio = weighed(by_outcomes, 1_000, 1_301) / weighed(by_outcomes, 1_000, 1_001);
        assert!((ratio - 0.125).abs() < 0.01, "{ratio}");
        // A millisecond an outcome: the same by time.
        let by_time = Memory { half_life_ms: 100, ..Memory::default() };
        assert!((weighed(by_time, 1_001, 0) - weighed(by_outcomes, 0, 1_000)).abs() < 1.5);
        let capped = Memory { evidence_cap: 137, ..Memory::default() };
        assert!((weighed(capped, 1_000, 1_000) - 137.0).abs() < 1e-9);
        assert_eq!(weighed(Memory::default(), 1_000, 1_000), 1_000.0);
    }

    #[test]
    fn forgetting_keeps_whole_blocks_and_what_follows() {
        let mut history = History::default();
        (1..=95).for_each(|call| history.change(&lesson(call, true), true));
        let from = history.blocks()[history.blocks().len() - 2].from;
        history.keep_from(from);
        assert_eq!(history.total().outcomes(), 95 - from.0 + 1);
        history.change(&lesson(96, false), true);
        assert_eq!(history.total().failures, 1);
        history.keep_from(CallNo(1_000));
        assert!(history.blocks().is_empty());
        history.change(&lesson(1_001, true), true);
        assert_eq!(history.total().successes, 1);
    }

    proptest! {
        /// Whatever comes late, twice corrected or in another order: each block holds what its calls came to.
        #[test]
        fn late_and_corrected_outcomes_land_in_their_block(
            calls in prop::collection::vec((1u64..400, any::<bool>(), any::<bool>()), 1..400),
        ) {
            let mut history = History::default();
            let mut truth = std::collections::BTreeMap::new();
            for (call, success, corrected) in calls {
                if let Some(old) = truth.insert(call, success) {
                    history.change(&lesson(call, old), false);
                }
                history.change(&lesson(call, success), true);
                if corrected {
                    history.change(&lesson(call, success), false);
                    history.change(&lesson(call, !success), true);
                    truth.insert(call, !success);
                }
            }
            let ends: Vec<u64> = history.blocks().iter().skip(1).map(|b| b.from.0).chain([u64::MAX]).collect();
            for (block, end) in history.blocks().iter().zip(ends) {
                let own = || truth.range(block.from.0..end);
                prop_assert_eq!(block.successes, own().filter(|(_, s)| **s).count() as u64);
                prop_assert_eq!(block.failures, own().filter(|(_, s)| !**s).count() as u64);
                prop_assert_eq!(block.evidence.successes_micro, block.successes * 1_000_000);
                let of = |stratum: u64| own().filter(move |(call, _)| *call % 3 == stratum);
                let strata = [1, 2].map(|s| (s, of(s).filter(|(_, won)| **won).count(), of(s).filter(|(_, won)| !**won).count()));
                let expected: Vec<_> = strata.into_iter().filter(|s| s.1 + s.2 > 0).map(|(s, won, lost)| {
                    let [successes_micro, failures_micro] = [won, lost].map(|n| n as u64 * 1_000_000);
                    (Stratum(s as u32), Evidence { successes_micro, failures_micro })
                }).collect();
                prop_assert_eq!(&block.strata, &expected);
                let told = |source: u64| {
                    let of = |won: bool| own().filter(|(call, s)| *call % 4 == source && **s == won).count() as u64;
                    let [successes, failures] = [of(true), of(false)];
                    let [successes_micro, failures_micro] = [successes, failures].map(|n| n * 1_000_000);
                    (NameId(source as u32), Told { evidence: Evidence { successes_micro, failures_micro }, successes, failures })
                };
                let expected: Vec<_> = (1..4).map(told).filter(|(_, told)| told.outcomes() > 0).collect();
                prop_assert_eq!(&block.sources, &expected);
            }
        }
    }
}

#[cfg(test)]
#[path = "history_order_tests.rs"]
mod order_tests;
