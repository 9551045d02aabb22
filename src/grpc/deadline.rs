//! Deadlines and limits as gRPC has them. A call whose `grpc-timeout` runs out before its answer begins ends with
//! DEADLINE_EXCEEDED; what the transport could not read is told as the contract has it. Once an answer has begun (a stream), the
//! caller keeps its own time.

use std::future::Future;
use std::time::Duration;

use http::{HeaderMap, Response};
use tonic::Status;
use tonic::body::Body;

use crate::wire::Refusal;

/// What `answer` comes to within the time the caller gave; `None`: the caller gave none.
pub(super) async fn within(time: Option<Duration>, answer: impl Future<Output = Response<Body>>) -> Response<Body> {
    let Some(time) = time else { return relabelled(answer.await) };
    match tokio::time::timeout(time, answer).await {
        Ok(response) => relabelled(response),
        Err(_) => Status::from(Refusal::late()).into_http(),
    }
}

/// What the transport could not read is told as the contract has it.
fn relabelled(response: Response<Body>) -> Response<Body> {
    let unread = response.headers().get(Status::GRPC_STATUS).is_some_and(|s| matches!(s.as_bytes(), b"11" | b"13"));
    match Status::from_header_map(response.headers()).filter(|_| unread) {
        Some(status) => super::status::of_transport(status).into_http(),
        None => response,
    }
}

/// The time given in `grpc-timeout` (at most 8 digits and a unit); `None` where there is none that can be read.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3_600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_str(text).unwrap());
            timeout(&headers)
        };
        let table = [
            ("2H", Duration::from_secs(7_200)),
            ("3M", Duration::from_secs(180)),
            ("5S", Duration::from_secs(5)),
            ("250m", Duration::from_millis(250)),
            ("99999999u", Duration::from_micros(99_999_999)),
            ("0n", Duration::ZERO),
        ];
        for (text, expected) in table {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        for bad in ["", "S", "123456789S", "1s", "1", "-1S", "+1S", "1.5S", " 1S", "1S "] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        assert_eq!(timeout(&HeaderMap::new()), None);
    }
}
