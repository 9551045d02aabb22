//! The split adds up whatever the windows hold, and puts a change where it came from.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use super::CallKind::{Model, Tool};
use super::{CallKind, Change, Factor, SpendCell, SpendWindow, Split, explain_change};
use crate::domain::draw::decision_rng;

/// A cell of `calls`, of which `retries` retries that followed as many failures.
pub(super) fn cell(kind: CallKind, step: &str, model: &str, calls: u64, retries: u64) -> SpendCell {
    let (step, model) = (Arc::from(step), Arc::from(model));
    SpendCell {
        step,
        kind,
        model,
        calls,
        retries,
        failures: retries,
        units: calls,
        listed_pico_usd: 0,
        cost_nano_usd: calls,
    }
}

/// The same with its units and cost.
fn priced(of: SpendCell, units: u64, cost_nano_usd: u64) -> SpendCell {
    SpendCell { units, cost_nano_usd, ..of }
}

fn window(goals: u64, cells: &[SpendCell]) -> SpendWindow {
    SpendWindow { accepted_goals: goals, traffic: goals, of_first_attempts: false, cells: cells.to_vec() }
}

fn part(split: &Split, factor: Factor) -> i128 {
    split.parts.iter().find(|part| part.factor == factor).unwrap().amount_nano_usd
}

/// Parts that are not zero.
fn parts(split: &Split) -> Vec<(Factor, i128)> {
    let parts = split.parts.iter().map(|part| (part.factor, part.amount_nano_usd));
    parts.filter(|(_, amount)| *amount != 0).collect()
}

fn check_sums(split: &Split, note: &str) {
    let change = split.after_nano_usd - split.before_nano_usd;
    assert_eq!(split.change_nano_usd, change, "{note}");
    assert_eq!(split.parts.iter().map(|x| x.amount_nano_usd).sum::<i128>(), change, "{note}: factors");
    assert_eq!(split.by_step.iter().map(|x| x.amount_nano_usd).sum::<i128>(), change, "{note}: steps");
    assert_eq!(split.by_model.iter().map(|x| x.amount_nano_usd).sum::<i128>(), change, "{note}: models");
    assert_eq!(split.drivers.iter().map(|x| x.amount_nano_usd).sum::<i128>(), change, "{note}: drivers");
    for part in &split.parts {
        assert_eq!(part.share.is_some(), change != 0, "{note}");
        assert!(part.share.is_none_or(f64::is_finite), "{note}: {part:?}");
        let drivers = split.drivers.iter().filter(|driver| driver.factor == part.factor);
        assert_eq!(drivers.map(|x| x.amount_nano_usd).sum::<i128>(), part.amount_nano_usd, "{note}: {part:?}");
    }
    for text in ["NaN", "inf"] {
        assert!(!split.answer.contains(text), "{note}: {}", split.answer);
    }
}

/// A window over few steps and models, so that two of them share some cells and not others; `large` tries the ends of
/// the ranges.
fn random_window(rng: &mut impl rand::Rng, large: bool) -> SpendWindow {
    let number = |rng: &mut _| -> u64 {
        let rng: &mut dyn rand::Rng = rng;
        match rng.random_range(0..8) {
            0 => 0,
            1 if large => u64::MAX >> rng.random_range(0..20),
            _ => rng.random_range(1..5_000),
        }
    };
    let mut window = SpendWindow { accepted_goals: number(rng), traffic: number(rng), ..SpendWindow::default() };
    for _ in 0..rng.random_range(0..12) {
        let step = ["classify", "draft", "search_api"][rng.random_range(0..3)];
        let kind = if step == "search_api" { Tool } else { Model };
        let model = if kind == Tool { "" } else { ["big", "small", "new"][rng.random_range(0..3)] };
        let cell = cell(kind, step, model, number(rng), number(rng));
        let most = if large { u64::MAX / 16 } else { 4_000_000_000_000 };
        let cost = if rng.random_bool(0.15) { 0 } else { rng.random_range(0..most) };
        window.cells.push(priced(cell, number(rng), cost));
    }
    window
}

