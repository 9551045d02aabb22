//! Goals, gates and receipts over gRPC and HTTP against the built program.

use oddsmaker::wire::pb;
use pb::{GoalState, Verdict};
use tonic::Code;

use super::calls::{ask, costing, decide, in_goal, record, refused};
use super::catalogues;
use super::harness::{Daemon, Home};

fn usual() -> (Home, Daemon) {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    (home, daemon)
}

fn gate(goal: &str, step: &str) -> pb::GateStepRequest {
    pb::GateStepRequest {
        goal_id: goal.into(),
        step: step.into(),
        tool: Some(step.into()),
        estimated_cost_usd: Some(0.03),
        ..Default::default()
    }
}

/// Passes the gate of a step and tells what came of it, at three cents.
async fn attempt(daemon: &Daemon, goal: &str, step: &str, success: bool) -> pb::GateStepResponse {
    let mut router = daemon.router().await;
    let gated = router.gate_step(gate(goal, step)).await.unwrap().into_inner();
    assert!(gated.proceed, "{gated:?}");
    let outcome = pb::RecordOutcomeRequest {
        hold_id: gated.hold_id.clone(),
        success: Some(success),
        cost_usd: Some(0.03),
        ..Default::default()
    };
    record(&mut router, outcome).await;
    gated
}

async fn complete(daemon: &Daemon, goal: &str, state: GoalState) -> pb::Goal {
    let request = pb::CompleteGoalRequest { goal_id: goal.into(), state: state.into(), ..Default::default() };
    daemon.goals().await.complete_goal(request).await.unwrap().into_inner().goal.unwrap()
}

async fn receipt(daemon: &Daemon, goal: &str) -> pb::Receipt {
    let request = pb::GetReceiptRequest { goal_id: goal.into(), ..Default::default() };
    daemon.goals().await.get_receipt(request).await.unwrap().into_inner().receipt.unwrap()
}

#[tokio::test]
async fn a1_a2_the_bad_run_costs_what_all_its_attempts_cost() {
    let (_home, daemon) = usual();
    for step in ["search_api", "extract", "crm_write"] {
        attempt(&daemon, "good", step, true).await;
    }
    for (step, failures) in [("search_api", 3), ("extract", 1), ("crm_write", 0)] {
        for _ in 0..failures {
            attempt(&daemon, "bad", step, false).await;
        }
        let gated = attempt(&daemon, "bad", step, true).await;
        assert_eq!(gated.attempts, failures);
    }
    let (good, bad) = (complete(&daemon, "good", GoalState::Accepted).await, receipt(&daemon, "bad").await);
    assert_eq!(good.total_cost_nano_usd, 90_000_000);
    let goal = bad.goal.unwrap();
    assert_eq!((goal.total_cost_nano_usd, goal.state()), (210_000_000, GoalState::Open));
    let own = goal.own.unwrap();
    assert_eq!((own.calls, own.failed_calls, own.failed_cost_nano_usd, own.retries), (7, 4, 120_000_000, 4));
    let steps: Vec<(&str, usize)> = bad.steps.iter().map(|s| (s.step.as_str(), s.calls.len())).collect();
    assert_eq!(steps, [("search_api", 4), ("extract", 2), ("crm_write", 1)]);
    let sum: u64 = bad.steps.iter().flat_map(|s| &s.calls).filter_map(|c| c.cost_nano_usd).sum();
    assert_eq!(sum, goal.total_cost_nano_usd, "to the nano-dollar");
    let retries: Vec<bool> = bad.steps[0].calls.iter().map(|c| c.retry).collect();
    assert_eq!(retries, [false, true, true, true]);
}

#[tokio::test]
async fn an_output_is_bought_once_and_the_goal_survives_a_kill() {
    let (home, daemon) = usual();
    let mut router = daemon.router().await;
    let gated = router.gate_step(gate("g", "search")).await.unwrap().into_inner();
    let outcome = pb::RecordOutcomeRequest {
        hold_id: gated.hold_id,
        success: Some(true),
        cost_usd: Some(0.01),
        output_ref: Some("blob/7".into()),
        evidence: Some("sha".into()),
        ..Default::default()
    };
    record(&mut router, outcome).await;
    daemon.kill();
    let daemon = home.start();
    let mut router = daemon.router().await;
    let again = router.gate_step(gate("g", "search")).await.unwrap().into_inner();
    assert_eq!((again.verdict(), again.proceed, again.output_ref.as_deref()), (Verdict::Reuse, false, Some("blob/7")));
    let write = pb::GateStepRequest { requires_evidence_from: vec!["search".into()], ..gate("g", "write") };
    assert!(router.gate_step(write).await.unwrap().into_inner().proceed);
    let lacking = pb::GateStepRequest { requires_evidence_from: vec!["review".into()], ..gate("g", "publish") };
    let blocked = router.gate_step(lacking).await.unwrap().into_inner();
    assert_eq!((blocked.verdict(), blocked.hold_id), (Verdict::Block, None));
}

