//! What waits for people, and what they decided.

use crate::render::style::{Paint, duration, one_line};
use crate::render::{EventRenderer, gutter_of};
use airlock_core::event::key::SessionId;
use airlock_core::event::{Body, Event, OnTimeout};

impl EventRenderer {
    pub(super) fn people(&self, session: SessionId, event: &Event, out: &mut String) {
        let gutter = gutter_of(session, event);
        let style = &self.style;
        match &event.body {
            Body::Held {
                approval,
                policy,
                subject,
                name,
                title,
                until,
                on_timeout,
            } => {
                let default = match on_timeout {
                    OnTimeout::Release => "released",
                    OnTimeout::Block => "blocked",
                };
                let what = if name.is_empty() {
                    one_line(subject)
                } else {
                    format!("{} {}", one_line(subject), one_line(name))
                };
                let short = approval.get(..8).unwrap_or(approval);
                let head = format!("{short}  {what}  by {}", one_line(policy));
                let rest = format!("{default} in {}", duration(until.saturating_sub(event.at)));
                let title = self.fit(&one_line(title), head.len() + rest.len() + 4);
                let text = format!(
                    "{}  {}  by {}  {title}  {}",
                    style.paint(Paint::BOLD_YELLOW, short),
                    style.paint(Paint::BOLD, &what),
                    one_line(policy),
                    style.paint(Paint::DIM, &rest)
                );
                self.line(&gutter("⏸", "held", Paint::BOLD_YELLOW), &text, out);
            }
            Body::Decided {
                approval,
                verdict,
                by,
                note,
            } => {
                let (symbol, paint) = match verdict.as_str() {
                    "denied" => ("✗", Paint::BOLD_RED),
                    "timed-out" => ("⏱", Paint::BOLD_YELLOW),
                    _ => ("✔", Paint::BOLD_GREEN),
                };
                let short = approval.get(..8).unwrap_or(approval);
                let by = one_line(by);
                let note = self.fit(&one_line(note), short.len() + verdict.len() + by.len() + 9);
                let text = format!(
                    "{}  {}  by {by}  {}",
                    style.paint(Paint::BOLD_YELLOW, short),
                    style.paint(paint, verdict),
                    style.paint(Paint::DIM, &note)
                );
                self.line(&gutter(symbol, "decided", paint), &text, out);
            }
            // The caller's to sort out.
            _ => {}
        }
    }
}
