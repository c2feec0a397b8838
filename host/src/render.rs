//! Events as lines for people: when, which kind, which exchange, what.
//!
//!     +0.412 ▲ #1 finding   high  blocklist  forbidden-term 0.98  "project falcon" in output
//!     +0.412 ■ #1 action    APPLIED block  by blocklist  hard
//!
//! One renderer serves `airlock timeline`, its `--follow`, and every live view. Text chunks of one place are joined into lines as they
//! come; several sessions and exchanges may be interleaved. Verdicts (what a policy said) and actions (what Airlock
//! did) look different, always. The folder has one file for each family of events.

use std::collections::{BTreeMap, HashMap};

use airlock_core::event::key::SessionId;
use airlock_core::event::{Body, Channel, Event, Micros, Place};

mod asking;
mod call;
mod conversation;
mod people;
mod policy;
pub mod style;

use style::{Paint, Style, clean, count, one_line, pad, shorten, split_line};

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

/// Makes the first columns of an event's lines from symbol, label and paint.
fn gutter_of<'a>(
    session: SessionId,
    event: &Event,
) -> impl Fn(&'a str, &'a str, Paint) -> Gutter<'a> {
    let (at, exchange) = (event.at, event.exchange);
    move |symbol, label, paint| Gutter {
        session,
        at,
        exchange,
        symbol,
        label,
        paint,
    }
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
            Channel::Other | Channel::Message | Channel::ToolResult => {
                ("other", Paint::DIM, Paint::DIM)
            }
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
        // No field that was not cleaned begins a line of its own.
        out.push_str(&text.replace(['\n', '\r'], " "));
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

    /// A new kind of event does not compile until it is decided here who tells it.
    fn body(&self, session: SessionId, event: &Event, out: &mut String) {
        match &event.body {
            Body::SessionOpened { .. }
            | Body::HistoryRewritten { .. }
            | Body::Message { .. }
            | Body::Part { .. }
            | Body::ToolCall { .. }
            | Body::ToolResult { .. } => self.conversation(session, event, out),
            Body::Request { .. }
            | Body::FirstToken { .. }
            | Body::ResponseEnd { .. }
            | Body::Failure { .. }
            | Body::Passage { .. }
            | Body::Unjudged { .. } => self.call(session, event, out),
            Body::Finding { .. }
            | Body::Intervention { .. }
            | Body::Annotation { .. }
            | Body::PolicyCall { .. }
            | Body::PolicyFault { .. }
            | Body::PolicySeated { .. }
            | Body::PolicyMoved { .. } => self.policy(session, event, out),
            Body::Asked { .. } | Body::Answer { .. } => self.asking(session, event, out),
            Body::Held { .. } | Body::Decided { .. } => self.people(session, event, out),
            Body::Vitals { values } => {
                let values: Vec<_> = values
                    .iter()
                    .map(|(id, value)| format!("{id}={value}"))
                    .collect();
                let text = self.fit(&values.join(" "), 0);
                let gutter = gutter_of(session, event)("~", "vitals", Paint::DIM);
                self.line(&gutter, &self.style.paint(Paint::DIM, &text), out);
            }
            Body::Dropped { count } => {
                let text = format!("{count} events are missing here: the disk could not keep up");
                let gutter = gutter_of(session, event)("⋯", "dropped", Paint::RED);
                self.line(&gutter, &self.style.paint(Paint::BOLD_RED, &text), out);
            }
            // Joined above.
            Body::Text { .. } => {}
        }
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

pub mod log;
pub mod terminal;
#[cfg(test)]
#[path = "render/tests.rs"]
mod tests;
