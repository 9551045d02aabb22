//! A split as one sentence, and the one thing to do about it. Every number in the text stands in the split or in the
//! sums it was made from.

use std::sync::Arc;

use super::cells::{Calls, Pairs};
use super::split::towards;
use super::{CallKind, Contribution, Driver, Factor, Part, Split, Unit};
use crate::domain::money::NANO_PER_USD;
use crate::insights::sentence::{number, percent, usd};

/// Parts below a twentieth of the change (of all movement, where there is none) are not told.
const TOLD_FROM: i128 = 20;

/// At most so many parts are told that went the way of the change, and one that went against it.
const TOLD_MAX: usize = 3;

/// What changed, by how much, and what drove it.
pub(super) fn answer(subject: &str, split: &Split) -> String {
    let (from, to, change) = (split.before_nano_usd, split.after_nano_usd, split.change_nano_usd);
    let head = match change {
        0 if from == 0 => format!("{subject} was nothing in either window"),
        0 => format!("{subject} did not change ({} in both windows)", dollars(to)),
        _ => {
            let verb = if change > 0 { "rose" } else { "fell" };
            let relative =
                if from > 0 { format!(" ({})", relative(change as f64 / from as f64)) } else { String::new() };
            format!("{subject} {verb} {}{relative} from {} to {}", dollars(change.abs()), dollars(from), dollars(to))
        }
    };
    let clauses = clauses(split);
    if clauses.is_empty() {
        return format!("{head}.");
    }
    let most = most(split).map(|row| {
        let amount = dollars(row.amount_nano_usd);
        format!("; of all tools and models, {} contributed most ({amount})", row.name)
    });
    format!("{head}: {}{}.", clauses.join(", "), most.unwrap_or_default())
}

fn clauses(split: &Split) -> Vec<String> {
    let change = split.change_nano_usd;
    let moved = if change == 0 { split.parts.iter().map(|p| p.amount_nano_usd.abs()).sum() } else { change.abs() };
    let told = |part: &&Part| part.amount_nano_usd != 0 && part.amount_nano_usd.abs() >= moved / TOLD_FROM;
    let mut parts: Vec<&Part> = split.parts.iter().filter(told).collect();
    parts.sort_by_key(|part| -towards(change, part.amount_nano_usd));
    let (along, against): (Vec<&Part>, Vec<&Part>) =
        parts.into_iter().partition(|part| towards(change, part.amount_nano_usd) > 0);
    let clause = |(i, part): (usize, &&Part)| {
        let (what, amount, evidence) = described(split, part);
        let sum = dollars(amount.abs());
        match (change, i) {
            (0, _) if amount > 0 => format!("{what} added {sum}{evidence}"),
            (0, _) => format!("{what} took off {sum}{evidence}"),
            (_, 0) if amount.abs() > change.abs() => format!("{what} drove {sum}{evidence}"),
            (_, 0) => format!("{what} drove {sum} of it{evidence}"),
            _ => format!("{what} {sum}{evidence}"),
        }
    };
    let mut clauses: Vec<String> = along.iter().take(TOLD_MAX).enumerate().map(clause).collect();
    clauses.extend(against.last().map(|part| {
        let (what, amount, evidence) = described(split, part);
        let verb = if amount > 0 { "added" } else { "took off" };
        format!("while {what} {verb} {}{evidence}", dollars(amount.abs()))
    }));
    clauses
}

/// A part's name, amount and evidence. Where one place comes within a twentieth of it, the part is told as that place's,
/// with that place's amount.
fn described(split: &Split, part: &Part) -> (String, i128, String) {
    let amount = part.amount_nano_usd;
    let of_part = |driver: &&Driver| driver.factor == part.factor;
    let Some(main) = split.drivers.iter().filter(of_part).max_by_key(|d| towards(amount, d.amount_nano_usd)) else {
        return (factor_name(part.factor).to_owned(), amount, String::new());
    };
    let (size, whole) = (towards(amount, main.amount_nano_usd), amount.abs());
    let evidence = evidence(main);
    if (19 * whole..=21 * whole).contains(&(20 * size)) {
        let brackets = evidence.map(|text| format!(" ({text})")).unwrap_or_default();
        return (driver_name(main), main.amount_nano_usd, brackets);
    }
    let evidence = evidence.map(|text| format!(": {text}")).unwrap_or_default();
    (factor_name(part.factor).to_owned(), amount, format!(" (foremost {}{evidence})", driver_name(main)))
}

