//! What the operator can order in a row of the configuration: one vocabulary for `[[on_finding]]` and `[[rule]]`.
//!
//! Actions that name a tool call, a tool result or another item mean the one at hand, since no row can know its id. What
//! is at hand is said by [`Occasion`]; an action for which nothing is at hand is ordered all the same, and refused by the
//! host where it is carried out, so that the timeline shows it.

mod read;
mod terms;
mod words;

pub(in crate::reason) use self::read::read;
pub use self::terms::{BlockMode, Lasting, Timeout};
pub(in crate::reason) use self::words::{Name, Words, row};
use airlock_policy::contract::types::{self, Action, Scope, Severity, Subject};

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
    pub at_hand: Subject,
    /// Tool of the call or result at hand; empty if there is none.
    pub tool: &'a str,
}

impl Reaction {
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
            Subject::ToolCall(id) | Subject::ToolResult(id) => id.clone(),
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
                fields: set.clone(),
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
                call: id(),
                reason: or_summary(message),
            }),
            Self::SubstituteToolResult { message, scope } => {
                Action::SubstituteToolResult(types::ResultSubstitution {
                    call: id(),
                    text: message.clone(),
                    scope: (*scope).into(),
                })
            }
            Self::HoldForPerson {
                message,
                deadline_ms,
                on_timeout,
            } => Action::HoldForPerson(types::Hold {
                subject: occasion.at_hand.clone(),
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
                limits: [("tokens", *max_tokens), ("cost", *max_cost)]
                    .into_iter()
                    .filter(|(_, most)| *most > 0)
                    .map(|(name, most)| (name.to_owned(), most))
                    .collect(),
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
