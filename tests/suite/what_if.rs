//! What another policy would have brought, asked of a running daemon: over gRPC, HTTP and the command line, before and after a
//! restart, and across a catalogue that is no longer in force.

use oddsmaker::wire::pb;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::calls::{assert_invalid, refused};
use super::catalogues;
use super::harness::Home;
use super::seed_world::{CHEAP, DEAR, Luck, Played, Traffic, World, cost_per_success, play, success_rate};

/// Two models of which the router takes one at random every third time, and a task type with no other choice.
const TASKS: &str = r#"
[[task]]
id = "general"
candidates = ["openai/gpt-4o"]
[[task]]
id = "routed"
candidates = ["openai/gpt-4o", "openai/gpt-4o-mini"]
exploration_floor = 0.3
[[task]]
id = "held"
candidates = ["openai/gpt-4o", "openai/gpt-4o-mini"]
exploration_floor = 0.3
holdout = { model = "openai/gpt-4o-mini", share = 0.4 }
"#;

/// What a call of each costs.
const DEAR_USD: f64 = 0.002_1;
const CHEAP_USD: f64 = 0.000_069;

fn ask(policy: &str) -> pb::EvaluatePolicyRequest {
    pb::EvaluatePolicyRequest { policy: policy.to_owned(), task_type: Some("routed".to_owned()), lookback_hours: None }
}

fn traffic(task: &'static str, calls: u64, pinned_percent: u64) -> Traffic {
    Traffic { task, calls, pinned_percent, max_cost_usd: None, at_once: 16 }
}

fn check_what_was(answer: &pb::EvaluatePolicyResponse, played: &[Played]) {
    let (observed, calls) = (answer.observed.unwrap(), played.len() as u64);
    assert_eq!((answer.draws, answer.calls, answer.sampled_share), (calls, calls, 1.0));
    let close = |a: Option<f64>, b: f64| assert!((a.unwrap() - b).abs() < 1e-9, "{a:?} {b}");
    close(observed.success_rate, success_rate(played));
    close(observed.cost_per_success_usd, cost_per_success(played));
}

/// That the figures of a policy are what the world would have given it.
fn check_estimate(answer: &pb::EvaluatePolicyResponse, success_rate: f64, cost_usd: f64) {
    assert_eq!(answer.refused, None, "{answer:?}");
    assert!(answer.effective_sample_size >= 100.0);
    let (rate, cost) = (answer.success_rate.unwrap(), answer.cost_per_call_usd.unwrap());
    let (narrow, wide) = (rate.interval.unwrap(), rate.wide_interval.unwrap());
    assert_eq!((narrow.level, wide.level), (0.9, 0.95));
    assert!(wide.low < narrow.low && narrow.high < wide.high);
    assert!((wide.low..=wide.high).contains(&success_rate), "{success_rate} in {rate:?}");
    assert!(wide.high - wide.low < 0.25, "{rate:?}");
    assert!((cost.value / cost_usd - 1.0).abs() < 0.1, "{cost:?} is about {cost_usd}");
    let plain = answer.self_normalised.unwrap();
    assert!((plain.success_rate.unwrap() - success_rate).abs() < 0.1, "{plain:?}");
    let success_usd = answer.cost_per_success_usd.unwrap();
    assert!((success_usd.value - cost.value / rate.value).abs() < 1e-9);
}

