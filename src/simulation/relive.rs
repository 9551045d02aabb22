//! A record lived through again: every decision is decided anew, in its order and at its time, by the router's own learner, which
//! is told what came of a call only where it chose the model that really served it. What that would have brought is estimated
//! from those choices, each weighted by the inverse of the chance the daemon had of making it.
//!
//! The learner sees matched outcomes only, so it learns more slowly than a daemon would that is told of every call (Li, Chu,
//! Langford and Wang 2011, "Unbiased offline evaluation of contextual-bandit-based news article recommendation algorithms").
//! Who could be chosen, and what each was expected to cost, is as it was then. It refuses to know files and how figures are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::learner::Learner;
use super::logged::{Choice, ChosenBy, Log, LoggedDraw, LoggedTask, Moment};
use super::runner::replicate;
use crate::domain::catalog::{Catalog, Prior, Task, TaskSettings};
use crate::domain::draw::decision_rng;
use crate::domain::names::NameId;
use crate::domain::policy::{Contest, Policy, heir};
use crate::domain::time::UnixMillis;
use crate::domain::trust::Trust;
use crate::insights::{Evaluation, LeftOut, Sample, SelfNormalised, evaluate, self_normalised};

/// Draws whose chances are computed at once.
const CHUNK: usize = 256;

/// Who decides.
#[derive(Clone, Debug, PartialEq)]
pub enum Decider {
    /// The router, learning anew, by the settings of its task types; with another tolerance where one is given.
    Router {
        /// ε in [0, 1].
        tolerance: Option<f64>,
    },
    /// A policy that learns nothing: its chances at every draw are known.
    Fixed(Policy),
}

impl Decider {
    /// The one of that name; `None`: there is none.
    ///
    /// `default` and `shipped`: the router with the task types' own settings; `tolerance=X`: with that tolerance;
    /// `always=MODEL`, `cheapest`, `uniform`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name.split_once('=') {
            Some(("tolerance", text)) => {
                let tolerance = text.parse().ok().filter(|t| (0.0..=1.0).contains(t))?;
                Some(Self::Router { tolerance: Some(tolerance) })
            }
            Some(("always", model)) if !model.is_empty() => Some(Self::Fixed(Policy::Only(vec![model.to_owned()]))),
            Some(_) => None,
            None => match name {
                "default" | "shipped" => Some(Self::Router { tolerance: None }),
                "cheapest" => Some(Self::Fixed(Policy::Cheapest)),
                "uniform" => Some(Self::Fixed(Policy::Uniform)),
                _ => None,
            },
        }
    }
}

/// What a policy would have brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Relived {
    /// Draws it rests on.
    pub draws: u64,
    /// Calls that share them.
    pub calls: u64,
    /// Draws left out because none of the models that the policy names was on offer.
    pub not_on_offer: u64,
    /// Mean share of these draws, in [0, 1], in which the policy chose the model that served; `None` without draws.
    pub matched: Option<f64>,
    /// The estimates by weights alone.
    pub weighted: SelfNormalised,
    /// The same over the last fifth of the draws, when most is learned.
    pub last_fifth: SelfNormalised,
    /// The doubly robust ones, as the daemon itself answers what-if questions, and what really happened in the same draws.
    pub robust: Evaluation,
}

/// A record with the daemon's chances at every draw that counts.
#[derive(Debug)]
pub struct Relive<'l> {
    log: &'l Log,
    /// By draw: who competed, and the chances; `None`: it does not count.
    contests: Vec<Option<(Contest, Vec<f64>)>>,
}

impl<'l> Relive<'l> {
    /// Computes the daemon's chances from the posteriors on record.
    #[must_use]
    pub fn new(log: &'l Log) -> Self {
        let chunks: Vec<&[LoggedDraw]> = log.draws.chunks(CHUNK).collect();
        let all = log.tasks.iter().flat_map(|task| &task.models);
        let names: BTreeMap<NameId, &str> = all.map(|(id, name)| (*id, name.as_str())).collect();
        let contests = replicate(chunks.len(), |chunk| contests(chunks[chunk], &names), || ()).concat();
        Self { log, contests }
    }

    /// Of the draws only those of that task type count; routers live through the others all the same. `None`: there is no such one.
    #[must_use]
    pub fn at(mut self, task: &str) -> Option<Self> {
        let id = self.log.tasks.iter().find(|of| of.name == task)?.id;
        let others = self.contests.iter_mut().zip(&self.log.draws).filter(|(_, of)| of.draw.task != id);
        others.for_each(|(contest, _)| *contest = None);
        Some(self)
    }

