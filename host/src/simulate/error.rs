//! An error in the vendor's shape.

use serde::Deserialize;

/// An error in the vendor's shape.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptedError {
    /// HTTP status.
    #[serde(skip)]
    pub status: u16,
    pub message: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub code: Option<String>,
}

impl Default for ScriptedError {
    fn default() -> Self {
        Self {
            status: 500,
            message: "a simulated failure".into(),
            kind: "server_error".into(),
            code: None,
        }
    }
}

impl ScriptedError {
    /// The request is at fault.
    pub fn invalid(message: String) -> Self {
        Self {
            status: 400,
            message,
            kind: "invalid_request_error".into(),
            code: None,
        }
    }
}
