//! What of a response is inert, each for being of a type of which no text can be: ratings, counts of tokens, media. Everything
//! else that is a string is text.

use crate::dialect::Undecodable;
use crate::dialect::gemini::fields::Fields;
use crate::dialect::inert::{self, is_token};
use crate::dialect::json::{self, Raw};

/// Words of ratings that do not begin as the others do.
const RATINGS: [&str; 4] = ["NEGLIGIBLE", "LOW", "MEDIUM", "HIGH"];

/// Kinds of what is counted in tokens.
const MODALITIES: [&str; 6] = [
    "MODALITY_UNSPECIFIED",
    "TEXT",
    "IMAGE",
    "VIDEO",
    "AUDIO",
    "DOCUMENT",
];

/// A rating of harm: categories, probabilities, numbers.
pub(super) fn is_rating(value: Raw<'_>) -> bool {
    is_object_of(value, |name, value| match name {
        "category" | "probability" | "severity" => json::string(value)
            .is_some_and(|word| is_constant(&word, "HARM_") || RATINGS.contains(&&*word)),
        _ => is_plain(value),
    })
}

/// A field of `usageMetadata`: a number, a list of numbers by kind, a word for how the call was served.
pub(super) fn is_count(name: &str, value: Raw<'_>) -> bool {
    let by_kind = |value: Raw<'_>| {
        is_object_of(value, |name, value| match name {
            "modality" => json::string(value).is_some_and(|word| MODALITIES.contains(&&*word)),
            _ => is_plain(value),
        })
    };
    match name {
        "trafficType" | "serviceTier" => is_token(value),
        _ if json::first_byte(value) == b'[' => {
            json::array(value).is_ok_and(|list| list.into_iter().all(by_kind))
        }
        _ => is_plain(value),
    }
}

/// A picture, sound or film as bytes. Formats that are text (SVG) are none.
pub(super) fn is_media(value: Raw<'_>) -> bool {
    is_object_of(value, |name, value| {
        let text = json::string(value).unwrap_or_default();
        match name {
            "mimeType" => is_token(value) && has_no_text(&text),
            "data" => inert::is_opaque(&text),
            _ => is_plain(value),
        }
    })
}

/// Whether nothing of this media type is text.
fn has_no_text(media_type: &str) -> bool {
    let kinds = ["image/", "audio/", "video/"];
    let format = kinds.iter().find_map(|kind| media_type.strip_prefix(kind));
    format.is_some_and(|format| !format.starts_with("svg"))
}

fn is_object_of(value: Raw<'_>, inert: impl Fn(&str, Raw<'_>) -> bool) -> bool {
    let fields: Result<Fields<'_>, Undecodable> = Fields::of(value, &String::new);
    fields.is_ok_and(|fields| {
        let mut all = fields.iter();
        all.all(|(name, value)| inert::is_key(name) && inert(name, value))
    })
}

/// A word of the API in capitals that begins like this.
fn is_constant(word: &str, start: &str) -> bool {
    let fits = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    word.len() <= 64 && word.starts_with(start) && word.bytes().all(fits)
}

/// Neither a string nor anything in which one can stand.
fn is_plain(value: Raw<'_>) -> bool {
    !matches!(json::first_byte(value), b'"' | b'{' | b'[')
}
