//! The acceptance arithmetic of runs, goals and budgets (A1 to A5, A7, A12 to A14), each row a test through the public
//! contract with the figures as they are written there. What models cost is in `acceptance_models`.

use oddsmaker::domain::time::{HOUR_MS, UnixMillis};
use oddsmaker::wire::pb;
use pb::{GoalState, Verdict};

use super::calls::{costing, decide, in_goal, outcomes, record, usage};
use super::catalogues;
use super::goals::{attempt, complete, receipt, usual};
use super::harness::{Daemon, Home};
use super::http_client::get;
use super::own_clock::Timed;

/// The good run succeeds at once; in the bad one search_api fails three times and extract once. Every call three cents.
async fn both_runs(daemon: &Daemon) {
    for step in ["search_api", "extract", "crm_write"] {
        attempt(daemon, "good", step, true).await;
    }
    for (step, failures) in [("search_api", 3), ("extract", 1), ("crm_write", 0)] {
        for _ in 0..failures {
            attempt(daemon, "bad", step, false).await;
        }
        let gated = attempt(daemon, "bad", step, true).await;
        assert_eq!(gated.attempts, failures);
    }
}

#[tokio::test]
async fn a1_the_bad_run_costs_what_all_its_attempts_cost() {
    let (_home, daemon) = usual();
    both_runs(&daemon).await;
    let (good, bad) = (receipt(&daemon, "good").await, receipt(&daemon, "bad").await);
    let total = |run: &pb::Receipt| run.goal.as_ref().unwrap().total_cost_nano_usd;
    assert_eq!((total(&good), total(&bad)), (90_000_000, 210_000_000));
    assert_eq!(total(&bad) * 3, total(&good) * 7, "2.333… times as much");
    for (run, calls) in [(&good, 3), (&bad, 7)] {
        let costs: Vec<u64> = run.steps.iter().flat_map(|s| &s.calls).filter_map(|c| c.cost_nano_usd).collect();
        assert_eq!(costs, vec![30_000_000; calls], "0.03 a call in both");
        assert_eq!(costs.iter().sum::<u64>(), total(run), "to the nano-dollar");
    }
    let steps: Vec<(&str, usize)> = bad.steps.iter().map(|s| (s.step.as_str(), s.calls.len())).collect();
    assert_eq!(steps, [("search_api", 4), ("extract", 2), ("crm_write", 1)]);
    let retries: Vec<bool> = bad.steps[0].calls.iter().map(|c| c.retry).collect();
    assert_eq!(retries, [false, true, true, true]);
}

#[tokio::test]
async fn a2_four_of_the_seven_calls_of_the_bad_run_were_wasted() {
    let (_home, daemon) = usual();
    both_runs(&daemon).await;
    let own = receipt(&daemon, "bad").await.goal.unwrap().own.unwrap();
    assert_eq!((own.calls, own.failed_calls, own.failed_cost_nano_usd, own.retries), (7, 4, 120_000_000, 4));
    let filters = Some(pb::Filters { goal_id: Some("bad".into()), ..Default::default() });
    let request = pb::GetInsightsRequest { filters, ..Default::default() };
    let report = super::calls::report(&mut daemon.insights().await, request).await;
    let waste = report.waste.unwrap();
    let told = (waste.retry_waste_ratio.unwrap(), waste.retry_waste_ratio_by_count.unwrap());
    assert_eq!(told, (4.0 / 7.0, 4.0 / 7.0), "57.14 %");
    assert_eq!((report.failed_calls_count, report.failed_call_cost_nano_usd), (4, 120_000_000));
}

/// Both runs, ended as `states` say, in a daemon of their own.
async fn ended(states: [GoalState; 2]) -> (Home, Daemon, pb::GetInsightsResponse) {
    let (home, daemon) = usual();
    both_runs(&daemon).await;
    complete(&daemon, "good", states[0]).await;
    complete(&daemon, "bad", states[1]).await;
    let report = super::calls::insights(&mut daemon.insights().await).await;
    (home, daemon, report)
}

