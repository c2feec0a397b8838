//! Colours, widths and clean text for the terminal.
//!
//! Everything that is printed may come from a model or a tool. Control characters are therefore made visible: an escape sequence
//! in a tool's result must not clear the screen of whoever investigates it, nor a right-to-left override turn a command around.
//! What leaves for a terminal passes [`crate::render::terminal`], which does so once more.

use std::io::IsTerminal;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How a colour is switched on (SGR parameters).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(&'static str);

#[allow(missing_docs, reason = "the names say it")]
impl Paint {
    pub const PLAIN: Self = Self("");
    pub const BOLD: Self = Self("1");
    pub const DIM: Self = Self("2");
    pub const DIM_ITALIC: Self = Self("2;3");
    pub const RED: Self = Self("31");
    pub const GREEN: Self = Self("32");
    pub const YELLOW: Self = Self("33");
    pub const BLUE: Self = Self("34");
    pub const MAGENTA: Self = Self("35");
    pub const CYAN: Self = Self("36");
    pub const BOLD_RED: Self = Self("1;31");
    pub const BOLD_GREEN: Self = Self("1;32");
    pub const BOLD_YELLOW: Self = Self("1;33");
    pub const BOLD_CYAN: Self = Self("1;36");
    /// White on red: what a policy stopped.
    pub const ALARM: Self = Self("1;97;41");
    /// Black on green: what a policy did.
    pub const ACTION: Self = Self("1;30;42");

    /// One of six, to tell neighbours apart.
    pub fn of_number(number: u64) -> Self {
        [
            Self::CYAN,
            Self::MAGENTA,
            Self::BLUE,
            Self::GREEN,
            Self::YELLOW,
            Self::RED,
        ][(number % 6) as usize]
    }
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether to use colours.
    pub color: bool,
    /// Columns; `None`: lines may be as long as they are, nothing is wrapped or shortened.
    pub width: Option<usize>,
}

impl Style {
    /// For a file, a pipe, a test.
    pub const PLAIN: Self = Self {
        color: false,
        width: None,
    };

    /// For standard output as it is: colours on a terminal unless `NO_COLOR` is set (<https://no-color.org>) or the
    /// terminal is dumb; the terminal's width, else `COLUMNS`, else 100.
    pub fn of_stdout() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self::PLAIN;
        }
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let width = rustix::termios::tcgetwinsize(std::io::stdout())
            .map_or(0, |size| usize::from(size.ws_col));
        let columns = || std::env::var("COLUMNS").ok()?.parse().ok();
        let width = Some(width)
            .filter(|width| *width > 0)
            .or_else(columns)
            .unwrap_or(100);
        Self {
            color: !dumb && !set("NO_COLOR"),
            // Narrower than this nothing is readable, wrapped or not.
            width: Some(width.max(60)),
        }
    }

    /// The text in a colour, and nothing in it that the terminal acts on.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        let text = clean(text);
        if !self.color || paint == Paint::PLAIN || text.is_empty() {
            return text;
        }
        format!("\x1b[{}m{text}\x1b[0m", paint.0)
    }
}

/// Text without anything that a terminal acts on; line ends stay.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c == '\n' { c } else { visible(c) })
        .collect()
}

/// What is shown of a character: itself, unless a terminal acts on it, or it is invisible and changes what is read.
pub fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        // The pictures of C0 controls stand in their order from U+2400 on.
        '\0'..='\x1f' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        // C1 controls; the soft hyphen; marks, overrides and isolates of direction; separators of lines; fillers, tags and
        // what else is invisible and can be copied.
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => '\u{fffd}',
        _ => c,
    }
}

/// The same, where further lines are set off: none of them can look like a line of its own.
pub fn indented(text: &str) -> String {
    clean(text).replace('\n', "\n            ")
}

/// The same, in one line.
pub fn one_line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// At most `width` columns; what is cut off is shown as an ellipsis.
pub fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let at = fitting(text, width.saturating_sub(1));
    format!("{}…", text[..at].trim_end())
}

