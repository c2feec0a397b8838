//! The path of a call, in which model and form of the answer stand: `/v1beta/models/{model}:generateContent`.

use crate::dialect::Undecodable;
use crate::dialect::gemini::Version;
use crate::dialect::gemini::undecodable::undecodable;

const WHOLE: &str = "generateContent";
const STREAMED: &str = "streamGenerateContent";

/// Of models that were tuned, whose names say so.
const TUNED: &str = "tunedModels/";
const MODELS: &str = "models/";

/// The model that a path names, and whether a stream is asked for.
pub(super) fn read(path: &str) -> Result<(String, bool), Undecodable> {
    let wrong = |what: &str| undecodable("the path", what);
    let last = path.rsplit('/').next().unwrap_or_default();
    let (model, verb) = last
        .rsplit_once(':')
        .ok_or_else(|| wrong("it names no method"))?;
    let streamed = match verb {
        WHOLE => false,
        STREAMED => true,
        _ => return Err(wrong("its method generates no content")),
    };
    let model = decoded(model).filter(|model| !model.is_empty());
    Ok((model.ok_or_else(|| wrong("it names no model"))?, streamed))
}

/// The path at which a model is asked, below the address of the API without its version.
pub(super) fn of(version: Version, model: &str, streamed: bool) -> String {
    let version = match version {
        Version::V1 => "v1",
        Version::V1Beta => "v1beta",
    };
    let (collection, name) = match (model.strip_prefix(MODELS), model.strip_prefix(TUNED)) {
        (Some(name), _) => (MODELS, name),
        (_, Some(name)) => (TUNED, name),
        _ => (MODELS, model),
    };
    // A stream of events, whatever form the client reads: the array's elements cannot be told apart as they come.
    let verb = match streamed {
        true => format!("{STREAMED}?alt=sse"),
        false => WHOLE.to_owned(),
    };
    format!("/{version}/{collection}{}:{verb}", encoded(name))
}

/// Whatever means something in a path is written so that it means nothing.
fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn decoded(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('%') {
        let (before, after) = rest.split_at(at);
        bytes.extend_from_slice(before.as_bytes());
        let digits = after
            .get(1..3)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after.get(3..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_path_names_the_model_and_the_form() {
        for (path, model, streamed) in [
            (
                "/v1beta/models/gemini-3-pro:generateContent",
                "gemini-3-pro",
                false,
            ),
            (
                "/v1/models/gemini-3-pro:streamGenerateContent",
                "gemini-3-pro",
                true,
            ),
            ("/v1/models/a%2Fb:c:generateContent", "a/b:c", false),
        ] {
            assert_eq!(read(path).unwrap(), (model.to_owned(), streamed), "{path}");
        }
        for path in [
            "/v1/models/m:countTokens",
            "/v1/models/m",
            "/v1/models/:generateContent",
            "/v1/models/%f:generateContent",
        ] {
            assert!(read(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_model_stands_in_the_path_and_leads_nowhere_else() {
        assert_eq!(
            of(Version::V1, "gemini-3", false),
            "/v1/models/gemini-3:generateContent"
        );
        assert_eq!(
            of(Version::V1Beta, "tunedModels/mine", true),
            "/v1beta/tunedModels/mine:streamGenerateContent?alt=sse"
        );
        assert_eq!(
            of(Version::V1, "a/../b?x=y", false),
            "/v1/models/a%2F..%2Fb%3Fx%3Dy:generateContent"
        );
    }
}
