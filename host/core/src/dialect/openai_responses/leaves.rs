//! All text in a value, each with the path at which it stands: by that it is known again where the stream repeats it.

use std::borrow::Cow;

use crate::dialect::Undecodable;
use crate::dialect::inert::{self, is_token};
use crate::dialect::json::{self, Raw};
use crate::dialect::openai_responses::undecodable::undecodable;
use crate::dialect::values;

/// Values inside values are followed so far. Deeper ones are refused.
const MAX_DEPTH: usize = 32;

/// Text that is not empty.
pub(super) struct Leaf<'a> {
    pub path: String,
    /// The string that it is; `None`: it is a key, and cannot be replaced.
    pub value: Option<Raw<'a>>,
    pub text: Cow<'a, str>,
}

/// Hears of text. What it cannot take ends the walk.
pub(super) type Hear<'t, 'a> = &'t mut dyn FnMut(Leaf<'a>) -> Result<(), Undecodable>;

/// Whether the field of this name with this value bears no text.
pub(super) type Inert<'i> = &'i dyn Fn(&str, Raw<'_>) -> bool;

/// All strings in a value, and keys that are none of an API. Numbers, booleans, pictures and sound are inert, and so is the
/// `type` of an object, which names a shape.
pub(super) fn leaves<'a>(
    value: Raw<'a>,
    path: String,
    inert: Inert<'_>,
    hear: Hear<'_, 'a>,
) -> Result<(), Undecodable> {
    within(MAX_DEPTH, value, path, inert, hear)
}

fn within<'a>(
    depth: usize,
    value: Raw<'a>,
    path: String,
    inert: Inert<'_>,
    hear: Hear<'_, 'a>,
) -> Result<(), Undecodable> {
    let of = || path.clone();
    let shallower = || {
        let deep = || undecodable(path.clone(), "values are nested too deep");
        depth.checked_sub(1).ok_or_else(deep)
    };
    match json::first_byte(value) {
        b'"' => {
            let text = values::text(value, &of)?;
            if text.is_empty() || inert::is_media(&text) {
                return Ok(());
            }
            hear(Leaf {
                path,
                value: Some(value),
                text,
            })
        }
        b'[' => {
            let depth = shallower()?;
            for (at, value) in values::items(value, &of)?.into_iter().enumerate() {
                within(depth, value, format!("{path}[{at}]"), inert, hear)?;
            }
            Ok(())
        }
        b'{' => {
            let depth = shallower()?;
            for (key, value) in values::object(value, &of)?.0 {
                let name = key.as_str();
                let path = match path.is_empty() {
                    true => name.to_owned(),
                    false => format!("{path}.{name}"),
                };
                if !inert::is_key(name) {
                    hear(Leaf {
                        path: format!("{path}: key"),
                        value: None,
                        text: Cow::Owned(name.to_owned()),
                    })?;
                }
                if !((name == "type" && is_token(value)) || inert(name, value)) {
                    within(depth, value, path, inert, hear)?;
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
