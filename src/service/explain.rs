//! From what was decided to what the caller reads: the served candidate, the sentence, and, where asked for, every
//! candidate with its interval and propensity. Computed outside the lock.

use std::sync::Arc;

use super::goal_reply::Exhaustion;
use super::reply::{CandidateReply, INTERVAL_LEVEL, PolicyReply};
use crate::config::suggestion;
use crate::domain::beta::{Beta, BetaGrid};
use crate::domain::call::{Arm, Selection};
use crate::domain::catalog::{Task, TaskCandidate};
use crate::domain::choose::{Contender, choose};
use crate::domain::event::{Decided, PolicyVerdict};
use crate::domain::filter::Exclusion;
use crate::domain::money::NanoUsd;
use crate::domain::policy::propensities_by_rule;
use crate::domain::propensity::with_floor;
use crate::domain::request::PolicyRequest;
use crate::domain::strata::Feature;
use crate::engine::{PolicyAnswer, SeatView};

/// The reply to a fresh decision.
pub(super) fn reply(answer: &PolicyAnswer, catalog_version: String, request: &PolicyRequest) -> PolicyReply {
    let decided = &answer.decided;
    let candidates = &answer.task.candidates;
    let served = answer.served.map(|i| candidates[i].clone());
    let costs = decided.fallbacks.iter().map(|f| f.1);
    let fallbacks = answer.fallbacks.iter().map(|i| candidates[*i].clone()).zip(costs).collect();
    let excluded: Vec<(&str, Exclusion)> = if served.is_none() { exclusions(answer) } else { Vec::new() };
    let advised = answer.advised.map(|i| candidates[i].id.clone());
    let mut reply = assemble(decided, served, fallbacks, catalog_version, &excluded, advised);
    if answer.undeclared {
        reply.warnings.push(format!(
            "task type `{}` is not declared in the catalogue; it learns on its own with the settings of `{}`",
            request.task_type, answer.task.id
        ));
    }
    reply.warnings.extend(unknown_features(&answer.task, request));
    if request.explain {
        explain(&mut reply, answer, request);
    }
    if request.dry_run {
        reply.expires_at = None;
    }
    reply
}

/// What to put right where numbers are sent under names that the task type tells nothing apart by: they are stored and teach
/// nothing. Where it has no such features at all they may be meant to be stored only.
fn unknown_features(task: &Task, request: &PolicyRequest) -> Option<String> {
    let sent = &request.asked.features;
    if sent.is_empty() {
        return None;
    }
    let declared = task.settings.strata.features().iter();
    let declared: Vec<&str> = declared.filter(|f| matches!(f, Feature::Number { .. })).map(Feature::name).collect();
    let unknown: Vec<&str> = sent.keys().map(String::as_str).filter(|name| !declared.contains(name)).collect();
    let first = unknown.first().filter(|_| !declared.is_empty())?;
    let names = unknown.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let near = suggestion(first, &declared).unwrap_or_default();
    Some(format!(
        "task type `{}` declares no feature {names}: stored, but nothing is told apart by it; {near}",
        task.id
    ))
}

fn exclusions(answer: &PolicyAnswer) -> Vec<(&str, Exclusion)> {
    let ids = answer.task.candidates.iter().map(|c| &*c.id);
    // Where nothing may be served every candidate has its exclusion, in catalogue order.
    ids.zip(answer.decided.exclusions.iter().map(|e| e.1)).collect()
}

/// The reply that a decision stands for, whether made now or read back.
pub(super) fn assemble(
    decided: &Decided,
    served: Option<TaskCandidate>,
    fallbacks: Vec<(TaskCandidate, Option<NanoUsd>)>,
    catalog_version: String,
    excluded: &[(&str, Exclusion)],
    router_choice: Option<Arc<str>>,
) -> PolicyReply {
    let is_served = served.is_some();
    PolicyReply {
        decision_id: None,
        verdict: decided.verdict,
        max_output_tokens: decided.max_output_tokens,
        reason: sentence(decided, served.as_ref(), excluded),
        served,
        fallbacks,
        arm: is_served.then_some(decided.traits.arm),
        router_choice,
        estimate: decided.estimate,
        estimate_source: is_served.then_some(decided.estimate_source),
        expires_at: is_served.then_some(decided.expires_at),
        catalog_version,
        stratum: None,
        candidates: Vec::new(),
        blocked_by_cost: Vec::new(),
        warnings: Vec::new(),
        budgets: Vec::new(),
        exhaustion: decided.exhausted.as_deref().map(Exhaustion::from),
    }
}

/// Why this model, or why none, in one sentence; a second one says what let it through where a budget is used up.
fn sentence(decided: &Decided, served: Option<&TaskCandidate>, excluded: &[(&str, Exclusion)]) -> String {
    let why = chosen(decided, served, excluded);
    if served.is_some() && !decided.reason.is_empty() { format!("{why} {}", decided.reason) } else { why }
}

