//! A service to speak to: the real one, over a directory that goes when it goes.

use std::sync::Arc;

use crate::domain::catalog::{Catalog, Model, Price, Rates, ServiceTier, Task, TaskCandidate, TaskSettings};
use crate::domain::money::{PicoUsdPerToken, PriceMultiplier};
use crate::domain::time::UnixMillis;
use crate::domain::token::TokenKey;
use crate::engine::{Engine, hydrate};
use crate::journal::{Journal, JournalOptions, JournalReader, codec};
use crate::service::{About, Clock, Parts, Service};
use crate::state::{Opened, SledStore};

/// A time that stands still.
struct Still(UnixMillis);

impl Clock for Still {
    fn now(&self) -> UnixMillis {
        self.0
    }
}

pub(super) fn service() -> Arc<Service> {
    let dir = tempfile::tempdir().unwrap();
    let journal_dir = dir.path().join("journal");
    let (journal, _) = Journal::open(&journal_dir, JournalOptions::default()).unwrap();
    let store = SledStore::open(&dir.path().join("state")).unwrap().store;
    let clock = Arc::new(Still(UnixMillis(1_795_348_800_000)));
    let mut engine = Engine::new(Opened::blank(), Arc::new(catalog()), 7);
    for event in engine.start("test", "", clock.now()) {
        let mut bytes = Vec::new();
        codec::encode(&event, &mut bytes);
        let seq = journal.append(&bytes).unwrap();
        hydrate::needs(&mut engine.state, &hydrate::NoStore, &event);
        engine.apply(seq, &event);
    }
    Arc::new(Service::new(Parts {
        engine,
        journal,
        reader: JournalReader::open(&journal_dir).unwrap(),
        store: Ok(store),
        stored_seq: 0,
        beginning: None,
        clock,
        token_key: TokenKey::new([7; 32]),
        max_pending_bytes: 1 << 30,
        // The directory lives as long as this does.
        catalog_source: Box::new(move || Err(format!("{} holds no catalogue", dir.path().display()))),
        about: About::default(),
    }))
}

/// Two models for one task type.
fn catalog() -> Catalog {
    let models: Vec<Arc<Model>> = vec![model("openai/gpt-4o", "5", "15"), model("openai/gpt-4o-mini", "0.15", "0.60")];
    let candidates = models.iter().map(offered).collect();
    let task = Task { id: "tickets".into(), candidates, settings: TaskSettings::default() };
    Catalog::new("v1".to_owned(), models, vec![task], None)
}

fn model(id: &str, input: &str, output: &str) -> Arc<Model> {
    let price = |text| PicoUsdPerToken::parse_usd_per_mtok(text).unwrap();
    let rates = Rates { input: price(input), output: price(output), cached_input: None, cache_write: None };
    let (from, service_tier) = (UnixMillis(0), ServiceTier::Standard);
    Arc::new(Model {
        id: id.into(),
        aliases: Vec::new(),
        rules: Vec::new(),
        capabilities: Default::default(),
        context_tokens: None,
        output_tokens: None,
        typical: None,
        source: String::new(),
        prices: vec![Price { from, service_tier, rates, multiplier: PriceMultiplier::ONE, tiers: Vec::new() }],
    })
}

fn offered(model: &Arc<Model>) -> TaskCandidate {
    TaskCandidate {
        id: model.id.clone(),
        model: model.clone(),
        params: Default::default(),
        prior: None,
        tier: None,
        shadow: false,
    }
}
