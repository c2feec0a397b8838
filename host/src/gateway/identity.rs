//! Who calls.
//!
//! With keys configured, tenant and principal come from the key and from nowhere else, and a caller without one gets
//! nothing. Without any, the principal is a hash of whatever credential the client sends to its vendor: it tells callers
//! apart and says nothing about who they are. A key of Airlock's never goes upstream, whichever header it stands in.

use axum::body::Body;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::respond;
use crate::config::client_key::{DEFAULT_TENANT, PREFIX};
use crate::config::{ClientKey, KeyHash};
use crate::upstream::limits::CallLimits;
use airlock_core::dialect::Inbound;
use airlock_core::event::FailureKind;

/// Where Airlock's key stands when the client's usual header holds its vendor's credential.
const OWN_HEADER: &str = "x-airlock-key";

/// Where SDKs put an API key, best first.
const HEADERS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose key it is; `default` without keys.
    pub tenant: String,
    /// Name of the key, or a hash of the client's credential, or `anonymous`.
    pub principal: String,
    /// Limits of the key.
    pub limits: CallLimits,
}

/// The caller showed no key, or none that counts; which of both is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unauthorized;

/// Who sent these headers, without Airlock's own key in them afterwards.
///
/// # Errors
/// Keys are configured and none of them was shown, or a key of Airlock's was shown where none is configured.
pub fn identify(keys: &[ClientKey], headers: &mut HeaderMap) -> Result<Caller, Unauthorized> {
    if keys.is_empty() {
        // A key from the time when there were some: its owner should hear of it, and the vendor should not.
        if shown(headers)
            .into_iter()
            .any(|key| key.starts_with(PREFIX))
        {
            return Err(Unauthorized);
        }
        return Ok(Caller {
            tenant: DEFAULT_TENANT.to_owned(),
            principal: principal(headers),
            limits: CallLimits::default(),
        });
    }
    let first = shown(headers).into_iter().next().ok_or(Unauthorized)?;
    let hash = KeyHash::of(first);
    // Every key is looked at, so that the time does not tell how many there are before the right one.
    let found = keys.iter().fold(
        None,
        |found, key| if key.hash.is(&hash) { Some(key) } else { found },
    );
    let key = found.ok_or(Unauthorized)?;
    conceal(headers);
    Ok(Caller {
        tenant: key.tenant.clone(),
        principal: key.name.clone(),
        limits: key.limits(),
    })
}

/// The answer to a caller that has no key. The same for none as for a wrong one.
pub fn unauthorized(speaker: &dyn Inbound) -> Response<Body> {
    tracing::warn!("refused a call without one of Airlock's keys");
    let message = "this Airlock answers to its own keys only: send one as your API key (Authorization: Bearer alk-...), or as \
                   x-airlock-key beside your vendor's";
    let mut response = respond::refuse(
        speaker,
        StatusCode::UNAUTHORIZED,
        FailureKind::Other,
        "airlock_unauthorized",
        message.to_owned(),
    );
    response
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// What is shown as a key, best first: the first one counts.
fn shown(headers: &HeaderMap) -> Vec<&str> {
    let value = |name: &str| headers.get(name).and_then(|value| key_in(name, value));
    std::iter::once(OWN_HEADER)
        .chain(HEADERS)
        .filter_map(value)
        .collect()
}

fn key_in<'a>(name: &str, value: &'a HeaderValue) -> Option<&'a str> {
    let text = value.to_str().ok()?.trim();
    if name != AUTHORIZATION.as_str() {
        return Some(text);
    }
    let (scheme, key) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// Takes Airlock's keys out. Where the key stood in the client's usual header, there is no credential of a vendor: what else
/// stands in such a header is Airlock's affair too.
fn conceal(headers: &mut HeaderMap) {
    if headers.remove(OWN_HEADER).is_none() {
        for name in HEADERS {
            headers.remove(name);
        }
        return;
    }
    for name in HEADERS {
        let ours = headers
            .get_all(name)
            .iter()
            .any(|value| key_in(name, value).is_some_and(|key| key.starts_with(PREFIX)));
        if ours {
            headers.remove(name);
        }
    }
}