fn half_even(cost: u128, goals: u64) -> i128 {
    let (quotient, rest) = (cost / u128::from(goals), cost % u128::from(goals));
    let up = 2 * rest > u128::from(goals) || (2 * rest == u128::from(goals) && quotient % 2 == 1);
    (quotient + u128::from(up)) as i128
}

#[test]
fn every_split_adds_up_to_the_nano_dollar() {
    let cost = |window: &SpendWindow| window.cells.iter().map(|cell| u128::from(cell.cost_nano_usd)).sum::<u128>();
    for seed in 0..4_000 {
        let mut rng = decision_rng(seed, 77);
        let (before, after) = (random_window(&mut rng, seed % 4 == 0), random_window(&mut rng, seed % 4 == 0));
        let note = format!("seed {seed}");
        let change = explain_change(&before, &after);
        check_sums(&change.spend, &note);
        assert_eq!(change.spend.before_nano_usd, cost(&before) as i128, "{note}");
        assert_eq!(change.spend.after_nano_usd, cost(&after) as i128, "{note}");
        let mut steps: BTreeMap<Arc<str>, i128> = BTreeMap::new();
        for (sign, window) in [(-1, &before), (1, &after)] {
            for cell in &window.cells {
                *steps.entry(Arc::clone(&cell.step)).or_default() += sign * i128::from(cell.cost_nano_usd);
            }
        }
        for row in &change.spend.by_step {
            assert_eq!(row.amount_nano_usd, steps[&row.name], "{note}: {}", row.name);
        }
        let goals = (before.accepted_goals, after.accepted_goals);
        assert_eq!(change.per_accepted_goal.is_some(), goals.0 > 0 && goals.1 > 0, "{note}");
        if let Some(split) = &change.per_accepted_goal {
            check_sums(split, &note);
            assert_eq!(split.before_nano_usd, half_even(cost(&before), goals.0), "{note}");
            assert_eq!(split.after_nano_usd, half_even(cost(&after), goals.1), "{note}");
        }
    }
}

#[test]
fn the_order_of_cells_is_nothing_and_time_turned_round_turns_signs() {
    for seed in 0..500 {
        let mut rng = decision_rng(seed, 78);
        let (before, after) = (random_window(&mut rng, false), random_window(&mut rng, false));
        let change = explain_change(&before, &after);
        let mut shuffled = (before.clone(), after.clone());
        shuffled.0.cells.shuffle(&mut rng);
        shuffled.1.cells.shuffle(&mut rng);
        assert_eq!(explain_change(&shuffled.0, &shuffled.1), change, "seed {seed}");
        let back = explain_change(&after, &before);
        for (there, back) in change.spend.parts.iter().zip(&back.spend.parts) {
            // Each of at most seven cells rounds once.
            let rest = there.amount_nano_usd + back.amount_nano_usd;
            assert!(rest.abs() <= 7, "seed {seed}: {there:?} {back:?}");
        }
    }
}

#[test]
fn splits_worked_out_by_hand() {
    // Traffic × 2 and usage × 2: each half of 4000 − 1000.
    let one = cell(Model, "draft", "m", 100, 0);
    let two = cell(Model, "draft", "m", 200, 0);
    let change = explain_change(
        &window(100, &[priced(one.clone(), 1_000, 1_000)]),
        &window(200, &[priced(two.clone(), 4_000, 4_000)]),
    );
    assert_eq!(parts(&change.spend), [(Factor::Traffic, 1_500), (Factor::Usage, 1_500)]);
    // Traffic × 2 and usage × 4: 7000 × ln 2 ÷ ln 8 = 2333.3 and 7000 × ln 4 ÷ ln 8 = 4666.7.
    let change =
        explain_change(&window(100, &[priced(one.clone(), 1_000, 1_000)]), &window(200, &[priced(two, 8_000, 8_000)]));
    assert_eq!(parts(&change.spend), [(Factor::Traffic, 2_333), (Factor::Usage, 4_667)]);
    // Calls for a first attempt × 1.5 and price × 2: 2000 × ln 1.5 ÷ ln 3 = 738.1 and 2000 × ln 2 ÷ ln 3 = 1261.9.
    let retried = cell(Model, "draft", "m", 150, 50);
    let change =
        explain_change(&window(100, &[priced(one, 1_000, 1_000)]), &window(100, &[priced(retried, 1_500, 3_000)]));
    assert_eq!(parts(&change.spend), [(Factor::Retries, 738), (Factor::Price, 1_262)]);
    assert_eq!(change.spend.parts[2].share, Some(0.369));
}

