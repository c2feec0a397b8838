//! Which session a request belongs to.
//!
//! A session id is chosen by the client: it correlates calls and authorises nothing. It counts only together with the
//! principal, so no one reaches another's session by guessing its id.

use http::HeaderMap;

use super::identity::Caller;
use crate::config::session::Correlator;
use airlock_core::dialect::{MessageView, RequestView, is_made_up};
use airlock_core::event::Role;
use airlock_core::event::digest::Digest;
use airlock_core::event::key::SessionKey;
use airlock_core::event::marks::{Line, mark};
use airlock_core::session::recognition::Evidence;
use airlock_core::session::sessions::Sessions;
use airlock_core::session::state::Found;

/// Headers by which clients name a session, best first. The order is that of the gateways that agent frameworks know.
const HEADERS: [&str; 10] = [
    "x-airlock-session-id",
    "x-litellm-trace-id",
    "x-litellm-session-id",
    "x-claude-code-session-id",
    "helicone-session-id",
    "x-tfy-conversation-id",
    "x-portkey-trace-id",
    "x-session-id",
    "x-session-affinity",
    "x-conversation-id",
];

/// Field of the body by which providers find a cached prompt.
const CACHE_KEY: &str = "prompt_cache_key";

/// Names that only a known client may use bare.
const CODEX_HEADERS: [&str; 4] = ["session-id", "session_id", "thread-id", "conversation_id"];

/// Finds the session that a request belongs to. Never fails: a request that says nothing begins a new one.
///
/// What names a session counts first, then the conversation itself. A cache key or a trace is often one for a whole
/// application, or another for each turn: it names a session only for clients that are known to mean a conversation by it
/// and where the operator says so (`correlate`); else it only decides between conversations that fit equally.
pub fn find(
    caller: &Caller,
    headers: &HeaderMap,
    (view, digests): (&RequestView, &[Digest]),
    sessions: &Sessions,
    correlate: &[Correlator],
) -> Found {
    let found = |headers, name, value, confidence| found(caller, headers, name, value, confidence);
    if let Some(found) = find_by_headers(caller, headers) {
        return found;
    }
    let means_it = |name: &str| {
        name != CACHE_KEY || is_codex(headers) || correlate.contains(&Correlator::PromptCacheKey)
    };
    let mut hints = view.session_hints.iter();
    if let Some((name, value)) = hints.find(|(name, value)| means_it(name) && is_id(value)) {
        return found(headers, name, value.clone(), "explicit");
    }
    if let Some(value) = baggage(headers) {
        return found(headers, "baggage", value, "derived");
    }
    if correlate.contains(&Correlator::Traceparent)
        && let Some(value) = trace(headers)
    {
        return found(headers, "traceparent", value, "derived");
    }
    let continued = view.follows().into_iter().map(|continued| Line {
        digest: mark(&[b"continued", continued.id.as_bytes()]),
        of_model: true,
        text: "",
        calls: vec![&*continued.id],
    });
    let own = view.messages.iter().zip(digests).map(line);
    let evidence = Evidence {
        lines: continued.chain(own).collect(),
        weak: weak(headers, view),
        again: client_retries(headers) > 0,
    };
    match sessions.recognise(&caller.tenant, &caller.principal, &evidence) {
        Some(key) => Found {
            key,
            confidence: "inferred",
            parent: None,
            extra: Vec::new(),
        },
        None => found(headers, "prefix-hash", random_id(), "inferred"),
    }
}

fn line<'v>((message, digest): (&'v MessageView, &Digest)) -> Line<'v> {
    let made = message.tool_calls.iter().map(|call| &*call.id);
    let answered = message.tool_results.iter().map(|result| &*result.id);
    Line {
        digest: *digest,
        of_model: message.role == Role::Assistant,
        text: &message.text,
        // An id that Airlock made up is one of many conversations.
        calls: made
            .chain(answered)
            .filter(|id| !id.is_empty() && !is_made_up(id))
            .collect(),
    }
}

