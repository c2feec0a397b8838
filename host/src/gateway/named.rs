//! Which model a call names that Airlock passes on undecoded, and the call as another name's.

use bytes::Bytes;
use http::Uri;

use super::multipart::Form;
use airlock_core::event::target::Target;

/// Where a call names its model.
pub(super) enum Named {
    /// In a JSON body.
    Json(String),
    /// In a form.
    Form(Form),
    /// In its path.
    Path(InPath),
    /// Nowhere.
    Nowhere,
}

/// A path that names a model.
pub(super) struct InPath {
    /// What stands before it.
    before: &'static str,
    model: String,
    /// What is done with it: `:countTokens`.
    verb: String,
}

impl InPath {
    fn read(path: &str) -> Option<Self> {
        const BEFORE: [&str; 2] = ["/v1/models/", "/v1beta/models/"];
        let (before, rest) = BEFORE
            .into_iter()
            .find_map(|before| Some((before, path.strip_prefix(before)?)))?;
        // Names of local models have colons too (`llama3:8b`): a verb is one of those that are known.
        let at = rest.rfind(':').filter(|at| {
            let verb = rest.get(at + 1..).unwrap_or_default();
            matches!(verb, "countTokens" | "embedContent" | "batchEmbedContents")
        });
        let (model, verb) = rest.split_at(at.unwrap_or(rest.len()));
        Some(Self {
            before,
            model: unescaped(model),
            verb: verb.to_owned(),
        })
    }
}

#[derive(serde::Deserialize)]
struct InBody {
    model: Option<String>,
}

impl Named {
    pub(super) fn of(head: &http::request::Parts, body: &Bytes) -> Self {
        if let Some(named) = InPath::read(head.uri.path()) {
            return Self::Path(named);
        }
        if let Some(form) = Form::read(&head.headers, body) {
            return Self::Form(form);
        }
        let json = serde_json::from_slice::<InBody>(body);
        match json.ok().and_then(|json| json.model) {
            Some(model) => Self::Json(model),
            None => Self::Nowhere,
        }
    }

    pub(super) fn model(&self) -> Option<&str> {
        match self {
            Self::Json(model) => Some(model),
            Self::Path(named) => Some(&named.model),
            Self::Form(form) => Some(&form.model),
            Self::Nowhere => None,
        }
    }

    /// The path for a target: renamed where the path names the model.
    pub(super) fn path(&self, uri: &Uri, target: &Target) -> String {
        match self {
            Self::Path(named) if *named.model != *target.model => {
                let before = named.before.strip_prefix("/v1/").unwrap_or(named.before);
                let slash = if before == named.before { "" } else { "/" };
                format!("{slash}{before}{}{}", target.model, named.verb)
            }
            _ => under_v1(uri),
        }
    }

    /// The body for a target: untouched unless a route renames the model.
    pub(super) fn body(&self, body: &Bytes, target: &Target) -> Bytes {
        match self {
            Self::Json(model) if *model != *target.model => renamed(body, &target.model),
            Self::Form(form) if *form.model != *target.model => form.renamed(body, &target.model),
            _ => body.clone(),
        }
    }
}

/// A path's text; what is escaped in it stands for itself.
fn unescaped(path: &str) -> String {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| path.to_owned())
}

/// A JSON body with another model.
fn renamed(body: &Bytes, model: &str) -> Bytes {
    let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(body) else {
        return body.clone();
    };
    if let Some(field) = value.get_mut("model") {
        *field = serde_json::Value::from(model);
    }
    serde_json::to_vec(&value).map_or_else(|_| body.clone(), Bytes::from)
}

/// The path under a base URL that ends with `/v1`; that of another version as it is.
pub(super) fn under_v1(uri: &Uri) -> String {
    let path = uri.path();
    let under = path
        .strip_prefix("/v1")
        .filter(|rest| rest.starts_with('/'));
    under.unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_is_escaped_in_a_path_stands_for_itself() {
        for (path, id) in [
            ("org/name", "org/name"),
            ("a%20b", "a b"),
            ("a%2", "a%2"),
            ("%zz%", "%zz%"),
            ("%ff", "%ff"),
        ] {
            assert_eq!(unescaped(path), id);
        }
    }

    #[test]
    fn a_renamed_model_changes_that_field_alone() {
        let body = Bytes::from_static(br#"{"input":"x","model":"a","n":1.50}"#);
        let target = |model: &str| Target {
            upstream: "u".into(),
            model: model.into(),
        };
        let named = Named::Json("a".to_owned());
        assert_eq!(named.body(&body, &target("a")), body);
        let renamed: serde_json::Value =
            serde_json::from_slice(&named.body(&body, &target("b"))).unwrap();
        assert_eq!(
            renamed,
            serde_json::json!({"input": "x", "model": "b", "n": 1.5})
        );
    }
}
