//! `[gateway]` and `[admin]`: the two listeners.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

/// The listener for applications.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// Paths under `/v1` that Airlock cannot decode and lets pass unjudged, such as `/v1/audio/speech`. A trailing `*`
    /// stands for anything.
    pub pass_paths: Vec<String>,
    /// Names besides the loopback ones and the listener's own address that a `Host` header may bear.
    pub allowed_hosts: Vec<String>,
    /// Origins (`https://app.example.com`) of web pages that may call. None by default: agents send no `Origin`.
    pub allowed_origins: Vec<String>,
    /// Calls under way of all callers together; 0: no limit.
    pub max_concurrent: u32,
    /// Longest request body in bytes.
    pub max_body_bytes: usize,
    /// How often a client reads a comment while its answer is held for a person, in milliseconds: 100 to 60,000. Proxies
    /// close connections that are silent for a minute.
    pub keep_alive_ms: u64,
    /// Whether upstreams are asked for a stream where a client wants a whole answer and a policy judges while it is generated:
    /// a runaway answer then ends at the token, not after it.
    pub stream_upstream: bool,
    /// How long calls are still taken after a signal to stop, in milliseconds; `/readyz` says 503 meanwhile. Load
    /// balancers learn of it only then.
    pub drain_delay_ms: u64,
    /// How long open streams may go on after that, in milliseconds.
    pub drain_timeout_ms: u64,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 4100)),
            pass_paths: Vec::new(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            // Each holds its request and two connections: about 100 KB, so 100 MB in all for usual conversations.
            max_concurrent: 1024,
            // A conversation with a dozen inline images fits; a body that exhausts memory does not.
            max_body_bytes: 64 * 1024 * 1024,
            keep_alive_ms: 15_000,
            stream_upstream: true,
            drain_delay_ms: 0,
            drain_timeout_ms: 30_000,
        }
    }
}

/// The listener for operators.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// As for the gateway.
    pub allowed_hosts: Vec<String>,
    /// As for the gateway.
    pub allowed_origins: Vec<String>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 4101)),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
        }
    }
}
