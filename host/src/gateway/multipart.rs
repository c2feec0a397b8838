//! The field `model` of a form (`multipart/form-data`), by which audio and images name theirs. Everything else of a form
//! stays as it is, byte for byte.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};

/// Where a form names its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// The model; of several, the first.
    pub model: String,
    /// Every place in the body that names one.
    places: Vec<Range<usize>>,
}

impl Form {
    /// Reads a form that names a model.
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let delimiter = format!("--{}", boundary(headers)?).into_bytes();
        let mut places = Vec::new();
        let mut at = find(body, &delimiter, 0)? + delimiter.len();
        while let Some(part) = body.get(at..).filter(|rest| rest.starts_with(b"\r\n")) {
            let head_end = find(part, b"\r\n\r\n", 0)?;
            let start = at + head_end + 4;
            let end = find(body, &[b"\r\n", delimiter.as_slice()].concat(), start)?;
            if names_model(part.get(..head_end)?) {
                places.push(start..end);
            }
            at = end + 2 + delimiter.len();
        }
        let model = std::str::from_utf8(body.get(places.first()?.clone())?).ok()?;
        Some(Self {
            model: model.to_owned(),
            places,
        })
    }

    /// The form with another model.
    pub(super) fn renamed(&self, body: &Bytes, model: &str) -> Bytes {
        let mut out = BytesMut::with_capacity(body.len() + model.len());
        let mut from = 0;
        for place in &self.places {
            out.extend_from_slice(body.get(from..place.start).unwrap_or_default());
            out.extend_from_slice(model.as_bytes());
            from = place.end;
        }
        out.extend_from_slice(body.get(from..).unwrap_or_default());
        out.freeze()
    }
}

/// What divides the parts, if it is a form.
fn boundary(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let mut parts = value.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (name.trim().eq_ignore_ascii_case("boundary") && !value.is_empty())
            .then(|| value.to_owned())
    })
}

/// Whether the headers of a part name it `model`.
fn names_model(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    head.split("\r\n").any(|line| {
        let Some((name, value)) = line.split_once(':') else {
            return false;
        };
        name.trim().eq_ignore_ascii_case("content-disposition")
            && value.split(';').map(str::trim).any(|parameter| {
                parameter.split_once('=').is_some_and(|(name, value)| {
                    name.trim().eq_ignore_ascii_case("name")
                        && value.trim().trim_matches('"') == "model"
                })
            })
    })
}

/// The first place from `from` on: by the first byte, since bodies hold megabytes of sound.
fn find(text: &[u8], what: &[u8], from: usize) -> Option<usize> {
    let first = *what.first()?;
    let mut at = from;
    loop {
        at += text.get(at..)?.iter().position(|b| *b == first)?;
        if text.get(at..)?.starts_with(what) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn headers(content_type: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        headers
    }

    fn form(parts: &[(&str, &[u8])]) -> Bytes {
        let mut out = Vec::new();
        for (head, content) in parts {
            out.extend_from_slice(format!("--xx\r\n{head}\r\n\r\n").as_bytes());
            out.extend_from_slice(content);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"--xx--\r\n");
        out.into()
    }

    const FILE: &str = "Content-Disposition: form-data; name=\"file\"; filename=\"model\"\r\nContent-Type: audio/wav";
    const MODEL: &str = "content-disposition: form-data; name=\"model\"";
    const SOUND: &[u8] = b"\r\n\r\n--x\r\nname=\"model\"\r\n\r\n\x00\xff--xy";

    #[test]
    fn the_model_is_read_and_renamed_and_nothing_else_changes() {
        let body = form(&[(FILE, SOUND), (MODEL, b"whisper-1"), (FILE, SOUND)]);
        let found = Form::read(
            &headers("Multipart/Form-Data; charset=x; Boundary=\"xx\""),
            &body,
        );
        let found = found.unwrap();
        assert_eq!(found.model, "whisper-1");
        let renamed = found.renamed(&body, "small");
        assert_eq!(
            renamed,
            form(&[(FILE, SOUND), (MODEL, b"small"), (FILE, SOUND)])
        );
        let twice = form(&[(MODEL, b"a"), (MODEL, b"b")]);
        let found = Form::read(&headers("multipart/form-data; boundary=xx"), &twice).unwrap();
        assert_eq!(
            found.renamed(&twice, "c"),
            form(&[(MODEL, b"c"), (MODEL, b"c")])
        );
    }

    #[test]
    fn what_is_no_form_or_names_no_model_is_none() {
        let body = form(&[(FILE, SOUND)]);
        for (kind, body) in [
            ("multipart/form-data; boundary=xx", body.clone()),
            ("multipart/form-data", body.clone()),
            ("application/json", form(&[(MODEL, b"a")])),
            ("multipart/form-data; boundary=yy", form(&[(MODEL, b"a")])),
            (
                "multipart/form-data; boundary=xx",
                form(&[(MODEL, b"\xff")]),
            ),
            (
                "multipart/form-data; boundary=xx",
                Bytes::from_static(b"--xx\r\nbroken"),
            ),
            ("multipart/form-data; boundary=xx", Bytes::new()),
        ] {
            assert_eq!(Form::read(&headers(kind), &body), None, "{kind}");
        }
    }
}
