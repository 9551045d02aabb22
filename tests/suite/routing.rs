//! GetPolicy over gRPC: who may play, who is served, and what the answer says about it.

use std::collections::BTreeSet;

use oddsmaker::wire::pb;
use pb::{Arm, EstimateSource, ExclusionReason, Verdict};
use tonic::Code;

use super::calls::{Router, ask, assert_invalid, decide, in_goal, insights, outcome, pinned, record, refused};
use super::catalogues;
use super::harness::Home;

const DEAR: &str = "openai/gpt-4o";
const CHEAP: &str = "openai/gpt-4o-mini";
const DEAREST: &str = "openai/gpt-4-turbo";

fn explained(task: &str) -> pb::GetPolicyRequest {
    pb::GetPolicyRequest { explain: true, ..ask(task) }
}

fn under(task: &str, max_cost_usd: f64) -> pb::GetPolicyRequest {
    let constraints = pb::Constraints { max_cost_usd: Some(max_cost_usd), ..Default::default() };
    pb::GetPolicyRequest { constraints: Some(constraints), ..explained(task) }
}

fn eligible(answer: &pb::GetPolicyResponse) -> Vec<&str> {
    answer.candidates.iter().filter(|c| c.eligible).map(|c| c.model.as_str()).collect()
}

async fn models_served(router: &mut Router, requests: impl Iterator<Item = pb::GetPolicyRequest>) -> Vec<String> {
    let mut models = Vec::new();
    for request in requests {
        models.push(decide(router, request).await.0.candidate.expect("a model"));
    }
    models
}

#[tokio::test]
async fn an_explained_decision_accounts_for_every_candidate() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    let (answer, _) = decide(&mut router, explained("triage")).await;
    assert_eq!((answer.verdict(), answer.proceed, answer.arm()), (Verdict::Allow, true, Arm::Router));
    let costs: Vec<_> = answer.candidates.iter().map(|c| (c.model.as_str(), c.expected_cost_usd)).collect();
    assert_eq!(costs, [(DEAR, Some(0.0021)), (CHEAP, Some(0.000_069)), (DEAREST, Some(0.0042))], "catalogue order");
    let sum: f64 = answer.candidates.iter().map(|c| c.propensity.expect("a propensity")).sum();
    assert!((sum - 1.0).abs() < 1e-6, "propensities sum to {sum}");
    for candidate in &answer.candidates {
        assert!(candidate.eligible && candidate.exclusion_detail.is_empty());
        assert_eq!(candidate.mean, 0.5, "nothing is known yet");
        let interval = candidate.interval.unwrap();
        assert!((interval.low - 0.05).abs() < 1e-6 && (interval.high - 0.95).abs() < 1e-6 && interval.level == 0.9);
        assert!((0.0..=1.0).contains(&candidate.draw.unwrap()));
    }
    let served = answer.candidates.iter().find(|c| Some(&c.model) == answer.model.as_ref()).expect("one of them");
    assert_eq!(answer.estimated_cost_usd, served.expected_cost_usd);
    assert_eq!(answer.estimate_source(), EstimateSource::Typical);
    assert_eq!(answer.provider.as_deref(), Some("openai"));
    assert!(!answer.reason.is_empty() && !answer.catalog_version.is_empty() && answer.expires_at.is_some());
}

#[tokio::test]
async fn a_ceiling_on_the_cost_decides_who_may_play() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    let (answer, _) = decide(&mut router, under("triage", 0.002)).await;
    assert_eq!(eligible(&answer), [CHEAP]);
    assert_eq!(answer.model.as_deref(), Some(CHEAP));
    assert_eq!(answer.candidates[0].exclusion(), ExclusionReason::OverMaxCost);
    assert!(!answer.candidates[0].exclusion_detail.is_empty());
    // (0.002 - 300 × 0.00000015) ÷ 0.0000006 = 3258.3 tokens of output are affordable.
    assert_eq!(answer.max_output_tokens, Some(3_258));
    let (answer, _) = decide(&mut router, under("triage", 0.05)).await;
    assert_eq!(eligible(&answer), [DEAR, CHEAP, DEAREST]);
    let (answer, _) = decide(&mut router, under("triage", 0.0021)).await;
    assert_eq!(eligible(&answer), [DEAR, CHEAP], "a ceiling may be reached");
    let answer = router.get_policy(under("triage", 0.000_01)).await.unwrap().into_inner();
    assert_eq!((answer.verdict(), answer.proceed, answer.model.as_deref()), (Verdict::Block, false, None));
    assert!(answer.exhaustion.is_none() && answer.reason.contains(CHEAP), "{}", answer.reason);
}

