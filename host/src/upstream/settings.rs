//! `[upstream.<name>]`, `[[route]]` and `[webhook.<name>]`: every place that Airlock may call. Policies name these, never
//! addresses.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Uri, header};
use serde::{Deserialize, Deserializer};

use airlock_core::dialect::{Dialect, registry};

use crate::upstream::key::KeyRef;
use crate::upstream::limits::{CallLimits, queue_ms};

/// A model server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Address, up to and with `/v1`. A query in it goes along with every call.
    #[serde(deserialize_with = "base_url")]
    pub base_url: Uri,
    /// The wire APIs that it speaks, the best first. Without it: what its host is known for, else whichever it is asked in.
    #[serde(default, deserialize_with = "dialects")]
    pub dialect: Vec<String>,
    /// Whose credential goes along. Without it: `own` if there is a key, else `forward`.
    pub credential: Option<Credential>,
    /// Airlock's own key.
    pub key: Option<KeyRef>,
    /// Header that carries the key: `authorization` as a bearer token, any other one the key alone. Without it: the one of
    /// the first of its wire APIs.
    #[serde(default, deserialize_with = "header_name")]
    pub header: Option<HeaderName>,
    /// Whether streams are asked for their usage, by which they are accounted exactly.
    #[serde(default = "defaults::stream_options")]
    pub stream_options: bool,
    /// How the server is reached.
    #[serde(default)]
    pub proxy: ProxyConfig,
    /// Certificates in PEM that are trusted besides Mozilla's: of an authority of one's own.
    #[serde(default, deserialize_with = "file")]
    pub ca_file: Option<PathBuf>,
    /// Airlock's own certificate, for servers that ask for one: PEM, with what it needs of its chain.
    #[serde(default, deserialize_with = "file")]
    pub client_cert_file: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    #[serde(default, deserialize_with = "file")]
    pub client_key_file: Option<PathBuf>,
    /// Longest time for TCP and TLS together, in milliseconds.
    #[serde(default = "defaults::connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Longest silence, before the headers as within the body, in milliseconds.
    #[serde(default = "defaults::idle_timeout_ms")]
    pub idle_timeout_ms: u64,
    /// Longest time for one attempt, from connecting to the last byte, in milliseconds.
    #[serde(default = "defaults::total_timeout_ms")]
    pub total_timeout_ms: u64,
    /// Repetitions before the first byte, 0 to 10.
    #[serde(default = "defaults::retries")]
    pub retries: u32,
    /// Wait before the first repetition, doubled for each further one, in milliseconds.
    #[serde(default = "defaults::retry_backoff_ms")]
    pub retry_backoff_ms: u64,
    /// As in [`CallLimits`], here of all callers together. A call that finds no room goes to the next fallback at once, and
    /// waits at the last.
    #[serde(default)]
    pub requests_per_minute: u32,
    /// As in [`CallLimits`].
    #[serde(default)]
    pub tokens_per_minute: u64,
    /// As in [`CallLimits`].
    #[serde(default)]
    pub max_concurrent: u32,
    /// As in [`CallLimits`].
    #[serde(default)]
    pub max_queued: u32,
    /// As in [`CallLimits`].
    #[serde(default = "queue_ms")]
    pub queue_ms: u64,
}

/// Through which proxy a server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ProxyConfig {
    /// As `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say; loopback directly.
    #[default]
    Environment,
    /// Through none, whatever the environment says.
    None,
    /// Through this one.
    At(Uri),
}

impl TryFrom<String> for ProxyConfig {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "env" => Ok(Self::Environment),
            "none" => Ok(Self::None),
            address => address_of_proxy(address).map(Self::At),
        }
    }
}

fn address_of_proxy(text: &str) -> Result<Uri, String> {
    let example = "write it like \"http://proxy.example:3128\", or \"env\" or \"none\"";
    let uri: Uri = text
        .trim_end_matches('/')
        .parse()
        .map_err(|_| format!("not an address: {example}"))?;
    let Some(authority) = uri.authority() else {
        return Err(format!("not a whole address: {example}"));
    };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(format!(
            "only http and https proxies are spoken to: {example}"
        ));
    }
    if authority.as_str().contains('@') {
        return Err(
            "credentials do not belong into this file: put the address with them into HTTPS_PROXY, and leave this at \"env\""
                .to_owned(),
        );
    }
    Ok(uri)
}

/// Whose credential goes to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credential {
    /// The client's, as it came.
    Forward,
    /// Airlock's own; the client's is removed.
    Own,
    /// None; the client's is removed.
    None,
}

pub(crate) mod defaults {
    pub(crate) fn stream_options() -> bool {
        true
    }
    pub(crate) fn connect_timeout_ms() -> u64 {
        5_000
    }
    /// The vendors' SDKs wait 600 s for the next byte: Airlock never gives up before its client.
    pub(crate) fn idle_timeout_ms() -> u64 {
        600_000
    }
    pub(crate) fn total_timeout_ms() -> u64 {
        3_600_000
    }
    /// SDKs retry twice themselves, and the two multiply: 1 here makes at most 6 attempts, 2 would make 9.
    pub(crate) fn retries() -> u32 {
        1
    }
    pub(crate) fn retry_backoff_ms() -> u64 {
        250
    }
}