fn chosen(decided: &Decided, served: Option<&TaskCandidate>, excluded: &[(&str, Exclusion)]) -> String {
    let budget = decided.exhausted.as_ref();
    let Some(served) = served else {
        if let Some(budget) = budget {
            return format!("Budget {} covers no eligible candidate. {}", budget.budget, budget.message);
        }
        if decided.verdict != PolicyVerdict::Block || !decided.reason.is_empty() {
            return decided.reason.clone();
        }
        let each: Vec<String> = excluded.iter().map(|(id, why)| format!("{id} ({})", why.as_str())).collect();
        return format!("No candidate is eligible: {}.", each.join(", "));
    };
    let (id, of) = (&served.id, decided.competitors.len());
    match (decided.verdict, budget) {
        (PolicyVerdict::Downgrade, Some(budget)) => {
            return format!("{id}: the cheapest eligible candidate that budget {} still covers.", budget.budget);
        }
        (PolicyVerdict::AllowWithWarning, Some(budget)) => {
            return format!("{id}, although budget {} does not cover it; that budget only warns.", budget.budget);
        }
        _ => {}
    }
    match decided.traits.arm {
        Arm::Pinned => return format!("{id}: the request leaves only this model."),
        Arm::Holdout if decided.advised.is_some() => {
            return format!("{id}: held out at random, to measure what the router saves.");
        }
        Arm::Observe => return format!("{id}: the router only observes here."),
        _ => {}
    }
    match decided.traits.selection {
        Selection::Draw if of == 1 => format!("{id} is the only candidate."),
        Selection::Draw => format!("{id}: chosen by its draw among {of} eligible candidates."),
        Selection::Floor => format!("{id}: a random one of {of} eligible candidates, to keep learning."),
        Selection::Irreversible => format!("{id}: the best mean of {of}; an irreversible step tries nothing out."),
        Selection::Constraint => format!("{id} is the only candidate that meets the constraints."),
        Selection::QualityFloor => format!("{id} is the only candidate that meets the quality floor."),
        Selection::Sticky => format!("{id}: kept from an earlier call of this goal."),
    }
}

fn explain(reply: &mut PolicyReply, answer: &PolicyAnswer, request: &PolicyRequest) {
    let propensities = propensities(answer);
    let strata = &answer.task.settings.strata;
    reply.stratum = strata.text(answer.decided.traits.stratum).map(str::to_owned);
    let drawn = !matches!(answer.decided.traits.selection, Selection::Irreversible | Selection::Sticky);
    let seats = answer.task.candidates.iter().zip(&answer.seats).zip(propensities);
    reply.candidates = seats
        .map(|((candidate, seat), propensity)| CandidateReply {
            candidate: candidate.clone(),
            exclusion: seat.exclusion,
            exclusion_detail: seat
                .exclusion
                .map(|why| detail(why, candidate, seat, answer, request))
                .unwrap_or_default(),
            posterior: seat.posterior,
            interval: BetaGrid::new(seat.posterior).interval(INTERVAL_LEVEL),
            draw: drawn.then_some(seat.theta),
            propensity,
            expected: seat.expected,
            shadow: seat.exclusion == Some(Exclusion::Shadow),
        })
        .collect();
    reply.blocked_by_cost = blocked_by_cost(answer);
}

/// Each candidate's chance of being chosen were this request decided again (statistics: choice, 4).
fn propensities(answer: &PolicyAnswer) -> Vec<Option<f64>> {
    let decided = &answer.decided;
    let seats = &answer.seats;
    let eligible: Vec<usize> = (0..seats.len()).filter(|i| seats[*i].exclusion.is_none()).collect();
    // Where an arm serves another model, what is told is what the router would have done.
    let choice = answer.advised.or(answer.served);
    let certain = |i: usize| seats[i].exclusion.is_none().then(|| f64::from(u8::from(Some(i) == choice)));
    if decided.traits.arm == Arm::Pinned || decided.traits.selection == Selection::Sticky {
        return vec![None; seats.len()];
    }
    if eligible.len() <= 1 || decided.irreversible {
        return (0..seats.len()).map(certain).collect();
    }
    let arms: Vec<(Beta, Option<u64>)> =
        eligible.iter().map(|i| (seats[*i].posterior, seats[*i].expected.map(|c| c.0))).collect();
    let pi = with_floor(&propensities_by_rule(&arms, answer.rule), answer.exploration_floor);
    let mut all = vec![None; seats.len()];
    eligible.iter().zip(pi).for_each(|(i, p)| all[*i] = Some(p));
    all
}

