//! Why a call to an upstream failed.

use std::time::Duration;

use http::StatusCode;

use super::gate::Full;
use airlock_core::event::FailureKind;

/// Why a call to an upstream failed. Texts are fit for the client: no keys, no headers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// No upstream has that name.
    #[error("there is no upstream named {0}: add [upstream.{0}] to the configuration")]
    Unknown(String),
    /// No connection came about: name, TCP or TLS.
    #[error("cannot connect to upstream {upstream}: {reason}")]
    Connect {
        /// Name of the upstream.
        upstream: String,
        /// The system's words.
        reason: String,
    },
    /// TCP and TLS took too long.
    #[error("upstream {upstream} did not accept a connection within {} ms", .after.as_millis())]
    ConnectTimeout {
        /// Name of the upstream.
        upstream: String,
        /// The limit.
        after: Duration,
    },
    /// Nothing arrived for too long.
    #[error("upstream {upstream} was silent for {} ms", .after.as_millis())]
    Idle {
        /// Name of the upstream.
        upstream: String,
        /// The limit.
        after: Duration,
    },
    /// The attempt as a whole took too long.
    #[error("upstream {upstream} took longer than {} ms in all", .after.as_millis())]
    Total {
        /// Name of the upstream.
        upstream: String,
        /// The limit.
        after: Duration,
    },
    /// The connection broke, or what came was not HTTP.
    #[error("the connection to upstream {upstream} broke: {reason}")]
    Broken {
        /// Name of the upstream.
        upstream: String,
        /// The transport's words.
        reason: String,
    },
    /// It is not asked: the operator's limit for it is reached.
    #[error(transparent)]
    Full(Full),
    /// It sent the client elsewhere. Followed, the key and the conversation would go there too, past Airlock.
    #[error(
        "upstream {upstream} answered {status}, a redirect, which is not followed: set base_url in [upstream.{upstream}] to the address to which it leads"
    )]
    Redirect {
        /// Name of the upstream.
        upstream: String,
        /// The status.
        status: StatusCode,
    },
    /// What it answered is compressed in a way that cannot be undone, although no compression was asked for.
    #[error(
        "upstream {upstream} answered in {coding}, which Airlock cannot read, although it asked for none: switch compression off there"
    )]
    Coding {
        /// Name of the upstream.
        upstream: String,
        /// What it bears.
        coding: String,
    },
    /// It answered with a status that may go away. Only in reports: the answer itself goes to the client.
    #[error("upstream {upstream} answered {status}")]
    Status {
        /// Name of the upstream.
        upstream: String,
        /// The status.
        status: StatusCode,
    },
}

impl UpstreamError {
    /// The contract's word for it.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Unknown(_) => FailureKind::Other,
            Self::Full(_) => FailureKind::RateLimit,
            Self::Connect { .. } | Self::Broken { .. } => FailureKind::Connection,
            Self::ConnectTimeout { .. } | Self::Idle { .. } | Self::Total { .. } => {
                FailureKind::Timeout
            }
            Self::Redirect { .. } | Self::Coding { .. } => FailureKind::Upstream,
            Self::Status { status, .. } => match status.as_u16() {
                408 | 504 => FailureKind::Timeout,
                429 => FailureKind::RateLimit,
                503 | 529 => FailureKind::Overloaded,
                _ => FailureKind::Upstream,
            },
        }
    }

    /// Status for the client when nothing came from the upstream.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Full(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Connect { .. }
            | Self::Broken { .. }
            | Self::Redirect { .. }
            | Self::Coding { .. } => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout { .. } | Self::Idle { .. } | Self::Total { .. } => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Status { status, .. } => *status,
        }
    }

    /// Whether it says something about the upstream, and not about the request or the configuration.
    pub fn is_its_own(&self) -> bool {
        match self {
            Self::Status { status, .. } => retryable(*status),
            Self::Unknown(_) => false,
            _ => true,
        }
    }

    /// Whether a repetition may succeed without harm. A silent upstream may be at work, and bill it: no.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Broken { .. }
            | Self::Full(_) => true,
            Self::Status { status, .. } => retryable(*status),
            Self::Unknown(_)
            | Self::Idle { .. }
            | Self::Total { .. }
            | Self::Redirect { .. }
            | Self::Coding { .. } => false,
        }
    }
}

/// Statuses that may go away by themselves.
pub(super) fn retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429) || status.is_server_error()
}

/// An error with its causes in one line: transports put the telling part last.
pub(super) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_request_is_nobodys_failure_but_the_clients() {
        let status = |code| UpstreamError::Status {
            upstream: "a".to_owned(),
            status: code,
        };
        for (error, counts) in [
            (status(StatusCode::BAD_REQUEST), false),
            (status(StatusCode::UNAUTHORIZED), false),
            (status(StatusCode::NOT_FOUND), false),
            (status(StatusCode::TOO_MANY_REQUESTS), true),
            (status(StatusCode::BAD_GATEWAY), true),
            (UpstreamError::Unknown("a".to_owned()), false),
        ] {
            assert_eq!(error.is_its_own(), counts, "{error}");
        }
    }
}
