//! What leaves: frames in the order in which they came, each when every byte of text that it bears may.

use super::call::Part;
use super::frame::{Duty, Held, Payload, Ready, Span};
use super::hold::Hold;
use super::stretch::Stretch;
use super::write::written;
use crate::dialect::{EditError, Edits, Writer};

impl Hold {
    /// Everything that may leave now. `limit` says how far a stretch may go; `end` whether terminal frames may.
    ///
    /// # Errors
    /// A replacement could not be written into its frame: that frame and what follows must not leave.
    pub fn release(
        &mut self,
        writer: &mut dyn Writer,
        limit: impl Fn(&Stretch) -> u32,
        end: bool,
        out: &mut Vec<Ready>,
    ) -> Result<(), EditError> {
        while let Some(front) = self.frames.front() {
            let may = |span: &Span| {
                self.stretches
                    .get(span.stretch)
                    .is_none_or(|s| span.end <= limit(s))
            };
            let named = |part: &Part| {
                let may = |s: &Stretch| limit(s) > 0 || s.is_judged_without_text();
                let reaches = |s: &Stretch| part.end <= limit(s);
                let stretch = self.stretches.get(part.stretch);
                stretch.is_none_or(|s| may(s) && reaches(s))
            };
            let due = front.duty != Duty::Terminal || end;
            let before = match front.payload {
                Payload::Body(_) => &self.before[..],
                Payload::Frame(_) => &[],
            };
            if !(due
                && before.iter().chain(&front.said.spans).all(may)
                && front.said.calls.iter().all(named))
            {
                break;
            }
            let Some(held) = self.frames.pop_front() else {
                break;
            };
            self.bytes -= held.payload.len();
            let texts = self.text_edits(&held);
            let calls = self.call_edits(&held);
            let before = match held.payload {
                Payload::Body(_) => std::mem::take(&mut self.before),
                Payload::Frame(_) => Vec::new(),
            };
            let parts = held.said.calls.iter().map(|part| (part.stretch, part.end));
            let spans = before.iter().chain(&held.said.spans);
            for (stretch, end) in spans.map(|s| (s.stretch, s.end)).chain(parts) {
                if let Some(stretch) = self.stretches.get_mut(stretch) {
                    stretch.released = stretch.released.max(end);
                }
            }
            if held.duty == Duty::Strip {
                continue;
            }
            let edits = Edits {
                texts,
                calls,
                alone: held.said.beside && held.said.judged,
                identity: self.identity.as_ref().filter(|_| held.foreign),
                before: self.texts(&before),
                usage: held.said.usage,
                goes_on: held.goes_on,
            };
            let bytes = written(writer, &held.payload, &edits)?;
            out.push(Ready {
                begins: !bytes.is_empty()
                    && (!held.said.spans.is_empty()
                        || !held.said.calls.is_empty()
                        || !held.said.finishes.is_empty()),
                bytes,
                tokens: held.said.tokens,
                finishes: held.said.finishes,
                in_a_call: self
                    .frames
                    .iter()
                    .any(|held| self.goes_on_with_a_call(held)),
            });
        }
        Ok(())
    }

    /// Whether a frame bears more of a call of which the client has a part.
    fn goes_on_with_a_call(&self, held: &Held) -> bool {
        let spans = held.said.spans.iter().map(|span| span.stretch);
        let parts = held.said.calls.iter().map(|part| part.stretch);
        let mut stretches = spans.chain(parts);
        stretches.any(|index| {
            let call = self.stretches.get(index).and_then(|s| s.call.as_ref());
            call.is_some_and(|call| call.left)
        })
    }
}
