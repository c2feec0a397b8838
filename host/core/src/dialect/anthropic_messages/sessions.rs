//! Who a request is of, as its metadata has it.

use serde_json::Value;

use crate::dialect::json::Object;

/// Claude Code writes user, account and session into one id.
const SESSION_PART: &str = "_session_";

/// Fields of the metadata that may name the session, best first.
const METADATA: &[(&str, &str)] = &[
    ("session_id", "metadata.session_id"),
    ("thread_id", "metadata.thread_id"),
    ("conversation_id", "metadata.conversation_id"),
];

/// The same beside it, as other servers of the API know them.
const BESIDE: &[&str] = &["litellm_session_id", "session_id"];

/// Values that may name the session, best first, and who the end user is.
pub(super) fn whose(root: &Object<'_>) -> (Vec<(&'static str, String)>, Option<String>) {
    let metadata = root.object("metadata");
    let user = metadata
        .as_ref()
        .and_then(|fields| fields.string("user_id"));
    let named = user.as_deref().and_then(in_user_id);
    let end_user = user
        .filter(|_| named.is_none())
        .map(|user| user.into_owned());
    let in_metadata = METADATA
        .iter()
        .filter_map(|(key, name)| Some((*name, metadata.as_ref()?.string(key)?.into_owned())));
    let beside = BESIDE
        .iter()
        .filter_map(|key| Some((*key, root.string(key)?.into_owned())));
    let hints = in_metadata
        .chain(named.map(|id| ("metadata.user_id", id)))
        .chain(beside)
        .filter(|(_, value)| !value.is_empty());
    (hints.collect(), end_user)
}

/// The session that the id of a user names: `user_.._session_<id>`, or JSON.
fn in_user_id(user: &str) -> Option<String> {
    if user.trim_start().starts_with('{') {
        let fields: Value = serde_json::from_str(user).ok()?;
        let id = fields.get("session_id")?.as_str()?;
        return (!id.is_empty()).then(|| id.to_owned());
    }
    let (_, id) = user.rsplit_once(SESSION_PART)?;
    (!id.is_empty()).then(|| id.to_owned())
}
