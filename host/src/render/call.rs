//! A model call from request to end, and what passed beside.

use crate::render::style::{Paint, count, dollars, duration, one_line, shorten};
use crate::render::{EventRenderer, gutter_of};
use airlock_core::event::key::SessionId;
use airlock_core::event::{Body, Event, Status, Usage};

impl EventRenderer {
    pub(super) fn call(&self, session: SessionId, event: &Event, out: &mut String) {
        let style = &self.style;
        let dim = |text: &str| style.paint(Paint::DIM, text);
        let gutter = gutter_of(session, event);
        match &event.body {
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
            Body::Passage {
                path,
                model,
                upstream,
                status,
                elapsed_us,
                usage,
                cost: _,
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
                        "{model}→ {}  {}{}",
                        one_line(upstream),
                        duration(*elapsed_us),
                        usage.map_or_else(String::new, |usage| format!("  {}", tokens(&usage)))
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
            // The caller's to sort out.
            _ => {}
        }
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

/// The word that stands for it in JSON.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .as_ref()
        .and_then(serde_json::Value::as_str)
        .unwrap_or("?")
        .to_owned()
}
