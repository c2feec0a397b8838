//! The two listeners and what they answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::routing::{any, get};
use axum::serve::ListenerExt as _;
use http::{Response, StatusCode};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::app::App;
use super::front::Front;
use super::guard::{Guard, Names};
use super::{passthrough, reply};
use crate::config::Config;

/// Both listeners, bound. Nothing is answered yet.
pub struct Listeners {
    gateway: TcpListener,
    admin: TcpListener,
}

impl Listeners {
    /// Binds both addresses.
    ///
    /// # Errors
    /// Which address cannot be had, and what to do.
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            gateway: bind(config.gateway.listen, "[gateway]").await?,
            admin: bind(config.admin.listen, "[admin]").await?,
        })
    }

    /// The gateway's address; with port 0 configured, the one that the system chose.
    ///
    /// # Errors
    /// The system's.
    pub fn gateway_address(&self) -> std::io::Result<SocketAddr> {
        self.gateway.local_addr()
    }

    /// The admin API's address.
    ///
    /// # Errors
    /// The system's.
    pub fn admin_address(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Answers on both until `stop`; then says that it is not ready, goes on for `drain_delay_ms` so that load balancers
    /// notice, takes no new connections, tells calls that are held, and lets open streams end within `drain`. Returns whether
    /// all of them did.
    ///
    /// # Errors
    /// The system's.
    pub async fn serve(
        self,
        app: Arc<App>,
        admin: Router,
        stop: CancellationToken,
        drain: Duration,
    ) -> anyhow::Result<bool> {
        let gateway_guard =
            Guard::new(self.gateway_address()?, Arc::new(GatewayNames(app.clone())));
        let admin_guard = Guard::new(self.admin_address()?, Arc::new(AdminNames(app.clone())));
        let closing = app.stopping.clone();
        let gateway = Front::of_gateway(app.clone(), routes(app.clone()), gateway_guard);
        let gateway = run(self.gateway, gateway, closing.clone());
        let admin = run(self.admin, Front::of_admin(admin, admin_guard), closing);
        let both = async { tokio::try_join!(gateway, admin) };
        tokio::pin!(both);
        tokio::select! {
            result = &mut both => result.map(|_| true).context("serving failed"),
            () = async { leave(&app, &stop).await; tokio::time::sleep(drain).await } => Ok(false),
        }
    }
}

/// Not ready at once; the listeners close a delay later, since whoever sends calls here learns of it late.
async fn leave(app: &App, stop: &CancellationToken) {
    stop.cancelled().await;
    app.draining.cancel();
    let delay = app.settings.load().config.gateway.drain_delay_ms;
    tokio::time::sleep(Duration::from_millis(delay)).await;
    app.stopping.cancel();
}

async fn bind(address: SocketAddr, section: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address}: stop what uses it, or set another `listen` in {section}"
        )
    })
}

async fn run(listener: TcpListener, front: Front, stop: CancellationToken) -> std::io::Result<()> {
    // A token must not wait for the one after it: small writes go out at once.
    let undelayed: fn(&mut TcpStream) = |stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    };
    axum::serve(listener.tap_io(undelayed), front)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// What schedulers and load balancers ask, on both listeners, under any name (see [`guard`]) and without a token.
pub fn probes(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(app)
}

/// What the gateway answers besides model calls. Bodies are bounded by each handler, with an error in the dialect.
fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/{*path}", any(passthrough::handle))
        .route("/v1beta/{*path}", any(passthrough::handle))
        .route("/api/{*path}", any(passthrough::handle))
        .fallback(unknown)
        .layer(DefaultBodyLimit::disable())
        .with_state(app.clone())
        .merge(probes(app))
}

/// 503 from a signal to stop on, while a required policy has no good generation, or the disk takes nothing: a load balancer then keeps traffic away.
async fn ready(State(app): State<Arc<App>>) -> Response<Body> {
    if app.draining.is_cancelled() {
        return reply::json_response(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"ready": false, "stopping": true}).to_string(),
        );
    }
    if app.sessions.recorder().store.stats().failing {
        return reply::json_response(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"ready": false, "store": "the database cannot be written: see the log"})
                .to_string(),
        );
    }
    match app.policies.ready() {
        Ok(()) => reply::json_response(StatusCode::OK, json!({"ready": true}).to_string()),
        Err(missing) => reply::json_response(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"ready": false, "missing": missing}).to_string(),
        ),
    }
}

async fn unknown(request: Request) -> Response<Body> {
    let message = format!(
        "there is no {}: Airlock serves model calls under /v1, /v1beta and /api. Set the client's base URL with /v1 for \
         OpenAI's SDKs, and to the bare address for those of Anthropic, Google and Ollama",
        request.uri().path()
    );
    reply::error(
        StatusCode::NOT_FOUND,
        "invalid_request_error",
        "airlock_unknown_path",
        &message,
    )
}

struct GatewayNames(Arc<App>);
struct AdminNames(Arc<App>);

impl Names for GatewayNames {
    fn allowed(&self, judge: &mut dyn FnMut(&[String], &[String])) {
        let settings = self.0.settings.load();
        judge(
            &settings.config.gateway.allowed_hosts,
            &settings.config.gateway.allowed_origins,
        );
    }
}

impl Names for AdminNames {
    fn allowed(&self, judge: &mut dyn FnMut(&[String], &[String])) {
        let settings = self.0.settings.load();
        judge(
            &settings.config.admin.allowed_hosts,
            &settings.config.admin.allowed_origins,
        );
    }
}
