//! What the verbs that ask a running daemon share: a connection with bounds, and refusals as sentences. It refuses to
//! know what is asked.

use std::future::Future;
use std::io::Write;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;

use super::args::Format;
use super::failure::Failure;
use super::human::many;

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

/// Entries of a page at most.
const PAGE_MAX: u64 = 1_000;

/// Follows a list page by page up to `limit` entries; `ask` gets the size and the token of a page and returns its entries
/// and the token of the next. Also returns whether there are more.
///
/// # Errors
/// Those of `ask`; or the daemon never comes to an end.
pub(super) async fn pages<T, F>(
    limit: u64,
    mut ask: impl FnMut(u64, Option<String>) -> F,
) -> Result<(Vec<T>, bool), Failure>
where
    F: Future<Output = Result<(Vec<T>, Option<String>), Failure>>,
{
    let mut found: Vec<T> = Vec::new();
    let mut token = None;
    loop {
        let left = limit.saturating_sub(found.len() as u64);
        let (entries, next) = ask(left.min(PAGE_MAX), token.clone()).await?;
        if entries.is_empty() && next.is_some() {
            return Err(Failure::Failed("the daemon sent an empty page and told of a next one".to_owned()));
        }
        found.extend(entries);
        if next.is_none() || found.len() as u64 >= limit {
            let more = next.is_some() || found.len() as u64 > limit;
            found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            return Ok((found, more));
        }
        token = next;
    }
}

/// Beneath a table, whether it is the whole list.
///
/// # Errors
/// The output cannot be written.
pub(super) fn tell_more(
    more: bool,
    shown: usize,
    one: &str,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match (format, more, shown) {
        (Format::Table, true, _) => writeln!(out, "\n{}; there are more, see --limit", many(shown as u64, one))?,
        (Format::Table, false, 0) => writeln!(out, "\nNo {one}s.")?,
        _ => {}
    }
    Ok(())
}

/// Why the daemon refused, in one line: what it says of the fields, else of the whole.
pub(super) fn why(status: &tonic::Status) -> String {
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    let said: Vec<String> = violations.into_iter().map(|violation| violation.description).collect();
    if said.is_empty() { status.message().to_owned() } else { said.join("; ") }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of the numbers below `n` in pages of `by`, whatever size was asked for up to that.
    async fn listed(n: u64, by: u64, limit: u64) -> (Vec<u64>, bool, Vec<u64>) {
        let mut sizes = Vec::new();
        let found = pages(limit, |size, token| {
            sizes.push(size);
            async move {
                let from: u64 = token.map_or(0, |token: String| token.parse().unwrap());
                let to = n.min(from + size.min(by));
                Ok(((from..to).collect(), (to < n).then(|| to.to_string())))
            }
        });
        let (found, more) = found.await.unwrap();
        (found, more, sizes)
    }

    #[tokio::test]
    async fn pages_are_followed_up_to_the_limit_and_no_further() {
        assert_eq!(listed(5, 2, 50).await, ((0..5).collect(), false, vec![50, 48, 46]));
        assert_eq!(listed(5, 2, 3).await, ((0..3).collect(), true, vec![3, 1]));
        assert_eq!(listed(5, 2, 5).await, ((0..5).collect(), false, vec![5, 3, 1]));
        assert_eq!(listed(0, 2, 5).await, (vec![], false, vec![5]));
        assert_eq!(listed(2_500, 1_000, 2_500).await.2, [1_000, 1_000, 500]);
    }

    #[tokio::test]
    async fn a_list_without_end_is_told() {
        let endless = pages::<u64, _>(5, |_, _| async { Ok((vec![], Some("again".to_owned()))) }).await;
        assert!(matches!(endless, Err(Failure::Failed(why)) if why.contains("an empty page")));
    }
}
