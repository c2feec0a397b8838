//! Which headers travel.
//!
//! Rule: everything travels both ways but what belongs to one connection, what names the wrong host or the wrong
//! length, and credentials as configured. So vendors' headers (`openai-*`, `anthropic-*`, `x-stainless-*`,
//! `traceparent`, `x-ratelimit-*`, ...) pass without a list that would age.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::coding::forget_body;
use crate::upstream::key::Secret;
use crate::upstream::settings::Credential;

/// Airlock's own id of the exchange, in answers.
pub const EXCHANGE_ID: HeaderName = HeaderName::from_static("x-airlock-exchange");

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Of one connection (RFC 9110, 7.6.1), and `proxy-authenticate`, which would make the client answer the wrong party.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What tells a client to go to another address, or a reverse proxy in front of Airlock to send something else.
const ELSEWHERE: [&str; 6] = [
    "location",
    "content-location",
    "refresh",
    "alt-svc",
    "x-accel-redirect",
    "x-sendfile",
];

/// Where clients of the known dialects put a credential.
const CREDENTIALS: [&str; 5] = [
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
];

/// Headers for the upstream. The client's credentials travel only if they are to be forwarded; `own` goes in their place.
///
/// `accept-encoding` is set to `identity`: Airlock has to read what comes, and compression would also collect a stream's
/// chunks into lumps. Headers that begin with `x-airlock-` are for Airlock alone.
pub(super) fn to_upstream(
    client: &HeaderMap,
    credential: Credential,
    own: Option<&(HeaderName, HeaderValue)>,
) -> HeaderMap {
    let forwards = credential == Credential::Forward;
    let mut out = passing(client, |name| {
        let stays = matches!(
            name,
            "host" | "content-length" | "expect" | "content-md5" | "digest" | "content-digest" | "repr-digest"
            // Never of use to a model server, and whose origin the call has is the client's own affair.
            | "origin"
        );
        stays || name.starts_with("x-airlock-") || (!forwards && CREDENTIALS.contains(&name))
    });
    if let Some((name, value)) = own {
        out.insert(name, value.clone());
    }
    out.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    out
}

/// Beginnings of names of headers that mean something to the client's own vendor alone.
const VENDORS: [&str; 5] = [
    "anthropic-",
    "openai-",
    "x-goog-",
    "x-stainless-",
    "x-claude-",
];

/// Headers of a request that goes to an upstream of another wire API: without those of the client's vendor, and with what that
/// API demands.
pub(super) fn to_foreign(headers: &mut HeaderMap, demanded: &[(&'static str, &'static str)]) {
    let is_vendors = |name: &HeaderName| VENDORS.iter().any(|v| name.as_str().starts_with(v));
    let vendors: Vec<HeaderName> = headers.keys().filter(|n| is_vendors(n)).cloned().collect();
    let own = headers.iter().find(|(_, value)| value.is_sensitive());
    let own = own.map(|(name, _)| name.clone());
    for name in vendors.iter().filter(|name| Some(*name) != own.as_ref()) {
        headers.remove(name);
    }
    for (name, value) in demanded {
        headers.insert(*name, HeaderValue::from_static(value));
    }
}

/// Headers for the client of an exchange, whose body is Airlock's own: what describes the upstream's bytes does not
/// outlive them. `exchange` is Airlock's own id of it.
pub fn to_client(upstream: &HeaderMap, exchange: &str) -> HeaderMap {
    let mut out = of_passage(upstream);
    forget_body(&mut out);
    if let Ok(value) = HeaderValue::from_str(exchange) {
        out.insert(EXCHANGE_ID, value);
    }
    out
}

/// Headers for the client of a call whose body passes as it came. What would lead the client past Airlock never travels.
/// `X-Accel-Buffering: no` keeps a reverse proxy in front from collecting the stream.
pub fn of_passage(upstream: &HeaderMap) -> HeaderMap {
    let mut out = passing(upstream, |name| {
        name == "content-length" || ELSEWHERE.contains(&name)
    });
    out.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    out
}

