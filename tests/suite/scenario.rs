//! The seed scenario through the running daemon, with fewer calls than the bench of the same name and failures that fall
//! evenly, so that a run cannot fail by bad luck.

use oddsmaker::wire::pb;
use pb::OverProvisioningFlag as Flag;

use super::calls::{insights, task};
use super::catalogues;
use super::harness::Home;
use super::seed_world::{CHEAP, DEAR, Luck, TASKS, Traffic, World, cost_per_success, play, share, success_rate};

const ALWAYS_DEAR_PER_SUCCESS: f64 = 0.0021 / 0.97;

fn traffic(task: &'static str, calls: u64) -> Traffic {
    Traffic { task, calls, pinned_percent: 0, max_cost_usd: None, at_once: 16 }
}

#[tokio::test]
async fn at_nearly_equal_success_the_cheap_model_gets_the_traffic() {
    let home = Home::seeded(&catalogues::with_tasks(TASKS), 1);
    let daemon = home.start();
    let world = World::of_two(970, 950, Luck::Even);
    let played = play(&daemon.channel().await, &world, &traffic("ticket_classification", 2_500)).await;
    let last = &played[2_000..];
    assert!(share(last, CHEAP) >= 0.9, "mini has {}", share(last, CHEAP));
    assert!(success_rate(last) >= 0.97 - 0.03, "success is {}", success_rate(last));
    assert!(cost_per_success(last) * 10.0 <= ALWAYS_DEAR_PER_SUCCESS, "{}", cost_per_success(last));
}

#[tokio::test]
async fn where_the_cheap_model_fails_the_dear_one_gets_the_traffic() {
    let home = Home::seeded(&catalogues::with_tasks(TASKS), 2);
    let daemon = home.start();
    let world = World::of_two(960, 820, Luck::Even);
    let played = play(&daemon.channel().await, &world, &traffic("escalation_summary", 2_000)).await;
    let last = &played[1_500..];
    assert!(share(last, DEAR) >= 0.9, "gpt-4o has {}", share(last, DEAR));
}

#[tokio::test]
async fn under_a_ceiling_the_dear_model_is_never_served() {
    let home = Home::seeded(&catalogues::with_tasks(TASKS), 3);
    let daemon = home.start();
    let world = World::of_two(970, 950, Luck::Even);
    let capped = Traffic { max_cost_usd: Some(0.002), ..traffic("ticket_classification", 500) };
    let played = play(&daemon.channel().await, &world, &capped).await;
    assert_eq!(share(&played, CHEAP), 1.0);
}

#[tokio::test]
async fn a_habit_of_pinning_the_dear_model_is_flagged_at_a_wide_margin_and_not_at_a_narrow_one() {
    const CALLS: u64 = 5_000;
    let home = Home::seeded(&catalogues::with_tasks(TASKS), 4);
    let daemon = home.start();
    let channel = daemon.channel().await;
    let world = World::of_two(970, 950, Luck::Even);
    let mut dear_share = 0.0;
    for name in ["ticket_classification_pinned_strict", "ticket_classification_pinned"] {
        let pinned = Traffic { pinned_percent: 80, ..traffic(name, CALLS) };
        let played = play(&channel, &world, &pinned).await;
        dear_share = share(&played, DEAR);
        assert!((0.8..0.9).contains(&dear_share), "{dear_share}");
    }
    let report = insights(&mut daemon.insights().await).await;
    let wide = task(&report, "ticket_classification_pinned");
    let flag = wide.over_provisioning.as_ref().unwrap();
    assert_eq!((flag.flag(), wide.uses_higher_tier_than_needed), (Flag::Flagged, true), "{}", flag.sentence);
    assert_eq!((flag.incumbent_model.as_deref(), flag.cheaper_model.as_deref()), (Some(DEAR), Some(CHEAP)));
    assert_eq!(flag.selected_by(), pb::SelectedBy::CallerConstraint);
    assert!(flag.probability.unwrap() >= 0.99, "{flag:?}");
    // Every call of gpt-4o at 0.002031 less, as many days as a month has of this window's length.
    let window = report.window.as_ref().unwrap();
    let days = (window.end.unwrap().seconds - window.start.unwrap().seconds) as f64 / 86_400.0;
    let expected = CALLS as f64 * dear_share * 0.002_031 * 30.0 / days;
    let saving = flag.saving_usd_per_month.unwrap();
    assert!((saving / expected - 1.0).abs() < 0.002, "{saving} instead of {expected}");
    let narrow = task(&report, "ticket_classification_pinned_strict");
    let flag = narrow.over_provisioning.as_ref().unwrap();
    assert_eq!((flag.flag(), narrow.uses_higher_tier_than_needed), (Flag::NotFlagged, false), "{}", flag.sentence);
    assert_eq!(flag.saving_usd_per_month, None);
}
