//! The body of a request: read to its end, bounded, and without content codings.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::respond;
use crate::upstream::coding::{self, CodingError, Decoder, KNOWN};
use airlock_core::dialect::Inbound;
use airlock_core::event::FailureKind;

/// Reads a body. Codings are undone, and the headers that describe them go: what goes upstream has none.
///
/// # Errors
/// The answer to a body that is too long, broken, or in a coding that is not known.
pub(super) async fn read(
    speaker: &dyn Inbound,
    headers: &mut HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Bytes, Box<Response<Body>>> {
    let Ok(body) = axum::body::to_bytes(body, limit).await else {
        return Err(Box::new(too_large(speaker, limit)));
    };
    let decoder = match Decoder::of(headers) {
        Ok(None) => return Ok(body),
        Ok(Some(decoder)) => decoder,
        Err(error) => return Err(Box::new(unsupported(speaker, &error))),
    };
    coding::forget_body(headers);
    match coding::undo(decoder, body, limit) {
        Ok(body) => Ok(body),
        Err(CodingError::TooLong) => Err(Box::new(too_large(speaker, limit))),
        Err(error) => Err(Box::new(respond::refuse(
            speaker,
            StatusCode::BAD_REQUEST,
            FailureKind::Other,
            "airlock_undecodable",
            format!("the request body cannot be read: {error}"),
        ))),
    }
}

/// The refusal of a body longer than `max_body_bytes`, or broken off.
fn too_large(speaker: &dyn Inbound, limit: usize) -> Response<Body> {
    let message = format!(
        "the request body is longer than {limit} bytes (`max_body_bytes` in [gateway]), or broke off"
    );
    respond::refuse(
        speaker,
        StatusCode::PAYLOAD_TOO_LARGE,
        FailureKind::Other,
        "airlock_body_too_large",
        message,
    )
}

fn unsupported(speaker: &dyn Inbound, error: &CodingError) -> Response<Body> {
    let mut response = respond::refuse(
        speaker,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        FailureKind::Other,
        "airlock_undecodable",
        format!(
            "the request body bears {error}, which Airlock cannot read: send it without, or in {KNOWN}"
        ),
    );
    response
        .headers_mut()
        .insert(header::ACCEPT_ENCODING, HeaderValue::from_static(KNOWN));
    response
}
