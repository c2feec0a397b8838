//! The only maker of responses of Airlock's own to a client of a dialect.

use axum::body::Body;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::reply::json_response;
use crate::upstream::headers;
use airlock_core::dialect::{ClientError, Inbound};
use airlock_core::event::FailureKind;
use airlock_core::exchange::words::{DEADLINE, HELD};

/// An error as an HTTP response.
pub fn error(speaker: &dyn Inbound, error: &ClientError) -> Response<Body> {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let body = Bytes::from(speaker.error_body(error));
    let mut response = json_response(status, body);
    let headers = response.headers_mut();
    let again = match &*error.code {
        // What nobody has decided yet SDKs ask again by themselves.
        HELD => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            Some("true")
        }
        // A deadline that has passed has passed for a repetition too.
        DEADLINE => Some("false"),
        _ => status.is_client_error().then_some("false"),
    };
    if let Some(again) = again {
        headers.insert("x-should-retry", HeaderValue::from_static(again));
    }
    response
}

/// An error that nobody's order is behind.
pub fn refuse(
    speaker: &dyn Inbound,
    status: StatusCode,
    kind: FailureKind,
    code: &str,
    message: String,
) -> Response<Body> {
    let status = status.as_u16();
    let refused = airlock_core::exchange::words::plain(status, kind, code, message);
    error(speaker, &refused)
}

/// The head of a stream that Airlock begins itself.
pub fn stream_head(speaker: &dyn Inbound, label: &str) -> Response<()> {
    let mut head = Response::new(());
    let headers = head.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(speaker.stream_type()),
    );
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    labelled(head, label)
}

/// Says which exchange it was.
pub fn labelled<B>(mut response: Response<B>, label: &str) -> Response<B> {
    if let Ok(label) = HeaderValue::from_str(label) {
        response.headers_mut().insert(headers::EXCHANGE_ID, label);
    }
    response
}

/// A connection that ends without a word.
pub fn cut() -> Response<Body> {
    let stream = futures_util::stream::once(async { Err::<Bytes, _>(cut_off()) });
    Response::new(Body::from_stream(stream))
}

/// Why it ends so.
pub fn cut_off() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "cut by a policy")
}