/// Two steps, of which one has two models, and a tool.
fn month() -> SpendWindow {
    let classify = priced(cell(Model, "classify", "small", 100, 0), 20_000, 300_000);
    let big = priced(cell(Model, "draft", "big", 60, 12), 60_000, 6_000_000);
    let small = priced(cell(Model, "draft", "small", 40, 8), 40_000, 600_000);
    let tool = priced(cell(Tool, "search_api", "", 120, 20), 120, 2_400_000);
    SpendWindow { accepted_goals: 80, traffic: 100, of_first_attempts: false, cells: vec![classify, big, small, tool] }
}

fn scaled(cell: &SpendCell, factor: u64) -> SpendCell {
    SpendCell {
        calls: cell.calls * factor,
        retries: cell.retries * factor,
        failures: cell.failures * factor,
        units: cell.units * factor,
        cost_nano_usd: cell.cost_nano_usd * factor,
        ..cell.clone()
    }
}

/// The month after `edit`, and what it changed.
fn changed(edit: impl Fn(&mut SpendWindow)) -> Change {
    let mut after = month();
    edit(&mut after);
    explain_change(&month(), &after)
}

#[test]
fn a_factor_that_changes_alone_takes_the_whole_change() {
    let all_scaled = |w: &mut SpendWindow| w.cells = w.cells.iter().map(|cell| scaled(cell, 3)).collect();
    let cases: Vec<(Factor, Change)> = vec![
        (Factor::StepMix, changed(|w| w.cells[3] = scaled(&w.cells[3], 3))),
        // 100 first attempts as before, 150 calls for 120.
        (Factor::Retries, changed(|w| w.cells[3] = priced(cell(Tool, "search_api", "", 150, 50), 150, 3_000_000))),
        // 100 calls with 20 retries as before, 75 of them on the big one for 60.
        (
            Factor::ModelMix,
            changed(|w| {
                w.cells[1] = priced(cell(Model, "draft", "big", 75, 15), 75_000, 7_500_000);
                w.cells[2] = priced(cell(Model, "draft", "small", 25, 5), 25_000, 375_000);
            }),
        ),
        (Factor::Usage, changed(|w| w.cells[1] = priced(w.cells[1].clone(), 90_000, 9_000_000))),
        (Factor::Price, changed(|w| w.cells[1].cost_nano_usd = 5_000_000)),
        (Factor::Price, changed(|w| w.cells.iter_mut().for_each(|cell| cell.cost_nano_usd *= 2))),
        // Three times the traffic with as many accepted goals is failures to an accepted goal.
        (
            Factor::Failures,
            changed(|w| {
                all_scaled(w);
                w.traffic = 300;
            }),
        ),
    ];
    for (factor, change) in cases {
        let spend = if factor == Factor::Failures { Factor::Traffic } else { factor };
        assert_eq!(parts(&change.spend), [(spend, change.spend.change_nano_usd)]);
        let split = change.per_accepted_goal.unwrap();
        assert_eq!(parts(&split), [(factor, split.change_nano_usd)]);
    }
    let traffic = changed(|w| {
        all_scaled(w);
        (w.accepted_goals, w.traffic) = (240, 300);
    });
    assert_eq!(parts(&traffic.spend), [(Factor::Traffic, 18_600_000)]);
    assert_eq!(parts(&traffic.per_accepted_goal.unwrap()), []);
    assert_eq!(traffic.recommendation, "Recommended: nothing; no tool and no model made it dearer by much.");
}

/// A hundred calls at $5 and $15 a million tokens, at `times` that price.
fn drafts(input: u64, output: u64, times: u64) -> SpendCell {
    let listed = input * 5_000_000 + output * 15_000_000;
    let listed_pico_usd = listed.into();
    SpendCell { listed_pico_usd, ..priced(cell(Model, "draft", "big", 100, 0), input + output, listed / 1_000 * times) }
}

