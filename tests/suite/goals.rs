//! Goals, gates and receipts over gRPC and HTTP against the built program.

use oddsmaker::wire::pb;
use pb::{GoalState, Verdict};
use tonic::Code;

use super::calls::{ask, costing, decide, in_goal, outcomes, record, refused};
use super::catalogues;
use super::harness::{Daemon, Home};

/// The usual catalogue and a daemon on it.
pub(crate) fn usual() -> (Home, Daemon) {
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
pub(crate) async fn attempt(daemon: &Daemon, goal: &str, step: &str, success: bool) -> pb::GateStepResponse {
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

/// Closes a goal.
pub(crate) async fn complete(daemon: &Daemon, goal: &str, state: GoalState) -> pb::Goal {
    let request = pb::CompleteGoalRequest { goal_id: goal.into(), state: state.into(), ..Default::default() };
    daemon.goals().await.complete_goal(request).await.unwrap().into_inner().goal.unwrap()
}

/// The receipt of a goal.
pub(crate) async fn receipt(daemon: &Daemon, goal: &str) -> pb::Receipt {
    let request = pb::GetReceiptRequest { goal_id: goal.into(), ..Default::default() };
    daemon.goals().await.get_receipt(request).await.unwrap().into_inner().receipt.unwrap()
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
async fn the_key_of_a_voided_decision_or_gate_lets_nothing_through() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start_with("[[budget]]\nid = \"run\"\nscope = \"goal\"\nlimit = \"1.00\"\n");
    let mut router = daemon.router().await;
    let keyed = pb::GetPolicyRequest { idempotency_key: Some("k".into()), ..in_goal("single", "g", "answer") };
    let gated = pb::GateStepRequest { idempotency_key: Some("k".into()), ..gate("g", "search") };
    let decision = router.get_policy(keyed.clone()).await.unwrap().into_inner();
    let hold_id = router.gate_step(gated.clone()).await.unwrap().into_inner().hold_id;
    assert!(decision.proceed && hold_id.is_some());
    for (decision_id, hold_id) in [(decision.decision_id.clone(), None), (None, hold_id)] {
        let void = pb::VoidDecisionRequest { decision_id, hold_id, ..Default::default() };
        router.void_decision(void).await.unwrap();
    }
    let again = router.get_policy(keyed).await.unwrap().into_inner();
    assert_eq!((again.proceed, again.verdict(), again.model), (false, Verdict::Block, None));
    assert_eq!(again.decision_id, decision.decision_id, "the same decision, which goes ahead no more");
    assert!(again.reason.starts_with("It was voided"), "{}", again.reason);
    let again = router.gate_step(gated).await.unwrap().into_inner();
    assert_eq!((again.proceed, again.verdict(), again.hold_id), (false, Verdict::Block, None));
    assert!(again.reason.starts_with("It was voided"), "{}", again.reason);
    let goal = pb::GetGoalRequest { goal_id: "g".into() };
    let budgets = daemon.goals().await.get_goal(goal).await.unwrap().into_inner().goal.unwrap().budgets;
    assert_eq!((budgets[0].held, budgets[0].spent), (0.0, 0.0), "the money stays released");
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
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let open = pb::GoalFilters { state: GoalState::Open.into(), ..Default::default() };
        let request = pb::ListGoalsRequest { filters: Some(open), page_size: 2, page_token: token };
        let answer = daemon.goals().await.list_goals(request).await.unwrap().into_inner();
        seen.extend(answer.goals.into_iter().map(|g| g.goal_id));
        token = answer.next_page_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["g5", "g3", "g1"]);
    let elsewhere = page(pb::GoalFilters { workflow: Some("no such".into()), ..Default::default() }, None).await;
    assert_eq!((elsewhere.goals.len(), elsewhere.next_page_token), (0, None));
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
    let calls = (0..many).map(|n| pb::RecordOutcomeRequest {
        goal_id: Some("big".into()),
        step: Some(format!("s{}", n % 7)),
        cost_usd: Some(0.000_001),
        ..super::calls::elsewhere("single", "openai/gpt-4o", true)
    });
    outcomes(&mut router, calls).await;
    let began = std::time::Instant::now();
    let told = receipt(&daemon, "big").await;
    println!("receipt of {many} calls in {:?}", began.elapsed());
    assert_eq!(told.goal.unwrap().total_cost_nano_usd, many * 1_000);
    assert_eq!(told.steps.iter().map(|s| s.calls.len()).sum::<usize>(), 10_000);
    daemon.stop().await;
    let verified = home.run("verify");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[tokio::test]
async fn an_audit_leaves_what_the_caller_reported() {
    let (_home, daemon) = usual();
    attempt(&daemon, "g", "search", true).await;
    let said = |goal: &pb::Goal| (goal.state(), goal.reported_state(), goal.graded_state());
    let (accepted, rejected, none) = (GoalState::Accepted, GoalState::Rejected, GoalState::Unspecified);
    assert_eq!(said(&complete(&daemon, "g", accepted).await), (accepted, accepted, none));
    let grade = pb::AmendGoalRequest {
        goal_id: "g".into(),
        state: rejected.into(),
        by: Some("audit:kim".into()),
        reason: "wrong order".into(),
        ..Default::default()
    };
    let graded = daemon.goals().await.amend_goal(grade).await.unwrap().into_inner().goal.unwrap();
    assert_eq!(said(&graded), (rejected, accepted, rejected));
    let request = pb::SampleGoalsRequest { n: 5, ..Default::default() };
    let sample = daemon.goals().await.sample_goals(request).await.unwrap().into_inner();
    assert_eq!(said(&sample.goals[0]), (rejected, accepted, rejected));
}

#[tokio::test]
async fn a_receipt_shows_the_calls_that_wait_for_their_outcome() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let (_, told) = decide(&mut router, in_goal("triage", "open", "classify")).await;
    record(&mut router, costing(&told, true, 0.01)).await;
    decide(&mut router, in_goal("triage", "open", "answer")).await;
    let steps = receipt(&daemon, "open").await.steps;
    let states: Vec<_> = steps.iter().flat_map(|s| &s.calls).map(pb::CallReceipt::state).collect();
    assert_eq!(states, [pb::CallState::Succeeded, pb::CallState::Open]);
}
