//! What the demo shows: the timelines as they grow, and beside them what no timeline knows: what the agent heard and what
//! the operator did.
//!
//! Readable without a terminal too: colours go away, the words stay.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::render::style::{Paint, Style, pad, split_line};
use crate::render::{EventRenderer, terminal};
use airlock_core::event::clock::now;
use airlock_core::event::key::SessionId;
use airlock_core::event::{Body, Event, Micros, Role, Status};

/// Who a line is about that is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The scripted agent.
    Agent,
    /// What the agent was given of what the model said.
    Hears,
    /// Whoever runs Airlock.
    Operator,
    /// Airlock itself, outside of any session.
    Airlock,
}

impl Who {
    fn look(self) -> (&'static str, &'static str, Paint) {
        match self {
            Self::Agent => ("☻", "agent", Paint::BOLD_CYAN),
            Self::Hears => ("☻", "hears", Paint::CYAN),
            Self::Operator => ("⚙", "operator", Paint::BOLD),
            Self::Airlock => ("■", "airlock", Paint::BOLD_YELLOW),
        }
    }
}

/// Columns before the text, as the renderer of events has them: time, symbol, exchange, label.
const GUTTER: usize = 25;
/// Lines that a wide terminal would make too long to read.
const MAX_WIDTH: usize = 120;

/// Where there is no terminal to ask.
const PLAIN_WIDTH: usize = 110;
/// How often the same generation of a policy is shown doing the same thing.
const OFTEN_ENOUGH: u32 = 2;

/// The one place that prints. Lines of several tasks do not mix.
pub struct Screen {
    style: Style,
    state: Mutex<State>,
}

struct State {
    renderer: EventRenderer,
    began: Micros,
    /// Heard, and not yet a whole line.
    heard: String,
    /// How often each policy's generation found or did something in this scene.
    shown: HashMap<(String, u32, String), u32>,
}

impl Screen {
    /// A screen on standard output.
    pub fn new() -> Self {
        let mut style = Style::of_stdout();
        style.width = Some(style.width.unwrap_or(PLAIN_WIDTH).min(MAX_WIDTH));
        let began = now();
        let renderer = EventRenderer::new(style).since(began);
        Self {
            style,
            state: Mutex::new(State {
                renderer,
                began,
                heard: String::new(),
                shown: HashMap::new(),
            }),
        }
    }

    /// A heading, after which times count from zero.
    pub fn heading(&self, number: &str, title: &str, story: &str) {
        let mut state = self.flushed();
        state.began = now();
        state.shown.clear();
        state.renderer = EventRenderer::new(self.style).since(state.began);
        let head = format!("── {number} ── {title} ");
        let rule = "─".repeat(self.width().saturating_sub(head.chars().count()));
        self.print(&format!(
            "\n{}\n",
            self.style.paint(Paint::BOLD, &format!("{head}{rule}"))
        ));
        for line in self.wrap(story, 4).iter().filter(|line| !line.is_empty()) {
            self.print(&format!("   {}\n", self.style.paint(Paint::DIM, line)));
        }
        self.print("\n");
    }

    /// An event of a session, if a person in the audience wants to know of it.
    pub fn event(&self, session: SessionId, event: &Event) {
        let mut state = self.state();
        if is_interesting(&event.body) && !state.is_stale(&event.body) {
            let lines = state.renderer.event(session, event);
            self.print(&lines);
        }
    }

    /// Something that is no event.
    pub fn line(&self, who: Who, text: &str) {
        let state = self.flushed();
        self.gutter_lines(&state, who, text);
    }

    /// A piece of what the agent hears; shown line by line.
    pub fn hears(&self, text: &str) {
        let mut state = self.state();
        state.heard.push_str(text);
        let width = self.width() - GUTTER;
        while let Some((line, rest)) = split_line(&state.heard, Some(width)) {
            let (line, rest) = (line.to_owned(), rest.to_owned());
            self.gutter_lines(&state, Who::Hears, line.trim());
            state.heard = rest;
        }
    }

    /// The end of what the agent hears.
    pub fn heard(&self) {
        drop(self.flushed());
    }

