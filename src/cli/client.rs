//! What the verbs that ask a running daemon share: a connection with bounds, and refusals as sentences. It refuses to
//! know what is asked.

use std::future::Future;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;

use super::failure::Failure;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs `ask` to its end, `patience` at most.
///
/// # Errors
/// Those of `ask`; or it took too long.
pub(super) fn run<T>(patience: Duration, ask: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answered = runtime.block_on(async { tokio::time::timeout(patience, ask).await });
    // A name look-up may still be under way; nobody waits for it.
    runtime.shutdown_background();
    answered.unwrap_or_else(|_| Err(Failure::Failed(format!("no answer within {} s", patience.as_secs()))))
}

/// A connection to the daemon at `address`, a URL.
///
/// # Errors
/// No such URL, or nothing answers there.
pub(super) async fn connect(address: &str) -> Result<Channel, Failure> {
    let bad = |error| Failure::Failed(format!("`{address}` is not an address such as http://127.0.0.1:7070: {error}"));
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(bad)?.connect_timeout(CONNECT_TIMEOUT);
    endpoint.connect().await.map_err(|error| {
        let why = format!("{:#}", anyhow::Error::from(error));
        Failure::Failed(format!("nothing answers at {address} ({why}); is the daemon running? `oddsmaker` starts it"))
    })
}

/// A refusal of the daemon, with every field it names; or a connection that broke.
pub(super) fn refused(status: &tonic::Status) -> Failure {
    if let Some(why) = std::error::Error::source(status) {
        return Failure::Failed(format!(
            "the connection ended before an answer came ({why}); is the daemon still running? `oddsmaker` starts it"
        ));
    }
    let mut text = format!("the daemon refused ({:?}): {}", status.code(), status.message());
    for violation in status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default() {
        text += &format!("\n  {}: {}", violation.field, violation.description);
    }
    Failure::Failed(text)
}