#[tokio::test]
async fn a3_what_an_accepted_goal_costs_and_what_failure_takes() {
    let (_home, _daemon, report) = ended([GoalState::Accepted, GoalState::Accepted]).await;
    let total = report.goals.unwrap().total.unwrap();
    assert_eq!((total.cost_per_accepted_goal, total.failure_cost_share), (Some(0.15), Some(0.0)));
    let (_home, _daemon, report) = ended([GoalState::Accepted, GoalState::Rejected]).await;
    let total = report.goals.unwrap().total.unwrap();
    assert_eq!((total.cost_per_accepted_goal, total.failure_cost_share), (Some(0.30), Some(0.70)));
    let by_state: u64 = total.by_state.iter().map(|row| row.cost_nano_usd).sum();
    assert_eq!(by_state, total.closed_cost_nano_usd, "the states sum to the total");
}

#[tokio::test]
async fn a4_what_a_tool_costs_per_completion() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let tools = [("search_api", 0.03, 210), ("extract", 0.05, 102), ("crm_write", 0.01, 100)];
    let calls = tools.into_iter().flat_map(|(tool, price, calls)| {
        (0..calls).map(move |n| pb::RecordOutcomeRequest {
            tool: Some(tool.into()),
            success: Some(n < 100),
            cost_usd: Some(price),
            ..Default::default()
        })
    });
    outcomes(&mut router, calls).await;
    let report = super::calls::insights(&mut daemon.insights().await).await;
    let rows: Vec<_> =
        report.tools.iter().map(|t| (t.name.as_str(), t.calls, t.completions, t.effective_cost_usd)).collect();
    let told = [
        ("search_api", 210, 100, Some(0.063)),
        ("extract", 102, 100, Some(0.051)),
        ("crm_write", 100, 100, Some(0.010)),
    ];
    assert_eq!(rows, told);
}

#[tokio::test]
async fn a5_what_does_not_fit_is_refused_before_the_call_and_what_fits_uses_it_up() {
    let home = Home::new(&catalogues::usual());
    let settings = "[[budget]]\nid = \"ticket-run\"\nscope = \"goal\"\nlimit = \"2.00\"\non_exceed = \"block\"\n";
    let daemon = home.start_with(settings);
    let mut router = daemon.router().await;
    let (_, id) = decide(&mut router, in_goal("single", "g", "work")).await;
    record(&mut router, costing(&id, true, 1.80)).await;
    // gpt-4o takes $5 for a million tokens: 50,000 cost $0.25, 40,000 cost $0.20.
    let expecting = |tokens| {
        let usage_estimate =
            pb::UsageEstimate { input_tokens: Some(tokens), output_tokens: Some(0), ..Default::default() };
        pb::GetPolicyRequest { usage_estimate: Some(usage_estimate), ..in_goal("single", "g", "work") }
    };
    let refused = router.get_policy(expecting(50_000)).await.unwrap().into_inner();
    assert_eq!((refused.verdict(), refused.proceed, refused.model), (Verdict::Block, false, None));
    let budget = refused.exhaustion.unwrap();
    assert_eq!((budget.budget_id.as_str(), budget.limit, budget.spent, budget.held), ("ticket-run", 2.0, 1.8, 0.0));
    let (admitted, id) = decide(&mut router, expecting(40_000)).await;
    assert_eq!((admitted.verdict(), admitted.proceed), (Verdict::Allow, true));
    let budget = &admitted.budgets[0];
    assert_eq!((budget.spent, budget.held, budget.remaining), (1.8, 0.2, 0.0), "100 % used");
    let outcome = pb::RecordOutcomeRequest { usage: usage(40_000, 0), ..super::calls::outcome(&id, true) };
    let settled = &record(&mut router, outcome).await.budgets[0];
    assert_eq!((settled.spent, settled.held, settled.remaining), (2.0, 0.0, 0.0));
}

#[tokio::test]
async fn a7_fifteen_in_a_hundred_need_three_retries() {
    let (_home, daemon) = usual();
    let attempts = |goal| 1 + if goal < 15 { 3 } else { 0 };
    let calls = (0..100).flat_map(|goal| {
        (1..=attempts(goal)).map(move |attempt| pb::RecordOutcomeRequest {
            goal_id: Some(format!("task {goal}")),
            step: Some("answer".into()),
            cost_usd: Some(0.01),
            ..super::calls::elsewhere("single", "openai/gpt-4o", attempt == attempts(goal))
        })
    });
    outcomes(&mut daemon.router().await, calls).await;
    let report = super::calls::insights(&mut daemon.insights().await).await;
    assert_eq!((report.calls, report.retries, report.retry_multiplier), (145, 45, Some(1.45)));
}

