//! Approvals as a table, and one as a line.

use crate::cli::render::style::{Paint, Style, duration, one_line, pad, shorten};
use crate::people::{Approval, OnTimeout, Subject, Verdict};
use crate::session::event::Micros;

/// The table; with `all`, decided ones are expected in it.
pub(super) fn render(approvals: &[Approval], all: bool, now: Micros, style: &Style) -> String {
    if approvals.is_empty() {
        return if all {
            "Nothing waits for a person, and nothing was decided.\n".to_owned()
        } else {
            "Nothing waits for a person.\n".to_owned()
        };
    }
    let state_width = if all { 22 } else { 12 };
    let room = style
        .width
        .map(|width| width.saturating_sub(8 + 2 + state_width + 2 + 8 + 2));
    let (policy_width, what_width) = match room {
        Some(room) if room < 60 => (10, 20),
        _ => (14, 28),
    };
    let title_width = room.map(|room| room.saturating_sub(policy_width + 2 + what_width + 2));
    let title = |text: &str| match title_width {
        Some(width) => shorten(text, width.max(8)),
        None => text.to_owned(),
    };
    let header = format!(
        "{:<8}  {:<state_width$}  {:<8}  {:<policy_width$}  {:<what_width$}  TITLE",
        "APPROVAL", "STATE", "SESSION", "POLICY", "WHAT"
    );
    let mut out = style.paint(Paint::DIM, &header) + "\n";
    for approval in approvals {
        let (paint, state) = state(approval, now);
        let line = format!(
            "{}  {}  {}  {}  {}  {}",
            style.paint(Paint::BOLD_YELLOW, &approval.id.short()),
            style.paint(paint, &pad(&state, state_width)),
            style.paint(Paint::DIM, &approval.session.short()),
            pad(&one_line(&approval.policy), policy_width),
            pad(&what(&approval.subject), what_width),
            title(&one_line(&approval.title)),
        );
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// One line about what became of an approval.
pub(super) fn told(approval: &Approval, now: Micros, style: &Style) -> String {
    let id = style.paint(Paint::BOLD_YELLOW, &approval.id.short());
    let what = what(&approval.subject);
    match approval.decision() {
        Some(decision) => {
            let (paint, _) = state(approval, now);
            let verdict = style.paint(paint, decision.verdict.word());
            format!("{id}  {verdict}  {what}  by {}\n", one_line(&decision.by))
        }
        None => format!("{id}  {what}  {}\n", waits(approval, now)),
    }
}

/// What waits, in a few words: `send_email()`, `tool result search`, `request`.
pub(super) fn what(subject: &Subject) -> String {
    let kind = subject.kind().replace('-', " ");
    match one_line(subject.name()) {
        name if name.is_empty() => kind,
        name if matches!(subject, Subject::ToolCall { .. }) => format!("{name}()"),
        name => format!("{kind} {name}"),
    }
}

/// How long it still waits, and what then.
pub(super) fn waits(approval: &Approval, now: Micros) -> String {
    let default = match approval.on_timeout {
        OnTimeout::Release => "released",
        OnTimeout::Block => "blocked",
    };
    format!("waits; {default} {}", in_time(approval.deadline, now))
}

/// State in a cell: `12 min left`, `denied 3 min ago`.
fn state(approval: &Approval, now: Micros) -> (Paint, String) {
    let Some(decision) = approval.decision() else {
        let left = approval.deadline.saturating_sub(now);
        let text = if left == 0 {
            "due".to_owned()
        } else {
            format!("{} left", brief(left))
        };
        // The last minutes should catch the eye.
        let paint = if left < 120_000_000 {
            Paint::BOLD_RED
        } else {
            Paint::YELLOW
        };
        return (paint, text);
    };
    let paint = match decision.verdict {
        Verdict::Approved | Verdict::Edited(_) | Verdict::Chosen(_) => Paint::GREEN,
        Verdict::Denied => Paint::RED,
        Verdict::TimedOut => Paint::YELLOW,
    };
    let word = decision.verdict.word().replace('-', " ");
    let ago = brief(now.saturating_sub(decision.at));
    (paint, format!("{word} {ago} ago"))
}

fn in_time(at: Micros, now: Micros) -> String {
    match at.saturating_sub(now) {
        0 => "now".to_owned(),
        left => format!("in {}", brief(left)),
    }
}

/// A duration in its largest unit: `40 s`, `12 min`, `3 h`.
pub(super) fn brief(us: u64) -> String {
    let text = duration(us.max(1_000_000));
    let mut words = text.split(' ');
    let (number, unit) = (words.next().unwrap_or_default(), words.next());
    let whole = number.split('.').next().unwrap_or_default();
    format!("{whole} {}", unit.unwrap_or_default())
}