#[test]
fn where_nothing_tells_tokens_a_price_is_that_of_a_call() {
    let months = |usd: u64| window(100, &[priced(cell(Model, "draft", "big", 100, 0), 0, usd * 1_000_000_000)]);
    let change = explain_change(&months(2), &months(3));
    assert_eq!(
        change.spend.answer,
        "Spend rose $1.00 (+50.0 %) from $2.00 to $3.00: big's unit price drove $1.00 of it ($0.02 → $0.03 a call)."
    );
}

#[test]
fn which_classes_of_tokens_a_call_takes_is_usage_and_what_they_cost_is_price() {
    let change = |before, after| explain_change(&window(100, &[before]), &window(100, &[after]));
    // Half of the output more, as much input less: the tokens are as many as before.
    let longer = change(drafts(80_000, 20_000, 1), drafts(70_000, 30_000, 1));
    assert_eq!(parts(&longer.spend), [(Factor::Usage, 100_000_000)]);
    let why = "Spend rose $0.10 (+14.3 %) from $0.70 to $0.80: big's usage per call in draft drove $0.10 of it.";
    assert_eq!(longer.spend.answer, why);
    let todo =
        "look at the shares of output and cached tokens of big in draft; a call takes no more tokens, but dearer ones";
    assert!(longer.recommendation.contains(todo), "{}", longer.recommendation);
    let dearer = change(drafts(80_000, 20_000, 1), drafts(80_000, 20_000, 2));
    assert_eq!(parts(&dearer.spend), [(Factor::Price, 700_000_000)]);
    let driver = &dearer.spend.drivers[0];
    assert_eq!((driver.before, driver.after), (Some(7_000.0), Some(14_000.0)), "nano-USD a token");
    // Both at once. The price is told at the same mix of tokens before and after: that of both windows.
    let both = change(drafts(80_000, 20_000, 1), drafts(70_000, 30_000, 2));
    let driver = both.spend.drivers.iter().find(|d| d.factor == Factor::Price).unwrap();
    assert_eq!((driver.before, driver.after), (Some(7_500.0), Some(15_000.0)));
    assert_eq!(both.spend.parts.iter().filter(|part| part.amount_nano_usd != 0).count(), 2);
    // Without a list on one side tokens are counted alike, and the shift shows as price.
    let unlisted = SpendCell { listed_pico_usd: 0, ..drafts(80_000, 20_000, 1) };
    assert_eq!(parts(&change(unlisted, drafts(70_000, 30_000, 1)).spend), [(Factor::Price, 100_000_000)]);
}

#[test]
fn where_one_takes_anothers_place_more_traffic_is_still_traffic() {
    let before = window(100, &[priced(cell(Model, "draft", "old", 100, 0), 100_000, 6_000_000)]);
    let twice = |step: &str, model: &str| priced(cell(Model, step, model, 200, 0), 200_000, 18_000_000);
    for (factor, after) in [(Factor::ModelMix, twice("draft", "new")), (Factor::StepMix, twice("write", "old"))] {
        let change = explain_change(&before, &window(200, std::slice::from_ref(&after)));
        // L(18, 6) · ln 2 = 12 · ln 2 ÷ ln 3 by twice the traffic, the rest because the new one costs half as much again.
        let traffic = (12e6 * 2_f64.ln() / 3_f64.ln()).round() as i128;
        assert_eq!(parts(&change.spend), [(Factor::Traffic, traffic), (factor, 12_000_000 - traffic)]);
        let back = explain_change(&window(200, &[after]), &before);
        assert_eq!(
            parts(&back.spend),
            [(Factor::Traffic, -traffic), (factor, traffic - 12_000_000)],
            "the same backwards"
        );
        assert_eq!(parts(&change.per_accepted_goal.unwrap()), [(factor, 30_000)], "per goal it is the mix alone");
    }
    // What is only new has no place that it took.
    let besides =
        window(200, &[priced(cell(Model, "draft", "old", 200, 0), 200_000, 12_000_000), twice("write", "old")]);
    let change = explain_change(&before, &besides);
    assert_eq!(parts(&change.spend), [(Factor::Traffic, 6_000_000), (Factor::StepMix, 18_000_000)]);
}

