//! Which wire API is spoken where.

use super::anthropic_messages::AnthropicMessages;
use super::gemini::{self, Gemini, Version};
use super::ollama::{OllamaChat, OllamaGenerate};
use super::openai_chat::OpenAiChat;
use super::openai_completions::OpenAiCompletions;
use super::openai_responses::OpenAiResponses;
use super::roles::{Dialect, Inbound};

/// A path of the gateway, and the wire API that clients speak there.
pub struct Route {
    /// Pattern of the path, in the words of axum's router.
    pub path: &'static str,
    /// What is spoken: the query decides where one path has several forms.
    pub dialect: fn(query: Option<&str>) -> &'static dyn Dialect,
}

/// The query of a Gemini stream of events, which is also the form in which a whole answer is judged.
const EVENTS: Option<&str> = Some("alt=sse");

const fn route(
    path: &'static str,
    dialect: fn(query: Option<&str>) -> &'static dyn Dialect,
) -> Route {
    Route { path, dialect }
}

/// Every path at which a model is asked by `POST`.
pub static ROUTES: [Route; 10] = [
    route("/v1/chat/completions", |_| &OpenAiChat),
    route("/v1/responses", |_| &OpenAiResponses),
    route("/v1/completions", |_| &OpenAiCompletions),
    route("/v1/messages", |_| &AnthropicMessages),
    route("/v1beta/models/{model}:generateContent", |_| {
        Gemini::asked(Version::V1Beta, EVENTS)
    }),
    route("/v1beta/models/{model}:streamGenerateContent", |query| {
        Gemini::asked(Version::V1Beta, query)
    }),
    route("/v1/models/{model}:generateContent", |_| {
        Gemini::asked(Version::V1, EVENTS)
    }),
    route("/v1/models/{model}:streamGenerateContent", |query| {
        Gemini::asked(Version::V1, query)
    }),
    route("/api/chat", |_| &OllamaChat),
    route("/api/generate", |_| &OllamaGenerate),
];

/// A name by which the configuration says what an upstream speaks, and what that is, the best first.
pub struct Named {
    /// The name.
    pub name: &'static str,
    /// What is spoken.
    pub dialects: &'static [&'static dyn Dialect],
}

/// Every name of a wire API that an upstream may be said to speak.
pub static NAMES: [Named; 6] = [
    Named {
        name: "openai-chat",
        dialects: &[&OpenAiChat],
    },
    Named {
        name: "openai-responses",
        dialects: &[&OpenAiResponses],
    },
    Named {
        name: "openai-completions",
        dialects: &[&OpenAiCompletions],
    },
    Named {
        name: "anthropic-messages",
        dialects: &[&AnthropicMessages],
    },
    Named {
        name: "gemini",
        dialects: &[&gemini::V1BETA],
    },
    Named {
        name: "ollama",
        dialects: &[&OllamaChat, &OllamaGenerate],
    },
];

/// What a name of the configuration stands for.
pub fn named(name: &str) -> Option<&'static [&'static dyn Dialect]> {
    let named = NAMES.iter().find(|named| named.name == name);
    named.map(|named| named.dialects)
}

/// What well-known servers speak, by the name of their host; none where that is not known.
pub fn of_host(host: &str) -> &'static [&'static str] {
    match host {
        "api.openai.com" => &["openai-responses", "openai-chat", "openai-completions"],
        "api.anthropic.com" => &["anthropic-messages"],
        "generativelanguage.googleapis.com" => &["gemini"],
        _ => &[],
    }
}

/// The wire API that is spoken at a path.
pub fn at(path: &str, query: Option<&str>) -> Option<&'static dyn Dialect> {
    let route = ROUTES.iter().find(|route| fits(route.path, path));
    route.map(|route| (route.dialect)(query))
}

/// Who tells the client of a path what is wrong. Other paths under `/v1` are OpenAI's, whose clients read its errors; those
/// of other vendors have prefixes of their own.
pub fn speaker(path: &str) -> &'static dyn Inbound {
    const PREFIXES: [(&str, &dyn Dialect); 3] = [
        ("/v1beta/", &gemini::V1BETA),
        ("/v1/messages/", &AnthropicMessages),
        ("/api/", &OllamaChat),
    ];
    let other = || {
        let mut prefixes = PREFIXES.iter();
        let found = prefixes.find(|(prefix, _)| path.starts_with(prefix));
        found.map_or(OpenAiChat.inbound(), |(_, dialect)| dialect.inbound())
    };
    at(path, None).map_or_else(other, Dialect::inbound)
}

/// Whether a path has a pattern's shape: `{name}` stands for one part, or for a part of one.
pub fn fits(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), parts.next()) {
            (None, None) => return true,
            (Some(wanted), Some(part)) => {
                let same = match (wanted.split_once('{'), wanted.split_once('}')) {
                    (Some((before, _)), Some((_, after))) => {
                        let inner = part.strip_prefix(before);
                        let inner = inner.and_then(|rest| rest.strip_suffix(after));
                        inner.is_some_and(|inner| !inner.is_empty())
                    }
                    _ => wanted == part,
                };
                if !same {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_names_the_model_has_its_pattern() {
        for (pattern, path, expected) in [
            ("/v1/chat/completions", "/v1/chat/completions", true),
            ("/v1/chat/completions", "/v1/chat", false),
            ("/v1/models/{model}", "/v1/models/m-1", true),
            ("/v1/models/{model}", "/v1/models/", false),
            ("/v1/models/{model}:ask", "/v1/models/m-1:ask", true),
            ("/v1/models/{model}:ask", "/v1/models/m-1:stream", false),
        ] {
            assert_eq!(fits(pattern, path), expected, "{pattern} for {path}");
        }
    }
}
