//! Which wire API is spoken where.

use super::openai_chat::OpenAiChat;
use super::openai_responses::OpenAiResponses;
use super::roles::{Dialect, Inbound};

/// A path of the gateway, and the wire API that clients speak there.
pub struct Route {
    /// Pattern of the path, in the words of axum's router.
    pub path: &'static str,
    /// What is spoken: the query decides where one path has several forms.
    pub dialect: fn(query: Option<&str>) -> &'static dyn Dialect,
}

/// Every path at which a model is asked by `POST`.
pub static ROUTES: [Route; 2] = [
    Route {
        path: "/v1/chat/completions",
        dialect: |_| &OpenAiChat,
    },
    Route {
        path: "/v1/responses",
        dialect: |_| &OpenAiResponses,
    },
];

/// The wire API that is spoken at a path.
pub fn at(path: &str, query: Option<&str>) -> Option<&'static dyn Dialect> {
    let route = ROUTES.iter().find(|route| serves(route.path, path));
    route.map(|route| (route.dialect)(query))
}

/// Who tells the client of a path what is wrong. Other paths under `/v1` are OpenAI's, whose clients read its errors.
pub fn speaker(path: &str) -> &'static dyn Inbound {
    at(path, None).map_or(OpenAiChat.inbound(), Dialect::inbound)
}

/// Whether a path has a pattern's shape: `{name}` stands for one part, or for a part of one.
fn serves(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), parts.next()) {
            (None, None) => return true,
            (Some(wanted), Some(part)) => {
                let fits = match (wanted.split_once('{'), wanted.split_once('}')) {
                    (Some((before, _)), Some((_, after))) => {
                        let inner = part.strip_prefix(before);
                        let inner = inner.and_then(|rest| rest.strip_suffix(after));
                        inner.is_some_and(|inner| !inner.is_empty())
                    }
                    _ => wanted == part,
                };
                if !fits {
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
        for (pattern, path, fits) in [
            ("/v1/chat/completions", "/v1/chat/completions", true),
            ("/v1/chat/completions", "/v1/chat", false),
            ("/v1/models/{model}", "/v1/models/m-1", true),
            ("/v1/models/{model}", "/v1/models/", false),
            ("/v1/models/{model}:ask", "/v1/models/m-1:ask", true),
            ("/v1/models/{model}:ask", "/v1/models/m-1:stream", false),
        ] {
            assert_eq!(serves(pattern, path), fits, "{pattern} for {path}");
        }
    }
}
