//! What policies asked, and what they were told.

use crate::render::policy::json;
use crate::render::style::{Paint, dollars, duration, one_line};
use crate::render::{EventRenderer, gutter_of};
use airlock_core::event::key::SessionId;
use airlock_core::event::{Body, Event};

impl EventRenderer {
    pub(super) fn asking(&self, session: SessionId, event: &Event, out: &mut String) {
        let gutter = gutter_of(session, event);
        let dim = |text: &str| self.style.paint(Paint::DIM, text);
        match &event.body {
            Body::Asked {
                policy,
                target,
                question,
                text,
                deadline,
                ..
            } => {
                let head = format!(
                    "{} asks {}: {}",
                    one_line(policy),
                    one_line(target),
                    one_line(question)
                );
                let rest = format!("within {}", duration(deadline.saturating_sub(event.at)));
                let asked = self.fit(&one_line(text), head.len() + rest.len() + 4);
                let line = format!("{head}  {}  {}", dim(&asked), dim(&rest));
                self.line(&gutter("?", "asked", Paint::BLUE), &line, out);
            }
            Body::Answer {
                policy,
                ticket,
                value,
                usage,
                cost,
                ..
            } => {
                let mut bill = String::new();
                if let Some(usage) = usage {
                    bill = format!(
                        "  {} tokens",
                        u64::from(usage.input) + u64::from(usage.output)
                    );
                }
                if let Some(cost) = cost {
                    bill.push_str(&format!("  {}", dollars(*cost)));
                }
                let head = format!("to {} (ticket {ticket})", one_line(policy));
                let text = self.fit(&json(value), head.len() + bill.len() + 2);
                let line = format!("{head}  {text}{}", dim(&bill));
                self.line(&gutter("↩", "answer", Paint::BLUE), &line, out);
            }
            _ => {}
        }
    }
}
