//! Lines of a stream, and the moments in them.

/// JSON on one line, as every client cuts lines. The one for Python (`httpx`) cuts at three characters beyond ASCII too, and
/// takes what it gets for broken. In JSON those stand within strings alone, and line ends never do.
pub(super) fn one(json: &str) -> String {
    let mut line = String::with_capacity(json.len() + 1);
    for letter in json.chars() {
        match letter {
            '\n' | '\r' => line.push(' '),
            '\u{85}' | '\u{2028}' | '\u{2029}' => {
                line.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            other => line.push(other),
        }
    }
    line.push('\n');
    line
}

/// A moment as Ollama writes it (RFC 3339), from seconds since the Unix epoch.
pub(super) fn moment(seconds: u64) -> String {
    /// Days from the first of March of the year 0, from which leap days come last, to the epoch.
    const TO_EPOCH: u64 = 719_468;
    /// Days of 400 years, after which the calendar repeats.
    const ERA: u64 = 146_097;
    // The last moment of the year 9999: a year has four digits.
    let seconds = seconds.min(253_402_300_799);
    let (days, second) = (seconds / 86_400 + TO_EPOCH, seconds % 86_400);
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // March is the first: five months have 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, wraps) = match month < 10 {
        true => (month + 3, 0),
        false => (month - 9, 1),
    };
    let year = era * 400 + year + wraps;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        // By `date -u -d @... +%FT%TZ`.
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(moment(seconds), expected);
        }
    }

    #[test]
    fn no_client_finds_the_end_of_a_line_within_it() {
        let json = "{\"a\":\r\n \"x\u{2028}y\u{85}ü\"}";
        assert_eq!(one(json), "{\"a\":   \"x\\u2028y\\u0085ü\"}\n");
    }
}
