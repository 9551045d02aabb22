//! RecordOutcome, AmendOutcome and VoidDecision over gRPC: every call counts once, in its place, to the nano-dollar.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use oddsmaker::wire::pb;
use pb::record_outcomes_response::Answer;
use pb::{CostSource, FailureReason, Purpose};
use tonic::Code;

use super::calls::{
    ask, assert_invalid, costing, decide, elsewhere, in_goal, insights, outcome, pinned, priced, record, refused, task,
};
use super::catalogues;
use super::harness::{Daemon, Home};

const NANO_GPT_4O: u64 = 2_100_000;

fn usual() -> (Home, Daemon) {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    (home, daemon)
}

#[tokio::test]
async fn what_was_recorded_is_what_is_reported_to_the_nano_dollar() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    for success in [true, true, false] {
        let (_, id) = decide(&mut router, ask("single")).await;
        let recorded = record(&mut router, priced(&id, success)).await;
        assert_eq!((recorded.cost_usd, recorded.cost_source()), (Some(0.0021), CostSource::Priced));
        assert!(!recorded.duplicate && !recorded.overrun && recorded.outcome_id.starts_with("o_"));
    }
    decide(&mut router, ask("single")).await;
    let report = insights(&mut daemon.insights().await).await;
    assert_eq!((report.total_cost_nano_usd, report.total_cost_usd), (3 * NANO_GPT_4O, 0.0063));
    assert_eq!((report.successful_outcomes, report.failed_calls_count, report.calls), (2, 1, 3));
    assert_eq!((report.failed_call_cost_nano_usd, report.failed_call_cost_usd), (NANO_GPT_4O, 0.0021));
    assert_eq!(report.cost_per_success, Some(0.003_15));
    assert_eq!((report.retry_multiplier, report.retries), (Some(1.0), 0));
    assert_eq!((report.decisions, report.decisions_open, report.decisions_without_outcome), (4, 1, 0));
    assert_eq!((report.pricing_coverage, report.unpriced_calls), (Some(1.0), 0));
    let row = task(&report, "single");
    assert_eq!((row.success_rate, row.avg_cost_per_call), (Some(2.0 / 3.0), Some(0.0021)));
    assert_eq!((row.cost_per_success, row.total_cost_nano_usd), (Some(0.003_15), 3 * NANO_GPT_4O));
    assert_eq!((row.by_model.len(), row.by_model[0].model.as_str()), (1, "openai/gpt-4o"));
    assert_eq!((row.by_model[0].successes, row.by_model[0].failures), (2, 1));
}

#[tokio::test]
async fn an_outcome_sent_twice_counts_once() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let (_, id) = decide(&mut router, ask("single")).await;
    let first = record(&mut router, priced(&id, true)).await;
    let again = record(&mut router, priced(&id, true)).await;
    assert_eq!(again, pb::RecordOutcomeResponse { duplicate: true, ..first });
    assert_eq!(refused(router.record_outcome(priced(&id, false)).await).0, Code::AlreadyExists);
    let keyed = |success| pb::RecordOutcomeRequest {
        idempotency_key: Some("k".into()),
        ..elsewhere("single", "gpt-4o", success)
    };
    assert!(!record(&mut router, keyed(true)).await.duplicate);
    assert!(record(&mut router, keyed(true)).await.duplicate);
    assert_eq!(refused(router.record_outcome(keyed(false)).await).0, Code::AlreadyExists);
    let report = insights(&mut daemon.insights().await).await;
    assert_eq!((report.calls, report.successful_outcomes, report.failed_calls_count), (2, 2, 0));
}

