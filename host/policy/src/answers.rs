//! Whether an answer keeps the contract. The host trusts nothing that it did not check here: one bad item makes the whole
//! answer malformed, because a policy that is wrong about one thing is not to be believed about the next.
//!
//! Not here: whether an action is granted, known or possible. That is an outcome, not a fault.

mod numbers;
mod told;

use super::limits::Limits;
use super::spec::{self, ACTIONS};
use crate::contract::{channel_name, types};
use numbers::{large, small, span};
use told::{Told, evidence};

/// Bytes of a finding's kind, an event's name and other words.
const WORD: usize = 128;
/// Longest deadline that may be asked for: a day.
const DEADLINE_MS: u32 = 86_400_000;
/// Patterns, wakes and other parts of one subscription, each.
const PARTS: usize = 1024;
/// Bytes of all patterns of a subscription.
const PATTERN_BYTES: usize = 256 << 10;
/// Names that one description lists, of each kind: more than there are actions, and a screen full of anything else.
const NAMES: usize = 64;
/// Bytes of a text for people, such as a reason: it is shown, and stands on the timeline each time. Text for the model or
/// the client may be as long as one call may pass (`limits.hostcall_kib`).
const WORDS: usize = 8 << 10;
/// Bytes of a settings schema.
const SCHEMA_BYTES: usize = 256 << 10;

/// Judges what a reasoner returned for a batch.
pub(super) fn assessment(
    answer: &types::Assessment,
    batch: &types::Batch,
    limits: &Limits,
) -> Result<(), String> {
    at_most(
        "findings",
        answer.findings.len(),
        limits.findings,
        "findings",
    )?;
    at_most(
        "release marks",
        answer.marks.len(),
        limits.details,
        "details",
    )?;
    for mark in &answer.marks {
        numbers::place("the place of a mark", &mark.place)?;
        small("`upto` of a mark", mark.upto.into())?;
    }
    pending(&answer.pending, limits)?;
    // Walked once an answer and not once a span: this is outside the guest's clock.
    let shows = answer.findings.iter().any(|f| !f.evidence.is_empty());
    let told = if shows {
        Told::of(batch)
    } else {
        Told::default()
    };
    for finding in &answer.findings {
        if finding.kind.is_empty() || finding.kind.len() > WORD {
            return Err(format!(
                "a finding's kind has {} bytes: it must have 1 to {WORD}",
                finding.kind.len()
            ));
        }
        words("a finding's summary", &finding.summary)?;
        if !(0.0..=1.0).contains(&finding.confidence) {
            return Err(format!(
                "finding `{}`: confidence {} is not in 0..1",
                finding.kind, finding.confidence
            ));
        }
        if !finding.data.is_empty()
            && serde_json::from_str::<serde::de::IgnoredAny>(&finding.data).is_err()
        {
            return Err(format!("finding `{}`: `data` is not JSON", finding.kind));
        }
        at_most(
            "spans of evidence",
            finding.evidence.len(),
            limits.details,
            "details",
        )?;
        subject("a finding's subject", &finding.subject)?;
        for shown in &finding.evidence {
            evidence(shown, &told).map_err(|e| format!("finding `{}`: {e}", finding.kind))?;
        }
    }
    Ok(())
}

/// Judges what an actuator returned.
pub(super) fn decision(answer: &types::Decision, limits: &Limits) -> Result<(), String> {
    let ordered = answer.actions.len() + answer.elsewhere.len();
    at_most("actions", ordered, limits.actions, "actions")?;
    for there in &answer.elsewhere {
        small("the exchange of an action elsewhere", there.exchange.into())?;
    }
    let elsewhere = answer.elsewhere.iter().map(|there| &there.action);
    for action in answer.actions.iter().chain(elsewhere) {
        bounded(action)?;
        if let types::Action::Stop(stop) = action
            && (stop.confidence.is_nan() || stop.confidence > 1.0)
        {
            return Err(format!(
                "action `stop`: confidence {} is neither in 0..1 nor negative",
                stop.confidence
            ));
        }
    }
    pending(&answer.pending, limits)
}

