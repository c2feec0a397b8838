//! OpenAI Responses, as OpenAI, Azure, xAI, OpenRouter, LM Studio, vLLM and others speak it.
//!
//! An answer is a list of items. A stream says each text in parts (`*.delta`) and then up to five times whole: `*.done`,
//! `content_part.done`, `output_item.done`, and in the list of the last event. Clients read any of these, so all of them are
//! read, held against each other ([`record`]) and written from one record of what the client has ([`writer`]). Where text
//! stands: see [`walk`] and [`item`].

mod body;
mod client;
mod compose;
mod edit;
mod error;
mod event;
mod fact;
mod final_edit;
mod forms;
mod item;
mod item_call;
mod kinds;
mod leaves;
mod media;
mod own;
mod portable;
mod portable_field;
mod portable_turns;
mod portable_write;
mod proof;
mod reader;
mod record;
mod request;
mod request_edit;
mod request_item;
mod request_rows;
mod reshape;
mod response;
mod roles;
mod rows;
mod say;
mod splice;
mod state;
mod undecodable;
mod walk;
mod walk_rest;
mod writer;

pub use undecodable::NAME;

/// The dialect.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAiResponses;

#[cfg(test)]
mod tests;