#[tokio::test]
async fn a_repeat_after_a_correction_gets_the_cost_that_was_answered_first() {
    let (home, daemon) = usual();
    let mut router = daemon.router().await;
    let (_, id) = decide(&mut router, ask("single")).await;
    let keyed = pb::RecordOutcomeRequest { idempotency_key: Some("outcome".into()), ..priced(&id, true) };
    let first = record(&mut router, keyed.clone()).await;
    let amend = |cost_usd: f64, key: Option<&str>| pb::AmendOutcomeRequest {
        outcome_id: Some(first.outcome_id.clone()),
        cost_usd: Some(cost_usd),
        reason: "the invoice".into(),
        idempotency_key: key.map(str::to_owned),
        ..Default::default()
    };
    router.amend_outcome(amend(0.05, Some("amendment"))).await.unwrap();
    router.amend_outcome(amend(0.07, None)).await.unwrap();
    daemon.kill();
    let daemon = home.start();
    let mut router = daemon.router().await;
    let again = record(&mut router, keyed.clone()).await;
    assert_eq!((again.cost_usd, again.cost_source(), again.duplicate), (Some(0.0021), CostSource::Priced, true));
    let streamed = pb::RecordOutcomesRequest { correlation: "1".into(), outcome: Some(keyed) };
    let answers = router.record_outcomes(tokio_stream::iter([streamed])).await.unwrap().into_inner().message().await;
    let Some(Answer::Result(streamed)) = answers.unwrap().unwrap().answer else { panic!("refused") };
    assert_eq!((streamed.cost_usd, streamed.cost_source()), (Some(0.0021), CostSource::Priced));
    let again = router.amend_outcome(amend(0.05, Some("amendment"))).await.unwrap().into_inner();
    assert_eq!((again.cost_usd, again.cost_source(), again.duplicate), (Some(0.05), CostSource::Reported, true));
    let report = insights(&mut daemon.insights().await).await;
    assert_eq!(report.total_cost_nano_usd, 70_000_000, "the ledger keeps the correction");
}

#[tokio::test]
async fn only_what_the_router_chose_first_teaches_it() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let (_, id) = decide(&mut router, ask("single")).await;
    let taught = record(&mut router, outcome(&id, true)).await.posterior.expect("it teaches");
    assert_eq!((taught.alpha, taught.beta), (2.0, 1.0));
    let (_, id) = decide(&mut router, pinned("triage", "gpt-4o")).await;
    assert!(record(&mut router, outcome(&id, true)).await.posterior.is_none(), "a pin is somebody's judgement");
    assert!(record(&mut router, elsewhere("triage", "gpt-4o", true)).await.posterior.is_none());
    let (_, id) = decide(&mut router, ask("single")).await;
    let cancelled =
        pb::RecordOutcomeRequest { failure_reason: FailureReason::Cancelled.into(), ..costing(&id, false, 0.5) };
    assert!(record(&mut router, cancelled).await.posterior.is_none(), "it costs and says nothing of the model");
    let (_, id) = decide(&mut router, ask("graded")).await;
    let graded = pb::RecordOutcomeRequest { quality_score: Some(0.25), ..outcome(&id, true) };
    let taught = record(&mut router, graded).await.posterior.expect("it teaches");
    assert_eq!((taught.alpha, taught.beta, taught.mean), (1.25, 1.75, 1.25 / 3.0));
}

#[tokio::test]
async fn a_fallback_is_a_further_call_of_its_decision() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let request = pb::GetPolicyRequest { fallback_allowed: true, ..in_goal("triage", "t1", "classify") };
    let (answer, id) = decide(&mut router, request).await;
    record(&mut router, costing(&id, false, 0.01)).await;
    let fallback =
        pb::RecordOutcomeRequest { model_served: Some(answer.fallbacks[0].model.clone()), ..costing(&id, true, 0.02) };
    assert_eq!(refused(router.record_outcome(fallback.clone()).await).0, Code::AlreadyExists, "it needs its own key");
    let keyed = pb::RecordOutcomeRequest { idempotency_key: Some("fallback".into()), ..fallback };
    let recorded = record(&mut router, keyed.clone()).await;
    assert!(!recorded.duplicate && recorded.posterior.is_none(), "it saw the hard case only");
    assert!(record(&mut router, keyed).await.duplicate);
    let report = insights(&mut daemon.insights().await).await;
    assert_eq!((report.calls, report.retries, report.retry_multiplier), (2, 1, Some(2.0)));
    assert_eq!((report.total_cost_nano_usd, report.off_policy_calls, report.decisions), (30_000_000, 0, 1));
}

