//! Objects of the API: a field in either of its two spellings, and a repeated field that may be a single value.
//!
//! Google's parser takes `systemInstruction` and `system_instruction`, and so do its SDKs of what a server sends. A field that
//! stands in both spellings is refused: programs differ on which counts. Arguments and results of functions are no objects of
//! the API, and are read as they stand.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::dialect::Undecodable;
use crate::dialect::gemini::undecodable::undecodable;
use crate::dialect::json::{self, Object, Raw};

/// The fields of an object.
pub(super) struct Fields<'a> {
    object: Object<'a>,
    /// Names in camel case of those fields that are spelled otherwise.
    camel: Vec<Option<String>>,
}

impl<'a> Fields<'a> {
    /// Of the object that a value is.
    pub fn of(value: Raw<'a>, path: &dyn Fn() -> String) -> Result<Self, Undecodable> {
        let object = Object::of(value).map_err(|error| undecodable(path(), error))?;
        Self::from(object, path)
    }

    /// Of the object that a text is.
    pub fn parse(text: &'a str, place: &str) -> Result<Self, Undecodable> {
        let object = Object::parse(text).map_err(|error| undecodable(place, error))?;
        Self::from(object, &|| place.to_owned())
    }

    fn from(object: Object<'a>, path: &dyn Fn() -> String) -> Result<Self, Undecodable> {
        let camel: Vec<Option<String>> = object
            .0
            .iter()
            .map(|(key, _)| camel(key.as_str()))
            .collect();
        let fields = Self { object, camel };
        if fields.camel.iter().any(Option::is_some) {
            let mut seen = HashSet::new();
            let mut names = fields.all().map(|(name, _)| name.to_ascii_lowercase());
            if let Some(twice) = names.find(|name| !seen.insert(name.clone())) {
                let what = format!("the field `{twice}` stands in it in two spellings");
                return Err(undecodable(path(), what));
            }
        }
        Ok(fields)
    }

    /// All fields by their names in camel case, those that are null too.
    fn all(&self) -> impl Iterator<Item = (&str, Raw<'a>)> {
        let fields = self.object.0.iter().zip(&self.camel);
        fields.map(|((key, value), camel)| (camel.as_deref().unwrap_or(key.as_str()), *value))
    }

    /// The fields that are not null, which means the same as absent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Raw<'a>)> {
        self.all().filter(|(_, value)| !json::is_null(*value))
    }

    /// The value of a field, unless it is missing or null.
    pub fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// The string that a field is; `None` too if it is something else.
    pub fn string(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(json::string)
    }

    /// A field that is missing, null or a string.
    pub fn text(
        &self,
        name: &str,
        path: &dyn Fn() -> String,
    ) -> Result<Option<Cow<'a, str>>, Undecodable> {
        let wrong = || undecodable(format!("{}.{name}", path()), "it is not a string");
        let read = |value| json::string(value).ok_or_else(wrong);
        self.get(name).map(read).transpose()
    }

    /// A field that is missing, null or a boolean.
    pub fn flag(&self, name: &str, path: &dyn Fn() -> String) -> Result<bool, Undecodable> {
        match self.get(name).map(Raw::get) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(undecodable(
                format!("{}.{name}", path()),
                "it is neither true nor false",
            )),
        }
    }

    /// The fields of an object that is one of them; `None` if it is missing.
    pub fn inner(
        &self,
        name: &str,
        path: &dyn Fn() -> String,
    ) -> Result<Option<Fields<'a>>, Undecodable> {
        let inner = |value| Fields::of(value, &|| format!("{}.{name}", path()));
        self.get(name).map(inner).transpose()
    }

    /// The object, which `source` is, with fields set: where they stand, in whichever spelling, or else at its end.
    pub fn set(&self, source: &str, values: &[(&str, String)]) -> String {
        let named = |name: &str| {
            let at = self.all().position(|(known, _)| known == name);
            let key = at.and_then(|at| self.object.0.get(at));
            key.map_or_else(|| name.to_owned(), |(key, _)| key.as_str().to_owned())
        };
        let values: Vec<(String, String)> = values
            .iter()
            .map(|(name, value)| (named(name), value.clone()))
            .collect();
        let values: Vec<(&str, String)> = values
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        json::set(source, &self.object, &values)
    }
}

/// The values of a repeated field: a list, or the one value that it has, as the documentation writes it.
pub(super) fn list<'a>(
    value: Raw<'a>,
    path: &dyn Fn() -> String,
) -> Result<Vec<Raw<'a>>, Undecodable> {
    match json::first_byte(value) {
        b'[' => json::array(value).map_err(|error| undecodable(path(), error)),
        b'{' => Ok(vec![value]),
        _ => Err(undecodable(path(), "it is neither a list nor an object")),
    }
}

/// A name of snake case in camel case; `None` if it is of no snake case.
pub(super) fn camel(name: &str) -> Option<String> {
    if !name.trim_start_matches('_').contains('_') {
        return None;
    }
    let lead = name.len() - name.trim_start_matches('_').len();
    let mut out = name.get(..lead).unwrap_or_default().to_owned();
    let mut upper = false;
    for letter in name.chars().skip(lead) {
        match letter {
            '_' => upper = true,
            letter if upper => {
                out.push(letter.to_ascii_uppercase());
                upper = false;
            }
            letter => out.push(letter),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_field_has_two_spellings_and_stands_in_one() {
        let source = r#"{"inline_data":{"mime_type":"a/b"},"role":"user","null_one":null}"#;
        let fields = Fields::parse(source, "it").unwrap();
        let inner = fields
            .inner("inlineData", &|| "it".to_owned())
            .unwrap()
            .unwrap();
        assert_eq!(inner.string("mimeType").unwrap(), "a/b");
        assert!(fields.get("nullOne").is_none());
        let set = fields.set(
            source,
            &[
                ("nullOne", "1".to_owned()),
                ("role", "2".to_owned()),
                ("newOne", "3".to_owned()),
            ],
        );
        assert_eq!(
            set,
            r#"{"inline_data":{"mime_type":"a/b"},"role":2,"null_one":1,"newOne":3}"#
        );
        for twice in [
            r#"{"inlineData":1,"inline_data":2}"#,
            r#"{"inline_data":1,"inline_Data":2}"#,
            r#"{"inlineData":1,"inlineData":2}"#,
            r#"{"inlinedata":1,"inline_data":null}"#,
        ] {
            assert!(Fields::parse(twice, "it").is_err(), "{twice}");
        }
    }

    #[test]
    fn names_keep_what_is_no_spelling() {
        let named = |name| camel(name).unwrap_or_else(|| name.to_owned());
        assert_eq!(named("response_json_schema"), "responseJsonSchema");
        assert_eq!(named("_responseJsonSchema"), "_responseJsonSchema");
        assert_eq!(named("a_1b"), "a1b");
        assert_eq!(named("@type"), "@type");
    }
}
