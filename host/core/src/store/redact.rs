//! Masks what looks like personal data or a credential: e-mail addresses, long runs of digits (cards, telephones),
//! IBANs, bearer tokens, keys of well-known vendors, JWTs, PEM blocks.
//!
//! Best effort, and simple on purpose: it knows shapes, not meanings. It misses names, addresses, secrets without a
//! known shape and anything encoded, and it masks long numbers that are nobody's. Whoever must not store content sets
//! `capture = "none"`.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex_automata::meta::Regex;

/// What is masked, and what stands in its place. In order: where two begin at the same place, the first wins.
const PATTERNS: &[(&str, &str)] = &[
    (r"-----BEGIN[\s\S]*?(?:-----END[A-Z0-9 ]*-----|\z)", "[key]"),
    (r"(?i)\bbearer\s+[a-z0-9._~+/=-]{8,}", "[token]"),
    (
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        "[token]",
    ),
    (
        r"\b(?:sk|pk|rk|xai|gsk|hf|npm|glpat|pypi|ghp|gho|ghs|ghu|github_pat|xox[abeprs])[-_][A-Za-z0-9_-]{10,}",
        "[key]",
    ),
    (r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", "[key]"),
    (r"\bAIza[0-9A-Za-z_-]{20,}", "[key]"),
    (
        r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z]{2,}",
        "[email]",
    ),
    (
        r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",
        "[iban]",
    ),
    (r"[+(]?[0-9](?:[ ().-]{0,2}[0-9]){8,}", "[number]"),
];

/// Longest end of a text that is held back until it is seen how it goes on. No mail address or key is longer.
const HOLD: usize = 512;
/// A PEM block that is still open is shortened past this; its content is masked anyway.
const OPEN_BLOCK: usize = 4096;
const PEM: &str = "-----BEGIN";

// The patterns are constants, tested below; were one of them invalid, everything would be masked rather than nothing.
static MATCHER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new_many(
        &PATTERNS
            .iter()
            .map(|(pattern, _)| *pattern)
            .collect::<Vec<_>>(),
    )
    .ok()
});

/// The text with everything masked that is found.
pub fn mask(text: &str) -> Cow<'_, str> {
    let Some(matcher) = MATCHER.as_ref() else {
        return Cow::Borrowed("[redacted]");
    };
    let mut masked = String::new();
    let mut end = 0;
    for found in matcher.find_iter(text) {
        masked.push_str(&text[end..found.start()]);
        masked.push_str(
            PATTERNS
                .get(found.pattern().as_usize())
                .map_or("[redacted]", |(_, mask)| mask),
        );
        end = found.end();
    }
    if end == 0 {
        return Cow::Borrowed(text);
    }
    masked.push_str(&text[end..]);
    Cow::Owned(masked)
}

/// Up to where `text` can be masked by itself, whatever follows: an address or a key may be cut between two chunks. The
/// rest, the last words that could be the beginning of something to mask, is at most [`HOLD`] bytes unless a PEM block is open.
pub fn settled(text: &str) -> usize {
    let mut least = text.ceil_char_boundary(text.len().saturating_sub(HOLD));
    if let Some(begin) = text.rfind(PEM) {
        // The last words of a closed block look like groups of an IBAN; the cut must not fall among them.
        match block_end(&text[begin..]) {
            Some(length) => least = least.max(begin + length),
            None => return begin,
        }
    }
    let mut settled = text.len();
    for (at, word) in words_from_the_end(text) {
        let last = settled == text.len();
        if last && at + word.len() == text.len() || goes_on_after_space(word) {
            settled = at;
        } else {
            break;
        }
    }
    settled.max(least)
}

/// Length of a PEM block, from its beginning to the end of its last line; `None` while it is open.
fn block_end(block: &str) -> Option<usize> {
    let end = block.find("-----END")? + "-----END".len();
    Some(end + block[end..].find("-----")? + "-----".len())
}

/// What is kept of a held end of text: all of it, but of an open PEM block only as much as is needed to see its end.
pub fn shorten(held: String) -> String {
    if held.len() <= OPEN_BLOCK || !held.starts_with(PEM) {
        return held;
    }
    let tail = held.ceil_char_boundary(held.len() - 64);
    format!("{PEM}{}", &held[tail..])
}