#[tokio::test]
async fn a_fallback_told_before_the_failure_it_answers_leaves_the_same_record() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let request = pb::GetPolicyRequest { fallback_allowed: true, ..in_goal("triage", "t1", "classify") };
    let (answer, id) = decide(&mut router, request).await;
    let fallback = pb::RecordOutcomeRequest {
        model_served: Some(answer.fallbacks[0].model.clone()),
        idempotency_key: Some("fallback".into()),
        ..costing(&id, true, 0.02)
    };
    let first = record(&mut router, fallback.clone()).await;
    assert!(!first.duplicate && first.posterior.is_none());
    let mut client = daemon.insights().await;
    let report = insights(&mut client).await;
    assert_eq!((report.calls, report.retries, report.decisions), (1, 0, 1), "a call alone is no retry");
    assert_eq!((report.decisions_open, report.decisions_without_outcome), (0, 0), "the decision has its answer");
    assert!(record(&mut router, fallback).await.duplicate, "told twice, it counts once");
    let own = record(&mut router, costing(&id, false, 0.01)).await;
    assert!(!own.duplicate, "the failure that came first is told last");
    assert!(own.posterior.is_some(), "it is the router's own first attempt");
    let report = insights(&mut client).await;
    assert_eq!((report.calls, report.retries, report.retry_multiplier), (2, 1, Some(2.0)));
    assert_eq!((report.successful_outcomes, report.failed_calls_count), (1, 1));
    assert_eq!((report.total_cost_nano_usd, report.off_policy_calls, report.decisions), (30_000_000, 0, 1));
    let another = pb::RecordOutcomeRequest { model_served: Some("gpt-4-turbo".into()), ..costing(&id, true, 0.02) };
    assert_eq!(refused(router.record_outcome(another).await).0, Code::AlreadyExists, "it needs its own key");
}

#[tokio::test]
async fn without_a_key_the_decision_is_the_key_of_a_fallback_too() {
    let (home, daemon) = usual();
    let mut router = daemon.router().await;
    let (answer, id) = decide(&mut router, pb::GetPolicyRequest { fallback_allowed: true, ..ask("triage") }).await;
    let fallback =
        pb::RecordOutcomeRequest { model_served: Some(answer.fallbacks[0].model.clone()), ..costing(&id, true, 0.02) };
    let first = record(&mut router, fallback.clone()).await;
    let own = costing(&id, false, 0.01);
    assert_eq!(refused(router.record_outcome(own.clone()).await).0, Code::AlreadyExists, "it needs its own key");
    record(&mut router, pb::RecordOutcomeRequest { idempotency_key: Some("own".into()), ..own }).await;
    daemon.kill();
    let daemon = home.start();
    let again = record(&mut daemon.router().await, fallback).await;
    assert_eq!((again.outcome_id, again.duplicate), (first.outcome_id, true));
}

#[tokio::test]
async fn a_repeat_without_a_key_gets_the_first_cost_after_a_correction_too() {
    let (home, daemon) = usual();
    let mut router = daemon.router().await;
    let (_, id) = decide(&mut router, ask("single")).await;
    let first = record(&mut router, priced(&id, true)).await;
    let amendment = pb::AmendOutcomeRequest {
        decision_id: Some(id.clone()),
        cost_usd: Some(0.05),
        reason: "the invoice".into(),
        ..Default::default()
    };
    router.amend_outcome(amendment).await.unwrap();
    let again = record(&mut router, priced(&id, true)).await;
    assert_eq!((again.cost_usd, again.duplicate), (first.cost_usd, true));
    daemon.kill();
    let daemon = home.start();
    let again = record(&mut daemon.router().await, priced(&id, true)).await;
    assert_eq!((again.cost_usd, again.cost_source()), (first.cost_usd, CostSource::Priced), "after a restart");
}

