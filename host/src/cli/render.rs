//! Events as lines for people: when, which kind, which exchange, what.
//!
//!     +0.412 ▲ #1 finding   high  blocklist  forbidden-term 0.98  "project falcon" in output
//!     +0.412 ■ #1 action    APPLIED block  by blocklist  hard
//!
//! One renderer serves `airlock timeline`, its `--follow`, and every live view. Text chunks of one place are joined into lines as they
//! come; several sessions and exchanges may be interleaved. Verdicts (what a policy said) and actions (what Airlock
//! did) look different, always.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::session::event::{Body, Channel, Event, Micros, Outcome, Place, Role, Status, Usage};
use crate::session::key::SessionId;

mod people;
pub mod style;

use style::{Paint, Style, clean, count, dollars, duration, one_line, pad, shorten, split_line};

/// Width of the column that says what kind of event it is.
const LABEL: usize = 10;
/// Lines that a message or a tool's result may take on a terminal.
const EXCERPT: usize = 3;
/// Width of a session's name, where sessions are named.
const NAME: usize = 12;

/// Turns events into lines.
#[derive(Debug)]
pub struct EventRenderer {
    style: Style,
    verbose: bool,
    origin: Option<Micros>,
    /// When each session was seen first; times are told from there unless there is a common origin.
    first: HashMap<SessionId, Micros>,
    names: HashMap<SessionId, String>,
    named: bool,
    /// Text that does not fill a line yet.
    pending: BTreeMap<Key, Pending>,
    /// Whose line was printed last: its next line needs no label.
    last: Option<Key>,
}

type Key = (SessionId, u32, Place);

#[derive(Debug)]
struct Pending {
    at: Micros,
    text: String,
}

/// One line's first columns.
#[derive(Clone, Copy)]
struct Gutter<'a> {
    session: SessionId,
    at: Micros,
    exchange: u32,
    symbol: &'a str,
    label: &'a str,
    paint: Paint,
}

impl EventRenderer {
    /// Times are told from each session's first event; calls of policies and vitals are left out.
    pub fn new(style: Style) -> Self {
        Self {
            style,
            verbose: false,
            origin: None,
            first: HashMap::new(),
            names: HashMap::new(),
            named: false,
            pending: BTreeMap::new(),
            last: None,
        }
    }

    /// Shows calls of policies and vitals too.
    pub fn verbose(mut self, verbose: bool) -> Self {
        self.verbose = verbose;
        self
    }

    /// Tells all times from here.
    pub fn since(mut self, origin: Micros) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Begins every line with its session: the name it was given, else the beginning of its id.
    pub fn with_sessions(mut self) -> Self {
        self.named = true;
        self
    }

    /// Gives a session a name for [`Self::with_sessions`].
    pub fn name_session(&mut self, session: SessionId, name: &str) {
        self.names.insert(session, one_line(name));
    }

    /// The lines that this event completes, each with its line end; empty while text gathers.
    pub fn event(&mut self, session: SessionId, event: &Event) -> String {
        let mut out = String::new();
        self.first.entry(session).or_insert(event.at);
        if let Body::Text { place, text, .. } = &event.body {
            // Arguments are shown with their call, when they are complete.
            if place.channel == Channel::ToolArguments && !self.verbose {
                return out;
            }
            self.text((session, event.exchange, *place), event.at, text, &mut out);
            return out;
        }
        let detail = matches!(
            event.body,
            Body::Vitals { .. } | Body::PolicyCall { .. } | Body::PolicySeated { .. }
        );
        if detail && !self.verbose {
            return out;
        }
        self.flush_where(&mut out, |key| {
            key.0 == session && (event.exchange == 0 || key.1 == event.exchange)
        });
        self.last = None;
        self.body(session, event, &mut out);
        out
    }

    /// What still gathers, as lines: at the end, or when nothing came for a while.
    pub fn flush(&mut self) -> String {
        let mut out = String::new();
        self.flush_where(&mut out, |_| true);
        out
    }