#[tokio::test]
async fn a_daemon_says_what_other_policies_would_have_brought() {
    let home = Home::seeded(&catalogues::with_tasks(TASKS), 5);
    let daemon = home.start();
    let channel = daemon.channel().await;
    let world = World::of_two(900, 600, Luck::Even);
    let played = play(&channel, &world, &traffic("routed", 1_200, 0)).await;
    let mut insights = daemon.insights().await;

    let uniform = insights.evaluate_policy(ask("uniform")).await.unwrap().into_inner();
    check_what_was(&uniform, &played);
    check_estimate(&uniform, 0.75, (DEAR_USD + CHEAP_USD) / 2.0);
    let cheap = insights.evaluate_policy(ask("always:gpt-4o-mini")).await.unwrap().into_inner();
    check_estimate(&cheap, 0.6, CHEAP_USD);
    assert!((cheap.self_normalised.unwrap().cost_per_call_usd.unwrap() - CHEAP_USD).abs() < 1e-12);
    let cheapest = insights.evaluate_policy(ask("cheapest")).await.unwrap().into_inner();
    assert_eq!(cheapest.success_rate, cheap.success_rate, "{CHEAP} is the cheapest");
    let dear = insights.evaluate_policy(ask("always:openai/gpt-4o")).await.unwrap().into_inner();
    check_estimate(&dear, 0.9, DEAR_USD);
    let as_it_is = insights.evaluate_policy(ask("tolerance=0.01,floor=0.3")).await.unwrap().into_inner();
    let (own, was) = (as_it_is.success_rate.unwrap(), as_it_is.observed.unwrap().success_rate.unwrap());
    assert!((as_it_is.effective_sample_size - 1_200.0).abs() < 1e-6, "every weight is 1");
    assert!((as_it_is.importance_sampling.unwrap().success_rate.unwrap() - was).abs() < 1e-9);
    assert!((own.value - was).abs() < 0.01, "{own:?} {was}");

    let path = "/v1/evaluate-policy?policy=always:gpt-4o-mini&task_type=routed&lookback_hours=24";
    let over_http = super::http_client::get(daemon.address, path).unwrap();
    assert_eq!(over_http.status, 200, "{}", over_http.text());
    let rate = cheap.success_rate.unwrap();
    assert_eq!(over_http.json()["success_rate"]["value"].as_f64(), Some(rate.value));
    assert_eq!(over_http.json()["refused"], serde_json::Value::Null);
    let line = format!(
        "whatif --address http://{} --policy uniform --policy always:gpt-4o-mini --task routed --lookback-hours 24 --format json",
        daemon.address
    );
    let rows = super::cli::json(&home, &line);
    assert_eq!((rows[1]["success_rate"].as_f64(), rows[1]["draws"].as_u64()), (Some(rate.value), Some(1_200)));

    daemon.stop().await;
    let daemon = home.start();
    let again = daemon.insights().await.evaluate_policy(ask("cheapest")).await.unwrap().into_inner();
    assert_eq!((again.success_rate, again.draws), (cheap.success_rate, 1_200), "the record is what it rests on");
}

#[tokio::test]
async fn what_was_not_drawn_is_left_out_and_too_little_is_refused() {
    let home = Home::seeded(&catalogues::with_tasks(TASKS), 6);
    let daemon = home.start();
    let channel = daemon.channel().await;
    let world = World::of_two(900, 600, Luck::Even);
    play(&channel, &world, &traffic("general", 20, 0)).await;
    play(&channel, &world, &traffic("routed", 100, 40)).await;
    let (_, _open) = super::calls::decide(&mut daemon.router().await, super::calls::ask("routed")).await;
    let mut insights = daemon.insights().await;
    let all = insights.evaluate_policy(pb::EvaluatePolicyRequest { task_type: None, ..ask("best") });
    let answer = all.await.unwrap().into_inner();
    let left_out = answer.left_out.unwrap();
    assert_eq!((left_out.one_candidate, left_out.not_drawn, left_out.without_outcome), (20, 40, 1));
    assert_eq!((left_out.pinned, left_out.held_out, left_out.observed, left_out.irreversible), (40, 0, 0, 0));
    let general = pb::EvaluatePolicyRequest { task_type: Some("general".to_owned()), ..ask("best") };
    let nothing = insights.evaluate_policy(general).await.unwrap().into_inner().refused.unwrap();
    assert_eq!(
        nothing,
        "nothing was left to the router's chance: 20 decisions are on record, 20 with one candidate; give the task type a second \
         candidate"
    );
    assert_eq!(answer.draws, 60);
    assert!(answer.refused.unwrap().contains("100 are needed"));
    assert_eq!((answer.success_rate, answer.self_normalised), (None, None));
    assert!(answer.observed.unwrap().success_rate.is_some(), "what was is no estimate");

    assert_invalid(insights.evaluate_policy(ask("dearest")).await, &["policy"]);
    assert_invalid(insights.evaluate_policy(ask("")).await, &["policy"]);
    assert_invalid(insights.evaluate_policy(ask("objective=net_value,tolerance=0.1")).await, &["policy"]);
    let status = insights.evaluate_policy(ask("value_usd=1")).await.unwrap_err();
    let said = &status.get_details_bad_request().unwrap().field_violations[0].description;
    assert!(said.contains("`value_usd` has no effect on routed, which was decided by objective success"), "{said}");
    assert!(insights.evaluate_policy(ask("objective=net_value,value_usd=1")).await.is_ok());
    let elsewhere = pb::EvaluatePolicyRequest { task_type: Some("nowhere".to_owned()), ..ask("best") };
    assert_eq!(refused(insights.evaluate_policy(elsewhere).await).0, Code::NotFound);
    assert_eq!(refused(insights.evaluate_policy(ask("always:no/such")).await).0, Code::NotFound);
}

