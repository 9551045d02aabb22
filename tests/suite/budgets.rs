//! Budgets over gRPC against the built program: never overspent, whoever races for them and whatever is killed when.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use oddsmaker::wire::pb;
use pb::Verdict;
use tonic::Code;

use super::calls::{Router, ask, costing, decide, in_goal, record, refused};
use super::catalogues;
use super::harness::{Daemon, Home};

/// A dollar for a workflow, once and for all.
const A_DOLLAR: &str = r#"
[[budget]]
id = "one-dollar"
scope = "workflow"
limit = "1.00"
period = "total"
"#;

/// A call of gpt-4o for one cent at most: 1,970 tokens in at $5, 10 out at $15 a million.
fn a_cent(workflow: &str) -> pb::GetPolicyRequest {
    pb::GetPolicyRequest { workflow: Some(workflow.to_owned()), usage_estimate: cents(1), ..ask("single") }
}

fn cents(n: u64) -> Option<pb::UsageEstimate> {
    let (input_tokens, output_tokens) = (Some(n * 2_000 - 30), Some(10));
    Some(pb::UsageEstimate { input_tokens, output_tokens, max_output_tokens: Some(10), ..Default::default() })
}

async fn proceeds(router: &mut Router, request: pb::GetPolicyRequest) -> bool {
    router.get_policy(request).await.unwrap().into_inner().proceed
}

/// How many of `callers`, all at once, are let through.
async fn race(daemon: &Daemon, callers: usize, workflow: &str) -> usize {
    let mut channels = Vec::new();
    for _ in 0..8 {
        channels.push(daemon.router().await);
    }
    let calls = (0..callers).map(|i| {
        let (mut router, request) = (channels[i % 8].clone(), a_cent(workflow));
        tokio::spawn(async move { router.get_policy(request).await.is_ok_and(|a| a.into_inner().proceed) })
    });
    let mut admitted = 0;
    for call in calls.collect::<Vec<_>>() {
        admitted += usize::from(call.await.unwrap());
    }
    admitted
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_callers_at_once_a_dollar_lets_a_hundred_cents_through() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start_with(A_DOLLAR);
    assert_eq!(race(&daemon, 1_000, "w").await, 100);
    let answer = daemon.router().await.get_policy(a_cent("w")).await.unwrap().into_inner();
    assert_eq!((answer.verdict(), answer.proceed), (Verdict::Block, false));
    let exhaustion = answer.exhaustion.expect("what is used up");
    assert_eq!((exhaustion.budget_id.as_str(), exhaustion.message.is_empty()), ("one-dollar", false));
    assert_eq!(race(&daemon, 50, "another").await, 50, "every workflow has its own dollar");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_a_dollar_is_not_spent_twice() {
    for round in 0..4_u64 {
        let home = Home::new(&catalogues::usual());
        let daemon = home.start_with(A_DOLLAR);
        let admitted = Arc::new(AtomicUsize::new(0));
        let mut callers = Vec::new();
        for _ in 0..8 {
            let (mut router, admitted) = (daemon.router().await, admitted.clone());
            callers.push(tokio::spawn(async move {
                while let Ok(answer) = router.get_policy(a_cent("w")).await {
                    if !answer.into_inner().proceed {
                        break;
                    }
                    admitted.fetch_add(1, Ordering::AcqRel);
                }
            }));
        }
        // Killed after some were let through; how many more were, nobody knows.
        while admitted.load(Ordering::Acquire) < 10 + 20 * usize::try_from(round).unwrap() {
            tokio::task::yield_now().await;
        }
        daemon.kill();
        for caller in callers {
            caller.await.unwrap();
        }
        let before = admitted.load(Ordering::Acquire);
        let daemon = home.start_with(A_DOLLAR);
        let after = race(&daemon, 200, "w").await;
        println!("round {round}: {before} before the kill, {after} after");
        assert!(before + after <= 100, "{before} + {after}");
        assert!(before + after >= 92, "at most what was in flight on eight connections is presumed spent");
        assert!(!proceeds(&mut daemon.router().await, a_cent("w")).await);
    }
}

#[tokio::test]
async fn the_answer_tells_what_is_left_and_settling_gives_the_rest_back() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start_with(A_DOLLAR);
    let mut router = daemon.router().await;
    let request = pb::GetPolicyRequest { usage_estimate: cents(60), ..a_cent("w") };
    let (answer, id) = decide(&mut router, request.clone()).await;
    let budget = &answer.budgets[0];
    assert_eq!((budget.limit, budget.held, budget.spent, budget.remaining), (1.0, 0.6, 0.0, 0.4));
    assert!(!proceeds(&mut router, request.clone()).await, "$0.40 are left");
    let recorded = record(&mut router, costing(&id, true, 0.05)).await;
    assert_eq!((recorded.budgets[0].spent, recorded.budgets[0].held, recorded.overrun), (0.05, 0.0, false));
    let (_, id) = decide(&mut router, request.clone()).await;
    let voided =
        pb::VoidDecisionRequest { decision_id: Some(id), reason: Some("never sent".into()), ..Default::default() };
    let budgets = router.void_decision(voided).await.unwrap().into_inner().budgets;
    assert_eq!((budgets[0].held, budgets[0].spent), (0.0, 0.05));
}

