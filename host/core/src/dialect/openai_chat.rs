//! OpenAI Chat Completions, as OpenAI, Azure, vLLM, Ollama, llama.cpp, Groq, Mistral, OpenRouter and others speak it.
//!
//! Where text stands: see [`fields`]. `/v1/completions` is another API and is not read here.

mod calls;
mod edit;
mod fact;
mod fields;
mod own;
mod parts;
mod portable;
mod read;
mod reader;
mod request;
mod request_edit;
mod reshape;
mod roles;
mod say;
mod undecodable;
mod values;
mod writer;

pub use undecodable::NAME;

/// The dialect.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAiChat;

#[cfg(test)]
mod tests;
