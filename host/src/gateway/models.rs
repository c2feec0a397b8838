//! `GET /v1/models` where models go to several upstreams: one list of everything that a client can ask for here.
//!
//! A model is listed under the name by which a client asks: what an upstream tells counts only if a call for it would go
//! there under that name, and what a route renames is listed as the route names it.

use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::known::known;
use super::reply;
use crate::gateway::settings::Settings;
use crate::upstream::{Attempt, Draft, Outgoing};
use airlock_core::event::target::Target;

/// How long an upstream may take to tell its models. The others' are listed without.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest list that is read: the largest public one, of 400 models with their descriptions, is below a megabyte.
const MAX_LIST: usize = 8 * 1024 * 1024;

/// What came of asking.
pub(super) struct Listed {
    /// For the client.
    pub response: Response<Body>,
    /// Names of the upstreams that were asked.
    pub upstreams: String,
    /// Attempts that failed.
    pub failures: Vec<Attempt>,
}

/// Asks every upstream to which a route leads, all at once.
pub(super) async fn list(settings: &Settings, request: &Outgoing) -> Listed {
    let names = settings.routes.upstreams();
    // The list is put together here: no upstream can say that the client has it.
    let mut request = request.clone();
    for name in [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE] {
        request.headers.remove(name);
    }
    let answers = join_all(names.iter().map(|name| ask(settings, &request, name))).await;
    let mut models: Vec<Value> = Vec::new();
    let mut failures = Vec::new();
    let mut refusals = Vec::new();
    let mut told: Vec<(&str, Vec<Value>)> = Vec::new();
    for (name, (answer, failed)) in names.iter().zip(answers) {
        failures.extend(failed);
        match answer {
            Ok(list) => told.push((name, list)),
            Err(why) => refusals.push(why),
        }
    }
    for (name, list) in &told {
        for model in list {
            let id = id(model);
            let goes = settings.routes.resolve(id).into_iter().next();
            let here = goes.is_some_and(|to| *to.upstream == **name && *to.model == *id);
            if here && !models.iter().any(|known| self::id(known) == id) {
                models.push(model.clone());
            }
        }
    }
    for named in settings.routes.named() {
        let Some(to) = settings.routes.resolve(named).into_iter().next() else {
            continue;
        };
        if models.iter().any(|known| id(known) == named) {
            continue;
        }
        let as_told = told
            .iter()
            .filter(|(name, _)| *to.upstream == **name)
            .flat_map(|(_, list)| list)
            .find(|model| id(model) == &*to.model);
        let mut model = as_told
            .cloned()
            .unwrap_or_else(|| json!({"object": "model", "created": 0, "owned_by": &*to.upstream}));
        model["id"] = json!(named);
        models.push(model);
    }
    let response = if told.is_empty() && models.is_empty() {
        let message = format!("no upstream told its models: {}", refusals.join("; "));
        reply::error(
            StatusCode::BAD_GATEWAY,
            "api_error",
            "airlock_upstream",
            &message,
        )
    } else {
        let list = json!({"object": "list", "data": models});
        let mut response = Response::new(Body::from(list.to_string()));
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        response
    };
    Listed {
        response,
        upstreams: names.join(", "),
        failures,
    }
}

/// The models of one upstream, or why there are none; and attempts that failed.
async fn ask(
    settings: &Settings,
    request: &Outgoing,
    name: &str,
) -> (Result<Vec<Value>, String>, Vec<Attempt>) {
    let targets = [Target {
        upstream: name.into(),
        model: "".into(),
    }];
    let mut failures = Vec::new();
    let asking = async {
        let mut report = |attempt| failures.push(attempt);
        let listed = known(&Method::GET, "/v1/models");
        let foreign = listed.and_then(|known| known.foreign(settings, name, &request.headers));
        let draft = |_: &Target| Draft {
            foreign,
            ..Draft::from(bytes::Bytes::new())
        };
        let sent = settings
            .upstreams
            .send(&targets, request, &draft, &mut report)
            .await;
        let mut answer = sent.map_err(|error| error.to_string())?;
        if !answer.status.is_success() {
            return Err(format!("upstream {name} answered {}", answer.status));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.body.next().await {
            bytes.extend_from_slice(&chunk.map_err(|error| error.to_string())?);
            if bytes.len() > MAX_LIST {
                return Err(format!("upstream {name} told more than {MAX_LIST} bytes"));
            }
        }
        read(&bytes).ok_or_else(|| format!("upstream {name} told no list of models"))
    };
    let answer = match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(format!(
            "upstream {name} did not tell its models within {} s",
            PATIENCE.as_secs()
        )),
    };
    (answer, failures)
}

/// The entries of a list: `{"data": [...]}`, `{"models": [{"name": "models/..."}]}` (Gemini), or the bare list that some servers
/// give.
fn read(body: &[u8]) -> Option<Vec<Value>> {
    let mut list: Value = serde_json::from_slice(body).ok()?;
    let entries = match (list.get("data").is_some(), list.get("models").is_some()) {
        (true, _) => list["data"].take(),
        (_, true) => {
            let named = list["models"].as_array()?.iter().filter_map(|model| {
                let name = model["name"].as_str()?;
                let id = name.strip_prefix("models/").unwrap_or(name);
                Some(json!({"id": id, "object": "model", "created": 0, "owned_by": "google"}))
            });
            Value::Array(named.collect())
        }
        _ => list,
    };
    let Value::Array(entries) = entries else {
        return None;
    };
    Some(
        entries
            .into_iter()
            .filter(|model| !id(model).is_empty())
            .collect(),
    )
}

fn id(model: &Value) -> &str {
    model["id"].as_str().unwrap_or_default()
}
