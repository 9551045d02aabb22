//! The operations report of two scripted months: cost per resolved ticket went up 38 % to $0.47. The tool everybody
//! suspects wastes $2,100 of $12,400, which does not explain it; the split says what does.

use super::CallKind::{Model, Tool};
use super::tests::cell;
use super::{Factor, SpendCell, SpendWindow, explain_change};

/// Nano-USD of a cent.
const CENT: u64 = 10_000_000;

fn with(of: SpendCell, failures: u64, tokens: u64, usd_cents: u64) -> SpendCell {
    SpendCell { failures, units: tokens, cost_nano_usd: usd_cents * CENT, ..of }
}

/// Searches at $0.20, 1,315 of 26,300 of them retries; drafts of 3,400 tokens at $25 a million, summaries of 1,681 at
/// $20 a million.
fn month_before() -> SpendWindow {
    let cells = vec![
        with(cell(Tool, "search_api", "", 26_300, 1_315), 1_315, 26_300, 526_000),
        with(cell(Model, "draft_reply", "large", 24_400, 1_280), 1_820, 82_960_000, 207_400),
        with(cell(Model, "summarise", "medium", 25_000, 0), 0, 42_020_000, 84_040),
    ];
    SpendWindow { accepted_goals: 24_000, traffic: 25_000, of_first_attempts: false, cells }
}

/// A quarter of the searches are retries; drafts read 5,360 tokens and summaries 2,702.
fn month_after() -> SpendWindow {
    let cells = vec![
        with(cell(Tool, "search_api", "", 36_640, 9_160), 9_160, 36_640, 732_800),
        with(cell(Model, "draft_reply", "large", 26_800, 1_400), 2_000, 143_648_000, 359_120),
        with(cell(Model, "summarise", "medium", 27_400, 0), 0, 74_040_500, 148_081),
    ];
    SpendWindow { accepted_goals: 26_383, traffic: 27_482, of_first_attempts: false, cells }
}

/// Cost of failed calls, in nano-USD.
fn waste(window: &SpendWindow) -> u64 {
    window.cells.iter().map(|cell| cell.cost_nano_usd / cell.calls * cell.failures).sum()
}

#[test]
fn thirty_eight_percent_more_per_resolved_ticket() {
    let (before, after) = (month_before(), month_after());
    let change = explain_change(&before, &after);
    assert_eq!(change.spend.before_nano_usd, 8_174_400_000_000);
    assert_eq!(change.spend.after_nano_usd, 12_400_010_000_000);
    assert_eq!(waste(&after), 2_100_000_000_000);

    let split = change.per_accepted_goal.as_ref().unwrap();
    assert_eq!((split.before_nano_usd, split.after_nano_usd), (340_600_000, 470_000_000));
    // Had every failed call of both months been saved, most of the rise would still be there.
    let useful = |w: &SpendWindow, cost: i128| (cost - i128::from(waste(w))) / i128::from(w.accepted_goals);
    let rest = useful(&after, change.spend.after_nano_usd) - useful(&before, change.spend.before_nano_usd);
    assert!(rest * 2 > split.change_nano_usd, "{rest} of {}", split.change_nano_usd);

    let amounts = split.parts.iter().map(|part| (part.factor, part.amount_nano_usd)).collect::<Vec<_>>();
    // The same sums in decimal arithmetic of forty digits, then rounded.
    let expected = [
        (Factor::Failures, -4_261),
        (Factor::StepMix, -69_384),
        (Factor::Retries, 58_434_724),
        (Factor::ModelMix, 0),
        (Factor::Usage, 71_038_921),
        (Factor::Price, 0),
    ];
    assert_eq!(amounts, expected);
    let worst = &split.drivers[0];
    assert_eq!((worst.factor, worst.step.as_ref()), (Factor::Retries, "search_api"));
    assert_eq!((worst.before, worst.after), (Some(0.05), Some(0.25)));
    assert_eq!(
        split.answer,
        "Cost per accepted goal rose $0.13 (+38.0 %) from $0.34 to $0.47: usage per call drove $0.071 of it (foremost \
         large's usage per call in draft_reply: 3,400 → 5,360 tokens a call), search_api's retries $0.0585 (5.0 % → 25.0 % \
         of its calls); of all tools and models, search_api contributed most ($0.0586)."
    );
    assert_eq!(
        change.recommendation,
        "Recommended: look at the failures of search_api (25.0 % of its calls failed, before 5.0 %) and cap its attempts; \
         this added $0.0585 to each accepted goal."
    );
}

#[test]
fn spend_of_the_same_months_rose_with_traffic_too() {
    let split = explain_change(&month_before(), &month_after()).spend;
    let amounts = split.parts.iter().map(|part| (part.factor, part.amount_nano_usd)).collect::<Vec<_>>();
    let expected = [
        (Factor::Traffic, 958_957_044_389),
        (Factor::StepMix, -1_758_883_771),
        (Factor::Retries, 1_473_706_025_395),
        (Factor::ModelMix, 0),
        (Factor::Usage, 1_794_705_813_987),
        (Factor::Price, 0),
    ];
    assert_eq!(amounts, expected);
    assert_eq!(
        split.answer,
        "Spend rose $4,225.61 (+51.7 %) from $8,174.40 to $12,400.01: usage per call drove $1,794.71 of it (foremost large's \
         usage per call in draft_reply: 3,400 → 5,360 tokens a call), search_api's retries $1,474.35 (5.0 % → 25.0 % of its \
         calls), traffic $958.96 (25,000 → 27,482 goals); of all tools and models, search_api contributed most ($2,068.00)."
    );
}
