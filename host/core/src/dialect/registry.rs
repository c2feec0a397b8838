//! Which wire API is spoken where.

use super::openai_chat::OpenAiChat;
use super::roles::{Dialect, Inbound};

/// A path of the gateway, and the wire API that clients speak there.
pub struct Route {
    /// Pattern of the path, in the words of axum's router.
    pub path: &'static str,
    /// What is spoken.
    pub dialect: &'static dyn Dialect,
}

/// Every path at which a model is asked by `POST`.
pub static ROUTES: [Route; 1] = [Route {
    path: "/v1/chat/completions",
    dialect: &OpenAiChat,
}];

/// Who tells the client of a path what is wrong. Other paths under `/v1` are OpenAI's, whose clients read its errors.
pub fn speaker(path: &str) -> &'static dyn Inbound {
    let route = ROUTES.iter().find(|route| route.path == path);
    route.map_or(OpenAiChat.inbound(), |route| route.dialect.inbound())
}