#[test]
fn what_is_new_or_gone_goes_to_the_factor_that_was_zero() {
    let new_tool = changed(|w| w.cells.push(priced(cell(Tool, "ocr", "", 10, 2), 10, 500)));
    assert_eq!(parts(&new_tool.spend), [(Factor::StepMix, 500)]);
    assert_eq!(new_tool.spend.by_step[0].name.as_ref(), "ocr");
    let gone_tool = changed(|w| drop(w.cells.remove(3)));
    assert_eq!(parts(&gone_tool.spend), [(Factor::StepMix, -2_400_000)]);
    let gone_task = changed(|w| drop(w.cells.remove(0)));
    assert_eq!(parts(&gone_task.spend), [(Factor::StepMix, -300_000)]);
    // One model takes another's place, call for call.
    let swapped = changed(|w| {
        w.cells[1].model = Arc::from("new");
        w.cells[1].cost_nano_usd = 9_000_000;
    });
    assert_eq!(parts(&swapped.spend), [(Factor::ModelMix, 3_000_000)]);
    let models = swapped.spend.by_model.iter().map(|row| (row.name.as_ref(), row.amount_nano_usd));
    assert_eq!(models.collect::<Vec<_>>(), [("new", 9_000_000), ("small", 0), ("", 0), ("big", -6_000_000)]);
    let free = changed(|w| w.cells[0].cost_nano_usd = 0);
    assert_eq!(parts(&free.spend), [(Factor::Price, -300_000)]);

    let nothing = SpendWindow::default();
    let first = explain_change(&nothing, &month());
    assert_eq!(parts(&first.spend), [(Factor::Traffic, 9_300_000)]);
    assert_eq!(first.per_accepted_goal, None);
    assert_eq!(parts(&explain_change(&month(), &nothing).spend), [(Factor::Traffic, -9_300_000)]);
    // Goals were accepted at no cost: there were no calls that could have failed.
    let idle = SpendWindow { accepted_goals: 5, ..SpendWindow::default() };
    assert_eq!(parts(&explain_change(&idle, &month()).per_accepted_goal.unwrap()), [(Factor::StepMix, 116_250)]);
    assert_eq!(explain_change(&nothing, &nothing).spend.answer, "Spend was nothing in either window.");
}

#[test]
fn gaps_in_what_is_known_are_closed_the_same_way_in_both_windows() {
    // Tokens unknown in one window: measured in calls, so the rest is price.
    let unknown = changed(|w| w.cells[1] = priced(w.cells[1].clone(), 0, 9_000_000));
    assert_eq!(parts(&unknown.spend), [(Factor::Price, 3_000_000)]);
    // Cost without calls is one call; retries without a first attempt have had one; no traffic is one goal.
    let odd = window(0, &[priced(cell(Model, "draft", "m", 0, 0), 0, 70)]);
    let after = window(0, &[priced(cell(Model, "draft", "m", 2, 2), 0, 140)]);
    let change = explain_change(&odd, &after);
    assert_eq!(parts(&change.spend), [(Factor::Retries, 70)]);
    // The same cell told in two rows is one.
    let halves = changed(|w| {
        let half = priced(cell(Model, "draft", "big", 30, 6), 30_000, 3_000_000);
        w.cells[1] = half.clone();
        w.cells.push(half);
    });
    assert_eq!(parts(&halves.spend), []);
}

