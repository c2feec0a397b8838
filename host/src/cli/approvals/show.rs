//! One approval whole: what waits, what led to it, and what can be done.

use serde::Deserialize;
use serde_json::Value;

use super::list::{brief, told, waits, what};
use crate::render::EventRenderer;
use crate::render::style::{Paint, Style, clean, one_line, split_line};
use airlock_core::event::{Event, Micros};
use airlock_core::people::{Approval, Subject, Verdict, digest};

/// What the admin API shows of one.
#[derive(Deserialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    approval: Approval,
    events: Vec<Event>,
}

pub(super) fn render(shown: &Shown, now: Micros, style: &Style) -> String {
    let approval = &shown.approval;
    let mut page = Page {
        style,
        out: String::new(),
    };
    page.line(&format!(
        "{}  {}",
        style.paint(Paint::BOLD, &format!("approval {}", approval.id)),
        match approval.decision() {
            None => style.paint(Paint::BOLD_YELLOW, &waits(approval, now)),
            Some(_) => style.paint(Paint::DIM, "decided"),
        }
    ));
    let facts = format!(
        "{} · session {} #{} · by {} · {} ago",
        what(&approval.subject),
        approval.session.short(),
        approval.exchange,
        one_line(&approval.policy),
        brief(now.saturating_sub(approval.opened))
    );
    page.line(&style.paint(Paint::DIM, &facts));

    page.part("");
    page.text(Paint::BOLD, &approval.title);
    page.text(Paint::PLAIN, &approval.body);
    match &approval.subject {
        Subject::Request => {}
        Subject::Text { text } => {
            page.part("the text");
            page.text(Paint::PLAIN, text);
        }
        Subject::ToolCall { name, arguments } => {
            page.part(&format!("the call of {}", one_line(name)));
            page.text(Paint::CYAN, &readable(arguments));
        }
        Subject::ToolResult { name, text } => {
            page.part(&format!("the result of {}", one_line(name)));
            page.text(Paint::CYAN, &readable(text));
        }
        Subject::Question { choices, .. } if choices.is_empty() => {}
        Subject::Question { choices, .. } => {
            page.part("the choices");
            for choice in choices {
                page.text(Paint::CYAN, &one_line(choice));
            }
        }
    }
    if !approval.context.is_null() {
        page.part("context");
        page.text(Paint::PLAIN, &format!("{:#}", approval.context));
    }
    if !shown.events.is_empty() {
        page.part("what led to it");
        let mut renderer = EventRenderer::new(*style);
        for event in &shown.events {
            page.out += &renderer.event(approval.session, event);
        }
        page.out += &renderer.flush();
    }
    if !approval.notes.is_empty() {
        page.part("notes");
        for note in &approval.notes {
            let ago = brief(now.saturating_sub(note.at));
            let head = format!("{} ({ago} ago): ", one_line(&note.by));
            page.text(Paint::PLAIN, &format!("{head}{}", note.text));
        }
    }
    page.part("");
    page.end(approval, now);
    page.out
}

struct Page<'a> {
    style: &'a Style,
    out: String,
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    /// A blank line, and a heading if there is one.
    fn part(&mut self, heading: &str) {
        self.out.push('\n');
        if !heading.is_empty() {
            self.line(&self.style.paint(Paint::DIM, heading));
        }
    }

    /// All of a text, wrapped; nothing of what a person decides on is left out.
    fn text(&mut self, paint: Paint, text: &str) {
        let text = clean(text);
        let mut rest = text.trim_end();
        let room = self.style.width.map(|width| width.saturating_sub(2));
        while !rest.is_empty() {
            let (line, more) = split_line(rest, room).unwrap_or((rest, ""));
            let line = format!("  {}", self.style.paint(paint, line));
            self.line(&line);
            rest = more;
        }
    }

    fn end(&mut self, approval: &Approval, now: Micros) {
        let Some(decision) = approval.decision() else {
            let id = approval.id.short();
            let edit = match &approval.subject {
                Subject::ToolCall { .. } => " [--edit JSON]",
                Subject::Text { .. } | Subject::ToolResult { .. } => " [--edit TEXT]",
                Subject::Question { choices, .. } if !choices.is_empty() => " --choice CHOICE",
                _ => "",
            };
            self.line(&format!("airlock approvals approve {id}{edit}"));
            self.line(&format!("airlock approvals deny {id} [--note WHY]"));
            return;
        };
        self.out += &told(approval, now, self.style);
        if let Verdict::Edited(text) | Verdict::Chosen(text) = &decision.verdict {
            self.text(Paint::CYAN, &readable(text));
        }
        self.text(Paint::DIM, &decision.note);
    }
}

/// JSON with line breaks, if that shows the very same: not where a key stands twice or a number would lose digits.
fn readable(text: &str) -> String {
    let pretty = serde_json::from_str::<Value>(text).map(|value| format!("{value:#}"));
    match pretty {
        Ok(pretty) if digest::of_tool_call("", &pretty) == digest::of_tool_call("", text) => pretty,
        _ => text.to_owned(),
    }
}
