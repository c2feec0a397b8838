//! A key in the query, as clients of Gemini may write it: it counts as if it stood in the header of their SDKs, and goes on as
//! that, so that it is judged, concealed and replaced like any other.

use http::uri::PathAndQuery;
use http::{HeaderValue, Uri, request};

const HEADER: &str = "x-goog-api-key";

/// Takes the key out of the query, into the header if that states none.
pub(super) fn take(head: &mut request::Parts) {
    let path = head.uri.path();
    if !(path.starts_with("/v1beta/") || path.starts_with("/v1/models/")) {
        return;
    }
    let Some(query) = head.uri.query().filter(|query| query.contains("key=")) else {
        return;
    };
    let (keys, others): (Vec<&str>, Vec<&str>) =
        query.split('&').partition(|pair| pair.starts_with("key="));
    let Some(key) = keys.first().and_then(|pair| pair.strip_prefix("key=")) else {
        return;
    };
    let (Ok(mut key), Some(uri)) = (HeaderValue::from_str(key), without(&head.uri, &others)) else {
        return;
    };
    key.set_sensitive(true);
    head.uri = uri;
    head.headers.entry(HEADER).or_insert(key);
}

fn without(uri: &Uri, query: &[&str]) -> Option<Uri> {
    let mut text = uri.path().to_owned();
    if !query.is_empty() {
        text.push('?');
        text.push_str(&query.join("&"));
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_moves_into_the_header_and_nothing_else_changes() {
        for (uri, left, key) in [
            (
                "/v1beta/m?alt=sse&key=k-1",
                "/v1beta/m?alt=sse",
                Some("k-1"),
            ),
            ("/v1beta/m?key=k-1", "/v1beta/m", Some("k-1")),
            ("/v1beta/m?monkey=1", "/v1beta/m?monkey=1", None),
            ("/v1beta/m", "/v1beta/m", None),
            (
                "/v1/chat/completions?key=k",
                "/v1/chat/completions?key=k",
                None,
            ),
        ] {
            let (mut head, ()) = http::Request::get(uri).body(()).unwrap().into_parts();
            take(&mut head);
            assert_eq!(head.uri, *left);
            let stated = head.headers.get(HEADER);
            assert_eq!(stated.map(|key| key.to_str().unwrap()), key);
        }
    }
}