/// A hash of the client's credential.
fn principal(headers: &HeaderMap) -> String {
    let credential = HEADERS.iter().find_map(|name| headers.get(*name));
    match credential {
        Some(value) => {
            let hash = Sha256::digest(value.as_bytes());
            let hex: String = hash.iter().take(6).map(|b| format!("{b:02x}")).collect();
            format!("key-{hex}")
        }
        None => "anonymous".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const CI: &str = "alk-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const BOT: &str = "alk-BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

    fn key(name: &str, key: &str) -> ClientKey {
        toml::from_str(&format!(
            "name = {name:?}\nhash = \"{}\"\ntenant = \"acme\"",
            KeyHash::of(key)
        ))
        .unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn call(pairs: &[(&'static str, &str)]) -> (Option<String>, HeaderMap) {
        let mut headers = headers(pairs);
        let caller = identify(&[key("ci", CI), key("bot", BOT)], &mut headers);
        (
            caller.ok().map(|c| format!("{}/{}", c.tenant, c.principal)),
            headers,
        )
    }

    #[test]
    fn a_key_is_known_in_each_header_and_never_left_there() {
        let bearer = format!("Bearer {BOT}");
        for pairs in [
            vec![("authorization", bearer.as_str())],
            vec![
                ("authorization", bearer.as_str()),
                ("x-api-key", "sk-other"),
            ],
            vec![("x-api-key", BOT)],
            vec![("api-key", BOT)],
            vec![("x-airlock-key", BOT)],
            vec![("x-airlock-key", BOT), ("x-api-key", CI)],
            vec![("x-airlock-key", BOT), ("x-airlock-key", CI)],
        ] {
            let (caller, left) = call(&pairs);
            assert_eq!(caller.as_deref(), Some("acme/bot"), "{pairs:?}");
            assert!(left.is_empty(), "{pairs:?} left {left:?}");
        }
    }

    #[test]
    fn the_vendors_credential_stays_beside_airlocks() {
        let (caller, left) = call(&[("x-airlock-key", CI), ("authorization", "Bearer sk-vendor")]);
        assert_eq!(caller.as_deref(), Some("acme/ci"));
        assert_eq!(left, headers(&[("authorization", "Bearer sk-vendor")]));
    }

    #[test]
    fn no_key_and_a_wrong_one_are_the_same() {
        for pairs in [
            vec![],
            vec![("authorization", "Bearer sk-vendor")],
            vec![("authorization", CI)],
            vec![("authorization", "Basic alk-A")],
            vec![("x-api-key", "")],
            vec![("x-airlock-key", "alk-"), ("x-api-key", CI)],
            vec![("x-api-key", &CI[..40])],
            vec![("cookie", CI)],
        ] {
            assert_eq!(call(&pairs).0, None, "{pairs:?}");
        }
    }

    #[test]
    fn nobody_chooses_a_tenant_by_a_header() {
        let (caller, _) = call(&[
            ("x-api-key", CI),
            ("x-airlock-tenant", "other"),
            ("x-airlock-principal", "root"),
            ("openai-organization", "other"),
        ]);
        assert_eq!(caller.as_deref(), Some("acme/ci"));
    }

    #[test]
    fn without_keys_the_principal_is_a_hash_and_never_the_credential() {
        let who = |value: &str| {
            identify(&[], &mut headers(&[("authorization", value)]))
                .unwrap()
                .principal
        };
        assert!(!who("Bearer sk-secret").contains("secret"));
        assert_ne!(who("Bearer sk-secret"), who("Bearer sk-other"));
        let nobody = identify(&[], &mut HeaderMap::new()).unwrap();
        assert_eq!(
            (&*nobody.tenant, &*nobody.principal),
            ("default", "anonymous")
        );
    }

    #[test]
    fn a_key_of_airlocks_is_not_forwarded_when_no_key_is_configured_any_more() {
        for name in ["authorization", "x-api-key", "api-key", "x-airlock-key"] {
            let value = if name == "authorization" {
                format!("Bearer {CI}")
            } else {
                CI.to_owned()
            };
            assert_eq!(
                identify(&[], &mut headers(&[(name, &value)])),
                Err(Unauthorized),
                "{name}"
            );
        }
    }
}
