//! OpenAI's completions (`/v1/completions`), the API before chat completions, as vLLM, llama.cpp, Ollama, Together and others
//! speak it still: prompts in place of messages, text in place of turns, no calls.
//!
//! Where text stands: see [`fields`].

mod edit;
mod fact;
mod fields;
mod portable;
mod reader;
mod request;
mod request_edit;
mod reshape;
mod roles;
mod say;
mod writer;

/// The dialect's name, on the timeline and in errors.
const NAME: &str = "openai-completions";

/// The dialect.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAiCompletions;

#[cfg(test)]
mod tests;