#[tokio::test]
async fn a12_without_an_accepted_goal_there_is_no_cost_of_one() {
    let (_home, daemon, report) = ended([GoalState::Rejected, GoalState::Abandoned]).await;
    let total = report.goals.unwrap().total.unwrap();
    assert_eq!((total.cost_per_accepted_goal, total.failure_cost_share), (None, Some(1.0)), "never 0");
    let page = get(daemon.address, "/v1/insights?lookback_hours=24").unwrap().json();
    let total = &page["goals"]["total"];
    assert!(total.as_object().unwrap().contains_key("cost_per_accepted_goal"));
    assert_eq!((&total["cost_per_accepted_goal"], &total["closed"]), (&serde_json::Value::Null, &2.into()));
}

#[tokio::test]
async fn a13_thirty_eight_percent_up_to_forty_seven_cents() {
    let noon = UnixMillis(1_795_348_800_000);
    let daemon = Timed::start(&catalogues::usual(), noon).await;
    let resolve = async |goal: &str, cost_usd: f64, state: GoalState| {
        let call = pb::RecordOutcomeRequest {
            goal_id: Some(goal.into()),
            workflow: Some("support-ticket".into()),
            cost_usd: Some(cost_usd),
            idempotency_key: Some(goal.into()),
            ..super::calls::elsewhere("single", "openai/gpt-4o", true)
        };
        record(&mut daemon.router().await, call).await;
        let closed = pb::CompleteGoalRequest { goal_id: goal.into(), state: state.into(), ..Default::default() };
        daemon.goals().await.complete_goal(closed).await.unwrap();
    };
    resolve("before", 0.340_579_710, GoalState::Accepted).await;
    daemon.set(noon.plus_ms(HOUR_MS + HOUR_MS / 2));
    // What a rejected ticket cost is part of what the accepted one cost.
    resolve("now", 0.30, GoalState::Accepted).await;
    resolve("in vain", 0.17, GoalState::Rejected).await;
    let request = pb::GetInsightsRequest { lookback_hours: Some(1.0), compare_previous: true, ..Default::default() };
    let report = super::calls::report(&mut daemon.insights().await, request).await;
    let of = |goals: Option<pb::GoalInsights>| {
        let rows = goals.unwrap().by_workflow;
        rows.into_iter().find(|row| row.workflow == "support-ticket").unwrap()
    };
    let (now, before) = (of(report.goals), of(report.previous_goals));
    assert_eq!(now.cost_per_accepted_goal, Some(0.47));
    assert_eq!(format!("{:.4}", before.cost_per_accepted_goal.unwrap()), "0.3406");
    let change = now.changes.unwrap().cost_per_accepted_goal.unwrap();
    assert!((change - 0.38).abs() < 1e-8, "{change}");
}

#[tokio::test]
async fn a14_what_orchestration_takes_and_what_is_never_solved_adds() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let mut ended = async |goal: &str, workflow: &str, joules: f64, state: GoalState| {
        let outcome = pb::RecordOutcomeRequest {
            tool: Some("model".into()),
            goal_id: Some(goal.into()),
            workflow: Some(workflow.into()),
            success: Some(true),
            energy_joules: Some(joules),
            idempotency_key: Some(goal.into()),
            ..Default::default()
        };
        record(&mut router, outcome).await;
        complete(&daemon, goal, state).await;
    };
    ended("linear", "linear", 205.3, GoalState::Accepted).await;
    ended("first", "agentic", 888.1, GoalState::Accepted).await;
    ended("second", "agentic", 888.1, GoalState::Accepted).await;
    let told = async || {
        let request = pb::GetInsightsRequest {
            overhead_workflow: Some("agentic".into()),
            overhead_baseline: Some("linear".into()),
            ..Default::default()
        };
        let report = super::calls::report(&mut daemon.insights().await, request).await;
        let rows = report.goals.unwrap().by_workflow;
        let agentic = rows.into_iter().find(|row| row.workflow == "agentic").unwrap();
        (report.overhead.unwrap().energy.unwrap(), agentic.per_accepted.unwrap().energy_j.unwrap())
    };
    let (index, before) = told().await;
    assert!((index - 4.326).abs() < 0.000_5, "{index}");
    ended("never", "agentic", 1_000.0, GoalState::Abandoned).await;
    let (_, after) = told().await;
    assert!((after - before - 1_000.0 / 2.0).abs() < 1e-9, "{before} J, then {after} J");
}
