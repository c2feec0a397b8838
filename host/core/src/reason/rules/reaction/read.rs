//! From a row's keys to what it orders.

use std::collections::BTreeMap;

use super::Reaction;
use super::terms::Lasting;
use super::words::{Name, Words};

/// A person has this long unless the row says otherwise: five minutes, half of what the vendors' SDKs wait for a byte.
const DEFAULT_DEADLINE_MS: u32 = 300_000;

/// A circuit stays open this long unless the row says otherwise: long enough for a restart, short enough to be tried again.
const DEFAULT_COOLDOWN_MS: u32 = 60_000;

/// Parameters that have an action of their own.
const RESERVED: [&str; 4] = ["model", "messages", "stream", "tools"];

/// Reads the keys of an action. `block` is the name of the key that says how a client is blocked.
///
/// # Errors
/// A key that is missing, that does not belong to the action, or whose value makes no sense.
pub(in crate::reason) fn read(
    name: Name,
    mut words: Words,
    block: &str,
) -> Result<Reaction, String> {
    let text = |word: &mut Option<String>| word.take().unwrap_or_default();
    let (called, reaction) = match name {
        Name::Annotate => (
            "annotate",
            Reaction::Annotate {
                message: text(&mut words.message),
            },
        ),
        Name::Alert => (
            "alert",
            Reaction::Alert {
                webhook: text(&mut words.webhook),
                message: text(&mut words.message),
            },
        ),
        Name::Block => (
            "block",
            Reaction::Block {
                mode: words.block.take().unwrap_or_default(),
                message: text(&mut words.message),
                fallback: text(&mut words.fallback),
            },
        ),
        Name::Stop => (
            "stop",
            Reaction::Stop {
                message: text(&mut words.message),
                confidence: match words.confidence.take() {
                    None => -1.0,
                    Some(share) if (0.0..=1.0).contains(&share) => share,
                    Some(_) => return Err("a confidence is 0 to 1".to_owned()),
                },
            },
        ),
        Name::AnswerLocally => (
            "answer-locally",
            Reaction::AnswerLocally {
                message: required(&mut words.message)?,
            },
        ),
        Name::Inject => (
            "inject",
            Reaction::Inject {
                message: required(&mut words.message)?,
                scope: words.scope.take().unwrap_or_default(),
            },
        ),
        Name::SetParameters => (
            "set-parameters",
            Reaction::SetParameters {
                set: parameters(words.parameters.take())?,
                scope: words.scope.take().unwrap_or_default(),
            },
        ),
        Name::Route => (
            "route",
            Reaction::Route {
                upstream: text(&mut words.upstream),
                model: text(&mut words.model),
                scope: words.scope.take().unwrap_or_default(),
            },
        ),
        Name::Retry => (
            "retry",
            Reaction::Retry {
                upstream: text(&mut words.upstream),
                model: text(&mut words.model),
                after_ms: words.after_ms.take().unwrap_or_default(),
            },
        ),
        Name::DenyToolCall => (
            "deny-tool-call",
            Reaction::DenyToolCall {
                message: text(&mut words.message),
            },
        ),
        Name::SubstituteToolResult => (
            "substitute-tool-result",
            Reaction::SubstituteToolResult {
                message: required(&mut words.message)?,
                scope: words.scope.take().unwrap_or(Lasting::Session),
            },
        ),
        Name::HoldForPerson => (
            "hold-for-person",
            Reaction::HoldForPerson {
                message: text(&mut words.message),
                deadline_ms: match words.deadline_ms.take() {
                    None => DEFAULT_DEADLINE_MS,
                    Some(ms) if (1..=86_400_000).contains(&ms) => ms,
                    Some(_) => return Err("a deadline is 1 to 86400000 ms (a day)".to_owned()),
                },
                on_timeout: words.on_timeout.take().unwrap_or_default(),
            },
        ),
        Name::OpenCircuit => (
            "open-circuit",
            Reaction::OpenCircuit {
                tool: text(&mut words.tool),
                cooldown_ms: match words.cooldown_ms.take() {
                    None => DEFAULT_COOLDOWN_MS,
                    Some(ms) if ms > 0 => ms,
                    Some(_) => return Err("a circuit stays open for 1 ms or more".to_owned()),
                },
                message: text(&mut words.message),
            },
        ),
        Name::Allocate => ("allocate", allocate(&mut words)?),
    };
    match words.left(block) {
        None => Ok(reaction),
        Some(key) => Err(format!("`{key}` means nothing for {called}: remove it")),
    }
}

fn required(message: &mut Option<String>) -> Result<String, String> {
    message
        .take()
        .filter(|text| !text.is_empty())
        .ok_or_else(|| "this action needs a `message`: add message = \"...\"".to_owned())
}

fn parameters(
    written: Option<BTreeMap<String, serde_json::Value>>,
) -> Result<Vec<(String, String)>, String> {
    let written = written
        .filter(|set| !set.is_empty())
        .ok_or("this action needs `parameters`: add parameters = { temperature = 0.2 }")?;
    if let Some(name) = RESERVED.iter().find(|name| written.contains_key(**name)) {
        return Err(format!(
            "the parameter `{name}` has an action of its own: remove it"
        ));
    }
    Ok(written
        .into_iter()
        .map(|(name, value)| (name, value.to_string()))
        .collect())
}

fn allocate(words: &mut Words) -> Result<Reaction, String> {
    let max_tokens = words.max_tokens.take().unwrap_or_default();
    let dollars = words.max_cost_usd.take().unwrap_or_default();
    if !dollars.is_finite() || dollars < 0.0 {
        return Err("an amount of dollars is 0 (as before) or more".to_owned());
    }
    let max_cost = (dollars * 1e6) as u64;
    if max_tokens == 0 && max_cost == 0 {
        return Err("this action needs `max_tokens`, `max_cost_usd`, or both".to_owned());
    }
    Ok(Reaction::Allocate {
        max_tokens,
        max_cost,
    })
}
