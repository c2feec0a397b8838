//! What a browser wants to hear before a page of another origin may call (<https://fetch.spec.whatwg.org/#http-cors-protocol>).
//!
//! Whether the origin may call at all is the guard's to judge: only what it let pass comes here. No cookies are used, so
//! `Access-Control-Allow-Credentials` is never sent.

use axum::body::Body;
use axum::extract::Request;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

/// A page asks for leave to reach a machine of its own network, loopback among them.
const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
/// The leave.
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");
/// What a page may read of an answer, besides what it always may.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("x-airlock-exchange, x-airlock-session-id, x-request-id, retry-after");

/// The answer, if this is a question before a call: which methods and headers may be used.
pub(super) fn preflight(request: &Request) -> Option<Response<Body>> {
    let headers = request.headers();
    if request.method() != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let told = response.headers_mut();
    told.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE"),
    );
    // SDKs add headers of their own to each call: those asked for are allowed, whatever they are. `*` would not cover
    // `Authorization`.
    if let Some(asked) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        told.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    if headers.contains_key(REQUEST_PRIVATE_NETWORK) {
        told.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    // Ten minutes: a listed origin that is taken from the list is refused at the call itself, at once.
    told.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    told.append(
        VARY,
        HeaderValue::from_static("access-control-request-headers"),
    );
    Some(response)
}

/// Lets a page of `origin` read the answer. What an upstream said of origins is replaced.
pub(super) fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(VARY, HeaderValue::from_static("origin"));
}
