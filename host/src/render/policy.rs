//! What policies concluded and ordered, what became of it, and how they fared.

use serde_json::Value;

use crate::render::style::{Paint, duration, one_line};
use crate::render::{EventRenderer, Gutter, gutter_of};
use airlock_core::event::key::SessionId;
use airlock_core::event::{Body, Event, Outcome};

impl EventRenderer {
    pub(super) fn policy(&self, session: SessionId, event: &Event, out: &mut String) {
        let style = &self.style;
        let dim = |text: &str| style.paint(Paint::DIM, text);
        let gutter = gutter_of(session, event);
        match &event.body {
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
                    "{} {} at {}, events {}–{}, {}",
                    at_generation(policy, *generation),
                    one_line(role),
                    one_line(checkpoint),
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
                    "{}: {} failed {}",
                    one_line(fault),
                    at_generation(policy, *generation),
                    one_line(on_failure)
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
                let short = one_line(digest.get(..12).unwrap_or(digest));
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
                    "{} from generation {from} to {to}, {}",
                    style.paint(Paint::BOLD, &one_line(policy)),
                    one_line(how)
                );
                self.line(&gutter("⇄", "reload", Paint::MAGENTA), &text, out);
            }
            // The caller's to sort out.
            _ => {}
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
}

fn at_generation(policy: &str, generation: u32) -> String {
    if generation == 0 {
        one_line(policy)
    } else {
        format!("{} g{generation}", one_line(policy))
    }
}

/// JSON in one line; nothing for what says nothing.
pub(super) fn json(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => one_line(text),
        Value::Object(fields) if fields.is_empty() => String::new(),
        value => one_line(&value.to_string()),
    }
}
