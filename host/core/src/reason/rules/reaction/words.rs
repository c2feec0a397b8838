//! A row's keys for all actions, before it is known which of them belong to the action it names.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::terms::{BlockMode, Lasting, Timeout};

/// Name of an action, as in the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::reason) enum Name {
    Annotate,
    Alert,
    Block,
    Stop,
    AnswerLocally,
    Inject,
    SetParameters,
    Route,
    Retry,
    DenyToolCall,
    SubstituteToolResult,
    HoldForPerson,
    OpenCircuit,
    Allocate,
}

/// The keys of all actions, as they stand in a row.
#[derive(Default)]
pub(in crate::reason) struct Words {
    pub block: Option<BlockMode>,
    pub message: Option<String>,
    pub fallback: Option<String>,
    pub webhook: Option<String>,
    pub upstream: Option<String>,
    pub model: Option<String>,
    pub scope: Option<Lasting>,
    pub parameters: Option<BTreeMap<String, serde_json::Value>>,
    pub confidence: Option<f32>,
    pub after_ms: Option<u32>,
    pub deadline_ms: Option<u32>,
    pub on_timeout: Option<Timeout>,
    pub tool: Option<String>,
    pub cooldown_ms: Option<u32>,
    pub max_tokens: Option<u64>,
    pub max_cost_usd: Option<f64>,
}

impl Words {
    /// A key that the action did not take.
    pub(super) fn left(&self, block: &str) -> Option<String> {
        let keys = [
            (block, self.block.is_some()),
            ("message", self.message.is_some()),
            ("fallback", self.fallback.is_some()),
            ("webhook", self.webhook.is_some()),
            ("upstream", self.upstream.is_some()),
            ("model", self.model.is_some()),
            ("scope", self.scope.is_some()),
            ("parameters", self.parameters.is_some()),
            ("confidence", self.confidence.is_some()),
            ("after_ms", self.after_ms.is_some()),
            ("deadline_ms", self.deadline_ms.is_some()),
            ("on_timeout", self.on_timeout.is_some()),
            ("tool", self.tool.is_some()),
            ("cooldown_ms", self.cooldown_ms.is_some()),
            ("max_tokens", self.max_tokens.is_some()),
            ("max_cost_usd", self.max_cost_usd.is_some()),
        ];
        let (key, _) = keys.into_iter().find(|(_, set)| *set)?;
        Some(key.to_owned())
    }
}

/// A row with the keys of all actions beside its own. `serde(flatten)` would do the same and lose each key's place in the
/// file, and with it the check for keys that mean nothing. The first key is the row's name for how a client is blocked.
macro_rules! row {
    ($block:ident, struct $name:ident { $($own:tt)* }) => {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name {
            $($own)*
            $block: Option<crate::reason::rules::reaction::BlockMode>,
            message: Option<String>,
            fallback: Option<String>,
            webhook: Option<String>,
            upstream: Option<String>,
            model: Option<String>,
            scope: Option<crate::reason::rules::reaction::Lasting>,
            parameters: Option<std::collections::BTreeMap<String, serde_json::Value>>,
            confidence: Option<f32>,
            after_ms: Option<u32>,
            deadline_ms: Option<u32>,
            on_timeout: Option<crate::reason::rules::reaction::Timeout>,
            tool: Option<String>,
            cooldown_ms: Option<u32>,
            max_tokens: Option<u64>,
            max_cost_usd: Option<f64>,
        }

        impl $name {
            /// The keys that belong to the action.
            fn words(&mut self) -> crate::reason::rules::reaction::Words {
                crate::reason::rules::reaction::Words {
                    block: self.$block.take(),
                    message: self.message.take(),
                    fallback: self.fallback.take(),
                    webhook: self.webhook.take(),
                    upstream: self.upstream.take(),
                    model: self.model.take(),
                    scope: self.scope.take(),
                    parameters: self.parameters.take(),
                    confidence: self.confidence.take(),
                    after_ms: self.after_ms.take(),
                    deadline_ms: self.deadline_ms.take(),
                    on_timeout: self.on_timeout.take(),
                    tool: self.tool.take(),
                    cooldown_ms: self.cooldown_ms.take(),
                    max_tokens: self.max_tokens.take(),
                    max_cost_usd: self.max_cost_usd.take(),
                }
            }
        }
    };
}
pub(in crate::reason) use row;
