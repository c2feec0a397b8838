//! A held frame or body as the client gets it: its own bytes, unless a replacement, a denied or rewritten call or an earlier
//! round concerns it, or clients could read it differently.

use bytes::Bytes;

use super::call::{Call, Part};
use super::frame::{Held, Payload, Span};
use super::hold::Hold;
use super::stretch::Stretch;
use crate::dialect::{CallEdit, EditError, Edits, Slot, TextEdit, Writer};

impl Hold {
    /// The new text of each place of a frame that a replacement touches.
    pub(super) fn text_edits(&self, held: &Held) -> Vec<TextEdit> {
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
                edits.push(TextEdit {
                    place: stretch.place,
                    text,
                });
            }
        }
        edits
    }

    /// Text of earlier legs as a body begins with it.
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

    /// What becomes of the parts of calls in a frame: those that are denied are left out, and the client counts the others.
    /// Empty if they all stay as they are.
    pub(super) fn call_edits(&mut self, held: &Held) -> Vec<CallEdit> {
        let mut edits = Vec::with_capacity(held.said.calls.len());
        for part in &held.said.calls {
            let edit = self.call_edit(part, held.said.judged || held.foreign);
            if let Some(call) = self
                .stretches
                .get_mut(part.stretch)
                .and_then(|s| s.call.as_mut())
            {
                call.left |= edit != CallEdit::Drop;
            }
            edits.push(edit);
        }
        if edits.iter().all(|edit| *edit == CallEdit::Keep) {
            edits.clear();
        }
        edits
    }

    fn call_edit(&self, part: &Part, judged: bool) -> CallEdit {
        let Some(stretch) = self.stretches.get(part.stretch) else {
            return CallEdit::Drop;
        };
        let Some(call) = &stretch.call else {
            return CallEdit::Drop;
        };
        if call.is_out() {
            return CallEdit::Drop;
        }
        let before = |s: &&Stretch| {
            let goes_out = |call: &Call| !call.is_out();
            s.place.choice == stretch.place.choice && s.call.as_ref().is_some_and(goes_out)
        };
        let others = self.stretches.iter().take(part.stretch);
        let index = others.filter(before).count() as u16;
        let arguments = match &call.rewritten {
            // The whole of the new arguments stands in the first part of the call.
            Some(_) if call.left => Some(String::new()),
            Some(text) => Some(text.clone()),
            None => {
                let mut text = String::new();
                let touched = stretch.render(part.start, part.end, &mut text);
                touched.then_some(text)
            }
        };
        let stays = match part.slot {
            Slot::Index(stated) if judged => stated == index,
            // With nobody to judge, it leaves as it came.
            Slot::Index(_) | Slot::Whole => u32::from(index) == stretch.place.item,
            Slot::Unnumbered => !judged && u32::from(index) == stretch.place.item,
            Slot::Single => true,
        };
        let (id_said, name_said) = (part.id_said && judged, part.name_said && judged);
        if stays && arguments.is_none() && !id_said && !name_said {
            return CallEdit::Keep;
        }
        CallEdit::Change {
            index,
            arguments,
            id_said,
            name_said,
        }
    }
}

/// The bytes of a frame or body as the client gets them.
pub(super) fn written(
    writer: &mut dyn Writer,
    payload: &Payload,
    edits: &Edits<'_>,
) -> Result<Bytes, EditError> {
    Ok(match payload {
        Payload::Frame(frame) => writer.frame(frame, edits)?.unwrap_or_default(),
        Payload::Body(body) => writer.body(body, edits)?,
    })
}