impl UpstreamConfig {
    /// An upstream with defaults for all but its address.
    pub fn new(base_url: Uri) -> Self {
        Self {
            base_url,
            credential: None,
            key: None,
            header: None,
            dialect: Vec::new(),
            stream_options: true,
            proxy: ProxyConfig::default(),
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            connect_timeout_ms: defaults::connect_timeout_ms(),
            idle_timeout_ms: defaults::idle_timeout_ms(),
            total_timeout_ms: defaults::total_timeout_ms(),
            retries: defaults::retries(),
            retry_backoff_ms: defaults::retry_backoff_ms(),
            requests_per_minute: 0,
            tokens_per_minute: 0,
            max_concurrent: 0,
            max_queued: 0,
            queue_ms: queue_ms(),
        }
    }

    /// Whose credential goes along.
    pub fn credential(&self) -> Credential {
        self.credential.unwrap_or(if self.key.is_some() {
            Credential::Own
        } else {
            Credential::Forward
        })
    }

    /// The wire APIs that it speaks, the best first; none: whichever it is asked in.
    pub fn speaks(&self) -> Vec<&'static dyn Dialect> {
        let stated: Vec<&str> = match self.dialect.is_empty() {
            false => self.dialect.iter().map(String::as_str).collect(),
            // Under this path of Google's, chat completions are spoken.
            true => {
                let host = self.base_url.host().unwrap_or_default();
                match host.ends_with(".googleapis.com") && self.base_url.path().contains("/openai")
                {
                    true => vec!["openai-chat"],
                    false => registry::of_host(host).to_vec(),
                }
            }
        };
        let named = stated.into_iter().filter_map(registry::named);
        named.flatten().copied().collect()
    }

    /// Header that carries the key.
    pub fn key_header(&self) -> HeaderName {
        let of_dialect = || {
            let first = self.speaks().first().map(|d| d.outbound().key_header());
            first.and_then(|name| name.parse().ok())
        };
        self.header
            .clone()
            .or_else(of_dialect)
            .unwrap_or(header::AUTHORIZATION)
    }

    /// Limits of all calls to it together.
    pub fn limits(&self) -> CallLimits {
        CallLimits {
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            max_concurrent: self.max_concurrent,
            max_queued: self.max_queued,
            queue_ms: self.queue_ms,
        }
    }

    /// Longest time for TCP and TLS together.
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    /// Longest silence.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    /// Longest time for one attempt.
    pub fn total_timeout(&self) -> Duration {
        Duration::from_millis(self.total_timeout_ms)
    }
}

/// Which model goes where.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Model as the client asks for it; `*` stands for any run of characters.
    pub model: String,
    /// Name of the upstream.
    pub upstream: String,
    /// Model as the upstream is asked for it; without it, as the client did.
    pub to_model: Option<String>,
    /// Upstreams that are tried next when that one fails before the first byte.
    #[serde(default)]
    pub fallback: Vec<String>,
}

/// A place for alerts. They are posted as JSON; redirects are not followed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Address.
    #[serde(deserialize_with = "base_url")]
    pub url: Uri,
    /// Name of a header that carries `key`, such as `authorization`.
    pub header: Option<String>,
    /// Value of that header, by reference.
    pub key: Option<KeyRef>,
}

/// A header that may carry a key.
fn header_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<HeaderName>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let name: HeaderName = text
        .parse()
        .map_err(|_| serde::de::Error::custom("not a header's name: write it like \"api-key\""))?;
    let taken = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::ACCEPT_ENCODING,
    ];
    if taken.contains(&name) {
        return Err(serde::de::Error::custom(format!(
            "{name} has another use: name the header that the server reads its key from, such as \"api-key\""
        )));
    }
    Ok(Some(name))
}

/// One name of a wire API, or several.
fn dialects<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stated {
        One(String),
        Several(Vec<String>),
    }
    let stated = match Stated::deserialize(deserializer)? {
        Stated::One(name) => vec![name],
        Stated::Several(names) => names,
    };
    match stated.iter().find(|name| registry::named(name).is_none()) {
        None => Ok(stated),
        Some(unknown) => {
            let names: Vec<&str> = registry::NAMES.iter().map(|named| named.name).collect();
            let names = names.join(", ");
            Err(serde::de::Error::custom(format!(
                "there is no wire API \"{unknown}\": write one or several of {names}"
            )))
        }
    }
}

/// A file, or none for "".
fn file<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

/// An absolute http or https address. User names in it are refused: they would be a key in the file.
fn base_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uri, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_url(&text).map_err(serde::de::Error::custom)
}

/// Parameters by which some servers take a key.
pub const KEYS_IN_QUERIES: [&str; 5] = ["key", "api_key", "api-key", "apikey", "access_token"];

pub(crate) fn parse_url(text: &str) -> Result<Uri, String> {
    let example = "write it like \"https://api.openai.com/v1\"";
    let uri: Uri = text
        .trim_end_matches('/')
        .parse()
        .map_err(|_| format!("not an address: {example}"))?;
    let authority = uri
        .authority()
        .ok_or_else(|| format!("not a whole address: {example}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(format!("only http and https are spoken: {example}"));
    }
    if authority.as_str().contains('@') {
        return Err(
            "credentials do not belong into an address: use `key`, by reference".to_owned(),
        );
    }
    let names = uri.query().unwrap_or_default().split('&');
    if names
        .filter_map(|pair| pair.split('=').next())
        .any(|name| KEYS_IN_QUERIES.contains(&name.to_ascii_lowercase().as_str()))
    {
        return Err(
            "credentials do not belong into an address: use `key`, by reference, and `header`"
                .to_owned(),
        );
    }
    Ok(uri)
}
