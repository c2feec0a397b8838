//! Kinds of output items: who runs the call that one is, and which of its fields bear no text.

use crate::dialect::inert::{self, is_token};
use crate::dialect::json::{self, Object, Raw};

/// Fields of items that name things. Inert where they hold a word.
const NAMES: &[&str] = &[
    "approval_request_id",
    "call_id",
    "caller_id",
    "container_id",
    "created_by",
    "execution",
    "file_id",
    "id",
    "object",
    "phase",
    "role",
    "status",
    "vector_store_id",
];

/// The same in an image.
const OF_IMAGES: &[&str] = &["action", "background", "output_format", "quality", "size"];

/// Fields that the model did not write: what a tool gave back, sources.
const NOT_GENERATED: &[&str] = &[
    "annotations",
    "environment",
    "error",
    "namespace",
    "output",
    "outputs",
    "pending_safety_checks",
    "results",
    "server_label",
    "tools",
];

/// How an item is a call of the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
    /// It names a tool and bears arguments, as a string in this field.
    Named(&'static str),
    /// It is of a tool that OpenAI describes and the client runs, with this name; what is to be done is an object in one of
    /// these fields, and known when the item is done.
    Built(&'static str, &'static [&'static str]),
}

/// Whose call an item is; `None` if it is none, or of a tool that the server runs.
pub(super) fn calls(kind: &str, item: &Object<'_>) -> Option<Calls> {
    match kind {
        "function_call" => Some(Calls::Named("arguments")),
        "custom_tool_call" => Some(Calls::Named("input")),
        "local_shell_call" => Some(Calls::Built("local_shell", &["action"])),
        "shell_call" if !is_hosted(item) => Some(Calls::Built("shell", &["action"])),
        "apply_patch_call" => Some(Calls::Built("apply_patch", &["operation"])),
        "computer_call" => Some(Calls::Built("computer", &["action", "actions"])),
        _ => None,
    }
}

/// Whether the shell is one of the server's own containers.
fn is_hosted(item: &Object<'_>) -> bool {
    let environment = item.object("environment");
    let kind = environment.and_then(|environment| environment.string("type"));
    kind.is_some_and(|kind| kind != "local")
}

/// Whether a field of an item bears no text.
pub(super) fn is_inert(kind: &str, key: &str, value: Raw<'_>) -> bool {
    let opaque = || json::string(value).is_some_and(|text| inert::is_opaque(&text));
    match key {
        "encrypted_content" => opaque(),
        "result" | "partial_image_b64" => kind == "image_generation_call" && opaque(),
        "fingerprint" => kind == "program" && opaque(),
        _ if NAMES.contains(&key) => is_token(value),
        _ => kind == "image_generation_call" && OF_IMAGES.contains(&key) && is_token(value),
    }
}

/// Whether the model wrote a field of an item.
pub(super) fn is_generated(key: &str) -> bool {
    !NOT_GENERATED.contains(&key)
}