    fn flush_where(&mut self, out: &mut String, which: impl Fn(&Key) -> bool) {
        let keys: Vec<_> = self
            .pending
            .keys()
            .filter(|key| which(key))
            .copied()
            .collect();
        for key in keys {
            if let Some(pending) = self.pending.remove(&key)
                && !pending.text.trim().is_empty()
            {
                self.text_line(key, pending.at, &pending.text, out);
            }
        }
    }

    fn text(&mut self, key: Key, at: Micros, text: &str, out: &mut String) {
        // One choice says one thing after the other: when its output begins, its reasoning has ended.
        self.flush_where(out, |other| {
            *other != key && (other.0, other.1, other.2.choice) == (key.0, key.1, key.2.choice)
        });
        let pending = self.pending.remove(&key);
        let (mut at, mut text) = match pending {
            Some(pending) => (pending.at, pending.text + &clean(text)),
            None => (at, clean(text)),
        };
        let now = at;
        while let Some((line, rest)) = split_line(&text, self.room()) {
            self.text_line(key, at, line, out);
            text = rest.to_owned();
            at = now;
        }
        if !text.is_empty() {
            self.pending.insert(key, Pending { at, text });
        }
    }

    fn text_line(&mut self, key: Key, at: Micros, line: &str, out: &mut String) {
        let (session, exchange, place) = key;
        let (label, paint, symbol_paint) = match place.channel {
            Channel::Output => ("output", Paint::PLAIN, Paint::GREEN),
            Channel::Reasoning => ("reasoning", Paint::DIM_ITALIC, Paint::DIM),
            Channel::Refusal => ("refusal", Paint::YELLOW, Paint::YELLOW),
            Channel::ToolArguments => ("arguments", Paint::DIM, Paint::CYAN),
            Channel::Other => ("other", Paint::DIM, Paint::DIM),
        };
        let choice = if place.choice > 0 {
            format!("{label}/{}", place.choice)
        } else {
            label.to_owned()
        };
        let label = if self.last == Some(key) {
            ""
        } else {
            choice.as_str()
        };
        let gutter = Gutter {
            session,
            at,
            exchange,
            symbol: "│",
            label,
            paint: symbol_paint,
        };
        self.line(&gutter, &self.style.paint(paint, line), out);
        self.last = Some(key);
    }

    /// Columns for the text behind the gutter.
    fn room(&self) -> Option<usize> {
        let gutter = 9 + 2 + 4 + LABEL + if self.named { NAME + 1 } else { 0 };
        self.style
            .width
            .map(|width| width.saturating_sub(gutter).max(20))
    }

    fn line(&self, gutter: &Gutter<'_>, text: &str, out: &mut String) {
        let style = &self.style;
        if self.named {
            let name = self
                .names
                .get(&gutter.session)
                .cloned()
                .unwrap_or_else(|| gutter.session.short());
            let hue = name.bytes().fold(7, |hash: u64, byte| {
                hash.wrapping_mul(31).wrapping_add(byte.into())
            });
            out.push_str(&style.paint(Paint::of_number(hue), &pad(&name, NAME)));
            out.push(' ');
        }
        let origin = self
            .origin
            .or_else(|| self.first.get(&gutter.session).copied())
            .unwrap_or(gutter.at);
        out.push_str(&style.paint(
            Paint::DIM,
            &format!("{:>8} ", clock(gutter.at.saturating_sub(origin))),
        ));
        out.push_str(&style.paint(gutter.paint, gutter.symbol));
        out.push(' ');
        let exchange = if gutter.exchange == 0 {
            String::new()
        } else {
            format!("#{}", gutter.exchange)
        };
        out.push_str(&style.paint(Paint::of_number(gutter.exchange.into()), &pad(&exchange, 3)));
        out.push(' ');
        out.push_str(&style.paint(gutter.paint, &pad(gutter.label, LABEL)));
        out.push_str(text);
        while out.ends_with(' ') {
            out.pop();
        }
        out.push('\n');
    }

