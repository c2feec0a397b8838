//! A held frame or body as the client gets it: its own bytes, unless a replacement, a denied or rewritten call or an earlier
//! round concerns it.

use bytes::Bytes;

use super::{Held, Hold, Payload, Span, Stretch, Verdict};
use crate::gateway::dialect::{CallEdit, Dialect, EditError, Splice, TextEdit};
use crate::session::event::Channel;

impl Hold {
    /// The new text of each place of a frame that a replacement touches, by the upstream's own indexes.
    pub(super) fn edits(&self, held: &Held) -> Vec<TextEdit> {
        let spans = &held.said.spans;
        let mut edits: Vec<TextEdit> = Vec::new();
        let mut done: Vec<usize> = Vec::new();
        for span in spans {
            if done.contains(&span.stretch) {
                continue;
            }
            done.push(span.stretch);
            let Some(stretch) = self.stretches.get(span.stretch) else {
                continue;
            };
            let (mut text, mut touched) = (String::new(), false);
            for span in spans.iter().filter(|s| s.stretch == span.stretch) {
                touched |= stretch.render(span.start, span.end, &mut text);
            }
            if touched {
                let mut place = stretch.place;
                if place.channel == Channel::ToolArguments {
                    place.block = place.block.saturating_sub(held.base);
                }
                edits.push(TextEdit { place, text });
            }
        }
        edits
    }

    /// Text of earlier rounds as a body begins with it.
    pub(super) fn texts(&self, spans: &[Span]) -> Vec<TextEdit> {
        let mut texts: Vec<TextEdit> = Vec::new();
        for span in spans {
            let Some(stretch) = self.stretches.get(span.stretch) else {
                continue;
            };
            let mut text = String::new();
            stretch.render(span.start, span.end, &mut text);
            match texts.iter_mut().find(|e| e.place == stretch.place) {
                Some(edit) => edit.text.push_str(&text),
                None => texts.push(TextEdit {
                    place: stretch.place,
                    text,
                }),
            }
        }
        texts
    }

    /// What becomes of the calls in a frame: those that are denied are left out, and the client counts the others.
    pub(super) fn call_edits(&mut self, held: &Held) -> Vec<CallEdit> {
        let mut touched: Vec<usize> = held.said.calls.clone();
        touched.extend(held.said.spans.iter().map(|span| span.stretch));
        touched.sort_unstable();
        touched.dedup();
        let mut edits = Vec::new();
        for index in touched {
            let Some(Stretch {
                place,
                call: Some(call),
                ..
            }) = self.stretches.get(index)
            else {
                continue;
            };
            let own = place.block.saturating_sub(held.base);
            let denied = matches!(call.verdict, Verdict::Denied(_));
            let counted = self.stretches.iter().take(index).filter(|s| {
                s.place.choice == place.choice
                    && s.call
                        .as_ref()
                        .is_some_and(|c| !matches!(c.verdict, Verdict::Denied(_)))
            });
            let to = (!denied).then_some(counted.count() as u16);
            // The whole of the new arguments stands in the first frame of the call.
            let arguments = call.rewritten.as_ref().map(|text| {
                if call.left {
                    String::new()
                } else {
                    text.clone()
                }
            });
            if to != Some(own) || arguments.is_some() {
                edits.push(CallEdit {
                    choice: place.choice,
                    index: own,
                    to,
                    arguments,
                });
            }
            if let Some(call) = self.stretches.get_mut(index).and_then(|s| s.call.as_mut()) {
                call.left |= !denied;
            }
        }
        edits
    }
}

/// The bytes of a frame or body as the client gets them: its own, unless something concerns it.
pub(super) fn written(
    dialect: &dyn Dialect,
    payload: Payload,
    edits: &[TextEdit],
    splice: &Splice<'_>,
) -> Result<Bytes, EditError> {
    let (bytes, is_frame) = match (payload, edits) {
        (Payload::Frame(frame), []) => (frame.raw, true),
        (Payload::Frame(frame), edits) => (dialect.edit_frame(&frame, edits)?, true),
        (Payload::Body(body), []) => (body, false),
        (Payload::Body(body), edits) => (dialect.edit_body(&body, edits)?.into(), false),
    };
    if *splice == Splice::default() {
        return Ok(bytes);
    }
    if is_frame {
        return Ok(dialect.splice_frame(&bytes, splice)?.unwrap_or_default());
    }
    Ok(dialect.splice_body(&bytes, splice)?.into())
}