fn factor_name(factor: Factor) -> &'static str {
    match factor {
        Factor::Traffic => "traffic",
        Factor::Failures => "failures",
        Factor::StepMix => "step mix",
        Factor::Retries => "retries",
        Factor::ModelMix => "model mix",
        Factor::Usage => "usage per call",
        Factor::Price => "unit price",
    }
}

fn driver_name(driver: &Driver) -> String {
    let (step, model) = (&driver.step, &driver.model);
    let is_tool = driver.kind == Some(CallKind::Tool);
    match driver.factor {
        Factor::Traffic | Factor::Failures => factor_name(driver.factor).to_owned(),
        Factor::StepMix if driver.before.is_none_or(|x| x == 0.0) => format!("the new step {step}"),
        Factor::StepMix if driver.after.is_none_or(|x| x == 0.0) => format!("the end of {step}"),
        Factor::StepMix => format!("how often {step} is begun"),
        Factor::Retries => format!("{step}'s retries"),
        Factor::ModelMix => format!("{model}'s share of {step}"),
        Factor::Usage if is_tool => format!("{step}'s usage per call"),
        Factor::Usage => format!("{model}'s usage per call in {step}"),
        Factor::Price if is_tool => format!("{step}'s unit price"),
        Factor::Price => format!("{model}'s unit price"),
    }
}

/// The factor before and after; `None` where that is unknown, or where an average went the other way than its parts.
fn evidence(driver: &Driver) -> Option<String> {
    let (before, after) = driver.before.zip(driver.after)?;
    if (after - before) * driver.amount_nano_usd as f64 <= 0.0 {
        return None;
    }
    let dollars = |nano: f64| usd(nano / NANO_PER_USD as f64);
    Some(match driver.unit {
        Unit::Goals => format!("{} → {} goals", number(before), number(after)),
        Unit::FirstAttempts => format!("{} → {} first attempts", number(before), number(after)),
        Unit::GoalsPerAccepted => format!("{before:.2} → {after:.2} goals for each accepted one"),
        Unit::TimesPerGoal => format!("{before:.2} → {after:.2} times a goal"),
        Unit::ShareOfFirstAttempts => format!("{} → {} of first attempts", percent(before), percent(after)),
        Unit::ShareOfCalls if driver.factor == Factor::Retries => {
            format!("{} → {} of its calls", percent(before), percent(after))
        }
        Unit::ShareOfCalls => format!("{} → {} of the calls", percent(before), percent(after)),
        Unit::UnitsPerCall => format!("{before:.2} → {after:.2} units a call"),
        Unit::TokensPerCall => format!("{} → {} tokens a call", number(before), number(after)),
        Unit::NanoUsdPerCall => format!("{} → {} a call", dollars(before), dollars(after)),
        Unit::NanoUsdPerToken => format!("{} → {} a million tokens", dollars(before * 1e6), dollars(after * 1e6)),
    })
}

/// The tool or model that contributed most, where there are several.
fn most(split: &Split) -> Option<&Contribution> {
    let tools = split.by_step.iter().filter(|row| row.kind == CallKind::Tool);
    let models = split.by_model.iter().filter(|row| row.kind == CallKind::Model);
    let rows: Vec<&Contribution> = tools.chain(models).filter(|row| row.amount_nano_usd != 0).collect();
    let most = rows.iter().max_by_key(|row| (towards(split.change_nano_usd, row.amount_nano_usd), row.amount_nano_usd));
    most.copied().filter(|_| rows.len() > 1)
}