#[tokio::test]
async fn a_quality_check_never_takes_the_place_of_the_outcome() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let (_, id) = decide(&mut router, ask("triage")).await;
    let check = pb::RecordOutcomeRequest {
        purpose: Purpose::Evaluation.into(),
        idempotency_key: Some("check".into()),
        ..costing(&id, false, 0.5)
    };
    assert!(record(&mut router, check).await.posterior.is_none());
    assert!(record(&mut router, costing(&id, true, 0.01)).await.posterior.is_some());
    let report = insights(&mut daemon.insights().await).await;
    assert_eq!((report.calls, report.retries, report.failed_calls_count), (1, 0, 0));
    assert_eq!(report.total_cost_nano_usd, 510_000_000, "a check costs all the same");
}

#[tokio::test]
async fn a_model_nobody_offered_is_recorded_and_marked() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let (_, id) = decide(&mut router, ask("single")).await;
    let proxied = pb::RecordOutcomeRequest { model_served: Some("gpt-4-turbo".into()), ..priced(&id, true) };
    let recorded = record(&mut router, proxied).await;
    assert_eq!(recorded.cost_usd, Some(0.0042), "the price of the model that ran");
    assert!(recorded.posterior.is_none());
    let report = insights(&mut daemon.insights().await).await;
    assert_eq!((report.off_policy_calls, report.calls), (1, 1));
    assert_eq!(task(&report, "single").by_model[0].model, "openai/gpt-4-turbo");
}

#[tokio::test]
async fn an_unknown_cost_is_never_zero() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let recorded = record(&mut router, elsewhere("single", "acme/unheard-of", true)).await;
    assert_eq!((recorded.cost_usd, recorded.cost_source()), (None, CostSource::Unknown));
    let mut client = daemon.insights().await;
    let report = insights(&mut client).await;
    assert_eq!((report.pricing_coverage, report.unpriced_calls, report.cost_per_success), (Some(0.0), 1, None));
    record(
        &mut router,
        pb::RecordOutcomeRequest { cost_usd: Some(0.03), ..elsewhere("single", "acme/unheard-of", true) },
    )
    .await;
    let report = insights(&mut client).await;
    assert_eq!(
        (report.pricing_coverage, report.cost_per_success),
        (Some(0.5), Some(0.03)),
        "known calls only, on both sides"
    );
    assert_eq!(task(&report, "single").avg_cost_per_call, Some(0.03));
}

#[tokio::test]
async fn a_decision_whose_time_ran_out_is_listed_and_its_late_outcome_still_counts() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let mut client = daemon.insights().await;
    let (_, id) = decide(&mut router, ask("brief")).await;
    let until = Instant::now() + Duration::from_secs(20);
    let report = loop {
        let report = insights(&mut client).await;
        if report.decisions_open == 0 {
            break report;
        }
        assert!(Instant::now() < until, "it never expired");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((report.decisions, report.decisions_without_outcome), (1, 1));
    assert_eq!((report.successful_outcomes, report.failed_calls_count), (0, 0), "neither success nor failure");
    let late = record(&mut router, priced(&id, true)).await;
    assert_eq!(late.posterior.map(|p| p.alpha), Some(2.0));
    let report = insights(&mut client).await;
    assert_eq!((report.decisions_without_outcome, report.successful_outcomes), (0, 1));
}

#[tokio::test]
async fn a_voided_decision_counts_nowhere() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let (_, id) = decide(&mut router, ask("single")).await;
    let void = |id: &str| pb::VoidDecisionRequest { decision_id: Some(id.to_owned()), ..Default::default() };
    assert!(!router.void_decision(void(&id)).await.unwrap().into_inner().duplicate);
    assert!(router.void_decision(void(&id)).await.unwrap().into_inner().duplicate);
    assert_eq!(refused(router.record_outcome(outcome(&id, true)).await).0, Code::FailedPrecondition);
    let report = insights(&mut daemon.insights().await).await;
    assert_eq!((report.decisions, report.decisions_open, report.decisions_without_outcome, report.calls), (0, 0, 0, 0));
    let (_, id) = decide(&mut router, ask("single")).await;
    record(&mut router, outcome(&id, true)).await;
    assert_eq!(refused(router.void_decision(void(&id)).await).0, Code::FailedPrecondition, "the call was made");
    assert_eq!(refused(router.void_decision(void("d_nonsense")).await).0, Code::NotFound);
}

