//! A scripted agent: a real HTTP client that talks to the gateway over loopback, as an application would, and knows nothing
//! of Airlock but its address.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use airlock_core::dialect::sse::Framer;

/// Longest answer that is not a stream: an error, in practice.
const MAX_ERROR: usize = 1 << 20;

/// One agent, with a session of its own.
pub struct Agent {
    http: Client<HttpConnector, Full<Bytes>>,
    url: Uri,
    session: String,
    credential: Option<String>,
}

/// A tool call that the agent was told to make.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    /// The vendor's id.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments as the model wrote them.
    pub arguments: String,
}

/// What the agent got of one model call.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// HTTP status.
    pub status: u16,
    /// Model that answered, as it says itself.
    pub model: String,
    /// What was said, as far as it came.
    pub text: String,
    /// Complete tool calls.
    pub calls: Vec<Call>,
    /// The dialect's word for the end; `None` if it never came.
    pub finish: Option<String>,
    /// Message of an error, by status or in mid-stream, or of a connection that broke.
    pub error: Option<String>,
    /// Airlock's mark on a partial answer.
    pub partial: Option<Value>,
    /// Bytes of the body.
    pub bytes: usize,
    /// Until the first piece of text.
    pub first: Option<Duration>,
    /// Until the end.
    pub took: Duration,
}

impl Agent {
    /// An agent for the gateway at `base_url` (with `/v1`), whose calls belong together under `session`.
    pub fn new(base_url: &str, session: &str, credential: Option<String>) -> anyhow::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            url: format!("{base_url}/chat/completions")
                .parse()
                .context("the gateway's address")?,
            session: session.to_owned(),
            credential,
        })
    }

    /// One streamed model call. `on_text` gets each piece of text as it comes.
    pub async fn ask(
        &self,
        model: &str,
        messages: &[Value],
        more: Value,
        on_text: impl FnMut(&str),
    ) -> anyhow::Result<Heard> {
        self.ask_until(model, messages, more, on_text, |_| false)
            .await
    }

    /// As `ask`, and hangs up as soon as the agent has heard `enough`.
    pub async fn ask_until(
        &self,
        model: &str,
        messages: &[Value],
        more: Value,
        mut on_text: impl FnMut(&str),
        enough: impl Fn(&Heard) -> bool,
    ) -> anyhow::Result<Heard> {
        let mut body = json!({"model": model, "messages": messages, "stream": true});
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        let mut request = Request::post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-airlock-session-id", &self.session);
        if let Some(credential) = &self.credential {
            request = request.header(header::AUTHORIZATION, format!("Bearer {credential}"));
        }
        let request = request
            .body(Full::from(body.to_string()))
            .context("the request")?;
        let began = Instant::now();
        let response = self
            .http
            .request(request)
            .await
            .context("the gateway does not answer")?;
        let mut heard = Heard {
            status: response.status().as_u16(),
            ..Heard::default()
        };
        let streamed = response.status().is_success();
        let mut body = response.into_body();
        let mut framer = Framer::default();
        let mut whole = Vec::new();
        while !enough(&heard)
            && let Some(frame) = body.frame().await
        {
            let data = match frame {
                Ok(frame) => frame.into_data().unwrap_or_default(),
                Err(error) => {
                    heard.error = Some(format!("the connection broke: {error}"));
                    break;
                }
            };
            heard.bytes += data.len();
            if streamed {
                let mut frames = Vec::new();
                framer.push(data, &mut frames)?;
                for data in frames.into_iter().filter_map(|frame| frame.data) {
                    heard.take(&data, began, &mut on_text);
                }
            } else if whole.len() < MAX_ERROR {
                whole.extend_from_slice(&data);
            }
        }
        // Dropping the body closes the connection.
        drop(body);
        if !streamed {
            let error = serde_json::from_slice(&whole).unwrap_or(Value::Null);
            heard.error = Some(
                message(&error).unwrap_or_else(|| String::from_utf8_lossy(&whole).into_owned()),
            );
        }
        heard.took = began.elapsed();
        Ok(heard)
    }
}