#[tokio::test]
async fn a_gate_answers_its_key_with_the_first_answer() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let keyed = pb::GateStepRequest { idempotency_key: Some("k".into()), ..gate("g", "search") };
    let first = router.gate_step(keyed.clone()).await.unwrap().into_inner();
    let again = router.gate_step(keyed.clone()).await.unwrap().into_inner();
    assert_eq!((first.hold_id, first.verdict), (again.hold_id, again.verdict));
    let other = pb::GateStepRequest { estimated_cost_usd: Some(0.04), ..keyed };
    assert_eq!(refused(router.gate_step(other).await).0, Code::AlreadyExists);
}

#[tokio::test]
async fn a_goal_ends_is_corrected_and_comes_back() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let unknown = pb::GetGoalRequest { goal_id: "nobody".into() };
    assert_eq!(refused(daemon.goals().await.get_goal(unknown).await).0, Code::NotFound);
    let (_, id) = decide(&mut router, in_goal("single", "g", "answer")).await;
    let closed = complete(&daemon, "g", GoalState::Accepted).await;
    assert_eq!((closed.state(), closed.closed_at.is_some()), (GoalState::Accepted, true));
    record(&mut router, costing(&id, true, 0.02)).await;
    let otherwise =
        pb::CompleteGoalRequest { goal_id: "g".into(), state: GoalState::Rejected.into(), ..Default::default() };
    assert_eq!(refused(daemon.goals().await.complete_goal(otherwise).await).0, Code::FailedPrecondition);
    let amend = pb::AmendGoalRequest {
        goal_id: "g".into(),
        state: GoalState::Rejected.into(),
        reason: "the customer wrote again".into(),
        ..Default::default()
    };
    let amended = daemon.goals().await.amend_goal(amend).await.unwrap().into_inner().goal.unwrap();
    assert_eq!((amended.state(), amended.total_cost_nano_usd), (GoalState::Rejected, 20_000_000));
    decide(&mut router, in_goal("single", "g", "answer")).await;
    let open = daemon.goals().await.get_goal(pb::GetGoalRequest { goal_id: "g".into() }).await.unwrap().into_inner();
    let open = open.goal.unwrap();
    assert_eq!((open.state(), open.events.len()), (GoalState::Open, 3), "{:?}", open.events);
}

#[tokio::test]
async fn a_sub_goals_spend_is_its_parents_too() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let child = pb::GetPolicyRequest { parent_goal_id: Some("parent".into()), ..in_goal("single", "child", "work") };
    let (_, id) = decide(&mut router, child).await;
    record(&mut router, costing(&id, true, 0.07)).await;
    let (_, id) = decide(&mut router, in_goal("single", "parent", "plan")).await;
    record(&mut router, costing(&id, true, 0.03)).await;
    let parent = receipt(&daemon, "parent").await;
    let goal = parent.goal.as_ref().unwrap();
    let (whole, own) = (goal.whole.as_ref().unwrap(), goal.own.as_ref().unwrap());
    assert_eq!((whole.cost_nano_usd, own.cost_nano_usd), (100_000_000, 30_000_000));
    let below = parent.sub_goals[0].goal.as_ref().unwrap();
    assert_eq!((below.goal_id.as_str(), below.parent_goal_id.as_deref()), ("child", Some("parent")));
    let orphan = pb::GetPolicyRequest { parent_goal_id: Some("x".into()), ..ask("single") };
    assert_eq!(refused(router.get_policy(orphan).await).0, Code::InvalidArgument);
}

#[tokio::test]
async fn goals_are_listed_newest_first_a_page_at_a_time() {
    let (home, daemon) = usual();
    for n in 0..7 {
        attempt(&daemon, &format!("g{n}"), "search", true).await;
        if n % 2 == 0 {
            complete(&daemon, &format!("g{n}"), GoalState::Accepted).await;
        }
    }
    daemon.kill();
    let daemon = home.start();
    let page = |filters: pb::GoalFilters, token: Option<String>| {
        let request = pb::ListGoalsRequest { filters: Some(filters), page_size: 3, page_token: token };
        let daemon = &daemon;
        async move { daemon.goals().await.list_goals(request).await.unwrap().into_inner() }
    };
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let answer = page(pb::GoalFilters::default(), token).await;
        assert!(answer.goals.len() <= 3);
        seen.extend(answer.goals.into_iter().map(|g| g.goal_id));
        token = answer.next_page_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["g6", "g5", "g4", "g3", "g2", "g1", "g0"]);
    let accepted = page(pb::GoalFilters { state: GoalState::Accepted.into(), ..Default::default() }, None).await;
    assert_eq!(accepted.goals.iter().map(|g| g.goal_id.as_str()).collect::<Vec<_>>(), ["g6", "g4", "g2"]);
    let sample = |seed| {
        let request = pb::SampleGoalsRequest { n: 2, seed, ..Default::default() };
        let daemon = &daemon;
        async move { daemon.goals().await.sample_goals(request).await.unwrap().into_inner() }
    };
    let (one, same) = (sample(1).await, sample(1).await);
    assert_eq!((one.population, one.goals.len()), (4, 2));
    assert_eq!(one, same, "the same seed draws the same goals");
}