    /// Several lines under one label, at most `EXCERPT` on a terminal.
    fn excerpt(&self, gutter: &Gutter<'_>, paint: Paint, text: &str, bytes: u64, out: &mut String) {
        let text = clean(text);
        let mut rest = text.trim_end();
        if rest.is_empty() {
            let size = if bytes == 0 {
                "(empty)".to_owned()
            } else {
                format!("({} bytes, not recorded)", count(bytes))
            };
            return self.line(gutter, &self.style.paint(Paint::DIM, &size), out);
        }
        let mut gutter = *gutter;
        for number in 1.. {
            let (mut line, more) = split_line(rest, self.room())
                .map_or((rest.to_owned(), ""), |(line, more)| {
                    (line.to_owned(), more)
                });
            rest = more;
            let last = rest.is_empty() || self.style.width.is_some() && number == EXCERPT;
            if last && !rest.is_empty() {
                let size = format!(" ({} bytes)", count(bytes));
                line = shorten(
                    &line,
                    self.room().unwrap_or(usize::MAX).saturating_sub(size.len()),
                ) + &size;
            }
            self.line(&gutter, &self.style.paint(paint, &line), out);
            (gutter.symbol, gutter.label) = (" ", "");
            if last {
                return;
            }
        }
    }

    fn body(&self, session: SessionId, event: &Event, out: &mut String) {
        let style = &self.style;
        let dim = |text: &str| style.paint(Paint::DIM, text);
        let gutter = |symbol, label, paint| Gutter {
            session,
            at: event.at,
            exchange: event.exchange,
            symbol,
            label,
            paint,
        };
        match &event.body {
            Body::SessionOpened {
                tenant,
                principal,
                source,
                confidence,
                ..
            } => {
                let text = format!(
                    "{} of {}  {}",
                    one_line(principal),
                    one_line(tenant),
                    dim(&format!("{} ({confidence})", one_line(source)))
                );
                self.line(&gutter("◆", "session", Paint::BOLD), &text, out);
            }
            Body::HistoryRewritten { at, known } => {
                let text =
                    format!("rewritten by the client from message {at} on ({known} were known)");
                self.line(&gutter("↺", "history", Paint::YELLOW), &text, out);
            }
            Body::Message {
                role, text, bytes, ..
            } => {
                let (label, paint) = match role {
                    Role::System => ("system", Paint::DIM),
                    Role::Developer => ("developer", Paint::DIM),
                    Role::User => ("user", Paint::PLAIN),
                    Role::Assistant => ("assistant", Paint::DIM),
                    Role::Tool => ("tool", Paint::DIM),
                    Role::Other => ("message", Paint::DIM),
                };
                self.excerpt(&gutter("›", label, Paint::BLUE), paint, text, *bytes, out);
            }
            Body::ToolResult {
                name,
                duration_us,
                failed,
                text,
                bytes,
                ..
            } => {
                let (symbol, paint) = if *failed {
                    ("✗", Paint::RED)
                } else {
                    ("↩", Paint::CYAN)
                };
                let mark = if *failed {
                    style.paint(Paint::BOLD_RED, "failed ")
                } else {
                    String::new()
                };
                let text = if text.is_empty() {
                    format!("({} bytes, not recorded)", count(*bytes))
                } else {
                    one_line(text)
                };
                let text = self.fit(&text, name.len() + 20);
                let line = format!(
                    "{} {mark}{}  {text}",
                    style.paint(paint, &one_line(name)),
                    dim(&duration(*duration_us))
                );
                self.line(&gutter(symbol, "result", paint), &line, out);
            }
            Body::Request { .. } => self.line(
                &gutter("▶", "request", Paint::BOLD_CYAN),
                &self.request(&event.body),
                out,
            ),
            Body::FirstToken { after_us } => {
                self.line(
                    &gutter("·", "first", Paint::DIM),
                    &dim(&format!("token after {}", duration(*after_us))),
                    out,
                );
            }
            // Joined above.
            Body::Text { .. } => {}
            Body::ToolCall {
                name,
                arguments,
                bytes,
                ..
            } => {
                let arguments = if arguments.is_empty() && *bytes > 0 {
                    format!("{} bytes, not recorded", count(*bytes))
                } else {
                    one_line(arguments)
                };
                let arguments = self.fit(&arguments, name.len() + 2);
                let text = format!(
                    "{}({arguments})",
                    style.paint(Paint::BOLD_CYAN, &one_line(name))
                );
                self.line(&gutter("⚒", "call", Paint::CYAN), &text, out);
            }
            Body::ResponseEnd {
                finish,
                usage,
                cost,
                status,
                elapsed_us,
                ..
            } => {
                let (symbol, word, paint) = match status {
                    Status::Complete => ("✔", "complete", Paint::GREEN),
                    Status::Partial => ("◐", "partial", Paint::BOLD_YELLOW),
                    Status::Blocked => ("✖", "blocked", Paint::BOLD_RED),
                    Status::Failed => ("✖", "failed", Paint::BOLD_RED),
                    Status::Disconnected => ("⊘", "client left", Paint::BOLD_YELLOW),
                };
                let finish = if finish.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", one_line(finish))
                };
                let cost = cost
                    .map(|cost| format!("  {}", dollars(cost)))
                    .unwrap_or_default();
                let text = format!(
                    "{}{}  {}{cost}  {}",
                    style.paint(paint, word),
                    dim(&finish),
                    tokens(usage),
                    dim(&duration(*elapsed_us))
                );
                self.line(&gutter(symbol, "end", paint), &text, out);
            }
            Body::Failure {
                failure,
                status,
                retryable,
                text,
            } => {
                let status = if *status > 0 {
                    format!(" {status}")
                } else {
                    String::new()
                };
                let again = if *retryable {
                    "  (may be tried again)"
                } else {
                    ""
                };
                let head = format!("{}{status}", word(failure));
                let text = format!(
                    "{}  {}{}",
                    style.paint(Paint::BOLD_RED, &head),
                    self.fit(&one_line(text), head.len() + 24),
                    dim(again)
                );
                self.line(&gutter("✖", "failure", Paint::RED), &text, out);
            }
            Body::Vitals { values } => {
                let values: Vec<_> = values
                    .iter()
                    .map(|(id, value)| format!("{id}={value}"))
                    .collect();
                self.line(
                    &gutter("~", "vitals", Paint::DIM),
                    &dim(&self.fit(&values.join(" "), 0)),
                    out,
                );
            }
            Body::Answer {
                policy,
                ticket,
                value,
            } => {
                let text = format!(
                    "to {} (ticket {ticket})  {}",
                    one_line(policy),
                    self.fit(&json(value), policy.len() + 20)
                );
                self.line(&gutter("↩", "answer", Paint::BLUE), &text, out);
            }
            Body::Finding {
                policy,
                finding,
                severity,
                confidence,
                summary,
                ..
            } => {
                let paint = match severity.as_str() {
                    "critical" => Paint::ALARM,
                    "high" => Paint::BOLD_RED,
                    "medium" => Paint::BOLD_YELLOW,
                    _ => Paint::YELLOW,
                };
                let head = format!("{} {confidence:.2}", one_line(finding));
                let summary = self.fit(
                    &one_line(summary),
                    severity.len() + policy.len() + head.len() + 6,
                );
                let text = format!(
                    "{}  {}  {head}  {}",
                    style.paint(paint, severity),
                    style.paint(Paint::BOLD, &one_line(policy)),
                    dim(&summary)
                );
                self.line(&gutter("▲", "finding", Paint::YELLOW), &text, out);
            }
            Body::Intervention { .. } => self.intervention(&gutter, &event.body, out),
            Body::Held { .. } | Body::Decided { .. } => self.people(session, event, out),
            Body::PolicyCall {
                policy,
                generation,
                role,
                checkpoint,
                events,
                took_us,
                ..
            } => {
                let text = format!(
                    "{} {role} at {checkpoint}, events {}–{}, {}",
                    at_generation(policy, *generation),
                    events.0,
                    events.1,
                    duration((*took_us).into())
                );
                self.line(&gutter("ƒ", "policy", Paint::DIM), &dim(&text), out);
            }
            Body::PolicyFault {
                policy,
                generation,
                fault,
                text,
                on_failure,
            } => {
                let head = format!(
                    "{fault}: {} failed {on_failure}",
                    at_generation(policy, *generation)
                );
                let text = format!(
                    "{}  {}",
                    style.paint(Paint::BOLD_RED, &head),
                    dim(&self.fit(&one_line(text), head.len() + 2))
                );
                self.line(&gutter("!", "fault", Paint::RED), &text, out);
            }
            Body::PolicySeated {
                policy,
                generation,
                digest,
                enforces,
                ..
            } => {
                let mode = if *enforces { "enforces" } else { "observes" };
                let short = digest.get(..12).unwrap_or(digest);
                let text = format!(
                    "{} generation {generation} ({short}) {mode}",
                    one_line(policy)
                );
                self.line(&gutter("·", "policy", Paint::DIM), &dim(&text), out);
            }
            Body::PolicyMoved {
                policy,
                from,
                to,
                how,
            } => {
                let text = format!(
                    "{} from generation {from} to {to}, {how}",
                    style.paint(Paint::BOLD, &one_line(policy))
                );
                self.line(&gutter("⇄", "reload", Paint::MAGENTA), &text, out);
            }
            Body::Annotation {
                policy,
                name,
                value,
            } => {
                let head = format!("{}  {}", one_line(policy), one_line(name));
                let text = format!(
                    "{head}  {}",
                    dim(&self.fit(&one_line(value), head.len() + 2))
                );
                self.line(&gutter("✎", "note", Paint::BLUE), &text, out);
            }
            Body::Passage {
                path,
                model,
                upstream,
                status,
                elapsed_us,
            } => {
                let paint = if *status >= 400 {
                    Paint::RED
                } else {
                    Paint::PLAIN
                };
                let model = if model.is_empty() {
                    String::new()
                } else {
                    format!("{} ", one_line(model))
                };
                let text = format!(
                    "{}  {}  {}",
                    one_line(path),
                    style.paint(paint, &status.to_string()),
                    dim(&format!(
                        "{model}→ {}  {}",
                        one_line(upstream),
                        duration(*elapsed_us)
                    ))
                );
                self.line(&gutter("→", "passage", Paint::DIM), &text, out);
            }
            Body::Unjudged { path, reason } => {
                let text = format!(
                    "{}  {}",
                    style.paint(Paint::YELLOW, &one_line(path)),
                    dim(&one_line(reason))
                );
                self.line(&gutter("◌", "unjudged", Paint::YELLOW), &text, out);
            }
            Body::Dropped { count } => {
                let text = format!("{count} events are missing here: the disk could not keep up");
                self.line(
                    &gutter("⋯", "dropped", Paint::RED),
                    &style.paint(Paint::BOLD_RED, &text),
                    out,
                );
            }
        }
    }

    /// Verdict and action are two things: what a policy only would have done is never printed like what was done.
    fn intervention<'a>(
        &self,
        gutter: &impl Fn(&'a str, &'a str, Paint) -> Gutter<'a>,
        body: &Body,
        out: &mut String,
    ) {
        let Body::Intervention {
            action,
            policy,
            generation,
            outcome,
            reason,
            arguments,
        } = body
        else {
            return;
        };
        let style = &self.style;
        let stops = matches!(
            action.as_str(),
            "block" | "stop" | "deny-tool-call" | "hold"
        );
        let (symbol, label, word, paint) = match outcome {
            Outcome::Applied if stops => ("■", "action", " applied ", Paint::ALARM),
            Outcome::Applied => ("■", "action", " applied ", Paint::ACTION),
            Outcome::WouldApply => ("□", "verdict", "would apply", Paint::BOLD_YELLOW),
            Outcome::Refused => ("□", "verdict", "refused", Paint::BOLD_YELLOW),
            Outcome::Superseded => ("□", "verdict", "superseded", Paint::DIM),
            Outcome::TooLate => ("□", "verdict", "too late", Paint::BOLD_RED),
            Outcome::Failed => ("□", "verdict", "failed", Paint::BOLD_RED),
        };
        let gutter_paint = match outcome {
            Outcome::Applied if stops => Paint::BOLD_RED,
            Outcome::Applied => Paint::BOLD_GREEN,
            _ => Paint::YELLOW,
        };
        // Without colours the boxed word needs no box.
        let word = if style.color { word } else { word.trim() };
        let by = at_generation(policy, *generation);
        let mut detail = one_line(reason);
        let arguments = json(arguments);
        if !arguments.is_empty() {
            detail = if detail.is_empty() {
                arguments
            } else {
                format!("{detail}  {arguments}")
            };
        }
        let detail = self.fit(&detail, word.len().max(11) + action.len() + by.len() + 8);
        let fill = if style.color { 11 - word.len() } else { 0 };
        let text = format!(
            "{}{:fill$} {}  by {by}  {}",
            style.paint(paint, word),
            "",
            style.paint(Paint::BOLD, &one_line(action)),
            style.paint(Paint::DIM, &detail)
        );
        self.line(&gutter(symbol, label, gutter_paint), &text, out);
    }

    fn request(&self, body: &Body) -> String {
        let Body::Request {
            model,
            upstream,
            streamed,
            messages,
            tools,
            input_tokens,
            max_output_tokens,
            retry,
            attempt,
            ..
        } = body
        else {
            return String::new();
        };
        let style = &self.style;
        let mut facts = vec![
            format!("{messages} messages"),
            format!("~{} tokens", count((*input_tokens).into())),
        ];
        if !tools.is_empty() {
            facts.push(format!(
                "tools {}",
                shorten(&one_line(&tools.join(", ")), 40)
            ));
        }
        if *max_output_tokens > 0 {
            facts.push(format!(
                "at most {} out",
                count((*max_output_tokens).into())
            ));
        }
        if !streamed {
            facts.push("not streamed".into());
        }
        let mut again = String::new();
        if *attempt > 1 {
            again += &format!("  attempt {attempt}");
        }
        if *retry > 0 {
            again += &format!("  client's retry {retry}");
        }
        let taken = model.len() + upstream.len() + again.len() + 5;
        format!(
            "{} → {}{}  {}",
            style.paint(Paint::BOLD, &one_line(model)),
            one_line(upstream),
            style.paint(Paint::YELLOW, &again),
            style.paint(Paint::DIM, &self.fit(&facts.join(" · "), taken))
        )
    }

    /// Shortened to what remains of a line when `taken` columns are used.
    fn fit(&self, text: &str, taken: usize) -> String {
        match self.room() {
            Some(room) => shorten(text, room.saturating_sub(taken).max(12)),
            None => text.to_owned(),
        }
    }
}