#[tokio::test]
async fn what_the_caller_says_it_will_use_is_what_is_held() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    // 300 in and at most 1000 out: 0.0165 for gpt-4o, 0.000645 for mini, 0.033 for turbo.
    let estimate = pb::UsageEstimate { input_tokens: Some(300), max_output_tokens: Some(1_000), ..Default::default() };
    let request = pb::GetPolicyRequest { usage_estimate: Some(estimate), ..under("triage", 0.0165) };
    let (answer, _) = decide(&mut router, request.clone()).await;
    assert_eq!(eligible(&answer), [DEAR, CHEAP]);
    assert_eq!(answer.max_output_tokens, Some(1_000));
    let constraints = pb::Constraints { max_cost_usd: Some(0.0164), ..Default::default() };
    let (answer, _) = decide(&mut router, pb::GetPolicyRequest { constraints: Some(constraints), ..request }).await;
    assert_eq!(eligible(&answer), [CHEAP]);
}

#[tokio::test]
async fn constraints_on_the_model_exclude_with_their_reason() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    let with = |constraints| pb::GetPolicyRequest { constraints: Some(constraints), ..explained("triage") };
    let vision = pb::Constraints { capabilities: vec!["vision".into()], ..Default::default() };
    let (answer, _) = decide(&mut router, with(vision)).await;
    assert_eq!(eligible(&answer), [DEAR]);
    assert_eq!(answer.candidates[1].exclusion(), ExclusionReason::CapabilityMissing);
    assert_eq!(answer.arm(), Arm::Router, "a capability is no pin");
    let long = pb::Constraints { min_context_tokens: Some(100_000), ..Default::default() };
    let (answer, _) = decide(&mut router, with(long)).await;
    assert_eq!(answer.candidates[2].exclusion(), ExclusionReason::ContextTooSmall);
    let denied = pb::Constraints { denied_models: vec!["gpt-4o".into()], ..Default::default() };
    let (answer, _) = decide(&mut router, with(denied)).await;
    assert_eq!(answer.candidates[0].exclusion(), ExclusionReason::Denied, "an alias names the model");
    let (answer, _) = decide(&mut router, pinned("triage", "gpt-4-turbo")).await;
    assert_eq!((answer.arm(), answer.model.as_deref()), (Arm::Pinned, Some(DEAREST)));
    assert_invalid(router.get_policy(pinned("triage", "no/such-model")).await, &["constraints.allowed_models"]);
}

#[tokio::test]
async fn an_irreversible_step_tries_nothing_out() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    let irreversible = || pb::GetPolicyRequest { reversible: Some(false), ..ask("known_prior") };
    let served = models_served(&mut router, (0..40).map(|_| irreversible())).await;
    assert_eq!(served, vec!["openai/gpt-4o#best"; 40], "the best mean, always");
    let (answer, _) = decide(&mut router, irreversible()).await;
    assert_eq!(answer.model.as_deref(), Some(DEAR));
    let style = answer.params.unwrap().fields["style"].clone();
    assert_eq!(style.kind, Some(prost_types::value::Kind::StringValue("best".into())));
    let served = models_served(&mut router, (0..40).map(|_| ask("known_prior"))).await;
    assert!(served.iter().any(|m| m != "openai/gpt-4o#best"), "half of the reversible ones are a random candidate");
}

#[tokio::test]
async fn a_goal_keeps_its_model_until_that_fails() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    let mut first = BTreeSet::new();
    let mut changed = false;
    for number in 0..30 {
        let goal = format!("ticket {number}");
        let served = models_served(&mut router, (0..4).map(|_| in_goal("triage", &goal, "classify"))).await;
        assert_eq!(BTreeSet::from_iter(&served).len(), 1, "one goal, one model: {served:?}");
        first.insert(served[0].clone());
        let (answer, id) = decide(&mut router, in_goal("triage", &goal, "other step")).await;
        assert_eq!(answer.candidate.as_ref(), Some(&served[0]), "also in its other steps");
        record(&mut router, outcome(&id, false)).await;
        changed |=
            decide(&mut router, in_goal("triage", &goal, "classify")).await.0.candidate.as_ref() != Some(&served[0]);
    }
    assert!(first.len() > 1 && changed, "goals differ, and a failure lets go");
}