/// Left-aligned in `width` columns.
pub fn pad(text: &str, width: usize) -> String {
    let text = shorten(text, width);
    let fill = width.saturating_sub(text.width());
    format!("{text}{:fill$}", "")
}

/// Splits off the first line of at most `width` columns: at a line end, else at a space, else where it must be. `None`:
/// the whole text is shorter, and more may follow.
pub fn split_line(text: &str, width: Option<usize>) -> Option<(&str, &str)> {
    let end = text.find('\n');
    let line = &text[..end.unwrap_or(text.len())];
    match width {
        Some(width) if line.width() > width => {
            let at = fitting(line, width.max(1)).max(line.chars().next().map_or(0, char::len_utf8));
            // A word is moved to the next line unless it takes most of this one.
            let space = line[..at]
                .rfind(' ')
                .filter(|space| *space > at / 2 || line[at..].starts_with(' '));
            let at = if line[at..].starts_with(' ') {
                at
            } else {
                space.unwrap_or(at)
            };
            Some((&text[..at], text[at..].trim_start_matches(' ')))
        }
        _ => end.map(|end| (line, &text[end + 1..])),
    }
}

/// Bytes of the longest beginning that fits into `width` columns.
fn fitting(text: &str, width: usize) -> usize {
    let mut columns = 0;
    for (at, c) in text.char_indices() {
        columns += c.width().unwrap_or(0);
        if columns > width {
            return at;
        }
    }
    text.len()
}

/// `1.2 s`, `340 ms`, `17 µs`, `3 min 5 s`.
pub fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        1_000_000..60_000_000 => format!("{:.1} s", us as f64 / 1e6),
        60_000_000..3_600_000_000 => format!("{} min {} s", us / 60_000_000, us / 1_000_000 % 60),
        3_600_000_000..86_400_000_000 => {
            format!("{} h {} min", us / 3_600_000_000, us / 60_000_000 % 60)
        }
        _ => format!("{} d", us / 86_400_000_000),
    }
}

/// Microdollars as dollars: two digits that matter, at least cents.
pub fn dollars(micros: u64) -> String {
    match micros {
        0 => "$0".into(),
        1..10_000 => format!("${:.6}", micros as f64 / 1e6)
            .trim_end_matches('0')
            .to_owned(),
        _ => format!("${:.2}", micros as f64 / 1e6),
    }
}

/// `812`, `4.1k`, `1.2M`.
pub fn count(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..1_000_000 => format!("{:.1}k", number as f64 / 1e3),
        _ => format!("{:.1}M", number as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_a_model_says_cannot_command_the_terminal() {
        let hostile = "a\x1b[2Jb\x07\u{9b}31m\u{202e}c\r\nd\te";
        let clean = clean(hostile);
        assert_eq!(clean, "a␛[2Jb␇\u{fffd}31m\u{fffd}c␍\nd e");
        assert!(one_line(hostile).chars().all(|c| !c.is_control()));
    }

    #[test]
    fn lines_break_at_spaces_and_words_only_if_they_must() {
        let mut rest = "the quick brown fox\njumps averyveryverylongword 日本語日本語";
        let mut lines = Vec::new();
        while let Some((line, more)) = split_line(rest, Some(10)) {
            lines.push(line);
            rest = more;
        }
        lines.push(rest);
        assert_eq!(
            lines,
            [
                "the quick",
                "brown fox",
                "jumps aver",
                "yveryveryl",
                "ongword",
                "日本語日本",
                "語"
            ]
        );
        assert!(lines.iter().all(|line| line.width() <= 10));
        assert_eq!(split_line("no end", None), None);
    }

    #[test]
    fn amounts_read_well() {
        assert_eq!(
            [0, 42, 3_100, 12_345, 2_500_000].map(dollars),
            ["$0", "$0.000042", "$0.0031", "$0.01", "$2.50"]
        );
        assert_eq!(
            [17, 340_000, 1_240_000, 185_000_000].map(duration),
            ["17 µs", "340 ms", "1.2 s", "3 min 5 s"]
        );
        assert_eq!(shorten("日本語", 5), "日本…");
        assert_eq!(pad("ab", 4), "ab  ");
    }
}
