//! The one way to standard output and standard error.
//!
//! Much of what Airlock prints was written by others: models, tools, policies, clients, upstreams. Nothing of it may command the
//! terminal, reach the clipboard, hide, turn a line around, or look like a line of the log. So the writer makes it visible, whoever
//! calls it: renderers that clean what they quote are a second line, and a test sees to it that nothing prints past this file.

use std::io::{self, IsTerminal as _, StderrLock, StdoutLock, Write};

use serde_json::Value;

use crate::render::style::visible;

/// What a writer lets through besides plain text and line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Plain,
    /// Colours.
    Coloured,
    /// Nothing; what is invisible is escaped as JSON has it, so that programs read what was written.
    Json,
    /// One line for each write, with or without colours.
    Log {
        /// Whether colours are let through.
        coloured: bool,
    },
}

/// A writer that escapes. Each write holds whole characters.
#[derive(Debug)]
pub struct Terminal<W> {
    inner: W,
    kind: Kind,
}

/// Standard output.
pub fn stdout(kind: Kind) -> Terminal<StdoutLock<'static>> {
    Terminal {
        inner: io::stdout().lock(),
        kind,
    }
}

/// Standard error.
pub fn stderr(kind: Kind) -> Terminal<StderrLock<'static>> {
    Terminal {
        inner: io::stderr().lock(),
        kind,
    }
}

