//! An upstream that is simulated: a server that speaks OpenAI chat completions with no model behind it.
//!
//! It serves the demo and is the test double of every end-to-end test, so it is exact: what a script orders is what goes
//! out, frame by frame, and what came in and went out can be read back. It never passes for a model: every response carries
//! `x-airlock-simulated: 1`, every model is named `sim-*`, and the owner is `airlock-simulator`.
//!
//! | path | what |
//! |---|---|
//! | `POST /v1/chat/completions` | streamed and not; see [`script`] for what it says and how it can fail |
//! | `GET /v1/models`, `GET /v1/models/{id}` | the `sim-*` models |
//! | `POST /v1/embeddings` | small vectors, the same for the same text |
//! | `POST /v1/moderations` | flags nothing; a path that a gateway need not know |
//! | `GET /sim/requests` | what was received: path, headers, raw body, and the raw bytes of the answer |
//! | `DELETE /sim/requests` | forgets them, the prompt cache and the counts of failures |
//! | `GET /sim/live` | generations open, completed, and cancelled by a disconnect |
//!
//! It checks no credentials and keeps everything in memory: loopback only.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use bytes::Bytes;
use serde_json::{Value, json};

pub mod error;
pub mod generation;
pub mod models;
pub mod record;
pub mod request;
pub mod script;
pub mod stream;
pub mod wire;

use error::ScriptedError;
use record::Record;
use request::ChatRequest;
use script::Script;

/// On every response, with the value `1`.
pub const SIMULATED: HeaderName = HeaderName::from_static("x-airlock-simulated");
/// On every response of a generation: the number of its request, as in `GET /sim/requests`.
pub const REQUEST_NUMBER: HeaderName = HeaderName::from_static("x-airlock-simulated-request");

/// The largest request body. A prompt of a few million tokens fits; a mistake does not fill the memory.
const MAX_BODY: usize = 64 << 20;

/// What a simulator remembers. Cheap to clone; clones share.
#[derive(Clone, Default)]
pub struct Simulator {
    record: Arc<Record>,
}

impl Simulator {
    /// A simulator that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was received, sent and cancelled so far.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The server's routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/v1/chat/completions", post(chat))
            .route("/v1/models", get(list_models))
            .route("/v1/models/{id}", get(show_model))
            .route("/v1/embeddings", post(embeddings))
            .route("/v1/moderations", post(moderations))
            .route("/sim/requests", get(requests).delete(forget))
            .route("/sim/live", get(live))
            .fallback(unknown_path)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(axum::middleware::map_response(label))
            .with_state(self.clone())
    }

    /// Serves until `shutdown` resolves, then lets open responses end.
    pub async fn serve(
        &self,
        listener: tokio::net::TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        // A frame of some 100 bytes must leave at once; without this, Nagle's algorithm keeps it for the next.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY could not be set");
            }
        });
        axum::serve(listener, self.router())
            .with_graceful_shutdown(shutdown)
            .await
    }
}

async fn label(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(SIMULATED, HeaderValue::from_static("1"));
    response
}

async fn chat(
    State(simulator): State<Simulator>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let record = simulator.record;
    let number = record.received(&Method::POST, &uri, &headers, &body);
    let mut response = match answer(&record, number, &body).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    response
        .headers_mut()
        .insert(REQUEST_NUMBER, HeaderValue::from(number));
    response
}

async fn answer(record: &Arc<Record>, number: u64, body: &[u8]) -> Result<Response, ScriptedError> {
    let request = ChatRequest::parse(body)?;
    let behaviour = models::behaviour(&request)?;
    let script = match script::find(&request)? {
        Some(own) => own.over(behaviour),
        None => behaviour,
    };
    if let Some(error) = failure(record, &request, &script) {
        return Ok(with_headers(error.into_response(), &script));
    }
    let cached = record.cached_bytes(&request.model, &request.prompt);
    let generation = generation::Generation::new(&request, &script, number, cached);
    let open = record.open(number);
    let response = if request.stream {
        stream::respond(generation, &script, open)
    } else {
        stream::collect(generation, &script, open).await
    };
    Ok(with_headers(response, &script))
}

/// The failure that the script orders for this attempt, if any.
fn failure(record: &Record, request: &ChatRequest, script: &Script) -> Option<ScriptedError> {
    let status = script.status?;
    if let Some(times) = script.fail_times
        && record.attempt(&request.prompt) > times
    {
        return None;
    }
    let mut error = script.error.clone().unwrap_or_default();
    error.status = status;
    Some(error)
}

fn with_headers(mut response: Response, script: &Script) -> Response {
    for (name, value) in &script.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn list_models(State(simulator): State<Simulator>, uri: Uri, headers: HeaderMap) -> Response {
    simulator.record.received(&Method::GET, &uri, &headers, b"");
    axum::Json(wire::models()).into_response()
}

async fn show_model(
    State(simulator): State<Simulator>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    simulator.record.received(&Method::GET, &uri, &headers, b"");
    match models::MODELS.iter().find(|model| model.name == id) {
        Some(model) => axum::Json(wire::model(model)).into_response(),
        None => models::unknown(&id).into_response(),
    }
}

async fn embeddings(
    State(simulator): State<Simulator>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    simulator
        .record
        .received(&Method::POST, &uri, &headers, &body);
    match serde_json::from_slice::<Value>(&body) {
        Ok(request) => axum::Json(wire::embeddings(&request)).into_response(),
        Err(error) => {
            ScriptedError::invalid(format!("the body is not JSON: {error}")).into_response()
        }
    }
}

async fn moderations(
    State(simulator): State<Simulator>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    simulator
        .record
        .received(&Method::POST, &uri, &headers, &body);
    let result = json!({"flagged": false, "categories": {}, "category_scores": {}});
    axum::Json(json!({"id": "modr-sim", "model": "sim-moderation", "results": [result]}))
        .into_response()
}

async fn requests(State(simulator): State<Simulator>) -> Response {
    axum::Json(simulator.record.requests()).into_response()
}

async fn forget(State(simulator): State<Simulator>) -> StatusCode {
    simulator.record.forget();
    StatusCode::NO_CONTENT
}

async fn live(State(simulator): State<Simulator>) -> Response {
    axum::Json(simulator.record.live()).into_response()
}

async fn unknown_path(method: Method, uri: Uri) -> Response {
    let error = ScriptedError {
        status: 404,
        message: format!(
            "Invalid URL ({method} {}): the simulator does not serve it",
            uri.path()
        ),
        kind: "invalid_request_error".into(),
        code: None,
    };
    error.into_response()
}

impl IntoResponse for ScriptedError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = wire::error(&self).to_string();
        (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}