#[tokio::test]
async fn a_shadow_is_scored_and_never_served() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    let served = models_served(&mut router, (0..60).map(|_| ask("with_shadow"))).await;
    assert_eq!(served, vec![DEAR; 60]);
    let (answer, _) = decide(&mut router, explained("with_shadow")).await;
    let shadow = &answer.candidates[1];
    assert_eq!((shadow.model.as_str(), shadow.shadow, shadow.eligible), (CHEAP, true, false));
    assert_eq!((shadow.exclusion(), shadow.draw.is_some()), (ExclusionReason::Shadow, true));
}

#[tokio::test]
async fn a_rule_answers_before_any_draw() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    let labelled = |value: &str| {
        let labels = [("cached".to_owned(), value.to_owned())].into();
        pb::GetPolicyRequest { labels, ..ask("with_rule") }
    };
    let answer = router.get_policy(labelled("true")).await.unwrap().into_inner();
    assert_eq!((answer.verdict(), answer.proceed, answer.model), (Verdict::NoModel, false, None));
    assert!(answer.reason.contains("the answer is cached"), "{}", answer.reason);
    let (answer, _) = decide(&mut router, labelled("false")).await;
    assert_eq!(answer.verdict(), Verdict::Allow);
}

#[tokio::test]
async fn a_task_type_nobody_declared_learns_on_its_own_or_is_refused() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    let (answer, id) = decide(&mut router, explained("haiku")).await;
    assert_eq!(eligible(&answer), [DEAR, CHEAP], "the candidates of the default task type");
    assert!(answer.warnings.iter().any(|w| w.contains("haiku")), "{:?}", answer.warnings);
    let recorded = record(&mut router, outcome(&id, true)).await;
    assert_eq!(recorded.posterior.map(|p| (p.alpha, p.beta)), Some((2.0, 1.0)));
    let (_, id) = decide(&mut router, pinned("general", &answer.model.unwrap())).await;
    assert!(record(&mut router, outcome(&id, true)).await.posterior.is_none());
    drop(daemon);

    let home = Home::new(&catalogues::without_default());
    let daemon = home.start();
    let answer = daemon.router().await.get_policy(ask("haiku")).await;
    let message = answer.as_ref().unwrap_err().message().to_owned();
    assert_eq!(refused(answer).0, Code::FailedPrecondition);
    assert!(message.contains("haiku") && message.contains("triage"), "the known names are told: {message}");
}

#[tokio::test]
async fn fallbacks_are_ranked_and_only_there_when_asked_for() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    let request = pb::GetPolicyRequest { fallback_allowed: true, ..ask("triage") };
    let (answer, _) = decide(&mut router, request).await;
    let mut all: Vec<String> = answer.fallbacks.iter().map(|f| f.model.clone()).collect();
    assert_eq!(all.len(), 2);
    all.extend(answer.model);
    assert_eq!(BTreeSet::from_iter(all.iter().map(String::as_str)), [DEAR, CHEAP, DEAREST].into());
    assert!(decide(&mut router, ask("triage")).await.0.fallbacks.is_empty());
}

#[tokio::test]
async fn a_dry_run_leaves_no_trace() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    let request = pb::GetPolicyRequest { dry_run: true, ..explained("triage") };
    let answer = router.get_policy(request).await.unwrap().into_inner();
    assert!(answer.decision_id.is_none() && answer.expires_at.is_none() && answer.model.is_some());
    let report = insights(&mut daemon.insights().await).await;
    assert_eq!((report.decisions, report.decisions_open), (0, 0));
}

#[tokio::test]
async fn the_same_key_gives_the_same_decision_and_another_body_is_refused() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    let keyed = |task: &str| pb::GetPolicyRequest {
        idempotency_key: Some("key 1".into()),
        fallback_allowed: true,
        ..ask(task)
    };
    let (first, _) = decide(&mut router, keyed("triage")).await;
    for _ in 0..5 {
        let (again, _) = decide(&mut router, keyed("triage")).await;
        assert_eq!(again, first);
    }
    assert_eq!(refused(router.get_policy(keyed("general")).await).0, Code::AlreadyExists);
    let report = insights(&mut daemon.insights().await).await;
    assert_eq!(report.decisions, 1);
}
