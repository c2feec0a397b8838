//! Airlock: the runtime layer between an AI application and its models.
//!
//! Every model call passes through the gateway; frames become events on a session's timeline; policies (sandboxed
//! components) conclude and order at checkpoints; the host applies what they order and records the outcome.

pub mod admin;
pub mod ask;
pub mod builtin;
pub mod cli;
pub mod client;
pub mod config;
pub mod demo;
pub mod failure;
pub mod gateway;
pub mod render;
pub mod serve;
pub mod simulate;
pub mod upstream;
