//! An upstream that says what it is told to, byte for byte: heads and bodies that the simulator would never send.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri};
use tokio::net::TcpListener;

/// What is answered to one request.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Answer {
    pub fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = match content_type {
            "" => vec![],
            own => vec![("content-type", own.to_owned())],
        };
        Self {
            status,
            headers,
            body: body.into(),
        }
    }

    /// A stream of events.
    pub fn events(body: impl Into<Bytes>) -> Self {
        Self::new(200, "text/event-stream", body)
    }

    /// One document.
    pub fn json(body: impl ToString) -> Self {
        Self::new(200, "application/json", body.to_string())
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Asked {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The upstream. After its last answer it repeats that.
#[derive(Clone, Default)]
pub struct Scripted {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Its base URL.
    pub url: String,
}

impl Scripted {
    /// Serves these answers, on a port of its own.
    pub async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scripted = Self {
            answers: Arc::new(Mutex::new(answers.into())),
            url: format!("http://{}/v1", listener.local_addr().unwrap()),
            ..Self::default()
        };
        let router = scripted.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        scripted
    }

    /// The same as a service, for a listener of another kind.
    pub fn router(&self) -> axum::Router {
        axum::Router::new()
            .fallback(answer)
            .with_state(self.clone())
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What is answered from now on.
    pub fn say(&self, answers: Vec<Answer>) {
        *self.answers.lock().unwrap() = answers.into();
    }

    /// The table of the configuration that names it.
    pub fn table(&self, name: &str) -> String {
        format!(
            "[upstream.{name}]\nbase_url = {:?}\nretries = 0\n",
            self.url
        )
    }
}

async fn answer(State(scripted): State<Scripted>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 28).await.unwrap();
    scripted.asked.lock().unwrap().push(Asked {
        uri: head.uri,
        headers: head.headers,
        body,
    });
    let answer = {
        let mut answers = scripted.answers.lock().unwrap();
        match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop_front().expect("an answer"),
        }
    };
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    response.body(Body::from(answer.body)).unwrap()
}