/// Judges what a policy says of itself.
pub(super) fn description(answer: &types::Description) -> Result<(), String> {
    if !spec::is_name(&answer.name) {
        return Err(format!(
            "it calls itself `{}`: a name has 1 to 64 of `a-z 0-9 -`",
            beginning(&answer.name).escape_debug()
        ));
    }
    if !is_semver(&answer.version) {
        return Err(format!(
            "its version is `{}`: that is not a semantic version such as 1.2.0",
            beginning(&answer.version).escape_debug()
        ));
    }
    for (what, names) in [
        ("actions", &answer.actions),
        ("targets to ask", &answer.asks),
        ("risks that it addresses", &answer.addresses),
    ] {
        if names.len() > NAMES {
            return Err(format!(
                "it names {} {what}: at most {NAMES} are allowed",
                names.len()
            ));
        }
    }
    for (what, text, most) in [
        ("licence", &answer.licence, WORD),
        ("summary", &answer.summary, WORDS),
    ] {
        if text.len() > most {
            return Err(format!(
                "its {what} has {} bytes: at most {most} are allowed",
                text.len()
            ));
        }
    }
    if let Some(risk) = answer.addresses.iter().find(|a| a.len() > WORD) {
        return Err(format!(
            "the name of a risk that it addresses has {} bytes: at most {WORD} are allowed",
            risk.len()
        ));
    }
    if let Some(unknown) = answer
        .actions
        .iter()
        .find(|a| !ACTIONS.contains(&a.as_str()))
    {
        return Err(format!(
            "it may order `{}`, which this host does not know",
            beginning(unknown).escape_debug()
        ));
    }
    if answer.settings_schema.len() > SCHEMA_BYTES {
        return Err(format!(
            "its settings schema has more than {SCHEMA_BYTES} bytes"
        ));
    }
    if let Some(name) = answer.asks.iter().find(|a| a.is_empty() || a.len() > WORD) {
        return Err(format!(
            "it asks a target whose name has {} bytes: it must have 1 to {WORD}",
            name.len()
        ));
    }
    Ok(())
}

/// Judges what a policy wants.
pub(super) fn subscription(answer: &types::Subscription) -> Result<(), String> {
    let parts = [
        ("wakes", answer.wakes.len()),
        ("patterns", answer.patterns.len()),
        ("release modes", answer.release.len()),
        ("kinds of events", answer.sees.len()),
        ("kinds of findings", answer.findings.len()),
    ];
    if let Some((what, n)) = parts.iter().find(|(_, n)| *n > PARTS) {
        return Err(format!("it wants {n} {what}: at most {PARTS} are allowed"));
    }
    if let Some(kind) = answer
        .findings
        .iter()
        .find(|k| k.is_empty() || k.len() > WORD)
    {
        return Err(format!(
            "a kind of finding that it wants has {} bytes: it must have 1 to {WORD}",
            kind.len()
        ));
    }
    if answer.patterns.iter().map(|p| p.text.len()).sum::<usize>() > PATTERN_BYTES {
        return Err(format!(
            "its patterns have more than {PATTERN_BYTES} bytes together"
        ));
    }
    if answer.patterns.iter().any(|p| p.text.is_empty()) {
        return Err("one of its patterns is empty: that would match everywhere".into());
    }
    let searched = answer.patterns.iter().flat_map(|p| &p.channels);
    let held = answer.release.iter().map(|r| &r.channel);
    if let Some(channel) = searched.chain(held).find(|c| !is_generated(**c)) {
        return Err(format!(
            "it wants to search or hold the channel `{}`: only generated text is searched and held",
            channel_name(*channel)
        ));
    }
    for wake in &answer.wakes {
        match wake {
            types::Wake::EveryTokens(0) => {
                return Err("it wants to be woken every 0 tokens: 1 is the least".into());
            }
            types::Wake::EveryMs(ms) if *ms < 10 => {
                return Err(format!(
                    "it wants to be woken every {ms} ms: 10 is the least"
                ));
            }
            types::Wake::VitalAbove(t) if t.above.is_nan() => {
                return Err(format!(
                    "its threshold for vital {} is not a number",
                    t.quantity
                ));
            }
            _ => {}
        }
    }
    match answer.release.iter().find(|r| r.max_hold_ms > 60_000) {
        Some(r) => Err(format!(
            "it wants to hold text for {} ms: 60,000 is the most",
            r.max_hold_ms
        )),
        None => Ok(()),
    }
}

/// Whether a model writes what stands in the channel.
fn is_generated(channel: types::Channel) -> bool {
    use types::Channel as C;
    !matches!(channel, C::Nowhere | C::Message | C::ToolResult)
}

