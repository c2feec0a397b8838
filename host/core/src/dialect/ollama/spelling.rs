//! Names of fields in one spelling.
//!
//! Go's decoder, by which Ollama reads requests and its clients in Go read answers, takes a key for a field if the two differ
//! in nothing but case, and knows two letters beyond ASCII as others of these: the long s and the sign of Kelvin. Whoever
//! reads otherwise would not see a message in `Messages`. So a field that only Go knows is refused, wherever it stands.

use crate::dialect::Undecodable;
use crate::dialect::json::Object;

/// Fails if a key is one of these fields to Go and not to others.
pub(super) fn exact(
    fields: &Object<'_>,
    known: &[&str],
    path: &dyn Fn() -> String,
) -> Result<(), Undecodable> {
    for (key, _) in &fields.0 {
        let key = key.as_str();
        if known.contains(&key) {
            continue;
        }
        if let Some(field) = known.iter().find(|field| folds_to(key, field)) {
            let what = format!("some programs take it for `{field}`, and others do not");
            let path = path();
            let dot = if path.is_empty() { "" } else { "." };
            return Err(Undecodable::at(format!("{path}{dot}{key}"), what));
        }
    }
    Ok(())
}

fn folds_to(key: &str, field: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(field.chars())
}