#[tokio::test]
async fn a_receipt_of_ten_thousand_calls_adds_up() {
    let (home, daemon) = usual();
    let mut router = daemon.router().await;
    let many = 10_000_u64;
    let requests = (0..many).map(|n| pb::RecordOutcomesRequest {
        correlation: n.to_string(),
        outcome: Some(pb::RecordOutcomeRequest {
            goal_id: Some("big".into()),
            step: Some(format!("s{}", n % 7)),
            cost_usd: Some(0.000_001),
            idempotency_key: Some(n.to_string()),
            ..super::calls::elsewhere("single", "openai/gpt-4o", true)
        }),
    });
    let mut answers = router.record_outcomes(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let mut answered = 0;
    while let Some(_answer) = answers.message().await.unwrap() {
        answered += 1;
    }
    assert_eq!(answered, many);
    let began = std::time::Instant::now();
    let told = receipt(&daemon, "big").await;
    println!("receipt of {many} calls in {:?}", began.elapsed());
    assert_eq!(told.goal.unwrap().total_cost_nano_usd, many * 1_000);
    assert_eq!(told.steps.iter().map(|s| s.calls.len()).sum::<usize>(), 10_000);
    daemon.stop().await;
    let verified = home.run("verify");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// The good and the bad run of the acceptance arithmetic, ended as `states` say, in a daemon of their own.
async fn both_runs(states: [GoalState; 2]) -> pb::GetInsightsResponse {
    let (_home, daemon) = usual();
    for step in ["search_api", "extract", "crm_write"] {
        attempt(&daemon, "good", step, true).await;
    }
    for (step, failures) in [("search_api", 3), ("extract", 1), ("crm_write", 0)] {
        for _ in 0..failures {
            attempt(&daemon, "bad", step, false).await;
        }
        attempt(&daemon, "bad", step, true).await;
    }
    complete(&daemon, "good", states[0]).await;
    complete(&daemon, "bad", states[1]).await;
    super::calls::insights(&mut daemon.insights().await).await
}

#[tokio::test]
async fn a2_a3_a12_what_an_accepted_goal_costs_and_what_was_wasted() {
    let report = both_runs([GoalState::Accepted, GoalState::Accepted]).await;
    let total = report.goals.unwrap().total.unwrap();
    assert_eq!((total.cost_per_accepted_goal, total.failure_cost_share), (Some(0.15), Some(0.0)));
    assert_eq!((report.failed_calls_count, report.failed_call_cost_nano_usd), (4, 120_000_000), "4 of 10 calls, $0.12");
    let report = both_runs([GoalState::Accepted, GoalState::Rejected]).await;
    let total = report.goals.unwrap().total.unwrap();
    assert_eq!((total.cost_per_accepted_goal, total.failure_cost_share), (Some(0.30), Some(0.70)));
    let by_state: u64 = total.by_state.iter().map(|row| row.cost_nano_usd).sum();
    assert_eq!(by_state, total.closed_cost_nano_usd, "the states sum to the total");
    let report = both_runs([GoalState::Rejected, GoalState::Abandoned]).await;
    let total = report.goals.unwrap().total.unwrap();
    assert_eq!((total.cost_per_accepted_goal, total.failure_cost_share), (None, Some(1.0)), "never 0");
}

#[tokio::test]
async fn a4_what_a_tool_costs_per_completion() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let tools = [("search_api", 0.03, 210, 100), ("extract", 0.05, 102, 100), ("crm_write", 0.01, 100, 100)];
    let calls = tools.into_iter().flat_map(|(tool, price, calls, completions)| {
        (0..calls).map(move |n| pb::RecordOutcomeRequest {
            tool: Some(tool.into()),
            success: Some(n < completions),
            cost_usd: Some(price),
            ..Default::default()
        })
    });
    let requests = (0..).zip(calls).map(|(n, outcome): (u64, _)| {
        let outcome = Some(pb::RecordOutcomeRequest { idempotency_key: Some(n.to_string()), ..outcome });
        pb::RecordOutcomesRequest { correlation: n.to_string(), outcome }
    });
    let requests: Vec<_> = requests.collect();
    let mut answers = router.record_outcomes(tokio_stream::iter(requests)).await.unwrap().into_inner();
    while let Some(_answer) = answers.message().await.unwrap() {}
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
