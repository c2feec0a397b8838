//! As much of a guest's words as is kept.

/// Bytes kept of a log message.
pub(super) const LOG_BYTES: usize = 4096;

/// The longest beginning of a text that has at most `max` bytes.
pub(super) fn beginning(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

/// The longest end of a text that has at most `max` bytes.
pub(super) fn ending(text: &str, max: usize) -> &str {
    let from = text.ceil_char_boundary(text.len().saturating_sub(max));
    text.get(from..).unwrap_or(text)
}