/// Time since the origin: `+0.412`, `+1:02.5`, `+3:04:05`.
fn clock(us: u64) -> String {
    let seconds = us / 1_000_000;
    match seconds {
        0..60 => format!("+{}.{:03}", seconds, us / 1000 % 1000),
        60..3600 => format!(
            "+{}:{:02}.{}",
            seconds / 60,
            seconds % 60,
            us / 100_000 % 10
        ),
        _ => format!(
            "+{}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ),
    }
}

fn tokens(usage: &Usage) -> String {
    let about = if usage.exact { "" } else { "~" };
    let part = |number: u32, word| {
        if number > 0 {
            format!(" ({} {word})", count(number.into()))
        } else {
            String::new()
        }
    };
    format!(
        "{about}{} in{} + {about}{} out{}",
        count(usage.input.into()),
        part(usage.cached, "cached"),
        count(usage.output.into()),
        part(usage.reasoning, "reasoning")
    )
}

fn at_generation(policy: &str, generation: u32) -> String {
    if generation == 0 {
        one_line(policy)
    } else {
        format!("{} g{generation}", one_line(policy))
    }
}

/// JSON in one line; nothing for what says nothing.
fn json(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => one_line(text),
        Value::Object(fields) if fields.is_empty() => String::new(),
        value => one_line(&value.to_string()),
    }
}

/// The word that stands for it in JSON.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .as_ref()
        .and_then(Value::as_str)
        .unwrap_or("?")
        .to_owned()
}

#[cfg(test)]
#[path = "render/tests.rs"]
mod tests;
