//! Connections to upstreams: TCP without delay, TLS by rustls, through a proxy where there is one, all under one time
//! limit.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use rustls::ClientConfig;
use tower_service::Service;

use crate::upstream::settings::ProxyConfig;

/// A connector whose TCP *and* TLS handshakes, the proxy's included, must be done within a limit; the HTTP connector's own
/// limit knows TCP only.
#[derive(Clone)]
pub(super) struct Connector {
    direct: HttpsConnector<HttpConnector>,
    /// To a proxy: HTTP/1, in which `CONNECT` is spoken.
    to_proxy: HttpsConnector<HttpConnector>,
    tls: Arc<ClientConfig>,
    proxies: Proxies,
    limit: Duration,
}

/// Which proxy stands before a server.
#[derive(Clone, Debug)]
pub(super) enum Proxies {
    /// As the environment of the process said.
    Environment(Arc<Matcher>),
    /// None.
    None,
    /// This one, for all.
    One(Arc<Matcher>),
}

impl Proxies {
    /// The proxies that a configuration names; `environment` holds those of the process.
    pub(super) fn of(config: &ProxyConfig, environment: &Arc<Matcher>) -> Self {
        match config {
            ProxyConfig::Environment => Self::Environment(Arc::clone(environment)),
            ProxyConfig::None => Self::None,
            ProxyConfig::At(address) => Self::One(Arc::new(
                Matcher::builder().all(address.to_string()).build(),
            )),
        }
    }

    fn before(&self, server: &Uri) -> Option<Intercept> {
        match self {
            Self::None => None,
            Self::One(matcher) => matcher.intercept(server),
            // A model server on this machine is not meant when a proxy is set for the world outside.
            Self::Environment(_) if is_loopback(server) => None,
            Self::Environment(matcher) => matcher.intercept(server),
        }
    }
}

fn is_loopback(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let lower = bare.to_ascii_lowercase();
    lower == "localhost"
        || lower.ends_with(".localhost")
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The limit was passed.
#[derive(Debug, thiserror::Error)]
#[error("connecting took too long")]
pub(super) struct ConnectTimedOut;

/// The way through the proxy failed.
#[derive(Debug, thiserror::Error)]
#[error("through the proxy {proxy}")]
struct ProxyFailed {
    proxy: String,
    source: Error,
}

type Error = Box<dyn std::error::Error + Send + Sync>;
type Connecting = Pin<Box<dyn Future<Output = Result<Stream, Error>> + Send>>;

impl Connector {
    /// HTTP/2 where the server offers it. `tls` says whom it trusts.
    pub(super) fn new(limit: Duration, tls: ClientConfig, proxies: Proxies) -> Self {
        let http = || {
            let mut http = HttpConnector::new();
            http.enforce_http(false);
            http.set_nodelay(true);
            http
        };
        let direct = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http());
        let to_proxy = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http());
        Self {
            direct,
            to_proxy,
            tls: Arc::new(tls),
            proxies,
            limit,
        }
    }

    /// The credential for a proxy that is to be sent with each request: where it forwards them, instead of a tunnel.
    pub(super) fn proxy_credential(&self, server: &Uri) -> Option<HeaderValue> {
        let plain = server.scheme_str() == Some("http");
        let proxy = self.proxies.before(server).filter(|_| plain)?;
        proxy.basic_auth().cloned()
    }

    fn connecting(&mut self, server: Uri) -> Connecting {
        let Some(proxy) = self.proxies.before(&server) else {
            let connecting = self.direct.call(server);
            return Box::pin(async move { Ok(Stream::new(connecting.await?, false)) });
        };
        let address = proxy.uri().clone();
        let named = address.authority().map(ToString::to_string);
        let failed = move |source: Error| -> Error {
            Box::new(ProxyFailed {
                proxy: named.unwrap_or_default(),
                source,
            })
        };
        if !matches!(address.scheme_str(), Some("http" | "https")) {
            let why = format!(
                "{} is no http or https proxy, and no other is spoken to",
                address.scheme_str().unwrap_or_default()
            );
            return Box::pin(async move { Err(failed(why.into())) });
        }
        if server.scheme_str() == Some("http") {
            let connecting = self.to_proxy.call(address);
            return Box::pin(async move {
                let io = connecting.await.map_err(failed)?;
                Ok(Stream::new(io, true))
            });
        }
        let mut tunnel = Tunnel::new(address, self.to_proxy.clone());
        if let Some(credential) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credential.clone());
        }
        let mut secured = HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(&self.tls))
            .https_only()
            .enable_all_versions()
            .wrap_connector(tunnel);
        Box::pin(async move {
            let io = secured.call(server).await.map_err(failed)?;
            Ok(Stream::new(io, false))
        })
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Error;
    type Future = Connecting;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.direct.poll_ready(cx) {
            Poll::Ready(Ok(())) => self.to_proxy.poll_ready(cx),
            other => other,
        }
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.connecting(uri);
        let limit = self.limit;
        Box::pin(async move {
            tokio::time::timeout(limit, connecting)
                .await
                .map_err(|_| ConnectTimedOut)?
        })
    }
}

trait Io: Read + Write + Connection + Unpin + Send {}

impl<T: Read + Write + Connection + Unpin + Send> Io for T {}

/// A connection of whatever kind.
pub(super) struct Stream {
    io: Box<dyn Io>,
    /// A proxy forwards requests on it: they name the whole address.
    forwarded: bool,
}

impl Stream {
    fn new(io: impl Io + 'static, forwarded: bool) -> Self {
        Self {
            io: Box::new(io),
            forwarded,
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.forwarded)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn before(proxies: &Proxies, server: &str) -> Option<String> {
        let proxy = proxies.before(&server.parse().unwrap())?;
        Some(proxy.uri().to_string())
    }

    #[test]
    fn the_environments_proxies_stand_before_what_they_are_meant_for() {
        let matcher = Matcher::builder()
            .http("http://plain:1")
            .https("http://secure:2")
            .no("internal.example, 10.0.0.0/8")
            .build();
        let matcher = Arc::new(matcher);
        let environment = Proxies::of(&ProxyConfig::Environment, &matcher);
        for (server, proxy) in [
            ("http://a.example/v1", Some("http://plain:1/")),
            ("https://a.example/v1", Some("http://secure:2/")),
            ("https://x.internal.example/v1", None),
            ("https://10.1.2.3/v1", None),
            ("http://localhost:11434/v1", None),
            ("http://127.0.0.2:8000/v1", None),
            ("http://[::1]:8000/v1", None),
        ] {
            assert_eq!(before(&environment, server).as_deref(), proxy, "{server}");
        }
        let none = Proxies::of(&ProxyConfig::None, &matcher);
        assert_eq!(before(&none, "https://a.example/v1"), None);
        let own = ProxyConfig::At("http://own:3".parse().unwrap());
        let own = Proxies::of(&own, &matcher);
        for server in ["https://x.internal.example", "http://localhost:1"] {
            assert_eq!(before(&own, server).as_deref(), Some("http://own:3/"));
        }
    }
}