#[tokio::test]
async fn alerts_are_raised_once_survive_a_restart_and_can_be_acknowledged() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start_with(A_DOLLAR);
    assert_eq!(race(&daemon, 85, "w").await, 85);
    let list = |daemon: Daemon| async move {
        let answer = daemon.insights().await.list_alerts(pb::ListAlertsRequest::default()).await.unwrap().into_inner();
        (daemon, answer.alerts)
    };
    let (daemon, alerts) = list(daemon).await;
    assert_eq!(alerts.iter().map(|a| a.threshold_percent).collect::<Vec<_>>(), [80, 50], "newest first");
    let alert_id = alerts[1].alert_id.clone();
    daemon.kill();
    let daemon = home.start_with(A_DOLLAR);
    assert_eq!(race(&daemon, 10, "w").await, 10);
    let seen = pb::AcknowledgeAlertRequest { alert_id, by: "ada".into(), ..Default::default() };
    let mut insights = daemon.insights().await;
    assert!(!insights.acknowledge_alert(seen.clone()).await.unwrap().into_inner().duplicate);
    assert!(insights.acknowledge_alert(seen).await.unwrap().into_inner().duplicate);
    let unknown = pb::AcknowledgeAlertRequest { alert_id: "a_99".into(), by: "ada".into(), ..Default::default() };
    assert_eq!(refused(insights.acknowledge_alert(unknown).await).0, Code::NotFound);
    let (_daemon, alerts) = list(daemon).await;
    assert_eq!(alerts.iter().map(|a| a.threshold_percent).collect::<Vec<_>>(), [80], "one was seen to");
}

#[tokio::test]
async fn a_budget_that_nobody_used_yet_says_when_it_begins_anew() {
    let budget = |id: &str, period: &str| {
        format!("[[budget]]\nid = \"{id}\"\nscope = \"team\"\nperiod = \"{period}\"\nlimit = \"5.00\"\n")
    };
    let home = Home::new(&catalogues::usual());
    let daemon = home.start_with(&["hour", "day", "total", "per_goal"].map(|period| budget(period, period)).concat());
    let seconds = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let asked_from = seconds();
    let budgets = daemon.insights().await.list_budgets(pb::ListBudgetsRequest::default()).await.unwrap().into_inner();
    let asked_until = seconds();
    let resets = |id: &str| budgets.budgets.iter().find(|b| b.id == id).unwrap().resets_at.map(|at| at.seconds);
    for (id, length) in [("hour", 3_600), ("day", 86_400)] {
        let next = |at: i64| at - at.rem_euclid(length) + length;
        let resets = resets(id).unwrap();
        assert!([next(asked_from), next(asked_until)].contains(&resets), "{id}: {resets}");
    }
    assert_eq!((resets("total"), resets("per_goal")), (None, None), "never");
}

