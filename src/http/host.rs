//! Who may be asked and from where: the Host and Origin headers, against pages of other sites that reach this port
//! through the browser of someone at this machine (DNS rebinding, cross-site posts). It knows no routes.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::json::shown;
use super::problem::Problem;
use crate::wire::Code;

/// The host names a request may be addressed to, in lower case and without port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// These names and addresses; an IPv6 address with or without its brackets.
    pub(super) fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        Self(names.into_iter().map(|name| plain(name.as_ref())).collect())
    }

    /// Whether `host`, with or without port, is one of them.
    fn contains(&self, host: &str) -> bool {
        without_port(host).is_some_and(|name| self.0.contains(&plain(name)))
    }
}

/// Lower case, no brackets, no final dot.
fn plain(name: &str) -> String {
    let name = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// `host` without its port; `None` when what follows the name is no port.
fn without_port(host: &str) -> Option<&str> {
    let end = host.rfind(']').map_or(0, |bracket| bracket + 1);
    let Some(colon) = host[end..].find(':') else { return Some(host) };
    let port = &host[end + colon + 1..];
    port.bytes().all(|b| b.is_ascii_digit()).then_some(&host[..end + colon])
}

/// Refuses what is addressed to a host that is not allowed, and what a page of another site would change.
pub(super) async fn check(State(hosts): State<AllowedHosts>, request: Request, next: Next) -> Response {
    if let Err(problem) =
        addressed(&hosts, &request).and_then(|()| same_site(&hosts, request.method(), request.headers()))
    {
        return problem.into_response();
    }
    next.run(request).await
}

/// The host a request was addressed to; empty where it names none.
pub(super) fn named(request: &Request) -> &str {
    let header = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    header.or_else(|| request.uri().authority().map(http::uri::Authority::as_str)).unwrap_or("")
}

/// HTTP/2 names the host in the target, HTTP/1 in a header; where there are both, both count.
fn addressed(hosts: &AllowedHosts, request: &Request) -> Result<(), Problem> {
    let named = request.headers().get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or(""));
    let mut targets: Vec<&str> = named.collect();
    targets.extend(request.uri().authority().map(http::uri::Authority::as_str));
    match targets.iter().find(|target| !hosts.contains(target)) {
        None if !targets.is_empty() => Ok(()),
        None => Err(forbidden("the request names no host".to_owned())),
        Some(target) => Err(forbidden(format!(
            "the host \"{}\" is not among those served here; `server.allowed_hosts` lists them",
            shown(target)
        ))),
    }
}

/// A browser says with every change it asks for which site's page asks.
fn same_site(hosts: &AllowedHosts, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let (false, Some(origin)) = (method.is_safe(), headers.get(header::ORIGIN)) else { return Ok(()) };
    let host = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    if host.is_some_and(|host| hosts.contains(host)) {
        return Ok(());
    }
    Err(forbidden("pages of other sites may not change anything here".to_owned()))
}

fn forbidden(detail: String) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, Code::PermissionDenied, detail)
}

/// What a page from here may load and do: its own style and icon, nothing else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// Headers every answer carries.
pub(super) async fn security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_without_port_case_and_brackets() {
        let hosts = AllowedHosts::new(["localhost", "127.0.0.1", "[::1]", "Router.Example"]);
        for host in
            ["localhost", "LOCALHOST:7070", "127.0.0.1:7070", "[::1]", "[::1]:7070", "router.example.", "localhost:"]
        {
            assert!(hosts.contains(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "localhost:x@evil",
            "127.0.0.2",
            "[::2]:7070",
            "::2",
            "evil#localhost",
        ] {
            assert!(!hosts.contains(host), "{host}");
        }
    }

    #[test]
    fn only_pages_from_here_may_change_things() {
        let hosts = AllowedHosts::new(["localhost"]);
        let allowed = |method: Method, origin: &'static str| {
            let headers: HeaderMap = [(header::ORIGIN, HeaderValue::from_static(origin))].into_iter().collect();
            same_site(&hosts, &method, &headers).is_ok()
        };
        assert!(allowed(Method::POST, "http://localhost:7070"));
        assert!(allowed(Method::GET, "https://evil.example"));
        assert!(!allowed(Method::POST, "https://evil.example"));
        assert!(!allowed(Method::POST, "null"));
        assert!(same_site(&hosts, &Method::POST, &HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_request_is_refused_when_any_name_it_gives_is_foreign() {
        let hosts = AllowedHosts::new(["localhost"]);
        let refused = |uri: &str, host: Option<&str>| {
            let mut request = Request::builder().uri(uri);
            if let Some(host) = host {
                request = request.header(header::HOST, host);
            }
            addressed(&hosts, &request.body(axum::body::Body::empty()).unwrap()).is_err()
        };
        assert!(!refused("/", Some("localhost:7070")));
        assert!(!refused("http://localhost:7070/", None));
        assert!(refused("/", None));
        assert!(refused("/", Some("evil.example")));
        assert!(refused("http://evil.example/", Some("localhost")));
        assert!(refused("http://localhost/", Some("evil.example")));
    }
}