/// Bounds what of an action is for people, names something, or is a number.
fn bounded(action: &types::Action) -> Result<(), String> {
    use types::Action as A;
    match action {
        A::Annotate(a) => {
            words("an annotation's name", &a.name)?;
            words("an annotation's value", &a.value)
        }
        A::Alert(a) => {
            words("an alert's title", &a.title)?;
            words("an alert's body", &a.body)?;
            words("the name of a webhook", &a.webhook)
        }
        A::Block(b) => words("a block's reason", &b.reason),
        A::Stop(s) => words("a stop's reason", &s.reason),
        A::DenyToolCall(d) => words("a denial's reason", &d.reason),
        A::ReplaceRange(r) => span("a range to replace", &r.span),
        A::EditMessage(e) => large("the message to edit", e.message),
        A::EvictMessage(e) => large("the message to evict", e.message),
        A::ReplaceMessages(r) => {
            large("the first message to replace", r.first)?;
            large("the last message to replace", r.last)
        }
        A::HoldForPerson(h) => {
            deadline("a hold's deadline", h.deadline_ms)?;
            subject("a hold's subject", &h.subject)?;
            words("a hold's title", &h.title)?;
            words("a hold's body", &h.body)
        }
        A::OpenCircuit(c) => {
            small("a circuit's cooldown", c.cooldown_ms.into())?;
            words("the name of a circuit's tool", &c.tool)?;
            words("a circuit's answer", &c.answer)
        }
        A::Steer(s) => words("an instruction", &s.instruction),
        A::Route(r) | A::SwitchModel(r) => {
            words("the name of an upstream", &r.upstream)?;
            words("the name of a model", &r.model)
        }
        A::Retry(r) => {
            small("the wait before a retry", r.after_ms.into())?;
            words("the name of an upstream", &r.upstream)?;
            words("the name of a model", &r.model)
        }
        A::FallbackAgent(h) => {
            words("the name of an agent", &h.agent)?;
            words("a handover's reason", &h.reason)
        }
        A::Savepoint(name) => words("the name of a savepoint", name),
        A::Rollback(r) => {
            words("the name of a savepoint", &r.savepoint)?;
            words("a rollback's note", &r.note)
        }
        A::Allocate(a) => a.limits.iter().try_for_each(|(name, most)| {
            words("the name of a limit", name)?;
            large("a limit to allocate", *most)
        }),
        A::Other((name, _)) => words("the name of an action", name),
        _ => Ok(()),
    }
}

fn words(what: &str, text: &str) -> Result<(), String> {
    if text.len() > WORDS {
        return Err(format!(
            "{what} has {} bytes: at most {WORDS} are allowed",
            text.len()
        ));
    }
    Ok(())
}

/// What of a guest's text is repeated in a refusal.
fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(WORD)).unwrap_or(text)
}

fn pending(items: &[types::Pending], limits: &Limits) -> Result<(), String> {
    at_most("pending subjects", items.len(), limits.details, "details")?;
    items.iter().try_for_each(|p| {
        large("a pending item's ticket", p.ticket)?;
        subject("a pending item's subject", &p.subject)?;
        deadline("a pending item's deadline", p.deadline_ms)
    })
}

fn deadline(what: &str, ms: u32) -> Result<(), String> {
    if !(1..=DEADLINE_MS).contains(&ms) {
        return Err(format!("{what} is {ms} ms: it must be 1 to {DEADLINE_MS}"));
    }
    Ok(())
}

fn at_most(what: &str, n: usize, limit: u32, name: &str) -> Result<(), String> {
    if n > limit as usize {
        return Err(format!(
            "the answer has {n} {what} where `limits.{name}` allows {limit}"
        ));
    }
    Ok(())
}

fn subject(what: &str, subject: &types::Subject) -> Result<(), String> {
    match subject {
        types::Subject::Message(message) => large(what, *message),
        types::Subject::Text(text) => span(what, text),
        types::Subject::ToolCall(call) | types::Subject::ToolResult(call) => words(what, call),
        types::Subject::Other((name, value)) => {
            words(what, name)?;
            words(what, value)
        }
        _ => Ok(()),
    }
}

fn is_semver(version: &str) -> bool {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let mut parts = core.split('.');
    let mut number = || {
        parts
            .next()
            .is_some_and(|p| !p.is_empty() && p.len() <= 9 && p.bytes().all(|b| b.is_ascii_digit()))
    };
    version.len() <= 64 && number() && number() && number() && parts.next().is_none()
}

#[cfg(test)]
mod tests;
