//! Asks the admin API of the running Airlock.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::admin::Token;
use crate::config::Config;
use crate::failure::Failure;
use airlock_core::dialect::sse::{Frame, Framer};

/// The admin API that the configuration names.
pub struct AdminClient {
    base: String,
    token: Token,
}

impl AdminClient {
    /// For the Airlock that runs under this configuration.
    ///
    /// # Errors
    /// Airlock never ran under it.
    pub fn new(config: &Config) -> Result<Self, Failure> {
        let token = Token::read(&config.data.dir).map_err(Failure::unavailable)?;
        Ok(Self {
            base: format!("http://{}", config.admin.listen),
            token,
        })
    }

    /// For an Airlock of this process, whose address no configuration names.
    ///
    /// # Errors
    /// There is no token in its data directory.
    pub fn at(admin: SocketAddr, data: &Path) -> Result<Self, Failure> {
        Ok(Self {
            base: format!("http://{admin}"),
            token: Token::read(data).map_err(Failure::unavailable)?,
        })
    }

    /// Asks.
    ///
    /// # Errors
    /// Nobody answers (69), or the API's own error.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Orders.
    ///
    /// # Errors
    /// As [`AdminClient::get`].
    pub async fn post(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::POST, path, Bytes::new()).await
    }

    /// Orders, with a body.
    ///
    /// # Errors
    /// As [`AdminClient::get`].
    pub async fn post_json(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(Method::POST, path, body.to_string().into()).await
    }

    /// Follows the live feed, which is in `path`.
    ///
    /// # Errors
    /// As [`AdminClient::get`].
    pub async fn follow(&self, path: &str) -> Result<Feed, Failure> {
        let response = self.request(Method::GET, path, Bytes::new()).await?;
        if !response.status().is_success() {
            return Err(anyhow!("the live feed answers {}", response.status()).into());
        }
        Ok(Feed {
            body: response.into_body(),
            framer: Framer::default(),
            frames: Vec::new(),
        })
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(AUTHORIZATION, format!("Bearer {}", self.token.expose()));
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(body))
            .context("cannot make the request")?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        client.request(request).await.map_err(|error| {
            let base = &self.base;
            let advice = "start it with `airlock serve`, or name its configuration with --config";
            Failure::unavailable(
                anyhow!(error).context(format!("no Airlock answers at {base}: {advice}")),
            )
        })
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Value, Failure> {
        let response = self.request(method, path, body).await?;
        let status = response.status();
        let bytes = response
            .into_body()
            .collect()
            .await
            .context("the answer broke off")?
            .to_bytes();
        let value: Value = serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "{} does not answer as Airlock does: is it another program?",
                self.base
            )
        })?;
        if status.is_success() {
            return Ok(value);
        }
        let message = value
            .pointer("/error/message")
            .and_then(Value::as_str)
            .unwrap_or("no reason given");
        Err(anyhow!("{message}").into())
    }
}

/// The live feed, as it comes.
pub struct Feed {
    body: Incoming,
    framer: Framer,
    /// Read, and in reverse order not yet given out.
    frames: Vec<Frame>,
}

impl Feed {
    /// The data of the next frame of this kind; `None` at the end, which is when Airlock ends.
    ///
    /// # Errors
    /// The connection broke, or what comes is no feed.
    pub async fn next(&mut self, kind: &str) -> anyhow::Result<Option<Value>> {
        loop {
            while let Some(frame) = self.frames.pop() {
                if frame.event.as_deref() == Some(kind.as_bytes())
                    && let Some(data) = frame.data
                {
                    return Ok(Some(serde_json::from_slice(&data)?));
                }
            }
            let Some(chunk) = self.body.frame().await else {
                return Ok(None);
            };
            let chunk = chunk.context("the live feed broke off")?;
            if let Ok(data) = chunk.into_data() {
                self.framer.push(data, &mut self.frames)?;
                self.frames.reverse();
            }
        }
    }
}