/// Gives a stream its media type, `kind`. The upstream's own stays if it is that, and in an encoding that Airlock read.
pub fn mark_stream(headers: &mut HeaderMap, kind: &'static str) {
    let wanted = kind.split(';').next().map(str::trim);
    let mut stated = headers.get_all(header::CONTENT_TYPE).iter();
    let own = stated.next().is_some_and(|value| {
        let value = String::from_utf8_lossy(value.as_bytes());
        let mut parts = value.split(';').map(str::trim);
        parts.next() == wanted && parts.all(|part| part.eq_ignore_ascii_case("charset=utf-8"))
    }) && stated.next().is_none();
    if !own {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
}

/// Airlock's own key in its header: a bearer token in `authorization`, the key alone in any other. Marked sensitive, so
/// that no `Debug` shows it.
pub(super) fn credential(
    name: &HeaderName,
    key: &Secret,
) -> Result<(HeaderName, HeaderValue), header::InvalidHeaderValue> {
    let mut value = match *name {
        header::AUTHORIZATION => HeaderValue::from_str(&format!("Bearer {}", key.expose()))?,
        _ => HeaderValue::from_str(key.expose())?,
    };
    value.set_sensitive(true);
    Ok((name.clone(), value))
}

/// Headers that may travel on: but those of one connection, and those that `stay` says to stay.
fn passing(headers: &HeaderMap, stay: impl Fn(&str) -> bool) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let mut out = HeaderMap::with_capacity(headers.len() + 4);
    for (name, value) in headers {
        let stays = HOP_BY_HOP.contains(&name.as_str()) || stay(name.as_str());
        if !(stays || named.contains(name)) {
            out.append(name, value.clone());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn names(map: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn vendors_headers_pass_byte_for_byte_and_connection_headers_do_not() {
        let client = headers(&[
            ("anthropic-beta", "a-2025,b-2026"),
            ("openai-organization", "org"),
            ("x-stainless-retry-count", "1"),
            ("traceparent", "00-1-2-01"),
            ("user-agent", "x"),
            ("authorization", "Bearer client"),
            ("host", "127.0.0.1:4100"),
            ("content-length", "3"),
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("accept-encoding", "gzip, br"),
            ("origin", "http://localhost"),
            ("x-airlock-session-id", "s"),
        ]);
        let out = to_upstream(&client, Credential::Forward, None);
        let expected = [
            "accept-encoding",
            "anthropic-beta",
            "authorization",
            "openai-organization",
            "traceparent",
            "user-agent",
            "x-stainless-retry-count",
        ];
        assert_eq!(names(&out), expected);
        assert_eq!(out["accept-encoding"], "identity");
        assert_eq!(out["anthropic-beta"], "a-2025,b-2026");
        assert_eq!(out["authorization"], "Bearer client");
    }

    #[test]
    fn an_own_key_replaces_every_credential_and_does_not_show() {
        let client = headers(&[
            ("authorization", "Bearer client"),
            ("x-api-key", "k"),
            ("api-key", "k"),
            ("cookie", "c=1"),
        ]);
        let own = credential(&header::AUTHORIZATION, &Secret::new("sk-own\n")).unwrap();
        let out = to_upstream(&client, Credential::Own, Some(&own));
        assert_eq!(names(&out), ["accept-encoding", "authorization"]);
        assert_eq!(out["authorization"], "Bearer sk-own");
        assert!(!format!("{out:?}").contains("sk-own"));
        let other = credential(&HeaderName::from_static("x-own"), &Secret::new("sk-own")).unwrap();
        let mut forged = client.clone();
        forged.insert("x-own", "forged".parse().unwrap());
        let out = to_upstream(&forged, Credential::Own, Some(&other));
        assert_eq!(names(&out), ["accept-encoding", "x-own"]);
        assert_eq!(out["x-own"], "sk-own");
        assert!(!format!("{out:?}").contains("sk-own"));
        let none = to_upstream(&client, Credential::None, None);
        assert_eq!(names(&none), ["accept-encoding"]);
    }

    #[test]
    fn a_stream_is_marked_as_one_and_in_the_encoding_in_which_it_was_read() {
        for (own, expected) in [
            ("text/event-stream", "text/event-stream"),
            (
                "text/event-stream; charset=UTF-8",
                "text/event-stream; charset=UTF-8",
            ),
            (
                "text/event-stream; charset=utf-7",
                "text/event-stream; charset=utf-8",
            ),
            ("Text/Event-Stream", "text/event-stream; charset=utf-8"),
            ("text/plain", "text/event-stream; charset=utf-8"),
            ("application/json", "text/event-stream; charset=utf-8"),
        ] {
            let mut map = headers(&[("content-type", own)]);
            mark_stream(&mut map, "text/event-stream; charset=utf-8");
            assert_eq!(map["content-type"], expected);
        }
        let mut map = headers(&[
            ("content-type", "text/event-stream"),
            ("content-type", "text/event-stream; charset=utf-7"),
        ]);
        mark_stream(&mut map, "text/event-stream; charset=utf-8");
        assert_eq!(map.get_all("content-type").iter().count(), 1);
        let mut map = HeaderMap::new();
        mark_stream(&mut map, "text/event-stream; charset=utf-8");
        assert_eq!(map["content-type"], "text/event-stream; charset=utf-8");
    }

    #[test]
    fn retry_signals_and_ids_reach_the_client() {
        let upstream = headers(&[
            ("x-request-id", "r"),
            ("retry-after", "2"),
            ("x-should-retry", "false"),
            ("x-ratelimit-remaining-tokens", "9"),
            ("content-length", "12"),
            ("transfer-encoding", "chunked"),
            ("content-type", "text/event-stream"),
            ("location", "https://elsewhere.example/"),
            ("alt-svc", "h2=\"elsewhere.example\""),
            ("content-location", "/elsewhere"),
            ("refresh", "0; url=/elsewhere"),
            ("x-accel-redirect", "/internal"),
            ("x-sendfile", "/etc/passwd"),
            ("etag", "\"1\""),
            ("digest", "sha-256=x"),
            ("content-digest", "sha-256=:x:"),
            ("content-md5", "x"),
        ]);
        let out = to_client(&upstream, "s1.2");
        let expected = [
            "content-type",
            "retry-after",
            "x-accel-buffering",
            "x-airlock-exchange",
            "x-ratelimit-remaining-tokens",
            "x-request-id",
            "x-should-retry",
        ];
        assert_eq!(names(&out), expected);
    }
}