    /// Every model that competed in a draw that counts, by name.
    #[must_use]
    pub fn models(&self) -> BTreeSet<&'l str> {
        let counted = self.log.choices.iter().filter(|choice| match choice.by {
            ChosenBy::Draw(draw) => self.contests[draw].is_some(),
            _ => false,
        });
        let models = |choice: &'l Choice| {
            let of = &self.log.tasks[choice.task].models;
            choice.offered.iter().map(|(arm, _)| of[*arm].1.as_str())
        };
        counted.flat_map(models).collect()
    }

    /// Whether every model that `decider` names is in the record.
    #[must_use]
    pub fn knows(&self, decider: &Decider) -> bool {
        match decider {
            Decider::Fixed(policy @ Policy::Only(_)) => !self.named(policy).is_empty(),
            _ => true,
        }
    }

    /// What really happened in the draws that count: the daemon's own chances of each, so that all weigh the same.
    #[must_use]
    pub fn observed(&self) -> Relived {
        self.relived(|_, (_, chances)| Some(chances.clone()))
    }

    /// What `decider` would have brought. A router lives through the record `repetitions` times with other draws; by the settings
    /// of `given`, else by those on record. `done` is called after each repetition. The same `seed` gives the same figures.
    #[must_use]
    pub fn decide(
        &self,
        decider: &Decider,
        given: Option<&Arc<Catalog>>,
        repetitions: usize,
        seed: u64,
        done: impl Fn() + Sync,
    ) -> Relived {
        match decider {
            Decider::Router { tolerance } => {
                let live = |repetition: usize| self.live(*tolerance, given, seed, repetition as u64).chosen;
                let lives = replicate(repetitions, live, done);
                let share = 1.0 / repetitions.max(1) as f64;
                self.relived(|draw, (contest, _)| {
                    let mut shares = vec![0.0; contest.arms.len()];
                    lives.iter().for_each(|chosen| shares[usize::from(chosen[draw])] += share);
                    Some(shares)
                })
            }
            Decider::Fixed(policy) => {
                let named = self.named(policy);
                self.relived(|draw, (contest, _)| {
                    let competitors = &self.log.draws[draw].draw.competitors;
                    contest.under(policy, |place| named.contains(&competitors[place].candidate))
                })
            }
        }
    }

    fn relived(&self, wanted: impl Fn(usize, &(Contest, Vec<f64>)) -> Option<Vec<f64>>) -> Relived {
        let (samples, not_on_offer) = self.samples(wanted);
        let followed = |s: &Sample| s.wanted.iter().find(|(id, _)| *id == s.taken).map_or(0.0, |(_, chance)| *chance);
        let matched: f64 = samples.iter().map(followed).sum();
        let robust = evaluate(&samples);
        let mut weighted = self_normalised(&samples);
        if samples.is_empty() {
            weighted.refused = Some(LeftOut { not_on_offer, ..self.log.left_out }.sentence_of_a_record());
        }
        Relived {
            draws: robust.draws,
            calls: robust.calls,
            not_on_offer,
            matched: (!samples.is_empty()).then(|| matched / samples.len() as f64),
            weighted,
            last_fifth: self_normalised(&samples[samples.len() - samples.len() / 5..]),
            robust,
        }
    }

    /// The draws that count as estimators take them, and how many of them a policy has nothing to say of.
    fn samples(&self, wanted: impl Fn(usize, &(Contest, Vec<f64>)) -> Option<Vec<f64>>) -> (Vec<Sample>, u64) {
        let (mut found, mut not_on_offer) = (Vec::new(), 0);
        for (place, contest) in self.contests.iter().enumerate() {
            let Some(contest) = contest else { continue };
            let LoggedDraw { draw, told, .. } = &self.log.draws[place];
            match wanted(place, contest) {
                Some(wanted) => found.extend(draw.sample(&contest.1, &wanted, told)),
                None => not_on_offer += 1,
            }
        }
        (found, not_on_offer)
    }

    /// Numbers of the candidates that a policy names, by their own name or by one the catalogue has for their model.
    fn named(&self, policy: &Policy) -> BTreeSet<NameId> {
        let Policy::Only(models) = policy else { return BTreeSet::new() };
        let known = |model: &String| self.log.catalogs.last()?.resolve(model).ok()?.map(|(of, _)| of.id.to_string());
        let meant: Vec<String> =
            models.iter().chain(&models.iter().filter_map(known).collect::<Vec<_>>()).cloned().collect();
        let is = |text: &str| {
            let stem = text.split('#').next().unwrap_or(text);
            meant.iter().any(|model| model == text || model == stem)
        };
        let all = self.log.tasks.iter().flat_map(|task| &task.models);
        all.filter(|(_, text)| is(text)).map(|(id, _)| *id).collect()
    }

    /// One life.
    fn live(&self, tolerance: Option<f64>, given: Option<&Arc<Catalog>>, seed: u64, repetition: u64) -> Life<'l> {
        let log = self.log;
        let blank = |task: &LoggedTask| Learner::new(TaskSettings::default(), &vec![None; task.models.len()]);
        let mut life = Life {
            log,
            learners: log.tasks.iter().map(blank).collect(),
            decided_by: vec![None; log.tasks.len()],
            known: vec![false; log.choices.len()],
            chosen: vec![0; log.draws.len()],
            seed: seed ^ repetition.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        };
        if let Some(catalog) = given {
            life.go_by(catalog, tolerance);
        }
        for (at, moment) in &log.moments {
            match moment {
                Moment::Catalog(place) if given.is_none() => life.go_by(&log.catalogs[*place], tolerance),
                Moment::Catalog(_) => {}
                Moment::Chosen(place) => life.known[*place] = life.choose(&log.choices[*place], *at),
                Moment::Taught { of, task, arm, lesson, add } => {
                    if of.is_none_or(|of| life.known[of]) {
                        life.learners[*task].teach(*arm, lesson, *add);
                    }
                }
                Moment::Forgot { task, arm, from } => {
                    let all = 0..log.tasks[*task].models.len();
                    let these = all.filter(|place| arm.is_none_or(|arm| arm == *place));
                    these.for_each(|place| life.learners[*task].forget(place, *from, *at));
                }
            }
        }
        life
    }
}

