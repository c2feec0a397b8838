//! Alerts to people: the log, and configured webhooks.
//!
//! Sending never waits for a webhook. What cannot be queued or delivered is said in the log, and in the intervention if
//! that is known in time. Policies name webhooks, never addresses, and redirects are not followed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc;

use super::connect::{Connector, Proxies};
use super::tls;
use crate::upstream::settings::WebhookConfig;
use airlock_core::act::alert::Notice;

/// Notices that wait for slow webhooks at most.
const QUEUE: usize = 256;

/// How long one delivery may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends alerts. One task delivers them in order.
pub struct Alerts {
    queue: mpsc::Sender<Delivery>,
}

struct Delivery {
    name: String,
    request: Request<Full<Bytes>>,
}

impl Alerts {
    /// Begins to deliver. Needs a runtime.
    pub fn start() -> Alerts {
        let (queue, mut deliveries) = mpsc::channel::<Delivery>(QUEUE);
        tokio::spawn(async move {
            let environment = Proxies::Environment(Arc::new(Matcher::from_env()));
            let tls = tls::anonymous(tls::authorities());
            let client = Client::builder(TokioExecutor::new()).build(Connector::new(
                TIMEOUT,
                tls,
                environment,
            ));
            while let Some(delivery) = deliveries.recv().await {
                match tokio::time::timeout(TIMEOUT, client.request(delivery.request)).await {
                    Ok(Ok(answer)) if answer.status().is_success() => {}
                    Ok(Ok(answer)) => {
                        tracing::warn!(webhook = delivery.name, status = %answer.status(), "alert was not taken");
                    }
                    Ok(Err(error)) => {
                        tracing::warn!(webhook = delivery.name, %error, "alert was not delivered")
                    }
                    Err(_) => {
                        tracing::warn!(webhook = delivery.name, "alert was not delivered in 10 s")
                    }
                }
            }
        });
        Alerts { queue }
    }

    /// Logs the notice and queues it for the named webhook, or for all if the name is empty.
    ///
    /// # Errors
    /// Why it is not on its way to a webhook.
    pub fn send(
        &self,
        notice: &Notice,
        webhook: &str,
        webhooks: &[(String, WebhookConfig)],
    ) -> Result<(), String> {
        tracing::warn!(
            policy = notice.policy,
            severity = notice.severity,
            session = notice.session,
            exchange = notice.exchange,
            title = notice.title,
            "alert: {}",
            notice.body
        );
        let json = serde_json::to_vec(notice).map_err(|e| e.to_string())?;
        for (name, config) in webhooks
            .iter()
            .filter(|(name, _)| webhook.is_empty() || name == webhook)
        {
            let request = request(config, json.clone().into())
                .map_err(|e| format!("webhook `{name}`: {e}"))?;
            self.queue
                .try_send(Delivery {
                    name: name.clone(),
                    request,
                })
                .map_err(|_| format!("webhook `{name}`: too many alerts are waiting"))?;
        }
        Ok(())
    }
}

fn request(config: &WebhookConfig, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = config.url.clone();
    request.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let (Some(name), Some(key)) = (&config.header, &config.key) {
        let name: HeaderName = name
            .parse()
            .map_err(|_| format!("`{name}` is no header name"))?;
        let secret = key.resolve().map_err(|e| e.to_string())?;
        let mut value = HeaderValue::from_str(secret.expose())
            .map_err(|_| format!("{key} holds no usable value"))?;
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}