#[tokio::test]
async fn an_amended_outcome_counts_as_if_it_had_been_known_at_once() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let mut client = daemon.insights().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (_, id) = decide(&mut router, in_goal("single", "t1", "answer")).await;
        record(&mut router, costing(&id, true, 0.01)).await;
        ids.push(id);
    }
    assert_eq!(insights(&mut client).await.retries, 0, "good turns of a conversation");
    let failed = pb::AmendOutcomeRequest {
        decision_id: Some(ids[0].clone()),
        success: Some(false),
        failure_reason: FailureReason::Hallucination.into(),
        by: Some("an auditor".into()),
        reason: "the order number does not exist".into(),
        idempotency_key: Some("a1".into()),
        ..Default::default()
    };
    let amended = router.amend_outcome(failed.clone()).await.unwrap().into_inner();
    assert!(!amended.duplicate);
    assert!(router.amend_outcome(failed.clone()).await.unwrap().into_inner().duplicate);
    let report = insights(&mut client).await;
    assert_eq!((report.successful_outcomes, report.failed_calls_count, report.retries), (2, 1, 1));
    assert_eq!((report.failed_call_cost_nano_usd, report.cost_per_success), (10_000_000, Some(0.015)));
    let of_step = pb::AmendOutcomeRequest {
        goal_id: Some("t1".into()),
        step: Some("answer".into()),
        cost_usd: Some(0.05),
        reason: "the invoice".into(),
        ..Default::default()
    };
    assert_eq!(router.amend_outcome(of_step).await.unwrap().into_inner().cost_usd, Some(0.05));
    let restored = pb::AmendOutcomeRequest {
        outcome_id: Some(amended.outcome_id),
        decision_id: None,
        success: Some(true),
        failure_reason: 0,
        idempotency_key: None,
        ..failed
    };
    router.amend_outcome(restored).await.unwrap();
    let report = insights(&mut client).await;
    assert_eq!((report.total_cost_nano_usd, report.successful_outcomes, report.retries), (70_000_000, 3, 0));
    let nothing =
        pb::AmendOutcomeRequest { decision_id: Some(ids[1].clone()), reason: "why".into(), ..Default::default() };
    assert_eq!(refused(router.amend_outcome(nothing).await).0, Code::InvalidArgument);
    let silent =
        pb::AmendOutcomeRequest { decision_id: Some(ids[1].clone()), success: Some(true), ..Default::default() };
    assert_invalid(router.amend_outcome(silent).await, &["reason"]);
}

#[tokio::test]
async fn retries_follow_the_order_of_decisions_not_of_outcomes() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(decide(&mut router, in_goal("single", "t1", "answer")).await.1);
    }
    // In decision order: failure, failure, success, success. Calls two and three are retries.
    for (at, success) in [(3, true), (1, false), (2, true), (0, false)] {
        record(&mut router, costing(&ids[at], success, 0.01)).await;
    }
    let report = insights(&mut daemon.insights().await).await;
    assert_eq!((report.calls, report.retries, report.retry_multiplier), (4, 2, Some(2.0)));
}

#[tokio::test]
async fn a_good_run_and_a_bad_run_cost_what_all_their_calls_cost() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let good = [("search_api", true), ("extract", true), ("crm_write", true)];
    let bad = [
        ("search_api", false),
        ("search_api", false),
        ("search_api", false),
        ("search_api", true),
        ("extract", false),
        ("extract", true),
        ("crm_write", true),
    ];
    for (goal, calls) in [("good", good.as_slice()), ("bad", bad.as_slice())] {
        for (step, success) in calls {
            let (goal_id, step) = (Some(goal.to_owned()), Some((*step).to_owned()));
            let call = elsewhere("single", "gpt-4o", *success);
            record(&mut router, pb::RecordOutcomeRequest { goal_id, step, cost_usd: Some(0.03), ..call }).await;
        }
    }
    let mut client = daemon.insights().await;
    for (goal, nano, calls, retries) in [("good", 90_000_000, 3, 0), ("bad", 210_000_000, 7, 4)] {
        let filters = Some(pb::Filters { goal_id: Some(goal.to_owned()), ..Default::default() });
        let request = pb::GetInsightsRequest { lookback_hours: Some(24.0), filters, ..Default::default() };
        let report = super::calls::report(&mut client, request).await;
        assert_eq!((report.total_cost_nano_usd, report.calls, report.retries), (nano, calls, retries), "{goal}");
        assert_eq!(report.by_task[0].avg_cost_per_call, Some(0.03));
    }
    let report = insights(&mut client).await;
    assert_eq!((report.failed_calls_count, report.failed_call_cost_nano_usd), (4, 120_000_000));
    assert_eq!((report.retry_multiplier, report.total_cost_nano_usd), (Some(10.0 / 6.0), 300_000_000));
}

