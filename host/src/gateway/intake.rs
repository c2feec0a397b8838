//! The body of a request: read to its end, bounded, and without content codings.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::reply;
use crate::upstream::coding::{self, CodingError, Decoder, KNOWN};

/// Reads a body. Codings are undone, and the headers that describe them go: what goes upstream has none.
///
/// # Errors
/// The answer to a body that is too long, broken, or in a coding that is not known.
pub(super) async fn read(
    headers: &mut HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Bytes, Box<Response<Body>>> {
    let Ok(body) = axum::body::to_bytes(body, limit).await else {
        return Err(Box::new(too_large(limit)));
    };
    let decoder = match Decoder::of(headers) {
        Ok(None) => return Ok(body),
        Ok(Some(decoder)) => decoder,
        Err(error) => return Err(Box::new(unsupported(&error))),
    };
    coding::forget_body(headers);
    match coding::undo(decoder, body, limit) {
        Ok(body) => Ok(body),
        Err(CodingError::TooLong) => Err(Box::new(too_large(limit))),
        Err(error) => Err(Box::new(reply::error(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "airlock_undecodable",
            &format!("the request body cannot be read: {error}"),
        ))),
    }
}

/// The refusal of a body longer than `max_body_bytes`, or broken off.
fn too_large(limit: usize) -> Response<Body> {
    let message = format!(
        "the request body is longer than {limit} bytes (`max_body_bytes` in [gateway]), or broke off"
    );
    reply::error(
        StatusCode::PAYLOAD_TOO_LARGE,
        "invalid_request_error",
        "airlock_body_too_large",
        &message,
    )
}

fn unsupported(error: &CodingError) -> Response<Body> {
    let mut response = reply::error(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "invalid_request_error",
        "airlock_undecodable",
        &format!(
            "the request body bears {error}, which Airlock cannot read: send it without, or in {KNOWN}"
        ),
    );
    response
        .headers_mut()
        .insert(header::ACCEPT_ENCODING, HeaderValue::from_static(KNOWN));
    response
}
