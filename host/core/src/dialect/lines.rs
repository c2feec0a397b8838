//! Cuts a byte stream into lines, each of which is one JSON document (NDJSON), without changing a byte.
//!
//! Guarantees: the `raw` parts of all frames, and of the rest that [`Lines::finish`] returns, are together exactly the
//! input, however it was cut into chunks.

use bytes::{Bytes, BytesMut};

use super::sse::{Frame, FrameTooLarge, MAX_FRAME_BYTES};

/// The place in one stream of lines.
#[derive(Debug, Default)]
pub struct Lines {
    open: BytesMut,
}

impl Lines {
    /// Takes the next bytes and appends the lines that they complete.
    ///
    /// # Errors
    /// [`FrameTooLarge`]; what was complete before is in `out`, and nothing more may be pushed.
    pub fn push(&mut self, chunk: &Bytes, out: &mut Vec<Frame>) -> Result<(), FrameTooLarge> {
        let mut rest = chunk.clone();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = rest.split_to(end + 1);
            if self.open.is_empty() {
                out.push(frame(line));
            } else {
                self.open.extend_from_slice(&line);
                out.push(frame(self.open.split().freeze()));
            }
        }
        self.open.extend_from_slice(&rest);
        match self.open.len() > MAX_FRAME_BYTES {
            true => Err(FrameTooLarge {
                limit: MAX_FRAME_BYTES,
            }),
            false => Ok(()),
        }
    }

    /// The end of the stream: a line that nothing ended.
    pub fn finish(&mut self) -> Option<Frame> {
        (!self.open.is_empty()).then(|| frame(self.open.split().freeze()))
    }
}

fn frame(raw: Bytes) -> Frame {
    let bare = raw.trim_ascii();
    let data = (!bare.is_empty()).then(|| raw.slice_ref(bare));
    Frame {
        raw,
        event: None,
        data,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_the_input_however_it_is_cut() {
        let input = b"{\"a\":1}\n\n{\"b\":2}\r\n{\"c\"";
        for size in 1..=input.len() {
            let (mut lines, mut out) = (Lines::default(), Vec::new());
            for chunk in input.chunks(size) {
                lines
                    .push(&Bytes::copy_from_slice(chunk), &mut out)
                    .unwrap();
            }
            out.extend(lines.finish());
            let raw: Vec<u8> = out.iter().flat_map(|f| f.raw.to_vec()).collect();
            assert_eq!(raw, input);
            let data: Vec<&[u8]> = out.iter().filter_map(|f| f.data.as_deref()).collect();
            assert_eq!(data, [b"{\"a\":1}", b"{\"b\":2}", &b"{\"c\""[..]]);
        }
    }
}
