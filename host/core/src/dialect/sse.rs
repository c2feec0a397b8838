//! Cuts a byte stream into Server-Sent Events frames without changing a byte.
//!
//! Guarantees: the `raw` parts of all frames, and of the rest that [`Framer::finish`] returns, are together exactly the
//! input, however the input was cut into chunks. A frame leaves at the byte that ends it. A frame that lies inside one
//! chunk shares the chunk's memory; only one that spans chunks is copied, once.
//!
//! Not done here: reconnection (`id`, `retry` are passed on unread), and any reading of the data.

use bytes::{Bytes, BytesMut};

/// Bound on one frame, so that an upstream which never ends a frame cannot fill memory. Images come as data URLs in one
/// frame, of 10 MB and more: as much as a whole answer may be.
pub const MAX_FRAME_BYTES: usize = 64 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One event of the stream, or what stands between two: comments, blank lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The bytes as they came, with the blank line that ends them. If a chunk ended between the CR and the LF of that
    /// blank line, the LF begins the next frame, where it says nothing.
    pub raw: Bytes,
    /// Value of the last `event` field.
    pub event: Option<Bytes>,
    /// Values of the `data` fields, joined by LF; `None` if there is no such field (a comment, a blank line).
    pub data: Option<Bytes>,
}

impl Frame {
    /// Whether it bears data that is not blank.
    pub fn says(&self) -> bool {
        self.data
            .as_ref()
            .is_some_and(|data| !data.trim_ascii().is_empty())
    }

    /// Whether any line of it is something else than data, and than the event's name where that is `named` by the API: another
    /// field, a comment.
    pub fn says_more(&self, named: bool) -> bool {
        let mut rest = self.raw.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.raw);
        while !rest.is_empty() {
            let (line, after) = split_line(rest);
            rest = after;
            let known = |name: &[u8]| name == b"data" || (named && name == b"event");
            if !line.is_empty() && !known(field(line).0) {
                return true;
            }
        }
        false
    }

    /// Whether it is its data and nothing beside: no other field, no comment, no byte order mark, no part of a frame; and
    /// ended so that every client sees its end, which is not so of a lone CR.
    pub fn is_bare(&self) -> bool {
        let Some(data) = &self.data else {
            return false;
        };
        let value = self.raw.strip_prefix(b"data:").and_then(|rest| {
            rest.strip_prefix(b" ")
                .unwrap_or(rest)
                .strip_prefix(data.as_ref())
        });
        value.is_some_and(|end| matches!(end, b"\n\n" | b"\r\n\r\n"))
    }

    /// The frame with its data alone, on one line. Values of several lines are joined by spaces, which mean the same in
    /// JSON: a client that reads line by line then reads what one that joins them does.
    #[must_use]
    pub fn bare(&self) -> Frame {
        let Some(data) = self.data.as_ref().filter(|_| !self.is_bare()) else {
            return self.clone();
        };
        let mut raw = BytesMut::with_capacity(data.len() + 8);
        raw.extend_from_slice(b"data: ");
        raw.extend(data.iter().map(|b| if *b == b'\n' { b' ' } else { *b }));
        raw.extend_from_slice(b"\n\n");
        let raw = raw.freeze();
        let data = raw.slice(6..raw.len() - 2);
        Frame {
            raw,
            event: None,
            data: Some(data),
        }
    }
}

/// A frame grew past the bound. The stream cannot be used any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upstream sent an event of more than {limit} bytes, the longest that Airlock reads")]
pub struct FrameTooLarge {
    /// The bound in bytes.
    pub limit: usize,
}

/// The framer's place in the stream. One for each response.
#[derive(Debug)]
pub struct Framer {
    limit: usize,
    /// Bytes of a frame that began in an earlier chunk.
    begun: BytesMut,
    /// The next byte is the first of a line.
    at_line_start: bool,
    /// The byte before was a CR: an LF now belongs to it and is no line of its own.
    after_cr: bool,
    /// Nothing was framed yet: a byte order mark may stand here.
    at_start: bool,
}

impl Default for Framer {
    fn default() -> Self {
        Self::new(MAX_FRAME_BYTES)
    }
}

