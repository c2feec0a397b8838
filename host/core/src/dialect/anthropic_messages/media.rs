//! Blocks of a request that are not text: what they are, where they lie, how large they are.
//!
//! What they are is told in words of a fixed form, and no text of a client's own: it is recorded whatever is captured.

use airlock_policy::contract::SMALL;

use crate::dialect::MediaView;
use crate::dialect::json::Object;

/// Bytes of a kind or of a media type.
const WORD: usize = 127;

/// Blocks of one message that are told one by one. Of more, the number and the bytes are.
const MOST: usize = 64;

/// The media of one message.
#[derive(Debug, Default)]
pub(super) struct Media {
    views: Vec<MediaView>,
    more: u64,
}

impl Media {
    /// Adds a block. `index` is that of the block in its message, of which it may be a part.
    pub fn add(&mut self, index: usize, name: &str, block: &Object<'_>, bytes: usize) {
        match self.views.len() < MOST {
            true => self.views.push(view(index, name, block, bytes)),
            false => self.more += bytes as u64,
        }
    }

    /// All of them.
    pub fn views(mut self) -> Vec<MediaView> {
        if self.more > 0 {
            self.views.push(MediaView {
                name: "more".to_owned(),
                index: MOST as u32,
                bytes: self.more,
                ..MediaView::default()
            });
        }
        self.views
    }
}

fn view(index: usize, name: &str, block: &Object<'_>, bytes: usize) -> MediaView {
    let mut view = MediaView {
        name: word(name),
        index: u32::try_from(index).unwrap_or(SMALL),
        bytes: bytes as u64,
        ..MediaView::default()
    };
    let source = block.object("source");
    let string = |key: &str| source.as_ref().and_then(|source| source.string(key));
    let file = || block.string("file_id");
    if let Some(lies) = string("url").or_else(|| string("file_id")).or_else(file) {
        (view.reference, view.bytes) = (lies.into_owned(), 0);
    } else if let Some(data) = string("data") {
        view.bytes = decoded(&data);
    }
    view.media_type = media_type(&string("media_type").unwrap_or_default());
    view
}

/// A kind of block as vendors name them.
fn word(name: &str) -> String {
    let fits =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.');
    match name.len() <= WORD && name.bytes().all(fits) {
        true => name,
        false => "other",
    }
    .to_owned()
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

    #[test]
    fn media_is_told_by_its_type_its_size_and_where_it_lies() {
        let told = |name: &str, block: &str| {
            let mut media = Media::default();
            if let Ok(fields) = Object::parse(block) {
                media.add(2, name, &fields, block.len());
            }
            let view = media.views().remove(0);
            assert_eq!(view.index, 2);
            (view.name, view.media_type, view.reference, view.bytes)
        };
        let of = |name: &str, kind: &str, lies: &str, bytes| {
            (name.to_owned(), kind.to_owned(), lies.to_owned(), bytes)
        };
        assert_eq!(
            told(
                "image",
                r#"{"source":{"type":"base64","media_type":"image/PNG","data":"aGVsbG8="}}"#
            ),
            of("image", "image/png", "", 5)
        );
        assert_eq!(
            told(
                "document",
                r#"{"source":{"type":"url","url":"https://x.test/a.pdf"}}"#
            ),
            of("document", "", "https://x.test/a.pdf", 0)
        );
        assert_eq!(
            told("container_upload", r#"{"file_id":"file-1"}"#),
            of("container_upload", "", "file-1", 0)
        );
        assert_eq!(
            told("My secret: 1", r#"{"source":{"media_type":"a secret/x"}}"#),
            of("other", "", "", 38)
        );
    }
}