/// The daemon's chances of a run of draws; while nothing is learned in between, the same contest is decided again and again.
fn contests(draws: &[LoggedDraw], names: &BTreeMap<NameId, &str>) -> Vec<Option<(Contest, Vec<f64>)>> {
    let mut found: Vec<Option<(Contest, Vec<f64>)>> = Vec::with_capacity(draws.len());
    let mut last: Option<(Contest, Vec<f64>)> = None;
    for of in draws {
        let Some(task) = of.decided_by.as_ref().filter(|_| of.counts()) else {
            found.push(None);
            continue;
        };
        let contest = of.draw.contest(&task.settings, |id| names.get(&id).copied());
        let chances = match last.take() {
            Some((same, chances)) if same == contest => chances,
            _ => contest.propensities(),
        };
        last = Some((contest, chances));
        found.push(last.clone());
    }
    found
}

/// A router that lives through a record.
struct Life<'l> {
    log: &'l Log,
    learners: Vec<Learner>,
    /// By task type, what it is decided by.
    decided_by: Vec<Option<Arc<Task>>>,
    /// By choice, whether what came of it is known to this router.
    known: Vec<bool>,
    /// By draw, the place of the one chosen.
    chosen: Vec<u16>,
    seed: u64,
}

impl Life<'_> {
    fn go_by(&mut self, catalog: &Arc<Catalog>, tolerance: Option<f64>) {
        for (place, of) in self.log.tasks.iter().enumerate() {
            let Some(task) = catalog.task(&of.name).or(catalog.default_task()) else { continue };
            let mut settings = task.settings.clone();
            settings.tolerance = tolerance.unwrap_or(settings.tolerance);
            let priors = of.models.iter().map(|(_, model)| prior(task, model)).collect();
            let trust = Trust::new(&settings.sources, |name| self.log.sources.get(name).copied());
            self.learners[place].go_by(settings, priors, trust);
            self.decided_by[place] = Some(task.clone());
        }
    }

    /// Chooses, and says whether what came of the call becomes known.
    fn choose(&mut self, choice: &Choice, at: UnixMillis) -> bool {
        match choice.by {
            ChosenBy::Given => true,
            ChosenBy::Unknown => false,
            ChosenBy::Kept(first) => self.known[first],
            ChosenBy::Mean => {
                self.learn_from_siblings(choice);
                let arm = self.learners[choice.task].decide_by_mean(at, choice.stratum, |arm| choice.offer(arm));
                arm.is_some() && arm == choice.taken.map(|place| choice.offered[place].0)
            }
            ChosenBy::Draw(draw) => {
                self.learn_from_siblings(choice);
                let place = self.draw(choice, draw, at);
                self.chosen[draw] = place.and_then(|place| u16::try_from(place).ok()).unwrap_or_default();
                place.is_some() && place == choice.taken
            }
        }
    }

    fn draw(&mut self, choice: &Choice, draw: usize, at: UnixMillis) -> Option<usize> {
        let of = &self.log.draws[draw].draw;
        let mut rng = decision_rng(self.seed, of.number.0);
        let offer = |arm| choice.offer(arm);
        let arm = self.learners[choice.task].decide_at(at, choice.stratum, &mut rng, offer)?;
        let place = choice.offered.iter().position(|(offered, _)| *offered == arm)?;
        let fits = !of.unfit.contains(&place);
        if fits { Some(place) } else { heir(&of.unfit, choice.offered.len()).or(Some(place)) }
    }

    /// Brings the priors of those on offer up to date with what they did at other task types, where that counts.
    fn learn_from_siblings(&mut self, choice: &Choice) {
        let Some(task) = self.decided_by[choice.task].clone().filter(|task| task.settings.sibling_prior > 0) else {
            return;
        };
        for (arm, _) in &choice.offered {
            let (id, model) = &self.log.tasks[choice.task].models[*arm];
            let others = (0..self.learners.len()).filter(|other| *other != choice.task);
            let cells = others.filter_map(|other| {
                let place = self.log.tasks[other].models.iter().position(|(theirs, _)| theirs == id)?;
                Some(self.learners[other].cell(place))
            });
            let prior = self.learners[choice.task].prior_beside(prior(&task, model), cells);
            self.learners[choice.task].set_prior(*arm, prior);
        }
    }
}

/// What the catalogue says a candidate starts from.
fn prior(task: &Task, model: &str) -> Prior {
    task.candidates.iter().find(|c| *c.id == *model).and_then(|c| c.prior).unwrap_or(task.settings.prior)
}

#[cfg(test)]
#[path = "relive_tests.rs"]
mod tests;
