//! Posts alerts to the address somebody set: signed, repeated while the other side cannot take them, and given up when
//! it never will. It refuses to know when an alert is raised, where settings stand, and what time it is.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sha2::Sha256;
use tokio::sync::mpsc;

use crate::domain::time::UnixMillis;
use crate::http::json;
use crate::service::Clock;
use crate::wire::pb;

/// Header of the signature: `t=<unix seconds>,v1=<hex of HMAC-SHA-256 (RFC 2104) over "<unix seconds>.<body>">`.
pub const SIGNATURE: &str = "oddsmaker-signature";

/// Header of the alert's id, the same in every attempt: whoever has seen it may ignore the post.
pub const ALERT_ID: &str = "oddsmaker-alert-id";

/// The pause after the first attempt at most; it doubles from attempt to attempt.
const PAUSE_MS_FIRST: u64 = 1_000;

/// The longest pause.
const PAUSE_MS_MAX: u64 = 600_000;

/// Alerts under way at once: one that is not taken does not hold up the others.
const AT_ONCE_MAX: usize = 16;

/// Where alerts are posted, and how patiently.
#[derive(Clone)]
pub struct Target {
    url: Uri,
    key: Option<Hmac<Sha256>>,
    timeout: Duration,
    retry_for_ms: i64,
    client: Client<HttpConnector, Body>,
}

/// Without path and query, which may hold something private.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}, {})", self.host(), if self.key.is_some() { "signed" } else { "not signed" })
    }
}

/// Time, chance and waiting, as the posts need them.
pub trait Surroundings: Send + Sync {
    /// Now.
    fn now(&self) -> UnixMillis;
    /// A random number from 0 to below 1.
    fn chance(&self) -> f64;
    /// Waits this many milliseconds.
    fn pause(&self, ms: u64) -> impl Future<Output = ()> + Send;
}

/// The daemon's clock, the system's chance and real waiting.
pub struct Daemons(pub Arc<dyn Clock>);

/// What became of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It was taken: answered with a status from 200 to 299.
    Taken {
        /// When the answer was there.
        at: UnixMillis,
        /// How often it was posted, at least 1.
        attempts: u32,
    },
    /// It is not posted again.
    GivenUp {
        /// What the last attempt met.
        why: String,
        /// How often it was posted, at least 1.
        attempts: u32,
    },
}

/// Why one attempt was not taken.
enum NotTaken {
    /// Another attempt may be.
    Yet(String),
    /// No other attempt will be.
    Ever(String),
}

impl Target {
    /// Posts go to `url` (`http://` only), signed when there is a `secret`; one may take `timeout_ms` and is repeated
    /// for `retry_for_ms` milliseconds from the first on (0: it is posted once).
    ///
    /// # Errors
    /// A sentence that repeats neither address nor secret: it is no such address, or cannot be signed with.
    pub fn new(url: &str, secret: Option<&[u8]>, timeout_ms: i64, retry_for_ms: i64) -> Result<Self, String> {
        let url: Uri = url.parse().map_err(|_| "the address of the webhook cannot be read".to_owned())?;
        if url.scheme_str() != Some("http") || url.host().is_none_or(str::is_empty) {
            return Err("the address of the webhook does not begin with http:// and a host".to_owned());
        }
        let key = secret.map(Hmac::new_from_slice).transpose();
        let key = key.map_err(|_| "the secret of the webhook cannot be used".to_owned())?;
        // Alerts are rare: a connection that is kept would mostly be found closed.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        Ok(Self { url, key, timeout, retry_for_ms: retry_for_ms.max(0), client })
    }

    /// The value of [`SIGNATURE`] for a body posted at `at`; `None`: posts are not signed.
    #[must_use]
    pub fn signature(&self, at: UnixMillis, body: &[u8]) -> Option<String> {
        let seconds = at.0.div_euclid(1_000);
        let mut mac = self.key.clone()?;
        mac.update(format!("{seconds}.").as_bytes());
        mac.update(body);
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(format!("t={seconds},v1={hex}"))
    }

    /// What may be told of the address.
    fn host(&self) -> String {
        let port = self.url.port_u16().map_or_else(String::new, |port| format!(":{port}"));
        format!("{}{port}", self.url.host().unwrap_or_default())
    }