/// Words with the places where they begin, last first.
fn words_from_the_end(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = text.trim_end();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = rest
            .char_indices()
            .rev()
            .find(|(_, c)| c.is_whitespace())
            .map_or(0, |(at, c)| at + c.len_utf8());
        let word = &rest[at..];
        rest = rest[..at].trim_end();
        Some((at, word))
    })
}

/// Whether something to mask may begin in this word and go on after a space: groups of digits, of an IBAN, `Bearer`.
fn goes_on_after_space(word: &str) -> bool {
    let group = |b: u8| b.is_ascii_digit() || b.is_ascii_uppercase() || b"+().-".contains(&b);
    word.eq_ignore_ascii_case("bearer") || word.bytes().next_back().is_some_and(group)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn masks_what_it_knows() {
        for (text, expected) in [
            (
                "write to jane.doe+x@mail.example.co.uk now",
                "write to [email] now",
            ),
            ("card 4111 1111 1111 1111, thanks", "card [number], thanks"),
            ("card 4111-1111-1111-1111", "card [number]"),
            ("call +49 (30) 901820-12", "call [number]"),
            ("IBAN DE89 3704 0044 0532 0130 00.", "IBAN [iban]."),
            ("GB29NWBK60161331926819", "[iban]"),
            (
                "Authorization: Bearer abc.def-ghi_jkl",
                "Authorization: [token]",
            ),
            ("sk-proj-abcdefghijklmnop", "[key]"),
            (
                "ghp_abcdefghijklmnop1234 and hf_abcdefghijkl",
                "[key] and [key]",
            ),
            ("AKIAIOSFODNN7EXAMPLE", "[key]"),
            ("AIzaSyA1234567890abcdefghijk", "[key]"),
            (
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
                "[token]",
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nrest",
                "[key]\nrest",
            ),
            ("-----BEGIN PRIVATE KEY-----\nMIIE", "[key]"),
        ] {
            assert_eq!(mask(text), expected, "{text}");
        }
    }

    #[test]
    fn leaves_ordinary_text_alone() {
        for text in [
            "The year 2026, 12 of 365 days, 3.14159, v1.2.3, 127.0.0.1:4100",
            "ask-me, risk-free, task_list, a@b, @handle, bearer of news",
            "DEAR SIR, WE NEED 24 OF THEM",
            "größer als 5 €",
        ] {
            assert!(
                matches!(mask(text), Cow::Borrowed(same) if same == text),
                "{text}: {}",
                mask(text)
            );
        }
    }

    /// The property that the timeline needs: however a text is cut into chunks, nothing is told that would have been masked whole.
    #[test]
    fn cutting_anywhere_masks_the_same() {
        let text = "Mail jane.doe@mail.example.com, card 4111 1111 1111 1111 or DE89 3704 0044 0532 0130 00; \
                    Bearer abcdefgh12345678 sk-abcdefghijklmnop1234 ü -----BEGIN KEY-----\nab cd\n-----END KEY----- done.";
        for first in text.char_indices().map(|(at, _)| at) {
            for second in text
                .char_indices()
                .map(|(at, _)| at)
                .filter(|at| *at >= first)
            {
                let (mut told, mut held) = (String::new(), String::new());
                for chunk in [&text[..first], &text[first..second], &text[second..]] {
                    held.push_str(chunk);
                    let rest = held.split_off(settled(&held));
                    told.push_str(&mask(&held));
                    held = shorten(rest);
                }
                told.push_str(&mask(&held));
                assert_eq!(told, mask(text), "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn what_is_held_stays_small() {
        assert!("x".repeat(10_000).len() - settled(&"x".repeat(10_000)) <= HOLD);
        let mut held = String::from("-----BEGIN KEY-----\n");
        for _ in 0..1000 {
            held.push_str("0123456789abcdef\n");
            assert_eq!(settled(&held), 0);
            held = shorten(held);
        }
        assert!(held.len() <= OPEN_BLOCK + 64);
        held.push_str("-----END KEY----- after");
        assert_eq!(mask(&held), "[key] after");
    }
}
