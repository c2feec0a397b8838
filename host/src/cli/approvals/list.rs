//! Approvals as a table, and one as a line.

use unicode_width::UnicodeWidthStr as _;

use crate::render::style::{Paint, Style, duration, one_line, pad, shorten};
use airlock_core::event::Micros;
use airlock_core::people::{Approval, OnTimeout, Subject, Verdict};

/// Columns that a call's arguments may have.
const ARGUMENTS: usize = 48;
/// Columns that a title should have.
const TITLE: usize = 24;

/// The table; with `all`, decided ones are expected in it.
pub(super) fn render(approvals: &[Approval], all: bool, now: Micros, style: &Style) -> String {
    if approvals.is_empty() {
        return if all {
            "Nothing waits for a person, and nothing was decided.\n".to_owned()
        } else {
            "Nothing waits for a person.\n".to_owned()
        };
    }
    let cells: Vec<_> = approvals
        .iter()
        .map(|approval| Cells::of(approval, now))
        .collect();
    let widest = |width: fn(&Cells) -> usize, head: usize| {
        cells.iter().map(width).max().unwrap_or(0).max(head)
    };
    let state = widest(|cells| cells.state.width(), 5);
    let mut policy = widest(|cells| cells.policy.width(), 6);
    let mut what = widest(|cells| cells.what.width(), 4);
    let mut session = 8;
    // The title says most: on a narrow terminal the other columns give way to it.
    let rest = |taken: usize| style.width.map(|width| width.saturating_sub(taken));
    let title = |session: usize, policy: usize, what: usize| {
        let session = if session > 0 { session + 2 } else { 0 };
        rest(8 + 2 + state + 2 + session + policy + 2 + what + 2)
    };
    if title(session, policy, what).is_some_and(|room| room < TITLE) {
        (policy, what) = (policy.min(16), what.min(28));
    }
    if title(session, policy, what).is_some_and(|room| room < TITLE) {
        session = 0;
    }
    if title(session, policy, what).is_some_and(|room| room < TITLE) {
        (policy, what) = (policy.min(10), what.min(20));
    }
    let title = title(session, policy, what);
    let line = |id: String, state: String, of: &str, by: &str, item: &str, words: &str| {
        let session = match session {
            0 => String::new(),
            width => style.paint(Paint::DIM, &pad(of, width)) + "  ",
        };
        let words = match title {
            Some(room) => shorten(words, room.max(8)),
            None => words.to_owned(),
        };
        let text = format!(
            "{id}  {state}  {session}{}  {}  {words}",
            pad(by, policy),
            pad(item, what)
        );
        text.trim_end().to_owned() + "\n"
    };
    let dim = |text: &str, width| style.paint(Paint::DIM, &pad(text, width));
    let mut out = line(
        dim("APPROVAL", 8),
        dim("STATE", state),
        "SESSION",
        "POLICY",
        "WHAT",
        "TITLE",
    );
    for (approval, cells) in approvals.iter().zip(&cells) {
        out += &line(
            style.paint(Paint::BOLD_YELLOW, &approval.id.short()),
            style.paint(cells.paint, &pad(&cells.state, state)),
            &approval.session.short(),
            &cells.policy,
            &cells.what,
            &one_line(&approval.title),
        );
    }
    out
}

/// What a row says, in one line each.
struct Cells {
    state: String,
    paint: Paint,
    policy: String,
    what: String,
}

impl Cells {
    fn of(approval: &Approval, now: Micros) -> Self {
        let (paint, state) = state(approval, now);
        Self {
            state,
            paint,
            policy: one_line(&approval.policy),
            what: called(&approval.subject),
        }
    }
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

/// The same with the beginning of the arguments, which are what a person decides on.
fn called(subject: &Subject) -> String {
    match subject {
        Subject::ToolCall { name, arguments } => format!(
            "{}({})",
            one_line(name),
            shorten(&one_line(arguments), ARGUMENTS)
        ),
        other => what(other),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    fn approval(state: serde_json::Value) -> Approval {
        let mut value = json!({
            "id": "1f2e3d4c5b6a7988", "session": format!("{:032x}", 1), "exchange": 1, "policy": "context-pressure\u{1b}[2J",
            "subject": {"kind": "tool-call", "name": "delete_account_of_customer", "arguments": "{}"},
            "digest": format!("{:032x}", 2), "title": "Shall this be done, although it cannot be undone?", "body": "",
            "opened": 0, "deadline": 720_000_000, "on_timeout": "block", "state": "open",
        });
        if !state.is_null() {
            value["state"] = json!("decided");
            value["decision"] = state;
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_row_fits_the_terminal_and_the_title_keeps_its_room() {
        let decided =
            json!({"verdict": "timed-out", "by": "airlock", "note": "", "at": 60_000_000});
        let approvals = [approval(json!(null)), approval(decided)];
        for (width, session) in [(80, false), (160, true)] {
            let style = Style {
                color: false,
                width: Some(width),
            };
            let table = render(&approvals, true, 120_000_000, &style);
            for line in table.lines() {
                assert!(line.width() <= width, "{}: {line}", line.width());
            }
            assert!(
                table.contains("10 min left") && table.contains("timed out 1 min ago"),
                "{table}"
            );
            assert_eq!(table.contains("SESSION"), session, "{table}");
            assert!(
                table.contains("Shall this") && !table.contains('\x1b'),
                "{table}"
            );
        }
    }

    #[test]
    fn the_list_shows_the_arguments_shortened_and_in_one_line() {
        let mut one = approval(json!(null));
        one.subject = Subject::ToolCall {
            name: "pay".into(),
            arguments: format!(
                "{{\"to\":\"evil\x1b[2J\",\r\n\"memo\":\"{}\"}}",
                "x".repeat(500)
            ),
        };
        let table = render(&[one], false, 0, &Style::PLAIN);
        let shown = "pay({\"to\":\"evil\u{241b}[2J\",";
        assert!(table.contains(shown), "{table}");
        assert!(
            !table.contains(&"x".repeat(60)) && table.lines().count() == 2,
            "{table}"
        );
    }

    #[test]
    fn nothing_waits_is_said_so() {
        assert_eq!(
            render(&[], false, 0, &Style::PLAIN),
            "Nothing waits for a person.\n"
        );
    }
}
