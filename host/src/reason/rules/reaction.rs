//! What the operator can order in a row of the configuration: one vocabulary for `[[on_finding]]` and `[[rule]]`.
//!
//! Actions that name a tool call, a tool result or another item mean the one at hand, since no row can know its id. What
//! is at hand is said by [`Occasion`]; an action for which nothing is at hand is ordered all the same, and refused by the
//! host where it is carried out, so that the timeline shows it.

use std::collections::BTreeMap;

use serde::Deserialize;

use airlock_policy::contract::types::{self, Action, Item, OnTimeout, Scope, Severity};

/// A person has this long unless the row says otherwise: five minutes, half of what the vendors' SDKs wait for a byte.
const DEFAULT_DEADLINE_MS: u32 = 300_000;

/// A circuit stays open this long unless the row says otherwise: long enough for a restart, short enough to be tried again.
const DEFAULT_COOLDOWN_MS: u32 = 60_000;

/// Parameters that have an action of their own.
const RESERVED: [&str; 4] = ["model", "messages", "stream", "tools"];

/// What a row orders.
#[derive(Clone, Debug, PartialEq)]
pub enum Reaction {
    /// Keep a note on the timeline.
    Annotate {
        /// Its value; empty: what the occasion says.
        message: String,
    },
    /// Tell people; `webhook` is the name of a configured one, empty for all.
    Alert {
        /// Name of a webhook.
        webhook: String,
        /// What they are told; empty: what the occasion says.
        message: String,
    },
    /// Refuse the exchange.
    Block {
        /// How the client learns of it.
        mode: BlockMode,
        /// Shown to the client; empty: what the occasion says.
        message: String,
        /// Answer in its place, for `soft`.
        fallback: String,
    },
    /// End the generation with a partial result.
    Stop {
        /// Shown to the client; empty: what the occasion says.
        message: String,
        /// 0..1: how far the partial result can be relied on; negative if unknown.
        confidence: f32,
    },
    /// Answer in the model's place.
    AnswerLocally {
        /// The answer.
        message: String,
    },
    /// Add a system message to the conversation.
    Inject {
        /// The message.
        message: String,
        /// How long it stays.
        scope: Lasting,
    },
    /// Set fields of the request.
    SetParameters {
        /// Name, and value as JSON.
        set: Vec<(String, String)>,
        /// How long they hold.
        scope: Lasting,
    },
    /// Send the call elsewhere.
    Route {
        /// Name of a configured upstream; empty: the present one.
        upstream: String,
        /// Model; empty: as requested.
        model: String,
        /// This call, or the rest of the session.
        scope: Lasting,
    },
    /// Repeat a failed call.
    Retry {
        /// Name of a configured upstream; empty: the same.
        upstream: String,
        /// Model; empty: the same.
        model: String,
        /// Wait before it, in milliseconds.
        after_ms: u32,
    },
    /// Keep the tool call at hand from the client.
    DenyToolCall {
        /// Given to the model as the result; empty: what the occasion says.
        message: String,
    },
    /// Give the model another text as the tool result at hand.
    SubstituteToolResult {
        /// The text.
        message: String,
        /// How long.
        scope: Lasting,
    },
    /// Let the item at hand wait until a person decides.
    HoldForPerson {
        /// What the person must know; empty: what the occasion says.
        message: String,
        /// Longest wait, in milliseconds, 1 to a day.
        deadline_ms: u32,
        /// What happens when nobody decides in time.
        on_timeout: Timeout,
    },
    /// Keep a tool from being called for a while.
    OpenCircuit {
        /// Name of the tool; empty: the one at hand.
        tool: String,
        /// How long, in milliseconds.
        cooldown_ms: u32,
        /// Given as the result of each call meanwhile; empty: what the occasion says.
        message: String,
    },
    /// Tighten the session's limits.
    Allocate {
        /// Tokens in all; 0: as before.
        max_tokens: u64,
        /// Microdollars in all; 0: as before.
        max_cost: u64,
    },
}

