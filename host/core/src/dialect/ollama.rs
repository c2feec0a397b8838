//! Ollama's own API: `/api/chat` and `/api/generate`, whose answers are lines of JSON and streamed unless the request says
//! otherwise.
//!
//! Both are one API with two shapes ([`shape`]): what a line says stands in its `message`, or beside it. Where text stands: see
//! [`fields`]. Spelling matters more than elsewhere ([`spelling`]): the server, and every client in Go, takes `Messages` for
//! `messages`.
//!
//! Ids of calls are not read. Old servers give none, new ones do, and the clients of either (the `ollama` package for Python)
//! leave them out of what they send back: a conversation would not be known again. Calls are known by their number, and
//! results by the order of the calls and the name of the tool.

mod calls;
mod conversation;
mod edit;
mod fact;
mod failure;
mod fields;
mod line;
mod own;
mod portable;
mod prompt;
mod reader;
mod request;
mod request_edit;
mod reshape;
mod roles;
mod say;
mod shape;
mod spelling;
mod text;
mod writer;

/// `/api/chat`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OllamaChat;

/// `/api/generate`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OllamaGenerate;

#[cfg(test)]
mod tests;