#[tokio::test]
async fn budgets_are_read_again_without_a_restart() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start_with(A_DOLLAR);
    assert_eq!(race(&daemon, 100, "w").await, 100);
    home.write_settings(&A_DOLLAR.replace("1.00", "1.05"));
    let reload = || async {
        let answer = daemon.admin().await.reload_catalog(pb::ReloadCatalogRequest {}).await.unwrap().into_inner();
        (answer.changed, answer.changes)
    };
    assert_eq!(reload().await, (true, vec!["budget one-dollar changed".to_owned()]));
    assert_eq!(reload().await, (false, vec![]), "nothing was written since");
    assert_eq!(race(&daemon, 20, "w").await, 5, "five cents more");
    home.write_settings(&A_DOLLAR.replace("limit", "limti"));
    let refused = daemon.admin().await.reload_catalog(pb::ReloadCatalogRequest {}).await.unwrap_err();
    assert!(refused.message().contains("limti"), "{refused:?}");
    let budgets = daemon.insights().await.list_budgets(pb::ListBudgetsRequest::default()).await.unwrap().into_inner();
    assert_eq!((budgets.budgets[0].limit, budgets.budgets[0].held), (1.05, 1.05), "the old one goes on");
    assert_eq!(race(&daemon, 60, "half").await, 60);
    let alerts = || async {
        let answer = daemon.insights().await.list_alerts(pb::ListAlertsRequest::default()).await.unwrap().into_inner();
        answer.alerts.iter().map(|a| (a.instance.clone(), a.threshold_percent)).collect::<Vec<_>>()
    };
    let before = alerts().await;
    assert_eq!(before[0], ("half".to_owned(), 50));
    home.write_settings(&A_DOLLAR.replace("1.00", "0.70"));
    assert!(reload().await.0);
    assert_eq!(alerts().await[0], ("half".to_owned(), 80), "60 of 70 cents, and nobody asked since");
    assert_eq!(alerts().await.len(), before.len() + 1, "the other one was at 100 % before");
}

#[tokio::test]
async fn a_goal_over_its_budget_is_told_what_to_do_and_an_approval_lets_it_go_on() {
    let home = Home::new(&catalogues::usual());
    let settings = "[[budget]]\nid = \"run\"\nscope = \"goal\"\nlimit = \"2.00\"\non_exceed = \"require_approval\"\n";
    let daemon = home.start_with(settings);
    let mut router = daemon.router().await;
    let (_, id) = decide(&mut router, in_goal("single", "g", "work")).await;
    record(&mut router, costing(&id, true, 1.80)).await;
    let quarter = pb::GetPolicyRequest { usage_estimate: cents(25), ..in_goal("single", "g", "work") };
    let answer = router.get_policy(quarter.clone()).await.unwrap().into_inner();
    assert_eq!((answer.verdict(), answer.proceed), (Verdict::RequireApproval, false));
    let fits = pb::GetPolicyRequest { usage_estimate: cents(20), ..in_goal("single", "g", "work") };
    let (answer, id) = decide(&mut router, fits).await;
    assert_eq!((answer.verdict(), answer.budgets[0].remaining), (Verdict::Allow, 0.0), "100 % used");
    record(&mut router, costing(&id, true, 0.20)).await;
    let grant = pb::GrantBudgetRequest {
        goal_id: "g".into(),
        extra_usd: 0.25,
        approver: "ada".into(),
        reason: "an important customer".into(),
        ..Default::default()
    };
    daemon.goals().await.grant_budget(grant).await.unwrap();
    assert!(proceeds(&mut router, quarter.clone()).await);
    assert!(!proceeds(&mut router, quarter).await);
}