impl Heard {
    fn take(&mut self, data: &[u8], began: Instant, on_text: &mut impl FnMut(&str)) {
        // `[DONE]` is the one frame that is not JSON.
        let Ok(chunk) = serde_json::from_slice::<Value>(data) else {
            return;
        };
        if let Some(error) = message(&chunk) {
            self.error = Some(error);
        }
        if let Some(mark) = chunk.get("airlock") {
            self.partial = Some(mark.clone());
        }
        if let Some(model) = chunk["model"].as_str() {
            self.model = model.to_owned();
        }
        let choice = &chunk["choices"][0];
        if let Some(text) = choice["delta"]["content"]
            .as_str()
            .filter(|text| !text.is_empty())
        {
            self.first.get_or_insert_with(|| began.elapsed());
            self.text.push_str(text);
            on_text(text);
        }
        for part in choice["delta"]["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
        {
            self.take_call(part);
        }
        if let Some(finish) = choice["finish_reason"].as_str() {
            self.finish = Some(finish.to_owned());
        }
    }

    fn take_call(&mut self, part: &Value) {
        let index = part["index"]
            .as_u64()
            .and_then(|index| usize::try_from(index).ok())
            .unwrap_or(0)
            .min(127);
        if self.calls.len() <= index {
            self.calls.resize(index + 1, Call::default());
        }
        let call = &mut self.calls[index];
        let add = |to: &mut String, value: &Value| to.push_str(value.as_str().unwrap_or_default());
        add(&mut call.id, &part["id"]);
        add(&mut call.name, &part["function"]["name"]);
        add(&mut call.arguments, &part["function"]["arguments"]);
    }

    /// The assistant's message, as the agent sends it back in its history.
    pub fn as_message(&self) -> Value {
        let mut message =
            json!({"role": "assistant", "content": (!self.text.is_empty()).then_some(&self.text)});
        if !self.calls.is_empty() {
            let call = |call: &Call| json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}});
            message["tool_calls"] = self.calls.iter().map(call).collect();
        }
        message
    }
}

fn message(value: &Value) -> Option<String> {
    value.pointer("/error/message")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::simulate::Simulator;

    async fn simulated() -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move {
            Simulator::new()
                .serve(listener, std::future::pending())
                .await
        });
        url
    }

    #[tokio::test]
    async fn it_hears_text_calls_and_the_end() {
        let agent = Agent::new(&simulated().await, "s", None).unwrap();
        let script = json!({"chunks": ["a", " b"], "tool_calls": [{"name": "f", "arguments": {"x": "0123456789"}}]});
        let ask = [json!({"role": "user", "content": script.to_string()})];
        let mut pieces = Vec::new();
        let heard = agent
            .ask("sim-echo", &ask, json!({}), |text| {
                pieces.push(text.to_owned())
            })
            .await
            .unwrap();
        assert_eq!(pieces, ["a", " b"]);
        assert_eq!(heard.text, "a b");
        assert_eq!(heard.calls[0].arguments, r#"{"x":"0123456789"}"#);
        assert_eq!(
            (heard.finish.as_deref(), heard.error),
            (Some("tool_calls"), None)
        );
    }

    #[tokio::test]
    async fn it_hears_errors_of_all_kinds() {
        let agent = Agent::new(&simulated().await, "s", None).unwrap();
        for (script, status) in [
            (
                json!({"status": 429, "error": {"message": "slow down"}}),
                429,
            ),
            (
                json!({"chunks": ["a"], "error_after_chunks": 1, "error": {"message": "slow down"}}),
                200,
            ),
            (json!({"chunks": ["a", "b"], "die_after_chunks": 1}), 200),
        ] {
            let ask = [json!({"role": "user", "content": script.to_string()})];
            let heard = agent
                .ask("sim-echo", &ask, json!({}), |_| {})
                .await
                .unwrap();
            assert_eq!(heard.status, status);
            assert!(heard.error.is_some() && heard.finish.is_none(), "{heard:?}");
        }
    }
}
