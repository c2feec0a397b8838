//! What goes out to an upstream, and the beginning of what comes back.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;

use super::body::Body;
use super::gate::Charge;
use airlock_core::event::target::{Foreign, Target};

/// The body of a call to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Path under the upstream's base URL, if it differs by target; else the call's.
    pub path: Option<String>,
    /// What is sent.
    pub body: Bytes,
    /// What is sent if the upstream refuses the call because it was asked for the usage of its stream.
    pub plain: Option<Bytes>,
    /// It is of another wire API than the client's request.
    pub foreign: Option<Foreign>,
}

impl From<Bytes> for Draft {
    fn from(body: Bytes) -> Self {
        Self {
            path: None,
            body,
            plain: None,
            foreign: None,
        }
    }
}

/// A call as it goes out, but for its body, which names the model and so may differ by target.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Method.
    pub method: Method,
    /// Path under the upstream's base URL, such as `/chat/completions`, unless the target's draft has its own.
    pub path: String,
    /// The client's query, which goes along.
    pub query: Option<String>,
    /// The client's headers; what must not travel is removed here.
    pub headers: HeaderMap,
    /// Estimate of what it will use, input and output, for limits of tokens.
    pub tokens: u64,
}

/// The beginning of an answer.
pub struct Response {
    /// Where it came from.
    pub target: Target,
    /// Number of the attempt that brought it, from 1.
    pub attempt: u32,
    /// When that attempt began.
    pub started: Instant,
    /// Status, which may be an error that no repetition cured.
    pub status: StatusCode,
    /// Headers as they came; see [`super::headers::to_client`].
    pub headers: HeaderMap,
    /// The body as it arrives.
    pub body: Body,
    /// What it counts against the upstream's tokens a minute, to be settled.
    pub charge: Charge,
}
