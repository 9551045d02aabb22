//! A daemon inside the test, whose clock the test sets: for stories that take months. Its record, its state and its edges
//! are the real ones, served on a port of loopback. It refuses to know how the program starts and stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use oddsmaker::config::{Settings, parse_catalogue};
use oddsmaker::domain::time::UnixMillis;
use oddsmaker::domain::token::TokenKey;
use oddsmaker::engine::Engine;
use oddsmaker::journal::{Journal, JournalError, JournalOptions, JournalReader};
use oddsmaker::service::{About, Clock, Parts, Service};
use oddsmaker::state::bring_up;
use oddsmaker::wire::pb::goal_service_client::GoalServiceClient;
use oddsmaker::wire::pb::insights_service_client::InsightsServiceClient;
use oddsmaker::wire::pb::router_service_client::RouterServiceClient;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

/// Time that passes only when told.
struct Told(AtomicI64);

impl Clock for Told {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

/// The daemon; its port closes and its folder goes when it is dropped.
pub(crate) struct Timed {
    /// Where it answers.
    pub(crate) address: SocketAddr,
    clock: Arc<Told>,
    service: Arc<Service>,
    serving: JoinHandle<()>,
    _dir: TempDir,
}

impl Timed {
    /// A daemon on this catalogue, whose clock shows `now`.
    pub(crate) async fn start(catalogue: &str, now: UnixMillis) -> Self {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let journal_dir = dir.path().join("journal");
        let (journal, report) = Journal::open(&journal_dir, JournalOptions::default()).unwrap();
        let nothing = |_| Ok::<_, JournalError>(std::iter::empty());
        let standing = bring_up::stored(&dir.path().join("state"), &journal_dir, report.last_seq, nothing).unwrap();
        let (catalog, _) = parse_catalogue(catalogue, "models.toml").unwrap();
        let clock = Arc::new(Told(AtomicI64::new(now.0)));
        let service = Arc::new(Service::new(Parts {
            engine: Engine::new(standing.state, Arc::new(catalog), 7),
            journal,
            reader: JournalReader::open(&journal_dir).unwrap(),
            store: standing.store,
            stored_seq: standing.stored_seq,
            beginning: Some(catalogue.to_owned()),
            clock: clock.clone(),
            token_key: TokenKey::new([7; 32]),
            retention_ms: 0,
            max_pending_bytes: 1 << 30,
            checkpoint_interval_ms: 200,
            catalog_source: Box::new(|| Err("the catalogue of this test does not change".to_owned())),
            about: About::default(),
        }));
        service.maintain().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = Settings::with_data_dir(dir.path().to_owned());
        let (edges, _health) = oddsmaker::edges::edges(service.clone(), &settings.server, address);
        let serving = tokio::spawn(async move {
            oddsmaker::server::run(listener, edges, &settings.server, std::future::pending()).await;
        });
        Self { address, clock, service, serving, _dir: dir }
    }

    /// Sets the clock, never back, and lets the daemon do what it does from time to time.
    pub(crate) fn set(&self, now: UnixMillis) {
        let before = self.clock.0.swap(now.0, Ordering::SeqCst);
        assert!(before <= now.0, "time does not run backwards");
        self.service.maintain().unwrap();
    }

    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.tcp_nodelay(true).connect().await.expect("a connection to the daemon")
    }

    /// A client of RouterService.
    pub(crate) async fn router(&self) -> RouterServiceClient<Channel> {
        RouterServiceClient::new(self.channel().await)
    }

    /// A client of GoalService.
    pub(crate) async fn goals(&self) -> GoalServiceClient<Channel> {
        GoalServiceClient::new(self.channel().await)
    }

    /// A client of InsightsService.
    pub(crate) async fn insights(&self) -> InsightsServiceClient<Channel> {
        InsightsServiceClient::new(self.channel().await)
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
