//! A service to speak to: the real one, over a directory that goes when it goes.

use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::domain::catalog::{Catalog, Model, Price, Rates, ServiceTier, Task, TaskCandidate, TaskSettings};
use crate::domain::money::{PicoUsdPerToken, PriceMultiplier};
use crate::domain::time::UnixMillis;
use crate::domain::token::TokenKey;
use crate::engine::{Engine, hydrate};
use crate::journal::{DiskStorage, Journal, JournalOptions, JournalReader, Storage, StorageFile, codec};
use crate::service::{About, Clock, Parts, Service};
use crate::state::{Opened, SledStore};

/// A time that stands still.
struct Still(UnixMillis);

impl Clock for Still {
    fn now(&self) -> UnixMillis {
        self.0
    }
}

pub(crate) fn service() -> Arc<Service> {
    service_on(Arc::new(DiskStorage))
}

/// The same, whose journal writes through `storage`.
pub(super) fn service_on(storage: Arc<dyn Storage>) -> Arc<Service> {
    let dir = tempfile::tempdir().unwrap();
    let journal_dir = dir.path().join("journal");
    let (journal, _) = Journal::open_with(&journal_dir, JournalOptions::default(), storage).unwrap();
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
        retention_ms: 0,
        max_pending_bytes: 1 << 30,
        checkpoint_interval_ms: 200,
        // The directory lives as long as this does.
        catalog_source: Box::new(move || Err(format!("{} holds no catalogue", dir.path().display()))),
        about: About::default(),
    }))
}

/// A disk that syncs nothing as long as it is held.
#[derive(Clone, Default)]
pub(super) struct HeldDisk(Arc<(Mutex<bool>, Condvar)>);

/// Lets the disk go when dropped.
pub(super) struct Hold(HeldDisk);

impl HeldDisk {
    /// From now on no sync ends.
    pub(super) fn hold(&self) -> Hold {
        *self.0.0.lock() = true;
        Hold(self.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        *self.0.0.0.lock() = false;
        self.0.0.1.notify_all();
    }
}

impl Storage for HeldDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(HeldFile(DiskStorage.create(path)?, self.clone())))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(HeldFile(DiskStorage.open(path)?, self.clone())))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        DiskStorage.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        DiskStorage.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        DiskStorage.sync_dir(dir)
    }
}

struct HeldFile(Box<dyn StorageFile>, HeldDisk);

impl StorageFile for HeldFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        let (held, let_go) = &*self.1.0;
        let_go.wait_while(&mut held.lock(), |held| *held);
        self.0.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
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
