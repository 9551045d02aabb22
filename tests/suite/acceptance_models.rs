//! The acceptance arithmetic of models (A6, A8 to A11), each row a test through the public contract with the figures as
//! they are written there. What runs, goals and budgets come to is in `acceptance`.

use oddsmaker::wire::pb;

use super::calls::{Router, ask, decide, elsewhere, insights, outcomes, pinned, priced, record, task, usage};
use super::goals::usual;
use super::harness::{Daemon, Home};

const GPT_4O: &str = "openai/gpt-4o";
const MINI: &str = "openai/gpt-4o-mini";
const TURBO: &str = "openai/gpt-4-turbo";

/// Outcomes at `cost_usd` each, of which so many succeed.
fn at(
    task: &'static str,
    model: &'static str,
    cost_usd: f64,
    (successes, calls): (u64, u64),
) -> impl Iterator<Item = pb::RecordOutcomeRequest> {
    (0..calls).map(move |n| pb::RecordOutcomeRequest {
        cost_usd: Some(cost_usd),
        idempotency_key: Some(format!("{task} {model} {n}")),
        ..elsewhere(task, model, n < successes)
    })
}

/// The row of a model.
fn row<'a>(report: &'a pb::GetInsightsResponse, of: &str, model: &str) -> &'a pb::ModelInsights {
    task(report, of).by_model.iter().find(|row| row.model == model).expect("a row of the model")
}

#[tokio::test]
async fn a6_cheap_and_weak_costs_the_same_as_dear_and_good() {
    let (_home, daemon) = usual();
    let calls = at("triage", MINI, 0.008, (60, 100)).chain(at("single", GPT_4O, 0.012, (90, 100)));
    outcomes(&mut daemon.router().await, calls).await;
    let report = insights(&mut daemon.insights().await).await;
    let [cheap, dear] = ["triage", "single"].map(|name| task(&report, name).cost_per_success.unwrap());
    assert_eq!((cheap, dear), (0.04 / 3.0, 0.04 / 3.0), "0.0133… in both");
}

#[tokio::test]
async fn a8_what_a_call_and_a_day_of_ten_thousand_cost() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    for (model, usd, nano_usd) in [(GPT_4O, 0.0021, 2_100_000), (MINI, 0.000_069, 69_000), (TURBO, 0.0042, 4_200_000)] {
        let (_, id) = decide(&mut router, pinned("triage", model)).await;
        let recorded = record(&mut router, priced(&id, true)).await;
        assert_eq!(recorded.cost_usd, Some(usd));
        let spent = row(&insights(&mut daemon.insights().await).await, "triage", model).total_cost_nano_usd;
        assert_eq!(spent, nano_usd, "{model}, exactly");
    }
    let day = [GPT_4O, MINI].into_iter().flat_map(|model| {
        (0..10_000).map(move |n| pb::RecordOutcomeRequest {
            usage: usage(300, 40),
            idempotency_key: Some(format!("{model} {n}")),
            ..elsewhere("general", model, true)
        })
    });
    outcomes(&mut router, day).await;
    let report = insights(&mut daemon.insights().await).await;
    let spent = |model| (row(&report, "general", model).total_cost_usd, row(&report, "general", model).calls);
    assert_eq!((spent(GPT_4O), spent(MINI)), ((21.0, 10_000), (0.69, 10_000)));
}

/// Whom a ceiling leaves, and who is served.
async fn under(router: &mut Router, max_cost_usd: f64) -> (Vec<String>, String) {
    let request = pb::GetPolicyRequest {
        constraints: Some(pb::Constraints { max_cost_usd: Some(max_cost_usd), ..Default::default() }),
        usage_estimate: Some(pb::UsageEstimate {
            input_tokens: Some(300),
            output_tokens: Some(40),
            ..Default::default()
        }),
        explain: true,
        ..ask("triage")
    };
    let (answer, _) = decide(router, request).await;
    let eligible = answer.candidates.iter().filter(|c| c.eligible).map(|c| c.model.clone()).collect();
    (eligible, answer.model.unwrap())
}

#[tokio::test]
async fn a9_a_ceiling_decides_who_may_play() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let (eligible, served) = under(&mut router, 0.002).await;
    assert_eq!((eligible, served.as_str()), (vec![MINI.to_owned()], MINI));
    let (eligible, _) = under(&mut router, 0.05).await;
    assert_eq!(eligible, [GPT_4O, MINI, TURBO]);
}