    async fn post(&self, alert_id: &str, body: &[u8], at: UnixMillis) -> Result<(), NotTaken> {
        let mut request = Request::post(self.url.clone())
            .header("content-type", "application/json")
            .header("user-agent", concat!("oddsmaker/", env!("CARGO_PKG_VERSION")))
            .header(ALERT_ID, alert_id);
        if let Some(signature) = self.signature(at, body) {
            request = request.header(SIGNATURE, signature);
        }
        let request = request.body(Body::from(body.to_owned()));
        let request = request.map_err(|error| NotTaken::Ever(format!("it cannot be posted: {error}")))?;
        match tokio::time::timeout(self.timeout, self.client.request(request)).await {
            Ok(Ok(answer)) => judged(answer.status()),
            Ok(Err(error)) => Err(NotTaken::Yet(format!("{:#}", anyhow::Error::from(error)))),
            Err(_) => Err(NotTaken::Yet(format!("no answer within {} ms", self.timeout.as_millis()))),
        }
    }
}

impl Surroundings for Daemons {
    fn now(&self) -> UnixMillis {
        self.0.now()
    }

    fn chance(&self) -> f64 {
        // Without random numbers the pauses are merely less spread.
        let bits = getrandom::u64().unwrap_or(u64::MAX / 2);
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }

    async fn pause(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// Posts one alert until it is taken or given up. May be dropped at any time; the alert may then have been taken.
pub async fn deliver(alert: &pb::Alert, target: &Target, around: &impl Surroundings) -> Delivered {
    let (id, host, body) = (alert.alert_id.as_str(), target.host(), body(alert));
    let until = around.now().plus_ms(target.retry_for_ms);
    let mut attempts = 0;
    loop {
        attempts += 1;
        let why = match target.post(id, &body, around.now()).await {
            Ok(()) => {
                tracing::info!(alert = id, host, attempts, "an alert was posted");
                return Delivered::Taken { at: around.now(), attempts };
            }
            Err(NotTaken::Ever(why)) => return given_up(id, &host, why, attempts),
            Err(NotTaken::Yet(why)) => why,
        };
        let pause_ms = pause_ms(attempts, around.chance());
        if around.now().plus_ms(i64::try_from(pause_ms).unwrap_or(i64::MAX)) > until {
            return given_up(id, &host, why, attempts);
        }
        tracing::warn!(alert = id, host, attempts, why, again_in_ms = pause_ms, "an alert was not taken");
        around.pause(pause_ms).await;
    }
}

/// Posts every alert that comes in, up to 16 at once, and tells what became of each; ends when no more can come and
/// none is under way. May be dropped at any time: what was not told as taken is to be handed in again.
pub async fn work(
    mut alerts: mpsc::Receiver<pb::Alert>,
    target: Target,
    around: impl Surroundings,
    became: impl Fn(&pb::Alert, &Delivered),
) {
    let (target, around) = (&target, &around);
    let mut under_way = FuturesUnordered::new();
    let mut more = true;
    loop {
        tokio::select! {
            next = alerts.recv(), if more && under_way.len() < AT_ONCE_MAX => match next {
                Some(alert) => under_way.push(async move {
                    let delivered = deliver(&alert, target, around).await;
                    (alert, delivered)
                }),
                None => more = false,
            },
            Some((alert, delivered)) = under_way.next() => became(&alert, &delivered),
            else => return,
        }
    }
}

/// An alert as `GET /v1/alerts` lists it.
fn body(alert: &pb::Alert) -> Vec<u8> {
    json::write(&json::dynamic(json::message("Alert"), alert)).to_string().into_bytes()
}

fn judged(status: StatusCode) -> Result<(), NotTaken> {
    let why = || format!("it was answered with {status}");
    match status {
        s if s.is_success() => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(NotTaken::Yet(why())),
        s if s.is_client_error() => Err(NotTaken::Ever(why())),
        s if s.is_redirection() => Err(NotTaken::Ever(why() + ", and redirections are not followed")),
        _ => Err(NotTaken::Yet(why())),
    }
}

/// The pause after so many attempts: between half and all of 1 s, 2 s, 4 s … 10 min, so that many who failed together
/// do not come back together.
fn pause_ms(attempts: u32, chance: f64) -> u64 {
    let doubled = 1_u64.checked_shl(attempts.saturating_sub(1).min(32)).unwrap_or(u64::MAX);
    let longest = PAUSE_MS_FIRST.saturating_mul(doubled).min(PAUSE_MS_MAX);
    longest / 2 + (longest as f64 / 2.0 * chance) as u64
}

fn given_up(id: &str, host: &str, why: String, attempts: u32) -> Delivered {
    tracing::error!(alert = id, host, attempts, why, "an alert is not posted again; it stays listed");
    Delivered::GivenUp { why, attempts }
}

#[cfg(test)]
mod tests;
