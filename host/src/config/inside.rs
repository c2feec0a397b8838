//! Where in the text of a TOML string a byte of its value stands: a mistake in a condition is shown at its own place, not
//! at the beginning of the line.

/// Offset in `raw`, a TOML string with its quotes, of the byte `offset` of its value. What cannot be followed gives the
/// beginning.
pub(super) fn inside(raw: &str, offset: usize) -> usize {
    let (quotes, escapes) = match raw {
        _ if raw.starts_with("\"\"\"") => (3, true),
        _ if raw.starts_with("'''") => (3, false),
        _ if raw.starts_with('"') => (1, true),
        _ if raw.starts_with('\'') => (1, false),
        _ => return 0,
    };
    let mut at = quotes;
    // A newline right behind the quotes is no part of the value.
    if quotes == 3 {
        let rest = raw.get(at..).unwrap_or_default();
        at += if rest.starts_with("\r\n") {
            2
        } else {
            usize::from(rest.starts_with('\n'))
        };
    }
    let mut value = 0;
    while value < offset {
        let Some((raw_len, value_len)) = raw.get(at..).and_then(|rest| step(rest, escapes)) else {
            return at.min(raw.len());
        };
        at += raw_len;
        value += value_len;
    }
    at
}

/// Length of the next character as it is written, and in the value.
fn step(rest: &str, escapes: bool) -> Option<(usize, usize)> {
    let first = rest.chars().next()?;
    if first != '\\' || !escapes {
        return Some((first.len_utf8(), first.len_utf8()));
    }
    let kind = rest.get(1..)?.chars().next()?;
    let digits = match kind {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        // A backslash at the end of a line swallows the white space that follows.
        _ if kind.is_whitespace() => {
            let kept = rest.get(1..)?.trim_start();
            return Some((rest.len() - kept.len(), 0));
        }
        _ => return Some((1 + kind.len_utf8(), 1)),
    };
    let code = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
    Some((2 + digits, char::from_u32(code)?.len_utf8()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// Where the `!` of the value is written.
    fn found(raw: &str) -> usize {
        let table: toml::Table = format!("v = {raw}").parse().unwrap();
        let offset = table["v"].as_str().unwrap().find('!').unwrap();
        inside(raw, offset)
    }

    #[test]
    fn every_way_to_write_a_string_is_followed() {
        for raw in [
            r#""ab!c""#,
            r"'ab!c'",
            r#""\"a\" == \u00e4 \U0001F600 é!""#,
            "\"\"\"\nfirst\n  second!\"\"\"",
            "'''\r\nfirst\nsecond!'''",
            "\"\"\"first \\\n   second!\"\"\"",
            "\"!\"",
        ] {
            assert_eq!(found(raw), raw.find('!').unwrap(), "{raw}");
        }
    }
}