#[tokio::test]
async fn a10_what_one_success_costs() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    for (model, successes) in [(GPT_4O, 97), (MINI, 95)] {
        for n in 0..100 {
            let (_, id) = decide(&mut router, pinned("triage", model)).await;
            record(&mut router, priced(&id, n < successes)).await;
        }
    }
    let report = insights(&mut daemon.insights().await).await;
    let [dear, cheap] = [GPT_4O, MINI].map(|model| row(&report, "triage", model).cost_per_success.unwrap());
    assert_eq!(format!("{dear:.8} {cheap:.8} ×{:.2}", dear / cheap), "0.00216495 0.00007263 ×29.81");
}

/// A strong model at $0.0018 for 100 tokens and a cheap one at $0.0015, known from 910 of 1,000 and 800 of 1,000 times a
/// thousand calls; `settings` are those of the task type.
fn strong_and_cheap(settings: &str) -> String {
    let model = |id: &str, price: &str| {
        format!(
            "[[model]]\nid = \"{id}\"\nsource = \"test\"\n[[model.price]]\nfrom = 2024-01-01\nunit = \"usd_per_mtok\"\n\
             input = \"{price}\"\noutput = \"0\"\n"
        )
    };
    let candidate = |id: &str, successes: u64, failures: u64| {
        let prior = format!("{{ successes = {successes}, failures = {failures} }}");
        format!("[[task.candidate]]\nid = \"{id}\"\nmodel = \"{id}\"\nprior = {prior}\n")
    };
    format!(
        "schema = 1\n{}{}[[task]]\nid = \"tickets\"\nexploration_floor = 0\n{settings}\n{}{}",
        model("a/strong", "18.00"),
        model("a/cheap", "15.00"),
        candidate("a/strong", 910_000, 90_000),
        candidate("a/cheap", 800_000, 200_000),
    )
}

/// A decision on a hundred tokens.
async fn answer(daemon: &Daemon) -> pb::GetPolicyResponse {
    let usage_estimate = pb::UsageEstimate { input_tokens: Some(100), output_tokens: Some(0), ..Default::default() };
    let request = pb::GetPolicyRequest { usage_estimate: Some(usage_estimate), explain: true, ..ask("tickets") };
    decide(&mut daemon.router().await, request).await.0
}

#[tokio::test]
async fn a11_the_better_model_is_chosen_although_its_success_costs_more() {
    let home = Home::new(&strong_and_cheap(""));
    let daemon = home.start();
    for _ in 0..20 {
        assert_eq!(answer(&daemon).await.model.as_deref(), Some("a/strong"));
    }
    let calls = at("tickets", "a/strong", 0.0018, (910, 1_000)).chain(at("tickets", "a/cheap", 0.0015, (800, 1_000)));
    outcomes(&mut daemon.router().await, calls).await;
    let report = insights(&mut daemon.insights().await).await;
    let [strong, cheap] = ["a/strong", "a/cheap"].map(|model| row(&report, "tickets", model).cost_per_success.unwrap());
    assert_eq!((format!("{strong:.6}"), cheap), ("0.001978".into(), 0.001_875));
}

/// Eleven points of success for $0.0003 pay from $0.0027272… on: there the draws of a million calls each are as likely to
/// favour the one as the other, and a few hundred-thousandths away they are all but sure.
#[tokio::test]
async fn a11_under_net_value_the_weaker_model_is_chosen_while_a_success_is_worth_less_than_the_break_even() {
    let settings = |value| format!("objective = \"net_value\"\nvalue_usd = \"{value}\"");
    let home = Home::new(&strong_and_cheap(&settings("0.002727")));
    let daemon = home.start();
    for (value, favoured) in [("0.002727", "a/cheap"), ("0.002728", "a/strong")] {
        home.write_catalogue(&strong_and_cheap(&settings(value)));
        daemon.admin().await.reload_catalog(pb::ReloadCatalogRequest {}).await.unwrap();
        let candidates = answer(&daemon).await.candidates;
        let likelier = candidates.iter().find(|c| c.propensity.unwrap() > 0.5).unwrap();
        assert_eq!(likelier.model, favoured, "at ${value}: {candidates:?}");
    }
    for (value, served) in [("0.002600", "a/cheap"), ("0.002900", "a/strong")] {
        home.write_catalogue(&strong_and_cheap(&settings(value)));
        daemon.admin().await.reload_catalog(pb::ReloadCatalogRequest {}).await.unwrap();
        for _ in 0..20 {
            assert_eq!(answer(&daemon).await.model.as_deref(), Some(served), "at ${value}");
        }
    }
}