/// Candidates that their draw would have chosen, had cost not excluded them.
fn blocked_by_cost(answer: &PolicyAnswer) -> Vec<(Arc<str>, f64, f64)> {
    let Some(chosen) = answer.served.map(|i| answer.seats[i].theta) else { return Vec::new() };
    let contender = |(index, s): (usize, &SeatView)| Contender {
        index,
        theta: s.theta,
        expected_cost_nano: s.expected.map(|c| c.0),
    };
    let mut blocked: Vec<usize> = (0..answer.seats.len())
        .filter(|i| answer.seats[*i].exclusion.is_some_and(Exclusion::is_cost))
        .filter(|i| {
            let with = answer.seats.iter().enumerate().filter(|(j, s)| j == i || s.exclusion.is_none());
            let all: Vec<Contender> = with.map(contender).collect();
            answer.seats[*i].theta > chosen && choose(&all, answer.rule) == Some(*i)
        })
        .collect();
    blocked.sort_by(|a, b| answer.seats[*b].theta.total_cmp(&answer.seats[*a].theta));
    let row =
        |i: usize| (answer.task.candidates[i].id.clone(), answer.seats[i].theta, answer.seats[i].posterior.mean());
    blocked.into_iter().map(row).collect()
}

/// The exclusion by a ceiling, which is compared with the hold; without a price only with the expected cost.
fn over_max_cost(seat: &SeatView, ceiling: Option<NanoUsd>) -> String {
    let money = |amount: Option<NanoUsd>| amount.map_or("unknown".to_owned(), |a| a.to_string());
    let (ceiling_usd, expected) = (money(ceiling), money(seat.expected));
    if seat.hold <= ceiling {
        return format!("The call is expected to cost {expected}, above the ceiling of {ceiling_usd}.");
    }
    format!(
        "The call may cost {} (its hold, by the usage estimate of the request where there is one), above the ceiling of \
         {ceiling_usd}; its expected cost, {expected}, is not what a ceiling is compared with.",
        money(seat.hold)
    )
}

/// An exclusion with its numbers.
fn detail(
    why: Exclusion,
    candidate: &TaskCandidate,
    seat: &SeatView,
    answer: &PolicyAnswer,
    request: &PolicyRequest,
) -> String {
    let asked = &request.asked;
    match why {
        Exclusion::OverMaxCost => {
            over_max_cost(seat, [asked.max_cost, answer.task.settings.max_cost].into_iter().flatten().min())
        }
        Exclusion::PriceUnknown => "Its cost is not known, and a ceiling has to be kept.".to_owned(),
        Exclusion::OverBudget => "A budget does not cover it.".to_owned(),
        Exclusion::ContextTooSmall => match candidate.model.context_tokens {
            Some(tokens) => format!("Its context is {tokens} tokens; the request needs more."),
            None => "Its context limit is not known.".to_owned(),
        },
        Exclusion::CapabilityMissing => {
            let lacks = |c: &&String| !candidate.model.capabilities.contains(*c);
            let missing: Vec<&str> = asked.capabilities.iter().filter(lacks).map(String::as_str).collect();
            format!("It lacks {}.", missing.join(", "))
        }
        Exclusion::NotAllowed => "The request's allowed_models do not list it.".to_owned(),
        Exclusion::Denied => "The request's denied_models list it.".to_owned(),
        Exclusion::Disabled => "It is disabled.".to_owned(),
        Exclusion::Shadow => "It is a shadow: scored, never served.".to_owned(),
        Exclusion::QualityFloor => {
            format!("Its success rate ({:.3} on average) is very probably below the floor.", seat.posterior.mean())
        }
        Exclusion::LatencyCeiling => "Its learned 95th percentile of latency is above the ceiling.".to_owned(),
        Exclusion::TierCeiling => "Its tier is above the ceiling of the goal.".to_owned(),
        Exclusion::RetryDoesNotPay => "A retry with it succeeds too seldom to pay for its price.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::NameId;

    #[test]
    fn a_ceiling_is_told_with_both_figures_and_what_it_is_compared_with() {
        let seat = |hold, expected| SeatView {
            id: NameId(2),
            exclusion: Some(Exclusion::OverMaxCost),
            posterior: Beta::UNIFORM,
            theta: 0.5,
            expected: Some(NanoUsd(expected)),
            hold: Some(NanoUsd(hold)),
        };
        let ceiling = Some(NanoUsd(50_000_000));
        let told = over_max_cost(&seat(2_000_000_000_000, 920_000), ceiling);
        for part in ["may cost $2000", "the ceiling of $0.05;", "expected cost, $0.00092,"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let told = over_max_cost(&seat(50_000_000, 60_000_000), ceiling);
        assert_eq!(told, "The call is expected to cost $0.06, above the ceiling of $0.05.");
    }
}