/// Why a row acts, and on what.
#[derive(Clone, Debug, PartialEq)]
pub struct Occasion<'a> {
    /// Kind of the finding, or name of the rule.
    pub title: &'a str,
    /// One sentence for people.
    pub summary: &'a str,
    /// How bad it is.
    pub severity: Severity,
    /// What an action without an id means.
    pub at_hand: Item,
    /// Tool of the call or result at hand; empty if there is none.
    pub tool: &'a str,
}

/// How a client learns that it was blocked. The words of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockMode {
    /// The dialect's error.
    #[default]
    Hard,
    /// The dialect's refusal, with the fallback as its text.
    Soft,
    /// The connection is cut.
    Abort,
}

/// How long a change lasts. The words of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lasting {
    /// This model call.
    #[default]
    Exchange,
    /// The rest of the session.
    Session,
}

/// What happens to a waiting item when nobody decides in time. The words of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timeout {
    /// It goes on.
    Release,
    /// It is blocked; a tool call: denied. The default, because silence is no approval.
    #[default]
    Block,
}

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

impl Reaction {
    /// Reads the keys of an action. `block` is the name of the key that says how a client is blocked.
    ///
    /// # Errors
    /// A key that is missing, that does not belong to the action, or whose value makes no sense.
    pub(in crate::reason) fn read(
        name: Name,
        mut words: Words,
        block: &str,
    ) -> Result<Self, String> {
        let text = |word: &mut Option<String>| word.take().unwrap_or_default();
        let (called, reaction) = match name {
            Name::Annotate => (
                "annotate",
                Self::Annotate {
                    message: text(&mut words.message),
                },
            ),
            Name::Alert => (
                "alert",
                Self::Alert {
                    webhook: text(&mut words.webhook),
                    message: text(&mut words.message),
                },
            ),
            Name::Block => (
                "block",
                Self::Block {
                    mode: words.block.take().unwrap_or_default(),
                    message: text(&mut words.message),
                    fallback: text(&mut words.fallback),
                },
            ),
            Name::Stop => (
                "stop",
                Self::Stop {
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
                Self::AnswerLocally {
                    message: required(&mut words.message)?,
                },
            ),
            Name::Inject => (
                "inject",
                Self::Inject {
                    message: required(&mut words.message)?,
                    scope: words.scope.take().unwrap_or_default(),
                },
            ),
            Name::SetParameters => (
                "set-parameters",
                Self::SetParameters {
                    set: parameters(words.parameters.take())?,
                    scope: words.scope.take().unwrap_or_default(),
                },
            ),
            Name::Route => (
                "route",
                Self::Route {
                    upstream: text(&mut words.upstream),
                    model: text(&mut words.model),
                    scope: words.scope.take().unwrap_or_default(),
                },
            ),
            Name::Retry => (
                "retry",
                Self::Retry {
                    upstream: text(&mut words.upstream),
                    model: text(&mut words.model),
                    after_ms: words.after_ms.take().unwrap_or_default(),
                },
            ),
            Name::DenyToolCall => (
                "deny-tool-call",
                Self::DenyToolCall {
                    message: text(&mut words.message),
                },
            ),
            Name::SubstituteToolResult => (
                "substitute-tool-result",
                Self::SubstituteToolResult {
                    message: required(&mut words.message)?,
                    scope: words.scope.take().unwrap_or(Lasting::Session),
                },
            ),
            Name::HoldForPerson => (
                "hold-for-person",
                Self::HoldForPerson {
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
                Self::OpenCircuit {
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

    /// The action that answers an occasion.
    pub fn action(&self, occasion: &Occasion<'_>) -> Action {
        let or_summary = |text: &str| {
            if text.is_empty() {
                occasion.summary.to_owned()
            } else {
                text.to_owned()
            }
        };
        let id = || match &occasion.at_hand {
            Item::ToolCall(id) | Item::ToolResult(id) => id.clone(),
            _ => String::new(),
        };
        match self {
            Self::Annotate { message } => Action::Annotate(types::Annotation {
                name: occasion.title.to_owned(),
                value: or_summary(message),
            }),
            Self::Alert { webhook, message } => Action::Alert(types::Alert {
                severity: occasion.severity,
                title: occasion.title.to_owned(),
                body: or_summary(message),
                webhook: webhook.clone(),
            }),
            Self::Block {
                mode,
                message,
                fallback,
            } => Action::Block(types::Block {
                mode: (*mode).into(),
                reason: or_summary(message),
                fallback: fallback.clone(),
            }),
            Self::Stop {
                message,
                confidence,
            } => Action::Stop(types::Stop {
                reason: or_summary(message),
                confidence: *confidence,
                keep_held: false,
            }),
            Self::AnswerLocally { message } => Action::AnswerLocally(message.clone()),
            Self::Inject { message, scope } => Action::Inject(types::Injection {
                role: types::Role::System,
                text: message.clone(),
                position: types::Position::End,
                scope: (*scope).into(),
            }),
            Self::SetParameters { set, scope } => Action::SetParameters(types::Parameters {
                set: set.clone(),
                scope: (*scope).into(),
            }),
            Self::Route {
                upstream,
                model,
                scope,
            } => Action::Route(types::Route {
                upstream: upstream.clone(),
                model: model.clone(),
                scope: (*scope).into(),
            }),
            Self::Retry {
                upstream,
                model,
                after_ms,
            } => Action::Retry(types::Retry {
                upstream: upstream.clone(),
                model: model.clone(),
                after_ms: *after_ms,
            }),
            Self::DenyToolCall { message } => Action::DenyToolCall(types::ToolDenial {
                id: id(),
                reason: or_summary(message),
            }),
            Self::SubstituteToolResult { message, scope } => {
                Action::SubstituteToolResult(types::ResultSubstitution {
                    id: id(),
                    text: message.clone(),
                    scope: (*scope).into(),
                })
            }
            Self::HoldForPerson {
                message,
                deadline_ms,
                on_timeout,
            } => Action::HoldForPerson(types::Hold {
                item: occasion.at_hand.clone(),
                title: occasion.title.to_owned(),
                body: or_summary(message),
                deadline_ms: *deadline_ms,
                on_timeout: (*on_timeout).into(),
            }),
            Self::OpenCircuit {
                tool,
                cooldown_ms,
                message,
            } => Action::OpenCircuit(types::Circuit {
                tool: if tool.is_empty() { occasion.tool } else { tool }.to_owned(),
                cooldown_ms: *cooldown_ms,
                answer: or_summary(message),
            }),
            Self::Allocate {
                max_tokens,
                max_cost,
            } => Action::Allocate(types::Allocation {
                scope: Scope::Session,
                max_tokens: *max_tokens,
                max_cost: *max_cost,
            }),
        }
    }

    /// Whether it changes nothing but this exchange, so that it has to be ordered anew in each.
    pub fn ends_with_the_exchange(&self) -> bool {
        match self {
            Self::Annotate { .. }
            | Self::Alert { .. }
            | Self::OpenCircuit { .. }
            | Self::Allocate { .. } => false,
            Self::Inject { scope, .. }
            | Self::SetParameters { scope, .. }
            | Self::Route { scope, .. }
            | Self::SubstituteToolResult { scope, .. } => *scope == Lasting::Exchange,
            _ => true,
        }
    }

    /// Whether it keeps something from the client or the model: then what cannot be judged must not pass.
    pub fn forbids(&self) -> bool {
        matches!(
            self,
            Self::Block { .. }
                | Self::Stop { .. }
                | Self::DenyToolCall { .. }
                | Self::SubstituteToolResult { .. }
                | Self::HoldForPerson { .. }
        )
    }
}

impl Words {
    /// A key that the action did not take.
    fn left(&self, block: &str) -> Option<String> {
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

impl From<BlockMode> for types::BlockMode {
    fn from(mode: BlockMode) -> Self {
        match mode {
            BlockMode::Hard => Self::Hard,
            BlockMode::Soft => Self::Soft,
            BlockMode::Abort => Self::Abort,
        }
    }
}

impl From<Lasting> for Scope {
    fn from(lasting: Lasting) -> Self {
        match lasting {
            Lasting::Exchange => Self::Exchange,
            Lasting::Session => Self::Session,
        }
    }
}

impl From<Timeout> for OnTimeout {
    fn from(timeout: Timeout) -> Self {
        match timeout {
            Timeout::Release => Self::Release,
            Timeout::Block => Self::Block,
        }
    }
}
