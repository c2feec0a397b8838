//! Parts of a message that are not text: what they are, where they lie, how large they are.
//!
//! What they are is told in words of a fixed form, and no text of a client's own: it is recorded whatever is captured.

use std::borrow::Cow;

use crate::dialect::MediaView;
use crate::dialect::json::Object;
use airlock_policy::contract::SMALL;

/// Bytes of a kind or of a media type.
const WORD: usize = 127;

/// Parts of one message that are told one by one. Of more, the number and the bytes are.
pub(super) const MOST: usize = 64;

/// What a part is, that is not text. `index` is its place in its message.
pub(super) fn media(index: usize, part: &str) -> MediaView {
    let mut view = MediaView {
        index: u32::try_from(index).unwrap_or(SMALL),
        bytes: part.len() as u64,
        ..MediaView::default()
    };
    let Ok(fields) = Object::parse(part) else {
        return view;
    };
    let name = fields.string("type").unwrap_or_default().into_owned();
    // Each kind has its content in a field of its own name.
    let inner = fields.object(&name);
    let string = |key: &str| inner.as_ref().and_then(|inner| inner.string(key));
    let lies = string("url").or_else(|| string("file_data"));
    match lies.or_else(|| string("file_id")) {
        Some(url) => lie(&mut view, &url),
        None => {
            if let Some(data) = string("data") {
                view.bytes = decoded(&data);
                let format = string("format").unwrap_or(Cow::Borrowed("basic"));
                view.media_type = media_type(&format!("audio/{format}"));
            }
        }
    }
    view.name = word(name);
    view
}

/// The parts of a message beyond [`MOST`], as one.
pub(super) fn rest(bytes: u64) -> MediaView {
    MediaView {
        name: "more".to_owned(),
        index: MOST as u32,
        bytes,
        ..MediaView::default()
    }
}

/// An address, or the data itself as a data URL.
fn lie(view: &mut MediaView, url: &str) {
    let Some((head, data)) = url
        .strip_prefix("data:")
        .and_then(|url| url.split_once(','))
    else {
        view.reference = url.to_owned();
        view.bytes = 0;
        return;
    };
    let kind = head.split(';').next().unwrap_or_default();
    view.media_type = media_type(kind);
    view.bytes = match head.ends_with(";base64") {
        true => decoded(data),
        false => data.len() as u64,
    };
}

/// A kind of part as vendors name them.
fn word(name: String) -> String {
    let fits =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.');
    match name.len() <= WORD && name.bytes().all(fits) {
        true => name,
        false => "other".to_owned(),
    }
}

/// A media type of the form that RFC 6838 gives it; else none.
fn media_type(stated: &str) -> String {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
    let names = stated.split_once('/').filter(|(kind, name)| {
        let whole = |name: &str| !name.is_empty() && name.bytes().all(fits);
        stated.len() <= WORD && whole(kind) && whole(name)
    });
    names.map_or_else(String::new, |_| stated.to_ascii_lowercase())
}

/// Bytes that stand in base64.
fn decoded(base64: &str) -> u64 {
    let digits = base64.trim_end_matches('=').len() as u64;
    digits * 3 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(part: &str) -> (String, String, String, u64) {
        let view = media(2, part);
        assert_eq!(view.index, 2);
        (view.name, view.media_type, view.reference, view.bytes)
    }

    #[test]
    fn media_is_told_by_its_type_its_size_and_where_it_lies() {
        let cases = [
            (
                r#"{"type":"image_url","image_url":{"url":"https://x.test/a.png"}}"#,
                ("image_url", "", "https://x.test/a.png", 0),
            ),
            (
                r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,aGVsbG8="}}"#,
                ("image_url", "image/png", "", 5),
            ),
            (
                r#"{"type":"input_audio","input_audio":{"data":"aGVsbG8h","format":"wav"}}"#,
                ("input_audio", "audio/wav", "", 6),
            ),
            (
                r#"{"type":"file","file":{"file_id":"file-1"}}"#,
                ("file", "", "file-1", 0),
            ),
            (
                r#"{"type":"file","file":{"file_data":"data:application/pdf;base64,aGk="}}"#,
                ("file", "application/pdf", "", 2),
            ),
        ];
        for (part, (name, media_type, reference, bytes)) in cases {
            let expected = (name.into(), media_type.into(), reference.into(), bytes);
            assert_eq!(told(part), expected, "{part}");
        }
    }

    #[test]
    fn what_a_client_calls_a_part_is_no_text_of_its_own() {
        let (name, ..) = told(r#"{"type":"My secret: 1234","x":1}"#);
        assert_eq!(name, "other");
        let (_, media_type, ..) =
            told(r#"{"type":"image_url","image_url":{"url":"data:my secret/1234;base64,aGk="}}"#);
        assert_eq!(media_type, "");
    }

    #[test]
    fn a_part_that_nobody_knows_is_told_by_its_size() {
        assert_eq!(told(r#"{"type":"hologram","x":1}"#).0, "hologram");
        assert_eq!(told("17"), (String::new(), String::new(), String::new(), 2));
    }
}