impl Framer {
    /// A framer that refuses frames of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            begun: BytesMut::new(),
            at_line_start: true,
            after_cr: false,
            at_start: true,
        }
    }

    /// Takes the next chunk and appends the frames that it completes to `out`.
    ///
    /// # Errors
    /// [`FrameTooLarge`]; frames completed before are in `out`, and nothing more may be pushed.
    pub fn push(&mut self, mut chunk: Bytes, out: &mut Vec<Frame>) -> Result<(), FrameTooLarge> {
        while let Some(end) = self.frame_end(&chunk) {
            let last = chunk.split_to(end);
            if self.begun.len() + last.len() > self.limit {
                return Err(FrameTooLarge { limit: self.limit });
            }
            let raw = if self.begun.is_empty() {
                last
            } else {
                self.begun.extend_from_slice(&last);
                self.begun.split().freeze()
            };
            out.push(self.parse(raw));
        }
        if self.begun.len() + chunk.len() > self.limit {
            return Err(FrameTooLarge { limit: self.limit });
        }
        self.begun.extend_from_slice(&chunk);
        Ok(())
    }

    /// The end of the stream: what stands after the last complete frame. A client that follows the standard drops it,
    /// lenient ones read it, so it is read and passed on like a frame.
    pub fn finish(&mut self) -> Option<Frame> {
        let raw = self.begun.split().freeze();
        (!raw.is_empty()).then(|| self.parse(raw))
    }

    /// Length up to and including the next blank line, if `chunk` has one.
    fn frame_end(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = chunk.get(at) {
            at += 1;
            let ends_line = match byte {
                b'\n' if self.after_cr => {
                    self.after_cr = false;
                    continue;
                }
                b'\n' | b'\r' => true,
                _ => false,
            };
            self.after_cr = byte == b'\r';
            if !ends_line {
                self.at_line_start = false;
                // Most bytes are inside a line: look for its end without the state above.
                at += memchr::memchr2(b'\n', b'\r', &chunk[at..]).unwrap_or(chunk.len() - at);
            } else if self.at_line_start {
                if self.after_cr && chunk.get(at) == Some(&b'\n') {
                    self.after_cr = false;
                    at += 1;
                }
                return Some(at);
            } else {
                self.at_line_start = true;
            }
        }
        None
    }

    fn parse(&mut self, raw: Bytes) -> Frame {
        let mut rest = raw.as_ref();
        if std::mem::take(&mut self.at_start) {
            rest = rest.strip_prefix(BYTE_ORDER_MARK).unwrap_or(rest);
        }
        let mut event = None;
        let mut data: Option<Data<'_>> = None;
        while !rest.is_empty() {
            let (line, after) = split_line(rest);
            rest = after;
            match field(line) {
                (b"event", value) => event = Some(raw.slice_ref(value)),
                (b"data", value) => match &mut data {
                    None => data = Some(Data::One(value)),
                    Some(lines) => lines.add(value),
                },
                _ => {}
            }
        }
        let data = data.map(|data| match data {
            Data::One(value) => raw.slice_ref(value),
            Data::Many(joined) => joined.freeze(),
        });
        Frame { raw, event, data }
    }
}

/// Data of one line is a part of the frame, of several lines a copy.
enum Data<'a> {
    One(&'a [u8]),
    Many(BytesMut),
}

impl Data<'_> {
    fn add(&mut self, value: &[u8]) {
        if let Data::One(first) = self {
            *self = Data::Many(BytesMut::from(*first));
        }
        if let Data::Many(joined) = self {
            joined.extend_from_slice(b"\n");
            joined.extend_from_slice(value);
        }
    }
}

/// The first line without its end, and what follows.
fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr2(b'\n', b'\r', text) {
        Some(at) if text[at..].starts_with(b"\r\n") => (&text[..at], &text[at + 2..]),
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[]),
    }
}

/// Name and value of a line. A comment has an empty name.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b':', line) {
        Some(at) => (
            &line[..at],
            line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..]),
        ),
        None => (line, &[]),
    }
}

#[cfg(test)]
mod tests;