/// The one thing to do: about the largest driver that made things dearer and is not traffic. It must make up a tenth of
/// the change and a hundredth of the later amount; a place's mix counts no more than the mix as a whole, as a step or
/// model that takes another's place costs only the difference.
pub(super) fn recommendation(pairs: &Pairs, split: &Split) -> String {
    let part = |factor| split.parts.iter().find(|part| part.factor == factor).map_or(0, |part| part.amount_nano_usd);
    let weight = |driver: &Driver| match driver.factor {
        Factor::Traffic => 0,
        Factor::StepMix | Factor::ModelMix => driver.amount_nano_usd.min(part(driver.factor)),
        _ => driver.amount_nano_usd,
    };
    let floor = (split.change_nano_usd.abs() / 10).max(split.after_nano_usd / 100).max(1);
    let worst = split.drivers.iter().filter(|driver| weight(driver) >= floor).max_by_key(|driver| weight(driver));
    let Some(worst) = worst else {
        return "Recommended: nothing; no tool and no model made it dearer by much.".to_owned();
    };
    let amount = dollars(weight(worst));
    let each =
        if split.parts.iter().any(|part| part.factor == Factor::Failures) { " to each accepted goal" } else { "" };
    format!("Recommended: {}; this added {amount}{each}.", action(pairs, worst))
}

fn action(pairs: &Pairs, driver: &Driver) -> String {
    let (step, model, is_tool) = (&driver.step, &driver.model, driver.kind == Some(CallKind::Tool));
    match driver.factor {
        Factor::Retries => {
            let key = (driver.kind.unwrap_or(CallKind::Model), Arc::clone(step));
            let rate = |calls: Option<&Calls>| calls.map_or(0.0, |c| c.failures as f64 / c.calls.max(1) as f64);
            let (before, after) = (rate(pairs.before.steps.get(&key)), rate(pairs.after.steps.get(&key)));
            let failed = if after > before {
                format!(" ({} of its calls failed, before {})", percent(after), percent(before))
            } else {
                String::new()
            };
            format!("look at the failures of {step}{failed} and cap its attempts")
        }
        Factor::StepMix => format!("look at what begins {step} more often than before, and gate it"),
        Factor::ModelMix => format!("see whether {step} needs {model}, or let the router choose among cheaper models"),
        Factor::Usage if is_tool => format!("look at what {step} is asked for; a call of it uses more than before"),
        Factor::Usage if driver.before.zip(driver.after).is_some_and(|(before, after)| after <= before) => format!(
            "look at the shares of output and cached tokens of {model} in {step}; a call takes no more tokens, but dearer ones"
        ),
        Factor::Usage => format!("shorten what {model} is given to read and asked to write in {step}"),
        Factor::Price if is_tool => format!("look for a cheaper plan or substitute for {step}, whose price rose"),
        Factor::Price if pairs.cells.iter().any(|pair| pair.model == *model && !pair.listed) => format!(
            "compare {model} with a cheaper model, and look at its list price and its shares of output and cached tokens"
        ),
        Factor::Price => format!("compare {model}, a token of which costs more than before, with a cheaper model"),
        Factor::Traffic | Factor::Failures => match failing(pairs) {
            Some((step, before, after)) => format!(
                "find out why fewer goals are accepted, beginning with {step} ({} of its calls failed, before {})",
                percent(after),
                percent(before),
            ),
            None => {
                "find out why fewer goals are accepted; no tool and no model fails more often than before".to_owned()
            }
        },
    }
}

/// The step or tool with the most failed calls above what its earlier rate would have given, and both rates.
fn failing(pairs: &Pairs) -> Option<(&str, f64, f64)> {
    let rate = |calls: &Calls| calls.failures as f64 / calls.calls.max(1) as f64;
    let rows = pairs.after.steps.iter().map(|(key, calls)| {
        let (before, after) = (pairs.before.steps.get(key).map_or(0.0, rate), rate(calls));
        ((after - before) * calls.calls as f64, (&*key.1, before, after))
    });
    let worst = rows.filter(|(more, _)| *more > 0.0).max_by(|a, b| a.0.total_cmp(&b.0));
    worst.map(|(_, row)| row)
}

/// A relative change as a percentage with one digit and its sign.
fn relative(change: f64) -> String {
    format!("{}{}", if change < 0.0 { "−" } else { "+" }, percent(change.abs()))
}

fn dollars(nano: i128) -> String {
    usd(nano as f64 / NANO_PER_USD as f64)
}
