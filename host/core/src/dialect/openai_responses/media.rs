//! Parts of messages that are not text: what they are, where they lie, how large they are. Told in words of a fixed form, and no
//! text of a client's own: it is recorded whatever is captured.

use airlock_policy::contract::SMALL;

use crate::dialect::MediaView;
use crate::dialect::json::{Object, Raw};

/// Bytes of a kind or of a media type.
const WORD: usize = 127;

/// Parts of one message that are told one by one. Of more, the number and the bytes are.
pub(super) const MOST: usize = 64;

/// What a part is, that is not text. `index` is its place in its message.
pub(super) fn media(index: usize, part: Raw<'_>) -> MediaView {
    let mut view = MediaView {
        index: u32::try_from(index).unwrap_or(SMALL),
        bytes: part.get().len() as u64,
        ..MediaView::default()
    };
    let Ok(fields) = Object::of(part) else {
        return view;
    };
    let name = fields.string("type").unwrap_or_default().into_owned();
    let first = |keys: &[&str]| keys.iter().find_map(|key| fields.string(key));
    let sound = fields.object("input_audio");
    if let Some(place) = first(&["image_url", "file_url", "file_data", "file_id"]) {
        lie(&mut view, &place);
    } else if name == "item_reference" {
        view.reference = first(&["id"]).unwrap_or_default().into_owned();
        view.bytes = 0;
    } else if let Some(data) = sound.as_ref().and_then(|sound| sound.string("data")) {
        let format = sound.as_ref().and_then(|sound| sound.string("format"));
        view.bytes = decoded(&data);
        view.media_type = media_type(&format!("audio/{}", format.unwrap_or("basic".into())));
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

/// An address or id, or the data itself as a data URL.
fn lie(view: &mut MediaView, place: &str) {
    let data = place.strip_prefix("data:");
    let Some((head, data)) = data.and_then(|url| url.split_once(',')) else {
        place.clone_into(&mut view.reference);
        view.bytes = 0;
        return;
    };
    view.media_type = media_type(head.split(';').next().unwrap_or_default());
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
    base64.trim_end_matches('=').len() as u64 * 3 / 4
}
