//! `airlock timeline <session>`: what happened in a session, in order.
//!
//! Reads the database itself, so that it works while the server runs and after it ended. `--follow` asks the database again and
//! again; it is as far behind as the store's group commit.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::render::EventRenderer;
use crate::render::style::{Paint, Style, dollars, one_line};
use airlock_core::event::Event;
use airlock_core::event::key::SessionId;
use airlock_core::store::SessionRow;
use airlock_core::store::reader::Reader;

/// Events read at a time.
const PAGE: usize = 1000;
/// Between two looks of `--follow`.
const POLL: Duration = Duration::from_millis(200);
/// Looks without news after which text that does not fill a line is printed all the same.
const QUIET: u32 = 5;

/// Which timeline to print.
#[derive(Args, Clone, Debug)]
pub struct TimelineArgs {
    /// The session: the beginning of its id, or `last`.
    #[arg(default_value = "last")]
    pub session: String,
    /// Go on with what comes, until interrupted.
    #[arg(short, long)]
    pub follow: bool,
    /// Only events after this sequence number.
    #[arg(long, default_value_t = 0)]
    pub after: u64,
    /// Calls of policies and vitals too.
    #[arg(short, long)]
    pub all: bool,
}

/// Prints a timeline of the database at `path`, for people or as one JSON object a line. With `follow` it returns only when printing fails, which is what
/// happens when the pipe is closed.
///
/// # Errors
/// When the database cannot be read, no single session fits, or nothing can be printed.
pub fn run(
    path: &Path,
    args: &TimelineArgs,
    json: bool,
    style: Style,
    out: &mut impl Write,
) -> Result<()> {
    let reader = Reader::open(path)?;
    let session = reader.resolve(&args.session)?;
    let mut printer = Printer {
        renderer: EventRenderer::new(style).verbose(args.all),
        json,
    };
    if !json && let Some(row) = reader.session(session)? {
        writeln!(out, "{}\n", head(&row, &style))?;
        // Times are told from the beginning, wherever the print begins.
        printer.renderer = printer.renderer.since(row.opened);
    }
    let mut after = args.after;
    let mut quiet = 0;
    loop {
        let events = reader.timeline(session, after, PAGE)?;
        for event in &events {
            out.write_all(printer.event(session, event)?.as_bytes())?;
        }
        after = events.last().map_or(after, |event| event.seq);
        if !events.is_empty() {
            quiet = 0;
            out.flush()?;
        } else if !args.follow {
            break;
        } else {
            quiet += 1;
            if quiet == QUIET {
                out.write_all(printer.renderer.flush().as_bytes())?;
                out.flush()?;
            }
            std::thread::sleep(POLL);
        }
    }
    out.write_all(printer.renderer.flush().as_bytes())?;
    if !json && let Some(row) = reader.session(session)? {
        writeln!(out, "\n{}", totals(&row, &style))?;
    }
    Ok(())
}

struct Printer {
    renderer: EventRenderer,
    json: bool,
}

impl Printer {
    fn event(&mut self, session: SessionId, event: &Event) -> Result<String> {
        if self.json {
            return Ok(serde_json::to_string(event)? + "\n");
        }
        Ok(self.renderer.event(session, event))
    }
}

fn head(row: &SessionRow, style: &Style) -> String {
    let mut text = style.paint(Paint::BOLD, &format!("session {}", row.id));
    let value = one_line(&row.key.value);
    if !value.is_empty() {
        text += &style.paint(Paint::DIM, &format!("  {value}"));
    }
    if let Some(parent) = row.parent {
        text += &style.paint(Paint::DIM, &format!("  started by {}", parent.short()));
    }
    text
}

fn totals(row: &SessionRow, style: &Style) -> String {
    let counters = &row.counters;
    let mut parts = vec![
        format!("{} events", counters.events),
        format!("{} calls", counters.exchanges),
        format!(
            "{} + {} tokens",
            counters.input_tokens, counters.output_tokens
        ),
        dollars(counters.cost),
        format!("{} findings", counters.findings),
        format!("{} actions", counters.applied),
    ];
    if counters.dropped > 0 {
        parts.push(format!("{} events missing", counters.dropped));
    }
    if !row.replayable {
        parts.push("not replayable".into());
    }
    style.paint(Paint::DIM, &parts.join(" · "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Arc;

    use super::*;
    use airlock_core::event::clock::now;
    use airlock_core::event::key::SessionKey;
    use airlock_core::event::{Body, Channel, Place};
    use airlock_core::session::feed::Feed;
    use airlock_core::session::timeline::{Recorder, Timeline};
    use airlock_core::store::capture::Capture;
    use airlock_core::store::sqlite::{Options, SqliteStore};
    use airlock_core::store::{SessionHead, Store};

    /// A terminal that is closed after some lines.
    struct Pipe(Vec<u8>, usize);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.extend_from_slice(bytes);
            if self.0.iter().filter(|byte| **byte == b'\n').count() >= self.1 {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn prints_a_timeline_and_follows_it() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::in_directory(dir.path(), 0);
        let path = options.path.clone();
        let store = Arc::new(SqliteStore::open(options).unwrap());
        let key = SessionKey {
            tenant: "t".into(),
            principal: "p".into(),
            source: "s".into(),
            value: "v".into(),
        };
        let session = key.id();
        store.open_session(
            session,
            SessionHead {
                key,
                opened: now(),
                parent: None,
                seed: 1,
                whole: true,
            },
        );
        let timeline = Timeline::new(
            session,
            1,
            Recorder {
                store: store.clone(),
                feed: Feed::new(),
                capture: Capture::Full,
            },
        );
        let place = Place::new(Channel::Output, 0, 0);
        for text in ["Hel", "lo", " there"] {
            timeline.append(
                1,
                Body::Text {
                    place,
                    offset: 0,
                    text: text.into(),
                    bytes: 0,
                    tokens: 1,
                },
            );
        }
        store.flush().unwrap();
        let args = TimelineArgs {
            session: session.short(),
            follow: false,
            after: 0,
            all: false,
        };
        let mut out = Vec::new();
        run(&path, &args, false, Style::PLAIN, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("output    Hello there\n"), "{text}");

        let mut json = Vec::new();
        run(
            &path,
            &TimelineArgs {
                after: 1,
                ..args.clone()
            },
            true,
            Style::PLAIN,
            &mut json,
        )
        .unwrap();
        let seqs: Vec<_> = String::from_utf8(json)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Event>(line).unwrap().seq)
            .collect();
        assert_eq!(seqs, [2, 3]);

        let follow = TimelineArgs {
            follow: true,
            ..args
        };
        let follower = std::thread::spawn(move || {
            let mut pipe = Pipe(Vec::new(), 4);
            let error = run(&path, &follow, true, Style::PLAIN, &mut pipe).unwrap_err();
            (error.to_string(), String::from_utf8(pipe.0).unwrap())
        });
        timeline.append(1, Body::FirstToken { after_us: 1 });
        store.flush().unwrap();
        let (_, followed) = follower.join().unwrap();
        assert!(
            followed.lines().nth(3).unwrap().contains("first-token"),
            "{followed}"
        );
    }
}
