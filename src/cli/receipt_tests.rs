//! A receipt in its three forms, to the letter.

use super::super::fake_daemon::{Fake, World};
use super::*;
use crate::wire::pb::{Arm, CallState, CostSource, FailureReason, GoalEventKind, GoalState};

fn at(second: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: 1_795_348_800 + second, nanos: 0 })
}

fn sums(cost_nano_usd: u64, calls: u64) -> Option<pb::GoalSums> {
    Some(pb::GoalSums { cost_nano_usd, calls, ..pb::GoalSums::default() })
}

fn budget(held: f64) -> pb::Allowance {
    pb::Allowance {
        budget_id: Some("ticket-run".to_owned()),
        instance: Some("t-1".to_owned()),
        measure: Some("usd".to_owned()),
        held: Some(held),
        ..pb::Allowance::default()
    }
}

fn grant() -> pb::Allowance {
    pb::Allowance {
        approver: Some("kim".to_owned()),
        reason: Some("customer waits".to_owned()),
        granted_usd: Some(0.5),
        ..pb::Allowance::default()
    }
}

fn first_call() -> pb::CallReceipt {
    pb::CallReceipt {
        decision_id: Some("d-1".to_owned()),
        outcome_id: Some("o-1".to_owned()),
        at: at(1),
        task_type: Some("classify".to_owned()),
        model: Some("openai/gpt-4o-mini".to_owned()),
        provider: Some("openai".to_owned()),
        arm: Arm::Router.into(),
        state: CallState::Failed.into(),
        failure_reason: FailureReason::Timeout.into(),
        cost_usd: Some(0.000_069),
        cost_nano_usd: Some(69_000),
        cost_source: CostSource::Priced.into(),
        held_usd: Some(0.01),
        allowed_by: vec![budget(0.01)],
        input_tokens: Some(1_200),
        output_tokens: Some(40),
        latency_ms: Some(30_000),
        ..pb::CallReceipt::default()
    }
}

fn fallback() -> pb::CallReceipt {
    pb::CallReceipt {
        at: at(31),
        model: Some("openai/gpt-4o".to_owned()),
        arm: Arm::Fallback.into(),
        retry: true,
        fallback: true,
        overrun: true,
        state: CallState::Succeeded.into(),
        failure_reason: 0,
        quality_score: Some(0.9),
        cost_usd: Some(1.0021),
        cost_nano_usd: Some(1_002_100_001),
        cost_source: CostSource::Reported.into(),
        allowed_by: vec![budget(0.05), grant()],
        latency_ms: None,
        amendments: 1,
        ..first_call()
    }
}

fn tool(state: CallState, cost_nano_usd: Option<u64>) -> pb::CallReceipt {
    pb::CallReceipt {
        hold_id: Some("h-1".to_owned()),
        at: at(40),
        tool: Some("search\u{1b}[2J".to_owned()),
        arm: Arm::Elsewhere.into(),
        state: state.into(),
        cost_nano_usd,
        cost_source: CostSource::Reported.into(),
        held_usd: Some(0.03),
        ..pb::CallReceipt::default()
    }
}

fn below() -> pb::Receipt {
    let call = pb::CallReceipt {
        at: at(50),
        model: Some("gpt-x".to_owned()),
        arm: Arm::Elsewhere.into(),
        unadmitted: true,
        state: CallState::Unverdicted.into(),
        cost_source: CostSource::Unknown.into(),
        ..pb::CallReceipt::default()
    };
    let goal = pb::Goal {
        goal_id: "t-1-a".to_owned(),
        state: GoalState::Open.into(),
        own: sums(0, 1),
        whole: Some(pb::GoalSums { calls: 1, unpriced_calls: 1, ..pb::GoalSums::default() }),
        ..pb::Goal::default()
    };
    let step = pb::StepReceipt { step: "draft".to_owned(), sums: goal.whole, calls: vec![call] };
    pb::Receipt { goal: Some(goal), steps: vec![step], sub_goals: vec![] }
}

fn receipt() -> pb::Receipt {
    let failed = pb::GoalSums {
        failed_calls: 1,
        failed_cost_nano_usd: 69_000,
        retries: 1,
        ..sums(1_002_169_001, 2).unwrap_or_default()
    };
    let granted = pb::GoalEvent {
        at: at(30),
        kind: GoalEventKind::Granted.into(),
        granted_usd: Some(0.5),
        by: Some("kim".to_owned()),
        note: Some("customer waits".to_owned()),
        ..pb::GoalEvent::default()
    };
    let closed = pb::GoalEvent {
        at: at(60),
        kind: GoalEventKind::Closed.into(),
        state: GoalState::Accepted.into(),
        ..pb::GoalEvent::default()
    };
    let goal = pb::Goal {
        goal_id: "t-1".to_owned(),
        workflow: Some("support-ticket".to_owned()),
        state: GoalState::Accepted.into(),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        opened_at: at(0),
        closed_at: at(60),
        score: Some(0.75),
        limit_usd: Some(2.0),
        own: sums(1_032_169_001, 4),
        whole: Some(pb::GoalSums { unpriced_calls: 1, ..sums(1_032_169_001, 5).unwrap_or_default() }),
        events: vec![granted, closed],
        ..pb::Goal::default()
    };
    let tools = vec![tool(CallState::Succeeded, Some(30_000_000)), tool(CallState::Expired, None)];
    let steps = vec![
        pb::StepReceipt { step: "classify".to_owned(), sums: Some(failed), calls: vec![first_call(), fallback()] },
        pb::StepReceipt { step: "search_kb".to_owned(), sums: sums(30_000_000, 1), calls: tools },
    ];
    pb::Receipt { goal: Some(goal), steps, sub_goals: vec![below()] }
}