/// Whether the log may have colours.
pub fn coloured_log() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Prints text without colours, as it is. A closed pipe (`| head`) is no error: the reader has seen enough.
pub fn print(text: &str) {
    let mut out = stdout(Kind::Plain);
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints text that may have colours.
pub fn print_coloured(text: &str) {
    let mut out = stdout(Kind::Coloured);
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints to standard error.
pub fn tell(text: &str) {
    let _ = stderr(Kind::Plain).write_all(text.as_bytes());
}

/// Prints for programs: one JSON value a line. A list is a line for each of its items.
pub fn print_json(value: &Value) {
    let mut out = stdout(Kind::Json);
    let lines = match value {
        Value::Array(items) => items.iter().map(|item| format!("{item}\n")).collect(),
        value => format!("{value}\n"),
    };
    let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
}

impl<W: Write> Write for Terminal<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.inner.write_all(escape(&text, self.kind).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// What is written of a text.
pub fn escape(text: &str, kind: Kind) -> String {
    let (body, end) = match (kind, text.strip_suffix('\n')) {
        (Kind::Log { .. }, Some(body)) => (body, "\n"),
        _ => (text, ""),
    };
    let colours = matches!(kind, Kind::Coloured | Kind::Log { coloured: true });
    let mut out = String::with_capacity(text.len());
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        if colours && let Some(len) = colour(rest) {
            out.push_str(&rest[..len]);
            rest = &rest[len..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        let shown = visible(c);
        match kind {
            _ if c == shown => out.push(c),
            Kind::Plain | Kind::Coloured | Kind::Json if c == '\n' => out.push(c),
            Kind::Json => c
                .encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
            _ => out.push(shown),
        }
    }
    out + end
}

/// Bytes of the colour with which a text begins: `ESC [`, digits and semicolons, `m`.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    // Nothing that is a colour is longer.
    (end <= 16 && parameters[end..].starts_with('m')).then_some(2 + end + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    /// Text as an attacker writes it: mostly what terminals act on.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("\x1b[2J".to_owned()),
            Just("\x1b]8;;http://evil.example\x1b\\".to_owned()),
            Just("\x1b]52;c;ZXZpbA==\x07".to_owned()),
            Just("\x1b[31m".to_owned()),
            Just("\x1b[38;2;1;1;1;1;1;1;1;1;1;1m".to_owned()),
            Just("\r\n2026-01-01T00:00:00Z  INFO airlock: all is well\r\n".to_owned()),
            prop::char::range('\0', '\u{ff}').prop_map(String::from),
            prop::char::range('\u{2000}', '\u{206f}').prop_map(String::from),
            prop::char::range('\u{e0000}', '\u{e007f}').prop_map(String::from),
            any::<char>().prop_map(String::from),
            "[a-z \"\\\\]{0,4}",
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    /// Everything that is not what it looks like, but for line ends.
    fn hidden(text: &str) -> Option<char> {
        text.chars().find(|c| *c != '\n' && visible(*c) != *c)
    }

    fn without_colours(text: &str) -> String {
        let (mut out, mut rest) = (String::new(), text);
        while let Some(c) = rest.chars().next() {
            let len = colour(rest).unwrap_or_else(|| {
                out.push(c);
                c.len_utf8()
            });
            rest = &rest[len..];
        }
        out
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_acts_on_leaves(text in hostile()) {
            prop_assert_eq!(hidden(&escape(&text, Kind::Plain)), None);
            prop_assert_eq!(hidden(&escape(&text, Kind::Json)), None);
            prop_assert_eq!(hidden(&without_colours(&escape(&text, Kind::Coloured))), None);
        }

        #[test]
        fn one_record_of_the_log_is_one_line(text in hostile(), coloured: bool) {
            let line = escape(&format!("{text}\n"), Kind::Log { coloured });
            prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
            prop_assert_eq!(hidden(&without_colours(&line)), None);
        }

        #[test]
        fn programs_read_what_was_written(text in hostile()) {
            let line = escape(&serde_json::to_string(&text).unwrap(), Kind::Json);
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
    }

    #[test]
    fn fields_of_the_log_cannot_forge_colours_or_lines() {
        #[derive(Clone, Default)]
        struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
        impl Write for Shared {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let hostile = "x\r\n\x1b[2J\x1b[32mFORGED\u{202e}\u{9b}2J\0";
        for coloured in [false, true] {
            let shared = Shared::default();
            let to = shared.clone();
            let writer = move || Terminal {
                inner: to.clone(),
                kind: Kind::Log { coloured },
            };
            let filter = tracing_subscriber::EnvFilter::new("info");
            let subscriber = super::super::log::subscriber(filter, writer, coloured);
            let error = io::Error::other(hostile);
            tracing::subscriber::with_default(subscriber, || {
                tracing::error!(debug = ?hostile, display = %hostile, plain = hostile, %error, "{hostile}");
                tracing::error!(error = &error as &dyn std::error::Error, "second");
            });
            let logged = String::from_utf8(shared.0.lock().unwrap().clone()).unwrap();
            assert_eq!(logged.lines().count(), 2, "{logged:?}");
            assert_eq!(hidden(&without_colours(&logged)), None, "{logged:?}");
            assert!(!logged.contains("\x1b[32mFORGED"), "{logged:?}");
        }
    }

    #[test]
    fn no_output_goes_past_the_terminal() {
        let host = Path::new(env!("CARGO_MANIFEST_DIR"));
        let sources = host.join("src");
        let mut folders = vec![
            sources.clone(),
            host.join("core/src"),
            host.join("policy/src"),
        ];
        let mut past = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.to_string_lossy();
                let is_test = name.ends_with("tests.rs") || name.contains("/tests/");
                // A child process answers its parent there, in bytes.
                let is_child = name.ends_with("policy/src/apart.rs");
                if is_test
                    || is_child
                    || path == sources.join("render/terminal.rs")
                    || path.extension() != Some("rs".as_ref())
                {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for way in [
                    "print!(",
                    "println!(",
                    "io::stdout()",
                    "io::stderr()",
                    "io::stderr)",
                    "io::stdout)",
                    "dbg!(",
                ] {
                    let uses = text.lines().filter(|line| {
                        line.contains(way)
                            && !line.contains("is_terminal")
                            && !line.contains("tcgetwinsize")
                            && !line.contains("terminal::")
                            && !line.trim_start().starts_with("//")
                    });
                    past.extend(uses.map(|line| format!("{}: {line}", path.display())));
                }
            }
        }
        assert!(
            past.is_empty(),
            "print by render/terminal.rs:\n{}",
            past.join("\n")
        );
    }
}
