//! The first that a request meets on a listener: the guard, then who answers.
//!
//! Model calls do not go through the router: its layers and what they box took 25,000 of the 490,000 instructions of a call.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use airlock_core::dialect::registry;
use airlock_core::event::FailureKind;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::serve::IncomingStream;
use http::{HeaderValue, Method, Response, StatusCode, header};
use tokio::net::TcpListener;
use tower_service::Service;

use super::app::App;
use super::arrival;
use super::guard::{self, Guard};
use super::respond;

/// What answers on one listener. Cheap to copy.
#[derive(Clone)]
pub(super) struct Front(Arc<Parts>);

struct Parts {
    guard: Guard,
    /// Whose models are called; `None` where none are.
    app: Option<Arc<App>>,
    /// Everything else.
    router: Router,
}

impl Front {
    /// Of the listener for applications.
    pub fn of_gateway(app: Arc<App>, router: Router, guard: Guard) -> Self {
        let app = Some(app);
        Self(Arc::new(Parts { guard, app, router }))
    }

    /// Of the listener for operators.
    pub fn of_admin(router: Router, guard: Guard) -> Self {
        let app = None;
        Self(Arc::new(Parts { guard, app, router }))
    }

    async fn answer(&self, request: Request) -> Response<Body> {
        let uri = request.uri();
        let called = registry::at(uri.path(), uri.query());
        let called = self.0.app.as_ref().zip(called);
        let Some((app, dialect)) = called else {
            let answered = self.0.router.clone().call(request).await;
            return answered.unwrap_or_else(|never| match never {});
        };
        if request.method() == Method::POST {
            return arrival::handle(Arc::clone(app), dialect, request).await;
        }
        if request.headers().contains_key(header::UPGRADE) {
            return respond::refuse(
                dialect.inbound(),
                StatusCode::UPGRADE_REQUIRED,
                FailureKind::Other,
                "airlock_no_websocket",
                "Airlock takes model calls over HTTP and not over WebSocket: POST to this path, and set the client's \
                 transport to HTTP (Codex: supports_websockets = false)"
                    .to_owned(),
            );
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let headers = response.headers_mut();
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        response
    }
}

impl Service<Request> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let front = self.clone();
        Box::pin(async move {
            let answer = |request| front.answer(request);
            Ok(guard::check(&front.0.guard, request, answer).await)
        })
    }
}

/// Gives each connection its front.
impl Service<IncomingStream<'_, Listener>> for Front {
    type Response = Front;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Front, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: IncomingStream<'_, Listener>) -> Self::Future {
        std::future::ready(Ok(self.clone()))
    }
}

/// The listener with what is done to each connection.
pub(super) type Listener =
    axum::serve::TapIo<TcpListener, fn(&mut <TcpListener as axum::serve::Listener>::Io)>;
