//! Texts of settings as values, and why a text is none: addresses, hosts, paths, numbers, words. It refuses to know
//! which setting a text belongs to.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::report::quoted;

/// `value` when it lies in `range`; `show` prints both.
pub(super) fn within<T: PartialOrd + Copy>(
    value: T,
    range: RangeInclusive<T>,
    show: impl Fn(T) -> String,
) -> Result<T, String> {
    let outside = || format!("{} is not from {} to {}", show(value), show(*range.start()), show(*range.end()));
    if range.contains(&value) { Ok(value) } else { Err(outside()) }
}

/// A whole number in `range`.
pub(super) fn integer<T: TryFrom<i128>>(text: &str, range: RangeInclusive<u64>) -> Result<T, String> {
    let number: i128 = text.parse().map_err(|_| format!("{} is not a whole number", quoted(text)))?;
    let range = i128::from(*range.start())..=i128::from(*range.end());
    let number = within(number, range, |n| n.to_string())?;
    T::try_from(number).map_err(|_| format!("{number} is too large"))
}

/// An address that only this machine reaches; the sentence names what is missing for any other.
pub(super) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| format!("{} is not an address and port such as 127.0.0.1:7070 or [::1]:7070", quoted(text)))?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!(
        "{address} can be reached from other machines, and this version has neither TLS nor authentication: it \
         listens on a loopback address only, such as 127.0.0.1:{}",
        address.port()
    ))
}

/// Host names without port, between commas.
pub(super) fn hosts(text: &str) -> Result<Vec<String>, String> {
    let host = |part: &str| {
        let part = part.trim();
        let plain = part.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c));
        let with_port = !part.starts_with('[') && part.contains(':');
        if part.is_empty() || !plain || with_port {
            return Err(format!("{} is not a host name without port", quoted(part)));
        }
        Ok(part.to_ascii_lowercase())
    };
    text.split(',').map(host).collect()
}

/// A path that can be printed.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(format!("{} is not a path", quoted(text)));
    }
    Ok(PathBuf::from(text))
}

/// An address alerts can be posted to. Whatever else a person might want is refused with what to do instead.
pub(super) fn webhook_url(text: &str) -> Result<String, String> {
    let bad = || format!("{} is not an address such as http://127.0.0.1:8080/alerts", quoted(text));
    let address: http::Uri = text.parse().map_err(|_| bad())?;
    let host = address.host().unwrap_or_default();
    if address.scheme_str() == Some("https") {
        let why = "this version has no TLS: post to a relay on this machine, such as http://127.0.0.1:8080/alerts";
        return Err(format!("{} begins with https, and {why}", quoted(text)));
    }
    if address.scheme_str() != Some("http") || host.is_empty() || text.contains('#') {
        return Err(bad());
    }
    if address.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err("a password does not belong into an address: posts are signed with a secret".to_owned());
    }
    Ok(text.to_owned())
}

/// The meaning of one word of a closed list.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| format!("{} is not one of {}", quoted(text), known()))
}

/// The word of a meaning; the inverse of [`word`].
pub(super) fn name_of<T: PartialEq + Copy>(value: T, words: &[(&str, T)]) -> String {
    words.iter().find(|(_, meaning)| *meaning == value).map_or_else(String::new, |(word, _)| (*word).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_no_port() {
        assert_eq!(hosts("Localhost, [::1],a-b.example").unwrap(), ["localhost", "[::1]", "a-b.example"]);
        for bad in ["", "a,", "a:80", "a b", "a/b", "é"] {
            assert!(hosts(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_are_plain_and_in_range() {
        assert_eq!(integer::<u32>("5", 1..=9), Ok(5));
        for bad in ["", "+ 5", "-1", "0", "10", "5.0", "99999999999999999999"] {
            assert!(integer::<u32>(bad, 1..=9).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_webhook_is_an_address_that_can_be_posted_to() {
        for good in ["http://localhost:8080", "http://[::1]/a?b=c", "http://relay.internal/alerts"] {
            assert_eq!(webhook_url(good).as_deref(), Ok(good));
        }
        for (bad, said) in [
            ("https://hooks.example.org/x", "this version has no TLS"),
            ("http://kim:secret@localhost/x", "a password does not belong into an address"),
            ("localhost:8080", "is not an address such as"),
            ("/alerts", "is not an address such as"),
            ("http://", "is not an address such as"),
            ("http://a/#b", "is not an address such as"),
            ("ftp://a/b", "is not an address such as"),
            ("http://a b/", "is not an address such as"),
        ] {
            let refused = webhook_url(bad).expect_err(bad);
            assert!(refused.contains(said) && !refused.contains("kim:secret"), "{bad}: {refused}");
        }
    }

    #[test]
    fn a_path_can_be_printed() {
        assert_eq!(path("a b/c"), Ok(PathBuf::from("a b/c")));
        assert!(path("").is_err() && path("a\n").is_err());
    }
}
