//! Something that may become a generation: a component with the settings under which it was found.

use std::borrow::Cow;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::spec::PolicySpec;

/// Something that may become a generation.
pub(super) struct Candidate {
    pub(super) name: Arc<str>,
    pub(super) spec: PolicySpec,
    pub(super) builtin: bool,
    pub(super) bytes: Cow<'static, [u8]>,
    pub(super) digest: String,
}

impl Candidate {
    pub(super) fn new(
        name: &str,
        spec: PolicySpec,
        builtin: bool,
        bytes: Cow<'static, [u8]>,
    ) -> Self {
        let digest = hex(&Sha256::digest(&bytes));
        Self {
            name: name.into(),
            spec,
            builtin,
            bytes,
            digest,
        }
    }

    /// The same for the same content under the same settings.
    pub(super) fn key(&self) -> String {
        let spec = serde_json::to_vec(&self.spec).unwrap_or_default();
        format!("{}:{}", self.digest, hex(&Sha256::digest(spec)))
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
            let _ = write!(out, "{b:02x}");
            out
        })
}
