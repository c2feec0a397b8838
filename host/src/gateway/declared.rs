//! Reads what a request declares about itself, from headers that begin with `x-airlock-`. Those never go upstream.
//!
//! A header that makes no sense refuses the call: a deadline that is silently ignored would be none.

use std::time::Duration;

use http::HeaderMap;

pub use airlock_core::event::declared::{Declared, Risk};

const TASK: &str = "x-airlock-task";
const SUBTASK: &str = "x-airlock-subtask";
const RISK: &str = "x-airlock-risk";
const DEADLINE: &str = "x-airlock-deadline-ms";
const MAX_TOKENS: &str = "x-airlock-max-tokens";

/// Longest name of a task: it stands on the timeline of every exchange.
const MAX_NAME: usize = 256;

/// A day; no call takes longer, and additions of times cannot overflow.
const MAX_DEADLINE_MS: u64 = 86_400_000;

/// The largest number that every policy's language can hold (JavaScript's, 2^53).
const MAX_TOKENS_LIMIT: u64 = 1 << 53;

/// A header of which Airlock cannot make sense. The text is for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header {header} makes no sense: {expected}")]
pub struct Malformed {
    /// Name of the header.
    pub header: &'static str,
    expected: &'static str,
}

/// What the headers declare.
///
/// # Errors
/// The first header that is malformed or stands there twice.
pub fn read(headers: &HeaderMap) -> Result<Declared, Malformed> {
    Ok(Declared {
        task: name(headers, TASK)?,
        subtask: name(headers, SUBTASK)?,
        risk: one(
            headers,
            RISK,
            "write low, medium, high or critical, once",
            |text| Risk::ALL.into_iter().find(|risk| risk.as_str() == text),
        )?,
        deadline: one(
            headers,
            DEADLINE,
            "write milliseconds from now, 1 to 86400000, once",
            |text| number(text, MAX_DEADLINE_MS),
        )?
        .map(Duration::from_millis),
        max_tokens: one(
            headers,
            MAX_TOKENS,
            "write a whole number of tokens from 1, once",
            |text| number(text, MAX_TOKENS_LIMIT),
        )?,
    })
}

fn name(headers: &HeaderMap, header: &'static str) -> Result<Option<String>, Malformed> {
    let expected = "write 1 to 256 printable ASCII characters, once";
    one(headers, header, expected, |text| {
        (1..=MAX_NAME)
            .contains(&text.len())
            .then(|| text.to_owned())
    })
}

fn number(text: &str, most: u64) -> Option<u64> {
    // `parse` takes a sign too.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let value = text.parse().ok().filter(|_| digits)?;
    (1..=most).contains(&value).then_some(value)
}

/// The one value of a header, as `read` understands it.
fn one<T>(
    headers: &HeaderMap,
    header: &'static str,
    expected: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Malformed> {
    let mut values = headers.get_all(header).iter();
    let (first, second) = (values.next(), values.next());
    let Some(first) = first else { return Ok(None) };
    let value = first.to_str().ok().map(str::trim).and_then(read);
    match (value, second) {
        (Some(value), None) => Ok(Some(value)),
        _ => Err(Malformed { header, expected }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn everything_is_read_and_nothing_is_needed() {
        assert_eq!(read(&HeaderMap::new()).unwrap(), Declared::default());
        let declared = read(&headers(&[
            (TASK, "mend the build"),
            (SUBTASK, "read-logs"),
            (RISK, "high"),
            (DEADLINE, " 1500 "),
            (MAX_TOKENS, "9000"),
        ]))
        .unwrap();
        assert_eq!(
            declared,
            Declared {
                task: Some("mend the build".into()),
                subtask: Some("read-logs".into()),
                risk: Some(Risk::High),
                deadline: Some(Duration::from_millis(1500)),
                max_tokens: Some(9000),
            }
        );
        assert_eq!(declared.facts()[2], ("risk".to_owned(), "high".to_owned()));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let long = "x".repeat(257);
        for (header, value) in [
            (TASK, ""),
            (TASK, long.as_str()),
            (SUBTASK, "\u{fc}"),
            (RISK, "LOW"),
            (RISK, "none"),
            (DEADLINE, "0"),
            (DEADLINE, "-5"),
            (DEADLINE, "+5"),
            (DEADLINE, "1.5"),
            (DEADLINE, "86400001"),
            (MAX_TOKENS, "0"),
            (MAX_TOKENS, "lots"),
            (MAX_TOKENS, "99999999999999999999"),
        ] {
            let error = read(&headers(&[(header, value)])).expect_err(value);
            assert_eq!(error.header, header);
            assert!(error.to_string().contains(header), "{error}");
        }
    }

    #[test]
    fn a_header_that_stands_there_twice_is_refused() {
        let twice = headers(&[(DEADLINE, "10"), (DEADLINE, "900000")]);
        assert_eq!(read(&twice).unwrap_err().header, DEADLINE);
    }
}
