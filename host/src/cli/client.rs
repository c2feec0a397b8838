//! Asks the admin API of the running Airlock.

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::{Failure, Global};
use crate::admin::Token;
use crate::config::{Config, Source, locate};

/// The admin API that the configuration names.
pub struct AdminClient {
    base: String,
    token: Token,
}

impl AdminClient {
    /// For the Airlock that runs under this configuration.
    ///
    /// # Errors
    /// The configuration is wrong, or Airlock never ran under it.
    pub fn new(global: &Global) -> Result<Self, Failure> {
        let config = configuration(global)?;
        let token = Token::read(&config.data.dir).map_err(Failure::unavailable)?;
        Ok(Self {
            base: format!("http://{}", config.admin.listen),
            token,
        })
    }

    /// Asks.
    ///
    /// # Errors
    /// Nobody answers (69), or the API's own error.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::GET, path).await
    }

    /// Orders.
    ///
    /// # Errors
    /// As [`AdminClient::get`].
    pub async fn post(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::POST, path).await
    }

    async fn send(&self, method: Method, path: &str) -> Result<Value, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .body(Empty::<Bytes>::new())
            .context("cannot make the request")?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request).await.map_err(|error| {
            let base = &self.base;
            let advice = "start it with `airlock serve`, or name its configuration with --config";
            Failure::unavailable(
                anyhow!(error).context(format!("no Airlock answers at {base}: {advice}")),
            )
        })?;
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

/// The configuration as a command beside the server sees it: upstreams are of no interest, so they are not looked for.
///
/// # Errors
/// Everything that is wrong with it.
pub fn configuration(global: &Global) -> Result<Config, Failure> {
    Ok(match locate::find(global.config.as_deref())? {
        Some(file) => locate::read(&file)?,
        None => Config::empty(Source::Environment),
    })
}