    /// The result of a scene.
    pub fn result(&self, good: bool, text: &str) {
        let _state = self.flushed();
        let (mark, paint) = if good {
            ("✔", Paint::BOLD_GREEN)
        } else {
            ("✘", Paint::BOLD_RED)
        };
        self.print("\n");
        for (index, line) in self.wrap(text, 5).iter().enumerate() {
            let mark = if index == 0 { mark } else { " " };
            self.print(&format!(
                "   {}\n",
                self.style.paint(paint, &format!("{mark} {line}"))
            ));
        }
    }

    /// Text as it is.
    pub fn plain(&self, text: &str) {
        let _state = self.flushed();
        self.print(&format!("{text}\n"));
    }

    /// A table: the first row is its head, the first column a mark.
    pub fn table(&self, rows: &[Vec<String>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                cells(column)
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let _state = self.flushed();
        for (index, row) in rows.iter().enumerate() {
            let line: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| pad(cell, *width))
                .collect();
            let paint = match row.first().map(String::as_str) {
                _ if index == 0 => Paint::BOLD,
                Some("✔") => Paint::GREEN,
                _ => Paint::BOLD_RED,
            };
            self.print(&format!(
                "   {}\n",
                self.style.paint(paint, line.join("  ").trim_end())
            ));
        }
    }

    /// Text in a colour, where there are colours.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        self.style.paint(paint, text)
    }

    fn gutter_lines(&self, state: &State, who: Who, text: &str) {
        let (symbol, label, paint) = who.look();
        let seconds = now().saturating_sub(state.began) as f64 / 1e6;
        for (index, line) in self.wrap(text, GUTTER).iter().enumerate() {
            let gutter = if index == 0 {
                let time = self
                    .style
                    .paint(Paint::DIM, &format!("{:>8} ", format!("+{seconds:.3}")));
                format!(
                    "{time}{}     {}",
                    self.style.paint(paint, symbol),
                    self.style.paint(paint, &pad(label, 10))
                )
            } else {
                " ".repeat(GUTTER)
            };
            self.print(&format!("{gutter}{line}\n"));
        }
    }

    /// The state, with everything that gathers printed.
    fn flushed(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let rest = std::mem::take(&mut state.heard);
        let lines = state.renderer.flush();
        self.print(&lines);
        if !rest.trim().is_empty() {
            self.gutter_lines(&state, Who::Hears, rest.trim());
        }
        state
    }

    fn wrap(&self, text: &str, indent: usize) -> Vec<String> {
        let mut lines = Vec::new();
        let mut rest = text;
        while let Some((line, more)) = split_line(rest, Some(self.width() - indent)) {
            lines.push(line.to_owned());
            rest = more;
        }
        lines.push(rest.to_owned());
        lines
    }

    fn width(&self) -> usize {
        self.style.width.unwrap_or(MAX_WIDTH)
    }

    /// The lock guards a renderer and a clock, which no panic leaves half-made.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A closed pipe (`| head`) ends what is shown, not the demo.
    fn print(&self, text: &str) {
        terminal::print_coloured(text);
    }
}

impl State {
    /// Whether the audience has seen this often enough.
    fn is_stale(&mut self, body: &Body) -> bool {
        let (policy, generation, what) = match body {
            Body::Finding {
                policy,
                generation,
                finding,
                ..
            } => (policy, generation, finding),
            Body::Intervention {
                policy,
                generation,
                action,
                ..
            } => (policy, generation, action),
            _ => return false,
        };
        let shown = self
            .shown
            .entry((policy.clone(), *generation, what.clone()))
            .or_default();
        *shown += 1;
        // The ledger and the operator's table have no generations, and what they do is rare.
        *generation > 0 && *shown > OFTEN_ENOUGH
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

/// What tells the story. The rest is in `airlock timeline`.
fn is_interesting(body: &Body) -> bool {
    match body {
        Body::Message { role, .. } => matches!(role, Role::System | Role::Developer),
        Body::ResponseEnd { status, .. } => *status != Status::Complete,
        // The note itself is shown.
        Body::Intervention { action, .. } => action != "annotate",
        Body::SessionOpened { .. }
        | Body::FirstToken { .. }
        | Body::Vitals { .. }
        | Body::PolicyCall { .. } => false,
        _ => true,
    }
}
