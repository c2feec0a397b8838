//! Paths beside the model calls that Airlock knows: what they answer bears no text that a model wrote.

use http::{HeaderMap, Method};

use super::metering::Spends;
use crate::gateway::settings::Settings;
use airlock_core::dialect::registry;
use airlock_core::event::target::{Foreign, Target};

/// A path that passes whatever policy applies.
pub(super) struct Known {
    method: Method,
    /// Pattern of the path.
    path: &'static str,
    /// Wire APIs that have it, by the names of the configuration.
    of: &'static [&'static str],
    /// When it spends.
    pub spends: Spends,
}

const RESPONSES: &[&str] = &["openai-responses"];
const ANTHROPIC: &[&str] = &["anthropic-messages"];
const GEMINI: &[&str] = &["gemini"];
const OLLAMA: &[&str] = &["ollama"];

const fn get(path: &'static str, of: &'static [&'static str]) -> Known {
    Known {
        method: Method::GET,
        path,
        of,
        spends: Spends::Nothing,
    }
}

const fn post(path: &'static str, of: &'static [&'static str], spends: Spends) -> Known {
    Known {
        method: Method::POST,
        path,
        of,
        spends,
    }
}

static KNOWN: [Known; 20] = [
    post("/v1/embeddings", &[], Spends::Now),
    // Whose models they are, the upstreams say.
    get("/v1/models", &[]),
    get("/v1/models/{model}", &[]),
    post("/v1/responses/input_tokens", RESPONSES, Spends::Nothing),
    Known {
        method: Method::DELETE,
        path: "/v1/responses/{id}",
        of: RESPONSES,
        spends: Spends::Nothing,
    },
    post("/v1/messages/count_tokens", ANTHROPIC, Spends::Nothing),
    get("/v1beta/models", GEMINI),
    get("/v1beta/models/{model}", GEMINI),
    post("/v1/models/{model}:countTokens", GEMINI, Spends::Nothing),
    post(
        "/v1beta/models/{model}:countTokens",
        GEMINI,
        Spends::Nothing,
    ),
    post("/v1/models/{model}:embedContent", GEMINI, Spends::Now),
    post("/v1beta/models/{model}:embedContent", GEMINI, Spends::Now),
    post("/v1/models/{model}:batchEmbedContents", GEMINI, Spends::Now),
    post(
        "/v1beta/models/{model}:batchEmbedContents",
        GEMINI,
        Spends::Now,
    ),
    get("/api/tags", OLLAMA),
    get("/api/ps", OLLAMA),
    get("/api/version", OLLAMA),
    post("/api/show", OLLAMA, Spends::Nothing),
    post("/api/embed", OLLAMA, Spends::Now),
    post("/api/embeddings", OLLAMA, Spends::Now),
];

/// What is known of a path.
pub(super) fn known(method: &Method, path: &str) -> Option<&'static Known> {
    let mut known = KNOWN.iter();
    known.find(|known| known.method == *method && registry::fits(known.path, path))
}

impl Known {
    /// Whether an upstream has the path, as far as is known.
    pub fn is_of(&self, settings: &Settings, upstream: &str) -> bool {
        let speaks = settings.upstreams.speaks(upstream);
        let named = self.of.iter().filter_map(|name| registry::named(name));
        let mut wanted = named.flatten();
        let spoken = |name: &str| speaks.iter().any(|dialect| dialect.name() == name);
        self.of.is_empty() || speaks.is_empty() || wanted.any(|dialect| spoken(dialect.name()))
    }

    /// What goes along to an upstream that does not speak the caller's API: its own headers, and not the caller's key.
    pub fn foreign(
        &self,
        settings: &Settings,
        upstream: &str,
        headers: &HeaderMap,
    ) -> Option<Foreign> {
        let speaks = settings.upstreams.speaks(upstream);
        let of_caller = match self.of.first() {
            Some(of) => of,
            None if headers.contains_key("anthropic-version") => "anthropic-messages",
            None if headers.contains_key("x-goog-api-key") => "gemini",
            None => "openai-chat",
        };
        let mut same = registry::named(of_caller).unwrap_or_default().iter();
        let first = speaks.first()?;
        let spoken = same.any(|own| speaks.iter().any(|dialect| dialect.name() == own.name()));
        (!spoken).then(|| Foreign {
            headers: first.outbound().headers(),
        })
    }

    /// Where a call to it goes that names no model: the first upstream that has it.
    pub fn target(&self, settings: &Settings) -> Option<Target> {
        let mut upstreams = settings.config.upstreams.iter();
        let (name, _) = upstreams.find(|(name, _)| self.is_of(settings, name))?;
        Some(Target {
            upstream: name.as_str().into(),
            model: "".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_for_its_method_alone() {
        for (method, path, is) in [
            (Method::POST, "/v1/embeddings", true),
            (Method::GET, "/v1/embeddings", false),
            (Method::GET, "/v1/models/org", true),
            (Method::DELETE, "/v1/models/org", false),
            (Method::POST, "/v1/messages/count_tokens", true),
            (Method::GET, "/v1/responses/r", false),
            (Method::POST, "/v1beta/models/g:countTokens", true),
            (
                Method::POST,
                "/v1beta/models/g:streamGenerateContent",
                false,
            ),
            (Method::POST, "/v1beta/models/g%3AgenerateContent", false),
            (Method::POST, "/api/pull", false),
        ] {
            assert_eq!(known(&method, path).is_some(), is, "{method} {path}");
        }
    }
}
