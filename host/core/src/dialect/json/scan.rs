//! Finds where JSON values end, in one pass over their bytes.
//!
//! It takes the grammar of RFC 8259 as `serde_json` does, and says nothing about what it does not take: the caller then asks
//! `serde_json`, whose word counts and whose errors people read. So it can only be faster, which a test holds against any
//! text. What was read once is not judged again: a value inside of one that was found is `KNOWN` to be good, and only its
//! end is looked for, at the speed of memory.

/// Deeper values are left to the caller.
const MAX_DEPTH: u32 = 128;

/// End of the value that begins at `at`.
pub(super) fn value<const KNOWN: bool>(text: &[u8], at: usize) -> Option<usize> {
    // Whether what is open is an object, the innermost in the lowest bit.
    let (mut objects, mut depth) = (0_u128, 0);
    let mut at = at;
    loop {
        at = match text.get(at)? {
            b'"' => string::<KNOWN>(text, at)?,
            b'-' | b'0'..=b'9' => number(text, at)?,
            b't' => literal(text, at, b"true")?,
            b'f' => literal(text, at, b"false")?,
            b'n' => literal(text, at, b"null")?,
            open @ (b'{' | b'[') => {
                let is_object = *open == b'{';
                let first = blank(text, at + 1);
                match (text.get(first)?, is_object) {
                    (b'}', true) | (b']', false) => first + 1,
                    _ if depth == MAX_DEPTH => return None,
                    _ => {
                        (objects, depth) = (objects << 1 | u128::from(is_object), depth + 1);
                        at = match is_object {
                            true => key::<KNOWN>(text, first)?.1,
                            false => first,
                        };
                        continue;
                    }
                }
            }
            _ => return None,
        };
        loop {
            if depth == 0 {
                return Some(at);
            }
            at = blank(text, at);
            match (text.get(at)?, objects & 1 == 1) {
                (b',', true) => {
                    at = key::<KNOWN>(text, blank(text, at + 1))?.1;
                    break;
                }
                (b',', false) => {
                    at = blank(text, at + 1);
                    break;
                }
                (b'}', true) | (b']', false) => {
                    (objects, depth, at) = (objects >> 1, depth - 1, at + 1);
                }
                _ => return None,
            }
        }
    }
}

/// Of a key that begins at `at` its end, and where its value begins.
pub(super) fn key<const KNOWN: bool>(text: &[u8], at: usize) -> Option<(usize, usize)> {
    if *text.get(at)? != b'"' {
        return None;
    }
    let end = string::<KNOWN>(text, at)?;
    let colon = blank(text, end);
    (*text.get(colon)? == b':').then(|| (end, blank(text, colon + 1)))
}

/// The first byte from `at` on that is no white space.
pub(super) fn blank(text: &[u8], at: usize) -> usize {
    let mut at = at;
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

/// End of a string whose quotation mark stands at `at`.
fn string<const KNOWN: bool>(text: &[u8], at: usize) -> Option<usize> {
    /// Most keys and values of the wire are shorter than what a search by vectors costs.
    const SHORT: usize = 12;
    let mut at = at + 1;
    loop {
        let most = text.len().min(at + SHORT);
        while at < most {
            match text.get(at)? {
                b'"' => return Some(at + 1),
                b'\\' => break,
                0..0x20 if !KNOWN => return None,
                _ => at += 1,
            }
        }
        let rest = text.get(at..)?;
        let end = memchr::memchr2(b'"', b'\\', rest)?;
        if !KNOWN && has_control(rest.get(..end)?) {
            return None;
        }
        at = match rest.get(end)? {
            b'"' => return Some(at + end + 1),
            _ => escape(text, at + end + 1)?,
        };
    }
}

/// Whether a control character is among the bytes, which no string may have as it is.
fn has_control(bytes: &[u8]) -> bool {
    // Words of eight: of each byte the high bit is set where it is below 0x20, by a borrow that cannot come from another
    // byte but a lower one that is below it itself.
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    let below = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        word.wrapping_sub(ONES * 0x20) & !word & (ONES * 0x80)
    };
    words.iter().fold(0, |any, word| any | below(word)) != 0 || rest.iter().any(|b| *b < 0x20)
}

/// End of an escape whose letter stands at `at`.
fn escape(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' => {
            let digits = text.get(at + 1..at + 5)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 5)
        }
        _ => None,
    }
}

fn literal(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    text.get(at..)?.starts_with(word).then_some(at + word.len())
}

/// End of a number.
fn number(text: &[u8], at: usize) -> Option<usize> {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let some_digits = |from: usize| Some(digits(from)).filter(|end| *end > from);
    let first = at + usize::from(*text.get(at)? == b'-');
    let mut end = match text.get(first)? {
        b'0' => first + 1,
        _ => some_digits(first)?,
    };
    if digits(end) > end {
        return None;
    }
    if text.get(end) == Some(&b'.') {
        end = some_digits(end + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(end) {
        let sign = matches!(text.get(end + 1), Some(b'+' | b'-'));
        end = some_digits(end + 1 + usize::from(sign))?;
    }
    Some(end)
}
