//! What the daemon can be told apart from its catalogue, and the defaults. Plain data: it refuses to know how a
//! setting is written or where it comes from.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::domain::goal::GoalRules;

use super::budgets::BudgetsAsWritten;

/// Everything the daemon can be told apart from its catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Connections and requests.
    pub server: Server,
    /// The record on disk.
    pub ledger: Ledger,
    /// Where the catalogue is.
    pub models: Models,
    /// What is logged, and how.
    pub log: Log,
    /// `[goals]` and `[[workflow]]`: when idle goals end, and what goals are sold for.
    pub goal_rules: GoalRules,
    /// `[[budget]]`, in file order.
    pub budgets: BudgetsAsWritten,
    /// Where alerts of budgets are sent.
    pub alerts: Alerts,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Address of gRPC and HTTP; loopback only. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Host names a request may be addressed to, without port.
    pub allowed_hosts: Vec<String>,
    /// Open connections.
    pub max_connections: u32,
    /// Requests at once on one connection.
    pub max_concurrent_streams: u32,
    /// Requests at once over all connections.
    pub max_in_flight: u32,
    /// Largest message, in bytes.
    pub max_message_bytes: u32,
    /// Largest set of request headers, in bytes.
    pub max_header_bytes: u32,
    /// Streams of a connection reset for the peer's mistakes before it is closed.
    pub max_local_error_resets: u32,
    /// Streams a peer may reset before they are accepted.
    pub max_pending_accept_resets: u32,
    /// Longest time for one request, in milliseconds.
    pub request_timeout_ms: i64,
    /// Longest time for the headers of an HTTP/1 request, in milliseconds.
    pub header_timeout_ms: i64,
    /// Time between HTTP/2 pings on a connection, in milliseconds.
    pub keepalive_interval_ms: i64,
    /// Longest time for the answer to such a ping, in milliseconds.
    pub keepalive_timeout_ms: i64,
    /// Age at which a connection is asked to reconnect, in milliseconds.
    pub max_connection_age_ms: i64,
    /// Longest time open requests are waited for when stopping, in milliseconds.
    pub drain_timeout_ms: i64,
}

/// `[ledger]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Folder of journal and state.
    pub data_dir: PathBuf,
    /// Size at which a journal segment is closed, in bytes.
    pub segment_bytes: u64,
    /// Events not yet synced above which requests are refused, in bytes.
    pub max_pending_bytes: u64,
    /// How long detail is kept, in milliseconds; 0: for ever.
    pub retention_ms: i64,
    /// Longest time between two checkpoints of the state while facts come, in milliseconds.
    pub checkpoint_interval_ms: i64,
    /// How far the wall clock may lie before the last event at a start, in milliseconds.
    pub max_clock_behind_ms: i64,
}

/// `[models]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Models {
    /// The catalogue; `None`: models.toml of the working folder, else the one built in.
    pub path: Option<PathBuf>,
}

/// `[log]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Form of a line.
    pub format: LogFormat,
    /// Least important lines that are written.
    pub level: LogLevel,
}

/// `[alerts]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alerts {
    /// An `http://` address every alert is posted to; `None`: alerts are only listed.
    pub webhook_url: Option<String>,
    /// File with the secret the posts are signed with; `None`: see [`crate::webhook_secret`].
    pub webhook_secret_file: Option<PathBuf>,
    /// Longest time one post may take, in milliseconds.
    pub webhook_timeout_ms: i64,
    /// How long a post that was not taken is tried again, in milliseconds; 0: it is tried once.
    pub webhook_retry_for_ms: i64,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Human,
}

/// Importance of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Somebody must act.
    Error,
    /// Somebody should look.
    Warn,
    /// What happened.
    #[default]
    Info,
    /// How it happened.
    Debug,
    /// Everything.
    Trace,
}

impl Settings {
    /// The defaults, with that data folder.
    #[must_use]
    pub fn with_data_dir(data_dir: PathBuf) -> Self {
        let server = Server {
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            allowed_hosts: ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec(),
            max_connections: 1_024,
            max_concurrent_streams: 256,
            max_in_flight: 4_096,
            max_message_bytes: 65_536,
            max_header_bytes: 16_384,
            max_local_error_resets: 64,
            max_pending_accept_resets: 20,
            request_timeout_ms: 10_000,
            header_timeout_ms: 10_000,
            keepalive_interval_ms: 30_000,
            keepalive_timeout_ms: 10_000,
            max_connection_age_ms: 3_600_000,
            drain_timeout_ms: 10_000,
        };
        let ledger = Ledger {
            data_dir,
            segment_bytes: 64 << 20,
            max_pending_bytes: 16 << 20,
            retention_ms: 0,
            checkpoint_interval_ms: 300_000,
            max_clock_behind_ms: 24 * 3_600_000,
        };
        let log = Log { format: LogFormat::Auto, level: LogLevel::Info };
        let alerts = Alerts {
            webhook_url: None,
            webhook_secret_file: None,
            webhook_timeout_ms: 10_000,
            webhook_retry_for_ms: 86_400_000,
        };
        Self {
            server,
            ledger,
            models: Models::default(),
            log,
            goal_rules: GoalRules::default(),
            budgets: BudgetsAsWritten::default(),
            alerts,
        }
    }
}