#[tokio::test]
async fn a_verdict_may_wait_and_an_evaluation_is_no_step() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let mut client = daemon.insights().await;
    let (_, id) = decide(&mut router, ask("single")).await;
    record(&mut router, pb::RecordOutcomeRequest { success: None, ..costing(&id, true, 0.01) }).await;
    let check = pb::RecordOutcomeRequest {
        purpose: Purpose::Evaluation.into(),
        cost_usd: Some(0.02),
        ..elsewhere("single", "gpt-4o", false)
    };
    record(&mut router, check).await;
    let report = insights(&mut client).await;
    assert_eq!((report.calls, report.unverdicted_calls, report.failed_calls_count), (1, 1, 0));
    assert_eq!(
        (report.total_cost_nano_usd, report.evaluation_cost_usd, report.cost_per_success),
        (30_000_000, 0.02, None)
    );
    let verdict = pb::AmendOutcomeRequest {
        decision_id: Some(id),
        success: Some(true),
        reason: "a human graded it".into(),
        ..Default::default()
    };
    let amended = router.amend_outcome(verdict).await.unwrap().into_inner();
    assert_eq!(amended.posterior.map(|p| p.alpha), Some(2.0));
    let report = insights(&mut client).await;
    assert_eq!(
        (report.unverdicted_calls, report.cost_per_success),
        (0, Some(0.03)),
        "evaluations are part of the cost"
    );
}

#[tokio::test]
async fn a_thousand_outcomes_go_down_one_stream() {
    let (_home, daemon) = usual();
    let mut router = daemon.router().await;
    let mut requests = Vec::new();
    for number in 0..1_000_u32 {
        let cost_usd = Some(f64::from(number) / 1e6);
        let outcome = pb::RecordOutcomeRequest { cost_usd, ..elsewhere("single", "gpt-4o", number % 4 != 0) };
        requests.push(pb::RecordOutcomesRequest { correlation: number.to_string(), outcome: Some(outcome) });
    }
    let unknown = Some(outcome("d_unknown", true));
    requests.insert(500, pb::RecordOutcomesRequest { correlation: "bad".into(), outcome: unknown });
    let mut answers = router.record_outcomes(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let mut by_correlation = BTreeMap::new();
    while let Some(answer) = answers.message().await.unwrap() {
        assert!(by_correlation.insert(answer.correlation, answer.answer.unwrap()).is_none(), "one answer each");
    }
    assert_eq!(by_correlation.len(), 1_001);
    match by_correlation.remove("bad") {
        Some(Answer::Error(error)) => assert_eq!(error.code, Code::NotFound as i32),
        other => panic!("the bad one is refused, not {other:?}"),
    }
    for (correlation, answer) in by_correlation {
        let Answer::Result(result) = answer else { panic!("{correlation}: {answer:?}") };
        assert_eq!(result.cost_usd, Some(correlation.parse::<f64>().unwrap() / 1e6));
    }
    let report = insights(&mut daemon.insights().await).await;
    assert_eq!((report.calls, report.successful_outcomes, report.failed_calls_count), (1_000, 750, 250));
    assert_eq!(report.total_cost_nano_usd, 499_500_000, "the sum of 0 to 999 micro-dollars");
}
