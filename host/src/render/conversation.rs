//! What was said in a session: messages, tool calls and their results.

use crate::render::style::{Paint, count, duration, one_line};
use crate::render::{EventRenderer, gutter_of};
use airlock_core::event::key::SessionId;
use airlock_core::event::{Body, Event, Role};

impl EventRenderer {
    pub(super) fn conversation(&self, session: SessionId, event: &Event, out: &mut String) {
        let style = &self.style;
        let dim = |text: &str| style.paint(Paint::DIM, text);
        let gutter = gutter_of(session, event);
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
            Body::Part {
                name,
                media_type,
                text,
                bytes,
                ..
            } => {
                let what = [name, media_type, text].map(|word| one_line(word));
                let what: Vec<&str> = what
                    .iter()
                    .map(String::as_str)
                    .filter(|w| !w.is_empty())
                    .collect();
                let size = match bytes {
                    0 => String::new(),
                    bytes => format!("  {}", dim(&format!("{} bytes", count(*bytes)))),
                };
                let text = self.fit(&what.join("  "), size.len()) + &size;
                self.line(&gutter("›", "part", Paint::BLUE), &text, out);
            }
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
            // The caller's to sort out.
            _ => {}
        }
    }
}
