//! What Airlock itself says to a client: who decided what, and nothing of what is held back.

use crate::dialect::{ClientError, Failure, NotPortable, Origin};
use crate::event::{Channel, FailureKind};
use crate::reason::panel::Panel;
use crate::release::Hold;
use crate::session::facts::Facts;
use crate::session::ledger::LedgerError;

/// Longest reason of a policy that is repeated to a client, bytes.
const MAX_REASON_BYTES: usize = 300;

/// So many bytes of held text in a row are a quotation of it.
const QUOTATION_BYTES: usize = 12;

/// Code of what nobody has decided yet.
pub const HELD: &str = "airlock_held";

/// Code of the answer to a client that has seen nothing when its time is up.
pub const DEADLINE: &str = "airlock_deadline";

/// Speaks of one exchange.
pub struct Voice<'a> {
    /// What is settled of it.
    pub facts: &'a Facts,
    /// Whose patterns must not match what is said.
    pub panel: &'a Panel,
    /// What must not be quoted.
    pub hold: &'a Hold,
}

impl Voice<'_> {
    /// What the client's SDK raises of a hard block. 400 with the code of a content filter, as Azure has it: measured, 403 is
    /// a bad key to PydanticAI, and makes LiteLLM's router repeat the call three times; with this, Semantic Kernel and PydanticAI
    /// raise the exception that they have for it.
    pub fn blocked(&self, by: &str, reason: &str) -> ClientError {
        let message = self.blocked_text(by, reason);
        own_error(
            self.facts,
            (400, "content_filter", "airlock_blocked"),
            by,
            message,
        )
    }

    /// What it raises where a stop cannot be told as a partial answer.
    pub fn stopped(&self, by: &str, reason: &str) -> ClientError {
        let message = self.stopped_text(by, reason);
        own_error(
            self.facts,
            (400, "airlock_stopped", "airlock_stopped"),
            by,
            message,
        )
    }

    /// A block as a text.
    pub fn blocked_text(&self, by: &str, reason: &str) -> String {
        self.sentence("blocked this answer", by, reason)
    }

    /// A stop as a text.
    pub fn stopped_text(&self, by: &str, reason: &str) -> String {
        self.sentence("stopped this answer", by, reason)
    }

    /// A policy's reason, if it tells the client nothing of what is kept from it: it is short, no pattern of any policy matches
    /// it, and it quotes no text that the client does not have.
    pub fn presentable(&self, reason: &str) -> Option<String> {
        let text: String = reason.chars().filter(|c| !c.is_control()).collect();
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_REASON_BYTES {
            return None;
        }
        let matches = Channel::GENERATED
            .into_iter()
            .any(|channel| !self.panel.matches(channel, text).is_empty());
        (!matches && !self.hold.quotes_held(text, QUOTATION_BYTES)).then(|| text.to_owned())
    }

    fn sentence(&self, did: &str, by: &str, reason: &str) -> String {
        let label = self.facts.label();
        let who = match by {
            "" => format!("exchange {label}"),
            by => format!("policy {by}, exchange {label}"),
        };
        match self.presentable(reason) {
            Some(reason) => format!("Airlock {did} ({who}): {reason}"),
            None => format!("Airlock {did} ({who})."),
        }
    }
}

/// The budget is used up. 402: no SDK repeats it, and PydanticAI raises the exception that it has for quotas.
pub fn used_up(facts: &Facts, reason: &str) -> ClientError {
    let message = format!("Airlock: {reason} (exchange {}).", facts.label());
    own_error(
        facts,
        (402, "airlock_budget", "airlock_budget"),
        "",
        message,
    )
}

/// The budget cannot be kept: what is not durable is not used.
pub fn unkept(facts: &Facts, error: &LedgerError) -> ClientError {
    let message = format!("Airlock: {error} (exchange {}).", facts.label());
    own_error(facts, (503, "airlock_store", "airlock_store"), "", message)
}

fn own_error(
    facts: &Facts,
    (status, code, own): (u16, &str, &'static str),
    by: &str,
    message: String,
) -> ClientError {
    ClientError {
        status,
        kind: FailureKind::Policy,
        message,
        code: code.to_owned(),
        origin: Some(Origin {
            code: own,
            policy: by.to_owned(),
            exchange: facts.label(),
        }),
    }
}

/// Nobody has decided yet, and the client cannot wait any longer. A repetition waits for the same decision.
pub fn held(message: String) -> ClientError {
    plain(503, FailureKind::Policy, HELD, message)
}

/// What a client is told that has seen nothing when its time is up. Its SDK must not repeat the call: its time would be up
/// again.
pub fn expired() -> ClientError {
    let why = super::clock::REASON.to_owned();
    plain(504, FailureKind::Timeout, DEADLINE, why)
}

/// The upstream failed, or the connection to it.
pub fn upstream_failed(kind: FailureKind, message: String) -> ClientError {
    plain(502, kind, "airlock_upstream", message)
}

/// No target of a route answered, or none has room.
pub fn unreached(failure: &Failure) -> ClientError {
    let code = match failure.kind {
        FailureKind::RateLimit => "airlock_rate_limit",
        _ => "airlock_upstream",
    };
    plain(failure.status, failure.kind, code, failure.message.clone())
}

/// No route serves a model.
pub fn no_route(model: &str) -> ClientError {
    let message = format!(
        "no route serves the model `{model}`: add a [[route]] for it, or one with model = \"*\""
    );
    plain(404, FailureKind::Other, "airlock_no_route", message)
}

/// What the client asks cannot be asked of any upstream to which the route leads.
pub fn not_portable(error: &NotPortable) -> ClientError {
    let message = format!("the route leads to an upstream of another API: {error}");
    let code = "airlock_not_portable";
    plain(400, FailureKind::Other, code, message)
}

/// An error that nobody's order is behind.
pub fn plain(status: u16, kind: FailureKind, code: &str, message: String) -> ClientError {
    ClientError {
        status,
        kind,
        message,
        code: code.to_owned(),
        origin: None,
    }
}
