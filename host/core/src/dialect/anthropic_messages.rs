//! Anthropic Messages, as Anthropic, Bedrock's and Vertex's gateways, Ollama, vLLM, LiteLLM and others speak it.
//!
//! An answer is a list of content blocks of one choice. Where text stands in them: see [`blocks`]. In a stream they come one
//! after another, each begun, filled and closed under its number; what a client reads of it, its writer reads too, and so
//! knows what is open and how many there are.

mod assembly;
mod blocks;
mod content;
mod course;
mod edit;
mod events;
mod fact;
mod failure;
mod frames;
mod media;
mod own;
mod portable;
mod read;
mod reader;
mod record;
mod request;
mod request_edit;
mod reshape;
mod roles;
mod say;
mod sessions;
mod spread;
mod system;
mod turns;
mod undecodable;
mod values;
mod voice;
mod writer;

pub use undecodable::NAME;

/// The dialect.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnthropicMessages;

#[cfg(test)]
mod tests;
