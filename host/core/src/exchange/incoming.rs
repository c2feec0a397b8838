//! What an upstream sends of one leg: frames of a stream as they are complete, or a whole body at its end.

use bytes::{Bytes, BytesMut};

use crate::dialect::framing::{self, Decoded, Framing, Wire};
use crate::dialect::translation::Translation;

/// The longest whole (not streamed) answer, bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The place in one leg's answer.
#[derive(Debug)]
pub struct Incoming {
    form: Form,
    /// Where its upstream speaks another API than the client, and the place in what comes of that.
    translated: Option<Box<(Translation, Framing)>>,
}

#[derive(Debug)]
enum Form {
    /// The client asked for a stream.
    Stream(Framing),
    /// It asked for a whole body.
    Whole(BytesMut),
}

impl Incoming {
    /// Nothing has come, in this API.
    pub fn new(streamed: bool, wire: Wire) -> Self {
        let form = match streamed {
            true => Form::Stream(Framing::new(wire)),
            false => Form::Whole(BytesMut::new()),
        };
        Self {
            form,
            translated: None,
        }
    }

    /// Nothing has come, in an API that the client does not speak.
    pub fn foreign(streamed: bool, translation: Translation) -> Self {
        let framing = Framing::new(translation.client_wire());
        let mut incoming = Self::new(streamed, translation.wire());
        incoming.translated = Some(Box::new((translation, framing)));
        incoming
    }

    /// Whether a whole body is collected.
    pub fn is_whole(&self) -> bool {
        matches!(self.form, Form::Whole(_))
    }

    /// Whether something was left behind on the way from another API.
    pub fn left(&self) -> bool {
        self.translated.as_ref().is_some_and(|t| t.0.left())
    }

    /// Takes the next bytes: what they complete, and why nothing may follow.
    pub fn push(&mut self, chunk: Bytes) -> (Vec<Decoded>, Result<(), String>) {
        match &mut self.form {
            Form::Stream(framing) => {
                let mut decoded = Vec::new();
                let framed = framing.push(chunk, &mut decoded);
                let framed = framed.map_err(|error| error.to_string());
                match &mut self.translated {
                    None => (decoded, framed),
                    Some(translated) => {
                        let (decoded, said) = translate(translated, decoded);
                        (decoded, said.and(framed))
                    }
                }
            }
            Form::Whole(bytes) if bytes.len() + chunk.len() > MAX_ANSWER_BYTES => {
                let why = format!("the upstream's answer is longer than {MAX_ANSWER_BYTES} bytes");
                (Vec::new(), Err(why))
            }
            Form::Whole(bytes) => {
                bytes.extend_from_slice(&chunk);
                (Vec::new(), Ok(()))
            }
        }
    }

    /// The answer ended: the rest of a stream, or the whole body.
    ///
    /// # Errors
    /// Why what came last cannot be read in the client's API.
    pub fn finish(&mut self) -> Result<Rest, String> {
        match &mut self.form {
            Form::Stream(framing) => {
                let mut decoded = Vec::new();
                framing.finish(&mut decoded);
                let Some(translated) = &mut self.translated else {
                    return Ok(Rest::Stream(decoded));
                };
                let (mut decoded, said) = translate(translated, decoded);
                said?;
                let (translation, framing) = &mut **translated;
                let last = translation.end().map_err(|error| error.to_string())?;
                let pushed = framing.push(last, &mut decoded);
                pushed.map_err(|error| error.to_string())?;
                framing.finish(&mut decoded);
                Ok(Rest::Stream(decoded))
            }
            Form::Whole(bytes) => {
                let answer = std::mem::take(bytes).freeze();
                let Some(translated) = &mut self.translated else {
                    return Ok(Rest::Whole(answer));
                };
                let answer = framing::whole(answer, translated.0.wire());
                let body = translated.0.whole(answer);
                body.map(Rest::Whole).map_err(|error| error.to_string())
            }
        }
    }
}

/// Parts of an upstream's stream as parts of the client's.
fn translate(
    translated: &mut (Translation, Framing),
    parts: Vec<Decoded>,
) -> (Vec<Decoded>, Result<(), String>) {
    let (translation, framing) = translated;
    let mut decoded = Vec::new();
    for part in parts {
        let said = translation
            .part(part)
            .map_err(|error| error.to_string())
            .and_then(|bytes| {
                let pushed = framing.push(bytes, &mut decoded);
                pushed.map_err(|error| error.to_string())
            });
        if said.is_err() {
            return (decoded, said);
        }
    }
    (decoded, Ok(()))
}

/// What is there when an answer ended.
#[derive(Debug)]
pub enum Rest {
    /// The last parts of a stream.
    Stream(Vec<Decoded>),
    /// A whole body.
    Whole(Bytes),
}