/// What only correlates calls: the cache key, else the trace.
pub fn weak(headers: &HeaderMap, view: &RequestView) -> Option<Digest> {
    let hints = &view.session_hints;
    let key = hints.iter().find(|(name, _)| *name == CACHE_KEY);
    match key {
        Some((name, value)) => Some(mark(&[name.as_bytes(), value.as_bytes()])),
        None => trace(headers).map(|value| mark(&[b"traceparent", value.as_bytes()])),
    }
}

/// Whether the client is Codex, which means a conversation by names that others use for anything.
fn is_codex(headers: &HeaderMap) -> bool {
    header(headers, "user-agent").is_some_and(|agent| agent.to_ascii_lowercase().contains("codex"))
}

/// The session that the headers name.
pub fn find_by_headers(caller: &Caller, headers: &HeaderMap) -> Option<Found> {
    let codex = is_codex(headers);
    let bare = CODEX_HEADERS.into_iter().filter(|_| codex);
    HEADERS.into_iter().chain(bare).find_map(|name| {
        let value = header(headers, name)?;
        Some(found(caller, headers, name, value, "explicit"))
    })
}

/// Where calls of a principal are recorded that belong to no session: one for each day, by its number since 1970, so that
/// neither its timeline nor what it has spent grows for ever.
pub fn without_session(caller: &Caller, headers: &HeaderMap) -> Found {
    const DAY_US: u64 = 24 * 3600 * 1_000_000;
    let day = airlock_core::event::clock::now() / DAY_US;
    found(
        caller,
        headers,
        "none",
        format!("passages-{day}"),
        "derived",
    )
}

fn found(
    caller: &Caller,
    headers: &HeaderMap,
    source: &str,
    value: String,
    confidence: &'static str,
) -> Found {
    Found {
        key: SessionKey {
            tenant: caller.tenant.clone(),
            principal: caller.principal.clone(),
            source: source.to_owned(),
            value,
        },
        confidence,
        parent: header(headers, "x-parent-session-id"),
        extra: Vec::new(),
    }
}

/// How often the client has sent this request before, as the vendors' SDKs say it.
pub fn client_retries(headers: &HeaderMap) -> u32 {
    header(headers, "x-stainless-retry-count")
        .and_then(|v| v.parse().ok())
        .unwrap_or(0)
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)?
        .to_str()
        .ok()
        .map(str::trim)
        .filter(|v| is_id(v) || name == "user-agent")
        .map(str::to_owned)
}

/// What can be an id: 1 to 256 visible characters.
fn is_id(value: &str) -> bool {
    (1..=256).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic())
}

fn baggage(headers: &HeaderMap) -> Option<String> {
    let all = headers.get("baggage")?.to_str().ok()?;
    let value = all.split(',').find_map(|member| {
        let (name, value) = member.split(';').next()?.split_once('=')?;
        (name.trim() == "session.id").then(|| value.trim().to_owned())
    })?;
    is_id(&value).then_some(value)
}

fn trace(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let id = value.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0'))
        .then(|| id.to_owned())
}

fn random_id() -> String {
    // Without randomness two sessions could be taken for one: fall back to the clock, which at least moves on.
    let n = getrandom::u64().unwrap_or_else(|_| airlock_core::event::clock::now());
    format!("{n:016x}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()))
            .collect()
    }

    #[test]
    fn trace_and_baggage_are_read_strictly() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let t = headers(&[(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )]);
        assert_eq!(trace(&t).as_deref(), Some(id));
        assert_eq!(
            trace(&headers(&[(
                "traceparent",
                "00-00000000000000000000000000000000-b7ad6b7169203331-01"
            )])),
            None
        );
        assert_eq!(
            baggage(&headers(&[("baggage", "a=b, session.id=run-7;p=1")])).as_deref(),
            Some("run-7")
        );
    }

    #[test]
    fn ids_with_control_characters_or_without_end_are_no_ids() {
        assert!(is_id("run-7"));
        assert!(!is_id("") && !is_id("a b") && !is_id(&"x".repeat(300)));
    }
}