#[test]
fn the_answer_names_what_drove_it_and_one_thing_to_do() {
    let dollars = |usd: f64| (usd * 1e9) as u64;
    let draft = |tokens, usd| priced(cell(Model, "draft", "big", 100, 0), tokens, dollars(usd));
    let search = |calls, retries| priced(cell(Tool, "search_api", "", calls, retries), calls, dollars(calls as f64));
    let before = window(100, &[draft(100_000, 50.0), search(100, 0)]);

    let retried = explain_change(&before, &window(100, &[draft(100_000, 50.0), search(125, 25)]));
    let why = "search_api's retries drove $25.00 of it (0.0 % → 20.0 % of its calls)";
    assert_eq!(retried.spend.answer, format!("Spend rose $25.00 (+16.7 %) from $150.00 to $175.00: {why}."));
    assert_eq!(
        retried.recommendation,
        "Recommended: look at the failures of search_api (20.0 % of its calls failed, before 0.0 %) and cap its attempts; \
         this added $0.25 to each accepted goal."
    );

    let shorter = explain_change(&before, &window(100, &[draft(50_000, 20.0), search(100, 0)]));
    assert_eq!(
        shorter.spend.answer,
        "Spend fell $30.00 (−20.0 %) from $150.00 to $120.00: big's usage per call in draft drove $22.69 of it (1,000 → \
         500 tokens a call), big's unit price $7.31 ($500.00 → $400.00 a million tokens)."
    );
    assert_eq!(shorter.recommendation, "Recommended: nothing; no tool and no model made it dearer by much.");

    let offset = explain_change(&before, &window(100, &[draft(50_000, 25.0), search(125, 25)]));
    assert_eq!(
        offset.spend.answer,
        "Spend did not change ($150.00 in both windows): search_api's retries added $25.00 (0.0 % → 20.0 % of its calls), \
         big's usage per call in draft took off $25.00 (1,000 → 500 tokens a call); of all tools and models, search_api \
         contributed most ($25.00)."
    );

    let worse = SpendWindow { accepted_goals: 50, ..before.clone() };
    let failed = explain_change(&before, &worse);
    let split = failed.per_accepted_goal.unwrap();
    assert_eq!(parts(&split), [(Factor::Failures, 1_500_000_000)]);
    assert_eq!(part(&split, Factor::Failures), split.change_nano_usd);
    assert_eq!(
        split.answer,
        "Cost per accepted goal rose $1.50 (+100.0 %) from $1.50 to $3.00: failures drove $1.50 of it (1.00 → 2.00 goals \
         for each accepted one); of all tools and models, search_api contributed most ($1.00)."
    );
    assert!(failed.recommendation.starts_with("Recommended: find out why fewer goals are accepted"));
}

#[test]
fn what_to_do_follows_what_made_it_dearer() {
    let told = |change: Change| {
        let told = change.recommendation.strip_prefix("Recommended: ").unwrap();
        told.split_once("; this added ").map_or(told.to_owned(), |(todo, _)| format!("{todo}."))
    };
    assert_eq!(
        told(changed(|w| w.cells[1] = priced(w.cells[1].clone(), 90_000, 9_000_000))),
        "shorten what big is given to read and asked to write in draft."
    );
    assert_eq!(
        told(changed(|w| w.cells[1].cost_nano_usd = 9_000_000)),
        "compare big with a cheaper model, and look at its list price and its shares of output and cached tokens."
    );
    assert_eq!(
        told(changed(|w| w.cells[3] = scaled(&w.cells[3], 2))),
        "look at what begins search_api more often than before, and gate it."
    );
    assert_eq!(
        told(changed(|w| w.cells[3].cost_nano_usd *= 2)),
        "look for a cheaper plan or substitute for search_api, whose price rose."
    );
    let dearer = |w: &mut SpendWindow| {
        w.cells[1] = priced(cell(Model, "draft", "big", 90, 18), 90_000, 9_000_000);
        w.cells[2] = priced(cell(Model, "draft", "small", 10, 2), 10_000, 150_000);
    };
    assert_eq!(told(changed(dearer)), "see whether draft needs big, or let the router choose among cheaper models.");
    // A step under another name costs nothing more; a tenth of a percent is not worth a word.
    let nothing = "nothing; no tool and no model made it dearer by much.";
    assert_eq!(told(changed(|w| w.cells[0].step = Arc::from("sort"))), nothing);
    assert_eq!(told(changed(|w| w.cells[1].cost_nano_usd += 9_000)), nothing);
    // The fall hides a rise that matters.
    let both = |w: &mut SpendWindow| {
        w.cells[1].cost_nano_usd = 1_000_000;
        w.cells[3] = priced(cell(Tool, "search_api", "", 200, 100), 200, 4_000_000);
    };
    assert!(told(changed(both)).starts_with("look at the failures of search_api"));
}