const TREE: &str = "\
Goal t-1 (support-ticket): accepted
  labels   team=a
  opened   2026-11-22 12:00:00, ended 2026-11-22 12:01:00 (UTC)
  score    0.75
  limit    $2.00
  granted $0.50 at 2026-11-22 12:00:30 by kim: customer waits
  ended as accepted at 2026-11-22 12:01:00

├─ classify: $1.002169001 in 2 calls (1 failed, costing $0.000069; 1 retry)
│  ├─ 2026-11-22 12:00:01  openai/gpt-4o-mini (openai)  failed (timeout)  $0.000069 priced  1,200 → 40 tokens, 30,000 ms
│  │  allowed by ticket-run of t-1 ($0.01 held)
│  └─ 2026-11-22 12:00:31  openai/gpt-4o (openai)  retry, fallback  succeeded, quality 0.9, amended once  \
$1.002100001 reported, more than was held for it  1,200 → 40 tokens
│     allowed by ticket-run of t-1 ($0.05 held) and a grant of $0.50 by kim: customer waits
├─ search_kb: $0.03 in 1 call
│  ├─ 2026-11-22 12:00:40  tool search\\u{1b}[2J  succeeded  $0.03 reported
│  │  allowed: no budget applied
│  └─ 2026-11-22 12:00:40  tool search\\u{1b}[2J  no outcome came  $0.03 presumed spent
│     allowed: no budget applied
└─ goal t-1-a: open, $0.00 in 1 call (1 of unknown cost)
   └─ draft: $0.00 in 1 call (1 of unknown cost)
      └─ 2026-11-22 12:00:50  gpt-x  routed elsewhere  no verdict yet  cost unknown
         ! nobody asked for it, although a budget applies
Total: $1.032169001 in 5 calls (1 of unknown cost)
       $1.032169001 its own, $0.00 of 1 goal below
";

#[test]
fn a_receipt_is_a_tree_a_person_can_read() {
    assert_eq!(receipt_text::text(&receipt()), TREE);
}

#[test]
fn parts_that_do_not_add_up_are_told() {
    let mut wrong = receipt();
    wrong.steps[1].sums = sums(30_000_001, 1);
    let text = receipt_text::text(&wrong);
    assert!(text.ends_with("! The steps add up to $1.032169002, not to $1.032169001.\n"), "{text}");
    let mut wrong = receipt();
    wrong.sub_goals[0].goal.as_mut().unwrap().whole = sums(5, 1);
    let text = receipt_text::text(&wrong);
    let told = "! The goal and those below it add up to $1.032169006, not to $1.032169001.\n";
    assert!(text.ends_with(told), "{text}");
}

#[test]
fn a_goal_without_calls_has_a_receipt() {
    let goal = pb::Goal { goal_id: "t-2".to_owned(), state: GoalState::Open.into(), ..pb::Goal::default() };
    let text = receipt_text::text(&pb::Receipt { goal: Some(goal), ..pb::Receipt::default() });
    assert_eq!(text, "Goal t-2: open\n  opened   –, not ended (UTC)\n\nNo calls.\nTotal: $0.00 in 0 calls\n");
}

#[test]
fn a_receipt_is_asked_for_and_printed_in_all_forms() {
    let fake = Fake::start(World { receipt: Some(receipt()), ..World::default() });
    let printed = |format, without_calls| {
        let args = ReceiptArgs { server: fake.server(), goal_id: "t-1".to_owned(), without_calls };
        let mut out = Vec::new();
        run(&SettingFlags::default(), &args, format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(printed(Format::Table, true), TREE);
    let told: Value = serde_json::from_str(&printed(Format::Json, false)).unwrap();
    assert_eq!(told["receipt"]["goal"]["state"], "GOAL_STATE_ACCEPTED");
    assert_eq!(told["receipt"]["steps"][0]["calls"][1]["allowed_by"][1]["approver"], "kim");
    assert_eq!(told["receipt"]["sub_goals"][0]["goal"]["goal_id"], "t-1-a");
    assert_eq!(fake.asked(), ["t-1 true", "t-1 false"]);

    let csv = printed(Format::Csv, false);
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    let names = rows.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    let column = |name: &str| {
        let place = names.iter().position(|n| n == name).unwrap();
        rows.iter().map(|row| row.get(place).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(column("goal_id"), ["t-1", "t-1", "t-1", "t-1", "t-1-a"]);
    assert_eq!(column("state"), ["failed", "succeeded", "succeeded", "expired", "unverdicted"]);
    assert_eq!(column("cost_nano_usd"), ["69000", "1002100001", "30000000", "", ""]);
    assert_eq!(column("arm"), ["router", "fallback", "elsewhere", "elsewhere", "elsewhere"]);
    assert_eq!(column("failure_reason"), ["timeout", "", "", "", ""]);
    let allowed = "ticket-run of t-1 ($0.05 held);a grant of $0.50 by kim: customer waits";
    assert_eq!(column("allowed_by")[1], allowed);
}