#[tokio::test]
async fn an_approval_for_one_goal_lets_its_calls_through_the_budget_of_its_team_and_stands_on_the_receipt() {
    let home = Home::new(&catalogues::usual());
    let settings = "[[budget]]\nid = \"team\"\nscope = \"team\"\nlimit = \"0.02\"\non_exceed = \"require_approval\"\n";
    let daemon = home.start_with(settings);
    let mut router = daemon.router().await;
    let of_team = |goal: &str| pb::GetPolicyRequest {
        labels: [("team".to_owned(), "support".to_owned())].into(),
        usage_estimate: cents(1),
        ..in_goal("single", goal, "work")
    };
    for _ in 0..2 {
        let (_, id) = decide(&mut router, of_team("g")).await;
        record(&mut router, costing(&id, true, 0.01)).await;
    }
    let answer = router.get_policy(of_team("g")).await.unwrap().into_inner();
    assert_eq!((answer.verdict(), answer.proceed), (Verdict::RequireApproval, false));
    let grant = pb::GrantBudgetRequest {
        goal_id: "g".into(),
        extra_usd: 0.01,
        approver: "ada".into(),
        reason: "an important customer".into(),
        ..Default::default()
    };
    daemon.goals().await.grant_budget(grant).await.unwrap();
    assert!(!proceeds(&mut router, of_team("h")).await, "it is the money of one goal");
    let (answer, id) = decide(&mut router, of_team("g")).await;
    assert!(answer.reason.ends_with("Budget team is used up; money granted to the goal pays."), "{}", answer.reason);
    let purse = answer.budgets.iter().find(|b| b.id == "goal_grants").expect("what it draws on");
    assert_eq!((purse.limit, purse.held, purse.granted), (0.01, 0.01, 0.01));
    record(&mut router, costing(&id, true, 0.01)).await;
    assert!(!proceeds(&mut router, of_team("g")).await, "a cent was granted");
    let request = pb::GetReceiptRequest { goal_id: "g".into(), ..Default::default() };
    let receipt = daemon.goals().await.get_receipt(request).await.unwrap().into_inner().receipt.unwrap();
    let approvers: Vec<Vec<_>> = receipt.steps[0]
        .calls
        .iter()
        .map(|call| call.allowed_by.iter().filter_map(|a| a.approver.clone()).collect())
        .collect();
    assert_eq!(approvers, [vec![], vec![], vec!["ada".to_owned()]]);
    daemon.stop().await;
    assert!(home.run("verify").status.success(), "every account holds what its calls add up to");
}

#[tokio::test]
async fn a_fallback_is_asked_for_again_and_held_by_what_is_left_then() {
    // Every call is drawn anew, or the first draw would be kept for the whole goal.
    let home = Home::new(&catalogues::usual().replace("id = \"general\"\n", "id = \"general\"\nsticky = \"none\"\n"));
    let daemon = home.start_with(A_DOLLAR);
    let mut router = daemon.router().await;
    let request = pb::GetPolicyRequest {
        workflow: Some("w".into()),
        usage_estimate: cents(50),
        fallback_allowed: true,
        ..in_goal("general", "g", "work")
    };
    let id = loop {
        let (answer, id) = decide(&mut router, request.clone()).await;
        assert_eq!((answer.fallbacks.len(), answer.budgets[0].held), (1, 0.5), "the dearest of the two");
        if answer.model() == "openai/gpt-4o" {
            break id;
        }
        let never = pb::VoidDecisionRequest { decision_id: Some(id), ..Default::default() };
        router.void_decision(never).await.unwrap();
    };
    let failed = record(&mut router, costing(&id, false, 0.45)).await;
    assert_eq!((failed.budgets[0].spent, failed.budgets[0].held), (0.45, 0.0), "the first outcome settles the hold");
    let other = pb::GetPolicyRequest { workflow: Some("w".into()), usage_estimate: cents(53), ..ask("single") };
    assert!(proceeds(&mut router, other).await, "somebody else takes what it gave back");
    let denying = |model: &str| {
        let constraints = pb::Constraints { denied_models: vec![model.to_owned()], ..Default::default() };
        pb::GetPolicyRequest { constraints: Some(constraints), ..request.clone() }
    };
    let refused = router.get_policy(denying("gpt-4o-mini")).await.unwrap().into_inner();
    assert_eq!((refused.verdict(), refused.exhaustion.is_some()), (Verdict::Block, true), "$0.02 are left");
    let (again, _) = decide(&mut router, denying("gpt-4o")).await;
    assert_eq!((again.model(), again.fallbacks.len()), ("openai/gpt-4o-mini", 0));
    let told = pb::RecordOutcomeRequest {
        model_served: Some("openai/gpt-4o-mini".into()),
        idempotency_key: Some("unasked".into()),
        ..costing(&id, true, 0.01)
    };
    record(&mut router, told).await;
    let receipt = pb::GetReceiptRequest { goal_id: "g".into(), ..Default::default() };
    let receipt = daemon.goals().await.get_receipt(receipt).await.unwrap().into_inner().receipt.unwrap();
    let calls = receipt.steps.iter().flat_map(|step| &step.calls).filter(|call| call.cost_usd.is_some());
    let told: Vec<_> = calls.map(|c| (c.cost_usd(), c.fallback, c.unadmitted, c.allowed_by.len())).collect();
    assert_eq!(told, [(0.45, false, false, 1), (0.01, true, true, 0)]);
}
