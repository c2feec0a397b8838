//! Keeps web pages out: any page can send requests to loopback, by its own name after DNS rebinding or across origins.
//!
//! Two rules, on both listeners. The `Host` must be a loopback name, the listener's own address, or one that the operator
//! lists; so a name that an attacker points at 127.0.0.1 is refused. An `Origin`, which browsers send and agents do
//! not, must be listed. Not a guard against programs on the same machine: those need no browser.
//!
//! Probes are asked by schedulers and load balancers under whatever name or address they know, some without any; they
//! tell nothing that a page could use, so they are answered to everybody. Pages of a listed origin get what a browser asks
//! for before and with a call ([`super::cors`]).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use http::{HeaderMap, Response, StatusCode, header};

use super::{cors, reply};

/// Where the names come from that one listener answers to; asked for each request, so that a reload takes effect.
pub trait Names: Send + Sync + 'static {
    /// Calls `judge` with the configured hosts and origins.
    fn allowed(&self, judge: &mut dyn FnMut(&[String], &[String]));
}

/// The names that one listener answers to.
#[derive(Clone)]
pub struct Guard {
    listen: SocketAddr,
    names: Arc<dyn Names>,
}

impl Guard {
    /// A guard for the listener at `listen`.
    pub fn new(listen: SocketAddr, names: Arc<dyn Names>) -> Self {
        Self { listen, names }
    }

    /// Why a request is refused, if it is.
    fn judge(&self, uri_host: Option<&str>, headers: &HeaderMap) -> Result<(), String> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            // HTTP/2 has the name in the request's target.
            (None, _) => uri_host,
            (Some(host), None) => host.to_str().ok(),
            (Some(_), Some(_)) => return Err("several Host headers".to_owned()),
        };
        let origin = headers
            .get(header::ORIGIN)
            .map(|value| value.to_str().unwrap_or("?"));
        let mut verdict = Ok(());
        self.names.allowed(&mut |allowed_hosts, allowed_origins| {
            verdict = match (host, origin) {
                (None, _) => Err("no Host header".to_owned()),
                (Some(host), _) if !self.host_allowed(host, allowed_hosts) => Err(format!(
                    "the host {host} is not one of Airlock's names: add it to `allowed_hosts` if it is meant to be"
                )),
                (_, Some(origin)) if !allowed_origins.iter().any(|allowed| allowed == origin) => Err(format!(
                    "the web origin {origin} may not call: add it to `allowed_origins` if it is meant to"
                )),
                _ => Ok(()),
            };
        });
        verdict
    }

    fn host_allowed(&self, host: &str, allowed: &[String]) -> bool {
        let name = host_name(host);
        let loopback = name.eq_ignore_ascii_case("localhost")
            || name
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_loopback() || ip == self.listen.ip());
        loopback
            || allowed
                .iter()
                .any(|a| a.eq_ignore_ascii_case(host) || a.eq_ignore_ascii_case(name))
    }
}

/// The name in `name`, `name:port`, `[v6]` or `[v6]:port`.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(name, _)| name);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// Paths that are answered whatever the names: what a scheduler asks.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// Has a request answered, if it may be.
pub async fn check<F: Future<Output = Response<Body>>>(
    guard: &Guard,
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response<Body> {
    if PROBES.contains(&request.uri().path()) {
        return answer(request).await;
    }
    match guard.judge(request.uri().host(), request.headers()) {
        Ok(()) => {
            let origin = request.headers().get(header::ORIGIN).cloned();
            let Some(origin) = origin else {
                return answer(request).await;
            };
            let mut response = match cors::preflight(&request) {
                Some(response) => response,
                None => answer(request).await,
            };
            cors::allow(response.headers_mut(), origin);
            response
        }
        Err(reason) => {
            tracing::warn!(reason, path = request.uri().path(), "refused a request");
            reply::error(
                StatusCode::FORBIDDEN,
                "permission_error",
                "airlock_host_or_origin",
                &reason,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    struct Fixed(Vec<String>, Vec<String>);

    impl Names for Fixed {
        fn allowed(&self, judge: &mut dyn FnMut(&[String], &[String])) {
            judge(&self.0, &self.1);
        }
    }

    fn judge(host: Option<&str>, origin: Option<&str>) -> Result<(), String> {
        let names = Fixed(
            vec!["airlock.lan".into()],
            vec!["https://app.example.com".into()],
        );
        let guard = Guard::new("192.0.2.7:4100".parse().unwrap(), Arc::new(names));
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.insert(header::HOST, host.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        guard.judge(None, &headers)
    }

    #[test]
    fn loopback_names_the_own_address_and_listed_names_pass() {
        for host in [
            "localhost",
            "LOCALHOST:4100",
            "127.0.0.1:4100",
            "127.3.2.1",
            "[::1]:4100",
            "[::1]",
            "192.0.2.7:4100",
            "airlock.lan",
            "Airlock.lan:4100",
        ] {
            assert_eq!(judge(Some(host), None), Ok(()), "{host}");
        }
    }

    #[test]
    fn a_name_rebound_to_loopback_is_refused_and_told_what_to_do() {
        for host in [
            "evil.example",
            "evil.example:4100",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.0.2.8",
            "",
            "[evil]",
        ] {
            let reason = judge(Some(host), None).expect_err(host);
            assert!(reason.contains("allowed_hosts"), "{host}: {reason}");
        }
        assert!(judge(None, None).is_err());
    }

    #[test]
    fn two_host_headers_are_refused() {
        let guard = Guard::new(
            "127.0.0.1:1".parse().unwrap(),
            Arc::new(Fixed(vec![], vec![])),
        );
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, "localhost".parse().unwrap());
        headers.append(header::HOST, "evil.example".parse().unwrap());
        assert!(guard.judge(None, &headers).is_err());
    }

    #[test]
    fn http2_names_its_host_in_the_target() {
        let guard = Guard::new(
            "127.0.0.1:1".parse().unwrap(),
            Arc::new(Fixed(vec![], vec![])),
        );
        assert_eq!(guard.judge(Some("localhost"), &HeaderMap::new()), Ok(()));
        assert!(
            guard
                .judge(Some("evil.example"), &HeaderMap::new())
                .is_err()
        );
    }

    #[test]
    fn a_browser_page_passes_only_from_a_listed_origin() {
        assert_eq!(
            judge(Some("localhost"), Some("https://app.example.com")),
            Ok(())
        );
        for origin in [
            "https://evil.example",
            "null",
            "http://localhost:4100",
            "https://app.example.com.evil",
        ] {
            assert!(judge(Some("localhost"), Some(origin)).is_err(), "{origin}");
        }
    }
}
