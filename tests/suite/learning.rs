//! What the router learned and who may change it: posteriors, model states, resets, and a catalogue read again.

use oddsmaker::wire::pb;
use pb::ModelState;
use tonic::Code;

use super::calls::{ask, assert_invalid, decide, outcome, pinned, record, refused};
use super::catalogues;
use super::harness::Home;

#[tokio::test]
async fn a_posterior_is_prior_plus_what_was_taught_and_can_be_reset() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let (mut router, mut admin) = (daemon.router().await, daemon.admin().await);
    for success in [true, true, true, false] {
        let (_, id) = decide(&mut router, ask("single")).await;
        record(&mut router, super::calls::priced(&id, success)).await;
    }
    let request = pb::GetPosteriorRequest { task_type: "single".into(), model: None };
    let cell = admin.get_posterior(request.clone()).await.unwrap().into_inner().cells.remove(0);
    assert_eq!((cell.alpha, cell.beta, cell.success_count, cell.failure_count), (4.0, 2.0, 3, 1));
    assert_eq!((cell.mean, cell.probability_best), (4.0 / 6.0, 1.0));
    assert_eq!((cell.mean_cost_usd, cell.mean_input_tokens), (Some(0.0021), Some(300.0)));
    let prior = admin
        .get_posterior(pb::GetPosteriorRequest {
            task_type: "known_prior".into(),
            model: Some("openai/gpt-4o#best".into()),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(prior.cells.iter().map(|c| (c.alpha, c.beta)).collect::<Vec<_>>(), [(9.0, 1.0)]);

    let (_, open) = decide(&mut router, ask("single")).await;
    let reset = pb::ResetPosteriorRequest {
        task_type: "single".into(),
        by: "an operator".into(),
        reason: "the provider changed the model".into(),
        idempotency_key: Some("r1".into()),
        ..Default::default()
    };
    let answer = admin.reset_posterior(reset.clone()).await.unwrap().into_inner();
    assert_eq!((answer.duplicate, answer.cells[0].alpha, answer.cells[0].beta), (false, 1.0, 1.0));
    let late = record(&mut router, outcome(&open, true)).await;
    assert_eq!(late.posterior.map_or(1.0, |p| p.alpha), 1.0, "decided before the reset: it teaches no more");
    let (_, id) = decide(&mut router, ask("single")).await;
    assert_eq!(record(&mut router, outcome(&id, true)).await.posterior.map(|p| p.alpha), Some(2.0));
    assert!(admin.reset_posterior(reset.clone()).await.unwrap().into_inner().duplicate);
    let cell = admin.get_posterior(request).await.unwrap().into_inner().cells.remove(0);
    assert_eq!((cell.alpha, cell.beta), (2.0, 1.0), "a repeat resets nothing");
    assert_invalid(admin.reset_posterior(pb::ResetPosteriorRequest { by: String::new(), ..reset }).await, &["by"]);
}

#[tokio::test]
async fn a_disabled_model_is_not_served_until_it_is_enabled_again() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let (mut router, mut admin) = (daemon.router().await, daemon.admin().await);
    let set = |state: ModelState, task: Option<&str>| pb::SetModelStateRequest {
        model: "gpt-4o".into(),
        task_type: task.map(str::to_owned),
        state: state.into(),
        by: "an operator".into(),
        reason: "an outage".into(),
    };
    let answer = admin.set_model_state(set(ModelState::Disabled, None)).await.unwrap().into_inner();
    assert_eq!((answer.model.as_str(), answer.state(), answer.changed), ("openai/gpt-4o", ModelState::Disabled, true));
    assert!(!admin.set_model_state(set(ModelState::Disabled, None)).await.unwrap().into_inner().changed);
    for _ in 0..20 {
        assert_ne!(decide(&mut router, ask("triage")).await.0.model.as_deref(), Some("openai/gpt-4o"));
    }
    let alone = router.get_policy(ask("single")).await.unwrap().into_inner();
    assert_eq!((alone.verdict(), alone.proceed), (pb::Verdict::Block, false));
    admin.set_model_state(set(ModelState::Enabled, Some("single"))).await.unwrap();
    assert!(decide(&mut router, ask("single")).await.0.proceed, "the task type's own state goes first");
    let models = admin.list_models(pb::ListModelsRequest {}).await.unwrap().into_inner().models;
    let listed = models.iter().find(|m| m.id == "openai/gpt-4o").unwrap();
    assert_eq!(listed.state(), ModelState::Disabled);
    assert_eq!(listed.task_states.iter().map(|t| t.task_type.as_str()).collect::<Vec<_>>(), ["single"]);
    let unknown = pb::SetModelStateRequest { model: "no/such".into(), ..set(ModelState::Disabled, None) };
    assert!(matches!(refused(admin.set_model_state(unknown).await).0, Code::NotFound | Code::InvalidArgument));
}

#[tokio::test]
async fn a_bad_catalogue_is_refused_by_file_and_line_and_the_old_one_stays() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let (mut router, mut admin) = (daemon.router().await, daemon.admin().await);
    let before = admin.get_status(pb::GetStatusRequest {}).await.unwrap().into_inner().catalog_version;
    let bad = catalogues::usual().replace("[[task]]\nid = \"single\"", "[[task]]\ntolerence = 0.1\nid = \"single\"");
    home.write_catalogue(&bad);
    let line = bad.lines().position(|l| l.starts_with("tolerence")).unwrap() + 1;
    let status = admin.reload_catalog(pb::ReloadCatalogRequest {}).await.unwrap_err();
    assert!(matches!(status.code(), Code::InvalidArgument | Code::FailedPrecondition), "{status:?}");
    for part in ["models.toml", &format!(":{line}:"), "tolerance"] {
        assert!(status.message().contains(part), "{part} is not in: {}", status.message());
    }
    assert!(!status.message().contains("^") && !status.message().contains("-->"), "no picture: {}", status.message());
    assert_eq!(admin.get_status(pb::GetStatusRequest {}).await.unwrap().into_inner().catalog_version, before);
    assert_eq!(decide(&mut router, ask("single")).await.0.catalog_version, before);

    let dearer = catalogues::usual().replace("input = \"5.00\"", "input = \"7.00\"");
    home.write_catalogue(&dearer);
    let answer = admin.reload_catalog(pb::ReloadCatalogRequest {}).await.unwrap().into_inner();
    assert!(answer.changed && answer.catalog_version != before);
    assert_eq!(answer.changes, ["prices of model openai/gpt-4o changed"], "no task type was changed");
    let (decided, id) = decide(&mut router, pinned("single", "gpt-4o")).await;
    assert_eq!((decided.estimated_cost_usd, decided.catalog_version), (Some(0.0027), answer.catalog_version));
    assert_eq!(record(&mut router, super::calls::priced(&id, true)).await.cost_usd, Some(0.0027));
    assert!(!admin.reload_catalog(pb::ReloadCatalogRequest {}).await.unwrap().into_inner().changed);
}