#[tokio::test]
async fn chances_follow_the_catalogue_that_decided() {
    let home = Home::seeded(&catalogues::with_tasks(TASKS), 7);
    let daemon = home.start();
    let channel = daemon.channel().await;
    let world = World::of_two(900, 600, Luck::Even);
    play(&channel, &world, &traffic("routed", 600, 0)).await;
    let mut insights = daemon.insights().await;
    let before = insights.evaluate_policy(ask("always:gpt-4o-mini")).await.unwrap().into_inner();
    home.write_catalogue(&catalogues::with_tasks(TASKS).replace("exploration_floor = 0.3", "exploration_floor = 0.9"));
    daemon.admin().await.reload_catalog(pb::ReloadCatalogRequest {}).await.unwrap();
    let after = insights.evaluate_policy(ask("always:gpt-4o-mini")).await.unwrap().into_inner();
    assert_eq!((before.draws, after.draws, after.left_out.unwrap().unknown_settings), (600, 600, 0));
    assert_eq!(before.success_rate, after.success_rate, "{DEAR} is still chosen as it was then");
}

#[tokio::test]
async fn what_a_holdout_served_by_lot_counts_and_what_it_served_by_goal_does_not() {
    let home = Home::seeded(&catalogues::with_tasks(TASKS), 8);
    let daemon = home.start();
    let channel = daemon.channel().await;
    let world = World::of_two(900, 600, Luck::Even);
    let played = play(&channel, &world, &traffic("held", 1_200, 0)).await;
    let held = |policy: &str| pb::EvaluatePolicyRequest { task_type: Some("held".to_owned()), ..ask(policy) };
    let mut insights = daemon.insights().await;
    let dear = insights.evaluate_policy(held("always:gpt-4o")).await.unwrap().into_inner();
    check_what_was(&dear, &played);
    assert_eq!(dear.left_out.unwrap(), pb::PolicyLeftOut::default(), "the holdout's too");
    check_estimate(&dear, 0.9, DEAR_USD);
    let cheap = insights.evaluate_policy(held("always:gpt-4o-mini")).await.unwrap().into_inner();
    check_estimate(&cheap, 0.6, CHEAP_USD);
    // Of 1,200 calls 480 are held out, and of the others the router gives 15 % to the cheap model at least.
    assert!(cheap.effective_sample_size > 480.0, "{}", cheap.effective_sample_size);
    let plain = cheap.importance_sampling.unwrap().success_rate.unwrap();
    assert!((plain - 0.6).abs() < 0.08, "weighed by the chances of both: {plain}");

    let mut router = daemon.router().await;
    let mut of_goals = 0;
    for number in 0..40 {
        let goal = Some(format!("goal-{number}"));
        let asked = pb::GetPolicyRequest { goal_id: goal, ..super::calls::ask("held") };
        of_goals += u64::from(router.get_policy(asked).await.unwrap().into_inner().arm() == pb::Arm::Holdout);
    }
    let left_out = insights.evaluate_policy(held("best")).await.unwrap().into_inner().left_out.unwrap();
    assert!(of_goals > 0);
    assert_eq!((left_out.not_drawn, left_out.held_out, left_out.without_outcome), (of_goals, of_goals, 40 - of_goals));
}
